//! `mcp`: memory as tools, over standard input and output.

use super::{
    arguments::McpArgs,
    failure::{DATA, Failure, NO_PERMISSION, UNAVAILABLE},
};
use quarterdeck::mcp::stdio::{self, Reach, StdioError};
use std::process::ExitCode;

pub(crate) async fn mcp(arguments: McpArgs) -> Result<ExitCode, Failure> {
    let McpArgs {
        namespace,
        session,
        client,
    } = arguments;
    let reach = Reach {
        namespace,
        session_key: session,
    };
    match stdio::serve(client.client()?, &reach).await {
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
