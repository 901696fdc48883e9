//! The accept loop of one listening socket: takes a slot, then a connection, and deals it to a serving runtime.
//!
//! It never waits for a peer: handshakes are the connections' own. Nor does it end before it is told to.

use super::{
    connection::{Server, Terms},
    hosts::Hosts,
    per_address::{Counted, PerAddress},
    places::{Place, Places},
    socket::Accepted,
    tls::Tls,
    unix::{BoundSocket, SocketFile},
};
use crate::telemetry::metrics;
use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{runtime::Handle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Rest after a failed accept; out of descriptors, it fails again at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Time between two log lines about the same bound.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A listening socket that belongs to no runtime.
pub(super) enum Listening {
    /// The network's.
    Tcp(std::net::TcpListener),
    /// This machine's.
    Unix(BoundSocket),
}

/// What accept loops share.
#[derive(Clone)]
pub(super) struct Reception {
    pub(super) policy: Arc<Policy>,
    pub(super) servers: Arc<[(Server, Handle)]>,
    pub(super) drain: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// On which terms connections from the network are served.
pub(super) struct Policy {
    /// The address that is listened at.
    pub(super) bound: IpAddr,
    pub(super) tls: Option<Arc<Tls>>,
    /// Names of us, besides those of the certificate.
    pub(super) allowed_hosts: Arc<[String]>,
    pub(super) per_address: Arc<PerAddress>,
    /// Somebody has all the connections that an address may have.
    pub(super) full: Seldom,
}

/// A listening socket on the runtime that accepts.
enum Open {
    Tcp(tokio::net::TcpListener),
    /// With its file, which goes when nothing is accepted any more.
    Unix(tokio::net::UnixListener, SocketFile),
}

/// Lets a log line through once in a while.
#[derive(Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

/// Accepts until told to stop, and then what waits in the kernel's queue.
pub(super) async fn accept(listening: Listening, places: Arc<Places>, reception: Reception) {
    let open = listening
        .open()
        .expect("a listening socket registers with the runtime that it is served on");
    let Reception {
        policy,
        servers,
        drain,
        tasks,
    } = reception;
    let mut next = servers.iter().cycle();
    let mut begin = |place: Place, accepted: Accepted| {
        let Some((terms, counted)) = policy.terms(&accepted, &places) else {
            return;
        };
        let (server, handle) = next.next().expect("there is at least one runtime");
        let server = server.clone();
        let connection = async move {
            let _open = metrics::Counted::one(&metrics::get().connections_open);
            server.serve(accepted, terms, &place).await;
            drop((place, counted));
        };
        tasks.spawn_on(connection, handle);
    };
    let full = Seldom::default();
    let warn = || {
        if full.is_due() {
            tracing::warn!(
                "max_connections is reached; the oldest anonymous connections give way, others wait"
            );
        }
    };
    // Accepted, and without a place yet.
    let mut waiting = None;
    let accepting = async {
        loop {
            let accepted = waiting.insert(open.next_connection().await);
            let place = places.take(accepted.address(), warn).await;
            begin(place, waiting.take().expect("it was put there above"));
        }
    };
    tokio::select! {
        () = drain.cancelled() => {}
        () = accepting => {}
    }
    // Who connected already is told to go elsewhere; closing the socket would reset the connection instead. Asked of the
    // kernel itself: the runtime may not have heard of the newest ones yet.
    let Ok(listening) = open.close() else {
        return;
    };
    let mut next = || {
        waiting.take().or_else(|| {
            let accepted = listening.accept().ok()?;
            accepted.set_nonblocking().ok()?;
            Some(accepted)
        })
    };
    while let Some(accepted) = next()
        && let Some(place) = places.try_take(accepted.address())
    {
        begin(place, accepted);
    }
}

// === impl Listening ===

impl Listening {
    fn open(self) -> io::Result<Open> {
        Ok(match self {
            Self::Tcp(socket) => Open::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Self::Unix(BoundSocket { listener, file }) => {
                Open::Unix(tokio::net::UnixListener::from_std(listener)?, file)
            }
        })
    }

    fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => {
                let (stream, address) = socket.accept()?;
                Ok(Accepted::Tcp(stream, address))
            }
            Self::Unix(BoundSocket { listener, file: _ }) => {
                let (stream, _) = listener.accept()?;
                Ok(Accepted::Unix(stream))
            }
        }
    }
}

// === impl Policy ===

impl Policy {
    /// The terms, and the connection's place among those of its address; `None` where it is to be closed.
    fn terms(&self, accepted: &Accepted, places: &Places) -> Option<(Terms, Option<Counted>)> {
        let (stream, address) = match accepted {
            Accepted::Tcp(stream, address) => (stream, address.ip()),
            Accepted::Unix(_) => {
                let terms = Terms {
                    certified: None,
                    hosts: None,
                };
                return Some((terms, None));
            }
        };
        let counted = self.per_address.take(address).or_else(|| {
            // One that goes in a moment counts until then.
            let gives_way = places.evict_of(address);
            gives_way.then(|| self.per_address.take_beyond(address))
        });
        let Some(counted) = counted else {
            if self.full.is_due() {
                tracing::warn!(
                    %address,
                    "max_connections_per_address is reached by {address}; its further connections are closed"
                );
            }
            return None;
        };
        let certified = self.tls.as_ref().map(|tls| tls.current());
        let certificate = certified.as_ref().map(|it| it.names.clone());
        let hosts = Hosts {
            bound: self.bound,
            local: stream.local_addr().map_or(self.bound, |local| local.ip()),
            allowed: self.allowed_hosts.clone(),
            certificate: certificate.unwrap_or_default(),
        };
        let terms = Terms {
            certified,
            hosts: Some(hosts),
        };
        Some((terms, Some(counted)))
    }
}

// === impl Open ===

impl Open {
    async fn next_connection(&self) -> Accepted {
        loop {
            match self.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!("accept failed, goes on: {error}");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// The next connection, taken off this runtime for the one that serves it.
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                Ok(Accepted::Tcp(stream.into_std()?, address))
            }
            Self::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                Ok(Accepted::Unix(stream.into_std()?))
            }
        }
    }

    fn close(self) -> io::Result<Listening> {
        Ok(match self {
            Self::Tcp(socket) => Listening::Tcp(socket.into_std()?),
            Self::Unix(socket, file) => {
                let listener = socket.into_std()?;
                Listening::Unix(BoundSocket { listener, file })
            }
        })
    }
}

// === impl Seldom ===

impl Seldom {
    pub(super) fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self.0.lock().expect("nothing panics while it is held");
        let due = last.is_none_or(|last| now >= last + LOG_INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}
