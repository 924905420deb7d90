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
    bodies: Mutex<Vec<Bytes>>,
}

impl Memory {
    /// Will give these answers.
    pub fn new(answers: impl IntoIterator<Item = Exchange>) -> Memory {
        Memory {
            answers: Mutex::new(answers.into_iter().collect()),
            bodies: Mutex::default(),
        }
    }

    /// The bodies that were asked to be sent, in order.
    pub fn bodies(&self) -> Vec<Bytes> {
        self.bodies
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
        self.bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.body);
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
