//! Sockets: the accept loop, the bounds of a connection, the serving runtimes, and their end.
//!
//! One task accepts and deals connections in turn to the serving runtimes, each a current-thread runtime on a thread of
//! its own; a connection lives on one of them, so all of its readers wake before it is written to. Behind the accepted
//! sockets stands a router; HTTP/2 (with prior knowledge) and HTTP/1.1 share the port.
//!
//! A peer that is slow, silent or hostile costs one of `max_connections` slots for a bounded time and no more. Where all
//! slots are taken further connections wait in the kernel's queue.
//! Left out: TLS, and anything about what is served.

mod coalesce;
mod connection;
mod runtimes;

pub use connection::{PeerAddress, RuntimeIndex};

use crate::telemetry::metrics::{self, Counted};
use axum::Router;
use runtimes::Runtimes;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpSocket, TcpStream},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections that the kernel keeps ready while we accept others, or have no slot.
const BACKLOG: u32 = 1024;
/// Rest after a failed accept; out of descriptors, it fails again at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Where to listen, and how much to take.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Port 0 takes a free one; [`Listener::local_addr`] tells it.
    pub address: SocketAddr,
    /// Connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Runtimes that connections are dealt to, at least 1.
    pub serve_threads: usize,
}

/// What a single connection may do. The defaults suit every deployment; tests shorten the times.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Time to tell the protocol, and of HTTP/1.1 to send the head of each request.
    pub handshake: Duration,
    /// Time without a call after which the connection is ended with GOAWAY.
    pub idle: Duration,
    /// Time without a byte after which the peer is asked for a sign of life.
    pub ping_interval: Duration,
    /// Time that it has to give one.
    pub ping_timeout: Duration,
    /// Calls at a time; more wait in the client.
    pub streams: u32,
}

/// A bound socket that is not served yet; the kernel queues its connections.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
    options: ListenerOptions,
    bounds: Bounds,
}

/// A listener that is served. Dropping it cuts everything; [`Serving::stop`] ends it in order.
#[derive(Debug)]
pub struct Serving {
    runtimes: Runtimes,
    signals: Signals,
    /// The accept loop and every connection.
    tasks: TaskTracker,
}

/// What connections are told at the end.
#[derive(Clone, Debug, Default)]
struct Signals {
    /// Take nothing new, end what is there.
    drain: CancellationToken,
    /// Cut what is left.
    kill: CancellationToken,
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(30 * 60),
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(30),
            streams: 1024,
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Binds the address.
    pub async fn bind(options: ListenerOptions) -> io::Result<Self> {
        let socket = match options.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart must not wait for the old connections' TIME_WAIT. Two servers still can't share the port.
        socket.set_reuseaddr(true)?;
        socket.bind(options.address)?;
        // Taken off this runtime: the accept loop runs on one of the serving ones.
        let socket = socket.listen(BACKLOG)?.into_std()?;
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            options,
            bounds: Bounds::default(),
        })
    }

    /// Replaces the bounds of connections.
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the runtimes and accepts. `router` is called once per runtime, inside it, with the runtime's index, which
    /// each request carries too, as [`RuntimeIndex`].
    pub fn serve(self, router: impl Fn(usize) -> Router + Send + Sync + 'static) -> Serving {
        let runtimes = Runtimes::start(self.options.serve_threads.max(1));
        let signals = Signals::default();
        let tasks = TaskTracker::new();
        let shared = Arc::new(self.bounds);
        let servers: Vec<connection::Server> = runtimes
            .handles()
            .iter()
            .enumerate()
            .map(|(index, handle)| {
                let _inside = handle.enter();
                connection::Server {
                    router: router(index),
                    index: RuntimeIndex(index),
                    bounds: shared.clone(),
                    signals: signals.clone(),
                }
            })
            .collect();
        let accept = accept(
            self.socket,
            Arc::new(Semaphore::new(self.options.max_connections)),
            servers
                .into_iter()
                .zip(runtimes.handles().to_vec())
                .collect(),
            signals.drain.clone(),
            tasks.clone(),
        );
        tasks.spawn_on(accept, &runtimes.handles()[0]);
        Serving {
            runtimes,
            signals,
            tasks,
        }
    }
}

/// Accepts until told to stop, and then what waits in the kernel's queue.
async fn accept(
    socket: std::net::TcpListener,
    slots: Arc<Semaphore>,
    servers: Vec<(connection::Server, Handle)>,
    drain: CancellationToken,
    tasks: TaskTracker,
) {
    let socket = tokio::net::TcpListener::from_std(socket)
        .expect("a listening socket registers with the runtime that it is served on");
    let mut next = servers.iter().cycle();
    let mut begin = |slot: OwnedSemaphorePermit, stream: std::net::TcpStream, peer: SocketAddr| {
        let (server, handle) = next.next().expect("there is at least one runtime");
        let server = server.clone();
        let connection = async move {
            let _open = Counted::one(&metrics::get().connections_open);
            match here(stream) {
                Ok(stream) => server.serve(stream, peer).await,
                Err(error) => tracing::warn!(%peer, "connection from {peer} is lost: {error}"),
            }
            drop(slot);
        };
        tasks.spawn_on(connection, handle);
    };
    let accepting = async {
        loop {
            let slot = take_slot(&slots).await;
            let (stream, peer) = next_connection(&socket).await;
            begin(slot, stream, peer);
        }
    };
    tokio::select! {
        () = drain.cancelled() => {}
        () = accepting => {}
    }
    // Who connected already is told to go elsewhere; closing the socket would reset the connection instead. Asked of the
    // kernel itself: the runtime may not have heard of the newest ones yet.
    let Ok(socket) = socket.into_std() else {
        return;
    };
    while let Ok(slot) = slots.clone().try_acquire_owned()
        && let Ok((stream, peer)) = socket.accept()
        && stream.set_nonblocking(true).is_ok()
    {
        begin(slot, stream, peer);
    }
}

async fn take_slot(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    if slots.available_permits() == 0 {
        tracing::warn!("max_connections is reached; further connections wait");
    }
    let slot = slots.clone().acquire_owned().await;
    slot.expect("the semaphore is never closed")
}

async fn next_connection(socket: &tokio::net::TcpListener) -> (std::net::TcpStream, SocketAddr) {
    loop {
        let accepted = match socket.accept().await {
            // Off this runtime, for the one that serves it.
            Ok((stream, peer)) => stream.into_std().map(|stream| (stream, peer)),
            Err(error) => Err(error),
        };
        match accepted {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!("accept failed, goes on: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Registers an accepted stream with the runtime that this runs on.
fn here(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    // Frames are gathered by us; the kernel must not wait for more.
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

// === impl Serving ===

impl Serving {
    /// One handle per runtime, in order of [`RuntimeIndex`], to spawn what must live beside its connections.
    pub fn runtimes(&self) -> &[Handle] {
        self.runtimes.handles()
    }

    /// Closes the listening socket, sends GOAWAY, waits up to `grace` for calls to end, cuts the rest, and ends the
    /// runtimes with all that was spawned on them. Streams that should end with a reason must be ended by their owner.
    pub async fn stop(self, grace: Duration) {
        self.signals.drain.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::info!(
                "{} connections are cut at the end of the grace time",
                self.tasks.len()
            );
        }
        self.signals.kill.cancel();
        self.tasks.wait().await;
        self.runtimes.stop().await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.signals.drain.cancel();
        self.signals.kill.cancel();
    }
}
