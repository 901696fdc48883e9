//! R16: no bad input panics or grows memory. Parsers that the crate keeps to itself are tried beside their code
//! (`fuzz::fuzz` says where); here are those that stand open, in a process of their own whose memory is looked at.
//!
//! `QUARTERDECK_TEST_FUZZ=10000000 cargo test --release --test fuzz` is the long run.

#[path = "../src/fuzz.rs"]
#[allow(unreachable_pub, reason = "a module of the crate's own tests too")]
mod fuzz;

use fuzz::fuzz;
use prost::Message;
use quarterdeck::{
    agent::echo::Script,
    config::{Config, KEYS, Sources},
    domain::{
        access::{Identity, Scope},
        event::EventKind,
        ids::SessionKey,
    },
    proto,
    wire::{frames, page::PageTokens, parse},
};
use std::str::from_utf8;

/// What all inputs of one parser may add to the process, in bytes.
const GROWTH_MAX_BYTES: u64 = 16 << 20;

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes
        .and_then(|number| number.trim().parse().ok())
        .expect("the kernel says it");
    kibibytes << 10
}

/// Tries one parser, and holds its memory against the bound.
fn try_parser(name: &str, seeds: &[&[u8]], mut parse: impl FnMut(&[u8])) {
    // What a first use keeps for good is no growth.
    for seed in seeds {
        parse(seed);
    }
    let before = resident();
    fuzz(seeds, parse);
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH_MAX_BYTES, "{name} grew by {grown} bytes");
}

fn try_text(name: &str, seeds: &[&str], mut parse: impl FnMut(&str)) {
    let seeds: Vec<&[u8]> = seeds.iter().map(|seed| seed.as_bytes()).collect();
    try_parser(name, &seeds, |input| {
        if let Ok(text) = from_utf8(input) {
            parse(text);
        }
    });
}

/// One test, so that no other one's memory is measured.
#[test]
fn r16_no_bad_input_panics_or_grows_memory() {
    try_text("session keys", &["main", "a.b_c-d:e@f~g", "../x"], |text| {
        if let Ok(key) = SessionKey::parse(text) {
            assert_eq!(key.as_str(), text);
            assert!(!text.contains(['/', '\\', '\0', '%']) && text.len() <= 128);
        }
    });
    try_text(
        "names",
        &["session.read", "admin.keys", "turn_ended"],
        |text| {
            let _ = (Scope::parse(text), EventKind::parse(text));
        },
    );
    let scripts = [
        "!delay=10ms !repeat=3 !think=x !tool=bash:{} hello",
        "!fail=why !hang !stubborn !memory !history x",
    ];
    try_text("echo's language", &scripts, |text| {
        let _ = Script::parse(text);
    });

    let printed = Config::with_builtin_agents().to_toml();
    let file: Vec<&str> = printed.lines().filter(|l| !l.starts_with('#')).collect();
    let file = file.join("\n");
    let pieces: Vec<&str> = file.split("\n\n").collect();
    try_text("the configuration's file", &pieces, |text| {
        let _ = Config::parse("fuzz", text);
    });
    let values: Vec<&str> = KEYS.iter().map(|key| key.default).collect();
    let mut turn = 0;
    try_text("values of settings", &values, |text| {
        turn = (turn + 1) % KEYS.len();
        let flags = vec![(KEYS[turn].name.to_owned(), text.to_owned())];
        let _ = Config::load(Sources {
            flags,
            ..Sources::default()
        });
    });

    let tokens = PageTokens::new(b"fuzz");
    let list = tokens.list(&Identity::unauthenticated(), "list");
    let token = list.token(Some([17]));
    try_text("page tokens", &[&token, ""], |text| {
        let mut fields = parse::Fields::default();
        let _ = list.position::<1>(&mut fields, text);
    });
    try_text(
        "texts of requests",
        &["text/plain", "/tmp/x", "label", "0190"],
        |text| {
            let mut fields = parse::Fields::default();
            let _ = fields.session_key("f", text);
            let _ = fields.turn_id("f", text);
            fields.request_id(text);
            fields.cwd("f", text);
            fields.text("f", text, 16);
            fields.labels("f", &[(text.to_owned(), text.to_owned())].into());
            let _ = fields.kinds("kinds", &[text.to_owned()]);
            if let Err(refusal) = fields.check() {
                // What is wrong is said in few words, whatever was sent.
                let status = tonic::Status::from(refusal);
                assert!(status.message().len() + status.details().len() < 8 << 10);
            }
        },
    );

    let request = proto::EnqueueRequest {
        session_key: "main".into(),
        text: "hello".into(),
        attachments: vec![proto::Attachment::default(); 3],
        metadata: [("a".into(), "b".into())].into(),
        turn_timeout: Some(prost_types::Duration {
            seconds: i64::MAX,
            nanos: -1,
        }),
        ..Default::default()
    };
    let request = request.encode_to_vec();
    try_parser("spans and inputs", &[&request], |bytes| {
        let Ok(request) = proto::EnqueueRequest::decode(bytes) else {
            return;
        };
        let mut fields = parse::Fields::default();
        fields.input("", &request.text, &request.attachments);
        let _ = fields.grace(request.turn_timeout);
        let _ = fields.turn_timeout(
            "f",
            request.turn_timeout,
            std::time::Duration::ZERO,
            std::time::Duration::from_secs(3600),
        );
        let _ = fields.on_busy("on_busy", request.on_busy);
        let _ = fields.check();
    });
    let text = proto::message_part::Part::Text(proto::TextPart { text: "a".into() });
    let call = proto::message_part::Part::ToolCall(proto::ToolCallPart {
        tool_call_id: "id".into(),
        args_json: "{}".into(),
        full_size: -1,
        ..Default::default()
    });
    let part = |part| proto::MessagePart {
        part: Some(part),
        ..Default::default()
    };
    let message = proto::Message {
        parts: vec![part(text), part(call)],
        ..Default::default()
    };
    try_parser("stored messages", &[&message.encode_to_vec()], |bytes| {
        let _ = frames::decode_parts(bytes);
    });
}
