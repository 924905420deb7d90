//! The search against servers that are formulas.

use proptest::prelude::*;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::load::find::{BoundedBy, Found, Outcome, Search, Settings, Step};
use crate::load::slo::Outcome as Held;

/// Searches at a server that judges rates, and a client that can do so much.
fn search(
    start: f64,
    settings: Settings,
    client: f64,
    mut server: impl FnMut(f64, u32) -> Held,
) -> Found {
    let mut search = Search::new(start, settings);
    for _ in 0..=settings.steps {
        match search.next() {
            Step::Done(found) => {
                assert!(found.steps.len() <= settings.steps);
                return found;
            }
            Step::Try { rate, confirm } => {
                assert_eq!(search.next(), Step::Try { rate, confirm });
                let achieved = rate.min(client);
                search.told(Outcome {
                    rate,
                    offered: rate,
                    achieved,
                    held: server(achieved, confirm),
                    goodput: achieved,
                    client_bound: rate > client,
                    unloaded: false,
                });
            }
        }
    }
    panic!("the search does not end: {search:?}");
}

/// An M/M/1 queue: the 99th percentile of the response time is ln(100) / (capacity - rate), which must
/// stay below a limit in seconds.
fn queue(capacity: f64, limit: f64) -> impl Fn(f64, u32) -> Held {
    move |rate, _| {
        let keeps = rate < capacity && 100f64.ln() / (capacity - rate) < limit;
        if keeps { Held::Held } else { Held::Broken }
    }
}

/// The highest rate of such a queue.
fn knee(capacity: f64, limit: f64) -> f64 {
    capacity - 100f64.ln() / limit
}

const FREE: f64 = f64::INFINITY;

#[test]
fn the_knee_of_a_queue_is_found_to_the_precision() {
    let found = search(10.0, Settings::default(), FREE, queue(500.0, 0.1));
    let knee = knee(500.0, 0.1);
    let highest = found.highest.expect("a rate");
    assert!(highest <= knee && knee <= highest * 1.05, "{found:?}");
    assert_eq!(found.bounded_by, BoundedBy::Server);
    assert_eq!((found.confirmed, found.cut_short), (2, false));
    assert!(!found.is_lower_bound());
    // 10 to 640 are 7, 4 halvings, the second look at the boundary, 2 confirmations.
    assert_eq!(found.steps.len(), 14);
    let last: Vec<(f64, u32)> = found.steps[12..]
        .iter()
        .map(|step| (step.outcome.rate, step.confirm))
        .collect();
    assert_eq!(last, [(highest, 1), (highest, 2)]);
}

#[test]
fn a_start_above_the_knee_searches_downwards() {
    let found = search(5000.0, Settings::default(), FREE, queue(500.0, 0.1));
    let highest = found.highest.expect("a rate");
    let knee = knee(500.0, 0.1);
    assert!(highest <= knee && knee <= highest * 1.05, "{found:?}");
}

#[test]
fn a_server_that_never_breaks_gives_at_least_the_ceiling() {
    let settings = Settings {
        ceiling: 300.0,
        ..Settings::default()
    };
    let found = search(10.0, settings, FREE, |_, _| Held::Held);
    assert_eq!(found.highest, Some(300.0));
    assert_eq!(found.bounded_by, BoundedBy::Ceiling);
    assert_eq!((found.confirmed, found.cut_short), (2, false));
    assert!(found.is_lower_bound());
    let endless = search(1.0, Settings::default(), FREE, |_, _| Held::Held);
    assert_eq!(endless.bounded_by, BoundedBy::Ceiling);
    assert!(!endless.cut_short);
}

#[test]
fn a_server_that_always_breaks_has_no_rate() {
    for held in [Held::Broken, Held::Undecided] {
        let found = search(10.0, Settings::default(), FREE, |_, _| held);
        assert_eq!(found.highest, None);
        assert_eq!(found.bounded_by, BoundedBy::Floor);
        assert!(!found.is_lower_bound());
        assert_eq!(found.steps.last().expect("steps").outcome.rate, 0.1);
        // From 10 down to 0.1 by halves are 8, and the floor twice.
        assert_eq!(found.steps.len(), 9);
    }
}

#[test]
fn the_limit_of_the_client_is_never_the_servers() {
    let found = search(10.0, Settings::default(), 100.0, queue(5000.0, 0.1));
    let highest = found.highest.expect("a rate");
    assert!(highest <= 100.0 && highest * 1.05 >= 100.0, "{found:?}");
    assert_eq!(found.bounded_by, BoundedBy::Client);
    assert!(found.is_lower_bound());
    // Where not even the floor can be sent, nothing is known of the server.
    let found = search(10.0, Settings::default(), 0.01, |_, _| Held::Held);
    assert_eq!((found.highest, found.bounded_by), (None, BoundedBy::Client));
    // A server that breaks below the client's limit is the server's limit again.
    let found = search(10.0, Settings::default(), 600.0, queue(500.0, 0.1));
    assert_eq!(found.bounded_by, BoundedBy::Server);
}

#[test]
fn what_is_undecided_is_not_held() {
    let found = search(10.0, Settings::default(), FREE, |rate, _| match rate {
        ..100.0 => Held::Held,
        ..200.0 => Held::Undecided,
        _ => Held::Broken,
    });
    let highest = found.highest.expect("a rate");
    assert!((95.0..100.0).contains(&highest), "{found:?}");
}

#[test]
fn a_failed_confirmation_lowers_the_ceiling() {
    // First trials are flattering: they hold up to 200; confirmations only up to 150.
    let found = search(10.0, Settings::default(), FREE, |rate, confirm| {
        let limit = if confirm > 0 { 150.0 } else { 200.0 };
        if rate < limit {
            Held::Held
        } else {
            Held::Broken
        }
    });
    let highest = found.highest.expect("a rate");
    assert!((130.0..150.0).contains(&highest), "{found:?}");
    assert_eq!((found.confirmed, found.cut_short), (2, false));
    // One of two confirmations is not enough either.
    let found = search(10.0, Settings::default(), FREE, |rate, confirm| {
        let limit = if confirm == 2 { 150.0 } else { 200.0 };
        if rate < limit {
            Held::Held
        } else {
            Held::Broken
        }
    });
    assert!(found.highest.expect("a rate") < 150.0, "{found:?}");
}

#[test]
fn one_bad_trial_on_the_way_does_not_halve_the_result() {
    // A hiccup at the fourth trial (80 a second), far below the knee.
    let mut trial = 0;
    let inner = queue(500.0, 0.1);
    let found = search(10.0, Settings::default(), FREE, |rate, confirm| {
        trial += 1;
        if trial == 4 {
            Held::Broken
        } else {
            inner(rate, confirm)
        }
    });
    let highest = found.highest.expect("a rate");
    assert!(highest * 1.05 >= knee(500.0, 0.1), "{found:?}");
}

#[test]
fn noise_near_the_knee_costs_steps_and_not_much_else() {
    let knee = knee(500.0, 0.1);
    let mut widths = Vec::new();
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Whether a trial holds is a matter of chance within 10 % of the knee.
        let found = search(7.0, Settings::default(), FREE, |rate, _| {
            let chance = ((1.1 * knee - rate) / (0.2 * knee)).clamp(0.0, 1.0);
            if random.random::<f64>() < chance {
                Held::Held
            } else {
                Held::Broken
            }
        });
        let highest = found.highest.expect("a rate");
        assert!(!found.cut_short, "{seed}: {found:?}");
        assert_eq!(found.confirmed, 2);
        assert!(
            (0.80 * knee..1.1 * knee).contains(&highest),
            "{seed}: {highest}"
        );
        let at_it: Vec<Held> = found
            .steps
            .iter()
            .filter(|step| step.outcome.rate == highest)
            .map(|step| step.outcome.held)
            .collect();
        assert!(
            at_it.len() >= 3
                && at_it[at_it.len() - 3..]
                    .iter()
                    .all(|held| *held == Held::Held)
        );
        widths.push(highest / knee);
    }
    let mean = widths.iter().sum::<f64>() / widths.len() as f64;
    assert!((0.93..1.03).contains(&mean), "{mean}");
}

#[test]
fn running_out_of_steps_is_said() {
    let settings = Settings {
        steps: 5,
        ..Settings::default()
    };
    let found = search(10.0, settings, FREE, queue(5000.0, 0.1));
    assert_eq!(found.highest, Some(160.0));
    assert!(found.cut_short && found.is_lower_bound());
    assert_eq!((found.confirmed, found.steps.len()), (0, 5));
}

#[test]
fn without_confirmations_there_are_none() {
    let settings = Settings {
        confirm: 0,
        ..Settings::default()
    };
    let found = search(10.0, settings, FREE, queue(500.0, 0.1));
    assert!(found.steps.iter().all(|step| step.confirm == 0));
    assert_eq!(found.bounded_by, BoundedBy::Server);
}

proptest! {
    #[test]
    fn any_server_that_answers_at_random_ends_the_search(
        seed: u64, start in 0.001f64..1e7, precision in 0.0f64..0.5, growth in 0.0f64..10.0, confirm in 0u32..4,
    ) {
        let settings = Settings { precision, growth, confirm, ..Settings::default() };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let found = search(start, settings, 1e6, |_, _| match random.random_range(0..3) {
            0 => Held::Held,
            1 => Held::Broken,
            _ => Held::Undecided,
        });
        if let Some(highest) = found.highest {
            // The last word about the result was that it held, and never by a client at its limit.
            let last = found.steps.iter().rfind(|step| step.outcome.rate == highest).expect("it was tried");
            prop_assert_eq!(last.outcome.held, Held::Held);
            prop_assert!(!last.outcome.client_bound);
        }
        prop_assert!(found.cut_short || found.highest.is_none() || found.confirmed >= confirm);
    }

    #[test]
    fn any_step_is_found_to_the_precision(limit in 0.2f64..1e6, start in 0.1f64..1e6, precision in 0.01f64..0.3) {
        let settings = Settings { precision, steps: 80, ..Settings::default() };
        let found = search(start, settings, FREE, |rate, _| if rate <= limit { Held::Held } else { Held::Broken });
        let highest = found.highest.expect("above the floor");
        // Rates are rounded to four digits.
        prop_assert!(highest <= limit && limit <= highest * (1.0 + precision) * 1.001, "{:?}", found);
        prop_assert!(!found.cut_short);
    }
}

#[test]
fn what_is_broken_without_load_is_not_tried_ever_more_slowly() {
    let tried = |unloaded: bool, chance: usize| {
        let mut search = Search::new(100.0, Settings::default());
        let mut trials = 0;
        while let Step::Try { rate, .. } = search.next() {
            trials += 1;
            search.told(Outcome {
                rate,
                offered: rate,
                achieved: 0.0,
                held: match trials == chance {
                    true => Held::Held,
                    false => Held::Broken,
                },
                goodput: 0.0,
                client_bound: false,
                unloaded,
            });
        }
        (trials, search.so_far())
    };
    let (trials, found) = tried(true, 0);
    assert_eq!((trials, found.highest), (2, None));
    assert_eq!(found.bounded_by, BoundedBy::Floor);
    // Under load, lower rates are tried down to the floor.
    assert!(tried(false, 0).0 > 9);
    // 100 broken, 50 held, four between them broken (the lowest twice), 50 broken when it was to be confirmed: what was
    // above 50 was not in vain, so 25 and 12.5 are tried.
    let (trials, found) = tried(true, 2);
    assert_eq!(trials, 10, "{found:?}");
    assert_eq!(found.steps.last().map(|step| step.outcome.rate), Some(12.5));
}

#[test]
fn one_hiccup_of_the_client_is_no_limit() {
    let found = |hiccups: usize| {
        let mut search = Search::new(20.0, Settings::default());
        let mut at_start = 0;
        while let Step::Try { rate, .. } = search.next() {
            at_start += usize::from(rate == 20.0);
            search.told(Outcome {
                rate,
                offered: rate,
                achieved: rate,
                held: match rate <= 50.0 {
                    true => Held::Held,
                    false => Held::Broken,
                },
                goodput: rate,
                client_bound: rate == 20.0 && at_start <= hiccups,
                unloaded: false,
            });
        }
        search.so_far()
    };
    for hiccups in [0, 1] {
        let found = found(hiccups);
        let highest = found.highest.expect("a rate");
        assert!((47.5..=50.0).contains(&highest), "{hiccups}: {found:?}");
        assert_eq!(found.bounded_by, BoundedBy::Server, "{hiccups}");
    }
    let again = found(2);
    assert!(again.highest < Some(20.0), "{again:?}");
    assert_eq!(again.bounded_by, BoundedBy::Client);
}
