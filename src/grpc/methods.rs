//! Every RPC that the server answers, one row each: what the layers must know of a call before it is handled. What has no
//! row is not served.
//!
//! A test walks the contract's descriptor and fails where a method has no row, or a row has no method.

use crate::{auth::scopes::Needs, domain::access::Scope};
use std::{collections::HashMap, sync::LazyLock};

/// One RPC.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// Path of the request, `/package.Service/Method`.
    pub path: &'static str,
    /// What it asks of its caller.
    pub needs: Needs,
    /// True where it may change something: each such call leaves an audit record.
    pub mutates: bool,
    /// True where the answer is a stream.
    pub streams: bool,
    /// What its open calls count as.
    pub counts: Counts,
}

/// Which bound of its caller an open call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// None: its answer comes at once.
    Nothing,
    /// None, but its answer may be large: a tenant gets few of these made at a time.
    Page,
    /// Streams.
    Stream,
    /// Calls that wait for news; they may do so for as long as their caller likes.
    Wait,
    /// Calls that wait for the end of what they stop. They have places of their own, so that who waits for much can
    /// still stop it.
    Stop,
}

const NOTHING: Needs = Needs::Nothing;
const CREDENTIAL: Needs = Needs::Credential;
const READ: Needs = Needs::Scopes(&[Scope::SessionRead]);
const WRITE: Needs = Needs::Scopes(&[Scope::SessionWrite]);
const WRITE_READ: Needs = Needs::Scopes(&[Scope::SessionWrite, Scope::SessionRead]);
const STEER: Needs = Needs::Scopes(&[Scope::SessionSteer]);
const ABORT: Needs = Needs::Scopes(&[Scope::SessionAbort]);
const RESET: Needs = Needs::Scopes(&[Scope::SessionReset]);
const WRITE_RESET: Needs = Needs::Scopes(&[Scope::SessionWrite, Scope::SessionReset]);
const SESSIONS: Needs = Needs::Scopes(&[Scope::TenantSessions]);
const KEYS: Needs = Needs::Scopes(&[Scope::AdminKeys]);
const CONFIG: Needs = Needs::Scopes(&[Scope::AdminConfig]);
const RECALL: Needs = Needs::Scopes(&[Scope::MemoryRead]);
const REMEMBER: Needs = Needs::Scopes(&[Scope::MemoryWrite]);
const MEMORY_ADMIN: Needs = Needs::Scopes(&[Scope::MemoryWrite, Scope::AdminConfig]);
const LOGS: Needs = Needs::Scopes(&[Scope::AdminLogs]);

/// The table.
pub static METHODS: [Method; 49] = [
    Method::changes("/quarterdeck.v1.GatewayService/Enqueue", WRITE),
    Method::changes("/quarterdeck.v1.GatewayService/Run", WRITE_READ).streams(),
    Method::reads("/quarterdeck.v1.GatewayService/AwaitTurn", READ).waits(),
    Method::reads("/quarterdeck.v1.GatewayService/GetTurn", READ),
    Method::reads("/quarterdeck.v1.GatewayService/ListTurns", READ).pages(),
    Method::changes("/quarterdeck.v1.GatewayService/Steer", STEER),
    Method::changes("/quarterdeck.v1.GatewayService/Abort", ABORT).stops(),
    Method::changes("/quarterdeck.v1.GatewayService/Reset", RESET).stops(),
    Method::reads("/quarterdeck.v1.GatewayService/ListQueue", READ).pages(),
    Method::changes("/quarterdeck.v1.GatewayService/UpdateQueued", WRITE),
    Method::changes("/quarterdeck.v1.GatewayService/RemoveQueued", WRITE),
    Method::changes("/quarterdeck.v1.GatewayService/ClearQueue", WRITE),
    Method::reads("/quarterdeck.v1.GatewayService/Subscribe", READ).streams(),
    Method::reads("/quarterdeck.v1.GatewayService/SubscribeMany", READ).streams(),
    Method::reads("/quarterdeck.v1.GatewayService/ReadEvents", READ).waits(),
    Method::reads("/quarterdeck.v1.GatewayService/WatchSessions", READ).streams(),
    Method::changes("/quarterdeck.v1.GatewayService/CreateSession", WRITE),
    Method::reads("/quarterdeck.v1.GatewayService/GetSession", READ),
    Method::reads("/quarterdeck.v1.GatewayService/GetSessionState", READ),
    Method::reads("/quarterdeck.v1.GatewayService/ListSessions", READ).pages(),
    Method::changes("/quarterdeck.v1.GatewayService/UpdateSession", WRITE),
    Method::changes("/quarterdeck.v1.GatewayService/DeleteSession", WRITE_RESET).stops(),
    Method::changes("/quarterdeck.v1.GatewayService/ForkSession", WRITE_READ),
    Method::reads("/quarterdeck.v1.GatewayService/ListMessages", READ).pages(),
    Method::reads("/quarterdeck.v1.GatewayService/GetAttachment", READ).pages(),
    Method::reads("/quarterdeck.v1.AdminService/GetServerInfo", CREDENTIAL),
    Method::reads("/quarterdeck.v1.AdminService/WhoAmI", CREDENTIAL),
    Method::reads("/quarterdeck.v1.AdminService/GetConfig", CONFIG),
    Method::changes("/quarterdeck.v1.AdminService/UpdateConfig", CONFIG),
    Method::reads("/quarterdeck.v1.AdminService/TailLogs", LOGS).streams(),
    Method::reads("/quarterdeck.v1.AdminService/ListChannels", LOGS).pages(),
    Method::changes("/quarterdeck.v1.AdminService/BroadcastReload", SESSIONS),
    Method::changes("/quarterdeck.v1.AdminService/CreateApiKey", KEYS),
    Method::reads("/quarterdeck.v1.AdminService/ListApiKeys", KEYS).pages(),
    Method::changes("/quarterdeck.v1.AdminService/RevokeApiKey", KEYS),
    Method::changes(
        "/quarterdeck.v1.AdminService/ExchangeCredential",
        CREDENTIAL,
    ),
    Method::reads("/quarterdeck.v1.MemoryService/GetMemoryStatus", RECALL),
    Method::reads("/quarterdeck.v1.MemoryService/ListCoreMemories", RECALL),
    Method::reads("/quarterdeck.v1.MemoryService/SearchMemory", RECALL),
    Method::changes("/quarterdeck.v1.MemoryService/Remember", REMEMBER),
    Method::changes("/quarterdeck.v1.MemoryService/Forget", REMEMBER),
    Method::changes("/quarterdeck.v1.MemoryService/RebuildMemory", MEMORY_ADMIN),
    Method::reads("/quarterdeck.v1.MemoryService/ListMemories", RECALL).pages(),
    Method::reads("/quarterdeck.v1.MemoryService/GetMemory", RECALL),
    Method::changes("/quarterdeck.v1.MemoryService/ImportMemories", MEMORY_ADMIN),
    Method::reads("/grpc.health.v1.Health/Check", NOTHING),
    Method::reads("/grpc.health.v1.Health/Watch", NOTHING).streams(),
    Method::reads(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        CREDENTIAL,
    )
    .streams(),
    Method::reads(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        CREDENTIAL,
    )
    .streams(),
];

/// Places of the rows by path.
static BY_PATH: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let rows = METHODS.iter().enumerate();
    rows.map(|(place, method)| (method.path, place)).collect()
});

/// The row of a path, and its place in the table; `None` where no such method is served.
pub fn find(path: &str) -> Option<(usize, &'static Method)> {
    BY_PATH.get(path).map(|place| (*place, &METHODS[*place]))
}

/// The name of a path's method and what it asks for; `None` where no such method is served.
pub fn served(path: &str) -> Option<(&'static str, Needs)> {
    let (_, method) = find(path)?;
    Some((method.name(), method.needs))
}

// === impl Method ===

impl Method {
    const fn changes(path: &'static str, needs: Needs) -> Self {
        Self {
            path,
            needs,
            mutates: true,
            streams: false,
            counts: Counts::Nothing,
        }
    }

    const fn reads(path: &'static str, needs: Needs) -> Self {
        Self {
            path,
            needs,
            mutates: false,
            streams: false,
            counts: Counts::Nothing,
        }
    }

    const fn streams(mut self) -> Self {
        self.streams = true;
        self.counts = Counts::Stream;
        self
    }

    const fn pages(mut self) -> Self {
        self.counts = Counts::Page;
        self
    }

    const fn waits(mut self) -> Self {
        self.counts = Counts::Wait;
        self
    }

    const fn stops(mut self) -> Self {
        self.counts = Counts::Stop;
        self
    }

    /// `package.Service/Method`, as traces and metrics name it.
    pub fn full_name(&self) -> &'static str {
        self.path.strip_prefix('/').unwrap_or(self.path)
    }

    /// The last part alone, such as `Enqueue`.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Methods of the descriptor that have no true row, and rows that have no method.
    fn wrong(rows: &[Method]) -> Vec<String> {
        let mut pool = prost_reflect::DescriptorPool::new();
        for descriptors in [
            crate::proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(descriptors).unwrap();
        }
        let mut said: BTreeMap<String, bool> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| {
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                (path, method.is_server_streaming())
            })
            .collect();
        let mut wrong = Vec::new();
        for row in rows {
            if said.remove(row.path) != Some(row.streams) {
                wrong.push(format!("{} is no such method", row.path));
            }
        }
        wrong.extend(said.into_keys().map(|path| format!("{path} has no row")));
        wrong
    }

    #[test]
    fn every_method_is_declared_with_its_scopes_and_nothing_else_is() {
        assert_eq!(wrong(&METHODS), [""; 0]);
        assert_eq!(BY_PATH.len(), METHODS.len(), "a path stands twice");
        // A planted fault is seen: the first row is Enqueue's.
        assert_eq!(
            wrong(&METHODS[1..]),
            ["/quarterdeck.v1.GatewayService/Enqueue has no row"]
        );
    }

    /// A scope that nothing asks for is not advertised, and one that a call asks for is.
    #[test]
    fn the_scopes_in_use_are_those_of_the_table() {
        for scope in Scope::ALL {
            let asked = METHODS.iter().any(|method| match method.needs {
                Needs::Nothing | Needs::Credential => false,
                Needs::Scopes(scopes) => scopes.contains(&scope),
            });
            assert_eq!(scope.is_in_use(), asked, "{scope}");
        }
    }

    #[test]
    fn what_takes_a_request_id_is_declared_mutating() {
        let pool = prost_reflect::DescriptorPool::decode(crate::proto::DESCRIPTORS).unwrap();
        for service in pool.services() {
            for method in service.methods() {
                if method.input().get_field_by_name("request_id").is_some() {
                    let path = format!("/{}/{}", service.full_name(), method.name());
                    assert!(find(&path).is_some_and(|(_, row)| row.mutates), "{path}");
                }
            }
        }
    }
}
