//! Outside readers of what a load leaves behind, and of the examples of how to start one on several machines.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{installed, python, told};
use crate::program::Project;

/// The interval log is read by the reader of HdrHistogram in another language, and says what the document says.
#[tokio::test]
async fn a_reader_of_others_finds_every_value_of_the_interval_log() {
    let Some(reader) = installed("node_modules/hdr-histogram-js") else {
        return;
    };
    let project = Project::new();
    let said = project
        .run(&[
            "load",
            "--mocks",
            "--target",
            "openai",
            "--concurrency",
            "4",
            "--requests",
            "24",
            "--output-tokens",
            "8",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    let log = project.run_folder().join("intervals.hlog");
    let arguments = [&*reader.to_string_lossy(), &*log.to_string_lossy()];
    let read = told(Path::new("node"), "interval_log.js", &arguments).await;
    let target = &run["targets"][0];
    for (measure, key) in [("ttft", "ttft_ms"), ("itl", "itl_ms"), ("e2e", "e2e_ms")] {
        let (told, kept) = (&read[format!("openai:{measure}")], &target[key]);
        assert!(told["n"].as_u64() > Some(0), "{measure}: {read}");
        assert_eq!(told["n"], kept["n"], "{measure}");
        let ratio = told["p50"].as_f64().unwrap() / kept["p50"].as_f64().unwrap();
        assert!((ratio - 1.0).abs() < 0.002, "{measure}: {told} {kept}");
    }
}

/// The examples are what their engines take; with one word changed they are not.
#[tokio::test]
async fn examples_of_arrays_are_what_their_engines_take() {
    let Some(python) = python() else {
        return;
    };
    let home = TempDir::new().unwrap();
    for (engine, file, word, wrong) in [
        (
            "kubernetes",
            "k8s-indexed-job.yaml",
            "completionMode:",
            "completionModes:",
        ),
        (
            "kubernetes",
            "k8s-indexed-job.yaml",
            "completions: 3",
            "completions: three",
        ),
        ("batch", "aws-batch.json", "\"size\": 3", "\"size\": \"3\""),
        ("batch", "aws-batch.json", "\"jobQueue\"", "\"queue\""),
        (
            "batch",
            "aws-batch.json",
            "\"resourceRequirements\"",
            "\"resources\"",
        ),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(file);
        let complaints = told(&python, "manifests.py", &[engine, &path.to_string_lossy()]).await;
        assert_eq!(complaints, Value::Array(Vec::new()), "{file}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(word), "{file}: {word}");
        let changed = home.path().join(file);
        std::fs::write(&changed, text.replacen(word, wrong, 1)).unwrap();
        let complaints = told(
            &python,
            "manifests.py",
            &[engine, &changed.to_string_lossy()],
        )
        .await;
        assert_ne!(complaints, Value::Array(Vec::new()), "{file}: {wrong}");
    }
}
