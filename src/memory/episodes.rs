//! Messages of conversations as a search finds them. They are put into the index after their commit, in bounded pieces,
//! so that no turn waits for it; what is not there yet is told by `GetMemoryStatus`.

use super::{
    Actor,
    index::{self, Group},
    scope::Scope,
};
use crate::{
    domain::{
        access::Scope as Right, event::Role, ids::SessionRow, limits::cut, memory::Place,
        message::Part,
    },
    store::sqlite::{Answer, Unit},
    wire::frames,
};
use rusqlite::{Connection, ToSql};

/// Messages of one piece.
const PIECE_MESSAGES: i64 = 200;
/// Bytes of texts after which a piece ends early.
const PIECE_MAX_BYTES: usize = 1024 * 1024;
/// Bytes of one message that are looked at.
pub(super) const EPISODE_MAX_BYTES: usize = 16 * 1024;

/// Whose messages an actor may be told of in a scope. Nothing of others counts: neither in what is found, nor in how many
/// there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Visible {
    /// Nobody's.
    Nothing,
    /// One conversation, earlier generations included.
    Session(SessionRow),
    /// Every conversation of a tenant.
    Tenant(String),
    /// The conversations of a subject of a tenant, and those that are shared with it.
    Subject {
        /// The tenant.
        tenant: String,
        /// The subject.
        subject: String,
    },
}

// === impl Visible ===

impl Visible {
    /// What an actor sees in one of its scopes.
    pub(super) fn of(actor: &Actor, scope: &Scope) -> Self {
        match actor {
            // Its own conversation; never another one's.
            Actor::Agent { session, .. } => Self::Session(*session),
            Actor::Caller(identity) => match (&scope.place, scope.session) {
                (Place::Session(_), Some(row)) => Self::Session(row),
                // Memory of the tenant may be read without its conversations.
                (Place::Tenant, _) if identity.scopes.contains(Right::SessionRead) => {
                    let tenant = scope.tenant.clone();
                    if identity.scopes.contains(Right::TenantSessions) {
                        Self::Tenant(tenant)
                    } else {
                        let subject = identity.principal.subject.clone();
                        Self::Subject { tenant, subject }
                    }
                }
                (Place::Tenant | Place::Namespace(_) | Place::Session(_), _) => Self::Nothing,
            },
        }
    }

    /// As a condition over `message` and `session`.
    pub(super) fn condition(&self) -> &'static str {
        match self {
            Self::Nothing => "FALSE",
            Self::Session(_) => "message.session = :session",
            Self::Tenant(_) => "session.tenant = :tenant AND session.state <> 6",
            Self::Subject { .. } => {
                "session.tenant = :tenant AND session.state <> 6 AND (session.owner = :subject OR EXISTS \
                 (SELECT 1 FROM share WHERE share.tenant = :tenant AND share.subject = :subject \
                 AND share.session = session.row))"
            }
        }
    }

    /// What stands in the condition.
    pub(super) fn parameters(&self) -> Vec<(&'static str, &dyn ToSql)> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Session(row) => vec![(":session", &row.0)],
            Self::Tenant(tenant) => vec![(":tenant", tenant)],
            Self::Subject { tenant, subject } => {
                vec![(":tenant", tenant), (":subject", subject)]
            }
        }
    }
}

/// What is said in a message: text, neither thinking nor tools.
pub(super) fn text(parts: &[u8]) -> String {
    let parts = frames::decode_parts(parts);
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            Part::Thinking { .. } | Part::ToolCall { .. } | Part::Attachment(_) => None,
        })
        .collect();
    cut(&texts.join("\n"), EPISODE_MAX_BYTES).to_owned()
}

/// Messages after the position; none where the index is complete.
pub(super) fn pending(connection: &Connection) -> Answer<i64> {
    Ok(connection
        .prepare_cached("SELECT count(*) FROM message WHERE row > ?1")?
        .query_row([through(connection)?], |row| row.get(0))?)
}

/// Those of them that somebody may see.
pub(super) fn pending_of(connection: &Connection, visible: &Visible) -> Answer<i64> {
    let through = through(connection)?;
    let mut parameters = visible.parameters();
    parameters.push((":through", &through));
    Ok(connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM message CROSS JOIN session ON session.row = message.session \
             WHERE message.row > :through AND {}",
            visible.condition()
        ))?
        .query_row(parameters.as_slice(), |row| row.get(0))?)
}

/// Whether messages wait to be put into the index.
pub(super) fn is_behind(connection: &Connection) -> Answer<bool> {
    let newest: i64 = connection
        .prepare_cached("SELECT coalesce(max(row), 0) FROM message")?
        .query_row([], |row| row.get(0))?;
    Ok(newest > through(connection)?)
}

/// Messages of users and assistants.
pub(super) fn count_all(connection: &Connection) -> Answer<i64> {
    Ok(connection
        .prepare_cached("SELECT count(*) FROM message WHERE role IN (1, 2)")?
        .query_row([], |row| row.get(0))?)
}

/// Puts a piece into the index. True while there is more.
pub(super) fn catch_up(unit: &Unit<'_>) -> Answer<bool> {
    let tables = index::Tables::of(unit.connection)?;
    let from = through(unit.connection)?;
    let numbers: Vec<i64> = [Some(tables.active), tables.building]
        .into_iter()
        .flatten()
        .collect();
    let (reached, _) = piece(
        unit,
        &numbers,
        from,
        i64::MAX,
        PIECE_MESSAGES,
        PIECE_MAX_BYTES,
    )?;
    if reached > from {
        unit.sql("UPDATE memory_state SET value = ?1 WHERE name = 'episodes_through'")?
            .execute([reached])?;
    }
    is_behind(unit.connection)
}

/// A piece of a rebuild, up to the position: what comes after it is put into both. Returns how far it came, and how many
/// it did.
pub(super) fn rebuild_step(
    unit: &Unit<'_>,
    building: i64,
    from: i64,
    limit: i64,
    max_bytes: usize,
) -> Answer<(i64, i64)> {
    let to = through(unit.connection)?;
    piece(unit, &[building], from, to, limit, max_bytes)
}

fn piece(
    unit: &Unit<'_>,
    numbers: &[i64],
    from: i64,
    to: i64,
    limit: i64,
    max_bytes: usize,
) -> Answer<(i64, i64)> {
    let mut statement = unit.sql(
        "SELECT message.row, role, parts, tenant, owner FROM message CROSS JOIN session ON session.row = message.session \
         WHERE message.row > ?1 AND message.row <= ?2 ORDER BY message.row LIMIT ?3",
    )?;
    let mut found = statement.query((from, to, limit))?;
    let (mut reached, mut done, mut bytes) = (from, 0, 0);
    while let Some(row) = found.next()? {
        reached = row.get(0)?;
        let role: i64 = row.get(1)?;
        if role == Role::User as i64 || role == Role::Assistant as i64 {
            let text = text(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?);
            bytes += text.len();
            let (tenant, owner): (String, String) = (row.get(3)?, row.get(4)?);
            let groups = (
                Group::make(unit, &tenant, Some(&owner))?,
                Group::make(unit, &tenant, None)?,
            );
            let line = index::episode_line(groups.0, groups.1, &text);
            for number in numbers {
                index::put_episode(unit, *number, reached, groups, &line)?;
            }
            done += 1;
        }
        if bytes > max_bytes {
            break;
        }
    }
    Ok((reached, done))
}

/// Messages up to that row are in the index.
pub(super) fn through(connection: &Connection) -> Answer<i64> {
    Ok(connection
        .prepare_cached("SELECT value FROM memory_state WHERE name = 'episodes_through'")?
        .query_row([], |row| row.get(0))?)
}
