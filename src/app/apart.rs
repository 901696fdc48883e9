//! The data directory and what agents may see must lie apart: no rung of isolation can hide the one within the other.

use std::path::{Path, PathBuf};

/// A directory of agents holds the data directory, or lies in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{setting}: agents may use {}, and data_dir is {}: one lies in the other, so that agents would reach the server's keys \
     and other sessions; move data_dir out of it, or name other directories",
    directory.display(),
    data.display()
)]
pub struct NotApart {
    /// The setting that names the agents' directory.
    pub setting: String,
    /// The agents' directory, resolved.
    pub directory: PathBuf,
    /// The data directory, resolved.
    pub data: PathBuf,
}

/// Looks at directories that agents may use, each with the setting that names it. All paths are resolved.
pub(super) fn check<'a>(
    data: &Path,
    directories: impl IntoIterator<Item = (String, &'a Path)>,
) -> Result<(), NotApart> {
    let overlap = |directory: &Path| directory.starts_with(data) || data.starts_with(directory);
    let found = directories
        .into_iter()
        .find(|(_, directory)| overlap(directory));
    match found {
        None => Ok(()),
        Some((setting, directory)) => Err(NotApart {
            setting,
            directory: directory.to_owned(),
            data: data.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_may_hold_the_other() {
        let check = |directory: &str| {
            let named = ("agents.pi.cwd_roots".to_owned(), Path::new(directory));
            super::check(Path::new("/srv/data"), [named])
        };
        for apart in ["/srv/datas", "/srv/dat", "/srv/other", "/home"] {
            assert_eq!(check(apart), Ok(()), "{apart}");
        }
        for not in ["/srv/data", "/srv", "/", "/srv/data/sessions"] {
            let said = check(not).expect_err(not).to_string();
            assert!(
                said.starts_with("agents.pi.cwd_roots: ") && said.contains("/srv/data"),
                "{said}"
            );
        }
    }
}
