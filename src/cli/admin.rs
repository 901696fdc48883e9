//! `server`, `config`, `channels`, `reload`: the server itself.

use super::{
    arguments::{ChannelsArgs, ClientArgs, ConfigAction, ConfigKeysArgs, ReloadArgs},
    failure::Failure,
    output::{self, table},
};
use quarterdeck::{
    client::Client,
    proto::{self, AccountLimits, ConfigValue},
};
use std::process::ExitCode;
use tonic::Status;

/// Streams that one call asks for.
const PAGE: i32 = 500;

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
        let can = [(agent.can_steer, "steer"), (agent.can_fork, "fork")];
        let can: Vec<&str> = can
            .into_iter()
            .filter_map(|(can, what)| can.then_some(what))
            .collect();
        rows.push([
            format!("agent {}", agent.name),
            match agent.isolation.as_str() {
                "" => format!("{}; can {}", agent.driver, can.join(", ")),
                rung => format!(
                    "{}; can {}; isolation {rung}, user id {}, network {}",
                    agent.driver,
                    can.join(", "),
                    agent.user,
                    agent.network
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
        let longest = std::time::Duration::try_from(longest).unwrap_or_default();
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
    let mut page_token = String::new();
    loop {
        let request = proto::ListChannelsRequest {
            session_key: session.clone(),
            page_size: PAGE,
            page_token,
        };
        let page = client.list_channels(request).await;
        let page = page.map_err(|status| failed(&arguments, &status))?;
        for channel in page.channels {
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
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
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
        reason,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
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
