//! Credentials and signatures: the only room that sees a secret's value.
//!
//! A way for secrets to leave this room does not exist but for the header of a request about to be
//! sent: nothing here implements `Serialize` or a `Debug` that shows them. Never waits without a
//! limit, and never writes to the user's AWS cache.

pub mod environment;

pub mod credentials;

pub mod aws_chain;
pub mod aws_endpoint;
pub mod aws_profile;
pub mod bedrock_key;
#[cfg(feature = "s3")]
pub mod bucket;
pub mod clock;
pub mod command;
pub mod memory_home;
pub mod process;
pub mod program;
pub mod shared;
pub mod sign_in;
pub mod sso_cache;

pub mod authorize;

pub mod staged;
mod staged_home;

pub mod explain;
pub mod redact;
pub mod seen;
pub mod timestamp;

use crate::catalog::provider::Provider;
use crate::target::model::Auth;

/// What is needed to sign in.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub provider: &'a Provider,
    /// As the target file says; the provider's usual ways where absent.
    pub auth: Option<&'a Auth>,
    /// The region that requests are signed for.
    pub region: Option<&'a str>,
}

/// Why signing in failed before a request left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SignInFailure {
    /// A class of the failure catalogue, e.g. `credentials_expired`.
    pub class: &'static str,
    /// A row of `credential_causes.yaml`, e.g. `sso_session_expired`.
    pub cause: &'static str,
    /// What happened, secrets removed.
    pub message: String,
    /// The exact command or setting that mends it, where known.
    pub fix: Option<String>,
}

impl SignInFailure {
    /// A failure by its cause, whose class the catalogue says.
    pub fn of(
        cause: &'static str,
        message: String,
        fix: impl Into<Option<String>>,
    ) -> SignInFailure {
        let row = crate::catalog::credential_causes()
            .iter()
            .find(|row| row.id == cause);
        SignInFailure {
            class: row.map_or(crate::catalog::failure::UNKNOWN, |row| row.class.as_str()),
            cause,
            message,
            fix: fix.into(),
        }
    }
}
