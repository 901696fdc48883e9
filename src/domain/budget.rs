//! Budgets: how much may be used, by whom, in which time. Pure; the time comes in.

use super::{
    ids::{Principal, SessionKey, Time},
    session::Session,
    turn::Usage,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Budgets of one tenant.
pub const BUDGETS_MAX: i64 = 10_000;
/// Greatest bound of a budget, in millionths of a dollar or in tokens.
pub const LIMIT_MAX: i64 = 1 << 53;
/// Longest key, in bytes: a label with its value.
pub const KEY_MAX_BYTES: usize = 63 + 1 + 256;
/// Microseconds of a day.
const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Whose use a budget bounds. The numbers are the contract's and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BudgetScope {
    /// One session's, by its key.
    Session = 1,
    /// What one principal sent, in whatever session.
    Principal = 2,
    /// The whole tenant's.
    Tenant = 3,
    /// Of sessions with a label, as it was when the turn was accepted.
    Label = 4,
}

/// The time that a budget is for; it begins at midnight, UTC. The numbers are the contract's and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Period {
    /// All time.
    Total = 1,
    /// A day.
    Day = 2,
    /// A month of the calendar.
    Month = 3,
}

/// What happens where a hard bound is reached. The numbers are the contract's and the store's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnExceeded {
    /// Turns end, and new ones are refused.
    #[default]
    Reject = 1,
    /// Turns ask for more, and new ones wait.
    Pause = 2,
}

/// Which budget. There is one of each name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BudgetName {
    /// Its tenant.
    pub tenant: String,
    /// Whose use it bounds.
    pub scope: BudgetScope,
    /// A session's key, a subject, `label=value`; empty for the tenant.
    pub key: String,
    /// The time that it is for.
    pub period: Period,
}

/// The bounds of a budget; `None` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Where somebody is warned, in millionths of a US dollar.
    pub soft_micros: Option<i64>,
    /// Where it is used up.
    pub hard_micros: Option<i64>,
    /// Where somebody is warned, in tokens.
    pub soft_tokens: Option<i64>,
    /// Where it is used up.
    pub hard_tokens: Option<i64>,
}

/// A budget, and what of it is used in its present period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Which.
    pub name: BudgetName,
    /// Its bounds.
    pub bounds: Bounds,
    /// What happens at a hard one.
    pub on_exceeded: OnExceeded,
    /// Millionths of a US dollar that are spent.
    pub spent_micros: i64,
    /// Tokens that are used.
    pub spent_tokens: i64,
    /// Calls whose cost nobody knows, since the budget was set.
    pub unpriced_calls: i64,
    /// First day of the period that is counted, in days since 1970.
    pub period_start: i64,
    /// A warning was given in this period.
    pub warned: bool,
    /// When it was set last.
    pub set_time: i64,
}

/// Whose use a call is: what decides which budgets it counts against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spender {
    /// The tenant.
    pub tenant: String,
    /// The session's key.
    pub session_key: String,
    /// Who sent the turn.
    pub subject: String,
    /// The session's labels when the turn was accepted.
    pub labels: BTreeMap<String, String>,
}

/// What a hard bound says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// For people: which budget, how much of how much.
    pub message: String,
    /// What happens.
    pub action: OnExceeded,
    /// The cost of what was, or would be, used is not known: money granted tells nothing.
    pub unpriced: bool,
}

/// How far a turn may go on where a budget is used up, in what it has used itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Until it cost this much, in millionths of a US dollar.
    pub until_micros: Option<i64>,
    /// Until it used so many tokens.
    pub until_tokens: Option<i64>,
}

/// The day of a moment, UTC, in days since 1970.
pub fn day_of(time: Time) -> i64 {
    time.0.div_euclid(DAY_MICROS)
}

/// Midnight of a day.
pub fn midnight(day: i64) -> Time {
    Time(day.saturating_mul(DAY_MICROS))
}

// === impl BudgetScope ===

impl BudgetScope {
    /// The scope with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Session, Self::Principal, Self::Tenant, Self::Label]
            .into_iter()
            .find(|scope| *scope as i64 == number)
    }

    /// The key as it is kept, of what a caller gives.
    ///
    /// # Errors
    /// What a key of it is, for people.
    pub fn key(self, tenant: &str, given: &str) -> Result<String, String> {
        match self {
            Self::Session => SessionKey::parse(given).map(|key| key.as_str().to_owned()),
            Self::Principal => {
                let subject = match given.split_once('/') {
                    None => given,
                    Some((named, subject)) if named == tenant => subject,
                    Some(_) => return Err("must be a principal of the same tenant".to_owned()),
                };
                SessionKey::parse(subject).map(|subject| subject.as_str().to_owned())
            }
            Self::Tenant if given.is_empty() => Ok(String::new()),
            Self::Tenant => Err("must be empty: the budget is of the whole tenant".to_owned()),
            Self::Label => match given.split_once('=') {
                Some((label, _)) if !label.is_empty() && given.len() <= KEY_MAX_BYTES => {
                    Ok(given.to_owned())
                }
                Some(_) | None => Err("must be a label and its value, as label=value".to_owned()),
            },
        }
    }
}

// === impl Period ===

impl Period {
    /// The period with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Total, Self::Day, Self::Month]
            .into_iter()
            .find(|period| *period as i64 == number)
    }

    /// First day of the period that a day is in.
    pub fn start(self, day: i64) -> i64 {
        match self {
            Self::Total => 0,
            Self::Day => day,
            Self::Month => day - day_of_month(day) + 1,
        }
    }
}

/// The day within its month, from 1, in the Gregorian calendar. By years that begin in March, so that a leap day is the
/// last of its year, and eras of 400 years, which are alike.
fn day_of_month(day: i64) -> i64 {
    let since_march = day + 719_468;
    let day_of_era = since_march.rem_euclid(146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month + 2) / 5 + 1
}

// === impl OnExceeded ===

impl OnExceeded {
    /// The action with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Reject, Self::Pause]
            .into_iter()
            .find(|action| *action as i64 == number)
    }
}

// === impl BudgetName ===

impl BudgetName {
    /// The key as callers are told.
    pub fn shown_key(&self) -> String {
        match self.scope {
            BudgetScope::Principal => Principal {
                tenant: self.tenant.clone(),
                subject: self.key.clone(),
            }
            .to_string(),
            BudgetScope::Session | BudgetScope::Tenant | BudgetScope::Label => self.key.clone(),
        }
    }
}

impl fmt::Display for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Total => "the budget",
            Period::Day => "the day's budget",
            Period::Month => "the month's budget",
        };
        let key = self.shown_key();
        match self.scope {
            BudgetScope::Session => write!(f, "{period} of session {key}"),
            BudgetScope::Principal => write!(f, "{period} of {key}"),
            BudgetScope::Tenant => write!(f, "{period} of the tenant"),
            BudgetScope::Label => write!(f, "{period} of sessions with the label {key}"),
        }
    }
}

// === impl Budget ===

impl Budget {
    /// Begins its period anew where that of this moment is a later one.
    pub fn at(&mut self, now: Time) {
        let start = self.name.period.start(day_of(now));
        if start > self.period_start {
            self.period_start = start;
            self.spent_micros = 0;
            self.spent_tokens = 0;
            self.unpriced_calls = 0;
            self.warned = false;
        }
    }

    /// Counts what was used. True where a warning is due, once a period.
    pub fn count(&mut self, usage: &Usage) -> bool {
        self.spent_micros = self.spent_micros.saturating_add(usage.cost_micros);
        self.spent_tokens = self.spent_tokens.saturating_add(usage.tokens());
        self.unpriced_calls = self.unpriced_calls.saturating_add(usage.unpriced_calls);
        let reached = |bound: Option<i64>, spent| bound.is_some_and(|bound| spent >= bound);
        let soft = reached(self.bounds.soft_micros, self.spent_micros)
            || reached(self.bounds.soft_tokens, self.spent_tokens);
        soft && !std::mem::replace(&mut self.warned, true)
    }

    /// Why no further call may begin; `None` where one may.
    pub fn exceeded(&self) -> Option<Exceeded> {
        let name = &self.name;
        let mut unpriced = false;
        let message = match self.bounds {
            Bounds {
                hard_micros: Some(bound),
                ..
            } if self.spent_micros >= bound => {
                let (spent, bound) = (dollars(self.spent_micros), dollars(bound));
                format!("{name} is used up: {spent} of {bound} US dollars")
            }
            Bounds {
                hard_tokens: Some(bound),
                ..
            } if self.spent_tokens >= bound => {
                format!("{name} is used up: {} of {bound} tokens", self.spent_tokens)
            }
            Bounds {
                hard_micros: Some(_),
                ..
            } if self.unpriced_calls > 0 => {
                unpriced = true;
                let calls = match self.unpriced_calls {
                    1 => "a model call".to_owned(),
                    many => format!("{many} model calls"),
                };
                format!(
                    "{name} can't be kept: {calls} since it was set had no known price; give the model a price, or use \
                     another one, and set the budget again"
                )
            }
            Bounds { .. } => return None,
        };
        Some(Exceeded {
            message,
            action: self.on_exceeded,
            unpriced,
        })
    }

    /// Why a call of a model whose price is not known may not begin; `None` where it may.
    pub fn needs_price(&self, model: &str) -> Option<Exceeded> {
        self.bounds.hard_micros?;
        let name = &self.name;
        Some(Exceeded {
            message: format!(
                "{name} is in dollars, and the price of {model} is not known: give it one in the configuration, or use \
                 another model"
            ),
            action: self.on_exceeded,
            unpriced: true,
        })
    }
}

// === impl Exceeded ===

impl Exceeded {
    /// The one that counts of several: where one ends turns, they end.
    pub fn gravest(all: impl Iterator<Item = Self>) -> Option<Self> {
        let mut gravest: Option<Self> = None;
        for one in all {
            if one.action == OnExceeded::Reject {
                return Some(one);
            }
            gravest.get_or_insert(one);
        }
        gravest
    }
}

// === impl Grant ===

impl Grant {
    /// A grant of so much more than was used, as it is answered: `{"micros": n}` or `{"tokens": n}`.
    ///
    /// # Errors
    /// What an answer is, for people.
    pub fn parse(content: &str, used: &Usage) -> Result<Self, String> {
        let problem = || {
            format!(
                "must be {{\"micros\": n}} or {{\"tokens\": n}}, n from 1 to {LIMIT_MAX}: how much more this turn may use"
            )
        };
        let content: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(content).map_err(|_| problem())?;
        let mut entries = content.iter();
        let (Some((unit, amount)), None) = (entries.next(), entries.next()) else {
            return Err(problem());
        };
        let amount = amount.as_i64().filter(|it| (1..=LIMIT_MAX).contains(it));
        let amount = amount.ok_or_else(problem)?;
        let mut grant = Self::default();
        match unit.as_str() {
            "micros" => grant.until_micros = Some(used.cost_micros.saturating_add(amount)),
            "tokens" => grant.until_tokens = Some(used.tokens().saturating_add(amount)),
            _ => return Err(problem()),
        }
        Ok(grant)
    }

    /// Whether a turn that used so much may go on all the same.
    pub fn covers(&self, exceeded: &Exceeded, used: &Usage) -> bool {
        let below = |until: Option<i64>, used| until.is_some_and(|until| used < until);
        let money = below(self.until_micros, used.cost_micros) && !exceeded.unpriced;
        exceeded.action == OnExceeded::Pause && (money || below(self.until_tokens, used.tokens()))
    }
}

/// Millionths of a dollar as dollars.
pub fn dollars(micros: i64) -> String {
    let cents = micros / 10_000;
    if micros == cents * 10_000 {
        format!("{}.{:02}", cents / 100, cents % 100)
    } else {
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

// === impl Spender ===

impl Spender {
    /// Who spends for a turn of a session.
    pub fn of(session: &Session, subject: &str, labels: &BTreeMap<String, String>) -> Self {
        Self {
            tenant: session.tenant.clone(),
            session_key: session.key.as_str().to_owned(),
            subject: subject.to_owned(),
            labels: labels.clone(),
        }
    }

    /// Scopes and keys of the budgets that its calls count against.
    pub fn keys(&self) -> Vec<(BudgetScope, String)> {
        let mut keys = vec![
            (BudgetScope::Session, self.session_key.clone()),
            (BudgetScope::Principal, self.subject.clone()),
            (BudgetScope::Tenant, String::new()),
        ];
        let labels = self.labels.iter();
        keys.extend(labels.map(|(label, value)| (BudgetScope::Label, format!("{label}={value}"))));
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(period: Period, bounds: Bounds) -> Budget {
        Budget {
            name: BudgetName {
                tenant: "default".into(),
                scope: BudgetScope::Principal,
                key: "anna".into(),
                period,
            },
            bounds,
            on_exceeded: OnExceeded::Reject,
            spent_micros: 0,
            spent_tokens: 0,
            unpriced_calls: 0,
            period_start: 0,
            warned: false,
            set_time: 0,
        }
    }

    fn cost(cost_micros: i64) -> Usage {
        Usage {
            cost_micros,
            model_calls: 1,
            ..Usage::default()
        }
    }

    #[test]
    fn a_month_begins_on_its_first_day() {
        // 1970-01-01, 1972-02-29, 1972-03-01, 2026-11-30, 2100-03-01 in days since 1970.
        for (day, first) in [
            (0, 0),
            (789, 761),
            (790, 790),
            (20_787, 20_758),
            (47_541, 47_541),
        ] {
            assert_eq!(Period::Month.start(day), first, "{day}");
        }
        assert_eq!(Period::Month.start(-1), -31);
    }

    #[test]
    fn a_warning_comes_once_a_period_and_a_new_period_begins_with_nothing() {
        let bounds = Bounds {
            soft_micros: Some(10),
            hard_micros: Some(20),
            ..Bounds::default()
        };
        let mut budget = budget(Period::Day, bounds);
        assert!(!budget.count(&cost(9)));
        assert!(budget.count(&cost(1)));
        assert!(!budget.count(&cost(9)));
        assert_eq!(budget.exceeded(), None);
        budget.count(&cost(1));
        let why = budget.exceeded().expect("used up").message;
        assert_eq!(
            why,
            "the day's budget of default/anna is used up: 0.000020 of 0.000020 US dollars"
        );
        budget.at(midnight(1));
        assert_eq!((budget.exceeded(), budget.spent_micros), (None, 0));
        assert!(budget.count(&cost(10)));
        // A clock that was set back begins no period anew.
        budget.at(midnight(0));
        assert_eq!(budget.spent_micros, 10);
    }

    #[test]
    fn a_call_without_a_price_is_no_call_for_nothing() {
        let money = Bounds {
            hard_micros: Some(20),
            ..Bounds::default()
        };
        let tokens = Bounds {
            hard_tokens: Some(20),
            ..Bounds::default()
        };
        let unpriced = Usage {
            unpriced_calls: 1,
            ..cost(0)
        };
        for (bounds, stops) in [(money, true), (tokens, false)] {
            let mut budget = budget(Period::Total, bounds);
            assert_eq!(budget.needs_price("m").is_some(), stops);
            budget.count(&unpriced);
            assert_eq!(budget.exceeded().is_some(), stops);
        }
    }

    #[test]
    fn a_grant_is_of_so_much_more_than_was_used() {
        let used = Usage {
            input_tokens: 7,
            ..cost(100)
        };
        let grant = |text: &str| Grant::parse(text, &used);
        let exceeded = |action, unpriced| Exceeded {
            message: String::new(),
            action,
            unpriced,
        };
        let pause = exceeded(OnExceeded::Pause, false);
        let money = grant("{\"micros\": 5}").expect("a grant");
        assert!(money.covers(&pause, &cost(104)) && !money.covers(&pause, &cost(105)));
        assert!(!money.covers(&exceeded(OnExceeded::Pause, true), &cost(104)));
        assert!(!money.covers(&exceeded(OnExceeded::Reject, false), &cost(104)));
        let tokens = grant("{\"tokens\": 1}").expect("a grant");
        assert!(tokens.covers(&exceeded(OnExceeded::Pause, true), &used));
        for wrong in [
            "",
            "{}",
            "{\"micros\": 0}",
            "{\"micros\": 1, \"tokens\": 1}",
            "{\"dollars\": 1}",
            "[1]",
        ] {
            assert!(grant(wrong).is_err(), "{wrong}");
        }
        let all = [pause, exceeded(OnExceeded::Reject, false)];
        let gravest = Exceeded::gravest(all.into_iter()).expect("one");
        assert_eq!(gravest.action, OnExceeded::Reject);
    }

    #[test]
    fn keys_are_of_their_scope() {
        let key = |scope: BudgetScope, given| scope.key("default", given).ok();
        assert_eq!(
            key(BudgetScope::Principal, "default/anna").as_deref(),
            Some("anna")
        );
        assert_eq!(key(BudgetScope::Principal, "anna").as_deref(), Some("anna"));
        assert_eq!(key(BudgetScope::Principal, "other/anna"), None);
        assert_eq!(key(BudgetScope::Tenant, ""), Some(String::new()));
        assert_eq!(key(BudgetScope::Tenant, "default"), None);
        assert_eq!(
            key(BudgetScope::Label, "team=a=b").as_deref(),
            Some("team=a=b")
        );
        assert_eq!(key(BudgetScope::Label, "team"), None);
        assert_eq!(key(BudgetScope::Session, ""), None);
    }
}
