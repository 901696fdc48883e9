//! Bad input for parsers (R16): mutations of good input, the same again with the same `SEED`.
//!
//! Of the crate's own tests, and by its path of `tests/fuzz.rs`, which looks at memory too. Cheap on purpose: a hundred
//! thousand inputs for each parser are part of every change; `QUARTERDECK_TEST_FUZZ` names another number.

use std::hash::{BuildHasher, RandomState};

/// Inputs for each parser where the variable names no number.
const INPUTS: u64 = 100_000;
/// Longest input, in bytes.
const INPUT_MAX_BYTES: usize = 4096;
/// Changes of one input at most.
const CHANGES_MAX: usize = 12;

/// Says which input it was when the parser panics.
struct Tried<'i>(&'i [u8], u64);

struct Random(u64);

/// Feeds `parse` with mutations of `seeds`; none of them may make it panic.
pub(crate) fn fuzz(seeds: &[&[u8]], mut parse: impl FnMut(&[u8])) {
    let asked = std::env::var("QUARTERDECK_TEST_FUZZ").ok();
    let inputs = asked.map_or(INPUTS, |inputs| inputs.parse().expect("a number of inputs"));
    let seed = std::env::var("SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut random = Random(seed);
    let mut input = Vec::with_capacity(INPUT_MAX_BYTES);
    for seed_input in seeds {
        parse(seed_input);
    }
    for _ in 0..inputs {
        input.clear();
        input.extend_from_slice(random.one_of(seeds));
        for _ in 0..=random.below(CHANGES_MAX) {
            random.change(&mut input, seeds);
        }
        input.truncate(INPUT_MAX_BYTES);
        let tried = Tried(&input, seed);
        parse(&input);
        std::mem::forget(tried);
    }
}

// === impl Tried ===

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        let Self(input, seed) = self;
        eprintln!("SEED={seed}, input {:?}", String::from_utf8_lossy(input));
        eprintln!("as bytes {input:?}");
    }
}

// === impl Random ===

impl Random {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<'s>(&mut self, seeds: &[&'s [u8]]) -> &'s [u8] {
        seeds.get(self.below(seeds.len())).copied().unwrap_or(&[])
    }

    /// A piece of at most sixteen bytes.
    fn piece<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let start = self.below(bytes.len() + 1);
        let length = self.below(16.min(bytes.len() - start) + 1);
        &bytes[start..start + length]
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[&[u8]]) {
        /// What parsers stumble over: ends of ranges, marks of nesting, bytes that are no text.
        const NASTY: [&[u8]; 16] = [
            b"\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x80",
            b"-1",
            b"9223372036854775807",
            b"18446744073709551616",
            b"1e999",
            b"[[[[[[[[",
            b"{\"a\":{\"a\":",
            b"\"",
            b"\\ud800",
            b"\xe2\x80\xae",
            b"\xc0\xaf",
            b"../",
            b"%2e",
            b"\n",
        ];
        let at = self.below(input.len() + 1);
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            2 => drop(input.drain(at..at + self.below(8.min(input.len() - at) + 1))),
            3 => input.truncate(at),
            4 => {
                let copied = self.piece(input).to_vec();
                input.splice(at..at, copied);
            }
            5 => {
                let other = self.one_of(seeds);
                let copied = self.piece(other);
                input.splice(at..at, copied.iter().copied());
            }
            _ => {
                let nasty = self.one_of(&NASTY);
                input.splice(at..at, nasty.iter().copied());
            }
        }
    }
}
