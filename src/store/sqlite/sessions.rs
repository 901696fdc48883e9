//! Sessions: made, changed, claimed.

use super::{
    access::Need,
    edit::{self, SessionEdit},
    fault::Answer,
    requests::{self, Done, WhenGone, once, require_generation},
    storage,
    writer::Unit,
};
use crate::{
    domain::{
        Event, LogId, Refusal,
        access::{Scope, Shares},
        event::ForkOrigin,
        ids::{SessionRow, Time},
        session::{Session, SessionState},
        turn::Usage,
    },
    store::{Caller, Committed, Fence, NewSession, UpdateSession},
};
use std::sync::Arc;
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
            unit.require_room(0)?;
            let edit = insert(unit, &caller, new, None)?;
            let session = edit.save(unit, caller.now)?;
            Ok(Done::session(session))
        },
    )
}

/// Makes a session for a caller, with its first event. A fork's has its row already.
pub(super) fn insert(
    unit: &Unit<'_>,
    caller: &Caller,
    new: NewSession,
    fork: Option<(ForkOrigin, SessionRow)>,
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
    let (forked_from, row) = match fork {
        Some((origin, row)) => (Some(origin), Some(row)),
        None => (None, None),
    };
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
    storage::require(unit, &session, 0)?;
    let mut edit = SessionEdit::insert(unit, session, row)?;
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
pub(super) fn require_free(found: Option<SessionEdit>) -> Answer<()> {
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
            storage::require(unit, session, 0)?;
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
