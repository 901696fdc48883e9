//! A client's driver: a child process that speaks JSON lines, see `clients/behaviour/README.md`.

use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

/// Time in which a driver ends after its input has.
const END_WAIT: Duration = Duration::from_secs(15);
/// Standard error that is kept, in bytes: the newest.
const STDERR_MAX_BYTES: usize = 16 * 1024;

/// A program that drives a client.
#[derive(Clone, Debug)]
pub struct Program {
    /// What it is called in the table.
    pub name: String,
    pub command: Vec<PathBuf>,
}

/// A running driver. Killed with its value, and with it all that it started.
pub struct Driver {
    child: Child,
    stdin: Option<ChildStdin>,
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
    last_id: u64,
    talk: bool,
}

/// What is known of one request.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub pieces: Vec<String>,
    /// The whole answer line.
    pub answer: Option<Value>,
}

struct Shared {
    /// By id of the request.
    requests: Mutex<HashMap<u64, watch::Sender<Progress>>>,
    stderr: Mutex<Vec<u8>>,
    /// What the driver did against the protocol; the first of it.
    broken: watch::Sender<Option<String>>,
    /// May never be seen in what the driver prints.
    secrets: Vec<String>,
}

// === impl Driver ===

impl Driver {
    pub fn start(program: &Program, secrets: Vec<String>) -> Result<Self, String> {
        let [command, arguments @ ..] = &program.command[..] else {
            return Err("no command".into());
        };
        let mut child = Command::new(command)
            .args(arguments)
            // What a user has set must not stand in for what a scenario gives.
            .env_remove("QUARTERDECK_KEY")
            .env_remove("QUARTERDECK_ADDR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", command.display()))?;
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            stderr: Mutex::default(),
            broken: watch::Sender::new(None),
            secrets,
        });
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        let talk = std::env::var_os("QUARTERDECK_TEST_TALK").is_some();
        let readers = vec![
            tokio::spawn(listen(stdout, shared.clone(), talk)),
            tokio::spawn(keep(stderr, shared.clone())),
        ];
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            shared,
            readers,
            last_id: 0,
            talk,
        })
    }

    /// Sends a request; what becomes of it is seen in what is returned.
    pub async fn send(&mut self, request: &Value) -> Result<watch::Receiver<Progress>, String> {
        self.last_id += 1;
        let mut line = json!({"id": self.last_id});
        let fields = line.as_object_mut().expect("an object");
        fields.extend(request.as_object().cloned().unwrap_or_default());
        let (sender, receiver) = watch::channel(Progress::default());
        let requests = &self.shared.requests;
        requests
            .lock()
            .expect("no panic")
            .insert(self.last_id, sender);
        let line = format!("{line}\n");
        if self.talk {
            eprint!("→ {line}");
        }
        let stdin = self.stdin.as_mut().ok_or("the driver's input is closed")?;
        stdin
            .write_all(line.as_bytes())
            .await
            .map_err(|error| format!("the driver takes no request any more: {error}"))?;
        Ok(receiver)
    }

    /// Waits until what is known of a request is enough.
    pub async fn wait(
        &self,
        mut request: watch::Receiver<Progress>,
        bound: Duration,
        enough: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, String> {
        let mut broken = self.shared.broken.subscribe();
        let result = timeout(bound, async {
            tokio::select! {
                progress = request.wait_for(enough) => progress.ok().map(|it| it.clone()),
                _ = broken.wait_for(Option::is_some) => None,
            }
        })
        .await;
        self.fault()?;
        match result {
            Ok(Some(progress)) => Ok(progress),
            Ok(None) => Err("the driver ended before it answered".into()),
            Err(_) => Err(format!("no answer within {} ms", bound.as_millis())),
        }
    }

    /// What the driver did against the protocol.
    pub fn fault(&self) -> Result<(), String> {
        match &*self.shared.broken.borrow() {
            Some(problem) => Err(problem.clone()),
            None => Ok(()),
        }
    }

    /// Ends its input, and waits for it to end with 0.
    pub async fn end(&mut self) -> Result<(), String> {
        self.stdin = None;
        let status = timeout(END_WAIT, self.child.wait())
            .await
            .map_err(|_| {
                let wait = END_WAIT.as_secs();
                format!("the driver did not end within {wait} s after its input")
            })?
            .map_err(|error| error.to_string())?;
        // Broken by an early end is no fault any more.
        match status.code() {
            Some(0) => Ok(()),
            _ => Err(format!("the driver ended with {status}")),
        }
    }

    /// The newest of its standard error.
    pub fn stderr(&self) -> String {
        let bytes = self.shared.stderr.lock().expect("no panic");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
        // A script's children are of its group. Gone already is fine.
        if let Some(id) = self.child.id()
            && let Some(group) = rustix::process::Pid::from_raw(id.cast_signed())
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

async fn listen(stdout: impl AsyncRead + Unpin, shared: Arc<Shared>, talk: bool) {
    let mut lines = BufReader::new(stdout).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                if talk {
                    let short: String = line.chars().take(2000).collect();
                    eprintln!("← {short}");
                }
                if let Err(problem) = shared.take(&line) {
                    shared.fail(problem);
                }
            }
            Ok(None) => break,
            Err(error) => {
                shared.fail(format!("what the driver prints can't be read: {error}"));
                break;
            }
        }
    }
    // Nothing will be answered any more: who waits sees that.
    shared.requests.lock().expect("no panic").clear();
}

async fn keep(mut stderr: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let mut chunk = vec![0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        let mut kept = shared.stderr.lock().expect("no panic");
        kept.extend_from_slice(&chunk[..length]);
        let over = kept.len().saturating_sub(STDERR_MAX_BYTES);
        kept.drain(..over);
    }
}

// === impl Shared ===

impl Shared {
    fn fail(&self, problem: String) {
        self.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            broken.get_or_insert(problem);
            first
        });
    }

    fn take(&self, line: &str) -> Result<(), String> {
        if self.secrets.iter().any(|secret| line.contains(secret)) {
            return Err("the driver printed the key".into());
        }
        let short: String = line.chars().take(200).collect();
        let answer: Value = serde_json::from_str(line)
            .map_err(|error| format!("the driver printed {short:?}, which is no JSON: {error}"))?;
        let id = answer["id"]
            .as_u64()
            .ok_or_else(|| format!("the driver printed {short:?} without an id"))?;
        let requests = self.requests.lock().expect("no panic");
        let request = requests
            .get(&id)
            .ok_or_else(|| format!("the driver answered {id}, which was not asked: {short:?}"))?;
        if request.borrow().answer.is_some() {
            return Err(format!("the driver answered {id} twice: {short:?}"));
        }
        if let Some(piece) = answer["piece"].as_str() {
            request.send_modify(|progress| progress.pieces.push(piece.into()));
            return Ok(());
        }
        if answer["ok"].is_object() == answer["error"].is_object() {
            return Err(format!(
                "an answer has either `ok` or `error`, an object: {short:?}"
            ));
        }
        request.send_modify(|progress| progress.answer = Some(answer));
        Ok(())
    }
}

/// Drivers as `name=path:name=path`.
pub fn programs(text: &str) -> Vec<Program> {
    let each = text.split(':').filter(|part| !part.is_empty());
    each.map(|part| {
        let (name, path) = part
            .split_once('=')
            .unwrap_or_else(|| panic!("{part:?} in QUARTERDECK_TEST_CLIENTS is not NAME=PATH"));
        let path = Path::new(path);
        let path = match path.is_relative() && !path.exists() {
            // `cargo test` may run elsewhere.
            true => Path::new(env!("CARGO_MANIFEST_DIR")).join(path),
            false => path.to_owned(),
        };
        let path = std::fs::canonicalize(&path)
            .unwrap_or_else(|error| panic!("driver {}: {error}", path.display()));
        Program {
            name: name.into(),
            command: vec![path],
        }
    })
    .collect()
}
