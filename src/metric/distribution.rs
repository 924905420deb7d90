//! What was recorded of one kind, in order: the values of a histogram of three digits with what is empty left out.
//!
//! Core. A histogram is walked from one end to the other for each question that it is asked, and most of it is empty;
//! this is made once and asked many.

use hdrhistogram::Histogram;

/// Values below 2 to this are told apart, and as many in each doubling above as in its upper half: three significant
/// digits (`Histogram::new(3)`).
const EXACT: u32 = 11;

/// Values that three digits do not tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The least and the greatest of them.
    pub low: u64,
    pub high: u64,
    /// How many were recorded.
    pub count: u64,
}

impl Step {
    /// That of a value.
    fn of(value: u64, count: u64) -> Step {
        let bits = (u64::BITS - value.leading_zeros()).saturating_sub(EXACT);
        let low = value >> bits << bits;
        Step {
            low,
            high: low + ((1 << bits) - 1),
            count,
        }
    }

    /// What stands for all of them in a sum, as in a histogram.
    fn middle(&self) -> f64 {
        (self.low + (self.high - self.low).div_ceil(2)) as f64
    }
}

/// What a histogram has recorded, from the least to the greatest.
pub fn steps(histogram: &Histogram<u64>) -> impl Iterator<Item = Step> {
    histogram.iter_recorded().map(|step| {
        let value = step.value_iterated_to();
        Step {
            low: histogram.lowest_equivalent(value),
            high: histogram.highest_equivalent(value),
            count: step.count_at_value(),
        }
    })
}

/// Values to three digits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// From the least to the greatest; none is empty.
    steps: Vec<Step>,
    len: u64,
}

impl Distribution {
    /// Of single values, in any order.
    pub fn of_values(values: impl IntoIterator<Item = u64>) -> Distribution {
        let mut steps: Vec<Step> = values.into_iter().map(|one| Step::of(one, 1)).collect();
        let len = steps.len() as u64;
        steps.sort_unstable_by_key(|step| step.low);
        steps.dedup_by(|next, step| {
            let same = next.low == step.low;
            step.count += u64::from(same) * next.count;
            same
        });
        Distribution { steps, len }
    }

    /// Of a histogram of three digits.
    pub fn of_histogram(histogram: &Histogram<u64>) -> Distribution {
        Distribution {
            steps: steps(histogram).collect(),
            len: histogram.len(),
        }
    }

    /// From the least to the greatest; none is empty.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many values there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// No value is less; 0 where there is none.
    pub fn min(&self) -> u64 {
        self.steps.first().map_or(0, |step| step.low)
    }

    /// No value is greater, and the greatest is not told apart from it; 0 where there is none.
    pub fn max(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.high)
    }

    /// 0 where there is no value.
    pub fn mean(&self) -> f64 {
        let parts = self.steps.iter();
        parts
            .map(|step| step.middle() * step.count as f64 / self.len as f64)
            .sum()
    }

    /// The standard deviation of what was recorded; 0 where there is no value.
    pub fn stdev(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let mean = self.mean();
        let squares = self.steps.iter().map(|step| {
            let off = step.middle() - mean;
            off * off * step.count as f64
        });
        (squares.sum::<f64>() / self.len as f64).sqrt()
    }

    /// The smallest value with at least this share (0 to 1) of all below it or at it, as the greatest that is not told
    /// apart from it; 0 where there is none.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (share * self.len as f64).ceil() as u64;
        let mut upto = 0;
        let found = self.steps.iter().find(|step| {
            upto += step.count;
            upto >= rank
        });
        found.map_or(self.max(), |step| step.high)
    }

    /// How many values are above this one, and told apart from it.
    pub fn above(&self, value: u64) -> u64 {
        let above = self.steps.iter().rev();
        above
            .take_while(|step| step.low > value)
            .map(|step| step.count)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::metric::distribution::*;

    proptest! {
        #[test]
        fn it_says_what_the_histogram_says(
            values in prop::collection::vec((0u32..40, 0u64..u64::MAX), 0..60),
            share in 0.0f64..=1.0,
        ) {
            // Of all magnitudes, some of them equal.
            let values: Vec<u64> = values.into_iter().map(|(bits, value)| value % (2 << bits)).collect();
            let mut histogram: Histogram<u64> = Histogram::new(3).expect("three digits");
            for value in &values {
                histogram.record(*value).expect("it grows");
            }
            let own = Distribution::of_values(values.iter().copied());
            prop_assert_eq!(&own, &Distribution::of_histogram(&histogram));
            prop_assert_eq!(own.len(), histogram.len());
            prop_assert_eq!(own.is_empty(), histogram.is_empty());
            prop_assert_eq!(own.max(), histogram.max());
            if !values.is_empty() {
                prop_assert_eq!(own.min(), histogram.min());
                prop_assert_eq!(own.quantile(1.0), histogram.value_at_quantile(1.0));
                prop_assert_eq!(own.quantile(share), histogram.value_at_quantile(share));
            }
            let near = |one: f64, other: f64| (one - other).abs() <= other * 1e-9;
            prop_assert!(near(own.mean(), histogram.mean()));
            prop_assert!(near(own.stdev(), histogram.stdev()));
            for limit in values.iter().copied().chain([0, 1 << 50]) {
                let upto = histogram.count_between(0, limit);
                prop_assert_eq!(own.above(limit), histogram.len() - upto);
            }
        }
    }
}
