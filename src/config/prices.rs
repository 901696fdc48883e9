//! What models cost: a table of models, each with its prices in dollars for a million tokens.

use super::{Raw, Setting};
use crate::domain::prices::{CONFIGURED_MAX, Rates};
use std::collections::BTreeMap;

/// Prices by `provider/model`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceList(pub BTreeMap<String, Rates>);

/// Greatest price, in dollars for a million tokens.
const DOLLARS_MAX: u64 = 1_000_000;
/// Digits behind the point: prices are kept in millionths.
const DIGITS: usize = 6;

// === impl PriceList ===

impl Setting for PriceList {
    fn read(raw: &Raw) -> Result<Self, String> {
        let expected =
            "expected a table such as { \"openai/gpt-5-mini\" = { input = 0.25, output = 2 } }";
        let Raw::Table(entries) = raw else {
            return Err(expected.into());
        };
        if entries.len() > CONFIGURED_MAX {
            return Err(format!("has more than {CONFIGURED_MAX} models"));
        }
        let mut prices = BTreeMap::new();
        for (model, value) in entries {
            let rates = match value {
                Raw::Table(given) => rates(given),
                Raw::Text(_) | Raw::List(_) => Err(expected.into()),
            };
            let rates = rates.map_err(|problem| format!("the price of {model}: {problem}"))?;
            prices.insert(model.clone(), rates);
        }
        Ok(Self(prices))
    }

    fn write(&self) -> String {
        let entries = self.0.iter().map(|(model, rates)| {
            let Rates {
                input,
                output,
                cache_read,
                cache_write,
            } = rates;
            format!(
                "{} = {{ input = {}, output = {}, cache_read = {}, cache_write = {} }}",
                model.clone().write(),
                dollars(*input),
                dollars(*output),
                dollars(*cache_read),
                dollars(*cache_write)
            )
        });
        match entries.collect::<Vec<_>>().join(", ") {
            entries if entries.is_empty() => "{}".into(),
            entries => format!("{{ {entries} }}"),
        }
    }
}

fn rates(given: &BTreeMap<String, Raw>) -> Result<Rates, String> {
    const KEYS: [&str; 4] = ["input", "output", "cache_read", "cache_write"];
    if let Some(other) = given.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("{other} is none of {}", KEYS.join(", ")));
    }
    let read = |key: &str| match given.get(key) {
        Some(raw) => micros(raw)
            .map(Some)
            .map_err(|problem| format!("{key} {problem}")),
        None => Ok(None),
    };
    let (Some(input), Some(output)) = (read("input")?, read("output")?) else {
        return Err("needs input and output".into());
    };
    Ok(Rates {
        input,
        output,
        cache_read: read("cache_read")?.unwrap_or(input),
        cache_write: read("cache_write")?.unwrap_or(input),
    })
}

/// Dollars as millionths, without the detour of a binary fraction.
fn micros(raw: &Raw) -> Result<i64, String> {
    let problem = || {
        "must be dollars such as 0.25, up to 1000000, with 6 digits behind the point at most"
            .to_owned()
    };
    let Raw::Text(text) = raw else {
        return Err(problem());
    };
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(rest) || rest.len() > DIGITS {
        return Err(problem());
    }
    let whole: u64 = whole.parse().map_err(|_| problem())?;
    let rest: u64 = format!("{rest:0<DIGITS$}").parse().map_err(|_| problem())?;
    if whole > DOLLARS_MAX {
        return Err(problem());
    }
    i64::try_from(whole * 1_000_000 + rest).map_err(|_| problem())
}

fn dollars(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_to_the_millionth_and_written_as_they_are_read() {
        let text = "{ \"own/model\" = { input = 0.25, output = 2, cache_read = 0.025 } }";
        let raw = Raw::from_text(text).expect("TOML");
        let list = PriceList::read(&raw).expect("prices");
        let rates = Rates {
            input: 250_000,
            output: 2_000_000,
            cache_read: 25_000,
            cache_write: 250_000,
        };
        assert_eq!(list.0["own/model"], rates);
        let again = Raw::from_text(&list.write()).expect("TOML");
        assert_eq!(PriceList::read(&again), Ok(list));
        for wrong in [
            "{ a = { input = 1 } }",
            "{ a = { input = -1, output = 1 } }",
            "{ a = { input = 0.0000001, output = 1 } }",
            "{ a = { input = 1, output = 1, more = 1 } }",
            "{ a = 1 }",
        ] {
            let raw = Raw::from_text(wrong).expect("TOML");
            assert!(PriceList::read(&raw).is_err(), "{wrong}");
        }
    }
}
