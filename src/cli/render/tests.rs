//! R10, as people see it: whatever a stream repeats, skips or cuts, each completed text is shown once and whole.

use super::*;
use proptest::prelude::*;
use quarterdeck::proto::{
    BlockKind, GetSessionStateResponse, ItemSnapshot, Lagging, Message, MessageBlock,
    MessageCompleted, MessagePart, MessageStarted, TextPart, Thinking, ThinkingCompleted, Token,
    ToolCompleted, ToolStarted, TurnEnded, TurnError, message_part::Part,
};

const ALL: Look = Look {
    terminal: false,
    colours: false,
    whole: true,
};

/// Makes events with their positions.
#[derive(Default)]
struct Log {
    seq: i64,
}

impl Log {
    fn durable(&mut self, item_id: &str, kind: Kind) -> GatewayEvent {
        self.seq += 1;
        GatewayEvent {
            seq: self.seq,
            ..event(item_id, kind)
        }
    }

    fn completed(&mut self, item_id: &str, text: &str, partial: bool) -> GatewayEvent {
        let message = MessageCompleted {
            role: Role::Assistant.into(),
            text: text.into(),
            blocks: vec![MessageBlock {
                content_index: 0,
                text: text.into(),
            }],
            partial,
            continued: false,
        };
        self.durable(item_id, Kind::MessageCompleted(message))
    }

    fn ended(&mut self, turn: Turn) -> GatewayEvent {
        self.durable(
            "",
            Kind::TurnEnded(TurnEnded {
                turn: Some(turn),
                undelivered_question_ids: vec![],
            }),
        )
    }
}

fn event(item_id: &str, kind: Kind) -> GatewayEvent {
    GatewayEvent {
        log_id: "log".into(),
        turn_id: "turn".into(),
        item_id: item_id.into(),
        kind: Some(kind),
        ..GatewayEvent::default()
    }
}

fn token(item_id: &str, offset: usize, delta: &str) -> GatewayEvent {
    let token = Token {
        delta: delta.into(),
        content_index: 0,
        offset: offset as i64,
    };
    event(item_id, Kind::Token(token))
}

fn snapshot(item_id: &str, offset: usize, text: &str) -> GatewayEvent {
    let snapshot = ItemSnapshot {
        block: BlockKind::Text.into(),
        role: Role::Assistant.into(),
        offset: offset as i64,
        text: text.into(),
        ..ItemSnapshot::default()
    };
    event(item_id, Kind::ItemSnapshot(snapshot))
}

fn show(look: Look, events: &[GatewayEvent]) -> String {
    let mut renderer = Renderer::new(look);
    events.iter().map(|event| renderer.event(event)).collect()
}

#[test]
fn deltas_then_the_completed_message_give_the_text_once() {
    let mut log = Log::default();
    let events = [
        token("m", 0, "Hello "),
        token("m", 6, "world"),
        log.completed("m", "Hello world", false),
    ];
    assert_eq!(show(ALL, &events), "Hello world\n");
}

#[test]
fn durable_events_alone_are_enough() {
    let mut log = Log::default();
    assert_eq!(show(ALL, &[log.completed("m", "Hello", false)]), "Hello\n");
}

#[test]
fn a_late_snapshot_and_its_deltas_repeat_nothing() {
    let mut log = Log::default();
    let events = [
        token("m", 0, "one "),
        // Reattached: the server shows the whole open block again.
        snapshot("m", 0, "one two "),
        token("m", 8, "three"),
        log.completed("m", "one two three", false),
        // A snapshot that was overtaken by the end of its message.
        snapshot("m", 0, "one two"),
    ];
    assert_eq!(show(ALL, &events), "one two three\n");
}

#[test]
fn lag_costs_the_missing_bytes_only() {
    let mut log = Log::default();
    let lagging = Lagging {
        from_seq: 1,
        to_seq: 1,
    };
    let events = [
        token("m", 0, "one "),
        event("", Kind::Lagging(lagging)),
        token("m", 8, "lost: there is a hole before it"),
        snapshot("m", 4, "two three "),
        token("m", 14, "four"),
        log.completed("m", "one two three four", false),
    ];
    assert_eq!(show(ALL, &events), "one two three four\n");
}

#[test]
fn repeated_durable_events_are_shown_once() {
    let mut log = Log::default();
    let first = log.completed("m", "one", false);
    let second = log.completed("n", "two", false);
    let events = [first.clone(), second.clone(), first, second];
    assert_eq!(show(ALL, &events), "one\ntwo\n");
}

#[test]
fn a_crash_that_took_deltas_back_is_said_and_a_different_text_is_shown_whole() {
    let mut log = Log::default();
    let events = [
        token("m", 0, "one two three"),
        log.completed("m", "one two", true),
        token("n", 0, "ab"),
        log.completed("n", "xyz", false),
    ];
    assert_eq!(
        show(ALL, &events),
        "one two three\n[less than shown was kept]\n[cut off here]\nab\n[what was kept differs; whole:]\nxyz\n"
    );
}

#[test]
fn thinking_is_dim_on_a_terminal_and_left_out_where_only_answers_count() {
    let mut log = Log::default();
    let thinking = Thinking {
        delta: "hm ".into(),
        ..Thinking::default()
    };
    let whole = ThinkingCompleted {
        text: "hm well".into(),
        ..ThinkingCompleted::default()
    };
    let mut answer = log.completed("m", "yes", false);
    if let Some(Kind::MessageCompleted(message)) = &mut answer.kind {
        message.blocks[0].content_index = 1;
    }
    answer.seq = 9;
    let events = [
        event("m", Kind::Thinking(thinking)),
        log.durable("m", Kind::ThinkingCompleted(whole)),
        answer,
    ];
    let terminal = Look {
        terminal: true,
        colours: true,
        whole: true,
    };
    assert_eq!(
        show(terminal, &events),
        "\x1b[2mhm \x1b[0m\x1b[2mwell\x1b[0m\nyes\n"
    );
    let answers = Look {
        terminal: false,
        colours: false,
        whole: false,
    };
    assert_eq!(show(answers, &events), "yes\n");
}

#[test]
fn a_tool_call_is_one_line_also_when_two_run_at_once() {
    let started = |log: &mut Log, id: &str| {
        let tool = ToolStarted {
            tool_name: "bash".into(),
            args_json: "{\"command\": \"ls\"}".into(),
            ..ToolStarted::default()
        };
        log.durable(id, Kind::ToolStarted(tool))
    };
    let completed = |log: &mut Log, id: &str, is_error| {
        let tool = ToolCompleted {
            tool_name: "bash".into(),
            result_json: "\"x\\ny\"".into(),
            is_error,
            ..ToolCompleted::default()
        };
        log.durable(id, Kind::ToolCompleted(tool))
    };
    let mut log = Log::default();
    let alone = [started(&mut log, "a"), completed(&mut log, "a", false)];
    assert_eq!(
        show(ALL, &alone),
        "* bash {\"command\": \"ls\"} -> ok \"x\\ny\"\n"
    );
    let both = [
        started(&mut log, "b"),
        started(&mut log, "c"),
        completed(&mut log, "b", true),
        completed(&mut log, "c", false),
    ];
    assert_eq!(
        show(ALL, &both),
        "* bash {\"command\": \"ls\"}\n* bash {\"command\": \"ls\"}\n* bash -> failed \"x\\ny\"\n* bash -> ok \"x\\ny\"\n"
    );
}

#[test]
fn own_prompts_are_not_repeated_but_steers_and_others_prompts_are_shown() {
    let mut log = Log::default();
    let said = |log: &mut Log, item: &str, turn: &str, text: &str| {
        let message = MessageStarted {
            role: Role::User.into(),
            text: text.into(),
            attachments: vec![],
        };
        GatewayEvent {
            turn_id: turn.into(),
            ..log.durable(item, Kind::MessageStarted(message))
        }
    };
    let mut renderer = Renderer::new(ALL);
    renderer.own_turn("mine");
    let events = [
        said(&mut log, "1", "mine", "typed here"),
        said(&mut log, "2", "mine", "a steer"),
        said(&mut log, "3", "other", "two\nlines"),
    ];
    let shown: String = events.iter().map(|event| renderer.event(event)).collect();
    assert_eq!(shown, "> a steer\n> two\n  lines\n");
}

#[test]
fn a_turns_bad_end_is_said_and_an_agent_cannot_steer_the_terminal() {
    let mut log = Log::default();
    let failed = Turn {
        state: TurnState::Failed.into(),
        error: Some(TurnError {
            reason: "AGENT_ERROR".into(),
            message: "no\x1b[2J".into(),
        }),
        ..Turn::default()
    };
    let terminal = Look {
        terminal: true,
        colours: true,
        whole: true,
    };
    let events = [token("m", 0, "a\x1b]0;title\x07b"), log.ended(failed)];
    assert_eq!(
        show(terminal, &events),
        "a\\u{1b}]0;title\\u{7}b\n\x1b[31m[failed: AGENT_ERROR: no\\u{1b}[2J]\x1b[0m\n"
    );
}

#[test]
fn a_resync_shows_what_was_missed_and_goes_on_in_the_open_message() {
    let message = |id: &str, text: &str| Message {
        item_id: id.into(),
        role: Role::Assistant.into(),
        parts: vec![MessagePart {
            content_index: 0,
            part: Some(Part::Text(TextPart { text: text.into() })),
        }],
        ..Message::default()
    };
    let mut log = Log::default();
    let mut renderer = Renderer::new(ALL);
    let mut shown = renderer.event(&log.completed("one", "1", false));
    shown += &renderer.event(&token("two", 0, "2 "));
    let state = GetSessionStateResponse {
        messages: vec![
            message("one", "1"),
            message("two", "2 and"),
            message("three", "3"),
        ],
        open_message: Some(message("four", "4 ")),
        seq: 1,
        log_id: "new log".into(),
        ..GetSessionStateResponse::default()
    };
    shown += &renderer.state(&state);
    shown += &renderer.event(&token("four", 2, "end"));
    assert_eq!(shown, "1\n2 and\n3\n4 end");
}

proptest! {
    /// Deltas may be lost, and snapshots may come at any time: the text comes out once and whole.
    #[test]
    fn any_stream_gives_the_text_once(words in prop::collection::vec("[a-zäß]{1,4} ?", 1..12), fate in prop::collection::vec(0u8..4, 12)) {
        let mut log = Log::default();
        let text = words.concat();
        let mut events = Vec::new();
        let mut offset = 0;
        for (word, fate) in words.iter().zip(fate) {
            match fate {
                0 => {}
                1 => events.push(snapshot("m", 0, &text[..offset + word.len()])),
                2 => {
                    events.push(token("m", offset, word));
                    events.push(token("m", offset, word));
                }
                _ => events.push(token("m", offset, word)),
            }
            offset += word.len();
        }
        events.push(log.completed("m", &text, false));
        let end = if text.ends_with('\n') { "" } else { "\n" };
        prop_assert_eq!(show(ALL, &events), format!("{text}{end}"));
    }
}

#[test]
fn nothing_that_others_say_steers_the_terminal() {
    let mut renderer = Renderer::new(Look {
        terminal: true,
        colours: true,
        whole: true,
    });
    let mut log = Log::default();
    let evil = "\x1b]0;evil\x07\u{9b}2J";
    let tool = ToolStarted {
        tool_name: evil.into(),
        args_json: evil.into(),
        ..ToolStarted::default()
    };
    let exited = quarterdeck::proto::AgentExited {
        message: evil.into(),
    };
    let mut text = renderer.event(&log.durable("t", Kind::ToolStarted(tool)));
    text.push_str(&renderer.event(&log.durable("", Kind::AgentExited(exited))));
    text.push_str(&renderer.event(&token("m", 0, evil)));
    for ours in [DIM, RED, CYAN, PLAIN] {
        text = text.replace(ours, "");
    }
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(control), "{text:?}");
}
