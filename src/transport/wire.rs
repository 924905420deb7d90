//! The wire of a load: one worker's connections, and exchanges whose bytes come with two times of arrival.
//!
//! Leaner than `live`, which `check` uses: no task, timer or buffer of ours per read, one thread's pool, and
//! the body goes to a [`Hearing`] instead of into memory. Never follows redirects and never retries; it sends again,
//! once, and says so, what most likely nobody has worked on: where the server has closed a connection that lay idle,
//! which shows within a round trip, where a request was not written whole, and where a server of HTTP/2 says so. A
//! request that breaks later is a failure.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{ACCEPT, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use http::{HeaderMap, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::ClientConfig;

use crate::transport::course::{Course, Outcome};
use crate::transport::dial::{self, Dial, Dialler, Origin, Route};
use crate::transport::lanes::Lanes;
use crate::transport::line::{Line, Message};
use crate::transport::moderation::Moderation;
use crate::transport::reader::Reader;
use crate::transport::stamped::Shared;
pub use crate::transport::stamped::Tick;
use crate::transport::trust::Bundle;
use crate::transport::{Limits, Outgoing};
use crate::turn::exchange::{End, Head};

/// The version of HTTP. ALPN offers only this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    One,
    /// At most [`STREAMS_PER_LANE`] exchanges share a connection,
    /// so that none waits inside the client for a place.
    Two,
}

/// Whose clock says when bytes arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// The kernel's, on arrival of the segment.
    Kernel,
    /// Ours, after the read: late by whatever the process was busy with.
    Read,
}

impl Clock {
    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Clock::Kernel => "kernel",
            Clock::Read => "read",
        }
    }
}

/// What all workers share.
#[derive(Debug)]
pub struct WireSettings {
    pub version: HttpVersion,
    /// A new connection for each exchange.
    pub fresh: bool,
    pub limits: Limits,
    /// Ask the kernel for arrival times, where it can give them (Linux).
    pub kernel_stamps: bool,
    pub tls: Arc<ClientConfig>,
    pub proxies: Matcher,
}

impl WireSettings {
    /// HTTP/1.1 or /2 with reused connections, the kernel's times, the proxies of the environment, and these
    /// certificates besides the system's. `secure`: whether anything is asked by HTTPS.
    pub fn new(
        version: HttpVersion,
        limits: Limits,
        bundles: &[Bundle],
        secure: bool,
    ) -> Result<WireSettings, rustls::Error> {
        Ok(WireSettings {
            version,
            fresh: false,
            limits,
            kernel_stamps: true,
            tls: dial::tls(version, bundles, secure)?,
            proxies: Matcher::from_env(),
        })
    }
}

/// Hears an answer as it comes. Times are from the start of the exchange.
pub trait Hearing {
    /// The head; its `at` is by [`Sent::clock`].
    fn head(&mut self, head: &Head, read_at: Duration);

    /// A part of the body. `at` is by [`Sent::clock`], `read_at` is when the process had it. Where a read
    /// brought several events, all have its time. `Break` ends the exchange and closes its connection.
    fn bytes(&mut self, at: Duration, read_at: Duration, bytes: &[u8]) -> ControlFlow<()>;

    /// Whether what comes next must have a time of its own, however many others the worker reads. Asked after each part.
    fn awaits_beginning(&self) -> bool {
        true
    }
}

/// An exchange that is over. Durations are from `start` where nothing else is said.
#[derive(Debug)]
pub struct Sent {
    /// The start of the service: when sending was asked for.
    pub start: Instant,
    /// What the connection took; `None` where one was reused or another exchange dialled it.
    pub dial: Option<Dial>,
    /// How long a place on a connection was waited for, while another exchange dialled it (HTTP/2).
    pub queued: Duration,
    /// Right before the write that gave the last byte of the request to the kernel.
    pub sent: Option<Duration>,
    /// Bytes on the wire, with heads and framing, TLS and a tunnel's set-up. HTTP/2: of the connection, while
    /// the exchange lasted.
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub end: End,
    /// The hearing wanted no more; `end` is `Complete` then.
    pub stopped: bool,
    /// Until the last byte of a whole answer arrived, by `clock`; else until the exchange was given up.
    pub total: Duration,
    /// It was sent again, once: a reused connection was found closed, before any byte of an answer and within half a
    /// second of sending; or (HTTP/2) the server said that it had not worked on it.
    pub redialled: bool,
    /// How many exchanges had the connection when this one got it, itself included: 1 but for HTTP/2.
    pub streams: u32,
    pub clock: Clock,
    /// Reads that brought bytes.
    pub reads: u32,
    /// Of these, how many have our time for want of the kernel's.
    pub stampless_reads: u32,
    /// Of these, how many stamps were in the future or before an earlier one, and were put right.
    pub clamped_reads: u32,
}

/// One worker's connections.
#[derive(Debug)]
pub struct Wire {
    settings: Arc<WireSettings>,
    dialler: Dialler,
    #[expect(
        clippy::vec_box,
        reason = "a line goes in and out by its box, and is large"
    )]
    idle: Mutex<HashMap<Origin, Vec<Box<Line>>>>,
    lanes: Lanes,
}

/// Exchanges that share a connection. Servers commonly allow 100 to 250
/// (RFC 9113, section 6.5.2, recommends no less than 100).
pub const STREAMS_PER_LANE: usize = 64;

/// How long a connection may lie idle. Servers and the boxes between close such ones without a word.
const IDLE_KEPT: Duration = Duration::from_secs(90);

/// That a connection had been closed already shows so soon after the request's last byte: one round trip, and
/// those of this world take less.
const CLOSED_SHOWS: Duration = Duration::from_millis(500);

/// What one attempt on one connection gave.
pub(super) struct Attempt {
    pub(super) outcome: Outcome,
    pub(super) sent: Option<Instant>,
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
    pub(super) reads: u32,
    pub(super) stampless: u32,
    pub(super) clamped: u32,
    /// The server said that it has not worked on the request.
    pub(super) untouched: bool,
    /// When the bytes that were read last had arrived.
    pub(super) arrived: Option<Instant>,
    pub(super) clock: Clock,
}

impl Wire {
    /// A worker's wire, without a connection yet, for the runtime whose context this is called in. Where the thread of the
    /// runtime does not call [`Moderation::rest`] before it parks, it never rests. Errors: the process may open no more
    /// files.
    pub fn new(settings: Arc<WireSettings>, moderation: Arc<Moderation>) -> std::io::Result<Wire> {
        Ok(Wire {
            dialler: Dialler::new(Reader::start(settings.kernel_stamps, moderation)?),
            settings,
            idle: Mutex::default(),
            lanes: Lanes::default(),
        })
    }

    /// Whether what this worker is to do on time, sending and hearing apart, can be late by a millisecond: then it may
    /// [rest](Moderation) where much comes in.
    pub fn moderate(&self, allowed: bool) {
        // There all that comes for the streams of a connection within a rest would have one time.
        let apart = self.settings.version == HttpVersion::One;
        self.dialler.reader.moderate(allowed && apart);
    }

    /// How late this worker was to read what was there, at moments that a timer tells, closer to each other where more is read,
    /// since this was asked last. Empty where the kernel cannot tell (not Linux).
    pub fn ticks(&self) -> Vec<Tick> {
        self.dialler.reader.ticks()
    }

    /// Sends one request; `hear` hears the answer. Times are from this call. Dropping the future closes the
    /// connection (HTTP/2: the stream).
    pub async fn send(&self, request: Outgoing, hear: &mut impl Hearing) -> Sent {
        // Where thousands begin at once, the first of them have their answers before the last is on its way. If
        // nothing can be read, those who wait for it are told.
        let _ = self.dialler.reader.tend();
        let start = Instant::now();
        let mut sent = Sent {
            start,
            dial: None,
            queued: Duration::ZERO,
            sent: None,
            bytes_out: 0,
            bytes_in: 0,
            end: End::Complete,
            stopped: false,
            total: Duration::ZERO,
            redialled: false,
            streams: 1,
            clock: if self.settings.kernel_stamps {
                Clock::Kernel
            } else {
                Clock::Read
            },
            reads: 0,
            stampless_reads: 0,
            clamped_reads: 0,
        };
        let mut arrived = None;
        match self.attempts(request, hear, &mut sent).await {
            Err(reason) => sent.end = End::Unreachable { reason },
            Ok(attempt) => {
                sent.sent = attempt.sent.map(|at| at.saturating_duration_since(start));
                sent.bytes_out += attempt.bytes_out;
                sent.bytes_in += attempt.bytes_in;
                sent.reads = attempt.reads;
                sent.stampless_reads = attempt.stampless;
                sent.clamped_reads = attempt.clamped;
                sent.clock = attempt.clock;
                sent.stopped = attempt.outcome.stopped;
                sent.end = attempt.outcome.end;
                arrived = attempt.arrived;
            }
        }
        // A whole answer ends when its last byte arrives, however late it is read.
        let whole = sent.end == End::Complete && !sent.stopped;
        sent.total = match arrived.filter(|_| whole) {
            Some(at) => at.saturating_duration_since(start),
            None => start.elapsed(),
        };
        sent
    }

    async fn attempts(
        &self,
        request: Outgoing,
        hear: &mut impl Hearing,
        sent: &mut Sent,
    ) -> Result<Attempt, String> {
        let uri = address(&request.url)?;
        let origin = Origin::of(&uri)?;
        let route = dial::route(&uri, &self.settings.proxies);
        if self.settings.version == HttpVersion::Two {
            let request = (request, uri);
            // In a box: thousands of tasks would keep room for it that HTTP/1.1 does not need.
            let sending = self.lanes.send(
                &self.settings,
                &self.dialler,
                &origin,
                &route,
                request,
                hear,
                sent,
            );
            return Box::pin(sending).await;
        }
        let message = written(request, &uri, &route)?;
        let mut kept = if self.settings.fresh {
            None
        } else {
            self.take(&origin)
        };
        loop {
            let (mut line, reused) = match kept.take() {
                Some(line) => (line, true),
                None => (self.open(&origin, &route, sent).await?, false),
            };
            let sending = self.attempt(&mut line, message.clone(), hear, sent.start);
            let attempt = sending.await;
            if reused && attempt.found_closed() {
                sent.redialled = true;
                sent.bytes_out += attempt.bytes_out;
                sent.bytes_in += attempt.bytes_in;
                continue;
            }
            self.keep(origin, line, &attempt.outcome);
            return Ok(attempt);
        }
    }

    /// A connection that lies idle, the one that was used last.
    fn take(&self, origin: &Origin) -> Option<Box<Line>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = idle.get_mut(origin)?;
        while let Some(mut line) = lines.pop() {
            if line.since.elapsed() >= IDLE_KEPT {
                // Those below lie there longer still.
                lines.clear();
                return None;
            }
            // A server that has closed it meanwhile has said so: over TLS with bytes of its own, which must not be
            // taken for the beginning of an answer. If nothing can be read, sending will tell.
            let _ = self.dialler.reader.look();
            if line.is_ready() {
                return Some(line);
            }
        }
        None
    }

    /// Puts a connection back if it can serve again.
    fn keep(&self, origin: Origin, mut line: Box<Line>, outcome: &Outcome) {
        if self.settings.fresh || outcome.stopped || outcome.end != End::Complete {
            return;
        }
        if !line.is_ready() {
            return;
        }
        line.since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(origin).or_default().push(line);
    }

    async fn open(
        &self,
        origin: &Origin,
        route: &Route,
        sent: &mut Sent,
    ) -> Result<Box<Line>, String> {
        let settings = &self.settings;
        let ledger = Shared::default();
        let limit = settings.limits.connect.min(settings.limits.total);
        // In a box, for the same reason: a stream lasts longer than its dialling.
        let dialling = self.dialler.dial(
            origin,
            route,
            &settings.tls,
            settings.kernel_stamps,
            ledger.clone(),
            limit,
        );
        let dialled = Box::pin(dialling).await?;
        sent.dial = Some(dialled.dial);
        {
            let ledger = ledger.lock();
            sent.bytes_out += ledger.bytes_out;
            sent.bytes_in += ledger.bytes_in;
        }
        Ok(Box::new(Line::new(dialled.stream, ledger, dialled.clock)))
    }

    async fn attempt(
        &self,
        line: &mut Line,
        message: Message,
        hear: &mut impl Hearing,
        start: Instant,
    ) -> Attempt {
        line.ledger.lock().begin();
        let ledger = line.ledger.clone();
        let course = Course {
            start,
            limits: self.settings.limits,
            ledger: &ledger,
        };
        let mut sent = None;
        let outcome = line.exchange(message, course, hear, &mut sent).await;
        Attempt::of(outcome, sent, &ledger, line.clock)
    }
}

/// A URL as reqwest reads it, so that both clients write the same path.
fn address(url: &str) -> Result<Uri, String> {
    let read = reqwest::Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
    let uri = read.as_str().parse();
    uri.map_err(|error| format!("{read}: {error}"))
}

/// A request as HTTP/1.1 writes it on a route.
fn written(request: Outgoing, uri: &Uri, route: &Route) -> Result<Message, String> {
    let absolute = uri.to_string();
    let target = match route {
        Route::Forward { .. } => absolute.as_str(),
        _ => uri.path_and_query().map_or("/", |path| path.as_str()),
    };
    let mut headers = fields(request.headers)?;
    if !headers.contains_key(HOST)
        && let Some(authority) = uri.authority()
    {
        // Without the name and password that an authority may hold.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|error| format!("{uri}: {error}"))?;
        headers.insert(HOST, host);
    }
    if let Route::Forward {
        auth: Some(auth), ..
    } = route
    {
        headers.insert(PROXY_AUTHORIZATION, auth.clone());
    }
    Message::new(request.method, target, headers, request.body)
}

impl Attempt {
    /// Whether the connection had been closed before the request came, as far as can be told from here. What breaks
    /// later, somebody may have worked on: it is a failure, and asked again it would be paid twice.
    fn found_closed(&self) -> bool {
        let soon = self.sent.is_none_or(|sent| sent.elapsed() < CLOSED_SHOWS);
        soon && !self.outcome.heard && matches!(self.outcome.end, End::Refused { .. })
    }

    pub(super) fn of(
        outcome: Outcome,
        sent: Option<Instant>,
        ledger: &Shared,
        clock: Clock,
    ) -> Attempt {
        let ledger = ledger.lock();
        Attempt {
            outcome,
            sent,
            bytes_out: ledger.bytes_out,
            bytes_in: ledger.bytes_in,
            reads: ledger.reads,
            stampless: ledger.stampless,
            clamped: ledger.clamped,
            untouched: false,
            arrived: ledger.latest.map(|latest| latest.at),
            clock,
        }
    }
}

/// The header fields as both versions send them.
pub(super) fn fields(headers: Vec<(String, String)>) -> Result<HeaderMap, String> {
    let mut all = HeaderMap::with_capacity(headers.len() + 3);
    for (name, value) in headers {
        // A value may be a secret: only its name is told.
        let value = HeaderValue::from_str(&value)
            .map_err(|_| format!("the header {name} holds what HTTP does not allow"))?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name} is not the name of a header"))?;
        all.append(name, value);
    }
    if !all.contains_key(ACCEPT) {
        // As reqwest writes it for `check`.
        all.insert(ACCEPT, HeaderValue::from_static("*/*"));
    }
    Ok(all)
}
