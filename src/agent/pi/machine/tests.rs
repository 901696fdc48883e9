//! Recorded conversations with real pi, replayed, and scripted ones for what can't be recorded at will.

use super::*;
use crate::agent::pi::dialogs::DIALOGS_MAX;
use serde_json::{Value, json};
use std::{collections::HashMap, fmt::Write as _};

/// Plays pi: answers what the machine asks, and keeps time.
struct Replay {
    machine: Machine,
    now: Instant,
    /// Which version of pi this is: whether it can empty its queue.
    clears: bool,
    streaming: bool,
    compacting: bool,
    queue: Vec<String>,
    /// The recording's command ids → ours.
    ids: HashMap<String, String>,
    /// Names of the commands that were written, with dialogs' answers.
    written: Vec<String>,
    newest_id: String,
    newest_of: HashMap<String, String>,
    /// What becomes of each line on its way; nothing: it is lost.
    distort: fn(&Value, u64) -> Option<Vec<u8>>,
    /// Lines so far, by which they are told apart there.
    lines: u64,
    /// What the actor was told.
    told: String,
    /// Set: it answers nothing by itself.
    silent: bool,
}

impl Replay {
    fn new(clears: bool) -> Self {
        Self {
            machine: Machine::new(),
            now: Instant::now(),
            clears,
            streaming: false,
            compacting: false,
            queue: vec![],
            ids: HashMap::new(),
            written: vec![],
            newest_id: String::new(),
            newest_of: HashMap::new(),
            distort: |line, _| Some(line.to_string().into_bytes()),
            lines: 0,
            told: String::new(),
            silent: false,
        }
    }

    fn start(&mut self, text: &str) {
        self.machine.start(&TurnInput {
            turn_id: Uuid::nil(),
            attempt: 1,
            epoch: 1,
            text: text.into(),
            command: String::new(),
            transcript: String::new(),
            attachments: vec![],
            memory_context: String::new(),
            choices: Default::default(),
            user_messages_before: 0,
            output_schema: String::new(),
            client_tools: vec![],
            trace_context: String::new(),
            calls_are_granted: false,
        });
        self.pump();
    }

    fn steer(&mut self, number: u128, text: &str) {
        self.machine
            .steer(Uuid::from_u128(number), text.into(), vec![]);
        self.pump();
    }

    fn cancel(&mut self) {
        self.machine.cancel();
        self.pump();
    }

    fn pi(&mut self, line: Value) {
        self.feed(&line);
        self.pump();
    }

    /// pi's answer to the command written last.
    fn answer(&mut self, command: &str) {
        let id = self.newest_id.clone();
        self.pi(json!({"type":"response","id":id,"command":command,"success":true}));
    }

    /// pi's answer to the newest command of this name, whatever was written after it.
    fn answer_to(&mut self, command: &str) {
        let id = self.newest_of[command].clone();
        self.pi(json!({"type":"response","id":id,"command":command,"success":true}));
        self.pass(POLL);
    }

    /// A prompt that becomes a live run.
    fn run(&mut self, text: &str) {
        self.start(text);
        self.answer("prompt");
        self.pi(json!({"type":"agent_start"}));
        self.pi(json!({"type":"message_start","message":{"role":"user","content":text}}));
        self.pi(json!({"type":"message_end","message":{"role":"user","content":text}}));
    }

    fn says(&mut self, text: &str, stop_reason: &str) {
        self.pi(json!({"type":"message_start","message":{"role":"assistant","content":[]}}));
        self.pi(json!({"type":"message_update","assistantMessageEvent":{"type":"text_delta","contentIndex":0,"delta":text}}));
        self.pi(json!({"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":text}],"stopReason":stop_reason}}));
    }

    fn ends(&mut self) {
        self.pi(json!({"type":"agent_end","messages":[]}));
    }

    fn feed(&mut self, line: &Value) {
        match line["type"].as_str() {
            Some("agent_start") => self.streaming = true,
            Some("agent_end") => self.streaming = self.clears && line["willRetry"] == true,
            Some("compaction_start") => self.compacting = true,
            Some("compaction_end") => self.compacting = false,
            Some("queue_update") => {
                self.queue = serde_json::from_value(line["steering"].clone()).unwrap();
            }
            _ => {}
        }
        self.lines += 1;
        match (self.distort)(line, self.lines) {
            Some(line) => self.machine.line(&line, 0, self.now),
            None => self.machine.line_lost(self.now),
        }
    }

    /// Lets time pass, at most so long, until nothing is left to wait for.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.pump();
        while let Some(deadline) = self.machine.deadline().filter(|it| *it <= end) {
            self.now = deadline;
            self.pump();
        }
        self.now = end;
        self.pump();
    }

    fn pump(&mut self) {
        loop {
            if self.machine.deadline().is_some_and(|it| it <= self.now) {
                self.machine.tick(self.now);
            }
            let Some(effect) = self.machine.next_effect() else {
                return;
            };
            match effect {
                Effect::Write(line) => self.take(&serde_json::from_slice(&line).unwrap()),
                Effect::Emit(event) => self.tell(event),
                Effect::End {
                    outcome,
                    prove,
                    fresh,
                } => {
                    let prove = if prove { ", proven" } else { "" };
                    let fresh = if fresh { ", then a new process" } else { "" };
                    writeln!(self.told, "end {outcome:?}{prove}{fresh}").unwrap();
                }
                Effect::Hung => self.told.push_str("hung\n"),
            }
        }
    }

    fn take(&mut self, line: &Value) {
        let kind = line["type"].as_str().unwrap().to_owned();
        let id = line["id"].as_str().unwrap().to_owned();
        if kind != "get_state" {
            self.written.push(kind.clone());
        }
        self.newest_id.clone_from(&id);
        self.newest_of.insert(kind.clone(), id.clone());
        if self.silent {
            return;
        }
        match kind.as_str() {
            "get_state" => self.feed(&json!({"type":"response","id":id,"command":kind,"success":true,"data":{
                "isStreaming":self.streaming,"isCompacting":self.compacting,"pendingMessageCount":self.queue.len()}})),
            "clear_queue" if self.clears => {
                let steering = std::mem::take(&mut self.queue);
                self.feed(&json!({"type":"queue_update","steering":[],"followUp":[]}));
                self.feed(&json!({"type":"response","id":id,"command":kind,"success":true,
                    "data":{"steering":steering,"followUp":[]}}));
            }
            "clear_queue" => self.feed(
                &json!({"type":"response","command":kind,"success":false,"error":"Unknown command: clear_queue"}),
            ),
            _ => {}
        }
    }

    fn tell(&mut self, event: AgentEvent) {
        let line = match event {
            // Joins what came in pieces.
            AgentEvent::TextDelta { delta, .. } => {
                let delta = delta.replace('\n', "\\n");
                match self.told.strip_suffix("\u{7}\n") {
                    Some(told) => self.told = format!("{told}{delta}\u{7}\n"),
                    None => writeln!(self.told, "~{delta}\u{7}").unwrap(),
                }
                return;
            }
            AgentEvent::ToolInputDelta {
                tool_call_id,
                tool_name,
                content_index,
                ..
            } => {
                let line = format!("input {content_index} {tool_name} {tool_call_id}\n");
                if !self.told.ends_with(&line) {
                    self.told.push_str(&line);
                }
                return;
            }
            AgentEvent::ToolUpdate { .. } => {
                if !self.told.ends_with("update\n") {
                    self.told.push_str("update\n");
                }
                return;
            }
            AgentEvent::MessageStarted => "message".into(),
            AgentEvent::MessageCompleted { blocks } => format!("={blocks:?}"),
            AgentEvent::ThinkingDelta { delta, .. } => format!("thinks {delta:?}"),
            AgentEvent::ThinkingCompleted { text, .. } => format!("thought {text:?}"),
            AgentEvent::ToolStarted {
                tool_call_id,
                tool_name,
                ..
            } => format!("tool {tool_name} {tool_call_id}"),
            AgentEvent::ToolCompleted {
                tool_call_id,
                is_error,
                ..
            } => format!("tool {tool_call_id} done, error {is_error}"),
            AgentEvent::SteerApplied { steer_id } => format!("applied {}", steer_id.as_u128()),
            AgentEvent::SteerReturned { steer_id } => format!("returned {}", steer_id.as_u128()),
            AgentEvent::UsageRecorded(report) => {
                format!("used {} {}", report.usage.output_tokens, report.model)
            }
            AgentEvent::RetryScheduled { attempt, delay, .. } => {
                format!("retry {attempt} in {delay:?}")
            }
            AgentEvent::CompactionStarted { reason } => format!("compacts: {reason}"),
            AgentEvent::CompactionCompleted { summary, .. } => format!("compacted: {summary}"),
            AgentEvent::Asked { ask_id, ask } => format!("asked {ask_id}: {}", ask.title),
            AgentEvent::AskWithdrawn { ask_id } => format!("withdrawn {ask_id}"),
            other => format!("{other:?}"),
        };
        self.told.push_str(&line);
        self.told.push('\n');
    }

    /// All that was told since the last call.
    fn told(&mut self) -> String {
        std::mem::take(&mut self.told).replace('\u{7}', "")
    }

    #[track_caller]
    fn told_is(&mut self, wanted: &[&str]) {
        let told = self.told();
        assert_eq!(told.lines().collect::<Vec<_>>(), wanted);
    }

    #[track_caller]
    fn wrote(&mut self, wanted: &[&str]) {
        assert_eq!(std::mem::take(&mut self.written), wanted);
    }
}

/// Replays a recording: what the gateway of that time wrote is told to the machine as the actor would.
fn replay(recording: &str, clears: bool) -> Replay {
    let replay = Replay::new(clears);
    replay_with(recording, replay)
}

fn replay_with(recording: &str, mut replay: Replay) -> Replay {
    let begin = replay.now;
    for line in recording.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let at = begin + Duration::from_millis(record["ms"].as_u64().unwrap());
        replay.pass(at.saturating_duration_since(replay.now));
        let mut line = record["line"].clone();
        if record["from"] == "pi" {
            if let Some(id) = line["id"].as_str().and_then(|id| replay.ids.get(id)) {
                line["id"] = id.clone().into();
            }
            replay.pi(line);
            continue;
        }
        let text = line["message"].as_str().unwrap_or_default();
        match line["type"].as_str().unwrap() {
            "prompt" if !replay.machine.is_busy() => replay.start(text),
            "steer" => replay.steer(1, text),
            "abort" => replay.cancel(),
            _ => continue,
        }
        let id = line["id"].as_str().unwrap().to_owned();
        let ours = replay.newest_id.clone();
        replay.ids.insert(id, ours);
    }
    replay.pass(Duration::from_secs(2));
    assert_eq!(
        replay.machine.deadline(),
        None,
        "nothing is left to wait for"
    );
    replay
}

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/pi/",
            $name,
            ".jsonl"
        ))
    };
}

// === recorded ===

#[test]
fn a_tool_and_a_steer_in_both_dialects() {
    // The recordings hold a second prompt while busy and a follow-up, too: neither breaks anything, and one turn has
    // one end whatever its messages.
    for (recording, clears, call, steer, follow_up) in [
        (
            recording!("tool-steer-0.73.1"),
            false,
            "call_fake_2",
            "steered text during tool",
            "follow up text",
        ),
        (
            recording!("tool-steer-0.87.1"),
            true,
            "call_fake_19",
            "steered",
            "fu",
        ),
    ] {
        replay(recording, clears).told_is(&[
            "message",
            "~I will run a tool. ",
            &format!("input 1 bash {call}"),
            "=[(0, \"I will run a tool. \")]",
            "used 20 fake/fake-1",
            &format!("tool bash {call}"),
            "update",
            &format!("tool {call} done, error false"),
            "applied 1",
            "message",
            &format!("~Echo: {steer}"),
            &format!("=[(0, \"Echo: {steer}\")]"),
            "used 20 fake/fake-1",
            "message",
            &format!("~Echo: {follow_up}"),
            &format!("=[(0, \"Echo: {follow_up}\")]"),
            "used 20 fake/fake-1",
            "end Completed(Stop)",
        ]);
    }
}

#[test]
fn a_retry_is_one_turn_and_its_failed_attempts_leave_no_message() {
    let rest = [
        "message",
        "~Echo: FAIL500x3 then ok",
        "=[(0, \"Echo: FAIL500x3 then ok\")]",
        "used 20 fake/fake-1",
        "end Completed(Stop)",
    ];
    let old = ["retry 1 in 2s", "retry 2 in 4s"];
    replay(recording!("retry-0.73.1"), false).told_is(&[&old[..], &rest].concat());
    let new = ["retry 1 in 2s", "retry 2 in 4s", "retry 3 in 8s"];
    replay(recording!("retry-0.87.1"), true).told_is(&[&new[..], &rest].concat());
}

#[test]
fn an_abort_takes_queued_steers_back_or_asks_for_a_new_process() {
    let said = [
        "message",
        "~word word word word word ",
        "=[(0, \"word word word word word \")]",
    ];
    let mut old = replay(recording!("abort-queued-0.73.1"), false);
    old.told_is(&[&said[..], &["end Stopped, proven, then a new process"]].concat());
    let mut new = replay(recording!("abort-queued-0.87.1"), true);
    new.told_is(&[&said[..], &["end Stopped, proven"]].concat());
    new.wrote(&["prompt", "steer", "clear_queue", "abort"]);
}

#[test]
fn thinking_is_told_apart_and_a_providers_error_is_a_failed_turn() {
    replay(recording!("think-fail-0.73.1"), false).told_is(&[
        "message",
        "thinks \"Let \"",
        "thinks \"me \"",
        "thinks \"think. \"",
        "~The answer is 42.",
        "thought \"Let me think. \"",
        "=[(1, \"The answer is 42.\")]",
        "used 20 fake/fake-1",
        "end Completed(Stop)",
        "end Failed(\"400 fake bad request\")",
    ]);
}

#[test]
fn an_abort_in_a_tool_closes_the_tool() {
    replay(recording!("abort-tool-0.73.1"), false).told_is(&[
        "message",
        "~I will run a tool. ",
        "input 1 bash call_fake_12",
        "=[(0, \"I will run a tool. \")]",
        "used 20 fake/fake-1",
        "tool bash call_fake_12",
        "update",
        "tool call_fake_12 done, error true",
        "end Stopped, proven",
    ]);
}

// === how a turn ends ===

#[test]
fn a_prompt_that_pi_handles_without_a_run_completes() {
    let mut pi = Replay::new(false);
    pi.start("/ask");
    pi.answer("prompt");
    pi.told_is(&[]);
    pi.pass(RESTART_GRACE);
    pi.told_is(&["end Completed(Stop)"]);
    // Since 0.99 it says so.
    pi.start("/ask");
    let id = pi.newest_id.clone();
    pi.pi(json!({"type":"response","id":id,"command":"prompt","success":true,"data":{"disposition":"handled"}}));
    pi.told_is(&["end Completed(Stop)"]);
}

#[test]
fn a_prompt_that_pi_refuses_fails() {
    let mut pi = Replay::new(false);
    pi.start("x");
    let id = pi.newest_id.clone();
    pi.pi(json!({"type":"response","id":id,"command":"prompt","success":false,"error":"no key"}));
    pi.told_is(&["end Failed(\"no key\")"]);
}

#[test]
fn the_last_word_decides_the_outcome() {
    for (stop_reason, outcome) in [
        ("stop", "Completed(Stop)"),
        ("length", "Completed(Length)"),
        ("toolUse", "Completed(ToolUse)"),
        (
            "aborted",
            "Failed(\"pi stopped with reason \\\"aborted\\\"\")",
        ),
        (
            "pending",
            "Failed(\"pi stopped with reason \\\"pending\\\"\")",
        ),
    ] {
        let mut pi = Replay::new(true);
        pi.run("x");
        pi.says("a", stop_reason);
        pi.ends();
        pi.told_is(&["message", "~a", "=[(0, \"a\")]", &format!("end {outcome}")]);
    }
    let mut pi = Replay::new(true);
    pi.run("x");
    pi.ends();
    pi.told_is(&["end Failed(\"pi ended its run without an answer\")"]);
}

#[test]
fn nothing_of_a_turn_comes_after_its_end_and_a_late_end_does_not_hit_the_next() {
    let mut pi = Replay::new(true);
    pi.run("x");
    pi.says("a", "stop");
    pi.ends();
    pi.told();
    pi.says("late", "stop");
    pi.pi(json!({"type":"tool_execution_start","toolCallId":"c","toolName":"bash","args":{}}));
    pi.ends();
    pi.told_is(&[]);
    pi.start("y");
    pi.pi(json!({"type":"agent_settled"}));
    pi.pass(ANSWER_TIMEOUT);
    pi.told_is(&[]);
    assert!(pi.machine.is_busy());
}

#[test]
fn a_compaction_that_restarts_the_run_is_one_turn() {
    let mut pi = Replay::new(false);
    pi.run("x");
    pi.pi(json!({"type":"message_end","message":{"role":"assistant","content":[],"stopReason":"error","errorMessage":"too long"}}));
    pi.ends();
    pi.pi(json!({"type":"compaction_start","reason":"overflow"}));
    pi.pass(Duration::from_secs(60));
    pi.pi(json!({"type":"compaction_end","reason":"overflow","result":{"summary":"short","tokensBefore":9},"aborted":false,"willRetry":true}));
    pi.pass(Duration::from_millis(150));
    pi.pi(json!({"type":"agent_start"}));
    pi.says("a", "stop");
    pi.told_is(&[
        "compacts: overflow",
        "compacted: short",
        "message",
        "~a",
        "=[(0, \"a\")]",
    ]);
    pi.ends();
    pi.told_is(&["end Completed(Stop)"]);
}

#[test]
fn a_retry_that_is_given_up_fails_the_turn() {
    let failed = json!({"type":"message_end","message":{"role":"assistant","content":[],"stopReason":"error","errorMessage":"overloaded"}});
    let retry = json!({"type":"auto_retry_start","attempt":1,"maxAttempts":3,"delayMs":60000,"errorMessage":"overloaded"});
    let mut pi = Replay::new(false);
    pi.run("x");
    pi.pi(failed.clone());
    pi.ends();
    pi.pi(retry.clone());
    // pi looks idle while it waits.
    pi.pass(Duration::from_secs(59));
    pi.told_is(&["retry 1 in 60s"]);
    pi.pi(json!({"type":"auto_retry_end","success":false,"attempt":1,"finalError":"overloaded"}));
    pi.pass(Duration::from_secs(1));
    pi.told_is(&["end Failed(\"overloaded\")"]);

    // Stopped while it waits.
    pi.run("y");
    pi.pi(failed);
    pi.ends();
    pi.pi(retry);
    pi.cancel();
    pi.pi(
        json!({"type":"auto_retry_end","success":false,"attempt":1,"finalError":"Retry cancelled"}),
    );
    pi.told_is(&["retry 1 in 60s"]);
    pi.answer_to("abort");
    pi.told_is(&["end Stopped, proven"]);
}

// === steers ===

#[test]
fn a_steer_waits_for_a_live_run_and_outside_a_turn_it_comes_back() {
    let mut pi = Replay::new(false);
    pi.steer(1, "idle");
    pi.told_is(&["returned 1"]);
    pi.start("x");
    pi.steer(2, "early");
    pi.answer("prompt");
    pi.wrote(&["prompt"]);
    pi.pi(json!({"type":"agent_start"}));
    pi.wrote(&["steer"]);
    pi.pi(json!({"type":"message_start","message":{"role":"user","content":"x"}}));
    pi.pi(json!({"type":"queue_update","steering":["early"],"followUp":[]}));
    pi.pi(json!({"type":"message_end","message":{"role":"assistant","content":[],"stopReason":"error","errorMessage":"e"}}));
    pi.ends();
    pi.pi(json!({"type":"auto_retry_start","attempt":1,"maxAttempts":3,"delayMs":2000,"errorMessage":"e"}));
    // No run is live while pi waits for its retry.
    pi.steer(3, "while it waits");
    pi.wrote(&[]);
    pi.pi(json!({"type":"agent_start"}));
    pi.wrote(&["steer"]);
    pi.pi(json!({"type":"queue_update","steering":["early","while it waits"],"followUp":[]}));
    pi.pi(json!({"type":"queue_update","steering":["while it waits"],"followUp":[]}));
    pi.pi(json!({"type":"message_start","message":{"role":"user","content":"early"}}));
    pi.told_is(&["retry 1 in 2s", "applied 2"]);
}

#[test]
fn a_steer_that_pi_refuses_comes_back() {
    let mut pi = Replay::new(false);
    pi.run("x");
    pi.steer(1, "/ask");
    let id = pi.newest_id.clone();
    pi.pi(json!({"type":"response","id":id,"command":"steer","success":false,"error":"cannot be queued"}));
    pi.told_is(&["returned 1"]);
}

#[test]
fn a_steer_that_missed_the_run_never_reaches_the_next_one() {
    for (clears, end) in [
        (true, "end Completed(Stop)"),
        (false, "end Completed(Stop), then a new process"),
    ] {
        let mut pi = Replay::new(clears);
        pi.run("x");
        pi.steer(1, "too late");
        pi.says("a", "stop");
        pi.pi(json!({"type":"queue_update","steering":["too late"],"followUp":[]}));
        pi.told();
        pi.ends();
        pi.pass(Duration::from_secs(1));
        pi.told_is(&[end]);
        pi.wrote(&["prompt", "steer", "clear_queue"]);
    }
}

// === stops ===

#[test]
fn an_abort_that_comes_before_the_run_is_repeated_once_it_began() {
    let mut pi = Replay::new(true);
    pi.start("x");
    let prompt_id = pi.newest_id.clone();
    pi.cancel();
    pi.answer("abort");
    pi.pass(Duration::from_secs(1));
    pi.told_is(&[]);
    pi.pi(json!({"type":"response","id":prompt_id,"command":"prompt","success":true}));
    pi.pi(json!({"type":"agent_start"}));
    pi.wrote(&["prompt", "abort", "abort"]);
    pi.pi(json!({"type":"message_end","message":{"role":"assistant","content":[],"stopReason":"aborted"}}));
    pi.ends();
    pi.told_is(&[]);
    pi.answer_to("abort");
    pi.told_is(&["end Stopped, proven"]);
}

#[test]
fn a_turn_that_ended_before_the_stop_keeps_its_end() {
    let mut pi = Replay::new(true);
    pi.run("x");
    pi.says("a", "stop");
    pi.cancel();
    pi.ends();
    // The abort might still be on its way into the next run.
    pi.pi(json!({"type":"agent_settled"}));
    pi.pass(Duration::from_secs(1));
    pi.told_is(&["message", "~a", "=[(0, \"a\")]"]);
    pi.answer_to("abort");
    pi.told_is(&["end Completed(Stop), proven"]);
}

// === lines ===

#[test]
fn a_lost_line_never_hangs_a_turn() {
    let mut pi = Replay::new(false);
    pi.run("x");
    pi.says("a", "stop");
    pi.told();
    pi.streaming = false;
    let now = pi.now;
    pi.machine.line(b"stray print", 0, now);
    pi.pass(LOST_POLL);
    pi.told_is(&["end Completed(Stop)"]);

    // What was lost was the message's end: what was streamed is kept, and success is not made up.
    pi.run("y");
    pi.pi(json!({"type":"message_start","message":{"role":"assistant","content":[]}}));
    pi.pi(json!({"type":"message_update","assistantMessageEvent":{"type":"text_delta","contentIndex":0,"delta":"abc"}}));
    let now = pi.now;
    pi.machine.line_lost(now);
    pi.pass(LOST_POLL * 3);
    pi.told_is(&["message", "~abc"]);
    pi.ends();
    pi.told_is(&[
        "=[(0, \"abc\")]",
        "end Failed(\"pi's last words could not be read, and its run is over\")",
    ]);
}

/// Every recording, with whether its pi can empty its queue.
const RECORDINGS: [(&str, bool); 8] = [
    (recording!("tool-steer-0.73.1"), false),
    (recording!("tool-steer-0.87.1"), true),
    (recording!("retry-0.73.1"), false),
    (recording!("retry-0.87.1"), true),
    (recording!("abort-queued-0.73.1"), false),
    (recording!("abort-queued-0.87.1"), true),
    (recording!("think-fail-0.73.1"), false),
    (recording!("abort-tool-0.73.1"), false),
];

/// What was told but for the bookkeeping.
fn words(mut replay: Replay) -> Vec<String> {
    let told = replay.told();
    let lines = told.lines().filter(|line| !line.starts_with("used "));
    lines.map(ToOwned::to_owned).collect()
}

/// Gives numbers, errors and contents other shapes, as bad days do: by `choice` another one for each line.
fn odd_shape(line: &Value, choice: u64) -> Value {
    let mut line = line.clone();
    let odd = [
        json!(null),
        json!(12.5),
        json!("7"),
        json!({"a":[1]}),
        json!(-1),
    ];
    let odd = |number: u64| odd[((choice + number) % odd.len() as u64) as usize].clone();
    let distort_message = |message: &mut Value| {
        if message["usage"].is_object() {
            message["usage"]["input"] = odd(0);
            message["usage"]["output"] = odd(1);
            message["usage"]["cost"]["total"] = odd(2);
            if choice.is_multiple_of(4) {
                message["usage"] = odd(3);
            }
        }
        message["timestamp"] = odd(4);
        if let Some(error) = message["errorMessage"].as_str() {
            message["errorMessage"] = json!({"message":error,"code":400});
        }
        if choice.is_multiple_of(2)
            && let [only] = &message["content"].as_array().cloned().unwrap_or_default()[..]
            && only["type"] == "text"
        {
            message["content"] = only["text"].clone();
        }
    };
    for name in ["message", "partial"] {
        if line[name].is_object() {
            distort_message(&mut line[name]);
        }
    }
    let update = &mut line["assistantMessageEvent"];
    if update.is_object() {
        let index = update["contentIndex"].as_f64().unwrap_or_default();
        update["contentIndex"] = json!(index);
        update["partial"]["usage"] = odd(0);
    } else if let Some(line) = line.as_object_mut() {
        line.remove("assistantMessageEvent");
    }
    line["unheard_of"] = odd(1);
    line
}

/// Nothing that the agent said is lost for how it counted, or for what somebody wrote beside it.
#[test]
fn recordings_in_odd_shapes_and_with_bytes_beside_their_records_tell_the_same() {
    /// What becomes of a line; `None` where it is lost.
    type Distortion = fn(&Value, u64) -> Option<Vec<u8>>;
    let distortions: [Distortion; 4] = [
        |line, choice| Some(odd_shape(line, choice).to_string().into_bytes()),
        |line, _| Some(format!("\u{1b}]0;t\u{7}{line}").into_bytes()),
        |line, choice| {
            let junk =
                ["{ \"x", "\u{1b}[0m", "{\"a\":{}}", "{\"type\":\"text\"}"][choice as usize % 4];
            Some(format!("{junk}{}{junk}", odd_shape(line, choice)).into_bytes())
        },
        // Some records are said twice by pi, or show by what comes next: those may get lost.
        |line, _| {
            let role = line["message"]["role"].as_str().unwrap_or_default();
            let lost = match line["type"].as_str().unwrap_or_default() {
                "message_start" => true,
                "message_end" => role != "toolResult",
                "tool_execution_end" => true,
                _ => false,
            };
            (!lost).then(|| line.to_string().into_bytes())
        },
    ];
    for (number, (recording, clears)) in RECORDINGS.into_iter().enumerate() {
        let plain = words(replay(recording, clears));
        for (which, distort) in distortions.into_iter().enumerate() {
            let mut distorted = Replay::new(clears);
            distorted.distort = distort;
            let distorted = words(replay_with(recording, distorted));
            // Where ends are lost they come later than what was between.
            let sorted = |words: &[String]| {
                let mut words = words.to_vec();
                words.sort();
                words
            };
            if which == 3 {
                assert_eq!(
                    sorted(&distorted),
                    sorted(&plain),
                    "recording {number}, {which}"
                );
            } else {
                assert_eq!(distorted, plain, "recording {number}, {which}");
            }
        }
    }
}

#[test]
fn half_characters_at_the_edges_of_deltas_are_put_together() {
    let mut pi = Replay::new(true);
    pi.run("x");
    let mut say = |line: &str| {
        let now = pi.now;
        pi.machine.line(line.as_bytes(), 0, now);
    };
    let update = |kind: &str, rest: &str| {
        format!(
            r#"{{"type":"message_update","assistantMessageEvent":{{"type":"{kind}","contentIndex":0,{rest}}}}}"#
        )
    };
    say(r#"{"type":"message_start","message":{"role":"assistant","content":[]}}"#);
    for delta in [r"a\ud83d", r"\ude00b\ud83d"] {
        say(&update("thinking_delta", &format!(r#""delta":"{delta}""#)));
    }
    say(&update(
        "thinking_end",
        r#""content":"a\ud83d\ude00b\ud83d""#,
    ));
    for delta in [r"c\ud83d", r"", r"\ude00", r"d\ud83d", "e"] {
        let delta = update("text_delta", &format!(r#""delta":"{delta}""#));
        say(&delta.replace(r#""contentIndex":0"#, r#""contentIndex":1"#));
    }
    say(
        r#"{"type":"compaction_end","reason":"threshold","result":{"summary":"s\ud83d"},"aborted":false}"#,
    );
    say(
        r#"{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":"c\ud83d\ude00d\ud83de"}],"stopReason":"error","errorMessage":"e\ud83d"}}"#,
    );
    pi.pump();
    pi.ends();
    pi.pass(Duration::from_secs(1));
    pi.told_is(&[
        "message",
        "thinks \"a\"",
        "thinks \"😀b\"",
        "thought \"a😀b\u{fffd}\"",
        "~c😀d\u{fffd}e",
        "compacted: s\u{fffd}",
        "=[(0, \"c😀d\u{fffd}e\")]",
        "end Failed(\"e\u{fffd}\")",
    ]);
}

/// Whatever of them is lost: a steer that pi took is applied, once; one that it gave back is not.
#[test]
fn a_steer_has_one_true_outcome_whatever_lines_are_lost() {
    for clears in [false, true] {
        for taken in [false, true] {
            // Of the lines that name the steer one at least is read: else nobody can know.
            for lost in (0..64_u32).filter(|lost| !taken || lost & 0b1_0110 != 0b1_0110) {
                let mut pi = Replay::new(clears);
                let keeps = |number: u32| lost & (1 << number) == 0;
                let say = |pi: &mut Replay, number: u32, line: Value| {
                    if keeps(number) {
                        pi.pi(line);
                    } else {
                        // It happens all the same.
                        if let Some(queue) = line["steering"].as_array() {
                            let texts = queue.iter().filter_map(|it| it.as_str().map(Into::into));
                            pi.queue = texts.collect();
                        }
                        let now = pi.now;
                        pi.machine.line_lost(now);
                        pi.pump();
                    }
                };
                pi.start("x");
                pi.answer("prompt");
                pi.pi(json!({"type":"agent_start"}));
                let user = |text: &str| json!({"type":"message_start","message":{"role":"user","content":text}});
                say(&mut pi, 0, user("x"));
                pi.steer(1, "look");
                let id = pi.newest_of["steer"].clone();
                say(
                    &mut pi,
                    1,
                    json!({"type":"queue_update","steering":["look"],"followUp":[]}),
                );
                say(
                    &mut pi,
                    2,
                    json!({"type":"response","id":id,"command":"steer","success":true}),
                );
                pi.says("a", "stop");
                if taken {
                    say(
                        &mut pi,
                        3,
                        json!({"type":"queue_update","steering":[],"followUp":[]}),
                    );
                    say(&mut pi, 4, user("look"));
                    if keeps(5) {
                        pi.says("b", "stop");
                    } else {
                        let now = pi.now;
                        pi.machine.line_lost(now);
                        pi.pi(json!({"type":"message_end","message":{"role":"assistant","content":"b","stopReason":"stop"}}));
                    }
                }
                pi.ends();
                pi.pass(Duration::from_secs(5));
                let told = pi.told();
                let applied = told.matches("applied 1\n").count();
                let case = format!("clears {clears}, taken {taken}, lost {lost:06b}: {told}");
                assert_eq!(applied, usize::from(taken), "{case}");
                assert!(told.contains("end Completed(Stop)"), "{case}");
                assert_eq!(told.matches("end ").count(), 1, "{case}");
            }
        }
    }
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again() {
    // At the start, where nothing else would ever come.
    let mut pi = Replay::new(true);
    pi.silent = true;
    let now = pi.now;
    pi.machine.ask_state(now, Duration::from_secs(60));
    pi.pump();
    pi.machine.line_lost(now);
    pi.silent = false;
    pi.pass(LOST_POLL);
    assert!(pi.machine.state().is_some());
    // A late answer to the first question is one as well.
    let mut pi = Replay::new(true);
    pi.silent = true;
    let now = pi.now;
    pi.machine.ask_state(now, Duration::from_secs(60));
    pi.pump();
    let id = pi.newest_id.clone();
    pi.machine.line_lost(now);
    pi.pass(LOST_POLL);
    assert_ne!(pi.newest_id, id);
    pi.pi(json!({"type":"response","id":id,"command":"get_state","success":true,"data":{}}));
    assert!(pi.machine.state().is_some());
}

#[test]
fn a_pi_that_does_not_answer_is_given_up() {
    let mut pi = Replay::new(false);
    pi.run("x");
    pi.silent = true;
    pi.says("a", "stop");
    pi.ends();
    pi.told();
    pi.pass(ANSWER_TIMEOUT);
    pi.told_is(&["hung"]);
}

#[test]
fn blocks_may_be_open_at_once_and_calls_may_share_an_id() {
    let mut pi = Replay::new(true);
    pi.run("x");
    let update = |update: Value| json!({"type":"message_update","assistantMessageEvent":update});
    for _ in 0..2 {
        pi.pi(json!({"type":"message_start","message":{"role":"assistant","content":[]}}));
        pi.pi(update(
            json!({"type":"toolcall_start","contentIndex":1,"id":"same","toolName":"bash"}),
        ));
        pi.pi(update(
            json!({"type":"toolcall_delta","contentIndex":1,"delta":""}),
        ));
        pi.pi(update(
            json!({"type":"text_delta","contentIndex":0,"delta":"a"}),
        ));
        pi.pi(update(
            json!({"type":"toolcall_delta","contentIndex":1,"delta":"{}"}),
        ));
        pi.pi(update(
            json!({"type":"text_end","contentIndex":0,"content":"ab"}),
        ));
        // The next message begins although this one's end never came.
        pi.pi(json!({"type":"message_start","message":{"role":"assistant","content":[]}}));
        pi.pi(
            json!({"type":"tool_execution_start","toolCallId":"same","toolName":"bash","args":{}}),
        );
        pi.pi(json!({"type":"tool_execution_end","toolCallId":"same","toolName":"bash","result":{},"isError":false}));
    }
    pi.told_is(&[
        "message",
        "~a",
        "input 1 bash same",
        "=[(0, \"ab\")]",
        "tool bash same",
        "tool same done, error false",
        "message",
        "~a",
        "input 1 bash same#2",
        "=[(0, \"ab\")]",
        "tool bash same#2",
        "tool same#2 done, error false",
    ]);
}

fn dialog(id: &str, method: &str) -> Value {
    json!({"type":"extension_ui_request","id":id,"method":method,"title":"t","options":["a","b"]})
}

#[test]
fn dialogs_are_questions_of_their_turn() {
    let mut pi = Replay::new(true);
    pi.pi(dialog("before", "confirm"));
    pi.wrote(&["extension_ui_response"]);
    pi.run("x");
    pi.written.clear();
    pi.silent = true;
    for method in [
        "select",
        "confirm",
        "input",
        "editor",
        "notify",
        "setStatus",
    ] {
        pi.pi(dialog(method, method));
    }
    pi.wrote(&[]);
    let asked = pi
        .told
        .lines()
        .filter(|line| line.starts_with("asked"))
        .count();
    assert_eq!(asked, 4, "{}", pi.told);
    let answers = [
        ("select", r#"{"value":"b"}"#, ""),
        ("confirm", "", "yes"),
        ("input", r#"{"value":"text"}"#, ""),
    ];
    for (id, content_json, option_id) in answers {
        let answer = Answer {
            option_id: option_id.into(),
            content_json: content_json.into(),
            ..Answer::default()
        };
        pi.machine.answer(id.into(), &answer);
        // A second one finds nobody who waits.
        pi.machine.answer(id.into(), &answer);
    }
    let lines: Vec<Value> = std::iter::from_fn(|| pi.machine.next_effect())
        .filter_map(|effect| match effect {
            Effect::Write(line) => serde_json::from_slice(&line).ok(),
            _ => None,
        })
        .collect();
    let response = |id: &str, name: &str, value: Value| {
        let mut line = json!({"type":"extension_ui_response","id":id});
        line[name] = value;
        line
    };
    assert_eq!(
        lines,
        [
            response("select", "value", "b".into()),
            response("confirm", "confirmed", true.into()),
            response("input", "value", "text".into()),
        ]
    );
    // What is open is cancelled with the turn.
    pi.machine.cancel();
    pi.pump();
    pi.wrote(&["abort", "extension_ui_response"]);
    pi.pi(dialog("late", "confirm"));
    assert_eq!(pi.machine.dialogs.len(), 0);
}

#[test]
fn a_dialog_that_pi_gives_up_is_withdrawn_and_a_flood_is_bounded() {
    let mut pi = Replay::new(true);
    pi.run("x");
    pi.written.clear();
    pi.silent = true;
    let mut short = dialog("short", "confirm");
    short["timeout"] = 7000.into();
    pi.pi(short);
    pi.pass(Duration::from_millis(6999));
    assert!(!pi.told.contains("withdrawn"), "{}", pi.told);
    pi.pass(Duration::from_millis(1));
    assert!(pi.told.contains("withdrawn short"), "{}", pi.told);
    pi.wrote(&[]);
    for number in 0..=DIALOGS_MAX {
        pi.pi(dialog(&number.to_string(), "confirm"));
    }
    pi.wrote(&["extension_ui_response"]);
    assert_eq!(pi.machine.dialogs.len(), DIALOGS_MAX);
}

/// R16: whatever pi's lines say, before, in and after a turn.
#[test]
fn no_line_makes_the_machine_panic_or_keep_more_and_more() {
    let recordings = [
        include_str!("../../../../tests/fixtures/pi/tool-steer-0.87.1.jsonl"),
        include_str!("../../../../tests/fixtures/pi/retry-0.73.1.jsonl"),
        include_str!("../../../../tests/fixtures/pi/think-fail-0.73.1.jsonl"),
    ];
    let lines: Vec<Vec<u8>> = recordings
        .iter()
        .flat_map(|recording| recording.lines())
        .map(|line| serde_json::from_str::<Value>(line).expect("a record"))
        .filter(|record| record["from"] == "pi")
        .map(|record| record["line"].to_string().into_bytes())
        .filter(|line| line.len() < 1024)
        .collect();
    let mut seeds: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    let dialog = br#"{"type":"extension_ui_request","id":"d1","method":"confirm","title":"x"}"#;
    seeds.push(dialog);
    let mut replay = Replay::new(true);
    let mut inputs: usize = 0;
    crate::fuzz::fuzz(&seeds, |line| {
        inputs += 1;
        let machine = &mut replay.machine;
        if inputs.is_multiple_of(64) {
            *machine = Machine::new();
        }
        if inputs.is_multiple_of(8) && !machine.is_busy() {
            machine.start(&TurnInput {
                turn_id: Uuid::nil(),
                attempt: 1,
                epoch: 1,
                text: "x".into(),
                command: String::new(),
                transcript: String::new(),
                attachments: vec![],
                memory_context: String::new(),
                choices: Default::default(),
                user_messages_before: 0,
                output_schema: String::new(),
                client_tools: vec![],
                trace_context: String::new(),
                calls_are_granted: false,
            });
        }
        machine.line(line, inputs % 3, replay.now);
        let effects = std::iter::from_fn(|| machine.next_effect()).count();
        // Each record of a line has its own.
        assert!(effects <= 4 * DIALOGS_MAX, "{effects} effects of one line");
        assert!(machine.dialogs.len() <= DIALOGS_MAX);
    });
}
