//! Routing: which agent, model and thinking level are used where nobody chose. Pure: a table of routes, and what it says of a
//! turn. Patterns are of a kind whose time grows with the text alone, and see a bounded beginning of it.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Routes of one tenant.
pub const ROUTES_MAX: usize = 32;
/// Longest pattern, in bytes.
pub const PATTERN_MAX_BYTES: usize = 1024;
/// Principals, and sources, that one route names.
pub const NAMED_MAX: usize = 64;
/// Bytes of a text that a pattern sees.
pub const MATCHED_TEXT_MAX_BYTES: usize = 16 * 1024;
/// Bytes of a compiled pattern, and as many for what it notes while it runs.
const COMPILED_MAX_BYTES: usize = 256 * 1024;

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What it is called; one of each name.
    pub name: String,
    /// When it matches.
    pub when: Condition,
    /// What is used then.
    pub target: Target,
}

/// What a rule asks of a turn; what is empty is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// A pattern that stands in the text.
    pub text_matches: String,
    /// Least length of the text, in bytes.
    pub min_text_bytes: usize,
    /// Media type of an attachment; `image/*` is any of a kind.
    pub has_attachment_type: String,
    /// Labels of the session.
    pub labels: BTreeMap<String, String>,
    /// Subjects of the tenant, one of which sends it.
    pub subjects: Vec<String>,
    /// Sources, one of which it comes from.
    pub sources: Vec<String>,
}

/// What a rule has used; what is empty is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Agent of a new session.
    pub agent: String,
    /// Model of a turn, `provider/model`.
    pub model: String,
    /// Thinking level of a turn.
    pub thinking_level: String,
}

/// How it came that an agent or a model is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// The route that counts; empty where none does.
    pub rule_name: String,
    /// For people; empty where the tenant has no routes.
    pub reason: String,
    /// Routes that matched and could not be used.
    pub skipped_rules: Vec<String>,
    /// Model and thinking level that a start asked for; `None` before the first one.
    pub used: Option<(String, String)>,
}

/// What is known of a turn.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its text.
    pub text: &'a str,
    /// Media types of its attachments.
    pub attachment_types: &'a [&'a str],
    /// Labels of its session.
    pub labels: &'a BTreeMap<String, String>,
    /// Who sends it.
    pub subject: &'a str,
    /// Where it comes from.
    pub source: &'a str,
}

/// A tenant's routes, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<(Route, Option<Regex>)>,
}

/// The name of this state of a tenant's routes.
pub fn etag(routes: &[Route]) -> String {
    let text = serde_json::to_string(routes).expect("texts and numbers are always JSON");
    let digest = Sha256::digest(text.as_bytes());
    digest[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Makes a pattern; the problem is for people.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<Regex, String> {
    if text.len() > PATTERN_MAX_BYTES {
        return Err(format!(
            "is {} bytes long; at most {PATTERN_MAX_BYTES} are taken",
            text.len()
        ));
    }
    let built = RegexBuilder::new(text)
        .size_limit(COMPILED_MAX_BYTES)
        .dfa_size_limit(COMPILED_MAX_BYTES)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "stands for too much; repeat less of it".to_owned(),
        other => {
            // The last line says what; those before point at the place in several lines.
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            let last = last.strip_prefix("error: ").unwrap_or(last);
            format!("is no regular expression: {last}")
        }
    })
}

// === impl RouteTable ===

impl RouteTable {
    /// The table of some routes.
    ///
    /// # Errors
    /// Which route has what kind of wrong pattern.
    pub fn new(routes: Vec<Route>) -> Result<Self, String> {
        let compiled = routes.into_iter().map(|route| {
            let text = route.when.text_matches.as_str();
            let pattern = match text {
                "" => None,
                text => {
                    Some(pattern(text).map_err(|problem| format!("{}: {problem}", route.name))?)
                }
            };
            Ok((route, pattern))
        });
        Ok(Self {
            routes: compiled.collect::<Result<_, String>>()?,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The routes in their order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().map(|(route, _)| route)
    }

    /// Those that match, in their order.
    pub fn matching<'a>(&'a self, asked: Asked<'a>) -> impl Iterator<Item = &'a Route> {
        let holds = move |(route, pattern): &&(Route, Option<Regex>)| {
            route.when.holds(pattern.as_ref(), &asked)
        };
        self.routes.iter().filter(holds).map(|(route, _)| route)
    }
}

// === impl Condition ===

impl Condition {
    fn holds(&self, pattern: Option<&Regex>, asked: &Asked<'_>) -> bool {
        let Self {
            text_matches: _,
            min_text_bytes,
            has_attachment_type,
            labels,
            subjects,
            sources,
        } = self;
        let among =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|it| it == name);
        let has_type = has_attachment_type.is_empty()
            || asked
                .attachment_types
                .iter()
                .any(|it| is_type(it, has_attachment_type));
        // What costs most is looked at last.
        asked.text.len() >= *min_text_bytes
            && has_type
            && labels
                .iter()
                .all(|(key, value)| asked.labels.get(key) == Some(value))
            && among(subjects, asked.subject)
            && among(sources, asked.source)
            && pattern.is_none_or(|pattern| {
                pattern.is_match(super::limits::cut(asked.text, MATCHED_TEXT_MAX_BYTES))
            })
    }
}

/// Whether a media type is the wanted one, or of the wanted kind; parameters and case don't count.
fn is_type(media_type: &str, wanted: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    match wanted.strip_suffix("/*") {
        Some(kind) => essence
            .split_once('/')
            .is_some_and(|(its, _)| its.eq_ignore_ascii_case(kind)),
        None => essence.eq_ignore_ascii_case(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, when: Condition) -> Route {
        Route {
            name: name.to_owned(),
            when,
            target: Target {
                model: format!("m/{name}"),
                ..Target::default()
            },
        }
    }

    fn asked<'a>(
        text: &'a str,
        types: &'a [&'a str],
        labels: &'a BTreeMap<String, String>,
    ) -> Asked<'a> {
        Asked {
            text,
            attachment_types: types,
            labels,
            subject: "ann",
            source: "mail",
        }
    }

    #[test]
    fn every_condition_that_is_set_must_hold() {
        let gold = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        let none = BTreeMap::new();
        let when = |change: &dyn Fn(&mut Condition)| {
            let mut condition = Condition::default();
            change(&mut condition);
            condition
        };
        let table = RouteTable::new(vec![
            route(
                "pattern",
                when(&|it| it.text_matches = r"(?i)\bsql\b".into()),
            ),
            route("long", when(&|it| it.min_text_bytes = 10)),
            route(
                "image",
                when(&|it| it.has_attachment_type = "image/*".into()),
            ),
            route(
                "pdf",
                when(&|it| it.has_attachment_type = "application/pdf".into()),
            ),
            route("gold", when(&|it| it.labels = gold.clone())),
            route("bob", when(&|it| it.subjects = vec!["bob".into()])),
            route(
                "ann",
                when(&|it| it.subjects = vec!["bob".into(), "ann".into()]),
            ),
            route("hook", when(&|it| it.sources = vec!["hook".into()])),
            route(
                "both",
                when(&|it| {
                    it.labels = gold.clone();
                    it.sources = vec!["mail".into()];
                }),
            ),
            route("any", Condition::default()),
        ])
        .unwrap();
        let names = |asked: Asked<'_>| -> Vec<String> {
            table
                .matching(asked)
                .map(|route| route.name.clone())
                .collect()
        };
        assert_eq!(names(asked("hi", &[], &none)), ["ann", "any"]);
        assert_eq!(
            names(asked("an SQL query", &[], &none)),
            ["pattern", "long", "ann", "any"]
        );
        assert_eq!(
            names(asked("mysqlx", &["Image/PNG"], &none)),
            ["image", "ann", "any"]
        );
        let pdf = ["application/pdf; charset=x"];
        assert_eq!(
            names(asked("", &pdf, &gold)),
            ["pdf", "gold", "ann", "both", "any"]
        );
    }

    #[test]
    fn a_pattern_is_bounded_in_size_and_in_what_it_sees() {
        let far = format!("{}needle", "x".repeat(MATCHED_TEXT_MAX_BYTES));
        let none = BTreeMap::new();
        let condition = Condition {
            text_matches: "needle".into(),
            ..Condition::default()
        };
        let table = RouteTable::new(vec![route("n", condition)]).unwrap();
        assert_eq!(table.matching(asked(&far, &[], &none)).count(), 0);
        assert_eq!(table.matching(asked(&far[6..], &[], &none)).count(), 1);
        assert!(pattern(&"a".repeat(PATTERN_MAX_BYTES + 1)).is_err());
        let problem = pattern(r"\w{500}{500}").expect_err("it is too large");
        assert!(problem.contains("repeat less"), "{problem}");
        let problem = pattern("(").expect_err("it is none");
        assert_eq!(problem, "is no regular expression: unclosed group");
        assert!(pattern("(?=a)b").is_err(), "it would look around");
        // What takes others exponential time.
        let slow = pattern("(a+)+$").unwrap();
        assert!(!slow.is_match(&format!("{}b", "a".repeat(MATCHED_TEXT_MAX_BYTES - 1))));
    }

    #[test]
    fn an_etag_tells_states_apart() {
        let one = vec![route("a", Condition::default())];
        let two = vec![route("b", Condition::default())];
        assert_ne!(etag(&one), etag(&two));
        assert_ne!(etag(&one), etag(&[]));
        assert_eq!(etag(&one), etag(&one.clone()));
    }
}
