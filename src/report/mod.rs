//! Reports: folds over the events of a run, and the written record.
//!
//! Core but for `store`, `load_store` and `shard_store`. `summary` folds the events, `record` makes the one document of a run from
//! it, every other report is a function of that document, and so a run that was read back prints as it
//! did when it ended. Only the types of `record`, `turns`, `load_record` and `shard_record` are serialised
//! to disk.

pub mod event;

pub mod record;
pub mod summary;
pub mod turns;

pub mod escape;
pub mod group;
pub mod layout;
pub mod matrix;
pub mod models;

pub mod grid;
pub mod paint;

pub mod console;
pub mod junit;
pub mod markdown;

pub mod store;

pub mod csv;
pub mod interval_log;
pub mod load_console;
pub mod load_fold;
pub mod load_objective;
pub mod load_record;
pub mod load_store;

pub mod merge;
#[cfg(test)]
mod merge_tests;
pub mod shard_record;
pub mod shard_store;

pub mod inspection;
pub mod requests;
