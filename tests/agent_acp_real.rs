//! The ACP driver against real agents and a scripted model.
//!
//! Runs where `QUARTERDECK_TEST_ACP` lists agents, `NAME=COMMAND` separated by `:`; `.ci/install-acp` installs the pinned ones and
//! prints the list. Without it these tests say so and pass.

mod agent_acp_support;
#[path = "agent_support/mod.rs"]
mod support;

use agent_acp_support::{COMPLETED, PATIENCE, Place, Session, completed, outcome, said, usages};
use quarterdeck::{
    agent::{
        AgentCommand, AgentEvent, Driver as _, Outcome,
        acp::AcpOptions,
        echo::Echo,
        llm::{Api, Endpoint, LlmDriver, LlmOptions, ModelName},
        pi::{PiDriver, PiOptions},
        process::ProcessLimits,
    },
    domain::{
        agent::{Capabilities, ToolPolicySupport, UsageReports},
        offers::{Choices, Offers},
        question::{Ask, OptionEffect},
    },
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};
use support::{eventually, fixture};
use tempfile::TempDir;

/// A model's endpoint; ended with the test.
struct ModelServer {
    process: Child,
    port: u16,
}

/// A real agent with a model, and what makes it do things.
struct Real {
    place: Place,
    options: AcpOptions,
    model: ModelServer,
    /// Runs this in a shell, by the tool that the agent has for that, and with a permission if it asks for some.
    shell: fn(&str) -> String,
    _template: TempDir,
}

// === impl ModelServer ===

impl ModelServer {
    fn start() -> Self {
        let mut process = Command::new("python3")
            .arg(fixture("fake_llm.py"))
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

    /// What the model was given in all requests so far.
    fn requests(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: model\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let requests: Vec<Value> = serde_json::from_str(body).unwrap();
        requests.iter().map(Value::to_string).collect()
    }

    /// The models that were asked for so far.
    fn asked(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"GET /asked HTTP/1.1\r\nhost: model\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let asked: Vec<(String, Option<String>)> = serde_json::from_str(body).unwrap();
        asked.into_iter().map(|(model, _)| model).collect()
    }

    /// Whether a request holds this.
    fn was_told(&self, text: &str) -> bool {
        self.requests().iter().any(|it| it.contains(text))
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command of an agent; `None`, and a word about it, where it is not installed.
fn command(name: &str) -> Option<String> {
    let list = std::env::var("QUARTERDECK_TEST_ACP").unwrap_or_default();
    let mut named = list.split(':').filter_map(|it| it.split_once('='));
    let command = named.find(|(found, _)| *found == name);
    if command.is_none() {
        eprintln!("QUARTERDECK_TEST_ACP does not name {name}: the real one is not tested");
    }
    command.map(|(_, command)| command.to_owned())
}

fn write(template: &Path, name: &str, text: &str) {
    let file = template.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

impl Real {
    /// `files` are what its home begins with, `environment` what it is given, by the port of its model.
    fn new(
        command: String,
        mode: &str,
        files: impl FnOnce(u16) -> Vec<(&'static str, String)>,
        environment: impl FnOnce(u16) -> Vec<(&'static str, String)>,
        shell: fn(&str) -> String,
    ) -> Self {
        let model = ModelServer::start();
        let template = tempfile::tempdir().unwrap();
        for (name, text) in files(model.port) {
            write(template.path(), name, &text);
        }
        let environment = environment(model.port).into_iter();
        let (command, arguments) = match command.split_once(' ') {
            Some((command, arguments)) => (command.to_owned(), arguments.to_owned()),
            None => (command, String::new()),
        };
        let options = AcpOptions {
            command: vec![command],
            arguments: arguments.split_whitespace().map(Into::into).collect(),
            environment: environment.map(|(name, it)| (name.into(), it)).collect(),
            template_directory: Some(template.path().into()),
            mode: mode.into(),
            start_timeout: PATIENCE,
            limits: ProcessLimits::default(),
            ..AcpOptions::default()
        };
        Self {
            place: Place::new(options.clone()),
            options,
            model,
            shell,
            _template: template,
        }
    }

    fn opencode() -> Option<Self> {
        let files = |port: u16| {
            let one = |name: &str| {
                json!({ "name": name, "tool_call": true, "attachment": true,
                "limit": { "context": 32768, "output": 4096 }, "cost": { "input": 3, "output": 15 } })
            };
            let models = json!({ "fake-1": one("Fake 1"), "fake-2": one("Fake 2") });
            let provider = json!({ "npm": "@ai-sdk/openai-compatible", "name": "Local", "models": models,
                "options": { "baseURL": format!("http://127.0.0.1:{port}/v1"), "apiKey": "no-key" } });
            let settings = json!({ "model": "local/fake-1", "small_model": "local/fake-1", "autoupdate": false,
                "share": "disabled", "permission": { "bash": "ask", "edit": "ask" }, "provider": { "local": provider } });
            vec![(".config/opencode/opencode.json", settings.to_string())]
        };
        let environment = |_| {
            let on = |name| (name, "1".to_owned());
            vec![
                on("OPENCODE_DISABLE_MODELS_FETCH"),
                on("OPENCODE_DISABLE_AUTOUPDATE"),
            ]
        };
        let shell = |command: &str| {
            let arguments = json!({ "command": command, "description": "a test" });
            format!("CALL bash {arguments}")
        };
        let command = format!("{} acp", command("opencode")?);
        Some(Self::new(command, "", files, environment, shell))
    }

    fn codex() -> Option<Self> {
        let files = |port: u16| {
            let settings = format!(
                "model = \"fake-1\"\nmodel_provider = \"local\"\n\
                 [model_providers.local]\nname = \"local\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
                 wire_api = \"responses\"\nenv_key = \"OPENAI_API_KEY\"\n"
            );
            vec![(".codex/config.toml", settings)]
        };
        let environment = |_| vec![("OPENAI_API_KEY", "no-key".to_owned())];
        let shell = |command: &str| {
            let arguments = json!({ "cmd": command, "sandbox_permissions": "require_escalated", "justification": "a test" });
            format!("CALL exec_command {arguments}")
        };
        Some(Self::new(
            command("codex")?,
            "workspace-write",
            files,
            environment,
            shell,
        ))
    }

    fn gemini() -> Option<Self> {
        let files = |_| {
            let settings = json!({ "security": { "auth": { "selectedType": "gemini-api-key" } },
                "privacy": { "usageStatisticsEnabled": false }, "telemetry": { "enabled": false },
                "general": { "disableAutoUpdate": true, "enableAutoUpdate": false } });
            vec![(".gemini/settings.json", settings.to_string())]
        };
        let environment = |port: u16| {
            vec![
                ("GOOGLE_GEMINI_BASE_URL", format!("http://127.0.0.1:{port}")),
                ("GEMINI_API_KEY", "no-key".into()),
                ("GEMINI_CLI_TRUST_WORKSPACE", "true".into()),
            ]
        };
        let shell = |command: &str| {
            let arguments = json!({ "command": command, "description": "a test" });
            format!("CALL run_shell_command {arguments}")
        };
        let command = format!("{} --acp", command("gemini")?);
        Some(Self::new(command, "default", files, environment, shell))
    }
}

/// Reads to the turn's end, and gives every permission that is asked for meanwhile an answer of this effect, if it is offered.
async fn turn(session: &mut Session, effect: OptionEffect) -> (Vec<AgentEvent>, Vec<Box<Ask>>) {
    let (mut events, mut asks) = (vec![], vec![]);
    loop {
        let event = session.next().await;
        if let AgentEvent::Asked { ask_id, ask } = &event {
            let option = ask.options.iter().find(|it| it.effect == Some(effect));
            match option {
                Some(option) => session.choose(ask_id, &option.option_id).await,
                None => session.decline(ask_id).await,
            }
            asks.push(ask.clone());
        }
        let over = agent_acp_support::is_end(&event);
        events.push(event);
        if over {
            return (events, asks);
        }
    }
}

/// A stopped turn's agent may be gone with it.
async fn awake(real: &Real, session: Session) -> Session {
    if session.agent.commands.is_closed() {
        session.close().await;
        return real.place.open().await;
    }
    session
}

fn sleeps(marker: &str) -> usize {
    let mut found = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        found += usize::from(words.starts_with(&[b"sleep", marker.as_bytes()]));
    }
    found
}

/// What every agent does.
async fn speaks_asks_is_stopped_and_goes_on(real: &Real) -> Session {
    let mut session = real.place.open().await;
    let (end, text, events) = session.ask("hello there").await;
    assert_eq!(end, COMPLETED, "{events:#?}");
    assert!(text.ends_with("Echo: hello there"), "{text}");
    let pieces = |event: &&AgentEvent| matches!(event, AgentEvent::TextDelta { .. });
    assert!(events.iter().filter(pieces).count() >= 2);
    let used = usages(&events);
    assert!(used.len() == 1 && used[0].output_tokens > 0, "{used:?}");

    // What begins with a slash is no command to it.
    let (_, text, events) = session.ask("/status of it").await;
    assert!(text.ends_with("/status of it"), "{events:#?}");

    // Memory reaches the model beside the prompt.
    session
        .start_with("and now", "<memory>the word is larboard</memory>", vec![])
        .await;
    assert_eq!(outcome(&session.turn().await), COMPLETED);
    assert!(real.model.was_told("the word is larboard"));

    // A tool asks, and runs once it may.
    session.start(&(real.shell)("echo one-two > made")).await;
    let (events, asks) = turn(&mut session, OptionEffect::AllowOnce).await;
    assert_eq!(outcome(&events), COMPLETED, "{events:#?}");
    assert_eq!(asks.len(), 1, "{events:#?}");
    assert!(asks[0].args.text.contains("one-"), "{asks:?}");
    let made = real.place.request.working_directory.join("made");
    assert_eq!(fs::read_to_string(&made).unwrap(), "one-two\n");

    // A denial is no abort, and the tool did not run.
    session.start(&(real.shell)("echo no > denied")).await;
    let (events, asks) = turn(&mut session, OptionEffect::DenyOnce).await;
    assert_eq!(outcome(&events), COMPLETED, "{events:#?}");
    assert_eq!(asks.len(), 1);
    assert!(!real.place.request.working_directory.join("denied").exists());

    // A stop while a permission is open.
    session.start(&(real.shell)("echo no > denied")).await;
    session.asked().await;
    session.send(AgentCommand::Cancel).await;
    assert_eq!(outcome(&session.turn().await), Outcome::Stopped);
    let mut session = awake(real, session).await;

    // A stop in the middle of a tool leaves nothing of it.
    let marker = format!("7{}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000);
    let command = format!("setsid sleep {marker} & sleep {marker}");
    session.start(&(real.shell)(&command)).await;
    let (ask_id, ask) = session.asked().await;
    let allow = ask
        .options
        .iter()
        .find(|it| it.effect == Some(OptionEffect::AllowOnce));
    session.choose(&ask_id, &allow.unwrap().option_id).await;
    eventually("the tool runs", || sleeps(&marker) >= 2).await;
    session.send(AgentCommand::Cancel).await;
    let events = session.turn().await;
    assert_eq!(outcome(&events), Outcome::Stopped, "{events:#?}");
    assert_eq!(sleeps(&marker), 0);
    assert!(completed(&events).iter().all(|it| it.2), "{events:#?}");
    let mut session = awake(real, session).await;

    // A stop in the middle of text keeps what was said.
    session.start("SLOW").await;
    session
        .until(|event| matches!(event, AgentEvent::TextDelta { .. }))
        .await;
    session.send(AgentCommand::Cancel).await;
    let events = session.turn().await;
    assert_eq!(outcome(&events), Outcome::Stopped, "{events:#?}");
    let mut session = awake(real, session).await;
    let (end, text, events) = session.ask("go on").await;
    assert_eq!(end, COMPLETED, "{events:#?}");
    assert!(text.ends_with("Echo: go on"), "{text}");

    // Kill ends it, in the middle of a tool.
    session
        .start(&(real.shell)(&format!("sleep {marker} & sleep {marker}")))
        .await;
    let (ask_id, ask) = session.asked().await;
    let allow = ask
        .options
        .iter()
        .find(|it| it.effect == Some(OptionEffect::AllowOnce));
    session.choose(&ask_id, &allow.unwrap().option_id).await;
    eventually("the tool runs", || sleeps(&marker) >= 2).await;
    session.send(AgentCommand::Kill).await;
    let events = session.turn().await;
    assert!(
        matches!(events.last(), Some(AgentEvent::Exited { .. })),
        "{events:#?}"
    );
    assert_eq!(sleeps(&marker), 0);
    real.place.open().await
}

/// After a restart the model hears of what was said before, and nothing is told twice.
async fn remembers(real: &Real, session: &mut Session) {
    let before = real.model.requests().len();
    let (end, text, events) = session.ask("what was that?").await;
    assert_eq!(end, COMPLETED, "{events:#?}");
    assert_eq!(text.matches("Echo:").count(), 1, "{text}");
    let asked = &real.model.requests()[before..];
    assert!(
        asked.iter().any(|it| it.contains("hello there")),
        "{asked:#?}"
    );
}

fn offered(events: &[AgentEvent]) -> &Offers {
    let mut offered = events.iter().filter_map(|event| match event {
        AgentEvent::Offered { offers } => Some(offers),
        _ => None,
    });
    offered.next_back().expect("it says what it offers")
}

/// Whether a turn's answer came of this model, by the name that its provider has for it.
async fn answers_with(real: &Real, session: &mut Session, model: &str) {
    let before = real.model.asked().len();
    let (end, _, events) = session.ask("and now").await;
    assert_eq!(end, COMPLETED, "{events:#?}");
    let asked = real.model.asked().split_off(before);
    let name = model.rsplit('/').next().unwrap_or(model);
    assert!(
        asked.iter().any(|it| it == name),
        "{asked:?} and not {name}"
    );
}

/// A model that is chosen reaches the next request, in the process that runs; is the session's alone, and not the agent's
/// default from then on; and outlives the process. `usable` says which models the provider has. Returns what the agent uses
/// where nothing is chosen.
async fn chooses(real: &Real, usable: fn(&str) -> bool) -> (Session, String, String) {
    let mut session = real.place.open().await;
    let (_, _, events) = session.ask("hello").await;
    let offers = offered(&events);
    let default = offers.model.clone();
    assert_eq!(offers.default_model, default);
    let mut others = offers.models.iter().map(|it| it.id.clone());
    let chosen = others.find(|it| *it != default && usable(it));
    let chosen = chosen.unwrap_or_else(|| panic!("another model: {offers:#?}"));
    let other = Place::new(real.options.clone());
    let mut second = other.open().await;
    second.ask("hello").await;
    session.choices.model = chosen.clone();
    answers_with(real, &mut session, &chosen).await;
    let before = real.model.asked().len();
    second.ask("hello").await;
    let name = chosen.rsplit('/').next().unwrap_or(&chosen);
    let asked = real.model.asked().split_off(before);
    assert!(!asked.iter().any(|it| it == name), "{asked:?}");
    second.close().await;
    session.start("SLOW").await;
    session
        .until(|event| matches!(event, AgentEvent::TextDelta { .. }))
        .await;
    session.send(AgentCommand::Kill).await;
    session.turn().await;
    let mut session = real.place.open().await;
    session.choices.model = chosen.clone();
    answers_with(real, &mut session, &chosen).await;
    (session, default, chosen)
}

/// Another conversation in the same home begins with the agent's own default.
async fn begins_anew_with(real: &mut Real, default: &str) {
    real.place.request.session_id = uuid::Uuid::now_v7();
    let mut session = real.place.open().await;
    let (_, _, events) = session.ask("hello").await;
    assert_eq!(offered(&events).model, default);
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_opencode_uses_what_is_chosen_for_its_session_alone() {
    let Some(mut real) = Real::opencode() else {
        return;
    };
    let (mut session, default, _) = chooses(&real, |it| it.starts_with("local/")).await;
    session.choices = Choices::default();
    answers_with(&real, &mut session, &default).await;
    // Its mode is an option.
    session.choices.options = [("mode".to_owned(), "plan".to_owned())].into();
    let (_, _, events) = session.ask("plan it").await;
    let mode = offered(&events).options.iter().find(|it| it.id == "mode");
    let mode = mode.expect("it has one");
    assert_eq!(
        (mode.current.as_str(), mode.default.as_str()),
        ("plan", "build")
    );
    session.close().await;
    begins_anew_with(&mut real, &default).await;
}

/// A model of its settings that it does not know can't be chosen again: the turn says so.
#[tokio::test(flavor = "multi_thread")]
async fn real_codex_uses_what_is_chosen_for_its_session_alone() {
    let Some(mut real) = Real::codex() else {
        return;
    };
    let (mut session, default, chosen) = chooses(&real, |_| true).await;
    // Levels come with a model that it knows.
    session.choices.thinking_level = "low".into();
    let (_, _, events) = session.ask("think").await;
    let offers = offered(&events);
    assert_eq!(
        (offers.model.as_str(), offers.thinking_level.as_str()),
        (chosen.as_str(), "low")
    );
    session.choices.thinking_level = "bogus".into();
    let (end, _, _) = session.ask("think").await;
    assert!(
        matches!(&end, Outcome::Failed(why) if why.contains("it offers: low")),
        "{end:?}"
    );
    session.choices = Choices::default();
    let (end, _, _) = session.ask("back").await;
    assert!(
        matches!(&end, Outcome::Failed(why) if why.contains(&default)),
        "{end:?}"
    );
    session.choices.model = chosen.clone();
    answers_with(&real, &mut session, &chosen).await;
    session.close().await;
    begins_anew_with(&mut real, &default).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_gemini_uses_what_is_chosen_for_its_session_alone() {
    let Some(mut real) = Real::gemini() else {
        return;
    };
    let (mut session, default, _) = chooses(&real, |it| it.starts_with("gemini")).await;
    session.choices = Choices::default();
    let (_, _, events) = session.ask("back").await;
    assert_eq!(offered(&events).model, default);
    session.close().await;
    begins_anew_with(&mut real, &default).await;
}

/// It tries a model that refuses again and again, for minutes: that is not waited for here.
#[tokio::test(flavor = "multi_thread")]
async fn real_opencode() {
    let Some(real) = Real::opencode() else { return };
    let mut session = speaks_asks_is_stopped_and_goes_on(&real).await;
    assert_eq!(session.model, "local/fake-1");
    remembers(&real, &mut session).await;
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_codex() {
    let Some(real) = Real::codex() else { return };
    let mut session = speaks_asks_is_stopped_and_goes_on(&real).await;
    assert_eq!(session.model, "fake-1");
    remembers(&real, &mut session).await;
    // It says that its turn ended well.
    let (end, _, events) = session.ask("FAIL").await;
    assert!(
        matches!(&end, Outcome::Failed(message) if message.contains("told to fail")),
        "{events:#?}"
    );
    // Two permissions are open at once.
    let two = format!(
        "{}\n{}",
        (real.shell)("echo 1 > first"),
        (real.shell)("echo 2 > second")
    );
    session.start(&two).await;
    let (first, ask) = session.asked().await;
    let (second, _) = session.asked().await;
    let allow = ask
        .options
        .iter()
        .find(|it| it.effect == Some(OptionEffect::AllowOnce));
    for ask_id in [second, first] {
        session.choose(&ask_id, &allow.unwrap().option_id).await;
    }
    assert_eq!(outcome(&session.turn().await), COMPLETED);
    let work = &real.place.request.working_directory;
    assert!(work.join("first").exists() && work.join("second").exists());
    // A steer reaches the running turn.
    assert!(session.agent.capabilities.steer);
    session.start("SLOW").await;
    session
        .until(|event| matches!(event, AgentEvent::TextDelta { .. }))
        .await;
    let steer_id = session.steer("look left").await;
    let events = session.turn().await;
    assert!(
        events.contains(&AgentEvent::SteerApplied { steer_id }),
        "{events:#?}"
    );
    assert!(
        said(&events).ends_with("Echo: look left"),
        "{}",
        said(&events)
    );
    session.close().await;
}

/// It says that it can go on with a conversation, and can't.
#[tokio::test(flavor = "multi_thread")]
async fn real_gemini() {
    let Some(real) = Real::gemini() else { return };
    let mut session = speaks_asks_is_stopped_and_goes_on(&real).await;
    let (end, _, _) = session.ask("FAIL").await;
    assert!(
        matches!(&end, Outcome::Failed(message) if message.contains("told to fail")),
        "{end:?}"
    );
    session.close().await;
}

/// What one agent can do, row by row; a new capability gets a row here.
fn column(capabilities: Capabilities) -> Vec<(&'static str, &'static str)> {
    let Capabilities {
        steer,
        soft_cancel,
        images,
        thinking,
        models,
        options,
        fork,
        // Told with its commands, some time after it started.
        compaction: _,
        commands,
        questions,
        tool_policy,
        resume,
        usage,
        deny_continues,
        // Of its configuration, not of the agent.
        workspace: _,
        client_tools,
        structured_output,
    } = capabilities;
    let yes = |can: bool| if can { "yes" } else { "no" };
    vec![
        ("`steer`: takes steers", yes(steer)),
        (
            "`soft_cancel`: stops a turn and keeps its process",
            yes(soft_cancel),
        ),
        ("`images`: takes images", yes(images)),
        ("`thinking`: takes a thinking level", yes(thinking)),
        ("`models`: takes a model", yes(models)),
        ("`options`: has options besides", yes(options)),
        ("`fork`: its sessions can be forked", yes(fork)),
        ("`commands`: has commands of its own", yes(commands)),
        ("`questions`: asks", yes(questions)),
        (
            "`client_tools`: calls tools that its caller runs",
            yes(client_tools),
        ),
        (
            "`structured_output`: answers by a schema",
            yes(structured_output),
        ),
        (
            "`tool_policy`: keeps to rules for tools",
            match tool_policy {
                ToolPolicySupport::Enforced => "yes",
                ToolPolicySupport::OnRequest => "what it asks for",
                ToolPolicySupport::None => "no",
            },
        ),
        (
            "`deny_continues`: goes on after a denial",
            yes(deny_continues),
        ),
        ("`resume`: finds its conversation again", yes(resume)),
        (
            "`usage`: tells what it used",
            match usage {
                UsageReports::Call => "each call",
                UsageReports::Turn => "each turn",
                UsageReports::None => "no",
            },
        ),
    ]
}

/// The table of CONTRACT-2 §11: what the README says of each agent is what the agent says when it starts.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_says_what_each_agent_can() {
    const BEGIN: &str = "<!-- what each agent can do, as a test found it -->\n";
    let pi = PiDriver::new(PiOptions::default(), support::host());
    let llm = LlmOptions {
        endpoint: Endpoint {
            api: Api::ChatCompletions,
            base_url: "http://127.0.0.1:9".into(),
            key: String::new().into(),
        },
        model: ModelName::parse("local/any").unwrap(),
        thinking_level: String::new(),
        instructions: String::new(),
        max_output_tokens: 1,
        mcp_servers: vec![],
        memory_tools: false,
        limits: ProcessLimits::default(),
    };
    let llm = LlmDriver::new(llm, support::host());
    let llm = llm.unwrap().capabilities();
    let mut agents = vec![
        ("echo", Echo.capabilities()),
        ("llm", llm),
        ("pi", pi.capabilities()),
    ];
    for (name, real) in [
        ("opencode", Real::opencode()),
        ("codex", Real::codex()),
        ("gemini", Real::gemini()),
    ] {
        let Some(real) = real else { return };
        let session = real.place.open().await;
        agents.push((name, session.agent.capabilities));
        session.close().await;
    }
    let names: Vec<&str> = agents.iter().map(|(name, _)| *name).collect();
    let mut table = format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    let columns: Vec<_> = agents.into_iter().map(|(_, can)| column(can)).collect();
    for row in 0..columns[0].len() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row].1).collect();
        table.push_str(&format!(
            "| {} | {} |\n",
            columns[0][row].0,
            cells.join(" | ")
        ));
    }
    let readme = include_str!("../README.md");
    let (_, found) = readme.split_once(BEGIN).expect("the README has the table");
    let (found, _) = found.split_once("\n\n").expect("it ends");
    assert_eq!(
        format!("{found}\n"),
        table,
        "the README's table must be:\n{table}"
    );
}
