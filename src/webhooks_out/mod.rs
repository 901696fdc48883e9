//! Webhooks out: what happens in sessions is posted to addresses that callers named.
//!
//! One task on a runtime of its own ([`serve`]), so that neither a dead address nor a thousand of them cost a turn anything.
//! It hears of each commit by the feed ([`Inbox`]: names only, bounded), keeps in [`book`] which webhook has what to tell, reads
//! events from the store, sends them ([`sender`]) as [`payload`] says, and notes what came of it in one commit with how far
//! the address is. It keeps nothing of its own: a process that dies anywhere repeats at most the deliveries that were under way,
//! and the next start finds all others in rows.

mod answer_links;
mod book;
mod payload;
mod reach;
mod sender;

pub use answer_links::{AnswerLinks, LINK_MAX_BYTES, Linked};
pub use payload::{PushCredentials, make_secret, secret_bytes};
pub use reach::Reach;
pub use sender::{BadClient, LOOP_HEADER};

use crate::{
    clock,
    domain::{
        ids::{SessionRow, Time},
        refusal::Refusal,
        session::Session,
        webhooks_out::{
            DeliveryState, FAILING_MAX, Kinds, Next, Pair, PauseReason, Tried, Webhook,
        },
    },
    failpoint,
    feed::Watcher,
    memory::Vault,
    store::{Due, DueDeliveries, DueEvent, SessionsBehind, Settled, StoredEvent, WebhookStore},
    telemetry::metrics,
};
use book::{Book, Task, Told};
use payload::Proof;
use secrecy::SecretString;
use sender::Sender;
use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

/// Deliveries and searches that are under way at once, over all webhooks.
const UNDER_WAY_MAX: usize = 256;
/// Events of one session that are read at a time.
const PAGE_EVENTS: usize = 16;
/// Webhooks, and sessions of a search, that are read at a time.
const PAGE_ROWS: usize = 256;
/// Sessions that wait for the task to look; beyond that it searches.
const INBOX_MAX: usize = 4096;
/// Longest sleep.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Pause after the store did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the task needs.
pub struct WebhooksOut {
    store: Arc<dyn WebhookStore>,
    vault: Arc<Vault>,
    sender: Sender,
    links: Option<AnswerLinks>,
    store_id: String,
    inbox: Arc<Inbox>,
}

/// What the task has not looked at yet. Filled by the store's commits and by those who change webhooks.
#[derive(Default)]
pub struct Inbox {
    /// Webhooks that deliver: while there are none, commits pass by.
    live: AtomicUsize,
    content: Mutex<Content>,
    notify: Notify,
}

#[derive(Default)]
struct Content {
    happened: HashMap<SessionRow, (Arc<Session>, Kinds)>,
    /// More happened than may wait.
    overflown: bool,
    /// Webhooks that are others now.
    changed: BTreeSet<i64>,
}

/// What an undertaking came to.
enum Done {
    Told(Pair, Told, Option<Box<Webhook>>),
    Ended(i64),
    Found(i64, u64, SessionsBehind),
    /// The store did not answer.
    Again(Task),
}

// === impl Inbox ===

impl Inbox {
    /// A webhook was made, changed, or is to try at once.
    pub fn changed(&self, webhook: i64) {
        self.lock().changed.insert(webhook);
        self.notify.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // Each change is whole when the lock is given back.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Inbox {
    fn offer(&self, _: &Arc<Session>, _: i64) {}

    fn offer_events(&self, session: &Arc<Session>, _: i64, events: &[StoredEvent]) {
        if self.live.load(Ordering::SeqCst) == 0 {
            return;
        }
        let kinds = Kinds::of(events.iter().map(|event| event.kind));
        if kinds.is_empty() {
            return;
        }
        {
            let mut content = self.lock();
            if content.overflown {
                return;
            }
            let known = content.happened.len();
            match content.happened.get_mut(&session.row) {
                Some((newest, all)) => {
                    *newest = session.clone();
                    all.and(kinds);
                }
                None if known >= INBOX_MAX => {
                    content.overflown = true;
                    content.happened.clear();
                }
                None => {
                    content
                        .happened
                        .insert(session.row, (session.clone(), kinds));
                }
            }
        }
        self.notify.notify_one();
    }
}

// === impl WebhooksOut ===

impl WebhooksOut {
    /// Makes it. `inbox` watches the feed from before [`Self::run`] on.
    ///
    /// # Errors
    /// The system's certificates can't be read.
    pub fn new(
        store: Arc<dyn WebhookStore>,
        vault: Arc<Vault>,
        (reach, links): (Reach, Option<AnswerLinks>),
        store_id: Uuid,
        inbox: Arc<Inbox>,
    ) -> Result<Arc<Self>, BadClient> {
        Ok(Arc::new(Self {
            store,
            vault,
            sender: Sender::new(reach)?,
            links,
            store_id: store_id.to_string(),
            inbox,
        }))
    }

    /// Delivers until it is told to end; what is under way then is delivered again by the next start.
    pub async fn run(self: Arc<Self>, ending: CancellationToken) {
        let mut book = Book::default();
        // Before the rows are read: a commit that the search misses comes by the feed.
        self.inbox.live.store(1, Ordering::SeqCst);
        tokio::select! {
            () = self.load(&mut book) => {}
            () = ending.cancelled() => return,
        }
        let mut under_way = JoinSet::new();
        loop {
            self.inbox.live.store(book.len(), Ordering::SeqCst);
            while under_way.len() < UNDER_WAY_MAX
                && let Some(task) = book.next(clock::now())
            {
                let room = self.clone();
                under_way.spawn(async move { room.take(task).await });
            }
            let sleep = until(book.next_time(), clock::now());
            tokio::select! {
                () = ending.cancelled() => return,
                Some(done) = under_way.join_next() => match done {
                    Ok(done) => self.enter(&mut book, done),
                    Err(error) => {
                        // A bug of ours: all is looked at anew.
                        tracing::error!(%error, "a delivery has panicked");
                        self.load(&mut book).await;
                    }
                },
                () = self.inbox.notify.notified() => self.look(&mut book).await,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Takes in every webhook that delivers.
    async fn load(&self, book: &mut Book) {
        let mut after = 0;
        loop {
            match self.store.live_webhooks(after, PAGE_ROWS).await {
                Ok(page) => {
                    let Some(last) = page.last() else { return };
                    after = last.row;
                    page.into_iter().for_each(|webhook| book.put(sane(webhook)));
                }
                Err(problem) => {
                    warn!(%problem, "webhooks can't be read; it is tried again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Takes in what happened.
    async fn look(&self, book: &mut Book) {
        let Content {
            happened,
            overflown,
            changed,
        } = std::mem::take(&mut *self.inbox.lock());
        for row in changed {
            // Before it is read: what is committed after that comes by the feed.
            self.inbox.live.fetch_add(1, Ordering::SeqCst);
            match self.store.live_webhook(row).await {
                Ok(Some(webhook)) => book.put(sane(webhook)),
                Ok(None) => book.remove(row),
                Err(problem) => {
                    warn!(%problem, "a webhook can't be read; it is tried again");
                    tokio::time::sleep(RETRY_AFTER).await;
                    self.inbox.changed(row);
                }
            }
        }
        if overflown {
            book.search_all();
        }
        for (session, kinds) in happened.into_values() {
            book.happened(&session, kinds);
        }
    }

    fn enter(&self, book: &mut Book, done: Done) {
        match done {
            Done::Told(pair, told, webhook) => book.told(pair, told, webhook.map(|it| *it)),
            Done::Ended(row) => book.remove(row),
            Done::Found(row, search, (found, next)) => book.found((row, search), &found, next),
            Done::Again(Task::Tell(pair)) => book.told(pair, Told::Not, None),
            Done::Again(Task::Search((row, after), search)) => {
                book.found((row, search), &[], Some(after));
            }
        }
    }

    async fn take(&self, task: Task) -> Done {
        let done = match task {
            Task::Tell(pair) => self.tell(pair).await,
            Task::Search((row, after), search) => {
                let found = self.store.sessions_behind(row, after, PAGE_ROWS).await;
                found.map(|found| Done::Found(row, search, found))
            }
        };
        match done {
            Ok(done) => done,
            Err(problem) => {
                warn!(%problem, "the store does not answer webhooks; it is tried again");
                tokio::time::sleep(RETRY_AFTER).await;
                Done::Again(task)
            }
        }
    }

    /// Tells what is new in a session, some of it.
    async fn tell(&self, pair: Pair) -> Result<Done, Refusal> {
        let (row, session) = pair;
        let mut due = match self.store.due_deliveries(row, session, PAGE_EVENTS).await? {
            Due::Nothing => return Ok(Done::Told(pair, Told::All, None)),
            Due::Ended => return Ok(Done::Ended(row)),
            Due::Revoked => return self.pause(row, PauseReason::PermissionRevoked).await,
            Due::Over => {
                self.store.end_webhook(row).await?;
                return Ok(Done::Ended(row));
            }
            Due::Deliveries(due) => due,
        };
        let opened = due
            .secrets
            .iter()
            .map(|sealed| self.open(&due.webhook, sealed));
        let opened = opened.collect::<Option<Vec<SecretString>>>();
        let format = due.webhook.rules.format;
        let Some(proof) = opened.and_then(|opened| Proof::of(format, opened)) else {
            return self.pause(row, PauseReason::SecretUnreadable).await;
        };
        for event in std::mem::take(&mut due.events) {
            let tried = self.deliver(&due, &event, &proof).await;
            let state = tried.state;
            metrics::webhook_delivery(state);
            let settled = self.settled(&due, &event, tried);
            if let Some(Next::Pause(reason)) = settled.next {
                metrics::webhook_paused(reason);
                info!(webhook = %due.webhook.webhook_id, reason = reason.as_str(), "webhook {} is paused", due.webhook.webhook_id);
            }
            failpoint::pass("settle");
            let Some(webhook) = self.store.settle_delivery(settled).await? else {
                return Ok(Done::Ended(row));
            };
            failpoint::pass("settled");
            if state == DeliveryState::Failed {
                return Ok(Done::Told(pair, Told::Not, Some(Box::new(webhook))));
            }
            due.position = event.event.seq;
            due.webhook = webhook;
        }
        let told = if due.more { Told::More } else { Told::All };
        Ok(Done::Told(pair, told, Some(Box::new(due.webhook))))
    }

    async fn deliver(&self, due: &DueDeliveries, event: &DueEvent, proof: &Proof) -> Tried {
        match payload::payload(due, event, &self.store_id, self.links.as_ref()) {
            Ok(payload) => {
                let loop_of = event.of_webhook.then_some(self.store_id.as_str());
                let second = clock::wall().0.div_euclid(1_000_000);
                let url = &due.webhook.rules.url;
                failpoint::pass("send");
                self.sender
                    .send(url, &payload, proof, loop_of, second)
                    .await
            }
            Err(problem) => Tried {
                state: DeliveryState::Skipped,
                status: 0,
                problem,
                retry_after: None,
            },
        }
    }

    fn settled(&self, due: &DueDeliveries, event: &DueEvent, tried: Tried) -> Settled {
        let now = clock::now();
        let next = match tried.state {
            DeliveryState::Failed => Some(due.webhook.after_failure(&tried, spread(), now)),
            DeliveryState::Delivered | DeliveryState::Skipped => None,
        };
        Settled {
            webhook: due.webhook.row,
            session: due.session,
            session_key: due.session_key.clone(),
            log_id: due.log_id,
            position: due.position,
            failures: due.webhook.failures,
            seq: event.event.seq,
            kind: event.event.kind,
            tried,
            next,
            now,
        }
    }

    fn open(&self, webhook: &Webhook, sealed: &[u8]) -> Option<SecretString> {
        let opened = self.vault.unseal(webhook.webhook_id, sealed);
        opened.ok().map(SecretString::from)
    }

    async fn pause(&self, row: i64, reason: PauseReason) -> Result<Done, Refusal> {
        metrics::webhook_paused(reason);
        self.store.pause_webhook(row, reason).await?;
        Ok(Done::Ended(row))
    }
}

/// Runs the task on a thread of its own.
///
/// # Errors
/// The system gives no thread.
pub fn serve(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new().name("webhooks".into());
    thread.spawn(move || runtime.block_on(task)).map(drop)
}

/// A webhook as it was read: where the clock was set back while nothing ran, it waits no longer than it ever would.
fn sane(mut webhook: Webhook) -> Webhook {
    let end = i64::try_from(FAILING_MAX.as_micros()).unwrap_or(i64::MAX);
    let latest = clock::now().plus_micros(end);
    webhook.next_try = webhook.next_try.map(|at| at.min(latest));
    webhook
}

/// Where in its range a pause lies, 0 to 1000.
fn spread() -> u16 {
    let mut bytes = [0; 2];
    // Without random bytes all wait equally long.
    let _ = getrandom::fill(&mut bytes);
    u16::from_le_bytes(bytes) % 1001
}

fn until(next: Option<Time>, now: Time) -> Duration {
    let left = next.map_or(i64::MAX, |next| next.0.saturating_sub(now.0));
    Duration::from_micros(u64::try_from(left).unwrap_or(0)).min(LOOK_EVERY)
}
