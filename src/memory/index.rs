//! The index of words: written with the rows, read by searches, filled anew by a rebuild.
//!
//! Every word stands in it under the number of a group of texts whose readers are the same: a scope for memories; for
//! messages their session's owner, and once more their tenant. What a search counts, weighs and walks through is of the
//! groups that its caller may read, so that nothing in an answer, nor how long it takes, tells of other texts.
//!
//! There are two of each table. One is read; while a rebuild runs, writes go to both, and at its end the other one is
//! read.

use super::{rebuild, words};
use crate::{
    domain::memory::Kind,
    store::sqlite::{Answer, Unit},
};
use rusqlite::{Connection, OptionalExtension as _};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// How words are cut and stand in the index. What an older version has put there is made anew after the start.
pub(super) const VERSION: i64 = 1;

/// Stand between the number of a group and what is in the group. No word has them, and the index takes them as letters.
const WORD_MARK: char = '¦';
const TAG_MARK: char = '§';
const KIND_MARK: char = '¶';
/// Comes after every character of a word.
pub(super) const AFTER_ALL: char = '\u{10ffff}';

/// Which tables count now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    /// Number of those that are read.
    pub(super) active: i64,
    /// Number of those that a rebuild fills.
    pub(super) building: Option<i64>,
}

/// Texts whose words stand under one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(pub(super) i64);

/// The words of a text, in its order. To cut them costs more than to write them, and needs nothing of the store.
pub(super) struct Words(Vec<String>);

/// An item as it stands in the index.
pub(super) struct ItemLines {
    pub(super) key: String,
    pub(super) tags: String,
    pub(super) content: String,
    pub(super) marks: String,
    /// Words of the first three.
    pub(super) words: i64,
}

/// A message as it stands in the index.
pub(super) struct EpisodeLine {
    pub(super) content: String,
    /// Words of the message; each stands there twice.
    pub(super) words: i64,
}

// === impl Tables ===

impl Tables {
    /// As of the connection's transaction.
    pub(super) fn of(connection: &Connection) -> Answer<Self> {
        let active = connection
            .prepare_cached("SELECT value FROM memory_state WHERE name = 'active'")?
            .query_row([], |row| row.get(0))?;
        let building = rebuild::runs_beside(connection)?.then_some(3 - active);
        Ok(Self { active, building })
    }

    pub(super) fn each(self) -> impl Iterator<Item = i64> {
        [Some(self.active), self.building].into_iter().flatten()
    }
}

// === impl Words ===

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let words = words::words(&words::normal(text));
        Self(words.into_iter().map(|word| word.text).collect())
    }

    fn count(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }
}

// === impl Group ===

impl Group {
    /// A word of the group as it stands in the index.
    pub(super) fn word(self, word: &str) -> String {
        format!("{:x}{WORD_MARK}{word}", self.0)
    }

    /// What a memory of that kind is marked with.
    pub(super) fn kind(self, kind: Kind) -> String {
        format!("{:x}{KIND_MARK}{}", self.0, kind as i64)
    }

    /// What a memory with that tag is marked with: the tag itself, to the letter.
    pub(super) fn tag(self, tag: &str) -> String {
        let digest = Sha256::digest(tag);
        let mut mark = format!("{:x}{TAG_MARK}", self.0);
        for byte in &digest[..16] {
            write!(mark, "{byte:02x}").expect("a string takes everything");
        }
        mark
    }

    fn line(self, words: &Words) -> String {
        let texts: Vec<String> = words.0.iter().map(|word| self.word(word)).collect();
        texts.join(" ")
    }

    /// The group of a subject's messages in a tenant, or of all the tenant's.
    pub(super) fn of_messages(
        connection: &Connection,
        tenant: &str,
        owner: Option<&str>,
    ) -> Answer<Option<(Self, i64)>> {
        Ok(connection
            .prepare_cached(
                "SELECT row, texts FROM episode_group WHERE tenant = ?1 AND owner = ?2",
            )?
            .query_row((tenant, owner.unwrap_or_default()), |row| {
                Ok((Self(row.get(0)?), row.get(1)?))
            })
            .optional()?)
    }

    /// The same; made where there is none.
    pub(super) fn make(unit: &Unit<'_>, tenant: &str, owner: Option<&str>) -> Answer<Self> {
        if let Some((group, _)) = Self::of_messages(unit.connection, tenant, owner)? {
            return Ok(group);
        }
        unit.sql("INSERT INTO episode_group (tenant, owner, texts) VALUES (?1, ?2, 0)")?
            .execute((tenant, owner.unwrap_or_default()))?;
        Ok(Self(unit.connection.last_insert_rowid()))
    }
}

/// Puts an item's words into the index, in place of those it had.
pub(super) fn put_item(unit: &Unit<'_>, row: i64, lines: &ItemLines) -> Answer<()> {
    remove_item(unit, row)?;
    for number in Tables::of(unit.connection)?.each() {
        put_lines(unit, number, row, lines)?;
    }
    Ok(())
}

/// The words of an item, by column.
pub(super) fn item_lines(
    scope: i64,
    kind: Kind,
    key: &str,
    tags: &[String],
    content: &str,
) -> ItemLines {
    let group = Group(scope);
    let words = [key, &tags.join(" "), content].map(Words::of);
    let count = words.iter().map(Words::count).sum();
    let [key, tag_words, content] = words.map(|words| group.line(&words));
    let mut marks = vec![group.kind(kind)];
    marks.extend(tags.iter().map(|tag| group.tag(tag)));
    ItemLines {
        key,
        tags: tag_words,
        content,
        marks: marks.join(" "),
        words: count,
    }
}

/// Puts an item's words into the index of one number, where they are not yet.
pub(super) fn put_lines(unit: &Unit<'_>, number: i64, row: i64, lines: &ItemLines) -> Answer<()> {
    let ItemLines {
        key,
        tags,
        content,
        marks,
        words,
    } = lines;
    unit.sql(&format!(
        "INSERT INTO memory_index_{number} (rowid, key, tags, content, marks) VALUES (?1, ?2, ?3, ?4, ?5)"
    ))?
    .execute((row, key, tags, content, marks))?;
    unit.sql("INSERT OR REPLACE INTO memory_length (row, words) VALUES (?1, ?2)")?
        .execute((row, words))?;
    Ok(())
}

/// Takes an item's words out of the index.
pub(super) fn remove_item(unit: &Unit<'_>, row: i64) -> Answer<()> {
    for number in [1, 2] {
        unit.sql(&format!(
            "DELETE FROM memory_index_{number} WHERE rowid = ?1"
        ))?
        .execute([row])?;
    }
    unit.sql("DELETE FROM memory_length WHERE row = ?1")?
        .execute([row])?;
    Ok(())
}

/// The words of a message, once under each of its groups.
pub(super) fn episode_line(owner: Group, tenant: Group, words: &Words) -> EpisodeLine {
    EpisodeLine {
        content: format!("{} {}", owner.line(words), tenant.line(words)),
        words: words.count(),
    }
}

/// Puts a message's words into the index of one number, in place of those it had.
pub(super) fn put_episode(
    unit: &Unit<'_>,
    number: i64,
    row: i64,
    (owner, tenant): (Group, Group),
    line: &EpisodeLine,
) -> Answer<()> {
    unit.sql(&format!(
        "DELETE FROM episode_index_{number} WHERE rowid = ?1"
    ))?
    .execute([row])?;
    unit.sql(&format!(
        "INSERT INTO episode_index_{number} (rowid, content) VALUES (?1, ?2)"
    ))?
    .execute((row, &line.content))?;
    // Not REPLACE: what goes by that is not counted down.
    unit.sql("DELETE FROM episode_length WHERE row = ?1")?
        .execute([row])?;
    unit.sql(
        "INSERT INTO episode_length (row, words, owner_group, tenant_group) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((row, line.words, owner.0, tenant.0))?;
    Ok(())
}
