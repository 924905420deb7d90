//! Secrets and what is signed in with them.
//!
//! Nothing here may show a secret: `Debug` says that one is there, no more, and nothing is
//! serialised. [`Secret::expose`] is for the header of a request about to be sent.

use std::fmt;
use std::time::{Instant, SystemTime};

use aws_smithy_runtime_api::client::identity::Identity;
use secrecy::{ExposeSecret, SecretString};

/// A value that is never shown.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(SecretString::from(value.into()))
    }

    /// The value itself, for a header about to be sent and for finding it in text that must be
    /// redacted.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a request is authorised with.
#[derive(Clone)]
pub enum Credentials {
    /// Nothing is added to the request.
    None,
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// A key in a header of its own.
    Key {
        /// In lower case.
        header: String,
        key: Secret,
    },
    /// A SigV4 signature.
    Aws {
        /// Holds `aws_credential_types::Credentials`.
        identity: Identity,
        region: String,
        /// The service name in the signature.
        service: String,
        /// When the credentials stop being valid, where their source says so.
        expires: Option<SystemTime>,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Bearer(_) => f.write_str("Bearer([redacted])"),
            Credentials::Key { header, .. } => write!(f, "Key({header}: [redacted])"),
            Credentials::Aws {
                region,
                service,
                expires,
                ..
            } => f
                .debug_struct("Aws")
                .field("identity", &"[redacted]")
                .field("region", region)
                .field("service", service)
                .field("expires", expires)
                .finish(),
        }
    }
}

impl Credentials {
    /// Every secret in them, to be removed from what is stored.
    pub fn secrets(&self) -> Vec<Secret> {
        match self {
            Credentials::None => Vec::new(),
            Credentials::Bearer(token) => vec![token.clone()],
            Credentials::Key { key, .. } => vec![key.clone()],
            Credentials::Aws { identity, .. } => identity
                .data::<aws_credential_types::Credentials>()
                .map(|keys| {
                    let mut secrets = vec![
                        Secret::new(keys.access_key_id()),
                        Secret::new(keys.secret_access_key()),
                    ];
                    secrets.extend(keys.session_token().map(Secret::new));
                    secrets
                })
                .unwrap_or_default(),
        }
    }

    /// Whether the secrets are the same ones.
    pub fn same_secrets(&self, other: &Credentials) -> bool {
        let (own, others) = (self.secrets(), other.secrets());
        own.len() == others.len()
            && own
                .iter()
                .zip(&others)
                .all(|(one, other)| one.expose() == other.expose())
    }
}

/// When credentials that a command gave are to be had again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// From when on they count as old; `None`: they never do by themselves.
    pub due: Option<Instant>,
}

/// Credentials, and how they were found.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub credentials: Credentials,
    /// The region that was asked for, else what environment, profile or key say.
    pub region: Option<String>,
    /// Where the credentials came from, e.g. `bearer from OPENAI_API_KEY`. Safe to print.
    pub how: String,
    /// What works but probably is not what the user wants. Safe to print.
    pub warnings: Vec<String>,
    /// Where they come from a command: signing in again gives new ones.
    pub renewal: Option<Renewal>,
    /// When to sign in again, where the credentials end.
    pub renew_at: Option<SystemTime>,
}

impl SignedIn {
    /// Whether new credentials should be made before the next request: the old ones end soon, or a command gave
    /// them and they are old by now.
    pub fn is_due(&self) -> bool {
        self.is_due_at(SystemTime::now(), Instant::now())
    }

    /// The same at a time, by the clock on the wall and by the one that never jumps.
    pub fn is_due_at(&self, wall: SystemTime, now: Instant) -> bool {
        let ends = self.renew_at.is_some_and(|at| at <= wall);
        let old = self
            .renewal
            .and_then(|renewal| renewal.due)
            .is_some_and(|due| due <= now);
        ends || old
    }
}
