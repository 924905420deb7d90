//! An answer as it comes in: fed to the one decoder, and the times of its output kept.
//!
//! Core: bytes and times in, a trace and gaps out. Holds no more of a stream than its text, its gaps, and a batch of
//! bytes that wait for the decoder.

use std::time::Duration;

use bytes::BytesMut;

use crate::catalog::failure::Failures;
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::failure::asked_by_head;
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
    Stream {
        stream: Box<AnswerStream>,
        waiting: Waiting,
    },
    Whole {
        bytes: BytesMut,
        reads: Vec<Read>,
    },
}

/// Bytes of a stream that are not decoded yet.
///
/// Thousands of streams take turns on a worker, and each finds the processor's caches full of the others. Decoding
/// a dozen events in a row costs a fraction of decoding them one by one; each keeps its own time.
#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    /// When they arrived, when the process had them, and how many.
    reads: Vec<(Duration, Duration, usize)>,
}

/// As many bytes wait at most.
const BATCH: usize = 2 * 1024;
/// As many reads wait at most.
const MOST_READS: usize = 64;

/// When output came.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Microseconds between output events that follow each other.
    pub gaps: Vec<u32>,
    pub first: Option<Duration>,
    /// When the process had the first.
    pub first_read: Option<Duration>,
    pub last: Option<Duration>,
    pub events: u32,
    pub reads: u32,
    pub first_read_events: u32,
    read: Option<u32>,
}

impl Arrivals {
    /// Takes in the next output event.
    pub fn push(&mut self, output: Output) {
        // Chunks that one read brought come one by one, with one time.
        let together = self.read == Some(output.read) || self.last == Some(output.at);
        match self.last {
            None => self.first = Some(output.at),
            Some(last) => {
                let gap = output.at.saturating_sub(last).as_micros();
                self.gaps.push(u32::try_from(gap).unwrap_or(u32::MAX));
            }
        }
        self.last = Some(output.at);
        self.events = self.events.saturating_add(1);
        self.read = Some(output.read);
        if !together {
            self.reads = self.reads.saturating_add(1);
        }
        if self.reads == 1 {
            self.first_read_events = self.first_read_events.saturating_add(1);
        }
    }
}

impl Waiting {
    /// Decodes what waits, read by read.
    fn decode(&mut self, stream: &mut AnswerStream, arrivals: &mut Arrivals) {
        let mut rest: &[u8] = &self.bytes;
        for (at, read_at, len) in self.reads.drain(..) {
            let (bytes, later) = rest.split_at(len);
            stream.push(at, bytes, &mut |output| {
                arrivals.first_read.get_or_insert(read_at);
                arrivals.push(output);
            });
            rest = later;
        }
        self.bytes.clear();
        self.bytes.shrink_to(BATCH);
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
            self.body = Body::Stream {
                stream: Box::new(stream),
                waiting: Waiting {
                    bytes: Vec::with_capacity(BATCH),
                    reads: Vec::with_capacity(8),
                },
            };
        }
        self.head = Some(head);
    }

    /// Whether the head says that it is no answer.
    pub fn failed(&self) -> bool {
        let head = self.head.as_ref();
        head.is_none_or(|head| !(200..300).contains(&head.status))
    }

    /// How long a head that refuses as too many (429) asks to wait: that is known before the failure has been
    /// understood, which takes long the first time.
    pub fn asked_to_wait(&self) -> Option<Duration> {
        asked_by_head(self.head.as_ref().filter(|head| head.status == 429)?)
    }

    /// Whether no output came yet.
    pub fn awaits_output(&self) -> bool {
        self.arrivals.first.is_none()
    }

    /// Bytes of the body came; false where no more are wanted.
    pub fn bytes(&mut self, at: Duration, read_at: Duration, bytes: &[u8]) -> bool {
        self.reads = self.reads.saturating_add(1);
        match &mut self.body {
            Body::Stream { stream, waiting } => {
                if waiting.bytes.len() + bytes.len() > BATCH || waiting.reads.len() >= MOST_READS {
                    waiting.decode(stream, &mut self.arrivals);
                }
                // What is longer alone is decoded next, so that no more than a batch is ever held twice.
                waiting.bytes.extend_from_slice(bytes);
                waiting.reads.push((at, read_at, bytes.len()));
                if self.arrivals.first.is_none() {
                    // Whoever asks is to know at once that the first output came.
                    waiting.decode(stream, &mut self.arrivals);
                }
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
        let mut arrivals = self.arrivals;
        let trace = match (self.body, &exchange.head) {
            (
                Body::Stream {
                    mut stream,
                    mut waiting,
                },
                Some(head),
            ) => {
                waiting.decode(&mut stream, &mut arrivals);
                stream.finish(manner.provider, manner.failures, head, &exchange.end)
            }
            (Body::Stream { .. }, None) => TurnTrace::default(),
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
        (trace, exchange, arrivals)
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog;
    use crate::load::listening::*;

    fn manner(mapping: &Mapping) -> Manner<'_> {
        Manner {
            dialect: Dialect::Chat,
            mapping,
            provider: "openai",
            failures: &catalog::shipped().failures,
            streamed: true,
            most: 1000,
        }
    }

    /// A chat answer of so many tokens, each in a read of its own.
    fn heard(tokens: u64, pad: usize) -> (TurnTrace, Arrivals) {
        let mapping = Mapping::default();
        let mut listening = Listening::new(manner(&mapping));
        let ms = Duration::from_millis;
        listening.head(Head {
            status: 200,
            headers: Vec::new(),
            at: ms(90),
        });
        let chunk = |delta: &str, reason: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"pad\":\"{}\",\"choices\":[{{\"index\":0,\
                 \"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n",
                "x".repeat(pad)
            )
        };
        for token in 0..tokens {
            let text = chunk(r#"{"content":"a "}"#, "null");
            let at = ms(100 + 10 * token);
            assert!(listening.bytes(at, at + ms(3), text.as_bytes()));
        }
        let last = chunk("{}", "\"stop\"") + "data: [DONE]\n\n";
        let at = ms(100 + 10 * tokens);
        assert!(listening.bytes(at, at, last.as_bytes()));
        let (trace, _, arrivals) = listening.finish(End::Complete, ms(5000));
        (trace, arrivals)
    }

    #[test]
    fn each_read_keeps_its_time_however_many_are_decoded_together() {
        for (tokens, pad) in [(1, 0), (5, 0), (200, 0), (20, 9000)] {
            let (trace, arrivals) = heard(tokens, pad);
            assert_eq!(trace.failure, None);
            assert_eq!(trace.text().len() as u64, 2 * tokens);
            assert_eq!(u64::from(arrivals.events), tokens);
            assert_eq!(u64::from(arrivals.reads), tokens);
            assert_eq!(arrivals.first, Some(Duration::from_millis(100)));
            assert_eq!(arrivals.first_read, Some(Duration::from_millis(103)));
            assert_eq!(arrivals.gaps, vec![10_000; tokens as usize - 1]);
        }
    }

    #[test]
    fn a_refusal_is_obeyed_by_its_head_but_not_for_ever() {
        let mapping = Mapping::default();
        let asked = |status, name: &str, value: &str| {
            let mut listening = Listening::new(manner(&mapping));
            listening.head(Head {
                status,
                headers: vec![(name.to_owned(), value.to_owned())],
                at: Duration::ZERO,
            });
            listening.asked_to_wait()
        };
        let ms = Duration::from_millis;
        assert_eq!(asked(429, "retry-after", "2"), Some(ms(2000)));
        assert_eq!(asked(429, "retry-after-ms", "137"), Some(ms(137)));
        assert_eq!(asked(503, "retry-after", "2"), None);
        assert_eq!(
            asked(429, "retry-after", "2592000"),
            None,
            "a month is no wait"
        );
    }

    #[test]
    fn chunks_that_one_read_brought_are_one_read() {
        // 5 ms: three chunks, the first with two events; 9 ms: two.
        let mut arrivals = Arrivals::default();
        for (ms, read) in [(5, 0), (5, 0), (5, 1), (5, 2), (9, 3), (9, 4)] {
            arrivals.push(Output {
                at: Duration::from_millis(ms),
                read,
                kind: crate::dialect::stream::OutputKind::Text,
            });
        }
        assert_eq!((arrivals.events, arrivals.reads), (6, 2));
        assert_eq!(arrivals.first_read_events, 4);
    }

    #[test]
    fn output_of_one_read_has_one_time_and_is_counted() {
        let mut arrivals = Arrivals::default();
        let at = |ms, read| Output {
            at: Duration::from_millis(ms),
            read,
            kind: crate::dialect::stream::OutputKind::Text,
        };
        for output in [at(5, 0), at(5, 0), at(9, 1)] {
            arrivals.push(output);
        }
        assert_eq!((arrivals.events, arrivals.reads), (3, 2));
        assert_eq!(arrivals.first_read_events, 2);
        assert_eq!(arrivals.gaps, [0, 4000]);
    }
}
