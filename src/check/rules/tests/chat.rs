//! The same proof for Chat Completions: each fault trips exactly the rules it names, each legal
//! variant none.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalog;
use crate::check::finding::{Finding, Severity};
use crate::check::rules::tests::{exchange, ids, places, rule, told};
use crate::check::rules::{Subject, check};
use crate::dialect::{Dialect, decode};
use crate::mock::fault_file::{chat_faults, chat_variants};
use crate::mock::mutate::WireFault;
use crate::mock::outgoing::{Ending, Finish, Framing, Newline, OutEvent, OutStream, Pacing, write};
use crate::turn::exchange::{End, Exchange};

pub(super) fn request() -> Value {
    json!({
        "model": "gpt-test", "stream": true, "stream_options": {"include_usage": true},
        "tool_choice": "auto", "parallel_tool_calls": true,
        "messages": [{"role": "user", "content": "What is it like in Dublin?"}],
        "tools": [
            {"type": "function", "function": {"name": "get_weather", "strict": true, "parameters": {
                "type": "object", "properties": {"city": {"type": "string"}},
                "required": ["city"], "additionalProperties": false}}},
            {"type": "function", "function": {"name": "get_time", "strict": false,
                "parameters": {"type": "object"}}},
        ],
    })
}

fn chunk(choices: Value, usage: Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000,
        "model": "gpt-test", "service_tier": "default", "system_fingerprint": "fp_1",
        "choices": choices, "usage": usage,
    })
}

fn delta(delta: Value, finish: Value) -> Value {
    chunk(
        json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]),
        Value::Null,
    )
}

fn usage() -> Value {
    json!({"prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160,
        "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 10, "audio_tokens": 0}})
}

/// Reasoning, text and two parallel calls, the finish reason, the usage and `[DONE]`.
pub(super) fn good_stream() -> OutStream {
    let mut data = vec![delta(
        json!({"role": "assistant", "content": "", "refusal": null}),
        Value::Null,
    )];
    let text = |key: &str, piece: &str| {
        let mut one = json!({});
        one[key] = json!(piece);
        delta(one, Value::Null)
    };
    data.extend(["Look", " up both."].map(|piece| text("reasoning_content", piece)));
    let words = ["The weather", " in Dún Laoghaire", " – 11 °C ", "🌧"];
    data.extend(words.map(|piece| text("content", piece)));
    for (index, id, name, pieces) in [
        (0, "call_1", "get_weather", ["{\"city\":", "\"Dublin\"}"]),
        (
            1,
            "call_2",
            "get_time",
            ["{\"zone\":", "\"Europe/Dublin\"}"],
        ),
    ] {
        data.push(delta(
            json!({"tool_calls": [{"index": index, "id": id, "type": "function",
                "function": {"name": name, "arguments": ""}}]}),
            Value::Null,
        ));
        for piece in pieces {
            data.push(delta(
                json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}),
                Value::Null,
            ));
        }
    }
    data.push(delta(json!({}), json!("tool_calls")));
    data.push(chunk(json!([]), usage()));
    let mut stream = OutStream::of(data.into_iter().map(OutEvent::of).collect());
    stream.done_markers = 1;
    stream
}

fn findings_of(exchange: &Exchange, streamed: bool, request: &Value) -> Vec<Finding> {
    let failures = &catalog::shipped().failures;
    let decoded = decode(Dialect::Chat, "openai", failures, exchange, streamed);
    check(
        "chat",
        &Subject {
            events: &decoded.events,
            trace: &decoded.trace,
            streamed,
            framed: decoded.framed,
            head: exchange.head.as_ref(),
            end: Some(&exchange.end),
            request: Some(request),
        },
    )
}

fn findings(stream: &OutStream) -> Vec<Finding> {
    findings_of(&exchange(stream), true, &request())
}

fn variant(name: &str) -> OutStream {
    chat_variants()
        .iter()
        .find(|variant| variant.name == name)
        .expect("the variant ships")
        .apply(good_stream())
}

fn misjudged(fault: &WireFault) -> Option<String> {
    let findings = findings(&fault.apply(good_stream()));
    let expected: BTreeSet<String> = fault.trips.iter().cloned().collect();
    let weighty: BTreeSet<String> = expected
        .iter()
        .filter(|id| rule(id).is_some_and(|rule| rule.severity > Severity::Info))
        .cloned()
        .collect();
    let wrong = ids(&findings, Severity::Should) != weighty
        || !expected.is_subset(&ids(&findings, Severity::Info));
    let name = &fault.name;
    wrong.then(|| format!("\n  {name} should trip {expected:?}:{}", told(&findings)))
}

#[test]
fn the_good_stream_has_no_finding() {
    let findings = findings(&good_stream());
    assert!(findings.is_empty(), "{}", told(&findings));
}

#[test]
fn every_fault_trips_the_rules_it_names_and_no_others() {
    let wrong: String = chat_faults().iter().filter_map(misjudged).collect();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(chat_faults().len() >= 60, "faults were lost");
}

#[test]
fn every_fault_changes_what_is_sent() {
    let good = write(&good_stream());
    for fault in chat_faults() {
        let stream = fault.apply(good_stream());
        let changed = write(&stream) != good
            || stream.content_type != good_stream().content_type
            || stream.ending.finish() != Finish::Close;
        assert!(changed, "{} does nothing", fault.name);
        for id in &fault.trips {
            assert!(rule(id).is_some(), "{} names {id}, no rule", fault.name);
        }
    }
}

#[test]
fn framing_does_not_hide_a_fault() {
    for fault in chat_faults() {
        let faulty = fault.apply(good_stream());
        if faulty.framing != Framing::default() || faulty.pacing != Pacing::Paced {
            continue;
        }
        let plain = ids(&findings(&faulty), Severity::Should);
        for (newline, pacing) in [
            (Newline::Crlf, Pacing::SplitEvents),
            (Newline::Cr, Pacing::ByteByByte),
        ] {
            let mut other = faulty.clone();
            other.framing.newline = newline;
            other.framing.comments = true;
            other.pacing = pacing;
            let found = ids(&findings(&other), Severity::Should);
            assert_eq!(found, plain, "{} in {newline:?}, {pacing:?}", fault.name);
        }
    }
}

/// A mocked endpoint puts faults into whatever it answers, so they must show there too.
#[test]
fn a_fault_in_another_answer_is_noticed_too() {
    let other = variant("text-alone");
    let mut silent = Vec::new();
    for fault in chat_faults() {
        let faulty = fault.apply(other.clone());
        if faulty != other && findings(&faulty).is_empty() {
            silent.push(&fault.name);
        }
    }
    // Without calls these leave a legal answer.
    silent.retain(|name| *name != "finish-stop-with-calls");
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn legal_variants_have_no_finding() {
    for variant in chat_variants() {
        let stream = variant.apply(good_stream());
        let findings = findings(&stream);
        let weighty = ids(&findings, Severity::Should);
        assert!(weighty.is_empty(), "{}:{}", variant.name, told(&findings));
        let changed = stream != good_stream();
        assert!(changed || variant.name == "unchanged", "{}", variant.name);
    }
    assert!(chat_variants().len() >= 25, "variants were lost");
}

#[test]
fn a_broken_connection_is_not_also_a_broken_stream() {
    for ending in [
        Ending::CutAfterEvent(5),
        Ending::CutMidEvent(5),
        Ending::StallAfterEvent(5),
    ] {
        let mut stream = good_stream();
        stream.ending = ending;
        let findings = findings(&stream);
        assert!(findings.is_empty(), "{ending:?}:{}", told(&findings));
    }
}

#[test]
fn the_contract_is_kept() {
    let schema = json!({"type": "object", "required": ["temp"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let named = json!({"type": "function", "function": {"name": "get_time"}});
    let kept = "chat/tool-choice-kept";
    let (calls, text) = (good_stream(), variant("text-alone"));
    for (stream, patch, expected) in [
        (&calls, json!({"tool_choice": "none"}), vec![kept]),
        (&calls, json!({"tool_choice": named}), vec![kept]),
        (&calls, json!({"tool_choice": "required"}), vec![]),
        (&calls, json!({"response_format": format}), vec![]),
        (
            &calls,
            json!({"parallel_tool_calls": false}),
            vec!["chat/parallel-calls-kept"],
        ),
        (&calls, json!({"tools": []}), vec!["chat/tool-is-declared"]),
        (
            &calls,
            json!({"stream_options": null}),
            vec!["chat/usage-unasked"],
        ),
        (&text, json!({"tool_choice": "required"}), vec![kept]),
        (&text, json!({"tool_choice": named}), vec![kept]),
        (&text, json!({"tool_choice": "none"}), vec![]),
        (
            &text,
            json!({"response_format": format}),
            vec!["chat/structured-output"],
        ),
    ] {
        let mut request = request();
        for (key, value) in patch.as_object().expect("patches are objects") {
            request[key] = value.clone();
        }
        let findings = findings_of(&exchange(stream), true, &request);
        let found: Vec<String> = ids(&findings, Severity::Should).into_iter().collect();
        assert_eq!(found, expected, "{patch}{}", told(&findings));
    }
}

/// OpenAI ends a call that tool_choice forces by name with `stop`.
#[test]
fn a_forced_call_may_end_with_stop() {
    let mut stream = good_stream();
    for event in &mut stream.events {
        let second = event.data.pointer("/choices/0/delta/tool_calls/0/index") == Some(&json!(1));
        if second {
            event.data["choices"][0]["delta"] = json!({});
        }
        if event.data["choices"][0]["finish_reason"].is_string() {
            event.data["choices"][0]["finish_reason"] = json!("stop");
        }
    }
    let mut request = request();
    let wrong = findings_of(&exchange(&stream), true, &request);
    assert_eq!(
        ids(&wrong, Severity::Should),
        BTreeSet::from(["chat/finish-matches-calls".to_owned()])
    );
    request["tool_choice"] = json!({"type": "function", "function": {"name": "get_weather"}});
    let findings = findings_of(&exchange(&stream), true, &request);
    assert!(findings.is_empty(), "{}", told(&findings));
}

/// Several choices, mixed in one stream, are judged one by one.
#[test]
fn choices_are_independent() {
    let mut stream = good_stream();
    let copies: Vec<OutEvent> = stream
        .events
        .iter()
        .map(|event| {
            let mut copy = event.clone();
            if copy.data["choices"][0].is_object() {
                copy.data["choices"][0]["index"] = json!(1);
            }
            copy
        })
        .collect();
    let last = stream.events.pop().expect("the usage");
    let count = stream.events.len();
    let pairs = stream
        .events
        .into_iter()
        .zip(copies.into_iter().take(count));
    stream.events = pairs.flat_map(|(one, other)| [one, other]).collect();
    stream.events.push(last);
    let mut request = request();
    request["n"] = json!(2);
    let findings = findings_of(&exchange(&stream), true, &request);
    assert!(findings.is_empty(), "{}", told(&findings));
}

#[test]
fn a_plain_answer_is_checked_too() {
    let call = json!({"id": "call_1", "type": "function",
        "function": {"name": "get_weather", "arguments": "{\"city\":\"Dublin\"}"}});
    let good = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000,
        "model": "gpt-test", "usage": usage(), "choices": [{"index": 0, "logprobs": null,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": [call]}}],
    });
    let mut broken = good.clone();
    broken["object"] = json!("thing");
    broken["usage"]["total_tokens"] = json!(1);
    broken["choices"][0]["message"]["tool_calls"][0]["id"] = json!("");
    broken["choices"][0]["finish_reason"] = Value::Null;
    let mut bare = good.clone();
    bare["usage"] = Value::Null;
    for (body, expected) in [
        (good, vec![]),
        (
            broken,
            vec![
                "chat/call-id-present",
                "chat/finish-reason-once",
                "chat/object",
                "chat/usage-total",
            ],
        ),
        (bare, vec!["chat/usage-present"]),
        // An error inside a success is an answer, and a bad one.
        (
            json!({"error": {"message": "no"}}),
            vec!["chat/not-a-completion"],
        ),
    ] {
        let mut exchange = exchange(&good_stream());
        exchange.body = Bytes::from(body.to_string());
        exchange.end = End::Complete;
        let mut request = request();
        request["stream"] = json!(false);
        let findings = findings_of(&exchange, false, &request);
        let found: Vec<String> = ids(&findings, Severity::Should).into_iter().collect();
        assert_eq!(found, expected, "{body}{}", told(&findings));
    }
}

proptest::proptest! {
    /// Whatever stands in a chunk, the rules come to an end and say something of it.
    #[test]
    fn hostile_chunks_do_not_break_the_rules(
        changes in proptest::collection::vec((0usize..10_000, 0usize..10_000, 0usize..10), 1..6)
    ) {
        let values = [
            Value::Null, json!(true), json!(-1), json!(i64::MAX), json!(i64::MIN), json!(u64::MAX),
            json!(1.5), json!("x"), json!([[]]), json!({"a": {}}),
        ];
        let mut stream = good_stream();
        for (event, place, value) in changes {
            let count = stream.events.len();
            let event = &mut stream.events[event % count];
            let mut pointers = Vec::new();
            places(&event.data, "", &mut pointers);
            let pointer = &pointers[place % pointers.len()];
            if let Some(place) = event.data.pointer_mut(pointer) {
                *place = values[value].clone();
            }
        }
        let found = findings(&stream);
        proptest::prop_assert!(found.len() < 500, "too much to read");
    }
}
