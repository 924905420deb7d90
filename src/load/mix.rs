//! Which scenario the k-th request of a lane runs, by weights.
//!
//! Choices follow a low-discrepancy sequence instead of independent draws: the shares are exact in the
//! long run, never more than a few requests off on the way, and also within each shard of a run. It
//! must never depend on what was answered.

use std::fmt;
use std::str::FromStr;

use globset::Glob;
use rand::RngExt;

use crate::diagnostic::cut_to;
use crate::document::nearest::{list, nearest};
use crate::load::draw::{self, Purpose};

/// As many names are listed in a message.
const SHOWN: usize = 12;

/// The largest weight.
const HEAVIEST: u32 = 1_000_000;

/// Weights of names, as somebody wrote them: `tools/weather=3,text/*=1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// A glob and its weight. Names that a glob matches share its weight evenly.
    parts: Vec<(String, u32)>,
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        const EXAMPLE: &str = "write `tools/weather=3,text/*=1`";
        let mut parts: Vec<(String, u32)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let shown = cut_to(part, 60);
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let (name, weight) = (name.trim(), weight.trim());
            if name.is_empty() {
                return Err(format!("`{shown}` names no scenario: {EXAMPLE}"));
            }
            let weight = weight
                .parse()
                .ok()
                .filter(|weight| (1..=HEAVIEST).contains(weight))
                .ok_or_else(|| {
                    format!(
                        "in `{shown}`: the weight must be a whole number from 1 to {HEAVIEST}: {EXAMPLE}"
                    )
                })?;
            Glob::new(name).map_err(|error| format!("in `{shown}`: {error}"))?;
            if parts.iter().any(|(other, _)| other == name) {
                return Err(format!(
                    "`{}` is there twice: add up its weights",
                    cut_to(name, 60)
                ));
            }
            parts.push((name.to_owned(), weight));
        }
        Ok(Mix { parts })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, weight)) in self.parts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{name}={weight}")?;
        }
        Ok(())
    }
}

impl Mix {
    /// All names alike.
    pub fn even(names: &[&str], seed: u64) -> Choice {
        Choice::new(names.iter().map(|_| (1, 1)).collect(), seed)
    }

    /// Whether a name has a share.
    pub fn takes(&self, name: &str) -> bool {
        self.parts
            .iter()
            .filter_map(|(pattern, _)| Glob::new(pattern).ok())
            .any(|glob| glob.compile_matcher().is_match(name))
    }

    /// The mix over the names that there are. A name belongs to the first part that matches it; a part
    /// that gets no name is an error.
    pub fn over(&self, names: &[&str], seed: u64) -> Result<Choice, String> {
        let mut owner: Vec<Option<usize>> = vec![None; names.len()];
        let mut counts = vec![0; self.parts.len()];
        for (part, (pattern, _)) in self.parts.iter().enumerate() {
            let glob = Glob::new(pattern)
                .map_err(|error| format!("in `{}`: {error}", cut_to(pattern, 60)))?
                .compile_matcher();
            let mut matched = false;
            for (name, owner) in names.iter().zip(&mut owner) {
                if glob.is_match(name) {
                    matched = true;
                    if owner.is_none() {
                        *owner = Some(part);
                        counts[part] += 1;
                    }
                }
            }
            if counts[part] == 0 {
                let shown = cut_to(pattern, 60);
                return Err(if matched {
                    format!("everything that `{shown}` matches belongs to a part before it")
                } else {
                    match nearest(pattern, names.iter().copied()) {
                        Some(near) => {
                            format!("no scenario is called `{shown}`: did you mean `{near}`?")
                        }
                        None => format!(
                            "no scenario is called `{shown}`: there are {}{}",
                            list(names.iter().copied().take(SHOWN)),
                            match names.len().saturating_sub(SHOWN) {
                                0 => String::new(),
                                more => format!(", and {more} more"),
                            }
                        ),
                    }
                });
            }
        }
        Ok(Choice::new(
            owner
                .into_iter()
                .map(|owner| owner.map_or((0, 1), |part| (self.parts[part].1, counts[part])))
                .collect(),
            seed,
        ))
    }
}

/// Chooses an item for each index of a lane.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Where the share of each item ends, of 2^64. The last is 2^64 itself.
    ends: Vec<u128>,
    offset: u64,
}

impl Choice {
    /// `shares`: per item a weight, and among how many it is divided.
    fn new(shares: Vec<(u32, usize)>, seed: u64) -> Choice {
        let exact = |(weight, among): (u32, usize)| f64::from(weight) / among as f64;
        let all: f64 = shares.iter().copied().map(exact).sum();
        let mut sum = 0.0;
        let mut ends: Vec<u128> = shares
            .into_iter()
            .map(|share| {
                sum += exact(share);
                // 53 bits of a share are exact to one request in 10^15.
                ((sum / all) * 2f64.powi(64)) as u128
            })
            .collect();
        // Rounding must not leave a gap at the end.
        let last = ends.iter().max().copied().unwrap_or_default();
        for end in ends.iter_mut().filter(|end| **end == last) {
            *end = 1 << 64;
        }
        Choice {
            ends,
            offset: draw::stream(seed, Purpose::Mix, 0).random(),
        }
    }

    /// The item of request `index` of a lane, counting from 0; 0 when there are no items.
    ///
    /// Multiples of the golden ratio, modulo 1: of all such sequences the one that fills the unit
    /// interval most evenly, and every n-th of its members does so as well.
    pub fn item(&self, index: u64) -> usize {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let point = u128::from(index.wrapping_mul(GOLDEN).wrapping_add(self.offset));
        let item = self.ends.partition_point(|end| *end <= point);
        item.min(self.ends.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::load::mix::{Choice, Mix};

    const NAMES: [&str; 5] = ["text/hello", "text/long", "tools/two", "tools/weather", "x"];

    fn choice(mix: &str, seed: u64) -> Choice {
        mix.parse::<Mix>()
            .and_then(|mix| mix.over(&NAMES, seed))
            .unwrap_or_else(|error| panic!("{mix}: {error}"))
    }

    fn counts(choice: &Choice, indexes: impl Iterator<Item = u64>) -> [u64; 5] {
        let mut counts = [0; 5];
        for index in indexes {
            counts[choice.item(index)] += 1;
        }
        counts
    }

    #[test]
    fn shares_are_never_more_than_a_few_requests_off() {
        for (mix, shares) in [
            ("tools/weather=3,text/*=1", [0.125, 0.125, 0.0, 0.75, 0.0]),
            ("x=1,text/hello=999", [0.999, 0.0, 0.0, 0.0, 0.001]),
            ("tools/*", [0.0, 0.0, 0.5, 0.5, 0.0]),
            ("x=7,*=3", [0.075, 0.075, 0.075, 0.075, 0.7]),
        ] {
            for seed in 0..5 {
                let choice = choice(mix, seed);
                let mut counts = [0u64; 5];
                for index in 0..20_000u64 {
                    counts[choice.item(index)] += 1;
                    for (count, share) in counts.iter().zip(shares) {
                        // Independent draws would be off by about 60 at the end.
                        let off = *count as f64 - share * (index + 1) as f64;
                        assert!(off.abs() < 5.0, "{mix} {seed} {index}: {counts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_shard_of_a_run_has_the_same_mix() {
        // Strides that have a factor in common with the weights or are near the golden ratio's.
        for shards in [2u64, 3, 4, 5, 8, 13, 100] {
            let choice = choice("tools/weather=3,text/*=1", 1);
            for shard in 0..shards.min(4) {
                let counts = counts(&choice, (0..4000).map(|k| k * shards + shard));
                assert!(counts[3].abs_diff(3000) < 25, "{shards}: {counts:?}");
                assert!(counts[0].abs_diff(500) < 25, "{shards}: {counts:?}");
            }
        }
    }

    #[test]
    fn seeds_begin_elsewhere_and_replay() {
        let items = |seed| -> Vec<usize> {
            let choice = choice("tools/weather=3,text/*=1", seed);
            (0..50).map(|index| choice.item(index)).collect()
        };
        assert_eq!(items(1), items(1));
        assert!((2..9).any(|seed| items(seed) != items(1)));
        let even = Mix::even(&NAMES[..2], 1);
        assert!(counts(&even, 0..100)[0].abs_diff(50) <= 2);
        assert_eq!(Mix::even(&[], 1).item(5), 0);
    }

    #[test]
    fn messages_name_the_part() {
        for (text, expected) in [
            ("", "names no scenario"),
            ("x,,tools/*", "names no scenario"),
            ("x=0", "in `x=0`: the weight must be a whole number from 1"),
            ("x=a", "in `x=a`: the weight"),
            ("x=1.5", "in `x=1.5`"),
            ("x=1,x=2", "`x` is there twice"),
            ("[=1", "in `[=1`: error parsing glob"),
            ("tols/weather", "did you mean `tools/weather`?"),
            (
                "*,x",
                "everything that `x` matches belongs to a part before it",
            ),
            ("qqqqqq/*", "there are `text/hello`"),
        ] {
            let error = text
                .parse::<Mix>()
                .and_then(|mix| mix.over(&NAMES, 0))
                .expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_index_has_an_item_and_what_is_shown_is_read_again(a in 1u32..=1_000_000, b in 1u32..=1_000_000, seed: u64, index: u64) {
            let mix: Mix = format!("text/*={a},x={b}").parse().expect("a mix");
            prop_assert_eq!(mix.to_string().parse::<Mix>(), Ok(mix.clone()));
            let item = mix.over(&NAMES, seed).expect("names").item(index);
            prop_assert!([0, 1, 4].contains(&item), "{}", item);
        }
    }
}
