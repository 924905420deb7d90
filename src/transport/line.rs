//! An HTTP/1.1 connection, and one exchange at a time on it, without a client library above it.
//!
//! A general client has a task, channels and buffers for each connection; of what a stream took of processor time and
//! memory, they were the greater part. Here whoever asks writes and reads the socket itself, and hears each read before
//! the next is taken: so no part of an answer gets the time of a later one.
//!
//! Never retries, never follows redirects, and asks for nothing that would change the connection (no upgrade, no
//! `Expect`).

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Write};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::task::unconstrained;

use crate::transport::course::{self, Course, Outcome, Watch};
use crate::transport::dial::Stream;
use crate::transport::framing::{self, Body, Found, LONGEST_HEAD, Malformed};
use crate::transport::live::chain;
use crate::transport::stamped::Shared;
use crate::transport::wire::{Clock, Hearing};
use crate::turn::exchange::End;

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: Stream,
    pub(super) ledger: Shared,
    pub(super) clock: Clock,
    /// When it was used last.
    pub(super) since: Instant,
    /// The last exchange on it left it ready for another.
    ready: bool,
}

/// A request as it is written; a clone shares its bytes. `Debug` does not exist: the head holds secrets.
#[derive(Clone)]
pub(super) struct Message {
    head: Bytes,
    body: Bytes,
}

impl Message {
    /// The bytes of a request. `target`: what the request line names.
    pub(super) fn new(
        method: &str,
        target: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Message, String> {
        if !body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut head = Vec::with_capacity(512);
        let mut write = || {
            write!(head, "{method} {target} HTTP/1.1\r\n")?;
            for (name, value) in &headers {
                head.write_all(name.as_str().as_bytes())?;
                head.write_all(b": ")?;
                head.write_all(value.as_bytes())?;
                head.write_all(b"\r\n")?;
            }
            head.write_all(b"\r\n")
        };
        write().map_err(|error: io::Error| chain(&error))?;
        let head = head.into();
        Ok(Message { head, body })
    }
}

/// How far a request is written.
enum Writing {
    Bytes(bytes::buf::Chain<Bytes, Bytes>),
    /// All is taken, by the kernel or by TLS.
    Flush,
    Done,
    /// What has come nevertheless is heard: a server may refuse a request that it has not read.
    Failed(io::Error),
}

impl Line {
    pub(super) fn new(stream: Stream, ledger: Shared, clock: Clock) -> Line {
        Line {
            stream,
            ledger,
            clock,
            since: Instant::now(),
            ready: true,
        }
    }

    /// Whether another request can be written: the last exchange ended as it should, and nothing has come since, not
    /// even the end.
    pub(super) fn is_ready(&mut self) -> bool {
        let quiet = poll_fn(|cx| {
            let came = Pin::new(&mut self.stream).poll_fill_buf(cx);
            Poll::Ready(came.is_pending())
        });
        // Without its budget the task would be told that nothing came.
        let cx = &mut Context::from_waker(Waker::noop());
        self.ready && pin!(unconstrained(quiet)).poll(cx) == Poll::Ready(true)
    }

    /// One exchange: writes the request, hears the answer. `sent` is set when the last byte of the request was given to
    /// the kernel.
    pub(super) async fn exchange(
        &mut self,
        message: Message,
        course: Course<'_>,
        hear: &mut impl Hearing,
        sent: &mut Option<Instant>,
    ) -> Outcome {
        self.ready = false;
        let stream = &mut self.stream;
        let mut writing = Writing::Bytes(message.head.chain(message.body));
        let mut answer = Answer::default();
        let mut watch = pin!(Watch::new(&course));
        let outcome = poll_fn(|cx| {
            if writing.go_on(stream, cx) {
                *sent = course.ledger.lock().written();
            }
            let mut moved = false;
            while let Poll::Ready(came) = Pin::new(&mut *stream).poll_fill_buf(cx) {
                moved = true;
                let step = match came {
                    Ok([]) => answer.end(&writing),
                    Ok(came) => {
                        let step = answer.hear(came, &course, hear);
                        let all = came.len();
                        Pin::new(&mut *stream).consume(all);
                        step
                    }
                    Err(error) => ControlFlow::Break(answer.broken(chain(&error))),
                };
                if let ControlFlow::Break(outcome) = step {
                    return Poll::Ready(outcome);
                }
            }
            if moved && matches!((&writing, &*stream), (Writing::Done, Stream::Secure(_))) {
                // TLS may have to answer what it read. Where that fails, reading tells.
                let _ = Pin::new(&mut *stream).poll_flush(cx);
            }
            let heard = || course.ledger.lock().latest.map(|arrival| arrival.read);
            let over = watch
                .as_mut()
                .check(cx, &course, moved, heard, answer.body.is_some());
            match (over, &writing) {
                (None, _) => Poll::Pending,
                // Nobody can answer what was not asked.
                (Some(_), Writing::Failed(error)) if answer.body.is_none() => {
                    Poll::Ready(answer.broken(unwritten(error)))
                }
                (Some(over), _) => Poll::Ready(over),
            }
        })
        .await;
        self.ready = answer.left_ready && matches!(writing, Writing::Done);
        outcome
    }
}

impl Writing {
    /// Writes what the connection takes. Whether the last byte is with the kernel since just now.
    fn go_on(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> bool {
        if matches!(self, Writing::Done | Writing::Failed(_)) {
            return false;
        }
        match self.poll(stream, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => {
                *self = Writing::Done;
                true
            }
            Poll::Ready(Err(error)) => {
                *self = Writing::Failed(error);
                false
            }
        }
    }

    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Writing::Bytes(bytes) = self {
            while bytes.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 2];
                let parts = bytes.chunks_vectored(&mut slices);
                let stream = Pin::new(&mut *stream);
                let taken = ready!(stream.poll_write_vectored(cx, &slices[..parts]))?;
                if taken == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                bytes.advance(taken);
            }
            *self = Writing::Flush;
        }
        Pin::new(stream).poll_flush(cx)
    }
}

fn unwritten(error: &io::Error) -> String {
    format!("the request could not be written: {error}")
}

/// What has come of an answer.
#[derive(Default)]
struct Answer {
    /// The head, as long as it is not whole.
    head: Vec<u8>,
    /// Bytes of the interim heads before it.
    interim: usize,
    body: Option<Body>,
    /// Bytes of the body that were heard.
    kept: usize,
    /// The server keeps the connection open behind the body.
    stays: bool,
    left_ready: bool,
}

impl Answer {
    fn over(&self, end: End, stopped: bool) -> Outcome {
        Outcome {
            end,
            stopped,
            heard: self.body.is_some() || self.interim + self.head.len() > 0,
        }
    }

    fn broken(&self, reason: String) -> Outcome {
        let end = match self.body {
            Some(_) => End::Dropped { reason },
            None => End::Refused { reason },
        };
        self.over(end, false)
    }

    /// The connection has ended.
    fn end(&self, writing: &Writing) -> ControlFlow<Outcome> {
        ControlFlow::Break(match (&self.body, writing) {
            (Some(body), _) if body.may_end() => self.over(End::Complete, false),
            (Some(_), _) => {
                self.broken("the server closed the connection within its answer".to_owned())
            }
            (None, Writing::Failed(error)) => self.broken(unwritten(error)),
            (None, _) if self.head.is_empty() => {
                self.broken("the server closed the connection before it answered".to_owned())
            }
            (None, _) => self.broken(
                "the server closed the connection within the head of its answer".to_owned(),
            ),
        })
    }

    /// Hears what one read has brought.
    fn hear(
        &mut self,
        came: &[u8],
        course: &Course<'_>,
        hear: &mut impl Hearing,
    ) -> ControlFlow<Outcome> {
        if self.body.is_some() {
            return self.hear_body(came, course, hear);
        }
        // No line has ended: nothing to be read, unless it is the first that comes.
        let open = !self.head.is_empty() && !came.contains(&b'\n');
        self.head.extend_from_slice(came);
        let found = match open {
            true => Ok(Found::Part(0)),
            false => framing::head(&self.head),
        };
        let found = match found {
            Ok(Found::Head(found)) => found,
            Ok(Found::Part(interim)) => {
                self.head.drain(..interim);
                self.interim += interim;
                if self.interim + self.head.len() < LONGEST_HEAD {
                    return ControlFlow::Continue(());
                }
                return ControlFlow::Break(self.broken(Malformed::LongHead.to_string()));
            }
            Err(error) => return ControlFlow::Break(self.broken(error.to_string())),
        };
        let (at, read) = course.times();
        hear.head(&course::head(found.status, found.fields, at), read);
        self.body = Some(found.body);
        self.stays = found.kept;
        let came = std::mem::take(&mut self.head);
        self.hear_body(&came[found.len..], course, hear)
    }

    fn hear_body(
        &mut self,
        mut came: &[u8],
        course: &Course<'_>,
        hear: &mut impl Hearing,
    ) -> ControlFlow<Outcome> {
        let Some(mut body) = self.body else {
            return ControlFlow::Continue(());
        };
        let (at, read) = course.times();
        loop {
            let part = body.next(&mut came);
            self.body = Some(body);
            match part {
                Err(error) => return ControlFlow::Break(self.broken(error.to_string())),
                Ok(None) if body.is_whole() => {
                    // What nobody asked for is no beginning of the next answer.
                    self.left_ready = self.stays && came.is_empty();
                    return ControlFlow::Break(self.over(End::Complete, false));
                }
                Ok(None) => return ControlFlow::Continue(()),
                Ok(Some(part)) => {
                    let fits = part.len().min(course.limits.body - self.kept);
                    self.kept += fits;
                    if hear.bytes(at, read, &part[..fits]).is_break() {
                        return ControlFlow::Break(self.over(End::Complete, true));
                    }
                    if !hear.awaits_beginning() {
                        course.ledger.lock().calm();
                    }
                    if fits < part.len() {
                        let limit = course.limits.body;
                        return ControlFlow::Break(self.over(End::TooBig { limit }, false));
                    }
                }
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::transport::Limits;
    use crate::transport::line::*;
    use crate::transport::reader::Reader;
    use crate::transport::stamped::Socket;
    use crate::turn::exchange::Head;

    /// Wants the first two parts at once, and notes at which the worker still hurries.
    struct Two {
        ledger: Shared,
        server: std::net::TcpStream,
        hurried: Vec<bool>,
    }

    impl Hearing for Two {
        fn head(&mut self, _: &Head, _: Duration) {
            assert!(self.ledger.lock().is_awaited());
            self.server.write_all(b"x").expect("a connection");
        }

        fn bytes(&mut self, _: Duration, _: Duration, _: &[u8]) -> ControlFlow<()> {
            self.hurried.push(self.ledger.lock().is_awaited());
            if self.hurried.len() < 4 {
                self.server.write_all(b"x").expect("a connection");
            }
            ControlFlow::Continue(())
        }

        fn awaits_beginning(&self) -> bool {
            self.hurried.len() < 2
        }
    }

    #[tokio::test]
    async fn a_worker_hurries_until_the_beginning_was_heard_and_again_for_the_next_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut server = listener.accept().unwrap().0;
        let reader = Reader::start(false, Arc::default()).unwrap();
        let ledger = Shared::default();
        let socket = Socket::new(stream, &reader, false, ledger.clone()).unwrap();
        let mut line = Line::new(Stream::Plain(socket), ledger.clone(), Clock::Read);
        for _ in 0..2 {
            server
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
                .unwrap();
            let mut two = Two {
                ledger: ledger.clone(),
                server: server.try_clone().unwrap(),
                hurried: Vec::new(),
            };
            let long = Duration::from_secs(20);
            let course = Course {
                start: Instant::now(),
                limits: Limits {
                    connect: long,
                    idle: long,
                    total: long,
                    body: 100,
                },
                ledger: &ledger,
            };
            let message = Message::new("GET", "/", HeaderMap::new(), Bytes::new()).unwrap();
            let outcome = line.exchange(message, course, &mut two, &mut None).await;
            assert!(matches!(outcome.end, End::Complete), "{outcome:?}");
            assert_eq!(two.hurried, [true, true, false, false]);
            let mut asked = [0; 18];
            server.read_exact(&mut asked).unwrap();
        }
    }
}
