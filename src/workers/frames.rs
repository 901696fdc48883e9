//! What agents say and are told, as frames of a worker's connection, and back. Total functions: what a frame leaves out is
//! the field's default, and what makes no sense is `None`.

use crate::{
    agent::{AgentEvent, Outcome, TurnInput},
    domain::{
        agent::{Capabilities, ToolPolicySupport, UsageReports},
        client_tool::ClientTool,
        command::Command,
        event::{Json, PlanEntry, PlanStatus, Role},
        ids::Time,
        message::Message,
        offers::{AgentOption, Choices, Model, Offers, OptionValue, join_model},
        question::{Answer, Ask, OptionEffect, QuestionKind, QuestionOption},
        turn::{Attachment, ContextUse, Granularity, StopReason, Usage},
        usage::UsageReport,
    },
    proto::{self, worker_event::Event as Said},
    wire::{encode, frames, offers, parse},
};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// What each frame counts for besides its texts, in bytes.
pub const FRAME_COST_BYTES: u64 = 256;

/// What a worker's frame about an assignment comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The agent said something.
    Said(AgentEvent),
    /// More of a block, with the bytes that stand before it.
    Delta(i64, AgentEvent),
}

/// Whether what was said has a number: it is kept until it is acknowledged, and comes again after a cut.
pub fn is_durable(event: &AgentEvent) -> bool {
    !matches!(
        event,
        AgentEvent::TextDelta { .. }
            | AgentEvent::ThinkingDelta { .. }
            | AgentEvent::ToolInputDelta { .. }
            | AgentEvent::ToolUpdate { .. }
    )
}

/// What an agent said in an assignment as its frame; `offset` is that of a delta. Of `Ready` nothing is told.
pub fn encode(
    lease_token: &str,
    frame: i64,
    offset: i64,
    event: AgentEvent,
) -> Option<proto::connect_request::Frame> {
    use proto::connect_request::Frame;
    let lease_token = lease_token.to_owned();
    let completed = |outcome: proto::WorkerOutcome, stop_reason, message| {
        Frame::Completed(proto::WorkerCompleted {
            lease_token: lease_token.clone(),
            frame,
            outcome: outcome.into(),
            stop_reason,
            message,
        })
    };
    let stopped = |survivors| {
        Frame::Stopped(proto::WorkerStopped {
            lease_token: lease_token.clone(),
            frame,
            survivors,
        })
    };
    let none = proto::StopReason::Unspecified as i32;
    let said = match event {
        // What its sub-agents do is not told over a connection yet: `sub_agents` of a worker's agent is false.
        AgentEvent::Ready { .. } | AgentEvent::Subagent { .. } => return None,
        AgentEvent::ArtifactCreated { title, artifact } => {
            Said::ArtifactCreated(proto::AgentArtifactCreated {
                title,
                artifact: attachments(vec![*artifact]).pop(),
            })
        }
        AgentEvent::TurnEnded(Outcome::Completed(reason)) => {
            return Some(completed(
                proto::WorkerOutcome::Completed,
                reason as i32,
                String::new(),
            ));
        }
        AgentEvent::TurnEnded(Outcome::Failed(message)) => {
            return Some(completed(proto::WorkerOutcome::Failed, none, message));
        }
        AgentEvent::TurnEnded(Outcome::OutputInvalid(message)) => {
            return Some(completed(
                proto::WorkerOutcome::OutputInvalid,
                none,
                message,
            ));
        }
        AgentEvent::TurnEnded(Outcome::Stopped) => return Some(stopped(Vec::new())),
        AgentEvent::Exited { message } | AgentEvent::Lost { message } => {
            return Some(completed(proto::WorkerOutcome::Exited, none, message));
        }
        AgentEvent::StopFailed { survivors } => return Some(stopped(vec![survivors])),
        AgentEvent::MessageStarted => Said::MessageStarted(proto::AgentMessageStarted {}),
        AgentEvent::TextDelta {
            content_index,
            delta,
        } => Said::TextDelta(proto::AgentDelta {
            content_index,
            offset,
            delta,
        }),
        AgentEvent::ThinkingDelta {
            content_index,
            delta,
        } => Said::ThinkingDelta(proto::AgentDelta {
            content_index,
            offset,
            delta,
        }),
        AgentEvent::ToolInputDelta {
            content_index,
            tool_call_id,
            tool_name,
            delta,
        } => Said::ToolInputDelta(proto::AgentToolInputDelta {
            content_index,
            offset,
            tool_call_id,
            tool_name,
            delta,
        }),
        AgentEvent::ThinkingCompleted {
            content_index,
            text,
        } => Said::ThinkingCompleted(proto::AgentThinkingCompleted {
            content_index,
            text,
        }),
        AgentEvent::MessageCompleted { blocks } => {
            let block = |(content_index, text)| proto::AgentTextBlock {
                content_index,
                text,
            };
            Said::MessageCompleted(proto::AgentMessageCompleted {
                blocks: blocks.into_iter().map(block).collect(),
            })
        }
        AgentEvent::ToolStarted {
            tool_call_id,
            tool_name,
            args_json,
        } => Said::ToolStarted(proto::AgentToolStarted {
            tool_call_id,
            tool_name,
            args_json,
        }),
        AgentEvent::ToolUpdate {
            tool_call_id,
            partial_result_json,
        } => Said::ToolUpdate(proto::AgentToolUpdate {
            tool_call_id,
            partial_result_json,
        }),
        AgentEvent::ToolCompleted {
            tool_call_id,
            result_json,
            is_error,
            full_size,
            pictures,
        } => Said::ToolCompleted(proto::AgentToolCompleted {
            tool_call_id,
            result_json,
            is_error,
            full_size: full_size.map_or(0, |size| i64::try_from(size).unwrap_or(i64::MAX)),
            pictures: attachments(pictures),
        }),
        AgentEvent::SteerApplied { steer_id } => Said::SteerApplied(proto::AgentSteerApplied {
            steer_id: steer_id.to_string(),
        }),
        AgentEvent::SteerReturned { steer_id } => Said::SteerReturned(proto::AgentSteerReturned {
            steer_id: steer_id.to_string(),
        }),
        AgentEvent::Asked { ask_id, ask } => Said::Asked(asked(ask_id, *ask)),
        AgentEvent::AskWithdrawn { ask_id } => {
            Said::AskWithdrawn(proto::AgentAskWithdrawn { ask_id })
        }
        AgentEvent::AnswerDelivered { ask_id } => {
            Said::AnswerTaken(proto::AgentAnswerTaken { ask_id })
        }
        AgentEvent::PlanUpdated { entries } => {
            let entry = |entry: PlanEntry| {
                let PlanEntry {
                    text,
                    status,
                    priority,
                } = entry;
                proto::PlanEntry {
                    text,
                    status: status as i32,
                    priority,
                }
            };
            Said::PlanUpdated(proto::PlanUpdated {
                entries: entries.into_iter().map(entry).collect(),
            })
        }
        AgentEvent::Offered { offers } => Said::Offered(offered(*offers)),
        AgentEvent::CommandsChanged { commands } => {
            let command = |command: Command| {
                let Command {
                    name,
                    description,
                    input_hint,
                } = command;
                proto::Command {
                    name,
                    description,
                    input_hint,
                    source: proto::CommandSource::Agent.into(),
                }
            };
            Said::CommandsChanged(proto::AgentCommandsChanged {
                commands: commands.into_iter().map(command).collect(),
            })
        }
        AgentEvent::OutputAccepted { output_json } => {
            Said::OutputAccepted(proto::AgentOutputAccepted { output_json })
        }
        AgentEvent::UsageRecorded(report) => {
            let UsageReport {
                usage,
                model,
                granularity,
                context,
            } = *report;
            let context = context.unwrap_or_default();
            Said::Usage(proto::AgentUsage {
                usage: Some(encode::usage(&usage)),
                model,
                granularity: granularity as i32,
                context_tokens: context.tokens,
                context_window: context.window,
            })
        }
        AgentEvent::CallWanted { model } => Said::CallWanted(proto::AgentCallWanted { model }),
        AgentEvent::CompactionStarted { reason } => {
            Said::CompactionStarted(proto::AgentCompactionStarted { reason })
        }
        AgentEvent::CompactionCompleted {
            reason,
            summary,
            aborted,
            error_message,
            tokens_before,
            kept,
        } => Said::CompactionCompleted(proto::AgentCompactionCompleted {
            reason,
            summary,
            aborted,
            error_message,
            tokens_before,
            kept,
        }),
        AgentEvent::RetryScheduled {
            attempt,
            max_attempts,
            delay,
            error_message,
        } => Said::RetryScheduled(proto::AgentRetryScheduled {
            attempt,
            max_attempts,
            delay: Some(encode::duration(delay)),
            error_message,
        }),
    };
    Some(Frame::AgentEvent(proto::WorkerEvent {
        lease_token,
        frame,
        event: Some(said),
    }))
}

/// What a worker's event says; `None` where it says nothing that makes sense.
pub fn decode(event: Said) -> Option<Told> {
    let steer_id = |text: &str| Uuid::parse_str(text).ok();
    Some(Told::Said(match event {
        Said::TextDelta(it) => {
            let event = AgentEvent::TextDelta {
                content_index: it.content_index,
                delta: it.delta,
            };
            return Some(Told::Delta(it.offset, event));
        }
        Said::ThinkingDelta(it) => {
            let event = AgentEvent::ThinkingDelta {
                content_index: it.content_index,
                delta: it.delta,
            };
            return Some(Told::Delta(it.offset, event));
        }
        Said::ToolInputDelta(it) => {
            let event = AgentEvent::ToolInputDelta {
                content_index: it.content_index,
                tool_call_id: it.tool_call_id,
                tool_name: it.tool_name,
                delta: it.delta,
            };
            return Some(Told::Delta(it.offset, event));
        }
        Said::MessageStarted(_) => AgentEvent::MessageStarted,
        Said::ThinkingCompleted(it) => AgentEvent::ThinkingCompleted {
            content_index: it.content_index,
            text: it.text,
        },
        Said::MessageCompleted(it) => {
            let blocks = it.blocks.into_iter();
            AgentEvent::MessageCompleted {
                blocks: blocks.map(|it| (it.content_index, it.text)).collect(),
            }
        }
        Said::ToolStarted(it) => AgentEvent::ToolStarted {
            tool_call_id: it.tool_call_id,
            tool_name: it.tool_name,
            args_json: it.args_json,
        },
        Said::ToolUpdate(it) => AgentEvent::ToolUpdate {
            tool_call_id: it.tool_call_id,
            partial_result_json: it.partial_result_json,
        },
        Said::ToolCompleted(it) => AgentEvent::ToolCompleted {
            tool_call_id: it.tool_call_id,
            result_json: it.result_json,
            is_error: it.is_error,
            full_size: usize::try_from(it.full_size).ok().filter(|size| *size > 0),
            pictures: parse::attachments(it.pictures),
        },
        Said::SteerApplied(it) => AgentEvent::SteerApplied {
            steer_id: steer_id(&it.steer_id)?,
        },
        Said::SteerReturned(it) => AgentEvent::SteerReturned {
            steer_id: steer_id(&it.steer_id)?,
        },
        Said::Asked(it) => ask_of(it)?,
        Said::AskWithdrawn(it) => AgentEvent::AskWithdrawn { ask_id: it.ask_id },
        Said::ArtifactCreated(it) => AgentEvent::ArtifactCreated {
            title: it.title,
            artifact: Box::new(parse::attachments(vec![it.artifact?]).pop()?),
        },
        Said::AnswerTaken(it) => AgentEvent::AnswerDelivered { ask_id: it.ask_id },
        Said::PlanUpdated(it) => {
            let entry = |it: proto::PlanEntry| PlanEntry {
                status: match it.status() {
                    proto::PlanStatus::InProgress => PlanStatus::InProgress,
                    proto::PlanStatus::Completed => PlanStatus::Completed,
                    proto::PlanStatus::Pending | proto::PlanStatus::Unspecified => {
                        PlanStatus::Pending
                    }
                },
                text: it.text,
                priority: it.priority,
            };
            AgentEvent::PlanUpdated {
                entries: it.entries.into_iter().map(entry).collect(),
            }
        }
        Said::Offered(it) => AgentEvent::Offered {
            offers: Box::new(offers_of(it)),
        },
        Said::CommandsChanged(it) => {
            let commands = it.commands.into_iter();
            let commands = commands
                .filter_map(|it| Command::bounded(&it.name, &it.description, &it.input_hint));
            AgentEvent::CommandsChanged {
                commands: commands
                    .take(crate::domain::command::COMMANDS_MAX)
                    .collect(),
            }
        }
        Said::OutputAccepted(it) => AgentEvent::OutputAccepted {
            output_json: it.output_json,
        },
        Said::Usage(it) => {
            let granularity = match it.granularity() {
                proto::UsageGranularity::Turn => Granularity::Turn,
                proto::UsageGranularity::Call | proto::UsageGranularity::Unspecified => {
                    Granularity::Call
                }
            };
            let context = ContextUse {
                tokens: it.context_tokens,
                window: it.context_window,
            };
            AgentEvent::UsageRecorded(Box::new(UsageReport {
                usage: usage_of(it.usage.unwrap_or_default()),
                model: it.model,
                granularity,
                context: (context != ContextUse::default()).then_some(context),
            }))
        }
        Said::CallWanted(it) => AgentEvent::CallWanted { model: it.model },
        Said::CompactionStarted(it) => AgentEvent::CompactionStarted { reason: it.reason },
        Said::CompactionCompleted(it) => AgentEvent::CompactionCompleted {
            reason: it.reason,
            summary: it.summary,
            aborted: it.aborted,
            error_message: it.error_message,
            tokens_before: it.tokens_before,
            kept: it.kept,
        },
        Said::RetryScheduled(it) => AgentEvent::RetryScheduled {
            attempt: it.attempt,
            max_attempts: it.max_attempts,
            delay: duration_of(it.delay),
            error_message: it.error_message,
        },
    }))
}

/// The end that a worker tells of an assignment.
pub fn completed(told: &proto::WorkerCompleted) -> AgentEvent {
    let message = told.message.clone();
    match told.outcome() {
        proto::WorkerOutcome::Completed => {
            AgentEvent::TurnEnded(Outcome::Completed(match told.stop_reason() {
                proto::StopReason::Length => StopReason::Length,
                proto::StopReason::ToolUse => StopReason::ToolUse,
                proto::StopReason::Stop
                | proto::StopReason::Error
                | proto::StopReason::Aborted
                | proto::StopReason::Unspecified => StopReason::Stop,
            }))
        }
        proto::WorkerOutcome::Failed | proto::WorkerOutcome::Unspecified => {
            AgentEvent::TurnEnded(Outcome::Failed(message))
        }
        proto::WorkerOutcome::OutputInvalid => {
            AgentEvent::TurnEnded(Outcome::OutputInvalid(message))
        }
        proto::WorkerOutcome::Exited | proto::WorkerOutcome::NotStarted => {
            AgentEvent::Exited { message }
        }
    }
}

/// The end that a worker tells of a stop.
pub fn stopped(told: &proto::WorkerStopped) -> AgentEvent {
    if told.survivors.is_empty() {
        AgentEvent::TurnEnded(Outcome::Stopped)
    } else {
        AgentEvent::StopFailed {
            survivors: told.survivors.join("; "),
        }
    }
}

/// Attachments by value.
pub fn attachments(attachments: Vec<Attachment>) -> Vec<proto::Attachment> {
    let attachment = |it: Attachment| proto::Attachment {
        name: it.reference.name,
        media_type: it.reference.media_type,
        data: it.data,
    };
    attachments.into_iter().map(attachment).collect()
}

/// The part of an assignment that is its turn's input.
pub fn assign(input: TurnInput) -> proto::WorkerAssign {
    let TurnInput {
        turn_id,
        attempt,
        epoch,
        text,
        command,
        attachments: files,
        memory_context,
        choices,
        transcript,
        user_messages_before,
        trace_context,
        calls_are_granted,
        output_schema,
        client_tools,
    } = input;
    let Choices {
        model,
        thinking_level,
        options,
    } = choices;
    let tool = |it: ClientTool| proto::ClientTool {
        name: it.name,
        description: it.description,
        schema_json: it.schema_json,
    };
    proto::WorkerAssign {
        turn_id: turn_id.to_string(),
        attempt,
        epoch,
        text,
        command,
        attachments: attachments(files),
        memory_context,
        model,
        thinking_level,
        options,
        transcript,
        user_messages_before,
        trace_context,
        calls_are_granted,
        output_schema,
        client_tools: client_tools.into_iter().map(tool).collect(),
        ..proto::WorkerAssign::default()
    }
}

/// The turn's input of an assignment; `None` where its turn has no id.
pub fn input_of(assign: &mut proto::WorkerAssign) -> Option<TurnInput> {
    let take = std::mem::take::<String>;
    let tool = |it: proto::ClientTool| ClientTool {
        name: it.name,
        description: it.description,
        schema_json: it.schema_json,
    };
    Some(TurnInput {
        turn_id: Uuid::parse_str(&assign.turn_id).ok()?,
        attempt: assign.attempt,
        epoch: assign.epoch,
        text: take(&mut assign.text),
        command: take(&mut assign.command),
        attachments: parse::attachments(std::mem::take(&mut assign.attachments)),
        memory_context: take(&mut assign.memory_context),
        choices: Choices {
            model: assign.model.clone(),
            thinking_level: assign.thinking_level.clone(),
            options: std::mem::take(&mut assign.options),
        },
        transcript: take(&mut assign.transcript),
        user_messages_before: assign.user_messages_before,
        trace_context: assign.trace_context.clone(),
        calls_are_granted: assign.calls_are_granted,
        output_schema: take(&mut assign.output_schema),
        client_tools: std::mem::take(&mut assign.client_tools)
            .into_iter()
            .map(tool)
            .collect(),
    })
}

/// A message of a conversation's history.
pub fn message_of(message: &proto::Message) -> Message {
    Message {
        item_id: Uuid::parse_str(&message.item_id).unwrap_or_default(),
        turn_id: Uuid::parse_str(&message.turn_id).unwrap_or_default(),
        generation: message.generation,
        role: match message.role() {
            proto::Role::User | proto::Role::Unspecified => Role::User,
            proto::Role::Assistant => Role::Assistant,
            proto::Role::Tool => Role::Tool,
            proto::Role::System => Role::System,
        },
        parts: message
            .parts
            .iter()
            .cloned()
            .filter_map(frames::decode_part)
            .collect(),
        create_time: Time(0),
        seq: message.seq,
        partial: message.partial,
        continued: message.continued,
    }
}

/// An answer.
pub fn answer_of(answer: proto::Answer) -> Answer {
    Answer {
        option_id: answer.option_id,
        content_json: answer.content_json,
        is_error: answer.is_error,
        declined: answer.declined,
        comment: answer.comment,
    }
}

/// What an agent can do, as a worker tells it.
pub fn capabilities_of(told: &proto::AgentCapabilities) -> Capabilities {
    Capabilities {
        steer: told.steer,
        soft_cancel: told.soft_cancel,
        images: told.images,
        thinking: told.thinking,
        models: told.models,
        options: told.options,
        fork: false,
        compaction: told.compaction,
        commands: told.commands,
        questions: told.questions,
        tool_policy: match told.tool_policy() {
            proto::ToolPolicySupport::Enforced => ToolPolicySupport::Enforced,
            proto::ToolPolicySupport::OnRequest => ToolPolicySupport::OnRequest,
            proto::ToolPolicySupport::None | proto::ToolPolicySupport::Unspecified => {
                ToolPolicySupport::None
            }
        },
        resume: told.resume,
        usage: match told.usage() {
            proto::UsageReports::Call => UsageReports::Call,
            proto::UsageReports::Turn => UsageReports::Turn,
            proto::UsageReports::None | proto::UsageReports::Unspecified => UsageReports::None,
        },
        deny_continues: told.deny_continues,
        workspace: false,
        workspace_diff: false,
        sub_agents: false,
        client_tools: told.client_tools,
        structured_output: told.structured_output,
    }
}

/// A span of time; none is 0.
pub fn duration_of(span: Option<prost_types::Duration>) -> Duration {
    span.and_then(|span| Duration::try_from(span).ok())
        .unwrap_or_default()
}

fn asked(ask_id: String, ask: Ask) -> proto::AgentAsked {
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
    let option = |it: QuestionOption| proto::QuestionOption {
        option_id: it.option_id,
        label: it.label,
        effect: it.effect.map_or(0, |effect| effect as i32),
    };
    proto::AgentAsked {
        ask_id,
        kind: kind as i32,
        title,
        tool_call_id,
        tool_name,
        args_json: args.text,
        options: options.into_iter().map(option).collect(),
        schema_json,
        url,
        agent_path,
    }
}

fn ask_of(asked: proto::AgentAsked) -> Option<AgentEvent> {
    let kind = match asked.kind() {
        proto::QuestionKind::Permission => QuestionKind::Permission,
        proto::QuestionKind::Form => QuestionKind::Form,
        proto::QuestionKind::Link => QuestionKind::Link,
        proto::QuestionKind::ToolCall => QuestionKind::ToolCall,
        // That one is the gateway's own.
        proto::QuestionKind::Budget | proto::QuestionKind::Unspecified => return None,
    };
    let option = |it: proto::QuestionOption| QuestionOption {
        effect: match it.effect() {
            proto::OptionEffect::AllowOnce => Some(OptionEffect::AllowOnce),
            proto::OptionEffect::AllowAlways => Some(OptionEffect::AllowAlways),
            proto::OptionEffect::DenyOnce => Some(OptionEffect::DenyOnce),
            proto::OptionEffect::DenyAlways => Some(OptionEffect::DenyAlways),
            proto::OptionEffect::Unspecified => None,
        },
        option_id: it.option_id,
        label: it.label,
    };
    let ask = Ask {
        kind,
        title: asked.title,
        tool_call_id: asked.tool_call_id,
        tool_name: asked.tool_name,
        args: Json {
            text: asked.args_json,
            full_size: None,
        },
        options: asked.options.into_iter().map(option).collect(),
        schema_json: asked.schema_json,
        url: asked.url,
        agent_path: asked.agent_path,
    };
    Some(AgentEvent::Asked {
        ask_id: asked.ask_id,
        ask: Box::new(ask),
    })
}

fn offered(all: Offers) -> proto::AgentOffered {
    let Offers {
        models,
        default_model,
        model,
        thinking_level,
        options,
    } = all;
    let option = |it: AgentOption| {
        let AgentOption {
            id,
            name,
            description,
            category,
            values,
            current,
            default,
        } = it;
        proto::AgentOfferedOption {
            option_id: id,
            name,
            description,
            category,
            values: values.iter().map(offers::value).collect(),
            current,
            default_value: default,
        }
    };
    proto::AgentOffered {
        models: models.iter().map(offers::model).collect(),
        default_model,
        model,
        thinking_level,
        options: options.into_iter().map(option).collect(),
    }
}

fn offers_of(told: proto::AgentOffered) -> Offers {
    let model = |it: proto::Model| {
        let can = it.capabilities.unwrap_or_default();
        Model {
            id: join_model(&it.provider, &it.model_id),
            display_name: it.display_name,
            reasoning: can.reasoning,
            vision: can.vision,
            tools: can.tools,
            context_window: it.context_window,
            max_output_tokens: it.max_output_tokens,
            thinking_levels: (!it.thinking_levels.is_empty()).then_some(it.thinking_levels),
        }
    };
    let value = |it: proto::AgentOptionValue| OptionValue {
        value: it.value,
        name: it.name,
        description: it.description,
    };
    let option = |it: proto::AgentOfferedOption| AgentOption {
        id: it.option_id,
        name: it.name,
        description: it.description,
        category: it.category,
        values: it.values.into_iter().map(value).collect(),
        current: it.current,
        default: it.default_value,
    };
    Offers {
        models: told.models.into_iter().map(model).collect(),
        default_model: told.default_model,
        model: told.model,
        thinking_level: told.thinking_level,
        options: told.options.into_iter().map(option).collect(),
    }
}

fn usage_of(told: proto::Usage) -> Usage {
    let proto::Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_micros,
        model_calls,
        unpriced_calls,
        reasoning_tokens,
    } = told;
    Usage {
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

/// Offsets of the blocks of the open message, on either side of a connection.
#[derive(Debug, Default)]
pub struct Offsets(BTreeMap<Block, i64>);

/// Which block: text, thinking and arguments of tool calls count apart.
type Block = (u8, i32);

// === impl Offsets ===

impl Offsets {
    /// Follows what ends blocks.
    pub fn follow(&mut self, event: &AgentEvent) {
        match event {
            AgentEvent::MessageStarted
            | AgentEvent::MessageCompleted { .. }
            | AgentEvent::ToolStarted { .. } => self.0.clear(),
            AgentEvent::ThinkingCompleted { content_index, .. } => {
                self.0.remove(&(1, *content_index));
            }
            _ => {}
        }
    }

    /// The offset of a delta that is about to be sent.
    pub fn count(&mut self, event: &AgentEvent) -> i64 {
        let Some((block, delta)) = block(event) else {
            return 0;
        };
        let end = self.0.entry(block).or_default();
        let offset = *end;
        *end += length(delta);
        offset
    }

    /// What is new of a delta that came; `None` where it leaves a gap, which the block's end closes, or where nothing is.
    pub fn fresh(&mut self, offset: i64, mut event: AgentEvent) -> Option<AgentEvent> {
        let (block, delta) = block(&event)?;
        let end = self.0.entry(block).or_default();
        let known = usize::try_from((*end).checked_sub(offset)?).ok()?;
        if known > 0 && (known >= delta.len() || !delta.is_char_boundary(known)) {
            return None;
        }
        *end = offset + length(delta);
        if known > 0 {
            cut_front(&mut event, known);
        }
        Some(event)
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// Block and text of a delta.
pub(crate) fn block(event: &AgentEvent) -> Option<(Block, &str)> {
    match event {
        AgentEvent::TextDelta {
            content_index,
            delta,
        } => Some(((0, *content_index), delta)),
        AgentEvent::ThinkingDelta {
            content_index,
            delta,
        } => Some(((1, *content_index), delta)),
        AgentEvent::ToolInputDelta {
            content_index,
            delta,
            ..
        } => Some(((2, *content_index), delta)),
        _ => None,
    }
}

fn cut_front(event: &mut AgentEvent, bytes: usize) {
    match event {
        AgentEvent::TextDelta { delta, .. }
        | AgentEvent::ThinkingDelta { delta, .. }
        | AgentEvent::ToolInputDelta { delta, .. } => drop(delta.drain(..bytes)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(delta: &str) -> AgentEvent {
        AgentEvent::TextDelta {
            content_index: 0,
            delta: delta.into(),
        }
    }

    /// R14: what comes again after a cut is not told again, and what is missing is left to the block's end.
    #[test]
    fn a_delta_counts_from_where_the_block_ends() {
        let mut offsets = Offsets::default();
        assert_eq!(offsets.fresh(0, text("abc")), Some(text("abc")));
        assert_eq!(offsets.fresh(0, text("abc")), None);
        assert_eq!(offsets.fresh(0, text("abcde")), Some(text("de")));
        assert_eq!(offsets.fresh(2, text("cdef")), Some(text("f")));
        assert_eq!(offsets.fresh(9, text("later")), None);
        offsets.follow(&AgentEvent::MessageStarted);
        assert_eq!(offsets.fresh(0, text("new")), Some(text("new")));
    }

    /// What a worker sends is what the gateway hears.
    #[test]
    fn what_is_said_comes_back_as_it_was() {
        let ask = Ask {
            kind: QuestionKind::Permission,
            title: "may I".into(),
            tool_call_id: "1".into(),
            tool_name: "hammer".into(),
            args: Json {
                text: "{}".into(),
                full_size: None,
            },
            options: vec![QuestionOption {
                option_id: "yes".into(),
                label: "Yes".into(),
                effect: Some(OptionEffect::AllowOnce),
            }],
            schema_json: String::new(),
            url: String::new(),
            agent_path: vec!["sub".into()],
        };
        let offers = Offers {
            models: vec![Model {
                id: "a/b".into(),
                reasoning: Some(true),
                ..Model::default()
            }],
            model: "a/b".into(),
            options: vec![AgentOption {
                id: "mode".into(),
                default: "x".into(),
                ..AgentOption::default()
            }],
            ..Offers::default()
        };
        for event in [
            AgentEvent::MessageStarted,
            AgentEvent::Asked {
                ask_id: "a".into(),
                ask: Box::new(ask),
            },
            AgentEvent::Offered {
                offers: Box::new(offers),
            },
            AgentEvent::MessageCompleted {
                blocks: vec![(0, "x".into())],
            },
            AgentEvent::RetryScheduled {
                attempt: 1,
                max_attempts: 2,
                delay: Duration::from_millis(1500),
                error_message: "e".into(),
            },
            AgentEvent::SteerApplied {
                steer_id: Uuid::from_u128(7),
            },
            AgentEvent::UsageRecorded(Box::default()),
        ] {
            let frame = encode("token", 1, 0, event.clone()).expect("it is told");
            let proto::connect_request::Frame::AgentEvent(told) = frame else {
                panic!("{frame:?}")
            };
            assert_eq!(
                decode(told.event.expect("it is there")),
                Some(Told::Said(event))
            );
        }
    }
}
