//! What pi is started with for a conversation: model and thinking level.
//!
//! pi goes on with the model and the level that its file of a conversation names last, unless it is started with others. So
//! a choice that is given back has to be undone with pi's own default, which a pi without a conversation tells. What a
//! conversation was started with last is kept beside its file.

use crate::beneath::{Directory, blocking};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 16 * 1024;
/// Longest word that is taken from it, in bytes.
const WORD_MAX_BYTES: usize = 1024;

/// A word that pi is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Word {
    /// The word; empty for none.
    #[serde(default)]
    pub(super) word: String,
    /// Somebody chose it; else it is pi's own default, to which a choice was given back.
    #[serde(default)]
    pub(super) chosen: bool,
}

/// What pi is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StartWords {
    /// The model.
    #[serde(default)]
    pub(super) model: Word,
    /// The thinking level.
    #[serde(default)]
    pub(super) level: Word,
}

/// Where that is kept of a conversation.
#[derive(Clone, Debug)]
pub(super) struct StartWordsFile {
    /// The session's directory, in which pi writes.
    pub(super) place: PathBuf,
    /// The file's name.
    pub(super) name: String,
}

// === impl Word ===

impl Word {
    /// What comes after a start with `last`, where `wanted` is asked for (empty: nothing). `None`: pi's own default, which is
    /// to be found out.
    pub(super) fn after(last: &Self, wanted: &str) -> Option<Self> {
        if !wanted.is_empty() {
            return Some(Self {
                word: wanted.to_owned(),
                chosen: true,
            });
        }
        (!last.chosen).then(|| last.clone())
    }

    /// pi's own default.
    pub(super) fn default_of(word: String) -> Self {
        Self {
            word,
            chosen: false,
        }
    }

    /// Agents write where it is kept.
    fn is_sound(&self) -> bool {
        self.word.len() <= WORD_MAX_BYTES && !self.word.starts_with('-')
    }
}

// === impl StartWordsFile ===

impl StartWordsFile {
    /// What was kept; nothing where that can't be read.
    ///
    /// # Errors
    /// What the system says, and what somebody put in the file's place.
    pub(super) async fn read(&self) -> io::Result<StartWords> {
        let Self { place, name } = self.clone();
        blocking(move || {
            let text = match Directory::open(&place)?.read(Path::new(&name), FILE_MAX_BYTES) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(StartWords::default());
                }
                Err(error) => return Err(error),
            };
            let words: StartWords = serde_json::from_slice(&text).unwrap_or_default();
            let sound = words.model.is_sound() && words.level.is_sound();
            Ok(if sound { words } else { StartWords::default() })
        })
        .await
    }

    /// Keeps it, where it is something else than `before`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn write(&self, words: StartWords, before: &StartWords) -> io::Result<()> {
        if words == *before {
            return Ok(());
        }
        let Self { place, name } = self.clone();
        let text = serde_json::to_vec(&words)?;
        blocking(move || Directory::open(&place)?.write(Path::new(&name), &text)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_stands_until_it_is_given_back_and_then_the_default_does() {
        let none = Word::default();
        let chosen = Word::after(&none, "a").expect("it is asked for");
        assert_eq!((chosen.word.as_str(), chosen.chosen), ("a", true));
        assert_eq!(
            Word::after(&none, ""),
            Some(none),
            "pi's file says what there was"
        );
        assert_eq!(Word::after(&chosen, ""), None);
        let default = Word::default_of("d".into());
        assert_eq!(Word::after(&default, ""), Some(default.clone()));
        assert_eq!(Word::after(&default, "a"), Some(chosen));
    }

    #[tokio::test]
    async fn what_an_agent_puts_there_is_taken_for_nothing_where_it_is_no_word() {
        let place = tempfile::tempdir().unwrap();
        let file = StartWordsFile {
            place: place.path().into(),
            name: "a.json".into(),
        };
        assert_eq!(file.read().await.unwrap(), StartWords::default());
        let words = StartWords {
            model: Word::default_of("d".into()),
            level: Word::default(),
        };
        file.write(words.clone(), &StartWords::default())
            .await
            .unwrap();
        assert_eq!(file.read().await.unwrap(), words);
        for text in ["no json", r#"{"model":{"word":"--extension"}}"#] {
            std::fs::write(place.path().join("a.json"), text).unwrap();
            assert_eq!(file.read().await.unwrap(), StartWords::default(), "{text}");
        }
    }
}
