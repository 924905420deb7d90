//! Signatures, compared with those of another implementation.

use std::time::SystemTime;

use sameturn::auth::authorize::authorize;
use sameturn::auth::credentials::Credentials;
use sameturn::auth::timestamp;
use serde_json::Value;

#[test]
fn signatures_equal_those_of_botocore() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("sigv4.json")).unwrap();
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let text = |name: &str| case[name].as_str().unwrap().to_string();
        let keys = aws_credential_types::Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            case["token"].as_str().map(str::to_string),
            None,
            "test",
        );
        let credentials = Credentials::Aws {
            identity: keys.into(),
            region: text("region"),
            service: text("service"),
            expires: None,
        };
        let mut headers = vec![
            ("content-type".to_string(), "application/json".to_string()),
            // Not to be covered by the signature.
            ("accept".to_string(), "text/event-stream".to_string()),
            ("session_id".to_string(), "1".to_string()),
            ("authorization".to_string(), "Bearer left over".to_string()),
        ];
        for (name, value) in case["headers"].as_object().unwrap() {
            headers.push((name.clone(), value.as_str().unwrap().to_string()));
        }
        let at = timestamp::read_basic(&text("at")).unwrap();
        let body = text("body");
        authorize(
            &credentials,
            "POST",
            &text("url"),
            &mut headers,
            body.as_bytes(),
            at,
        )
        .unwrap();
        let all = |name: &str| -> Vec<&str> {
            headers
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .collect()
        };
        assert_eq!(
            all("authorization"),
            [text("authorization")],
            "{}",
            text("name")
        );
        assert_eq!(all("x-amz-date"), [text("at")]);
        assert_eq!(all("x-amz-content-sha256").len(), 1);
        assert_eq!(all("accept"), ["text/event-stream"]);
        assert_eq!(
            all("x-amz-security-token"),
            case["token"].as_str().into_iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn credentials_that_ended_sign_nothing() {
    let now = SystemTime::now();
    let keys = aws_credential_types::Credentials::new("AKIDEXAMPLE", "marker", None, None, "test");
    let credentials = Credentials::Aws {
        identity: keys.into(),
        region: "us-east-1".to_string(),
        service: "s".to_string(),
        expires: Some(now),
    };
    let mut headers = Vec::new();
    let failure = authorize(
        &credentials,
        "POST",
        "https://x.example/",
        &mut headers,
        b"",
        now,
    )
    .unwrap_err();
    assert_eq!(failure.class, "credentials_expired");
    assert!(headers.is_empty());
}
