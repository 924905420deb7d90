//! Putting credentials on a request that is about to be sent.
//!
//! A signature covers exactly the bytes given; whoever changes them afterwards breaks it. Never
//! reads a clock and never sends anything.

use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use crate::auth::SignInFailure;
use crate::auth::credentials::Credentials;
use crate::auth::timestamp;

/// Adds what authorises the request; header names are lower case. A header of such a name that is there
/// already is replaced.
///
/// A signature covers `host`, `content-type` and `x-amz-*`, as OpenAI's SDKs sign for Bedrock. Other
/// headers are left out because Mantle's front door and proxies drop or rewrite some on the way (it
/// is known of `session_id`: source of Codex, 2026-04), which would invalidate the signature.
pub fn authorize(
    credentials: &Credentials,
    method: &str,
    url: &str,
    headers: &mut Vec<(String, String)>,
    body: &[u8],
    now: SystemTime,
) -> Result<(), SignInFailure> {
    let added = match credentials {
        Credentials::None => return Ok(()),
        Credentials::Bearer(token) => vec![(
            "authorization".to_string(),
            format!("Bearer {}", token.expose()),
        )],
        Credentials::Key { header, key } => vec![(header.clone(), key.expose().to_string())],
        Credentials::Aws {
            identity,
            region,
            service,
            expires,
        } => {
            if let Some(expires) = expires.filter(|expires| *expires <= now) {
                return Err(SignInFailure::of(
                    "expired",
                    format!(
                        "the AWS credentials expired {} while in use",
                        timestamp::write(expires)
                    ),
                    "sign in again and repeat the run".to_string(),
                ));
            }
            let mut settings = SigningSettings::default();
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            let params = v4::SigningParams::builder()
                .identity(identity)
                .region(region)
                .name(service)
                .time(now)
                .settings(settings)
                .build()
                .map_err(|error| unsigned(&error.to_string()))?
                .into();
            let host = host(url).ok_or_else(|| unsigned("the URL names no host"))?;
            let covered = headers
                .iter()
                .filter(|(name, _)| name == "content-type" || name.starts_with("x-amz-"))
                .filter(|(name, _)| !SET_BY_SIGNATURE.contains(&name.as_str()))
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .chain([("host", host.as_str())]);
            let request = SignableRequest::new(method, url, covered, SignableBody::Bytes(body))
                .map_err(|error| unsigned(&error.to_string()))?;
            let (instructions, _) = sign(request, &params)
                .map_err(|error| unsigned(&error.to_string()))?
                .into_parts();
            instructions
                .headers()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
                .collect()
        }
    };
    headers.retain(|(name, _)| !added.iter().any(|(new, _)| new.eq_ignore_ascii_case(name)));
    headers.extend(added);
    Ok(())
}

/// Headers that the signature itself brings.
const SET_BY_SIGNATURE: [&str; 3] = ["x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];

/// The `Host` header that an HTTP client sends for this URL: without a default port.
fn host(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let host = url.host()?.to_ascii_lowercase();
    let usual = match url.scheme_str() {
        Some("http") => 80,
        _ => 443,
    };
    Some(match url.port_u16() {
        Some(port) if port != usual => format!("{host}:{port}"),
        _ => host,
    })
}

fn unsigned(reason: &str) -> SignInFailure {
    SignInFailure::of(
        "not_signed",
        format!("the request could not be signed: {reason}"),
        None,
    )
}
