//! What a scenario plays on: a real server with a data directory, callers' keys, perhaps TLS, and the proxy before it.

use crate::{
    certificates::{Authority, Files},
    expect::{Variables, differences},
    proxy::{Mode, Proxy},
    scenario::Scenario,
    support::{Gateway, Options},
};
use quarterdeck::{
    client::{Client, ClientOptions},
    proto,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

/// Longest wait for something that the server does by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

pub struct Stage {
    gateway: Gateway,
    /// Before the client that is looked at.
    pub proxy: Proxy,
    /// Before everyone else, so that they too find the server where it was. Passes on.
    direct: Proxy,
    files: Files,
    scheme: &'static str,
    ca: Option<PathBuf>,
    key: String,
    log: PathBuf,
    /// Marks that were set in the log.
    marks: u32,
}

// === impl Stage ===

impl Stage {
    /// Starts the server; tells the variables of the scenario and the secrets that nobody may print.
    pub async fn set(scenario: &Scenario) -> Result<(Self, Variables, Vec<String>), String> {
        let files = Files::new();
        let mut config = scenario.config.clone();
        let mut ca = None;
        if scenario.tls {
            let authority = Authority::new();
            let leaf = authority.sign(&["localhost", "127.0.0.1"]);
            let (certificate, key) = files.put_leaf("server", &leaf);
            ca = Some(files.put("ca.pem", &authority.certificate.pem()));
            config.push_str(&format!(
                "\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n"
            ));
        }
        let log = files.path("log");
        let options = Options {
            config,
            environment: vec![
                ("QUARTERDECK_NO_AUTH".into(), "false".into()),
                ("QUARTERDECK_LOG_FORMAT".into(), "json".into()),
            ],
            log: Some(log.clone()),
            ..Options::default()
        };
        let gateway = blocking(|| Gateway::with(options));
        let proxy = Proxy::start(socket(&gateway.address)?).await;
        let direct = Proxy::start(socket(&gateway.address)?).await;
        let key = std::fs::read_to_string(gateway.data().join("admin.key"))
            .map_err(|error| format!("the first key: {error}"))?
            .trim()
            .to_owned();
        let scheme = if scenario.tls { "https" } else { "http" };
        let stage = Self {
            gateway,
            proxy,
            direct,
            files,
            scheme,
            ca,
            key: key.clone(),
            log,
            marks: 0,
        };
        let mut secrets = vec![key];
        let mut variables = stage.variables();
        for (name, scopes) in &scenario.keys {
            let request = proto::CreateApiKeyRequest {
                subject: name.clone(),
                scopes: scopes.clone(),
                ..Default::default()
            };
            let made = stage.client()?.create_api_key(request).await;
            let secret = made.map_err(|status| status.to_string())?.secret;
            secrets.push(secret.clone());
            variables.insert(name.clone(), secret.into());
        }
        Ok((stage, variables, secrets))
    }

    fn variables(&self) -> Variables {
        let mut variables = Variables::new();
        let mut set = |name: &str, value: String| variables.insert(name.into(), value.into());
        set(
            "address",
            format!("{}://{}", self.scheme, self.proxy.address),
        );
        set(
            "direct",
            format!("{}://{}", self.scheme, self.direct.address),
        );
        set("key", self.key.clone());
        // Listened at a moment ago, and by nobody any more.
        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        set("closed_address", format!("http://{closed}"));
        if let Some(ca) = &self.ca {
            set("ca", ca.display().to_string());
            let stranger = Authority::new().certificate.pem();
            let other = self.files.put("other.pem", &stranger);
            set("other_ca", other.display().to_string());
        }
        variables
    }

    fn client(&self) -> Result<Client, String> {
        let mut options = ClientOptions::new(&self.gateway.address).key(&self.key);
        options.tls.ca.clone_from(&self.ca);
        Client::new(options).map_err(|error| error.to_string())
    }

    /// A step of the scenario that is about the server; returns what there is to look at.
    pub async fn server(
        &mut self,
        what: &str,
        fields: &Value,
        wanted: &Value,
    ) -> Result<Value, String> {
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        match what {
            "kill" => self.gateway.kill(),
            "drain" => {
                self.gateway.terminate();
                let code = blocking(|| self.gateway.wait());
                if code != Some(0) {
                    return Err(format!("the server ended with {code:?}"));
                }
            }
            "start" => {
                blocking(|| self.gateway.restart());
                let address = socket(&self.gateway.address)?;
                self.proxy.aim(address);
                self.direct.aim(address);
            }
            "delete_session" => {
                let request = proto::DeleteSessionRequest {
                    session_key: text("session_key"),
                    ..Default::default()
                };
                let answer = self.client()?.delete_session(request).await;
                answer.map_err(|status| status.to_string())?;
            }
            "put_file" => {
                let sessions = self.gateway.data().join("sessions");
                for session in std::fs::read_dir(sessions).map_err(|it| it.to_string())? {
                    let work = session.map_err(|it| it.to_string())?.path().join("work");
                    if work.is_dir() {
                        std::fs::write(work.join(text("name")), text("text"))
                            .map_err(|it| it.to_string())?;
                    }
                }
            }
            "await_session" => return self.await_session(text("session_key"), wanted).await,
            "calls" => return self.calls(&text("method")).await,
            _ => return Err(format!("the scenario wants of the server {what:?}")),
        }
        Ok(json!({}))
    }

    /// Waits until a session is as it is wanted; tells how it is otherwise.
    async fn await_session(&self, session_key: String, wanted: &Value) -> Result<Value, String> {
        let client = self.client()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = proto::GetSessionRequest {
                session_key: session_key.clone(),
                ..Default::default()
            };
            let now = match client.get_session(request).await {
                Ok(answer) => {
                    let session = answer.session.unwrap_or_default();
                    let state = session.state().as_str_name();
                    json!({
                        "state": state.trim_start_matches("SESSION_STATE_"),
                        "head_seq": session.head_seq,
                        "first_seq": session.first_seq,
                        "log_id": session.log_id,
                        "generation": session.generation,
                        "queue_depth": session.queue_depth,
                    })
                }
                Err(status) => json!({"missing": status.to_string()}),
            };
            if differences(wanted, &now).is_empty() || Instant::now() > deadline {
                return Ok(now);
            }
            sleep(LOOK).await;
        }
    }

    /// How calls of a method that changes something ended, and how often: `{"ok": 1, "QUEUE_FULL": 1}`.
    async fn calls(&mut self, method: &str) -> Result<Value, String> {
        // A record is written when its call has ended. Records come in order, so once a later one is there, all are.
        self.marks += 1;
        let mark = format!("mark-{}", self.marks);
        let request = proto::ClearQueueRequest {
            session_key: mark.clone(),
            ..Default::default()
        };
        if self.client()?.clear_queue(request).await.is_ok() {
            return Err("a session that is not there had a queue".into());
        }
        let deadline = Instant::now() + PATIENCE;
        let log = loop {
            let log = std::fs::read_to_string(&self.log).map_err(|error| error.to_string())?;
            if log.contains(&mark) {
                break log;
            }
            if Instant::now() > deadline {
                return Err("the server's log does not come".into());
            }
            sleep(LOOK).await;
        };
        let mut calls = serde_json::Map::new();
        for line in log.lines() {
            let record: Value = serde_json::from_str(line).unwrap_or_default();
            let fields = &record["fields"];
            let of_method = fields["method"]
                .as_str()
                .is_some_and(|it| it.rsplit('/').next() == Some(method));
            if record["target"] != "audit" || !of_method {
                continue;
            }
            let outcome = match fields["reason"].as_str() {
                Some("") | None => fields["outcome"].as_str().unwrap_or_default(),
                Some(reason) => reason,
            };
            let count = calls.get(outcome).and_then(Value::as_i64).unwrap_or(0);
            calls.insert(outcome.into(), (count + 1).into());
        }
        Ok(calls.into())
    }

    /// A step of the scenario that is about the proxy.
    pub async fn proxy(&self, what: &str, fields: &Value) -> Result<Value, String> {
        let number = |name: &str| fields[name].as_u64().unwrap_or_default();
        match what {
            "cut" => self.proxy.cut(),
            "mute" => self.proxy.set(Mode::Mute),
            "stall" => self.proxy.set(Mode::Stall),
            "refuse" => {
                self.proxy.refuse(true);
                self.proxy.cut();
            }
            "accept" => self.proxy.refuse(false),
            "cut_every" => {
                self.proxy.cut_every(number("bytes"));
                self.proxy.cut();
            }
            "delay" => self.proxy.delay(number("ms")),
            "quiet" => return Ok(json!({"bytes": self.proxy.quiet().await?})),
            _ => return Err(format!("the scenario wants of the proxy {what:?}")),
        }
        Ok(json!({}))
    }

    /// The newest lines of the server's log.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// Does what waits without a runtime's help.
#[allow(
    clippy::disallowed_methods,
    reason = "these tests run on a runtime of several threads, and what is done borrows the stage"
)]
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    block_in_place(work)
}

fn socket(address: &str) -> Result<SocketAddr, String> {
    let host = address.split_once("://").map_or(address, |(_, host)| host);
    host.parse().map_err(|error| format!("{address}: {error}"))
}
