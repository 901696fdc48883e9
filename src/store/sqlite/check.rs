//! A checker over a whole store: what must hold of every page and row at rest, whatever happened before.
//!
//! Behind `quarterdeck check`, and used by tests after every story and by chaos runs. Each query finds the rows that break
//! one rule. A part that can't be read is a problem like any other, and keeps nothing else from being looked at.

use super::{
    attachments::add_pieces,
    fault::OpenError,
    mark,
    schema::{self, FILE_NAME},
};
use crate::proto::GatewayEvent;
use prost::Message as _;
use rusqlite::{Connection, ErrorCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{fmt, path::Path};
use uuid::Uuid;

/// Rows, sessions and pages of one problem that are named; the rest is counted.
const NAMED_MAX: usize = 20;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What should hold, in words.
    pub rule: String,
    /// What was found instead.
    pub found: String,
    /// The sessions that it is about, `TENANT/KEY`; the first ones where they are many.
    pub sessions: Vec<String>,
}

/// What a whole store looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Names the store; `None` where that can't be read.
    pub store_id: Option<Uuid>,
    /// Version of its schema.
    pub schema: Option<i64>,
    /// False for a store of an earlier version: of that the pages alone were looked at.
    pub rules_checked: bool,
    /// Sessions in it.
    pub sessions: i64,
    /// Events in it.
    pub events: i64,
    /// What does not hold; empty when all is well.
    pub problems: Vec<Problem>,
}

/// A rule, and the query for the sessions that break it.
const RULES: [(&str, &str); 28] = [
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
        "a prompt that stands apart has a turn, whose own is empty",
        "SELECT coalesce(turn.session, 0) FROM turn_text LEFT JOIN turn ON turn.row = turn_text.turn \
         WHERE turn.text IS NOT ''",
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
         WHERE turn.state BETWEEN 1 AND 4 AND turn.queued_seq < session.first_seq",
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
         WHEN state = 6 OR budget_wait IS NOT NULL OR worker_wait > 0 THEN NULL \
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
         UNION SELECT session FROM attachment UNION SELECT session FROM artifact) \
         WHERE session NOT IN (SELECT row FROM session UNION ALL SELECT session FROM fork)",
    ),
    (
        "an attachment has its bytes",
        "SELECT session FROM attachment WHERE content NOT IN (SELECT row FROM content)",
    ),
    (
        "bytes are named by an attachment",
        "SELECT session FROM content WHERE row NOT IN \
         (SELECT content FROM attachment UNION ALL SELECT content FROM loose_content) \
         UNION ALL SELECT loose_content.session FROM loose_content JOIN attachment USING (content) \
         UNION ALL SELECT content FROM content_piece WHERE content NOT IN (SELECT row FROM content)",
    ),
    (
        "only the active turn's agent is waited for, and its session counts what is pending",
        "SELECT row FROM session WHERE pending_questions <> \
         (SELECT count(*) FROM question WHERE question.session = session.row AND question.state = 1) \
         UNION SELECT question.session FROM question JOIN session ON session.row = question.session \
         WHERE (question.open = 1 AND question.turn_id IS NOT session.active_turn) \
         OR (question.state = 1) > question.open",
    ),
    (
        "a turn waits while a question of it is pending, and not else",
        "SELECT turn.session FROM turn WHERE turn.state IN (2, 3) AND (turn.state = 3) <> \
         (SELECT count(*) > 0 FROM question WHERE question.session = turn.session AND question.state = 1)",
    ),
    (
        "stored_bytes counts what is stored",
        // A Delete takes the rows piece by piece, and the count at its end.
        "SELECT session.row FROM session WHERE state <> 6 AND stored_bytes <> \
         octet_length(client_tools) + \
         (SELECT coalesce(sum(octet_length(body)), 0) FROM event WHERE event.session = session.row) + \
         (SELECT coalesce(sum(octet_length(parts)), 0) FROM message WHERE message.session = session.row) + \
         (SELECT coalesce(sum(octet_length(text) + octet_length(response_text) + octet_length(output_json) + \
         octet_length(output_schema) + octet_length(client_tools)), 0) FROM turn \
          WHERE turn.session = session.row) + \
         (SELECT coalesce(sum(octet_length(turn_text.text)), 0) FROM turn_text JOIN turn ON turn.row = turn_text.turn \
          WHERE turn.session = session.row) + \
         (SELECT coalesce(sum(octet_length(ask) + octet_length(answer)), 0) FROM question \
          WHERE question.session = session.row) + \
         (SELECT coalesce(sum(bytes), 0) FROM attachment JOIN content_bytes \
          ON content_bytes.content = attachment.content WHERE attachment.session = session.row)",
    ),
    (
        "what is stored for owners is what their sessions say",
        "WITH said AS (SELECT tenant, owner, sum(stored_bytes) AS bytes FROM session GROUP BY tenant, owner \
         HAVING bytes <> 0) SELECT bytes FROM (SELECT * FROM said EXCEPT SELECT * FROM storage) UNION ALL \
         SELECT bytes FROM (SELECT * FROM storage EXCEPT SELECT * FROM said)",
    ),
    (
        "runs are of schedules that there are",
        "SELECT DISTINCT schedule FROM schedule_run WHERE schedule NOT IN (SELECT row FROM schedule)",
    ),
    (
        "a webhook has told no more than there is",
        "SELECT webhook_cursor.session FROM webhook_cursor JOIN session ON session.row = webhook_cursor.session \
         WHERE webhook_cursor.seq > session.head",
    ),
    (
        "what a session used is summed up",
        "SELECT session.row FROM session WHERE (input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, \
         cost_micros, model_calls, unpriced_calls, reasoning_tokens) <> \
         (SELECT coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cache_read_tokens), 0), \
          coalesce(sum(cache_write_tokens), 0), coalesce(sum(cost_micros), 0), coalesce(sum(model_calls), 0), \
          coalesce(sum(unpriced_calls), 0), coalesce(sum(reasoning_tokens), 0) FROM usage_sum \
          WHERE usage_sum.session_uid = session.uid)",
    ),
    (
        "the number of sessions is counted",
        "SELECT value FROM meta WHERE name = 'sessions' AND value <> (SELECT count(*) FROM session)",
    ),
];

/// Rules whose query finds something else than sessions.
const OF_NO_SESSION: [&str; 3] = [
    "runs are of schedules that there are",
    "what is stored for owners is what their sessions say",
    "the number of sessions is counted",
];

/// What does not hold of the store in a data directory; empty when all is well.
///
/// # Errors
/// The store can't be opened.
pub fn check(data_directory: &Path) -> anyhow::Result<Vec<Problem>> {
    let connection = schema::open_reader(&data_directory.join(FILE_NAME))?;
    let transaction = connection.unchecked_transaction()?;
    let mut problems = pages(&transaction);
    problems.extend(rules(&transaction));
    Ok(problems)
}

/// Looks at all of the store in a data directory that nobody serves: its files, its pages, its rows, and whether what
/// they hold can be read. `None` where there is no store, and nothing tells that there was one.
///
/// # Errors
/// The store is gone, was written by a newer version, or can't be opened.
pub fn examine(data_directory: &Path) -> Result<Option<Report>, OpenError> {
    mark::require_files(data_directory)?;
    let path = data_directory.join(FILE_NAME);
    if !path.try_exists()? {
        return Ok(None);
    }
    let connection = schema::open_reader(&path)?;
    let mut report = Report {
        store_id: None,
        schema: None,
        rules_checked: false,
        sessions: 0,
        events: 0,
        problems: pages(&connection),
    };
    let version = match schema::check_version(&connection) {
        Ok(version) => version,
        // A page that can't be read is told of already.
        Err(OpenError::Sqlite(_)) if !report.problems.is_empty() => return Ok(Some(report)),
        Err(error) => return Err(error),
    };
    report.schema = Some(version);
    report.store_id = schema::identity(&connection)
        .ok()
        .map(|identity| identity.store_id);
    if let Err(lost) = mark::require_whole(data_directory, &connection) {
        let rule = "the store is the one that store.mark names, and as far";
        report.problems.push(Problem::new(rule, lost.to_string()));
    }
    if version < schema::newest_version() {
        return Ok(Some(report));
    }
    report.rules_checked = true;
    let transaction = connection.unchecked_transaction()?;
    let count = |table: &str| {
        let query = format!("SELECT count(*) FROM {table}");
        transaction
            .query_row(&query, [], |row| row.get(0))
            .unwrap_or(0)
    };
    report.sessions = count("session");
    report.events = count("event");
    report.problems.extend(rules(&transaction));
    for contents in [events, attachments] {
        report.problems.extend(contents(&transaction));
    }
    Ok(Some(report))
}

/// Reads every page, and holds the indexes against their tables.
fn pages(connection: &Connection) -> Vec<Problem> {
    const RULE: &str = "every page of the file is whole";
    let mut found = Vec::new();
    let looked = connection.pragma_query(None, "integrity_check", |row| {
        found.push(row.get::<_, String>(0)?);
        Ok(())
    });
    match looked {
        Ok(()) if found == ["ok"] => Vec::new(),
        Ok(()) => vec![Problem::new(RULE, some_of(&found))],
        Err(error) => vec![Problem::new(RULE, unreadable(&error))],
    }
}

/// Holds all rows against the rules.
fn rules(connection: &Connection) -> Vec<Problem> {
    RULES
        .iter()
        .filter_map(|(rule, query)| {
            let rows = connection.prepare(query).and_then(|mut statement| {
                let rows = statement.query_map([], |row| row.get(0))?;
                rows.collect::<rusqlite::Result<Vec<i64>>>()
            });
            match rows {
                Ok(rows) if rows.is_empty() => None,
                Ok(rows) if OF_NO_SESSION.contains(rule) => {
                    Some(Problem::new(rule, format!("not so ({rows:?})")))
                }
                Ok(rows) => Some(Problem::of_sessions(connection, rule, rows)),
                Err(error) => Some(Problem::new(rule, unreadable(&error))),
            }
        })
        .collect()
}

/// Whether every event can be read.
fn events(connection: &Connection) -> Option<Problem> {
    let query = "SELECT session, body FROM event ORDER BY session";
    contents(connection, "every event can be read", query, |row| {
        let body = row.get_ref(1)?.as_blob()?;
        Ok(GatewayEvent::decode(body).is_ok())
    })
}

/// Whether the bytes of every attachment are those that were stored: SQLite keeps no checksums of its own.
fn attachments(connection: &Connection) -> Option<Problem> {
    let rule = "the bytes of an attachment are those that were stored";
    let query = "SELECT session, hash, data, row FROM content WHERE row NOT IN (SELECT content FROM loose_content) \
                 ORDER BY session";
    contents(connection, rule, query, |row| {
        let mut data = row.get(2)?;
        add_pieces(connection, row.get(3)?, &mut data)?;
        let digest = Sha256::digest(&data);
        let name = row.get_ref(1)?.as_str()?;
        Ok(name.len() == 2 * digest.len() && {
            let mut hex = name.as_bytes().chunks(2).zip(digest);
            hex.all(|(pair, byte)| format!("{byte:02x}").as_bytes() == pair)
        })
    })
}

/// Looks at rows one by one; the first column is their session.
fn contents(
    connection: &Connection,
    rule: &str,
    query: &str,
    is_well: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
) -> Option<Problem> {
    let look = || -> rusqlite::Result<Vec<i64>> {
        let mut broken = Vec::new();
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let session = row.get(0)?;
            if !is_well(row)? && broken.last() != Some(&session) {
                broken.push(session);
            }
        }
        Ok(broken)
    };
    match look() {
        Ok(broken) if broken.is_empty() => None,
        Ok(broken) => Some(Problem::of_sessions(connection, rule, broken)),
        Err(error) => Some(Problem::new(rule, unreadable(&error))),
    }
}

/// Why a part of the store could not be looked at.
fn unreadable(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure) => {
            format!("can't be looked at: {error}")
        }
        Some(_) | None => format!("could not be checked: {error}"),
    }
}

/// A list of which the first are named.
fn some_of(all: &[String]) -> String {
    let named = all[..all.len().min(NAMED_MAX)].join("; ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

// === impl Problem ===

impl Problem {
    /// A problem that is about no session in particular.
    pub fn new(rule: &str, found: String) -> Self {
        Self {
            rule: rule.to_owned(),
            found,
            sessions: Vec::new(),
        }
    }

    fn of_sessions(connection: &Connection, rule: &str, rows: Vec<i64>) -> Self {
        let key = |row: &i64| {
            let query = "SELECT tenant || '/' || key FROM session WHERE row = ?1";
            let key = connection.query_row(query, [row], |found| found.get(0));
            key.unwrap_or_else(|_| format!("row {row}"))
        };
        let sessions: Vec<String> = rows.iter().take(NAMED_MAX).map(key).collect();
        Self {
            rule: rule.to_owned(),
            found: match rows.len() {
                1 => "not so in 1 session".to_owned(),
                count => format!("not so in {count} sessions"),
            },
            sessions,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            found,
            sessions,
        } = self;
        write!(f, "{rule}: {found}")?;
        if sessions.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", sessions.join(", "))
    }
}
