//! TailLogs: nothing twice, nothing lost unsaid, and nobody held up.

use crate::world::*;
use proto::LogCursor;
use tonic_types::StatusExt;

/// Calls that are refused before the store is asked, each of which leaves an audit record.
async fn flood(gateway: &Gateway, calls: usize) {
    const AT_ONCE: usize = 16;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let mut client = gateway.client().await;
        tasks.spawn(async move {
            for _ in 0..calls.div_ceil(AT_ONCE) {
                clear(&mut client, "").await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}

/// More than the server keeps, and the connection with it.
const CALLS: usize = 12_800;
/// Bytes that the slow reader's connection takes ahead.
const WINDOW_BYTES: u32 = 64 * 1024;

fn cursor(record: &LogRecord) -> Option<LogCursor> {
    Some(LogCursor {
        boot_id: record.boot_id.clone(),
        after_number: record.number,
    })
}

fn following() -> TailLogsRequest {
    TailLogsRequest {
        no_follow: false,
        ..audit()
    }
}

/// A reader that comes back with its cursor sees each record once, also those that were written in between.
#[tokio::test]
async fn a_reader_resumes_without_a_gap() {
    let gateway = Gateway::start();
    let (mut client, mut admin) = (gateway.client().await, admin(&gateway).await);
    let mut seen: Vec<LogRecord> = Vec::new();
    for round in 0..4 {
        let mut request = following();
        if let Some(last) = seen.last() {
            request.cursor = cursor(last);
        }
        let mut stream = admin.tail_logs(request).await.expect("taken").into_inner();
        for call in 0..10 {
            clear(&mut client, &format!("s{}", round * 10 + call)).await;
        }
        // Left in the middle of what is there, and before it is written.
        for _ in 0..7 {
            seen.push(next(&mut stream).await.expect("it follows"));
        }
    }
    let last = cursor(seen.last().expect("28 of them"));
    let rest = TailLogsRequest {
        cursor: last,
        ..audit()
    };
    seen.extend(read(&mut admin, rest).await);
    let keys: Vec<&str> = seen
        .iter()
        .map(|record| field(record, "session_key"))
        .collect();
    let wanted: Vec<String> = (0..40).map(|call| format!("s{call}")).collect();
    assert_eq!(keys, wanted);
    assert!(seen.is_sorted_by(|a, b| a.number < b.number));
    assert!(seen.iter().all(|record| record.dropped == 0));
}

/// A reader that does not read holds nobody up, is told how many records went by, and how many it gets and misses are all.
#[tokio::test]
async fn a_slow_reader_is_told_what_went_by_and_an_old_cursor_has_expired() {
    let gateway = Gateway::start();
    let mut client = gateway.client().await;
    // A reader whose own side takes no more than it must.
    let endpoint = Channel::from_shared(gateway.address.clone())
        .expect("an address")
        .initial_stream_window_size(WINDOW_BYTES);
    let mut admin = Admin::new(endpoint.connect().await.expect("the server accepts"));
    clear(&mut client, "first").await;
    let mut stream = admin
        .tail_logs(following())
        .await
        .expect("taken")
        .into_inner();
    let first = next(&mut stream).await.expect("it follows");
    assert_eq!(field(&first, "session_key"), "first");
    flood(&gateway, CALLS).await;
    clear(&mut client, "last").await;

    let (mut got, mut dropped) = (1, 0);
    loop {
        let record = next(&mut stream).await.expect("it follows");
        got += 1;
        dropped += record.dropped;
        if field(&record, "session_key") == "last" {
            break;
        }
    }
    assert!(dropped > 0, "it was not slow enough to see anything");
    assert_eq!(got + dropped, CALLS as i64 + 2);

    let mut expired = following();
    expired.cursor = cursor(&first);
    let status = admin.tail_logs(expired).await.expect_err("too old");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::OutOfRange, "CURSOR_EXPIRED")
    );
    let facts = status.get_details_error_info().expect("it has").metadata;
    assert_eq!(facts.get("log_id"), Some(&first.boot_id));
    // From where all is kept on, it is taken again.
    let first_kept: i64 = facts["first_seq"].parse().expect("a number");
    let mut again = audit();
    again.cursor = Some(LogCursor {
        boot_id: first.boot_id,
        after_number: first_kept - 1,
    });
    let records = read(&mut admin, again).await;
    assert!(records.len() > 1_000 && records.iter().all(|record| record.dropped == 0));
}

/// A cursor of another start, or beyond the newest record, is told apart.
#[tokio::test]
async fn void_cursors_are_refused() {
    let mut gateway = Gateway::start();
    let old = read(&mut admin(&gateway).await, kept()).await;
    let old = old.last().expect("the start leaves records").clone();
    gateway.kill();
    gateway.restart();
    let mut admin = admin(&gateway).await;
    let new = read(&mut admin, kept()).await;
    let new = new.last().expect("the start leaves records").clone();
    assert_ne!(new.boot_id, old.boot_id);
    let ahead = LogRecord {
        number: new.number + 1_000_000,
        ..new.clone()
    };
    for (record, code, why) in [
        (&old, Code::FailedPrecondition, "LOG_CHANGED"),
        (&ahead, Code::OutOfRange, "CURSOR_AHEAD"),
    ] {
        let request = TailLogsRequest {
            cursor: cursor(record),
            ..kept()
        };
        let status = admin.tail_logs(request).await.expect_err(why);
        assert_eq!((status.code(), reason(&status).as_str()), (code, why));
        let facts = status.get_details_error_info().expect("it has").metadata;
        assert_eq!(facts.get("log_id"), Some(&new.boot_id));
    }
    let nonsense = TailLogsRequest {
        cursor: Some(LogCursor {
            boot_id: "x".into(),
            after_number: -1,
        }),
        last: Some(10_001),
        level: 99,
        ..kept()
    };
    let status = admin.tail_logs(nonsense).await.expect_err("wrong");
    assert_eq!(reason(&status), "INVALID_FIELD");
    let fields: Vec<String> = status
        .get_details_bad_request()
        .expect("it has")
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        ["level", "last", "cursor.after_number", "cursor.boot_id"]
    );
}

/// Filters leave out what was not asked for; a turn's records are found by its session, with its trace.
#[tokio::test]
async fn records_are_found_by_level_target_session_and_principal() {
    let gateway = Gateway::start();
    let (mut client, mut admin) = (gateway.client().await, admin(&gateway).await);
    run(&mut client, "found", "hi").await;
    run(&mut client, "other", "hi").await;
    let of_session = TailLogsRequest {
        session_key: "found".into(),
        ..kept()
    };
    // The turn's end is told to its caller and to the log one after the other.
    let ended = |record: &LogRecord| {
        field(record, "session_key") == "found" && record.message.ends_with("ended")
    };
    let ended = record_with(&mut admin, ended).await;
    let records = read(&mut admin, of_session.clone()).await;
    assert!(
        records
            .iter()
            .all(|record| field(record, "session_key") == "found")
    );
    let targets: Vec<&str> = records
        .iter()
        .map(|record| record.target.as_str())
        .collect();
    assert!(targets.contains(&"audit"), "{targets:?}");
    assert!(
        targets.contains(&"quarterdeck::session::actor"),
        "{targets:?}"
    );
    let traces: Vec<&str> = records
        .iter()
        .map(|record| field(record, "trace_id"))
        .collect();
    assert!(
        traces
            .iter()
            .all(|trace| *trace == traces[0] && trace.len() == 32)
    );
    assert_eq!(field(&ended, "tenant"), "default");

    for (request, any) in [
        (
            TailLogsRequest {
                level: LogLevel::Error.into(),
                ..of_session.clone()
            },
            false,
        ),
        (
            TailLogsRequest {
                target: "quarterdeck::session".into(),
                ..of_session.clone()
            },
            true,
        ),
        (
            TailLogsRequest {
                target: "elsewhere".into(),
                ..of_session.clone()
            },
            false,
        ),
        (
            TailLogsRequest {
                principal: "default/local".into(),
                ..of_session.clone()
            },
            true,
        ),
        (
            TailLogsRequest {
                principal: "default/other".into(),
                ..of_session.clone()
            },
            false,
        ),
        (
            TailLogsRequest {
                last: Some(0),
                ..of_session.clone()
            },
            false,
        ),
    ] {
        let records = read(&mut admin, request.clone()).await;
        assert_eq!(!records.is_empty(), any, "{request:?}");
    }
    let newest = read(
        &mut admin,
        TailLogsRequest {
            last: Some(2),
            ..of_session
        },
    )
    .await;
    assert_eq!(newest[..], records[records.len() - 2..]);
}

/// A drain ends the stream, with the reason.
#[tokio::test]
async fn a_drain_ends_the_stream() {
    let mut gateway = Gateway::start();
    let mut admin = admin(&gateway).await;
    let mut stream = admin
        .tail_logs(following())
        .await
        .expect("taken")
        .into_inner();
    gateway.terminate();
    let status = next(&mut stream).await.expect_err("it ends");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "DRAINING")
    );
    assert_eq!(gateway.ended(SOON).await, Some(0));
}
