//! Servers of the Model Context Protocol as tools: the client of one server, which connects when it is first needed and again
//! after the connection broke.
//!
//! A server is trusted with nothing: what it lists is bounded in number and size, and a call that does not end within its
//! time is given up. What a call came to is told to the model, errors too.

use crate::agent::tool_output::ToolOutput;
use crate::domain::limits::{TOOL_JSON_MAX_BYTES, cut};
use reqwest::Client;
use rmcp::{
    ClientHandler, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, ClientConfig, ClientRequest, JsonObject,
        NumberOrString, ProgressNotificationParam, ProtocolVersion, ServerResult, Tool,
    },
    service::{
        ClientLifecycleMode, NotificationContext, Peer, PeerRequestOptions, RunningService,
        serve_client_with_lifecycle,
    },
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex as PlainMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Time in which a server must be connected and have listed its tools.
const START_MAX: Duration = Duration::from_secs(30);
/// Tools that are taken of one server.
const TOOLS_MAX: usize = 128;
/// Largest schema of a tool's arguments, in bytes; a tool with a larger one is left out.
const SCHEMA_MAX_BYTES: usize = 32 * 1024;
/// Longest description of a tool, in bytes; a longer one is cut.
const DESCRIPTION_MAX_BYTES: usize = 4 * 1024;
/// Bytes of a result that a model is given; the rest is cut.
const RESULT_MAX_BYTES: usize = TOOL_JSON_MAX_BYTES;
/// Largest message of a server, in bytes.
const MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Time for telling a server that a call is not needed any more.
const CANCEL_MAX: Duration = Duration::from_secs(1);

/// Where a server is.
#[derive(Clone, Debug)]
pub struct McpOptions {
    /// Name by which agents and tools call it.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What goes with every call; their values are secrets.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Time for one call; a server that tells progress begins it anew.
    pub timeout: Duration,
}

/// What a server offers.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    /// As the server calls it.
    pub(super) name: String,
    pub(super) description: String,
    pub(super) schema: Value,
}

/// What a call came to.
#[derive(Debug, PartialEq)]
pub(super) struct Ran {
    /// The result as it is told and stored.
    pub(super) output: ToolOutput,
    /// The same for the model.
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    options: McpOptions,
    client: Client,
    connection: Mutex<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    service: RunningService<RoleClient, Listener>,
    heard: Arc<Told>,
    tools: Vec<Offered>,
}

/// What a server says without being asked.
#[derive(Debug, Default)]
struct Told {
    /// It has other tools now.
    changed: AtomicBool,
    /// A call failed in a way after which the connection is not to be used.
    broken: AtomicBool,
    /// Who hears of a call's progress.
    progress: PlainMutex<HashMap<NumberOrString, mpsc::Sender<Value>>>,
}

#[derive(Clone, Debug)]
struct Listener(Arc<Told>);

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        info.client_info.name = "quarterdeck".into();
        info.client_info.version = env!("CARGO_PKG_VERSION").into();
        info
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.changed.store(true, Ordering::Relaxed);
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let ProgressNotificationParam {
            progress_token,
            progress,
            total,
            message,
            ..
        } = progress;
        let listening = self.0.listening();
        if let Some(sender) = listening.get(&progress_token.0) {
            // Whoever is behind misses a step of it.
            let told = json!({ "progress": progress, "total": total, "message": message });
            let _ = sender.try_send(told);
        }
    }
}

// === impl Told ===

impl Told {
    fn listening(&self) -> std::sync::MutexGuard<'_, HashMap<NumberOrString, mpsc::Sender<Value>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Server ===

impl Server {
    pub(super) fn new(options: McpOptions, client: Client) -> Self {
        Self {
            options,
            client,
            connection: Mutex::new(None),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.options.name
    }

    /// What it offers now.
    ///
    /// # Errors
    /// It can't be reached, or does not answer in time; for people.
    pub(super) async fn tools(&self) -> Result<Vec<Offered>, String> {
        let mut connection = self.connection.lock().await;
        let connected = self.connected(&mut connection).await?;
        if connected.heard.changed.swap(false, Ordering::Relaxed) {
            let listing = timeout(START_MAX, list(connected.service.peer()));
            connected.tools = match listing.await {
                Ok(Ok(tools)) => tools,
                Ok(Err(problem)) => return Err(self.failed(&problem)),
                Err(_) => return Err(self.failed("it does not answer")),
            };
        }
        Ok(connected.tools.clone())
    }

    /// Calls a tool. Steps of its progress go to `progress`; with `stop` it is canceled.
    pub(super) async fn call(
        &self,
        name: String,
        arguments: JsonObject,
        progress: mpsc::Sender<Value>,
        stop: CancellationToken,
    ) -> Ran {
        let reached = async {
            let mut connection = self.connection.lock().await;
            let connected = self.connected(&mut connection).await?;
            let peer = connected.service.peer().clone();
            Ok((peer, Arc::clone(&connected.heard)))
        };
        let (peer, heard) = tokio::select! {
            reached = reached => match reached {
                Ok(reached) => reached,
                Err(problem) => return Ran::failed(problem),
            },
            () = stop.cancelled() => return Ran::failed("it was stopped".into()),
        };
        let result = self.ask(&peer, &heard, (name, arguments), progress, stop);
        match result.await {
            Ok(result) => result,
            Err(problem) => {
                // The next call begins with a connection of its own.
                heard.broken.store(true, Ordering::Relaxed);
                Ran::failed(self.failed(&problem))
            }
        }
    }

    async fn ask(
        &self,
        peer: &Peer<RoleClient>,
        heard: &Told,
        (name, arguments): (String, JsonObject),
        progress: mpsc::Sender<Value>,
        stop: CancellationToken,
    ) -> Result<Ran, String> {
        let params = CallToolRequestParams::new(name).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let options = PeerRequestOptions::no_options();
        let asked = peer.send_cancellable_request(request, options);
        let asked = timeout(self.options.timeout, asked).await;
        let mut handle = asked
            .map_err(|_| "it takes no call")?
            .map_err(|error| shown(&error))?;
        let token = handle.progress_token.0.clone();
        let (steps, mut heard_steps) = mpsc::channel(1);
        heard.listening().insert(token.clone(), steps);
        let answer = loop {
            let step = timeout(self.options.timeout, async {
                tokio::select! {
                    answer = &mut handle.rx => Ok(answer),
                    Some(step) = heard_steps.recv() => Err(Some(step)),
                    () = stop.cancelled() => Err(None),
                }
            });
            match step.await {
                Ok(Ok(answer)) => break Some(answer),
                Ok(Err(Some(step))) => {
                    let _ = progress.try_send(step);
                }
                Ok(Err(None)) | Err(_) => break None,
            }
        };
        heard.listening().remove(&token);
        let Some(answer) = answer else {
            let stopped = stop.is_cancelled();
            let why = if stopped {
                "it was stopped"
            } else {
                "it took too long"
            };
            let _ = timeout(CANCEL_MAX, handle.cancel(Some(why.into()))).await;
            return match stopped {
                true => Ok(Ran::failed(why.into())),
                false => Err(why.into()),
            };
        };
        let answer = answer.map_err(|_| "the connection broke")?;
        match answer {
            Ok(ServerResult::CallToolResult(result)) => {
                let is_error = result.is_error == Some(true);
                let json = serde_json::to_string(&result).map_err(|error| error.to_string())?;
                Ok(Ran::of(json, is_error))
            }
            Ok(ServerResult::InputRequiredResult(_)) => Ok(Ran::failed(
                "it wants to ask somebody first, which is not possible here".into(),
            )),
            Ok(_) => Err("its answer is no result".into()),
            // The server's own word: the connection is well.
            Err(rmcp::ServiceError::McpError(error)) => {
                Ok(Ran::failed(cut(&error.message, 4096).into()))
            }
            Err(error) => Err(shown(&error)),
        }
    }

    /// The connection; a new one where there is none that can be used.
    async fn connected<'c>(
        &self,
        connection: &'c mut Option<Connection>,
    ) -> Result<&'c mut Connection, String> {
        let usable = connection
            .as_ref()
            .is_some_and(|it| !it.service.is_closed() && !it.heard.broken.load(Ordering::Relaxed));
        if !usable {
            *connection = None;
            let made = timeout(START_MAX, self.connect()).await;
            let made = made.map_err(|_| self.failed("it does not answer"))?;
            *connection = Some(made.map_err(|problem| self.failed(&problem))?);
        }
        Ok(connection.as_mut().expect("it was made in the line before"))
    }

    async fn connect(&self) -> Result<Connection, String> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.options.url.as_str());
        config.custom_headers = self.options.headers.iter().cloned().collect();
        config.max_sse_event_size = MESSAGE_MAX_BYTES;
        let transport = StreamableHttpClientTransport::with_client(self.client.clone(), config);
        let heard = Arc::new(Told::default());
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: None,
        };
        let listener = Listener(Arc::clone(&heard));
        let service = serve_client_with_lifecycle(listener, transport, lifecycle).await;
        let service = service.map_err(|error| shown(&error))?;
        let tools = list(service.peer()).await?;
        Ok(Connection {
            service,
            heard,
            tools,
        })
    }

    fn failed(&self, problem: &str) -> String {
        format!(
            "the tools of {} can't be used: {problem}",
            self.options.name
        )
    }
}

async fn list(peer: &Peer<RoleClient>) -> Result<Vec<Offered>, String> {
    let mut offered = vec![];
    let mut cursor = None;
    // A server that never comes to an end is not asked for ever.
    for _ in 0..TOOLS_MAX {
        let mut page = rmcp::model::PaginatedRequestParams::default();
        page.cursor = cursor.take();
        let page = peer.list_tools(Some(page)).await;
        let page = page.map_err(|error| shown(&error))?;
        offered.extend(page.tools.into_iter().filter_map(offer));
        cursor = page.next_cursor;
        if cursor.is_none() || offered.len() >= TOOLS_MAX {
            break;
        }
    }
    offered.truncate(TOOLS_MAX);
    Ok(offered)
}

fn offer(tool: Tool) -> Option<Offered> {
    let schema = Value::Object(JsonObject::clone(&tool.input_schema));
    if schema.to_string().len() > SCHEMA_MAX_BYTES {
        tracing::warn!(tool = %tool.name, "a tool is left out: its schema is too large");
        return None;
    }
    let description = tool.description.as_deref().unwrap_or_default();
    Some(Offered {
        description: cut(description, DESCRIPTION_MAX_BYTES).to_owned(),
        name: tool.name.into_owned(),
        schema,
    })
}

/// The innermost cause alone: those around it name the address, which may hold a secret.
fn shown(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    super::provider::shown(&cause.to_string())
}

// === impl Ran ===

impl Ran {
    /// A result, JSON text.
    pub(super) fn of(json: String, is_error: bool) -> Self {
        let text = readable(&json);
        let raw = RawValue::from_string(json).ok();
        Self {
            output: ToolOutput::of(raw.as_deref(), 0),
            text,
            is_error,
        }
    }

    /// A call that has no result, and why.
    pub(super) fn failed(why: String) -> Self {
        Self {
            output: ToolOutput::of(
                RawValue::from_string(json!(why).to_string())
                    .ok()
                    .as_deref(),
                0,
            ),
            text: why,
            is_error: true,
        }
    }
}

/// A result as a model is given it: its texts, where it has some, else its JSON.
pub(super) fn readable(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let text = match (&value, value["content"].as_array()) {
        (Value::String(text), _) => text.clone(),
        (_, Some(parts)) if !parts.is_empty() => {
            let texts = parts.iter().map(|part| match part["text"].as_str() {
                Some(text) => text.to_owned(),
                None => format!(
                    "({} that is not shown)",
                    part["type"].as_str().unwrap_or("content")
                ),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => json.to_owned(),
    };
    let kept = cut(&text, RESULT_MAX_BYTES);
    if kept.len() == text.len() {
        return text;
    }
    format!("{kept}\n(cut: the whole has {} bytes)", text.len())
}
