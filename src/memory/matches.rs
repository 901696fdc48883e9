//! Which texts of an index have the words of a query, and how well each fits: rows and weights, no texts.
//!
//! Every match is ranked before any is cut. The rarest words come first, for they say most of which text is meant: their
//! matches are weighed by BM25. Words after them, as long as the work is bounded, add to a text what BM25 gives one of
//! middling length that has them once. Words that stand nearly everywhere tell little, and to walk through all their
//! matches would cost much: they are looked for in the texts that rarer words have found, and add to those. Where there
//! are no rarer ones the newest texts come first.

use super::query::{Query, Term, Tier};
use crate::store::sqlite::Answer;
use rusqlite::{Connection, named_params, types::Value};
use std::collections::{HashMap, HashSet};

/// Texts beyond which a word counts as common.
const COMMON_TEXTS: i64 = 2000;
/// Texts beyond which it does in a query of many words: so many are counted, divided by the words.
const COUNTED_TEXTS: i64 = 8000;
/// Matches of single words, over all words of a query, that are weighed.
const WEIGHED_MATCHES_MAX: i64 = 4000;
/// Those of them that are weighed by BM25, each at about six times the cost of the others.
const RANKED_MATCHES_MAX: i64 = 2000;

/// Looks for common words in texts that rarer ones have found.
const LOOKS_MAX: usize = 2000;

/// An index, and the part of it that is looked at.
pub(super) struct Texts<'a> {
    pub(super) connection: &'a Connection,
    /// Its table.
    pub(super) table: String,
    /// Rows from the first, below the second.
    pub(super) rows: (i64, i64),
    /// About how many texts there are.
    pub(super) count: i64,
    /// How much each column counts, as FTS5 writes it.
    pub(super) weights: &'static str,
    /// Of messages: a condition over `message` and `session`, and its `:only`.
    pub(super) only: Option<(&'static str, Value)>,
}

/// A text that fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) row: i64,
    pub(super) tier: Tier,
    /// The better, the higher.
    pub(super) weight: f64,
}

/// What a text has of a query.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    words: usize,
    weight: f64,
}

/// What a search goes by.
pub(super) struct Chosen {
    /// In how many texts each part stands, and what the index is asked for it; rarest first.
    asked: Vec<(i64, String)>,
    /// What the index is asked for the words that are more common.
    others: Vec<String>,
    /// Words of the query that count.
    words: HashSet<String>,
    /// Words whose beginnings may be looked for: all but common ones.
    beginnings: HashSet<String>,
    /// Whether what they find is weighed; else the newest come first.
    pub(super) weighed: bool,
}

// === impl Texts ===

impl Texts<'_> {
    /// The words that are looked for: the rarest, as many as the work may cost; common ones where there are no others.
    pub(super) fn choose(&self, query: &Query) -> Answer<Chosen> {
        if query.terms.is_empty() {
            let phrases = query.expression(Tier::All, |_| true).unwrap_or_default();
            let count = self.count(&phrases, COMMON_TEXTS)?;
            return Ok(Chosen {
                asked: vec![(count, phrases)],
                others: Vec::new(),
                words: HashSet::new(),
                beginnings: HashSet::new(),
                weighed: count < COMMON_TEXTS,
            });
        }
        let words = i64::try_from(query.terms.len()).unwrap_or(i64::MAX);
        let common = (COUNTED_TEXTS / words).min(COMMON_TEXTS);
        let chosen = self.choose_below(query, common)?;
        if chosen.weighed || common == COMMON_TEXTS {
            return Ok(chosen);
        }
        self.choose_below(query, COMMON_TEXTS)
    }

    fn choose_below(&self, query: &Query, common: i64) -> Answer<Chosen> {
        let mut counted: Vec<(i64, &Term)> = Vec::with_capacity(query.terms.len());
        for term in &query.terms {
            counted.push((self.count(&term.expression(), common)?, term));
        }
        counted.sort_by_key(|(count, _)| *count);
        let mut chosen = Chosen {
            asked: Vec::new(),
            others: Vec::new(),
            words: HashSet::new(),
            beginnings: counted
                .iter()
                .filter(|(count, _)| *count < common)
                .map(|(_, term)| term.text.clone())
                .collect(),
            weighed: true,
        };
        let mut matches = 0;
        for (count, term) in &counted {
            matches += count;
            if *count >= common || matches > WEIGHED_MATCHES_MAX {
                chosen.others.push(term.expression());
                continue;
            }
            chosen.words.insert(term.text.clone());
            chosen.asked.push((*count, term.expression()));
        }
        // Words that are nowhere cost nothing, and alone would find nothing.
        if chosen.asked.iter().all(|(count, _)| *count == 0) {
            chosen.weighed = counted.iter().all(|(count, _)| *count < common);
            chosen.words = counted.iter().map(|(_, term)| term.text.clone()).collect();
        }
        Ok(chosen)
    }

    /// In how many texts an expression is met, at most so many.
    fn count(&self, expression: &str, most: i64) -> Answer<i64> {
        let table = &self.table;
        Ok(self
            .connection
            .prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ?1 \
                 AND rowid >= ?2 AND rowid < ?3 LIMIT ?4)"
            ))?
            .query_row((expression, self.rows.0, self.rows.1, most), |row| {
                row.get(0)
            })?)
    }

    /// Texts that have the chosen words, or some of them, best first.
    pub(super) fn weighed(&self, query: &Query, chosen: &Chosen) -> Answer<Vec<Match>> {
        let some = query.expression(Tier::Some, |term| chosen.words.contains(&term.text));
        let demanded = match &some {
            Some(expression) if query.has_phrases() => Some(self.rows_of(expression)?),
            Some(_) | None => None,
        };
        let mut sums = self.weigh(&chosen.asked, demanded.as_ref())?;
        let mut words = chosen.asked.len();
        if let Some(some) = some.filter(|_| !sums.is_empty()) {
            for other in chosen.others.iter().take(LOOKS_MAX / sums.len()) {
                self.add(&mut sums, &format!("{other} AND {some}"))?;
                words += 1;
            }
        }
        Ok(sorted(sums, |sum| {
            if sum.words == words {
                Tier::All
            } else {
                Tier::Some
            }
        }))
    }

    /// Texts with words that begin with a word of the query, best first.
    pub(super) fn beginnings(&self, query: &Query, chosen: &Chosen) -> Answer<Vec<Match>> {
        let passes = |term: &Term| chosen.beginnings.contains(&term.text);
        let mut asked = Vec::new();
        let mut matches = 0;
        for expression in query.beginnings(passes) {
            let count = self.count(&expression, COMMON_TEXTS)?;
            if count < COMMON_TEXTS && matches + count <= WEIGHED_MATCHES_MAX {
                matches += count;
                asked.push((count, expression));
            }
        }
        let demanded = match query.expression(Tier::Beginnings, passes) {
            Some(expression) if query.has_phrases() => Some(self.rows_of(&expression)?),
            Some(_) | None => None,
        };
        let sums = self.weigh(&asked, demanded.as_ref())?;
        Ok(sorted(sums, |_| Tier::Beginnings))
    }

    /// The newest texts that fit, where nothing is weighed.
    pub(super) fn newest(
        &self,
        query: &Query,
        chosen: &Chosen,
        tier: Tier,
        most: usize,
    ) -> Answer<Vec<Match>> {
        let passes = |term: &Term| chosen.words.contains(&term.text);
        let Some(expression) = query.expression(tier, passes) else {
            return Ok(Vec::new());
        };
        let table = &self.table;
        let (joins, condition, only) = match &self.only {
            None => (String::new(), ":only IS NULL", &Value::Null),
            Some((condition, only)) => (
                format!(
                    "CROSS JOIN message ON message.row = {table}.rowid \
                     CROSS JOIN session ON session.row = message.session"
                ),
                *condition,
                only,
            ),
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {table}.rowid FROM {table} {joins} WHERE {table} MATCH :expression \
             AND {table}.rowid >= :from AND {table}.rowid < :to AND {condition} \
             ORDER BY {table}.rowid DESC LIMIT :most"
        ))?;
        let parameters = named_params! {
            ":expression": expression,
            ":from": self.rows.0,
            ":to": self.rows.1,
            ":only": only,
            ":most": i64::try_from(most).unwrap_or(i64::MAX),
        };
        let rows = statement.query_map(parameters, |row| {
            let row = row.get(0)?;
            let weight = 1.0;
            Ok(Match { row, tier, weight })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Adds up what each text is worth for each part that it has.
    fn weigh(
        &self,
        asked: &[(i64, String)],
        demanded: Option<&HashSet<i64>>,
    ) -> Answer<HashMap<i64, Sum>> {
        let Self { table, weights, .. } = self;
        let mut sums: HashMap<i64, Sum> = HashMap::new();
        let mut ranked = 0;
        for (count, expression) in asked {
            ranked += count;
            let (rank, by) = if ranked <= RANKED_MATCHES_MAX {
                ("rank", format!("AND rank MATCH '{weights}'"))
            } else {
                ("NULL", String::new())
            };
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT rowid, {rank} FROM {table} WHERE {table} MATCH ?1 \
                 AND rowid >= ?2 AND rowid < ?3 {by}"
            ))?;
            let rarity = rarity(*count, self.count);
            let mut found = statement.query((expression, self.rows.0, self.rows.1))?;
            while let Some(row) = found.next()? {
                let place = row.get(0)?;
                if demanded.is_none_or(|rows| rows.contains(&place)) {
                    // FTS5 ranks the best lowest.
                    let rank: Option<f64> = row.get(1)?;
                    let sum = sums.entry(place).or_default();
                    sum.words += 1;
                    sum.weight += rank.map_or(rarity, |rank| -rank);
                }
            }
        }
        Ok(sums)
    }

    /// Adds what a common word is worth to those texts that have it. How rare it is, they say themselves.
    fn add(&self, sums: &mut HashMap<i64, Sum>, expression: &str) -> Answer<()> {
        let rows = self.rows_of(expression)?;
        let rarity = rarity(count_of(rows.len()), count_of(sums.len()));
        for row in rows {
            if let Some(sum) = sums.get_mut(&row) {
                sum.words += 1;
                sum.weight += rarity;
            }
        }
        Ok(())
    }

    fn rows_of(&self, expression: &str) -> Answer<HashSet<i64>> {
        let table = &self.table;
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT rowid FROM {table} WHERE {table} MATCH ?1 AND rowid >= ?2 AND rowid < ?3"
        ))?;
        let rows = statement.query_map((expression, self.rows.0, self.rows.1), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// What BM25 gives a text of middling length for a word that it has once: so many of all texts have it.
fn rarity(having: i64, all: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a weight, not a count")]
    let (having, all) = (having as f64, all.max(having) as f64);
    ((all - having + 0.5) / (having + 0.5)).ln_1p()
}

fn count_of(texts: usize) -> i64 {
    i64::try_from(texts).unwrap_or(i64::MAX)
}

/// Best first; of two alike the newer.
fn sorted(sums: HashMap<i64, Sum>, tier: impl Fn(&Sum) -> Tier) -> Vec<Match> {
    let matches = sums.into_iter().map(|(row, sum)| Match {
        row,
        tier: tier(&sum),
        weight: sum.weight,
    });
    let mut matches: Vec<Match> = matches.collect();
    matches.sort_unstable_by(|a, b| {
        a.tier
            .cmp(&b.tier)
            .then(b.weight.total_cmp(&a.weight))
            .then(b.row.cmp(&a.row))
    });
    matches
}
