//! The wire APIs: a neutral request becomes bytes, bytes become events and a trace.
//!
//! Core. A dialect is one folder; it knows no provider.

pub mod wire;
