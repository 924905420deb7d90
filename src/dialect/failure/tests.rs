//! Error bodies of every shape, and what is made of them.

use std::time::Duration;

use crate::catalog;
use crate::dialect::failure::{Envelope, Judge, MESSAGE_LIMIT};
use crate::turn::exchange::Head;
use crate::turn::trace::Layer;

/// Header names and values.
type Headers = &'static [(&'static str, &'static str)];

fn head(status: u16, headers: &[(&str, &str)]) -> Head {
    Head {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        at: Duration::ZERO,
    }
}

fn judge() -> Judge<'static> {
    Judge {
        provider: "openai",
        failures: &catalog::shipped().failures,
    }
}

#[test]
fn reads_every_envelope() {
    let amzn: Headers = &[("x-amzn-errortype", "AccessDeniedException:http://internal/")];
    let cases: &[(&str, Headers, [&str; 4])] = &[
        (
            r#"{"error":{"message":"no","type":"t","param":"p","code":"c"}}"#,
            &[],
            ["c", "t", "p", "no"],
        ),
        (
            r#"{"error":{"message":"no","type":null,"param":null,"code":400}}"#,
            &[],
            ["400", "", "", "no"],
        ),
        (
            r#"{"Message":"denied"}"#,
            amzn,
            ["", "AccessDeniedException", "", "denied"],
        ),
        (r#"{"message":"denied"}"#, &[], ["", "", "", "denied"]),
        (
            r#"{"__type":"com.amazon#Throttled","message":"slow"}"#,
            amzn,
            ["", "Throttled", "", "slow"],
        ),
        (
            r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
            &[],
            [
                "",
                "UnknownOperationException",
                "",
                "UnknownOperationException",
            ],
        ),
        (r#"{"detail":"Not Found"}"#, &[], ["", "", "", "Not Found"]),
        (
            r#"{"detail":[{"loc":["body","input",0],"msg":"field required"},{"loc":[],"msg":"x"}]}"#,
            &[],
            ["", "", "input.0", "field required; x"],
        ),
        (r#"{"error":"bad"}"#, &[], ["", "", "", "bad"]),
        (
            r#"{"error":"invalid_token","error_description":"it is old"}"#,
            &[],
            ["invalid_token", "", "", "it is old"],
        ),
        (
            r#"{"type":"error","request_id":"r","error":{"type":"permission_error","message":"m"}}"#,
            &[],
            ["", "permission_error", "", "m"],
        ),
        (
            r#"{"type":"error","code":"c","message":"flat","param":"q","sequence_number":3}"#,
            &[],
            ["c", "", "q", "flat"],
        ),
        (
            r#"[{"error":{"message":"listed"}}]"#,
            &[],
            ["", "", "", "listed"],
        ),
        (
            "  <html>502</html>\n",
            &[],
            ["", "", "", "<html>502</html>"],
        ),
        ("", &[], ["", "", "", ""]),
        ("null", &[], ["", "", "", ""]),
        ("[1,2]", &[], ["", "", "", "[1,2]"]),
        (r#"{"a":1}"#, &[], ["", "", "", r#"{"a":1}"#]),
    ];
    for (body, headers, [code, kind, param, message]) in cases {
        let envelope = Envelope::of_body(body.as_bytes(), Some(&head(400, headers)));
        let got = [
            envelope.code.as_deref().unwrap_or(""),
            envelope.kind.as_deref().unwrap_or(""),
            envelope.param.as_deref().unwrap_or(""),
            &envelope.message,
        ];
        assert_eq!(got, [*code, *kind, *param, *message], "{body}");
    }
}

#[test]
fn retry_after_comes_from_the_header_or_the_message() {
    const DATE: (&str, &str) = ("date", "Sat, 21 Nov 2026 08:00:00 GMT");
    let cases: &[(Headers, &str, Option<u64>)] = &[
        (&[("retry-after", "2")], "", Some(2000)),
        (&[("retry-after", "1.5")], "", Some(1500)),
        (&[("retry-after", "2")], "try again in 9s", Some(2000)),
        (
            &[("retry-after", "Sat, 21 Nov 2026 08:00:30 GMT"), DATE],
            "",
            Some(30_000),
        ),
        (
            &[("retry-after", "Sat, 21 Nov 2026 07:00:00 GMT"), DATE],
            "",
            Some(0),
        ),
        (
            &[("retry-after", "Sat, 21 Nov 2026 08:00:30 GMT")],
            "",
            None,
        ),
        (&[("retry-after", "-1")], "", None),
        (&[("retry-after", "1e300")], "", None),
        (&[("retry-after", "NaN")], "", None),
        (&[("retry-after", "soon")], "", None),
        (
            &[],
            "Rate limit. Please try again in 1.5s. Visit",
            Some(1500),
        ),
        (&[], "please try again in 200ms.", Some(200)),
        (&[], "Try again in 6m0s", Some(360_000)),
        (&[], "try again in 3 seconds", Some(3000)),
        (&[], "try again in 1 hour", Some(3_600_000)),
        (&[], "Please try again in 20ms. Visit", Some(20)),
        (&[], "try again in 1m30s.", Some(90_000)),
        (&[], "Please retry after 6 seconds. Go", Some(6000)),
        (&[], "Please retry in 34.5s", Some(34_500)),
        (&[], "try again in 2 minutes and 5 seconds", Some(125_000)),
        (&[], "try again in 5 steps", None),
        (
            &[("retry-after-ms", "250"), ("retry-after", "1")],
            "",
            Some(250),
        ),
        (
            &[
                ("x-ratelimit-reset-requests", "120ms"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            "",
            Some(360_000),
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-remaining-tokens", "10"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            "",
            Some(1000),
        ),
        (
            &[("x-ratelimit-reset-tokens", "1m30s")],
            "try again in 2s",
            Some(2000),
        ),
        (
            &[("x-ratelimit-reset", "1795248030"), DATE],
            "",
            Some(30_000),
        ),
        (
            &[("x-ratelimit-reset", "1795248030000"), DATE],
            "",
            Some(30_000),
        ),
        (&[("x-ratelimit-reset", "7")], "", Some(7000)),
        (
            &[
                ("anthropic-ratelimit-tokens-reset", "2026-11-21T08:00:09Z"),
                DATE,
            ],
            "",
            Some(9000),
        ),
        (&[], "try again in a while", None),
    ];
    for (headers, message, expect) in cases {
        let body = serde_json::json!({ "error": { "message": message } }).to_string();
        let failure = judge().status(&head(429, headers), body.as_bytes());
        let expect = expect.map(Duration::from_millis);
        assert_eq!(failure.retry_after, expect, "{headers:?} {message}");
        assert_eq!(failure.class, "throttled");
    }
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let body = "é".repeat(100_000);
    let failure = judge().status(&head(502, &[]), body.as_bytes());
    assert!(failure.message.len() <= MESSAGE_LIMIT);
    assert!(failure.message.ends_with('…'));
    assert_eq!(failure.class, "server_error");
    assert_eq!(failure.layer, Layer::Response);
}

#[test]
fn a_success_that_is_no_answer_is_classified_or_bad() {
    let coral = br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    let cases: &[(&[u8], &str)] = &[
        (coral, "wrong_route"),
        (
            br#"{"error":{"code":"insufficient_quota","message":"m"}}"#,
            "quota_exhausted",
        ),
        (br#"{"error":{"message":"nobody knows"}}"#, "bad_response"),
        (b"<html>sign in</html>", "bad_response"),
        (b"", "bad_response"),
        (b"{}", "bad_response"),
    ];
    for (body, class) in cases {
        let failure = judge().not_an_answer(Some(&head(200, &[])), body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            (failure.class.as_str(), failure.status),
            (*class, Some(200)),
            "{shown}"
        );
        assert!(!failure.message.is_empty());
    }
}
