//! The Converse API: request bodies, event-stream messages and plain answers.
//!
//! Core. It knows the wire form and no provider; what an answer breaks is kept in the trace. An event
//! has the form `{"contentBlockDelta": {…}}`: its name and its payload, as recordings write it.

pub mod assemble;
mod block;
pub mod cannot;
pub mod encode;

#[cfg(test)]
mod tests;
