//! Service-level objectives: what is promised of a run, and whether it held.
//!
//! A verdict is held, broken or undecided: what the measurement cannot tell apart from its limit is
//! never told as held. Must never measure anything itself.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::diagnostic::cut_to;
use crate::document::nearest::{list, nearest};
use crate::scenario::model::parse_duration;

/// What a message shows as right.
const EXAMPLE: &str = "write for instance `ttft:p95<800ms, itl:p99<60ms, e2e:p99<20s, errors<1%`";

/// A latency of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// From the last byte of the request to the response's head.
    Headers,
    /// Time to first token.
    Ttft,
    /// Inter-token latency: each gap between two tokens.
    Itl,
    /// Time per output token: from the first token to the last, over the number of tokens after the first.
    Tpot,
    /// From the start of the request to its end.
    E2e,
    /// From the intended start to the end: with the wait that an overloaded client or server caused.
    Response,
    /// A whole agent loop, from its first request to its last answer.
    Loop,
}

impl Metric {
    /// All, with the words they are written with.
    pub const ALL: [(&'static str, Metric); 7] = [
        ("headers", Metric::Headers),
        ("ttft", Metric::Ttft),
        ("itl", Metric::Itl),
        ("tpot", Metric::Tpot),
        ("e2e", Metric::E2e),
        ("response", Metric::Response),
        ("loop", Metric::Loop),
    ];

    /// The word it is written with.
    pub fn word(self) -> &'static str {
        Metric::ALL
            .into_iter()
            .find(|(_, metric)| *metric == self)
            .map_or("", |(word, _)| word)
    }
}

/// Which value of many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Above 0 and below 1.
    Quantile(f64),
    Mean,
    Max,
}

/// Whether a value at the limit is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

impl Bound {
    fn admits(self, value: f64, limit: f64) -> bool {
        match self {
            Bound::Below => value < limit,
            Bound::AtMost => value <= limit,
        }
    }
}

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Term {
    Latency {
        metric: Metric,
        statistic: Statistic,
        bound: Bound,
        limit: Duration,
    },
    /// The share of requests that failed, from 0 to 1.
    Errors { bound: Bound, limit: f64 },
}

/// All promises; each must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    pub terms: Vec<Term>,
}

/// A measured value with the interval in which the true one lies: seconds, or a share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub low: f64,
    pub value: f64,
    pub high: f64,
}

impl Measured {
    /// A duration with its interval.
    pub fn duration(low: Duration, value: Duration, high: Duration) -> Measured {
        Measured {
            low: low.as_secs_f64(),
            value: value.as_secs_f64(),
            high: high.as_secs_f64(),
        }
    }
}

/// Whether a promise held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Held,
    Broken,
    /// The interval contains the limit, or there are too few samples for one.
    Undecided,
}

impl Term {
    /// The outcome of a measurement; `None` where there are too few samples for an interval.
    pub fn judge(&self, measured: Option<Measured>) -> Outcome {
        let (bound, limit) = match self {
            Term::Latency { bound, limit, .. } => (*bound, limit.as_secs_f64()),
            Term::Errors { bound, limit } => (*bound, *limit),
        };
        match measured {
            Some(Measured { low, value, high })
                if low.is_nan() || value.is_nan() || high.is_nan() =>
            {
                Outcome::Undecided
            }
            Some(measured) if bound.admits(measured.high, limit) => Outcome::Held,
            Some(measured) if !bound.admits(measured.low, limit) => Outcome::Broken,
            _ => Outcome::Undecided,
        }
    }
}

impl Objective {
    /// The outcome of each term, in their order.
    pub fn judge(&self, measured: impl Fn(&Term) -> Option<Measured>) -> Vec<Outcome> {
        self.terms
            .iter()
            .map(|term| term.judge(measured(term)))
            .collect()
    }

    /// Whether a request counts for the goodput: it succeeded, and its own values keep each latency.
    pub fn is_good(&self, request: &OneRequest<'_>) -> bool {
        request.succeeded && self.terms.iter().all(|term| request.keeps(term))
    }
}

/// Broken as soon as one is, held only when all are.
pub fn all(outcomes: &[Outcome]) -> Outcome {
    if outcomes.contains(&Outcome::Broken) {
        Outcome::Broken
    } else if outcomes.contains(&Outcome::Undecided) {
        Outcome::Undecided
    } else {
        Outcome::Held
    }
}

/// What one request showed of itself.
pub struct OneRequest<'a> {
    pub succeeded: bool,
    /// Its value of a metric other than [`Metric::Itl`]; `None` where it has none.
    pub value: &'a dyn Fn(Metric) -> Option<Duration>,
    /// The gaps between its tokens.
    pub gaps: &'a [Duration],
}

impl OneRequest<'_> {
    /// Whether this request alone keeps a promise. One value has no percentiles, so whatever the
    /// statistic, the value itself must keep the limit; a request without a value keeps no promise about
    /// it. Gaps are many: of them the statistic is taken within the request. An answer of one token
    /// has neither gaps nor a time per output token, and breaks no promise about them.
    fn keeps(&self, term: &Term) -> bool {
        let Term::Latency {
            metric,
            statistic,
            bound,
            limit,
        } = term
        else {
            return true;
        };
        let limit = limit.as_secs_f64();
        let admits = |value: Duration| bound.admits(value.as_secs_f64(), limit);
        match (metric, statistic) {
            (Metric::Itl, Statistic::Mean) => {
                let sum: Duration = self.gaps.iter().sum();
                let count = self.gaps.len() as f64;
                self.gaps.is_empty() || bound.admits(sum.as_secs_f64() / count, limit)
            }
            (Metric::Itl, Statistic::Max) => self.gaps.iter().all(|gap| admits(*gap)),
            (Metric::Itl, Statistic::Quantile(quantile)) => {
                let above = self.gaps.iter().filter(|gap| !admits(**gap)).count() as f64;
                // 1 of 100 is not above a hundredth, whatever 1 - 0.99 is in binary.
                above <= (1.0 - quantile) * self.gaps.len() as f64 + 1e-9
            }
            (Metric::Tpot, _) => (self.value)(Metric::Tpot).is_none_or(admits),
            (metric, _) => (self.value)(*metric).is_some_and(admits),
        }
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Objective, String> {
        let mut terms: Vec<Term> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let term: Term = part.parse()?;
            if terms.contains(&term) {
                return Err(format!("`{}` is there twice", cut_to(part, 60)));
            }
            terms.push(term);
        }
        Ok(Objective { terms })
    }
}

impl FromStr for Term {
    type Err = String;

    fn from_str(part: &str) -> Result<Term, String> {
        let shown = cut_to(part, 60);
        if part.is_empty() {
            return Err(format!("a promise is empty: {EXAMPLE}"));
        }
        let (left, right) = part
            .split_once('<')
            .ok_or_else(|| format!("`{shown}` has no `<` or `<=`: {EXAMPLE}"))?;
        let (bound, right) = match right.strip_prefix('=') {
            Some(right) => (Bound::AtMost, right.trim()),
            None => (Bound::Below, right.trim()),
        };
        let left = left.trim();
        if left == "errors" {
            return errors(right, bound, &shown);
        }
        let (name, statistic) = match left.split_once(':') {
            Some((name, statistic)) => (name.trim(), Some(statistic.trim())),
            None => (left, None),
        };
        let words = || Metric::ALL.into_iter().map(|(word, _)| word);
        let metric = Metric::ALL
            .into_iter()
            .find(|(word, _)| *word == name)
            .map(|(_, metric)| metric)
            .ok_or_else(|| {
                let meant = match nearest(name, words().chain(["errors"])) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", list(words().chain(["errors"]))),
                };
                format!(
                    "in `{shown}`: `{}` is not measured: {meant}",
                    cut_to(name, 60)
                )
            })?;
        let statistic = statistic.ok_or_else(|| {
            format!("`{shown}` does not say which value: write `{name}:p95<…`, `{name}:mean<…` or `{name}:max<…`")
        })?;
        Ok(Term::Latency {
            metric,
            statistic: of_statistic(statistic, &shown)?,
            bound,
            limit: parse_duration(right).map_err(|error| format!("in `{shown}`: {error}"))?,
        })
    }
}

fn of_statistic(text: &str, part: &str) -> Result<Statistic, String> {
    match text {
        "mean" => return Ok(Statistic::Mean),
        "max" => return Ok(Statistic::Max),
        _ => {}
    }
    text.strip_prefix('p')
        .and_then(decimal)
        .filter(|percent| *percent > 0.0 && *percent < 100.0)
        .map(|percent| Statistic::Quantile(percent / 100.0))
        .ok_or_else(|| {
            format!(
                "in `{part}`: `{}` is no value of many: write `p50`, `p99.9`, `mean` or `max`",
                cut_to(text, 60)
            )
        })
}

fn errors(text: &str, bound: Bound, part: &str) -> Result<Term, String> {
    let percent = text
        .strip_suffix('%')
        .and_then(|percent| decimal(percent.trim()))
        .filter(|percent| *percent <= 100.0)
        .ok_or_else(|| {
            format!("in `{part}`: errors are a share in percent: write `errors<1%` or `errors<=0%`")
        })?;
    if percent == 0.0 && bound == Bound::Below {
        return Err(format!(
            "in `{part}`: no share is below nothing: write `errors<=0%`"
        ));
    }
    Ok(Term::Errors {
        bound,
        limit: percent / 100.0,
    })
}

/// A plain decimal number, without sign or exponent.
fn decimal(text: &str) -> Option<f64> {
    text.chars()
        .all(|c| c.is_ascii_digit() || c == '.')
        .then(|| text.parse().ok())
        .flatten()
}

/// A share in percent, as it was written: 0.999 is 99.9 and not 99.90000000000001.
fn percent(share: f64) -> f64 {
    (share * 100.0 * 1e9).round() / 1e9
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statistic::Quantile(quantile) => write!(f, "p{}", percent(*quantile)),
            Statistic::Mean => f.write_str("mean"),
            Statistic::Max => f.write_str("max"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |bound: &Bound| match bound {
            Bound::Below => "<",
            Bound::AtMost => "<=",
        };
        match self {
            Term::Errors { bound, limit } => {
                write!(f, "errors{}{}%", sign(bound), percent(*limit))
            }
            Term::Latency {
                metric,
                statistic,
                bound,
                limit,
            } => {
                write!(f, "{}:{statistic}{}", metric.word(), sign(bound))?;
                let millis = limit.as_millis();
                if millis.is_multiple_of(60_000) {
                    write!(f, "{}m", millis / 60_000)
                } else if millis.is_multiple_of(1000) {
                    write!(f, "{}s", millis / 1000)
                } else {
                    write!(f, "{millis}ms")
                }
            }
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{term}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::load::slo::{Measured, Metric, Objective, OneRequest, Outcome, all};

    fn objective(text: &str) -> Objective {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for text in [
            "ttft:p95<800ms, itl:p99<60ms, tpot:p50<30ms, e2e:p99<20s, errors<1%",
            "ttft:mean<=1500ms, headers:max<2m, response:p99.9<90s, loop:p50<=1s, errors<=0%",
            "itl:p99.99<1ms, errors<0.05%, errors<=33.3%",
        ] {
            assert_eq!(objective(text).to_string(), text);
        }
        assert_eq!(
            objective(" ttft : p95 < 800ms ,errors< 1 %"),
            objective("ttft:p95<800ms, errors<1%")
        );
    }

    #[test]
    fn messages_name_the_offending_part() {
        for (text, expected) in [
            ("", "a promise is empty: write for instance"),
            ("ttft:p95<1s,", "a promise is empty"),
            ("ttft:p95", "`ttft:p95` has no `<` or `<=`"),
            ("ttft<1s", "write `ttft:p95<…`"),
            (
                "tfft:p95<1s",
                "in `tfft:p95<1s`: `tfft` is not measured: did you mean `ttft`?",
            ),
            ("zzzzzz:p95<1s", "there are `headers`, `ttft`"),
            ("ttft:95<1s", "`95` is no value of many: write `p50`"),
            ("ttft:p100<1s", "`p100` is no value"),
            ("ttft:p0<1s", "`p0` is no value"),
            ("ttft:p-5<1s", "`p-5` is no value"),
            ("ttft:p95<800", "in `ttft:p95<800`: `800` is not a duration"),
            ("errors<0.01", "errors are a share in percent"),
            ("errors<101%", "errors are a share in percent"),
            ("errors<0%", "write `errors<=0%`"),
            ("errors:p95<1%", "`errors` is not measured"),
            ("ttft:p95<1s,ttft:p95<1s", "`ttft:p95<1s` is there twice"),
        ] {
            let error = text.parse::<Objective>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_the_interval_does_not_settle_is_undecided() {
        let span = |low, high| {
            Some(Measured {
                low,
                value: (low + high) / 2.0,
                high,
            })
        };
        for (text, measured, expected) in [
            ("ttft:p95<800ms", span(0.6, 0.7), Outcome::Held),
            ("ttft:p95<800ms", span(0.7, 0.9), Outcome::Undecided),
            ("ttft:p95<800ms", span(0.9, 1.0), Outcome::Broken),
            ("ttft:p95<800ms", None, Outcome::Undecided),
            ("ttft:p95<800ms", span(0.8, 0.8), Outcome::Broken),
            ("ttft:p95<=800ms", span(0.8, 0.8), Outcome::Held),
            ("ttft:p95<=800ms", span(0.8, 0.9), Outcome::Undecided),
            (
                "ttft:max<800ms",
                span(f64::NAN, f64::NAN),
                Outcome::Undecided,
            ),
            ("errors<1%", span(0.0, 0.009), Outcome::Held),
            ("errors<1%", span(0.0, 0.04), Outcome::Undecided),
            ("errors<1%", span(0.02, 0.04), Outcome::Broken),
        ] {
            let got = objective(text).judge(|_| measured);
            assert_eq!(got, [expected], "{text} {measured:?}");
        }
    }

    #[test]
    fn one_broken_promise_is_enough_and_one_open_question_too() {
        use Outcome::{Broken, Held, Undecided};
        assert_eq!(all(&[Held, Undecided, Broken]), Broken);
        assert_eq!(all(&[Held, Undecided]), Undecided);
        assert_eq!(all(&[Held, Held]), Held);
    }

    #[test]
    fn a_request_is_good_by_its_own_values() {
        let mut gaps = vec![ms(20); 99];
        gaps.push(ms(500));
        let check = |text: &str, expected: bool| {
            let value = |metric| match metric {
                Metric::Ttft => Some(ms(300)),
                Metric::E2e => Some(ms(2300)),
                _ => None,
            };
            let request = OneRequest {
                succeeded: true,
                value: &value,
                gaps: &gaps,
            };
            assert_eq!(objective(text).is_good(&request), expected, "{text}");
        };
        check("ttft:p50<301ms", true);
        check("ttft:p50<300ms", false);
        check("ttft:p50<=300ms", true);
        check("ttft:max<1s, e2e:p99<2s", false);
        check("itl:p99<60ms", true);
        check("itl:p99.1<60ms", false);
        check("itl:max<501ms", true);
        check("itl:max<500ms", false);
        // The mean gap is 24.8 ms.
        check("itl:mean<25ms", true);
        check("itl:mean<24ms", false);
        // No value: no promise kept, except of what an answer of one token cannot have.
        check("headers:p50<1m", false);
        check("loop:p50<1m", false);
        check("tpot:p50<1ms", true);
        // Of a single request there is no share of errors.
        check("errors<=0%", true);
    }

    #[test]
    fn a_failed_request_is_never_good() {
        let value = |_| Some(ms(1));
        let mut request = OneRequest {
            succeeded: false,
            value: &value,
            gaps: &[],
        };
        assert!(!objective("errors<50%").is_good(&request));
        request.succeeded = true;
        assert!(objective("itl:mean<1ms, itl:p50<1ms, itl:max<1ms").is_good(&request));
    }

    proptest! {
        #[test]
        fn any_percentile_is_shown_as_written(whole in 1u32..100, fraction in 0u32..1000) {
            let text = format!("ttft:p{whole}.{fraction:03}<1s");
            let objective = objective(&text);
            let again: Objective = objective.to_string().parse().expect("shown");
            prop_assert_eq!(objective, again);
        }
    }
}
