//! Random numbers of a run: one seed, and a stream of its own for each purpose and number.
//!
//! So that what one request draws never depends on another one, nor on the order in which they start.
//! The generator is named (`ChaCha8Rng`): a seed must give the same run after an update.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// What is drawn. Purposes never share random numbers, whatever the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The spacing of arrivals.
    Arrival,
    /// The wanted size of a prompt.
    PromptSize,
    /// The wanted size of an answer.
    OutputSize,
    /// The words of a prompt.
    Words,
    /// The words that all prompts of a seed begin with.
    SharedWords,
    /// Where a mix begins.
    Mix,
}

/// The generator of a purpose, with a stream of its own for each number.
pub fn stream(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut random = ChaCha8Rng::from_seed(key);
    random.set_stream(number);
    random
}

/// A number from the standard normal distribution (Box and Muller).
pub fn normal(random: &mut ChaCha8Rng) -> f64 {
    // 1 - u keeps the logarithm finite.
    let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use crate::load::draw::{Purpose, stream};

    #[test]
    fn seed_purpose_and_number_are_all_it_depends_on() {
        let first = |seed, purpose, number| stream(seed, purpose, number).random::<u64>();
        let one = first(1, Purpose::Arrival, 2);
        assert_eq!(one, first(1, Purpose::Arrival, 2));
        for other in [
            first(2, Purpose::Arrival, 2),
            first(1, Purpose::Words, 2),
            first(1, Purpose::Arrival, 3),
        ] {
            assert_ne!(one, other);
        }
    }
}
