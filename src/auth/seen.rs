//! The secrets that a run has used so far, and the redactor over them.
//!
//! Shared by whoever signs in and whoever writes; nothing but redaction can be asked of it.

use std::sync::{PoisonError, RwLock};

use crate::auth::credentials::{Credentials, Secret};
use crate::auth::redact::Redactor;

/// Secrets seen so far.
#[derive(Debug)]
pub struct Seen {
    account_ids: bool,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    secrets: Vec<Secret>,
    redactor: Redactor,
}

impl Seen {
    /// Knows nothing yet but the usual shapes of secrets. `account_ids` removes AWS account ids too.
    pub fn new(account_ids: bool) -> Seen {
        Seen {
            account_ids,
            known: RwLock::new(Known {
                secrets: Vec::new(),
                redactor: Redactor::default().with_account_ids(account_ids),
            }),
        }
    }

    /// Remembers the secrets of these credentials.
    pub fn learn(&self, credentials: &Credentials) {
        self.learn_secrets(credentials.secrets());
    }

    /// Remembers secrets that are no credentials of a provider.
    pub fn learn_secrets(&self, secrets: impl IntoIterator<Item = Secret>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            if known
                .secrets
                .iter()
                .all(|one| one.expose() != secret.expose())
            {
                known.secrets.push(secret);
            }
        }
        known.redactor = Redactor::new(known.secrets.clone()).with_account_ids(self.account_ids);
    }

    /// Headers without any of them, and without whatever a header of such a name holds.
    pub fn redact_headers(&self, headers: &[(String, String)]) -> Vec<(String, String)> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .redactor
            .redact_headers(headers)
    }

    /// The text without any of them.
    pub fn redact(&self, text: &str) -> String {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .redactor
            .redact(text)
    }
}

#[cfg(test)]
mod tests {
    use crate::auth::credentials::{Credentials, Secret};
    use crate::auth::seen::Seen;

    #[test]
    fn what_was_learnt_is_removed() {
        let seen = Seen::new(false);
        assert_eq!(
            seen.redact("key plain-marker-0001"),
            "key plain-marker-0001"
        );
        seen.learn(&Credentials::Bearer(Secret::new("plain-marker-0001")));
        seen.learn(&Credentials::Bearer(Secret::new("other-marker-0002")));
        let left = seen.redact("key plain-marker-0001 and other-marker-0002");
        assert!(!left.contains("marker"), "{left}");
    }
}
