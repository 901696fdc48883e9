//! What is asked of the store about routes.

use super::RequestKey;
use crate::domain::{
    access::Identity,
    ids::Time,
    routing::{Route, Routing},
};
use std::{collections::BTreeMap, sync::Arc};

/// SetRoutes.
#[derive(Clone, Debug)]
pub struct SetRoutes {
    /// Who.
    pub caller: Arc<Identity>,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// Whose they are.
    pub tenant: String,
    /// What those are called that they replace; empty for whatever there is.
    pub expected_etag: String,
    /// All of them, with patterns that are right.
    pub routes: Vec<Route>,
    /// When.
    pub now: Time,
}

/// A turn that might be.
#[derive(Clone, Debug, Default)]
pub struct ResolveRoute {
    /// The tenant.
    pub tenant: String,
    /// Its session's agent; empty where it makes its session.
    pub agent: String,
    /// Its text.
    pub text: String,
    /// Media types of its attachments.
    pub attachment_types: Vec<String>,
    /// Labels of its session.
    pub labels: BTreeMap<String, String>,
    /// Who sends it.
    pub subject: String,
    /// Where it comes from.
    pub source: String,
}

/// What a tenant's routes would do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRoute {
    /// The agent.
    pub agent: String,
    /// The model; empty is the agent's own default.
    pub model: String,
    /// The thinking level; empty is the agent's own default.
    pub thinking_level: String,
    /// Why; nothing where the tenant has no routes.
    pub routing: Routing,
}
