//! Measured servers, each in a process of its own: this binary again as a floor, or the gateway as it ships.
//!
//! A server prints `listening on http://ADDRESS` once it accepts; a floor takes commands on its standard input.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

/// First argument by which this binary is a server.
pub const SERVER_ARGUMENT: &str = "server";

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    commands: ChildStdin,
    pub address: SocketAddr,
}

impl Server {
    /// Starts this binary as the server of that name.
    pub fn own(name: &str, arguments: &[&OsStr]) -> Self {
        let program = std::env::current_exe().expect("a running program has a file");
        let mut command = Command::new(program);
        command.args([SERVER_ARGUMENT, name]).args(arguments);
        Self::start(command)
    }

    /// Starts the gateway.
    pub fn gateway(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .env("QUARTERDECK_LOG", "warn")
            .env("QUARTERDECK_DISK_RESERVE", "0")
            .env("QUARTERDECK_NO_AUTH", "true")
            // All readers come from this machine.
            .env("QUARTERDECK_MAX_CONNECTIONS_PER_ADDRESS", "0")
            .envs(environment.iter().copied());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped"))
            .read_line(&mut line)
            .expect("readable");
        let address = line
            .trim()
            .strip_prefix("listening on http://")
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("{command:?} said {line:?}"));
        let commands = child.stdin.take().expect("piped");
        Self {
            child,
            commands,
            address,
        }
    }

    /// Gives a command.
    pub fn tell(&mut self, command: &str) {
        let line = format!("{command}\n");
        self.commands
            .write_all(line.as_bytes())
            .expect("the server lives");
    }

    /// CPU time of its living threads, user and system.
    pub fn cpu(&self) -> Duration {
        let tasks =
            fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the server lives");
        let nanos = |task: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        };
        Duration::from_nanos(tasks.flatten().filter_map(nanos).sum())
    }

    /// Resident bytes now.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Most bytes that were ever resident.
    pub fn resident_peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("the server lives");
        text.lines()
            .find_map(|line| {
                line.strip_prefix(field)?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse::<u64>()
                    .ok()
            })
            .expect("the kernel tells it")
            * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
