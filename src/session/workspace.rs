//! What stands in the directory that a session works in, for callers who may read it there.
//!
//! An agent writes to it meanwhile, so it is opened as the room `beneath` says: a link leads nowhere, a device is not opened,
//! and what is read is a regular file of one name. Nothing is run. Every call may block on the disk.

use super::handle::{CwdRoots, Directories};
use crate::{
    beneath::{self, Directory, Listed},
    domain::{
        agent::{Capability, KnownAgent},
        ids::Time,
        refusal::Refusal,
        session::Session,
    },
};
use rustix::fs::{FileType, Stat};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Entries of a directory that are looked at.
pub const ENTRIES_MAX: usize = 10_000;
/// Bytes of one read.
pub const READ_MAX_BYTES: u64 = 512 * 1024;
/// Longest path, in bytes.
pub const PATH_MAX_BYTES: usize = 4096;

/// Where sessions work.
#[derive(Clone)]
pub struct Workspaces {
    /// Where those work that name no directory.
    pub directories: Directories,
    /// Where the others may.
    pub cwd_roots: Arc<CwdRoots>,
    /// What is known of each agent, by name.
    pub known_agents: Arc<BTreeMap<String, KnownAgent>>,
}

/// What something in a directory is. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file that can be read.
    File = 1,
    /// A directory.
    Directory = 2,
    /// What is not read.
    Other = 3,
}

/// What stands in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Bytes of a file.
    pub size: i64,
    /// Its last change.
    pub update_time: Time,
}

// === impl Workspaces ===

impl Workspaces {
    /// Refuses a session whose agent shows no files.
    ///
    /// # Errors
    /// `UNSUPPORTED_BY_AGENT`.
    pub fn require(&self, session: &Session) -> Result<(), Refusal> {
        let agent = session.agent.as_str();
        match self.known_agents.get(agent) {
            Some(known) => known.require(agent, Capability::Workspace),
            None => Err(Refusal::UnsupportedByAgent {
                agent: agent.to_owned(),
                what: Capability::Workspace.what(),
            }),
        }
    }

    /// What a directory holds, by name, and whether there is more than that.
    ///
    /// # Errors
    /// `INVALID_FIELD`: it is not there.
    pub fn list(&self, session: &Session, path: &Path) -> Result<(Vec<Entry>, bool), Refusal> {
        let directory = match self.directory(session) {
            Ok(directory) => directory,
            // No turn has made it yet.
            Err(error) if is_missing(&error) && session.cwd.is_empty() => {
                return Ok((Vec::new(), false));
            }
            Err(error) => return Err(not_read(&error)),
        };
        let listed = if path.as_os_str().is_empty() {
            directory.list(ENTRIES_MAX)
        } else {
            (directory.at(path)).and_then(|directory| directory.list(ENTRIES_MAX))
        };
        let Listed { entries, more } = listed.map_err(|error| not_read(&error))?;
        let mut entries: Vec<Entry> = (entries.into_iter())
            .map(|(name, found)| match name.to_str() {
                Some(name) => Entry::of(name.to_owned(), &found),
                None => Entry {
                    kind: FileKind::Other,
                    size: 0,
                    ..Entry::of(name.to_string_lossy().into_owned(), &found)
                },
            })
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((entries, more))
    }

    /// A part of a file, and the size of all of it.
    ///
    /// # Errors
    /// `INVALID_FIELD`: it is not there, or nothing that is read.
    pub fn read(
        &self,
        session: &Session,
        path: &Path,
        (offset, max_bytes): (u64, u64),
    ) -> Result<(Vec<u8>, u64), Refusal> {
        let read = self
            .directory(session)
            .and_then(|directory| directory.part(path, offset, max_bytes.min(READ_MAX_BYTES)));
        read.map_err(|error| not_read(&error))
    }

    /// The directory that a session works in.
    pub(super) fn directory(&self, session: &Session) -> io::Result<Directory> {
        if session.cwd.is_empty() {
            return self.directories.open_work(session.uid);
        }
        // Opened from the operator's directory on: an agent may have put a link at a name below.
        let cwd = Path::new(&session.cwd);
        let roots = self.cwd_roots.0.get(&session.agent);
        let root: Option<&PathBuf> = roots
            .into_iter()
            .flatten()
            .find(|root| cwd.starts_with(root));
        let root = root.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let directory = Directory::open(root)?;
        match cwd.strip_prefix(root) {
            Ok(below) if !below.as_os_str().is_empty() => directory.at(below),
            Ok(_) | Err(_) => Ok(directory),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Why there is nothing to read. What the system says names paths of this machine, so it is not repeated.
fn not_read(error: &io::Error) -> Refusal {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => "nothing stands there",
        io::ErrorKind::NotADirectory => {
            "something on the way is no directory; symbolic links are not followed"
        }
        io::ErrorKind::IsADirectory => "is a directory: list it",
        io::ErrorKind::InvalidInput => {
            "must be names with `/` between them, beneath the session's directory"
        }
        io::ErrorKind::InvalidData => {
            "is no regular file of one name: links, devices and files with other names are not read"
        }
        io::ErrorKind::PermissionDenied => "the server may not read it",
        _ => "can't be read",
    };
    Refusal::field("path", problem)
}

// === impl Entry ===

impl Entry {
    fn of(name: String, found: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => FileKind::Directory,
            _ if beneath::is_plain(found) => FileKind::File,
            _ => FileKind::Other,
        };
        Self {
            name,
            kind,
            size: if kind == FileKind::File {
                found.st_size
            } else {
                0
            },
            update_time: Time(found.st_mtime.saturating_mul(1_000_000)),
        }
    }
}
