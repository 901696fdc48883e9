//! Messages of conversations as a search finds them. They are put into the index after their commit, in bounded pieces,
//! so that no turn waits for it; what is not there yet is told by `GetMemoryStatus`.
//!
//! A piece is read by a reader, its words are cut beside the store, and the writer has them to write alone, in slices.
//! Meanwhile messages may go and their rows be given again, so the writer looks whether each is the one that was read.

use super::{
    Actor,
    index::{self, Group, Words},
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
use rusqlite::{Connection, OptionalExtension as _, ToSql};
use uuid::Uuid;

/// Messages of one piece.
const PIECE_MESSAGES: i64 = 200;
/// Bytes of texts after which a piece ends early.
const PIECE_MAX_BYTES: usize = 256 * 1024;
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

/// Messages that follow each other, with what is known of those that belong into the index.
pub(super) struct Piece<T> {
    /// The position behind which they stand.
    from: i64,
    messages: Vec<(Id, Said<T>)>,
}

/// What is known of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said<T> {
    /// It belongs into the index.
    Words(T),
    /// It does not, or is there already.
    Nothing,
    /// A Fork copies it, whose session was not there yet.
    NobodysYet,
}

/// As it was read.
pub(super) type Read = Piece<String>;

/// One message, whatever takes its row later.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Id {
    row: i64,
    session: i64,
    item_id: Uuid,
}

// === impl Piece ===

impl Read {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Cuts the words: what takes the time.
    pub(super) fn cut(self) -> Piece<Words> {
        let Self { from, messages } = self;
        let messages = messages
            .into_iter()
            .map(|(id, said)| match said {
                Said::Words(text) => (id, Said::Words(Words::of(&text))),
                Said::Nothing => (id, Said::Nothing),
                Said::NobodysYet => (id, Said::NobodysYet),
            })
            .collect();
        Piece { from, messages }
    }
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

/// The next messages after the position, as far as one piece goes.
pub(super) fn next_piece(connection: &Connection) -> Answer<Read> {
    let from = through(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT message.row, message.session, item_id, role, parts, session.row IS NULL, EXISTS \
         (SELECT 1 FROM episode_length WHERE episode_length.row = message.row) FROM message \
         LEFT JOIN session ON session.row = message.session WHERE message.row > ?1 ORDER BY message.row LIMIT ?2",
    )?;
    let mut found = statement.query((from, PIECE_MESSAGES))?;
    let mut piece = Piece {
        from,
        messages: Vec::new(),
    };
    let mut bytes = 0;
    while let Some(row) = found.next()?
        && bytes <= PIECE_MAX_BYTES
    {
        let id = Id {
            row: row.get(0)?,
            session: row.get(1)?,
            item_id: row.get(2)?,
        };
        // What is in the index is so since before the position went back.
        let (nobodys, indexed): (bool, bool) = (row.get(5)?, row.get(6)?);
        let said = if indexed || !is_said(row.get(3)?) {
            Said::Nothing
        } else if nobodys {
            Said::NobodysYet
        } else {
            let text = text(row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?);
            bytes += text.len();
            Said::Words(text)
        };
        piece.messages.push((id, said));
    }
    Ok(piece)
}

/// Puts a piece into the index, as much as belongs into one commit. `None` while there is more of it; then whether there
/// is more to read.
pub(super) fn put(unit: &Unit<'_>, piece: &Piece<Words>) -> Answer<Option<bool>> {
    let numbers: Vec<i64> = index::Tables::of(unit.connection)?.each().collect();
    let from = through(unit.connection)?;
    if from < piece.from {
        return Ok(Some(true));
    }
    let mut at = from;
    let mut enough = false;
    for (id, said) in piece.messages.iter().filter(|(id, _)| id.row > from) {
        match next_after(unit.connection, at)? {
            Some(next) if next == *id => {}
            // It was deleted since.
            Some(next) if next.row > id.row => continue,
            // Another one took its row, or none is left: they are read anew.
            Some(_) | None => break,
        }
        match said {
            Said::Words(words) => enough = !put_message(unit, &numbers, id, words)?,
            Said::Nothing => {}
            // The Fork has come to its end since. It moved the position back as far as it stood then, which may be before
            // this piece: so it is read anew.
            Said::NobodysYet if has_session(unit.connection, id.session)? => break,
            // Passed over: the Fork moves the position back when its session is there.
            Said::NobodysYet => {}
        }
        at = id.row;
        if enough {
            break;
        }
    }
    move_to(unit, at)?;
    if enough {
        return Ok(None);
    }
    is_behind(unit.connection).map(Some)
}

/// A piece of a rebuild, up to the position: what comes after it is put into both. Returns how far it came, and how many
/// it did.
pub(super) fn rebuild_step(
    unit: &Unit<'_>,
    building: i64,
    from: i64,
    limit: i64,
) -> Answer<(i64, i64)> {
    let mut statement = unit.sql(
        "SELECT row, session, item_id, role, parts FROM message WHERE row > ?1 AND row <= ?2 ORDER BY row LIMIT ?3",
    )?;
    let mut found = statement.query((from, through(unit.connection)?, limit))?;
    let (mut reached, mut done) = (from, 0);
    while let Some(row) = found.next()? {
        reached = row.get(0)?;
        if !is_said(row.get(3)?) {
            continue;
        }
        let id = Id {
            row: reached,
            session: row.get(1)?,
            item_id: row.get(2)?,
        };
        let text = text(row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?);
        done += 1;
        if !put_message(unit, &[building], &id, &Words::of(&text))? {
            break;
        }
    }
    Ok((reached, done))
}

/// False when enough is done for one commit.
fn put_message(unit: &Unit<'_>, numbers: &[i64], id: &Id, words: &Words) -> Answer<bool> {
    let owner: Option<(String, String)> = unit
        .sql("SELECT tenant, owner FROM session WHERE row = ?1")?
        .query_row([id.session], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((tenant, owner)) = owner else {
        return Ok(true);
    };
    let groups = (
        Group::make(unit, &tenant, Some(&owner))?,
        Group::make(unit, &tenant, None)?,
    );
    let line = index::episode_line(groups.0, groups.1, words);
    for number in numbers {
        index::put_episode(unit, *number, id.row, groups, &line)?;
    }
    Ok(unit.spend(i64::try_from(line.content.len()).unwrap_or(i64::MAX)))
}

fn has_session(connection: &Connection, session: i64) -> Answer<bool> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM session WHERE row = ?1")?
        .exists([session])?)
}

/// The message behind a row.
fn next_after(connection: &Connection, row: i64) -> Answer<Option<Id>> {
    Ok(connection
        .prepare_cached(
            "SELECT row, session, item_id FROM message WHERE row > ?1 ORDER BY row LIMIT 1",
        )?
        .query_row([row], |row| {
            Ok(Id {
                row: row.get(0)?,
                session: row.get(1)?,
                item_id: row.get(2)?,
            })
        })
        .optional()?)
}

fn is_said(role: i64) -> bool {
    role == Role::User as i64 || role == Role::Assistant as i64
}

fn move_to(unit: &Unit<'_>, row: i64) -> Answer<()> {
    unit.sql("UPDATE memory_state SET value = ?1 WHERE name = 'episodes_through'")?
        .execute([row])?;
    Ok(())
}

/// Messages up to that row are in the index.
pub(super) fn through(connection: &Connection) -> Answer<i64> {
    Ok(connection
        .prepare_cached("SELECT value FROM memory_state WHERE name = 'episodes_through'")?
        .query_row([], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            access::{Credential, Identity, Scopes},
            ids::{Principal, SessionKey, Time},
        },
        store::{Caller, NewSession, Published, Publisher, Store as _, core, sqlite::SqliteStore},
    };
    use std::sync::Arc;

    struct Nobody;

    impl Publisher for Nobody {
        fn publish(&self, _: Vec<Published>) {}
    }

    /// A message of a session that is not there yet, with a word.
    const COPIED: &str = "INSERT INTO message (session, generation, seq, item_id, turn_id, role, time, partial, \
                          continued, parts) VALUES (99, 1, 0, x'00112233445566778899aabbccddeeff', \
                          x'00112233445566778899aabbccddeeff', 2, 0, 0, 0, ?1)";

    /// The position stands before the piece when the Fork ends, so that moving it back changes nothing.
    #[tokio::test]
    async fn what_a_fork_ended_under_a_piece_is_read_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(directory.path(), core::tests::rules(), Arc::new(Nobody));
        let store = store.expect("a store");
        let caller = Caller {
            identity: Arc::new(Identity {
                principal: Principal::local(),
                scopes: Scopes::default(),
                credential: Credential::None,
                expire_time: None,
            }),
            key: SessionKey::parse("s").expect("a key"),
            request: None,
            expected_generation: None,
            now: Time(1),
        };
        let made = store.create_session(caller, NewSession::default()).await;
        made.expect("a session");
        let parts = frames::encode_parts(&[Part::Text {
            content_index: 0,
            text: "fish".into(),
        }]);
        let copied = store.change(move |unit| {
            unit.sql(COPIED)?.execute([parts])?;
            Ok(())
        });
        copied.await.expect("copied");
        let read = || store.look(|connection, _| next_piece(connection));
        let piece = read().await.expect("a piece").cut();
        // Its last commit: the session is there, and the position goes back to before its first message.
        let ended = store.change(|unit| {
            unit.sql("UPDATE session SET row = 99")?.execute([])?;
            unit.sql(
                "UPDATE memory_state SET value = min(value, 0) WHERE name = 'episodes_through'",
            )?
            .execute([])?;
            Ok(())
        });
        ended.await.expect("ended");
        let again = store.change_in_slices(move |unit| put(unit, &piece)).await;
        assert!(again.expect("put"), "there is more to read");
        let piece = read().await.expect("a piece").cut();
        let again = store.change_in_slices(move |unit| put(unit, &piece)).await;
        assert!(!again.expect("put"), "nothing is left");
        let found = store.look(|connection, _| {
            let mut lengths = connection.prepare("SELECT count(*) FROM episode_length")?;
            Ok(lengths.query_row([], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(found.await.expect("read"), 1);
    }
}
