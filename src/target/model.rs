//! What a target file says, as types.
//!
//! Plain data; reading with positions is `read`. A provider is a row of the catalog: nothing here
//! knows one by name.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::catalog::price::Rates;
use crate::catalog::provider::KeyEnv;
use crate::dialect::agentcore::mapping::Mapping;
use crate::target::bearer_command::BearerCommand;

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
    /// (`…/v1` for `…/v1/responses`). Without a path, the provider's base path is added.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The contract of a managed agent, where it is not one of the documented forms.
    #[serde(default)]
    pub agent: Option<Mapping>,
    /// The date of the API, where the provider has dated ones: `2024-10-21`. Its current one where absent.
    #[serde(default)]
    pub api_version: Option<String>,
    /// The service name in signatures, where the provider takes several: Mantle `bedrock-mantle` or `bedrock`. Its usual
    /// one where absent.
    #[serde(default)]
    pub signing_name: Option<String>,
    /// Whether to ask the host with FIPS-validated cryptography; as AWS_USE_FIPS_ENDPOINT says where absent.
    #[serde(default)]
    pub fips: Option<bool>,
    /// A guardrail of the customer's that every request names.
    #[serde(default)]
    pub guardrail: Option<Guardrail>,
    /// More headers, sent as they are. Not for secrets.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// More headers, each with the name of the environment variable that holds its value. The values
    /// are kept secret.
    #[serde(default)]
    pub headers_env: IndexMap<String, String>,
    /// Query parameters of each request, written unencoded.
    #[serde(default)]
    pub query: IndexMap<String, String>,
    /// The organisation that requests are for; as the provider's variable says where absent.
    #[serde(default)]
    pub organization: Option<String>,
    /// The project that requests are for; as the provider's variable says where absent.
    #[serde(default)]
    pub project: Option<String>,
    /// What its tokens cost, for `load`; the provider's list price where absent and known.
    #[serde(default)]
    pub price: Option<Rates>,
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
    /// An API key in this environment variable, sent in the provider's own header; as a bearer where
    /// the provider has none.
    ApiKeyEnv(String),
    /// An API key in an environment variable, sent in the header named here.
    KeyEnv(KeyEnv),
    /// A bearer token that a command prints.
    BearerCommand(BearerCommand),
}
