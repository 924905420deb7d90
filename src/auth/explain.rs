//! What a failure of the SDK's credential chain means, and what mends it.
//!
//! The SDK's own message says only that something failed: the reason is further down its chain of
//! causes, and is found there by type, and by text only where the type is private. `Debug` of a
//! service's error holds the raw response, so it is never used.
//!
//! Source of the texts and types: aws-config 1.13, each case tried 2026-11-21.

use std::error::Error;
use std::time::SystemTime;

use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sso::operation::get_role_credentials::GetRoleCredentialsError;
use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};

use crate::auth::SignInFailure;
use crate::auth::aws_chain::{METADATA_FIX, Sources};
use crate::auth::aws_profile::Root;
use crate::auth::redact::Redactor;
use crate::auth::{clock, sso_cache};

/// How much of a program's or service's own words is kept, in characters.
const LONGEST_QUOTE: usize = 400;

/// The failure behind an error of the credential chain.
///
/// `metadata` says that an instance's or container's metadata service was asked.
pub fn explain(error: &CredentialsError, sources: &Sources, metadata: bool) -> SignInFailure {
    let mut causes: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
        .iter()
        .find_map(|cause| known(*cause, sources, metadata))
        .unwrap_or_else(|| match metadata {
            true => SignInFailure::of(
                "metadata_unreachable",
                format!(
                    "the metadata service of the instance or container gave no credentials: {}",
                    quote(&causes)
                ),
                METADATA_FIX.to_string(),
            ),
            false => SignInFailure::of(
                "other",
                format!(
                    "the AWS credentials could not be loaded ({}): {}",
                    sources.describe(),
                    quote(&causes)
                ),
                sign_in_again(sources),
            ),
        })
}

/// What one cause means, where it means something by itself.
fn known(
    cause: &(dyn Error + 'static),
    sources: &Sources,
    metadata: bool,
) -> Option<SignInFailure> {
    if let Some(chain) = cause.downcast_ref::<ProviderChainError<CredentialsError>>() {
        return Some(nothing_found(chain, sources));
    }
    if let Some(error) = cause.downcast_ref::<SdkError<GetRoleCredentialsError, HttpResponse>>() {
        return Some(match error.raw_response() {
            Some(answer) => portal_refused(answer.status().as_u16(), error, sources),
            None => unreachable(
                "sso_unreachable",
                "the SSO portal",
                "check sso_region, the network, proxies and AWS_ENDPOINT_URL_SSO",
                error,
                sources,
            ),
        });
    }
    if let Some(error) = cause.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>() {
        return Some(sts_failed(error, sources));
    }
    if let Some(error) =
        cause.downcast_ref::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>()
    {
        return Some(sts_failed(error, sources));
    }
    if metadata {
        return None;
    }
    if let Some(error) = cause.downcast_ref::<ConnectorError>() {
        return Some(unreachable(
            "aws_unreachable",
            "AWS",
            "check the network, proxies and AWS_ENDPOINT_URL_* variables",
            error,
            sources,
        ));
    }
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        return Some(file_failed(error, sources));
    }
    let text = cause.to_string();
    let name = &sources.profile.name;
    if text.starts_with("the SSO token has expired") {
        return Some(SignInFailure::of(
            "sso_session_expired",
            format!("the SSO session of the AWS profile `{name}` has expired"),
            sso_cache::log_in(&sources.profile),
        ));
    }
    if let Some(reason) = text.strip_prefix("ProfileFile provider could not be built: ") {
        return Some(SignInFailure::of(
            "profile_incomplete",
            format!(
                "the AWS profile `{name}` cannot be used: {}",
                cut(&Redactor::default().redact(reason))
            ),
            format!("complete it: `aws configure sso --profile {name}` writes all that SSO needs"),
        ));
    }
    None
}

fn unreachable<'a>(
    cause: &'static str,
    who: &str,
    fix: &str,
    error: &'a (dyn Error + 'static),
    sources: &Sources,
) -> SignInFailure {
    SignInFailure::of(
        cause,
        format!(
            "{who} could not be reached for credentials ({}): {}",
            sources.describe(),
            quote(&causes_of(error))
        ),
        fix.to_string(),
    )
}

fn sts_failed<E>(error: &SdkError<E, HttpResponse>, sources: &Sources) -> SignInFailure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(_) => sts_refused(error, sources),
        SdkError::ResponseError(_) if error.raw_response().is_some() => sts_refused(error, sources),
        _ => unreachable(
            "sts_unreachable",
            "STS",
            "check the region, the network, proxies and AWS_ENDPOINT_URL_STS",
            error,
            sources,
        ),
    }
}

fn nothing_found(chain: &ProviderChainError<CredentialsError>, sources: &Sources) -> SignInFailure {
    // Only the profile's attempt has more to say than that nothing was there.
    let detail = chain
        .attempts()
        .iter()
        .find(|attempt| attempt.name() == "Profile")
        .and_then(|attempt| attempt.error().source())
        .map(|cause| format!(": {}", quote(&causes_of(cause))))
        .unwrap_or_default();
    let profile = &sources.profile.name;
    let profile = if sources.profile.exists {
        format!("nor does the profile `{profile}` give any")
    } else {
        format!("and there is no profile `{profile}`")
    };
    SignInFailure::of(
        match sources.profile.exists && sources.profile.root != Root::Other {
            true => "profile_incomplete",
            false => "nothing_found",
        },
        format!("no AWS credentials: none in the environment, {profile}{detail}"),
        "set AWS_PROFILE to a profile that can sign in (`aws configure sso`), or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            .to_string(),
    )
}

fn portal_refused(
    status: u16,
    error: &SdkError<GetRoleCredentialsError, HttpResponse>,
    sources: &Sources,
) -> SignInFailure {
    let profile = &sources.profile;
    let name = &profile.name;
    let said = said(error);
    match status {
        401 => SignInFailure::of(
            "sso_session_refused",
            format!(
                "the SSO portal no longer accepts the session of the AWS profile `{name}`, and it was \
                 not renewed{said}"
            ),
            sso_cache::log_in(profile),
        ),
        403 => SignInFailure::of(
            "sso_role_not_assigned",
            format!("the SSO portal does not give the role of the AWS profile `{name}`{said}"),
            format!(
                "check sso_account_id and sso_role_name of `{}` (the portal's start page lists what \
                 is assigned), or ask for the role to be assigned",
                profile.source
            ),
        ),
        429 | 500.. => SignInFailure::of(
            "sso_portal_failed",
            format!("the SSO portal failed for the AWS profile `{name}`: HTTP {status}{said}"),
            "try again later".to_string(),
        ),
        _ => SignInFailure::of(
            "sso_portal_refused",
            format!("the SSO portal refused the AWS profile `{name}`: HTTP {status}{said}"),
            sso_cache::log_in(profile),
        ),
    }
}

fn sts_refused<E>(error: &SdkError<E, HttpResponse>, sources: &Sources) -> SignInFailure
where
    E: ProvideErrorMetadata,
{
    let from = sources.describe();
    let said = said(error);
    let status = error
        .raw_response()
        .map_or(0, |answer| answer.status().as_u16());
    if let Some(failure) = wrong_clock(error, &said) {
        return failure;
    }
    match error.code().unwrap_or_default() {
        // The SDK's own predicate for this knows only the longer code.
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => SignInFailure::of(
            "role_source_expired",
            format!("the credentials that should assume the role have expired ({from}){said}"),
            sign_in_again(sources),
        ),
        "AccessDenied" | "AccessDeniedException" => SignInFailure::of(
            "role_denied",
            format!("STS does not let these credentials assume the role ({from}){said}"),
            "check role_arn, the role's trust policy and the permission sts:AssumeRole".to_string(),
        ),
        "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "InvalidIdentityToken"
        | "UnrecognizedClientException" => SignInFailure::of(
            "role_source_unknown",
            format!("STS does not know the credentials that should assume the role ({from}){said}"),
            sign_in_again(sources),
        ),
        "Throttling" | "ThrottlingException" => SignInFailure::of(
            "sts_failed",
            format!("STS is asked too often ({from}){said}"),
            "try again later".to_string(),
        ),
        _ if status >= 500 => SignInFailure::of(
            "sts_failed",
            format!("STS failed ({from}): HTTP {status}{said}"),
            "try again later".to_string(),
        ),
        _ => SignInFailure::of(
            "role_refused",
            format!("STS gave no credentials ({from}): HTTP {status}{said}"),
            "check role_arn, external_id and role_session_name".to_string(),
        ),
    }
}

/// STS says `SignatureDoesNotMatch` of a wrong secret and of a wrong clock; its text and the date of
/// its answer tell which.
fn wrong_clock<E>(error: &SdkError<E, HttpResponse>, said: &str) -> Option<SignInFailure>
where
    E: ProvideErrorMetadata,
{
    let answer = error.raw_response()?;
    let message = error.message().unwrap_or_default();
    let of_time = error.code() == Some("RequestTimeTooSkewed")
        || message.starts_with("Signature expired")
        || message.starts_with("Signature not yet current");
    let skew = answer
        .headers()
        .get("date")
        .and_then(|date| clock::skew(date, SystemTime::now()));
    let unmatched = error.code() == Some("SignatureDoesNotMatch");
    if !of_time && (!unmatched || skew.is_none()) {
        return None;
    }
    let words = match skew {
        Some(skew) => skew.words(),
        None => "STS does not take the time of the signature".to_string(),
    };
    Some(SignInFailure::of(
        "clock_wrong",
        format!("{words}{said}"),
        "synchronise the clock, for example `sudo chronyc makestep`".to_string(),
    ))
}

fn file_failed(error: &std::io::Error, sources: &Sources) -> SignInFailure {
    let name = &sources.profile.name;
    let (cause, what, fix) = match &sources.profile.root {
        Root::SsoSession { .. } | Root::SsoLegacy { .. } => (
            "sso_cache_unreadable",
            format!("the cached SSO session of the AWS profile `{name}`"),
            sso_cache::log_in(&sources.profile),
        ),
        Root::WebIdentity { token_file } => (
            "web_identity_missing",
            format!("the web identity token `{token_file}`"),
            format!(
                "check the path: `aws configure get web_identity_token_file --profile {}`",
                sources.profile.source
            ),
        ),
        _ if sources.others => (
            "web_identity_missing",
            "the web identity token".to_string(),
            "check the path: `ls -l \"$AWS_WEB_IDENTITY_TOKEN_FILE\"`".to_string(),
        ),
        _ => (
            "file_unreadable",
            format!("a file that the AWS profile `{name}` needs"),
            "check the paths in the AWS configuration".to_string(),
        ),
    };
    SignInFailure::of(cause, format!("{what} cannot be read: {error}"), fix)
}

/// What a service answered, as `: code: message`, secrets removed.
fn said(error: &impl ProvideErrorMetadata) -> String {
    let words: Vec<&str> = [error.code(), error.message()]
        .into_iter()
        .flatten()
        .collect();
    if words.is_empty() {
        return String::new();
    }
    format!(": {}", cut(&Redactor::default().redact(&words.join(": "))))
}

fn sign_in_again(sources: &Sources) -> String {
    if sources.keys {
        return "renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN".to_string();
    }
    match sources.profile.root {
        Root::SsoSession { .. } | Root::SsoLegacy { .. } => sso_cache::log_in(&sources.profile),
        _ => format!(
            "renew the credentials of the AWS profile `{}`",
            if sources.profile.source.is_empty() {
                &sources.profile.name
            } else {
                &sources.profile.source
            }
        ),
    }
}

fn causes_of<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = vec![error];
    while let Some(cause) = causes[causes.len() - 1].source() {
        causes.push(cause);
    }
    causes
}

/// The texts of causes that say something, secrets removed.
fn quote(causes: &[&(dyn Error + 'static)]) -> String {
    const EMPTY_WORDS: [&str; 4] = [
        "the credential provider was not enabled",
        "an error occurred while loading credentials",
        "the credentials provider was not properly configured",
        "dispatch failure",
    ];
    let mut texts: Vec<String> = Vec::new();
    for cause in causes {
        let text = cause.to_string();
        let repeated = texts.last().is_some_and(|last| last.contains(&text));
        if !repeated && !EMPTY_WORDS.contains(&text.as_str()) {
            texts.push(text);
        }
    }
    cut(&Redactor::default().redact(&texts.join(": ")))
}

/// A text that is not longer than what is kept of one.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}
