//! Lanes of a load: the regions of an endpoint, and a dead target beside one that answers.

use serde_json::Value;

use crate::load_ends::answer;
use crate::program::Project;
use crate::stub_server::Stub;

fn load(targets: &str, more: &[&str], code: i32) -> Value {
    let arguments = [&["load", "--format", "json"], more].concat();
    let project = Project::new().file("sameturn.yaml", &format!("targets:\n{targets}"));
    project.run(&arguments).exits(code).json()
}

#[test]
fn an_endpoint_with_a_place_for_the_region_is_loaded_in_each() {
    let stub = Stub::start(answer());
    let origin = stub.base_url.trim_end_matches("/v1");
    let target = format!(
        "  local: {{ provider: openai-compatible, dialect: chat, model: m, regions: [north, south], \
         endpoint: \"{origin}/{{region}}/v1\" }}\n"
    );
    let run = load(&target, &["--requests", "2", "--concurrency", "1"], 0);
    let regions: Vec<&Value> = run["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["region"])
        .collect();
    assert_eq!(regions, ["north", "south"]);
    let asked = stub.requests();
    for region in regions {
        let line = format!("POST /{}/v1/chat/completions ", region.as_str().unwrap());
        let those = asked.iter().filter(|one| one.starts_with(&line));
        assert_eq!(those.count(), 2, "{asked:?}");
    }
}

#[test]
fn who_is_refused_at_the_door_does_not_come_again_at_once() {
    let stub = Stub::start(answer());
    // A port that was free a moment ago.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead_url = format!("http://{}/v1", dead.local_addr().unwrap());
    drop(dead);
    let target = |name: &str, url: &str| {
        format!(
            "  {name}: {{ provider: openai-compatible, dialect: chat, model: m, endpoint: \"{url}\" }}\n"
        )
    };
    let both = target("alive", &stub.base_url) + &target("dead", &dead_url);
    let run = load(&both, &["--duration", "4s", "--concurrency", "2"], 3);
    let requests = |place: usize| run["targets"][place]["requests"].as_u64().unwrap();
    // Two clients that wait 10, 20, 40 ms and so on come about ten times each; without waiting, thousands of times, though
    // the first second of a debug build is spent on what failures are told apart by.
    assert!((2..60).contains(&requests(1)), "{}", requests(1));
    assert!(requests(0) > 0);
}

/// A streamed answer of one word with this usage.
fn counted(usage: &str) -> String {
    let chunk = format!(
        r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"role":"assistant","content":"hi"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {chunk}\n\ndata: [DONE]\n\n"
    )
}

const USAGE: &str = r#"{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1050,"prompt_tokens_details":{"cached_tokens":300,"cache_write_tokens":200}}"#;

/// A target at a server, with more of its fields.
fn chat(name: &str, url: &str, more: &str) -> String {
    format!(
        "  {name}: {{ provider: openai-compatible, dialect: chat, model: m, endpoint: \"{url}\"{more} }}\n"
    )
}

const PRICE: &str = ", price: { input: 2, cached: 0.5, cache_write: 2.5, output: 10 }";
const FOUR: [&str; 5] = ["--requests", "4", "--concurrency", "1", "--yes"];

#[test]
fn what_a_load_has_cost_is_told_where_a_price_is_known() {
    let stub = Stub::start(counted(USAGE));
    let url = &stub.base_url;
    // A model that has a list price: not at somebody else's address.
    let listed = format!(
        "  listed: {{ provider: openai, dialect: chat, model: gpt-5.5, endpoint: \"{url}\" }}\n"
    );
    let targets = format!("targets:\n{}{listed}", chat("known", url, PRICE));
    let project = Project::new()
        .file("sameturn.yaml", &targets)
        .variable("OPENAI_API_KEY", "sk-not-real-0123456789");
    let run = project
        .run(&[&["load", "--format", "json"], &FOUR[..]].concat())
        .exits(0)
        .json();
    let micro_dollars = 500.0 * 2.0 + 300.0 * 0.5 + 200.0 * 2.5 + 50.0 * 10.0;
    let known = &run["targets"][0];
    assert_eq!(known["cost_usd"], 4.0 * micro_dollars / 1e6, "{known}");
    assert_eq!(known["price"]["rates"]["output"], 10.0);
    let listed = &run["targets"][1];
    assert!(listed["cost_usd"].is_null() && listed["price"].is_null());
    assert_eq!(listed["requests"], 4);
}

/// What a load says before it spends, with one more variable.
fn foreseen(variable: &str, value: &str) -> String {
    let targets = "targets:\n  runtime: { provider: bedrock-runtime, model: us.openai.gpt-5.6-sol, \
                   regions: [us-east-1], auth: { bearer_env: A_KEY } }\n";
    let project = Project::new()
        .file("sameturn.yaml", targets)
        .variable("A_KEY", "not-a-real-key-0123456789")
        .variable(variable, value);
    project.run(&["load", "--requests", "1"]).exits(2).stderr
}

#[test]
fn the_providers_own_fips_host_has_its_list_price_and_another_host_has_not() {
    let said = foreseen("AWS_USE_FIPS_ENDPOINT", "true");
    assert!(said.contains("bedrock-runtime-fips."), "{said}");
    assert!(said.contains("$4.40 input"), "{said}");
    let said = foreseen(
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        "https://gateway.example",
    );
    assert!(said.contains("gateway.example"), "{said}");
    assert!(!said.contains("$4.40 input"), "{said}");
}

#[test]
fn what_was_refused_has_cost_nothing() {
    let stub = Stub::start(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
         {\"error\":{\"message\":\"no\"}}",
    );
    let run = load(&chat("refused", &stub.base_url, PRICE), &FOUR, 1);
    let target = &run["targets"][0];
    assert_eq!(
        (&target["requests"], &target["cost_usd"]),
        (&4.into(), &0.0.into())
    );
}

#[test]
fn no_tokens_beside_output_are_no_count() {
    let none = r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
    for (usage, without) in [(none, 4), (USAGE, 0)] {
        let stub = Stub::start(counted(usage));
        let run = load(&chat("one", &stub.base_url, ""), &FOUR, 0);
        let target = &run["targets"][0];
        assert_eq!(target["counts"]["without_usage"], without, "{target}");
        assert_eq!(target["output_tokens_per_s"].is_null(), without > 0);
    }
}
