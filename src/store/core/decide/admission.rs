//! Enqueue and Steer: what is accepted, and as what.

use super::{
    super::{
        commands::{Admission, Enqueue, OnBusy, Steer},
        draft::{Draft, Entering, Place, length, micros},
        facts::{Context, Decision, Facts},
        snapshot::{Origin, Sender, Snapshot, WaitingSteer},
    },
    Decided, Done,
    access::{self, Need},
    control, queue, quotas,
    requests::{WhenGone, once, require_generation},
    sessions,
};
use crate::domain::{
    Event,
    access::agent_serves,
    ids::Time,
    limits::{GRACE_DEFAULT, PENDING_STEERS_MAX},
    refusal::{LimitOf, Refusal},
    session::SessionState,
    turn::{AbortMode, Attachment, AttachmentRef, Cause, OnInterrupt, Turn, TurnState, Usage},
};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// A turn that is made.
pub(super) struct NewTurn {
    /// Its id.
    pub(super) turn_id: Uuid,
    /// The prompt.
    pub(super) text: String,
    /// What goes with it; the bytes are written already.
    pub(super) attachments: Vec<AttachmentRef>,
    /// Where it came from.
    pub(super) source: String,
    /// Caller's own facts.
    pub(super) metadata: BTreeMap<String, String>,
    /// What a crash does to it.
    pub(super) on_interrupt: Option<OnInterrupt>,
    /// How long it may run.
    pub(super) turn_timeout: Duration,
    /// When it expires.
    pub(super) expire_time: Option<Time>,
    /// Where it stands in its caller's trace.
    pub(super) trace_context: String,
}

/// Input that becomes a steer or a turn.
struct Input<'a> {
    text: &'a str,
    attachments: &'a [Attachment],
    turn_timeout: Duration,
    origin: Origin,
}

/// Enqueue and Run.
pub(crate) fn enqueue(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    command: &Enqueue,
) -> Decision<Decided> {
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
    let rights = (Need::Make, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |request, found| {
        let bytes = bytes_of(text, attachments);
        ctx.require_room(bytes)?;
        let now = caller.now;
        let mut draft = match found {
            None => sessions::make(ctx, caller, new_session, None)?,
            Some(draft) => {
                require_admitting(ctx, &draft, &new_session.agent)?;
                require_generation(caller, draft.admission_generation())?;
                draft
            }
        };
        quotas::require_stored(ctx, &draft.session, length(bytes))?;
        let input = Input {
            text,
            attachments,
            turn_timeout: *turn_timeout,
            origin: Origin {
                sender: Sender::of(&caller.identity, &draft.session),
                request,
                trace_context: trace_context.clone(),
            },
        };
        if draft.session.active_turn.is_some() || draft.session.queue_depth > 0 {
            match on_busy {
                OnBusy::Enqueue | OnBusy::Interrupt => {}
                OnBusy::Reject => {
                    return Err(Refusal::SessionBusy {
                        active_turn_id: first_id(&draft),
                    }
                    .into());
                }
                OnBusy::SteerOrEnqueue => {
                    if let Some(active) = steerable(ctx, &draft) {
                        return steer_active(ctx, facts, draft, active, input, now);
                    }
                }
            }
        }
        require_queue_room(ctx, &draft, &input)?;
        let references = keep(facts, &mut draft, attachments)?;
        let interrupts = *on_busy == OnBusy::Interrupt;
        let turn = NewTurn {
            turn_id: ctx.ids.ordered(),
            text: text.clone(),
            attachments: references,
            source: source.clone(),
            metadata: metadata.clone(),
            on_interrupt: *on_interrupt,
            turn_timeout: *turn_timeout,
            expire_time: queue_ttl.map(|ttl| now.plus_micros(micros(ttl))),
            trace_context: trace_context.clone(),
        };
        let place = if interrupts {
            Place::First
        } else {
            Place::Last
        };
        let (turn, ahead) = admit(ctx, &mut draft, turn, input.origin, place, now)?;
        if interrupts {
            let stop = control::Accept {
                cause: Cause::InterruptedByTurn,
                mode: AbortMode::Cancel,
                grace: GRACE_DEFAULT,
                clears: false,
            };
            control::stop_active(&mut draft, stop, now);
        }
        Ok(queued(draft, turn, ahead, bytes, now))
    })
}

/// Steer.
pub(crate) fn steer(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    command: &Steer,
) -> Decision<Decided> {
    let Steer {
        caller,
        text,
        attachments,
        expected_turn,
        turn_timeout,
        trace_context,
    } = command;
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |request, found| {
        let now = caller.now;
        let mut draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.admission_generation())?;
        let agent = draft.session.agent.as_str();
        if !ctx.rules.agents.get(agent).is_some_and(|rule| rule.steer) {
            return Err(Refusal::UnsupportedByAgent {
                agent: agent.to_owned(),
                what: "be steered",
            }
            .into());
        }
        if expected_turn.is_some_and(|expected| draft.session.active_turn != Some(expected)) {
            return Err(Refusal::TurnMismatch {
                active_turn_id: active_id(&draft),
            }
            .into());
        }
        let bytes = bytes_of(text, attachments);
        ctx.require_room(bytes)?;
        quotas::require_stored(ctx, &draft.session, length(bytes))?;
        let input = Input {
            text,
            attachments,
            turn_timeout: *turn_timeout,
            origin: Origin {
                sender: Sender::of(&caller.identity, &draft.session),
                request,
                trace_context: trace_context.clone(),
            },
        };
        if let Some(active) = steerable(ctx, &draft) {
            return steer_active(ctx, facts, draft, active, input, now);
        }
        require_queue_room(ctx, &draft, &input)?;
        let turn = NewTurn {
            turn_id: ctx.ids.ordered(),
            text: text.clone(),
            attachments: keep(facts, &mut draft, attachments)?,
            source: String::new(),
            metadata: BTreeMap::new(),
            on_interrupt: None,
            turn_timeout: *turn_timeout,
            expire_time: None,
            trace_context: trace_context.clone(),
        };
        let (turn, ahead) = admit(ctx, &mut draft, turn, input.origin, Place::Last, now)?;
        Ok(queued(draft, turn, ahead, bytes, now))
    })
}

/// Bytes of a prompt with what goes with it.
fn bytes_of(text: &str, attachments: &[Attachment]) -> usize {
    attachments
        .iter()
        .fold(text.len(), |sum, attachment| sum + attachment.data.len())
}

/// Keeps attachments, each content once per session; returns their references.
pub(super) fn keep(
    facts: &Facts,
    draft: &mut Draft,
    attachments: &[Attachment],
) -> Decision<Vec<AttachmentRef>> {
    for attachment in attachments {
        let known = !draft.is_new() && facts.has_attachment(&attachment.reference.attachment_id)?;
        if !known {
            draft.attach(attachment.clone());
        }
    }
    let references = attachments.iter();
    Ok(references.map(|one| one.reference.clone()).collect())
}

fn require_admitting(ctx: &Context<'_>, draft: &Draft, agent: &str) -> Decision<()> {
    if draft.session.state == SessionState::Deleting {
        return Err(Refusal::SessionDeleting {
            key: draft.session.key.as_str().to_owned(),
        }
        .into());
    }
    if !agent.is_empty() {
        sessions::require_agent(ctx, agent)?;
        let present = draft.admission_agent();
        if agent != present {
            return Err(Refusal::AgentMismatch {
                agent: present.to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

fn require_queue_room(ctx: &Context<'_>, draft: &Draft, input: &Input<'_>) -> Decision<()> {
    let turns = draft.session.queue_depth;
    let limit = ctx.rules.quotas.get().queue_limit_turns;
    if turns >= limit {
        return Err(Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "turns",
            limit,
            current: turns,
        }
        .into());
    }
    let sizes = input.attachments.iter().map(|one| one.reference.size);
    let more = length(input.text.len()) + sizes.sum::<i64>();
    quotas::require_queued(ctx, &draft.session, more)
}

/// The active turn, if it takes steers.
fn steerable(ctx: &Context<'_>, draft: &Draft) -> Option<Turn> {
    let turn = &draft.active()?.turn;
    let runs = matches!(turn.state, TurnState::Running | TurnState::WaitingInput);
    let rule = ctx.rules.agents.get(&turn.agent);
    let takes = rule.is_some_and(|rule| rule.steer);
    (runs && takes).then(|| turn.clone())
}

fn steer_active(
    ctx: &Context<'_>,
    facts: &Facts,
    mut draft: Draft,
    active: Turn,
    input: Input<'_>,
    now: Time,
) -> Decision<Done> {
    let pending = length(draft.steers().len());
    if pending >= PENDING_STEERS_MAX {
        return Err(Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "steers",
            limit: PENDING_STEERS_MAX,
            current: pending,
        }
        .into());
    }
    let Input {
        text,
        attachments,
        turn_timeout,
        origin,
    } = input;
    let steer_id = ctx.ids.ordered();
    let references = keep(facts, &mut draft, attachments)?;
    draft.add_steer(WaitingSteer {
        steer_id,
        given: false,
        text: text.to_owned(),
        attachments: references,
        turn_timeout,
        time: now,
        origin,
    });
    let accepted = Event::SteerAccepted {
        steer_id,
        turn_id: active.turn_id,
        text: text.to_owned(),
    };
    let about = (active.turn_id, active.generation);
    draft.event(now, Some(about), None, &accepted);
    draft.session.last_active_time = now;
    let mut done = Done::of(draft.finish(now))
        .with_turn(Some(active))
        .admitting(bytes_of(text, attachments));
    done.receipt.admission = Admission::Steered;
    done.receipt.steer_id = Some(steer_id);
    Ok(done)
}

/// Adds a turn and writes its `turn_queued`; returns it with how many wait ahead of it.
fn admit(
    ctx: &Context<'_>,
    draft: &mut Draft,
    new: NewTurn,
    origin: Origin,
    place: Place,
    now: Time,
) -> Decision<(Turn, i32)> {
    let agent = &draft.session.agent;
    let rule = ctx.rules.agents.get(agent);
    if rule.is_some_and(|rule| !agent_serves(rule.operator_only, &draft.session.tenant)) {
        return Err(Refusal::IsolationRequired {
            agent: agent.clone(),
        }
        .into());
    }
    let turn = new.turn(ctx, draft, draft.admission_generation(), now);
    let ahead = enter(draft, turn.clone(), origin, place);
    let turn = announce(draft, turn, ahead, now);
    Ok((turn, ahead))
}

/// Adds a turn to the queue; its first event is the next one. Returns how many wait ahead of it.
pub(super) fn enter(draft: &mut Draft, turn: Turn, origin: Origin, place: Place) -> i32 {
    let entering = Entering {
        bytes: queue::bytes_of(&turn.text, &turn.attachments),
        turn,
        origin,
        queued_seq: draft.session.head + 1,
    };
    draft.enter(entering, place)
}

/// Writes `turn_queued`.
pub(super) fn announce(draft: &mut Draft, turn: Turn, ahead: i32, now: Time) -> Turn {
    let about = Some((turn.turn_id, turn.generation));
    let event = Event::TurnQueued {
        turn: Box::new(turn),
        queue_position: ahead,
    };
    draft.event(now, about, None, &event);
    draft.session.last_active_time = now;
    match event {
        Event::TurnQueued { turn, .. } => *turn,
        _ => unreachable!("the event was made above"),
    }
}

fn queued(draft: Draft, turn: Turn, ahead: i32, bytes: usize, now: Time) -> Done {
    let mut done = Done::of(draft.finish(now))
        .with_turn(Some(turn))
        .admitting(bytes);
    done.receipt.queue_position = ahead;
    done
}

/// The active turn, or the one that is next.
fn first_id(draft: &Draft) -> String {
    let next = draft.waiting().first().map(|next| next.turn.turn_id);
    let first = draft.session.active_turn.or(next);
    first.map_or_else(String::new, |id| id.to_string())
}

fn active_id(draft: &Draft) -> String {
    draft
        .session
        .active_turn
        .map_or_else(String::new, |id| id.to_string())
}

// === impl NewTurn ===

impl NewTurn {
    /// The turn, waiting.
    pub(super) fn turn(self, ctx: &Context<'_>, draft: &Draft, generation: i64, now: Time) -> Turn {
        let Self {
            turn_id,
            text,
            attachments,
            source,
            metadata,
            on_interrupt,
            turn_timeout,
            expire_time,
            trace_context,
        } = self;
        Turn {
            row: ctx.ids.turn_row(),
            turn_id,
            session_key: draft.session.key.clone(),
            generation,
            state: TurnState::Queued,
            text,
            response_text: String::new(),
            stop_reason: None,
            error: None,
            attempt: 0,
            agent: draft.admission_agent().to_owned(),
            model: draft.session.model.clone(),
            usage: Usage::default(),
            create_time: now,
            start_time: None,
            end_time: None,
            source,
            metadata,
            attachments,
            on_interrupt,
            turn_timeout,
            expire_time,
            cancel: None,
            trace_context,
        }
    }
}
