//! Giving a tree to another user, without following a link of whoever built it.

use super::{Directory, Mounts, NAMED_ONLY};
use rustix::{
    fd::OwnedFd,
    fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid},
    io::Errno,
};
use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt as _};

/// Levels that are walked down; each holds two descriptors. What lies deeper stays as it is.
const DEPTH_MAX: usize = 256;

/// Gives what has this name to a user and the group of the same number. The directory itself comes last, so that one
/// that is the user's was given whole.
pub(super) fn give(parent: &Directory, name: &OsStr, user: u32) -> io::Result<()> {
    let top = parent.step(name, NAMED_ONLY | OFlags::DIRECTORY, Mounts::This)?;
    if fs::fstat(&top)?.st_uid == user {
        return Ok(());
    }
    let mut open = vec![Level::of(parent.opened(top))?];
    while let Some(level) = open.last_mut() {
        match level.rest.next() {
            None => {
                chown(&level.directory.handle, user)?;
                open.pop();
            }
            Some(entry) => {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." {
                    continue;
                }
                let one = match level.directory.step(name, OFlags::PATH, Mounts::This) {
                    Ok(one) => one,
                    // Gone, or another file system's.
                    Err(Errno::NOENT | Errno::XDEV) => continue,
                    Err(error) => return Err(error.into()),
                };
                let found = fs::fstat(&one)?;
                let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
                if is_directory && open.len() < DEPTH_MAX {
                    open.push(Level::of(parent.opened(one))?);
                } else if !is_directory && is_its_own(&found) {
                    chown(&one, user)?;
                }
            }
        }
    }
    Ok(())
}

/// A directory and what is left to be looked at in it.
struct Level {
    directory: Directory,
    rest: Dir,
}

impl Level {
    fn of(directory: Directory) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let list = fs::openat(&directory.handle, ".", flags, Mode::empty())?;
        Ok(Self {
            rest: Dir::new(list)?,
            directory,
        })
    }
}

/// A file that has another name may be somebody else's.
fn is_its_own(found: &Stat) -> bool {
    found.st_nlink == 1
}

pub(super) fn chown(one: &OwnedFd, user: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
    let itself = AtFlags::EMPTY_PATH;
    Ok(fs::chownat(one, "", Some(user), Some(group), itself)?)
}
