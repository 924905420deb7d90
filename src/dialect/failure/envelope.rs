//! Error bodies of every shape, read into one form: code, type, blamed field and message.
//!
//! Told apart by their shape and never by who sent them. Which class they come to is not known here.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::dialect::failure::{TEXT_LIMIT, cut};
use crate::turn::exchange::Head;

/// How deep an error may be wrapped in others.
const DEEPEST: usize = 8;

/// What an error body or error event says, in one form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    pub code: Option<String>,
    pub kind: Option<String>,
    pub param: Option<String>,
    /// Empty where nothing was said.
    pub message: String,
    /// What a page of HTML says in its title and headings. The rest of a page speaks to people and of
    /// many things, so only this is judged.
    pub headings: Option<String>,
}

impl Envelope {
    /// The text that says which failure it is.
    pub(super) fn judged(&self) -> &str {
        self.headings.as_deref().unwrap_or(&self.message)
    }

    /// Reads an error body; what is no envelope we know becomes the message as it is.
    pub fn of_body(body: &[u8], head: Option<&Head>) -> Envelope {
        let mut envelope = match serde_json::from_slice::<Value>(body) {
            Ok(Value::Array(list)) if list.len() == 1 => Envelope::of_json(&list[0]),
            Ok(value) => Envelope::of_json(&value),
            // Three bytes may become one sign: cut generously before, exactly after.
            Err(_) => Envelope::of_text(
                String::from_utf8_lossy(&body[..body.len().min(TEXT_LIMIT)]).trim(),
            ),
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
        Envelope::within(value, DEEPEST)
    }

    fn within(value: &Value, depth: usize) -> Envelope {
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
        if depth == 0 {
            return Envelope {
                message: value.to_string(),
                ..Envelope::default()
            };
        }
        match first(fields, &["error", "Error"]) {
            Some(error @ Value::Object(_)) => {
                let mut inner = Envelope::within(error, depth - 1);
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
            return Envelope::within(output, depth - 1);
        }
        // A whole `response.failed` event, or a response that failed.
        if let Some(response @ Value::Object(_)) = fields.get("response")
            && response.get("error").is_some_and(Value::is_object)
        {
            return Envelope::within(response, depth - 1);
        }
        // GraphQL and others: the first of several errors.
        if let Some(first) = fields.get("errors").and_then(Value::as_array)
            && let Some(first) = first.first()
        {
            return Envelope::within(first, depth - 1);
        }
        Envelope::of_fields(value, fields, depth)
    }

    fn of_fields(value: &Value, fields: &Map<String, Value>, depth: usize) -> Envelope {
        let kind = text(fields.get("__type"))
            // The `type` of an `error` event is the name of the event, not of the error.
            .or_else(|| word(first(fields, &["type", "Type"])).filter(|kind| kind != "error"))
            .filter(|kind| kind != "None" && kind != "about:blank")
            // Google's RPC status, and Azure's inner error.
            .or_else(|| text(fields.get("status")))
            .or_else(|| inner_code(fields.get("innererror"), depth))
            .map(|kind| bare_type(&kind));
        let mut param = word(fields.get("param")).filter(|param| param != "None");
        let mut code = word(first(fields, &["code", "Code", "errorCode", "error_code"]))
            .or_else(|| text(fields.get("extensions").and_then(|more| more.get("code"))));
        // A gateway that puts the error it got into its own message.
        let inside = first(fields, &["message", "Message"]).filter(|inside| inside.is_object());
        let told = first(
            fields,
            &["message", "Message", "errorMessage", "error_message", "msg"],
        );
        let message = match inside {
            Some(inside) => {
                let inner = Envelope::within(inside, depth - 1);
                code = inner.code.or(code);
                Some(inner.message)
            }
            None => text(told),
        }
        .or_else(|| {
            let (message, place) = detail(fields.get("detail")?)?;
            param = param.take().or(place);
            // Problem details (RFC 9457): the title names the problem, the detail this case of it.
            Some(match text(fields.get("title")) {
                Some(title) => format!("{title}: {message}"),
                None => message,
            })
        })
        .or_else(|| text(fields.get("title")))
        .or_else(|| kind.clone())
        .unwrap_or_else(|| value.to_string());
        // OpenRouter: what the provider said, as text, beside the status it came with.
        let raw = fields
            .get("metadata")
            .and_then(|more| text(more.get("raw")));
        if let Some(raw) = raw {
            let said = serde_json::from_str(&raw).unwrap_or(Value::String(raw));
            let inner = Envelope::within(&said, depth - 1);
            return Envelope {
                code: inner.code.or(code),
                kind: inner.kind.or(kind),
                param: inner.param.or(param),
                message: format!("{message}: {}", inner.message),
                headings: None,
            };
        }
        Envelope {
            code,
            kind,
            param,
            message,
            headings: None,
        }
    }

    /// A body that is not JSON: an error of AWS's query protocol in XML, a page of HTML, or plain text.
    fn of_text(body: &str) -> Envelope {
        static CODE: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"<Code>\s*([\w.:]{1,200}?)\s*</Code>").ok());
        static MESSAGE: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"(?s)<Message>\s*(.{1,4096}?)\s*</Message>").ok());
        static HEADING: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r"(?is)<(?:title|h1|h2)\b[^>]*>\s*(.{1,500}?)\s*</(?:title|h1|h2)>").ok()
        });
        let found = |regex: &LazyLock<Option<Regex>>| {
            let found = regex.as_ref()?.captures(body)?;
            Some(found[1].to_owned())
        };
        if !body.starts_with('<') {
            return Envelope {
                message: body.to_owned(),
                ..Envelope::default()
            };
        }
        if let Some(code) = found(&CODE) {
            return Envelope {
                message: found(&MESSAGE).unwrap_or_else(|| body.to_owned()),
                code: Some(code),
                ..Envelope::default()
            };
        }
        let headings: Vec<&str> = HEADING
            .iter()
            .flat_map(|regex| regex.captures_iter(body))
            .filter_map(|found| Some(found.get(1)?.as_str()))
            .collect();
        Envelope {
            message: body.to_owned(),
            headings: Some(headings.join("\n")),
            ..Envelope::default()
        }
    }
}

/// The name of an error that a text begins with, as client libraries and gRPC write it:
/// `litellm.RateLimitError: …`, `rpc error: code = Unavailable desc = …`.
pub(super) fn named_in(text: &str) -> Option<&str> {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^(?:rpc error: code = (\w{1,60})\b|(?:[a-z_]{1,30}\.){0,4}([A-Z]\w{0,60}(?:Error|Exception)):)",
        )
        .ok()
    });
    let found = NAME.as_ref()?.captures(text)?;
    found
        .get(1)
        .or_else(|| found.get(2))
        .map(|name| name.as_str())
}

/// Whether a body under a success status is one of the error envelopes.
pub(super) fn said_as_error(body: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) => {
            ["error", "Error", "errors"]
                .iter()
                .any(|key| fields.get(*key).is_some_and(|error| !error.is_null()))
                || ["__type", "message", "Message", "detail"]
                    .iter()
                    .any(|key| fields.contains_key(*key))
                || fields
                    .get("Output")
                    .is_some_and(|output| output.get("__type").is_some())
        }
        Ok(_) => false,
        Err(_) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(TEXT_LIMIT)]);
            Envelope::of_text(text.trim()).code.is_some()
        }
    }
}

/// The code of the innermost error that names one.
fn inner_code(value: Option<&Value>, depth: usize) -> Option<String> {
    let value = value?;
    let deeper = depth
        .checked_sub(1)
        .and_then(|depth| inner_code(value.get("innererror"), depth));
    deeper.or_else(|| text(value.get("code")))
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
            .or_else(|| text(value.get("error")))
            .or_else(|| Some(value.to_string()))
            .map(|message| (message, None)),
        _ => None,
    }
}

/// The value of the first of these keys that is there and not null.
fn first<'a>(fields: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a Value> {
    keys.iter()
        .filter_map(|key| fields.get(*key))
        .find(|value| !value.is_null())
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

/// `com.amazon.coral.service#UnknownOperationException` without its namespace, and a problem's URI
/// without its path.
fn bare_type(kind: &str) -> String {
    let kind = cut(kind, TEXT_LIMIT);
    kind.rsplit(['#', '/'])
        .find(|part| !part.is_empty())
        .unwrap_or(kind)
        .to_owned()
}
