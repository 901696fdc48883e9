//! What a session's home begins with: a copy of the operator's template, so that an agent finds the settings and logins that it
//! looks for there. What the agent has made or changed since stays.

use crate::beneath::{Directory, blocking};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Files of a template.
const FILES_MAX: usize = 256;
/// Their bytes together.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Directories that may lie within each other.
const DEPTH_MAX: usize = 8;

/// Copies what is missing in the home.
///
/// # Errors
/// What the system says, that the template is too large, and that it holds something else than files and directories.
pub(super) async fn fill(home: PathBuf, template: PathBuf) -> io::Result<()> {
    blocking(move || {
        let files = files(&template)?;
        let home = Directory::open(&home)?;
        for (source, name) in files {
            if let Some(parent) = name.parent().filter(|it| !it.as_os_str().is_empty()) {
                home.make(parent)?;
            }
            if home.look(&name)?.is_none() {
                home.write(&name, &fs::read(&source)?)?;
            }
        }
        Ok(())
    })
    .await
}

/// The template's files and their names below it.
fn files(template: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let too_large = |what: &str| {
        let problem = format!(
            "{} holds {what}; name a smaller template_dir",
            template.display()
        );
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    };
    let mut found = vec![];
    let mut bytes = 0;
    let mut directories = vec![(template.to_owned(), PathBuf::new(), 0)];
    while let Some((directory, below, depth)) = directories.pop() {
        if depth > DEPTH_MAX {
            return Err(too_large(
                "directories within directories within directories",
            ));
        }
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let (path, name) = (entry.path(), below.join(entry.file_name()));
            // Through links: the template is the operator's own.
            let facts = fs::metadata(&path)?;
            if facts.is_dir() {
                directories.push((path, name, depth + 1));
                continue;
            }
            if !facts.is_file() {
                let problem = format!("{} is neither a file nor a directory", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
            bytes += facts.len();
            found.push((path, name));
            if found.len() > FILES_MAX || bytes > BYTES_MAX {
                return Err(too_large("more than 256 files or 16 MiB"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_home_gets_what_it_lacks_and_keeps_what_it_has() {
        let (template, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| template.path().join(name);
        fs::create_dir_all(at(".config/agent")).unwrap();
        fs::write(at(".config/agent/settings.json"), "settings").unwrap();
        fs::write(at("login"), "login").unwrap();
        fs::write(home.path().join("login"), "refreshed").unwrap();
        let filled = fill(home.path().into(), template.path().into());
        filled.await.unwrap();
        let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
        assert_eq!(read(".config/agent/settings.json"), "settings");
        assert_eq!(read("login"), "refreshed");
    }

    /// What an agent left in its home leads nowhere.
    #[tokio::test]
    async fn a_link_in_the_home_is_not_followed() {
        let (template, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(template.path().join(".config")).unwrap();
        fs::write(template.path().join(".config/a"), "a").unwrap();
        let link = home.path().join(".config");
        std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
        let filled = fill(home.path().into(), template.path().into()).await;
        assert!(filled.is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_template_without_end_is_refused() {
        let (template, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for number in 0..=FILES_MAX {
            fs::write(template.path().join(number.to_string()), "").unwrap();
        }
        let filled = fill(home.path().into(), template.path().into()).await;
        assert!(filled.unwrap_err().to_string().contains("256 files"));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
