//! Load: many turns by a clock, and what was measured of them.
//!
//! A shell (`worker`, `conversation`, `clock`, `round`) around a core. What is to run is a value; how it is
//! shown is `report`'s. Nothing here prints or knows a provider's name.

pub mod measure;
pub mod sample;
pub mod tally;
pub mod window;

pub mod arrival;
pub mod draw;
pub mod find;
pub mod mix;
pub mod profile;
pub mod prompt;
pub mod replay;
pub mod size;
pub mod slo;

pub mod workload;

pub mod ceiling;
pub mod gate;

pub mod clock;
pub mod conversation;
pub mod engine;
pub mod fleet;
pub mod listening;
pub mod result;
pub mod round;
pub mod trust;
pub mod worker;
