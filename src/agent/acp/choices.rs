//! What is chosen for the session, before each turn: what of it the agent is still to be told, and how it is told that nobody
//! chooses something any more.
//!
//! Agents have no word for "your own default again". So what stood there before the first choice is kept with the
//! conversation, and chosen again where the choice is given back.

use super::options::{Options, Setting, Wanted};
use crate::domain::offers::{Choices, Offers};
use std::collections::{BTreeMap, VecDeque};

/// What has been chosen in a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Choosing {
    /// Model of sessions that choose none; empty: the agent's own.
    own_model: String,
    /// Thinking level of sessions that choose none; empty: the agent's own.
    own_level: String,
    /// What the agent began with, of all that was chosen since. Kept with the conversation.
    pub(super) defaults: BTreeMap<String, String>,
    /// Options as this process was told them.
    applied: BTreeMap<String, String>,
    /// What was told of it all; an agent that offers nothing says nothing.
    told: Offers,
}

/// By what a default is found again.
fn key(setting: &Setting) -> String {
    match setting {
        Setting::Model => "model".to_owned(),
        Setting::ThinkingLevel => "thinking_level".to_owned(),
        Setting::Mode => "option mode".to_owned(),
        Setting::Option(id) => format!("option {id}"),
    }
}

// === impl Choosing ===

impl Choosing {
    /// Nothing is chosen yet; where sessions choose nothing, these are.
    pub(super) fn new(own_model: &str, own_level: &str) -> Self {
        Self {
            own_model: own_model.to_owned(),
            own_level: own_level.to_owned(),
            ..Self::default()
        }
    }

    /// What is to be chosen before a turn, in this order: modes, which may bring another model; the model; its thinking level;
    /// options, which may come with a model.
    ///
    /// An option is told once, since agents change theirs while they work; model and level are what the session says.
    pub(super) fn plan(&self, choices: &Choices, options: &Options) -> VecDeque<Wanted> {
        let Choices {
            model,
            thinking_level,
            options: chosen,
        } = choices;
        let (mut modes, mut others) = (Vec::new(), Vec::new());
        let mut add = |id: &String, value: &String, back: bool| {
            let wanted = Wanted {
                setting: Setting::Option(id.clone()),
                value: value.clone(),
                back,
            };
            if options.is_mode(id) {
                modes.push(wanted);
            } else {
                others.push(wanted);
            }
        };
        for (id, value) in chosen {
            if self.applied.get(id) != Some(value) {
                add(id, value, false);
            }
        }
        for (key, default) in &self.defaults {
            if let Some(id) = key.strip_prefix("option ")
                && !chosen.contains_key(id)
            {
                add(&id.to_owned(), default, true);
            }
        }
        let of = |setting: Setting, word: &String, own: &String| {
            let word = if word.is_empty() { own } else { word };
            if !word.is_empty() {
                return Some(Wanted {
                    setting,
                    value: word.clone(),
                    back: false,
                });
            }
            let default = self.defaults.get(&key(&setting))?;
            Some(Wanted {
                setting,
                value: default.clone(),
                back: true,
            })
        };
        let model = of(Setting::Model, model, &self.own_model);
        let level = of(Setting::ThinkingLevel, thinking_level, &self.own_level);
        modes
            .into_iter()
            .chain(model)
            .chain(level)
            .chain(others)
            .collect()
    }

    /// The agent is about to be asked for a choice. True where something is to be kept for that.
    pub(super) fn begin(&mut self, wanted: &Wanted, options: &Options) -> bool {
        let current = options.current(&wanted.setting);
        let key = key(&wanted.setting);
        if wanted.back || current.is_empty() || self.defaults.contains_key(&key) {
            return false;
        }
        self.defaults.insert(key, current.to_owned());
        true
    }

    /// A choice is made. True where what is kept has changed.
    pub(super) fn made(&mut self, wanted: &Wanted) -> bool {
        let Wanted {
            setting,
            value,
            back,
        } = wanted;
        if let Setting::Option(id) = setting {
            if *back {
                self.applied.remove(id);
            } else {
                self.applied.insert(id.clone(), value.clone());
            }
        }
        *back && self.defaults.remove(&key(setting)).is_some()
    }

    /// What the session is told of it all, where that is something else than before.
    pub(super) fn news(&mut self, options: &Options) -> Option<Offers> {
        let mut offers = options.told(|setting| self.defaults.get(&key(setting)).cloned());
        if !self.own_model.is_empty() {
            offers.default_model.clone_from(&self.own_model);
        }
        if self.told == offers {
            return None;
        }
        self.told = offers.clone();
        Some(offers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options() -> Options {
        let mut options = Options::default();
        let select = |id: &str, category: &str, current: &str, values: [&str; 2]| {
            json!({ "id": id, "category": category, "type": "select", "currentValue": current,
                "options": values.map(|value| json!({ "value": value, "name": value })) })
        };
        options.hear(&json!({ "configOptions": [
            select("model", "model", "a", ["a", "b"]),
            select("effort", "thought_level", "low", ["low", "high"]),
            select("fast", "other", "off", ["off", "on"]),
            select("way", "mode", "ask", ["ask", "plan"]),
        ] }));
        options
    }

    fn plan(choosing: &Choosing, model: &str, level: &str, chosen: &[(&str, &str)]) -> Vec<String> {
        let choices = Choices {
            model: model.into(),
            thinking_level: level.into(),
            options: chosen
                .iter()
                .map(|(id, value)| ((*id).into(), (*value).into()))
                .collect(),
        };
        let plan = choosing.plan(&choices, &options());
        plan.iter()
            .map(|wanted| {
                let back = if wanted.back { " back" } else { "" };
                format!("{} {}{back}", wanted.setting.name(), wanted.value)
            })
            .collect()
    }

    #[test]
    fn modes_come_before_the_model_and_levels_and_options_after_it() {
        let choosing = Choosing::default();
        let plan = plan(&choosing, "b", "high", &[("fast", "on"), ("way", "plan")]);
        assert_eq!(
            plan,
            ["way plan", "model b", "thinking level high", "fast on"]
        );
    }

    /// What is given back goes to what the agent began with, also in another process, and once.
    #[test]
    fn a_choice_that_is_given_back_is_what_the_agent_began_with() {
        let mut choosing = Choosing::default();
        let options = options();
        for wanted in choosing.plan(
            &Choices {
                model: "b".into(),
                options: [("way".into(), "plan".into())].into(),
                ..Choices::default()
            },
            &options,
        ) {
            assert!(choosing.begin(&wanted, &options));
            assert!(!choosing.begin(&wanted, &options), "the first one counts");
            assert!(!choosing.made(&wanted));
        }
        // The option was told; a model is what the session says, whatever the agent did since.
        assert_eq!(plan(&choosing, "b", "", &[("way", "plan")]), ["model b"]);
        let mut later = Choosing {
            defaults: choosing.defaults.clone(),
            ..Choosing::default()
        };
        assert_eq!(plan(&later, "", "", &[]), ["way ask back", "model a back"]);
        assert_eq!(
            plan(&later, "b", "", &[("way", "plan")]),
            ["way plan", "model b"]
        );
        for wanted in later.plan(&Choices::default(), &options) {
            assert!(later.made(&wanted), "what is kept has changed");
        }
        assert_eq!(plan(&later, "", "", &[]), [""; 0]);
        // The operator's own stand where nobody chose.
        later.own_model = "b".into();
        assert_eq!(plan(&later, "", "", &[]), ["model b"]);
        assert_eq!(plan(&later, "a", "", &[]), ["model a"]);
    }

    #[test]
    fn what_is_offered_is_told_once_with_the_defaults_and_without_model_and_level_among_the_options()
     {
        let mut choosing = Choosing::default();
        let mut options = options();
        let wanted = Wanted {
            setting: Setting::Model,
            value: "b".into(),
            back: false,
        };
        choosing.begin(&wanted, &options);
        options.made(&wanted);
        let told = choosing.news(&options).expect("it is news");
        assert_eq!(
            (told.model.as_str(), told.default_model.as_str()),
            ("b", "a")
        );
        let ids: Vec<&str> = told.options.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["fast", "way"]);
        let levels = |model: usize| told.models[model].thinking_levels.clone();
        assert_eq!(levels(0), Some(vec!["low".into(), "high".into()]));
        assert_eq!(levels(1), None, "it was not heard of yet");
        assert_eq!(choosing.news(&options), None);
        options.hear(&json!({ "configOptions": [] }));
        assert!(choosing.news(&options).is_some());
    }
}
