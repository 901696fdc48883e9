//! The file: its schema, its migrations, its connections.
//!
//! The schema's version is SQLite's `user_version`. A file of a newer version is refused, never touched.

use super::fault::OpenError;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, config::DbConfig,
};
#[cfg(debug_assertions)]
use std::sync::atomic::Ordering;
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::atomic::AtomicU64,
    time::Duration,
};
use uuid::Uuid;

/// Name of the database inside the data directory.
pub(super) const FILE_NAME: &str = "quarterdeck.db";
/// Marks the file as ours: the ASCII of `QDCK`.
const APPLICATION_ID: i64 = 0x5144_434B;
/// Every migration in order; its place, from 1, is the schema's version after it.
const MIGRATIONS: [&str; 22] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_access.sql"),
    include_str!("migrations/0003_memory.sql"),
    include_str!("migrations/0004_sender_memory.sql"),
    include_str!("migrations/0005_keys.sql"),
    include_str!("migrations/0006_memory_index.sql"),
    include_str!("migrations/0007_content.sql"),
    include_str!("migrations/0008_storage.sql"),
    include_str!("migrations/0009_questions.sql"),
    include_str!("migrations/0010_agents.sql"),
    include_str!("migrations/0011_offers.sql"),
    include_str!("migrations/0012_commands.sql"),
    include_str!("migrations/0013_plan.sql"),
    include_str!("migrations/0014_output.sql"),
    include_str!("migrations/0015_usage.sql"),
    include_str!("migrations/0016_schedules.sql"),
    include_str!("migrations/0017_workers.sql"),
    include_str!("migrations/0018_webhooks.sql"),
    include_str!("migrations/0019_artifacts.sql"),
    include_str!("migrations/0020_routing.sql"),
    include_str!("migrations/0021_turn_text.sql"),
    include_str!("migrations/0022_content_pieces.sql"),
];
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 192;
/// Size to which the log shrinks again after a peak, in bytes.
const LOG_MAX_BYTES: i64 = 64 * 1024 * 1024;
/// Page cache of the writer, in KiB (negative by SQLite's convention).
const WRITER_CACHE_KIB: i64 = -64 * 1024;
/// Wait for a lock that another process (a backup) holds.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// What the file says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileIdentity {
    /// Names this store; never changes.
    pub(crate) store_id: Uuid,
    /// Changes at a restore, and every log id with it.
    pub(crate) generation: Uuid,
}

/// Opens the file for writing, makes or upgrades it.
pub(super) fn open_writer(directory: &Path) -> Result<(Connection, FileIdentity), OpenError> {
    open_writer_if(directory, |_| Ok(()))
}

/// The same, where a look at the file as it is does not refuse it.
pub(super) fn open_writer_if(
    directory: &Path,
    look: impl FnOnce(&Connection) -> Result<(), OpenError>,
) -> Result<(Connection, FileIdentity), OpenError> {
    let path = directory.join(FILE_NAME);
    let is_new = !path.try_exists()?;
    make_private(&path)?;
    let mut connection = Connection::open(&path)?;
    connection.busy_timeout(BUSY_MAX)?;
    plan_once(&connection)?;
    // A file that is refused stays byte for byte: else closing it would move its log into it.
    keep_log_at_close(&connection, true)?;
    check_version(&connection)?;
    look(&connection)?;
    keep_log_at_close(&connection, false)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // `log.rs` moves the log; SQLite would do it inside of a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_MAX_BYTES)?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // What is deleted is overwritten: erasing a memory or a session promises that.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    migrate(&mut connection)?;
    #[cfg(debug_assertions)]
    count_prepared_again(&mut connection)?;
    if is_new {
        // SQLite syncs the file; its name is the directory's.
        File::open(directory)?.sync_all()?;
    }
    let identity = identity(&connection)?;
    Ok((connection, identity))
}

/// Makes a file that its owner alone can read, where there is none; SQLite gives its logs the same mode.
pub(super) fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

/// Opens the file for moving the log into it.
pub(super) fn open_mover(directory: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open(directory.join(FILE_NAME))?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// Opens the file of a data directory for reading.
pub(crate) fn open_reader_of(directory: &Path) -> rusqlite::Result<Connection> {
    open_reader(&directory.join(FILE_NAME))
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    plan_once(&connection)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// The schema that this binary writes.
pub(super) fn newest_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("few migrations")
}

/// A statement's plan does not depend on what is bound to it. Without this SQLite prepares a statement whose `WHERE`
/// meets the condition of a partial index anew at each use.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

/// Whether the log stays where it is when the last connection is closed.
fn keep_log_at_close(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}

/// Times that a writer of this process used a statement which had been prepared more than once. Counted in debug builds.
pub(super) static PREPARED_AGAIN: AtomicU64 = AtomicU64::new(0);

#[cfg(debug_assertions)]
fn count_prepared_again(connection: &mut Connection) -> rusqlite::Result<()> {
    use rusqlite::{
        StatementStatus,
        trace::{TraceEvent, TraceEventCodes},
    };
    let count = |event: TraceEvent<'_>| {
        if let TraceEvent::Profile(statement, _) = event
            && statement.get_status(StatementStatus::RePrepare) > 0
        {
            PREPARED_AGAIN.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(sql = %statement.sql(), "a statement was prepared again");
        }
    };
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(count))
}

/// Refuses a file of a newer binary, or of another program.
pub(super) fn check_version(connection: &Connection) -> Result<i64, OpenError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version")?;
    let supported = newest_version();
    if found > supported {
        return Err(OpenError::Newer { found, supported });
    }
    if found > 0 && pragma("application_id")? != APPLICATION_ID {
        return Err(OpenError::Unusable("it belongs to another program".into()));
    }
    Ok(found)
}

/// Reads the file's identity.
pub(super) fn identity(connection: &Connection) -> Result<FileIdentity, OpenError> {
    let read = |name: &str| {
        connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.get::<_, Uuid>(0)
            })
            .optional()?
            .ok_or_else(|| OpenError::Unusable(format!("it has no {name}")))
    };
    Ok(FileIdentity {
        store_id: read("store_id")?,
        generation: read("generation")?,
    })
}

/// Gives the store a new generation: every log id changes.
pub(super) fn renew_generation(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE meta SET value = ?1 WHERE name = 'generation'",
        [Uuid::new_v4()],
    )?;
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found = check_version(connection)?;
    let done = usize::try_from(found)
        .map_err(|_| OpenError::Unusable(format!("its schema is {found}")))?;
    for (number, sql) in (1i64..).zip(MIGRATIONS).skip(done) {
        // One transaction each: a process that dies between two finds a whole schema.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        if number == 1 {
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            let mut insert =
                transaction.prepare("INSERT INTO meta (name, value) VALUES (?1, ?2)")?;
            insert.execute(("store_id", Uuid::new_v4()))?;
            insert.execute(("generation", Uuid::new_v4()))?;
            insert.execute(("sessions", 0i64))?;
        }
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before `*`, the first key listed the scopes of its version: it is found by that, and by who made it for what.
    #[test]
    fn the_first_key_of_before_gets_all_scopes_and_no_other_does() {
        let connection = Connection::open_in_memory().expect("memory");
        let keys = MIGRATIONS
            .iter()
            .position(|sql| sql.contains("api_key_made_with"))
            .expect("it is one of them");
        for sql in &MIGRATIONS[..keys] {
            connection.execute_batch(sql).expect("it applies");
        }
        let all = "admin.config admin.keys admin.logs memory.read memory.write session.abort session.approve \
                   session.read session.reset session.steer session.write tenant.sessions worker.connect";
        let insert = |id: &str, tenant: &str, subject: &str, scopes: &str, name: &str| {
            connection
                .execute(
                    "INSERT INTO api_key (key_id, hash, tenant, subject, scopes, display_name, created_by, create_time) \
                     VALUES (?1, x'00', ?2, ?3, ?4, ?5, 'default/local', 0)",
                    [id, tenant, subject, scopes, name],
                )
                .expect("it is kept");
        };
        insert("first", "default", "local", all, "made at the first start");
        insert("again", "default", "local", all, "made by reset-admin");
        insert("list", "default", "local", all, "");
        insert("other", "default", "anna", all, "made at the first start");
        insert(
            "less",
            "default",
            "local",
            "session.read",
            "made at the first start",
        );
        connection
            .execute_batch(MIGRATIONS[keys])
            .expect("it applies");
        let mut stars = connection
            .prepare("SELECT key_id FROM api_key WHERE scopes = '*' ORDER BY row")
            .expect("a query");
        let stars: Vec<String> = stars
            .query_map([], |row| row.get(0))
            .expect("rows")
            .map(|row| row.expect("a row"))
            .collect();
        assert_eq!(stars, ["first", "again"]);
    }
}
