//! A turn: the data of an exchange, its normal form, and what to ask next.
//!
//! Core: no sockets, files, environment or clock.

pub mod dialogue;
pub mod exchange;
pub mod trace;
