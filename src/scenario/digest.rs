//! A fingerprint of what a scenario means, so that two runs can be told to have asked the same.
//!
//! Comments, key order and ways of writing do not change it; a default that is written out does not
//! either. Order changes it where order has a meaning: turns, and properties in a schema.

use std::fmt::Write;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::scenario::model::{
    CallExpectation, ClockState, Conversation, CredentialState, Expect, Format, Given, Limits,
    Matcher, ModelState, Only, Range, Retries, RouteState, Scenario, Settings, StopWord, Tool,
    ToolChoice, Turn,
};
use crate::scenario::one_or_more::OneOrMore;

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
        retries,
        system,
        tools,
        wire_tools,
        wire_fields,
        wire_headers,
        settings,
        format,
        conversation,
        turns,
    } = scenario;
    let Limits { idle, total } = limits;
    let millis = |limit: &Option<std::time::Duration>| limit.map(|limit| limit.as_millis() as u64);
    let mut canonical = json!({
        "name": name,
        "about": about,
        "tags": tags,
        "source": source,
        "only": self::only(only),
        "given": self::given(given),
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
    // Only where it is there: a scenario without it keeps the digest that it had before the key existed.
    if let Some(Retries {
        most,
        on,
        wait_at_most,
    }) = retries
    {
        canonical["retries"] = json!([most, on.0, millis(wait_at_most)]);
    }
    if *conversation == Conversation::Stored {
        canonical["conversation"] = json!("stored");
    }
    if let Some(gap) = gap {
        canonical["gap"] = json!([
            gap.fault,
            gap.findings,
            gap.seen_at,
            gap.source,
            gap.date,
            gap.consequence
        ]);
    }
    if !wire_fields.is_empty() {
        canonical["wire_fields"] = json!(wire_fields);
    }
    if !wire_headers.is_empty() {
        canonical["wire_headers"] = sorted(wire_headers, |value| json!(value));
    }
    canonical
}

/// What came later adds nothing where it is not said, so that older fingerprints stay.
fn only(only: &Only) -> Value {
    let mut all = vec![
        json!(only.providers),
        json!(only.dialects),
        json!(only.models),
    ];
    all.extend((!only.not_providers.is_empty()).then(|| json!({"not": only.not_providers})));
    all.extend(only.guardrail.then(|| json!("guardrail")));
    Value::Array(all)
}

fn given(given: &Given) -> Value {
    let Given {
        credentials,
        region,
        route,
        model,
        clock,
        fault,
        script,
    } = given;
    let mut list = vec![
        json!(credentials.map(self::credentials)),
        json!(region.map(|_| "none")),
        json!(route.map(self::route)),
        json!(model.map(self::model)),
        json!(fault),
        json!(script),
    ];
    list.extend(clock.map(|clock| match clock {
        ClockState::Behind => json!({ "clock": "behind" }),
        ClockState::Ahead => json!({ "clock": "ahead" }),
    }));
    Value::Array(list)
}

fn route(state: RouteState) -> &'static str {
    match state {
        RouteState::Wrong => "wrong",
        RouteState::Nowhere => "nowhere",
    }
}

/// One word as it always was; several as a list.
fn words(words: &OneOrMore) -> Value {
    match words.0.as_slice() {
        [one] => json!(one),
        several => json!(several),
    }
}

fn credentials(state: CredentialState) -> &'static str {
    match state {
        CredentialState::Denied => "denied",
        CredentialState::Invalid => "invalid",
        CredentialState::Expired => "expired",
        CredentialState::ExpiredSso => "expired-sso",
        CredentialState::ExpiredSsoLegacy => "expired-sso-legacy",
        CredentialState::SsoNeverLoggedIn => "sso-never-logged-in",
        CredentialState::SsoRoleNotAssigned => "sso-role-not-assigned",
        CredentialState::CredentialProcessFails => "credential-process-fails",
        CredentialState::CredentialProcessHangs => "credential-process-hangs",
        CredentialState::CredentialProcessExpired => "credential-process-expired",
        CredentialState::ProfileMissing => "profile-missing",
        CredentialState::SourceProfileMissing => "source-profile-missing",
        CredentialState::AssumeRoleDenied => "assume-role-denied",
        CredentialState::WebIdentityMissing => "web-identity-missing",
        CredentialState::BrokenConfig => "broken-config",
        CredentialState::LoginSession => "login-session",
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
        background,
        verbosity,
    } = settings;
    let choice = tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Tool(name) => json!({ "tool": name }),
    });
    let mut list = json!([
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
    ]);
    if let (Some(background), Value::Array(list)) = (background, &mut list) {
        list.push(json!({ "background": background }));
    }
    list
}

fn turn(turn: &Turn) -> Value {
    let Turn {
        user,
        filler_words,
        wire_items,
        results,
        think,
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
    if let Some(think) = think {
        whole.push(json!({ "think": think.as_millis() as u64 }));
    }
    Value::Array(whole)
}

fn expectations(expect: &Expect) -> Value {
    let Expect {
        calls,
        text,
        stop,
        usage,
        output_events,
        service_tier,
        failure,
        cause,
        code,
        param,
        retry_after,
        sent,
        fresh_call_ids,
        first,
    } = expect;
    let range = |range: &Option<Range>| range.map(|range| json!([range.min, range.max]));
    let stop = stop.map(|stop| match stop {
        StopWord::End => "end",
        StopWord::ToolCalls => "tool_calls",
        StopWord::Length => "length",
        StopWord::ContentFilter => "content_filter",
        StopWord::Guardrail => "guardrail",
    });
    let mut canonical = json!([
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
        failure.as_ref().map(words),
        code.as_ref().map(words),
        param,
        retry_after,
        sent,
        fresh_call_ids
    ]);
    if let (Some(events), Value::Array(list)) = (output_events, &mut canonical) {
        list.push(json!({ "output_events": [events.min, events.max] }));
    }
    if let (Some(tier), Value::Array(list)) = (service_tier, &mut canonical) {
        list.push(json!({ "service_tier": tier }));
    }
    if let (Some(cause), Value::Array(list)) = (cause, &mut canonical) {
        list.push(json!({ "cause": cause }));
    }
    if let (Some(first), Value::Array(list)) = (first, &mut canonical) {
        list.push(json!([words(&first.failure), first.retry_after]));
    }
    canonical
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
