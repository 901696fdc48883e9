//! The driver `worker`: a session's agent that is on whichever worker its turn goes to.
//!
//! Between turns it holds nothing but the name of the session. A turn gets a lease, which is on disk before its worker hears
//! of it, and is given out again with the same attempt only where a worker says that it did not begin.

use super::{
    CREDIT_BYTES, HISTORY_MAX_BYTES, frames,
    hub::{self, Assignment, Hub, Inbound, Reservation, Selector, WorkerKey},
};
use crate::{
    agent::{
        Agent, AgentCommand, AgentEvent, COMMANDS_MAX, Capabilities, Driver, OpenRequest, Outcome,
        StartError, TurnInput, TurnRoom,
        conversation::Conversation,
        events::{self, EventSender},
        transcript::Transcript,
    },
    domain::{
        agent::{ToolPolicySupport, UsageReports},
        lease::KeptLease,
        turn::{AbortMode, Cause},
    },
    proto::{self, connect_response::Frame as Down},
    wire::encode,
};
use async_trait::async_trait;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::warn;
use uuid::Uuid;

/// Frames that need no acknowledgement of their own.
const ACK_FRAMES: i64 = 64;
/// Longest time until what has arrived is acknowledged.
const ACK_AFTER: Duration = Duration::from_millis(200);
/// Time after which workers that rejected a turn are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The driver of one agent.
pub struct WorkerDriver {
    hub: Arc<Hub>,
    selector: Selector,
}

/// One session's agent.
struct Remote {
    hub: Arc<Hub>,
    selector: Selector,
    tenant: String,
    session_key: String,
    session_id: Uuid,
    conversation: Arc<dyn Conversation>,
    commands: mpsc::Receiver<AgentCommand>,
    events: EventSender,
    settled: watch::Receiver<u64>,
    /// Events that the actor was handed.
    sent: u64,
}

/// What became of an assignment.
enum Ran {
    /// The turn has ended, and this was its last word.
    Ended(Last),
    /// Nobody began it.
    NotBegun(WorkerKey, String),
}

/// After a turn's last word.
#[derive(PartialEq, Eq)]
enum Last {
    /// The agent takes another turn.
    More,
    /// It does not.
    None,
}

/// What an assignment has been heard of.
#[derive(Default)]
struct Progress {
    /// What the actor has not been handed yet.
    waiting: VecDeque<(AgentEvent, i64, u64, u64)>,
    /// The last number that was handed over, with the count of events by then.
    handed: VecDeque<(i64, u64)>,
    /// The last number that is committed.
    committed: i64,
    acknowledged: i64,
    /// Bytes of this connection that need no credit.
    taken: (u64, u64),
    taken_told: u64,
    /// The turn is to stop.
    stopping: bool,
    /// It is being killed: deltas are of no use.
    killed: bool,
    ends: bool,
}

// === impl WorkerDriver ===

impl WorkerDriver {
    /// The agent that the selector names.
    pub fn new(hub: Arc<Hub>, selector: Selector) -> Self {
        Self { hub, selector }
    }
}

#[async_trait]
impl Driver for WorkerDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: true,
            soft_cancel: true,
            images: true,
            thinking: true,
            models: true,
            options: true,
            fork: false,
            compaction: true,
            commands: true,
            questions: true,
            tool_policy: ToolPolicySupport::OnRequest,
            resume: true,
            usage: UsageReports::Call,
            deny_continues: true,
            workspace: false,
            workspace_diff: false,
            sub_agents: false,
            client_tools: true,
            structured_output: true,
        }
    }

    async fn room(&self, tenant: &str, session_id: Uuid) -> Option<TurnRoom> {
        let reserved = self.hub.reserve(&self.selector, tenant, session_id).await;
        let reservation: Reservation = reserved?;
        Some(TurnRoom::held(reservation))
    }

    fn proof_max(&self) -> Duration {
        // An unreachable worker's agents are gone when its lease is over.
        self.hub.rules.lease + self.hub.rules.heartbeat
    }

    async fn open(&self, request: OpenRequest) -> Result<Agent, StartError> {
        let capabilities = self.hub.capabilities(&self.selector, &request.tenant);
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (sender, events) = events::channel();
        let remote = Remote {
            hub: Arc::clone(&self.hub),
            selector: self.selector.clone(),
            tenant: request.tenant,
            session_key: request.session_key,
            session_id: request.session_id,
            conversation: request.conversation,
            commands: receiver,
            settled: events.settled(),
            events: sender,
            sent: 0,
        };
        tokio::spawn(remote.work());
        Ok(Agent {
            commands,
            events,
            capabilities: capabilities.unwrap_or_else(|| self.capabilities()),
            takes_choices: true,
            // Its worker's driver asks for the answer itself.
            submits: false,
            // Its worker is told the conversation where it has none.
            remembers: true,
            version: String::new(),
        })
    }
}

// === impl Remote ===

impl Remote {
    async fn work(mut self) {
        let ready = AgentEvent::Ready {
            model: String::new(),
        };
        if self.send(ready).await.is_err() {
            return;
        }
        while let Some(command) = self.commands.recv().await {
            let goes_on = match command {
                AgentCommand::StartTurn(input) => self.turn(*input).await == Last::More,
                AgentCommand::Steer { steer_id, .. } => self
                    .send(AgentEvent::SteerReturned { steer_id })
                    .await
                    .is_ok(),
                AgentCommand::Answer { .. }
                | AgentCommand::Call
                | AgentCommand::Cancel
                | AgentCommand::Kill => true,
            };
            if !goes_on {
                break;
            }
        }
        self.hub.close(self.session_id);
    }

    async fn send(&mut self, event: AgentEvent) -> Result<(), events::Closed> {
        self.sent += 1;
        self.events.send(event).await
    }

    async fn turn(&mut self, input: TurnInput) -> Last {
        let (turn_id, attempt) = (input.turn_id, input.attempt);
        let mut room = self.hub.room();
        let mut passed_over: Vec<WorkerKey> = Vec::new();
        loop {
            let session = (
                self.session_id,
                self.tenant.as_str(),
                self.session_key.as_str(),
            );
            let turn = (turn_id, attempt);
            let assignment = self.hub.assign(&self.selector, session, turn, &passed_over);
            let Some(assignment) = assignment else {
                // The worker that its room was on is gone.
                tokio::select! {
                    _ = room.changed() => {}
                    () = tokio::time::sleep(ASK_AGAIN) => passed_over.clear(),
                    command = self.commands.recv() => match command {
                        Some(AgentCommand::Cancel | AgentCommand::Kill) | None => {
                            let stopped = AgentEvent::TurnEnded(Outcome::Stopped);
                            return match self.send(stopped).await {
                                Ok(()) => Last::More,
                                Err(_) => Last::None,
                            };
                        }
                        Some(AgentCommand::Steer { steer_id, .. }) => {
                            let _ = self.send(AgentEvent::SteerReturned { steer_id }).await;
                        }
                        Some(_) => {}
                    },
                }
                continue;
            };
            match self.run(assignment, &input).await {
                Ran::Ended(last) => return last,
                Ran::NotBegun(worker, why) => {
                    self.forget(turn_id).await;
                    warn!(
                        worker = worker.name(),
                        why, "turn {turn_id} was not begun; it goes to another worker"
                    );
                    passed_over.push(worker);
                }
            }
        }
    }

    async fn run(&mut self, mut assignment: Assignment, input: &TurnInput) -> Ran {
        let lease = KeptLease {
            turn_id: input.turn_id,
            attempt: input.attempt,
            worker: assignment.worker.kept(),
            token_hash: hub::hash(&assignment.token),
        };
        if let Some(store) = self.hub.store()
            && let Err(problem) = store.put_lease(lease).await
        {
            // Without it on disk the next start could run the turn beside this worker.
            let message = format!("its lease could not be kept: {problem}");
            let failed = AgentEvent::TurnEnded(Outcome::Failed(message));
            let _ = self.send(failed).await;
            return Ran::Ended(Last::More);
        }
        let assign = self.assign(input).await;
        self.hub.offer(assign, &assignment.token);
        let ran = self.follow(&mut assignment).await;
        if matches!(ran, Ran::Ended(_)) {
            self.settle(input.turn_id).await;
        }
        ran
    }

    /// Waits until a turn's last word is committed, then forgets its lease.
    async fn settle(&mut self, turn_id: Uuid) {
        let sent = self.sent;
        // A closed channel: nobody commits any more, and the worker has ended it all the same.
        let _ = self.settled.wait_for(|count| *count >= sent).await;
        self.forget(turn_id).await;
    }

    async fn forget(&self, turn_id: Uuid) {
        if let Some(store) = self.hub.store()
            && let Err(problem) = store.end_lease(turn_id).await
        {
            warn!(%problem, "a lease is kept that is over; the next start forgets it");
        }
    }

    async fn assign(&self, input: &TurnInput) -> proto::WorkerAssign {
        let history = match self.conversation.newest(HISTORY_MAX_BYTES).await {
            Ok(history) => history,
            Err(problem) => {
                warn!(%problem, "a worker is told no history");
                Vec::new()
            }
        };
        let mut assign = frames::assign(input.clone());
        if assign.transcript.is_empty() && assign.command.is_empty() {
            assign.transcript = Transcript::of(&history, input.turn_id).text;
        }
        proto::WorkerAssign {
            agent: self.selector.agent.clone(),
            workspace_id: self.session_id.to_string(),
            tenant: self.tenant.clone(),
            session_key: self.session_key.clone(),
            history: history.iter().map(encode::message).collect(),
            ..assign
        }
    }

    /// Follows an assignment to its end.
    async fn follow(&mut self, assignment: &mut Assignment) -> Ran {
        let accept_by = Instant::now() + self.hub.rules.accept;
        let mut begun = false;
        let mut fenced = false;
        let mut gone = false;
        let mut ack_at: Option<Instant> = None;
        let mut progress = Progress::default();
        let token = assignment.token.clone();
        let Self {
            hub,
            commands,
            events,
            settled,
            sent,
            ..
        } = self;
        loop {
            let next_bytes = progress.waiting.front().map(|it| it.0.text_bytes());
            if progress.due() && ack_at.is_none() {
                ack_at = Some(Instant::now() + ACK_AFTER);
            }
            tokio::select! {
                biased;
                command = commands.recv(), if !gone => match command {
                    Some(command) => tell(hub, &token, command, &mut progress),
                    None => {
                        gone = true;
                        abort(hub, &token, AbortMode::Kill, &mut progress);
                    }
                },
                () = tokio::time::sleep_until(accept_by), if !begun && !fenced => {
                    fenced = true;
                    hub.fence(&token);
                }
                changed = settled.changed(), if !gone => match changed {
                    Ok(()) => progress.settle(*settled.borrow_and_update()),
                    Err(_) => {
                        gone = true;
                        abort(hub, &token, AbortMode::Kill, &mut progress);
                    }
                },
                () = tokio::time::sleep_until(ack_at.unwrap_or(accept_by)), if ack_at.is_some() => {
                    ack_at = None;
                    acknowledge(hub, &token, &mut progress);
                }
                place = events.place(next_bytes.unwrap_or(0)), if next_bytes.is_some() => {
                    let (event, frame, cost, connection) = progress.waiting.pop_front().expect("looked at above");
                    progress.take(cost, connection);
                    let ends = matches!(event, AgentEvent::TurnEnded(_));
                    let last = matches!(
                        event,
                        AgentEvent::Exited { .. } | AgentEvent::StopFailed { .. } | AgentEvent::Lost { .. }
                    );
                    match place {
                        Ok(place) => {
                            place.send(event);
                            *sent += 1;
                            if frame > 0 {
                                progress.handed.push_back((frame, *sent));
                            }
                        }
                        // Nobody listens: what runs is to end.
                        Err(_) if !gone => {
                            gone = true;
                            abort(hub, &token, AbortMode::Kill, &mut progress);
                        }
                        Err(_) => {}
                    }
                    if last || (ends && gone) {
                        return Ran::Ended(Last::None);
                    }
                    if ends {
                        return Ran::Ended(Last::More);
                    }
                    if progress.pressing() {
                        ack_at = None;
                        acknowledge(hub, &token, &mut progress);
                    }
                }
                word = assignment.inbox.recv(), if !progress.ends => match word {
                    Some(Inbound::Accepted) => begun = true,
                    Some(Inbound::NotBegun(why)) => return Ran::NotBegun(assignment.worker.clone(), why),
                    Some(Inbound::Said { event, frame, cost, connection }) => {
                        begun = true;
                        match event {
                            Some(event) if !progress.killed || frames::is_durable(&event) => {
                                progress.waiting.push_back((event, frame, cost, connection));
                            }
                            Some(_) | None => progress.take(cost, connection),
                        }
                    }
                    Some(Inbound::Ended { event, frame }) => {
                        let event = progress.last_word(event);
                        progress.waiting.push_back((event, frame, 0, progress.taken.0));
                        progress.ends = true;
                    }
                    Some(Inbound::Lost(message)) => progress.lost(message),
                    None => progress.lost("its lease is over".into()),
                },
            }
        }
    }
}

fn tell(hub: &Hub, token: &str, command: AgentCommand, progress: &mut Progress) {
    let lease_token = token.to_owned();
    match command {
        AgentCommand::Steer {
            steer_id,
            text,
            attachments,
        } => {
            let command_id = steer_id.to_string();
            let steer = Down::Steer(proto::WorkerSteer {
                lease_token,
                command_id: command_id.clone(),
                text,
                attachments: frames::attachments(attachments),
            });
            hub.command(token, &command_id, steer);
        }
        AgentCommand::Answer { ask_id, answer } => {
            let command_id = Uuid::now_v7().to_string();
            let answer = Down::Answer(proto::WorkerAnswer {
                lease_token,
                command_id: command_id.clone(),
                ask_id,
                answer: Some(encode::answer(*answer)),
            });
            hub.command(token, &command_id, answer);
        }
        AgentCommand::Call => {
            let command_id = Uuid::now_v7().to_string();
            let call = Down::Call(proto::WorkerCall {
                lease_token,
                command_id: command_id.clone(),
            });
            hub.command(token, &command_id, call);
        }
        AgentCommand::Cancel => abort(hub, token, AbortMode::Cancel, progress),
        AgentCommand::Kill => abort(hub, token, AbortMode::Kill, progress),
        // Sent only while none runs.
        AgentCommand::StartTurn(_) => {}
    }
}

fn abort(hub: &Hub, token: &str, mode: AbortMode, progress: &mut Progress) {
    progress.stopping = true;
    if mode == AbortMode::Kill {
        progress.killed = true;
        progress.drop_deltas();
    }
    let command_id = Uuid::now_v7().to_string();
    let mode = match mode {
        AbortMode::Cancel => proto::AbortMode::Cancel,
        AbortMode::Kill => proto::AbortMode::Kill,
    };
    let abort = Down::Abort(proto::WorkerAbort {
        lease_token: token.to_owned(),
        command_id: command_id.clone(),
        mode: mode.into(),
    });
    hub.command(token, &command_id, abort);
}

fn acknowledge(hub: &Hub, token: &str, progress: &mut Progress) {
    progress.acknowledged = progress.committed;
    progress.taken_told = progress.taken.1;
    hub.acknowledge(token, progress.committed, progress.taken);
}

// === impl Progress ===

impl Progress {
    /// Notes that something needs no credit any more.
    fn take(&mut self, cost: u64, connection: u64) {
        if self.taken.0 != connection {
            self.taken = (connection, 0);
            self.taken_told = 0;
        }
        self.taken.1 += cost;
    }

    fn settle(&mut self, count: u64) {
        while let Some((frame, sent)) = self.handed.front().copied() {
            if sent > count {
                return;
            }
            self.committed = frame;
            self.handed.pop_front();
        }
    }

    /// Whether there is anything to acknowledge.
    fn due(&self) -> bool {
        self.committed > self.acknowledged || self.taken.1 > self.taken_told
    }

    /// Whether it should not wait.
    fn pressing(&self) -> bool {
        self.committed - self.acknowledged >= ACK_FRAMES
            || self.taken.1 - self.taken_told >= CREDIT_BYTES / 4
    }

    /// What a worker's last word means: one that stops what nobody asked to stop was told to end, or gave up.
    fn last_word(&self, event: AgentEvent) -> AgentEvent {
        match event {
            AgentEvent::TurnEnded(Outcome::Stopped) if !self.stopping => AgentEvent::Lost {
                message: "its worker has ended it".into(),
            },
            event => event,
        }
    }

    fn lost(&mut self, message: String) {
        self.waiting
            .push_back((AgentEvent::Lost { message }, 0, 0, self.taken.0));
        self.ends = true;
    }

    fn drop_deltas(&mut self) {
        let mut freed = Vec::new();
        self.waiting.retain(|(event, _, cost, connection)| {
            let keep = frames::is_durable(event);
            if !keep {
                freed.push((*cost, *connection));
            }
            keep
        });
        for (cost, connection) in freed {
            self.take(cost, connection);
        }
    }
}

/// Why a turn waits for which there is no worker.
pub fn no_worker(agent: &str) -> String {
    format!(
        "{}: no worker that has room runs agent {agent}",
        Cause::NO_WORKER
    )
}
