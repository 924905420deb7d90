//! How big prompts and answers should be, in tokens: a number, or a distribution.
//!
//! A draw depends on seed, purpose and request number alone. It must never say what was really sent:
//! only the server counts tokens.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;

use crate::diagnostic::cut_to;
use crate::load::draw::{self, Purpose};

/// The largest size, in tokens.
pub const LARGEST: u32 = 1_000_000;

/// What a message shows as right.
const EXAMPLE: &str = "write `256`, `100..400`, `normal(256,64)` (mean, standard deviation) or \
    `lognormal(200,800)` (median, 95th percentile)";

/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_7;

/// A size in tokens. Draws are rounded, and brought into 1 to [`LARGEST`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    Fixed(u32),
    /// All whole numbers of the range alike, both ends included.
    Uniform {
        low: u32,
        high: u32,
    },
    /// What would be below 1 counts as 1, so a wide one has a higher mean than it says.
    Normal {
        mean: f64,
        deviation: f64,
    },
    LogNormal {
        median: f64,
        p95: f64,
    },
}

impl Size {
    /// What nearly all draws are above: of a distribution, its 5th percentile or less.
    pub fn least(&self) -> u32 {
        let tokens = match *self {
            Size::Fixed(tokens) => return tokens,
            Size::Uniform { low, .. } => return low,
            Size::Normal { mean, deviation } => mean - Z95 * deviation,
            Size::LogNormal { median, p95 } => median * median / p95,
        };
        tokens.clamp(1.0, f64::from(LARGEST)) as u32
    }

    /// The size of a request: the same for the same seed, purpose and number.
    pub fn draw(&self, seed: u64, purpose: Purpose, number: u64) -> u32 {
        let random = || draw::stream(seed, purpose, number);
        let tokens = match *self {
            Size::Fixed(tokens) => return tokens,
            Size::Uniform { low, high } => return random().random_range(low..=high),
            Size::Normal { mean, deviation } => mean + deviation * draw::normal(&mut random()),
            Size::LogNormal { median, p95 } => {
                let sigma = (p95 / median).ln() / Z95;
                median * (sigma * draw::normal(&mut random())).exp()
            }
        };
        // The cast saturates, and the clamp keeps it in a range that a u32 holds.
        tokens.round().clamp(1.0, f64::from(LARGEST)) as u32
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let text = text.trim();
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (tokens(low, text)?, tokens(high, text)?);
            if low > high {
                return Err(format!(
                    "`{low}..{high}` begins above its end: write `{high}..{low}`"
                ));
            }
            return Ok(Size::Uniform { low, high });
        }
        let Some((name, rest)) = text.split_once('(') else {
            return Ok(Size::Fixed(tokens(text, text)?));
        };
        let shown = cut_to(text, 60);
        let numbers = rest
            .strip_suffix(')')
            .and_then(|inside| inside.split_once(','))
            .ok_or_else(|| format!("`{shown}` is not a size: {EXAMPLE}"))?;
        let (first, second) = (number(numbers.0, text)?, number(numbers.1, text)?);
        if !(1.0..=f64::from(LARGEST)).contains(&first) {
            return Err(format!(
                "in `{shown}`: {first} is outside 1 to {LARGEST} tokens"
            ));
        }
        match name.trim() {
            "normal" => Ok(Size::Normal {
                mean: first,
                deviation: second,
            }),
            "lognormal" if second < first => Err(format!(
                "in `{shown}`: the 95th percentile {second} is below the median {first}"
            )),
            "lognormal" => Ok(Size::LogNormal {
                median: first,
                p95: second,
            }),
            other => Err(format!(
                "`{}` is no distribution: {EXAMPLE}",
                cut_to(other, 60)
            )),
        }
    }
}

fn tokens(text: &str, whole: &str) -> Result<u32, String> {
    let tokens: u32 = text
        .trim()
        .parse()
        .map_err(|_| format!("`{}` is not a size: {EXAMPLE}", cut_to(whole, 60)))?;
    if !(1..=LARGEST).contains(&tokens) {
        return Err(format!("{tokens} is outside 1 to {LARGEST} tokens"));
    }
    Ok(tokens)
}

/// A decimal number from 0 to [`LARGEST`].
fn number(text: &str, whole: &str) -> Result<f64, String> {
    let number: f64 = text
        .trim()
        .parse()
        .map_err(|_| format!("`{}` is not a size: {EXAMPLE}", cut_to(whole, 60)))?;
    if !(0.0..=f64::from(LARGEST)).contains(&number) {
        return Err(format!(
            "in `{}`: {number} is outside 0 to {LARGEST}",
            cut_to(whole, 60)
        ));
    }
    Ok(number)
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Fixed(tokens) => write!(f, "{tokens}"),
            Size::Uniform { low, high } => write!(f, "{low}..{high}"),
            Size::Normal { mean, deviation } => write!(f, "normal({mean},{deviation})"),
            Size::LogNormal { median, p95 } => write!(f, "lognormal({median},{p95})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::load::draw::Purpose;
    use crate::load::size::{LARGEST, Size};

    fn size(text: &str) -> Size {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn sorted(text: &str, count: u64) -> Vec<u32> {
        let size = size(text);
        let mut drawn: Vec<u32> = (0..count)
            .map(|number| size.draw(5, Purpose::PromptSize, number))
            .collect();
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for text in ["256", "100..400", "normal(256,64)", "lognormal(200,800.5)"] {
            assert_eq!(size(text).to_string(), text);
        }
        assert_eq!(size(" normal( 256 , 64 ) "), size("normal(256,64)"));
    }

    #[test]
    fn messages_say_what_is_right() {
        for (text, expected) in [
            ("", "`` is not a size: write `256`"),
            ("0", "0 is outside 1 to 1000000 tokens"),
            ("1000001", "outside 1 to 1000000"),
            ("400..100", "write `100..400`"),
            ("0..5", "outside 1"),
            ("2.5", "is not a size"),
            ("normal(256)", "is not a size"),
            ("normal(256,64", "is not a size"),
            ("normal(256,-1)", "-1 is outside 0"),
            ("normal(nan,1)", "outside"),
            ("normal(0,5)", "0 is outside 1 to"),
            (
                "lognormal(200,100)",
                "the 95th percentile 100 is below the median 200",
            ),
            ("gamma(2,3)", "`gamma` is no distribution"),
        ] {
            let error = text.parse::<Size>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn draws_have_the_distribution_that_was_asked_for() {
        assert_eq!(sorted("7", 3), [7, 7, 7]);
        let uniform = sorted("1..4", 4000);
        for one in 1..=4 {
            let count = uniform.iter().filter(|&&drawn| drawn == one).count();
            // 4 standard deviations: 4 * sqrt(4000 * 1/4 * 3/4).
            assert!(count.abs_diff(1000) < 110, "{one}: {count}");
        }
        let normal = sorted("normal(500,50)", 10_000);
        let mean = normal.iter().map(|one| f64::from(*one)).sum::<f64>() / 10_000.0;
        assert!((mean - 500.0).abs() < 2.0, "{mean}");
        // A standard deviation below the mean stands the 15.87th percentile.
        assert!(normal[1587].abs_diff(450) < 5, "{}", normal[1587]);
        let long = sorted("lognormal(200,800)", 10_000);
        assert!(long[5000].abs_diff(200) < 10, "{}", long[5000]);
        assert!(long[9500].abs_diff(800) < 60, "{}", long[9500]);
    }

    #[test]
    fn draws_stay_in_their_bounds_and_are_told_apart() {
        let wide = sorted("normal(1,1000000)", 1000);
        assert_eq!((wide[0], wide[999]), (1, LARGEST));
        let any = size("1..1000000");
        let draw = |seed, purpose, number| any.draw(seed, purpose, number);
        let one = draw(1, Purpose::PromptSize, 0);
        assert_eq!(one, draw(1, Purpose::PromptSize, 0));
        assert_ne!(one, draw(1, Purpose::OutputSize, 0));
        assert_ne!(one, draw(1, Purpose::PromptSize, 1));
        assert_ne!(one, draw(2, Purpose::PromptSize, 0));
    }
}
