//! The OpenAI Chat Completions API: request bodies, streamed chunks and plain answers.
//!
//! Core. It knows the wire form and no provider; what an answer breaks is kept in the trace. Fields
//! beside the published schema are read where recorded streams of several servers have them.

mod chunk;
pub mod encode;
pub mod fold;
mod strand;

#[cfg(test)]
mod tests;
