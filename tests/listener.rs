//! The listener through real sockets: what a slow, silent or hostile peer costs, and how everything ends.

mod listener_support;

use listener_support::{
    DATA, GET_HANG, GET_INDEX, GET_PEER, GOAWAY, HEADERS, PATIENCE, PING, PREFACE, RST_STREAM,
    SHORT, ask, connect, connect_http2, frame, get_frame, kinds, serve, serve_with, until_closed,
    until_goaway, until_settings, within,
};
use quarterdeck::listener::{Bounds, ListenerOptions, Peer, UnixOptions};
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

#[tokio::test]
async fn connections_are_dealt_to_the_runtimes_in_turn_and_stay_there() {
    let served = serve(100, Bounds::default()).await;
    assert_eq!(served.serving.runtimes().len(), 2);
    for expected in [0, 1, 0, 1] {
        let mut stream = connect(served.address).await;
        for _ in 0..3 {
            let answer = ask(&mut stream, GET_INDEX).await.unwrap();
            assert_eq!(answer, format!("{expected} serve-{expected}\n"));
        }
    }
    // What is spawned on a runtime's handle runs on its thread, beside its connections.
    let thread = async { std::thread::current().name().map(String::from) };
    let thread = within(served.serving.runtimes()[1].spawn(thread)).await;
    assert_eq!(thread.unwrap().as_deref(), Some("serve-1"));
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_or_half_a_word_is_cut() {
    let bounds = Bounds {
        handshake: SHORT,
        ..Bounds::default()
    };
    let served = serve(100, bounds).await;
    let half_preface = &PREFACE[..10];
    let half_head = &GET_INDEX[..GET_INDEX.len() - 2];
    for said in [&b""[..], half_preface, half_head] {
        let mut stream = connect(served.address).await;
        stream.write_all(said).await.unwrap();
        until_closed(&mut stream).await;
    }
    // Who did say something stays, also beyond that time.
    let mut other = connect_http2(served.address).await;
    let closed = timeout(SHORT * 3, until_closed(&mut other)).await;
    assert!(closed.is_err(), "cut though it spoke");
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn garbage_costs_its_sender_the_connection_and_nobody_else() {
    let served = serve(100, Bounds::default()).await;
    let after_preface = [PREFACE, &[0xff; 64]].concat();
    let lines = b"\r\n\r\n\r\n\r\n????".to_vec();
    for garbage in [vec![0; 64], vec![0xff; 4096], lines, after_preface] {
        let mut stream = connect(served.address).await;
        stream.write_all(&garbage).await.unwrap();
        let _ = stream.shutdown().await;
        until_closed(&mut stream).await;
    }
    let answer = ask(&mut connect(served.address).await, GET_INDEX).await;
    assert!(answer.is_ok());
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_for_a_slot() {
    let served = serve(1, Bounds::default()).await;
    let mut first = connect(served.address).await;
    assert!(ask(&mut first, GET_INDEX).await.is_ok());
    let mut second = connect(served.address).await;
    second.write_all(GET_INDEX).await.unwrap();
    let mut byte = [0];
    let answered = timeout(SHORT, second.read(&mut byte)).await;
    assert!(answered.is_err(), "answered beyond the limit");
    drop(first);
    assert_eq!(within(second.read(&mut byte)).await.unwrap(), 1);
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let bounds = Bounds {
        handshake: SHORT,
        idle: SHORT,
        ..Bounds::default()
    };
    let served = serve(100, bounds).await;
    let mut stream = connect_http2(served.address).await;
    until_goaway(&mut stream).await;
    // One with a call is not idle, however long the call takes.
    let mut busy = connect(served.address).await;
    busy.write_all(GET_HANG).await.unwrap();
    within(served.hanging.notified()).await;
    let cut = timeout(SHORT * 4, until_closed(&mut busy)).await;
    assert!(cut.is_err(), "cut in a call");
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn a_peer_without_a_sign_of_life_is_cut() {
    let bounds = Bounds {
        ping_interval: SHORT,
        ping_timeout: SHORT,
        ..Bounds::default()
    };
    let served = serve(100, bounds).await;
    let mut stream = connect_http2(served.address).await;
    let said = until_closed(&mut stream).await;
    assert!(kinds(&said).contains(&PING));
    within(served.serving.stop(SHORT)).await;
}

/// CVE-2023-44487: requests that are reset at once.
#[tokio::test]
async fn a_flood_of_resets_costs_the_connection() {
    let served = serve(100, Bounds::default()).await;
    let mut stream = connect_http2(served.address).await;
    // :method GET, :scheme http, :path /, from the static table of RFC 7541.
    let head = [0x82, 0x86, 0x84];
    let mut flood = Vec::new();
    for stream in (1..20_000).step_by(2) {
        flood.extend(frame(HEADERS, 0x4, stream, &head));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let (mut read, mut write) = stream.split();
    let mut said = Vec::new();
    // The server stops reading in the middle: then writing fails, or the answer ends.
    within(async {
        tokio::select! {
            Err(_) = write.write_all(&flood) => {}
            _ = read.read_to_end(&mut said) => {}
        }
    })
    .await;
    let answer = ask(&mut connect(served.address).await, GET_INDEX).await;
    assert!(answer.is_ok());
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn stop_lets_a_call_end_and_refuses_new_connections() {
    let served = serve(100, Bounds::default()).await;
    let mut open = connect(served.address).await;
    open.write_all(GET_HANG).await.unwrap();
    within(served.hanging.notified()).await;
    let mut idle = connect(served.address).await;
    assert!(ask(&mut idle, GET_INDEX).await.is_ok());
    let mut http2 = connect_http2(served.address).await;
    until_settings(&mut http2).await;

    let stop = tokio::spawn(served.serving.stop(PATIENCE));
    until_closed(&mut idle).await;
    until_goaway(&mut http2).await;
    drop(http2);
    within(async {
        while TcpStream::connect(served.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!stop.is_finished(), "stopped with a call open");
    served.release.notify_one();
    let answer = until_closed(&mut open).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.ends_with("released\n"), "{answer}");
    within(stop).await.unwrap();
}

#[tokio::test]
async fn stop_cuts_what_is_left_at_the_end_of_the_grace_time() {
    struct Told(Arc<Mutex<bool>>);
    impl Drop for Told {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }
    let served = serve(100, Bounds::default()).await;
    let dropped = Arc::new(Mutex::new(false));
    let told = Told(dropped.clone());
    served.serving.runtimes()[1].spawn(async move {
        let _told = told;
        std::future::pending::<()>().await
    });
    let mut open = connect(served.address).await;
    open.write_all(GET_HANG).await.unwrap();
    within(served.hanging.notified()).await;
    let mut half = connect(served.address).await;
    half.write_all(&PREFACE[..10]).await.unwrap();

    let start = Instant::now();
    within(served.serving.stop(SHORT)).await;
    assert!(start.elapsed() < SHORT * 10, "{:?}", start.elapsed());
    assert!(until_closed(&mut open).await.is_empty());
    until_closed(&mut half).await;
    assert!(*dropped.lock().unwrap(), "a runtime outlived its listener");
}

#[tokio::test]
async fn an_address_has_its_share_of_connections_and_no_more() {
    let options = ListenerOptions {
        max_connections_per_address: 2,
        ..ListenerOptions::default()
    };
    let served = serve_with(options, Bounds::default()).await;
    let mut first = connect(served.address).await;
    let mut second = connect(served.address).await;
    assert!(ask(&mut first, GET_INDEX).await.is_ok());
    assert!(ask(&mut second, GET_INDEX).await.is_ok());
    let mut third = connect(served.address).await;
    assert!(until_closed(&mut third).await.is_empty());
    // The others are not touched, and a place that is given back can be had.
    assert!(ask(&mut first, GET_INDEX).await.is_ok());
    drop(second);
    within(async {
        while ask(&mut connect(served.address).await, GET_INDEX)
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_its_call_ends_in_peace() {
    let bounds = Bounds {
        age: Some(SHORT),
        age_grace: Some(PATIENCE),
        ..Bounds::default()
    };
    let served = serve(100, bounds).await;
    let mut stream = connect_http2(served.address).await;
    stream
        .write_all(&get_frame(1, "localhost", "/hang"))
        .await
        .unwrap();
    within(served.hanging.notified()).await;
    let mut said = until_goaway(&mut stream).await;
    assert!(!kinds(&said).contains(&DATA));
    served.release.notify_one();
    while !kinds(&said).contains(&DATA) {
        let read = within(stream.read_buf(&mut said)).await.unwrap();
        assert_ne!(read, 0, "cut within a call");
    }
    // Who is told to go finds the door open.
    assert!(
        ask(&mut connect(served.address).await, GET_INDEX)
            .await
            .is_ok()
    );
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn what_does_not_end_on_an_old_connection_is_cut_after_the_grace() {
    let bounds = Bounds {
        age: Some(SHORT),
        age_grace: Some(SHORT),
        ..Bounds::default()
    };
    let served = serve(100, bounds).await;
    for http2 in [true, false] {
        let mut stream = if http2 {
            let mut stream = connect_http2(served.address).await;
            stream
                .write_all(&get_frame(1, "localhost", "/hang"))
                .await
                .unwrap();
            stream
        } else {
            let mut stream = connect(served.address).await;
            stream.write_all(GET_HANG).await.unwrap();
            stream
        };
        within(served.hanging.notified()).await;
        let start = Instant::now();
        let said = until_closed(&mut stream).await;
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
        assert_eq!(kinds(&said).contains(&GOAWAY), http2);
    }
    within(served.serving.stop(SHORT)).await;
}

/// DNS rebinding: a page whose name was made to point here says that name.
#[tokio::test]
async fn a_request_that_names_another_host_reaches_nothing() {
    let served = serve(100, Bounds::default()).await;
    for host in [
        "evil.test",
        "evil.test:7777",
        "localhost@evil.test",
        "192.0.2.1",
    ] {
        let request = format!("GET /hang HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let mut stream = connect(served.address).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(until_closed(&mut stream).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
        assert!(answer.contains("allowed_hosts"), "{answer}");

        let mut stream = connect_http2(served.address).await;
        stream
            .write_all(&get_frame(1, host, "/hang"))
            .await
            .unwrap();
        let mut said = Vec::new();
        while !kinds(&said).contains(&HEADERS) {
            assert_ne!(within(stream.read_buf(&mut said)).await.unwrap(), 0);
        }
    }
    // None of them got as far as to hang.
    let hanging = timeout(SHORT, served.hanging.notified()).await;
    assert!(hanging.is_err(), "a foreign name was answered");
    let answer = ask(&mut connect(served.address).await, GET_PEER)
        .await
        .unwrap();
    assert!(
        answer.starts_with("Some(127.0.0.1) private false []"),
        "{answer}"
    );
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn the_unix_socket_tells_who_calls_and_is_open_when_the_network_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener.sock");
    let options = ListenerOptions {
        unix: Some(UnixOptions {
            path: path.clone(),
            by_default: false,
        }),
        max_connections: 1,
        ..ListenerOptions::default()
    };
    let served = serve_with(options, Bounds::default()).await;
    let mut network = connect(served.address).await;
    assert!(ask(&mut network, GET_INDEX).await.is_ok());
    let mut local = within(UnixStream::connect(&path)).await.unwrap();
    // No browser comes here: any host name will do.
    let request = b"GET /peer HTTP/1.1\r\nhost: anything.test\r\n\r\n";
    let answer = ask(&mut local, request).await.unwrap();
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let expected = Peer::Unix {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
        pid: Some(std::process::id().cast_signed()),
        started_here: false,
    };
    assert_eq!(answer, format!("None private true [] {expected:?}\n"));
    within(served.serving.stop(SHORT)).await;
    assert!(until_closed(&mut local).await.is_empty());
    assert!(!path.exists());
}

/// An agent's process has the server's user, and is told apart by who started it.
#[tokio::test]
async fn the_unix_socket_tells_who_was_started_by_the_server_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener.sock");
    let options = ListenerOptions {
        unix: Some(UnixOptions {
            path: path.clone(),
            by_default: false,
        }),
        ..ListenerOptions::default()
    };
    let served = serve_with(options, Bounds::default()).await;
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.send(b'GET /peer HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n')\n\
                  while part := s.recv(9000): sys.stdout.buffer.write(part)";
    // Through another process, as an agent's tools are.
    let shell = tokio::process::Command::new("sh")
        .args(["-c", "python3 -c \"$1\" \"$2\"; true", "sh", script])
        .arg(&path)
        .output();
    let said = tokio::time::timeout(std::time::Duration::from_secs(60), shell).await;
    let said = String::from_utf8(said.unwrap().unwrap().stdout).unwrap();
    assert!(said.contains("started_here: true"), "{said}");
    within(served.serving.stop(SHORT)).await;
}
