//! How a rate (open loop) or a concurrency (closed loop) develops: segments, one after the other.
//!
//! Everything has a closed form, so a schedule can be computed ahead and split between machines. It
//! must never approximate by steps, and never know whether it is about requests or about agents.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::diagnostic::cut_to;
use crate::scenario::model::parse_duration;

/// The highest rate or concurrency; at this rate arrivals are one nanosecond apart.
pub const HIGHEST: f64 = 1e9;

/// What a message shows as right.
const EXAMPLE: &str = "write `50`, `50/30s`, or `5..50/60s,50/2m,50..0/10s`";

/// A constant or a linear ramp. Both ends are 0 or more, and finite.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Segment {
    from: f64,
    to: f64,
    /// `None`: for ever, of a constant at the end only.
    length: Option<Duration>,
}

impl Segment {
    fn seconds(&self) -> f64 {
        self.length
            .map_or(f64::INFINITY, |length| length.as_secs_f64())
    }

    fn at(&self, seconds: f64) -> f64 {
        if self.from == self.to {
            return self.from;
        }
        let share = (seconds / self.seconds()).min(1.0);
        self.from + (self.to - self.from) * share
    }

    /// The integral of the first seconds of this segment.
    fn mass(&self, seconds: f64) -> f64 {
        if seconds == 0.0 || (self.from == 0.0 && self.to == 0.0) {
            return 0.0;
        }
        (self.from + self.at(seconds)) / 2.0 * seconds
    }

    fn whole_mass(&self) -> f64 {
        self.mass(self.seconds())
    }

    /// The time at which the integral has reached a mass that is below the whole.
    ///
    /// The root of `from·t + slope·t²/2 = mass` in the form that subtracts nothing: it stays exact
    /// where a ramp is almost flat, and where it begins at 0.
    fn reach(&self, mass: f64) -> f64 {
        if mass <= 0.0 {
            return 0.0;
        }
        if self.from == self.to {
            return mass / self.from;
        }
        let slope = (self.to - self.from) / self.seconds();
        // Rounding at the very end of a ramp to 0 must not give the root of a negative number.
        let end_rate = (self.from * self.from + 2.0 * slope * mass).max(0.0).sqrt();
        (2.0 * mass / (self.from + end_rate)).min(self.seconds())
    }
}

/// How a rate per second, or a concurrency, develops from the start of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    segments: Vec<Segment>,
}

impl Profile {
    /// The same rate all the time. The rate is brought into 0 to [`HIGHEST`].
    pub fn constant(rate: f64, length: Option<Duration>) -> Profile {
        let rate = bounded(rate);
        Profile {
            segments: vec![Segment {
                from: rate,
                to: rate,
                length,
            }],
        }
    }

    /// The rate at a time from the start; 0 after the end. Where two segments meet, the later one holds.
    pub fn at(&self, time: Duration) -> f64 {
        let mut start = Duration::ZERO;
        for segment in &self.segments {
            let within = time.saturating_sub(start);
            match segment.length {
                Some(length) if within >= length => start += length,
                _ => return segment.at(within.as_secs_f64()),
            }
        }
        0.0
    }

    /// The integral from the start to a time: how many arrivals are due by then.
    pub fn total(&self, time: Duration) -> f64 {
        let mut start = Duration::ZERO;
        let mut total = 0.0;
        for segment in &self.segments {
            let within = time.saturating_sub(start);
            match segment.length {
                Some(length) if within >= length => {
                    total += segment.whole_mass();
                    start += length;
                }
                _ => return total + segment.mass(within.as_secs_f64()),
            }
        }
        total
    }

    /// How long it is; `None` when it goes on for ever.
    pub fn length(&self) -> Option<Duration> {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// The highest value.
    pub fn peak(&self) -> f64 {
        self.segments
            .iter()
            .map(|segment| segment.from.max(segment.to))
            .fold(0.0, f64::max)
    }

    /// The value that it keeps for ever; `None` where it ends.
    pub fn endless(&self) -> Option<f64> {
        let last = self.segments.last()?;
        last.length.is_none().then_some(last.to)
    }

    /// The same shape with all values multiplied, each brought into 0 to [`HIGHEST`].
    pub fn scaled(&self, factor: f64) -> Profile {
        Profile {
            segments: self
                .segments
                .iter()
                .map(|segment| Segment {
                    from: bounded(segment.from * factor),
                    to: bounded(segment.to * factor),
                    length: segment.length,
                })
                .collect(),
        }
    }

    /// Times at which the integral reaches masses that only grow.
    pub fn inverse(&self) -> Inverse {
        Inverse {
            segments: self.segments.clone().into_iter(),
            now: None,
            start: 0.0,
            before: 0.0,
        }
    }
}

/// The inverse of the integral of a profile, for masses in increasing order.
#[derive(Debug, Clone)]
pub struct Inverse {
    segments: std::vec::IntoIter<Segment>,
    /// The segment that holds the last mass, and its own mass.
    now: Option<(Segment, f64)>,
    /// When that segment starts, in seconds.
    start: f64,
    /// The mass of all segments before it.
    before: f64,
}

impl Inverse {
    /// When the integral has reached a mass: the last such moment, so that nothing is due before a
    /// pause ends. `None` when the profile never gets beyond that mass; so the end itself is outside.
    ///
    /// Masses must not be smaller than the one before; a smaller one is taken for the beginning of
    /// the segment that was reached.
    pub fn reach(&mut self, mass: f64) -> Option<Duration> {
        loop {
            let (segment, whole) = match self.now {
                Some(now) => now,
                None => {
                    let next = self.segments.next()?;
                    *self.now.insert((next, next.whole_mass()))
                }
            };
            if mass - self.before < whole {
                let seconds = self.start + segment.reach(mass - self.before);
                return Duration::try_from_secs_f64(seconds).ok();
            }
            self.before += whole;
            self.start += segment.seconds();
            self.now = None;
        }
    }
}

/// A value that a segment may have. What is no number counts as 0.
fn bounded(value: f64) -> f64 {
    if value.is_nan() {
        return 0.0;
    }
    value.clamp(0.0, HIGHEST)
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Profile, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let mut segments = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let segment = segment(part)?;
            if segment.length.is_none() && index + 1 < parts.len() {
                let shown = cut_to(part, 60);
                return Err(format!(
                    "`{shown}` lasts for ever, so nothing can follow it: give it a duration, as in `{shown}/30s`"
                ));
            }
            segments.push(segment);
        }
        let profile = Profile { segments };
        if profile.peak() == 0.0 {
            return Err(format!(
                "`{}` is 0 all the time: {EXAMPLE}",
                cut_to(text.trim(), 60)
            ));
        }
        Ok(profile)
    }
}

fn segment(part: &str) -> Result<Segment, String> {
    let shown = cut_to(part, 60);
    if part.is_empty() {
        return Err(format!("a segment is empty: {EXAMPLE}"));
    }
    let (values, length) = match part.split_once('/') {
        Some((values, length)) => {
            let length =
                parse_duration(length).map_err(|error| format!("in `{shown}`: {error}"))?;
            (values, Some(length))
        }
        None => (part, None),
    };
    let (from, to) = match values.split_once("..") {
        Some((from, to)) => (value(from, &shown)?, value(to, &shown)?),
        None => {
            let value = value(values, &shown)?;
            (value, value)
        }
    };
    if values.contains("..") && length.is_none() {
        return Err(format!(
            "`{shown}` is a ramp without a duration: write `{shown}/60s`"
        ));
    }
    Ok(Segment { from, to, length })
}

/// A plain decimal number from 0 to [`HIGHEST`].
fn value(text: &str, part: &str) -> Result<f64, String> {
    let text = text.trim();
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value: Option<f64> = plain.then(|| text.parse().ok()).flatten();
    match value {
        Some(value) if value <= HIGHEST => Ok(value),
        Some(_) => Err(format!("in `{part}`: at most {HIGHEST} is possible")),
        None => Err(format!(
            "in `{part}`: `{}` is not a number such as `50` or `0.5`: {EXAMPLE}",
            cut_to(text, 60)
        )),
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", segment.from)?;
            if segment.to != segment.from {
                write!(f, "..{}", segment.to)?;
            }
            if let Some(length) = segment.length {
                let millis = length.as_millis();
                match millis {
                    _ if millis % 60_000 == 0 => write!(f, "/{}m", millis / 60_000)?,
                    _ if millis % 1000 == 0 => write!(f, "/{}s", millis / 1000)?,
                    _ => write!(f, "/{millis}ms")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::load::profile::Profile;

    fn profile(text: &str) -> Profile {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn values_and_totals_have_a_closed_form() {
        let all = "5..50/60s,50/2m,50..0/10s";
        for (text, time, at, total) in [
            ("50", 0.0, 50.0, 0.0),
            ("50", 1000.0, 50.0, 50_000.0),
            ("50/30s", 29.0, 50.0, 1450.0),
            ("50/30s", 30.0, 0.0, 1500.0),
            ("50/30s", 90.0, 0.0, 1500.0),
            (all, 0.0, 5.0, 0.0),
            (all, 30.0, 27.5, 487.5),
            (all, 60.0, 50.0, 1650.0),
            (all, 120.0, 50.0, 4650.0),
            (all, 180.0, 50.0, 7650.0),
            (all, 185.0, 25.0, 7837.5),
            (all, 190.0, 0.0, 7900.0),
            ("0/10s, 0.5", 10.0, 0.5, 0.0),
            ("0/10s, 0.5", 20.0, 0.5, 5.0),
            ("10/1s,20/1s", 1.0, 20.0, 10.0),
        ] {
            let profile = profile(text);
            assert!(
                (profile.at(seconds(time)) - at).abs() < 1e-9,
                "{text} {time}"
            );
            let got = profile.total(seconds(time));
            assert!((got - total).abs() < 1e-9, "{text} {time}: {got}");
        }
    }

    #[test]
    fn length_peak_and_scale() {
        let ramp = profile("5..50/60s,40/2m");
        assert_eq!(ramp.length(), Some(Duration::from_secs(180)));
        assert_eq!(ramp.peak(), 50.0);
        assert_eq!(profile("5..50/60s,40").length(), None);
        assert_eq!(profile("5..50/60s,40").endless(), Some(40.0));
        assert_eq!(ramp.endless(), None);
        assert_eq!(ramp.scaled(0.5).to_string(), "2.5..25/1m,20/2m");
        assert_eq!(ramp.scaled(f64::NAN).peak(), 0.0);
    }

    #[test]
    fn messages_name_the_part_and_show_what_is_right() {
        for (text, expected) in [
            ("", "a segment is empty: write `50`"),
            ("50,", "lasts for ever, so nothing can follow it"),
            ("50/1s,,5", "a segment is empty"),
            ("5..50", "a ramp without a duration: write `5..50/60s`"),
            ("50/30", "in `50/30`: `30` is not a duration: write `500ms`"),
            ("50/0s", "must be more than nothing"),
            ("-5", "`-5` is not a number such as `50`"),
            ("1e3", "`1e3` is not a number"),
            ("inf", "`inf` is not a number"),
            ("nan..5/3s", "in `nan..5/3s`: `nan` is not a number"),
            ("5...6/3s", "`.6` is not a number"),
            ("2000000000", "at most 1000000000 is possible"),
            ("0,", "for ever"),
            ("0/10s", "is 0 all the time"),
        ] {
            let error = text.parse::<Profile>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_inverse_waits_for_pauses_to_end() {
        let mut inverse = profile("0/10s,2/5s,0/5s,1/10s").inverse();
        for (mass, expected) in [
            (0.0, Some(10.0)),
            (1.0, Some(10.5)),
            (10.0, Some(20.0)),
            (19.5, Some(29.5)),
            (20.0, None),
            (21.0, None),
        ] {
            assert_eq!(inverse.reach(mass), expected.map(seconds), "{mass}");
        }
        // An endless rate of nothing is never beyond any mass.
        let mut inverse = profile("1/2s,0").inverse();
        assert_eq!(inverse.reach(1.0), Some(seconds(1.0)));
        assert_eq!(inverse.reach(2.0), None);
    }

    #[test]
    fn the_inverse_is_exact_on_ramps_of_all_steepness() {
        // 50 a second all but flat for a day: the middle of the mass is the middle of the day.
        let mut flat = profile("50..50.000000001/1440m").inverse();
        let middle = flat.reach(50.0 * 43_200.0).expect("within").as_secs_f64();
        assert!((middle - 43_200.0).abs() < 1e-5, "{middle}");
        // From nothing: half of the time has a quarter of the mass.
        let mut steep = profile("0..100/10s").inverse();
        assert_eq!(steep.reach(0.0), Some(Duration::ZERO));
        assert_eq!(steep.reach(125.0), Some(seconds(5.0)));
        let mut down = profile("100..0/10s").inverse();
        assert_eq!(down.reach(375.0), Some(seconds(5.0)));
        assert!(down.reach(499.999_999_999_9).expect("within") <= seconds(10.0));
        assert_eq!(down.reach(500.0), None);
    }

    /// Profiles with a mass, as people would write them.
    fn any_profile() -> impl Strategy<Value = String> {
        let value = (0u32..2000).prop_map(|value| f64::from(value) / 8.0);
        let part = (value.clone(), value, 1u32..100_000)
            .prop_map(|(from, to, millis)| format!("{from}..{to}/{millis}ms"));
        prop::collection::vec(part, 1..5)
            .prop_map(|parts| parts.join(","))
            .prop_filter("some rate", |text| text.parse::<Profile>().is_ok())
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(text in any_profile(), factor in 0.001f64..10.0) {
            let scaled = profile(&text).scaled(factor);
            prop_assert_eq!(profile(&scaled.to_string()), scaled);
        }

        #[test]
        fn the_inverse_undoes_the_integral(text in any_profile(), share in 0.0f64..0.999) {
            let profile = profile(&text);
            let mass = profile.total(Duration::MAX) * share;
            let time = profile.inverse().reach(mass).expect("below the whole");
            // A nanosecond of rounding is worth so much mass.
            let slack = profile.peak() * 2e-9 + mass * 1e-12;
            prop_assert!((profile.total(time) - mass).abs() <= slack + 1e-9);
        }

        #[test]
        fn the_integral_is_the_sum_of_small_steps(text in any_profile(), share in 0.0f64..1.0) {
            let profile = profile(&text);
            let end = profile.length().expect("it has one").mul_f64(share);
            let step = end / 1000;
            // Mid-points; a jump inside a step costs at most that step.
            let sum: f64 = (0..1000).map(|n| profile.at(step * n + step / 2) * step.as_secs_f64()).sum();
            let slack = 4.0 * profile.peak() * step.as_secs_f64() + 1e-4;
            prop_assert!((profile.total(step * 1000) - sum).abs() <= slack);
        }
    }
}
