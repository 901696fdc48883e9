//! Files in directories that an agent can write: what the server reads, writes and removes there.
//!
//! An agent can put anything at any name: a symbolic link to another session's file or to the server's keys, a FIFO that
//! blocks whoever opens it, a second name of somebody else's file, a file larger than memory, a tree deeper than a
//! stack. So a [`Directory`] is opened once, by a path that only the server can change, and everything else is named
//! relative to it and opened beneath it: no symbolic link is followed, at no place of the path, and `..` is refused.
//!
//! Promises: nothing outside the directory is read, changed or removed, whatever an agent does meanwhile; no call waits
//! for a reader or writer at the other end; what is read is a regular file with one name and a bounded size.
//! What is made belongs to the user whose directory it is made in.
//! Left out: modes and owners of what others made, except where they stand in the way of a removal, and where a tree is
//! given to a user.
//!
//! Every call may block on the disk.

#[cfg(target_os = "linux")]
mod handover;
mod removal;
#[cfg(test)]
mod tests;

use rustix::{
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Component, Path},
};
use uuid::Uuid;

/// Mode of directories that are made here.
const DIRECTORY_MODE: Mode = Mode::RWXU;
/// Mode of files that are made here.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Enough to name what is in a directory; needs no right to read it.
#[cfg(target_os = "linux")]
const NAMED_ONLY: OFlags = OFlags::PATH;
/// Enough to name what is in a directory.
#[cfg(not(target_os = "linux"))]
const NAMED_ONLY: OFlags = OFlags::RDONLY;

/// An open directory, beneath which everything is opened.
#[derive(Debug)]
pub struct Directory {
    handle: OwnedFd,
    way: Way,
}

/// What stands in a directory.
#[derive(Debug)]
pub struct Listed {
    /// Names and their facts, a symbolic link's own where it is one; in no order.
    pub entries: Vec<(OsString, Stat)>,
    /// There are others too.
    pub more: bool,
}

/// How a path of several names is opened beneath a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By `openat2`, in one step.
    #[cfg(target_os = "linux")]
    Kernel,
    /// Name by name. Where there is no `openat2`: Linux before 5.6, filters of containers that don't know it, other systems.
    ByName,
}

/// Where an open may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mounts {
    Any,
    /// Not onto another mount.
    This,
}

// === impl Directory ===

impl Directory {
    /// Opens the directory of this path, which only the server can change. Its last name must be no symbolic link.
    ///
    /// # Errors
    /// It is not there, or is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = NAMED_ONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self {
            handle: fs::open(path, flags, Mode::empty()).map_err(|error| named(path, error))?,
            way: Way::best(),
        })
    }

    /// Opens a directory beneath this one. What is missing on the way is made, for the owner alone.
    ///
    /// # Errors
    /// A name of the path is something else than a directory: a symbolic link, for one.
    pub fn make(&self, path: &Path) -> io::Result<Self> {
        let mut made: Option<Self> = None;
        for name in names(path)? {
            let parent = made.as_ref().unwrap_or(self);
            match fs::mkdirat(&parent.handle, name, DIRECTORY_MODE) {
                Ok(()) => parent.give(name).map_err(|error| named(path, error))?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(named(path, error)),
            }
            let next = parent.step(name, NAMED_ONLY | OFlags::DIRECTORY, Mounts::Any);
            made = Some(parent.opened(next.map_err(|error| named(path, error))?));
        }
        made.ok_or_else(|| outside(path))
    }

    /// Opens a directory beneath this one.
    ///
    /// # Errors
    /// It is not there, or a name of the path is something else than a directory.
    pub fn at(&self, path: &Path) -> io::Result<Self> {
        let flags = NAMED_ONLY | OFlags::DIRECTORY;
        self.open_beneath(path, flags).map(|it| self.opened(it))
    }

    /// How a file begins: a regular one, of one name alone; at most this many bytes of it.
    ///
    /// # Errors
    /// `NotFound`, `InvalidData` where it is another thing, or what the system says.
    pub fn head(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        let (file, _) = self.plain(path)?;
        let mut content = Vec::new();
        file.take(max_bytes).read_to_end(&mut content)?;
        Ok(content)
    }

    /// What a file holds: a regular one, of one name alone, and of no more than this many bytes.
    ///
    /// # Errors
    /// `NotFound`, `InvalidData` where it is another thing, `FileTooLarge`, or what the system says.
    pub fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        let (file, found) = self.plain(path)?;
        let too_large = || {
            let problem = format!("{} has more than {max_bytes} bytes", path.display());
            io::Error::new(io::ErrorKind::FileTooLarge, problem)
        };
        if u64::try_from(found.st_size).is_ok_and(|size| size > max_bytes) {
            return Err(too_large());
        }
        let mut content = Vec::new();
        // It may grow meanwhile.
        let read = file
            .take(max_bytes.saturating_add(1))
            .read_to_end(&mut content)?;
        if u64::try_from(read).is_ok_and(|read| read > max_bytes) {
            return Err(too_large());
        }
        Ok(content)
    }

    /// A part of what a file holds, at most this many bytes from `offset` on, and the size of all of it: of a regular file, of
    /// one name alone.
    ///
    /// # Errors
    /// `NotFound`, `InvalidData` where it is another thing, or what the system says.
    pub fn part(&self, path: &Path, offset: u64, max_bytes: u64) -> io::Result<(Vec<u8>, u64)> {
        let (mut file, found) = self.plain(path)?;
        let size = u64::try_from(found.st_size).unwrap_or(0);
        file.seek(SeekFrom::Start(offset))?;
        let mut content = Vec::new();
        file.take(max_bytes).read_to_end(&mut content)?;
        Ok((content, size))
    }

    /// What stands in the directory itself, at most this many names.
    ///
    /// # Errors
    /// What the system says.
    pub fn list(&self, max: usize) -> io::Result<Listed> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let list = fs::openat(&self.handle, ".", flags, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in Dir::new(list)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() == max {
                return Ok(Listed {
                    entries,
                    more: true,
                });
            }
            match fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => entries.push((name.to_owned(), found)),
                // Gone meanwhile.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(named(Path::new(name), error)),
            }
        }
        Ok(Listed {
            entries,
            more: false,
        })
    }

    /// Opens a regular file of one name.
    fn plain(&self, path: &Path) -> io::Result<(File, Stat)> {
        // A FIFO without a writer would hold the call; a terminal would become ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(self.open_beneath(path, flags)?);
        let found = fs::fstat(&file)?;
        if !is_plain(&found) {
            let problem = format!("{} is no regular file of one name", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok((file, found))
    }

    /// Gives a file this content, whole or not at all; its mode is 0600. Whatever had the name, a link for one, is
    /// replaced and not written to.
    ///
    /// # Errors
    /// What the system says; a directory of that name is not replaced.
    pub fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let parent = parent.as_ref().unwrap_or(self);
        let unfinished = format!(".{}.new", Uuid::new_v4());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let flags = flags | OFlags::CLOEXEC;
        let file = fs::openat(&parent.handle, &unfinished, flags, FILE_MODE);
        let written = File::from(file.map_err(|error| named(path, error))?)
            .write_all(content)
            .and_then(|()| {
                parent
                    .give(OsStr::new(&unfinished))
                    .and_then(|()| fs::renameat(&parent.handle, &unfinished, &parent.handle, name))
                    .map_err(|error| named(path, error))
            });
        if written.is_err() {
            // It is nobody's; what stays goes with the directory.
            let _ = fs::unlinkat(&parent.handle, &unfinished, AtFlags::empty());
        }
        written
    }

    /// Facts of what has this name, a symbolic link's own where it is one; `None` where nothing has it.
    ///
    /// # Errors
    /// What the system says, and that something on the way is no directory.
    pub fn look(&self, path: &Path) -> io::Result<Option<Stat>> {
        let (parent, name) = self.parent(path)?;
        let parent = parent.as_ref().unwrap_or(self);
        match fs::statat(&parent.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(named(path, error)),
        }
    }

    /// Removes a file, or a symbolic link itself. Does nothing where there is none.
    ///
    /// # Errors
    /// What the system says, and that it is a directory.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let parent = parent.as_ref().unwrap_or(self);
        match fs::unlinkat(&parent.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(named(path, error)),
        }
    }

    /// Removes whatever has this name, a directory with all that is in it. Does nothing where there is nothing. Symbolic
    /// links are removed, never followed; other mounts stay as they are and make it fail. Holds few descriptors and
    /// little memory, however deep and wide a tree is.
    ///
    /// # Errors
    /// What the system says, and `TimedOut` where it is not done after ten minutes: something fills the
    /// directory while it is emptied. What was not removed is still there.
    pub fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = match self.parent(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let parent = parent.as_ref().unwrap_or(self);
        removal::remove(parent, name).map_err(|error| with_path(path, error))
    }

    /// Gives a directory with all that is in it to a user, and the group of the same number; does nothing where it is that
    /// user's. Symbolic links are given themselves. What has several names, lies on another mount or more than 256
    /// directories deep stays as it is. Needs the rights of root.
    ///
    /// # Errors
    /// What the system says; the next call goes on.
    #[cfg(target_os = "linux")]
    pub fn hand_over(&self, path: &Path, user: u32) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let parent = parent.as_ref().unwrap_or(self);
        handover::give(parent, name, user).map_err(|error| with_path(path, error))
    }

    /// Lets every user pass through a directory to what it knows the name of.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(target_os = "linux")]
    pub fn let_pass(&self) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        // A handle that can only name things changes no mode itself, but by its own name it does.
        let itself = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        let mode = Mode::from_raw_mode(fs::fstat(&self.handle)?.st_mode);
        Ok(fs::chmod(itself, mode | Mode::XGRP | Mode::XOTH)?)
    }

    /// Gives the directory itself, and nothing in it, to a user and the group of the same number.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(target_os = "linux")]
    pub fn give_itself(&self, user: u32) -> io::Result<()> {
        handover::chown(&self.handle, user)
    }

    /// Makes an empty file; false where something has the name already.
    ///
    /// # Errors
    /// What the system says.
    pub fn claim(&self, name: &str) -> io::Result<bool> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        match fs::openat(&self.handle, name, flags | OFlags::CLOEXEC, FILE_MODE) {
            Ok(_) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(named(Path::new(name), error)),
        }
    }

    /// The user that it belongs to.
    ///
    /// # Errors
    /// What the system says.
    pub fn owner(&self) -> io::Result<u32> {
        Ok(fs::fstat(&self.handle)?.st_uid)
    }

    /// Gives what was just made to the directory's own user: an agent that has another one than the server is to read it.
    fn give(&self, name: &OsStr) -> Result<(), Errno> {
        let owner = fs::fstat(&self.handle)?;
        if owner.st_uid == rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        let user = fs::Uid::from_raw(owner.st_uid);
        let group = fs::Gid::from_raw(owner.st_gid);
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        fs::chownat(&self.handle, name, Some(user), Some(group), itself)
    }

    /// The directory of a path's last name, where that is not this one, and the name.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(Option<Self>, &'a OsStr)> {
        let name = *names(path)?.last().ok_or_else(|| outside(path))?;
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        Ok((parent.map(|it| self.at(it)).transpose()?, name))
    }

    fn open_beneath(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let names = names(path)?;
        let (last, before) = names.split_last().ok_or_else(|| outside(path))?;
        let opened = match self.way {
            #[cfg(target_os = "linux")]
            Way::Kernel => kernel_open(&self.handle, path.as_os_str(), flags, Mounts::Any),
            Way::ByName => {
                let mut directory: Option<Self> = None;
                let walked = before.iter().try_for_each(|name| {
                    let from = directory.as_ref().unwrap_or(self);
                    let next = from.step(name, NAMED_ONLY | OFlags::DIRECTORY, Mounts::Any)?;
                    directory = Some(self.opened(next));
                    Ok(())
                });
                let from = directory.as_ref().unwrap_or(self);
                walked.and_then(|()| from.step(last, flags, Mounts::Any))
            }
        };
        opened.map_err(|error| named(path, error))
    }

    /// Opens what has a name in this directory.
    fn step(&self, name: &OsStr, flags: OFlags, mounts: Mounts) -> Result<OwnedFd, Errno> {
        match self.way {
            #[cfg(target_os = "linux")]
            Way::Kernel => kernel_open(&self.handle, name, flags, mounts),
            Way::ByName => {
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = fs::openat(&self.handle, name, flags, Mode::empty())?;
                // Tells mounts of other file systems; those of the same one can't be told apart this way.
                if mounts == Mounts::This
                    && fs::fstat(&opened)?.st_dev != fs::fstat(&self.handle)?.st_dev
                {
                    return Err(Errno::XDEV);
                }
                Ok(opened)
            }
        }
    }

    fn opened(&self, handle: OwnedFd) -> Self {
        Self {
            handle,
            way: self.way,
        }
    }
}

// === impl Way ===

impl Way {
    #[cfg(target_os = "linux")]
    fn best() -> Self {
        static BEST: std::sync::LazyLock<Way> = std::sync::LazyLock::new(|| {
            let tried = kernel_open(fs::CWD, OsStr::new("."), NAMED_ONLY, Mounts::Any);
            // Filters that don't know a call answer one of both.
            match tried {
                Err(Errno::NOSYS | Errno::PERM) => Way::ByName,
                Ok(_) | Err(_) => Way::Kernel,
            }
        });
        *BEST
    }

    #[cfg(not(target_os = "linux"))]
    fn best() -> Self {
        Self::ByName
    }
}

#[cfg(target_os = "linux")]
fn kernel_open(
    directory: impl std::os::fd::AsFd,
    path: &OsStr,
    flags: OFlags,
    mounts: Mounts,
) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    /// How often a walk is tried again that another process's renames have made unsafe.
    const RACES_MAX: usize = 16;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let resolve = match mounts {
        Mounts::Any => beneath,
        Mounts::This => beneath | ResolveFlags::NO_XDEV,
    };
    let mut races = 0;
    loop {
        match fs::openat2(directory.as_fd(), path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if races < RACES_MAX => races += 1,
            other => return other,
        }
    }
}

/// Runs work with files on a thread that may wait for the disk.
///
/// # Errors
/// The work's own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|failed| Err(io::Error::other(failed)))
}

/// The names of a path: at least one, and none that leads up or to a root.
fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let names = path.components().map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            None
        }
    });
    names
        .collect::<Option<Vec<_>>>()
        .filter(|names| !names.is_empty())
        .ok_or_else(|| outside(path))
}

fn outside(path: &Path) -> io::Error {
    let problem = format!("{} is no path beneath a directory", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// A regular file that has no other name.
pub fn is_plain(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink == 1
}

/// The system's word, and where. Its own for a link that was not followed is about loops.
fn named(path: &Path, error: Errno) -> io::Error {
    let error = match error {
        Errno::LOOP => io::Error::new(
            io::ErrorKind::InvalidData,
            "a symbolic link stands there, which is not followed",
        ),
        // What is said of a link where a directory is opened.
        Errno::NOTDIR => io::Error::new(
            io::ErrorKind::NotADirectory,
            "what stands there is no directory; symbolic links are not followed",
        ),
        other => io::Error::from(other),
    };
    with_path(path, error)
}

fn with_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
