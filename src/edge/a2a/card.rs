//! What an agent says of itself to others.

use super::{Fault, as_json};
use crate::{
    edge::{call::Door, turns::Caller},
    listener::Peer,
    proto::{AgentInfo, GetServerInfoResponse},
};
use axum::{extract::Request, response::Response};
use http::{StatusCode, header, request::Parts};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Version of the protocol.
const PROTOCOL: &str = "1.0";

/// A card, for whoever may call: that of the default agent where none is named.
pub(super) async fn answer(door: Arc<Door>, agent: Option<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let base = base_of(&parts);
    let caller = Caller::new(door, parts);
    match of(&caller, agent.as_deref(), base).await {
        Ok(card) => as_json(StatusCode::OK, &card),
        Err(fault) => {
            let mut response = as_json(fault.status, &fault.as_http());
            response.headers_mut().extend(*fault.headers);
            response
        }
    }
}

/// The card of an agent, for a caller that reached the server at `base`.
pub(super) async fn of(caller: &Caller, agent: Option<&str>, base: String) -> Result<Json, Fault> {
    let info = caller.server().await?;
    let name = agent.unwrap_or(&info.default_agent);
    let known = info.agents.iter().find(|it| it.name == name);
    let Some(known) = known else {
        let message = format!("there is no agent {name}");
        return Err(Fault::new(
            StatusCode::NOT_FOUND,
            "AGENT_NOT_FOUND",
            &message,
        ));
    };
    Ok(card(known, &info, &base))
}

fn card(agent: &AgentInfo, info: &GetServerInfoResponse, base: &str) -> Json {
    let url = format!("{base}/a2a/{}", agent.name);
    let at = |binding: &str| json!({ "url": url, "protocolBinding": binding, "protocolVersion": PROTOCOL });
    let mut card = json!({
        "name": agent.name,
        "description": format!("The agent {} of a Quarterdeck server: a task is a turn, a context a session.", agent.name),
        "version": match agent.version.as_str() {
            "" => &info.version,
            version => version,
        },
        "supportedInterfaces": [at("JSONRPC"), at("HTTP+JSON"), {
            // No address of HTTP's there, and the agent stands in the requests.
            "url": base.rsplit("://").next(), "tenant": agent.name,
            "protocolBinding": "GRPC", "protocolVersion": PROTOCOL,
        }],
        "capabilities": {
            "streaming": true, "pushNotifications": true, "extendedAgentCard": false,
        },
        "defaultInputModes": ["text/plain", "application/json", "image/*"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{
            "id": "turn", "name": "Turn", "tags": ["agent", agent.driver],
            "description": "Works on what a message asks for, in a session that goes on.",
        }],
    });
    if info.auth_required {
        card["securitySchemes"] =
            json!({ "key": { "httpAuthSecurityScheme": { "scheme": "Bearer" } } });
        card["securityRequirements"] = json!([{ "schemes": { "key": { "list": [] } } }]);
    }
    card
}

/// Where the caller reached the server. Told to nobody else, so that what it says of itself harms nobody.
pub(super) fn base_of(parts: &Parts) -> String {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|it| it.to_str().ok());
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => host.unwrap_or("localhost"),
    };
    let peer = parts.extensions.get::<Arc<Peer>>().map(Arc::as_ref);
    let proxied = parts.headers.get("x-forwarded-proto");
    let encrypted = matches!(peer, Some(Peer::Tcp { tls: Some(_), .. }))
        || proxied.is_some_and(|it| it == "https");
    match encrypted {
        true => format!("https://{host}"),
        false => format!("http://{host}"),
    }
}
