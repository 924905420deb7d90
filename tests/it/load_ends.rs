//! How conversations of a load end that do not come to their last turn, and what later turns wait for.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::load::{at, count, keyed};
use crate::stub_server::Stub;

/// A whole streamed answer of the Chat API.
pub(crate) fn answer() -> Vec<u8> {
    let body = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
        \"delta\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

fn two_turns(think: &str) -> String {
    format!(
        "name: mine/chat\nabout: Two turns.\nturns:\n  - user: hello\n  - user: again\n    think: {think}\n"
    )
}

#[test]
fn who_is_cut_while_thinking_is_counted() {
    let stub = Stub::answering(|_| answer());
    let project = keyed().file("mine.yaml", &two_turns("5m"));
    let flags = [
        "mine.yaml",
        "--dialect",
        "chat",
        "--concurrency",
        "2",
        "--duration",
        "1s",
        "--timeout",
        "2s",
    ];
    let run = project.run(&at(&stub.base_url, &flags)).exits(0).json();
    let target = &run["targets"][0];
    assert_eq!(
        ["conversations", "stuck", "cut"].map(|name| count(target, name)),
        [2, 2, 0],
        "{target}"
    );
    assert_eq!(target["requests"], 2);
}

#[cfg(unix)]
#[test]
fn the_first_ctrl_c_begins_no_further_turn() {
    let stub = Stub::answering(|_| answer());
    let project = keyed().file("mine.yaml", &two_turns("100s"));
    let flags = [
        "mine.yaml",
        "--dialect",
        "chat",
        "--concurrency",
        "2",
        "--duration",
        "10m",
    ];
    let mut child = project.start(&at(&stub.base_url, &flags));
    while stub.requests().len() < 2 {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it ended before it was told to"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = i32::try_from(child.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let target = &run["targets"][0];
    assert_eq!(
        ["conversations", "stuck", "cut"].map(|name| count(target, name)),
        [2, 2, 0],
        "{target}"
    );
    assert_eq!(stub.requests().len(), 2);
}

#[test]
fn a_later_turn_waits_for_the_end_of_a_back_off_and_is_charged_for_it() {
    // The think time is long enough for a debug build to compile the patterns of failures, which the refusal needs.
    let asked = AtomicUsize::new(0);
    let stub = Stub::answering(move |_| {
        match asked.fetch_add(1, Ordering::SeqCst) {
        1 => b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 10\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_vec(),
        _ => answer(),
    }
    });
    let project = keyed()
        .file("mine.yaml", &two_turns("8s"))
        .file("trace.csv", "at\n0.0\n0.5\n");
    let flags = [
        "mine.yaml",
        "--dialect",
        "chat",
        "--arrivals",
        "trace.csv",
        "--per-request",
    ];
    let run = project.run(&at(&stub.base_url, &flags)).exits(0).json();
    let target = &run["targets"][0];
    assert_eq!(target["requests"], 3, "{target}");
    let rows = std::fs::read_to_string(project.run_folder().join("requests.csv")).unwrap();
    let mut lines = rows.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let of = |arrival: &str, turn: &str, name: &str| -> f64 {
        let column = |name: &str| head.iter().position(|one| *one == name).unwrap();
        let row = lines
            .iter()
            .find(|row| row[column("arrival")] == arrival && row[column("turn")] == turn)
            .unwrap();
        row[column(name)].parse().unwrap()
    };
    let refused = of("1", "0", "begun_ms") + of("1", "0", "ended_ms");
    let begun = of("0", "1", "begun_ms");
    // Times in the file have three decimals.
    assert!(
        begun >= refused + 9999.9,
        "{begun} after {refused}:\n{rows}"
    );
    let waited = begun - of("0", "1", "intended_ms");
    assert!(waited > 2000.0, "{waited}:\n{rows}");
    let measures = &target["measures_ms"];
    assert!(measures["response"]["max"].as_f64().unwrap() >= waited * 0.99);
    assert!(
        measures["start_lag"]["max"].as_f64().unwrap() < waited,
        "{measures}"
    );
}
