//! Removing secrets from text that is stored or shown.
//!
//! Takes out the secrets in use wherever they stand (also percent-encoded, also with `\/` for `/`),
//! and whatever looks like a credential of the kinds we meet; where in doubt, it goes. A secret that
//! it was not told of and that has no known shape, it cannot find. Redacted JSON stays JSON.

use std::sync::{LazyLock, OnceLock};

use regex::Regex;

use crate::auth::credentials::Secret;

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are not searched for: they would match ordinary text.
const SHORTEST_SECRET: usize = 6;

/// Parts of a header's name that make its whole value a secret.
const SECRET_NAMES: [&str; 6] = ["auth", "cookie", "key", "secret", "signature", "token"];

/// Headers whose names hold such a part and whose values are no secrets: counts of tokens.
const OPEN_HEADERS: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// Whether what stands in a header of this name is to be kept secret.
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
        && !OPEN_HEADERS.iter().any(|start| name.starts_with(start))
}

/// What a credential looks like.
struct Shape {
    /// Small letters, one of which each text of this shape holds whatever its case. To look for them costs
    /// little; to compile all expressions took a third of a start.
    words: &'static [&'static str],
    /// How long each text of this shape is at least, in bytes.
    least: usize,
    pattern: String,
    compiled: OnceLock<Regex>,
}

impl Shape {
    fn new(words: &'static [&'static str], pattern: String) -> Shape {
        Shape {
            words,
            least: 0,
            pattern,
            compiled: OnceLock::new(),
        }
    }

    fn of_at_least(self, least: usize) -> Shape {
        Shape { least, ..self }
    }

    /// Whether a text may have it; `lower` is the text in small letters.
    fn may_be_in(&self, lower: &str) -> bool {
        // Ignoring case, the expressions take `ſ` for an s and the sign of Kelvin for a k.
        !lower.is_ascii()
            || lower.len() >= self.least && self.words.iter().any(|word| lower.contains(word))
    }

    fn regex(&self) -> &Regex {
        self.compiled.get_or_init(|| {
            Regex::new(&self.pattern).expect("the shapes are constants and covered by tests")
        })
    }
}

/// Shapes of credentials; the first group, where there is one, is kept.
///
/// Those with quotes are written so that a quote which ends a JSON string is never swallowed: the
/// plain and the escaped form stand apart, and a value that is no string (`null`) stays.
static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    const FIELD: &str = "(?:secret_?access_?key|session_?token|access_?token|refresh_?token|\
                         client_?secret|security_?token|id_?token|access_?key_?id)";
    const FIELDS: &[&str] = &[
        "access_key",
        "accesskey",
        "session_token",
        "sessiontoken",
        "access_token",
        "accesstoken",
        "refresh_token",
        "refreshtoken",
        "client_secret",
        "clientsecret",
        "security_token",
        "securitytoken",
        "id_token",
        "idtoken",
    ];
    const SCHEME: &str = "(?:bearer |basic |aws4-hmac-sha256 )?";
    const PLAIN: &str = r#"(?:[^"\\]|\\.)+"#;
    const ESCAPED: &str = r#"(?:[^"\\]|\\[^"])+"#;
    let shape = Shape::new;
    vec![
        // An Authorization header as JSON, as JSON inside a JSON string, and as text.
        shape(
            &["authorization"],
            format!(r#"(?i)(authorization"\s*:\s*"{SCHEME}){PLAIN}"#),
        ),
        shape(
            &["authorization"],
            format!(r#"(?i)(authorization\\"\s*:\s*\\"{SCHEME}){ESCAPED}"#),
        ),
        shape(
            &["authorization"],
            format!(r#"(?i)(\bauthorization\s*[:=]\s*{SCHEME})[^\s"'\\][^"'\r\n\\]*"#),
        ),
        shape(
            &["bearer"],
            r"(?i)\b(bearer\s+)[a-z0-9._~+/=*-]{16,}".to_owned(),
        )
        // Longer than "bearer from" and the name of a variable, which each run says.
        .of_at_least(23),
        // Parameters of a presigned URL.
        shape(
            &["x-amz-"],
            r"(?i)(x-amz-(?:signature|security-token|credential)(?:=|%3d))[^&\s\x22'\\]+"
                .to_owned(),
        ),
        shape(
            &["signature=", "credential="],
            r"(?i)\b((?:signature|credential)=)[a-z0-9/_%.+=-]{16,}".to_owned(),
        ),
        // Fields of credential files and of answers by STS, SSO and OIDC.
        shape(FIELDS, format!(r#"(?i)({FIELD}"\s*:\s*"){PLAIN}"#)),
        shape(FIELDS, format!(r#"(?i)({FIELD}\\"\s*:\s*\\"){ESCAPED}"#)),
        shape(
            FIELDS,
            format!(r#"(?i)({FIELD}\s*=\s*\\?["'])[^"'\\\s,:}}\]][^"'\\]*"#),
        ),
        shape(FIELDS, format!(r#"(?i)({FIELD}\s*=\s*)[^\s"',}}&<\\]+"#)),
        shape(
            FIELDS,
            r#"(?i)(<(?:secretaccesskey|sessiontoken|accesskeyid)>)[^<"\\]+"#.to_owned(),
        ),
        // Keys and tokens by their own shape.
        shape(
            &["bedrock-api-key-"],
            r"\bbedrock-api-key-[A-Za-z0-9+/=_-]+".to_owned(),
        ),
        shape(&["absk"], r"\bABSK[A-Za-z0-9+/=_-]{16,}".to_owned()),
        shape(&["sk-"], r"\bsk-[A-Za-z0-9_*-]{12,}".to_owned()),
        shape(
            &["akia", "asia"],
            r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b".to_owned(),
        ),
        shape(
            &["eyj"],
            r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*".to_owned(),
        ),
    ]
});

static ACCOUNT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b\d{12}\b").expect("the shape is a constant"));

/// Removes secrets from text. `Debug` shows how many it knows.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The longest first, so that one inside another leaves no rest.
    secrets: Vec<Secret>,
    account_ids: bool,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("secrets", &self.secrets.len())
            .field("account_ids", &self.account_ids)
            .finish()
    }
}

impl Redactor {
    /// Knows these secrets besides the usual shapes.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Redactor {
        let mut known: Vec<Secret> = Vec::new();
        for secret in secrets {
            let value = secret.expose().trim();
            for other in [percent_encoded(value), value.replace('/', "\\/")] {
                if other != value {
                    known.push(Secret::new(other));
                }
            }
            known.push(Secret::new(value));
        }
        known.retain(|secret| secret.expose().len() >= SHORTEST_SECRET);
        known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Redactor {
            secrets: known,
            account_ids: false,
        }
    }

    /// Whether twelve-digit numbers, as AWS account ids are, go too.
    pub fn with_account_ids(mut self, remove: bool) -> Redactor {
        self.account_ids = remove;
        self
    }

    /// The text without secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_string();
        for secret in &self.secrets {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), REDACTED);
            }
        }
        // What is put in place of a secret holds none of the words.
        let lower = text.to_ascii_lowercase();
        for shape in SHAPES.iter().filter(|shape| shape.may_be_in(&lower)) {
            let shape = shape.regex();
            let with = if shape.captures_len() > 1 {
                "${1}[redacted]"
            } else {
                REDACTED
            };
            if let std::borrow::Cow::Owned(changed) = shape.replace_all(&text, with) {
                text = changed;
            }
        }
        if self.account_ids {
            text = ACCOUNT.replace_all(&text, "[account]").into_owned();
        }
        text
    }

    /// Headers without secrets; of an `Authorization` header the scheme is kept.
    pub fn redact_headers(&self, headers: &[(String, String)]) -> Vec<(String, String)> {
        headers
            .iter()
            .map(|(name, value)| {
                let lower = name.to_ascii_lowercase();
                let value = if !is_secret_header(&lower) {
                    self.redact(value)
                } else {
                    match value.split_once(' ') {
                        Some((scheme, _)) if lower.ends_with("authorization") => {
                            format!("{scheme} {REDACTED}")
                        }
                        _ => REDACTED.to_string(),
                    }
                };
                (name.clone(), value)
            })
            .collect()
    }
}

/// Percent-encoding of everything but RFC 3986's unreserved characters.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_use_go_wherever_they_stand() {
        let redactor = Redactor::new([Secret::new("Marker/With+Signs="), Secret::new("short")]);
        let text = redactor.redact(
            "a Marker/With+Signs= b x=Marker%2FWith%2BSigns%3D {\"m\":\"Marker\\/With+Signs=\"} short",
        );
        assert!(!text.contains("Marker"), "{text}");
        assert_eq!(text.matches(REDACTED).count(), 3);
        assert!(text.ends_with("short"));
        assert!(!format!("{redactor:?}").contains("Marker"));
    }

    #[test]
    fn shapes_of_credentials_go() {
        let redactor = Redactor::default();
        for (text, secret) in [
            (
                "Incorrect API key provided: sk-proj-abcdEFGH1234_5678.",
                "abcdEFGH",
            ),
            ("key ABSKQmVkcm9ja0FQSUtleS1tYXJrZXI= here", "QmVkcm9j"),
            ("bedrock-api-key-YmVkcm9jay5hbWF6b24=", "YmVkcm9j"),
            ("user AKIAIOSFODNN7EXAMPLE", "IOSFODNN"),
            ("ASIAIOSFODNN7EXAMPLE", "IOSFODNN"),
            ("https://x/?X-Amz-Signature=0011aabb&v=1", "0011aabb"),
            ("X-Amz-Security-Token=IQoJb3JpZ2%2F&v=1", "IQoJb3"),
            ("authorization: Bearer shorttok\nnext", "shorttok"),
            ("{\"Authorization\": \"Bearer abc def\"}", "abc def"),
            (
                "Authorization: AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, Signature=9f9f",
                "9f9f",
            ),
            ("sent bearer abcdefghijklmnop0123", "abcdefgh"),
            ("{\"SecretAccessKey\": \"wJalrXUtnFEMI/K7\"}", "wJalr"),
            ("aws_session_token = FwoGZXIvYXdz", "FwoGZ"),
            ("export AWS_SESSION_TOKEN=\"FwoGZXIvYXdz\"", "FwoGZ"),
            (r#"{"accessToken":"ab\/cd\"FwoGZ"}"#, "FwoGZ"),
            (r#"{"body":"{\"refreshToken\":\"ab\\/FwoGZ\"}"}"#, "FwoGZ"),
            ("<SecretAccessKey>wJalrXUtnFEMI</SecretAccessKey>", "wJalr"),
            ("t eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2lnbmF0dXJl t", "eyJzdWIi"),
        ] {
            let clean = redactor.redact(text);
            assert!(!clean.contains(secret), "{text} -> {clean}");
            assert!(clean.contains(REDACTED), "{text} -> {clean}");
            assert_eq!(
                redactor.redact(&clean),
                clean,
                "redacting twice changes nothing"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_shape_is_passed_over(parts in proptest::collection::vec(proptest::sample::select(vec![
            "authorization", "AUTHORIZATION: ", "Bearer ", "BEARER\t", "accessToken", "session_token=", "id_toKen=",
            "ſecurity_token=", "\"", "\\", ":", "=", "%3D", " ", "refreshTOKEN\":\"", "<SecretAccessKey>", "é", "client_secret=",
            "X-Amz-Signature", "x-amz-credential=", "Signature=", "sk-", "0123456789abcdef", "AKIA", "ASIAIOSFODNN7EXAMPLE",
            "bedrock-api-key-", "ABSK", "eyJhbGciOi.eyJzdWIiOi.c2ln", "clientsecret", "SecurityToken", "idToken=", "sessionToken",
            "access_token", "refresh_token=", "access_key_id=", "secret_accesskey", "<accesskeyid>",
        ]), 0..8)) {
            let text = parts.concat();
            let lower = text.to_ascii_lowercase();
            for shape in SHAPES.iter() {
                let passed_over = !shape.may_be_in(&lower) && shape.regex().is_match(&text);
                proptest::prop_assert!(!passed_over, "{} in {}", shape.pattern, text);
            }
        }
    }

    #[test]
    fn ordinary_text_stays() {
        let redactor = Redactor::default();
        for text in [
            "Invalid bearer token",
            "the bearer of bad news",
            "task-force-of-the-season ask-me-anything-please",
            "{\"model\":\"openai.gpt-5.5\",\"max_output_tokens\":123456789012}",
            "resp_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b",
            "Signature expired: 20250102T030405Z is now earlier than 20250102T030905Z",
        ] {
            assert_eq!(redactor.redact(text), text);
        }
    }

    #[test]
    fn redacted_json_is_json() {
        let text = r#"{"error":{"message":"key sk-aaaaaaaaaaaaaaaa of \"Authorization: Bearer abcdefg\" is wrong"},
            "accessToken":"x-y","refresh_token":null,"authorization":null,"session_token": {"a":1},"next":1}"#;
        let clean = Redactor::default().redact(text);
        let value: serde_json::Value = serde_json::from_str(&clean).expect("still JSON");
        assert_eq!(value["next"], 1);
        assert!(value["refresh_token"].is_null() && value["authorization"].is_null());
        assert!(
            !clean.contains("abcdefg") && !clean.contains("x-y"),
            "{clean}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_json_stays_json(parts in proptest::collection::vec(proptest::sample::select(vec![
            "authorization", "Authorization: ", "Bearer ", "accessToken", "session_token=", "\"", "\\",
            ":", "=", ",", "'", " ", "\n", "null", "{", "}", "[", "]", "<SecretAccessKey>", "</", "é",
            "X-Amz-Signature=", "Signature=", "sk-", "0123456789abcdef", "AKIAIOSFODNN7EXAMPLE", "/",
        ]), 0..14)) {
            // As a value, as a key, and once more inside a string.
            let text = parts.concat();
            let inner = serde_json::json!({ &text: text, "accessToken": &text, "next": [&text, null] });
            let outer = serde_json::json!({ "body": inner.to_string(), "more": inner, "last": 1 });
            let clean = Redactor::default().redact(&outer.to_string());
            let value: Result<serde_json::Value, _> = serde_json::from_str(&clean);
            proptest::prop_assert!(value.is_ok_and(|value| value["last"] == 1), "{} -> {}", outer, clean);
        }
    }

    #[test]
    fn account_ids_go_when_asked() {
        let arn = "arn:aws:sts::123456789012:assumed-role/dev";
        assert_eq!(Redactor::default().redact(arn), arn);
        assert_eq!(
            Redactor::default().with_account_ids(true).redact(arn),
            "arn:aws:sts::[account]:assumed-role/dev"
        );
    }

    #[test]
    fn secret_headers_keep_their_scheme_only() {
        let headers = [
            ("Authorization", "Bearer abc", "Bearer [redacted]"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/x, Signature=1",
                "AWS4-HMAC-SHA256 [redacted]",
            ),
            ("authorization", "raw", "[redacted]"),
            ("api-key", "abc def", "[redacted]"),
            ("X-Amz-Security-Token", "abc", "[redacted]"),
            ("x-echo", "sk-abcdefghijklmnop", "[redacted]"),
            ("content-type", "application/json", "application/json"),
        ];
        let given: Vec<_> = headers
            .iter()
            .map(|(name, value, _)| (name.to_string(), value.to_string()))
            .collect();
        let clean = Redactor::default().redact_headers(&given);
        for ((name, _, expected), (got_name, got)) in headers.iter().zip(&clean) {
            assert_eq!((name, expected), (&got_name.as_str(), &got.as_str()));
        }
    }
}
