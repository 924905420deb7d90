//! A line of `turns.jsonl`: one exchange as it is written.
//!
//! Serialised to disk like `record`, with the same schema number. Every string passes the redactor;
//! a line never holds a newline.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::event::{ExchangeRecord, RunPlan};
use crate::report::record::{SCHEMA, millis};

/// The longest response body kept in a line, in bytes; `streams/` has the whole where it is kept.
const BODY_LIMIT: usize = 64 * 1024;

/// One exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnLine {
    pub schema: u32,
    pub scenario: String,
    pub target: String,
    pub region: Option<String>,
    pub repeat: u32,
    /// Counting from 1.
    pub turn: usize,
    /// Counting from 1.
    #[serde(default = "once")]
    pub attempt: usize,
    /// SHA-256 of the provider-neutral turn: equal on all targets.
    pub digest: String,
    pub method: String,
    pub url: String,
    /// Name and value, in the order they were sent.
    pub request_headers: Vec<(String, String)>,
    /// The JSON that was sent; a string where it is not JSON, `null` where it is empty.
    pub request_body: Value,
    pub status: Option<u16>,
    pub response_headers: Vec<(String, String)>,
    pub end: String,
    pub failure: Option<String>,
    /// How long the provider asked to wait.
    pub retry_after_ms: Option<f64>,
    pub headers_after_ms: Option<f64>,
    pub ttft_ms: Option<f64>,
    pub total_ms: Option<f64>,
    pub response_bytes: u64,
    pub events: u64,
    /// The file of the raw response below the run's folder, where streams are kept.
    pub stream: Option<String>,
    /// The response body as text, cut at 64 KiB, where it is evidence and no file holds it.
    pub response_body: Option<String>,
}

/// Lines written before there were attempts.
fn once() -> usize {
    1
}

impl TurnLine {
    /// The line of an exchange; `None` where its cell is not in the plan.
    pub fn new(
        plan: &RunPlan,
        record: &ExchangeRecord,
        stream: Option<String>,
        redact: &dyn Fn(&str) -> String,
    ) -> Option<TurnLine> {
        let cell = plan.cells.get(record.cell)?;
        let target = plan.targets.get(cell.target)?;
        let body = match (&stream, &record.response_body) {
            // Redacted before it is cut, or a secret at the cut would be half there.
            (None, Some(body)) => Some(cut(redact(&String::from_utf8_lossy(body)))),
            _ => None,
        };
        Some(TurnLine {
            schema: SCHEMA,
            scenario: plan.scenarios.get(cell.scenario)?.name.clone(),
            target: target.name.clone(),
            region: target.region.clone(),
            repeat: cell.repeat,
            turn: record.turn,
            attempt: record.attempt,
            digest: record.digest.clone(),
            method: record.method.clone(),
            url: record.url.clone(),
            request_headers: record.request_headers.clone(),
            request_body: match record.request_body.as_str() {
                "" => Value::Null,
                text => {
                    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
                }
            },
            status: record.status,
            response_headers: record.response_headers.clone(),
            end: record.end.clone(),
            failure: record.failure.clone(),
            retry_after_ms: record.retry_after.map(millis),
            headers_after_ms: record.headers_after.map(millis),
            ttft_ms: record.ttft.map(millis),
            total_ms: record.total.map(millis),
            response_bytes: record.response_bytes,
            events: record.events,
            stream,
            response_body: body,
        })
    }

    /// The line, newline included, every string in it redacted.
    pub fn to_line(&self, redact: &dyn Fn(&str) -> String) -> String {
        let mut line = serde_json::to_value(self).expect("plain data has a JSON form");
        if let Value::Object(fields) = &mut line {
            // The keys of the line are ours; below them keys are data too.
            for value in fields.values_mut() {
                *value = redact_strings(value.take(), redact);
            }
        }
        format!("{line}\n")
    }
}

fn cut(mut text: String) -> String {
    if text.len() > BODY_LIMIT {
        let more = text.len() - text.floor_char_boundary(BODY_LIMIT);
        text.truncate(text.len() - more);
        text.push_str(&format!("… ({more} bytes more)"));
    }
    text
}

fn redact_strings(value: Value, redact: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text)),
        Value::Array(list) => Value::Array(
            list.into_iter()
                .map(|one| redact_strings(one, redact))
                .collect(),
        ),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, one)| (redact(&key), redact_strings(one, redact)))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use crate::report::turns::*;

    #[test]
    fn a_long_body_is_cut_between_characters() {
        let text = cut("é".repeat(BODY_LIMIT));
        assert!(text.ends_with("é… (65536 bytes more)"));
        assert_eq!(cut("é".to_owned()), "é");
    }

    #[test]
    fn keys_and_values_are_redacted() {
        let hide = |text: &str| text.replace("s3cret", "(redacted)");
        let body = serde_json::json!({"s3cret": ["a s3cret", 1, null]});
        let expected = serde_json::json!({"(redacted)": ["a (redacted)", 1, null]});
        assert_eq!(redact_strings(body, &hide), expected);
    }
}
