//! Short-term Bedrock API keys, read offline.
//!
//! Such a key is `bedrock-api-key-` and the base64 of a presigned `CallWithBearerToken` URL without
//! its scheme, so its region and its end can be known before a request is spent. Long-term keys are
//! opaque and pass untouched. Nothing here checks the signature or shows any part of it.
//!
//! Source: AWS's token generators and the test fixtures of Codex (read 2026-11-21).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::auth::timestamp;

const PREFIX: &str = "bedrock-api-key-";

/// What a short-term key says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortTermKey {
    /// The only region that accepts it.
    pub region: String,
    /// When it stops being valid; `None` where the URL carries no date.
    pub expires: Option<SystemTime>,
}

/// Reads a short-term key; `None` for anything else.
pub fn read(token: &str) -> Option<ShortTermKey> {
    let engine = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let url = engine.decode(token.strip_prefix(PREFIX)?).ok()?;
    let url = String::from_utf8(url).ok()?;
    let (_, query) = url.split_once('?')?;
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let scope = parameter("X-Amz-Credential")?
        .replace("%2F", "/")
        .replace("%2f", "/");
    // key id / date / region / service / aws4_request
    let region = scope.split('/').rev().nth(2)?.to_string();
    let from = parameter("X-Amz-Date").and_then(timestamp::read_basic);
    let seconds = parameter("X-Amz-Expires").and_then(|value| value.parse().ok());
    let expires = match (from, seconds) {
        (Some(from), Some(seconds)) => from.checked_add(Duration::from_secs(seconds)),
        _ => None,
    };
    Some(ShortTermKey { region, expires })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(url: &str) -> String {
        format!(
            "{PREFIX}{}",
            base64::engine::general_purpose::STANDARD.encode(url)
        )
    }

    #[test]
    fn region_and_end_are_read() {
        let token = key("bedrock.amazonaws.com/?Action=CallWithBearerToken\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIDEXAMPLE%2F20260420%2Fus-west-2%2Fbedrock%2Faws4_request\
             &X-Amz-Date=20260420T100000Z&X-Amz-Expires=43200&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=00&Version=1");
        assert_eq!(
            read(&token),
            Some(ShortTermKey {
                region: "us-west-2".to_string(),
                expires: timestamp::read("2026-04-20T22:00:00Z"),
            })
        );
        // Padding is sometimes cut.
        assert_eq!(read(token.trim_end_matches('=')), read(&token));
    }

    #[test]
    fn a_key_without_a_date_has_no_known_end() {
        let token = key("bedrock.amazonaws.com/?Action=CallWithBearerToken\
             &X-Amz-Credential=AKIDEXAMPLE/20260420/eu-west-1/bedrock/aws4_request&Version=1");
        assert_eq!(
            read(&token),
            Some(ShortTermKey {
                region: "eu-west-1".to_string(),
                expires: None,
            })
        );
    }

    #[test]
    fn other_tokens_are_opaque() {
        for token in [
            "ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl",
            "sk-proj-abc",
            "bedrock-api-key-not base64",
            "bedrock-api-key-",
            &key("bedrock.amazonaws.com/"),
            &key("bedrock.amazonaws.com/?Action=CallWithBearerToken"),
            &key("bedrock.amazonaws.com/?X-Amz-Credential=x&X-Amz-Expires=99999999999999999999"),
        ] {
            assert_eq!(read(token), None, "{token}");
        }
    }
}
