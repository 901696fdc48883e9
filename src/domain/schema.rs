//! JSON Schemas of callers and of agents: nothing that they refer to is ever fetched, and no check of a value runs away.
//!
//! A schema may be written so that a check takes longer than anybody lives: every level may look at the level below twice.
//! What a check would do is therefore counted first, each pair of a schema and a value once; what takes too many steps, or
//! goes too deep, is refused.

use super::limits::cut;
use boon::{Compiler, SchemaIndex, Schemas, UrlLoader};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// Longest schema, in bytes.
pub const SCHEMA_MAX_BYTES: usize = 64 * 1024;
/// Longest explanation of what is wrong with a value, in bytes.
const PROBLEM_MAX_BYTES: usize = 2048;
/// Steps that a check of one value may take.
const STEPS_MAX: u64 = 2_000_000;
/// Pairs of a schema and a value that are looked at to count them.
const PAIRS_MAX: usize = 200_000;
/// How deep a check may go, in schemas within schemas.
const DEPTH_MAX: usize = 128;
/// Name under which a schema is compiled; nothing is ever read from there.
const LOCATION: &str = "urn:quarterdeck:schema";

/// Keywords whose value is a schema for the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords whose value is a list of schemas for the same value.
const SAME_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords whose value is a schema for each value within.
const EACH: [&str; 7] = [
    "items",
    "contains",
    "additionalItems",
    "unevaluatedItems",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
];
/// Keywords that hold schemas by name, for others to refer to.
const NAMED: [&str; 2] = ["$defs", "definitions"];

/// Reads nothing: a schema that refers elsewhere can't be used.
struct Nowhere;

/// Counts what a check does.
struct Count<'s> {
    root: &'s Value,
    anchors: BTreeMap<&'s str, &'s Value>,
    /// Steps of each pair that was looked at; 0 while it is.
    known: HashMap<(*const Value, *const Value), u64>,
}

/// It would take too long.
struct TooMuch;

impl UrlLoader for Nowhere {
    fn load(&self, _: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err("a schema refers to nothing outside of itself".into())
    }
}

/// Reads and compiles a schema.
///
/// # Errors
/// Why it can't be used, for people.
pub fn usable(schema_json: &str) -> Result<Value, String> {
    if schema_json.len() > SCHEMA_MAX_BYTES {
        return Err(format!("must be at most {SCHEMA_MAX_BYTES} bytes"));
    }
    let schema: Value = serde_json::from_str(schema_json)
        .map_err(|problem| format!("must be a JSON Schema: {problem}"))?;
    if !schema.is_object() {
        return Err("must be a JSON Schema: an object".to_owned());
    }
    let mut anchors = BTreeMap::new();
    let mut references = vec![];
    look_through(&schema, true, &mut anchors, &mut references)?;
    let count = Count::new(&schema, anchors);
    if let Some(lost) = references.into_iter().find(|it| count.find(it).is_none()) {
        let shown = cut(lost, 256);
        return Err(format!(
            "$ref {shown:?} leads nowhere: only places within the schema can be referred to, such as #/$defs/name"
        ));
    }
    compile(schema.clone())?;
    Ok(schema)
}

/// Checks a value.
///
/// # Errors
/// What is wrong with it, for people and models.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    let (mut anchors, mut references) = (BTreeMap::new(), vec![]);
    look_through(schema, true, &mut anchors, &mut references)?;
    let steps = Count::new(schema, anchors).steps(schema, value, 0);
    if !steps.is_ok_and(|steps| steps <= STEPS_MAX) {
        return Err("the schema is too intricate to check this by it".to_owned());
    }
    let (schemas, index) = compile(schema.clone())?;
    schemas.validate(value, index).map_err(|problem| {
        let all = format!("{problem:#}");
        // Its first line names the place where the schema was kept.
        let told: Vec<&str> = all.lines().skip(1).map(str::trim).collect();
        cut(&told.join("; "), PROBLEM_MAX_BYTES).to_owned()
    })
}

fn compile(schema: Value) -> Result<(Schemas, SchemaIndex), String> {
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(Nowhere));
    let unusable = |problem: String| {
        let told = problem.replace(LOCATION, "");
        format!(
            "is no JSON Schema that can be used: {}",
            cut(told.trim(), PROBLEM_MAX_BYTES)
        )
    };
    compiler
        .add_resource(LOCATION, schema)
        .map_err(|problem| unusable(problem.to_string()))?;
    let mut schemas = Schemas::new();
    let index = compiler
        .compile(LOCATION, &mut schemas)
        .map_err(|problem| unusable(format!("{problem:#}")))?;
    Ok((schemas, index))
}

/// Finds the anchors and references of a schema, and refuses what would make it unclear where they lead.
fn look_through<'s>(
    schema: &'s Value,
    is_root: bool,
    anchors: &mut BTreeMap<&'s str, &'s Value>,
    references: &mut Vec<&'s str>,
) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else {
        return Ok(());
    };
    for refused in ["$dynamicRef", "$recursiveRef"] {
        if keywords.contains_key(refused) {
            return Err(format!("{refused} can't be used; use $ref"));
        }
    }
    if !is_root && keywords.contains_key("$id") {
        return Err("$id can stand at the top alone".to_owned());
    }
    if let Some(Value::String(anchor)) = keywords.get("$anchor") {
        anchors.insert(anchor, schema);
    }
    if let Some(Value::String(reference)) = keywords.get("$ref") {
        references.push(reference);
    }
    for part in parts(keywords) {
        look_through(part, false, anchors, references)?;
    }
    Ok(())
}

/// Every schema that stands in a schema.
fn parts(keywords: &Map<String, Value>) -> Vec<&Value> {
    let one = SAME.iter().chain(&EACH).filter_map(|it| keywords.get(*it));
    let lists = ["prefixItems", "items"];
    let lists = SAME_LISTS.iter().chain(&lists);
    let lists = lists.filter_map(|it| keywords.get(*it)?.as_array());
    let by_name = ["properties", "patternProperties", "dependentSchemas"];
    let by_name = NAMED.iter().chain(&by_name);
    let by_name = by_name.filter_map(|it| keywords.get(*it)?.as_object());
    one.chain(lists.flatten())
        .chain(by_name.flat_map(Map::values))
        .collect()
}

// === impl Count ===

impl<'s> Count<'s> {
    fn new(root: &'s Value, anchors: BTreeMap<&'s str, &'s Value>) -> Self {
        Self {
            root,
            anchors,
            known: HashMap::new(),
        }
    }

    /// Where a reference leads.
    fn find(&self, reference: &str) -> Option<&'s Value> {
        let id = self.root["$id"].as_str().unwrap_or_default();
        let within = reference.strip_prefix(id.trim_end_matches('#'));
        let fragment = match within.unwrap_or(reference) {
            "" => "",
            other => other.strip_prefix('#')?,
        };
        match decoded(fragment)?.as_str() {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            anchor => self.anchors.get(anchor).copied(),
        }
    }

    fn steps(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Result<u64, TooMuch> {
        let Some(keywords) = schema.as_object() else {
            return Ok(1);
        };
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(steps) = self.known.get(&pair) {
            return Ok(*steps);
        }
        if depth >= DEPTH_MAX || self.known.len() >= PAIRS_MAX {
            return Err(TooMuch);
        }
        self.known.insert(pair, 0);
        let mut steps: u64 = 1;
        let mut add = |count: &mut Self, schema: &'s Value, value: &Value| {
            let more = count.steps(schema, value, depth + 1)?;
            steps = steps.saturating_add(more);
            Ok(())
        };
        let reference = keywords.get("$ref").and_then(Value::as_str);
        let referred = reference.and_then(|it| self.find(it));
        let same = SAME.iter().filter_map(|it| keywords.get(*it));
        let lists = SAME_LISTS
            .iter()
            .filter_map(|it| keywords.get(*it)?.as_array());
        let dependent = keywords.get("dependentSchemas").and_then(Value::as_object);
        let all = referred.into_iter().chain(same).chain(lists.flatten());
        for part in all.chain(dependent.into_iter().flat_map(Map::values)) {
            add(self, part, value)?;
        }
        let each = || EACH.iter().filter_map(|it| keywords.get(*it));
        match value {
            Value::Array(items) => {
                let listed = ["prefixItems", "items"];
                let listed = listed
                    .iter()
                    .filter_map(|it| keywords.get(*it)?.as_array())
                    .flatten();
                for (part, item) in listed.zip(items) {
                    add(self, part, item)?;
                }
                for item in items {
                    for part in each() {
                        add(self, part, item)?;
                    }
                }
            }
            Value::Object(properties) => {
                let named = keywords.get("properties").and_then(Value::as_object);
                let patterns = keywords.get("patternProperties").and_then(Value::as_object);
                for (name, property) in properties {
                    let own = named.and_then(|it| it.get(name));
                    let patterns = patterns.into_iter().flat_map(Map::values);
                    for part in own.into_iter().chain(patterns).chain(each()) {
                        add(self, part, property)?;
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        self.known.insert(pair, steps);
        Ok(steps)
    }
}

/// A fragment without its percent signs; `None` where it is no text.
fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = vec![];
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(schema: &Value) -> Value {
        usable(&schema.to_string()).expect("it can be used")
    }

    #[test]
    fn a_value_is_checked_and_what_is_wrong_with_it_is_said() {
        let schema = of(&json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object", "required": ["name", "tree"],
            "properties": { "name": { "type": "string", "minLength": 2 }, "tree": { "$ref": "#/$defs/tree" } },
            "$defs": { "tree": { "type": "array", "items": { "$ref": "#/$defs/tree" } } },
        }));
        let tree = json!([[], [[]]]);
        assert_eq!(
            check(&schema, &json!({ "name": "Ada", "tree": tree })),
            Ok(())
        );
        let problem = check(&schema, &json!({ "name": "A", "tree": [1] })).expect_err("wrong");
        assert!(
            problem.contains("/name") && problem.contains("/tree/0"),
            "{problem}"
        );
        assert!(!problem.contains("urn:"), "{problem}");
    }

    #[test]
    fn what_leads_elsewhere_or_is_no_schema_is_refused() {
        of(&json!({ "$ref": "#/$defs/a%20b", "$defs": { "a b": {} } }));
        for (bad, word) in [
            ("", "JSON"),
            ("[]", "object"),
            (r#"{"type":"strung"}"#, "JSON Schema"),
            (r#"{"$ref":"file:///etc/passwd"}"#, "leads nowhere"),
            (r#"{"$ref":"https://example.com/s.json"}"#, "leads nowhere"),
            (r##"{"$ref":"#/$defs/none"}"##, "leads nowhere"),
            (r##"{"$dynamicRef":"#x"}"##, "$dynamicRef"),
            (r#"{"$defs":{"a":{"$id":"https://example.com/a"}}}"#, "$id"),
            (r#"{"pattern":"("}"#, "JSON Schema"),
        ] {
            let problem = usable(bad).expect_err(bad);
            assert!(problem.contains(word), "{bad}: {problem}");
        }
        // A property may be called as a keyword is.
        of(&json!({ "properties": { "$id": {}, "$dynamicRef": { "type": "string" } } }));
        of(
            &json!({ "$id": "https://example.com/s", "$ref": "https://example.com/s#a", "$defs": { "x": { "$anchor": "a" } } }),
        );
        let long = json!({ "description": "x".repeat(SCHEMA_MAX_BYTES) }).to_string();
        assert!(usable(&long).is_err());
    }

    /// R16: no schema that a caller can send keeps a thread of the server busy for ever.
    #[test]
    fn a_check_that_would_never_end_is_refused() {
        let twice = of(&json!({
            "properties": { "a": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } },
        }));
        let mut value = json!({});
        for _ in 0..60 {
            value = json!({ "a": value });
        }
        let problem = check(&twice, &value).expect_err("2^60 steps");
        assert!(problem.contains("too intricate"), "{problem}");
        assert_eq!(check(&twice, &json!({ "a": { "a": {} } })), Ok(()));
        let chain = (0..1000).map(|n| {
            (
                n.to_string(),
                json!({ "$ref": format!("#/$defs/{}", n + 1) }),
            )
        });
        let mut chain: Map<String, Value> = chain.collect();
        chain.insert("1000".into(), json!({}));
        let deep = of(&json!({ "$ref": "#/$defs/0", "$defs": chain }));
        assert!(check(&deep, &json!(1)).is_err());
        // A circle is refused, not followed.
        let circle = of(&json!({ "$ref": "#" }));
        assert!(check(&circle, &json!(1)).is_err());
    }
}
