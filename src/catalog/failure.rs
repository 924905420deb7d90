//! The failure catalogue: classes with their causes and fixes, and the patterns that recognise them.
//!
//! Classification reads what came back (status, body, stream error), never what was sent.

use serde::Deserialize;

use crate::catalog::late_regex::LateRegex;

/// The class of a failure that no pattern recognises.
pub const UNKNOWN: &str = "unknown";

/// All classes and patterns.
#[derive(Debug, Clone)]
pub struct Failures {
    pub classes: Vec<Class>,
    patterns: Vec<Compiled>,
}

/// A pattern with its regular expressions.
#[derive(Debug, Clone)]
struct Compiled {
    pattern: Pattern,
    text: Option<LateRegex>,
    param: Option<LateRegex>,
}

/// The file `failures.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailuresFile {
    pub classes: Vec<Class>,
    pub patterns: Vec<Pattern>,
}

/// One way to fail, by one word whatever the provider said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub id: String,
    /// What it is, in one sentence.
    pub about: String,
    /// Why it probably happened.
    pub cause: String,
    /// What to try.
    pub fix: String,
    /// Whether it says nothing about the provider's behaviour: the cell is undetermined, not failed.
    #[serde(default)]
    pub undetermined: bool,
}

/// A shape of failure. All that is given must match; the first pattern that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pattern {
    pub class: String,
    /// Providers it was seen at; any where empty.
    pub providers: Vec<String>,
    /// HTTP statuses; any where empty. `0` stands for a failure inside a stream.
    pub status: Vec<u16>,
    /// Provider codes. What is a code at one provider is a type at another, so both are looked at, and
    /// the name that a message begins with. `RateLimitError`, `rate_limit_error` and `RATE_LIMIT` are one.
    pub codes: Vec<String>,
    /// Provider error types, compared in the same way.
    pub kinds: Vec<String>,
    /// A regular expression over the field that the provider blames. Case is ignored.
    pub param: Option<String>,
    /// A regular expression over the message or, where there is none, the body. Case is ignored.
    pub text: Option<String>,
    pub source: String,
    pub date: String,
}

/// What a failure looked like.
#[derive(Debug, Clone, Copy)]
pub struct Symptom<'a> {
    pub provider: &'a str,
    /// The HTTP status; 0 for a failure inside a stream.
    pub status: u16,
    pub code: Option<&'a str>,
    pub kind: Option<&'a str>,
    /// The name of an error that the message begins with.
    pub named: Option<&'a str>,
    /// The field that the provider blames.
    pub param: Option<&'a str>,
    /// The message, or the body as text where no message could be found.
    pub text: &'a str,
}

impl Failures {
    /// The rows as they are; [`Failures::check`] says whether they are right.
    pub(crate) fn new(file: FailuresFile) -> Failures {
        let late = |text: &Option<String>| text.as_deref().map(LateRegex::new);
        Failures {
            classes: file.classes,
            patterns: file
                .patterns
                .into_iter()
                .map(|pattern| Compiled {
                    text: late(&pattern.text),
                    param: late(&pattern.param),
                    pattern,
                })
                .collect(),
        }
    }

    /// Whether each pattern names a class that there is, and its regular expressions are some; the error
    /// names the broken one.
    pub(crate) fn check(&self) -> Result<(), String> {
        for Compiled {
            pattern,
            text,
            param,
        } in &self.patterns
        {
            if self.class(&pattern.class).is_none() {
                return Err(format!(
                    "a pattern names the class `{}`, which is not declared",
                    pattern.class
                ));
            }
            for regex in [text, param].into_iter().flatten() {
                regex
                    .check()
                    .map_err(|error| format!("pattern of class `{}`: {error}", pattern.class))?;
            }
        }
        Ok(())
    }

    /// A class by id.
    pub fn class(&self, id: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.id == id)
    }

    /// All patterns, in the order they are tried.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.patterns.iter().map(|compiled| &compiled.pattern)
    }

    /// Compiles the expressions that a provider's failures may be held against, which the first of them would do
    /// otherwise.
    pub fn compile(&self, provider: &str) {
        let concerns = |one: &&Compiled| {
            let providers = &one.pattern.providers;
            providers.is_empty() || providers.iter().any(|name| name == provider)
        };
        for compiled in self.patterns.iter().filter(concerns) {
            for regex in [&compiled.text, &compiled.param].into_iter().flatten() {
                // What it says of nothing is of no interest: it is compiled now.
                regex.is_match("");
            }
        }
    }

    /// The class of a failure, or [`UNKNOWN`].
    pub fn classify(&self, symptom: &Symptom<'_>) -> &str {
        self.patterns
            .iter()
            .find(|compiled| compiled.matches(symptom))
            .map_or(UNKNOWN, |compiled| compiled.pattern.class.as_str())
    }
}

impl Compiled {
    fn matches(&self, symptom: &Symptom<'_>) -> bool {
        let names = [symptom.code, symptom.kind, symptom.named];
        let among = |list: &[String]| {
            list.is_empty()
                || names
                    .iter()
                    .flatten()
                    .any(|name| list.iter().any(|one| bare(one) == bare(name)))
        };
        let Pattern {
            providers,
            status,
            codes,
            kinds,
            ..
        } = &self.pattern;
        (providers.is_empty() || providers.iter().any(|one| one == symptom.provider))
            && (status.is_empty() || status.contains(&symptom.status))
            && among(codes)
            && among(kinds)
            && self
                .param
                .as_ref()
                .is_none_or(|regex| symptom.param.is_some_and(|param| regex.is_match(param)))
            && self
                .text
                .as_ref()
                .is_none_or(|regex| regex.is_match(symptom.text))
    }
}

/// A name as it is compared: letters and digits only, without case and without a last `error` or
/// `exception`.
fn bare(name: &str) -> String {
    let mut bare: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    for ending in ["exception", "error"] {
        if let Some(rest) = bare.strip_suffix(ending)
            && !rest.is_empty()
        {
            bare.truncate(rest.len());
            break;
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use crate::catalog::failure::Symptom;
    use crate::catalog::shipped;

    /// Bodies as they were observed, and forms nobody listed word for word:
    /// class, status, code, param, text.
    type Case = (
        &'static str,
        u16,
        Option<&'static str>,
        Option<&'static str>,
        &'static str,
    );

    const CASES: &[Case] = &[
        (
            "wrong_route",
            400,
            Some("validation_error"),
            None,
            "model `xai.grok-4.3` isn't supported on this route",
        ),
        (
            "wrong_route",
            400,
            Some("validation_error"),
            None,
            "The model 'openai.gpt-5.6-luna' does not support the '/v1/chat/completions' API",
        ),
        (
            "wrong_route",
            200,
            None,
            None,
            r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
        ),
        (
            "wrong_route",
            401,
            Some("access_denied"),
            None,
            "Berm is not enabled for this account",
        ),
        (
            "wrong_route",
            404,
            None,
            None,
            "Invalid URL (POST /responses)",
        ),
        ("wrong_route", 404, None, None, "{}"),
        (
            "context_overflow",
            400,
            Some("validation_error"),
            None,
            "prompt tokens (400007) exceed model maximum (278528) for openai.gpt-5.5",
        ),
        (
            "context_overflow",
            400,
            Some("context_length_exceeded"),
            None,
            "Your input exceeds the context window of this model.",
        ),
        (
            "context_overflow",
            400,
            None,
            None,
            "maximum context length is 32768 tokens. However, you requested 40000",
        ),
        (
            "credentials_expired",
            401,
            None,
            None,
            "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z",
        ),
        (
            "credentials_expired",
            403,
            None,
            None,
            "Bearer Token has expired",
        ),
        (
            "credentials_expired",
            403,
            None,
            None,
            "The security token included in the request is expired",
        ),
        (
            "invalid_credentials",
            401,
            Some("invalid_api_key"),
            None,
            "Invalid bearer token",
        ),
        (
            "invalid_credentials",
            401,
            None,
            None,
            "The security token included in the request is invalid.",
        ),
        (
            "invalid_credentials",
            403,
            None,
            None,
            "Authentication failed: Please make sure your API Key is valid.",
        ),
        (
            "invalid_credentials",
            403,
            None,
            None,
            "Invalid API Key format: Must start with pre-defined prefix",
        ),
        (
            "access_denied",
            401,
            Some("access_denied"),
            None,
            "User: arn:aws:sts::123456789012:assumed-role/R/S is not authorized to perform: bedrock-mantle:CreateInference on resource: x",
        ),
        (
            "access_denied",
            403,
            None,
            None,
            "User: u is not authorized to perform: bedrock:InvokeModel with an explicit deny in a service control policy",
        ),
        (
            "model_not_found",
            404,
            None,
            None,
            "The model 'gpt-4o' does not exist",
        ),
        (
            "model_not_found",
            404,
            Some("model_not_found"),
            None,
            "The model `x` does not exist or you do not have access to it.",
        ),
        (
            "model_not_found",
            400,
            Some("validation_error"),
            None,
            "Invocation of model ID openai.gpt-5.6-sol with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
        ),
        (
            "response_not_found",
            404,
            None,
            None,
            "Response 'resp_x' not found.",
        ),
        ("throttled", 429, None, None, "slow"),
        (
            "quota_exhausted",
            429,
            Some("insufficient_quota"),
            None,
            "You exceeded your current quota",
        ),
        ("overloaded", 529, None, None, "busy"),
        (
            "unsupported_tool",
            400,
            Some("validation_error"),
            None,
            "Failed to deserialize the JSON body into the target type: ?[13]: Invalid 'tools': unknown variant `namespace`, expected `function` or `mcp` at line 1 column 107773",
        ),
        (
            "unsupported_tool",
            400,
            Some("invalid_value"),
            Some("tools[0].type"),
            "Invalid value: 'telepathy'. Supported values are: 'function'.",
        ),
        (
            "unsupported_parameter",
            400,
            Some("validation_error"),
            None,
            "Unsupported parameter: 'top_p' is not supported with this model.",
        ),
        (
            "unsupported_parameter",
            400,
            None,
            None,
            "unsupported service_tier 'flex'",
        ),
        (
            "invalid_request",
            400,
            Some("validation_error"),
            None,
            "invalid request body: Invalid 'input': value did not match any expected variant",
        ),
        (
            "server_error",
            0,
            Some("server_error"),
            None,
            "The server had an error while processing your request. Sorry about that!",
        ),
        ("server_error", 502, None, None, "<html>bad gateway</html>"),
        ("quota_exhausted", 402, None, None, "Insufficient credits"),
        ("timed_out", 408, None, None, "Request Timeout"),
        (
            "server_error",
            524,
            None,
            None,
            "<html>a timeout occurred</html>",
        ),
        (
            "model_not_found",
            404,
            Some("DeploymentNotFound"),
            None,
            "The API deployment for this resource does not exist.",
        ),
        ("model_not_found", 404, None, None, "No such deployment"),
        (
            "wrong_route",
            307,
            None,
            None,
            "HTTP 307: the server sends elsewhere, to https://x",
        ),
        (
            "invalid_credentials",
            400,
            None,
            None,
            "API key not valid. Please pass a valid API key.",
        ),
        (
            "invalid_request",
            400,
            None,
            Some("tools"),
            "The number of tools exceeds the maximum of 128.",
        ),
        (
            "unsupported_parameter",
            400,
            Some("unsupported_parameter"),
            None,
            "'truncation' is not supported; the input must fit the context window",
        ),
        (
            "invalid_request",
            400,
            None,
            None,
            "Invalid schema for function get_file_permission: x",
        ),
        (
            "invalid_request",
            400,
            Some("invalid_json_schema"),
            None,
            "In context=(), model property is unknown",
        ),
        (
            "invalid_request",
            400,
            None,
            None,
            "The key 'temperature' of the request has expired values",
        ),
        (
            "unsupported_tool",
            422,
            None,
            Some("tools.0.type"),
            "Input should be 'function'",
        ),
        (
            "invalid_credentials",
            401,
            Some("401"),
            None,
            "Access denied due to invalid subscription key or wrong API endpoint.",
        ),
        (
            "access_denied",
            401,
            Some("PermissionDenied"),
            None,
            "The principal `p` lacks the required data action `a` to perform `POST /openai` operation.",
        ),
        (
            "invalid_credentials",
            401,
            None,
            None,
            "Unauthorized. Access token is missing, invalid, audience is incorrect (https://x), or have expired.",
        ),
        ("unknown", 418, None, None, "teapot"),
        ("unknown", 0, None, None, "something nobody listed"),
    ];

    #[test]
    fn what_came_back_decides_the_class() {
        for &(class, status, code, param, text) in CASES {
            let symptom = Symptom {
                provider: "bedrock-mantle",
                status,
                code,
                kind: None,
                named: None,
                param,
                text,
            };
            assert_eq!(
                shipped().failures.classify(&symptom),
                class,
                "{status} {text}"
            );
        }
    }

    #[test]
    fn every_class_says_what_to_try_and_every_pattern_has_a_source() {
        for class in &shipped().failures.classes {
            assert!(
                !class.cause.is_empty() && !class.fix.is_empty(),
                "{}",
                class.id
            );
        }
        for pattern in shipped().failures.patterns() {
            assert!(
                !pattern.source.is_empty() && !pattern.date.is_empty(),
                "{pattern:?}"
            );
        }
    }
}
