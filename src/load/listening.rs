//! An answer as it comes in: fed to the one decoder, and the times of its output kept.
//!
//! Core: bytes and times in, a trace and gaps out. Holds no more of a stream than its text and its gaps.

use std::time::Duration;

use bytes::BytesMut;

use crate::catalog::failure::Failures;
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::stream::{AnswerStream, Output};
use crate::dialect::{self, Dialect};
use crate::turn::exchange::{End, Exchange, Head, Read};
use crate::turn::trace::TurnTrace;

/// What decides how an answer is read.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    pub dialect: Dialect,
    pub mapping: &'a Mapping,
    pub provider: &'a str,
    pub failures: &'a Failures,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// Bytes of an answer that is not streamed, or of an error, that are kept.
    pub most: usize,
}

/// An answer in the making.
#[derive(Debug)]
pub struct Listening<'a> {
    manner: Manner<'a>,
    head: Option<Head>,
    body: Body,
    /// Times of the output events, by the reads that brought them.
    pub arrivals: Arrivals,
    pub reads: u32,
    too_big: bool,
}

#[derive(Debug)]
enum Body {
    Stream(Box<AnswerStream>),
    Whole { bytes: BytesMut, reads: Vec<Read> },
}

/// When output came.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Microseconds between output events that follow each other.
    pub gaps: Vec<u32>,
    pub first: Option<Duration>,
    pub last: Option<Duration>,
    pub events: u32,
    pub reads: u32,
    pub first_read_events: u32,
    read: Option<u32>,
}

impl Arrivals {
    /// Takes in the next output event.
    pub fn push(&mut self, output: Output) {
        match self.last {
            None => self.first = Some(output.at),
            Some(last) => {
                let gap = output.at.saturating_sub(last).as_micros();
                self.gaps.push(u32::try_from(gap).unwrap_or(u32::MAX));
            }
        }
        self.last = Some(output.at);
        self.events = self.events.saturating_add(1);
        if self.read != Some(output.read) {
            self.read = Some(output.read);
            self.reads = self.reads.saturating_add(1);
        }
        if self.reads == 1 {
            self.first_read_events = self.first_read_events.saturating_add(1);
        }
    }
}

impl<'a> Listening<'a> {
    pub fn new(manner: Manner<'a>) -> Listening<'a> {
        Listening {
            manner,
            head: None,
            body: Body::Whole {
                bytes: BytesMut::new(),
                reads: Vec::new(),
            },
            arrivals: Arrivals::default(),
            reads: 0,
            too_big: false,
        }
    }

    /// The response head came.
    pub fn head(&mut self, head: Head) {
        if self.manner.streamed && (200..300).contains(&head.status) {
            let stream = AnswerStream::new(self.manner.dialect, self.manner.mapping);
            self.body = Body::Stream(Box::new(stream));
        }
        self.head = Some(head);
    }

    /// Bytes of the body came; false where no more are wanted.
    pub fn bytes(&mut self, at: Duration, bytes: &[u8]) -> bool {
        self.reads = self.reads.saturating_add(1);
        match &mut self.body {
            Body::Stream(stream) => {
                let arrivals = &mut self.arrivals;
                stream.push(at, bytes, &mut |output| arrivals.push(output));
            }
            Body::Whole { bytes: kept, reads } => {
                let room = self.manner.most - kept.len();
                let len = bytes.len().min(room);
                kept.extend_from_slice(&bytes[..len]);
                reads.push(Read { at, len });
                self.too_big = len < bytes.len();
            }
        }
        !self.too_big
    }

    /// The exchange is over. The second value is the exchange as far as it was kept, for whoever explains
    /// failures: its body is empty where it was a stream.
    pub fn finish(self, end: End, total: Duration) -> (TurnTrace, Exchange, Arrivals) {
        let manner = self.manner;
        let end = match self.too_big {
            true => End::TooBig { limit: manner.most },
            false => end,
        };
        let mut exchange = Exchange {
            head: self.head,
            body: bytes::Bytes::new(),
            reads: Vec::new(),
            end,
            total,
        };
        let trace = match (self.body, &exchange.head) {
            (Body::Stream(stream), Some(head)) => {
                stream.finish(manner.provider, manner.failures, head, &exchange.end)
            }
            (Body::Stream(_), None) => TurnTrace::default(),
            (Body::Whole { bytes, reads }, _) => {
                exchange.body = bytes.freeze();
                exchange.reads = reads;
                let decoded = dialect::decode_mapped(
                    manner.dialect,
                    manner.mapping,
                    manner.provider,
                    manner.failures,
                    &exchange,
                    manner.streamed,
                );
                decoded.trace
            }
        };
        (trace, exchange, self.arrivals)
    }
}
