//! The entries. Each gets a row of its own.

use super::{
    ChildRow, Row,
    session::{Home, Said, Session},
};
use crate::support::{Random, eventually};
use quarterdeck::{
    agent::{AgentEvent, Outcome, events::EVENTS_MAX},
    domain::{
        question::{Answer, OptionEffect, QuestionKind, QuestionOption},
        subagent::SubagentEvent,
        turn::StopReason,
    },
};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Rounds of each race.
const ROUNDS: usize = 25;
/// What a driver may take beyond its own limits, on a busy machine.
const SLACK: Duration = Duration::from_secs(5);
const COMPLETED: Outcome = Outcome::Completed(StopReason::Stop);

fn assert_says(said: &Said, text: &str) {
    assert_eq!(said.outcome(), &COMPLETED);
    assert_eq!(said.text(), text);
    assert_eq!(said.completed(), text);
}

async fn open(row: &Row, home: &Home) -> Session {
    Session::open(&row.driver, home.request(1)).await
}

impl Row {
    fn say(&self, text: &str) -> String {
        (self.prompts.say)(text)
    }

    /// `None`, and a word about it, where the driver has no child.
    fn child(&self) -> Option<&ChildRow> {
        let child = self.child.as_ref();
        child
            .inspect_err(|why| eprintln!("does not apply: {why}"))
            .ok()
    }

    /// True, and a word about it, where the driver can't do what the entry is about.
    fn lacks(&self, able: bool, what: &str) -> bool {
        if !able {
            eprintln!("does not apply: the driver says that it can't {what}");
        }
        !able
    }

    fn lacks_steering(&self) -> bool {
        self.lacks(self.driver.capabilities().steer, "steer")
    }

    fn lacks_soft_cancel(&self) -> bool {
        self.lacks(self.driver.capabilities().soft_cancel, "cancel softly")
    }
}

/// A stop that came before the end: by the agent's word, or by its exit. The next turn runs like any other.
async fn assert_stopped(stopped: &Said, session: &mut Session, row: &Row) {
    if !stopped.exited() {
        assert_eq!(stopped.outcome(), &Outcome::Stopped);
    }
    assert_says(
        &session.turn(&row.say("the next turn")).await,
        "the next turn",
    );
}

// --- turns ---

pub async fn a_turn_streams_its_text(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let text = "one two  three ß ✓\n\nfour";
    let said = session.turn(&row.say(text)).await;
    assert_says(&said, text);
    let deltas = said
        .0
        .iter()
        .filter(|event| matches!(event, AgentEvent::TextDelta { .. }));
    assert!(deltas.count() > 1, "it comes in pieces: {said:?}");
}

pub async fn turns_follow_each_other(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    for number in 0..5 {
        let text = format!("turn {number} of five");
        assert_says(&session.turn(&row.say(&text)).await, &text);
    }
}

pub async fn a_tool_runs_inside_its_turn(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let (prompt, name) = &row.prompts.tool;
    session.start(prompt).await;
    let mut said = Said::default();
    while session.runs() {
        let event = session.next().await.expect("the turn comes to an end");
        // Somebody allows what is asked for.
        if let AgentEvent::Asked { ask_id, ask } = &event {
            let allows = |it: &&QuestionOption| it.effect == Some(OptionEffect::AllowOnce);
            let option = ask.options.iter().find(allows).expect("it can be allowed");
            let answer = Answer {
                option_id: option.option_id.clone(),
                ..Answer::default()
            };
            session.answer(ask_id, answer).await;
        }
        said.0.push(event);
    }
    assert_eq!(said.outcome(), &COMPLETED);
    let started = said.0.iter().find_map(|event| match event {
        AgentEvent::ToolStarted {
            tool_call_id,
            tool_name,
            args_json,
        } if tool_name == name => Some((tool_call_id, args_json)),
        _ => None,
    });
    let (call, arguments) = started.expect("the tool ran");
    let completed = said.0.iter().find_map(|event| match event {
        AgentEvent::ToolCompleted {
            tool_call_id,
            result_json,
            is_error: false,
            full_size: None,
            pictures: _,
        } if tool_call_id == call => Some(result_json),
        _ => None,
    });
    for json in [arguments, completed.expect("the tool ended well")] {
        serde_json::from_str::<serde_json::Value>(json).expect("it is JSON");
    }
}

pub async fn an_error_ends_the_turn_and_not_the_agent(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let (prompt, reason) = &row.prompts.fail;
    for _ in 0..2 {
        match session.turn(prompt).await.outcome() {
            Outcome::Failed(message) => assert!(message.contains(reason), "{message}"),
            other => panic!("{other:?}"),
        }
        assert_says(&session.turn(&row.say("well again")).await, "well again");
    }
}

// --- stops ---

#[derive(Clone, Copy)]
enum Way {
    Cancel,
    Kill,
}

impl Way {
    async fn stop(self, session: &mut Session) {
        match self {
            Self::Cancel => session.cancel().await,
            Self::Kill => session.kill().await,
        }
    }
}

async fn stop_before_the_first_delta(row: Row, way: Way) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    for _ in 0..3 {
        session.start(&row.prompts.hang).await;
        way.stop(&mut session).await;
        let stopped = session.until_end().await;
        assert_eq!(stopped.text(), "");
        assert_stopped(&stopped, &mut session, &row).await;
    }
}

async fn stop_in_the_middle(row: Row, way: Way) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    for _ in 0..3 {
        session.start(&row.prompts.endless).await;
        session.until_text().await;
        way.stop(&mut session).await;
        // A second word changes nothing.
        way.stop(&mut session).await;
        let stopped = session.until_end().await;
        assert_stopped(&stopped, &mut session, &row).await;
    }
}

async fn stop_that_races_with_the_end(row: Row, way: Way) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let mut random = Random::seeded();
    let text = "a few words that end by themselves";
    for round in 0..ROUNDS {
        session.start(&row.say(text)).await;
        let mut said = Said::default();
        for _ in 0..random.below(14) {
            if session.runs() {
                said.0.extend(session.next().await);
            }
        }
        way.stop(&mut session).await;
        if session.runs() {
            said.0.extend(session.until_end().await.0);
        }
        if !said.exited() && said.outcome() != &Outcome::Stopped {
            assert_says(&said, text);
        }
        // Whichever was first, the stop must not reach the next turn.
        let next = format!("turn after round {round}");
        assert_says(&session.turn(&row.say(&next)).await, &next);
    }
}

pub async fn cancel_before_the_first_delta(row: Row) {
    if !row.lacks_soft_cancel() {
        stop_before_the_first_delta(row, Way::Cancel).await;
    }
}

pub async fn cancel_in_the_middle(row: Row) {
    if !row.lacks_soft_cancel() {
        stop_in_the_middle(row, Way::Cancel).await;
    }
}

pub async fn cancel_that_races_with_the_end(row: Row) {
    if !row.lacks_soft_cancel() {
        stop_that_races_with_the_end(row, Way::Cancel).await;
    }
}

pub async fn a_stop_without_a_turn_does_nothing(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    for way in [Way::Cancel, Way::Kill] {
        way.stop(&mut session).await;
        assert_says(&session.turn(&row.say("still here")).await, "still here");
    }
}

pub async fn kill_before_the_first_delta(row: Row) {
    stop_before_the_first_delta(row, Way::Kill).await;
}

pub async fn kill_in_the_middle(row: Row) {
    stop_in_the_middle(row, Way::Kill).await;
}

pub async fn kill_that_races_with_the_end(row: Row) {
    stop_that_races_with_the_end(row, Way::Kill).await;
}

pub async fn kill_ends_what_ignores_the_soft_way(row: Row) {
    let stubborn = match &row.prompts.stubborn {
        Ok(prompt) => prompt,
        Err(why) => return eprintln!("does not apply: {why}"),
    };
    let home = Home::new();
    let mut session = open(&row, &home).await;
    session.start(stubborn).await;
    session.cancel().await;
    session.kill().await;
    let stopped = session.until_end().await;
    assert_stopped(&stopped, &mut session, &row).await;
}

/// An actor that is busy elsewhere does not make a turn unstoppable.
pub async fn kill_ends_a_turn_whose_events_nobody_read(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    session.start(&row.prompts.endless).await;
    eventually("the events wait", || session.waiting() == EVENTS_MAX).await;
    session.kill().await;
    let stopped = session.until_end().await;
    assert!(stopped.0.len() < 3 * EVENTS_MAX, "{}", stopped.0.len());
    assert_stopped(&stopped, &mut session, &row).await;
}

// --- steers ---

pub async fn a_steer_before_the_turn_comes_back(row: Row) {
    if row.lacks_steering() {
        return;
    }
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let steer_id = session.steer("too early").await;
    let answer = session.next().await;
    assert_eq!(answer, Some(AgentEvent::SteerReturned { steer_id }));
    assert_says(&session.turn(&row.say("on time")).await, "on time");
}

pub async fn steers_during_a_turn_are_applied_in_order(row: Row) {
    if row.lacks_steering() {
        return;
    }
    let home = Home::new();
    let mut session = open(&row, &home).await;
    session.start(&row.prompts.endless).await;
    session.until_text().await;
    let steers = [session.steer("left").await, session.steer("right").await];
    for expected in steers {
        let said = session
            .until(|event| matches!(event, AgentEvent::SteerApplied { .. }))
            .await;
        assert_eq!(
            said.0.last(),
            Some(&AgentEvent::SteerApplied { steer_id: expected })
        );
    }
    session.kill().await;
    session.until_end().await;
}

pub async fn a_steer_that_races_with_the_end_is_answered(row: Row) {
    if row.lacks_steering() {
        return;
    }
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let mut random = Random::seeded();
    for round in 0..ROUNDS {
        session.start(&row.say("a few words that end")).await;
        for _ in 0..random.below(10) {
            if session.runs() {
                session.next().await;
            }
        }
        session.steer("in the last moment").await;
        if session.runs() {
            let ended = session.until_end().await;
            assert_eq!(ended.outcome(), &COMPLETED);
        } else {
            // It came after the end, which was no answer to it. An agent that left with its turn can't answer.
            let answer = session.next().await;
            assert!(
                matches!(
                    answer,
                    None | Some(AgentEvent::SteerReturned { .. } | AgentEvent::Exited { .. })
                ),
                "{answer:?}"
            );
        }
        assert_eq!(session.unanswered(), 0);
        // A steer that came too late must not reach the next turn. Its return may still be on the way.
        let next = format!("turn after round {round}");
        assert_says(&session.turn(&row.say(&next)).await, &next);
    }
}

pub async fn a_steer_after_the_turn_comes_back(row: Row) {
    if row.lacks_steering() {
        return;
    }
    let home = Home::new();
    let mut session = open(&row, &home).await;
    assert_says(&session.turn(&row.say("done")).await, "done");
    let steer_id = session.steer("too late").await;
    // The answer is next: nothing of the turn comes after its end.
    let answer = session.next().await;
    assert_eq!(answer, Some(AgentEvent::SteerReturned { steer_id }));
}

// --- questions ---

/// Reads up to the one permission that a turn asks for: its id, and the options that allow and deny once.
async fn until_asked(session: &mut Session) -> (String, String, String) {
    let said = session
        .until(|event| matches!(event, AgentEvent::Asked { .. }))
        .await;
    let Some(AgentEvent::Asked { ask_id, ask }) = said.0.last() else {
        panic!("it asks for a permission: {said:?}")
    };
    assert_eq!(ask.kind, QuestionKind::Permission);
    assert_eq!(ask.unusable(), None);
    let option = |effect| {
        let mut options = ask.options.iter();
        let found = options.find(|option| option.effect == Some(effect));
        found.expect("it is offered").option_id.clone()
    };
    let (allow, deny) = (
        option(OptionEffect::AllowOnce),
        option(OptionEffect::DenyOnce),
    );
    (ask_id.clone(), allow, deny)
}

pub async fn an_answer_is_delivered_once_and_the_turn_goes_on(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    for _ in 0..3 {
        session.start(row.prompts.ask).await;
        let (ask_id, option_id, _) = until_asked(&mut session).await;
        let answer = Answer {
            option_id,
            ..Answer::default()
        };
        session.answer(&ask_id, answer.clone()).await;
        // One that nobody waits for any more changes nothing.
        session.answer(&ask_id, answer).await;
        let said = session.until_end().await;
        assert_eq!(said.outcome(), &COMPLETED);
        let delivered = said.0.iter();
        let delivered = delivered.filter(|it| matches!(it, AgentEvent::AnswerDelivered { .. }));
        assert_eq!(delivered.count(), 1);
    }
    assert_says(&session.turn(&row.say("next")).await, "next");
}

pub async fn a_denial_is_no_abort(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    session.start(row.prompts.ask).await;
    let (ask_id, _, option_id) = until_asked(&mut session).await;
    let answer = Answer {
        option_id,
        declined: true,
        ..Answer::default()
    };
    session.answer(&ask_id, answer).await;
    let said = session.until_end().await;
    assert_eq!(said.outcome(), &COMPLETED);
    assert_says(&session.turn(&row.say("next")).await, "next");
}

pub async fn a_stop_answers_what_is_open(row: Row) {
    let home = Home::new();
    let mut session = open(&row, &home).await;
    if !row.lacks_soft_cancel() {
        session.start(row.prompts.ask).await;
        let (ask_id, option_id, _) = until_asked(&mut session).await;
        session.cancel().await;
        // Too late: it crosses the stop.
        let answer = Answer {
            option_id,
            ..Answer::default()
        };
        session.answer(&ask_id, answer).await;
        // It may yet have come to its own end.
        session.until_end().await;
        assert_says(&session.turn(&row.say("next")).await, "next");
    }
    session.start(row.prompts.ask).await;
    until_asked(&mut session).await;
    session.kill().await;
    assert_stopped(&session.until_end().await, &mut session, &row).await;
}

// --- lives ---

/// AGENT-FACTS 1.6, SEMANTICS 18: a sub-agent is told from its beginning to its end, and nothing of it is the turn's answer.
pub async fn what_a_sub_agent_says_is_its_own(row: Row) {
    let prompt = match row.prompts.sub_agent {
        Ok(prompt) => prompt,
        Err(why) => {
            eprintln!("does not apply: {why}");
            return;
        }
    };
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let said = session.turn(prompt).await;
    assert_says(&said, "done");
    let told: Vec<(&str, &SubagentEvent)> = (said.0.iter())
        .filter_map(|event| match event {
            AgentEvent::Subagent { agent_id, said } => Some((agent_id.as_str(), said.as_ref())),
            _ => None,
        })
        .collect();
    let (id, _) = *told.first().expect("it is told");
    assert!(told.iter().all(|(of, _)| *of == id), "{told:?}");
    assert!(
        matches!(told[0].1, SubagentEvent::Started { .. }),
        "{told:?}"
    );
    let items = told
        .iter()
        .filter(|(_, it)| matches!(it, SubagentEvent::Item { .. }));
    assert!(items.count() > 0, "{told:?}");
    let ended = told.last().expect("it is told").1;
    let well = matches!(
        ended,
        SubagentEvent::Completed {
            is_error: false,
            ..
        }
    );
    assert!(well, "{told:?}");
    assert_says(
        &session.turn(&row.say("the next turn")).await,
        "the next turn",
    );
}

pub async fn a_dropped_agent_ends(row: Row) {
    let home = Home::new();
    open(&row, &home).await.close().await;
    for prompt in [&row.prompts.hang, &row.prompts.endless] {
        let mut session = open(&row, &home).await;
        session.start(prompt).await;
        session.close().await;
        // The same where nobody hears the rest.
        let mut session = open(&row, &home).await;
        session.start(prompt).await;
        drop(session);
    }
    if let Some(child) = row.child() {
        eventually("all is gone", || (child.processes)().is_empty()).await;
    }
}

pub async fn a_restarted_agent_remembers(row: Row) {
    let able = row.driver.capabilities().resume;
    if row.lacks(able, "resume") {
        return;
    }
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let text = "the word is larboard";
    assert_says(&session.turn(&row.say(text)).await, text);
    session.restart().await;
    let (prompt, expected) = (row.prompts.recall)(text);
    let said = session.turn(&prompt).await;
    assert_eq!(said.outcome(), &COMPLETED);
    assert!(said.completed().contains(&expected), "{said:?}");
}

pub async fn two_sessions_live_side_by_side(row: Row) {
    let home = Home::new();
    let mut first = open(&row, &home).await;
    let mut second = Session::open(&row.driver, home.request(2)).await;
    first.start(&row.prompts.endless).await;
    first.until_text().await;
    assert_says(&second.turn(&row.say("only mine")).await, "only mine");
    first.until_text().await;
    second.start(&row.prompts.endless).await;
    second.until_text().await;
    first.kill().await;
    first.until_end().await;
    // The kill was for the first alone.
    second.until_text().await;
    first.close().await;
    second.until_text().await;
    second.kill().await;
    second.until_end().await;
}

// --- children ---

pub async fn a_crash_is_told_and_the_next_agent_works(row: Row) {
    let Some(child) = row.child() else { return };
    let home = Home::new();
    let mut session = open(&row, &home).await;
    let (prompt, words) = &child.crash;
    let said = session.turn(prompt).await;
    match said.0.last() {
        Some(AgentEvent::Exited { message }) => assert!(message.contains(words), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(session.next().await, None);
    assert_eq!((child.processes)(), [0; 0], "the exit is the proof");
    let mut session = open(&row, &home).await;
    assert_says(&session.turn(&row.say("well again")).await, "well again");
}

pub async fn garbage_does_not_end_the_turn(row: Row) {
    let Some(child) = row.child() else { return };
    let home = Home::new();
    let mut session = open(&row, &home).await;
    for _ in 0..2 {
        assert_eq!(session.turn(&child.garbage).await.outcome(), &COMPLETED);
    }
}

pub async fn a_line_of_nine_mebibytes_does_not_end_the_agent(row: Row) {
    let Some(child) = row.child() else { return };
    let home = Home::new();
    let mut session = open(&row, &home).await;
    // What stood in the line is lost, so the turn may fail; it ends, and the agent goes on.
    let said = session.turn(&child.long_line).await;
    assert!(
        matches!(said.outcome(), Outcome::Completed(_) | Outcome::Failed(_)),
        "{said:?}"
    );
    assert_says(&session.turn(&row.say("still here")).await, "still here");
}

pub async fn nothing_that_a_turn_started_outlives_its_stop(row: Row) {
    let Some(child) = row.child() else { return };
    for way in [Way::Cancel, Way::Kill] {
        let home = Home::new();
        let mut session = open(&row, &home).await;
        let idle = (child.processes)().len();
        session.start(&child.stray).await;
        eventually("the turn spreads", || (child.processes)().len() > idle).await;
        way.stop(&mut session).await;
        let stopped = session.until_end().await;
        let left = (child.processes)();
        let own = if stopped.exited() { 0 } else { idle };
        assert!(left.len() <= own, "{left:?} after {:?}", stopped.0.last());
        session.close().await;
        eventually("all is gone", || (child.processes)().is_empty()).await;
    }
}

pub async fn a_child_that_never_answers_is_given_up(row: Row) {
    let Some(child) = row.child() else { return };
    let begin = Instant::now();
    let opened = timeout(
        child.start_limit + SLACK,
        child.mute.open(Home::new().request(1)),
    )
    .await;
    let refused = opened.unwrap_or_else(|_| panic!("no answer in {:?}", begin.elapsed()));
    assert!(refused.is_err(), "it can't be ready");
    assert_eq!((child.processes)(), [0; 0]);
}

pub async fn a_child_that_ends_at_once_says_why(row: Row) {
    let Some(child) = row.child() else { return };
    let (driver, words) = &child.broken;
    let refused = driver
        .open(Home::new().request(1))
        .await
        .expect_err("it can't be ready");
    assert!(refused.to_string().contains(words), "{refused}");
    assert_eq!((child.processes)(), [0; 0]);
}
