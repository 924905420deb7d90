//! The AWS CLI's cache of SSO tokens: whether a session still lives, without asking anyone.
//!
//! Only reads. The SDK would try an old session over the network first (the `sso_start_url` form
//! always, measured with aws-config 1.13), and rewrites the cache when it renews one; so the end of
//! a session is decided here, and the SDK gets a copy to write to.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::auth::SignInFailure;
use crate::auth::aws_profile::{AwsProfile, Root};
use crate::auth::environment::Environment;
use crate::auth::timestamp;

/// Whether a session lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    Alive,
    /// It can be renewed without the user; the SDK does so when the end is near or past.
    Renewable,
    /// It ended and only the user can renew it.
    Ended(SystemTime),
    /// There is no cached token.
    Absent,
    /// There is a file, but no token can be read from it.
    Unreadable(String),
}

/// The file that holds the token of a session name or start URL.
pub fn file(home: &str, key: &str) -> PathBuf {
    let name: String = Sha1::digest(key.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Path::new(home)
        .join(".aws/sso/cache")
        .join(format!("{name}.json"))
}

/// The cached token that a profile needs: its key, and whether it can be renewed at all.
fn key(root: &Root) -> Option<(&str, bool)> {
    match root {
        Root::SsoSession { session } => Some((session, true)),
        // AWS gives no refresh token for this form.
        Root::SsoLegacy { start_url } => Some((start_url, false)),
        _ => None,
    }
}

/// The state of the session that a profile needs; `None` where it needs none.
pub fn session(root: &Root, environment: &Environment, now: SystemTime) -> Option<Session> {
    let (key, renewable) = key(root)?;
    let Some(home) = environment.get("HOME") else {
        return Some(Session::Absent);
    };
    let path = file(home, key);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Session::Absent),
        Err(error) => {
            return Some(Session::Unreadable(format!("{}: {error}", path.display())));
        }
    };
    Some(
        state(&bytes, renewable, now)
            .unwrap_or_else(|reason| Session::Unreadable(format!("{}: {reason}", path.display()))),
    )
}

fn state(bytes: &[u8], renewable: bool, now: SystemTime) -> Result<Session, &'static str> {
    // The parser's message could quote the file, which holds a token.
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else {
        return Err("not a JSON object");
    };
    let text = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value.as_str())
    };
    if text("accessToken").is_none() {
        return Err("no `accessToken`");
    }
    let ends = text("expiresAt")
        .and_then(timestamp::read)
        .ok_or("no readable `expiresAt`")?;
    let renewable = renewable
        && text("refreshToken").is_some()
        && text("clientId").is_some()
        && text("clientSecret").is_some()
        && text("registrationExpiresAt")
            .and_then(timestamp::read)
            .is_some_and(|ends| ends > now);
    Ok(if renewable {
        Session::Renewable
    } else if ends <= now {
        Session::Ended(ends)
    } else {
        Session::Alive
    })
}

/// Fails where only the user can mend the session of a profile.
pub fn require(
    profile: &AwsProfile,
    environment: &Environment,
    now: SystemTime,
) -> Result<(), SignInFailure> {
    let name = &profile.name;
    let (cause, message) = match session(&profile.root, environment, now) {
        None | Some(Session::Alive | Session::Renewable) => return Ok(()),
        Some(Session::Ended(at)) => (
            "sso_session_expired",
            format!(
                "the SSO session of the AWS profile `{name}` expired {}",
                timestamp::write(at)
            ),
        ),
        Some(Session::Absent) => (
            "sso_not_logged_in",
            format!("the AWS profile `{name}` signs in by SSO, but no session is cached"),
        ),
        Some(Session::Unreadable(reason)) => (
            "sso_cache_unreadable",
            format!("the cached SSO session of the AWS profile `{name}` cannot be read: {reason}"),
        ),
    };
    Err(SignInFailure::of(cause, message, log_in(profile)))
}

/// The command that renews the session of a profile.
pub fn log_in(profile: &AwsProfile) -> String {
    let by_profile = format!("`aws sso login --profile {}`", profile.source);
    match &profile.root {
        Root::SsoSession { session } => {
            format!("{by_profile} (or `aws sso login --sso-session {session}`)")
        }
        _ => by_profile,
    }
}

/// The key of the cached token that the SDK will renew, and so write, for this profile.
pub fn renewable<'a>(
    profile: &'a AwsProfile,
    environment: &Environment,
    now: SystemTime,
) -> Option<&'a str> {
    let (key, _) = key(&profile.root)?;
    (session(&profile.root, environment, now) == Some(Session::Renewable)).then_some(key)
}
