//! The pi driver against real pi, both wire dialects, and a scripted model.
//!
//! Runs where `QUARTERDECK_TEST_PI` lists pi commands, separated by `:`; `.ci/install-pi` installs the pinned ones and
//! prints the list. Without it these tests say so and pass.

mod agent_pi_support;
#[path = "agent_support/mod.rs"]
mod support;

use agent_pi_support::{PATIENCE, Place, bytes_read, outcome, processes, said, streamed};
use quarterdeck::{
    agent::{
        AgentCommand, AgentEvent, Outcome, isolation::Rung, pi::PiOptions, process::ProcessLimits,
    },
    config::AgentConfig,
    domain::{
        offers::Offers,
        question::Answer,
        turn::{Attachment, StopReason},
    },
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};
use support::{eventually, fixture, rung};

/// A model's endpoint; ended with the test.
struct ModelServer {
    process: Child,
    port: u16,
}

impl ModelServer {
    fn scripted() -> Self {
        Self::start(&["python3", fixture("fake_llm.py").to_str().unwrap()])
    }

    /// Starts a server that prints `listening on PORT`.
    fn start(command: &[&str]) -> Self {
        let mut process = Command::new(command[0])
            .args(&command[1..])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = process.stdout.take().unwrap();
        let port = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok())
            .expect("it says where it listens");
        Self { process, port }
    }

    /// The messages of every request so far.
    fn requests(&self) -> Vec<Vec<Value>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: model\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap()
    }

    /// The model that the newest request asked for, and how much it was to think.
    fn asked(&self) -> (String, Option<String>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"GET /asked HTTP/1.1\r\nhost: model\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let mut asked: Vec<(String, Option<String>)> = serde_json::from_str(body).unwrap();
        asked.pop().expect("something was asked")
    }

    /// What pi must know of it: model `fake/ID` of this many output tokens for each.
    fn models(&self, models: &[(&str, u32)]) -> String {
        let models: Vec<_> = models
            .iter()
            .map(|(id, tokens)| json!({ "id": id, "reasoning": true, "contextWindow": 32768, "maxTokens": tokens }))
            .collect();
        json!({ "providers": { "fake": {
            "baseUrl": format!("http://127.0.0.1:{}/v1", self.port),
            "api": "openai-completions",
            "apiKey": "no-key",
            "compat": { "supportsDeveloperRole": false, "supportsReasoningEffort": false, "supportsStore": false },
            "models": models,
        } } })
        .to_string()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn commands() -> Vec<String> {
    let list = std::env::var("QUARTERDECK_TEST_PI").unwrap_or_default();
    if list.is_empty() {
        eprintln!("QUARTERDECK_TEST_PI is not set: real pi is not tested");
    }
    list.split(':')
        .filter(|it| !it.is_empty())
        .map(Into::into)
        .collect()
}

/// pi with models that stand in a template directory; what a user has installed for pi stays out.
fn options(command: &str, models: &str, template: &Path) -> PiOptions {
    std::fs::write(template.join("models.json"), models).unwrap();
    PiOptions {
        command: vec![command.into()],
        arguments: ["-ne", "-ns", "-np", "-nc"].map(Into::into).to_vec(),
        template_directory: Some(template.into()),
        model: "fake/fake-1".into(),
        thinking_level: "off".into(),
        start_timeout: PATIENCE,
        limits: default_limits(),
        ..PiOptions::default()
    }
}

/// What an operator's pi is bound by who says nothing about it.
fn default_limits() -> ProcessLimits {
    let agent = AgentConfig::default();
    ProcessLimits {
        processes: agent.max_processes,
        open_files: agent.max_open_files,
        file_bytes: agent.max_file_bytes.0,
        memory_bytes: agent.max_memory_bytes.0,
    }
}

/// Sockets on which a process waits for others: numbers that `/proc` gives them.
fn listening() -> HashSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables.iter().flat_map(std::fs::read_to_string).collect();
    let sockets = text.lines().map(|line| line.split_ascii_whitespace());
    // State 0A is LISTEN; the tenth field is the socket.
    sockets
        .filter_map(|mut fields| (fields.nth(3)? == "0A").then(|| fields.nth(5))?)
        .map(|inode| format!("socket:[{inode}]"))
        .collect()
}

/// Sockets of the processes that carry this text in their environment.
fn sockets_of(mark: &str) -> Vec<String> {
    let mut sockets = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if !String::from_utf8_lossy(&environment).contains(mark) {
            continue;
        }
        let descriptors = std::fs::read_dir(process.path().join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let target = std::fs::read_link(descriptor.path()).unwrap_or_default();
            sockets.extend(target.to_str().map(ToOwned::to_owned));
        }
    }
    sockets
}

/// SECURITY.md 3.2 (CVE-2026-22812 and its like): an agent opens no port, neither idle nor while it works. And with
/// little memory of its own it still works.
#[tokio::test(flavor = "multi_thread")]
async fn real_pi_opens_no_port_and_lives_within_bounds() {
    for command in commands() {
        let model = ModelServer::scripted();
        let models = model.models(&[("fake-1", 4096)]);
        let template = tempfile::tempdir().unwrap();
        let mut options = options(&command, &models, template.path());
        let mark = uuid::Uuid::new_v4().to_string();
        options
            .environment
            .push(("PI_TEST_MARK".into(), mark.clone()));
        options.limits.memory_bytes = 2 << 30;
        options.limits.open_files = 1024;
        let place = Place::new(options);
        let (mut session, _) = place.open().await;
        let quiet = || {
            let listening = listening();
            // The checker sees the port of the model's server, so it would see one of pi's.
            assert!(!listening.is_empty());
            let held = sockets_of(&mark);
            assert!(held.len() >= 3, "{held:?}");
            held.iter().all(|one| !listening.contains(one))
        };
        assert!(quiet());
        session
            .start("RUN echo one; while [ ! -e go ]; do sleep 0.1; done; umask; ulimit -c")
            .await;
        session
            .until(|it| matches!(it, AgentEvent::ToolUpdate { .. }))
            .await;
        assert!(quiet());
        std::fs::write(place.request.working_directory.join("go"), "").unwrap();
        let events = session.turn().await;
        assert!(
            events.iter().any(|it| matches!(it,
            AgentEvent::ToolCompleted { result_json, .. } if result_json.contains("0077\\n0"))),
            "{events:#?}"
        );
        assert!(quiet());
    }
}

/// R19: pi compiles extensions into its temporary directory and later runs what it finds there; what one session's agent
/// plants must not run in another's.
#[tokio::test(flavor = "multi_thread")]
async fn real_pi_does_not_run_what_another_session_left_in_its_temporary_directory() {
    if rung() != Rung::None {
        // There an agent can't write where this test looks for what ran.
        return;
    }
    for command in commands() {
        eprintln!("== {command}");
        let model = ModelServer::scripted();
        let models = model.models(&[("fake-1", 4096)]);
        let template = tempfile::tempdir().unwrap();
        let [attacker, victim] =
            [(); 2].map(|()| Place::new(options(&command, &models, template.path())));
        // Both have compiled their extension once.
        drop(victim.open().await);
        let (mut session, _) = attacker.open().await;
        // The file ends with the source's hash, by which it is trusted; so the code goes to its beginning.
        let owned = template.path().join("owned");
        let code = format!(
            "process.getBuiltinModule(\"fs\").appendFileSync(\"{}\", \"x\");",
            owned.display()
        );
        let plant = format!(
            "RUN for it in ${{TMPDIR:-/tmp}}/jiti/*; do (echo '{code}'; cat $it) > $it.new && mv $it.new $it; done"
        );
        session.ask(&plant).await;
        drop(session);
        victim.open().await;
        assert!(!owned.exists(), "an agent's code ran in another's pi");
        // The checker sees it where it does run: in the attacker's own.
        attacker.open().await;
        assert!(owned.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_pi_streams_runs_tools_is_steered_stopped_killed_and_resumed() {
    for command in commands() {
        eprintln!("== {command}");
        let model = ModelServer::scripted();
        let models = model.models(&[("fake-1", 4096)]);
        let template = tempfile::tempdir().unwrap();
        let place = Place::new(options(&command, &models, template.path()));
        let (mut session, name) = place.open().await;
        assert_eq!(name, "fake/fake-1");

        // A prompt streams, and what was streamed is what was said.
        let (end, text, events) = session.ask("hello there").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop));
        assert_eq!(text, "Echo: hello there");
        assert_eq!(streamed(&events), text);
        let deltas = events
            .iter()
            .filter(|it| matches!(it, AgentEvent::TextDelta { .. }))
            .count();
        assert!(deltas >= 2, "{events:#?}");
        let mut begun = events.iter();
        let begun = begun.find(|it| {
            !matches!(
                it,
                AgentEvent::Offered { .. } | AgentEvent::CommandsChanged { .. }
            )
        });
        assert!(matches!(begun, Some(AgentEvent::MessageStarted)));
        assert!(events.iter().any(|it| matches!(it,
            AgentEvent::UsageRecorded(report) if report.usage.output_tokens == 20 && report.model == "fake/fake-1")));

        // Thinking is told apart from text.
        let (_, text, events) = session.ask("THINK please").await;
        assert_eq!(text, "Echo: THINK please");
        assert!(
            events.iter().any(|it| matches!(it,
            AgentEvent::ThinkingCompleted { text, .. } if text == "Let me think.")),
            "{events:#?}"
        );

        // A tool runs, and a steer that comes meanwhile is applied in the same turn.
        session
            .start("RUN echo one; while [ ! -e go ]; do sleep 0.1; done; echo two")
            .await;
        let before = session.until(|it| matches!(it,
            AgentEvent::ToolUpdate { partial_result_json, .. } if partial_result_json.contains("one"))).await;
        assert!(before.iter().any(|it| matches!(it,
            AgentEvent::ToolStarted { tool_name, args_json, .. } if tool_name == "bash" && args_json.contains("echo one"))));
        assert!(
            before.iter().any(|it| matches!(it,
            AgentEvent::ToolInputDelta { tool_name, .. } if tool_name == "bash")),
            "{before:#?}"
        );
        let steer_id = session.steer("look left").await;
        std::fs::write(place.request.working_directory.join("go"), "").unwrap();
        let events = session.turn().await;
        assert_eq!(outcome(&events), Outcome::Completed(StopReason::Stop));
        assert!(events.iter().any(|it| matches!(it,
            AgentEvent::ToolCompleted { result_json, is_error: false, .. } if result_json.contains("two"))), "{events:#?}");
        let applied = events
            .iter()
            .position(|it| *it == AgentEvent::SteerApplied { steer_id });
        let applied = applied.expect("the steer was applied");
        assert_eq!(said(&events[applied..]), "Echo: look left");

        // What the model's provider refuses is a turn that failed.
        let (end, text, _) = session.ask("FAIL").await;
        assert!(
            matches!(&end, Outcome::Failed(message) if message.contains("told to fail")),
            "{end:?}"
        );
        assert_eq!(text, "");

        // A retry is told, and its success is the turn's.
        let (end, text, _) = session.ask("FLAKY once").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop));
        assert_eq!(text, "Echo: FLAKY once");

        // An abort in the middle of a tool leaves no process of it, and the session goes on.
        let marker = format!("{}", 40_000 + std::process::id() % 10_000);
        let runs_sleep = || !processes(&format!("sleep {marker}.5")).is_empty();
        session
            .start(&format!("RUN setsid sleep {marker}.5 & sleep {marker}.5"))
            .await;
        eventually("the tool runs", runs_sleep).await;
        session.send(AgentCommand::Cancel).await;
        let events = session.turn().await;
        assert_eq!(outcome(&events), Outcome::Stopped);
        assert!(!runs_sleep(), "{:?}", processes(&marker));

        // An abort in the middle of text keeps what was said.
        session.start("SLOW").await;
        session
            .until(|it| matches!(it, AgentEvent::TextDelta { .. }))
            .await;
        session.send(AgentCommand::Cancel).await;
        let events = session.turn().await;
        assert_eq!(outcome(&events), Outcome::Stopped);
        assert!(said(&events).starts_with("word"), "{events:#?}");

        // A steer that is queued when the abort comes must not reach the next turn (0.73.1 can't take it back, so its
        // process ends).
        session.start("SLOW").await;
        session
            .until(|it| matches!(it, AgentEvent::TextDelta { .. }))
            .await;
        let steer_id = session.steer("a stale steer").await;
        session.send(AgentCommand::Cancel).await;
        let events = session.turn().await;
        assert!(!events.contains(&AgentEvent::SteerApplied { steer_id }));
        match events.last() {
            Some(AgentEvent::TurnEnded(end)) => assert_eq!(*end, Outcome::Stopped),
            Some(AgentEvent::Exited { message }) => {
                eprintln!("{message}");
                session.assert_closed().await;
                session = place.open().await.0;
            }
            other => panic!("{other:?}"),
        }
        let (_, text, _) = session.ask("not steered").await;
        assert_eq!(text, "Echo: not steered");

        // A kill in the middle of a tool ends pi and everything below it; nothing follows.
        session
            .start(&format!("RUN setsid sleep {marker}.5 & sleep {marker}.5"))
            .await;
        eventually("the tool runs", runs_sleep).await;
        session.send(AgentCommand::Kill).await;
        let events = session.turn().await;
        assert!(
            matches!(events.last(), Some(AgentEvent::Exited { .. })),
            "{events:#?}"
        );
        session.assert_closed().await;
        assert!(!runs_sleep(), "{:?}", processes(&marker));
        let session_id = place.request.session_id.to_string();
        assert_eq!(processes(&session_id), Vec::<String>::new());

        // It continues its conversation with a new process.
        let (mut session, _) = place.open().await;
        let (end, text, _) = session.ask("HISTORY").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop));
        assert!(text.parse::<u32>().is_ok_and(|count| count >= 9), "{text}");

        // Letting go of an agent ends it.
        drop(session);
        eventually("pi is gone", || processes(&session_id).is_empty()).await;
        // Nothing became anyone's default.
        let settings = place.request.owner_directory.join("pi/settings.json");
        let settings = std::fs::read_to_string(settings).unwrap_or_default();
        assert!(!settings.contains("default"), "{settings}");
    }
}

/// Terminal sequences before records, characters cut in two, a steer with an image that makes its echo longer than any line
/// that is read whole, and a working directory that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn real_pi_on_a_bad_day_loses_nothing_and_says_what_is_true() {
    for command in commands() {
        eprintln!("== {command}");
        let model = ModelServer::scripted();
        let models = model.models(&[("fake-1", 4096)]);
        let template = tempfile::tempdir().unwrap();
        let mut options = options(&command, &models, template.path());
        let extension = fixture("pi/title.js");
        options.arguments.push("--extension".into());
        options.arguments.push(extension.to_str().unwrap().into());
        let mut place = Place::new(options);
        let (mut session, _) = place.open().await;

        let (end, text, _) = session.ask("hello there").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop));
        assert_eq!(text, "Echo: hello there");
        let (end, _, events) = session.ask("RUN echo one").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop));
        assert!(
            events.iter().any(|it| matches!(it,
            AgentEvent::ToolCompleted { result_json, is_error: false, .. } if result_json.contains("one"))),
            "{events:#?}"
        );

        let (end, text, events) = session.ask("HALVES").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop), "{events:#?}");
        assert_eq!(text, "a 😀 b \u{fffd}");
        assert_eq!(streamed(&events), "a 😀 b ");
        assert!(
            events.iter().any(|it| matches!(it,
            AgentEvent::ThinkingCompleted { text, .. } if text == "think 😀 of it")),
            "{events:#?}"
        );

        session
            .start("RUN echo one; while [ ! -e go ]; do sleep 0.1; done; echo two")
            .await;
        session
            .until(|it| matches!(it, AgentEvent::ToolUpdate { .. }))
            .await;
        let steer_id = uuid::Uuid::now_v7();
        let image = vec![0xa7; 7 << 20].into();
        let before = bytes_read(&place.request.working_directory);
        session
            .send(AgentCommand::Steer {
                steer_id,
                text: "look left".into(),
                attachments: vec![Attachment::new("a.png".into(), "image/png".into(), image)],
            })
            .await;
        // pi takes a while to read so much; where it is slow to take it in the steer comes too late, which is true then.
        eventually("pi has read the picture", || {
            bytes_read(&place.request.working_directory) >= before + (7 << 20) * 4 / 3
        })
        .await;
        std::fs::write(place.request.working_directory.join("go"), "").unwrap();
        let events = session.turn().await;
        assert_eq!(outcome(&events), Outcome::Completed(StopReason::Stop));
        let applied = events
            .iter()
            .filter(|it| **it == AgentEvent::SteerApplied { steer_id })
            .count();
        eprintln!("the steer was applied {applied} times");
        let shown = model
            .requests()
            .iter()
            .any(|request| users(request).iter().any(|it| it.contains("look left")));
        assert_eq!(
            applied,
            usize::from(shown),
            "applied where the model saw it"
        );
        assert_eq!(said(&events).contains("look left"), shown);

        // pi's own file names the directory that it worked in.
        drop(session);
        let old = place.request.working_directory.clone();
        let new = old.with_file_name("elsewhere");
        std::fs::create_dir(&new).unwrap();
        std::fs::remove_dir_all(&old).unwrap();
        place.request.working_directory = new.clone();
        let (mut session, _) = place.open().await;
        let (end, _, events) = session.ask("RUN pwd").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop));
        let path = new.canonicalize().unwrap();
        assert!(
            events.iter().any(|it| matches!(it,
            AgentEvent::ToolCompleted { result_json, is_error: false, .. } if result_json.contains(path.to_str().unwrap()))),
            "{events:#?}"
        );
        // It is the same conversation.
        let (_, text, _) = session.ask("HISTORY").await;
        assert!(text.parse::<u32>().is_ok_and(|count| count >= 6), "{text}");
    }
}

/// Memory stands beside the prompt, marked, once and fresh with each turn, and in nothing that pi keeps.
#[tokio::test(flavor = "multi_thread")]
async fn real_pi_is_given_memory_beside_the_prompt_and_answers_from_it() {
    for command in commands() {
        eprintln!("== {command}");
        let model = ModelServer::scripted();
        let models = model.models(&[("fake-1", 4096)]);
        let template = tempfile::tempdir().unwrap();
        let place = Place::new(options(&command, &models, template.path()));
        let (mut session, _) = place.open().await;
        let memory = |fact: &str| format!("<memory>\n- {fact}\n</memory>");
        let turn = async |session: &mut agent_pi_support::Session, prompt: &str, memory: &str| {
            session.start_with_memory(prompt, memory).await;
            said(&session.turn().await)
        };

        // It answers from what it was given, and the model was given it right before the prompt.
        let first = memory("the boat is called Ana\u{ef} 🚤");
        let text = turn(&mut session, "RECALL boat", &first).await;
        assert_eq!(text, "Recalled: - the boat is called Ana\u{ef} 🚤");
        let spoken = users(model.requests().last().unwrap());
        assert_eq!(spoken, [first.as_str(), "RECALL boat"]);

        // The next turn has its own, and only that; with every call of its run, in the same place.
        let second = memory("the dog is called Bo");
        let text = turn(&mut session, "RUN echo one", &second).await;
        assert_eq!(text, "I run it.|Ran it.");
        let requests = model.requests();
        for request in &requests[requests.len() - 2..] {
            let spoken = users(request);
            assert_eq!(spoken, ["RECALL boat", &second, "RUN echo one"]);
        }

        // A turn without memory has none, not the one before's.
        turn(&mut session, "RECALL boat", "").await;
        let spoken = users(model.requests().last().unwrap());
        assert_eq!(spoken, ["RECALL boat", "RUN echo one", "RECALL boat"]);

        // What pi stored is what the user said.
        drop(session);
        let directory = &place.request.session_directory;
        let file = directory.join(format!("{}.jsonl", place.request.session_id));
        let kept = std::fs::read_to_string(file).unwrap();
        assert!(kept.contains("RUN echo one") && kept.contains("called Ana\u{ef}"));
        let kept: Vec<Value> = kept
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        let kept: Vec<Value> = kept.iter().map(|it| it["message"].clone()).collect();
        assert_eq!(users(&kept), ["RECALL boat", "RUN echo one", "RECALL boat"]);
        let whole = serde_json::to_string(&kept).unwrap();
        assert!(
            !whole.contains("<memory>") && !whole.contains("called Bo"),
            "{whole}"
        );
        let gateway = &place.request.gateway_directory;
        assert!(gateway.join("quarterdeck-memory.js").exists());
        assert!(!gateway.join("quarterdeck-memory.txt").exists());
    }
}

/// Texts of the user's messages.
fn users(messages: &[Value]) -> Vec<String> {
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        parts => {
            let parts = parts.as_array().expect("a list of parts");
            parts.iter().filter_map(|it| it["text"].as_str()).collect()
        }
    };
    let spoken = messages.iter().filter(|it| it["role"] == "user");
    spoken.map(|it| text(&it["content"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_pi_with_an_extension_that_asks_gets_the_answer() {
    for command in commands() {
        let model = ModelServer::scripted();
        let models = model.models(&[("fake-1", 4096)]);
        let template = tempfile::tempdir().unwrap();
        let mut options = options(&command, &models, template.path());
        let extension = fixture("pi/ask.js");
        options.arguments.push("--extension".into());
        options.arguments.push(extension.to_str().unwrap().into());
        let place = Place::new(options);
        let (mut session, _) = place.open().await;
        for (option_id, told) in [("yes", "true"), ("no", "false")] {
            // pi handles the command without a run, once its dialog was answered.
            session.start_command("ask", "/ask").await;
            let asked = session
                .until(|it| matches!(it, AgentEvent::Asked { .. }))
                .await;
            let Some(AgentEvent::Asked { ask_id, ask }) = asked.last() else {
                panic!("see above")
            };
            assert_eq!(ask.title, "Really? Somebody must know.");
            session
                .send(AgentCommand::Answer {
                    ask_id: ask_id.clone(),
                    answer: Box::new(Answer {
                        option_id: option_id.into(),
                        ..Answer::default()
                    }),
                })
                .await;
            let events = session.turn().await;
            assert_eq!(outcome(&events), Outcome::Completed(StopReason::Stop));
            let answer = place.request.working_directory.join("answer");
            assert_eq!(std::fs::read_to_string(answer).unwrap(), told);
        }
        // A prompt is a text, and no command.
        let (end, _, events) = session.ask("/ask").await;
        assert_eq!(end, Outcome::Completed(StopReason::Stop));
        let asked = |it: &AgentEvent| matches!(it, AgentEvent::Asked { .. });
        assert!(!events.iter().any(asked), "{events:#?}");
        let (_, text, _) = session.ask("and on").await;
        assert_eq!(text, "Echo: and on");
    }
}

fn offered(events: &[AgentEvent]) -> &Offers {
    let mut offered = events.iter().filter_map(|event| match event {
        AgentEvent::Offered { offers } => Some(offers),
        _ => None,
    });
    offered.next_back().expect("it says what it offers")
}

/// What is chosen is the session's alone, whatever pi itself would keep of it, and outlives its process; given back, it is pi's
/// own default again. Two sessions of one owner share pi's directory.
#[tokio::test(flavor = "multi_thread")]
async fn real_pi_uses_what_is_chosen_for_its_session_alone() {
    for command in commands() {
        eprintln!("== {command}");
        let model = ModelServer::scripted();
        let models = model.models(&[("fake-1", 4096), ("fake-2", 2048)]);
        let template = tempfile::tempdir().unwrap();
        std::fs::write(
            template.path().join("settings.json"),
            r#"{"defaultProvider":"fake","defaultModel":"fake-1","defaultThinkingLevel":"low"}"#,
        )
        .unwrap();
        let mut options = options(&command, &models, template.path());
        (options.model, options.thinking_level) = (String::new(), String::new());
        let mut place = Place::new(options.clone());
        let mut other = Place::new(options);
        other.request.owner_directory = place.request.owner_directory.clone();
        let (mut session, name) = place.open().await;
        assert_eq!(name, "fake/fake-1");
        let (_, _, events) = session.ask("one").await;
        let offers = offered(&events);
        let names: Vec<&str> = offers.models.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(names, ["fake/fake-1", "fake/fake-2"]);
        assert_eq!(
            (
                offers.default_model.as_str(),
                offers.thinking_level.as_str()
            ),
            ("fake/fake-1", "low")
        );
        assert_eq!(
            (
                offers.models[1].max_output_tokens,
                offers.models[1].context_window
            ),
            (2048, 32768)
        );
        let levels = offers.models[0].thinking_levels.clone().unwrap();
        assert!(levels.contains(&"high".to_owned()) && !levels.contains(&"bogus".to_owned()));
        assert_eq!(model.asked().0, "fake-1");

        // Another choice is another process, which goes on with the conversation.
        assert!(!session.agent.takes_choices);
        drop(session);
        place.request.model = "fake/fake-2".into();
        place.request.thinking_level = "high".into();
        let (mut session, name) = place.open().await;
        assert_eq!(name, "fake/fake-2");
        let (_, text, events) = session.ask("two").await;
        assert_eq!(text, "Echo: two");
        assert_eq!(offered(&events).thinking_level, "high");
        assert_eq!(model.asked().0, "fake-2");
        let spoken = model.requests().pop().unwrap();
        assert!(
            spoken.iter().any(|it| it.to_string().contains("one")),
            "{spoken:?}"
        );
        // The other session has its own, before and after.
        let (mut second, name) = other.open().await;
        assert_eq!(name, "fake/fake-1");
        let (_, _, events) = second.ask("three").await;
        assert_eq!(offered(&events).thinking_level, "low");
        assert_eq!(model.asked().0, "fake-1");
        session.ask("four").await;
        assert_eq!(model.asked().0, "fake-2");
        // Killed, it is the same.
        session.start("SLOW").await;
        session
            .until(|it| matches!(it, AgentEvent::TextDelta { .. }))
            .await;
        session.send(AgentCommand::Kill).await;
        session.turn().await;
        let (mut session, _) = place.open().await;
        session.ask("five").await;
        assert_eq!(model.asked().0, "fake-2");
        // Given back, though pi's own file of the conversation says otherwise.
        drop(session);
        (place.request.model, place.request.thinking_level) = (String::new(), String::new());
        for _ in 0..2 {
            let (mut session, name) = place.open().await;
            assert_eq!(name, "fake/fake-1");
            let (_, _, events) = session.ask("six").await;
            assert_eq!(offered(&events).thinking_level, "low");
            assert_eq!(model.asked().0, "fake-1");
        }
        // What pi can't have is no start.
        place.request.thinking_level = "bogus".into();
        let refused = place.try_open().await.map(|_| ()).unwrap_err().to_string();
        assert!(
            refused.contains("no thinking level \"bogus\"; it has off"),
            "{refused}"
        );
    }
}

/// Runs where `QUARTERDECK_TEST_MODEL_SERVER` is a command that serves a model; `.ci/pi-real-model` sets it. Says nothing
/// about what a model of this size answers.
#[tokio::test(flavor = "multi_thread")]
async fn real_pi_with_a_real_model_keeps_to_the_protocol() {
    let Ok(server) = std::env::var("QUARTERDECK_TEST_MODEL_SERVER") else {
        eprintln!("QUARTERDECK_TEST_MODEL_SERVER is not set: a real model is not tested");
        return;
    };
    let server: Vec<&str> = server.split(' ').collect();
    for command in commands() {
        let model = ModelServer::start(&server);
        let models = model.models(&[("fake-1", 24), ("long", 2000)]);
        let template = tempfile::tempdir().unwrap();
        let mut options = options(&command, &models, template.path());
        let prompt = [
            "--no-tools",
            "--system-prompt",
            "You are a helpful assistant.",
        ];
        options.arguments.extend(prompt.map(Into::into));
        let mut place = Place::new(options);
        let (mut session, _) = place.open().await;

        // It streams, ends by the model's own reason, and says what it used.
        let (end, text, events) = session.ask("What is the capital of France?").await;
        eprintln!("== {command}\n{end:?}: {text:?}");
        assert!(
            matches!(
                end,
                Outcome::Completed(StopReason::Stop | StopReason::Length)
            ),
            "{end:?}"
        );
        let deltas = events
            .iter()
            .filter(|it| matches!(it, AgentEvent::TextDelta { .. }))
            .count();
        assert!(deltas >= 2, "{events:#?}");
        assert_eq!(streamed(&events), text);
        let used = events.iter().find_map(|event| match event {
            AgentEvent::UsageRecorded(report) => Some(report.usage),
            _ => None,
        });
        let used = used.expect("usage was recorded");
        eprintln!("{deltas} deltas, {used:?}");
        assert!(
            used.input_tokens + used.cache_read_tokens > 0
                && (2..=24).contains(&used.output_tokens)
        );
        drop(session);

        // It continues with another model, and an abort in the middle keeps what was said.
        place.request.model = "fake/long".into();
        let (mut session, name) = place.open().await;
        assert_eq!(name, "fake/long");
        session
            .start("Count from one to one thousand in words, please.")
            .await;
        session
            .until(|it| matches!(it, AgentEvent::TextDelta { .. }))
            .await;
        session.send(AgentCommand::Cancel).await;
        let events = session.turn().await;
        eprintln!("stopped at {:?}", said(&events));
        assert_eq!(outcome(&events), Outcome::Stopped);
        assert!(!said(&events).is_empty());
    }
}
