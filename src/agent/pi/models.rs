//! What pi offers: its models, and the thinking levels of each.

use super::THINKING_LEVELS;
use crate::agent::json::{Object, list, text};
use crate::domain::offers::{Model, Offers, join_model};
use serde_json::value::RawValue;

/// Levels that a model has only where it says so.
const BY_NAME: [&str; 2] = ["xhigh", "max"];

/// What is known of what one pi process offers, until it is told.
#[derive(Debug, Default)]
pub(super) struct Offering {
    /// The models that pi has credentials for, once it said which.
    pub(super) models: Option<Vec<Model>>,
    /// The model where nobody chose one; empty where that is not known.
    pub(super) default_model: String,
    /// The model in use.
    pub(super) model: String,
    /// The thinking level in use.
    pub(super) thinking_level: String,
}

// === impl Offering ===

impl Offering {
    /// What is to be told; once.
    pub(super) fn news(&mut self) -> Option<Offers> {
        Some(Offers {
            models: self.models.take()?,
            default_model: self.default_model.clone(),
            model: self.model.clone(),
            thinking_level: self.thinking_level.clone(),
            options: Vec::new(),
        })
    }
}

/// The models of pi's list.
pub(super) fn of_list(models: Option<&RawValue>) -> Vec<Model> {
    list(models).into_iter().filter_map(of).collect()
}

fn of(model: &RawValue) -> Option<Model> {
    let model = Object::of(Some(model));
    let (provider, id, name) = (model.text("provider"), model.text("id"), model.text("name"));
    if id.is_empty() {
        return None;
    }
    let reasoning = model.flag("reasoning");
    let takes = list(model.get("input"));
    let vision = takes.into_iter().any(|it| text(Some(it)) == "image");
    Some(Model {
        display_name: if name.is_empty() { id.clone() } else { name },
        id: join_model(&provider, &id),
        reasoning: Some(reasoning),
        vision: Some(vision),
        tools: None,
        context_window: model.whole("contextWindow"),
        max_output_tokens: model.whole("maxTokens"),
        thinking_levels: Some(levels(
            reasoning,
            &Object::of(model.get("thinkingLevelMap")),
        )),
    })
}

/// The levels of a model, as pi counts them: it takes any other one as the nearest of these, without a word.
fn levels(reasoning: bool, named: &Object<'_>) -> Vec<String> {
    let has = |level: &&str| {
        let named = named.fields().find(|(name, _)| name == level);
        match named.map(|(_, value)| value.get()) {
            Some("null") => false,
            Some(_) => true,
            None => !BY_NAME.contains(level),
        }
    };
    let levels: Vec<&str> = if reasoning {
        THINKING_LEVELS.into_iter().filter(has).collect()
    } else {
        vec![THINKING_LEVELS[0]]
    };
    levels.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read_with_its_levels() {
        let list = r#"[
            {"id":"fake-1","name":"Fake One","provider":"fake","reasoning":true,"input":["text","image"],
             "contextWindow":32000,"maxTokens":1024,"thinkingLevelMap":{"off":null,"max":"ultra"}},
            {"id":"a/b","provider":"router","reasoning":false,"input":["text"],"contextWindow":"odd"},
            {"provider":"nameless"}, 7
        ]"#;
        let list: &RawValue = serde_json::from_str(list).unwrap();
        let models = of_list(Some(list));
        let ids: Vec<&str> = models.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["fake/fake-1", "router/a/b"]);
        let levels = |at: usize| models[at].thinking_levels.clone().unwrap_or_default();
        assert_eq!(levels(0), ["minimal", "low", "medium", "high", "max"]);
        assert_eq!(levels(1), ["off"]);
        assert_eq!(
            (models[0].vision, models[1].vision),
            (Some(true), Some(false))
        );
        assert_eq!(
            (models[0].context_window, models[0].max_output_tokens),
            (32_000, 1024)
        );
        assert_eq!(models[1].display_name, "a/b");
    }
}
