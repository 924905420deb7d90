//! Answers from memory: what a script says comes back, and nothing leaves.
//!
//! For tests of everything above the transport.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::transport::{Limits, Outgoing, Transport};
use crate::turn::exchange::{End, Exchange, Head, Read};

/// Gives its answers one after the other; when they are used up, nobody listens.
#[derive(Debug, Default)]
pub struct Memory {
    answers: Mutex<VecDeque<Exchange>>,
    asked: Mutex<Vec<Asked>>,
}

/// What was asked to be sent, without its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: &'static str,
    pub url: String,
    pub body: Bytes,
}

impl Memory {
    /// Will give these answers.
    pub fn new(answers: impl IntoIterator<Item = Exchange>) -> Memory {
        Memory {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        }
    }

    /// What was asked to be sent, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A whole answer in one read, 1 ms after the request.
pub fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Exchange {
    let at = Duration::from_millis(1);
    let body = body.into();
    Exchange {
        head: Some(Head {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            at,
        }),
        reads: vec![Read {
            at,
            len: body.len(),
        }],
        body,
        end: End::Complete,
        total: at,
    }
}

impl Transport for Memory {
    async fn send(&self, request: Outgoing, _limits: Limits) -> Exchange {
        let asked = Asked {
            method: request.method,
            url: request.url,
            body: request.body,
        };
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(asked);
        let next = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        next.unwrap_or_else(|| Exchange {
            head: None,
            body: Bytes::new(),
            reads: Vec::new(),
            end: End::Unreachable {
                reason: "nobody listens".to_owned(),
            },
            total: Duration::ZERO,
        })
    }
}
