//! Where there is no epoll: each socket is read when the turn of its task has come, and the time of arrival is that of
//! the read. The same face as `reader`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::transport::moderation::{Moderation, Pressing};
use crate::transport::stamped::{Arrival, Piece, READ, Shared, Tick};
use crate::transport::wire::Clock;

/// Nothing but the face: sockets are read by their tasks, and nobody looks at many.
#[derive(Debug)]
pub(super) struct Reader(Arc<Moderation>);

impl Reader {
    pub(super) fn start(_: bool, moderation: Arc<Moderation>) -> io::Result<Arc<Reader>> {
        Ok(Arc::new(Reader(moderation)))
    }

    pub(super) fn bind(
        _: &Arc<Reader>,
        stream: TcpStream,
        _: bool,
        ledger: &Shared,
    ) -> io::Result<Bound> {
        Ok(Bound {
            stream,
            ledger: ledger.clone(),
        })
    }

    /// Not known here.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        Vec::new()
    }

    pub(super) fn tend(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn look(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn press(&self) -> Pressing {
        self.0.press()
    }

    pub(super) fn moderate(&self, allowed: bool) {
        self.0.allow(allowed);
    }
}

/// A socket.
#[derive(Debug)]
pub(super) struct Bound {
    stream: TcpStream,
    ledger: Shared,
}

impl Bound {
    pub(super) fn clock(&self) -> Clock {
        Clock::Read
    }

    /// Reads once, where nothing waits to be taken.
    pub(super) fn tend(&self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.ledger.lock().is_empty() {
            match self.stream.poll_read_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            let mut bytes = [0; READ];
            match self.stream.try_read(&mut bytes) {
                Ok(0) => self.ledger.lock().put_end(None),
                Ok(n) => {
                    let read = Instant::now();
                    self.ledger.lock().put(Piece {
                        bytes: bytes[..n].into(),
                        arrival: Arrival { at: read, read },
                        stampless: false,
                        clamped: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.ledger.lock().put_end(Some(error)),
            }
        }
        Ok(())
    }

    pub(super) fn resume(&self) {}

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
