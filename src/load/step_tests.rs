//! What a step showed: each rule alone, so that none can go unnoticed.

use std::time::Duration;

use crate::load::find::{BoundedBy, Found, Search, Settings, Step};
use crate::load::measure::Measure;
use crate::load::sample::{Phase, Sample};
use crate::load::slo::{Objective, Outcome};
use crate::load::step::*;
use crate::load::tally::Tally;
use crate::load::trust::Busy;
use crate::load::window::Window;

const S: Duration = Duration::from_secs(1);

/// 10 s of a server that keeps anything: each request is answered after so long a wait, by when it was due.
fn answered(rate: f64, wait: impl Fn(f64) -> f64) -> Tally {
    let window = Window {
        warm_up: Duration::ZERO,
        measured: Some(10 * S),
        cool_down: Duration::ZERO,
        most: None,
    };
    let mut tally = Tally::default();
    for number in 0..(rate * 10.0) as u64 {
        let due = number as f64 / rate;
        let intended = Duration::from_secs_f64(due);
        let sample = Sample {
            first_output: Some(Duration::from_secs_f64(wait(due))),
            ended: Duration::from_secs_f64(wait(due)),
            ..sample(intended)
        };
        tally.record(&sample, &[], true);
        tally.counts.conversations += 1;
        tally.record_wait(&window, &sample);
        let later = Sample {
            turn: 1,
            ..sample.clone()
        };
        tally.record_wait(&window, &later);
        let failed = Sample {
            failure: Some("timeout".to_owned()),
            ..sample
        };
        tally.record_wait(&window, &failed);
    }
    tally
}

fn sample(intended: Duration) -> Sample {
    Sample {
        lane: 0,
        arrival: 0,
        turn: 0,
        scenario: 0,
        phase: Phase::Measured,
        intended,
        held: Duration::ZERO,
        begun: intended,
        connecting: None,
        queued: Duration::ZERO,
        sent: Some(Duration::ZERO),
        headers: None,
        first_output: None,
        first_output_read: None,
        first_reasoning: None,
        first_text: None,
        first_call_output: None,
        first_call: None,
        last_output: None,
        ended: Duration::ZERO,
        output_events: 1,
        output_reads: 1,
        first_read_events: 1,
        input_tokens: None,
        output_tokens: None,
        streamed_tokens: None,
        cached_tokens: None,
        reasoning_tokens: None,
        bytes_out: 0,
        bytes_in: 0,
        reads: 1,
        stampless_reads: 0,
        redialled: false,
        streams: 1,
        status: Some(200),
        failure: None,
        retry_after: None,
        request_id: None,
        gaps: Box::default(),
    }
}

fn shown_of(tally: &Tally) -> Shown {
    shown_by(tally, "errors<10%")
}

fn shown_by(tally: &Tally, objective: &str) -> Shown {
    let objective: Objective = objective.parse().unwrap();
    let tried = Tried {
        objective: &objective,
        rate: 20.0,
        measured: 10 * S,
        precision: 0.05,
        client_bound: false,
    };
    shown(&tried, tally)
}

#[test]
fn a_step_without_anything_against_it_is_kept() {
    let tally = answered(20.0, |_| 0.2);
    let shown = shown_of(&tally);
    assert_eq!((shown.outcome.held, shown.why), (Outcome::Held, vec![]));
    assert_eq!(shown.outcome.offered, 20.0);
    let counts = &tally.counts;
    assert_eq!((counts.early, counts.early_us), (67, 67 * 200_000));
    assert_eq!((counts.late, counts.late_us), (66, 66 * 200_000));
}

#[test]
fn what_was_not_sent_was_not_held() {
    let mut tally = answered(20.0, |_| 0.2);
    tally.counts.held_back = 1;
    let shown = shown_of(&tally);
    assert_eq!(shown.outcome.held, Outcome::Broken);
    assert_eq!(shown.why, ["arrivals were held back"]);
    assert_eq!(shown.outcome.offered, 20.1);
}

#[test]
fn broken_terms_are_named() {
    let mut tally = answered(20.0, |_| 0.2);
    tally.counts.cut = 200;
    assert_eq!(shown_of(&tally).why, ["errors<10%"]);
}

#[test]
fn a_wait_that_grows_is_a_rate_above_capacity() {
    let word = ["the wait kept growing"];
    // Requests come 1 + x times as fast as they are served.
    for (x, held) in [
        (0.0, Outcome::Held),
        (0.04, Outcome::Held),
        (0.07, Outcome::Broken),
        (0.5, Outcome::Broken),
        // A queue that gets shorter.
        (-0.3, Outcome::Held),
    ] {
        let tally = answered(20.0, |due| 4.0 + x * due);
        let shown = shown_of(&tally);
        assert_eq!(shown.outcome.held, held, "{x}: {shown:?}");
        assert!(held == Outcome::Held || shown.why == word, "{shown:?}");
    }
    // Where it is as large as the noise, it is none.
    let noisy = |due: f64| 4.0 + (due * 20.0).round() % 2.0 * 4.0 + 0.1 * due;
    assert_eq!(shown_of(&answered(20.0, noisy)).outcome.held, Outcome::Held);
    // None of those that were due last was answered before the rest was cut.
    let mut tally = answered(20.0, |_| 4.0);
    (tally.counts.late, tally.counts.late_us) = (0, 0);
    assert_eq!(shown_of(&tally).outcome.held, Outcome::Held);
    tally.counts.cut = 1;
    assert_eq!(shown_of(&tally).why, word);
}

#[test]
fn a_wait_for_our_own_places_is_our_own_limit() {
    let mut tally = answered(20.0, |_| 0.2);
    let bound = |tally: &Tally| client_bound(std::slice::from_ref(tally), 0, &[]);
    assert!(!bound(&tally));
    tally.counts.waited = 1;
    assert!(!bound(&tally), "one in 200");
    tally.counts.waited = 2;
    assert!(bound(&tally));
    let held = |held| {
        let mut tally = Tally::default();
        tally.record(&Sample { held, ..sample(S) }, &[], true);
        tally.counts.waited
    };
    assert_eq!(held(Duration::from_millis(10)), 0);
    assert_eq!(held(Duration::from_millis(11)), 1);
    // A later turn was held by its provider.
    let mut later = Tally::default();
    let sample = Sample {
        turn: 1,
        held: S,
        ..sample(S)
    };
    later.record(&sample, &[], true);
    assert_eq!(later.counts.waited, 0);
}

#[test]
fn late_reads_are_a_limit_where_they_leave_the_outcome_open() {
    let mut tally = answered(20.0, |_| 0.2);
    let tried = |tally: &Tally, wanted: &str| {
        let outcome = shown_by(tally, wanted).outcome;
        (outcome.held, outcome.client_bound)
    };
    let (loose, tight) = ("response:p50<30s", "response:p50<190ms");
    assert_eq!(tried(&tally, loose), (Outcome::Held, false));
    assert_eq!(tried(&tally, tight), (Outcome::Broken, false));
    tally.measure_micros(Measure::ReadLag, 40_000, 1000);
    assert_eq!(tried(&tally, loose), (Outcome::Held, false));
    assert_eq!(tried(&tally, tight), (Outcome::Undecided, true));
}

#[test]
fn what_was_cut_is_not_counted_twice_where_few_waited() {
    let mut tally = Tally::default();
    // One hundred began, sixty of which were cut; one had waited.
    tally.counts.conversations = 100;
    tally.counts.cut = 60;
    tally.counts.waited = 1;
    assert!(client_bound(std::slice::from_ref(&tally), 0, &[]));
}

#[test]
fn a_busy_lane_is_not_the_limit_of_the_others() {
    let of = |reads: u64, late: bool| {
        let mut tally = Tally::default();
        tally.counts.reads = reads;
        let lag = Duration::from_millis(if late { 50 } else { 1 });
        for _ in 0..1000 {
            tally.measure(Measure::StartLag, lag);
        }
        tally
    };
    // A lane that was late itself, and one that was not.
    let tallies = [of(1000, true), of(1000, false)];
    let bound = |tallies: &[Tally], busy: &[Busy]| -> Vec<bool> {
        (0..tallies.len())
            .map(|lane| client_bound(tallies, lane, busy))
            .collect()
    };
    assert_eq!(bound(&tallies, &[]), [true, false]);
    // Busy workers are the fault of those who kept them busy. The last lane has nothing more to find.
    let busy = [Busy {
        cpu: 95 * S / 100,
        time: S,
    }];
    let tallies = [of(9000, false), of(100, false), of(0, false)];
    assert_eq!(bound(&tallies, &busy), [true, false, false]);
    let alike = [of(1000, false), of(1001, false)];
    assert_eq!(bound(&alike, &busy), [true, true]);
    let idle = [Busy {
        cpu: S,
        time: 2 * S,
    }];
    assert_eq!(bound(&tallies, &idle), [false; 3]);
}

#[test]
fn the_next_step_waits_for_gates_and_for_what_was_cut() {
    let of = |gates: &[Option<Duration>], cut| rest(gates.iter().copied(), cut, 5 * S);
    assert_eq!(of(&[None, None], false), None);
    assert_eq!(of(&[None, Some(2 * S), Some(S)], false), Some(2 * S));
    assert_eq!(of(&[None], true), Some(5 * S));
    assert_eq!(of(&[Some(2 * S)], true), Some(5 * S));
    assert_eq!(of(&[Some(60 * S)], true), Some(60 * S));
}

/// A search whose every step is that of a server without limits and a client with one.
#[test]
fn the_limit_of_the_client_is_at_least_the_result() {
    let mut search = Search::new(8.0, Settings::default());
    let found: Found = loop {
        match search.next() {
            Step::Done(found) => break found,
            Step::Try { rate, .. } => {
                let mut shown = shown_of(&answered(20.0, |_| 0.2));
                shown.outcome.rate = rate;
                shown.outcome.client_bound = rate > 20.0;
                search.told(shown.outcome);
            }
        }
    };
    assert_eq!(found.bounded_by, BoundedBy::Client);
    assert!(found.is_lower_bound() && found.highest <= Some(20.0));
}

#[test]
fn requests_that_hardly_meet_are_no_load() {
    let of = |seconds: f64, change: fn(&mut Tally)| {
        let mut tally = answered(20.0, |_| seconds);
        tally.measure(Measure::E2e, Duration::from_secs_f64(seconds));
        change(&mut tally);
        shown_of(&tally).outcome.unloaded
    };
    // At 20/s.
    assert!(of(0.02, |_| ()));
    assert!(!of(0.03, |_| ()));
    // Part of them was refused, if by another word.
    assert!(!of(0.01, |tally| {
        tally.errors.insert("overloaded".to_owned(), 1);
    }));
    assert!(!of(0.01, |tally| tally.counts.throttled = 1));
    assert!(!of(0.01, |tally| tally.counts.held_back = 1));
    assert!(!of(0.01, |tally| tally.counts.cut = 1));
    // Nobody answered.
    let mut dead = Tally::default();
    dead.counts.requests = 200;
    assert!(shown_of(&dead).outcome.unloaded);
    assert!(!shown_of(&Tally::default()).outcome.unloaded);
}
