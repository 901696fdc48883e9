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

/// All but the race of a steer with the end: where this pi keeps a steer it ends after the turn, which is tested beside
/// the driver.
mod older {
    fn row() -> super::Row {
        super::row("old")
    }
    super::conformance!(
        row:
        a_turn_streams_its_text,
        turns_follow_each_other,
        a_tool_runs_inside_its_turn,
        an_error_ends_the_turn_and_not_the_agent,
        cancel_before_the_first_delta,
        cancel_in_the_middle,
        cancel_that_races_with_the_end,
        a_stop_without_a_turn_does_nothing,
        kill_before_the_first_delta,
        kill_in_the_middle,
        kill_that_races_with_the_end,
        kill_ends_what_ignores_the_soft_way,
        kill_ends_a_turn_whose_events_nobody_read,
        a_steer_before_the_turn_comes_back,
        steers_during_a_turn_are_applied_in_order,
        a_steer_after_the_turn_comes_back,
        a_dropped_agent_ends,
        a_restarted_agent_remembers,
        two_sessions_live_side_by_side,
        a_crash_is_told_and_the_next_agent_works,
        garbage_does_not_end_the_turn,
        a_line_of_nine_mebibytes_does_not_end_the_agent,
        nothing_that_a_turn_started_outlives_its_stop,
        a_child_that_never_answers_is_given_up,
        a_child_that_ends_at_once_says_why,
    );
}
