//! When requests are due: a sequence for each lane (a target in a region), and all lanes as one.
//!
//! The whole sequence follows from profile, spacing and seed, so that several machines compute the same
//! one and each takes its share of it. It must never wait for an answer: arrivals that depend on answers
//! hide the slow ones (coordinated omission).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::load::draw::{Purpose, stream};
use crate::load::profile::{Inverse, Profile};

/// How arrivals are spaced at a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Evenly, as a metronome; lanes take turns.
    Constant,
    /// As independent users arrive: a Poisson process, with bursts and lulls. Lanes are independent.
    Poisson,
}

impl FromStr for Spacing {
    type Err = String;

    fn from_str(text: &str) -> Result<Spacing, String> {
        match text {
            "constant" => Ok(Spacing::Constant),
            "poisson" => Ok(Spacing::Poisson),
            other => Err(format!(
                "`{}` is no spacing of arrivals: write `constant` or `poisson`",
                crate::diagnostic::cut_to(other, 60)
            )),
        }
    }
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Spacing::Constant => "constant",
            Spacing::Poisson => "poisson",
        })
    }
}

/// The arrivals of one lane: offsets from the start of the run, never decreasing.
#[derive(Debug)]
pub struct Arrivals {
    inverse: Inverse,
    next: Next,
}

/// Where the next arrival is, in units of the integral of the rate.
#[derive(Debug)]
enum Next {
    /// The k-th is at k plus the share of this lane. Computed from k, so no error adds up.
    Constant { k: u64, share: f64 },
    /// Increments of mean 1 from the exponential distribution: mapped through the inverse of the
    /// integral they are a Poisson process of the changing rate.
    Poisson { mass: f64, random: Box<ChaCha8Rng> },
}

impl Arrivals {
    /// The arrivals of a lane, of so many lanes, each of which has the whole rate of the profile.
    pub fn new(
        profile: &Profile,
        spacing: Spacing,
        seed: u64,
        lane: usize,
        lanes: usize,
    ) -> Arrivals {
        let next = match spacing {
            Spacing::Constant => Next::Constant {
                k: 0,
                share: lane as f64 / lanes.max(1) as f64,
            },
            Spacing::Poisson => Next::Poisson {
                mass: 0.0,
                random: Box::new(stream(seed, Purpose::Arrival, lane as u64)),
            },
        };
        Arrivals {
            inverse: profile.inverse(),
            next,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let mass = match &mut self.next {
            Next::Constant { k, share } => {
                let mass = *k as f64 + *share;
                *k += 1;
                mass
            }
            Next::Poisson { mass, random } => {
                // 1 - u is above 0, so the logarithm is finite.
                *mass -= (1.0 - random.random::<f64>()).ln();
                *mass
            }
        };
        self.inverse.reach(mass)
    }
}

/// One request of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Counting from 0 over all lanes, in the order of `due`. It decides the shard.
    pub number: u64,
    pub lane: usize,
    /// Counting from 0 within the lane.
    pub index: u64,
    /// From the start of the run.
    pub due: Duration,
}

/// Several lanes as one sequence in the order of time; what is due at once goes in the order of lanes.
#[derive(Debug)]
pub struct Merged {
    lanes: Vec<Lane>,
    /// When the next arrival of each lane is due, of lanes that have one.
    ahead: BinaryHeap<Reverse<(Duration, usize)>>,
    number: u64,
}

#[derive(Debug)]
struct Lane {
    arrivals: Arrivals,
    index: u64,
}

impl Merged {
    /// All lanes of a run.
    pub fn new(profile: &Profile, spacing: Spacing, seed: u64, lanes: usize) -> Merged {
        Merged::of(
            (0..lanes)
                .map(|lane| Arrivals::new(profile, spacing, seed, lane, lanes))
                .collect(),
        )
    }

    /// Lanes that may have profiles of their own.
    pub fn of(lanes: Vec<Arrivals>) -> Merged {
        let mut lanes: Vec<Lane> = lanes
            .into_iter()
            .map(|arrivals| Lane { arrivals, index: 0 })
            .collect();
        let ahead = lanes
            .iter_mut()
            .enumerate()
            .filter_map(|(number, lane)| Some(Reverse((lane.arrivals.next()?, number))))
            .collect();
        Merged {
            lanes,
            ahead,
            number: 0,
        }
    }
}

impl Iterator for Merged {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let mut first = self.ahead.peek_mut()?;
        let Reverse((due, lane)) = *first;
        let own = &mut self.lanes[lane];
        let arrival = Arrival {
            number: self.number,
            lane,
            index: own.index,
            due,
        };
        self.number += 1;
        own.index += 1;
        match own.arrivals.next() {
            // Replacing the first costs one sift instead of two.
            Some(next) => *first = Reverse((next, lane)),
            None => {
                std::collections::binary_heap::PeekMut::pop(first);
            }
        }
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::load::arrival::{Arrival, Arrivals, Merged, Spacing};
    use crate::load::profile::Profile;

    fn profile(text: &str) -> Profile {
        text.parse().expect("a profile")
    }

    fn lane(text: &str, spacing: Spacing, seed: u64) -> Vec<f64> {
        Arrivals::new(&profile(text), spacing, seed, 0, 1)
            .map(|due| due.as_secs_f64())
            .collect()
    }

    #[test]
    fn constant_arrivals_are_a_metronome() {
        let due: Vec<Duration> =
            Arrivals::new(&profile("4/2s"), Spacing::Constant, 1, 0, 1).collect();
        let expected: Vec<Duration> = (0..8).map(|k| Duration::from_millis(250 * k)).collect();
        assert_eq!(due, expected);
        let far = Arrivals::new(&profile("10"), Spacing::Constant, 1, 0, 1).nth(36_000);
        assert_eq!(far, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn ramps_have_the_count_of_their_integral() {
        for (text, count) in [
            ("0..100/10s", 500),
            ("5..50/60s,50/2m,50..0/10s", 7900),
            ("0/1s,7/1s", 7),
            ("0.1/5s", 1),
        ] {
            assert_eq!(lane(text, Spacing::Constant, 1).len(), count, "{text}");
        }
        // On a ramp from 0 the k-th is at the root of k: gaps shrink as the rate grows.
        let ramp = lane("0..100/10s", Spacing::Constant, 1);
        for (k, due) in ramp.iter().enumerate() {
            assert!((due - (k as f64 / 5.0).sqrt()).abs() < 1e-8, "{k}: {due}");
        }
        let of_text = profile("5..50/60s,50/2m,50..0/10s");
        for (k, due) in lane("5..50/60s,50/2m,50..0/10s", Spacing::Constant, 1)
            .iter()
            .enumerate()
        {
            let total = of_text.total(Duration::from_secs_f64(*due));
            assert!((total - k as f64).abs() < 1e-6, "{k}: {total}");
        }
    }

    #[test]
    fn lanes_take_turns() {
        let merged: Vec<Arrival> =
            Merged::new(&profile("10/3s"), Spacing::Constant, 1, 4).collect();
        assert_eq!(merged.len(), 120);
        for (number, arrival) in merged.iter().enumerate() {
            assert_eq!(arrival.number, number as u64);
            assert_eq!(arrival.lane, number % 4);
            assert_eq!(arrival.index, number as u64 / 4);
            assert_eq!(arrival.due, Duration::from_millis(25 * number as u64));
        }
    }

    #[test]
    fn what_is_due_at_once_goes_in_the_order_of_lanes() {
        let same = || Arrivals::new(&profile("2/1s"), Spacing::Constant, 1, 0, 1);
        let merged = Merged::of(vec![same(), same(), same()]);
        let lanes: Vec<usize> = merged.map(|arrival| arrival.lane).collect();
        assert_eq!(lanes, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn lanes_of_nothing_end_at_once() {
        assert_eq!(
            Merged::new(&profile("5/1s"), Spacing::Poisson, 1, 0).next(),
            None
        );
        let nothing = Profile::constant(0.0, None);
        for spacing in [Spacing::Constant, Spacing::Poisson] {
            assert_eq!(Merged::new(&nothing, spacing, 1, 2).next(), None);
        }
    }

    /// The largest distance between the distribution of gaps and the exponential one of mean 1.
    fn kolmogorov_smirnov(gaps: &mut [f64]) -> f64 {
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        gaps.iter()
            .enumerate()
            .map(|(k, gap)| {
                let expected = 1.0 - (-gap).exp();
                (expected - k as f64 / n)
                    .abs()
                    .max((expected - (k + 1) as f64 / n).abs())
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn poisson_gaps_are_exponential_whatever_the_rate_does() {
        for text in ["200/100s", "0..400/100s", "300..100/50s,10/100s,0..760/50s"] {
            let profile = profile(text);
            let due = lane(text, Spacing::Poisson, 7);
            let mean = profile.total(Duration::MAX);
            // 4 standard deviations of the count.
            assert!((due.len() as f64 - mean).abs() < 4.0 * mean.sqrt());
            // In operational time, the integral of the rate, the gaps are exponential of mean 1.
            let mut last = 0.0;
            let mut gaps: Vec<f64> = due
                .iter()
                .map(|due| {
                    let now = profile.total(Duration::from_secs_f64(*due));
                    now - std::mem::replace(&mut last, now)
                })
                .collect();
            let n = gaps.len() as f64;
            let mean = gaps.iter().sum::<f64>() / n;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n;
            assert!((mean - 1.0).abs() < 4.0 / n.sqrt(), "{text}: {mean}");
            // The variance of a sample variance of the exponential distribution is 8/n.
            assert!(
                (variance - 1.0).abs() < 4.0 * (8.0 / n).sqrt(),
                "{text}: {variance}"
            );
            // The 1 % point of the Kolmogorov-Smirnov distribution.
            let distance = kolmogorov_smirnov(&mut gaps);
            assert!(distance < 1.628 / n.sqrt(), "{text}: {distance}");
        }
    }

    #[test]
    fn poisson_counts_of_seconds_vary_as_much_as_their_mean() {
        let mut counts = [0f64; 1000];
        for due in lane("20/1000s", Spacing::Poisson, 3) {
            counts[due as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let dispersion: f64 = counts
            .iter()
            .map(|count| (count - mean).powi(2) / mean)
            .sum();
        // Chi-square with 999 degrees of freedom: its 0.1 % and 99.9 % points (`scipy.stats.chi2.ppf`).
        assert!((866.5..1142.8).contains(&dispersion), "{dispersion}");
    }

    #[test]
    fn lanes_are_independent_and_seeds_replay() {
        let due = |seed, lane| -> Vec<Duration> {
            Arrivals::new(&profile("50"), Spacing::Poisson, seed, lane, 2)
                .take(1000)
                .collect()
        };
        assert_eq!(due(1, 0), due(1, 0));
        assert_ne!(due(1, 0), due(2, 0));
        assert_ne!(due(1, 0), due(1, 1));
        // Pinned: a seed that somebody wrote down gives the same run next year.
        let micros: Vec<u128> = due(42, 0)[..4].iter().map(Duration::as_micros).collect();
        assert_eq!(micros, PINNED);
    }

    const PINNED: [u128; 4] = [8562, 15291, 28894, 38068];

    #[test]
    fn ten_million_arrivals_are_a_loop() {
        let mut merged = Merged::new(&profile("100000"), Spacing::Constant, 1, 2);
        let mut last = None;
        for arrival in merged.by_ref().take(10_000_000) {
            last = Some(arrival);
        }
        let last = last.expect("there were some");
        assert_eq!(
            (last.number, last.lane, last.index),
            (9_999_999, 1, 4_999_999)
        );
        assert_eq!(last.due, Duration::from_nanos(49_999_995_000));
        // Nothing is kept of what has been: one arrival ahead per lane.
        assert_eq!((merged.lanes.len(), merged.ahead.len()), (2, 2));
        assert!(merged.ahead.capacity() < 10);
    }

    proptest! {
        #[test]
        fn shards_together_are_the_whole(shards in 1u64..9, lanes in 1usize..5, seed: u64, poisson: bool) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let all = || Merged::new(&profile("0..40/2s,30/1s"), spacing, seed, lanes);
            let whole: Vec<Arrival> = all().collect();
            let mut united: Vec<Arrival> = (0..shards)
                .flat_map(|shard| all().filter(move |arrival| arrival.number % shards == shard))
                .collect();
            united.sort_by_key(|arrival| arrival.number);
            prop_assert_eq!(&united, &whole);
            prop_assert!(whole.is_sorted_by_key(|arrival| (arrival.due, arrival.lane)));
            for lane in 0..lanes {
                let own: Vec<Duration> = Arrivals::new(&profile("0..40/2s,30/1s"), spacing, seed, lane, lanes).collect();
                let merged: Vec<Duration> = whole.iter().filter(|one| one.lane == lane).map(|one| one.due).collect();
                prop_assert_eq!(own, merged);
            }
        }
    }
}
