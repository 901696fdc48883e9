//! What a caller asks for, and as what it is asked of the index. Nothing of it becomes syntax: each word is cut by
//! [`words`] and put between quotes.
//!
//! * `words` are looked for; who has all of them comes before who has some.
//! * `"several words"` must stand together.
//! * `word*` is the beginning of a word.
//! * `tag:NAME` or `tag:"A NAME"` must be among the tags.

use super::{
    index::Group,
    words::{Word, normal, words},
};

/// Words that a search looks for; of a longer text the first ones.
const TERMS_MAX: usize = 24;
/// Words, from the last on, whose beginnings are looked for too: what somebody is about to write.
const BEGINNINGS_MAX: usize = 3;
/// Phrases, and tags, that a query may demand; more are not looked at.
const DEMANDS_MAX: usize = 8;
/// Shortest word that also stands for words beginning with it, in bytes: two letters say more where an alphabet is large.
const PREFIX_MIN_BYTES: usize = 3;

/// A query, cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Any of these.
    pub(super) terms: Vec<Term>,
    /// All of these.
    phrases: Vec<Vec<Term>>,
    /// All of these.
    pub(super) tags: Vec<String>,
}

/// A word to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// As it stands in the index.
    pub(super) text: String,
    /// Stands for every word that begins so.
    pub(super) prefix: bool,
}

/// How well a text must fit. Who fits an earlier one comes before all who fit a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// It has all words.
    All,
    /// It has some.
    Some,
    /// It has words that begin with some.
    Beginnings,
}

// === impl Query ===

impl Query {
    /// Cuts a text.
    pub(super) fn parse(text: &str) -> Self {
        let text = normal(text);
        let mut query = Self::default();
        let mut rest = text.as_str();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return query;
            }
            if let Some((tag, after)) = rest.strip_prefix("tag:").and_then(value) {
                if query.tags.len() < DEMANDS_MAX {
                    query.tags.push(tag.to_owned());
                }
                rest = after;
            } else if let Some((phrase, after)) = quoted(rest) {
                query.phrase(phrase);
                rest = after;
            } else {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                query.chunk(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }

    /// Whether it looks for no word.
    pub(super) fn is_blank(&self) -> bool {
        self.terms.is_empty() && self.phrases.is_empty()
    }

    /// Every word that it looks for.
    pub(super) fn all_terms(&self) -> impl Iterator<Item = &Term> {
        self.terms.iter().chain(self.phrases.iter().flatten())
    }

    /// Whether words must stand together.
    pub(super) fn has_phrases(&self) -> bool {
        !self.phrases.is_empty()
    }

    /// The last words that pass and whose beginnings are looked for too.
    pub(super) fn beginnings(&self, passes: impl Fn(&Term) -> bool) -> Vec<&str> {
        let begin = |term: &&Term| term.may_begin() && passes(term);
        let last = self.terms.iter().rev().filter(begin);
        last.take(BEGINNINGS_MAX)
            .map(|term| term.text.as_str())
            .collect()
    }

    /// What the index is asked for a tier in a group, with those terms alone that pass.
    pub(super) fn expression(
        &self,
        tier: Tier,
        group: Group,
        passes: impl Fn(&Term) -> bool,
    ) -> Option<String> {
        let mut demands: Vec<String> = self
            .phrases
            .iter()
            .map(|phrase| phrase_text(group, phrase))
            .collect();
        let terms = self.terms.iter();
        match tier {
            Tier::All => {
                let all = terms.filter(|term| passes(term));
                demands.extend(all.map(|term| term.expression(group)));
            }
            Tier::Some => {
                let some = terms.filter(|term| passes(term));
                let any: Vec<String> = some.map(|term| term.expression(group)).collect();
                if any.is_empty() {
                    return None;
                }
                demands.push(format!("({})", any.join(" OR ")));
            }
            Tier::Beginnings => {
                let any: Vec<String> = self
                    .beginnings(passes)
                    .into_iter()
                    .map(|word| format!("\"{}\"*", group.word(word)))
                    .collect();
                if any.is_empty() {
                    return None;
                }
                demands.push(format!("({})", any.join(" OR ")));
            }
        }
        (!demands.is_empty()).then(|| demands.join(" AND "))
    }

    fn phrase(&mut self, text: &str) {
        let words = words(text);
        let last = words.len().saturating_sub(1);
        let phrase: Vec<Term> = words
            .iter()
            .enumerate()
            // The last character of a run stands in the pair before it; inside a phrase it is a word of its own.
            .filter(|(index, word)| !(*index == last && ends_a_run(&words, *index) && word.lone))
            .map(|(index, word)| Term {
                text: word.text.clone(),
                prefix: index == last && word.lone,
            })
            .collect();
        if !phrase.is_empty() && self.phrases.len() < DEMANDS_MAX {
            self.phrases.push(phrase);
        }
    }

    fn chunk(&mut self, chunk: &str) {
        let words = words(chunk);
        let last = words.len().saturating_sub(1);
        for (index, word) in words.iter().enumerate() {
            if word.lone && ends_a_run(&words, index) {
                continue;
            }
            let term = Term {
                text: word.text.clone(),
                prefix: word.lone
                    || index == last && index + 1 == words.len() && starred(chunk, word),
            };
            if self.terms.len() < TERMS_MAX && !self.terms.contains(&term) {
                self.terms.push(term);
            }
        }
    }
}

/// Whether a word is the last character of the pair before it.
fn ends_a_run(words: &[Word], index: usize) -> bool {
    index > 0 && words[index].at.start < words[index - 1].at.end
}

fn starred(chunk: &str, word: &Word) -> bool {
    chunk[word.at.end..].starts_with('*')
}

/// What stands between quotes, and what comes after them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    inner.split_once('"')
}

/// A value, quoted or up to the next blank.
fn value(text: &str) -> Option<(&str, &str)> {
    if let Some(found) = quoted(text) {
        return Some(found);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn phrase_text(group: Group, phrase: &[Term]) -> String {
    let texts: Vec<String> = phrase.iter().map(|term| group.word(&term.text)).collect();
    let star = if phrase.last().is_some_and(|term| term.prefix) {
        "*"
    } else {
        ""
    };
    format!("\"{}\"{star}", texts.join(" "))
}

// === impl Term ===

impl Term {
    /// As the index is asked for it.
    pub(super) fn expression(&self, group: Group) -> String {
        phrase_text(group, std::slice::from_ref(self))
    }

    /// Whether a word of the index is meant.
    pub(super) fn fits(&self, word: &str, beginnings: bool) -> bool {
        if self.prefix || beginnings && self.may_begin() {
            word.starts_with(&self.text)
        } else {
            word == self.text
        }
    }

    /// Whether it may also stand for words that begin with it.
    fn may_begin(&self) -> bool {
        !self.prefix && self.text.len() >= PREFIX_MIN_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(text: &str) -> String {
        Query::parse(text)
            .expression(Tier::All, Group(1), |_| true)
            .unwrap_or_default()
            .replace("1¦", "")
    }

    #[test]
    fn queries_become_words_between_quotes() {
        for (text, expected) in [
            ("Dark mode", r#""dark" AND "mode""#),
            (r#"likes "Dark MODE""#, r#""dark mode" AND "like""#),
            ("deplo*", r#""deplo"*"#),
            ("東京都", r#""東京" AND "京都""#),
            ("京", r#""京"*"#),
            (r#""東京 都""#, r#""東京 京 都"*"#),
            (r#""東京都""#, r#""東京 京都""#),
            ("tag:work x", r#""x""#),
            ("a OR b NOT c", r#""a" AND "or" AND "b" AND "not" AND "c""#),
            (r#"x" OR "1"#, r#""x" AND "or" AND "1""#),
            ("a AND a", r#""a" AND "and""#),
            ("", ""),
        ] {
            assert_eq!(asked(text), expected, "{text}");
        }
        let tagged = Query::parse(r#"tag:work tag:"two words" tag: x"#);
        assert_eq!(tagged.tags, ["work", "two words"]);
    }

    proptest! {
        /// Whatever a caller sends, SQLite takes it as a query.
        #[test]
        fn nothing_is_syntax(text in "[\\PC\"*():^+-]{0,40}") {
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            connection
                .execute_batch("CREATE VIRTUAL TABLE t USING fts5(a, content = '', contentless_delete = 1, tokenize = 'ascii')")
                .unwrap();
            let query = Query::parse(&text);
            for tier in [Tier::All, Tier::Some, Tier::Beginnings] {
                if let Some(expression) = query.expression(tier, Group(31), |_| true) {
                    let rows = connection
                        .prepare("SELECT rowid FROM t WHERE t MATCH ?1")
                        .unwrap()
                        .query_map([&expression], |row| row.get::<_, i64>(0))
                        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
                    prop_assert!(rows.is_ok(), "{}: {:?}", expression, rows);
                }
            }
        }
    }
}
