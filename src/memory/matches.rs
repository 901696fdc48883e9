//! Which texts of a group have the words of a query, and how well each fits: rows and weights, no texts.
//!
//! Every match is ranked before any is cut. The rarest words come first, for they say most of which text is meant: their
//! matches are weighed by BM25. Words after them, as long as the work is bounded, add to a text what BM25 gives one of
//! middling length that has them once. Words that stand nearly everywhere tell little, and to walk through all their
//! matches would cost much: they are looked for in the texts that rarer words have found, and add to those. Where there
//! are no rarer ones the newest texts come first.
//!
//! BM25 is counted here and not by FTS5's own function, which counts over all texts of its table: how rare a word is, and
//! how long a text is beside others, is a matter of the texts that the caller may read alone. Beginnings of words are
//! walked through here too, up to a bound: FTS5 would first collect every text that has one.

use super::{
    index::{AFTER_ALL, Group},
    query::{Query, Term, Tier},
    search::Deadline,
};
use crate::store::sqlite::Answer;
use rusqlite::{CachedStatement, Connection, ToSql};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Texts beyond which a word counts as common.
const COMMON_TEXTS: i64 = 2000;
/// Texts beyond which it does in a query of many words: so many are counted, divided by the words.
const COUNTED_TEXTS: i64 = 8000;
/// Matches of single words, over all words of a query, that are weighed.
const WEIGHED_MATCHES_MAX: i64 = 4000;
/// Those of them that are weighed by BM25, each at several times the cost of the others.
const RANKED_MATCHES_MAX: i64 = 2000;
/// Places of one word that are looked at for that; with more of them every text counts as having it once.
const PLACES_MAX: usize = 20_000;
/// Looks for common words in texts that rarer ones have found.
const LOOKS_MAX: usize = 2000;

/// BM25's own numbers: how soon a word that comes again adds nothing, and how much the length of a text counts.
const AGAIN: f64 = 1.2;
const LENGTH: f64 = 0.75;

/// What an index is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Corpus {
    /// Memories.
    Items,
    /// Messages of conversations.
    Episodes,
}

/// A condition over `message` and `session`, and what stands in it.
pub(super) type Only<'a> = (&'a str, Vec<(&'static str, &'a dyn ToSql)>);

/// A group of texts, and the part of it that is looked at.
pub(super) struct Texts<'a> {
    pub(super) connection: &'a Connection,
    /// What the index is of.
    pub(super) corpus: Corpus,
    /// Number of its tables.
    pub(super) number: i64,
    /// Whose texts.
    pub(super) group: Group,
    /// How many texts there are.
    pub(super) count: i64,
    /// What a text must have besides, as FTS5 is asked for it.
    pub(super) filter: Option<String>,
    /// Of messages: which of the group's.
    pub(super) only: Option<Only<'a>>,
    /// When to give up.
    pub(super) deadline: Deadline,
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

/// What the index is asked for: a word, a beginning, or several words together.
#[derive(Clone, Debug)]
struct Asked {
    /// In how many texts it stands.
    count: i64,
    /// As FTS5 is asked for it.
    expression: String,
    /// The word, where it is one.
    word: Option<String>,
}

/// Beginnings of words that stand nearly everywhere: the index is not asked for them.
#[derive(Default)]
pub(super) struct Everywhere {
    /// The beginnings.
    pub(super) words: Vec<String>,
    /// Some texts that have one of them.
    pub(super) some: BTreeSet<i64>,
}

/// What a search goes by.
pub(super) struct Chosen {
    /// Rarest first.
    asked: Vec<Asked>,
    /// What the index is asked for the words that are more common.
    others: Vec<String>,
    /// Words of the query that count, and that the index can be asked for.
    words: HashSet<String>,
    /// Words whose beginnings may be looked for: all but common ones.
    beginnings: HashSet<String>,
    /// Beginnings that stand nearly everywhere.
    pub(super) everywhere: Everywhere,
    /// Whether what they find is weighed; else the newest come first.
    pub(super) weighed: bool,
}

// === impl Chosen ===

impl Chosen {
    /// Whether there is nothing to ask the index for but beginnings that stand nearly everywhere.
    pub(super) fn is_everywhere(&self) -> bool {
        self.words.is_empty() && !self.everywhere.words.is_empty()
    }
}

// === impl Texts ===

impl Texts<'_> {
    /// The words that are looked for: the rarest, as many as the work may cost; common ones where there are no others.
    pub(super) fn choose(&self, query: &Query) -> Answer<Chosen> {
        if query.terms.is_empty() {
            let expression = query
                .expression(Tier::All, self.group, |_| true)
                .unwrap_or_default();
            let count = self.count(&expression, COMMON_TEXTS)?;
            let asked = Asked {
                count,
                expression,
                word: None,
            };
            return Ok(Chosen {
                asked: vec![asked],
                others: Vec::new(),
                words: HashSet::new(),
                beginnings: HashSet::new(),
                everywhere: Everywhere::default(),
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
        let mut chosen = Chosen {
            asked: Vec::new(),
            others: Vec::new(),
            words: HashSet::new(),
            beginnings: HashSet::new(),
            everywhere: Everywhere::default(),
            weighed: true,
        };
        let mut counted: Vec<(i64, &Term)> = Vec::with_capacity(query.terms.len());
        for term in &query.terms {
            let expression = term.expression(self.group);
            if term.prefix {
                let (rows, all) = self.beginning_with(&term.text, common)?;
                if !all {
                    chosen.everywhere.words.push(term.text.clone());
                    chosen.everywhere.some.extend(rows);
                    continue;
                }
            }
            counted.push((self.count(&expression, common)?, term));
        }
        counted.sort_by_key(|(count, _)| *count);
        chosen.beginnings = counted
            .iter()
            .filter(|(count, _)| *count < common)
            .map(|(_, term)| term.text.clone())
            .collect();
        let mut matches = 0;
        for (count, term) in &counted {
            let expression = term.expression(self.group);
            matches += count;
            if *count >= common || matches > WEIGHED_MATCHES_MAX {
                chosen.others.push(expression);
                continue;
            }
            chosen.words.insert(term.text.clone());
            chosen.asked.push(Asked {
                count: *count,
                expression,
                word: (!term.prefix).then(|| self.group.word(&term.text)),
            });
        }
        // Words that are nowhere cost nothing, and alone would find nothing.
        if chosen.asked.iter().all(|asked| asked.count == 0) {
            chosen.weighed = chosen.everywhere.words.is_empty()
                && counted.iter().all(|(count, _)| *count < common);
            chosen.words = counted.iter().map(|(_, term)| term.text.clone()).collect();
        }
        Ok(chosen)
    }

    /// Texts that have the chosen words, or some of them, best first.
    pub(super) fn weighed(&self, query: &Query, chosen: &Chosen) -> Answer<Vec<Match>> {
        let counts = |term: &Term| chosen.words.contains(&term.text);
        let some = query.expression(Tier::Some, self.group, counts);
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

    /// Texts with words that begin with a word of the query, best first; and the beginnings that stand nearly everywhere.
    pub(super) fn beginnings(
        &self,
        query: &Query,
        chosen: &Chosen,
    ) -> Answer<(Vec<Match>, Everywhere)> {
        let mut asked = Vec::new();
        let mut matches = 0;
        let mut begins = HashSet::new();
        let mut everywhere = Everywhere::default();
        for word in query.beginnings(|term| chosen.beginnings.contains(&term.text)) {
            let (rows, all) = self.beginning_with(word, COMMON_TEXTS)?;
            let count = count_of(rows.len());
            if !all {
                everywhere.words.push(word.to_owned());
                everywhere.some.extend(rows);
            } else if matches + count <= WEIGHED_MATCHES_MAX {
                matches += count;
                begins.insert(word.to_owned());
                asked.push(Asked {
                    count,
                    expression: format!("\"{}\"*", self.group.word(word)),
                    word: None,
                });
            }
        }
        let passes = |term: &Term| begins.contains(&term.text);
        let demanded = match query.expression(Tier::Beginnings, self.group, passes) {
            Some(expression) if query.has_phrases() => Some(self.rows_of(&expression)?),
            Some(_) | None => None,
        };
        let sums = self.weigh(&asked, demanded.as_ref())?;
        Ok((sorted(sums, |_| Tier::Beginnings), everywhere))
    }

    /// The newest texts that fit, where nothing is weighed; none that are over at `now`.
    pub(super) fn newest(
        &self,
        query: &Query,
        chosen: &Chosen,
        tier: Tier,
        most: usize,
        now: i64,
    ) -> Answer<Vec<Match>> {
        let passes = |term: &Term| chosen.words.contains(&term.text);
        let Some(expression) = query.expression(tier, self.group, passes) else {
            return Ok(Vec::new());
        };
        let table = self.table();
        // What is over shall not take the place of what is not.
        let alive = match self.corpus {
            Corpus::Items => format!(
                "EXISTS (SELECT 1 FROM memory WHERE memory.row = {table}.rowid \
                 AND (memory.expire_time IS NULL OR memory.expire_time > :now))"
            ),
            Corpus::Episodes => ":now IS NOT NULL".into(),
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let expression = self.filtered(&expression);
        let mut statement = self.sql(
            &format!("{table}.rowid"),
            &table,
            &format!(
                "{table} MATCH :expression AND {alive} ORDER BY {table}.rowid DESC LIMIT :most"
            ),
        )?;
        let parameters = self.parameters(&[
            (":expression", &expression),
            (":now", &now),
            (":most", &most),
        ]);
        let rows = statement.query_map(parameters.as_slice(), |row| {
            let row = row.get(0)?;
            let weight = 1.0;
            Ok(Match { row, tier, weight })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// In how many texts an expression is met, at most so many.
    pub(super) fn count(&self, expression: &str, most: i64) -> Answer<i64> {
        self.deadline.check()?;
        let table = self.table();
        let expression = self.filtered(expression);
        let inner = self.text(
            "1",
            &table,
            &format!("{table} MATCH :expression LIMIT :most"),
        );
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT count(*) FROM ({inner})"))?;
        let parameters = self.parameters(&[(":expression", &expression), (":most", &most)]);
        Ok(statement.query_row(parameters.as_slice(), |row| row.get(0))?)
    }

    /// Texts with a word that begins so; whether these are all, or there are at least `most`.
    fn beginning_with(&self, word: &str, most: i64) -> Answer<(BTreeSet<i64>, bool)> {
        self.deadline.check()?;
        let words = self.vocabulary();
        let from = self.group.word(word);
        let to = format!("{from}{AFTER_ALL}");
        let mut statement = self.sql("doc", &words, "term >= :from AND term <= :to")?;
        let parameters = self.parameters(&[(":from", &from), (":to", &to)]);
        let mut found = statement.query(parameters.as_slice())?;
        let (mut rows, mut places) = (BTreeSet::new(), 0);
        while let Some(row) = found.next()? {
            rows.insert(row.get(0)?);
            places += 1;
            if count_of(rows.len()) >= most || places == PLACES_MAX {
                return Ok((rows, false));
            }
        }
        Ok((rows, true))
    }

    /// Adds up what each text is worth for each part that it has.
    fn weigh(&self, asked: &[Asked], demanded: Option<&HashSet<i64>>) -> Answer<HashMap<i64, Sum>> {
        let is_wanted = |row: &i64| demanded.is_none_or(|rows| rows.contains(row));
        let mut ranked = 0;
        let mut parts: Vec<(f64, HashMap<i64, f64>)> = Vec::with_capacity(asked.len());
        let mut lengths = HashMap::new();
        for asked in asked {
            self.deadline.check()?;
            ranked += asked.count;
            let places = match &asked.word {
                // Only of a whole group is known how often a word comes in a text.
                Some(word) if ranked <= RANKED_MATCHES_MAX && self.filter.is_none() => {
                    self.places(word, &mut lengths)?
                }
                Some(_) | None => None,
            };
            let mut texts = match places {
                Some(texts) => texts,
                None => {
                    let rows = self.rows_of(&asked.expression)?;
                    rows.into_iter().map(|row| (row, 1.0)).collect()
                }
            };
            texts.retain(|row, _| is_wanted(row));
            parts.push((rarity(asked.count, self.count), texts));
        }
        #[allow(clippy::cast_precision_loss, reason = "a length, not a count")]
        let middling = lengths.values().sum::<i64>() as f64 / lengths.len().max(1) as f64;
        let mut sums: HashMap<i64, Sum> = HashMap::new();
        for (rarity, texts) in parts {
            for (row, often) in texts {
                #[allow(clippy::cast_precision_loss, reason = "a length, not a count")]
                let long = lengths
                    .get(&row)
                    .map_or(1.0, |length| *length as f64 / middling.max(1.0));
                let sum = sums.entry(row).or_default();
                sum.words += 1;
                sum.weight += rarity * often * (AGAIN + 1.0)
                    / (often + AGAIN * (1.0 - LENGTH + LENGTH * long));
            }
        }
        Ok(sums)
    }

    /// How often a word comes in each text, by the weight of where it stands; and how long those texts are. `None` where
    /// it comes too often.
    fn places(
        &self,
        word: &str,
        lengths: &mut HashMap<i64, i64>,
    ) -> Answer<Option<HashMap<i64, f64>>> {
        let words = self.vocabulary();
        let length = match self.corpus {
            Corpus::Items => "(SELECT words FROM memory_length WHERE memory_length.row = doc)",
            Corpus::Episodes => "(SELECT words FROM episode_length WHERE episode_length.row = doc)",
        };
        let mut statement = self.sql(&format!("doc, col, {length}"), &words, "term = :word")?;
        let parameters = self.parameters(&[(":word", &word)]);
        let mut found = statement.query(parameters.as_slice())?;
        let (mut texts, mut places) = (HashMap::new(), 0);
        while let Some(row) = found.next()? {
            places += 1;
            if places > PLACES_MAX {
                return Ok(None);
            }
            let text = row.get(0)?;
            let weight = match row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)? {
                "key" => 2.0,
                "tags" => 1.5,
                _ => 1.0,
            };
            *texts.entry(text).or_insert(0.0) += weight;
            if let Some(length) = row.get(2)? {
                lengths.insert(text, length);
            }
        }
        Ok(Some(texts))
    }

    /// Adds what a common word is worth to those texts that have it. How rare it is, they say themselves.
    fn add(&self, sums: &mut HashMap<i64, Sum>, expression: &str) -> Answer<()> {
        self.deadline.check()?;
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
        let table = self.table();
        let expression = self.filtered(expression);
        let mut statement = self.sql(
            &format!("{table}.rowid"),
            &table,
            &format!("{table} MATCH :expression"),
        )?;
        let parameters = self.parameters(&[(":expression", &expression)]);
        let rows = statement.query_map(parameters.as_slice(), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn filtered(&self, expression: &str) -> String {
        match &self.filter {
            Some(filter) => format!("({filter}) AND ({expression})"),
            None => expression.to_owned(),
        }
    }

    fn table(&self) -> String {
        match self.corpus {
            Corpus::Items => format!("memory_index_{}", self.number),
            Corpus::Episodes => format!("episode_index_{}", self.number),
        }
    }

    /// The index as one row for each place of a word.
    fn vocabulary(&self) -> String {
        match self.corpus {
            Corpus::Items => format!("memory_words_{}", self.number),
            Corpus::Episodes => format!("episode_words_{}", self.number),
        }
    }

    fn sql(&self, columns: &str, table: &str, condition: &str) -> Answer<CachedStatement<'_>> {
        let text = self.text(columns, table, condition);
        Ok(self.connection.prepare_cached(&text)?)
    }

    /// A query over one of the two, in the part that is looked at.
    fn text(&self, columns: &str, table: &str, condition: &str) -> String {
        let Some((only, _)) = &self.only else {
            return format!("SELECT {columns} FROM {table} WHERE {condition}");
        };
        let row = if table == self.vocabulary() {
            "doc"
        } else {
            "rowid"
        };
        format!(
            "SELECT {columns} FROM {table} CROSS JOIN message ON message.row = {table}.{row} \
             CROSS JOIN session ON session.row = message.session WHERE {only} AND {condition}"
        )
    }

    fn parameters<'b>(
        &'b self,
        own: &[(&'static str, &'b dyn ToSql)],
    ) -> Vec<(&'static str, &'b dyn ToSql)> {
        let mut all = own.to_vec();
        if let Some((_, parameters)) = &self.only {
            all.extend(parameters.iter().copied());
        }
        all
    }
}

/// How much a word says that so many of all texts have: BM25's inverse document frequency.
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
