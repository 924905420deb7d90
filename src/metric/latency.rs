//! Quantiles of durations, kept in a histogram of three significant digits.
//!
//! A quantile is the measured value of its rank, so with fewer than twenty samples p95 is the
//! longest one; reports say how many there were. Never interpolates and never drops a sample.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations as they were measured, to three significant digits of a microsecond count.
#[derive(Debug, Clone)]
pub struct Latency {
    histogram: Histogram<u64>,
    longest: Duration,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency {
            histogram: Histogram::new(3).expect("three digits are in the range of the histogram"),
            longest: Duration::ZERO,
        }
    }
}

impl Latency {
    /// Adds one measurement. Durations beyond an hour count as an hour.
    pub fn record(&mut self, duration: Duration) {
        const HOUR: u64 = 3_600_000_000;
        let micros = u64::try_from(duration.as_micros()).map_or(HOUR, |micros| micros.min(HOUR));
        self.histogram
            .record(micros)
            .expect("the histogram grows to hold an hour");
        self.longest = self.longest.max(Duration::from_micros(micros));
    }

    /// How many measurements there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The value at a quantile from 0 to 1, or none without measurements. Never above the longest.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        (self.count() > 0).then(|| {
            Duration::from_micros(self.histogram.value_at_quantile(quantile)).min(self.longest)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::metric::latency::*;

    fn of(millis: &[u64]) -> Latency {
        let mut latency = Latency::default();
        for one in millis {
            latency.record(Duration::from_millis(*one));
        }
        latency
    }

    #[test]
    fn quantiles_are_ranks() {
        assert_eq!(of(&[]).quantile(0.5), None);
        let few = of(&[10, 20, 30]);
        assert_eq!(few.quantile(0.95), Some(Duration::from_millis(30)));
        let many = of(&(1..=100).collect::<Vec<_>>());
        for (quantile, expected) in [(0.5, 50.0), (0.95, 95.0), (1.0, 100.0)] {
            let got = many.quantile(quantile).unwrap().as_secs_f64() * 1000.0;
            assert!(
                (got - expected).abs() <= expected / 1000.0,
                "{quantile}: {got}"
            );
        }
    }

    #[test]
    fn no_duration_is_too_long() {
        let latency = of(&[u64::MAX]);
        assert_eq!(latency.quantile(0.5), Some(Duration::from_secs(3600)));
    }
}
