//! When each event of an answer is due: time to first token and gaps, drawn per region.
//!
//! Pure: the same seed, request number and region give the same offsets. It must never sleep or read
//! a clock.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::mock::data::{Region, Spread};

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

/// The 95th percentile of a standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_7;

fn draw(random: &mut ChaCha8Rng, spread: Spread) -> Duration {
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
    use crate::mock::data::MockData;
    use crate::mock::pace::*;

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
