//! Backup of a store that may be in use, and its restore as a new generation.
//!
//! A restore takes acknowledged work back, so it gives the store a new generation: every log id changes, and a cursor
//! of before is told `LOG_CHANGED` instead of reading another history. Request ids are kept.

use super::{
    mark::MARK_NAME,
    schema::{self, FILE_NAME},
};
use anyhow::{Context as _, bail, ensure};
use rusqlite::{Connection, backup::Backup};
use std::{
    fs::{self, File},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// Pages of one step: all of them, so that the copy is of one moment and no writer starts it anew.
const ALL_PAGES: i32 = -1;

/// Copies the store of a data directory, as it is at one moment, into an empty directory. Writers go on.
///
/// # Errors
/// The directory holds no store, the target is not empty, or the disk fails.
pub fn backup(data_directory: &Path, target_directory: &Path) -> anyhow::Result<()> {
    let source = data_directory.join(FILE_NAME);
    ensure!(
        source.try_exists()?,
        "{} holds no store",
        data_directory.display()
    );
    make_directory(target_directory)
        .with_context(|| format!("can't make {}", target_directory.display()))?;
    if fs::read_dir(target_directory)?.next().is_some() {
        bail!("{} is not empty", target_directory.display());
    }
    copy(&source, target_directory, |_| Ok(()))
}

/// Puts a backup into a data directory that has no store yet.
///
/// # Errors
/// The source holds no store or one of a newer version, the data directory has a store, or the disk fails.
pub fn restore(source_directory: &Path, data_directory: &Path) -> anyhow::Result<()> {
    let source = source_directory.join(FILE_NAME);
    ensure!(
        source.try_exists()?,
        "{} holds no backup",
        source_directory.display()
    );
    make_directory(data_directory)
        .with_context(|| format!("can't make {}", data_directory.display()))?;
    ensure!(
        !data_directory.join(FILE_NAME).try_exists()?,
        "{} holds a store already; restore into an empty directory",
        data_directory.display()
    );
    copy(&source, data_directory, |copied| {
        schema::check_version(copied)?;
        schema::identity(copied)?;
        schema::renew_generation(copied)?;
        Ok(())
    })?;
    // It tells of a store that was here before, if of any.
    match fs::remove_file(data_directory.join(MARK_NAME)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a directory that its owner alone can read, where there is none.
fn make_directory(directory: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Copies a database under another name, changes it, and gives it its name when it is whole and on the disk.
fn copy(
    source: &Path,
    directory: &Path,
    change: impl FnOnce(&Connection) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let unfinished = directory.join(format!("{FILE_NAME}.unfinished"));
    // Left by a copy that was cut.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    {
        let from = schema::open_reader(source)?;
        schema::make_private(&unfinished)?;
        let mut to = Connection::open(&unfinished)?;
        Backup::new(&from, &mut to)?.step(ALL_PAGES)?;
        // One file, no log beside it.
        to.pragma_update(None, "journal_mode", "DELETE")?;
        change(&to)?;
        let verdict: String = to.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        ensure!(verdict == "ok", "the copy is damaged: {verdict}");
        to.close().map_err(|(_, error)| error)?;
    }
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, directory.join(FILE_NAME))?;
    File::open(directory)?.sync_all()?;
    Ok(())
}
