//! Enqueue and Steer: what is accepted, and as what. Each is decided once, inside the transaction that writes it.

use super::{
    access::{Need, Sender},
    attachments, control,
    edit::SessionEdit,
    fault::Answer,
    queue::{self, NewTurn, Origin, Place},
    requests::{self, Done, WhenGone, once, require_generation},
    rows, sessions, storage,
    writer::Unit,
};
use crate::{
    domain::{
        Event, Refusal,
        access::agent_serves,
        ids::Time,
        limits::{GRACE_DEFAULT, PENDING_STEERS_MAX},
        refusal::LimitOf,
        session::SessionState,
        turn::{AbortMode, Attachment, Cause, Turn, TurnState},
    },
    store::{Admission, Committed, Enqueue, OnBusy, Steer},
};
use rusqlite::params;
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// Enqueue and Run.
pub(super) fn enqueue(unit: &mut Unit<'_>, command: Enqueue) -> Answer<Committed> {
    let Enqueue {
        caller,
        new_session,
        text,
        attachments,
        source,
        metadata,
        on_busy,
        on_interrupt,
        turn_timeout,
        queue_ttl,
        trace_context,
    } = command;
    once(
        unit,
        &caller,
        Need::Make,
        WhenGone::Refuse,
        |unit, request, found| {
            let bytes = bytes_of(&text, &attachments);
            unit.require_room(bytes)?;
            let bytes = storage::bytes(bytes);
            let now = caller.now;
            let mut edit = match found {
                None => sessions::insert(unit, &caller, new_session, None)?,
                Some(edit) => {
                    require_admitting(unit, &edit, &new_session.agent)?;
                    require_generation(&caller, edit.admission_generation())?;
                    edit
                }
            };
            storage::require(unit, &edit.session, bytes)?;
            let new = NewSteerOrTurn {
                text,
                attachments,
                turn_timeout,
                origin: Origin {
                    sender: Sender::of(&caller.identity, &edit.session),
                    request,
                    trace_context,
                },
            };
            let busy = edit.session.active_turn.is_some() || edit.session.queue_depth > 0;
            if busy {
                match on_busy {
                    OnBusy::Enqueue | OnBusy::Interrupt => {}
                    OnBusy::Reject => {
                        return Err(Refusal::SessionBusy {
                            active_turn_id: first_id(unit, &edit)?,
                        }
                        .into());
                    }
                    OnBusy::SteerOrEnqueue => {
                        if let Some(active) = steerable(unit, &edit)? {
                            return steer_active(unit, edit, active, new, now);
                        }
                    }
                }
            }
            let interrupts = on_busy == OnBusy::Interrupt;
            require_queue_room(unit, &edit, &new)?;
            let turn = NewTurn {
                turn_id: Uuid::now_v7(),
                text: new.text,
                attachments: attachments::store(unit, &mut edit, new.attachments)?,
                source,
                metadata,
                on_interrupt,
                turn_timeout,
                expire_time: queue_ttl.map(|ttl| now.plus_micros(rows::micros(ttl))),
                origin: new.origin,
            };
            let place = if interrupts {
                Place::First
            } else {
                Place::Last
            };
            let (turn, ahead) = admit(unit, &mut edit, turn, place, now)?;
            if interrupts {
                let stop = control::Stop {
                    cause: Cause::InterruptedByTurn,
                    mode: AbortMode::Cancel,
                    grace: GRACE_DEFAULT,
                    clears: false,
                };
                control::stop_active(unit, &mut edit, stop, now)?;
            }
            queued(unit, edit, turn, ahead, now)
        },
    )
}

/// Steer.
pub(super) fn steer(unit: &mut Unit<'_>, command: Steer) -> Answer<Committed> {
    let Steer {
        caller,
        text,
        attachments,
        expected_turn,
        turn_timeout,
        trace_context,
    } = command;
    once(
        unit,
        &caller,
        Need::Write,
        WhenGone::Refuse,
        |unit, request, found| {
            let now = caller.now;
            let mut edit = requests::usable(unit, &caller, found)?;
            require_generation(&caller, edit.admission_generation())?;
            let agent = edit.session.agent.as_str();
            if !unit.rules.agents.get(agent).is_some_and(|rule| rule.steer) {
                return Err(Refusal::UnsupportedByAgent {
                    agent: agent.to_owned(),
                    what: "be steered",
                }
                .into());
            }
            if expected_turn.is_some_and(|expected| edit.session.active_turn != Some(expected)) {
                return Err(Refusal::TurnMismatch {
                    active_turn_id: active_id(&edit),
                }
                .into());
            }
            let bytes = bytes_of(&text, &attachments);
            unit.require_room(bytes)?;
            storage::require(unit, &edit.session, storage::bytes(bytes))?;
            let new = NewSteerOrTurn {
                text,
                attachments,
                turn_timeout,
                origin: Origin {
                    sender: Sender::of(&caller.identity, &edit.session),
                    request,
                    trace_context,
                },
            };
            if let Some(active) = steerable(unit, &edit)? {
                return steer_active(unit, edit, active, new, now);
            }
            require_queue_room(unit, &edit, &new)?;
            let turn = NewTurn {
                turn_id: Uuid::now_v7(),
                text: new.text,
                attachments: attachments::store(unit, &mut edit, new.attachments)?,
                source: String::new(),
                metadata: BTreeMap::new(),
                on_interrupt: None,
                turn_timeout,
                expire_time: None,
                origin: new.origin,
            };
            let (turn, ahead) = admit(unit, &mut edit, turn, Place::Last, now)?;
            queued(unit, edit, turn, ahead, now)
        },
    )
}

/// Bytes of a prompt with what goes with it.
fn bytes_of(text: &str, attachments: &[Attachment]) -> usize {
    attachments
        .iter()
        .fold(text.len(), |sum, attachment| sum + attachment.data.len())
}

/// Input that becomes a steer or a turn.
struct NewSteerOrTurn {
    text: String,
    attachments: Vec<Attachment>,
    turn_timeout: Duration,
    origin: Origin,
}

fn require_admitting(unit: &Unit<'_>, edit: &SessionEdit, agent: &str) -> Answer<()> {
    if edit.session.state == SessionState::Deleting {
        return Err(Refusal::SessionDeleting {
            key: edit.session.key.as_str().to_owned(),
        }
        .into());
    }
    if !agent.is_empty() {
        sessions::require_agent(unit, agent)?;
        let present = edit.admission_agent();
        if agent != present {
            return Err(Refusal::AgentMismatch {
                agent: present.to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

fn require_queue_room(unit: &Unit<'_>, edit: &SessionEdit, new: &NewSteerOrTurn) -> Answer<()> {
    let turns = edit.session.queue_depth;
    let limit = unit.rules.quotas.get().queue_limit_turns;
    if turns >= limit {
        return Err(Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "turns",
            limit,
            current: turns,
        }
        .into());
    }
    let text = i64::try_from(new.text.len()).expect("a text fits into memory");
    let more = new
        .attachments
        .iter()
        .fold(text, |sum, a| sum + a.reference.size);
    queue::require_bytes(unit, &edit.session, more)
}

/// The active turn, if it takes steers.
fn steerable(unit: &Unit<'_>, edit: &SessionEdit) -> Answer<Option<Turn>> {
    let Some(turn) = edit.active(unit)? else {
        return Ok(None);
    };
    let runs = matches!(turn.state, TurnState::Running | TurnState::WaitingInput);
    let takes = unit
        .rules
        .agents
        .get(&turn.agent)
        .is_some_and(|rule| rule.steer);
    Ok((runs && takes).then_some(turn))
}

fn steer_active(
    unit: &mut Unit<'_>,
    mut edit: SessionEdit,
    active: Turn,
    new: NewSteerOrTurn,
    now: Time,
) -> Answer<Done> {
    let pending: i64 = unit
        .sql("SELECT count(*) FROM steer WHERE session = ?1")?
        .query_row([edit.session.row.0], |row| row.get(0))?;
    if pending >= PENDING_STEERS_MAX {
        return Err(Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "steers",
            limit: PENDING_STEERS_MAX,
            current: pending,
        }
        .into());
    }
    let NewSteerOrTurn {
        text,
        attachments,
        turn_timeout,
        origin:
            Origin {
                sender,
                request,
                trace_context,
            },
    } = new;
    let references = attachments::store(unit, &mut edit, attachments)?;
    let steer_id = Uuid::now_v7();
    unit.sql(
        "INSERT INTO steer (session, steer_id, given, text, attachments, turn_timeout, request, time, sender, \
         sender_key, sender_operator, trace_context, sender_memory) VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
         ?11, ?12)",
    )?
    .execute(params![
        edit.session.row.0,
        steer_id,
        text,
        rows::refs_text(&references),
        rows::micros(turn_timeout),
        request,
        now.0,
        sender.subject,
        sender.key_id,
        sender.operator,
        trace_context,
        sender.memory,
    ])?;
    edit.event(
        unit,
        now,
        Some((active.turn_id, active.generation)),
        None,
        &Event::SteerAccepted {
            steer_id,
            turn_id: active.turn_id,
            text,
        },
    )?;
    edit.session.last_active_time = now;
    let session = edit.save(unit, now)?;
    let mut done = Done::session(session).with_turn(Some(active));
    done.receipt.admission = Admission::Steered;
    done.receipt.steer_id = Some(steer_id);
    Ok(queue::admitted(done))
}

/// Inserts a turn and its `turn_queued`; returns it with how many wait ahead of it.
pub(super) fn admit(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    new: NewTurn,
    place: Place,
    now: Time,
) -> Answer<(Turn, i32)> {
    let agent = &edit.session.agent;
    let rule = unit.rules.agents.get(agent);
    if rule.is_some_and(|rule| !agent_serves(rule.operator_only, &edit.session.tenant)) {
        return Err(Refusal::IsolationRequired {
            agent: agent.clone(),
        }
        .into());
    }
    let mut turn = new.turn(edit, edit.admission_generation(), now);
    let queued_seq = edit.session.head + 1;
    let ahead = queue::insert(unit, edit, &mut turn, &new.origin, place, queued_seq)?;
    announce(unit, edit, turn, ahead, now).map(|turn| (turn, ahead))
}

/// Writes `turn_queued`.
pub(super) fn announce(
    unit: &Unit<'_>,
    edit: &mut SessionEdit,
    turn: Turn,
    ahead: i32,
    now: Time,
) -> Answer<Turn> {
    let about = Some((turn.turn_id, turn.generation));
    let event = Event::TurnQueued {
        turn: Box::new(turn),
        queue_position: ahead,
    };
    edit.event(unit, now, about, None, &event)?;
    edit.session.last_active_time = now;
    match event {
        Event::TurnQueued { turn, .. } => Ok(*turn),
        _ => unreachable!("the event was made above"),
    }
}

fn queued(
    unit: &mut Unit<'_>,
    edit: SessionEdit,
    turn: Turn,
    ahead: i32,
    now: Time,
) -> Answer<Done> {
    let session = edit.save(unit, now)?;
    let mut done = Done::session(session).with_turn(Some(turn));
    done.receipt.queue_position = ahead;
    Ok(queue::admitted(done))
}

/// The active turn, or the one that is next.
fn first_id(unit: &Unit<'_>, edit: &SessionEdit) -> Answer<String> {
    if edit.session.active_turn.is_some() {
        return Ok(active_id(edit));
    }
    let next = queue::next_turn(unit, edit)?;
    Ok(next.map_or_else(String::new, |(turn, _)| turn.turn_id.to_string()))
}

fn active_id(edit: &SessionEdit) -> String {
    edit.session
        .active_turn
        .map_or_else(String::new, |id| id.to_string())
}
