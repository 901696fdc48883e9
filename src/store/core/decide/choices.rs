//! What is chosen for a session, and what its agent says of what it offers and uses.

use super::{
    super::{
        commands::Choose,
        draft::Draft,
        facts::{Context, Decision, Facts},
        snapshot::Snapshot,
    },
    Decided, Done,
    access::{self, Need},
    agents,
    requests::{WhenGone, once, require_generation},
    sessions,
};
use crate::domain::{
    Event,
    access::Scope,
    agent::Capability,
    ids::Time,
    offers::{Choice, OPTIONS_MAX, Offers},
    refusal::Refusal,
};
use uuid::Uuid;

/// SetModel, SetThinkingLevel, SetOption.
pub(crate) fn choose(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    command: &Choose,
) -> Decision<Decided> {
    let Choose {
        caller,
        choice,
        refused,
    } = command;
    let rights = (Need::Write, WhenGone::Refuse);
    once(ctx, facts, caller, rights, found, |_, found| {
        let mut draft = access::usable(facts, caller, found)?;
        require_generation(caller, draft.session.generation)?;
        if let Choice::Option { option_id, .. } = choice {
            let rule = ctx.rules.agents.get(&draft.session.agent);
            let allowed = rule.is_some_and(|rule| rule.options_allowed.contains(option_id));
            if !allowed {
                // It may say what the agent does without asking.
                caller.identity.require(Scope::SessionApprove)?;
            }
        }
        if let Some(refusal) = refused {
            return Err(refusal.clone().into());
        }
        if matches!(choice, Choice::Model(model) if !model.is_empty()) {
            agents::require(ctx, &draft.session.agent, Capability::Models)?;
        }
        let before = draft.session.clone();
        let session = &mut draft.session;
        match choice {
            Choice::Model(model) => session.model.clone_from(model),
            Choice::ThinkingLevel(level) => session.thinking_level.clone_from(level),
            Choice::Option { option_id, value } if value.is_empty() => {
                session.options.remove(option_id);
            }
            Choice::Option { option_id, value } => {
                session.options.insert(option_id.clone(), value.clone());
            }
        }
        if session.options.len() > OPTIONS_MAX {
            let problem = format!("at most {OPTIONS_MAX} options can be chosen; give one back");
            return Err(Refusal::field("option_id", problem).into());
        }
        sessions::tell_settings(ctx, &mut draft, &before, caller.now)?;
        Ok(Done::of(draft.finish(caller.now)))
    })
}

/// The active turn's agent says what it offers and uses.
pub(super) fn offered(
    ctx: &Context<'_>,
    draft: &mut Draft,
    turn: (Uuid, i64),
    offers: &Offers,
    now: Time,
) {
    let (own, digest) = offers.encoded();
    let Offers {
        model,
        thinking_level,
        ..
    } = offers;
    let session = &mut draft.session;
    let used_before = !session.used_model.is_empty() || !session.used_thinking_level.is_empty();
    let changed = session.used_model != *model || session.used_thinking_level != *thinking_level;
    if changed || session.offers_digest != digest {
        session.used_model.clone_from(model);
        session.used_thinking_level.clone_from(thinking_level);
        session.offers_digest = digest;
        draft.settings_changed = true;
    }
    let (of_agent, _) = offers.of_agent().encoded();
    let rule = ctx.rules.agents.get(&draft.session.agent);
    let revision = rule.map_or_else(String::new, |rule| rule.known.get().revision.clone());
    draft.offered(own, of_agent, revision);
    if used_before && changed {
        let event = Event::ModelChanged {
            model: model.clone(),
            thinking_level: thinking_level.clone(),
        };
        draft.event(now, Some(turn), None, &event);
    }
}
