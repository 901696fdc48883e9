//! What a turn used, in one form whatever the agent's own: input without what was cached, output with reasoning. Agents count
//! differently, and their sum tells how: it is what the parts make that are not in each other.

use crate::domain::turn::{ContextUse, Usage};
use serde_json::Value;

const MICROS: f64 = 1_000_000.0;

/// What the reply to a prompt says of tokens; `None` where it says nothing, or that there were none.
pub(super) fn of_reply(reply: &Value) -> Option<Usage> {
    let usage = &reply["usage"];
    if usage.is_object() {
        return counted(usage);
    }
    let quota = &reply["_meta"]["quota"]["token_count"];
    if quota["inputTokens"].is_number() {
        return counted(quota);
    }
    told(
        whole(&quota["input_tokens"]),
        whole(&quota["output_tokens"]),
        0,
        0,
        0,
    )
}

/// Whether the reply says that no model answered: agents were seen that end a turn well whose model calls all failed.
pub(super) fn no_model_answered(reply: &Value) -> bool {
    let quota = &reply["_meta"]["quota"];
    quota.is_object() && quota["token_count"].is_null() && reply["usage"].is_null()
}

/// The model that all of the turn went to, where it says so.
pub(super) fn model(reply: &Value) -> Option<&str> {
    match reply["_meta"]["quota"]["model_usage"]
        .as_array()?
        .as_slice()
    {
        [only] => only["model"].as_str(),
        _ => None,
    }
}

/// Cost of the conversation so far that an update tells, in millionths of a US dollar.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, which is what is wanted"
)]
pub(super) fn cost_micros(update: &Value) -> Option<i64> {
    let cost = &update["cost"];
    let dollars = cost["currency"].as_str().is_none_or(|it| it == "USD");
    let amount = cost["amount"].as_f64().filter(|_| dollars)?;
    Some((amount.max(0.0) * MICROS).round() as i64)
}

fn counted(usage: &Value) -> Option<Usage> {
    let first = |keys: &[&str]| {
        let found = keys.iter().map(|key| &usage[*key]);
        whole(
            found
                .into_iter()
                .find(|it| it.is_number())
                .unwrap_or(&Value::Null),
        )
    };
    let mut input = whole(&usage["inputTokens"]);
    let mut output = whole(&usage["outputTokens"]);
    let thought = first(&["thoughtTokens", "reasoningOutputTokens"]);
    let read = first(&["cachedReadTokens", "cachedInputTokens"]);
    let write = first(&["cachedWriteTokens", "cacheWriteInputTokens"]);
    let total = whole(&usage["totalTokens"]);
    let cached = read.saturating_add(write);
    let sum = |parts: &[i64]| {
        parts
            .iter()
            .fold(0_i64, |sum, part| sum.saturating_add(*part))
    };
    if thought > 0 && total == sum(&[input, cached, output, thought]) {
        output = output.saturating_add(thought);
    } else if cached > 0 && cached <= input && total == sum(&[input, output]) {
        input -= cached;
    }
    told(input, output, read, write, thought)
}

/// How full the agent says that its context is.
pub(super) fn context(update: &Value) -> Option<ContextUse> {
    let tokens = update["used"].as_i64()?.max(0);
    let window = whole(&update["size"]);
    Some(ContextUse { tokens, window })
}

fn told(input: i64, output: i64, read: i64, write: i64, reasoning: i64) -> Option<Usage> {
    let usage = Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: write,
        cost_micros: 0,
        model_calls: 1,
        unpriced_calls: 0,
        reasoning_tokens: reasoning.min(output),
    };
    (input > 0 || output > 0 || read > 0 || write > 0).then_some(usage)
}

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default().max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts(reply: &Value) -> Option<[i64; 4]> {
        of_reply(reply).map(|it| {
            [
                it.input_tokens,
                it.output_tokens,
                it.cache_read_tokens,
                it.cache_write_tokens,
            ]
        })
    }

    /// The same call (1009 tokens read, 400 of them from the cache; 57 written, 20 of them reasoning) in four agents' words.
    #[test]
    fn four_ways_to_count_are_one() {
        let apart = json!({ "usage": { "inputTokens": 609, "outputTokens": 37, "totalTokens": 1066, "thoughtTokens": 20,
            "cachedReadTokens": 400 } });
        let within = json!({ "usage": { "inputTokens": 609, "outputTokens": 57, "totalTokens": 1066, "thoughtTokens": 20,
            "cachedReadTokens": 400, "cachedWriteTokens": 0 } });
        let whole = json!({ "usage": { "inputTokens": 1009, "outputTokens": 57, "totalTokens": 1066,
            "cachedReadTokens": 400 } });
        for reply in [&apart, &within, &whole] {
            assert_eq!(parts(reply), Some([609, 57, 400, 0]), "{reply}");
        }
        let quota = json!({ "_meta": { "quota": { "token_count": { "input_tokens": 1009, "output_tokens": 37 },
            "model_usage": [{ "model": "m" }] } } });
        assert_eq!(parts(&quota), Some([1009, 37, 0, 0]));
        assert_eq!(model(&quota), Some("m"));
        assert_eq!(
            parts(&json!({ "usage": { "inputTokens": 0, "outputTokens": 0 } })),
            None
        );
        assert_eq!(parts(&json!({})), None);
    }

    #[test]
    fn a_turn_without_a_model_is_known_by_what_is_missing() {
        let failed = json!({ "usage": null, "_meta": { "quota": { "token_count": null } } });
        assert!(no_model_answered(&failed));
        assert!(!no_model_answered(&json!({ "_meta": {} })));
        let well =
            json!({ "usage": { "inputTokens": 1 }, "_meta": { "quota": { "token_count": {} } } });
        assert!(!no_model_answered(&well));
    }

    #[test]
    fn a_cost_is_taken_in_dollars_alone() {
        let cost = |currency| json!({ "cost": { "amount": 0.002_802, "currency": currency } });
        assert_eq!(cost_micros(&cost("USD")), Some(2802));
        assert_eq!(cost_micros(&cost("EUR")), None);
        assert_eq!(cost_micros(&json!({ "used": 1 })), None);
    }
}
