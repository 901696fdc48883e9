//! What agents offer, as messages.

use crate::{
    domain::offers::{AgentOption, Model, Offers, OptionValue, split_model},
    proto,
};

/// A model.
pub fn model(model: &Model) -> proto::Model {
    let Model {
        id,
        display_name,
        reasoning,
        vision,
        tools,
        context_window,
        max_output_tokens,
        thinking_levels,
    } = model;
    let (provider, model_id) = split_model(id);
    proto::Model {
        provider: provider.to_owned(),
        model_id: model_id.to_owned(),
        display_name: display_name.clone(),
        capabilities: Some(proto::ModelCapabilities {
            reasoning: *reasoning,
            vision: *vision,
            tools: *tools,
        }),
        context_window: *context_window,
        max_output_tokens: *max_output_tokens,
        thinking_levels: thinking_levels.clone().unwrap_or_default(),
    }
}

/// What is in use; `None` where that is not known.
pub fn in_use(model: &str, thinking_level: &str) -> Option<proto::ModelInUse> {
    if model.is_empty() && thinking_level.is_empty() {
        return None;
    }
    let (provider, model_id) = split_model(model);
    Some(proto::ModelInUse {
        provider: provider.to_owned(),
        model_id: model_id.to_owned(),
        thinking_level: thinking_level.to_owned(),
    })
}

/// The options; `chosen` says what the session asks for, and `needs_approval` who may choose.
pub fn options(
    offers: &Offers,
    chosen: impl Fn(&str) -> String,
    needs_approval: impl Fn(&str) -> bool,
) -> Vec<proto::AgentOption> {
    let option = |option: &AgentOption| {
        let AgentOption {
            id,
            name,
            description,
            category,
            values,
            current,
            default: _,
        } = option;
        proto::AgentOption {
            option_id: id.clone(),
            name: name.clone(),
            description: description.clone(),
            category: category.clone(),
            values: values.iter().map(value).collect(),
            current: current.clone(),
            chosen: chosen(id),
            needs_approval: needs_approval(id),
        }
    };
    offers.options.iter().map(option).collect()
}

pub(crate) fn value(value: &OptionValue) -> proto::AgentOptionValue {
    let OptionValue {
        value,
        name,
        description,
    } = value;
    proto::AgentOptionValue {
        value: value.clone(),
        name: name.clone(),
        description: description.clone(),
    }
}
