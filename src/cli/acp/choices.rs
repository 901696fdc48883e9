//! What can be chosen for a session: its model, its thinking level, and its agent's options, of which a mode is one.

use super::editor::Fault;
use quarterdeck::{
    client::Client,
    proto::{
        AgentOption, GetSessionRequest, ListModelsRequest, ListModelsResponse, ListOptionsRequest,
        Model, SessionSnapshot, SetModelRequest, SetOptionRequest, SetThinkingLevelRequest,
    },
};
use serde_json::{Value as Json, json};

/// The category, and mostly the id, of the option that says how an agent works.
pub(super) const MODE: &str = "mode";
/// Ids of what is no option of the agent's.
const MODEL: &str = "model";
const THINKING_LEVEL: &str = "thinking_level";
/// The value that gives a choice back.
const DEFAULT: &str = "default";

/// What an editor is told of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Choices {
    /// `configOptions`.
    pub(super) options: Vec<Json>,
    /// `modes`; null where there are none.
    pub(super) modes: Json,
}

/// What can be chosen for a session, and is.
///
/// # Errors
/// It may not be read.
pub(super) async fn of(client: &Client, session_key: &str) -> Result<Choices, Fault> {
    let request = GetSessionRequest {
        session_key: session_key.into(),
        min_seq: 0,
    };
    let session = client.get_session(request).await;
    let session = session.map_err(|status| Fault::of(&status))?.session;
    let session = session.unwrap_or_default();
    let models = models(client, session_key).await?;
    let options = options(client, session_key).await?;
    Ok(Choices {
        options: [model(&session, &models), level(&session, &models)]
            .into_iter()
            .flatten()
            .chain(options.iter().filter_map(option))
            .collect(),
        modes: options
            .iter()
            .find(|it| it.category == MODE)
            .and_then(modes)
            .unwrap_or_default(),
    })
}

/// Chooses.
///
/// # Errors
/// The gateway refused it.
pub(super) async fn choose(
    client: &Client,
    session_key: &str,
    option_id: &str,
    value: &str,
) -> Result<(), Fault> {
    let session_key = session_key.to_owned();
    let done = match option_id {
        MODEL => {
            let models = models(client, &session_key).await?;
            let (provider, model_id) = match models.models.iter().find(|it| id_of(it) == value) {
                Some(model) => (model.provider.clone(), model.model_id.clone()),
                None if value == DEFAULT => <(String, String)>::default(),
                None => (String::new(), value.to_owned()),
            };
            let request = SetModelRequest {
                session_key,
                provider,
                model_id,
                ..SetModelRequest::default()
            };
            client.set_model(request).await.map(drop)
        }
        THINKING_LEVEL => {
            let request = SetThinkingLevelRequest {
                session_key,
                level: match value {
                    DEFAULT => String::new(),
                    level => level.to_owned(),
                },
                ..SetThinkingLevelRequest::default()
            };
            client.set_thinking_level(request).await.map(drop)
        }
        other => {
            let options = options(client, &session_key).await?;
            let is_mode = |it: &&AgentOption| other == MODE && it.category == MODE;
            let mut known = options.iter();
            let known = known
                .find(|it| it.option_id == other)
                .or_else(|| options.iter().find(is_mode));
            let request = SetOptionRequest {
                session_key,
                option_id: known.map_or(other, |it| it.option_id.as_str()).to_owned(),
                value: value.to_owned(),
                ..SetOptionRequest::default()
            };
            client.set_option(request).await.map(drop)
        }
    };
    done.map_err(|status| Fault::of(&status))
}

async fn models(client: &Client, session_key: &str) -> Result<ListModelsResponse, Fault> {
    let request = ListModelsRequest {
        session_key: session_key.into(),
        agent: String::new(),
    };
    let models = client.list_models(request).await;
    models.map_err(|status| Fault::of(&status))
}

async fn options(client: &Client, session_key: &str) -> Result<Vec<AgentOption>, Fault> {
    let request = ListOptionsRequest {
        session_key: session_key.into(),
    };
    let options = client.list_options(request).await;
    Ok(options.map_err(|status| Fault::of(&status))?.options)
}

fn id_of(model: &Model) -> String {
    name_of(&model.provider, &model.model_id)
}

/// A model as sessions name it.
fn name_of(provider: &str, model_id: &str) -> String {
    match provider {
        "" => model_id.to_owned(),
        provider => format!("{provider}/{model_id}"),
    }
}

/// The model that is used, as far as that is known.
fn in_use(session: &SessionSnapshot, models: &ListModelsResponse) -> String {
    match (session.model.as_str(), &models.current) {
        ("", Some(current)) => name_of(&current.provider, &current.model_id),
        (chosen, _) => chosen.to_owned(),
    }
}

fn model(session: &SessionSnapshot, models: &ListModelsResponse) -> Option<Json> {
    let mut values: Vec<Json> = models
        .models
        .iter()
        .map(|it| json!({ "value": id_of(it), "name": it.display_name }))
        .collect();
    if values.is_empty() {
        return None;
    }
    let current = select(&mut values, &session.model);
    Some(json!({
        "id": MODEL, "name": "Model", "category": "model", "type": "select",
        "currentValue": current, "options": values,
    }))
}

fn level(session: &SessionSnapshot, models: &ListModelsResponse) -> Option<Json> {
    let used = in_use(session, models);
    let model = models.models.iter().find(|it| id_of(it) == used)?;
    if model.thinking_levels.is_empty() {
        return None;
    }
    let levels = model.thinking_levels.iter();
    let mut values: Vec<Json> = levels
        .map(|it| json!({ "value": it, "name": it }))
        .collect();
    let current = select(&mut values, &session.thinking_level);
    Some(json!({
        "id": THINKING_LEVEL, "name": "Thinking", "category": "thought_level", "type": "select",
        "currentValue": current, "options": values,
    }))
}

/// The value that is chosen, which is among them from here on; first of them is that nobody chose.
fn select(values: &mut Vec<Json>, chosen: &str) -> String {
    let is_there = |values: &[Json], value: &str| values.iter().any(|it| it["value"] == value);
    if !is_there(values, DEFAULT) {
        values.insert(0, json!({ "value": DEFAULT, "name": "Default" }));
    }
    if chosen.is_empty() {
        return DEFAULT.to_owned();
    }
    if !is_there(values, chosen) {
        values.push(json!({ "value": chosen, "name": chosen }));
    }
    chosen.to_owned()
}

/// The value of an option that counts; `None` where that is not known, or it takes any value.
fn value_of(option: &AgentOption) -> Option<&str> {
    let chosen = [&option.chosen, &option.current];
    let chosen = chosen.into_iter().find(|it| !it.is_empty())?;
    let is_listed = option.values.iter().any(|it| it.value == *chosen);
    is_listed.then_some(chosen.as_str())
}

fn option(option: &AgentOption) -> Option<Json> {
    let current = value_of(option)?;
    let values = option.values.iter();
    let values = values
        .map(|it| json!({ "value": it.value, "name": it.name, "description": it.description }));
    Some(json!({
        "id": option.option_id, "name": option.name, "description": option.description,
        "category": option.category, "type": "select", "currentValue": current,
        "options": values.collect::<Vec<_>>(),
    }))
}

fn modes(option: &AgentOption) -> Option<Json> {
    let current = value_of(option)?;
    let values = option.values.iter();
    let values =
        values.map(|it| json!({ "id": it.value, "name": it.name, "description": it.description }));
    Some(json!({ "currentModeId": current, "availableModes": values.collect::<Vec<_>>() }))
}
