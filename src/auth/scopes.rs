//! What every method asks for: the one table. A method that is not in it is not served.

use crate::domain::{
    Refusal,
    access::{Identity, Scope},
};
use std::{collections::HashMap, sync::LazyLock};

/// What a method asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even a credential.
    Nothing,
    /// A valid credential.
    Credential,
    /// A credential with all of these scopes.
    Scopes(&'static [Scope]),
}

const READ: Needs = Needs::Scopes(&[Scope::SessionRead]);
const WRITE: Needs = Needs::Scopes(&[Scope::SessionWrite]);
const WRITE_READ: Needs = Needs::Scopes(&[Scope::SessionWrite, Scope::SessionRead]);
const STEER: Needs = Needs::Scopes(&[Scope::SessionSteer]);
const ABORT: Needs = Needs::Scopes(&[Scope::SessionAbort]);
const RESET: Needs = Needs::Scopes(&[Scope::SessionReset]);
const WRITE_RESET: Needs = Needs::Scopes(&[Scope::SessionWrite, Scope::SessionReset]);
const KEYS: Needs = Needs::Scopes(&[Scope::AdminKeys]);
const CONFIG: Needs = Needs::Scopes(&[Scope::AdminConfig]);
const LOGS: Needs = Needs::Scopes(&[Scope::AdminLogs]);

/// Service, and its methods with what they ask for.
pub const TABLE: &[(&str, &[(&str, Needs)])] = &[
    (
        "quarterdeck.v1.GatewayService",
        &[
            ("Enqueue", WRITE),
            ("Run", WRITE_READ),
            ("AwaitTurn", READ),
            ("GetTurn", READ),
            ("ListTurns", READ),
            ("Steer", STEER),
            ("Abort", ABORT),
            ("Reset", RESET),
            ("ListQueue", READ),
            ("UpdateQueued", WRITE),
            ("RemoveQueued", WRITE),
            ("ClearQueue", WRITE),
            ("Subscribe", READ),
            ("ReadEvents", READ),
            ("WatchSessions", READ),
            ("CreateSession", WRITE),
            ("GetSession", READ),
            ("GetSessionState", READ),
            ("ListSessions", READ),
            ("UpdateSession", WRITE),
            ("DeleteSession", WRITE_RESET),
            ("ForkSession", WRITE_READ),
            ("ListMessages", READ),
            ("GetAttachment", READ),
        ],
    ),
    (
        "quarterdeck.v1.AdminService",
        &[
            ("GetServerInfo", Needs::Credential),
            ("WhoAmI", Needs::Credential),
            ("GetConfig", CONFIG),
            ("UpdateConfig", CONFIG),
            ("TailLogs", LOGS),
            ("ListChannels", LOGS),
            ("BroadcastReload", CONFIG),
            ("CreateApiKey", KEYS),
            ("ListApiKeys", KEYS),
            ("RevokeApiKey", KEYS),
        ],
    ),
    (
        "grpc.health.v1.Health",
        &[("Check", Needs::Nothing), ("Watch", Needs::Nothing)],
    ),
    (
        "grpc.reflection.v1.ServerReflection",
        &[("ServerReflectionInfo", Needs::Credential)],
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        &[("ServerReflectionInfo", Needs::Credential)],
    ),
];

static BY_PATH: LazyLock<HashMap<String, (&'static str, Needs)>> = LazyLock::new(|| {
    let rows = TABLE.iter().flat_map(|(service, methods)| {
        let row = move |row: &(&'static str, Needs)| (format!("/{service}/{}", row.0), *row);
        methods.iter().map(row)
    });
    rows.collect()
});

/// The method of a path and what it asks for; `None` for one that is not served.
pub fn find(path: &str) -> Option<(&'static str, Needs)> {
    BY_PATH.get(path).copied()
}

// === impl Needs ===

impl Needs {
    /// Refuses a caller that has not what is asked for.
    ///
    /// # Errors
    /// `SCOPE_REQUIRED`, with the first scope that is missing.
    pub fn check(self, identity: &Identity) -> Result<(), Refusal> {
        match self {
            Self::Nothing | Self::Credential => Ok(()),
            Self::Scopes(scopes) => scopes.iter().try_for_each(|scope| identity.require(*scope)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use prost_reflect::DescriptorPool;
    use std::collections::BTreeSet;

    #[test]
    fn every_method_of_the_contract_is_declared_once_and_nothing_else_is() {
        let mut pool = DescriptorPool::new();
        for descriptors in [
            proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(descriptors).unwrap();
        }
        let methods = pool.services().flat_map(|service| {
            let path = |method: prost_reflect::MethodDescriptor| {
                format!("/{}/{}", method.parent_service().full_name(), method.name())
            };
            service.methods().map(path).collect::<Vec<_>>()
        });
        let described: BTreeSet<String> = methods.collect();
        let declared: BTreeSet<String> = BY_PATH.keys().cloned().collect();
        assert_eq!(declared, described);
        let rows: usize = TABLE.iter().map(|(_, methods)| methods.len()).sum();
        assert_eq!(rows, declared.len(), "a method is declared twice");
        assert!(described.len() >= 38);
    }
}
