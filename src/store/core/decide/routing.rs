//! What a tenant's routes say where nobody chose: the agent of a session that is made, model and thinking level of a turn that
//! starts. A route that can't be used is skipped, and what is kept of the decision says so.

use super::{
    super::{
        commands::Caller,
        draft::Draft,
        facts::{Context, Decision, Facts, Stop, Want},
        snapshot::Origin,
    },
    agents,
};
use crate::domain::{
    Event,
    access::agent_serves,
    agent::Capability,
    ids::{SessionRow, Time},
    limits::{ERROR_MESSAGE_MAX_BYTES, cut},
    offers::{Choice, Choices},
    refusal::Refusal,
    routing::{Asked, Route, Routing},
    turn::Turn,
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    /// The tenant.
    pub(crate) tenant: &'a str,
    /// Its session's agent; `None` where it is to be found.
    pub(crate) agent: Option<&'a str>,
    /// The session, where there is one.
    pub(crate) session: Option<SessionRow>,
    /// The session's own model; empty for none.
    pub(crate) model: &'a str,
    /// The session's own thinking level; empty for none.
    pub(crate) thinking_level: &'a str,
    /// It works in a directory of its own, whose settings may change what its agent offers.
    pub(crate) has_cwd: bool,
}

/// What is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routed {
    /// The agent.
    pub(crate) agent: String,
    /// The model; empty is the agent's own default.
    pub(crate) model: String,
    /// The thinking level; empty is the agent's own default.
    pub(crate) thinking_level: String,
    /// Why.
    pub(crate) routing: Routing,
}

/// Asks the routes.
pub(crate) fn resolve(
    ctx: &Context<'_>,
    facts: &Facts,
    whose: &Whose<'_>,
    asked: Asked<'_>,
) -> Decision<Routed> {
    let mut said = Vec::new();
    let mut skipped_rules = Vec::new();
    let of_session = whose.agent.unwrap_or(&ctx.rules.default_agent);
    let mut counts = None;
    for route in facts.routes.matching(asked) {
        let agent = match (whose.agent, route.target.agent.as_str()) {
            // It is for sessions of another agent.
            (Some(agent), named) if !named.is_empty() && named != agent => continue,
            (_, "") => of_session,
            (_, named) => named,
        };
        match problem(ctx, facts, whose, agent, route)? {
            None => {
                said.insert(0, format!("route {} matches", route.name));
                counts = Some((route, agent));
                break;
            }
            Some(problem) => {
                said.push(format!("route {} is skipped: {problem}", route.name));
                skipped_rules.push(route.name.clone());
            }
        }
    }
    let or = |own: &str, routed: &str| {
        if own.is_empty() {
            routed.to_owned()
        } else {
            own.to_owned()
        }
    };
    let (agent, model, thinking_level, rule_name) = match counts {
        Some((route, agent)) => {
            if !whose.model.is_empty() && !route.target.model.is_empty() {
                said.push("the session's own model counts".to_owned());
            }
            if !whose.thinking_level.is_empty() && !route.target.thinking_level.is_empty() {
                said.push("the session's own thinking level counts".to_owned());
            }
            let model = or(whose.model, &route.target.model);
            let level = or(whose.thinking_level, &route.target.thinking_level);
            (agent.to_owned(), model, level, route.name.clone())
        }
        None => {
            let why = if skipped_rules.is_empty() {
                "no route matches"
            } else {
                "no other route matches"
            };
            said.push(why.to_owned());
            let (model, level) = (whose.model.to_owned(), whose.thinking_level.to_owned());
            (of_session.to_owned(), model, level, String::new())
        }
    };
    let routing = if facts.routes.is_empty() {
        Routing::default()
    } else {
        Routing {
            rule_name,
            reason: cut(&said.join("; "), ERROR_MESSAGE_MAX_BYTES).to_owned(),
            skipped_rules,
            used: None,
        }
    };
    Ok(Routed {
        agent,
        model,
        thinking_level,
        routing,
    })
}

/// Why a route can't be used for an agent; `None` where nothing is known against it.
fn problem(
    ctx: &Context<'_>,
    facts: &Facts,
    whose: &Whose<'_>,
    agent: &str,
    route: &Route,
) -> Decision<Option<String>> {
    let Some(rule) = ctx.rules.agents.get(agent) else {
        return Ok(Some(format!("agent {agent} is not configured")));
    };
    if !agent_serves(rule.operator_only, whose.tenant) {
        let agent = agent.to_owned();
        return Ok(Some(Refusal::IsolationRequired { agent }.to_string()));
    }
    // What the session chose itself is not the route's.
    let model = if whose.model.is_empty() {
        route.target.model.as_str()
    } else {
        ""
    };
    let level = if whose.thinking_level.is_empty() {
        route.target.thinking_level.as_str()
    } else {
        ""
    };
    let wants = [(model, Capability::Models), (level, Capability::Thinking)];
    for (_, capability) in wants.into_iter().filter(|(word, _)| !word.is_empty()) {
        match agents::require(ctx, agent, capability) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => return Ok(Some(refusal.to_string())),
            Err(stop) => return Err(stop),
        }
    }
    if model.is_empty() && level.is_empty() {
        return Ok(None);
    }
    let kept = facts.offers(&Want::Offers {
        tenant: whose.tenant.to_owned(),
        agent: agent.to_owned(),
        revision: rule.known.get().revision.clone(),
        session: whose.session,
    })?;
    // What another session's agent told need not hold where this one has settings of its own.
    let Some(kept) = kept.filter(|kept| kept.of_session || !whose.has_cwd) else {
        return Ok(None);
    };
    let effective = if whose.model.is_empty() {
        &route.target.model
    } else {
        whose.model
    };
    let choices = Choices {
        model: effective.to_owned(),
        ..Choices::default()
    };
    let wanted = [
        Choice::Model(model.to_owned()),
        Choice::ThinkingLevel(level.to_owned()),
    ];
    let refused = wanted
        .iter()
        .find_map(|choice| kept.offers.require(&choices, choice).err());
    Ok(refused.map(|refusal| refusal.to_string()))
}

/// The agent of a session that is made, where its maker named none and no directory, which is allowed by agent.
pub(super) fn of_new_session(
    ctx: &Context<'_>,
    facts: &Facts,
    caller: &Caller,
    has_cwd: bool,
    first: &FirstTurn<'_>,
) -> Decision<(String, Routing)> {
    if facts.routes.is_empty() || has_cwd {
        return Ok((ctx.rules.default_agent.clone(), Routing::default()));
    }
    let principal = &caller.identity.principal;
    let whose = Whose {
        tenant: &principal.tenant,
        agent: None,
        session: None,
        model: first.model,
        thinking_level: first.thinking_level,
        has_cwd,
    };
    let asked = Asked {
        text: first.text,
        attachment_types: &first.attachment_types,
        labels: first.labels,
        subject: &principal.subject,
        source: first.source,
    };
    let Routed { agent, routing, .. } = resolve(ctx, facts, &whose, asked)?;
    Ok((agent, routing))
}

/// What is known of a session's first turn while the session is made.
#[derive(Clone, Debug)]
pub(super) struct FirstTurn<'a> {
    /// Its text.
    pub(super) text: &'a str,
    /// Media types of its attachments.
    pub(super) attachment_types: Vec<&'a str>,
    /// Where it comes from.
    pub(super) source: &'a str,
    /// The session's labels.
    pub(super) labels: &'a BTreeMap<String, String>,
    /// The session's own model.
    pub(super) model: &'a str,
    /// The session's own thinking level.
    pub(super) thinking_level: &'a str,
}

/// Sets model and thinking level of a turn that starts.
pub(super) fn of_start(
    ctx: &Context<'_>,
    facts: &Facts,
    draft: &Draft,
    turn: &mut Turn,
    origin: &Origin,
) -> Decision<()> {
    let session = &draft.session;
    turn.model.clone_from(&session.model);
    turn.thinking_level.clone_from(&session.thinking_level);
    turn.routing = Arc::default();
    if facts.routes.is_empty() {
        return Ok(());
    }
    let types: Vec<&str> = turn
        .attachments
        .iter()
        .map(|it| it.media_type.as_str())
        .collect();
    let whose = Whose {
        tenant: &session.tenant,
        agent: Some(&session.agent),
        session: Some(session.row),
        model: &session.model,
        thinking_level: &session.thinking_level,
        has_cwd: !session.cwd.is_empty(),
    };
    let asked = Asked {
        text: &turn.text,
        attachment_types: &types,
        labels: &origin.labels,
        subject: &origin.sender.subject,
        source: &turn.source,
    };
    let Routed {
        agent: _,
        model,
        thinking_level,
        mut routing,
    } = resolve(ctx, facts, &whose, asked)?;
    routing.used = Some((model.clone(), thinking_level.clone()));
    turn.routing = Arc::new(routing);
    turn.model = model;
    turn.thinking_level = thinking_level;
    Ok(())
}

/// Notes in its session how the active turn was routed, and says where that has changed the model.
pub(super) fn note(draft: &mut Draft, turn: &Turn, now: Time) {
    let before = Arc::clone(&draft.session.routing);
    if before == turn.routing {
        return;
    }
    draft.session.routing = Arc::clone(&turn.routing);
    draft.settings_changed = true;
    // Also where the last route was taken away: the session's or the agent's own count again.
    let used = (turn.model.clone(), turn.thinking_level.clone());
    if before.used.as_ref().is_none_or(|before| *before == used) {
        return;
    }
    let (model, thinking_level) = used;
    draft.session.used_model.clone_from(&model);
    draft
        .session
        .used_thinking_level
        .clone_from(&thinking_level);
    let about: (Uuid, i64) = (turn.turn_id, turn.generation);
    let event = Event::ModelChanged {
        model,
        thinking_level,
    };
    draft.event(now, Some(about), None, &event);
}
