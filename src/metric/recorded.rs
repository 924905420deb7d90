//! Values of one kind, as cheap to keep as there are few of them.
//!
//! Core. A histogram of three digits is 140 kB, most of it empty: where a second brings a dozen values, to
//! clear, add and read it costs more than whatever was measured. It says nothing of what the values are.

use std::borrow::Cow;

use hdrhistogram::Histogram;

use crate::metric::distribution::{Distribution, steps};

/// Up to so many values are kept as they are.
const FEW: usize = 1024;

/// A histogram has room for this much from the start; more makes it grow, which copies it.
const ROOM: u64 = 60_000_000;

/// An empty histogram, three significant digits.
fn histogram(room: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, room.max(2), 3)
        .expect("three digits from 1 are in its range");
    histogram.auto(true);
    histogram
}

fn put(histogram: &mut Histogram<u64>, value: u64, times: u64) {
    histogram
        .record_n(value, times)
        .expect("the histogram grows to hold it");
}

/// Values up to 2^63. Those that are kept one by one are exact, the others to three digits.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    few: Vec<u64>,
    /// All, once there are more.
    many: Option<Box<Histogram<u64>>>,
}

impl Recorded {
    /// Adds a value, so many times.
    pub fn record(&mut self, value: u64, times: u64) {
        if self.many.is_none() && times <= (FEW - self.few.len()) as u64 {
            self.few.extend((0..times).map(|_| value));
            return;
        }
        put(self.many(), value, times);
    }

    fn many(&mut self) -> &mut Histogram<u64> {
        let few = &mut self.few;
        self.many.get_or_insert_with(|| {
            let mut many = Box::new(histogram(ROOM));
            for value in std::mem::take(few) {
                put(&mut many, value, 1);
            }
            many
        })
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Recorded) {
        match &other.many {
            // Its emptiness must not make a histogram of our few.
            Some(many) if many.is_empty() => {}
            Some(many) => self
                .many()
                .add(&**many)
                .expect("the histogram grows to hold the other"),
            None => {
                for value in &other.few {
                    self.record(*value, 1);
                }
            }
        }
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.as_ref().is_none_or(|many| many.is_empty())
    }

    /// How many values were recorded.
    pub fn len(&self) -> u64 {
        self.few.len() as u64 + self.many.as_ref().map_or(0, |many| many.len())
    }

    /// Forgets all. It keeps its memory where that was of use: who had many may have many again.
    pub fn clear(&mut self) {
        self.few.clear();
        match self.many.as_deref_mut() {
            Some(many) if many.len() > FEW as u64 => many.reset(),
            _ => self.many = None,
        }
    }

    /// All of it in order, to three digits.
    pub fn distribution(&self) -> Distribution {
        match &self.many {
            Some(many) => Distribution::of_histogram(many),
            None => Distribution::of_values(self.few.iter().copied()),
        }
    }

    /// All of it; made for the occasion where there are few.
    pub fn histogram(&self) -> Cow<'_, Histogram<u64>> {
        if let Some(many) = &self.many {
            return Cow::Borrowed(many);
        }
        let mut made = histogram(self.few.iter().max().copied().unwrap_or(0));
        for value in &self.few {
            put(&mut made, *value, 1);
        }
        Cow::Owned(made)
    }

    /// The smallest values with at least these shares (0 to 1) of all below them or at them; `None` where nothing was
    /// recorded.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[u64; N]> {
        if let Some(many) = self.many.as_ref().filter(|many| !many.is_empty()) {
            return Some(shares.map(|share| many.value_at_quantile(share).min(many.max())));
        }
        let mut sorted = self.few.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        // The product must not go up to the next whole number for the sake of its last bit.
        let rank = |share: f64| (share * sorted.len() as f64 * (1.0 - 1e-12)).ceil() as usize;
        Some(shares.map(|share| sorted[rank(share).saturating_sub(1).min(last)]))
    }

    /// The least and the greatest value that are not told apart, and how many there were.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let few = self.few.iter().map(|value| (*value, *value, 1));
        let many = self.many.iter().flat_map(|many| steps(many));
        let many = many.map(|step| (step.low, step.high, step.count));
        few.chain(many)
    }
}

impl From<Histogram<u64>> for Recorded {
    fn from(mut histogram: Histogram<u64>) -> Recorded {
        histogram.auto(true);
        Recorded {
            few: Vec::new(),
            many: Some(Box::new(histogram)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metric::recorded::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Recorded {
        let mut recorded = Recorded::default();
        for value in values {
            recorded.record(value, 1);
        }
        recorded
    }

    /// What the histogram has, whatever its range.
    fn told(recorded: &Recorded) -> Vec<(u64, u64)> {
        let histogram = recorded.histogram();
        let steps = histogram.iter_recorded();
        steps
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect()
    }

    #[test]
    fn few_and_many_tell_the_same() {
        let value = |n: u64| n * n * 1999 % 200_000_000;
        let few = FEW as u64;
        for count in [0, 1, 2, few - 1, few, few + 1, 5000] {
            let mut plain = histogram(ROOM);
            for n in 0..count {
                put(&mut plain, value(n), 1);
            }
            let plain = Recorded::from(plain);
            let recorded = of((0..count).map(value));
            assert_eq!(recorded.many.is_some(), count > few, "{count}");
            assert_eq!(told(&recorded), told(&plain), "{count}");
            assert_eq!(recorded.is_empty(), count == 0);
            // Whatever is added to what, and however it was kept.
            for split in [0, 3, few, few + 14, 4990, count] {
                let split = split.min(count);
                let (first, second) = (of((0..split).map(value)), of((split..count).map(value)));
                for (one, other) in [(&first, &second), (&second, &first)] {
                    let mut sum = one.clone();
                    sum.add(other);
                    assert_eq!(told(&sum), told(&plain), "{count} at {split}");
                    let mut nothing = of(0..5000);
                    nothing.clear();
                    sum.add(&nothing);
                    assert_eq!(told(&sum), told(&plain), "{count} at {split} and nothing");
                    assert_eq!(sum.many.is_some(), count > few);
                    nothing.add(&sum);
                    assert_eq!(told(&nothing), told(&plain), "nothing and {count}");
                }
            }
            let shares = [0.0, 0.07, 0.5, 0.95, 1.0];
            let quantiles = plain.quantiles(shares);
            assert_eq!(quantiles.is_some(), count > 0);
            for (one, other) in recorded
                .quantiles(shares)
                .iter()
                .flatten()
                .zip(quantiles.iter().flatten())
            {
                assert!(
                    one.abs_diff(*other) <= other / 1000,
                    "{one} and {other} of {count}"
                );
            }
            let total: u64 = recorded.ranges().map(|(_, _, count)| count).sum();
            assert_eq!(total, count);
            for (low, high, _) in recorded.ranges() {
                assert!(high - low <= high / 1000, "{low} to {high}");
            }
        }
    }

    #[test]
    fn what_is_cleared_has_nothing_left() {
        for count in [10, 5000] {
            let mut recorded = of(0..count);
            recorded.clear();
            assert!(recorded.is_empty());
            assert_eq!(told(&recorded), []);
            recorded.record(7, 2);
            assert_eq!(told(&recorded), [(7, 2)]);
        }
    }

    #[test]
    fn a_value_many_times_is_one_range() {
        let mut recorded = of([5]);
        recorded.record(9, 1_000_000);
        assert_eq!(told(&recorded), [(5, 1), (9, 1_000_000)]);
        let mut once = Recorded::default();
        once.record(9, FEW as u64);
        assert_eq!(told(&once), [(9, FEW as u64)]);
    }
}
