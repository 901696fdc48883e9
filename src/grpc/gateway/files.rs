//! Files of the directory that a session works in: listed and read.

use super::{Call, off_thread};
use crate::{
    domain::refusal::Refusal,
    proto,
    session::{
        snapshots::{Diff, FileDiff},
        workspace::{Entry, PATH_MAX_BYTES, READ_MAX_BYTES},
    },
    wire::{
        encode,
        frames::{self, Position},
        parse::Fields,
    },
};
use std::path::PathBuf;

/// Bytes of one read where its caller names none.
const READ_DEFAULT_BYTES: u64 = 64 * 1024;

// === impl Call ===

impl Call<'_> {
    pub(super) async fn list_files(
        &self,
        request: proto::ListFilesRequest,
    ) -> Result<proto::ListFilesResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.text("path", &request.path, PATH_MAX_BYTES);
        let limit = fields.page_size(request.page_size);
        let query = format!("files {} {:?}", request.session_key, request.path);
        let list = self.pages.list(&self.identity, &query);
        let position = list.position(&mut fields, &request.page_token);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        self.workspaces.require(&session)?;
        let workspaces = self.workspaces.clone();
        let path = PathBuf::from(request.path);
        let (entries, truncated) = off_thread(move || workspaces.list(&session, &path)).await??;
        let begin = position.map_or(0, |[begin]| usize::try_from(begin).unwrap_or(0));
        let end = begin.saturating_add(limit).min(entries.len());
        let next = (end < entries.len()).then(|| [i64::try_from(end).unwrap_or(i64::MAX)]);
        let page = entries.into_iter().skip(begin).take(limit);
        Ok(proto::ListFilesResponse {
            entries: page.map(entry).collect(),
            next_page_token: list.token(next),
            truncated,
        })
    }

    pub(super) async fn read_file(
        &self,
        request: proto::ReadFileRequest,
    ) -> Result<proto::ReadFileResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.text("path", &request.path, PATH_MAX_BYTES);
        let mut count = |field: &str, number: i64| {
            u64::try_from(number).unwrap_or_else(|_| {
                fields.wrong(field, "must not be negative");
                0
            })
        };
        let offset = count("offset", request.offset);
        let limit = match count("limit", request.limit) {
            0 => READ_DEFAULT_BYTES,
            limit => limit.min(READ_MAX_BYTES),
        };
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        self.workspaces.require(&session)?;
        let workspaces = self.workspaces.clone();
        let path = PathBuf::from(request.path);
        let read = move || workspaces.read(&session, &path, (offset, limit));
        let (data, size) = off_thread(read).await??;
        Ok(proto::ReadFileResponse {
            data,
            size: i64::try_from(size).unwrap_or(i64::MAX),
        })
    }

    pub(super) async fn get_diff(
        &self,
        request: proto::GetDiffRequest,
    ) -> Result<proto::GetDiffResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let turn_id = fields.turn_id("turn_id", &request.turn_id);
        let (key, turn_id) = fields.finish(key.zip(turn_id))?;
        let session = self.session(&key).await?;
        let workspaces = self.workspaces.clone();
        let diff = move || workspaces.diff(&session, turn_id);
        let Diff { files, truncated } = off_thread(diff).await??;
        Ok(proto::GetDiffResponse {
            files: files.into_iter().map(file_diff).collect(),
            truncated,
        })
    }

    pub(super) async fn list_artifacts(
        &self,
        request: proto::ListArtifactsRequest,
    ) -> Result<proto::ListArtifactsResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let limit = fields.page_size(request.page_size);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        let query = format!("artifacts {} {}", key.as_str(), session.generation);
        let list = self.pages.list(&self.identity, &query);
        let mut fields = Fields::default();
        let after = list.position(&mut fields, &request.page_token);
        fields.check()?;
        let after = after.map_or(0, |[after]| after);
        let found = self
            .store
            .artifacts(session.row, session.generation, after, limit + 1);
        let mut found = found.await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|(seq, _)| [*seq]);
        let artifacts = found.into_iter().map(|(seq, body)| {
            let position = Position::Seq(seq);
            frames::message(&session.key, session.log_id, position, &body).map(artifact)
        });
        let artifacts = artifacts.collect::<Result<Vec<_>, _>>();
        Ok(proto::ListArtifactsResponse {
            artifacts: artifacts.map_err(|problem| crate::grpc::status::bug(&problem))?,
            next_page_token: list.token(last.filter(|_| more)),
        })
    }
}

/// What the event of an artifact says.
fn artifact(event: proto::GatewayEvent) -> proto::Artifact {
    let created = match event.kind {
        Some(proto::gateway_event::Kind::ArtifactCreated(created)) => created,
        _ => proto::ArtifactCreated::default(),
    };
    proto::Artifact {
        attachment: created.attachment,
        title: created.title,
        turn_id: event.turn_id,
        seq: event.seq,
        create_time: event.event_time,
    }
}

fn file_diff(diff: FileDiff) -> proto::FileDiff {
    let FileDiff {
        path,
        change,
        unified_diff,
    } = diff;
    proto::FileDiff {
        path,
        change: change as i32,
        omitted: unified_diff.is_none(),
        unified_diff: unified_diff.unwrap_or_default(),
    }
}

fn entry(entry: Entry) -> proto::FileEntry {
    let Entry {
        name,
        kind,
        size,
        update_time,
    } = entry;
    proto::FileEntry {
        name,
        kind: kind as i32,
        size,
        update_time: Some(encode::timestamp(update_time)),
    }
}
