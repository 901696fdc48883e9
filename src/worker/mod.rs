//! The worker program: it connects, is given turns, and runs them on the same drivers as the server.
//!
//! One task holds the connection; each assignment is a task of its own (see [`assignment`]) that goes on while the connection
//! is away, and ends its agent by itself once its lease could be given away. The program leaves when it is told to and all
//! that it ran is acknowledged.

mod assignment;
mod outbox;

use crate::{
    agent::{
        Agent, Driver,
        fence::{Fence, since_boot},
    },
    client::{Backoff, Client},
    domain::{agent::Capabilities, limits::KILL_PROOF_MAX},
    proto::{self, connect_request::Frame as Up, connect_response::Frame as Down},
    session::handle::Directories,
    wire::encode,
    workers::frames,
};
use assignment::{Task, ToTask};
use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tracing::{error, info, warn};
use uuid::Uuid;

/// Frames that may wait for the connection.
const OUT_MAX: usize = 64;
/// Words that may wait for an assignment.
const TO_TASK_MAX: usize = 64;
/// Time for a connection to be there.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Agents that are kept open between turns.
const KEPT_MAX: usize = 256;
/// How often idle agents are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a worker is.
pub struct WorkerOptions {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Turns at a time.
    pub capacity: i32,
    /// Its agents.
    pub drivers: BTreeMap<String, Arc<dyn Driver>>,
    /// What each can do here.
    pub capabilities: BTreeMap<String, Capabilities>,
    /// Where they keep their files.
    pub directories: Directories,
    /// Until when their processes may run; their keepers go by it.
    pub fence: Fence,
    /// The server.
    pub client: Client,
    /// Leaves after one turn.
    pub once: bool,
    /// How long an agent may be idle.
    pub agent_idle_timeout: Duration,
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was told to leave, and all that it ran is acknowledged.
    Done,
    /// The server told it to end.
    Terminated(String),
    /// The server refuses it.
    Refused(String),
}

/// An agent that is open between two turns of its session.
struct Kept {
    agent: Agent,
    name: String,
    model: String,
    thinking_level: String,
    since: Instant,
}

/// What the program knows of an assignment.
struct Handle {
    to: mpsc::Sender<ToTask>,
    turn_id: String,
    attempt: i32,
    acknowledged: Arc<AtomicI64>,
}

/// What an assignment's task leaves.
struct Done {
    token: String,
    workspace_id: String,
    kept: Option<Kept>,
}

/// The connection.
struct Link {
    out: mpsc::Sender<proto::ConnectRequest>,
    incoming: Streaming<proto::ConnectResponse>,
    heartbeat: Duration,
    stop_after: Duration,
    lease: Duration,
    credit: u64,
    /// When each heartbeat was sent that is not answered yet, since the system's start.
    beats: BTreeMap<i64, Duration>,
    next_beat: Instant,
    number: i64,
}

/// What the program wakes for.
enum Next {
    Leave,
    Done(Box<Done>),
    Beat,
    Look,
    Frame(Option<Box<Down>>),
    Cut(String),
}

struct Program {
    options: WorkerOptions,
    incarnation: String,
    tasks: HashMap<String, Handle>,
    kept: HashMap<String, Kept>,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    /// When agents are to be ended, unless there is contact before.
    fence: watch::Sender<Instant>,
    /// Takes nothing more.
    leaving: bool,
    /// Ran a turn.
    ran: bool,
}

/// Works until `shutdown` comes and what runs then is done, or the server ends it.
pub async fn run(options: WorkerOptions, shutdown: impl Future<Output = ()>) -> Left {
    let mut program = Program {
        incarnation: Uuid::new_v4().simple().to_string(),
        tasks: HashMap::new(),
        kept: HashMap::new(),
        done: mpsc::channel(OUT_MAX),
        fence: watch::Sender::new(Instant::now()),
        leaving: false,
        ran: false,
        options,
    };
    let mut shutdown = pin!(shutdown);
    let mut backoff = Backoff::new();
    loop {
        let mut link = match timeout(CONNECT_MAX, program.connect()).await {
            Ok(Ok(link)) => {
                backoff = Backoff::new();
                link
            }
            Ok(Err(status)) if is_final(&status) => {
                return Left::Refused(status.message().to_owned());
            }
            problem => {
                let why = match problem {
                    Ok(Err(status)) => status.message().to_owned(),
                    _ => "no answer".to_owned(),
                };
                let until = Instant::now() + backoff.next();
                warn!(why, "the server can't be reached; it is tried again");
                program.wait(until, &mut shutdown).await;
                if program.is_over() {
                    return Left::Done;
                }
                continue;
            }
        };
        info!(worker = program.options.name, "connected");
        if let Some(left) = program.serve(&mut link, &mut shutdown).await {
            program.end_all().await;
            return left;
        }
        for task in program.tasks.values() {
            // Never waits: a task that does not listen has ended.
            let _ = task.to.try_send(ToTask::Cut);
        }
    }
}

/// Whether it makes no sense to try again.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
            | Code::Unimplemented
    )
}

// === impl Program ===

impl Program {
    fn is_over(&self) -> bool {
        self.leaving && self.tasks.is_empty()
    }

    /// Passes time without a connection.
    async fn wait(&mut self, until: Instant, shutdown: &mut (impl Future<Output = ()> + Unpin)) {
        loop {
            let leaving = self.leaving;
            tokio::select! {
                () = &mut *shutdown, if !leaving => self.leaving = true,
                Some(done) = self.done.1.recv() => self.finished(done),
                () = sleep_until(until) => return,
            }
            if self.is_over() {
                return;
            }
        }
    }

    async fn connect(&mut self) -> Result<Link, Status> {
        let (out, receiver) = mpsc::channel(OUT_MAX);
        let sent = since_boot();
        let register = self.register();
        let first = proto::ConnectRequest {
            frame: Some(Up::Register(register)),
        };
        out.try_send(first).expect("it has room");
        let frames = ReceiverStream::new(receiver);
        let mut incoming = self.options.client.connect_worker(frames).await?;
        let registered = match incoming.message().await?.and_then(|it| it.frame) {
            Some(Down::Registered(registered)) => registered,
            Some(_) | None => return Err(Status::unavailable("the server did not register it")),
        };
        let heartbeat = frames::duration_of(registered.heartbeat);
        let link = Link {
            out,
            incoming,
            heartbeat,
            stop_after: frames::duration_of(registered.stop_after),
            lease: frames::duration_of(registered.lease),
            credit: u64::try_from(registered.credit_bytes).unwrap_or(0),
            beats: BTreeMap::new(),
            next_beat: Instant::now() + heartbeat / 2,
            number: 0,
        };
        self.allow(&link, sent);
        Ok(link)
    }

    /// There was contact: what was sent then has been heard, no earlier. Agents may run on from there, and where this process
    /// does not end them in time their keepers do, in the first quarter of what is left of the lease.
    fn allow(&self, link: &Link, sent: Duration) {
        let spare = link.lease.saturating_sub(link.stop_after);
        let deadline = sent + link.stop_after;
        // A few bytes in place. Where that does not come back keepers end what runs.
        if let Err(problem) = self.options.fence.set(deadline + spare / 4) {
            error!(%problem, "the deadline of agents can't be written: they are ended when the last one passes");
            return;
        }
        let left = deadline.saturating_sub(since_boot());
        self.fence.send_replace(Instant::now() + left);
    }

    fn register(&self) -> proto::WorkerRegister {
        let options = &self.options;
        let agent = |(name, can): (&String, &Capabilities)| proto::WorkerAgent {
            name: name.clone(),
            capabilities: Some(encode::capabilities(can)),
        };
        let workspace = |workspace_id: &String| proto::WorkerWorkspace {
            workspace_id: workspace_id.clone(),
            mode: proto::WorkspaceMode::Kept.into(),
        };
        let held = |(token, task): (&String, &Handle)| proto::WorkerHeldLease {
            turn_id: task.turn_id.clone(),
            attempt: task.attempt,
            lease_token: token.clone(),
            last_acked_frame: task.acknowledged.load(Ordering::Relaxed),
        };
        proto::WorkerRegister {
            worker_name: options.name.clone(),
            incarnation: self.incarnation.clone(),
            labels: options.labels.clone(),
            agents: options.capabilities.iter().map(agent).collect(),
            capacity: options.capacity,
            workspaces: self.kept.keys().map(workspace).collect(),
            features: Vec::new(),
            held: self.tasks.iter().map(held).collect(),
            version: concat!("quarterdeck ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Serves a connection until it is cut; says why the program is to leave, where it is.
    async fn serve(
        &mut self,
        link: &mut Link,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> Option<Left> {
        let mut look_at = Instant::now() + LOOK_EVERY;
        if self.leaving {
            self.say_leaving(link);
        }
        loop {
            if self.is_over() {
                return Some(Left::Done);
            }
            let leaving = self.leaving;
            let next = tokio::select! {
                () = &mut *shutdown, if !leaving => Next::Leave,
                Some(done) = self.done.1.recv() => Next::Done(Box::new(done)),
                () = sleep_until(link.next_beat) => Next::Beat,
                () = sleep_until(look_at) => Next::Look,
                message = link.incoming.message() => match message {
                    Ok(Some(message)) => Next::Frame(message.frame.map(Box::new)),
                    Ok(None) => Next::Cut("the server closed the connection".into()),
                    Err(status) => Next::Cut(status.message().to_owned()),
                },
            };
            match next {
                Next::Leave => {
                    self.leaving = true;
                    self.say_leaving(link);
                }
                Next::Done(done) => {
                    let done = *done;
                    self.finished(done);
                    if self.options.once && self.ran && !self.leaving {
                        self.leaving = true;
                        self.say_leaving(link);
                    }
                }
                Next::Beat => {
                    if link.is_silent() {
                        warn!("the server does not answer; the connection is cut");
                        return None;
                    }
                    let now = Instant::now();
                    let sent = since_boot();
                    link.next_beat = now + link.heartbeat / 2;
                    let number = link.number + 1;
                    let beat = Up::Heartbeat(proto::WorkerHeartbeat { number });
                    if link.send(beat) {
                        link.number = number;
                        link.beats.insert(number, sent);
                    }
                }
                Next::Look => {
                    look_at = Instant::now() + LOOK_EVERY;
                    let idle = self.options.agent_idle_timeout;
                    self.kept
                        .retain(|_, it| it.since.elapsed() < idle && it.lives());
                }
                Next::Frame(Some(frame)) => {
                    let frame = *frame;
                    if let Some(left) = self.take(link, frame).await {
                        return Some(left);
                    }
                }
                // Of a later version.
                Next::Frame(None) => {}
                Next::Cut(why) => {
                    warn!(why, "the connection is cut");
                    return None;
                }
            }
        }
    }

    fn say_leaving(&self, link: &Link) {
        let reason = "it was told to stop".to_owned();
        link.send(Up::Leaving(proto::WorkerLeaving { reason }));
    }

    async fn take(&mut self, link: &mut Link, frame: Down) -> Option<Left> {
        match frame {
            Down::Registered(_) => {}
            Down::Ping(ping) => {
                // Counted from when the heartbeat was sent: the server heard it no earlier.
                if let Some(sent) = link.beats.remove(&ping.heartbeat) {
                    link.beats.retain(|number, _| *number > ping.heartbeat);
                    self.allow(link, sent);
                }
            }
            Down::Assign(assign) => self.assign(link, assign),
            Down::Resume(resume) => {
                let token = resume.lease_token.clone();
                let word = if resume.action() == proto::WorkerResumeAction::Continue {
                    ToTask::Resume(link.out.clone(), resume.from_frame, link.credit)
                } else {
                    ToTask::Fenced(link.out.clone())
                };
                if !self.tasks.contains_key(&token) {
                    // It has ended meanwhile.
                    let stopped = proto::WorkerStopped {
                        lease_token: token,
                        frame: i64::MAX,
                        survivors: Vec::new(),
                    };
                    link.send(Up::Stopped(stopped));
                    return None;
                }
                self.tell(&token, word).await;
            }
            Down::Steer(it) => {
                let token = it.lease_token.clone();
                self.tell(&token, ToTask::Steer(it)).await;
            }
            Down::Abort(it) => {
                let token = it.lease_token.clone();
                self.tell(&token, ToTask::Abort(it)).await;
            }
            Down::Answer(it) => {
                let token = it.lease_token.clone();
                self.tell(&token, ToTask::Answer(it)).await;
            }
            Down::Call(it) => {
                let token = it.lease_token.clone();
                self.tell(&token, ToTask::Call(it)).await;
            }
            Down::Ack(it) => {
                let token = it.lease_token.clone();
                self.tell(&token, ToTask::Ack(it)).await;
            }
            Down::Close(it) => {
                self.kept.remove(&it.workspace_id);
            }
            Down::Terminate(it) => {
                warn!(reason = it.reason, "the server ends this worker");
                return Some(Left::Terminated(it.reason));
            }
            Down::Drain(_) => info!("the server stops; what runs goes on until it says otherwise"),
            // Asked by no worker of ours: what an earlier life ran is gone with it.
            Down::RecoveryDecision(_) => {}
        }
        None
    }

    fn assign(&mut self, link: &Link, assign: proto::WorkerAssign) {
        let token = assign.lease_token.clone();
        let reject = |reason: &str| {
            link.send(Up::Rejected(proto::WorkerRejected {
                lease_token: token.clone(),
                reason: reason.to_owned(),
            }));
        };
        if self.leaving {
            return reject("the worker is leaving");
        }
        let capacity = usize::try_from(self.options.capacity).unwrap_or(1);
        // One that waits for its last acknowledgement takes no room.
        if self.tasks.len() >= 2 * capacity {
            return reject("the worker is full");
        }
        let Some(driver) = self.options.drivers.get(&assign.agent).cloned() else {
            return reject("the worker has no such agent");
        };
        self.ran = true;
        let (to, words) = mpsc::channel(TO_TASK_MAX);
        let acknowledged = Arc::new(AtomicI64::new(0));
        let handle = Handle {
            to,
            turn_id: assign.turn_id.clone(),
            attempt: assign.attempt,
            acknowledged: acknowledged.clone(),
        };
        self.tasks.insert(token, handle);
        let kept = self.kept.remove(&assign.workspace_id);
        let task = Task {
            driver,
            directories: self.options.directories.clone(),
            kept,
            words,
            acknowledged,
            fence: self.fence.subscribe(),
            done: self.done.0.clone(),
        };
        tokio::spawn(task.run(assign, link.out.clone(), link.credit));
    }

    async fn tell(&mut self, token: &str, word: ToTask) {
        if let Some(task) = self.tasks.get(token) {
            // It takes its words at once: it never waits for anything else.
            let _ = task.to.send(word).await;
        }
    }

    fn finished(&mut self, done: Done) {
        self.tasks.remove(&done.token);
        if let Some(kept) = done.kept {
            if self.kept.len() >= KEPT_MAX
                && let Some(oldest) = (self.kept.iter())
                    .min_by_key(|(_, it)| it.since)
                    .map(|(id, _)| id.clone())
            {
                self.kept.remove(&oldest);
            }
            self.kept.insert(done.workspace_id, kept);
        }
    }

    /// Ends every agent and waits for the proof.
    async fn end_all(&mut self) {
        for task in self.tasks.values() {
            let _ = task.to.try_send(ToTask::End);
        }
        let all = async {
            while !self.tasks.is_empty() {
                match self.done.1.recv().await {
                    Some(done) => drop(self.tasks.remove(&done.token)),
                    None => return,
                }
            }
        };
        if timeout(2 * KILL_PROOF_MAX, all).await.is_err() {
            error!(left = self.tasks.len(), "agents did not prove their end");
        }
        for (_, kept) in self.kept.drain() {
            kept.end().await;
        }
    }
}

// === impl Link ===

impl Link {
    /// No heartbeat was answered for longer than two of them: another connection may do better, and the lease still lasts.
    fn is_silent(&self) -> bool {
        let first = self.beats.first_key_value();
        first.is_some_and(|(_, sent)| since_boot().saturating_sub(*sent) > 2 * self.heartbeat)
    }

    /// Sends where there is room; else it is as if the frame was lost, and the next heartbeat finds out.
    fn send(&self, frame: Up) -> bool {
        let message = proto::ConnectRequest { frame: Some(frame) };
        self.out.try_send(message).is_ok()
    }
}

// === impl Kept ===

impl Kept {
    fn lives(&self) -> bool {
        !self.agent.commands.is_closed()
    }

    async fn end(self) {
        let Agent {
            commands,
            mut events,
            ..
        } = self.agent;
        drop(commands);
        let gone = async { while events.recv().await.is_some() {} };
        if timeout(KILL_PROOF_MAX, gone).await.is_err() {
            error!(agent = self.name, "an agent did not prove its end");
        }
    }
}
