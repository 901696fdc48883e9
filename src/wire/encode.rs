//! Domain → messages of the contract.

use crate::{
    domain::{
        access::SessionAccess,
        agent::Capabilities,
        budget::{self, Bounds, Budget},
        event::{Delta, Event, Json},
        ids::Time,
        limits::{TURN_TEXT_IN_EVENT_MAX_BYTES, cut},
        message::{Message, Part},
        offers,
        question::{Answer, Ask, Question, SHOWN_ARGS_MAX_BYTES},
        session::Session,
        turn::{AttachmentRef, OnInterrupt, StopReason, Turn, Usage},
    },
    proto,
};
use proto::gateway_event::Kind;
use std::time::Duration;
use uuid::Uuid;

/// How much of a turn's texts is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnTexts {
    /// Both, whole.
    Whole,
    /// Both, cut at 64 KiB with a flag.
    Cut,
    /// `text` alone, cut.
    TextCut,
    /// `response_text` alone, cut.
    ResponseCut,
    /// Neither.
    Neither,
}

/// A moment.
pub fn timestamp(time: Time) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1_000_000),
        nanos: i32::try_from(time.0.rem_euclid(1_000_000) * 1000).expect("below one second"),
    }
}

/// A span; beyond what the contract's type holds it is the longest one.
pub fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).expect("below one second"),
    }
}

/// A span in microseconds.
pub fn micros(span: i64) -> prost_types::Duration {
    duration(Duration::from_micros(u64::try_from(span).unwrap_or(0)))
}

fn id(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// A session's snapshot.
pub fn session(session: &Session) -> proto::SessionSnapshot {
    proto::SessionSnapshot {
        session_key: session.key.to_string(),
        session_id: session.session_id.to_string(),
        generation: session.generation,
        display_name: session.display_name.clone(),
        agent: session.agent.clone(),
        model: session.model.clone(),
        thinking_level: session.thinking_level.clone(),
        state: session.state as i32,
        active_turn_id: id(session.active_turn),
        queue_depth: i32::try_from(session.queue_depth).unwrap_or(i32::MAX),
        message_count: session.message_count,
        last_message_preview: session.last_message_preview.clone(),
        labels: session.labels.clone(),
        primary: session.primary,
        head_seq: session.head,
        first_seq: session.first_seq,
        log_id: session.log_id.to_string(),
        create_time: Some(timestamp(session.create_time)),
        update_time: Some(timestamp(session.update_time)),
        last_active_time: Some(timestamp(session.last_active_time)),
        usage: Some(usage(&session.usage)),
        context_tokens: session.context.tokens,
        context_window: session.context.window,
        routing: super::routing::routing(&session.routing),
        cwd: session.cwd.clone(),
        next_agent: session.next_agent.clone(),
        expire_after_idle: session.expire_after_idle.map(micros),
        memory_namespaces: session
            .memory_namespaces
            .iter()
            .map(|reach| reach.as_str().to_owned())
            .collect(),
        pending_questions: i32::try_from(session.pending_questions).unwrap_or(i32::MAX),
        no_approver: session.no_approver.map_or(0, |it| it as i32),
        question_ttl: session.question_ttl.map(micros),
        tool_policy: session
            .tool_policy
            .iter()
            .map(|rule| proto::ToolRule {
                tool: rule.tool.clone(),
                action: rule.action as i32,
            })
            .collect(),
        wait_reason: session.wait_reason().to_owned(),
        owner: principal(&session.tenant, &session.owner),
        shares: session
            .shares
            .iter()
            .map(|(subject, access)| proto::SessionShare {
                principal: principal(&session.tenant, subject),
                access: share_access(*access).into(),
            })
            .collect(),
    }
}

fn principal(tenant: &str, subject: &str) -> String {
    format!("{tenant}/{subject}")
}

fn share_access(access: SessionAccess) -> proto::ShareAccess {
    match access {
        SessionAccess::Read => proto::ShareAccess::Read,
        SessionAccess::Write | SessionAccess::Own => proto::ShareAccess::Write,
    }
}

/// What watchers get of a deleted session: its key and log, nothing else.
pub fn deleted_session(session: &Session) -> proto::SessionSnapshot {
    proto::SessionSnapshot {
        session_key: session.key.to_string(),
        log_id: session.log_id.to_string(),
        state: proto::SessionState::Deleted.into(),
        ..Default::default()
    }
}

/// Tokens and cost.
pub fn usage(usage: &Usage) -> proto::Usage {
    let &Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_micros,
        model_calls,
        unpriced_calls,
        reasoning_tokens,
    } = usage;
    proto::Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_micros,
        model_calls,
        unpriced_calls,
        reasoning_tokens,
    }
}

/// A budget, and what is used of it.
pub fn budget(budget: &Budget) -> proto::Budget {
    let Budget {
        name,
        bounds:
            Bounds {
                soft_micros,
                hard_micros,
                soft_tokens,
                hard_tokens,
            },
        on_exceeded,
        spent_micros,
        spent_tokens,
        unpriced_calls,
        period_start,
        warned: _,
        set_time,
    } = budget;
    proto::Budget {
        scope: name.scope as i32,
        key: name.shown_key(),
        period: name.period as i32,
        soft_micros: *soft_micros,
        hard_micros: *hard_micros,
        soft_tokens: *soft_tokens,
        hard_tokens: *hard_tokens,
        on_exceeded: *on_exceeded as i32,
        spent_micros: *spent_micros,
        spent_tokens: *spent_tokens,
        unpriced_calls: *unpriced_calls,
        period_start_time: Some(timestamp(budget::midnight(*period_start))),
        set_time: Some(timestamp(Time(*set_time))),
        exceeded: budget.exceeded().is_some(),
    }
}

/// A turn, with as much of its texts as the place shows.
pub fn turn(turn: &Turn, texts: TurnTexts) -> proto::Turn {
    let shown = |text: &str, whole: bool, some: bool| -> (String, bool) {
        if whole {
            (text.to_owned(), false)
        } else if some {
            let kept = cut(text, TURN_TEXT_IN_EVENT_MAX_BYTES);
            (kept.to_owned(), kept.len() < text.len())
        } else {
            (String::new(), false)
        }
    };
    let whole = texts == TurnTexts::Whole;
    let output_json = match texts {
        TurnTexts::Whole | TurnTexts::ResponseCut => turn.output_json.clone(),
        TurnTexts::Cut | TurnTexts::TextCut | TurnTexts::Neither => String::new(),
    };
    let (text, text_truncated) = shown(
        &turn.text,
        whole,
        matches!(texts, TurnTexts::Cut | TurnTexts::TextCut),
    );
    let (response_text, response_text_truncated) = shown(
        &turn.response_text,
        whole,
        matches!(texts, TurnTexts::Cut | TurnTexts::ResponseCut),
    );
    proto::Turn {
        turn_id: turn.turn_id.to_string(),
        session_key: turn.session_key.to_string(),
        state: turn.state as i32,
        text,
        response_text,
        stop_reason: turn.stop_reason.map_or(0, |r: StopReason| r as i32),
        error: turn.error.as_ref().map(|e| proto::TurnError {
            reason: e.cause.as_str().to_owned(),
            message: e.message.clone(),
        }),
        attempt: turn.attempt,
        agent: turn.agent.clone(),
        model: turn.model.clone(),
        usage: Some(usage(&turn.usage)),
        create_time: Some(timestamp(turn.create_time)),
        start_time: turn.start_time.map(timestamp),
        end_time: turn.end_time.map(timestamp),
        generation: turn.generation,
        source: turn.source.clone(),
        metadata: turn.metadata.clone(),
        attachments: turn.attachments.iter().map(attachment).collect(),
        text_truncated,
        response_text_truncated,
        on_interrupt: turn.on_interrupt.map_or(0, |o: OnInterrupt| o as i32),
        expire_time: turn.expire_time.map(timestamp),
        principal: turn.principal.clone(),
        agent_revision: turn.agent_revision.clone(),
        command: turn.command.clone(),
        output_json,
        not_before: turn.not_before.map(timestamp),
        routing: super::routing::routing(&turn.routing),
        thinking_level: turn.thinking_level.clone(),
    }
}

/// What an agent can do.
pub fn capabilities(capabilities: &Capabilities) -> proto::AgentCapabilities {
    let Capabilities {
        steer,
        soft_cancel,
        images,
        thinking,
        models,
        options,
        fork,
        compaction,
        commands,
        questions,
        tool_policy,
        resume,
        usage,
        deny_continues,
        workspace,
        workspace_diff,
        sub_agents,
        client_tools,
        structured_output,
    } = *capabilities;
    proto::AgentCapabilities {
        steer,
        soft_cancel,
        images,
        thinking,
        models,
        options,
        fork,
        compaction,
        commands,
        questions,
        tool_policy: tool_policy as i32,
        resume,
        usage: usage as i32,
        deny_continues,
        workspace,
        workspace_diff,
        sub_agents,
        client_tools,
        structured_output,
    }
}

/// What stands for an attachment.
pub fn attachment(reference: &AttachmentRef) -> proto::AttachmentRef {
    let AttachmentRef {
        attachment_id,
        name,
        media_type,
        size,
    } = reference.clone();
    proto::AttachmentRef {
        attachment_id,
        name,
        media_type,
        size,
    }
}

/// Size before a cut; 0 where nothing was cut.
pub fn full_size(json: &Json) -> i64 {
    json.full_size
        .map_or(0, |n| i64::try_from(n).unwrap_or(i64::MAX))
}

/// A message part.
pub fn part(part: &Part) -> proto::MessagePart {
    use proto::message_part::Part as P;
    let (content_index, part) = match part {
        Part::Text {
            content_index,
            text,
        } => (
            *content_index,
            P::Text(proto::TextPart { text: text.clone() }),
        ),
        Part::Thinking {
            content_index,
            text,
        } => (
            *content_index,
            P::Thinking(proto::ThinkingPart { text: text.clone() }),
        ),
        Part::ToolCall {
            tool_call_id,
            tool_name,
            args,
            result,
            is_error,
        } => (
            0,
            P::ToolCall(proto::ToolCallPart {
                tool_call_id: tool_call_id.clone(),
                tool_name: tool_name.clone(),
                args_json: args.text.clone(),
                state: if *is_error {
                    proto::ToolCallState::Error.into()
                } else {
                    proto::ToolCallState::Result.into()
                },
                result_json: result.text.clone(),
                full_size: full_size(result),
            }),
        ),
        Part::Attachment(reference) => (0, P::Attachment(attachment(reference))),
    };
    proto::MessagePart {
        content_index,
        part: Some(part),
    }
}

/// A finished message.
pub fn message(message: &Message) -> proto::Message {
    proto::Message {
        item_id: message.item_id.to_string(),
        turn_id: message.turn_id.to_string(),
        generation: message.generation,
        role: message.role as i32,
        parts: message.parts.iter().map(part).collect(),
        create_time: Some(timestamp(message.create_time)),
        seq: message.seq,
        partial: message.partial,
        continued: message.continued,
    }
}

/// The kind of a durable event.
pub fn event(event: &Event) -> Kind {
    match event {
        Event::SessionCreated {
            session: created,
            forked_from,
        } => Kind::SessionCreated(proto::SessionCreated {
            session: Some(session(created)),
            forked_from: forked_from.as_ref().map(|o| proto::ForkOrigin {
                session_key: o.session_key.clone(),
                log_id: o.log_id.clone(),
                turn_id: o.turn_id.clone(),
            }),
        }),
        Event::SessionUpdated { session: updated } => Kind::SessionUpdated(proto::SessionUpdated {
            session: Some(session(updated)),
        }),
        Event::SessionReset {
            generation,
            session_id,
            agent,
        } => Kind::SessionReset(proto::SessionReset {
            generation: *generation,
            session_id: session_id.to_string(),
            agent: agent.clone(),
        }),
        Event::SessionDeleted => Kind::SessionDeleted(proto::SessionDeleted {}),
        Event::TurnQueued {
            turn: queued,
            queue_position,
        } => Kind::TurnQueued(proto::TurnQueued {
            turn: Some(turn(queued, TurnTexts::TextCut)),
            queue_position: *queue_position,
        }),
        Event::TurnScheduled { turn: scheduled } => Kind::TurnScheduled(proto::TurnScheduled {
            turn: Some(turn(scheduled, TurnTexts::TextCut)),
        }),
        Event::TurnUpdated {
            turn: updated,
            queue_position,
        } => Kind::TurnUpdated(proto::TurnUpdated {
            turn: Some(turn(updated, TurnTexts::Neither)),
            queue_position: *queue_position,
        }),
        Event::TurnStarted { turn: started } => Kind::TurnStarted(proto::TurnStarted {
            turn: Some(turn(started, TurnTexts::Neither)),
        }),
        Event::TurnEnded {
            turn: ended,
            undelivered,
        } => Kind::TurnEnded(proto::TurnEnded {
            turn: Some(turn(ended, TurnTexts::ResponseCut)),
            undelivered_question_ids: undelivered.iter().map(ToString::to_string).collect(),
        }),
        Event::MessageStarted {
            role,
            text,
            attachments,
        } => Kind::MessageStarted(proto::MessageStarted {
            role: *role as i32,
            text: text.clone(),
            attachments: attachments.iter().map(attachment).collect(),
        }),
        Event::MessageCompleted {
            role,
            blocks,
            partial,
            continued,
        } => Kind::MessageCompleted(proto::MessageCompleted {
            role: *role as i32,
            // One block is by far the most frequent: its text stands in `text` and in its block.
            text: blocks.iter().map(|(_, text)| text.as_str()).collect(),
            blocks: blocks
                .iter()
                .map(|(content_index, text)| proto::MessageBlock {
                    content_index: *content_index,
                    text: text.clone(),
                })
                .collect(),
            partial: *partial,
            continued: *continued,
        }),
        Event::ThinkingCompleted {
            content_index,
            text,
            partial,
        } => Kind::ThinkingCompleted(proto::ThinkingCompleted {
            content_index: *content_index,
            text: text.clone(),
            partial: *partial,
        }),
        Event::ToolStarted {
            tool_call_id,
            tool_name,
            args,
        } => Kind::ToolStarted(proto::ToolStarted {
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
            args_json: args.text.clone(),
            truncated: args.full_size.is_some(),
            full_size: full_size(args),
        }),
        Event::ToolCompleted {
            tool_call_id,
            tool_name,
            result,
            is_error,
            partial,
            attachments,
        } => Kind::ToolCompleted(proto::ToolCompleted {
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
            result_json: result.text.clone(),
            is_error: *is_error,
            partial: *partial,
            truncated: result.full_size.is_some(),
            full_size: full_size(result),
            attachments: attachments.iter().map(attachment).collect(),
        }),
        Event::SteerAccepted {
            steer_id,
            turn_id,
            text,
        } => Kind::SteerAccepted(proto::SteerAccepted {
            steer_id: steer_id.to_string(),
            turn_id: turn_id.to_string(),
            text: cut(text, TURN_TEXT_IN_EVENT_MAX_BYTES).to_owned(),
        }),
        Event::SteerApplied { steer_id } => Kind::SteerApplied(proto::SteerApplied {
            steer_id: steer_id.to_string(),
        }),
        Event::SteerRequeued {
            steer_id,
            turn: requeued,
            possibly_applied,
        } => Kind::SteerRequeued(proto::SteerRequeued {
            steer_id: steer_id.to_string(),
            turn: Some(turn(requeued, TurnTexts::Neither)),
            possibly_applied: *possibly_applied,
        }),
        Event::UsageRecorded {
            usage: used,
            model,
            granularity,
            source,
            price_version,
        } => Kind::UsageRecorded(proto::UsageRecorded {
            usage: Some(usage(used)),
            model: model.clone(),
            provider: offers::split_model(model).0.to_owned(),
            source: source.map_or(0, |it| it as i32),
            granularity: *granularity as i32,
            price_version: price_version.clone(),
        }),
        Event::WebhookPaused {
            webhook_id,
            owner,
            reason,
            undelivered_seq,
        } => Kind::WebhookPaused(proto::WebhookPaused {
            webhook_id: webhook_id.to_string(),
            owner: owner.clone(),
            reason: reason.clone(),
            undelivered_seq: *undelivered_seq,
        }),
        Event::BudgetWarning { budget: reached } => Kind::BudgetWarning(proto::BudgetWarning {
            budget: Some(budget(reached)),
        }),
        Event::TurnWaiting {
            reason,
            message,
            agent,
            worker_labels,
        } => Kind::TurnWaiting(proto::TurnWaiting {
            reason: reason.clone(),
            message: message.clone(),
            agent: agent.clone(),
            worker_labels: worker_labels.clone(),
        }),
        Event::CompactionStarted { reason } => Kind::CompactionStarted(proto::CompactionStarted {
            reason: reason.clone(),
        }),
        Event::CompactionCompleted {
            reason,
            summary,
            aborted,
            error_message,
            tokens_before,
        } => Kind::CompactionCompleted(proto::CompactionCompleted {
            reason: reason.clone(),
            summary: cut(summary, TURN_TEXT_IN_EVENT_MAX_BYTES).to_owned(),
            aborted: *aborted,
            error_message: error_message.clone(),
            tokens_before: *tokens_before,
        }),
        Event::RetryScheduled {
            attempt,
            max_attempts,
            delay,
            error_message,
        } => Kind::RetryScheduled(proto::RetryScheduled {
            attempt: *attempt,
            max_attempts: *max_attempts,
            delay: Some(duration(*delay)),
            error_message: error_message.clone(),
        }),
        Event::AgentExited { message } => Kind::AgentExited(proto::AgentExited {
            message: message.clone(),
        }),
        Event::QuestionAsked { question: asked } => Kind::QuestionAsked(proto::QuestionAsked {
            question: Some(question(asked)),
        }),
        Event::QuestionResolved { question } => Kind::QuestionResolved(proto::QuestionResolved {
            question_id: question.question_id.to_string(),
            state: question.state as i32,
            resolution: question.resolution.map_or(0, |it| it as i32),
            answered_by: question.answered_by.clone(),
            answer: question.shown_answer().map(answer),
        }),
        Event::AnswerDelivered { question_id } => Kind::AnswerDelivered(proto::AnswerDelivered {
            question_id: question_id.to_string(),
        }),
        Event::ModelChanged {
            model,
            thinking_level,
        } => {
            let (provider, model_id) = offers::split_model(model);
            Kind::ModelChanged(proto::ModelChanged {
                provider: provider.to_owned(),
                model_id: model_id.to_owned(),
                thinking_level: thinking_level.clone(),
            })
        }
        Event::ContextRebuilt {
            message_count,
            truncated,
        } => Kind::ContextRebuilt(proto::ContextRebuilt {
            message_count: *message_count,
            truncated: *truncated,
        }),
        Event::SubagentStarted {
            agent_id,
            parent_agent_id,
            name,
            tool_call_id,
            task,
        } => Kind::SubagentStarted(proto::SubagentStarted {
            agent_id: agent_id.clone(),
            parent_agent_id: parent_agent_id.clone(),
            name: name.clone(),
            tool_call_id: tool_call_id.clone(),
            task: task.clone(),
        }),
        Event::SubagentCompleted {
            agent_id,
            is_error,
            response,
            message_count,
            tool_call_count,
        } => Kind::SubagentCompleted(proto::SubagentCompleted {
            agent_id: agent_id.clone(),
            is_error: *is_error,
            response: response.clone(),
            stats: Some(proto::SubagentStats {
                message_count: *message_count,
                tool_call_count: *tool_call_count,
            }),
        }),
        Event::SubagentItem {
            agent_path,
            role,
            parts,
        } => Kind::SubagentItem(proto::SubagentItem {
            agent_path: agent_path.clone(),
            role: *role as i32,
            parts: parts.iter().map(part).collect(),
        }),
        Event::ArtifactCreated { attachment, title } => {
            Kind::ArtifactCreated(proto::ArtifactCreated {
                attachment: Some(self::attachment(attachment)),
                title: title.clone(),
            })
        }
        Event::PlanUpdated { entries } => Kind::PlanUpdated(proto::PlanUpdated {
            entries: entries
                .iter()
                .map(|entry| proto::PlanEntry {
                    text: entry.text.clone(),
                    status: entry.status as i32,
                    priority: entry.priority.clone(),
                })
                .collect(),
        }),
    }
}

/// A question as it is stored, but for what its form keeps secret.
pub fn question(question: &Question) -> proto::Question {
    let Question {
        question_id,
        session_key,
        turn_id,
        attempt: _,
        ask,
        action_digest,
        state,
        policy_rule,
        answer: _,
        answered_by,
        resolution,
        create_time,
        expire_time,
        resolve_time,
        delivered,
    } = question;
    let Ask {
        kind,
        title,
        tool_call_id,
        tool_name,
        args,
        options,
        schema_json,
        url,
        agent_path,
    } = ask;
    proto::Question {
        question_id: question_id.to_string(),
        session_key: session_key.to_string(),
        turn_id: turn_id.to_string(),
        kind: *kind as i32,
        state: *state as i32,
        title: title.clone(),
        tool_call_id: tool_call_id.clone(),
        tool_name: tool_name.clone(),
        args_json: args.text.clone(),
        args_full_size: full_size(args),
        action_digest: action_digest.clone(),
        options: options
            .iter()
            .map(|option| proto::QuestionOption {
                option_id: option.option_id.clone(),
                label: option.label.clone(),
                effect: option.effect.map_or(0, |effect| effect as i32),
            })
            .collect(),
        schema_json: schema_json.clone(),
        url: url.clone(),
        agent_path: agent_path.clone(),
        policy_rule: policy_rule.clone(),
        answer: question.shown_answer().map(answer),
        answered_by: answered_by.clone(),
        resolution: resolution.map_or(0, |it| it as i32),
        create_time: Some(timestamp(*create_time)),
        expire_time: Some(timestamp(*expire_time)),
        resolve_time: resolve_time.map(timestamp),
        delivered: *delivered,
    }
}

/// A question as lists, snapshots and `question_pending` show it: its arguments cut.
pub fn question_in_list(asked: &Question) -> proto::Question {
    cut_args(question(asked))
}

/// Cuts a question's arguments: beyond the bound they become a JSON string of their first bytes.
pub fn cut_args(mut question: proto::Question) -> proto::Question {
    let whole = question.args_json.len();
    if whole <= SHOWN_ARGS_MAX_BYTES {
        return question;
    }
    // Half of it: escapes make a JSON string longer than its text.
    let kept = cut(&question.args_json, SHOWN_ARGS_MAX_BYTES / 2);
    question.args_json = serde_json::to_string(kept).expect("a string is always JSON");
    if question.args_full_size == 0 {
        question.args_full_size = i64::try_from(whole).unwrap_or(i64::MAX);
    }
    question
}

pub(crate) fn answer(answer: Answer) -> proto::Answer {
    let Answer {
        option_id,
        content_json,
        is_error,
        declined,
        comment,
    } = answer;
    proto::Answer {
        option_id,
        content_json,
        is_error,
        declined,
        comment,
    }
}

/// The kind of an ephemeral event of an open item.
pub fn delta(delta: &Delta) -> Kind {
    match delta {
        Delta::Token {
            delta,
            content_index,
            offset,
        } => Kind::Token(proto::Token {
            delta: delta.clone(),
            content_index: *content_index,
            offset: *offset,
        }),
        Delta::Thinking {
            delta,
            content_index,
            offset,
        } => Kind::Thinking(proto::Thinking {
            delta: delta.clone(),
            content_index: *content_index,
            offset: *offset,
        }),
        Delta::ToolInput {
            delta,
            content_index,
            offset,
            tool_call_id,
            tool_name,
        } => Kind::ToolInput(proto::ToolInput {
            delta: delta.clone(),
            content_index: *content_index,
            offset: *offset,
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
        }),
        Delta::ToolUpdate {
            tool_call_id,
            partial_result,
        } => Kind::ToolUpdate(proto::ToolUpdate {
            tool_call_id: tool_call_id.clone(),
            partial_result_json: partial_result.text.clone(),
            truncated: partial_result.full_size.is_some(),
            full_size: full_size(partial_result),
        }),
    }
}
