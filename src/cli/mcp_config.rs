//! `mcp --print-config`: what makes a known MCP client start `quarterdeck mcp`.

use super::{
    arguments::{ClientArgs, McpClient},
    failure::Failure,
    output,
};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// What the clients call the server.
const NAME: &str = "quarterdeck";

/// How the command is started.
struct Command {
    program: String,
    arguments: Vec<String>,
    /// Never the key itself.
    environment: Vec<(&'static str, String)>,
}

pub(crate) fn print(
    of: McpClient,
    namespace: &str,
    session: &str,
    client: &ClientArgs,
) -> Result<ExitCode, Failure> {
    let command = Command::new(namespace, session, client)?;
    output::write(&snippet(of, &command))?;
    output::notice(&format!("belongs into {}", place(of)));
    if client.key_file.is_none() {
        output::notice(
            "the key is that of this machine's own server, or QUARTERDECK_KEY of the environment that the client is \
             started with; --key-file FILE names one instead",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the client looks for it.
fn place(of: McpClient) -> &'static str {
    match of {
        McpClient::ClaudeCode => ".mcp.json of the project",
        McpClient::ClaudeDesktop => "claude_desktop_config.json (Settings, Developer, Edit Config)",
        McpClient::Codex => "~/.codex/config.toml",
        McpClient::Cursor => ".cursor/mcp.json of the project, or ~/.cursor/mcp.json",
        McpClient::Gemini => ".gemini/settings.json of the project, or ~/.gemini/settings.json",
        McpClient::Opencode => "opencode.json of the project",
        McpClient::Vscode => ".vscode/mcp.json of the project",
        McpClient::Windsurf => "~/.codeium/windsurf/mcp_config.json",
        McpClient::Zed => "settings.json of Zed",
    }
}

fn snippet(of: McpClient, command: &Command) -> String {
    let plain = || {
        json!({
            "command": command.program,
            "args": command.arguments,
            "env": command.variables(),
        })
    };
    let whole = match of {
        McpClient::ClaudeCode
        | McpClient::ClaudeDesktop
        | McpClient::Cursor
        | McpClient::Gemini
        | McpClient::Windsurf => json!({"mcpServers": {NAME: plain()}}),
        McpClient::Zed => json!({"context_servers": {NAME: plain()}}),
        McpClient::Vscode => {
            let mut server = plain();
            server["type"] = "stdio".into();
            json!({"servers": {NAME: server}})
        }
        McpClient::Opencode => {
            let line: Vec<_> = [&command.program]
                .into_iter()
                .chain(&command.arguments)
                .collect();
            json!({"mcp": {NAME: {
                "type": "local",
                "command": line,
                "environment": command.variables(),
                "enabled": true,
            }}})
        }
        McpClient::Codex => return toml_snippet(command),
    };
    format!("{whole:#}\n")
}

fn toml_snippet(command: &Command) -> String {
    let mut server = toml::Table::new();
    server.insert("command".into(), command.program.clone().into());
    server.insert("args".into(), command.arguments.clone().into());
    let variables = command.environment.iter();
    let variables: toml::Table = variables
        .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
        .collect();
    server.insert("env".into(), variables.into());
    let servers = toml::Table::from_iter([(NAME.to_owned(), toml::Value::from(server))]);
    let whole = toml::Table::from_iter([("mcp_servers".to_owned(), toml::Value::from(servers))]);
    whole.to_string()
}

// === impl Command ===

impl Command {
    fn new(namespace: &str, session: &str, client: &ClientArgs) -> Result<Self, Failure> {
        let program = std::env::current_exe()?.display().to_string();
        let mut arguments = vec!["mcp".to_owned()];
        for (flag, value) in [("--namespace", namespace), ("--session", session)] {
            if !value.is_empty() {
                arguments.extend([flag.to_owned(), value.to_owned()]);
            }
        }
        let mut environment = vec![("QUARTERDECK_ADDR", client.addr.clone())];
        let files = [
            ("QUARTERDECK_KEY_FILE", &client.key_file),
            ("QUARTERDECK_CA", &client.ca),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                // A client starts its servers in whatever directory.
                let file = std::path::absolute(file)?;
                environment.push((name, file.display().to_string()));
            }
        }
        Ok(Self {
            program,
            arguments,
            environment,
        })
    }

    fn variables(&self) -> Map<String, Value> {
        let variables = self.environment.iter();
        variables
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    fn command() -> Command {
        Command {
            program: "/usr/bin/quarterdeck".into(),
            arguments: vec!["mcp".into(), "--namespace".into(), "a \"b\"".into()],
            environment: vec![("QUARTERDECK_ADDR", "http://127.0.0.1:7777".into())],
        }
    }

    /// Whatever a client reads it as, it starts the command with its arguments and its server.
    #[test]
    fn every_client_starts_the_same_command() {
        for of in McpClient::value_variants() {
            let text = snippet(*of, &command());
            let read: Value = match of {
                McpClient::Codex => toml::from_str(&text).expect("TOML"),
                _ => serde_json::from_str(&text).expect("JSON"),
            };
            let server = [
                "mcpServers",
                "servers",
                "context_servers",
                "mcp",
                "mcp_servers",
            ]
            .iter()
            .find_map(|it| read[it].get(NAME))
            .expect("the server by its name");
            let line = match &server["command"] {
                Value::Array(line) => line.clone(),
                program => [
                    vec![program.clone()],
                    server["args"].as_array().cloned().unwrap_or_default(),
                ]
                .concat(),
            };
            let wanted = ["/usr/bin/quarterdeck", "mcp", "--namespace", "a \"b\""];
            assert_eq!(line, wanted.map(Value::from), "{of:?}");
            let variables = server.get("env").or_else(|| server.get("environment"));
            assert_eq!(
                variables.expect("variables")["QUARTERDECK_ADDR"],
                "http://127.0.0.1:7777"
            );
        }
    }
}
