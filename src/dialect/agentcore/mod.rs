//! Invocations of a managed agent: the user's words go in, what the agent says comes out.
//!
//! Core. The service that hosts the agent fixes the address, the headers and the framing; what stands
//! in the JSON is the agent's own contract, and a [`mapping::Mapping`] says where. The conversation is
//! kept by the agent's session and never sent again.

pub mod decode;
pub mod encode;
pub mod mapping;

#[cfg(test)]
mod tests;
