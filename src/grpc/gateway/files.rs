//! Files of the directory that a session works in: listed and read.

use super::{Call, off_thread};
use crate::{
    domain::refusal::Refusal,
    proto,
    session::workspace::{Entry, PATH_MAX_BYTES, READ_MAX_BYTES},
    wire::{encode, parse::Fields},
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
