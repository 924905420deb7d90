//! stub
use crate::catalog::failure::Failures;
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::{self, Dialect};
use crate::turn::exchange::{End, Exchange, Head, Read};
use crate::turn::trace::TurnTrace;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    Reasoning,
    Text,
    Call,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    pub at: Duration,
    pub read: u32,
    pub kind: OutputKind,
}
#[derive(Debug)]
pub struct AnswerStream {
    dialect: Dialect,
    mapping: Mapping,
    body: Vec<u8>,
    reads: Vec<Read>,
}
impl AnswerStream {
    pub fn new(dialect: Dialect, mapping: &Mapping) -> AnswerStream {
        AnswerStream {
            dialect,
            mapping: mapping.clone(),
            body: Vec::new(),
            reads: Vec::new(),
        }
    }
    pub fn push(&mut self, at: Duration, bytes: &[u8], hear: &mut impl FnMut(Output)) {
        let read = self.reads.len() as u32;
        self.body.extend_from_slice(bytes);
        self.reads.push(Read {
            at,
            len: bytes.len(),
        });
        for _ in 0..bytes.windows(6).filter(|w| w == b"delta\"").count() {
            hear(Output {
                at,
                read,
                kind: OutputKind::Text,
            });
        }
    }
    pub fn finish(self, provider: &str, failures: &Failures, head: &Head, end: &End) -> TurnTrace {
        let total = self.reads.last().map_or(head.at, |r| r.at);
        let exchange = Exchange {
            head: Some(head.clone()),
            body: self.body.into(),
            reads: self.reads,
            end: end.clone(),
            total,
        };
        dialect::decode_mapped(
            self.dialect,
            &self.mapping,
            provider,
            failures,
            &exchange,
            true,
        )
        .trace
    }
}
