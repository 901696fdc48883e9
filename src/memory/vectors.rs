//! Vectors: made after the commit of their item, compared one by one. Every vector has length 1, so that closeness is a
//! sum of products.

use super::{
    items::row_range,
    query::{Query, Tier},
    rows,
    search::{Ground, Scored, broken},
};
use crate::{
    domain::{
        memory::{Found, Kind},
        refusal::Refusal,
    },
    store::sqlite::{Answer, Unit},
};
use rusqlite::Connection;
use std::{collections::HashMap, mem::discriminant};

/// Characters of an item that the model is given.
const EMBEDDED_MAX_CHARS: usize = 4000;
/// The `k` of reciprocal rank fusion, as its authors chose it.
const FUSION_K: f64 = 60.0;

/// Items without a vector of that model, oldest first: their row, version and text.
pub(super) fn missing(connection: &Connection, limit: usize) -> Answer<Vec<(i64, i64, String)>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM memory WHERE memory.kind <> {} AND memory.forget_time IS NULL \
         AND memory.row NOT IN (SELECT memory FROM memory_vector) ORDER BY memory.row LIMIT ?1",
        rows::ITEM,
        Kind::Secret as i64,
    ))?;
    let mut found = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        let item = rows::item(row)?;
        let text = [item.key.as_str(), &item.text(None)?].join(" ");
        let text = text.trim().chars().take(EMBEDDED_MAX_CHARS).collect();
        items.push((item.row, item.version, text));
    }
    Ok(items)
}

/// Keeps vectors of items that are still as they were.
pub(super) fn keep(unit: &Unit<'_>, model: &str, vectors: &[(i64, i64, Vec<f32>)]) -> Answer<()> {
    for (row, version, vector) in vectors {
        unit.sql(
            "INSERT OR REPLACE INTO memory_vector (memory, model, vector) SELECT row, ?3, ?4 FROM memory \
             WHERE row = ?1 AND version = ?2 AND forget_time IS NULL",
        )?
        .execute((row, version, model, bytes(vector)))?;
    }
    Ok(())
}

/// How many items of a range of rows have no vector, and how many one of another model.
pub(super) fn counts(
    connection: &Connection,
    (from, to): (i64, i64),
    model: &str,
) -> Answer<(i64, i64)> {
    Ok(connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM memory WHERE row >= ?1 AND row < ?2 AND kind <> 5 AND forget_time IS NULL) \
             - (SELECT count(*) FROM memory_vector WHERE memory >= ?1 AND memory < ?2), \
             (SELECT count(*) FROM memory_vector WHERE memory >= ?1 AND memory < ?2 AND model <> ?3)",
        )?
        .query_row((from, to, model), |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Refuses where vectors of the scopes that are looked at are of another model; what other scopes have is nobody's
/// business here.
pub(super) fn require_model(ground: &Ground<'_>, model: &str) -> Answer<()> {
    // From model to model by the index: there are a few, of very many vectors.
    let mut next = ground
        .connection
        .prepare_cached("SELECT min(model) FROM memory_vector WHERE model > ?1")?;
    let mut has = ground.connection.prepare_cached(
        "SELECT 1 FROM memory_vector WHERE model = ?1 AND memory >= ?2 AND memory < ?3",
    )?;
    let mut known = String::new();
    while let Some(stored) = next.query_row([&known], |row| row.get::<_, Option<String>>(0))? {
        if stored != model {
            for row in ground.scopes.iter().filter_map(|scope| scope.row) {
                let (from, to) = row_range(row);
                if has.exists((&stored, from, to))? {
                    return Err(Refusal::EmbeddingMismatch {
                        stored,
                        configured: model.to_owned(),
                    }
                    .into());
                }
            }
        }
        known = stored;
    }
    Ok(())
}

/// The closest items, closest first.
pub(super) fn closest(
    ground: &Ground<'_>,
    query: &Query,
    vector: &[f32],
    limit: usize,
) -> Answer<Vec<Scored>> {
    let vector = unit_length(vector.to_vec());
    let mut all: Vec<(f64, i64, usize)> = Vec::new();
    for (index, scope) in ground.scopes.iter().enumerate() {
        let Some(row) = scope.row else { continue };
        let (from, to) = row_range(row);
        let mut statement = ground.connection.prepare_cached(
            "SELECT memory, vector FROM memory_vector WHERE memory >= ?1 AND memory < ?2",
        )?;
        let mut found = statement.query((from, to))?;
        while let Some(row) = found.next()? {
            let stored = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if stored.len() == vector.len() * 4 {
                all.push((product(stored, &vector), row.get(0)?, index));
            }
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut scored = Vec::new();
    for (weight, row, scope) in all {
        if scored.len() == limit {
            break;
        }
        let item = rows::find(ground.connection, "memory.row = ?1", [row])?
            .ok_or_else(|| broken("a vector without its memory"))?;
        if ground.wants(&item, query) {
            let item = item.into_item(ground.scopes[scope].place.clone(), None)?;
            scored.push(Scored {
                tier: Tier::All,
                weight,
                text: item.content.clone(),
                time: item.update_time,
                found: Found::Item(Box::new(item)),
            });
        }
    }
    Ok(scored)
}

/// Joins two orders by reciprocal rank.
pub(super) fn fuse(lists: [Vec<Scored>; 2], limit: usize) -> Vec<Scored> {
    let mut all: HashMap<_, Scored> = HashMap::new();
    for list in lists {
        for (rank, scored) in (1u32..).zip(list) {
            let key = match &scored.found {
                Found::Item(item) => (discriminant(&scored.found), item.id),
                Found::Episode(episode) => (discriminant(&scored.found), episode.item_id),
            };
            let share = 1.0 / (FUSION_K + f64::from(rank));
            all.entry(key)
                .and_modify(|known| known.weight += share)
                .or_insert(Scored {
                    tier: Tier::All,
                    weight: share,
                    ..scored
                });
        }
    }
    let mut all: Vec<Scored> = all.into_values().collect();
    all.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(b.time.cmp(&a.time)));
    all.truncate(limit);
    all
}

fn unit_length(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for x in &mut vector {
            *x /= length;
        }
    }
    vector
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    unit_length(vector.to_vec())
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect()
}

fn product(stored: &[u8], vector: &[f32]) -> f64 {
    let sum: f32 = stored
        .chunks_exact(4)
        .zip(vector)
        .map(|(chunk, x)| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) * x)
        .sum();
    f64::from(sum)
}
