//! Which part of a run counts: warm-up, the measured window, cool-down.
//!
//! Core: times are from the start of the run.

use std::time::Duration;

use crate::load::sample::Phase;

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
        let endless = Window {
            measured: None,
            ..window
        };
        assert_eq!(endless.phase(s(1_000_000)), Phase::Measured);
        assert_eq!(endless.ends(), None);
    }
}
