//! InvokeModel and InvokeModelWithResponseStream: Chat Completions bodies on the native path.
//!
//! Core. The request is a chat body without `model`, which stands in the path; a streamed answer is
//! chunks, each as base64 in a message of an event stream. All meaning is that of `dialect::chat`.
//! Sources: AWS user guide, model-parameters-openai; service model of botocore 1.44.5 (2026-11-21).

pub mod encode;
pub mod fold;

#[cfg(test)]
mod tests;
