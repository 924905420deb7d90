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
