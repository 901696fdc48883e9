//! `acp`: sessions of a gateway for an editor, by the Agent Client Protocol over standard input and output.
//!
//! A message a line. `editor.rs` is the way to the editor; each session that it opened is a task of its own
//! (`session.rs`), which follows the session by the client library, so that a gateway that restarts is waited for and nothing
//! is lost or said twice. What may be chosen is in `choices.rs`, what a prompt holds in `prompt.rs`, and how events read in
//! `edge::acp`. An editor that leaves stops nothing.

mod choices;
mod editor;
mod prompt;
mod session;

use super::{
    arguments::{AcpArgs, NewSessionArgs},
    failure::{DATA, Failure},
    output,
};
use editor::{Editor, Fault};
use quarterdeck::{
    client::{Client, Error, reason},
    domain::limits::INPUT_MESSAGE_MAX_BYTES,
    edge::acp::{Elicits, call_of_before, plan, replay},
    proto::{
        self, CreateSessionRequest, Cursor, GetSessionStateRequest, GetSessionStateResponse,
        ListMessagesRequest, Message,
    },
};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use session::{Attached, Command, Session};
use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    task::JoinSet,
};
use uuid::Uuid;

/// Longest message of an editor, in bytes: the largest prompt in base64, with room for its JSON.
const LINE_MAX_BYTES: u64 = 2 * INPUT_MESSAGE_MAX_BYTES as u64;
/// Requests that are worked on at a time, prompts aside.
const REQUESTS_MAX: usize = 64;
/// Sessions that are open at a time.
const SESSIONS_MAX: usize = 64;
/// Messages of one page, and pages that are told of a session at most.
const PAGE: i32 = 1000;
const PAGES_MAX: usize = 20;
/// What a session's key begins with that the editor did not choose.
const OWN_SESSION: &str = "acp:";

/// What an editor is served by.
struct Desk {
    client: Client,
    editor: Arc<Editor>,
    /// Every session is this one; empty where each is new.
    session: String,
    new: NewSessionArgs,
    open: Mutex<HashMap<String, Attached>>,
}

/// What an editor sends: a request, a notification, or an answer.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Json,
    method: Option<String>,
    #[serde(default)]
    params: Json,
    #[serde(default)]
    result: Json,
    error: Option<Json>,
}

pub(crate) async fn acp(arguments: AcpArgs) -> Result<ExitCode, Failure> {
    let AcpArgs {
        session,
        new,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    // Who may not call is told before the first word of the protocol.
    let known = client.who_am_i(proto::WhoAmIRequest {}).await;
    let known = known.map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if io::stdin().is_terminal() {
        let who = known.principal;
        output::notice(&format!(
            "an editor starts this and speaks to it; it is served as {who}"
        ));
    }
    let (editor, writer) = Editor::new(tokio::io::stdout());
    let desk = Arc::new(Desk {
        client,
        editor: Arc::new(editor),
        session,
        new,
        open: Mutex::default(),
    });
    desk.serve(BufReader::new(tokio::io::stdin())).await?;
    desk.editor.end().await;
    writer.await.map_err(io::Error::other)??;
    Ok(ExitCode::SUCCESS)
}

/// The next line; `None` at the end of the input.
async fn line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let mut bounded = input.take(LINE_MAX_BYTES);
    bounded.read_until(b'\n', &mut line).await?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if bounded.limit() > 0 => Ok(Some(line)),
        Some(_) => {
            let problem = format!("a message of the editor has more than {LINE_MAX_BYTES} bytes");
            Err(Failure::new(DATA, problem))
        }
    }
}

// === impl Desk ===

impl Desk {
    /// Serves until the input ends.
    async fn serve(self: &Arc<Self>, mut input: impl AsyncBufRead + Unpin) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        while let Some(line) = line(&mut input).await? {
            if line.trim_ascii().is_empty() {
                continue;
            }
            while tasks.try_join_next().is_some() {}
            let Ok(line) = serde_json::from_slice::<Line>(&line) else {
                let fault = Fault::new(Fault::PARSE, "a message must be JSON, one a line");
                self.editor.reply(&Json::Null, Err(fault)).await;
                continue;
            };
            match (line.id, line.method) {
                (Json::Null, Some(method)) => self.hear(&method, &line.params).await,
                (id, Some(method)) if method == "session/prompt" => {
                    // In order: what cancels it may follow at once.
                    self.prompt(id, &line.params).await;
                }
                (id, Some(_)) if tasks.len() >= REQUESTS_MAX => {
                    let fault = Fault::new(Fault::INTERNAL, "too many requests at a time");
                    self.editor.reply(&id, Err(fault)).await;
                }
                (id, Some(method)) => {
                    let desk = Arc::clone(self);
                    tasks.spawn(async move { desk.answer(&id, &method, &line.params).await });
                }
                (id, None) => self
                    .editor
                    .hear(&id, line.error.map_or(Ok(line.result), Err)),
            }
        }
        Ok(())
    }

    /// What needs no answer.
    async fn hear(&self, method: &str, params: &Json) {
        if method == "session/cancel"
            && let Some(session) = self.find(params)
        {
            session.tell(Command::Cancel).await;
        }
    }

    async fn prompt(&self, id: Json, params: &Json) {
        let prompt = match self.find(params) {
            None => Err(Fault::unknown_session()),
            Some(session) => prompt::parse(&params["prompt"]).map(|prompt| (session, prompt)),
        };
        match prompt {
            Ok((session, prompt)) => session.tell(Command::Prompt { id, prompt }).await,
            Err(fault) => self.editor.reply(&id, Err(fault)).await,
        }
    }

    async fn answer(self: &Arc<Self>, id: &Json, method: &str, params: &Json) {
        match method {
            "initialize" => {
                let can = &params["clientCapabilities"]["elicitation"];
                self.editor.shows(Elicits {
                    form: can["form"].is_object(),
                    link: can["url"].is_object(),
                });
                self.editor.reply(id, Ok(initialized())).await;
            }
            "session/new" => self.open(id, self.made(params).await, true).await,
            "session/load" => self.open(id, self.loaded(params).await, false).await,
            "session/set_config_option" => {
                let (option, value) = (&params["configId"], &params["value"]);
                let chosen = self.choose(params, option, value).await;
                let told = chosen.map(|chosen| json!({ "configOptions": chosen.options }));
                self.editor.reply(id, told).await;
            }
            "session/set_mode" => {
                let chosen = self
                    .choose(params, &choices::MODE.into(), &params["modeId"])
                    .await;
                self.editor.reply(id, chosen.map(|_| json!({}))).await;
            }
            other => {
                let fault = Fault::new(Fault::METHOD, format!("method not found: {other}"));
                self.editor.reply(id, Err(fault)).await;
            }
        }
    }

    fn find(&self, params: &Json) -> Option<Attached> {
        let key = params["sessionId"].as_str()?;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(key).cloned()
    }

    /// Makes a session, or finds the one that all are.
    async fn made(&self, params: &Json) -> Result<GetSessionStateResponse, Fault> {
        refuse_directories(params)?;
        let NewSessionArgs {
            agent,
            model,
            thinking_level,
            cwd,
            display_name,
            labels,
        } = self.new.clone();
        let (session_key, is_fixed) = match self.session.as_str() {
            "" => (format!("{OWN_SESSION}{}", Uuid::now_v7().simple()), false),
            key => (key.to_owned(), true),
        };
        let mut request = CreateSessionRequest {
            session_key: session_key.clone(),
            agent,
            model,
            thinking_level,
            labels: labels.into_iter().collect(),
            cwd: match cwd.as_str() {
                "" => params["cwd"].as_str().unwrap_or_default().to_owned(),
                named => named.to_owned(),
            },
            display_name,
            ..CreateSessionRequest::default()
        };
        let mut made = self.client.create_session(request.clone()).await;
        if let Err(status) = &made
            && cwd.is_empty()
            && is_of_cwd(status)
        {
            let why = format!(
                "this session works in a directory of its own: {}",
                status.message()
            );
            output::notice(&why);
            request.cwd.clear();
            made = self.client.create_session(request).await;
        }
        match made {
            Err(status) if !(is_fixed && reason(&status) == "SESSION_EXISTS") => {
                return Err(Fault::of(&status));
            }
            Ok(_) | Err(_) => {}
        }
        if params["mcpServers"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
        {
            output::notice(
                "the editor's MCP servers are not used: agents have those of the gateway",
            );
        }
        self.state(&session_key).await
    }

    /// A session of before, all of it told.
    async fn loaded(&self, params: &Json) -> Result<GetSessionStateResponse, Fault> {
        refuse_directories(params)?;
        let key = params["sessionId"].as_str().unwrap_or_default();
        let mut state = self.state(key).await?;
        let mut pages = vec![std::mem::take(&mut state.messages)];
        let mut page_token = state.next_page_token.clone();
        while !page_token.is_empty() && pages.len() < PAGES_MAX {
            let request = ListMessagesRequest {
                session_key: key.into(),
                page_size: PAGE,
                page_token,
                ..ListMessagesRequest::default()
            };
            let page = self.client.list_messages(request).await;
            let page = page.map_err(|status| Fault::of(&status))?;
            pages.push(page.messages);
            page_token = page.next_page_token;
        }
        let messages: Vec<Message> = pages.into_iter().rev().flatten().collect();
        for update in messages.iter().flat_map(replay) {
            self.editor.update(key, update).await;
        }
        let session = state.session.clone().unwrap_or_default();
        for part in &state.running_tools {
            let update = call_of_before(&session.active_turn_id, part);
            self.editor.update(key, update).await;
        }
        if !state.plan.is_empty() {
            self.editor.update(key, plan(&state.plan)).await;
        }
        Ok(state)
    }

    async fn state(&self, key: &str) -> Result<GetSessionStateResponse, Fault> {
        let request = GetSessionStateRequest {
            session_key: key.into(),
            min_seq: 0,
            page_size: PAGE,
        };
        let state = self.client.get_session_state(request).await;
        state.map_err(|status| Fault::of(&status))
    }

    /// Answers with a session that is open from here on. `is_new`: the editor does not know its id.
    async fn open(
        self: &Arc<Self>,
        id: &Json,
        state: Result<GetSessionStateResponse, Fault>,
        is_new: bool,
    ) {
        let opened = match state {
            Ok(state) => self.attach(state, is_new).await,
            Err(fault) => Err(fault),
        };
        match opened {
            Ok((session, response)) => {
                self.editor.reply(id, Ok(response)).await;
                session.tell(Command::Begin).await;
            }
            Err(fault) => self.editor.reply(id, Err(fault)).await,
        }
    }

    async fn attach(
        self: &Arc<Self>,
        state: GetSessionStateResponse,
        is_new: bool,
    ) -> Result<(Attached, Json), Fault> {
        let key = state.session.map(|it| it.session_key).unwrap_or_default();
        let chosen = choices::of(&self.client, &key).await?;
        let mut response = json!({ "configOptions": chosen.options });
        if is_new {
            response["sessionId"] = key.as_str().into();
        }
        if !chosen.modes.is_null() {
            response["modes"] = chosen.modes.clone();
        }
        let cursor = Cursor {
            log_id: state.log_id,
            after_seq: state.seq,
        };
        let (client, editor) = (self.client.clone(), Arc::clone(&self.editor));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| !session.is_over());
        if open.len() >= SESSIONS_MAX && !open.contains_key(&key) {
            let problem = format!("at most {SESSIONS_MAX} sessions are open at a time");
            return Err(Fault::new(Fault::INTERNAL, problem));
        }
        let attached = Session::spawn(client, editor, &key, cursor, chosen);
        open.insert(key, attached.clone());
        Ok((attached, response))
    }

    async fn choose(
        &self,
        params: &Json,
        option: &Json,
        value: &Json,
    ) -> Result<choices::Choices, Fault> {
        let key = params["sessionId"].as_str().unwrap_or_default();
        let word = |it: &Json| it.as_str().map(str::to_owned);
        let (Some(option), Some(value)) = (word(option), word(value)) else {
            return Err(Fault::new(Fault::PARAMETERS, "name an option and a value"));
        };
        choices::choose(&self.client, key, &option, &value).await?;
        choices::of(&self.client, key).await
    }
}

/// More directories than one are nothing that a session has.
fn refuse_directories(params: &Json) -> Result<(), Fault> {
    match params["additionalDirectories"].as_array() {
        Some(more) if !more.is_empty() => {
            let problem = "additionalDirectories: a session works in one directory";
            Err(Fault::new(Fault::PARAMETERS, problem))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether it was refused for the directory that was asked for.
fn is_of_cwd(status: &tonic::Status) -> bool {
    let error = Error::from(status.clone());
    error.field_violations().iter().any(|it| it.field == "cwd")
}

fn initialized() -> Json {
    json!({
        "protocolVersion": 1,
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": { "image": true, "audio": false, "embeddedContext": true },
            "mcpCapabilities": { "http": false, "sse": false },
        },
        "agentInfo": {
            "name": "quarterdeck", "title": "Quarterdeck", "version": env!("CARGO_PKG_VERSION"),
        },
        "authMethods": [],
    })
}
