//! sameturn: the same agent turn through every provider; see what differs, how it fails, how fast it is.
//!
//! # Layout
//!
//! Modules are listed in the order of the data: a scenario's turn is encoded for a target, authorised,
//! sent, decoded and assembled into a trace; everything else reads traces. `ARCHITECTURE.md` is the map.

pub mod diagnostic;
pub mod document;
pub mod frame;
pub mod json_schema;

pub mod catalog;
pub mod metric;
pub mod scenario;
pub mod target;

pub mod dialect;
pub mod plan;
pub mod turn;

pub mod check;
pub mod parity;

pub mod auth;
pub mod conduct;
pub mod load;
pub mod transport;

pub mod mock;

pub mod report;

pub mod cli;
