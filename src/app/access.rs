//! The auth room, built from the configuration.

use crate::{
    auth::{
        Auth, Credentials,
        certificates::Certificates,
        key_set::{KeySet, KeySource},
        keys::Keys,
        limits::{Limits, Rates},
        tokens::{TokenRules, Tokens},
    },
    config::Config,
    domain::access::{Scope, Scopes},
    grpc::channels::{self, Channels, OpenLimits},
};
use anyhow::Context as _;
use std::{str::FromStr as _, sync::Arc};
use tracing::warn;

/// Recognition of callers, and the issuer's keys that it needs.
pub(super) struct Access {
    pub(super) auth: Auth,
    pub(super) key_set: Option<Arc<KeySet>>,
}

/// Builds what recognises callers; fetches an issuer's keys for the first time.
///
/// # Errors
/// A setting that can't be used, for people.
pub(super) async fn build(
    config: &Config,
    keys: Arc<Keys>,
    limits: Arc<Limits>,
    trust_socket: bool,
) -> anyhow::Result<Access> {
    if config.no_auth {
        warn!(
            "no_auth: whoever connects is the local user and may do everything; that is any process on this machine, agents \
             among them"
        );
        return Ok(Access {
            auth: Auth::open(),
            key_set: None,
        });
    }
    let key_set = match config.jwt_issuer.as_str() {
        "" => None,
        issuer => Some(Arc::new(key_set(config, issuer)?)),
    };
    if let Some(key_set) = &key_set
        && let Err(problem) = key_set.fetch().await
    {
        // It is asked again; everyone else can call meanwhile.
        warn!("tokens are refused until their issuer's keys can be fetched: {problem:#}");
    }
    let tokens = key_set
        .clone()
        .map(|keys| Ok::<_, anyhow::Error>(Tokens::new(token_rules(config)?, keys)))
        .transpose()?;
    let certificates = Certificates::new(config.certificate_principals.0.clone());
    Ok(Access {
        auth: Auth::Required(Box::new(Credentials::new(
            keys,
            tokens,
            certificates,
            limits,
            trust_socket,
        ))),
        key_set,
    })
}

fn key_set(config: &Config, issuer: &str) -> anyhow::Result<KeySet> {
    // There is one for the process; it is set by whoever comes first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    KeySet::new(KeySource {
        issuer: issuer.to_owned(),
        url: config.jwt_jwks_url.clone(),
        refresh_min: config.jwt_refresh_min,
        private_addresses: config.jwt_private_addresses,
    })
    .context(if config.jwt_jwks_url.is_empty() {
        "jwt_issuer"
    } else {
        "jwt_jwks_url"
    })
}

fn token_rules(config: &Config) -> anyhow::Result<TokenRules> {
    let algorithms = config.jwt_algorithms.iter();
    let algorithms = algorithms.map(|name| jsonwebtoken::Algorithm::from_str(name));
    let scopes = config.jwt_default_scopes.iter();
    Ok(TokenRules {
        issuer: config.jwt_issuer.clone(),
        audience: config.jwt_audience.clone(),
        algorithms: algorithms
            .collect::<Result<_, _>>()
            .context("jwt_algorithms")?,
        tenant_claim: config.jwt_tenant_claim.clone(),
        subject_claim: config.jwt_subject_claim.clone(),
        scope_claim: config.jwt_scope_claim.clone(),
        default_scopes: Scopes::of(scopes.filter_map(|name| Scope::parse(name))),
    })
}

/// How often one may call.
pub(super) fn rates(config: &Config) -> Rates {
    Rates {
        address_failures_per_minute: config.auth_failures_per_minute,
        principal_per_second: config.principal_requests_per_second,
        tenant_per_second: config.tenant_requests_per_second,
    }
}

/// Bounds what principals and tenants may have open. Where no credential is asked for everyone is one principal, whom
/// `max_streams` bounds.
pub(super) fn bound_open(channels: &Channels, config: &Config) {
    channels.set_limits(if config.no_auth {
        channels::Limits::default()
    } else {
        channels::Limits {
            principal: OpenLimits {
                streams: config.principal_max_streams,
                waits: config.principal_max_waits,
            },
            tenant: OpenLimits {
                streams: config.tenant_max_streams,
                waits: config.tenant_max_waits,
            },
        }
    });
}
