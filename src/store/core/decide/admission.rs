//! Enqueue and Steer: what is accepted, and as what.

use super::{
    super::{
        commands::{Admission, Caller, Enqueue, Steer},
        draft::{Draft, Entering, Place, length, micros},
        facts::{Context, Decision, Facts},
        snapshot::{Origin, Sender, Snapshot, WaitingSteer},
        write_set::TurnExtras,
    },
    Decided, Done,
    access::{self, Need},
    agents, budgets, control, queue, quotas,
    requests::{WhenGone, once, require_generation},
    routing::FirstTurn,
    sessions,
};
use crate::domain::{
    Event,
    access::{Scope, agent_serves},
    agent::Capability,
    client_tool, command,
    ids::Time,
    limits::{GRACE_DEFAULT, PENDING_STEERS_MAX, SCHEDULED_TURNS_MAX},
    refusal::{LimitOf, Refusal},
    session::SessionState,
    turn::{
        AbortMode, Attachment, AttachmentRef, Cause, OnBusy, OnInterrupt, Turn, TurnState, Usage,
    },
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
    /// The command that it runs; empty for a prompt.
    pub(super) command: String,
    /// It enters the queue then, not now.
    pub(super) not_before: Option<Time>,
    /// What its start reads.
    pub(super) extras: TurnExtras,
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
        command,
        attachments,
        source,
        metadata,
        on_busy,
        on_interrupt,
        turn_timeout,
        queue_ttl,
        trace_context,
        not_before,
        output_schema,
        client_tools,
    } = command;
    let is_command = !command.is_empty();
    let need = if is_command { Need::Write } else { Need::Make };
    let rights = (need, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |request, found| {
        let extras = TurnExtras {
            output_schema: output_schema.clone(),
            client_tools: client_tool::to_text(client_tools),
        };
        let bytes = bytes_of(text, attachments) + extras.bytes();
        ctx.require_room(bytes)?;
        let now = caller.now;
        let mut draft = match found {
            found if is_command => {
                let draft = access::usable(facts, caller, found)?;
                require_generation(caller, draft.admission_generation())?;
                require_command(ctx, caller, &draft, command)?;
                draft
            }
            None => {
                let first = FirstTurn {
                    text,
                    attachment_types: attachments
                        .iter()
                        .map(|it| it.reference.media_type.as_str())
                        .collect(),
                    source,
                    labels: &new_session.labels,
                    model: &new_session.model,
                    thinking_level: &new_session.thinking_level,
                };
                sessions::make(
                    ctx,
                    facts,
                    caller,
                    new_session,
                    sessions::Origin::New(first),
                )?
            }
            Some(draft) => {
                require_admitting(ctx, &draft, &new_session.agent)?;
                require_generation(caller, draft.admission_generation())?;
                draft
            }
        };
        quotas::require_stored(ctx, &draft.session, length(bytes))?;
        agents::require_input(ctx, draft.admission_agent(), attachments)?;
        if !output_schema.is_empty() {
            agents::require(ctx, draft.admission_agent(), Capability::StructuredOutput)?;
        }
        if !client_tools.is_empty() {
            agents::require(ctx, draft.admission_agent(), Capability::ClientTools)?;
        }
        let input = Input {
            text,
            attachments,
            turn_timeout: *turn_timeout,
            origin: Origin {
                sender: Sender::of(&caller.identity, &draft.session),
                request,
                trace_context: trace_context.clone(),
                labels: draft.session.labels.clone(),
            },
        };
        let is_busy = draft.session.active_turn.is_some() || draft.session.queue_depth > 0;
        if is_busy && not_before.is_none() {
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
        budgets::require(facts, &draft, &input.origin, now)?;
        match not_before {
            None => require_queue_room(ctx, &draft, &input)?,
            Some(_) => require_scheduled_room(ctx, &draft, &input)?,
        }
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
            expire_time: queue_ttl.map(|ttl| not_before.unwrap_or(now).plus_micros(micros(ttl))),
            not_before: *not_before,
            trace_context: trace_context.clone(),
            command: if is_command {
                command.clone()
            } else {
                command_of_prompt(ctx, &draft, text)
            },
            extras,
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
            control::stop_active(&mut draft, stop, now)?;
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
        agents::require(ctx, &draft.session.agent, Capability::Steer)?;
        agents::require_input(ctx, &draft.session.agent, attachments)?;
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
                labels: draft.session.labels.clone(),
            },
        };
        if let Some(active) = steerable(ctx, &draft) {
            return steer_active(ctx, facts, draft, active, input, now);
        }
        budgets::require(facts, &draft, &input.origin, now)?;
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
            command: String::new(),
            not_before: None,
            extras: TurnExtras::default(),
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
        agents::require_agent(ctx, agent)?;
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

/// Refuses a command that the session's agent can't do, or that its caller may not run.
fn require_command(ctx: &Context<'_>, caller: &Caller, draft: &Draft, name: &str) -> Decision<()> {
    let agent = draft.admission_agent();
    if name == command::COMPACT {
        return agents::require(ctx, agent, Capability::Compaction);
    }
    let rule = ctx.rules.agents.get(agent);
    if !rule.is_some_and(|rule| command::allows(&rule.commands_allowed, name)) {
        caller.identity.require(Scope::SessionApprove)?;
    }
    Ok(())
}

/// The command that a prompt is, where the session's agent allows that; empty for a text.
pub(super) fn command_of_prompt(ctx: &Context<'_>, draft: &Draft, prompt: &str) -> String {
    let rule = ctx.rules.agents.get(draft.admission_agent());
    let command = rule.and_then(|rule| command::of_prompt(&rule.commands_allowed, prompt));
    command.unwrap_or_default().to_owned()
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

/// Refuses one more turn that waits for its `not_before`.
fn require_scheduled_room(ctx: &Context<'_>, draft: &Draft, input: &Input<'_>) -> Decision<()> {
    let turns = length(draft.scheduled().len());
    if turns >= SCHEDULED_TURNS_MAX {
        return Err(Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "scheduled turns",
            limit: SCHEDULED_TURNS_MAX,
            current: turns,
        }
        .into());
    }
    let sizes = input.attachments.iter().map(|one| one.reference.size);
    let more = length(input.text.len()) + sizes.sum::<i64>();
    require_scheduled_bytes(ctx, draft, more)
}

/// Refuses where so many more bytes may not wait for their time: as many may as in the session's queue.
pub(super) fn require_scheduled_bytes(ctx: &Context<'_>, draft: &Draft, more: i64) -> Decision<()> {
    let limit = ctx.rules.quotas.get().queue_limit_bytes;
    let current: i64 = draft.scheduled().iter().map(|waiting| waiting.bytes).sum();
    if current.saturating_add(more) > limit {
        return Err(Refusal::QueueFull {
            of: LimitOf::Session,
            unit: "bytes of scheduled turns",
            limit,
            current,
        }
        .into());
    }
    Ok(())
}

/// The active turn, if it takes steers.
fn steerable(ctx: &Context<'_>, draft: &Draft) -> Option<Turn> {
    let turn = &draft.active()?.turn;
    let runs = matches!(turn.state, TurnState::Running | TurnState::WaitingInput);
    let takes = agents::require(ctx, &turn.agent, Capability::Steer).is_ok();
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
    let about = (&origin.sender, draft.admission_generation());
    let (turn, extras) = new.turn(ctx, draft, about, now);
    if turn.state == TurnState::Scheduled {
        return Ok((schedule(draft, (turn, extras), origin, now), 0));
    }
    let ahead = enter(draft, (turn.clone(), extras), origin, place);
    let turn = announce(draft, turn, ahead, now);
    Ok((turn, ahead))
}

/// Adds a turn that waits for its `not_before`, and writes its `turn_scheduled`.
fn schedule(
    draft: &mut Draft,
    (turn, extras): (Turn, TurnExtras),
    origin: Origin,
    now: Time,
) -> Turn {
    draft.enter_later(Entering {
        bytes: queue::bytes_of(&turn.text, &turn.attachments),
        turn: turn.clone(),
        origin,
        queued_seq: draft.session.head + 1,
        extras,
    });
    let about = Some((turn.turn_id, turn.generation));
    let event = Event::TurnScheduled {
        turn: Box::new(turn),
    };
    draft.event(now, about, None, &event);
    draft.session.last_active_time = now;
    match event {
        Event::TurnScheduled { turn } => *turn,
        _ => unreachable!("the event was made above"),
    }
}

/// Adds a turn to the queue; its first event is the next one. Returns how many wait ahead of it.
pub(super) fn enter(
    draft: &mut Draft,
    (turn, extras): (Turn, TurnExtras),
    origin: Origin,
    place: Place,
) -> i32 {
    let entering = Entering {
        bytes: queue::bytes_of(&turn.text, &turn.attachments),
        turn,
        origin,
        queued_seq: draft.session.head + 1,
        extras,
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
    /// The turn, waiting: of a sender and a generation; and what its start reads.
    pub(super) fn turn(
        self,
        ctx: &Context<'_>,
        draft: &Draft,
        (sender, generation): (&Sender, i64),
        now: Time,
    ) -> (Turn, TurnExtras) {
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
            command,
            not_before,
            extras,
        } = self;
        let turn = Turn {
            row: ctx.ids.turn_row(),
            turn_id,
            session_key: draft.session.key.clone(),
            generation,
            state: match not_before {
                None => TurnState::Queued,
                Some(_) => TurnState::Scheduled,
            },
            text,
            response_text: String::new(),
            output_json: String::new(),
            stop_reason: None,
            error: None,
            attempt: 0,
            principal: sender.principal(&draft.session.tenant),
            agent: draft.admission_agent().to_owned(),
            agent_revision: String::new(),
            model: draft.session.model.clone(),
            thinking_level: String::new(),
            routing: std::sync::Arc::default(),
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
            command,
            not_before,
        };
        (turn, extras)
    }
}
