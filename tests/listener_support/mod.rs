//! A listener that is served by routes of its own, and peers that speak to it byte by byte.
#![allow(dead_code, reason = "each test binary uses its own part")]

use axum::{Extension, Router, body::Bytes, routing::get};
use quarterdeck::listener::{Bounds, Listener, ListenerOptions, Peer, RuntimeIndex, Serving};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

/// A test that waits longer has hung.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A bound that a test waits for.
pub const SHORT: Duration = Duration::from_millis(200);
/// Bytes that `/big` answers with.
pub const BIG: usize = 8 * 1024 * 1024;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const GET_INDEX: &[u8] = b"GET /index HTTP/1.1\r\nhost: localhost\r\n\r\n";
pub const GET_HANG: &[u8] = b"GET /hang HTTP/1.1\r\nhost: localhost\r\n\r\n";
pub const GET_PEER: &[u8] = b"GET /peer HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// HTTP/2 frame types, RFC 9113 section 6.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;

/// A listener that is served, with what its routes do: `/index` tells where it runs, `/peer` who calls, `/hang` waits for
/// `release`, `/big` is a long answer.
pub struct Served {
    pub address: SocketAddr,
    pub serving: Serving,
    /// Told when a call hangs.
    pub hanging: Arc<Notify>,
    pub release: Arc<Notify>,
}

pub async fn serve(max_connections: usize, bounds: Bounds) -> Served {
    let options = ListenerOptions {
        max_connections,
        serve_threads: 2,
        ..ListenerOptions::default()
    };
    serve_with(options, bounds).await
}

pub async fn serve_with(options: ListenerOptions, bounds: Bounds) -> Served {
    let listener = Listener::bind(options).await.unwrap().with_bounds(bounds);
    let address = listener.local_addr();
    let (hanging, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (hanging.clone(), release.clone());
    let index = async |Extension(index): Extension<RuntimeIndex>| {
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        format!("{} {thread}\n", index.0)
    };
    let peer = async |Extension(peer): Extension<Arc<Peer>>| {
        let certificates = peer.certificates().iter();
        let certificates: Vec<usize> = certificates.map(|it| it.len()).collect();
        let address = peer.counted_address();
        format!(
            "{address:?} private {} {certificates:?} {peer:?}\n",
            peer.is_private()
        )
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
            .route("/peer", get(peer))
            .route("/hang", get(hang))
            .route("/big", get(async || Bytes::from(vec![b'x'; BIG])))
    });
    Served {
        address,
        serving,
        hanging,
        release,
    }
}

pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("the test hangs")
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    within(TcpStream::connect(address)).await.unwrap()
}

/// Sends a request and reads one answer of HTTP/1.1; fails where the peer closes first.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
) -> io::Result<String> {
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
pub async fn until_closed<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    rest
}

/// Reads the server's first frame, so the connection is served.
pub async fn until_settings(stream: &mut TcpStream) {
    let mut head = [0; 9];
    within(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(kinds(&head), [SETTINGS]);
    let mut payload = vec![0; usize::from(head[2])];
    within(stream.read_exact(&mut payload)).await.unwrap();
}

/// Reads until the server says that it takes no further calls; tells what was read.
pub async fn until_goaway(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    while !kinds(&said).contains(&GOAWAY) {
        let read = within(stream.read_buf(&mut said)).await.unwrap();
        assert_ne!(read, 0, "cut without GOAWAY");
    }
    said
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The types of the frames in `bytes`.
pub fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, rest @ ..] = bytes {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        bytes = rest.get(5 + length..).unwrap_or_default();
    }
    kinds
}

/// An HTTP/2 connection after preface and empty settings.
pub async fn connect_http2(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// A GET request without a body, as an HTTP/2 frame.
pub fn get_frame(stream: u32, authority: &str, path: &str) -> Vec<u8> {
    // :method GET and :scheme http, from the static table of RFC 7541; then literals with names from it.
    let mut head = vec![0x82, 0x86];
    for (name, value) in [(1, authority), (4, path)] {
        head.push(name);
        head.push(u8::try_from(value.len()).unwrap());
        head.extend(value.as_bytes());
    }
    // END_STREAM and END_HEADERS.
    frame(HEADERS, 0x5, stream, &head)
}
