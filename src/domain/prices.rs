//! What models cost: a table that is shipped, and what the configuration says instead. Pure.
//!
//! A model that is not in it has no price, which is never the price 0.

use super::turn::{CostSource, Granularity, Usage};
use std::collections::BTreeMap;

/// The shipped table.
const SHIPPED: &str = include_str!("prices.csv");
/// Names the shipped table in events.
pub const SHIPPED_VERSION: &str = "shipped-2026-11-30";
/// Names what the configuration says.
pub const CONFIGURED_VERSION: &str = "configured";
/// Models that the configuration may price.
pub const CONFIGURED_MAX: usize = 1024;
/// Tokens that a price is for.
const MILLION: i128 = 1_000_000;

/// What a million tokens cost, in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Read, not from the cache.
    pub input: i64,
    /// Written, reasoning included.
    pub output: i64,
    /// Read from the provider's cache.
    pub cache_read: i64,
    /// Written to the provider's cache.
    pub cache_write: i64,
}

/// What is known of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// What it costs.
    pub rates: Rates,
    /// Prompts of more tokens than this cost other rates.
    pub long: Option<(i64, Rates)>,
    /// Tokens that its context holds; 0 where that is not known.
    pub context_window: i64,
    /// Which table says so.
    pub version: &'static str,
}

/// The prices that this server knows.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// By `provider/model`.
    models: BTreeMap<String, Price>,
    /// The same by the model alone, where one provider has it.
    by_id: BTreeMap<String, Option<String>>,
}

// === impl Rates ===

impl Rates {
    fn cost_micros(&self, usage: &Usage) -> i64 {
        let part = |tokens: i64, rate: i64| i128::from(tokens) * i128::from(rate);
        let sum = part(usage.input_tokens, self.input)
            + part(usage.output_tokens, self.output)
            + part(usage.cache_read_tokens, self.cache_read)
            + part(usage.cache_write_tokens, self.cache_write);
        // Rounded up: what costs something is never told as nothing.
        i64::try_from((sum + MILLION - 1) / MILLION).unwrap_or(i64::MAX)
    }
}

// === impl Price ===

impl Price {
    /// The cost of what was used. Whether a prompt was long is known of single calls alone.
    fn cost_micros(&self, usage: &Usage, granularity: Granularity) -> i64 {
        let prompt = usage
            .input_tokens
            .saturating_add(usage.cache_read_tokens)
            .saturating_add(usage.cache_write_tokens);
        match self.long {
            Some((above, rates)) if granularity == Granularity::Call && prompt > above => {
                rates.cost_micros(usage)
            }
            Some(_) | None => self.rates.cost_micros(usage),
        }
    }
}

// === impl Prices ===

impl Prices {
    /// The shipped table, and what is configured instead.
    pub fn with(configured: &BTreeMap<String, Rates>) -> Self {
        let lines = SHIPPED.lines().filter(|line| !line.starts_with('#'));
        let shipped = lines.map(|line| row(line).expect("a test reads the shipped table"));
        let mut prices = Self::default();
        for (model, price) in shipped {
            prices.put(model, price);
        }
        for (model, rates) in configured {
            let context_window = prices.find(model).map_or(0, |it| it.context_window);
            let price = Price {
                rates: *rates,
                long: None,
                context_window,
                version: CONFIGURED_VERSION,
            };
            prices.put(model.clone(), price);
        }
        prices
    }

    fn put(&mut self, model: String, price: Price) {
        if let Some((_, id)) = model.split_once('/') {
            let names = self.by_id.entry(id.to_owned());
            names
                .and_modify(|it| {
                    if it.as_ref() != Some(&model) {
                        *it = None;
                    }
                })
                .or_insert_with(|| Some(model.clone()));
        }
        self.models.insert(model, price);
    }

    /// What is known of a model, by the name that an agent gives it: with its provider or without, of a certain day or not.
    pub fn find(&self, model: &str) -> Option<&Price> {
        self.exactly(model)
            .or_else(|| self.exactly(undated(model)?))
    }

    fn exactly(&self, model: &str) -> Option<&Price> {
        if let Some(price) = self.models.get(model) {
            return Some(price);
        }
        match model.split_once('/') {
            // What others call the provider.
            Some(("google", id)) => self.models.get(&format!("gemini/{id}")),
            Some(_) => None,
            None => self.models.get(self.by_id.get(model)?.as_ref()?),
        }
    }

    /// Settles what a report costs: as it says itself, else by its model's price, else it is counted as without a price.
    pub fn settle(
        &self,
        mut usage: Usage,
        model: &str,
        granularity: Granularity,
    ) -> (Usage, Option<CostSource>, &'static str) {
        usage.unpriced_calls = 0;
        // An agent that knows no price says 0.
        if usage.cost_micros > 0 {
            return (usage, Some(CostSource::Reported), "");
        }
        match self.find(model) {
            // Of nothing that is told nobody knows the cost.
            Some(price) if usage.tokens() > 0 => {
                usage.cost_micros = price.cost_micros(&usage, granularity);
                (usage, Some(CostSource::Estimated), price.version)
            }
            Some(_) | None => {
                usage.unpriced_calls = usage.model_calls;
                (usage, None, "")
            }
        }
    }
}

/// A model's name without the day at its end; `None` where it has none.
fn undated(model: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, last) = model.rsplit_once('-')?;
    if last.len() == 8 && digits(last) {
        return Some(name);
    }
    let (name, month) = name.rsplit_once('-')?;
    let (name, year) = name.rsplit_once('-')?;
    let day = [(year, 4), (month, 2), (last, 2)];
    let dated = day.iter().all(|(it, size)| it.len() == *size && digits(it));
    dated.then_some(name)
}

fn row(line: &str) -> Option<(String, Price)> {
    let mut columns = line.split(',');
    let model = columns.next()?.to_owned();
    let mut rates = || {
        let input = columns.next()?.parse().ok()?;
        let output = columns.next()?.parse().ok()?;
        let mut or_input = || match columns.next() {
            None | Some("") => Some(input),
            Some(rate) => rate.parse().ok(),
        };
        Some(Rates {
            input,
            output,
            cache_read: or_input()?,
            cache_write: or_input()?,
        })
    };
    let base = rates()?;
    let context_window = match columns.next() {
        None | Some("") => 0,
        Some(tokens) => tokens.parse().ok()?,
    };
    let long = match columns.next() {
        None => None,
        Some(above) => {
            let mut rest = columns.map(|it| if it.is_empty() { None } else { it.parse().ok() });
            let input: i64 = rest.next()??;
            let output = rest.next()??;
            let mut or_input = || rest.next().flatten().unwrap_or(input);
            let rates = Rates {
                input,
                output,
                cache_read: or_input(),
                cache_write: or_input(),
            };
            Some((above.parse().ok()?, rates))
        }
    };
    let price = Price {
        rates: base,
        long,
        context_window,
        version: SHIPPED_VERSION,
    };
    Some((model, price))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used() -> Usage {
        Usage {
            input_tokens: 609,
            output_tokens: 57,
            cache_read_tokens: 400,
            model_calls: 1,
            ..Usage::default()
        }
    }

    #[test]
    fn a_known_model_is_estimated_whatever_its_agent_calls_it() {
        let prices = Prices::with(&BTreeMap::new());
        for name in [
            "openai/gpt-5-mini",
            "gpt-5-mini",
            "openai/gpt-5-mini-2025-08-07",
            "gpt-5-mini-20250807",
        ] {
            let (usage, source, version) = prices.settle(used(), name, Granularity::Call);
            // 609 at 0.25, 57 at 2 and 400 at 0.025 dollars a million: 276.25 millionths.
            assert_eq!(
                (usage.cost_micros, usage.unpriced_calls),
                (277, 0),
                "{name}"
            );
            assert_eq!(
                (source, version),
                (Some(CostSource::Estimated), SHIPPED_VERSION)
            );
        }
        assert!(prices.find("google/gemini-2.5-pro").is_some());
        assert!(prices.find("openrouter/gpt-5-mini").is_none());
    }

    #[test]
    fn a_cost_that_is_reported_stands_and_an_unknown_one_is_not_0() {
        let prices = Prices::with(&BTreeMap::new());
        let reported = Usage {
            cost_micros: 5,
            ..used()
        };
        let (usage, source, version) = prices.settle(reported, "openai/gpt-5", Granularity::Call);
        assert_eq!(
            (usage.cost_micros, source, version),
            (5, Some(CostSource::Reported), "")
        );
        let (usage, source, _) = prices.settle(used(), "own/model", Granularity::Call);
        assert_eq!((usage.unpriced_calls, source), (1, None));
    }

    #[test]
    fn a_long_prompt_costs_more_where_it_is_known_to_be_one() {
        let prices = Prices::with(&BTreeMap::new());
        let long = Usage {
            input_tokens: 300_000,
            ..Usage::default()
        };
        let cost = |granularity| {
            prices
                .settle(long, "gemini/gemini-2.5-pro", granularity)
                .0
                .cost_micros
        };
        assert_eq!(
            (cost(Granularity::Call), cost(Granularity::Turn)),
            (750_000, 375_000)
        );
    }

    #[test]
    fn what_is_configured_counts_before_what_is_shipped() {
        let rates = Rates {
            input: 1_000_000,
            ..Rates::default()
        };
        let configured = [
            ("openai/gpt-5-mini".to_owned(), rates),
            ("own/model".to_owned(), rates),
        ];
        let prices = Prices::with(&configured.into());
        for model in ["openai/gpt-5-mini", "own/model"] {
            let (usage, _, version) = prices.settle(used(), model, Granularity::Call);
            assert_eq!(
                (usage.cost_micros, version),
                (609, CONFIGURED_VERSION),
                "{model}"
            );
        }
        let window = prices.find("openai/gpt-5-mini").map(|it| it.context_window);
        assert_eq!(window, Some(272_000));
    }
}
