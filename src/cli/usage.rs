//! `quarterdeck usage` and `quarterdeck budgets`.

use super::{
    arguments::{
        BudgetName, BudgetPeriod, BudgetScope, BudgetsArgs, BudgetsVerb, ClientArgs,
        DeleteBudgetArgs, ListBudgetsArgs, SetBudgetArgs, UsageArgs, UsageBy,
    },
    failure::{Failure, USAGE},
    output::{self, table},
};
use quarterdeck::proto::{self, Usage};
use std::{process::ExitCode, time::SystemTime};

/// Rows that one call asks for.
const PAGE: i32 = 500;

// === usage ===

/// What was used.
pub(crate) async fn usage(arguments: UsageArgs) -> Result<ExitCode, Failure> {
    let UsageArgs {
        by,
        since,
        session,
        principal,
        agent,
        model,
        labels,
        tenant,
        client: arguments,
    } = arguments;
    let start_time = since.map(|long| {
        let start = SystemTime::now().checked_sub(long);
        start.unwrap_or(SystemTime::UNIX_EPOCH).into()
    });
    let request = proto::GetUsageRequest {
        filter: Some(proto::UsageFilter {
            session_key: session,
            principal,
            agent,
            model,
            labels: labels.into_iter().collect(),
            start_time,
            end_time: None,
        }),
        group_by: by.iter().map(grouping).collect(),
        page_size: PAGE,
        page_token: String::new(),
        tenant,
    };
    let client = arguments.client()?;
    let mut names: Vec<String> = by.iter().map(heading).collect();
    names.extend(["CALLS", "INPUT", "CACHED", "OUTPUT", "DOLLARS"].map(str::to_owned));
    let mut rows = vec![names];
    let mut used = client.all_usage(request);
    while let Some(row) = used.next().await {
        let row = row.map_err(|status| Failure::call(&arguments.addr, &status))?;
        if arguments.json {
            output::json("UsageRow", &row)?;
            continue;
        }
        let mut cells = row.keys;
        cells.extend(numbers(&row.usage.unwrap_or_default()));
        rows.push(cells);
    }
    if arguments.json {
        return Ok(ExitCode::SUCCESS);
    }
    if rows.len() == 1 {
        output::notice("nothing was used");
    } else {
        output::write(&output::columns(rows.iter().map(Vec::as_slice)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn grouping(by: &UsageBy) -> proto::UsageGrouping {
    let (by, label_key) = match by {
        UsageBy::Session => (proto::UsageBy::Session, ""),
        UsageBy::Principal => (proto::UsageBy::Principal, ""),
        UsageBy::Agent => (proto::UsageBy::Agent, ""),
        UsageBy::Model => (proto::UsageBy::Model, ""),
        UsageBy::Day => (proto::UsageBy::Day, ""),
        UsageBy::Label(label) => (proto::UsageBy::Label, label.as_str()),
    };
    proto::UsageGrouping {
        by: by.into(),
        label_key: label_key.to_owned(),
    }
}

fn heading(by: &UsageBy) -> String {
    match by {
        UsageBy::Session => "SESSION".to_owned(),
        UsageBy::Principal => "PRINCIPAL".to_owned(),
        UsageBy::Agent => "AGENT".to_owned(),
        UsageBy::Model => "MODEL".to_owned(),
        UsageBy::Day => "DAY".to_owned(),
        UsageBy::Label(label) => label.to_uppercase(),
    }
}

fn numbers(usage: &Usage) -> [String; 5] {
    let cached = usage
        .cache_read_tokens
        .saturating_add(usage.cache_write_tokens);
    [
        usage.model_calls.to_string(),
        usage.input_tokens.to_string(),
        cached.to_string(),
        usage.output_tokens.to_string(),
        cost(usage),
    ]
}

/// What it cost; a lower bound says so.
fn cost(usage: &Usage) -> String {
    match usage.unpriced_calls {
        0 => dollars(usage.cost_micros),
        unpriced => format!(
            "{} and {} without a price",
            dollars(usage.cost_micros),
            count_of(unpriced, "call")
        ),
    }
}

/// So many of something: one is one, others have an s.
pub(super) fn count_of(count: i64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

fn dollars(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

// === budgets ===

/// Sets, lists and takes away budgets.
pub(crate) async fn budgets(arguments: BudgetsArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        BudgetsVerb::Set(arguments) => set(arguments).await,
        BudgetsVerb::List(arguments) => list(arguments).await,
        BudgetsVerb::Delete(arguments) => delete(arguments).await,
    }
}

fn scope_of(scope: BudgetScope) -> i32 {
    let scope = match scope {
        BudgetScope::Session => proto::BudgetScope::Session,
        BudgetScope::Principal => proto::BudgetScope::Principal,
        BudgetScope::Tenant => proto::BudgetScope::Tenant,
        BudgetScope::Label => proto::BudgetScope::Label,
    };
    scope.into()
}

fn period_of(period: BudgetPeriod) -> i32 {
    let period = match period {
        BudgetPeriod::Total => proto::BudgetPeriod::Total,
        BudgetPeriod::Day => proto::BudgetPeriod::Day,
        BudgetPeriod::Month => proto::BudgetPeriod::Month,
    };
    period.into()
}

async fn set(arguments: SetBudgetArgs) -> Result<ExitCode, Failure> {
    let SetBudgetArgs {
        name:
            BudgetName {
                scope,
                whose: key,
                period,
                tenant,
            },
        hard_dollars,
        soft_dollars,
        hard_tokens,
        soft_tokens,
        pause,
        client: arguments,
    } = arguments;
    if [hard_dollars, soft_dollars, hard_tokens, soft_tokens] == [None; 4] {
        let problem =
            "name a bound: --hard-dollars, --soft-dollars, --hard-tokens or --soft-tokens";
        return Err(Failure::new(USAGE, problem));
    }
    let request = proto::SetBudgetRequest {
        scope: scope_of(scope),
        key,
        period: period_of(period),
        soft_micros: soft_dollars,
        hard_micros: hard_dollars,
        soft_tokens,
        hard_tokens,
        on_exceeded: if pause {
            proto::OnExceeded::Pause.into()
        } else {
            proto::OnExceeded::Reject.into()
        },
        request_id: String::new(),
        tenant,
    };
    let set = arguments.client()?.set_budget(request).await;
    let set = set.map_err(|status| Failure::call(&arguments.addr, &status))?;
    show(&arguments, &set.budget.into_iter().collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

async fn list(arguments: ListBudgetsArgs) -> Result<ExitCode, Failure> {
    let ListBudgetsArgs {
        tenant,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let mut budgets = Vec::new();
    let mut found = client.all_budgets(proto::ListBudgetsRequest {
        page_size: PAGE,
        tenant,
        ..Default::default()
    });
    while let Some(budget) = found.next().await {
        budgets.push(budget.map_err(|status| Failure::call(&arguments.addr, &status))?);
    }
    if budgets.is_empty() && !arguments.json {
        output::notice("no budgets");
    } else {
        show(&arguments, &budgets)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(arguments: DeleteBudgetArgs) -> Result<ExitCode, Failure> {
    let DeleteBudgetArgs {
        name:
            BudgetName {
                scope,
                whose: key,
                period,
                tenant,
            },
        client: arguments,
    } = arguments;
    let request = proto::DeleteBudgetRequest {
        scope: scope_of(scope),
        key,
        period: period_of(period),
        request_id: String::new(),
        tenant,
    };
    let gone = arguments.client()?.delete_budget(request).await;
    let gone = gone.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("DeleteBudgetResponse", &gone)?;
    } else if !gone.deleted {
        output::notice("there was no such budget");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &ClientArgs, budgets: &[proto::Budget]) -> Result<(), Failure> {
    if arguments.json {
        return budgets
            .iter()
            .try_for_each(|budget| output::json("Budget", budget));
    }
    let bound = |soft: Option<String>, hard: Option<String>| match (soft, hard) {
        (None, None) => "none".to_owned(),
        (Some(soft), None) => format!("warns at {soft}"),
        (None, Some(hard)) => hard,
        (Some(soft), Some(hard)) => format!("{hard}, warns at {soft}"),
    };
    let mut rows = vec![
        [
            "SCOPE", "KEY", "PERIOD", "DOLLARS", "SPENT", "TOKENS", "USED", "STATE",
        ]
        .map(str::to_owned),
    ];
    for budget in budgets {
        let scope = match budget.scope() {
            proto::BudgetScope::Session => "session",
            proto::BudgetScope::Principal => "principal",
            proto::BudgetScope::Tenant => "tenant",
            proto::BudgetScope::Label => "label",
            proto::BudgetScope::Unspecified => "unknown",
        };
        let period = match budget.period() {
            proto::BudgetPeriod::Total => "total",
            proto::BudgetPeriod::Day => "day",
            proto::BudgetPeriod::Month => "month",
            proto::BudgetPeriod::Unspecified => "unknown",
        };
        let spent = match budget.unpriced_calls {
            0 => dollars(budget.spent_micros),
            unpriced => format!(
                "{} and {} without a price",
                dollars(budget.spent_micros),
                count_of(unpriced, "call")
            ),
        };
        rows.push([
            scope.to_owned(),
            budget.key.clone(),
            period.to_owned(),
            bound(
                budget.soft_micros.map(dollars),
                budget.hard_micros.map(dollars),
            ),
            spent,
            bound(
                budget.soft_tokens.map(|it| it.to_string()),
                budget.hard_tokens.map(|it| it.to_string()),
            ),
            budget.spent_tokens.to_string(),
            match (budget.exceeded, budget.on_exceeded()) {
                (false, _) => "open",
                (true, proto::OnExceeded::Pause) => "used up, pauses",
                (true, _) => "used up",
            }
            .to_owned(),
        ]);
    }
    output::write(&table(&rows))
}
