//! What stands between a client and its server: a TCP proxy that cuts, mutes, stalls and delays.
//!
//! Its port stays the same when the server behind it comes back at another one. A scenario says what it does to the
//! connections that are open; new ones are passed on as if nothing had happened, unless it says otherwise.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// A connection that is to be cut gets once, twice … this many times the bytes, then once again: a client that takes
/// whole frames alone must come on, too, and frames have up to 16 KiB.
const CUT_ROUND: u64 = 5;
/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Silence after which nothing more is on its way.
const QUIET: Duration = Duration::from_millis(1000);
/// Longest wait for silence.
const QUIET_WAIT: Duration = Duration::from_secs(40);

/// What happens to a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are passed on.
    Pass,
    /// The client's are passed on, the server's are thrown away.
    Mute,
    /// Neither side's are taken any more; the connection stays open.
    Stall,
    /// Both sides see a reset.
    Cut,
}

/// A proxy, gone with its value.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    /// One for each connection that was accepted.
    connections: Mutex<Vec<watch::Sender<Mode>>>,
    /// New connections are reset at once.
    refusing: Mutex<bool>,
    /// Bytes of the server after which the first connection of a round is cut; 0 cuts none.
    cut_every: AtomicU64,
    /// Connections that were accepted.
    accepted: AtomicU64,
    /// Wait before each chunk of the server's, in milliseconds.
    delay_ms: AtomicU64,
    /// Bytes of the server that went to the client.
    passed: AtomicU64,
}

// === impl Proxy ===

impl Proxy {
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            connections: Mutex::default(),
            refusing: Mutex::new(false),
            cut_every: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            delay_ms: AtomicU64::new(0),
            passed: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            task,
        }
    }

    /// Where new connections go.
    pub fn aim(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("no panic") = target;
    }

    /// Resets the open connections.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Does this to the open connections.
    pub fn set(&self, mode: Mode) {
        for connection in &*self.shared.connections.lock().expect("no panic") {
            connection.send_replace(mode);
        }
    }

    /// Resets new connections at once, or no longer.
    pub fn refuse(&self, refusing: bool) {
        *self.shared.refusing.lock().expect("no panic") = refusing;
    }

    /// Cuts each new connection after some times this many bytes of the server; 0 stops that.
    pub fn cut_every(&self, bytes: u64) {
        self.shared.cut_every.store(bytes, Ordering::Relaxed);
    }

    /// Waits before each chunk of the server's.
    pub fn delay(&self, wait_ms: u64) {
        self.shared.delay_ms.store(wait_ms, Ordering::Relaxed);
    }

    /// Bytes of the server that went to the client so far.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }

    /// Waits until nothing flows any more; tells how many bytes of the server went to the client in all.
    pub async fn quiet(&self) -> Result<u64, String> {
        let deadline = Instant::now() + QUIET_WAIT;
        let mut last = self.passed();
        while Instant::now() < deadline {
            sleep(QUIET).await;
            let now = self.passed();
            if now == last {
                return Ok(now);
            }
            last = now;
        }
        Err(format!("the client still takes bytes: {last} by now"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if *shared.refusing.lock().expect("no panic") {
            reset(&client);
            continue;
        }
        let (mode, watched) = watch::channel(Mode::Pass);
        {
            let mut connections = shared.connections.lock().expect("no panic");
            connections.retain(|connection| connection.receiver_count() > 0);
            connections.push(mode);
        }
        tokio::spawn(connection(client, shared.clone(), watched));
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>, mode: watch::Receiver<Mode>) {
    let target = *shared.target.lock().expect("no panic");
    let Ok(server) = TcpStream::connect(target).await else {
        reset(&client);
        return;
    };
    for side in [&client, &server] {
        // Gone already is fine.
        let _ = side.set_nodelay(true);
        // Dropped, it sends RST in place of FIN: a cut, not an end.
        reset(side);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let upward = pass(from_client, to_server, mode.clone(), None);
    let downward = pass(from_server, to_client, mode, Some(&shared));
    // The first end of either side ends both.
    tokio::select! {
        () = upward => {}
        () = downward => {}
    }
}

/// Passes on until an end or a cut; `shared` where the bytes are the server's.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    shared: Option<&Shared>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let cut_after = shared.map_or(0, |shared| {
        let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
        shared.cut_every.load(Ordering::Relaxed) * (1 + number % CUT_ROUND)
    });
    let mut passed = 0;
    loop {
        let now = *mode.borrow_and_update();
        let length = match now {
            Mode::Cut => return,
            Mode::Stall => {
                if mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Mode::Pass | Mode::Mute => tokio::select! {
                length = from.read(&mut chunk) => length,
                changed = mode.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            },
        };
        let Ok(mut length @ 1..) = length else { return };
        let Some(shared) = shared else {
            if to.write_all(&chunk[..length]).await.is_err() {
                return;
            }
            continue;
        };
        if *mode.borrow() == Mode::Mute {
            continue;
        }
        let delay_ms = shared.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            sleep(Duration::from_millis(delay_ms)).await;
        }
        if cut_after > 0 {
            length = length.min(usize::try_from(cut_after - passed).expect("a few kilobytes"));
        }
        // A client that takes nothing must not keep a cut from it.
        let written = tokio::select! {
            written = to.write_all(&chunk[..length]) => written.is_ok(),
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => false,
        };
        passed += length as u64;
        shared.passed.fetch_add(length as u64, Ordering::Relaxed);
        if !written || cut_after > 0 && passed >= cut_after {
            return;
        }
    }
}

fn reset(stream: &TcpStream) {
    // Gone already is fine.
    let _ = stream.set_zero_linger();
}
