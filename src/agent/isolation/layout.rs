//! What a process may see of the file system, as one list: pure, decided by the server before anything is started.

use super::{Confinement, Visible};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What every process may read: programs, libraries, and what configures them.
pub(super) const SYSTEM: [&str; 11] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix/store",
    // Runtimes count processors there.
    "/sys/devices/system/cpu",
];

/// Paths that are made for each process and can't be given to it.
const MADE: [&str; 3] = ["/dev", "/proc", "/"];

/// What may be done with a path and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Access {
    /// Read it, and run what can be run.
    Read,
    /// Change it.
    Write,
    /// Nothing.
    Hidden,
}

/// One line of a layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Absolute.
    pub(super) path: PathBuf,
    /// What holds for it and all below it that has no line of its own.
    pub(super) access: Access,
}

/// The whole list: a directory before what lies in it, no line that says what holds anyway. What has no line is hidden.
///
/// # Errors
/// What contradicts itself or can't be kept, for people.
pub(super) fn layout(confinement: &Confinement, visible: &Visible) -> Result<Vec<Entry>, String> {
    let mut wanted: BTreeMap<&Path, Access> = BTreeMap::new();
    let read = SYSTEM.iter().map(Path::new);
    let read = read.chain(confinement.read.iter().map(PathBuf::as_path));
    let read = read.chain(visible.read.iter().map(PathBuf::as_path));
    let write = visible.write.iter().map(PathBuf::as_path);
    let hidden = confinement.hidden.iter().map(PathBuf::as_path);
    let all = read
        .map(|path| (path, Access::Read))
        .chain(write.map(|path| (path, Access::Write)))
        .chain(hidden.map(|path| (path, Access::Hidden)));
    for (path, access) in all {
        check(path)?;
        let held = wanted.entry(path).or_insert(access);
        if access == Access::Hidden && *held == Access::Write {
            return Err(contradiction(path, path));
        }
        *held = access.max(*held);
    }
    let mut layout: Vec<Entry> = vec![];
    // A path comes before what lies in it.
    for (path, access) in wanted {
        let above = layout.iter().rfind(|entry| path.starts_with(&entry.path));
        let holds = above.map_or(Access::Hidden, |entry| entry.access);
        if let (Some(above), Access::Hidden, Access::Write) = (above, access, holds) {
            return Err(contradiction(path, &above.path));
        }
        if access != holds {
            layout.push(Entry {
                path: path.to_owned(),
                access,
            });
        }
    }
    Ok(layout)
}

fn check(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if !path.is_absolute() || path.components().any(|part| part.as_os_str() == "..") {
        return Err(format!("{shown} is no absolute path without `..`"));
    }
    if let Some(made) = MADE.iter().find(|made| path == Path::new(made)) {
        return Err(format!("{made} can't be given to an agent as a whole"));
    }
    Ok(())
}

/// An agent that may change a directory can move what lies in it to another name, which nobody hides.
fn contradiction(hidden: &Path, write: &Path) -> String {
    format!(
        "{} must stay hidden from agents, but lies in {}, which this one may change",
        hidden.display(),
        write.display()
    )
}

/// The paths to allow where nothing can be hidden below an allowed one: in place of a directory that holds something
/// hidden, its other entries. `list` names the entries of a directory.
pub(super) fn grants(layout: &[Entry], list: impl Fn(&Path) -> Vec<PathBuf>) -> Vec<Entry> {
    let mut grants = vec![];
    let mut open: Vec<Entry> = layout.iter().rev().cloned().collect();
    while let Some(entry) = open.pop() {
        let Entry { path, access } = &entry;
        let has_line = |other: &Entry| other.path.starts_with(path) && other.path != *path;
        let mut below = layout.iter().filter(|other| has_line(other));
        match access {
            Access::Hidden => {}
            Access::Write => grants.push(entry),
            Access::Read if below.all(|other| other.access != Access::Hidden) => {
                grants.push(entry);
            }
            Access::Read => {
                for path in list(path) {
                    if !layout.iter().any(|other| other.path == path) {
                        open.push(Entry {
                            path,
                            access: *access,
                        });
                    }
                }
            }
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<PathBuf> {
        text.split_whitespace().map(PathBuf::from).collect()
    }

    /// As `r:/a w:/a/b h:/a/c`, the system left out.
    fn render(entries: &[Entry]) -> String {
        let shown = entries.iter().filter(|entry| {
            !SYSTEM
                .iter()
                .any(|system| entry.path.as_os_str() == *system)
        });
        let one = |entry: &Entry| {
            let access = match entry.access {
                Access::Read => "r",
                Access::Write => "w",
                Access::Hidden => "h",
            };
            format!("{access}:{}", entry.path.display())
        };
        shown.map(one).collect::<Vec<_>>().join(" ")
    }

    fn laid_out(read: &str, write: &str, hidden: &str) -> Result<String, String> {
        let confinement = Confinement {
            hidden: paths(hidden),
            ..Confinement::default()
        };
        let visible = Visible {
            read: paths(read),
            write: paths(write),
        };
        layout(&confinement, &visible).map(|entries| render(&entries))
    }

    #[test]
    fn a_layout_says_each_thing_once_and_parents_first() {
        for (read, write, hidden, expected) in [
            ("", "", "", ""),
            ("/home/a", "", "", "r:/home/a"),
            // Visible anyway, or hidden anyway.
            ("/usr/lib/x /home/a /home/a/b", "", "/srv", "r:/home/a"),
            ("", "/srv/s/w /srv/s", "", "w:/srv/s"),
            // The server's directory is hidden but for the session's.
            (
                "/srv",
                "/srv/data/s",
                "/srv/data",
                "r:/srv h:/srv/data w:/srv/data/s",
            ),
            // Files that the agent only reads, in a directory that it may change.
            ("/s/gateway", "/s", "", "w:/s r:/s/gateway"),
            ("", "", "/etc/quarterdeck", "h:/etc/quarterdeck"),
            // The stronger word holds for one path.
            ("/a", "/a", "", "w:/a"),
            ("/a", "", "/a", ""),
            // No part of a name is a parent.
            ("/ab", "/a", "", "w:/a r:/ab"),
        ] {
            let found = laid_out(read, write, hidden);
            assert_eq!(found.as_deref(), Ok(expected), "{read}|{write}|{hidden}");
        }
    }

    #[test]
    fn what_cant_be_kept_is_refused() {
        for (read, write, hidden, word) in [
            ("", "/work", "/work/data", "/work/data must stay hidden"),
            ("", "/work", "/work", "must stay hidden"),
            ("relative", "", "", "no absolute path"),
            ("/a/../b", "", "", "no absolute path"),
            ("", "/", "", "as a whole"),
            ("/proc", "", "", "as a whole"),
        ] {
            let problem = laid_out(read, write, hidden).expect_err(word);
            assert!(problem.contains(word), "{problem}");
        }
    }

    #[test]
    fn beside_something_hidden_each_entry_is_allowed_by_itself() {
        let confinement = Confinement {
            hidden: paths("/etc/quarterdeck /srv/a/key"),
            read: paths("/srv"),
            ..Confinement::default()
        };
        let visible = Visible {
            write: paths("/srv/a/work"),
            ..Visible::default()
        };
        let layout = layout(&confinement, &visible).expect("nothing contradicts");
        let list = |directory: &Path| match directory.to_str() {
            Some("/etc") => paths("/etc/passwd /etc/quarterdeck /etc/ssl"),
            Some("/srv") => paths("/srv/a /srv/b"),
            Some("/srv/a") => paths("/srv/a/key /srv/a/work /srv/a/other"),
            other => panic!("{other:?} was listed"),
        };
        let mut shown: Vec<String> = render(&grants(&layout, list))
            .split(' ')
            .map(String::from)
            .collect();
        shown.sort();
        assert_eq!(
            shown.join(" "),
            "r:/etc/passwd r:/etc/ssl r:/srv/a/other r:/srv/b w:/srv/a/work"
        );
    }
}
