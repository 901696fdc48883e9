//! Texts as the words of the index. The same function cuts what is stored and what is asked for, so that what was written
//! in any script is found by its own words.
//!
//! Cases, accents and vowel points are folded away, as are the wide and narrow forms of one letter. Scripts that write
//! without blanks (Han, kana, Thai and the like), and Hangul, become pairs of neighbours, and symbols such as emoji words of their
//! own. An English plural is its singular. A text of punctuation alone becomes words too: nothing comes to nothing but blanks.
//!
//! SQLite's own tokenizers know neither pairs nor newer letters; the index uses `ascii`, which takes every character
//! beyond ASCII as a letter and thereby leaves the cut to this file.

use std::ops::Range;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Longest word of the index, in characters; what is beyond is not looked at.
const WORD_MAX_CHARS: usize = 64;

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// As it stands in the index.
    pub(crate) text: String,
    /// Bytes of the text that it was cut from.
    pub(crate) at: Range<usize>,
    /// One character of a script without blanks, the last of its run: asked for, it means every pair that begins so.
    pub(crate) lone: bool,
}

/// What a character does to the word that it stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Goes into a word of many.
    Letter,
    /// Of a script without blanks.
    Dense,
    /// A word by itself.
    Symbol,
    /// Ends a word, and is a symbol where the text has nothing else.
    Mark,
    /// Ends a word.
    Blank,
    /// Is not there.
    Nothing,
}

/// One spelling of each text, wide and narrow forms alike; what words point into.
pub(crate) fn normal(text: &str) -> String {
    text.nfkc().collect()
}

/// The words of a text in [`normal`] spelling.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let words = cut(text, false);
    if words.is_empty() {
        cut(text, true)
    } else {
        words
    }
}

/// The words of a text as one line.
#[cfg(test)]
pub(crate) fn line(text: &str) -> String {
    let words = words(&normal(text));
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    texts.join(" ")
}

fn cut(text: &str, marks_count: bool) -> Vec<Word> {
    let mut cutter = Cutter::default();
    for (place, letter) in text.char_indices() {
        let at = place..place + letter.len_utf8();
        let class = match class(letter) {
            Class::Mark if marks_count => Class::Symbol,
            class => class,
        };
        match class {
            Class::Letter => cutter.letter(letter, at),
            Class::Dense => cutter.dense(letter, at),
            Class::Symbol => cutter.symbol(letter, at),
            Class::Mark | Class::Blank => cutter.end(),
            Class::Nothing => {}
        }
    }
    cutter.end();
    cutter.words
}

#[derive(Default)]
struct Cutter {
    words: Vec<Word>,
    /// The word that grows.
    open: Option<Word>,
    /// The character of a dense run that waits for its neighbour.
    neighbour: Option<(String, Range<usize>)>,
}

impl Cutter {
    fn letter(&mut self, letter: char, at: Range<usize>) {
        let folded = fold(letter);
        if is_combining_mark(letter)
            && let Some((text, place)) = &mut self.neighbour
        {
            text.push_str(&folded);
            place.end = at.end;
            return;
        }
        self.end_run();
        let open = self.open.get_or_insert_with(|| Word {
            text: String::new(),
            at: at.clone(),
            lone: false,
        });
        open.at.end = at.end;
        if open.text.chars().count() < WORD_MAX_CHARS {
            open.text.push_str(&folded);
        }
    }

    fn dense(&mut self, letter: char, at: Range<usize>) {
        self.end_word();
        let folded = fold(letter);
        if let Some((before, place)) = self.neighbour.take() {
            self.words.push(Word {
                text: before + &folded,
                at: place.start..at.end,
                lone: false,
            });
        }
        self.neighbour = Some((folded, at));
    }

    fn symbol(&mut self, letter: char, at: Range<usize>) {
        self.end();
        self.words.push(Word {
            text: format!("u{:x}u", u32::from(letter)),
            at,
            lone: false,
        });
    }

    fn end(&mut self) {
        self.end_word();
        self.end_run();
    }

    fn end_word(&mut self) {
        // Vowel points alone fold to nothing.
        if let Some(mut word) = self.open.take().filter(|word| !word.text.is_empty()) {
            singular(&mut word.text);
            self.words.push(word);
        }
    }

    fn end_run(&mut self) {
        if let Some((text, at)) = self.neighbour.take() {
            self.words.push(Word {
                text,
                at,
                lone: true,
            });
        }
    }
}

fn class(letter: char) -> Class {
    if letter.is_whitespace() || letter.is_control() {
        Class::Blank
    } else if is_dense(letter) {
        Class::Dense
    } else if letter.is_alphanumeric() {
        Class::Letter
    } else {
        match u32::from(letter) {
            // Joiners, directions, the byte order mark, and how an emoji is to look.
            0x200b..=0x200f | 0x2060..=0x206f | 0x202a..=0x202e | 0xfe00..=0xfe0f | 0xfeff | 0x00ad => {
                Class::Nothing
            }
            _ if is_combining_mark(letter) => Class::Letter,
            // ASCII and Latin-1 punctuation, general and CJK punctuation, and their wide and small forms.
            0x00..=0xbf
            | 0xd7
            | 0xf7
            | 0x2010..=0x205e
            | 0x2e00..=0x2e7f
            | 0x3001..=0x303f
            | 0x30fb
            | 0xfe10..=0xfe6f
            | 0xff00..=0xff0f
            | 0xff1a..=0xff20
            | 0xff3b..=0xff40
            | 0xff5b..=0xff65
            // Of other scripts, as far as sentences end with it.
            | 0x0589
            | 0x05be
            | 0x060c
            | 0x061b
            | 0x061f
            | 0x066a..=0x066d
            | 0x06d4
            | 0x0964..=0x0965 => Class::Mark,
            _ => Class::Symbol,
        }
    }
}

/// Letters of scripts that write without blanks between words, or not between all.
fn is_dense(letter: char) -> bool {
    letter.is_alphanumeric()
        && matches!(
            u32::from(letter),
            0x0e00..=0x0eff          // Thai, Lao
            | 0x0f00..=0x0fff        // Tibetan
            | 0x1000..=0x109f        // Myanmar
            | 0x1780..=0x17ff        // Khmer
            | 0x2e80..=0x2fdf        // radicals
            | 0x3005..=0x3007
            | 0x3040..=0x30ff        // kana
            | 0x3100..=0x312f        // Bopomofo
            | 0x31f0..=0x31ff
            | 0x3400..=0x4dbf
            | 0x4e00..=0x9fff        // Han
            | 0xf900..=0xfaff
            | 0x1b000..=0x1b16f
            | 0x20000..=0x3ffff      // Han, further planes
            // Korean has blanks, but puts its particles to the words before them: 배포는, 배포를.
            | 0x1100..=0x11ff | 0x3130..=0x318f | 0xa960..=0xa97f | 0xac00..=0xd7ff
        )
}

/// A letter without case, accent, vowel point and width.
fn fold(letter: char) -> String {
    let lower = letter.nfkd().flat_map(char::to_lowercase);
    let folded: String = lower
        .nfkd()
        .filter(|part| !is_folded_away(*part) && !part.is_whitespace())
        .collect();
    let folded: String = folded.nfc().collect();
    // Two spellings of one word: Fluß and FLUSS.
    if folded == "ß" { "ss".into() } else { folded }
}

/// Ends of English plurals that come after a letter which takes `es`, and what is left of them.
const PLURALS_IN_ES: [&str; 8] = [
    "sses", "shes", "xes", "tches", "nches", "rches", "eaches", "oaches",
];

/// A word without the `s` of an English plural, so that one form finds the other: timestamps and timestamp, allergies and
/// allergy. Both what is stored and what is asked for go through it.
///
/// It is Harman's S-stemmer, with the plurals in `es`. A stronger stemmer (Porter's, Snowball) makes one word of what a
/// search should tell apart (organ and organization, universe and university), and most of what stands here are names,
/// identifiers and words of other languages.
fn singular(word: &mut String) {
    if word.len() < 4 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return;
    }
    let ends = |ends: &[&str]| ends.iter().any(|end| word.ends_with(end));
    let stays = ["news", "lens", "series", "species"].contains(&word.as_str());
    if stays || !word.ends_with('s') || ends(&["ss", "us", "is"]) {
        return;
    }
    if word.ends_with("ies") && !ends(&["eies", "aies"]) && word.len() > 4 {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if ends(&PLURALS_IN_ES) {
        word.truncate(word.len() - 2);
    } else {
        word.truncate(word.len() - 1);
    }
}

/// Accents of Latin, Greek and Cyrillic letters; points of Hebrew and Arabic ones; the Arabic stretch.
/// Marks of other scripts are letters: without them words become others.
fn is_folded_away(part: char) -> bool {
    matches!(
        u32::from(part),
        0x0300..=0x036f | 0x0591..=0x05bd | 0x05bf | 0x05c1..=0x05c7 | 0x0610..=0x061a | 0x0640 | 0x064b..=0x065f
            | 0x0670
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_script_has_words() {
        for (text, expected) in [
            ("Café CRÈME", "cafe creme"),
            ("snake_case foo-bar v1.2", "snake case foo bar v1 2"),
            ("Ёлка и йод", "елка и иод"),
            ("Straße ǅ ﬁn", "strasse dz fin"),
            ("FLUSS Fluß ẞ", "fluss fluss ss"),
            ("كِتَابٌ جميل", "كتاب جميل"),
            ("שָׁלוֹם", "שלום"),
            ("東京都に住む", "東京 京都 都に に住 住む む"),
            ("ガギ ｶﾞｷﾞ", "ガギ ギ ガギ ギ"),
            ("한국어 문장", "한국 국어 어 문장 장"),
            ("배포는", "배포 포는 는"),
            ("timestamps Allergies boxes", "timestamp allergy box"),
            ("classes branches caches", "class branch cache"),
            (
                "status analysis glass news bus k8s",
                "status analysis glass news bus k8s",
            ),
            ("series ties Übungs", "series tie ubung"),
            ("हिन्दी", "हिन्दी"),
            ("ab東c", "ab 東 c"),
            ("I ❤️ 🍕!", "i u2764u u1f355u"),
            ("👩‍👩‍👧", "u1f469u u1f469u u1f467u"),
            ("ＡＢＣ１", "abc1"),
            ("C++", "c"),
            ("?!", "u3fu u21u"),
            (" \n\t", ""),
        ] {
            assert_eq!(line(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_comes_to_nothing_but_blanks(text in "\\PC{1,40}") {
            let visible = normal(&text).chars().any(|c| !matches!(class(c), Class::Blank | Class::Nothing) && !fold(c).is_empty());
            prop_assert_eq!(!line(&text).is_empty(), visible);
        }

        #[test]
        fn one_spelling_is_as_good_as_another(text in "\\PC{0,40}") {
            let apart: String = text.nfd().collect();
            prop_assert_eq!(line(&text), line(&apart));
        }

        #[test]
        fn words_point_into_their_text(text in "\\PC{0,40}") {
            let text = normal(&text);
            for word in words(&text) {
                prop_assert!(text.get(word.at).is_some_and(|piece| !piece.is_empty()));
                prop_assert!(!word.text.is_empty() && !word.text.contains(['"', ' ']));
            }
        }
    }
}
