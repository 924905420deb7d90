//! Whether a failed turn is asked again, and after how long.
//!
//! Pure: a scenario asks for it. Besides this, only `renewal` repeats a request, once. Waiting is the work of
//! `attempts`.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::scenario::model::Retries;
use crate::turn::trace::Failure;

/// The longest wait where the scenario names none.
const WAIT_AT_MOST: Duration = Duration::from_secs(30);
/// The backoff before the second attempt, doubled for each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// What follows an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It stands: it succeeded, or failed in a way that is not to be repeated.
    Stands,
    /// Another attempt after this long.
    Wait(Duration),
    /// Another attempt would be allowed, and is not made; why.
    GiveUp(String),
}

/// What follows attempt number `attempt` (from 1). `salt` makes the jitter of each cell its own.
pub fn next(
    retries: Option<&Retries>,
    attempt: u32,
    failure: Option<&Failure>,
    salt: &str,
) -> Next {
    let (Some(retries), Some(failure)) = (retries, failure) else {
        return Next::Stands;
    };
    if !retries.on.has(&failure.class) {
        return Next::Stands;
    }
    if attempt > retries.most {
        return Next::GiveUp(format!("after {attempt} attempts"));
    }
    let most = retries.wait_at_most.unwrap_or(WAIT_AT_MOST);
    match failure.retry_after {
        Some(asked) if asked > most => Next::GiveUp(format!(
            "the provider asks to wait {:.1} s, and {:.1} s is the most",
            asked.as_secs_f64(),
            most.as_secs_f64()
        )),
        Some(asked) => Next::Wait(asked),
        None => Next::Wait(backoff(attempt, most, salt)),
    }
}

/// Exponential with full jitter: anything from nothing to the doubled span, so that many clients that
/// failed together do not come back together.
fn backoff(attempt: u32, most: Duration, salt: &str) -> Duration {
    let span = FIRST_BACKOFF
        .saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)))
        .min(most);
    let hash = Sha256::digest(format!("{salt}\n{attempt}").as_bytes());
    let share = f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX);
    span.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::conduct::retry::{Next, next};
    use crate::scenario::model::Retries;
    use crate::scenario::one_or_more::OneOrMore;
    use crate::turn::trace::{Failure, Layer};

    fn failure(class: &str, retry_after: Option<u64>) -> Failure {
        Failure {
            class: class.to_owned(),
            layer: Layer::Response,
            status: Some(429),
            code: None,
            kind: None,
            param: None,
            message: String::new(),
            retry_after: retry_after.map(Duration::from_millis),
        }
    }

    #[test]
    fn what_follows_an_attempt() {
        let retries = Retries {
            most: 2,
            on: OneOrMore(vec!["throttled".to_owned(), "overloaded".to_owned()]),
            wait_at_most: Some(Duration::from_secs(5)),
        };
        let after = |attempt, failure: Option<Failure>| {
            next(Some(&retries), attempt, failure.as_ref(), "cell 1")
        };
        assert_eq!(after(1, None), Next::Stands);
        assert_eq!(after(1, Some(failure("server_error", None))), Next::Stands);
        let asked = Some(failure("throttled", Some(1500)));
        assert_eq!(
            after(1, asked.clone()),
            Next::Wait(Duration::from_millis(1500))
        );
        assert_eq!(
            after(2, asked.clone()),
            Next::Wait(Duration::from_millis(1500))
        );
        assert_eq!(
            after(3, asked.clone()),
            Next::GiveUp("after 3 attempts".to_owned())
        );
        assert_eq!(next(None, 1, asked.as_ref(), ""), Next::Stands);
        let long = Some(failure("overloaded", Some(60_000)));
        assert!(matches!(after(1, long), Next::GiveUp(why) if why.contains("60.0 s")));
        let mut seen = Vec::new();
        for cell in 0..20 {
            let bare = failure("overloaded", None);
            let Next::Wait(wait) = next(Some(&retries), 2, Some(&bare), &format!("cell {cell}"))
            else {
                panic!("no wait");
            };
            assert!(wait <= Duration::from_secs(1));
            seen.push(wait);
        }
        let first = seen[0];
        assert!(
            seen.iter().any(|wait| *wait != first),
            "no jitter: {seen:?}"
        );
    }
}
