//! What an agent lets be chosen for a session (models, thinking levels, options), and what is chosen.

use super::{
    limits::{NAME_MAX_BYTES, cut},
    refusal::Refusal,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Models of one agent.
pub const MODELS_MAX: usize = 1024;
/// Thinking levels of one model.
pub const LEVELS_MAX: usize = 64;
/// Options of one session, and choices of them.
pub const OPTIONS_MAX: usize = 64;
/// Values of one option.
pub const VALUES_MAX: usize = 256;
/// Longest value of an option, and longest text about one, in bytes.
pub const VALUE_MAX_BYTES: usize = 1024;
/// Values that a refusal names.
const NAMED_MAX: usize = 20;

/// What is chosen for a session. Empty: nothing, the agent's own default counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The model.
    pub model: String,
    /// The thinking level.
    pub thinking_level: String,
    /// Values by the id of their option.
    pub options: BTreeMap<String, String>,
}

/// One choice for a session; an empty word gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Of the model.
    Model(String),
    /// Of the thinking level.
    ThinkingLevel(String),
    /// Of an option.
    Option {
        /// Which.
        option_id: String,
        /// Its value.
        value: String,
    },
}

/// What an agent offers in a session, and what is in use there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// The models; empty where none can be chosen.
    pub models: Vec<Model>,
    /// The model where nobody chose one; empty where that is not known.
    pub default_model: String,
    /// The model in use; empty where the agent does not say.
    pub model: String,
    /// The thinking level in use; empty where the agent does not say.
    pub thinking_level: String,
    /// What else can be chosen.
    pub options: Vec<AgentOption>,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// What it is chosen by: `provider/model`, or the agent's own word.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// It thinks; `None` where the agent does not say.
    pub reasoning: Option<bool>,
    /// It takes pictures; `None` where the agent does not say.
    pub vision: Option<bool>,
    /// It calls tools; `None` where the agent does not say.
    pub tools: Option<bool>,
    /// Tokens of its context; 0 where the agent does not say.
    pub context_window: i64,
    /// Tokens that it writes at most; 0 where the agent does not say.
    pub max_output_tokens: i64,
    /// Its thinking levels; `None` where they are not known yet.
    pub thinking_levels: Option<Vec<String>>,
}

/// Something else that can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentOption {
    /// The agent's id of it.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// The agent's word for its kind.
    pub category: String,
    /// What it takes; empty where it takes any.
    pub values: Vec<OptionValue>,
    /// The value in use.
    pub current: String,
    /// The value where nobody chose one.
    pub default: String,
}

/// A value of an option.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionValue {
    /// The value.
    pub value: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
}

// === impl Offers ===

impl Offers {
    /// As much of it as is kept. What is too long to be chosen is no offer.
    pub fn bounded(mut self) -> Self {
        let fits = |word: &String| !word.is_empty() && word.len() <= NAME_MAX_BYTES;
        let shorten = |text: &mut String, max: usize| {
            if text.len() > max {
                *text = cut(text, max).to_owned();
            }
        };
        self.models.retain(|model| fits(&model.id));
        self.models.truncate(MODELS_MAX);
        for model in &mut self.models {
            shorten(&mut model.display_name, NAME_MAX_BYTES);
            model.context_window = model.context_window.max(0);
            model.max_output_tokens = model.max_output_tokens.max(0);
            if let Some(levels) = &mut model.thinking_levels {
                levels.retain(fits);
                levels.truncate(LEVELS_MAX);
            }
        }
        for word in [
            &mut self.default_model,
            &mut self.model,
            &mut self.thinking_level,
        ] {
            shorten(word, VALUE_MAX_BYTES);
        }
        self.options.retain(|option| fits(&option.id));
        self.options.truncate(OPTIONS_MAX);
        for option in &mut self.options {
            for name in [&mut option.name, &mut option.category] {
                shorten(name, NAME_MAX_BYTES);
            }
            for text in [
                &mut option.description,
                &mut option.current,
                &mut option.default,
            ] {
                shorten(text, VALUE_MAX_BYTES);
            }
            let values = &mut option.values;
            values.retain(|it| it.value.len() <= VALUE_MAX_BYTES);
            values.truncate(VALUES_MAX);
            for OptionValue {
                name, description, ..
            } in values
            {
                shorten(name, NAME_MAX_BYTES);
                shorten(description, VALUE_MAX_BYTES);
            }
        }
        self
    }

    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        let Self {
            models,
            default_model,
            model,
            thinking_level,
            options,
        } = self;
        let of_model = |model: &Model| {
            let levels = model.thinking_levels.iter().flatten();
            model.id.len() + model.display_name.len() + levels.map(String::len).sum::<usize>()
        };
        let of_value = |it: &OptionValue| it.value.len() + it.name.len() + it.description.len();
        let of_option = |option: &AgentOption| {
            let AgentOption {
                id,
                name,
                description,
                category,
                values,
                current,
                default,
            } = option;
            let texts = [id, name, description, category, current, default];
            texts.map(String::len).iter().sum::<usize>()
                + values.iter().map(of_value).sum::<usize>()
        };
        models.iter().map(of_model).sum::<usize>()
            + options.iter().map(of_option).sum::<usize>()
            + default_model.len()
            + model.len()
            + thinking_level.len()
    }

    /// As it is kept, and what tells it apart from others; never 0.
    pub fn encoded(&self) -> (String, i64) {
        let text = serde_json::to_string(self).expect("texts and numbers are always JSON");
        let digest = Sha256::digest(text.as_bytes());
        let digest = digest[..8].iter();
        let digest = digest.fold(0, |all, byte| all << 8 | i64::from(*byte));
        (text, if digest == 0 { 1 } else { digest })
    }

    /// What of it holds for every session of the agent: nothing that was chosen for this one.
    pub fn of_agent(&self) -> Self {
        let options = self.options.iter().map(|option| AgentOption {
            current: option.default.clone(),
            ..option.clone()
        });
        Self {
            models: self.models.clone(),
            default_model: self.default_model.clone(),
            model: self.default_model.clone(),
            thinking_level: String::new(),
            options: options.collect(),
        }
    }

    /// Refuses what is known not to be offered beside the present choices.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`, `OPTION_NOT_FOUND`, or the field that is wrong.
    pub fn require(&self, choices: &Choices, choice: &Choice) -> Result<(), Refusal> {
        match choice {
            Choice::Model(model) => self.require_model(model),
            Choice::ThinkingLevel(level) => self.require_level(&choices.model, level),
            Choice::Option { option_id, value } => self.require_option(option_id, value),
        }
    }

    fn require_model(&self, model: &str) -> Result<(), Refusal> {
        let offered = self.models.is_empty() || self.models.iter().any(|it| it.id == model);
        if model.is_empty() || offered {
            return Ok(());
        }
        Err(Refusal::ModelNotFound {
            model: model.to_owned(),
            offered: named(self.models.iter().map(|it| it.id.as_str())),
        })
    }

    fn require_level(&self, chosen_model: &str, level: &str) -> Result<(), Refusal> {
        let model = if chosen_model.is_empty() {
            &self.default_model
        } else {
            chosen_model
        };
        let known = self.models.iter().find(|it| it.id == model);
        let Some(levels) = known.and_then(|it| it.thinking_levels.as_ref()) else {
            return Ok(());
        };
        if level.is_empty() || levels.iter().any(|it| it == level) {
            return Ok(());
        }
        let problem = if levels.is_empty() {
            format!("the model {model} has no thinking levels; leave it empty")
        } else {
            let levels = named(levels.iter().map(String::as_str));
            format!("is not offered with the model {model}; offered are: {levels}")
        };
        Err(Refusal::field("level", problem))
    }

    fn require_option(&self, option_id: &str, value: &str) -> Result<(), Refusal> {
        // What was chosen can be given back even where it is not offered any more.
        if value.is_empty() {
            return Ok(());
        }
        let Some(option) = self.options.iter().find(|it| it.id == option_id) else {
            return Err(Refusal::OptionNotFound {
                option_id: option_id.to_owned(),
                offered: named(self.options.iter().map(|it| it.id.as_str())),
            });
        };
        let values = &option.values;
        if values.is_empty() || values.iter().any(|it| it.value == value) {
            return Ok(());
        }
        let values = named(values.iter().map(|it| it.value.as_str()));
        let problem = format!("is no value of {option_id}; it takes: {values}");
        Err(Refusal::field("value", problem))
    }
}

// === impl OptionValue ===

impl OptionValue {
    /// A value that says what it means.
    pub fn of(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            name: value.to_owned(),
            description: String::new(),
        }
    }
}

/// The first of many words, for people.
pub fn named<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut words = words.peekable();
    let mut named: Vec<&str> = words.by_ref().take(NAMED_MAX).collect();
    if words.peek().is_some() {
        named.push("…");
    }
    named.join(", ")
}

/// A model's provider and its id there: what stands before and behind the first slash.
pub fn split_model(model: &str) -> (&str, &str) {
    model.split_once('/').unwrap_or(("", model))
}

/// The two as one word.
pub fn join_model(provider: &str, model_id: &str) -> String {
    if provider.is_empty() {
        model_id.to_owned()
    } else {
        format!("{provider}/{model_id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers() -> Offers {
        let model = |id: &str, levels: Option<&[&str]>| Model {
            id: id.into(),
            thinking_levels: levels.map(|levels| levels.iter().map(|it| (*it).into()).collect()),
            ..Model::default()
        };
        let value = |value: &str| OptionValue {
            value: value.into(),
            ..OptionValue::default()
        };
        Offers {
            models: vec![
                model("a/plain", Some(&[])),
                model("a/deep", Some(&["low", "high"])),
                model("b/unknown", None),
            ],
            default_model: "a/plain".into(),
            model: "a/deep".into(),
            thinking_level: "high".into(),
            options: vec![AgentOption {
                id: "mode".into(),
                values: vec![value("ask"), value("plan")],
                current: "plan".into(),
                default: "ask".into(),
                ..AgentOption::default()
            }],
        }
    }

    fn refused(model: &str, choice: Choice) -> Option<(&'static str, String)> {
        let choices = Choices {
            model: model.into(),
            ..Choices::default()
        };
        let refusal = offers().require(&choices, &choice).err()?;
        Some((refusal.reason(), refusal.to_string()))
    }

    /// FEATURES 6.1 17 and 6.2 6: an unknown model is refused, a level that is not offered is refused with those that are.
    #[test]
    fn what_is_known_not_to_be_offered_is_refused_and_what_is_not_known_is_not() {
        let level = |level: &str| Choice::ThinkingLevel(level.into());
        let option = |option_id: &str, value: &str| Choice::Option {
            option_id: option_id.into(),
            value: value.into(),
        };
        for (model, choice) in [
            ("", Choice::Model("a/deep".into())),
            ("", Choice::Model(String::new())),
            ("a/deep", level("low")),
            ("b/unknown", level("any")),
            ("a/deep", level("")),
            ("", option("mode", "plan")),
            ("", option("gone", "")),
        ] {
            assert_eq!(refused(model, choice.clone()), None, "{choice:?}");
        }
        for (model, choice, reason, words) in [
            (
                "",
                Choice::Model("a".into()),
                "MODEL_NOT_FOUND",
                "a/plain, a/deep",
            ),
            ("a/deep", level("bogus"), "INVALID_FIELD", "low, high"),
            (
                "",
                level("low"),
                "INVALID_FIELD",
                "a/plain has no thinking levels",
            ),
            ("", option("mood", "x"), "OPTION_NOT_FOUND", "mode"),
            ("", option("mode", "x"), "INVALID_FIELD", "ask, plan"),
        ] {
            let (found, text) = refused(model, choice.clone()).expect("it is refused");
            assert_eq!(found, reason, "{choice:?}");
            assert!(text.contains(words), "{text}");
        }
        // Where nothing is known, nothing is refused but an option of which there are none.
        let nothing = Offers::default();
        for choice in [Choice::Model("x".into()), level("x")] {
            assert_eq!(nothing.require(&Choices::default(), &choice), Ok(()));
        }
    }

    /// Nothing chosen for one session shows in another.
    #[test]
    fn what_holds_for_the_agent_has_nothing_of_the_session() {
        let of_agent = offers().of_agent();
        assert_eq!(of_agent.model, "a/plain");
        assert_eq!(of_agent.thinking_level, "");
        assert_eq!(of_agent.options[0].current, "ask");
        assert_eq!(of_agent.models, offers().models);
    }

    #[test]
    fn what_is_too_much_is_cut() {
        let mut many = offers();
        many.models = vec![many.models[1].clone(); 2 * MODELS_MAX];
        many.models[0].id = "x".repeat(NAME_MAX_BYTES + 1);
        many.options[0].description = "y".repeat(2 * VALUE_MAX_BYTES);
        many.options[0].values = vec![OptionValue::default(); 2 * VALUES_MAX];
        let bounded = many.bounded();
        assert_eq!(bounded.models.len(), MODELS_MAX);
        assert_eq!(bounded.models[0].id, "a/deep");
        assert_eq!(bounded.options[0].description.len(), VALUE_MAX_BYTES);
        assert_eq!(bounded.options[0].values.len(), VALUES_MAX);
    }

    #[test]
    fn a_models_name_is_split_at_its_first_slash() {
        for (model, parts) in [("a/b/c", ("a", "b/c")), ("b", ("", "b")), ("", ("", ""))] {
            assert_eq!(split_model(model), parts);
            assert_eq!(join_model(parts.0, parts.1), model);
        }
    }
}
