//! Schedules and their runs as rows. What is due is told by [`crate::domain::schedule::plan`] before it comes here; a step
//! is done where the schedule still is what it was told of, all of it in one commit: the rows of its nominal times, its
//! turn, its next time.

use super::{
    commands::Tell,
    fault::{Answer, Fault},
    owners,
    queries::one_more,
    requests::once_for,
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        ids::{Principal, SessionRow, Time},
        schedule::{
            Beside, Outcome, Owner, RUNS_KEPT, SCHEDULES_MAX, Schedule, ScheduleRun, Skip, Trigger,
            beside,
        },
        session::Session,
        times::{Nominal, seconds},
    },
    store::{
        NewSchedule, OnBusy, ScheduleCaller, ScheduleStart, ScheduleStep, ScheduleUpdate,
        core::{
            decide::{admission, queue},
            facts::Stop,
        },
    },
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::sync::Arc;
use uuid::Uuid;

/// Columns that [`schedule`] reads.
const COLUMNS: &str = "row, uid, tenant, owner, name, key_id, scopes, rules, request, paused, pause_reason, \
                       remaining_runs, next, version, owner_until";
/// Columns that [`run_of`] reads.
const RUN_COLUMNS: &str =
    "run_id, scheduled_time, start_time, cause, outcome, reason, session_key, turn_id";
/// Sessions whose turns one commit puts into their queues.
const DUE_MAX_SESSIONS: i64 = 64;
/// Reason of a run whose owner may not make it any more.
const PERMISSION_REVOKED: &str = "PERMISSION_REVOKED";
/// Why a schedule is paused whose runs failed.
const FAILURES: &str = "FAILURES";

/// What a step came to.
#[derive(Debug, Default)]
pub(super) struct Stepped {
    /// What was started, or not.
    pub(super) run: Option<ScheduleRun>,
    /// The session of its turn.
    pub(super) session: Option<Arc<Session>>,
}

// === turns that wait for their time ===

/// Puts turns whose `not_before` has come into their queues; returns in how many sessions.
pub(super) fn queue_due(unit: &mut Unit<'_>, wall: Time, now: Time) -> Answer<usize> {
    let sessions: Vec<i64> = unit
        .sql(
            "SELECT DISTINCT session FROM turn INDEXED BY turn_due WHERE state = 0 AND not_before <= ?1 LIMIT ?2",
        )?
        .query_map((wall.0, DUE_MAX_SESSIONS), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for row in &sessions {
        let found = unit.snapshot_of_row(SessionRow(*row))?;
        let facts = Default::default();
        let write = unit.decide(None, found, facts, |_, _, found| {
            let broken = || Stop::Broken(format!("turns wait for their time in no session {row}"));
            queue::due(found.ok_or_else(broken)?, wall, now)
        })?;
        if let Some(write) = write {
            unit.write(write, Tell::All)?;
        }
    }
    Ok(sessions.len())
}

/// When the next turn or schedule is due.
pub(super) fn next_due(connection: &Connection) -> Answer<Option<Time>> {
    let first = |sql: &str| -> rusqlite::Result<Option<i64>> {
        connection
            .prepare_cached(sql)?
            .query_row([], |row| row.get(0))
    };
    let turn = first("SELECT min(not_before) FROM turn INDEXED BY turn_due WHERE state = 0")?;
    let schedule = first(
        "SELECT min(due_time) FROM schedule INDEXED BY schedule_due WHERE due_time IS NOT NULL",
    )?;
    Ok(turn.into_iter().chain(schedule).min().map(Time))
}

// === reads ===

/// A schedule of somebody.
pub(super) fn find(
    connection: &Connection,
    owner: &Principal,
    name: &str,
    wall: Time,
) -> Answer<Schedule> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM schedule WHERE tenant = ?1 AND owner = ?2 AND name = ?3"
        ))?
        .query_row((&owner.tenant, &owner.subject, name), |row| {
            Ok(schedule(connection, row, wall))
        })
        .optional()?;
    found.unwrap_or_else(|| {
        let name = name.to_owned();
        Err(Refusal::ScheduleNotFound { name }.into())
    })
}

/// Schedules of somebody after a position, the oldest first.
pub(super) fn list(
    connection: &Connection,
    owner: &Principal,
    after: Option<i64>,
    (limit, wall): (usize, Time),
) -> Answer<(Vec<Schedule>, Option<i64>)> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM schedule WHERE tenant = ?1 AND owner = ?2 AND row > ?3 ORDER BY row LIMIT ?4"
    ))?;
    let after = after.unwrap_or(0);
    let mut rows = statement.query((&owner.tenant, &owner.subject, after, one_more(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() == limit {
            let next = found.last().map(|last: &Schedule| last.row);
            return Ok((found, next));
        }
        found.push(schedule(connection, row, wall)?);
    }
    Ok((found, None))
}

/// Schedules that are due, those that are so for longest first.
pub(super) fn due(connection: &Connection, wall: Time, limit: usize) -> Answer<Vec<Schedule>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM schedule INDEXED BY schedule_due WHERE due_time IS NOT NULL AND due_time <= ?1 \
         ORDER BY due_time LIMIT ?2"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query((wall.0, limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(schedule(connection, row, wall)?);
    }
    Ok(found)
}

/// Runs of a schedule before a position, the newest first.
pub(super) fn runs(
    connection: &Connection,
    owner: &Principal,
    name: &str,
    before: Option<i64>,
    (limit, wall): (usize, Time),
) -> Answer<(Vec<ScheduleRun>, Option<i64>)> {
    let schedule = find(connection, owner, name, wall)?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {RUN_COLUMNS}, row FROM schedule_run WHERE schedule = ?1 AND row < ?2 ORDER BY row DESC LIMIT ?3"
    ))?;
    let before = before.unwrap_or(i64::MAX);
    let mut rows = statement.query((schedule.row, before, one_more(limit)))?;
    let (mut found, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        if found.len() == limit {
            return Ok((found, last));
        }
        found.push(run_of(row)?);
        last = Some(row.get(8)?);
    }
    Ok((found, None))
}

fn schedule(connection: &Connection, row: &Row<'_>, wall: Time) -> Answer<Schedule> {
    let broken = |error: serde_json::Error| Fault::Broken(format!("schedule: {error}"));
    let principal = Principal {
        tenant: row.get(2)?,
        subject: row.get(3)?,
    };
    let owner = owners::look_up(
        connection,
        principal,
        (
            row.get(5)?,
            &row.get::<_, String>(6)?,
            row.get::<_, Option<i64>>(14)?.map(Time),
        ),
        wall,
    )?;
    Ok(Schedule {
        row: row.get(0)?,
        uid: row.get(1)?,
        name: row.get(4)?,
        owner,
        rules: serde_json::from_str(&row.get::<_, String>(7)?).map_err(broken)?,
        request: row.get(8)?,
        paused: row.get(9)?,
        pause_reason: row.get(10)?,
        remaining_runs: row.get(11)?,
        next: row.get::<_, Option<i64>>(12)?.map(Nominal::of_key),
        version: row.get(13)?,
    })
}

fn run_of(row: &Row<'_>) -> Answer<ScheduleRun> {
    let unknown = |what: &str| Fault::Broken(format!("unknown {what} in the store"));
    Ok(ScheduleRun {
        run_id: row.get(0)?,
        scheduled_time: Time(row.get(1)?),
        start_time: Time(row.get(2)?),
        trigger: Trigger::from_number(row.get(3)?).ok_or_else(|| unknown("trigger"))?,
        outcome: Outcome::from_number(row.get(4)?).ok_or_else(|| unknown("outcome"))?,
        reason: row.get(5)?,
        session_key: row.get(6)?,
        turn_id: row.get(7)?,
    })
}

// === changes ===

/// Makes a schedule; true for a repeat.
pub(super) fn create(unit: &mut Unit<'_>, new: &NewSchedule) -> Answer<(Schedule, bool)> {
    let ScheduleCaller {
        identity,
        name,
        request,
        now,
        wall,
        until: _,
    } = &new.caller;
    let owner = &identity.principal;
    let (_, replayed) = once_for(unit, owner, name, request.as_ref(), *now, |unit| {
        let taken = unit
            .sql("SELECT 1 FROM schedule WHERE tenant = ?1 AND owner = ?2 AND name = ?3")?
            .exists((&owner.tenant, &owner.subject, name))?;
        if taken {
            let problem = "you have a schedule of that name; UpdateSchedule changes it";
            return Err(Refusal::field("schedule.schedule_name", problem).into());
        }
        let count: i64 = unit
            .sql("SELECT count(*) FROM schedule WHERE tenant = ?1")?
            .query_row([&owner.tenant], |row| row.get(0))?;
        if count >= SCHEDULES_MAX {
            let problem = format!("the tenant has {SCHEDULES_MAX} schedules already; delete one");
            return Err(Refusal::field("schedule.schedule_name", problem).into());
        }
        unit.require_room(new.request.len())?;
        unit.sql(
            "INSERT INTO schedule (uid, tenant, owner, name, key_id, scopes, rules, request, paused, pause_reason, \
             failures_after, version, create_time) VALUES (?1, ?2, ?3, ?4, '', '', '{}', x'', 0, '', 0, 0, ?5)",
        )?
        .execute(params![
            Uuid::new_v4(),
            owner.tenant,
            owner.subject,
            name,
            wall.0
        ])?;
        let row = unit.connection.last_insert_rowid();
        fill(unit, row, new, None)
    })?;
    Ok((find(unit.connection, owner, name, *wall)?, replayed))
}

/// Gives a schedule another content; `None` where it is another one than the content was made from.
pub(super) fn update(
    unit: &mut Unit<'_>,
    update: &ScheduleUpdate,
) -> Answer<Option<(Schedule, bool)>> {
    let ScheduleUpdate { new, version } = update;
    let ScheduleCaller {
        identity,
        name,
        request,
        now,
        wall,
        until: _,
    } = &new.caller;
    let owner = &identity.principal;
    let done = once_for(unit, owner, name, request.as_ref(), *now, |unit| {
        let before = find(unit.connection, owner, name, *wall)?;
        if before.version != *version {
            return Err(Refusal::Fenced.into());
        }
        unit.require_room(new.request.len())?;
        fill(unit, before.row, new, Some(&before))
    });
    let replayed = match done {
        Ok(((), replayed)) => replayed,
        // Changed meanwhile; nothing was written.
        Err(Fault::Refused(Refusal::Fenced)) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let found = find(unit.connection, owner, name, *wall)?;
    Ok(Some((found, replayed)))
}

/// Writes the content of a schedule, and its next time.
fn fill(unit: &Unit<'_>, row: i64, new: &NewSchedule, before: Option<&Schedule>) -> Answer<()> {
    let NewSchedule {
        caller,
        rules,
        request,
        paused,
        pause_reason,
        remaining_runs,
    } = new;
    let (key_id, scopes) = owners::credential(&caller.identity);
    let uid: Uuid = unit
        .sql("SELECT uid FROM schedule WHERE row = ?1")?
        .query_row([row], |row| row.get(0))?;
    let (newest_time, newest_run): (Option<i64>, Option<i64>) = unit
        .sql("SELECT max(nominal), max(row) FROM schedule_run WHERE schedule = ?1")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let times = rules.spec.times().map_err(|(field, problem)| {
        Fault::Refused(Refusal::field(format!("schedule.spec.{field}"), problem))
    })?;
    let goes_on =
        before.filter(|before| before.rules.spec == rules.spec && before.paused == *paused);
    let next = match goes_on {
        Some(before) => before.next,
        // The first to come, and none that has a row: where the clock was set back, there are such.
        None => {
            let now = Nominal {
                second: seconds(caller.wall),
                skipped: true,
            };
            let newest = newest_time.map(Nominal::of_key);
            times.next(newest.map_or(now, |newest| newest.max(now)))
        }
    };
    let resumed = before.is_some_and(|before| before.paused && !paused);
    let after = Schedule {
        row,
        uid,
        name: caller.name.clone(),
        owner: Owner {
            principal: caller.identity.principal.clone(),
            key_id: key_id.clone(),
            scopes: caller.identity.scopes,
            valid: true,
        },
        rules: rules.clone(),
        request: request.clone(),
        paused: *paused,
        pause_reason: pause_reason.clone(),
        remaining_runs: *remaining_runs,
        next,
        version: before.map_or(0, |before| before.version) + 1,
    };
    let rules = serde_json::to_string(rules).expect("texts and numbers are always JSON");
    unit.sql(
        "UPDATE schedule SET key_id = ?2, scopes = ?3, rules = ?4, request = ?5, \
         failures_after = CASE WHEN ?6 THEN coalesce(?7, 0) ELSE failures_after END, owner_until = ?8 WHERE row = ?1",
    )?
    .execute(params![
        row,
        key_id,
        scopes,
        rules,
        request,
        resumed,
        newest_run,
        caller.until.map(|until| until.0),
    ])?;
    write(unit, &after)
}

/// Writes what a run changes of a schedule.
fn write(unit: &Unit<'_>, after: &Schedule) -> Answer<()> {
    let due = match after.rules.spec.times() {
        Ok(times) => after.due_time(&times),
        // A newer version's.
        Err(_) => None,
    };
    unit.sql(
        "UPDATE schedule SET paused = ?2, pause_reason = ?3, remaining_runs = ?4, next = ?5, due_time = ?6, \
         version = ?7 WHERE row = ?1",
    )?
    .execute(params![
        after.row,
        after.paused,
        after.pause_reason,
        after.remaining_runs,
        after.next.map(Nominal::key),
        due.map(|time| time.0),
        after.version,
    ])?;
    Ok(())
}

/// Deletes a schedule and its runs; true for a repeat.
pub(super) fn delete(unit: &mut Unit<'_>, caller: &ScheduleCaller) -> Answer<bool> {
    let ScheduleCaller {
        identity,
        name,
        request,
        now,
        wall,
        until: _,
    } = caller;
    let owner = &identity.principal;
    let ((), replayed) = once_for(unit, owner, name, request.as_ref(), *now, |unit| {
        let found = find(unit.connection, owner, name, *wall)?;
        unit.sql("DELETE FROM schedule_run WHERE schedule = ?1")?
            .execute([found.row])?;
        unit.sql("DELETE FROM schedule WHERE row = ?1")?
            .execute([found.row])?;
        Ok(())
    })?;
    Ok(replayed)
}

// === runs ===

/// Does a step of a schedule; `None` where it is another one than the step was made from. Otherwise the run that was
/// started or not, and the session of its turn.
pub(super) fn step(unit: &mut Unit<'_>, step: &ScheduleStep) -> Answer<Option<Stepped>> {
    let ScheduleStep {
        schedule: told,
        plan,
        start,
        wall,
    } = step;
    let owner = &told.owner.principal;
    let mut after = match find(unit.connection, owner, &told.name, *wall) {
        Ok(found) if found.uid == told.uid && found.version == told.version => found,
        Ok(_) | Err(Fault::Refused(Refusal::ScheduleNotFound { .. })) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    for (time, why) in &plan.skipped {
        let run = ScheduleRun {
            run_id: Uuid::now_v7(),
            scheduled_time: Time(time.second.saturating_mul(1_000_000)),
            start_time: *wall,
            trigger: Trigger::Time,
            outcome: Outcome::Skipped,
            reason: why.as_str().to_owned(),
            session_key: String::new(),
            turn_id: None,
        };
        keep_run(unit, &after, Some(*time), &run)?;
    }
    let mut stepped = Stepped::default();
    if let Some(start) = start
        && !has_row(unit, &after, start.time)?
    {
        let (done, of) = begin(unit, &mut after, start, *wall)?;
        keep_run(unit, &after, start.time, &done)?;
        stepped = Stepped {
            run: Some(done),
            session: of,
        };
    }
    let is_manual = start.as_ref().is_some_and(|start| start.time.is_none());
    if !is_manual {
        after.next = plan.next;
    }
    after.version += 1;
    write(unit, &after)?;
    let kept = i64::try_from(RUNS_KEPT).expect("a small number");
    unit.sql(
        "DELETE FROM schedule_run WHERE schedule = ?1 AND row <= \
         (SELECT row FROM schedule_run WHERE schedule = ?1 ORDER BY row DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute((after.row, kept))?;
    Ok(Some(stepped))
}

/// As [`step`], for a run that was asked for, once per request; true for a repeat.
pub(super) fn run_now(
    unit: &mut Unit<'_>,
    caller: &ScheduleCaller,
    told: &ScheduleStep,
) -> Answer<Option<(Stepped, bool)>> {
    let ScheduleCaller {
        identity,
        name,
        request,
        now,
        ..
    } = caller;
    let mut session = None;
    let done = once_for(
        unit,
        &identity.principal,
        name,
        request.as_ref(),
        *now,
        |unit| {
            let Some(Stepped {
                run: Some(run),
                session: of,
            }) = step(unit, told)?
            else {
                return Err(Refusal::Fenced.into());
            };
            session = of;
            Ok(run)
        },
    );
    match done {
        Ok((run, replayed)) => {
            let run = Some(run);
            Ok(Some((Stepped { run, session }, replayed)))
        }
        // Changed meanwhile; nothing was written.
        Err(Fault::Refused(Refusal::Fenced)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Starts a run, or says why not.
fn begin(
    unit: &mut Unit<'_>,
    after: &mut Schedule,
    start: &ScheduleStart,
    wall: Time,
) -> Answer<(ScheduleRun, Option<Arc<Session>>)> {
    let mut run = start.run(wall);
    let timed = start.time.is_some();
    if !after.owner.valid {
        pause(after, PERMISSION_REVOKED);
        PERMISSION_REVOKED.clone_into(&mut run.reason);
        return Ok((run, None));
    }
    if timed && has_failed(unit, after)? {
        pause(after, FAILURES);
        return Ok((skipped(run, Skip::Paused), None));
    }
    let (waiting, active) = unfinished(unit, after)?;
    let beside = beside(after.rules.overlap, waiting, active);
    if beside == Beside::Skip {
        return Ok((skipped(run, Skip::Overlap), None));
    }
    let admitted = match &start.command {
        Err(refusal) => Err(refusal.clone()),
        Ok(command) => {
            let mut command = command.clone();
            if beside == Beside::Interrupt {
                command.on_busy = OnBusy::Interrupt;
            }
            match unit.command(&command.caller, |ctx, facts, found| {
                admission::enqueue(ctx, facts, found, &command)
            }) {
                Ok(committed) => Ok(committed),
                // Nothing was written.
                Err(Fault::Refused(refusal)) => Err(refusal),
                Err(fault) => return Err(fault),
            }
        }
    };
    match admitted {
        Ok(committed) => {
            run.outcome = Outcome::Started;
            run.turn_id = committed.receipt.turn_id;
            if timed {
                after.remaining_runs = after.remaining_runs.map(|left| (left - 1).max(0));
            }
            Ok((run, Some(committed.session)))
        }
        Err(
            refusal @ (Refusal::StoreUnavailable
            | Refusal::Internal { .. }
            | Refusal::Draining { .. }),
        ) => Err(refusal.into()),
        Err(
            Refusal::ScopeRequired { .. }
            | Refusal::EveryScopeRequired
            | Refusal::CredentialsInvalid
            | Refusal::SessionNotYours { .. },
        ) => {
            pause(after, PERMISSION_REVOKED);
            PERMISSION_REVOKED.clone_into(&mut run.reason);
            Ok((run, None))
        }
        Err(refusal) => {
            refusal.reason().clone_into(&mut run.reason);
            Ok((run, None))
        }
    }
}

fn pause(schedule: &mut Schedule, why: &str) {
    schedule.paused = true;
    why.clone_into(&mut schedule.pause_reason);
}

fn skipped(mut run: ScheduleRun, why: Skip) -> ScheduleRun {
    run.outcome = Outcome::Skipped;
    why.as_str().clone_into(&mut run.reason);
    run.session_key.clear();
    run
}

/// Whether so many runs in a row have failed that it is paused.
fn has_failed(unit: &Unit<'_>, schedule: &Schedule) -> Answer<bool> {
    let limit = usize::try_from(schedule.rules.pause_after_failures).unwrap_or(0);
    if limit == 0 {
        return Ok(false);
    }
    let mut statement = unit.sql(
        "SELECT outcome, (SELECT state FROM turn WHERE turn.turn_id = schedule_run.turn_id) FROM schedule_run \
         WHERE schedule = ?1 AND outcome <> 2 AND row > (SELECT failures_after FROM schedule WHERE row = ?1) \
         ORDER BY row DESC",
    )?;
    let mut rows = statement.query([schedule.row])?;
    let mut failed = 0;
    while let Some(row) = rows.next()? {
        let state: Option<i64> = row.get(1)?;
        let refused = row.get::<_, i64>(0)? == Outcome::Refused as i64;
        match state {
            _ if refused => failed += 1,
            // FAILED.
            Some(6) => failed += 1,
            // Not finished: it tells nothing yet.
            Some(..=4) => {}
            Some(_) | None => return Ok(false),
        }
        if failed >= limit {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Unfinished turns of a schedule's runs: how many wait, how many are active.
fn unfinished(unit: &Unit<'_>, schedule: &Schedule) -> Answer<(usize, usize)> {
    let mut statement = unit.sql(
        "SELECT turn.state FROM schedule_run JOIN turn ON turn.turn_id = schedule_run.turn_id \
         WHERE schedule_run.schedule = ?1 AND turn.state <= 4",
    )?;
    let states: Vec<i64> = statement
        .query_map([schedule.row], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let waiting = states.iter().filter(|state| **state <= 1).count();
    Ok((waiting, states.len() - waiting))
}

/// Whether a nominal time has its row already.
fn has_row(unit: &Unit<'_>, schedule: &Schedule, time: Option<Nominal>) -> Answer<bool> {
    let Some(time) = time else {
        return Ok(false);
    };
    let found = unit
        .sql("SELECT 1 FROM schedule_run WHERE schedule = ?1 AND nominal = ?2")?
        .exists((schedule.row, time.key()))?;
    Ok(found)
}

/// Adds the row of a run, where its time has none.
fn keep_run(
    unit: &Unit<'_>,
    schedule: &Schedule,
    time: Option<Nominal>,
    run: &ScheduleRun,
) -> Answer<()> {
    let ScheduleRun {
        run_id,
        scheduled_time,
        start_time,
        trigger,
        outcome,
        reason,
        session_key,
        turn_id,
    } = run;
    unit.sql(
        "INSERT INTO schedule_run (schedule, nominal, run_id, scheduled_time, start_time, cause, outcome, reason, \
         session_key, turn_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (schedule, nominal) WHERE nominal IS NOT NULL DO NOTHING",
    )?
    .execute(params![
        schedule.row,
        time.map(Nominal::key),
        run_id,
        scheduled_time.0,
        start_time.0,
        *trigger as i64,
        *outcome as i64,
        reason,
        session_key,
        turn_id,
    ])?;
    Ok(())
}
