//! `files` and `artifacts`: what a session's agent works with, and what it made.

use super::{
    arguments::{
        ArtifactsArgs, ArtifactsVerb, DiffArgs, FilesArgs, FilesVerb, ListArtifactsArgs,
        ListFilesArgs, ReadArtifactArgs, ReadFileArgs,
    },
    failure::Failure,
    output,
};
use quarterdeck::proto::{self, FileChange, FileKind};
use std::process::ExitCode;

/// Entries that one call asks for.
const PAGE: i32 = 1000;
/// Bytes that one call asks for.
const READ_BYTES: i64 = 512 * 1024;

pub(crate) async fn files(arguments: FilesArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        FilesVerb::List(arguments) => list(arguments).await,
        FilesVerb::Read(arguments) => read(arguments).await,
        FilesVerb::Diff(arguments) => diff(arguments).await,
    }
}

pub(crate) async fn artifacts(arguments: ArtifactsArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        ArtifactsVerb::List(arguments) => list_artifacts(arguments).await,
        ArtifactsVerb::Read(arguments) => read_artifact(arguments).await,
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

async fn diff(arguments: DiffArgs) -> Result<ExitCode, Failure> {
    let DiffArgs {
        session: session_key,
        turn: turn_id,
        client: arguments,
    } = arguments;
    let request = proto::GetDiffRequest {
        session_key,
        turn_id,
    };
    let diff = arguments.client()?.get_diff(request).await;
    let diff = diff.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("GetDiffResponse", &diff)?;
        return Ok(ExitCode::SUCCESS);
    }
    for file in &diff.files {
        let (before, after) = match file.change() {
            FileChange::Added => ("/dev/null", file.path.as_str()),
            FileChange::Removed => (file.path.as_str(), "/dev/null"),
            FileChange::Modified | FileChange::Unspecified => {
                (file.path.as_str(), file.path.as_str())
            }
        };
        if file.omitted {
            output::line(&format!("Files {before} and {after} differ"))?;
        } else {
            output::line(&format!("--- {before}"))?;
            output::line(&format!("+++ {after}"))?;
            for line in file.unified_diff.lines() {
                output::line(line)?;
            }
        }
    }
    if diff.files.is_empty() {
        output::notice("it changed no file");
    }
    if diff.truncated {
        output::notice("there may be more changes, which the server does not look at");
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_artifacts(arguments: ListArtifactsArgs) -> Result<ExitCode, Failure> {
    let ListArtifactsArgs {
        session,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let mut rows = Vec::new();
    let mut artifacts = client.all_artifacts(proto::ListArtifactsRequest {
        session_key: session,
        page_size: PAGE,
        ..Default::default()
    });
    while let Some(artifact) = artifacts.next().await {
        let artifact = artifact.map_err(|status| Failure::call(&arguments.addr, &status))?;
        if arguments.json {
            output::json("Artifact", &artifact)?;
            continue;
        }
        let attachment = artifact.attachment.unwrap_or_default();
        rows.push([
            attachment.attachment_id,
            attachment.size.to_string(),
            attachment.media_type,
            output::date(artifact.create_time),
            artifact.title,
        ]);
    }
    if !arguments.json {
        let names = ["ID", "BYTES", "TYPE", "MADE", "TITLE"];
        output::list(names, rows, "the agent made nothing")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn read_artifact(arguments: ReadArtifactArgs) -> Result<ExitCode, Failure> {
    let ReadArtifactArgs {
        session: session_key,
        artifact: attachment_id,
        client: arguments,
    } = arguments;
    let request = proto::GetAttachmentRequest {
        session_key,
        attachment_id,
    };
    let answer = arguments.client()?.get_attachment(request).await;
    let answer = answer.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("GetAttachmentResponse", &answer)?;
    } else {
        output::content(&answer.attachment.unwrap_or_default().data)?;
    }
    Ok(ExitCode::SUCCESS)
}
