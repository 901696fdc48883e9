//! Searches by words: what [`matches`](super::matches) weighs becomes what its caller may see.
//!
//! Order: who has all words, then who has some, then who has words that begin with some; inside that by weight, with a
//! little more for what is new.

use super::{
    Actor, Search, episodes,
    index::Tables,
    items::row_range,
    matches::{Match, Texts},
    query::{Query, Tier},
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
use rusqlite::{Connection, named_params, types::Value};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

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

/// A text that was found.
struct Text {
    found: Found,
    /// For the snippet.
    text: String,
    /// When it was written.
    time: Time,
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
                let Text { found, text, time } = text_of(item, scope.place.clone())?;
                all.push(Scored {
                    tier: Tier::All,
                    weight,
                    found,
                    text,
                    time,
                });
            }
            if all.len() == limit {
                break;
            }
        }
        Ok(all)
    }

    fn items(&self, scope: &Scope, row: i64, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let count = self
            .connection
            .prepare_cached("SELECT items FROM memory_scope WHERE row = ?1")?
            .query_row([row], |row| row.get(0))?;
        let texts = Texts {
            connection: self.connection,
            table: format!("memory_index_{}", self.tables.active),
            rows: row_range(row),
            count,
            weights: "bm25(2.0, 1.5, 1.0)",
            only: None,
        };
        self.found(&texts, query, limit, |row| {
            let item = rows::find(self.connection, "memory.row = ?1", [row])?;
            item.filter(|item| self.wants(item, query))
                .map(|item| text_of(item, scope.place.clone()))
                .transpose()
        })
    }

    fn episodes(&self, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let Some((condition, only)) = self.sessions()? else {
            return Ok(Vec::new());
        };
        let mut message = self.connection.prepare_cached(&format!(
            "SELECT message.session, message.generation, message.turn_id, message.item_id, message.role, \
             message.time, message.parts FROM message CROSS JOIN session ON session.row = message.session \
             WHERE message.row = :row AND {condition}"
        ))?;
        let texts = Texts {
            connection: self.connection,
            table: format!("episode_index_{}", self.tables.active),
            rows: (0, i64::MAX),
            count: episodes::through(self.connection)?,
            weights: "bm25()",
            only: Some((condition, only.clone())),
        };
        let mut sessions = HashMap::new();
        self.found(&texts, query, limit, |row| {
            let mut found = message.query(named_params! {":row": row, ":only": only})?;
            let Some(row) = found.next()? else {
                return Ok(None);
            };
            let session = SessionRow(row.get(0)?);
            let Some(session_key) = self.session_key(&mut sessions, session)? else {
                return Ok(None);
            };
            let role: i64 = row.get(4)?;
            let time = Time(row.get(5)?);
            let episode = Episode {
                session_key,
                generation: row.get(1)?,
                turn_id: row.get(2)?,
                item_id: row.get(3)?,
                role: if role == Role::User as i64 {
                    Role::User
                } else {
                    Role::Assistant
                },
                create_time: time,
            };
            Ok(Some(Text {
                text: episodes::text(row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?),
                found: Found::Episode(episode),
                time,
            }))
        })
    }

    /// The best matches of an index; `load` gives those of them that are wanted.
    fn found(
        &self,
        texts: &Texts<'_>,
        query: &Query,
        limit: usize,
        mut load: impl FnMut(i64) -> Answer<Option<Text>>,
    ) -> Answer<Vec<Scored>> {
        let chosen = texts.choose(query)?;
        let mut all = Vec::new();
        let weighed = chosen.weighed;
        if weighed {
            let matches = texts.weighed(query, &chosen)?;
            self.take(&matches, limit, weighed, &mut all, &mut load)?;
        } else {
            for tier in [Tier::All, Tier::Some] {
                if all.len() < limit {
                    let matches = texts.newest(query, &chosen, tier, CANDIDATES_MAX)?;
                    self.take(&matches, limit, weighed, &mut all, &mut load)?;
                }
            }
        }
        if all.len() < limit {
            let matches = texts.beginnings(query, &chosen)?;
            self.take(&matches, limit, true, &mut all, &mut load)?;
        }
        Ok(all.into_iter().map(|(_, scored)| scored).collect())
    }

    /// Takes the best of the matches, until no later one can be among them: where they are not weighed, the first ones.
    fn take(
        &self,
        matches: &[Match],
        limit: usize,
        weighed: bool,
        all: &mut Vec<(i64, Scored)>,
        load: &mut impl FnMut(i64) -> Answer<Option<Text>>,
    ) -> Answer<()> {
        for tier in matches.chunk_by(|a, b| a.tier == b.tier) {
            let mut best = Best::new(limit.saturating_sub(all.len()));
            let mut looked = 0;
            for Match { row, tier, weight } in tier {
                let enough = match weighed {
                    true => best.beats_all(*weight),
                    false => all.len() == limit,
                };
                if enough || looked == CANDIDATES_MAX {
                    break;
                }
                if all.iter().any(|(known, _)| known == row) {
                    continue;
                }
                looked += 1;
                let Some(Text { found, text, time }) = load(*row)? else {
                    continue;
                };
                let weight = weight * (1.0 + recency(time, self.search.now));
                best.note(weight);
                let scored = Scored {
                    tier: *tier,
                    weight,
                    found,
                    text,
                    time,
                };
                all.push((*row, scored));
            }
        }
        Ok(())
    }

    /// Which sessions' messages are looked at; `None` for none.
    fn sessions(&self) -> Answer<Option<(&'static str, Value)>> {
        const ONE: &str = "message.session = :only";
        match self.actor {
            // Its own conversation, earlier generations included; never another one's.
            Actor::Agent { session, .. } => Ok(Some((ONE, Value::Integer(session.0)))),
            Actor::Caller(identity) => {
                let Some(scope) = self.scopes.first() else {
                    return Ok(None);
                };
                match (&scope.place, scope.session) {
                    (Place::Session(_), Some(row)) => Ok(Some((ONE, Value::Integer(row.0)))),
                    // Memory of the tenant may be read without its conversations.
                    (Place::Tenant, _) if identity.scopes.contains(Right::SessionRead) => {
                        let tenant = Value::Text(scope.tenant.clone());
                        Ok(Some(("session.tenant = :only", tenant)))
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

    /// Whether a match of that raw weight, and all after it, are worse than what was found.
    fn beats_all(&self, raw: f64) -> bool {
        self.weights.len() == self.wanted
            && self
                .weights
                .first()
                .is_none_or(|worst| raw * (1.0 + RECENCY_SHARE) < *worst)
    }
}

fn text_of(row: ItemRow, place: Place) -> Answer<Text> {
    let item = row.into_item(place, None)?;
    Ok(Text {
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
