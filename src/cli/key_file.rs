//! Which key a client command sends.
//!
//! `--key`, else `--key-file` (or their variables), else the key that the server's first start wrote into its data
//! directory, as far as this command can tell which that is: the configuration's, which without any is
//! `quarterdeck-data` in the working directory. That last one is sent to this machine alone, never to a foreign address.

use super::failure::{Failure, NO_INPUT};
use quarterdeck::{
    auth::secret_files::{ADMIN_KEY, read_key},
    client::is_this_machine,
    config::{Config, Sources},
};
use secrecy::SecretString;
use std::{
    env,
    path::{Path, PathBuf},
};

/// The key for calls to that address; `None` where there is none to send.
pub(crate) fn find(
    address: &str,
    key: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, Failure> {
    match key {
        // Said out loud: none.
        Some("") => return Ok(None),
        Some(key) => return Ok(Some(SecretString::from(key))),
        None => {}
    }
    if let Some(file) = file {
        let unreadable = |error| {
            Failure::new(
                NO_INPUT,
                format!("can't read a key from {}: {error}", file.display()),
            )
        };
        return read_key(file).map(Some).map_err(unreadable);
    }
    if !is_this_machine(address) {
        return Ok(None);
    }
    // Where it can't be read the server says what it asks for.
    Ok(read_key(&data_directory().join(ADMIN_KEY)).ok())
}

fn data_directory() -> PathBuf {
    let sources = Sources {
        environment: env::vars_os().collect(),
        ..Sources::default()
    };
    // A client command does not fail for what is wrong with a server's configuration.
    Config::load(sources).unwrap_or_default().data_dir
}
