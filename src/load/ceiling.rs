//! What a run may spend: tokens and money, as the answers report them.
//!
//! Counts what was spent, and what is under way as the most that a request took so far. Never waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::load::price::{Price, Spending};

/// Limits, and what counts towards them. Shared by all workers.
#[derive(Debug, Default)]
pub struct Ceiling {
    /// Input and output tokens together.
    pub most_tokens: Option<u64>,
    /// Millionths of a dollar.
    pub most_micro_dollars: Option<u64>,
    tokens: AtomicU64,
    micro_dollars: AtomicU64,
    under_way: AtomicU64,
    largest_tokens: AtomicU64,
    largest_micro_dollars: AtomicU64,
    reached: AtomicBool,
}

impl Ceiling {
    pub fn new(most_tokens: Option<u64>, most_micro_dollars: Option<u64>) -> Ceiling {
        Ceiling {
            most_tokens,
            most_micro_dollars,
            ..Ceiling::default()
        }
    }

    /// Whether one more request may start: what was spent, and what is under way if each takes as much as the largest
    /// so far or as this one is expected to, leaves room for it. Counts it as under way where it may.
    pub fn admit(&self, expected: Spending, price: Option<&Price>) -> bool {
        if self.most_tokens.is_none() && self.most_micro_dollars.is_none() {
            return true;
        }
        let with_this = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let room = |most: Option<u64>, spent: &AtomicU64, largest: &AtomicU64, this: u64| {
            let spent = spent.load(Ordering::Relaxed);
            // Kept for those that come while this one is under way.
            let each = largest.fetch_max(this, Ordering::Relaxed).max(this);
            let planned = each.saturating_mul(with_this);
            most.is_none_or(|most| spent.saturating_add(planned) <= most && spent < most)
        };
        let tokens = expected.input.saturating_add(expected.output);
        let cost = price.map_or(0, |price| price.micro_dollars(expected));
        let admitted = room(self.most_tokens, &self.tokens, &self.largest_tokens, tokens)
            && room(
                self.most_micro_dollars,
                &self.micro_dollars,
                &self.largest_micro_dollars,
                cost,
            );
        if !admitted {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            self.reached.store(true, Ordering::Relaxed);
        }
        admitted
    }

    /// A request that was admitted has ended. What it cost, in millionths of a dollar; 0 without a price.
    pub fn ended(&self, spending: Spending, price: Option<&Price>) -> u64 {
        let tokens = spending.input.saturating_add(spending.output);
        self.largest_tokens.fetch_max(tokens, Ordering::Relaxed);
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        let cost = price.map_or(0, |price| price.micro_dollars(spending));
        self.largest_micro_dollars
            .fetch_max(cost, Ordering::Relaxed);
        self.micro_dollars.fetch_add(cost, Ordering::Relaxed);
        if self.most_tokens.is_some() || self.most_micro_dollars.is_some() {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
        }
        cost
    }

    /// Whether a request was refused.
    pub fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Tokens spent so far.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Millionths of a dollar spent so far, at known prices.
    pub fn micro_dollars(&self) -> u64 {
        self.micro_dollars.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::price::Rates;
    use crate::load::ceiling::*;

    #[test]
    fn what_is_under_way_counts_as_the_largest_so_far() {
        let ceiling = Ceiling::new(Some(1000), None);
        let used = Spending {
            input: 60,
            output: 40,
            ..Spending::default()
        };
        assert!(ceiling.admit(Spending::default(), None));
        ceiling.ended(used, None);
        // 100 spent and 100 each: nine more fit, at once or one after the other.
        for number in 0..9 {
            assert!(ceiling.admit(Spending::default(), None), "{number}");
        }
        assert!(!ceiling.admit(Spending::default(), None) && ceiling.reached());
        for _ in 0..9 {
            ceiling.ended(used, None);
        }
        assert_eq!(ceiling.tokens(), 1000);
        assert!(!ceiling.admit(Spending::default(), None));
    }

    #[test]
    fn a_request_that_is_expected_to_take_more_than_is_left_does_not_start() {
        let expected = |input| Spending {
            input,
            output: 10,
            ..Spending::default()
        };
        let rates = Rates {
            input: 1.0,
            cached: None,
            cache_write: None,
            output: 10.0,
        };
        let price = Price::own(rates);
        for (tokens, cost) in [(Some(1000), None), (None, Some(1090))] {
            let too_much = Ceiling::new(tokens, cost);
            assert!(!too_much.admit(expected(991), Some(&price)));
            let ceiling = Ceiling::new(tokens, cost);
            assert!(ceiling.admit(expected(990), Some(&price)));
            assert!(
                !ceiling.admit(expected(1), Some(&price)),
                "the first is under way"
            );
        }
    }
}
