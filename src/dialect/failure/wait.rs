//! How long a failure asks to wait, in its headers or its words.
//!
//! Pure: a date is taken against the response's own `Date`, since no clock is read here.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::dialect::failure::{TEXT_LIMIT, cut};
use crate::turn::exchange::Head;

/// The longest wait that is believed: a day.
const WAIT_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Seconds since 1970 begin here: a smaller number in a reset header is a span.
const EPOCH: f64 = 1e9;

/// What a refusal asks for: `retry-after-ms`, `Retry-After`, its words, and last the times at which
/// limits are reset, which say when a limit is whole again and so are the longest.
pub(super) fn asked(head: &Head, message: &str) -> Option<Duration> {
    asked_by_head(head)
        .or_else(|| wait_in_text(message))
        .or_else(|| reset(head))
}

/// The part of it that the head alone tells, in so many words.
pub(crate) fn asked_by_head(head: &Head) -> Option<Duration> {
    in_milliseconds(head).or_else(|| retry_after(head))
}

/// `retry-after-ms`, as Azure and OpenAI send it.
fn in_milliseconds(head: &Head) -> Option<Duration> {
    let value: f64 = head.header("retry-after-ms")?.trim().parse().ok()?;
    wait(value / 1000.0)
}

/// `Retry-After`: seconds, or a date against the response's own `Date` (RFC 9110, section 10.2.3).
/// Without a `Date` a date says nothing.
fn retry_after(head: &Head) -> Option<Duration> {
    let value = head.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return wait(seconds);
    }
    let until = OffsetDateTime::parse(value, &Rfc2822).ok()?;
    wait((until - sent_at(head)?).as_seconds_f64().max(0.0))
}

/// When the limits that this answer speaks of are reset: `x-ratelimit-reset-requests: 6m0s` (OpenAI),
/// `x-ratelimit-reset: 1790085406` (seconds or milliseconds since 1970), or a date (Anthropic). Of several,
/// those of limits with nothing left count, or all where none says so; the latest of them.
/// Only a refusal for too many requests is meant.
fn reset(head: &Head) -> Option<Duration> {
    if head.status != 429 {
        return None;
    }
    let resets: Vec<(bool, Duration)> = head
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let used_up = |left: &str| left.trim().parse::<f64>().is_ok_and(|left| left <= 0.0);
            let remaining = name.replacen("reset", "remaining", 1);
            (name.contains("ratelimit") && name.contains("reset"))
                .then(|| reset_in(value.trim(), head))
                .flatten()
                .map(|wait| (head.header(&remaining).is_some_and(used_up), wait))
        })
        .collect();
    let spent = resets
        .iter()
        .filter(|(spent, _)| *spent)
        .map(|(_, wait)| *wait);
    spent
        .max()
        .or_else(|| resets.iter().map(|(_, wait)| *wait).max())
}

fn reset_in(value: &str, head: &Head) -> Option<Duration> {
    if let Ok(number) = value.parse::<f64>() {
        if number < EPOCH {
            return wait(number);
        }
        // Milliseconds have three digits more.
        let seconds = if number < EPOCH * 100.0 {
            number
        } else {
            number / 1000.0
        };
        let now = sent_at(head)?.unix_timestamp() as f64;
        return wait((seconds - now).max(0.0));
    }
    if let Ok(until) = OffsetDateTime::parse(value, &Rfc3339) {
        return wait((until - sent_at(head)?).as_seconds_f64().max(0.0));
    }
    span(value)
}

fn sent_at(head: &Head) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(head.header("date")?.trim(), &Rfc2822).ok()
}

/// What a message asks for, such as `Please try again in 1.5s`, `retry after 6 seconds`, `in 6m0s`.
pub(super) fn wait_in_text(message: &str) -> Option<Duration> {
    static WAIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)\b(?:try again|retry|try again after|retry after|retry in)\s*(?:in|after)?\s*((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h|hours?|minutes?|min|m|seconds?|secs?|s)\b\s*(?:and\s+)?|\d+(?:\.\d+)?[hms])+)").ok()
    });
    let found = WAIT.as_ref()?.captures(cut(message, TEXT_LIMIT))?;
    span(found.get(1)?.as_str())
}

/// Reads `1.5s`, `20ms`, `1m30s`, `6 minutes 2 seconds`.
fn span(text: &str) -> Option<Duration> {
    static PART: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)(\d+(?:\.\d+)?)\s*([a-z]+)").ok());
    let mut seconds = None;
    for part in PART.as_ref()?.captures_iter(text) {
        let number: f64 = part[1].parse().ok()?;
        let unit = part[2].to_ascii_lowercase();
        let each = match unit.as_str() {
            unit if unit.starts_with("ms") || unit.starts_with("milli") => 0.001,
            unit if unit.starts_with('d') => 86_400.0,
            unit if unit.starts_with('h') => 3600.0,
            unit if unit.starts_with('m') => 60.0,
            _ => 1.0,
        };
        seconds = Some(seconds.unwrap_or(0.0) + number * each);
    }
    wait(seconds?)
}

fn wait(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|wait| *wait <= WAIT_LIMIT)
}
