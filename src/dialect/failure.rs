//! What went wrong, out of what came back: error bodies, broken connections and errors in a stream.
//!
//! The envelopes of all providers are read the same way, by their shape and never by who sent them.
//! Which class a failure has is the catalogue's business; this finds the words that it judges.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::catalog::failure::{Failures, Symptom, UNKNOWN};
use crate::turn::exchange::{End, Head};
use crate::turn::trace::{Failure, Layer};

/// The most of a provider's message that is kept, in bytes.
pub const MESSAGE_LIMIT: usize = 2048;
/// The most of a code, kind or param that is kept, in bytes.
const WORD_LIMIT: usize = 200;
/// The most of a body that patterns are matched against, in bytes.
const TEXT_LIMIT: usize = 64 * 1024;
/// The longest wait that is believed: a day.
const WAIT_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What an error body or error event says, in one form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    pub code: Option<String>,
    pub kind: Option<String>,
    pub param: Option<String>,
    /// Empty where nothing was said.
    pub message: String,
}

/// Who is asked about the class of a failure, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    pub provider: &'a str,
    pub failures: &'a Failures,
}

impl Judge<'_> {
    fn class(&self, status: u16, envelope: &Envelope) -> String {
        let symptom = Symptom {
            provider: self.provider,
            status,
            code: envelope.code.as_deref(),
            kind: envelope.kind.as_deref(),
            param: envelope.param.as_deref(),
            text: cut(&envelope.message, TEXT_LIMIT),
        };
        self.failures.classify(&symptom).to_owned()
    }

    /// The failure that an HTTP status other than success says.
    pub fn status(&self, head: &Head, body: &[u8]) -> Failure {
        let envelope = Envelope::of_body(body, Some(head));
        let class = self.class(head.status, &envelope);
        let retry_after = retry_after(head).or_else(|| wait_in_text(&envelope.message));
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
        let retry_after = head.and_then(retry_after);
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
        End::Refused { reason } => ("connection_refused", reason.clone()),
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

    /// Reads an error body; what is no envelope we know becomes the message as it is.
    pub fn of_body(body: &[u8], head: Option<&Head>) -> Envelope {
        let mut envelope = match serde_json::from_slice::<Value>(body) {
            Ok(Value::Array(list)) if list.len() == 1 => Envelope::of_json(&list[0]),
            Ok(value) => Envelope::of_json(&value),
            Err(_) => Envelope {
                // Three bytes may become one sign: cut generously before, exactly after.
                message: String::from_utf8_lossy(&body[..body.len().min(TEXT_LIMIT)])
                    .trim()
                    .to_owned(),
                ..Envelope::default()
            },
        };
        if let Some(kind) = head.and_then(|head| head.header("x-amzn-errortype")) {
            // Some services append `:` and the address of the exception's namespace.
            let kind = kind.split(':').next().unwrap_or(kind).trim();
            if envelope.kind.is_none() && !kind.is_empty() {
                envelope.kind = Some(bare_type(kind));
            }
        }
        envelope
    }

    /// Reads an error told as JSON: a whole body, an `error` event of a stream (nested or flat), or
    /// the `error` of a response.
    pub fn of_json(value: &Value) -> Envelope {
        let Value::Object(fields) = value else {
            return Envelope {
                message: match value {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    other => other.to_string(),
                },
                ..Envelope::default()
            };
        };
        match fields.get("error") {
            Some(error @ Value::Object(_)) => {
                let mut inner = Envelope::of_json(error);
                inner.code = inner.code.or_else(|| word(fields.get("code")));
                inner.param = inner.param.or_else(|| word(fields.get("param")));
                return inner;
            }
            Some(Value::String(error)) => {
                let message =
                    text(fields.get("message")).or_else(|| text(fields.get("error_description")));
                return match message {
                    Some(message) => Envelope {
                        code: Some(error.clone()),
                        message,
                        ..Envelope::default()
                    },
                    None => Envelope {
                        code: word(fields.get("code")),
                        message: error.clone(),
                        ..Envelope::default()
                    },
                };
            }
            _ => {}
        }
        if let Some(output @ Value::Object(_)) = fields.get("Output") {
            return Envelope::of_json(output);
        }
        let kind = match text(fields.get("__type")) {
            Some(kind) => Some(bare_type(&kind)),
            // The `type` of an `error` event is the name of the event, not of the error.
            None => word(fields.get("type")).filter(|kind| kind != "error"),
        };
        let mut param = word(fields.get("param"));
        let message = text(fields.get("message"))
            .or_else(|| text(fields.get("Message")))
            .or_else(|| {
                let (message, place) = detail(fields.get("detail")?)?;
                param = param.take().or(place);
                Some(message)
            })
            // Problem details (RFC 9457).
            .or_else(|| text(fields.get("title")))
            .or_else(|| kind.clone())
            .unwrap_or_else(|| value.to_string());
        Envelope {
            code: word(fields.get("code")),
            kind,
            param,
            message,
        }
    }
}

/// Whether a body under a success status is one of the error envelopes, or nothing at all.
fn said_as_error(body: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) => {
            fields.get("error").is_some_and(|error| !error.is_null())
                || ["__type", "message", "Message", "detail"]
                    .iter()
                    .any(|key| fields.contains_key(*key))
                || fields
                    .get("Output")
                    .is_some_and(|output| output.get("__type").is_some())
        }
        _ => false,
    }
}

/// FastAPI's `detail`: a text, or a list of `{loc, msg}`.
fn detail(value: &Value) -> Option<(String, Option<String>)> {
    match value {
        Value::String(detail) => Some((detail.clone(), None)),
        Value::Array(list) => {
            let messages: Vec<String> =
                list.iter().filter_map(|one| text(one.get("msg"))).collect();
            let place = list.first().and_then(|one| one.get("loc")).and_then(|loc| {
                let parts: Vec<String> = loc
                    .as_array()?
                    .iter()
                    .filter_map(|part| word(Some(part)))
                    .skip_while(|part| part == "body")
                    .collect();
                Some(parts.join("."))
            });
            let message = match messages.is_empty() {
                true => value.to_string(),
                false => messages.join("; "),
            };
            Some((message, place))
        }
        Value::Object(_) => text(value.get("message"))
            .or_else(|| Some(value.to_string()))
            .map(|message| (message, None)),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

/// A code or type: text, or a number as some gateways write it.
fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(word) if !word.is_empty() => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `com.amazon.coral.service#UnknownOperationException` without its namespace.
fn bare_type(kind: &str) -> String {
    kind.rsplit('#').next().unwrap_or(kind).to_owned()
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

/// What the header `Retry-After` asks for: seconds, or a date against the response's own `Date`
/// (RFC 9110, section 10.2.3). Without a `Date` a date says nothing, since no clock is read here.
fn retry_after(head: &Head) -> Option<Duration> {
    let value = head.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return wait(seconds);
    }
    let date = |text: &str| OffsetDateTime::parse(text.trim(), &Rfc2822).ok();
    let until = date(value)? - date(head.header("date")?)?;
    wait(until.as_seconds_f64().max(0.0))
}

/// What a message asks for, such as `Please try again in 1.5s`, `in 200ms` or `in 6m0s`.
fn wait_in_text(message: &str) -> Option<Duration> {
    static WAIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)try again in\s*((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h|hours?|minutes?|min|m|seconds?|secs?|s)\s*)+)").ok()
    });
    static PART: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)(\d+(?:\.\d+)?)\s*([a-z]+)").ok());
    let found = WAIT.as_ref()?.captures(cut(message, TEXT_LIMIT))?;
    let mut seconds = 0.0;
    for part in PART.as_ref()?.captures_iter(found.get(1)?.as_str()) {
        let number: f64 = part[1].parse().ok()?;
        let unit = part[2].to_ascii_lowercase();
        seconds += number
            * match unit.as_str() {
                unit if unit.starts_with("ms") || unit.starts_with("milli") => 0.001,
                unit if unit.starts_with('h') => 3600.0,
                unit if unit.starts_with('m') => 60.0,
                _ => 1.0,
            };
    }
    wait(seconds)
}

fn wait(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|wait| *wait <= WAIT_LIMIT)
}

#[cfg(test)]
mod tests;
