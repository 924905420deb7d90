//! What a user does, and what the house keeps: one binary for all integration tests.

#![allow(
    clippy::unwrap_used,
    reason = "a test may fail where something is missing"
)]

mod adding;
mod agentcore;
mod auth;
mod chat;
mod check;
mod commands;
mod constructed_run;
mod diagnostics;
mod endpoints;
mod failures;
mod gaps;
mod judges;
mod load;
mod load_ends;
mod load_find;
mod load_flags;
mod load_lanes;
mod load_shards;
mod mock;
mod mock_chat;
mod mock_client;
mod mock_pace;
mod mock_runtime;
mod models;
mod network;
mod program;
mod recordings;
mod report;
mod runtime;
mod scenario;
mod sign_in;
mod store;
mod streams;
mod stub_server;
mod tidy;
mod wire;
mod wire_http1;
mod wire_leave;
mod wire_reading;
