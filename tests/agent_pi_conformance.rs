//! The pi driver's rows of the suite that every driver passes, with a scripted pi of either dialect.

mod agent_pi_support;
mod conformance;
#[path = "agent_support/mod.rs"]
mod support;

use agent_pi_support::scripted;
use conformance::{ChildRow, Prompts, Row, conformance};
use quarterdeck::agent::pi::{PiDriver, PiOptions};
use std::{fs, sync::Arc, time::Duration};
use support::host;

fn row(words: &str) -> Row {
    let (options, marker) = scripted(words);
    let with = |words: &str, start_timeout| {
        let mut options: PiOptions = options.clone();
        options.environment[0].1 = words.into();
        options.start_timeout = start_timeout;
        Arc::new(PiDriver::new(options, host()))
    };
    let start_limit = Duration::from_secs(1);
    Row {
        driver: with(words, options.start_timeout),
        prompts: Prompts {
            say: |text| format!("say {text}"),
            endless: "endless".into(),
            hang: "hang".into(),
            stubborn: Ok("deaf".into()),
            fail: ("fail broken".into(), "broken"),
            tool: ("hammer".into(), "hammer"),
            ask: "dialog",
            sub_agent: Err("pi has no sub-agents"),
            recall: |text| ("history".into(), text.into()),
        },
        child: Ok(ChildRow {
            crash: ("crash".into(), "panic: the key is"),
            garbage: "garbage".into(),
            long_line: "long".into(),
            stray: "tool".into(),
            processes: Box::new(move || marked(&marker)),
            mute: with("silent", start_limit),
            start_limit,
            broken: (with("die", options.start_timeout), "unknown provider"),
        }),
    }
}

/// Live processes with this marker in their environment.
fn marked(marker: &str) -> Vec<u32> {
    let entry = format!("FAKE_PI_MARKER={marker}").into_bytes();
    fs::read_dir("/proc")
        .expect("there is a /proc")
        .flatten()
        .filter(|process| {
            fs::read(process.path().join("environ"))
                .is_ok_and(|text| text.split(|byte| *byte == 0).any(|one| one == entry))
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

mod newer {
    fn row() -> super::Row {
        super::row("")
    }
    super::conformance!(row);
}

/// Where this pi keeps a steer that came too late, its process ends after the turn.
mod older {
    fn row() -> super::Row {
        super::row("old")
    }
    super::conformance!(row);
}
