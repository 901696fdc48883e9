//! RebuildMemory: the index filled anew in bounded steps, beside the one that is read, which it takes the place of at the
//! end. Where it stands is a row, so a server that stopped meanwhile goes on with it.

use super::{RebuildStatus, episodes, index, items::scope_of, rows};
use crate::{
    domain::{ids::Time, memory::Kind},
    store::sqlite::{Answer, Fault, Unit},
};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Items of one step at most, and messages. A step is one job of the store's writer, which others wait for, and ends when
/// enough is done for one commit.
const STEP_ITEMS: i64 = 200;

/// Where a rebuild stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    id: Uuid,
    start_time: i64,
    end_time: Option<i64>,
    /// Row of the last item that is done.
    item: i64,
    /// Row of the last message that is done.
    episode: i64,
    items_done: i64,
    items_total: i64,
    episodes_done: i64,
    episodes_total: i64,
    /// It fills the tables that are read: what they had was cut by an older version.
    #[serde(default)]
    in_place: bool,
}

/// Whether one runs.
pub(super) fn running(connection: &Connection) -> Answer<bool> {
    Ok(job(connection)?.is_some_and(|job| job.end_time.is_none()))
}

/// Whether one fills the tables beside those that are read.
pub(super) fn runs_beside(connection: &Connection) -> Answer<bool> {
    Ok(job(connection)?.is_some_and(|job| job.end_time.is_none() && !job.in_place))
}

/// Whether memories were put into the index by an older version, or are not all in it yet.
pub(super) fn is_outdated(connection: &Connection) -> Answer<bool> {
    let version: i64 = connection
        .prepare_cached("SELECT value FROM memory_state WHERE name = 'index_version'")?
        .query_row([], |row| row.get(0))?;
    Ok(version != index::VERSION)
}

/// Starts to fill the tables that are read anew, where an older version has filled them. What is not in them yet is found
/// a little later; with nothing to fill them with there is nothing to do.
pub(super) fn upgrade(unit: &Unit<'_>, now: Time) -> Answer<()> {
    let job = job(unit.connection)?;
    if job.is_some_and(|job| job.in_place && job.end_time.is_none()) {
        return Ok(());
    }
    let items_total = items_count(unit.connection, (0, i64::MAX))?;
    let episodes_total = episodes::count_all(unit.connection)?;
    if items_total == 0 && episodes_total == 0 {
        return note_version(unit);
    }
    for number in [1, 2] {
        clear(unit, number)?;
    }
    unit.sql("DELETE FROM memory_length")?.execute([])?;
    unit.sql("DELETE FROM episode_length")?.execute([])?;
    unit.sql("UPDATE memory_state SET value = 0 WHERE name = 'episodes_through'")?
        .execute([])?;
    save(
        unit,
        &Job {
            id: Uuid::now_v7(),
            start_time: now.0,
            end_time: None,
            item: 0,
            episode: 0,
            items_done: 0,
            items_total,
            episodes_done: 0,
            episodes_total,
            in_place: true,
        },
    )
}

fn note_version(unit: &Unit<'_>) -> Answer<()> {
    unit.sql("UPDATE memory_state SET value = ?1 WHERE name = 'index_version'")?
        .execute([index::VERSION])?;
    Ok(())
}

/// The one that runs, or the last one.
pub(super) fn status(connection: &Connection) -> Answer<Option<RebuildStatus>> {
    Ok(job(connection)?.map(|job| {
        let Job {
            id,
            start_time,
            end_time,
            item: _,
            episode: _,
            items_done,
            items_total,
            episodes_done,
            episodes_total,
            in_place: _,
        } = job;
        RebuildStatus {
            id,
            start_time: Time(start_time),
            end_time: end_time.map(Time),
            items_done,
            items_total,
            episodes_done,
            episodes_total,
        }
    }))
}

/// Starts one, where none runs.
/// With `embed` all vectors go, to be made anew; without it they stay for whoever configures their model again.
pub(super) fn start(unit: &Unit<'_>, embed: bool, now: Time) -> Answer<()> {
    if running(unit.connection)? {
        return Ok(());
    }
    unit.require_room(0)?;
    let building = 3 - index::Tables::of(unit.connection)?.active;
    clear(unit, building)?;
    let items_total = items_count(unit.connection, (0, i64::MAX))?;
    let job = Job {
        id: Uuid::now_v7(),
        start_time: now.0,
        end_time: None,
        item: 0,
        episode: 0,
        items_done: 0,
        items_total,
        episodes_done: 0,
        episodes_total: episodes::count_all(unit.connection)?,
        in_place: false,
    };
    if embed {
        unit.sql("DELETE FROM memory_vector")?.execute([])?;
    }
    save(unit, &job)
}

/// One bounded step. True while there is more to do.
pub(super) fn step(unit: &Unit<'_>, now: Time) -> Answer<bool> {
    let Some(mut job) = job(unit.connection)?.filter(|job| job.end_time.is_none()) else {
        return Ok(false);
    };
    let tables = index::Tables::of(unit.connection)?;
    let building = match tables.building {
        Some(building) => building,
        None if job.in_place => tables.active,
        None => return Err(Fault::Broken("a rebuild without its tables".into())),
    };
    // In place the messages come by themselves, from the first on.
    let more = items_step(unit, &mut job, building)?
        || !job.in_place && {
            let (reached, done) = episodes::rebuild_step(unit, building, job.episode, STEP_ITEMS)?;
            // A piece may hold tools' messages alone, which are not put into the index.
            let moved = reached > job.episode;
            job.episode = reached;
            job.episodes_done += done;
            moved
        };
    if !more && job.in_place {
        job.end_time = Some(now.0);
        job.items_total = job.items_done;
        note_version(unit)?;
    } else if !more {
        unit.sql("UPDATE memory_state SET value = ?1 WHERE name = 'active'")?
            .execute([building])?;
        job.end_time = Some(now.0);
        job.items_total = job.items_done;
        job.episodes_total = job.episodes_done;
        clear(unit, tables.active)?;
    }
    save(unit, &job)?;
    Ok(more)
}

/// Indexes the next items. True while there are some.
fn items_step(unit: &Unit<'_>, job: &mut Job, building: i64) -> Answer<bool> {
    let mut statement = unit.sql(&format!(
        "SELECT {} FROM memory WHERE memory.row > ?1 ORDER BY memory.row LIMIT ?2",
        rows::ITEM
    ))?;
    let mut found = statement.query((job.item, STEP_ITEMS))?;
    let mut any = false;
    while let Some(row) = found.next()? {
        let item = rows::item(row)?;
        any = true;
        job.item = item.row;
        if item.kind != Kind::Secret && item.forget_time.is_none() {
            let text = item.text(None)?;
            let scope = scope_of(item.row);
            let lines = index::item_lines(scope, item.kind, &item.key, &item.tags, &text);
            // A write that came first has put it there already.
            unit.sql(&format!(
                "DELETE FROM memory_index_{building} WHERE rowid = ?1"
            ))?
            .execute([item.row])?;
            index::put_lines(unit, building, item.row, &lines)?;
            job.items_done += 1;
            if !unit.spend(i64::try_from(text.len()).unwrap_or(i64::MAX)) {
                break;
            }
        }
    }
    job.items_total = job.items_total.max(job.items_done);
    Ok(any)
}

/// Items of a range of rows that belong into the index.
pub(super) fn items_count(connection: &Connection, (from, to): (i64, i64)) -> Answer<i64> {
    Ok(connection
        .prepare_cached(
            "SELECT count(*) FROM memory WHERE row >= ?1 AND row < ?2 AND kind <> 5 AND forget_time IS NULL",
        )?
        .query_row((from, to), |row| row.get(0))?)
}

fn clear(unit: &Unit<'_>, number: i64) -> Answer<()> {
    for table in ["memory_index", "episode_index"] {
        unit.sql(&format!(
            "INSERT INTO {table}_{number} ({table}_{number}) VALUES ('delete-all')"
        ))?
        .execute([])?;
    }
    Ok(())
}

fn job(connection: &Connection) -> Answer<Option<Job>> {
    let text: Option<String> = connection
        .prepare_cached("SELECT value FROM memory_state WHERE name = 'rebuild'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    text.map(|text| {
        serde_json::from_str(&text).map_err(|error| Fault::Broken(format!("rebuild: {error}")))
    })
    .transpose()
}

fn save(unit: &Unit<'_>, job: &Job) -> Answer<()> {
    let text = serde_json::to_string(job).expect("numbers and ids are always JSON");
    unit.sql("INSERT OR REPLACE INTO memory_state (name, value) VALUES ('rebuild', ?1)")?
        .execute([text])?;
    Ok(())
}
