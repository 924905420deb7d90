//! Payloads and answers of a managed agent, in the forms that are documented.

use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::catalog;
use crate::dialect::agentcore::mapping::{Mapping, is_pointer};
use crate::dialect::{Decoded, Dialect, decode_captures, decode_mapped, encode_mapped};
use crate::scenario::model::Settings;
use crate::scenario::read::read;
use crate::turn::dialogue::{Entry, TurnRequest};
use crate::turn::exchange::{End, Exchange, Head, Read};
use crate::turn::trace::{Content, Stop};

fn payload(mapping: &Mapping) -> Value {
    let settings = Settings::default();
    let user = |text: &str| Entry::User {
        text: text.to_owned(),
    };
    let entries = [
        user("My cat is called Schrödinger."),
        Entry::Answer { items: Vec::new() },
        user("What is its name?"),
    ];
    let request = TurnRequest {
        model: "arn:x",
        stream: true,
        system: None,
        tools: &IndexMap::new(),
        wire_tools: &[],
        settings: &settings,
        effort_field: None,
        stored: false,
        previous: None,
        format: None,
        entries: &entries,
    };
    encode_mapped(Dialect::Agentcore, mapping, &request)
}

fn at(prompt: &str) -> Mapping {
    Mapping {
        prompt: prompt.to_owned(),
        ..Mapping::default()
    }
}

#[test]
fn only_the_last_words_of_the_user_are_sent_where_the_agent_wants_them() {
    for (prompt, expected) in [
        ("/prompt", json!({"prompt": "What is its name?"})),
        (
            "/input/text~1plain",
            json!({"input": {"text/plain": "What is its name?"}}),
        ),
        ("", json!("What is its name?")),
    ] {
        assert_eq!(payload(&at(prompt)), expected);
    }
}

#[test]
fn a_pointer_is_told_from_other_texts() {
    for (text, expected) in [
        ("", true),
        ("/a/0/b~1c~0", true),
        ("a", false),
        ("/a~2", false),
        ("/a~", false),
    ] {
        assert_eq!(is_pointer(text), expected, "{text}");
    }
}

fn answer(content_type: &str, body: &str, end: End, mapping: &Mapping) -> Decoded {
    let bytes = Bytes::from(body.to_owned());
    let exchange = Exchange {
        head: Some(Head {
            status: 200,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            at: Duration::ZERO,
        }),
        reads: vec![Read {
            at: Duration::from_millis(5),
            len: bytes.len(),
        }],
        body: bytes,
        end,
        total: Duration::from_millis(6),
    };
    let failures = &catalog::shipped().failures;
    decode_mapped(Dialect::Agentcore, mapping, "", failures, &exchange, true)
}

fn stream(events: &[Value]) -> String {
    events
        .iter()
        .map(|one| format!("data: {one}\n\n"))
        .collect()
}

fn streamed(events: &[Value]) -> Decoded {
    let body = stream(events);
    answer(
        "text/event-stream",
        &body,
        End::Complete,
        &Mapping::default(),
    )
}

fn strands(piece: &str) -> Value {
    json!({"event": {"contentBlockDelta": {"delta": {"text": piece}}}})
}

#[test]
fn a_text_is_found_in_each_documented_form_and_once() {
    for events in [
        vec![json!("po"), json!("ng")],
        vec![strands("po"), strands("ng")],
        vec![
            json!({"data": "po"}),
            json!({"data": "ng"}),
            json!({"result": "pong"}),
        ],
        vec![json!({"event": "po"}), json!({"event": "ng"})],
        // The raw event and what is made of it, and an event that could not become JSON.
        vec![
            json!({"start": true}),
            json!("{'data': 'po', 'agent': <Agent object at 0x1>}"),
            strands("po"),
            json!({"data": "po"}),
            strands("ng"),
            json!({"data": "ng"}),
        ],
        vec![json!({"result": {"role": "assistant", "content": [{"text": "pong"}]}})],
    ] {
        let decoded = streamed(&events);
        assert_eq!(decoded.trace.text(), "pong", "{events:?}");
        assert_eq!(decoded.trace.stop, Some(Stop::End), "{events:?}");
        assert_eq!(decoded.trace.failure, None, "{events:?}");
        assert!(decoded.trace.timing.first_output.is_some());
    }
}

#[test]
fn a_guardrail_that_stepped_in_is_told_from_a_filter() {
    for (reason, expected) in [
        ("guardrail_intervened", Some(Stop::Guardrail)),
        ("content_filtered", Some(Stop::ContentFilter)),
        ("something_new", None),
    ] {
        let stop = json!({"event": {"messageStop": {"stopReason": reason}}});
        let decoded = streamed(&[strands("Sorry."), stop]);
        assert_eq!(decoded.trace.stop, expected, "{reason}");
    }
}

#[test]
fn tools_of_the_agent_are_no_calls_and_counts_add_up() {
    let meta = |input: u64| json!({"event": {"metadata": {"usage": {"inputTokens": input, "outputTokens": 5}}}});
    let stop = |reason: &str| json!({"event": {"messageStop": {"stopReason": reason}}});
    let decoded = streamed(&[
        strands("Looking."),
        json!({"event": {"contentBlockStart": {"start": {"toolUse": {"name": "look"}}}}}),
        stop("tool_use"),
        meta(10),
        strands("Found."),
        stop("max_tokens"),
        meta(20),
    ]);
    let trace = decoded.trace;
    assert_eq!(trace.text(), "Looking.\nFound.");
    assert_eq!(trace.calls().count(), 0);
    let other = &trace.items[1].content;
    assert!(matches!(other, Content::Other { kind } if kind == "agent_tool:look"));
    assert_eq!(trace.stop, Some(Stop::Length));
    let usage = trace.usage.expect("it was told");
    assert_eq!((usage.input, usage.output, usage.total), (30, 10, 40));
}

#[test]
fn an_unknown_reason_is_not_taken_for_an_end() {
    let decoded = streamed(&[
        strands("x"),
        json!({"event": {"messageStop": {"stopReason": "bored"}}}),
    ]);
    assert_eq!(decoded.trace.stop, None);
}

#[test]
fn a_mapping_says_where_things_are() {
    let mapping = Mapping {
        text: vec!["/delta/say".to_owned()],
        ..Mapping::default()
    };
    let body = stream(&[
        json!({"delta": {"say": "po"}}),
        json!("no"),
        json!({"delta": {"say": "ng"}}),
    ]);
    let decoded = answer("text/event-stream", &body, End::Complete, &mapping);
    assert_eq!(decoded.trace.text(), "pong");
}

#[test]
fn failures_inside_a_success_are_failures() {
    let broke = json!({"error": "no more", "error_type": "RuntimeError", "message": "An error occurred during streaming"});
    let throttled = json!({"error": "slow", "error_type": "ThrottlingException", "message": "An error occurred during streaming"});
    for (events, class) in [
        (vec![strands("x"), broke], "server_error"),
        (vec![throttled], "throttled"),
    ] {
        let trace = streamed(&events).trace;
        assert_eq!(trace.failure.map(|one| one.class).as_deref(), Some(class));
        assert_eq!(trace.stop, None);
    }
    let body = stream(&[strands("x"), strands("y")]);
    let plain = Mapping::default();
    for (end, class) in [
        (
            End::Dropped {
                reason: "reset".to_owned(),
            },
            "connection_dropped",
        ),
        (
            End::Stalled {
                after: Duration::from_secs(1),
            },
            "stalled",
        ),
    ] {
        let trace = answer("text/event-stream", &body, end, &plain).trace;
        assert_eq!(trace.failure.map(|one| one.class).as_deref(), Some(class));
        assert_eq!(trace.stop, None);
    }
    // A stream without a single event is no answer, however well it ends.
    for body in ["", ": nothing\n\n"] {
        let trace = answer("text/event-stream", body, End::Complete, &plain).trace;
        assert!(trace.failure.is_some(), "{body:?}");
    }
}

#[test]
fn a_whole_answer_needs_no_stream() {
    let trace = answer(
        "application/json",
        r#"{"response": "pong", "status": "success"}"#,
        End::Complete,
        &Mapping::default(),
    )
    .trace;
    assert_eq!((trace.text().as_str(), trace.failure), ("pong", None));
    let error = answer(
        "application/json",
        r#"{"error": "boom"}"#,
        End::Complete,
        &Mapping::default(),
    );
    assert!(error.trace.failure.is_some());
}

#[test]
fn a_captured_stream_is_one_answer() {
    let text = stream(&[strands("po"), strands("ng")]);
    let all = decode_captures(Dialect::Agentcore, text.as_bytes());
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].trace.text(), "pong");
}

#[test]
fn what_an_agent_brings_itself_cannot_be_given_to_it() {
    let tools = "tools: { f: { description: d, parameters: { type: object } } }";
    for (line, cannot) in [
        ("", None),
        ("settings: { store: false }", None),
        (tools, Some("tools of the client")),
        ("system: x", Some("a system text")),
        (
            "settings: { max_output_tokens: 9 }",
            Some("an output limit"),
        ),
        ("settings: { temperature: 0.5 }", Some("sampling settings")),
        ("settings: { max_tool_calls: 2 }", Some("a choice of tools")),
        (
            "settings: { reasoning_effort: low }",
            Some("a reasoning effort"),
        ),
        ("settings: { service_tier: flex }", Some("a service tier")),
        ("settings: { store: true }", Some("stored responses")),
        ("settings: { verbosity: low }", Some("a verbosity")),
        (
            "format: { json_schema: { name: n, schema: { type: object, properties: {}, required: [], additionalProperties: false } } }",
            Some("a JSON schema"),
        ),
    ] {
        let text = format!("name: a/b\nabout: x\n{line}\nturns: [ {{ user: hi }} ]\n");
        let scenario = read("a.yaml", &text).expect("a scenario");
        let reason = Dialect::Agentcore.cannot(&scenario);
        assert_eq!(reason.is_some(), cannot.is_some(), "{line}");
        let told = reason.unwrap_or_default();
        assert!(told.contains(cannot.unwrap_or_default()), "{line}: {told}");
    }
}
