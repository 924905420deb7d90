//! Times as AWS files and messages write them.
//!
//! Converts text and `SystemTime` only; never reads a clock.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// `2026-11-21T08:00:00Z`, to the second.
pub fn write(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    at.replace_nanosecond(0)
        .unwrap_or(at)
        .format(&Rfc3339)
        .unwrap_or_else(|_| "at an unknown time".to_string())
}

/// Reads RFC 3339; the AWS CLI once wrote `UTC` for the `Z`.
pub fn read(text: &str) -> Option<SystemTime> {
    let text = match text.strip_suffix("UTC") {
        Some(head) => format!("{head}Z"),
        None => text.to_string(),
    };
    OffsetDateTime::parse(&text, &Rfc3339)
        .ok()
        .map(SystemTime::from)
}

/// Reads the form of `X-Amz-Date`: `20261121T080000Z`.
pub fn read_basic(text: &str) -> Option<SystemTime> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || clock.len() != 6 || !text.is_ascii() {
        return None;
    }
    read(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    ))
}

/// Reads the form of an HTTP `Date`: `Sat, 21 Nov 2026 08:00:00 GMT`.
pub fn read_http(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text.trim(), &Rfc2822)
        .ok()
        .map(SystemTime::from)
}
