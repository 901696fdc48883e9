//! What `usage` and `budgets` take.

use super::{ClientArgs, pair};
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// One row for each session, principal, agent, model, day, or value of a label (label:NAME); may be given several times
    /// [default: one row for all]
    #[arg(long, value_name = "WHAT", value_parser = usage_by, value_delimiter = ',')]
    pub(crate) by: Vec<UsageBy>,
    /// Only the last of it, such as 7days; whole days, UTC
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Only of this session
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "KEY"
    )]
    pub(crate) session: String,
    /// Only of turns that this principal sent
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TENANT/SUBJECT"
    )]
    pub(crate) principal: String,
    /// Only of this agent
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) agent: String,
    /// Only of this model, as its agent names it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) model: String,
    /// Only of sessions that had this label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Tenant, where it is not one's own; for whoever runs the server
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// By what use is put together.
#[derive(Clone, Debug)]
pub(crate) enum UsageBy {
    Session,
    Principal,
    Agent,
    Model,
    Day,
    Label(String),
}

fn usage_by(text: &str) -> Result<UsageBy, String> {
    Ok(match text {
        "session" => UsageBy::Session,
        "principal" => UsageBy::Principal,
        "agent" => UsageBy::Agent,
        "model" => UsageBy::Model,
        "day" => UsageBy::Day,
        _ => match text.strip_prefix("label:") {
            Some(label) if !label.is_empty() => UsageBy::Label(label.to_owned()),
            Some(_) | None => {
                return Err("expected session, principal, agent, model, day or label:NAME".into());
            }
        },
    })
}

#[derive(Debug, Args)]
pub(crate) struct BudgetsArgs {
    #[command(subcommand)]
    pub(crate) command: BudgetsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetsVerb {
    /// Set a budget, all of it. What was used in its present period before counts.
    ///
    /// Where a hard bound is reached no further model call begins: turns end with BUDGET_EXCEEDED, and new ones are refused.
    /// Agents that call models by themselves are stopped between turns. One of the whole tenant is for whoever runs the
    /// server.
    Set(SetBudgetArgs),
    /// List the budgets of your tenant, and what of them is used.
    List(ListBudgetsArgs),
    /// Take a budget away.
    Delete(DeleteBudgetArgs),
}

/// Whose use a budget bounds.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum BudgetScope {
    /// One session's, by its key
    Session,
    /// What one principal sends
    Principal,
    /// The whole tenant's; without a key
    Tenant,
    /// Of sessions with a label, as LABEL=VALUE
    Label,
}

/// The time that a budget is for, UTC.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum BudgetPeriod {
    /// All time
    Total,
    /// A day
    Day,
    /// A month of the calendar
    Month,
}

/// Which budget.
#[derive(Debug, Args)]
pub(crate) struct BudgetName {
    /// Whose use it bounds
    #[arg(value_enum)]
    pub(crate) scope: BudgetScope,
    /// A session's key, a principal, or LABEL=VALUE
    #[arg(default_value = "", hide_default_value = true, value_name = "KEY")]
    pub(crate) whose: String,
    /// The time that it is for
    #[arg(long, value_enum, default_value = "total")]
    pub(crate) period: BudgetPeriod,
    /// Tenant, where it is not one's own; for whoever runs the server
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
}

#[derive(Debug, Args)]
pub(crate) struct SetBudgetArgs {
    #[command(flatten)]
    pub(crate) name: BudgetName,
    /// Where it is used up, in US dollars, such as 5 or 0.25
    #[arg(long, value_name = "DOLLARS", value_parser = micros)]
    pub(crate) hard_dollars: Option<i64>,
    /// Where somebody is warned (event `budget_warning`), in US dollars
    #[arg(long, value_name = "DOLLARS", value_parser = micros)]
    pub(crate) soft_dollars: Option<i64>,
    /// Where it is used up, in tokens read and written
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) hard_tokens: Option<i64>,
    /// Where somebody is warned, in tokens
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) soft_tokens: Option<i64>,
    /// Where it is used up: let new turns wait, and running ones ask for more [default: they are refused, and end]
    #[arg(long)]
    pub(crate) pause: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListBudgetsArgs {
    /// Tenant, where it is not one's own; for whoever runs the server
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteBudgetArgs {
    #[command(flatten)]
    pub(crate) name: BudgetName,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Dollars as millionths, to the last digit.
fn micros(text: &str) -> Result<i64, String> {
    let problem =
        || "expected dollars such as 5 or 0.25, with 6 digits behind the point at most".to_owned();
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || rest.len() > 6 || !digits(whole) || !digits(rest) {
        return Err(problem());
    }
    format!("{whole}{rest:0<6}").parse().map_err(|_| problem())
}
