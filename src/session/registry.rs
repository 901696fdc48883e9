//! Who is awake: wakes sessions that have work, bounds how many run, retires idle ones, keeps house, drains.
//!
//! Grants go round over tenants and principals, see [`Round`]; nobody gets more of them than its quota.
//!
//! One task owns all of it. It learns of work from the feed (each commit names its session), so work that was committed
//! is found even when its caller is gone; a direct nudge only makes it quicker.

use super::{
    actor::{Actor, Lost},
    commands::KnownCommands,
    handle::{Done, Drain, Handle, Used, Workshop},
};
use crate::{
    clock,
    domain::{
        ids::{Principal, SessionRow},
        quotas::LiveQuotas,
        refusal::Refusal,
        session::{Session, SessionState},
        turn::Cause,
    },
    store::{
        Store, TurnEnd, Waiting,
        round::{self, Headcount, Round},
    },
    telemetry::metrics,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior},
};
use tracing::{error, warn};

/// How often queued turns are looked at for expiry, and work for which there was no room.
const TICK: Duration = Duration::from_secs(1);
/// How often there is housekeeping, where the last round left nothing to do. A round looks at some hundred sessions.
const MAINTAIN_EVERY: Duration = Duration::from_secs(5);
/// Grants that are given at once, so that one look at the store is short.
const REFILL_MAX: usize = 256;
/// Time that actors have to end after the drain's window: proof of a kill, and the commit.
const END_MAX: Duration = Duration::from_secs(12);

/// Words of actors that wait for the registry; an actor waits with its own meanwhile.
const DONE_QUEUE: usize = 64;

/// What handlers hold of the registry.
pub struct Registry {
    handles: Mutex<HashMap<SessionRow, Arc<Handle>>>,
    commands: Arc<KnownCommands>,
    drain: watch::Sender<Drain>,
}

/// The task that owns the actors.
pub struct RegistryTask {
    registry: Arc<Registry>,
    workshop: Arc<Workshop>,
    quotas: LiveQuotas,
    /// Sessions that have a grant.
    round: Round,
    /// Owners of the sessions that have an actor.
    awake: HashMap<SessionRow, Principal>,
    /// The same, counted.
    heads: Headcount,
    /// True where work may be waiting that got no grant.
    backlog: bool,
    /// Sessions whose actor failed and whose turn could not be ended yet; tried again at each tick.
    unsettled: HashSet<SessionRow>,
    actors: JoinSet<Result<(), Lost>>,
    rows: HashMap<Id, SessionRow>,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
}

// === impl Registry ===

impl Registry {
    /// Makes the registry's shared half. `drain` is the sender of the workshop's receiver.
    pub fn new(drain: watch::Sender<Drain>) -> Arc<Self> {
        Arc::new(Self {
            handles: Mutex::new(HashMap::new()),
            commands: Arc::default(),
            drain,
        })
    }

    /// Tells a session's actor, if there is one, to look at its rows.
    pub fn nudge(&self, session: SessionRow) {
        if let Some(handle) = self.handle(session) {
            handle.nudge.notify_one();
        }
    }

    /// What agents told of their commands.
    pub fn commands(&self) -> &Arc<KnownCommands> {
        &self.commands
    }

    /// Lets a tenant's agents begin their next turn with a fresh process; idle ones end now. Returns how many are awake.
    pub fn reload(&self, tenant: &str) -> usize {
        let handles = self.handles.lock().expect("no holder panics");
        let of_tenant = handles.values().filter(|handle| handle.tenant == tenant);
        of_tenant.map(|handle| handle.ask_to_reload()).count()
    }

    /// Lets a session's agent begin its next turn with a fresh process; an idle one ends now. False where none is awake.
    pub fn reload_session(&self, session: SessionRow) -> bool {
        let handle = self.handle(session);
        if let Some(handle) = &handle {
            handle.ask_to_reload();
        }
        handle.is_some()
    }

    /// No new turn starts from here on.
    pub fn begin_drain(&self) {
        self.drain.send_if_modified(|drain| {
            let first = *drain == Drain::No;
            if first {
                *drain = Drain::Waiting;
            }
            first
        });
    }

    /// What still runs is interrupted.
    pub fn end_drain(&self) {
        self.drain.send_replace(Drain::Over);
    }

    /// Whether new work is refused.
    pub fn draining(&self) -> bool {
        *self.drain.borrow() != Drain::No
    }

    fn handle(&self, session: SessionRow) -> Option<Arc<Handle>> {
        self.handles
            .lock()
            .expect("no holder panics")
            .get(&session)
            .cloned()
    }
}

// === impl RegistryTask ===

impl RegistryTask {
    /// Makes the task.
    pub fn new(registry: Arc<Registry>, workshop: Arc<Workshop>, quotas: LiveQuotas) -> Self {
        Self {
            registry,
            workshop,
            quotas,
            round: Round::default(),
            awake: HashMap::new(),
            heads: Headcount::default(),
            // What an earlier life left is found at the first look.
            backlog: true,
            unsettled: HashSet::new(),
            actors: JoinSet::new(),
            rows: HashMap::new(),
            done: mpsc::channel(DONE_QUEUE),
        }
    }

    /// Runs until a drain is over: no turn is active any more and every agent is gone.
    pub async fn run(mut self) {
        let mut drain = self.workshop.drain.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Beside the loop: a long round of it must not keep a turn from starting.
        let mut house = pin!(keep_house(self.workshop.store.clone()));
        let mut give_up_at: Option<Instant> = None;
        let mut workers_room = self.workshop.workers.room();
        self.refill().await;
        loop {
            if *drain.borrow() != Drain::No && self.actors.is_empty() {
                return;
            }
            let feed = self.workshop.feed.clone();
            let give_up = give_up_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                changed = feed.changed_sessions() => {
                    for session in changed {
                        self.consider(&session);
                    }
                }
                Some(done) = self.done.1.recv() => self.finished(done).await,
                Some(exit) = self.actors.join_next_with_id() => self.exited(exit).await,
                Ok(()) = workers_room.changed() => self.look_for_workers().await,
                () = &mut house => unreachable!("it never ends"),
                _ = tick.tick() => {
                    self.expire_queued().await;
                    // What began to wait in the moment in which there was room.
                    self.look_for_workers().await;
                    for row in std::mem::take(&mut self.unsettled) {
                        self.settle(row).await;
                    }
                    if self.backlog {
                        self.refill().await;
                    }
                }
                changed = drain.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *drain.borrow_and_update() == Drain::Over {
                        give_up_at = Some(Instant::now() + END_MAX);
                    }
                }
                () = tokio::time::sleep_until(give_up), if give_up_at.is_some() => {
                    error!(left = self.actors.len(), "agents did not end in time; they are left to their keepers");
                    return;
                }
            }
        }
    }

    /// Grants or nudges, as the session's row asks for.
    fn consider(&mut self, session: &Session) {
        if self.round.holds(session.row) {
            match session.state {
                SessionState::Canceling | SessionState::Resetting | SessionState::Deleting => {
                    self.registry.nudge(session.row);
                }
                SessionState::Idle
                | SessionState::Running
                | SessionState::WaitingInput
                | SessionState::Deleted => {}
            }
        } else if self.has_work(session) {
            let quotas = self.quotas.get();
            let may = self.round.room(&quotas) > 0
                && self.round.tenant_may(&quotas, &session.tenant)
                && self.round.principal_may(&quotas, &round::owner(session));
            // Where there is room nobody else waits who may start: this one overtakes nobody.
            if may {
                self.grant(session);
            } else {
                self.backlog = true;
            }
        }
    }

    fn has_work(&self, session: &Session) -> bool {
        match session.state {
            SessionState::Deleting => true,
            SessionState::Idle => {
                let waits = session.queue_depth > 0
                    && session.budget_wait.is_none()
                    && !session.waits_for_worker();
                waits && !self.registry.draining()
            }
            SessionState::Running
            | SessionState::WaitingInput
            | SessionState::Canceling
            | SessionState::Resetting
            | SessionState::Deleted => false,
        }
    }

    fn grant(&mut self, session: &Session) {
        let row = session.row;
        self.round.grant(session);
        if let Some(handle) = self.registry.handle(row) {
            handle.grant();
            return;
        }
        let owner = round::owner(session);
        self.make_room(&owner);
        self.heads.enter(&owner);
        self.awake.insert(row, owner);
        let handle = Arc::new(Handle::new(session.tenant.clone()));
        handle.grant();
        self.registry
            .handles
            .lock()
            .expect("no holder panics")
            .insert(row, handle.clone());
        let actor = Actor::run(self.workshop.clone(), handle, row, self.done.0.clone());
        let task = self.actors.spawn(actor);
        self.rows.insert(task.id(), row);
    }

    /// Asks the actor that is idle for longest to end, where too many are awake: of this owner, of its tenant, or of the
    /// tenant that has most of them awake, so that who wakes many sessions costs its neighbours no agent. It may take a
    /// moment to end; what runs is never more than may be awake.
    fn make_room(&self, owner: &Principal) {
        let quotas = self.quotas.get();
        let of_owner = self.heads.of_principal(owner) >= quotas.principal.max_awake_agents;
        let of_tenant = self.heads.of_tenant(&owner.tenant) >= quotas.tenant.max_awake_agents;
        if !of_owner && !of_tenant && self.awake.len() < quotas.max_awake_agents {
            return;
        }
        // One of the narrowest circle makes room in the wider ones too.
        let counts = |other: &Principal| {
            (!of_owner || other == owner) && (!of_tenant || other.tenant == owner.tenant)
        };
        let handles = self.registry.handles.lock().expect("no holder panics");
        let idle = handles
            .iter()
            .filter(|(row, handle)| !self.round.holds(**row) && !handle.should_close())
            .filter_map(|(row, handle)| Some((self.awake.get(row)?, handle)))
            .filter(|(owner, _)| counts(owner))
            .filter_map(|(owner, handle)| {
                let awake = self.heads.of_tenant(&owner.tenant);
                Some((Reverse(awake), handle.idle_since()?, handle))
            })
            .min_by_key(|(awake, since, _)| (*awake, *since));
        if let Some((_, _, handle)) = idle {
            handle.ask_to_close();
        }
    }

    /// Grants to those who are next while there is room.
    async fn refill(&mut self) {
        loop {
            let quotas = self.quotas.get();
            let limit = self.round.room(&quotas).min(REFILL_MAX);
            if limit == 0 {
                return;
            }
            let ask = Waiting {
                limit,
                round: self.round.clone(),
                quotas,
                deletes_only: self.registry.draining(),
            };
            let runnable = match self.workshop.store.runnable(ask).await {
                Ok(runnable) => runnable,
                Err(problem) => {
                    warn!(%problem, "the store does not tell what can run");
                    return;
                }
            };
            self.backlog = runnable.more;
            let found = runnable.sessions.len();
            for session in runnable.sessions {
                self.consider(&session);
            }
            if found < REFILL_MAX {
                return;
            }
        }
    }

    async fn finished(&mut self, done: Done) {
        self.round.release(done.session);
        match done.used {
            Used::NotYet => self.backlog = true,
            Used::Well if self.backlog => self.refill().await,
            Used::Well => self.reconsider(done.session).await,
        }
    }

    async fn reconsider(&mut self, row: SessionRow) {
        match self.workshop.store.session_by_row(row).await {
            Ok(Some(session)) => self.consider(&session),
            Ok(None) => {}
            Err(_) => self.backlog = true,
        }
    }

    async fn exited(&mut self, exit: Result<(Id, Result<(), Lost>), JoinError>) {
        // What the actor said before it ended counts first: later it would be taken for a word of the next one.
        while let Ok(done) = self.done.1.try_recv() {
            self.finished(done).await;
        }
        let (id, failed) = match exit {
            Ok((id, Ok(()))) => (id, false),
            Ok((id, Err(Lost::Fenced))) => (id, false),
            Ok((id, Err(Lost::Broken(refusal)))) => {
                error!(%refusal, "a session's actor gave up");
                (id, true)
            }
            Err(problem) => {
                error!(%problem, "a session's actor panicked");
                (problem.id(), true)
            }
        };
        let Some(row) = self.rows.remove(&id) else {
            return;
        };
        let handle = self
            .registry
            .handles
            .lock()
            .expect("no holder panics")
            .remove(&row);
        self.round.release(row);
        if let Some(owner) = self.awake.remove(&row) {
            self.heads.leave(&owner);
        }
        if failed {
            // Not looked at again before the next tick: what failed at once would fail at once for ever.
            self.backlog = true;
            self.settle(row).await;
        } else if handle.is_some_and(|h| h.take_grant()) {
            // Granted while it was on its way out.
            self.reconsider(row).await;
        } else if self.backlog {
            self.refill().await;
        }
    }

    /// Ends the turn of an actor that is gone; its agent went with it.
    async fn settle(&mut self, row: SessionRow) {
        if self.round.holds(row) {
            // Another actor has it already, and with it nothing was active.
            return;
        }
        let store = &self.workshop.store;
        let settled = async {
            let Some(session) = store.session_by_row(row).await? else {
                return Ok(());
            };
            if session.active_turn.is_some() {
                let (fence, _) = store.claim(row).await?;
                let end = TurnEnd::Failed(Cause::AgentExited, "the session's owner failed".into());
                store
                    .end_turn(fence, Vec::new(), end, String::new(), clock::now())
                    .await?;
            }
            Ok::<(), Refusal>(())
        };
        if let Err(problem) = settled.await {
            error!(%problem, "a turn could not be settled; it is tried again");
            self.unsettled.insert(row);
        }
    }

    /// Says how many sessions wait for a worker, and wakes as many as there is room for.
    async fn look_for_workers(&self) {
        if self.workshop.worker_agents.is_empty() {
            return;
        }
        let wanted = match self.workshop.store.wanted_workers().await {
            Ok(wanted) => wanted.into_iter().collect(),
            Err(problem) => {
                warn!(%problem, "sessions that wait for a worker could not be counted");
                BTreeMap::new()
            }
        };
        for (agent, selector) in &self.workshop.worker_agents {
            let labels = selector.labels.iter();
            let labels: Vec<String> = labels
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let waiting = wanted.get(agent).copied().unwrap_or(0);
            metrics::worker_wanted(agent, &labels.join(","), waiting);
        }
        for (agent, selector) in &self.workshop.worker_agents {
            for (tenant, free) in self.workshop.workers.free(selector) {
                if self.registry.draining() {
                    return;
                }
                let store = &self.workshop.store;
                let looked = store.look_for_workers(agent, tenant.as_deref(), free, clock::now());
                if let Err(problem) = looked.await {
                    warn!(%problem, "sessions that wait for a worker could not be looked at");
                }
            }
        }
    }

    async fn expire_queued(&self) {
        if let Err(problem) = self.workshop.store.expire_queued(clock::now()).await {
            warn!(%problem, "queued turns could not be looked at for expiry");
        }
    }
}

/// Housekeeping in bounded pieces, for ever.
async fn keep_house(store: Arc<dyn Store>) {
    // The first round at once: a server that is started often must keep house too.
    loop {
        let pause = match store.maintain(clock::now()).await {
            // More to do: soon, so that callers' commits come between.
            Ok(true) => TICK,
            Ok(false) => MAINTAIN_EVERY,
            Err(problem) => {
                warn!(%problem, "housekeeping failed; it is tried again");
                MAINTAIN_EVERY
            }
        };
        tokio::time::sleep(pause).await;
    }
}
