//! One HTTP request and its response as plain data: bytes with the times of their arrival.
//!
//! Transports make these; decoders read them. No socket and no clock here.

use std::time::Duration;

use bytes::Bytes;

/// A request as it is sent, before authorisation. Secrets are added later and never kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: &'static str,
    /// The absolute URL.
    pub url: String,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// A response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// Header names in lower case, in order, values decoded lossily.
    pub headers: Vec<(String, String)>,
    /// When the head arrived, from the start of the exchange.
    pub at: Duration,
}

impl Head {
    /// The first value of a header, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// One read of the response body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// When the bytes arrived, from the start of the exchange.
    pub at: Duration,
    /// How many bytes of the body this read brought.
    pub len: usize,
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The body ended as HTTP says it should.
    Complete,
    /// Name resolution, connection or TLS failed: no request reached the server.
    Unreachable { reason: String },
    /// The request was sent but no response head came within the limit.
    NoHead { after: Duration },
    /// The connection broke before a response head came.
    Refused { reason: String },
    /// The connection broke inside the body.
    Dropped { reason: String },
    /// Nothing arrived for the idle limit.
    Stalled { after: Duration },
    /// The exchange as a whole took longer than its limit.
    TooLong { after: Duration },
    /// The body grew past the limit of what we keep.
    TooBig { limit: usize },
}

/// A finished exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// `None` when no response head arrived.
    pub head: Option<Head>,
    /// The whole body; `reads` say which part arrived when.
    pub body: Bytes,
    pub reads: Vec<Read>,
    pub end: End,
    /// From the start to the end of the exchange.
    pub total: Duration,
}
