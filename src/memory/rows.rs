//! Between rows and items. The column list stands beside the code that reads it, in the same order.

use super::vault::Vault;
use crate::{
    domain::{
        ids::Time,
        memory::{Bucket, Kind, MemoryItem, MemoryVersion, Place, Source},
    },
    store::sqlite::{Answer, Fault},
};
use rusqlite::{Connection, Row};
use uuid::Uuid;

/// Columns that [`item`] reads.
pub(super) const ITEM: &str = "memory.row, memory.scope, memory.id, memory.bucket, memory.kind, memory.key, \
    memory.content, memory.source, memory.turn_id, memory.tags, memory.expire_time, memory.version, \
    memory.create_time, memory.update_time, memory.last_used_time, memory.forget_time";

/// A row of `memory`.
#[derive(Clone, Debug)]
pub(super) struct ItemRow {
    /// Its place in the store.
    pub(super) row: i64,
    /// Row of its scope.
    pub(super) scope: i64,
    /// The item, its content as it is stored.
    pub(super) id: Uuid,
    pub(super) bucket: Bucket,
    pub(super) kind: Kind,
    pub(super) key: String,
    /// UTF-8, or of a secret the sealed bytes.
    pub(super) content: Vec<u8>,
    pub(super) source: Source,
    pub(super) turn_id: Option<Uuid>,
    pub(super) tags: Vec<String>,
    pub(super) expire_time: Option<Time>,
    pub(super) version: i64,
    pub(super) create_time: Time,
    pub(super) update_time: Time,
    pub(super) last_used_time: Option<Time>,
    /// Set where it is hidden.
    pub(super) forget_time: Option<Time>,
}

/// Reads a row.
pub(super) fn item(row: &Row<'_>) -> Answer<ItemRow> {
    Ok(ItemRow {
        row: row.get(0)?,
        scope: row.get(1)?,
        id: row.get(2)?,
        bucket: known(Bucket::from_number(row.get(3)?), "bucket")?,
        kind: known(Kind::from_number(row.get(4)?), "kind")?,
        key: row.get(5)?,
        content: row.get(6)?,
        source: known(Source::from_number(row.get(7)?), "source")?,
        turn_id: row.get(8)?,
        tags: tags_of(&row.get::<_, String>(9)?)?,
        expire_time: row.get::<_, Option<i64>>(10)?.map(Time),
        version: row.get(11)?,
        create_time: Time(row.get(12)?),
        update_time: Time(row.get(13)?),
        last_used_time: row.get::<_, Option<i64>>(14)?.map(Time),
        forget_time: row.get::<_, Option<i64>>(15)?.map(Time),
    })
}

/// The first item of a condition.
pub(super) fn find(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Answer<Option<ItemRow>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {ITEM} FROM memory WHERE {condition}"))?;
    let mut found = statement.query(parameters)?;
    found.next()?.map(item).transpose()
}

// === impl ItemRow ===

impl ItemRow {
    /// The content in the open; a secret's only with the vault.
    pub(super) fn text(&self, vault: Option<&Vault>) -> Answer<String> {
        text_of(self.kind, self.id, &self.content, vault)
    }

    /// The item as callers see it.
    pub(super) fn into_item(self, place: Place, vault: Option<&Vault>) -> Answer<MemoryItem> {
        let content = self.text(vault)?;
        let Self {
            row: _,
            scope: _,
            id,
            bucket,
            kind,
            key,
            content: _,
            source,
            turn_id,
            tags,
            expire_time,
            version,
            create_time,
            update_time,
            last_used_time,
            forget_time: _,
        } = self;
        Ok(MemoryItem {
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
        })
    }
}

fn text_of(kind: Kind, id: Uuid, content: &[u8], vault: Option<&Vault>) -> Answer<String> {
    match (kind, vault) {
        (Kind::Secret, None) => Ok(String::new()),
        (Kind::Secret, Some(vault)) => vault.unseal(id, content),
        (Kind::Profile | Kind::Preference | Kind::Relationship | Kind::Fact, _) => {
            String::from_utf8(content.to_vec())
                .map_err(|_| Fault::Broken("a stored memory is no UTF-8".into()))
        }
    }
}

/// Versions before, newest first.
pub(super) fn history(
    connection: &Connection,
    item: &ItemRow,
    vault: Option<&Vault>,
) -> Answer<Vec<MemoryVersion>> {
    let mut statement = connection.prepare_cached(
        "SELECT version, bucket, kind, content, source, tags, update_time, supersede_time FROM memory_version \
         WHERE memory = ?1 ORDER BY version DESC",
    )?;
    let mut found = statement.query([item.row])?;
    let mut versions = Vec::new();
    while let Some(row) = found.next()? {
        let kind = known(Kind::from_number(row.get(2)?), "kind")?;
        versions.push(MemoryVersion {
            version: row.get(0)?,
            bucket: known(Bucket::from_number(row.get(1)?), "bucket")?,
            kind,
            content: text_of(kind, item.id, &row.get::<_, Vec<u8>>(3)?, vault)?,
            source: known(Source::from_number(row.get(4)?), "source")?,
            tags: tags_of(&row.get::<_, String>(5)?)?,
            update_time: Time(row.get(6)?),
            supersede_time: Time(row.get(7)?),
        });
    }
    Ok(versions)
}

/// Tags as a column; empty text for none.
pub(super) fn tags_text(tags: &[String]) -> String {
    if tags.is_empty() {
        String::new()
    } else {
        serde_json::to_string(tags).expect("strings are always JSON")
    }
}

fn tags_of(text: &str) -> Answer<Vec<String>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|error| Fault::Broken(format!("tags: {error}")))
}

fn known<T>(value: Option<T>, what: &str) -> Answer<T> {
    value.ok_or_else(|| Fault::Broken(format!("unknown {what} of a memory")))
}
