//! One request as it was measured.
//!
//! Core: plain data. Times are from the moment the request was handed to the connection (`begun`) unless
//! said otherwise.

use std::time::Duration;

/// Which part of the run a request belongs to, by its intended start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the window: not counted.
    WarmUp,
    Measured,
    /// After the window: keeps the load up while the measured requests end, and is not counted.
    CoolDown,
}

/// The parts of making a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connecting {
    /// `None` where the address was literal or known already.
    pub dns: Option<Duration>,
    pub tcp: Duration,
    /// The tunnel through a proxy; `None` without one.
    pub proxy: Option<Duration>,
    /// `None` without TLS.
    pub tls: Option<Duration>,
}

impl Connecting {
    pub fn total(&self) -> Duration {
        [self.dns, Some(self.tcp), self.proxy, self.tls]
            .into_iter()
            .flatten()
            .sum()
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which target in which region.
    pub lane: usize,
    /// The arrival's number in its lane.
    pub arrival: u64,
    /// Which request of the conversation, from 0.
    pub turn: u32,
    /// Which scenario of the mix.
    pub scenario: usize,
    pub phase: Phase,
    /// From the start of the run: when it was to start.
    pub intended: Duration,
    /// How long it waited for a place under the limit of conversations under way, or, as a later turn, for the end
    /// of a back-off.
    pub held: Duration,
    /// From the start of the run: when it was handed to the connection.
    pub begun: Duration,
    /// `None` on a connection that was there.
    pub connecting: Option<Connecting>,
    /// Waiting for a place on an HTTP/2 connection.
    pub queued: Duration,
    /// Right before the write that gave the last byte of the request to the kernel.
    pub sent: Option<Duration>,
    pub headers: Option<Duration>,
    pub first_output: Option<Duration>,
    /// When the process had it.
    pub first_output_read: Option<Duration>,
    pub first_reasoning: Option<Duration>,
    pub first_text: Option<Duration>,
    pub first_call_output: Option<Duration>,
    /// The first tool call that was complete.
    pub first_call: Option<Duration>,
    pub last_output: Option<Duration>,
    /// The last byte, or the failure.
    pub ended: Duration,
    pub output_events: u32,
    /// Reads that completed an output event.
    pub output_reads: u32,
    /// Output events that the first of these reads completed.
    pub first_read_events: u32,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Of these, as many as were streamed: all, but for reasoning that was kept back.
    pub streamed_tokens: Option<u64>,
    pub cached_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub reads: u32,
    /// Reads for which the kernel gave no time.
    pub stampless_reads: u32,
    /// It was sent again: a kept connection turned out to be closed, or the server said that it had not worked on it.
    pub redialled: bool,
    /// How many had the connection when this one got it, itself included.
    pub streams: u32,
    pub status: Option<u16>,
    /// The failure's class; `None` where the answer was whole.
    pub failure: Option<String>,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
    /// As the answer's head names it; only where samples are told one by one.
    pub request_id: Option<String>,
    /// Microseconds between output events; only where samples are told one by one.
    pub gaps: Box<[u32]>,
}

impl Sample {
    /// A duration from the last byte of the request to something that came after.
    pub fn since_sent(&self, at: Option<Duration>) -> Option<Duration> {
        Some(at?.saturating_sub(self.sent?))
    }

    /// TTFT.
    pub fn ttft(&self) -> Option<Duration> {
        self.since_sent(self.first_output)
    }

    /// Time per streamed output token after the first.
    pub fn tpot(&self) -> Option<Duration> {
        let tokens = u32::try_from(self.streamed_tokens?).ok()?;
        let span = self.last_output?.checked_sub(self.first_output?)?;
        // With one event there is no time between tokens to be seen, whatever it carried.
        (tokens > 1 && self.output_events > 1).then(|| span / (tokens - 1))
    }

    /// From the intended start to the end.
    pub fn response(&self) -> Duration {
        (self.begun + self.ended).saturating_sub(self.intended)
    }

    /// Whether the provider refused it as one too many.
    pub fn is_throttled(&self) -> bool {
        self.status == Some(429) || self.failure.as_deref() == Some("throttled")
    }

    /// How much later than intended it began, without the wait for a place that was asked for.
    pub fn start_lag(&self) -> Duration {
        self.begun
            .saturating_sub(self.intended)
            .saturating_sub(self.held)
    }
}
