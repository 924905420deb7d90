//! A connection that knows when bytes came and when events left it: clocks are read at the socket calls.
//!
//! Shell: it sits right above the socket and reads the clocks. It must never change, hold back or look
//! at a byte.
//!
//! An event has left when the kernel took the last byte that was offered after it was handed over. Over
//! HTTP/1.1 these are its own bytes and whatever was handed over with it. Over HTTP/2 flow control may keep
//! bytes back that another stream's write seems to carry, so there the time is the earliest possible.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::mock::lateness::{Lateness, Streams};
use crate::mock::truth::{Truth, TruthLine};

/// A moment on both clocks: the steady one for distances, the wall clock for whoever compares.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub steady: Instant,
    pub wall: SystemTime,
}

impl Moment {
    pub fn now() -> Moment {
        Moment {
            steady: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

/// Microseconds of the wall clock since 1970.
pub fn micros(wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

/// What is known about a connection, by the socket below and the answers above.
#[derive(Debug)]
pub struct Line {
    last_read: Mutex<Moment>,
    /// Events handed over that have not left yet.
    pending: Mutex<Vec<Mark>>,
    lateness: Arc<Lateness>,
}

/// An event on its way to the socket.
#[derive(Debug)]
pub struct Mark {
    pub due: Instant,
    /// Whether it is an output event.
    pub output: bool,
    pub stream: Arc<Sent>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    pub fn new(lateness: Arc<Lateness>) -> Line {
        Line {
            last_read: Mutex::new(Moment::now()),
            pending: Mutex::default(),
            lateness,
        }
    }

    /// When bytes were read last.
    pub fn last_read(&self) -> Moment {
        *lock(&self.last_read)
    }

    /// Notes an event that is being handed over.
    pub fn hand_over(&self, mark: Mark) {
        lock(&self.pending).push(mark);
    }

    /// Everything that was handed over has left.
    fn left(&self, now: impl FnOnce() -> Moment) {
        let mut pending = lock(&self.pending);
        if pending.is_empty() {
            return;
        }
        let now = now();
        let late = |mark: &Mark| now.steady.saturating_duration_since(mark.due);
        self.lateness.add(pending.iter().map(late));
        for mark in pending.drain(..) {
            if mark.output {
                mark.stream.left(now, late(&mark));
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for mark in lock(&self.pending).drain(..) {
            mark.stream.cut();
        }
    }
}

/// A streamed answer, from its request until its last event has left; then its line of truth is written.
#[derive(Debug)]
pub struct Sent {
    line: Option<Mutex<TruthLine>>,
    truth: Option<Truth>,
    streams: Arc<Streams>,
}

impl Sent {
    /// Begins a stream. Its line is only kept where there is somebody to read it.
    pub fn begin(streams: Arc<Streams>, truth: Option<Truth>, line: TruthLine) -> Sent {
        streams.begin();
        Sent {
            line: truth.is_some().then(|| Mutex::new(line)),
            truth,
            streams,
        }
    }

    fn left(&self, now: Moment, late: Duration) {
        if let Some(line) = &self.line {
            lock(line).left(micros(now.wall), late);
        }
    }

    /// All of it was handed over.
    pub fn complete(&self) {
        if let Some(line) = &self.line {
            lock(line).whole = true;
        }
    }

    fn cut(&self) {
        if let Some(line) = &self.line {
            lock(line).whole = false;
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.streams.end();
        if let (Some(line), Some(truth)) = (&self.line, &self.truth) {
            truth.add(std::mem::take(&mut *lock(line)));
        }
    }
}

/// The socket of a line.
#[derive(Debug)]
pub struct Stamped<S> {
    socket: S,
    line: Arc<Line>,
}

impl<S> Stamped<S> {
    pub fn new(socket: S, line: Arc<Line>) -> Stamped<S> {
        Stamped { socket, line }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stamped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            *lock(&self.line.last_read) = Moment::now();
        }
        Poll::Ready(Ok(()))
    }
}

/// Not vectored on purpose: an event is short, so one copy is cheaper than a list of its parts, and what is
/// offered at once is then everything that was handed over.
impl<S: AsyncWrite + Unpin> AsyncWrite for Stamped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        if taken == bytes.len() {
            self.line.left(Moment::now);
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
