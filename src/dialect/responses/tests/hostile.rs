//! Any split and any damage: the first changes nothing, the second is survived.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::responses::tests::{
    decoded, exchange, frame, lines, message, stream, text_and_call,
};
use crate::dialect::{Decoded, Dialect, decode_capture};
use crate::frame::sse::LIMIT;
use crate::turn::exchange::End;
use crate::turn::trace::Content;

#[test]
fn an_item_of_another_type_in_its_place_is_another_item() {
    let open = json!({"type": "function_call", "id": "fc_9", "call_id": "c", "name": "n", "arguments": ""});
    let announced = json!({"type": "response.output_item.added", "output_index": 0, "item": open});
    let last = json!({"status": "completed", "output": [message("Hello")]});
    let trace = stream(&[
        announced,
        json!({"type": "response.completed", "response": last}),
    ])
    .trace;
    assert_eq!((trace.text().as_str(), trace.calls().count()), ("Hello", 1));
}

#[test]
fn a_line_beyond_the_limit_is_named_as_such() {
    let body = vec![b'x'; LIMIT + 10];
    let half = body.len() / 2;
    let reads = [b"data: ", &body[..half], &body[half..]];
    let trace = decoded(&exchange(200, &[], &reads, End::Complete), true).trace;
    let failure = trace.failure.expect("a failure");
    assert_eq!(failure.class, "answer_too_big");
}

proptest! {
    #[test]
    fn splits_change_nothing_but_times(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let whole: String = text_and_call().iter().map(frame).collect();
        let whole = whole.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        let parts = decoded(&exchange(200, &[], &reads, End::Complete), true);
        let once = decode_capture(Dialect::Responses, whole);
        let bare = |decoded: &Decoded| -> Vec<(Content, Value)> {
            decoded.trace.items.iter().map(|item| (item.content.clone(), item.wire.clone())).collect()
        };
        prop_assert_eq!(bare(&parts), bare(&once));
        prop_assert_eq!(&parts.trace.usage, &once.trace.usage);
        prop_assert_eq!(&parts.trace.irregularities, &once.trace.irregularities);
        let ends = |decoded: &Decoded| decoded.events.iter().map(|event| event.end).collect::<Vec<_>>();
        prop_assert_eq!(ends(&parts), ends(&once));
    }

    #[test]
    fn hostile_events_are_survived(
        faults in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), hostile()), 1..12),
        dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut events = text_and_call();
        for (event, place, value) in faults {
            let event = event.index(events.len());
            let places = count(&events[event]);
            replace(&mut events[event], &mut place.index(places), value);
        }
        for event in dropped {
            if !events.is_empty() {
                events.remove(event.index(events.len()));
            }
        }
        let streamed = stream(&events);
        prop_assert_eq!(streamed.events.len(), events.len());
        prop_assert!(streamed.trace.items.len() <= events.len() * 2 + 4);
        let captured = decode_capture(Dialect::Responses, lines(&events).as_bytes());
        prop_assert!(captured.trace.items.len() <= events.len() * 2 + 4);
        for event in &events {
            let body = event["response"].to_string();
            decoded(&exchange(200, &[], &[body.as_bytes()], End::Complete), false);
        }
    }

    #[test]
    fn hostile_bodies_are_survived(status in prop::sample::select(vec![200u16, 204, 302, 400, 429, 500]), value in hostile(), streamed: bool) {
        let body = json!({ "error": value }).to_string();
        for body in [body, value.to_string(), format!("data: {value}\n\n")] {
            let trace = decoded(&exchange(status, &[], &[body.as_bytes()], End::Complete), streamed).trace;
            // Under a success some of these happen to be answers.
            prop_assert!(trace.failure.is_some() || (200..300).contains(&status));
        }
    }
}

/// Values of every type and of awkward sizes.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(json!(1e300)),
        Just(json!(0)),
        Just(json!(u64::MAX)),
        Just(json!(-1)),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "response.output_text.delta",
            "response.output_item.added",
            "response.output_item.done",
            "response.completed",
            "response.failed",
            "error",
            "message",
            "function_call",
            "reasoning",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "type", "item", "id", "message", "code", "detail", "text", "output"
                    ]),
                    inner
                ),
                0..3
            )
            .prop_map(|fields| {
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// How many values there are in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Replaces the value at a place, counted as by `count`.
fn replace(value: &mut Value, place: &mut usize, with: Value) -> bool {
    if *place == 0 {
        *value = with;
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|one| replace(one, place, with.clone())),
        Value::Object(fields) => fields
            .values_mut()
            .any(|one| replace(one, place, with.clone())),
        _ => false,
    }
}
