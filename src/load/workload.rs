//! What is asked: scenarios by weight, or generated prompts of set sizes.
//!
//! Core: the same seed and number give the same conversation, on whatever machine.

use std::sync::Arc;

use crate::scenario::model::Scenario;

/// One conversation about to be held.
#[derive(Debug, Clone)]
pub struct Script {
    /// Which of the mix.
    pub index: usize,
    pub scenario: Arc<Scenario>,
    /// What the user says first, where it is generated.
    pub prompt: Option<String>,
}

/// All that may be asked.
#[derive(Debug, Clone)]
pub struct Workload {
    pub scenarios: Vec<Arc<Scenario>>,
}

impl Workload {
    /// The conversation of an arrival.
    pub fn script(&self, arrival: u64) -> Script {
        let index = (arrival % self.scenarios.len() as u64) as usize;
        Script {
            index,
            scenario: Arc::clone(&self.scenarios[index]),
            prompt: None,
        }
    }
}
