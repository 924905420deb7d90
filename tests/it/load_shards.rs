//! Runs of load and what they leave: files, and shards that add up to the run of one machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sameturn::json_schema::Schema;
use sameturn::report::shard_store::{Created, Place};
use sameturn::report::store::format_time;
use serde_json::Value;

use crate::program::{Project, Said};

const SCENARIO: &str =
    "name: text/short\nabout: A word.\nturns:\n  - user: Say a word.\n    expect: { stop: end }\n";

fn project() -> Project {
    Project::new().file("short.yaml", SCENARIO)
}

fn results(project: &Project) -> String {
    project.path("results").display().to_string()
}

/// The flags of a small open loop at a target in two regions, the same for every shard.
fn flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut flags = vec![
        "load",
        "short.yaml",
        "--mocks",
        "--target",
        "mantle",
        "--rate",
        "40",
        "--requests",
        "7",
        "--workers",
        "1",
        "--per-request",
    ];
    flags.extend_from_slice(more);
    flags
}

/// Runs all shards side by side, each told its part by these variables.
fn run_shards(results: &str, run: &str, variables: &dyn Fn(u32) -> Vec<(&'static str, String)>) {
    let children: Vec<_> = (0..3)
        .map(|index| {
            let mut project = project();
            for (name, value) in variables(index) {
                project = project.variable(name, &value);
            }
            let agreed = "2026-01-01T00:00:00Z";
            let more = [
                "--results",
                results,
                "--run",
                run,
                "--shard",
                "env",
                "--start-at",
                agreed,
            ];
            let child = project.start(&flags(&more));
            (project, child)
        })
        .collect();
    for (_project, mut child) in children {
        assert!(child.wait().unwrap().success());
    }
}

/// Slurm's variables, which other engines have as well in other words.
fn slurm(index: u32) -> Vec<(&'static str, String)> {
    vec![
        ("SLURM_ARRAY_TASK_ID", index.to_string()),
        ("SLURM_ARRAY_TASK_COUNT", "3".to_owned()),
    ]
}

fn merge(results: &str, run: &str, more: &[&str]) -> Said {
    let mut flags = vec!["merge", run, "--results", results, "--any-time"];
    flags.extend_from_slice(more);
    Project::new().run(&flags)
}

/// The arrivals in the tables of requests below a folder: region, number and turn, sorted.
fn arrivals(folder: &Path) -> Vec<(String, u64, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("requests.csv") {
                found.extend(table(&path).into_iter().map(|row| {
                    let number = |name: &str| row[name].parse().unwrap();
                    (row["region"].clone(), number("arrival"), number("turn"))
                }));
            }
        }
    }
    found.sort();
    found
}

/// A table without quoted cells.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), names.len(), "{line}");
            let pairs = names.iter().zip(cells);
            pairs
                .map(|(name, cell)| ((*name).to_owned(), cell.to_owned()))
                .collect()
        })
        .collect()
}

/// What must be the same however many machines there are.
fn figures(run: &Value) -> Vec<(String, u64, Value, u64)> {
    let rows = run["targets"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            (
                row["region"].as_str().unwrap().to_owned(),
                row["requests"].as_u64().unwrap(),
                row["errors"].clone(),
                row["e2e_ms"]["n"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn under_every_engine_the_shards_are_the_run_of_one_machine() {
    let whole = project();
    let single = whole.run(&flags(&["--format", "json"])).exits(0).json();
    let expected = arrivals(&whole.run_folder());
    assert_eq!(expected.len(), 14);
    assert_eq!(figures(&single)[0].1, 7);

    type Variables = fn(u32) -> Vec<(&'static str, String)>;
    let engines: [(&str, Variables); 4] = [
        ("kubernetes", |index| {
            vec![
                ("JOB_COMPLETION_INDEX", index.to_string()),
                ("JOB_COMPLETIONS", "3".to_owned()),
            ]
        }),
        ("batch", |index| {
            vec![
                ("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string()),
                ("AWS_BATCH_JOB_ARRAY_SIZE", "3".to_owned()),
            ]
        }),
        ("slurm", slurm),
        ("ci", |index| {
            vec![
                ("CI_NODE_INDEX", (index + 1).to_string()),
                ("CI_NODE_TOTAL", "3".to_owned()),
            ]
        }),
    ];
    let place = project();
    for (engine, variables) in engines {
        run_shards(&results(&place), engine, &variables);
        let merged = merge(&results(&place), engine, &["--format", "json"])
            .exits(0)
            .json();
        assert_eq!(figures(&merged), figures(&single), "{engine}");
        assert_eq!(
            arrivals(&place.path("results").join(engine)),
            expected,
            "{engine}"
        );
        assert_eq!(merged["partial"], Value::Null);
        assert_eq!(merged["run"], engine);
        for shard in merged["shards"].as_array().unwrap() {
            assert!(shard["late_s"].as_f64().unwrap() > 0.0, "{shard}");
            assert_eq!(shard["clock_offset_ms"], Value::Null);
            assert!(shard["requests"].as_u64().unwrap() > 0, "{engine}: {shard}");
        }
    }
}

fn shard_file(results: &str, index: u32) -> PathBuf {
    Path::new(results).join(format!("night/shard-{index:05}-of-00003.json"))
}

#[test]
fn a_merge_says_what_is_missing_and_counts_nothing_twice() {
    let place = project();
    let results = results(&place);
    run_shards(&results, "night", &slurm);
    // One is missing.
    let away = place.path("away.json");
    fs::rename(shard_file(&results, 1), &away).unwrap();
    let said = merge(&results, "night", &["--format", "json"]).exits(3);
    assert_eq!(
        said.json()["partial"],
        serde_json::json!({"missing": [2], "of": 3})
    );
    let text = merge(&results, "night", &[]).exits(3).stdout;
    assert!(
        text.starts_with("sameturn load: PARTIAL, shard 2 of 3 missing: "),
        "{text}"
    );
    // It comes after all: what was merged before is replaced only on demand.
    fs::rename(&away, shard_file(&results, 1)).unwrap();
    let refused = merge(&results, "night", &[]).exits(2);
    assert!(
        refused.stderr.contains("`--force` replaces it"),
        "{}",
        refused.stderr
    );
    // Nor does the report point at what says something else.
    assert!(
        refused.stdout.ends_with("\nexit code 2\n"),
        "{}",
        refused.stdout
    );
    let whole = merge(&results, "night", &["--force", "--format", "json"]).exits(0);
    assert_eq!(whole.json()["partial"], Value::Null);
    // Merged again it is the same, by its folder too.
    let folder = Path::new(&results).join("night");
    let again = Project::new().run(&[
        "merge",
        folder.to_str().unwrap(),
        "--any-time",
        "--format",
        "json",
    ]);
    assert_eq!(again.exits(0).stdout, whole.stdout);
    assert_eq!(
        fs::read_to_string(folder.join("load.json")).unwrap(),
        whole.stdout
    );
    // The same shard under another name.
    fs::copy(shard_file(&results, 0), folder.join("shard-0-of-3.json")).unwrap();
    let twice = merge(&results, "night", &["--force"]).exits(2);
    assert!(
        twice.stderr.contains("shard 1 of 3 is there twice"),
        "{}",
        twice.stderr
    );
}

#[test]
fn what_a_merge_cannot_keep_it_still_shows() {
    let place = project();
    let results = results(&place);
    run_shards(&results, "night", &slurm);
    fs::create_dir(Path::new(&results).join("night/load.json")).unwrap();
    let said = merge(&results, "night", &[]).exits(2);
    assert!(said.stdout.contains("requests"), "{}", said.stdout);
    assert!(said.stderr.contains("load.json"), "{}", said.stderr);
}

#[test]
fn a_shard_is_written_once() {
    let place = project();
    let results = results(&place);
    let shard = ["--results", &results, "--run", "night", "--shard", "1/3"];
    place.run(&flags(&shard)).exits(0);
    let first = fs::read(shard_file(&results, 0)).unwrap();
    // Again: it is there, so nothing is sent.
    let again = place.run(&flags(&shard)).exits(0);
    assert!(
        again
            .stderr
            .contains("shard 1 of 3 of run night is there already"),
        "{}",
        again.stderr
    );
    assert_eq!(again.stdout, "");
    // Of another plan: it would never add up.
    let mut other = flags(&shard);
    other.extend(["--seed", "9"]);
    let refused = place.run(&other).exits(2);
    assert!(
        refused.stderr.contains("they differ in the seed: 9 and 1"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(shard_file(&results, 0)).unwrap(), first);
}

/// Starts an attempt that waits for its start, puts another's record there meanwhile, and says how it ended.
fn race(change: &dyn Fn(&str) -> String) -> Option<i32> {
    let place = project();
    let results = results(&place);
    let shard = ["--results", &results, "--run", "night", "--shard", "3/3"];
    place.run(&flags(&shard)).exits(0);
    let file = shard_file(&results, 2);
    let winner = change(&fs::read_to_string(&file).unwrap());
    fs::remove_file(&file).unwrap();
    let attempts = || {
        let entries = fs::read_dir(file.parent().unwrap()).unwrap();
        let folders = entries.filter(|entry| entry.as_ref().is_ok_and(|one| one.path().is_dir()));
        folders.count()
    };
    let before = attempts();
    let soon = format_time(SystemTime::now() + Duration::from_secs(6));
    let mut late = flags(&shard);
    late.extend(["--start-at", &soon]);
    let mut child = place.start(&late);
    // Its folder is made after it has seen that nobody was first.
    while attempts() == before {
        std::thread::yield_now();
    }
    fs::write(&file, &winner).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        winner,
        "the first one stays"
    );
    code
}

#[test]
fn the_loser_of_a_race_says_whether_it_matters() {
    assert_eq!(race(&|record| record.to_owned()), Some(0));
    let other = |record: &str| {
        let mut record: Value = serde_json::from_str(record).unwrap();
        record["lanes"][0]["counts"]["requests"] = 1000.into();
        record.to_string()
    };
    assert_eq!(race(&other), Some(3));
}

#[tokio::test]
async fn a_place_creates_and_never_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    place.probe("night").await.unwrap();
    let name = "shard-00000-of-00001.json";
    assert_eq!(
        place.create("night", name, b"first").await.unwrap(),
        Created::Yes
    );
    let there = Created::Already(b"first".to_vec());
    assert_eq!(place.create("night", name, b"second").await.unwrap(), there);
    let shards = place.shards("night").await.unwrap();
    assert_eq!(shards, [(name.to_owned(), b"first".to_vec())]);
    let left = fs::read_dir(folder.path().join("night")).unwrap().count();
    assert_eq!(left, 1, "no other file stays");
}

#[test]
fn a_run_leaves_its_files() {
    let project = project();
    let said = project.run(&flags(&["--format", "json"])).exits(0);
    let run = said.json();
    let folder = project.run_folder();
    assert_eq!(
        fs::read_to_string(folder.join("load.json")).unwrap(),
        said.stdout
    );
    // The document is what its schema says, and a document without a key is not.
    let schema = project.run(&["schema", "load"]).exits(0).json();
    let schema = Schema::compile(&schema).unwrap();
    schema.check(&run).unwrap();
    for path in ["/schema", "/targets/0/ttft_ms/p99", "/harness/cpu_s"] {
        let mut cut = run.clone();
        let (parent, key) = path.rsplit_once('/').unwrap();
        let object = cut.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        assert!(object.remove(key).is_some(), "{path}");
        assert!(schema.check(&cut).is_err(), "{path}");
    }
    assert_eq!(run["ended"], "planned");
    // 7 requests are too few for all but the median.
    let ttft = &run["targets"][0]["ttft_ms"];
    assert!(ttft["p50"].is_f64() && ttft["p95"].is_null(), "{ttft}");
    assert_eq!(ttft["intervals"]["p50"].as_array().unwrap().len(), 2);
    let share = &run["targets"][0]["error_share"];
    assert_eq!(share["value"], 0.0);
    assert!(share["high"].as_f64().unwrap() > 0.3, "{share}");
    // Each request is in one second of one target.
    let series = table(&folder.join("series.csv"));
    let sum = |name: &str| -> u64 {
        series
            .iter()
            .map(|row| row[name].parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(
        (sum("started"), sum("finished"), sum("ttft_n")),
        (14, 14, 14)
    );
    assert_eq!(table(&folder.join("requests.csv")).len(), 14);
    let log = fs::read_to_string(folder.join("intervals.hlog")).unwrap();
    assert!(log.contains("\nTag=mantle@us-east-1:ttft,"), "{log}");
}

#[test]
fn a_run_that_is_killed_leaves_what_it_had() {
    let project = project();
    let mut child = project.start(&[
        "load",
        "short.yaml",
        "--mocks",
        "--target",
        "openai",
        "--rate",
        "40",
        "--duration",
        "10m",
    ]);
    let file = || project.run_folder().join("load.json");
    let requests = || -> u64 {
        let text = fs::read_to_string(file()).unwrap_or_default();
        let run: Value = serde_json::from_str(&text).unwrap_or_default();
        let count = run.pointer("/targets/0/requests");
        count.and_then(Value::as_u64).unwrap_or_default()
    };
    // The document is written every few seconds, rows when all workers have told of a second.
    let written = || {
        let rows = fs::read_to_string(project.run_folder().join("series.csv"));
        requests() > 0 && rows.is_ok_and(|rows| rows.lines().count() > 1)
    };
    while !project.path("results/latest").exists() || !written() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run: Value = serde_json::from_str(&fs::read_to_string(file()).unwrap()).unwrap();
    assert_eq!(run["ended"], "running");
    assert!(requests() > 0);
    assert!(!table(&project.run_folder().join("series.csv")).is_empty());
}

#[test]
fn what_cannot_be_written_is_known_before_anything_is_sent() {
    let project = project().file("taken", "");
    let said = project.run(&flags(&["--results", "taken"])).exits(2);
    assert!(
        said.stderr.contains("cannot create the folder `taken"),
        "{}",
        said.stderr
    );
    for (more, expected) in [
        (
            vec!["--results", "s3://b/p"],
            "an object store takes the shards",
        ),
        (vec!["--run", "../x"], "cannot be the name of a run"),
        (
            vec!["--run", "x", "--shard", "4/3"],
            "there is no shard 4 of 3",
        ),
        (
            vec!["--run", "x", "--shard", "env"],
            "does not say which shard this is",
        ),
        (vec!["--start-at", "noon"], "is not a time such as"),
        (vec!["--shard", "1/3"], "--run <NAME>"),
    ] {
        let said = project.run(&flags(&more)).exits(2);
        assert!(said.stderr.contains(expected), "{more:?}: {}", said.stderr);
    }
    assert!(!project.path("results").exists());
}
