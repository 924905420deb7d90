//! A TCP socket that knows when its bytes arrived: by the kernel's clock where there is one, else by ours.
//!
//! A time taken in user space is late by whatever the process was busy with. Linux stamps each segment on
//! arrival (SO_TIMESTAMPING, https://docs.kernel.org/networking/timestamping.html) and hands the stamp out
//! with the bytes. What such a stamp means for TCP:
//!
//! - A read has one stamp, that of the last segment it took from; the kernel joins segments that wait, and forgets the
//!   stamps of the earlier ones. They may have come sooner than told, never later. So [`Reader`] takes the bytes of all
//!   sockets out as they come, whatever the process does with them afterwards.
//! - A segment that overtook a lost one keeps its own stamp. The bytes behind the gap could be read only
//!   when the gap was filled, so stamps are never allowed to run backwards; if one read takes both, its
//!   stamp may be too early by the time of the repair.
//!
//! Must never give bytes the stamp of a later read: whoever takes them takes those of one read at a time, and is done
//! with them before the next.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::poll_proceed;

use crate::transport::reader::{Bound, Reader};
use crate::transport::wire::Clock;

/// How far a stamp may lie before the one before it without being counted: the age is the difference of two
/// clocks that are read one after the other.
const SLACK: Duration = Duration::from_micros(100);

/// The most that one read takes.
pub(super) const READ: usize = 8 * 1024;

/// As many bytes of a socket wait to be taken at most; what comes behind them waits in the kernel.
pub(super) const MOST_WAITING: usize = 256 * 1024;

/// Polls without a piece after each one, where streams share a connection: one that ends the turn in which it was given,
/// and one for each task on the way to whoever waits for it but the first. A body's waits itself; an answer's head goes
/// through a task of hyper's (`proto/h2/client.rs`, `SendWhen`). The runtime's queue is first in, first out.
const HOPS: u8 = 2;

/// When bytes arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// By the kernel where it said so, else as `read`.
    pub(super) at: Instant,
    /// When we had them.
    pub(super) read: Instant,
}

/// A moment at which something was there to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    pub due: Instant,
    /// How much later it was read.
    pub late: Duration,
    /// How long before it the last one was due.
    pub after: Duration,
}

/// What one read brought.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Box<[u8]>,
    pub(super) arrival: Arrival,
    /// The kernel was asked for its time and gave none.
    pub(super) stampless: bool,
    /// Its time was in the future.
    pub(super) clamped: bool,
}

/// How a socket's bytes ended.
#[derive(Debug)]
enum Ended {
    Closed,
    Broken(io::Error),
}

/// What was read and not taken yet.
#[derive(Debug, Default)]
struct Inbox {
    pieces: VecDeque<Piece>,
    bytes: usize,
    ended: Option<Ended>,
    waker: Option<Waker>,
}

/// What a socket has done. Shared between the socket, below TLS or deep inside of hyper, its reader, and whoever uses it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    inbox: Inbox,
    pub(super) latest: Option<Arrival>,
    /// Reads that brought bytes.
    pub(super) reads: u32,
    /// Of these, how many the kernel did not stamp.
    pub(super) stampless: u32,
    /// Of these, how many stamps could not be: in the future, or before the read before.
    pub(super) clamped: u32,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Right before the last write that took bytes: on a busy machine its return may be late, and the answer be
    /// there before it.
    written: Option<Instant>,
    /// Requests whose last byte is handed over and waits to be written.
    handed: Vec<Arc<OnceLock<Instant>>>,
    /// Something was written, and the beginning of the answer is waited for.
    awaited: bool,
    /// Whether pieces are given in turns of their own, and how many polls the next one has to wait for.
    turns: bool,
    hold: u8,
}

impl Ledger {
    /// From now on whoever is woken by what was in a piece runs before the next one is given, and finds its time: see
    /// [`HOPS`].
    pub(super) fn take_turns(&mut self) {
        self.turns = true;
    }

    /// Counts anew, for the next exchange.
    pub(super) fn begin(&mut self) {
        self.reads = 0;
        self.stampless = 0;
        self.clamped = 0;
        self.bytes_in = 0;
        self.bytes_out = 0;
        self.written = None;
    }

    /// The last byte of a request waits to be written: `sent` is set when it is.
    pub(super) fn hand(&mut self, sent: Arc<OnceLock<Instant>>) {
        self.handed.push(sent);
    }

    /// Right before the last write that took bytes.
    pub(super) fn written(&self) -> Option<Instant> {
        self.written
    }

    /// Keeps what the reader read. `true` where no more fits.
    pub(super) fn put(&mut self, piece: Piece) -> bool {
        self.inbox.bytes += piece.bytes.len() + size_of::<Piece>();
        self.inbox.pieces.push_back(piece);
        self.inbox.bytes >= MOST_WAITING
    }

    /// The reader has read the last byte, or can read no more.
    pub(super) fn put_end(&mut self, error: Option<io::Error>) {
        // What was said first is the cause.
        let ended = || error.map_or(Ended::Closed, Ended::Broken);
        self.inbox.ended.get_or_insert_with(ended);
    }

    /// Whether nothing more can come.
    #[cfg(target_os = "linux")]
    pub(super) fn has_ended(&self) -> bool {
        self.inbox.ended.is_some()
    }

    /// How much waits to be taken, with what it takes to keep it.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.inbox.bytes
    }

    /// Whoever waits for the bytes.
    #[cfg(target_os = "linux")]
    pub(super) fn waker(&mut self) -> Option<Waker> {
        self.inbox.waker.take()
    }

    /// Whether nothing waits to be taken, not even the end.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn is_empty(&self) -> bool {
        self.inbox.pieces.is_empty() && self.inbox.ended.is_none()
    }

    /// What one read has brought, or nothing where there is nothing more. Its second value says that the inbox was full
    /// and has room again.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<Box<[u8]>>, bool)> {
        let inbox = &mut self.inbox;
        if inbox.pieces.is_empty() && inbox.ended.is_none() {
            self.hold = self.hold.saturating_sub(1);
            match &mut inbox.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => inbox.waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        if self.hold > 0 {
            self.hold -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = inbox.pieces.pop_front() else {
            // What is broken is told once, and closed after that.
            let ended = inbox.ended.replace(Ended::Closed);
            return Poll::Ready(match ended {
                Some(Ended::Broken(error)) => (Err(error), false),
                _ => (Ok(Box::default()), false),
            });
        };
        let full = inbox.bytes >= MOST_WAITING;
        inbox.bytes -= piece.bytes.len() + size_of::<Piece>();
        let again = full && inbox.bytes < MOST_WAITING;
        self.hold = if self.turns { HOPS } else { 0 };
        self.reads += 1;
        self.stampless += u32::from(piece.stampless);
        self.clamped += u32::from(piece.clamped);
        self.note_read(piece.bytes.len(), piece.arrival);
        Poll::Ready((Ok(piece.bytes), again))
    }

    fn note_read(&mut self, n: usize, mut arrival: Arrival) {
        if let Some(before) = self.latest
            && arrival.at < before.at
        {
            self.clamped += u32::from(before.at - arrival.at > SLACK);
            arrival.at = before.at;
        }
        self.latest = Some(arrival);
        self.bytes_in += n as u64;
    }

    pub(super) fn note_written(&mut self, n: usize, begun: Instant) {
        self.bytes_out += n as u64;
        self.written = Some(begun);
        self.awaited = true;
    }

    /// What comes next may wait for a moment, until something is written again.
    pub(super) fn calm(&mut self) {
        self.awaited = false;
    }

    /// Whether what comes next must be read at once.
    #[cfg(target_os = "linux")]
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// All that was buffered has been written.
    fn note_flushed(&mut self) {
        if let Some(written) = self.written {
            for sent in self.handed.drain(..) {
                // Set once, by construction.
                let _ = sent.set(written);
            }
        }
    }
}

/// A ledger as it is passed around. The lock is never contended for longer than a few instructions.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket.
#[derive(Debug)]
pub(super) struct Socket {
    bound: Bound,
    ledger: Shared,
    /// What one read has brought, and how much of it was taken.
    piece: Box<[u8]>,
    taken: usize,
}

impl Socket {
    /// Takes a connected stream, whose bytes the reader reads from now on; asks the kernel for stamps if `stamps`.
    pub(super) fn new(
        stream: TcpStream,
        reader: &Arc<Reader>,
        stamps: bool,
        ledger: Shared,
    ) -> io::Result<Socket> {
        let bound = Reader::bind(reader, stream, stamps, &ledger)?;
        Ok(Socket {
            bound,
            ledger,
            piece: Box::default(),
            taken: 0,
        })
    }

    pub(super) fn clock(&self) -> Clock {
        self.bound.clock()
    }
}

/// Gives what is left of one read; nothing at the end.
impl AsyncBufRead for Socket {
    fn poll_fill_buf(self: Pin<&mut Socket>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.taken == this.piece.len() {
            // Others get their turn, however fast this one's server is.
            let turn = ready!(poll_proceed(cx));
            this.bound.tend(cx)?;
            let (piece, again) = ready!(this.ledger.lock().poll_take(cx));
            turn.made_progress();
            if again {
                this.bound.resume();
            }
            this.piece = piece?;
            this.taken = 0;
        }
        Poll::Ready(Ok(&this.piece[this.taken..]))
    }

    fn consume(mut self: Pin<&mut Socket>, taken: usize) {
        self.taken += taken;
        if self.taken == self.piece.len() {
            self.piece = Box::default();
            self.taken = 0;
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let came = ready!(self.as_mut().poll_fill_buf(cx))?;
        let taken = came.len().min(into.remaining());
        into.put_slice(&came[..taken]);
        self.consume(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Before the time is taken: it may read much.
        self.bound.tend(cx)?;
        let begun = Instant::now();
        let n = ready!(self.bound.poll_write(cx, &[IoSlice::new(bytes)]))?;
        self.ledger.lock().note_written(n, begun);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Before the time is taken: it may read much.
        self.bound.tend(cx)?;
        let begun = Instant::now();
        let n = ready!(self.bound.poll_write(cx, bytes))?;
        self.ledger.lock().note_written(n, begun);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Socket>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ledger.lock().note_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Socket>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bound.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::stamped::*;

    fn piece(bytes: &[u8]) -> Piece {
        let read = Instant::now();
        Piece {
            bytes: bytes.into(),
            arrival: Arrival { at: read, read },
            stampless: false,
            clamped: false,
        }
    }

    /// What one poll gives: nothing yet, or so many bytes.
    fn poll(ledger: &mut Ledger) -> Option<io::Result<usize>> {
        match ledger.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready((outcome, _)) => Some(outcome.map(|bytes| bytes.len())),
        }
    }

    #[test]
    fn what_ended_a_socket_first_is_told_and_then_that_it_is_closed() {
        let mut ledger = Ledger::default();
        ledger.put(piece(b"abc"));
        ledger.put_end(Some(io::ErrorKind::ConnectionReset.into()));
        ledger.put_end(None);
        assert_eq!(poll(&mut ledger).unwrap().unwrap(), 3);
        let error = poll(&mut ledger).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(poll(&mut ledger).unwrap().unwrap(), 0);
        assert_eq!((ledger.reads, ledger.bytes_in), (1, 3));
    }

    #[test]
    fn pieces_that_take_turns_come_one_by_one_and_keep_their_times() {
        let mut ledger = Ledger::default();
        ledger.take_turns();
        let (first, second) = (piece(b"a"), piece(b"b"));
        let times = [first.arrival.at, second.arrival.at];
        ledger.put(first);
        ledger.put(second);
        for (turn, at) in times.into_iter().enumerate() {
            assert_eq!(poll(&mut ledger).unwrap().unwrap(), 1, "turn {turn}");
            for hop in 0..HOPS {
                assert_eq!(ledger.latest.unwrap().at, at);
                assert!(poll(&mut ledger).is_none(), "hop {hop} of turn {turn}");
            }
        }
        ledger.put(piece(b"c"));
        assert!(poll(&mut ledger).is_some(), "no turn was due");
        // What comes within a turn waits for its end.
        ledger.put(piece(b"d"));
        assert!(poll(&mut ledger).is_none());
    }

    #[test]
    fn small_pieces_fill_an_inbox_too() {
        let mut ledger = Ledger::default();
        let mut pieces = 1;
        while !ledger.put(piece(b"a")) {
            pieces += 1;
        }
        assert!(pieces < MOST_WAITING / size_of::<Piece>());
        while poll(&mut ledger).is_some() {}
        assert_eq!(ledger.inbox.bytes, 0);
    }
}
