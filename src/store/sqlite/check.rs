//! A checker over a whole store: what must hold of every row at rest, whatever happened before.
//!
//! Used by tests after every story and by chaos runs. Each query finds the rows that break one promise.

use super::schema::{self, FILE_NAME};
use std::path::Path;

/// A promise, and the query for sessions that break it.
const PROMISES: [(&str, &str); 22] = [
    (
        "events are dense from first_seq to head",
        "SELECT session.row FROM session LEFT JOIN event ON event.session = session.row GROUP BY session.row \
         HAVING count(event.seq) <> head - first_seq + 1 \
         OR coalesce(min(event.seq), first_seq) <> first_seq OR coalesce(max(event.seq), head) <> head",
    ),
    (
        "no event is of a session that is gone",
        "SELECT DISTINCT session FROM event WHERE session NOT IN (SELECT row FROM session)",
    ),
    (
        "the epoch never falls along a log",
        "SELECT DISTINCT session FROM (SELECT session, epoch, lag(epoch) OVER (PARTITION BY session ORDER BY seq) \
         AS earlier FROM event) WHERE epoch < earlier",
    ),
    (
        "no event is of a later epoch than its session",
        "SELECT DISTINCT session.row FROM session JOIN event ON event.session = session.row \
         WHERE event.epoch > session.epoch",
    ),
    (
        "a terminal turn has exactly one turn_ended, at its end_seq",
        "SELECT turn.session FROM turn JOIN session ON session.row = turn.session WHERE turn.state > 4 AND \
         (SELECT count(*) FROM event WHERE event.session = turn.session AND event.kind = 17 \
          AND event.turn_id = turn.turn_id) <> (turn.end_seq >= session.first_seq)",
    ),
    (
        "a turn that is not finished has no turn_ended",
        "SELECT turn.session FROM turn JOIN event ON event.session = turn.session AND event.turn_id = turn.turn_id \
         WHERE turn.state <= 4 AND event.kind = 17",
    ),
    (
        "no event of a turn comes after its end",
        "SELECT turn.session FROM turn JOIN event ON event.session = turn.session AND event.turn_id = turn.turn_id \
         WHERE turn.state > 4 AND event.seq > turn.end_seq",
    ),
    (
        "the first event of a turn that is not finished is kept",
        "SELECT turn.session FROM turn JOIN session ON session.row = turn.session \
         WHERE turn.state <= 4 AND turn.queued_seq < session.first_seq",
    ),
    (
        "queue_depth and queue_bytes count the waiting turns",
        "SELECT session.row FROM session WHERE (queue_depth, queue_bytes) <> \
         (SELECT count(*), coalesce(sum(bytes), 0) FROM turn WHERE session = session.row AND state = 1)",
    ),
    (
        "message counts count the messages of the generation",
        "SELECT session.row FROM session WHERE (message_count, user_message_count) <> \
         (SELECT count(*), coalesce(sum(role = 1), 0) FROM message \
          WHERE message.session = session.row AND message.generation = session.generation)",
    ),
    (
        "active_turn is the one turn that is active",
        "SELECT session.row FROM session WHERE (SELECT count(*) FROM turn WHERE turn.session = session.row \
         AND turn.state IN (2, 3, 4)) <> (active_row IS NOT NULL) OR (active_row IS NOT NULL AND \
         active_turn IS NOT (SELECT turn_id FROM turn WHERE row = active_row AND state IN (2, 3, 4)))",
    ),
    (
        "an owner is woken for what waits",
        "SELECT session.row FROM session WHERE wake IS NOT CASE WHEN state = 6 AND wake IS NOT NULL THEN 0 \
         WHEN state = 6 THEN NULL \
         WHEN active_row IS NULL THEN (SELECT min(turn.row) FROM turn WHERE turn.session = session.row AND state = 1) \
         END",
    ),
    (
        "steers and open items are of active turns",
        "SELECT session FROM (SELECT session FROM steer UNION SELECT session FROM open_block) \
         WHERE session NOT IN (SELECT row FROM session WHERE active_row IS NOT NULL)",
    ),
    (
        "a state says what is true",
        "SELECT session.row FROM session WHERE state <> 6 AND state <> CASE WHEN pending_reset THEN 5 \
         WHEN active_row IS NULL THEN 1 ELSE (SELECT turn.state FROM turn WHERE turn.row = active_row) END",
    ),
    (
        "a request is kept while its turn or steer is unfinished, and ends after it",
        // A row that housekeeping took may be used again by the same request, so an old turn may name a newer row.
        "SELECT session FROM turn JOIN (SELECT id FROM request WHERE keep_until IS NOT NULL) ON id = turn.request \
         WHERE state <= 4 UNION SELECT session FROM request WHERE keep_until IS NULL AND NOT EXISTS \
         (SELECT 1 FROM turn WHERE turn.request = request.id AND turn.state <= 4) AND NOT EXISTS \
         (SELECT 1 FROM steer WHERE steer.request = request.id)",
    ),
    (
        "shares stand in the session and in their table",
        "WITH said AS (SELECT session.row AS session, tenant, json_each.key AS subject FROM session, \
         json_each(iif(shares = '', '{}', shares))) \
         SELECT session FROM (SELECT * FROM said EXCEPT SELECT session, tenant, subject FROM share) UNION \
         SELECT session FROM (SELECT session, tenant, subject FROM share EXCEPT SELECT * FROM said)",
    ),
    (
        "nothing is left of a session that is gone",
        "SELECT session FROM (SELECT session FROM message UNION SELECT session FROM turn \
         UNION SELECT session FROM attachment) \
         WHERE session NOT IN (SELECT row FROM session UNION ALL SELECT session FROM fork)",
    ),
    (
        "an attachment has its bytes",
        "SELECT session FROM attachment WHERE content NOT IN (SELECT row FROM content)",
    ),
    (
        "bytes are named by an attachment",
        "SELECT session FROM content WHERE row NOT IN (SELECT content FROM attachment)",
    ),
    (
        "stored_bytes counts what is stored",
        // A Delete takes the rows piece by piece, and the count at its end.
        "SELECT session.row FROM session WHERE state <> 6 AND stored_bytes <> \
         (SELECT coalesce(sum(octet_length(body)), 0) FROM event WHERE event.session = session.row) + \
         (SELECT coalesce(sum(octet_length(parts)), 0) FROM message WHERE message.session = session.row) + \
         (SELECT coalesce(sum(octet_length(text) + octet_length(response_text)), 0) FROM turn \
          WHERE turn.session = session.row) + \
         (SELECT coalesce(sum(octet_length(content.data)), 0) FROM attachment JOIN content \
          ON content.row = attachment.content WHERE attachment.session = session.row)",
    ),
    (
        "what is stored for owners is what their sessions say",
        "WITH said AS (SELECT tenant, owner, sum(stored_bytes) AS bytes FROM session GROUP BY tenant, owner \
         HAVING bytes <> 0) SELECT bytes FROM (SELECT * FROM said EXCEPT SELECT * FROM storage) UNION ALL \
         SELECT bytes FROM (SELECT * FROM storage EXCEPT SELECT * FROM said)",
    ),
    (
        "the number of sessions is counted",
        "SELECT value FROM meta WHERE name = 'sessions' AND value <> (SELECT count(*) FROM session)",
    ),
];

/// Broken promises of the store in a data directory, each with the sessions that break it; empty when all hold.
///
/// # Errors
/// The store can't be read.
pub fn check(data_directory: &Path) -> anyhow::Result<Vec<String>> {
    let connection = schema::open_reader(&data_directory.join(FILE_NAME))?;
    let transaction = connection.unchecked_transaction()?;
    let mut broken = Vec::new();
    let verdict: String =
        transaction.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    if verdict != "ok" {
        broken.push(format!("the file is damaged: {verdict}"));
    }
    for (promise, query) in PROMISES {
        let sessions: Vec<i64> = transaction
            .prepare(query)?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if !sessions.is_empty() {
            broken.push(format!("not so: {promise}; sessions {sessions:?}"));
        }
    }
    Ok(broken)
}
