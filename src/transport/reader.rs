//! Reads all sockets of a worker as their bytes come, before any of them is worked on.
//!
//! The kernel joins segments that wait in a socket, and keeps the stamp of the last one only (`tcp_try_coalesce`,
//! net/ipv4/tcp_input.c). On a worker that reads a stream when its turn has come, after a hundred others were decoded,
//! the events of two or three turns of the server then have one time. Reading costs a fraction of decoding: so the
//! sockets of a worker are polled apart from its tasks, and read whenever a task touches one of them and the last
//! look lies [`EVERY`] behind.
//!
//! How late that still is, a timer tells that is polled among the sockets (see [`Lateness`]).
//!
//! Linux only: elsewhere `reader_elsewhere` reads when the task's turn has come.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, TimestampingFlag, recv,
    recvmsg, setsockopt, socket, sockopt,
};
use rustix::event::{Timespec, epoll};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::transport::awaited::Awaited;
use crate::transport::lateness::Lateness;
use crate::transport::moderation::{Moderation, Pressing};
use crate::transport::stamped::{Arrival, Piece, READ, Shared, Tick};
use crate::transport::wire::Clock;

/// How long a worker that has much to do leaves its sockets alone. A look that finds nothing takes a microsecond.
const EVERY: Duration = Duration::from_micros(500);

/// Sockets that one look tells of; more take another.
const EVENTS: usize = 256;

/// What epoll calls the timer; sockets have small numbers.
const TIMER: u64 = u64::MAX;

/// A worker's sockets. Its thread alone uses it, so the lock is always free.
#[derive(Debug)]
pub(super) struct Reader {
    epoll: Arc<AsyncFd<OwnedFd>>,
    state: Mutex<State>,
    watch: Mutex<Option<AbortHandle>>,
    moderation: Arc<Moderation>,
    /// Where the kernel's times are wanted.
    _stamping: Option<Stamping>,
}

struct State {
    sockets: Slab<Read>,
    awaited: Arc<Awaited>,
    bytes: Box<[u8]>,
    control: Vec<u8>,
    /// To be woken when the lock is free again.
    wakers: Vec<Waker>,
    looked: Instant,
    lateness: Lateness,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("sockets", &self.sockets.len())
            .finish_non_exhaustive()
    }
}

/// A socket as its reader knows it.
struct Read {
    stream: Arc<TcpStream>,
    clock: Clock,
    ledger: Shared,
    /// Its inbox is full: what the kernel has told of it waits there.
    full: bool,
    /// It is among [`Awaited`].
    awaited: bool,
}

impl Reader {
    /// A reader without sockets, for the runtime whose context this is called in. Errors: no file is left, or the
    /// runtime has no driver.
    pub(super) fn start(stamps: bool, moderation: Arc<Moderation>) -> io::Result<Arc<Reader>> {
        let polled = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let lateness = Lateness::start()?;
        let event = epoll::EventData::new_u64(TIMER);
        epoll::add(&polled, &lateness, event, epoll::EventFlags::IN)?;
        let polled = Arc::new(polled_by_runtime(polled, Interest::READABLE)?);
        let awaited = Arc::new(Awaited::new()?);
        moderation.wake_for(Arc::clone(&awaited));
        let reader = Arc::new(Reader {
            epoll: Arc::clone(&polled),
            state: Mutex::new(State {
                sockets: Slab::new(),
                awaited,
                bytes: vec![0; READ].into_boxed_slice(),
                // Room for more than the stamp alone: a message that does not fit is cut off.
                control: vec![0; 256],
                wakers: Vec::new(),
                looked: Instant::now(),
                lateness,
            }),
            watch: Mutex::new(None),
            moderation,
            _stamping: stamps.then(Stamping::begin),
        });
        let task = tokio::spawn(watch(polled, Arc::downgrade(&reader)));
        *reader.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        Ok(reader)
    }

    /// Reads a connected stream from now on; asks the kernel for stamps if `stamps`.
    pub(super) fn bind(
        reader: &Arc<Reader>,
        stream: tokio::net::TcpStream,
        stamps: bool,
        ledger: &Shared,
    ) -> io::Result<Bound> {
        // It stays non-blocking.
        let stream = Arc::new(stream.into_std()?);
        let clock = if stamps && ask_for_stamps(&stream) {
            Clock::Kernel
        } else {
            Clock::Read
        };
        let key = {
            let mut state = reader.lock();
            let entry = state.sockets.vacant_entry();
            let key = entry.key();
            epoll::add(
                reader.epoll.get_ref(),
                &*stream,
                epoll::EventData::new_u64(key as u64),
                epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET,
            )?;
            entry.insert(Read {
                stream: Arc::clone(&stream),
                clock,
                ledger: ledger.clone(),
                full: false,
                awaited: false,
            });
            key
        };
        Ok(Bound {
            reader: Arc::clone(reader),
            key,
            clock,
            stream,
            room: None,
            pressing: None,
        })
    }

    /// How late it was, since this was asked last.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        // Those that are due are of the time before.
        let _ = self.look();
        self.lock().lateness.take()
    }

    /// Looks, if it is time to: whoever is about to take long calls this first.
    pub(super) fn tend(&self) -> io::Result<()> {
        let state = self.lock();
        if state.looked.elapsed() < EVERY {
            return Ok(());
        }
        self.gather(state)
    }

    /// Reads what has come at all sockets.
    pub(super) fn look(&self) -> io::Result<()> {
        self.gather(self.lock())
    }

    /// Something was written to a socket: what comes next is the beginning of an answer, as long as nobody says otherwise.
    fn wrote(&self, key: usize) {
        self.moderation.wrote();
        let state = &mut *self.lock();
        if let Some(read) = state.sockets.get_mut(key)
            && !read.awaited
        {
            read.awaited = state.awaited.add(&read.stream);
        }
    }

    /// Lets the worker not rest until the answer is dropped.
    pub(super) fn press(&self) -> Pressing {
        self.moderation.press()
    }

    /// Whether the worker may rest at all.
    pub(super) fn moderate(&self, allowed: bool) {
        self.moderation.allow(allowed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gather(&self, mut state: std::sync::MutexGuard<'_, State>) -> io::Result<()> {
        let looked = state.look(&self.epoll, &self.moderation);
        let mut wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.drain(..).for_each(Waker::wake);
        let mut state = self.lock();
        // Its room, unless somebody else was quicker.
        if state.wakers.capacity() < wakers.capacity() && state.wakers.is_empty() {
            state.wakers = wakers;
        }
        looked
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let watch = self.watch.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = watch.take() {
            watch.abort();
        }
    }
}

/// Looks whenever the kernel says that bytes have come, as long as the reader lives.
async fn watch(polled: Arc<AsyncFd<OwnedFd>>, reader: Weak<Reader>) {
    // An error is the end of the runtime; those of a look, a task at its socket gets too.
    while let Ok(mut ready) = poll_fn(|cx| polled.poll_read_ready(cx)).await {
        // First: what comes while it looks says so anew.
        ready.clear_ready();
        let Some(reader) = reader.upgrade() else {
            return;
        };
        let _ = reader.look();
    }
}

impl State {
    fn look(&mut self, polled: &AsyncFd<OwnedFd>, moderation: &Moderation) -> io::Result<()> {
        const NOW: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let closing = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let mut space = [const { MaybeUninit::uninit() }; EVENTS];
        // What comes while it looks waits for the next look: a flood must not keep it here.
        let mut found = 0;
        for _ in 0..=self.sockets.len() / EVENTS {
            let events = match epoll::wait(polled.get_ref(), &mut space, Some(&NOW)) {
                Ok((events, _)) => events,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut ticked = Ok(());
            for event in &*events {
                let flags = event.flags;
                if event.data.u64() == TIMER {
                    ticked = self.lateness.tick();
                    continue;
                }
                found += 1;
                self.read(event.data.u64() as usize, flags.intersects(closing));
            }
            self.looked = Instant::now();
            moderation.looked(self.looked, found, self.sockets.len());
            ticked?;
            if events.len() < EVENTS {
                break;
            }
        }
        Ok(())
    }

    /// Takes everything out of one socket. `to_end`: the kernel has said that it is closed, and says so once.
    fn read(&mut self, key: usize, to_end: bool) {
        let Some(read) = self.sockets.get_mut(key) else {
            return;
        };
        let mut ledger = read.ledger.lock();
        // Full, the kernel keeps the rest, and slows the server down; whoever makes room reads on.
        if read.full || ledger.has_ended() {
            return;
        }
        loop {
            match receive(&read.stream, &mut self.bytes, &mut self.control, read.clock) {
                Ok((0, _)) => {
                    ledger.put_end(None);
                    break;
                }
                Ok((n, stamp)) => {
                    self.lateness.note_read();
                    read.full = ledger.put(piece(&self.bytes[..n], stamp, read.clock));
                    // Less than there was room for: the socket is drained. What arrives after our read comes with an
                    // edge of its own.
                    if read.full || (n < READ && !to_end) {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(error) => {
                    ledger.put_end(Some(error.into()));
                    break;
                }
            }
        }
        if read.awaited && !ledger.is_awaited() {
            self.awaited.remove(&read.stream);
            read.awaited = false;
        }
        self.wakers.extend(ledger.waker());
    }
}

/// What a read brought, with its times.
fn piece(bytes: &[u8], stamp: Option<SystemTime>, clock: Clock) -> Piece {
    let read = Instant::now();
    // Both clocks back to back: only the age travels from one to the other.
    let age = stamp.map(|stamp| SystemTime::now().duration_since(stamp));
    let at = match &age {
        Some(Ok(age)) => read.checked_sub(*age).unwrap_or(read),
        Some(Err(_)) | None => read,
    };
    Piece {
        bytes: bytes.into(),
        arrival: Arrival { at, read },
        stampless: age.is_none() && clock == Clock::Kernel,
        clamped: matches!(age, Some(Err(_))),
    }
}

/// Lets the runtime say when something can be read or written.
#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types that do not own their file; these do"
)]
fn polled_by_runtime<T: AsFd + AsRawFd>(file: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(file, interest)
}

fn ask_for_stamps(socket: &impl AsFd) -> bool {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
    setsockopt(socket, sockopt::Timestamping, &flags).is_ok()
}

/// Keeps the kernel stamping. It begins a moment after the first socket of the machine asks for it and ends with the
/// last one (`net_enable_timestamp`, net/core/dev.c, leaves it to a work queue): without this the first reads of a
/// run, and those after a pause between connections, had no stamp.
#[derive(Debug)]
struct Stamping {
    _asking: Option<OwnedFd>,
}

impl Stamping {
    /// Asks by a socket that neither sends nor hears anything. Where that fails, stamps only come later.
    fn begin() -> Stamping {
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
}

fn receive(
    stream: &TcpStream,
    bytes: &mut [u8],
    control: &mut [u8],
    clock: Clock,
) -> Result<(usize, Option<SystemTime>), Errno> {
    let fd = stream.as_raw_fd();
    loop {
        if clock == Clock::Read {
            match recv(fd, bytes, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => continue,
                outcome => return Ok((outcome?, None)),
            }
        }
        let mut space = [IoSliceMut::new(bytes)];
        let message = match recvmsg::<()>(fd, &mut space, Some(control), MsgFlags::MSG_DONTWAIT) {
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

/// A socket at its reader. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Bound {
    reader: Arc<Reader>,
    key: usize,
    clock: Clock,
    stream: Arc<TcpStream>,
    /// Tells when there is room to write; made when there was none for the first time.
    room: Option<AsyncFd<Arc<TcpStream>>>,
    /// While there is none.
    pressing: Option<Pressing>,
}

impl Bound {
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Lets the reader look, if it is time to.
    pub(super) fn tend(&self, _: &mut Context<'_>) -> io::Result<()> {
        self.reader.tend()
    }

    /// The inbox has room again.
    pub(super) fn resume(&self) {
        let mut state = self.reader.lock();
        if let Some(read) = state.sockets.get_mut(self.key)
            && std::mem::take(&mut read.full)
        {
            // Whether it was closed meanwhile, the kernel has said already.
            state.read(self.key, true);
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = match bytes {
                [bytes] => (&*self.stream).write(bytes),
                more => (&*self.stream).write_vectored(more),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    self.pressing = None;
                    self.reader.wrote(self.key);
                    return Poll::Ready(outcome);
                }
            }
            self.pressing.get_or_insert_with(|| self.reader.press());
            let room = match &mut self.room {
                Some(room) => room,
                none => none.insert(polled_by_runtime(
                    Arc::clone(&self.stream),
                    Interest::WRITABLE,
                )?),
            };
            // The next attempt comes after this: room that is made from now on says so anew.
            ready!(room.poll_write_ready(cx))?.clear_ready();
        }
    }

    pub(super) fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.stream.shutdown(Shutdown::Write) {
            // The other side has gone before.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            outcome => outcome,
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let mut state = self.reader.lock();
        state.sockets.try_remove(self.key);
        state.awaited.remove(&self.stream);
        // Of a socket that is no longer open there is nothing to be told. It fails only where it was not polled.
        let _ = epoll::delete(self.reader.epoll.get_ref(), &*self.stream);
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::moderation::{MANY, SELDOM};
    use crate::transport::reader::*;
    use crate::transport::stamped::MOST_WAITING;

    /// A socket at a reader, whose other end is given.
    async fn bound(reader: &Arc<Reader>) -> (Bound, Shared, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let ledger = Shared::default();
        let bound = Reader::bind(reader, stream, false, &ledger).unwrap();
        (bound, ledger, listener.accept().unwrap().0)
    }

    /// Sends a byte, which is there when this returns.
    fn say(bound: &Bound, server: &mut TcpStream) {
        server.write_all(b"x").unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while bound.stream.peek(&mut [0]).is_err() {
            assert!(Instant::now() < until, "nothing came");
        }
    }

    #[tokio::test]
    async fn what_nobody_takes_stays_in_the_kernel() {
        let reader = Reader::start(false, Arc::default()).unwrap();
        let (bound, ledger, mut server) = bound(&reader).await;
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        for _ in 0..2000 {
            written += server.write(&[b'x'; 10_000]).unwrap_or(0);
            reader.look().unwrap();
        }
        assert!(written > 2 * MOST_WAITING, "{written}");
        let waits = ledger.lock().waiting();
        assert!(waits <= MOST_WAITING + READ + 100, "{waits}");
        drop(bound);
    }

    #[tokio::test]
    async fn who_was_away_learns_it_and_who_reads_much_is_told_more_often() {
        let reader = Reader::start(false, Arc::default()).unwrap();
        let (_bound, _ledger, mut server) = bound(&reader).await;
        let away = Duration::from_millis(500);
        std::thread::sleep(away);
        let ticks = reader.ticks();
        let first = ticks.first().unwrap();
        assert!(first.late + first.after >= away, "{first:?}");
        let until = Instant::now() + Duration::from_secs(20);
        let mut seldom = first.after;
        loop {
            assert!(Instant::now() < until, "told each {seldom:?} at most");
            // Slowly: nobody takes it, and what does not fit would stop the test and not fail it.
            std::thread::sleep(Duration::from_millis(1));
            server.write_all(b"x").unwrap();
            let Some(tick) = reader.ticks().pop() else {
                continue;
            };
            if tick.after < seldom {
                break;
            }
            seldom = tick.after;
        }
    }

    #[tokio::test]
    async fn a_worker_that_found_many_sockets_may_rest_until_it_writes() {
        let moderation: Arc<Moderation> = Arc::default();
        let reader = Reader::start(false, Arc::clone(&moderation)).unwrap();
        reader.moderate(true);
        let may_rest = || {
            reader.look().unwrap();
            let state = reader.lock();
            moderation.left(state.looked).is_some()
        };
        let mut all = Vec::new();
        for _ in 0..MANY * SELDOM {
            all.push(bound(&reader).await);
        }
        for (speak, rests) in [
            (MANY - 1, false),
            (MANY, true),
            (MANY + 1, false),
            (MANY, true),
        ] {
            for (bound, _, server) in all.iter_mut().take(speak) {
                say(bound, server);
            }
            assert_eq!(may_rest(), rests, "{speak} of {}", MANY * SELDOM);
        }
        let rested = reader.lock().looked;
        let written = [IoSlice::new(b"x")];
        let mut cx = Context::from_waker(Waker::noop());
        assert!(all[0].0.poll_write(&mut cx, &written).is_ready());
        assert_eq!(moderation.left(rested), None);
    }

    #[tokio::test]
    async fn the_beginning_of_an_answer_ends_a_rest_and_what_follows_does_not() {
        let reader = Reader::start(false, Arc::default()).unwrap();
        let (mut bound, ledger, mut server) = bound(&reader).await;
        let mut cx = Context::from_waker(Waker::noop());
        let awaited = Arc::clone(&reader.lock().awaited);
        let ends_within = |millis| awaited.doze(Duration::from_millis(millis));
        for _ in 0..2 {
            assert!(bound.poll_write(&mut cx, &[IoSlice::new(b"x")]).is_ready());
            ledger.lock().note_written(1, Instant::now());
            assert!(!ends_within(20), "nothing came");
            say(&bound, &mut server);
            assert!(ends_within(20_000));
            reader.look().unwrap();
            assert!(!ends_within(20), "all was read");
            // It is known at the next read.
            ledger.lock().calm();
            for ends in [true, false] {
                say(&bound, &mut server);
                assert_eq!(ends_within(20), ends);
                reader.look().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn nobody_rests_while_somebody_waits_for_room_to_write() {
        let moderation: Arc<Moderation> = Arc::default();
        let reader = Reader::start(false, Arc::clone(&moderation)).unwrap();
        reader.moderate(true);
        let (mut bound, _ledger, mut server) = bound(&reader).await;
        let mut cx = Context::from_waker(Waker::noop());
        let much = vec![b'x'; 1 << 20];
        while bound.poll_write(&mut cx, &[IoSlice::new(&much)]).is_ready() {}
        let now = Instant::now();
        moderation.looked(now, MANY, MANY * SELDOM);
        assert_eq!(moderation.left(now), None);
        let mut took = 0;
        let mut room = vec![0; 1 << 20];
        let until = Instant::now() + Duration::from_secs(20);
        while bound
            .poll_write(&mut cx, &[IoSlice::new(b"x")])
            .is_pending()
        {
            assert!(
                Instant::now() < until,
                "no room after {took} bytes were taken"
            );
            took += std::io::Read::read(&mut server, &mut room).unwrap();
            tokio::task::yield_now().await;
        }
        moderation.looked(now, MANY, MANY * SELDOM);
        assert!(moderation.left(now).is_some());
    }
}
