//! Checks: wire rules over events, expectations over traces. Findings come out.
//!
//! Core. Knows no provider and no dialect's JSON beyond the events and traces handed to it.

pub mod finding;

pub mod json_text;

pub mod matcher;

pub mod rules;

pub mod expect;
