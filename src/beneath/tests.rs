//! Everything that an agent can put at a name, met in both ways of opening.

use super::*;
use std::{
    fs::{self as files, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// A directory that an agent writes in, and one outside that it wants written, read or removed.
struct World {
    _place: tempfile::TempDir,
    inside: PathBuf,
    outside: PathBuf,
    directory: Directory,
}

impl World {
    fn new(way: Way) -> Self {
        let place = tempfile::tempdir().unwrap();
        let [inside, outside] = ["inside", "outside"].map(|name| {
            let path = place.path().join(name);
            files::create_dir(&path).unwrap();
            path
        });
        files::write(outside.join("secret"), "secret").unwrap();
        let directory = Directory {
            way,
            ..Directory::open(&inside).unwrap()
        };
        Self {
            _place: place,
            inside,
            outside,
            directory,
        }
    }

    /// Nothing outside was changed or made.
    fn assert_untouched(&self) {
        let names: Vec<_> = files::read_dir(&self.outside)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        let secret = files::read_to_string(self.outside.join("secret")).unwrap();
        assert_eq!(secret, "secret");
    }
}

fn both(test: impl Fn(Way)) {
    #[cfg(target_os = "linux")]
    test(Way::Kernel);
    test(Way::ByName);
}

fn fifo(path: &Path) {
    fs::mknodat(fs::CWD, path, FileType::Fifo, FILE_MODE, 0).unwrap();
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.expect_err("it is refused").kind()
}

#[test]
fn what_is_written_can_be_read_and_removed() {
    both(|way| {
        let world = World::new(way);
        let World {
            directory, inside, ..
        } = &world;
        let path = Path::new("a/b/file");
        assert_eq!(kind(directory.write(path, b"x")), io::ErrorKind::NotFound);
        let below = directory.make(Path::new("a/b")).unwrap();
        for content in ["one", "two"] {
            directory.write(path, content.as_bytes()).unwrap();
            assert_eq!(directory.read(path, 3).unwrap(), content.as_bytes());
        }
        assert_eq!(below.read(Path::new("file"), 3).unwrap(), b"two");
        for (name, expected) in [("a", 0o700), ("a/b", 0o700), ("a/b/file", 0o600)] {
            let mode = files::metadata(inside.join(name)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o7777, expected, "{name}");
        }
        // Nothing unfinished stays.
        assert_eq!(files::read_dir(inside.join("a/b")).unwrap().count(), 1);
        assert!(directory.look(path).unwrap().is_some());
        directory.remove_file(path).unwrap();
        directory.remove_file(path).unwrap();
        assert!(directory.look(path).unwrap().is_none());
        assert_eq!(kind(directory.read(path, 3)), io::ErrorKind::NotFound);
        directory.remove_tree(Path::new("a")).unwrap();
        directory.remove_tree(Path::new("a/b")).unwrap();
        assert_eq!(files::read_dir(inside).unwrap().count(), 0);
    });
}

#[test]
fn a_symbolic_link_is_never_followed() {
    both(|way| {
        let world = World::new(way);
        let World {
            directory,
            inside,
            outside,
            ..
        } = &world;
        symlink(outside, inside.join("link")).unwrap();
        symlink(outside.join("secret"), inside.join("file")).unwrap();
        symlink(outside.join("new"), inside.join("dangling")).unwrap();
        symlink("/proc/self/root", inside.join("magic")).unwrap();
        // What fails to refuse it meets a file of this test, and no other of the machine.
        let magic = Path::new("magic").join(outside.strip_prefix("/").unwrap());
        let paths = ["link/secret", "link/new", "link/a/b"].map(PathBuf::from);
        for path in paths.into_iter().chain([magic.join("secret")]) {
            let path = path.as_path();
            assert!(directory.read(path, 100).is_err(), "{path:?}");
            assert!(directory.write(path, b"x").is_err(), "{path:?}");
            assert!(directory.make(path).is_err(), "{path:?}");
            assert!(directory.at(path).is_err(), "{path:?}");
            assert!(directory.look(path).is_err(), "{path:?}");
            assert!(directory.remove_file(path).is_err(), "{path:?}");
            assert!(directory.remove_tree(path).is_err(), "{path:?}");
        }
        for path in ["link", "dangling", "magic", "file"] {
            let path = Path::new(path);
            assert!(directory.read(path, 100).is_err(), "{path:?}");
            assert!(directory.make(path).is_err(), "{path:?}");
            assert!(directory.at(path).is_err(), "{path:?}");
        }
        let said = directory
            .read(Path::new("file"), 9)
            .unwrap_err()
            .to_string();
        assert_eq!(
            said,
            "file: a symbolic link stands there, which is not followed"
        );
        world.assert_untouched();
        // A write takes the link's place.
        for path in ["file", "dangling", "link"].map(Path::new) {
            directory.write(path, b"mine").unwrap();
            assert_eq!(directory.read(path, 4).unwrap(), b"mine");
        }
        world.assert_untouched();
    });
}

#[test]
fn a_path_that_leads_up_or_to_a_root_is_refused() {
    both(|way| {
        let world = World::new(way);
        let absolute = world.outside.join("secret");
        let paths = [
            "../outside/secret",
            "a/../../outside/secret",
            "..",
            ".",
            "",
            "/",
        ];
        for path in paths.map(Path::new).into_iter().chain([absolute.as_path()]) {
            let directory = &world.directory;
            let wrong = io::ErrorKind::InvalidInput;
            assert_eq!(kind(directory.read(path, 100)), wrong, "{path:?}");
            assert_eq!(kind(directory.write(path, b"x")), wrong, "{path:?}");
            assert_eq!(kind(directory.make(path)), wrong, "{path:?}");
            assert_eq!(kind(directory.at(path)), wrong, "{path:?}");
            assert_eq!(kind(directory.look(path)), wrong, "{path:?}");
            assert_eq!(kind(directory.remove_file(path)), wrong, "{path:?}");
            assert_eq!(kind(directory.remove_tree(path)), wrong, "{path:?}");
        }
        world.assert_untouched();
    });
}

/// Each would hang the call, fill memory, or give away a file of somebody else.
#[test]
fn only_a_regular_file_of_one_name_and_a_bounded_size_is_read() {
    both(|way| {
        let world = World::new(way);
        let World {
            directory,
            inside,
            outside,
            ..
        } = &world;
        fifo(&inside.join("fifo"));
        files::hard_link(outside.join("secret"), inside.join("hard")).unwrap();
        for name in ["fifo", "hard"].map(Path::new) {
            assert_eq!(kind(directory.read(name, 100)), io::ErrorKind::InvalidData);
        }
        // A gigabyte that takes no room on the disk.
        let large = files::File::create(inside.join("large")).unwrap();
        large.set_len(1 << 30).unwrap();
        let name = Path::new("large");
        assert_eq!(
            kind(directory.read(name, 1 << 20)),
            io::ErrorKind::FileTooLarge
        );
        large.set_len(4).unwrap();
        assert_eq!(kind(directory.read(name, 3)), io::ErrorKind::FileTooLarge);
        assert_eq!(directory.read(name, 4).unwrap(), [0; 4]);
        // A write replaces them, and changes nothing behind them.
        for name in ["fifo", "hard", "large"].map(Path::new) {
            directory.write(name, b"mine").unwrap();
            assert_eq!(directory.read(name, 4).unwrap(), b"mine");
        }
        world.assert_untouched();
        // A directory is not replaced, and nothing unfinished is left.
        directory.make(Path::new("taken/below")).unwrap();
        assert!(directory.write(Path::new("taken"), b"x").is_err());
        assert_eq!(files::read_dir(inside).unwrap().count(), 4);
    });
}

#[test]
fn a_tree_is_removed_without_what_its_links_lead_to() {
    both(|way| {
        let world = World::new(way);
        let World {
            directory,
            inside,
            outside,
            ..
        } = &world;
        files::create_dir_all(inside.join("tree/a/b")).unwrap();
        symlink(outside, inside.join("tree/a/link")).unwrap();
        symlink(outside.join("secret"), inside.join("tree/file")).unwrap();
        files::hard_link(outside.join("secret"), inside.join("tree/a/b/hard")).unwrap();
        fifo(&inside.join("tree/fifo"));
        symlink(outside, inside.join("only a link")).unwrap();
        for name in ["tree", "only a link"].map(Path::new) {
            directory.remove_tree(name).unwrap();
        }
        assert_eq!(files::read_dir(inside).unwrap().count(), 0);
        world.assert_untouched();
    });
}

/// A walk with a descriptor or a stack frame for each level would fail at a depth that an agent chooses; one that reads a
/// directory whole would fill memory; and one that trusts modes would stop.
#[test]
fn a_tree_that_is_deep_wide_or_closed_is_removed() {
    both(|way| {
        let world = World::new(way);
        let World {
            directory, inside, ..
        } = &world;
        const DEPTH: usize = 1500;
        let mut at = directory.make(Path::new("tree")).unwrap();
        for _ in 0..DEPTH {
            at = at.make(Path::new("d")).unwrap();
            at.write(Path::new("f"), b"x").unwrap();
        }
        for number in 0..2500 {
            files::write(inside.join(format!("tree/{number}")), "").unwrap();
        }
        files::create_dir_all(inside.join("tree/closed/within/more")).unwrap();
        for name in ["tree/closed/within", "tree/closed", "tree"] {
            files::set_permissions(inside.join(name), Permissions::from_mode(0o000)).unwrap();
        }
        directory.remove_tree(Path::new("tree")).unwrap();
        assert_eq!(files::read_dir(inside).unwrap().count(), 0);
    });
}

/// While an agent swaps a directory for a link and back, every write goes inside or fails.
#[test]
fn a_name_that_changes_meanwhile_leads_nowhere_else() {
    both(|way| {
        let world = World::new(way);
        let World {
            directory,
            inside,
            outside,
            ..
        } = &world;
        let (real, link, name) = (
            inside.join("real"),
            inside.join("link"),
            inside.join("name"),
        );
        files::create_dir(&real).unwrap();
        symlink(outside, &link).unwrap();
        let done = AtomicBool::new(false);
        /// Ends the other thread, also where this one panics.
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    for one in [&real, &link] {
                        files::rename(one, &name).unwrap();
                        files::rename(&name, one).unwrap();
                    }
                }
            });
            let _ends = Ends(&done);
            let mut written = 0;
            for _ in 0..1000 {
                let path = Path::new("name/file");
                written += usize::from(directory.write(path, b"x").is_ok());
                let _ = directory.read(path, 10);
                let _ = directory.remove_file(path);
                let _ = directory.remove_tree(Path::new("name/secret"));
                world.assert_untouched();
            }
            eprintln!("{written} of 1000 writes met the directory");
        });
    });
}
