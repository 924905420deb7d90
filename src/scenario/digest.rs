//! A fingerprint of what a scenario means, so that two runs can be told to have asked the same.
//!
//! Comments, key order and ways of writing do not change it; a default that is written out does not
//! either. Order changes it where order has a meaning: turns, and properties in a schema.

use std::fmt::Write;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::scenario::model::{
    CallExpectation, CredentialState, Expect, Format, Limits, Matcher, ModelState, Range, Scenario,
    Settings, StopWord, Tool, ToolChoice, Turn,
};

/// SHA-256 of the canonical JSON of a scenario, 64 hexadecimal digits.
pub fn digest(scenario: &Scenario) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(canonical(scenario).to_string()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn canonical(scenario: &Scenario) -> Value {
    let Scenario {
        name,
        about,
        tags,
        source,
        gap,
        only,
        given,
        stream,
        limits,
        system,
        tools,
        wire_tools,
        wire_fields,
        wire_headers,
        settings,
        format,
        turns,
    } = scenario;
    let Limits { idle, total } = limits;
    let millis = |limit: &Option<std::time::Duration>| limit.map(|limit| limit.as_millis() as u64);
    let mut whole = json!({
        "name": name,
        "about": about,
        "tags": tags,
        "source": source,
        "only": [only.providers, only.dialects, only.models],
        "given": [
            given.credentials.map(credentials),
            given.region.map(|_| "none"),
            given.route.map(|_| "wrong"),
            given.model.map(model),
            given.fault,
            given.script,
        ],
        "stream": stream,
        "limits": [millis(idle), millis(total)],
        "system": system,
        "tools": tools.iter().map(|(name, tool)| self::tool(name, tool)).collect::<Vec<_>>(),
        "wire_tools": wire_tools,
        "settings": self::settings(settings),
        "format": format.as_ref().map(|Format::JsonSchema(format)| {
            json!([format.name, format.schema, format.strict])
        }),
        "turns": turns.iter().map(turn).collect::<Vec<_>>(),
    });
    // What is absent leaves no trace, so that digests of before stay comparable.
    if let Some(gap) = gap {
        whole["gap"] = json!([
            gap.fault,
            gap.findings,
            gap.seen_at,
            gap.source,
            gap.date,
            gap.consequence
        ]);
    }
    if !wire_fields.is_empty() {
        whole["wire_fields"] = json!(wire_fields);
    }
    if !wire_headers.is_empty() {
        whole["wire_headers"] = sorted(wire_headers, |value| json!(value));
    }
    whole
}

fn credentials(state: CredentialState) -> &'static str {
    match state {
        CredentialState::Denied => "denied",
        CredentialState::Invalid => "invalid",
        CredentialState::Expired => "expired",
        CredentialState::ExpiredSso => "expired-sso",
        CredentialState::ExpiredSsoLegacy => "expired-sso-legacy",
        CredentialState::None => "none",
    }
}

fn model(state: ModelState) -> &'static str {
    match state {
        ModelState::Absent => "absent",
        ModelState::RuntimeId => "runtime-id",
    }
}

fn tool(name: &str, tool: &Tool) -> Value {
    let Tool {
        description,
        parameters,
        strict,
        custom,
    } = tool;
    json!([name, description, parameters, strict, custom])
}

fn settings(settings: &Settings) -> Value {
    let Settings {
        max_output_tokens,
        temperature,
        top_p,
        tool_choice,
        parallel_tool_calls,
        max_tool_calls,
        reasoning_effort,
        service_tier,
        store,
        verbosity,
    } = settings;
    let choice = tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Tool(name) => json!({ "tool": name }),
    });
    json!([
        max_output_tokens,
        temperature,
        top_p,
        choice,
        parallel_tool_calls,
        max_tool_calls,
        reasoning_effort,
        service_tier,
        store,
        verbosity
    ])
}

fn turn(turn: &Turn) -> Value {
    let Turn {
        user,
        filler_words,
        wire_items,
        results,
        expect,
    } = turn;
    let mut whole = vec![
        json!(user),
        json!(filler_words),
        sorted(results, Clone::clone),
        expectations(expect),
    ];
    if !wire_items.is_empty() {
        whole.push(json!(wire_items));
    }
    Value::Array(whole)
}

fn expectations(expect: &Expect) -> Value {
    let Expect {
        calls,
        text,
        stop,
        usage,
        failure,
        code,
        param,
        retry_after,
        sent,
        fresh_call_ids,
    } = expect;
    let range = |range: &Option<Range>| range.map(|range| json!([range.min, range.max]));
    let stop = stop.map(|stop| match stop {
        StopWord::End => "end",
        StopWord::ToolCalls => "tool_calls",
        StopWord::Length => "length",
        StopWord::ContentFilter => "content_filter",
    });
    json!([
        calls
            .as_ref()
            .map(|calls| calls.iter().map(call).collect::<Vec<_>>()),
        text.as_ref().map(matcher),
        stop,
        usage.as_ref().map(|usage| json!([
            range(&usage.input),
            range(&usage.output),
            range(&usage.cached),
            range(&usage.reasoning)
        ])),
        failure,
        code,
        param,
        retry_after,
        sent,
        fresh_call_ids
    ])
}

fn call(call: &CallExpectation) -> Value {
    let CallExpectation {
        name,
        arguments,
        arguments_equal,
        arguments_schema,
        input,
    } = call;
    json!([
        name,
        sorted(arguments, matcher),
        arguments_equal,
        arguments_schema,
        input.as_ref().map(matcher)
    ])
}

fn matcher(matcher: &Matcher) -> Value {
    match matcher {
        Matcher::Equals(value) => json!({ "equals": value }),
        Matcher::Matches(pattern) => json!({ "matches": pattern }),
        Matcher::Contains(text) => json!({ "contains": text }),
        Matcher::Schema(schema) => json!({ "schema": schema }),
    }
}

/// A map whose order means nothing, in the order of its keys.
fn sorted<T>(map: &IndexMap<String, T>, value: impl Fn(&T) -> Value) -> Value {
    let mut entries: Vec<(&String, &T)> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    let map: Map<String, Value> = entries
        .into_iter()
        .map(|(key, one)| (key.clone(), value(one)))
        .collect();
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read::read;

    const TEXT: &str = "name: a\nabout: b\nturns: [ { user: ping, expect: { stop: end } } ]\n";

    fn of(text: &str) -> String {
        digest(&read("f", text).unwrap())
    }

    #[test]
    fn ways_of_writing_do_not_change_it_and_meanings_do() {
        let base = of(TEXT);
        assert_eq!(base.len(), 64);
        assert_eq!(base, of(&format!("# a comment\nstream: true\n{TEXT}")));
        assert_eq!(
            base,
            of("turns:\n- expect: {stop: end}\n  user: ping\nabout: b\nname: a\n")
        );
        for (from, to) in [("ping", "pong"), ("end", "length"), ("name: a", "name: c")] {
            assert_ne!(base, of(&TEXT.replace(from, to)), "{to}");
        }
        assert_ne!(base, of(&format!("{TEXT}stream: false\n")));
    }
}
