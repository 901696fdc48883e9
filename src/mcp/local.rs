//! What the tools do, in the gateway's process: under the caller's identity, or, where the request names a session, as
//! that session's agent.

use super::{
    Backend, Whom,
    agents::AtWork,
    tools::{
        self, ForgetArguments, Gone, Kept, Name, RememberArguments, SearchArguments, SearchResults,
    },
};
use crate::{
    agent::submit::Submissions,
    auth::agents::WorksFor,
    client::code_name,
    clock,
    domain::{
        access::{Identity, Scope, SessionAccess},
        ids::SessionKey,
        memory::{Namespace, Place, SearchMode},
        refusal::Refusal,
    },
    grpc::status,
    listener::Peer,
    memory::{Actor, Forget, Memory, Outcome, Remember, Search, Target},
    store::Store,
    telemetry::{
        audit::{self, Audited},
        trace::{self, TraceContext},
    },
};
use rmcp::{
    ErrorData,
    model::{CallToolRequestParams, CallToolResult},
};
use std::{fmt::Display, sync::Arc, time::Instant};
use uuid::Uuid;

/// The rooms that the tools work with.
#[derive(Clone)]
pub(super) struct Local {
    pub(super) memory: Arc<Memory>,
    pub(super) store: Arc<dyn Store>,
    /// Turns that wait for an output, where agents call.
    pub(super) submissions: Option<Arc<Submissions>>,
}

/// Who calls, and what the address names.
struct Caller {
    actor: Actor,
    place: Option<Place>,
}

/// Whom a request shows to be there.
enum Who<'a> {
    /// A caller with rights of its own, and what it names in the address.
    Caller {
        identity: &'a Arc<Identity>,
        query: &'a str,
    },
    /// An agent, at its own door.
    Agent(&'a AtWork),
}

/// What a call is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Read,
    Write,
}

impl Backend for Local {
    fn whom(&self) -> Whom {
        match self.submissions {
            Some(_) => Whom::Agents,
            None => Whom::Callers,
        }
    }

    async fn call(
        &self,
        call: CallToolRequestParams,
        parts: Option<&http::request::Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let Some(name) = Name::parse(&call.name) else {
            let problem = format!("there is no tool `{}`", call.name);
            return Err(ErrorData::invalid_params(problem, None));
        };
        let Some(who) = parts.and_then(Who::of) else {
            let problem = "the call came without a caller";
            return Err(ErrorData::internal_error(problem, None));
        };
        let arguments = call.arguments;
        let mut record = parts.map(|parts| Recorded::begin(name, parts, &who));
        let done = match name {
            Name::Search => self.search(&who, arguments).await,
            Name::Remember => self.remember(&who, arguments).await,
            Name::Forget => self.forget(&who, arguments).await,
            Name::Submit => self.submit(&who, arguments),
        };
        if let Some(record) = &mut record {
            record.ended(&done);
        }
        done.unwrap_or_else(|refusal| {
            Ok(tools::refused(&format!("{}: {refusal}", refusal.reason())))
        })
    }
}

// === impl Who ===

impl<'a> Who<'a> {
    fn of(parts: &'a http::request::Parts) -> Option<Self> {
        if let Some(agent) = parts.extensions.get::<AtWork>() {
            return Some(Self::Agent(agent));
        }
        Some(Self::Caller {
            identity: parts.extensions.get::<Arc<Identity>>()?,
            query: parts.uri.query().unwrap_or_default(),
        })
    }
}

/// The audit record of a tool that changes something, or that an agent used; its drop without an end is the caller's
/// leaving.
struct Recorded<'a> {
    by: By<'a>,
    parts: &'a http::request::Parts,
    method: &'static str,
    began: Instant,
    /// False once it is written, or none is due.
    due: bool,
}

/// Who used a tool.
enum By<'a> {
    Caller(&'a Identity),
    Agent(&'a WorksFor),
}

/// What a tool gives: its result, or why memory refused.
type Called = Result<Result<CallToolResult, ErrorData>, Refusal>;

// === impl Local ===

impl Local {
    async fn search(&self, who: &Who<'_>, given: Option<rmcp::model::JsonObject>) -> Called {
        let arguments: SearchArguments = match tools::arguments(given) {
            Ok(arguments) => arguments,
            Err(wrong) => return Ok(Ok(wrong)),
        };
        if let Some(problem) = arguments.problem() {
            return Ok(Ok(tools::refused(&problem)));
        }
        let Caller { actor, place } = self.caller(who, Need::Read).await?;
        let search = Search {
            place,
            limit: arguments.limit(),
            mode: arguments.mode.map_or(SearchMode::Lexical, Into::into),
            query: arguments.query,
            tags: Vec::new(),
            kinds: Vec::new(),
            episodes: arguments.conversations,
            now: clock::now(),
        };
        let results = SearchResults::of(self.memory.search(&actor, search).await?);
        Ok(tools::done(results.text(), &results))
    }

    async fn remember(&self, who: &Who<'_>, given: Option<rmcp::model::JsonObject>) -> Called {
        let arguments: RememberArguments = match tools::arguments(given) {
            Ok(arguments) => arguments,
            Err(wrong) => return Ok(Ok(wrong)),
        };
        if let Some(problem) = arguments.problem() {
            return Ok(Ok(tools::refused(&problem)));
        }
        let Caller { actor, place } = self.caller(who, Need::Write).await?;
        let RememberArguments {
            content,
            key,
            kind,
            bucket,
            tags,
        } = arguments;
        let remembered = self
            .memory
            .remember(Remember {
                actor,
                by_agent: true,
                place,
                bucket: bucket.map(Into::into),
                kind: kind.map(Into::into),
                key,
                content,
                tags,
                expire_time: None,
                request: None,
                now: clock::now(),
            })
            .await?;
        let (outcome, text) = match remembered.outcome {
            Outcome::Created => ("created", "Remembered."),
            Outcome::Touched => ("touched", "This was known already."),
            Outcome::Superseded => ("superseded", "Remembered, in the place of an older memory."),
        };
        let kept = Kept {
            id: remembered.id.to_string(),
            outcome: outcome.into(),
        };
        Ok(tools::done(text.into(), &kept))
    }

    async fn forget(&self, who: &Who<'_>, given: Option<rmcp::model::JsonObject>) -> Called {
        let arguments: ForgetArguments = match tools::arguments(given) {
            Ok(arguments) => arguments,
            Err(wrong) => return Ok(Ok(wrong)),
        };
        let ForgetArguments { id, key, hard } = arguments;
        let Caller { actor, place } = self.caller(who, Need::Write).await?;
        let target = match (id.as_str(), key.as_str()) {
            ("", "") => return Ok(Ok(tools::refused("give the id or the key of the memory"))),
            (_, "") => match Uuid::parse_str(&id) {
                Ok(id) => Target::Id(id),
                Err(_) => return Ok(Ok(tools::refused("id is no id that memory_search gave"))),
            },
            ("", _) => Target::Key(place, key),
            (_, _) => {
                return Ok(Ok(tools::refused(
                    "give either the id or the key, not both",
                )));
            }
        };
        let forget = Forget {
            actor,
            target,
            hard,
            request: None,
            now: clock::now(),
        };
        let forgotten = self.memory.forget(forget).await?.count;
        let text = match forgotten {
            0 => "There was nothing to forget.".to_owned(),
            1 => "Forgotten.".to_owned(),
            many => format!("{many} memories were forgotten."),
        };
        Ok(tools::done(text, &Gone { forgotten }))
    }

    /// Takes what the agent's turn answers with. Whoever is no agent has no turn.
    fn submit(&self, who: &Who<'_>, given: Option<rmcp::model::JsonObject>) -> Called {
        let (Some(submissions), Who::Agent(agent)) = (&self.submissions, who) else {
            return Ok(Ok(tools::refused(
                "only an agent whose turn runs has a result to give",
            )));
        };
        let mut given = given.unwrap_or_default();
        // Some models leave the argument's name out.
        let result = given
            .remove("result")
            .unwrap_or(serde_json::Value::Object(given));
        Ok(match submissions.offer(agent.turn_id, &result) {
            Ok(()) => Ok(tools::said("Taken. You are done.")),
            Err(problem) => Ok(tools::refused(&problem)),
        })
    }

    /// Who acts, by the identity and by what the address names: `?session_key=`, `?namespace=` or neither.
    async fn caller(&self, who: &Who<'_>, need: Need) -> Result<Caller, Refusal> {
        let (identity, query) = match who {
            Who::Caller { identity, query } => (*identity, *query),
            Who::Agent(AtWork { works_for, turn_id }) => {
                let actor = Actor::Agent {
                    session: works_for.session,
                    turn_id: Some(*turn_id),
                };
                return Ok(Caller { actor, place: None });
            }
        };
        identity.require(match need {
            Need::Read => Scope::MemoryRead,
            Need::Write => Scope::MemoryWrite,
        })?;
        let mut place = None;
        let mut session = None;
        for (name, value) in url_pairs(query) {
            let wrong = |problem: String| Refusal::field(&name, &problem);
            match name.as_str() {
                "namespace" => {
                    place = Some(Place::Namespace(Namespace::parse(&value).map_err(wrong)?));
                }
                "session_key" => session = Some(SessionKey::parse(&value).map_err(wrong)?),
                _ => return Err(Refusal::field(&name, "is no parameter of this address")),
            }
        }
        let Some(key) = session else {
            let actor = Actor::Caller(identity.clone());
            return Ok(Caller { actor, place });
        };
        let session = self.store.session(identity, &key).await?;
        if identity.reads_as_operator(&session) {
            audit::operator_read(identity, "mcp", key.as_str());
        }
        let access = identity.access(&session);
        if need == Need::Write && access < Some(SessionAccess::Write) {
            let key = key.as_str().to_owned();
            return Err(Refusal::SessionNotYours { key });
        }
        let turn = self.store.active_turn(session.row).await?;
        let actor = Actor::Agent {
            session: session.row,
            turn_id: turn.map(|turn| turn.turn_id),
        };
        Ok(Caller { actor, place })
    }
}

// === impl Recorded ===

impl<'a> Recorded<'a> {
    fn begin(name: Name, parts: &'a http::request::Parts, who: &Who<'a>) -> Self {
        let (method, due) = match name {
            Name::Search => ("mcp/memory_search", false),
            Name::Remember => ("mcp/memory_remember", true),
            Name::Forget => ("mcp/memory_forget", true),
            Name::Submit => ("mcp/submit_result", true),
        };
        let (by, due) = match who {
            Who::Caller { identity, .. } => (By::Caller(identity), due),
            // Nobody who could be asked sent it: what it looked for is worth knowing, too.
            Who::Agent(agent) => (By::Agent(&agent.works_for), true),
        };
        Self {
            by,
            parts,
            method,
            began: Instant::now(),
            due,
        }
    }

    fn ended(&mut self, called: &Called) {
        match called {
            Ok(Ok(result)) if result.is_error == Some(true) => {
                self.write("INVALID_ARGUMENT", "INVALID_FIELD");
            }
            Ok(Ok(_)) => self.write(audit::OK, ""),
            Ok(Err(_)) => self.write("INTERNAL", ""),
            Err(refusal) => self.write(code_name(status::status(refusal).code()), refusal.reason()),
        }
    }

    fn write(&mut self, outcome: &str, reason: &str) {
        if !std::mem::replace(&mut self.due, false) {
            return;
        }
        let identity = match self.by {
            By::Caller(identity) => identity,
            By::Agent(agent) => {
                let session = agent.session_key.as_str();
                return audit::by_agent(&agent.principal, session, self.method, outcome, reason);
            }
        };
        let session_key = url_pairs(self.parts.uri.query().unwrap_or_default())
            .into_iter()
            .find(|(name, value)| name == "session_key" && SessionKey::parse(value).is_ok());
        let header = self.parts.headers.get(trace::HEADER);
        let trace = header
            .and_then(|text| TraceContext::parse(text.to_str().ok()?))
            .map_or_else(String::new, |trace| trace.trace_id_text());
        let peer = self.parts.extensions.get::<Arc<Peer>>();
        audit::audit(Audited {
            identity,
            method: self.method,
            session_key: session_key.as_ref().map_or("", |(_, key)| key),
            revealed: "",
            outcome,
            reason,
            peer: peer.map(|peer| peer.as_ref() as &dyn Display),
            trace_id: &trace,
            duration: self.began.elapsed(),
        });
    }
}

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        self.write("CANCELLED", "");
    }
}

/// Names and values of a query, decoded.
fn url_pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}
