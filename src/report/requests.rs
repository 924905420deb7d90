//! What the requests to the targets of one turn have in common and where they differ.
//!
//! Pure: events in, text out. Compares JSON by its structure, so the order of keys does not matter.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::report::escape;
use crate::report::event::{RunEvent, RunPlan};

/// The request bodies of a run, by scenario, repeat and turn.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    plan: Option<RunPlan>,
    bodies: BTreeMap<(usize, u32, usize), Vec<Body>>,
}

#[derive(Debug, Clone)]
struct Body {
    target: usize,
    digest: String,
    json: Value,
}

impl Requests {
    /// Takes in one event.
    pub fn push(&mut self, event: &RunEvent) {
        match (event, &self.plan) {
            (RunEvent::Started(plan), _) => self.plan = Some(plan.clone()),
            // A second attempt says the same once more.
            (RunEvent::Exchange(record), Some(plan)) if record.attempt <= 1 => {
                let Some(cell) = plan.cells.get(record.cell) else {
                    return;
                };
                let json = serde_json::from_str(&record.request_body).unwrap_or(Value::Null);
                self.bodies
                    .entry((cell.scenario, cell.repeat, record.turn))
                    .or_default()
                    .push(Body {
                        target: cell.target,
                        digest: record.digest.clone(),
                        json,
                    });
            }
            _ => {}
        }
    }

    /// For each turn, the first target's body and what the others have instead.
    pub fn text(&self) -> String {
        let Some(plan) = &self.plan else {
            return String::new();
        };
        let mut out = String::from("Requests\n");
        for ((scenario, repeat, turn), bodies) in &self.bodies {
            let mut bodies: Vec<&Body> = bodies.iter().collect();
            bodies.sort_by_key(|body| body.target);
            let Some((first, others)) = bodies.split_first() else {
                continue;
            };
            let name = &plan.scenarios[*scenario].name;
            let again = if plan.repeat > 1 {
                format!(", repeat {repeat}")
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "\n{name}, turn {turn}{again}, {} bytes to {} (turn digest {})",
                first.json.to_string().len(),
                plan.targets[first.target].label(),
                &first.digest[..first.digest.len().min(12)]
            );
            for body in others {
                let label = plan.targets[body.target].label();
                let same = if body.digest == first.digest {
                    "same turn"
                } else {
                    "ANOTHER TURN"
                };
                let mut lines = Vec::new();
                differences(
                    String::new(),
                    Some(&first.json),
                    Some(&body.json),
                    &mut lines,
                );
                if lines.is_empty() {
                    let _ = writeln!(out, "  {label} ({same}): the same bytes of meaning");
                    continue;
                }
                let _ = writeln!(out, "  {label} ({same}) differs in:");
                for line in lines {
                    let _ = writeln!(out, "    {line}");
                }
            }
        }
        out.push('\n');
        out
    }
}

/// A line per place where two values differ.
fn differences(path: String, one: Option<&Value>, other: Option<&Value>, lines: &mut Vec<String>) {
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            for (key, value) in one {
                differences(format!("{path}/{key}"), Some(value), other.get(key), lines);
            }
            for (key, value) in other.iter().filter(|(key, _)| !one.contains_key(*key)) {
                differences(format!("{path}/{key}"), None, Some(value), lines);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                differences(
                    format!("{path}/{index}"),
                    one.get(index),
                    other.get(index),
                    lines,
                );
            }
        }
        (one, other) if one == other => {}
        (one, other) => lines.push(format!("{path}: {} → {}", short(one), short(other))),
    }
}

fn short(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "(absent)".to_owned();
    };
    let text = value.to_string();
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", escape::line(&cut))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::report::requests::differences;

    #[test]
    fn only_what_differs_is_named() {
        let one = json!({ "model": "a", "input": [1, { "x": 1 }], "same": true });
        let other = json!({ "same": true, "model": "b", "input": [1, { "x": 2 }, 3] });
        let mut lines = Vec::new();
        differences(String::new(), Some(&one), Some(&other), &mut lines);
        assert_eq!(
            lines,
            [
                "/model: \"a\" → \"b\"",
                "/input/1/x: 1 → 2",
                "/input/2: (absent) → 3"
            ]
        );
    }
}
