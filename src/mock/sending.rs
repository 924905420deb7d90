//! An answer on its way out: status, headers and bytes, each at its time.
//!
//! Shell: it waits and breaks connections. It must never decide what an answer says.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until};

use crate::mock::lateness::Streams;
use crate::mock::mutate::WireFault;
use crate::mock::outgoing::{Chunk, Finish, OutEvent, Outgoing, write};
use crate::mock::pace::{Pace, Stall};
use crate::mock::run;
use crate::mock::stamped::{Line, Mark, Moment, Sent, micros};
use crate::mock::truth::{Truth, TruthLine};

/// Between two writes that must not reach the reader as one.
const APART: Duration = Duration::from_millis(3);

/// An answer about to be sent, and whom it was for.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: ReplyBody,
    pub principal: Option<String>,
}

pub enum ReplyBody {
    Whole(String),
    Paced(Paced),
    /// A whole body of which only this much is sent.
    Part(String, usize, Finish),
    Never,
    /// The connection is closed instead of an answer.
    Closed,
}

/// Pieces of a body, each at its time.
pub struct Paced {
    pub chunks: Vec<Chunk>,
    /// Of each event; chunks refer to these.
    pub dues: Vec<Due>,
    pub finish: Finish,
    /// Whether these are the events of a stream, whose pace is recorded.
    pub streamed: bool,
}

/// When an event is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// From the arrival of the request.
    pub at: Duration,
    /// Whether it is an output event: one with a piece of what the model says.
    pub output: bool,
}

impl Reply {
    /// A whole JSON body.
    pub fn json(status: u16, value: &Value) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: ReplyBody::Whole(value.to_string()),
            principal: None,
        }
    }
}

/// How much an event says, for when it is due.
#[derive(PartialEq)]
enum Says {
    /// It announces the answer, before the model has thought.
    Nothing,
    Token,
    Other,
}

impl Says {
    fn of(event: &OutEvent) -> Says {
        if let Some(kind) = event.kind() {
            return match kind {
                "response.created" | "response.in_progress" | "messageStart" => Says::Nothing,
                "contentBlockDelta" => Says::Token,
                _ if kind.ends_with(".delta") => Says::Token,
                _ => Says::Other,
            };
        }
        if let Some(delta) = event.data.pointer("/event/contentBlockDelta") {
            return match delta.is_null() {
                true => Says::Other,
                false => Says::Token,
            };
        }
        // A chunk. The role comes together with the first token.
        let delta = &event.data["choices"][0]["delta"];
        let keys = ["content", "reasoning", "refusal", "tool_calls"];
        if event.data.get("prompt_filter_results").is_some() {
            Says::Nothing
        } else if delta["role"].is_null() && keys.iter().any(|key| !delta[*key].is_null()) {
            Says::Token
        } else {
            Says::Other
        }
    }
}

/// What a stream comes to, where one of its events says so.
enum End<'a> {
    Response(&'a Value),
    /// A chunk that is an error; without a stream it is the body.
    Error(&'a Value),
}

fn end(event: &OutEvent) -> Option<End<'_>> {
    match event.kind() {
        Some("response.completed" | "response.incomplete" | "response.failed") => {
            Some(End::Response(&event.data["response"]))
        }
        None if event.data.get("error").is_some() => Some(End::Error(&event.data)),
        _ => None,
    }
}

/// A good answer with the fault, if there is one, as the request wants it: streamed or whole.
pub fn good(
    streamed: bool,
    outgoing: Outgoing,
    fault: Option<&WireFault>,
    mut pace: Pace,
) -> Reply {
    let mut stream = outgoing.stream;
    if let Some(fault) = fault {
        stream = fault.apply(stream.unrolled());
    }
    let first = pace.now();
    let mut dues = Vec::with_capacity(stream.events.len());
    let mut begun = false;
    for event in &stream.events {
        let says = Says::of(event);
        for _ in 0..run::length(event) {
            if says == Says::Token && begun {
                pace.token();
            }
            begun |= says == Says::Token;
            let announces = says == Says::Nothing && !begun;
            dues.push(Due {
                at: if announces {
                    first.mul_f64(0.4)
                } else {
                    pace.now()
                },
                output: says == Says::Token,
            });
        }
    }
    if streamed {
        return Reply {
            status: stream.status,
            headers: [
                ("content-type".to_owned(), stream.content_type.clone()),
                ("cache-control".to_owned(), "no-cache".to_owned()),
            ]
            .into_iter()
            .chain(stream.headers.iter().cloned())
            .collect(),
            body: ReplyBody::Paced(Paced {
                chunks: write(&stream),
                dues,
                finish: stream.ending.finish(),
                streamed: true,
            }),
            principal: None,
        };
    }
    // Without a stream the same fault shows in the object that would have ended it.
    let (status, object) = match stream.events.iter().rev().find_map(end) {
        Some(End::Response(object)) => (stream.status, object),
        Some(End::Error(body)) => (500, body),
        None => (stream.status, &outgoing.whole),
    };
    let text = object.to_string();
    let finish = stream.ending.finish();
    let body = match finish {
        Finish::Close => ReplyBody::Paced(Paced {
            chunks: vec![Chunk {
                bytes: text.into(),
                due: Some(0),
                apart: false,
            }],
            dues: vec![Due {
                at: pace.now(),
                output: false,
            }],
            finish,
            streamed: false,
        }),
        Finish::Abort | Finish::Hang => {
            let half = text.len() / 2;
            ReplyBody::Part(text, half, finish)
        }
    };
    Reply {
        status,
        headers: [("content-type".to_owned(), "application/json".to_owned())]
            .into_iter()
            .chain(stream.headers)
            .collect(),
        body,
        principal: None,
    }
}

/// An error inside the body, which makes the server break the connection.
#[derive(Debug, thiserror::Error)]
#[error("the mock breaks the connection")]
pub struct Broken;

/// What an answer has to know of its server and connection.
pub struct Way {
    pub line: Arc<Line>,
    /// When the last byte of the request was read.
    pub arrived: Moment,
    pub streams: Arc<Streams>,
    pub truth: Option<Truth>,
    pub stall: Option<Stall>,
    /// When the server started.
    pub started: Instant,
    pub stopped: watch::Receiver<bool>,
    /// The id of this answer, as its head tells it.
    pub request_id: String,
}

impl Way {
    /// When something leaves that is due so long after the request; a stall of the server moves it.
    fn deadline(&self, due: Duration) -> Instant {
        let due = self.arrived.steady + due;
        self.stall
            .map_or(due, |stall| stall.moved(self.started, due))
    }
}

/// Sends it; returns when the head may leave.
pub async fn send(reply: Reply, way: Way) -> Result<Response<Sending>, Infallible> {
    let body = match reply.body {
        ReplyBody::Whole(text) => Sending::Whole(Some(text.into())),
        ReplyBody::Paced(paced) => {
            let sent = paced.streamed.then(|| Arc::new(begin(&paced, &way)));
            // Headers leave with the first event that is due, as they do when a model is slow to start.
            if let Some(first) = paced.chunks.first().and_then(|chunk| chunk.due)
                && let Some(due) = paced.dues.get(first)
            {
                sleep_until(way.deadline(due.at).into()).await;
            }
            Sending::Paced(Box::new(Writing::of(paced, way, sent)))
        }
        ReplyBody::Part(text, length, finish) => {
            let chunk = Chunk {
                bytes: Bytes::from(text).slice(..length),
                due: None,
                apart: false,
            };
            let part = Paced {
                chunks: vec![chunk],
                dues: Vec::new(),
                finish,
                streamed: false,
            };
            Sending::Paced(Box::new(Writing::of(part, way, None)))
        }
        // Nothing has left yet when the body breaks, so the head never does.
        ReplyBody::Closed => Sending::Broken,
        ReplyBody::Never => {
            hang(way.stopped).await;
            Sending::Whole(None)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert("content-type", json);
    for (name, value) in reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

fn begin(paced: &Paced, way: &Way) -> Sent {
    let first = paced.dues.iter().find(|due| due.output);
    let line = TruthLine {
        request_id: way.request_id.clone(),
        read_us: micros(way.arrived.wall),
        first_output_due_us: first.map(|due| {
            let wait = way.deadline(due.at) - way.arrived.steady;
            micros(way.arrived.wall + wait)
        }),
        ..TruthLine::default()
    };
    Sent::begin(Arc::clone(&way.streams), way.truth.clone(), line)
}

/// Waits until the server stops.
pub(in crate::mock) async fn hang(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The body of an answer on its way.
pub enum Sending {
    Whole(Option<Bytes>),
    Paced(Box<Writing>),
    Broken,
}

/// Chunks on absolute deadlines from the arrival of the request, so that a late one does not delay
/// the next.
pub struct Writing {
    chunks: std::vec::IntoIter<Chunk>,
    dues: Vec<Due>,
    /// The chunk whose turn it is, and when it leaves.
    next: Option<(Chunk, Instant)>,
    finish: Option<Finish>,
    way: Way,
    sent: Option<Arc<Sent>>,
    /// One timer for all chunks.
    timer: Pin<Box<Sleep>>,
    hanging: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Writing {
    fn of(paced: Paced, way: Way, sent: Option<Arc<Sent>>) -> Writing {
        Writing {
            timer: Box::pin(sleep_until(way.arrived.steady.into())),
            chunks: paced.chunks.into_iter(),
            dues: paced.dues,
            next: None,
            finish: Some(paced.finish),
            way,
            sent,
            hanging: None,
        }
    }

    /// Ready once this moment has come. A moment that is past costs no timer.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if deadline <= Instant::now() {
            return Poll::Ready(());
        }
        let deadline = tokio::time::Instant::from_std(deadline);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if self.next.is_none()
            && let Some(chunk) = self.chunks.next()
        {
            let due = chunk.due.and_then(|index| self.dues.get(index));
            let due = due.map(|due| self.way.deadline(due.at));
            let mut leaves = due.unwrap_or(self.way.arrived.steady);
            if chunk.apart {
                leaves = leaves.max(Instant::now()) + APART;
            }
            self.next = Some((chunk, leaves));
        }
        if let Some((_, leaves)) = self.next {
            ready!(self.poll_until(cx, leaves));
            return Poll::Ready(self.next.take().map(|(chunk, _)| Ok(self.hand_over(chunk))));
        }
        match self.finish {
            None => Poll::Ready(None),
            Some(Finish::Close) => {
                self.finish = None;
                if let Some(sent) = self.sent.take() {
                    sent.complete();
                }
                Poll::Ready(None)
            }
            // The last bytes must have left before the connection breaks.
            Some(finish) => {
                let stopped = &self.way.stopped;
                let hanging = self.hanging.get_or_insert_with(|| match finish {
                    Finish::Hang => Box::pin(hang(stopped.clone())),
                    _ => Box::pin(tokio::time::sleep(APART)),
                });
                ready!(hanging.as_mut().poll(cx));
                self.finish = None;
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }

    /// The bytes of a chunk, and a note on the connection where they begin an event.
    fn hand_over(&mut self, chunk: Chunk) -> Bytes {
        let due = chunk.due.and_then(|index| self.dues.get(index));
        if let (Some(due), Some(sent)) = (due, &self.sent) {
            self.way.line.hand_over(Mark {
                due: self.way.deadline(due.at),
                output: due.output,
                stream: Arc::clone(sent),
            });
        }
        chunk.bytes
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Sending::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Sending::Paced(writing) => writing
                .poll(cx)
                .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
            Sending::Broken => Poll::Ready(Some(Err(Broken))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Sending::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Sending::Paced(_) | Sending::Broken => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sending::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Sending::Paced(_) | Sending::Broken => SizeHint::default(),
        }
    }
}
