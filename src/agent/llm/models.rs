//! The models that a session may choose: those that the configuration names, or those that the provider lists.
//!
//! The list is asked for once and kept for an hour, for all sessions of the agent. A provider that has none, or does not
//! answer in time, is asked again a minute later at the earliest; until then any model is taken, as one that nobody knows.

use super::{
    options::{Endpoint, ModelName},
    provider::Api,
};
use crate::domain::offers::{MODELS_MAX, Model};
use reqwest::{Client, header};
use serde_json::Value;
use std::time::Duration;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// Time for the provider's answer. A first turn waits for it.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Largest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long a list is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// How long it is kept that there is none.
const NONE_KEPT: Duration = Duration::from_secs(60);

/// What is known of the models of an agent.
#[derive(Debug, Default)]
pub(super) struct ModelList(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    models: Vec<Model>,
    until: Instant,
}

// === impl ModelList ===

impl ModelList {
    /// The models; empty where nobody knows them.
    pub(super) async fn get(
        &self,
        client: &Client,
        endpoint: &Endpoint,
        default: &ModelName,
        configured: &[ModelName],
    ) -> Vec<Model> {
        if !configured.is_empty() {
            return with_default(configured.iter().map(named).collect(), default);
        }
        // Held while it is asked for: others wait for the same answer.
        let mut known = self.0.lock().await;
        if let Some(known) = known.as_ref().filter(|it| Instant::now() < it.until) {
            return known.models.clone();
        }
        let asked = timeout(ANSWER_MAX, ask(client, endpoint)).await;
        let listed = asked.ok().flatten().unwrap_or_default();
        let models = models(&listed, endpoint.api, &default.provider);
        let (models, kept) = if models.is_empty() {
            (models, NONE_KEPT)
        } else {
            (with_default(models, default), KEPT)
        };
        *known = Some(Known {
            models: models.clone(),
            until: Instant::now() + kept,
        });
        models
    }
}

/// What the provider answers; `None` where it does not, or with too much.
async fn ask(client: &Client, endpoint: &Endpoint) -> Option<Value> {
    let mut call = client
        .get(format!("{}/models", endpoint.base_url))
        .header(header::ACCEPT, "application/json");
    for (name, value) in endpoint.api.headers(&endpoint.key) {
        call = call.header(name, value);
    }
    let mut response = call.send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}

/// The models of a provider's answer, whatever its dialect; those whose id can't be chosen are left out.
fn models(answer: &Value, api: Api, provider: &str) -> Vec<Model> {
    let list = match api {
        Api::Gemini => &answer["models"],
        Api::ChatCompletions | Api::Responses | Api::Anthropic => &answer["data"],
    };
    let number = |value: &Value| value.as_i64().unwrap_or_default().max(0);
    let models = list.as_array().into_iter().flatten().filter_map(|model| {
        let id = match api {
            Api::Gemini => {
                let ways = model["supportedGenerationMethods"].as_array();
                // Some make vectors or pictures alone.
                let answers = |ways: &Vec<Value>| ways.iter().any(|it| it == "generateContent");
                if ways.is_some_and(|ways| !answers(ways)) {
                    return None;
                }
                model["name"].as_str()?.trim_start_matches("models/")
            }
            Api::ChatCompletions | Api::Responses | Api::Anthropic => model["id"].as_str()?,
        };
        let name = ModelName::parse(&format!("{provider}/{id}")).ok()?;
        let mut display_name = ["displayName", "display_name"].into_iter();
        let display_name = display_name.find_map(|key| model[key].as_str());
        Some(Model {
            display_name: display_name.unwrap_or(id).to_owned(),
            context_window: number(&model["inputTokenLimit"])
                .max(number(&model["max_input_tokens"])),
            max_output_tokens: number(&model["outputTokenLimit"]).max(number(&model["max_tokens"])),
            ..named(&name)
        })
    });
    models.take(MODELS_MAX).collect()
}

fn named(name: &ModelName) -> Model {
    Model {
        id: name.to_string(),
        display_name: name.id.clone(),
        ..Model::default()
    }
}

/// The configured model can always be chosen.
fn with_default(mut models: Vec<Model>, default: &ModelName) -> Vec<Model> {
    let id = default.to_string();
    if !models.iter().any(|it| it.id == id) {
        models.truncate(MODELS_MAX - 1);
        models.insert(0, named(default));
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(models: &[Model]) -> Vec<&str> {
        models.iter().map(|it| it.id.as_str()).collect()
    }

    #[test]
    fn a_list_is_read_in_each_dialect() {
        let openai =
            json!({ "data": [{ "id": "a" }, { "id": "b/c" }, { "id": "no good" }, { "x": 1 }] });
        assert_eq!(ids(&models(&openai, Api::Responses, "p")), ["p/a", "p/b/c"]);
        let anthropic =
            json!({ "data": [{ "id": "a", "display_name": "An A", "max_input_tokens": 9 }] });
        let listed = models(&anthropic, Api::Anthropic, "p");
        assert_eq!(
            (listed[0].display_name.as_str(), listed[0].context_window),
            ("An A", 9)
        );
        let gemini = json!({ "models": [
            { "name": "models/g", "displayName": "G", "inputTokenLimit": 10, "outputTokenLimit": 5,
              "supportedGenerationMethods": ["generateContent"] },
            { "name": "models/e", "supportedGenerationMethods": ["embedContent"] },
        ] });
        let listed = models(&gemini, Api::Gemini, "gemini");
        assert_eq!(ids(&listed), ["gemini/g"]);
        assert_eq!(
            (listed[0].context_window, listed[0].max_output_tokens),
            (10, 5)
        );
        for nothing in [json!(null), json!([]), json!({ "data": 1 })] {
            assert!(models(&nothing, Api::ChatCompletions, "p").is_empty());
        }
        let default = ModelName::parse("p/own").expect("a name");
        let listed = models(&openai, Api::Responses, "p");
        assert_eq!(
            ids(&with_default(listed, &default)),
            ["p/own", "p/a", "p/b/c"]
        );
    }
}
