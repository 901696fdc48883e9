//! Sessions: made, changed, forked, claimed.

use super::{
    access::{self, Need},
    edit::{self, SessionEdit},
    fault::{Answer, Fault},
    requests::{self, Done, WhenGone, once, require_generation},
    rows,
    writer::Unit,
};
use crate::{
    domain::{
        Event, LogId, Refusal,
        access::{Scope, Scopes, Shares},
        event::ForkOrigin,
        ids::{SessionRow, Time},
        memory::Reach,
        message::Part,
        session::{Session, SessionState},
        turn::{Attachment, AttachmentRef, Turn, Usage},
    },
    store::{Caller, Committed, Fence, Fork, NewSession, UpdateSession},
};
use bytes::Bytes;
use rusqlite::params;
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;

/// CreateSession.
pub(super) fn create(unit: &mut Unit<'_>, caller: Caller, new: NewSession) -> Answer<Committed> {
    once(
        unit,
        &caller,
        Need::Make,
        WhenGone::Refuse,
        |unit, _, found| {
            require_free(found)?;
            unit.require_room()?;
            let edit = insert(unit, &caller, new, None)?;
            let session = edit.save(unit, caller.now)?;
            Ok(Done::session(session))
        },
    )
}

/// Makes a session for a caller, with its first event.
pub(super) fn insert(
    unit: &Unit<'_>,
    caller: &Caller,
    new: NewSession,
    forked_from: Option<ForkOrigin>,
) -> Answer<SessionEdit> {
    let NewSession {
        agent,
        model,
        thinking_level,
        labels,
        cwd,
        cwd_refused,
        display_name,
        expire_after_idle,
        memory_namespaces,
    } = new;
    if let Some(refusal) = cwd_refused {
        return Err(refusal.into());
    }
    if !agent.is_empty() {
        require_agent(unit, &agent)?;
    }
    if caller.expected_generation.is_some_and(|g| g != 1) {
        // Nothing is there; a new session would be in generation 1.
        return Err(Refusal::GenerationMismatch { generation: 0 }.into());
    }
    let primary = caller.key == unit.rules.primary_session;
    if primary {
        // It stands for the tenant: it can't be deleted, and has the tenant's memory. Who comes first does not own that.
        caller.identity.require(Scope::TenantSessions)?;
    }
    let session = Session {
        row: SessionRow(0),
        uid: Uuid::new_v4(),
        tenant: caller.identity.principal.tenant.clone(),
        owner: caller.identity.principal.subject.clone(),
        shares: Shares::new(),
        key: caller.key.clone(),
        log_id: LogId::default(),
        session_id: Uuid::now_v7(),
        generation: 1,
        display_name,
        agent: if agent.is_empty() {
            unit.rules.default_agent.clone()
        } else {
            agent
        },
        next_agent: String::new(),
        model,
        thinking_level,
        labels,
        cwd,
        expire_after_idle,
        memory_namespaces,
        state: SessionState::Idle,
        active_turn: None,
        queue_depth: 0,
        queue_bytes: 0,
        message_count: 0,
        user_message_count: 0,
        last_message_preview: String::new(),
        usage: Usage::default(),
        head: 0,
        first_seq: 1,
        epoch: 0,
        create_time: caller.now,
        update_time: caller.now,
        last_active_time: caller.now,
        primary,
    };
    let mut edit = SessionEdit::insert(unit, session)?;
    let created = Event::SessionCreated {
        session: Box::new(edit.session.clone()),
        forked_from,
    };
    edit.event(unit, caller.now, None, None, &created)?;
    Ok(edit)
}

/// Refuses an agent that is not configured.
pub(super) fn require_agent(unit: &Unit<'_>, agent: &str) -> Answer<()> {
    if unit.rules.agents.contains_key(agent) {
        return Ok(());
    }
    let known: Vec<&str> = unit.rules.agents.keys().map(String::as_str).collect();
    let problem = format!("no such agent; configured are: {}", known.join(", "));
    Err(Refusal::field("agent", problem).into())
}

/// Refuses a key that a caller may use already.
fn require_free(found: Option<SessionEdit>) -> Answer<()> {
    let Some(edit) = found else {
        return Ok(());
    };
    let key = edit.session.key.as_str().to_owned();
    Err(if edit.session.state == SessionState::Deleting {
        Refusal::SessionDeleting { key }.into()
    } else {
        Refusal::SessionExists { key }.into()
    })
}

/// UpdateSession.
pub(super) fn update(unit: &mut Unit<'_>, command: UpdateSession) -> Answer<Committed> {
    let UpdateSession {
        caller,
        display_name,
        labels,
        agent,
        cwd,
        cwd_refused,
        expire_after_idle,
        memory_namespaces,
        shares,
    } = command;
    let need = if shares.is_some() {
        Need::Own
    } else {
        Need::Write
    };
    once(unit, &caller, need, WhenGone::Refuse, |unit, _, found| {
        let mut edit = requests::usable(unit, &caller, found)?;
        require_generation(&caller, edit.session.generation)?;
        if let Some(refusal) = cwd_refused {
            return Err(refusal.into());
        }
        let before = edit.session.clone();
        let session = &mut edit.session;
        session.cwd = cwd.unwrap_or_else(|| before.cwd.clone());
        if let Some(agent) = agent {
            require_agent(unit, &agent)?;
            session.next_agent = if agent == session.agent {
                String::new()
            } else {
                agent
            };
        }
        session.display_name = display_name.unwrap_or_else(|| before.display_name.clone());
        session.labels = labels.unwrap_or_else(|| before.labels.clone());
        session.expire_after_idle = expire_after_idle.unwrap_or(before.expire_after_idle);
        session.memory_namespaces =
            memory_namespaces.unwrap_or_else(|| before.memory_namespaces.clone());
        if let Some(shares) = shares {
            require_sharable(session, &shares)?;
            edit.share(unit, shares)?;
        }
        let session = &edit.session;
        if *session != before {
            edit.settings_changed = true;
            let mut seen = edit.session.clone();
            seen.update_time = caller.now;
            let updated = Event::SessionUpdated {
                session: Box::new(seen),
            };
            edit.event(unit, caller.now, None, None, &updated)?;
        }
        let session = edit.save(unit, caller.now)?;
        Ok(Done::session(session))
    })
}

/// The memory that a fork takes over: what its maker might have set. A reader of a session that reaches the tenant's
/// memory does not get there by a fork.
fn inherited_memory(maker: &Caller, source: &Session) -> Vec<Reach> {
    if maker.identity.scopes.includes(Scopes::MEMORY) {
        source.memory_namespaces.clone()
    } else {
        Vec::new()
    }
}

/// Refuses shares that say nothing.
fn require_sharable(session: &Session, shares: &Shares) -> Answer<()> {
    if shares.contains_key(&session.owner) {
        let problem = "the session's owner needs no share";
        return Err(Refusal::field("session.shares", problem).into());
    }
    Ok(())
}

/// Takes a session for an owner of this process.
pub(super) fn claim(unit: &mut Unit<'_>, row: SessionRow) -> Answer<(Fence, Arc<Session>)> {
    let Some(mut edit) = SessionEdit::of_row(unit, row)? else {
        return Err(edit::gone(unit.connection, row)?.into());
    };
    take_over(unit, &mut edit)?;
    let fence = Fence {
        session: row,
        epoch: edit.session.epoch,
    };
    Ok((fence, Arc::new(edit.session)))
}

/// Raises the epoch: whoever held the session is fenced from this commit on.
pub(super) fn take_over(unit: &Unit<'_>, edit: &mut SessionEdit) -> Answer<()> {
    edit.session.epoch += 1;
    unit.sql("UPDATE session SET epoch = ?2, owner_life = ?3 WHERE row = ?1")?
        .execute((edit.session.row.0, edit.session.epoch, unit.life))?;
    Ok(())
}

// === fork ===

/// ForkSession.
pub(super) fn fork(unit: &mut Unit<'_>, command: Fork) -> Answer<Committed> {
    let Fork {
        caller,
        new_key,
        turn_id,
    } = command;
    once(
        unit,
        &caller,
        Need::Write,
        WhenGone::Refuse,
        |unit, _, found| {
            let source = requests::usable(unit, &caller, found)?.session;
            require_generation(&caller, source.generation)?;
            let can_fork = unit.rules.agents.get(&source.agent).is_some_and(|a| a.fork);
            if !can_fork {
                return Err(Refusal::UnsupportedByAgent {
                    agent: source.agent,
                    what: "be forked",
                }
                .into());
            }
            let point = fork_point(unit, &source, turn_id)?;
            let owner = Caller {
                key: new_key,
                request: None,
                expected_generation: None,
                ..caller.clone()
            };
            require_free(access::authorize(unit, &owner, Need::Make)?)?;
            unit.require_room()?;
            let origin = ForkOrigin {
                session_key: source.key.as_str().to_owned(),
                log_id: source.log_id.to_string(),
                turn_id: point
                    .as_ref()
                    .map_or_else(String::new, |(t, _)| t.turn_id.to_string()),
            };
            let settings = NewSession {
                agent: source.agent.clone(),
                model: source.model.clone(),
                thinking_level: source.thinking_level.clone(),
                labels: source.labels.clone(),
                cwd: source.cwd.clone(),
                cwd_refused: None,
                display_name: source.display_name.clone(),
                expire_after_idle: source.expire_after_idle,
                memory_namespaces: inherited_memory(&owner, &source),
            };
            let mut edit = insert(unit, &owner, settings, Some(origin))?;
            // Without a finished turn there still is what the source itself was forked with.
            let (generation, end_seq) =
                point.map_or((source.generation, 0), |(t, end)| (t.generation, end));
            copy_messages(unit, &source, &mut edit, generation, end_seq)?;
            let session = edit.save(unit, caller.now)?;
            Ok(Done::session(session))
        },
    )
}

/// The turn up to which is copied, and the `seq` of its end.
fn fork_point(
    unit: &Unit<'_>,
    source: &Session,
    turn_id: Option<Uuid>,
) -> Answer<Option<(Turn, i64)>> {
    let found: Option<(i64, Option<i64>)> = {
        let mut statement = match turn_id {
            Some(_) => unit.sql(
                "SELECT row, end_seq FROM turn WHERE session = ?1 AND turn_id = ?2",
            )?,
            None => unit.sql(
                "SELECT row, end_seq FROM turn WHERE session = ?1 AND state > 4 AND start_time IS NOT NULL \
                 AND generation = ?2 ORDER BY end_seq DESC LIMIT 1",
            )?,
        };
        let mut found = match turn_id {
            Some(turn_id) => statement.query((source.row.0, turn_id))?,
            None => statement.query((source.row.0, source.generation))?,
        };
        match found.next()? {
            Some(row) => Some((row.get(0)?, row.get(1)?)),
            None => None,
        }
    };
    match (found, turn_id) {
        (None, None) => Ok(None),
        (None, Some(turn_id)) => Err(Refusal::TurnNotFound {
            turn_id: turn_id.to_string(),
        }
        .into()),
        (Some((_, None)), _) => Err(Refusal::field("turn_id", "the turn is not finished").into()),
        (Some((row, Some(end_seq))), _) => {
            let turn = edit::turn_of_row(unit.connection, &source.key, row)?
                .ok_or_else(|| Fault::Broken(format!("turn {row} vanished")))?;
            Ok(Some((turn, end_seq)))
        }
    }
}

/// Copies the messages of every turn of a generation that had ended at a position; `seq` 0 says that no event of the new
/// log made them.
fn copy_messages(
    unit: &Unit<'_>,
    source: &Session,
    edit: &mut SessionEdit,
    generation: i64,
    end_seq: i64,
) -> Answer<()> {
    let mut attachments = BTreeSet::new();
    let mut statement = unit.sql(&format!(
        "SELECT {} FROM message WHERE session = ?1 AND generation = ?2 AND (seq = 0 OR turn_id IN \
         (SELECT turn_id FROM turn WHERE session = ?1 AND end_seq <= ?3)) ORDER BY row",
        rows::MESSAGE
    ))?;
    let mut found = statement.query((source.row.0, generation, end_seq))?;
    while let Some(row) = found.next()? {
        let (message, _) = rows::message(row)?;
        for part in &message.parts {
            if let Part::Attachment(reference) = part {
                attachments.insert(reference.attachment_id.clone());
            }
        }
        unit.sql(
            "INSERT INTO message (session, generation, seq, item_id, turn_id, role, time, partial, continued, parts) \
             VALUES (?1, 1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            edit.session.row.0,
            message.item_id,
            message.turn_id,
            message.role as i64,
            message.create_time.0,
            message.partial,
            message.continued,
            row.get::<_, Vec<u8>>(8)?,
        ])?;
        edit.count_message(message.role, &message.parts);
    }
    for hash in attachments {
        unit.sql(
            "INSERT INTO attachment (session, hash, name, media_type, data) \
             SELECT ?1, hash, name, media_type, data FROM attachment WHERE session = ?2 AND hash = ?3",
        )?
        .execute((edit.session.row.0, source.row.0, hash))?;
    }
    Ok(())
}

// === attachments ===

/// Stores attachments, each content once per session; returns their references.
pub(super) fn store_attachments(
    unit: &Unit<'_>,
    session: SessionRow,
    attachments: Vec<Attachment>,
) -> Answer<Vec<AttachmentRef>> {
    attachments
        .into_iter()
        .map(|Attachment { reference, data }| {
            unit.sql(
                "INSERT INTO attachment (session, hash, name, media_type, data) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                session.0,
                reference.attachment_id,
                reference.name,
                reference.media_type,
                &data[..],
            ])?;
            Ok(reference)
        })
        .collect()
}

/// The bytes of stored attachments.
pub(super) fn load_attachments(
    unit: &Unit<'_>,
    session: SessionRow,
    references: &[AttachmentRef],
) -> Answer<Vec<Attachment>> {
    references
        .iter()
        .map(|reference| {
            let data: Vec<u8> = unit
                .sql("SELECT data FROM attachment WHERE session = ?1 AND hash = ?2")?
                .query_row((session.0, &reference.attachment_id), |row| row.get(0))?;
            Ok(Attachment {
                reference: reference.clone(),
                data: Bytes::from(data),
            })
        })
        .collect()
}

/// Deletes a session as the system does it: idle for longer than it may be.
pub(super) fn idle_since(edit: &SessionEdit, now: Time) -> bool {
    let Session {
        expire_after_idle,
        last_active_time,
        active_turn,
        queue_depth,
        primary,
        state,
        ..
    } = &edit.session;
    expire_after_idle.is_some_and(|after| last_active_time.plus_micros(after) <= now)
        && active_turn.is_none()
        && *queue_depth == 0
        && !primary
        && *state != SessionState::Deleting
}
