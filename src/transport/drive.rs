//! One exchange on a connection of HTTP/2 that runs on its own: the head, the body and the limits, polled in turn.
//!
//! Must never let a part of a body out under the time of a later read: the connection is given the next read when all
//! that the last one woke have run, so that the time is that of its latest.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::transport::course::{self, Course, Outcome, Watch};
use crate::transport::live::chain;
use crate::transport::reader::Reader;
use crate::transport::stamped::Shared;
use crate::transport::wire::Hearing;
use crate::turn::exchange::End;

/// A request's body in one piece.
#[derive(Debug)]
pub(super) struct Parcel(Option<Contents>);

/// What is in it, which tells the ledger when its last byte is taken to be written. hyper takes the piece as a whole and
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
        Parcel(Some(Contents {
            bytes,
            sent,
            ledger,
        }))
    }
}

impl Body for Parcel {
    type Data = Contents;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Parcel>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Contents>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|contents| Ok(Frame::data(contents))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let contents = self.0.as_ref();
        SizeHint::with_exact(contents.map_or(0, |contents| contents.bytes.len()) as u64)
    }
}

enum Phase {
    Head,
    Body(Incoming),
}

/// Drives one exchange to its end. `reader` reads the connection, and is to look while others work.
pub(super) async fn drive<R, E, H>(
    response: R,
    course: Course<'_>,
    reader: &Reader,
    hear: &mut H,
) -> Outcome
where
    R: Future<Output = Result<Response<Incoming>, E>>,
    E: std::error::Error + 'static,
    H: Hearing,
{
    let mut response = pin!(response);
    let mut watch = pin!(Watch::new(&course));
    let mut phase = Phase::Head;
    let mut kept = 0;
    // When this exchange was heard of last; its connection may bring others' bytes.
    let mut heard = None;
    std::future::poll_fn(|cx| {
        // If nothing can be read, the connection is told.
        let _ = reader.tend();
        let mut moved = false;
        loop {
            let step = match &mut phase {
                Phase::Head => match response.as_mut().poll(cx) {
                    Poll::Pending => Step::Nothing,
                    Poll::Ready(Err(error)) => Step::End(End::Refused {
                        reason: chain(&error),
                    }),
                    Poll::Ready(Ok(answer)) => {
                        let (at, read) = course.times();
                        heard = Some(course.start + read);
                        let (parts, body) = answer.into_parts();
                        let fields = parts.headers.iter().map(|(name, value)| {
                            let value = String::from_utf8_lossy(value.as_bytes());
                            (name.as_str().to_owned(), value.into_owned())
                        });
                        let head = course::head(parts.status.as_u16(), fields.collect(), at);
                        hear.head(&head, read);
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
                            let (at, read) = course.times();
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
            let outcome = |end, stopped| Outcome {
                end,
                stopped,
                heard: answered,
            };
            match step {
                Step::Moved => moved = true,
                Step::Stop => return Poll::Ready(outcome(End::Complete, true)),
                Step::End(end) => return Poll::Ready(outcome(end, false)),
                Step::Nothing => {
                    let over = watch.as_mut().check(cx, &course, moved, || heard, answered);
                    return over.map_or(Poll::Pending, Poll::Ready);
                }
            }
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
