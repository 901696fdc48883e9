//! Reads the sources one after another into one configuration, and keeps every problem with its place.

use super::{
    AGENT_KEYS, AUTO_AGENT, AgentConfig, Config, ConfigError, ConfigErrors, DEFAULT_FILE,
    DriverKind, Exposed, FILE_MAX_BYTES, IsolationWanted, KEYS, Key, LLM_ONLY_KEYS,
    MCP_SERVER_KEYS, McpServerConfig, Raw, Setting as _, TenantPlaces, VARIABLE_PREFIX,
    WEBHOOK_KEYS, WORKER_ONLY_KEYS, WebhookConfig,
};
use crate::{
    agent::llm::{KnownProvider, ModelName, OWN_SERVER},
    domain::{SessionKey, agent::ToolPolicySupport, ids::OPERATOR_TENANT, tool_policy::ToolAction},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Variables that are no keys: the file's name, what client commands read, and the marks on agents' processes.
const OTHER_VARIABLES: [&str; 9] = [
    "CONFIG",
    "ADDR",
    "KEY",
    "KEY_FILE",
    "CA",
    "CERT",
    "CLIENT_KEY",
    "NODE",
    "PROCESS",
];
/// Beginnings of variables that are no keys: what the project's tests read, and what Kubernetes sets in every
/// container beside a service that is called `quarterdeck`.
const OTHER_BEGINNINGS: [&str; 4] = ["TEST_", "SERVICE_HOST", "SERVICE_PORT", "PORT"];
/// Longest name of an agent or a server, in bytes.
const NAME_MAX_BYTES: usize = 63;

/// What has a name and keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Agent,
    McpServer,
    Webhook,
}

/// A configuration that is being read.
pub(super) struct Loader {
    pub(super) config: Config,
    /// Where a key's value came from, for checks that look at several keys.
    places: BTreeMap<String, String>,
    errors: Vec<ConfigError>,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 3] = [Self::Agent, Self::McpServer, Self::Webhook];

    /// The table that holds all of them.
    fn table(self) -> &'static str {
        match self {
            Self::Agent => "agents",
            Self::McpServer => "mcp_servers",
            Self::Webhook => "webhooks",
        }
    }

    fn whose(self) -> &'static str {
        match self {
            Self::Agent => "an agent's",
            Self::McpServer => "a server's",
            Self::Webhook => "a webhook's",
        }
    }
}

// === impl Loader ===

impl Loader {
    pub(super) fn new() -> Self {
        Self {
            config: Config::with_builtin_agents(),
            places: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.errors.push(ConfigError {
            place: place.into(),
            problem: problem.into(),
        });
    }

    /// Our variables, without their prefix.
    pub(super) fn our_variables(
        &mut self,
        environment: Vec<(OsString, OsString)>,
    ) -> Vec<(String, String)> {
        let mut ours = Vec::new();
        for (name, value) in environment {
            let name = name.to_string_lossy();
            let Some(name) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            match value.into_string() {
                Ok(value) => ours.push((name.to_owned(), value)),
                Err(_) => self.error(variable_place(name), "is not UTF-8"),
            }
        }
        ours.sort();
        ours
    }

    pub(super) fn file(&mut self, named: Option<PathBuf>) {
        let path = named.as_deref().unwrap_or_else(|| Path::new(DEFAULT_FILE));
        match read_file(path) {
            Ok(text) => {
                self.config.file = Some(path.to_owned());
                self.toml(&path.display().to_string(), &text);
            }
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.error(
                path.display().to_string(),
                format!("can't be read: {error}"),
            ),
        }
    }

    pub(super) fn toml(&mut self, file: &str, text: &str) {
        let (table, errors) = toml::de::DeTable::parse_recoverable(text);
        let place = |start: usize| {
            let before = text.as_bytes().get(..start).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            format!("{file}:{line}")
        };
        for error in errors {
            let start = error.span().map_or(0, |span| span.start);
            self.error(place(start), error.message());
        }
        for (key, value) in in_order(table.get_ref()) {
            let place_here = place(key.span().start);
            let Some(kind) = Kind::ALL.into_iter().find(|it| it.table() == key.get_ref()) else {
                self.toml_key(None, key.get_ref(), value.get_ref(), place_here);
                continue;
            };
            let table = kind.table();
            let Some(named) = value.get_ref().as_table() else {
                self.error(
                    place_here,
                    format!("{table} must be tables: [{table}.NAME]"),
                );
                continue;
            };
            for (name, agent) in in_order(named) {
                let place_here = place(name.span().start);
                let name = name.get_ref();
                let Some(keys) = agent.get_ref().as_table() else {
                    self.error(place_here, format!("{table}.{name} must be a table"));
                    continue;
                };
                if !self.named(kind, name, &place_here) {
                    continue;
                }
                for (key, value) in in_order(keys) {
                    let place_here = place(key.span().start);
                    self.toml_key(
                        Some((kind, name)),
                        key.get_ref(),
                        value.get_ref(),
                        place_here,
                    );
                }
            }
        }
    }

    fn toml_key(
        &mut self,
        owner: Option<(Kind, &str)>,
        name: &str,
        value: &toml::de::DeValue<'_>,
        place: String,
    ) {
        let raw = Raw::from_toml(value);
        self.apply(owner, name, raw, place);
    }

    pub(super) fn variable(&mut self, name: &str, value: &str) {
        let other = OTHER_BEGINNINGS.iter().any(|begin| name.starts_with(begin));
        if other || OTHER_VARIABLES.contains(&name) {
            return;
        }
        let place = variable_place(name);
        let lower = name.to_ascii_lowercase();
        let raw = Raw::from_text(value);
        let of_kind = |kind: Kind| {
            let rest = lower.strip_prefix(kind.table())?.strip_prefix("__")?;
            Some((kind, rest))
        };
        let Some((kind, path)) = Kind::ALL.into_iter().find_map(of_kind) else {
            self.apply(None, &lower, raw, place);
            return;
        };
        let Some((owner, key)) = path.split_once("__") else {
            let table = kind.table().to_ascii_uppercase();
            self.error(place, format!("must be QUARTERDECK_{table}__NAME__KEY"));
            return;
        };
        if self.named(kind, owner, &place) {
            self.apply(Some((kind, owner)), key, raw, place);
        }
    }

    pub(super) fn flag(&mut self, name: &str, value: &str) {
        let place = format!("flag --{}", name.replace('_', "-"));
        let raw = Raw::from_text(value);
        self.apply(None, name, raw, place);
    }

    /// Makes sure that the agent or server exists; `false` where it can't.
    fn named(&mut self, kind: Kind, name: &str, place: &str) -> bool {
        let exists = match kind {
            Kind::Agent => self.config.agents.contains_key(name),
            Kind::McpServer => self.config.mcp_servers.contains_key(name),
            Kind::Webhook => self.config.webhooks.contains_key(name),
        };
        if exists {
            return true;
        }
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = name.bytes().next().is_some_and(allowed);
        let rest = name
            .bytes()
            .all(|byte| allowed(byte) || b"_-".contains(&byte));
        if !first || !rest || name.len() > NAME_MAX_BYTES {
            let whose = kind.whose();
            self.error(
                place,
                format!("{whose} name must match [a-z0-9][a-z0-9_-]{{0,62}}, found `{name}`"),
            );
            return false;
        }
        if kind == Kind::Agent && name == AUTO_AGENT {
            self.error(
                place,
                "no agent may be called `auto`: as default_agent it has one chosen",
            );
            return false;
        }
        let path = format!("{}.{name}", kind.table());
        self.places.insert(path, place.to_owned());
        match kind {
            Kind::Agent => {
                let agent = AgentConfig::default();
                self.config.agents.insert(name.to_owned(), agent);
            }
            Kind::McpServer => {
                let server = McpServerConfig::default();
                self.config.mcp_servers.insert(name.to_owned(), server);
            }
            Kind::Webhook => {
                let webhook = WebhookConfig::default();
                self.config.webhooks.insert(name.to_owned(), webhook);
            }
        }
        true
    }

    /// Sets one key of the configuration, or of an agent or a server that exists.
    fn apply(
        &mut self,
        owner: Option<(Kind, &str)>,
        name: &str,
        raw: Result<Raw, String>,
        place: String,
    ) {
        let path = match owner {
            None => name.to_owned(),
            Some((kind, owner)) => format!("{}.{owner}.{name}", kind.table()),
        };
        let result = raw.and_then(|raw| match owner {
            None => apply_key(KEYS, &mut self.config, name, &raw),
            Some((Kind::Agent, agent)) => {
                let owner = self.config.agents.entry(agent.to_owned()).or_default();
                apply_key(AGENT_KEYS, owner, name, &raw)
            }
            Some((Kind::McpServer, server)) => {
                let owner = self
                    .config
                    .mcp_servers
                    .entry(server.to_owned())
                    .or_default();
                apply_key(MCP_SERVER_KEYS, owner, name, &raw)
            }
            Some((Kind::Webhook, route)) => {
                let owner = self.config.webhooks.entry(route.to_owned()).or_default();
                apply_key(WEBHOOK_KEYS, owner, name, &raw)
            }
        });
        if let Err(problem) = result {
            self.error(place.clone(), format!("{path}: {problem}"));
        }
        self.places.insert(path, place);
    }

    /// Checks that look at several keys.
    pub(super) fn finish(mut self) -> Result<Config, ConfigErrors> {
        let mut problems = together(&self.config);
        for (name, agent) in &mut self.config.agents {
            if !self
                .places
                .contains_key(&format!("agents.{name}.question_ttl"))
            {
                agent.question_ttl = self.config.question_ttl;
            }
        }
        for name in self.config.agents.keys() {
            let (agent, driver) = (format!("agents.{name}"), format!("agents.{name}.driver"));
            if self.places.contains_key(&agent) && !self.places.contains_key(&driver) {
                problems.push((
                    agent.clone(),
                    "needs a `driver`: echo, pi, acp or llm".into(),
                ));
            }
            let AgentConfig {
                driver: kind,
                tool_policy,
                ..
            } = &self.config.agents[name];
            let kind = *kind;
            if let Some(rule) = tool_policy.iter().find(|it| it.action == ToolAction::Deny)
                && kind.tool_policy() == ToolPolicySupport::None
            {
                let problem = format!(
                    "`{rule}` can't be kept to: an agent with the driver {} never asks before it runs a tool; take the rule out, and \
                     keep the tool from it by its own settings",
                    kind.name()
                );
                problems.push((format!("{agent}.tool_policy"), problem));
            }
            let (command, mode) = (format!("{agent}.command"), format!("{agent}.mode"));
            if kind == DriverKind::Acp && !self.places.contains_key(&command) {
                let problem = "names the program of an agent that speaks the Agent Client Protocol, such as [\"opencode\", \"acp\"]";
                problems.push((command, problem.into()));
            }
            problems.extend(llm(name, &self.config.agents[name], &self.places));
            if kind == DriverKind::Worker && self.config.agents[name].worker_principals.is_empty() {
                let problem = "names who may run it as a worker, such as [\"default/builder\"]; without any nobody may";
                problems.push((format!("{agent}.worker_principals"), problem.into()));
            }
            if kind != DriverKind::Worker {
                let stray = WORKER_ONLY_KEYS.map(|key| format!("{agent}.{key}"));
                let stray = stray
                    .into_iter()
                    .filter(|key| self.places.contains_key(key));
                let problem = "means nothing without driver = \"worker\"";
                problems.extend(stray.map(|key| (key, problem.to_owned())));
            }
            if kind != DriverKind::Acp && self.places.contains_key(&mode) {
                problems.push((mode, "means nothing without driver = \"acp\"".into()));
            }
        }
        for (name, server) in &self.config.mcp_servers {
            if name == OWN_SERVER {
                let problem = "is the name of the gateway's own tools; take another one";
                problems.push((format!("mcp_servers.{name}"), problem.into()));
            }
            match (server.url.is_empty(), server.command.is_empty()) {
                (true, false) | (false, true) => {}
                (true, true) => {
                    let problem = "needs a `url`, or the `command` of a program";
                    problems.push((format!("mcp_servers.{name}"), problem.into()));
                }
                (false, false) => {
                    let problem = "is given, and so is url; give one of them";
                    problems.push((format!("mcp_servers.{name}.command"), problem.into()));
                }
            }
        }
        problems.extend(webhooks(&self.config));
        for (key, problem) in problems {
            let place = self.places.get(&key).cloned();
            self.error(
                place.unwrap_or_else(|| "default".into()),
                format!("{key}: {problem}"),
            );
        }
        if self.errors.is_empty() {
            Ok(self.config)
        } else {
            Err(ConfigErrors(self.errors))
        }
    }
}

/// What is wrong with how a model is reached, or with keys that are not for an agent's driver.
fn llm(
    name: &str,
    agent: &AgentConfig,
    places: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let key = |key: &str| format!("agents.{name}.{key}");
    if agent.driver != DriverKind::Llm {
        let stray = LLM_ONLY_KEYS.into_iter().map(key);
        let stray = stray.filter(|it| places.contains_key(it));
        return stray
            .map(|it| (it, "means nothing without driver = \"llm\"".to_owned()))
            .collect();
    }
    let mut problems = vec![];
    match ModelName::parse(&agent.model) {
        Err(expected) => problems.push((key("model"), expected.to_owned())),
        Ok(model)
            if agent.base_url.is_empty() && KnownProvider::find(&model.provider).is_none() =>
        {
            let problem = format!(
                "says where `{}` is, for its address is not known; known are openai, anthropic and gemini",
                model.provider
            );
            problems.push((key("base_url"), problem));
        }
        Ok(_) => {}
    }
    if !agent.api_key.is_empty() && !agent.api_key_file.is_empty() {
        let problem = "is given, and so is api_key_file; give one of them";
        problems.push((key("api_key"), problem.to_owned()));
    }
    problems
}

/// What is wrong with values that are each in their bounds: keys and problems.
pub(super) fn together(config: &Config) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    if let Err(Exposed { key, problem }) = config.exposure() {
        problems.push((key.to_owned(), problem));
    }
    if config.worker_stop_after < 2 * config.worker_heartbeat {
        let problem = "must be at least twice worker_heartbeat";
        problems.push(("worker_stop_after".to_owned(), problem.to_owned()));
    }
    if config.worker_lease <= config.worker_stop_after {
        let problem = "must be longer than worker_stop_after: a worker ends its agents before its turns are given up";
        problems.push(("worker_lease".to_owned(), problem.to_owned()));
    }
    let certificate = ("tls_certificate", config.tls_certificate.is_some());
    let key = ("tls_key", config.tls_key.is_some());
    let client_ca = ("tls_client_ca", config.tls_client_ca.is_some());
    let client_required = ("tls_client_required", config.tls_client_required);
    for ((name, set), (other, there)) in [
        (certificate, key),
        (key, certificate),
        (client_ca, certificate),
        (client_required, client_ca),
    ] {
        if set && !there {
            problems.push((
                name.to_owned(),
                format!("means nothing without {other}; set both"),
            ));
        }
    }
    if !config.jwt_issuer.is_empty() && config.jwt_audience.is_empty() {
        problems.push((
            "jwt_audience".to_owned(),
            "must be set with jwt_issuer, or tokens that the issuer made for others would be taken"
                .to_owned(),
        ));
    }
    if !config.certificate_principals.0.is_empty() && config.tls_client_ca.is_none() {
        problems.push((
            "certificate_principals".to_owned(),
            "means nothing without tls_client_ca; set both".to_owned(),
        ));
    }
    if let Some(address) = config.metrics_listen
        && !address.ip().to_canonical().is_loopback()
        && !config.metrics_anywhere
    {
        problems.push((
            "metrics_listen".to_owned(),
            format!(
                "{address} is reachable from other machines, and the token would cross the network in the clear; listen on \
                 127.0.0.1, or keep strangers out by other means and set metrics_anywhere = true"
            ),
        ));
    }
    if config.default_agent != AUTO_AGENT && !config.agents.contains_key(&config.default_agent) {
        let names: Vec<&str> = config.agents.keys().map(String::as_str).collect();
        problems.push((
            "default_agent".to_owned(),
            format!(
                "no agent is called `{}`; there are: {}; or auto",
                config.default_agent,
                names.join(", ")
            ),
        ));
    }
    for (name, agent) in &config.agents {
        let unknown = (agent.mcp_servers.iter()).find(|it| !config.mcp_servers.contains_key(*it));
        if let Some(server) = unknown {
            let problem = format!("there is no [mcp_servers.{server}]");
            problems.push((format!("agents.{name}.mcp_servers"), problem));
        }
        let own = agent.isolation;
        if own != IsolationWanted::Auto && own > config.isolation {
            problems.push((
                format!("agents.{name}.isolation"),
                format!(
                    "an agent may have less isolation than the server, never more: it is `{}`, the server's `{}`; \
                     raise the server's",
                    own.name(),
                    config.isolation.name()
                ),
            ));
        }
    }
    if config.tenants_share_agents_user
        && config.isolation != IsolationWanted::None
        && (config.agents.values()).all(|agent| agent.isolation != IsolationWanted::None)
    {
        problems.push((
            "tenants_share_agents_user".to_owned(),
            "means nothing where agents are isolated; it goes with isolation = \"none\"".to_owned(),
        ));
    }
    if config.max_awake_agents < config.max_running_turns {
        problems.push((
            "max_awake_agents".to_owned(),
            format!(
                "must be at least max_running_turns ({}), for a running turn holds its agent awake",
                config.max_running_turns
            ),
        ));
    }
    problems.extend(places(config));
    if !config.memory_key.is_empty() && !config.memory_key_file.is_empty() {
        let problem = "is given, and so is memory_key_file; secrets are sealed with one key, so give one of them";
        problems.push(("memory_key".to_owned(), problem.to_owned()));
    }
    if !config.embeddings_url.is_empty() && config.embeddings_model.is_empty() {
        let problem = "needs embeddings_model, the name of the model at that address";
        problems.push(("embeddings_url".to_owned(), problem.to_owned()));
    }
    problems
}

/// What is wrong with the places of all and those of one tenant, or with the times for which they may be held.
fn places(config: &Config) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let free = config.max_running_turns - config.reserved_running_turns();
    if matches!(config.tenant_max_running_turns, TenantPlaces::AtMost(places) if places > free) {
        problems.push((
            "tenant_max_running_turns".to_owned(),
            format!(
                "must be at most {free} (max_running_turns without reserved_running_turns), so that another tenant finds a \
                 place; or auto, or 0"
            ),
        ));
    }
    let all = config.max_awake_agents;
    if matches!(config.tenant_max_awake_agents, TenantPlaces::AtMost(places) if places > all) {
        problems.push((
            "tenant_max_awake_agents".to_owned(),
            format!("must be at most max_awake_agents ({all}); or auto, or 0"),
        ));
    }
    if config.turn_timeout > config.max_turn_timeout {
        problems.push((
            "turn_timeout".to_owned(),
            format!(
                "must be at most max_turn_timeout ({})",
                config.max_turn_timeout.write()
            ),
        ));
    }
    problems
}

/// Entries as they stand in the file; the table itself sorts them by name.
fn in_order<'t, 'i>(
    table: &'t toml::de::DeTable<'i>,
) -> Vec<(
    &'t toml::Spanned<toml::de::DeString<'i>>,
    &'t toml::Spanned<toml::de::DeValue<'i>>,
)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn variable_place(name: &str) -> String {
    format!("variable {VARIABLE_PREFIX}{name}")
}

pub(super) fn apply_key<T>(
    keys: &[Key<T>],
    owner: &mut T,
    name: &str,
    raw: &Raw,
) -> Result<(), String> {
    let Some(key) = keys.iter().find(|key| key.name == name) else {
        return Err("there is no such key; `quarterdeck print-config --default` shows all".into());
    };
    (key.apply)(owner, raw)
}

fn read_file(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_MAX_BYTES {
        return Err(io::Error::other(format!(
            "larger than {FILE_MAX_BYTES} bytes"
        )));
    }
    fs::read_to_string(path)
}

/// What is wrong with webhooks: none is open to the world, and each acts as somebody.
fn webhooks(config: &Config) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for (name, webhook) in &config.webhooks {
        let mut wrong = |key: &str, problem: &str| {
            problems.push((format!("webhooks.{name}.{key}"), problem.to_owned()));
        };
        if webhook.secrets.0.is_empty() {
            wrong(
                "secrets",
                "needs one at least, such as { now = \"whsec_…\" }",
            );
        }
        let parts = webhook.principal.split_once('/');
        let named = |name: &str| SessionKey::parse(name).is_ok();
        match parts {
            Some((tenant, subject)) if named(tenant) && named(subject) => {
                if config.no_auth && tenant != OPERATOR_TENANT {
                    wrong(
                        "principal",
                        "with no_auth the tenant `default` alone is served",
                    );
                }
            }
            Some(_) | None => wrong(
                "principal",
                "must be who its deliveries act as, tenant/subject, such as default/github",
            ),
        }
        if !webhook.sender.is_empty() && !webhook.sender.starts_with('/') {
            wrong("sender", "must be a place in the body, such as /user/name");
        }
        if !webhook.agent.is_empty() && !config.agents.contains_key(&webhook.agent) {
            wrong("agent", "there is no such agent");
        }
    }
    problems
}
