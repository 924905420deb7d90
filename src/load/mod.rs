//! Load: when requests start, what they carry, and what is said of how they went.
//!
//! The modules listed here are the core: values in, values out, and the same seed gives the same run.
//! They never open a socket, read a clock or wait.

pub mod arrival;
pub mod draw;
pub mod find;
pub mod mix;
pub mod profile;
pub mod prompt;
pub mod replay;
pub mod size;
pub mod slo;
