//! A child process behind a keeper: lines in, lines out, and an end that can be proven.
//!
//! It owns the pipes and the [`keeper`]; the driver owns the protocol. Promises:
//! * Dropping a [`Process`] ends everything it started; so does the gateway's death, however it dies.
//! * [`Process::stop`] and [`Process::wait`] answer once nothing of it is left, or say that they can't prove it.
//! * A child can neither hang the caller (its input goes through a bounded queue and a task of its own, so that
//!   `write_line` never waits for a child that itself waits for `next_line`) nor grow memory (lines and standard error
//!   are bounded).
//! * A child gets a short environment, three descriptors, and what [`ProcessLimits`] and `confine` leave it.
//!
//! Every process carries two marks in its environment: [`NODE_VARIABLE`], by which the next life of a gateway finds
//! what this one left, and [`PROCESS_VARIABLE`], by which this one finds what a killed keeper left.
//! Where there is neither `/proc` nor a subreaper (not Linux) only the agent's process group is ended.

pub use super::{
    confine::ProcessLimits,
    lines::{LINE_MAX, Line, STRING_KEPT_BYTES},
};

use super::{
    StartError,
    isolation::{Confinement, Rung, Visible, plan::Plan, users::UserRange},
    keeper, lineage,
    lines::Lines,
};
use bytes::{BufMut, Bytes, BytesMut};
use rustix::process::{Pid, Signal};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use uuid::Uuid;

/// Names the gateway's store in the environment of all that it starts.
pub const NODE_VARIABLE: &str = "QUARTERDECK_NODE";
/// Names one process in the environment of all that it starts.
pub const PROCESS_VARIABLE: &str = "QUARTERDECK_PROCESS";
/// Tells a keeper and what follows it how the agent is kept; the agent itself does not get it.
pub const KEEPER_VARIABLE: &str = "QUARTERDECK_KEEPER";

/// Time for a place in a child's input queue.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that may wait in a child's input queue; no line can be longer.
pub const WRITES_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Lines that may wait in a child's input queue.
pub const WRITES_MAX: usize = 64;
/// What is kept of standard error, in bytes.
pub const STDERR_TAIL_MAX: usize = 4096;
/// Time that a proof of a stop may take.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a child may take to exit after it closed its output.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two looks for what killed keepers have left.
const ORPHANS_LOOK: Duration = Duration::from_secs(5);
/// Time for the last words on standard error, once everything that could write there is gone.
const STDERR_TIMEOUT: Duration = Duration::from_secs(1);

/// Variables that an agent takes over from the gateway, besides those that begin with `LC_`. Not `HOME` and `TMPDIR`,
/// which are a session's own.
const INHERITED: [&str; 15] = [
    "PATH",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TZ",
    "TERM",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "ftp_proxy",
];

/// How agents are started on this node.
#[derive(Clone, Debug)]
pub struct ProcessHost {
    /// Our own binary.
    pub keeper: PathBuf,
    /// Value of [`NODE_VARIABLE`]: the store's id.
    pub node_mark: String,
    /// How the processes of one agent are kept apart from all others.
    pub confinement: Confinement,
    /// Where it is a worker's: the file of its [`Fence`](super::fence::Fence), by which keepers end their agents.
    pub fence: Option<PathBuf>,
}

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct ProcessSpec {
    /// Program, looked up in `PATH` where it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Set on top of the few variables that are inherited; everything else is cleared.
    pub environment: Vec<(OsString, OsString)>,
    /// Must exist.
    pub working_directory: PathBuf,
    /// Bounds of it and of all that it starts.
    pub limits: ProcessLimits,
    /// What it may see of the file system, where the host's rung bounds that.
    pub visible: Visible,
    /// User and group id that it is to have; only where this process is root's, and not on [`Rung::None`]. `None` leaves
    /// this process's own.
    pub user: Option<u32>,
}

/// How a process ended, once nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// `exit status: 1`, `signal 9` …
    pub status: String,
    /// Last of its standard error; at most [`STDERR_TAIL_MAX`] bytes.
    pub stderr_tail: String,
}

/// Something may be left of a process. For people: names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StopFailed(pub String);

/// A running child and all below it.
#[derive(Debug)]
pub struct Process {
    keeper: Child,
    output: Lines<ChildStdout>,
    /// Held by lines until they are written: the bound in bytes.
    room: Arc<Semaphore>,
    input: mpsc::Sender<QueuedLine>,
    /// Ends with the process at the latest: a child that does not read holds it for ever.
    writer: JoinHandle<()>,
    stderr: Arc<Mutex<Tail>>,
    stderr_reader: JoinHandle<()>,
    /// Value of [`PROCESS_VARIABLE`].
    mark: String,
    /// The first process of the agent's PID namespace; [`Rung::Namespace`] only.
    init: Option<watch::Receiver<Init>>,
    /// Set once the keeper's status was taken.
    exit: Option<Exit>,
}

/// What is known of the first process of a PID namespace.
#[derive(Clone, Debug)]
enum Init {
    /// Nothing yet.
    Unknown,
    /// It is this one: its end is the proof that nothing of the namespace is left.
    Is(Arc<lineage::Watched>),
    /// It is gone, and with it all, or it never started anything.
    Gone,
}

/// A line, and its part of the queue's bytes.
#[derive(Debug)]
struct QueuedLine(Bytes, OwnedSemaphorePermit);

/// Last bytes of standard error.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

/// Ends what an earlier life of a gateway with this mark left running, and waits for it. Returns how many processes
/// there were. Call it under the data directory's lock: it ends the agents of a live gateway with this mark just as
/// well. What it can't end within ten seconds it logs.
pub async fn sweep_leftovers(node_mark: &str) -> usize {
    let deadline = Instant::now() + PROOF_TIMEOUT;
    match lineage::sweep(NODE_VARIABLE, node_mark, deadline).await {
        Ok(count) => count,
        Err(left) => {
            let survivors = lineage::describe(&left);
            tracing::error!(%survivors, "processes of an earlier life are still there");
            0
        }
    }
}

/// Ends what agents of these user ids have left running under no keeper, marked or not, and waits for it. Returns how many
/// processes there were. What it can't end within ten seconds it logs.
pub async fn sweep_users(range: UserRange) -> usize {
    let deadline = Instant::now() + PROOF_TIMEOUT;
    match lineage::sweep_users(range, deadline).await {
        Ok(count) => count,
        Err(left) => {
            let survivors = lineage::describe(&left);
            tracing::error!(%survivors, "processes of agents' users are still there");
            0
        }
    }
}

/// Ends what killed keepers leave to this process, as long as it runs: a stop that is waited for sees to that by itself,
/// but nobody waits for a process that was dropped.
pub async fn end_orphans() {
    loop {
        tokio::time::sleep(ORPHANS_LOOK).await;
        if !lineage::has_orphans() {
            continue;
        }
        let deadline = Instant::now() + PROOF_TIMEOUT;
        if let Err(left) = lineage::end_orphans(deadline).await {
            let survivors = lineage::describe(&left);
            tracing::error!(%survivors, "what a killed keeper left is still there");
        }
    }
}

// === impl Process ===

impl Process {
    /// Starts a program behind a keeper of its own. Needs a tokio runtime.
    ///
    /// # Errors
    /// The keeper did not start. A program that does not start ends with status [`keeper::NOT_STARTED`] and says why on
    /// standard error.
    pub fn spawn(host: &ProcessHost, spec: ProcessSpec) -> Result<Self, StartError> {
        let ProcessSpec {
            program,
            arguments,
            environment,
            working_directory,
            limits,
            visible,
            user,
        } = spec;
        let mark = Uuid::new_v4().to_string();
        let plan = Plan::new(
            &host.confinement,
            &visible,
            working_directory.clone(),
            limits,
            user,
            host.fence.clone(),
        )
        .and_then(|plan| plan.to_value());
        let plan =
            plan.map_err(|problem| StartError(format!("can't isolate the agent: {problem}")))?;
        let mut command = Command::new(&host.keeper);
        command
            .arg(keeper::SUBCOMMAND)
            .arg(std::process::id().to_string())
            // What a sweep finds keepers by: nobody but root may read their environment.
            .arg(format!("{NODE_VARIABLE}={}", host.node_mark))
            .arg(format!("{PROCESS_VARIABLE}={mark}"))
            .arg("--")
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_inherited(name)))
            .envs(environment)
            .env(NODE_VARIABLE, &host.node_mark)
            .env(PROCESS_VARIABLE, &mark)
            .env(KEEPER_VARIABLE, plan)
            .current_dir(&working_directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = lineage::start_keeper(
            || command.spawn(),
            |keeper: &Child| keeper.id().and_then(to_pid),
        );
        let mut keeper = started.map_err(|error| {
            let binary = host.keeper.display();
            let directory = working_directory.display();
            StartError(format!("cannot start {binary} in {directory}: {error}"))
        })?;
        let taken = "it was asked for and is taken once";
        let (input, queue) = mpsc::channel(WRITES_MAX);
        let stderr = Arc::default();
        let (tell, init) = watch::channel(Init::Unknown);
        let isolated = host.confinement.rung == Rung::Namespace;
        Ok(Self {
            output: Lines::new(keeper.stdout.take().expect(taken)),
            room: Arc::new(Semaphore::new(WRITES_MAX_BYTES)),
            input,
            writer: tokio::spawn(write(keeper.stdin.take().expect(taken), queue)),
            stderr_reader: tokio::spawn(read_stderr(
                keeper.stderr.take().expect(taken),
                Arc::clone(&stderr),
                isolated.then_some(tell),
            )),
            stderr,
            keeper,
            mark,
            init: isolated.then_some(init),
            exit: None,
        })
    }

    /// The next line of standard output; `None` at its end. Cancel-safe.
    pub async fn next_line(&mut self) -> Option<Line> {
        self.output.next().await
    }

    /// Queues a line (LF is added) for the child's standard input. It waits for a place in the queue, never for the
    /// child to read. Cancel-safe: a cancelled call has queued nothing.
    ///
    /// # Errors
    /// `TimedOut` after [`WRITE_TIMEOUT`] without a place, `BrokenPipe` once the child's input is closed, `InvalidInput`
    /// for more than [`WRITES_MAX_BYTES`].
    pub async fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "the line is too long");
        let bytes = line.len() + 1;
        if bytes > WRITES_MAX_BYTES {
            return Err(too_long());
        }
        let bytes = u32::try_from(bytes).map_err(|_| too_long())?;
        if self.exit.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let queue = async {
            let room = Arc::clone(&self.room).acquire_many_owned(bytes);
            let room = room.await.expect("it is never closed");
            let place = self.input.reserve().await;
            let place = place.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            let mut text = BytesMut::with_capacity(line.len() + 1);
            text.put_slice(line);
            text.put_u8(b'\n');
            place.send(QueuedLine(text.freeze(), room));
            Ok(())
        };
        timeout(WRITE_TIMEOUT, queue).await.unwrap_or_else(|_| {
            let why = "the agent does not read its input";
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }

    /// The last of standard error so far; at most [`STDERR_TAIL_MAX`] bytes.
    pub fn stderr_tail(&self) -> String {
        lock(&self.stderr).text()
    }

    /// Live processes that the agent started, and what they started.
    pub fn descendants(&self) -> Vec<u32> {
        let Some(root) = self.root() else {
            return vec![];
        };
        let agent = lineage::eldest_child(root);
        lineage::below(root)
            .into_iter()
            .filter(|one| Some(one.pid) != agent)
            .filter_map(|one| u32::try_from(one.pid.as_raw_pid()).ok())
            .collect()
    }

    /// Kills every descendant that is neither the agent nor in `keep`: what a turn left behind after a soft cancel.
    ///
    /// # Errors
    /// What is left after [`PROOF_TIMEOUT`].
    pub async fn end_descendants(&mut self, keep: &[u32]) -> Result<(), StopFailed> {
        let Some(root) = self.root() else {
            return Ok(());
        };
        let mut kept: Vec<Pid> = keep.iter().copied().filter_map(to_pid).collect();
        kept.extend(lineage::eldest_child(root));
        lineage::end_below(root, &kept, Instant::now() + PROOF_TIMEOUT)
            .await
            .map_err(|left| unproven(&left))
    }

    /// Ends the agent and everything below it: TERM to the agent's process group, after `grace` SIGKILL to all. Answers
    /// once nothing is left. Does nothing to a process that ended already; may be called again.
    ///
    /// # Errors
    /// What is left after [`PROOF_TIMEOUT`]. The keeper goes on trying.
    pub async fn stop(&mut self, grace: Duration) -> Result<Exit, StopFailed> {
        if !grace.is_zero() && self.exit.is_none() {
            self.signal(Signal::TERM);
        }
        self.exit_within(grace).await
    }

    /// Closes the agent's input, once what is queued was written: agents that read lines end by that. After `grace` SIGKILL to
    /// it and all below it. Answers once nothing is left.
    ///
    /// # Errors
    /// What is left after [`PROOF_TIMEOUT`]. The keeper goes on trying.
    pub async fn leave(&mut self, grace: Duration) -> Result<Exit, StopFailed> {
        // Its writer ends with its queue.
        self.input = mpsc::channel(1).0;
        self.exit_within(grace).await
    }

    /// Waits for the exit of a process whose output ended. One that has only closed its output gets [`EXIT_TIMEOUT`],
    /// then it is ended; where that can't be proven the status says so.
    pub async fn wait(&mut self) -> Exit {
        match self.exit_within(EXIT_TIMEOUT).await {
            Ok(exit) => exit,
            Err(StopFailed(survivors)) => Exit {
                status: survivors,
                stderr_tail: self.stderr_tail(),
            },
        }
    }

    /// Waits for the exit that comes by itself within `grace`, and brings it about where it does not.
    async fn exit_within(&mut self, grace: Duration) -> Result<Exit, StopFailed> {
        if let Some(exit) = &self.exit {
            return Ok(exit.clone());
        }
        let mut ended = timeout(grace, self.keeper_exit()).await;
        if ended.is_err() {
            self.signal(Signal::USR1);
            ended = timeout(PROOF_TIMEOUT, self.keeper_exit()).await;
        }
        let Ok(status) = ended else {
            let keeper = self.keeper_pid();
            let left = keeper.map(lineage::below).unwrap_or_default();
            let left: Vec<Pid> = left.into_iter().map(|one| one.pid).collect();
            return Err(unproven(&left));
        };
        if status.signal().is_some() {
            // Somebody killed the keeper: its exit proves nothing.
            let deadline = Instant::now() + PROOF_TIMEOUT;
            self.prove_without_keeper(deadline).await?;
        }
        self.writer.abort();
        let _ = timeout(STDERR_TIMEOUT, &mut self.stderr_reader).await;
        let exit = Exit {
            status: describe(status),
            stderr_tail: self.stderr_tail(),
        };
        self.exit = Some(exit.clone());
        Ok(exit)
    }

    /// Ends what a killed keeper left behind, and proves that.
    async fn prove_without_keeper(&mut self, deadline: Instant) -> Result<(), StopFailed> {
        if let Some(init) = &mut self.init {
            // It follows its keeper by itself; the kernel ends the rest of the namespace with it.
            let known = async {
                let known = init.wait_for(|init| !matches!(init, Init::Unknown)).await;
                // Whoever would tell it is gone: nobody was told of.
                known.map_or(Init::Gone, |known| known.clone())
            };
            let late = || StopFailed("could not prove the end of an agent's namespace".into());
            return match timeout_at(deadline, known).await.map_err(|_| late())? {
                Init::Is(watched) => {
                    let ended = watched.ended(deadline).await;
                    ended.map_err(|left| unproven(&[left]))
                }
                Init::Gone | Init::Unknown => Ok(()),
            };
        }
        // What cleared its environment is an orphan now; the rest is found by its mark.
        lineage::sweep(PROCESS_VARIABLE, &self.mark, deadline)
            .await
            .map_err(|left| unproven(&left))?;
        lineage::end_orphans(deadline)
            .await
            .map_err(|left| unproven(&left))
    }

    /// Waits for the keeper and meanwhile throws away what the child says, so that a full pipe does not keep it.
    async fn keeper_exit(&mut self) -> ExitStatus {
        let drain = async {
            self.output.drain().await;
            std::future::pending().await
        };
        tokio::select! {
            biased;
            status = self.keeper.wait() => status.expect("the keeper is our child and only reaped here"),
            () = drain => unreachable!("it never ends"),
        }
    }

    /// Whose eldest child the agent is; `None` once that is gone.
    fn root(&self) -> Option<Pid> {
        let keeper = self.keeper_pid()?;
        let Some(init) = &self.init else {
            return Some(keeper);
        };
        match &*init.borrow() {
            Init::Is(watched) => Some(watched.pid()),
            // The keeper's only child from before the agent starts.
            Init::Unknown => lineage::eldest_child(keeper),
            Init::Gone => None,
        }
    }

    /// `None` once its status was taken: then its id may be a stranger's.
    fn keeper_pid(&self) -> Option<Pid> {
        self.keeper.id().and_then(to_pid)
    }

    fn signal(&self, signal: Signal) {
        if let Some(keeper) = self.keeper_pid() {
            // A zombie takes it as well; another user's process the keeper can't be.
            let _ = rustix::process::kill_process(keeper, signal);
            // An agent may have stopped its keeper.
            let _ = rustix::process::kill_process(keeper, Signal::CONT);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::USR1);
        self.writer.abort();
        self.stderr_reader.abort();
    }
}

/// Writes what is queued until the process is dropped or its input is closed.
async fn write(mut input: ChildStdin, mut queue: mpsc::Receiver<QueuedLine>) {
    while let Some(QueuedLine(line, _room)) = queue.recv().await {
        if let Err(error) = input.write_all(&line).await {
            tracing::debug!(%error, "an agent closed its input");
            return;
        }
    }
}

/// Keeps the last of standard error. Where the keeper tells who the first process of a namespace is (it does before
/// there is an agent that could say anything) that goes to `init`; a keeper that ended before has started nothing.
async fn read_stderr(
    mut stderr: ChildStderr,
    tail: Arc<Mutex<Tail>>,
    init: Option<watch::Sender<Init>>,
) {
    let mut chunk = vec![0; STDERR_TAIL_MAX];
    if let Some(init) = init {
        let mut first = vec![];
        while !first.contains(&b'\n') && first.len() < STDERR_TAIL_MAX {
            match stderr.read(&mut chunk).await {
                Ok(length @ 1..) => first.extend_from_slice(&chunk[..length]),
                Ok(0) | Err(_) => break,
            }
        }
        let line = first
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let told = std::str::from_utf8(&first[..line]).ok();
        let told =
            told.and_then(|line| line.strip_prefix(keeper::INIT_IS)?.trim_end().parse().ok());
        let said = match told.and_then(Pid::from_raw) {
            Some(pid) => {
                let _ = init.send(
                    lineage::Watched::of_namespace(pid)
                        .map_or(Init::Gone, |watched| Init::Is(Arc::new(watched))),
                );
                &first[line..]
            }
            None => {
                let _ = init.send(Init::Gone);
                &first[..]
            }
        };
        lock(&tail).push(said);
    }
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        lock(&tail).push(&chunk[..length]);
    }
}

/// A lock, since both sides hold it for a copy of 4 KiB only.
fn lock(tail: &Mutex<Tail>) -> std::sync::MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_inherited(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        name.starts_with("LC_")
            || INHERITED.contains(&name)
            || (name.ends_with("_PROXY") && INHERITED.contains(&name.to_lowercase().as_str()))
    })
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn unproven(left: &[Pid]) -> StopFailed {
    let left = lineage::describe(left);
    StopFailed(format!("could not prove the end of: {left}"))
}

/// The keeper's status says what became of the agent.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code @ 129..=192), _) => format!("signal {}", code - 128),
        (Some(code), _) => format!("exit status: {code}"),
        (None, Some(signal)) => format!("its keeper got signal {signal}"),
        (None, None) => status.to_string(),
    }
}

// === impl Tail ===

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(STDERR_TAIL_MAX);
        self.0.drain(..excess);
    }

    /// What is no UTF-8 takes three bytes in its place, so the text is cut once more.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let excess = text.len().saturating_sub(STDERR_TAIL_MAX);
        text[text.ceil_char_boundary(excess)..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_bytes_and_stays_small_as_text() {
        let mut tail = Tail::default();
        tail.push(&[b'a'; 3000]);
        tail.push(&[b'b'; 3000]);
        assert_eq!(tail.text(), "a".repeat(1096) + &"b".repeat(3000));
        tail.push(&[0xff; STDERR_TAIL_MAX]);
        let text = tail.text();
        assert!(text.len() <= STDERR_TAIL_MAX && text.len() > STDERR_TAIL_MAX - 3);
        assert!(text.chars().all(|c| c == char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn an_agent_inherits_a_short_list_and_no_secret() {
        for name in ["PATH", "LC_ALL", "HTTPS_PROXY", "no_proxy"] {
            assert!(is_inherited(OsStr::new(name)), "{name}");
        }
        for name in [
            "OPENAI_API_KEY",
            "QUARTERDECK_MEMORY_KEY",
            "QUARTERDECK_TOKEN",
            // Of the gateway's user, and shared by all that it runs.
            "HOME",
            "TMPDIR",
            "path",
            "LD_PRELOAD",
            "MY_PROXY",
        ] {
            assert!(!is_inherited(OsStr::new(name)), "{name}");
        }
    }
}
