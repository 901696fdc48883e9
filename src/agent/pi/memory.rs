//! How memory reaches pi: an extension of our own, and one file that it takes when a prompt comes.
//!
//! The context stands in no message that pi stores: the prompt stays what the user said, and the next turn gets a
//! context of its own. pi keeps extensions that are named on the command line even with `--no-extensions`.
//!
//! The same extension gives the model the gateway's memory tools, which it calls with a credential of this one process.
//!
//! All files stand where the server writes and the agent only reads.

use crate::{
    auth::agents::AgentCredential,
    beneath::{Directory, blocking},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Names the file for the extension.
pub(super) const VARIABLE: &str = "QUARTERDECK_MEMORY_FILE";

/// Names the file with what the extension calls the gateway with.
pub(super) const CREDENTIAL_VARIABLE: &str = "QUARTERDECK_CREDENTIAL_FILE";

const EXTENSION: &str = include_str!("memory.js");
const EXTENSION_NAME: &str = "quarterdeck-memory.js";
const FILE_NAME: &str = "quarterdeck-memory.txt";
const CREDENTIAL_NAME: &str = "credential.json";

/// Where one session's pi looks for its memory.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// The session's own.
    directory: PathBuf,
    /// The extension.
    pub(super) extension: PathBuf,
    /// The context of the running turn.
    pub(super) file: PathBuf,
    /// What the memory tools call the gateway with, in a file that nobody else can read.
    pub(super) credential: PathBuf,
}

// === impl Memory ===

impl Memory {
    /// Names both files of a session's own directory.
    pub(super) fn of(gateway_directory: &Path) -> Self {
        Self {
            directory: gateway_directory.to_owned(),
            extension: gateway_directory.join(EXTENSION_NAME),
            file: gateway_directory.join(FILE_NAME),
            credential: gateway_directory.join(CREDENTIAL_NAME),
        }
    }

    /// Writes the extension, anew with each start: another version of it may have been there. An earlier process's
    /// credential goes, and is replaced where there is a new one.
    pub(super) async fn install(&self, credential: Option<&AgentCredential>) -> io::Result<()> {
        let directory = self.directory.clone();
        let credential = credential.cloned();
        blocking(move || {
            let directory = Directory::open(&directory)?;
            directory.write(EXTENSION_NAME.as_ref(), EXTENSION.as_bytes())?;
            match credential {
                Some(credential) => directory.write(CREDENTIAL_NAME.as_ref(), credential.file()),
                None => directory.remove_file(CREDENTIAL_NAME.as_ref()),
            }
        })
        .await
    }

    /// Lays out the context of the coming turn. A failure costs the turn its memory and nothing else.
    pub(super) async fn give(&self, context: &str) {
        let (directory, context) = (self.directory.clone(), context.to_owned());
        let given = blocking(move || {
            let directory = Directory::open(&directory)?;
            let file = Path::new(FILE_NAME);
            // An earlier turn's is never taken for this one's.
            directory.remove_file(file)?;
            if context.is_empty() {
                Ok(())
            } else {
                directory.write(file, context.as_bytes())
            }
        });
        if let Err(error) = given.await {
            let file = self.file.display();
            tracing::warn!(%error, %file, "pi's memory can't be laid out; the turn runs without it");
        }
    }

    /// Takes the context of a turn that is over away, where pi could not.
    pub(super) async fn clear(&self) {
        let directory = self.directory.clone();
        let cleared =
            blocking(move || Directory::open(&directory)?.remove_file(FILE_NAME.as_ref()));
        // The next turn clears it as well.
        if let Err(error) = cleared.await {
            let file = self.file.display();
            tracing::warn!(%error, %file, "pi's memory of a turn that is over can't be removed");
        }
    }
}
