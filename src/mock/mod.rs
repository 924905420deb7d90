//! Mocked providers: what they send, and how they misbehave on purpose.
//!
//! The mock writes its wire form on its own. It must never use the client's encoder or decoder, so
//! that one mistake cannot hide on both sides.

pub mod outgoing;

pub mod mutate;
mod pointer;

pub mod fault_file;
