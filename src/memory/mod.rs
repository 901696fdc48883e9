//! Memory: items that survive, are found, and may be forgotten. On the store's file, through the store's one writer.
//!
//! Rows are the truth; index and vectors are derived from them. What is written to a row is written to the index in the
//! same transaction, so that they agree whatever happens.
//!
//! Who may: `memory.read` and `memory.write` reach the tenant's scope and its namespaces, which all of the tenant share;
//! a session's scope belongs to who may use the session. An agent reaches what its session's `memory_namespaces` name.

pub mod check;
pub mod context;
pub mod embed;
mod episodes;
mod erase;
mod index;
mod items;
mod matches;
pub mod openai;
mod query;
mod reads;
mod rebuild;
mod room;
mod rows;
mod scope;
mod search;
mod snippet;
mod vault;
mod vectors;
mod words;

pub use crate::domain::memory::{Import, MemoryStatus, Outcome, RebuildStatus};
pub use room::Memory;
pub use vault::{KeyError, Vault};

use crate::{
    domain::{
        access::Identity,
        ids::{SessionRow, Time},
        memory::{Bucket, Kind, MemoryItem, MemoryVersion, Place, SearchMode},
    },
    store::RequestKey,
};
use std::sync::Arc;
use uuid::Uuid;

/// Bounds that an operator chooses.
#[derive(Clone, Copy, Debug)]
pub struct MemoryRules {
    /// Items of one scope, forgotten ones included until they are gone.
    pub scope_limit_items: i64,
    /// Items of one tenant.
    pub tenant_limit_items: i64,
}

/// Who acts.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A caller, under its own rights.
    Caller(Arc<Identity>),
    /// The agent of a session: it reaches what the session's `memory_namespaces` name, and nothing else.
    Agent {
        /// The session.
        session: SessionRow,
        /// The turn that it works on; what it writes carries it.
        turn_id: Option<Uuid>,
    },
}

/// A search.
#[derive(Clone, Debug)]
pub struct Search {
    /// The scope; `None` means the tenant's for a caller, and all that its session reaches for an agent.
    pub place: Option<Place>,
    /// Words, `"phrases"` and `tag:NAME`. Blank finds the newest.
    pub query: String,
    /// How to look.
    pub mode: SearchMode,
    /// Tags that a memory must have, all of them.
    pub tags: Vec<String>,
    /// Kinds that a memory must be of; empty means any.
    pub kinds: Vec<Kind>,
    /// Whether messages of conversations are looked at too: of the named session, or, in the tenant's scope, of every
    /// session that the caller may see. For an agent: of its own session.
    pub episodes: bool,
    /// Hits, at most.
    pub limit: usize,
    /// When it was received.
    pub now: Time,
}

/// What a Remember writes. `None` leaves an existing item's as it is.
#[derive(Clone, Debug)]
pub struct Remember {
    /// Who.
    pub actor: Actor,
    /// An agent writes in the caller's name.
    pub by_agent: bool,
    /// The scope; `None` means the tenant's for a caller, and the first that its session reaches for an agent.
    pub place: Option<Place>,
    /// Bucket; of a new item without it, the kind's.
    pub bucket: Option<Bucket>,
    /// Kind; of a new item without it, a fact.
    pub kind: Option<Kind>,
    /// Names the item inside its scope; empty: its content does.
    pub key: String,
    /// The memory itself.
    pub content: String,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// When it ends by itself; `Some(None)` means never.
    pub expire_time: Option<Option<Time>>,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// When it was received.
    pub now: Time,
}

/// Answer to a Remember.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// The item as it is now; `None` for a repeat whose item is gone by now.
    pub item: Option<MemoryItem>,
    /// Its id.
    pub id: Uuid,
    /// What was done, the first time.
    pub outcome: Outcome,
    /// True for a repeat.
    pub replayed: bool,
}

/// Which memory to forget.
#[derive(Clone, Debug)]
pub enum Target {
    /// The one with that id, in whatever scope the actor reaches.
    Id(Uuid),
    /// Those of a key in a scope.
    Key(Option<Place>, String),
}

/// A Forget.
#[derive(Clone, Debug)]
pub struct Forget {
    /// Who.
    pub actor: Actor,
    /// What.
    pub target: Target,
    /// Erases rows, history, index and vectors, their bytes in the file too (`erase` says what that can't reach); without
    /// it the item is hidden.
    pub hard: bool,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// When it was received.
    pub now: Time,
}

/// Answer to a Forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Items that it hid or erased.
    pub count: i64,
    /// True for a repeat.
    pub replayed: bool,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// New items.
    pub created: i64,
    /// Items that were there with just that.
    pub touched: i64,
    /// Items that got a new version.
    pub superseded: i64,
    /// True for a repeat.
    pub replayed: bool,
}

/// A page of items, newest change first.
#[derive(Clone, Debug, Default)]
pub struct ItemsPage {
    /// The items; secrets without their content.
    pub items: Vec<MemoryItem>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<(Time, i64)>,
}

/// Which items to list.
#[derive(Clone, Debug, Default)]
pub struct ItemsFilter {
    /// The scope; `None` as for a search.
    pub place: Option<Place>,
    /// Bucket.
    pub bucket: Option<Bucket>,
    /// Kinds; empty means any.
    pub kinds: Vec<Kind>,
    /// Tags that must be there.
    pub tags: Vec<String>,
    /// Where an earlier page ended.
    pub after: Option<(Time, i64)>,
    /// Items, at most.
    pub limit: usize,
}

/// An item with its past.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemAndHistory {
    /// The item.
    pub item: MemoryItem,
    /// Versions before, newest first.
    pub history: Vec<MemoryVersion>,
}
