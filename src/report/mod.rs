//! Reports: folds over the events of a run, and the written record.
//!
//! Core but for `store`. `summary` folds the events, `record` makes the one document of a run from
//! it and holds the only types that are serialised to disk; every other report is a function of that
//! document, so a run that was read back prints as it did when it ended.

pub mod event;

pub mod record;
pub mod summary;
pub mod turns;

pub mod escape;
pub mod group;
pub mod layout;
pub mod matrix;

pub mod grid;
pub mod paint;

pub mod console;
pub mod junit;
pub mod markdown;

pub mod store;

pub mod inspection;
pub mod requests;
