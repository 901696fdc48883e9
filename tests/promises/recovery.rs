//! R12: recovery comes to its end, does its work once, and survives being killed while it works.

use crate::{
    support::log,
    verify::check_log,
    world::{Site, dice, eventually, figure, prompt},
};
use quarterdeck::proto::{GatewayEvent, OnInterrupt, TurnState, gateway_event::Kind};
use std::time::{Duration, Instant};

/// Sessions with a running turn: more than one commit of recovery takes.
const SESSIONS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_recovery_is_idempotent_also_when_it_is_killed() {
    let mut dice = dice(12);
    let config = crate::world::UNBOUNDED;
    let mut site = Site::start(config.into());
    let mut visitor = site.visitor().await;
    for number in 0..SESSIONS {
        // Every third has a turn that is run again, every third one that waits; all have an open thought.
        let mut request = prompt(
            &key(number),
            "!delay=60s !think=half_a_thought never",
            "first",
        );
        if number % 3 == 1 {
            request.set_on_interrupt(OnInterrupt::Retry);
        }
        visitor.enqueue(&request).await.expect("accepted");
        if number % 3 == 2 {
            let waiting = prompt(&key(number), "!hang", "second");
            visitor.enqueue(&waiting).await.expect("accepted");
        }
    }
    for number in 0..SESSIONS {
        eventually("every first turn to run", async || {
            let session = visitor.session(&key(number)).await;
            (!session.active_turn_id.is_empty()).then_some(())
        })
        .await;
    }
    site.gateway.kill();
    let at_rest = site.gateway.data();
    quarterdeck::store::sqlite::check::check(&at_rest).expect("readable");

    let began = Instant::now();
    let kills = figure(10, 100);
    let mut longest = Duration::from_millis(40);
    for _ in 0..kills {
        site.gateway
            .start_and_kill(dice.millis(1, longest.as_millis() as u64 + 1))
            .await;
        // Further each time, so that some kills hit every step, wherever this machine takes its time.
        longest = (longest * 5 / 4).min(Duration::from_millis(500));
        crate::support::check(&site.gateway.data());
    }
    site.restart();
    println!("{kills} kills and one recovery took {:?}", began.elapsed());

    visitor.reconnect().await;
    for number in 0..SESSIONS {
        let events = log(&mut visitor.client, &key(number)).await;
        let cut = |events: &[GatewayEvent]| {
            let ends = events.iter().filter_map(|event| match &event.kind {
                Some(Kind::TurnEnded(ended)) => ended.turn.as_ref(),
                _ => None,
            });
            let ends: Vec<_> = ends
                .map(|turn| (turn.state(), turn.error.clone().unwrap_or_default().reason))
                .collect();
            ends
        };
        let starts = events
            .iter()
            .filter(|e| matches!(e.kind, Some(Kind::TurnStarted(_))));
        let retries = events
            .iter()
            .filter(|e| matches!(e.kind, Some(Kind::RetryScheduled(_))));
        let (starts, retries) = (starts.count(), retries.count());
        let crashed = (TurnState::Interrupted, "GATEWAY_CRASHED".to_owned());
        match number % 3 {
            0 => {
                assert_eq!(cut(&events), [crashed], "{}", key(number));
                assert_eq!((starts, retries), (1, 0));
            }
            1 => {
                // A server that lived long enough to start it again was killed again; three starts are the limit.
                let ends = cut(&events);
                match retries {
                    1 => assert_eq!(ends, []),
                    2 => assert!(starts >= 2, "{events:?}"),
                    other => panic!("{other} retries: {events:?}"),
                }
                assert!(starts <= 3 && starts <= retries + 1, "{events:?}");
                assert!(ends.len() <= 1);
            }
            _ => {
                assert_eq!(cut(&events)[0], crashed, "{}", key(number));
                assert_eq!(retries, 0);
            }
        }
    }

    // A second recovery finds nothing that the first one settled: what had ended has no further event.
    let before = settled(&site, &mut visitor.client).await;
    site.crash();
    visitor.reconnect().await;
    let after = settled(&site, &mut visitor.client).await;
    assert_eq!(before, after);
    for number in (0..SESSIONS).step_by(50) {
        let request = quarterdeck::proto::AbortRequest {
            session_key: key(number),
            clear_queue: true,
            ..Default::default()
        };
        visitor.client.abort(request).await.expect("answered");
        visitor.rest(&key(number)).await;
        check_log(&log(&mut visitor.client, &key(number)).await, true);
    }
    site.gateway.kill();
    crate::support::check(&site.gateway.data());
}

fn key(number: usize) -> String {
    format!("s{number}")
}

/// Logs of the sessions that had only a turn that ended.
async fn settled(_: &Site, client: &mut crate::support::Client) -> Vec<Vec<GatewayEvent>> {
    let mut logs = Vec::new();
    for number in (0..SESSIONS).step_by(3) {
        logs.push(log(client, &key(number)).await);
    }
    logs
}
