//! Removal of trees that an agent built, which may be deep, wide and without any rights.
//!
//! A tree is not walked down, since a descriptor per level would run out at a depth that an agent chooses: each directory
//! that is met is moved up into the topmost one, and emptied there.

use super::{Directory, Mounts, NAMED_ONLY};
use rustix::{
    fs::{self, AtFlags, Dir, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Time after which a removal gives up.
pub(super) const TIMEOUT: Duration = Duration::from_secs(600);
/// Names that are held at a time.
const NAMES_MAX: usize = 1024;

/// Removes what has this name in a directory.
pub(super) fn remove(parent: &Directory, name: &OsStr) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    if unlink(parent, name)? {
        return Ok(());
    }
    let Some(top) = open(parent, name)? else {
        return Ok(());
    };
    loop {
        in_time(deadline)?;
        for one in names(&top)? {
            remove_from(&top, &one, deadline)?;
        }
        if remove_empty(parent, name)? {
            return Ok(());
        }
    }
}

/// Removes what has this name in the topmost directory; directories in it are moved up.
fn remove_from(top: &Directory, name: &OsStr, deadline: Instant) -> io::Result<()> {
    if unlink(top, name)? {
        return Ok(());
    }
    let Some(directory) = open(top, name)? else {
        return Ok(());
    };
    loop {
        in_time(deadline)?;
        for one in names(&directory)? {
            if unlink(&directory, &one)? {
                continue;
            }
            // To be moved a directory must be writable itself: its `..` changes.
            if open(&directory, &one)?.is_none() {
                continue;
            }
            let new = Uuid::new_v4().to_string();
            match fs::renameat(&directory.handle, &one, &top.handle, new) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if remove_empty(top, name)? {
            return Ok(());
        }
    }
}

fn in_time(deadline: Instant) -> io::Result<()> {
    if Instant::now() < deadline {
        return Ok(());
    }
    let problem = "it could not be emptied in time";
    Err(io::Error::new(io::ErrorKind::TimedOut, problem))
}

/// Removes what is no directory; false for a directory.
fn unlink(directory: &Directory, name: &OsStr) -> io::Result<bool> {
    match fs::unlinkat(&directory.handle, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        // What other systems say of a directory, and any of a file that has to stay.
        Err(Errno::PERM) if is_directory(directory, name)? => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_directory(directory: &Directory, name: &OsStr) -> io::Result<bool> {
    let found = fs::statat(&directory.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(fs::FileType::from_raw_mode(found.st_mode) == fs::FileType::Directory)
}

/// Removes a directory; false where something is in it.
fn remove_empty(parent: &Directory, name: &OsStr) -> io::Result<bool> {
    match fs::unlinkat(&parent.handle, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory and takes care that its owner may do everything in it. `None` where it is gone.
fn open(parent: &Directory, name: &OsStr) -> io::Result<Option<Directory>> {
    let flags = NAMED_ONLY | OFlags::DIRECTORY;
    let opened = match parent.step(name, flags, Mounts::This) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::XDEV) => {
            let problem = "another file system is mounted there; unmount it";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, problem));
        }
        Err(error) => return Err(error.into()),
    };
    let mode = Mode::from_raw_mode(fs::fstat(&opened)?.st_mode);
    let directory = parent.opened(opened);
    if !mode.contains(Mode::RWXU) {
        make_accessible(parent, name, &directory)?;
    }
    Ok(Some(directory))
}

/// A handle that can only name things changes no mode itself, but by its own name it does.
#[cfg(target_os = "linux")]
fn make_accessible(_: &Directory, _: &OsStr, directory: &Directory) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let itself = format!("/proc/self/fd/{}", directory.handle.as_raw_fd());
    Ok(fs::chmod(itself, Mode::RWXU)?)
}

#[cfg(not(target_os = "linux"))]
fn make_accessible(parent: &Directory, name: &OsStr, _: &Directory) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(fs::chmodat(&parent.handle, name, Mode::RWXU, flags)?)
}

/// Names in a directory, at most [`NAMES_MAX`]; without any it is empty.
fn names(directory: &Directory) -> io::Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = fs::openat(&directory.handle, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(list)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
        if names.len() == NAMES_MAX {
            break;
        }
    }
    Ok(names)
}
