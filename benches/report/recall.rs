//! Memory: how fast a full scope is searched, and how long its index takes to be made anew beside that.

use super::{Plan, seed, table::Row};
use quarterdeck::{
    clock,
    domain::{
        access::Identity,
        memory::{Found, Hit, Namespace, Place, SearchMode, Source},
    },
    memory::{Actor, Import, Memory, MemoryRules, Search, Vault},
    store::sqlite::SqliteStore,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Memories of the scope; a tenth with `--quick`.
const MEMORIES: u64 = 100_000;
/// Memories of one import.
const IMPORT: u64 = 1000;
/// Words that memories are made of, as rare as the words of a language: the n-th is met once in n.
const VOCABULARY: f64 = 30_000.0;
/// Searches of one sample.
const SEARCHES: usize = 400;
/// One of so many memories is looked for by its words.
const KNOWN_EACH: usize = 250;
/// Words of one memory that it is looked for by.
const KNOWN_WORDS: usize = 8;
/// What 99 of 100 searches must take less than.
const TARGET: Duration = Duration::from_millis(20);

/// Numbers that look random; the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A word of a language's frequency.
    fn word(&mut self) -> String {
        let rank = VOCABULARY.powf(self.roll()) as u64;
        // Letters alone, so that neighbours in rank don't look alike.
        let mut number = rank.wrapping_mul(2_654_435_761) % 11_881_376;
        let mut word = String::new();
        for _ in 0..5 {
            word.push(char::from(
                b'a' + u8::try_from(number % 26).expect("below 26"),
            ));
            number /= 26;
        }
        word
    }

    fn words(&mut self, least: usize, most: usize) -> String {
        let count = least + (self.roll() * (most - least) as f64) as usize;
        let words: Vec<String> = (0..count).map(|_| self.word()).collect();
        words.join(" ")
    }
}

/// The rows.
pub async fn rows(plan: Plan) -> Vec<Row> {
    let memories = if plan.samples > 1 {
        MEMORIES
    } else {
        MEMORIES / 10
    };
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(directory.path(), seed::rules(), Arc::new(seed::Nobody))
        .expect("an empty directory");
    let rules = MemoryRules {
        scope_limit_items: i64::MAX,
        tenant_limit_items: i64::MAX,
    };
    let vault = Vault::open(&directory.path().join("memory.key")).expect("a writable directory");
    let memory = Memory::new(Arc::new(store), rules, vault, None);
    let identity = Arc::new(Identity::unauthenticated());
    let place = Place::Namespace(Namespace::parse("bench").expect("it follows the grammar"));
    let mut dice = Dice(7);
    let mut known = Vec::new();
    let begun = Instant::now();
    for _ in 0..memories / IMPORT {
        let contents: Vec<String> = (0..IMPORT).map(|_| dice.words(8, 60)).collect();
        known.extend(contents.iter().step_by(KNOWN_EACH).cloned());
        let items = contents
            .into_iter()
            .map(|content| Import {
                place: place.clone(),
                bucket: None,
                kind: None,
                key: String::new(),
                content,
                tags: Vec::new(),
                source: Source::Import,
                expire_time: None,
                create_time: None,
                update_time: None,
            })
            .collect();
        memory
            .import(&identity, items, None, clock::now())
            .await
            .expect("imported");
    }
    let imported = memories as f64 / begun.elapsed().as_secs_f64();
    let actor = Actor::Caller(identity.clone());
    let mut rows = vec![Row::shown(
        format!("import of {memories} memories, {IMPORT} a call"),
        format!("{imported:.0} a second"),
    )];
    for (what, least, most) in [
        ("a word", 1, 2),
        ("2 to 5 words", 2, 6),
        ("a prompt of 10 to 40 words", 10, 41),
    ] {
        let mut times = Vec::new();
        for _ in 0..SEARCHES {
            let words = dice.words(least, most);
            times.push(search(&memory, &actor, &place, words).await.0);
        }
        rows.push(percentiles(
            format!("search of {memories} memories for {what}"),
            times,
        ));
    }

    let mut found = 0;
    for content in &known {
        // From its middle: where it begins or ends tells nothing.
        let words: Vec<&str> = content.split(' ').collect();
        let from = (words.len() - KNOWN_WORDS) / 2;
        let query = words[from..from + KNOWN_WORDS].join(" ");
        let (_, hits) = search(&memory, &actor, &place, query).await;
        found += usize::from(hits.iter().any(|hit| match &hit.found {
            Found::Item(item) => item.content == *content,
            Found::Episode(_) => false,
        }));
    }
    rows.push(Row::shown(
        format!("a memory among the first ten, looked for by {KNOWN_WORDS} of its words"),
        format!("{found} of {}", known.len()),
    ));

    let end = CancellationToken::new();
    let behind = tokio::spawn(memory.clone().run(end.clone()));
    let begun = Instant::now();
    memory
        .rebuild(&identity, clock::now())
        .await
        .expect("started");
    let (mut times, mut steps, mut last) = (Vec::new(), 0, 0);
    loop {
        let words = dice.words(2, 6);
        times.push(search(&memory, &actor, &place, words).await.0);
        let status = memory
            .status(&actor, None, clock::now())
            .await
            .expect("readable");
        let rebuild = status.rebuild.expect("started");
        if rebuild.items_done > last {
            (steps, last) = (steps + 1, rebuild.items_done);
        }
        if rebuild.end_time.is_some() {
            break;
        }
    }
    rows.push(Row::shown(
        format!("rebuild of {memories} memories, seen at {steps} points on its way"),
        format!("{:.1} s", begun.elapsed().as_secs_f64()),
    ));
    rows.push(percentiles("search beside a rebuild".into(), times));
    end.cancel();
    behind.await.expect("it ends when told");
    rows
}

async fn search(
    memory: &Memory,
    actor: &Actor,
    place: &Place,
    query: String,
) -> (Duration, Vec<Hit>) {
    let search = Search {
        place: Some(place.clone()),
        query,
        mode: SearchMode::Lexical,
        tags: Vec::new(),
        kinds: Vec::new(),
        episodes: false,
        limit: 10,
        now: clock::now(),
    };
    let begun = Instant::now();
    let hits = memory.search(actor, search).await.expect("searched");
    (begun.elapsed(), hits)
}

fn percentiles(what: String, mut times: Vec<Duration>) -> Row {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Row::shown(
        what,
        format!("p50 {:.1} ms, p99 {:.1} ms", ms(at(50)), ms(at(99))),
    )
    .target("p99 below 20 ms", at(99) < TARGET)
}
