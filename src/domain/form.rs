//! Forms: JSON Schemas of flat objects, whether an answer meets one, and what of it is secret.

use super::{question::SCHEMA_MAX_BYTES, schema};
use serde_json::{Map, Value};

/// Properties of one form.
const PROPERTIES_MAX: usize = 256;

/// Why a schema can't be a form; `None` where it can.
pub(super) fn unusable(schema_json: &str) -> Option<&'static str> {
    let Some(schema) = parse(schema_json) else {
        return Some("the form's schema is no JSON object of at most 64 KiB");
    };
    let Some(properties) = properties(&schema) else {
        return Some("the form's schema has no properties");
    };
    if properties.len() > PROPERTIES_MAX || !properties.values().all(is_flat) {
        return Some("the form is not flat");
    }
    let usable = schema::usable(schema_json);
    usable.err().map(|_| "the form's schema can't be used")
}

/// Checks an answer against its form.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn check(schema_json: &str, content_json: &str) -> Result<(), String> {
    let content: Value =
        serde_json::from_str(content_json).map_err(|problem| format!("must be JSON: {problem}"))?;
    let form = parse(schema_json).ok_or_else(|| "the form can't be used".to_owned())?;
    if !content.is_object() {
        return Err("must be an object".to_owned());
    }
    schema::check(&form, &content)
}

/// An answer without the properties that its form keeps secret.
pub(super) fn without_secrets(schema_json: &str, content_json: &str) -> String {
    let schema = parse(schema_json);
    let Some(properties) = schema.as_ref().and_then(properties) else {
        return content_json.to_owned();
    };
    let secret = |name: &str| {
        let marked = properties.get(name).and_then(|it| it.get("x-secret"));
        marked.is_some_and(|it| *it == Value::Bool(true))
    };
    match serde_json::from_str(content_json) {
        Ok(Value::Object(mut content)) => {
            content.retain(|name, _| !secret(name));
            Value::Object(content).to_string()
        }
        // It was checked before it was kept.
        Ok(_) | Err(_) => String::new(),
    }
}

fn parse(schema_json: &str) -> Option<Value> {
    if schema_json.len() > SCHEMA_MAX_BYTES {
        return None;
    }
    let schema: Value = serde_json::from_str(schema_json).ok()?;
    schema.is_object().then_some(schema)
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// A primitive, or an array of texts that are to be chosen.
fn is_flat(property: &Value) -> bool {
    let kind = |of: &Value| of.get("type").and_then(Value::as_str).map(str::to_owned);
    match kind(property).as_deref() {
        Some("string" | "number" | "integer" | "boolean") => true,
        Some("array") => {
            let items = property.get("items");
            items.is_some_and(|items| {
                kind(items).is_none_or(|kind| kind == "string")
                    && (items.get("enum").is_some() || items.get("anyOf").is_some())
            })
        }
        Some(_) => false,
        None => property.get("enum").is_some() || property.get("oneOf").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = r#"{"type":"object","required":["name"],"properties":{
        "name":{"type":"string","minLength":2},
        "age":{"type":"integer","minimum":0},
        "token":{"type":"string","x-secret":true},
        "days":{"type":"array","items":{"type":"string","enum":["mon","tue"]}}}}"#;

    #[test]
    fn a_flat_form_takes_what_meets_it_and_says_what_does_not() {
        assert_eq!(unusable(FORM), None);
        assert_eq!(check(FORM, r#"{"name":"Ada","days":["mon"]}"#), Ok(()));
        for (bad, word) in [
            (r#"{"name":"A"}"#, "name"),
            (r#"{"age":1}"#, "name"),
            (r#"{"name":"Ada","age":-1}"#, "age"),
            (r#"{"name":"Ada","days":["sun"]}"#, "days"),
            ("[]", "object"),
            ("{", "JSON"),
        ] {
            let problem = check(FORM, bad).expect_err(bad);
            assert!(problem.contains(word), "{bad}: {problem}");
            assert!(!problem.contains("urn:"), "{problem}");
        }
    }

    #[test]
    fn what_is_not_flat_or_looks_elsewhere_is_no_form() {
        for bad in [
            "",
            "[]",
            r#"{"type":"object"}"#,
            r#"{"properties":{"a":{"type":"object"}}}"#,
            r#"{"properties":{"a":{"type":"array","items":{"type":"object"}}}}"#,
            r#"{"properties":{"a":{"type":"string","$ref":"file:///etc/passwd"}}}"#,
            r#"{"properties":{"a":{"type":"string","pattern":"("}}}"#,
        ] {
            assert!(unusable(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn what_is_secret_is_left_out() {
        let shown = without_secrets(FORM, r#"{"name":"Ada","token":"s3cret"}"#);
        assert_eq!(shown, r#"{"name":"Ada"}"#);
    }
}
