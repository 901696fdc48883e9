//! A small real model through the whole gateway: facts of the protocol, never what it says. Runs where
//! `QUARTERDECK_TEST_MODEL_SERVER` is a command that serves one; `.ci/llm-real-model` sets it.

use crate::{
    session,
    support::{Client, Gateway, Options, kind, log},
};
use quarterdeck::proto::{self, TurnState, gateway_event::Kind};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// A served model; ended with the test.
struct Served {
    child: Child,
    port: u16,
}

impl Served {
    fn start(command: &str) -> Self {
        let mut words = command.split(' ');
        let mut child = Command::new(words.next().expect("a command"))
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let port = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok());
        Self {
            child,
            port: port.expect("it says where it listens"),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tokens that were read, from the server's cache or not.
fn read(usage: &proto::Usage) -> i64 {
    usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
}

async fn enqueue(client: &mut Client, key: &str, text: &str) -> String {
    let queued = crate::support::enqueue(client, key, text).await;
    queued.expect("queued").turn.expect("a turn").turn_id
}

/// A slow machine's model takes minutes.
async fn ended(client: &mut Client, key: &str, turn_id: &str) -> proto::Turn {
    let request = proto::AwaitTurnRequest {
        session_key: key.into(),
        turn_id: turn_id.into(),
        wait: Some(prost_types::Duration {
            seconds: 600,
            nanos: 0,
        }),
        or_question: false,
    };
    let awaited = client
        .await_turn(request)
        .await
        .expect("known")
        .into_inner();
    awaited.turn.expect("a turn")
}

#[tokio::test]
async fn real_model_streams_counts_stops_and_goes_on() {
    let Ok(command) = std::env::var("QUARTERDECK_TEST_MODEL_SERVER") else {
        eprintln!("QUARTERDECK_TEST_MODEL_SERVER is not set: a real model is not tested");
        return;
    };
    let served = Served::start(&command);
    let agent = |name: &str, tokens: u32| {
        format!(
            "[agents.{name}]\ndriver = \"llm\"\nmodel = \"local/smollm2\"\nbase_url = \"http://127.0.0.1:{}/v1\"\n\
             memory_tools = false\nmax_output_tokens = {tokens}\n",
            served.port
        )
    };
    let mut gateway = Gateway::with(Options {
        config: agent("brief", 24) + &agent("long", 4000),
        ..Options::default()
    });
    let mut client = gateway.client().await;
    session(&mut client, "s", "brief").await;
    let subscribe = proto::SubscribeRequest {
        session_key: "s".into(),
        ..Default::default()
    };
    let mut events = client
        .subscribe(subscribe)
        .await
        .expect("it streams")
        .into_inner();
    let turn_id = enqueue(&mut client, "s", "What is the capital of France?").await;
    let mut tokens = 0;
    loop {
        let event = events
            .message()
            .await
            .expect("it goes on")
            .expect("it goes on");
        match event.kind {
            Some(Kind::Token(_)) => tokens += 1,
            Some(Kind::TurnEnded(_)) => break,
            _ => {}
        }
    }
    assert!(tokens >= 2, "it streams: {tokens}");
    let turn = ended(&mut client, "s", &turn_id).await;
    eprintln!("{:?}: {:?}", turn.stop_reason(), turn.response_text);
    assert_eq!(turn.state(), TurnState::Completed, "{turn:?}");
    assert!(!turn.response_text.is_empty());
    let usage = turn.usage.expect("it was counted");
    assert_eq!(usage.model_calls, 1);
    assert!(
        read(&usage) > 0 && (1..=24).contains(&usage.output_tokens),
        "{usage:?}"
    );
    assert_eq!(usage.unpriced_calls, 1, "nobody knows its price");

    // A stop in the middle of an answer; what was said stays, and the next turn works.
    session(&mut client, "long", "long").await;
    let subscribe = proto::SubscribeRequest {
        session_key: "long".into(),
        ..Default::default()
    };
    let mut events = client
        .subscribe(subscribe)
        .await
        .expect("it streams")
        .into_inner();
    let turn_id = enqueue(&mut client, "long", "Count to a thousand.").await;
    loop {
        let event = events
            .message()
            .await
            .expect("it goes on")
            .expect("it goes on");
        if kind(&event) == "token" {
            break;
        }
    }
    let abort = proto::AbortRequest {
        session_key: "long".into(),
        ..Default::default()
    };
    assert!(
        client
            .abort(abort)
            .await
            .expect("stopped")
            .into_inner()
            .aborted
    );
    assert_eq!(
        ended(&mut client, "long", &turn_id).await.state(),
        TurnState::Canceled
    );

    // The conversation goes on from the store alone.
    gateway.kill();
    gateway.restart();
    let mut client = gateway.client().await;
    let turn_id = enqueue(&mut client, "s", "And of Spain?").await;
    let next = ended(&mut client, "s", &turn_id).await;
    assert_eq!(next.state(), TurnState::Completed, "{next:?}");
    let grown = read(&next.usage.expect("it was counted"));
    assert!(
        grown > read(&usage),
        "it was told what was said before: {grown}"
    );
    assert!(
        log(&mut client, "s")
            .await
            .iter()
            .any(|it| kind(it) == "usage_recorded")
    );
    gateway.check_store();
}
