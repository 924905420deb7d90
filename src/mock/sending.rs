//! An answer on its way out: status, headers and bytes, each at its time.
//!
//! Shell: it waits and breaks connections. It must never decide what an answer says.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::mock::mutate::WireFault;
use crate::mock::outgoing::{Chunk, Finish, OutEvent, Outgoing, write};
use crate::mock::pace::Pace;

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
    Stream(Vec<Chunk>, Vec<Duration>, Finish),
    /// A whole body of which only this much is sent.
    Part(String, usize, Finish),
    Never,
    /// The connection is closed instead of an answer.
    Closed,
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
        stream = fault.apply(stream);
    }
    let first = pace.now();
    let mut dues = Vec::with_capacity(stream.events.len());
    let mut begun = false;
    for event in &stream.events {
        let says = Says::of(event);
        if says == Says::Token && begun {
            pace.token();
        }
        begun |= says == Says::Token;
        dues.push(if says == Says::Nothing && !begun {
            first.mul_f64(0.4)
        } else {
            pace.now()
        });
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
            body: ReplyBody::Stream(write(&stream), dues, stream.ending.finish()),
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
        Finish::Close => ReplyBody::Stream(
            vec![Chunk {
                bytes: text.into_bytes(),
                due: Some(0),
                apart: false,
            }],
            vec![pace.now()],
            Finish::Close,
        ),
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
struct Broken;

/// Sends it; returns when the head may leave.
pub async fn send(reply: Reply, arrived: Instant, stopped: watch::Receiver<bool>) -> Response {
    let body = match reply.body {
        ReplyBody::Whole(text) => Body::from(text),
        ReplyBody::Stream(chunks, dues, finish) => {
            // Headers leave with the first event that is due, as they do when a model is slow to start.
            if let Some(first) = chunks
                .first()
                .and_then(|chunk| chunk.due)
                .and_then(|index| dues.get(index))
            {
                sleep_until(arrived + *first).await;
            }
            paced(chunks, dues, finish, arrived, stopped)
        }
        ReplyBody::Part(text, length, finish) => {
            let bytes = text.into_bytes()[..length].to_vec();
            let chunk = Chunk {
                bytes,
                due: None,
                apart: false,
            };
            paced(vec![chunk], Vec::new(), finish, arrived, stopped)
        }
        // Nothing has left yet when the body breaks, so the head never does.
        ReplyBody::Closed => {
            Body::from_stream(stream::once(std::future::ready(Err::<Bytes, _>(Broken))))
        }
        ReplyBody::Never => {
            hang(stopped).await;
            Body::empty()
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
    response
}

/// Waits until the server stops.
async fn hang(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Chunks on absolute deadlines from the arrival of the request, so that a late one does not delay
/// the next.
fn paced(
    chunks: Vec<Chunk>,
    dues: Vec<Duration>,
    finish: Finish,
    arrived: Instant,
    stopped: watch::Receiver<bool>,
) -> Body {
    let dues: Arc<[Duration]> = dues.into();
    let state = (chunks.into_iter(), Some(finish));
    Body::from_stream(stream::unfold(state, move |(mut chunks, finish)| {
        let stopped = stopped.clone();
        let dues = Arc::clone(&dues);
        async move {
            let Some(chunk) = chunks.next() else {
                return match finish? {
                    Finish::Close => None,
                    // The last bytes must have left before the connection breaks.
                    Finish::Abort => {
                        sleep(APART).await;
                        Some((Err(Broken), (chunks, None)))
                    }
                    Finish::Hang => {
                        hang(stopped).await;
                        Some((Err(Broken), (chunks, None)))
                    }
                };
            };
            if let Some(due) = chunk.due.and_then(|index| dues.get(index)) {
                sleep_until(arrived + *due).await;
            }
            if chunk.apart {
                sleep(APART).await;
            }
            Some((Ok(Bytes::from(chunk.bytes)), (chunks, finish)))
        }
    }))
}
