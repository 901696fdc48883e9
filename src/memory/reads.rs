//! What only looks: lists, single items, counts.

use super::{
    Actor, ItemAndHistory, ItemsFilter, ItemsPage, MemoryStatus,
    episodes::{self, Visible},
    items::row_range,
    rebuild, rows,
    scope::{self, Need},
    vault::Vault,
    vectors,
};
use crate::{
    domain::{
        access::Scope as Right,
        ids::Time,
        memory::{CORE_MAX, Kind, MemoryItem, Place},
        refusal::Refusal,
    },
    store::sqlite::Answer,
};
use rusqlite::Connection;
use uuid::Uuid;

/// Rows that a filtered page looks at before it says where to go on.
const SCAN_MAX_ROWS: usize = 10_000;
/// Bytes of a page beyond its last item: what clients take without being asked to take more is 4 MiB.
const PAGE_MAX_BYTES: usize = 3 * 1024 * 1024;
/// What an item takes beside its content, in bytes; rather too much.
const ITEM_BYTES: usize = 3 * 1024;

/// Core memories, newest change first.
pub(super) fn core(
    connection: &Connection,
    generation: Uuid,
    actor: &Actor,
    place: Option<&Place>,
    now: Time,
) -> Answer<Vec<MemoryItem>> {
    let scopes = scope::resolve(connection, generation, actor, place, Need::Read)?;
    let mut core = Vec::new();
    for scope in scopes {
        let Some(row) = scope.row else { continue };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {} FROM memory WHERE memory.scope = ?1 AND memory.forget_time IS NULL AND memory.bucket = 1 \
             AND memory.kind <> {} AND (memory.expire_time IS NULL OR memory.expire_time > ?2) \
             ORDER BY memory.update_time DESC, memory.row DESC LIMIT ?3",
            rows::ITEM,
            Kind::Secret as i64,
        ))?;
        let limit = i64::try_from(CORE_MAX).unwrap_or(i64::MAX);
        let mut found = statement.query((row, now.0, limit))?;
        let mut bytes = 0;
        while let Some(row) = found.next()? {
            let item = rows::item(row)?;
            bytes += item.content.len() + ITEM_BYTES;
            if bytes > PAGE_MAX_BYTES {
                break;
            }
            core.push(item.into_item(scope.place.clone(), None)?);
        }
    }
    core.sort_by_key(|item| std::cmp::Reverse(item.update_time));
    core.truncate(CORE_MAX);
    Ok(core)
}

/// A page of one scope's items; secrets without their content.
pub(super) fn list(
    connection: &Connection,
    generation: Uuid,
    actor: &Actor,
    filter: &ItemsFilter,
    now: Time,
) -> Answer<ItemsPage> {
    let ItemsFilter {
        place,
        bucket,
        kinds,
        tags,
        after,
        limit,
    } = filter;
    let scopes = scope::resolve(connection, generation, actor, place.as_ref(), Need::Read)?;
    let mut page = ItemsPage::default();
    let Some((scope, row)) = scopes
        .into_iter()
        .next()
        .and_then(|scope| scope.row.map(|row| (scope, row)))
    else {
        return Ok(page);
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM memory WHERE memory.scope = ?1 AND memory.forget_time IS NULL \
         AND (memory.update_time, memory.row) < (?2, ?3) ORDER BY memory.update_time DESC, memory.row DESC",
        rows::ITEM
    ))?;
    let (time, last) = after.unwrap_or((Time(i64::MAX), i64::MAX));
    let mut found = statement.query((row, time.0, last))?;
    let (mut looked, mut bytes, mut reached) = (0, 0, None);
    while let Some(row) = found.next()? {
        if page.items.len() >= *limit || looked >= SCAN_MAX_ROWS || bytes > PAGE_MAX_BYTES {
            page.next = reached;
            break;
        }
        let item = rows::item(row)?;
        looked += 1;
        reached = Some((item.update_time, item.row));
        if !scope::is_over(item.expire_time, now)
            && bucket.is_none_or(|bucket| bucket == item.bucket)
            && (kinds.is_empty() || kinds.contains(&item.kind))
            && tags.iter().all(|tag| item.tags.contains(tag))
        {
            bytes += item.content.len() + ITEM_BYTES;
            page.items.push(item.into_item(scope.place.clone(), None)?);
        }
    }
    Ok(page)
}

/// An item with its past; a secret in the open where it is revealed.
pub(super) fn get(
    connection: &Connection,
    generation: Uuid,
    actor: &Actor,
    id: Uuid,
    reveal: Option<&Vault>,
    now: Time,
) -> Answer<ItemAndHistory> {
    // A missing right is told before anything is looked for.
    let need = if reveal.is_some() {
        Need::Write
    } else {
        Need::Read
    };
    if let Actor::Caller(identity) = actor {
        identity.require(Right::MemoryRead)?;
        if need == Need::Write {
            identity.require(Right::MemoryWrite)?;
        }
    }
    let missing = || Refusal::MemoryNotFound { id: id.to_string() };
    let item = rows::find(
        connection,
        "memory.id = ?1 AND memory.forget_time IS NULL",
        [id],
    )?
    .filter(|item| !scope::is_over(item.expire_time, now))
    .ok_or_else(missing)?;
    let scope =
        scope::of_row(connection, generation, actor, item.scope, need)?.ok_or_else(missing)?;
    let history = rows::history(connection, &item, reveal)?;
    Ok(ItemAndHistory {
        item: item.into_item(scope.place, reveal)?,
        history,
    })
}

/// Counts of a scope; for the operator those of the whole room too, which would tell others how much their neighbours
/// have.
pub(super) fn status(
    connection: &Connection,
    generation: Uuid,
    actor: &Actor,
    place: Option<&Place>,
    embedding_model: &str,
    now: Time,
) -> Answer<MemoryStatus> {
    let scopes = scope::resolve(connection, generation, actor, place, Need::Read)?;
    let mut status = MemoryStatus {
        embedding_model: embedding_model.to_owned(),
        ..MemoryStatus::default()
    };
    let whole = match actor {
        Actor::Caller(identity) => identity.scopes.contains(Right::AdminConfig),
        Actor::Agent { .. } => false,
    };
    if whole {
        status.episodes_pending = episodes::pending(connection)?;
        status.rebuild = rebuild::status(connection)?;
        status.note_index(connection, (0, i64::MAX), embedding_model)?;
    }
    for scope in scopes {
        if !whole {
            status.episodes_pending +=
                episodes::pending_of(connection, &Visible::of(actor, &scope))?;
        }
        if let Some(session) = scope.session {
            status.episode_count += connection
                .prepare_cached(
                    "SELECT count(*) FROM message WHERE session = ?1 AND role IN (1, 2)",
                )?
                .query_row([session.0], |row| row.get::<_, i64>(0))?;
        }
        let Some(row) = scope.row else { continue };
        if !whole {
            status.note_index(connection, row_range(row), embedding_model)?;
        }
        let mut statement = connection.prepare_cached(
            "SELECT sum(forget_time IS NULL AND live AND bucket = 1), sum(forget_time IS NULL AND live AND bucket = 2), \
             sum(forget_time IS NOT NULL), sum(length(content)), max(update_time) FROM (SELECT forget_time, bucket, \
             content, update_time, expire_time IS NULL OR expire_time > ?2 AS live FROM memory WHERE scope = ?1)",
        )?;
        let counts = statement.query_row((row, now.0), |row| {
            Ok((
                row.get::<_, Option<i64>>(0)?,
                row.get::<_, Option<i64>>(1)?,
                row.get::<_, Option<i64>>(2)?,
                row.get::<_, Option<i64>>(3)?,
                row.get::<_, Option<i64>>(4)?,
            ))
        })?;
        let (core, archival, forgotten, bytes, written) = counts;
        status.core_count += core.unwrap_or(0);
        status.archival_count += archival.unwrap_or(0);
        status.forgotten_count += forgotten.unwrap_or(0);
        status.content_bytes += bytes.unwrap_or(0);
        status.last_write_time = status.last_write_time.max(written.map(Time));
    }
    Ok(status)
}

// === impl MemoryStatus ===

impl MemoryStatus {
    /// Adds what the index and the vectors have of a range of rows.
    fn note_index(
        &mut self,
        connection: &Connection,
        rows: (i64, i64),
        embedding_model: &str,
    ) -> Answer<()> {
        self.indexed_count += rebuild::items_count(connection, rows)?;
        if !embedding_model.is_empty() {
            let (pending, of_other_models) = vectors::counts(connection, rows, embedding_model)?;
            self.embeddings_pending += pending;
            self.embeddings_of_other_models += of_other_models;
        }
        Ok(())
    }
}
