//! Secrets of which every one is known, planted everywhere that a secret can stand; nothing that leaves the server, and
//! nothing that it writes for people, may hold one.
//!
//! What a caller or an agent itself says (prompts, replies) is the caller's own and does not count. A key file and the
//! variables of the agent's process hold theirs by design.

use crate::{
    support::{Gateway, Options},
    world::{AdminClient, Bearer, Client, admin, fixture, gateway, python},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use quarterdeck::proto;
use std::{
    fmt::Debug,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};
use tonic::{Code, Status, transport::Certificate};

/// Texts that must not appear, each with the place where it was planted.
#[derive(Default)]
pub(crate) struct Canaries(Vec<(&'static str, String)>);

// === impl Canaries ===

impl Canaries {
    /// A new secret.
    fn plant(&mut self, place: &'static str) -> String {
        let secret = format!("canary{}", uuid::Uuid::new_v4().simple());
        self.0.push((place, secret.clone()));
        secret
    }

    /// One that the server made.
    fn know(&mut self, place: &'static str, secret: &str) {
        assert!(secret.len() >= 16, "too short to be told from other text");
        self.0.push((place, secret.to_owned()));
    }

    /// Which of them the text holds, as they are, in hex or in base64.
    fn found(&self, text: &[u8]) -> Vec<&'static str> {
        let holds = |needle: &[u8]| text.windows(needle.len()).any(|at| at == needle);
        let shown = |secret: &str| {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            // Without its end, which depends on what follows.
            let base64 = STANDARD.encode(&secret.as_bytes()[..secret.len() / 3 * 3]);
            holds(secret.as_bytes()) || holds(hex.as_bytes()) || holds(base64.as_bytes())
        };
        let found = self.0.iter().filter(|(_, secret)| shown(secret));
        found.map(|(place, _)| *place).collect()
    }

    fn assert_none(&self, output: &str, text: impl AsRef<[u8]>) {
        let found = self.found(text.as_ref());
        assert!(found.is_empty(), "{output} shows: {found:?}");
    }

    /// An answer, or its refusal, whole.
    fn assert_none_in<T: Debug>(&self, output: &str, answer: &Result<tonic::Response<T>, Status>) {
        self.assert_none(output, format!("{answer:?}"));
        if let Err(status) = answer {
            self.assert_none(output, status.details());
        }
    }
}

/// The checker sees what it is there for.
#[test]
fn a_leak_is_noticed_in_every_dress() {
    let mut canaries = Canaries::default();
    let secret = canaries.plant("here");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(&secret);
    for dress in [
        format!("level=info key={secret}"),
        format!("{{\"key\":\"{hex}\"}}"),
        format!("Basic {base64}"),
    ] {
        assert_eq!(canaries.found(dress.as_bytes()), ["here"], "{dress}");
    }
    assert!(canaries.found(b"key=(set)").is_empty());
}

/// SECURITY.md, logs and `GetConfig`: no secret in any output, at the most talkative level, in both forms of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_output_shows_a_secret() {
    for format in ["text", "json"] {
        look_at_every_output(format).await;
    }
}

async fn look_at_every_output(format: &str) {
    let mut canaries = Canaries::default();
    let place = tempfile::tempdir().expect("a directory");
    let (config, certificate) = plant(&mut canaries, place.path());
    let log = place.path().join("log");
    let own_key = canaries.plant("QUARTERDECK_KEY of the server");
    let memory_key = format!("{0}{0}", uuid::Uuid::new_v4().simple());
    canaries.know("QUARTERDECK_MEMORY_KEY", &memory_key);
    let mut server = Gateway::with(Options {
        config,
        log: Some(log.clone()),
        environment: [
            ("QUARTERDECK_NO_AUTH", "false"),
            ("QUARTERDECK_LOG", "trace"),
            ("QUARTERDECK_LOG_FORMAT", format),
            ("QUARTERDECK_METRICS_LISTEN", "127.0.0.1:0"),
            ("QUARTERDECK_KEY", &own_key),
            ("QUARTERDECK_MEMORY_KEY", &memory_key),
            ("SOME_API_KEY", &canaries.plant("the server's environment")),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..Options::default()
    });
    let address = server.address.replace("http://", "https://");
    let admin_key = fs::read_to_string(server.data().join("admin.key")).expect("it was made");
    let admin_key = admin_key.trim();
    canaries.know("the first start's key", secret_part(admin_key));
    let pepper = fs::read(server.data().join("pepper")).expect("it was made");
    canaries.know("the pepper", &String::from_utf8_lossy(&pepper));

    // A key that is made is shown once, to who made it.
    let mut service = admin(&address, Some(&certificate), Bearer::key(admin_key)).await;
    let request = proto::CreateApiKeyRequest {
        scopes: vec!["session.read".into(), "session.write".into()],
        display_name: "a caller".into(),
        ..Default::default()
    };
    let made = service.create_api_key(request).await.expect("made");
    let key = made.into_inner().secret;
    canaries.know("an API key", secret_part(&key));

    let mut client = gateway(&address, Some(&certificate), Bearer::key(&key)).await;
    work(&mut client, &canaries, server.pid()).await;
    ask_everything(&mut service, &mut client, &canaries).await;
    call_with_wrong_credentials(&address, &certificate, &mut canaries).await;
    look_at_metrics(&server, &canaries);
    run_commands(&server, &canaries);

    // What an agent said last stands in the log before the drain's last word.
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    let written = fs::read(&log).expect("the log");
    assert!(written.len() > 10_000, "the log was talkative");
    canaries.assert_none(&format!("the log as {format}"), written);
    let stored = server.data().join("quarterdeck.db");
    for file in fs::read_dir(server.data()).expect("it is there").flatten() {
        let name = file.file_name();
        if name.to_string_lossy().starts_with("quarterdeck.db") {
            canaries.assert_none("the store", fs::read(file.path()).expect("a file"));
        }
    }
    assert!(stored.exists());
}

/// What of a key is secret.
fn secret_part(key: &str) -> &str {
    key.split('_').nth(2).expect("qdk_ID_SECRET_CHECKSUM")
}

/// Writes the files, and makes the configuration that names them.
fn plant(canaries: &mut Canaries, place: &Path) -> (String, Certificate) {
    let template = place.join("template");
    fs::create_dir(&template).expect("a directory");
    let auth = format!(
        r#"{{"anthropic":{{"type":"api_key","key":"{}"}}}}"#,
        canaries.plant("auth.json of the template")
    );
    fs::write(template.join("auth.json"), auth).expect("a file");
    let models = format!(
        r#"{{"providers":{{"x":{{"apiKey":"{}"}}}}}}"#,
        canaries.plant("models.json of the template")
    );
    fs::write(template.join("models.json"), models).expect("a file");

    let pair = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]);
    let pair = pair.expect("a certificate");
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let (certificate_file, key_file) = (place.join("tls.pem"), place.join("tls.key"));
    fs::write(&certificate_file, &certificate).expect("a file");
    write_private(&key_file, &key);
    let body = key.lines().nth(2).expect("a key has lines");
    canaries.know("the TLS key", body);

    let config = format!(
        "default_agent = \"scripted\"\ntls_certificate = {certificate_file:?}\ntls_key = {key_file:?}\n\
         [agents.scripted]\ndriver = \"pi\"\ncommand = [{:?}, \"-S\", \"-E\", {:?}]\ntemplate_dir = {template:?}\n\
         [agents.scripted.environment]\nFAKE_API_KEY = \"{}\"\nPLAIN = \"{}\"\n\
         [agents.missing]\ndriver = \"pi\"\ncommand = [\"/no/such/agent\"]\nenvironment = {{ X_TOKEN = \"{}\" }}\n\
         [agents.dying]\ndriver = \"pi\"\ncommand = [{:?}, \"-S\", \"-E\", {:?}]\n\
         environment = {{ FAKE_PI = \"die\", FAKE_API_KEY = \"{}\" }}\n",
        python(),
        fixture("fake_pi.py"),
        canaries.plant("an agent's key"),
        canaries.plant("an agent's variable"),
        canaries.plant("the key of an agent that does not start"),
        python(),
        fixture("fake_pi.py"),
        canaries.plant("the key of an agent that dies"),
    );
    (config, Certificate::from_pem(certificate))
}

fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(file);
    let file = file.as_mut().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
}

/// Turns that succeed, fail, and don't start; and what the command lines of all processes show meanwhile.
async fn work(client: &mut Client, canaries: &Canaries, server: u32) {
    // A provider's error that repeats the key.
    let turn = run(client, "one", "leak").await;
    let error = turn.error.expect("it failed");
    assert!(error.message.contains("401"), "{error:?}");
    canaries.assert_none("a turn's error", format!("{error:?}"));

    let lines = command_lines(server);
    assert!(lines.len() >= 3, "server, keeper and agent: {lines:?}");
    for line in lines {
        canaries.assert_none("a command line", line);
    }
    for agent in ["missing", "dying"] {
        let session = proto::CreateSessionRequest {
            session_key: agent.into(),
            agent: agent.into(),
            ..Default::default()
        };
        client.create_session(session).await.expect("created");
        let turn = run(client, agent, "say x").await;
        canaries.assert_none("a failed start", format!("{:?}", turn.error));
    }
}

/// Runs a turn to its end.
async fn run(client: &mut Client, key: &str, prompt: &str) -> proto::Turn {
    let request = proto::EnqueueRequest {
        session_key: key.into(),
        text: prompt.into(),
        ..Default::default()
    };
    let taken = client.enqueue(request).await.expect("taken").into_inner();
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: taken.turn.expect("a turn").turn_id,
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        or_question: false,
    };
    let answer = client.await_turn(request).await.expect("it ends");
    answer.into_inner().turn.expect("a turn")
}

/// Command lines of a process and of all below it.
fn command_lines(root: u32) -> Vec<Vec<u8>> {
    let mut lines = vec![];
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        lines.push(fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    lines
}

/// Everything that tells about the server and its sessions.
async fn ask_everything(service: &mut AdminClient, client: &mut Client, canaries: &Canaries) {
    macro_rules! shows_none {
        ($($client:ident.$method:ident($request:expr)),* $(,)?) => {$(
            let answer = $client.$method($request).await;
            canaries.assert_none_in(stringify!($method), &answer);
        )*};
    }
    let in_one = |key: &str| proto::GetSessionRequest {
        session_key: key.into(),
        ..Default::default()
    };
    shows_none!(
        service.get_config(proto::GetConfigRequest::default()),
        service.get_server_info(proto::GetServerInfoRequest::default()),
        service.who_am_i(proto::WhoAmIRequest::default()),
        service.list_api_keys(proto::ListApiKeysRequest::default()),
        service.list_channels(proto::ListChannelsRequest::default()),
        service.update_config(proto::UpdateConfigRequest {
            values: [("agents.scripted.environment".into(), "{}".into())].into(),
            ..Default::default()
        }),
        service.broadcast_reload(proto::BroadcastReloadRequest::default()),
        client.list_sessions(proto::ListSessionsRequest::default()),
        client.get_session(in_one("missing")),
        client.get_session(in_one("dying")),
        client.get_session(in_one("nobody")),
    );
    let config = service.get_config(proto::GetConfigRequest::default());
    let config = config.await.expect("the admin may").into_inner();
    assert!(config.values.len() > 10, "{config:?}");
    let request = proto::TailLogsRequest {
        last: Some(10_000),
        level: proto::LogLevel::Trace.into(),
        no_follow: true,
        ..Default::default()
    };
    let records = service.tail_logs(request).await.expect("the admin may");
    let mut records = records.into_inner();
    let mut seen = 0;
    while let Some(record) = records.message().await.expect("it ends in order") {
        seen += 1;
        canaries.assert_none("TailLogs", format!("{record:?}"));
    }
    assert!(seen > 10, "the log was kept");
}

/// The metrics' socket is one of those on which the server listens besides the one that it tells.
fn look_at_metrics(server: &Gateway, canaries: &Canaries) {
    let table = fs::read_to_string("/proc/net/tcp").expect("there is a /proc");
    let own: Vec<String> = fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .expect("it lives")
        .flatten()
        .filter_map(|one| Some(fs::read_link(one.path()).ok()?.to_str()?.to_owned()))
        .collect();
    let calls: u16 = server
        .address
        .rsplit(':')
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a port");
    let token = fs::read_to_string(server.data().join("metrics.token")).expect("a token");
    let others = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, "0A", ..] = fields[..] else {
            return None;
        };
        let inode = format!("socket:[{}]", fields.get(9)?);
        let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        (own.contains(&inode) && port != calls).then_some(port)
    });
    let answers = others.map(|port| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            token.trim()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        answer
    });
    let answers: Vec<_> = answers.collect();
    let longest = answers.iter().map(Vec::len).max();
    assert!(
        longest > Some(1000),
        "one of {} are the metrics",
        answers.len()
    );
    for answer in answers {
        canaries.assert_none("/metrics", answer);
    }
}

/// What comes as a credential and is none is not repeated either.
async fn call_with_wrong_credentials(
    address: &str,
    certificate: &Certificate,
    canaries: &mut Canaries,
) {
    let wrong = [
        format!("Bearer {}", canaries.plant("a token of another form")),
        format!("Basic {}", canaries.plant("a password")),
        format!(
            "Bearer qdk_000000000000_{}_000000",
            canaries.plant("a wrong key")
        ),
        format!(
            "Bearer eyJhbGciOiJub25lIn0.{}.",
            canaries.plant("a wrong JWT")
        ),
    ];
    for value in wrong {
        let bearer = Bearer::header(&value);
        let mut client = gateway(address, Some(certificate), bearer).await;
        let request = proto::GetSessionRequest {
            session_key: "one".into(),
            ..Default::default()
        };
        let answer = client.get_session(request).await;
        canaries.assert_none_in("a refusal", &answer);
        assert_eq!(
            answer.expect_err("it is wrong").code(),
            Code::Unauthenticated
        );
    }
}

/// What commands print on this machine, and what a backup holds.
fn run_commands(gateway: &Gateway, canaries: &Canaries) {
    let config = gateway.directory.path().join("quarterdeck.toml");
    let backup: PathBuf = gateway.directory.path().join("backup");
    let broken = gateway.directory.path().join("broken.toml");
    // Wrong beside secrets, and of a wrong type where secrets stand.
    let text = fs::read_to_string(&config).expect("the configuration");
    let mut broken_text = text.replace("PLAIN = ", "PLAIN.x = ");
    broken_text.push_str("nonsense = 1\n");
    fs::write(&broken, broken_text).expect("a file");
    let text = |path: &Path| path.to_str().expect("a text").to_owned();
    let data = text(&gateway.data());
    let commands: [Vec<String>; 4] = [
        vec!["print-config".into(), "--config".into(), text(&config)],
        vec!["check-config".into(), "--config".into(), text(&config)],
        vec!["check-config".into(), "--config".into(), text(&broken)],
        vec!["backup".into(), text(&backup), "--data-dir".into(), data],
    ];
    for arguments in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(&arguments)
            .current_dir(gateway.directory.path())
            .output()
            .expect("it starts");
        let name = &arguments[0];
        assert!(
            output.stdout.len() + output.stderr.len() > 0,
            "{name} says something"
        );
        canaries.assert_none(name, &output.stdout);
        canaries.assert_none(name, &output.stderr);
    }
    let mut files = vec![backup];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("it is there").flatten();
            files.extend(entries.map(|entry| entry.path()));
        } else {
            seen += 1;
            canaries.assert_none(&text(&path), fs::read(&path).expect("a file"));
        }
    }
    assert!(seen > 0, "the backup was made");
}
