//! Bytes to frames. Core: knows no JSON, no socket and no clock.

pub mod sse;

pub mod event_stream;
