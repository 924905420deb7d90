//! What a user does, and what the house keeps: one binary for all integration tests.

mod auth;
mod check;
mod constructed_run;
mod diagnostics;
mod mock;
mod program;
mod recordings;
mod report;
mod scenario;
mod store;
mod stub_server;
mod tidy;
