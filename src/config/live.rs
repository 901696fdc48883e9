//! The configuration while the server runs: what file, environment and flags said, and above it what UpdateConfig has set.
//!
//! Which keys may be read, and which may change, stands in two lists here; a key that is in neither is shown to nobody.
//! Values that a newer or older program refuses are left out, with a warning: they must not keep a server from starting.

use super::{
    Config, KEYS, Key, Raw,
    load::{apply_key, together},
};
use crate::domain::Refusal;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// Keys that an UpdateConfig may change: nothing that names a file, a program, an address or a secret.
pub const UPDATABLE: &[&str] = &[
    "queue_limit_turns",
    "queue_limit_bytes",
    "turn_timeout",
    "max_turn_timeout",
    "drain_timeout",
    "agent_idle_timeout",
    "max_running_turns",
    "reserved_running_turns",
    "max_awake_agents",
    "max_sessions",
    "principal_max_sessions",
    "tenant_max_sessions",
    "principal_max_bytes",
    "tenant_max_bytes",
    "principal_max_queue_bytes",
    "tenant_max_queue_bytes",
    "principal_max_running_turns",
    "tenant_max_running_turns",
    "principal_max_awake_agents",
    "tenant_max_awake_agents",
    "tenant_max_asking_turns",
    "max_streams",
    "auth_failures_per_minute",
    "principal_requests_per_second",
    "tenant_requests_per_second",
    "principal_max_streams",
    "tenant_max_streams",
    "principal_max_waits",
    "tenant_max_waits",
    "retention_events",
    "retention_age",
    "history_retention",
    "disk_reserve",
    "max_key_ttl",
    "tenant_max_keys",
    "log",
];

/// Keys that GetConfig shows besides those. No secret, and no path of a file that holds one.
const SHOWN: &[&str] = &[
    "listen",
    "default_agent",
    "primary_session",
    "question_ttl",
    "isolation",
    "agent_uids",
    "isolation_tmp_max_bytes",
    "tenants_share_agents_user",
    "memory_scope_limit",
    "memory_tenant_limit",
    "tls_client_required",
    "no_auth",
    "worker_heartbeat",
    "worker_stop_after",
    "worker_lease",
    "worker_sticky_wait",
    "webhook_private_addresses",
    "answer_link_url",
    "answer_link_ttl",
    "reflection",
    "allowed_hosts",
    "max_connections",
    "max_connections_per_address",
    "first_call_timeout",
    "connection_age_max",
    "connection_age_grace",
    "serve_threads",
    "insecure_behind_proxy",
    "grpc_web",
    "http",
    "grpc_web_origins",
    "console",
    "jwt_issuer",
    "jwt_audience",
    "jwt_algorithms",
    "jwt_private_addresses",
    "jwt_refresh_min",
    "jwt_tenant_claim",
    "jwt_subject_claim",
    "jwt_scope_claim",
    "jwt_default_scopes",
    "log_format",
    "memory_core_max_tokens",
    "memory_matches_max",
    "memory_recall_timeout",
    "mcp",
    "embeddings_model",
    "embeddings_batch",
    "embeddings_timeout",
    "metrics_listen",
    "metrics_anywhere",
    "otlp_endpoint",
    "prices",
];

/// Keys that are shown to nobody; each key stands in one of the lists.
#[cfg(test)]
const HIDDEN: &[&str] = &[
    "memory_key_file",
    "memory_key",
    "metrics_token_file",
    "data_dir",
    "isolation_read",
    "audit_file",
    "listen_unix",
    "tls_certificate",
    "tls_key",
    "tls_client_ca",
    "embeddings_url",
    "embeddings_key",
    "jwt_jwks_url",
    "certificate_principals",
];

/// What UpdateConfig has set: keys and values, as they would stand in variables.
pub type Overrides = BTreeMap<String, String>;

/// The configuration as it is now.
pub struct LiveConfig {
    /// What file, environment and flags say.
    base: Config,
    current: watch::Sender<Current>,
}

/// A configuration, and what of it UpdateConfig has set.
#[derive(Clone, Debug)]
pub struct Current {
    /// All keys.
    pub config: Arc<Config>,
    /// Those of UpdateConfig.
    pub overrides: Arc<Overrides>,
}

/// A change that fits; [`LiveConfig::set`] makes it the present.
#[derive(Clone, Debug)]
pub struct Checked(Current);

// === impl LiveConfig ===

impl LiveConfig {
    /// Puts what was kept above what the sources say.
    pub fn new(base: Config, kept: Overrides) -> Self {
        let mut config = base.clone();
        let mut overrides = Overrides::new();
        for (name, value) in kept {
            let mut with = config.clone();
            match set(&mut with, &name, &value) {
                Ok(()) if together(&with).is_empty() => {
                    config = with;
                    overrides.insert(name, value);
                }
                Ok(()) | Err(_) => {
                    tracing::warn!(
                        key = name,
                        "what UpdateConfig once set for {name} does not fit any more; it is left out"
                    );
                }
            }
        }
        let current = Current {
            config: Arc::new(config),
            overrides: Arc::new(overrides),
        };
        Self {
            base,
            current: watch::Sender::new(current),
        }
    }

    /// As it is now.
    pub fn current(&self) -> Current {
        self.current.borrow().clone()
    }

    /// Tells of each change; the newest counts.
    pub fn subscribe(&self) -> watch::Receiver<Current> {
        self.current.subscribe()
    }

    /// Checks a change: all of it fits, or none is taken.
    ///
    /// # Errors
    /// `INVALID_FIELD` with everything that is wrong.
    pub fn check(&self, values: Overrides, clear: &[String]) -> Result<Checked, Refusal> {
        let mut wrong = Vec::new();
        let mut overrides = (*self.current().overrides).clone();
        for (index, name) in clear.iter().enumerate() {
            if !UPDATABLE.contains(&name.as_str()) {
                wrong.push((format!("clear[{index}]"), cannot_change(name)));
            } else if values.contains_key(name) {
                wrong.push((format!("clear[{index}]"), "is among the values too".into()));
            }
            overrides.remove(name);
        }
        overrides.extend(values);
        let mut config = self.base.clone();
        for (name, value) in &overrides {
            let done = if UPDATABLE.contains(&name.as_str()) {
                set(&mut config, name, value)
            } else {
                Err(cannot_change(name))
            };
            if let Err(problem) = done {
                wrong.push((format!("values[{name}]"), problem));
            }
        }
        if wrong.is_empty() {
            for (name, problem) in together(&config) {
                wrong.push((format!("values[{name}]"), problem));
            }
        }
        if wrong.is_empty() {
            Ok(Checked(Current {
                config: Arc::new(config),
                overrides: Arc::new(overrides),
            }))
        } else {
            Err(Refusal::InvalidField { fields: wrong })
        }
    }

    /// Makes a checked change the present.
    pub fn set(&self, Checked(checked): Checked) {
        self.current.send_replace(checked);
    }
}

// === impl Checked ===

impl Checked {
    /// What it would be.
    pub fn current(&self) -> &Current {
        &self.0
    }
}

/// The keys that may be read, in the order in which they are printed.
pub fn readable() -> impl Iterator<Item = &'static Key<Config>> {
    KEYS.iter()
        .filter(|key| UPDATABLE.contains(&key.name) || SHOWN.contains(&key.name))
}

fn set(config: &mut Config, name: &str, value: &str) -> Result<(), String> {
    apply_key(KEYS, config, name, &Raw::from_text(value)?)
}

fn cannot_change(name: &str) -> String {
    if KEYS.iter().any(|key| key.name == name) {
        "can't be changed while the server runs; set it in the file, the environment or a flag"
            .into()
    } else {
        format!(
            "there is no such key; those that can be changed are: {}",
            UPDATABLE.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> LiveConfig {
        LiveConfig::new(Config::with_builtin_agents(), Overrides::new())
    }

    fn values(pairs: &[(&str, &str)]) -> Overrides {
        pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect()
    }

    #[test]
    fn each_key_was_thought_about() {
        for key in KEYS {
            let lists = [UPDATABLE, SHOWN, HIDDEN];
            let found = lists.iter().filter(|list| list.contains(&key.name)).count();
            assert_eq!(found, 1, "{} must stand in one list", key.name);
        }
        for name in [UPDATABLE, SHOWN, HIDDEN].concat() {
            assert!(KEYS.iter().any(|key| key.name == name), "{name} is no key");
        }
    }

    #[test]
    fn a_change_is_taken_whole_or_not_at_all() {
        let live = live();
        let wrong = live.check(
            values(&[
                ("max_streams", "7"),
                ("queue_limit_turns", "0"),
                ("listen", "0.0.0.0:1"),
                ("x", "1"),
            ]),
            &["data_dir".into()],
        );
        let Err(Refusal::InvalidField { fields }) = wrong else {
            panic!("it must be refused");
        };
        let named: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            named,
            [
                "clear[0]",
                "values[listen]",
                "values[queue_limit_turns]",
                "values[x]"
            ]
        );
        assert_eq!(
            live.current().config.max_streams,
            Config::default().max_streams
        );
    }

    #[test]
    fn values_must_fit_together() {
        let wrong = live().check(values(&[("max_running_turns", "1000")]), &[]);
        assert!(matches!(wrong, Err(Refusal::InvalidField { .. })));
        let both = [("max_running_turns", "1000"), ("max_awake_agents", "1000")];
        assert!(live().check(values(&both), &[]).is_ok());
    }

    #[test]
    fn what_is_cleared_is_as_the_sources_say() {
        let live = live();
        live.set(live.check(values(&[("turn_timeout", "2h")]), &[]).unwrap());
        assert_eq!(live.current().config.turn_timeout.as_secs(), 7200);
        assert_eq!(live.current().overrides.len(), 1);
        live.set(
            live.check(Overrides::new(), &["turn_timeout".into()])
                .unwrap(),
        );
        assert_eq!(live.current().config.turn_timeout.as_secs(), 3600);
        assert!(live.current().overrides.is_empty());
    }

    #[test]
    fn what_was_kept_and_does_not_fit_any_more_is_left_out() {
        let kept = values(&[
            ("turn_timeout", "never"),
            ("max_streams", "7"),
            ("gone", "1"),
        ]);
        let live = LiveConfig::new(Config::with_builtin_agents(), kept);
        assert_eq!(live.current().config.max_streams, 7);
        assert_eq!(live.current().overrides.len(), 1);
    }
}
