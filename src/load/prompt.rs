//! Prompts of about so many tokens, that miss prompt caches or hit them, as was asked for.
//!
//! How many tokens a text has is the server's business. The estimate here is four characters a token, as
//! providers give it for English (`ai.google.dev/gemini-api/docs/tokens`, read 2026-11-21: 4 characters,
//! or 60 to 80 words for 100 tokens). The words here are plain: a vocabulary that has a token for each of
//! them counts six tenths of the estimate. Reports must quote the usage that the server returned.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::load::draw::{self, Purpose};

/// Characters of English text that make a token, roughly.
const TOKEN: usize = 4;

/// How the prompts of a run relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Different from the first words on, also between runs: a prompt cache has nothing to offer.
    Unique,
    /// The same first tokens in all prompts of a seed, about so many; unique words follow. Where that is
    /// the whole prompt or more, prompts of a size are all the same.
    Shared(u32),
}

/// The prompts of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    seed: u64,
    /// Different in each run, so that no prompt is in the cache from the run before.
    nonce: u64,
    prefix: Prefix,
    shared: String,
}

impl Prompts {
    /// Prompts of a seed. The nonce should be new in each run, unless the run must repeat another one.
    pub fn new(seed: u64, nonce: u64, prefix: Prefix) -> Prompts {
        let mut shared = String::new();
        if let Prefix::Shared(tokens) = prefix {
            let mut random = draw::stream(seed, Purpose::SharedWords, 0);
            fill(&mut shared, &mut random, characters(tokens));
        }
        Prompts {
            seed,
            nonce,
            prefix,
            shared,
        }
    }

    /// The prompt of a request, of about so many tokens, that asks for so many words.
    ///
    /// The same for the same seed, nonce and number. At least 8 words and the sentence that asks: a
    /// smaller prompt than about 20 tokens comes out at that.
    pub fn text(&self, number: u64, tokens: u32, words: u32) -> String {
        let ask = format!("Answer with exactly {words} words.");
        let room = characters(tokens).saturating_sub(ask.len() + 1);
        let mut text = String::with_capacity(room + ask.len() + 16);
        if self.shared.len() > room && self.prefix != Prefix::Unique {
            // Whole words, so that the text stays one.
            let end = self.shared[..room].rfind(' ').unwrap_or(0);
            text.push_str(&self.shared[..end]);
        } else {
            text.push_str(&self.shared);
            for word in distinct(self.seed, self.nonce, number) {
                separate(&mut text);
                text.push_str(word);
            }
            let mut random = draw::stream(self.seed, Purpose::Words, number);
            fill(&mut text, &mut random, room);
        }
        if !text.is_empty() {
            text.push_str(if text.ends_with('.') { " " } else { ". " });
        }
        text + &ask
    }
}

/// An estimate, as said above.
pub fn estimated_tokens(text: &str) -> u32 {
    u32::try_from(text.chars().count().div_ceil(TOKEN)).unwrap_or(u32::MAX)
}

fn characters(tokens: u32) -> usize {
    (tokens as usize).saturating_mul(TOKEN)
}

/// Adds random words until a length is reached, with a full stop now and then.
fn fill(text: &mut String, random: &mut ChaCha8Rng, length: usize) {
    let mut sentence = 0;
    while text.len() < length {
        separate(text);
        text.push_str(WORDS[random.random_range(0..WORDS.len())]);
        sentence += 1;
        if sentence >= 8 && random.random_range(0..4) == 0 {
            text.push('.');
            sentence = 0;
        }
    }
}

fn separate(text: &mut String) {
    if !text.is_empty() {
        text.push(' ');
    }
}

/// Eight words that no other number of the run has, as the eight bytes of a number that is mixed well
/// and can be mixed back.
fn distinct(seed: u64, nonce: u64, number: u64) -> [&'static str; 8] {
    let run = mixed(seed) ^ nonce;
    mixed(number ^ mixed(run))
        .to_le_bytes()
        .map(|byte| WORDS[usize::from(byte)])
}

/// The finaliser of SplitMix64: each number has exactly one image, near ones have far ones.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Plain English words, each once: one for each value of a byte.
const WORDS: [&str; 256] = [
    "river",
    "stone",
    "garden",
    "window",
    "paper",
    "bridge",
    "market",
    "winter",
    "summer",
    "morning",
    "evening",
    "letter",
    "number",
    "water",
    "light",
    "sound",
    "forest",
    "mountain",
    "valley",
    "island",
    "ocean",
    "harbor",
    "village",
    "city",
    "street",
    "corner",
    "table",
    "chair",
    "kitchen",
    "bottle",
    "basket",
    "mirror",
    "silver",
    "copper",
    "iron",
    "glass",
    "wood",
    "cotton",
    "leather",
    "marble",
    "candle",
    "lantern",
    "shadow",
    "cloud",
    "thunder",
    "rain",
    "snow",
    "wind",
    "storm",
    "spring",
    "autumn",
    "field",
    "meadow",
    "orchard",
    "apple",
    "lemon",
    "orange",
    "cherry",
    "grape",
    "pepper",
    "sugar",
    "honey",
    "butter",
    "bread",
    "cheese",
    "coffee",
    "dinner",
    "supper",
    "doctor",
    "teacher",
    "farmer",
    "sailor",
    "baker",
    "writer",
    "painter",
    "singer",
    "driver",
    "captain",
    "soldier",
    "student",
    "brother",
    "sister",
    "mother",
    "father",
    "cousin",
    "uncle",
    "friend",
    "neighbor",
    "stranger",
    "guest",
    "king",
    "queen",
    "prince",
    "castle",
    "tower",
    "temple",
    "church",
    "school",
    "office",
    "factory",
    "station",
    "airport",
    "railway",
    "ticket",
    "journey",
    "travel",
    "voyage",
    "anchor",
    "engine",
    "wheel",
    "wagon",
    "bicycle",
    "motor",
    "rocket",
    "planet",
    "comet",
    "star",
    "moon",
    "sunset",
    "horizon",
    "desert",
    "canyon",
    "glacier",
    "volcano",
    "jungle",
    "lake",
    "pond",
    "stream",
    "creek",
    "shore",
    "beach",
    "wave",
    "coral",
    "shell",
    "whale",
    "dolphin",
    "salmon",
    "eagle",
    "falcon",
    "raven",
    "sparrow",
    "swan",
    "pigeon",
    "owl",
    "tiger",
    "lion",
    "wolf",
    "bear",
    "fox",
    "rabbit",
    "horse",
    "donkey",
    "camel",
    "sheep",
    "goat",
    "cattle",
    "spider",
    "beetle",
    "butterfly",
    "garlic",
    "onion",
    "potato",
    "tomato",
    "carrot",
    "cabbage",
    "wheat",
    "barley",
    "rice",
    "maple",
    "cedar",
    "willow",
    "birch",
    "oak",
    "pine",
    "flower",
    "petal",
    "root",
    "branch",
    "leaf",
    "seed",
    "fruit",
    "harvest",
    "hammer",
    "needle",
    "thread",
    "ribbon",
    "button",
    "pocket",
    "jacket",
    "sweater",
    "blanket",
    "pillow",
    "carpet",
    "curtain",
    "ladder",
    "shelf",
    "drawer",
    "cabinet",
    "engineer",
    "lawyer",
    "judge",
    "mayor",
    "editor",
    "poet",
    "novel",
    "story",
    "poem",
    "song",
    "melody",
    "rhythm",
    "violin",
    "piano",
    "guitar",
    "trumpet",
    "drum",
    "dance",
    "theater",
    "museum",
    "gallery",
    "picture",
    "canvas",
    "color",
    "purple",
    "yellow",
    "scarlet",
    "golden",
    "narrow",
    "gentle",
    "quiet",
    "bright",
    "simple",
    "honest",
    "clever",
    "patient",
    "careful",
    "modern",
    "ancient",
    "distant",
    "hidden",
    "secret",
    "sudden",
    "steady",
    "early",
    "late",
    "along",
    "beneath",
    "behind",
    "across",
    "between",
    "method",
    "reason",
    "answer",
    "question",
    "problem",
    "result",
    "measure",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use crate::load::prompt::{Prefix, Prompts, WORDS, estimated_tokens};

    fn first(text: &str, words: usize) -> Vec<&str> {
        text.split_whitespace().take(words).collect()
    }

    #[test]
    fn words_are_different_plain_and_four_letters_and_a_space_long() {
        assert_eq!(WORDS.iter().collect::<BTreeSet<_>>().len(), 256);
        let plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        assert!(WORDS.iter().all(plain));
        let letters: usize = WORDS.iter().map(|word| word.len()).sum();
        assert!((4.0..6.0).contains(&(letters as f64 / 256.0)), "{letters}");
    }

    #[test]
    fn a_prompt_has_about_the_size_and_asks_for_the_words() {
        for prefix in [Prefix::Unique, Prefix::Shared(64), Prefix::Shared(5000)] {
            let prompts = Prompts::new(1, 2, prefix);
            for tokens in [32, 100, 1000, 50_000] {
                let text = prompts.text(3, tokens, 77);
                assert!(text.ends_with(". Answer with exactly 77 words."), "{text}");
                let got = estimated_tokens(&text);
                assert!(got.abs_diff(tokens) <= 3, "{prefix:?} {tokens}: {got}");
            }
        }
        let small = Prompts::new(1, 2, Prefix::Unique).text(3, 1, 5);
        assert!(estimated_tokens(&small) < 25, "{small}");
    }

    #[test]
    fn a_shared_prefix_has_its_size() {
        for tokens in [0, 1, 64, 2000] {
            let prompts = Prompts::new(1, 2, Prefix::Shared(tokens));
            let (one, other) = (prompts.text(1, 4000, 10), prompts.text(2, 4000, 10));
            let same = one
                .bytes()
                .zip(other.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            let expected = tokens as usize * 4;
            // The next word may begin with the same letters.
            assert!(
                (expected..expected + 20).contains(&same),
                "{tokens}: {same}"
            );
        }
        // Of another seed, another prefix; of another run, the same.
        let of = |seed, nonce| Prompts::new(seed, nonce, Prefix::Shared(100)).text(0, 200, 5);
        assert_ne!(first(&of(1, 0), 8), first(&of(2, 0), 8));
        assert_eq!(first(&of(1, 0), 60), first(&of(1, 9), 60));
        assert_ne!(of(1, 0), of(1, 9));
    }

    #[test]
    fn a_shared_prefix_longer_than_the_prompt_is_cut() {
        let prompts = Prompts::new(1, 2, Prefix::Shared(500));
        let (one, other) = (prompts.text(1, 100, 10), prompts.text(2, 100, 10));
        assert_eq!(one, other);
        assert!(prompts.text(3, 600, 10).starts_with(&one[..one.len() - 40]));
        assert_eq!(prompts.text(1, 1, 10), "Answer with exactly 10 words.");
    }

    #[test]
    fn runs_differ_by_their_nonce() {
        let text = |nonce| Prompts::new(1, nonce, Prefix::Unique).text(0, 50, 5);
        assert_eq!(text(1), text(1));
        assert_ne!(first(&text(1), 8), first(&text(2), 8));
    }

    proptest! {
        #[test]
        fn no_two_unique_prompts_begin_alike(seed: u64, nonce: u64, one: u64, other: u64, near in 1u64..1000) {
            prop_assume!(one != other);
            let prompts = Prompts::new(seed, nonce, Prefix::Unique);
            for other in [other, one.wrapping_add(near)] {
                let (a, b) = (prompts.text(one, 30, 5), prompts.text(other, 30, 5));
                prop_assert_ne!(first(&a, 8), first(&b, 8));
            }
        }

        #[test]
        fn the_first_word_differs_almost_always(seed: u64, nonce: u64) {
            let prompts = Prompts::new(seed, nonce, Prefix::Unique);
            let words: BTreeSet<String> = (0..256)
                .map(|number| prompts.text(number, 20, 5).split(' ').next().unwrap_or_default().to_owned())
                .collect();
            // 256 draws of 256 words have 162 different ones on average, with a deviation of 5.
            prop_assert!(words.len() > 120, "{}", words.len());
        }

        #[test]
        fn shared_prompts_begin_alike(seed: u64, one: u64, other: u64, tokens in 1u32..300) {
            let prompts = Prompts::new(seed, 0, Prefix::Shared(tokens));
            let (a, b) = (prompts.text(one, 400, 5), prompts.text(other, 400, 5));
            prop_assert_eq!(&a[..tokens as usize * 4], &b[..tokens as usize * 4]);
        }
    }
}
