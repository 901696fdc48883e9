//! Names and numbers of responses. Nothing is kept for them: an id says which turn of which session it is, and which
//! segment of it; a number says what a reader has had.

use crate::domain::ids::SessionKey;
use std::str::FromStr;
use uuid::Uuid;

/// How ids of responses begin.
const PREFIX: &str = "resp_";
/// Numbers of one position of the log: `seq` times this, and what comes after that event. Exact in JavaScript up to
/// position 2^28 of a session.
const POSITION: i64 = 1 << 25;
/// Records of one durable event that have numbers of their own, while no message is open.
const RECORDS: i64 = 1024;
/// Numbers for each byte of the open message: what it was told with, records of durable events, and what began there.
const BYTE: i64 = 32;
/// Numbers of a byte that records of durable events have: one is the text's, two are of what begins.
const BYTE_RECORDS: i64 = BYTE - 3;

/// What an id names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponseId {
    /// The turn.
    pub(super) turn_id: String,
    /// Which part of it: 0 from its beginning, then one more after each wait for answers.
    pub(super) segment: usize,
    /// The turn's session.
    pub(super) session_key: String,
}

/// A record's place in the stream of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Position of the durable event that it is of, or comes after.
    pub(super) seq: i64,
    /// Bytes of the open message that were told before, or with it.
    pub(super) bytes: usize,
    /// What it is.
    pub(super) what: What,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Text that ends there.
    Text,
    /// A record of the durable event.
    Durable(usize),
    /// A block's beginning: its first or second record.
    Begins(usize),
}

// === impl ResponseId ===

impl std::fmt::Display for ResponseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            turn_id,
            segment,
            session_key,
        } = self;
        write!(f, "{PREFIX}{turn_id}.{segment}.{session_key}")
    }
}

impl FromStr for ResponseId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(())?.splitn(3, '.');
        let (turn, segment, key) = (parts.next(), parts.next(), parts.next());
        let turn_id = turn.filter(|it| Uuid::try_parse(it).is_ok()).ok_or(())?;
        let segment = segment.and_then(|it| it.parse().ok()).ok_or(())?;
        let key = key.filter(|it| SessionKey::parse(it).is_ok()).ok_or(())?;
        Ok(Self {
            turn_id: turn_id.into(),
            segment,
            session_key: key.into(),
        })
    }
}

// === impl Place ===

impl Place {
    /// The record's `sequence_number`.
    pub(super) fn number(self) -> i64 {
        let index = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
        let within = match self.what {
            What::Durable(at) if self.bytes == 0 => index(at).min(RECORDS - 1),
            what => {
                let after = match what {
                    What::Text => 0,
                    What::Durable(at) => 1 + index(at).min(BYTE_RECORDS - 1),
                    What::Begins(at) => 1 + BYTE_RECORDS + index(at).min(1),
                };
                let bytes = index(self.bytes).min((POSITION - RECORDS) / BYTE - 1);
                RECORDS + bytes * BYTE + after
            }
        };
        self.seq * POSITION + within
    }

    /// The place that a number names.
    pub(super) fn of(number: i64) -> Self {
        let (seq, within) = (number.div_euclid(POSITION), number.rem_euclid(POSITION));
        let index = |it: i64| usize::try_from(it).unwrap_or_default();
        if within < RECORDS {
            return Self {
                seq,
                bytes: 0,
                what: What::Durable(index(within)),
            };
        }
        let (bytes, after) = ((within - RECORDS) / BYTE, (within - RECORDS) % BYTE);
        Self {
            seq,
            bytes: index(bytes),
            what: match after {
                0 => What::Text,
                it if it <= BYTE_RECORDS => What::Durable(index(it - 1)),
                it => What::Begins(index(it - 1 - BYTE_RECORDS)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_says_its_turn_segment_and_session() {
        let id = ResponseId {
            turn_id: Uuid::now_v7().to_string(),
            segment: 2,
            session_key: "a.b:c@d".into(),
        };
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        for wrong in ["", "resp_", "resp_x.0.k", "x", "resp_..", "resp_1.1.1"] {
            assert_eq!(wrong.parse::<ResponseId>(), Err(()), "{wrong}");
        }
        let open = format!("resp_{}.0.a/b", id.turn_id);
        assert_eq!(
            open.parse::<ResponseId>(),
            Err(()),
            "no session is called so"
        );
    }

    fn places() -> impl Strategy<Value = Place> {
        let what = prop_oneof![
            Just(What::Text),
            (0_usize..2).prop_map(What::Begins),
            (0_usize..13).prop_map(What::Durable),
        ];
        (0_i64..1 << 28, 0_usize..1 << 19, what).prop_map(|(seq, bytes, what)| Place {
            seq,
            bytes,
            what,
        })
    }

    proptest! {
        #[test]
        fn a_number_is_its_place_and_javascript_can_say_it(place in places()) {
            let number = place.number();
            prop_assert_eq!(Place::of(number), place);
            prop_assert!(number < 1 << 53);
        }

        #[test]
        fn numbers_grow_with_what_was_told(a in places(), b in places()) {
            let of = |it: Place| (it.seq, it.bytes, it.what);
            if a.seq != b.seq || a.bytes != b.bytes {
                prop_assert_eq!(a.number() < b.number(), of(a) < of(b));
            }
        }
    }
}
