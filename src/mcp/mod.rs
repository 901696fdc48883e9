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

use rmcp::model::{CallToolRequestParams, CallToolResult};
use std::future::Future;

/// Path of the streamable HTTP transport.
pub const PATH: &str = "/mcp";

/// Every tool as JSON, as `tools/list` answers it.
pub fn described() -> serde_json::Value {
    serde_json::to_value(tools::all()).expect("tools are plain data")
}

/// What carries out a tool.
trait Backend: Clone + Send + Sync + 'static {
    /// Carries out one call; `parts` is the HTTP request that it came with, where it came so.
    fn call(
        &self,
        call: CallToolRequestParams,
        parts: Option<&::http::request::Parts>,
    ) -> impl Future<Output = Result<CallToolResult, rmcp::ErrorData>> + Send;
}
