//! Sockets: the accept loops, the bounds of a connection, TLS, the serving runtimes, and their end.
//!
//! Tasks accept and deal connections in turn to the serving runtimes, each a current-thread runtime on a thread of its
//! own; a connection lives on one of them, so all of its readers wake before it is written to. Behind the accepted
//! sockets stands a router; HTTP/2 (with prior knowledge, or by ALPN) and HTTP/1.1 share the port. A unix socket is
//! served beside it, for its user alone.
//!
//! A peer that is slow, silent or hostile costs one of `max_connections` slots for a bounded time and no more, and all
//! peers of one address together no more than `max_connections_per_address`. Where all slots are taken the oldest
//! connection gives way over which nobody has been recognised ([`Standing`]), and where there is none further ones wait in
//! the kernel's queue; the unix socket has slots of its own, so that it always lets its user in.
//! A request that calls us by a foreign name is refused before anything else sees it.
//! Left out: who the peer is for the product ([`Peer`] says what is proven), and anything about what is served.

mod accept;
mod coalesce;
mod connection;
mod hosts;
mod peer;
mod per_address;
mod places;
mod runtimes;
mod served_at;
mod socket;
mod tls;
mod unix;
mod unread;

pub use connection::{ConnectionEnd, RefuseHost, RuntimeIndex};
pub use peer::{Peer, PeerTls, counted};
pub use places::Standing;
pub use served_at::ServedAt;
pub use tls::{TlsError, TlsOptions, check_tls};
pub use unix::UnixError;

use accept::{Listening, Policy, Reception, Seldom};
use axum::Router;
use connection::Misdirected;
use per_address::PerAddress;
use places::Places;
use runtimes::Runtimes;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tls::Tls;
use tokio::{net::TcpSocket, runtime::Handle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use unix::BoundSocket;

/// Connections that the kernel keeps ready while we accept others, or have no slot.
const BACKLOG: u32 = 1024;

/// Where to listen, and how much to take.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Port 0 takes a free one; [`Listener::local_addr`] tells it.
    pub address: SocketAddr,
    /// Encrypts what comes over the network.
    pub tls: Option<TlsOptions>,
    /// A socket of this machine besides.
    pub unix: Option<UnixOptions>,
    /// Names that requests may call us by, besides our addresses, `localhost` and those of the certificate; `*.` may
    /// stand for a first label.
    pub allowed_hosts: Vec<String>,
    /// Connections at a time; more wait in the kernel's queue, where no anonymous one gives way. The unix socket may have as
    /// many besides.
    pub max_connections: usize,
    /// Connections at a time from one address ([`counted`]); more are closed, where no anonymous one of it gives way. 0
    /// counts none.
    pub max_connections_per_address: usize,
    /// Runtimes that connections are dealt to, at least 1.
    pub serve_threads: usize,
}

/// Where the unix socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixOptions {
    /// Its file.
    pub path: PathBuf,
    /// Nobody asked for it: where its path is too long for a socket, it is left out with a warning.
    pub by_default: bool,
}

/// What a single connection may do. The defaults suit every deployment; tests shorten the times.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Time for TLS and the first word of the protocol together, and of HTTP/1.1 for the head of each request.
    pub handshake: Duration,
    /// Time without a call that was authenticated, as [`Standing::prove`] says, after which the connection is ended, and
    /// until which it gives way where places run out. `None` asks nobody who they are.
    pub first_call: Option<Duration>,
    /// Time without a call after which the connection is ended with GOAWAY.
    pub idle: Duration,
    /// Time without a byte after which the peer is asked for a sign of life.
    pub ping_interval: Duration,
    /// Time that it has to give one.
    pub ping_timeout: Duration,
    /// Calls at a time; more wait in the client.
    pub streams: u32,
    /// Age, a tenth more or less, at which a connection is told to make its next calls on a new one. `None` lets it grow
    /// old.
    pub age: Option<Duration>,
    /// Time that calls have to end on a connection that is told to go; it is cut then. `None` waits for them.
    pub age_grace: Option<Duration>,
    /// Time between two looks at the TLS files.
    pub reload: Duration,
}

/// Bound sockets that are not served yet; the kernel queues their connections.
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
    unix: Option<BoundSocket>,
    tls: Option<Tls>,
    options: ListenerOptions,
    bounds: Bounds,
    refuse_host: RefuseHost,
}

/// Why nothing is listened at.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not ours.
    #[error("can't listen on {address}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// Certificate, key or client CA.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The unix socket.
    #[error(transparent)]
    Unix(#[from] UnixError),
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

// === impl ListenerOptions ===

impl Default for ListenerOptions {
    /// A free port of loopback, plain, without a bound by address.
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            unix: None,
            allowed_hosts: Vec::new(),
            max_connections: 4096,
            max_connections_per_address: 0,
            serve_threads: 1,
        }
    }
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            first_call: None,
            idle: Duration::from_secs(10 * 60),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            streams: 256,
            age: Some(Duration::from_secs(30 * 60)),
            age_grace: Some(Duration::from_secs(5 * 60)),
            reload: Duration::from_secs(5),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Reads the TLS files and binds.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn bind(options: ListenerOptions) -> Result<Self, ListenError> {
        let tls = options.tls.clone().map(Tls::load).transpose()?;
        let address = options.address;
        let (socket, address) =
            bind_tcp(address).map_err(|error| ListenError::Address { address, error })?;
        let unix = match &options.unix {
            Some(UnixOptions { path, by_default }) => match BoundSocket::bind(path) {
                Ok(bound) => Some(bound),
                Err(error @ UnixError::TooLong(_)) if *by_default => {
                    tracing::warn!("there is no unix socket: {error}");
                    None
                }
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        Ok(Self {
            socket,
            address,
            unix,
            tls,
            options,
            bounds: Bounds::default(),
            refuse_host: |_, _| None,
        })
    }

    /// Gives those who call us by a foreign name their refusal in another form than plain HTTP.
    pub fn with_refused_hosts(mut self, refuse: RefuseHost) -> Self {
        self.refuse_host = refuse;
        self
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

    /// The unix socket's file.
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix.as_ref().map(|unix| unix.file.path())
    }

    /// What clients are given as the address.
    pub fn url(&self) -> String {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Starts the runtimes and accepts. `router` is called once per runtime, inside it, with the runtime's index, which
    /// each request carries too, as [`RuntimeIndex`]; beside it stands the [`Peer`].
    pub fn serve(self, router: impl Fn(usize) -> Router + Send + Sync + 'static) -> Serving {
        let Self {
            socket,
            address,
            unix,
            tls,
            options,
            bounds,
            refuse_host,
        } = self;
        let ListenerOptions {
            address: _,
            tls: _,
            unix: _,
            allowed_hosts,
            max_connections,
            max_connections_per_address,
            serve_threads,
        } = options;
        let runtimes = Runtimes::start(serve_threads.max(1));
        let signals = Signals::default();
        let tasks = TaskTracker::new();
        let first = &runtimes.handles()[0];
        let tls = tls.map(Arc::new);
        if let Some(tls) = &tls {
            // Ends with its runtime.
            first.spawn(tls.clone().keep_current(bounds.reload));
        }
        let asks_nobody = bounds.first_call.is_none();
        let bounds = Arc::new(bounds);
        let misdirected = Arc::new(Misdirected {
            refuse: refuse_host,
            log: Seldom::default(),
        });
        let servers = runtimes
            .handles()
            .iter()
            .enumerate()
            .map(|(index, handle)| {
                let _inside = handle.enter();
                let server = connection::Server {
                    router: router(index),
                    index: RuntimeIndex(index),
                    bounds: bounds.clone(),
                    signals: signals.clone(),
                    misdirected: misdirected.clone(),
                };
                (server, handle.clone())
            });
        let reception = Reception {
            policy: Arc::new(Policy {
                bound: address.ip(),
                tls,
                allowed_hosts: allowed_hosts.into(),
                per_address: PerAddress::new(max_connections_per_address),
                full: Seldom::default(),
            }),
            servers: servers.collect(),
            drain: signals.drain.clone(),
            tasks: tasks.clone(),
        };
        let listening = unix.map(Listening::Unix).into_iter();
        for listening in listening.chain([Listening::Tcp(socket)]) {
            // Who may open the socket's file is known by that.
            let asks_nobody = asks_nobody || matches!(listening, Listening::Unix(_));
            let places = Places::new(max_connections, asks_nobody);
            let accept = accept::accept(listening, places, reception.clone());
            tasks.spawn_on(accept, first);
        }
        Serving {
            runtimes,
            signals,
            tasks,
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the old connections' TIME_WAIT. Two servers still can't share the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Taken off this runtime: the accept loop runs on one of the serving ones.
    let socket = socket.listen(BACKLOG)?.into_std()?;
    let address = socket.local_addr()?;
    Ok((socket, address))
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
