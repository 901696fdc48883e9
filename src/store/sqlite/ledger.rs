//! The ledger of who holds what, counted from the rows.

use super::fault::Answer;
use crate::store::core::usage::{Held, Ledger};
use rusqlite::Connection;

/// Counts what the rows say; of what is stored what its own table says, which is quick.
pub(super) fn load(connection: &Connection) -> Answer<Ledger> {
    count(
        connection,
        "SELECT tenant, owner, 0, 0, bytes, 0 FROM storage",
    )
}

/// Counts what the sessions say, all of them.
pub(super) fn recount(connection: &Connection) -> Answer<Ledger> {
    count(
        connection,
        "SELECT tenant, owner, 0, 0, sum(stored_bytes), 0 FROM session GROUP BY tenant, owner",
    )
}

fn count(connection: &Connection, stored: &str) -> Answer<Ledger> {
    let mut ledger = Ledger::default();
    let queries = [
        // By the index alone.
        "SELECT tenant, owner, count(*), 0, 0, 0 FROM session INDEXED BY session_owner GROUP BY tenant, owner",
        // Few sessions have waiting turns; these have an index.
        "SELECT tenant, owner, 0, sum(queue_bytes), 0, 0 FROM session WHERE row IN \
         (SELECT session FROM turn INDEXED BY turn_waiting WHERE state = 1) GROUP BY tenant, owner",
        // As few sessions have pending questions.
        "SELECT tenant, owner, 0, 0, 0, count(*) FROM session WHERE row IN \
         (SELECT session FROM question INDEXED BY question_pending WHERE state = 1) GROUP BY tenant, owner",
        stored,
    ];
    for query in queries {
        let mut statement = connection.prepare(query)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let (tenant, owner): (String, String) = (row.get(0)?, row.get(1)?);
            let by = Held {
                sessions: row.get(2)?,
                queue_bytes: row.get(3)?,
                stored_bytes: row.get(4)?,
                asking_turns: row.get(5)?,
            };
            ledger.apply(&tenant, &owner, by);
        }
    }
    Ok(ledger)
}
