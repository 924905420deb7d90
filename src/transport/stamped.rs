//! A TCP socket that knows when its bytes arrived: by the kernel's clock where there is one, else by ours.
//!
//! A time taken in user space is late by whatever the process was busy with. Linux stamps each segment on
//! arrival (SO_TIMESTAMPING, https://docs.kernel.org/networking/timestamping.html) and hands the stamp out
//! with the bytes. What such a stamp means for TCP:
//!
//! - A read has one stamp, that of the last segment it took from. Where a read holds several events, the
//!   earlier ones may have come sooner; they never came later.
//! - A segment that overtook a lost one keeps its own stamp. The bytes behind the gap could be read only
//!   when the gap was filled, so stamps are never allowed to run backwards; if one read takes both, its
//!   stamp may be too early by the time of the repair.
//!
//! Must never give bytes the stamp of a later read: see [`Ledger::grant`].

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::wire::Clock;

/// The most that one read takes: one byte less than hyper's first buffer holds. A read that fills it makes hyper double it
/// for good, and a client that was late once would then need twice the memory for each stream.
const READ: usize = 8 * 1024 - 1;

/// How far a stamp may lie before the one before it without being counted: the age is the difference of two
/// clocks that are read one after the other.
const SLACK: Duration = Duration::from_micros(100);

/// When bytes arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// By the kernel where it said so, else as `read`.
    pub(super) at: Instant,
    /// When we had them.
    pub(super) read: Instant,
}

/// What a socket has done. Shared between the socket, deep inside of hyper, and whoever drives it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
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
    /// How many more reads the socket may make; `None` is without limit.
    permits: Option<u32>,
    refused: bool,
}

impl Ledger {
    /// From now on the socket reads only when granted.
    pub(super) fn gate(&mut self) {
        self.permits = Some(0);
    }

    /// Allows one read, or none. Whoever takes out all that a read brought before granting the next can
    /// be sure that what comes out was brought by the latest one, whatever lies between.
    pub(super) fn grant(&mut self, one: bool) {
        if self.permits.is_some() {
            self.permits = Some(u32::from(one));
        }
        self.refused = false;
    }

    /// Whether a read was turned away that would have brought something.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// Counts anew, for the next exchange.
    pub(super) fn begin(&mut self) {
        self.reads = 0;
        self.stampless = 0;
        self.clamped = 0;
        self.bytes_in = 0;
        self.bytes_out = 0;
        self.written = None;
        self.handed.clear();
    }

    /// The last byte of a request waits to be written: `sent` is set when it is.
    pub(super) fn hand(&mut self, sent: Arc<OnceLock<Instant>>) {
        self.handed.push(sent);
    }

    fn note_read(&mut self, n: usize, stamp: Option<SystemTime>, clock: Clock) {
        let read = Instant::now();
        let mut at = read;
        if let Some(stamp) = stamp {
            // Both clocks back to back: only the age travels from one to the other.
            match SystemTime::now().duration_since(stamp) {
                Ok(age) => at = read.checked_sub(age).unwrap_or(read),
                Err(_) => self.clamped += 1,
            }
        } else if clock == Clock::Kernel {
            self.stampless += 1;
        }
        if let Some(before) = self.latest
            && at < before.at
        {
            self.clamped += u32::from(before.at - at > SLACK);
            at = before.at;
        }
        self.latest = Some(Arrival { at, read });
        self.reads += 1;
        self.bytes_in += n as u64;
    }

    fn note_written(&mut self, n: usize, begun: Instant) {
        self.bytes_out += n as u64;
        self.written = Some(begun);
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
    stream: TcpStream,
    clock: Clock,
    ledger: Shared,
}

impl Socket {
    /// Takes a connected stream; asks the kernel for stamps if `stamps`.
    pub(super) fn new(stream: TcpStream, stamps: bool, ledger: Shared) -> Socket {
        let clock = if stamps && ask_for_stamps(&stream) {
            Clock::Kernel
        } else {
            Clock::Read
        };
        Socket {
            stream,
            clock,
            ledger,
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// One read of at most `room` bytes, given to `take`.
    fn poll_take(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            {
                let mut ledger = self.ledger.lock();
                match &mut ledger.permits {
                    None => {}
                    // No waker is left behind: whoever granted looks at `refused` and comes again.
                    Some(0) => {
                        ledger.refused = true;
                        return Poll::Pending;
                    }
                    Some(permits) => *permits -= 1,
                }
            }
            let outcome = SCRATCH.with_borrow_mut(|scratch| {
                let mut got = None;
                let tried = self.stream.try_io(Interest::READABLE, || {
                    let one = receive(&self.stream, scratch, room, self.clock)?;
                    got = Some(one);
                    // Less than there was room for: the socket is drained. Saying so spares the call that
                    // would only find it empty, and loses nothing: what arrives after our read comes with
                    // an edge of its own. tokio's own reads do the same.
                    if 0 < one.0 && one.0 < room.min(READ) {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    Ok(())
                });
                match (got, tried) {
                    (Some((n, stamp)), _) => {
                        if n > 0 {
                            self.ledger.lock().note_read(n, stamp, self.clock);
                        }
                        take(&scratch.bytes[..n]);
                        Some(Ok(()))
                    }
                    (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
                    (None, tried) => Some(tried),
                }
            });
            match outcome {
                Some(done) => return Poll::Ready(done),
                // Nothing there after all: the read that was granted is still to come.
                None => {
                    if let Some(permits) = &mut self.ledger.lock().permits {
                        *permits += 1;
                    }
                }
            }
        }
    }
}

struct Scratch {
    bytes: Box<[u8]>,
    control: Vec<u8>,
}

thread_local! {
    // One for the thread: a stream costs no buffer of ours.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        bytes: vec![0; READ].into_boxed_slice(),
        control: control_space(),
    });
}

#[cfg(target_os = "linux")]
fn control_space() -> Vec<u8> {
    // Room for more than the stamp alone: a message that does not fit is cut off.
    vec![0; 256]
}

#[cfg(not(target_os = "linux"))]
fn control_space() -> Vec<u8> {
    Vec::new()
}

#[cfg(target_os = "linux")]
fn ask_for_stamps(socket: &impl std::os::fd::AsFd) -> bool {
    use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt};

    let flags = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
    setsockopt(socket, sockopt::Timestamping, &flags).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn ask_for_stamps(_: &TcpStream) -> bool {
    false
}

/// Keeps the kernel stamping. It begins a moment after the first socket of the machine asks for it and ends with the
/// last one (`net_enable_timestamp`, net/core/dev.c, leaves it to a work queue): without this the first reads of a
/// run, and those after a pause between connections, had no stamp.
#[derive(Debug)]
pub(super) struct Stamping {
    #[cfg(target_os = "linux")]
    _asking: Option<std::os::fd::OwnedFd>,
}

impl Stamping {
    /// Asks by a socket that neither sends nor hears anything. Where that fails, stamps only come later.
    #[cfg(target_os = "linux")]
    pub(super) fn begin() -> Stamping {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

        let asking = socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        );
        Stamping {
            _asking: asking.ok().filter(ask_for_stamps),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn begin() -> Stamping {
        Stamping {}
    }
}

#[cfg(target_os = "linux")]
fn receive(
    stream: &TcpStream,
    scratch: &mut Scratch,
    room: usize,
    clock: Clock,
) -> io::Result<(usize, Option<SystemTime>)> {
    use std::io::IoSliceMut;
    use std::os::fd::AsRawFd;
    use std::time::UNIX_EPOCH;

    use nix::errno::Errno;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recv, recvmsg};

    let room = room.min(scratch.bytes.len());
    let fd = stream.as_raw_fd();
    loop {
        if clock == Clock::Read {
            match recv(fd, &mut scratch.bytes[..room], MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => continue,
                outcome => return Ok((outcome?, None)),
            }
        }
        let mut space = [IoSliceMut::new(&mut scratch.bytes[..room])];
        let message = match recvmsg::<()>(
            fd,
            &mut space,
            Some(&mut scratch.control),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Err(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        let stamp = message.cmsgs().ok().and_then(|mut all| {
            all.find_map(|one| match one {
                ControlMessageOwned::ScmTimestampsns(stamps) => {
                    let age = Duration::from(stamps.system);
                    (!age.is_zero()).then(|| UNIX_EPOCH + age)
                }
                _ => None,
            })
        });
        return Ok((message.bytes, stamp));
    }
}

#[cfg(not(target_os = "linux"))]
fn receive(
    stream: &TcpStream,
    scratch: &mut Scratch,
    room: usize,
    _: Clock,
) -> io::Result<(usize, Option<SystemTime>)> {
    let room = room.min(scratch.bytes.len());
    Ok((stream.try_read(&mut scratch.bytes[..room])?, None))
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_take(cx, into.remaining(), |bytes| into.put_slice(bytes))
    }
}

impl hyper::rt::Read for Socket {
    fn poll_read(
        self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_take(cx, into.remaining(), |bytes| into.put_slice(bytes))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let begun = Instant::now();
        let n = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.ledger.lock().note_written(n, begun);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let begun = Instant::now();
        let n = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bytes))?;
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl hyper::rt::Write for Socket {
    fn poll_write(
        self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Socket>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(self, cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Socket>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Socket>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(self, cx)
    }
}
