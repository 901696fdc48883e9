//! Where an agent's program lives: what must be visible besides the system for it to run at all.

use super::{Rung, layout::SYSTEM};
use std::{
    collections::{BTreeSet, VecDeque},
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

/// Symbolic links that are followed from one name; the kernel follows as many.
const LINKS_MAX: usize = 40;
/// Longest first line of a script, in bytes.
const SHEBANG_MAX: u64 = 512;
/// Directories that hold everybody's things and are no program's own.
const SHARED: [&str; 6] = ["/", "/home", "/root", "/usr/local", "/var", "/srv"];

/// Directories, files and links that a command line names or needs: its program with its package, the interpreter of a
/// script, and every argument that is the path of something there. `path` is the value of `PATH` that it will have, `home` the
/// directory that is never shown as a whole.
///
/// It is a help and no promise: what else a program reads, an operator names in `isolation_read`.
pub fn places<'a>(
    command: impl IntoIterator<Item = &'a OsStr>,
    path: &OsStr,
    home: Option<&Path>,
) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let mut words = command.into_iter();
    if let Some(program) = words.next() {
        add_program(program, path, home, &mut found);
    }
    for word in words.map(Path::new).filter(|word| word.is_absolute()) {
        add(word, home, &mut found, |real, _| real.to_owned());
    }
    found.into_iter().collect()
}

/// The first of these places that another user than root and their owner can't read: on rung `namespace` by its own mode,
/// for the way there is made anew, elsewhere by that of every directory on the way, too.
pub fn closed_to_others(places: &[PathBuf], rung: Rung) -> Option<&Path> {
    let has = |path: &Path, bit: u32| {
        // What is not there closes nothing.
        fs::metadata(path).map_or(true, |found| found.permissions().mode() & bit != 0)
    };
    let is_closed = |place: &&PathBuf| {
        let mut ways = place.ancestors().skip(1);
        let by_way = rung != Rung::Namespace && !ways.all(|way| has(way, 0o001));
        by_way || !has(place, 0o004) || place.is_dir() && !has(place, 0o001)
    };
    places.iter().find(is_closed).map(PathBuf::as_path)
}

fn add_program(program: &OsStr, path: &OsStr, home: Option<&Path>, found: &mut BTreeSet<PathBuf>) {
    let Some(file) = find(program, path) else {
        return;
    };
    add(&file, home, found, package);
    // An interpreter may be a script itself, but not for ever.
    if let Some(interpreter) = interpreter(&file)
        && let Some(file) = find(&interpreter, path)
    {
        add(&file, home, found, package);
    }
}

/// Adds every link on the way to what a path names, and what `whole` makes of that.
fn add(
    path: &Path,
    home: Option<&Path>,
    found: &mut BTreeSet<PathBuf>,
    whole: impl Fn(&Path, Option<&Path>) -> PathBuf,
) {
    let Ok(real) = fs::canonicalize(path) else {
        return;
    };
    let mut rest: VecDeque<OsString> = path.iter().map(OsString::from).collect();
    let mut reached = PathBuf::new();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            reached.pop();
            continue;
        }
        let next = reached.join(part);
        match fs::read_link(&next) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                insert(next, found);
                let target = target.iter().map(OsString::from);
                rest = target.chain(rest).collect();
            }
            Ok(_) | Err(_) => reached = next,
        }
    }
    insert(whole(&real, home), found);
}

fn insert(path: PathBuf, found: &mut BTreeSet<PathBuf>) {
    let system = SYSTEM.iter().any(|system| path.starts_with(system));
    let shared = SHARED.iter().any(|shared| path == Path::new(shared));
    if path.is_absolute() && !system && !shared {
        found.insert(path);
    }
}

/// What belongs to a program: all packages beside it for a program of Node, the installation whose `bin` it lies in, or
/// else its directory.
fn package(file: &Path, home: Option<&Path>) -> PathBuf {
    let mut outermost = PathBuf::new();
    for part in file.components() {
        outermost.push(part);
        if part == Component::Normal("node_modules".as_ref()) {
            return outermost;
        }
    }
    let Some(directory) = file.parent() else {
        return file.to_owned();
    };
    let is_home = |path: &Path| {
        home.is_some_and(|home| home.starts_with(path) || path == home.join(".local"))
            || SHARED.iter().any(|shared| path == Path::new(shared))
    };
    let installation = directory
        .parent()
        .filter(|above| directory.ends_with("bin") && !is_home(above));
    match installation {
        Some(installation) => installation.to_owned(),
        None if is_home(directory) => file.to_owned(),
        None => directory.to_owned(),
    }
}

/// The file of a program, as it is found in `path` where it has no slash; `None` where there is none.
pub fn find(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|file| file.is_file());
    }
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The program that runs a script: the word after `#!`, or that after `env`.
fn interpreter(script: &Path) -> Option<OsString> {
    let file = fs::File::open(script).ok()?;
    let mut line = Vec::new();
    BufReader::new(file.take(SHEBANG_MAX))
        .read_until(b'\n', &mut line)
        .ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut words = line.strip_prefix("#!")?.split_whitespace();
    let first = words.next()?;
    if !first.ends_with("/env") {
        return Some(first.into());
    }
    let named = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    Some(named.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_program_comes_with_its_package_and_its_interpreter() {
        let directory = tempfile::tempdir().expect("a directory");
        let base = fs::canonicalize(directory.path()).expect("it is there");
        let make = |name: &str, text: &str| {
            let file = base.join(name);
            fs::create_dir_all(file.parent().expect("it has one")).expect("it can be made");
            fs::write(&file, text).expect("it can be written");
            file
        };
        make(
            "home/.npm/lib/node_modules/agent/dist/cli.js",
            "#!/usr/bin/env -S node\n",
        );
        make("home/node/v22/bin/node", "");
        let own = make("home/.local/bin/own", "#!/bin/sh\n");
        let script = make("elsewhere/script.py", "");
        fs::create_dir_all(base.join("home/.npm/bin")).expect("it can be made");
        symlink(
            "../lib/node_modules/agent/dist/cli.js",
            base.join("home/.npm/bin/agent"),
        )
        .expect("it can be made");
        let path =
            std::env::join_paths([base.join("home/.npm/bin"), base.join("home/node/v22/bin")])
                .expect("no colons");
        let home = base.join("home");
        let places =
            |command: &[&OsStr]| super::places(command.iter().copied(), &path, Some(&home));
        assert_eq!(
            places(&["agent".as_ref()]),
            [
                // The link by which it is found; its directory holds others' too.
                base.join("home/.npm/bin/agent"),
                base.join("home/.npm/lib/node_modules"),
                base.join("home/node/v22"),
            ]
        );
        assert_eq!(
            places(&[own.as_ref()]),
            [base.join("home/.local/bin")],
            "the directory of all of a user's programs is not its share of data"
        );
        assert_eq!(
            places(&["sh".as_ref(), script.as_ref(), "/no/such/file".as_ref()]),
            [script]
        );
    }
}
