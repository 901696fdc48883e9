//! Which key a client command sends, and over which way.
//!
//! `--key`, else `--key-file` (or their variables), to the address that was named: over the network encrypted, or with
//! `--insecure`. Else the key that the server's first start wrote into its data directory, as far as this command can tell
//! which that is: the configuration's, which without any is `quarterdeck-data` in the working directory. That one goes to
//! the server of that directory alone, over its unix socket: whoever listens at a port may be anybody.

use super::failure::{Failure, NO_INPUT, USAGE};
use quarterdeck::{
    auth::secret_files::{ADMIN_KEY, read_key},
    client::{is_same_place, is_secure},
    config::{Config, Sources},
    listener::ServedAt,
};
use secrecy::SecretString;
use std::{
    env,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// How a command reaches the server.
pub(crate) struct Way {
    /// Where it connects.
    pub(crate) address: String,
    /// What it sends; `None` where there is none to send.
    pub(crate) key: Option<SecretString>,
}

/// The key for calls to that address, and the way that it takes.
pub(crate) fn find(
    address: &str,
    key: Option<&str>,
    file: Option<&Path>,
    insecure: bool,
) -> Result<Way, Failure> {
    // Said out loud: none.
    if key == Some("") {
        return Ok(way(address, None));
    }
    let Some(key) = named(key, file)? else {
        return Ok(own(address));
    };
    if !insecure && !is_secure(address) {
        return Err(Failure::new(
            USAGE,
            format!(
                "the key would go to {address} without encryption: use https://, or --insecure where everyone on the way \
                 may read it"
            ),
        ));
    }
    Ok(way(address, Some(key)))
}

/// The key that was named.
pub(crate) fn named(
    key: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, Failure> {
    match (key, file) {
        (Some(key), _) => Ok(Some(SecretString::from(key))),
        (None, Some(file)) => read(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// What a refused caller without a key is told, where there is one that was not sent.
pub(crate) fn advice() -> Option<String> {
    let file = data_directory().join(ADMIN_KEY);
    read_key(&file).ok()?;
    let file = file.display();
    Some(format!(
        "{file} is sent to the server of its directory alone, over its unix socket; where this is that server, name it \
         with --key-file {file}"
    ))
}

fn read(file: &Path) -> Result<SecretString, Failure> {
    read_key(file).map_err(|error| {
        Failure::new(
            NO_INPUT,
            format!("can't read a key from {}: {error}", file.display()),
        )
    })
}

/// The directory's own key, where `address` is the directory's server and its socket answers.
fn own(address: &str) -> Way {
    let directory = data_directory();
    let own = || {
        let key = read_key(&directory.join(ADMIN_KEY)).ok()?;
        let ServedAt { url, socket } = ServedAt::read(&directory)?;
        let socket = socket?;
        let unix = format!("unix:{}", socket.display());
        let meant = address == unix || is_same_place(address, &url);
        // A server that was killed leaves both behind.
        let answers = meant && UnixStream::connect(&socket).is_ok();
        answers.then(|| way(&unix, Some(key)))
    };
    // Without it the server says what it asks for.
    own().unwrap_or_else(|| way(address, None))
}

fn way(address: &str, key: Option<SecretString>) -> Way {
    Way {
        address: address.to_owned(),
        key,
    }
}

fn data_directory() -> PathBuf {
    let sources = Sources {
        environment: env::vars_os().collect(),
        ..Sources::default()
    };
    // A client command does not fail for what is wrong with a server's configuration.
    Config::load(sources).unwrap_or_default().data_dir
}
