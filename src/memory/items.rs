//! Remember, Forget, import: everything that changes items, each item in one transaction with its index.

use super::{
    Forget, Forgotten, Import, Imported, MemoryRules, Outcome, Remember, Remembered, Target, erase,
    index,
    rows::{self, ItemRow},
    scope::{self, Need, Scope},
    vault::Vault,
};
use crate::{
    domain::{
        access::Identity,
        ids::Time,
        memory::{Bucket, Kind, Place, Source, VERSIONS_MAX},
        refusal::{LimitOf, Refusal},
    },
    store::{
        RequestKey,
        sqlite::{Answer, Fault, Unit, kept_for, once_for},
    },
};
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use super::Actor;

/// Numbers of items inside a scope are below this; the scope's row stands above.
const NUMBERS: i64 = 1 << 32;

/// What imports' request ids are kept under.
const REQUESTS: &str = "import";

/// What every repeat of a Remember is told.
#[derive(Serialize, Deserialize)]
struct Receipt {
    id: Uuid,
    outcome: i64,
}

/// What is to be written into a scope.
struct New {
    bucket: Option<Bucket>,
    kind: Option<Kind>,
    key: String,
    content: String,
    tags: Option<Vec<String>>,
    expire_time: Option<Option<Time>>,
    source: Source,
    turn_id: Option<Uuid>,
    create_time: Time,
    update_time: Time,
}

/// Writes an item.
pub(super) fn remember(
    unit: &mut Unit<'_>,
    vault: &Vault,
    rules: MemoryRules,
    remember: Remember,
) -> Answer<Remembered> {
    let Remember {
        actor,
        by_agent,
        place,
        bucket,
        kind,
        key,
        content,
        tags,
        expire_time,
        request,
        now,
    } = remember;
    let scope = scope::resolve_one(unit, &actor, place.as_ref(), Need::Write)?;
    let (source, turn_id) = match &actor {
        Actor::Caller(_) if by_agent => (Source::Auto, None),
        Actor::Caller(_) => (Source::Manual, None),
        Actor::Agent { turn_id, .. } => (Source::Auto, *turn_id),
    };
    let new = New {
        bucket,
        kind,
        key,
        content,
        tags,
        expire_time,
        source,
        turn_id,
        create_time: now,
        update_time: now,
    };
    let principal = scope::principal(unit, &actor)?;
    let request = guarded(vault, request);
    let name = scope.place.to_string();
    let work = |unit: &mut Unit<'_>| {
        let (id, outcome) = write(unit, vault, rules, &scope, new, now)?;
        let outcome = outcome as i64;
        Ok(Receipt { id, outcome })
    };
    let (receipt, replayed) = once_for(unit, &principal, &name, request.as_ref(), now, work)?;
    let Receipt { id, outcome } = receipt;
    let found = rows::find(
        unit.connection,
        "memory.id = ?1 AND memory.forget_time IS NULL",
        [id],
    )?;
    let item = match found {
        Some(row) => Some(row.into_item(scope.place, None)?),
        None => None,
    };
    Ok(Remembered {
        item,
        id,
        outcome: [Outcome::Created, Outcome::Touched, Outcome::Superseded]
            .into_iter()
            .find(|known| *known as i64 == outcome)
            .ok_or_else(|| Fault::Broken("unknown outcome of a Remember".into()))?,
        replayed,
    })
}

/// An import under way: many items, as many in one commit as its slice allows.
pub(super) struct Importing {
    actor: Actor,
    identity: Arc<Identity>,
    request: Option<RequestKey>,
    /// What is still to be written, in its order.
    items: VecDeque<Import>,
    /// How many were created, touched, superseded.
    counts: [i64; 3],
    begun: bool,
    now: Time,
}

// === impl Importing ===

impl Importing {
    pub(super) fn new(
        vault: &Vault,
        identity: Arc<Identity>,
        items: Vec<Import>,
        request: Option<RequestKey>,
        now: Time,
    ) -> Self {
        Self {
            actor: Actor::Caller(Arc::clone(&identity)),
            identity,
            request: guarded(vault, request),
            items: items.into(),
            counts: [0; 3],
            begun: false,
            now,
        }
    }

    /// Writes what fits into one commit; the sums once all is written. The commit that writes the last one keeps them for
    /// repeats of the request.
    pub(super) fn slice(
        &mut self,
        unit: &mut Unit<'_>,
        vault: &Vault,
        rules: MemoryRules,
    ) -> Answer<Option<Imported>> {
        let identity = Arc::clone(&self.identity);
        let principal = &identity.principal;
        let request = self.request.clone();
        if !self.begun {
            self.begun = true;
            if let Some(counts) = kept_for(unit, principal, REQUESTS, request.as_ref())? {
                return Ok(Some(imported(counts, true)));
            }
        }
        let mut scopes = BTreeMap::new();
        while let Some(item) = self.items.pop_front() {
            let bytes = item.content.len();
            let outcome = self.write(unit, vault, rules, &mut scopes, item)?;
            self.counts[outcome as usize - 1] += 1;
            if !unit.spend(i64::try_from(bytes).unwrap_or(i64::MAX)) {
                break;
            }
        }
        if !self.items.is_empty() {
            return Ok(None);
        }
        let counts = self.counts;
        let (counts, replayed) = once_for(
            unit,
            principal,
            REQUESTS,
            request.as_ref(),
            self.now,
            |_| Ok(counts),
        )?;
        Ok(Some(imported(counts, replayed)))
    }

    fn write(
        &self,
        unit: &mut Unit<'_>,
        vault: &Vault,
        rules: MemoryRules,
        scopes: &mut BTreeMap<Place, Scope>,
        item: Import,
    ) -> Answer<Outcome> {
        let Import {
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
        } = item;
        let scope = match scopes.remove(&place) {
            Some(scope) => scope,
            None => scope::resolve_one(unit, &self.actor, Some(&place), Need::Write)?,
        };
        let row = scope::make(unit, &scope)?;
        let scope = Scope {
            row: Some(row),
            ..scope
        };
        let create_time = create_time.unwrap_or(self.now).min(self.now);
        let new = New {
            bucket,
            kind,
            key,
            content,
            tags: Some(tags),
            expire_time: Some(expire_time),
            source,
            turn_id: None,
            create_time,
            update_time: (update_time.unwrap_or(create_time)).clamp(create_time, self.now),
        };
        let (_, outcome) = write(unit, vault, rules, &scope, new, self.now)?;
        scopes.insert(place, scope);
        Ok(outcome)
    }
}

fn imported([created, touched, superseded]: [i64; 3], replayed: bool) -> Imported {
    Imported {
        created,
        touched,
        superseded,
        replayed,
    }
}

/// Hides or erases.
pub(super) fn forget(unit: &mut Unit<'_>, forget: Forget) -> Answer<Forgotten> {
    let Forget {
        actor,
        target,
        hard,
        request,
        now,
    } = forget;
    let principal = scope::principal(unit, &actor)?;
    let (name, rows) = match &target {
        Target::Id(id) => {
            require_write(&actor)?;
            let found = rows::find(unit.connection, "memory.id = ?1", [id])?;
            let generation = unit.identity.generation;
            let rows = match found {
                Some(item) => {
                    let scope = scope::of_row(
                        unit.connection,
                        generation,
                        &actor,
                        item.scope,
                        Need::Write,
                    )?;
                    Vec::from_iter(scope.map(|_| item))
                }
                None => Vec::new(),
            };
            (String::from("by id"), rows)
        }
        Target::Key(place, key) => {
            let scope = scope::resolve_one(unit, &actor, place.as_ref(), Need::Write)?;
            let mut rows = Vec::new();
            if let Some(row) = scope.row {
                let mut statement = unit.sql(&format!(
                    "SELECT {} FROM memory WHERE memory.scope = ?1 AND memory.key = ?2 AND memory.key <> ''",
                    rows::ITEM
                ))?;
                let mut found = statement.query((row, normal_key(key)))?;
                while let Some(row) = found.next()? {
                    rows.push(rows::item(row)?);
                }
            }
            (scope.place.to_string(), rows)
        }
    };
    let work = |unit: &mut Unit<'_>| {
        let mut count = 0i64;
        for item in rows {
            if hard {
                unit.sql("DELETE FROM memory WHERE row = ?1")?
                    .execute([item.row])?;
            } else if item.forget_time.is_none() {
                unit.sql("UPDATE memory SET forget_time = ?2 WHERE row = ?1")?
                    .execute((item.row, now.0))?;
                index::remove_item(unit, item.row)?;
                unit.sql("DELETE FROM memory_vector WHERE memory = ?1")?
                    .execute([item.row])?;
            } else {
                continue;
            }
            count += 1;
        }
        if hard && count > 0 {
            erase::begin(unit)?;
        }
        Ok(count)
    };
    let (count, replayed) = once_for(unit, &principal, &name, request.as_ref(), now, work)?;
    Ok(Forgotten { count, replayed })
}

/// Notes that items were given to an agent.
pub(super) fn note_used(unit: &mut Unit<'_>, ids: &[Uuid], now: Time) -> Answer<()> {
    for id in ids {
        unit.sql("UPDATE memory SET last_used_time = ?2 WHERE id = ?1")?
            .execute((id, now.0))?;
    }
    Ok(())
}

/// A missing right is told before anything is looked for.
fn require_write(actor: &Actor) -> Answer<()> {
    match actor {
        Actor::Caller(identity) => Ok(identity.require(crate::domain::access::Scope::MemoryWrite)?),
        Actor::Agent { .. } => Ok(()),
    }
}

/// The hash of a request that may hold a short secret, so that it can't be guessed from the hash.
fn guarded(vault: &Vault, request: Option<RequestKey>) -> Option<RequestKey> {
    request.map(|request| RequestKey {
        hash: vault.digest(&[b"request", &request.hash]),
        ..request
    })
}

/// One spelling of each key.
pub(super) fn normal_key(key: &str) -> String {
    key.trim().nfc().collect()
}

fn write(
    unit: &Unit<'_>,
    vault: &Vault,
    rules: MemoryRules,
    scope: &Scope,
    new: New,
    now: Time,
) -> Answer<(Uuid, Outcome)> {
    let New {
        bucket,
        kind,
        key,
        content,
        tags,
        expire_time,
        source,
        turn_id,
        create_time,
        update_time,
    } = new;
    let key = normal_key(&key);
    let content = content.trim();
    let secret = kind == Some(Kind::Secret);
    let identity = if !key.is_empty() {
        digest("key", &key)
    } else if secret {
        vault.digest(&[b"content", content.as_bytes()])
    } else {
        digest("content", content)
    };
    let tags = tags.map(sorted);
    let found = match scope.row {
        Some(row) => rows::find(
            unit.connection,
            "memory.scope = ?1 AND memory.identity = ?2 AND memory.forget_time IS NULL",
            (row, identity),
        )?,
        None => None,
    };
    let found = match found {
        Some(item) if scope::is_over(item.expire_time, now) => {
            unit.sql("DELETE FROM memory WHERE row = ?1")?
                .execute([item.row])?;
            None
        }
        found => found,
    };
    let Some(old) = found else {
        let kind = kind.unwrap_or(Kind::Fact);
        let id = Uuid::now_v7();
        let item = ItemRow {
            row: next_row(unit, rules, scope)?,
            scope: 0,
            id,
            bucket: bucket.unwrap_or_else(|| kind.default_bucket()),
            kind,
            key,
            content: stored(vault, kind, id, content)?,
            source,
            turn_id,
            tags: tags.unwrap_or_default(),
            expire_time: expire_time.flatten(),
            version: 1,
            create_time,
            update_time,
            last_used_time: None,
            forget_time: None,
        };
        insert(unit, &item, identity)?;
        put_into_index(unit, &item, content)?;
        return Ok((id, Outcome::Created));
    };
    let kind = kind.unwrap_or(old.kind);
    let same_content = old.text(Some(vault)).is_ok_and(|text| text == content);
    let bucket = bucket.unwrap_or_else(|| {
        if kind == old.kind {
            old.bucket
        } else {
            kind.default_bucket()
        }
    });
    let tags = tags.unwrap_or_else(|| old.tags.clone());
    let expire_time = expire_time.unwrap_or(old.expire_time);
    // An import that brings an older state back does not turn the clock back.
    let update_time = update_time.max(old.update_time);
    let id = old.id;
    if same_content && kind == old.kind && bucket == old.bucket && tags == old.tags {
        unit.sql("UPDATE memory SET update_time = ?2, expire_time = ?3 WHERE row = ?1")?
            .execute(params![old.row, update_time.0, expire_time.map(|t| t.0)])?;
        return Ok((id, Outcome::Touched));
    }
    let item = ItemRow {
        row: old.row,
        scope: old.scope,
        id,
        bucket,
        kind,
        key,
        content: stored(vault, kind, id, content)?,
        source,
        turn_id,
        tags,
        expire_time,
        version: old.version + 1,
        create_time: old.create_time,
        update_time,
        last_used_time: old.last_used_time,
        forget_time: None,
    };
    supersede(unit, &old, &item, now)?;
    put_into_index(unit, &item, content)?;
    Ok((id, Outcome::Superseded))
}

/// Keeps the old version as history, and writes the new one.
fn supersede(unit: &Unit<'_>, old: &ItemRow, new: &ItemRow, now: Time) -> Answer<()> {
    unit.require_room(0)?;
    if new.kind == Kind::Secret && old.kind != Kind::Secret {
        // What becomes a secret must not stay readable in its past, nor in the index.
        erase::begin(unit)?;
        unit.sql("DELETE FROM memory_version WHERE memory = ?1")?
            .execute([old.row])?;
    } else {
        unit.sql(
            "INSERT INTO memory_version (memory, version, bucket, kind, content, source, tags, update_time, \
             supersede_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            old.row,
            old.version,
            old.bucket as i64,
            old.kind as i64,
            old.content,
            old.source as i64,
            rows::tags_text(&old.tags),
            old.update_time.0,
            now.0,
        ])?;
        let kept = i64::try_from(VERSIONS_MAX).unwrap_or(i64::MAX);
        unit.sql("DELETE FROM memory_version WHERE memory = ?1 AND version <= ?2")?
            .execute((old.row, old.version - kept))?;
    }
    unit.sql(
        "UPDATE memory SET bucket = ?2, kind = ?3, content = ?4, source = ?5, turn_id = ?6, tags = ?7, \
         expire_time = ?8, version = ?9, update_time = ?10 WHERE row = ?1",
    )?
    .execute(params![
        new.row,
        new.bucket as i64,
        new.kind as i64,
        new.content,
        new.source as i64,
        new.turn_id,
        rows::tags_text(&new.tags),
        new.expire_time.map(|time| time.0),
        new.version,
        new.update_time.0,
    ])?;
    // Of the old content; the new one's is made after the commit.
    unit.sql("DELETE FROM memory_vector WHERE memory = ?1")?
        .execute([new.row])?;
    Ok(())
}

fn insert(unit: &Unit<'_>, item: &ItemRow, identity: [u8; 32]) -> Answer<()> {
    unit.sql(
        "INSERT INTO memory (row, scope, id, identity, bucket, kind, key, content, source, turn_id, tags, \
         expire_time, version, create_time, update_time) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        item.row,
        scope_of(item.row),
        item.id,
        identity,
        item.bucket as i64,
        item.kind as i64,
        item.key,
        item.content,
        item.source as i64,
        item.turn_id,
        rows::tags_text(&item.tags),
        item.expire_time.map(|time| time.0),
        item.version,
        item.create_time.0,
        item.update_time.0,
    ])?;
    Ok(())
}

fn put_into_index(unit: &Unit<'_>, item: &ItemRow, content: &str) -> Answer<()> {
    if item.kind == Kind::Secret {
        // Neither its content nor a vector: it is read by its id alone.
        index::remove_item(unit, item.row)
    } else {
        let scope = scope_of(item.row);
        let lines = index::item_lines(scope, item.kind, &item.key, &item.tags, content);
        index::put_item(unit, item.row, &lines)
    }
}

/// A free row in a scope, within the bounds.
fn next_row(unit: &Unit<'_>, rules: MemoryRules, scope: &Scope) -> Answer<i64> {
    unit.require_room(0)?;
    let row = scope::make(unit, scope)?;
    let (number, items): (i64, i64) = unit
        .sql("SELECT next_item, items FROM memory_scope WHERE row = ?1")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let of_tenant: Option<i64> = unit
        .sql("SELECT items FROM memory_tenant WHERE tenant = ?1")?
        .query_row([&scope.tenant], |row| row.get(0))
        .optional()?;
    for (of, limit, current) in [
        (LimitOf::Scope, rules.scope_limit_items, items),
        (
            LimitOf::Tenant,
            rules.tenant_limit_items,
            of_tenant.unwrap_or(0),
        ),
    ] {
        if current >= limit {
            return Err(Refusal::MemoryFull { of, limit, current }.into());
        }
    }
    if number >= NUMBERS {
        return Err(Fault::Broken(
            "a memory scope has used up its numbers".into(),
        ));
    }
    unit.sql("UPDATE memory_scope SET next_item = ?2 WHERE row = ?1")?
        .execute((row, number + 1))?;
    Ok(row * NUMBERS + number)
}

/// Scope of a row.
pub(super) fn scope_of(row: i64) -> i64 {
    row / NUMBERS
}

/// Rows of a scope: from the first, below the second.
pub(super) fn row_range(scope: i64) -> (i64, i64) {
    (scope * NUMBERS, (scope + 1) * NUMBERS)
}

fn stored(vault: &Vault, kind: Kind, id: Uuid, content: &str) -> Answer<Vec<u8>> {
    if kind == Kind::Secret {
        vault.seal(id, content)
    } else {
        Ok(content.as_bytes().to_vec())
    }
}

fn sorted(mut tags: Vec<String>) -> Vec<String> {
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn digest(what: &str, text: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(what);
    digest.update([0]);
    digest.update(text);
    digest.finalize().into()
}
