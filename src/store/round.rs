//! Who is next to start: round after round over the tenants, in each over its principals, and of each the oldest first.
//!
//! So nobody waits for more than one start of everybody else, however much somebody has waiting. The registry owns the
//! one that counts; a store that is asked who is next goes on with a copy.

use crate::domain::{
    ids::{Principal, SessionRow},
    quotas::Quotas,
    session::Session,
};
use std::collections::{BTreeMap, HashMap};

/// Tenants whose place in the round is remembered; beyond that all begin at their first principal again.
const TENANTS_MAX: usize = 4096;

/// Counts by principal and by tenant.
#[derive(Clone, Debug, Default)]
pub struct Headcount {
    principals: HashMap<Principal, usize>,
    tenants: HashMap<String, usize>,
}

/// Who has a grant to run, and who had one last.
#[derive(Clone, Debug, Default)]
pub struct Round {
    granted: HashMap<SessionRow, Principal>,
    heads: Headcount,
    last_tenant: String,
    /// By tenant.
    last_subjects: BTreeMap<String, String>,
}

/// Owner of a session.
pub fn owner(session: &Session) -> Principal {
    Principal {
        tenant: session.tenant.clone(),
        subject: session.owner.clone(),
    }
}

// === impl Headcount ===

impl Headcount {
    /// Counts one more.
    pub fn enter(&mut self, principal: &Principal) {
        *self.principals.entry(principal.clone()).or_default() += 1;
        *self.tenants.entry(principal.tenant.clone()).or_default() += 1;
    }

    /// Counts one less.
    pub fn leave(&mut self, principal: &Principal) {
        if let Some(count) = self.principals.get_mut(principal) {
            *count -= 1;
            if *count == 0 {
                self.principals.remove(principal);
            }
        }
        if let Some(count) = self.tenants.get_mut(&principal.tenant) {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&principal.tenant);
            }
        }
    }

    /// How many a principal has.
    pub fn of_principal(&self, principal: &Principal) -> usize {
        self.principals.get(principal).copied().unwrap_or(0)
    }

    /// How many a tenant has.
    pub fn of_tenant(&self, tenant: &str) -> usize {
        self.tenants.get(tenant).copied().unwrap_or(0)
    }
}

// === impl Round ===

impl Round {
    /// Gives a session its grant; its owner goes to the end of the round.
    pub fn grant(&mut self, session: &Session) {
        let owner = owner(session);
        self.last_tenant.clone_from(&owner.tenant);
        if self.last_subjects.len() >= TENANTS_MAX
            && !self.last_subjects.contains_key(&owner.tenant)
        {
            self.last_subjects.clear();
        }
        self.last_subjects
            .insert(owner.tenant.clone(), owner.subject.clone());
        self.heads.enter(&owner);
        if let Some(before) = self.granted.insert(session.row, owner) {
            self.heads.leave(&before);
        }
    }

    /// Takes a session's grant back. False where it had none.
    pub fn release(&mut self, session: SessionRow) -> bool {
        match self.granted.remove(&session) {
            Some(owner) => {
                self.heads.leave(&owner);
                true
            }
            None => false,
        }
    }

    /// Whether a session has a grant.
    pub fn holds(&self, session: SessionRow) -> bool {
        self.granted.contains_key(&session)
    }

    /// Grants that are given.
    pub fn len(&self) -> usize {
        self.granted.len()
    }

    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    /// How many more may be given at all. One that runs is awake, so the narrower bound counts; also below.
    pub fn room(&self, quotas: &Quotas) -> usize {
        let all = quotas.max_running_turns.min(quotas.max_awake_agents);
        all.saturating_sub(self.len())
    }

    /// Whether a tenant may have one more. The last places are reserved: only a tenant that has none gets one of them, so
    /// however long others hold theirs, its first turn starts.
    pub fn tenant_may(&self, quotas: &Quotas, tenant: &str) -> bool {
        let quota = quotas.tenant;
        let has = self.heads.of_tenant(tenant);
        let finds_a_place = has == 0 || self.room(quotas) > quotas.reserved_running_turns;
        finds_a_place && has < quota.max_running_turns.min(quota.max_awake_agents)
    }

    /// Whether a principal may have one more, its tenant aside.
    pub fn principal_may(&self, quotas: &Quotas, principal: &Principal) -> bool {
        let quota = quotas.principal;
        self.heads.of_principal(principal) < quota.max_running_turns.min(quota.max_awake_agents)
    }

    /// Tenant behind which the round goes on.
    pub fn last_tenant(&self) -> &str {
        &self.last_tenant
    }

    /// Subject of a tenant behind which the round goes on.
    pub fn last_subject(&self, tenant: &str) -> &str {
        self.last_subjects.get(tenant).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_is_counted_who_has_left(steps in proptest::collection::vec((any::<bool>(), 0..3u8, 0..3u8), 0..60)) {
            let mut heads = Headcount::default();
            let mut inside: Vec<Principal> = Vec::new();
            for (enters, tenant, subject) in steps {
                if enters {
                    let principal = Principal {
                        tenant: tenant.to_string(),
                        subject: subject.to_string(),
                    };
                    heads.enter(&principal);
                    inside.push(principal);
                } else if let Some(principal) = inside.pop() {
                    heads.leave(&principal);
                }
                for principal in &inside {
                    let same = inside.iter().filter(|other| *other == principal).count();
                    prop_assert_eq!(heads.of_principal(principal), same);
                    let tenant = &principal.tenant;
                    let of_tenant = inside.iter().filter(|other| other.tenant == *tenant).count();
                    prop_assert_eq!(heads.of_tenant(tenant), of_tenant);
                }
            }
            for principal in inside {
                heads.leave(&principal);
            }
            prop_assert!(heads.principals.is_empty() && heads.tenants.is_empty());
        }
    }
}
