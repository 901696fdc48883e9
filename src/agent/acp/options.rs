//! What can be chosen for an agent's session: its model, its thinking level, its options, of which a mode is one. Agents offer
//! that in three ways, tried in this order: config options (`session/set_config_option`), which are told apart by their category;
//! a list of models (`session/set_model`); a list of modes (`session/set_mode`). Options come and go with the model, so what an
//! agent answers to a choice replaces what is known.

use crate::domain::offers::{AgentOption, Model, Offers, OptionValue, named};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Config options that are kept of a session.
const OPTIONS_MAX: usize = 64;
/// Values that are kept of one option, models and modes of a session; and models whose thinking levels are.
const VALUES_MAX: usize = 4096;
/// The id of the option that a list of modes is.
const MODE: &str = "mode";

/// What is to be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// How the agent works: what it asks for, what it may do. The operator's to say.
    Mode,
    /// The model.
    Model,
    /// How much the model thinks.
    ThinkingLevel,
    /// The option of that id.
    Option(String),
}

/// A choice that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of what.
    pub(super) setting: Setting,
    /// The agent's word for it.
    pub(super) value: String,
    /// Nobody chooses it any more: the value is what the agent began with.
    pub(super) back: bool,
}

/// What to do about a choice.
#[derive(Debug, PartialEq)]
pub(super) enum Way {
    /// It is so already.
    Nothing,
    /// Ask the agent.
    Call(&'static str, Value),
    /// It can't be; why, for people.
    Impossible(String),
}

/// What a session offers.
#[derive(Debug, Default)]
pub(super) struct Options {
    options: Vec<ConfigOption>,
    models: Choice,
    modes: Choice,
    /// Thinking levels of the models that were in use, as far as they were told.
    levels: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct ConfigOption {
    id: String,
    name: String,
    description: String,
    category: String,
    /// Its values are `true` and `false`, and no texts.
    is_boolean: bool,
    choice: Choice,
}

/// Values with the present one.
#[derive(Debug, Default)]
struct Choice {
    current: String,
    values: Vec<OptionValue>,
}

// === impl Setting ===

impl Setting {
    fn category(&self) -> &str {
        match self {
            Self::Mode => MODE,
            Self::Model => "model",
            Self::ThinkingLevel => "thought_level",
            Self::Option(id) => id,
        }
    }

    /// How people call it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Mode => "mode",
            Self::Model => "model",
            Self::ThinkingLevel => "thinking level",
            Self::Option(id) => id,
        }
    }
}

// === impl Options ===

impl Options {
    /// Takes what an answer or an update says of them, and leaves the rest as it was.
    pub(super) fn hear(&mut self, said: &Value) {
        if let Some(options) = said["configOptions"].as_array() {
            let known = options.iter().filter_map(ConfigOption::of);
            self.options = known.take(OPTIONS_MAX).collect();
        }
        if let Some(models) = said["models"]["availableModels"].as_array() {
            self.models = Choice {
                current: text(&said["models"]["currentModelId"]),
                values: values(models.iter(), "modelId"),
            };
        }
        if let Some(modes) = said["modes"]["availableModes"].as_array() {
            self.modes = Choice {
                current: text(&said["modes"]["currentModeId"]),
                values: values(modes.iter(), "id"),
            };
        }
        if let Some(mode) = said["currentModeId"].as_str() {
            mode.clone_into(&mut self.modes.current);
        }
        let (model, levels) = (self.model().to_owned(), self.levels_now());
        if !model.is_empty() && (self.levels.len() < VALUES_MAX || self.levels.contains_key(&model))
        {
            self.levels.insert(model, levels);
        }
    }

    /// The agent took a choice, and said nothing of what came of it.
    pub(super) fn made(&mut self, wanted: &Wanted) {
        let Wanted { setting, value, .. } = wanted;
        let listed = match (self.option_mut(setting), setting) {
            (Some(option), _) => &mut option.choice,
            (None, Setting::Model) => &mut self.models,
            (None, Setting::Mode | Setting::Option(_)) => &mut self.modes,
            (None, Setting::ThinkingLevel) => return,
        };
        listed.current.clone_from(value);
    }

    /// The model in use; empty where the agent does not say.
    pub(super) fn model(&self) -> &str {
        let option = self.option(&Setting::Model);
        option.map_or(&self.models.current, |option| &option.choice.current)
    }

    /// The value in use; empty where the agent does not say.
    pub(super) fn current(&self, setting: &Setting) -> &str {
        match (self.choice(setting), setting) {
            (Some(choice), _) => &choice.current,
            (None, _) => "",
        }
    }

    /// Whether a model, or a thinking level, can be chosen.
    pub(super) fn offers(&self, setting: &Setting) -> bool {
        let listed = match setting {
            Setting::Mode | Setting::Option(_) => &self.modes,
            Setting::Model => &self.models,
            Setting::ThinkingLevel => return self.option(setting).is_some(),
        };
        self.option(setting).is_some() || !listed.values.is_empty()
    }

    /// Whether there is anything to choose besides model and thinking level.
    pub(super) fn any(&self) -> bool {
        !self.modes.values.is_empty() || self.options.iter().any(ConfigOption::is_plain)
    }

    /// Whether an option says how the agent works, which may change its model as well.
    pub(super) fn is_mode(&self, id: &str) -> bool {
        id == MODE
            || self
                .options
                .iter()
                .any(|it| it.id == id && it.category == MODE)
    }

    /// All of it, for the session. `default_of` says what the agent began with, where something else was chosen since.
    pub(super) fn told(&self, default_of: impl Fn(&Setting) -> Option<String>) -> Offers {
        let default = |setting: &Setting| {
            default_of(setting).unwrap_or_else(|| self.current(setting).to_owned())
        };
        let models = self.choice(&Setting::Model);
        let models = models.map_or(&[][..], |choice| &choice.values[..]).iter();
        let models = models.map(|OptionValue { value, name, .. }| Model {
            id: value.clone(),
            display_name: name.clone(),
            thinking_levels: self.levels.get(value).cloned(),
            ..Model::default()
        });
        let option = |option: &ConfigOption| AgentOption {
            id: option.id.clone(),
            name: option.name.clone(),
            description: option.description.clone(),
            category: option.category.clone(),
            values: option.choice.values.clone(),
            current: option.choice.current.clone(),
            default: default(&Setting::Option(option.id.clone())),
        };
        let plain = self.options.iter().filter(|it| it.is_plain());
        let mut options: Vec<AgentOption> = plain.map(option).collect();
        if self.option(&Setting::Mode).is_none() && !self.modes.values.is_empty() {
            options.push(AgentOption {
                id: MODE.to_owned(),
                name: "Mode".to_owned(),
                description: String::new(),
                category: MODE.to_owned(),
                values: self.modes.values.clone(),
                current: self.modes.current.clone(),
                default: default(&Setting::Option(MODE.to_owned())),
            });
        }
        Offers {
            models: models.collect(),
            default_model: default(&Setting::Model),
            model: self.model().to_owned(),
            thinking_level: self.current(&Setting::ThinkingLevel).to_owned(),
            options,
        }
    }

    /// How a choice is made.
    pub(super) fn way(&self, wanted: &Wanted, session_id: &str) -> Way {
        let Wanted { setting, value, .. } = wanted;
        if let Some(option) = self.option(setting) {
            let ConfigOption {
                id,
                is_boolean,
                choice,
                ..
            } = option;
            if choice.current == *value {
                return Way::Nothing;
            }
            // Some agents take any word for a level, and go on as before.
            let listed =
                choice.values.is_empty() || choice.values.iter().any(|it| it.value == *value);
            let strict = matches!(setting, Setting::ThinkingLevel | Setting::Option(_));
            if strict && !listed {
                return Way::Impossible(choice.lacks(setting, value));
            }
            let value = match value.as_str() {
                "true" | "false" if *is_boolean => json!(value == "true"),
                _ => json!(value),
            };
            let params = json!({ "sessionId": session_id, "configId": id, "value": value });
            return Way::Call("session/set_config_option", params);
        }
        let (choice, method, key) = match setting {
            Setting::Model => (&self.models, "session/set_model", "modelId"),
            Setting::Mode => (&self.modes, "session/set_mode", "modeId"),
            Setting::Option(id) if id == MODE && !self.modes.values.is_empty() => {
                (&self.modes, "session/set_mode", "modeId")
            }
            Setting::Option(id) => {
                return Way::Impossible(format!(
                    "the agent offers no option {id} in this session; give it back"
                ));
            }
            // Never as a mode: with some agents that is a question of what they may do.
            Setting::ThinkingLevel => {
                let problem = "the agent offers no thinking level with this model; leave thinking_level empty";
                return Way::Impossible(problem.into());
            }
        };
        if choice.current == *value {
            return Way::Nothing;
        }
        if choice.values.is_empty() {
            let name = setting.name();
            return Way::Impossible(format!(
                "the agent lets nobody choose a {name}; leave {name} empty, and choose it in the agent's own settings"
            ));
        }
        let params = json!({ "sessionId": session_id, key: value });
        Way::Call(method, params)
    }

    /// What an agent's refusal of a choice means, for people.
    pub(super) fn refused(&self, wanted: &Wanted, message: &str) -> String {
        let Wanted { setting, value, .. } = wanted;
        match self.choice(setting) {
            Some(choice) => format!("{}: {message}", choice.lacks(setting, value)),
            None => format!(
                "the agent does not take the {} {value:?}: {message}",
                setting.name()
            ),
        }
    }

    /// Where a setting stands, wherever the agent offers it.
    fn choice(&self, setting: &Setting) -> Option<&Choice> {
        let option = self.option(setting).map(|option| &option.choice);
        option.or_else(|| match setting {
            Setting::Model => Some(&self.models),
            Setting::Mode => Some(&self.modes),
            Setting::Option(id) if id == MODE => Some(&self.modes),
            Setting::ThinkingLevel | Setting::Option(_) => None,
        })
    }

    fn levels_now(&self) -> Vec<String> {
        let option = self.option(&Setting::ThinkingLevel);
        let values = option.map_or(&[][..], |option| &option.choice.values[..]);
        values.iter().map(|it| it.value.clone()).collect()
    }

    fn option(&self, setting: &Setting) -> Option<&ConfigOption> {
        let place = self.place(setting)?;
        self.options.get(place)
    }

    fn option_mut(&mut self, setting: &Setting) -> Option<&mut ConfigOption> {
        let place = self.place(setting)?;
        self.options.get_mut(place)
    }

    fn place(&self, setting: &Setting) -> Option<usize> {
        let mut options = self.options.iter();
        if let Setting::Option(id) = setting {
            return options.position(|it| it.id == *id && it.is_plain());
        }
        let category = setting.category();
        let by_category = options.position(|it| it.category == category);
        by_category.or_else(|| {
            let bare = |it: &ConfigOption| it.category.is_empty() && it.id == category;
            self.options.iter().position(bare)
        })
    }
}

// === impl ConfigOption ===

impl ConfigOption {
    fn of(option: &Value) -> Option<Self> {
        let listed = option["options"].as_array();
        // Some are in groups.
        let listed = listed.into_iter().flatten().flat_map(|one| {
            let group = one["options"].as_array();
            group.map_or_else(|| vec![one], |group| group.iter().collect())
        });
        let id = option["id"].as_str()?;
        let is_boolean = option["type"] == "boolean" || option["currentValue"].is_boolean();
        Some(Self {
            id: id.to_owned(),
            name: option["name"].as_str().unwrap_or(id).to_owned(),
            description: text(&option["description"]),
            category: text(&option["category"]),
            is_boolean,
            choice: Choice {
                current: match &option["currentValue"] {
                    Value::Bool(set) => set.to_string(),
                    other => text(other),
                },
                values: if is_boolean {
                    ["true", "false"].map(OptionValue::of).into()
                } else {
                    values(listed, "value")
                },
            },
        })
    }

    /// It is neither the model nor the thinking level.
    fn is_plain(&self) -> bool {
        let kind = match self.category.as_str() {
            "" => self.id.as_str(),
            category => category,
        };
        !matches!(kind, "model" | "thought_level")
    }
}

// === impl Choice ===

impl Choice {
    fn lacks(&self, setting: &Setting, value: &str) -> String {
        let name = setting.name();
        let named = named(self.values.iter().map(|it| it.value.as_str()));
        format!("the agent does not take the {name} {value:?}; it offers: {named}")
    }
}

/// Values of a list, whose word for each stands under `key`.
fn values<'a>(list: impl Iterator<Item = &'a Value>, key: &str) -> Vec<OptionValue> {
    let values = list.filter_map(|one| {
        let value = one[key].as_str()?;
        Some(OptionValue {
            name: one["name"].as_str().unwrap_or(value).to_owned(),
            description: text(&one["description"]),
            value: value.to_owned(),
        })
    });
    values.take(VALUES_MAX).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(setting: Setting, value: &str) -> Wanted {
        Wanted {
            setting,
            value: value.into(),
            back: false,
        }
    }

    fn options(said: Value) -> Options {
        let mut options = Options::default();
        options.hear(&said);
        options
    }

    #[test]
    fn a_choice_goes_by_category_then_by_the_lists() {
        let both = options(json!({
            "configOptions": [
                { "id": "style", "category": "other", "currentValue": "x", "options": [] },
                { "id": "llm", "category": "model", "currentValue": "a", "options": [
                    { "group": "g", "options": [{ "value": "a" }, { "value": "b" }] } ] },
            ],
            "models": { "currentModelId": "z", "availableModels": [{ "modelId": "z" }] },
        }));
        assert_eq!(both.model(), "a");
        let way = both.way(&wanted(Setting::Model, "b"), "s");
        let params = json!({ "sessionId": "s", "configId": "llm", "value": "b" });
        assert_eq!(way, Way::Call("session/set_config_option", params));
        assert_eq!(both.way(&wanted(Setting::Model, "a"), "s"), Way::Nothing);
        let listed = options(json!({
            "models": { "currentModelId": "z", "availableModels": [{ "modelId": "z" }, { "modelId": "y" }] },
            "modes": { "currentModeId": "ask", "availableModes": [{ "id": "ask" }, { "id": "yolo" }] },
        }));
        let way = listed.way(&wanted(Setting::Model, "y"), "s");
        let params = json!({ "sessionId": "s", "modelId": "y" });
        assert_eq!(way, Way::Call("session/set_model", params));
        let way = listed.way(&wanted(Setting::Mode, "yolo"), "s");
        let params = json!({ "sessionId": "s", "modeId": "yolo" });
        assert_eq!(way, Way::Call("session/set_mode", params));
    }

    /// A session's thinking level is its caller's to choose, an agent's mode is not.
    #[test]
    fn a_thinking_level_never_becomes_a_mode() {
        let modes =
            json!({ "modes": { "currentModeId": "ask", "availableModes": [{ "id": "yolo" }] } });
        let way = options(modes).way(&wanted(Setting::ThinkingLevel, "yolo"), "s");
        assert!(matches!(way, Way::Impossible(_)), "{way:?}");
    }

    /// An agent was seen that takes any word for a level without a word.
    #[test]
    fn a_level_that_is_not_offered_is_refused_here() {
        let offered = options(json!({ "configOptions": [
            { "id": "effort", "category": "thought_level", "currentValue": "low", "options": [
                { "value": "low" }, { "value": "high" } ] },
        ] }));
        match offered.way(&wanted(Setting::ThinkingLevel, "bogus"), "s") {
            Way::Impossible(problem) => assert!(problem.contains("low, high"), "{problem}"),
            other => panic!("{other:?}"),
        }
        let way = offered.way(&wanted(Setting::ThinkingLevel, "high"), "s");
        assert!(matches!(way, Way::Call(..)), "{way:?}");
        let way = offered.way(&wanted(Setting::Model, "any"), "s");
        assert!(matches!(way, Way::Impossible(_)), "{way:?}");
    }
}
