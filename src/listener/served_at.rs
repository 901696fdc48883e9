//! Where a data directory's server is reached, as it wrote it: how a command on this machine tells that server from
//! whoever else listens at a port.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// The file in the data directory. It stays when the server is gone.
const FILE: &str = "address";
/// Largest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 4096;

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedAt {
    /// Over the network.
    pub url: String,
    /// Its unix socket, where it has one; an absolute path.
    pub socket: Option<PathBuf>,
}

// === impl ServedAt ===

impl ServedAt {
    /// Writes it into the data directory, whole or not at all.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write(&self, data_directory: &Path) -> io::Result<()> {
        let Self { url, socket } = self;
        let unfinished = data_directory.join(format!("{FILE}.unfinished"));
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        writeln!(file, "{url}")?;
        if let Some(socket) = socket {
            writeln!(file, "{}", std::path::absolute(socket)?.display())?;
        }
        fs::rename(unfinished, data_directory.join(FILE))
    }

    /// Reads it; `None` where no server has written it.
    pub fn read(data_directory: &Path) -> Option<Self> {
        let path = data_directory.join(FILE);
        if fs::metadata(&path).ok()?.len() > FILE_MAX_BYTES {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        Some(Self {
            url: lines.next()?.to_owned(),
            socket: lines.next().map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_wrote_is_read_back() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(ServedAt::read(directory.path()), None);
        for socket in [None, Some(PathBuf::from("/run/quarterdeck.sock"))] {
            let served = ServedAt {
                url: "http://127.0.0.1:7777".into(),
                socket,
            };
            served.write(directory.path()).expect("written");
            assert_eq!(ServedAt::read(directory.path()), Some(served));
        }
    }
}
