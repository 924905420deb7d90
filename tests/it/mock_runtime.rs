//! The mocked Bedrock Runtime seen from outside: plain HTTP, frames read by the AWS crate, and boto3.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::BytesMut;
use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;
use serde_json::{Value, json};

use crate::judges;

/// What came back.
struct Answer {
    status: u16,
    error_type: Option<String>,
    content_type: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Each frame's name and payload, as the AWS crate reads them.
    fn frames(&self) -> Vec<(String, Value)> {
        let mut decoder = MessageFrameDecoder::new();
        let mut bytes = BytesMut::from(&self.body[..]);
        let mut frames = Vec::new();
        while let DecodedFrame::Complete(message) =
            decoder.decode_frame(&mut bytes).expect("a good frame")
        {
            let name = message
                .headers()
                .iter()
                .find(|header| {
                    header.name().as_str().ends_with("-type")
                        && header.name().as_str() != ":message-type"
                        && header.name().as_str() != ":content-type"
                })
                .and_then(|header| header.value().as_string().ok())
                .map(|text| text.as_str().to_owned());
            let payload = serde_json::from_slice(message.payload()).expect("JSON");
            frames.push((name.expect("a name"), payload));
        }
        frames
    }
}

async fn start() -> MockServer {
    let data = MockData::shipped().expect("the shipped data");
    let bind = "127.0.0.1:0".parse().expect("an address");
    MockServer::start(bind, data, 7).await.expect("a free port")
}

async fn post(server: &MockServer, prefix: &str, path: &str, bearer: &str, body: &Value) -> Answer {
    let url = format!(
        "http://{}{prefix}/bedrock-runtime/us-east-1{path}",
        server.address()
    );
    // The first to install it wins; the others are told so, and may go on.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::Client::new()
        .post(url)
        .header(
            "authorization",
            format!("Bearer sameturn-mock-bearer-{bearer}"),
        )
        .body(body.to_string())
        .send()
        .await
        .expect("an answer");
    let header = |name: &str| {
        let value = answer.headers().get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    Answer {
        status: answer.status().as_u16(),
        error_type: header("x-amzn-errortype"),
        content_type: header("content-type").expect("a content type"),
        body: answer.bytes().await.expect("a body").to_vec(),
    }
}

const SOL: &str = "/model/us.openai.gpt-5.6-sol/converse";
const STREAM: &str = "/model/us.openai.gpt-5.6-sol/converse-stream";

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": "hello there"}]}]})
}

#[tokio::test]
async fn a_stream_says_what_the_plain_answer_says() {
    let server = start().await;
    let whole = post(&server, "", SOL, "default", &hello()).await;
    assert_eq!(
        (whole.status, whole.content_type.as_str()),
        (200, "application/json")
    );
    let content = &whole.json()["output"]["message"]["content"];
    assert_eq!(content, &json!([{"text": "You said: hello there"}]));

    let stream = post(&server, "", STREAM, "default", &hello()).await;
    assert_eq!(stream.content_type, "application/vnd.amazon.eventstream");
    let frames = stream.frames();
    let names: Vec<&str> = frames.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["messageStart", "contentBlockDelta"]);
    assert_eq!(
        names[names.len() - 3..],
        ["contentBlockStop", "messageStop", "metadata"]
    );
    let text: String = frames
        .iter()
        .filter_map(|(_, payload)| payload["delta"]["text"].as_str())
        .collect();
    assert_eq!(text, "You said: hello there");
    assert!(
        frames
            .iter()
            .all(|(_, payload)| payload.get("type").is_none())
    );
}

#[tokio::test]
async fn the_same_model_answers_on_the_openai_path() {
    let server = start().await;
    let ask = |model: &str| json!({"model": model, "input": "hello there"});
    let path = "/openai/v1/responses";
    let answer = post(&server, "", path, "default", &ask("us.openai.gpt-5.6-sol")).await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (200, &json!("completed"))
    );
    let bare = post(&server, "", path, "default", &ask("openai.gpt-5.6-sol")).await;
    let message = bare.json()["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned();
    assert_eq!(bare.status, 400);
    assert!(
        message.contains("on-demand throughput isn\u{2019}t supported"),
        "{message}"
    );
    let oss = post(&server, "", path, "default", &ask("openai.gpt-oss-20b-1:0")).await;
    assert_eq!(oss.status, 404);
    let mut background = ask("us.openai.gpt-5.6-sol");
    background["background"] = json!(true);
    let refused = post(&server, "", path, "default", &background).await;
    assert_eq!(
        refused.json()["error"]["message"],
        "The background parameter is not supported."
    );
}

#[tokio::test]
async fn refusals_are_the_providers_own() {
    let server = start().await;
    for (path, bearer, status, kind, words) in [
        (
            SOL,
            "denied",
            403,
            "AccessDeniedException",
            "bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.openai.gpt-5.6-sol because",
        ),
        (
            SOL,
            "expired",
            403,
            "AccessDeniedException",
            "Bearer Token has expired",
        ),
        (
            STREAM,
            "nobody",
            403,
            "AccessDeniedException",
            "Authentication failed",
        ),
        (
            "/openai/v1/responses",
            "expired",
            403,
            "AccessDeniedException",
            "Bearer Token has expired",
        ),
        (
            "/model/openai.gpt-5.6-sol/converse",
            "default",
            400,
            "ValidationException",
            "isn\u{2019}t supported",
        ),
        (
            "/model/us.openai.nope/converse",
            "default",
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
        ),
    ] {
        let answer = post(&server, "", path, bearer, &hello()).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{path} {bearer}: {body}");
        assert_eq!(answer.error_type.as_deref(), Some(kind), "{path} {bearer}");
        assert!(body.contains(words), "{path} {bearer}: {body}");
    }
    for path in ["/v1/responses", "/v1/chat/completions", "/openai/v1/models"] {
        let answer = post(&server, "", path, "nobody", &hello()).await;
        assert_eq!(answer.status, 200, "{path}");
        let kind = &answer.json()["Output"]["__type"];
        assert_eq!(kind, "com.amazon.coral.service#UnknownOperationException");
    }
}

#[tokio::test]
async fn requests_that_converse_forbids_are_refused() {
    let server = start().await;
    let tool = json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]});
    let called = |input: Value| json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": input}}]});
    let user = |block: Value| json!({"role": "user", "content": [block]});
    let result = |id: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": "ok"}]}});
    let begin = user(json!({"text": "go"}));
    let with = |messages: Value| json!({"messages": messages, "toolConfig": tool});
    for (body, words) in [
        (json!({}), "at least 1 message"),
        (json!({"messages": [called(json!({}))]}), "alternate"),
        (with(json!([user(json!({"text": " "}))])), "is blank"),
        (
            with(json!([begin, called(json!("{}")), user(result("t1"))])),
            "json object",
        ),
        (
            with(json!([
                begin,
                called(json!({})),
                user(json!({"text": "x"}))
            ])),
            "Expected toolResult",
        ),
        (
            with(
                json!([begin, called(json!({})), {"role": "user", "content": [result("t1"), result("t2")]}]),
            ),
            "no toolUse block",
        ),
        (
            json!({"messages": [begin, called(json!({})), user(result("t1"))]}),
            "toolConfig field must be defined",
        ),
        (
            json!({"messages": [begin], "additionalModelRequestFields": {"reasoning_effort": "low"}}),
            "Unknown parameter",
        ),
        (
            json!({"messages": [begin], "inferenceConfig": {"temperature": 0.2}}),
            "temperature",
        ),
        (
            json!({"messages": [begin], "inferenceConfig": {"maxTokens": 0}}),
            "maxTokens",
        ),
        (
            with(
                json!([begin, {"role": "assistant", "content": [{"reasoningContent": {"redactedContent": "Zm9yZ2Vk"}}, {"text": "x"}]}, begin]),
            ),
            "could not be verified",
        ),
    ] {
        let answer = post(&server, "", SOL, "default", &body).await;
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 400, "{body}: {told}");
        assert!(told.contains(words), "{body}: {told}");
    }
    let good = with(json!([begin, called(json!({})), user(result("t1"))]));
    assert_eq!(post(&server, "", SOL, "default", &good).await.status, 200);
}

#[tokio::test]
async fn each_api_answers_for_the_models_that_it_has() {
    let server = start().await;
    let oss = "openai.gpt-oss-20b-1:0";
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/sameturnsol1";
    let chat =
        |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    let respond = |model: &str| json!({"model": model, "input": "hi"});
    let mut with_tools = chat("us.openai.gpt-5.6-sol");
    with_tools["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let body = |model: &str| {
        let mut body = chat(model);
        body.as_object_mut()
            .expect("an object")
            .shift_remove("model");
        body
    };
    for (path, body, status, words) in [
        (
            "/openai/v1/chat/completions",
            chat(oss),
            200,
            "You said: hi",
        ),
        (
            "/openai/v1/chat/completions",
            chat("global.openai.gpt-5.6-luna"),
            200,
            "You said: hi",
        ),
        (
            "/openai/v1/chat/completions",
            with_tools,
            400,
            "Function tools with reasoning_effort are not supported for us.openai.gpt-5.6-sol",
        ),
        (
            "/openai/v1/chat/completions",
            chat(arn),
            200,
            "You said: hi",
        ),
        (
            "/openai/v1/responses",
            respond(arn),
            400,
            "pplication inference profile",
        ),
        (
            "/openai/v1/responses",
            respond(oss),
            404,
            "doesn't support this API",
        ),
        (
            "/model/openai.gpt-oss-20b-1%3A0/invoke",
            body(oss),
            200,
            "<reasoning>One step is enough for this.</reasoning>You said: hi",
        ),
        (
            "/model/openai.gpt-oss-20b-1%3A0/invoke",
            chat(oss),
            200,
            "You said: hi",
        ),
        (
            "/model/openai.gpt-oss-20b-1%3A0/invoke",
            chat("another"),
            400,
            "The field model of the body",
        ),
        (
            "/model/us.openai.gpt-5.6-sol/invoke",
            body(oss),
            400,
            "does not support",
        ),
    ] {
        let answer = post(&server, "", path, "default", &body).await;
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{path} {body}: {told}");
        assert!(told.contains(words), "{path} {body}: {told}");
    }
}

#[tokio::test]
async fn invoke_streams_chunks_in_frames() {
    let server = start().await;
    let path = "/model/openai.gpt-oss-20b-1%3A0/invoke-with-response-stream";
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    let answer = post(&server, "", path, "default", &body).await;
    assert_eq!(answer.content_type, "application/vnd.amazon.eventstream");
    let frames = answer.frames();
    assert!(frames.iter().all(|(name, _)| name == "chunk"));
    let engine = base64::engine::general_purpose::STANDARD;
    let chunks: Vec<Value> = frames
        .iter()
        .map(|(_, payload)| {
            let bytes = payload["bytes"].as_str().expect("bytes");
            let inside = base64::Engine::decode(&engine, bytes).expect("base64");
            serde_json::from_slice(&inside).expect("JSON")
        })
        .collect();
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(
        text,
        "<reasoning>One step is enough for this.</reasoning>You said: hi"
    );
    let last = chunks.last().expect("a chunk");
    assert!(last["amazon-bedrock-invocationMetrics"]["inputTokenCount"].is_u64());
    let failed = post(&server, "/fault/response-failed", path, "default", &body).await;
    let (name, payload) = failed.frames().pop().expect("a frame");
    assert_eq!(name, "modelStreamErrorException");
    assert_eq!(payload["originalStatusCode"], 500);
}

#[tokio::test]
async fn an_exception_ends_a_stream() {
    let server = start().await;
    let answer = post(
        &server,
        "/fault/response-failed",
        STREAM,
        "default",
        &hello(),
    )
    .await;
    let frames = answer.frames();
    let (name, payload) = frames.last().expect("a frame");
    assert_eq!(name, "modelStreamErrorException");
    assert!(payload["message"].is_string());
}

/// boto3 finishes tool loops, and names failures as it would name the provider's.
#[tokio::test(flavor = "multi_thread")]
async fn boto3_takes_the_mock_for_the_real_thing() {
    let Some(python) = judges::python() else {
        return;
    };
    let server = start().await;
    let origin = format!("http://{}", server.address());
    let seen = judges::told(&python, "converse.py", &[&origin]).await;
    let turns = json!([
        ["reasoningContent", "toolUse", "tool_use"],
        ["reasoningContent", "text", "end_turn"]
    ]);
    assert_eq!(seen["loops"], json!([turns, turns, turns, turns]));
    for (what, code) in [
        ("denied", "AccessDeniedException"),
        ("denied_stream", "AccessDeniedException"),
        ("expired", "ExpiredTokenException"),
        ("unknown_key", "UnrecognizedClientException"),
        ("bare_id", "ValidationException"),
        ("effort", "ValidationException"),
        ("throttled", "ThrottlingException"),
        ("failed", "modelStreamErrorException"),
        ("crc", "ChecksumMismatch"),
        // boto3 takes half a frame for the end: why this program looks for it.
        ("truncated", "not noticed"),
        ("invoke_denied", "AccessDeniedException"),
        ("invoke_denied_stream", "AccessDeniedException"),
        ("invoke_expired", "ExpiredTokenException"),
        ("invoke_expired_stream", "ExpiredTokenException"),
        ("invoke_gpt", "ValidationException"),
        ("invoke_other_stream", "ValidationException"),
        ("invoke_throttled", "ThrottlingException"),
        ("invoke_failed", "modelStreamErrorException"),
        ("invoke_crc", "ChecksumMismatch"),
        ("invoke_truncated", "not noticed"),
        ("no_such_guardrail", "ValidationException"),
        ("unknown_arn", "ValidationException"),
        ("invoke_arn", "not noticed"),
    ] {
        assert_eq!(seen[what], code, "{what}");
    }
    let turn = json!([true, "tool_calls", true, "stop"]);
    assert_eq!(seen["invoke_loops"], json!([turn, turn]));
    let stopped = json!(["guardrail_intervened", true]);
    let passed = json!(["end_turn", false]);
    assert_eq!(seen["guarded"], json!([stopped, stopped, passed, passed]));
    let stopped = json!(["INTERVENED", true]);
    let passed = json!(["NONE", false]);
    assert_eq!(
        seen["invoke_guarded"],
        json!([stopped, stopped, passed, passed])
    );
    assert_eq!(
        seen["arns"],
        json!(["not noticed", "not noticed", "not noticed", "not noticed"])
    );
}

#[tokio::test]
async fn a_prompt_gets_exactly_its_words_on_the_native_apis() {
    let server = start().await;
    let prompt = "Count. Answer with exactly 23 words.";
    let body = json!({"messages": [{"role": "user", "content": [{"text": prompt}]}]});
    let stream = post(&server, "", STREAM, "default", &body).await;
    let frames = stream.frames();
    let is_text = |(_, payload): &&(String, Value)| payload["delta"]["text"].is_string();
    assert_eq!(frames.iter().filter(is_text).count(), 23);
    let (_, metadata) = &frames[frames.len() - 1];
    assert_eq!(metadata["usage"]["outputTokens"], 23);

    let path = "/model/openai.gpt-oss-20b-1%3A0/invoke-with-response-stream";
    let body = json!({"messages": [{"role": "user", "content": prompt}]});
    let frames = post(&server, "", path, "default", &body).await.frames();
    let engine = base64::engine::general_purpose::STANDARD;
    let inside = |payload: &Value| -> Value {
        let bytes = payload["bytes"].as_str().expect("bytes");
        let inside = base64::Engine::decode(&engine, bytes).expect("base64");
        serde_json::from_slice(&inside).expect("JSON")
    };
    let pieces = frames.iter().filter(|(_, payload)| {
        let chunk = inside(payload);
        let content = chunk["choices"][0]["delta"]["content"].as_str();
        content.is_some_and(|text| !text.is_empty())
    });
    assert_eq!(pieces.count(), 23);
    let (_, last) = &frames[frames.len() - 1];
    assert_eq!(
        inside(last)["amazon-bedrock-invocationMetrics"]["outputTokenCount"],
        23
    );
}
