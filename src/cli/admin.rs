//! `server`, `agents`, `config`, `channels`, `reload`: the server itself.

use super::{
    arguments::{ChannelsArgs, ClientArgs, ConfigAction, ConfigKeysArgs, HealthArgs, ReloadArgs},
    failure::{Failure, UNAVAILABLE},
    output::{self, table},
};
use quarterdeck::{
    client::Client,
    proto::{self, AccountLimits, AgentCapabilities, ConfigValue, ToolPolicySupport, UsageReports},
};
use std::{process::ExitCode, time::Duration};
use tonic::Status;

/// Streams that one call asks for.
const PAGE: i32 = 500;
/// A server that is well says so at once.
const HEALTH_DEADLINE: Duration = Duration::from_secs(3);

/// What runs at the address.
pub(crate) async fn server(arguments: ClientArgs) -> Result<ExitCode, Failure> {
    let client = arguments.client()?;
    let answer = client.get_server_info(proto::GetServerInfoRequest {}).await;
    let info = answer.map_err(|status| failed(&arguments, &status))?;
    if arguments.json {
        output::json("GetServerInfoResponse", &info)?;
        return Ok(ExitCode::SUCCESS);
    }
    let state = if info.draining { "stopping" } else { "serving" };
    let mut rows = vec![
        ["version".into(), info.version],
        ["state".into(), state.into()],
        ["store".into(), info.store_id],
    ];
    for trouble in info.store_troubles {
        rows.push([
            format!("trouble of the store: {}", trouble.name),
            trouble.text,
        ]);
    }
    rows.extend([
        ["default agent".into(), info.default_agent],
        [
            "needs a credential".into(),
            if info.auth_required { "yes" } else { "no" }.into(),
        ],
    ]);
    for agent in info.agents {
        let can = can(&agent.capabilities.unwrap_or_default());
        rows.push([
            format!("agent {}", agent.name),
            match agent.isolation.as_str() {
                "" => format!("{}; {can}", agent.driver),
                rung => format!(
                    "{}; {can}; isolation {rung}, user id {}, network {}",
                    agent.driver, agent.user, agent.network
                ),
            },
        ]);
    }
    if let Some(isolation) = info.isolation {
        rows.push(["isolation".into(), isolation.rung]);
        rows.push(["user id of agents".into(), isolation.user]);
        rows.push(["an agent's end is proven by".into(), isolation.kill_proof]);
        if !isolation.reason.is_empty() {
            rows.push(["why no better isolation".into(), isolation.reason]);
        }
    }
    let limits = info.limits.unwrap_or_default();
    let reserved = limits.reserved_running_turns;
    rows.push([
        "turns at once".into(),
        match reserved {
            0 => limits.running_turns.to_string(),
            kept => format!(
                "{}, {kept} of them kept for tenants of which nothing runs",
                limits.running_turns
            ),
        },
    ]);
    if let Some(longest) = limits.max_turn_timeout {
        let longest = Duration::try_from(longest).unwrap_or_default();
        rows.push([
            "a turn may ask for".into(),
            humantime::format_duration(longest).to_string(),
        ]);
    }
    for (whose, limits) in [("principal", limits.principal), ("tenant", limits.tenant)] {
        if let Some(limits) = limits {
            rows.push([format!("a {whose} may have"), account(&limits)]);
        }
    }
    let who = client.who_am_i(proto::WhoAmIRequest {}).await;
    let who = who.map_err(|status| failed(&arguments, &status))?;
    rows.push([
        "stored for you".into(),
        format!(
            "{} bytes, {} for your tenant",
            who.stored_bytes, who.tenant_stored_bytes
        ),
    ]);
    output::write(&table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the server takes calls.
pub(crate) async fn health(arguments: HealthArgs) -> Result<ExitCode, Failure> {
    let arguments = arguments.client;
    let client = arguments.client()?.with_deadline(HEALTH_DEADLINE);
    let serving = client.is_serving().await;
    if !serving.map_err(|status| failed(&arguments, &status))? {
        let message = format!("{} stops, or can't write", arguments.addr);
        return Err(Failure::new(UNAVAILABLE, message));
    }
    match arguments.json {
        true => output::line(r#"{"status":"SERVING"}"#)?,
        false => output::line("serving")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Which agents there are.
pub(crate) async fn agents(arguments: ClientArgs) -> Result<ExitCode, Failure> {
    let client = arguments.client()?;
    let answer = client.list_agents(proto::ListAgentsRequest {}).await;
    let agents = answer.map_err(|status| failed(&arguments, &status))?.agents;
    let mut rows = Vec::new();
    for agent in agents {
        if arguments.json {
            output::json("AgentInfo", &agent)?;
            continue;
        }
        let told = agent.as_of.map(|time| output::date(Some(time)));
        rows.push([
            agent.name,
            agent.driver,
            agent.version,
            agent.revision,
            told.unwrap_or_else(|| "not started yet".into()),
            can(&agent.capabilities.unwrap_or_default()),
        ]);
    }
    if !arguments.json {
        let names = [
            "NAME",
            "DRIVER",
            "VERSION",
            "REVISION",
            "KNOWN SINCE",
            "CAN",
        ];
        output::list(names, rows, "no agent is configured")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What an agent can do, in words.
fn can(capabilities: &AgentCapabilities) -> String {
    let AgentCapabilities {
        steer,
        soft_cancel,
        images,
        thinking,
        models,
        options,
        fork,
        compaction,
        commands,
        questions,
        resume,
        deny_continues,
        workspace,
        workspace_diff,
        sub_agents,
        client_tools,
        structured_output,
        tool_policy: _,
        usage: _,
    } = *capabilities;
    let can = [
        (steer, "steer"),
        (soft_cancel, "soft cancel"),
        (images, "images"),
        (thinking, "thinking"),
        (models, "models"),
        (options, "options"),
        (fork, "fork"),
        (compaction, "compaction"),
        (commands, "commands"),
        (questions, "questions"),
        (deny_continues, "goes on after a denial"),
        (resume, "resume"),
        (workspace, "files"),
        (workspace_diff, "changes of a turn"),
        (sub_agents, "sub-agents"),
        (client_tools, "tools of its caller"),
        (structured_output, "output by a schema"),
    ];
    let can = can
        .into_iter()
        .filter_map(|(can, what)| can.then_some(what));
    let mut words: Vec<&str> = can.collect();
    words.push(match capabilities.tool_policy() {
        ToolPolicySupport::Enforced => "tool policy",
        ToolPolicySupport::OnRequest => "tool policy for what it asks",
        ToolPolicySupport::None | ToolPolicySupport::Unspecified => "no tool policy",
    });
    words.push(match capabilities.usage() {
        UsageReports::Call => "usage by call",
        UsageReports::Turn => "usage by turn",
        UsageReports::None | UsageReports::Unspecified => "no usage",
    });
    words.join(", ")
}

fn account(limits: &AccountLimits) -> String {
    let AccountLimits {
        requests_per_second,
        streams,
        running_turns,
        awake_agents,
        sessions,
        queue_bytes,
        waits,
        stored_bytes,
    } = *limits;
    let parts = [
        (requests_per_second, "calls a second"),
        (streams, "streams"),
        (running_turns, "running turns"),
        (awake_agents, "awake agents"),
        (sessions, "sessions"),
        (queue_bytes, "bytes queued"),
        (waits, "calls that wait"),
        (stored_bytes, "bytes stored"),
    ];
    let bounded = parts.into_iter().filter(|(limit, _)| *limit > 0);
    bounded
        .map(|(limit, what)| format!("{limit} {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Reads or changes the configuration of a running server.
pub(crate) async fn config(arguments: ConfigKeysArgs) -> Result<ExitCode, Failure> {
    let (arguments, request) = match arguments.action {
        ConfigAction::Get { keys, client } => {
            let values = get(&client.client()?, keys).await;
            return print(&client, values);
        }
        ConfigAction::Set {
            values,
            check,
            client,
        } => {
            let request = proto::UpdateConfigRequest {
                values: values.into_iter().collect(),
                validate_only: check,
                ..Default::default()
            };
            (client, request)
        }
        ConfigAction::Clear { keys, client } => {
            let request = proto::UpdateConfigRequest {
                clear: keys,
                ..Default::default()
            };
            (client, request)
        }
    };
    let answer = arguments.client()?.update_config(request).await;
    print(&arguments, answer.map(|answer| answer.values))
}

async fn get(client: &Client, keys: Vec<String>) -> Result<Vec<ConfigValue>, Status> {
    let request = proto::GetConfigRequest { keys };
    Ok(client.get_config(request).await?.values)
}

fn print(
    arguments: &ClientArgs,
    values: Result<Vec<ConfigValue>, Status>,
) -> Result<ExitCode, Failure> {
    for value in values.map_err(|status| failed(arguments, &status))? {
        if arguments.json {
            output::json("ConfigValue", &value)?;
        } else {
            output::line(&line(&value))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// As it would stand in a file, with a word on where it comes from.
fn line(value: &ConfigValue) -> String {
    let note = match (value.updated, value.updatable) {
        (true, _) => "  # set while the server ran",
        (false, true) => "",
        (false, false) => "  # fixed while the server runs",
    };
    format!("{} = {}{note}", value.key, value.value_toml)
}

/// Who listens.
pub(crate) async fn channels(arguments: ChannelsArgs) -> Result<ExitCode, Failure> {
    let ChannelsArgs {
        session,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let mut rows = Vec::new();
    let mut channels = client.all_channels(proto::ListChannelsRequest {
        session_key: session,
        page_size: PAGE,
        ..Default::default()
    });
    while let Some(channel) = channels.next().await {
        let channel = channel.map_err(|status| failed(&arguments, &status))?;
        if arguments.json {
            output::json("Channel", &channel)?;
        } else {
            rows.push([
                channel.principal,
                channel.method,
                channel.session_key,
                channel.peer_address,
                channel.user_agent,
            ]);
        }
    }
    if !arguments.json {
        let names = ["PRINCIPAL", "METHOD", "SESSION", "ADDRESS", "PROGRAM"];
        output::list(names, rows, "nobody is connected and listens")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells every listener to read again.
pub(crate) async fn reload(arguments: ReloadArgs) -> Result<ExitCode, Failure> {
    let ReloadArgs {
        session,
        reason,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    if let Some(session_key) = session {
        let request = proto::ReloadSessionRequest {
            session_key,
            ..Default::default()
        };
        let told = client.reload_session(request).await;
        let told = told.map_err(|status| failed(&arguments, &status))?;
        if arguments.json {
            output::json("ReloadSessionResponse", &told)?;
        } else if told.was_awake {
            output::line("the agent begins afresh")?;
        } else {
            output::line("no agent was awake; the next turn begins with a fresh one")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let told = client
        .broadcast_reload(proto::BroadcastReloadRequest { reason })
        .await;
    let told = told.map_err(|status| failed(&arguments, &status))?;
    if arguments.json {
        output::json("BroadcastReloadResponse", &told)?;
    } else {
        output::line(&format!(
            "told {} open streams; {} awake agents begin afresh",
            told.channels, told.agents
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(arguments: &ClientArgs, status: &Status) -> Failure {
    Failure::call(&arguments.addr, status)
}
