//! Targets: `sameturn.yaml` in, checked values out.
//!
//! Core: text in, values or diagnostics out.

pub mod additions;
pub mod bearer_command;
pub mod endpoint;
pub mod lint;
pub mod model;
pub mod read;
pub mod schema;
