//! Cross-checks of what a probe adds in wire form, and of the gap that a scenario claims.
//!
//! Core, and a part of `lint`. Whether a fault or a rule exists is checked by whoever knows them.

use crate::scenario::lint::Lint;

/// Headers that are the client's own or carry a secret.
const NOT_FOR_SCENARIOS: &[&str] = &[
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "x-amz-security-token",
    "x-api-key",
    "api-key",
];

impl Lint<'_> {
    pub(in crate::scenario::lint) fn probe(&mut self) {
        let root = self.document.cursor();
        let scenario = self.scenario;
        let in_one = scenario.only.dialects.len() == 1;
        let help = "add `only: { dialects: [responses] }`, with the dialect it is written for";
        if !scenario.wire_fields.is_empty() && !in_one {
            self.error(
                root.key("wire_fields").key_place(),
                "`wire_fields` are in the form of one dialect, and none is named",
                help,
            );
        }
        for key in ["model", "stream"] {
            if scenario.wire_fields.contains_key(key) {
                self.error(
                    root.key("wire_fields").key(key).key_place(),
                    format!("`{key}` is the target's and the scenario's own"),
                    "remove it",
                );
            }
        }
        for (index, turn) in scenario.turns.iter().enumerate() {
            if turn.wire_items.is_empty() {
                continue;
            }
            let at = root.key("turns").item(index).key("wire_items");
            if !in_one {
                self.error(
                    at.key_place(),
                    "`wire_items` are in the form of one dialect, and none is named",
                    help,
                );
            }
            if turn.user.is_none() {
                self.error(
                    at.key_place(),
                    "`wire_items` need a `user` text to stand before",
                    "move them to a turn with `user`",
                );
            }
            for (item, value) in turn.wire_items.iter().enumerate() {
                if !value.is_object() {
                    self.error(
                        at.item(item).place(),
                        "a wire item must be a mapping",
                        "write it as the dialect sends it: `{ type: message, role: user, content: … }`",
                    );
                }
            }
        }
        for (name, value) in &scenario.wire_headers {
            let at = root.key("wire_headers").key(name);
            let lower = name.to_ascii_lowercase();
            let token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(token) {
                self.error(
                    at.key_place(),
                    format!("`{name}` is not a header name"),
                    "write letters, digits and hyphens",
                );
            } else if NOT_FOR_SCENARIOS.contains(&lower.as_str()) {
                // Without the line, which may hold a secret.
                let mut one = self
                    .document
                    .error(
                        at.key_place(),
                        format!("`{name}` is not for a scenario to set"),
                    )
                    .help("remove it; credentials are the target's, the rest is set by the client");
                one.snippet = None;
                self.found.push(one);
                continue;
            }
            if value.chars().any(|c| c.is_control() && c != '\t') {
                self.error(
                    at.place(),
                    format!("the value of `{name}` has control characters"),
                    "write it on one line",
                );
            }
        }
        self.gap();
    }

    fn gap(&mut self) {
        let at = self.document.cursor().key("gap");
        let Some(gap) = &self.scenario.gap else {
            return;
        };
        for (key, text) in [
            ("fault", &gap.fault),
            ("source", &gap.source),
            ("consequence", &gap.consequence),
        ] {
            if text.trim().is_empty() {
                self.error(at.key(key).place(), format!("`{key}` is empty"), "say it");
            }
        }
        for (key, list) in [("findings", &gap.findings), ("seen_at", &gap.seen_at)] {
            if list.is_empty() {
                self.error(
                    at.key(key).place(),
                    format!("`{key}` is empty"),
                    "name at least one",
                );
            }
        }
        if !is_date(&gap.date) {
            self.error(
                at.key("date").place(),
                format!("`{}` is not a date", gap.date),
                "write `2026-08` or `2026-08-22`",
            );
        }
    }
}

/// `YYYY-MM` or `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits =
        |part: &str, count: usize| part.len() == count && part.chars().all(|c| c.is_ascii_digit());
    match parts.as_slice() {
        [year, rest @ ..] if digits(year, 4) => {
            (1..=2).contains(&rest.len()) && rest.iter().all(|part| digits(part, 2))
        }
        _ => false,
    }
}
