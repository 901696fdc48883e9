//! What is typed and pasted into a chat: a paste is one prompt, whatever goes on, and nothing is lost.

use crate::{
    support::{Gateway, SOON},
    tty::{Ran, Run},
};
use quarterdeck::proto::{self, message_part::Part};

const PASTE: &str = "\x1b[200~one\rtwo\rthree\x1b[201~";

fn chat(gateway: &Gateway) -> Run {
    let home = gateway.directory.path().to_str().expect("UTF-8");
    Run::new(&["chat", "typed"])
        .environment("QUARTERDECK_ADDR", &gateway.address)
        .environment("HOME", home)
}

async fn go(run: Run) -> Ran {
    let steps = run.clone();
    let ran = tokio::task::spawn_blocking(|| run.go())
        .await
        .expect("it ran");
    assert_eq!(ran.code, 0, "{steps:?}: {}", ran.output);
    ran
}

/// Every prompt that the session was given.
async fn prompts(gateway: &Gateway) -> Vec<String> {
    let mut client = gateway.client().await;
    let request = proto::ListTurnsRequest {
        session_key: "typed".into(),
        page_size: 100,
        ..Default::default()
    };
    let turns = tokio::time::timeout(SOON, client.list_turns(request)).await;
    let turns = turns.expect("soon").expect("listed").into_inner().turns;
    turns.into_iter().rev().map(|turn| turn.text).collect()
}

#[tokio::test]
async fn a_paste_at_the_waiting_prompt_is_one_prompt() {
    let gateway = Gateway::start();
    go(chat(&gateway)
        // A terminal marks what is pasted only where it was asked to.
        .then("\x1b[?2004h", "")
        .then("typed> ", PASTE)
        .then("three", "\r")
        .then("three", "\x04"))
    .await;
    assert_eq!(prompts(&gateway).await, ["one\ntwo\nthree"]);
}

#[tokio::test]
async fn a_paste_while_a_turn_streams_is_one_prompt() {
    let gateway = Gateway::start();
    go(chat(&gateway)
        .then("typed> ", "!delay=50ms !repeat=60 tick\r")
        .then("tick tick tick", PASTE)
        .then("three", "\r")
        .then(
            "one\ntwo\nthree".split('\n').next_back().expect("a line"),
            "",
        )
        .then("typed> ", "\x04"))
    .await;
    assert_eq!(
        prompts(&gateway).await,
        ["!delay=50ms !repeat=60 tick", "one\ntwo\nthree"]
    );
}

#[tokio::test]
async fn a_paste_into_a_line_that_is_edited_is_a_part_of_it() {
    let gateway = Gateway::start();
    go(chat(&gateway)
        .then("typed> ", "a")
        .then("a", PASTE)
        .then("three", "z\r")
        .then("threez", "")
        .then("typed> ", "\x04"))
    .await;
    assert_eq!(prompts(&gateway).await, ["aone\ntwo\nthreez"]);
}

/// A terminal that marks no pastes sends them as typed lines: they come as one burst, and none of it is lost.
#[tokio::test]
async fn an_unmarked_paste_is_one_prompt_too() {
    let gateway = Gateway::start();
    go(chat(&gateway)
        .then("typed> ", "one\rtwo\rthree\r")
        .then("three", "")
        .then("typed> ", "\x04"))
    .await;
    assert_eq!(prompts(&gateway).await, ["one\ntwo\nthree"]);
}

#[tokio::test]
async fn alt_enter_makes_a_line() {
    let gateway = Gateway::start();
    go(chat(&gateway)
        .then("typed> ", "a")
        .then("a", "\x1b\r")
        .then("", "b")
        .then("b", "\r")
        .then("typed> ", "\x04"))
    .await;
    assert_eq!(prompts(&gateway).await, ["a\nb"]);
}

/// Single lines, one after the other, are prompts of their own; what was typed while a turn streamed waits its turn.
#[tokio::test]
async fn lines_are_prompts_of_their_own() {
    let gateway = Gateway::start();
    go(chat(&gateway)
        .then("typed> ", "first\r")
        .then("first", "")
        .then("typed> ", "second\r")
        .then("second", "")
        .then("typed> ", "\x04"))
    .await;
    assert_eq!(prompts(&gateway).await, ["first", "second"]);
    let mut client = gateway.client().await;
    let request = proto::ListMessagesRequest {
        session_key: "typed".into(),
        page_size: 100,
        ..Default::default()
    };
    let messages = client.list_messages(request).await.expect("listed");
    let said: Vec<String> = messages
        .into_inner()
        .messages
        .into_iter()
        .flat_map(|message| message.parts)
        .filter_map(|part| match part.part {
            Some(Part::Text(text)) => Some(text.text),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["first", "first", "second", "second"]);
}
