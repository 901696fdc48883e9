//! One turn on a worker, from its assignment to the acknowledgement of its end.
//!
//! It never waits for one thing alone: words of the server, the clock that ends its agent, the agent and the connection
//! are all listened to at once, the clock first, so that a process that was stopped and goes on looks at it before it does
//! anything else.

use super::{Done, Kept, outbox::Outbox};
use crate::{
    agent::{
        Agent, AgentCommand, AgentEvent, Driver, OpenRequest, Outcome, TurnInput,
        conversation::Conversation,
    },
    beneath::blocking,
    domain::{limits::KILL_PROOF_MAX, message::Message, refusal::Refusal, turn::Attachment},
    proto::{self, connect_request::Frame as Up},
    session::handle::{Directories, Prepared},
    workers::frames,
};
use async_trait::async_trait;
use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{error, warn};
use uuid::Uuid;

/// What an assignment is told.
pub(super) enum ToTask {
    Steer(proto::WorkerSteer),
    Abort(proto::WorkerAbort),
    Answer(proto::WorkerAnswer),
    Call(proto::WorkerCall),
    Ack(proto::WorkerAck),
    /// There is another connection, which wants all from a number on, with so much credit.
    Resume(mpsc::Sender<proto::ConnectRequest>, i64, u64),
    /// The lease is not its own any more; the connection to say on that it has ended.
    Fenced(mpsc::Sender<proto::ConnectRequest>),
    /// The connection is gone.
    Cut,
    /// The program ends.
    End,
}

/// What an assignment works with.
pub(super) struct Task {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) directories: Directories,
    pub(super) kept: Option<Kept>,
    pub(super) words: mpsc::Receiver<ToTask>,
    pub(super) acknowledged: Arc<AtomicI64>,
    pub(super) fence: watch::Receiver<Instant>,
    pub(super) done: mpsc::Sender<Done>,
}

/// The messages that came with an assignment.
#[derive(Debug)]
struct History(Vec<Message>);

/// What a running assignment knows.
struct Running {
    token: String,
    out: Option<mpsc::Sender<proto::ConnectRequest>>,
    outbox: Outbox,
    /// Commands that were applied already.
    applied: HashSet<String>,
    /// Commands that the agent's channel had no room for yet.
    commands: VecDeque<AgentCommand>,
    killed: bool,
    ended: bool,
}

/// How the agent is to end at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// By the clock: the lease may be given away.
    Clock,
    /// By the server's word.
    Fenced,
    /// The program ends.
    End,
}

// === impl History ===

#[async_trait]
impl Conversation for History {
    async fn newest(&self, max_bytes: usize) -> Result<Vec<Message>, Refusal> {
        let mut room = max_bytes;
        let mut newest: Vec<Message> = Vec::new();
        for message in self.0.iter().rev() {
            let bytes = crate::wire::frames::encode_parts(&message.parts).len();
            if bytes > room && !newest.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            newest.push(message.clone());
        }
        newest.reverse();
        Ok(newest)
    }

    async fn attachment(&self, attachment_id: &str) -> Result<Attachment, Refusal> {
        let attachment_id = attachment_id.to_owned();
        Err(Refusal::AttachmentNotFound { attachment_id })
    }
}

// === impl Task ===

impl Task {
    pub(super) async fn run(
        mut self,
        mut assign: proto::WorkerAssign,
        out: mpsc::Sender<proto::ConnectRequest>,
        credit: u64,
    ) {
        let token = assign.lease_token.clone();
        let workspace_id = assign.workspace_id.clone();
        let mut running = Running {
            outbox: Outbox::new(token.clone(), credit),
            token: token.clone(),
            out: Some(out),
            applied: HashSet::new(),
            commands: VecDeque::new(),
            killed: false,
            ended: false,
        };
        running.outbox.control(Up::Accepted(proto::WorkerAccepted {
            lease_token: token.clone(),
        }));
        let kept = self.turn(&mut running, &mut assign).await;
        let done = Done {
            token,
            workspace_id,
            kept,
        };
        // The program waits for it until it ends itself.
        let _ = self.done.send(done).await;
    }

    async fn turn(
        &mut self,
        running: &mut Running,
        assign: &mut proto::WorkerAssign,
    ) -> Option<Kept> {
        let Some(input) = frames::input_of(assign) else {
            running.outbox.not_started("its turn has no id".to_owned());
            self.deliver(running).await;
            return None;
        };
        let mut kept = match self.open(running, assign).await {
            Ok(kept) => kept,
            Err(None) => return None,
            Err(Some(message)) => {
                running.outbox.not_started(message);
                self.deliver(running).await;
                return None;
            }
        };
        let input = TurnInput {
            transcript: if kept.agent.remembers {
                String::new()
            } else {
                kept.agent.remembers = true;
                input.transcript.clone()
            },
            ..input
        };
        running
            .commands
            .push_back(AgentCommand::StartTurn(Box::new(input)));
        if let Some(cut) = self.follow(running, &mut kept.agent).await {
            self.cut(running, kept, cut).await;
            return None;
        }
        self.deliver(running).await;
        kept.since = Instant::now();
        kept.lives().then_some(kept)
    }

    /// The session's agent: the one that is open, where it fits, else a new one. `Err(None)` where it is not wanted any more,
    /// and nothing of it is left.
    async fn open(
        &mut self,
        running: &mut Running,
        assign: &proto::WorkerAssign,
    ) -> Result<Kept, Option<String>> {
        if let Some(kept) = self.kept.take() {
            let fits = kept.name == assign.agent
                && kept.lives()
                && (kept.agent.takes_choices
                    || (&kept.model, &kept.thinking_level)
                        == (&assign.model, &assign.thinking_level));
            if fits {
                return Ok(kept);
            }
            kept.end().await;
        }
        let request = self.request(assign).await?;
        let driver = self.driver.clone();
        let mut opening = Box::pin(async move { driver.open(request).await });
        let agent = loop {
            let fence = *self.fence.borrow();
            tokio::select! {
                biased;
                () = sleep_until(fence) => if Instant::now() >= *self.fence.borrow() {
                    warn!("out of contact for too long; a turn is not begun");
                    return Err(None);
                },
                word = self.words.recv() => match word {
                    Some(ToTask::Abort(abort)) => {
                        running.applied(&abort.command_id);
                        running.outbox.say(AgentEvent::TurnEnded(Outcome::Stopped));
                        drop(opening);
                        self.deliver(running).await;
                        return Err(None);
                    }
                    Some(ToTask::Fenced(out)) => {
                        drop(opening);
                        say_stopped(&running.token, &out, running.outbox.last() + 1, vec![]);
                        return Err(None);
                    }
                    Some(ToTask::End) | None => return Err(None),
                    Some(other) => running.word(other),
                },
                _ = self.fence.changed() => {}
                permit = reserve(running.out.as_ref()), if running.outbox.may_send() => running.send(permit),
                opened = &mut opening => break opened,
            }
        };
        match agent {
            Ok(mut agent) => {
                // Its first word, which says nothing that the server wants to know.
                let ready = agent.events.recv().await;
                debug_assert!(matches!(ready, Some(AgentEvent::Ready { .. }) | None));
                Ok(Kept {
                    agent,
                    name: assign.agent.clone(),
                    model: assign.model.clone(),
                    thinking_level: assign.thinking_level.clone(),
                    since: Instant::now(),
                })
            }
            Err(problem) => Err(Some(problem.to_string())),
        }
    }

    async fn request(&self, assign: &proto::WorkerAssign) -> Result<OpenRequest, Option<String>> {
        let workspace = Uuid::parse_str(&assign.workspace_id);
        let workspace = workspace.map_err(|_| Some("workspace_id is no UUID".to_owned()))?;
        let directories = self.directories.clone();
        let (tenant, agent) = (assign.tenant.clone(), assign.agent.clone());
        // Sessions share nothing here: the server alone knows whose they are.
        let prepare =
            move || directories.prepare(workspace, &tenant, &workspace.to_string(), &agent);
        let prepared = blocking(prepare).await;
        let Prepared {
            work,
            session,
            gateway,
            home,
            temporary,
            owner,
            user,
        } = prepared
            .map_err(|problem| Some(format!("its directories can't be used: {problem}")))?;
        let history = assign.history.iter().map(frames::message_of).collect();
        Ok(OpenRequest {
            tenant: assign.tenant.clone(),
            session_key: assign.session_key.clone(),
            session_id: workspace,
            model: assign.model.clone(),
            thinking_level: assign.thinking_level.clone(),
            working_directory: work,
            session_directory: session,
            owner_directory: owner,
            gateway_directory: gateway,
            home_directory: home,
            temporary_directory: temporary,
            user,
            credential: None,
            conversation: Arc::new(History(history)),
            trace_context: assign.trace_context.clone(),
        })
    }

    /// Follows the agent to its turn's end. Says why it is to end at once, where it is.
    async fn follow(&mut self, running: &mut Running, agent: &mut Agent) -> Option<Cut> {
        while !running.ended {
            let fence = *self.fence.borrow();
            running.offer(agent);
            let room = running.outbox.has_room(running.killed);
            tokio::select! {
                biased;
                () = sleep_until(fence) => if Instant::now() >= *self.fence.borrow() {
                    return Some(Cut::Clock);
                },
                word = self.words.recv() => match word {
                    Some(ToTask::Fenced(out)) => {
                        running.out = Some(out);
                        return Some(Cut::Fenced);
                    }
                    Some(ToTask::End) | None => return Some(Cut::End),
                    Some(other) => {
                        running.word(other);
                        self.acknowledged.store(running.outbox.first(), Ordering::Relaxed);
                    }
                },
                _ = self.fence.changed() => {}
                permit = reserve(running.out.as_ref()), if running.outbox.may_send() => running.send(permit),
                () = tokio::time::sleep(COMMAND_RETRY), if !running.commands.is_empty() => {}
                event = agent.events.recv(), if room => running.said(event),
            }
        }
        None
    }

    /// Waits until all that was said is acknowledged; the clock has nothing to end any more.
    async fn deliver(&mut self, running: &mut Running) {
        while !running.outbox.is_done() {
            tokio::select! {
                biased;
                word = self.words.recv() => match word {
                    // Whoever has the lease now does not want it.
                    Some(ToTask::Fenced(out)) => {
                        say_stopped(&running.token, &out, running.outbox.last() + 1, vec![]);
                        return;
                    }
                    Some(ToTask::End) | None => return,
                    Some(other) => running.word(other),
                },
                permit = reserve(running.out.as_ref()), if running.outbox.may_send() => running.send(permit),
            }
            self.acknowledged
                .store(running.outbox.first(), Ordering::Relaxed);
        }
    }

    /// Ends the agent at once, and says so where somebody waits for it.
    async fn cut(&mut self, running: &mut Running, kept: Kept, why: Cut) {
        warn!(?why, "an agent is ended");
        let Agent {
            commands,
            mut events,
            ..
        } = kept.agent;
        drop(commands);
        let gone = async { while events.recv().await.is_some() {} };
        let proven = timeout(KILL_PROOF_MAX, gone).await.is_ok();
        let survivors = if proven {
            vec![]
        } else {
            error!(agent = kept.name, "an agent did not prove its end");
            vec!["an agent did not prove its end".to_owned()]
        };
        let frame = running.outbox.last() + 1;
        if let (Cut::Fenced | Cut::End, Some(out)) = (why, &running.out) {
            say_stopped(&running.token, out, frame, survivors);
            return;
        }
        // What is left counts as held, until it is gone or the server knows.
        while !survivors.is_empty() {
            tokio::select! {
                word = self.words.recv() => match word {
                    Some(ToTask::Fenced(out)) => {
                        say_stopped(&running.token, &out, frame, survivors);
                        return;
                    }
                    Some(ToTask::End) | None => return,
                    Some(_) => {}
                },
                event = events.recv() => if event.is_none() {
                    return;
                },
            }
        }
    }
}

/// Pause before a command is offered again to an agent whose channel is full.
const COMMAND_RETRY: std::time::Duration = std::time::Duration::from_millis(20);

/// Room on the connection; never there without one.
async fn reserve(
    out: Option<&mpsc::Sender<proto::ConnectRequest>>,
) -> Option<mpsc::OwnedPermit<proto::ConnectRequest>> {
    match out {
        Some(out) => out.clone().reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}

fn say_stopped(
    token: &str,
    out: &mpsc::Sender<proto::ConnectRequest>,
    frame: i64,
    survivors: Vec<String>,
) {
    let stopped = proto::WorkerStopped {
        lease_token: token.to_owned(),
        frame,
        survivors,
    };
    // Lost where the connection is: then the next registration does not name it, which says the same.
    let _ = out.try_send(proto::ConnectRequest {
        frame: Some(Up::Stopped(stopped)),
    });
}

// === impl Running ===

impl Running {
    fn send(&mut self, permit: Option<mpsc::OwnedPermit<proto::ConnectRequest>>) {
        let Some(permit) = permit else {
            self.out = None;
            self.outbox.cut();
            return;
        };
        if let Some(frame) = self.outbox.next() {
            permit.send(frame);
        }
    }

    /// Takes a word that does not end it.
    fn word(&mut self, word: ToTask) {
        match word {
            ToTask::Steer(it) => {
                if self.applied(&it.command_id)
                    && let Ok(steer_id) = Uuid::parse_str(&it.command_id)
                {
                    self.commands.push_back(AgentCommand::Steer {
                        steer_id,
                        text: it.text,
                        attachments: crate::wire::parse::attachments(it.attachments),
                    });
                }
            }
            ToTask::Answer(it) => {
                if self.applied(&it.command_id) {
                    let answer = frames::answer_of(it.answer.unwrap_or_default());
                    self.commands.push_back(AgentCommand::Answer {
                        ask_id: it.ask_id,
                        answer: Box::new(answer),
                    });
                }
            }
            ToTask::Call(it) => {
                if self.applied(&it.command_id) {
                    self.commands.push_back(AgentCommand::Call);
                }
            }
            ToTask::Abort(it) => {
                if self.applied(&it.command_id) {
                    let command = match it.mode() {
                        proto::AbortMode::Cancel => AgentCommand::Cancel,
                        proto::AbortMode::Kill | proto::AbortMode::Unspecified => {
                            self.killed = true;
                            self.outbox.drop_deltas();
                            AgentCommand::Kill
                        }
                    };
                    self.commands.push_back(command);
                }
            }
            ToTask::Ack(it) => {
                let taken = u64::try_from(it.taken_bytes).unwrap_or(0);
                self.outbox.acknowledge(it.frame, taken);
            }
            ToTask::Resume(out, from, credit) => {
                self.out = Some(out);
                self.outbox.resume(from, credit);
            }
            ToTask::Cut => {
                self.out = None;
                self.outbox.cut();
            }
            ToTask::Fenced(_) | ToTask::End => {}
        }
    }

    /// Notes a command and says that it does not need to come again; false where it was applied before.
    fn applied(&mut self, command_id: &str) -> bool {
        self.outbox.control(Up::Applied(proto::WorkerApplied {
            lease_token: self.token.clone(),
            command_id: command_id.to_owned(),
        }));
        self.applied.insert(command_id.to_owned())
    }

    fn said(&mut self, event: Option<AgentEvent>) {
        let event = event.unwrap_or_else(|| AgentEvent::Exited {
            message: "the agent ended without a word".into(),
        });
        if self.killed && !frames::is_durable(&event) {
            return;
        }
        self.ended = matches!(
            event,
            AgentEvent::TurnEnded(_) | AgentEvent::Exited { .. } | AgentEvent::StopFailed { .. }
        );
        self.outbox.say(event);
    }

    /// Never waits: an agent that does not listen must not keep its turn from being stopped.
    fn offer(&mut self, agent: &Agent) {
        while let Some(command) = self.commands.pop_front() {
            match agent.commands.try_send(command) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(command)) => {
                    self.commands.push_front(command);
                    return;
                }
                // Its last word is on the way.
                Err(mpsc::error::TrySendError::Closed(_)) => self.commands.clear(),
            }
        }
    }
}
