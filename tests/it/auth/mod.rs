//! Signing in: every way to succeed and to fail, through the AWS SDK's own chain in temporary homes.
//!
//! Local servers stand in for the SSO portal, OIDC, STS and the metadata services. Secrets in these
//! tests begin with `marker`, so that one that shows is found.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod home;

mod bearer;
mod command;
mod key;
mod keys;
mod process;
mod role;
mod run;
mod sign;
mod sso;
mod staged;
mod ways;
