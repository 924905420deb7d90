//! Verification of AWS Signature Version 4: recomputed from what arrived, by our own canonical form.
//!
//! Core: request and time in, verdict out. It must never use the library the client signs with, or
//! both sides could be wrong together.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::{Date, Month, OffsetDateTime, Time};

/// A request as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    pub method: &'a str,
    /// As on the request line, undecoded.
    pub path: &'a str,
    pub query: Option<&'a str>,
    /// In order of arrival; names in lower case.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

/// The parts of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub access_key_id: String,
    pub date: String,
    pub region: String,
    pub service: String,
    pub signed_headers: Vec<String>,
    pub signature: String,
}

/// How long a signature is good, both ways.
pub const WINDOW: time::Duration = time::Duration::minutes(5);

/// Why a claim is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("{0}")]
    Missing(&'static str),
}

/// Reads the header. Whether it is true is another question.
pub fn read_claim(authorization: &str) -> Result<Claim, Malformed> {
    let rest = authorization
        .strip_prefix("AWS4-HMAC-SHA256")
        .ok_or(Malformed::Missing("not AWS4-HMAC-SHA256"))?;
    let mut parts = [None, None, None];
    for part in rest.split(',') {
        let (name, value) = part.trim().split_once('=').unwrap_or_default();
        let place = match name {
            "Credential" => 0,
            "SignedHeaders" => 1,
            "Signature" => 2,
            _ => continue,
        };
        parts[place] = Some(value);
    }
    let [credential, headers, signature] = parts;
    let credential = credential.ok_or(Malformed::Missing("Credential is missing"))?;
    let headers = headers.ok_or(Malformed::Missing("SignedHeaders is missing"))?;
    let signature = signature.ok_or(Malformed::Missing("Signature is missing"))?;
    let scope: Vec<&str> = credential.split('/').collect();
    let [key, date, region, service, "aws4_request"] = scope[..] else {
        return Err(Malformed::Missing("Credential has the wrong shape"));
    };
    Ok(Claim {
        access_key_id: key.to_owned(),
        date: date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        signed_headers: headers.split(';').map(str::to_owned).collect(),
        signature: signature.to_owned(),
    })
}

/// When it was signed, from `x-amz-date` (`20261121T081500Z`).
pub fn signed_at(arrived: &Arrived<'_>) -> Option<OffsetDateTime> {
    let text = header(arrived, "x-amz-date")?;
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u8>().ok();
    let year = text.get(0..4)?.parse::<i32>().ok()?;
    let month = Month::try_from(number(4, 6)?).ok()?;
    let date = Date::from_calendar_date(year, month, number(6, 8)?).ok()?;
    let time = Time::from_hms(number(9, 11)?, number(11, 13)?, number(13, 15)?).ok()?;
    Some(date.with_time(time).assume_utc())
}

/// A time as signatures write it.
pub fn stamp(time: OffsetDateTime) -> String {
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
}

/// Whether the signature is what this secret makes of this request. AWS encodes a path that is encoded
/// already once more (all services but S3); where nothing is encoded, signers differ in what they
/// think needs it, and all of that is good.
pub fn matches(claim: &Claim, secret: &str, arrived: &Arrived<'_>) -> bool {
    let Some(date) = header(arrived, "x-amz-date") else {
        return false;
    };
    // What is not signed can be changed on the way, so AWS insists on these.
    if !date.starts_with(&claim.date) || !claim.signed_headers.iter().any(|name| name == "host") {
        return false;
    }
    let payload = hex(&Sha256::digest(arrived.body));
    if header(arrived, "x-amz-content-sha256").is_some_and(|told| told != payload) {
        return false;
    }
    let once = encode(decode(arrived.path), true);
    let mut paths = vec![encode(arrived.path, true), encode(&once, true)];
    if !arrived.path.contains('%') {
        paths.extend([arrived.path.to_owned(), once]);
    }
    paths.iter().any(|path| {
        let canonical = canonical(claim, arrived, path, &payload);
        let scope = format!(
            "{}/{}/{}/aws4_request",
            claim.date, claim.region, claim.service
        );
        let digest = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
        let mut key = mac(format!("AWS4{secret}").as_bytes(), &claim.date);
        for part in [&claim.region, &claim.service, "aws4_request"] {
            key = mac(&key, part);
        }
        hex(&mac(&key, &to_sign)) == claim.signature
    })
}

fn canonical(claim: &Claim, arrived: &Arrived<'_>, path: &str, payload: &str) -> String {
    let mut pairs: Vec<(String, String)> = arrived
        .query
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (encode(decode(name), false), encode(decode(value), false))
        })
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut names = claim.signed_headers.clone();
    names.sort();
    let lines: String = names
        .iter()
        .map(|name| format!("{name}:{}\n", header(arrived, name).unwrap_or_default()))
        .collect();
    format!(
        "{}\n{path}\n{}\n{lines}\n{}\n{payload}",
        arrived.method,
        query.join("&"),
        names.join(";"),
    )
}

/// All values of a header, trimmed, inner runs of spaces made one, joined by commas.
fn header(arrived: &Arrived<'_>, name: &str) -> Option<String> {
    let values: Vec<String> = arrived
        .headers
        .iter()
        .filter(|(one, _)| one == name)
        .map(|(_, value)| {
            value
                .split(' ')
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Percent-encoded text as bytes.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|two| std::str::from_utf8(two).ok());
        match (
            bytes[at],
            digits.and_then(|two| u8::from_str_radix(two, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn encode(bytes: impl AsRef<[u8]>, keep_slash: bool) -> String {
    let mut out = String::new();
    for &byte in bytes.as_ref() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char);
            }
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{
        PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
    };
    use aws_sigv4::sign::v4::SigningParams;

    use crate::mock::sigv4::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// Signs with the AWS library, then lets `change` tamper, then verifies.
    fn check(
        path: &str,
        told_hash: bool,
        token: Option<&str>,
        change: impl Fn(&mut Vec<(String, String)>, &mut Vec<u8>),
        expected: bool,
    ) {
        let mut body = br#"{"model":"m","input":"h\u00e9"}"#.to_vec();
        let identity = Credentials::new(
            "AKIDEXAMPLE",
            SECRET,
            token.map(str::to_owned),
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        if told_hash {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("bedrock-mantle")
            .time(UNIX_EPOCH + Duration::from_secs(1_795_000_000))
            .settings(settings)
            .build()
            .expect("there is one")
            .into();
        let mut headers: Vec<(String, String)> = [
            ("host", "127.0.0.1:1"),
            ("content-type", "application/json"),
            ("x-codex-turn-metadata", r#"{"a":  "b c",  "d":1}"#),
            ("accept", " text/event-stream "),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let url = format!("http://127.0.0.1:1{path}");
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let signable = SignableRequest::new("POST", &url, pairs, SignableBody::Bytes(&body))
            .expect("there is one");
        let (instructions, _) = sign(signable, &params).expect("there is one").into_parts();
        for (name, value) in instructions.headers() {
            headers.push((name.to_owned(), value.to_owned()));
        }
        change(&mut headers, &mut body);
        let claim = headers
            .iter()
            .find(|(name, _)| name == "authorization")
            .expect("there is one");
        let claim = read_claim(&claim.1).expect("there is one");
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let arrived = Arrived {
            method: "POST",
            path,
            query,
            headers: &headers,
            body: &body,
        };
        assert_eq!(
            signed_at(&arrived).map(OffsetDateTime::unix_timestamp),
            Some(1_795_000_000)
        );
        assert_eq!(matches(&claim, SECRET, &arrived), expected, "{path}");
        assert!(!matches(&claim, "another", &arrived));
    }

    #[test]
    fn the_aws_library_signs_what_we_accept() {
        for told_hash in [true, false] {
            for token in [None, Some("token/with+signs==")] {
                for path in [
                    "/bedrock-mantle/us-east-1/openai/v1/responses",
                    "/a/resp_@x%20y/%C3%A9",
                    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.openai.gpt-5.6-sol/converse",
                    "/model/openai.gpt-oss-120b-1%3A0/converse-stream",
                    "/v1/models?b=2&a=1&a=0&c=x%2Fy&empty",
                ] {
                    check(path, told_hash, token, |_, _| {}, true);
                }
            }
        }
    }

    #[test]
    fn an_encoded_path_that_is_signed_as_it_is_does_not_match() {
        let path = "/model/openai.gpt-oss-120b-1%3A0/converse";
        let body = b"{}";
        let payload = hex(&Sha256::digest(body));
        let headers = [("host", "h"), ("x-amz-date", "20261121T081500Z")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let arrived = Arrived {
            method: "POST",
            path,
            query: None,
            headers: &headers,
            body,
        };
        for (signed, good) in [(path.to_owned(), false), (encode(path, true), true)] {
            let mut claim = read_claim("AWS4-HMAC-SHA256 Credential=k/20261121/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=0").expect("a claim");
            let digest = hex(&Sha256::digest(
                canonical(&claim, &arrived, &signed, &payload).as_bytes(),
            ));
            let to_sign = format!(
                "AWS4-HMAC-SHA256\n20261121T081500Z\n20261121/us-east-1/bedrock/aws4_request\n{digest}"
            );
            let mut key = mac(format!("AWS4{SECRET}").as_bytes(), "20261121");
            for part in ["us-east-1", "bedrock", "aws4_request"] {
                key = mac(&key, part);
            }
            claim.signature = hex(&mac(&key, &to_sign));
            assert_eq!(matches(&claim, SECRET, &arrived), good, "{signed}");
        }
    }

    #[test]
    fn any_change_on_the_way_is_noticed() {
        check("/a", true, None, |_, body| body.push(b' '), false);
        check("/a", false, None, |_, body| body[3] ^= 1, false);
        let rename = |wanted: &'static str, value: &'static str| {
            move |headers: &mut Vec<(String, String)>, _: &mut Vec<u8>| {
                for (name, old) in headers {
                    if name == wanted {
                        *old = value.to_owned();
                    }
                }
            }
        };
        check("/a", false, None, rename("accept", "*/*"), false);
        check("/a", false, None, rename("host", "elsewhere"), false);
        check(
            "/a",
            false,
            Some("t"),
            rename("x-amz-security-token", "u"),
            false,
        );
    }

    #[test]
    fn half_a_header_is_no_claim() {
        assert!(
            read_claim("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host")
                .is_err()
        );
        assert!(
            read_claim("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0").is_err()
        );
        assert!(read_claim("Basic abc").is_err());
    }
}
