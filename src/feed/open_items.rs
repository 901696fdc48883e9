//! What is open in a session: messages that are being written and tools that run, with all that came of them so far.
//!
//! Items open and close by durable events alone; deltas only fill them. A delta of an item that is not open, or that
//! does not continue its block, is left out: the completed text is authoritative.

use crate::{
    domain::{
        event::{BlockKind, Delta, EventKind, Json, Role},
        ids::Time,
        limits::ASSISTANT_MESSAGE_MAX_BYTES,
    },
    proto,
    store::StoredEvent,
    wire::encode,
};
use prost::Message as _;
use proto::gateway_event::Kind;
use std::sync::Arc;
use uuid::Uuid;

/// Text of one open message, in bytes; deltas beyond it are left out. An actor closes its messages long before.
pub const OPEN_MESSAGE_MAX_BYTES: usize = ASSISTANT_MESSAGE_MAX_BYTES + 256 * 1024;

/// A message that an agent is writing.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenMessage {
    /// Its item.
    pub item_id: Uuid,
    /// Turn that it belongs to.
    pub turn_id: Option<Uuid>,
    /// Generation that it belongs to.
    pub generation: i64,
    /// When it began.
    pub start_time: Time,
    /// Its blocks, in the order in which they began.
    pub blocks: Vec<OpenBlock>,
}

/// A block of an open message.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenBlock {
    /// What it holds.
    pub kind: BlockKind,
    /// Its place in the message.
    pub content_index: i32,
    /// All of its text so far.
    pub text: String,
    /// The agent's id of the call, for tool input.
    pub tool_call_id: String,
    /// Name of the tool, for tool input.
    pub tool_name: String,
}

/// A tool that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningTool {
    /// Its item.
    pub item_id: Uuid,
    /// Turn that it belongs to.
    pub turn_id: Option<Uuid>,
    /// Generation that it belongs to.
    pub generation: i64,
    /// The agent's id of the call.
    pub tool_call_id: String,
    /// Name of the tool.
    pub tool_name: String,
    /// Its arguments.
    pub args: Json,
    /// Newest partial result.
    pub partial_result: Option<Json>,
    /// How many partial results there were; tells a reader whether it has the newest.
    pub updates: i64,
}

/// Everything that is open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenItems {
    /// Messages, oldest first.
    pub messages: Vec<OpenMessage>,
    /// Tools, oldest first.
    pub tools: Vec<RunningTool>,
    /// Questions that are pending, oldest first.
    pub questions: Vec<PendingQuestion>,
}

/// A question that the active turn waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingQuestion {
    /// Turn that it belongs to.
    pub turn_id: Option<Uuid>,
    /// Generation that it belongs to.
    pub generation: i64,
    /// As lists show it: its arguments cut.
    pub question: Arc<proto::Question>,
}

/// One block of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Its item.
    pub item_id: Uuid,
    /// What it holds.
    pub kind: BlockKind,
    /// Its place in the item.
    pub content_index: i32,
}

/// How far each open block had come: bytes of text, or the number of partial results.
pub type Reached = [(BlockId, i64)];

/// What a reader misses of what is open; everything that its event needs.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Turn of the item.
    pub turn_id: Option<Uuid>,
    /// The item; `None` for a question.
    pub item_id: Option<Uuid>,
    /// Generation of the item.
    pub generation: i64,
    /// `item_snapshot` or `question_pending`.
    pub kind: Kind,
}

/// What a durable event does to the open items.
#[derive(Clone, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// A message began.
    OpensMessage(OpenMessage),
    /// A tool began.
    OpensTool(RunningTool),
    /// A thinking block is whole.
    ClosesThinking {
        /// Its item.
        item_id: Uuid,
        /// Its place.
        content_index: i32,
    },
    /// An item is whole.
    ClosesItem(Uuid),
    /// A question is asked.
    Asks(PendingQuestion),
    /// A question is closed.
    Resolves(String),
    /// A turn ended, and with it every item.
    ClosesAll,
}

// === impl Change ===

impl Change {
    /// Reads it from a published event. Bytes that are no event change nothing.
    pub fn of(event: &StoredEvent) -> Self {
        match event.kind {
            EventKind::TURN_ENDED => return Self::ClosesAll,
            EventKind::MESSAGE_COMPLETED | EventKind::TOOL_COMPLETED => {
                return event.item_id.map_or(Self::None, Self::ClosesItem);
            }
            EventKind::MESSAGE_STARTED
            | EventKind::TOOL_STARTED
            | EventKind::THINKING_COMPLETED
            | EventKind::QUESTION_ASKED
            | EventKind::QUESTION_RESOLVED => {}
            _ => return Self::None,
        }
        let Ok(body) = proto::GatewayEvent::decode(event.body.as_ref()) else {
            return Self::None;
        };
        let start_time = body.event_time.map_or(Time(0), |t| {
            Time(t.seconds * 1_000_000 + i64::from(t.nanos) / 1000)
        });
        let (Some(kind), item_id) = (body.kind, event.item_id) else {
            return Self::None;
        };
        let change = match kind {
            Kind::QuestionAsked(asked) => asked.question.map(|question| {
                Self::Asks(PendingQuestion {
                    turn_id: event.turn_id,
                    generation: body.generation,
                    question: Arc::new(encode::cut_args(question)),
                })
            }),
            Kind::QuestionResolved(resolved) => Some(Self::Resolves(resolved.question_id)),
            Kind::MessageStarted(started) if started.role == Role::Assistant as i32 => {
                item_id.map(|item_id| {
                    Self::OpensMessage(OpenMessage {
                        item_id,
                        turn_id: event.turn_id,
                        generation: body.generation,
                        start_time,
                        blocks: Vec::new(),
                    })
                })
            }
            Kind::ToolStarted(started) => item_id.map(|item_id| {
                Self::OpensTool(RunningTool {
                    item_id,
                    turn_id: event.turn_id,
                    generation: body.generation,
                    tool_call_id: started.tool_call_id,
                    tool_name: started.tool_name,
                    args: Json {
                        text: started.args_json,
                        full_size: usize::try_from(started.full_size).ok().filter(|n| *n > 0),
                    },
                    partial_result: None,
                    updates: 0,
                })
            }),
            Kind::ThinkingCompleted(thinking) => item_id.map(|item_id| Self::ClosesThinking {
                item_id,
                content_index: thinking.content_index,
            }),
            // A new kind that opens or closes an item stands above, and among the kinds that are decoded.
            Kind::SessionCreated(_)
            | Kind::SessionUpdated(_)
            | Kind::SessionReset(_)
            | Kind::SessionDeleted(_)
            | Kind::TurnQueued(_)
            | Kind::TurnScheduled(_)
            | Kind::TurnUpdated(_)
            | Kind::TurnStarted(_)
            | Kind::TurnEnded(_)
            | Kind::MessageStarted(_)
            | Kind::MessageCompleted(_)
            | Kind::ToolCompleted(_)
            | Kind::SteerAccepted(_)
            | Kind::SteerApplied(_)
            | Kind::SteerRequeued(_)
            | Kind::UsageRecorded(_)
            | Kind::BudgetWarning(_)
            | Kind::WebhookPaused(_)
            | Kind::TurnWaiting(_)
            | Kind::CompactionStarted(_)
            | Kind::CompactionCompleted(_)
            | Kind::RetryScheduled(_)
            | Kind::AgentExited(_)
            | Kind::AnswerDelivered(_)
            | Kind::PlanUpdated(_)
            | Kind::ModelChanged(_)
            | Kind::OptionsChanged(_)
            | Kind::ContextRebuilt(_)
            | Kind::SubagentStarted(_)
            | Kind::SubagentCompleted(_)
            | Kind::SubagentItem(_)
            | Kind::ArtifactCreated(_)
            | Kind::Hello(_)
            | Kind::CaughtUp(_)
            | Kind::Progress(_)
            | Kind::SessionState(_)
            | Kind::Token(_)
            | Kind::Thinking(_)
            | Kind::ToolInput(_)
            | Kind::ToolUpdate(_)
            | Kind::ItemSnapshot(_)
            | Kind::Lagging(_)
            | Kind::Draining(_)
            | Kind::Reload(_)
            | Kind::QuestionPending(_)
            | Kind::CommandsChanged(_) => None,
        };
        change.unwrap_or(Self::None)
    }
}

// === impl OpenItems ===

impl OpenItems {
    /// Opens and closes.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::OpensMessage(message) => self.messages.push(message),
            Change::OpensTool(tool) => self.tools.push(tool),
            Change::ClosesThinking {
                item_id,
                content_index,
            } => {
                for message in self.messages.iter_mut().filter(|m| m.item_id == item_id) {
                    message.blocks.retain(|b| {
                        b.kind != BlockKind::Thinking || b.content_index != content_index
                    });
                }
            }
            Change::ClosesItem(item_id) => {
                self.messages.retain(|m| m.item_id != item_id);
                self.tools.retain(|t| t.item_id != item_id);
            }
            Change::Asks(question) => self.questions.push(question),
            Change::Resolves(question_id) => {
                self.questions
                    .retain(|it| it.question.question_id != question_id);
            }
            Change::ClosesAll => *self = Self::default(),
        }
    }

    /// Adds a delta to its block. False where it doesn't fit and must be left out.
    pub fn fill(&mut self, item_id: Uuid, tool_name: &str, delta: &Delta) -> bool {
        match delta {
            Delta::Token {
                delta,
                content_index,
                offset,
            } => self.append(
                item_id,
                BlockKind::Text,
                *content_index,
                *offset,
                delta,
                None,
            ),
            Delta::Thinking {
                delta,
                content_index,
                offset,
            } => self.append(
                item_id,
                BlockKind::Thinking,
                *content_index,
                *offset,
                delta,
                None,
            ),
            Delta::ToolInput {
                delta,
                content_index,
                offset,
                tool_call_id,
                tool_name,
            } => self.append(
                item_id,
                BlockKind::ToolInput,
                *content_index,
                *offset,
                delta,
                Some((tool_call_id, tool_name)),
            ),
            Delta::ToolUpdate {
                tool_call_id: _,
                partial_result,
            } => {
                let Some(tool) = self.tools.iter_mut().find(|t| t.item_id == item_id) else {
                    return false;
                };
                if tool.tool_name.is_empty() {
                    tool_name.clone_into(&mut tool.tool_name);
                }
                tool.partial_result = Some(partial_result.clone());
                tool.updates += 1;
                true
            }
        }
    }

    fn append(
        &mut self,
        item_id: Uuid,
        kind: BlockKind,
        content_index: i32,
        offset: i64,
        delta: &str,
        call: Option<(&String, &String)>,
    ) -> bool {
        let Some(message) = self.messages.iter_mut().find(|m| m.item_id == item_id) else {
            return false;
        };
        let size: usize = message.blocks.iter().map(|b| b.text.len()).sum();
        if size + delta.len() > OPEN_MESSAGE_MAX_BYTES {
            return false;
        }
        let position = message
            .blocks
            .iter()
            .position(|b| b.kind == kind && b.content_index == content_index);
        let length = position.map_or(0, |at| message.blocks[at].text.len());
        if usize::try_from(offset) != Ok(length) {
            return false;
        }
        let at = position.unwrap_or_else(|| {
            message.blocks.push(OpenBlock {
                kind,
                content_index,
                text: String::new(),
                tool_call_id: String::new(),
                tool_name: String::new(),
            });
            message.blocks.len() - 1
        });
        let block = &mut message.blocks[at];
        block.text.push_str(delta);
        // The id and the name of a call may become known only while its arguments are written.
        if let Some((tool_call_id, tool_name)) = call {
            if block.tool_call_id.is_empty() {
                block.tool_call_id.clone_from(tool_call_id);
            }
            if block.tool_name.is_empty() {
                block.tool_name.clone_from(tool_name);
            }
        }
        true
    }

    /// How far each block has come.
    pub fn reached(&self) -> impl Iterator<Item = (BlockId, i64)> {
        let blocks = self.messages.iter().flat_map(|m| {
            m.blocks.iter().map(|b| {
                let id = BlockId {
                    item_id: m.item_id,
                    kind: b.kind,
                    content_index: b.content_index,
                };
                (id, length(&b.text))
            })
        });
        let tools = self.tools.iter().map(|t| (result_id(t), t.updates));
        blocks.chain(tools)
    }

    /// What a reader misses that had come as far as `reached`.
    pub fn snapshots(&self, reached: &Reached) -> Vec<Snapshot> {
        let known = |id: BlockId| {
            reached
                .iter()
                .find(|(i, _)| *i == id)
                .map_or(0, |(_, n)| *n)
        };
        let mut snapshots = Vec::new();
        for message in &self.messages {
            for block in &message.blocks {
                let offset = known(BlockId {
                    item_id: message.item_id,
                    kind: block.kind,
                    content_index: block.content_index,
                });
                // Where a reader stopped is the end of a delta, so it is a character's edge.
                let missing = usize::try_from(offset)
                    .ok()
                    .and_then(|n| block.text.get(n..));
                let (offset, missing) = missing.map_or((0, block.text.as_str()), |m| (offset, m));
                if missing.is_empty() {
                    continue;
                }
                snapshots.push(Snapshot {
                    turn_id: message.turn_id,
                    item_id: Some(message.item_id),
                    generation: message.generation,
                    kind: Kind::ItemSnapshot(proto::ItemSnapshot {
                        block: block.kind as i32,
                        role: Role::Assistant as i32,
                        content_index: block.content_index,
                        offset,
                        text: missing.to_owned(),
                        tool_call_id: block.tool_call_id.clone(),
                        tool_name: block.tool_name.clone(),
                    }),
                });
            }
        }
        for tool in &self.tools {
            let Some(result) = &tool.partial_result else {
                continue;
            };
            if known(result_id(tool)) == tool.updates {
                continue;
            }
            snapshots.push(Snapshot {
                turn_id: tool.turn_id,
                item_id: Some(tool.item_id),
                generation: tool.generation,
                kind: Kind::ItemSnapshot(proto::ItemSnapshot {
                    block: BlockKind::ToolResult as i32,
                    role: Role::Tool as i32,
                    content_index: 0,
                    offset: 0,
                    text: result.text.clone(),
                    tool_call_id: tool.tool_call_id.clone(),
                    tool_name: tool.tool_name.clone(),
                }),
            });
        }
        snapshots
    }

    /// What is pending, for a reader who joins.
    pub fn pending(&self) -> impl Iterator<Item = Snapshot> {
        self.questions.iter().map(|pending| Snapshot {
            turn_id: pending.turn_id,
            item_id: None,
            generation: pending.generation,
            kind: Kind::QuestionPending(proto::QuestionPending {
                question: Some(proto::Question::clone(&pending.question)),
            }),
        })
    }
}

fn result_id(tool: &RunningTool) -> BlockId {
    BlockId {
        item_id: tool.item_id,
        kind: BlockKind::ToolResult,
        content_index: 0,
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).expect("a block fits into memory")
}
