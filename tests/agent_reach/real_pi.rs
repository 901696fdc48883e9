//! The same with real pi and a scripted model. Runs where `QUARTERDECK_TEST_PI` lists pi commands, see
//! `.ci/install-pi`; without it these tests say so and pass.

use crate::{
    credential::run,
    support::Gateway,
    world::{self, Caller},
};
use quarterdeck::proto;
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A scripted model; ended with the test.
struct Model(Child);

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Model {
    /// Starts; with its port.
    fn start() -> (Self, u16) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_llm.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let output = BufReader::new(process.stdout.take().unwrap());
        let port = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok());
        (Self(process), port.expect("it says where it listens"))
    }
}

/// The commands of real pi; none where there is none.
fn commands() -> Vec<String> {
    let commands = std::env::var("QUARTERDECK_TEST_PI").unwrap_or_default();
    if commands.is_empty() {
        eprintln!("QUARTERDECK_TEST_PI is not set: real pi is not tested");
    }
    let commands = commands.split(':').filter(|it| !it.is_empty());
    commands.map(str::to_owned).collect()
}

/// A gateway whose agent is that pi, with the model at this port; `template` is where pi's settings are put.
fn start(command: &str, port: u16, template: &Path, more: &str) -> Gateway {
    let models = serde_json::json!({ "providers": { "fake": {
        "baseUrl": format!("http://127.0.0.1:{port}/v1"),
        "api": "openai-completions",
        "apiKey": "no-key",
        "compat": { "supportsDeveloperRole": false, "supportsReasoningEffort": false, "supportsStore": false },
        "models": [{ "id": "fake-1", "contextWindow": 32768, "maxTokens": 4096 }],
    } } });
    std::fs::write(template.join("models.json"), models.to_string()).unwrap();
    // The command is a script that names the directories beside its own.
    let tools = Path::new(command).ancestors().nth(2);
    let tools = tools.expect("it is in .tools/bin").canonicalize();
    let tools = tools.expect("it is there");
    let config = format!(
        "default_agent = \"pi\"\nisolation_read = [{tools:?}]\n{more}\n[agents.pi]\ncommand = [{command:?}]\n\
         args = [\"-ne\", \"-ns\", \"-np\", \"-nc\"]\ntemplate_dir = {template:?}\nmodel = \"fake/fake-1\"\n\
         thinking_level = \"off\"\nstart_timeout = \"120s\"\n"
    );
    world::start_with(&[], &config)
}

/// What a model that was talked into it has pi try: prints what it got.
const ATTEMPTS: &str = "cat DATA/admin.key; cat DATA/pepper; head -c 16 DATA/quarterdeck.db; cat /proc/SERVER/environ; \
    kill -STOP SERVER && echo signalled; \
    /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"DATA/quarterdeck.sock\"); print(\"connected\")'; \
    echo planted > OUTSIDE/planted && cat OUTSIDE/planted";

/// What a coding agent does all day.
const WORK: &str = "git init -q r && cd r && echo a > a && git add a && git -c user.name=a -c user.email=a@b commit -qm a && \
    node -e 'console.log(1)' && npm --version && /usr/bin/python3 -c 'print(2)' && \
    printf 'int main() { return 0; }' > a.c && cc a.c -o a.out && ./a.out && echo all works";

/// Real pi with a model that does what a stranger's text told it to: it reaches nothing, and its tools work.
#[tokio::test]
async fn real_pi_that_is_talked_into_it_reaches_nothing_and_works() {
    for command in commands() {
        for rung in ["namespace", "landlock"] {
            eprintln!("== {command} on {rung}");
            let (_model, port) = Model::start();
            let template = tempfile::tempdir().unwrap();
            let outside = tempfile::tempdir_in("/var/tmp").unwrap();
            let isolation = format!("isolation = {rung:?}");
            let gateway = start(&command, port, template.path(), &isolation);
            let caller = Caller::admin(&gateway).await;
            let attempts = ATTEMPTS
                .replace("DATA", gateway.data().to_str().expect("UTF-8"))
                .replace("SERVER", &gateway.pid().to_string())
                .replace("OUTSIDE", outside.path().to_str().expect("UTF-8"));
            let script = format!("RUN ({attempts}) > got 2> refused; ({WORK}) > worked 2>&1; true");
            let said = run(&caller, "s", &script).await;
            assert!(said.contains("Ran it."), "{said}");
            let sessions = gateway.data().join("sessions");
            let session = std::fs::read_dir(sessions)
                .unwrap()
                .flatten()
                .next()
                .expect("one");
            let read = |name: &str| {
                let file = session.path().join("work").join(name);
                std::fs::read_to_string(file).expect(name)
            };
            assert_eq!(read("got"), "", "on {rung}");
            assert!(read("refused").lines().count() >= 7, "{}", read("refused"));
            assert!(
                read("worked").ends_with("all works\n"),
                "on {rung}: {}",
                read("worked")
            );
            assert!(!outside.path().join("planted").exists());
        }
    }
}

/// pi's extension gives the model the session's memory tools, and they work.
#[tokio::test]
async fn real_pi_uses_the_memory_tools_of_its_session() {
    for command in commands() {
        eprintln!("== {command}");
        let (_model, port) = Model::start();
        let template = tempfile::tempdir().unwrap();
        let gateway = start(&command, port, template.path(), "");
        let caller = Caller::admin(&gateway).await;
        let call = r#"CALL memory_remember {"content": "the anchor weighs 300 kilos"}"#;
        let said = run(&caller, "s", call).await;
        assert!(said.contains("Got: Remembered."), "{said}");
        let call = r#"CALL memory_search {"query": "anchor"}"#;
        let said = run(&caller, "s", call).await;
        assert!(said.contains("300 kilos"), "{said}");
        // A refusal reaches the model as one.
        let said = run(&caller, "s", r#"CALL memory_remember {"content": " "}"#).await;
        assert!(said.contains("blank"), "{said}");
    }
}

/// pi's turn is answered by a schema: its model gives the output by the gateway's tool, is told what is wrong with it, and is
/// reminded where it gave none.
#[tokio::test]
async fn real_pi_gives_its_output_by_the_gateways_tool() {
    for command in commands() {
        eprintln!("== {command}");
        let (_model, port) = Model::start();
        let template = tempfile::tempdir().unwrap();
        let gateway = start(&command, port, template.path(), "");
        let caller = Caller::admin(&gateway).await;
        let ask = async |text: &str| {
            let request = proto::EnqueueRequest {
                session_key: "s".into(),
                text: text.into(),
                output_schema:
                    r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#
                        .into(),
                ..Default::default()
            };
            let accepted = caller
                .gateway()
                .enqueue(request)
                .await
                .expect("it is accepted");
            let turn_id = accepted.into_inner().turn.expect("a turn").turn_id;
            let request = proto::AwaitTurnRequest {
                session_key: "s".into(),
                turn_id,
                wait: Some(prost_types::Duration {
                    seconds: 120,
                    nanos: 0,
                }),
                or_question: false,
            };
            let awaited = caller.gateway().await_turn(request).await.expect("known");
            awaited.into_inner().turn.expect("a turn")
        };
        let turn = ask(r#"CALL submit_result {"result": {"n": 1}}"#).await;
        assert_eq!(turn.state(), proto::TurnState::Completed, "{turn:?}");
        assert_eq!(turn.output_json, r#"{"n":1}"#);
        let turn = ask(r#"CALL submit_result {"result": {"n": "one"}}"#).await;
        assert_eq!(turn.state(), proto::TurnState::Failed);
        assert_eq!(turn.error.expect("an error").reason, "OUTPUT_INVALID");
        let turn = ask("SAY nothing").await;
        assert_eq!(turn.error.expect("an error").reason, "OUTPUT_INVALID");
    }
}

/// A fork's pi goes on with a copy of the conversation up to the turn that was forked, and nobody tells it again.
#[tokio::test]
async fn a_fork_of_real_pi_remembers_up_to_its_turn() {
    for command in commands() {
        eprintln!("== {command}");
        let (_model, port) = Model::start();
        let template = tempfile::tempdir().unwrap();
        let gateway = start(&command, port, template.path(), "");
        let caller = Caller::admin(&gateway).await;
        run(&caller, "s", "the first").await;
        let request = proto::ListTurnsRequest {
            session_key: "s".into(),
            ..Default::default()
        };
        let turns = caller.gateway().list_turns(request).await;
        let turn_id = turns.expect("listed").into_inner().turns[0].turn_id.clone();
        run(&caller, "s", "the second").await;
        let request = proto::ForkSessionRequest {
            session_key: "s".into(),
            new_session_key: "copy".into(),
            turn_id,
            ..Default::default()
        };
        caller
            .gateway()
            .fork_session(request)
            .await
            .expect("forked");
        let said = run(&caller, "copy", "HISTORY").await;
        assert!(said.contains('2'), "the first and this one: {said}");
        let said = run(&caller, "s", "HISTORY").await;
        assert!(said.contains('3'), "the fork changed nothing: {said}");
        let request = proto::ReadEventsRequest {
            session_key: "copy".into(),
            kinds: vec!["context_rebuilt".into()],
            ..Default::default()
        };
        let told = caller.gateway().read_events(request).await;
        assert!(told.expect("read").into_inner().events.is_empty());
    }
}

/// What begins with a slash is a text to pi, and it shortens its conversation when it is told to.
#[tokio::test]
async fn real_pi_takes_a_slash_for_a_text_and_compacts_on_request() {
    for command in commands() {
        eprintln!("== {command}");
        let (_model, port) = Model::start();
        let template = tempfile::tempdir().unwrap();
        let gateway = start(&command, port, template.path(), "");
        let caller = Caller::admin(&gateway).await;
        let said = run(&caller, "s", "/skill:none of it").await;
        assert!(said.contains("/skill:none of it"), "{said}");
        let request = proto::CompactSessionRequest {
            session_key: "s".into(),
            ..Default::default()
        };
        let accepted = caller.gateway().compact_session(request).await;
        let turn = accepted
            .expect("accepted")
            .into_inner()
            .turn
            .expect("a turn");
        let request = proto::AwaitTurnRequest {
            session_key: "s".into(),
            turn_id: turn.turn_id,
            ..Default::default()
        };
        let ended = caller.gateway().await_turn(request).await.expect("ended");
        let ended = ended.into_inner().turn.expect("a turn");
        // So short a conversation may be one that pi does not shorten; it says so then.
        let why = ended.error.map(|error| error.message).unwrap_or_default();
        assert!(
            why.is_empty() || why.contains("Nothing to compact"),
            "{why}"
        );
    }
}
