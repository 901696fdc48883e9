//! The actor of one awake session: the only one that writes its log while it is awake.
//!
//! It claims the session, then does one thing at a time: it runs a turn when the registry grants it one, or finishes a
//! Delete, or waits. It holds a delta back until every durable event that its agent emitted earlier is published.
//! It ends when it has been idle for long, when it is fenced, and at a drain.

use super::{
    conversation::StoredConversation,
    handle::{Done, Drain, Handle, Prepared, Used, Workshop},
    running::Running,
    told,
    workspace::Workspaces,
};
use crate::{
    agent::{Agent, AgentEvent, OpenRequest, TurnRoom},
    auth::agents::{AgentCredential, WorksFor},
    beneath::blocking,
    clock,
    domain::{
        EventKind,
        access::agent_serves,
        ids::{OPERATOR_TENANT, Principal, SessionRow},
        lease::WantedWorker,
        limits::KILL_PROOF_MAX,
        offers::Choices,
        refusal::Refusal,
        session::{Session, SessionState},
        turn::{Cause, TurnState},
    },
    feed::Tail,
    proto::{self, gateway_event::Kind},
    store::{Ended, Fence, Started, TurnEnd, Write},
    telemetry::{
        gen_ai,
        metrics::{self, Counted},
        trace::{self, TraceContext},
    },
    workers,
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, Span, error, info, warn};
use uuid::Uuid;

/// Tries to open an agent for one turn.
const OPEN_TRIES: u32 = 3;
/// Pause before the second try; doubles for each further one.
const OPEN_BACKOFF: Duration = Duration::from_millis(250);
/// Time that readers have to read to `session_deleted`.
const DELETE_READ_MAX: Duration = Duration::from_secs(5);
/// Pause before a commit that the store did not take is tried again; doubles up to the maximum.
const STORE_BACKOFF: Duration = Duration::from_millis(50);
/// Longest such pause.
const STORE_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Why an actor can't go on.
#[derive(Debug)]
pub enum Lost {
    /// Another owner has the session, or it is gone.
    Fenced,
    /// The store refused what can't be refused: a bug, logged.
    Broken(Refusal),
}

/// An open agent and what it was opened for.
pub(super) struct Opened {
    pub(super) agent: Agent,
    session_id: Uuid,
    name: String,
    model: String,
    thinking_level: String,
    /// As the session asks for it.
    cwd: String,
    /// Where it works.
    working_directory: PathBuf,
    /// How long the proof of a stop may take.
    pub(super) proof_max: Duration,
    /// It has no conversation of its own, and was not told the stored one yet.
    pub(super) forgot: bool,
}

/// The actor.
pub struct Actor {
    pub(super) workshop: Arc<Workshop>,
    pub(super) handle: Arc<Handle>,
    pub(super) drain: watch::Receiver<Drain>,
    pub(super) row: SessionRow,
    pub(super) fence: Fence,
    pub(super) tail: Arc<Tail>,
    pub(super) opened: Option<Opened>,
    done: mpsc::Sender<Done>,
}

/// What became of the attempt to have an agent.
enum Opening {
    Ready(Box<Opened>),
    End(TurnEnd),
}

// === impl Actor ===

impl Actor {
    /// Claims the session and works until there is no reason to stay awake.
    ///
    /// # Errors
    /// Why the session was lost; its active turn, if there is one, needs another owner.
    pub async fn run(
        workshop: Arc<Workshop>,
        handle: Arc<Handle>,
        row: SessionRow,
        done: mpsc::Sender<Done>,
    ) -> Result<(), Lost> {
        let Some(tail) = workshop
            .feed
            .tail(&workshop.store, row)
            .await
            .map_err(lost)?
        else {
            return Ok(());
        };
        let _awake = Counted::one(&metrics::get().agents_awake);
        let (fence, _) = workshop.store.claim(row).await.map_err(lost)?;
        let mut actor = Self {
            drain: workshop.drain.clone(),
            workshop,
            handle,
            row,
            fence,
            tail,
            opened: None,
            done,
        };
        let ended = actor.work().await;
        actor.close_agent().await;
        ended
    }

    async fn work(&mut self) -> Result<(), Lost> {
        loop {
            if self.handle.take_reload() {
                self.close_agent().await;
            }
            if self.handle.take_grant() {
                self.handle.set_idle(None);
                let used = self.granted().await?;
                self.handle.set_idle(Some(Instant::now()));
                // The registry waits for this; it is gone only when the process ends.
                let _ = self
                    .done
                    .send(Done {
                        session: self.row,
                        used,
                    })
                    .await;
                if self.tail.session().state == SessionState::Deleted {
                    return Ok(());
                }
                continue;
            }
            if self.handle.should_close() || *self.drain.borrow() != Drain::No {
                return Ok(());
            }
            let idle_over = self.opened.is_none().then_some(Duration::ZERO);
            let idle = idle_over.unwrap_or(self.workshop.agent_idle_timeout);
            tokio::select! {
                () = self.handle.nudge.notified() => {}
                _ = self.drain.changed() => {}
                () = idle_event(&mut self.opened, &self.workshop, &self.tail) => self.opened = None,
                () = tokio::time::sleep(idle) => return Ok(()),
            }
        }
    }

    /// Uses one grant.
    async fn granted(&mut self) -> Result<Used, Lost> {
        if self.tail.session().state == SessionState::Deleting {
            // Boxed, as a turn is: an idle actor shall not hold room for what it seldom does.
            return Box::pin(self.delete()).await;
        }
        if *self.drain.borrow() != Drain::No {
            return Ok(Used::Well);
        }
        let session = self.tail.session();
        let _room = match self.workshop.drivers.get(&session.agent) {
            Some(driver) => match driver.room(&session.tenant, session.session_id).await {
                Some(room) => room,
                None => return self.wait_for_worker(&session.agent).await,
            },
            None => TurnRoom::default(),
        };
        match self
            .workshop
            .store
            .start_next(self.fence, clock::now())
            .await
        {
            Ok(Some(started)) => {
                Box::pin(self.turn(started)).await?;
                Ok(Used::Well)
            }
            Ok(None) => Ok(Used::Well),
            Err(Refusal::StoreUnavailable | Refusal::StorageFull) => Ok(Used::NotYet),
            Err(other) => Err(lost(other)),
        }
    }

    /// The next turn waits until a worker has room; the registry wakes its session then.
    async fn wait_for_worker(&self, agent: &str) -> Result<Used, Lost> {
        let selector = self.workshop.worker_agents.get(agent);
        let wanted = WantedWorker {
            message: workers::driver::no_worker(agent),
            labels: selector.map(|it| it.labels.clone()).unwrap_or_default(),
        };
        let store = &self.workshop.store;
        match store
            .wait_for_worker(self.fence, wanted, clock::now())
            .await
        {
            Ok(()) => Ok(Used::Well),
            Err(Refusal::StoreUnavailable | Refusal::StorageFull) => Ok(Used::NotYet),
            Err(other) => Err(lost(other)),
        }
    }

    /// Runs a turn as a span of its caller's trace.
    async fn turn(&mut self, mut started: Started) -> Result<(), Lost> {
        let Started { turn, session, .. } = &mut started;
        let span = gen_ai::invoke_agent(
            &session.tenant,
            &session.key,
            turn.turn_id,
            &turn.agent,
            session.session_id,
        );
        let parent = TraceContext::parse(&turn.trace_context);
        let ours = parent.map_or_else(TraceContext::begin, TraceContext::child);
        let context = trace::join(&span, parent, ours);
        span.record("trace_id", context.trace_id_text());
        turn.trace_context = context.to_string();
        self.start(started).instrument(span).await
    }

    async fn start(&mut self, started: Started) -> Result<(), Lost> {
        let _running = Counted::one(&metrics::get().turns_running);
        metrics::turn_started(&started.turn);
        let turn_id = started.turn.turn_id;
        info!(attempt = started.turn.attempt, "turn {turn_id} started");
        let routing = &started.turn.routing;
        for route in &routing.skipped_rules {
            warn!(
                route,
                reason = routing.reason,
                "route {route} can't be used and is skipped"
            );
        }
        let deadline = tokio::time::Instant::now() + started.turn.turn_timeout;
        let ended = match self.open_agent(&started, deadline).await? {
            Opening::End(end) => self.end_turn(Vec::new(), end, String::new()).await?,
            Opening::Ready(opened) => {
                let opened = *opened;
                self.opened = Some(opened);
                self.take_snapshot(&started).await;
                Running::new(self, started, deadline).run().await?
            }
        };
        let turn = &ended.turn;
        info!(state = ?turn.state, "turn {turn_id} ended");
        let failed = matches!(turn.state, TurnState::Failed | TurnState::Interrupted);
        let error = turn.error.as_ref().filter(|_| failed);
        let error = error.map_or("", |error| error.cause.as_str());
        gen_ai::ended(&Span::current(), &turn.model, &turn.usage, error);
        let other_generation = self
            .opened
            .as_ref()
            .is_some_and(|o| o.session_id != ended.session.session_id);
        if other_generation {
            self.close_agent().await;
        }
        Ok(())
    }

    /// Copies what the session's files are before its agent gets the turn, where its configuration says so.
    async fn take_snapshot(&self, started: &Started) {
        let Workshop {
            directories,
            cwd_roots,
            known_agents,
            ..
        } = &*self.workshop;
        let workspaces = Workspaces {
            directories: directories.clone(),
            cwd_roots: Arc::clone(cwd_roots),
            known_agents: Arc::clone(known_agents),
        };
        let (session, turn_id) = (Arc::clone(&started.session), started.turn.turn_id);
        if !workspaces.keeps_snapshots(&session) {
            return;
        }
        let take = move || workspaces.take_snapshot(&session, turn_id, clock::now());
        if let Err(problem) = blocking(take).await {
            warn!(%problem, "what the turn changes will not be known: its files can't be copied");
        }
    }

    /// An agent that fits the session as it is now: the open one, or a new one.
    async fn open_agent(
        &mut self,
        started: &Started,
        deadline: tokio::time::Instant,
    ) -> Result<Opening, Lost> {
        let session = &started.session;
        let choices = started.choices();
        if let Some(opened) = self.opened.take() {
            if opened.fits(session, &choices).await && !opened.agent.commands.is_closed() {
                return Ok(Opening::Ready(Box::new(opened)));
            }
            close(opened).await;
        }
        let unavailable = |why: String| {
            let why = told::of_process(session, Cause::AgentUnavailable, why);
            Opening::End(TurnEnd::Failed(Cause::AgentUnavailable, why))
        };
        let Some(driver) = self.workshop.drivers.get(&session.agent).cloned() else {
            let why = format!("agent {} is not configured any more", session.agent);
            return Ok(unavailable(why));
        };
        // Asked again: it may have been queued for another agent, or before the server was configured as it is.
        if !agent_serves(driver.operator_only(), &session.tenant) {
            // For whoever asked to read: it names nothing of the machine.
            let agent = session.agent.clone();
            let why = Refusal::IsolationRequired { agent }.to_string();
            let end = TurnEnd::Failed(Cause::AgentUnavailable, why);
            return Ok(Opening::End(end));
        }
        let trace_context = started.turn.trace_context.clone();
        let request = match self.open_request(session, &choices, trace_context).await {
            Ok(request) => request,
            Err(problem) => {
                warn!(%problem, "the session's directories can't be used");
                return Ok(unavailable(told_to(&session.tenant, problem)));
            }
        };
        let mut why = String::new();
        for attempt in 0..OPEN_TRIES {
            if attempt > 0 {
                let pause = OPEN_BACKOFF * 2u32.pow(attempt - 1);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    end = self.stop_before_start(deadline) => return Ok(Opening::End(end?)),
                }
            }
            let opening = driver.open(request.clone());
            let opened = tokio::select! {
                opened = opening => opened,
                end = self.stop_before_start(deadline) => return Ok(Opening::End(end?)),
            };
            match opened {
                Ok(agent) => {
                    self.learn(session, &agent).await;
                    return Ok(Opening::Ready(Box::new(Opened {
                        forgot: !agent.remembers,
                        proof_max: driver.proof_max(),
                        agent,
                        session_id: session.session_id,
                        name: session.agent.clone(),
                        model: choices.model,
                        thinking_level: choices.thinking_level,
                        cwd: session.cwd.clone(),
                        working_directory: request.working_directory.clone(),
                    })));
                }
                Err(problem) => {
                    told::log_start(session, &problem.to_string());
                    why = problem.to_string();
                }
            }
        }
        Ok(unavailable(why))
    }

    /// Takes what an agent tells of itself. Of the operator's tenant alone: what an agent tells can be the work of whoever
    /// prompts it, and counts for every tenant.
    async fn learn(&self, session: &Session, agent: &Agent) {
        let name = session.agent.as_str();
        let known = self.workshop.known_agents.get(name);
        let Some(known) = known.filter(|_| session.tenant == OPERATOR_TENANT) else {
            return;
        };
        let now = clock::now();
        let Some(told) = known.learn(name, agent.capabilities, &agent.version, now) else {
            return;
        };
        if let Err(problem) = self.workshop.store.put_told_agent(told).await {
            warn!(agent = name, %problem, "what the agent can do is not known after a restart");
        }
    }

    async fn open_request(
        &self,
        session: &Session,
        choices: &Choices,
        trace_context: String,
    ) -> Result<OpenRequest, Unusable> {
        let working_directory = if session.cwd.is_empty() {
            None
        } else {
            // As it is now: a link may lead elsewhere, the agent may be another one, and the roots may have changed.
            let unusable = |why| Unusable {
                path: session.cwd.clone(),
                why,
                is_cwd: true,
            };
            let resolved = tokio::fs::canonicalize(&session.cwd).await;
            let resolved = resolved.map_err(|problem| unusable(problem.to_string()))?;
            if !self.workshop.cwd_roots.hold(&session.agent, &resolved) {
                let agent = &session.agent;
                let why = format!("it is not below the cwd_roots of agent {agent}");
                return Err(unusable(why));
            }
            if !resolved.is_dir() {
                return Err(unusable("it is no directory".into()));
            }
            Some(resolved)
        };
        let directories = self.workshop.directories.clone();
        let (uid, tenant) = (session.uid, session.tenant.clone());
        let (owner, agent) = (session.owner.clone(), session.agent.clone());
        let prepare = move || directories.prepare(uid, &tenant, &owner, &agent);
        let Prepared {
            work,
            session: session_directory,
            gateway: gateway_directory,
            home: home_directory,
            temporary: temporary_directory,
            owner: owner_directory,
            user,
        } = blocking(prepare).await.map_err(|problem| Unusable {
            path: String::new(),
            why: problem.to_string(),
            is_cwd: false,
        })?;
        let working_directory = working_directory.unwrap_or(work);
        Ok(OpenRequest {
            tenant: session.tenant.clone(),
            session_key: session.key.to_string(),
            session_id: session.session_id,
            model: choices.model.clone(),
            thinking_level: choices.thinking_level.clone(),
            working_directory,
            session_directory,
            owner_directory,
            gateway_directory,
            home_directory,
            temporary_directory,
            user,
            credential: self.credential(session),
            conversation: Arc::new(StoredConversation {
                store: self.workshop.store.clone(),
                session: self.row,
                generation: session.generation,
            }),
            trace_context,
        })
    }

    /// What the session's agent will call the gateway with.
    fn credential(&self, session: &Session) -> Option<AgentCredential> {
        let all = self.workshop.agent_credentials.as_ref()?;
        let works_for = WorksFor {
            session: session.row,
            session_key: session.key.clone(),
            principal: Principal {
                tenant: session.tenant.clone(),
                subject: session.owner.clone(),
            },
        };
        match all.issue(works_for) {
            Ok(credential) => Some(credential),
            Err(problem) => {
                warn!(%problem, "an agent gets no credential for its tools");
                None
            }
        }
    }

    /// Comes back when the turn must end before its agent ever got it.
    async fn stop_before_start(&self, deadline: tokio::time::Instant) -> Result<TurnEnd, Lost> {
        let mut drain = self.drain.clone();
        loop {
            // Looked at first: the nudge may have come while nobody waited.
            if self.accepted_stop().await?.is_some() {
                return Ok(TurnEnd::Stopped);
            }
            tokio::select! {
                () = self.handle.nudge.notified() => {}
                _ = drain.wait_for(|d| *d == Drain::Over) => {
                    return Ok(TurnEnd::Failed(Cause::Draining, Cause::Draining.sentence().into()));
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Ok(TurnEnd::Failed(Cause::TurnTimeout, Cause::TurnTimeout.sentence().into()));
                }
            }
        }
    }

    /// The stop that was accepted for the active turn.
    pub(super) async fn accepted_stop(&self) -> Result<Option<crate::domain::turn::Cancel>, Lost> {
        match self.tail.session().state {
            SessionState::Canceling | SessionState::Resetting | SessionState::Deleting => {}
            SessionState::Idle
            | SessionState::Running
            | SessionState::WaitingInput
            | SessionState::Deleted => return Ok(None),
        }
        // Asked until there is an answer: the nudge that led here does not come again.
        let turn = insist(|| self.workshop.store.active_turn(self.row)).await?;
        Ok(turn.and_then(|turn| turn.cancel))
    }

    /// Commits what the turn's agent did; waits for a store that does not answer.
    pub(super) async fn append(&self, writes: Vec<Write>) -> Result<(), Lost> {
        let store = &self.workshop.store;
        insist(|| store.append(self.fence, writes.clone(), clock::now())).await?;
        Ok(())
    }

    /// Commits the turn's end; waits for a store that does not answer.
    pub(super) async fn end_turn(
        &self,
        writes: Vec<Write>,
        end: TurnEnd,
        response_text: String,
    ) -> Result<Ended, Lost> {
        insist(|| {
            self.workshop.store.end_turn(
                self.fence,
                writes.clone(),
                end.clone(),
                response_text.clone(),
                clock::now(),
            )
        })
        .await
    }

    /// Finishes a Delete; nothing is active.
    async fn delete(&mut self) -> Result<Used, Lost> {
        self.close_agent().await;
        let store = self.workshop.store.clone();
        let session = match store.finish_delete(self.fence, clock::now()).await {
            Ok(session) => session,
            Err(Refusal::StoreUnavailable | Refusal::StorageFull) => return Ok(Used::NotYet),
            Err(other) => return Err(lost(other)),
        };
        self.tail.readers_gone(DELETE_READ_MAX).await;
        let directories = self.workshop.directories.clone();
        let uid = session.uid;
        if let Err(problem) = blocking(move || directories.remove(uid)).await {
            // The session stays DELETING until the next Delete or start finishes it.
            error!(tenant = session.tenant, session_key = %session.key, %problem, "the session's files can't be removed");
            return match store.postpone_delete(self.fence).await {
                Ok(()) => Ok(Used::Well),
                Err(Refusal::StoreUnavailable | Refusal::StorageFull) => Ok(Used::NotYet),
                Err(other) => Err(lost(other)),
            };
        }
        match store.purge_session(self.fence, clock::now()).await {
            Ok(()) => Ok(Used::Well),
            Err(Refusal::StoreUnavailable | Refusal::StorageFull) => Ok(Used::NotYet),
            Err(other) => Err(lost(other)),
        }
    }

    async fn close_agent(&mut self) {
        if let Some(opened) = self.opened.take() {
            close(opened).await;
        }
    }
}

// === impl Opened ===

impl Opened {
    /// Name of the agent.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can take the session's next turn. Not where the ground was taken away from under it: a directory that
    /// is made again under the same name is another one.
    async fn fits(&self, session: &Session, choices: &Choices) -> bool {
        let chosen = (&self.model, &self.thinking_level);
        self.session_id == session.session_id
            && self.name == session.agent
            && (self.agent.takes_choices || chosen == (&choices.model, &choices.thinking_level))
            && self.cwd == session.cwd
            && tokio::fs::try_exists(&self.working_directory)
                .await
                .unwrap_or(false)
    }
}

/// A directory that a session needs and can't have.
#[derive(Debug, thiserror::Error)]
#[error("{path} {why}")]
struct Unusable {
    /// The `cwd` that the session was given.
    path: String,
    why: String,
    /// False where it is one of the session's own, which `why` names.
    is_cwd: bool,
}

/// What a turn says that could not start for want of a directory. Paths of this machine are for its operator.
fn told_to(tenant: &str, problem: Unusable) -> String {
    let Unusable { path, why, is_cwd } = &problem;
    match (tenant == OPERATOR_TENANT, is_cwd) {
        (true, true) => format!(
            "the session's working directory {path} can't be used ({why}): make it again, or set another `cwd` with \
             UpdateSession"
        ),
        (true, false) => format!("the session's directories can't be used: {why}"),
        (false, true) => "the session's working directory can't be used any more: set another `cwd` with UpdateSession"
            .to_owned(),
        (false, false) => "the session's directories can't be used: the server's operator finds why in its log".to_owned(),
    }
}

fn lost(refusal: Refusal) -> Lost {
    match refusal {
        Refusal::Fenced | Refusal::SessionNotFound { .. } | Refusal::SessionDeleted { .. } => {
            Lost::Fenced
        }
        other => Lost::Broken(other),
    }
}

/// Calls the store until it answers; waits in between where it can't, or where its disk is full.
pub(super) async fn insist<T, F>(call: impl Fn() -> F) -> Result<T, Lost>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let mut pause = STORE_BACKOFF;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(Refusal::StoreUnavailable | Refusal::StorageFull) => {
                warn!("the store did not take a commit; it is tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(STORE_BACKOFF_MAX);
            }
            Err(other) => return Err(lost(other)),
        }
    }
}

/// Comes back when an idle agent is gone.
async fn idle_event(opened: &mut Option<Opened>, workshop: &Workshop, tail: &Arc<Tail>) {
    match opened {
        None => std::future::pending().await,
        Some(opened) => loop {
            match opened.agent.events.recv().await {
                None | Some(AgentEvent::Exited { .. }) => return,
                Some(event) => {
                    // What else an idle agent says belongs to no turn.
                    let _ = of_session(workshop, tail, &opened.name, event);
                }
            }
        },
    }
}

/// Takes what an agent says of itself; gives back what it says of its turn.
pub(super) fn of_session(
    workshop: &Workshop,
    tail: &Arc<Tail>,
    agent: &str,
    event: AgentEvent,
) -> Option<AgentEvent> {
    let AgentEvent::CommandsChanged { commands } = event else {
        return Some(event);
    };
    let row = tail.session().row;
    if workshop.commands.hear(row, agent, commands) {
        let changed = proto::CommandsChanged {};
        tail.tell(EventKind::COMMANDS_CHANGED, Kind::CommandsChanged(changed));
    }
    None
}

/// Ends an agent and waits for the proof.
async fn close(opened: Opened) {
    let Agent {
        commands,
        mut events,
        capabilities: _,
        takes_choices: _,
        submits: _,
        remembers: _,
        version: _,
    } = opened.agent;
    drop(commands);
    let gone = async { while events.recv().await.is_some() {} };
    if tokio::time::timeout(KILL_PROOF_MAX, gone).await.is_err() {
        error!(agent = %opened.name, "an agent did not prove its end");
    }
}
