//! Shards as they are written, read and added up. Judges only what comes out, never how.

use std::time::Duration;

use proptest::prelude::*;

use crate::catalog::price::Rates;
use crate::load::measure::Measure;
use crate::load::price::Price;
use crate::load::result::{Ending, Harness, LaneResult, LoadResult, Verdict};
use crate::load::tally::Tally;
use crate::metric::distribution::Distribution;
use crate::plan::shard::Shard;
use crate::report::load_record::LoadRecord;
use crate::report::merge::{MergeError, Options, merge};
use crate::report::shard_record::*;
use crate::transport::wire::Clock;

const LANES: [(&str, &str); 3] = [
    ("openai", "us-east-1"),
    ("mantle", "us-east-1"),
    ("mantle", "us-west-2"),
];

/// A request in a few numbers: its lane, and what it came to.
#[derive(Debug, Clone)]
struct One {
    lane: usize,
    micros: u64,
    failed: bool,
    tokens: u64,
}

fn price() -> Price {
    Price::own(Rates {
        input: 2.5,
        cached: Some(0.1),
        cache_write: None,
        output: 9.0,
    })
}

fn add(tally: &mut Tally, one: &One) {
    let counts = &mut tally.counts;
    counts.requests += 1;
    counts.completed += 1;
    counts.output_tokens += one.tokens;
    counts.completed_tokens += one.tokens;
    counts.micro_dollars += one.tokens * 3;
    counts.retry_after_most = counts.retry_after_most.max(one.tokens);
    if one.failed {
        *tally.errors.entry("throttled".to_owned()).or_default() += 1;
        tally.example("throttled", Some(429), "slow down");
        return;
    }
    counts.whole += 1;
    counts.completed_whole += 1;
    tally.measure_micros(Measure::Ttft, one.micros, 1);
    tally.measure_micros(Measure::Itl, one.micros / 7, one.tokens + 1);
}

fn result(ones: &[&One]) -> LoadResult {
    let mut lanes: Vec<LaneResult> = LANES
        .iter()
        .map(|(target, region)| LaneResult {
            target: (*target).to_owned(),
            region: Some((*region).to_owned()),
            provider: "p".to_owned(),
            dialect: "chat".to_owned(),
            model: "m".to_owned(),
            endpoint: "http://h".to_owned(),
            sign_in: "none".to_owned(),
            price: (*target == "mantle").then(price),
            measured: Duration::from_secs(10),
            tally: Tally::default(),
        })
        .collect();
    for one in ones {
        add(&mut lanes[one.lane].tally, one);
    }
    LoadResult {
        run_id: "attempt".to_owned(),
        started_at: "2026-11-21T12:00:00Z".to_owned(),
        finished_at: "2026-11-21T12:00:10Z".to_owned(),
        mode: "mocks".to_owned(),
        load: "5 a second".to_owned(),
        seed: 7,
        clock: Clock::Kernel,
        measured: Duration::from_secs(10),
        ending: Ending::Planned,
        objective: None,
        searches: Vec::new(),
        lanes,
        harness: Harness::default(),
    }
}

fn plan(of: u32) -> PlanRecord {
    PlanRecord {
        version: "1".to_owned(),
        of,
        seed: 7,
        schedule: "5/s".to_owned(),
        load: "5 a second".to_owned(),
        lanes: LANES
            .iter()
            .map(|(target, region)| PlannedLane {
                target: (*target).to_owned(),
                region: Some((*region).to_owned()),
                provider: "p".to_owned(),
                dialect: "chat".to_owned(),
                model: "m".to_owned(),
                endpoint: "http://h".to_owned(),
            })
            .collect(),
        scenarios: vec!["d".to_owned()],
        objective: None,
    }
}

fn timing(from_s: u64) -> TimingRecord {
    TimingRecord {
        began_ms: from_s * 1000,
        late_ms: Some(0.0),
        clock_offset_ms: None,
        window_from_ms: from_s * 1000,
        window_to_ms: (from_s + 10) * 1000,
        measured_s: 10.0,
    }
}

/// As it was read from where it was written.
fn shard(index: u32, of: u32, ones: &[&One]) -> ShardRecord {
    let shard = Shard::new(index, of).expect("a shard");
    let record = ShardRecord::new(&result(ones), "run", shard, plan(of), timing(1000));
    let name = ShardRecord::file_name(shard);
    assert!(ShardRecord::is_file_name(&name));
    let read = ShardRecord::read(&name, record.to_json().as_bytes()).expect("its own record");
    assert_eq!(read, record);
    read
}

fn spread_of(tallies: &[Tally], measure: Measure) -> Vec<Option<Distribution>> {
    let measured = tallies.iter().map(|tally| tally.measured(measure));
    measured.collect()
}

fn one() -> impl Strategy<Value = (u32, One)> {
    // Beyond the room that histograms have at first, too.
    (
        0u32..5,
        0..LANES.len(),
        0u64..200_000_000,
        any::<bool>(),
        0u64..50,
    )
        .prop_map(|(part, lane, micros, failed, tokens)| {
            let one = One {
                lane,
                micros,
                failed,
                tokens,
            };
            (part, one)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whoever measured what: added up, it is as if one machine had measured it all.
    #[test]
    fn any_partition_adds_up_to_the_whole(ones in prop::collection::vec(one(), 0..200)) {
        let all: Vec<&One> = ones.iter().map(|(_, one)| one).collect();
        let whole = result(&all);
        let mut shards: Vec<ShardRecord> = (0..5)
            .map(|part| {
                let own: Vec<&One> = ones.iter().filter(|(of, _)| *of == part).map(|(_, one)| one).collect();
                shard(part, 5, &own)
            })
            .collect();
        // The histograms, bucket by bucket.
        let mut sums = vec![Tally::default(); LANES.len()];
        for shard in &shards {
            for (sum, lane) in sums.iter_mut().zip(&shard.lanes) {
                sum.add(&lane.tally("x").expect("a tally"));
            }
        }
        let wholes: Vec<Tally> = whole.lanes.iter().map(|lane| lane.tally.clone()).collect();
        for measure in Measure::ALL {
            prop_assert_eq!(spread_of(&sums, measure), spread_of(&wholes, measure));
        }
        // The document, figure by figure.
        let merged = merge(&shards, Options::default()).expect("one run").record;
        let expected = LoadRecord::new(&whole);
        prop_assert_eq!(&merged.targets, &expected.targets);
        prop_assert_eq!(&merged.partial, &None);
        // In any order, and as often as one likes.
        shards.reverse();
        prop_assert_eq!(merge(&shards, Options::default()).expect("one run").record, merged);
    }
}

fn some() -> Vec<One> {
    (0..30)
        .map(|number| One {
            lane: number % 3,
            micros: 1000 * number as u64,
            failed: number % 10 == 0,
            tokens: 3,
        })
        .collect()
}

fn parts(of: u32) -> Vec<ShardRecord> {
    let ones = some();
    (0..of)
        .map(|index| {
            let own = ones.iter().skip(index as usize).step_by(of as usize);
            shard(index, of, &own.collect::<Vec<_>>())
        })
        .collect()
}

#[test]
fn what_is_missing_is_said() {
    let mut shards = parts(3);
    shards.remove(1);
    let merged = merge(&shards, Options::default())
        .expect("a part of it")
        .record;
    let partial = merged.partial.expect("a part is missing");
    assert_eq!((partial.missing, partial.of), (vec![2], 3));
    assert_eq!(merged.shards.len(), 2);
    assert_eq!(merge(&[], Options::default()), Err(MergeError::Nothing));
}

#[test]
fn nothing_counts_twice() {
    let mut shards = parts(2);
    let mut again = shards[1].clone();
    again.attempt = "another".to_owned();
    shards.push(again);
    let error = merge(&shards, Options::default()).expect_err("twice");
    assert!(
        matches!(&error, MergeError::Twice(who, ..) if who == "shard 2 of 2"),
        "{error}"
    );
}

#[test]
fn another_plan_is_never_added() {
    type Change = fn(&mut PlanRecord);
    let changes: [(Change, &str); 6] = [
        (|plan| plan.version.push('x'), "the version"),
        (|plan| plan.of = 4, "the number of shards: 3 and 4"),
        (|plan| plan.seed = 8, "the seed: 7 and 8"),
        (|plan| plan.schedule.push('x'), "the load"),
        (|plan| plan.lanes[0].model.push('x'), "the targets"),
        (|plan| plan.scenarios[0].push('x'), "what is asked"),
    ];
    for (change, what) in changes {
        let mut shards = parts(3);
        change(&mut shards[2].plan);
        shards[2].digest = shards[2].plan.digest();
        let error = merge(&shards, Options::default()).expect_err(what);
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn windows_that_do_not_meet_are_refused_unless_told() {
    let mut shards = parts(2);
    shards[1].timing = timing(1009);
    assert!(merge(&shards, Options::default()).is_ok());
    shards[1].timing = timing(1012);
    let error = merge(&shards, Options::default()).expect_err("apart");
    assert!(
        error
            .to_string()
            .starts_with("shard 1 of 2 was measured until 2.0 s before shard 2 of 2 began"),
        "{error}"
    );
    let any_time = Options {
        any_time: true,
        ..Options::default()
    };
    assert!(merge(&shards, any_time).is_ok());
    // A clock that is known to be ahead.
    shards[1].timing.clock_offset_ms = Some(3000.0);
    assert!(merge(&shards, Options::default()).is_ok());
}

#[test]
fn regions_are_added_only_when_asked() {
    let shards = parts(2);
    let plain = merge(&shards, Options::default()).expect("one run").record;
    assert_eq!(plain.targets.len(), 3);
    let sum = Options {
        sum_regions: true,
        ..Options::default()
    };
    let summed = merge(&shards, sum).expect("one run").record;
    assert_eq!(summed.targets.len(), 4);
    let row = &summed.targets[3];
    assert_eq!((row.target.as_str(), &row.region), ("mantle", &None));
    assert_eq!(row.sum_of_regions, ["us-east-1", "us-west-2"]);
    assert_eq!(
        row.requests,
        plain.targets[1].requests + plain.targets[2].requests
    );
    let counts = |at: usize| plain.targets[at].ttft_ms.as_ref().map_or(0, |one| one.n);
    let n = row.ttft_ms.as_ref().map(|one| one.n);
    assert_eq!(n, Some(counts(1) + counts(2)));
    let cost = |at: usize| plain.targets[at].cost_usd;
    assert_eq!(cost(0), None, "without a price nobody knows");
    let both = cost(1).zip(cost(2)).map(|(one, other)| one + other);
    assert!((row.cost_usd.unwrap() - both.unwrap()).abs() < 1e-9 && both > Some(0.0));
    assert_eq!(row.price, Some(price()));
    // One region is no sum.
    assert!(summed.targets[1].sum_of_regions.is_empty());
}

#[test]
fn what_shards_have_paid_differently_has_no_price() {
    let mut shards = parts(2);
    shards[1].lanes[2].price = None;
    let merged = merge(&shards, Options::default()).expect("one run").record;
    let cost = |at: usize| merged.targets[at].cost_usd;
    assert!(cost(1).is_some() && cost(2).is_none());
}

#[test]
fn what_is_no_shard_is_refused() {
    let whole = parts(1).remove(0);
    let read = |text: &str| ShardRecord::read("f", text.as_bytes()).expect_err("not a shard");
    assert!(matches!(read("{"), ShardError::Unreadable(..)));
    let other = whole.to_json().replace("sameturn load shard", "else");
    assert!(matches!(read(&other), ShardError::Unreadable(..)));
    let newer = whole
        .to_json()
        .replacen("\"schema\": 1", "\"schema\": 2", 1);
    assert!(matches!(read(&newer), ShardError::Schema(_, 2)));
    let forged = whole.to_json().replace("\"seed\": 7", "\"seed\": 8");
    assert!(matches!(read(&forged), ShardError::Digest(..)));
    let mut broken = whole.clone();
    let text = broken.lanes[0]
        .histograms
        .get_mut("ttft")
        .expect("a histogram");
    text.truncate(text.len() / 2);
    assert!(matches!(
        merge(&[broken], Options::default()),
        Err(MergeError::Shard(ShardError::Histogram(..)))
    ));
}

#[test]
fn attempts_that_came_to_the_same_are_told_from_others() {
    let [first, second] = [parts(1).remove(0), parts(1).remove(0)];
    let mut retried = second.clone();
    retried.attempt = "another".to_owned();
    retried.lanes[0].histograms.clear();
    assert!(first.says_the_same(&retried));
    *retried.lanes[0]
        .counts
        .get_mut("requests")
        .expect("a count") += 1;
    assert!(!first.says_the_same(&retried));
    let mut failed = second;
    failed.lanes[1].errors.insert("timeout".to_owned(), 1);
    assert!(!first.says_the_same(&failed));
}

#[test]
fn the_verdict_is_that_of_one_machine() {
    let with = |objective: Option<&str>, bottleneck: &[&str]| {
        let mut shards = parts(2);
        for shard in &mut shards {
            shard.plan.objective = objective.map(str::to_owned);
            shard.digest = shard.plan.digest();
            shard.harness.bottleneck = bottleneck.iter().map(|one| (*one).to_owned()).collect();
            shard.harness.overloaded = !bottleneck.is_empty();
        }
        let merged = merge(&shards, Options::default()).expect("one run");
        let outcomes = merged.record.targets.iter().flat_map(|one| &one.objective);
        let outcomes: Vec<String> = outcomes.map(|one| one.outcome.clone()).collect();
        (merged.verdict, outcomes)
    };
    assert_eq!(with(None, &[]), (Verdict::Kept, vec![]));
    let broken = Some("ttft:p50<1ms");
    let (verdict, outcomes) = with(broken, &[]);
    assert_eq!((verdict, &*outcomes[0]), (Verdict::Broken, "broken"));
    // What the client may have broken is nobody's finding, in the record too.
    let (verdict, outcomes) = with(broken, &["a worker was busy"]);
    assert_eq!(verdict, Verdict::Undetermined);
    assert_eq!(outcomes, ["undecided"; 3]);
    // Nothing but errors is one, without any objective.
    let failed: Vec<One> = some()
        .into_iter()
        .map(|one| One {
            failed: true,
            ..one
        })
        .collect();
    let shards = [shard(0, 1, &failed.iter().collect::<Vec<_>>())];
    let merged = merge(&shards, Options::default()).expect("one run");
    assert_eq!(merged.verdict, Verdict::Broken);
}

#[test]
fn rates_are_of_the_longest_time_that_a_lane_was_measured() {
    let mut shards = parts(2);
    for (shard, seconds) in shards.iter_mut().zip([4.0, 5.0]) {
        shard.lanes[1].measured_s = seconds;
    }
    let merged = merge(&shards, Options::default()).expect("one run").record;
    let whole = |at: usize| merged.targets[at].counts["completed_whole"] as f64;
    assert_eq!(merged.targets[1].measured_s, 5.0);
    assert_eq!(merged.targets[1].requests_per_s, whole(1) / 5.0);
    assert_eq!(merged.targets[0].requests_per_s, whole(0) / 10.0);
    let sum = Options {
        sum_regions: true,
        ..Options::default()
    };
    let summed = merge(&shards, sum).expect("one run").record;
    assert_eq!(summed.targets[3].measured_s, 10.0);
}
