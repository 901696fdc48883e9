//! What every driver owes its session's actor, whatever runs behind it. `conformance!(row)` makes one test of each entry
//! of [`suite`]; every event of every entry also passes the [`grammar`].

mod grammar;
mod session;
pub mod suite;

use quarterdeck::agent::Driver;
use std::{sync::Arc, time::Duration};

/// A driver, and how to make it do what the suite needs.
pub struct Row {
    /// Set up for this entry alone.
    pub driver: Arc<dyn Driver>,
    /// What to say to it.
    pub prompts: Prompts,
    /// What only a driver with a child process can be asked, or why it has none.
    pub child: Result<ChildRow, &'static str>,
}

/// Prompts with a known effect.
pub struct Prompts {
    /// Makes it stream this text, and nothing else, in one message.
    pub say: fn(&str) -> String,
    /// Makes it stream for longer than any test runs: hundreds of deltas a second.
    pub endless: String,
    /// Makes it say nothing until it is stopped the soft way.
    pub hang: String,
    /// Makes it ignore the soft way, or why it can't.
    pub stubborn: Result<String, &'static str>,
    /// Makes it report an error, and a part of the message.
    pub fail: (String, &'static str),
    /// Makes it run one tool, and the tool's name.
    pub tool: (String, &'static str),
    /// Makes it ask for one permission, with an option that allows once and one that denies once, and go on when it is
    /// answered.
    pub ask: &'static str,
    /// Makes it give a task to a sub-agent, which says something, and then reply `done`; or why it can't.
    pub sub_agent: Result<&'static str, &'static str>,
    /// Makes it reply with something that only the turn before, whose text is given, can have told it: the prompt, and a
    /// part of the reply.
    pub recall: fn(&str) -> (String, String),
}

/// What can go wrong with a child.
pub struct ChildRow {
    /// Makes the child die in the middle of a message, with words on standard error.
    pub crash: (String, &'static str),
    /// Makes the child write lines that are no message, then reply.
    pub garbage: String,
    /// Makes the child write a line of nine mebibytes, then reply.
    pub long_line: String,
    /// Makes the turn start processes that move away and don't go by themselves, then hang.
    pub stray: String,
    /// Processes that are left of everything this row's drivers started, agents and their keepers included.
    pub processes: Box<dyn Fn() -> Vec<u32> + Send + Sync>,
    /// A driver whose child never answers.
    pub mute: Arc<dyn Driver>,
    /// Within this time the mute one gives up.
    pub start_limit: Duration,
    /// A driver whose child ends at once, and a part of what it says on standard error.
    pub broken: (Arc<dyn Driver>, &'static str),
}

/// One test per entry of the suite. An `optional` row is left out where it is `None`.
macro_rules! conformance {
    (optional $row:path) => {
        $crate::conformance::conformance!(@all $row());
    };
    ($row:path) => {
        $crate::conformance::conformance!(@all Some($row()));
    };
    (@all $row:expr) => {
        $crate::conformance::conformance!(
            @each $row;
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
            a_steer_that_races_with_the_end_is_answered,
            a_steer_after_the_turn_comes_back,
            an_answer_is_delivered_once_and_the_turn_goes_on,
            a_denial_is_no_abort,
            a_stop_answers_what_is_open,
            what_a_sub_agent_says_is_its_own,
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
    };
    (@each $row:expr; $($entry:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $entry() {
                if let Some(row) = $row {
                    $crate::conformance::suite::$entry(row).await;
                }
            }
        )*
    };
}
pub(crate) use conformance;
