//! MCP over standard input and output, for agents that start their servers themselves. Each call is passed on to a
//! gateway, so it runs under the rights of the caller's key.

use super::{Backend, PATH, Whom, server::Server};
use crate::client::Client;
use bytes::Bytes;
use http::StatusCode;
use rmcp::{
    ErrorData, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResult},
    service::{QuitReason, ServerInitializeError},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What calls may reach.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// A namespace; empty for none.
    pub namespace: String,
    /// A session, for its agent; empty for none.
    pub session_key: String,
    /// The caller is an agent of the gateway, by its credential.
    pub is_agent: bool,
}

/// Why it can't serve.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The gateway refused.
    #[error("{0}")]
    Refused(String),
    /// The gateway did not answer.
    #[error("the gateway does not answer: {0}")]
    Away(String),
    /// The client does not speak the protocol.
    #[error("the client does not speak MCP: {0}")]
    Protocol(String),
}

/// The way to a gateway.
#[derive(Clone)]
struct Remote {
    client: Client,
    path: String,
    whom: Whom,
}

/// Answer to one call: one of both.
#[derive(Deserialize)]
struct Answer {
    result: Option<CallToolResult>,
    error: Option<ErrorData>,
}

/// Serves until the input ends.
///
/// # Errors
/// The gateway refuses the caller, or the client does not speak the protocol.
pub async fn serve(client: Client, reach: &Reach) -> Result<(), StdioError> {
    let mut url = reqwest::Url::parse("http://localhost/").expect("an address");
    url.set_path(PATH);
    for (name, value) in [
        ("namespace", &reach.namespace),
        ("session_key", &reach.session_key),
    ] {
        if !value.is_empty() {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let query = url.query().map(|it| format!("?{it}")).unwrap_or_default();
    let path = format!("{PATH}{query}");
    let whom = if reach.is_agent {
        Whom::Agents
    } else {
        Whom::Callers
    };
    let remote = Remote { client, path, whom };
    // Who may not call is told before the first word of the protocol.
    remote.ask("ping", json!({})).await?;
    let transport = (tokio::io::stdin(), tokio::io::stdout());
    let running = match Server(remote).serve(transport).await {
        Ok(running) => running,
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(StdioError::Protocol(error.to_string())),
    };
    match running.waiting().await {
        Ok(QuitReason::Cancelled | QuitReason::Closed) => Ok(()),
        Ok(other) => Err(StdioError::Protocol(format!("{other:?}"))),
        Err(error) => Err(StdioError::Protocol(error.to_string())),
    }
}

// === impl Remote ===

impl Remote {
    /// One request of the protocol.
    async fn ask(&self, method: &str, params: Value) -> Result<Bytes, StdioError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = request.to_string().into();
        let (status, body) = self
            .client
            .post_json(&self.path, body)
            .await
            .map_err(|status| StdioError::Away(status.message().to_owned()))?;
        if status.is_success() {
            return Ok(body);
        }
        if status == StatusCode::NOT_FOUND {
            let problem = "the gateway serves no MCP: set mcp = true there";
            return Err(StdioError::Refused(problem.into()));
        }
        let said = String::from_utf8_lossy(&body);
        let problem = format!("the gateway refused ({status}): {}", said.trim());
        Err(StdioError::Refused(problem))
    }
}

impl Backend for Remote {
    fn whom(&self) -> Whom {
        self.whom
    }

    async fn call(
        &self,
        call: CallToolRequestParams,
        _: Option<&http::request::Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let params = json!({ "name": call.name, "arguments": call.arguments });
        let failed = |problem: String| ErrorData::internal_error(problem, None);
        let asked = self.ask("tools/call", params).await;
        let body = asked.map_err(|error| failed(error.to_string()))?;
        match serde_json::from_slice(&body) {
            Ok(Answer {
                result: Some(result),
                error: None,
            }) => Ok(result),
            Ok(Answer {
                error: Some(error), ..
            }) => Err(error),
            Ok(Answer {
                result: None,
                error: None,
            })
            | Err(_) => Err(failed("the gateway's answer can't be read".into())),
        }
    }
}
