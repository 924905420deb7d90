//! Reports: folds over the events of a run, and the written record.
//!
//! Core but for `store`. `record` holds the only types that are serialised to disk.

pub mod event;
