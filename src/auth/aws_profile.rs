//! What the AWS configuration says, read before the SDK's credential chain is asked.
//!
//! The chain cannot tell a profile that is missing from one that is empty, and tries the network
//! before it says that a session is over; reading first gives the user the true cause. Only reads,
//! only files, never the network.

use std::collections::HashMap;

use aws_config::profile::ProfileSet;
use aws_types::os_shim_internal::{Env, Fs};

use crate::auth::SignInFailure;
use crate::auth::environment::Environment;

/// The credentials that a profile starts from, after following `source_profile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The `sso-session` form: the token is cached under the session's name.
    SsoSession { session: String },
    /// The older form: the token is cached under the start URL.
    SsoLegacy { start_url: String },
    /// `credential_process`: a program of the user's.
    Process,
    /// `credential_source = Environment`.
    FromEnvironment,
    /// `credential_source = Ec2InstanceMetadata`.
    FromInstance,
    /// `web_identity_token_file`.
    WebIdentity { token_file: String },
    /// Keys in the file.
    Keys,
    /// Something else, or nothing.
    Other,
}

/// The AWS configuration as far as one profile goes.
#[derive(Debug)]
pub struct AwsProfile {
    /// The profile that is selected.
    pub name: String,
    /// The profile whose credentials are used: itself, or the end of its `source_profile`s.
    pub source: String,
    pub exists: bool,
    pub root: Root,
    pub region: Option<String>,
}

/// The environment as the SDK shall see it: exactly ours, without blank values.
pub fn sdk_variables(environment: &Environment) -> HashMap<String, String> {
    environment
        .iter()
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

/// The profile that is selected: the one named, else `AWS_PROFILE`, else `default`.
pub fn selected<'a>(named: Option<&'a str>, environment: &'a Environment) -> &'a str {
    named
        .or_else(|| environment.get("AWS_PROFILE"))
        .unwrap_or("default")
}

/// Reads the configuration files that the environment names.
///
/// Fails where a file cannot be read as AWS configuration, and where a profile that was asked for
/// does not exist.
pub async fn read(
    named: Option<&str>,
    environment: &Environment,
) -> Result<AwsProfile, SignInFailure> {
    let name = selected(named, environment).to_string();
    let asked = named.is_some() || environment.get("AWS_PROFILE").is_some();
    let profiles = aws_config::profile::load(
        &Fs::real(),
        &Env::from(sdk_variables(environment)),
        &Default::default(),
        Some(name.clone().into()),
    )
    .await
    .map_err(|error| unreadable(&error))?;
    if asked && profiles.get_profile(&name).is_none() {
        return Err(missing(&name, &profiles));
    }
    let source = source(&name, &profiles);
    Ok(AwsProfile {
        exists: profiles.get_profile(&name).is_some(),
        root: root(&source, &profiles),
        region: profiles
            .get_profile(&name)
            .and_then(|profile| profile.get("region"))
            .map(|region| region.trim().to_string())
            .filter(|region| !region.is_empty()),
        source,
        name,
    })
}

fn source(name: &str, profiles: &ProfileSet) -> String {
    let mut seen = vec![name];
    while let Some(profile) = profiles.get_profile(seen[seen.len() - 1]) {
        // The SDK follows `source_profile` only for a role, and stops at a profile of its own keys.
        let keys = seen.len() > 1 && profile.get("aws_access_key_id").is_some();
        if keys || profile.get("role_arn").is_none() {
            break;
        }
        match profile.get("source_profile") {
            Some(next) if !seen.contains(&next) => seen.push(next),
            _ => break,
        }
    }
    seen[seen.len() - 1].to_string()
}

/// In the order in which the SDK looks (aws-config 1.13, `profile/credentials/repr.rs`).
fn root(name: &str, profiles: &ProfileSet) -> Root {
    let Some(profile) = profiles.get_profile(name) else {
        return Root::Other;
    };
    let get = |key: &str| profile.get(key).map(str::to_string);
    match get("credential_source").as_deref() {
        Some("Environment") => return Root::FromEnvironment,
        Some("Ec2InstanceMetadata") => return Root::FromInstance,
        Some(_) => return Root::Other,
        None => {}
    }
    if let Some(token_file) = get("web_identity_token_file") {
        Root::WebIdentity { token_file }
    } else if let Some(session) = get("sso_session") {
        Root::SsoSession { session }
    } else if let Some(start_url) = get("sso_start_url") {
        Root::SsoLegacy { start_url }
    } else if get("credential_process").is_some() {
        Root::Process
    } else if get("aws_access_key_id").is_some() {
        Root::Keys
    } else {
        Root::Other
    }
}

fn unreadable(error: &aws_config::profile::ProfileFileLoadError) -> SignInFailure {
    // The parser's own message names the file and the line; the outer one does not.
    let detail = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    SignInFailure {
        class: "no_credentials",
        message: format!("the AWS configuration cannot be read: {detail}"),
        fix: Some(
            "mend that file (AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE choose others)"
                .to_string(),
        ),
    }
}

fn missing(name: &str, profiles: &ProfileSet) -> SignInFailure {
    let mut known: Vec<&str> = profiles.profiles().collect();
    known.sort_by_key(|known| (distance(name, known), known.to_string()));
    let (message, fix) = match known.first() {
        None => (
            format!("the AWS profile `{name}` does not exist; there are no profiles"),
            format!("`aws configure sso --profile {name}`"),
        ),
        Some(nearest) => {
            let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            (
                format!(
                    "the AWS profile `{name}` does not exist; there are {}",
                    list.join(", ")
                ),
                format!("name `{nearest}`, or make it: `aws configure sso --profile {name}`"),
            )
        }
    };
    SignInFailure {
        class: "no_credentials",
        message,
        fix: Some(fix),
    }
}

/// How many single-character edits lead from one name to the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (at, to) in right.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
