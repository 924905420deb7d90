//! Captured answers: real recordings, files that lost events, floods of items.

use serde_json::{Value, json};

use crate::catalog;
use crate::check::finding::{Finding, Severity};
use crate::check::rules::tests::{ids, told};
use crate::check::rules::{BROKEN_BY_LOSS, Subject, all, check};
use crate::dialect::answer::MOST_EVENTS;
use crate::dialect::{Decoded, Dialect, decode_captures};

/// Files that their recorders trimmed, with the rules that notice it.
const TRIMMED: [(&str, &[&str]); 1] = [(
    "openai--openai-phase.1",
    &["responses/sequence-number-without-gaps"],
)];

#[test]
fn real_responses_have_no_finding_that_no_gap_explains() {
    real_recordings_have_no_finding(Dialect::Responses, 25);
}

#[test]
fn real_chats_have_no_finding_that_no_gap_explains() {
    real_recordings_have_no_finding(Dialect::Chat, 7);
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests should see what was not"
)]
fn real_recordings_have_no_finding(dialect: Dialect, least: usize) {
    let Ok(folder) = std::env::var("SAMETURN_RECORDINGS") else {
        // Recordings of real providers are not part of this repository.
        eprintln!("SAMETURN_RECORDINGS names no folder with recordings: nothing to check");
        return;
    };
    let mut wrong = String::new();
    let mut answers = 0;
    let files = std::fs::read_dir(format!("{folder}/{dialect}")).expect("the folder can be read");
    for file in files {
        let path = file.expect("the folder can be read").path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let provider = match name.split("--").next() {
            _ if name.contains("--azure-") => "azure-openai",
            _ if name.contains("--xai-") => "xai",
            Some("groq") => "groq",
            Some("deepseek") => "deepseek",
            Some("azure") => "azure-openai",
            Some("open-responses") => "lm-studio",
            Some("openai") if name.contains("copilot") => "github-copilot",
            _ => "openai",
        };
        let bytes = std::fs::read(&path).expect("the recording can be read");
        let trimmed = TRIMMED
            .iter()
            .find(|(file, _)| *file == name)
            .map_or(&[][..], |(_, rules)| *rules);
        for Decoded {
            events,
            trace,
            framed,
            ..
        } in decode_captures(dialect, &bytes)
        {
            answers += 1;
            assert_eq!(
                trace.failure.is_some(),
                name == "openai--openai-error.1",
                "{name}"
            );
            let findings = check(
                dialect.word(),
                &Subject {
                    events: &events,
                    trace: &trace,
                    streamed: true,
                    framed,
                    head: None,
                    end: None,
                    request: None,
                },
            );
            let place = catalog::gap::Place {
                provider,
                dialect: dialect.word(),
                model: trace.model.as_deref().unwrap_or(""),
                scenario: "",
            };
            let left: Vec<Finding> = findings
                .into_iter()
                .filter(|finding| finding.severity > Severity::Info)
                .filter(|finding| !trimmed.contains(&finding.rule.as_str()))
                .filter(|finding| {
                    !catalog::shipped()
                        .gaps
                        .iter()
                        .any(|gap| gap.explains(&place, &finding.rule, &finding.message))
                })
                .collect();
            if !left.is_empty() {
                wrong.push_str(&format!("\n  {name}:{}", told(&left)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(answers >= least, "only {answers} answers were found");
}

#[test]
fn what_a_loss_breaks_are_rules() {
    for id in BROKEN_BY_LOSS {
        assert!(all().any(|rule| rule.id == *id), "{id}");
    }
}

#[test]
fn a_flood_of_items_is_named_and_not_compared() {
    let flood = |items: usize| {
        let output: Vec<Value> = (0..items).map(|_| json!({ "id": "same" })).collect();
        let body = json!({ "object": "response", "status": "completed", "output": output });
        let decoded = decode_captures(Dialect::Responses, body.to_string().as_bytes());
        let subject = Subject {
            events: &decoded[0].events,
            trace: &decoded[0].trace,
            streamed: false,
            framed: true,
            head: None,
            end: None,
            request: None,
        };
        check("responses", &subject)
            .into_iter()
            .any(|finding| finding.rule == "responses/items-within-limit")
    };
    assert!(!flood(1_000));
    assert!(flood(1_001));
}

#[test]
fn a_flood_of_events_is_named_and_not_kept() {
    let flood = |events: usize| {
        let decoded = decode_captures(Dialect::Responses, "data: 0\n\n".repeat(events).as_bytes());
        let subject = Subject {
            events: &decoded[0].events,
            trace: &decoded[0].trace,
            streamed: true,
            framed: decoded[0].framed,
            head: None,
            end: None,
            request: None,
        };
        let found = ids(&check("responses", &subject), Severity::Must);
        let failure = decoded[0].trace.failure.as_ref().expect("it fails");
        (found, failure.class.clone(), decoded[0].events.len())
    };
    let (found, class, kept) = flood(MOST_EVENTS + 5);
    assert!(found.contains("sse/events-within-limit"), "{found:?}");
    assert!(
        !found.contains("responses/exactly-one-terminal"),
        "{found:?}"
    );
    assert_eq!((class.as_str(), kept), ("answer_too_big", MOST_EVENTS));
    let (found, class, _) = flood(10);
    assert!(!found.contains("sse/events-within-limit"), "{found:?}");
    assert_eq!(class, "bad_response");
}
