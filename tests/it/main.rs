//! What a user does, and what the house keeps: one binary for all integration tests.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

mod auth;
mod diagnostics;
mod recordings;
mod report;
mod scenario;
mod tidy;
