//! A share of a run: which of several machines this is, as somebody wrote it or as an engine says it.
//!
//! Core: the split is arithmetic on numbers that all machines compute alike, so they need no word from
//! each other. Must never guess: half a description is an error.

use std::fmt;
use std::str::FromStr;

use crate::catalog::engine::{self, Engine};
use crate::diagnostic::cut_to;

/// The most machines of a run: what the number in a file name holds.
const MOST: u32 = 99_999;

/// One of `count` machines. The index counts from 0 and is below the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The only one.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// A shard by its index from 0, or what is wrong with it.
    pub fn new(index: u32, count: u32) -> Result<Shard, String> {
        if count == 0 || count > MOST {
            return Err(format!("there can be 1 to {MOST} shards, and not {count}"));
        }
        if index >= count {
            return Err(format!(
                "the index {index} (from 0) is not one of {count} shards"
            ));
        }
        Ok(Shard { index, count })
    }

    /// Counting from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many shards there are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether the work with this number, counted from 0 over the whole run, is done here.
    pub fn takes(self, number: u64) -> bool {
        number % u64::from(self.count) == u64::from(self.index)
    }

    /// This machine's part of a concurrency of the whole run; what cannot be divided goes to the first.
    pub fn share(self, total: u32) -> u32 {
        // No larger than the total.
        u32::try_from(self.part_of(u64::from(total))).unwrap_or(total)
    }

    /// How many of the numbers from 0 below this one are done here.
    pub fn part_of(self, total: u64) -> u64 {
        let count = u64::from(self.count);
        total / count + u64::from(u64::from(self.index) < total % count)
    }

    /// The part of a file name that tells shards apart: the index from 0, `00001-of-00003`.
    pub fn file_part(self) -> String {
        format!("{:05}-of-{:05}", self.index, self.count)
    }

    /// The shard that the environment describes, by the table of engines. `variable` gives the value of
    /// an environment variable that is set.
    pub fn of_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Shard, String> {
        let rows = engine::shipped();
        for row in rows {
            if let Some(shard) = of_engine(row, variable)? {
                return Ok(shard);
            }
        }
        let known: Vec<String> = rows
            .iter()
            .map(|row| format!("{} and {}", row.index, row.count))
            .collect();
        Err(format!(
            "the environment does not say which shard this is: none of these is set: {}; or write it: `--shard 2/3`",
            known.join(", ")
        ))
    }
}

fn of_engine(
    row: &Engine,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Shard>, String> {
    let number = |name: &String| -> Result<Option<u32>, String> {
        let Some(text) = variable(name).filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        text.trim().parse().map(Some).map_err(|_| {
            format!(
                "{name} is `{}` and should be a whole number from 0 ({})",
                cut_to(&text.escape_debug().to_string(), 60),
                row.name
            )
        })
    };
    let optional = |name: &Option<String>| name.as_ref().map_or(Ok(None), &number);
    let missing = |there: &str, missing: &str| {
        format!(
            "{there} is set and {missing} is not: set it to the {} ({})",
            if missing == row.count {
                "number of shards"
            } else {
                "index of this shard"
            },
            row.name
        )
    };
    let (index, count) = match (number(&row.index)?, number(&row.count)?) {
        (None, None) => return Ok(None),
        (None, Some(1)) if row.unsplit => return Ok(Some(Shard::WHOLE)),
        (None, Some(_)) => return Err(missing(&row.count, &row.index)),
        (Some(_), None) => return Err(missing(&row.index, &row.count)),
        (Some(index), Some(count)) => (index, count),
    };
    let lowest = optional(&row.lowest)?.unwrap_or(row.base);
    let step = optional(&row.step)?.unwrap_or(1);
    let highest = optional(&row.highest)?;
    // A list such as 1,3,9 may have any step: then the last index is not where the count puts it.
    if step != 1
        || highest.is_some_and(|highest| highest.checked_sub(lowest) != count.checked_sub(1))
    {
        return Err(format!(
            "the indexes are not consecutive ({lowest} to {}, step {step}, {count} of them): submit them as a plain range such as `0-{}` ({})",
            highest.map_or_else(|| "?".to_owned(), |highest| highest.to_string()),
            count.saturating_sub(1),
            row.name
        ));
    }
    let from_zero = index.checked_sub(lowest).ok_or_else(|| {
        format!(
            "{} is {index}, below the first index {lowest} ({})",
            row.index, row.name
        )
    })?;
    Shard::new(from_zero, count).map(Some).map_err(|error| {
        format!(
            "{} is {index}, {} is {count}: {error}",
            row.index, row.count
        )
    })
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `2/3`, counting from 1.
    fn from_str(text: &str) -> Result<Shard, String> {
        let shown = cut_to(text, 60);
        let wrong = || format!("`{shown}` is not a shard: write `2/3` for the second of three");
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let number: u32 = number.trim().parse().map_err(|_| wrong())?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        let index = number.checked_sub(1).ok_or_else(|| {
            format!("in `{shown}`: shards count from 1: write `1/{count}` for the first")
        })?;
        if index >= count && count > 0 {
            return Err(format!(
                "in `{shown}`: there is no shard {number} of {count}"
            ));
        }
        Shard::new(index, count).map_err(|error| format!("in `{shown}`: {error}"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::plan::shard::Shard;

    fn of(variables: &[(&str, &str)]) -> Result<Shard, String> {
        Shard::of_environment(&|name| {
            variables
                .iter()
                .find(|(one, _)| *one == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn people_count_from_one_and_files_from_zero() {
        let shard: Shard = "2/3".parse().expect("a shard");
        assert_eq!((shard.index(), shard.count()), (1, 3));
        assert_eq!(shard.to_string(), "2/3");
        assert_eq!(shard.file_part(), "00001-of-00003");
        for (text, expected) in [
            ("", "`` is not a shard: write `2/3`"),
            ("2", "`2` is not a shard"),
            ("a/3", "is not a shard"),
            ("-1/3", "is not a shard"),
            ("0/3", "count from 1: write `1/3`"),
            ("4/3", "there is no shard 4 of 3"),
            ("1/0", "1 to 99999 shards, and not 0"),
            ("1/100000", "and not 100000"),
        ] {
            let error = text.parse::<Shard>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn each_engine_is_understood() {
        let slurm = |id, count, min, max, step| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", count),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_MAX", max),
                ("SLURM_ARRAY_TASK_STEP", step),
            ]
        };
        let check = |variables: &[(&str, &str)], expected: &str| match of(variables) {
            Ok(shard) => assert_eq!(shard.to_string(), expected, "{variables:?}"),
            Err(error) => assert!(error.contains(expected), "{variables:?}: {error}"),
        };
        check(
            &[("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "3")],
            "2/3",
        );
        check(
            &[
                ("AWS_BATCH_JOB_ARRAY_INDEX", "0"),
                ("AWS_BATCH_JOB_ARRAY_SIZE", "2"),
            ],
            "1/2",
        );
        check(&[("CI_NODE_INDEX", "3"), ("CI_NODE_TOTAL", "3")], "3/3");
        check(&[("CI_NODE_TOTAL", "1")], "1/1");
        check(
            &[
                ("SAMETURN_SHARD_INDEX", " 3 "),
                ("SAMETURN_SHARD_COUNT", "4"),
            ],
            "4/4",
        );
        check(&slurm("7", "3", "5", "7", "1"), "3/3");
        check(
            &[
                ("SLURM_ARRAY_TASK_ID", "1"),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
            ],
            "2/2",
        );
        // Steps and lists have gaps, which would make shards that nobody runs.
        check(
            &slurm("3", "4", "1", "7", "2"),
            "not consecutive (1 to 7, step 2, 4 of them): submit them as a plain range such as `0-3`",
        );
        check(&slurm("3", "3", "1", "9", "1"), "not consecutive");
        check(
            &[
                ("SLURM_ARRAY_TASK_ID", "0"),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
                ("SLURM_ARRAY_TASK_STEP", "2"),
            ],
            "not consecutive (0 to ?, step 2",
        );
    }

    #[test]
    fn half_a_description_names_the_other_half() {
        for (variables, expected) in [
            (
                vec![],
                "none of these is set: SAMETURN_SHARD_INDEX and SAMETURN_SHARD_COUNT",
            ),
            (
                vec![("JOB_COMPLETION_INDEX", "1")],
                "JOB_COMPLETION_INDEX is set and JOB_COMPLETIONS is not: set it to the number of shards",
            ),
            (
                vec![("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "")],
                "JOB_COMPLETIONS is not",
            ),
            (
                vec![("CI_NODE_TOTAL", "2")],
                "CI_NODE_TOTAL is set and CI_NODE_INDEX is not: set it to the index",
            ),
            (
                vec![("AWS_BATCH_JOB_ARRAY_SIZE", "1")],
                "AWS_BATCH_JOB_ARRAY_INDEX is not",
            ),
            (
                vec![
                    ("SAMETURN_SHARD_INDEX", "one"),
                    ("SAMETURN_SHARD_COUNT", "2"),
                ],
                "SAMETURN_SHARD_INDEX is `one` and should be a whole number",
            ),
            (
                vec![("CI_NODE_INDEX", "0"), ("CI_NODE_TOTAL", "2")],
                "CI_NODE_INDEX is 0, below the first index 1",
            ),
            (
                vec![("JOB_COMPLETION_INDEX", "3"), ("JOB_COMPLETIONS", "3")],
                "the index 3 (from 0) is not one of 3 shards",
            ),
        ] {
            let error = of(&variables).expect_err(expected);
            assert!(error.contains(expected), "{variables:?}: {error}");
        }
    }

    #[test]
    fn the_first_engine_wins() {
        let both = [
            ("CI_NODE_INDEX", "1"),
            ("CI_NODE_TOTAL", "9"),
            ("JOB_COMPLETION_INDEX", "1"),
            ("JOB_COMPLETIONS", "3"),
        ];
        assert_eq!(
            of(&both).map(|shard| shard.to_string()),
            Ok("2/3".to_owned())
        );
    }

    proptest! {
        #[test]
        fn shards_divide_everything_once(count in 1u32..200, total: u32, number: u64) {
            let shards: Vec<Shard> = (0..count).map(|index| Shard::new(index, count).expect("a shard")).collect();
            prop_assert_eq!(shards.iter().filter(|shard| shard.takes(number)).count(), 1);
            let shares: Vec<u32> = shards.iter().map(|shard| shard.share(total)).collect();
            prop_assert_eq!(shares.iter().map(|share| u64::from(*share)).sum::<u64>(), u64::from(total));
            prop_assert!(shares[0] - shares[shares.len() - 1] <= 1);
            prop_assert!(shares.is_sorted_by(|a, b| a >= b));
            for shard in shards {
                prop_assert_eq!(shard.to_string().parse::<Shard>(), Ok(shard));
            }
        }
    }
}
