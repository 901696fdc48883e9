//! `files`: what a session's agent works with.

use super::{
    arguments::{FilesArgs, FilesVerb, ListFilesArgs, ReadFileArgs},
    failure::Failure,
    output,
};
use quarterdeck::proto::{self, FileKind};
use std::process::ExitCode;

/// Entries that one call asks for.
const PAGE: i32 = 1000;
/// Bytes that one call asks for.
const READ_BYTES: i64 = 512 * 1024;

pub(crate) async fn files(arguments: FilesArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        FilesVerb::List(arguments) => list(arguments).await,
        FilesVerb::Read(arguments) => read(arguments).await,
    }
}

async fn list(arguments: ListFilesArgs) -> Result<ExitCode, Failure> {
    let ListFilesArgs {
        session,
        path,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let mut rows = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListFilesRequest {
            session_key: session.clone(),
            path: path.clone(),
            page_size: PAGE,
            page_token,
        };
        let page = client.list_files(request).await;
        let page = page.map_err(|status| Failure::call(&arguments.addr, &status))?;
        for entry in page.entries {
            if arguments.json {
                output::json("FileEntry", &entry)?;
                continue;
            }
            let (kind, size) = match entry.kind() {
                FileKind::File => ("file", entry.size.to_string()),
                FileKind::Directory => ("directory", String::new()),
                FileKind::Other | FileKind::Unspecified => ("other", String::new()),
            };
            rows.push([
                kind.into(),
                size,
                output::date(entry.update_time),
                entry.name,
            ]);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            if page.truncated {
                output::notice("there are more entries, which the server does not list");
            }
            break;
        }
    }
    if !arguments.json {
        let names = ["KIND", "BYTES", "CHANGED", "NAME"];
        output::list(names, rows, "nothing stands there")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(arguments: ReadFileArgs) -> Result<ExitCode, Failure> {
    let ReadFileArgs {
        session,
        path,
        mut offset,
        limit,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let mut left = limit.unwrap_or(i64::MAX);
    while left > 0 {
        let request = proto::ReadFileRequest {
            session_key: session.clone(),
            path: path.clone(),
            offset,
            limit: left.min(READ_BYTES),
        };
        let part = client.read_file(request).await;
        let part = part.map_err(|status| Failure::call(&arguments.addr, &status))?;
        if arguments.json {
            output::json("ReadFileResponse", &part)?;
        } else {
            output::content(&part.data)?;
        }
        let bytes = i64::try_from(part.data.len()).unwrap_or(i64::MAX);
        left -= bytes;
        offset = offset.saturating_add(bytes);
        if bytes == 0 || offset >= part.size {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}
