//! Servers of the Model Context Protocol as tools: the client of one server, which connects when it is first needed and again
//! after the connection broke.
//!
//! A server is trusted with nothing: what it lists is bounded in number and size, and a call that does not end within its
//! time is given up. What a call came to is told to the model, errors too.

use super::stdio::{Child, Launch, Program};
use crate::agent::{process::StopFailed, tool_output::ToolOutput};
use crate::domain::{
    event::Json,
    limits::{TOOL_JSON_MAX_BYTES, cut},
    question::{Answer, Ask, QuestionKind, QuestionOption},
};
use reqwest::Client;
use rmcp::{
    ClientHandler, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, ClientConfig, ClientRequest, ElicitRequestParams,
        ElicitResult, ElicitationAction, ElicitationCapability, FormElicitationCapability,
        InputRequest, InputRequiredResult, InputResponses, JsonObject, NumberOrString,
        ProgressNotificationParam, ProtocolVersion, ServerResult, Tool, UrlElicitationCapability,
    },
    service::{
        ClientLifecycleMode, NotificationContext, Peer, PeerRequestOptions, RequestContext,
        RunningService, serve_client_with_lifecycle,
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
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
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
/// Times that a server may want to know more in one call.
const ROUNDS_MAX: usize = 10;
/// Longest address of a link that somebody is to open, in bytes.
const URL_MAX_BYTES: usize = 2048;
/// Longest title of a question, in bytes.
const TITLE_MAX_BYTES: usize = 1024;
/// What a link's question is answered with.
const DONE: &str = "done";
/// Time for telling a server that a call is not needed any more.
const CANCEL_MAX: Duration = Duration::from_secs(1);

/// Where a server is.
#[derive(Clone, Debug)]
pub struct McpOptions {
    /// Name by which agents and tools call it.
    pub name: String,
    /// How it is reached.
    pub at: McpPlace,
    /// Time for one call; a server that tells progress begins it anew.
    pub timeout: Duration,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum McpPlace {
    /// By streamable HTTP.
    Http {
        /// Its address.
        url: String,
        /// What goes with every call; their values are secrets.
        headers: Vec<(http::HeaderName, http::HeaderValue)>,
    },
    /// It is a program, one for each session.
    Program(Program),
}

/// What a server wants to know of somebody, or to have done, in the middle of a call.
#[derive(Debug)]
pub(super) struct Elicited {
    /// The question.
    pub(super) ask: Box<Ask>,
    /// Where its answer goes; dropped where there is none.
    pub(super) reply: oneshot::Sender<Box<Answer>>,
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
    /// How programs are started; `None` where none is.
    launch: Option<Launch>,
    /// Where its questions go, while a turn runs.
    questions: Arc<Questions>,
    connection: Mutex<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    service: RunningService<RoleClient, Listener>,
    heard: Arc<Told>,
    tools: Vec<Offered>,
    /// The program that it is.
    child: Option<Child>,
}

/// Where the questions of a session's servers go; `None` while no turn runs.
pub(super) type Questions = PlainMutex<Option<mpsc::Sender<Elicited>>>;

/// What a server says without being asked.
#[derive(Debug, Default)]
struct Told {
    /// It has other tools now.
    changed: AtomicBool,
    /// A call failed in a way after which the connection is not to be used.
    broken: AtomicBool,
    /// Questions of it that wait for an answer: meanwhile no call takes too long.
    asking: AtomicUsize,
    /// Who hears of a call's progress.
    progress: PlainMutex<HashMap<NumberOrString, mpsc::Sender<Value>>>,
}

#[derive(Clone, Debug)]
struct Listener {
    told: Arc<Told>,
    /// The server's name, for people.
    name: String,
    questions: Arc<Questions>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        info.client_info.name = "quarterdeck".into();
        info.client_info.version = env!("CARGO_PKG_VERSION").into();
        let mut elicitation = ElicitationCapability::default();
        elicitation.form = Some(FormElicitationCapability::default());
        elicitation.url = Some(UrlElicitationCapability::default());
        info.capabilities.elicitation = Some(elicitation);
        info
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, rmcp::ErrorData> {
        Ok(self.elicit(request).await)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.told.changed.store(true, Ordering::Relaxed);
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
        let listening = self.told.listening();
        if let Some(sender) = listening.get(&progress_token.0) {
            // Whoever is behind misses a step of it.
            let told = json!({ "progress": progress, "total": total, "message": message });
            let _ = sender.try_send(told);
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Asks somebody; declined where nobody can be asked, or what is asked for can't be a question.
    async fn elicit(&self, request: ElicitRequestParams) -> ElicitResult {
        let decline = || ElicitResult::new(ElicitationAction::Decline);
        let Some(ask) = question(&self.name, request) else {
            return decline();
        };
        let is_link = ask.kind == QuestionKind::Link;
        let sender = self
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (reply, answer) = oneshot::channel();
        let elicited = Elicited {
            ask: Box::new(ask),
            reply,
        };
        // More than may be open at once are declined.
        if sender.is_none_or(|sender| sender.try_send(elicited).is_err()) {
            return decline();
        }
        let _waits = Counted::new(&self.told.asking);
        let Ok(answer) = answer.await else {
            return ElicitResult::new(ElicitationAction::Cancel);
        };
        if answer.declined {
            return decline();
        }
        if is_link {
            return ElicitResult::new(ElicitationAction::Accept);
        }
        match serde_json::from_str(&answer.content_json) {
            Ok(content) => ElicitResult::new(ElicitationAction::Accept).with_content(content),
            Err(_) => decline(),
        }
    }
}

/// What a server asks, as a question; `None` where it can't be one.
fn question(server: &str, request: ElicitRequestParams) -> Option<Ask> {
    let mut ask = Ask {
        kind: QuestionKind::Form,
        title: String::new(),
        tool_call_id: String::new(),
        tool_name: String::new(),
        args: Json {
            text: "{}".into(),
            full_size: None,
        },
        options: vec![],
        schema_json: String::new(),
        url: String::new(),
        agent_path: vec![],
    };
    let message = match request {
        ElicitRequestParams::FormElicitationParams {
            message,
            requested_schema,
            ..
        } => {
            ask.schema_json = serde_json::to_string(&requested_schema).ok()?;
            message
        }
        ElicitRequestParams::UrlElicitationParams { message, url, .. } => {
            ask.kind = QuestionKind::Link;
            ask.url = url;
            ask.options = vec![QuestionOption {
                option_id: DONE.into(),
                label: "Done".into(),
                effect: None,
            }];
            message
        }
        // A way that is not known here.
        _ => return None,
    };
    let fits = ask.schema_json.len() <= SCHEMA_MAX_BYTES && ask.url.len() <= URL_MAX_BYTES;
    // Who answers shall know who asks.
    let title = format!("{server}: {message}");
    cut(&title, TITLE_MAX_BYTES).clone_into(&mut ask.title);
    fits.then_some(ask)
}

/// One more, until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
    pub(super) fn new(
        options: McpOptions,
        client: Client,
        launch: Option<Launch>,
        questions: Arc<Questions>,
    ) -> Self {
        Self {
            options,
            client,
            launch,
            questions,
            connection: Mutex::new(None),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.options.name
    }

    /// Ends a server that is a program, and proves that; the next call starts it anew. Others stay as they are.
    ///
    /// # Errors
    /// What may be left of it.
    pub(super) async fn stop(&self) -> Result<(), StopFailed> {
        let mut connection = self.connection.lock().await;
        match connection.take_if(|it| it.child.is_some()) {
            Some(connection) => connection.end().await,
            None => Ok(()),
        }
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
        heard: &Arc<Told>,
        (name, arguments): (String, JsonObject),
        progress: mpsc::Sender<Value>,
        stop: CancellationToken,
    ) -> Result<Ran, String> {
        let mut params = CallToolRequestParams::new(name).with_arguments(arguments);
        for _ in 0..ROUNDS_MAX {
            match self
                .ask_once(peer, heard, params.clone(), &progress, &stop)
                .await?
            {
                Came::Ran(ran) => return Ok(ran),
                Came::Wants(input) => {
                    params.request_state = input.request_state.clone();
                    params.input_responses = Some(self.inputs(*input, heard).await?);
                }
            }
        }
        Err("it asks again and again".into())
    }

    /// Answers what a server must know before it goes on with a call.
    async fn inputs(
        &self,
        input: InputRequiredResult,
        heard: &Arc<Told>,
    ) -> Result<InputResponses, String> {
        let listener = self.listener(heard);
        let mut responses = InputResponses::new();
        for (key, request) in input.input_requests.unwrap_or_default() {
            let InputRequest::Elicitation(request) = request else {
                return Err("it wants something that is not to be had here".into());
            };
            let result = listener.elicit(request.params).await;
            let result = serde_json::to_value(&result).map_err(|error| error.to_string())?;
            responses.insert(key, result);
        }
        Ok(responses)
    }

    fn listener(&self, heard: &Arc<Told>) -> Listener {
        Listener {
            told: Arc::clone(heard),
            name: self.options.name.clone(),
            questions: Arc::clone(&self.questions),
        }
    }

    async fn ask_once(
        &self,
        peer: &Peer<RoleClient>,
        heard: &Told,
        params: CallToolRequestParams,
        progress: &mpsc::Sender<Value>,
        stop: &CancellationToken,
    ) -> Result<Came, String> {
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
                // Somebody is being asked, for as long as that takes.
                Err(_) if heard.asking.load(Ordering::Relaxed) > 0 => {}
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
                true => Ok(Came::Ran(Ran::failed(why.into()))),
                false => Err(why.into()),
            };
        };
        let answer = answer.map_err(|_| "the connection broke")?;
        match answer {
            Ok(ServerResult::CallToolResult(result)) => {
                let is_error = result.is_error == Some(true);
                let json = serde_json::to_string(&result).map_err(|error| error.to_string())?;
                Ok(Came::Ran(Ran::of(json, is_error)))
            }
            Ok(ServerResult::InputRequiredResult(input)) => Ok(Came::Wants(Box::new(input))),
            Ok(_) => Err("its answer is no result".into()),
            // The server's own word: the connection is well.
            Err(rmcp::ServiceError::McpError(error)) => {
                Ok(Came::Ran(Ran::failed(cut(&error.message, 4096).into())))
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
            if let Some(old) = connection.take() {
                old.end().await.map_err(|failed| self.failed(&failed.0))?;
            }
            let made = timeout(START_MAX, self.connect()).await;
            let made = made.map_err(|_| self.failed("it does not answer"))?;
            *connection = Some(made.map_err(|problem| self.failed(&problem))?);
        }
        Ok(connection.as_mut().expect("it was made in the line before"))
    }

    async fn connect(&self) -> Result<Connection, String> {
        let heard = Arc::new(Told::default());
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: None,
        };
        let listener = self.listener(&heard);
        let (service, child) = match &self.options.at {
            McpPlace::Http { url, headers } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
                config.custom_headers = headers.iter().cloned().collect();
                config.max_sse_event_size = MESSAGE_MAX_BYTES;
                let client = self.client.clone();
                let transport = StreamableHttpClientTransport::with_client(client, config);
                let service = serve_client_with_lifecycle(listener, transport, lifecycle).await;
                (service, None)
            }
            McpPlace::Program(program) => {
                let launch = self
                    .launch
                    .as_ref()
                    .ok_or("programs are not started here")?;
                let (pipe, child) = launch.start(program).map_err(|error| error.to_string())?;
                let service = serve_client_with_lifecycle(listener, pipe, lifecycle).await;
                (service, Some(child))
            }
        };
        let service = match (service, child) {
            (Ok(service), child) => (service, child),
            (Err(error), None) => return Err(shown(&error)),
            (Err(error), Some(child)) => {
                let ended = child.stop().await.map_err(|failed| failed.0)?;
                // What it wrote is for the operator.
                let (name, stderr) = (&self.options.name, ended.stderr_tail.trim());
                tracing::warn!(
                    server = name,
                    status = ended.status,
                    stderr,
                    "a tool server did not start"
                );
                return Err(format!(
                    "it did not start ({}): {}",
                    ended.status,
                    shown(&error)
                ));
            }
        };
        let (service, child) = service;
        let tools = list(service.peer()).await?;
        Ok(Connection {
            service,
            heard,
            tools,
            child,
        })
    }

    fn failed(&self, problem: &str) -> String {
        format!(
            "the tools of {} can't be used: {problem}",
            self.options.name
        )
    }
}

// === impl Connection ===

impl Connection {
    /// Ends it; a program's end is proven.
    async fn end(self) -> Result<(), StopFailed> {
        let Self { service, child, .. } = self;
        let _ = timeout(CANCEL_MAX, service.cancel()).await;
        match child {
            Some(child) => child.stop().await.map(drop),
            None => Ok(()),
        }
    }
}

/// What an answer to a call is.
enum Came {
    /// Its end.
    Ran(Ran),
    /// The server must know more first.
    Wants(Box<InputRequiredResult>),
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
