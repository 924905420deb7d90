//! Each expectation both ways: fulfilled, and not.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::check::expect::check;
use crate::check::finding::{Finding, Severity};
use crate::scenario::model::Scenario;
use crate::turn::trace::{Call, CallForm, Content, Failure, Item, Layer, Stop, TurnTrace, Usage};

const TOOLS: &str = "
tools:
  get_weather:
    description: Weather.
    strict: true
    parameters: {type: object, properties: {city: {type: string}}, required: [city], additionalProperties: false}
  get_time: {description: Time., parameters: {type: object}}
  run: {description: Run., custom: true}
";

fn item(content: Content) -> Item {
    Item {
        id: None,
        content,
        wire: Value::Null,
        started: None,
        ended: None,
    }
}

fn call(name: &str, call_id: &str, arguments: &str) -> Item {
    item(Content::Call(Call {
        call_id: call_id.to_owned(),
        name: name.to_owned(),
        namespace: None,
        arguments: arguments.to_owned(),
        form: if name == "run" {
            CallForm::Custom
        } else {
            CallForm::Function
        },
    }))
}

fn weather(city: &str) -> Item {
    call(
        "get_weather",
        &format!("call_{city}"),
        &format!("{{\"city\":\"{city}\"}}"),
    )
}

fn answer(items: Vec<Item>) -> TurnTrace {
    TurnTrace {
        items,
        stop: Some(Stop::ToolCalls),
        usage: Some(Usage {
            input: 100,
            output: 20,
            total: 120,
            cached: Some(50),
            cache_write: None,
            reasoning: None,
        }),
        ..TurnTrace::default()
    }
}

fn failed(class: &str, code: Option<&str>, param: Option<&str>) -> TurnTrace {
    TurnTrace {
        failure: Some(Failure {
            class: class.to_owned(),
            layer: Layer::Response,
            status: Some(403),
            code: code.map(str::to_owned),
            kind: None,
            param: param.map(str::to_owned),
            message: "You may not.".to_owned(),
            retry_after: None,
        }),
        ..TurnTrace::default()
    }
}

fn findings(expect: &str, trace: &TurnTrace, sent: bool) -> Vec<Finding> {
    let text = format!("name: x/y\nabout: x\nturns:\n  - user: hi\n    expect: {expect}\n{TOOLS}");
    let scenario: Scenario = serde_yaml::from_str(&text).expect("the test's scenario reads");
    let used = BTreeSet::from(["call_old".to_owned()]);
    check(&scenario.turns[0], &scenario, trace, sent, &used)
}

fn check_ids(expect: &str, trace: &TurnTrace, expected: &[&str]) {
    let findings = findings(expect, trace, true);
    let ids: Vec<&str> = findings.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(ids, expected, "{expect}: {findings:#?}");
}

#[test]
fn calls_match_in_any_order() {
    let trace = answer(vec![weather("Dublin"), weather("Cork")]);
    let both = "{calls: [{name: get_weather, arguments: {city: {equals: Cork}}}, {name: get_weather, arguments: {city: {matches: '(?i)dublin'}}}]}";
    check_ids(both, &trace, &[]);
    // The first expectation fits both calls: it must leave the only one that the second can take.
    check_ids(
        "{calls: [{name: get_weather}, {name: get_weather, arguments: {city: {equals: Dublin}}}]}",
        &trace,
        &[],
    );
    check_ids("{calls: [{name: get_weather}]}", &trace, &["expect/calls"]);
    check_ids(
        "{calls: [{name: get_weather}, {name: get_weather}, {name: get_time}]}",
        &trace,
        &["expect/calls"],
    );
    check_ids("{calls: []}", &trace, &["expect/calls", "expect/calls"]);
    check_ids("{calls: []}", &answer(vec![]), &[]);
    check_ids("{}", &trace, &[]);
}

#[test]
fn a_call_with_other_arguments_is_one_finding_that_says_which() {
    let trace = answer(vec![weather("Paris")]);
    let expect =
        "{calls: [{name: get_weather, arguments: {city: {equals: Dublin}, zone: {equals: x}}}]}";
    let findings = findings(expect, &trace, true);
    assert_eq!(findings.len(), 1);
    assert_eq!(
        findings[0].message,
        "get_weather was called otherwise than expected: argument city: \"Paris\" is not \"Dublin\"; argument zone is absent"
    );
    assert_eq!(findings[0].severity, Severity::Must);
}

#[test]
fn whole_arguments_and_custom_input() {
    let trace = answer(vec![
        call("get_time", "a", "{\"zone\": \"UTC\", \"n\": 1}"),
        call("run", "b", "echo sameturn"),
    ]);
    check_ids(
        "{calls: [{name: get_time, arguments_equal: {n: 1, zone: UTC}, arguments_schema: {required: [zone]}}, {name: run, input: {contains: sameturn}}]}",
        &trace,
        &[],
    );
    check_ids(
        "{calls: [{name: get_time, arguments_equal: {zone: UTC}}, {name: run}]}",
        &trace,
        &["expect/calls"],
    );
    check_ids(
        "{calls: [{name: get_time, arguments_schema: {required: [city]}}, {name: run}]}",
        &trace,
        &["expect/calls"],
    );
    check_ids(
        "{calls: [{name: get_time}, {name: run, input: {equals: ls}}]}",
        &trace,
        &["expect/calls"],
    );
}

#[test]
fn strict_arguments_always_hold() {
    check_ids("{}", &answer(vec![weather("Dublin")]), &[]);
    check_ids(
        "{}",
        &answer(vec![call("get_weather", "a", "{\"town\":\"Dublin\"}")]),
        &["expect/arguments"],
    );
    check_ids(
        "{}",
        &answer(vec![call("get_weather", "a", "{\"city\":")]),
        &["expect/arguments"],
    );
    check_ids("{}", &answer(vec![call("get_time", "a", "{\"x\":1}")]), &[]);
}

#[test]
fn text_and_stop() {
    let mut trace = answer(vec![item(Content::Text {
        text: "It is 11 °C".to_owned(),
    })]);
    trace.stop = Some(Stop::End);
    check_ids("{text: {contains: '11'}, stop: end}", &trace, &[]);
    check_ids("{text: {contains: '12'}}", &trace, &["expect/text"]);
    check_ids("{stop: tool_calls}", &trace, &["expect/stop"]);
    trace.stop = None;
    check_ids("{stop: end}", &trace, &["expect/stop"]);
}

#[test]
fn usage_is_in_range() {
    let mut trace = answer(vec![]);
    check_ids(
        "{usage: {input: {min: 100, max: 100}, cached: {min: 50}, reasoning: {max: 5}}}",
        &trace,
        &[],
    );
    check_ids("{usage: {input: {min: 101}}}", &trace, &["expect/usage"]);
    check_ids("{usage: {output: {max: 19}}}", &trace, &["expect/usage"]);
    check_ids("{usage: {reasoning: {min: 1}}}", &trace, &["expect/usage"]);
    trace.usage = None;
    check_ids("{usage: {input: {min: 1}}}", &trace, &["expect/usage"]);
    check_ids("{}", &trace, &[]);
}

#[test]
fn output_comes_in_as_many_events_as_expected() {
    let mut trace = answer(vec![]);
    trace.timing.output_events = 1;
    check_ids(
        "{output_events: {min: 2}}",
        &trace,
        &["expect/output-events"],
    );
    check_ids("{output_events: {min: 1, max: 1}}", &trace, &[]);
    trace.timing.output_events = 2;
    check_ids("{output_events: {min: 2}}", &trace, &[]);
    check_ids(
        "{output_events: {max: 1}}",
        &trace,
        &["expect/output-events"],
    );
}

#[test]
fn the_service_tier_is_the_one_that_was_used() {
    let mut trace = answer(vec![]);
    check_ids("{service_tier: fast}", &trace, &["expect/service-tier"]);
    trace.service_tier = Some("default".to_owned());
    check_ids("{service_tier: fast}", &trace, &["expect/service-tier"]);
    check_ids("{service_tier: default}", &trace, &[]);
    check_ids("{}", &trace, &[]);
}

#[test]
fn failures_by_class() {
    let denied = failed("access_denied", Some("AccessDenied"), Some("model"));
    check_ids("{failure: access_denied}", &denied, &[]);
    check_ids("{failure: throttled}", &denied, &["expect/failure"]);
    check_ids("{failure: throttled}", &answer(vec![]), &["expect/failure"]);
    check_ids(
        "{failure: access_denied, code: AccessDenied, param: model}",
        &denied,
        &[],
    );
    check_ids(
        "{failure: access_denied, code: Other, param: input}",
        &denied,
        &["expect/code", "expect/param"],
    );
}

#[test]
fn a_cause_is_of_a_failure_before_the_request() {
    let mut unsent = failed("no_credentials", Some("process_hung"), None);
    let expect = "{failure: no_credentials, cause: process_hung}";
    check_ids(expect, &unsent, &["expect/cause"]);
    if let Some(failure) = &mut unsent.failure {
        failure.layer = Layer::Local;
    }
    check_ids(expect, &unsent, &[]);
    check_ids(
        "{failure: no_credentials, cause: process_failed}",
        &unsent,
        &["expect/cause"],
    );
}

#[test]
fn an_unexpected_failure_is_the_only_finding() {
    let denied = failed("access_denied", Some("AccessDenied"), None);
    let findings = findings(
        "{calls: [{name: get_weather}], text: {contains: a}, stop: end}",
        &denied,
        true,
    );
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].rule, "expect/failure");
    assert_eq!(
        findings[0].message,
        "the turn failed: access_denied (HTTP 403, code AccessDenied, \"You may not.\")"
    );
    assert_eq!(
        findings[0].evidence.excerpt.as_deref(),
        Some("You may not.")
    );
}

#[test]
fn whether_a_request_left() {
    let expired = failed("credentials_expired", None, None);
    let expect = "{failure: credentials_expired, sent: false}";
    assert!(findings(expect, &expired, false).is_empty());
    let found = findings(expect, &expired, true);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].rule, "expect/sent");
    assert_eq!(findings("{sent: true}", &answer(vec![]), false).len(), 1);
}

#[test]
fn call_ids_are_fresh() {
    let expect = "{fresh_call_ids: true}";
    check_ids(
        expect,
        &answer(vec![weather("Dublin"), weather("Cork")]),
        &[],
    );
    let reused = answer(vec![call("get_time", "call_old", "{}")]);
    check_ids(expect, &reused, &["expect/fresh-call-ids"]);
    check_ids("{}", &reused, &[]);
    let twice = answer(vec![
        call("get_time", "a", "{}"),
        call("get_time", "a", "{}"),
    ]);
    check_ids(expect, &twice, &["expect/fresh-call-ids"]);
}

#[test]
fn the_time_to_wait() {
    let mut throttled = failed("throttled", None, None);
    let expect = "{failure: throttled, retry_after: true}";
    check_ids(expect, &throttled, &["expect/retry-after"]);
    if let Some(failure) = &mut throttled.failure {
        failure.retry_after = Some(std::time::Duration::from_secs(1));
    }
    check_ids(expect, &throttled, &[]);
    check_ids(
        "{failure: throttled, retry_after: false}",
        &throttled,
        &["expect/retry-after"],
    );
}
