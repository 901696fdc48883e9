//! Questions: asked, answered, closed. A question is closed once; its turn waits for as long as one is pending.

use super::{
    super::{
        commands::AnswerQuestion,
        draft::Draft,
        facts::{Context, Decision, Facts, Stop},
        ownership::{Fence, OpenQuestion},
        snapshot::Snapshot,
        write_set::TurnWrite,
    },
    Decided, Done,
    access::{self, Need},
    budgets,
    requests::{WhenGone, once},
};
use crate::domain::{
    Event,
    access::Scope,
    ids::Time,
    question::{
        Answer, Ask, NoApprover, PENDING_MAX, Question, QuestionKind, QuestionState, Resolution,
        TTL_DEFAULT,
    },
    refusal::Refusal,
    tool_policy::{self, Verdict},
    turn::{Cause, TurnState},
};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// How a question is closed.
struct Closing {
    state: QuestionState,
    resolution: Resolution,
    answer: Option<Answer>,
    answered_by: String,
}

// === asked ===

/// Writes that the active turn's agent asks. Where nobody is to be asked it is answered in the same commit.
pub(super) fn ask(
    ctx: &Context<'_>,
    draft: &mut Draft,
    turn: (Uuid, i64),
    (question_id, ask): (Uuid, &Ask),
    now: Time,
) -> Decision<()> {
    let Some(active) = draft.active() else {
        return Err(Stop::Broken("a question of no turn".into()));
    };
    if draft.question(question_id).is_some() {
        // Written by a commit whose answer got lost.
        return Ok(());
    }
    let canceling = active.turn.state == TurnState::Canceling;
    let rule = ctx.rules.agents.get(&active.turn.agent);
    let no_approver = draft
        .session
        .no_approver
        .or_else(|| rule.map(|rule| rule.no_approver))
        .unwrap_or(NoApprover::Wait);
    let own = rule.map_or(&[][..], |rule| &rule.tool_policy);
    let verdict = tool_policy::verdict(own, &draft.session.tool_policy, ask);
    // What is decided without a person, and by what.
    let decided: Option<(Answer, String)> = match (ask.unusable(), verdict) {
        (Some(problem), _) => Some((ask.denial(), problem.to_owned())),
        (None, Verdict::Deny { rule }) => Some((ask.denial(), rule)),
        (None, Verdict::Allow { option_id, rule }) => {
            let allowed = Answer {
                option_id,
                ..Answer::default()
            };
            Some((allowed, rule))
        }
        (None, Verdict::Ask) if no_approver == NoApprover::Deny && ask.kind.needs_person() => {
            Some((ask.denial(), "no_approver = DENY".to_owned()))
        }
        (None, Verdict::Ask) if draft.pending_questions() >= PENDING_MAX => {
            let why = "at most 32 questions of a turn wait at a time";
            Some((ask.denial(), why.to_owned()))
        }
        (None, Verdict::Ask) => too_many_ask(ctx, draft).map(|why| (ask.denial(), why)),
    };
    let ttl = draft
        .session
        .question_ttl
        .map(|micros| Duration::from_micros(micros.unsigned_abs()))
        .or_else(|| rule.map(|rule| rule.question_ttl))
        .unwrap_or(TTL_DEFAULT);
    let question = Question {
        question_id,
        session_key: draft.session.key.clone(),
        turn_id: turn.0,
        attempt: active.turn.attempt,
        action_digest: ask.digest(),
        ask: ask.clone(),
        state: QuestionState::Pending,
        policy_rule: decided
            .as_ref()
            .map(|(_, rule)| rule.clone())
            .unwrap_or_default(),
        answer: None,
        answered_by: String::new(),
        resolution: None,
        create_time: now,
        expire_time: now.plus_micros(super::super::draft::micros(ttl)),
        resolve_time: None,
        delivered: false,
    };
    let asked = Event::QuestionAsked {
        question: Box::new(question.clone()),
    };
    draft.event(now, Some(turn), None, &asked);
    draft.add_question(question);
    if canceling {
        let closing = Closing::canceled(Resolution::TurnCanceled);
        return close(draft, turn, question_id, closing, now);
    }
    if let Some((answer, _)) = decided {
        let closing = Closing {
            state: QuestionState::Answered,
            resolution: Resolution::Policy,
            answer: Some(answer),
            answered_by: String::new(),
        };
        return close(draft, turn, question_id, closing, now);
    }
    settle_turn(draft);
    Ok(())
}

/// Why one more turn of the tenant may not wait for an answer, and hold its agent and its place for as long; `None` where it
/// may. One that waits already may ask for more.
fn too_many_ask(ctx: &Context<'_>, draft: &Draft) -> Option<String> {
    let limit = ctx.rules.quotas.get().tenant_max_asking_turns;
    let (_, tenant) = ctx.held(&draft.session);
    let waits = draft.session.pending_questions > 0;
    (!waits && tenant.asking_turns >= limit).then(|| {
        format!("at most {limit} turns of a tenant wait for an answer at a time (tenant_max_asking_turns)")
    })
}

/// Sets whether the active turn waits, from what is pending.
fn settle_turn(draft: &mut Draft) {
    let pending = draft.pending_questions();
    draft.session.pending_questions = i64::try_from(pending).unwrap_or(i64::MAX);
    let Some(active) = draft.active() else {
        return;
    };
    let (row, before) = (active.turn.row, active.turn.state);
    let state = match (before, pending) {
        (TurnState::Running, 1..) => TurnState::WaitingInput,
        (TurnState::WaitingInput, 0) => TurnState::Running,
        _ => return,
    };
    draft.change_active(|active| active.turn.state = state);
    draft.write_turn(TurnWrite::State { row, state });
    draft.settle_state();
}

// === closed ===

fn close(
    draft: &mut Draft,
    turn: (Uuid, i64),
    question_id: Uuid,
    closing: Closing,
    now: Time,
) -> Decision<()> {
    let Closing {
        state,
        resolution,
        answer,
        answered_by,
    } = closing;
    let closed = draft.change_question(question_id, |question| {
        question.state = state;
        question.resolution = Some(resolution);
        question.answer = answer;
        question.answered_by = answered_by;
        question.resolve_time = Some(now);
    })?;
    let event = Event::QuestionResolved {
        question: Box::new(Question::clone(&closed)),
    };
    draft.event(now, Some(turn), None, &event);
    settle_turn(draft);
    Ok(())
}

/// Closes a question that its agent took back. One that is closed already stays as it is: nobody waits for its answer any
/// more.
pub(super) fn withdraw(
    draft: &mut Draft,
    turn: (Uuid, i64),
    question_id: Uuid,
    now: Time,
) -> Decision<()> {
    match draft.question(question_id).map(|it| it.state) {
        Some(QuestionState::Pending) => {
            let closing = Closing::canceled(Resolution::Withdrawn);
            close(draft, turn, question_id, closing, now)?;
            draft.settle_question(question_id, false);
        }
        Some(_) => draft.settle_question(question_id, false),
        None => {}
    }
    Ok(())
}

/// Closes a question that nobody answered in time; the agent is told that it was declined.
pub(super) fn expire(
    draft: &mut Draft,
    turn: (Uuid, i64),
    question_id: Uuid,
    now: Time,
) -> Decision<()> {
    let pending = draft
        .question(question_id)
        .filter(|it| it.state == QuestionState::Pending);
    let Some(denial) = pending.map(|question| question.ask.denial()) else {
        return Ok(());
    };
    let closing = Closing {
        state: QuestionState::Expired,
        resolution: Resolution::Expired,
        answer: Some(denial),
        answered_by: String::new(),
    };
    close(draft, turn, question_id, closing, now)
}

/// Writes that the agent has an answer.
pub(super) fn delivered(draft: &mut Draft, turn: (Uuid, i64), question_id: Uuid, now: Time) {
    let answered = draft
        .question(question_id)
        .is_some_and(|it| it.state != QuestionState::Pending);
    if answered {
        draft.settle_question(question_id, true);
        draft.event(
            now,
            Some(turn),
            None,
            &Event::AnswerDelivered { question_id },
        );
    }
}

/// Closes what is pending of the active turn: nobody waits for an answer any more.
pub(super) fn cancel_all(
    draft: &mut Draft,
    turn: (Uuid, i64),
    resolution: Resolution,
    now: Time,
) -> Decision<()> {
    let pending: Vec<Uuid> = draft
        .questions()
        .iter()
        .filter(|question| question.state == QuestionState::Pending)
        .map(|question| question.question_id)
        .collect();
    for question_id in pending {
        close(draft, turn, question_id, Closing::canceled(resolution), now)?;
    }
    Ok(())
}

/// Closes what is left of a turn that ends. Returns the questions whose answers its agent did not get.
pub(super) fn end_all(
    draft: &mut Draft,
    turn: (Uuid, i64),
    resolution: Resolution,
    now: Time,
) -> Decision<Vec<Uuid>> {
    cancel_all(draft, turn, resolution, now)?;
    let undelivered = draft.take_questions();
    let answered = |question: &Arc<Question>| {
        question.state == QuestionState::Answered
            && question.resolution == Some(Resolution::Answered)
    };
    let ids = undelivered.iter().filter(|question| answered(question));
    Ok(ids.map(|question| question.question_id).collect())
}

/// What closes the questions of a turn that ends of a cause.
pub(super) fn resolution_of(cause: Option<Cause>) -> Resolution {
    match cause {
        Some(Cause::AgentExited | Cause::LeaseLost) => Resolution::AgentGone,
        Some(Cause::GatewayCrashed | Cause::MaxAttempts) => Resolution::GatewayCrashed,
        Some(Cause::Draining) => Resolution::Draining,
        Some(
            Cause::AgentError
            | Cause::OutputInvalid
            | Cause::AgentUnavailable
            | Cause::TurnTimeout
            | Cause::StopUnproven
            | Cause::Aborted
            | Cause::InterruptedByTurn
            | Cause::Disconnected
            | Cause::SessionReset
            | Cause::SessionDeleted
            | Cause::QueueTtl
            | Cause::QueueCleared
            | Cause::Removed
            | Cause::PermissionRevoked
            | Cause::BudgetExceeded,
        )
        | None => Resolution::TurnEnded,
    }
}

// === answered ===

/// AnswerQuestion.
pub(crate) fn answer(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    command: &AnswerQuestion,
) -> Decision<Decided> {
    let AnswerQuestion {
        caller,
        question_id,
        answer,
        action_digest,
    } = command;
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let mut draft = access::usable(facts, caller, found)?;
        let question = match draft.question(*question_id) {
            Some(question) => Arc::clone(question),
            None => match facts.question(*question_id)? {
                Some(closed) => Arc::new(closed),
                None => return Err(not_found(*question_id).into()),
            },
        };
        caller.identity.require(match question.ask.kind {
            QuestionKind::Permission | QuestionKind::Form | QuestionKind::Link => {
                Scope::SessionApprove
            }
            QuestionKind::ToolCall => Scope::SessionWrite,
            QuestionKind::Budget => Scope::BudgetWrite,
        })?;
        if question.state != QuestionState::Pending {
            return Err(already(&question).into());
        }
        if !action_digest.is_empty() && *action_digest != question.action_digest {
            let problem = "the question is about something else; read it again with GetQuestion";
            return Err(Refusal::field("action_digest", problem).into());
        }
        if let Err((field, problem)) = question.ask.check(answer) {
            return Err(Refusal::field(field, problem).into());
        }
        let given = if answer.declined {
            Answer {
                comment: answer.comment.clone(),
                ..question.ask.denial()
            }
        } else {
            answer.clone()
        };
        let closing = Closing {
            state: QuestionState::Answered,
            resolution: Resolution::Answered,
            answer: Some(given),
            answered_by: caller.identity.principal.to_string(),
        };
        let turn = (question.turn_id, draft.session.generation);
        if question.ask.kind == QuestionKind::Budget && !answer.declined {
            budgets::grant(&mut draft, &answer.content_json)?;
        }
        close(&mut draft, turn, *question_id, closing, caller.now)?;
        Ok(Done::of(draft.finish(caller.now)))
    })
}

/// Questions of the active turn that are pending or whose answer its agent has not got, the oldest first.
pub(crate) fn open(found: Option<&Snapshot>, fence: Fence) -> Decision<Vec<OpenQuestion>> {
    let draft = super::turns::fenced(found, fence)?;
    let open = draft.questions().iter().map(|question| OpenQuestion {
        question_id: question.question_id,
        action_digest: question.action_digest.clone(),
        expire_time: question.expire_time,
        answer: question.answer.clone(),
    });
    Ok(open.collect())
}

fn not_found(question_id: Uuid) -> Refusal {
    Refusal::QuestionNotFound {
        question_id: question_id.to_string(),
    }
}

fn already(question: &Question) -> Refusal {
    let what = question.shown_answer().map(|answer| {
        if answer.declined {
            "declined".to_owned()
        } else {
            answer.option_id
        }
    });
    Refusal::AlreadyAnswered {
        question_id: question.question_id.to_string(),
        state: question.state.as_str(),
        resolution: question.resolution.map_or("", Resolution::as_str),
        answered_by: question.answered_by.clone(),
        option_id: what.unwrap_or_default(),
    }
}

// === impl Closing ===

impl Closing {
    fn canceled(resolution: Resolution) -> Self {
        Self {
            state: QuestionState::Canceled,
            resolution,
            answer: None,
            answered_by: String::new(),
        }
    }
}
