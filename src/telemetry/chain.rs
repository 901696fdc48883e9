//! The chain of an audit file: lines of JSON, each with its number, the hash of the line before it, and its own hash.
//!
//! A line is `{"number":…, …, "after":"HASH","hash":"HASH"}`; its hash is SHA-256 over the bytes up to `,"hash"`. So a line
//! that was changed does not fit its hash, one that was changed together with its hash does not fit the next line, and a
//! line too many or too few shows in the numbers. What cuts the end off is seen by [`Head`], which stands in a file beside.
//!
//! Not promised: whoever may write both files can write a whole new chain. Who needs more keeps number and hash of a
//! newest record (`audit verify` prints them) where such a writer can't reach.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// What the first line of a chain follows.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What stands between a line's content and its hash.
const HASH_FIELD: &str = ",\"hash\":\"";
/// What ends a line.
const LINE_END: &str = "\"}";

/// A place in a chain: the newest line, or the one that another chain's beginning follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; 0 before the first line.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

/// A fault of a chain. Lines are counted from 1 over all files together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A line is no line of a chain.
    Unreadable {
        /// Which.
        line: u64,
    },
    /// A record's content does not fit its hash.
    Changed {
        /// Which.
        number: u64,
    },
    /// A record fits its hash, and the next one follows another.
    Replaced {
        /// Which.
        number: u64,
    },
    /// Records are not there.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        through: u64,
    },
    /// Records are not there that came last.
    CutOff {
        /// The first of them.
        from: u64,
        /// The last of them.
        through: u64,
    },
    /// A line does not belong where it stands.
    Inserted {
        /// Which.
        line: u64,
        /// The number that it claims.
        number: u64,
    },
}

/// Looks at the lines of a chain, one after the other.
pub struct Verifier {
    /// Number of the record that must come next.
    expected: u64,
    /// Hash that it must follow; `None` where that can't be told.
    after: Option<String>,
    /// Places that the chain must reach at least.
    heads: Vec<Head>,
    lines: u64,
    records: u64,
    newest: Option<Head>,
    problems: Vec<Problem>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Readable records.
    pub records: u64,
    /// The newest one; `None` in an empty chain.
    pub newest: Option<Head>,
    /// All that is wrong, in order.
    pub problems: Vec<Problem>,
}

/// What a line says of itself.
#[derive(Deserialize)]
struct Link {
    number: u64,
    after: String,
    hash: String,
}

/// One line without its end of line, from the fields between number and chain, such as `"a":1`.
pub fn seal(before: &Head, content: &str) -> (String, Head) {
    let number = before.number + 1;
    let body = format!(
        "{{\"number\":{number},{content},\"after\":\"{}\"",
        before.hash
    );
    let hash = hash(&body);
    let line = format!("{body}{HASH_FIELD}{hash}{LINE_END}");
    (line, Head { number, hash })
}

/// The place of a line; `None` where it is none of a chain.
pub fn place(line: &str) -> Option<Head> {
    let link: Link = serde_json::from_str(line).ok()?;
    Some(Head {
        number: link.number,
        hash: link.hash,
    })
}

fn hash(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Head ===

impl Head {
    /// Before the first line.
    pub fn beginning() -> Self {
        Self {
            number: 0,
            hash: BEGINNING.into(),
        }
    }
}

// === impl Verifier ===

impl Verifier {
    /// For a chain whose first record has that number, and that must hold the place that stands beside it, and one that is
    /// known from elsewhere.
    pub fn new(first: u64, head: Option<Head>, known: Option<Head>) -> Self {
        Self {
            expected: first,
            after: (first <= 1).then(|| BEGINNING.into()),
            heads: head.into_iter().chain(known).collect(),
            lines: 0,
            records: 0,
            newest: None,
            problems: Vec::new(),
        }
    }

    /// Looks at the next line.
    pub fn line(&mut self, line: &str) {
        self.lines += 1;
        let Ok(Link {
            number,
            after,
            hash: own,
        }) = serde_json::from_str(line)
        else {
            self.problems.push(Problem::Unreadable { line: self.lines });
            // It may have been the expected one: what follows tells.
            self.after = None;
            return;
        };
        self.records += 1;
        if number < self.expected {
            self.problems.push(Problem::Inserted {
                line: self.lines,
                number,
            });
            return;
        }
        if number > self.expected {
            self.problems.push(Problem::Missing {
                from: self.expected,
                through: number - 1,
            });
        } else if self.after.as_ref().is_some_and(|it| *it != after) {
            self.problems.push(Problem::Replaced { number: number - 1 });
        }
        let body = line.rsplit_once(HASH_FIELD).map(|(body, _)| body);
        if body.map(hash).as_deref() != Some(&own) {
            self.problems.push(Problem::Changed { number });
        }
        let place = Head { number, hash: own };
        let other = |head: &&Head| head.number == number && **head != place;
        if self.heads.iter().any(|head| other(&head)) {
            self.problems.push(Problem::Replaced { number });
        }
        self.expected = number + 1;
        self.after = Some(place.hash.clone());
        self.newest = Some(place);
    }

    /// What was found in all lines.
    pub fn finish(mut self) -> Found {
        let reached = self.heads.iter().map(|head| head.number).max();
        if let Some(through) = reached.filter(|reached| *reached >= self.expected) {
            self.problems.push(Problem::CutOff {
                from: self.expected,
                through,
            });
        }
        Found {
            records: self.records,
            newest: self.newest,
            problems: self.problems,
        }
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |f: &mut fmt::Formatter<'_>, from: u64, through: u64| {
            if from == through {
                write!(f, "record {from} is missing")
            } else {
                write!(f, "records {from} to {through} are missing")
            }
        };
        match *self {
            Self::Unreadable { line } => {
                write!(f, "line {line} is no record, or only a part of one")
            }
            Self::Changed { number } => write!(f, "record {number} was changed"),
            Self::Replaced { number } => write!(
                f,
                "record {number} was changed together with its hash: what comes after it followed another one"
            ),
            Self::Missing { from, through } => range(f, from, through),
            Self::CutOff { from, through } => {
                range(f, from, through)?;
                f.write_str(" at the end")
            }
            Self::Inserted { line, number } => write!(
                f,
                "line {line} was put in or moved: it calls itself record {number}, which stood before"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(records: u64) -> (Vec<String>, Head) {
        let mut head = Head::beginning();
        let mut lines = Vec::new();
        for number in 1..=records {
            let (line, next) = seal(&head, &format!("\"message\":\"call {number}\""));
            lines.push(line);
            head = next;
        }
        (lines, head)
    }

    fn verify(lines: &[String], head: &Head) -> Vec<Problem> {
        let mut verifier = Verifier::new(1, Some(head.clone()), None);
        for line in lines {
            verifier.line(line);
        }
        verifier.finish().problems
    }

    #[test]
    fn a_chain_as_it_was_written_has_no_fault() {
        let (lines, head) = chain(5);
        assert_eq!(verify(&lines, &head), []);
        assert_eq!(place(&lines[4]), Some(head.clone()));
        // A head that was written before the newest lines.
        assert_eq!(verify(&lines, &place(&lines[2]).unwrap()), []);
        // The rest of a chain, told where it begins.
        let mut verifier = Verifier::new(3, Some(head.clone()), Some(head));
        for line in &lines[2..] {
            verifier.line(line);
        }
        assert_eq!(verifier.finish().problems, []);
    }

    /// Each planted change is found, and told by its place.
    #[test]
    fn every_planted_change_is_found() {
        use Problem::*;
        let (lines, head) = chain(5);
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = lines.clone();
            change(&mut lines);
            verify(&lines, &head)
        };
        assert_eq!(
            with(&|it| it[2] = it[2].replace("call 3", "call 4")),
            [Changed { number: 3 }]
        );
        // With its hash made to fit.
        let forged = |lines: &mut Vec<String>, at: usize| {
            let before = place(&lines[at - 1]).unwrap();
            lines[at] = seal(&before, "\"message\":\"nothing\"").0;
        };
        assert_eq!(with(&|it| forged(it, 2)), [Replaced { number: 3 }]);
        assert_eq!(with(&|it| forged(it, 4)), [Replaced { number: 5 }]);
        assert_eq!(
            with(&|it| drop(it.remove(2))),
            [Missing {
                from: 3,
                through: 3
            }]
        );
        assert_eq!(
            with(&|it| drop(it.drain(..2))),
            [Missing {
                from: 1,
                through: 2
            }]
        );
        assert_eq!(
            with(&|it| it.insert(3, it[1].clone())),
            [Inserted { line: 4, number: 2 }]
        );
        assert_eq!(
            with(&|it| it.truncate(3)),
            [CutOff {
                from: 4,
                through: 5
            }]
        );
        assert_eq!(
            with(&|it| it[4].truncate(40)),
            [
                Unreadable { line: 5 },
                CutOff {
                    from: 5,
                    through: 5
                }
            ]
        );
        assert_eq!(
            with(&|it| it[1] = "nonsense".into()),
            [
                Unreadable { line: 2 },
                Missing {
                    from: 2,
                    through: 2
                }
            ]
        );
        let swapped = with(&|it| it.swap(1, 2));
        assert!(
            swapped.contains(&Inserted { line: 3, number: 2 }),
            "{swapped:?}"
        );
        // Renumbered, so that the numbers say nothing.
        let renumbered = with(&|it| {
            it.remove(2);
            for (line, number) in it[2..].iter_mut().zip(3..) {
                *line = line.replace(
                    &format!("\"number\":{}", number + 1),
                    &format!("\"number\":{number}"),
                );
            }
        });
        assert!(
            renumbered.contains(&Replaced { number: 2 })
                && renumbered.contains(&Changed { number: 3 }),
            "{renumbered:?}"
        );
    }
}
