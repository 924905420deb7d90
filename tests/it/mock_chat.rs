//! The mocked providers seen from outside, on Chat Completions.

use std::time::Duration;

use sameturn::mock::data::{Api, MockData};
use sameturn::mock::server::MockServer;
use serde_json::{Value, json};

use crate::mock_client::{Answer, BEARER, ask, post, start};
use crate::recordings::folder;

const OPENAI: &str = "/openai/v1/chat/completions";
const MANTLE: &str = "/bedrock-mantle/us-east-1/openai/v1/chat/completions";
const MANTLE_OSS: &str = "/bedrock-mantle/eu-north-1/v1/chat/completions";
const AZURE: &str = "/azure-openai/openai/v1/chat/completions";
const DEPLOYMENT: &str =
    "/azure-openai/openai/deployments/team-agents/chat/completions?api-version=2024-10-21";

fn weather() -> Value {
    json!({"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "enum": ["Dublin", "Cork"]}}, "required": ["city"],
    }}})
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

/// The message, finish reason and usage of an answer, put together from its chunks if it has those.
fn told(answer: &Answer, stream: bool) -> (Value, String, Value) {
    if !stream {
        let whole = answer.json();
        let choice = &whole["choices"][0];
        let finish = choice["finish_reason"].as_str().expect("a reason");
        return (
            choice["message"].clone(),
            finish.to_owned(),
            whole["usage"].clone(),
        );
    }
    let (mut content, mut calls, mut finish, mut usage) =
        (String::new(), Vec::<Value>::new(), None, Value::Null);
    for chunk in answer.events() {
        if chunk["usage"].is_object() {
            assert_eq!(chunk["choices"], json!([]), "usage comes after all choices");
            assert!(finish.is_some() && usage.is_null());
            usage = chunk["usage"].clone();
        }
        let Some(choice) = chunk["choices"].get(0) else {
            continue;
        };
        assert!(finish.is_none(), "nothing is said after the end: {chunk}");
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for part in choice["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let index = part["index"].as_u64().expect("an index") as usize;
            if index == calls.len() {
                assert!(part["id"].is_string() && part["type"] == "function");
                calls.push(
                    json!({"id": part["id"], "type": "function", "function": part["function"]}),
                );
                continue;
            }
            assert!(part.get("id").is_none() && part["function"].get("name").is_none());
            let arguments = &mut calls[index]["function"]["arguments"];
            let more = part["function"]["arguments"].as_str().expect("a fragment");
            *arguments = json!(format!("{}{more}", arguments.as_str().expect("a text")));
        }
        finish = choice["finish_reason"].as_str().map(str::to_owned);
    }
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    (message, finish.expect("a finish reason"), usage)
}

#[tokio::test]
async fn a_tool_loop_ends_on_every_route_streamed_and_not() {
    let server = start().await;
    for (path, model) in [
        (OPENAI, "gpt-5.5"),
        (MANTLE, "openai.gpt-5.5"),
        (MANTLE_OSS, "openai.gpt-oss-120b"),
        (MANTLE_OSS, "openai.gpt-oss-safeguard-20b"),
        (AZURE, "team-agents"),
        (DEPLOYMENT, "ignored where the address names it"),
    ] {
        for stream in [true, false] {
            let mut body = json!({"model": model, "stream": stream, "tools": [weather()], "messages": user("Weather?")});
            if stream {
                body["stream_options"] = json!({"include_usage": true});
            }
            let first = post(&server, path, &body).await;
            assert_eq!((first.status, first.whole), (200, true), "{first:?}");
            let (message, finish, _) = told(&first, stream);
            assert_eq!(finish, "tool_calls");
            let call = &message["tool_calls"][0];
            assert_eq!(call["function"]["arguments"], r#"{"city":"Dublin"}"#);
            let result =
                json!({"role": "tool", "tool_call_id": call["id"], "content": "11 degrees"});
            let messages = body["messages"].as_array_mut().expect("a list");
            messages.extend([message.clone(), result]);
            let (message, finish, usage) = told(&post(&server, path, &body).await, stream);
            assert_eq!(message["content"], "The tool answered: 11 degrees");
            assert_eq!(finish, "stop");
            let number = |key: &str| usage[key].as_u64().expect("a count");
            assert_eq!(
                number("prompt_tokens") + number("completion_tokens"),
                number("total_tokens")
            );
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn chunks_come_in_the_order_that_was_seen() {
    let server = start().await;
    let mut body = json!({"model": "openai.gpt-5.5", "stream": true, "messages": user("héllo"), "stream_options": {"include_usage": true}});
    let answer = post(&server, MANTLE, &body).await;
    assert!(answer.head.contains("content-type: text/event-stream"));
    assert!(!answer.body.contains("event:"), "chunks have no names");
    assert!(answer.body.ends_with("\n\ndata: [DONE]\n\n"));
    assert_eq!(answer.body.matches("[DONE]").count(), 1);
    let chunks = answer.events();
    let [first, .., finish, usage] = chunks.as_slice() else {
        panic!("{chunks:?}")
    };
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    for chunk in &chunks[1..] {
        assert_eq!(chunk["choices"][0]["delta"].get("role"), None);
        for key in ["id", "created", "model", "object"] {
            assert_eq!(chunk[key], first[key]);
        }
        assert!(chunk.as_object().expect("a chunk").contains_key("usage"));
    }
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(finish["usage"], Value::Null);
    assert_eq!(usage["choices"], json!([]));
    body["stream_options"] = json!({"include_usage": false});
    let answer = post(&server, MANTLE, &body).await;
    assert!(!answer.body.contains("usage"));

    // The direct API pads its chunks, unless it is told not to.
    body["model"] = json!("gpt-5.5");
    assert!(
        post(&server, OPENAI, &body)
            .await
            .body
            .contains("obfuscation")
    );
    body["stream_options"] = json!({"include_obfuscation": false});
    assert!(
        !post(&server, OPENAI, &body)
            .await
            .body
            .contains("obfuscation")
    );
}

#[tokio::test]
async fn open_models_show_their_reasoning_and_others_only_count_it() {
    let server = start().await;
    let mut body = json!({"model": "openai.gpt-oss-20b", "messages": user("x"), "stream": true, "stream_options": {"include_usage": true}});
    let chunks = post(&server, MANTLE_OSS, &body).await.events();
    let place = |key: &str| {
        let says = |chunk: &Value| {
            let text = &chunk["choices"][0]["delta"][key];
            text.as_str().is_some_and(|text| !text.is_empty())
        };
        (chunks.iter().position(says), chunks.iter().rposition(says))
    };
    let (reasoning, content) = (place("reasoning"), place("content"));
    assert!(reasoning.0.is_some() && reasoning.1 < content.0);
    let usage = &chunks.last().expect("chunks")["usage"];
    assert_eq!(usage["completion_tokens_details"], Value::Null);
    body["stream"] = json!(false);
    let whole = post(&server, MANTLE_OSS, &body).await.json();
    assert!(whole["choices"][0]["message"]["reasoning"].is_string());

    let body = json!({"model": "gpt-5.5", "messages": user("x"), "reasoning_effort": "low"});
    let whole = post(&server, OPENAI, &body).await.json();
    assert_eq!(whole["choices"][0]["message"].get("reasoning"), None);
    let details = &whole["usage"]["completion_tokens_details"];
    assert!(details["reasoning_tokens"].as_u64() > Some(0));
}

#[tokio::test]
async fn what_is_asked_for_is_done() {
    let server = start().await;
    let other = json!({"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}});
    let with = |key: &str, value: Value| {
        let mut body =
            json!({"model": "gpt-5.5", "messages": user("one; two"), "tools": [weather(), other]});
        body[key] = value;
        body
    };
    let called = |answer: &Answer| {
        let calls = &answer.json()["choices"][0]["message"]["tool_calls"];
        calls[0]["function"]["name"].as_str().map(str::to_owned)
    };
    for (choice, expected) in [
        (json!("none"), None),
        (json!("required"), Some("get_weather")),
        (
            json!({"type": "function", "function": {"name": "other"}}),
            Some("other"),
        ),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "other"}}]}}),
            Some("other"),
        ),
    ] {
        let answer = post(&server, OPENAI, &with("tool_choice", choice)).await;
        assert_eq!(called(&answer).as_deref(), expected, "{answer:?}");
    }
    let text = |answer: &Answer| {
        let choice = &answer.json()["choices"][0];
        let words = choice["message"]["content"].as_str().unwrap_or_default();
        format!(
            "{}: {words}",
            choice["finish_reason"].as_str().unwrap_or_default()
        )
    };
    for (key, value, expected) in [
        ("stop", json!("; "), "stop: You said: one"),
        ("stop", json!(["no", "said"]), "stop: You "),
        ("max_completion_tokens", json!(2), "length: You said"),
        (
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"const": 5}}, "required": ["a"]}}}),
            r#"stop: {"a":5}"#,
        ),
    ] {
        let mut body = with(key, value);
        body["tools"] = json!([]);
        let answer = text(&post(&server, OPENAI, &body).await);
        assert!(answer.starts_with(expected), "{key}: {answer}");
    }
    // A script is played by the number of answers in the conversation, whatever the wire API.
    let mut body = with("stream", json!(true));
    body["messages"] = json!([{"role": "user", "content": "x"}]);
    let path = format!("/script/parallel-calls{OPENAI}");
    let (message, _, _) = told(&post(&server, &path, &body).await, true);
    let calls = message["tool_calls"].as_array().expect("calls").clone();
    assert!(calls.len() > 1 && calls[0]["id"] != calls[1]["id"]);
    let messages = body["messages"].as_array_mut().expect("a list");
    messages.push(message);
    for call in &calls {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "ok"}));
    }
    let (message, finish, _) = told(&post(&server, &path, &body).await, true);
    assert_eq!(finish, "stop");
    assert!(message.get("tool_calls").is_none());
    body["messages"] = user("x");
    body["parallel_tool_calls"] = json!(false);
    let (message, _, _) = told(&post(&server, &path, &body).await, true);
    assert_eq!(message["tool_calls"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn wrong_requests_are_refused_in_the_providers_words() {
    let server = start().await;
    let base = |model: &str| json!({"model": model, "messages": user("ping")});
    let with = |model: &str, key: &str, value: Value| {
        let mut body = base(model);
        body[key] = value;
        body
    };
    let mut tools = with("gpt-5.6-sol", "tools", json!([weather()]));
    let call = json!({"id": "a", "type": "function", "function": {"name": "t", "arguments": "{}"}});
    for (path, body, status, text) in [
        (
            OPENAI,
            base("gpt-4o"),
            404,
            "The model `gpt-4o` does not exist",
        ),
        (
            MANTLE,
            base("openai.gpt-oss-20b"),
            400,
            "isn't supported on this route",
        ),
        (
            "/bedrock-mantle/us-west-2/openai/v1/chat/completions",
            base("openai.gpt-6-astra"),
            400,
            "The model 'openai.gpt-6-astra' does not support the '/v1/chat/completions' API",
        ),
        (
            "/bedrock-mantle/us-east-1/v1/responses",
            json!({"model": "openai.gpt-oss-safeguard-20b", "input": "x"}),
            400,
            "The model 'openai.gpt-oss-safeguard-20b' does not support the '/v1/responses' API",
        ),
        (
            OPENAI,
            tools.clone(),
            400,
            "Function tools with reasoning_effort are not supported for gpt-5.6-sol in /v1/chat/completions.",
        ),
        (
            OPENAI,
            json!({"model": "gpt-5.5"}),
            400,
            "Missing required parameter: 'messages'.",
        ),
        (
            OPENAI,
            with("gpt-5.5", "messages", json!([])),
            400,
            "empty array",
        ),
        (
            OPENAI,
            with(
                "gpt-5.5",
                "messages",
                json!([{"role": "robot", "content": "x"}]),
            ),
            400,
            "Invalid value: 'robot'. Supported values are: 'system'",
        ),
        (
            OPENAI,
            with(
                "gpt-5.5",
                "messages",
                json!([{"role": "assistant", "tool_calls": [call]}]),
            ),
            400,
            "must be followed by tool messages",
        ),
        (
            OPENAI,
            with(
                "gpt-5.5",
                "messages",
                json!([{"role": "tool", "tool_call_id": "a", "content": "x"}]),
            ),
            400,
            "must be a response to a preceeding message with 'tool_calls'",
        ),
        (OPENAI, with("gpt-5.5", "n", json!(2)), 400, "'n' must be 1"),
        (
            OPENAI,
            with("gpt-5.5", "max_tokens", json!(50)),
            400,
            "Use 'max_completion_tokens' instead.",
        ),
        (
            OPENAI,
            with("gpt-5.5", "stop", json!(["a", "b", "c", "d", "e"])),
            400,
            "maximum length 4",
        ),
        (
            OPENAI,
            with(
                "gpt-5.5",
                "tools",
                json!([{"type": "namespace", "name": "x"}]),
            ),
            400,
            "Supported values are: 'function' and 'custom'.",
        ),
        (
            OPENAI,
            with(
                "gpt-5.5",
                "tools",
                json!([{"type": "function", "name": "flat"}]),
            ),
            400,
            "tools[0].function.name",
        ),
        (
            OPENAI,
            with("gpt-5.5", "tool_choice", json!("auto")),
            400,
            "only allowed when 'tools' are specified",
        ),
        (
            OPENAI,
            with("gpt-5.5", "response_format", json!({"type": "json_schema"})),
            400,
            "response_format.json_schema",
        ),
        (
            OPENAI,
            with("gpt-5.5", "temperature", json!(0.2)),
            400,
            "temperature",
        ),
        (
            MANTLE,
            with("openai.gpt-5.5", "service_tier", json!("flex")),
            400,
            "unsupported service_tier 'flex'",
        ),
        (
            AZURE,
            base("gpt-4o"),
            404,
            "The API deployment for this resource does not exist.",
        ),
    ] {
        let answer = post(&server, path, &body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.message().contains(text), "{}", answer.message());
    }
    tools["reasoning_effort"] = json!("none");
    assert_eq!(post(&server, OPENAI, &tools).await.status, 200);
    let older = with("openai.gpt-5.5", "max_tokens", json!(50));
    assert_eq!(post(&server, MANTLE, &older).await.status, 200);
    let mut auto_only = with("openai.gpt-oss-20b", "tools", json!([weather()]));
    auto_only["tool_choice"] = json!("required");
    let refused = post(&server, MANTLE_OSS, &auto_only).await;
    assert!(
        refused.message().contains("for /v1/chat/completions API"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn faults_show_on_chat_too() {
    let server = start().await;
    let get = async |fault: &str, stream: bool| {
        let body = json!({"model": "gpt-5.5", "stream": stream, "messages": user("some more words than a few")});
        post(&server, &format!("/fault/{fault}{OPENAI}"), &body).await
    };
    assert_eq!(get("throttled", true).await.status, 429);
    assert!(
        get("context-overflow", true)
            .await
            .message()
            .contains("maximum context length is")
    );
    let failed = get("response-failed", true).await;
    assert_eq!(
        failed.events().last().expect("events")["error"]["code"],
        "server_error"
    );
    assert!(failed.events().len() > 2 && !failed.body.contains("[DONE]"));
    assert_eq!(get("response-failed", false).await.status, 500);
    let error = get("error-event", true).await;
    assert!(
        error.body.starts_with("event: error\ndata: {\"error\""),
        "{error:?}"
    );
    let cut = get("drop-mid-stream", true).await;
    assert!(!cut.whole && !cut.events().is_empty() && !cut.body.contains("[DONE]"));
    let empty = get("empty-success", false).await.json();
    assert_eq!(empty["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(empty["usage"]["completion_tokens"], 0);
    // A fault of the stream of chat is known on chat, and one of Responses is not.
    let missing = get("finish-reason-missing", true).await;
    assert!(missing.body.contains("[DONE]") && !missing.body.contains(r#""finish_reason":"stop""#));
    let unknown = get("created-missing", true).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("sameturn_mock"));
}

#[tokio::test]
async fn no_broken_chat_stream_ends_as_a_good_one() {
    let server = start().await;
    let data = MockData::shipped().expect("the shipped data");
    let body = json!({"model": "gpt-5.5", "stream": true, "stream_options": {"include_usage": true}, "messages": user("x"), "tools": [weather()]});
    for fault in &data.http_faults {
        let Some(wire) = fault.as_wire(Api::Chat) else {
            continue;
        };
        if fault.name == "stall" {
            continue;
        }
        let answer = post(&server, &format!("/fault/{}{OPENAI}", wire.name), &body).await;
        let done = answer.body.contains("[DONE]");
        assert!(!done || !answer.whole, "{}: {answer:?}", wire.name);
    }
}

async fn with_headers(server: &MockServer, path: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"model": "gpt-5.5", "messages": user("x")});
    ask(server.address(), "POST", path, headers, &body.to_string()).await
}

#[tokio::test]
async fn azure_takes_keys_and_tokens_and_tells_them_apart() {
    let server = start().await;
    let key = BEARER.strip_prefix("Bearer ").expect("a key");
    for (headers, status, text) in [
        (vec![("api-key", key)], 200, "You said: x"),
        (vec![("authorization", BEARER)], 200, "You said: x"),
        (
            vec![("api-key", "wrong")],
            401,
            "Access denied due to invalid subscription key or wrong API endpoint.",
        ),
        (
            vec![("authorization", "Bearer wrong")],
            401,
            "Access token is missing, invalid, audience is incorrect",
        ),
        (vec![], 401, "Access token is missing"),
        (
            vec![("authorization", "Bearer sameturn-mock-bearer-expired")],
            401,
            "or have expired",
        ),
        (
            vec![("api-key", "sameturn-mock-bearer-denied")],
            401,
            "PermissionDenied",
        ),
    ] {
        for path in [AZURE, DEPLOYMENT] {
            let answer = with_headers(&server, path, &headers).await;
            assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
            assert!(answer.body.contains(text), "{headers:?}: {answer:?}");
        }
    }
    // Elsewhere that header means nothing.
    assert_eq!(
        with_headers(&server, OPENAI, &[("api-key", key)])
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn azure_names_deployments_and_filters_content() {
    let server = start().await;
    let mut body = json!({"stream": true, "messages": user("x")});
    let chunks = post(&server, DEPLOYMENT, &body).await.events();
    assert_eq!(chunks[0]["id"], "");
    assert_eq!(chunks[0]["choices"], json!([]));
    assert_eq!(chunks[0]["prompt_filter_results"][0]["prompt_index"], 0);
    assert_eq!(chunks[1]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[1]["model"], "gpt-5.5-2026-04-23");
    let filtered = &chunks[2]["choices"][0]["content_filter_results"];
    assert_eq!(filtered["violence"]["severity"], "safe");

    let nowhere = DEPLOYMENT.replace("team-agents", "gone");
    let missing = post(&server, &nowhere, &body).await;
    assert_eq!(missing.json()["error"]["code"], "DeploymentNotFound");
    let undated = post(
        &server,
        "/azure-openai/openai/deployments/team-agents/chat/completions",
        &body,
    )
    .await;
    assert_eq!(
        (undated.status, undated.message().as_str()),
        (404, "Resource not found")
    );

    body["stream"] = json!(false);
    let refused = post(
        &server,
        &format!("/fault/content-filtered{DEPLOYMENT}"),
        &body,
    )
    .await;
    assert_eq!(refused.status, 400);
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "content_filter");
    assert_eq!(error["innererror"]["code"], "ResponsibleAIPolicyViolation");

    let responses = json!({"model": "team-agents", "input": "x"});
    for path in [
        "/azure-openai/openai/v1/responses",
        "/azure-openai/openai/responses?api-version=2025-04-01-preview",
    ] {
        let whole = post(&server, path, &responses).await.json();
        assert_eq!(whole["output"][0]["content"][0]["text"], "You said: x");
        assert_eq!(whole["model"], "team-agents");
    }
}

#[tokio::test]
async fn a_chat_stream_is_paced() {
    let server = start().await;
    let body = json!({"model": "gpt-5.5", "stream": true, "messages": user(&"word ".repeat(30))});
    let begun = std::time::Instant::now();
    let answer = post(&server, OPENAI, &body).await;
    let count = answer.events().len() as u32;
    // The median gap is 2.5 ms, so that a quarter of it on average would be a pace that is not kept.
    assert!(count > 20 && begun.elapsed() > Duration::from_micros(600) * count);
}

/// The keys of an object and of what is in it, two levels deep where it is a choice.
fn shape(chunk: &Value) -> Vec<String> {
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object();
        object
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect()
    };
    let mut all = keys(chunk);
    let choice = &chunk["choices"][0];
    all.extend(keys(choice).iter().map(|key| format!("choice.{key}")));
    all.extend(
        keys(&choice["delta"])
            .iter()
            .map(|key| format!("delta.{key}")),
    );
    all.extend(
        keys(&chunk["usage"])
            .iter()
            .map(|key| format!("usage.{key}")),
    );
    all.sort();
    all
}

#[tokio::test]
async fn azure_chunks_have_the_keys_of_recorded_ones() {
    let Some(folder) = folder() else {
        return;
    };
    let path = folder.join("chat/openai--azure-model-router.1.jsonl");
    let text = std::fs::read_to_string(&path).expect("the recording is there");
    let recorded: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let server = start().await;
    let body = json!({"stream": true, "stream_options": {"include_usage": true}, "messages": user("a few words")});
    let sent = post(&server, DEPLOYMENT, &body).await.events();
    let places = |chunks: &[Value]| {
        let count = chunks.len();
        // The filter's chunk, the role, a piece of text, the finish reason, the usage.
        [0, 1, 2, count - 2, count - 1].map(|at| shape(&chunks[at]))
    };
    assert_eq!(places(&sent), places(&recorded));
}
