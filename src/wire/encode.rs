//! Domain → messages of the contract.

use crate::{
    domain::{
        access::SessionAccess,
        event::{Delta, Event, Json},
        ids::Time,
        limits::{TURN_TEXT_IN_EVENT_MAX_BYTES, cut},
        message::{Message, Part},
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
        cwd: session.cwd.clone(),
        next_agent: session.next_agent.clone(),
        expire_after_idle: session.expire_after_idle.map(micros),
        memory_namespaces: session
            .memory_namespaces
            .iter()
            .map(|reach| reach.as_str().to_owned())
            .collect(),
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
    } = usage;
    proto::Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_micros,
        model_calls,
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
        Event::TurnEnded { turn: ended } => Kind::TurnEnded(proto::TurnEnded {
            turn: Some(turn(ended, TurnTexts::ResponseCut)),
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
        Event::UsageRecorded { usage: used, model } => Kind::UsageRecorded(proto::UsageRecorded {
            usage: Some(usage(used)),
            model: model.clone(),
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
