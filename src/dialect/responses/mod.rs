//! The OpenAI Responses API: request bodies, streamed events and plain answers.
//!
//! Core. It knows the wire form and no provider; what an answer breaks is kept in the trace.

pub mod assemble;
pub mod encode;
mod item;
mod slot;

#[cfg(test)]
mod tests;
