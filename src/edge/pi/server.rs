//! What concerns the whole server, as the source systems' clients ask for it.

use super::{Answered, Call, Refused, missing, ok, sessions};
use crate::edge::turns::Caller;
use crate::proto::{
    GetConfigRequest, GetConfigResponse, ListModelsRequest, ListModelsResponse, LogLevel,
    LogRecord, TailLogsRequest, UpdateConfigRequest, UpdateConfigResponse,
};
use prost::Message;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use tonic::Status;
use tonic_health::pb::health_check_response::ServingStatus;

/// Lines of the log in one answer.
const LOG_LINES: i32 = 200;

/// `GET /health`, without a credential.
pub(super) async fn health(call: Call) -> Answered {
    ok(&json!({ "ok": true, "ready": is_ready(&call.caller).await }))
}

/// `GET /ready`.
pub(super) async fn ready(call: Call) -> Answered {
    let sessions = sessions::newest(&call.caller).await?.len();
    ok(&json!({ "ok": true, "ready": is_ready(&call.caller).await, "sessions": sessions }))
}

async fn is_ready(caller: &Caller) -> bool {
    caller.health().await == ServingStatus::Serving
}

/// `GET /models`: those of a session with `?sessionKey=`, else those of the default agent.
pub(super) async fn models(call: Call) -> Answered {
    let request = ListModelsRequest {
        session_key: call.parameter("sessionKey").unwrap_or_default(),
        ..ListModelsRequest::default()
    };
    let listed: ListModelsResponse = call
        .caller
        .ask("/quarterdeck.v1.ModelService/ListModels", &request)
        .await?;
    let models = listed.models.iter().map(|model| {
        let can = model.capabilities.unwrap_or_default();
        let known = [("reasoning", can.reasoning), ("vision", can.vision)];
        let known = known.into_iter().filter(|(_, it)| *it == Some(true));
        json!({
            "provider": model.provider, "modelId": model.model_id,
            "displayName": match model.display_name.as_str() {
                "" => &model.model_id,
                name => name,
            },
            "capabilities": known.map(|(name, _)| name).collect::<Vec<_>>(),
        })
    });
    let models: Vec<Json> = models.collect();
    let current = listed.current.filter(|it| !it.model_id.is_empty());
    let current = current.map(|it| json!({ "provider": it.provider, "modelId": it.model_id }));
    ok(&json!({ "models": models, "current": current }))
}

/// `GET /config`: settings that may be seen, by name.
pub(super) async fn config(call: Call) -> Answered {
    let request = GetConfigRequest::default();
    let config: GetConfigResponse = call
        .caller
        .ask("/quarterdeck.v1.AdminService/GetConfig", &request)
        .await?;
    let values = config.values.into_iter().map(|value| {
        let table = format!("value = {}", value.value_toml);
        let parsed = toml::from_str::<Map<String, Json>>(&table).ok();
        let parsed = parsed.and_then(|mut table| table.remove("value"));
        let json = parsed.unwrap_or(Json::String(value.value_toml));
        (value.key, json)
    });
    ok(&Json::Object(values.collect()))
}

/// `PATCH /config`: settings that may be changed while the server runs; `null` gives one back to the file.
pub(super) async fn change_config(mut call: Call) -> Answered {
    let patch = call.object().await?;
    let (mut values, mut clear) = (BTreeMap::new(), Vec::new());
    for (key, value) in patch {
        if value.is_null() {
            clear.push(key);
            continue;
        }
        let toml = toml::Value::try_from(&value);
        let toml = toml.map_err(|_| missing(&format!("Not a setting's value: {key}")))?;
        values.insert(key, toml.to_string());
    }
    let request = UpdateConfigRequest {
        values,
        clear,
        validate_only: false,
    };
    let _: UpdateConfigResponse = call
        .caller
        .ask("/quarterdeck.v1.AdminService/UpdateConfig", &request)
        .await?;
    ok(&json!({ "ok": true }))
}

/// `GET /channels/status`: no chat network is attached, as it was there.
pub(super) async fn channels(call: Call) -> Answered {
    call.caller.known().await?;
    ok(&json!({ "channels": [] }))
}

/// `GET /logs`: the newest lines.
pub(super) async fn logs(call: Call) -> Answered {
    let request = TailLogsRequest {
        last: Some(LOG_LINES),
        no_follow: true,
        ..TailLogsRequest::default()
    };
    let mut answer = call
        .caller
        .call("/quarterdeck.v1.AdminService/TailLogs", &request)
        .await?;
    let mut lines = Vec::new();
    while let Some(record) = answer.next().await {
        let record = LogRecord::decode(record?).map_err(|error| {
            let bug: Status = crate::grpc::status::bug(&error).into();
            Refused::from(bug)
        })?;
        lines.push(line(&record));
    }
    ok(&json!({ "logs": lines }))
}

fn line(record: &LogRecord) -> String {
    let level = match record.level() {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info | LogLevel::Unspecified => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    format!("[{level}] {}: {}", record.target, record.message)
}
