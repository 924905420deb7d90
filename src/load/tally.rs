//! What many requests of one lane came to: counts, and a distribution per measure. Tallies add without loss.
//!
//! Core. Its size does not depend on how many requests it has seen.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::measure::Measure;
use crate::load::sample::Sample;
use crate::load::trust::LATE_START;
use crate::load::window::{Third, Window};
use crate::metric::distribution::Distribution;
use crate::metric::recorded::Recorded;

/// No duration is longer than this, in microseconds: a day.
const LONGEST: u64 = 86_400_000_000;

/// How many there were of what. All but `live_*` and `micro_dollars` are of measured requests only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Of these, whole answers.
    pub whole: u64,
    /// Of these, within the objective.
    pub good: u64,
    /// Requests whose end fell into the measured window, whenever they began, and the tokens of these.
    pub completed: u64,
    pub completed_tokens: u64,
    /// Whole answers of these.
    pub completed_whole: u64,
    pub completed_good: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_tokens: u64,
    pub reasoning_tokens: u64,
    /// Whole answers of which the provider reported no tokens.
    pub without_usage: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub connections: u64,
    pub reused: u64,
    pub redialled: u64,
    /// How many had its connection when each got it, itself included, added up.
    pub streams: u64,
    pub reads: u64,
    pub stampless_reads: u64,
    pub output_events: u64,
    /// Reads that completed an output event; fewer than events where several came together.
    pub output_reads: u64,
    /// Answers whose first read of output held several output events.
    pub first_read_several: u64,
    /// Requests the provider refused as too many.
    pub throttled: u64,
    /// Throttled ones that said how long to wait, and the longest wait in microseconds.
    pub retry_after: u64,
    pub retry_after_most: u64,
    /// Conversations that ended, and those of them that did not come to their last turn: an answer did not let them
    /// go on, or the run ended.
    pub conversations: u64,
    pub stuck: u64,
    /// Arrivals that were not sent while the provider asked to wait.
    pub held_back: u64,
    /// Requests that were cut when the run ended, and conversations that got no place until then, or found too many
    /// waiting for one.
    pub cut: u64,
    /// Conversations that waited for a place under `--max-in-flight` for longer than a start may be late.
    pub waited: u64,
    /// Whole answers to first requests that were to start in the first third of the measured window, and how long these
    /// waited for their first output (their end, where nothing is streamed), in microseconds from when they were due.
    pub early: u64,
    pub early_us: u64,
    /// The same of the last third.
    pub late: u64,
    pub late_us: u64,
    /// When the last one ended, in microseconds from the start of the round.
    pub last_end_us: u64,
    /// The time between the moments at which [`Measure::ReadLag`] was asked for, added up.
    pub read_lag_us: u64,
    /// Requests of all phases that ended, and that failed.
    pub live_requests: u64,
    pub live_errors: u64,
    pub live_tokens: u64,
    pub live_input_tokens: u64,
    /// What requests of all phases have cost, in millionths of a dollar; 0 without a price.
    pub micro_dollars: u64,
}

impl Counts {
    /// The fields with their names, for adding, writing and reading them in one place.
    pub fn fields(&mut self) -> [(&'static str, &mut u64); 42] {
        [
            ("requests", &mut self.requests),
            ("whole", &mut self.whole),
            ("good", &mut self.good),
            ("completed", &mut self.completed),
            ("completed_tokens", &mut self.completed_tokens),
            ("completed_whole", &mut self.completed_whole),
            ("completed_good", &mut self.completed_good),
            ("input_tokens", &mut self.input_tokens),
            ("output_tokens", &mut self.output_tokens),
            ("cached_tokens", &mut self.cached_tokens),
            ("reasoning_tokens", &mut self.reasoning_tokens),
            ("without_usage", &mut self.without_usage),
            ("bytes_out", &mut self.bytes_out),
            ("bytes_in", &mut self.bytes_in),
            ("connections", &mut self.connections),
            ("reused", &mut self.reused),
            ("redialled", &mut self.redialled),
            ("streams", &mut self.streams),
            ("reads", &mut self.reads),
            ("stampless_reads", &mut self.stampless_reads),
            ("output_events", &mut self.output_events),
            ("output_reads", &mut self.output_reads),
            ("first_read_several", &mut self.first_read_several),
            ("throttled", &mut self.throttled),
            ("retry_after", &mut self.retry_after),
            ("retry_after_most", &mut self.retry_after_most),
            ("conversations", &mut self.conversations),
            ("stuck", &mut self.stuck),
            ("held_back", &mut self.held_back),
            ("cut", &mut self.cut),
            ("waited", &mut self.waited),
            ("early", &mut self.early),
            ("early_us", &mut self.early_us),
            ("late", &mut self.late),
            ("late_us", &mut self.late_us),
            ("last_end_us", &mut self.last_end_us),
            ("read_lag_us", &mut self.read_lag_us),
            ("live_requests", &mut self.live_requests),
            ("live_errors", &mut self.live_errors),
            ("live_tokens", &mut self.live_tokens),
            ("live_input_tokens", &mut self.live_input_tokens),
            ("micro_dollars", &mut self.micro_dollars),
        ]
    }

    fn add(&mut self, other: &Counts) {
        let mut other = other.clone();
        for ((name, own), (_, others)) in self.fields().into_iter().zip(other.fields()) {
            match name {
                "retry_after_most" | "last_end_us" => *own = (*own).max(*others),
                _ => *own = own.saturating_add(*others),
            }
        }
    }
}

/// An error class as it showed first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub status: Option<u16>,
    pub message: String,
}

/// One lane's requests, of one worker and one interval or of all.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub counts: Counts,
    /// By failure class.
    pub errors: BTreeMap<String, u64>,
    /// The first failure of each class.
    pub examples: BTreeMap<String, Example>,
    /// In microseconds.
    measures: [Recorded; Measure::ALL.len()],
    /// Output tokens per second of each answer, in thousandths.
    token_rate: Recorded,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).map_or(LONGEST, |micros| micros.min(LONGEST))
}

impl Tally {
    /// Adds one duration.
    pub fn measure(&mut self, measure: Measure, duration: Duration) {
        self.measure_micros(measure, micros(duration), 1);
    }

    /// Adds how late what was there was read, at a moment so long after the one before.
    pub fn measure_read(&mut self, late: Duration, after: Duration) {
        self.measure(Measure::ReadLag, late);
        self.counts.read_lag_us = self.counts.read_lag_us.saturating_add(micros(after));
    }

    /// Adds a duration in microseconds, several times.
    pub fn measure_micros(&mut self, measure: Measure, micros: u64, times: u64) {
        self.measures[measure.index()].record(micros.min(LONGEST), times);
    }

    /// What was measured; `None` where nothing was.
    pub fn recorded(&self, measure: Measure) -> Option<&Recorded> {
        let recorded = &self.measures[measure.index()];
        (!recorded.is_empty()).then_some(recorded)
    }

    /// The same in order.
    pub fn measured(&self, measure: Measure) -> Option<Distribution> {
        self.recorded(measure).map(Recorded::distribution)
    }

    /// Output tokens per second of each answer, in thousandths; `None` where there are none.
    pub fn token_rate(&self) -> Option<&Recorded> {
        (!self.token_rate.is_empty()).then_some(&self.token_rate)
    }

    /// Takes over a histogram that was written down.
    pub fn restore(&mut self, measure: Measure, histogram: Histogram<u64>) {
        self.measures[measure.index()] = histogram.into();
    }

    /// The same with the rates of tokens.
    pub fn restore_token_rate(&mut self, histogram: Histogram<u64>) {
        self.token_rate = histogram.into();
    }

    /// Adds a measured request. `gaps` are the microseconds between its output events.
    pub fn record(&mut self, sample: &Sample, gaps: &[u32], good: bool) {
        self.record_counts(sample, good);
        self.measure(Measure::StartLag, sample.start_lag());
        if let Some(connecting) = sample.connecting {
            self.measure(Measure::Connect, connecting.total());
            self.measure(Measure::Tcp, connecting.tcp);
            for (measure, part) in [
                (Measure::Dns, connecting.dns),
                (Measure::Tls, connecting.tls),
            ] {
                if let Some(part) = part {
                    self.measure(measure, part);
                }
            }
        }
        if !sample.queued.is_zero() {
            self.measure(Measure::Queued, sample.queued);
        }
        let connected = sample
            .connecting
            .map_or(Duration::ZERO, |connecting| connecting.total());
        if let Some(sent) = sample.sent {
            let before = connected + sample.queued;
            self.measure(Measure::Send, sent.saturating_sub(before));
        }
        // What failed says nothing about how fast answers are.
        if sample.failure.is_some() {
            return;
        }
        for (measure, duration) in [
            (Measure::Headers, sample.since_sent(sample.headers)),
            (Measure::Ttft, sample.ttft()),
            (
                Measure::TtftReasoning,
                sample.since_sent(sample.first_reasoning),
            ),
            (Measure::TtftText, sample.since_sent(sample.first_text)),
            (
                Measure::TtftCall,
                sample.since_sent(sample.first_call_output),
            ),
            (Measure::FirstCall, sample.since_sent(sample.first_call)),
            (Measure::Tpot, sample.tpot()),
            (Measure::E2e, Some(sample.ended)),
            (Measure::Response, Some(sample.response())),
            (
                Measure::ResponseTtft,
                sample
                    .first_output
                    .map(|at| (sample.begun + at).saturating_sub(sample.intended)),
            ),
        ] {
            if let Some(duration) = duration {
                self.measure(measure, duration);
            }
        }
        self.record_gaps(sample, gaps);
        let seconds = sample.ended.as_secs_f64();
        if let Some(tokens) = sample.output_tokens
            && seconds > 0.0
        {
            let rate = (tokens as f64 / seconds * 1000.0).round() as u64;
            self.token_rate.record(rate.min(LONGEST), 1);
        }
    }

    /// Adds how long a whole answer was waited for, by the third of the measured window to which it belongs. Later
    /// turns have longer prompts and come later in the window: what they wait longer for tells nothing of a queue.
    pub fn record_wait(&mut self, window: &Window, sample: &Sample) {
        let (0, None, Some(third)) = (sample.turn, &sample.failure, window.third(sample.intended))
        else {
            return;
        };
        let first = sample.begun + sample.first_output.unwrap_or(sample.ended);
        let wait = micros(first.saturating_sub(sample.intended));
        let counts = &mut self.counts;
        let (count, sum) = match third {
            Third::First => (&mut counts.early, &mut counts.early_us),
            Third::Last => (&mut counts.late, &mut counts.late_us),
        };
        *count += 1;
        *sum = sum.saturating_add(wait);
    }

    fn record_gaps(&mut self, sample: &Sample, gaps: &[u32]) {
        let per_event = sample
            .streamed_tokens
            .filter(|tokens| *tokens > 0 && sample.output_events > 1)
            .map(|tokens| tokens as f64 / f64::from(sample.output_events));
        for gap in gaps {
            self.measure_micros(Measure::Itl, u64::from(*gap), 1);
            if let Some(per_event) = per_event {
                let per_token = (f64::from(*gap) / per_event).round() as u64;
                self.measure_micros(Measure::ItlToken, per_token, 1);
            }
        }
    }

    fn record_counts(&mut self, sample: &Sample, good: bool) {
        let counts = &mut self.counts;
        counts.requests += 1;
        // A later turn was held by its provider.
        counts.waited += u64::from(sample.turn == 0 && sample.held > LATE_START);
        counts.last_end_us = counts.last_end_us.max(micros(sample.begun + sample.ended));
        counts.whole += u64::from(sample.failure.is_none());
        counts.good += u64::from(good);
        counts.input_tokens = counts
            .input_tokens
            .saturating_add(sample.input_tokens.unwrap_or(0));
        counts.output_tokens = counts
            .output_tokens
            .saturating_add(sample.output_tokens.unwrap_or(0));
        counts.cached_tokens = counts
            .cached_tokens
            .saturating_add(sample.cached_tokens.unwrap_or(0));
        counts.reasoning_tokens = counts
            .reasoning_tokens
            .saturating_add(sample.reasoning_tokens.unwrap_or(0));
        counts.without_usage +=
            u64::from(sample.failure.is_none() && sample.output_tokens.is_none());
        counts.bytes_out += sample.bytes_out;
        counts.bytes_in += sample.bytes_in;
        counts.connections += u64::from(sample.connecting.is_some());
        counts.reused += u64::from(sample.connecting.is_none() && sample.sent.is_some());
        counts.redialled += u64::from(sample.redialled);
        counts.streams += u64::from(sample.streams);
        counts.reads += u64::from(sample.reads);
        counts.stampless_reads += u64::from(sample.stampless_reads);
        counts.output_events += u64::from(sample.output_events);
        counts.output_reads += u64::from(sample.output_reads);
        counts.first_read_several += u64::from(sample.first_read_events > 1);
        if let Some(class) = &sample.failure {
            *self.errors.entry(class.clone()).or_default() += 1;
        }
        if sample.is_throttled() {
            counts.throttled += 1;
            if let Some(wait) = sample.retry_after {
                counts.retry_after += 1;
                counts.retry_after_most = counts.retry_after_most.max(micros(wait));
            }
        }
    }

    /// Keeps how a class of failure showed first.
    pub fn example(&mut self, class: &str, status: Option<u16>, message: &str) {
        if !self.examples.contains_key(class) {
            let message = message.to_owned();
            self.examples
                .insert(class.to_owned(), Example { status, message });
        }
    }

    /// Adds all of another tally.
    pub fn add(&mut self, other: &Tally) {
        self.counts.add(&other.counts);
        for (class, count) in &other.errors {
            *self.errors.entry(class.clone()).or_default() += count;
        }
        for (class, example) in &other.examples {
            self.examples
                .entry(class.clone())
                .or_insert_with(|| example.clone());
        }
        for (own, others) in self.measures.iter_mut().zip(&other.measures) {
            own.add(others);
        }
        self.token_rate.add(&other.token_rate);
    }

    /// Empties it, and keeps its memory.
    pub fn clear(&mut self) {
        self.counts = Counts::default();
        self.errors.clear();
        self.examples.clear();
        self.measures.iter_mut().for_each(Recorded::clear);
        self.token_rate.clear();
    }
}
