//! Scenarios: YAML in, checked values out, every complaint with its place.
//!
//! Core: text in, values or diagnostics out. Finding and opening files is `cli`'s work.

pub mod digest;
pub mod gap;
pub mod library;
pub mod lint;
pub mod model;
pub mod one_or_more;
pub mod read;
pub mod schema;
