//! What the files of a session were when each of its newest turns started, and what has changed since: by their bytes alone.
//!
//! The copies stand beside the sessions' directories, where no agent writes: a content once, under its SHA-256, and a list
//! of names for each turn. What an agent writes about its files (attributes, filters, hooks, an index) is a file like any
//! other: nothing of it is obeyed and nothing is run. Every call may block on the disk.

use super::{handle::Directories, workspace::Workspaces};
use crate::{
    beneath::{self, Directory},
    domain::{agent::Capability, ids::Time, limits::cut, refusal::Refusal, session::Session},
};
use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use similar::TextDiff;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Turns of a session that are kept.
const TURNS_MAX: usize = 16;
/// Files of a turn that are looked at.
const FILES_MAX: usize = 4_000;
/// How deep directories are looked into.
const DEPTH_MAX: usize = 16;
/// Bytes of a file that is copied; a larger one is told from another by its size and times.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Bytes of all of them; what is beyond is told from another by its size and times.
const FILES_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a list.
const LIST_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Files that one answer tells of.
const DIFFS_MAX: usize = 1_000;
/// Bytes of the differences of one answer.
const DIFFS_MAX_BYTES: usize = 1024 * 1024;
/// How long it is looked for the shortest difference of a file; then for any.
const DIFF_MAX: Duration = Duration::from_millis(200);
/// How long it is looked for differences in all; what is left is told without.
const DIFFS_MAX_TIME: Duration = Duration::from_secs(2);
/// What Git keeps is not the agent's work.
const LEFT_OUT: &str = ".git";
/// Where contents stand.
const CONTENTS: &str = "contents";
/// Where lists stand.
const TURNS: &str = "turns";

/// What happened to a file. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added = 1,
    /// Its bytes are others.
    Modified = 2,
    /// It is not there any more.
    Removed = 3,
}

/// How a file changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// Names with `/` between them.
    pub path: String,
    /// What happened to it.
    pub change: Change,
    /// As `diff -u` writes it; `None` where it is no text, or too much.
    pub unified_diff: Option<String>,
}

/// What a turn changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// By path.
    pub files: Vec<FileDiff>,
    /// There may be more.
    pub truncated: bool,
}

/// The files of a moment: by path, what tells their content from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Files {
    files: BTreeMap<String, Content>,
    /// There were more.
    truncated: bool,
}

/// A content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Content {
    /// SHA-256 of one that is copied, lower-case hex.
    Kept(String),
    /// Size, change and other times of one that is not.
    Large([i64; 4]),
}

/// A look at the files of a directory.
struct Look<'a> {
    root: &'a Directory,
    found: Files,
    bytes: u64,
    /// Takes each content that is copied.
    keep: &'a mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
}

// === impl Workspaces ===

impl Workspaces {
    /// Whether a session's turns are copied.
    pub fn keeps_snapshots(&self, session: &Session) -> bool {
        let known = self.known_agents.get(&session.agent);
        known.is_some_and(|known| known.get().capabilities.workspace_diff)
    }

    /// Copies what the files are before a turn starts. The first attempt's counts.
    ///
    /// # Errors
    /// What the system says.
    pub fn take_snapshot(&self, session: &Session, turn_id: Uuid, now: Time) -> io::Result<()> {
        let kept = self.directories.make_snapshots(session.uid)?;
        let turns = kept.make(Path::new(TURNS))?;
        let contents = kept.make(Path::new(CONTENTS))?;
        let mut lists = lists(&turns)?;
        if lists.iter().any(|(_, of)| *of == turn_id) {
            return Ok(());
        }
        let mut keep = |digest: &str, bytes: &[u8]| {
            let name = Path::new(digest);
            match contents.look(name)? {
                Some(_) => Ok(()),
                None => contents.write(name, bytes),
            }
        };
        let files = look(&self.directory(session)?, &mut keep)?;
        let list = serde_json::to_vec(&files).map_err(io::Error::other)?;
        let name = format!("{:020}-{turn_id}", now.0);
        turns.write(Path::new(&name), &list)?;
        lists.push((name, turn_id));
        forget(&turns, &contents, &lists)
    }

    /// What a turn changed.
    ///
    /// # Errors
    /// `UNSUPPORTED_BY_AGENT`, `TURN_NOT_FOUND`: nothing is kept of it.
    pub fn diff(&self, session: &Session, turn_id: Uuid) -> Result<Diff, Refusal> {
        let agent = session.agent.as_str();
        let what = Capability::WorkspaceDiff;
        match self.known_agents.get(agent) {
            Some(known) => known.require(agent, what)?,
            None => {
                return Err(Refusal::UnsupportedByAgent {
                    agent: agent.to_owned(),
                    what: what.what(),
                });
            }
        }
        let missing = || Refusal::TurnNotFound {
            turn_id: turn_id.to_string(),
        };
        match self.changed(session, turn_id) {
            Ok(Some(diff)) => Ok(diff),
            Ok(None) => Err(missing()),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(problem) => {
                tracing::warn!(%problem, session = %session.key, "a turn's changes can't be read");
                Err(Refusal::StoreUnavailable)
            }
        }
    }

    /// The same; `None` where nothing is kept of the turn.
    fn changed(&self, session: &Session, turn_id: Uuid) -> io::Result<Option<Diff>> {
        let kept = self.directories.open_snapshots(session.uid)?;
        let turns = kept.at(Path::new(TURNS))?;
        let contents = kept.at(Path::new(CONTENTS))?;
        let lists = lists(&turns)?;
        let Some(place) = lists.iter().position(|(_, of)| *of == turn_id) else {
            return Ok(None);
        };
        let read = |name: &str| -> io::Result<Files> {
            let list = turns.read(Path::new(name), LIST_MAX_BYTES)?;
            serde_json::from_slice(&list).map_err(io::Error::other)
        };
        let before = read(&lists[place].0)?;
        let copy = |content: &Content| match content {
            Content::Kept(digest) => contents.read(Path::new(digest), FILE_MAX_BYTES).ok(),
            Content::Large(_) => None,
        };
        let diff = match lists.get(place + 1) {
            Some((next, _)) => {
                let after = read(next)?;
                compare(&before, &after, &copy, &|_, content| copy(content))
            }
            None => {
                let directory = self.directory(session)?;
                let after = look(&directory, &mut |_, _| Ok(()))?;
                let now = |path: &str, content: &Content| match content {
                    Content::Kept(_) => directory.read(Path::new(path), FILE_MAX_BYTES).ok(),
                    Content::Large(_) => None,
                };
                compare(&before, &after, &copy, &now)
            }
        };
        Ok(Some(diff))
    }
}

// === impl Directories ===

impl Directories {
    /// Where copies of a session's files are kept. Blocks.
    fn open_snapshots(&self, uid: Uuid) -> io::Result<Directory> {
        self.open_root()?.at(&Self::snapshots(uid))
    }

    /// The same, made where it is not there. Blocks.
    fn make_snapshots(&self, uid: Uuid) -> io::Result<Directory> {
        self.open_root()?.make(&Self::snapshots(uid))
    }

    /// Below the root.
    pub(super) fn snapshots(uid: Uuid) -> PathBuf {
        Path::new(Self::BELOW[3]).join(uid.to_string())
    }
}

/// The lists that are kept, in the order of their turns' starts.
fn lists(turns: &Directory) -> io::Result<Vec<(String, Uuid)>> {
    let listed = turns.list(4 * TURNS_MAX)?;
    let mut lists: Vec<(String, Uuid)> = (listed.entries.into_iter())
        .filter_map(|(name, _)| {
            let name = name.into_string().ok()?;
            let turn_id = name.get(21..)?.parse().ok()?;
            Some((name, turn_id))
        })
        .collect();
    lists.sort();
    Ok(lists)
}

/// Removes the oldest lists, and what no list names any more.
fn forget(turns: &Directory, contents: &Directory, lists: &[(String, Uuid)]) -> io::Result<()> {
    let Some(many) = lists.len().checked_sub(TURNS_MAX).filter(|many| *many > 0) else {
        return Ok(());
    };
    let (old, kept) = lists.split_at(many);
    for (name, _) in old {
        turns.remove_file(Path::new(name))?;
    }
    let mut named = BTreeSet::new();
    for (name, _) in kept {
        let list = turns.read(Path::new(name), LIST_MAX_BYTES)?;
        let files: Files = serde_json::from_slice(&list).map_err(io::Error::other)?;
        named.extend(
            files
                .files
                .into_values()
                .filter_map(|content| match content {
                    Content::Kept(digest) => Some(digest),
                    Content::Large(_) => None,
                }),
        );
    }
    let all = contents.list(FILES_MAX * (TURNS_MAX + 1))?;
    for (name, _) in all.entries {
        if !name.to_str().is_some_and(|name| named.contains(name)) {
            contents.remove_file(Path::new(&name))?;
        }
    }
    Ok(())
}

/// What the files of a directory are now.
fn look(
    root: &Directory,
    keep: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
) -> io::Result<Files> {
    let mut look = Look {
        root,
        found: Files::default(),
        bytes: 0,
        keep,
    };
    look.below(&PathBuf::new(), 0)?;
    Ok(look.found)
}

// === impl Look ===

impl Look<'_> {
    fn below(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            self.found.truncated = true;
            return Ok(());
        }
        let listed = if depth == 0 {
            self.root.list(FILES_MAX)
        } else {
            self.root.at(path).and_then(|it| it.list(FILES_MAX))
        };
        let listed = match listed {
            Ok(listed) => listed,
            // The agent may exchange it meanwhile.
            Err(_) if depth > 0 => return Ok(()),
            Err(error) => return Err(error),
        };
        self.found.truncated |= listed.more;
        let mut entries = listed.entries;
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, stat) in entries {
            let Some(name) = name.to_str() else {
                self.found.truncated = true;
                continue;
            };
            let path = path.join(name);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                if name != LEFT_OUT {
                    self.below(&path, depth + 1)?;
                }
            } else if beneath::is_plain(&stat) {
                if self.found.files.len() >= FILES_MAX {
                    self.found.truncated = true;
                    return Ok(());
                }
                self.file(&path, &stat)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, stat: &Stat) -> io::Result<()> {
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let fits = size <= FILE_MAX_BYTES && self.bytes.saturating_add(size) <= FILES_MAX_BYTES;
        // What is gone or exchanged meanwhile, or can't be read, is told from another by its facts.
        let read = fits.then(|| self.root.read(path, FILE_MAX_BYTES).ok());
        let content = match read.flatten() {
            Some(bytes) => {
                self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let digest = Sha256::digest(&bytes);
                let digest: String = digest.iter().map(|it| format!("{it:02x}")).collect();
                (self.keep)(&digest, &bytes)?;
                Content::Kept(digest)
            }
            None => Content::Large([
                stat.st_size,
                stat.st_mtime,
                stat.st_ctime,
                i64::try_from(stat.st_ino).unwrap_or(0),
            ]),
        };
        let path = path.to_string_lossy().into_owned();
        self.found.files.insert(path, content);
        Ok(())
    }
}

/// What is another one in `after`.
fn compare(
    before: &Files,
    after: &Files,
    old: &dyn Fn(&Content) -> Option<Vec<u8>>,
    new: &dyn Fn(&str, &Content) -> Option<Vec<u8>>,
) -> Diff {
    let mut diff = Diff {
        files: Vec::new(),
        truncated: before.truncated || after.truncated,
    };
    let paths: BTreeSet<&String> = before.files.keys().chain(after.files.keys()).collect();
    let mut room = DIFFS_MAX_BYTES;
    let end = Instant::now() + DIFFS_MAX_TIME;
    for path in paths {
        let (was, is) = (before.files.get(path), after.files.get(path));
        let change = match (was, is) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(_), Some(_)) => Change::Modified,
            // It may have been among those that were not looked at.
            (None, _) if before.truncated => continue,
            (_, None) if after.truncated => continue,
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
        };
        if diff.files.len() >= DIFFS_MAX {
            diff.truncated = true;
            break;
        }
        let text = |content: Option<Option<Vec<u8>>>| match content {
            None => Some(String::new()),
            Some(bytes) => bytes.and_then(text_of),
        };
        let texts = (Instant::now() < end && room > 0).then(|| {
            let was = text(was.map(old))?;
            let is = text(is.map(|it| new(path, it)))?;
            Some((was, is))
        });
        let unified = texts.flatten().map(|(was, is)| unified(&was, &is));
        let unified_diff = unified.filter(|text| text.len() <= room);
        room -= unified_diff.as_ref().map_or(0, String::len);
        diff.files.push(FileDiff {
            path: cut(path, 4096).to_owned(),
            change,
            unified_diff,
        });
    }
    diff
}

/// A content as text; one with a NUL is none.
fn text_of(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

fn unified(was: &str, is: &str) -> String {
    let mut diff = TextDiff::configure();
    let diff = diff.timeout(DIFF_MAX).diff_lines(was, is);
    diff.unified_diff().context_radius(3).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Place {
        directory: tempfile::TempDir,
        contents: BTreeMap<String, Vec<u8>>,
    }

    impl Place {
        fn new() -> Self {
            Self {
                directory: tempfile::tempdir().expect("a directory"),
                contents: BTreeMap::new(),
            }
        }

        fn put(&self, name: &str, content: impl AsRef<[u8]>) {
            let path = self.directory.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, content).expect("written");
        }

        fn look(&mut self) -> Files {
            let root = Directory::open(self.directory.path()).expect("opened");
            let contents = &mut self.contents;
            let mut keep = |digest: &str, bytes: &[u8]| {
                contents.insert(digest.to_owned(), bytes.to_owned());
                Ok(())
            };
            look(&root, &mut keep).expect("looked")
        }

        fn compare(&self, before: &Files, after: &Files) -> Diff {
            let copy = |content: &Content| match content {
                Content::Kept(digest) => self.contents.get(digest).cloned(),
                Content::Large(_) => None,
            };
            compare(before, after, &copy, &|_, content| copy(content))
        }
    }

    #[test]
    fn what_changed_is_told_line_by_line() {
        let mut place = Place::new();
        place.put("same", "one\n");
        place.put("src/a.txt", "one\ntwo\nthree\n");
        place.put("gone", "bye\n");
        place.put("picture", [0, 159, 146]);
        place.put("large", vec![b'x'; 2 << 20]);
        place.put(".git/config", "[core]\n");
        let before = place.look();
        place.put("src/a.txt", "one\n2\nthree\n");
        fs::remove_file(place.directory.path().join("gone")).expect("removed");
        place.put("new", "hello");
        place.put("picture", [0, 159, 147]);
        place.put("large", vec![b'x'; 3 << 20]);
        place.put(".git/config", "[core]\nfsmonitor = rm -rf /\n");
        std::os::unix::fs::symlink("/etc/passwd", place.directory.path().join("link"))
            .expect("linked");
        let after = place.look();
        let diff = place.compare(&before, &after);
        let told: Vec<(&str, Change, Option<&str>)> = (diff.files.iter())
            .map(|it| (it.path.as_str(), it.change, it.unified_diff.as_deref()))
            .collect();
        let expected = [
            ("gone", Change::Removed, Some("@@ -1 +0,0 @@\n-bye\n")),
            ("large", Change::Modified, None),
            (
                "new",
                Change::Added,
                Some("@@ -0,0 +1 @@\n+hello\n\\ No newline at end of file\n"),
            ),
            ("picture", Change::Modified, None),
            (
                "src/a.txt",
                Change::Modified,
                Some("@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"),
            ),
        ];
        assert_eq!(told, expected);
        assert!(!diff.truncated);
    }

    #[test]
    fn what_was_not_looked_at_is_never_called_new_or_gone() {
        let mut place = Place::new();
        place.put("a", "1");
        let before = place.look();
        place.put("a", "2");
        place.put("b", "1");
        let after = place.look();
        let some = |files: &Files| Files {
            truncated: true,
            ..files.clone()
        };
        let paths =
            |diff: &Diff| -> Vec<String> { diff.files.iter().map(|it| it.path.clone()).collect() };
        let diff = place.compare(&some(&before), &after);
        assert_eq!((paths(&diff), diff.truncated), (vec!["a".to_owned()], true));
        let diff = place.compare(&after, &some(&before));
        assert_eq!((paths(&diff), diff.truncated), (vec!["a".to_owned()], true));
    }

    #[test]
    fn a_deep_and_a_wide_tree_stay_within_bounds() {
        let mut place = Place::new();
        place.put(&format!("{}f", "d/".repeat(DEPTH_MAX + 2)), "x");
        for n in 0..FILES_MAX + 5 {
            place.put(&format!("many/{n}"), "x");
        }
        let files = place.look();
        assert!(files.truncated && files.files.len() <= FILES_MAX);
    }
}
