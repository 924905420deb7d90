//! The openai package for Python against the mocks.

use serde_json::{Value, json};

use super::{python, told};
use crate::mock_client::start;

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_package_takes_the_mocks_for_the_real_thing() {
    let Some(python) = python() else {
        return;
    };
    let server = start().await;
    let origin = format!("http://{}", server.address());
    let seen = told(&python, "openai_client.py", &[&origin]).await;

    let turns = json!([
        ["reasoning", "function_call", "completed"],
        ["reasoning", "message", "completed"]
    ]);
    let loops = seen["responses"].as_object().expect("an object");
    assert_eq!(loops.len(), 9);
    for (client, both) in loops {
        assert_eq!(both, &json!([turns, turns]), "Responses: {client}");
    }
    let turns = json!([["get_weather", "tool_calls"], ["stop"]]);
    let loops = seen["chat"].as_object().expect("an object");
    assert_eq!(loops.len(), 4);
    for (client, both) in loops {
        assert_eq!(both, &json!([turns, turns]), "Chat: {client}");
    }

    let refusals = [
        ("denied bearer", "AuthenticationError", 401, "access_denied"),
        ("denied keys", "AuthenticationError", 401, "access_denied"),
        (
            "expired bearer",
            "AuthenticationError",
            401,
            "invalid_api_key",
        ),
        (
            "expired keys",
            "AuthenticationError",
            401,
            "invalid_api_key",
        ),
        (
            "wrong secret",
            "AuthenticationError",
            401,
            "invalid_api_key",
        ),
        (
            "absent session token",
            "AuthenticationError",
            401,
            "invalid_api_key",
        ),
        ("unknown key", "AuthenticationError", 401, "invalid_api_key"),
        ("unknown model", "NotFoundError", 404, "not_found_error"),
        ("throttled", "RateLimitError", 429, "rate_limit_exceeded"),
        (
            "openai unknown key",
            "AuthenticationError",
            401,
            "invalid_api_key",
        ),
        (
            "openai unknown model",
            "NotFoundError",
            404,
            "model_not_found",
        ),
    ];
    for (what, class, status, code) in refusals {
        assert_eq!(
            seen["refused"][what],
            json!([class, status, code]),
            "{what}"
        );
    }
    let no_exception = |last: &str| json!(["not noticed", Value::Null, last]);
    for (what, expected) in [
        ("dropped", json!(["APIConnectionError", null, null])),
        ("truncated", no_exception("response.output_item.done")),
        ("failed", no_exception("response.failed")),
    ] {
        assert_eq!(seen["refused"][what], expected, "{what}");
    }
}
