//! Holds what came against what a scenario says: objects may have more fields than are named, lists may not have more
//! elements; `$name` is what was captured under that name, and an object with one field that begins with `$` is a rule.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest value that is shown, in characters.
const SHOWN_MAX: usize = 600;

/// What was captured, and what the runner knows.
pub type Variables = BTreeMap<String, Value>;

/// Puts variables in place of `$name`.
pub fn fill(value: &Value, variables: &Variables) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => variables
                .get(name)
                .cloned()
                .ok_or_else(|| format!("the scenario knows no ${name}"))?,
            None => value.clone(),
        },
        Value::Array(values) => {
            let filled: Result<_, _> = values.iter().map(|value| fill(value, variables)).collect();
            Value::Array(filled?)
        }
        // A long text: what to repeat, how often, and what stands between.
        Value::Object(fields) if fields.contains_key("$repeat") => {
            Value::String(repeated(&fields["$repeat"])?)
        }
        Value::Object(fields) => {
            let filled: Result<Map<_, _>, String> = fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), fill(value, variables)?)))
                .collect();
            Value::Object(filled?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// Holds `actual` against `expected`, whose variables are filled in; tells each difference.
pub fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, actual, "", &mut found);
    found
}

/// A value at a path such as `events.-1.seq`; negative places count from the end.
pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(values) => {
            let place: i64 = part.parse().ok()?;
            let place = match place < 0 {
                true => values.len().checked_sub(place.unsigned_abs() as usize)?,
                false => place as usize,
            };
            values.get(place)
        }
        Value::Object(fields) => fields.get(part),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// A value for people.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], text.len()),
        None => text,
    }
}

fn compare(expected: &Value, actual: &Value, path: &str, found: &mut Vec<String>) {
    match expected {
        Value::Object(fields) => match rule(fields) {
            Some((name, argument)) => {
                if let Err(problem) = obeys(name, argument, actual) {
                    found.push(format!("{}: {problem}", place(path)));
                }
            }
            None => {
                for (name, expected) in fields {
                    let path = format!("{path}.{name}");
                    match actual.get(name) {
                        Some(actual) => compare(expected, actual, &path, found),
                        None => {
                            found.push(format!("{}: missing in {}", place(&path), shown(actual)));
                        }
                    }
                }
            }
        },
        Value::Array(values) => {
            let Some(actual) = actual
                .as_array()
                .filter(|actual| actual.len() == values.len())
            else {
                found.push(unequal(expected, actual, path));
                return;
            };
            for (index, (expected, actual)) in values.iter().zip(actual).enumerate() {
                compare(expected, actual, &format!("{path}.{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if expected != actual {
                found.push(unequal(expected, actual, path));
            }
        }
    }
}

fn unequal(expected: &Value, actual: &Value, path: &str) -> String {
    format!(
        "{}: expected {}, got {}",
        place(path),
        shown(expected),
        shown(actual)
    )
}

fn place(path: &str) -> &str {
    match path.strip_prefix('.') {
        Some(path) => path,
        None => "the answer",
    }
}

fn rule(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut fields = fields.iter();
    match (fields.next(), fields.next()) {
        (Some((name, argument)), None) if name.starts_with('$') => Some((name, argument)),
        _ => None,
    }
}

fn obeys(rule: &str, argument: &Value, actual: &Value) -> Result<(), String> {
    let said = |wanted: String| Err(format!("expected {wanted}, got {}", shown(actual)));
    let holds = match rule {
        "$at_least" => actual.as_i64() >= argument.as_i64() && actual.is_number(),
        "$at_most" => actual.as_i64() <= argument.as_i64() && actual.is_number(),
        "$any_of" => {
            let choices = argument.as_array().ok_or("$any_of takes a list")?;
            choices.iter().any(|it| differences(it, actual).is_empty())
        }
        "$not" => !differences(argument, actual).is_empty(),
        "$contains" => match actual {
            Value::String(text) => text.contains(argument.as_str().unwrap_or("\0")),
            Value::Array(values) => values
                .iter()
                .any(|value| differences(argument, value).is_empty()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        },
        "$filled" => match actual {
            Value::String(text) => !text.is_empty(),
            Value::Array(values) => !values.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        },
        "$durable" => {
            let events = actual.as_array().ok_or("expected a list of events")?;
            let kinds: Vec<_> = events
                .iter()
                .filter(|event| event["seq"].as_i64() > Some(0))
                .map(|event| event["kind"].clone())
                .collect();
            if argument.as_array() != Some(&kinds) {
                return Err(format!(
                    "expected the durable events {argument}, got {}",
                    shown(&Value::Array(kinds))
                ));
            }
            true
        }
        rule => return Err(format!("the scenario uses {rule}, which is no rule")),
    };
    match holds {
        true => Ok(()),
        false => said(format!("{rule} {}", shown(argument))),
    }
}

fn repeated(argument: &Value) -> Result<String, String> {
    let (text, times) = (argument[0].as_str(), argument[1].as_u64());
    let (Some(text), Some(times)) = (text, times) else {
        return Err("$repeat takes a text, a number, and perhaps what stands between".into());
    };
    let between = argument[2].as_str().unwrap_or_default();
    let times = usize::try_from(times).map_err(|error| error.to_string())?;
    Ok(vec![text; times].join(between))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn more_fields_are_fine_and_more_elements_are_not() {
        assert_eq!(
            differences(&json!({"a": 1}), &json!({"a": 1, "b": 2})),
            [""; 0]
        );
        assert_eq!(differences(&json!({"a": 1}), &json!({"a": 2})).len(), 1);
        assert_eq!(differences(&json!({"a": 1}), &json!({})).len(), 1);
        assert_eq!(differences(&json!([1]), &json!([1, 2])).len(), 1);
    }

    #[test]
    fn rules_hold_or_say_what_came() {
        for (rule, good, bad) in [
            (json!({"$at_least": 3}), json!(3), json!(2)),
            (json!({"$at_most": 3}), json!(3), json!("3")),
            (json!({"$any_of": [1, 2]}), json!(2), json!(3)),
            (json!({"$not": "a"}), json!("b"), json!("a")),
            (json!({"$contains": "b"}), json!("abc"), json!("ac")),
            (
                json!({"$contains": {"a": 1}}),
                json!([{"a": 1, "b": 1}]),
                json!([]),
            ),
            (json!({"$filled": true}), json!("x"), json!("")),
            (
                json!({"$durable": ["a"]}),
                json!([{"kind": "a", "seq": 1}, {"kind": "b", "seq": 0}]),
                json!([]),
            ),
        ] {
            assert_eq!(differences(&rule, &good), [""; 0], "{rule}");
            assert_eq!(differences(&rule, &bad).len(), 1, "{rule}");
        }
    }

    #[test]
    fn variables_and_paths() {
        let variables = Variables::from([("turn".to_owned(), json!("t1"))]);
        let filled = fill(
            &json!({"a": ["$turn", {"$repeat": ["x", 2, " "]}]}),
            &variables,
        );
        assert_eq!(filled, Ok(json!({"a": ["t1", "x x"]})));
        assert!(fill(&json!("$nobody"), &variables).is_err());
        let value = json!({"events": [{"seq": 1}, {"seq": 2}]});
        assert_eq!(at(&value, "events.-1.seq"), Some(&json!(2)));
        assert_eq!(at(&value, "events.7.seq"), None);
    }
}
