//! What the schedule of a load run and its histograms cost: both must be nothing beside a request.
//!
//! `cargo bench --bench schedule`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use sameturn::load::arrival::{Merged, Spacing};
use sameturn::load::profile::Profile;
use sameturn::metric::estimate::estimate;
use sameturn::metric::recorded::Recorded;

/// Arrivals per round, so that setting up costs nothing beside them.
const ARRIVALS: usize = 100_000;

fn schedule(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("schedule");
    group.throughput(Throughput::Elements(ARRIVALS as u64));
    for (shape, text) in [("flat", "1000"), ("ramp", "10..1000/1440m")] {
        let profile: Profile = text.parse().expect("a profile");
        for spacing in [Spacing::Constant, Spacing::Poisson] {
            for lanes in [1, 8] {
                group.bench_function(format!("{shape}/{spacing}/{lanes}-lanes"), |bencher| {
                    bencher.iter(|| {
                        let merged = Merged::new(black_box(&profile), spacing, 1, lanes);
                        let last = merged.take(ARRIVALS).last().expect("there are some");
                        assert_eq!(last.number, ARRIVALS as u64 - 1);
                        last
                    });
                });
            }
        }
    }
    group.finish();
}

fn histogram(criterion: &mut Criterion) {
    // Gaps between 1 ms and 1 s, spread over the buckets as latencies are.
    let values: Vec<u64> = (0..10_000u64)
        .map(|k| 1000 + k.wrapping_mul(2_654_435_761) % 999_000)
        .collect();
    let mut full: Histogram<u64> = Histogram::new(3).expect("three digits");
    for value in &values {
        full.record(*value).expect("it grows");
    }
    let mut group = criterion.benchmark_group("histogram");
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("record", |bencher| {
        let mut recorded = Recorded::from(full.clone());
        bencher.iter(|| {
            for value in &values {
                recorded.record(black_box(*value), 1);
            }
        });
    });
    // The floor of the one above.
    group.bench_function("record-hdrhistogram", |bencher| {
        let mut histogram = full.clone();
        bencher.iter(|| {
            for value in &values {
                histogram.record(black_box(*value)).expect("it is in range");
            }
        });
    });
    // What one stream brings in a second: recorded, added to the total, and forgotten.
    let second = &values[..45];
    group.throughput(Throughput::Elements(1));
    group.bench_function("second-of-a-stream", |bencher| {
        let (mut own, mut total) = (Recorded::default(), Recorded::from(full.clone()));
        bencher.iter(|| {
            for value in second {
                own.record(black_box(*value), 1);
            }
            total.add(&own);
            own.clear();
        });
    });
    group.bench_function("second-of-a-stream-hdrhistogram", |bencher| {
        let (mut own, mut total) = (full.clone(), full.clone());
        own.reset();
        bencher.iter(|| {
            for value in second {
                own.record(black_box(*value)).expect("it is in range");
            }
            total.add(&own).expect("it has room");
            own.reset();
        });
    });
    // As a report takes them.
    let quantiles = [0.5, 0.9, 0.95, 0.99, 0.999];
    group.bench_function("five-quantiles-hdrhistogram", |bencher| {
        bencher.iter(|| quantiles.map(|one| black_box(&full).value_at_quantile(one)));
    });
    let recorded = Recorded::from(full.clone());
    group.bench_function("five-quantiles-with-intervals", |bencher| {
        bencher.iter(|| {
            let ordered = black_box(&recorded).distribution();
            quantiles.map(|one| estimate(&ordered, one).expect("enough"))
        });
    });
    group.finish();
}

criterion_group!(benches, schedule, histogram);
criterion_main!(benches);
