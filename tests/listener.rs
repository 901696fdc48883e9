//! The listener through real sockets: what a slow, silent or hostile peer costs, and how everything ends.

use axum::{Extension, Router, routing::get};
use quarterdeck::listener::{Bounds, Listener, ListenerOptions, Peer, RuntimeIndex, Serving};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

/// A test that waits longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);
/// A bound that a test waits for.
const SHORT: Duration = Duration::from_millis(200);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET_INDEX: &[u8] = b"GET /index HTTP/1.1\r\nhost: localhost\r\n\r\n";
const GET_HANG: &[u8] = b"GET /hang HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// HTTP/2 frame types, RFC 9113 section 6.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// A listener that is served, with what its routes do: `/index` tells where it runs, `/hang` waits for `release`.
struct Served {
    address: SocketAddr,
    serving: Serving,
    /// Told when a call hangs.
    hanging: Arc<Notify>,
    release: Arc<Notify>,
}

async fn serve(max_connections: usize, bounds: Bounds) -> Served {
    let options = ListenerOptions {
        max_connections,
        serve_threads: 2,
        ..ListenerOptions::default()
    };
    serve_with(options, bounds).await
}

async fn serve_with(options: ListenerOptions, bounds: Bounds) -> Served {
    let listener = Listener::bind(options).await.unwrap().with_bounds(bounds);
    let address = listener.local_addr();
    let (hanging, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (hanging.clone(), release.clone());
    let index = async |Extension(index): Extension<RuntimeIndex>, peer: Extension<Arc<Peer>>| {
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        let address = peer.0.counted_address().unwrap();
        format!("{} {thread} {address}\n", index.0)
    };
    let serving = listener.serve(move |_| {
        let (hanging, release) = told.clone();
        let hang = async move || {
            hanging.notify_one();
            release.notified().await;
            "released\n"
        };
        Router::new()
            .route("/index", get(index))
            .route("/hang", get(hang))
    });
    Served {
        address,
        serving,
        hanging,
        release,
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("the test hangs")
}

async fn connect(address: SocketAddr) -> TcpStream {
    within(TcpStream::connect(address)).await.unwrap()
}

/// Sends a request and reads one answer of HTTP/1.1; fails where the peer closes first.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<String> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    loop {
        if within(stream.read_buf(&mut answer)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&answer);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && body.ends_with('\n')
        {
            return Ok(body.to_owned());
        }
    }
}

/// Reads until the peer closes, cleanly or not.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    rest
}

/// Reads the server's first frame, so the connection is served.
async fn until_settings(stream: &mut TcpStream) {
    let mut head = [0; 9];
    within(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(kinds(&head), [SETTINGS]);
    let mut payload = vec![0; usize::from(head[2])];
    within(stream.read_exact(&mut payload)).await.unwrap();
}

/// Reads until the server says that it takes no further calls.
async fn until_goaway(stream: &mut TcpStream) {
    let mut said = Vec::new();
    while !kinds(&said).contains(&GOAWAY) {
        let read = within(stream.read_buf(&mut said)).await.unwrap();
        assert_ne!(read, 0, "cut without GOAWAY");
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The types of the frames in `bytes`.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, rest @ ..] = bytes {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        bytes = rest.get(5 + length..).unwrap_or_default();
    }
    kinds
}

/// An HTTP/2 connection after preface and empty settings.
async fn connect_http2(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

#[tokio::test]
async fn connections_are_dealt_to_the_runtimes_in_turn_and_stay_there() {
    let served = serve(100, Bounds::default()).await;
    assert_eq!(served.serving.runtimes().len(), 2);
    for expected in [0, 1, 0, 1] {
        let mut stream = connect(served.address).await;
        for _ in 0..3 {
            let answer = ask(&mut stream, GET_INDEX).await.unwrap();
            assert_eq!(answer, format!("{expected} serve-{expected} 127.0.0.1\n"));
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
