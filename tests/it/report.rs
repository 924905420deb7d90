//! One constructed run through every report, and the folder of a run.
//!
//! `UPDATE=1 cargo test` rewrites the files under `tests/it/reports/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sameturn::check::finding::{Evidence, Finding, Severity};
use sameturn::report::event::{
    Cell, CellResult, ExchangeRecord, Judged, KnownGap, Placed, RunEvent, RunPlan, ScenarioSummary,
    StaleGap, TargetSummary, Verdict,
};
use sameturn::report::record::{CellVerdict, ReadError, Run, RunVerdict};
use sameturn::report::store::Store;
use sameturn::report::summary::RunSummary;
use sameturn::report::{console, junit, markdown};

/// Escape sequence, end of CDATA, table bar, newline, HTML, link, mention, right-to-left override.
const HOSTILE: &str = "\x1b[2J\x1b[31mPWNED]]>|a\nb\r<script>x</script> [t](https://evil.example) @all `c` \u{202e}\u{9b}\0 &amp; 東京";

fn target(name: &str, provider: &str, model: &str, region: Option<&str>) -> TargetSummary {
    TargetSummary {
        name: name.to_owned(),
        provider: provider.to_owned(),
        dialect: "responses".to_owned(),
        model: model.to_owned(),
        region: region.map(str::to_owned),
        endpoint: format!("http://127.0.0.1:4010/{name}/{}", region.unwrap_or("v1")),
        mocked: true,
    }
}

fn plan(repeat: u32) -> RunPlan {
    let targets = vec![
        target("openai", "openai", "gpt-5.5", None),
        target(
            "mantle",
            "bedrock-mantle",
            "openai.gpt-5.5",
            Some("us-east-1"),
        ),
        target(
            "mantle",
            "bedrock-mantle",
            "openai.gpt-5.5",
            Some("us-east-2"),
        ),
        target(
            "mantle",
            "bedrock-mantle",
            "openai.gpt-5.5",
            Some("us-west-2"),
        ),
    ];
    let scenarios: Vec<ScenarioSummary> = [
        "text/hello",
        "tools/weather",
        "failures/throttled",
        "tools/custom",
        "text/large-prompt",
    ]
    .map(|name| ScenarioSummary {
        name: name.to_owned(),
        about: format!("About {name}."),
        digest: "d1".repeat(32),
        origin: if name == "tools/weather" {
            "my scenarios/weather.yaml"
        } else {
            "built in"
        }
        .to_owned(),
    })
    .to_vec();
    let mut cells = Vec::new();
    for scenario in 0..scenarios.len() {
        for target in 0..targets.len() {
            cells.extend((1..=repeat).map(|repeat| Cell {
                scenario,
                target,
                repeat,
            }));
        }
    }
    RunPlan {
        run_id: "20261121T081500Z-4f2a".to_owned(),
        started_at: "2026-11-21T08:15:00Z".to_owned(),
        mode: "built-in mocks: no credentials and no network".to_owned(),
        seed: 7,
        repeat,
        reference: "openai".to_owned(),
        targets,
        scenarios,
        cells,
    }
}

fn gap(id: &str) -> KnownGap {
    KnownGap {
        id: id.to_owned(),
        about: "Call ids start again with each answer.".to_owned(),
        consequence: "An agent that keys its state by call id mixes up two calls.".to_owned(),
        source: "observed on the wire".to_owned(),
        date: "2026-11-02".to_owned(),
    }
}

fn finding(rule: &str, severity: Severity, message: &str) -> Finding {
    Finding {
        rule: rule.to_owned(),
        severity,
        message: message.to_owned(),
        evidence: Evidence {
            turn: Some(2),
            event: Some(17),
            expected: Some("one terminal event".to_owned()),
            got: Some("two".to_owned()),
            excerpt: Some(HOSTILE.to_owned()),
        },
        cause: Some("The server answers the same request twice.".to_owned()),
        fix: Some("Stop reading at the first terminal event.".to_owned()),
    }
}

fn open(finding: Finding) -> Judged {
    Judged { finding, gap: None }
}

fn ended(cell: usize, verdict: Verdict, reason: &str, findings: Vec<Judged>) -> CellResult {
    let ran = !matches!(verdict, Verdict::NotApplicable | Verdict::Undetermined);
    let times = |millis: u64| {
        if ran {
            vec![Duration::from_micros(millis * 1000 + 40)]
        } else {
            Vec::new()
        }
    };
    CellResult {
        cell,
        verdict,
        reason: reason.to_owned(),
        failure: None,
        ttft: times(100 + 10 * cell as u64),
        total: times(400 + 10 * cell as u64),
        findings,
        outline: if ran {
            vec!["calls get_weather → text".to_owned()]
        } else {
            Vec::new()
        },
    }
}

fn exchange(cell: usize) -> ExchangeRecord {
    ExchangeRecord {
        cell,
        turn: 1,
        digest: "ab".repeat(32),
        method: "POST".to_owned(),
        url: "http://127.0.0.1:4010/v1/responses".to_owned(),
        request_headers: vec![("authorization".to_owned(), "Bearer s3cret".to_owned())],
        request_body: r#"{"model":"gpt-5.5","input":"the s3cret\nword","stream":true}"#.to_owned(),
        status: Some(200),
        response_headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        end: "complete".to_owned(),
        failure: None,
        headers_after: Some(Duration::from_micros(1250)),
        ttft: Some(Duration::from_micros(100_040)),
        total: Some(Duration::from_micros(400_060)),
        response_bytes: 12,
        events: 3,
        response_body: Some(b"data: s3cret \xff\n\n".to_vec()),
    }
}

/// Every kind of verdict and finding, once at least.
fn events() -> Vec<RunEvent> {
    let plan = plan(1);
    let twice = || {
        open(finding(
            "responses/one-terminal-event",
            Severity::Must,
            "Two terminal events in one answer.",
        ))
    };
    let mut results = Vec::new();
    for (index, cell) in plan.cells.iter().enumerate() {
        let (scenario, place) = (plan.scenarios[cell.scenario].name.as_str(), cell.target);
        results.push(match (scenario, place) {
            ("tools/weather", 1 | 2) => ended(index, Verdict::Fail, "", vec![twice()]),
            ("tools/weather", 3) => {
                let known = finding(
                    "expect/fresh-call-ids",
                    Severity::Must,
                    "The id call_0 was used before.",
                );
                let judged = Judged {
                    finding: known,
                    gap: Some(gap("mantle/call-ids-restart")),
                };
                ended(index, Verdict::KnownGap, "", vec![judged])
            }
            ("failures/throttled", _) => CellResult {
                failure: Some("throttled".to_owned()),
                ttft: Vec::new(),
                ..ended(index, Verdict::Pass, "", Vec::new())
            },
            ("tools/custom", 1..) => ended(
                index,
                Verdict::NotApplicable,
                "bedrock-mantle has no custom tools",
                Vec::new(),
            ),
            ("text/large-prompt", 3) => {
                let mut told = finding("expect/no-failure", Severity::Info, "The session expired.");
                told.fix = Some("Run `aws sso login`.".to_owned());
                CellResult {
                    failure: Some("credentials_expired".to_owned()),
                    ..ended(
                        index,
                        Verdict::Undetermined,
                        "credentials_expired before a request left",
                        vec![open(told)],
                    )
                }
            }
            ("text/hello", 2) => {
                let odd = finding(
                    "responses/ids-are-stable",
                    Severity::Should,
                    &format!("The name is {HOSTILE}."),
                );
                ended(index, Verdict::Pass, "", vec![open(odd)])
            }
            _ => ended(index, Verdict::Pass, "", Vec::new()),
        });
    }
    let parity = finding(
        "parity/calls",
        Severity::Must,
        "The answer has no call where the reference has one.",
    );
    let mut events = vec![RunEvent::Started(plan)];
    for result in results {
        events.push(RunEvent::CellStarted { cell: result.cell });
        if !result.total.is_empty() {
            events.push(RunEvent::Exchange(Box::new(exchange(result.cell))));
        }
        events.push(RunEvent::CellEnded(Box::new(result)));
    }
    events.push(RunEvent::Ended {
        interrupted: false,
        finished_at: "2026-11-21T08:15:42Z".to_owned(),
        // `text/hello` at mantle us-west-2.
        findings: vec![Placed {
            cell: 3,
            judged: open(parity),
        }],
        stale_gaps: vec![StaleGap {
            gap: gap("mantle/no-usage"),
            target: 2,
        }],
    });
    events
}

fn run(events: &[RunEvent]) -> Run {
    Run::new(&RunSummary::fold(events).expect("the run started"))
}

fn settings(width: usize, colour: bool) -> console::Settings {
    console::Settings {
        width,
        colour,
        command: "sameturn check".to_owned(),
        results: Some("results/20261121T081500Z-4f2a".to_owned()),
        exit_code: 1,
    }
}

/// Compares with a file, the version left out; `UPDATE=1` writes it.
fn same_as_file(name: &str, text: &str) {
    let text = text
        .replace(
            concat!("sameturn ", env!("CARGO_PKG_VERSION")),
            "sameturn VERSION",
        )
        .replace(
            concat!("version ", env!("CARGO_PKG_VERSION")),
            "version VERSION",
        )
        .replace(
            concat!("\"version\": \"", env!("CARGO_PKG_VERSION")),
            "\"version\": \"VERSION",
        );
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/reports")
        .join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).expect("the file of the report can be written");
        return;
    }
    let expected = fs::read_to_string(&path).expect("the file of the report is there");
    assert!(
        text == expected,
        "{name} differs (UPDATE=1 rewrites it); got:\n{text}"
    );
}

#[test]
fn the_console_at_two_widths() {
    let run = run(&events());
    for width in [100, 48] {
        let text = console::render(&run, &settings(width, false));
        for line in text.lines() {
            assert!(
                unicode_width::UnicodeWidthStr::width(line) <= width,
                "too wide: {line}"
            );
        }
        same_as_file(&format!("console-{width}.txt"), &text);
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let run = run(&events());
    let strip = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
    let coloured = console::render(&run, &settings(100, true));
    let plain = console::render(&run, &settings(100, false));
    assert_ne!(coloured, plain);
    assert_eq!(strip.replace_all(&coloured, ""), plain);
}

#[test]
fn nothing_from_outside_acts_on_the_reader() {
    let run = run(&events());
    let forbidden =
        |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    for text in [
        console::render(&run, &settings(100, false)),
        markdown::render(&run),
        junit::render(&run).unwrap(),
    ] {
        assert!(text.contains("PWNED"));
        assert!(!text.contains(forbidden), "{text}");
    }
    // Inside a fence markup is text, and a fence is longer than any in its text.
    let text = markdown::render(&run);
    let outside: String = text.split("```").step_by(2).collect();
    assert!(
        text.contains("<script") && !outside.contains("<script") && !outside.contains("https://")
    );
}

#[test]
fn repeats_are_counted() {
    let plan = plan(3);
    let results: Vec<RunEvent> = plan
        .cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| cell.scenario == 0 && cell.target < 3)
        .map(|(index, cell)| {
            let verdict = if (cell.target, cell.repeat) == (1, 2) {
                Verdict::Fail
            } else {
                Verdict::Pass
            };
            RunEvent::CellEnded(Box::new(ended(index, verdict, "", Vec::new())))
        })
        .collect();
    let mut events = vec![RunEvent::Started(plan)];
    events.extend(results);
    let text = console::render(&run(&events), &settings(100, false));
    let row = text.lines().find(|line| line.contains("hello")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        [">", "hello", "ok", "3/3", "FAIL", "1/3", "ok", "3/3", "-"]
    );
    assert!(
        text.contains(
            "findings: 1 of 60 cells failed (interrupted: 9 of 60 cells ended); exit code 1;"
        ),
        "{text}"
    );
}

#[test]
fn markdown_for_a_job_summary() {
    same_as_file("summary.md", &markdown::render(&run(&events())));
}

#[test]
fn junit_is_xml() {
    let text = junit::render(&run(&events())).unwrap();
    same_as_file("junit.xml", &text);
    // Read back by the library's own reader, which refuses what is not well formed.
    let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
    let suites: Vec<_> = report
        .test_suites
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(
        suites,
        [
            "openai",
            "mantle us-east-1",
            "mantle us-east-2",
            "mantle us-west-2"
        ]
    );
    assert_eq!((report.tests, report.failures, report.errors), (20, 3, 1));
    assert_eq!(
        report
            .test_suites
            .iter()
            .map(|one| one.skipped)
            .sum::<usize>(),
        3
    );
}

#[test]
fn a_run_that_was_stopped_is_not_green_in_junit() {
    let all = events();
    let text = junit::render(&run(&all[..4])).unwrap();
    let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
    assert_eq!((report.tests, report.failures, report.errors), (2, 0, 1));
    assert!(text.contains("only 1 of 20 cells ended"), "{text}");
}

#[test]
fn the_record_round_trips() {
    let run = run(&events());
    let text = run.to_json();
    same_as_file("run.json", &text);
    assert_eq!(Run::read(&text).unwrap(), run);
    assert_eq!(run.verdict, RunVerdict::Findings);
    let cell = |scenario: &str, region| {
        run.cells
            .iter()
            .find(|one| one.scenario == scenario && one.region.as_deref() == region)
            .unwrap()
    };
    assert_eq!(
        cell("text/hello", Some("us-west-2")).verdict,
        CellVerdict::Fail,
        "a must finding of parity"
    );
    assert_eq!(cell("text/hello", None).ttft_ms, Some(100.0));
    assert_eq!(cell("tools/custom", Some("us-east-1")).total_ms, None);
    assert_eq!(run.findings.len(), 6);
    assert_eq!(
        run.findings
            .iter()
            .filter(|one| one.known_gap.is_some())
            .count(),
        1
    );
    // Throttled cells are no measure of a turn: four of five scenarios count at openai.
    assert_eq!((run.latency[0].turns, run.latency[0].ttft_ms.n), (4, 4));
}

#[test]
fn what_is_not_a_run_is_refused() {
    let text = run(&events()).to_json();
    let newer = text.replacen("\"schema\": 1", "\"schema\": 2", 1);
    assert!(matches!(
        Run::read(&newer),
        Err(ReadError::Schema { found: 2 })
    ));
    assert!(matches!(Run::read("{}"), Err(ReadError::NoSchema)));
    assert!(matches!(
        Run::read("{\"schema\":1}"),
        Err(ReadError::Shape(_))
    ));
    assert!(matches!(
        Run::read(&text[..text.len() / 2]),
        Err(ReadError::Json(_))
    ));
    let more = text.replacen("\"schema\": 1", "\"schema\": 1, \"later\": []", 1);
    assert!(Run::read(&more).is_ok());
}

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
    assert_eq!(twice.source.kind(), std::io::ErrorKind::AlreadyExists);
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

#[test]
fn every_outside_string_of_the_record_is_redacted() {
    fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => found.push(text.clone()),
            serde_json::Value::Array(list) => list.iter().for_each(|one| strings(one, found)),
            serde_json::Value::Object(map) => {
                for (key, one) in map {
                    // A gap is a row of our own catalog; a digest is hexadecimal.
                    let ours = [
                        "known_gap",
                        "gap",
                        "digest",
                        "run_id",
                        "started_at",
                        "finished_at",
                        "version",
                    ];
                    if !ours.contains(&key.as_str()) {
                        strings(one, found);
                    }
                }
            }
            _ => {}
        }
    }
    let text = run(&events()).redacted(&|_| "R".to_owned()).to_json();
    let mut found = Vec::new();
    strings(&serde_json::from_str(&text).unwrap(), &mut found);
    let words = [
        "R",
        "pass",
        "fail",
        "findings",
        "known_gap",
        "not_applicable",
        "undetermined",
        "must",
        "should",
        "info",
    ];
    found.retain(|one| !words.contains(&one.as_str()));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_last_line_says_what_the_run_came_to() {
    let last = |verdicts: &[Verdict], finished: bool| {
        let plan = plan(1);
        let mut events = vec![RunEvent::Started(plan.clone())];
        let results = verdicts.iter().cycle().take(if verdicts.is_empty() {
            0
        } else {
            plan.cells.len()
        });
        for (cell, verdict) in results.enumerate() {
            events.push(RunEvent::CellEnded(Box::new(ended(
                cell,
                *verdict,
                "because",
                Vec::new(),
            ))));
        }
        events.push(RunEvent::Ended {
            interrupted: !finished,
            finished_at: "2026-11-21T08:15:42Z".to_owned(),
            findings: Vec::new(),
            stale_gaps: Vec::new(),
        });
        let text = console::render(&run(&events), &settings(200, false));
        text.lines()
            .last()
            .unwrap()
            .split("; exit code")
            .next()
            .unwrap()
            .to_owned()
    };
    use Verdict::{Fail, KnownGap, NotApplicable, Pass, Undetermined};
    for (verdicts, finished, expected) in [
        (
            &[Pass][..],
            true,
            "pass: every cell that applies is as expected",
        ),
        (
            &[Pass, KnownGap, NotApplicable, Pass],
            true,
            "pass: every cell that applies is as expected, 5 with known gaps",
        ),
        (
            &[Pass, Pass, Pass, Fail],
            true,
            "findings: 5 of 20 cells failed",
        ),
        (
            &[Pass, Undetermined],
            true,
            "undetermined: nothing failed, but 10 of 20 cells are undetermined",
        ),
        (
            &[NotApplicable],
            true,
            "undetermined: no cell was determined",
        ),
        (
            &[],
            false,
            "undetermined: not all cells ran (interrupted: 0 of 20 cells ended)",
        ),
    ] {
        assert_eq!(last(verdicts, finished), expected);
    }
}

#[test]
fn more_columns_than_fit_stand_in_blocks() {
    let mut plan = plan(1);
    plan.targets = (1..=30)
        .map(|n| {
            target(
                &format!("a-target-with-a-long-name-{n}"),
                "openai",
                "m",
                Some("eu-central-1"),
            )
        })
        .collect();
    plan.cells = (0..30)
        .map(|target| Cell {
            scenario: 0,
            target,
            repeat: 1,
        })
        .collect();
    let results = (0..30)
        .map(|cell| RunEvent::CellEnded(Box::new(ended(cell, Verdict::Pass, "", Vec::new()))));
    let events: Vec<RunEvent> = std::iter::once(RunEvent::Started(plan.clone()))
        .chain(results)
        .collect();
    let text = console::render(&run(&events), &settings(60, false));
    assert!(
        text.lines().all(|line| line.chars().count() <= 60),
        "{text}"
    );
    let hello = text
        .lines()
        .filter(|line| line.trim_start().starts_with("hello "));
    let marks: Vec<usize> = hello
        .map(|line| line.split_whitespace().filter(|word| *word == "ok").count())
        .collect();
    assert!(
        marks.len() > 1 && marks.iter().sum::<usize>() == 30,
        "{text}"
    );
    for n in 1..=30 {
        let seen = text.matches(&format!("[{n}]")).count();
        assert_eq!(
            seen, 3,
            "its target, a heading and its latency: {n}\n{text}"
        );
    }
}
