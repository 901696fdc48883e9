//! Who is connected, which turn is on which worker, and where the next one goes.
//!
//! One lock for a few lines of memory work each, never held across an await: connections are served by other threads than
//! the drivers. What has to be durable (a lease before its worker hears of it) the driver asks the store for.

use super::{CAPACITY_MAX, LeaseRules, OUT_FRAMES_MAX, WORDS_MAX, WORKSPACES_MAX, frames};
use crate::{
    clock,
    domain::{
        access::Identity,
        agent::Capabilities,
        ids::{OPERATOR_TENANT, Principal, Time},
        lease::KeptLease,
        refusal::Refusal,
    },
    proto::{self, connect_request::Frame as Up, connect_response::Frame as Down},
    store::Store,
    telemetry::metrics,
    wire::encode,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::{info, warn};
use uuid::Uuid;

/// Frames of an assignment that may wait for its driver: more than its credit can pay for.
const INBOX_MAX: usize = 8 * 1024;
/// Commands of an assignment that a worker did not say it applied.
const COMMANDS_MAX: usize = 256;
/// Longest name of a worker, in bytes.
const NAME_MAX_BYTES: usize = 128;
/// Longest incarnation and label, in bytes.
const WORD_MAX_BYTES: usize = 256;

/// Which agents' turns go to which workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Name of the agent.
    pub agent: String,
    /// Labels that a worker must have.
    pub labels: BTreeMap<String, String>,
    /// Who may run it: `tenant/subject`. One of another tenant than the operator's gets turns of its tenant alone.
    pub principals: BTreeSet<String>,
}

/// One life of a worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerKey {
    name: String,
    principal: String,
    incarnation: String,
}

/// What the connection of a worker sends.
pub type Out = mpsc::Sender<Result<proto::ConnectResponse, tonic::Status>>;

/// A connection.
#[derive(Clone, Debug)]
pub struct ConnectionKey {
    worker: WorkerKey,
    number: u64,
}

/// What a driver hears of its assignment.
#[derive(Debug)]
pub enum Inbound {
    /// The worker begins.
    Accepted,
    /// The worker does not begin, and has not: somebody else may, with the same attempt.
    NotBegun(String),
    /// The agent said something.
    Said {
        /// What; `None` for what had come before.
        event: Option<crate::agent::AgentEvent>,
        /// Its number; 0 for what is not durable.
        frame: i64,
        /// What it costs of its connection's credit.
        cost: u64,
        /// Number of the connection.
        connection: u64,
    },
    /// The agent's last word.
    Ended {
        /// What.
        event: crate::agent::AgentEvent,
        /// Its number.
        frame: i64,
    },
    /// The lease is over; nothing of the turn is alive any more.
    Lost(String),
}

/// An assignment, held by its driver; ended when it is dropped.
pub struct Assignment {
    /// Names it.
    pub token: String,
    /// Who has it.
    pub worker: WorkerKey,
    /// What is heard of it.
    pub inbox: mpsc::Receiver<Inbound>,
    hub: Arc<Hub>,
}

/// Room for a turn on a worker; given back when it is dropped.
pub struct Reservation {
    number: u64,
    hub: Arc<Hub>,
}

/// Where a turn can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// There.
    At(WorkerKey),
    /// The worker that has the workspace is full.
    Busy,
    /// Nowhere.
    None,
}

/// The workers of one server.
pub struct Hub {
    /// Times.
    pub rules: LeaseRules,
    /// Where leases are kept; unset keeps none.
    store: OnceLock<Arc<dyn Store>>,
    state: Mutex<State>,
    /// Grows when there may be room where there was none.
    room: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    numbers: u64,
    workers: BTreeMap<WorkerKey, Worker>,
    leases: HashMap<String, Lease>,
    /// By their numbers: the session and the worker.
    reservations: HashMap<u64, (Uuid, WorkerKey)>,
    /// Leases of an earlier life of the server, by turn.
    former: HashMap<Uuid, Former>,
    /// Those whose end is known; the run task settles them.
    settled: Vec<Uuid>,
}

#[derive(Debug)]
struct Worker {
    labels: BTreeMap<String, String>,
    agents: BTreeMap<String, Capabilities>,
    capacity: usize,
    workspaces: HashSet<String>,
    version: String,
    connection: Option<(u64, Out)>,
    draining: bool,
    connect_time: Time,
    heard: Instant,
    leases: HashSet<String>,
    reserved: usize,
}

#[derive(Debug)]
struct Lease {
    worker: WorkerKey,
    turn_id: Uuid,
    attempt: i32,
    tenant: String,
    session_key: String,
    agent: String,
    accepted: bool,
    /// It is not the worker's any more: only its stop is waited for.
    fenced: bool,
    /// The last number that arrived.
    last_frame: i64,
    inbox: mpsc::Sender<Inbound>,
    offsets: frames::Offsets,
    /// Commands that were not applied yet.
    commands: VecDeque<(String, Down)>,
}

/// A lease of an earlier life of the server.
#[derive(Debug)]
struct Former {
    kept: KeptLease,
    /// When it is over, whatever is heard.
    ends: Instant,
    /// The connection that said it holds it, and by which token.
    held: Option<(WorkerKey, String)>,
}

// === impl Hub ===

impl Hub {
    /// No workers. Leases are kept nowhere until [`Hub::begin`].
    pub fn new(rules: LeaseRules) -> Arc<Self> {
        Arc::new(Self {
            rules,
            store: OnceLock::new(),
            state: Mutex::default(),
            room: watch::Sender::new(0),
        })
    }

    /// From now on leases are kept there. Those that an earlier life of the server left count from now.
    pub fn begin(&self, store: Arc<dyn Store>, former: Vec<KeptLease>) {
        let ends = Instant::now() + self.rules.lease;
        let former = former.into_iter().map(|kept| {
            let former = Former {
                kept,
                ends,
                held: None,
            };
            (former.kept.turn_id, former)
        });
        self.lock().former.extend(former);
        let _ = self.store.set(store);
    }

    /// Where leases are kept.
    pub(crate) fn store(&self) -> Option<&Arc<dyn Store>> {
        self.store.get()
    }

    /// Ends what is over, for ever: looks four times within the time that a lease is longer than a worker works alone.
    pub async fn run(self: Arc<Self>) {
        let spare = self.rules.lease.saturating_sub(self.rules.stop_after);
        let mut look = tokio::time::interval((spare / 4).max(Duration::from_millis(1)));
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            for turn_id in self.tick() {
                let Some(store) = self.store() else {
                    continue;
                };
                match store.settle_lease(turn_id, clock::now()).await {
                    Ok(()) => info!("turn {turn_id} of an earlier life is settled"),
                    Err(problem) => {
                        // Never forgotten for a store that does not answer.
                        warn!(%problem, "turn {turn_id} of an earlier life is not settled yet");
                        self.lock().settled.push(turn_id);
                    }
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Grows when there may be room where there was none.
    pub fn room(&self) -> watch::Receiver<u64> {
        self.room.subscribe()
    }

    fn tell_room(&self) {
        self.room.send_modify(|count| *count += 1);
    }

    // --- connections ---

    /// Takes a worker's registration. Answers `registered` and one `resume` for each lease that it holds.
    ///
    /// # Errors
    /// What is wrong with the registration.
    pub fn register(
        &self,
        identity: &Identity,
        told: proto::WorkerRegister,
        out: Out,
    ) -> Result<ConnectionKey, Refusal> {
        check(&told)?;
        let Principal { tenant, subject } = &identity.principal;
        let key = WorkerKey {
            name: told.worker_name,
            principal: format!("{tenant}/{subject}"),
            incarnation: told.incarnation,
        };
        let mut state = self.lock();
        state.numbers += 1;
        let number = state.numbers;
        let same = |it: &WorkerKey| it.name == key.name && it.principal == key.principal;
        for (older, worker) in &mut state.workers {
            if same(older) && older.incarnation != key.incarnation {
                // The newer wins. What the older has runs out, or is said to have stopped.
                worker.draining = true;
                if let Some((_, out)) = worker.connection.take() {
                    let reason = "another process took the worker's name".to_owned();
                    let _ =
                        out.try_send(Ok(down(Down::Terminate(proto::WorkerTerminate { reason }))));
                }
            }
        }
        let agents = told.agents.into_iter().map(|agent| {
            let can = agent.capabilities.unwrap_or_default();
            (agent.name, frames::capabilities_of(&can))
        });
        let workspaces = told.workspaces.into_iter().take(WORKSPACES_MAX);
        let worker = state.workers.entry(key.clone()).or_insert_with(|| Worker {
            labels: BTreeMap::new(),
            agents: BTreeMap::new(),
            capacity: 0,
            workspaces: HashSet::new(),
            version: String::new(),
            connection: None,
            draining: false,
            connect_time: clock::now(),
            heard: Instant::now(),
            leases: HashSet::new(),
            reserved: 0,
        });
        worker.labels = told.labels;
        worker.agents = agents.collect();
        worker.capacity = usize::try_from(told.capacity).unwrap_or(1);
        worker.workspaces = workspaces.map(|it| it.workspace_id).collect();
        worker.version = told.version;
        worker.draining = false;
        worker.connect_time = clock::now();
        worker.heard = Instant::now();
        let had: Vec<String> = worker.leases.iter().cloned().collect();
        let registered = Down::Registered(proto::WorkerRegistered {
            heartbeat: Some(encode::duration(self.rules.heartbeat)),
            lease: Some(encode::duration(self.rules.lease)),
            stop_after: Some(encode::duration(self.rules.stop_after)),
            features: Vec::new(),
            credit_bytes: i64::try_from(super::CREDIT_BYTES).unwrap_or(i64::MAX),
        });
        let mut say = vec![registered];
        let mut held = HashSet::new();
        for lease in told.held {
            held.insert(lease.lease_token.clone());
            say.extend(state.resume(&key, &lease));
        }
        // What it had and does not hold any more it has ended by itself.
        for token in had.into_iter().filter(|token| !held.contains(token)) {
            let accepted = state.leases.get(&token).is_some_and(|lease| lease.accepted);
            let word = if accepted {
                Inbound::Lost("its worker ended it while it was out of reach".into())
            } else {
                Inbound::NotBegun("it never reached its worker".into())
            };
            state.end(&token, word);
        }
        let all_sent = say.into_iter().all(|it| out.try_send(Ok(down(it))).is_ok());
        let worker = state.workers.get_mut(&key).expect("it was put there above");
        worker.connection = all_sent.then_some((number, out));
        state.count();
        drop(state);
        info!(
            worker = key.name,
            principal = key.principal,
            "a worker connected"
        );
        self.tell_room();
        Ok(ConnectionKey {
            worker: key,
            number,
        })
    }

    /// Takes a frame that is no registration. Every one renews the worker's leases.
    ///
    /// # Errors
    /// What is wrong with it: the connection is to be cut.
    pub fn frame(&self, from: &ConnectionKey, frame: Up, bytes: usize) -> Result<(), String> {
        let mut state = self.lock();
        let Some(worker) = state.workers.get_mut(&from.worker) else {
            return Err("the worker is not known any more; connect again".into());
        };
        if worker.connection.as_ref().map(|it| it.0) != Some(from.number) {
            return Err("another connection took the worker's name".into());
        }
        worker.heard = Instant::now();
        let mut room = false;
        match frame {
            Up::Register(_) => return Err("`register` comes once, first".into()),
            Up::Heartbeat(beat) => {
                let heartbeat = beat.number;
                state.send(&from.worker, Down::Ping(proto::WorkerPing { heartbeat }));
            }
            Up::Accepted(it) => {
                if let Some(lease) = state.lease_of(from, &it.lease_token) {
                    lease.accepted = true;
                    lease.tell(Inbound::Accepted)?;
                }
            }
            Up::Rejected(it) => {
                room = state.not_begun(from, &it.lease_token, it.reason);
            }
            Up::Released(it) => {
                let why = "its worker gave it back".to_owned();
                room = state.not_begun(from, &it.lease_token, why);
            }
            Up::AgentEvent(it) => {
                let cost = bytes as u64 + frames::FRAME_COST_BYTES;
                state.said(from, it, cost)?;
            }
            Up::Completed(it) => {
                let event = frames::completed(&it);
                room = state.ended(from, &it.lease_token, it.frame, event)?;
            }
            Up::Stopped(it) => {
                let event = frames::stopped(&it);
                room = state.stopped(from, &it, event)?;
            }
            Up::WorkspaceModeChanged(it) => {
                if let Some(worker) = state.workers.get_mut(&from.worker) {
                    if it.mode() == proto::WorkspaceMode::Ephemeral {
                        worker.workspaces.remove(&it.workspace_id);
                    } else if worker.workspaces.len() < WORKSPACES_MAX {
                        worker.workspaces.insert(it.workspace_id);
                    }
                }
            }
            Up::RequestRecovery(it) => state.recover(from, &it),
            Up::Leaving(it) => {
                if let Some(worker) = state.workers.get_mut(&from.worker) {
                    worker.draining = true;
                }
                info!(
                    worker = from.worker.name,
                    reason = it.reason,
                    "a worker leaves"
                );
            }
            Up::Log(it) => {
                let line = crate::domain::limits::cut(&it.line, 4096);
                info!(worker = from.worker.name, line, "a worker says");
            }
            Up::Applied(it) => {
                if let Some(lease) = state.lease_of(from, &it.lease_token) {
                    lease.commands.retain(|(id, _)| *id != it.command_id);
                }
            }
        }
        drop(state);
        if room {
            self.tell_room();
        }
        Ok(())
    }

    /// A connection is gone. What its worker runs is its own for as long as the lease lasts.
    pub fn disconnected(&self, from: &ConnectionKey) {
        let mut state = self.lock();
        let Some(worker) = state.workers.get_mut(&from.worker) else {
            return;
        };
        if worker.connection.as_ref().map(|it| it.0) != Some(from.number) {
            return;
        }
        worker.connection = None;
        if worker.leases.is_empty() {
            state.workers.remove(&from.worker);
        }
        state.count();
        info!(worker = from.worker.name, "a worker is out of reach");
    }

    /// Ends what is over. Returns turns of an earlier life of the server that can be settled.
    pub fn tick(&self) -> Vec<Uuid> {
        let now = Instant::now();
        let mut state = self.lock();
        let over: Vec<WorkerKey> = (state.workers.iter())
            .filter(|(_, it)| it.heard + self.rules.lease <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &over {
            let Some(worker) = state.workers.remove(key) else {
                continue;
            };
            if !worker.leases.is_empty() {
                warn!(
                    worker = key.name,
                    turns = worker.leases.len(),
                    "a worker is lost"
                );
            }
            for token in worker.leases {
                metrics::get().worker_leases_lost.increment(1);
                state.end(&token, Inbound::Lost("its worker was out of reach".into()));
            }
        }
        let former = (state.former.iter()).filter(|(_, it)| it.ends <= now);
        let mut settled: Vec<Uuid> = former.map(|(turn_id, _)| *turn_id).collect();
        settled.append(&mut state.settled);
        for turn_id in &settled {
            state.former.remove(turn_id);
        }
        if !over.is_empty() {
            state.count();
        }
        settled
    }

    /// Says to all workers that the server stops.
    pub fn drain(&self, deadline: Duration) {
        let state = self.lock();
        let keys: Vec<_> = state.workers.keys().cloned().collect();
        for key in keys {
            let deadline = Some(encode::duration(deadline));
            state.send(&key, Down::Drain(proto::WorkerDrain { deadline }));
        }
    }

    /// Tells a worker to end; false where there is none of that name.
    pub fn terminate(&self, name: &str, reason: &str) -> bool {
        let mut state = self.lock();
        let mut found = false;
        let keys: Vec<_> = (state.workers.keys().filter(|it| it.name == name))
            .cloned()
            .collect();
        for key in keys {
            found = true;
            let reason = reason.to_owned();
            state.send(&key, Down::Terminate(proto::WorkerTerminate { reason }));
            if let Some(worker) = state.workers.get_mut(&key) {
                worker.draining = true;
            }
        }
        found
    }

    // --- placement ---

    /// Takes room for a turn of a tenant's session, by waiting a moment for the worker that has its workspace.
    pub async fn reserve(
        self: &Arc<Self>,
        selector: &Selector,
        tenant: &str,
        session_id: Uuid,
    ) -> Option<Reservation> {
        let mut room = self.room();
        let give_up = Instant::now() + self.rules.sticky_wait;
        let mut wait = true;
        loop {
            let workspace = session_id.to_string();
            {
                let mut state = self.lock();
                match state.place(selector, tenant, &workspace, wait, &[]) {
                    Placement::At(key) => {
                        state.numbers += 1;
                        let number = state.numbers;
                        if let Some(worker) = state.workers.get_mut(&key) {
                            worker.reserved += 1;
                        }
                        state.reservations.insert(number, (session_id, key));
                        let hub = Arc::clone(self);
                        return Some(Reservation { number, hub });
                    }
                    Placement::None => return None,
                    Placement::Busy => {}
                }
            }
            tokio::select! {
                _ = room.changed() => {}
                () = tokio::time::sleep_until(give_up) => wait = false,
            }
        }
    }

    /// Gives a turn to a worker, in the room that is reserved for its session or in any other. `None` where there is no
    /// room. Its worker hears nothing before [`Hub::offer`].
    pub fn assign(
        self: &Arc<Self>,
        selector: &Selector,
        (session_id, tenant, session_key): (Uuid, &str, &str),
        (turn_id, attempt): (Uuid, i32),
        passed_over: &[WorkerKey],
    ) -> Option<Assignment> {
        let mut state = self.lock();
        let reserved = (state.reservations.iter())
            .find(|(_, it)| it.0 == session_id)
            .map(|(number, _)| *number);
        let reserved = reserved.and_then(|number| state.unreserve(number));
        let reserved = reserved.filter(|key| {
            !passed_over.contains(key) && (state.workers.get(key)).is_some_and(Worker::takes)
        });
        let workspace = session_id.to_string();
        let key = match reserved {
            Some(key) => key,
            None => match state.place(selector, tenant, &workspace, false, passed_over) {
                Placement::At(key) => key,
                Placement::Busy | Placement::None => return None,
            },
        };
        let token = token();
        let (inbox, receiver) = mpsc::channel(INBOX_MAX);
        let worker = state.workers.get_mut(&key)?;
        worker.leases.insert(token.clone());
        if worker.workspaces.len() < WORKSPACES_MAX {
            worker.workspaces.insert(workspace.clone());
        }
        for (other, worker) in &mut state.workers {
            if *other != key {
                worker.workspaces.remove(&workspace);
            }
        }
        let lease = Lease {
            worker: key.clone(),
            turn_id,
            attempt,
            tenant: tenant.to_owned(),
            session_key: session_key.to_owned(),
            agent: selector.agent.clone(),
            accepted: false,
            fenced: false,
            last_frame: 0,
            inbox,
            offsets: frames::Offsets::default(),
            commands: VecDeque::new(),
        };
        state.leases.insert(token.clone(), lease);
        state.count();
        Some(Assignment {
            token,
            worker: key,
            inbox: receiver,
            hub: Arc::clone(self),
        })
    }

    /// Sends an assignment to its worker. Where it can't be sent the driver hears that it was not begun.
    pub fn offer(&self, mut assign: proto::WorkerAssign, token: &str) {
        assign.lease_token = token.to_owned();
        let mut state = self.lock();
        let Some(worker) = state.leases.get(token).map(|it| it.worker.clone()) else {
            return;
        };
        if !state.send(&worker, Down::Assign(assign)) {
            state.end(token, Inbound::NotBegun("its worker was gone".into()));
        }
    }

    /// Sends a command of an assignment, again after each cut until its worker says that it applied it.
    pub fn command(&self, token: &str, command_id: &str, command: Down) {
        let mut state = self.lock();
        let Some(lease) = state.leases.get_mut(token) else {
            return;
        };
        if lease.commands.len() >= COMMANDS_MAX {
            lease.commands.pop_front();
        }
        (lease.commands).push_back((command_id.to_owned(), command.clone()));
        let worker = lease.worker.clone();
        state.send(&worker, command);
    }

    /// Takes an assignment from a worker that did not accept it in time: it is to say that it stopped, or its lease ends.
    pub fn fence(&self, token: &str) {
        let mut state = self.lock();
        let Some(lease) = state.leases.get_mut(token) else {
            return;
        };
        lease.fenced = true;
        let worker = lease.worker.clone();
        state.send(&worker, fenced(token));
    }

    /// Says what of an assignment has arrived.
    pub fn acknowledge(&self, token: &str, frame: i64, (connection, taken): (u64, u64)) {
        let state = self.lock();
        let Some(lease) = state.leases.get(token) else {
            return;
        };
        let current = state.workers.get(&lease.worker);
        let current = current.and_then(|it| it.connection.as_ref()).map(|it| it.0);
        let taken = if current == Some(connection) {
            taken
        } else {
            0
        };
        state.send(&lease.worker, ack(token, frame, taken));
    }

    /// An assignment is over and all of it is kept; its worker may forget it.
    fn over(&self, token: &str) {
        let mut state = self.lock();
        let Some(lease) = state.leases.remove(token) else {
            return;
        };
        state.send(&lease.worker, ack(token, lease.last_frame, 0));
        if let Some(worker) = state.workers.get_mut(&lease.worker) {
            worker.leases.remove(token);
            if worker.leases.is_empty() && worker.connection.is_none() {
                state.workers.remove(&lease.worker);
            }
        }
        state.count();
        drop(state);
        self.tell_room();
    }

    /// A session's agent is not needed any more.
    pub fn close(&self, session_id: Uuid) {
        let workspace_id = session_id.to_string();
        let state = self.lock();
        let have = (state.workers.iter()).filter(|(_, it)| it.workspaces.contains(&workspace_id));
        for (key, _) in have {
            let workspace_id = workspace_id.clone();
            state.send(key, Down::Close(proto::WorkerClose { workspace_id }));
        }
    }

    /// Turns that could begin now, by the tenant that they must be of; those of any stand under `None`. What has no room is
    /// left out.
    pub fn free(&self, selector: &Selector) -> BTreeMap<Option<String>, usize> {
        let state = self.lock();
        let mut free = BTreeMap::new();
        let fit = (state.workers.iter()).filter(|(key, it)| it.fits(key, selector));
        for (key, worker) in fit.filter(|(_, it)| it.has_room()) {
            let tenant = key.only_tenant().map(str::to_owned);
            *free.entry(tenant).or_default() += worker.capacity - worker.load();
        }
        free
    }

    /// What an agent can do for a tenant on the workers that have it now; `None` where nobody has it.
    pub fn capabilities(&self, selector: &Selector, tenant: &str) -> Option<Capabilities> {
        let state = self.lock();
        let mut fit =
            (state.workers.iter()).filter(|(key, it)| it.fits(key, selector) && key.serves(tenant));
        fit.find_map(|(_, it)| it.agents.get(&selector.agent).copied())
    }

    /// A page of workers by name, after one: those of the caller's tenant, all for the operator's. Of what they run, what is
    /// of the caller's tenant.
    pub fn list(
        &self,
        caller: &Principal,
        agent: &str,
        after: usize,
        limit: usize,
    ) -> Vec<proto::Worker> {
        let state = self.lock();
        let has = |it: &Worker| agent.is_empty() || it.agents.contains_key(agent);
        let own = format!("{}/", caller.tenant);
        let sees = |key: &WorkerKey| caller.is_operator() || key.principal.starts_with(&own);
        let workers = (state.workers.iter()).filter(|(key, it)| has(it) && sees(key));
        let worker = |(key, it): (&WorkerKey, &Worker)| proto::Worker {
            worker_name: key.name.clone(),
            principal: key.principal.clone(),
            incarnation: key.incarnation.clone(),
            labels: it.labels.clone(),
            agents: it.agents.keys().cloned().collect(),
            capacity: i32::try_from(it.capacity).unwrap_or(i32::MAX),
            leases: (it.leases.iter())
                .filter_map(|token| state.leases.get(token))
                .filter(|lease| lease.tenant == caller.tenant)
                .map(|lease| proto::WorkerLease {
                    turn_id: lease.turn_id.to_string(),
                    attempt: lease.attempt,
                    session_key: lease.session_key.clone(),
                    agent: lease.agent.clone(),
                })
                .collect(),
            state: match (&it.connection, it.draining) {
                (None, _) => proto::WorkerState::Lost,
                (Some(_), true) => proto::WorkerState::Draining,
                (Some(_), false) => proto::WorkerState::Connected,
            }
            .into(),
            connect_time: Some(encode::timestamp(it.connect_time)),
            idle: Some(encode::duration(it.heard.elapsed())),
            version: it.version.clone(),
        };
        workers.map(worker).skip(after).take(limit).collect()
    }
}

// === impl State ===

impl State {
    /// Sends to a worker; false where it has no connection or reads too little, which then is cut.
    fn send(&self, key: &WorkerKey, frame: Down) -> bool {
        let connection = self.workers.get(key).and_then(|it| it.connection.as_ref());
        connection.is_some_and(|(_, out)| match out.try_send(Ok(down(frame))) {
            Ok(()) => true,
            Err(_) => {
                warn!(
                    worker = key.name,
                    limit = OUT_FRAMES_MAX,
                    "a worker does not read"
                );
                false
            }
        })
    }

    /// The lease that a frame is about, where it is its sender's. What is late or a stranger's is counted.
    fn lease_of(&mut self, from: &ConnectionKey, token: &str) -> Option<&mut Lease> {
        let lease = self.leases.get_mut(token);
        let lease = lease.filter(|lease| lease.worker == from.worker);
        if lease.is_none() {
            metrics::get().worker_frames_dropped.increment(1);
        }
        lease
    }

    fn said(
        &mut self,
        from: &ConnectionKey,
        told: proto::WorkerEvent,
        cost: u64,
    ) -> Result<(), String> {
        let Some(lease) = self.lease_of(from, &told.lease_token) else {
            return Ok(());
        };
        if lease.fenced {
            metrics::get().worker_frames_dropped.increment(1);
            return Ok(());
        }
        if told.frame > 0 && !lease.is_next(told.frame)? {
            return Ok(());
        }
        let frame = told.frame;
        let event = told.event.and_then(frames::decode);
        let event = event.ok_or("an event says nothing that is known")?;
        let (frames::Told::Said(inner) | frames::Told::Delta(_, inner)) = &event;
        if frames::is_durable(inner) != (frame > 0) {
            return Err("durable events have a number, others have none".into());
        }
        let event = match event {
            frames::Told::Said(event) => {
                lease.offsets.follow(&event);
                Some(event)
            }
            frames::Told::Delta(offset, event) => lease.offsets.fresh(offset, event),
        };
        lease.tell(Inbound::Said {
            event,
            frame,
            cost,
            connection: from.number,
        })
    }

    fn ended(
        &mut self,
        from: &ConnectionKey,
        token: &str,
        frame: i64,
        event: crate::agent::AgentEvent,
    ) -> Result<bool, String> {
        let Some(lease) = self.lease_of(from, token) else {
            // It is over, whatever came of it: its worker is not to say so again.
            self.send(&from.worker, ack(token, frame, 0));
            return Ok(false);
        };
        if lease.fenced {
            let word = if lease.accepted {
                Inbound::Lost("it was given up, and its worker says that it has ended".into())
            } else {
                Inbound::NotBegun("it was not accepted in time".into())
            };
            self.end(token, word);
            self.send(&from.worker, ack(token, frame, 0));
            return Ok(true);
        }
        if !lease.is_next(frame)? {
            return Ok(false);
        }
        lease.tell(Inbound::Ended { event, frame })?;
        Ok(false)
    }

    fn stopped(
        &mut self,
        from: &ConnectionKey,
        told: &proto::WorkerStopped,
        event: crate::agent::AgentEvent,
    ) -> Result<bool, String> {
        let token = told.lease_token.as_str();
        let former = (self.former.iter())
            .find(|(_, it)| it.held.as_ref() == Some(&(from.worker.clone(), token.to_owned())));
        if let Some((turn_id, _)) = former {
            if told.survivors.is_empty() {
                let turn_id = *turn_id;
                self.settled.push(turn_id);
            }
            self.send(&from.worker, ack(token, told.frame, 0));
            return Ok(false);
        }
        self.ended(from, token, told.frame, event)
    }

    fn not_begun(&mut self, from: &ConnectionKey, token: &str, why: String) -> bool {
        let Some(lease) = self.lease_of(from, token) else {
            return false;
        };
        if lease.last_frame > 0 {
            metrics::get().worker_frames_dropped.increment(1);
            return false;
        }
        self.end(token, Inbound::NotBegun(why));
        true
    }

    /// What becomes of a lease that a worker says it holds, and what is said again about it.
    fn resume(&mut self, key: &WorkerKey, held: &proto::WorkerHeldLease) -> Vec<Down> {
        let token = held.lease_token.as_str();
        if let Some(lease) = self.leases.get_mut(token)
            && lease.worker == *key
            && !lease.fenced
        {
            lease.accepted = true;
            let mut say = vec![Down::Resume(proto::WorkerResume {
                lease_token: token.to_owned(),
                action: proto::WorkerResumeAction::Continue.into(),
                from_frame: lease.last_frame + 1,
            })];
            say.extend(lease.commands.iter().map(|(_, command)| command.clone()));
            return say;
        }
        if let Ok(turn_id) = Uuid::parse_str(&held.turn_id)
            && let Some(former) = self.former.get_mut(&turn_id)
            && former.kept.token_hash == hash(token)
        {
            former.held = Some((key.clone(), token.to_owned()));
        }
        vec![fenced(token)]
    }

    /// A worker found a turn of an earlier life of its own: nothing of that life is left.
    fn recover(&mut self, from: &ConnectionKey, told: &proto::WorkerRecoveryRequest) {
        use proto::WorkerRecoveryAction as Action;
        let of_worker = |key: &WorkerKey| {
            key.name == from.worker.name && key.principal == from.worker.principal
        };
        let turn_id = Uuid::parse_str(&told.turn_id).unwrap_or_default();
        let lease = (self.leases.iter())
            .find(|(_, it)| it.turn_id == turn_id && it.attempt == told.attempt)
            .map(|(token, it)| (token.clone(), it.worker.clone()));
        let former = self.former.get(&turn_id).filter(|it| {
            let KeptLease {
                worker, attempt, ..
            } = &it.kept;
            *attempt == told.attempt
                && *worker == format!("{}/{}", from.worker.principal, from.worker.name)
        });
        let (action, reason) = match (lease, former) {
            (Some((token, key)), _) if of_worker(&key) && key != from.worker => {
                let word = Inbound::Lost("its worker began anew".into());
                self.end(&token, word);
                (Action::Settled, "")
            }
            (Some(_), _) => (Action::Discard, "another worker has it"),
            (None, Some(_)) => {
                self.settled.push(turn_id);
                (Action::Settled, "")
            }
            (None, None) => (Action::Discard, "it is unknown or over"),
        };
        let decision = proto::WorkerRecoveryDecision {
            turn_id: told.turn_id.clone(),
            action: action.into(),
            reason: reason.to_owned(),
        };
        self.send(&from.worker, Down::RecoveryDecision(decision));
    }

    /// Ends a lease from this side, and says why.
    fn end(&mut self, token: &str, word: Inbound) {
        let Some(lease) = self.leases.remove(token) else {
            return;
        };
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.leases.remove(token);
        }
        // Its driver may be gone, and hears it by the closed inbox where it is full.
        let _ = lease.inbox.try_send(word);
        self.count();
    }

    fn unreserve(&mut self, number: u64) -> Option<WorkerKey> {
        let (_, key) = self.reservations.remove(&number)?;
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.reserved = worker.reserved.saturating_sub(1);
        }
        Some(key)
    }

    /// Where a turn goes: to the worker that has its workspace, else to the one with most of its capacity free.
    fn place(
        &self,
        selector: &Selector,
        tenant: &str,
        workspace: &str,
        sticky: bool,
        passed_over: &[WorkerKey],
    ) -> Placement {
        let fits = |(key, it): &(&WorkerKey, &Worker)| {
            it.fits(key, selector) && key.serves(tenant) && !passed_over.contains(key)
        };
        let at_home = (self.workers.iter())
            .filter(fits)
            .find(|(_, it)| it.workspaces.contains(workspace));
        if let Some((key, worker)) = at_home {
            if worker.has_room() {
                return Placement::At(key.clone());
            }
            if sticky {
                return Placement::Busy;
            }
        }
        let free = self.workers.iter().filter(fits);
        let free = free.filter(|(_, it)| it.has_room());
        // Loads are compared without dividing: a / b < c / d where a * d < c * b.
        let least =
            free.min_by(|(_, a), (_, b)| (a.load() * b.capacity).cmp(&(b.load() * a.capacity)));
        least.map_or(Placement::None, |(key, _)| Placement::At(key.clone()))
    }

    fn count(&self) {
        let connected = self.workers.values().filter(|it| it.connection.is_some());
        metrics::get().workers.set(connected.count() as f64);
        metrics::get().worker_leases.set(self.leases.len() as f64);
    }
}

// === impl Worker ===

impl Worker {
    fn load(&self) -> usize {
        self.leases.len() + self.reserved
    }

    fn has_room(&self) -> bool {
        self.load() < self.capacity
    }

    fn takes(&self) -> bool {
        self.connection.is_some() && !self.draining
    }

    fn fits(&self, key: &WorkerKey, selector: &Selector) -> bool {
        let Selector {
            agent,
            labels,
            principals,
        } = selector;
        self.takes()
            && self.agents.contains_key(agent)
            && principals.contains(&key.principal)
            && labels
                .iter()
                .all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

// === impl Lease ===

impl Lease {
    /// Whether a numbered frame is the next one. One that came before is counted and passed over.
    fn is_next(&mut self, frame: i64) -> Result<bool, String> {
        if frame <= self.last_frame {
            metrics::get().worker_frames_dropped.increment(1);
            return Ok(false);
        }
        if frame > self.last_frame + 1 {
            let expected = self.last_frame + 1;
            return Err(format!("frame {frame} came where {expected} was due"));
        }
        self.last_frame = frame;
        Ok(true)
    }

    fn tell(&self, word: Inbound) -> Result<(), String> {
        match self.inbox.try_send(word) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err("an assignment sent more than its credit".into())
            }
        }
    }
}

// === impl WorkerKey ===

impl WorkerKey {
    /// `tenant/subject/name`, as it is kept.
    pub fn kept(&self) -> String {
        format!("{}/{}", self.principal, self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tenant whose turns alone it gets; `None` for a worker of the operator's, which gets those of all.
    fn only_tenant(&self) -> Option<&str> {
        let tenant = self.principal.split('/').next();
        tenant.filter(|tenant| *tenant != OPERATOR_TENANT)
    }

    fn serves(&self, tenant: &str) -> bool {
        self.only_tenant().is_none_or(|only| only == tenant)
    }
}

// === impl Assignment ===

impl Drop for Assignment {
    fn drop(&mut self) {
        self.hub.over(&self.token);
    }
}

// === impl Reservation ===

impl Drop for Reservation {
    fn drop(&mut self) {
        let freed = self.hub.lock().unreserve(self.number).is_some();
        if freed {
            self.hub.tell_room();
        }
    }
}

fn down(frame: Down) -> proto::ConnectResponse {
    proto::ConnectResponse { frame: Some(frame) }
}

fn ack(token: &str, frame: i64, taken: u64) -> Down {
    Down::Ack(proto::WorkerAck {
        lease_token: token.to_owned(),
        frame,
        taken_bytes: i64::try_from(taken).unwrap_or(i64::MAX),
    })
}

fn fenced(token: &str) -> Down {
    Down::Resume(proto::WorkerResume {
        lease_token: token.to_owned(),
        action: proto::WorkerResumeAction::Fenced.into(),
        from_frame: 0,
    })
}

/// 128 random bits.
fn token() -> String {
    Uuid::new_v4().simple().to_string()
}

/// How a token is kept.
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

fn check(told: &proto::WorkerRegister) -> Result<(), Refusal> {
    let word = |text: &str, max: usize| {
        let grammar = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
        !text.is_empty() && text.len() <= max && text.bytes().all(grammar)
    };
    let wrong = |field: &str, problem: String| Err(Refusal::field(field, problem));
    if !word(&told.worker_name, NAME_MAX_BYTES) {
        let problem = format!("must be 1 to {NAME_MAX_BYTES} of A-Z a-z 0-9 . _ -");
        return wrong("register.worker_name", problem);
    }
    if !word(&told.incarnation, 64) {
        return wrong(
            "register.incarnation",
            "must be 1 to 64 of A-Z a-z 0-9 . _ -".into(),
        );
    }
    if told.capacity < 1 || told.capacity > CAPACITY_MAX {
        let problem = format!("must be from 1 to {CAPACITY_MAX}");
        return wrong("register.capacity", problem);
    }
    let lists = [
        ("register.agents", told.agents.len()),
        ("register.labels", told.labels.len()),
        ("register.features", told.features.len()),
    ];
    for (field, count) in lists {
        if count > WORDS_MAX {
            return wrong(
                field,
                format!("has {count} entries; at most {WORDS_MAX} are allowed"),
            );
        }
    }
    let too_long = |it: &String| it.len() > WORD_MAX_BYTES;
    if told
        .labels
        .iter()
        .any(|(name, value)| too_long(name) || too_long(value))
    {
        let problem = format!("has a name or value of more than {WORD_MAX_BYTES} bytes");
        return wrong("register.labels", problem);
    }
    if told.version.len() > NAME_MAX_BYTES {
        return wrong(
            "register.version",
            format!("is longer than {NAME_MAX_BYTES} bytes"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
