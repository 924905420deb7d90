//! Targets: `sameturn.yaml` in, checked values out.
//!
//! Core: text in, values or diagnostics out.

pub mod model;
