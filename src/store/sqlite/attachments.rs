//! Attachments: each content once per session, and its bytes once for a session and all that were forked from it.
//!
//! A small content stands in its row. A large one stands in pieces that were written before the command that brings it,
//! see `staging.rs`. A content without a name is noted as loose, in the commit that makes it so, until its bytes are gone.

use super::{
    fault::{Answer, Fault},
    making::Makings,
    removal,
    writer::Unit,
};
use crate::domain::{
    ids::SessionRow,
    turn::{Attachment, AttachmentRef},
};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeMap;

/// Rows that one look finds.
const LOOK_MAX_ROWS: i64 = 64;

/// A content as a session names it.
pub(super) struct Found {
    /// Its name, of its first use.
    pub(super) name: String,
    /// Its media type.
    pub(super) media_type: String,
    /// Its bytes.
    pub(super) data: Bytes,
}

/// What a session names so; `None` where it names nothing so.
pub(super) fn find(
    connection: &Connection,
    session: SessionRow,
    attachment_id: &str,
) -> rusqlite::Result<Option<Found>> {
    let found = connection
        .prepare_cached(
            "SELECT attachment.name, attachment.media_type, content.row, content.data FROM attachment \
             JOIN content ON content.row = attachment.content \
             WHERE attachment.session = ?1 AND attachment.hash = ?2",
        )?
        .query_row((session.0, attachment_id), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((name, media_type, content, mut data)) = found else {
        return Ok(None);
    };
    add_pieces(connection, content, &mut data)?;
    Ok(Some(Found {
        name,
        media_type,
        data: Bytes::from(data),
    }))
}

/// Adds the bytes of a content that stand in pieces.
pub(super) fn add_pieces(
    connection: &Connection,
    content: i64,
    data: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT data FROM content_piece WHERE content = ?1 ORDER BY row")?;
    let mut pieces = statement.query([content])?;
    while let Some(piece) = pieces.next()? {
        data.extend_from_slice(piece.get_ref(0)?.as_blob()?);
    }
    Ok(())
}

/// The bytes of stored attachments.
pub(super) fn load(
    unit: &Unit<'_>,
    session: SessionRow,
    references: &[AttachmentRef],
) -> Answer<Vec<Attachment>> {
    references
        .iter()
        .map(|reference| {
            let found = find(unit.connection, session, &reference.attachment_id)?;
            let found =
                found.ok_or_else(|| Fault::Broken("an attachment has no bytes".to_owned()))?;
            Ok(Attachment {
                reference: reference.clone(),
                data: found.data,
            })
        })
        .collect()
}

/// Keeps an attachment of a session. `staged` has the contents whose bytes are written already, by their ids.
pub(super) fn keep(
    connection: &Connection,
    session: i64,
    attachment: &Attachment,
    staged: &BTreeMap<String, i64>,
) -> Answer<()> {
    let AttachmentRef {
        attachment_id,
        name,
        media_type,
        size: _,
    } = &attachment.reference;
    let content = match staged.get(attachment_id) {
        Some(content) => {
            let named = connection
                .prepare_cached("DELETE FROM loose_content WHERE content = ?1")?
                .execute([content])?;
            if named != 1 {
                return Err(Fault::Broken("staged bytes are gone".to_owned()));
            }
            connection
                .prepare_cached("UPDATE content SET session = ?2 WHERE row = ?1")?
                .execute((content, session))?;
            *content
        }
        None => {
            connection
                .prepare_cached(
                    "INSERT INTO content (session, hash, name, media_type, data) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    session,
                    attachment_id,
                    name,
                    media_type,
                    &attachment.data[..],
                ])?;
            connection.last_insert_rowid()
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO attachment (session, hash, name, media_type, content) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![session, attachment_id, name, media_type, content])?;
    Ok(())
}

/// Makes a loose content without bytes. Its session is a number that no session has and no other content.
pub(super) fn begin(unit: &Unit<'_>, reference: &AttachmentRef) -> Answer<i64> {
    let content: i64 = unit
        .sql("SELECT coalesce(max(row), 0) + 1 FROM content")?
        .query_row([], |row| row.get(0))?;
    unit.sql(
        "INSERT INTO content (row, session, hash, name, media_type, data) VALUES (?1, -?1, ?2, ?3, ?4, x'')",
    )?
    .execute(params![
        content,
        reference.attachment_id,
        reference.name,
        reference.media_type
    ])?;
    unit.sql("INSERT INTO loose_content (content, session) VALUES (?1, 0)")?
        .execute([content])?;
    Ok(content)
}

/// Adds bytes to a loose content.
pub(super) fn add_piece(unit: &Unit<'_>, content: i64, data: &[u8]) -> Answer<()> {
    unit.sql("INSERT INTO content_piece (content, data) VALUES (?1, ?2)")?
        .execute((content, data))?;
    Ok(())
}

/// Lets another session name an attachment too. Returns the bytes that it names more.
pub(super) fn copy(
    unit: &Unit<'_>,
    from: SessionRow,
    to: SessionRow,
    attachment_id: &str,
) -> Answer<i64> {
    let named = unit
        .sql(
        "INSERT INTO attachment (session, hash, name, media_type, content) \
         SELECT ?1, hash, name, media_type, content FROM attachment WHERE session = ?2 AND hash = ?3 \
         ON CONFLICT DO NOTHING",
    )?
    .execute((to.0, from.0, attachment_id))?;
    if named == 0 {
        return Ok(0);
    }
    let bytes = unit
        .sql(
            "SELECT bytes FROM attachment JOIN content_bytes ON content_bytes.content = attachment.content \
             WHERE attachment.session = ?1 AND attachment.hash = ?2",
        )?
        .query_row((to.0, attachment_id), |row| row.get(0))?;
    Ok(bytes)
}

/// Removes a session's attachments, and the bytes that nobody names any more, as much as belongs into one commit. True
/// when none is left.
pub(super) fn remove(unit: &Unit<'_>, session: SessionRow) -> Answer<bool> {
    loop {
        if !take_back_of(unit, session)? {
            return Ok(false);
        }
        let found: Vec<(i64, i64)> = unit
            .sql("SELECT row, content FROM attachment WHERE session = ?1 LIMIT ?2")?
            .query_map((session.0, LOOK_MAX_ROWS), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        if found.is_empty() {
            return Ok(true);
        }
        for (row, content) in found {
            unit.sql("DELETE FROM attachment WHERE row = ?1")?
                .execute([row])?;
            unit.sql(
                "INSERT INTO loose_content (content, session) SELECT ?1, ?2 WHERE NOT EXISTS \
                 (SELECT 1 FROM attachment WHERE attachment.content = ?1)",
            )?
            .execute((content, session.0))?;
        }
    }
}

/// Takes back the contents whose last name a session had. True when none is left.
fn take_back_of(unit: &Unit<'_>, session: SessionRow) -> Answer<bool> {
    let loose: Vec<i64> = unit
        .sql("SELECT content FROM loose_content WHERE session = ?1")?
        .query_map([session.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for content in loose {
        if !take_back(unit, content)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes back what nobody names and nobody is making, as much as belongs into one commit. True when none is left.
pub(super) fn take_back_cut(unit: &Unit<'_>, makings: &Makings) -> Answer<bool> {
    let loose: Vec<i64> = unit
        .sql("SELECT content FROM loose_content")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for content in loose {
        if !makings.holds(content) && !take_back(unit, content)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a loose content, as much of it as belongs into one commit; nothing where it is loose no more. True when it is
/// gone.
pub(super) fn take_back(unit: &Unit<'_>, content: i64) -> Answer<bool> {
    let bytes: Option<i64> = unit
        .sql(
            "SELECT octet_length(content.data) FROM loose_content JOIN content ON content.row = loose_content.content \
             WHERE loose_content.content = ?1",
        )?
        .query_row([content], |row| row.get(0))
        .optional()?;
    let Some(bytes) = bytes else {
        return Ok(true);
    };
    let pieces = "SELECT row, octet_length(data) FROM content_piece WHERE content = ?1 LIMIT 256";
    if !removal::each(unit, "content_piece", pieces, [content])? {
        return Ok(false);
    }
    unit.sql("DELETE FROM content WHERE row = ?1")?
        .execute([content])?;
    unit.sql("DELETE FROM loose_content WHERE content = ?1")?
        .execute([content])?;
    Ok(unit.spend(bytes))
}
