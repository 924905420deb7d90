//! The rules of Chat Completions answers, streamed and plain.
//!
//! Core. As everywhere, a rule knows no provider: real streams of six servers are the judge, and what
//! one of them is known to do differently is a row of `gaps.yaml`.

pub mod ledger;

pub mod chunks;

pub mod choices;

pub mod calls;

pub mod usage;

pub mod contract;

use crate::check::finding::Rule;
use crate::check::rules::Subject;
use crate::check::rules::chat::ledger::Ledger;
use crate::check::rules::collect::Collector;

/// Where most of these rules are written.
const CHUNKS: &str = "OpenAI API reference, Chat Completions streaming (2026-08-21)";

pub static FAMILIES: &[&[&Rule]] = &[
    chunks::RULES,
    choices::RULES,
    calls::RULES,
    usage::RULES,
    contract::RULES,
];

pub fn check(subject: &Subject<'_>, out: &mut Collector<'_>) {
    let ledger = Ledger::read(subject);
    chunks::check(&ledger, out);
    choices::check(&ledger, out);
    calls::check(&ledger, out);
    usage::check(&ledger, out);
    contract::check(&ledger, out);
}
