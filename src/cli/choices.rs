//! `models`, `thinking`, `options`: what can be chosen for a session, and choosing it.

use super::{
    arguments::{
        ClientArgs, ModelsArgs, ModelsVerb, OptionsArgs, OptionsVerb, SetOptionArgs, SetWordArgs,
        ThinkingArgs, ThinkingVerb,
    },
    failure::Failure,
    output,
};
use quarterdeck::{
    client::Client,
    domain::offers::{join_model, split_model},
    proto::{self, ListModelsResponse, ModelInUse, SessionSnapshot},
};
use std::process::ExitCode;
use tonic::Status;

/// What is said where an agent never told what it offers.
const UNKNOWN: &str = "not known yet: the agent tells it in its first turn";

pub(crate) async fn models(arguments: ModelsArgs) -> Result<ExitCode, Failure> {
    let ModelsArgs {
        command,
        session,
        agent,
        client: client_arguments,
    } = arguments;
    if let Some(ModelsVerb::Set(arguments)) = command {
        let SetWordArgs {
            session,
            value,
            client,
        } = arguments;
        let set = set_model(&client.client()?, &session, &value).await;
        return chosen(&client, "model", set, |session| &session.model);
    }
    let client = client_arguments.client()?;
    let found = list_models(&client, &session, agent.as_deref()).await;
    let found = found.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("ListModelsResponse", &found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.models.iter().map(|model| {
        [
            mark(&found, model),
            join_model(&model.provider, &model.model_id),
            model.display_name.clone(),
            model.thinking_levels.join(" "),
            tokens(model.context_window),
        ]
    });
    let names = ["", "MODEL", "NAME", "THINKING", "CONTEXT"];
    output::list(names, rows.collect(), nothing(&found))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn thinking(arguments: ThinkingArgs) -> Result<ExitCode, Failure> {
    let ThinkingArgs {
        command,
        session,
        client: client_arguments,
    } = arguments;
    if let Some(ThinkingVerb::Set(arguments)) = command {
        let SetWordArgs {
            session,
            value,
            client,
        } = arguments;
        let set = set_level(&client.client()?, &session, &value).await;
        return chosen(&client, "thinking level", set, |session| {
            &session.thinking_level
        });
    }
    let client = client_arguments.client()?;
    let found = list_models(&client, &session, None).await;
    let found = found.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("ListModelsResponse", &found)?;
    } else {
        output::write(&levels_text(&found))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn options(arguments: OptionsArgs) -> Result<ExitCode, Failure> {
    let OptionsArgs {
        command,
        session,
        client: client_arguments,
    } = arguments;
    if let Some(OptionsVerb::Set(arguments)) = command {
        return set_option(arguments).await;
    }
    let client = client_arguments.client()?;
    let request = proto::ListOptionsRequest {
        session_key: session,
    };
    let found = client.list_options(request).await;
    let found = found.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("ListOptionsResponse", &found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.options.iter().map(|option| {
        let values = option.values.iter().map(|it| it.value.as_str());
        [
            option.option_id.clone(),
            option.current.clone(),
            option.chosen.clone(),
            values.collect::<Vec<_>>().join(" "),
            if option.needs_approval {
                "session.approve".to_owned()
            } else {
                String::new()
            },
            option.name.clone(),
        ]
    });
    let names = ["OPTION", "CURRENT", "CHOSEN", "VALUES", "NEEDS", "NAME"];
    let empty = if found.as_of.is_none() {
        UNKNOWN
    } else {
        "the agent has no options"
    };
    output::list(names, rows.collect(), empty)?;
    Ok(ExitCode::SUCCESS)
}

async fn set_option(arguments: SetOptionArgs) -> Result<ExitCode, Failure> {
    let SetOptionArgs {
        session,
        option,
        value,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let request = proto::SetOptionRequest {
        session_key: session,
        option_id: option.clone(),
        value: value.clone(),
        ..proto::SetOptionRequest::default()
    };
    let set = client.set_option(request).await;
    let set = set.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("SessionSnapshot", &set.session.unwrap_or_default())?;
    } else {
        output::line(&chosen_text(&option, &value))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The models of a session's agent, or of an agent.
pub(super) async fn list_models(
    client: &Client,
    session: &str,
    agent: Option<&str>,
) -> Result<ListModelsResponse, Status> {
    let request = match agent {
        Some(agent) => proto::ListModelsRequest {
            session_key: String::new(),
            agent: agent.to_owned(),
        },
        None => proto::ListModelsRequest {
            session_key: session.to_owned(),
            agent: String::new(),
        },
    };
    client.list_models(request).await
}

/// Chooses a session's model.
pub(super) async fn set_model(
    client: &Client,
    session: &str,
    model: &str,
) -> Result<SessionSnapshot, Status> {
    let (provider, model_id) = split_model(model);
    let request = proto::SetModelRequest {
        session_key: session.to_owned(),
        provider: provider.to_owned(),
        model_id: model_id.to_owned(),
        ..proto::SetModelRequest::default()
    };
    let set = client.set_model(request).await?;
    Ok(set.session.unwrap_or_default())
}

/// Chooses a session's thinking level.
pub(super) async fn set_level(
    client: &Client,
    session: &str,
    level: &str,
) -> Result<SessionSnapshot, Status> {
    let request = proto::SetThinkingLevelRequest {
        session_key: session.to_owned(),
        level: level.to_owned(),
        ..proto::SetThinkingLevelRequest::default()
    };
    let set = client.set_thinking_level(request).await?;
    Ok(set.session.unwrap_or_default())
}

/// The models, a line each.
pub(super) fn models_text(found: &ListModelsResponse) -> String {
    if found.models.is_empty() {
        return format!("{}\n", nothing(found));
    }
    let lines = found.models.iter().map(|model| {
        let name = join_model(&model.provider, &model.model_id);
        format!("{:1} {name}\n", mark(found, model))
    });
    lines.collect()
}

/// The thinking levels of the model in use, a line each.
pub(super) fn levels_text(found: &ListModelsResponse) -> String {
    let Some(current) = &found.current else {
        return format!("{UNKNOWN}\n");
    };
    let ModelInUse {
        provider,
        model_id,
        thinking_level,
    } = current;
    let is_current = |it: &&proto::Model| it.provider == *provider && it.model_id == *model_id;
    let model = found.models.iter().find(is_current);
    let levels = model.map_or(&[][..], |model| &model.thinking_levels[..]);
    if levels.is_empty() {
        let model = join_model(provider, model_id);
        return format!("no thinking levels are known of {model}\n");
    }
    let lines = levels.iter().map(|level| {
        let mark = if level == thinking_level { "*" } else { " " };
        format!("{mark} {level}\n")
    });
    lines.collect()
}

/// What a choice has come to.
pub(super) fn chosen_text(what: &str, word: &str) -> String {
    if word.is_empty() {
        format!("the {what} is the agent's own again, from the next turn on")
    } else {
        format!("the {what} is {word}, from the next turn on")
    }
}

fn chosen(
    client: &ClientArgs,
    what: &str,
    set: Result<SessionSnapshot, Status>,
    word: impl Fn(&SessionSnapshot) -> &String,
) -> Result<ExitCode, Failure> {
    let session = set.map_err(|status| Failure::call(&client.addr, &status))?;
    if client.json {
        output::json("SessionSnapshot", &session)?;
    } else {
        output::line(&chosen_text(what, word(&session)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The model in use has a star.
fn mark(found: &ListModelsResponse, model: &proto::Model) -> String {
    let in_use = |it: &ModelInUse| it.provider == model.provider && it.model_id == model.model_id;
    let is_it = found.current.as_ref().is_some_and(in_use);
    if is_it { "*".to_owned() } else { String::new() }
}

fn nothing(found: &ListModelsResponse) -> &'static str {
    match found.as_of {
        None => UNKNOWN,
        Some(_) => "the agent lets nobody choose a model",
    }
}

fn tokens(count: i64) -> String {
    if count == 0 {
        String::new()
    } else {
        count.to_string()
    }
}
