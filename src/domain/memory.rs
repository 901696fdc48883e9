//! Memory: items, the scopes that they stand in, and what a search finds.

use super::{
    event::Role,
    ids::{SessionKey, Time},
};
use std::{fmt, ops::Range};
use uuid::Uuid;

/// Longest content of an item, in bytes of UTF-8.
pub const CONTENT_MAX_BYTES: usize = 32 * 1024;
/// Longest key of an item, in bytes of UTF-8.
pub const KEY_MAX_BYTES: usize = 256;
/// Tags of an item.
pub const TAGS_MAX: usize = 32;
/// Longest tag, in bytes of UTF-8.
pub const TAG_MAX_BYTES: usize = 64;
/// Longest query of a search, in bytes of UTF-8.
pub const QUERY_MAX_BYTES: usize = 8 * 1024;
/// Hits of a search where the caller names no limit.
pub const SEARCH_LIMIT_DEFAULT: usize = 4;
/// Hits of a search at most.
pub const SEARCH_LIMIT_MAX: usize = 100;
/// Superseded versions that are kept of an item; the oldest goes first.
pub const VERSIONS_MAX: usize = 20;
/// Core memories that one answer has; the newest.
pub const CORE_MAX: usize = 200;
/// Items of one import.
pub const IMPORT_MAX_ITEMS: usize = 1000;
/// Longest memory context of a turn, in bytes.
pub const MEMORY_CONTEXT_MAX_BYTES: usize = 64 * 1024;
/// Names in a session's `memory_namespaces`.
pub const NAMESPACES_MAX: usize = 16;

/// Whether an item is always given to the agent, or found by a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Always given, newest first, within a budget.
    Core = 1,
    /// Found by a search.
    Archival = 2,
}

/// What an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Who the user is.
    Profile = 1,
    /// What the user likes.
    Preference = 2,
    /// Whom the user knows.
    Relationship = 3,
    /// Anything else that is true.
    Fact = 4,
    /// A password or the like: encrypted, never found, read by its id alone.
    Secret = 5,
}

/// Who wrote an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A caller.
    Manual = 1,
    /// An agent.
    Auto = 2,
    /// An import that named no source.
    Import = 3,
}

/// How a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SearchMode {
    /// By words.
    Lexical = 1,
    /// By closeness of meaning, as an embedding model sees it.
    Vector = 2,
    /// Both, joined by reciprocal rank.
    Hybrid = 3,
}

/// Name of a namespace: the grammar of session keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(SessionKey);

/// A scope inside the caller's tenant. A pair of kind and name, so no name imitates a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The tenant's own.
    Tenant,
    /// A namespace of the tenant.
    Namespace(Namespace),
    /// A session's own.
    Session(SessionKey),
}

/// An entry of a session's `memory_namespaces`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// `@session`: the session's own scope.
    Own,
    /// `@tenant`: the tenant's scope.
    Tenant,
    /// The namespace of that name.
    Namespace(Namespace),
}

/// One memory.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryItem {
    /// Stays the same over all versions.
    pub id: Uuid,
    /// Where it stands.
    pub place: Place,
    /// Whether it is always given.
    pub bucket: Bucket,
    /// What it is about.
    pub kind: Kind,
    /// Names it inside its scope; empty where it has none.
    pub key: String,
    /// The memory itself; empty for a secret that was not asked for.
    pub content: String,
    /// Who wrote this version.
    pub source: Source,
    /// Turn whose agent wrote this version.
    pub turn_id: Option<Uuid>,
    /// Words to filter by, sorted.
    pub tags: Vec<String>,
    /// When it ends by itself.
    pub expire_time: Option<Time>,
    /// 1, 2, 3 …: how often its content, kind, bucket or tags changed.
    pub version: i64,
    /// First version.
    pub create_time: Time,
    /// Newest Remember, a touch included.
    pub update_time: Time,
    /// Newest time that it was given to an agent.
    pub last_used_time: Option<Time>,
}

/// A version that another one took the place of.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryVersion {
    /// Its number.
    pub version: i64,
    /// Its bucket.
    pub bucket: Bucket,
    /// Its kind.
    pub kind: Kind,
    /// Its content; empty for a secret that was not asked for.
    pub content: String,
    /// Who wrote it.
    pub source: Source,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was written.
    pub update_time: Time,
    /// When the next one took its place.
    pub supersede_time: Time,
}

/// A message of a conversation, as a search finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Its session.
    pub session_key: SessionKey,
    /// Its generation.
    pub generation: i64,
    /// Its turn.
    pub turn_id: Uuid,
    /// Its item; never changes.
    pub item_id: Uuid,
    /// Who spoke.
    pub role: Role,
    /// When.
    pub create_time: Time,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A memory.
    Item(Box<MemoryItem>),
    /// A message of a conversation.
    Episode(Episode),
}

/// One result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// What was found.
    pub found: Found,
    /// Grows with the fit, up to 1; compares inside one answer only.
    pub score: f64,
    /// A piece of the content around the best match.
    pub snippet: Snippet,
}

/// A piece of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The piece; `…` stands where something was left out.
    pub text: String,
    /// What matched, in bytes of `text`.
    pub matches: Vec<Range<usize>>,
}

/// An item of an import; keeps source and times.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// The scope.
    pub place: Place,
    /// Bucket.
    pub bucket: Option<Bucket>,
    /// Kind.
    pub kind: Option<Kind>,
    /// Key, or empty.
    pub key: String,
    /// The memory itself.
    pub content: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Who wrote it.
    pub source: Source,
    /// When it ends by itself.
    pub expire_time: Option<Time>,
    /// When it was first written.
    pub create_time: Option<Time>,
    /// When it was last written.
    pub update_time: Option<Time>,
}

/// State of memory, and of one scope in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryStatus {
    /// Core items of the scope.
    pub core_count: i64,
    /// Archival items of the scope.
    pub archival_count: i64,
    /// Hidden items of the scope.
    pub forgotten_count: i64,
    /// Bytes of the scope's contents.
    pub content_bytes: i64,
    /// Newest write in the scope.
    pub last_write_time: Option<Time>,
    /// Messages that a search may find in the scope.
    pub episode_count: i64,
    /// Messages that the caller may see and that are not in the index yet.
    pub episodes_pending: i64,
    /// Items of the scope that are in the index; for the operator, of the whole store.
    pub indexed_count: i64,
    /// The configured embedding model; empty where there is none.
    pub embedding_model: String,
    /// Items of the scope whose vector is not made yet; for the operator, of the whole store.
    pub embeddings_pending: i64,
    /// Items of the scope whose vector is of another model; for the operator, of the whole store.
    pub embeddings_of_other_models: i64,
    /// The rebuild that runs, or the last one; the operator alone is told.
    pub rebuild: Option<RebuildStatus>,
}

/// A rebuild.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuildStatus {
    /// Its id.
    pub id: Uuid,
    /// When it was started.
    pub start_time: Time,
    /// When it ended.
    pub end_time: Option<Time>,
    /// Items that are in the new index.
    pub items_done: i64,
    /// Items that there are.
    pub items_total: i64,
    /// Messages that are in the new index.
    pub episodes_done: i64,
    /// Messages that there are.
    pub episodes_total: i64,
}

/// What a Remember did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new item.
    Created = 1,
    /// An item was there with just that; its `update_time` moved.
    Touched = 2,
    /// An item was there; its version before is kept as history.
    Superseded = 3,
}

// === impl Kind ===

impl Kind {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 5] = [
        Self::Profile,
        Self::Preference,
        Self::Relationship,
        Self::Fact,
        Self::Secret,
    ];

    /// The kind with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i64 == number)
    }

    /// Bucket of an item whose writer names none.
    pub fn default_bucket(self) -> Bucket {
        match self {
            Self::Profile | Self::Preference | Self::Relationship => Bucket::Core,
            Self::Fact | Self::Secret => Bucket::Archival,
        }
    }

    /// For people and prompts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Preference => "preference",
            Self::Relationship => "relationship",
            Self::Fact => "fact",
            Self::Secret => "secret",
        }
    }
}

// === impl Bucket ===

impl Bucket {
    /// The bucket with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Core, Self::Archival]
            .into_iter()
            .find(|bucket| *bucket as i64 == number)
    }
}

// === impl Source ===

impl Source {
    /// The source with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Manual, Self::Auto, Self::Import]
            .into_iter()
            .find(|source| *source as i64 == number)
    }
}

// === impl Namespace ===

impl Namespace {
    /// Accepts a name of the grammar.
    ///
    /// # Errors
    /// A sentence that names the grammar.
    pub fn parse(text: &str) -> Result<Self, String> {
        SessionKey::parse(text).map(Self)
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("tenant"),
            Self::Namespace(name) => write!(f, "namespace {}", name.as_str()),
            Self::Session(key) => write!(f, "session {key}"),
        }
    }
}

// === impl Reach ===

impl Reach {
    /// Accepts `@session`, `@tenant` or a namespace's name; no name begins with `@`.
    ///
    /// # Errors
    /// A sentence that says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "@session" => Ok(Self::Own),
            "@tenant" => Ok(Self::Tenant),
            name => Namespace::parse(name).map(Self::Namespace).map_err(|_| {
                "must be @session, @tenant, or match [A-Za-z0-9][A-Za-z0-9._:@~+=-]{0,127}"
                    .to_owned()
            }),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Own => "@session",
            Self::Tenant => "@tenant",
            Self::Namespace(name) => name.as_str(),
        }
    }
}
