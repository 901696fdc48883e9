//! A checker over memory at rest: what must hold of every row, index and count, whatever happened before.
//!
//! It cuts every text anew and holds the words against the index, word by word. Used by tests after every story.

use super::{episodes, index, rebuild, rows, words};
use crate::{
    domain::memory::Kind,
    store::sqlite::{Answer, Fault, open_reader_of},
};
use rusqlite::Connection;
use std::{collections::BTreeSet, path::Path};

/// Promises, and queries for rows that break them.
const PROMISES: [(&str, &str); 8] = [
    (
        "a memory stands in the range of its scope",
        "SELECT row FROM memory WHERE row >> 32 <> scope OR scope NOT IN (SELECT row FROM memory_scope)",
    ),
    (
        "a scope counts its memories",
        "SELECT row FROM memory_scope WHERE items <> (SELECT count(*) FROM memory WHERE scope = memory_scope.row) \
         OR next_item <= (SELECT coalesce(max(memory.row & 0xffffffff), 0) FROM memory WHERE scope = memory_scope.row)",
    ),
    (
        "a tenant counts its memories",
        "SELECT rowid FROM (SELECT 1 AS rowid, tenant, items FROM memory_tenant) AS counted WHERE items <> \
         (SELECT count(*) FROM memory JOIN memory_scope ON memory_scope.row = memory.scope \
          WHERE memory_scope.tenant = counted.tenant)",
    ),
    (
        "memory goes with its session",
        "SELECT row FROM memory_scope WHERE session <> 0 AND session NOT IN (SELECT row FROM session)",
    ),
    (
        "history is of a memory that is there, and older than it",
        "SELECT memory_version.row FROM memory_version LEFT JOIN memory ON memory.row = memory_version.memory \
         WHERE memory.row IS NULL OR memory_version.version >= memory.version",
    ),
    (
        "no secret's past is in the open",
        "SELECT memory_version.row FROM memory_version JOIN memory ON memory.row = memory_version.memory \
         WHERE memory.kind = 5 AND memory_version.kind <> 5",
    ),
    (
        "a vector is of a memory that may be found",
        "SELECT memory FROM memory_vector WHERE memory NOT IN \
         (SELECT row FROM memory WHERE kind <> 5 AND forget_time IS NULL)",
    ),
    (
        "no position stands beyond the newest message",
        "SELECT value FROM memory_state WHERE name = 'episodes_through' \
         AND value > (SELECT coalesce(max(row), 0) FROM message)",
    ),
];

/// A word of the index: its text's row, its column, its place, itself.
type Instance = (i64, String, i64, String);

/// Broken promises of the memory in a data directory; empty when all hold.
///
/// # Errors
/// The store can't be read.
pub fn check(data_directory: &Path) -> anyhow::Result<Vec<String>> {
    let connection = open_reader_of(data_directory)?;
    let transaction = connection.unchecked_transaction()?;
    let mut broken = Vec::new();
    for (promise, query) in PROMISES {
        let found: Vec<i64> = transaction
            .prepare(query)?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if !found.is_empty() {
            broken.push(format!("not so: {promise}; rows {found:?}"));
        }
    }
    compare(&transaction, &mut broken).map_err(|fault| match fault {
        Fault::Refused(refusal) => anyhow::anyhow!(refusal),
        Fault::Sqlite(error) => error.into(),
        Fault::Broken(what) => anyhow::anyhow!(what),
    })?;
    Ok(broken)
}

/// Holds both indexes against the rows.
fn compare(connection: &Connection, broken: &mut Vec<String>) -> Answer<()> {
    let tables = index::Tables::of(connection)?;
    let other = 3 - tables.active;
    for (name, expected) in [
        ("memory_index", items(connection)?),
        ("episode_index", messages(connection)?),
    ] {
        let found = instances(connection, name, tables.active)?;
        if let Some(word) = expected.difference(&found).next() {
            broken.push(format!("not so: {name} has every word; it lacks {word:?}"));
        }
        if let Some(word) = found.difference(&expected).next() {
            broken.push(format!("not so: {name} has no other word; it has {word:?}"));
        }
        // What a rebuild has not reached yet may be missing there, never more.
        let built = instances(connection, name, other)?;
        let allowed = if rebuild::running(connection)? {
            expected
        } else {
            BTreeSet::new()
        };
        if let Some(word) = built.difference(&allowed).next() {
            broken.push(format!(
                "not so: the {name} that is not read has no other word; it has {word:?}"
            ));
        }
    }
    Ok(())
}

fn items(connection: &Connection) -> Answer<BTreeSet<Instance>> {
    let mut expected = BTreeSet::new();
    let mut statement = connection.prepare(&format!("SELECT {} FROM memory", rows::ITEM))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let item = rows::item(row)?;
        if item.kind == Kind::Secret || item.forget_time.is_some() {
            continue;
        }
        let (key, tags, content) = index::item_lines(&item.key, &item.tags, &item.text(None)?);
        for (column, line) in [("key", key), ("tags", tags), ("content", content)] {
            expect(&mut expected, item.row, column, &line);
        }
    }
    Ok(expected)
}

fn messages(connection: &Connection) -> Answer<BTreeSet<Instance>> {
    let mut expected = BTreeSet::new();
    let mut statement = connection.prepare(
        "SELECT row, parts FROM message WHERE role IN (1, 2) AND row <= \
         (SELECT value FROM memory_state WHERE name = 'episodes_through')",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let text = episodes::text(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        expect(&mut expected, row.get(0)?, "content", &words::line(&text));
    }
    Ok(expected)
}

fn expect(expected: &mut BTreeSet<Instance>, row: i64, column: &str, line: &str) {
    for (place, word) in (0..).zip(line.split_ascii_whitespace()) {
        expected.insert((row, column.to_owned(), place, word.to_owned()));
    }
}

/// What stands in an index.
fn instances(connection: &Connection, name: &str, number: i64) -> Answer<BTreeSet<Instance>> {
    connection.execute_batch(&format!(
        "CREATE VIRTUAL TABLE temp.{name}_words_{number} USING fts5vocab(main, {name}_{number}, instance)"
    ))?;
    let mut statement = connection.prepare(&format!(
        "SELECT doc, col, \"offset\", term FROM temp.{name}_words_{number}"
    ))?;
    let found = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
