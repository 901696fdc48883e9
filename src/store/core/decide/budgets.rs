//! What was used, and what may still be: every report is summed and counted against the budgets that it falls under, in
//! the commit of its event; and no call begins where one of them is used up.

use super::{
    super::{
        draft::Draft,
        facts::{Context, Decision, Facts, Stop},
        ownership::{Fence, Write},
        snapshot::{Origin, Snapshot},
        write_set::{SessionWrite, TurnWrite, UsageRow},
    },
    turns::fenced,
};
use crate::domain::{
    Event,
    budget::{Exceeded, Grant, OnExceeded, Spender, day_of},
    ids::Time,
    refusal::Refusal,
    usage::{UsageOf, UsageReport},
};
use uuid::Uuid;

fn spender(draft: &Draft, origin: &Origin) -> Spender {
    Spender::of(&draft.session, &origin.sender.subject, &origin.labels)
}

/// Asks for the budgets of the active turn before anything is written, where something is to be counted.
pub(super) fn look_up(facts: &Facts, draft: &Draft, writes: &[Write]) -> Decision<()> {
    let counts = writes.iter().any(|write| matches!(write, Write::Usage(_)));
    match draft.active() {
        Some(active) if counts => facts.budgets(&spender(draft, &active.origin)).map(drop),
        Some(_) | None => Ok(()),
    }
}

/// Writes what the active turn used.
pub(super) fn record(
    ctx: &Context<'_>,
    facts: &Facts,
    draft: &mut Draft,
    turn: (Uuid, i64),
    report: &UsageReport,
    now: Time,
) -> Decision<()> {
    let UsageReport {
        usage,
        model,
        granularity,
        context,
    } = report;
    let Some(active) = draft.active() else {
        return Err(Stop::Broken("something was used in no turn".into()));
    };
    let origin = active.origin.clone();
    let (row, agent) = (active.turn.row, active.turn.agent.clone());
    let known_as = if model.is_empty() {
        active.turn.model.clone()
    } else {
        model.clone()
    };
    let prices = &ctx.rules.prices;
    let (usage, source, price_version) = prices.settle(*usage, &known_as, *granularity);
    draft.session.usage += usage;
    if let Some(mut context) = *context {
        if context.window == 0 {
            context.window = prices
                .find(&known_as)
                .map_or(0, |price| price.context_window);
        }
        draft.session.context = context;
    }
    draft.change_active(|active| {
        active.turn.usage += usage;
        if !model.is_empty() {
            model.clone_into(&mut active.turn.model);
        }
    });
    draft.write_turn(TurnWrite::Usage {
        row,
        usage,
        model: model.clone(),
    });
    let event = Event::UsageRecorded {
        usage,
        model: model.clone(),
        granularity: *granularity,
        source,
        price_version: price_version.to_owned(),
    };
    draft.event(now, Some(turn), None, &event);
    let spender = spender(draft, &origin);
    draft.used(UsageRow {
        of: UsageOf {
            session_key: spender.session_key.clone(),
            subject: spender.subject.clone(),
            agent,
            model: known_as,
            labels: origin.labels,
            day: day_of(now),
        },
        usage,
    });
    for found in facts.budgets(&spender)? {
        let budget = draft.budget(found);
        budget.at(now);
        if budget.count(&usage) {
            let warning = Event::BudgetWarning {
                budget: Box::new(budget.clone()),
            };
            draft.event(now, Some(turn), None, &warning);
        }
    }
    Ok(())
}

/// Why somebody's calls may not begin any more; `None` where they may.
pub(super) fn exceeded(
    facts: &Facts,
    draft: &Draft,
    origin: &Origin,
    now: Time,
) -> Decision<Option<Exceeded>> {
    let budgets = facts.budgets(&spender(draft, origin))?;
    let exceeded = budgets.iter().filter_map(|budget| {
        let mut budget = budget.clone();
        budget.at(now);
        budget.exceeded()
    });
    Ok(Exceeded::gravest(exceeded))
}

/// Refuses a new turn where a budget that it would count against is used up.
pub(super) fn require(facts: &Facts, draft: &Draft, origin: &Origin, now: Time) -> Decision<()> {
    match exceeded(facts, draft, origin, now)? {
        Some(Exceeded {
            message,
            action: OnExceeded::Reject,
            ..
        }) => Err(Refusal::BudgetExceeded { message }.into()),
        Some(_) | None => Ok(()),
    }
}

/// Why the active turn may not call a model; `None` where it may.
pub(crate) fn may_call(
    ctx: &Context<'_>,
    facts: &Facts,
    found: Option<&Snapshot>,
    fence: Fence,
    model: &str,
    now: Time,
) -> Decision<Option<Exceeded>> {
    let draft = fenced(found, fence)?;
    let Some(active) = draft.active() else {
        return Err(Stop::Broken("a call of no turn".into()));
    };
    let mut all: Vec<Exceeded> = Vec::new();
    all.extend(exceeded(facts, &draft, &active.origin, now)?);
    if ctx.rules.prices.find(model).is_none() {
        let budgets = facts.budgets(&spender(&draft, &active.origin))?;
        all.extend(
            budgets
                .iter()
                .filter_map(|budget| budget.needs_price(model)),
        );
    }
    let (grant, used) = (active.grant, active.turn.usage);
    all.retain(|exceeded| !grant.covers(exceeded, &used));
    Ok(Exceeded::gravest(all.into_iter()))
}

/// Lets the active turn use more, as somebody answered.
pub(super) fn grant(draft: &mut Draft, content: &str) -> Decision<()> {
    let Some(active) = draft.active() else {
        return Err(Stop::Broken("a grant to no turn".into()));
    };
    let row = active.turn.row;
    let grant = Grant::parse(content, &active.turn.usage);
    let grant = grant.map_err(|problem| Refusal::field("answer.content_json", problem))?;
    draft.change_active(|active| active.grant = grant);
    draft.write_turn(TurnWrite::Grant { row, grant });
    Ok(())
}

/// Has a session looked at again whose next turn waits for a budget; `None` where it does not wait.
pub(crate) fn look_again(found: &Snapshot, now: Time) -> Option<SessionWrite> {
    found.session.budget_wait?;
    let mut draft = Draft::of(found);
    draft.session.budget_wait = None;
    Some(draft.finish(now))
}
