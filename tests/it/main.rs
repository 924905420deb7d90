//! One binary for all tests of what a user does.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

mod diagnostics;
mod scenario;
