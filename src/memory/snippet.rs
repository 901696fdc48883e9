//! A piece of a text around what matched.

use super::{
    query::Query,
    words::{normal, words},
};
use crate::domain::memory::Snippet;

/// Characters of a snippet, about.
const SNIPPET_CHARS: usize = 220;

/// The piece of a text with the most matches.
pub(super) fn snippet(text: &str, query: &Query) -> Snippet {
    let text = normal(text);
    let words = words(&text);
    let fits = |beginnings: bool| -> Vec<std::ops::Range<usize>> {
        words
            .iter()
            .filter(|word| {
                query
                    .all_terms()
                    .any(|term| term.fits(&word.text, beginnings))
            })
            .map(|word| word.at.clone())
            .collect()
    };
    let mut found = fits(false);
    if found.is_empty() {
        found = fits(true);
    }
    let (start, end) = window(&text, &found);
    let mut piece = String::new();
    if start > 0 {
        piece.push('…');
    }
    let shift = piece.len();
    piece.push_str(&text[start..end]);
    if end < text.len() {
        piece.push('…');
    }
    let mut matches: Vec<std::ops::Range<usize>> = Vec::new();
    for at in found {
        if at.start < start || at.end > end {
            continue;
        }
        let at = at.start - start + shift..at.end - start + shift;
        match matches.last_mut() {
            // Pairs of neighbours overlap.
            Some(last) if at.start <= last.end => last.end = last.end.max(at.end),
            Some(_) | None => matches.push(at),
        }
    }
    Snippet {
        text: piece,
        matches,
    }
}

/// Where the piece begins and ends.
fn window(text: &str, found: &[std::ops::Range<usize>]) -> (usize, usize) {
    let length = |from: usize| {
        text[from..]
            .char_indices()
            .nth(SNIPPET_CHARS)
            .map_or(text.len(), |(index, _)| from + index)
    };
    let Some(first) = found.first() else {
        return (0, length(0));
    };
    let counted = |from: usize| {
        let end = length(from);
        found
            .iter()
            .filter(|at| at.start >= from && at.end <= end)
            .count()
    };
    // The first of the best beginnings: each match is one.
    let best = found
        .iter()
        .take(64)
        .map(|at| (counted(at.start), std::cmp::Reverse(at.start)))
        .max()
        .map_or(first.start, |(_, std::cmp::Reverse(start))| start);
    // Some of what stands before it, from a word's beginning on.
    let before: usize = text[..best]
        .chars()
        .rev()
        .take(SNIPPET_CHARS / 6)
        .map(char::len_utf8)
        .sum();
    let from = best - before;
    let start = if from == 0 {
        0
    } else {
        text[from..best]
            .find(char::is_whitespace)
            .map_or(best, |blank| {
                let rest = &text[from + blank..best];
                best - rest.trim_start().len()
            })
    };
    (start, length(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marked(text: &str, query: &str) -> String {
        let Snippet { text, matches } = snippet(text, &Query::parse(query));
        let mut out = String::new();
        let mut from = 0;
        for at in matches {
            out += &format!("{}[{}]", &text[from..at.start], &text[at.clone()]);
            from = at.end;
        }
        out + &text[from..]
    }

    #[test]
    fn matches_are_marked() {
        assert_eq!(
            marked("The Café is dark", "cafe dark"),
            "The [Café] is [dark]"
        );
        assert_eq!(marked("東京都に住む", "東京都"), "[東京都]に住む");
        assert_eq!(marked("deployments fail", "deploy"), "[deployments] fail");
        assert_eq!(marked("I ❤️ 🍕", "🍕"), "I ❤️ [🍕]");
        assert_eq!(marked("party", "art"), "party");
    }

    #[test]
    fn long_texts_are_cut_around_the_best_place() {
        let text = format!(
            "{} needle here and needle there {}",
            "hay ".repeat(200),
            "hay ".repeat(200)
        );
        let shown = marked(&text, "needle");
        assert!(
            shown.starts_with('…') && shown.ends_with('…') && shown.chars().count() < 240,
            "{shown}"
        );
        assert_eq!(shown.matches("[needle]").count(), 2);
    }

    proptest! {
        #[test]
        fn matches_lie_inside(text in "\\PC{0,600}", query in "\\PC{0,20}") {
            let Snippet { text, matches } = snippet(&text, &Query::parse(&query));
            for at in matches {
                prop_assert!(text.get(at).is_some_and(|piece| !piece.is_empty()));
            }
        }
    }
}
