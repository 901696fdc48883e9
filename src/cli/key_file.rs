//! Which key a client command sends.
//!
//! `--key`, else `--key-file` (or their variables), else the key that the server's first start wrote into its data
//! directory, as far as this command can tell which that is: the configuration's, which without any is
//! `quarterdeck-data` in the working directory. That last one is sent to this machine alone, never to a foreign address.

use super::failure::{Failure, NO_INPUT};
use quarterdeck::{
    auth::secret_files::{ADMIN_KEY, read_key},
    config::{Config, Sources},
};
use secrecy::SecretString;
use std::{
    env,
    net::IpAddr,
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

/// Whether an address is one that packets don't leave this machine for.
fn is_this_machine(address: &str) -> bool {
    if address.starts_with("unix:") {
        return true;
    }
    let full = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let Ok(uri) = full.parse::<http::Uri>() else {
        return false;
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    // Of `http://127.0.0.1@evil.test` the host is what counts, but nobody writes that in good faith.
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let canonical = |ip: IpAddr| ip.to_canonical().is_loopback();
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_by_itself_to_this_machine_alone() {
        for here in [
            "http://127.0.0.1:7777",
            "127.0.0.1:7777",
            "https://127.9.9.9:1",
            "localhost:7777",
            "http://[::1]:7777",
            "[::ffff:127.0.0.1]:1",
            "unix:/run/quarterdeck.sock",
        ] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in [
            "http://192.0.2.1:7777",
            "http://example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://127.0.0.1@example.org",
            "http://localhost@example.org:7777",
            "http://0.0.0.0:7777",
            "http://[::]:7777",
            "",
            "http://",
            "not an address",
        ] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
