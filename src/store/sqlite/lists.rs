//! Lists over many sessions, newest first, of what their viewer may see.
//!
//! Who sees a whole tenant walks it in the order of rows. Everybody else is led by what is theirs: their own sessions
//! and those that are shared with them, however many others the tenant has.

use super::{fault::Answer, load, queries, rows};
use crate::{
    domain::{
        access::{Identity, Scope},
        ids::SessionKey,
        limits::TURN_TEXT_IN_EVENT_MAX_BYTES,
        question::QuestionState,
        session::{Session, SessionFilter, SessionState},
        turn::{Turn, TurnState},
    },
    store::{QuestionsFilter, QuestionsPage, SessionsPage, TurnsFilter, TurnsPage},
};
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Rows that a filtered page looks at before it says where to go on.
const SCAN_MAX_ROWS: u32 = 10_000;
/// Sessions of a viewer from which its turns are gathered; with more of them the turns of the tenant are walked.
const GATHER_MAX_SESSIONS: u32 = 1_000;
/// Bytes of a page of turns or sessions beyond its last row, as callers see them: what clients take without being asked
/// to take more is 4 MiB.
const LIST_PAGE_MAX_BYTES: usize = 3 * 1024 * 1024;
/// Bytes of a page of questions beyond its last one, as callers see them.
const QUESTIONS_PAGE_MAX_BYTES: usize = 1024 * 1024;
/// What a turn or a session takes beside its texts, in bytes; rather too much.
const ROW_BYTES: usize = 1024;

/// A page of turns that is being filled.
struct Filling<'a> {
    page: TurnsPage,
    states: &'a [TurnState],
    limit: usize,
    /// Row of the turn that was looked at last.
    last: i64,
    looked: u32,
    bytes: usize,
}

/// Sessions that a viewer may see, newest first.
pub(super) fn list_sessions(
    connection: &Connection,
    generation: Uuid,
    viewer: &Identity,
    filter: &SessionFilter,
    after: Option<i64>,
    limit: usize,
) -> Answer<SessionsPage> {
    let columns = rows::SESSION;
    let tenant = &viewer.principal.tenant;
    let subject = &viewer.principal.subject;
    let before = after.unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&if sees_tenant(viewer) {
        format!(
            "SELECT {columns} FROM session WHERE session.tenant = ?1 AND session.row < ?2 AND ?3 IS NOT NULL \
             ORDER BY session.row DESC"
        )
    } else {
        // Both halves come in the order of rows, by their indexes, and are merged as they are read.
        let of_shares = columns.replacen("session.row", "share.session", 1);
        format!(
            "SELECT {columns} FROM session INDEXED BY session_owner \
             WHERE session.tenant = ?1 AND session.row < ?2 AND session.owner = ?3 \
             UNION ALL SELECT {of_shares} FROM share CROSS JOIN session ON session.row = share.session \
             WHERE share.tenant = ?1 AND share.session < ?2 AND share.subject = ?3 ORDER BY 1 DESC"
        )
    })?;
    let mut found = statement.query((tenant, before, subject))?;
    let mut page = SessionsPage::default();
    let (mut last, mut looked, mut bytes) = (0, 0, 0);
    while let Some(row) = found.next()? {
        if page.sessions.len() >= limit || looked >= SCAN_MAX_ROWS || bytes > LIST_PAGE_MAX_BYTES {
            page.next = Some(last);
            break;
        }
        let (session, _) = rows::session(row, generation)?;
        looked += 1;
        last = session.row.0;
        // One that is being deleted is not found any more, unless it is asked for.
        let hidden = session.state == SessionState::Deleting
            && !filter.states.contains(&SessionState::Deleting);
        if !hidden && viewer.access(&session).is_some() && filter.matches(&session) {
            bytes += ROW_BYTES + session.cwd.len() + map_bytes(&session.labels);
            page.sessions.push(session);
        }
    }
    Ok(page)
}

/// Turns of a session, or of all sessions that a viewer may see, newest first.
pub(super) fn list_turns(
    connection: &Connection,
    generation: Uuid,
    filter: &TurnsFilter,
    after: Option<i64>,
    limit: usize,
) -> Answer<TurnsPage> {
    let TurnsFilter {
        viewer,
        key,
        states,
    } = filter;
    let before = after.unwrap_or(i64::MAX);
    let filling = Filling {
        page: TurnsPage::default(),
        states,
        limit,
        last: 0,
        looked: 0,
        bytes: 0,
    };
    if let Some(key) = key {
        let session = queries::session(connection, generation, viewer, key)?;
        return filling.of_session(connection, &session, before);
    }
    if !sees_tenant(viewer)
        && let Some(sessions) = sessions_of(connection, viewer)?
    {
        return filling.of_sessions(connection, generation, &sessions, before);
    }
    filling.of_tenant(connection, viewer, before)
}

/// Questions of a session, or of all sessions that a viewer may see, the oldest first.
pub(super) fn list_questions(
    connection: &Connection,
    generation: Uuid,
    filter: &QuestionsFilter,
    after: Option<i64>,
    limit: usize,
) -> Answer<QuestionsPage> {
    let QuestionsFilter {
        viewer,
        key,
        sessions,
        states,
    } = filter;
    let of_session = match key {
        Some(key) => Some(queries::session(connection, generation, viewer, key)?),
        None => None,
    };
    let pending = states.iter().all(|state| *state == QuestionState::Pending);
    // What is pending is little; the rest is led by its session or its tenant.
    let (index, narrow) = match (&of_session, pending) {
        (Some(_), _) => ("question_session", "question.session = ?3"),
        (None, true) => ("question_pending", "question.state = 1 AND ?3 IS NULL"),
        (None, false) => ("question_tenant", "?3 IS NULL"),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {}, question.session FROM question INDEXED BY {index} WHERE question.tenant = ?1 \
         AND question.row > ?2 AND {narrow} ORDER BY question.row",
        rows::QUESTION
    ))?;
    let session_column = statement.column_count() - 1;
    let mut found = statement.query((
        &viewer.principal.tenant,
        after.unwrap_or(0),
        of_session.as_ref().map(|session| session.row.0),
    ))?;
    let mut page = QuestionsPage::default();
    let (mut last, mut looked, mut bytes) = (0, 0, 0);
    let mut seen: BTreeMap<i64, Option<SessionKey>> = BTreeMap::new();
    while let Some(row) = found.next()? {
        if page.questions.len() >= limit
            || looked >= SCAN_MAX_ROWS
            || bytes > QUESTIONS_PAGE_MAX_BYTES
        {
            page.next = Some(last);
            break;
        }
        looked += 1;
        last = row.get(0)?;
        let session: i64 = row.get(session_column)?;
        let key = match seen.get(&session) {
            Some(key) => key.clone(),
            None => {
                let row = crate::domain::ids::SessionRow(session);
                let found = load::session_of_row(connection, generation, row)?;
                let key = found.and_then(|(session, _)| {
                    let shown = session.state != SessionState::Deleting
                        && viewer.access(&session).is_some()
                        && sessions.matches(&session);
                    shown.then_some(session.key)
                });
                seen.insert(session, key.clone());
                key
            }
        };
        let Some(key) = key else { continue };
        let (_, question) = rows::question(row, &key)?;
        if states.is_empty() || states.contains(&question.state) {
            bytes += ROW_BYTES + question.shown_bytes();
            page.questions.push(question);
        }
    }
    Ok(page)
}

fn sees_tenant(viewer: &Identity) -> bool {
    viewer.scopes.contains(Scope::TenantSessions)
}

/// Rows of the sessions that a viewer owns or that are shared with it; `None` where there are too many.
fn sessions_of(connection: &Connection, viewer: &Identity) -> Answer<Option<Vec<i64>>> {
    let mut statement = connection.prepare_cached(
        "SELECT row FROM session INDEXED BY session_owner WHERE tenant = ?1 AND owner = ?2 \
         UNION ALL SELECT session FROM share WHERE tenant = ?1 AND subject = ?2 LIMIT ?3",
    )?;
    let sessions: Vec<i64> = statement
        .query_map(
            (
                &viewer.principal.tenant,
                &viewer.principal.subject,
                GATHER_MAX_SESSIONS + 1,
            ),
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let few = u32::try_from(sessions.len()).is_ok_and(|count| count <= GATHER_MAX_SESSIONS);
    Ok(few.then_some(sessions))
}

// === impl Filling ===

impl Filling<'_> {
    fn of_session(
        mut self,
        connection: &Connection,
        session: &Session,
        before: i64,
    ) -> Answer<TurnsPage> {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {} FROM turn WHERE turn.session = ?1 AND turn.row < ?2 ORDER BY turn.row DESC",
            rows::TURN
        ))?;
        let mut found = statement.query((session.row.0, before))?;
        while let Some(row) = found.next()? {
            if self.is_full() {
                break;
            }
            if self.wants(row)? {
                self.push(rows::turn(row, &session.key)?);
            }
        }
        Ok(self.page)
    }

    /// The newest turns of each session, merged.
    fn of_sessions(
        mut self,
        connection: &Connection,
        generation: Uuid,
        sessions: &[i64],
        before: i64,
    ) -> Answer<TurnsPage> {
        let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        let share = (SCAN_MAX_ROWS / count.max(1)).max(1);
        let mut statement = connection.prepare_cached(
            "SELECT row FROM turn INDEXED BY turn_session WHERE session = ?1 AND row < ?2 ORDER BY row DESC LIMIT ?3",
        )?;
        let mut newest: Vec<(i64, i64)> = Vec::new();
        // Below this row a session may have turns that were not gathered.
        let mut complete_to = i64::MIN;
        for session in sessions {
            let gathered: Vec<i64> = statement
                .query_map((session, before, share), |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            if u32::try_from(gathered.len()) == Ok(share) {
                complete_to = complete_to.max(gathered.last().copied().unwrap_or(before));
            }
            newest.extend(gathered.into_iter().map(|turn| (turn, *session)));
        }
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {} FROM turn WHERE turn.row = ?1",
            rows::TURN
        ))?;
        let mut keys = BTreeMap::new();
        for (turn, session) in newest {
            if turn < complete_to {
                self.page.next = Some(self.last);
                break;
            }
            if self.is_full() {
                break;
            }
            let mut found = statement.query([turn])?;
            if let Some(row) = found.next()?
                && self.wants(row)?
            {
                let key = match keys.get(&session) {
                    Some(key) => key,
                    None => {
                        let row = crate::domain::ids::SessionRow(session);
                        let found = load::session_of_row(connection, generation, row)?;
                        let Some((found, _)) = found else { continue };
                        keys.entry(session).or_insert(found.key)
                    }
                };
                self.push(rows::turn(row, key)?);
            }
        }
        if self.page.next.is_none() && complete_to > i64::MIN {
            self.page.next = Some(self.last);
        }
        Ok(self.page)
    }

    fn of_tenant(
        mut self,
        connection: &Connection,
        viewer: &Identity,
        before: i64,
    ) -> Answer<TurnsPage> {
        let unfinished =
            !self.states.is_empty() && self.states.iter().all(|state| !state.is_terminal());
        let (index, narrow) = if unfinished {
            // These are few, and have an index.
            ("INDEXED BY turn_unfinished", "turn.state <= 4")
        } else {
            ("", "TRUE")
        };
        // CROSS JOIN: turns first, in their order, and never all turns of all sessions of the tenant.
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {}, session.key, session.owner, session.shares FROM turn {index} \
             CROSS JOIN session ON session.row = turn.session \
             WHERE {narrow} AND turn.row < ?2 AND session.tenant = ?1 ORDER BY turn.row DESC",
            rows::TURN
        ))?;
        let key_column = statement.column_count() - 3;
        let tenant = &viewer.principal.tenant;
        let mut found = statement.query((tenant, before))?;
        while let Some(row) = found.next()? {
            if self.is_full() {
                break;
            }
            if self.wants(row)? {
                let owner: String = row.get(key_column + 1)?;
                let shares = rows::shares_of(&row.get::<_, String>(key_column + 2)?)?;
                if viewer.access_of(tenant, &owner, &shares).is_some() {
                    let key = rows::session_key(&row.get::<_, String>(key_column)?)?;
                    self.push(rows::turn(row, &key)?);
                }
            }
        }
        Ok(self.page)
    }

    /// Whether the page ends here; then it says where to go on.
    fn is_full(&mut self) -> bool {
        let full = self.page.turns.len() >= self.limit
            || self.looked >= SCAN_MAX_ROWS
            || self.bytes > LIST_PAGE_MAX_BYTES;
        if full {
            self.page.next = Some(self.last);
        }
        full
    }

    /// Looks at a turn's row.
    fn wants(&mut self, row: &Row<'_>) -> Answer<bool> {
        self.looked += 1;
        self.last = row.get(0)?;
        let state = rows::turn_state(row.get(3)?)?;
        Ok(self.states.is_empty() || self.states.contains(&state))
    }

    fn push(&mut self, turn: Turn) {
        let shown = |text: &str| text.len().min(TURN_TEXT_IN_EVENT_MAX_BYTES);
        self.bytes += ROW_BYTES + shown(&turn.text) + shown(&turn.response_text);
        self.bytes += map_bytes(&turn.metadata);
        self.bytes += turn.error.as_ref().map_or(0, |error| error.message.len());
        self.bytes += turn.attachments.len() * ROW_BYTES;
        self.page.turns.push(turn);
    }
}

fn map_bytes(map: &BTreeMap<String, String>) -> usize {
    map.iter().map(|(key, value)| key.len() + value.len()).sum()
}
