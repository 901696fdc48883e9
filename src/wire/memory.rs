//! Memory's messages ↔ the domain.

use super::{encode::timestamp, parse::Fields};
use crate::{
    domain::{
        ids::Time,
        memory::{
            Bucket, CONTENT_MAX_BYTES, Episode, Found, Hit, IMPORT_MAX_ITEMS, Import,
            KEY_MAX_BYTES, Kind, MemoryItem, MemoryStatus, MemoryVersion, NAMESPACES_MAX,
            Namespace, Outcome, Place, Reach, RebuildStatus, SEARCH_LIMIT_DEFAULT,
            SEARCH_LIMIT_MAX, SearchMode, Source, TAG_MAX_BYTES, TAGS_MAX,
        },
    },
    proto,
};
use uuid::Uuid;

/// Wrong items of an import that are named; more add nothing.
const NAMED_MAX: usize = 16;

// === impl Fields ===

impl Fields {
    /// The scope that a request names; `None` where it names none.
    pub fn place(&mut self, prefix: &str, namespace: &str, session_key: &str) -> Option<Place> {
        match (namespace.is_empty(), session_key.is_empty()) {
            (true, true) => None,
            (true, false) => self
                .session_key(&format!("{prefix}session_key"), session_key)
                .map(Place::Session),
            (false, true) => Namespace::parse(namespace)
                .map_err(|problem| self.wrong(format!("{prefix}namespace"), problem))
                .ok()
                .map(Place::Namespace),
            (false, false) => {
                self.wrong(
                    format!("{prefix}namespace"),
                    "must not stand beside a session_key",
                );
                None
            }
        }
    }

    /// What memory a session reaches.
    pub fn memory_namespaces(&mut self, field: &str, names: &[String]) -> Vec<Reach> {
        if names.len() > NAMESPACES_MAX {
            self.wrong(field, format!("must be at most {NAMESPACES_MAX}"));
        }
        let mut reach = Vec::new();
        for (at, name) in names.iter().enumerate().take(NAMESPACES_MAX) {
            match Reach::parse(name) {
                Ok(one) if reach.contains(&one) => {
                    self.wrong(format!("{field}[{at}]"), "stands there twice");
                }
                Ok(one) => reach.push(one),
                Err(problem) => self.wrong(format!("{field}[{at}]"), problem),
            }
        }
        reach
    }

    /// A memory's id.
    pub fn memory_id(&mut self, text: &str) -> Option<Uuid> {
        let parsed = Uuid::parse_str(text).ok();
        if parsed.is_none() {
            self.wrong("id", "must be the UUID of a memory");
        }
        parsed
    }

    /// `bucket`.
    pub fn bucket(&mut self, field: &str, number: i32) -> Option<Bucket> {
        match proto::MemoryBucket::try_from(number) {
            Ok(proto::MemoryBucket::Unspecified) => None,
            Ok(proto::MemoryBucket::Core) => Some(Bucket::Core),
            Ok(proto::MemoryBucket::Archival) => Some(Bucket::Archival),
            Err(_) => {
                self.wrong(field, "is no value of MemoryBucket");
                None
            }
        }
    }

    /// `kind`.
    pub fn kind(&mut self, field: &str, number: i32) -> Option<Kind> {
        if number == 0 {
            return None;
        }
        let kind = Kind::from_number(number.into());
        if kind.is_none() {
            self.wrong(field, "is no value of MemoryKind");
        }
        kind
    }

    /// Kinds to filter by.
    pub fn memory_kinds(&mut self, numbers: &[i32]) -> Vec<Kind> {
        if numbers.len() > Kind::ALL.len() {
            self.wrong("kinds", "must name each kind once at most");
        }
        let mut kinds = Vec::new();
        for (at, number) in numbers.iter().enumerate().take(Kind::ALL.len()) {
            match self.kind(&format!("kinds[{at}]"), *number) {
                Some(kind) => kinds.push(kind),
                None if *number == 0 => {
                    self.wrong(format!("kinds[{at}]"), "must be set");
                }
                None => {}
            }
        }
        kinds
    }

    /// Tags of a memory, or to filter by.
    pub fn tags(&mut self, field: &str, tags: &[String]) {
        if tags.len() > TAGS_MAX {
            self.wrong(field, format!("must be at most {TAGS_MAX}"));
        }
        for (at, tag) in tags.iter().enumerate().take(TAGS_MAX) {
            let named = format!("{field}[{at}]");
            if tag.trim().is_empty() {
                self.wrong(&named, "must not be blank");
            }
            self.text(&named, tag, TAG_MAX_BYTES);
        }
    }

    /// A memory's key.
    pub fn memory_key(&mut self, field: &str, key: &str) {
        self.text(field, key, KEY_MAX_BYTES);
    }

    /// A memory's content. What it is does not stand in the refusal.
    pub fn content(&mut self, field: &str, content: &str) {
        if content.trim().is_empty() {
            self.wrong(field, "must not be blank");
        }
        if content.len() > CONTENT_MAX_BYTES {
            self.wrong(
                field,
                format!(
                    "must be at most {CONTENT_MAX_BYTES} bytes, has {}",
                    content.len()
                ),
            );
        }
    }

    /// A moment.
    pub fn time(&mut self, field: &str, time: Option<prost_types::Timestamp>) -> Option<Time> {
        let prost_types::Timestamp { seconds, nanos } = time?;
        let micros = (0..1_000_000_000)
            .contains(&nanos)
            .then(|| seconds.checked_mul(1_000_000))
            .flatten()
            .and_then(|micros| micros.checked_add(i64::from(nanos) / 1000))
            .filter(|micros| *micros >= 0);
        if micros.is_none() {
            self.wrong(field, "must be a moment after 1970-01-01");
        }
        micros.map(Time)
    }

    /// When a memory ends.
    pub fn expire_time(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
        now: Time,
    ) -> Option<Time> {
        let time = self.time(field, time)?;
        if time <= now {
            self.wrong(field, "must be in the future");
        }
        Some(time)
    }

    /// `mode` of a search.
    pub fn search_mode(&mut self, number: i32) -> SearchMode {
        match proto::SearchMode::try_from(number) {
            Ok(proto::SearchMode::Unspecified | proto::SearchMode::Lexical) => SearchMode::Lexical,
            Ok(proto::SearchMode::Vector) => SearchMode::Vector,
            Ok(proto::SearchMode::Hybrid) => SearchMode::Hybrid,
            Err(_) => {
                self.wrong("mode", "is no value of SearchMode");
                SearchMode::Lexical
            }
        }
    }

    /// `limit` of a search.
    pub fn search_limit(&mut self, limit: i32) -> usize {
        match usize::try_from(limit) {
            Ok(0) => SEARCH_LIMIT_DEFAULT,
            Ok(limit) if limit <= SEARCH_LIMIT_MAX => limit,
            Ok(_) | Err(_) => {
                self.wrong("limit", format!("must be from 0 to {SEARCH_LIMIT_MAX}"));
                SEARCH_LIMIT_DEFAULT
            }
        }
    }

    /// Memories to import.
    pub fn imports(&mut self, items: Vec<proto::MemoryItem>) -> Vec<Import> {
        if items.is_empty() || items.len() > IMPORT_MAX_ITEMS {
            self.wrong("memories", format!("must be 1 to {IMPORT_MAX_ITEMS}"));
            return Vec::new();
        }
        let mut imports = Vec::with_capacity(items.len());
        let mut wrong_items = 0;
        for (at, item) in items.into_iter().enumerate() {
            let mut one = Self::default();
            imports.extend(one.import(&format!("memories[{at}]."), item));
            if !one.is_right() {
                wrong_items += 1;
                self.take(one);
            }
            if wrong_items == NAMED_MAX {
                break;
            }
        }
        imports
    }

    fn import(&mut self, prefix: &str, item: proto::MemoryItem) -> Option<Import> {
        let proto::MemoryItem {
            id: _,
            namespace,
            session_key,
            bucket,
            kind,
            key,
            content,
            source,
            turn_id: _,
            tags,
            expire_time,
            version: _,
            create_time,
            update_time,
            last_used_time: _,
        } = item;
        let named = |name: &str| format!("{prefix}{name}");
        let place = self
            .place(prefix, &namespace, &session_key)
            .unwrap_or(Place::Tenant);
        let bucket = self.bucket(&named("bucket"), bucket);
        let kind = self.kind(&named("kind"), kind);
        self.memory_key(&named("key"), &key);
        if kind == Some(Kind::Secret) && content.is_empty() {
            self.wrong(
                named("content"),
                "is missing: an export leaves secrets out; remember it anew",
            );
        } else {
            self.content(&named("content"), &content);
        }
        self.tags(&named("tags"), &tags);
        let source = match source {
            0 => Source::Import,
            number => Source::from_number(number.into()).unwrap_or_else(|| {
                self.wrong(named("source"), "is no value of MemorySource");
                Source::Import
            }),
        };
        let expire_time = self.time(&named("expire_time"), expire_time);
        let create_time = self.time(&named("create_time"), create_time);
        let update_time = self.time(&named("update_time"), update_time);
        Some(Import {
            place,
            bucket,
            kind,
            key,
            content,
            tags,
            source,
            expire_time,
            create_time,
            update_time,
        })
    }
}

/// A memory.
pub fn item(item: MemoryItem) -> proto::MemoryItem {
    let MemoryItem {
        id,
        place,
        bucket,
        kind,
        key,
        content,
        source,
        turn_id,
        tags,
        expire_time,
        version,
        create_time,
        update_time,
        last_used_time,
    } = item;
    let (namespace, session_key) = match place {
        Place::Tenant => (String::new(), String::new()),
        Place::Namespace(name) => (name.as_str().to_owned(), String::new()),
        Place::Session(key) => (String::new(), key.as_str().to_owned()),
    };
    proto::MemoryItem {
        id: id.to_string(),
        namespace,
        session_key,
        bucket: bucket as i32,
        kind: kind as i32,
        key,
        content,
        source: source as i32,
        turn_id: turn_id.map_or_else(String::new, |id| id.to_string()),
        tags,
        expire_time: expire_time.map(timestamp),
        version,
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(update_time)),
        last_used_time: last_used_time.map(timestamp),
    }
}

/// A version of the past.
pub fn version(version: MemoryVersion) -> proto::MemoryVersion {
    let MemoryVersion {
        version,
        bucket,
        kind,
        content,
        source,
        tags,
        update_time,
        supersede_time,
    } = version;
    proto::MemoryVersion {
        version,
        bucket: bucket as i32,
        kind: kind as i32,
        content,
        source: source as i32,
        tags,
        update_time: Some(timestamp(update_time)),
        supersede_time: Some(timestamp(supersede_time)),
    }
}

/// A result of a search.
pub fn hit(hit: Hit) -> proto::MemoryHit {
    let Hit {
        found,
        score,
        snippet,
    } = hit;
    let byte = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
    proto::MemoryHit {
        found: Some(match found {
            Found::Item(found) => proto::memory_hit::Found::Memory(item(*found)),
            Found::Episode(found) => proto::memory_hit::Found::Episode(episode(found)),
        }),
        score,
        snippet: snippet.text,
        matches: snippet
            .matches
            .into_iter()
            .map(|at| proto::TextRange {
                start: byte(at.start),
                end: byte(at.end),
            })
            .collect(),
    }
}

fn episode(episode: Episode) -> proto::MemoryEpisode {
    let Episode {
        session_key,
        generation,
        turn_id,
        item_id,
        role,
        create_time,
    } = episode;
    proto::MemoryEpisode {
        session_key: session_key.as_str().to_owned(),
        generation,
        turn_id: turn_id.to_string(),
        item_id: item_id.to_string(),
        role: role as i32,
        create_time: Some(timestamp(create_time)),
    }
}

/// What a Remember did.
pub fn outcome(outcome: Outcome) -> proto::RememberOutcome {
    match outcome {
        Outcome::Created => proto::RememberOutcome::Created,
        Outcome::Touched => proto::RememberOutcome::Touched,
        Outcome::Superseded => proto::RememberOutcome::Superseded,
    }
}

/// State of memory.
pub fn status(status: MemoryStatus) -> proto::GetMemoryStatusResponse {
    let MemoryStatus {
        core_count,
        archival_count,
        forgotten_count,
        content_bytes,
        last_write_time,
        episode_count,
        episodes_pending,
        indexed_count,
        embedding_model,
        embeddings_pending,
        embeddings_of_other_models,
        rebuild: last_rebuild,
    } = status;
    proto::GetMemoryStatusResponse {
        core_count,
        archival_count,
        forgotten_count,
        content_bytes,
        last_write_time: last_write_time.map(timestamp),
        episode_count,
        pending_episode_count: episodes_pending,
        indexed_count,
        embedding_model,
        pending_embedding_count: embeddings_pending,
        mismatched_embedding_count: embeddings_of_other_models,
        rebuild: last_rebuild.map(rebuild),
    }
}

/// A rebuild.
pub fn rebuild(rebuild: RebuildStatus) -> proto::MemoryRebuild {
    let RebuildStatus {
        id,
        start_time,
        end_time,
        items_done,
        items_total,
        episodes_done,
        episodes_total,
    } = rebuild;
    proto::MemoryRebuild {
        rebuild_id: id.to_string(),
        start_time: Some(timestamp(start_time)),
        end_time: end_time.map(timestamp),
        items_done,
        items_total,
        episodes_done,
        episodes_total,
    }
}
