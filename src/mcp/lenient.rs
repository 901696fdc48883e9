//! Arguments as they are written. Models, and the clients that stand between, write `"3"` and `3.0` for a number, `null`
//! or `""` for what they leave out, a list as its JSON text, a name in capitals. What can only be meant in one way is
//! made into that, by the schema of the tool; everything else is left as it is, to be refused with the schema's words.

use rmcp::model::JsonObject;
use serde_json::{Number, Value};

/// Largest whole number that every double up to it can tell from its neighbours.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What a property is.
#[derive(Clone, Debug, PartialEq)]
enum Type {
    Text,
    Whole,
    Flag,
    Texts,
    /// One of these names.
    Name(Vec<String>),
    Other,
}

/// Arguments in the spelling of a schema.
pub(super) fn arguments(schema: &JsonObject, given: JsonObject) -> JsonObject {
    given
        .into_iter()
        // Whoever writes null means that there is nothing.
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(name, value)| {
            let property = schema.get("properties").and_then(|all| all.get(&name));
            let kind = property.map_or(Type::Other, |property| type_of(schema, property));
            spelled(&kind, value).map(|value| (name, value))
        })
        .collect()
}

/// One argument; `None` where it says that it is not given.
fn spelled(kind: &Type, value: Value) -> Option<Value> {
    let blank = value.as_str().is_some_and(|text| text.trim().is_empty());
    match kind {
        Type::Text => Some(text(value)),
        Type::Whole | Type::Flag | Type::Texts | Type::Name(_) if blank => None,
        Type::Whole => Some(whole(&value).map_or(value, Value::Number)),
        Type::Flag => Some(flag(&value).map_or(value, Value::Bool)),
        Type::Texts => Some(texts(value)),
        Type::Name(names) => Some(name(names, value)),
        Type::Other => Some(value),
    }
}

fn text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(match whole(&Value::Number(number.clone())) {
            Some(whole) => whole.to_string(),
            None => number.to_string(),
        }),
        Value::Bool(flag) => Value::String(flag.to_string()),
        value @ (Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_)) => value,
    }
}

fn whole(value: &Value) -> Option<Number> {
    let number: Number = match value {
        Value::Number(number) => number.clone(),
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    if number.is_f64() {
        let double = number.as_f64()?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "it is whole, and small enough"
        )]
        return (double.fract() == 0.0 && double.abs() <= EXACT_MAX)
            .then(|| Number::from(double as i64));
    }
    Some(number)
}

fn flag(value: &Value) -> Option<bool> {
    match value.as_str()?.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A list as it is, as its JSON text, or its only member alone.
fn texts(value: Value) -> Value {
    let list = match value {
        Value::Array(list) => list,
        Value::String(one) => match serde_json::from_str(&one) {
            Ok(Value::Array(list)) => list,
            Ok(_) | Err(_) => vec![Value::String(one)],
        },
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return value;
        }
    };
    Value::Array(list.into_iter().map(text).collect())
}

fn name(names: &[String], value: Value) -> Value {
    let meant = value.as_str().and_then(|text| {
        let known = |name: &&String| name.eq_ignore_ascii_case(text.trim());
        names.iter().find(known).cloned()
    });
    meant.map_or(value, Value::String)
}

/// What a property's schema says, behind references and beside null.
fn type_of(schema: &JsonObject, property: &Value) -> Type {
    let referred = property
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|at| at.strip_prefix("#/$defs/"))
        .and_then(|name| schema.get("$defs")?.get(name));
    if let Some(property) = referred {
        return type_of(schema, property);
    }
    if let Some(choices) = property.get("anyOf").and_then(Value::as_array) {
        let is_null = |choice: &Value| choice.get("type").is_some_and(|it| it == "null");
        let choice = choices.iter().find(|choice| !is_null(choice));
        return choice.map_or(Type::Other, |choice| type_of(schema, choice));
    }
    if let Some(names) = property.get("enum").and_then(Value::as_array) {
        let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
        return Type::Name(names.collect());
    }
    let is = |name: &str| match property.get("type") {
        Some(Value::Array(all)) => all.iter().any(|it| it == name),
        Some(one) => one == name,
        None => false,
    };
    if is("string") {
        Type::Text
    } else if is("integer") {
        Type::Whole
    } else if is("boolean") {
        Type::Flag
    } else if is("array") {
        Type::Texts
    } else {
        Type::Other
    }
}
