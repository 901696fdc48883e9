//! ForkSession: a copy up to a finished turn, made in slices and visible when it is whole.
//!
//! The row of the new session is reserved and noted first. Messages are copied a few per commit, attachments by
//! reference; the last commit makes the session. What a fork that was cut has left is taken back by housekeeping.

use super::{
    attachments,
    fault::{Answer, Fault},
    load,
    making::{Making, Makings},
    removal, rows,
    writer::Unit,
};
use crate::{
    domain::{
        Refusal, event::ForkOrigin, ids::SessionRow, message::Part, session::Session, turn::Turn,
    },
    store::{
        Committed, Fork,
        core::{
            decide::{
                access::Need,
                fork::{self, Copied, Found},
                requests::{self, WhenGone},
                require_stored,
            },
            draft::{count_message, length},
            facts::{Context, Decision, Facts},
        },
    },
};
use rusqlite::params;
use std::sync::Arc;
use uuid::Uuid;

/// A ForkSession on its way.
pub(super) struct Forking {
    command: Fork,
    forks: Arc<Makings>,
    copying: Option<Copying>,
}

/// How far a copy is.
struct Copying {
    making: Making,
    /// What is copied, as it was when the copy began.
    source: Session,
    origin: ForkOrigin,
    /// Generation whose messages are copied.
    generation: i64,
    /// `seq` of the end of the last turn that is copied.
    end_seq: i64,
    /// Row of the last message that was copied.
    after: i64,
    /// Row of the first message of the copy.
    first: Option<i64>,
    /// Bytes that were copied, attachments as if they were.
    copied_bytes: i64,
    /// The source with the counts of what was copied.
    counted: Session,
}

// === impl Forking ===

impl Forking {
    /// A fork that has not begun.
    pub(super) fn new(command: Fork, forks: Arc<Makings>) -> Self {
        Self {
            command,
            forks,
            copying: None,
        }
    }

    /// One commit of it.
    pub(super) fn slice(&mut self, unit: &mut Unit<'_>) -> Answer<Option<Committed>> {
        if self.copying.is_none() {
            let rights = (Need::Write, WhenGone::Refuse);
            let caller = &self.command.caller;
            let done = decide(unit, &self.command, |ctx, facts, found| {
                requests::repeat(ctx, facts, caller, rights, found.source)
            })?;
            if done.is_some() {
                return Ok(done);
            }
            self.copying = Some(self.begin(unit)?);
        }
        unit.require_room(0)?;
        let copying = self.copying.as_mut().expect("it has begun");
        let all = copying.copy_messages(unit)?;
        // Told while it goes on, so that a copy that is too large is not made first.
        let maker = Session {
            owner: self.command.caller.identity.principal.subject.clone(),
            ..copying.counted.clone()
        };
        unit.with_context(|ctx| require_stored(ctx, &maker, copying.copied_bytes))?;
        if !all {
            return Ok(None);
        }
        copying.finish(unit, &self.command).map(Some)
    }

    fn begin(&self, unit: &Unit<'_>) -> Answer<Copying> {
        let source = decide(unit, &self.command, |ctx, facts, found| {
            fork::begin(ctx, facts, found, &self.command)
        })?;
        let point = fork_point(unit, &source, self.command.turn_id)?;
        let origin = ForkOrigin {
            session_key: source.key.as_str().to_owned(),
            log_id: source.log_id.to_string(),
            turn_id: point
                .as_ref()
                .map_or_else(String::new, |(t, _)| t.turn_id.to_string()),
        };
        // Without a finished turn there still is what the source itself was forked with.
        let (generation, end_seq) =
            point.map_or((source.generation, 0), |(t, end)| (t.generation, end));
        let row = unit.reserve_session()?;
        unit.sql("INSERT INTO fork (session) VALUES (?1)")?
            .execute([row.0])?;
        let mut counted = source.clone();
        counted.message_count = 0;
        counted.user_message_count = 0;
        counted.last_message_preview.clear();
        let copied_bytes = unit
            .sql("SELECT octet_length(client_tools) FROM session WHERE row = ?1")?
            .query_row([source.row.0], |row| row.get(0))?;
        Ok(Copying {
            making: self.forks.begin(row.0),
            source,
            origin,
            generation,
            end_seq,
            after: 0,
            first: None,
            copied_bytes,
            counted,
        })
    }
}

// === impl Copying ===

impl Copying {
    /// Copies the messages of every turn of the generation that had ended at the position, and lets the copy name their
    /// attachments; `seq` 0 says that no event of the new log made them. True when the last are copied.
    fn copy_messages(&mut self, unit: &Unit<'_>) -> Answer<bool> {
        let (from, to) = (self.source.row, SessionRow(self.making.row));
        let mut statement = unit.sql(&format!(
            "SELECT {}, row FROM message WHERE session = ?1 AND generation = ?2 AND row > ?4 AND \
             (seq = 0 OR EXISTS (SELECT 1 FROM turn WHERE turn.turn_id = message.turn_id AND turn.session = ?1 \
             AND turn.end_seq <= ?3)) ORDER BY row",
            rows::MESSAGE
        ))?;
        let row_column = statement.column_count() - 1;
        let mut found = statement.query((from.0, self.generation, self.end_seq, self.after))?;
        let mut copied = 0;
        let mut last = true;
        while let Some(row) = found.next()? {
            let (message, _) = rows::message(row)?;
            for part in &message.parts {
                if let Part::Attachment(reference) = part {
                    self.copied_bytes +=
                        attachments::copy(unit, from, to, &reference.attachment_id)?;
                }
            }
            let parts: Vec<u8> = row.get(8)?;
            unit.sql(
                "INSERT INTO message (session, generation, seq, item_id, turn_id, role, time, partial, continued, parts) \
                 VALUES (?1, 1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                to.0,
                message.item_id,
                message.turn_id,
                message.role as i64,
                message.create_time.0,
                message.partial,
                message.continued,
                parts,
            ])?;
            self.first
                .get_or_insert_with(|| unit.connection.last_insert_rowid());
            count_message(&mut self.counted, message.role, &message.parts);
            self.after = row.get(row_column)?;
            copied += parts.len();
            self.copied_bytes += length(parts.len());
            if !unit.spend(i64::try_from(parts.len()).unwrap_or(i64::MAX)) {
                last = false;
                break;
            }
        }
        unit.require_room(copied)?;
        Ok(last)
    }

    /// Makes the session of what was copied.
    fn finish(&self, unit: &mut Unit<'_>, command: &Fork) -> Answer<Committed> {
        let Self {
            making,
            source,
            origin,
            generation: _,
            end_seq: _,
            after: _,
            first,
            copied_bytes,
            counted,
        } = self;
        let copied = Copied {
            source,
            counted,
            origin,
            row: SessionRow(making.row),
            bytes: *copied_bytes,
        };
        let decided = decide(unit, command, |ctx, facts, found| {
            fork::finish(ctx, facts, found, command, &copied)
        })?;
        // Where the same request has made it meanwhile, this copy stays noted and is taken back.
        if !decided.committed.replayed {
            unit.sql("DELETE FROM fork WHERE session = ?1")?
                .execute([making.row])?;
            // Whoever put messages into memory's index meanwhile has passed over those of a session that was not there.
            unit.sql(
                "UPDATE memory_state SET value = min(value, ?1 - 1) WHERE name = 'episodes_through'",
            )?
            .execute([first.unwrap_or(i64::MAX)])?;
        }
        let replayed = decided.committed.replayed;
        let committed = unit.commit(decided)?;
        if !replayed {
            unit.sql(
                "UPDATE session SET client_tools = (SELECT client_tools FROM session WHERE row = ?2) WHERE row = ?1",
            )?
            .execute((making.row, source.row.0))?;
        }
        Ok(committed)
    }
}

/// A decision about the two sessions of a fork.
fn decide<T>(
    unit: &Unit<'_>,
    command: &Fork,
    decide: impl Fn(&Context<'_>, &Facts, Found<'_>) -> Decision<T>,
) -> Answer<T> {
    let caller = &command.caller;
    let tenant = &caller.identity.principal.tenant;
    let source = unit.snapshot_of_key(tenant, &caller.key)?;
    let target = unit.snapshot_of_key(tenant, &command.new_key)?;
    let facts = unit.facts_of(caller)?;
    unit.decide(Some(caller), source, facts, |ctx, facts, source| {
        let target = target.as_deref();
        decide(ctx, facts, Found { source, target })
    })
}

/// Takes back what forks have left that were cut, as much as belongs into one commit. True when nothing is left.
pub(super) fn take_back(unit: &Unit<'_>, forks: &Makings) -> Answer<bool> {
    let noted: Vec<i64> = unit
        .sql("SELECT session FROM fork")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for row in noted {
        if forks.holds(row) {
            continue;
        }
        if !removal::of_session(unit, SessionRow(row))? {
            return Ok(false);
        }
        unit.sql("DELETE FROM fork WHERE session = ?1")?
            .execute([row])?;
    }
    Ok(true)
}

/// The turn up to which is copied, and the `seq` of its end.
fn fork_point(
    unit: &Unit<'_>,
    source: &Session,
    turn_id: Option<Uuid>,
) -> Answer<Option<(Turn, i64)>> {
    let found: Option<(i64, Option<i64>)> = {
        let mut statement = match turn_id {
            Some(_) => unit.sql(
                "SELECT row, end_seq FROM turn WHERE session = ?1 AND turn_id = ?2",
            )?,
            None => unit.sql(
                "SELECT row, end_seq FROM turn WHERE session = ?1 AND state > 4 AND start_time IS NOT NULL \
                 AND generation = ?2 ORDER BY end_seq DESC LIMIT 1",
            )?,
        };
        let mut found = match turn_id {
            Some(turn_id) => statement.query((source.row.0, turn_id))?,
            None => statement.query((source.row.0, source.generation))?,
        };
        match found.next()? {
            Some(row) => Some((row.get(0)?, row.get(1)?)),
            None => None,
        }
    };
    match (found, turn_id) {
        (None, None) => Ok(None),
        (None, Some(turn_id)) => Err(Refusal::TurnNotFound {
            turn_id: turn_id.to_string(),
        }
        .into()),
        (Some((_, None)), _) => Err(Refusal::field("turn_id", "the turn is not finished").into()),
        (Some((row, Some(end_seq))), _) => {
            let turn = load::turn_of_row(unit.connection, &source.key, row)?
                .ok_or_else(|| Fault::Broken(format!("turn {row} vanished")))?;
            Ok(Some((turn, end_seq)))
        }
    }
}
