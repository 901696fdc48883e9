//! The floors of fan-out: the least that any server must do to bring the same bytes to the same streams.
//!
//! * `tcp`: HTTP/2 frames made by hand, one task per connection, one buffer and one write per connection and burst.
//! * `h2`: the bare h2 crate, one task per stream, one DATA frame per stream and burst.
//!
//! Commands on standard input: `open CONNECTIONS READERS` before the readers dial in, `burst COUNT`.

use super::{
    client::{DATA, END_HEADERS, FRAME_HEADER, HEADERS, SETTINGS, put_frame_header},
    producer::{self, Command},
};
use bytes::{BufMut, Bytes};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream, unix::pipe},
    sync::watch,
    task::JoinSet,
};

/// Payload of a DATA frame at most: what a client takes that doesn't say otherwise.
const DATA_MAX: usize = 16_384;
/// HPACK of `:status: 200`.
const STATUS_OK: u8 = 0x88;

/// Serves until standard input ends.
#[tokio::main(flavor = "current_thread")]
pub async fn tcp() {
    let listener = listen().await;
    let (bursts, newest) = watch::channel(Bytes::new());
    let mut tasks = JoinSet::new();
    let mut commands = commands();
    while let Some(line) = commands.next_line().await.expect("readable") {
        match Command::parse(&line) {
            Command::Open {
                connections,
                readers,
            } => {
                tasks.abort_all();
                for place in 0..connections {
                    let (socket, _) = listener.accept().await.expect("a reader dials in");
                    let streams = (place..readers).step_by(connections).count();
                    let mut newest = newest.clone();
                    newest.mark_unchanged();
                    tasks.spawn(tcp_connection(socket, streams, newest));
                }
            }
            Command::Burst(count) => drop(bursts.send_replace(producer::burst(count))),
            Command::Pace { .. } => panic!("this floor is for bursts"),
        }
    }
}

/// Writes each burst to each of its streams. What the reader sends is never read: it is a few bytes.
async fn tcp_connection(mut socket: TcpStream, streams: usize, mut newest: watch::Receiver<Bytes>) {
    socket.set_nodelay(true).expect("a TCP socket");
    let caught_up = producer::caught_up();
    let mut out = Vec::new();
    put_frame_header(&mut out, 0, SETTINGS, 0, 0);
    for stream in ids(streams) {
        put_frame_header(&mut out, 1, HEADERS, END_HEADERS, stream);
        out.put_u8(STATUS_OK);
        put_data(&mut out, stream, &caught_up);
    }
    // An error is the reader's leaving.
    while socket.write_all(&out).await.is_ok() && newest.changed().await.is_ok() {
        let frames = newest.borrow_and_update().clone();
        out.clear();
        out.reserve(streams * (frames.len() + FRAME_HEADER));
        ids(streams).for_each(|stream| put_data(&mut out, stream, &frames));
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
    let listener = listen().await;
    let (bursts, newest) = watch::channel(Bytes::new());
    let accept = async {
        loop {
            let (socket, _) = listener.accept().await.expect("a reader dials in");
            socket.set_nodelay(true).expect("a TCP socket");
            tokio::task::spawn_local(h2_connection(socket, newest.clone()));
        }
    };
    let command = async {
        let mut commands = commands();
        while let Some(line) = commands.next_line().await.expect("readable") {
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

async fn h2_connection(socket: TcpStream, newest: watch::Receiver<Bytes>) {
    let mut connection = h2::server::handshake(socket)
        .await
        .expect("our client speaks HTTP/2");
    // Accepting is what drives the connection. An error is the reader's leaving.
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let response = http::Response::new(());
        let mut stream = respond
            .send_response(response, false)
            .expect("the stream stands");
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

async fn listen() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    announce(listener.local_addr().expect("bound"));
    listener
}

/// What the report asks for, line by line.
fn commands() -> Lines<BufReader<pipe::Receiver>> {
    let input = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .expect("an open descriptor");
    BufReader::new(pipe::Receiver::from_owned_fd(input).expect("a pipe")).lines()
}

/// Tells the parent where we listen.
pub fn announce(address: SocketAddr) {
    println!("listening on http://{address}");
}
