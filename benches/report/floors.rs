//! The floors of fan-out: the least that any server must do to bring the same bytes to the same streams.
//!
//! * `tcp`: HTTP/2 frames made by hand, one buffer and one blocking write per connection and burst.
//! * `h2`: the bare h2 crate, one task per stream, one DATA frame per stream and burst.
//!
//! Commands on standard input: `open CONNECTIONS READERS` before the readers dial in, `burst COUNT`.

use super::{
    client::{DATA, END_HEADERS, FRAME_HEADER, HEADERS, SETTINGS, put_frame_header},
    producer::{self, Command},
};
use bytes::{BufMut, Bytes};
use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::watch,
};

/// Payload of a DATA frame at most: what a client takes that doesn't say otherwise.
const DATA_MAX: usize = 16_384;
/// HPACK of `:status: 200`.
const STATUS_OK: u8 = 0x88;

/// Serves until standard input ends.
pub fn tcp() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    announce(listener.local_addr().expect("bound"));
    let mut connections: Vec<(TcpStream, usize)> = Vec::new();
    let mut out = Vec::new();
    for line in io::stdin().lines() {
        match Command::parse(&line.expect("readable")) {
            Command::Open {
                connections: count,
                readers,
            } => {
                connections.clear();
                for place in 0..count {
                    let (socket, _) = listener.accept().expect("a reader dials in");
                    socket.set_nodelay(true).expect("a TCP socket");
                    let streams = (place..readers).step_by(count).count();
                    connections.push((socket, streams));
                }
                let caught_up = producer::caught_up();
                for (socket, streams) in &mut connections {
                    out.clear();
                    put_frame_header(&mut out, 0, SETTINGS, 0, 0);
                    for stream in ids(*streams) {
                        put_frame_header(&mut out, 1, HEADERS, END_HEADERS, stream);
                        out.put_u8(STATUS_OK);
                        put_data(&mut out, stream, &caught_up);
                    }
                    socket.write_all(&out).expect("the reader reads");
                }
            }
            Command::Burst(count) => {
                let frames = producer::burst(count);
                for (socket, streams) in &mut connections {
                    out.clear();
                    out.reserve(*streams * (frames.len() + FRAME_HEADER));
                    ids(*streams).for_each(|stream| put_data(&mut out, stream, &frames));
                    socket.write_all(&out).expect("the reader reads");
                }
            }
            Command::Pace { .. } => panic!("this floor is for bursts"),
        }
    }
}

fn ids(streams: usize) -> impl Iterator<Item = u32> {
    (0..u32::try_from(streams).expect("few streams")).map(|n| n * 2 + 1)
}

fn put_data(out: &mut Vec<u8>, stream: u32, frames: &[u8]) {
    for chunk in frames.chunks(DATA_MAX) {
        put_frame_header(out, chunk.len(), DATA, 0, stream);
        out.put_slice(chunk);
    }
}

/// Serves until standard input ends.
#[tokio::main(flavor = "current_thread")]
pub async fn h2() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    announce(listener.local_addr().expect("bound"));
    let (bursts, newest) = watch::channel(Bytes::new());
    let accept = async {
        loop {
            let (socket, _) = listener.accept().await.expect("a reader dials in");
            socket.set_nodelay(true).expect("a TCP socket");
            tokio::task::spawn_local(h2_connection(socket, newest.clone()));
        }
    };
    let command = async {
        let input = io::stdin().as_fd().try_clone_to_owned().expect("an open descriptor");
        let input = tokio::net::unix::pipe::Receiver::from_owned_fd(input).expect("a pipe");
        let mut lines = BufReader::new(input).lines();
        while let Some(line) = lines.next_line().await.expect("readable") {
            match Command::parse(&line) {
                Command::Open { .. } => {}
                Command::Burst(count) => drop(bursts.send_replace(producer::burst(count))),
                Command::Pace { .. } => panic!("this floor is for bursts"),
            }
        }
    };
    tokio::task::LocalSet::new()
        .run_until(async {
            tokio::select! {
                () = accept => {}
                () = command => {}
            }
        })
        .await;
}

async fn h2_connection(socket: tokio::net::TcpStream, newest: watch::Receiver<Bytes>) {
    let mut connection = h2::server::handshake(socket).await.expect("our client speaks HTTP/2");
    // Accepting is what drives the connection. An error is the reader's leaving.
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let response = http::Response::new(());
        let mut stream = respond.send_response(response, false).expect("the stream stands");
        let mut newest = newest.clone();
        newest.mark_unchanged();
        tokio::task::spawn_local(async move {
            let mut next = producer::caught_up();
            while stream.send_data(next, false).is_ok() && newest.changed().await.is_ok() {
                next = newest.borrow_and_update().clone();
            }
        });
    }
}

/// Tells the parent where we listen.
pub fn announce(address: SocketAddr) {
    println!("listening on http://{address}");
}
