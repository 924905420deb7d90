//! Backing off: a lane that was refused as too many sends nothing until the provider's time is over.
//!
//! Core: times are given, from the start of the run.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The first wait where the provider names none; it doubles with each refusal in a row.
const FIRST: Duration = Duration::from_secs(1);
/// No wait that we choose is longer.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether a lane may send. Shared by all workers.
#[derive(Debug, Default)]
pub struct Gate {
    /// Microseconds from the start of the run.
    open_from: AtomicU64,
    in_a_row: AtomicU32,
}

impl Gate {
    /// When it opens, where that is still to come.
    pub fn closed_until(&self, now: Duration) -> Option<Duration> {
        let open = Duration::from_micros(self.open_from.load(Ordering::Relaxed));
        (open > now).then_some(open)
    }

    /// A request was refused as too many. Refusals of requests that were under way together count once.
    pub fn refused(&self, now: Duration, wait: Option<Duration>) {
        // At once, or at a time that is over by our clock: whoever obeys that makes a storm of it.
        let wait = wait.filter(|wait| !wait.is_zero());
        if self.closed_until(now).is_some() && wait.is_none() {
            return;
        }
        let before = self.in_a_row.load(Ordering::Relaxed);
        let own = FIRST.saturating_mul(1 << before.min(6)).min(LONGEST);
        let until = now.saturating_add(wait.unwrap_or(own)).as_micros();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        let open_from = self.open_from.fetch_max(until, Ordering::Relaxed);
        // Whoever found it open has closed it, and counts for all of the storm.
        if u128::from(open_from) <= now.as_micros() {
            self.in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was answered. While the gate is closed, it began before the refusal and says nothing.
    pub fn answered(&self, now: Duration) {
        if self.closed_until(now).is_none() {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::load::gate::*;

    #[test]
    fn waits_as_told_or_longer_each_time() {
        let s = Duration::from_secs;
        let gate = Gate::default();
        assert_eq!(gate.closed_until(s(0)), None);
        gate.refused(s(10), None);
        gate.refused(s(10), None);
        assert_eq!(
            gate.closed_until(s(10)),
            Some(s(11)),
            "one storm is one refusal"
        );
        assert_eq!(gate.closed_until(s(11)), None);
        gate.refused(s(11), None);
        assert_eq!(gate.closed_until(s(11)), Some(s(13)));
        gate.refused(s(11), Some(s(30)));
        assert_eq!(
            gate.closed_until(s(12)),
            Some(s(41)),
            "the provider knows best"
        );
        gate.answered(s(20));
        assert_eq!(gate.closed_until(s(20)), Some(s(41)));
        gate.answered(s(45));
        gate.refused(s(50), None);
        assert_eq!(gate.closed_until(s(50)), Some(s(51)));
        gate.answered(s(60));
        for _ in 0..5 {
            gate.refused(s(60), Some(s(2)));
        }
        gate.refused(s(62), None);
        assert_eq!(
            gate.closed_until(s(62)),
            Some(s(64)),
            "a storm that names a wait is one refusal too"
        );
    }

    #[test]
    fn who_is_asked_to_come_again_at_once_waits_all_the_same() {
        let s = Duration::from_secs;
        let gate = Gate::default();
        for (now, until) in [(0, 1), (1, 3), (3, 7)] {
            gate.refused(s(now), Some(Duration::ZERO));
            assert_eq!(gate.closed_until(s(now)), Some(s(until)));
        }
    }
}
