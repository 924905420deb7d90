//! An answer decoded while it arrives, for whoever has thousands at the same time.
//!
//! The decode path is that of a finished exchange, and so is the trace. What differs is what is kept:
//! no events, and of the bytes only the beginning, until output came. It must never hold more than that
//! and the text itself.

use std::time::Duration;

use crate::catalog::failure::Failures;
use crate::dialect::agentcore::decode::{AgentFold, is_stream};
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::answer::{AnswerDecoder, Body, Fold, conclude};
use crate::dialect::chat::fold::ChatFold;
use crate::dialect::failure::Judge;
use crate::dialect::invoke::fold::InvokeFold;
use crate::dialect::{Dialect, converse, responses};
use crate::turn::exchange::{End, Head};
use crate::turn::trace::{Content, Timing, TurnTrace};

/// How much of a body without output is kept, in bytes: error bodies are read from it. What is longer
/// is judged by its beginning.
pub const BEGINNING: usize = 16 * 1024;
/// The same for managed agents, which may answer with plain JSON whatever was asked.
const PLAIN_ANSWER: usize = 1024 * 1024;

/// What output an event carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputKind {
    Reasoning,
    /// Text for the user; a refusal is one.
    Text,
    /// Part of a tool call.
    Call,
}

impl OutputKind {
    /// What output an item is; one without a word of its own counts as text.
    pub(crate) fn of(content: &Content) -> OutputKind {
        match content {
            Content::Reasoning { .. } => OutputKind::Reasoning,
            Content::Call(_) => OutputKind::Call,
            Content::Text { .. } | Content::Refusal { .. } | Content::Other { .. } => {
                OutputKind::Text
            }
        }
    }
}

/// An event that carried output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// When the read arrived that completed it, from the start of the exchange.
    pub at: Duration,
    /// Which part of the body that was, as it was handed on, counting from 0. Parts with the same time were read
    /// together.
    pub read: u32,
    /// Of an event with several, the one furthest in a turn: a call after text after reasoning.
    pub kind: OutputKind,
}

/// The kinds of output that one event carried; mostly none or one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outputs {
    reasoning: bool,
    text: bool,
    call: bool,
}

impl Outputs {
    pub(crate) fn add(&mut self, kind: OutputKind) {
        match kind {
            OutputKind::Reasoning => self.reasoning = true,
            OutputKind::Text => self.text = true,
            OutputKind::Call => self.call = true,
        }
    }

    pub(crate) fn add_all(&mut self, more: Outputs) {
        self.reasoning |= more.reasoning;
        self.text |= more.text;
        self.call |= more.call;
    }

    pub(crate) fn any(self) -> bool {
        self.furthest().is_some()
    }

    fn furthest(self) -> Option<OutputKind> {
        match self {
            Outputs { call: true, .. } => Some(OutputKind::Call),
            Outputs { text: true, .. } => Some(OutputKind::Text),
            Outputs {
                reasoning: true, ..
            } => Some(OutputKind::Reasoning),
            Outputs { .. } => None,
        }
    }
}

/// Counts output for all dialects: the one place that says what first, last and how many mean.
#[derive(Debug, Default)]
pub(crate) struct OutputCount {
    timing: Timing,
    /// The read of the last output.
    read: Option<u32>,
}

impl OutputCount {
    /// Counts an event, if it carried output.
    pub(crate) fn take(&mut self, outputs: Outputs, at: Duration, read: u32) -> Option<Output> {
        let kind = outputs.furthest()?;
        let timing = &mut self.timing;
        timing.first_output.get_or_insert(at);
        let together = timing.last_output.replace(at) == Some(at);
        for (came, first) in [
            (outputs.reasoning, &mut timing.first_reasoning),
            (outputs.text, &mut timing.first_text),
            (outputs.call, &mut timing.first_call_output),
        ] {
            if came {
                first.get_or_insert(at);
            }
        }
        timing.output_events = timing.output_events.saturating_add(1);
        // What one read brought may be handed on in several parts, all of which have its time: each chunk of
        // HTTP/1.1 and each frame of HTTP/2 is one.
        if self.read.replace(read) != Some(read) && !together {
            timing.output_reads = timing.output_reads.saturating_add(1);
        }
        Some(Output { at, read, kind })
    }

    /// These figures beside those that the fold alone knows.
    pub(crate) fn beside(self, fold: Timing) -> Timing {
        Timing {
            first_event: fold.first_event,
            first_call: fold.first_call,
            ..self.timing
        }
    }
}

/// One answer while it arrives.
#[derive(Debug)]
pub struct AnswerStream(Dialects);

#[derive(Debug)]
enum Dialects {
    Responses(Box<Incoming<responses::assemble::Assembler>>),
    Chat(Box<Incoming<ChatFold>>),
    Converse(Box<Incoming<converse::assemble::Assembler>>),
    Invoke(Box<Incoming<InvokeFold>>),
    Agentcore(Box<Incoming<AgentFold>>),
}

/// What is the same for all of them, with the decoder of one.
macro_rules! each {
    ($stream:expr, $incoming:ident => $then:expr) => {
        match $stream {
            Dialects::Responses($incoming) => $then,
            Dialects::Chat($incoming) => $then,
            Dialects::Converse($incoming) => $then,
            Dialects::Invoke($incoming) => $then,
            Dialects::Agentcore($incoming) => $then,
        }
    };
}

impl AnswerStream {
    /// An answer of which nothing has arrived yet. `mapping` is read for managed agents only.
    pub fn new(dialect: Dialect, mapping: &Mapping) -> AnswerStream {
        AnswerStream(match dialect {
            Dialect::Responses => Dialects::Responses(Box::new(Incoming::new(BEGINNING))),
            Dialect::Chat => Dialects::Chat(Box::new(Incoming::new(BEGINNING))),
            Dialect::Converse => Dialects::Converse(Box::new(Incoming::new(BEGINNING))),
            Dialect::Invoke => Dialects::Invoke(Box::new(Incoming::new(BEGINNING))),
            Dialect::Agentcore => {
                let fold = AgentFold::new(mapping);
                Dialects::Agentcore(Box::new(Incoming::with(fold, PLAIN_ANSWER)))
            }
        })
    }

    /// Takes the bytes of one read that arrived at `at`. `hear` is called for each event that carries
    /// output, in order: as often as [`Timing::output_events`] counts. A plain answer where a stream
    /// was asked for is understood only at the end, so it is not heard.
    pub fn push(&mut self, at: Duration, bytes: &[u8], hear: &mut impl FnMut(Output)) {
        each!(&mut self.0, incoming => incoming.push(at, bytes, hear));
    }

    /// Whether the last event of the turn came, or `[DONE]`: nothing more needs to be read. A managed
    /// agent that tells no end is over when its body is.
    pub fn over(&self) -> bool {
        each!(&self.0, incoming => incoming.decoder.closed())
    }

    /// The body has ended as `end` says: what it all came to.
    pub fn finish(self, provider: &str, failures: &Failures, head: &Head, end: &End) -> TurnTrace {
        let judge = Judge { provider, failures };
        let streamed = match &self.0 {
            Dialects::Agentcore(_) => is_stream(Some(head), true),
            _ => true,
        };
        each!(self.0, incoming => incoming.finish(&judge, head, end, streamed))
    }
}

#[derive(Debug)]
struct Incoming<F> {
    decoder: AnswerDecoder<F>,
    /// The beginning of the body, until output came.
    beginning: Option<Vec<u8>>,
    limit: usize,
    last_read: Option<Duration>,
    reads: u32,
    len: u64,
}

impl<F: Fold> Incoming<F> {
    fn new(limit: usize) -> Self {
        Incoming::with(F::default(), limit)
    }

    fn with(fold: F, limit: usize) -> Self {
        Incoming {
            decoder: AnswerDecoder::without_events(fold),
            beginning: Some(Vec::new()),
            limit,
            last_read: None,
            reads: 0,
            len: 0,
        }
    }

    fn push(&mut self, at: Duration, bytes: &[u8], hear: &mut impl FnMut(Output)) {
        self.last_read = Some(at);
        self.reads = self.reads.saturating_add(1);
        self.len += bytes.len() as u64;
        if let Some(beginning) = &mut self.beginning {
            let room = self.limit - beginning.len();
            beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let mut heard = false;
        self.decoder.push_hearing(at, bytes, &mut |output| {
            heard = true;
            hear(output);
        });
        if heard {
            self.beginning = None;
        }
    }

    fn finish(self, judge: &Judge<'_>, head: &Head, end: &End, streamed: bool) -> TurnTrace {
        let body = Body {
            bytes: self.beginning.as_deref(),
            len: self.len,
            reads: self.reads,
            last_read: self.last_read,
            // Nothing arrived then, so that nothing has this time.
            total: head.at,
        };
        conclude(self.decoder, judge, head, end, &body, streamed).trace
    }
}

#[cfg(test)]
mod tests;
