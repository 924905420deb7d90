//! A captured stream with its findings where they occur, for people and for machines.
//!
//! Pure: values in, text out. Event data is hostile text and is escaped.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::check::finding::{Finding, Severity};
use crate::dialect::wire::{Payload, WireEvent};
use crate::report::escape;
use crate::report::event::Judged;

/// One inspected file.
#[derive(Debug)]
pub struct Inspection {
    pub file: String,
    pub dialect: String,
    pub provider: String,
    pub events: Vec<WireEvent>,
    pub findings: Vec<Judged>,
}

impl Inspection {
    /// Findings that weigh and that no known gap explains.
    pub fn weighing(&self) -> usize {
        self.findings
            .iter()
            .filter(|judged| judged.gap.is_none() && judged.finding.severity > Severity::Info)
            .count()
    }
}

/// How much of an event's data is shown on its line.
const DATA_SHOWN: usize = 100;

/// The document for machines.
pub fn json(inspections: &[Inspection]) -> Value {
    let found = inspections.iter().any(|one| one.weighing() > 0);
    json!({
        "schema": 1,
        "verdict": if found { "findings" } else { "pass" },
        "files": inspections.iter().map(file_json).collect::<Vec<_>>(),
    })
}

fn file_json(one: &Inspection) -> Value {
    let events: Vec<Value> = one
        .events
        .iter()
        .enumerate()
        .map(|(index, event)| json!({ "index": index, "type": kind(event), "name": event.name }))
        .collect();
    let findings: Vec<Value> = one
        .findings
        .iter()
        .map(|judged| {
            let finding = &judged.finding;
            json!({
                "rule": finding.rule,
                "severity": finding.severity.word(),
                "message": finding.message,
                "fix": finding.fix,
                "evidence": {
                    "event": finding.evidence.event,
                    "expected": finding.evidence.expected,
                    "got": finding.evidence.got,
                    "excerpt": finding.evidence.excerpt,
                },
                "known_gap": judged.gap.as_ref().map(|gap| json!({
                    "id": gap.id, "about": gap.about, "source": gap.source, "date": gap.date,
                })),
            })
        })
        .collect();
    json!({
        "file": one.file,
        "dialect": one.dialect,
        "provider": one.provider,
        "events": events,
        "findings": findings,
    })
}

/// The text for people: each event on a line, its findings under it, those about the whole at the end.
pub fn text(one: &Inspection) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: {} events, {} as {}",
        escape::line(&one.file),
        one.events.len(),
        one.dialect,
        one.provider
    );
    for (index, event) in one.events.iter().enumerate() {
        let _ = writeln!(
            out,
            "{index:>6}  {}{}",
            escape::line(&kind(event)),
            data(event)
        );
        for judged in at(&one.findings, Some(index)) {
            finding(&mut out, judged);
        }
    }
    let of_whole: Vec<&Judged> = at(&one.findings, None)
        .chain(one.findings.iter().filter(|judged| {
            judged
                .finding
                .evidence
                .event
                .is_some_and(|event| event >= one.events.len())
        }))
        .collect();
    if !of_whole.is_empty() {
        out.push_str("   the answer as a whole\n");
        for judged in of_whole {
            finding(&mut out, judged);
        }
    }
    let gaps = one
        .findings
        .iter()
        .filter(|judged| judged.gap.is_some())
        .count();
    let info = one.findings.len() - gaps - one.weighing();
    let _ = writeln!(
        out,
        "{} findings, {gaps} known gaps, {info} notes",
        one.weighing()
    );
    out
}

fn at(findings: &[Judged], event: Option<usize>) -> impl Iterator<Item = &Judged> {
    findings
        .iter()
        .filter(move |judged| judged.finding.evidence.event == event)
}

fn finding(out: &mut String, judged: &Judged) {
    let Finding {
        rule,
        severity,
        message,
        evidence,
        fix,
        ..
    } = &judged.finding;
    let word = match &judged.gap {
        Some(_) => "known gap",
        None => severity.word(),
    };
    let _ = writeln!(out, "        ^ {word} {rule}: {}", escape::line(message));
    let lines = [
        ("expected", &evidence.expected),
        ("got", &evidence.got),
        ("fix", fix),
    ];
    for (label, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(out, "          {label}: {}", escape::line(value));
        }
    }
    if let Some(gap) = &judged.gap {
        let _ = writeln!(
            out,
            "          {}: {} ({}, {})",
            gap.id, gap.about, gap.source, gap.date
        );
    }
}

fn kind(event: &WireEvent) -> String {
    match &event.payload {
        // Where events have no type of their own, the frame names them; chunks of a chat say what they
        // are as objects do.
        Payload::Json(data) => event
            .kind()
            .or(event.name.as_deref())
            .or_else(|| data.get("object")?.as_str())
            .map_or_else(|| "(no type)".to_owned(), str::to_owned),
        Payload::Done => "[DONE]".to_owned(),
        Payload::Malformed { .. } => "(not JSON)".to_owned(),
    }
}

/// What a chunk of a chat says: its first delta or message, the finish reason beside an empty one, else
/// the usage.
fn said(chunk: &Value) -> Option<&Value> {
    let choice = chunk.pointer("/choices/0");
    let delta = choice.and_then(|choice| choice.get("delta").or_else(|| choice.get("message")));
    let empty = delta.is_none_or(|delta| delta.as_object().is_none_or(|delta| delta.is_empty()));
    let finish = choice.and_then(|choice| choice.get("finish_reason"));
    let first = if empty { finish.or(delta) } else { delta };
    first
        .or_else(|| chunk.get("usage"))
        .filter(|said| !said.is_null())
}

/// What a reader wants to see of an event: its text, else the start of an item or of broken data.
fn data(event: &WireEvent) -> String {
    let text = match &event.payload {
        Payload::Done => return String::new(),
        Payload::Malformed { text, .. } => text.clone(),
        Payload::Json(value) => {
            // An event of the form {"name": {…}} is told by what is inside.
            let name = event.name.as_deref().unwrap_or_default();
            let value = match value.get(name) {
                Some(inner @ Value::Object(_)) => inner,
                _ => value,
            };
            let field = [
                "delta",
                "text",
                "arguments",
                "input",
                "refusal",
                "item",
                "part",
                "error",
                "start",
                "stopReason",
                "usage",
                "message",
            ]
            .iter()
            .find_map(|name| value.get(*name).filter(|one| !one.is_null()))
            .or_else(|| said(value));
            match field {
                Some(Value::String(text)) => format!("{text:?}"),
                Some(other) => other.to_string(),
                None => return String::new(),
            }
        }
    };
    let cut: String = text.chars().take(DATA_SHOWN).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("  {}{more}", escape::line(&cut))
}
