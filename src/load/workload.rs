//! What is asked: scenarios by weight, or generated prompts of set sizes.
//!
//! Core: the same seed and arrival give the same conversation, at whatever target and on whatever machine.

use std::sync::{Arc, OnceLock};

use serde_json::json;

use crate::load::draw::Purpose;
use crate::load::mix::Choice;
use crate::load::price::Spending;
use crate::load::prompt::Prompts;
use crate::load::replay::Recorded;
use crate::load::size::{LARGEST, Size};
use crate::scenario::model::Scenario;

/// The name of the conversation that is made of a generated prompt.
pub const GENERATED: &str = "generated";

/// The least that the Responses API takes as `max_output_tokens`
/// (https://platform.openai.com/docs/api-reference/responses/create, 2026-08-21).
const LEAST_LIMIT: u32 = 16;

/// Tokens that stand around a prompt: roles, and the asking for a size.
const AROUND: u64 = 20;

/// One conversation about to be held.
#[derive(Debug, Clone)]
pub struct Script {
    /// Which of the mix.
    pub index: usize,
    pub scenario: Arc<Scenario>,
    /// What the user says first, where it is generated.
    pub prompt: Option<String>,
    /// What the first request is expected to take at most; nothing where that is not known.
    pub asked: Spending,
}

/// Prompts that are made up.
#[derive(Debug, Clone)]
pub struct Generated {
    pub prompts: Prompts,
    pub prompt_tokens: Size,
    pub output_tokens: Size,
    /// Whether the request limits the answer to the tokens that it asks for.
    pub limited: bool,
    pub seed: u64,
    /// The first conversation that was asked for, which serves all with its limit: where sizes are set, that is all.
    pub first: OnceLock<Limited>,
}

/// A conversation and the limit in it.
#[derive(Debug, Clone)]
pub struct Limited {
    limit: Option<u32>,
    scenario: Arc<Scenario>,
}

/// Where conversations come from.
#[derive(Debug, Clone)]
pub enum Source {
    Scenarios {
        scenarios: Vec<Arc<Scenario>>,
        choice: Choice,
    },
    Generated(Generated),
}

/// All that may be asked.
#[derive(Debug, Clone)]
pub struct Workload {
    pub source: Source,
    /// Sizes of recorded requests, in the order of their arrival; empty where nothing is replayed.
    pub recorded: Arc<[Recorded]>,
}

impl Workload {
    /// The names of what is asked, in the order of [`Script::index`].
    pub fn names(&self) -> Vec<String> {
        match &self.source {
            Source::Scenarios { scenarios, .. } => {
                scenarios.iter().map(|one| one.name.clone()).collect()
            }
            Source::Generated(_) => vec![GENERATED.to_owned()],
        }
    }

    /// The conversation of an arrival. `number` must differ between rounds, so that no prompt comes twice.
    pub fn script(&self, arrival: u64, number: u64, lane: usize) -> Script {
        match &self.source {
            Source::Scenarios { scenarios, choice } => {
                let index = choice.item(arrival);
                Script {
                    index,
                    scenario: Arc::clone(&scenarios[index]),
                    prompt: None,
                    asked: Spending::default(),
                }
            }
            Source::Generated(generated) => {
                let recorded = usize::try_from(arrival)
                    .ok()
                    .and_then(|index| self.recorded.get(index));
                generated.script(number, lane, recorded)
            }
        }
    }
}

impl Generated {
    fn script(&self, number: u64, lane: usize, recorded: Option<&Recorded>) -> Script {
        let size = |said: Option<u32>, size: &Size, purpose| {
            let size = said.unwrap_or_else(|| size.draw(self.seed, purpose, number));
            size.clamp(1, LARGEST)
        };
        let input = size(
            recorded.and_then(|one| one.prompt_tokens),
            &self.prompt_tokens,
            Purpose::PromptSize,
        );
        let output = size(
            recorded.and_then(|one| one.output_tokens),
            &self.output_tokens,
            Purpose::OutputSize,
        );
        let limit = self.limited.then_some(output.max(LEAST_LIMIT));
        let make = || Limited {
            limit,
            scenario: Arc::new(conversation(limit)),
        };
        let first = self.first.get_or_init(make);
        let scenario = match first.limit == limit {
            true => Arc::clone(&first.scenario),
            false => make().scenario,
        };
        Script {
            index: 0,
            scenario,
            asked: Spending {
                input: u64::from(input) + AROUND,
                output: u64::from(limit.unwrap_or(output)),
                ..Spending::default()
            },
            // Of the same size at each lane, but not the same: two may share a prompt cache.
            prompt: Some(
                self.prompts
                    .text((lane as u64) << 52 | number, input, output),
            ),
        }
    }
}

/// A single turn, whose text is put in later.
fn conversation(limit: Option<u32>) -> Scenario {
    serde_json::from_value(json!({
        "name": GENERATED,
        "about": "A generated prompt.",
        "settings": { "max_output_tokens": limit },
        "turns": [{ "user": "" }],
    }))
    .expect("the fields are those of a scenario")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::load::prompt::Prefix;
    use crate::load::workload::*;

    /// The limits of requests that ask for so many tokens.
    fn limits(asked: &[u32], limited: bool) -> Vec<Option<u64>> {
        let generated = Generated {
            prompts: Prompts::new(1, 1, Prefix::Unique),
            prompt_tokens: Size::Fixed(20),
            output_tokens: Size::Fixed(64),
            limited,
            seed: 1,
            first: OnceLock::new(),
        };
        let recorded = asked.iter().map(|tokens| Recorded {
            at: Duration::ZERO,
            prompt_tokens: None,
            output_tokens: Some(*tokens),
        });
        let workload = Workload {
            source: Source::Generated(generated),
            recorded: recorded.collect(),
        };
        (0..asked.len() as u64)
            .map(|arrival| workload.script(arrival, arrival, 0))
            .map(|script| script.scenario.settings.max_output_tokens)
            .collect()
    }

    #[test]
    fn each_answer_is_limited_to_what_it_is_asked_for() {
        let asked = [64, 32, 64, 500, 3];
        let expected = [64, 32, 64, 500, u64::from(LEAST_LIMIT)];
        assert_eq!(limits(&asked, true), expected.map(Some));
        assert_eq!(limits(&asked, false), [None; 5]);
    }
}
