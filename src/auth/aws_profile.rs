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
    Process { command: String },
    /// `login_session`: the sign-in of `aws login`.
    LoginSession,
    /// `credential_source = Environment`.
    FromEnvironment,
    /// `credential_source = Ec2InstanceMetadata`.
    FromInstance,
    /// `credential_source = EcsContainer`.
    FromContainer,
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
    /// Whether the credentials are not the root's own but those of a role.
    pub assumes_role: bool,
    pub region: Option<String>,
    /// Why it can give no credentials, where the files alone say so.
    pub broken: Option<SignInFailure>,
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
    let (source, broken) = match source(&name, &profiles) {
        Ok(source) => (source, None),
        Err(failure) => (name.clone(), Some(failure)),
    };
    let root = match broken {
        Some(_) => Root::Other,
        None => root(&source, source != name, &profiles),
    };
    let broken = broken
        .or_else(|| session_missing(&source, &root, &profiles))
        .or_else(|| sso_incomplete(&source, &root, &profiles));
    Ok(AwsProfile {
        exists: profiles.get_profile(&name).is_some(),
        assumes_role: profiles.get_profile(&name).is_some_and(|profile| {
            profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
        }),
        root,
        broken,
        region: profiles
            .get_profile(&name)
            .and_then(|profile| profile.get("region"))
            .map(|region| region.trim().to_string())
            .filter(|region| !region.is_empty()),
        source,
        name,
    })
}

/// Follows `source_profile`s to the profile whose credentials are used.
fn source(name: &str, profiles: &ProfileSet) -> Result<String, SignInFailure> {
    let mut seen = vec![name];
    loop {
        let at = seen[seen.len() - 1];
        let Some(profile) = profiles.get_profile(at) else {
            return match seen.as_slice() {
                // Whether it must exist is the caller's question.
                [_] => Ok(name.to_string()),
                [.., from, _] => Err(source_missing(from, at, profiles)),
                [] => Ok(name.to_string()),
            };
        };
        // The SDK follows `source_profile` only for a role, and stops at a profile of its own keys.
        let keys = seen.len() > 1 && profile.get("aws_access_key_id").is_some();
        let web = profile.get("web_identity_token_file").is_some();
        if keys || web || profile.get("role_arn").is_none() {
            return Ok(at.to_string());
        }
        match (
            profile.get("source_profile"),
            profile.get("credential_source"),
        ) {
            (Some(next), None) if next == at => return Ok(at.to_string()),
            (Some(next), None) if seen.contains(&next) => {
                let round: Vec<String> = seen.iter().map(|name| format!("`{name}`")).collect();
                return Err(SignInFailure::of(
                    "source_profile_loop",
                    format!(
                        "the source_profiles of the AWS profiles {} go round in a circle, back to `{next}`",
                        round.join(", ")
                    ),
                    format!("let `{next}` have credentials of its own"),
                ));
            }
            (Some(next), None) => seen.push(next),
            (None, Some(_)) => return Ok(at.to_string()),
            (None, None) | (Some(_), Some(_)) => {
                return Err(SignInFailure::of(
                    "profile_incomplete",
                    format!(
                        "the AWS profile `{at}` has a role_arn, which needs one of source_profile and \
                         credential_source, and not both"
                    ),
                    format!("`aws configure set source_profile NAME --profile {at}`"),
                ));
            }
        }
    }
}

/// An `sso_session` without its section; both would otherwise look like a session nobody logged in to.
fn session_missing(name: &str, root: &Root, profiles: &ProfileSet) -> Option<SignInFailure> {
    let Root::SsoSession { session } = root else {
        return None;
    };
    if profiles.sso_session(session).is_some() {
        return None;
    }
    let known: Vec<String> = profiles
        .sso_sessions()
        .map(|name| format!("`{name}`"))
        .collect();
    let known = match known.as_slice() {
        [] => "there are none".to_string(),
        names => format!("there are {}", names.join(", ")),
    };
    Some(SignInFailure::of(
        "profile_incomplete",
        format!(
            "the AWS profile `{name}` names the sso_session `{session}`, which is not in the \
             configuration; {known}"
        ),
        format!("`aws configure sso-session` makes `[sso-session {session}]`"),
    ))
}

/// An SSO profile without one of its keys; the session would be judged before the SDK says so.
fn sso_incomplete(name: &str, root: &Root, profiles: &ProfileSet) -> Option<SignInFailure> {
    let profile = profiles.get_profile(name)?;
    let place = |key: &str| profile.get(key);
    let absent: Vec<&str> = match root {
        Root::SsoSession { session } => {
            let section = profiles.sso_session(session)?;
            let own = ["sso_account_id", "sso_role_name"];
            let shared = ["sso_start_url", "sso_region"];
            let own = own.into_iter().filter(|key| place(key).is_none());
            own.chain(shared.into_iter().filter(|key| section.get(key).is_none()))
                .collect()
        }
        Root::SsoLegacy { .. } => ["sso_account_id", "sso_role_name", "sso_region"]
            .into_iter()
            .filter(|key| place(key).is_none())
            .collect(),
        _ => Vec::new(),
    };
    let first = absent.first()?;
    Some(SignInFailure::of(
        "profile_incomplete",
        format!(
            "the AWS profile `{name}` signs in by SSO, but {} is missing",
            absent.join(" and ")
        ),
        format!("`aws configure sso --profile {name}`, or write `{first} = …`"),
    ))
}

fn source_missing(from: &str, wanted: &str, profiles: &ProfileSet) -> SignInFailure {
    let near = crate::document::nearest::nearest(wanted, profiles.profiles());
    let fix = match near {
        Some(near) => format!("`aws configure set source_profile {near} --profile {from}`"),
        None => format!("make `{wanted}`: `aws configure --profile {wanted}`"),
    };
    SignInFailure::of(
        "source_profile_missing",
        format!(
            "the AWS profile `{from}` takes its credentials from the source_profile `{wanted}`, which \
             does not exist"
        ),
        fix,
    )
}

/// In the order in which the SDK looks (aws-config 1.13, `profile/credentials/repr.rs`).
fn root(name: &str, behind_role: bool, profiles: &ProfileSet) -> Root {
    let Some(profile) = profiles.get_profile(name) else {
        return Root::Other;
    };
    let get = |key: &str| profile.get(key).map(str::to_string);
    if behind_role && get("aws_access_key_id").is_some() {
        return Root::Keys;
    }
    let named = get("credential_source").map(|name| name.to_ascii_lowercase());
    match named.as_deref() {
        Some("environment") => return Root::FromEnvironment,
        Some("ec2instancemetadata") => return Root::FromInstance,
        Some("ecscontainer") => return Root::FromContainer,
        Some(_) => return Root::Other,
        None => {}
    }
    if let Some(token_file) = get("web_identity_token_file") {
        Root::WebIdentity { token_file }
    } else if let Some(session) = get("sso_session") {
        Root::SsoSession { session }
    } else if let Some(start_url) = get("sso_start_url") {
        Root::SsoLegacy { start_url }
    } else if get("login_session").is_some() {
        Root::LoginSession
    } else if let Some(command) = get("credential_process") {
        Root::Process { command }
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
    SignInFailure::of(
        "config_unreadable",
        format!("the AWS configuration cannot be read: {detail}"),
        "mend that line of that file (AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE choose others)"
            .to_string(),
    )
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
    SignInFailure::of("profile_missing", message, fix)
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
