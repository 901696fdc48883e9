//! ListCommands, ExecuteCommand, CompactSession, ReloadSession. A command of the gateway is another name for one of its
//! other calls; an agent's runs as a turn.

use super::Call;
use crate::{
    domain::{
        access::Scope, agent::Capabilities, command, ids::SessionKey, limits::TEXT_MAX_BYTES,
        offers::split_model, refusal::Refusal, session::Session,
    },
    proto::{self, CommandSource, execute_command_response::Result as Done},
    store::{Committed, Enqueue, NewSession, OnBusy},
    wire::{
        encode::{self, TurnTexts},
        parse::Fields,
    },
};
use serde_json::json;

/// Longest arguments of a command, in bytes: a turn's text holds them with the command's name.
const ARGUMENTS_MAX_BYTES: usize = TEXT_MAX_BYTES - 1024;

/// A command of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Compact,
    Fork,
    Model,
    Reload,
    Reset,
    Stop,
    Thinking,
}

/// What a call that carries a command says besides.
struct Asked {
    key: SessionKey,
    request_id: String,
    expected_generation: Option<i64>,
}

// === impl Own ===

impl Own {
    const ALL: [Self; 7] = [
        Self::Compact,
        Self::Fork,
        Self::Model,
        Self::Reload,
        Self::Reset,
        Self::Stop,
        Self::Thinking,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Compact => command::COMPACT,
            Self::Fork => "fork",
            Self::Model => "model",
            Self::Reload => "reload",
            Self::Reset => "reset",
            Self::Stop => "stop",
            Self::Thinking => "thinking",
        }
    }

    /// The command of that name, where a session whose agent can do this has it.
    fn of(name: &str, can: Capabilities) -> Option<Self> {
        let named = Self::ALL.into_iter().find(|own| own.name() == name);
        named.filter(|own| own.works(can))
    }

    fn works(self, can: Capabilities) -> bool {
        match self {
            Self::Compact => can.compaction,
            Self::Fork => can.fork,
            Self::Model => can.models,
            Self::Thinking => can.thinking,
            Self::Reload | Self::Reset | Self::Stop => true,
        }
    }

    fn described(self) -> proto::Command {
        let (description, input_hint) = match self {
            Self::Compact => (
                "Shortens the conversation that the agent keeps",
                "what the summary is to keep",
            ),
            Self::Fork => (
                "Copies the conversation into a new session",
                "key of the new session",
            ),
            Self::Model => (
                "Chooses the model from the next turn on; without one, the agent's own",
                "provider/model_id",
            ),
            Self::Reload => (
                "Lets the agent begin afresh, with its settings read again",
                "",
            ),
            Self::Reset => ("Begins a fresh conversation", ""),
            Self::Stop => ("Stops the running turn", ""),
            Self::Thinking => (
                "Chooses the thinking level from the next turn on; without one, the agent's own",
                "level",
            ),
        };
        proto::Command {
            name: self.name().into(),
            description: description.into(),
            input_hint: input_hint.into(),
            source: CommandSource::Gateway.into(),
        }
    }

    fn takes_arguments(self) -> bool {
        match self {
            Self::Compact | Self::Fork | Self::Model | Self::Thinking => true,
            Self::Reload | Self::Reset | Self::Stop => false,
        }
    }
}

// === impl Call ===

impl Call<'_> {
    pub(super) async fn list_commands(
        &self,
        request: proto::ListCommandsRequest,
    ) -> Result<proto::ListCommandsResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        let can = self.can(&session);
        let own = Own::ALL.into_iter().filter(|own| own.works(can));
        let mut commands: Vec<proto::Command> = own.map(Own::described).collect();
        let known = self.registry.commands().of(session.row, &session.agent);
        for agents in known.iter().flat_map(|known| known.iter()) {
            if Own::of(&agents.name, can).is_none() {
                commands.push(proto::Command {
                    name: agents.name.clone(),
                    description: agents.description.clone(),
                    input_hint: agents.input_hint.clone(),
                    source: CommandSource::Agent.into(),
                });
            }
        }
        Ok(proto::ListCommandsResponse {
            commands,
            complete: known.is_some() || !can.commands,
        })
    }

    pub(super) async fn execute_command(
        &self,
        request: proto::ExecuteCommandRequest,
    ) -> Result<proto::ExecuteCommandResponse, Refusal> {
        self.refuse_while_draining()?;
        let proto::ExecuteCommandRequest {
            session_key,
            name,
            arguments,
            expected_generation,
            request_id,
        } = request;
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &session_key);
        fields.request_id(&request_id);
        if !command::is_name(&name) {
            fields.wrong(
                "name",
                "must be a command's name without the slash, of at most 128 bytes",
            );
        }
        fields.text("arguments", &arguments, ARGUMENTS_MAX_BYTES);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        let can = self.can(&session);
        let asked = Asked {
            key,
            request_id,
            expected_generation,
        };
        match Own::of(&name, can) {
            Some(own) => self.execute_own(own, arguments.trim(), asked).await,
            None => {
                self.identity.require(Scope::SessionWrite)?;
                let known = self.registry.commands().of(session.row, &session.agent);
                let lacks = known.is_some_and(|known| known.iter().all(|it| it.name != name));
                if lacks || !can.commands {
                    return Err(Refusal::CommandNotFound { name });
                }
                let committed = self.run_command(&name, &arguments, asked).await?;
                Ok(executed(committed))
            }
        }
    }

    /// Runs a command of the gateway's own, for who may do what it does.
    async fn execute_own(
        &self,
        own: Own,
        arguments: &str,
        asked: Asked,
    ) -> Result<proto::ExecuteCommandResponse, Refusal> {
        if !own.takes_arguments() && !arguments.is_empty() {
            let problem = format!("{} takes nothing", own.name());
            return Err(Refusal::field("arguments", problem));
        }
        let Asked {
            key,
            request_id,
            expected_generation,
        } = asked;
        let session_key = key.to_string();
        let (result, seq, replayed, log_id) = match own {
            Own::Compact => {
                self.identity.require(Scope::SessionWrite)?;
                let asked = Asked {
                    key,
                    request_id,
                    expected_generation,
                };
                let committed = self.run_command(own.name(), arguments, asked).await?;
                return Ok(executed(committed));
            }
            Own::Fork => {
                self.identity.require(Scope::SessionWrite)?;
                self.identity.require(Scope::SessionRead)?;
                let mut fields = Fields::default();
                let new_key = fields.session_key("arguments", arguments);
                fields.finish(new_key)?;
                let request = proto::ForkSessionRequest {
                    session_key,
                    new_session_key: arguments.to_owned(),
                    request_id,
                    expected_generation,
                    ..Default::default()
                };
                let forked = self.fork_session(request).await?;
                let key = forked.session.map(|it| it.session_key);
                let result = json!({ "session_key": key.unwrap_or_default() });
                (result, forked.seq, forked.replayed, forked.log_id)
            }
            Own::Model => {
                self.identity.require(Scope::SessionWrite)?;
                let (provider, model_id) = split_model(arguments);
                let request = proto::SetModelRequest {
                    session_key,
                    provider: provider.to_owned(),
                    model_id: model_id.to_owned(),
                    request_id,
                    expected_generation,
                };
                let set = self.set_model(request).await?;
                let model = set.session.map(|it| it.model);
                let result = json!({ "model": model.unwrap_or_default() });
                (result, set.seq, set.replayed, set.log_id)
            }
            Own::Thinking => {
                self.identity.require(Scope::SessionWrite)?;
                let request = proto::SetThinkingLevelRequest {
                    session_key,
                    level: arguments.to_owned(),
                    request_id,
                    expected_generation,
                };
                let set = self.set_thinking_level(request).await?;
                let level = set.session.map(|it| it.thinking_level);
                let result = json!({ "thinking_level": level.unwrap_or_default() });
                (result, set.seq, set.replayed, set.log_id)
            }
            Own::Reload => {
                self.identity.require(Scope::SessionWrite)?;
                let request = proto::ReloadSessionRequest {
                    session_key,
                    request_id,
                    expected_generation,
                };
                let told = self.reload_session(request).await?;
                let result = json!({ "was_awake": told.was_awake });
                (result, told.seq, told.replayed, told.log_id)
            }
            Own::Reset => {
                self.identity.require(Scope::SessionReset)?;
                let request = proto::ResetRequest {
                    session_key,
                    request_id,
                    expected_generation,
                };
                let reset = self.reset(request).await?;
                let generation = reset.session.map(|it| it.generation);
                let result = json!({ "generation": generation.unwrap_or_default() });
                (result, reset.seq, reset.replayed, reset.log_id)
            }
            Own::Stop => {
                self.identity.require(Scope::SessionAbort)?;
                let request = proto::AbortRequest {
                    session_key,
                    request_id,
                    expected_generation,
                    ..Default::default()
                };
                let stopped = self.abort(request).await?;
                let result = json!({ "aborted": stopped.aborted });
                (result, stopped.seq, stopped.replayed, stopped.log_id)
            }
        };
        Ok(proto::ExecuteCommandResponse {
            result: Some(Done::ResultJson(result.to_string())),
            seq,
            replayed,
            log_id,
        })
    }

    pub(super) async fn compact_session(
        &self,
        request: proto::CompactSessionRequest,
    ) -> Result<proto::CompactSessionResponse, Refusal> {
        self.refuse_while_draining()?;
        let proto::CompactSessionRequest {
            session_key,
            instructions,
            expected_generation,
            request_id,
        } = request;
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &session_key);
        fields.request_id(&request_id);
        fields.text("instructions", &instructions, ARGUMENTS_MAX_BYTES);
        let key = fields.finish(key)?;
        let asked = Asked {
            key,
            request_id,
            expected_generation,
        };
        let committed = self
            .run_command(command::COMPACT, &instructions, asked)
            .await?;
        Ok(proto::CompactSessionResponse {
            turn: committed
                .turn
                .map(|turn| encode::turn(&turn, TurnTexts::Cut)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn reload_session(
        &self,
        mut request: proto::ReloadSessionRequest,
    ) -> Result<proto::ReloadSessionResponse, Refusal> {
        self.refuse_while_draining()?;
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let caller = self
            .caller(
                key,
                "ReloadSession",
                request_id,
                &request,
                request.expected_generation,
            )
            .await?;
        let committed = self.store.reload_session(caller).await?;
        let was_awake = !committed.replayed && self.registry.reload_session(committed.session.row);
        Ok(proto::ReloadSessionResponse {
            was_awake,
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    /// Admits a turn that runs a command.
    async fn run_command(
        &self,
        name: &str,
        arguments: &str,
        asked: Asked,
    ) -> Result<Committed, Refusal> {
        let Asked {
            key,
            request_id,
            expected_generation,
        } = asked;
        // The same for each call that runs it, so that a repeat is known whichever it comes by.
        let request = proto::ExecuteCommandRequest {
            session_key: key.to_string(),
            name: name.to_owned(),
            arguments: arguments.trim().to_owned(),
            expected_generation,
            request_id: String::new(),
        };
        let caller = self
            .caller(
                key,
                "ExecuteCommand",
                request_id,
                &request,
                expected_generation,
            )
            .await?;
        self.store
            .enqueue(Enqueue {
                caller,
                new_session: NewSession::default(),
                text: command::text(name, arguments),
                command: name.to_owned(),
                output_schema: String::new(),
                client_tools: Vec::new(),
                attachments: Vec::new(),
                source: String::new(),
                metadata: Default::default(),
                on_busy: OnBusy::Enqueue,
                on_interrupt: None,
                turn_timeout: self.settings.load().turn_timeout,
                queue_ttl: None,
                not_before: None,
                trace_context: self.facts.trace.to_string(),
            })
            .await
    }

    /// What a session's agent can do; nothing where it is not configured any more.
    fn can(&self, session: &Session) -> Capabilities {
        let known = self.known_agents.get(&session.agent);
        known.map_or_else(Capabilities::default, |known| known.get().capabilities)
    }
}

fn executed(committed: Committed) -> proto::ExecuteCommandResponse {
    proto::ExecuteCommandResponse {
        result: committed
            .turn
            .map(|turn| Done::Turn(encode::turn(&turn, TurnTexts::Cut))),
        seq: committed.receipt.seq,
        replayed: committed.replayed,
        log_id: committed.session.log_id.to_string(),
    }
}
