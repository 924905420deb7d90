//! What went wrong, out of what came back: error bodies, broken connections and errors in a stream.
//!
//! The envelopes of all providers are read the same way, by their shape and never by who sent them.
//! Which class a failure has is the catalogue's business; this finds the words that it judges.

mod envelope;
mod wait;

pub(crate) use crate::dialect::failure::wait::asked_by_head;

use std::time::Duration;

use crate::catalog::failure::{Failures, Symptom, UNKNOWN};
use crate::dialect::failure::envelope::{named_in, said_as_error};
use crate::dialect::failure::wait::{asked, wait_in_text};
use crate::turn::exchange::{End, Head};
use crate::turn::trace::{Failure, Layer};

pub use crate::dialect::failure::envelope::Envelope;

/// The most of a provider's message that is kept, in bytes.
pub const MESSAGE_LIMIT: usize = 2048;
/// The most of a code, kind or param that is kept, in bytes.
const WORD_LIMIT: usize = 200;
/// The most of a body that patterns are matched against, in bytes.
const TEXT_LIMIT: usize = 64 * 1024;

/// Who is asked about the class of a failure, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    pub provider: &'a str,
    pub failures: &'a Failures,
}

impl Judge<'_> {
    fn class(&self, status: u16, envelope: &Envelope) -> String {
        let text = cut(envelope.judged(), TEXT_LIMIT);
        let symptom = Symptom {
            provider: self.provider,
            status,
            code: envelope.code.as_deref(),
            kind: envelope.kind.as_deref(),
            param: envelope.param.as_deref(),
            named: named_in(text),
            text,
        };
        self.failures.classify(&symptom).to_owned()
    }

    /// The failure that an HTTP status other than success says.
    pub fn status(&self, head: &Head, body: &[u8]) -> Failure {
        let envelope = Envelope::of_body(body, Some(head));
        let class = self.class(head.status, &envelope);
        let retry_after = asked(head, &envelope.message);
        let status = head.status;
        let empty = match head.header("location") {
            Some(place) if (300..400).contains(&status) => {
                format!("HTTP {status}: the server sends elsewhere, to {place}")
            }
            _ => format!("HTTP {status} with an empty body"),
        };
        envelope.failure(class, Layer::Response, Some(status), &empty, retry_after)
    }

    /// The failure of a body that is not an answer though nothing said it would not be: an error in
    /// disguise, or something else altogether, which is `bad_response`. `head` is `None` for a file.
    pub fn not_an_answer(&self, head: Option<&Head>, body: &[u8]) -> Failure {
        let envelope = Envelope::of_body(body, head);
        let status = head.map(|head| head.status);
        let mut class = UNKNOWN.to_owned();
        if said_as_error(body) {
            // Gateways write the status that they mean into the code.
            let meant = envelope
                .code
                .as_deref()
                .and_then(|code| code.parse().ok())
                .filter(|code| (400..600).contains(code));
            class = self.class(meant.or(status).unwrap_or(0), &envelope);
        }
        if class == UNKNOWN {
            class = "bad_response".to_owned();
        }
        let retry_after = head.and_then(|head| asked(head, &envelope.message));
        envelope.failure(
            class,
            Layer::Response,
            status,
            "the body is empty",
            retry_after,
        )
    }

    /// A failure that an answer itself tells, inside a success.
    pub fn told(&self, envelope: Envelope, layer: Layer, status: Option<u16>) -> Failure {
        let class = self.class(0, &envelope);
        let retry_after = wait_in_text(&envelope.message);
        envelope.failure(class, layer, status, "no error was given", retry_after)
    }
}

/// The failure that a broken connection or limit is, or `None` where the body ended as it should.
pub fn broken(end: &End, head: Option<&Head>) -> Option<Failure> {
    let (class, message) = match end {
        End::Complete if head.is_some() => return None,
        End::Complete => ("no_response", "no response head arrived".to_owned()),
        End::Unreachable { reason } => ("unreachable", reason.clone()),
        End::NoHead { after } => (
            "no_response",
            format!("no response head within {:.1} s", after.as_secs_f64()),
        ),
        End::Refused { reason } => (
            "connection_refused",
            format!("the connection broke before an answer: {reason}"),
        ),
        End::Dropped { reason } => ("connection_dropped", reason.clone()),
        End::Stalled { after } => (
            "stalled",
            format!("nothing arrived for {:.1} s", after.as_secs_f64()),
        ),
        End::TooLong { after } => (
            "timed_out",
            format!("not finished after {:.1} s", after.as_secs_f64()),
        ),
        End::TooBig { limit } => (
            "answer_too_big",
            format!("the answer is larger than {limit} bytes"),
        ),
    };
    Some(own(class, &message, head.map(|head| head.status)))
}

/// A failure that we see and nobody told: its class is known without the catalogue. With a status
/// it happened inside an answer, without one before any.
pub fn own(class: &str, message: &str, status: Option<u16>) -> Failure {
    let layer = match status {
        Some(_) => Layer::Stream,
        None => Layer::Connection,
    };
    let envelope = Envelope {
        message: message.to_owned(),
        ..Envelope::default()
    };
    envelope.failure(class.to_owned(), layer, status, class, None)
}

impl Envelope {
    fn failure(
        self,
        class: String,
        layer: Layer,
        status: Option<u16>,
        otherwise: &str,
        retry_after: Option<Duration>,
    ) -> Failure {
        let word = |word: Option<String>| word.map(|word| shortened(&word, WORD_LIMIT));
        let message = match self.message.trim() {
            "" => otherwise,
            message => message,
        };
        Failure {
            class,
            layer,
            status,
            code: word(self.code),
            kind: word(self.kind),
            param: word(self.param),
            message: shortened(message, MESSAGE_LIMIT),
            retry_after,
        }
    }
}

/// At most so many bytes of a text, at a character's end.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", cut(text, limit - '…'.len_utf8()))
}

#[cfg(test)]
mod tests;
