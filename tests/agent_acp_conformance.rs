//! The ACP driver's rows of the suite that every driver passes, with a scripted agent.

mod agent_acp_support;
mod conformance;
#[path = "agent_support/mod.rs"]
mod support;

use agent_acp_support::{marked, scripted};
use conformance::{ChildRow, Prompts, Row, conformance};
use quarterdeck::agent::acp::{AcpDriver, AcpOptions};
use std::{sync::Arc, time::Duration};
use support::host;

fn row(words: &str) -> Row {
    let (options, marker) = scripted(words);
    let with = |words: &str, start_timeout| {
        let mut options: AcpOptions = options.clone();
        options.environment[0].1 = words.into();
        options.start_timeout = start_timeout;
        Arc::new(AcpDriver::new(options, host()))
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
            ask: "ask allow_once reject_once",
            sub_agent: Ok("delegate"),
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

fn scripted_row() -> Row {
    row("words")
}

conformance!(scripted_row);
