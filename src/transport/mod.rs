//! The only client sockets and the only clock of an exchange: an authorised request goes out, bytes
//! with their times of arrival come back.
//!
//! Shell. Decides nothing about what the bytes mean, never retries, never follows redirects.

#[cfg_attr(not(target_os = "linux"), path = "awaited_elsewhere.rs")]
mod awaited;
mod course;
pub mod dial;
mod drive;
mod framing;
mod lanes;
#[cfg(target_os = "linux")]
mod lateness;
mod line;
pub mod live;
pub mod memory;
pub mod moderation;
#[cfg_attr(not(target_os = "linux"), path = "reader_elsewhere.rs")]
mod reader;
mod stamped;
pub mod trust;
pub mod wire;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::turn::exchange::Exchange;

/// A request with its authorisation, about to be sent. `Debug` does not exist: headers are secret.
pub struct Outgoing {
    pub method: &'static str,
    pub url: String,
    /// Header names in lower case, with authorisation.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// Time and size limits of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Name resolution, connection and TLS.
    pub connect: Duration,
    /// The longest silence: until the response head, and between reads.
    pub idle: Duration,
    /// The exchange as a whole.
    pub total: Duration,
    /// Bytes of body that are kept.
    pub body: usize,
}

impl Limits {
    /// What `check` uses where nothing else is said. A long real answer has some megabytes, and what is
    /// made of a body may take tens of times its size in memory. 60 s of silence covers the cold starts seen on
    /// Bedrock (https://github.com/brainlid/langchain/pull/521, 2026-08).
    pub const CHECK: Limits = Limits {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        total: Duration::from_secs(300),
        body: 16 * 1024 * 1024,
    };
}

/// The seam to the outside: live sockets, or answers from memory.
pub trait Transport: Send + Sync {
    /// Sends one request and collects its answer. What goes wrong is in the exchange.
    fn send(&self, request: Outgoing, limits: Limits) -> impl Future<Output = Exchange> + Send;
}
