//! Which part of a run counts: warm-up, the measured window, cool-down.
//!
//! Core: times are from the start of the run.

use std::fmt;
use std::time::Duration;

use crate::load::sample::Phase;
use crate::load::tally::Counts;

/// The parts of the measured window that are compared to see whether a wait grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Third {
    First,
    Last,
}

/// The parts of a run, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub warm_up: Duration,
    /// How long is measured; `None` where the number of requests, the schedule or Ctrl-C ends it.
    pub measured: Option<Duration>,
    pub cool_down: Duration,
    /// How many conversations of each lane are measured at most.
    pub most: Option<u64>,
}

impl fmt::Display for Window {
    /// All of it, exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "warm-up {:?}, measured ", self.warm_up)?;
        match (self.measured, self.most) {
            (Some(measured), None) => write!(f, "{measured:?}")?,
            (Some(measured), Some(most)) => write!(f, "{measured:?} or {most} conversations")?,
            (None, Some(most)) => write!(f, "{most} conversations")?,
            (None, None) => f.write_str("until the end")?,
        }
        write!(f, ", cool-down {:?}", self.cool_down)
    }
}

impl Window {
    /// The part that a conversation belongs to that is to start at this time.
    pub fn phase(&self, intended: Duration) -> Phase {
        if intended < self.warm_up {
            Phase::WarmUp
        } else if self.closes().is_some_and(|end| intended >= end) {
            Phase::CoolDown
        } else {
            Phase::Measured
        }
    }

    /// Whether a time belongs to the first or the last third of the measured part, where that has a length.
    pub fn third(&self, intended: Duration) -> Option<Third> {
        let measured = self.measured?;
        let since = intended.checked_sub(self.warm_up)?;
        if since < measured / 3 {
            Some(Third::First)
        } else if since >= measured / 3 * 2 && since < measured {
            Some(Third::Last)
        } else {
            None
        }
    }

    /// How long a lane was measured, of so much that all were: where it had all the conversations that it was to have
    /// (`due` of them, if that is known), until the last answer of its own, unless one was cut, or arrivals were held
    /// back: that time belongs to it.
    pub fn of_lane(&self, all: Duration, counts: &Counts, due: Option<u64>) -> Duration {
        let last = Duration::from_micros(counts.last_end_us);
        let had_all = due.is_some_and(|due| counts.conversations >= due);
        match had_all && counts.cut == 0 && counts.held_back == 0 {
            true => last.saturating_sub(self.warm_up).min(all),
            false => all,
        }
    }

    /// When the measured part ends, where a time says so.
    pub fn closes(&self) -> Option<Duration> {
        Some(self.warm_up + self.measured?)
    }

    /// When nothing is started any more, where a time says so.
    pub fn ends(&self) -> Option<Duration> {
        Some(self.closes()? + self.cool_down)
    }
}

#[cfg(test)]
mod tests {
    use crate::load::window::*;

    #[test]
    fn borders_belong_to_the_later_part() {
        let s = Duration::from_secs;
        let window = Window {
            warm_up: s(2),
            measured: Some(s(10)),
            cool_down: s(3),
            most: None,
        };
        for (at, phase) in [
            (0, Phase::WarmUp),
            (2, Phase::Measured),
            (11, Phase::Measured),
            (12, Phase::CoolDown),
        ] {
            assert_eq!(window.phase(s(at)), phase, "{at}");
        }
        assert_eq!(window.ends(), Some(s(15)));
        for (at, third) in [
            (1, None),
            (2, Some(Third::First)),
            (5, Some(Third::First)),
            (6, None),
            (8, None),
            (9, Some(Third::Last)),
            (11, Some(Third::Last)),
            (12, None),
        ] {
            assert_eq!(window.third(s(at)), third, "{at}");
        }
        let endless = Window {
            measured: None,
            ..window
        };
        assert_eq!(endless.phase(s(1_000_000)), Phase::Measured);
        assert_eq!(endless.ends(), None);
        assert_eq!(endless.third(s(3)), None);
    }

    #[test]
    fn a_lane_that_has_all_its_requests_is_measured_until_the_last_one() {
        let s = Duration::from_secs;
        let of = |due, conversations, cut, held_back| {
            let window = Window {
                warm_up: s(2),
                measured: None,
                cool_down: Duration::ZERO,
                most: None,
            };
            let counts = Counts {
                last_end_us: 5_000_000,
                conversations,
                cut,
                held_back,
                ..Counts::default()
            };
            (
                window.of_lane(s(10), &counts, due),
                window.of_lane(s(1), &counts, due),
            )
        };
        assert_eq!(of(Some(9), 9, 0, 0), (s(3), s(1)));
        // A time or Ctrl-C ended it before it had all.
        assert_eq!(of(Some(9), 8, 0, 0), (s(10), s(1)));
        // What was cut was still asked for.
        assert_eq!(of(Some(9), 9, 1, 0), (s(10), s(1)));
        // And so was what waited for the provider.
        assert_eq!(of(Some(9), 9, 0, 1), (s(10), s(1)));
        assert_eq!(of(None, 9, 0, 0), (s(10), s(1)));
    }
}
