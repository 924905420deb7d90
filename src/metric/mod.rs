//! Numbers over many measurements: histograms and their summaries.
//!
//! Core. Times come in as durations; nothing here reads a clock or knows what was measured.

pub mod distribution;
pub mod estimate;
pub mod latency;
pub mod recorded;
