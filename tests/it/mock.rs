//! The mocked providers seen from outside, on the Responses API.

use std::net::SocketAddr;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use sameturn::mock::route::Selection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::mock_client::{Answer, BEARER, ask, post, start};

const OPENAI: &str = "/openai/v1/responses";
const MANTLE: &str = "/bedrock-mantle/us-east-1/openai/v1/responses";

fn weather() -> Value {
    json!({"type": "function", "name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "enum": ["Dublin", "Cork"]}}, "required": ["city"],
    }})
}

#[tokio::test]
async fn a_tool_loop_ends_on_every_route_streamed_and_not() {
    let server = start().await;
    for (path, model) in [
        (OPENAI, "gpt-5.5"),
        (MANTLE, "openai.gpt-5.5"),
        (
            "/bedrock-mantle/eu-north-1/v1/responses",
            "openai.gpt-oss-120b",
        ),
    ] {
        for stream in [true, false] {
            let mut body = json!({"model": model, "stream": stream, "tools": [weather()], "input": [{"role": "user", "content": "Weather?"}]});
            let response = |answer: &Answer| match stream {
                true => answer.events().last().expect("events")["response"].clone(),
                false => answer.json(),
            };
            let first = post(&server, path, &body).await;
            assert_eq!((first.status, first.whole), (200, true), "{first:?}");
            let call = response(&first)["output"][0].clone();
            assert_eq!(call["arguments"], r#"{"city":"Dublin"}"#);
            let input = body["input"].as_array_mut().expect("a list");
            input.push(call.clone());
            input.push(json!({"type": "function_call_output", "call_id": call["call_id"], "output": "11 degrees"}));
            let second = response(&post(&server, path, &body).await);
            assert_eq!(second["status"], "completed");
            assert_eq!(
                second["output"][0]["content"][0]["text"],
                "The tool answered: 11 degrees"
            );
            let usage = &second["usage"];
            let number = |key: &str| usage[key].as_u64().expect("a count");
            assert_eq!(
                number("input_tokens") + number("output_tokens"),
                number("total_tokens")
            );
        }
    }
    assert_eq!(server.requests(), 12);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_tells_the_same_story_three_times() {
    let server = start().await;
    let body = json!({"model": "gpt-5.5", "stream": true, "input": "héllo wörld", "include": ["reasoning.encrypted_content"]});
    let answer = post(&server, OPENAI, &body).await;
    assert!(answer.head.contains("content-type: text/event-stream"));
    let events = answer.events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number));
    }
    let of = |kind: &str| {
        events
            .iter()
            .filter(move |event| event["type"] == kind)
            .collect::<Vec<_>>()
    };
    let joined: String = of("response.output_text.delta")
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(joined, "You said: héllo wörld");
    assert_eq!(of("response.output_text.done")[0]["text"], joined.as_str());
    let items: Vec<&Value> = of("response.output_item.done")
        .iter()
        .map(|event| &event["item"])
        .collect();
    let last = &events.last().expect("events")["response"];
    assert_eq!(json!(items), last["output"]);
    assert_eq!(items[0]["type"], "reasoning");
    assert!(
        items[0]["encrypted_content"]
            .as_str()
            .is_some_and(|text| text.starts_with("gAAAA"))
    );
    assert!(last["usage"]["output_tokens_details"]["reasoning_tokens"].as_u64() > Some(0));
}

#[tokio::test]
async fn wrong_requests_are_refused_in_the_providers_words() {
    let server = start().await;
    let base = |model: &str| json!({"model": model, "input": "ping"});
    let with = |key: &str, value: Value| {
        let mut body = base("openai.gpt-5.5");
        body[key] = value;
        body
    };
    let namespace = json!([{"type": "namespace", "name": "functions", "tools": []}]);
    for (path, body, status, text) in [
        (
            MANTLE,
            base("gpt-4o"),
            404,
            "The model 'gpt-4o' does not exist",
        ),
        (MANTLE, base("us.openai.gpt-5.6-sol"), 404, "does not exist"),
        (
            "/bedrock-mantle/eu-central-1/openai/v1/responses",
            base("openai.gpt-5.5"),
            404,
            "does not exist",
        ),
        (
            "/bedrock-mantle/us-east-1/v1/responses",
            base("openai.gpt-5.5"),
            400,
            "model `openai.gpt-5.5` isn't supported on this route",
        ),
        (
            MANTLE,
            json!({"input": "x"}),
            400,
            "Missing required parameter: 'model'.",
        ),
        (
            MANTLE,
            with("tools", json!([{"type": "telepathy"}])),
            400,
            "unknown variant `telepathy`, expected one of `function`",
        ),
        (
            "/bedrock-mantle/us-east-1/v1/responses",
            json!({"model": "openai.gpt-oss-20b", "input": "x", "tools": [{"type": "custom", "name": "t"}]}),
            400,
            "unknown variant `custom`, expected `function` or `mcp`",
        ),
        (
            MANTLE,
            with("tools", namespace),
            400,
            "namespace 'functions' collides",
        ),
        (
            MANTLE,
            with("input", json!([{"type": "compaction"}])),
            400,
            "value did not match any expected variant",
        ),
        (
            MANTLE,
            with("service_tier", json!("flex")),
            400,
            "unsupported service_tier 'flex'",
        ),
        (
            MANTLE,
            with("max_output_tokens", json!(8)),
            400,
            "Expected a value >= 16, but got 8",
        ),
        (
            MANTLE,
            with("previous_response_id", json!("resp_x")),
            404,
            "Response not found.",
        ),
        (
            MANTLE,
            with(
                "input",
                json!([{"type": "function_call_output", "call_id": "c", "output": "x"}]),
            ),
            400,
            "No tool call found",
        ),
        (
            OPENAI,
            base("nope"),
            404,
            "The model `nope` does not exist or you do not have access to it.",
        ),
        (
            OPENAI,
            json!({"model": "gpt-5.5", "input": "x", "tools": [{"type": "telepathy"}]}),
            400,
            "Invalid value: 'telepathy'. Supported values are: 'function'",
        ),
        (
            OPENAI,
            json!({"model": "gpt-5.5", "input": "x".repeat(4_300_000)}),
            400,
            "exceeds the context window",
        ),
    ] {
        let answer = post(&server, path, &body).await;
        let message = answer.message();
        assert_eq!(answer.status, status, "{message}");
        assert!(message.contains(text), "{message:?} lacks {text:?}");
        assert!(
            answer.head.contains("x-request-id: req_"),
            "{}",
            answer.head
        );
    }
    let bad = ask(
        server.address(),
        "POST",
        MANTLE,
        &[("authorization", BEARER)],
        "{",
    )
    .await;
    assert_eq!(bad.status, 400);
    let wrong_method = ask(
        server.address(),
        "PUT",
        OPENAI,
        &[("authorization", BEARER)],
        "",
    )
    .await;
    assert_eq!(wrong_method.status, 405);
    let nowhere = post(
        &server,
        "/bedrock-mantle/us-west-1/openai/v1/responses",
        &json!({}),
    )
    .await;
    assert_eq!(nowhere.status, 404);
    let there_are = nowhere.json()["sameturn_mock"]["there_are"].clone();
    assert_eq!(there_are.as_array().map(Vec::len), Some(14));
}

#[tokio::test]
async fn who_may_call_is_checked_by_key_and_by_signature() {
    let server = start().await;
    let body = json!({"model": "openai.gpt-5.5", "input": "ping"}).to_string();
    for (key, status, text) in [
        ("sameturn-mock-bearer-default", 200, ""),
        (
            "sameturn-mock-bearer-denied",
            401,
            "is not authorized to perform: bedrock-mantle:CreateInference",
        ),
        ("sameturn-mock-bearer-expired", 401, "Signature expired: "),
        ("nobody's", 401, "Invalid bearer token"),
    ] {
        let bearer = format!("Bearer {key}");
        let answer = ask(
            server.address(),
            "POST",
            MANTLE,
            &[("authorization", &bearer)],
            &body,
        )
        .await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            status == 200 || answer.message().contains(text),
            "{answer:?}"
        );
    }
    let default = (
        "AKIDSAMETURNMOCKDEFAULT",
        "sameturn-mock-secret-of-default-not-a-real-key",
        None,
    );
    let temporary = (
        "ASIASAMETURNMOCKTEMPORARY",
        "sameturn-mock-secret-of-temporary-not-a-real-key",
        Some("sameturn-mock-session-token-of-temporary"),
    );
    let denied = (
        "AKIDSAMETURNMOCKDENIED",
        "sameturn-mock-secret-of-denied-not-a-real-key",
        None,
    );
    let expired = (
        "ASIASAMETURNMOCKEXPIRED",
        "sameturn-mock-secret-of-expired-not-a-real-key",
        Some("sameturn-mock-session-token-of-expired"),
    );
    let wrong = ("AKIDSAMETURNMOCKDEFAULT", "wrong", None);
    let unknown = ("AKIDNOBODY", "wrong", None);
    let no_token = (temporary.0, temporary.1, None);
    for (keys, service, region, late, text) in [
        (default, "bedrock-mantle", "us-east-1", 0, ""),
        (default, "bedrock", "us-east-1", 200, ""),
        (temporary, "bedrock-mantle", "us-east-1", 0, ""),
        (
            default,
            "bedrock-mantle",
            "us-east-1",
            400,
            "Signature expired: ",
        ),
        (default, "bedrock-mantle", "us-east-2", 0, "valid region"),
        (default, "s3", "us-east-1", 0, "correct service"),
        (
            wrong,
            "bedrock-mantle",
            "us-east-1",
            0,
            "does not match the signature you provided",
        ),
        (
            unknown,
            "bedrock-mantle",
            "us-east-1",
            0,
            "security token included in the request is invalid",
        ),
        (
            no_token,
            "bedrock-mantle",
            "us-east-1",
            0,
            "security token included in the request is invalid",
        ),
        (
            denied,
            "bedrock-mantle",
            "us-east-1",
            0,
            "is not authorized to perform",
        ),
        (
            expired,
            "bedrock-mantle",
            "us-east-1",
            0,
            "Signature expired: ",
        ),
    ] {
        let headers = signed(server.address(), keys, service, region, late, &body);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = ask(server.address(), "POST", MANTLE, &headers, &body).await;
        if text.is_empty() {
            assert_eq!(answer.status, 200, "{answer:?}");
            let tampered = body.replace("ping", "pong");
            let answer = ask(server.address(), "POST", MANTLE, &headers, &tampered).await;
            assert!(answer.message().contains("does not match"), "{answer:?}");
        } else {
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(answer.message().contains(text), "{answer:?}");
        }
    }
}

/// Headers as the AWS library signs them, `late` seconds ago.
fn signed(
    address: SocketAddr,
    keys: (&str, &str, Option<&str>),
    service: &str,
    region: &str,
    late: u64,
    body: &str,
) -> Vec<(String, String)> {
    let identity = Credentials::new(keys.0, keys.1, keys.2.map(str::to_owned), None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(std::time::SystemTime::now() - Duration::from_secs(late))
        .settings(SigningSettings::default())
        .build()
        .expect("parameters")
        .into();
    let mut headers = vec![
        ("host".to_owned(), address.to_string()),
        ("content-type".to_owned(), "application/json".to_owned()),
    ];
    let url = format!("http://{address}{MANTLE}");
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new("POST", &url, pairs, SignableBody::Bytes(body.as_bytes()))
        .expect("a request");
    let (instructions, _) = sign(request, &params).expect("a signature").into_parts();
    for (name, value) in instructions.headers() {
        headers.push((name.to_owned(), value.to_owned()));
    }
    headers
}

#[tokio::test]
async fn faults_show_by_path_and_by_header() {
    let server = start().await;
    let body = json!({"model": "gpt-5.5", "stream": true, "input": "hello there"});
    let under = |fault: &str| format!("/fault/{fault}{OPENAI}");
    for (fault, status, text) in [
        ("throttled", 429, "\"code\":\"rate_limit_exceeded\""),
        ("overloaded", 503, "server_is_overloaded"),
        ("server-error", 500, "server_error"),
        ("context-overflow", 400, "context_length_exceeded"),
        ("html-502", 502, "<html>"),
        (
            "coral-200",
            200,
            "com.amazon.coral.service#UnknownOperationException",
        ),
    ] {
        let answer = post(&server, &under(fault), &body).await;
        assert_eq!(answer.status, status, "{fault}");
        assert!(answer.body.contains(text), "{fault}: {}", answer.body);
        let headers = [("authorization", BEARER), ("x-sameturn-fault", fault)];
        let by_header = ask(
            server.address(),
            "POST",
            OPENAI,
            &headers,
            &body.to_string(),
        )
        .await;
        assert_eq!(by_header.body, answer.body);
    }
    let throttled = post(&server, &under("throttled"), &body).await;
    assert!(
        throttled.head.contains("retry-after: 1"),
        "{}",
        throttled.head
    );
    assert_eq!(post(&server, &under("empty-200"), &body).await.body, "");

    let failed = post(&server, &under("response-failed"), &body)
        .await
        .events();
    let last = failed.last().expect("events");
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert!(
        failed
            .iter()
            .any(|event| event["type"] == "response.output_text.delta")
    );
    let whole = json!({"model": "gpt-5.5", "input": "hello there"});
    assert_eq!(
        post(&server, &under("response-failed"), &whole)
            .await
            .json()["status"],
        "failed"
    );

    let kinds: Vec<String> = post(&server, &under("error-event"), &body)
        .await
        .events()
        .iter()
        .map(|event| event["type"].to_string())
        .collect();
    assert_eq!(
        kinds,
        [
            "\"response.created\"",
            "\"response.in_progress\"",
            "\"error\"",
            "\"response.failed\""
        ]
    );

    let empty = post(&server, &under("empty-success"), &whole).await.json();
    assert_eq!(
        (&empty["output"], &empty["usage"]["output_tokens"]),
        (&json!([]), &json!(0))
    );

    for body in [&body, &whole] {
        let dropped = post(&server, &under("drop-mid-stream"), body).await;
        assert!(!dropped.whole && !dropped.body.is_empty(), "{dropped:?}");
        assert!(!dropped.body.contains("response.completed"));
    }
    let unknown = post(&server, &under("nope"), &body).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("\"throttled\""));
}

#[tokio::test]
async fn a_stall_and_a_silence_last_until_the_server_stops() {
    let server = start().await;
    let address = server.address();
    let body = json!({"model": "gpt-5.5", "stream": true, "input": "hello there"}).to_string();
    for (fault, begins) in [("stall", true), ("slow-headers", false)] {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        let head = format!(
            "POST /fault/{fault}{OPENAI} HTTP/1.1\r\nhost: x\r\nauthorization: {BEARER}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.expect("it reads");
        let mut bytes = Vec::new();
        let ended = timeout(Duration::from_millis(700), socket.read_to_end(&mut bytes)).await;
        assert!(ended.is_err(), "{fault} ended");
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert_eq!(
            text.contains("response.output_text.delta"),
            begins,
            "{fault}"
        );
        assert!(!text.contains("response.completed"));
    }
    timeout(Duration::from_secs(3), server.stop())
        .await
        .expect("it stops");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn scripts_are_played_step_by_step() {
    let server = start().await;
    let path = format!("/script/weather{MANTLE}");
    let mut body = json!({"model": "openai.gpt-5.5", "tools": [weather()], "input": [{"role": "user", "content": "Weather?"}]});
    let first = post(&server, &path, &body).await.json();
    let call = &first["output"][0];
    assert_eq!(
        (&call["name"], &call["call_id"]),
        (&json!("get_weather"), &json!("call_1"))
    );
    body["previous_response_id"] = first["id"].clone();
    body["input"] = json!([{"type": "function_call_output", "call_id": "call_1", "output": "11"}]);
    let second = post(&server, &path, &body).await.json();
    let text = second["output"][0]["content"][0]["text"]
        .as_str()
        .expect("a text");
    assert!(text.contains("11 degrees"), "{text}");
    let unknown = post(&server, &format!("/script/nope{MANTLE}"), &body).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn stored_responses_belong_to_their_region() {
    let server = start().await;
    let made = post(
        &server,
        MANTLE,
        &json!({"model": "openai.gpt-5.5", "input": "one"}),
    )
    .await
    .json();
    let id = made["id"].as_str().expect("an id");
    assert!(id.len() == 57 && id.starts_with("resp_"), "{id}");
    assert_eq!(made["billing"], json!({"payer": "developer"}));
    let headers = [("authorization", BEARER)];
    let there = |region: &str| format!("/bedrock-mantle/{region}/openai/v1/responses/{id}");
    let address = server.address();
    let get = |path: String| async move { ask(address, "GET", &path, &headers, "").await };
    assert_eq!(get(there("us-east-1")).await.json(), made);
    assert_eq!(get(there("us-east-2")).await.status, 404);
}

#[tokio::test]
async fn models_are_listed_where_the_provider_lists_them() {
    let server = start().await;
    let headers = [("authorization", BEARER)];
    let list = |path: &'static str| {
        let address = server.address();
        async move { ask(address, "GET", path, &headers, "").await }
    };
    let mantle = list("/bedrock-mantle/us-west-2/v1/models").await.json();
    let rows = mantle["data"].as_array().expect("a list");
    let has = |id: &str| {
        rows.iter()
            .any(|row| row["id"] == id && row["status"] == "available")
    };
    assert!(has("openai.gpt-6-astra") && !has("openai.gpt-5.5"));
    assert_eq!(
        list("/bedrock-mantle/us-west-2/openai/v1/models")
            .await
            .status,
        404
    );
    assert!(
        list("/openai/v1/models").await.json()["data"][0]
            .get("status")
            .is_none()
    );
}

#[tokio::test]
async fn the_choice_of_a_tool_is_kept() {
    let server = start().await;
    let tools = json!([
        {"type": "custom", "name": "raw", "format": {"type": "grammar", "syntax": "regex", "definition": "[a-z]{5}"}},
        weather(),
        {"type": "function", "name": "other", "parameters": {"type": "object", "properties": {}}},
    ]);
    for (choice, expected) in [
        (json!("auto"), Some("get_weather")),
        (json!("none"), None),
        (json!("required"), Some("get_weather")),
        (json!({"type": "function", "name": "other"}), Some("other")),
        (json!({"type": "custom", "name": "raw"}), Some("raw")),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "other"}]}),
            Some("other"),
        ),
    ] {
        let body =
            json!({"model": "gpt-5.5", "input": "hi", "tools": tools, "tool_choice": choice});
        let answer = post(&server, OPENAI, &body).await.json();
        assert_eq!(
            answer["output"][0]["name"].as_str(),
            expected,
            "{choice}: {answer}"
        );
    }
    let lite = json!({"model": "gpt-6.1-sol", "input": [
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace", "name": "clock", "tools": [weather()]}]},
        {"type": "message", "role": "user", "content": "hi"},
    ]});
    let call = post(&server, OPENAI, &lite).await.json()["output"][0].clone();
    assert_eq!(
        (&call["namespace"], &call["name"]),
        (&json!("clock"), &json!("get_weather"))
    );

    // A tool that runs programs is there to call the others with, wherever it stands among them.
    let description = "Run JavaScript code.\n- `text(value: string)`: Appends a text item.\n\n\
        ```ts\ndeclare const tools: { run(args: {\n  // Shell command.\n  cmd: string;\n  \
        tty?: boolean;\n}): Promise<unknown>; };\n```";
    let exec = json!({"type": "custom", "name": "exec", "description": description,
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /[\\s\\S]+/"}});
    let code = json!({"model": "gpt-6.1-sol", "input": [
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace", "name": "functions", "tools": [weather(), exec]}]},
        {"type": "message", "role": "user", "content": "hi"},
    ]});
    let answer = post(&server, OPENAI, &code).await.json();
    let call = answer["output"].as_array().expect("items").last();
    let call = call.expect("a call");
    assert_eq!(
        (&call["type"], &call["name"], &call["namespace"]),
        (
            &json!("custom_tool_call"),
            &json!("exec"),
            &json!("functions")
        ),
        "{answer}"
    );
    assert_eq!(
        call["input"],
        "text(await tools.run({cmd: \"echo sameturn\"}));"
    );
}

#[tokio::test]
async fn addresses_name_provider_region_and_selection() {
    let server = start().await;
    let all = server.endpoints();
    assert_eq!(all.len(), 1 + 14 + 16 + 22 + 1);
    assert!(all[0].base_url.ends_with("/openai/v1") && all[0].other_base_url.is_none());
    let azure = all[53].resource_url.as_deref();
    assert!(azure.is_some_and(|url| url.ends_with("/azure-openai")));
    for end in [
        "/bedrock-mantle/us-east-1/openai/v1",
        "/bedrock-runtime/us-west-1/openai/v1",
        "/bedrock-agentcore/us-west-2",
    ] {
        assert!(all.iter().any(|one| one.base_url.ends_with(end)), "{end}");
    }
    let selection = Selection {
        script: Some("weather".to_owned()),
        fault: Some("stall".to_owned()),
    };
    let url = server.base_url("bedrock-mantle", Some("us-east-1"), &selection);
    let origin = format!("http://{}", server.address());
    assert_eq!(
        url,
        format!("{origin}/fault/stall/script/weather/bedrock-mantle/us-east-1")
    );
}
