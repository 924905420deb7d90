//! What a user does, and what the house keeps: one binary for all integration tests.

mod auth;
mod recordings;
mod scenario;
mod tidy;
