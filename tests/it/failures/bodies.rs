//! Bodies as servers write them, in forms that the catalogue does not list, and the class of each.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use sameturn::catalog;
use sameturn::dialect::failure::{Envelope, Judge};
use sameturn::dialect::{self, Dialect};
use sameturn::turn::exchange::{End, Exchange, Head};
use sameturn::turn::trace::{Failure, Layer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    class: String,
    status: u16,
    #[serde(default)]
    headers: IndexMap<String, String>,
    body: String,
    source: String,
}

fn rows(text: &str) -> Vec<Row> {
    serde_yaml::from_str(text).unwrap()
}

fn failure(row: &Row) -> Failure {
    let judge = Judge {
        provider: "openai-compatible",
        failures: &catalog::shipped().failures,
    };
    let head = Head {
        status: row.status,
        headers: row.headers.clone().into_iter().collect(),
        at: Duration::ZERO,
    };
    match row.status {
        0 => {
            let value: Value = serde_json::from_str(&row.body).unwrap();
            judge.told(Envelope::of_json(&value), Layer::Stream, Some(200))
        }
        200 => judge.not_an_answer(Some(&head), row.body.as_bytes()),
        _ => judge.status(&head, row.body.as_bytes()),
    }
}

pub(super) fn all_right(rows: &[Row]) {
    let mut wrong = Vec::new();
    for row in rows {
        assert!(!row.source.is_empty(), "{}", row.body);
        let got = failure(row).class;
        if got != row.class {
            wrong.push(format!(
                "{} instead of {}: {} {}",
                got, row.class, row.status, row.body
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

#[test]
fn bodies_of_any_form_have_the_right_class() {
    let rows = rows(include_str!("bodies.yaml"));
    assert!(rows.len() >= 150, "only {} rows", rows.len());
    all_right(&rows);
}

#[test]
fn words_of_another_failure_do_not_make_it_one() {
    let rows = rows(include_str!("bystanders.yaml"));
    assert!(rows.len() >= 60, "only {} rows", rows.len());
    all_right(&rows);
}

/// What the whole program makes of an answer whose text speaks of failures: an answer.
#[test]
fn an_answer_may_quote_an_error() {
    let quoted = r#"I got {"error":{"code":"rate_limit_exceeded","message":"Rate limit reached"}}. The security token included in the request is expired. The model `x` does not exist."#;
    let body = serde_json::json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m",
        "error": null, "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": quoted, "annotations": []}]}],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    });
    let exchange = Exchange {
        head: Some(Head {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            at: Duration::ZERO,
        }),
        body: body.to_string().into(),
        reads: vec![],
        end: End::Complete,
        total: Duration::ZERO,
    };
    let failures = &catalog::shipped().failures;
    let decoded = dialect::decode(Dialect::Responses, "openai", failures, &exchange, false);
    assert_eq!(decoded.trace.failure, None);
    assert_eq!(decoded.trace.text(), quoted);
}
