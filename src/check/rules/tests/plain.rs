//! Answers that are no stream: one JSON object, or something else altogether.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::catalog;
use crate::check::finding::{Finding, Severity};
use crate::check::rules::tests::{good_stream, ids, request, told};
use crate::check::rules::{Subject, check};
use crate::dialect::{Dialect, decode};
use crate::turn::exchange::{End, Exchange, Head, Read};

/// The findings of a JSON body with this status, to a request for a stream or not.
fn findings(status: u16, body: &str, streamed: bool) -> Vec<Finding> {
    let bytes = Bytes::from(body.to_owned());
    let exchange = Exchange {
        head: Some(Head {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            at: Duration::ZERO,
        }),
        reads: vec![Read {
            at: Duration::ZERO,
            len: bytes.len(),
        }],
        body: bytes,
        end: End::Complete,
        total: Duration::ZERO,
    };
    let failures = &catalog::shipped().failures;
    let decoded = decode(Dialect::Responses, "openai", failures, &exchange, streamed);
    check(
        "responses",
        &Subject {
            events: &decoded.events,
            trace: &decoded.trace,
            streamed,
            framed: decoded.framed,
            head: exchange.head.as_ref(),
            end: Some(&exchange.end),
            request: Some(&request()),
        },
    )
}

#[test]
fn a_plain_json_answer_is_checked_too() {
    let good = good_stream();
    let whole = good.events.last().expect("has events").data["response"].clone();
    let mut broken = whole.clone();
    broken["usage"]["total_tokens"] = json!(1);
    broken["output"][2]["call_id"] = json!("");
    broken["object"] = json!("thing");
    broken["status"] = json!("bored");
    let mut failed = whole.clone();
    failed["status"] = json!("failed");
    failed["error"] = json!({"code": "server_error", "message": "The server had an error."});
    failed["usage"] = json!(null);
    failed["output"] = json!([]);
    let mut nonsense = failed.clone();
    nonsense["output"] = json!("nonsense");
    nonsense["error"] = json!({"code": "server_error"});
    for (body, expected) in [
        (whole, vec![]),
        (
            broken,
            vec![
                "responses/call-id-present",
                "responses/response-object",
                "responses/usage-total",
            ],
        ),
        (failed, vec![]),
        (
            nonsense,
            vec!["responses/failed-has-error", "responses/response-object"],
        ),
    ] {
        let findings = findings(200, &body.to_string(), false);
        let found: Vec<String> = ids(&findings, Severity::Should).into_iter().collect();
        assert_eq!(found, expected, "{}", told(&findings));
    }
}

#[test]
fn an_error_inside_a_success_is_no_answer() {
    let error = r#"{"error":{"type":"server_error","code":"server_error","message":"Sorry."}}"#;
    let not_a_response = BTreeSet::from(["responses/not-a-response".to_owned()]);
    for body in [
        error,
        "",
        "<html>502</html>",
        r#"{"Output":{"__type":"x"}}"#,
    ] {
        for streamed in [true, false] {
            let refused = findings(500, body, streamed);
            assert!(refused.is_empty(), "{body}: {}", told(&refused));
            let disguised = findings(200, body, streamed);
            let found = ids(&disguised, Severity::Must);
            assert_eq!(found, not_a_response, "{body}: {}", told(&disguised));
        }
    }
}

#[test]
fn a_whole_object_is_no_stream() {
    let good = good_stream();
    let mut body = good.events.last().expect("has events").data["response"].clone();
    for status in ["completed", "failed"] {
        body["status"] = json!(status);
        let findings = findings(200, &body.to_string(), true);
        assert!(!ids(&findings, Severity::Must).is_empty(), "{status}");
    }
}
