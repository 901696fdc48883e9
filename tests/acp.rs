//! `quarterdeck acp`: an editor's conversations are sessions. A real child process on standard input and output, and a real
//! server behind it.
//!
//! What it writes goes to the file of `QUARTERDECK_TEST_ACP_SAID` as well, where the gate lets the protocol's own types read
//! it afterwards.

mod support;

use quarterdeck::proto::{
    self, Answer, QuestionKind, TurnState, gateway_service_client::GatewayServiceClient,
};
use serde_json::{Value as Json, json};
use std::{
    collections::{HashMap, VecDeque},
    fs::OpenOptions,
    io::Write as _,
    process::Stdio,
};
use support::{Client, Gateway, Options, SOON, reason, run};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// An editor, with the program that it started.
struct Editor {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    sent: i64,
    /// Methods of requests that have no answer yet.
    waiting: HashMap<i64, String>,
    /// Updates that were read and not looked at.
    updates: Vec<Json>,
    /// Requests and other notifications that were read and not looked at.
    asked: VecDeque<Json>,
    answers: HashMap<i64, Json>,
}

fn command(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
    command
        .arg("acp")
        .args(arguments)
        .env("QUARTERDECK_ADDR", address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

// === impl Editor ===

impl Editor {
    /// One that shows everything, and has said so.
    async fn start(address: &str, arguments: &[&str]) -> Self {
        let mut editor = Self::silent(command(address, arguments));
        let elicitation = json!({ "form": {}, "url": {} });
        let capabilities = json!({ "fs": {}, "elicitation": elicitation });
        let params = json!({ "protocolVersion": 1, "clientCapabilities": capabilities });
        let said = editor.call("initialize", params).await;
        assert_eq!(said["protocolVersion"], 1);
        assert_eq!(said["agentCapabilities"]["loadSession"], true);
        editor
    }

    /// One that has said nothing.
    fn silent(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary runs");
        let output = child.stdout.take().expect("piped");
        Self {
            input: child.stdin.take().expect("piped"),
            output: BufReader::new(output).lines(),
            child,
            sent: 0,
            waiting: HashMap::new(),
            updates: Vec::new(),
            asked: VecDeque::new(),
            answers: HashMap::new(),
        }
    }

    async fn write(&mut self, message: &Json) {
        self.write_line(&message.to_string()).await;
    }

    async fn write_line(&mut self, line: &str) {
        let line = format!("{line}\n");
        let written = self.input.write_all(line.as_bytes()).await;
        written.expect("it reads");
    }

    async fn request(&mut self, method: &str, params: Json) -> i64 {
        self.sent += 1;
        let id = self.sent;
        self.waiting.insert(id, method.into());
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.write(&message).await;
        id
    }

    async fn notify(&mut self, method: &str, params: Json) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.write(&message).await;
    }

    /// Reads one message.
    async fn read(&mut self) {
        let line = timeout(SOON, self.output.next_line()).await;
        let line = line.expect("it says something").expect("readable");
        let message: Json = serde_json::from_str(&line.expect("it goes on")).expect("JSON");
        let id = message["id"]
            .as_i64()
            .filter(|_| message["method"].is_null());
        let answers = id.and_then(|id| self.waiting.remove(&id));
        note(&message, answers.as_deref());
        match (id, message["method"].as_str()) {
            (Some(id), _) => drop(self.answers.insert(id, message)),
            (None, Some("session/update")) => self.updates.push(message["params"].clone()),
            (None, _) => self.asked.push_back(message),
        }
    }

    /// The answer to a request: its result, or its error.
    async fn answer(&mut self, id: i64) -> Result<Json, Json> {
        while !self.answers.contains_key(&id) {
            self.read().await;
        }
        let answer = self.answers.remove(&id).expect("it is there");
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(answer["error"].clone()),
        }
    }

    async fn call(&mut self, method: &str, params: Json) -> Json {
        let id = self.request(method, params).await;
        self.answer(id).await.expect("it is no error")
    }

    async fn refused(&mut self, method: &str, params: Json) -> Json {
        let id = self.request(method, params).await;
        self.answer(id).await.expect_err("it is an error")
    }

    /// A new conversation.
    async fn open(&mut self) -> String {
        let made = self
            .call("session/new", json!({ "cwd": "/", "mcpServers": [] }))
            .await;
        made["sessionId"].as_str().expect("an id").to_owned()
    }

    async fn prompt(&mut self, session: &str, text: &str) -> i64 {
        let prompt = json!([{ "type": "text", "text": text }]);
        let params = json!({ "sessionId": session, "prompt": prompt });
        self.request("session/prompt", params).await
    }

    /// Prompts, and waits for why the turn stopped.
    async fn say(&mut self, session: &str, text: &str) -> String {
        let id = self.prompt(session, text).await;
        let answer = self.answer(id).await.expect("it is no error");
        answer["stopReason"].as_str().expect("a reason").to_owned()
    }

    /// The next request of the program's, or what it says besides.
    async fn next_asked(&mut self) -> Json {
        while self.asked.is_empty() {
            self.read().await;
        }
        self.asked.pop_front().expect("it is there")
    }

    async fn give(&mut self, asked: &Json, result: Json) {
        let message = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
        self.write(&message).await;
    }

    /// Reads until an update fits, which is taken with all before it.
    async fn hears(&mut self, fits: impl Fn(&Json) -> bool) -> Json {
        loop {
            if let Some(at) = self.updates.iter().position(|it| fits(&it["update"])) {
                let update = self.updates.drain(..=at).next_back().expect("it is there");
                return update["update"].clone();
            }
            self.read().await;
        }
    }

    /// What was heard of one kind, put together.
    fn text(&self, kind: &str) -> String {
        let updates = self.updates.iter().map(|it| &it["update"]);
        let of_kind = updates.filter(|it| it["sessionUpdate"] == kind);
        let texts = of_kind.map(|it| it["content"]["text"].as_str().unwrap_or_default());
        texts.collect()
    }

    fn of_kind(&self, kind: &str) -> Vec<Json> {
        let updates = self.updates.iter().map(|it| it["update"].clone());
        updates.filter(|it| it["sessionUpdate"] == kind).collect()
    }

    /// It goes; the program ends well.
    async fn leave(mut self) {
        drop(self.input);
        let ended = timeout(SOON, self.child.wait()).await.expect("it ends");
        assert!(ended.expect("ours").success());
    }
}

/// Keeps a message for the protocol's own types.
fn note(message: &Json, answers: Option<&str>) {
    let Ok(file) = std::env::var("QUARTERDECK_TEST_ACP_SAID") else {
        return;
    };
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .expect("a file");
    let line = json!({ "answers": answers, "line": message });
    file.write_all(format!("{line}\n").as_bytes())
        .expect("it is written");
}

fn chosen(option: &str) -> Json {
    json!({ "outcome": { "outcome": "selected", "optionId": option } })
}

async fn turns(client: &mut Client, session: &str) -> Vec<proto::Turn> {
    let request = proto::ListTurnsRequest {
        session_key: session.into(),
        ..Default::default()
    };
    client
        .list_turns(request)
        .await
        .expect("listed")
        .into_inner()
        .turns
}

#[tokio::test]
async fn a_prompt_is_a_turn_and_all_that_it_does_is_told() {
    let gateway = Gateway::start();
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let session = editor.open().await;
    let stopped = editor
        .say(
            &session,
            "!think=hm !plan=first,then !tool=calculator hello there",
        )
        .await;
    assert_eq!(stopped, "end_turn");
    assert_eq!(editor.text("agent_message_chunk"), "hello there");
    assert_eq!(editor.text("agent_thought_chunk"), "hm");
    assert_eq!(
        editor.text("user_message_chunk"),
        "",
        "its own prompt is shown already"
    );
    let plan = editor.of_kind("plan");
    assert_eq!(plan[0]["entries"][1]["content"], "then");
    let call = &editor.of_kind("tool_call")[0];
    assert_eq!(
        (&call["title"], &call["status"]),
        (&json!("calculator"), &json!("in_progress"))
    );
    let updates = editor.of_kind("tool_call_update");
    let last = updates.last().expect("it ended");
    assert_eq!(
        (&last["toolCallId"], &last["status"]),
        (&call["toolCallId"], &json!("completed"))
    );
    let mut client = gateway.client().await;
    let turns = turns(&mut client, &session).await;
    assert_eq!((turns.len(), turns[0].source.as_str()), (1, "acp"));
    // A second turn has calls of its own.
    editor.updates.clear();
    editor.say(&session, "!tool=calculator again").await;
    assert_ne!(
        editor.of_kind("tool_call")[0]["toolCallId"],
        call["toolCallId"]
    );
    editor.leave().await;
}

/// `cancelled` is a stop that is proven, and what ends otherwise is no such stop.
#[tokio::test]
async fn a_stop_is_told_when_it_is_proven() {
    let gateway = Gateway::start();
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let session = editor.open().await;
    let hanging = editor.prompt(&session, "!hang x").await;
    let waiting = editor.prompt(&session, "next").await;
    editor
        .notify("session/cancel", json!({ "sessionId": session }))
        .await;
    for id in [hanging, waiting] {
        assert_eq!(
            editor.answer(id).await.expect("stopped")["stopReason"],
            "cancelled"
        );
    }
    let mut client = gateway.client().await;
    let states: Vec<TurnState> = turns(&mut client, &session)
        .await
        .iter()
        .map(proto::Turn::state)
        .collect();
    assert_eq!(states[1], TurnState::Canceled);
    assert!(
        states[0] == TurnState::Rejected || states[0] == TurnState::Canceled,
        "{states:?}"
    );
    // Nothing runs: nothing is stopped, and what comes then is not stopped either.
    editor
        .notify("session/cancel", json!({ "sessionId": session }))
        .await;
    assert_eq!(editor.say(&session, "after").await, "end_turn");
    let failing = editor.prompt(&session, "!fail=no_luck").await;
    let error = editor.answer(failing).await.expect_err("it failed");
    assert!(
        error["message"].as_str().unwrap().contains("AGENT_ERROR"),
        "{error}"
    );
}

#[tokio::test]
async fn permissions_are_asked_for_in_the_editor() {
    let gateway = Gateway::start();
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let session = editor.open().await;
    for (result, said) in [
        (chosen("allow"), "[bash: allowed] done"),
        (chosen("deny"), "[bash: denied] done"),
        (
            json!({ "outcome": { "outcome": "cancelled" } }),
            "[bash: denied] done",
        ),
    ] {
        editor.updates.clear();
        let id = editor.prompt(&session, "!ask=bash done").await;
        let asked = editor.next_asked().await;
        assert_eq!(asked["method"], "session/request_permission");
        let params = &asked["params"];
        assert_eq!(params["sessionId"], session);
        let kinds = params["options"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["kind"]);
        assert_eq!(kinds.collect::<Vec<_>>(), ["allow_once", "reject_once"]);
        let call = &editor.of_kind("tool_call")[0];
        assert_eq!(call["toolCallId"], params["toolCall"]["toolCallId"]);
        assert_eq!(call["status"], "pending");
        editor.give(&asked, result).await;
        assert_eq!(
            editor.answer(id).await.expect("it ends")["stopReason"],
            "end_turn"
        );
        assert_eq!(editor.text("agent_message_chunk"), said);
    }
}

/// Whoever answers first is heard; the editor is told that nobody waits any more, and what it says then counts for nothing.
#[tokio::test]
async fn a_question_that_somebody_else_answers_is_taken_back() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let session = editor.open().await;
    let id = editor.prompt(&session, "!ask=bash done").await;
    let asked = editor.next_asked().await;
    answer(&mut client, &session, "deny").await;
    let taken_back = editor.next_asked().await;
    assert_eq!(taken_back["method"], "$/cancel_request");
    assert_eq!(taken_back["params"]["requestId"], asked["id"]);
    editor.give(&asked, chosen("allow")).await;
    assert_eq!(
        editor.answer(id).await.expect("it ends")["stopReason"],
        "end_turn"
    );
    assert_eq!(editor.text("agent_message_chunk"), "[bash: denied] done");
    // A stop takes it back, too.
    let id = editor.prompt(&session, "!ask=bash done").await;
    let asked = editor.next_asked().await;
    editor
        .notify("session/cancel", json!({ "sessionId": session }))
        .await;
    let cancelled = json!({ "outcome": { "outcome": "cancelled" } });
    editor.give(&asked, cancelled).await;
    assert_eq!(
        editor.answer(id).await.expect("it ends")["stopReason"],
        "cancelled"
    );
}

/// Answers what the session waits for, as another client.
async fn answer(client: &mut Client, session: &str, option: &str) {
    let request = proto::ListQuestionsRequest {
        session_key: session.into(),
        ..Default::default()
    };
    let listed = client
        .list_questions(request)
        .await
        .expect("listed")
        .into_inner();
    let question = listed.questions.first().expect("it waits");
    let request = proto::AnswerQuestionRequest {
        session_key: session.into(),
        question_id: question.question_id.clone(),
        action_digest: question.action_digest.clone(),
        answer: Some(Answer {
            option_id: option.into(),
            declined: question.kind() == QuestionKind::Form,
            ..Answer::default()
        }),
        ..Default::default()
    };
    client.answer_question(request).await.expect("answered");
}

#[tokio::test]
async fn forms_and_links_are_shown_where_the_editor_can() {
    let gateway = Gateway::start();
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let session = editor.open().await;
    let id = editor
        .prompt(&session, "!form=city !link=https://example.org/x done")
        .await;
    for _ in 0..2 {
        let asked = editor.next_asked().await;
        assert_eq!(asked["method"], "elicitation/create");
        let result = match asked["params"]["mode"].as_str() {
            Some("form") => {
                let schema = &asked["params"]["requestedSchema"];
                assert!(schema["properties"]["city"].is_object(), "{schema}");
                json!({ "action": "accept", "content": { "city": "Ghent" } })
            }
            _ => {
                assert_eq!(asked["params"]["url"], "https://example.org/x");
                json!({ "action": "accept" })
            }
        };
        editor.give(&asked, result).await;
    }
    assert_eq!(
        editor.answer(id).await.expect("it ends")["stopReason"],
        "end_turn"
    );
    let text = editor.text("agent_message_chunk");
    assert!(
        text.contains("Ghent") && text.contains("[link: done]"),
        "{text}"
    );
    // One that can't is not asked, and the turn waits for somebody who can.
    let mut plain = Editor::silent(command(&gateway.address, &[]));
    plain
        .call("initialize", json!({ "protocolVersion": 1 }))
        .await;
    let session = plain.open().await;
    let id = plain.prompt(&session, "!form=city done").await;
    let mut client = gateway.client().await;
    waits(&mut client, &session).await;
    answer(&mut client, &session, "").await;
    assert_eq!(
        plain.answer(id).await.expect("it ends")["stopReason"],
        "end_turn"
    );
    assert!(plain.asked.is_empty(), "{:?}", plain.asked);
}

/// Returns once the session's turn asks.
async fn waits(client: &mut Client, session: &str) {
    let mut turn_id = String::new();
    while turn_id.is_empty() {
        let turns = turns(client, session).await;
        turn_id = turns
            .first()
            .map(|it| it.turn_id.clone())
            .unwrap_or_default();
    }
    let request = proto::AwaitTurnRequest {
        session_key: session.into(),
        turn_id,
        or_question: true,
        ..Default::default()
    };
    let awaited = timeout(SOON, client.await_turn(request)).await;
    let awaited = awaited.expect("in time").expect("awaited").into_inner();
    assert!(!awaited.questions.is_empty());
}

/// A session that others use is told whole, whoever prompts it.
#[tokio::test]
async fn what_others_say_is_told_too() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    run(&mut client, "shared", "before").await;
    let mut editor = Editor::start(&gateway.address, &["--session", "shared"]).await;
    assert_eq!(editor.open().await, "shared");
    run(&mut client, "shared", "!think=hm from elsewhere").await;
    let said = |kind: &'static str, text: &'static str| {
        move |it: &Json| {
            let heard = it["content"]["text"].as_str().unwrap_or_default();
            it["sessionUpdate"] == kind && heard.contains(text)
        }
    };
    editor
        .hears(said("user_message_chunk", "from elsewhere"))
        .await;
    editor.hears(said("agent_thought_chunk", "hm")).await;
    editor.hears(said("agent_message_chunk", "elsewhere")).await;
    assert_eq!(editor.say("shared", "!history x").await, "end_turn");
    editor.hears(said("agent_message_chunk", "2")).await;
}

/// R10: a conversation is told again after everything was started anew, and goes on.
#[tokio::test]
async fn a_conversation_is_loaded_after_a_restart() {
    let mut gateway = Gateway::start();
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let session = editor.open().await;
    editor
        .say(&session, "!think=hm !tool=calculator !plan=a one")
        .await;
    let image = json!([
        { "type": "text", "text": "!history two" },
        { "type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo=" },
    ]);
    let params = json!({ "sessionId": session, "prompt": image });
    assert_eq!(
        editor.call("session/prompt", params).await["stopReason"],
        "end_turn"
    );
    editor.leave().await;
    gateway.kill();
    gateway.restart();
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let params = json!({ "sessionId": session, "cwd": "/", "mcpServers": [] });
    editor.call("session/load", params.clone()).await;
    assert_eq!(
        editor.text("user_message_chunk"),
        "!think=hm !tool=calculator !plan=a one!history two"
    );
    assert_eq!(editor.text("agent_message_chunk"), "one1");
    assert_eq!(editor.text("agent_thought_chunk"), "hm");
    assert_eq!(editor.of_kind("tool_call")[0]["status"], "completed");
    assert_eq!(editor.of_kind("plan")[0]["entries"][0]["content"], "a");
    let files = editor.of_kind("user_message_chunk");
    let files = files
        .iter()
        .filter(|it| it["content"]["type"] == "resource_link");
    assert_eq!(files.count(), 1);
    editor.updates.clear();
    assert_eq!(editor.say(&session, "!history three").await, "end_turn");
    assert_eq!(editor.text("agent_message_chunk"), "2");
    // Loaded once more, the turn that waits is followed and its question asked.
    let waiting = editor.prompt(&session, "!ask=bash done").await;
    editor.next_asked().await;
    editor.updates.clear();
    let load = editor.request("session/load", params).await;
    editor
        .answer(waiting)
        .await
        .expect_err("its session was loaded anew");
    editor.answer(load).await.expect("loaded");
    let asked = loop {
        let asked = editor.next_asked().await;
        if asked["method"] == "session/request_permission" {
            break asked;
        }
    };
    editor.give(&asked, chosen("allow")).await;
    editor.hears(|it| it["content"]["text"] == "done").await;
    let error = editor
        .refused(
            "session/load",
            json!({ "sessionId": "nobody", "cwd": "/", "mcpServers": [] }),
        )
        .await;
    assert_eq!(error["code"], -32002);
}

/// R10: a server that is killed under a turn is waited for; its turn did not end well, and the next one does.
#[tokio::test]
async fn a_server_that_is_killed_is_waited_for() {
    let mut gateway = Gateway::start();
    let socket = gateway.data().join("quarterdeck.sock");
    let address = format!("unix:{}", socket.display());
    let mut editor = Editor::start(&address, &[]).await;
    let session = editor.open().await;
    let text = "!delay=20ms !repeat=5000 tick";
    let id = editor.prompt(&session, text).await;
    editor
        .hears(|it| it["sessionUpdate"] == "agent_message_chunk")
        .await;
    gateway.kill();
    gateway.restart();
    let error = editor.answer(id).await.expect_err("it was interrupted");
    let message = error["message"].as_str().unwrap();
    assert!(!message.is_empty(), "{error}");
    editor.updates.clear();
    assert_eq!(editor.say(&session, "here again").await, "end_turn");
    assert_eq!(editor.text("agent_message_chunk"), "here again");
}

#[tokio::test]
async fn models_options_and_commands_can_be_chosen() {
    let gateway = Gateway::start();
    let mut editor = Editor::start(&gateway.address, &["--agent", "echo"]).await;
    let session = editor.open().await;
    assert_eq!(editor.say(&session, "hello").await, "end_turn");
    editor
        .hears(|it| {
            let commands = it["availableCommands"].as_array();
            commands.is_some_and(|all| all.iter().any(|it| it["name"] == "upper"))
        })
        .await;
    editor.updates.clear();
    assert_eq!(editor.say(&session, "/upper abc").await, "end_turn");
    assert_eq!(editor.text("agent_message_chunk"), "ABC");
    let option = |options: &Json, id: &str| {
        let options = options["configOptions"].as_array().unwrap();
        options.iter().find(|it| it["id"] == id).cloned()
    };
    let choose =
        |id: &str, value: &str| json!({ "sessionId": session, "configId": id, "value": value });
    let chosen = editor
        .call("session/set_config_option", choose("model", "echo/deep"))
        .await;
    assert_eq!(
        option(&chosen, "model").unwrap()["currentValue"],
        "echo/deep"
    );
    assert_eq!(
        option(&chosen, "thinking_level").unwrap()["currentValue"],
        "default"
    );
    let chosen = editor
        .call(
            "session/set_config_option",
            choose("thinking_level", "high"),
        )
        .await;
    assert_eq!(
        option(&chosen, "thinking_level").unwrap()["currentValue"],
        "high"
    );
    let chosen = editor
        .call("session/set_config_option", choose("style", "brisk"))
        .await;
    assert_eq!(option(&chosen, "style").unwrap()["currentValue"], "brisk");
    let chosen = editor
        .call("session/set_config_option", choose("model", "default"))
        .await;
    assert_eq!(option(&chosen, "model").unwrap()["currentValue"], "default");
    let error = editor
        .refused("session/set_config_option", choose("nothing", "x"))
        .await;
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("OPTION_NOT_FOUND"),
        "{error}"
    );
}

/// An agent of the same protocol behind the server: what it offers and gives comes through.
#[tokio::test]
async fn an_agent_of_the_same_protocol_shows_its_modes_and_pictures() {
    let gateway = Gateway::with(Options {
        config: scripted(),
        ..Options::default()
    });
    let mut editor = Editor::start(&gateway.address, &[]).await;
    let session = editor.open().await;
    assert_eq!(editor.say(&session, "picture").await, "end_turn");
    let update = editor
        .hears(|it| it["sessionUpdate"] == "tool_call_update" && it["status"] == "completed")
        .await;
    let kinds = update["content"].as_array().unwrap().iter();
    let kinds: Vec<&Json> = kinds.map(|it| &it["content"]["type"]).collect();
    assert!(kinds.contains(&&json!("text")), "{update}");
    let params = json!({ "cwd": "/", "mcpServers": [] });
    let made = editor.call("session/new", params).await;
    assert_eq!(made["modes"]["currentModeId"], "ask");
    let other = made["sessionId"].as_str().unwrap().to_owned();
    let trust = json!({ "sessionId": other, "modeId": "trust" });
    editor.call("session/set_mode", trust).await;
    let again = json!({ "sessionId": other, "cwd": "/", "mcpServers": [] });
    let loaded = editor.call("session/load", again).await;
    assert_eq!(loaded["modes"]["currentModeId"], "trust");
    assert_eq!(editor.say(&other, "opened").await, "end_turn");
    assert!(editor.text("agent_message_chunk").contains("trust"));
}

/// The scripted agent, as it is.
fn scripted() -> String {
    // A version manager's shim needs files that an isolated agent does not see.
    let asked = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("the tests need python3");
    let python = String::from_utf8(asked.stdout).expect("its path is text");
    let python = python.trim();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_acp.py");
    format!(
        "default_agent = \"mine\"\nisolation = \"none\"\n[agents.mine]\ndriver = \"acp\"\n\
         command = [{python:?}, {script:?}]\n"
    )
}

/// The editor's directory where the agent may work there, else one of its own, which is said.
#[tokio::test]
async fn a_conversation_works_where_the_editor_is_if_it_may() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().canonicalize().expect("it is there");
    let gateway = Gateway::with(Options {
        arguments: vec!["--allow-cwd".into(), place.clone().into()],
        ..Options::default()
    });
    let mut client = gateway.client().await;
    let mut command = command(&gateway.address, &[]);
    command.stderr(Stdio::piped());
    let mut editor = Editor::silent(command);
    let mut stderr = editor.child.stderr.take().expect("piped");
    let place = place.to_str().expect("UTF-8");
    for (cwd, works_in) in [(place, place), ("/", "")] {
        let params = json!({ "cwd": cwd, "mcpServers": [] });
        let made = editor.call("session/new", params).await;
        let request = proto::GetSessionRequest {
            session_key: made["sessionId"].as_str().unwrap().into(),
            ..Default::default()
        };
        let session = client
            .get_session(request)
            .await
            .expect("read")
            .into_inner();
        assert_eq!(session.session.unwrap().cwd, works_in);
    }
    let more = json!({ "cwd": place, "mcpServers": [], "additionalDirectories": ["/tmp"] });
    assert_eq!(editor.refused("session/new", more).await["code"], -32602);
    editor.leave().await;
    let mut said = String::new();
    stderr.read_to_string(&mut said).await.expect("UTF-8");
    assert!(said.contains("a directory of its own"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_is_an_error_and_the_rest_goes_on() {
    let gateway = Gateway::start();
    let mut editor = Editor::start(&gateway.address, &[]).await;
    editor.write_line("no JSON").await;
    editor.write_line("").await;
    let wrong = editor.next_asked().await;
    assert_eq!(
        (&wrong["id"], &wrong["error"]["code"]),
        (&Json::Null, &json!(-32700))
    );
    assert_eq!(
        editor.refused("session/nothing", json!({})).await["code"],
        -32601
    );
    let text = json!([{ "type": "text", "text": "x" }]);
    let unknown = json!({ "sessionId": "nobody", "prompt": text });
    assert_eq!(
        editor.refused("session/prompt", unknown).await["code"],
        -32002
    );
    let session = editor.open().await;
    let sound = json!([{ "type": "audio", "mimeType": "audio/wav", "data": "" }]);
    let params = json!({ "sessionId": session, "prompt": sound });
    assert_eq!(
        editor.refused("session/prompt", params).await["code"],
        -32602
    );
    let empty = json!({ "sessionId": session, "prompt": [] });
    assert_eq!(
        editor.refused("session/prompt", empty).await["code"],
        -32602
    );
    assert_eq!(editor.say(&session, "still here").await, "end_turn");
    // Whoever leaves stops nothing.
    editor
        .prompt(&session, "!think=hm !delay=20ms !repeat=20 tick")
        .await;
    editor
        .hears(|it| it["sessionUpdate"] == "agent_thought_chunk")
        .await;
    editor.leave().await;
    let mut client = gateway.client().await;
    let turn_id = turns(&mut client, &session).await[0].turn_id.clone();
    let turn = support::await_turn(&mut client, &session, &turn_id).await;
    assert_eq!(turn.state(), TurnState::Completed);
}

/// Who may not call is told so before the protocol begins.
#[tokio::test]
async fn without_a_key_nothing_is_served() {
    let gateway = Gateway::with(Options {
        environment: vec![("QUARTERDECK_NO_AUTH".into(), "false".into())],
        ..Options::default()
    });
    let refused = GatewayServiceClient::connect(gateway.address.clone())
        .await
        .expect("a server")
        .get_session(proto::GetSessionRequest::default())
        .await
        .expect_err("no key");
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
    let mut command = command(&gateway.address, &[]);
    command.stderr(Stdio::piped()).current_dir("/");
    let output = timeout(SOON, command.output()).await.expect("it ends");
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(output.stdout.is_empty());
    let key = gateway.data().join("admin.key");
    let key_file = key.to_str().expect("UTF-8");
    let mut editor = Editor::start(&gateway.address, &["--key-file", key_file]).await;
    let session = editor.open().await;
    assert_eq!(editor.say(&session, "hello").await, "end_turn");
}
