//! The bytes of a connection: plain, encrypted, or of the unix socket.

use super::{
    peer::{Peer, PeerTls},
    tls::Certified,
    unix,
};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Time that a peer has to close its side once its connection has ended.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// An accepted socket that belongs to no runtime yet.
pub(super) enum Accepted {
    /// Over the network.
    Tcp(std::net::TcpStream, SocketAddr),
    /// Over the unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// What a connection reads and writes. One type for all, so that the protocol's code is there once.
pub(super) enum Socket {
    /// As it is.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// Within this machine.
    Unix(UnixStream),
}

/// Reads until the peer has closed too. A socket that is closed with bytes unread resets the connection, and a reset
/// may take back the last answers, or the reason of a refusal, before the peer has read them.
pub(super) async fn linger(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let mut unread = [0; 1024];
    let read = async {
        while io.shutdown().await.is_ok() && io.read(&mut unread).await.is_ok_and(|n| n > 0) {}
    };
    // One that goes on sending is cut.
    let _ = tokio::time::timeout(LINGER_MAX, read).await;
}

// === impl Accepted ===

impl Accepted {
    /// Where it comes from; `None` over the unix socket.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Must be told before a socket is taken off one runtime and registered with another.
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    /// Registers the socket with the runtime that this runs on and shakes hands. The time is the caller's to bound.
    pub(super) async fn open(self, certified: Option<&Certified>) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(stream, address) => {
                // Frames are gathered by us; the kernel must not wait for more.
                stream.set_nodelay(true)?;
                let stream = TcpStream::from_std(stream)?;
                let Some(certified) = certified else {
                    return Ok((Socket::Tcp(stream), Peer::Tcp { address, tls: None }));
                };
                let acceptor = TlsAcceptor::from(certified.config.clone());
                let stream = match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => Box::new(stream),
                    Err((error, stream)) => {
                        linger(stream).await;
                        return Err(error);
                    }
                };
                let certificates = stream.get_ref().1.peer_certificates();
                let tls = PeerTls {
                    certificates: certificates.unwrap_or_default().to_vec(),
                };
                let peer = Peer::Tcp {
                    address,
                    tls: Some(tls),
                };
                Ok((Socket::Tls(stream), peer))
            }
            Self::Unix(stream) => {
                let stream = UnixStream::from_std(stream)?;
                let credentials = stream.peer_cred()?;
                let peer = Peer::Unix {
                    uid: credentials.uid(),
                    gid: credentials.gid(),
                    pid: credentials.pid(),
                    started_here: unix::is_started_here(credentials.pid()),
                };
                Ok((Socket::Unix(stream), peer))
            }
        }
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(_, address) => address.fmt(f),
            Self::Unix(_) => f.write_str("the unix socket"),
        }
    }
}

// === impl Socket ===

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
