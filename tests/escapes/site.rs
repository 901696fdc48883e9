//! A server under some user with everything around it that its agents should not reach.

use crate::support::{Client, SOON, connect};
use quarterdeck::proto;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{PermissionsExt as _, chown},
            net::{SocketAddr, UnixListener},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};
use tonic::metadata::{Ascii, MetadataValue};

/// An id that nobody has.
const ORDINARY: u32 = 12345;
/// The interpreter of the system: an ordinary user may not reach that of a version manager.
const PYTHON: &str = "/usr/bin/python3";

/// Who runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Root.
    Root,
    /// Somebody without rights.
    Ordinary,
}

/// A running server.
pub struct Site {
    server: Child,
    address: String,
    directory: tempfile::TempDir,
    /// Closed with the site.
    _abstract_socket: UnixListener,
    abstract_name: String,
    shared_memory: SharedMemory,
}

/// A segment of System V shared memory that everybody may open.
struct SharedMemory {
    key: i32,
    holder: Child,
}

impl Site {
    /// Starts a server on that rung. `None` where the machine does not offer it; the gate's does.
    pub fn start(rung: &str, user: User) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        mode(root, 0o755);
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let scripts = root.join("scripts");
        fs::create_dir(&scripts).expect("a directory");
        for (from, name) in [
            ("fixtures/fake_pi.py", "fake_pi.py"),
            ("escapes/escape.py", "escape.py"),
        ] {
            fs::copy(tests.join(from), scripts.join(name)).expect("a fixture");
            mode(&scripts.join(name), 0o644);
        }
        fs::write(scripts.join("root"), "root's").expect("a file");
        mode(&scripts.join("root"), 0o600);
        mode(&scripts, 0o755);
        let binary = binary();
        // What follows is the server's own.
        let home = root.join("home");
        fs::create_dir(&home).expect("a directory");
        let config = home.join("quarterdeck.toml");
        let settings = format!(
            "listen = \"127.0.0.1:0\"\ndisk_reserve = \"0\"\ndefault_agent = \"wild\"\nisolation = {rung:?}\n\
             [agents.wild]\ndriver = \"pi\"\ncommand = [{PYTHON:?}, \"-S\", \"-E\", {script:?}]\n\
             isolation_read = [{scripts:?}]\n",
            script = scripts.join("fake_pi.py"),
        );
        fs::write(&config, settings).expect("a file");
        fs::write(home.join("neighbour"), "nobody else's").expect("a file");
        let mut command = Command::new(binary);
        command
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(root.join("home/data"))
            .current_dir(&home)
            .env("HOME", &home)
            .env_remove("TMPDIR")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for path in [&home, &config, &home.join("neighbour")] {
            let way = match user {
                User::Ordinary => 0o700,
                // Its agents go through it as users of their own.
                User::Root => 0o711,
            };
            mode(path, if path == &home { way } else { 0o600 });
            if user == User::Ordinary && crate::is_root() {
                chown(path, Some(ORDINARY), Some(ORDINARY)).expect("root may");
            }
        }
        if user == User::Ordinary && crate::is_root() {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        let mut server = command.spawn().expect("the binary starts");
        let mut line = String::new();
        let mut output = BufReader::new(server.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("text");
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            let mut why = String::new();
            let mut errors = server.stderr.take().expect("piped");
            errors.read_to_string(&mut why).expect("text");
            server.wait().expect("it was ours");
            let gate = std::env::var_os("CI").is_some();
            assert!(!gate && why.contains("isolation"), "no server: {why}");
            return None;
        };
        // Its log is read to its end, so that it never waits for us.
        let mut errors = server.stderr.take().expect("piped");
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let abstract_name = format!("quarterdeck-test-{}", server.id());
        let named = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        Some(Self {
            address: address.to_owned(),
            shared_memory: SharedMemory::new(server.id()),
            server,
            directory,
            _abstract_socket: UnixListener::bind_addr(&named).expect("it is free"),
            abstract_name,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the agent of one session could do, as `escape.py` says it.
    pub async fn try_everything(&self) -> Value {
        let key = fs::read_to_string(self.path("home/data/admin.key")).expect("a key");
        let key = format!("Bearer {}", key.trim());
        let key: MetadataValue<Ascii> = key.parse().expect("visible");
        let mut client = connect(&self.address).await;
        let other = run(&mut client, &key, "other", "shell pwd").await;
        let other_file = Path::new(other.trim()).join("secret");
        // As the agent of that session would.
        run(&mut client, &key, "other", "shell echo secret > secret").await;
        assert!(other_file.is_file(), "{} is there", other_file.display());
        run(&mut client, &key, "curious", "say hello").await;
        let port = self.address.rsplit(':').next().expect("a port");
        let target = json!({
            "data": self.path("home/data"),
            "config": self.path("home/quarterdeck.toml"),
            "server": self.server.id(),
            "keeper": child_of(self.server.id()),
            "other_file": other_file,
            "abstract": self.abstract_name,
            "shared": format!("/tmp/quarterdeck-escape-{}", self.server.id()),
            "root_file": self.path("scripts/root"),
            "neighbour": self.path("home/neighbour"),
            "port": port.parse::<u16>().expect("a number"),
            "shm_key": self.shared_memory.key,
        });
        let script = self.path("scripts/escape.py");
        let command = format!("shell {PYTHON} {} '{target}'", script.display());
        let shared = target["shared"].as_str().expect("a path");
        let answer = run(&mut client, &key, "curious", &command).await;
        let mut found: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        // An own /tmp takes the name as well; it is an escape where it is the machine's.
        let private = found["worked"]["write to the shared /tmp"] == true
            && !self.can_see_each_other(&mut client, &key, shared).await;
        if private {
            found["worked"]["write to the shared /tmp"] = "it is its own".into();
        }
        found
    }

    /// True where the agent sees a file of ours in `/tmp`.
    async fn can_see_each_other(
        &self,
        client: &mut Client,
        key: &MetadataValue<Ascii>,
        path: &str,
    ) -> bool {
        fs::write(path, "ours").expect("a file");
        let said = run(client, key, "curious", &format!("shell ls -d {path}")).await;
        fs::remove_file(path).expect("it is ours");
        said.trim() == path
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Already gone is fine; its agents go with it.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl SharedMemory {
    fn new(number: u32) -> Self {
        let key = 0x5144_0000 + i32::try_from(number % 0x1_0000).expect("small");
        let script = format!(
            "import ctypes, sys\nlibc = ctypes.CDLL(None)\none = libc.shmget({key}, 4096, 0o1666)\n\
             print(one, flush=True)\nsys.stdin.read()\nlibc.shmctl(one, 0, None)\n"
        );
        let mut holder = Command::new(PYTHON)
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need the system's python3");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("text");
        assert!(line.trim().parse::<u32>().is_ok(), "a segment: {line}");
        Self { key, holder }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // Its end of input is its end.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

/// The server where every user can start it. Copied once, before anything is started: a program that somebody has open to
/// write can't be.
fn binary() -> &'static Path {
    static COPY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = COPY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        mode(directory.path(), 0o755);
        let path = directory.path().join("quarterdeck");
        fs::copy(env!("CARGO_BIN_EXE_quarterdeck"), &path).expect("the binary");
        mode(&path, 0o755);
        (directory, path)
    });
    path
}

/// A process that has this one as its parent: a keeper.
fn child_of(parent: u32) -> u32 {
    let processes = fs::read_dir("/proc").expect("there is a /proc").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit(") ").next().unwrap_or_default();
            fields.split(' ').nth(1) == Some(&parent.to_string())
        })
        .expect("an agent is awake")
}

/// Runs a turn; returns what it answered.
async fn run(client: &mut Client, key: &MetadataValue<Ascii>, session: &str, text: &str) -> String {
    let mut request = tonic::Request::new(proto::RunRequest {
        enqueue: Some(proto::EnqueueRequest {
            session_key: session.into(),
            text: text.into(),
            ..Default::default()
        }),
        ..Default::default()
    });
    request.metadata_mut().insert("authorization", key.clone());
    request.set_timeout(SOON * 4);
    let mut events = client.run(request).await.expect("accepted").into_inner();
    let mut said = String::new();
    while let Some(event) = events.message().await.expect("the stream goes on") {
        match event.kind {
            Some(proto::gateway_event::Kind::Token(token)) => said.push_str(&token.delta),
            Some(proto::gateway_event::Kind::TurnEnded(end)) => {
                let turn = end.turn.expect("a turn");
                assert_eq!(
                    turn.state(),
                    proto::TurnState::Completed,
                    "{text}: {turn:?}"
                );
                return said;
            }
            _ => {}
        }
    }
    panic!("{text}: the turn did not end");
}
