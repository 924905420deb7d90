//! HTTP/2: a host's connections, each shared by at most so many exchanges.
//!
//! A client that puts everything on one connection makes requests wait inside itself as soon as the server's
//! limit of streams is reached, and reports that as the provider's time. So a lane that is full, here or by
//! what the server allows, is never waited for: another is dialled. Must never report the wait for a lane
//! that somebody else is dialling as anything but `queued`.

use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryFutureExt;
use http::{Method, Request, Uri, header::HOST};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::transport::Outgoing;
use crate::transport::course::Course;
use crate::transport::dial::{Dial, Dialler, Origin, Route};
use crate::transport::drive::{Parcel, drive};
use crate::transport::live::chain;
use crate::transport::reader::Reader;
use crate::transport::stamped::Shared;
use crate::transport::wire::{
    Attempt, Clock, Hearing, STREAMS_PER_LANE, Sent, WireSettings, fields,
};
use crate::turn::exchange::End;

/// The lanes of a worker.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    all: Mutex<HashMap<Origin, Vec<Arc<Lane>>>>,
}

/// A connection, or the one that is being dialled.
#[derive(Debug, Default)]
struct Lane {
    taken: AtomicUsize,
    /// The server has taken its leave: what is under way goes on, nothing new is taken.
    left: AtomicBool,
    line: OnceCell<Result<Line, String>>,
}

#[derive(Debug)]
struct Line {
    sender: http2::SendRequest<Parcel>,
    /// How many streams the server allows, as it last said.
    allowed: Arc<AtomicUsize>,
    ledger: Shared,
    reader: Arc<Reader>,
    clock: Clock,
}

/// A place on a lane, given back when dropped.
struct Place(Arc<Lane>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Lane {
    /// How many exchanges it may carry: what the server allows, if less than ours.
    fn room(&self) -> usize {
        match self.line.get() {
            _ if self.left.load(Ordering::SeqCst) => 0,
            Some(Ok(line)) if line.sender.is_closed() => 0,
            Some(Ok(line)) => STREAMS_PER_LANE.min(line.allowed.load(Ordering::SeqCst)),
            Some(Err(_)) => 0,
            None => STREAMS_PER_LANE,
        }
    }

    fn useless(&self) -> bool {
        match self.line.get() {
            _ if self.left.load(Ordering::SeqCst) => true,
            Some(Ok(line)) => line.sender.is_closed(),
            Some(Err(_)) => true,
            None => false,
        }
    }
}

impl Lanes {
    fn place(&self, origin: &Origin, fresh: bool) -> Place {
        let take = |lane: &Arc<Lane>| {
            lane.taken.fetch_add(1, Ordering::SeqCst);
            Place(Arc::clone(lane))
        };
        if fresh {
            return take(&Arc::default());
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = all.entry(origin.clone()).or_default();
        lanes.retain(|lane| !lane.useless());
        let free = lanes
            .iter()
            .find(|lane| lane.taken.load(Ordering::SeqCst) < lane.room());
        if let Some(lane) = free {
            return take(lane);
        }
        let lane = Arc::default();
        lanes.push(Arc::clone(&lane));
        take(&lane)
    }

    #[expect(clippy::too_many_arguments, reason = "one caller, which has them all")]
    pub(super) async fn send(
        &self,
        settings: &WireSettings,
        dialler: &Dialler,
        origin: &Origin,
        route: &Route,
        (request, uri): (Outgoing, Uri),
        hear: &mut impl Hearing,
        sent: &mut Sent,
    ) -> Result<Attempt, String> {
        let copy = Outgoing {
            method: request.method,
            url: String::new(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        let (first, lane) = self
            .once(settings, dialler, origin, route, (copy, &uri), hear, sent)
            .await?;
        // A server that takes its leave (GOAWAY) closes the connection under whoever was about to use it. What never
        // left can be asked elsewhere, and so can what it says that it has not worked on.
        let refused = matches!(first.outcome.end, End::Refused { .. });
        let unsent = first.sent.is_none() && lane.0.useless();
        if !(refused && (unsent || first.untouched)) {
            return Ok(first);
        }
        drop(lane);
        sent.redialled = true;
        sent.bytes_out += first.bytes_out;
        sent.bytes_in += first.bytes_in;
        let (second, _) = self
            .once(
                settings,
                dialler,
                origin,
                route,
                (request, &uri),
                hear,
                sent,
            )
            .await?;
        Ok(second)
    }

    /// A place on a connection that is there, and how it was made where this call did.
    async fn board(
        &self,
        settings: &WireSettings,
        dialler: &Dialler,
        origin: &Origin,
        route: &Route,
    ) -> (Place, Option<Dial>) {
        loop {
            let place = self.place(origin, settings.fresh);
            let mut own: Option<Dial> = None;
            let made = place.0.line.get_or_init(|| async {
                let (line, dial) = open(settings, dialler, origin, route).await?;
                own = Some(dial);
                Ok(line)
            });
            let made = made.await;
            // As many as there is room for on any connection may have waited for one on which the server allows fewer.
            let crowded = place.0.taken.load(Ordering::SeqCst) > place.0.room();
            if made.is_err() || own.is_some() || !crowded {
                return (place, own);
            }
        }
    }

    /// One attempt, and the lane that it was made on.
    #[expect(clippy::too_many_arguments, reason = "one caller, which has them all")]
    async fn once(
        &self,
        settings: &WireSettings,
        dialler: &Dialler,
        origin: &Origin,
        route: &Route,
        (request, uri): (Outgoing, &Uri),
        hear: &mut impl Hearing,
        sent: &mut Sent,
    ) -> Result<(Attempt, Place), String> {
        let asked = Instant::now();
        let (place, own) = self.board(settings, dialler, origin, route).await;
        let made = place.0.line.get().ok_or("there is no connection")?;
        let line = made.as_ref().map_err(String::clone)?;
        let waited = asked.elapsed();
        // More may have waited for it than it has room for.
        let streams = place.0.taken.load(Ordering::SeqCst);
        let streams = streams.min(place.0.room()).max(1);
        sent.streams = u32::try_from(streams).unwrap_or(u32::MAX);
        match own {
            None => sent.queued += waited,
            Some(dial) => {
                sent.queued += waited.saturating_sub(dial.total());
                sent.dial = Some(dial);
                let ledger = line.ledger.lock();
                sent.bytes_out += ledger.bytes_out;
                sent.bytes_in += ledger.bytes_in;
            }
        }
        let request = (request, uri.clone());
        let attempt = exchange(settings, line, &place.0.left, request, hear, sent.start).await?;
        Ok((attempt, place))
    }
}

async fn exchange(
    settings: &WireSettings,
    line: &Line,
    left: &AtomicBool,
    (request, uri): (Outgoing, Uri),
    hear: &mut impl Hearing,
    start: Instant,
) -> Result<Attempt, String> {
    let before = {
        let ledger = line.ledger.lock();
        (
            ledger.bytes_out,
            ledger.bytes_in,
            ledger.reads,
            ledger.stampless,
            ledger.clamped,
        )
    };
    let sent = Arc::new(OnceLock::new());
    let parcel = Parcel::new(request.body, Arc::clone(&sent), line.ledger.clone());
    let mut message = Request::new(parcel);
    *message.method_mut() = Method::from_bytes(request.method.as_bytes())
        .map_err(|error| format!("{}: {error}", request.method))?;
    *message.uri_mut() = uri;
    *message.version_mut() = http::Version::HTTP_2;
    *message.headers_mut() = fields(request.headers)?;
    // The authority says it on HTTP/2.
    message.headers_mut().remove(HOST);
    let course = Course {
        start,
        limits: settings.limits,
        ledger: &line.ledger,
    };
    let mut untouched = None;
    let response = line.sender.clone().send_request(message);
    let response = response.inspect_err(|error| untouched = Untouched::told_by(error));
    let outcome = drive(response, course, &line.reader, hear).await;
    let mut attempt = Attempt::of(outcome, sent.get().copied(), &line.ledger, line.clock);
    attempt.untouched = untouched.is_some();
    if untouched == Some(Untouched::Left) {
        left.store(true, Ordering::SeqCst);
    }
    attempt.bytes_out -= before.0;
    attempt.bytes_in -= before.1;
    attempt.reads -= before.2;
    attempt.stampless -= before.3;
    attempt.clamped -= before.4;
    Ok(attempt)
}

/// How a server says that it has not worked on a request, which may be asked again for that reason (RFC 9113, section 8.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Untouched {
    /// It took its leave: GOAWAY without an error ends only those streams that come after the last one that it still
    /// serves.
    Left,
    /// REFUSED_STREAM, of this one alone.
    Refused,
}

impl Untouched {
    fn told_by(error: &hyper::Error) -> Option<Untouched> {
        let mut source = error.source();
        while let Some(one) = source {
            if let Some(error) = one.downcast_ref::<h2::Error>().filter(|e| e.is_remote()) {
                return match error.reason() {
                    Some(h2::Reason::NO_ERROR) if error.is_go_away() => Some(Untouched::Left),
                    Some(h2::Reason::REFUSED_STREAM) if error.is_reset() => {
                        Some(Untouched::Refused)
                    }
                    _ => None,
                };
            }
            source = one.source();
        }
        None
    }
}

/// Between two looks for what a server allows on a new connection. That time is part of no figure but `queued`.
const SETTINGS_ASKED: Duration = Duration::from_micros(500);

async fn open(
    settings: &WireSettings,
    dialler: &Dialler,
    origin: &Origin,
    route: &Route,
) -> Result<(Line, Dial), String> {
    let ledger = Shared::default();
    let limit = settings.limits.connect.min(settings.limits.total);
    let stamps = settings.kernel_stamps;
    let dialled = dialler
        .dial(origin, route, &settings.tls, stamps, ledger.clone(), limit)
        .await?;
    ledger.lock().take_turns();
    let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        // None before the server has said how many it allows: it refuses those that are too many, and those that wait
        // inside the framing would seem to wait for the server.
        .initial_max_send_streams(0)
        .handshake(TokioIo::new(dialled.stream))
        .await
        .map_err(|error| chain(&error))?;
    let asked = Instant::now();
    while connection.current_max_send_streams() == 0 {
        if asked.elapsed() > limit {
            return Err(format!(
                "the server allowed no stream within {limit:?} (HTTP/2 SETTINGS)"
            ));
        }
        // Nobody is told when it says so.
        if let Ok(ended) = timeout(SETTINGS_ASKED, &mut connection).await {
            let reason = ended.map_or_else(
                |error| chain(&error),
                |()| "the server closed the connection".to_owned(),
            );
            return Err(format!(
                "{reason}, before it allowed a request in HTTP/2; if it speaks HTTP/1.1 only, ask by --http 1"
            ));
        }
    }
    let allowed = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let told = Arc::clone(&allowed);
    // Ends with its last sender; what it says of its end, each exchange says for itself.
    tokio::spawn(std::future::poll_fn(move |cx| {
        let over = Pin::new(&mut connection).poll(cx).map(drop);
        told.store(connection.current_max_send_streams(), Ordering::SeqCst);
        over
    }));
    let line = Line {
        sender,
        allowed,
        ledger,
        reader: Arc::clone(&dialler.reader),
        clock: dialled.clock,
    };
    Ok((line, dialled.dial))
}
