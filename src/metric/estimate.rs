//! How far a measured quantile, or a measured share, may be from the true one: 95 % intervals.
//!
//! For quantiles without an assumption about the distribution, from order statistics; for shares after
//! Wilson. Samples must be independent for the figure to hold, which requests to a busy server are only
//! nearly. Never gives an interval that the samples are too few for.

use crate::metric::distribution::Distribution;

/// The chance outside an interval, on either side.
const TAIL: f64 = 0.025;

/// The 97.5th percentile of the standard normal distribution (`scipy.stats.norm.ppf(0.975)`).
const Z: f64 = 1.959_963_984_540_054;

/// Up to this variance of a rank the binomial distribution is summed, which takes about twenty times the
/// square root of it in steps: 20,000 at most. Beyond it the normal approximation is off by less than
/// a rank at either end, of nearly 4,000 ranks between them.
const SUMMED: f64 = 1e6;

/// A quantile, and between what the true one lies with a confidence of at least 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub value: u64,
    pub low: u64,
    pub high: u64,
}

/// A quantile (above 0, below 1) of what was recorded; `None` where the run is too short for
/// an interval of two sides: p50 takes 6 samples, p95 takes 72, p99 takes 368, p99.9 takes 3,688.
///
/// The ends are those of its steps, so its rounding is inside the interval.
pub fn estimate(recorded: &Distribution, quantile: f64) -> Option<Estimate> {
    estimate_of(recorded, quantile, recorded.len())
}

/// The same where samples come in groups whose members are alike, and only the groups are independent of each other:
/// a quantile of as many samples as there are groups, each as wide as its share of what was recorded. That is right where
/// members of a group of equal size are all the same, and wider than need be where they differ.
pub fn estimate_of(recorded: &Distribution, quantile: f64, groups: u64) -> Option<Estimate> {
    let count = recorded.len();
    let groups = groups.min(count);
    let (low, high) = ranks(groups, quantile)?;
    let scaled = |rank: u64| u128::from(rank) * u128::from(count);
    // Outwards: the first sample of the lower group, the last one of the upper.
    let low = (scaled(low - 1) / u128::from(groups)) as u64 + 1;
    let high = scaled(high).div_ceil(u128::from(groups)) as u64;
    // The smallest rank with at least this share below or at it; a product such as 0.07 * 100, which
    // is above 7 in binary, must not go up to 8.
    let rank = (quantile * count as f64 * (1.0 - 1e-12)).ceil() as u64;
    let mut estimate = Estimate {
        value: 0,
        low: 0,
        high: 0,
    };
    let mut before = 0;
    for step in recorded.steps() {
        let upto = before + step.count;
        let holds = |rank: u64| before < rank && rank <= upto;
        if holds(low) {
            estimate.low = step.low;
        }
        if holds(rank) {
            estimate.value = step.high;
        }
        if holds(high) {
            estimate.high = step.high;
            break;
        }
        before = upto;
    }
    Some(estimate)
}

/// The ranks, from 1, of the samples between which the true quantile lies with at least 95 %: at most
/// 2.5 % on either side. `None` where they would be outside the sample.
///
/// How many of `count` samples are below the true quantile is binomial; so the largest lower rank `l` has
/// `P(B < l) <= 2.5 %`, and the smallest upper rank `u` has `P(B >= u) <= 2.5 %`. David and Nagaraja, Order
/// Statistics, 3rd edition, section 7.1.
pub fn ranks(count: u64, quantile: f64) -> Option<(u64, u64)> {
    if count == 0 || !(quantile > 0.0 && quantile < 1.0) {
        return None;
    }
    let n = count as f64;
    let variance = n * quantile * (1.0 - quantile);
    let (low, high) = if variance <= SUMMED {
        summed(count, quantile)
    } else {
        let half = Z * variance.sqrt();
        // Outwards, so that the approximation errs towards a wider interval.
        (
            (n * quantile - half).floor() as u64,
            (n * quantile + half).ceil() as u64 + 1,
        )
    };
    (low >= 1 && high <= count).then_some((low, high))
}

/// The ranks by the binomial distribution, whose weights are built from the mode outwards: no gamma
/// function, and nothing underflows that matters.
fn summed(count: u64, quantile: f64) -> (u64, u64) {
    /// Weights below this share of the mode's change no sum.
    const NOTHING: f64 = 1e-20;
    let odds = quantile / (1.0 - quantile);
    let mode = (((count + 1) as f64 * quantile) as u64).min(count);
    let mut below = Vec::new();
    let mut weight = 1.0;
    for k in (0..mode).rev() {
        weight *= (k + 1) as f64 / ((count - k) as f64 * odds);
        if weight < NOTHING {
            break;
        }
        below.push(weight);
    }
    let first = mode - below.len() as u64;
    let mut weights: Vec<f64> = below.into_iter().rev().collect();
    weights.push(1.0);
    weight = 1.0;
    for k in mode..count {
        weight *= (count - k) as f64 * odds / (k + 1) as f64;
        if weight < NOTHING {
            break;
        }
        weights.push(weight);
    }
    let whole: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let mut low = None;
    for (k, weight) in (first..).zip(weights) {
        sum += weight / whole;
        if low.is_none() && sum > TAIL {
            low = Some(k);
        }
        if sum >= 1.0 - TAIL {
            return (low.unwrap_or(k), k + 1);
        }
    }
    // Only if rounding kept the sum below 97.5 %, which it cannot: then no rank is high enough.
    (low.unwrap_or(0), count + 1)
}

/// A share of all, from 0 to 1, and between what the true one lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// The share of `hits` in `count`, with Wilson's 95 % interval: it holds for few hits and for none at
/// all. `None` without samples. (Wilson 1927; Brown, Cai and DasGupta 2001 for why not the plain one.)
pub fn share(hits: u64, count: u64) -> Option<Share> {
    if count == 0 || hits > count {
        return None;
    }
    let n = count as f64;
    let value = hits as f64 / n;
    let scale = 1.0 + Z * Z / n;
    let centre = (value + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(Share {
        value,
        // At the ends the two terms are equal, but not in binary.
        low: if hits == 0 {
            0.0
        } else {
            (centre - half).max(0.0)
        },
        high: if hits == count {
            1.0
        } else {
            (centre + half).min(1.0)
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use crate::metric::distribution::Distribution;
    use crate::metric::estimate::{Estimate, estimate, estimate_of, ranks, share};

    /// By scipy 1.17.1: `l` the smallest k with `binom.cdf(k, n, p) > 0.025`, `u` one more than the
    /// smallest with `binom.cdf(k, n, p) >= 0.975`; none where `l < 1` or `u > n`.
    #[test]
    fn ranks_are_those_of_the_binomial_distribution() {
        for (count, quantile, expected) in [
            (5, 0.5, None),
            (6, 0.5, Some((1, 6))),
            (10, 0.5, Some((2, 9))),
            (100, 0.5, Some((40, 61))),
            (71, 0.95, None),
            (72, 0.95, Some((64, 72))),
            (100, 0.95, Some((90, 100))),
            (1000, 0.95, Some((936, 964))),
            (367, 0.99, None),
            (368, 0.99, Some((360, 368))),
            (1000, 0.99, Some((983, 997))),
            (3687, 0.999, None),
            (3688, 0.999, Some((3680, 3688))),
            (10_000, 0.999, Some((9983, 9997))),
            (100_000, 0.5, Some((49_690, 50_311))),
            (1_000_000, 0.99, Some((989_805, 990_196))),
            (4_000_000, 0.5, Some((1_998_040, 2_001_961))),
        ] {
            assert_eq!(ranks(count, quantile), expected, "{count} {quantile}");
        }
        for (count, quantile) in [(0, 0.5), (100, 0.0), (100, 1.0), (100, f64::NAN)] {
            assert_eq!(ranks(count, quantile), None, "{count} {quantile}");
        }
    }

    /// Beyond the border, by the same scipy: (2048016, 2051985) and (197997242, 198002758).
    #[test]
    fn the_normal_approximation_is_at_most_a_rank_wider() {
        assert_eq!(ranks(4_100_000, 0.5), Some((2_048_015, 2_051_986)));
        assert_eq!(ranks(200_000_000, 0.99), Some((197_997_242, 198_002_759)));
    }

    /// By scipy 1.17.1: `binomtest(k, n).proportion_ci(0.95, method="wilson")`.
    #[test]
    fn shares_have_the_interval_of_wilson() {
        for (hits, count, low, high) in [
            (0, 10, 0.0, 0.277_532_8),
            (1, 10, 0.017_876_213, 0.404_150_027),
            (0, 1000, 0.0, 0.003_826_758),
            (5, 1000, 0.002_137_536, 0.011_650_955),
            (10, 10, 0.722_467_2, 1.0),
            (333, 1000, 0.304_477_903, 0.362_800_234),
            (1, 1_000_000, 1.77e-7, 5.665e-6),
        ] {
            let share = share(hits, count).expect("samples");
            assert!((share.low - low).abs() < 1e-9, "{hits}/{count}: {share:?}");
            assert!(
                (share.high - high).abs() < 1e-9,
                "{hits}/{count}: {share:?}"
            );
            assert_eq!(share.value, hits as f64 / count as f64);
        }
        assert_eq!(share(0, 0), None);
        assert_eq!(share(2, 1), None);
    }

    fn of(values: impl IntoIterator<Item = u64>) -> Distribution {
        Distribution::of_values(values)
    }

    #[test]
    fn the_values_are_those_of_the_ranks() {
        assert_eq!(
            estimate(&of(1..=100), 0.5),
            Some(Estimate {
                value: 50,
                low: 40,
                high: 61
            })
        );
        assert_eq!(estimate(&of(1..=71), 0.95), None);
        // Many at one value, and a quantile whose product with the count is not whole in binary.
        let same = Estimate {
            value: 7,
            low: 7,
            high: 7,
        };
        assert_eq!(estimate(&of([7; 100]), 0.95), Some(same));
        assert_eq!(estimate(&of(1..=100), 0.07).map(|one| one.value), Some(7));
        // Three digits: a bucket of 100,000 has 64 values, and the interval has both its ends.
        let wide = estimate(&of([100_000; 10]), 0.5).expect("ten are enough");
        assert!(wide.low <= 100_000 && 100_000 <= wide.high);
        assert_eq!(wide.high - wide.low, 63);
    }

    #[test]
    fn the_true_quantile_is_inside_in_95_of_100_runs() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let runs = 1500;
        let quantiles: [f64; 4] = [0.5, 0.9, 0.95, 0.99];
        let mut inside = [0; 4];
        for _ in 0..runs {
            // Exponential of mean 100 ms in microseconds.
            let value = |_| (-100_000.0 * (1.0 - random.random::<f64>()).ln()) as u64;
            let recorded = of((0..400).map(value));
            for (quantile, inside) in quantiles.iter().zip(&mut inside) {
                let truth = -100_000.0 * (1.0 - *quantile).ln();
                let got = estimate(&recorded, *quantile).expect("400 are enough");
                assert!(got.low <= got.value && got.value <= got.high);
                *inside += u32::from(got.low as f64 <= truth && truth <= got.high as f64 + 1.0);
            }
        }
        for (quantile, inside) in quantiles.iter().zip(inside) {
            let coverage = f64::from(inside) / f64::from(runs);
            // Ranks are whole, so it is a little more than asked for; much more would be useless width.
            assert!((0.94..0.985).contains(&coverage), "p{quantile}: {coverage}");
        }
    }

    #[test]
    fn members_of_a_group_are_not_taken_for_independent() {
        let mut random = ChaCha8Rng::seed_from_u64(12);
        let truth = -100_000.0 * 0.1_f64.ln();
        let (mut by_samples, mut by_groups) = (0, 0);
        for _ in 0..400 {
            // 100 answers with 64 gaps each, all of an answer alike.
            let value = |_| (-100_000.0 * (1.0 - random.random::<f64>()).ln()) as u64;
            let recorded = of((0..100).map(value).flat_map(|gap| [gap; 64]));
            let inside = |one: Estimate| one.low as f64 <= truth && truth <= one.high as f64 + 1.0;
            by_samples += u32::from(estimate(&recorded, 0.9).is_some_and(inside));
            by_groups += u32::from(estimate_of(&recorded, 0.9, 100).is_some_and(inside));
        }
        assert!(
            by_groups >= 376 && by_samples < 200,
            "{by_groups} {by_samples}"
        );
        // As many groups as samples are samples; too few groups have no interval.
        let one = of(1..=1000);
        assert_eq!(estimate_of(&one, 0.9, 5000), estimate(&one, 0.9));
        assert_eq!(estimate_of(&one, 0.99, 367), None);
    }

    proptest! {
        #[test]
        fn the_chance_outside_is_at_most_a_fortieth_on_either_side(count in 1u64..60, quantile in 0.01f64..0.99) {
            // By the definition: all terms of the binomial distribution, with Pascal's triangle.
            let mut chances = vec![1.0];
            for _ in 0..count {
                let mut next = vec![0.0; chances.len() + 1];
                for (k, chance) in chances.iter().enumerate() {
                    next[k] += chance * (1.0 - quantile);
                    next[k + 1] += chance * quantile;
                }
                chances = next;
            }
            let below = |rank: u64| chances.iter().take(rank as usize).sum::<f64>();
            match ranks(count, quantile) {
                None => prop_assert!(below(1) > 0.025 - 1e-9 || 1.0 - below(count) > 0.025 - 1e-9),
                Some((low, high)) => {
                    prop_assert!(below(low) <= 0.025 + 1e-9 && below(low + 1) > 0.025 - 1e-9);
                    prop_assert!(1.0 - below(high) <= 0.025 + 1e-9 && 1.0 - below(high - 1) > 0.025 - 1e-9);
                }
            }
        }
    }
}
