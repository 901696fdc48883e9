//! Shapes of lines that real agents were seen to write, each cut down to what matters.

use super::*;
use crate::domain::{
    message::Part,
    offers::Choices,
    question::{Ask, QuestionKind},
    subagent::SubagentEvent,
    turn::StopReason,
};

/// A machine, and what it did.
struct Talk {
    machine: Machine,
    now: Instant,
    /// Lines for the agent that nobody looked at yet.
    written: VecDeque<Value>,
    effects: Vec<Effect>,
}

impl Talk {
    fn new(conversation: Option<Conversation>) -> Self {
        let machine = Machine::new(Opening {
            working_directory: "/work".into(),
            mcp_servers: vec![],
            conversation,
            mode: None,
            own_model: String::new(),
            own_level: String::new(),
        });
        let mut talk = Self {
            machine,
            now: Instant::now(),
            written: VecDeque::new(),
            effects: vec![],
        };
        talk.take();
        talk
    }

    /// With an agent that says this of itself, and has a session `s`.
    fn opened(initialized: Value) -> Self {
        let mut talk = Self::new(None);
        talk.replies(initialized);
        assert_eq!(talk.replies(json!({ "sessionId": "s" })), "session/new");
        assert_eq!(talk.effects.pop(), Some(Effect::Opened));
        talk.effects.clear();
        talk
    }

    fn take(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Write(line) => {
                    let line = serde_json::from_slice(&line).expect("it is JSON");
                    self.written.push_back(line);
                }
                other => self.effects.push(other),
            }
        }
    }

    fn line(&mut self, line: &Value) {
        self.machine.line(line.to_string().as_bytes(), 0, self.now);
        self.take();
    }

    /// Answers the oldest request of ours; returns its method.
    fn replies(&mut self, result: Value) -> String {
        let request = self.written.pop_front().expect("a request");
        self.line(&json!({ "id": request["id"], "result": result }));
        request["method"].as_str().expect("a method").to_owned()
    }

    fn refuses(&mut self, code: i64, message: &str) {
        let request = self.written.pop_front().expect("a request");
        let error = json!({ "code": code, "message": message });
        self.line(&json!({ "id": request["id"], "error": error }));
    }

    fn update(&mut self, update: Value) {
        self.line(&json!({ "method": "session/update", "params": { "sessionId": "s", "update": update } }));
    }

    fn start(&mut self, text: &str) {
        self.start_with(text, Choices::default());
    }

    fn start_with(&mut self, text: &str, choices: Choices) {
        self.machine.start(&TurnInput {
            turn_id: Uuid::nil(),
            attempt: 1,
            epoch: 1,
            text: text.into(),
            command: String::new(),
            transcript: String::new(),
            attachments: vec![],
            memory_context: String::new(),
            choices,
            user_messages_before: 0,
            output_schema: String::new(),
            client_tools: vec![],
            trace_context: String::new(),
            calls_are_granted: false,
        });
        self.take();
    }

    fn chose(&mut self, ask_id: &str, option_id: &str) {
        let answer = Answer {
            option_id: option_id.into(),
            ..Answer::default()
        };
        self.machine.answer(ask_id.into(), &answer);
        self.take();
    }

    fn events(&mut self) -> Vec<AgentEvent> {
        let effects = std::mem::take(&mut self.effects).into_iter();
        let events = effects.filter_map(|effect| match effect {
            Effect::Emit(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    fn end(&mut self) -> (Outcome, bool) {
        match self.effects.pop() {
            Some(Effect::End { outcome, prove }) => (outcome, prove),
            other => panic!("{other:?}"),
        }
    }
}

fn ask_of(event: &AgentEvent) -> (&str, &Ask) {
    match event {
        AgentEvent::Asked { ask_id, ask } => (ask_id, ask),
        other => panic!("{other:?}"),
    }
}

fn plain() -> Value {
    json!({ "protocolVersion": 1, "agentCapabilities": {} })
}

fn permission(id: i64, call: &str) -> Value {
    json!({ "id": id, "method": "session/request_permission", "params": { "sessionId": "s",
        "toolCall": { "toolCallId": call, "title": "touch p", "rawInput": { "command": "touch p" }, "kind": "execute",
            "status": "pending" },
        "options": [
            { "optionId": "allow_once", "name": "Yes", "kind": "allow_once" },
            { "optionId": "amend", "name": "Always", "kind": "allow_always" },
            { "optionId": "cancel", "name": "No", "kind": "reject_once" } ] } })
}

#[test]
fn an_agent_is_told_what_there_is_and_that_there_is_no_file_system() {
    let mut talk = Talk::new(None);
    let told = &talk.written[0]["params"];
    assert_eq!(told["protocolVersion"], 1);
    let can = &told["clientCapabilities"];
    assert_eq!(
        (&can["terminal"], &can["fs"]["readTextFile"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(can["elicitation"], json!({ "form": {}, "url": {} }));
    talk.replies(plain());
    assert_eq!(
        talk.written[0]["params"],
        json!({ "cwd": "/work", "mcpServers": [] })
    );
    talk.replies(json!({ "sessionId": "s" }));
    let conversation = Conversation {
        session_id: "s".into(),
        cost_micros: 0,
        defaults: Default::default(),
    };
    assert_eq!(
        talk.effects,
        [Effect::Remember(conversation), Effect::Opened]
    );
    // There is nothing to read here, and nobody to ask.
    talk.line(&json!({ "id": "f", "method": "fs/read_text_file", "params": {} }));
    assert_eq!(talk.written.pop_front().unwrap()["error"]["code"], -32601);
    talk.line(&permission(3, "c"));
    let answer = talk.written.pop_front().unwrap();
    assert_eq!(
        answer,
        json!({ "jsonrpc": "2.0", "id": 3, "result": { "outcome": { "outcome": "cancelled" } } })
    );
}

#[test]
fn a_conversation_that_is_told_once_more_is_waited_out() {
    let conversation = Conversation {
        session_id: "s".into(),
        cost_micros: 7,
        defaults: Default::default(),
    };
    let mut talk = Talk::new(Some(conversation.clone()));
    talk.replies(json!({ "protocolVersion": 1, "agentCapabilities": { "loadSession": true } }));
    assert_eq!(talk.written[0]["params"]["sessionId"], "s");
    talk.update(json!({ "sessionUpdate": "agent_message_chunk", "content": { "text": "old" } }));
    assert_eq!(talk.replies(json!(null)), "session/load");
    assert_eq!(talk.effects, []);
    let settled = talk.machine.deadline().expect("it waits");
    talk.machine.tick(settled - Duration::from_millis(1));
    talk.update(
        json!({ "sessionUpdate": "agent_message_chunk", "content": { "text": "old too" } }),
    );
    assert_eq!(talk.effects, []);
    talk.machine.tick(settled);
    talk.take();
    assert_eq!(talk.effects, [Effect::Opened]);
    assert_eq!(talk.machine.deadline(), None);
    // One that is offered both goes the quiet way, and one that fails begins anew.
    let mut talk = Talk::new(Some(conversation));
    let both = json!({ "loadSession": true, "sessionCapabilities": { "resume": {} } });
    talk.replies(json!({ "protocolVersion": 1, "agentCapabilities": both }));
    assert_eq!(talk.written[0]["method"], "session/resume");
    talk.refuses(-32603, "No previous sessions found");
    assert_eq!(talk.replies(json!({ "sessionId": "t" })), "session/new");
    assert_eq!(talk.effects.last(), Some(&Effect::Opened));
}

/// codex: a permission that names its call alone belongs to what was told of the call before.
#[test]
fn a_permission_is_joined_with_its_call() {
    let mut talk = Talk::opened(plain());
    talk.start("go");
    talk.update(json!({ "sessionUpdate": "tool_call", "toolCallId": "c", "title": "mcp.out.submit", "status": "in_progress",
        "rawInput": { "server": "out", "tool": "submit", "arguments": { "a": 1 } }, "_meta": { "is_mcp_tool_call": true } }));
    talk.line(
        &json!({ "id": 0, "method": "session/request_permission", "params": { "sessionId": "s",
        "toolCall": { "toolCallId": "c" }, "_meta": { "is_mcp_tool_approval": true },
        "options": [
            { "optionId": "allow_once", "name": "Yes", "kind": "allow_once" },
            { "optionId": "allow_session", "name": "This session", "kind": "allow_always" },
            { "optionId": "allow_always", "name": "For ever", "kind": "allow_always" } ] } }),
    );
    let events = talk.events();
    let (_, ask) = ask_of(&events[1]);
    assert_eq!(ask.kind, QuestionKind::Permission);
    assert_eq!(ask.tool_name, "mcp__out__submit");
    assert_eq!(ask.title, "mcp.out.submit");
    assert!(
        ask.args.text.contains(r#""arguments":{"a":1}"#),
        "{}",
        ask.args.text
    );
    let ids: Vec<&str> = ask.options.iter().map(|it| it.option_id.as_str()).collect();
    assert_eq!(ids, ["allow_once", "allow_session"]);
}

/// codex: a denial ends the turn as `cancelled` though nobody stopped it. The same word without a denial is a failure, and with
/// a stop it is a stop.
#[test]
fn cancelled_means_what_led_to_it() {
    for (denies, stops, expected) in [
        (true, false, Outcome::Completed(StopReason::Stop)),
        (false, true, Outcome::Stopped),
        (true, true, Outcome::Stopped),
    ] {
        let mut talk = Talk::opened(plain());
        talk.start("go");
        talk.line(&permission(0, "c"));
        let prompt = talk.written.pop_front().expect("the prompt");
        if denies {
            talk.chose("1", "cancel");
            let answer = talk.written.pop_front().unwrap();
            assert_eq!(answer["result"]["outcome"]["optionId"], "cancel");
        }
        if stops {
            talk.machine.cancel();
            talk.take();
            assert_eq!(
                talk.written.pop_front().unwrap()["method"],
                "session/cancel"
            );
        }
        talk.line(&json!({ "id": prompt["id"], "result": { "stopReason": "cancelled" } }));
        assert_eq!(talk.end(), (expected, stops), "{denies} {stops}");
    }
    let mut talk = Talk::opened(plain());
    talk.start("go");
    talk.replies(json!({ "stopReason": "cancelled" }));
    assert!(matches!(talk.end(), (Outcome::Failed(_), false)));
}

/// Every question that is open is answered, at a stop and at the turn's end; answers that cross it reach nobody.
#[test]
fn no_question_is_left_open() {
    let mut talk = Talk::opened(plain());
    talk.start("go");
    let prompt = talk.written.pop_front().unwrap();
    talk.line(&permission(0, "c"));
    talk.line(&json!({ "id": "e", "method": "elicitation/create", "params": { "mode": "form", "sessionId": "s", "message": "?",
        "requestedSchema": { "type": "object", "properties": {} } } }));
    talk.machine.cancel();
    talk.line(&permission(1, "d"));
    let written: Vec<Value> = talk.written.drain(..).collect();
    assert_eq!(written[0]["method"], "session/cancel");
    let cancelled = json!({ "outcome": { "outcome": "cancelled" } });
    let answers: Vec<(&Value, &Value)> = written[1..]
        .iter()
        .map(|it| (&it["id"], &it["result"]))
        .collect();
    assert_eq!(
        answers,
        [
            (&json!(0), &cancelled),
            (&json!("e"), &json!({ "action": "cancel" })),
            (&json!(1), &cancelled),
        ]
    );
    talk.chose("1", "allow_once");
    assert!(talk.written.is_empty());
    // A second stop says nothing more.
    talk.machine.cancel();
    talk.take();
    assert!(talk.written.is_empty());
    talk.line(&json!({ "id": prompt["id"], "result": { "stopReason": "cancelled" } }));
    assert_eq!(talk.end(), (Outcome::Stopped, true));

    talk.start("again");
    let prompt = talk.written.pop_front().unwrap();
    talk.line(&permission(2, "c"));
    talk.line(&json!({ "id": prompt["id"], "result": { "stopReason": "end_turn" } }));
    assert_eq!(talk.written.pop_front().unwrap()["result"], cancelled);
    assert_eq!(talk.end(), (Outcome::Completed(StopReason::Stop), false));
}

/// The answer is the truth about a steer, and where none came before the turn's end the steer is given back.
#[test]
fn a_steer_has_one_answer() {
    let mut can = plain();
    can["_meta"] = json!({ "steering": { "supported": true } });
    let mut talk = Talk::opened(can);
    talk.start("go");
    let prompt = talk.written.pop_front().unwrap();
    let steers = [1, 2, 3].map(Uuid::from_u128);
    for steer_id in steers {
        talk.machine.steer(steer_id, "left", &[]);
    }
    talk.take();
    let params = talk.written[0]["params"].clone();
    assert_eq!(
        params["_meta"]["steering"]["idleBehavior"],
        "promptRequired"
    );
    talk.replies(json!({ "outcome": "injected" }));
    talk.replies(json!({ "outcome": "promptRequired", "reason": "noRunningTurn" }));
    let last = talk.written.pop_front().unwrap();
    talk.line(&json!({ "id": prompt["id"], "result": { "stopReason": "end_turn" } }));
    let answers = [
        AgentEvent::SteerApplied {
            steer_id: steers[0],
        },
        AgentEvent::SteerReturned {
            steer_id: steers[1],
        },
        AgentEvent::SteerReturned {
            steer_id: steers[2],
        },
    ];
    assert_eq!(talk.events(), answers);
    talk.line(&json!({ "id": last["id"], "result": { "outcome": "injected" } }));
    assert_eq!(talk.events(), []);
}

/// opencode and gemini: a killed tool is told as completed.
#[test]
fn a_tool_of_a_stopped_turn_did_not_end_well() {
    let mut talk = Talk::opened(plain());
    talk.start("go");
    let prompt = talk.written.pop_front().unwrap();
    for call in ["c", "d"] {
        talk.update(json!({ "sessionUpdate": "tool_call", "toolCallId": call, "title": "bash", "status": "in_progress" }));
    }
    talk.machine.cancel();
    talk.update(json!({ "sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed", "content": [] }));
    talk.line(&json!({ "id": prompt["id"], "result": { "stopReason": "cancelled" } }));
    let events = talk.events();
    let ends = events.iter().filter_map(|event| match event {
        AgentEvent::ToolCompleted {
            tool_call_id,
            is_error,
            ..
        } => Some((tool_call_id.as_str(), *is_error)),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [("c", true), ("d", true)]);
}

/// The output of a terminal is kept to a bound, and what is beyond it is counted.
#[test]
fn an_output_without_end_is_bounded() {
    let mut talk = Talk::opened(plain());
    talk.start("go");
    let piece = "y".repeat(60_000);
    for _ in 0..10 {
        talk.update(
            json!({ "sessionUpdate": "tool_call_update", "toolCallId": "c",
            "_meta": { "terminal_output_delta": { "data": piece } } }),
        );
    }
    talk.update(
        json!({ "sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed" }),
    );
    let events = talk.events();
    for event in &events {
        match event {
            AgentEvent::ToolUpdate {
                partial_result_json,
                ..
            } => assert!(partial_result_json.len() < 17_000),
            AgentEvent::ToolCompleted {
                result_json,
                full_size,
                ..
            } => {
                assert!(result_json.len() < 263_000, "{}", result_json.len());
                assert!(
                    full_size.is_some_and(|size| size >= 600_000),
                    "{full_size:?}"
                );
            }
            other => assert!(matches!(other, AgentEvent::ToolStarted { .. }), "{other:?}"),
        }
    }
    assert_eq!(events.len(), 12);
}

/// R16: whatever an agent writes, nothing breaks, and its turn can still be stopped.
#[test]
fn any_line_is_survived() {
    let words: &[&[u8]] = &[
        br#"{"id":0,"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"c"}}}"#,
        br#"{"method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"tool_call","toolCallId":"c"}}}"#,
        br#"{"id":2,"result":{"stopReason":"end_turn","usage":{"inputTokens":-1,"totalTokens":9e99}}}"#,
        br#"{"method":"$/cancel_request","params":{"requestId":[{}]}}"#,
    ];
    crate::fuzz::fuzz(words, |line| {
        let mut talk = Talk::opened(plain());
        talk.start("go");
        talk.machine.line(line, 0, talk.now);
        talk.machine.line(line, line.len(), talk.now);
        talk.take();
        talk.machine.cancel();
        talk.take();
    });
}

fn with_models(current: &str) -> Value {
    let values = ["a", "b"].map(|value| json!({ "value": value, "name": value }));
    json!({ "configOptions": [
        { "id": "model", "category": "model", "type": "select", "currentValue": current, "options": values } ] })
}

fn choosing(model: &str) -> Choices {
    Choices {
        model: model.into(),
        ..Choices::default()
    }
}

/// An agent with models.
fn with_a_choice() -> Talk {
    let mut talk = Talk::new(None);
    talk.replies(json!({ "protocolVersion": 1, "_meta": { "steering": { "supported": true } } }));
    let mut session = with_models("a");
    session["sessionId"] = json!("s");
    talk.replies(session);
    talk.effects.clear();
    talk
}

/// The choice reaches the agent before its prompt, and what comes meanwhile waits for that.
#[test]
fn a_prompt_waits_for_the_choice_before_it() {
    let mut talk = with_a_choice();
    talk.start_with("go", choosing("b"));
    assert_eq!(talk.written.len(), 1, "no prompt yet");
    assert!(talk.machine.is_busy());
    let steer = Uuid::from_u128(1);
    talk.machine.steer(steer, "left", &[]);
    talk.take();
    assert_eq!(talk.replies(with_models("b")), "session/set_config_option");
    let methods: Vec<Value> = talk.written.iter().map(|it| it["method"].clone()).collect();
    assert_eq!(methods, ["session/prompt", "_session/steering"]);
    let offered = talk.events();
    let told = offered.iter().find_map(|event| match event {
        AgentEvent::Offered { offers } => {
            Some((offers.model.clone(), offers.default_model.clone()))
        }
        _ => None,
    });
    assert_eq!(told, Some(("b".into(), "a".into())));
    talk.replies(json!({ "stopReason": "end_turn" }));
    talk.effects.clear();
    talk.written.clear();
    // The same again asks for nothing.
    talk.start_with("on", choosing("b"));
    assert_eq!(
        talk.replies(json!({ "stopReason": "end_turn" })),
        "session/prompt"
    );
    talk.effects.clear();
    // Given back, it is what the agent began with.
    talk.start_with("back", choosing(""));
    assert_eq!(talk.written[0]["params"]["value"], "a");
    talk.replies(with_models("a"));
    assert_eq!(
        talk.replies(json!({ "stopReason": "end_turn" })),
        "session/prompt"
    );
    let kept = talk.effects.iter().rev().find_map(|effect| match effect {
        Effect::Remember(conversation) => Some(conversation.defaults.len()),
        _ => None,
    });
    assert_eq!(kept, Some(0));
}

/// What can't be chosen ends the turn, with the reason, before the agent has its prompt; so does a stop. An answer that comes
/// after that is nobody's.
#[test]
fn a_choice_that_fails_is_the_turns_end_and_so_is_a_stop_before_the_prompt() {
    let mut talk = with_a_choice();
    talk.start_with("go", choosing("c"));
    talk.refuses(-32602, "Unknown model");
    match talk.end() {
        (Outcome::Failed(why), false) => {
            assert!(why.contains("\"c\"; it offers: a, b: Unknown"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert!(talk.written.is_empty() && !talk.machine.is_busy());
    talk.start_with("go", choosing("b"));
    talk.machine.steer(Uuid::from_u128(1), "left", &[]);
    talk.machine.cancel();
    talk.take();
    assert_eq!(talk.end(), (Outcome::Stopped, false));
    assert!(matches!(
        talk.events().last(),
        Some(AgentEvent::SteerReturned { .. })
    ));
    let late = talk.written.pop_front().expect("the choice");
    talk.start_with("again", choosing("b"));
    let own = talk.written.pop_front().expect("its own choice");
    talk.line(&json!({ "id": late["id"], "error": { "code": -1, "message": "too late" } }));
    assert!(talk.written.is_empty() && talk.machine.is_busy());
    talk.line(&json!({ "id": own["id"], "result": with_models("b") }));
    assert_eq!(talk.written[0]["method"], "session/prompt");
}

fn of_child(id: &str, update: Value) -> Value {
    json!({ "method": "session/update", "params": { "sessionId": id, "update": update } })
}

/// AGENT-FACTS 1.6: a sub-agent speaks in a session of its own; nothing of it is the turn's answer, and nothing of it is heard
/// once its turn is over.
#[test]
fn a_sub_agent_speaks_for_itself_and_ends_with_its_turn() {
    let mut talk = Talk::opened(plain());
    talk.start("go");
    let chunk = |text: &str| json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": text } });
    talk.line(&of_child(
        "child",
        json!({ "sessionUpdate": "agent_thought_chunk", "content": { "text": "hm" },
        "_meta": { "claudeCode": { "parentToolUseId": "task_1" } } }),
    ));
    talk.line(&of_child("child", chunk("I look ")));
    talk.line(&of_child("child", chunk("around")));
    talk.line(&of_child("child", json!({ "sessionUpdate": "tool_call", "toolCallId": "c", "title": "look", "status": "in_progress",
        "rawInput": { "at": "it" } })));
    talk.line(&of_child(
        "child",
        json!({ "sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed",
        "rawOutput": "seen" }),
    ));
    talk.line(&of_child("child", chunk("All is well")));
    talk.line(&of_child("other", chunk("half a")));
    talk.update(
        json!({ "sessionUpdate": "subagent_update", "sessionId": "child", "state": "completed" }),
    );
    talk.line(&of_child("child", chunk("late")));
    talk.update(chunk("Done"));
    talk.replies(json!({ "stopReason": "end_turn" }));
    let mut told = Vec::new();
    let mut said = String::new();
    for effect in &talk.effects {
        let Effect::Emit(event) = effect else {
            continue;
        };
        match event {
            AgentEvent::Subagent { agent_id, said } => {
                told.push((agent_id.as_str(), said.as_ref()))
            }
            AgentEvent::TextDelta { delta, .. } => said.push_str(delta),
            AgentEvent::ToolStarted { .. } => panic!("the call is not the turn's"),
            _ => {}
        }
    }
    assert_eq!(said, "Done");
    let words: Vec<String> = (told.iter())
        .map(|(id, said)| match said {
            SubagentEvent::Started { tool_call_id, .. } => format!("{id} begins by {tool_call_id}"),
            SubagentEvent::Item { role, parts } => {
                let parts = parts.iter().map(|part| match part {
                    Part::Text { text, .. } => text.clone(),
                    Part::Thinking { text, .. } => format!("({text})"),
                    Part::ToolCall {
                        tool_name,
                        result,
                        is_error,
                        ..
                    } => {
                        assert!(!is_error && result.text.contains("seen"));
                        format!("ran {tool_name}")
                    }
                    Part::Attachment(_) => panic!("none"),
                });
                format!("{id} {role:?} {}", parts.collect::<String>())
            }
            SubagentEvent::Completed { is_error, response } => {
                format!("{id} ends {is_error} {response}")
            }
        })
        .collect();
    assert_eq!(
        words,
        [
            "child begins by task_1",
            "child Assistant (hm)I look around",
            "child Tool ran look",
            "other begins by ",
            "child Assistant All is well",
            "child ends false All is well",
            "other Assistant half a",
            "other ends false half a",
        ]
    );
    // What comes of them in the next turn is none of its own.
    talk.effects.clear();
    talk.start("again");
    talk.line(&of_child("other", chunk("still here")));
    talk.line(&of_child("child", chunk("and me")));
    let of_past = |effect: &Effect| matches!(effect, Effect::Emit(AgentEvent::Subagent { .. }));
    assert!(!talk.effects.iter().any(of_past), "{:?}", talk.effects);
}
