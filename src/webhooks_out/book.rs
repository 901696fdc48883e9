//! Which webhook has what to tell, and which may tell it now. Pure: no clock, no store, no network.
//!
//! Sessions of a webhook wait in the order in which something happened in them. Of one session one delivery at most is under
//! way, so that its order is kept; of one webhook [`EACH_MAX`], and while it fails one, which finds out whether it still
//! does. A webhook that fails holds up no other one. What happens is looked at by webhooks that have nothing else to do;
//! those that wait for their time, or for a place among their tenant's, find it in the tenant's news when they are next, each
//! session once: however many of them there are, an event costs them nothing. What is kept is bounded: where more sessions
//! wait than [`WAITING_MAX`], or more have news than [`NEWS_MAX`], they are forgotten and searched in the store again.

use crate::domain::{
    access::Identity,
    ids::{SessionRow, Time},
    session::Session,
    webhooks_out::{Kinds, Pair, Webhook},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// Deliveries of one webhook that are under way at once, each of another session.
pub(super) const EACH_MAX: usize = 8;
/// Deliveries of the webhooks of one tenant that are under way at once: its dead addresses take no other tenant's places.
pub(super) const TENANT_MAX: usize = 64;
/// Sessions of one webhook that are known to wait.
pub(super) const WAITING_MAX: usize = 1024;

/// Sessions with news that are kept for the webhooks of a tenant which have not looked.
pub(super) const NEWS_MAX: usize = 1024;

/// Every webhook that delivers.
#[derive(Default)]
pub(super) struct Book {
    entries: BTreeMap<i64, Entry>,
    /// By their owners' tenants.
    tenants: BTreeMap<String, Tenant>,
    /// Webhooks that may have something to tell now.
    ready: VecDeque<i64>,
    /// Those that wait for their next try.
    later: BTreeSet<(Time, i64)>,
    /// Searches so far.
    searches: u64,
}

/// What the webhooks of a tenant share.
#[derive(Default)]
struct Tenant {
    rows: BTreeSet<i64>,
    /// Those that stand in no list: what happens wakes them.
    idle: BTreeSet<i64>,
    /// Those that wait for a place. While there is one and some wait, one of the tenant's webhooks is ready.
    crowded: VecDeque<i64>,
    /// Deliveries that are under way.
    under_way: usize,
    news: News,
}

/// What happened lately, each session once, by numbers that grow.
#[derive(Default)]
struct News {
    by_number: BTreeMap<u64, (Arc<Session>, Kinds)>,
    numbers: HashMap<SessionRow, u64>,
    /// The newest number.
    newest: u64,
    /// Numbers up to this one are forgotten.
    forgotten: u64,
}

/// One webhook.
struct Entry {
    webhook: Webhook,
    identity: Identity,
    kinds: Kinds,
    /// Sessions that wait, the first first.
    waiting: VecDeque<SessionRow>,
    is_waiting: HashSet<SessionRow>,
    /// Sessions that are told of; true where something happened there meanwhile.
    under_way: BTreeMap<SessionRow, bool>,
    /// After which session the search in the store goes on; `None` where none is needed.
    search: Option<SessionRow>,
    /// Number of the search that is under way.
    searching: Option<u64>,
    /// In which of the lists it stands.
    listed: Listed,
    /// Its tenant's news up to this number were looked at.
    seen: u64,
}

/// A list, of which a webhook stands in one at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    No,
    Ready,
    Later(Time),
    Crowded,
}

/// What is to be done for a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Tell what is new in a session.
    Tell(Pair),
    /// Search sessions with news, after one; the number tells searches apart.
    Search(Pair, u64),
}

/// How a session's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// All was told.
    All,
    /// There is more.
    More,
    /// Nothing could be told now.
    Not,
}

// === impl Book ===

impl Book {
    /// Takes a webhook in, as it is now; what it has not told yet is searched.
    pub(super) fn put(&mut self, webhook: Webhook) {
        let row = webhook.row;
        let tenant = webhook.owner.principal.tenant.clone();
        let under_way = match self.entries.remove(&row) {
            Some(before) => {
                self.unlist(&tenant, row, before.listed);
                before.under_way
            }
            None => BTreeMap::new(),
        };
        let shared = self.tenants.entry(tenant).or_default();
        shared.rows.insert(row);
        let seen = shared.news.newest;
        let entry = Entry {
            identity: webhook.owner.identity(),
            kinds: webhook.rules.kinds(),
            webhook,
            waiting: VecDeque::new(),
            is_waiting: HashSet::new(),
            // What is under way ends by itself, and is looked at again then.
            under_way: under_way
                .into_keys()
                .map(|session| (session, true))
                .collect(),
            search: Some(SessionRow(0)),
            searching: None,
            listed: Listed::No,
            seen,
        };
        self.entries.insert(row, entry);
        self.wake(row);
    }

    /// Forgets a webhook.
    pub(super) fn remove(&mut self, row: i64) {
        let Some(entry) = self.entries.remove(&row) else {
            return;
        };
        let tenant = entry.webhook.owner.principal.tenant;
        self.unlist(&tenant, row, entry.listed);
        self.end_of(&tenant, entry.under_way.len());
        if let Some(shared) = self.tenants.get_mut(&tenant) {
            shared.rows.remove(&row);
            if shared.rows.is_empty() {
                self.tenants.remove(&tenant);
            }
        }
    }

    /// Webhooks that it holds.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Something of these kinds happened in a session.
    pub(super) fn happened(&mut self, session: &Arc<Session>, kinds: Kinds) {
        let Some(shared) = self.tenants.get_mut(&session.tenant) else {
            return;
        };
        // Where nobody waits in a list, nobody looks later.
        if shared.idle.len() < shared.rows.len() {
            shared.news.put(session, kinds);
        }
        let mut woken = Vec::new();
        for row in &shared.idle {
            if let Some(entry) = self.entries.get_mut(row) {
                entry.seen = shared.news.newest;
                if entry.wants(session, kinds) {
                    entry.wait(session.row);
                    woken.push(*row);
                }
            }
        }
        woken.into_iter().for_each(|row| self.wake(row));
    }

    /// More happened than could be told: every webhook searches.
    pub(super) fn search_all(&mut self) {
        let rows: Vec<i64> = self.entries.keys().copied().collect();
        for row in rows {
            if let Some(entry) = self.entries.get_mut(&row) {
                entry.search_anew();
            }
            self.wake(row);
        }
    }

    /// What is to be done now; nothing where all must wait.
    pub(super) fn next(&mut self, now: Time) -> Option<Task> {
        while let Some((at, row)) = self.later.first().copied()
            && at <= now
        {
            self.later.pop_first();
            self.make_ready(row);
        }
        while let Some(row) = self.ready.pop_front() {
            let Some(entry) = self.entries.get_mut(&row) else {
                continue;
            };
            let tenant = entry.webhook.owner.principal.tenant.clone();
            let Some(shared) = self.tenants.get_mut(&tenant) else {
                continue;
            };
            if let Some(at) = entry.webhook.next_try
                && at > now
            {
                self.later.insert((at, row));
                entry.listed = Listed::Later(at);
                self.make_room(&tenant);
                continue;
            }
            if shared.under_way >= TENANT_MAX {
                shared.crowded.push_back(row);
                entry.listed = Listed::Crowded;
                continue;
            }
            entry.look(&shared.news);
            entry.listed = Listed::No;
            shared.idle.insert(row);
            let task = entry.task(&mut self.searches);
            if let Some(Task::Tell(_)) = task {
                shared.under_way += 1;
            }
            // The others come before its next one.
            self.make_room(&tenant);
            if task.is_some() {
                self.wake(row);
                return task;
            }
        }
        None
    }

    /// When something is to be done that must wait until then.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.later.first().map(|(at, _)| *at)
    }

    /// A search has found sessions; it goes on after another one.
    pub(super) fn found(
        &mut self,
        (row, search): (i64, u64),
        found: &[SessionRow],
        next: Option<SessionRow>,
    ) {
        if let Some(entry) = self.entries.get_mut(&row)
            && entry.searching == Some(search)
        {
            entry.searching = None;
            entry.search = next;
            found.iter().for_each(|session| entry.wait(*session));
        }
        self.wake(row);
    }

    /// A session was told of; the webhook is this now, `None` where it did not change.
    pub(super) fn told(&mut self, (row, session): Pair, told: Told, webhook: Option<Webhook>) {
        let Some(entry) = self.entries.get_mut(&row) else {
            return;
        };
        let known = entry.under_way.remove(&session);
        let news = known.unwrap_or(false);
        let tenant = entry.webhook.owner.principal.tenant.clone();
        if let Some(webhook) = webhook
            && webhook.version == entry.webhook.version
        {
            entry.webhook = webhook;
        }
        // It waits for another time now, or for none.
        if let Listed::Later(at) = entry.listed
            && entry.webhook.next_try != Some(at)
        {
            entry.listed = Listed::No;
            self.later.remove(&(at, row));
        }
        match told {
            Told::All if !news => {}
            Told::All | Told::More => entry.wait(session),
            Told::Not => entry.wait_first(session),
        }
        self.end_of(&tenant, usize::from(known.is_some()));
        self.wake(row);
    }

    /// So many deliveries of a tenant are not under way any more.
    fn end_of(&mut self, tenant: &str, count: usize) {
        if let Some(shared) = self.tenants.get_mut(tenant) {
            shared.under_way = shared.under_way.saturating_sub(count);
        }
        self.make_room(tenant);
    }

    /// Where a tenant has a place, the first of its webhooks that wait for one may look.
    fn make_room(&mut self, tenant: &str) {
        let first = match self.tenants.get_mut(tenant) {
            Some(shared) if shared.under_way < TENANT_MAX => shared.crowded.pop_front(),
            Some(_) | None => None,
        };
        if let Some(row) = first {
            self.make_ready(row);
        }
    }

    /// Has a webhook that stands in no list looked at.
    fn make_ready(&mut self, row: i64) {
        if let Some(entry) = self.entries.get_mut(&row) {
            entry.listed = Listed::Ready;
            self.ready.push_back(row);
            let tenant = &entry.webhook.owner.principal.tenant;
            if let Some(shared) = self.tenants.get_mut(tenant) {
                shared.idle.remove(&row);
            }
        }
    }

    /// Takes a webhook out of the list that it stands in.
    fn unlist(&mut self, tenant: &str, row: i64, listed: Listed) {
        if let Some(shared) = self.tenants.get_mut(tenant) {
            shared.idle.remove(&row);
            if listed == Listed::Crowded {
                shared.crowded.retain(|of| *of != row);
            }
        }
        match listed {
            Listed::No | Listed::Crowded => {}
            Listed::Ready => self.ready.retain(|of| *of != row),
            Listed::Later(at) => drop(self.later.remove(&(at, row))),
        }
        self.make_room(tenant);
    }

    /// Has a webhook looked at, unless it stands in a list already.
    fn wake(&mut self, row: i64) {
        if let Some(entry) = self.entries.get_mut(&row)
            && entry.listed == Listed::No
        {
            self.make_ready(row);
        }
    }
}

// === impl News ===

impl News {
    fn put(&mut self, session: &Arc<Session>, kinds: Kinds) {
        self.newest += 1;
        let mut all = kinds;
        if let Some(before) = self.numbers.insert(session.row, self.newest)
            && let Some((_, kinds)) = self.by_number.remove(&before)
        {
            all.and(kinds);
        }
        self.by_number.insert(self.newest, (session.clone(), all));
        if self.by_number.len() > NEWS_MAX
            && let Some((number, (session, _))) = self.by_number.pop_first()
        {
            self.numbers.remove(&session.row);
            self.forgotten = number;
        }
    }
}

// === impl Entry ===

impl Entry {
    fn wants(&self, session: &Session, kinds: Kinds) -> bool {
        kinds.meet(self.kinds)
            && self.identity.access(session).is_some()
            && self.webhook.rules.matches(session)
    }

    /// Looks at what happened while it stood in a list.
    fn look(&mut self, news: &News) {
        if self.seen < news.forgotten {
            self.search_anew();
        }
        for (session, kinds) in news.by_number.range(self.seen + 1..).map(|(_, it)| it) {
            if self.wants(session, *kinds) {
                self.wait(session.row);
            }
        }
        self.seen = news.newest;
    }

    /// A search that is under way may have passed what this one is for.
    fn search_anew(&mut self) {
        self.search = Some(SessionRow(0));
        self.searching = None;
    }

    fn wait(&mut self, session: SessionRow) {
        if let Some(news) = self.under_way.get_mut(&session) {
            *news = true;
        } else if self.waiting.len() >= WAITING_MAX && !self.is_waiting.contains(&session) {
            self.search_anew();
        } else if self.is_waiting.insert(session) {
            self.waiting.push_back(session);
        }
    }

    fn wait_first(&mut self, session: SessionRow) {
        if self.is_waiting.insert(session) {
            self.waiting.push_front(session);
        }
    }

    fn task(&mut self, searches: &mut u64) -> Option<Task> {
        let most = match self.webhook.failing_since {
            Some(_) => 1,
            None => EACH_MAX,
        };
        if self.under_way.len() < most
            && let Some(session) = self.waiting.pop_front()
        {
            self.is_waiting.remove(&session);
            self.under_way.insert(session, false);
            return Some(Task::Tell((self.webhook.row, session)));
        }
        let after = self.search?;
        if self.searching.is_some() || !self.waiting.is_empty() {
            return None;
        }
        *searches += 1;
        self.searching = Some(*searches);
        Some(Task::Search((self.webhook.row, after), *searches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        access::Scopes,
        event::EventKind,
        ids::{LogId, Principal, SessionKey},
        schedule::Owner,
        webhooks_out::WebhookRules,
    };
    use proptest::prelude::*;
    use std::sync::Arc;
    use uuid::Uuid;

    fn webhook(row: i64) -> Webhook {
        Webhook {
            row,
            webhook_id: Uuid::nil(),
            owner: Owner {
                principal: Principal::local(),
                key_id: String::new(),
                scopes: Scopes::ALL,
                valid: true,
            },
            rules: WebhookRules {
                kinds: vec![EventKind::TURN_ENDED.0],
                ..WebhookRules::default()
            },
            paused: false,
            pause_reason: String::new(),
            secret_count: 1,
            failures: 0,
            failing_since: None,
            next_try: None,
            create_time: Time(0),
            version: 1,
        }
    }

    fn failing(row: i64, until: i64) -> Webhook {
        Webhook {
            failures: 1,
            failing_since: Some(Time(0)),
            next_try: Some(Time(until)),
            ..webhook(row)
        }
    }

    fn session(row: i64) -> Arc<Session> {
        let key = SessionKey::parse(&format!("s{row}")).unwrap();
        let ids = (SessionRow(row), Uuid::nil(), LogId::default());
        Arc::new(Session::new(ids, &Principal::local(), key, Time(0)))
    }

    fn ended() -> Kinds {
        Kinds::of([EventKind::TURN_ENDED])
    }

    /// A book whose webhooks have searched.
    fn book(rows: &[i64]) -> Book {
        let mut book = Book::default();
        for row in rows {
            book.put(webhook(*row));
        }
        while let Some(task) = book.next(Time(0)) {
            let Task::Search((row, _), search) = task else {
                panic!("nothing happened yet")
            };
            book.found((row, search), &[], None);
        }
        book
    }

    #[test]
    fn what_is_wanted_is_told_once_in_order_and_one_webhook_waits_for_no_other() {
        let mut book = book(&[1, 2]);
        book.happened(&session(7), Kinds::of([EventKind::TURN_STARTED]));
        assert_eq!(book.next(Time(0)), None, "nobody asked for that");
        book.happened(&session(7), ended());
        book.happened(&session(7), ended());
        book.happened(&session(8), ended());
        let mut tasks = Vec::new();
        while let Some(task) = book.next(Time(0)) {
            tasks.push(task);
        }
        let tell = |row, session| Task::Tell((row, SessionRow(session)));
        assert_eq!(tasks, [tell(1, 7), tell(2, 7), tell(1, 8), tell(2, 8)]);
        // While it is told of, something more happens there.
        book.happened(&session(7), ended());
        assert_eq!(book.next(Time(0)), None, "its order would be lost");
        book.told((1, SessionRow(7)), Told::All, None);
        assert_eq!(book.next(Time(0)), Some(tell(1, 7)));
        assert_eq!(book.next(Time(0)), None);
    }

    #[test]
    fn one_that_fails_tries_alone_at_its_time_and_holds_up_nobody() {
        let mut book = book(&[1, 2]);
        for row in 0..3 {
            book.happened(&session(row), ended());
        }
        assert_eq!(book.next(Time(0)), Some(Task::Tell((1, SessionRow(0)))));
        let other = book.next(Time(0));
        book.told((1, SessionRow(0)), Told::Not, Some(failing(1, 5)));
        assert_eq!(other, Some(Task::Tell((2, SessionRow(0)))));
        while let Some(task) = book.next(Time(4)) {
            assert!(matches!(task, Task::Tell((2, _))), "{task:?}");
        }
        assert_eq!(book.next_time(), Some(Time(5)));
        // The same session first, and nothing beside it.
        assert_eq!(book.next(Time(5)), Some(Task::Tell((1, SessionRow(0)))));
        assert_eq!(book.next(Time(5)), None);
        book.told((1, SessionRow(0)), Told::All, Some(webhook(1)));
        assert_eq!(book.next(Time(5)), Some(Task::Tell((1, SessionRow(1)))));
        assert_eq!(book.next(Time(5)), Some(Task::Tell((1, SessionRow(2)))));
    }

    /// One delivery fails while another one of the webhook is under way, which succeeds: nothing waits for the next try.
    #[test]
    fn one_that_is_well_again_waits_no_longer() {
        let mut book = book(&[1]);
        for row in 0..9 {
            book.happened(&session(row), ended());
        }
        let told: Vec<_> = std::iter::from_fn(|| book.next(Time(0))).collect();
        assert_eq!(told.len(), EACH_MAX);
        book.told((1, SessionRow(0)), Told::Not, Some(failing(1, 5)));
        assert_eq!(book.next(Time(0)), None);
        assert_eq!(book.next_time(), Some(Time(5)));
        book.told((1, SessionRow(1)), Told::All, Some(webhook(1)));
        assert_eq!(book.next(Time(0)), Some(Task::Tell((1, SessionRow(0)))));
        assert_eq!(book.next_time(), None);
    }

    /// However many webhooks wait for their time or for a place, what happens wakes none of them.
    #[test]
    fn those_that_wait_are_not_looked_at() {
        let mut book = Book::default();
        for row in 0..1000 {
            book.put(failing(row, 5));
        }
        assert_eq!(book.next(Time(0)), None);
        assert_eq!((book.ready.len(), book.later.len()), (0, 1000));
        for _ in 0..3 {
            book.happened(&session(1), ended());
        }
        assert!(book.entries.values().all(|it| it.waiting.is_empty()));
        assert_eq!((book.ready.len(), book.later.len()), (0, 1000));
        // All try at their time: those without a place wait for one, and each has its turn.
        let mut tried = BTreeSet::new();
        let mut under_way = VecDeque::new();
        loop {
            match book.next(Time(5)) {
                Some(Task::Tell(pair)) => {
                    tried.insert(pair.0);
                    under_way.push_back(pair);
                    assert!(under_way.len() <= TENANT_MAX);
                }
                Some(Task::Search((row, _), search)) => book.found((row, search), &[], None),
                None => {
                    assert!(book.ready.is_empty());
                    let Some(pair) = under_way.pop_front() else {
                        break;
                    };
                    book.told(pair, Told::Not, Some(failing(pair.0, 9)));
                }
            }
        }
        assert_eq!(tried.len(), 1000);
        let crowded: usize = book.tenants.values().map(|it| it.crowded.len()).sum();
        assert_eq!((crowded, book.later.len()), (0, 1000));
    }

    /// However many of its addresses are dead, a tenant leaves places to the others.
    #[test]
    fn a_tenant_takes_its_places_and_no_more() {
        let mut book = Book::default();
        for row in 0..100 {
            book.put(webhook(row));
        }
        let mut other = webhook(100);
        other.owner.principal.tenant = "acme".into();
        book.put(other);
        while let Some(task) = book.next(Time(0)) {
            let Task::Search((row, _), search) = task else {
                panic!("nothing happened yet")
            };
            book.found((row, search), &[], None);
        }
        book.happened(&session(1), ended());
        let mut of_acme = (*session(2)).clone();
        of_acme.tenant = "acme".into();
        book.happened(&Arc::new(of_acme), ended());
        let mut tasks = Vec::new();
        while let Some(task) = book.next(Time(0)) {
            tasks.push(task);
        }
        assert_eq!(tasks.len(), TENANT_MAX + 1);
        assert_eq!(tasks.last(), Some(&Task::Tell((100, SessionRow(2)))));
        // One that ends makes place for the next; one that is deleted too.
        book.told((0, SessionRow(1)), Told::All, None);
        assert!(book.next(Time(0)).is_some() && book.next(Time(0)).is_none());
        book.remove(1);
        assert!(book.next(Time(0)).is_some() && book.next(Time(0)).is_none());
    }

    /// What happened while a webhook waited is found by it, and searched where it was too much.
    #[test]
    fn news_of_a_while_are_looked_at_in_the_end() {
        for many in [3, i64::try_from(NEWS_MAX).unwrap() + 3] {
            let mut book = Book::default();
            book.put(failing(1, 5));
            assert_eq!(book.next(Time(0)), None);
            for row in 1..=many {
                book.happened(&session(row), ended());
                book.happened(&session(row), Kinds::of([EventKind::TURN_STARTED]));
            }
            let shared = &book.tenants[&Principal::local().tenant];
            assert!(shared.news.by_number.len() <= NEWS_MAX);
            assert_eq!(shared.news.numbers.len(), shared.news.by_number.len());
            let mut told = BTreeSet::new();
            while let Some(task) = book.next(Time(5)) {
                match task {
                    Task::Tell((row, session)) => {
                        told.insert(session);
                        book.told((row, session), Told::All, Some(webhook(row)));
                    }
                    Task::Search((row, after), search) => {
                        let left = (after.0 + 1..=many).map(SessionRow);
                        let left: Vec<_> = left.filter(|it| !told.contains(it)).collect();
                        book.found((row, search), &left, None);
                    }
                }
            }
            assert_eq!(told.len(), usize::try_from(many).unwrap());
        }
    }

    #[test]
    fn too_many_sessions_are_searched_again_and_none_is_lost() {
        let mut book = book(&[1]);
        let many = i64::try_from(WAITING_MAX).unwrap() + 10;
        for row in 1..=many {
            book.happened(&session(row), ended());
        }
        let mut told = BTreeSet::new();
        while let Some(task) = book.next(Time(0)) {
            match task {
                Task::Tell((row, session)) => {
                    told.insert(session);
                    book.told((row, session), Told::All, None);
                }
                Task::Search((row, after), search) => {
                    let left = (after.0 + 1..=many).map(SessionRow);
                    let left: Vec<_> = left.filter(|it| !told.contains(it)).collect();
                    book.found((row, search), &left, None);
                }
            }
        }
        assert_eq!(told.len(), usize::try_from(many).unwrap());
    }

    proptest! {
        /// Whatever happens in whatever order: no session is told of twice at a time, and all of it is told in the end.
        #[test]
        fn all_is_told_and_nothing_twice_at_a_time(steps in prop::collection::vec((0..4u8, 0..3i64, 0..5i64), 0..120)) {
            let mut book = book(&[0, 1, 2]);
            let mut now = 0;
            let mut under_way: Vec<Pair> = Vec::new();
            let mut news: BTreeSet<Pair> = BTreeSet::new();
            let step = |book: &mut Book, under_way: &mut Vec<Pair>, news: &mut BTreeSet<Pair>, now| {
                match book.next(Time(now)) {
                    Some(Task::Tell(pair)) => {
                        prop_assert!(!under_way.contains(&pair));
                        news.remove(&pair);
                        under_way.push(pair);
                    }
                    Some(Task::Search((row, _), search)) => book.found((row, search), &[], None),
                    None => {}
                }
                Ok(())
            };
            for (kind, row, of) in steps {
                match kind {
                    0 => {
                        book.happened(&session(of), ended());
                        news.extend((0..3).map(|row| (row, SessionRow(of))));
                    }
                    1 => step(&mut book, &mut under_way, &mut news, now)?,
                    2 => if let Some(pair) = under_way.pop() {
                        let fails = of == 0;
                        let after = if fails { failing(pair.0, now + 3) } else { webhook(pair.0) };
                        if fails {
                            news.insert(pair);
                        }
                        book.told(pair, if fails { Told::Not } else { Told::All }, Some(after));
                    },
                    _ => now += row,
                }
            }
            for _ in 0..200 {
                now += 10;
                step(&mut book, &mut under_way, &mut news, now)?;
                if let Some(pair) = under_way.pop() {
                    book.told(pair, Told::All, Some(webhook(pair.0)));
                }
            }
            prop_assert!(news.is_empty(), "{news:?}");
        }
    }
}
