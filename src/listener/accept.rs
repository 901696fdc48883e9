//! The accept loop of one listening socket: takes a slot, then a connection, and deals it to a serving runtime.
//!
//! It never waits for a peer: handshakes are the connections' own. Nor does it end before it is told to.

use super::{
    connection::{Server, Terms},
    hosts::Hosts,
    per_address::{PerAddress, Place},
    socket::Accepted,
    tls::Tls,
    unix::{BoundSocket, SocketFile},
};
use crate::telemetry::metrics::{self, Counted};
use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
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
pub(super) async fn accept(listening: Listening, max_connections: usize, reception: Reception) {
    let slots = Arc::new(Semaphore::new(max_connections));
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
    let mut begin = |slot: OwnedSemaphorePermit, accepted: Accepted| {
        let Some((terms, place)) = policy.terms(&accepted) else {
            return;
        };
        let (server, handle) = next.next().expect("there is at least one runtime");
        let server = server.clone();
        let connection = async move {
            let _open = Counted::one(&metrics::get().connections_open);
            server.serve(accepted, terms).await;
            drop((slot, place));
        };
        tasks.spawn_on(connection, handle);
    };
    let full = Seldom::default();
    let accepting = async {
        loop {
            let slot = take_slot(&slots, &full).await;
            begin(slot, open.next_connection().await);
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
    while let Ok(slot) = slots.clone().try_acquire_owned()
        && let Ok(accepted) = listening.accept()
        && accepted.set_nonblocking().is_ok()
    {
        begin(slot, accepted);
    }
}

async fn take_slot(slots: &Arc<Semaphore>, full: &Seldom) -> OwnedSemaphorePermit {
    if slots.available_permits() == 0 && full.is_due() {
        tracing::warn!("max_connections is reached; further connections wait");
    }
    let slot = slots.clone().acquire_owned().await;
    slot.expect("the semaphore is never closed")
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
    fn terms(&self, accepted: &Accepted) -> Option<(Terms, Option<Place>)> {
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
        let Some(place) = self.per_address.take(address) else {
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
        Some((terms, Some(place)))
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
