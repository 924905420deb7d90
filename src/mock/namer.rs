//! Ids and noise of an answer: the same seed and request give the same ones.
//!
//! Pure. It must never draw from the entropy of the machine.

use base64::Engine;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::mock::data::{IdShape, Letters};

#[derive(Debug)]
pub struct Namer {
    random: ChaCha8Rng,
}

impl Namer {
    pub fn of(seed: u64, number: u64) -> Namer {
        // Apart from the draws of the pace, which use the seed itself.
        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        random.set_stream(number);
        Namer { random }
    }

    pub fn id(&mut self, shape: &IdShape) -> String {
        self.letters(&shape.prefix, shape.letters, shape.length)
    }

    pub fn letters(&mut self, prefix: &str, letters: Letters, length: usize) -> String {
        let alphabet: &[u8] = match letters {
            Letters::Hex => b"0123456789abcdef",
            Letters::Base32 => b"abcdefghijklmnopqrstuvwxyz234567",
            Letters::Alphanumeric => {
                b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
            }
        };
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        let mut noise = [0; 64];
        for start in (0..length).step_by(noise.len()) {
            let some = &mut noise[..(length - start).min(64)];
            // In bulk: a padded stream has a thousand letters.
            self.random.fill(some);
            // Of 62 letters, eight come 5/4 as often as the others: noise, not a secret.
            let letter = |byte: &u8| alphabet[usize::from(*byte) * alphabet.len() / 256] as char;
            id.extend(some.iter().map(letter));
        }
        id
    }

    /// A text of `least..=most` letters that means nothing.
    pub fn padding(&mut self, least: usize, most: usize) -> String {
        let length = self.random.random_range(least..=most);
        self.letters("", Letters::Alphanumeric, length)
    }

    /// What encrypted reasoning looks like from outside.
    pub fn encrypted(&mut self, prefix: &str, bytes: usize) -> String {
        let noise: Vec<u8> = (0..bytes).map(|_| self.random.random()).collect();
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        format!("{prefix}{}", engine.encode(noise))
    }
}
