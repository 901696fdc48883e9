//! Every RPC that the server answers, one row each: what the layers must know of a call before it is handled.
//!
//! A test walks the contract's descriptor and fails where a method has no row, or a row has no method.

use std::{collections::HashMap, sync::LazyLock};

/// One RPC.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// Path of the request, `/package.Service/Method`.
    pub path: &'static str,
    /// True where it may change something: each such call leaves an audit record.
    pub mutates: bool,
    /// True where the answer is a stream.
    pub streams: bool,
}

/// The table.
pub static METHODS: [Method; 39] = [
    Method::changes("/quarterdeck.v1.GatewayService/Enqueue"),
    Method::changes("/quarterdeck.v1.GatewayService/Run").streams(),
    Method::reads("/quarterdeck.v1.GatewayService/AwaitTurn"),
    Method::reads("/quarterdeck.v1.GatewayService/GetTurn"),
    Method::reads("/quarterdeck.v1.GatewayService/ListTurns"),
    Method::changes("/quarterdeck.v1.GatewayService/Steer"),
    Method::changes("/quarterdeck.v1.GatewayService/Abort"),
    Method::changes("/quarterdeck.v1.GatewayService/Reset"),
    Method::reads("/quarterdeck.v1.GatewayService/ListQueue"),
    Method::changes("/quarterdeck.v1.GatewayService/UpdateQueued"),
    Method::changes("/quarterdeck.v1.GatewayService/RemoveQueued"),
    Method::changes("/quarterdeck.v1.GatewayService/ClearQueue"),
    Method::reads("/quarterdeck.v1.GatewayService/Subscribe").streams(),
    Method::reads("/quarterdeck.v1.GatewayService/ReadEvents"),
    Method::reads("/quarterdeck.v1.GatewayService/WatchSessions").streams(),
    Method::changes("/quarterdeck.v1.GatewayService/CreateSession"),
    Method::reads("/quarterdeck.v1.GatewayService/GetSession"),
    Method::reads("/quarterdeck.v1.GatewayService/GetSessionState"),
    Method::reads("/quarterdeck.v1.GatewayService/ListSessions"),
    Method::changes("/quarterdeck.v1.GatewayService/UpdateSession"),
    Method::changes("/quarterdeck.v1.GatewayService/DeleteSession"),
    Method::changes("/quarterdeck.v1.GatewayService/ForkSession"),
    Method::reads("/quarterdeck.v1.GatewayService/ListMessages"),
    Method::reads("/quarterdeck.v1.GatewayService/GetAttachment"),
    Method::reads("/quarterdeck.v1.AdminService/GetServerInfo"),
    Method::reads("/quarterdeck.v1.AdminService/WhoAmI"),
    Method::reads("/quarterdeck.v1.AdminService/GetConfig"),
    Method::changes("/quarterdeck.v1.AdminService/UpdateConfig"),
    Method::reads("/quarterdeck.v1.AdminService/TailLogs").streams(),
    Method::reads("/quarterdeck.v1.AdminService/ListChannels"),
    Method::changes("/quarterdeck.v1.AdminService/BroadcastReload"),
    Method::changes("/quarterdeck.v1.AdminService/CreateApiKey"),
    Method::reads("/quarterdeck.v1.AdminService/ListApiKeys"),
    Method::changes("/quarterdeck.v1.AdminService/RevokeApiKey"),
    Method::reads("/grpc.health.v1.Health/Check"),
    Method::reads("/grpc.health.v1.Health/List"),
    Method::reads("/grpc.health.v1.Health/Watch").streams(),
    Method::reads("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").streams(),
    Method::reads("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo").streams(),
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

// === impl Method ===

impl Method {
    const fn changes(path: &'static str) -> Self {
        Self {
            path,
            mutates: true,
            streams: false,
        }
    }

    const fn reads(path: &'static str) -> Self {
        Self {
            path,
            mutates: false,
            streams: false,
        }
    }

    const fn streams(mut self) -> Self {
        self.streams = true;
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
        let pool = prost_reflect::DescriptorPool::decode(crate::proto::DESCRIPTORS).unwrap();
        let mut said: BTreeMap<String, bool> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| {
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                (path, method.is_server_streaming())
            })
            .collect();
        let mut wrong = Vec::new();
        for row in rows
            .iter()
            .filter(|row| row.path.starts_with("/quarterdeck."))
        {
            if said.remove(row.path) != Some(row.streams) {
                wrong.push(format!("{} is no such method", row.path));
            }
        }
        wrong.extend(said.into_keys().map(|path| format!("{path} has no row")));
        wrong
    }

    #[test]
    fn every_method_of_the_contract_is_declared_mutating_or_reading() {
        assert_eq!(wrong(&METHODS), [""; 0]);
        assert_eq!(BY_PATH.len(), METHODS.len(), "a path stands twice");
        // A planted fault is seen: the first row is Enqueue's.
        assert_eq!(
            wrong(&METHODS[1..]),
            ["/quarterdeck.v1.GatewayService/Enqueue has no row"]
        );
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
