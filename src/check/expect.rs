//! Expectations: what a scenario says must be true of an answer, against the trace of the answer.
//!
//! Core. Reads traces only, so that the same expectation holds at every provider and in every
//! dialect; it must never look at an event.

mod calls;

use std::collections::BTreeSet;

use crate::check::finding::{Evidence, Finding, Rule};
use crate::check::matcher::{breaks, describe, mismatch};
use crate::check::rules::collect::cut;
use crate::check::rules::{must, should};
use crate::scenario::model::{Expect, Range, Scenario, StopWord, Turn, UsageExpectation};
use crate::scenario::one_or_more::OneOrMore;
use crate::turn::trace::{CallForm, Failure, Layer, Stop, TurnTrace};

const SOURCE: &str = "the scenario";

static CALLS: Rule = must(
    "expect/calls",
    "Exactly the expected calls come, in any order.",
    SOURCE,
);
static TEXT: Rule = must(
    "expect/text",
    "The visible text meets its condition.",
    SOURCE,
);
static STOP: Rule = must(
    "expect/stop",
    "The turn ends for the expected reason.",
    SOURCE,
);
static USAGE: Rule = must(
    "expect/usage",
    "The token counts are within their ranges.",
    SOURCE,
);
static OUTPUT_EVENTS: Rule = should(
    "expect/output-events",
    "The output of a streamed answer comes in as many events as expected.",
    SOURCE,
);
static TIER: Rule = should(
    "expect/service-tier",
    "The answer says that the expected service tier was used.",
    SOURCE,
);
static FAILURE: Rule = must(
    "expect/failure",
    "The turn fails with the expected class, or does not fail.",
    SOURCE,
);
static CAUSE: Rule = must(
    "expect/cause",
    "Signing in fails for the expected reason.",
    SOURCE,
);
static FIRST: Rule = must(
    "expect/first",
    "The first attempt fails with the expected class, before the one that is judged.",
    SOURCE,
);
static CODE: Rule = should(
    "expect/code",
    "The provider's error code is the expected one.",
    SOURCE,
);
static PARAM: Rule = should(
    "expect/param",
    "The provider blames the expected field.",
    SOURCE,
);
static RETRY_AFTER: Rule = should(
    "expect/retry-after",
    "The provider says how long to wait, or does not, as expected.",
    SOURCE,
);
static SENT: Rule = must(
    "expect/sent",
    "A request leaves, or does not, as expected.",
    SOURCE,
);
static FRESH: Rule = must(
    "expect/fresh-call-ids",
    "No call id was used before in the conversation.",
    SOURCE,
);
static ARGUMENTS: Rule = must(
    "expect/arguments",
    "The arguments of a strict tool are valid by its schema.",
    SOURCE,
);

/// All expectations, for listing.
pub static RULES: &[&Rule] = &[
    &CALLS,
    &TEXT,
    &STOP,
    &USAGE,
    &OUTPUT_EVENTS,
    &TIER,
    &FAILURE,
    &CAUSE,
    &FIRST,
    &CODE,
    &PARAM,
    &RETRY_AFTER,
    &SENT,
    &FRESH,
    &ARGUMENTS,
];

/// What a turn's answer does not fulfil. `sent` says whether a request left; `used_call_ids` are
/// those of earlier turns. When the turn failed unexpectedly, that alone is reported.
pub fn check(
    turn: &Turn,
    scenario: &Scenario,
    trace: &TurnTrace,
    sent: bool,
    used_call_ids: &BTreeSet<String>,
) -> Vec<Finding> {
    let expect = &turn.expect;
    let mut out = Vec::new();
    match (&expect.failure, &trace.failure) {
        (None, None) => {
            answer(expect, scenario, trace, used_call_ids, &mut out);
        }
        (Some(classes), Some(failure)) if classes.has(&failure.class) => {
            blamed(expect, failure, &mut out)
        }
        (expected, got) => {
            let expected = expected.as_ref().map(OneOrMore::words);
            out.push(other_failure(
                &FAILURE,
                "the turn",
                expected.as_deref(),
                got.as_ref(),
            ));
            return out;
        }
    }
    if let Some(wanted) = expect.sent
        && wanted != sent
    {
        let words = |sent: bool| if sent { "a request" } else { "no request" };
        out.push(finding(
            &SENT,
            if sent {
                "a request left though none should have"
            } else {
                "no request left though one should have"
            },
            words(wanted),
            words(sent),
        ));
    }
    out
}

/// Whether a rule of the wire says what an expected failure says already: that the body is no answer, or that
/// the stream has no end. A scenario that wants to see just that must not fail by it.
pub fn says_the_same(failure: &Failure, rule: &str) -> bool {
    let rule = rule.rsplit('/').next().unwrap_or(rule);
    match failure.layer {
        // Another class under a success status is more than that: the status lies.
        Layer::Response => failure.class == "bad_response" && rule.starts_with("not-a"),
        Layer::Stream => failure.class == "stream_truncated" && rule == "exactly-one-terminal",
        Layer::Local | Layer::Connection => false,
    }
}

/// What the first attempt of a turn does not fulfil, where the scenario speaks of it.
pub fn check_first(turn: &Turn, first: &TurnTrace) -> Option<Finding> {
    let wanted = turn.expect.first.as_ref()?;
    let words = wanted.failure.words();
    match &first.failure {
        Some(failure) if wanted.failure.has(&failure.class) => {
            let waits = failure.retry_after.is_some();
            let unmet = wanted.retry_after.is_some_and(|wanted| wanted != waits);
            unmet.then(|| wait_finding(failure))
        }
        got => Some(other_failure(
            &FIRST,
            "the first attempt",
            Some(&words),
            got.as_ref(),
        )),
    }
}

fn answer(
    expect: &Expect,
    scenario: &Scenario,
    trace: &TurnTrace,
    used_call_ids: &BTreeSet<String>,
    out: &mut Vec<Finding>,
) {
    if let Some(wanted) = &expect.calls {
        let got: Vec<_> = trace.calls().collect();
        out.extend(
            calls::problems(wanted, &got)
                .into_iter()
                .map(|problem| finding(&CALLS, problem.message, problem.expected, problem.got)),
        );
    }
    strict_arguments(scenario, trace, out);
    if let Some(matcher) = &expect.text {
        let text = trace.text();
        if let Some(why) = mismatch(matcher, &text.clone().into()) {
            out.push(finding(
                &TEXT,
                format!("the text is not as expected: {why}"),
                describe(matcher),
                if text.is_empty() {
                    "no text".to_owned()
                } else {
                    text
                },
            ));
        }
    }
    if let Some(wanted) = expect.stop {
        let wanted = stop(wanted);
        if trace.stop != Some(wanted) {
            let got = trace.stop.map_or("nothing", Stop::word);
            out.push(finding(
                &STOP,
                format!(
                    "the turn ended for another reason: {got} instead of {}",
                    wanted.word()
                ),
                wanted.word(),
                got,
            ));
        }
    }
    if let Some(wanted) = &expect.usage {
        usage(wanted, trace, out);
    }
    if let Some(wanted) = expect.output_events {
        let got = u64::from(trace.timing.output_events);
        if !within(wanted, Some(got)) {
            out.push(finding(
                &OUTPUT_EVENTS,
                format!("the output came in {got} events, not as it was made"),
                range_words(wanted),
                got.to_string(),
            ));
        }
    }
    if let Some(wanted) = &expect.service_tier
        && trace.service_tier.as_ref() != Some(wanted)
    {
        let got = trace.service_tier.as_deref().unwrap_or("none");
        out.push(finding(
            &TIER,
            format!("the answer says the service tier {got} instead of {wanted}"),
            wanted,
            got,
        ));
    }
    if expect.fresh_call_ids == Some(true) {
        fresh_call_ids(trace, used_call_ids, out);
    }
}

fn blamed(expect: &Expect, failure: &Failure, out: &mut Vec<Finding>) {
    let waits = failure.retry_after.is_some();
    if expect.retry_after.is_some_and(|wanted| wanted != waits) {
        out.push(wait_finding(failure));
    }
    let code = expect.code.as_ref();
    // A failure before the request has no code of a provider's; its cause stands in that place.
    let (cause_got, code_got) = match failure.layer {
        Layer::Local => (&failure.code, &None),
        _ => (&None, &failure.code),
    };
    let right = code.is_none_or(|code| code_got.as_ref().is_some_and(|got| code.has(got)));
    for (rule, word, unmet, wanted, got) in [
        (
            &CAUSE,
            "cause",
            expect.cause.is_some() && expect.cause != *cause_got,
            expect.cause.clone(),
            cause_got,
        ),
        (&CODE, "code", !right, code.map(OneOrMore::words), code_got),
        (
            &PARAM,
            "param",
            expect.param.is_some() && expect.param != failure.param,
            expect.param.clone(),
            &failure.param,
        ),
    ] {
        if unmet {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            out.push(finding(
                rule,
                format!(
                    "the error has the {word} {} instead of {}",
                    shown(got),
                    shown(&wanted)
                ),
                shown(&wanted),
                shown(got),
            ));
        }
    }
}

fn wait_finding(failure: &Failure) -> Finding {
    finding(
        &RETRY_AFTER,
        if failure.retry_after.is_some() {
            "the error says how long to wait and should not"
        } else {
            "the error does not say how long to wait"
        },
        "Retry-After, or `try again in` in the message",
        match failure.retry_after {
            Some(wait) => format!("{wait:?}"),
            None => "neither".to_owned(),
        },
    )
}

/// `who` is the turn, or one attempt of it.
fn other_failure(rule: &Rule, who: &str, expected: Option<&str>, got: Option<&Failure>) -> Finding {
    let said = got.map(|failure| {
        let status = failure
            .status
            .map_or(String::new(), |status| format!("HTTP {status}, "));
        let code = failure
            .code
            .as_ref()
            .map_or(String::new(), |code| format!("code {code}, "));
        format!(
            "{} ({status}{code}{:?})",
            failure.class,
            cut(&failure.message, 300)
        )
    });
    let message = match (expected, &said) {
        (Some(class), Some(said)) => format!("{who} failed with {said} instead of {class}"),
        (Some(class), None) => format!("{who} should have failed with {class} and did not"),
        (None, Some(said)) => format!("{who} failed: {said}"),
        (None, None) => format!("{who} did not fail"),
    };
    let mut finding = finding(
        rule,
        message,
        expected.unwrap_or("no failure"),
        said.unwrap_or_else(|| "no failure".to_owned()),
    );
    finding.evidence.excerpt = got.map(|failure| cut(&failure.message, 600).to_owned());
    finding
}

fn strict_arguments(scenario: &Scenario, trace: &TurnTrace, out: &mut Vec<Finding>) {
    // What was cut short cannot be held to a schema.
    if trace.stop == Some(Stop::Length) {
        return;
    }
    for call in trace.calls() {
        let schema = scenario
            .tools
            .get(&call.name)
            .filter(|tool| tool.strict && call.form == CallForm::Function)
            .and_then(|tool| tool.parameters.as_ref());
        let Some(schema) = schema else {
            continue;
        };
        let problem = match serde_json::from_str(&call.arguments) {
            Err(error) => Some(format!("they are not JSON: {error}")),
            Ok(value) => breaks(schema, &value),
        };
        if let Some(problem) = problem {
            out.push(finding(
                &ARGUMENTS,
                format!(
                    "the arguments of {} break its strict schema: {problem}",
                    call.name
                ),
                schema.to_string(),
                call.arguments.clone(),
            ));
        }
    }
}

fn usage(wanted: &UsageExpectation, trace: &TurnTrace, out: &mut Vec<Finding>) {
    let Some(usage) = trace.usage else {
        out.push(finding(
            &USAGE,
            "no usage is reported",
            "token counts",
            "none",
        ));
        return;
    };
    for (word, range, got) in [
        ("input", wanted.input, Some(usage.input)),
        ("output", wanted.output, Some(usage.output)),
        ("cached", wanted.cached, usage.cached),
        ("reasoning", wanted.reasoning, usage.reasoning),
    ] {
        let Some(range) = range else {
            continue;
        };
        if !within(range, got) {
            let got = got.map_or("not reported".to_owned(), |count| count.to_string());
            out.push(finding(
                &USAGE,
                format!("{word} tokens are out of range: {got}"),
                range_words(range),
                got,
            ));
        }
    }
}

/// A count that is not reported is within a range that has no lower end above 0.
fn within(range: Range, count: Option<u64>) -> bool {
    match count {
        Some(count) => {
            range.min.is_none_or(|min| count >= min) && range.max.is_none_or(|max| count <= max)
        }
        None => range.min.unwrap_or(0) == 0,
    }
}

fn range_words(range: Range) -> String {
    match (range.min, range.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any".to_owned(),
    }
}

fn fresh_call_ids(trace: &TurnTrace, used: &BTreeSet<String>, out: &mut Vec<Finding>) {
    let mut here = BTreeSet::new();
    for call in trace.calls() {
        let before = used.contains(&call.call_id);
        if before || !here.insert(call.call_id.as_str()) {
            out.push(finding(
                &FRESH,
                format!(
                    "the call id {} of {} was used before{}",
                    call.call_id,
                    call.name,
                    if before {
                        " in the conversation"
                    } else {
                        " in this answer"
                    }
                ),
                "an id of its own",
                call.call_id.clone(),
            ));
        }
    }
}

fn stop(word: StopWord) -> Stop {
    match word {
        StopWord::End => Stop::End,
        StopWord::ToolCalls => Stop::ToolCalls,
        StopWord::Length => Stop::Length,
        StopWord::ContentFilter => Stop::ContentFilter,
        StopWord::Guardrail => Stop::Guardrail,
    }
}

fn finding(
    rule: &Rule,
    message: impl Into<String>,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> Finding {
    Finding {
        rule: rule.id.to_owned(),
        severity: rule.severity,
        message: message.into(),
        evidence: Evidence {
            expected: Some(cut(&expected.into(), 300)),
            got: Some(cut(&got.into(), 300)),
            ..Evidence::default()
        },
        cause: None,
        fix: None,
    }
}

#[cfg(test)]
mod tests;
