//! One conversation at a lane: each turn is composed, authorised, sent, heard and measured.
//!
//! Shell. The same street as `conduct`, without its rules and records; nothing is retried.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::auth::authorize::authorize;
use crate::conduct::circumstance;
use crate::conduct::compose;
use crate::load::fleet::Fleet;
use crate::load::listening::{Arrivals, Listening, Manner};
use crate::load::measure::Measure;
use crate::load::price::Spending;
use crate::load::round::{Round, Start, Stop};
use crate::load::sample::{Connecting, Phase, Sample};
use crate::load::worker::{Books, Desk};
use crate::load::workload::Script;
use crate::transport::Outgoing;
use crate::transport::wire::{Clock, Hearing, Sent, Wire};
use crate::turn::dialogue::{self, Entry};
use crate::turn::exchange::{End, Exchange, Head};
use crate::turn::trace::{Item, TurnTrace, Usage};

/// Bytes of an error, or of an answer that is not streamed, that are read.
const MOST_BODY: usize = 16 * 1024 * 1024;

/// Holds one conversation to its end.
///
/// False where its last request was not answered by anybody: not even a head came.
pub async fn hold(fleet: &Fleet, round: &Round, wire: &Wire, desk: &Desk, start: Start) -> bool {
    let measured = round.settings.window.phase(start.intended) == Phase::Measured;
    // Until it has ended, whoever cuts it knows of it.
    desk.books().talking[start.lane] += u32::from(measured);
    let held = turns(fleet, round, wire, desk, start).await;
    let mut books = desk.books();
    books.talking[start.lane] -= u32::from(measured);
    let tally = &mut books.tallies[start.lane];
    if measured && held != Held::NotBegun {
        tally.counts.conversations += 1;
        match held {
            Held::Whole(spent) => tally.measure(Measure::Loop, spent),
            _ => tally.counts.stuck += 1,
        }
    }
    held != Held::Unanswered
}

/// How far a conversation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A ceiling was reached before its first request.
    NotBegun,
    Stuck,
    /// Stuck, because nobody answered.
    Unanswered,
    /// To its end; how long it took without thinking.
    Whole(Duration),
}

async fn turns(fleet: &Fleet, round: &Round, wire: &Wire, desk: &Desk, start: Start) -> Held {
    let lane = &fleet.lanes[start.lane];
    let script = fleet
        .workload
        .script(start.arrival, round.unique(start.arrival), start.lane);
    let scenario = &*script.scenario;
    let phase = round.settings.window.phase(start.intended);
    let session = format!("{}-{:08x}-{:016x}", fleet.run_id, start.lane, start.arrival);
    let mut entries: Vec<Entry> = Vec::new();
    let mut last: Option<TurnTrace> = None;
    let (mut intended, mut held) = (start.intended, start.held);
    let mut spent = Duration::ZERO;
    for (index, turn) in scenario.turns.iter().enumerate() {
        if index > 0 {
            let think = turn.think.unwrap_or_default();
            if !rest(round, think).await {
                return Held::Stuck;
            }
            intended += think;
            held = match until_open(fleet, round, start.lane).await {
                Some(held) => held,
                None => return Held::Stuck,
            };
        }
        let answer: &[Item] = last.as_ref().map_or(&[], |trace| &trace.items);
        if dialogue::advance(scenario, index, answer, &mut entries).is_err() {
            return Held::Stuck;
        }
        if let (0, Some(prompt)) = (index, &script.prompt) {
            entries = vec![Entry::User {
                text: prompt.clone(),
            }];
        }
        let Ok(conversation) = compose::continued(scenario, index, &entries, last.as_ref()) else {
            return Held::Stuck;
        };
        let composed = compose::turn(fleet.catalog, &lane.target, scenario, conversation);
        let place = Place {
            start: Start { held, ..start },
            index,
            intended,
            phase,
        };
        let Some(heard) = exchange(
            fleet, round, wire, desk, &script, &place, composed, &session,
        )
        .await
        else {
            // A ceiling was reached: the rest is not asked.
            return match index {
                0 => Held::NotBegun,
                _ => Held::Stuck,
            };
        };
        spent += heard.took;
        intended = heard.ended;
        if heard.failed {
            return match heard.answered {
                true => Held::Stuck,
                false => Held::Unanswered,
            };
        }
        last = Some(heard.trace);
    }
    Held::Whole(spent)
}

/// Waits for a time; false where the round was told to start nothing any more.
async fn rest(round: &Round, time: Duration) -> bool {
    let mut stop = round.settings.stop.clone();
    if !time.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = stop.wait_for(|stop| *stop != Stop::No) => {}
        }
    }
    *stop.borrow() == Stop::No
}

/// Waits until the lane may send, and says how long that took; `None` where the round was told to start nothing any more.
async fn until_open(fleet: &Fleet, round: &Round, lane: usize) -> Option<Duration> {
    let Some(mut left) = fleet.held(lane) else {
        return Some(Duration::ZERO);
    };
    let since = round.now();
    loop {
        if !rest(round, left).await {
            return None;
        }
        left = match fleet.held(lane) {
            Some(left) => left,
            None => return Some(round.now().saturating_sub(since)),
        };
    }
}

/// Which request of which conversation.
struct Place {
    start: Start,
    index: usize,
    intended: Duration,
    phase: Phase,
}

/// What a request came to, as far as the conversation goes.
struct HeardOut {
    trace: TurnTrace,
    failed: bool,
    /// A head came.
    answered: bool,
    took: Duration,
    /// From the start of the round.
    ended: Duration,
}

#[expect(clippy::too_many_arguments, reason = "each is a value of its own")]
async fn exchange(
    fleet: &Fleet,
    round: &Round,
    wire: &Wire,
    desk: &Desk,
    script: &Script,
    place: &Place,
    composed: compose::Composed,
    session: &str,
) -> Option<HeardOut> {
    let lane_index = place.start.lane;
    let lane = &fleet.lanes[lane_index];
    let expected = match place.index {
        0 => script.asked,
        _ => Spending::default(),
    };
    if !fleet.ceiling.admit(expected, lane.price.as_ref()) {
        round.cut_short();
        return None;
    }
    let scenario = &*script.scenario;
    let mut headers = compose::headers(&lane.target, scenario, session, &composed.added);
    headers.extend(lane.identities.secret_headers());
    let body = Bytes::from(composed.body.to_string());
    drop(composed.body);
    let asked = body.len() as u64;
    let signed = lane.signed();
    let signed_at = SystemTime::now();
    let manner = Manner {
        dialect: lane.target.dialect,
        mapping: &lane.target.agent,
        provider: &lane.target.provider.id,
        failures: &fleet.catalog.failures,
        streamed: scenario.stream,
        most: MOST_BODY,
    };
    let mut ear = Ear {
        listening: Listening::new(manner),
    };
    let authorised = signed.as_ref().map(|signed| {
        authorize(
            &signed.credentials,
            "POST",
            &composed.url,
            &mut headers,
            &body,
            signed_at,
        )
    });
    let leaves = matches!(authorised, Some(Ok(())));
    {
        let mut books = desk.books();
        books.under_way[lane_index] += u32::from(leaves);
        books.started[lane_index] += u32::from(leaves);
        books.running[lane_index] += u32::from(place.phase == Phase::Measured);
    }
    let sent = match authorised {
        Some(Ok(())) => {
            let outgoing = Outgoing {
                method: "POST",
                url: composed.url,
                headers,
                body,
            };
            wire.send(outgoing, &mut ear).await
        }
        Some(Err(failure)) => unsent(&failure.message),
        None => unsent("not signed in"),
    };
    // What was read for others first is not part of it.
    let begun = sent.start.saturating_duration_since(round.settings.origin);
    if ear.listening.failed() || sent.end != End::Complete {
        if let Some(wait) = ear.listening.asked_to_wait() {
            fleet.refused(lane_index, Some(wait));
        }
        fleet.know_failures().await;
    }
    let (mut trace, exchange, arrivals) = ear.listening.finish(sent.end.clone(), sent.total);
    if let (Some(failure), Some(signed)) = (&mut trace.failure, &signed) {
        circumstance::reconsider(
            failure,
            &exchange,
            &signed.credentials,
            &lane.target,
            signed_at,
        );
    }
    let mut sample = sample(
        place,
        script.index,
        begun,
        &sent,
        &trace,
        &exchange,
        &arrivals,
    );
    if round.settings.keep_samples {
        one_by_one(&mut sample, &exchange, &arrivals);
    }
    let spending = Spending::of(&sample, trace.usage.as_ref(), asked);
    let cost = fleet.ceiling.ended(spending, lane.price.as_ref());
    let mut books = desk.books();
    // Not before it is told: what is cut while it waits for the patterns of failures is still under way.
    books.under_way[lane_index] -= u32::from(leaves);
    books.running[lane_index] -= u32::from(place.phase == Phase::Measured);
    told(fleet, round, &mut books, &sample, &trace, &arrivals);
    let counts = &mut books.tallies[lane_index].counts;
    counts.micro_dollars = counts.micro_dollars.saturating_add(cost);
    drop(books);
    let ended = begun + sample.ended;
    Some(HeardOut {
        failed: sample.failure.is_some(),
        answered: sample.headers.is_some(),
        took: sample.ended,
        ended,
        trace,
    })
}

/// Where the answer goes while it comes in.
struct Ear<'a> {
    listening: Listening<'a>,
}

impl Hearing for Ear<'_> {
    fn head(&mut self, head: &Head, _: Duration) {
        self.listening.head(head.clone());
    }

    fn bytes(&mut self, at: Duration, read_at: Duration, bytes: &[u8]) -> ControlFlow<()> {
        match self.listening.bytes(at, read_at, bytes) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    fn awaits_beginning(&self) -> bool {
        self.listening.awaits_output()
    }
}

/// A request that did not leave.
fn unsent(reason: &str) -> Sent {
    Sent {
        start: std::time::Instant::now(),
        dial: None,
        queued: Duration::ZERO,
        sent: None,
        bytes_out: 0,
        bytes_in: 0,
        end: End::Unreachable {
            reason: reason.to_owned(),
        },
        total: Duration::ZERO,
        stopped: false,
        redialled: false,
        streams: 1,
        clock: Clock::Read,
        stampless_reads: 0,
        clamped_reads: 0,
        reads: 0,
    }
}

fn sample(
    place: &Place,
    scenario: usize,
    begun: Duration,
    sent: &Sent,
    trace: &TurnTrace,
    exchange: &Exchange,
    arrivals: &Arrivals,
) -> Sample {
    let usage = trace.usage;
    let timing = &trace.timing;
    // What is not streamed has no first output before its last byte.
    let streamed = arrivals.events > 0;
    let counted = usage.filter(|usage| counts_output(usage, streamed));
    Sample {
        lane: place.start.lane,
        arrival: place.start.arrival,
        turn: u32::try_from(place.index).unwrap_or(u32::MAX),
        scenario,
        phase: place.phase,
        intended: place.intended,
        held: place.start.held,
        begun,
        connecting: sent.dial.map(|dial| Connecting {
            dns: dial.dns,
            tcp: dial.tcp,
            proxy: dial.proxy,
            tls: dial.tls,
        }),
        queued: sent.queued,
        sent: sent.sent,
        headers: exchange.head.as_ref().map(|head| head.at),
        first_output: arrivals.first,
        first_output_read: arrivals.first_read,
        first_reasoning: timing.first_reasoning.filter(|_| streamed),
        first_text: timing.first_text.filter(|_| streamed),
        first_call_output: timing.first_call_output.filter(|_| streamed),
        first_call: timing.first_call.filter(|_| streamed),
        last_output: arrivals.last,
        ended: sent.total,
        output_events: arrivals.events,
        output_reads: arrivals.reads,
        first_read_events: arrivals.first_read_events,
        input_tokens: usage.map(|usage| usage.input),
        output_tokens: counted.map(|usage| usage.output),
        streamed_tokens: counted
            .map(|usage| streamed_tokens(&usage, timing.first_reasoning.is_some())),
        cached_tokens: usage.and_then(|usage| usage.cached),
        reasoning_tokens: usage.and_then(|usage| usage.reasoning),
        bytes_out: sent.bytes_out,
        bytes_in: sent.bytes_in,
        reads: sent.reads,
        stampless_reads: sent.stampless_reads,
        redialled: sent.redialled,
        streams: sent.streams,
        status: exchange.head.as_ref().map(|head| head.status),
        failure: trace.failure.as_ref().map(|failure| failure.class.clone()),
        retry_after: trace
            .failure
            .as_ref()
            .and_then(|failure| failure.retry_after),
        request_id: None,
        gaps: Box::default(),
    }
}

/// Whether the output was counted: who reports none beside output that was streamed has not done so.
fn counts_output(usage: &Usage, streamed: bool) -> bool {
    usage.output > 0 || !streamed
}

/// The output tokens that an answer streamed. Where no reasoning was, what was reported of it came before or between
/// and belongs to no event. Not taken away where the total says that it stands beside the output and not in it; where
/// there is no total, it is in it, as the APIs define it.
fn streamed_tokens(usage: &Usage, shows_reasoning: bool) -> u64 {
    let within = usage.total == 0 || usage.total == usage.input.saturating_add(usage.output);
    match usage.reasoning {
        Some(hidden) if within && !shows_reasoning => usage.output.saturating_sub(hidden),
        _ => usage.output,
    }
}

/// Headers in which answers name their request, as providers and the gateways before them call them.
const REQUEST_IDS: [&str; 4] = [
    "x-request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "request-id",
];

/// What whoever wants each request wants besides.
fn one_by_one(sample: &mut Sample, exchange: &Exchange, arrivals: &Arrivals) {
    let head = exchange.head.as_ref();
    sample.request_id = REQUEST_IDS
        .iter()
        .find_map(|name| head?.header(name))
        .map(str::to_owned);
    sample.gaps = arrivals.gaps.as_slice().into();
}

/// Adds the request to the worker's books, and closes or opens the lane's gate.
fn told(
    fleet: &Fleet,
    round: &Round,
    books: &mut Books,
    sample: &Sample,
    trace: &TurnTrace,
    arrivals: &Arrivals,
) {
    let ended = sample.begun + sample.ended;
    let throttled = sample.is_throttled();
    if throttled {
        fleet.refused(sample.lane, sample.retry_after);
    } else if fleet.back_off && sample.failure.is_none() {
        fleet.gates[sample.lane].answered(fleet.begun.elapsed());
    }
    let good = sample.failure.is_none() && (round.settings.good)(sample, &arrivals.gaps);
    let tally = &mut books.tallies[sample.lane];
    let counts = &mut tally.counts;
    counts.live_requests += 1;
    counts.live_errors += u64::from(sample.failure.is_some());
    counts.live_tokens = counts
        .live_tokens
        .saturating_add(sample.output_tokens.unwrap_or(0));
    counts.live_input_tokens = counts
        .live_input_tokens
        .saturating_add(sample.input_tokens.unwrap_or(0));
    if round.counts(ended) {
        counts.completed += 1;
        counts.completed_whole += u64::from(sample.failure.is_none());
        counts.completed_good += u64::from(good);
        counts.completed_tokens = counts
            .completed_tokens
            .saturating_add(sample.output_tokens.unwrap_or(0));
    }
    if sample.phase == Phase::Measured {
        tally.record(sample, &arrivals.gaps, good);
        tally.record_wait(&round.settings.window, sample);
        if let Some(failure) = &trace.failure
            && !tally.examples.contains_key(&failure.class)
        {
            let message = fleet.seen.redact(&failure.message);
            tally.example(&failure.class, failure.status, &message);
        }
    }
    if round.settings.keep_samples {
        books.samples.push(sample.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog;
    use crate::dialect::Dialect;
    use crate::dialect::agentcore::mapping::Mapping;
    use crate::load::conversation::*;

    /// Or a worker never rests, or goes on to hurry for what follows.
    #[test]
    fn a_beginning_is_awaited_until_there_is_output() {
        let mapping = Mapping::default();
        let mut ear = Ear {
            listening: Listening::new(Manner {
                dialect: Dialect::Chat,
                mapping: &mapping,
                provider: "openai",
                failures: &catalog::shipped().failures,
                streamed: true,
                most: 1000,
            }),
        };
        let head = Head {
            status: 200,
            headers: Vec::new(),
            at: Duration::ZERO,
        };
        ear.head(&head, Duration::ZERO);
        assert!(ear.awaits_beginning());
        for (content, awaited) in [("", true), ("a", false), ("b", false)] {
            let chunk = format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n"
            );
            let heard = ear.bytes(Duration::ZERO, Duration::ZERO, chunk.as_bytes());
            assert!(heard.is_continue());
            assert_eq!(ear.awaits_beginning(), awaited, "{content}");
        }
    }

    #[test]
    fn no_tokens_beside_streamed_output_are_no_count() {
        let of = |output| Usage {
            output,
            ..Usage::default()
        };
        assert!(counts_output(&of(1), true) && counts_output(&of(0), false));
        assert!(!counts_output(&of(0), true));
    }

    #[test]
    fn reasoning_that_was_kept_back_is_not_taken_for_streamed() {
        let usage = |output, reasoning, total| Usage {
            input: 50,
            output,
            total,
            reasoning,
            ..Usage::default()
        };
        for (usage, shows, streamed) in [
            (usage(1000, Some(900), 1050), false, 100),
            (usage(1000, Some(900), 1050), true, 1000),
            (usage(1000, None, 1050), false, 1000),
            // Beside the output, not in it.
            (usage(100, Some(900), 1050), false, 100),
            (usage(1000, Some(900), 1950), false, 1000),
            // No total.
            (usage(1000, Some(900), 0), false, 100),
            (usage(10, Some(900), 60), false, 0),
        ] {
            assert_eq!(
                streamed_tokens(&usage, shows),
                streamed,
                "{usage:?} {shows}"
            );
        }
    }
}
