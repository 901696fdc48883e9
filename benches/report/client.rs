//! A lean subscriber: many streams on few connections, on one thread, counting events.
//!
//! A stock client decodes each message into a struct and is slower than the server it would measure. This one speaks
//! just enough HTTP/2 for Subscribe: it sends the same request for each stream, cuts frames into messages, and reads of
//! a message which kind it is and what it needs for a figure. Anything unexpected ends the run with a panic.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use quarterdeck::{domain::event::EventKind, proto};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io::ErrorKind,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpStream, sync::Notify, task::JoinHandle};

/// What a run may wait for before it is called stuck.
pub const STUCK: Duration = Duration::from_secs(60);
/// Bytes that one read may bring.
const READ_BYTES: usize = 256 * 1024;
/// Flow-control window of connection and streams: never the limit of a run.
const WINDOW: u32 = (1 << 31) - 1;
const DEFAULT_WINDOW: u32 = 65_535;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const FRAME_HEADER: usize = 9;
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Open streams. Dropping them closes the connections.
pub struct Readers {
    counts: Rc<Counts>,
    connections: Vec<JoinHandle<()>>,
    sockets: Vec<Rc<TcpStream>>,
}

/// What the streams have seen, all together.
#[derive(Default)]
pub struct Counts {
    caught_up: Cell<u64>,
    tokens: Cell<u64>,
    token_bytes: Cell<u64>,
    durable: Cell<u64>,
    /// Newest `hello`, `caught_up` and durable position.
    seq: Cell<i64>,
    /// Microseconds from a token's making to its reading, where they are kept.
    latencies: RefCell<Option<Vec<u32>>>,
    changed: Notify,
    wanted: Cell<Wanted>,
}

/// What is waited for; `changed` is told only then.
#[derive(Clone, Copy, Default)]
enum Wanted {
    #[default]
    Nothing,
    CaughtUp(u64),
    Tokens(u64),
    Durable(u64),
}

/// A stream's message that has not come whole.
#[derive(Default)]
struct Stream {
    part: Vec<u8>,
}

// === impl Readers ===

impl Readers {
    /// Opens `readers` streams spread over `connections`, and waits until each is caught up.
    pub async fn open(
        address: SocketAddr,
        connections: usize,
        readers: usize,
        request: &proto::SubscribeRequest,
    ) -> Self {
        let this = Self::start(address, connections, readers, request).await;
        let all = u64::try_from(readers).expect("few readers");
        this.counts.until(Wanted::CaughtUp(all)).await;
        this
    }

    /// Opens streams one after the other, each when the one before is caught up.
    pub async fn open_in_turn(
        address: SocketAddr,
        connections: usize,
        readers: usize,
        request: &proto::SubscribeRequest,
    ) -> Self {
        let this = Self::start(address, connections, 0, request).await;
        for number in 0..readers {
            let mut out = BytesMut::new();
            put_request(&mut out, address, number / connections, request);
            write_all(&this.sockets[number % connections], &out).await;
            this.counts.until(Wanted::CaughtUp(number as u64 + 1)).await;
        }
        this
    }

    /// Opens the streams and waits for nothing.
    pub async fn start(
        address: SocketAddr,
        connections: usize,
        readers: usize,
        request: &proto::SubscribeRequest,
    ) -> Self {
        let counts = Rc::new(Counts::default());
        let mut tasks = Vec::with_capacity(connections);
        let mut sockets = Vec::with_capacity(connections);
        for connection in 0..connections {
            let streams = (connection..readers).step_by(connections).count();
            let socket = TcpStream::connect(address)
                .await
                .expect("the server accepts");
            socket.set_nodelay(true).expect("a TCP socket");
            let socket = Rc::new(socket);
            write_all(&socket, &opening(address, streams, request)).await;
            tasks.push(tokio::task::spawn_local(read(
                socket.clone(),
                counts.clone(),
            )));
            sockets.push(socket);
        }
        Self {
            counts,
            connections: tasks,
            sockets,
        }
    }

    /// Waits until all streams together have had that many tokens.
    pub async fn until_tokens(&self, count: u64) {
        self.counts.until(Wanted::Tokens(count)).await;
    }

    /// Waits until all streams together have had that many durable events.
    pub async fn until_durable(&self, count: u64) {
        self.counts.until(Wanted::Durable(count)).await;
    }

    /// Bytes of a token's message, as they came.
    pub fn token_bytes(&self) -> u64 {
        self.counts.token_bytes.get() / self.counts.tokens.get().max(1)
    }

    /// Keeps the latency of each token from here on.
    pub fn keep_latencies(&self) {
        *self.counts.latencies.borrow_mut() = Some(Vec::new());
    }

    /// The latencies kept so far, in microseconds.
    pub fn latencies(&self) -> Vec<u32> {
        self.counts
            .latencies
            .borrow_mut()
            .take()
            .unwrap_or_default()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.connections.iter().for_each(JoinHandle::abort);
    }
}

// === impl Counts ===

impl Counts {
    async fn until(&self, wanted: Wanted) {
        self.wanted.set(wanted);
        let reached = async {
            while !self.reached() {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(STUCK, reached)
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "stuck at {} tokens, {} events",
                    self.tokens.get(),
                    self.durable.get()
                )
            });
    }

    fn reached(&self) -> bool {
        match self.wanted.get() {
            Wanted::Nothing => false,
            Wanted::CaughtUp(count) => self.caught_up.get() >= count,
            Wanted::Tokens(count) => self.tokens.get() >= count,
            Wanted::Durable(count) => self.durable.get() >= count,
        }
    }

    /// Reads of an encoded `GatewayEvent` what is counted.
    fn count(&self, message: &[u8]) {
        let mut rest = message;
        while let Some((field, value)) = next_field(&mut rest) {
            match (field, value) {
                (3, Value::Number(seq)) => {
                    self.durable.set(self.durable.get() + 1);
                    self.seq.set(seq.cast_signed());
                }
                (field, _) if field == u32::from(EventKind::CAUGHT_UP.0) => {
                    self.caught_up.set(self.caught_up.get() + 1);
                }
                (field, Value::Bytes(token)) if field == u32::from(EventKind::TOKEN.0) => {
                    self.tokens.set(self.tokens.get() + 1);
                    self.token_bytes
                        .set(self.token_bytes.get() + message.len() as u64);
                    if let Some(latencies) = self.latencies.borrow_mut().as_mut() {
                        latencies.extend(age(token));
                    }
                }
                (field, _) if field == u32::from(EventKind::LAGGING.0) => {
                    panic!("the server left tokens out: nothing here is slow enough for that");
                }
                _ => {}
            }
        }
    }
}

/// Time since the making of a token whose text begins with it, see `producer::token_text`.
fn age(mut token: &[u8]) -> Option<u32> {
    let (_, Value::Bytes(text)) = next_field(&mut token)? else {
        return None;
    };
    let made = std::str::from_utf8(text.get(..20)?)
        .ok()?
        .parse::<u128>()
        .ok()?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_nanos();
    u32::try_from(now.saturating_sub(made) / 1000).ok()
}

// ---------------------------------------------------------------------------------------------------- protobuf

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    if rest.is_empty() {
        return None;
    }
    let tag = varint(rest);
    let value = match tag & 7 {
        0 => Value::Number(varint(rest)),
        2 => {
            let length = usize::try_from(varint(rest)).expect("a length");
            let (bytes, after) = rest.split_at(length);
            *rest = after;
            Value::Bytes(bytes)
        }
        other => panic!("no event has a field of wire type {other}"),
    };
    Some((u32::try_from(tag >> 3).expect("a field number"), value))
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for (place, byte) in rest.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *rest = &rest[place + 1..];
            return value;
        }
    }
    panic!("a number is cut off");
}

// ------------------------------------------------------------------------------------------------------ HTTP/2

/// Appends a frame's head.
pub fn put_frame_header(out: &mut impl BufMut, length: usize, kind: u8, flags: u8, stream: u32) {
    out.put_uint(length as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
}

/// Everything that a connection sends before it only reads.
fn opening(address: SocketAddr, streams: usize, request: &proto::SubscribeRequest) -> Bytes {
    let mut out = BytesMut::from(PREFACE);
    put_frame_header(&mut out, 12, SETTINGS, 0, 0);
    out.put_u16(0x4); // initial window of streams
    out.put_u32(WINDOW);
    out.put_u16(0x2); // no server push
    out.put_u32(0);
    put_frame_header(&mut out, 4, WINDOW_UPDATE, 0, 0);
    out.put_u32(WINDOW - DEFAULT_WINDOW);

    for number in 0..streams {
        put_request(&mut out, address, number, request);
    }
    out.freeze()
}

/// Appends the call that opens a connection's stream `number`.
fn put_request(
    out: &mut BytesMut,
    address: SocketAddr,
    number: usize,
    request: &proto::SubscribeRequest,
) {
    let mut head = BytesMut::new();
    head.put_u8(0x83); // :method POST
    head.put_u8(0x86); // :scheme http
    let mut literal = |name: &[u8], value: &str| {
        head.put_slice(name);
        head.put_u8(u8::try_from(value.len()).expect("short"));
        head.put_slice(value.as_bytes());
    };
    literal(&[0x04], "/quarterdeck.v1.GatewayService/Subscribe");
    literal(&[0x01], &address.to_string());
    literal(&[0x0f, 0x10], "application/grpc");
    literal(b"\x00\x02te", "trailers");

    let message = request.encode_to_vec();
    let stream = u32::try_from(number * 2 + 1).expect("few streams");
    put_frame_header(out, head.len(), HEADERS, END_HEADERS, stream);
    out.put_slice(&head);
    put_frame_header(out, message.len() + 5, DATA, END_STREAM, stream);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).expect("short"));
    out.put_slice(&message);
}

async fn write_all(socket: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        socket.writable().await.expect("the connection stands");
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "the connection stands"),
        }
    }
}

async fn read(socket: Rc<TcpStream>, counts: Rc<Counts>) {
    let mut streams: HashMap<u32, Stream> = HashMap::new();
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        buffer.reserve(READ_BYTES);
        socket.readable().await.expect("the connection stands");
        match socket.try_read_buf(&mut buffer) {
            Ok(read) => assert!(read > 0, "the server closed the connection"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "the connection stands"),
        }
        let mut at = 0;
        while let Some(frame) = whole_frame(&buffer[at..]) {
            let (kind, flags) = (frame[3], frame[4]);
            let stream = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
            let payload = &frame[FRAME_HEADER..];
            match kind {
                DATA => streams.entry(stream).or_default().data(payload, &counts),
                SETTINGS if flags & ACK == 0 => answer(&socket, SETTINGS, &[]).await,
                PING if flags & ACK == 0 => answer(&socket, PING, payload).await,
                RST_STREAM | GOAWAY => panic!("the server ended it: frame {kind}, {payload:?}"),
                HEADERS if flags & END_STREAM != 0 => {
                    panic!("the server ended a stream: {payload:?}")
                }
                _ => {}
            }
            at += frame.len();
        }
        let _ = buffer.split_to(at);
        if counts.reached() {
            counts.changed.notify_one();
        }
    }
}

async fn answer(socket: &TcpStream, kind: u8, payload: &[u8]) {
    let mut out = BytesMut::new();
    put_frame_header(&mut out, payload.len(), kind, ACK, 0);
    out.put_slice(payload);
    write_all(socket, &out).await;
}

fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(..3)?;
    let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
    bytes.get(..FRAME_HEADER + length)
}

// === impl Stream ===

impl Stream {
    /// Takes a DATA payload, which may hold parts of messages.
    fn data(&mut self, payload: &[u8], counts: &Counts) {
        if self.part.is_empty() {
            let left = messages(payload, counts);
            self.part.extend_from_slice(left);
        } else {
            self.part.extend_from_slice(payload);
            let whole = std::mem::take(&mut self.part);
            self.part.extend_from_slice(messages(&whole, counts));
        }
    }
}

/// Counts the whole messages at the start; returns what is left.
fn messages<'a>(mut bytes: &'a [u8], counts: &Counts) -> &'a [u8] {
    while let Some(head) = bytes.get(..5) {
        assert_eq!(head[0], 0, "nothing is compressed");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some(message) = bytes.get(5..5 + length) else {
            break;
        };
        counts.count(message);
        bytes = &bytes[5 + length..];
    }
    bytes
}
