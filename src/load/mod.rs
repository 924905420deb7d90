//! Load: many turns by a clock, and what was measured of them.
//!
//! A shell around a core. The core's modules take values and give values, and the same seed gives the same
//! run: they never open a socket, read a clock or wait. Nothing here prints or knows a provider's name.

// What is asked, and when.
pub mod arrival;
pub mod draw;
pub mod mix;
pub mod profile;
pub mod prompt;
pub mod replay;
pub mod size;
pub mod window;
pub mod workload;

// What is measured of it, and what that is worth.
pub mod calibration;
pub mod judge;
pub mod listening;
pub mod measure;
pub mod price;
pub mod result;
pub mod sample;
pub mod slo;
pub mod tally;
pub mod trust;

// How far to go.
pub mod ceiling;
pub mod find;
pub mod gate;
pub mod step;

// The shell: threads, clocks, connections.
pub mod clock;
pub mod conversation;
pub mod engine;
pub mod fleet;
pub mod round;
pub mod worker;
