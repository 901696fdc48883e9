//! Configuration: plain data, and one declarative table of keys from which everything else comes: defaults, the file's
//! parser, `QUARTERDECK_*` variables, the flags of `serve`, and `print-config`.
//!
//! Later sources win: defaults ← TOML file ← environment ← flags. All problems are reported at once, each with the
//! place where it stands, before anything is opened. Values of `environment` are secrets and are never shown.

mod checks;
mod exposure;
pub mod live;
mod load;
mod origin;
mod prices;
mod principals;
mod revision;
mod setting;

pub use exposure::Exposed;
pub use origin::Origin;
pub use prices::PriceList;
pub use principals::Principals;
pub use setting::{
    AgentUids, ApiWanted, DriverKind, IsolationWanted, NetworkWanted, Raw, Secret, Secrets,
    Setting, Size, SocketPath, TenantPlaces, Threads,
};

use crate::domain::{
    limits,
    question::{self, NoApprover},
    quotas,
    tool_policy::ToolRule,
    turn::OnInterrupt,
    webhook::{WebhookBusy, WebhookKind},
};
use crate::telemetry::LogFormat;
use checks::{
    absolute, at_least_a_second, command, command_names, few_rules, few_secrets, few_servers,
    few_words, headers, host_names, http_url, instructions, known_scopes, log_level, memory_key,
    no_marks, origins, otlp_endpoint, places, scopes, session_key, short, signatures, web_address,
    webhook_template, within, worker_labels, zero_or,
};
use load::Loader;
use std::{
    collections::BTreeMap, ffi::OsString, fmt, net::SocketAddr, path::PathBuf, time::Duration,
};

/// File that is read where none is named, if it exists.
pub const DEFAULT_FILE: &str = "quarterdeck.toml";
/// What `default_agent` says to have one chosen.
pub const AUTO_AGENT: &str = "auto";
/// Largest file, in bytes.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Every variable of ours begins with this.
pub const VARIABLE_PREFIX: &str = "QUARTERDECK_";
/// Keys that mean something to an `echo` agent.
const ECHO_KEYS: [&str; 11] = [
    "driver",
    "cwd_roots",
    "workspace_read",
    "workspace_diff",
    "on_interrupt",
    "max_attempts",
    "no_approver",
    "tool_policy",
    "options_allowed",
    "question_ttl",
    "commands_allowed",
];
/// Keys that mean something to an `llm` agent, and to others too.
const LLM_KEYS: [&str; 18] = [
    "driver",
    "model",
    "thinking_level",
    "cwd_roots",
    "workspace_read",
    "workspace_diff",
    "on_interrupt",
    "max_attempts",
    "no_approver",
    "tool_policy",
    "question_ttl",
    "isolation",
    "isolation_read",
    "network",
    "max_processes",
    "max_open_files",
    "max_file_bytes",
    "max_memory_bytes",
];
/// Keys that mean something to an `llm` agent alone.
const LLM_ONLY_KEYS: [&str; 9] = [
    "base_url",
    "api",
    "api_key",
    "api_key_file",
    "instructions",
    "mcp_servers",
    "memory_tools",
    "max_output_tokens",
    "models",
];

/// Keys that mean something to an agent on workers alone.
const WORKER_ONLY_KEYS: [&str; 2] = ["worker_principals", "worker_labels"];

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// One key of `T`.
pub struct Key<T> {
    /// Name in the file; upper-cased the variable, with hyphens the flag.
    pub name: &'static str,
    /// What it does, with unit and bound.
    pub doc: &'static [&'static str],
    /// Default, as it would be given in a variable.
    pub default: &'static str,
    apply: fn(&mut T, &Raw) -> Result<(), String>,
    toml: fn(&T) -> String,
}

/// Makes a struct, its table of keys and its defaults from one list.
macro_rules! settings {
    (
        $(#[$outer:meta])*
        pub struct $Owner:ident, keys $KEYS:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:literal $(, $check:expr)?;)*
        }
        $($(#[doc = $plain_doc:literal])+ $plain:ident: $plain_type:ty;)*
    ) => {
        $(#[$outer])*
        pub struct $Owner {
            $($(#[doc = $doc])+ pub $field: $type,)*
            $($(#[doc = $plain_doc])+ pub $plain: $plain_type,)*
        }

        /// The keys, in the order in which they are printed.
        pub const $KEYS: &[Key<$Owner>] = &[$(Key {
            name: stringify!($field),
            doc: &[$($doc),+],
            default: $default,
            apply: |owner, raw| {
                let value = <$type as Setting>::read(raw)?;
                $($check(&value)?;)?
                owner.$field = value;
                Ok(())
            },
            toml: |owner| owner.$field.write(),
        }),*];

        impl Default for $Owner {
            fn default() -> Self {
                let given = |text| Raw::from_text(text).expect("a test reads every default");
                Self {
                    $($field: Setting::read(&given($default)).expect("a test reads every default"),)*
                    $($plain: Default::default(),)*
                }
            }
        }
    };
}

settings! {
    /// Everything that an operator may choose.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Config, keys KEYS {
        /// Address that calls are accepted at; port 0 takes a free one. Anything but loopback needs authentication and
        /// `tls_certificate`, or `insecure_behind_proxy`.
        listen: SocketAddr = "127.0.0.1:7777";
        /// Unix socket that calls are accepted at too, by the server's own user alone. `auto` is `quarterdeck.sock` in
        /// `data_dir`, `none` is none.
        listen_unix: SocketPath = "auto";
        /// Certificate chain of the server, a PEM file, its own certificate first. Empty speaks no TLS. Like the other
        /// TLS files it may be replaced at any time, without a restart.
        tls_certificate: Option<PathBuf> = "";
        /// Private key of that certificate, a PEM file without a password that others can't read.
        tls_key: Option<PathBuf> = "";
        /// CA of client certificates, a PEM file. Clients are asked for a certificate then, and a wrong one is refused.
        tls_client_ca: Option<PathBuf> = "";
        /// Refuses clients without a certificate of `tls_client_ca`.
        tls_client_required: bool = "false";
        /// Lets everyone who can connect do everything. On loopback and the unix socket only.
        no_auth: bool = "false";
        /// Host names that requests may use, besides addresses of this server, `localhost` and the names in
        /// `tls_certificate`; `*.` may stand for a first label. Requests that use others are refused.
        allowed_hosts: Vec<String> = "[]", host_names;
        /// Directory that holds everything durable. One server at a time.
        data_dir: PathBuf = "quarterdeck-data";
        /// Agent of sessions that name none. `auto` has one chosen when the server starts, of those whose program is found in
        /// `PATH`: pi, else claude, codex, gemini or opencode by the Agent Client Protocol, else echo. Before all of them an
        /// agent with the driver `llm`. Never one with processes where nothing isolates them, or with `no_auth`. It stays
        /// chosen while it can be used.
        default_agent: String = "echo";
        /// Session that can't be deleted; made at its first use.
        primary_session: String = "main", session_key;
        /// Turns that may wait in one session.
        queue_limit_turns: usize = "32", within(1, 10_000);
        /// Bytes of prompts and attachments that may wait in one session.
        queue_limit_bytes: Size = "64MiB", within(Size(MIB), Size(TIB));
        /// How long a turn may run where the caller names nothing.
        turn_timeout: Duration = "1h", within(SECOND, limits::TURN_TIMEOUT_MAX);
        /// How long a question of an agent waits for an answer; then the agent is told that it was declined. An agent and a
        /// session may say otherwise.
        question_ttl: Duration = "1h", within(SECOND, question::TTL_MAX);
        /// Longest `turn_timeout` that a caller may ask for.
        max_turn_timeout: Duration = "1day", within(SECOND, limits::TURN_TIMEOUT_MAX);
        /// How long running turns may go on when the server stops.
        drain_timeout: Duration = "30s", within(Duration::ZERO, HOUR);
        /// An agent's process ends after this long without a turn.
        agent_idle_timeout: Duration = "10m", within(SECOND, 7 * DAY);
        /// What keeps agents' processes from the server, from other sessions and from each other: `namespace`, `landlock` or
        /// `none`. `auto` takes the best that works on this machine; one that is named must work, or the server does not
        /// start. With `none` an agent can do all that the server's user can do.
        isolation: IsolationWanted = "auto";
        /// Where the server runs as root: user ids that isolated agents get, each owner's another one, such as
        /// `200000-265535`; no account and no container may use any of them. `auto` takes these where nobody else has them
        /// and that works, for agents without `cwd_roots`, whose directories they could not write; `none` leaves root's.
        agent_uids: AgentUids = "auto";
        /// Files and directories that isolated agents may read, besides the system's (`/usr`, `/etc`, `/opt` …), their own
        /// and those of their program.
        isolation_read: Vec<PathBuf> = "[]", absolute;
        /// Space that each agent's own `/tmp` and `/dev/shm` may take, each, in memory; with isolation `namespace`.
        isolation_tmp_max_bytes: Size = "1GiB", within(Size(MIB), Size(TIB));
        /// Lets agents without isolation serve every tenant, each of which can then do to all others what it likes. Only
        /// with `isolation = "none"`; else such agents serve the tenant `default` alone.
        tenants_share_agents_user: bool = "false";
        /// Turns that may run at once, over all sessions.
        max_running_turns: usize = "64", within(1, 100_000);
        /// Of these, places that are kept for tenants of which nothing runs, one for each; never more than a quarter.
        reserved_running_turns: usize = "8", within(0, 100_000);
        /// Agents that may be awake at once; the one that idled longest ends first.
        max_awake_agents: usize = "256", within(1, 100_000);
        /// Sessions that may exist.
        max_sessions: u64 = "1000000", within(1, 1_000_000_000);
        /// Sessions that one principal may own; 0 sets no bound.
        principal_max_sessions: u64 = "100000", within(0, 1_000_000_000);
        /// Sessions that the principals of one tenant may own together; 0 sets no bound.
        tenant_max_sessions: u64 = "400000", within(0, 1_000_000_000);
        /// Bytes of events, messages, turns and attachments that are kept for the sessions of one principal; new work beyond
        /// is refused, running turns still end. A copy of a fork counts whole. 0 sets no bound.
        principal_max_bytes: Size = "16GiB", within(Size(0), Size(1024 * TIB));
        /// The same for the sessions of all principals of one tenant; 0 sets no bound.
        tenant_max_bytes: Size = "64GiB", within(Size(0), Size(1024 * TIB));
        /// Bytes of prompts and attachments that may wait in the sessions of one principal; 0 sets no bound.
        principal_max_queue_bytes: Size = "256MiB", within(Size(0), Size(TIB));
        /// Bytes of prompts and attachments that may wait in the sessions of one tenant; 0 sets no bound.
        tenant_max_queue_bytes: Size = "1GiB", within(Size(0), Size(TIB));
        /// Turns that may run at once in the sessions of one principal; 0 sets no bound but `max_running_turns`.
        principal_max_running_turns: usize = "32", within(0, 100_000);
        /// Turns that may run at once in the sessions of one tenant; `auto` is three quarters of `max_running_turns`, 0 all
        /// that are not reserved.
        tenant_max_running_turns: TenantPlaces = "auto", places;
        /// Agents that may be awake at once in the sessions of one principal; 0 sets no bound but `max_awake_agents`.
        principal_max_awake_agents: usize = "128", within(0, 100_000);
        /// Agents that may be awake at once in the sessions of one tenant; `auto` is three quarters of `max_awake_agents`, 0
        /// sets no bound but that.
        tenant_max_awake_agents: TenantPlaces = "auto", places;
        /// Turns of one tenant that may wait for an answer at once; each holds its agent, and its place among those that run.
        /// What a further one asks is declined at once. `auto` is three quarters of the turns that the tenant may run, 0 is
        /// all of them.
        tenant_max_asking_turns: TenantPlaces = "auto", places;
        /// Streams that may be open at once, over all connections.
        max_streams: usize = "10000", within(1, 1_000_000);
        /// Connections that may be open at once; over the unix socket as many besides. A quarter is kept for callers and
        /// addresses that have authenticated; where none is left the oldest connection without a caller gives way.
        max_connections: usize = "4096", within(1, 1_000_000);
        /// Connections that may be open at once from one address, or one /64 network of IPv6; for a further one the
        /// oldest without a caller gives way, and where there is none it is closed.
        /// 0 counts none, which is right behind a proxy: there all come from it.
        max_connections_per_address: usize = "64", within(0, 1_000_000);
        /// How long a connection may be open without a call that was authenticated, over the network; then it is ended. Until
        /// then it gives way where `max_connections` or `max_connections_per_address` are reached.
        first_call_timeout: Duration = "60s", within(SECOND, HOUR);
        /// Age, a tenth more or less, at which clients are told to make a new connection; `never` tells none.
        connection_age_max: Option<Duration> = "30m", at_least_a_second;
        /// How long calls and streams may go on after that before they are cut; `never` waits for them. A stream that was
        /// cut is resumed at its position.
        connection_age_grace: Option<Duration> = "5m", at_least_a_second;
        /// Events that are kept of a session. Turns that have not ended keep theirs in any case.
        retention_events: u64 = "100000", within(1, 1_000_000_000);
        /// How long events are kept.
        retention_age: Duration = "30days", within(SECOND, 3650 * DAY);
        /// How long messages and turns are kept; `never` removes none.
        history_retention: Option<Duration> = "never", at_least_a_second;
        /// New turns are refused while less than this is free on the data directory's disk.
        disk_reserve: Size = "512MiB", within(Size(0), Size(TIB));
        /// Tokens of core memories that an agent is given with each turn, newest first; four bytes count as one. 0 gives none.
        memory_core_max_tokens: usize = "700", within(0, 10_000);
        /// Memories that an agent is given with each turn because they fit its prompt best. 0 gives none.
        memory_matches_max: usize = "4", within(0, 50);
        /// How long a turn may wait for what memory has; then it runs without.
        memory_recall_timeout: Duration = "500ms", within(Duration::ZERO, 10 * SECOND);
        /// Endpoint of an embedding model that speaks OpenAI's API, such as `http://127.0.0.1:8080/v1/embeddings`. It sees
        /// what is remembered (never secrets) and what is searched. Empty: memory is searched by words alone.
        embeddings_url: String = "", http_url;
        /// Name of the embedding model. After a change RebuildMemory embeds anew.
        embeddings_model: String = "", short;
        /// Key of that endpoint, sent as bearer token. A secret, never shown.
        embeddings_key: Secret = "";
        /// Texts of one request to it.
        embeddings_batch: usize = "32", within(1, 256);
        /// How long one request to it may take; it is tried three times.
        embeddings_timeout: Duration = "10s", within(Duration::from_millis(10), 120 * SECOND);
        /// Threads that serve calls; `auto` is the number of cores less one, from 1 to 4.
        serve_threads: Threads = "auto", within(Threads::exactly(1), Threads::exactly(64));
        /// Memories of one scope (a namespace, a session, the tenant's own), hidden ones included.
        memory_scope_limit: u64 = "100000", within(1, 100_000_000);
        /// Memories of one tenant, over all its scopes.
        memory_tenant_limit: u64 = "1000000", within(1, 1_000_000_000);
        /// File with the key that seals secret memories: 64 hexadecimal digits. Empty is `memory.key` in the data
        /// directory, made at the first start; a backup does not take it along.
        memory_key_file: String = "";
        /// That key itself, best as the variable QUARTERDECK_MEMORY_KEY: then there is no file of it. Agents don't inherit
        /// it. A secret, never shown.
        memory_key: Secret = "", memory_key;
        /// Whether agents may reach memory by the Model Context Protocol, at `/mcp` of `listen` and by `quarterdeck mcp`.
        mcp: bool = "true";
        /// Says that a proxy in front does the encryption, so that `listen` may be any address without TLS. Calls are
        /// authenticated all the same.
        insecure_behind_proxy: bool = "false";
        /// Failed authentications that are taken from one address a minute, as many at once; 0 takes all. Further ones get
        /// RATE_LIMITED. A valid credential is never refused for what others at its address do.
        auth_failures_per_minute: u64 = "30", within(0, 1_000_000);
        /// Calls of one principal a second, as many at once; 0 takes all. Nothing is counted with `no_auth`.
        principal_requests_per_second: u64 = "500", within(0, 1_000_000);
        /// Calls of all principals of one tenant a second, as many at once; 0 takes all. Nothing is counted with `no_auth`.
        tenant_requests_per_second: u64 = "2000", within(0, 1_000_000);
        /// Streams that one principal may have open at once; 0 bounds none. Nothing is counted with `no_auth`.
        principal_max_streams: usize = "1000", within(0, 1_000_000);
        /// Streams that all principals of one tenant may have open at once; 0 bounds none. Nothing is counted with
        /// `no_auth`.
        tenant_max_streams: usize = "4000", within(0, 1_000_000);
        /// Whether webhooks may call this machine and private networks, and by plain `http`.
        webhook_private_addresses: bool = "false";
        /// Where people reach this server, such as `https://deck.example.org`: then what webhooks tell of a question carries a
        /// link at which whoever has it answers that question, once, without an account. Empty gives none.
        answer_link_url: String = "", web_address;
        /// How long such a link can be used; never longer than its question waits.
        answer_link_ttl: Duration = "1day", within(SECOND, 7 * DAY);
        /// Longest life of an API key that is made with a token or a certificate; such a key must have a `ttl`.
        max_key_ttl: Duration = "30days", within(SECOND, 3650 * DAY);
        /// API keys of one tenant that may be valid at a time; 0 sets no bound.
        tenant_max_keys: u64 = "10000", within(0, 1_000_000);
        /// Calls of one principal that may wait for news at once (AwaitTurn, ReadEvents); as many again may wait for what
        /// they stop (Abort, Reset, DeleteSession). 0 bounds none. Nothing is counted with `no_auth`.
        principal_max_waits: usize = "1000", within(0, 1_000_000);
        /// The same of all principals of one tenant.
        tenant_max_waits: usize = "4000", within(0, 1_000_000);
        /// Issuer (`iss`) of JSON Web Tokens that calls may carry in place of an API key. Empty takes no tokens.
        jwt_issuer: String = "", web_address;
        /// Audience (`aud`) that tokens must be made for; it must be this server's own.
        jwt_audience: String = "", short;
        /// Algorithms of tokens, each with a public key: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.
        jwt_algorithms: Vec<String> = r#"["RS256", "ES256", "EdDSA"]"#, signatures;
        /// Where the issuer's keys are. Empty looks them up by the issuer's `.well-known/openid-configuration`.
        jwt_jwks_url: String = "", web_address;
        /// Lets the issuer's keys be fetched from loopback and private addresses, whoever names them. Without it only those
        /// that `jwt_issuer` or `jwt_jwks_url` themselves write as an address (or `localhost`) are.
        jwt_private_addresses: bool = "false";
        /// Time between two looks at the issuer's keys at least, where a token names a key that is not there.
        jwt_refresh_min: Duration = "60s", within(SECOND, HOUR);
        /// Claim of a token that names its tenant. Empty takes the tenant `default` for all.
        jwt_tenant_claim: String = "", short;
        /// Claim of a token that names its subject. Tenant and subject are of the grammar of session keys.
        jwt_subject_claim: String = "sub", short;
        /// Claim of a token with its scopes, blanks between them or a list. Unknown ones are passed over.
        jwt_scope_claim: String = "scope", short;
        /// Scopes of tokens without that claim.
        jwt_default_scopes: Vec<String> = "[]", scopes;
        /// Who bearers of certificates of `tls_client_ca` are: URI of the certificate's alternative names, and in one text
        /// its principal and scopes, such as `{ "spiffe://example.org/job" = "default/job session.read" }`.
        certificate_principals: Principals = "{}";
        /// Lets web pages call: gRPC-web at `listen`, for pages of `grpc_web_origins` and of this server itself. Without it
        /// no page may call, and there is no console.
        grpc_web: bool = "true";
        /// Whether calls are taken as JSON too: REST and server-sent events below `/v1`, Connect, `/openapi.json`, `/health` and
        /// `/ready` at `listen`. The same credentials, scopes and bounds hold as by gRPC.
        http: bool = "true";
        /// Whether the console, a web page, is served at `listen`. It is the same for everybody and needs no credential; what
        /// it shows, it asks for with the key that it is given.
        console: bool = "true";
        /// Origins whose pages may call, each as browsers send it: `https://console.example.com`; at most 64.
        grpc_web_origins: Vec<Origin> = "[]", origins;
        /// Address of a socket for Prometheus, which answers `/metrics` to bearers of the token in `metrics_token_file`; `none`
        /// measures nothing. Anything but loopback needs `metrics_anywhere`.
        metrics_listen: Option<SocketAddr> = "none";
        /// File with nothing but the token of those who collect metrics; others must not be able to read it, agents least of
        /// all. Empty is `metrics.token` in `data_dir`, made at the first start. With `no_auth` no token is asked for.
        metrics_token_file: Option<PathBuf> = "";
        /// Says that something else keeps strangers from `metrics_listen`, so that it may be any address.
        metrics_anywhere: bool = "false";
        /// Where spans are sent by OTLP over gRPC, such as `http://127.0.0.1:4317`; empty sends none.
        /// Needs a program that was built with the feature `otlp`.
        otlp_endpoint: String = "", otlp_endpoint;
        /// What models cost, where the shipped table does not know it or says otherwise, by `provider/model`: US dollars for a
        /// million tokens, `input`, `output` and, where they differ from `input`, `cache_read` and `cache_write`. At most 1024.
        prices: PriceList = "{}";
        /// Longest time between two heartbeats of a worker.
        worker_heartbeat: Duration = "10s", within(Duration::from_millis(10), HOUR);
        /// Time without contact after which a worker ends its agents; at least twice `worker_heartbeat`.
        worker_stop_after: Duration = "35s", within(Duration::from_millis(20), HOUR);
        /// Time after the last word of a worker until its turns are given up; longer than `worker_stop_after`, so that no agent
        /// is left by then.
        worker_lease: Duration = "45s", within(Duration::from_millis(30), HOUR);
        /// How long a session's next turn waits for the worker that has its files, before it goes to any other.
        worker_sticky_wait: Duration = "10s", within(Duration::ZERO, HOUR);
        /// Whether the server describes itself (gRPC reflection) to callers with a valid credential.
        reflection: bool = "true";
        /// Least level of what is logged to standard error: `error`, `warn`, `info`, `debug` or `trace`. Audit records are
        /// logged at every level.
        log: String = "info", log_level;
        /// Form of log lines: `text` or `json`.
        log_format: LogFormat = "text";
        /// File that audit records are appended to, each chained to the one before; `quarterdeck audit verify` finds what was
        /// changed in it. A record is written and synced as soon as the disk can. A file that was moved away is followed by
        /// a new one. Empty writes none: then audit records go to standard error, whatever `log` says.
        audit_file: Option<PathBuf> = "";
    }
    /// Agents by name. `echo` and `pi` always exist.
    agents: BTreeMap<String, AgentConfig>;
    /// Servers of the Model Context Protocol by name.
    mcp_servers: BTreeMap<String, McpServerConfig>;
    /// Webhooks in by the names of their routes.
    webhooks: BTreeMap<String, WebhookConfig>;
    /// The file that was read. Agents must not see it.
    file: Option<PathBuf>;
}

settings! {
    /// A named way to run turns.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AgentConfig, keys AGENT_KEYS {
        /// What runs the turns: `echo`, `pi`, `acp`, any agent that speaks the Agent Client Protocol, `llm`, a model of any
        /// provider without any other program, or `worker`, a `quarterdeck worker` on another machine.
        driver: DriverKind = "pi";
        /// Program and first arguments of the agent's process. An agent with the driver `acp` must name its own.
        command: Vec<String> = r#"["pi"]"#, command;
        /// Further arguments, put after those that the driver gives.
        args: Vec<String> = "[]";
        /// Variables of the agent's process, besides the few that it inherits. The values are secrets and never shown.
        environment: Secrets = "{}", no_marks;
        /// Directory with pi's own settings (`models.json`, `settings.json`, `auth.json`) that each tenant's agents start
        /// from. Empty takes `~/.pi/agent`, where there is one. With the driver `acp`: files and directories that each
        /// session's home begins with, at most 256 and 16 MiB; empty is none.
        template_dir: String = "";
        /// Directories under which a session may ask for its `cwd`; without any, none may.
        cwd_roots: Vec<PathBuf> = "[]", absolute;
        /// Lets callers with the scope `workspace.read` list and read the files of the directory that a session works in,
        /// `cwd` included: regular files of one name alone. Nothing is run for that.
        workspace_read: bool = "false";
        /// Lets the same callers read what a turn changed in those files: before each turn the server copies them, at most
        /// 4,000 of at most 1 MiB each and 64 MiB together, and keeps that of a session's 16 newest turns.
        workspace_diff: bool = "false";
        /// As the server's `isolation`, and never more than it; `auto` is the same.
        isolation: IsolationWanted = "auto";
        /// As the server's `isolation_read`, for this agent besides.
        isolation_read: Vec<PathBuf> = "[]", absolute;
        /// What its processes may reach by TCP: `open`, everything, or `{ ports = [443, 8080] }`, these ports alone, of
        /// whatever address, and the one at which they call this server. They listen at ports then that the system
        /// chooses. Other protocols, DNS among them, stay open. Needs isolation, and Linux 6.7.
        network: NetworkWanted = "open";
        /// Model of sessions that name none; empty is the agent's own choice. With the driver `llm` it must be given, as the
        /// provider, a slash and the model's id, such as `openai/gpt-5-mini`. The providers `openai`, `anthropic` and `gemini`
        /// are known; any other name needs `base_url`.
        model: String = "", short;
        /// Thinking level of sessions that name none; empty is the agent's own choice.
        thinking_level: String = "", short;
        /// Mode of the agent's sessions, as the agent calls it: what it asks for, what it may do. Empty is the agent's own
        /// choice. With the driver `acp` alone.
        mode: String = "", short;
        /// Address of the model's provider, such as `http://127.0.0.1:8080/v1`; empty is that of a known one. With the driver
        /// `llm` alone, like the next eight.
        base_url: String = "", http_url;
        /// API that is spoken there: `chat` (OpenAI's chat completions and all that is compatible), `responses` (OpenAI's),
        /// `anthropic` or `gemini`. `auto` is a known provider's own, where `base_url` is empty, else `chat`.
        api: ApiWanted = "auto";
        /// Key of the provider. A secret, never shown. Where it and `api_key_file` are empty a known provider's usual variable
        /// is read: OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY.
        api_key: Secret = "";
        /// File that holds that key and nothing else, read at start.
        api_key_file: String = "";
        /// What the model is told before every conversation.
        instructions: String = "", instructions;
        /// Servers of the Model Context Protocol whose tools the model may call, by their names in `mcp_servers`. Each call is
        /// asked for, unless `tool_policy` says otherwise, by the name `mcp__SERVER__TOOL`.
        mcp_servers: Vec<String> = "[]", few_servers;
        /// Whether the model is given the gateway's memory tools, which need nobody's permission unless `tool_policy` says
        /// otherwise. A model that takes no tools needs `false`.
        memory_tools: bool = "true";
        /// Tokens that one answer of the model may have; 0 is the provider's own bound.
        max_output_tokens: u64 = "0", within(0, 10_000_000);
        /// Models that its sessions may choose besides `model`, as that is written and of the same provider; empty asks the
        /// provider which it has.
        models: Vec<String> = "[]", few_words;
        /// Who may run this agent as a worker, each `tenant/subject`, with the scope `worker.connect`; one of another tenant than
        /// `default` gets turns of its own tenant alone. With the driver `worker` alone, like the next.
        worker_principals: Vec<String> = "[]", few_words;
        /// Labels that its workers must have, each `name=value`.
        worker_labels: Vec<String> = "[]", worker_labels;
        /// What a crash of the server, or the loss of a worker, does to a running turn: `mark` ends it INTERRUPTED, `retry` runs it again.
        on_interrupt: OnInterrupt = "mark";
        /// Starts of one turn at most, with `retry`.
        max_attempts: u64 = "3", within(1, 100);
        /// What to do where the agent asks for a permission, a form or a link and nobody is there: `wait` until it is
        /// answered or expires, or `deny` at once. A session may say otherwise.
        no_approver: NoApprover = "wait";
        /// What the agent may run without asking, or not at all: `"allow read"`, `"ask bash"`, `"deny mcp__*"`. Its denials
        /// bind; a session's own rules stand before the others. It counts where the agent asks.
        tool_policy: Vec<ToolRule> = "[]", few_rules;
        /// Options of the agent, by the ids that `quarterdeck options` shows, that every user of a session may set. The others
        /// need the scope `session.approve`: some say what the agent does without asking.
        options_allowed: Vec<String> = "[]", few_words;
        /// As the server's `question_ttl`, which counts where this is not set. A session may say otherwise.
        question_ttl: Duration = "1h", within(SECOND, question::TTL_MAX);
        /// Commands of the agent's own that whoever may use a session may run without `session.approve`, also as a prompt
        /// that begins with a slash and the name; `"*"` is all of them. Any other prompt is a text, whatever it begins
        /// with.
        commands_allowed: Vec<String> = "[]", command_names;
        /// How long the process may take to answer for the first time.
        start_timeout: Duration = "60s", within(SECOND, HOUR);
        /// Processes and threads that the server's user may have, over all agents, when this agent starts another one; with
        /// isolation `namespace` only this agent's are counted. 0 is none of our own bound.
        max_processes: u64 = "16384", zero_or(64, 4_194_304);
        /// Files that one process of the agent may have open; 0 is the server's own bound.
        max_open_files: u64 = "65536", zero_or(64, 1_048_576);
        /// Size of one file that the agent writes; 0 is the server's own bound.
        max_file_bytes: Size = "64GiB", zero_or(Size(MIB), Size(1024 * TIB));
        /// Memory that one process of the agent may write to; 0 is none of our own bound.
        max_memory_bytes: Size = "0", zero_or(Size(256 * MIB), Size(TIB));
    }
}

settings! {
    /// A server of the Model Context Protocol whose tools `llm` agents may have.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct McpServerConfig, keys MCP_SERVER_KEYS {
        /// Its address, such as `https://tools.example.org/mcp`, by streamable HTTP. Either this or `command`.
        url: String = "", http_url;
        /// Its program and arguments, such as `["npx", "-y", "some-server"]`: it speaks by its standard input and output. Each
        /// session has one of its own, in the session's directory, kept apart as the agent's processes are; it ends with the agent and
        /// where a turn is stopped.
        command: Vec<String> = "[]";
        /// Variables of that program, besides the few that it inherits. The values are secrets and never shown.
        environment: Secrets = "{}", no_marks;
        /// Headers of every call to it. The values are secrets and never shown; none is taken from a caller.
        headers: Secrets = "{}", headers;
        /// How long one call of a tool may take; progress that the server tells begins it anew.
        timeout: Duration = "60s", within(SECOND, HOUR);
    }
}

settings! {
    /// Where another program posts what has happened, at `/webhooks/NAME`: each delivery becomes a turn.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct WebhookConfig, keys WEBHOOK_KEYS {
        /// How deliveries are signed: `standard` (Standard Webhooks), `github`, `stripe`, `slack`, `linear`, or `pi`, which brings
        /// the secret itself in the header `x-pi-webhook-secret`.
        kind: WebhookKind = "standard";
        /// What they are signed with, by names of one's own, such as `{ now = "whsec_…", next = "whsec_…" }`: any of them counts.
        /// Never shown.
        secrets: Secrets = "{}", few_secrets;
        /// Who deliveries act as, `tenant/subject`; sessions that they make are its.
        principal: String = "", short;
        /// What they may do besides; a turn needs `session.write`.
        scopes: Vec<String> = r#"["session.write"]"#, known_scopes;
        /// Key of the session of each delivery. `{route}`, `{sender}`, `{event}`, `{id}` and places in the body, such as
        /// `{/issue/number}`, are put in, escaped, so that no two values make one key.
        session_key: String = "webhook:{route}:{sender}", webhook_template;
        /// Place in the body of who caused a delivery, such as `/user/name`; empty is where the kind has it.
        sender: String = "", short;
        /// Text of each turn, by the same names and `{body}`, all of it. Empty is `{body}`, of `pi` `{/text}`.
        text: String = "", webhook_template;
        /// Agent of sessions that it makes; empty is the server's `default_agent`.
        agent: String = "", short;
        /// What to do while a turn is active or waits in the session: `enqueue` or `reject`.
        on_busy: WebhookBusy = "enqueue";
        /// What to do where an agent of a session that it made asks and nobody is there: `deny` or `wait`.
        no_approver: NoApprover = "deny";
    }
}

/// Where settings come from, besides the defaults.
#[derive(Clone, Default)]
pub struct Sources {
    /// A file that was named; it must exist. `None` takes `QUARTERDECK_CONFIG`, else [`DEFAULT_FILE`] if there is one.
    pub file: Option<PathBuf>,
    /// The environment; variables that don't begin with [`VARIABLE_PREFIX`] are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags of `serve`: name of the key and its value.
    pub flags: Vec<(String, String)>,
    /// Further `cwd_roots` for every agent.
    pub allow_cwd: Vec<PathBuf>,
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File and line, variable or flag.
    pub place: String,
    /// What is wrong, for people.
    pub problem: String,
}

// === impl Key ===

impl<T> Key<T> {
    /// The value of an owner, as TOML; secrets replaced.
    pub fn toml(&self, owner: &T) -> String {
        (self.toml)(owner)
    }
}

// === impl Config ===

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(sources: Sources) -> Result<Self, ConfigErrors> {
        let Sources {
            file,
            environment,
            flags,
            allow_cwd,
        } = sources;
        let mut loader = Loader::new();
        let environment = loader.our_variables(environment);
        let file = file.or_else(|| {
            let named = environment.iter().find(|(name, _)| name == "CONFIG");
            named.map(|(_, path)| path.into())
        });
        loader.file(file);
        for (name, value) in &environment {
            loader.variable(name, value);
        }
        for (name, value) in &flags {
            loader.flag(name, value);
        }
        for root in allow_cwd {
            match std::path::absolute(&root) {
                Ok(root) => {
                    for agent in loader.config.agents.values_mut() {
                        agent.cwd_roots.push(root.clone());
                    }
                }
                Err(error) => loader.error("flag --allow-cwd", error.to_string()),
            }
        }
        loader.finish()
    }

    /// Reads the text of a file as the only source.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let mut loader = Loader::new();
        loader.toml(name, text);
        loader.finish()
    }

    /// Says whether these settings may be served at all.
    ///
    /// # Errors
    /// What is open to whom, and what to set instead.
    pub fn exposure(&self) -> Result<(), Exposed> {
        let tls = self.tls_certificate.is_some();
        exposure::check(self.listen, self.no_auth, tls, self.insecure_behind_proxy)
    }

    /// Places for running turns that are kept for tenants of which nothing runs.
    pub fn reserved_running_turns(&self) -> usize {
        quotas::reserved(self.reserved_running_turns, self.max_running_turns)
    }

    /// Turns that one tenant may run at once.
    pub fn tenant_running_turns(&self) -> usize {
        let rest = self.max_running_turns - self.reserved_running_turns();
        self.tenant_max_running_turns
            .of(self.max_running_turns, rest)
    }

    /// Agents that one tenant may have awake at once.
    pub fn tenant_awake_agents(&self) -> usize {
        let all = self.max_awake_agents;
        self.tenant_max_awake_agents.of(all, all)
    }

    /// Turns of one tenant that may wait for an answer at once.
    pub fn tenant_asking_turns(&self) -> usize {
        let all = self.tenant_running_turns();
        self.tenant_max_asking_turns.of(all, all)
    }

    /// The configuration as a file with comments. Secrets are replaced by `(set)`.
    pub fn to_toml(&self) -> String {
        let mut text = String::from(
            "# Quarterdeck's configuration. Every key may also be given as a variable, QUARTERDECK_ and the key in\n\
             # capitals (agents: QUARTERDECK_AGENTS__NAME__KEY), and to `serve` as a flag. Later ones win:\n\
             # defaults, file, environment, flags.\n\n",
        );
        write_keys(&mut text, KEYS, self, |_| true);
        for (name, agent) in &self.agents {
            text.push_str(&format!("[agents.{name}]\n"));
            write_keys(&mut text, AGENT_KEYS, agent, |key| match agent.driver {
                DriverKind::Echo => ECHO_KEYS.contains(&key),
                DriverKind::Pi => {
                    key != "mode"
                        && !LLM_ONLY_KEYS.contains(&key)
                        && !WORKER_ONLY_KEYS.contains(&key)
                }
                DriverKind::Acp => {
                    !LLM_ONLY_KEYS.contains(&key) && !WORKER_ONLY_KEYS.contains(&key)
                }
                DriverKind::Llm => LLM_KEYS.contains(&key) || LLM_ONLY_KEYS.contains(&key),
                DriverKind::Worker => ECHO_KEYS.contains(&key) || WORKER_ONLY_KEYS.contains(&key),
            });
        }
        for (name, server) in &self.mcp_servers {
            text.push_str(&format!("[mcp_servers.{name}]\n"));
            write_keys(&mut text, MCP_SERVER_KEYS, server, |_| true);
        }
        for (name, webhook) in &self.webhooks {
            text.push_str(&format!("[webhooks.{name}]\n"));
            write_keys(&mut text, WEBHOOK_KEYS, webhook, |_| true);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    /// The defaults, with the agents that always exist.
    pub fn with_builtin_agents() -> Self {
        let mut config = Self::default();
        for (name, driver) in [("echo", DriverKind::Echo), ("pi", DriverKind::Pi)] {
            let agent = AgentConfig {
                driver,
                ..AgentConfig::default()
            };
            config.agents.insert(name.into(), agent);
        }
        config
    }
}

fn write_keys<T>(text: &mut String, keys: &[Key<T>], owner: &T, shown: impl Fn(&str) -> bool) {
    for key in keys.iter().filter(|key| shown(key.name)) {
        for line in key.doc {
            text.push_str(&format!("#{line}\n"));
        }
        text.push_str(&format!("{} = {}\n\n", key.name, (key.toml)(owner)));
    }
}

// === impl ConfigErrors ===

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ConfigError { place, problem }) in self.0.iter().enumerate() {
            if number > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{place}: {problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
