//! Conducting: one cell from start to finish, and all cells of a run.
//!
//! Shell. encode → authorise → send → decode → check, then the script's tool results and the next
//! request. Holds no rule and no provider's name; prints nothing.

pub mod circumstance;
pub mod identity;

pub mod judge;
pub mod models;
pub mod told;

pub mod compose;

pub mod attempts;
pub mod background;
pub mod cell;
pub mod turn;

pub mod renewal;
pub mod retry;
pub mod run;
pub mod shown;

#[cfg(test)]
mod tests;
