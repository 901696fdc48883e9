//! The root that an agent on rung `namespace` sees: an empty one, with what its layout names bound into it.
//!
//! Sources are opened beneath the old root without following any link, since an agent of an earlier life may have left
//! one in its own directories. Everything is in place, and what is for reading only is so, before the agent starts.

use super::{
    ProcView,
    layout::{Access, Entry},
    plan::{Plan, Step},
};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_bind, mount_bind_recursive, mount_change, mount_remount, move_mount, open_tree,
        unmount,
    },
    process::{chdir, geteuid, pivot_root, umask},
};
use std::{
    ffi::{CString, OsString},
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt, fs::symlink},
    },
    path::{Path, PathBuf},
};

/// Where the machine's root is while the new one is built.
const OLD: &str = "/oldroot";
/// Where the new root is built.
const NEW: &str = "/newroot";

const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
/// Step that fails where `/proc` is partly covered; the probe knows it by this name.
pub(super) const MOUNT_PROC: &str = "mount /proc";

/// Devices that everyone may use.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// Parts of `/proc` by which root, even without rights, changes the whole machine.
const KERNEL: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];
/// Writable places of the new root that are nobody else's.
const OWN: [&str; 4] = ["/tmp", "/var/tmp", "/dev", "/proc"];

/// Builds the root and moves into it. Needs a mount namespace of our own and the right to mount.
pub(super) fn build(plan: &Plan) -> io::Result<()> {
    // What leads to an agent's directories is for it to pass, whoever it is.
    umask(Mode::WGRP | Mode::WOTH);
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .step("make mounts private")?;
    tmpfs("/tmp", "mode=755,size=1m", PLAIN).step("mount a root to build in")?;
    for name in ["oldroot", "newroot"] {
        fs::create_dir(Path::new("/tmp").join(name)).step("make the roots")?;
    }
    pivot_root("/tmp", "/tmp/oldroot").step("leave the old root")?;
    chdir("/").step("leave the old root")?;
    tmpfs(NEW, "mode=755,size=4m", PLAIN).step("mount the new root")?;
    for name in ["tmp", "var/tmp", "run", "dev", "proc"] {
        fs::create_dir_all(Path::new(NEW).join(name)).step("fill the new root")?;
    }
    let size = plan.tmp_max_bytes;
    tmpfs(&inside("tmp"), &format!("mode=1777,size={size}"), PLAIN).step("mount /tmp")?;
    mount_bind(inside("tmp"), inside("var/tmp")).step("mount /var/tmp")?;
    devices(size)?;
    processes(plan.proc)?;
    let old = directory(OLD)?;
    for entry in &plan.layout {
        place(&old, entry).step(entry.path.display())?;
    }
    protect(&plan.layout)?;
    enter()?;
    umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

fn enter() -> io::Result<()> {
    unmount(OLD, UnmountFlags::DETACH).step("let go of the old root")?;
    chdir(NEW).step("enter the new root")?;
    pivot_root(".", ".").step("enter the new root")?;
    unmount(".", UnmountFlags::DETACH).step("let go of the old root")?;
    chdir("/").step("enter the new root")?;
    let read_only = MountFlags::BIND | MountFlags::RDONLY | PLAIN;
    mount_remount("/", read_only, "").step("make the new root read-only")
}

fn inside(path: &str) -> String {
    format!("{NEW}/{path}")
}

fn tmpfs(at: &str, options: &str, flags: MountFlags) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(mount(
        "tmpfs",
        at,
        "tmpfs",
        flags,
        Some(options.as_c_str()),
    )?)
}

fn devices(size: u64) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    tmpfs(&inside("dev"), "mode=755,size=64k", flags).step("mount /dev")?;
    for name in DEVICES {
        let target = inside(&format!("dev/{name}"));
        fs::write(&target, "").step("fill /dev")?;
        mount_bind(format!("{OLD}/dev/{name}"), target).step(format!("mount /dev/{name}"))?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, inside(&format!("dev/{name}"))).step("fill /dev")?;
    }
    for name in ["dev/shm", "dev/pts"] {
        fs::create_dir(inside(name)).step("fill /dev")?;
    }
    tmpfs(&inside("dev/shm"), &format!("mode=1777,size={size}"), PLAIN).step("mount /dev/shm")?;
    let options = Some(c"newinstance,ptmxmode=0666,mode=620");
    mount("devpts", inside("dev/pts"), "devpts", flags, options).step("mount /dev/pts")
}

fn processes(view: ProcView) -> io::Result<()> {
    let at = inside("proc");
    match view {
        ProcView::Own => {
            mount("proc", &at, "proc", PLAIN | MountFlags::NOEXEC, None).step(MOUNT_PROC)?
        }
        ProcView::Shared | ProcView::Host => {
            mount_bind_recursive(format!("{OLD}/proc"), &at).step("bind /proc")?;
        }
    }
    if !geteuid().is_root() {
        return Ok(());
    }
    for name in KERNEL {
        let path = format!("{at}/{name}");
        if !Path::new(&path).exists() {
            continue;
        }
        mount_bind_recursive(&path, &path).step(format!("bind /proc/{name}"))?;
        let flags = MountFlags::BIND | MountFlags::RDONLY | PLAIN | MountFlags::NOEXEC;
        mount_remount(&path, flags, "").step(format!("make /proc/{name} read-only"))?;
    }
    Ok(())
}

fn directory(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).step(path)
}

/// Opens what a path names beneath a root, through no link.
fn open_beneath(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    openat2(
        root,
        relative,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Puts one entry in its place; what is for reading only becomes so later, since others are put into it.
fn place(old: &OwnedFd, entry: &Entry) -> io::Result<()> {
    let Entry { path, access } = entry;
    let source = match open_beneath(old, path) {
        Ok(source) => source,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) if *access != Access::Write => {
            return Ok(());
        }
        // Systems have links such as /bin, and so have ways to programs; what one names is an entry of its own or hidden.
        Err(Errno::LOOP) if *access == Access::Read => return place_link(path),
        Err(error) => return Err(error.into()),
    };
    let is_directory = FileType::from_raw_mode(fstat(&source)?.st_mode).is_dir();
    let name = path.strip_prefix("/").unwrap_or(path);
    let target = Path::new(NEW).join(name);
    if *access == Access::Hidden {
        return hide(&target, is_directory);
    }
    let new = directory(NEW)?;
    // Only where nothing is yet: the new root and what hides a directory are ours to fill.
    let place = match open_beneath(&new, path) {
        Ok(place) => place,
        Err(Errno::NOENT) => {
            if is_directory {
                fs::create_dir_all(&target)?;
            } else {
                fs::create_dir_all(target.parent().unwrap_or(&target))?;
                fs::write(&target, "")?;
            }
            open_beneath(&new, path)?
        }
        Err(error) => return Err(error.into()),
    };
    let tree = open_tree(
        &source,
        "",
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE,
    )?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(&tree, "", &place, "", flags)?)
}

/// Makes the same link in the new root.
fn place_link(path: &Path) -> io::Result<()> {
    let name = path.strip_prefix("/").unwrap_or(path);
    let target = fs::read_link(Path::new(OLD).join(name))
        .map_err(|_| io::Error::other("leads through a symbolic link; name the real path"))?;
    let link = Path::new(NEW).join(name);
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)?;
    }
    match symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Covers what is there with nothing.
fn hide(target: &Path, is_directory: bool) -> io::Result<()> {
    if is_directory {
        let target = target.to_string_lossy();
        tmpfs(&target, "mode=755,size=1m", PLAIN)
    } else {
        Ok(mount_bind(format!("{OLD}/dev/null"), target)?)
    }
}

/// Takes set-user-id programs and devices from every mount, and writing from those that are only for reading.
fn protect(layout: &[Entry]) -> io::Result<()> {
    let mounts = fs::read(format!("{OLD}/proc/self/mountinfo")).step("read the mounts")?;
    for line in mounts.split(|byte| *byte == b'\n') {
        let Some((at, kept)) = mount_line(line) else {
            continue;
        };
        let Ok(path) = at.strip_prefix(NEW) else {
            continue;
        };
        let path = Path::new("/").join(path);
        let Some(governing) = layout.iter().rfind(|entry| path.starts_with(&entry.path)) else {
            continue;
        };
        let is_own = OWN.iter().any(|own| path == Path::new(own));
        if is_own {
            continue;
        }
        let read_only = match governing.access {
            Access::Write => MountFlags::empty(),
            Access::Read | Access::Hidden => MountFlags::RDONLY,
        };
        // Flags that a mount has already must be kept: some of them are locked here.
        let flags = MountFlags::BIND | PLAIN | kept | read_only;
        mount_remount(&at, flags, "").step(format!("protect {}", path.display()))?;
    }
    Ok(())
}

/// Where a mount is, and its flags, from a line of `mountinfo`.
fn mount_line(line: &[u8]) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let at = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
    let mut flags = MountFlags::empty();
    for option in fields.next()?.split(|byte| *byte == b',') {
        flags |= match option {
            b"ro" => MountFlags::RDONLY,
            b"nosuid" => MountFlags::NOSUID,
            b"nodev" => MountFlags::NODEV,
            b"noexec" => MountFlags::NOEXEC,
            b"noatime" => MountFlags::NOATIME,
            b"nodiratime" => MountFlags::NODIRATIME,
            b"relatime" => MountFlags::RELATIME,
            _ => MountFlags::empty(),
        };
    }
    Some((at, flags))
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_a_place_and_flags() {
        let line =
            b"36 35 98:0 /root /mnt/a\\040b\\134 rw,noatime,nosuid master:1 - ext4 /dev/root rw";
        let (at, flags) = mount_line(line).expect("it is a line");
        assert_eq!(at, Path::new("/mnt/a b\\"));
        assert_eq!(flags, MountFlags::NOATIME | MountFlags::NOSUID);
        assert_eq!(mount_line(b""), None);
    }
}
