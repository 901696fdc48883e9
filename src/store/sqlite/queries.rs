//! Reads. Each runs in one read transaction, bounded in rows looked at and bytes returned.

use super::{
    attachments,
    fault::Answer,
    load,
    rows::{self, Hidden},
};
use crate::{
    domain::{
        Refusal, SessionKey,
        access::Identity,
        ids::SessionRow,
        limits::MESSAGES_PAGE_MAX_BYTES,
        question::Question,
        session::{Session, SessionState},
        turn::{Attachment, AttachmentRef, Turn},
    },
    store::{EventsPage, EventsRange, MessagesPage},
};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;
use uuid::Uuid;

/// Rows that a filtered page looks at before it says where to go on.
const SCAN_MAX_ROWS: usize = 10_000;

/// The session of a key, as callers may see it.
pub(crate) fn session(
    connection: &Connection,
    generation: Uuid,
    viewer: &Identity,
    key: &SessionKey,
) -> Answer<Session> {
    let tenant = &viewer.principal.tenant;
    match load::session_of_key(connection, generation, tenant, key.as_str())? {
        Some((session, _)) if viewer.access(&session).is_some() => match session.state {
            SessionState::Deleting => Err(Refusal::SessionNotFound {
                key: key.as_str().to_owned(),
            }
            .into()),
            SessionState::Idle
            | SessionState::Running
            | SessionState::WaitingInput
            | SessionState::Canceling
            | SessionState::Resetting
            | SessionState::Deleted => Ok(session),
        },
        Some(_) | None => Err(load::absent(connection, viewer, key)?.into()),
    }
}

/// The session of a row.
pub(crate) fn session_by_row(
    connection: &Connection,
    generation: Uuid,
    row: SessionRow,
) -> Answer<Option<Arc<Session>>> {
    let found = load::session_of_row(connection, generation, row)?;
    Ok(found.map(|(session, _)| Arc::new(session)))
}

/// The active turn of a session in any state.
pub(super) fn active_turn(
    connection: &Connection,
    generation: Uuid,
    session: SessionRow,
) -> Answer<Option<Turn>> {
    match load::session_of_row(connection, generation, session)? {
        Some((
            session,
            Hidden {
                active_row: Some(row),
                ..
            },
        )) => load::turn_of_row(connection, &session.key, row),
        Some(_) | None => Ok(None),
    }
}

/// A turn.
pub(super) fn turn(
    connection: &Connection,
    generation: Uuid,
    viewer: &Identity,
    key: &SessionKey,
    turn_id: Uuid,
) -> Answer<Turn> {
    let session = session(connection, generation, viewer, key)?;
    require_turn(connection, &session, turn_id)
}

/// A turn of a session in any state.
pub(super) fn turn_of(
    connection: &Connection,
    generation: Uuid,
    session: SessionRow,
    turn_id: Uuid,
) -> Answer<Turn> {
    match load::session_of_row(connection, generation, session)? {
        Some((session, _)) => require_turn(connection, &session, turn_id),
        None => Err(load::gone(connection, session)?.into()),
    }
}

fn require_turn(connection: &Connection, session: &Session, turn_id: Uuid) -> Answer<Turn> {
    load::turn_of_id(connection, session, turn_id)?.ok_or_else(|| {
        Refusal::TurnNotFound {
            turn_id: turn_id.to_string(),
        }
        .into()
    })
}

/// A question.
pub(super) fn question(
    connection: &Connection,
    generation: Uuid,
    viewer: &Identity,
    key: &SessionKey,
    question_id: Uuid,
) -> Answer<Question> {
    let session = session(connection, generation, viewer, key)?;
    load::question(connection, &session, question_id)?.ok_or_else(|| {
        Refusal::QuestionNotFound {
            question_id: question_id.to_string(),
        }
        .into()
    })
}

/// The waiting turns of a session, in order.
pub(super) fn queue(
    connection: &Connection,
    generation: Uuid,
    viewer: &Identity,
    key: &SessionKey,
) -> Answer<Vec<Turn>> {
    let session = session(connection, generation, viewer, key)?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM turn WHERE turn.session = ?1 AND turn.state = 1 ORDER BY turn.position",
        rows::TURN
    ))?;
    let mut found = statement.query([session.row.0])?;
    let mut turns = Vec::new();
    while let Some(row) = found.next()? {
        turns.push(rows::turn(row, key)?);
    }
    Ok(turns)
}

/// `seq` of a turn's first event, or of the first that is kept.
pub(super) fn turn_first_seq(
    connection: &Connection,
    session: SessionRow,
    turn_id: Uuid,
) -> Answer<i64> {
    let first = connection
        .prepare_cached(
            "SELECT max(turn.queued_seq, session.first_seq) FROM turn JOIN session ON session.row = turn.session \
             WHERE turn.turn_id = ?1 AND turn.session = ?2",
        )?
        .query_row((turn_id, session.0), |row| row.get(0))
        .optional()?;
    first.ok_or_else(|| {
        Refusal::TurnNotFound {
            turn_id: turn_id.to_string(),
        }
        .into()
    })
}

/// The newest plan of a generation: its `seq` and the body of its event.
pub(super) fn plan(
    connection: &Connection,
    session: SessionRow,
    generation: i64,
) -> Answer<Option<(i64, Bytes)>> {
    let plan = connection
        .prepare_cached("SELECT seq, body FROM plan WHERE session = ?1 AND generation = ?2")?
        .query_row((session.0, generation), |row| {
            Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?.into()))
        })
        .optional()?;
    Ok(plan)
}

/// A page of a log.
pub(super) fn events(
    connection: &Connection,
    session: SessionRow,
    range: &EventsRange,
    limit: usize,
    max_bytes: usize,
) -> Answer<EventsPage> {
    let log = connection
        .prepare_cached("SELECT first_seq, head FROM session WHERE row = ?1")?
        .query_row([session.0], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((first_seq, head)) = log else {
        return Err(load::gone(connection, session)?.into());
    };
    let EventsRange {
        after,
        through,
        kinds,
        turn_id,
    } = range;
    let mut page = EventsPage {
        events: Vec::new(),
        looked: *after,
        first_seq,
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM event WHERE session = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq",
        rows::EVENT
    ))?;
    let mut found = statement.query((session.0, after, through))?;
    let (mut looked, mut bytes) = (0, 0);
    while let Some(row) = found.next()? {
        if page.events.len() >= limit || looked >= SCAN_MAX_ROWS {
            return Ok(page);
        }
        let seq: i64 = row.get(0)?;
        let kind: u8 = row.get(2)?;
        let wanted = (kinds.is_empty() || kinds.iter().any(|wanted| wanted.0 == kind))
            && (turn_id.is_none() || row.get::<_, Option<Uuid>>(3)? == *turn_id);
        if wanted {
            let event = rows::event(row)?;
            if !page.events.is_empty() && bytes + event.body.len() > max_bytes {
                return Ok(page);
            }
            bytes += event.body.len();
            page.events.push(event);
        }
        looked += 1;
        page.looked = seq;
    }
    // Nothing more is there: all up to the end of the range was looked at, and nothing beyond the head can have been.
    page.looked = page.looked.max((*through).min(head));
    Ok(page)
}

/// A page of messages, the newest page first, oldest first inside.
pub(super) fn messages(
    connection: &Connection,
    session: SessionRow,
    generation: i64,
    through: Option<i64>,
    before: Option<i64>,
    limit: usize,
) -> Answer<MessagesPage> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {}, row FROM message WHERE session = ?1 AND generation = ?2 AND row < ?3 AND seq <= ?4 \
         ORDER BY row DESC",
        rows::MESSAGE
    ))?;
    let row_column = statement.column_count() - 1;
    let mut found = statement.query((
        session.0,
        generation,
        before.unwrap_or(i64::MAX),
        through.unwrap_or(i64::MAX),
    ))?;
    let mut page = MessagesPage::default();
    let (mut last, mut bytes) = (0, 0);
    while let Some(row) = found.next()? {
        if page.messages.len() >= limit || bytes > MESSAGES_PAGE_MAX_BYTES {
            page.next = Some(last);
            break;
        }
        let (message, size) = rows::message(row)?;
        bytes += size;
        last = row.get(row_column)?;
        page.messages.push(message);
    }
    page.messages.reverse();
    Ok(page)
}

/// An attachment.
pub(super) fn attachment(
    connection: &Connection,
    session: SessionRow,
    attachment_id: &str,
) -> Answer<Attachment> {
    let found = attachments::find(connection, session, attachment_id)?;
    let Some(attachments::Found {
        name,
        media_type,
        data,
    }) = found
    else {
        return Err(Refusal::AttachmentNotFound {
            attachment_id: attachment_id.to_owned(),
        }
        .into());
    };
    Ok(Attachment {
        reference: AttachmentRef {
            attachment_id: attachment_id.to_owned(),
            name,
            media_type,
            size: i64::try_from(data.len()).expect("a content fits into memory"),
        },
        data,
    })
}

/// One row more tells whether there is another page.
pub(super) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1
}
