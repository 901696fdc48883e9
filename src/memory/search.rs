//! Searches by words: what [`matches`](super::matches) weighs becomes what its caller may see.
//!
//! Order: who has all words, then who has some, then who has words that begin with some; inside that by weight, with a
//! little more for what is new.

use super::{
    Actor, Search,
    episodes::{self, Visible},
    index::{Group, Tables},
    matches::{Corpus, Everywhere, Match, Only, Texts},
    query::{Query, Tier},
    rows::{self, ItemRow},
    scope::{self, Need, Scope},
    snippet::snippet,
    words,
};
use crate::{
    domain::{
        access::Identity,
        event::Role,
        ids::{SessionKey, SessionRow, Time},
        memory::{Episode, Found, Hit, Kind, Place},
        refusal::Refusal,
        session::{Session, SessionState},
    },
    store::sqlite::{Answer, Fault, session_by_row},
};
use rusqlite::Connection;
use std::{collections::HashMap, sync::Arc, time::Instant};
use uuid::Uuid;

/// Matches of a search that is not weighed that are looked at, from the newest on.
const CANDIDATES_MAX: usize = 2000;
/// Memories that a filter lets through and that are sorted at once; of more the newest are looked for.
const FEW_TEXTS: i64 = 2000;
/// Texts between two looks at the clock.
const CLOCK_EACH_TEXTS: usize = 64;
/// Texts of a conversation, or of those that are shared with somebody, that are counted to know how rare a word is.
const COUNTED_MAX: i64 = 10_000;
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

/// When a search is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

// === impl Deadline ===

impl Deadline {
    /// Gives up where the time is over.
    pub(super) fn check(self) -> Answer<()> {
        if Instant::now() < self.0 {
            Ok(())
        } else {
            Err(Refusal::DeadlineExceeded.into())
        }
    }
}

/// Where a search may look.
pub(super) struct Ground<'a> {
    pub(super) connection: &'a Connection,
    pub(super) generation: Uuid,
    pub(super) actor: &'a Actor,
    pub(super) search: &'a Search,
    pub(super) scopes: Vec<Scope>,
    tables: Tables,
    deadline: Deadline,
}

// === impl Ground ===

impl<'a> Ground<'a> {
    /// The scopes of a search, if its actor may use them.
    pub(super) fn new(
        connection: &'a Connection,
        generation: Uuid,
        actor: &'a Actor,
        search: &'a Search,
        until: Instant,
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
            deadline: Deadline(until),
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

    /// The scope's memories that are looked for, newest first.
    fn newest(&self, scope: &Scope, row: i64, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let mut all = Vec::new();
        self.walk(row, query, |item| {
            let weight = 1.0 + recency(item.update_time, self.search.now);
            let Text { found, text, time } = text_of(item, scope.place.clone())?;
            all.push(Scored {
                tier: Tier::All,
                weight,
                found,
                text,
                time,
            });
            Ok(all.len() < limit)
        })?;
        Ok(all)
    }

    /// Goes through a scope's memories that are looked for, newest first, as long as it is told to go on.
    fn walk(
        &self,
        row: i64,
        query: &Query,
        mut take: impl FnMut(ItemRow) -> Answer<bool>,
    ) -> Answer<()> {
        let texts = self.items_of(row, query)?;
        // Few that a filter lets through are found by the index; many are met soon on the way.
        let few = match &texts.filter {
            Some(filter) if texts.count(filter, FEW_TEXTS)? < FEW_TEXTS => Some(filter.as_str()),
            Some(_) | None => None,
        };
        let (from, parameter): (String, &dyn rusqlite::ToSql) = match &few {
            Some(filter) => {
                let table = format!("memory_index_{}", self.tables.active);
                let from = format!(
                    "{table} CROSS JOIN memory ON memory.row = {table}.rowid WHERE {table} MATCH ?1"
                );
                (from, filter)
            }
            None => ("memory WHERE memory.scope = ?1".into(), &row),
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {} FROM {from} AND memory.forget_time IS NULL \
             ORDER BY memory.update_time DESC, memory.row DESC",
            rows::ITEM
        ))?;
        let mut found = statement.query([parameter])?;
        let mut looked = 0;
        while let Some(row) = found.next()? {
            if looked % CLOCK_EACH_TEXTS == 0 {
                self.deadline.check()?;
            }
            looked += 1;
            let item = rows::item(row)?;
            if self.wants(&item, query) && !take(item)? {
                break;
            }
        }
        Ok(())
    }

    /// A scope's texts, and what the index is asked for the filters.
    fn items_of(&self, row: i64, query: &Query) -> Answer<Texts<'_>> {
        let count = self
            .connection
            .prepare_cached("SELECT items FROM memory_scope WHERE row = ?1")?
            .query_row([row], |row| row.get(0))?;
        let group = Group(row);
        let quoted = |mark: String| format!("\"{mark}\"");
        let tags = self.search.tags.iter().chain(&query.tags);
        let mut filter: Vec<String> = tags.map(|tag| quoted(group.tag(tag))).collect();
        let kinds = self.search.kinds.iter();
        let kinds: Vec<String> = kinds.map(|kind| quoted(group.kind(*kind))).collect();
        if !kinds.is_empty() {
            filter.push(format!("({})", kinds.join(" OR ")));
        }
        Ok(Texts {
            connection: self.connection,
            corpus: Corpus::Items,
            number: self.tables.active,
            group,
            count,
            filter: (!filter.is_empty()).then(|| filter.join(" AND ")),
            only: None,
            deadline: self.deadline,
        })
    }

    fn items(&self, scope: &Scope, row: i64, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let texts = self.items_of(row, query)?;
        self.found(&texts, query, limit, |row| {
            let item = rows::find(self.connection, "memory.row = ?1", [row])?;
            item.filter(|item| self.wants(item, query))
                .map(|item| text_of(item, scope.place.clone()))
                .transpose()
        })
    }

    fn episodes(&self, query: &Query, limit: usize) -> Answer<Vec<Scored>> {
        let Some(scope) = self.scopes.first() else {
            return Ok(Vec::new());
        };
        let visible = Visible::of(self.actor, scope);
        let condition = visible.condition();
        let part = (condition, visible.parameters());
        match &visible {
            Visible::Nothing => Ok(Vec::new()),
            Visible::Tenant(tenant) => self.episodes_of((tenant, None), None, query, limit),
            Visible::Session(row) => {
                let session = session_by_row(self.connection, self.generation, *row)?;
                let Some(session) = session else {
                    return Ok(Vec::new());
                };
                let owner = (session.tenant.as_str(), Some(session.owner.as_str()));
                self.episodes_of(owner, Some(part), query, limit)
            }
            Visible::Subject { tenant, subject } => {
                let mut all =
                    self.episodes_of((tenant, Some(subject.as_str())), None, query, limit)?;
                let shared = self
                    .connection
                    .prepare_cached("SELECT 1 FROM share WHERE tenant = ?1 AND subject = ?2")?
                    .exists((tenant, subject))?;
                if shared {
                    let others = format!("session.owner <> :subject AND {condition}");
                    let part = (others.as_str(), part.1);
                    all.extend(self.episodes_of((tenant, None), Some(part), query, limit)?);
                }
                Ok(all)
            }
        }
    }

    /// The best messages of a group, or of a part of it.
    fn episodes_of(
        &self,
        (tenant, owner): (&str, Option<&str>),
        only: Option<Only<'_>>,
        query: &Query,
        limit: usize,
    ) -> Answer<Vec<Scored>> {
        let Some((group, in_group)) = Group::of_messages(self.connection, tenant, owner)? else {
            return Ok(Vec::new());
        };
        let count = match &only {
            None => in_group,
            Some((condition, parameters)) => {
                let mut parameters = parameters.clone();
                parameters.push((":most", &COUNTED_MAX));
                self.connection
                    .prepare_cached(&format!(
                        "SELECT count(*) FROM (SELECT 1 FROM session CROSS JOIN message \
                         ON message.session = session.row WHERE {condition} LIMIT :most)"
                    ))?
                    .query_row(parameters.as_slice(), |row| row.get(0))?
            }
        };
        let texts = Texts {
            connection: self.connection,
            corpus: Corpus::Episodes,
            number: self.tables.active,
            group,
            count,
            filter: None,
            only,
            deadline: self.deadline,
        };
        let mut message = self.connection.prepare_cached(
            "SELECT session, generation, turn_id, item_id, role, time, parts FROM message WHERE row = ?1",
        )?;
        let mut sessions = HashMap::new();
        self.found(&texts, query, limit, |row| {
            let mut found = message.query([row])?;
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
                if all.len() < limit && (query.has_phrases() || !chosen.is_everywhere()) {
                    let most = CANDIDATES_MAX;
                    let now = self.search.now.0;
                    let matches = texts.newest(query, &chosen, tier, most, now)?;
                    self.take(&matches, limit, weighed, &mut all, &mut load)?;
                }
            }
            // Beside a phrase such a beginning says nothing.
            if all.len() < limit && !query.has_phrases() {
                let everywhere = &chosen.everywhere;
                let matches = self.with_beginnings(texts, query, everywhere, Tier::Some, limit)?;
                self.take(&matches, limit, weighed, &mut all, &mut load)?;
            }
        }
        if all.len() < limit {
            let (matches, everywhere) = texts.beginnings(query, &chosen)?;
            self.take(&matches, limit, true, &mut all, &mut load)?;
            if all.is_empty() && !query.has_phrases() {
                let tier = Tier::Beginnings;
                let matches = self.with_beginnings(texts, query, &everywhere, tier, limit)?;
                self.take(&matches, limit, false, &mut all, &mut load)?;
            }
        }
        Ok(all.into_iter().map(|(_, scored)| scored).collect())
    }

    /// The newest texts with words that begin as nearly all texts have one: memories are looked at one by one, of messages
    /// those that are known already.
    fn with_beginnings(
        &self,
        texts: &Texts<'_>,
        query: &Query,
        everywhere: &Everywhere,
        tier: Tier,
        limit: usize,
    ) -> Answer<Vec<Match>> {
        if everywhere.words.is_empty() {
            return Ok(Vec::new());
        }
        let matched = |row: i64| Match {
            row,
            tier,
            weight: 1.0,
        };
        if texts.corpus == Corpus::Episodes {
            return Ok(everywhere
                .some
                .iter()
                .rev()
                .map(|row| matched(*row))
                .collect());
        }
        let mut matches = Vec::new();
        self.walk(texts.group.0, query, |item| {
            let text = [item.key.clone(), item.tags.join(" "), item.text(None)?];
            let words = words::words(&words::normal(&text.join(" ")));
            let begins = |begin: &String| words.iter().any(|word| word.text.starts_with(begin));
            if everywhere.words.iter().any(begins) {
                matches.push(matched(item.row));
            }
            Ok(matches.len() < limit)
        })?;
        Ok(matches)
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
            for (looked, Match { row, tier, weight }) in tier.iter().enumerate() {
                if looked % CLOCK_EACH_TEXTS == 0 {
                    self.deadline.check()?;
                }
                let enough = match weighed {
                    true => best.beats_all(*weight),
                    false => all.len() == limit,
                };
                if enough {
                    break;
                }
                if all.iter().any(|(known, _)| known == row) {
                    continue;
                }
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
