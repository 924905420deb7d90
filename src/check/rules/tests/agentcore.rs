//! The proof of the rules of a managed agent's answer: each fault trips exactly the rules it names, each
//! legal variant none. Streams go the whole way: mutated, written, decoded as an exchange, checked.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalog;
use crate::check::finding::{Finding, Severity};
use crate::check::rules::tests::{exchange, ids, places, rule, told};
use crate::check::rules::{Subject, agentcore, check};
use crate::dialect::{Dialect, decode};
use crate::mock::fault_file::{agentcore_faults, agentcore_variants};
use crate::mock::mutate::WireFault;
use crate::mock::outgoing::{Ending, Finish, Framing, Newline, OutEvent, OutStream, Pacing, write};
use crate::turn::exchange::{Exchange, Head, Read};

const HEADER: &str = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id";
const SESSION: &str = "sameturn-0000000000000000000000000001";

/// A Strands agent: its model thinks, calls one of the agent's own tools, and answers.
fn good_stream() -> OutStream {
    let event = |event: Value| json!({ "event": event });
    let delta = |index: u64, delta: Value| json!({"event": {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}});
    let ended = |reason: &str, input: u64, output: u64| {
        [
            json!({"event": {"messageStop": {"stopReason": reason}}}),
            json!({"event": {"metadata": {"usage": {"inputTokens": input, "outputTokens": output,
                "totalTokens": input + output}, "metrics": {"latencyMs": 700}}}}),
        ]
    };
    let mut data = vec![
        json!({"init_event_loop": true}),
        json!({"start_event_loop": true}),
        event(json!({"messageStart": {"role": "assistant"}})),
        delta(0, json!({"reasoningContent": {"text": "Look it"}})),
        delta(0, json!({"reasoningContent": {"text": " up."}})),
        event(
            json!({"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {
            "toolUseId": "tooluse_1", "name": "get_weather"}}}}),
        ),
        delta(1, json!({"toolUse": {"input": "{}"}})),
    ];
    data.extend(ended("tool_use", 100, 20));
    data.push(event(json!({"messageStart": {"role": "assistant"}})));
    let words = [
        "The weather",
        " in Dún Laoghaire",
        " is mild,",
        " 11 °C",
        " 🌧",
    ];
    data.extend(words.map(|piece| delta(0, json!({"text": piece}))));
    data.extend(ended("end_turn", 150, 30));
    let mut stream = OutStream::of(data.into_iter().map(OutEvent::of).collect());
    stream.headers = vec![(HEADER.to_lowercase(), SESSION.to_owned())];
    stream
}

fn judged(exchange: &Exchange, streamed: bool) -> Vec<Finding> {
    let failures = &catalog::shipped().failures;
    let decoded = decode(Dialect::Agentcore, "", failures, exchange, streamed);
    let mut found = check(
        "agentcore",
        &Subject {
            events: &decoded.events,
            trace: &decoded.trace,
            streamed,
            framed: decoded.framed,
            head: exchange.head.as_ref(),
            end: Some(&exchange.end),
            request: None,
        },
    );
    let head = exchange.head.as_ref().expect("there is a head");
    found.extend(agentcore::session(head, HEADER, SESSION));
    found
}

fn findings(stream: &OutStream) -> Vec<Finding> {
    judged(&exchange(stream), true)
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
    let found = findings(&good_stream());
    assert!(found.is_empty(), "{}", told(&found));
}

#[test]
fn every_fault_trips_the_rules_it_names_and_no_others() {
    let faults = agentcore_faults();
    let wrong: String = faults.iter().filter_map(misjudged).collect();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(faults.len() >= 14, "faults were lost");
    let good = write(&good_stream());
    for fault in faults {
        let stream = fault.apply(good_stream());
        let changed = write(&stream) != good
            || stream.content_type != good_stream().content_type
            || stream.headers != good_stream().headers
            || stream.ending.finish() != Finish::Close;
        assert!(changed, "{} does nothing", fault.name);
        assert!(!fault.trips.is_empty(), "{} trips nothing", fault.name);
        for id in &fault.trips {
            assert!(rule(id).is_some(), "{} names {id}, no rule", fault.name);
        }
    }
}

#[test]
fn framing_does_not_hide_a_fault() {
    for fault in agentcore_faults() {
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

#[test]
fn legal_variants_have_no_finding() {
    for variant in agentcore_variants() {
        let stream = variant.apply(good_stream());
        let found = findings(&stream);
        let weighty = ids(&found, Severity::Should);
        assert!(weighty.is_empty(), "{}:{}", variant.name, told(&found));
        let changed = stream != good_stream();
        assert!(changed || variant.name == "unchanged", "{}", variant.name);
    }
    assert!(agentcore_variants().len() >= 15, "variants were lost");
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
        let found = findings(&stream);
        assert!(found.is_empty(), "{ending:?}:{}", told(&found));
    }
}

fn whole(content_type: &str, body: &str) -> Exchange {
    let bytes = Bytes::from(body.to_owned());
    let headers = [
        ("content-type", content_type),
        (&HEADER.to_lowercase(), SESSION),
    ];
    Exchange {
        head: Some(Head {
            status: 200,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            at: Duration::ZERO,
        }),
        reads: vec![Read {
            at: Duration::ZERO,
            len: bytes.len(),
        }],
        body: bytes,
        ..exchange(&good_stream())
    }
}

/// An agent answers as it was built to: the other form than was asked for is told, and weighs nothing.
#[test]
fn the_content_type_decides_and_not_what_was_asked() {
    let json = "application/json";
    let told_only = BTreeSet::from(["agentcore/content-type-as-asked".to_owned()]);
    let none = BTreeSet::new();
    for (content_type, body, streamed, expected) in [
        (
            json,
            r#"{"response":"pong","status":"success"}"#,
            false,
            &none,
        ),
        (
            json,
            r#"{"response":"pong","status":"success"}"#,
            true,
            &told_only,
        ),
        (
            json,
            r#"{"result":{"role":"assistant","content":[{"text":"pong"}]}}"#,
            false,
            &none,
        ),
        (json, r#""pong""#, false, &none),
        (
            "text/event-stream; charset=utf-8",
            "data: \"pong\"\n\n",
            false,
            &told_only,
        ),
    ] {
        let found = judged(&whole(content_type, body), streamed);
        assert_eq!(
            &ids(&found, Severity::Info),
            expected,
            "{body}{}",
            told(&found)
        );
    }
}

#[test]
fn what_is_no_answer_is_named() {
    let not = BTreeSet::from(["agentcore/not-an-answer".to_owned()]);
    for body in [
        "",
        "<html>502</html>",
        r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"}}"#,
    ] {
        let found = judged(&whole("application/json", body), false);
        assert_eq!(ids(&found, Severity::Must), not, "{body}{}", told(&found));
    }
}

proptest::proptest! {
    /// Whatever stands in an event, the rules come to an end and say something of it.
    #[test]
    fn hostile_events_do_not_break_the_rules(
        changes in proptest::collection::vec((0usize..10_000, 0usize..10_000, 0usize..10), 1..6)
    ) {
        let values = [
            Value::Null, json!(true), json!(-1), json!(i64::MIN), json!(u64::MAX), json!(1.5),
            json!("{'x'}"), json!([[]]), json!({"error": {}}), json!({"error": "x", "error_type": "y"}),
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
