//! What a target file says, as types.
//!
//! Plain data; reading with positions is `read`. A provider is a row of the catalog: nothing here
//! knows one by name.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// `sameturn.yaml`: whom to ask.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetFile {
    /// The target that the others are compared with; the first one where absent.
    #[serde(default)]
    pub reference: Option<String>,
    /// Targets by name.
    pub targets: IndexMap<String, Target>,
}

/// Provider, dialect, model and sign-in; expanded per region.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A provider of the catalog, e.g. `openai` or `bedrock-mantle`.
    pub provider: String,
    /// The wire API; the provider's first where absent.
    #[serde(default)]
    pub dialect: Option<String>,
    /// The model id, as this provider names it.
    pub model: String,
    /// Regions; from the environment or profile where absent and the provider has regions.
    #[serde(default)]
    pub regions: Vec<String>,
    /// How to sign in; the provider's usual way where absent.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The base URL, in place of the provider's: everything before the dialect's last part
    /// (`…/v1` for `…/v1/responses`).
    #[serde(default)]
    pub endpoint: Option<String>,
    /// A guardrail of the customer's that every request names.
    #[serde(default)]
    pub guardrail: Option<Guardrail>,
    /// More headers, sent as they are. Not for secrets.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
}

/// A guardrail of the customer's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// Its id or ARN.
    pub id: String,
    /// A number, or `DRAFT`.
    pub version: String,
    /// Whether the answer tells what the guardrail found.
    #[serde(default)]
    pub trace: Option<GuardrailTrace>,
    /// Whether a stream waits for the guardrail; only some wire APIs have it.
    #[serde(default)]
    pub stream_mode: Option<GuardrailMode>,
}

/// Whether the answer tells what the guardrail found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailTrace {
    Enabled,
    Disabled,
    EnabledFull,
}

/// Whether a stream waits for the guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailMode {
    Sync,
    Async,
}

/// How to sign in. A secret itself never stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// No credentials at all.
    None,
    /// The AWS credential chain as the environment has it; requests are signed (SigV4).
    AwsChain,
    /// A named profile of the AWS configuration; requests are signed (SigV4).
    AwsProfile(String),
    /// A bearer token in this environment variable.
    BearerEnv(String),
    /// An API key in this environment variable.
    ApiKeyEnv(String),
}
