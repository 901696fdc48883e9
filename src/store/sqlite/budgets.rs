//! Budgets' rows. What is spent stands in them, so that no call has to sum anything up.

use super::{
    fault::{Answer, Fault},
    requests, sums,
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        budget::{
            BUDGETS_MAX, Bounds, Budget, BudgetName, BudgetScope, OnExceeded, Period, Spender,
            day_of,
        },
    },
    store::{BudgetsPage, DeleteBudget, SetBudget},
};
use rusqlite::{Connection, Row, params};

/// Sets a budget, once per request. What was used in its period before counts, as far as its cost is known.
pub(super) fn set(unit: &mut Unit<'_>, command: &SetBudget) -> Answer<(Budget, bool)> {
    let SetBudget {
        caller,
        request,
        name,
        bounds,
        on_exceeded,
        now,
    } = command;
    let request = request.as_ref();
    requests::once_for(unit, &caller.principal, "budgets", request, *now, |unit| {
        let period_start = name.period.start(day_of(*now));
        let used = sums::of_budget(unit.connection, name, period_start)?;
        let mut budget = Budget {
            name: name.clone(),
            bounds: *bounds,
            on_exceeded: *on_exceeded,
            spent_micros: 0,
            spent_tokens: 0,
            unpriced_calls: 0,
            period_start,
            warned: false,
            set_time: now.0,
        };
        budget.spent_micros = used.cost_micros;
        budget.spent_tokens = used.tokens();
        let exists = unit
            .sql("SELECT 1 FROM budget WHERE tenant = ?1 AND scope = ?2 AND key = ?3 AND period = ?4")?
            .exists(params![name.tenant, name.scope as i64, name.key, name.period as i64])?;
        let there: i64 = unit
            .sql("SELECT count(*) FROM budget WHERE tenant = ?1")?
            .query_row([&name.tenant], |row| row.get(0))?;
        if !exists && there >= BUDGETS_MAX {
            let problem = format!("the tenant has {there} of {BUDGETS_MAX} budgets; delete some");
            return Err(Refusal::field("key", problem).into());
        }
        unit.sql(
            "INSERT INTO budget (tenant, scope, key, period, soft_micros, hard_micros, soft_tokens, hard_tokens, \
             on_exceeded, spent_micros, spent_tokens, unpriced_calls, period_start, warned, set_time) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, ?12, 0, ?13) \
             ON CONFLICT (tenant, scope, key, period) DO UPDATE SET soft_micros = excluded.soft_micros, \
             hard_micros = excluded.hard_micros, soft_tokens = excluded.soft_tokens, \
             hard_tokens = excluded.hard_tokens, on_exceeded = excluded.on_exceeded, \
             spent_micros = excluded.spent_micros, spent_tokens = excluded.spent_tokens, unpriced_calls = 0, \
             period_start = excluded.period_start, warned = 0, set_time = excluded.set_time",
        )?
        .execute(params![
            name.tenant,
            name.scope as i64,
            name.key,
            name.period as i64,
            bounds.soft_micros,
            bounds.hard_micros,
            bounds.soft_tokens,
            bounds.hard_tokens,
            *on_exceeded as i64,
            budget.spent_micros,
            budget.spent_tokens,
            budget.period_start,
            budget.set_time,
        ])?;
        Ok(budget)
    })
}

/// Takes a budget away, once per request; false where there was none.
pub(super) fn delete(unit: &mut Unit<'_>, command: &DeleteBudget) -> Answer<(bool, bool)> {
    let DeleteBudget {
        caller,
        request,
        name,
        now,
    } = command;
    let request = request.as_ref();
    requests::once_for(unit, &caller.principal, "budgets", request, *now, |unit| {
        let gone = unit
            .sql(
                "DELETE FROM budget WHERE tenant = ?1 AND scope = ?2 AND key = ?3 AND period = ?4",
            )?
            .execute(params![
                name.tenant,
                name.scope as i64,
                name.key,
                name.period as i64
            ])?;
        Ok(gone > 0)
    })
}

/// Writes what a budget has counted.
pub(super) fn count(connection: &Connection, budget: &Budget) -> Answer<()> {
    let Budget {
        name,
        bounds: _,
        on_exceeded: _,
        spent_micros,
        spent_tokens,
        unpriced_calls,
        period_start,
        warned,
        set_time: _,
    } = budget;
    connection
        .prepare_cached(
            "UPDATE budget SET spent_micros = ?5, spent_tokens = ?6, unpriced_calls = ?7, period_start = ?8, warned = ?9 \
             WHERE tenant = ?1 AND scope = ?2 AND key = ?3 AND period = ?4",
        )?
        .execute(params![
            name.tenant,
            name.scope as i64,
            name.key,
            name.period as i64,
            spent_micros,
            spent_tokens,
            unpriced_calls,
            period_start,
            warned,
        ])?;
    Ok(())
}

/// The budgets that somebody's calls count against.
pub(super) fn of_spender(connection: &Connection, spender: &Spender) -> Answer<Vec<Budget>> {
    // Most tenants have none.
    let any = connection
        .prepare_cached("SELECT 1 FROM budget WHERE tenant = ?1 LIMIT 1")?
        .exists([&spender.tenant])?;
    let mut budgets = Vec::new();
    if !any {
        return Ok(budgets);
    }
    for (scope, key) in spender.keys() {
        let mut statement = connection.prepare_cached(
            "SELECT tenant, scope, key, period, soft_micros, hard_micros, soft_tokens, hard_tokens, on_exceeded, \
             spent_micros, spent_tokens, unpriced_calls, period_start, warned, set_time, row FROM budget \
             WHERE tenant = ?1 AND scope = ?2 AND key = ?3",
        )?;
        let mut found = statement.query(params![spender.tenant, scope as i64, key])?;
        while let Some(row) = found.next()? {
            budgets.push(budget(row)?);
        }
    }
    Ok(budgets)
}

/// A tenant's budgets, in the order in which they were made.
pub(super) fn list(
    connection: &Connection,
    tenant: &str,
    after: Option<i64>,
    limit: usize,
) -> Answer<BudgetsPage> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, scope, key, period, soft_micros, hard_micros, soft_tokens, hard_tokens, on_exceeded, \
         spent_micros, spent_tokens, unpriced_calls, period_start, warned, set_time, row FROM budget \
         WHERE tenant = ?1 AND row > ?2 ORDER BY row LIMIT ?3",
    )?;
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found = statement.query(params![tenant, after.unwrap_or(0), most.saturating_add(1)])?;
    let mut page = BudgetsPage::default();
    let mut last = 0;
    while let Some(row) = found.next()? {
        if page.budgets.len() == limit {
            page.next = Some(last);
            break;
        }
        page.budgets.push(budget(row)?);
        last = row.get(15)?;
    }
    Ok(page)
}

/// How many there are, over all tenants.
pub(super) fn all(connection: &Connection) -> Answer<i64> {
    Ok(connection.query_row("SELECT count(*) FROM budget", [], |row| row.get(0))?)
}

fn budget(row: &Row<'_>) -> Answer<Budget> {
    let known = |what: &str| Fault::Broken(format!("a budget has an unknown {what}"));
    Ok(Budget {
        name: BudgetName {
            tenant: row.get(0)?,
            scope: BudgetScope::from_number(row.get(1)?).ok_or_else(|| known("scope"))?,
            key: row.get(2)?,
            period: Period::from_number(row.get(3)?).ok_or_else(|| known("period"))?,
        },
        bounds: Bounds {
            soft_micros: row.get(4)?,
            hard_micros: row.get(5)?,
            soft_tokens: row.get(6)?,
            hard_tokens: row.get(7)?,
        },
        on_exceeded: OnExceeded::from_number(row.get(8)?).ok_or_else(|| known("action"))?,
        spent_micros: row.get(9)?,
        spent_tokens: row.get(10)?,
        unpriced_calls: row.get(11)?,
        period_start: row.get(12)?,
        warned: row.get(13)?,
        set_time: row.get(14)?,
    })
}
