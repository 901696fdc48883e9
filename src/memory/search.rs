//! Searches by words: every match is ranked before any is cut.
//!
//! Order: who has all words, then who has some, then who has words that begin with some; inside that BM25, with a little
//! more for what is new. Words that stand nearly everywhere tell little and cost much: they are passed over where the
//! query has rarer ones.

use super::{
    Actor, Search, episodes,
    index::Tables,
    items::row_range,
    query::{Query, Term, Tier},
    rows::{self, ItemRow},
    scope::{self, Need, Scope},
    snippet::snippet,
};
use crate::{
    domain::{
        access::{Identity, Scope as Right},
        event::Role,
        ids::{SessionKey, SessionRow, Time},
        memory::{Episode, Found, Hit, Kind, Place},
        session::{Session, SessionState},
    },
    store::sqlite::{Answer, Fault, session_by_row},
};
use rusqlite::{Connection, params_from_iter, types::Value};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use uuid::Uuid;

/// Texts of one scope beyond which a word counts as common.
const COMMON_TEXTS: i64 = 2000;
/// Matches of single words, over all words of a query, that are ranked.
const RANKED_MATCHES_MAX: i64 = 8000;
/// Matches of one search that are looked at, from the best on.
const CANDIDATES_MAX: usize = 2000;
/// How much more something brand new counts than something old.
const RECENCY_SHARE: f64 = 0.15;
/// Time in which that falls to a third.
const RECENCY_DAYS: f64 = 14.0;
const DAY_MICROS: f64 = 86_400.0 * 1e6;

/// A match and how good it is.
#[derive(Clone, Debug)]
pub(super) struct Scored {
    /// The better, the earlier.
    pub(super) tier: Tier,
    /// The better, the higher.
    pub(super) weight: f64,
    /// What was found.
    pub(super) found: Found,
    /// Its text, for the snippet.
    pub(super) text: String,
    /// When it was written.
    pub(super) time: Time,
}

/// Where a search may look.
pub(super) struct Ground<'a> {
    pub(super) connection: &'a Connection,
    pub(super) generation: Uuid,
    pub(super) actor: &'a Actor,
    pub(super) search: &'a Search,
    pub(super) scopes: Vec<Scope>,
    tables: Tables,
}

// === impl Ground ===

impl<'a> Ground<'a> {
    /// The scopes of a search, if its actor may use them.
    pub(super) fn new(
        connection: &'a Connection,
        generation: Uuid,
        actor: &'a Actor,
        search: &'a Search,
    ) -> Answer<Self> {
        Ok(Self {
            connection,
            generation,
            actor,
            search,
            scopes: scope::resolve(
                connection,
                generation,
                actor,
                search.place.as_ref(),
                Need::Read,
            )?,
            tables: Tables::of(connection)?,
        })
    }

    /// The best matches by words, best first.
    pub(super) fn lexical(&self, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let mut all = Vec::new();
        for scope in &self.scopes {
            if let Some(row) = scope.row {
                if query.is_blank() {
                    all.extend(self.newest(scope, row, query, limit)?);
                } else {
                    all.extend(self.items(scope, row, query, limit)?);
                }
            }
        }
        if self.search.episodes
            && query.tags.is_empty()
            && self.search.tags.is_empty()
            && !query.is_blank()
        {
            all.extend(self.episodes(query, limit)?);
        }
        sort(&mut all);
        all.truncate(limit);
        Ok(all)
    }

    /// Whether an item is one of those that are looked for.
    pub(super) fn wants(&self, item: &ItemRow, query: &Query) -> bool {
        item.kind != Kind::Secret
            && item.forget_time.is_none()
            && !scope::is_over(item.expire_time, self.search.now)
            && (self.search.kinds.is_empty() || self.search.kinds.contains(&item.kind))
            && self
                .search
                .tags
                .iter()
                .chain(&query.tags)
                .all(|tag| item.tags.contains(tag))
    }

    fn newest(&self, scope: &Scope, row: i64, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {} FROM memory WHERE memory.scope = ?1 AND memory.forget_time IS NULL \
             ORDER BY memory.update_time DESC, memory.row DESC LIMIT ?2",
            rows::ITEM
        ))?;
        let looked = i64::try_from(CANDIDATES_MAX).unwrap_or(i64::MAX);
        let mut found = statement.query((row, looked))?;
        let mut all = Vec::new();
        while let Some(row) = found.next()? {
            let item = rows::item(row)?;
            if self.wants(&item, query) {
                let weight = 1.0 + recency(item.update_time, self.search.now);
                all.push(scored(Tier::All, weight, item, scope.place.clone())?);
            }
            if all.len() == limit {
                break;
            }
        }
        Ok(all)
    }

    fn items(&self, scope: &Scope, row: i64, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let table = format!("memory_index_{}", self.tables.active);
        let (from, to) = row_range(row);
        let chosen = self.choose(&table, query, from, to)?;
        let mut all: Vec<Scored> = Vec::new();
        let mut seen = HashSet::new();
        for tier in query.tiers() {
            if all.len() >= limit {
                break;
            }
            let Some(expression) = query.expression(tier, |term| chosen.words.contains(&term.text))
            else {
                continue;
            };
            let (weight, order) = chosen.order(&table, "AND rank MATCH 'bm25(2.0, 1.5, 1.0)'");
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT {}, {weight} FROM {table} CROSS JOIN memory ON memory.row = {table}.rowid \
                 WHERE {table} MATCH ?1 AND {table}.rowid >= ?2 AND {table}.rowid < ?3 {order}",
                rows::ITEM
            ))?;
            let mut found = statement.query((expression, from, to))?;
            let mut best = Best::new(limit - all.len());
            let mut looked = 0;
            while let Some(row) = found.next()? {
                looked += 1;
                let raw: f64 = row.get(16)?;
                if looked > CANDIDATES_MAX || chosen.is_done(&best, raw) {
                    break;
                }
                let item = rows::item(row)?;
                if self.wants(&item, query) && seen.insert(item.row) {
                    let weight = raw * (1.0 + recency(item.update_time, self.search.now));
                    best.note(weight);
                    all.push(scored(tier, weight, item, scope.place.clone())?);
                }
            }
        }
        Ok(all)
    }

    /// The words that are looked for: the rarest, as many as the work may cost; common ones where there are no others.
    fn choose(&self, table: &str, query: &Query, from: i64, to: i64) -> Answer<Chosen> {
        let mut counted = Vec::with_capacity(query.terms.len());
        for term in &query.terms {
            counted.push((self.count(table, term, from, to)?, &term.text));
        }
        counted.sort();
        let mut chosen = Chosen {
            words: HashSet::new(),
            ranked: true,
        };
        let mut matches = 0;
        for (count, word) in &counted {
            if *count >= COMMON_TEXTS || matches + count > RANKED_MATCHES_MAX {
                break;
            }
            matches += count;
            chosen.words.insert((*word).clone());
        }
        // Words that are nowhere cost nothing, and alone would find nothing.
        if matches == 0 && !counted.is_empty() {
            chosen
                .words
                .extend(counted.iter().map(|(_, word)| (*word).clone()));
            chosen.ranked = counted.iter().all(|(count, _)| *count < COMMON_TEXTS);
        }
        Ok(chosen)
    }

    /// How many texts have a word; stops to count where it is common.
    fn count(&self, table: &str, term: &Term, from: i64, to: i64) -> Answer<i64> {
        Ok(self
            .connection
            .prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ?1 \
                 AND rowid >= ?2 AND rowid < ?3 LIMIT ?4)"
            ))?
            .query_row((term.expression(), from, to, COMMON_TEXTS), |row| {
                row.get(0)
            })?)
    }

    fn episodes(&self, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let Some((condition, mut parameters)) = self.sessions()? else {
            return Ok(Vec::new());
        };
        let table = format!("episode_index_{}", self.tables.active);
        let chosen = self.choose(&table, query, 0, i64::MAX)?;
        let mut sessions = HashMap::new();
        let mut all: Vec<Scored> = Vec::new();
        let mut seen = HashSet::new();
        for tier in query.tiers() {
            if all.len() >= limit {
                break;
            }
            let Some(expression) = query.expression(tier, |term| chosen.words.contains(&term.text))
            else {
                continue;
            };
            let (weight, order) = chosen.order(&table, "");
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT message.row, message.session, message.generation, message.turn_id, message.item_id, \
                 message.role, message.time, message.parts, {weight} FROM {table} \
                 CROSS JOIN message ON message.row = {table}.rowid \
                 CROSS JOIN session ON session.row = message.session \
                 WHERE {table} MATCH ?1 AND {condition} {order}"
            ))?;
            parameters.truncate(1);
            parameters.insert(0, Value::Text(expression));
            let mut found = statement.query(params_from_iter(parameters.iter()))?;
            let mut best = Best::new(limit - all.len());
            let mut looked = 0;
            while let Some(row) = found.next()? {
                looked += 1;
                let raw: f64 = row.get(8)?;
                if looked > CANDIDATES_MAX || chosen.is_done(&best, raw) {
                    break;
                }
                let session = SessionRow(row.get(1)?);
                let Some(session_key) = self.session_key(&mut sessions, session)? else {
                    continue;
                };
                if !seen.insert(row.get::<_, i64>(0)?) {
                    continue;
                }
                let time = Time(row.get(6)?);
                let weight = raw * (1.0 + recency(time, self.search.now));
                best.note(weight);
                let role: i64 = row.get(5)?;
                all.push(Scored {
                    tier,
                    weight,
                    found: Found::Episode(Episode {
                        session_key,
                        generation: row.get(2)?,
                        turn_id: row.get(3)?,
                        item_id: row.get(4)?,
                        role: if role == Role::User as i64 {
                            Role::User
                        } else {
                            Role::Assistant
                        },
                        create_time: time,
                    }),
                    text: episodes::text(row.get_ref(7)?.as_blob().map_err(rusqlite::Error::from)?),
                    time,
                });
            }
            drop(found);
            parameters.remove(0);
        }
        Ok(all)
    }

    /// Which sessions' messages are looked at; `None` for none.
    fn sessions(&self) -> Answer<Option<(&'static str, Vec<Value>)>> {
        const ONE: &str = "message.session = ?2";
        match self.actor {
            // Its own conversation, earlier generations included; never another one's.
            Actor::Agent { session, .. } => Ok(Some((ONE, vec![Value::Integer(session.0)]))),
            Actor::Caller(identity) => {
                let Some(scope) = self.scopes.first() else {
                    return Ok(None);
                };
                match (&scope.place, scope.session) {
                    (Place::Session(_), Some(row)) => Ok(Some((ONE, vec![Value::Integer(row.0)]))),
                    // Memory of the tenant may be read without its conversations.
                    (Place::Tenant, _) if identity.scopes.contains(Right::SessionRead) => {
                        let tenant = Value::Text(scope.tenant.clone());
                        Ok(Some(("session.tenant = ?2", vec![tenant])))
                    }
                    (Place::Tenant | Place::Namespace(_) | Place::Session(_), _) => Ok(None),
                }
            }
        }
    }

    /// The key of a session that the actor may see.
    fn session_key(
        &self,
        known: &mut HashMap<SessionRow, Option<SessionKey>>,
        row: SessionRow,
    ) -> Answer<Option<SessionKey>> {
        if let Some(key) = known.get(&row) {
            return Ok(key.clone());
        }
        let session = session_by_row(self.connection, self.generation, row)?;
        let seen = session.filter(|session| match self.actor {
            Actor::Caller(identity) => is_seen(identity, session),
            Actor::Agent { .. } => true,
        });
        let key = seen.map(|session| session.key.clone());
        known.insert(row, key.clone());
        Ok(key)
    }
}

fn is_seen(identity: &Arc<Identity>, session: &Session) -> bool {
    session.state != SessionState::Deleting && identity.access(session).is_some()
}

/// What a search goes by.
struct Chosen {
    /// Words of the query that count.
    words: HashSet<String>,
    /// Whether BM25 orders what they find. Words that stand nearly everywhere tell nothing of which text is meant, and to
    /// rank all of it would cost much: there the newest come first.
    ranked: bool,
}

// === impl Chosen ===

impl Chosen {
    /// The weight of a match, and the order, as SQL.
    fn order(&self, table: &str, weights: &str) -> (String, String) {
        if self.ranked {
            (
                format!("-{table}.rank"),
                format!("{weights} ORDER BY {table}.rank"),
            )
        } else {
            ("1.0".to_owned(), format!("ORDER BY {table}.rowid DESC"))
        }
    }

    /// Whether no later match can be among the best.
    fn is_done(&self, best: &Best, raw: f64) -> bool {
        if self.ranked {
            best.beats_all(raw)
        } else {
            best.is_full()
        }
    }
}

/// The weights that were found, to know when no later one can be among the best.
struct Best {
    wanted: usize,
    /// The best so far, lowest first.
    weights: Vec<f64>,
}

// === impl Best ===

impl Best {
    fn new(wanted: usize) -> Self {
        Self {
            wanted,
            weights: Vec::new(),
        }
    }

    fn note(&mut self, weight: f64) {
        let place = self.weights.partition_point(|known| *known < weight);
        self.weights.insert(place, weight);
        if self.weights.len() > self.wanted {
            self.weights.remove(0);
        }
    }

    fn is_full(&self) -> bool {
        self.weights.len() == self.wanted
    }

    /// Whether a match of that raw weight, and all after it, are worse than what was found.
    fn beats_all(&self, raw: f64) -> bool {
        self.is_full()
            && self
                .weights
                .first()
                .is_some_and(|worst| raw * (1.0 + RECENCY_SHARE) < *worst)
    }
}

fn scored(tier: Tier, weight: f64, row: ItemRow, place: Place) -> Answer<Scored> {
    let item = row.into_item(place, None)?;
    Ok(Scored {
        tier,
        weight,
        text: item.content.clone(),
        time: item.update_time,
        found: Found::Item(Box::new(item)),
    })
}

fn recency(time: Time, now: Time) -> f64 {
    let days = (now.0.saturating_sub(time.0)).max(0) as f64 / DAY_MICROS;
    RECENCY_SHARE * (-days / RECENCY_DAYS).exp()
}

fn sort(all: &mut [Scored]) {
    all.sort_by(|a, b| {
        a.tier
            .cmp(&b.tier)
            .then(b.weight.total_cmp(&a.weight))
            .then(b.time.cmp(&a.time))
    });
}

/// Matches as callers see them. The score of the best is 1; a lower tier ends below the tier before.
pub(super) fn hits(scored: Vec<Scored>, query: &Query) -> Vec<Hit> {
    let mut ceiling = 1.0;
    let mut tier: Option<(Tier, f64)> = None;
    let mut last = 1.0;
    scored
        .into_iter()
        .map(|scored| {
            let top = match tier {
                Some((known, top)) if known == scored.tier => top,
                Some(_) => {
                    ceiling = last * 0.9;
                    scored.weight
                }
                None => scored.weight,
            };
            tier = Some((scored.tier, top));
            let score = if top > 0.0 {
                ceiling * (scored.weight / top).clamp(0.0, 1.0)
            } else {
                ceiling
            };
            last = score;
            Hit {
                snippet: snippet(&scored.text, query),
                found: scored.found,
                score,
            }
        })
        .collect()
}

/// A row that can't be read.
pub(super) fn broken(what: &str) -> Fault {
    Fault::Broken(what.into())
}
