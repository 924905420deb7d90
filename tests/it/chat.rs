//! Chat Completions as users meet it: servers, captures, and a comparison across dialects.

use sameturn::dialect::{Dialect, decode_captures};
use sameturn::turn::trace::{Content, Stop};
use serde_json::{Value, json};

use crate::check::{PONG, pong_events, sse};
use crate::program::Project;
use crate::stub_server::Stub;

/// A good streamed answer with this finish reason, chunk by chunk and with its end.
fn pong(finish: &str) -> String {
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": choices, "usage": usage})
    };
    let delta = |delta: Value, finish: Value| {
        let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        chunk(choices, Value::Null)
    };
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0}});
    let chunks = [
        delta(json!({"role": "assistant", "content": ""}), Value::Null),
        delta(json!({"content": "pong"}), Value::Null),
        delta(json!({}), json!(finish)),
        chunk(json!([]), usage),
    ];
    let mut text: String = chunks
        .iter()
        .map(|one| format!("data: {one}\n\n"))
        .collect();
    text.push_str("data: [DONE]\n\n");
    text
}

fn rules(run: &Value) -> Vec<&str> {
    let findings = run["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter_map(|one| one["rule"].as_str())
        .collect()
}

fn check<'a>(base_url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["check", "--base-url", base_url, "--model", "m"];
    all.extend(["--dialect", "chat", "--format", "json"]);
    all.extend(more);
    all
}

#[test]
fn a_chat_server_is_checked() {
    let project = Project::new().file("pong.yaml", PONG);
    let good = Stub::events(&pong("stop"));
    let run = project
        .run(&check(&good.base_url, &["pong.yaml"]))
        .exits(0)
        .json();
    assert_eq!(run["verdict"], "pass");
    let requests = good.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with("POST /v1/chat/completions "),
        "{}",
        requests[0]
    );
    assert!(requests[0].contains("\"include_usage\":true"));

    let without_end = pong("stop").replace("data: [DONE]\n\n", "");
    let open = Stub::events(&without_end);
    let run = project
        .run(&check(&open.base_url, &["pong.yaml"]))
        .exits(1)
        .json();
    assert_eq!(rules(&run), ["chat/done-marker-once"]);

    let chunks: Vec<&str> = without_end.split_inclusive("\n\n").collect();
    let cut = Stub::events(&chunks[..2].concat());
    let run = project
        .run(&check(&cut.base_url, &["pong.yaml"]))
        .exits(1)
        .json();
    assert_eq!(run["cells"][0]["failure"], "stream_truncated");
    assert!(
        rules(&run).contains(&"chat/finish-reason-once"),
        "{:?}",
        rules(&run)
    );
}

#[test]
fn what_chat_cannot_say_is_not_applicable() {
    let tools = PONG.replace(
        "turns:",
        "tools: { run: { description: Runs., custom: true } }\nturns:",
    );
    let limit = PONG.replace("turns:", "settings: { max_tool_calls: 1 }\nturns:");
    let wire = PONG.replace("turns:", "wire_tools: [ { type: web_search } ]\nturns:");
    for (scenario, reason) in [
        (tools, "`run` takes free text"),
        (limit, "max_tool_calls"),
        (wire, "wire_tools"),
    ] {
        let project = Project::new().file("pong.yaml", &scenario);
        let server = Stub::events(&pong("stop"));
        let run = project.run(&check(&server.base_url, &["pong.yaml"])).json();
        assert_eq!(run["cells"][0]["verdict"], "not_applicable", "{run}");
        let told = run["cells"][0]["reason"].as_str().expect("a reason");
        assert!(told.contains(reason), "{told}");
        assert!(server.requests().is_empty(), "nothing was sent");
    }
}

/// The catalog knows models that one provider serves as chat alone.
#[test]
fn a_target_without_a_dialect_takes_one_that_serves_its_model() {
    for (model, path) in [
        ("openai.gpt-oss-safeguard-20b", "/v1/chat/completions"),
        ("openai.gpt-oss-20b", "/v1/responses"),
    ] {
        let server = Stub::events(&pong("stop"));
        let file = format!(
            "targets:\n  a: {{ provider: bedrock-mantle, model: {model}, regions: [us-east-1], auth: none, endpoint: '{}' }}\n",
            server.base_url
        );
        let project = Project::new().file("pong.yaml", PONG);
        project
            .file("sameturn.yaml", &file)
            .run(&["check", "pong.yaml"]);
        let requests = server.requests();
        assert!(requests[0].starts_with(&format!("POST {path} ")), "{model}");
    }
}

#[test]
fn targets_of_different_dialects_are_compared() {
    let responses = Stub::events(&sse(&pong_events()));
    for (finish, code) in [("stop", 0), ("length", 1)] {
        let chat = Stub::events(&pong(finish));
        let target = |dialect: &str, url: &str| {
            format!(
                "  {dialect}: {{ provider: openai-compatible, dialect: {dialect}, model: m, endpoint: '{url}' }}\n"
            )
        };
        let project = Project::new()
            .file("pong.yaml", &PONG.replace(", stop: end", ""))
            .file(
                "sameturn.yaml",
                &format!(
                    "reference: responses\ntargets:\n{}{}",
                    target("responses", &responses.base_url),
                    target("chat", &chat.base_url)
                ),
            );
        let run = project
            .run(&["check", "--format", "json", "pong.yaml"])
            .exits(code)
            .json();
        let different = rules(&run).iter().any(|rule| rule.starts_with("parity/"));
        assert_eq!(different, code == 1, "{finish}: {:?}", rules(&run));
    }
}

#[test]
fn inspect_reads_chat_captures() {
    let good = pong("stop");
    let lines: String = good
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|rest| format!("{{{rest}\n"))
        .collect();
    let project = Project::new()
        .file("good.sse", &good)
        .file("lines.jsonl", &lines)
        .file("open.sse", &good.replace("data: [DONE]\n\n", ""))
        .file(
            "bad.sse",
            &good.replace("\"total_tokens\":10", "\"total_tokens\":7"),
        );
    let said = project
        .run(&["inspect", "--dialect", "chat", "good.sse", "lines.jsonl"])
        .exits(0);
    assert!(said.stdout.contains("5 events"), "{}", said.stdout);
    assert!(said.stdout.contains("chat.completion.chunk"));
    assert!(said.stdout.contains("pong"), "{}", said.stdout);
    for (file, rule) in [
        ("open.sse", "must chat/done-marker-once"),
        ("bad.sse", "must chat/usage-total"),
    ] {
        let said = project
            .run(&["inspect", "--dialect", "chat", file])
            .exits(1);
        assert!(said.stdout.contains(rule), "{}", said.stdout);
    }
}

/// The decoder against the recordings, which are read here without it.
#[test]
fn real_chats_are_decoded_as_they_read() {
    let Some(folder) = crate::recordings::folder() else {
        return;
    };
    let (mut calls, mut reasoning) = (0, 0);
    for entry in std::fs::read_dir(folder.join("chat")).expect("the recordings") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read_to_string(&path).expect("a readable recording");
        let chunks: Vec<Value> = bytes
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).expect("a chunk"))
            .collect();
        let join = |keys: &[&str]| -> String {
            chunks
                .iter()
                .flat_map(|chunk| keys.iter().map(|key| &chunk["choices"][0]["delta"][*key]))
                .filter_map(Value::as_str)
                .collect()
        };
        let reason = chunks
            .iter()
            .find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str());
        let answers = decode_captures(Dialect::Chat, bytes.as_bytes());
        assert_eq!(answers.len(), 1, "{}", path.display());
        let trace = &answers[0].trace;
        assert_eq!(trace.text(), join(&["content"]), "{}", path.display());
        let thought: String = trace
            .items
            .iter()
            .filter_map(|item| match &item.content {
                Content::Reasoning { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(thought, join(&["reasoning_content", "reasoning"]));
        let stop = match reason {
            Some("stop") => Stop::End,
            Some("length") => Stop::Length,
            Some("tool_calls") => Stop::ToolCalls,
            other => panic!("{}: {other:?}", path.display()),
        };
        assert_eq!((trace.stop, &trace.failure), (Some(stop), &None));
        let last = chunks.last().expect("chunks");
        let usage = trace.usage.expect("every recording has one");
        assert_eq!(Some(usage.input), last["usage"]["prompt_tokens"].as_u64());
        assert_eq!(Some(usage.total), last["usage"]["total_tokens"].as_u64());
        calls += trace.calls().count();
        reasoning += usize::from(!thought.is_empty());
    }
    assert_eq!((calls, reasoning), (1, 4));
}

#[test]
fn real_chat_captures_have_no_finding_that_no_gap_explains() {
    let Some(folder) = crate::recordings::folder() else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.join("chat")).expect("the recordings") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let provider = ["azure", "xai", "groq", "deepseek"]
            .into_iter()
            .find(|word| name.contains(&format!("--{word}-")))
            .map_or("openai", |word| {
                if word == "azure" {
                    "azure-openai"
                } else {
                    word
                }
            });
        let path = path.to_string_lossy();
        let mut arguments = vec!["inspect", "--dialect", "chat", "--provider", provider];
        arguments.push(&path);
        Project::new().run(&arguments).exits(0);
        seen += 1;
    }
    assert!(seen >= 7, "{seen} recordings");
}
