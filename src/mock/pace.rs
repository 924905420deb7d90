//! When each event of an answer is due: time to first token and gaps, drawn per region.
//!
//! Pure: the same seed, request number and region give the same offsets. It must never sleep or read
//! a clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::mock::data::{MockData, Region, Spread};

/// Draws for one request.
#[derive(Debug)]
pub struct Pace {
    random: ChaCha8Rng,
    between: Spread,
    now: Duration,
}

impl Pace {
    /// The draws of request `number` (counted from 0 by the server) in this region.
    pub fn of(seed: u64, number: u64, region: &Region) -> Pace {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // A stream of its own per request, so that requests that arrive together do not depend on order.
        random.set_stream(number);
        let now = draw(&mut random, region.ttft_ms);
        Pace {
            random,
            between: region.between_ms,
            now,
        }
    }

    /// The offset of what is sent next, from the arrival of the request.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets the model take the time for another token.
    pub fn token(&mut self) {
        self.now += draw(&mut self.random, self.between);
    }
}

/// A pace in place of the regions' own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PaceChoice {
    pub ttft: Option<Spread>,
    pub between: Option<Spread>,
    /// The time to the first token by region; these win.
    pub region_ttft: Vec<(String, Spread)>,
}

impl PaceChoice {
    /// Sets the pace of all regions. Fails where a region is named that nobody serves.
    pub fn apply(&self, data: &mut MockData) -> Result<(), String> {
        let names = |region: &Region| region.region.clone();
        for (named, _) in &self.region_ttft {
            let regions = data.providers.iter().flat_map(|one| &one.regions);
            let known: BTreeSet<String> = regions.filter_map(names).collect();
            if !known.contains(named) {
                let known: Vec<String> = known.into_iter().collect();
                return Err(format!(
                    "no mock is in a region `{named}`; there are {}",
                    known.join(", ")
                ));
            }
        }
        for region in data.providers.iter_mut().flat_map(|one| &mut one.regions) {
            let own = self.region_ttft.iter().rev();
            let own = own
                .filter(|(named, _)| region.region.as_ref() == Some(named))
                .map(|(_, spread)| *spread);
            region.ttft_ms = own.chain(self.ttft).next().unwrap_or(region.ttft_ms);
            region.between_ms = self.between.unwrap_or(region.between_ms);
        }
        Ok(())
    }
}

/// A while in which a whole server sends nothing, as when its machine is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// From the server's start.
    pub from: Duration,
    pub length: Duration,
}

impl Stall {
    /// When something leaves that was due at this time: what falls into the stall, at its end.
    pub fn moved(&self, started: Instant, due: Instant) -> Instant {
        let from = started + self.from;
        let until = from + self.length;
        if (from..until).contains(&due) {
            until
        } else {
            due
        }
    }
}

/// The 95th percentile of a standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_7;

fn draw(random: &mut ChaCha8Rng, spread: Spread) -> Duration {
    if spread.median == spread.p95 {
        return Duration::try_from_secs_f64(spread.median / 1000.0).unwrap_or(Duration::ZERO);
    }
    let sigma = (spread.p95 / spread.median).ln() / Z95;
    // Box-Muller; 1 - u keeps the logarithm finite.
    let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random::<f64>());
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    let ms = spread.median * (sigma * normal).exp();
    // A tail of ten times the 95th percentile would only be a hang that nobody asked for.
    let ms = ms.clamp(0.0, spread.p95 * 10.0);
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use crate::mock::pace::*;

    #[test]
    fn a_stall_moves_what_falls_into_it() {
        let started = Instant::now();
        let at = |millis| started + Duration::from_millis(millis);
        let stall = Stall {
            from: Duration::from_millis(500),
            length: Duration::from_millis(100),
        };
        let moved = [499, 500, 599, 600].map(|due| stall.moved(started, at(due)));
        assert_eq!(moved, [at(499), at(600), at(600), at(600)]);
    }

    #[test]
    fn a_chosen_pace_holds_everywhere_but_where_a_region_has_its_own() {
        let mut data = MockData::shipped().expect("the shipped data");
        let exact = |ms: f64| Spread {
            median: ms,
            p95: ms,
        };
        let before = data.provider("openai").expect("it is there").regions[0].between_ms;
        let mut choice = PaceChoice {
            ttft: Some(exact(200.0)),
            between: None,
            region_ttft: vec![("us-east-1".to_owned(), exact(300.0))],
        };
        choice.apply(&mut data).expect("the region is known");
        let openai = &data.provider("openai").expect("it is there").regions[0];
        assert_eq!((openai.ttft_ms, openai.between_ms), (exact(200.0), before));
        let slow = data.provider("bedrock-mantle").expect("it is there");
        let ttft = |name| slow.region(Some(name)).expect("it is there").ttft_ms;
        assert_eq!(
            (ttft("us-east-1"), ttft("us-east-2")),
            (exact(300.0), exact(200.0))
        );
        choice.region_ttft[0].0 = "us-moon-1".to_owned();
        let error = choice.apply(&mut data).expect_err("nobody is there");
        assert!(
            error.contains("`us-moon-1`") && error.contains("us-east-1"),
            "{error}"
        );
    }

    #[test]
    fn a_pace_without_spread_is_exact() {
        let mut region = Region {
            region: None,
            ttft_ms: Spread {
                median: 200.0,
                p95: 200.0,
            },
            between_ms: Spread {
                median: 20.0,
                p95: 20.0,
            },
            source: String::new(),
        };
        let mut pace = Pace::of(7, 3, &region);
        pace.token();
        assert_eq!(pace.now(), Duration::from_millis(220));
        region.ttft_ms = Spread {
            median: 0.0,
            p95: 0.0,
        };
        assert_eq!(Pace::of(7, 3, &region).now(), Duration::ZERO);
    }

    #[test]
    fn draws_follow_the_distribution_and_the_seed() {
        let data = MockData::shipped().expect("the shipped data");
        let region = data
            .provider("openai")
            .expect("there is one")
            .region(None)
            .expect("there is one");
        let mut firsts: Vec<Duration> = (0..2000)
            .map(|number| Pace::of(7, number, region).now())
            .collect();
        assert_eq!(firsts[3], Pace::of(7, 3, region).now());
        assert_ne!(firsts[3], Pace::of(8, 3, region).now());
        firsts.sort_unstable();
        let ms = |index: usize| firsts[index].as_secs_f64() * 1000.0;
        assert!(
            (ms(1000) / region.ttft_ms.median - 1.0).abs() < 0.1,
            "{}",
            ms(1000)
        );
        assert!(
            (ms(1900) / region.ttft_ms.p95 - 1.0).abs() < 0.15,
            "{}",
            ms(1900)
        );
    }
}
