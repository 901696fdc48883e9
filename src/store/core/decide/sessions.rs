//! Sessions: made, changed, claimed.

use super::{
    super::{
        commands::{Caller, NewSession, UpdateSession},
        draft::Draft,
        facts::{Context, Decision, Facts},
        ownership::Fence,
        snapshot::Snapshot,
        write_set::SessionWrite,
    },
    Decided, Done,
    access::{self, Need},
    agents, quotas,
    requests::{WhenGone, once, require_generation},
    routing::{self, FirstTurn},
};
use crate::domain::{
    Event,
    access::{Scope, Shares},
    agent::Capability,
    client_tool,
    event::ForkOrigin,
    ids::{SessionRow, Time},
    question::NoApprover,
    refusal::Refusal,
    routing::Routing,
    session::{Session, SessionState},
    tool_policy,
};
use std::sync::Arc;

/// CreateSession.
pub(crate) fn create(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    caller: &Caller,
    new: &NewSession,
) -> Decision<Decided> {
    let rights = (Need::Make, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        require_free(found.as_ref())?;
        let loosens = new.no_approver == Some(NoApprover::Wait)
            || !tool_policy::is_stricter(&[], &new.tool_policy);
        if loosens {
            caller.identity.require(Scope::SessionApprove)?;
        }
        ctx.require_room(0)?;
        let first = FirstTurn {
            text: "",
            attachment_types: Vec::new(),
            source: "",
            labels: &new.labels,
            model: &new.model,
            thinking_level: &new.thinking_level,
        };
        let draft = make(ctx, facts, caller, new, Origin::New(first))?;
        let mut done = Done::of(draft.finish(caller.now));
        done.new_work_bytes = Some(0);
        Ok(done)
    })
}

/// Where a session that is made comes from.
pub(super) enum Origin<'a> {
    /// Nowhere, with what is known of its first turn.
    New(FirstTurn<'a>),
    /// Another one. It has its row already.
    Fork(ForkOrigin, SessionRow),
}

/// Makes a session for a caller, with its first event.
pub(super) fn make(
    ctx: &Context<'_>,
    facts: &Facts,
    caller: &Caller,
    new: &NewSession,
    from: Origin<'_>,
) -> Decision<Draft> {
    let NewSession {
        agent,
        model,
        thinking_level,
        options,
        labels,
        cwd,
        cwd_refused,
        display_name,
        expire_after_idle,
        memory_namespaces,
        no_approver,
        question_ttl,
        tool_policy,
        client_tools,
    } = new;
    if let Some(refusal) = cwd_refused {
        return Err(refusal.clone().into());
    }
    let (agent, routing) = match (agent.as_str(), &from) {
        ("", Origin::New(first)) => {
            routing::of_new_session(ctx, facts, caller, !cwd.is_empty(), first)?
        }
        ("", Origin::Fork(..)) => (ctx.rules.default_agent.clone(), Routing::default()),
        (named, _) => {
            agents::require_agent(ctx, named)?;
            (agent.clone(), Routing::default())
        }
    };
    let agent = &agent;
    if matches!(from, Origin::New(_)) {
        if !model.is_empty() {
            agents::require(ctx, agent, Capability::Models)?;
        }
        if !thinking_level.is_empty() {
            agents::require(ctx, agent, Capability::Thinking)?;
        }
        agents::require_policy(ctx, agent, tool_policy)?;
        if !client_tools.is_empty() {
            agents::require(ctx, agent, Capability::ClientTools)?;
        }
    }
    if caller.expected_generation.is_some_and(|g| g != 1) {
        // Nothing is there; a new session would be in generation 1.
        return Err(Refusal::GenerationMismatch { generation: 0 }.into());
    }
    let primary = caller.key == ctx.rules.primary_session;
    if primary {
        // It stands for the tenant: it can't be deleted, and has the tenant's memory. Who comes first does not own that.
        caller.identity.require(Scope::TenantSessions)?;
    }
    let uid = ctx.ids.random();
    let owner = &caller.identity.principal;
    let names = (SessionRow(0), uid, ctx.log_id(uid));
    let mut session = Session {
        session_id: ctx.ids.ordered(),
        display_name: display_name.clone(),
        agent: agent.clone(),
        model: model.clone(),
        thinking_level: thinking_level.clone(),
        options: options.clone(),
        routing: Arc::new(routing),
        labels: labels.clone(),
        cwd: cwd.clone(),
        expire_after_idle: *expire_after_idle,
        memory_namespaces: memory_namespaces.clone(),
        no_approver: *no_approver,
        question_ttl: *question_ttl,
        tool_policy: tool_policy.clone(),
        primary,
        ..Session::new(names, owner, caller.key.clone(), caller.now)
    };
    quotas::require_stored(ctx, &session, 0)?;
    quotas::require_place(ctx, &session)?;
    let (forked_from, row) = match from {
        Origin::Fork(origin, row) => (Some(origin), row),
        Origin::New(_) => (None, ctx.ids.session_row()),
    };
    session.row = row;
    let mut draft = Draft::new(session);
    if !client_tools.is_empty() {
        draft.set_client_tools(client_tool::to_text(client_tools));
    }
    let created = Event::SessionCreated {
        session: Box::new(draft.session.clone()),
        forked_from,
    };
    draft.event(caller.now, None, None, &created);
    Ok(draft)
}

/// Refuses a key that a caller may use already.
pub(super) fn require_free(found: Option<&Draft>) -> Decision<()> {
    let Some(draft) = found else {
        return Ok(());
    };
    let key = draft.session.key.as_str().to_owned();
    Err(if draft.session.state == SessionState::Deleting {
        Refusal::SessionDeleting { key }.into()
    } else {
        Refusal::SessionExists { key }.into()
    })
}

/// UpdateSession.
pub(crate) fn update(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    command: &UpdateSession,
) -> Decision<Decided> {
    let UpdateSession {
        caller,
        display_name,
        labels,
        agent,
        cwd,
        cwd_refused,
        expire_after_idle,
        memory_namespaces,
        no_approver,
        question_ttl,
        tool_policy,
        shares,
    } = command.clone();
    let need = if shares.is_some() {
        Need::Own
    } else {
        Need::Write
    };
    let rights = (need, WhenGone::Refuse);
    once(ctx, facts, &caller, rights, found, |_, found| {
        let mut draft = access::usable(facts, &caller, found)?;
        require_generation(&caller, draft.session.generation)?;
        if let Some(refusal) = cwd_refused {
            return Err(refusal.into());
        }
        let before = draft.session.clone();
        let session = &mut draft.session;
        session.cwd = cwd.unwrap_or_else(|| before.cwd.clone());
        if let Some(agent) = agent {
            agents::require_agent(ctx, &agent)?;
            if agent != session.agent && facts.has_client_tools()? {
                // They would be gone without a word.
                agents::require(ctx, &agent, Capability::ClientTools)?;
            }
            session.next_agent = if agent == session.agent {
                String::new()
            } else {
                agent
            };
        }
        session.display_name = display_name.unwrap_or_else(|| before.display_name.clone());
        session.labels = labels.unwrap_or_else(|| before.labels.clone());
        session.expire_after_idle = expire_after_idle.unwrap_or(before.expire_after_idle);
        session.memory_namespaces =
            memory_namespaces.unwrap_or_else(|| before.memory_namespaces.clone());
        if let Some(no_approver) = no_approver {
            if no_approver != Some(NoApprover::Deny) && no_approver != before.no_approver {
                // Who may only use the session can make it stricter, not let its agent wait for others.
                caller.identity.require(Scope::SessionApprove)?;
            }
            session.no_approver = no_approver;
        }
        session.question_ttl = question_ttl.unwrap_or(before.question_ttl);
        if let Some(rules) = tool_policy {
            if !tool_policy::is_stricter(&before.tool_policy, &rules) {
                caller.identity.require(Scope::SessionApprove)?;
            }
            session.tool_policy = rules;
        }
        let policed =
            session.tool_policy != before.tool_policy || session.next_agent != before.next_agent;
        if policed {
            let runs = [&session.agent, &session.next_agent];
            for agent in runs.into_iter().filter(|agent| !agent.is_empty()) {
                agents::require_policy(ctx, agent, &session.tool_policy)?;
            }
        }
        if let Some(shares) = shares {
            require_sharable(session, &shares)?;
            draft.share(shares);
        }
        tell_settings(ctx, &mut draft, &before, caller.now)?;
        Ok(Done::of(draft.finish(caller.now)))
    })
}

/// Tells of settings that are other ones than before, as far as the quotas let them be stored.
pub(super) fn tell_settings(
    ctx: &Context<'_>,
    draft: &mut Draft,
    before: &Session,
    now: Time,
) -> Decision<()> {
    if draft.session == *before {
        return Ok(());
    }
    quotas::require_stored(ctx, &draft.session, 0)?;
    draft.settings_changed = true;
    let mut seen = draft.session.clone();
    seen.update_time = now;
    let updated = Event::SessionUpdated {
        session: Box::new(seen),
    };
    draft.event(now, None, None, &updated);
    Ok(())
}

/// Refuses shares that say nothing.
fn require_sharable(session: &Session, shares: &Shares) -> Decision<()> {
    if shares.contains_key(&session.owner) {
        let problem = "the session's owner needs no share";
        return Err(Refusal::field("session.shares", problem).into());
    }
    Ok(())
}

/// Takes a session for an owner: whoever held it is fenced from this commit on.
pub(crate) fn claim(found: &Snapshot) -> (Fence, SessionWrite) {
    let mut draft = Draft::of(found);
    draft.claim();
    let unchanged = draft.session.update_time;
    let fence = Fence::of(&draft.session);
    (fence, draft.finish(unchanged))
}
