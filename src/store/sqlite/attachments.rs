//! Attachments: each content once per session, and its bytes once for a session and all that were forked from it.

use super::{fault::Answer, writer::Unit};
use crate::domain::{
    ids::SessionRow,
    turn::{Attachment, AttachmentRef},
};
use bytes::Bytes;

/// Rows that one look finds.
const LOOK_MAX_ROWS: i64 = 64;

/// The bytes of stored attachments.
pub(super) fn load(
    unit: &Unit<'_>,
    session: SessionRow,
    references: &[AttachmentRef],
) -> Answer<Vec<Attachment>> {
    references
        .iter()
        .map(|reference| {
            let data: Vec<u8> = unit
                .sql(
                    "SELECT content.data FROM attachment JOIN content ON content.row = attachment.content \
                     WHERE attachment.session = ?1 AND attachment.hash = ?2",
                )?
                .query_row((session.0, &reference.attachment_id), |row| row.get(0))?;
            Ok(Attachment {
                reference: reference.clone(),
                data: Bytes::from(data),
            })
        })
        .collect()
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
            "SELECT octet_length(content.data) FROM attachment JOIN content ON content.row = attachment.content \
             WHERE attachment.session = ?1 AND attachment.hash = ?2",
        )?
        .query_row((to.0, attachment_id), |row| row.get(0))?;
    Ok(bytes)
}

/// Removes a session's attachments, and the bytes that nobody names any more, as much as belongs into one commit. True
/// when none is left.
pub(super) fn remove(unit: &Unit<'_>, session: SessionRow) -> Answer<bool> {
    loop {
        let found: Vec<(i64, i64, i64)> = unit
            .sql(
                "SELECT attachment.row, content, octet_length(content.data) FROM attachment \
                 JOIN content ON content.row = attachment.content WHERE attachment.session = ?1 LIMIT ?2",
            )?
            .query_map((session.0, LOOK_MAX_ROWS), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        if found.is_empty() {
            return Ok(true);
        }
        for (row, content, bytes) in found {
            unit.sql("DELETE FROM attachment WHERE row = ?1")?
                .execute([row])?;
            let gone = unit
                .sql(
                    "DELETE FROM content WHERE row = ?1 AND NOT EXISTS \
                     (SELECT 1 FROM attachment WHERE attachment.content = ?1)",
                )?
                .execute([content])?;
            let freed = if gone > 0 { bytes } else { 0 };
            if !unit.spend(freed) {
                return Ok(false);
            }
        }
    }
}
