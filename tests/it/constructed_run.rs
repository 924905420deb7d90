//! One constructed run: two targets, three regions, each kind of verdict and finding, hostile text.

use std::time::Duration;

use sameturn::check::finding::{Evidence, Finding, Severity};
use sameturn::report::event::{
    Cell, CellResult, ExchangeRecord, Judged, KnownGap, Placed, RunEvent, RunPlan, ScenarioSummary,
    StaleGap, TargetSummary, Verdict,
};
use sameturn::report::record::Run;
use sameturn::report::summary::RunSummary;

/// Escape sequence, end of CDATA, table bar, newline, HTML, link, mention, right-to-left override.
pub(crate) const HOSTILE: &str = "\x1b[2J\x1b[31mPWNED]]>|a\nb\r<script>x</script> [t](https://evil.example) @all `c` \u{202e}\u{9b}\0 &amp; 東京";

pub(crate) fn target(
    name: &str,
    provider: &str,
    model: &str,
    region: Option<&str>,
) -> TargetSummary {
    TargetSummary {
        name: name.to_owned(),
        provider: provider.to_owned(),
        dialect: "responses".to_owned(),
        model: model.to_owned(),
        region: region.map(str::to_owned),
        endpoint: format!("http://127.0.0.1:4010/{name}/{}", region.unwrap_or("v1")),
        endpoint_from: None,
        foreseen: Vec::new(),
        sign_in: Some("bearer from A_KEY".to_owned()),
        warnings: Vec::new(),
        mocked: true,
    }
}

pub(crate) fn plan(repeat: u32) -> RunPlan {
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

pub(crate) fn gap(id: &str) -> KnownGap {
    KnownGap {
        id: id.to_owned(),
        about: "Call ids start again with each answer.".to_owned(),
        consequence: "An agent that keys its state by call id mixes up two calls.".to_owned(),
        source: "observed on the wire".to_owned(),
        date: "2026-11-02".to_owned(),
    }
}

pub(crate) fn finding(rule: &str, severity: Severity, message: &str) -> Finding {
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

pub(crate) fn open(finding: Finding) -> Judged {
    Judged { finding, gap: None }
}

pub(crate) fn ended(
    cell: usize,
    verdict: Verdict,
    reason: &str,
    findings: Vec<Judged>,
) -> CellResult {
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
        retries: Vec::new(),
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

pub(crate) fn exchange(cell: usize) -> ExchangeRecord {
    ExchangeRecord {
        cell,
        turn: 1,
        attempt: 1,
        digest: "ab".repeat(32),
        method: "POST".to_owned(),
        url: "http://127.0.0.1:4010/v1/responses".to_owned(),
        request_headers: vec![("authorization".to_owned(), "Bearer s3cret".to_owned())],
        request_body: r#"{"model":"gpt-5.5","input":"the s3cret\nword","stream":true}"#.to_owned(),
        status: Some(200),
        response_headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        end: "complete".to_owned(),
        failure: None,
        retry_after: None,
        headers_after: Some(Duration::from_micros(1250)),
        ttft: Some(Duration::from_micros(100_040)),
        total: Some(Duration::from_micros(400_060)),
        response_bytes: 12,
        events: 3,
        response_body: Some(b"data: s3cret \xff\n\n".to_vec()),
    }
}

/// Every kind of verdict and finding, once at least.
pub(crate) fn events() -> Vec<RunEvent> {
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

pub(crate) fn run(events: &[RunEvent]) -> Run {
    Run::new(&RunSummary::fold(events).expect("the run started"))
}
