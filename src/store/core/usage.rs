//! What each owner holds, counted in memory so that no command has to count rows.
//!
//! Who commits owns it: loaded when the store opens, changed with the rows, and taken back with them where a job or a
//! whole batch is.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    ops::AddAssign,
};

/// Sessions, bytes that wait in them, bytes that are stored for them, and turns that wait for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Sessions that exist.
    pub(crate) sessions: i64,
    /// Bytes of their waiting turns.
    pub(crate) queue_bytes: i64,
    /// Bytes of what is stored for them, see [`super::snapshot::Hidden`].
    pub(crate) stored_bytes: i64,
    /// Turns of them that wait for an answer.
    pub(crate) asking_turns: i64,
}

/// What everyone holds.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tenants: HashMap<String, Tenant>,
    /// Sessions of all of them.
    sessions: i64,
    /// Changes since the last commit.
    journal: Vec<Change>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tenant {
    all: Held,
    /// By subject; who holds nothing is not in it.
    owners: HashMap<String, Held>,
}

#[derive(Debug)]
struct Change {
    tenant: String,
    owner: String,
    by: Held,
}

// === impl Held ===

impl Held {
    fn is_nothing(self) -> bool {
        self == Self::default()
    }

    fn negated(self) -> Self {
        Self {
            sessions: -self.sessions,
            queue_bytes: -self.queue_bytes,
            stored_bytes: -self.stored_bytes,
            asking_turns: -self.asking_turns,
        }
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        let Self {
            sessions,
            queue_bytes,
            stored_bytes,
            asking_turns,
        } = other;
        self.sessions += sessions;
        self.queue_bytes += queue_bytes;
        self.stored_bytes += stored_bytes;
        self.asking_turns += asking_turns;
    }
}

// === impl Ledger ===

impl Ledger {
    /// What an owner holds, and what its tenant does.
    pub(crate) fn held(&self, tenant: &str, owner: &str) -> (Held, Held) {
        match self.tenants.get(tenant) {
            Some(tenant) => (
                tenant.owners.get(owner).copied().unwrap_or_default(),
                tenant.all,
            ),
            None => Default::default(),
        }
    }

    /// Counts a change.
    pub(crate) fn add(&mut self, tenant: &str, owner: &str, by: Held) {
        if by.is_nothing() {
            return;
        }
        self.apply(tenant, owner, by);
        self.journal.push(Change {
            tenant: tenant.to_owned(),
            owner: owner.to_owned(),
            by,
        });
    }

    /// Where the journal is now, for [`Self::undo_to`].
    pub(crate) fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Takes back what was counted since a mark.
    pub(crate) fn undo_to(&mut self, mark: usize) {
        for Change { tenant, owner, by } in self.journal.split_off(mark) {
            self.apply(&tenant, &owner, by.negated());
        }
    }

    /// Bytes that were stored since a mark.
    pub(crate) fn stored_since(&self, mark: usize) -> i64 {
        let bytes = self.journal[mark..].iter().map(|it| it.by.stored_bytes);
        bytes.filter(|bytes| *bytes > 0).sum()
    }

    /// Owners for whom more or less is stored than at the last commit: tenant, owner, and the bytes that there are now.
    pub(crate) fn changed_storage(&self) -> Vec<(String, String, i64)> {
        let mut changed: BTreeSet<(&str, &str)> = BTreeSet::new();
        for Change { tenant, owner, by } in &self.journal {
            if by.stored_bytes != 0 {
                changed.insert((tenant, owner));
            }
        }
        let now = |(tenant, owner): (&str, &str)| {
            let (held, _) = self.held(tenant, owner);
            (tenant.to_owned(), owner.to_owned(), held.stored_bytes)
        };
        changed.into_iter().map(now).collect()
    }

    /// Sessions of all owners.
    pub(crate) fn sessions(&self) -> i64 {
        self.sessions
    }

    /// Bytes that are stored for all owners.
    pub(crate) fn stored_bytes(&self) -> i64 {
        self.tenants
            .values()
            .map(|tenant| tenant.all.stored_bytes)
            .sum()
    }

    /// What was counted is committed.
    pub(crate) fn settle(&mut self) {
        self.journal.clear();
    }

    /// Whether both say the same.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.tenants == other.tenants
    }

    /// Counts what was committed before this ledger was.
    pub(crate) fn apply(&mut self, tenant: &str, owner: &str, by: Held) {
        self.sessions += by.sessions;
        let of_tenant = self.tenants.entry(tenant.to_owned()).or_default();
        of_tenant.all += by;
        match of_tenant.owners.entry(owner.to_owned()) {
            Entry::Occupied(mut held) => {
                *held.get_mut() += by;
                if held.get().is_nothing() {
                    held.remove();
                }
            }
            Entry::Vacant(free) => {
                free.insert(by);
            }
        }
        if of_tenant.owners.is_empty() {
            self.tenants.remove(tenant);
        }
    }
}
