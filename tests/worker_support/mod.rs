//! A worker process for tests: ours, or the example of the Python client. Killed with the test.
#![allow(dead_code, reason = "each test binary uses its own part")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A running worker.
pub struct Worker {
    child: Child,
    command: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    _directory: Option<tempfile::TempDir>,
}

// === impl Worker ===

impl Worker {
    /// Ours, with these agents of its own configuration.
    pub fn start(address: &str, name: &str, agents: &[&str], config: &str) -> Self {
        Self::start_with_key(address, name, agents, config, "")
    }

    /// The same, with a key for the gateway.
    pub fn start_with_key(
        address: &str,
        name: &str,
        agents: &[&str],
        config: &str,
        key: &str,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("worker.toml");
        std::fs::write(&file, config).expect("a file");
        // A runner that was built elsewhere is told where the program is.
        let program = std::env::var_os("QUARTERDECK_TEST_SERVER");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_quarterdeck").into());
        let mut command = vec![program];
        command.extend(["worker", "--name", name, "--addr", address].map(OsString::from));
        for agent in agents {
            command.extend(["--agent", agent].map(OsString::from));
        }
        command.extend(["--config".into(), file.into_os_string()]);
        command.extend(["--data-dir".into(), directory.path().join("data").into()]);
        let key = Some(key).filter(|it| !it.is_empty());
        let variables = key.map(|it| ("QUARTERDECK_KEY".into(), it.into()));
        Self::run(command, variables.into_iter().collect(), Some(directory))
    }

    /// The example of the Python client, with an agent of its own.
    pub fn python(interpreter: PathBuf, address: &str, name: &str, agent: &str) -> Self {
        let script = "clients/python/examples/worker.py";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let command = vec![interpreter.into(), script.into(), agent.into(), name.into()];
        let variables = vec![("QUARTERDECK_ADDR".into(), address.into())];
        Self::run(command, variables, None)
    }

    fn run(
        command: Vec<OsString>,
        variables: Vec<(OsString, OsString)>,
        directory: Option<tempfile::TempDir>,
    ) -> Self {
        Self {
            child: spawn(&command, &variables),
            command,
            variables,
            _directory: directory,
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        kill_process(pid, signal).expect("it lives");
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is ours to kill");
        self.child.wait().expect("it is ours");
    }

    /// Starts it again after its end, with the same directory.
    pub fn restart(&mut self) {
        self.child = spawn(&self.command, &self.variables);
    }

    /// Waits for its end; returns the exit code.
    pub async fn ended(mut self) -> Option<i32> {
        let waits = tokio::task::spawn_blocking(move || {
            let status = self.child.wait().expect("it is ours");
            drop(self);
            status.code()
        });
        waits.await.expect("it ends")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &[OsString], variables: &[(OsString, OsString)]) -> Child {
    let errors = match std::env::var_os("TEST_LOG") {
        Some(_) => Stdio::inherit(),
        None => Stdio::null(),
    };
    Command::new(&command[0])
        .args(&command[1..])
        .env_remove("QUARTERDECK_KEY")
        .envs(variables.iter().cloned())
        .stderr(errors)
        .spawn()
        .expect("it starts")
}
