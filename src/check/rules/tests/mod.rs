//! The proof of the rules: each fault trips exactly the rules it names, each legal variant none.
//!
//! Streams go the whole way: mutated, written as bytes, decoded as an exchange, checked.

mod agentcore;
mod captures;
mod chat;
mod converse;
mod invoke;
mod plain;
mod sweep;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalog;
use crate::check::expect;
use crate::check::finding::{Finding, Rule, Severity};
use crate::check::rules::{Subject, all, check};
use crate::dialect::{Dialect, decode};
use crate::mock::fault_file::{
    agentcore_faults, chat_faults, converse_faults, invoke_faults, shipped_faults, shipped_variants,
};
use crate::mock::mutate::WireFault;
use crate::mock::outgoing::{Ending, Finish, Framing, Newline, OutEvent, OutStream, Pacing, write};
use crate::turn::exchange::{End, Exchange, Head, Read};

/// Rules that no fault of a stream can trip, with the reason.
const WITHOUT_FAULT: [(&str, &str); 17] = [
    (
        "agentcore/content-type-as-asked",
        "is about a whole answer: see agentcore::the_content_type_decides_and_not_what_was_asked",
    ),
    (
        "sse/line-too-long",
        "needs megabytes; see the decoder's own tests",
    ),
    (
        "sse/irregular",
        "stands for irregularities that have no rule of their own; there are none",
    ),
    (
        "responses/items-within-limit",
        "needs a thousand items: see a_flood_of_items_is_named_and_not_compared",
    ),
    (
        "sse/events-within-limit",
        "needs megabytes: see a_flood_of_events_is_named_and_not_kept",
    ),
    ("event-stream/events-within-limit", "the same"),
    (
        "responses/not-a-response",
        "is about a body that is no stream: see an_error_inside_a_success_is_no_answer",
    ),
    (
        "responses/tool-choice-kept",
        "needs another request: see the_contract_is_kept",
    ),
    (
        "converse/not-an-answer",
        "is about a body that is no stream",
    ),
    (
        "converse/tool-choice-kept",
        "needs another request: see tool_choice_is_kept",
    ),
    ("responses/parallel-calls-kept", "the same"),
    ("responses/structured-output", "the same"),
    ("chat/not-a-completion", "is about a body that is no stream"),
    (
        "chat/tool-choice-kept",
        "needs another request: see chat::the_contract_is_kept",
    ),
    ("chat/parallel-calls-kept", "the same"),
    ("chat/structured-output", "the same"),
    ("chat/usage-unasked", "the same"),
];

fn request() -> Value {
    json!({
        "model": "gpt-test", "stream": true, "tool_choice": "auto", "parallel_tool_calls": true,
        "store": false, "include": ["reasoning.encrypted_content"], "max_output_tokens": 500,
        "tools": [
            {"type": "function", "name": "get_weather", "strict": true, "parameters": {
                "type": "object", "properties": {"city": {"type": "string"}},
                "required": ["city"], "additionalProperties": false}},
            {"type": "function", "name": "get_time", "strict": false, "parameters": {"type": "object"}},
            {"type": "custom", "name": "run"},
            {"type": "namespace", "name": "notes", "description": "Notes.", "tools": [
                {"type": "function", "name": "add_note", "strict": false, "parameters": {"type": "object"}}]},
        ],
    })
}

fn response(status: &str, output: &[Value], usage: Value) -> Value {
    json!({
        "id": "resp_1", "object": "response", "created_at": 1_790_000_000, "status": status,
        "model": "gpt-test", "output": output, "usage": usage, "error": null,
        "incomplete_details": null, "tool_choice": "auto", "parallel_tool_calls": true,
        "store": false, "max_output_tokens": 500,
        "completed_at": if status == "completed" { json!(1_790_000_003) } else { Value::Null },
    })
}

fn call(id: &str, call_id: &str, name: &str, arguments: &str, status: &str) -> Value {
    json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments})
}

/// Reasoning with a summary, a message, two function calls and a custom call.
fn good_stream() -> OutStream {
    let text = ["The weather", " in Dún Laoghaire", " – 11 °C ", "🌧"];
    let summary = ["Look up", " both."];
    let whole: String = text.concat();
    let thought: String = summary.concat();
    let reasoning = json!({"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAAseal",
        "summary": [{"type": "summary_text", "text": thought}]});
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant",
        "status": "completed", "content": [part(&whole)]});
    let calls = [
        (
            "fc_1",
            "call_1",
            "get_weather",
            ["{\"city\":", "\"Dublin\"}"],
        ),
        (
            "fc_2",
            "call_2",
            "get_time",
            ["{\"zone\":", "\"Europe/Dublin\"}"],
        ),
    ];
    let input = ["echo ", "sameturn"];
    let custom = |input: &str, status: &str| json!({"id": "ctc_1", "type": "custom_tool_call", "status": status, "call_id": "call_3", "name": "run", "input": input});
    let mut output = vec![reasoning.clone(), message.clone()];
    output.extend(
        calls.iter().map(|(id, call_id, name, pieces)| {
            call(id, call_id, name, &pieces.concat(), "completed")
        }),
    );
    output.push(custom(&input.concat(), "completed"));
    let usage = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 20},
        "output_tokens": 60, "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 160});

    let mut data = vec![
        json!({"type": "response.created", "response": response("in_progress", &[], Value::Null)}),
        json!({"type": "response.in_progress", "response": response("in_progress", &[], Value::Null)}),
        json!({"type": "response.output_item.added", "output_index": 0,
            "item": {"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAA", "summary": []}}),
        json!({"type": "response.reasoning_summary_part.added", "item_id": "rs_1", "output_index": 0,
            "summary_index": 0, "part": {"type": "summary_text", "text": ""}}),
    ];
    for piece in summary {
        data.push(
            json!({"type": "response.reasoning_summary_text.delta", "item_id": "rs_1",
            "output_index": 0, "summary_index": 0, "delta": piece}),
        );
    }
    data.extend([
        json!({"type": "response.reasoning_summary_text.done", "item_id": "rs_1", "output_index": 0,
            "summary_index": 0, "text": thought}),
        json!({"type": "response.reasoning_summary_part.done", "item_id": "rs_1", "output_index": 0,
            "summary_index": 0, "part": {"type": "summary_text", "text": thought}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": reasoning}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"id": "msg_1",
            "type": "message", "role": "assistant", "status": "in_progress", "content": []}}),
        json!({"type": "response.content_part.added", "item_id": "msg_1", "output_index": 1,
            "content_index": 0, "part": part("")}),
    ]);
    for piece in text {
        data.push(
            json!({"type": "response.output_text.delta", "item_id": "msg_1",
            "output_index": 1, "content_index": 0, "delta": piece, "logprobs": []}),
        );
    }
    data.extend([
        json!({"type": "response.output_text.done", "item_id": "msg_1", "output_index": 1,
            "content_index": 0, "text": whole, "logprobs": []}),
        json!({"type": "response.content_part.done", "item_id": "msg_1", "output_index": 1,
            "content_index": 0, "part": part(&whole)}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": message}),
    ]);
    for (index, (id, call_id, name, pieces)) in (2..).zip(&calls) {
        let arguments = pieces.concat();
        data.push(
            json!({"type": "response.output_item.added", "output_index": index,
            "item": call(id, call_id, name, "", "in_progress")}),
        );
        for piece in pieces {
            data.push(
                json!({"type": "response.function_call_arguments.delta", "item_id": id,
                "output_index": index, "delta": piece}),
            );
        }
        data.push(
            json!({"type": "response.function_call_arguments.done", "item_id": id,
            "output_index": index, "arguments": arguments}),
        );
        data.push(
            json!({"type": "response.output_item.done", "output_index": index,
            "item": call(id, call_id, name, &arguments, "completed")}),
        );
    }
    data.push(json!({"type": "response.output_item.added", "output_index": 4, "item": custom("", "in_progress")}));
    for piece in input {
        data.push(
            json!({"type": "response.custom_tool_call_input.delta", "item_id": "ctc_1",
            "output_index": 4, "delta": piece}),
        );
    }
    data.extend([
        json!({"type": "response.custom_tool_call_input.done", "item_id": "ctc_1", "output_index": 4,
            "input": input.concat()}),
        json!({"type": "response.output_item.done", "output_index": 4, "item": custom(&input.concat(), "completed")}),
        json!({"type": "response.completed", "response": response("completed", &output, usage)}),
    ]);
    for (number, event) in data.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    OutStream::of(data.into_iter().map(OutEvent::of).collect())
}

/// The exchange that a client would see of this stream, one read per write.
fn exchange(stream: &OutStream) -> Exchange {
    let chunks = write(stream);
    let reads = (0u64..)
        .zip(&chunks)
        .map(|(place, chunk)| Read {
            at: Duration::from_millis(place),
            len: chunk.bytes.len(),
        })
        .collect();
    Exchange {
        head: Some(Head {
            status: stream.status,
            headers: std::iter::once(("content-type".to_owned(), stream.content_type.clone()))
                .chain(stream.headers.iter().cloned())
                .collect(),
            at: Duration::ZERO,
        }),
        body: Bytes::from(
            chunks
                .into_iter()
                .flat_map(|chunk| chunk.bytes)
                .collect::<Vec<u8>>(),
        ),
        reads,
        end: match stream.ending.finish() {
            Finish::Close => End::Complete,
            Finish::Abort => End::Dropped {
                reason: "connection reset".to_owned(),
            },
            Finish::Hang => End::Stalled {
                after: Duration::from_secs(30),
            },
        },
        total: Duration::from_secs(1),
    }
}

fn findings_with(stream: &OutStream, request: &Value) -> Vec<Finding> {
    let exchange = exchange(stream);
    let failures = &catalog::shipped().failures;
    let decoded = decode(Dialect::Responses, "openai", failures, &exchange, true);
    check(
        "responses",
        &Subject {
            events: &decoded.events,
            trace: &decoded.trace,
            streamed: true,
            framed: true,
            head: exchange.head.as_ref(),
            end: Some(&exchange.end),
            request: Some(request),
        },
    )
}

fn findings(stream: &OutStream) -> Vec<Finding> {
    findings_with(stream, &request())
}

fn rule(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id == id)
}

fn ids(findings: &[Finding], least: Severity) -> BTreeSet<String> {
    findings
        .iter()
        .filter(|finding| finding.severity >= least)
        .map(|finding| finding.rule.clone())
        .collect()
}

fn told(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|one| {
            format!(
                "\n    {}: {} (event {:?}, expected {:?}, got {:?})",
                one.rule, one.message, one.evidence.event, one.evidence.expected, one.evidence.got
            )
        })
        .collect()
}

/// What is wrong with the findings of a fault; nothing when exactly its rules were tripped.
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
    wrong.then(|| {
        format!(
            "\n  {} should trip {expected:?}:{}",
            fault.name,
            told(&findings)
        )
    })
}

#[test]
fn the_good_stream_has_no_finding() {
    let findings = findings(&good_stream());
    assert!(findings.is_empty(), "{}", told(&findings));
}

#[test]
fn every_fault_trips_the_rules_it_names_and_no_others() {
    let wrong: String = shipped_faults().iter().filter_map(misjudged).collect();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(shipped_faults().len() >= 100, "faults were lost");
}

#[test]
fn framing_does_not_hide_a_fault() {
    for fault in shipped_faults() {
        let faulty = fault.apply(good_stream());
        // Faults of the framing itself are not put into another one.
        if faulty.framing != Framing::default() || faulty.pacing != Pacing::Paced {
            continue;
        }
        let plain = ids(&findings(&faulty), Severity::Should);
        for (newline, pacing) in [
            (Newline::Crlf, Pacing::SplitEvents),
            (Newline::Cr, Pacing::ByteByByte),
            (Newline::Lf, Pacing::OneWrite),
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
    let text_alone = shipped_variants()
        .iter()
        .find(|variant| variant.name == "text-alone")
        .expect("the variant ships");
    let other = text_alone.apply(good_stream());
    let mut silent = Vec::new();
    for fault in shipped_faults() {
        let faulty = fault.apply(other.clone());
        if faulty != other && findings(&faulty).is_empty() {
            silent.push(&fault.name);
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}

/// Every place of a value that can hold something else, as JSON pointers.
fn places(value: &Value, here: &str, out: &mut Vec<String>) {
    out.push(here.to_owned());
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                places(inner, &format!("{here}/{key}"), out);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                places(inner, &format!("{here}/{index}"), out);
            }
        }
        _ => {}
    }
}

proptest::proptest! {
    /// Whatever stands in an event, the rules come to an end and say something of it.
    #[test]
    fn hostile_events_do_not_break_the_rules(
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

#[test]
fn every_fault_changes_what_is_sent() {
    let good = write(&good_stream());
    for fault in shipped_faults() {
        let stream = fault.apply(good_stream());
        let changed = write(&stream) != good
            || stream.content_type != good_stream().content_type
            || stream.ending.finish() != Finish::Close
            || stream.status != 200;
        assert!(changed, "{} does nothing", fault.name);
        for id in &fault.trips {
            assert!(
                rule(id).is_some(),
                "{} names {id}, which is no rule",
                fault.name
            );
        }
    }
}

#[test]
fn legal_variants_have_no_finding() {
    for variant in shipped_variants() {
        let findings = findings(&variant.apply(good_stream()));
        let weighty = ids(&findings, Severity::Should);
        assert!(weighty.is_empty(), "{}:{}", variant.name, told(&findings));
        let changed = variant.apply(good_stream()) != good_stream();
        assert!(
            changed || variant.name == "unchanged",
            "{} does nothing",
            variant.name
        );
    }
    assert!(shipped_variants().len() >= 30, "variants were lost");
}

#[test]
fn every_rule_can_be_tripped() {
    let tripped: BTreeSet<&str> = shipped_faults()
        .iter()
        .chain(chat_faults())
        .chain(converse_faults())
        .chain(agentcore_faults())
        .chain(invoke_faults())
        .flat_map(|fault| fault.trips.iter().map(String::as_str))
        .collect();
    for rule in all().filter(|rule| rule.severity > Severity::Info) {
        let excused = WITHOUT_FAULT.iter().any(|(id, _)| *id == rule.id);
        assert!(
            tripped.contains(rule.id) != excused,
            "{} has a fault: {}, is excused: {excused}",
            rule.id,
            tripped.contains(rule.id)
        );
    }
    let mut seen = BTreeSet::new();
    assert!(
        all().all(|rule| seen.insert(rule.id)),
        "a rule is there twice"
    );
}

#[test]
fn every_known_gap_names_a_rule_that_exists() {
    for gap in &catalog::shipped().gaps {
        let id = gap.row.rule.as_str();
        let known = rule(id).is_some()
            || expect::RULES.iter().any(|rule| rule.id == id)
            || id.starts_with("parity/");
        assert!(known, "{} names {id}, which is no rule", gap.row.id);
    }
}

#[test]
fn a_broken_connection_is_not_also_a_broken_stream() {
    for ending in [
        Ending::CutAfterEvent(12),
        Ending::CutMidEvent(12),
        Ending::StallAfterEvent(12),
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
    let cases = [
        (json!({"tool_choice": "none"}), "responses/tool-choice-kept"),
        (
            json!({"tool_choice": {"type": "function", "name": "get_time"}}),
            "responses/tool-choice-kept",
        ),
        (
            json!({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]}}),
            "responses/tool-choice-kept",
        ),
        (
            json!({"parallel_tool_calls": false}),
            "responses/parallel-calls-kept",
        ),
        (json!({"tools": []}), "responses/tool-is-declared"),
        (json!({"tool_choice": "required"}), ""),
        (json!({"tool_choice": "auto"}), ""),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}}),
            "",
        ),
    ];
    for (patch, expected) in cases {
        let mut request = request();
        for (key, value) in patch.as_object().expect("patches are objects") {
            request[key] = value.clone();
        }
        let findings = findings_with(&good_stream(), &request);
        let ids = ids(&findings, Severity::Should);
        let expected: BTreeSet<String> = [expected.to_owned()]
            .into_iter()
            .filter(|id| !id.is_empty())
            .collect();
        assert_eq!(ids, expected, "{patch}{}", told(&findings));
    }
}

#[test]
fn the_contract_of_a_plain_text_answer() {
    let text_alone = shipped_variants()
        .iter()
        .find(|variant| variant.name == "text-alone")
        .expect("the variant ships");
    let schema = json!({"type": "object", "required": ["temp"]});
    for (patch, expected) in [
        (
            json!({"tool_choice": "required"}),
            "responses/tool-choice-kept",
        ),
        (
            json!({"tool_choice": {"type": "function", "name": "get_time"}}),
            "responses/tool-choice-kept",
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}}),
            "responses/structured-output",
        ),
    ] {
        let mut request = request();
        for (key, value) in patch.as_object().expect("patches are objects") {
            request[key] = value.clone();
        }
        let findings = findings_with(&text_alone.apply(good_stream()), &request);
        let ids = ids(&findings, Severity::Should);
        assert_eq!(
            ids,
            BTreeSet::from([expected.to_owned()]),
            "{patch}{}",
            told(&findings)
        );
    }
}
