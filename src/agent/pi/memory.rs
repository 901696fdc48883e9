//! How memory reaches pi: an extension of our own, and one file that it takes when a prompt comes.
//!
//! The context stands in no message that pi stores: the prompt stays what the user said, and the next turn gets a
//! context of its own. pi keeps extensions that are named on the command line even with `--no-extensions`.

use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::fs;

/// Names the file for the extension.
pub(super) const VARIABLE: &str = "QUARTERDECK_MEMORY_FILE";

const EXTENSION: &str = include_str!("memory.js");
const EXTENSION_NAME: &str = "quarterdeck-memory.js";
const FILE_NAME: &str = "quarterdeck-memory.txt";

/// Where one session's pi looks for its memory.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// The extension.
    pub(super) extension: PathBuf,
    /// The context of the coming turn; gone once pi has it.
    pub(super) file: PathBuf,
}

// === impl Memory ===

impl Memory {
    /// Names both files of a session's own directory.
    pub(super) fn of(session_directory: &Path) -> Self {
        Self {
            extension: session_directory.join(EXTENSION_NAME),
            file: session_directory.join(FILE_NAME),
        }
    }

    /// Writes the extension, anew with each start: another version of it may have been there.
    pub(super) async fn install(&self) -> io::Result<()> {
        fs::write(&self.extension, EXTENSION).await
    }

    /// Lays out the context of the coming turn. A failure costs the turn its memory and nothing else.
    pub(super) async fn give(&self, context: &str) {
        // An earlier turn's is never taken for this one's.
        let cleared = match fs::remove_file(&self.file).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let given = match cleared {
            Ok(()) if context.is_empty() => Ok(()),
            Ok(()) => fs::write(&self.file, context).await,
            Err(error) => Err(error),
        };
        if let Err(error) = given {
            let file = self.file.display();
            tracing::warn!(%error, %file, "pi's memory can't be laid out; the turn runs without it");
        }
    }
}
