//! Who may do what: scopes, identities, and what an identity may do with a session.

use super::{
    ids::{OPERATOR_TENANT, Principal, Time},
    refusal::Refusal,
    session::Session,
};
use std::{collections::BTreeMap, fmt};

/// Something that a caller may be allowed to do. The names are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reading sessions and following their events.
    SessionRead,
    /// Making sessions, giving them work, changing them.
    SessionWrite,
    /// Steering running turns.
    SessionSteer,
    /// Stopping turns.
    SessionAbort,
    /// Answering an agent's questions.
    SessionApprove,
    /// Resetting and deleting sessions.
    SessionReset,
    /// All of that on every session of the tenant, not on one's own alone.
    TenantSessions,
    /// Reading memory.
    MemoryRead,
    /// Changing memory.
    MemoryWrite,
    /// Making, listing and revoking API keys.
    AdminKeys,
    /// Reading and changing the configuration.
    AdminConfig,
    /// Reading logs, and who is connected.
    AdminLogs,
    /// Serving turns as a remote worker.
    WorkerConnect,
    /// Reading files of the directories that sessions work in.
    WorkspaceRead,
    /// Making and changing schedules.
    ScheduleWrite,
    /// Setting, reading and taking away budgets.
    BudgetWrite,
    /// Making and changing webhooks out.
    WebhookWrite,
}

/// What stands for all scopes, those of later versions included.
pub const EVERY_SCOPE: &str = "*";

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes {
    /// One bit for each scope that is in it.
    granted: u32,
    /// True where it was given as [`EVERY_SCOPE`]: a later version adds its own scopes to it.
    every: bool,
}

/// How a caller was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The server asks for none.
    None,
    /// An API key, by its id.
    ApiKey(String),
    /// A JSON Web Token.
    Jwt,
    /// A client certificate.
    Certificate,
    /// The user who runs the server, over its unix socket.
    LocalUser,
}

/// A recognised caller, with what its credential allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Scopes,
    /// How it was recognised.
    pub credential: Credential,
    /// When its credential ends; `None` means never.
    pub expire_time: Option<Time>,
}

/// What bearers of a certificate may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Who they are.
    pub principal: Principal,
    /// What they may do.
    pub scopes: Scopes,
}

/// What somebody may do with one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionAccess {
    /// Read it.
    Read = 1,
    /// Use it, but neither delete nor share it.
    Write = 2,
    /// Everything: its owner, and those with [`Scope::TenantSessions`].
    Own = 3,
}

/// Subjects of the session's tenant that it is shared with. Never holds [`SessionAccess::Own`].
pub type Shares = BTreeMap<String, SessionAccess>;

// === impl Scope ===

impl Scope {
    /// Every scope, in the contract's order.
    pub const ALL: [Self; 17] = [
        Self::SessionRead,
        Self::SessionWrite,
        Self::SessionSteer,
        Self::SessionAbort,
        Self::SessionApprove,
        Self::SessionReset,
        Self::TenantSessions,
        Self::MemoryRead,
        Self::MemoryWrite,
        Self::AdminKeys,
        Self::AdminConfig,
        Self::AdminLogs,
        Self::WorkerConnect,
        Self::WorkspaceRead,
        Self::ScheduleWrite,
        Self::BudgetWrite,
        Self::WebhookWrite,
    ];

    /// True where a call of this version asks for it. The others can be given to a key that outlives this version, and are
    /// not advertised.
    pub fn is_in_use(self) -> bool {
        match self {
            Self::SessionApprove => false,
            Self::SessionRead
            | Self::SessionWrite
            | Self::SessionSteer
            | Self::SessionAbort
            | Self::SessionReset
            | Self::TenantSessions
            | Self::MemoryRead
            | Self::MemoryWrite
            | Self::AdminKeys
            | Self::AdminConfig
            | Self::AdminLogs
            | Self::WorkspaceRead
            | Self::ScheduleWrite
            | Self::BudgetWrite
            | Self::WebhookWrite
            | Self::WorkerConnect => true,
        }
    }

    /// The names of those that calls ask for, sorted, for people.
    pub fn names_in_use() -> String {
        let used = Self::ALL.into_iter().filter(|scope| scope.is_in_use());
        Scopes::of(used).names().join(", ")
    }

    /// The contract's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionRead => "session.read",
            Self::SessionWrite => "session.write",
            Self::SessionSteer => "session.steer",
            Self::SessionAbort => "session.abort",
            Self::SessionApprove => "session.approve",
            Self::SessionReset => "session.reset",
            Self::TenantSessions => "tenant.sessions",
            Self::MemoryRead => "memory.read",
            Self::MemoryWrite => "memory.write",
            Self::AdminKeys => "admin.keys",
            Self::AdminConfig => "admin.config",
            Self::AdminLogs => "admin.logs",
            Self::WorkerConnect => "worker.connect",
            Self::WorkspaceRead => "workspace.read",
            Self::ScheduleWrite => "schedule.write",
            Self::BudgetWrite => "budget.write",
            Self::WebhookWrite => "webhook.write",
        }
    }

    /// The scope with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Scopes ===

impl Scopes {
    /// None of them.
    pub const NONE: Self = Self {
        granted: 0,
        every: false,
    };
    /// All of them, and those of later versions.
    pub const ALL: Self = Self {
        granted: (1 << Scope::ALL.len()) - 1,
        every: true,
    };

    /// What naming memory for a session needs: whoever works with the session reaches that memory.
    pub const MEMORY: Self = Self {
        granted: 1 << Scope::MemoryRead as u32 | 1 << Scope::MemoryWrite as u32,
        every: false,
    };

    /// These scopes. A list of all names is that list, and no more in a later version.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let granted = scopes
            .into_iter()
            .fold(0, |set, scope| set | 1 << scope as u32);
        Self {
            granted,
            every: false,
        }
    }

    /// These scopes but for one.
    #[must_use]
    pub fn without(self, scope: Scope) -> Self {
        Self {
            granted: self.granted & !(1 << scope as u32),
            ..self
        }
    }

    /// These scopes as a list of names: a later version adds none.
    #[must_use]
    pub fn as_list(self) -> Self {
        Self {
            every: false,
            ..self
        }
    }

    /// What counts of these in a tenant: the configuration is the whole server's, so `admin.config` counts in the
    /// operator's tenant alone.
    #[must_use]
    pub fn in_tenant(self, tenant: &str) -> Self {
        match tenant == OPERATOR_TENANT {
            true => self,
            false => self.without(Scope::AdminConfig),
        }
    }

    /// Whether a scope is in it.
    pub fn contains(self, scope: Scope) -> bool {
        self.granted & 1 << scope as u32 != 0
    }

    /// Whether it was given as [`EVERY_SCOPE`].
    pub fn is_every(self) -> bool {
        self.every
    }

    /// Whether all scopes of another set are in it.
    pub fn includes(self, other: Self) -> bool {
        other.granted & !self.granted == 0 && (self.every || !other.every)
    }

    /// Its scopes, in the contract's order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }

    /// Their names, sorted; [`EVERY_SCOPE`] before them where it was given so.
    pub fn names(self) -> Vec<String> {
        let mut names: Vec<String> = self.iter().map(|scope| scope.as_str().to_owned()).collect();
        names.extend(self.every.then(|| EVERY_SCOPE.to_owned()));
        names.sort_unstable();
        names
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Scope::as_str))
            .finish()
    }
}

// === impl Identity ===

impl Identity {
    /// The caller while the server asks for no credentials.
    pub fn unauthenticated() -> Self {
        Self {
            principal: Principal::local(),
            scopes: Scopes::ALL,
            credential: Credential::None,
            expire_time: None,
        }
    }

    /// A caller, with what its credential gives it in its tenant.
    pub fn new(
        principal: Principal,
        scopes: Scopes,
        credential: Credential,
        expire_time: Option<Time>,
    ) -> Self {
        Self {
            scopes: scopes.in_tenant(&principal.tenant),
            principal,
            credential,
            expire_time,
        }
    }

    /// Refuses a call that needs a scope which is not there.
    ///
    /// # Errors
    /// `SCOPE_REQUIRED`, with the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Refusal> {
        if self.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Refusal::ScopeRequired { scope })
        }
    }

    /// Refuses to let a credential be made, or taken away, that may do more than this caller.
    ///
    /// # Errors
    /// `SCOPE_REQUIRED`, with the first scope that is not there.
    pub fn require_all(&self, scopes: Scopes) -> Result<(), Refusal> {
        if scopes.is_every() && !self.scopes.is_every() {
            return Err(Refusal::EveryScopeRequired);
        }
        scopes.iter().try_for_each(|scope| self.require(scope))
    }

    /// What it may do with a session; `None` means that the session does not exist for it. The scopes of the call count
    /// besides.
    pub fn access(&self, session: &Session) -> Option<SessionAccess> {
        self.access_of(&session.tenant, &session.owner, &session.shares)
    }

    /// Whether it may read a session only because it may read every one of its tenant.
    pub fn reads_as_operator(&self, session: &Session) -> bool {
        let subject = &self.principal.subject;
        self.scopes.contains(Scope::TenantSessions)
            && *subject != session.owner
            && !session.shares.contains_key(subject)
    }

    /// What it may do with a session of that tenant and owner, shared so.
    pub fn access_of(&self, tenant: &str, owner: &str, shares: &Shares) -> Option<SessionAccess> {
        let subject = &self.principal.subject;
        if self.principal.tenant != tenant {
            None
        } else if subject == owner || self.scopes.contains(Scope::TenantSessions) {
            Some(SessionAccess::Own)
        } else {
            shares.get(subject).copied()
        }
    }
}

// === impl SessionAccess ===

impl SessionAccess {
    /// The access with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Read, Self::Write, Self::Own]
            .into_iter()
            .find(|access| *access as i64 == number)
    }
}

/// Whether an agent may run for a tenant. One whose processes nothing keeps apart runs for the operator's alone: it could
/// do to all others what it likes. The only place that decides that.
pub fn agent_serves(operator_only: bool, tenant: &str) -> bool {
    !operator_only || tenant == OPERATOR_TENANT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_sets_of_names() {
        assert_eq!(Scopes::ALL.iter().count(), Scope::ALL.len());
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
            assert!(Scopes::ALL.contains(scope));
            assert!(!Scopes::NONE.contains(scope));
            assert!(Scopes::of([scope]).contains(scope));
            assert_eq!(Scopes::of([scope]).iter().count(), 1);
        }
        let two = Scopes::of([Scope::SessionWrite, Scope::AdminKeys]);
        assert_eq!(two.names(), ["admin.keys", "session.write"]);
        assert!(Scopes::ALL.includes(two) && two.includes(two) && two.includes(Scopes::NONE));
        assert!(!two.includes(Scopes::of([Scope::AdminKeys, Scope::AdminLogs])));
        assert_eq!(Scope::parse("session.*"), None);
        assert_eq!(Scope::parse(EVERY_SCOPE), None);
    }

    #[test]
    fn a_list_of_all_names_is_less_than_every_scope() {
        let list = Scopes::of(Scope::ALL);
        assert!(Scopes::ALL.includes(list) && !list.includes(Scopes::ALL));
        assert_eq!(Scopes::ALL.as_list(), list);
        assert_eq!(Scopes::ALL.names()[0], EVERY_SCOPE);
        assert!(!list.names().contains(&EVERY_SCOPE.to_owned()));
        // In a tenant of its own `*` is still `*`, but the server's configuration is not the tenant's.
        let tenants = Scopes::ALL.in_tenant("acme");
        assert!(tenants.is_every() && !tenants.contains(Scope::AdminConfig));
    }
}
