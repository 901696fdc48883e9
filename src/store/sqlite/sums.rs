//! What was used, summed by session, sender, agent, model, labels and day.

use super::{fault::Answer, rows};
use crate::{
    domain::{
        Refusal,
        budget::{BudgetName, BudgetScope},
        session::Session,
        turn::Usage,
        usage::{GROUPS_MAX, GroupBy, Groups, UsageFilter, UsageOf},
    },
    store::core::write_set::UsageRow,
};
use rusqlite::{Connection, Row, params};
use std::time::Instant;

/// Rows between two looks at the clock.
const LOOK_ROWS: u32 = 1024;

/// Adds what was used in a session.
pub(super) fn add(connection: &Connection, session: &Session, row: &UsageRow) -> Answer<()> {
    let UsageRow {
        of:
            UsageOf {
                session_key,
                subject,
                agent,
                model,
                labels,
                day,
            },
        usage,
    } = row;
    connection
        .prepare_cached(
            "INSERT INTO usage_sum (tenant, session_uid, session_key, owner, subject, agent, model, labels, day, \
             input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_micros, model_calls, \
             unpriced_calls, reasoning_tokens) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
             ON CONFLICT (session_uid, day, subject, agent, model, labels) DO UPDATE SET \
             input_tokens = input_tokens + excluded.input_tokens, \
             output_tokens = output_tokens + excluded.output_tokens, \
             cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens, \
             cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens, \
             cost_micros = cost_micros + excluded.cost_micros, model_calls = model_calls + excluded.model_calls, \
             unpriced_calls = unpriced_calls + excluded.unpriced_calls, \
             reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens",
        )?
        .execute(params![
            session.tenant,
            session.uid,
            session_key,
            session.owner,
            subject,
            agent,
            model,
            rows::map_text(labels),
            day,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cost_micros,
            usage.model_calls,
            usage.unpriced_calls,
            usage.reasoning_tokens,
        ])?;
    Ok(())
}

/// Puts rows together. Gives up at a moment: there may be many rows.
pub(super) fn grouped(
    connection: &Connection,
    filter: &UsageFilter,
    by: &[GroupBy],
    until: Instant,
) -> Answer<Groups> {
    let UsageFilter {
        tenant,
        owner,
        session_key,
        subject,
        agent,
        model,
        labels: _,
        first_day,
        end_day,
    } = filter;
    let first_day = first_day.unwrap_or(i64::MIN);
    let end_day = end_day.unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT session_key, subject, agent, model, labels, day, input_tokens, output_tokens, cache_read_tokens, \
         cache_write_tokens, cost_micros, model_calls, unpriced_calls, reasoning_tokens FROM usage_sum \
         WHERE tenant = ?1 AND day >= ?2 AND day < ?3 AND (?4 IS NULL OR owner = ?4) AND (?5 = '' OR session_key = ?5) \
         AND (?6 = '' OR subject = ?6) AND (?7 = '' OR agent = ?7) AND (?8 = '' OR model = ?8)",
    )?;
    let mut found = statement.query(params![
        tenant,
        first_day,
        end_day,
        owner,
        session_key,
        subject,
        agent,
        model
    ])?;
    let mut groups = Groups::default();
    let mut seen: u32 = 0;
    while let Some(row) = found.next()? {
        seen = seen.wrapping_add(1);
        if seen.is_multiple_of(LOOK_ROWS) && Instant::now() > until {
            return Err(Refusal::DeadlineExceeded.into());
        }
        let (of, usage) = sum(row)?;
        if filter.has_labels(&of) && !groups.add(by, &of, usage) {
            let problem =
                format!("make more than {GROUPS_MAX} groups; ask for a shorter time, or for less");
            return Err(Refusal::field("group_by", problem).into());
        }
    }
    Ok(groups)
}

/// What counts against a budget since a day.
pub(super) fn of_budget(
    connection: &Connection,
    name: &BudgetName,
    first_day: i64,
) -> Answer<Usage> {
    let BudgetName {
        tenant,
        scope,
        key,
        period: _,
    } = name;
    let (session_key, subject) = match scope {
        BudgetScope::Session => (key.as_str(), ""),
        BudgetScope::Principal => ("", key.as_str()),
        BudgetScope::Tenant | BudgetScope::Label => ("", ""),
    };
    let label = match scope {
        BudgetScope::Label => key.split_once('='),
        BudgetScope::Session | BudgetScope::Principal | BudgetScope::Tenant => None,
    };
    let mut statement = connection.prepare_cached(
        "SELECT session_key, subject, agent, model, labels, day, input_tokens, output_tokens, cache_read_tokens, \
         cache_write_tokens, cost_micros, model_calls, unpriced_calls, reasoning_tokens FROM usage_sum \
         WHERE tenant = ?1 AND day >= ?2 AND (?3 = '' OR session_key = ?3) AND (?4 = '' OR subject = ?4)",
    )?;
    let mut found = statement.query(params![tenant, first_day, session_key, subject])?;
    let mut all = Usage::default();
    while let Some(row) = found.next()? {
        let (of, usage) = sum(row)?;
        let counts =
            label.is_none_or(|(label, value)| of.labels.get(label).is_some_and(|it| it == value));
        if counts {
            all += usage;
        }
    }
    Ok(all)
}

fn sum(row: &Row<'_>) -> Answer<(UsageOf, Usage)> {
    let of = UsageOf {
        session_key: row.get(0)?,
        subject: row.get(1)?,
        agent: row.get(2)?,
        model: row.get(3)?,
        labels: rows::map_of(&row.get::<_, String>(4)?)?,
        day: row.get(5)?,
    };
    let usage = Usage {
        input_tokens: row.get(6)?,
        output_tokens: row.get(7)?,
        cache_read_tokens: row.get(8)?,
        cache_write_tokens: row.get(9)?,
        cost_micros: row.get(10)?,
        model_calls: row.get(11)?,
        unpriced_calls: row.get(12)?,
        reasoning_tokens: row.get(13)?,
    };
    Ok((of, usage))
}
