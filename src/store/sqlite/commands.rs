//! Runs decisions on the writer's connection: loads what they look at, looks up what they want, writes what they say.

use super::{
    apply, attachments,
    fault::{Answer, Fault},
    load,
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        budget::{Exceeded, day_of},
        client_tool,
        ids::{SessionRow, Time},
        session::Session,
        turn::{Cause, Turn},
    },
    store::{
        Caller, Committed, Fence, PendingSteer, Published, Recovered, Started, Write,
        core::{
            decide::{self, Decided, recovery, turns},
            facts::{Context, Decision, Facts, Stop},
            ownership::{OpenQuestion, TurnEnd},
            request_id,
            snapshot::Snapshot,
            write_set::{SessionWrite, WriteSet},
        },
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;

/// Turns that one call of [`expire`] ends.
const EXPIRE_MAX_TURNS: i64 = 256;
/// Sessions of one commit of [`recover`].
const RECOVER_MAX_SESSIONS: i64 = 256;

/// Whether those who watch a session are told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// They are.
    All,
    /// It is the owner's own business.
    Nobody,
}

// === impl Unit ===

impl Unit<'_> {
    /// A command of a caller about the session of its key.
    pub(super) fn command(
        &mut self,
        caller: &Caller,
        decide: impl Fn(&Context<'_>, &Facts, Option<&Snapshot>) -> Decision<Decided>,
    ) -> Answer<Committed> {
        let decided = self.decided(caller, decide)?;
        self.commit(decided)
    }

    /// The decision of such a command; nothing is written.
    pub(super) fn decided(
        &self,
        caller: &Caller,
        decide: impl Fn(&Context<'_>, &Facts, Option<&Snapshot>) -> Decision<Decided>,
    ) -> Answer<Decided> {
        let tenant = &caller.identity.principal.tenant;
        let found = self.snapshot_of_key(tenant, &caller.key)?;
        let facts = self.facts_of(caller)?;
        self.decide(Some(caller), found, facts, decide)
    }

    /// What a command's decision always looks at.
    pub(super) fn facts_of(&self, caller: &Caller) -> Answer<Facts> {
        let mut facts = Facts {
            routes: self.routes_of(&caller.identity.principal.tenant)?,
            ..Facts::default()
        };
        if let Some(request) = &caller.request {
            let digest =
                request_id::digest(&caller.identity.principal, caller.key.as_str(), request);
            facts.request = load::request(self.connection, digest)?;
        }
        Ok(facts)
    }

    /// A decision about the session of a row.
    pub(super) fn of_row<T>(
        &self,
        row: SessionRow,
        decide: impl Fn(&Context<'_>, &Facts, Option<&Snapshot>) -> Decision<T>,
    ) -> Answer<T> {
        let found = self.snapshot_of_row(row)?;
        let mut facts = Facts::default();
        if let Some(found) = &found {
            facts.routes = self.routes_of(&found.session.tenant)?;
        }
        self.decide(None, found, facts, decide)
    }

    /// Decides, and looks up what is wanted for that.
    pub(super) fn decide<T>(
        &self,
        caller: Option<&Caller>,
        mut found: Option<Arc<Snapshot>>,
        mut facts: Facts,
        decide: impl Fn(&Context<'_>, &Facts, Option<&Snapshot>) -> Decision<T>,
    ) -> Answer<T> {
        let mut wanted = BTreeSet::new();
        loop {
            let decision = self.with_context(|ctx| decide(ctx, &facts, found.as_deref()));
            let want = match decision {
                Ok(decided) => return Ok(decided),
                Err(Stop::Wants(want)) => want,
                Err(stop) => return Err(stop.into()),
            };
            if !wanted.insert(want.clone()) {
                return Err(Fault::Broken(format!("{want:?} is wanted twice")));
            }
            let generation = self.identity.generation;
            load::look_up(
                self.connection,
                generation,
                caller,
                &mut found,
                &mut facts,
                want,
            )?;
        }
    }

    /// Writes what a command's decision says.
    pub(super) fn commit(&mut self, decided: Decided) -> Answer<Committed> {
        let Decided { committed, writes } = decided;
        let WriteSet {
            session,
            request,
            new_work_bytes,
        } = writes;
        if let Some(bytes) = new_work_bytes {
            self.take_room(bytes);
        }
        if let Some(write) = session {
            self.write(write, Tell::All)?;
        }
        if let Some(request) = request {
            apply::request(self.connection, &request)?;
        }
        Ok(committed)
    }

    /// Writes what becomes of a session; returns it as it is then.
    pub(super) fn write(&mut self, write: SessionWrite, tell: Tell) -> Answer<Arc<Session>> {
        apply::session(self.connection, &write, self.life, &self.staged)?;
        let SessionWrite {
            after,
            is_new,
            held,
            events,
            ended,
            ..
        } = write;
        let session = Arc::clone(&after.session);
        for route in is_new
            .then_some(&session.routing.skipped_rules)
            .into_iter()
            .flatten()
        {
            let (session_key, reason) = (session.key.as_str(), &session.routing.reason);
            tracing::warn!(
                tenant = session.tenant,
                session_key,
                route,
                reason,
                "route {route} can't be used and is skipped"
            );
        }
        self.count(&session.tenant, &session.owner, held);
        self.changed(after);
        if tell == Tell::All {
            self.publish(Published {
                session: Arc::clone(&session),
                events: events.into_iter().map(|(event, _)| event).collect(),
                ended,
            });
        }
        Ok(session)
    }
}

// === an owner's calls ===

/// Takes a session for an owner of this process.
pub(super) fn claim(unit: &mut Unit<'_>, row: SessionRow) -> Answer<(Fence, Arc<Session>)> {
    let Some(found) = unit.snapshot_of_row(row)? else {
        return Err(load::gone(unit.connection, row)?.into());
    };
    let (fence, write) = decide::sessions::claim(&found);
    let session = unit.write(write, Tell::Nobody)?;
    Ok((fence, session))
}

/// Starts the next waiting turn.
pub(super) fn start_next(unit: &mut Unit<'_>, fence: Fence, now: Time) -> Answer<Option<Started>> {
    let next = unit.of_row(fence.session, |ctx, facts, found| {
        turns::start_next(ctx, facts, found, fence, now)
    })?;
    let Some(turns::Next {
        started,
        write,
        new_work_bytes,
    }) = next
    else {
        return Ok(None);
    };
    if let Some(bytes) = new_work_bytes {
        unit.take_room(bytes);
    }
    let session = unit.write(write, Tell::All)?;
    let Some((turn, user_messages_before)) = started else {
        return Ok(None);
    };
    let attachments = attachments::load(unit, session.row, &turn.attachments)?;
    let (output_schema, tools): (String, String) = unit
        .sql(
            "SELECT turn.output_schema, CASE turn.client_tools WHEN '' THEN session.client_tools ELSE turn.client_tools END \
             FROM turn JOIN session ON session.row = turn.session WHERE turn.row = ?1",
        )?
        .query_row([turn.row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let client_tools = client_tool::of_text(&tools)
        .map_err(|error| Fault::Broken(format!("client tools: {error}")))?;
    Ok(Some(Started {
        turn,
        session,
        attachments,
        user_messages_before,
        output_schema,
        client_tools,
    }))
}

/// Steers that the agent has not got.
pub(super) fn pending_steers(unit: &mut Unit<'_>, fence: Fence) -> Answer<Vec<PendingSteer>> {
    let steers = unit.of_row(fence.session, |_, facts, found| {
        turns::pending_steers(facts, found, fence)
    })?;
    steers
        .into_iter()
        .map(|steer| {
            Ok(PendingSteer {
                steer_id: steer.steer_id,
                text: steer.text.clone(),
                attachments: attachments::load(unit, fence.session, &steer.attachments)?,
            })
        })
        .collect()
}

/// Questions that are pending or whose answer the agent has not got.
pub(super) fn open_questions(unit: &mut Unit<'_>, fence: Fence) -> Answer<Vec<OpenQuestion>> {
    unit.of_row(fence.session, |_, _, found| {
        decide::questions::open(found, fence)
    })
}

/// Writes what the active turn's agent did.
pub(super) fn append(
    unit: &Unit<'_>,
    fence: Fence,
    writes: &[Write],
    now: Time,
) -> Answer<SessionWrite> {
    unit.of_row(fence.session, |ctx, facts, found| {
        turns::append(ctx, facts, found, fence, writes, now)
    })
}

/// Why the active turn may not call a model; `None` where it may.
pub(super) fn may_call(
    unit: &mut Unit<'_>,
    fence: Fence,
    model: &str,
    now: Time,
) -> Answer<Option<Exceeded>> {
    unit.of_row(fence.session, |ctx, facts, found| {
        decide::budgets::may_call(ctx, facts, found, fence, model, now)
    })
}

/// How the active turn ends.
pub(super) fn end_turn(
    unit: &Unit<'_>,
    fence: Fence,
    what: (&[Write], &TurnEnd, &str),
    now: Time,
) -> Answer<(Turn, SessionWrite)> {
    unit.of_row(fence.session, |ctx, facts, found| {
        turns::end_turn(ctx, facts, found, fence, what, now)
    })
}

/// Writes `session_deleted`, once.
pub(super) fn finish_delete(unit: &mut Unit<'_>, fence: Fence, now: Time) -> Answer<Arc<Session>> {
    let write = unit.of_row(fence.session, |_, facts, found| {
        decide::control::finish_delete(facts, found, fence, now)
    })?;
    unit.write(write, Tell::All)
}

/// Nobody wakes for a Delete that can't be finished.
pub(super) fn postpone_delete(unit: &mut Unit<'_>, fence: Fence) -> Answer<()> {
    let write = unit.of_row(fence.session, |_, _, found| {
        decide::control::postpone_delete(found, fence)
    })?;
    unit.write(write, Tell::Nobody)?;
    Ok(())
}

// === the system's own ===

/// Deletes that failed in an earlier life are tried again in this one.
pub(super) fn resume_deletes(unit: &mut Unit<'_>) -> Answer<()> {
    unit.sql(
        "UPDATE session INDEXED BY session_deleting SET wake = 0 WHERE state = 6 AND wake IS NULL",
    )?
    .execute([])?;
    Ok(())
}

/// Claims and settles the next sessions that an earlier life left with an active turn; `None` when there are none left.
///
/// Each commit is whole: killed between two, the next start goes on with the rest. A session that this life has claimed is
/// left alone, so a second call finds nothing.
pub(super) fn recover(unit: &mut Unit<'_>, now: Time) -> Answer<Option<Recovered>> {
    let left: Vec<i64> = unit
        .sql("SELECT row FROM session WHERE active_row IS NOT NULL AND owner_life <> ?1 \
              AND NOT EXISTS (SELECT 1 FROM worker_lease WHERE turn_id = session.active_turn) LIMIT ?2")?
        .query_map((unit.life, RECOVER_MAX_SESSIONS), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if left.is_empty() {
        return Ok(None);
    }
    let mut all = Recovered::default();
    for row in left.into_iter().map(SessionRow) {
        let (one, write) = unit.of_row(row, |ctx, facts, found| {
            let found = found.ok_or(Stop::Refused(Refusal::Fenced))?;
            recovery::settle(ctx, facts, found, Cause::GatewayCrashed, now)
        })?;
        unit.write(write, Tell::All)?;
        all.ended += one.ended;
        all.requeued += one.requeued;
        all.reset += one.reset;
    }
    Ok(Some(all))
}

/// Ends waiting turns whose `queue_ttl` is over; returns how many.
pub(super) fn expire(unit: &mut Unit<'_>, now: Time) -> Answer<u64> {
    let expired: Vec<(i64, Uuid)> = unit
        .sql(
            "SELECT session, turn_id FROM turn WHERE state = 1 AND expire_time IS NOT NULL AND expire_time <= ?1 \
             AND create_time >= ?3 ORDER BY expire_time LIMIT ?2",
        )?
        .query_map(
            (now.0, EXPIRE_MAX_TURNS, unit.oldest_that_expires().0),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let mut by_session: BTreeMap<i64, Vec<Uuid>> = BTreeMap::new();
    for (session, turn_id) in expired {
        by_session.entry(session).or_default().push(turn_id);
    }
    let mut all = 0;
    // A day has begun, and with it a period of budgets.
    let waiting = unit
        .sql("SELECT row FROM session WHERE budget_wait IS NOT NULL AND budget_wait < ?1 LIMIT ?2")?
        .query_map((day_of(now), EXPIRE_MAX_TURNS), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    look_again(unit, &waiting, now)?;
    for (session, turns) in by_session {
        let (count, write) = unit.of_row(SessionRow(session), |_, _, found| {
            let broken = || Stop::Broken(format!("turns wait in no session {session}"));
            decide::queue::expire(found.ok_or_else(broken)?, &turns, now)
        })?;
        unit.write(write, Tell::All)?;
        all += count;
    }
    Ok(all)
}

/// Has sessions of a tenant looked at again whose next turns wait for a budget; false where there are more of them.
pub(super) fn look_again_in(unit: &mut Unit<'_>, tenant: &str, now: Time) -> Answer<bool> {
    let waiting = unit
        .sql("SELECT row FROM session WHERE budget_wait IS NOT NULL AND tenant = ?1 LIMIT ?2")?
        .query_map((tenant, EXPIRE_MAX_TURNS), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    look_again(unit, &waiting, now)?;
    Ok(waiting.is_empty())
}

fn look_again(unit: &mut Unit<'_>, sessions: &[i64], now: Time) -> Answer<()> {
    for row in sessions {
        let write = unit.of_row(SessionRow(*row), |_, _, found| {
            Ok(found.and_then(|found| decide::budgets::look_again(found, now)))
        })?;
        if let Some(write) = write {
            unit.write(write, Tell::All)?;
        }
    }
    Ok(())
}

/// Begins the Delete of a session that is idle for longer than it may be.
pub(super) fn delete_idle(unit: &mut Unit<'_>, row: SessionRow, now: Time) -> Answer<()> {
    let write = unit.of_row(row, |_, _, found| match found {
        Some(found) => decide::control::delete_idle(found, now),
        None => Ok(None),
    })?;
    if let Some(write) = write {
        unit.write(write, Tell::All)?;
    }
    Ok(())
}
