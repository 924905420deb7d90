//! The folder of a run: readable whenever the run is killed, and free of secrets.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sameturn::report::event::RunEvent;
use sameturn::report::record::Run;
use sameturn::report::store::Store;

use crate::constructed_run::{events, run};

fn redact(text: &str) -> String {
    text.replace("s3cret", "(redacted)")
}

#[test]
fn a_run_that_is_killed_is_readable_after_each_event() {
    let results = tempfile::tempdir().unwrap();
    let id = "20261121T081500Z-4f2a";
    let mut store = Store::create(results.path(), id, true, Box::new(redact)).unwrap();
    assert_eq!(
        fs::read_to_string(results.path().join("latest"))
            .unwrap()
            .trim(),
        id
    );
    let (mut exchanges, mut cells) = (0, 0);
    let all = events();
    for (n, event) in all.iter().enumerate() {
        store.push(event).unwrap();
        match event {
            RunEvent::Exchange(_) => exchanges += 1,
            RunEvent::CellEnded(_) => cells += 1,
            _ => {}
        }
        let text = fs::read_to_string(store.folder().join("run.json")).unwrap();
        let run = Run::read(&text).unwrap();
        assert!(run.cells.len() <= cells);
        assert_eq!(run.interrupted, n + 1 < all.len());
        let turns = fs::read_to_string(store.folder().join("turns.jsonl")).unwrap();
        assert_eq!(turns.lines().count(), exchanges);
        assert!(turns.is_empty() || turns.ends_with('\n'));
    }
    let text = fs::read_to_string(store.folder().join("run.json")).unwrap();
    assert_eq!(Run::read(&text).unwrap(), run(&all));

    let turns = fs::read_to_string(store.folder().join("turns.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(turns.lines().next().unwrap()).unwrap();
    assert_eq!(line["request_body"]["input"], "the (redacted)\nword");
    assert_eq!(line["request_headers"][0][1], "Bearer (redacted)");
    assert_eq!(line["headers_after_ms"], 1.3);
    let stream = store.folder().join(line["stream"].as_str().unwrap());
    assert_eq!(stream.file_name().unwrap(), "text~hello.openai.-.1.1.sse");
    assert_eq!(fs::read(stream).unwrap(), b"data: (redacted) \xff\n\n");
}

#[test]
fn what_ended_is_on_disk_within_a_second() {
    let results = tempfile::tempdir().unwrap();
    let mut store = Store::create(results.path(), "a-run", false, Box::new(redact)).unwrap();
    let all = events();
    // Up to the first end of a cell, then silence: only the clock moves on.
    for event in &all[..4] {
        store.push(event).unwrap();
    }
    let read = |path: PathBuf| Run::read(&fs::read_to_string(path).unwrap()).unwrap();
    let began = std::time::Instant::now();
    loop {
        store.tick().unwrap();
        if read(store.folder().join("run.json")).cells.len() == 1 {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "run.json was not brought up to date"
        );
        std::thread::yield_now();
    }
    assert!(
        !store.folder().join("streams").exists(),
        "streams are kept only where asked"
    );
    let turns = fs::read_to_string(store.folder().join("turns.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(turns.trim()).unwrap();
    assert_eq!(line["response_body"], "data: (redacted) \u{fffd}\n\n");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_its_path() {
    let results = tempfile::tempdir().unwrap();
    let file = results.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::create(&file, "a-run", false, Box::new(redact))
        .err()
        .unwrap();
    assert!(
        error.to_string().contains(file.to_str().unwrap()),
        "{error}"
    );

    let mut store = Store::create(results.path(), "a-run", false, Box::new(redact)).unwrap();
    let twice = Store::create(results.path(), "a-run", false, Box::new(redact))
        .err()
        .unwrap();
    assert_eq!(twice.reason.kind(), std::io::ErrorKind::AlreadyExists);
    let folder = store.folder().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    let all = events();
    let error = store.push(&all[0]).unwrap_err();
    assert!(
        error.path.starts_with(&folder) && error.to_string().starts_with("cannot write `"),
        "{error}"
    );
    // The run goes on, and once the disk is back so is its record.
    for event in &all[1..all.len() - 1] {
        let _ = store.push(event);
    }
    fs::create_dir(&folder).unwrap();
    store.push(&all[all.len() - 1]).unwrap();
    let text = fs::read_to_string(folder.join("run.json")).unwrap();
    assert_eq!(Run::read(&text).unwrap(), run(&all));
}
