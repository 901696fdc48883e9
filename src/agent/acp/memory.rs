//! The gateway's memory tools for an agent: an MCP server that the agent starts itself, our own program, which finds what to call
//! the gateway with in a file that only this agent can read.

use crate::{
    auth::agents::AgentCredential,
    beneath::{Directory, blocking},
};
use serde_json::{Value, json};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What agents call the server.
const SERVER_NAME: &str = "quarterdeck";
const CREDENTIAL_NAME: &str = "credential.json";

/// Lays out what the server calls the gateway with; an earlier process's goes. Returns the server, where there is one.
///
/// # Errors
/// What the system says, and that a path is no text.
pub(super) async fn server(
    gateway_directory: &Path,
    program: &Path,
    credential: Option<&AgentCredential>,
) -> io::Result<Option<Value>> {
    let directory = gateway_directory.to_owned();
    let given = credential.cloned();
    blocking(move || {
        let directory = Directory::open(&directory)?;
        match given {
            Some(credential) => directory.write(CREDENTIAL_NAME.as_ref(), credential.file()),
            None => directory.remove_file(CREDENTIAL_NAME.as_ref()),
        }
    })
    .await?;
    if credential.is_none() {
        return Ok(None);
    }
    let file = text(gateway_directory.join(CREDENTIAL_NAME))?;
    let program = text(program.to_owned())?;
    Ok(Some(json!({
        "name": SERVER_NAME,
        "command": program,
        "args": ["mcp", "--credential-file", file],
        "env": [],
    })))
}

fn text(path: PathBuf) -> io::Result<String> {
    let lossy = || io::Error::new(io::ErrorKind::InvalidInput, "a path is not UTF-8");
    path.into_os_string().into_string().map_err(|_| lossy())
}
