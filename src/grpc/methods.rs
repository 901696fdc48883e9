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
    /// Where REST finds it; `None` for what is no method of ours.
    pub route: Option<Route>,
}

/// Where REST finds a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// How it is asked.
    pub verb: Verb,
    /// Its path. `{name}` is a field of the request, dots reach into messages.
    pub path: &'static str,
    /// What the body holds.
    pub body: BodyOf,
}

/// HTTP's methods, as far as REST uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Whatever the others are not.
    Post,
    /// Changes the fields that it names.
    Patch,
    /// Takes away.
    Delete,
}

/// What the body of a REST request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOf {
    /// There is none: all that is not in the path stands behind `?`.
    Nothing,
    /// All that is not in the path.
    All,
    /// One field, a message. All else stands behind `?`.
    Field(&'static str),
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
const WORKSPACE: Needs = Needs::Scopes(&[Scope::WorkspaceRead]);
const BUDGETS: Needs = Needs::Scopes(&[Scope::BudgetWrite]);
const SCHEDULE: Needs = Needs::Scopes(&[Scope::ScheduleWrite]);
const WEBHOOK: Needs = Needs::Scopes(&[Scope::WebhookWrite, Scope::SessionRead]);
const WORKER: Needs = Needs::Scopes(&[Scope::WorkerConnect]);
const LOGS: Needs = Needs::Scopes(&[Scope::AdminLogs]);

/// The table.
pub static METHODS: [Method; 90] = [
    Method::changes("/quarterdeck.v1.GatewayService/Enqueue", WRITE)
        .post("/v1/sessions/{session_key}/turns"),
    Method::changes("/quarterdeck.v1.GatewayService/Run", WRITE_READ)
        .streams()
        .at(
            Verb::Post,
            "/v1/sessions/{enqueue.session_key}/run",
            BodyOf::Field("enqueue"),
        ),
    Method::reads("/quarterdeck.v1.GatewayService/AwaitTurn", READ)
        .waits()
        .get("/v1/sessions/{session_key}/turns/{turn_id}/await"),
    Method::reads("/quarterdeck.v1.GatewayService/GetTurn", READ)
        .get("/v1/sessions/{session_key}/turns/{turn_id}"),
    Method::reads("/quarterdeck.v1.GatewayService/ListTurns", READ)
        .pages()
        .get("/v1/sessions/{session_key}/turns"),
    Method::changes("/quarterdeck.v1.GatewayService/Steer", STEER)
        .post("/v1/sessions/{session_key}/steer"),
    Method::changes("/quarterdeck.v1.GatewayService/Abort", ABORT)
        .stops()
        .post("/v1/sessions/{session_key}/abort"),
    Method::changes("/quarterdeck.v1.GatewayService/Reset", RESET)
        .stops()
        .post("/v1/sessions/{session_key}/reset"),
    Method::reads("/quarterdeck.v1.GatewayService/ListQueue", READ)
        .pages()
        .get("/v1/sessions/{session_key}/queue"),
    Method::changes("/quarterdeck.v1.GatewayService/UpdateQueued", WRITE).at(
        Verb::Patch,
        "/v1/sessions/{session_key}/queue/{turn_id}",
        BodyOf::All,
    ),
    Method::changes("/quarterdeck.v1.GatewayService/RemoveQueued", WRITE)
        .delete("/v1/sessions/{session_key}/queue/{turn_id}"),
    Method::changes("/quarterdeck.v1.GatewayService/ClearQueue", WRITE)
        .delete("/v1/sessions/{session_key}/queue"),
    Method::reads("/quarterdeck.v1.GatewayService/Subscribe", READ)
        .streams()
        .get("/v1/sessions/{session_key}/events"),
    Method::reads("/quarterdeck.v1.GatewayService/SubscribeMany", READ)
        .streams()
        .post("/v1/events"),
    Method::reads("/quarterdeck.v1.GatewayService/ReadEvents", READ)
        .waits()
        .get("/v1/sessions/{session_key}/log"),
    Method::reads("/quarterdeck.v1.GatewayService/WatchSessions", READ)
        .streams()
        .get("/v1/watch/sessions"),
    Method::changes("/quarterdeck.v1.GatewayService/CreateSession", WRITE).post("/v1/sessions"),
    Method::reads("/quarterdeck.v1.GatewayService/GetSession", READ)
        .get("/v1/sessions/{session_key}"),
    Method::reads("/quarterdeck.v1.GatewayService/GetSessionState", READ)
        .get("/v1/sessions/{session_key}/state"),
    Method::reads("/quarterdeck.v1.GatewayService/ListSessions", READ)
        .pages()
        .get("/v1/sessions"),
    Method::changes("/quarterdeck.v1.GatewayService/UpdateSession", WRITE).at(
        Verb::Patch,
        "/v1/sessions/{session_key}",
        BodyOf::Field("session"),
    ),
    Method::changes("/quarterdeck.v1.GatewayService/DeleteSession", WRITE_RESET)
        .stops()
        .delete("/v1/sessions/{session_key}"),
    Method::changes("/quarterdeck.v1.GatewayService/ForkSession", WRITE_READ)
        .post("/v1/sessions/{session_key}/fork"),
    Method::reads("/quarterdeck.v1.GatewayService/ListMessages", READ)
        .pages()
        .get("/v1/sessions/{session_key}/messages"),
    Method::reads("/quarterdeck.v1.GatewayService/GetAttachment", READ)
        .pages()
        .get("/v1/sessions/{session_key}/attachments/{attachment_id}"),
    Method::reads("/quarterdeck.v1.GatewayService/ListFiles", WORKSPACE)
        .pages()
        .get("/v1/sessions/{session_key}/files"),
    Method::reads("/quarterdeck.v1.GatewayService/ReadFile", WORKSPACE)
        .pages()
        .get("/v1/sessions/{session_key}/file"),
    Method::reads("/quarterdeck.v1.GatewayService/GetDiff", WORKSPACE)
        .pages()
        .get("/v1/sessions/{session_key}/turns/{turn_id}/diff"),
    Method::reads("/quarterdeck.v1.GatewayService/ListArtifacts", READ)
        .pages()
        .get("/v1/sessions/{session_key}/artifacts"),
    Method::reads("/quarterdeck.v1.GatewayService/ListQuestions", READ)
        .pages()
        .get("/v1/questions"),
    Method::reads("/quarterdeck.v1.GatewayService/GetQuestion", READ)
        .get("/v1/sessions/{session_key}/questions/{question_id}"),
    // Which scope it needs is the question's to say.
    Method::changes("/quarterdeck.v1.GatewayService/AnswerQuestion", CREDENTIAL)
        .post("/v1/sessions/{session_key}/questions/{question_id}/answer"),
    Method::reads("/quarterdeck.v1.GatewayService/ListOptions", READ)
        .get("/v1/sessions/{session_key}/options"),
    // Options that the agent does not allow to everybody ask for the scope to approve, too.
    Method::changes("/quarterdeck.v1.GatewayService/SetOption", WRITE)
        .post("/v1/sessions/{session_key}/options/{option_id}"),
    Method::reads("/quarterdeck.v1.ModelService/ListModels", READ)
        .pages()
        .get("/v1/models"),
    Method::changes("/quarterdeck.v1.ModelService/SetModel", WRITE)
        .post("/v1/sessions/{session_key}/model"),
    Method::changes("/quarterdeck.v1.ModelService/SetThinkingLevel", WRITE)
        .post("/v1/sessions/{session_key}/thinking-level"),
    Method::reads("/quarterdeck.v1.ModelService/ListRoutes", CONFIG)
        .pages()
        .get("/v1/routes"),
    Method::changes("/quarterdeck.v1.ModelService/SetRoutes", CONFIG).post("/v1/routes"),
    Method::reads("/quarterdeck.v1.ModelService/ResolveRoute", CONFIG).post("/v1/routes/resolve"),
    Method::reads("/quarterdeck.v1.GatewayService/ListCommands", READ)
        .get("/v1/sessions/{session_key}/commands"),
    // Which scope it needs is the command's to say; some wait for the turn that they stop.
    Method::changes("/quarterdeck.v1.GatewayService/ExecuteCommand", CREDENTIAL)
        .stops()
        .post("/v1/sessions/{session_key}/commands"),
    Method::changes("/quarterdeck.v1.GatewayService/CompactSession", WRITE)
        .post("/v1/sessions/{session_key}/compact"),
    Method::changes("/quarterdeck.v1.GatewayService/ReloadSession", WRITE)
        .post("/v1/sessions/{session_key}/reload"),
    Method::reads("/quarterdeck.v1.AdminService/GetServerInfo", CREDENTIAL).get("/v1/server"),
    Method::reads("/quarterdeck.v1.AdminService/ListAgents", CREDENTIAL).get("/v1/agents"),
    Method::reads("/quarterdeck.v1.AdminService/WhoAmI", CREDENTIAL).get("/v1/whoami"),
    Method::reads("/quarterdeck.v1.AdminService/GetConfig", CONFIG).get("/v1/config"),
    Method::changes("/quarterdeck.v1.AdminService/UpdateConfig", CONFIG).at(
        Verb::Patch,
        "/v1/config",
        BodyOf::All,
    ),
    Method::reads("/quarterdeck.v1.AdminService/TailLogs", LOGS)
        .streams()
        .get("/v1/logs"),
    Method::reads("/quarterdeck.v1.AdminService/ListChannels", LOGS)
        .pages()
        .get("/v1/channels"),
    Method::changes("/quarterdeck.v1.AdminService/BroadcastReload", SESSIONS).post("/v1/reload"),
    Method::changes("/quarterdeck.v1.AdminService/CreateApiKey", KEYS).post("/v1/keys"),
    Method::reads("/quarterdeck.v1.AdminService/ListApiKeys", KEYS)
        .pages()
        .get("/v1/keys"),
    Method::changes("/quarterdeck.v1.AdminService/RevokeApiKey", KEYS).delete("/v1/keys/{key_id}"),
    Method::changes(
        "/quarterdeck.v1.AdminService/ExchangeCredential",
        CREDENTIAL,
    )
    .post("/v1/credential"),
    // More than the caller's own sessions is shown to who may see them.
    Method::reads("/quarterdeck.v1.AdminService/GetUsage", READ)
        .pages()
        .post("/v1/usage"),
    // The tenant's own is for the operator.
    Method::changes("/quarterdeck.v1.AdminService/SetBudget", BUDGETS).post("/v1/budgets"),
    Method::reads("/quarterdeck.v1.AdminService/ListBudgets", BUDGETS)
        .pages()
        .get("/v1/budgets"),
    Method::changes("/quarterdeck.v1.AdminService/DeleteBudget", BUDGETS).delete("/v1/budgets"),
    Method::reads("/quarterdeck.v1.MemoryService/GetMemoryStatus", RECALL).get("/v1/memory/status"),
    Method::reads("/quarterdeck.v1.MemoryService/ListCoreMemories", RECALL).get("/v1/memory/core"),
    Method::reads("/quarterdeck.v1.MemoryService/SearchMemory", RECALL).get("/v1/memory/search"),
    Method::changes("/quarterdeck.v1.MemoryService/Remember", REMEMBER).post("/v1/memories"),
    Method::changes("/quarterdeck.v1.MemoryService/Forget", REMEMBER).post("/v1/memories/forget"),
    Method::changes("/quarterdeck.v1.MemoryService/RebuildMemory", MEMORY_ADMIN)
        .post("/v1/memory/rebuild"),
    Method::reads("/quarterdeck.v1.MemoryService/ListMemories", RECALL)
        .pages()
        .get("/v1/memories"),
    Method::reads("/quarterdeck.v1.MemoryService/GetMemory", RECALL).get("/v1/memories/{id}"),
    Method::changes("/quarterdeck.v1.MemoryService/ImportMemories", MEMORY_ADMIN)
        .post("/v1/memories/import"),
    // What the request of a schedule needs is asked of its maker besides.
    Method::changes("/quarterdeck.v1.ScheduleService/CreateSchedule", SCHEDULE)
        .post("/v1/schedules"),
    Method::reads("/quarterdeck.v1.ScheduleService/GetSchedule", READ)
        .get("/v1/schedules/{schedule_name}"),
    Method::reads("/quarterdeck.v1.ScheduleService/ListSchedules", READ)
        .pages()
        .get("/v1/schedules"),
    Method::changes("/quarterdeck.v1.ScheduleService/UpdateSchedule", SCHEDULE).at(
        Verb::Patch,
        "/v1/schedules/{schedule_name}",
        BodyOf::Field("schedule"),
    ),
    Method::changes("/quarterdeck.v1.ScheduleService/DeleteSchedule", SCHEDULE)
        .delete("/v1/schedules/{schedule_name}"),
    Method::changes("/quarterdeck.v1.ScheduleService/RunScheduleNow", SCHEDULE)
        .post("/v1/schedules/{schedule_name}/run"),
    Method::reads("/quarterdeck.v1.ScheduleService/PreviewSchedule", READ)
        .post("/v1/schedules/preview"),
    Method::reads("/quarterdeck.v1.ScheduleService/ListScheduleRuns", READ)
        .pages()
        .get("/v1/schedules/{schedule_name}/runs"),
    Method::changes("/quarterdeck.v1.WebhookService/CreateWebhook", WEBHOOK).post("/v1/webhooks"),
    Method::reads("/quarterdeck.v1.WebhookService/ListWebhooks", READ)
        .pages()
        .get("/v1/webhooks"),
    // Secrets stand in it: none of it behind `?`.
    Method::changes("/quarterdeck.v1.WebhookService/UpdateWebhook", WEBHOOK).at(
        Verb::Patch,
        "/v1/webhooks/{webhook_id}",
        BodyOf::All,
    ),
    Method::changes("/quarterdeck.v1.WebhookService/DeleteWebhook", WEBHOOK)
        .delete("/v1/webhooks/{webhook_id}"),
    Method::changes("/quarterdeck.v1.WebhookService/RedeliverWebhook", WEBHOOK)
        .post("/v1/webhooks/{webhook_id}/redeliver"),
    Method::reads("/quarterdeck.v1.WebhookService/ListDeliveries", READ)
        .pages()
        .get("/v1/webhooks/{webhook_id}/deliveries"),
    // A stream of both sides: no request of HTTP can stand for it.
    Method::changes("/quarterdeck.v1.WorkerService/Connect", WORKER).streams(),
    Method::reads("/quarterdeck.v1.WorkerService/ListWorkers", SESSIONS)
        .pages()
        .get("/v1/workers"),
    Method::changes("/quarterdeck.v1.WorkerService/TerminateWorker", CONFIG)
        .delete("/v1/workers/{worker_name}"),
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
            route: None,
        }
    }

    const fn reads(path: &'static str, needs: Needs) -> Self {
        Self {
            path,
            needs,
            mutates: false,
            streams: false,
            counts: Counts::Nothing,
            route: None,
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

    const fn at(mut self, verb: Verb, path: &'static str, body: BodyOf) -> Self {
        self.route = Some(Route { verb, path, body });
        self
    }

    const fn get(self, path: &'static str) -> Self {
        self.at(Verb::Get, path, BodyOf::Nothing)
    }

    const fn post(self, path: &'static str) -> Self {
        self.at(Verb::Post, path, BodyOf::All)
    }

    const fn delete(self, path: &'static str) -> Self {
        self.at(Verb::Delete, path, BodyOf::Nothing)
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

    /// GET changes nothing; and each route's fields are the request's own.
    #[test]
    fn every_method_has_a_route_that_fits_it() {
        let pool = prost_reflect::DescriptorPool::decode(crate::proto::DESCRIPTORS).unwrap();
        for row in METHODS
            .iter()
            .filter(|row| row.path.starts_with("/quarterdeck."))
            // A stream of both sides.
            .filter(|row| !row.path.ends_with("WorkerService/Connect"))
        {
            let route = row
                .route
                .unwrap_or_else(|| panic!("{} has no route", row.path));
            assert_eq!(
                route.verb == Verb::Get,
                !row.mutates && route.body == BodyOf::Nothing
            );
            assert!(route.path.starts_with("/v1/"), "{}", route.path);
            let (service, name) = row.full_name().split_once('/').unwrap();
            let service = pool.get_service_by_name(service).unwrap();
            let method = service.methods().find(|it| it.name() == name).unwrap();
            if let BodyOf::Field(name) = route.body {
                let field = method.input().get_field_by_name(name).unwrap();
                assert!(field.kind().as_message().is_some(), "{name}");
            }
            let parts = route.path.split('/');
            for named in parts.filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')) {
                let mut message = method.input();
                for part in named.split('.') {
                    let field = message.get_field_by_name(part);
                    let field = field.unwrap_or_else(|| panic!("{}", route.path));
                    match field.kind() {
                        prost_reflect::Kind::Message(inner) => message = inner,
                        kind => assert_eq!(kind, prost_reflect::Kind::String, "{named}"),
                    }
                }
            }
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
