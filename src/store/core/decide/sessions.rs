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
    quotas,
    requests::{WhenGone, once, require_generation},
};
use crate::domain::{
    Event,
    access::{Scope, Shares},
    event::ForkOrigin,
    ids::SessionRow,
    refusal::Refusal,
    session::{Session, SessionState},
};

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
        ctx.require_room(0)?;
        let draft = make(ctx, caller, new, None)?;
        let mut done = Done::of(draft.finish(caller.now));
        done.new_work_bytes = Some(0);
        Ok(done)
    })
}

/// Makes a session for a caller, with its first event. A fork's has its row already.
pub(super) fn make(
    ctx: &Context<'_>,
    caller: &Caller,
    new: &NewSession,
    fork: Option<(ForkOrigin, SessionRow)>,
) -> Decision<Draft> {
    let NewSession {
        agent,
        model,
        thinking_level,
        labels,
        cwd,
        cwd_refused,
        display_name,
        expire_after_idle,
        memory_namespaces,
    } = new;
    if let Some(refusal) = cwd_refused {
        return Err(refusal.clone().into());
    }
    if !agent.is_empty() {
        require_agent(ctx, agent)?;
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
        agent: if agent.is_empty() {
            ctx.rules.default_agent.clone()
        } else {
            agent.clone()
        },
        model: model.clone(),
        thinking_level: thinking_level.clone(),
        labels: labels.clone(),
        cwd: cwd.clone(),
        expire_after_idle: *expire_after_idle,
        memory_namespaces: memory_namespaces.clone(),
        primary,
        ..Session::new(names, owner, caller.key.clone(), caller.now)
    };
    quotas::require_stored(ctx, &session, 0)?;
    quotas::require_place(ctx, &session)?;
    let (forked_from, row) = match fork {
        Some((origin, row)) => (Some(origin), row),
        None => (None, ctx.ids.session_row()),
    };
    session.row = row;
    let mut draft = Draft::new(session);
    let created = Event::SessionCreated {
        session: Box::new(draft.session.clone()),
        forked_from,
    };
    draft.event(caller.now, None, None, &created);
    Ok(draft)
}

/// Refuses an agent that is not configured.
pub(super) fn require_agent(ctx: &Context<'_>, agent: &str) -> Decision<()> {
    if ctx.rules.agents.contains_key(agent) {
        return Ok(());
    }
    let known: Vec<&str> = ctx.rules.agents.keys().map(String::as_str).collect();
    let problem = format!("no such agent; configured are: {}", known.join(", "));
    Err(Refusal::field("agent", problem).into())
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
            require_agent(ctx, &agent)?;
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
        if let Some(shares) = shares {
            require_sharable(session, &shares)?;
            draft.share(shares);
        }
        if draft.session != before {
            quotas::require_stored(ctx, &draft.session, 0)?;
            draft.settings_changed = true;
            let mut seen = draft.session.clone();
            seen.update_time = caller.now;
            let updated = Event::SessionUpdated {
                session: Box::new(seen),
            };
            draft.event(caller.now, None, None, &updated);
        }
        Ok(Done::of(draft.finish(caller.now)))
    })
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
