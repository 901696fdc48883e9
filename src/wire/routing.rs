//! Routes, as messages and from them.

use super::parse::Fields;
use crate::{
    domain::{
        ids::SessionKey,
        limits::NAME_MAX_BYTES,
        offers::{join_model, split_model},
        routing::{self, Condition, NAMED_MAX, ROUTES_MAX, Route, Routing, Target},
    },
    proto,
};
use std::collections::BTreeSet;

/// Longest name of a route, in bytes.
const ROUTE_NAME_MAX_BYTES: usize = 64;

/// A route.
pub fn route(route: &Route, tenant: &str) -> proto::Route {
    let Route { name, when, target } = route;
    let Condition {
        text_matches,
        min_text_bytes,
        has_attachment_type,
        labels,
        subjects,
        sources,
    } = when;
    let Target {
        agent,
        model,
        thinking_level,
    } = target;
    let (provider, model_id) = split_model(model);
    proto::Route {
        name: name.clone(),
        when: Some(proto::RouteCondition {
            text_matches: text_matches.clone(),
            min_text_bytes: i64::try_from(*min_text_bytes).unwrap_or(i64::MAX),
            has_attachment_type: has_attachment_type.clone(),
            labels: labels.clone(),
            principals: subjects.iter().map(|it| format!("{tenant}/{it}")).collect(),
            sources: sources.clone(),
        }),
        r#use: Some(proto::RouteTarget {
            agent: agent.clone(),
            provider: provider.to_owned(),
            model_id: model_id.to_owned(),
            thinking_level: thinking_level.clone(),
        }),
    }
}

/// How something was routed; `None` where there were no routes.
pub fn routing(routing: &Routing) -> Option<proto::Routing> {
    let Routing {
        rule_name,
        reason,
        skipped_rules,
        used: _,
    } = routing;
    (!reason.is_empty()).then(|| proto::Routing {
        rule_name: rule_name.clone(),
        reason: reason.clone(),
        skipped_rules: skipped_rules.clone(),
    })
}

// === impl Fields ===

impl Fields {
    /// A tenant's routes.
    pub fn routes(&mut self, field: &str, tenant: &str, given: Vec<proto::Route>) -> Vec<Route> {
        if given.len() > ROUTES_MAX {
            self.wrong(field, format!("must be at most {ROUTES_MAX}"));
            return Vec::new();
        }
        let mut names = BTreeSet::new();
        let mut routes = Vec::new();
        for (at, route) in given.into_iter().enumerate() {
            let field = format!("{field}[{at}]");
            if !names.insert(route.name.clone()) {
                self.wrong(
                    format!("{field}.name"),
                    "stands at an earlier route as well",
                );
            }
            routes.push(self.route(&field, tenant, route));
        }
        routes
    }

    fn route(&mut self, field: &str, tenant: &str, given: proto::Route) -> Route {
        let proto::Route {
            name,
            when,
            r#use: target,
        } = given;
        let is_name = |name: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            name.len() <= ROUTE_NAME_MAX_BYTES
                && name.bytes().all(good)
                && name
                    .bytes()
                    .next()
                    .is_some_and(|first| first.is_ascii_alphanumeric())
        };
        if !is_name(&name) {
            let problem = "must be 1 to 64 letters, digits, `.`, `_` and `-`, and begin with a letter or digit";
            self.wrong(format!("{field}.name"), problem);
        }
        Route {
            name,
            when: self.condition(&format!("{field}.when"), tenant, when.unwrap_or_default()),
            target: self.target(&format!("{field}.use"), target.unwrap_or_default()),
        }
    }

    fn condition(&mut self, field: &str, tenant: &str, given: proto::RouteCondition) -> Condition {
        let proto::RouteCondition {
            text_matches,
            min_text_bytes,
            has_attachment_type,
            labels,
            principals,
            sources,
        } = given;
        if let Err(problem) = routing::pattern(&text_matches) {
            self.wrong(format!("{field}.text_matches"), problem);
        }
        self.not_negative(&format!("{field}.min_text_bytes"), min_text_bytes);
        let type_field = format!("{field}.has_attachment_type");
        self.text(&type_field, &has_attachment_type, NAME_MAX_BYTES);
        if !has_attachment_type.is_empty() && !is_media_type(&has_attachment_type) {
            self.wrong(
                type_field,
                "must be a media type such as `image/png`, or `image/*`",
            );
        }
        self.labels(&format!("{field}.labels"), &labels);
        for (what, named) in [("principals", &principals), ("sources", &sources)] {
            if named.len() > NAMED_MAX {
                self.wrong(
                    format!("{field}.{what}"),
                    format!("must be at most {NAMED_MAX}"),
                );
            }
        }
        let mut subjects = Vec::new();
        for (at, principal) in principals.iter().enumerate().take(NAMED_MAX) {
            let field = format!("{field}.principals[{at}]");
            subjects.extend(self.subject_of(&field, tenant, principal));
        }
        for (at, source) in sources.iter().enumerate().take(NAMED_MAX) {
            self.text(&format!("{field}.sources[{at}]"), source, NAME_MAX_BYTES);
        }
        Condition {
            text_matches,
            min_text_bytes: usize::try_from(min_text_bytes).unwrap_or(0),
            has_attachment_type,
            labels,
            subjects,
            sources,
        }
    }

    fn target(&mut self, field: &str, given: proto::RouteTarget) -> Target {
        let proto::RouteTarget {
            agent,
            provider,
            model_id,
            thinking_level,
        } = given;
        self.text(&format!("{field}.agent"), &agent, NAME_MAX_BYTES);
        self.text(
            &format!("{field}.thinking_level"),
            &thinking_level,
            NAME_MAX_BYTES,
        );
        if provider.contains('/') {
            let problem = "has no slash; what is behind it belongs to model_id";
            self.wrong(format!("{field}.provider"), problem);
        }
        if model_id.is_empty() && !provider.is_empty() {
            self.wrong(
                format!("{field}.model_id"),
                "must not be empty beside a provider",
            );
        }
        let model = join_model(&provider, &model_id);
        self.text(&format!("{field}.model_id"), &model, NAME_MAX_BYTES);
        let target = Target {
            agent,
            model: if model_id.is_empty() {
                String::new()
            } else {
                model
            },
            thinking_level,
        };
        if target == Target::default() {
            self.wrong(field, "must name an agent, a model or a thinking level");
        }
        target
    }

    /// The subject of a principal of a tenant, `tenant/subject`.
    pub fn subject_of(&mut self, field: &str, tenant: &str, principal: &str) -> Option<String> {
        let subject = principal
            .strip_prefix(tenant)
            .and_then(|rest| rest.strip_prefix('/'));
        let subject = subject.filter(|subject| SessionKey::parse(subject).is_ok());
        if subject.is_none() {
            let problem =
                format!("must be a principal of the tenant {tenant}, written `tenant/subject`");
            self.wrong(field, problem);
        }
        subject.map(str::to_owned)
    }
}

fn is_media_type(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(good);
    match text.split_once('/') {
        Some((kind, subtype)) => is_token(kind) && (subtype == "*" || is_token(subtype)),
        None => false,
    }
}
