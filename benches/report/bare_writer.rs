//! The floor of Enqueue: the statements of an admission on the gateway's own tables, and nothing else.
//!
//! One thread over rusqlite that takes what has queued into one transaction, as the store's writer does. No decisions,
//! no domain, no encoding, no publication: a session's row is read, a request looked up and noted, a turn and its event
//! inserted, the row updated.

use super::seed;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::{
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Jobs that may wait.
const QUEUE_MAX_JOBS: usize = 8192;
/// Bytes of an event as the store writes it for an admission, about.
const BODY_BYTES: usize = 420;

/// An admission.
struct Job {
    session: u64,
    text: String,
    done: oneshot::Sender<()>,
}

/// Handle of the thread, which ends with it.
#[derive(Clone)]
pub struct BareWriter(SyncSender<Job>);

struct Thread {
    connection: Connection,
    jobs: Receiver<Job>,
    /// Jobs of one transaction.
    batch_max: usize,
    /// Inserts a turn as a copy of one that waits, so that it has every column that there is.
    insert_turn: String,
}

// === impl BareWriter ===

impl BareWriter {
    /// Opens a store that [`seed::busy`] has filled and closed.
    pub fn start(data: &Path, batch_max: usize) -> Self {
        let connection = Connection::open(data.join("quarterdeck.db")).expect("a store");
        // As the store's writer sets them.
        for (name, value) in [
            ("journal_mode", "WAL"),
            ("synchronous", "FULL"),
            ("wal_autocheckpoint", "8000"),
            ("cache_size", "-65536"),
            ("temp_store", "MEMORY"),
        ] {
            connection
                .pragma_update(None, name, value)
                .expect("a pragma");
        }
        connection.set_prepared_statement_cache_capacity(64);
        let insert_turn = insert_turn(&connection);
        let (sender, jobs) = sync_channel(QUEUE_MAX_JOBS);
        let thread = Thread {
            connection,
            jobs,
            batch_max,
            insert_turn,
        };
        std::thread::spawn(move || thread.run());
        Self(sender)
    }

    /// Admits a prompt to session `session`; returns when it is on the disk.
    pub async fn enqueue(&self, session: u64, text: &str) {
        let (done, committed) = oneshot::channel();
        let job = Job {
            session,
            text: text.into(),
            done,
        };
        self.0.try_send(job).expect("fewer callers than places");
        committed.await.expect("the commit succeeds");
    }
}

/// Columns of a turn that are not the same for all that wait here.
const OWN_COLUMNS: [(&str, &str); 7] = [
    ("row", "NULL"),
    ("session", "?1"),
    ("turn_id", "?2"),
    ("position", "?3"),
    ("queued_seq", "?3"),
    ("request", "?4"),
    ("text", "?5"),
];

fn insert_turn(connection: &Connection) -> String {
    let mut columns = connection
        .prepare("SELECT name FROM pragma_table_info('turn')")
        .expect("a schema");
    let columns: Vec<String> = columns
        .query_map([], |row| row.get(0))
        .expect("a schema")
        .collect::<Result<_, _>>()
        .expect("a schema");
    let template: i64 = connection
        .query_row(
            "SELECT row FROM turn WHERE text = 'a prompt' LIMIT 1",
            [],
            |row| row.get(0),
        )
        .expect("a turn waits");
    let values: Vec<&str> = columns
        .iter()
        .map(|column| {
            let own = OWN_COLUMNS.iter().find(|(name, _)| name == column);
            own.map_or(column.as_str(), |(_, value)| value)
        })
        .collect();
    format!(
        "INSERT INTO turn ({}) SELECT {} FROM turn WHERE row = {template}",
        columns.join(", "),
        values.join(", ")
    )
}

// === impl Thread ===

impl Thread {
    fn run(self) {
        while let Ok(first) = self.jobs.recv() {
            let mut batch = vec![first];
            batch.extend(self.jobs.try_iter().take(self.batch_max - 1));
            self.commit(&batch).expect("the disk takes it");
            for job in batch {
                // A caller that left wants nothing any more.
                let _ = job.done.send(());
            }
        }
    }

    fn commit(&self, batch: &[Job]) -> rusqlite::Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        for job in batch {
            self.execute("SAVEPOINT job")?;
            self.admit(job)?;
            self.execute("RELEASE job")?;
        }
        self.execute("COMMIT")
    }

    fn admit(&self, job: &Job) -> rusqlite::Result<()> {
        let turn_id = Uuid::now_v7();
        let (request, key) = (Uuid::new_v4(), [7u8; 96]);
        let digest = request.as_u64_pair().0.cast_signed();
        let _: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT key FROM request WHERE id = ?1")?
            .query_row([digest], |row| row.get(0))
            .optional()?;
        let (row, uid, head): (i64, Vec<u8>, i64) = self
            .connection
            .prepare_cached("SELECT row, uid, head, queue_depth, queue_bytes FROM session WHERE tenant = ?1 AND key = ?2")?
            .query_row(("default", seed::key(job.session).as_str()), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let seq = head + 1;
        self.connection
            .prepare_cached(&self.insert_turn)?
            .execute(params![row, turn_id, seq, digest, job.text])?;
        self.connection
            .prepare_cached(
                "INSERT INTO event (session, seq, epoch, kind, turn_id, item_id, time, body) \
                 VALUES (?1, ?2, 1, 14, ?3, NULL, ?4, ?5)",
            )?
            .execute(params![row, seq, turn_id, seq, [b'e'; BODY_BYTES]])?;
        self.connection
            .prepare_cached(
                "UPDATE session SET head = ?2, queue_depth = queue_depth + 1, queue_bytes = queue_bytes + ?3, \
                 update_time = ?2, last_active_time = ?2 WHERE row = ?1",
            )?
            .execute(params![row, seq, i64::try_from(job.text.len()).expect("short")])?;
        self.connection
            .prepare_cached(
                "INSERT INTO request (id, key, hash, session, session_uid, receipt, keep_until) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)",
            )?
            .execute(params![digest, key, [7u8; 32], row, uid, "r".repeat(160)])?;
        Ok(())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}
