//! How an agent's conversation is found again: the agent's own id of it, in a file of the session's directory, which the agent
//! itself does not see.

use crate::beneath::{Directory, blocking};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// A conversation that an agent keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    /// The agent's id of it.
    pub(super) session_id: String,
    /// Its cost so far that was counted, in millionths of a US dollar.
    pub(super) cost_micros: i64,
    /// What the agent began with, of all that was chosen since.
    pub(super) defaults: BTreeMap<String, String>,
}

/// Where a generation's conversation is written down.
#[derive(Clone, Debug)]
pub(super) struct ConversationFile {
    place: PathBuf,
    name: String,
}

// === impl ConversationFile ===

impl ConversationFile {
    /// The file of a generation in the session's directory.
    pub(super) fn of(session_directory: &Path, generation: Uuid) -> Self {
        Self {
            place: session_directory.to_owned(),
            name: format!("{generation}.acp.json"),
        }
    }

    /// What was written down; `None` where nothing was, or nothing that can be read.
    ///
    /// # Errors
    /// What the system says, and what somebody put in the file's place.
    pub(super) async fn read(&self) -> io::Result<Option<Conversation>> {
        let Self { place, name } = self.clone();
        blocking(move || {
            let text = match Directory::open(&place)?.read(Path::new(&name), FILE_MAX_BYTES) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let said: Value = serde_json::from_slice(&text).unwrap_or_default();
            Ok(said["session_id"].as_str().map(|id| Conversation {
                session_id: id.to_owned(),
                cost_micros: said["cost_micros"].as_i64().unwrap_or_default(),
                defaults: serde_json::from_value(said["defaults"].clone()).unwrap_or_default(),
            }))
        })
        .await
    }

    /// Writes it down.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn write(&self, conversation: Conversation) -> io::Result<()> {
        let Self { place, name } = self.clone();
        let Conversation {
            session_id,
            cost_micros,
            defaults,
        } = conversation;
        let text =
            json!({ "session_id": session_id, "cost_micros": cost_micros, "defaults": defaults });
        let text = text.to_string();
        blocking(move || Directory::open(&place)?.write(Path::new(&name), text.as_bytes())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_again_and_a_link_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let file = ConversationFile::of(place.path(), Uuid::nil());
        assert_eq!(file.read().await.unwrap(), None);
        let conversation = Conversation {
            session_id: "ses_1".into(),
            cost_micros: 12,
            defaults: [("model".into(), "a".into())].into(),
        };
        file.write(conversation.clone()).await.unwrap();
        assert_eq!(file.read().await.unwrap(), Some(conversation));
        let path = place.path().join(&file.name);
        std::fs::write(&path, "no json").unwrap();
        assert_eq!(file.read().await.unwrap(), None);
        let other = place.path().join("other");
        std::fs::rename(&path, &other).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(file.read().await.is_err());
    }
}
