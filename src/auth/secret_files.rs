//! Files of the data directory that their owner alone can read: the pepper, and the key of the first start.

use anyhow::{Context as _, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// The file with the key that hashes the secrets of API keys. Without it no key is recognised.
pub const PEPPER: &str = "pepper";
/// The file with the text of the local user's key.
pub const ADMIN_KEY: &str = "admin.key";
/// The file with the token of those who collect metrics.
pub const METRICS_TOKEN: &str = "metrics.token";
/// Random bytes of that token.
const METRICS_TOKEN_BYTES: usize = 32;
/// Bytes of a pepper.
pub const PEPPER_BYTES: usize = 32;
/// Longest file of a key, in bytes.
const KEY_FILE_MAX_BYTES: u64 = 8 * 1024 + 2;

/// Reads the data directory's pepper, or makes it.
///
/// # Errors
/// The file can't be read or made, is not ours, or others may read it.
pub fn pepper(data_directory: &Path) -> anyhow::Result<[u8; PEPPER_BYTES]> {
    let path = data_directory.join(PEPPER);
    let named = || format!("can't use {}", path.display());
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut pepper = [0; PEPPER_BYTES];
            getrandom::fill(&mut pepper).context("no random numbers")?;
            write_secret(data_directory, PEPPER, &pepper).with_context(named)?;
            return Ok(pepper);
        }
        Err(error) => return Err(error).with_context(named),
    };
    let mode = file.metadata().with_context(named)?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "{} can be read or changed by others (mode {:o}); `chmod 600` it",
        path.display(),
        mode & 0o777
    );
    let mut found = Vec::new();
    (&mut file)
        .take(PEPPER_BYTES as u64 + 1)
        .read_to_end(&mut found)
        .with_context(named)?;
    found.try_into().map_err(|_| {
        anyhow::anyhow!(
            "{} does not hold {PEPPER_BYTES} bytes; put back the one that the store was used with",
            path.display()
        )
    })
}

/// Copies a directory's pepper into another one, where there is one: a store is of no use to its callers without it.
///
/// # Errors
/// The disk fails.
pub fn copy_pepper(from: &Path, to: &Path) -> io::Result<()> {
    match fs::read(from.join(PEPPER)) {
        Ok(pepper) => write_secret(to, PEPPER, &pepper),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes the local user's key.
///
/// # Errors
/// The disk fails.
pub fn write_admin_key(data_directory: &Path, text: &SecretString) -> io::Result<()> {
    let line = format!("{}\n", text.expose_secret());
    write_secret(data_directory, ADMIN_KEY, line.as_bytes())
}

/// Reads the token of those who collect metrics. Where no file is named it is the data directory's own, made if it is
/// missing.
///
/// # Errors
/// The file can't be read or made, others may read it, or it holds no token.
pub fn metrics_token(data_directory: &Path, named: Option<&Path>) -> anyhow::Result<SecretString> {
    let own = data_directory.join(METRICS_TOKEN);
    let path = named.unwrap_or(&own);
    let told = || format!("can't use {}", path.display());
    if named.is_none() && !own.try_exists().with_context(told)? {
        let mut token = [0; METRICS_TOKEN_BYTES];
        getrandom::fill(&mut token).context("no random numbers")?;
        let text: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        write_secret(data_directory, METRICS_TOKEN, text.as_bytes()).with_context(told)?;
    }
    let mode = fs::metadata(path).with_context(told)?.permissions().mode();
    ensure!(
        mode & 0o007 == 0,
        "{} can be read or changed by everybody (mode {:o}); `chmod 640` it",
        path.display(),
        mode & 0o777
    );
    read_key(path).with_context(told)
}

/// Reads a key from a file that holds nothing else.
///
/// # Errors
/// The file can't be read, or holds no text of a key's length.
pub fn read_key(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    File::open(path)?
        .take(KEY_FILE_MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    let key = text.trim();
    if key.is_empty() || text.len() as u64 > KEY_FILE_MAX_BYTES || key.contains(char::is_whitespace)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it does not hold one key",
        ));
    }
    Ok(SecretString::from(key))
}

/// Writes a file, whole or not at all, that was never anybody else's to read.
///
/// # Errors
/// It can't be made in that directory.
pub fn write_secret(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let unfinished = directory.join(format!("{name}.unfinished"));
    // Left by a start that was cut.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(name))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pepper_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        let made = pepper(directory.path()).unwrap();
        assert_eq!(pepper(directory.path()).unwrap(), made);
        let path = directory.path().join(PEPPER);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let problem = pepper(directory.path()).unwrap_err().to_string();
        assert!(problem.contains("chmod 600"), "{problem}");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [0; 31]).unwrap();
        assert!(pepper(directory.path()).is_err());
    }

    #[test]
    fn a_key_file_holds_one_key_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        write_admin_key(directory.path(), &"abc".into()).unwrap();
        let path = directory.path().join(ADMIN_KEY);
        assert_eq!(read_key(&path).unwrap().expose_secret(), "abc");
        for wrong in ["", "\n", "a b", "a\nb\n", &"a".repeat(9000)] {
            fs::write(&path, wrong).unwrap();
            assert!(read_key(&path).is_err());
        }
    }
}
