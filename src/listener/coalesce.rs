//! IO that gathers the writes of one turn of a connection and gives them to the socket at its end, at once.
//!
//! HTTP/2 flushes after every DATA frame of 256 bytes or more, one system call each; with many readers on a connection
//! those calls are most of the cost of a delivery. So while the connection is polled a flush does nothing, and after
//! the poll one write takes all. There is no flusher task and no timer: what is written while idle leaves at once.

use bytes::{Buf, BytesMut};
use std::{
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes gathered before they go to the socket within a turn: the back-pressure of a connection.
const BUFFER_MAX_BYTES: usize = 256 * 1024;
/// Capacity that an idle connection may keep.
const IDLE_BUFFER_MAX_BYTES: usize = 16 * 1024;
/// A buffer is given back when a turn used less than this part of it: a busy one would only be allocated again.
const WORTH_KEEPING: usize = 8;

/// A clone is held by the connection and one by its driver; the lock is only ever taken by one thread.
pub(super) struct Coalesce<S>(Arc<Mutex<Inner<S>>>);

struct Inner<S> {
    socket: S,
    /// Written by the connection, not yet by us.
    out: BytesMut,
    /// The connection is being polled: its flushes wait for the end of the turn.
    in_turn: bool,
    /// The socket was given bytes since its last flush. TLS keeps what its own socket does not take at once.
    unflushed: bool,
    /// Bytes read so far, to tell a peer that has said nothing.
    received: u64,
}

// === impl Coalesce ===

impl<S> Clone for Coalesce<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Coalesce<S> {
    pub(super) fn new(socket: S) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            socket,
            out: BytesMut::new(),
            in_turn: false,
            unflushed: false,
            received: 0,
        })))
    }

    /// Bytes read so far.
    pub(super) fn received(&self) -> u64 {
        self.lock().received
    }

    /// Drives `connection`, which writes to a clone of this: a turn is one poll.
    pub(super) async fn drive<F: Future>(&self, connection: F) -> F::Output {
        let mut connection = pin!(connection);
        std::future::poll_fn(|cx| {
            self.lock().in_turn = true;
            let polled = connection.as_mut().poll(cx);
            let mut inner = self.lock();
            inner.in_turn = false;
            // An error comes again with the connection's next read or write; pending wakes this task.
            let _ = inner.poll_drain(cx);
            polled
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Coalesce<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut inner.socket).poll_read(cx, buffer))?;
        inner.received += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Coalesce<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        if inner.out.len() >= BUFFER_MAX_BYTES {
            ready!(inner.poll_drain(cx))?;
        }
        let before = inner.out.len();
        for slice in slices {
            // Never less than one byte: `out` is below the bound here. One large slice is cut, not taken whole.
            let room = BUFFER_MAX_BYTES - inner.out.len();
            inner.out.extend_from_slice(&slice[..slice.len().min(room)]);
            if slice.len() >= room {
                break;
            }
        }
        Poll::Ready(Ok(inner.out.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if inner.in_turn {
            return Poll::Ready(Ok(()));
        }
        inner.poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_drain(cx))?;
        Pin::new(&mut inner.socket).poll_shutdown(cx)
    }
}

// === impl Inner ===

impl<S: AsyncWrite + Unpin> Inner<S> {
    /// Writes what was gathered. What the socket does not take stays, in order.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let used = self.out.len();
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.unflushed = true;
        }
        // Cleared, so that the next turn begins at the front of the same memory.
        self.out.clear();
        let capacity = self.out.capacity();
        if capacity > IDLE_BUFFER_MAX_BYTES && used < capacity / WORTH_KEEPING {
            self.out = BytesMut::new();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A socket that counts its writes.
    struct Counting<S> {
        socket: S,
        writes: Arc<AtomicUsize>,
    }

    impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.socket).poll_read(cx, buffer)
        }
    }

    impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
            self.writes.fetch_add(1, Ordering::SeqCst);
            Poll::Ready(Ok(written))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.socket).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.socket).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn the_writes_of_one_turn_leave_as_one() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let writes = Arc::new(AtomicUsize::new(0));
        let counting = Counting {
            socket: near,
            writes: writes.clone(),
        };
        let io = Coalesce::new(counting);
        let mut connection = io.clone();
        io.drive(async move {
            for _ in 0..50 {
                connection.write_all(&[7; 300]).await.unwrap();
                connection.flush().await.unwrap();
            }
        })
        .await;
        assert_eq!(writes.load(Ordering::SeqCst), 1);
        let mut read = vec![0; 50 * 300];
        far.read_exact(&mut read).await.unwrap();
        assert!(read.iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_gets_every_byte_in_order() {
        let (near, mut far) = tokio::io::duplex(1000);
        let io = Coalesce::new(near);
        let mut connection = io.clone();
        let sent: Vec<u8> = (0..3 * BUFFER_MAX_BYTES)
            .map(|at| (at % 251) as u8)
            .collect();
        let expected = sent.clone();
        let peer = tokio::spawn(async move {
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.unwrap();
            received
        });
        io.drive(async move {
            connection.write_all(&sent).await.unwrap();
            connection.shutdown().await.unwrap();
        })
        .await;
        assert!(
            peer.await.unwrap() == expected,
            "bytes came in another order"
        );
        assert!(io.lock().out.is_empty());
    }

    /// TLS is such a socket: it keeps ciphertext that its own socket does not take at once.
    #[tokio::test]
    async fn what_a_socket_keeps_for_itself_is_flushed_out_of_it() {
        let (near, mut far) = tokio::io::duplex(1000);
        let io = Coalesce::new(tokio::io::BufStream::new(near));
        let mut connection = io.clone();
        io.drive(async move { connection.write_all(&[7; 100]).await.unwrap() })
            .await;
        let mut read = [0; 100];
        let read = far.read_exact(&mut read);
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
        assert!(read.is_ok(), "the bytes stayed inside");
    }
}
