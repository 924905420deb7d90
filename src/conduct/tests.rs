//! What cells come to, with answers from memory.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::catalog;
use crate::conduct::cell::{CellOutcome, Conductor, Lane};
use crate::conduct::identity::{Identities, Identity};
use crate::dialect::Dialect;
use crate::dialect::agentcore::mapping::Mapping;
use crate::plan::{self, PlannedScenario, PlannedTarget};
use crate::report::event::Verdict;
use crate::scenario;
use crate::target::model::Auth;
use crate::transport::Limits;
use crate::transport::memory::{Asked, Memory, answer};
use crate::turn::exchange::Exchange;

const PONG: &str = "
name: a/pong
about: A word.
stream: false
turns:
  - user: ping
    expect: { text: { contains: pong } }
";

const LOOP: &str = "
name: a/loop
about: A call and its answer.
stream: false
tools:
  look: { description: Looks., parameters: { type: object, properties: {} } }
turns:
  - user: look
  - results: { look: seen }
";

fn whole(output: Value, total: u64) -> Exchange {
    let body = json!({
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "error": null, "incomplete_details": null, "output": output,
        "usage": {
            "input_tokens": 1, "output_tokens": 1, "total_tokens": total,
            "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens_details": { "reasoning_tokens": 0 },
        },
    });
    answer(200, "application/json", body.to_string())
}

fn says(text: &str) -> Value {
    json!([{
        "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }],
    }])
}

fn calls() -> Value {
    json!([{
        "id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1",
        "name": "look", "arguments": "{}",
    }])
}

async fn run(text: &str, answers: Vec<Exchange>) -> (CellOutcome, usize) {
    let (outcome, asked) = run_and_ask(text, answers).await;
    (outcome, asked.len())
}

async fn run_and_ask(text: &str, answers: Vec<Exchange>) -> (CellOutcome, Vec<Asked>) {
    let catalog = catalog::shipped();
    let provider = catalog.provider("openai-compatible").expect("it is there");
    let target = PlannedTarget {
        name: "server".to_owned(),
        provider: provider.clone(),
        dialect: Dialect::Responses,
        model: "m".to_owned(),
        region: None,
        route: plan::route(
            provider,
            None,
            "responses",
            None,
            Some("http://127.0.0.1:1/v1"),
        )
        .expect("a route"),
        auth: Some(Auth::BearerEnv("A_KEY".to_owned())),
        guardrail: None,
        headers: Vec::new(),
        agent: Mapping::default(),
        endpoint_from: None,
        warnings: Vec::new(),
        mocked: false,
        unknown_faults: Vec::new(),
    };
    let environment = Environment::default().with("A_KEY", "a-key-for-tests");
    let identities = Identities {
        own: Identity::own(environment, target.auth.clone()),
        denied: None,
        expired: None,
        headers: Vec::new(),
    };
    let conductor = Conductor {
        transport: Memory::new(answers),
        catalog,
        limits: Limits::CHECK,
        keep_streams: false,
        seen: Arc::new(Seen::new(false)),
        sign_ins: Default::default(),
    };
    let (events, _kept) = unbounded_channel();
    let planned = PlannedScenario {
        scenario: scenario::read::read("test.yaml", text).expect("a scenario"),
        digest: String::new(),
        origin: String::new(),
    };
    let mut lane = Lane::new(&conductor, 0, &target, &identities, events);
    let outcome = lane.run(0, &planned).await;
    (outcome, conductor.transport.asked())
}

fn rules(outcome: &CellOutcome) -> Vec<&str> {
    outcome
        .result
        .findings
        .iter()
        .map(|judged| judged.finding.rule.as_str())
        .collect()
}

#[tokio::test]
async fn a_good_answer_passes_and_a_wrong_one_fails() {
    let (good, _) = run(PONG, vec![whole(says("pong"), 2)]).await;
    assert_eq!((good.result.verdict, rules(&good)), (Verdict::Pass, vec![]));
    let (bad, _) = run(PONG, vec![whole(says("no"), 2)]).await;
    assert_eq!(
        (bad.result.verdict, rules(&bad)),
        (Verdict::Fail, vec!["expect/text"])
    );
}

#[tokio::test]
async fn a_loop_goes_on_with_the_results_of_the_script() {
    let (done, sent) = run(LOOP, vec![whole(calls(), 2), whole(says("seen"), 2)]).await;
    assert_eq!(
        (done.result.verdict, sent),
        (Verdict::Pass, 2),
        "{:?}",
        done.result
    );
}

#[tokio::test]
async fn a_script_that_cannot_go_on_is_never_a_pass() {
    let (stuck, sent) = run(LOOP, vec![whole(says("no call"), 2)]).await;
    assert_eq!(sent, 1);
    assert_eq!(
        (stuck.result.verdict, rules(&stuck)),
        (Verdict::Fail, vec!["expect/script-goes-on"])
    );
}

#[tokio::test]
async fn who_cannot_be_reached_is_undetermined_whoever_asks() {
    let (gone, _) = run(PONG, vec![]).await;
    assert_eq!(gone.result.verdict, Verdict::Undetermined);
    let staged = PONG.replace(
        "stream: false",
        "stream: false\ngiven: { credentials: invalid }",
    );
    let (gone, sent) = run(&staged, vec![]).await;
    assert_eq!(
        (gone.result.verdict, sent),
        (Verdict::Undetermined, 1),
        "{:?}",
        gone.result
    );
}

#[tokio::test]
async fn what_was_found_stays_found_when_the_rest_is_unknown() {
    let (half, sent) = run(LOOP, vec![whole(calls(), 7)]).await;
    assert_eq!(sent, 2);
    assert_eq!(
        (half.result.verdict, rules(&half)),
        (Verdict::Fail, vec!["responses/usage-total"])
    );
}

#[tokio::test]
async fn a_refused_key_says_nothing_about_the_provider() {
    let refusal = |status, code: &str| {
        let body =
            json!({ "error": { "message": "no", "type": "x", "param": null, "code": code } });
        answer(status, "application/json", body.to_string())
    };
    let (refused, _) = run(PONG, vec![refusal(401, "invalid_api_key")]).await;
    assert_eq!(refused.result.verdict, Verdict::Undetermined);
    assert!(refused.result.reason.starts_with("invalid_credentials"));
    let (denied, _) = run(PONG, vec![refusal(403, "access_denied")]).await;
    assert_eq!(denied.result.verdict, Verdict::Fail);
    let expecting = PONG.replace(
        "expect: { text: { contains: pong } }",
        "expect: { failure: invalid_credentials }",
    );
    let (expected, _) = run(&expecting, vec![refusal(401, "invalid_api_key")]).await;
    assert_eq!(expected.result.verdict, Verdict::Pass);
}

const BACKGROUND: &str = "
name: a/background
about: A word, later.
stream: false
limits: { total: 600ms }
settings: { background: true, store: true }
turns:
  - user: ping
    expect: { text: { contains: pong } }
";

/// A response that is still worked on; without an id where `id` is null.
fn working(id: Value) -> Exchange {
    let body = json!({
        "id": id, "object": "response", "created_at": 1, "model": "m", "status": "in_progress",
        "error": null, "incomplete_details": null, "output": [], "usage": null, "background": true,
    });
    answer(200, "application/json", body.to_string())
}

#[tokio::test]
async fn what_is_worked_on_in_the_background_is_asked_for_until_it_is_finished() {
    let answers = vec![
        working(json!("resp_1")),
        working(json!("resp_1")),
        whole(says("pong"), 2),
    ];
    let text = BACKGROUND.replace("600ms", "10s");
    let (done, asked) = run_and_ask(&text, answers).await;
    assert_eq!((done.result.verdict, rules(&done)), (Verdict::Pass, vec![]));
    let asked: Vec<(&str, &str, bool)> = asked
        .iter()
        .map(|one| (one.method, one.url.as_str(), one.body.is_empty()))
        .collect();
    let again = ("GET", "http://127.0.0.1:1/v1/responses/resp_1", true);
    assert_eq!(
        asked,
        [
            ("POST", "http://127.0.0.1:1/v1/responses", false),
            again,
            again
        ]
    );
}

#[tokio::test]
async fn a_background_response_that_never_comes_fails() {
    // Finished at once is legal.
    let (done, sent) = run(BACKGROUND, vec![whole(says("pong"), 2)]).await;
    assert_eq!((done.result.verdict, sent), (Verdict::Pass, 1));
    let never = vec![working(json!("resp_1")); 3];
    for (answers, class) in [
        (never, "timed_out"),
        (vec![working(Value::Null)], "bad_response"),
        (
            vec![
                working(json!("resp_1")),
                answer(
                    404,
                    "application/json",
                    "{\"error\":{\"message\":\"Response not found.\"}}",
                ),
            ],
            "response_not_found",
        ),
    ] {
        let (bad, _) = run(BACKGROUND, answers).await;
        assert_eq!(bad.result.failure.as_deref(), Some(class));
        assert!(rules(&bad).contains(&"expect/failure"), "{:?}", bad.result);
        assert_eq!(bad.result.verdict, Verdict::Fail);
    }
}

#[tokio::test]
async fn a_stored_conversation_is_continued_by_its_id() {
    let text = LOOP.replace("stream: false", "stream: false\nconversation: stored");
    let (done, asked) = run_and_ask(&text, vec![whole(calls(), 2), whole(says("seen"), 2)]).await;
    assert_eq!(done.result.verdict, Verdict::Pass, "{:?}", done.result);
    let bodies: Vec<Value> = asked
        .iter()
        .map(|one| serde_json::from_slice(&one.body).expect("JSON"))
        .collect();
    assert_eq!(bodies[0]["previous_response_id"], Value::Null);
    assert_eq!(bodies[1]["previous_response_id"], "resp_1");
    assert_eq!(bodies[0]["store"], true);
    let input = bodies[1]["input"].as_array().expect("a list");
    assert_eq!(input.len(), 1, "{input:?}");
    assert_eq!(input[0]["type"], "function_call_output");

    let nameless = String::from_utf8_lossy(&whole(calls(), 2).body).replace("\"resp_1\"", "null");
    let (stuck, sent) = run(&text, vec![answer(200, "application/json", nameless)]).await;
    assert_eq!(sent, 1);
    assert!(
        rules(&stuck).contains(&"expect/script-goes-on"),
        "{:?}",
        stuck.result
    );
}
