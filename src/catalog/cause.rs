//! Why a sign-in failed, more finely than its class: the rows of `credential_causes.yaml`.

use serde::Deserialize;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// Stable: `sso_not_logged_in`.
    pub id: String,
    /// The class of the failure catalogue.
    pub class: String,
    pub about: String,
    /// What mends it, in general; a failure itself names the exact command.
    pub fix: String,
    /// What boto3 calls the same.
    pub boto3: String,
    pub source: String,
    pub date: String,
}
