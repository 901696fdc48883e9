//! What is to be done at its time: turns that wait for their `not_before`, and schedules.
//!
//! One task, one timer. It sleeps until the next time that the store knows, at most [`LOOK_EVERY`]: so a clock that is set
//! is noticed, whichever way. It keeps nothing: what is due is found in rows, and each step is one commit that moves its
//! row on, so a step that is cut is done anew and none is done twice. What a schedule's request comes to is told by
//! [`Prepare`], through which it is read as a call's would be.
//!
//! At a drain it ends at once: what is due from then on is found by the next start.

use crate::{
    clock,
    domain::{
        access::{Identity, Scope},
        ids::Time,
        refusal::Refusal,
        schedule::{Overlap, Plan, Schedule, ScheduleRun, Trigger, plan},
        times::{Nominal, seconds},
    },
    failpoint,
    proto::EnqueueRequest,
    store::{Enqueue, ScheduleCaller, ScheduleStart, ScheduleStep, Store},
};
use futures_util::future::BoxFuture;
use prost::Message as _;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use tracing::warn;
use uuid::Uuid;

/// Longest sleep.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Pause after the store did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Schedules of one look at the store.
const DUE_MAX: usize = 64;
/// Tries of a change whose schedule changes meanwhile.
const TRIES_MAX: usize = 8;

/// The system's clock.
pub type WallClock = Arc<dyn Fn() -> Time + Send + Sync>;
/// Reads a request of somebody as a call's is read: what is to be admitted, or why it is refused.
pub type Prepare = Arc<
    dyn Fn(Arc<Identity>, EnqueueRequest) -> BoxFuture<'static, Result<Enqueue, Refusal>>
        + Send
        + Sync,
>;

/// The task, and what starts a schedule as it was asked for.
pub struct Schedules {
    store: Arc<dyn Store>,
    prepare: Prepare,
    wall: WallClock,
    /// Notified where the next time may be an earlier one.
    sooner: Arc<Notify>,
}

// === impl Schedules ===

impl Schedules {
    /// Makes it.
    pub fn new(
        store: Arc<dyn Store>,
        prepare: Prepare,
        wall: WallClock,
        sooner: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            prepare,
            wall,
            sooner,
        })
    }

    /// The system's clock, as it sees it.
    pub fn wall(&self) -> Time {
        (self.wall)()
    }

    /// The next time may be an earlier one than before.
    pub fn changed(&self) {
        self.sooner.notify_one();
    }

    /// Reads a request as each run would.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn try_request(
        &self,
        identity: Arc<Identity>,
        request: EnqueueRequest,
    ) -> Result<Enqueue, Refusal> {
        (self.prepare)(identity, request).await
    }

    /// Does what is due, until it is dropped.
    pub async fn run(&self) {
        loop {
            // Asked for before the look, so that nothing falls between.
            let sooner = self.sooner.notified();
            let pause = match self.look().await {
                Ok(next) => self.until(next),
                Err(problem) => {
                    warn!(%problem, "what is due could not be done; it is tried again");
                    RETRY_AFTER
                }
            };
            let _ = tokio::time::timeout(pause, sooner).await;
        }
    }

    /// Does all that is due; returns when the next is.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&self) -> Result<Option<Time>, Refusal> {
        loop {
            // A look at which nothing is due asks nothing of the writer.
            let next = self.store.next_due().await?;
            if next.is_none_or(|next| next > self.wall()) {
                return Ok(next);
            }
            while self.store.queue_due(self.wall(), clock::now()).await? > 0 {}
            let mut failed = Ok(());
            for schedule in self.store.due_schedules(self.wall(), DUE_MAX).await? {
                // One that fails holds up none beside it.
                failed = failed.and(self.step(schedule).await);
            }
            failed?;
        }
    }

    /// How long until then.
    fn until(&self, next: Option<Time>) -> Duration {
        let Some(next) = next else { return LOOK_EVERY };
        let left = next.0.saturating_sub(self.wall().0);
        Duration::from_micros(u64::try_from(left).unwrap_or(0)).min(LOOK_EVERY)
    }

    /// Does what is due of one schedule, one run at most. Where it has changed since, the next look finds it.
    async fn step(&self, schedule: Schedule) -> Result<(), Refusal> {
        let wall = self.wall();
        let plan = match (schedule.rules.spec.times(), schedule.next) {
            (Ok(times), Some(next)) => plan(&schedule.rules, &times, schedule.uid, next, wall),
            // A zone that is not known any more: nothing is to come.
            (Err(_), _) | (_, None) => {
                warn!(schedule = %schedule.uid, "the times of schedule {} can't be told any more", schedule.uid);
                Plan::default()
            }
        };
        let start = match plan.run {
            None => None,
            Some((time, trigger)) => Some(self.start(&schedule, Some(time), trigger, wall).await),
        };
        let step = ScheduleStep {
            schedule,
            plan,
            start,
            wall,
        };
        failpoint::pass("schedule");
        self.store.step_schedule(step).await?;
        failpoint::pass("scheduled");
        Ok(())
    }

    /// Runs a schedule of the caller now; true for a repeat.
    ///
    /// # Errors
    /// `SCHEDULE_NOT_FOUND`, the store's.
    pub async fn run_now(&self, caller: ScheduleCaller) -> Result<(ScheduleRun, bool), Refusal> {
        for _ in 0..TRIES_MAX {
            let wall = self.wall();
            let owner = &caller.identity.principal;
            let schedule = self.store.schedule(owner, &caller.name, wall).await?;
            let start = self.start(&schedule, None, Trigger::Manual, wall).await;
            let step = ScheduleStep {
                schedule,
                plan: Plan::default(),
                start: Some(start),
                wall,
            };
            if let Some(done) = self.store.run_schedule(caller.clone(), step).await? {
                return Ok(done);
            }
        }
        Err(Refusal::StoreUnavailable)
    }

    /// What is started of a schedule: its request, with the session and the request id of the run.
    async fn start(
        &self,
        schedule: &Schedule,
        time: Option<Nominal>,
        trigger: Trigger,
        wall: Time,
    ) -> ScheduleStart {
        let run_id = Uuid::now_v7();
        let second = time.map_or_else(|| seconds(wall), |time| time.second);
        let uid = schedule.uid;
        let request_id = match time {
            Some(time) => format!("schedule:{uid}:{}", time.second),
            None => format!("schedule:{uid}:{run_id}"),
        };
        let mut session_key = String::new();
        let command = match EnqueueRequest::decode(&schedule.request[..]) {
            Ok(mut request) => {
                session_key = schedule.session_key(&request.session_key, second);
                request.session_key.clone_from(&session_key);
                request.request_id = request_id;
                let identity = schedule.identity();
                match schedule.rules.overlap {
                    Overlap::Interrupt => identity.require(Scope::SessionAbort),
                    Overlap::Skip | Overlap::BufferOne | Overlap::Queue | Overlap::Allow => Ok(()),
                }
                .map(|()| (self.prepare)(Arc::new(identity), request))
            }
            Err(problem) => Err(Refusal::MalformedRequest {
                problem: problem.to_string(),
            }),
        };
        let command = match command {
            Ok(prepared) => prepared.await,
            Err(refusal) => Err(refusal),
        };
        ScheduleStart {
            time,
            trigger,
            run_id,
            session_key,
            command: command.map(Box::new),
        }
    }
}
