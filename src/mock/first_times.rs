//! Requests that are refused the first times and then answered: who has been refused how often.
//!
//! Pure: counts by what was asked and of whom. It must never look at what a client says about its attempts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// More different requests than any run has at once.
const MOST: usize = 10_000;

/// How often each request has come. The same request to the same address by the same principal is one, so
/// that targets side by side do not disturb each other.
#[derive(Debug, Default)]
pub struct FirstTimes {
    seen: HashMap<u64, u32>,
}

impl FirstTimes {
    /// Whether this request is among the first `times`. After those and one good answer it starts anew, so
    /// that a repeated run sees the same again.
    pub fn refuses(&mut self, path: &str, principal: &str, body: &[u8], times: u32) -> bool {
        let mut hasher = DefaultHasher::new();
        (path, principal, body).hash(&mut hasher);
        let key = hasher.finish();
        if self.seen.len() >= MOST && !self.seen.contains_key(&key) {
            self.seen.clear();
        }
        let count = self.seen.entry(key).or_default();
        *count += 1;
        if *count > times {
            self.seen.remove(&key);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::mock::first_times::FirstTimes;

    #[test]
    fn each_request_is_counted_by_itself_and_again_after_a_good_answer() {
        let mut first = FirstTimes::default();
        let mut ask = |path: &str, body: &[u8]| first.refuses(path, "alice", body, 2);
        assert_eq!(
            [ask("/a", b"x"), ask("/b", b"x"), ask("/a", b"y")],
            [true; 3]
        );
        assert_eq!([ask("/a", b"x"), ask("/a", b"x")], [true, false]);
        assert_eq!(
            [ask("/a", b"x"), ask("/b", b"x"), ask("/b", b"x")],
            [true, true, false]
        );
        assert!(!first.refuses("/c", "bob", b"", 0));
    }
}
