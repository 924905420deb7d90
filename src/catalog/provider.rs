//! Who serves models: endpoints, routes, regions and ways to sign in, as rows of data.

use indexmap::IndexMap;
use schemars::JsonSchema;
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
    /// braces that begins with a hyphen, as `{-stream}`, is there only where a stream is asked for; `{qualifier}`
    /// is the endpoint of a managed agent that the target names.
    pub dialects: IndexMap<String, String>,
    /// Base paths below the origin, the usual one first. The model's row says which one it needs.
    #[serde(default)]
    pub base_paths: Vec<String>,
    /// A base path that looks right and serves nothing.
    #[serde(default)]
    pub wrong_base_path: Option<String>,
    /// Whether the endpoint that a user names is the origin alone, as the provider's own libraries take
    /// it, so that the base path is added where it is not there.
    #[serde(default)]
    pub endpoint_is_origin: bool,
    /// The older form of the API, asked where a target says `api_version`.
    #[serde(default)]
    pub dated: Option<Dated>,
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
    /// The header that carries the id of a conversation which the provider keeps, the same in all
    /// turns of a cell; absent where nothing is kept between requests.
    #[serde(default)]
    pub session_header: Option<String>,
    /// An id of another surface (an inference profile) that is not known there.
    #[serde(default)]
    pub runtime_id: Option<String>,
    /// Other origins for regions outside the usual ones.
    #[serde(default)]
    pub partitions: Vec<Partition>,
    /// The origin with FIPS-validated cryptography; absent where none is known.
    #[serde(default)]
    pub fips_origin: Option<String>,
    /// The variable that asks for it, as `true`.
    #[serde(default)]
    pub fips_env: Option<String>,
    /// Variables that name another endpoint, the strongest first.
    #[serde(default)]
    pub endpoint_env: Vec<EndpointEnv>,
    /// The id of the AWS service, where the AWS configuration may name its endpoint: then the AWS SDK's
    /// rules decide, and `endpoint_env` only tells which variable it was.
    #[serde(default)]
    pub endpoint_service: Option<String>,
    /// Where it takes the organisation that a request is for.
    #[serde(default)]
    pub organization: Option<Owner>,
    /// Where it takes the project that a request is for.
    #[serde(default)]
    pub project: Option<Owner>,
    /// The path of its list of models, written as in `dialects`; absent where there is none.
    #[serde(default)]
    pub models_path: Option<String>,
    /// The path that tells more about one model of the list.
    #[serde(default)]
    pub model_path: Option<String>,
    /// Why there is no list of models, or what else it does not say.
    #[serde(default)]
    pub models_note: Option<String>,
    /// Dialects that carry a guardrail of the customer's, and how.
    #[serde(default)]
    pub guardrails: IndexMap<String, GuardrailPlace>,
    pub source: String,
    pub date: String,
}

/// An API whose date stands in the query of each request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dated {
    /// The parameter of the query that tells the date.
    pub parameter: String,
    /// Wire APIs and the whole path of each below the origin; `{model}` as in `Provider::dialects`.
    pub dialects: IndexMap<String, String>,
    pub source: String,
    pub date: String,
}

/// A key that goes into a header of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEnv {
    /// The name of the header, e.g. `api-key`.
    pub header: String,
    /// The environment variable that holds the key.
    pub env: String,
}

impl Provider {
    /// The origin for a region, with `{region}` still in it.
    pub fn origin_in(&self, region: Option<&str>) -> Option<&str> {
        region
            .and_then(|region| self.partition(region))
            .map(|partition| partition.origin.as_str())
            .or(self.origin.as_deref())
    }

    /// The partition that a region belongs to, where it is not one of the usual ones.
    pub fn partition(&self, region: &str) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|one| one.regions.iter().any(|pattern| glob(pattern, region)))
    }
}

/// Regions with an origin of their own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Their names; `*` stands for any run of characters.
    pub regions: Vec<String>,
    /// With `{region}`.
    pub origin: String,
    pub source: String,
}

/// An environment variable that names an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointEnv {
    pub variable: String,
    pub names: EndpointKind,
}

/// What an endpoint variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// Everything before the base path.
    Origin,
    /// The base path is a part of it.
    BaseUrl,
}

/// A header that says on whose behalf a request is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// In lower case.
    pub header: String,
    /// The variable that holds it where the target does not say.
    #[serde(default)]
    pub env: Option<String>,
    /// Dialects whose requests take it; all where empty.
    #[serde(default)]
    pub dialects: Vec<String>,
    /// The values it takes, `*` for any run of characters; any where empty.
    #[serde(default)]
    pub accepts: Vec<String>,
    pub source: String,
}

impl Owner {
    /// Whether requests of this dialect take it.
    pub fn is_for(&self, dialect: &str) -> bool {
        self.dialects.is_empty() || self.dialects.iter().any(|one| one == dialect)
    }
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
    /// A header of its own with the value of an environment variable, when that is set.
    KeyEnv(KeyEnv),
    /// SigV4 with the AWS credential chain.
    AwsChain,
}

impl Provider {
    /// The header that takes this provider's keys; `None` where a key is a bearer.
    pub fn key_header(&self) -> Option<&str> {
        self.auth.iter().find_map(|way| match way {
            ProviderAuth::KeyEnv(key) => Some(key.header.as_str()),
            _ => None,
        })
    }
}

impl ProviderAuth {
    /// The environment variable that this way reads; `None` where it reads none of its own.
    pub fn variable(&self) -> Option<&str> {
        match self {
            ProviderAuth::BearerEnv(name) => Some(name),
            ProviderAuth::KeyEnv(key) => Some(&key.env),
            ProviderAuth::None | ProviderAuth::AwsChain => None,
        }
    }
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
