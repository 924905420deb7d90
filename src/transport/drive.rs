//! One exchange on a connection that is there: the connection, the head, the body and the limits, polled in
//! turn by one task.
//!
//! Must never let a part of a body out under the time of a later read: a read is granted only when all that
//! the last one brought has been heard. On HTTP/2 the connection runs on its own, and is given the next read when all
//! that the last one woke have run: the time is that of its latest.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::Response;
use http::header::{DATE, RETRY_AFTER};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::Connection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::{Sleep, sleep_until};

use crate::transport::Limits;
use crate::transport::dial::Stream;
use crate::transport::live::chain;
use crate::transport::reader::Reader;
use crate::transport::relay::Relay;
use crate::transport::stamped::Shared;
use crate::transport::wire::Hearing;
use crate::turn::exchange::{End, Head};

/// A request's body in one piece. In a box, because hyper makes room for 32 requests in each connection.
#[derive(Debug)]
pub(super) struct Parcel(Option<Box<Contents>>);

/// What is in it, which tells the ledger when its last byte is taken to be written. HTTP/2 takes the piece as a whole and
/// keeps what has no room yet: in the windows of flow control, or before the server allows the stream.
#[derive(Debug)]
pub(super) struct Contents {
    bytes: Bytes,
    sent: Arc<OnceLock<Instant>>,
    ledger: Shared,
}

impl Buf for Contents {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, taken: usize) {
        self.bytes.advance(taken);
        if taken > 0 && self.bytes.is_empty() {
            self.ledger.lock().hand(Arc::clone(&self.sent));
        }
    }
}

impl Parcel {
    /// `sent` is set when the last byte is with the kernel.
    pub(super) fn new(bytes: Bytes, sent: Arc<OnceLock<Instant>>, ledger: Shared) -> Parcel {
        if bytes.is_empty() {
            ledger.lock().hand(sent);
            return Parcel(None);
        }
        Parcel(Some(Box::new(Contents {
            bytes,
            sent,
            ledger,
        })))
    }
}

impl Body for Parcel {
    type Data = Contents;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Parcel>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Contents>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|contents| Ok(Frame::data(*contents))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let contents = self.0.as_ref();
        SizeHint::with_exact(contents.map_or(0, |contents| contents.bytes.len()) as u64)
    }
}

/// An HTTP/1.1 connection, driven by whoever uses it.
#[derive(Debug)]
pub(super) struct Driven {
    connection: Connection<Stream, Parcel>,
    /// It has ended, and may not be polled again.
    pub(super) over: bool,
}

impl Driven {
    pub(super) fn new(connection: Connection<Stream, Parcel>) -> Driven {
        Driven {
            connection,
            over: false,
        }
    }

    /// Lets the connection do what it can. What it says of its end, the response or its body says too.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.over {
            self.over = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }
}

/// How an exchange went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    /// Whoever heard wanted no more.
    pub(super) stopped: bool,
    pub(super) answered: bool,
}

enum Phase {
    Head,
    Body(Incoming),
}

/// What the parts of an exchange share while it lasts.
pub(super) struct Course<'a> {
    pub(super) start: Instant,
    pub(super) limits: Limits,
    pub(super) ledger: &'a Shared,
    /// Reads the connection where the exchange does not: it is to look while others work.
    pub(super) reader: Option<&'a Reader>,
    pub(super) relay: &'a Arc<Relay>,
    /// Of the relay, made once for the connection.
    pub(super) waker: &'a Waker,
}

/// Drives one exchange to its end. `driven` is absent where the connection runs on its own.
pub(super) async fn drive<R, E, H>(
    mut driven: Option<&mut Driven>,
    response: R,
    course: Course<'_>,
    hear: &mut H,
) -> Outcome
where
    R: Future<Output = Result<Response<Incoming>, E>>,
    E: std::error::Error + 'static,
    H: Hearing,
{
    let mut response = pin!(response);
    let begun = Instant::now();
    let mut watch = pin!(Watch::new(&course, begun));
    let mut phase = Phase::Head;
    let mut kept = 0;
    // When this exchange was heard of last; its connection may bring others' bytes.
    let mut heard = None;
    std::future::poll_fn(|task| {
        if let Some(reader) = course.reader {
            // If nothing can be read, the connection is told.
            let _ = reader.tend();
        }
        course.relay.serve(task.waker());
        let cx = &mut Context::from_waker(course.waker);
        // All of the last read was heard before this task slept.
        let mut may_read = true;
        let mut moved = false;
        loop {
            course.relay.enter();
            if let Some(driven) = driven.as_deref_mut() {
                course.ledger.lock().grant(may_read);
                driven.poll(cx);
            }
            let step = match &mut phase {
                Phase::Head => match response.as_mut().poll(cx) {
                    Poll::Pending => Step::Nothing,
                    Poll::Ready(Err(error)) => Step::End(End::Refused {
                        reason: chain(&error),
                    }),
                    Poll::Ready(Ok(answer)) => {
                        let (at, read) = times(course.ledger, course.start);
                        heard = Some(course.start + read);
                        let (parts, body) = answer.into_parts();
                        hear.head(&head(&parts, at), read);
                        phase = Phase::Body(body);
                        Step::Moved
                    }
                },
                Phase::Body(body) => match Pin::new(body).poll_frame(cx) {
                    Poll::Pending => Step::Nothing,
                    Poll::Ready(None) => Step::End(End::Complete),
                    Poll::Ready(Some(Err(error))) => Step::End(End::Dropped {
                        reason: chain(&error),
                    }),
                    Poll::Ready(Some(Ok(frame))) => match frame.data_ref() {
                        None => Step::Moved,
                        Some(bytes) => {
                            let (at, read) = times(course.ledger, course.start);
                            heard = Some(course.start + read);
                            let fits = bytes.len().min(course.limits.body - kept);
                            kept += fits;
                            match hear.bytes(at, read, &bytes[..fits]) {
                                ControlFlow::Break(()) => Step::Stop,
                                ControlFlow::Continue(()) if fits < bytes.len() => {
                                    Step::End(End::TooBig {
                                        limit: course.limits.body,
                                    })
                                }
                                ControlFlow::Continue(()) => Step::Moved,
                            }
                        }
                    },
                },
            };
            let answered = matches!(phase, Phase::Body(_));
            let closed = driven.as_deref().is_some_and(|driven| driven.over);
            let outcome = |end, stopped| Outcome {
                end,
                stopped,
                answered,
            };
            match step {
                Step::Moved => {
                    moved = true;
                    may_read = false;
                    continue;
                }
                Step::Stop => return Poll::Ready(outcome(End::Complete, true)),
                Step::End(end) => return Poll::Ready(outcome(end, false)),
                // A connection that has ended wakes nobody any more, and what it has not said it never will.
                Step::Nothing if closed => {
                    let reason = "the server closed the connection".to_owned();
                    let end = match answered {
                        true => End::Dropped { reason },
                        false => End::Refused { reason },
                    };
                    return Poll::Ready(outcome(end, false));
                }
                Step::Nothing => {}
            }
            // Nothing is left of the last read, and there is more to be read.
            if driven.is_some() && course.ledger.lock().refused() {
                may_read = true;
                continue;
            }
            // What arrived is nearer than any limit, and the alarm stays set, unless it has rung.
            if (!moved || !watch.set || watch.alarm.is_elapsed())
                && let Some(end) =
                    watch
                        .as_mut()
                        .check(cx, &course, heard, driven.is_some(), answered)
            {
                return Poll::Ready(outcome(end, false));
            }
            course.relay.leave();
            return Poll::Pending;
        }
    })
    .await
}

enum Step {
    Nothing,
    Moved,
    Stop,
    End(End),
}

/// When the bytes at hand arrived, and when we had them, from the start.
fn times(ledger: &Shared, start: Instant) -> (Duration, Duration) {
    let latest = ledger.lock().latest;
    latest.map_or_else(
        || (start.elapsed(), start.elapsed()),
        |arrival| {
            (
                arrival.at.saturating_duration_since(start),
                arrival.read.saturating_duration_since(start),
            )
        },
    )
}

fn head(parts: &http::response::Parts, at: Duration) -> Head {
    // A recipient with a clock adds the date that is missing (RFC 9110, section 6.6.1). It takes one only to read by
    // when to ask again.
    let dateless = !parts.headers.contains_key(DATE)
        && parts.headers.get(RETRY_AFTER).is_some_and(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.parse::<f64>().is_err())
        });
    let now = dateless
        .then(|| OffsetDateTime::now_utc().format(&Rfc2822).ok())
        .flatten()
        .map(|now| (DATE.as_str().to_owned(), now));
    Head {
        status: parts.status.as_u16(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .chain(now)
            .collect(),
        at,
    }
}

pin_project_lite::pin_project! {
    /// One alarm for both limits. It is set anew only when it rings: a read moves the idle limit on, and
    /// most alarms ring in vain once.
    struct Watch {
        #[pin]
        alarm: Sleep,
        set: bool,
        begun: Instant,
    }
}

impl Watch {
    fn new(course: &Course<'_>, begun: Instant) -> Watch {
        let first = (begun + course.limits.idle).min(course.start + course.limits.total);
        Watch {
            alarm: sleep_until(first.into()),
            set: false,
            begun,
        }
    }

    fn check(
        self: Pin<&mut Watch>,
        cx: &mut Context<'_>,
        course: &Course<'_>,
        heard: Option<Instant>,
        alone: bool,
        answered: bool,
    ) -> Option<End> {
        let mut this = self.project();
        *this.set = true;
        while this.alarm.as_mut().poll(cx).is_ready() {
            // Alone on its connection, bytes that are no part of an answer yet count too.
            let latest = || course.ledger.lock().latest.map(|arrival| arrival.read);
            let heard = if alone { latest() } else { heard };
            let since = heard.map_or(*this.begun, |read| read.max(*this.begun));
            let idle = since + course.limits.idle;
            let total = course.start + course.limits.total;
            let now = Instant::now();
            if now >= total {
                return Some(End::TooLong {
                    after: course.limits.total,
                });
            }
            if now >= idle {
                let after = course.limits.idle;
                return Some(if answered {
                    End::Stalled { after }
                } else {
                    End::NoHead { after }
                });
            }
            this.alarm.as_mut().reset(idle.min(total).into());
        }
        None
    }
}
