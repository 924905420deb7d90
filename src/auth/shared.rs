//! Sign-ins of a run, made once and used by every lane: AWS credentials by environment, profile and
//! region.
//!
//! Whoever comes first resolves, and the others wait for it. Credentials are made anew before they
//! end; where that fails, the old ones are used for as long as they live. A failure stays: a program
//! that hangs would hang again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::identity::Identity;
use tokio::sync::Mutex;

use crate::auth::SignInFailure;
use crate::auth::environment::Environment;

/// Credentials are made anew this long before they end, or in the second half of a shorter life.
pub const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// AWS keys with their end.
#[derive(Clone)]
pub struct Keys {
    /// Holds `aws_credential_types::Credentials`.
    pub identity: Identity,
    /// When they stop being valid, where their source says so.
    pub expires: Option<SystemTime>,
    /// When to make new ones.
    pub renew_at: Option<SystemTime>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("identity", &"[redacted]")
            .field("expires", &self.expires)
            .field("renew_at", &self.renew_at)
            .finish()
    }
}

impl Keys {
    /// Keys that were given at `now`.
    pub fn new(keys: aws_credential_types::Credentials, now: SystemTime) -> Keys {
        let expires = keys.expiry();
        Keys {
            identity: keys.into(),
            expires,
            renew_at: expires.map(|at| {
                let life = at.duration_since(now).unwrap_or_default();
                at - RENEW_BEFORE.min(life / 2)
            }),
        }
    }
}

/// Whose keys for where. `Debug` shows no value of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    pub environment: Environment,
    pub profile: Option<String>,
    pub region: String,
}

type Slot = Arc<Mutex<Option<Result<Keys, SignInFailure>>>>;

/// The sign-ins of a run.
#[derive(Debug, Default)]
pub struct SignIns {
    slots: Mutex<HashMap<Asked, Slot>>,
}

impl SignIns {
    /// The keys, or those that `resolve` gets where there are none yet or theirs is a near end.
    pub async fn get<F>(&self, asked: &Asked, resolve: F) -> Result<Keys, SignInFailure>
    where
        F: Future<Output = Result<Keys, SignInFailure>>,
    {
        let slot = {
            let mut slots = self.slots.lock().await;
            Arc::clone(slots.entry(asked.clone()).or_default())
        };
        let mut known = slot.lock().await;
        let now = SystemTime::now();
        let ahead = |at: Option<SystemTime>| at.is_none_or(|at| at > now);
        let old = match &*known {
            Some(Ok(keys)) if ahead(keys.renew_at) => return Ok(keys.clone()),
            Some(Ok(keys)) => Some(keys.clone()),
            Some(Err(failure)) => return Err(failure.clone()),
            None => None,
        };
        let result = match (resolve.await, old) {
            (Err(_), Some(old)) if ahead(old.expires) => Ok(Keys {
                renew_at: old.expires,
                ..old
            }),
            (result, _) => result,
        };
        *known = Some(result.clone());
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::auth::shared::*;

    fn keys(seconds: u64) -> Keys {
        let now = SystemTime::now();
        let expires = now + Duration::from_secs(seconds);
        let keys =
            aws_credential_types::Credentials::new("AKIDEXAMPLE", "s", None, Some(expires), "test");
        Keys::new(keys, now)
    }

    fn asked(region: &str) -> Asked {
        Asked {
            environment: Environment::default(),
            profile: None,
            region: region.to_string(),
        }
    }

    #[tokio::test]
    async fn all_share_one_resolution() {
        let sign_ins = SignIns::default();
        let count = AtomicUsize::new(0);
        let resolve = || async {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(keys(3600))
        };
        let (one, two) = (asked("us-east-1"), asked("us-east-2"));
        let (a, b, c) = tokio::join!(
            sign_ins.get(&one, resolve()),
            sign_ins.get(&one, resolve()),
            sign_ins.get(&two, resolve()),
        );
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_failure_stays_and_old_keys_are_used_to_their_end() {
        let sign_ins = SignIns::default();
        let failure = || SignInFailure::of("process_hung", "x".to_string(), None);
        let (one, two) = (asked("us-east-1"), asked("us-east-2"));
        assert!(sign_ins.get(&one, async { Err(failure()) }).await.is_err());
        assert!(sign_ins.get(&one, async { Ok(keys(60)) }).await.is_err());

        let mut due = keys(60);
        due.renew_at = Some(SystemTime::now());
        let end = due.expires;
        assert!(sign_ins.get(&two, async { Ok(due) }).await.is_ok());
        let kept = sign_ins.get(&two, async { Err(failure()) }).await;
        assert_eq!(kept.expect("the old ones").renew_at, end);
        let kept = sign_ins
            .get(&two, async { panic!("asked too often") })
            .await;
        assert!(kept.is_ok());
    }

    #[test]
    fn short_lives_are_renewed_at_half() {
        let keys = keys(10);
        let left = keys
            .expires
            .zip(keys.renew_at)
            .and_then(|(end, at)| end.duration_since(at).ok());
        assert_eq!(left, Some(Duration::from_secs(5)));
        assert_eq!(RENEW_BEFORE.as_secs(), 300);
    }
}
