//! One turn as chat protocols see it: its events become the little that all of them tell, in order. Pure.
//!
//! Each protocol is a printer of [`Told`]; none keeps text of its own. What deltas said and what the whole message says in
//! the end are brought together here: a rest that no delta brought is told, and what was wrong is taken back.
//!
//! A *segment* ends where the turn stands still until somebody answers: most chat protocols end their answer there, and go
//! on in the next request, which brings the answers.

use crate::proto::{
    BlockKind, GatewayEvent, PlanEntry, Question, Role, Turn, UsageRecorded, gateway_event::Kind,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a block of a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    /// What the agent says.
    Text,
    /// What it thought.
    Thinking,
}

/// A block of a message. `id` is the same however often the turn is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    pub(super) id: String,
    pub(super) holds: Holds,
}

/// What there is to tell of a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// It waits, behind so many.
    Queued(Box<Turn>, i32),
    /// The agent works on it, once more where `attempt` is above 1.
    Started(Box<Turn>),
    /// A block begins.
    BlockStarted(Block),
    /// Text of a block that has begun.
    BlockGrew(Block, String),
    /// Nothing more of a block comes.
    BlockEnded(Block),
    /// What was told of these blocks is wrong; they are told again.
    TakenBack(Vec<Block>),
    /// The model writes the arguments of a call.
    ToolInput {
        id: String,
        name: String,
        delta: String,
    },
    /// A tool runs, or somebody is asked whether it may. Told once for each call.
    ToolStarted {
        id: String,
        name: String,
        args_json: String,
    },
    /// What a tool has so far.
    ToolUpdated { id: String, result_json: String },
    /// A tool ended.
    ToolEnded {
        id: String,
        name: String,
        result_json: String,
        is_error: bool,
    },
    /// Somebody said something to the running turn, and the agent took it.
    Steered { id: String, text: String },
    /// The agent asks.
    Asked(Box<Question>),
    /// A question is closed.
    Resolved(Box<Question>),
    /// What the agent means to do.
    Plan(Vec<PlanEntry>),
    /// A model call's tokens.
    Usage(UsageRecorded),
    /// Something is tried again.
    Retry(String),
    /// It is over.
    Ended(Box<Turn>),
}

/// A turn while it is told.
#[derive(Debug, Default)]
pub(super) struct View {
    turn_id: String,
    /// Blocks that have begun and not ended, by item and place, with what they were told to hold.
    open: BTreeMap<(String, i32, Holds), String>,
    /// Assistant messages that are open.
    messages: BTreeSet<String>,
    /// Tools that were told and have not ended, with what they are called.
    tools: BTreeMap<String, String>,
    /// Questions without an answer, by id.
    questions: BTreeMap<String, Question>,
    /// Steers that the agent does not have yet, with what they say.
    steers: BTreeMap<String, String>,
}

// === impl Block ===

impl Block {
    fn of(item: &str, place: i32, holds: Holds) -> Self {
        let id = format!("{item}.{place}");
        Self { id, holds }
    }
}

// === impl View ===

impl View {
    /// Follows one turn, from wherever its events begin.
    pub(super) fn of(turn_id: &str) -> Self {
        Self {
            turn_id: turn_id.to_owned(),
            ..Self::default()
        }
    }

    /// Follows a turn on, after an answer; `tools` are told already, by id and name.
    pub(super) fn resumed(
        turn_id: &str,
        tools: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self {
            tools: tools.into_iter().filter(|(id, _)| !id.is_empty()).collect(),
            ..Self::of(turn_id)
        }
    }

    /// Questions that somebody must answer.
    pub(super) fn questions(&self) -> impl Iterator<Item = &Question> {
        self.questions.values()
    }

    /// Whether the turn stands still until somebody answers: a question is open, no message, and no tool that nobody was
    /// asked about.
    pub(super) fn waits(&self) -> bool {
        let asked = |tool: &String| self.questions.values().any(|it| it.tool_call_id == *tool);
        !self.questions.is_empty() && self.messages.is_empty() && self.tools.keys().all(asked)
    }

    /// What an event adds. Events of other turns, and of the session, add nothing.
    pub(super) fn fold(&mut self, event: GatewayEvent) -> Vec<Told> {
        let mut told = Vec::new();
        let GatewayEvent {
            turn_id,
            item_id: item,
            kind: Some(kind),
            ..
        } = event
        else {
            return told;
        };
        if self.turn_id.is_empty() {
            self.turn_id.clone_from(&turn_id);
        }
        if turn_id != self.turn_id {
            return told;
        }
        match kind {
            Kind::TurnQueued(queued) => {
                let turn = queued.turn.unwrap_or_default();
                told.push(Told::Queued(Box::new(turn), queued.queue_position));
            }
            Kind::TurnStarted(started) => {
                // What an attempt before this one began is nobody's any more.
                self.take_back(|_| true, &mut told);
                self.messages.clear();
                self.end_tools(&mut told);
                told.push(Told::Started(Box::new(started.turn.unwrap_or_default())));
            }
            Kind::MessageStarted(message) if message.role() == Role::Assistant => {
                self.messages.insert(item);
            }
            Kind::MessageStarted(_) => {}
            Kind::Token(token) => {
                let (place, at) = (token.content_index, token.offset);
                self.grow(&item, place, Holds::Text, at, &token.delta, &mut told);
            }
            Kind::Thinking(token) => {
                let (place, at) = (token.content_index, token.offset);
                self.grow(&item, place, Holds::Thinking, at, &token.delta, &mut told);
            }
            Kind::ItemSnapshot(block) => {
                let holds = match block.block() {
                    BlockKind::Text if block.role() == Role::Assistant => Some(Holds::Text),
                    BlockKind::Thinking => Some(Holds::Thinking),
                    _ => None,
                };
                if let Some(holds) = holds {
                    self.messages.insert(item.clone());
                    let (place, at) = (block.content_index, block.offset);
                    self.grow(&item, place, holds, at, &block.text, &mut told);
                }
            }
            Kind::ThinkingCompleted(block) => {
                self.end(
                    &item,
                    block.content_index,
                    Holds::Thinking,
                    &block.text,
                    &mut told,
                );
            }
            Kind::MessageCompleted(message) if message.role() == Role::Assistant => {
                for block in message.blocks {
                    self.end(
                        &item,
                        block.content_index,
                        Holds::Text,
                        &block.text,
                        &mut told,
                    );
                }
                self.messages.remove(&item);
                // What was told and is no part of the message: it will be said anew.
                self.take_back(
                    |(of, _, holds)| *of == item && *holds == Holds::Text,
                    &mut told,
                );
            }
            Kind::MessageCompleted(_) => {}
            Kind::ToolInput(input) if !input.tool_call_id.is_empty() => {
                told.push(Told::ToolInput {
                    id: input.tool_call_id,
                    name: input.tool_name,
                    delta: input.delta,
                });
            }
            Kind::ToolStarted(tool) => {
                self.tool(
                    &tool.tool_call_id,
                    &tool.tool_name,
                    tool.args_json,
                    &mut told,
                );
            }
            Kind::ToolUpdate(update) => told.push(Told::ToolUpdated {
                id: update.tool_call_id,
                result_json: update.partial_result_json,
            }),
            Kind::ToolCompleted(tool) => {
                // Its beginning may have been before this reader.
                self.tools.remove(&tool.tool_call_id);
                told.push(Told::ToolEnded {
                    id: tool.tool_call_id,
                    name: tool.tool_name,
                    result_json: tool.result_json,
                    is_error: tool.is_error,
                });
            }
            Kind::SteerAccepted(steer) => {
                self.steers.insert(steer.steer_id, steer.text);
            }
            Kind::SteerApplied(steer) => {
                if let Some(text) = self.steers.remove(&steer.steer_id) {
                    let id = steer.steer_id;
                    told.push(Told::Steered { id, text });
                }
            }
            Kind::QuestionAsked(asked) => self.ask(asked.question, &mut told),
            Kind::QuestionPending(pending) => self.ask(pending.question, &mut told),
            Kind::QuestionResolved(resolved) => {
                let mut question = self
                    .questions
                    .remove(&resolved.question_id)
                    .unwrap_or_default();
                question.question_id = resolved.question_id;
                question.state = resolved.state;
                question.resolution = resolved.resolution;
                question.answer = resolved.answer;
                told.push(Told::Resolved(Box::new(question)));
            }
            Kind::PlanUpdated(plan) => told.push(Told::Plan(plan.entries)),
            Kind::UsageRecorded(usage) => told.push(Told::Usage(usage)),
            Kind::RetryScheduled(retry) => told.push(Told::Retry(retry.error_message)),
            Kind::TurnEnded(ended) => {
                self.close(&mut told);
                told.push(Told::Ended(Box::new(ended.turn.unwrap_or_default())));
            }
            _ => {}
        }
        told
    }

    /// Appends what a reader does not have yet.
    fn grow(
        &mut self,
        item: &str,
        place: i32,
        holds: Holds,
        offset: i64,
        delta: &str,
        told: &mut Vec<Told>,
    ) {
        let block = Block::of(item, place, holds);
        let entry = self.open.entry((item.to_owned(), place, holds));
        let before = entry.or_insert_with(|| {
            told.push(Told::BlockStarted(block.clone()));
            String::new()
        });
        let known = usize::try_from(offset)
            .ok()
            .and_then(|offset| before.len().checked_sub(offset));
        // After a gap the whole block brings what is missing.
        if let Some(new) = known.and_then(|known| delta.get(known..))
            && !new.is_empty()
        {
            before.push_str(new);
            told.push(Told::BlockGrew(block, new.to_owned()));
        }
    }

    /// A block is whole, and `text` is what it holds.
    fn end(&mut self, item: &str, place: i32, holds: Holds, text: &str, told: &mut Vec<Told>) {
        let block = Block::of(item, place, holds);
        let before = self.open.remove(&(item.to_owned(), place, holds));
        let rest = match &before {
            Some(before) => text.strip_prefix(before.as_str()),
            None => Some(text),
        };
        if rest.is_none() {
            told.push(Told::TakenBack(vec![block.clone()]));
        }
        if before.is_none() || rest.is_none() {
            told.push(Told::BlockStarted(block.clone()));
        }
        let rest = rest.unwrap_or(text);
        if !rest.is_empty() {
            told.push(Told::BlockGrew(block.clone(), rest.to_owned()));
        }
        told.push(Told::BlockEnded(block));
    }

    fn tool(&mut self, id: &str, name: &str, args_json: String, told: &mut Vec<Told>) {
        if self.tools.insert(id.to_owned(), name.to_owned()).is_none() {
            told.push(Told::ToolStarted {
                id: id.to_owned(),
                name: name.to_owned(),
                args_json,
            });
        }
    }

    fn ask(&mut self, question: Option<Question>, told: &mut Vec<Told>) {
        let question = question.unwrap_or_default();
        if self.questions.contains_key(&question.question_id) {
            return;
        }
        if !question.tool_call_id.is_empty() {
            let args = question.args_json.clone();
            self.tool(&question.tool_call_id, &question.tool_name, args, told);
        }
        told.push(Told::Asked(Box::new(question.clone())));
        self.questions
            .insert(question.question_id.clone(), question);
    }

    /// Takes back blocks that are open.
    fn take_back(&mut self, which: impl Fn(&(String, i32, Holds)) -> bool, told: &mut Vec<Told>) {
        let blocks: Vec<Block> = self
            .open
            .extract_if(.., |place, _| which(place))
            .map(|((item, place, holds), _)| Block::of(&item, place, holds))
            .collect();
        if !blocks.is_empty() {
            told.push(Told::TakenBack(blocks));
        }
    }

    /// Ends all that is open: nothing of the turn comes after its end.
    fn close(&mut self, told: &mut Vec<Told>) {
        for (item, place, holds) in std::mem::take(&mut self.open).into_keys() {
            told.push(Told::BlockEnded(Block::of(&item, place, holds)));
        }
        self.messages.clear();
        self.questions.clear();
        self.end_tools(told);
    }

    /// What was asked for and never ran is an error of the call.
    fn end_tools(&mut self, told: &mut Vec<Told>) {
        for (id, name) in std::mem::take(&mut self.tools) {
            told.push(Told::ToolEnded {
                id,
                name,
                result_json: "\"it did not run\"".into(),
                is_error: true,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use proptest::prelude::*;

    fn event(kind: Kind) -> GatewayEvent {
        GatewayEvent {
            turn_id: "t".into(),
            item_id: "i".into(),
            kind: Some(kind),
            ..GatewayEvent::default()
        }
    }

    fn token(offset: usize, delta: &str) -> GatewayEvent {
        event(Kind::Token(proto::Token {
            delta: delta.into(),
            content_index: 0,
            offset: offset as i64,
        }))
    }

    fn completed(text: &str) -> GatewayEvent {
        event(Kind::MessageCompleted(proto::MessageCompleted {
            role: Role::Assistant.into(),
            text: text.into(),
            blocks: vec![proto::MessageBlock {
                content_index: 0,
                text: text.into(),
            }],
            ..Default::default()
        }))
    }

    /// What a reader of `told` shows in the end.
    fn shown(told: &[Told]) -> BTreeMap<Block, String> {
        let mut shown = BTreeMap::new();
        let mut open = BTreeSet::new();
        for one in told {
            match one {
                Told::BlockStarted(block) => {
                    assert!(open.insert(block.clone()), "{block:?} begins twice");
                    shown.insert(block.clone(), String::new());
                }
                Told::BlockGrew(block, delta) => {
                    assert!(open.contains(block) && !delta.is_empty());
                    shown.get_mut(block).unwrap().push_str(delta);
                }
                Told::BlockEnded(block) => assert!(open.remove(block), "{block:?} ends twice"),
                Told::TakenBack(blocks) => {
                    for block in blocks {
                        open.remove(block);
                        shown.remove(block);
                    }
                }
                _ => {}
            }
        }
        assert!(open.is_empty(), "{open:?}");
        shown
    }

    proptest! {
        /// Whatever deltas are lost, doubled or wrong, what is shown in the end is the message.
        #[test]
        fn what_is_shown_is_what_the_message_says(
            text in "[a-zé€]{0,40}",
            cuts in prop::collection::vec((0_usize..40, 0_usize..40, any::<bool>()), 0..12),
        ) {
            let mut view = View::of("t");
            let mut told = Vec::new();
            for (from, to, wrong) in cuts {
                let (from, to) = (from.min(text.len()), to.min(text.len()));
                let Some(delta) = text.get(from..to) else { continue };
                let delta = if wrong { delta.to_uppercase() } else { delta.to_owned() };
                told.extend(view.fold(token(from, &delta)));
            }
            told.extend(view.fold(completed(&text)));
            let shown = shown(&told);
            let whole: String = shown.values().map(String::as_str).collect();
            prop_assert_eq!(whole, text);
        }
    }

    #[test]
    fn what_a_model_call_left_is_taken_back() {
        let mut view = View::of("t");
        view.fold(token(0, "half"));
        let mut nothing = completed("");
        if let Some(Kind::MessageCompleted(message)) = &mut nothing.kind {
            message.blocks.clear();
        }
        let told = view.fold(nothing);
        assert!(matches!(&told[..], [Told::TakenBack(_)]), "{told:?}");
    }

    #[test]
    fn a_segment_ends_where_the_turn_waits_for_answers_alone() {
        let mut view = View::of("t");
        let question = |id: &str, tool: &str| {
            event(Kind::QuestionAsked(proto::QuestionAsked {
                question: Some(Question {
                    question_id: id.into(),
                    tool_call_id: tool.into(),
                    ..Question::default()
                }),
            }))
        };
        let tool = |id: &str| {
            event(Kind::ToolStarted(proto::ToolStarted {
                tool_call_id: id.into(),
                ..Default::default()
            }))
        };
        view.fold(event(Kind::MessageStarted(proto::MessageStarted {
            role: Role::Assistant.into(),
            ..Default::default()
        })));
        view.fold(question("q", "a"));
        assert!(!view.waits(), "a message is open");
        view.fold(completed("x"));
        assert!(view.waits());
        view.fold(tool("b"));
        assert!(!view.waits(), "another tool runs");
        view.fold(event(Kind::ToolCompleted(proto::ToolCompleted {
            tool_call_id: "b".into(),
            ..Default::default()
        })));
        assert!(view.waits());
        let resolved = proto::QuestionResolved {
            question_id: "q".into(),
            ..Default::default()
        };
        view.fold(event(Kind::QuestionResolved(resolved)));
        assert!(!view.waits());
        // The call that was asked for ends with its turn.
        let told = view.fold(event(Kind::TurnEnded(proto::TurnEnded::default())));
        assert!(
            matches!(&told[..], [Told::ToolEnded { id, is_error: true, .. }, Told::Ended(_)] if id == "a")
        );
    }
}
