//! What findings come to: the known gap that explains one, its cause and fix, and the verdict of all.
//!
//! Pure. Finds nothing itself.

use crate::catalog::Catalog;
use crate::catalog::gap::Place;
use crate::check::finding::{Evidence, Finding, Severity};
use crate::dialect::Dialect;
use crate::plan::PlannedTarget;
use crate::report::event::{Judged, KnownGap, Verdict};
use crate::scenario::model::Scenario;
use crate::turn::dialogue::Stuck;
use crate::turn::trace::Failure;

/// Looks up the known gap that explains a finding.
pub fn judge(
    catalog: &Catalog,
    target: &PlannedTarget,
    scenario: &str,
    finding: Finding,
) -> Judged {
    let place = Place {
        provider: &target.provider.id,
        dialect: target.dialect.word(),
        model: &target.model,
        scenario,
    };
    let gap = catalog
        .gaps
        .iter()
        .find(|gap| gap.explains(&place, &finding.rule, &finding.message))
        .map(|gap| KnownGap::of(&gap.row));
    Judged { finding, gap }
}

/// The verdict that findings add up to: info weighs nothing, a known gap is told apart.
pub fn verdict(findings: &[Judged]) -> Verdict {
    let weighing = |judged: &&Judged| judged.finding.severity > Severity::Info;
    if findings
        .iter()
        .filter(weighing)
        .any(|judged| judged.gap.is_none())
    {
        Verdict::Fail
    } else if findings.iter().any(|judged| weighing(&judged)) {
        Verdict::KnownGap
    } else {
        Verdict::Pass
    }
}

/// Where a scenario looks for a known gap and found it, says so, with what it does and who reported it.
pub fn name_gap(scenario: &Scenario, dialect: Dialect, finding: &mut Finding) {
    let Some(gap) = &scenario.gap else {
        return;
    };
    if gap.finding(dialect.word()) == Some(finding.rule.as_str()) {
        finding.cause = Some(format!(
            "A difference that was seen before, at {}. {}",
            gap.seen_at.join(", "),
            gap.consequence
        ));
        finding.fix = Some(format!("The report: {} ({}).", gap.source, gap.date));
    }
}

/// Adds cause and fix from the catalogue of failures, or what anybody can do about a broken wire.
pub fn explain(
    catalog: &Catalog,
    improvised: bool,
    finding: &mut Finding,
    failure: Option<&Failure>,
) {
    if improvised && failure.is_none() && finding.rule.starts_with("expect/") {
        finding.cause.get_or_insert_with(|| {
            "The built-in mock had no script for this scenario and made its answer up from the tools' schemas."
                .to_owned()
        });
        finding.fix.get_or_insert_with(|| {
            "Name a script of the mocks (`given: { script: weather }`), or ask a real model with --targets or --base-url."
                .to_owned()
        });
    }
    if finding.rule.starts_with("expect/")
        && let Some(failure) = failure
        && let Some(class) = catalog.failures.class(&failure.class)
    {
        finding.cause.get_or_insert_with(|| class.cause.clone());
        finding.fix.get_or_insert_with(|| class.fix.clone());
    }
    if !finding.rule.starts_with("expect/") {
        finding.cause.get_or_insert_with(|| {
            "The provider, or a gateway before it, writes the stream this way.".to_owned()
        });
        finding.fix.get_or_insert_with(|| {
                format!(
                    "`sameturn rules {}` says what a client may rely on; run again with --keep-streams and send the stream to whoever serves it.",
                    finding.rule
                )
            });
    } else {
        finding.cause.get_or_insert_with(|| {
            "The model or the endpoint behaves differently from what the scenario says.".to_owned()
        });
        finding.fix.get_or_insert_with(|| {
                "Run it again with --repeat 5: a rate tells a changed endpoint from a model's mood; --show-requests shows what was asked."
                    .to_owned()
            });
    }
}

const CALLS_EXPECTED: &str = "calls of the tools that `results` names";
const CALLS_FIX: &str =
    "Say in `expect.calls` of the turn before what must be called, or give every tool a result.";

/// What it means that the script and the answer do not fit together.
pub fn stuck_finding(index: usize, stuck: &Stuck) -> Finding {
    let (message, expected, got, fix) = match stuck {
        Stuck::NoCalls => (
            "the script has tool results, but the answer before called no tool".to_owned(),
            CALLS_EXPECTED,
            "no call".to_owned(),
            CALLS_FIX,
        ),
        Stuck::NoResult { tool } => (
            format!("the answer called `{tool}`, which the script has no result for"),
            CALLS_EXPECTED,
            format!("a call of `{tool}`"),
            CALLS_FIX,
        ),
        Stuck::NoResponseId => (
            "the answer before has no id, so the conversation cannot be continued by it".to_owned(),
            "a response with an id",
            "none".to_owned(),
            "Send the whole conversation instead: `conversation: replayed`.",
        ),
    };
    Finding {
        rule: "expect/script-goes-on".to_owned(),
        severity: Severity::Must,
        message,
        evidence: Evidence {
            turn: Some(index + 1),
            expected: Some(expected.to_owned()),
            got: Some(got),
            ..Evidence::default()
        },
        cause: None,
        fix: Some(fix.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::check::finding::{Evidence, Finding, Severity};
    use crate::conduct::judge::verdict;
    use crate::report::event::{Judged, KnownGap, Verdict};

    fn judged(severity: Severity, known: bool) -> Judged {
        Judged {
            finding: Finding {
                rule: "r".to_owned(),
                severity,
                message: String::new(),
                evidence: Evidence::default(),
                cause: None,
                fix: None,
            },
            gap: known.then(|| KnownGap {
                id: String::new(),
                about: String::new(),
                consequence: String::new(),
                source: String::new(),
                date: String::new(),
            }),
        }
    }

    #[test]
    fn the_table_of_verdicts() {
        use Severity::{Info, Must, Should};
        for (findings, expected) in [
            (vec![], Verdict::Pass),
            (vec![judged(Info, false)], Verdict::Pass),
            (vec![judged(Should, false)], Verdict::Fail),
            (vec![judged(Must, false)], Verdict::Fail),
            (vec![judged(Must, true)], Verdict::KnownGap),
            (vec![judged(Info, true)], Verdict::Pass),
            (
                vec![judged(Must, true), judged(Should, false)],
                Verdict::Fail,
            ),
            (
                vec![judged(Should, true), judged(Info, false)],
                Verdict::KnownGap,
            ),
        ] {
            assert_eq!(verdict(&findings), expected, "{findings:?}");
        }
    }
}
