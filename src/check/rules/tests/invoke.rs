//! The proof of the rules of InvokeModel: each fault trips exactly the rules it names, each legal
//! variant none, and the faults of Chat Completions show in frames as they do in server-sent events.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalog;
use crate::check::finding::{Finding, Severity};
use crate::check::rules::tests::chat as completions;
use crate::check::rules::tests::{exchange, ids, rule, told};
use crate::check::rules::{Subject, check};
use crate::dialect::{Dialect, decode};
use crate::mock::fault_file::{chat_faults, invoke_faults, invoke_variants};
use crate::mock::mutate::{Op, WireFault};
use crate::mock::outgoing::{Form, OutStream, Pacing};
use crate::turn::exchange::Exchange;

/// The good stream of Chat Completions in frames, with the metrics in its last chunk.
fn good_stream() -> OutStream {
    let chat = completions::good_stream();
    let mut stream = OutStream::in_chunks(chat.events);
    let last = stream.events.last_mut().expect("the usage");
    last.data["amazon-bedrock-invocationMetrics"] = json!({"inputTokenCount": 100,
        "outputTokenCount": 60, "invocationLatency": 700, "firstByteLatency": 200});
    stream
}

fn request() -> Value {
    let mut request = completions::request();
    let fields = request.as_object_mut().expect("an object");
    fields.shift_remove("model");
    request
}

fn judged(exchange: &Exchange, streamed: bool, request: &Value) -> Vec<Finding> {
    let failures = &catalog::shipped().failures;
    let decoded = decode(Dialect::Invoke, "", failures, exchange, streamed);
    check(
        "invoke",
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

fn misjudged(fault: &WireFault, pacing: Option<Pacing>) -> Option<String> {
    let mut stream = fault.apply(good_stream());
    stream.pacing = pacing.unwrap_or(stream.pacing);
    let found = judged(&exchange(&stream), true, &request());
    let weighs = |id: &&String| rule(id).is_some_and(|rule| rule.severity > Severity::Info);
    let expected: BTreeSet<String> = fault.trips.iter().filter(weighs).cloned().collect();
    (ids(&found, Severity::Should) != expected).then(|| {
        let name = &fault.name;
        format!("\n  {name} should trip {expected:?}:{}", told(&found))
    })
}

#[test]
fn the_good_stream_has_no_finding() {
    let found = judged(&exchange(&good_stream()), true, &request());
    assert!(found.is_empty(), "{}", told(&found));
}

#[test]
fn every_fault_trips_the_rules_it_names_and_no_others() {
    let faults = invoke_faults();
    let wrong: String = faults
        .iter()
        .filter_map(|one| misjudged(one, None))
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(faults.len() >= 20, "faults were lost");
    for fault in faults {
        assert!(!fault.trips.is_empty(), "{} trips nothing", fault.name);
        let known = fault.trips.iter().all(|id| rule(id).is_some());
        assert!(known, "{}", fault.name);
    }
}

#[test]
fn legal_variants_have_no_finding() {
    let wrong: String = invoke_variants()
        .iter()
        .filter_map(|one| misjudged(one, None))
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
    for variant in invoke_variants() {
        assert!(
            variant.apply(good_stream()) != good_stream(),
            "{} does nothing",
            variant.name
        );
    }
}

#[test]
fn how_frames_are_sent_hides_no_fault() {
    for pacing in [Pacing::SplitEvents, Pacing::OneWrite] {
        let wrong: String = invoke_faults()
            .iter()
            .filter_map(|one| misjudged(one, Some(pacing)))
            .collect();
        assert!(wrong.is_empty(), "{pacing:?}: {wrong}");
    }
}

/// What is wrong with a chunk is wrong with it whatever carries it. Left out are faults of the carrier
/// itself, and rules that hold for one carrier alone.
#[test]
fn faults_of_chat_show_in_frames_too() {
    let of_carrier = |op: &Op| {
        matches!(
            op,
            Op::DoneMarkers(_)
                | Op::Framing(_)
                | Op::ContentType(_)
                | Op::Ending(_)
                | Op::Raw(_)
                | Op::Bytes(_)
                | Op::Name(_)
        )
    };
    let mut walked = 0;
    let mut wrong = String::new();
    for fault in chat_faults() {
        let carried = fault.stream.iter().any(of_carrier);
        // Metrics count the tokens where the usage does not, or count others than it.
        let counted = fault.trips.iter().any(|id| id.starts_with("chat/usage"));
        if carried || counted || fault.trips.iter().any(|id| !id.starts_with("chat/")) {
            continue;
        }
        let mut stream = fault.apply(completions::good_stream());
        // An event with a type would be a message of its own.
        if stream.events.iter().any(|event| event.kind().is_some()) {
            continue;
        }
        walked += 1;
        stream.form = Form::Chunks;
        stream.content_type = good_stream().content_type;
        let found = judged(&exchange(&stream), true, &request());
        let weighs = |id: &&String| rule(id).is_some_and(|rule| rule.severity > Severity::Info);
        let expected: BTreeSet<String> = fault.trips.iter().filter(weighs).cloned().collect();
        if ids(&found, Severity::Should) != expected {
            wrong.push_str(&format!("\n  {}: {}", fault.name, told(&found)));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(walked >= 40, "only {walked} faults were walked");
}

#[test]
fn a_plain_answer_is_held_to_the_same() {
    let call = json!({"id": "call_1", "type": "function",
        "function": {"name": "get_weather", "arguments": "{\"city\":\"Dublin\"}"}});
    let good = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000,
        "model": "m", "choices": [{"index": 0, "logprobs": null, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": [call]}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160},
    });
    let mut bare = good.clone();
    bare["usage"] = Value::Null;
    for (body, media, expected) in [
        (good.to_string(), "application/json", vec![]),
        (good.to_string(), "text/plain", vec!["invoke/content-type"]),
        (
            bare.to_string(),
            "application/json",
            vec!["chat/usage-present"],
        ),
        (
            "{\"completion\":\"hi\"}".to_owned(),
            "application/json",
            vec!["chat/not-a-completion"],
        ),
    ] {
        let mut exchange = exchange(&good_stream());
        exchange.body = Bytes::from(body);
        if let Some(head) = &mut exchange.head {
            head.headers = vec![("content-type".to_owned(), media.to_owned())];
        }
        let mut request = request();
        request["stream"] = json!(false);
        let found = judged(&exchange, false, &request);
        let found: Vec<String> = ids(&found, Severity::Should).into_iter().collect();
        assert_eq!(found, expected, "{media}");
    }
}
