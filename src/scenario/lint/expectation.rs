//! Cross-checks of what a turn expects: classes, calls, matchers and ranges that can hold.
//!
//! Core, and a part of `lint`; judging real answers is `check`'s work.

use regex::Regex;
use serde_json::Value;

use crate::catalog::credential_causes;
use crate::catalog::failure::UNKNOWN;
use crate::document::tree::Cursor;
use crate::scenario::lint::Lint;
use crate::scenario::model::{CallExpectation, Expect, Matcher, Range};
use crate::scenario::one_or_more::OneOrMore;

impl<'a> Lint<'a> {
    pub(in crate::scenario::lint) fn expect(&mut self, expect: &'a Expect, at: Cursor<'_>) {
        if let Some(codes) = &expect.code {
            self.words("code", codes, at.key("code"));
        }
        if let Some(first) = &expect.first {
            self.classes(&first.failure, at.key("first").key("failure"));
            if self.scenario.retries.is_none() {
                self.error(
                    at.key("first").key_place(),
                    "`first` speaks of a first attempt, and no other is allowed",
                    "add `retries: { most: 1, on: throttled }` to the scenario, or use `failure`",
                );
            }
        }
        if let Some(classes) = &expect.failure {
            self.classes(classes, at.key("failure"));
            for (key, given) in [
                ("calls", expect.calls.is_some()),
                ("text", expect.text.is_some()),
                ("stop", expect.stop.is_some()),
                ("usage", expect.usage.is_some()),
                ("output_events", expect.output_events.is_some()),
                ("service_tier", expect.service_tier.is_some()),
            ] {
                if given {
                    self.error(
                        at.key(key).key_place(),
                        format!("`{key}` cannot hold for a turn that is expected to fail"),
                        format!("remove `{key}` or `failure`"),
                    );
                }
            }
        } else {
            for (key, given) in [
                ("cause", expect.cause.is_some()),
                ("code", expect.code.is_some()),
                ("param", expect.param.is_some()),
                ("sent", expect.sent == Some(false)),
            ] {
                if given {
                    self.error(
                        at.key(key).key_place(),
                        format!("`{key}` describes a failure, and none is expected"),
                        "add `failure: …` with its class",
                    );
                }
            }
        }
        if let Some(cause) = &expect.cause {
            let ids = credential_causes().iter().map(|row| row.id.as_str());
            self.known("cause", cause, ids, at.key("cause").place());
        }
        if expect.sent == Some(false) {
            for (key, given) in [
                ("code", expect.code.is_some()),
                ("param", expect.param.is_some()),
            ] {
                if given {
                    self.error(
                        at.key(key).key_place(),
                        format!("`{key}` comes from a response, and no request is to leave"),
                        format!("remove `{key}` or `sent: false`"),
                    );
                }
            }
        }
        for (index, call) in expect.calls.iter().flatten().enumerate() {
            self.call(call, at.key("calls").item(index));
        }
        if let Some(text) = &expect.text {
            self.matcher(text, at.key("text"));
        }
        if let Some(events) = expect.output_events {
            self.range(events, at.key("output_events"));
            if !self.scenario.stream {
                self.error(
                    at.key("output_events").key_place(),
                    "an answer that is not streamed has no events to count",
                    "remove it, or `stream: false`",
                );
            }
        }
        if let Some(usage) = &expect.usage {
            let at = at.key("usage");
            for (key, range) in [
                ("input", usage.input),
                ("output", usage.output),
                ("cached", usage.cached),
                ("reasoning", usage.reasoning),
            ] {
                if let Some(range) = range {
                    self.range(range, at.key(key));
                }
            }
        }
    }

    /// Failure classes that exist, each once.
    pub(in crate::scenario::lint) fn classes(&mut self, given: &OneOrMore, at: Cursor<'_>) {
        self.words("failure class", given, at);
        for (index, class) in given.0.iter().enumerate() {
            let classes = self.catalog.failures.classes.iter();
            let ids = classes.map(|class| class.id.as_str()).chain([UNKNOWN]);
            self.known("failure class", class, ids, at.item(index).place());
        }
    }

    /// At least one word, and none twice.
    fn words(&mut self, what: &str, given: &OneOrMore, at: Cursor<'_>) {
        if given.0.is_empty() {
            self.error(
                at.place(),
                format!("the list names no {what}"),
                format!("name one {what} or more, or remove the key"),
            );
        }
        for (index, word) in given.0.iter().enumerate() {
            if given.0[..index].contains(word) {
                self.error(
                    at.item(index).place(),
                    format!("`{word}` is there twice"),
                    "remove one of them",
                );
            }
        }
    }

    fn range(&mut self, range: Range, at: Cursor<'_>) {
        match (range.min, range.max) {
            (None, None) => self.error(
                at.place(),
                "an empty range checks nothing",
                "add `min`, `max` or both",
            ),
            (Some(min), Some(max)) if min > max => self.error(
                at.place(),
                format!("no number is at least {min} and at most {max}"),
                "swap `min` and `max`",
            ),
            _ => {}
        }
    }

    fn call(&mut self, call: &'a CallExpectation, at: Cursor<'_>) {
        self.declared(&call.name, at.key("name").place());
        let custom = self.scenario.tools.get(&call.name).map(|tool| tool.custom);
        if custom == Some(false) && call.input.is_some() {
            self.error(
                at.key("input").key_place(),
                format!("`{}` takes JSON arguments, not free text", call.name),
                "use `arguments`, or declare the tool with `custom: true`",
            );
        }
        for (key, given) in [
            ("arguments", !call.arguments.is_empty()),
            ("arguments_equal", call.arguments_equal.is_some()),
            ("arguments_schema", call.arguments_schema.is_some()),
        ] {
            if custom == Some(true) && given {
                self.error(
                    at.key(key).key_place(),
                    format!(
                        "the custom tool `{}` takes free text, not arguments",
                        call.name
                    ),
                    "use `input`",
                );
            }
        }
        for (name, matcher) in &call.arguments {
            let properties = self
                .scenario
                .tools
                .get(&call.name)
                .and_then(|tool| tool.parameters.as_ref())
                .filter(|schema| schema.get("additionalProperties") == Some(&Value::Bool(false)))
                .and_then(|schema| schema.get("properties"))
                .and_then(Value::as_object);
            if let Some(properties) = properties {
                let place = at.key("arguments").key(name).key_place();
                self.known(
                    "argument",
                    name,
                    properties.keys().map(String::as_str),
                    place,
                );
            }
            self.matcher(matcher, at.key("arguments").key(name));
        }
        if let Some(schema) = &call.arguments_schema {
            self.schema(schema, at.key("arguments_schema"));
        }
        if let Some(input) = &call.input {
            self.matcher(input, at.key("input"));
        }
    }

    fn matcher(&mut self, matcher: &Matcher, at: Cursor<'_>) {
        match matcher {
            Matcher::Matches(pattern) => {
                if let Err(error) = Regex::new(pattern) {
                    let text = error.to_string();
                    let reason = text.lines().last().unwrap_or_default();
                    self.error(
                        at.key("matches").place(),
                        format!(
                            "this is not a regular expression: {}",
                            reason.trim_start_matches("error: ")
                        ),
                        "the syntax is that of the Rust crate `regex`: no look-around, no back-references",
                    );
                }
            }
            Matcher::Schema(schema) => self.schema(schema, at.key("schema")),
            Matcher::Contains(text) if text.is_empty() => self.error(
                at.key("contains").place(),
                "every text contains the empty text",
                "name a word, or remove the expectation",
            ),
            Matcher::Contains(_) | Matcher::Equals(_) => {}
        }
    }
}
