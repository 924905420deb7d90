//! Who serves models: endpoints, routes, regions and ways to sign in, as rows of data.

use indexmap::IndexMap;
use serde::Deserialize;

/// One provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub id: String,
    pub about: String,
    /// The origin, with `{region}` where the provider has regions; absent where the user must name one.
    #[serde(default)]
    pub origin: Option<String>,
    /// Wire APIs, the preferred one first: the path below the base path. A path that begins with
    /// `{origin}` stands at the origin itself; `{model}` is the percent-encoded model id, and a part in
    /// braces that begins with a hyphen, as `{-stream}`, is there only where a stream is asked for.
    pub dialects: IndexMap<String, String>,
    /// Base paths below the origin, the usual one first. The model's row says which one it needs.
    #[serde(default)]
    pub base_paths: Vec<String>,
    /// A base path that looks right and serves nothing.
    #[serde(default)]
    pub wrong_base_path: Option<String>,
    /// Regions this provider serves; empty where it has none.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Ways to sign in, in the order they are tried.
    pub auth: Vec<ProviderAuth>,
    /// The service name in a SigV4 signature.
    #[serde(default)]
    pub signing_name: Option<String>,
    /// Another service name that is accepted too.
    #[serde(default)]
    pub other_signing_names: Vec<String>,
    /// A model id that surely does not exist there.
    #[serde(default)]
    pub absent_model: Option<String>,
    /// An id of another surface (an inference profile) that is not known there.
    #[serde(default)]
    pub runtime_id: Option<String>,
    /// Dialects that carry a guardrail of the customer's, and how.
    #[serde(default)]
    pub guardrails: IndexMap<String, GuardrailPlace>,
    pub source: String,
    pub date: String,
}

/// Where a request names a guardrail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailPlace {
    /// In the body, as the dialect has it.
    Body,
    /// In headers of these names.
    Headers {
        id: String,
        version: String,
        trace: String,
    },
}

/// A way to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderAuth {
    /// No credentials.
    None,
    /// `Authorization: Bearer` with the value of this environment variable, when it is set.
    BearerEnv(String),
    /// SigV4 with the AWS credential chain.
    AwsChain,
}

/// One model, or a family of them, at one provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub provider: String,
    /// The model id; `*` stands for any run of characters.
    pub id: String,
    /// The base path that serves it, where the provider has several.
    #[serde(default)]
    pub base_path: Option<String>,
    /// Dialects it is served under; all of the provider's where empty.
    #[serde(default)]
    pub dialects: Vec<String>,
    /// Regions it is served in; all of the provider's where empty.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Where a dialect without a field for the reasoning effort puts it: keys joined by dots.
    #[serde(default)]
    pub effort_field: Option<String>,
    pub source: String,
    pub date: String,
}

/// Whether `text` matches `pattern`, where `*` stands for any run of characters.
pub fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => {
            let Some(tail) = text.strip_prefix(head) else {
                return false;
            };
            (0..=tail.len())
                .filter(|&at| tail.is_char_boundary(at))
                .any(|at| glob(rest, &tail[at..]))
        }
    }
}
