//! A checker over memory at rest: what must hold of every row, index and count, whatever happened before.
//!
//! It cuts every text anew and holds the words against the index, word by word. Used by tests after every story.

use super::{
    episodes,
    index::{self, Group},
    rebuild, rows,
};
use crate::{
    domain::memory::Kind,
    store::sqlite::{Answer, Fault, check::Problem, open_reader_of},
};
use rusqlite::Connection;
use std::{collections::BTreeSet, path::Path};

/// Promises, and queries for rows that break them.
const PROMISES: [(&str, &str); 10] = [
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
        "a group counts its messages",
        "SELECT row FROM episode_group WHERE texts <> (SELECT count(*) FROM episode_length \
         WHERE episode_group.row IN (owner_group, tenant_group))",
    ),
    (
        "a message stands under its owner and its tenant",
        "SELECT episode_length.row FROM episode_length LEFT JOIN message ON message.row = episode_length.row \
         LEFT JOIN session ON session.row = message.session \
         LEFT JOIN episode_group AS owners ON owners.row = owner_group \
         LEFT JOIN episode_group AS tenants ON tenants.row = tenant_group \
         WHERE (owners.tenant, owners.owner, tenants.tenant, tenants.owner) \
         IS NOT (session.tenant, session.owner, session.tenant, '') OR session.row IS NULL",
    ),
    (
        "no position stands beyond the newest message",
        "SELECT value FROM memory_state WHERE name = 'episodes_through' \
         AND value > (SELECT coalesce(max(row), 0) FROM message)",
    ),
];

/// A word of the index: its text's row, its column, its place, itself.
type Instance = (i64, String, i64, String);

/// What does not hold of the memory in a data directory; empty when all is well.
///
/// # Errors
/// The store can't be read.
pub fn check(data_directory: &Path) -> anyhow::Result<Vec<Problem>> {
    let connection = open_reader_of(data_directory)?;
    let transaction = connection.unchecked_transaction()?;
    let mut broken = Vec::new();
    for (promise, query) in PROMISES {
        let found: Vec<i64> = transaction
            .prepare(query)?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if !found.is_empty() {
            broken.push(Problem::new(promise, format!("not so in rows {found:?}")));
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
fn compare(connection: &Connection, broken: &mut Vec<Problem>) -> Answer<()> {
    let tables = index::Tables::of(connection)?;
    let other = 3 - tables.active;
    // What an upgrade has not reached yet may be missing.
    let outdated = rebuild::is_outdated(connection)?;
    let [memories, messages] = [items(connection)?, messages(connection)?];
    for (name, Expected { words, lengths }) in [("memory", memories), ("episode", messages)] {
        let found = instances(connection, name, tables.active)?;
        let may_miss = outdated && name == "memory";
        if let Some(word) = words.difference(&found).next().filter(|_| !may_miss) {
            broken.push(Problem::new(
                &format!("{name}_index has every word"),
                format!("it lacks {word:?}"),
            ));
        }
        if let Some(word) = found.difference(&words).next() {
            broken.push(Problem::new(
                &format!("{name}_index has no other word"),
                format!("it has {word:?}"),
            ));
        }
        let counted: BTreeSet<(i64, i64)> = connection
            .prepare(&format!("SELECT row, words FROM {name}_length"))?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if let Some(length) = lengths.difference(&counted).next().filter(|_| !may_miss) {
            broken.push(Problem::new(
                &format!("{name}_length has every text"),
                format!("it lacks {length:?}"),
            ));
        }
        if let Some(length) = counted.difference(&lengths).next() {
            broken.push(Problem::new(
                &format!("{name}_length is what is counted"),
                format!("it has {length:?}"),
            ));
        }
        // What a rebuild has not reached yet may be missing there, never more.
        let built = instances(connection, name, other)?;
        let allowed = if rebuild::runs_beside(connection)? {
            words
        } else {
            BTreeSet::new()
        };
        if let Some(word) = built.difference(&allowed).next() {
            broken.push(Problem::new(
                &format!("the {name}_index that is not read has no other word"),
                format!("it has {word:?}"),
            ));
        }
    }
    Ok(())
}

/// What an index must have.
#[derive(Default)]
struct Expected {
    words: BTreeSet<Instance>,
    /// Rows, and how many words each text has.
    lengths: BTreeSet<(i64, i64)>,
}

fn items(connection: &Connection) -> Answer<Expected> {
    let mut expected = Expected::default();
    let mut statement = connection.prepare(&format!("SELECT {} FROM memory", rows::ITEM))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let item = rows::item(row)?;
        if item.kind == Kind::Secret || item.forget_time.is_some() {
            continue;
        }
        let text = item.text(None)?;
        let lines = index::item_lines(item.scope, item.kind, &item.key, &item.tags, &text);
        expected.lengths.insert((item.row, lines.words));
        for (column, line) in [
            ("key", lines.key),
            ("tags", lines.tags),
            ("content", lines.content),
            ("marks", lines.marks),
        ] {
            expected.text(item.row, column, &line);
        }
    }
    Ok(expected)
}

fn messages(connection: &Connection) -> Answer<Expected> {
    let mut expected = Expected::default();
    let mut statement = connection.prepare(
        "SELECT message.row, parts, owners.row, tenants.row FROM message \
         JOIN session ON session.row = message.session \
         LEFT JOIN episode_group AS owners ON (owners.tenant, owners.owner) = (session.tenant, session.owner) \
         LEFT JOIN episode_group AS tenants ON (tenants.tenant, tenants.owner) = (session.tenant, '') \
         WHERE role IN (1, 2) AND message.row <= (SELECT value FROM memory_state WHERE name = 'episodes_through')",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let text = episodes::text(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        let number = row.get(0)?;
        let (owner, tenant): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        let (Some(owner), Some(tenant)) = (owner, tenant) else {
            return Err(Fault::Broken(format!("message {number} has no group")));
        };
        let line = index::episode_line(Group(owner), Group(tenant), &text);
        expected.lengths.insert((number, line.words));
        expected.text(number, "content", &line.content);
    }
    Ok(expected)
}

// === impl Expected ===

impl Expected {
    fn text(&mut self, row: i64, column: &str, line: &str) {
        for (place, word) in (0..).zip(line.split_ascii_whitespace()) {
            self.words
                .insert((row, column.to_owned(), place, word.to_owned()));
        }
    }
}

/// What stands in an index.
fn instances(connection: &Connection, name: &str, number: i64) -> Answer<BTreeSet<Instance>> {
    let mut statement = connection.prepare(&format!(
        "SELECT doc, col, \"offset\", term FROM {name}_words_{number}"
    ))?;
    let found = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
