//! `mcp`: memory as tools, over standard input and output.

use super::{
    arguments::{McpArgs, PATIENCE},
    failure::{DATA, Failure, NO_INPUT, NO_PERMISSION, UNAVAILABLE},
    mcp_config,
};
use quarterdeck::{
    client::{Client, ClientOptions, ClientTls},
    mcp::stdio::{self, Reach, StdioError},
};
use secrecy::SecretString;
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

/// Longest credential file, in bytes; it describes tools as well.
const CREDENTIAL_FILE_MAX_BYTES: u64 = 256 * 1024;

/// What such a file says, besides the tools.
#[derive(Deserialize)]
struct Credential {
    address: String,
    token: String,
}

pub(crate) async fn mcp(arguments: McpArgs) -> Result<ExitCode, Failure> {
    let McpArgs {
        namespace,
        session,
        credential_file,
        print_config,
        client,
    } = arguments;
    let is_agent = credential_file.is_some();
    if let Some(of) = print_config {
        return mcp_config::print(of, &namespace, &session, &client);
    }
    let client = match credential_file {
        Some(file) => agents_client(&file)?,
        None => client.client()?,
    };
    let reach = Reach {
        namespace,
        session_key: session,
        is_agent,
    };
    match stdio::serve(client, &reach).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let code = match error {
                StdioError::Refused(_) => NO_PERMISSION,
                StdioError::Away(_) => UNAVAILABLE,
                StdioError::Protocol(_) => DATA,
            };
            Err(Failure::new(code, error.to_string()))
        }
    }
}

/// The way of an agent to its gateway.
fn agents_client(file: &Path) -> Result<Client, Failure> {
    let read = || {
        let mut text = Vec::new();
        File::open(file)?
            .take(CREDENTIAL_FILE_MAX_BYTES)
            .read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::from)
    };
    let Credential { address, token } = read().map_err(|error| {
        let problem = format!("can't read a credential from {}: {error}", file.display());
        Failure::new(NO_INPUT, problem)
    })?;
    Ok(Client::new(ClientOptions {
        address,
        tls: ClientTls::default(),
        key: Some(SecretString::from(token)),
        key_over_plaintext: true,
        patience: PATIENCE,
        deadline: None,
    })?)
}
