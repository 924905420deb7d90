//! Who is calling, and whether the mocked provider lets them in.
//!
//! Core: headers, body and time in, a principal or a refusal out. It must never log or return a
//! secret.

use time::OffsetDateTime;

use crate::mock::data::{Principal, Provider};
use crate::mock::issued::{Standing, standing};
use crate::mock::refusal::Refusal;
use crate::mock::sigv4::{Arrived, WINDOW, matches, read_claim, signed_at, stamp};

/// The principal of a request that may go on. `region` is the one in its address.
pub fn admit<'a>(
    provider: &Provider,
    region: Option<&str>,
    principals: &'a [Principal],
    arrived: &Arrived<'_>,
    now: OffsetDateTime,
) -> Result<&'a Principal, (Option<&'a Principal>, Refusal)> {
    let who = identify(provider, region, principals, arrived, now)?;
    if !who.allowed {
        let refusal = Refusal::new("denied")
            .with("arn", &who.arn)
            .with("region", region.unwrap_or_default());
        return Err((Some(who), refusal));
    }
    Ok(who)
}

fn identify<'a>(
    provider: &Provider,
    region: Option<&str>,
    principals: &'a [Principal],
    arrived: &Arrived<'_>,
    now: OffsetDateTime,
) -> Result<&'a Principal, (Option<&'a Principal>, Refusal)> {
    let told = |name: &str| {
        let mut found = arrived.headers.iter().filter(|(one, _)| one == name);
        found.next().map(|(_, value)| value.as_str())
    };
    let nobody = |refusal: Refusal| (None, refusal);
    if let Some(key) = provider.manner.key_header.as_deref().and_then(told) {
        let who = principals.iter().find(|one| one.bearer == key);
        let who = who.ok_or_else(|| nobody(Refusal::new("invalid-key")))?;
        // A key has no end; it is a token that expires.
        return Ok(who);
    }
    let Some(authorization) = told("authorization") else {
        return Err(nobody(Refusal::new("missing-auth")));
    };
    let scheme = authorization.split(' ').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") {
        let key = authorization[scheme.len()..].trim();
        let Some(who) = principals.iter().find(|one| one.bearer == key) else {
            return Err(nobody(
                Refusal::new("invalid-bearer").with("key", shortened(key)),
            ));
        };
        if who.expired {
            return Err((Some(who), too_old("expired-bearer", now - 2 * WINDOW, now)));
        }
        return Ok(who);
    }
    if provider.manner.signing_names.is_empty() || !scheme.starts_with("AWS4-") {
        return Err(nobody(Refusal::new("missing-auth")));
    }
    let claim = read_claim(authorization)
        .map_err(|error| nobody(Refusal::new("malformed-auth").with("value", error)))?;
    let Some(who) = principals
        .iter()
        .find(|one| one.access_key_id == claim.access_key_id)
    else {
        return Err(nobody(Refusal::new("unknown-key")));
    };
    let no = |refusal: Refusal| Err((Some(who), refusal));
    let standing = standing(who, told("x-amz-security-token"), now);
    if standing == Standing::Unknown {
        return no(Refusal::new("unknown-key"));
    }
    if Some(claim.region.as_str()) != region {
        return no(Refusal::new("wrong-scope")
            .with("region", region.unwrap_or_default())
            .with("value", &claim.region));
    }
    if !provider.manner.signing_names.contains(&claim.service) {
        return no(Refusal::new("wrong-service"));
    }
    let Some(signed) = signed_at(arrived) else {
        return no(Refusal::new("malformed-auth").with("value", "x-amz-date is missing"));
    };
    if signed < now - WINDOW {
        return no(too_old("clock-skew", signed, now));
    }
    if signed > now + WINDOW {
        return no(too_old("clock-ahead", signed, now));
    }
    let kept: Vec<(String, String)> = arrived
        .headers
        .iter()
        .filter(|(name, _)| !provider.manner.headers_lost.contains(name))
        .cloned()
        .collect();
    let seen = Arrived {
        headers: &kept,
        ..*arrived
    };
    if !matches(&claim, &who.secret_access_key, &seen) {
        return no(Refusal::new("signature-mismatch"));
    }
    if who.expired || standing == Standing::Ended {
        return no(too_old("expired-credentials", signed - 2 * WINDOW, now));
    }
    Ok(who)
}

fn too_old(id: &'static str, signed: OffsetDateTime, now: OffsetDateTime) -> Refusal {
    Refusal::new(id)
        .with("signed_at", stamp(signed))
        .with("limit", stamp(now - WINDOW))
        .with("now", stamp(now))
}

/// A key as OpenAI quotes it: the first and last letters only.
fn shortened(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    if letters.len() < 12 {
        return "*".repeat(letters.len());
    }
    let head: String = letters[..6].iter().collect();
    let tail: String = letters[letters.len() - 4..].iter().collect();
    format!("{head}{}{tail}", "*".repeat(8))
}
