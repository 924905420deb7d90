//! One constructed run through every report.
//!
//! `UPDATE=1 cargo test` rewrites the files under `tests/it/reports/`.

use std::fs;
use std::path::Path;

use sameturn::report::event::{Cell, RunEvent, Verdict};
use sameturn::report::record::{CellVerdict, ReadError, Run, RunVerdict};
use sameturn::report::{console, junit, markdown};

use crate::constructed_run::{ended, events, plan, run, target};

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
