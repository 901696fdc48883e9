//! Memory as tools for agents, by the Model Context Protocol.
//!
//! * `tools`: the tools' names, arguments, results and schemas.
//! * `lenient`: arguments as models and clients write them, made into what the schemas say.
//! * `server`: the protocol's side, by the crate `rmcp`; the same over both transports.
//! * `local`: what the tools do, in the gateway's process.
//! * [`http`]: streamable HTTP at `/mcp` of the gateway, behind its authentication.
//! * [`agents`]: the same tools for the gateway's own agents, at a port of their own.
//! * [`stdio`]: `quarterdeck mcp`, which passes calls on to a gateway's `/mcp` with the caller's key.
//!
//! Promises: without a valid credential nothing is answered; a call may do what its caller may, and with a session
//! named no more than that session's agent; what is written says that an agent wrote it, and in which turn where that
//! is known. Secrets may be written, and are never read.
//! Left out: sessions of the protocol, streams, resources, prompts. Each request stands alone.

pub mod agents;
pub mod http;
mod lenient;
mod local;
mod server;
pub mod stdio;
mod tools;

use ::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use rmcp::{
    model::{CallToolRequestParams, CallToolResult},
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use server::Server;
use std::{future::Future, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Path of the streamable HTTP transport.
pub const PATH: &str = "/mcp";

/// Largest request, in bytes.
const REQUEST_MAX_BYTES: usize = 256 * 1024;
/// Longest call.
const CALL_MAX: Duration = Duration::from_secs(30);

/// The protocol's side of both HTTP transports: each request stands alone and is answered by one JSON object. Whoever
/// layers it has looked at `Host` and at who calls.
fn service<B: Backend>(
    backend: B,
    ending: CancellationToken,
) -> StreamableHttpService<Server<B>, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_max_request_body_bytes(REQUEST_MAX_BYTES)
        .disable_allowed_hosts()
        .with_cancellation_token(ending);
    let server = Server(backend);
    StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    )
}

/// Answers within [`CALL_MAX`].
async fn in_time(answer: impl Future<Output = Response>) -> Response {
    let late = (StatusCode::GATEWAY_TIMEOUT, "the call took too long\n");
    match tokio::time::timeout(CALL_MAX, answer).await {
        Ok(response) => response,
        Err(_) => late.into_response(),
    }
}

/// Every tool of agents as JSON, as `tools/list` answers it at their door.
pub fn described() -> serde_json::Value {
    serde_json::to_value(tools::of(Whom::Agents)).expect("tools are plain data")
}

/// Whom tools are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Agents of the gateway, while a turn runs.
    Agents,
    /// Whoever has a key.
    Callers,
}

/// What carries out a tool.
trait Backend: Clone + Send + Sync + 'static {
    /// Whom it has tools for.
    fn whom(&self) -> Whom;

    /// Carries out one call; `parts` is the HTTP request that it came with, where it came so.
    fn call(
        &self,
        call: CallToolRequestParams,
        parts: Option<&::http::request::Parts>,
    ) -> impl Future<Output = Result<CallToolResult, rmcp::ErrorData>> + Send;
}
