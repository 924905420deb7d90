//! What a scenario file says, as types. Everything a user may write is here and nowhere else.
//!
//! Plain data with `Deserialize` and `JsonSchema`; reading with positions is `read`, cross-checks
//! are `lint`. Enums are externally tagged and no key is silently ignored: the messages depend on it.

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::scenario::gap::GapClaim;

use crate::scenario::one_or_more::OneOrMore;

/// A named script of agent turns with expectations, free of any provider.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The unique name, by theme: `tools/weather`.
    pub name: String,
    /// One sentence: what this proves.
    pub about: String,
    /// Words to select scenarios by (`--tag`).
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where the claim comes from, for scenarios that document a known behaviour.
    #[serde(default)]
    pub source: Option<String>,
    /// The known difference that this looks for, for a scenario that is about one.
    #[serde(default)]
    pub gap: Option<GapClaim>,
    /// Targets this applies to; elsewhere the cell is *not applicable*.
    #[serde(default)]
    pub only: Only,
    /// The circumstances: credentials, route, model, and what a mocked endpoint should do.
    #[serde(default)]
    pub given: Given,
    /// Whether the answer is streamed.
    #[serde(default = "yes")]
    pub stream: bool,
    /// Time limits of each exchange, where the defaults do not fit.
    #[serde(default)]
    pub limits: Limits,
    /// Whether a turn that failed is asked again; not where absent, so that the first answer is the truth.
    #[serde(default)]
    pub retries: Option<Retries>,
    /// The system (developer) text.
    #[serde(default)]
    pub system: Option<String>,
    /// Tools by name.
    #[serde(default)]
    pub tools: IndexMap<String, Tool>,
    /// Tools in the wire form of the dialect, sent as they are: for probing what is accepted.
    #[serde(default)]
    pub wire_tools: Vec<Value>,
    /// Fields of the request in the wire form of the dialect, put over what is sent otherwise.
    #[serde(default)]
    pub wire_fields: Map<String, Value>,
    /// More request headers, sent as they are.
    #[serde(default)]
    pub wire_headers: IndexMap<String, String>,
    /// Sampling and tool settings, the same for each turn.
    #[serde(default)]
    pub settings: Settings,
    /// Structured output.
    #[serde(default)]
    pub format: Option<Format>,
    /// How the conversation so far reaches the provider in later turns.
    #[serde(default)]
    pub conversation: Conversation,
    /// The turns, in order.
    pub turns: Vec<Turn>,
}

/// How the conversation so far reaches the provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conversation {
    /// Each request carries all of it, as agents that keep it themselves do.
    #[default]
    Replayed,
    /// Each request names the response before it (`previous_response_id`) and carries only what is new.
    Stored,
}

/// Targets a scenario applies to; an empty list means all.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Only {
    /// Provider ids, e.g. `bedrock-mantle`.
    pub providers: Vec<String>,
    /// Provider ids that it is not for. A provider that is added later is let in.
    pub not_providers: Vec<String>,
    /// Dialects, e.g. `responses`.
    pub dialects: Vec<String>,
    /// Globs over model ids, e.g. `openai.gpt-5*`.
    pub models: Vec<String>,
    /// Only targets that name a guardrail.
    pub guardrail: bool,
}

/// The circumstances of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// Whose credentials sign the request; the target's own where absent.
    pub credentials: Option<CredentialState>,
    /// Which region is asked; the target's own where absent.
    pub region: Option<RegionState>,
    /// Which route is asked; the right one where absent.
    pub route: Option<RouteState>,
    /// Which model is asked for; the target's own where absent.
    pub model: Option<ModelState>,
    /// How this machine's clock is wrong when a request is signed.
    pub clock: Option<ClockState>,
    /// A deliberate misbehaviour of a mocked endpoint, by name; only mocks can do it.
    pub fault: Option<String>,
    /// What a mocked endpoint answers, by script name; real endpoints ignore it.
    pub script: Option<String>,
}

/// Whose credentials sign the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialState {
    /// Valid, but not allowed to do this (mocked endpoints only).
    Denied,
    /// A key that nobody issued.
    Invalid,
    /// A key that was valid once (mocked endpoints only).
    Expired,
    /// An `sso-session` profile whose cached token has expired, in a temporary AWS home.
    ExpiredSso,
    /// The same in the older `sso_start_url` form.
    ExpiredSsoLegacy,
    /// An SSO profile of whose session no token is cached.
    SsoNeverLoggedIn,
    /// A live SSO session whose portal does not give the profile's role (mocked endpoints only).
    SsoRoleNotAssigned,
    /// A `credential_process` that ends with an error.
    CredentialProcessFails,
    /// A `credential_process` that never ends.
    CredentialProcessHangs,
    /// A `credential_process` that prints credentials whose time is over.
    CredentialProcessExpired,
    /// A profile that does not exist, beside one of a similar name.
    ProfileMissing,
    /// A role whose `source_profile` does not exist.
    SourceProfileMissing,
    /// A role that STS does not let the credentials assume (mocked endpoints only).
    AssumeRoleDenied,
    /// A web identity token whose file is not there.
    WebIdentityMissing,
    /// An AWS configuration file that cannot be parsed.
    BrokenConfig,
    /// A profile of `aws login`.
    LoginSession,
    /// None at all.
    None,
}

impl CredentialState {
    /// Whether it is a way to fail with AWS credentials, so that only a target that signs can show it.
    pub fn is_aws(self) -> bool {
        !matches!(
            self,
            CredentialState::Denied
                | CredentialState::Invalid
                | CredentialState::Expired
                | CredentialState::None
        )
    }

    /// Whether it takes a mock to show it.
    pub fn needs_mock(self) -> bool {
        matches!(
            self,
            CredentialState::Denied
                | CredentialState::Expired
                | CredentialState::SsoRoleNotAssigned
                | CredentialState::AssumeRoleDenied
        )
    }
}

/// How a clock is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClockState {
    /// It is 20 minutes behind.
    Behind,
    /// It is 20 minutes ahead.
    Ahead,
}

/// Which region is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegionState {
    /// No target, variable or profile names one.
    None,
}

/// Which route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouteState {
    /// The provider's other path, which does not serve this model.
    Wrong,
    /// An address where nobody listens.
    Nowhere,
}

/// Which model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelState {
    /// A model that does not exist.
    Absent,
    /// An inference-profile id, which only Bedrock Runtime knows.
    RuntimeId,
}

/// Time limits of an exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest silence, as `500ms`, `30s` or `2m`.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub idle: Option<Duration>,
    /// The longest exchange as a whole.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub total: Option<Duration>,
}

/// When a turn that failed is asked again, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// How many times at most, after the first attempt: 1 to 10.
    #[schemars(range(min = 1, max = 10))]
    pub most: u32,
    /// Classes of failure that are worth another attempt.
    pub on: OneOrMore,
    /// The longest wait before an attempt, as `5s`; a provider that asks for more is not asked again.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub wait_at_most: Option<Duration>,
}

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it does, for the model.
    pub description: String,
    /// The JSON Schema of its arguments; absent for a tool that takes free text.
    #[serde(default)]
    pub parameters: Option<Value>,
    /// Whether the provider must hold the arguments to the schema.
    #[serde(default)]
    pub strict: bool,
    /// A custom tool takes free text instead of JSON.
    #[serde(default)]
    pub custom: bool,
}

/// Sampling and tool settings. What is absent is not sent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub max_output_tokens: Option<u64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    /// The most built-in and function calls in one answer.
    pub max_tool_calls: Option<u64>,
    /// `none`, `minimal`, `low`, `medium`, `high`, …
    pub reasoning_effort: Option<String>,
    pub service_tier: Option<String>,
    /// Whether the provider keeps the response; where absent, only a stored conversation is kept.
    pub store: Option<bool>,
    /// Whether the request is answered at once and the response asked for until it is finished.
    pub background: Option<bool>,
    /// `low`, `medium`, `high`.
    pub verbosity: Option<String>,
}

/// Which tools the model may or must call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    Auto,
    None,
    Required,
    /// This tool and no other.
    Tool(String),
}

/// Structured output.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    JsonSchema(SchemaFormat),
}

/// Output held to a JSON Schema.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaFormat {
    pub name: String,
    pub schema: Value,
    #[serde(default = "yes")]
    pub strict: bool,
}

/// One user input or set of tool results, and what the model's answer must be.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// What the user says. Either this or `results`.
    #[serde(default)]
    pub user: Option<String>,
    /// Words of deterministic filler put before the user's text, for big prompts.
    #[serde(default)]
    pub filler_words: u64,
    /// Input items (messages) in the wire form of the dialect, put before what the user says.
    #[serde(default)]
    pub wire_items: Vec<Value>,
    /// What each tool returns to the calls of the turn before, by tool name.
    #[serde(default)]
    pub results: IndexMap<String, Value>,
    /// How long the user or the tools take before this turn, as `2s`; only `load` waits.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub think: Option<Duration>,
    /// What must be true of the answer.
    #[serde(default)]
    pub expect: Expect,
}

/// What must be true of an answer. What is absent is not checked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Exactly these calls, in any order; `[]` for none.
    pub calls: Option<Vec<CallExpectation>>,
    /// The visible text.
    pub text: Option<Matcher>,
    /// Why the turn ended.
    pub stop: Option<StopWord>,
    /// Token counts.
    pub usage: Option<UsageExpectation>,
    /// How many events of a streamed answer carry output: more than one where it is sent as it is made.
    pub output_events: Option<Range>,
    /// The service tier that the provider says it used.
    pub service_tier: Option<String>,
    /// The failure class, or several of which any will do; a turn without it must not fail.
    pub failure: Option<OneOrMore>,
    /// Why signing in failed, where no request left: a word of docs/aws-credentials.md.
    pub cause: Option<String>,
    /// The provider's own error code, or several of which any will do.
    pub code: Option<OneOrMore>,
    /// The field the provider blames for the error.
    pub param: Option<String>,
    /// Whether the provider says how long to wait before the next try.
    pub retry_after: Option<bool>,
    /// Whether a request left at all.
    pub sent: Option<bool>,
    /// No call id of this answer was used before in the conversation.
    pub fresh_call_ids: Option<bool>,
    /// What must be true of the first attempt, where `retries` allows another.
    pub first: Option<FirstExpectation>,
}

/// What must be true of the first attempt of a turn that may be asked again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstExpectation {
    /// The failure class, or several of which any will do.
    pub failure: OneOrMore,
    /// Whether the provider says how long to wait.
    #[serde(default)]
    pub retry_after: Option<bool>,
}

/// One expected call.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallExpectation {
    /// The tool's name.
    pub name: String,
    /// Single arguments, by name; others may be there too.
    #[serde(default)]
    pub arguments: IndexMap<String, Matcher>,
    /// The arguments as a whole, equal as JSON.
    #[serde(default)]
    pub arguments_equal: Option<Value>,
    /// The arguments as a whole, valid by a JSON Schema (the tool's own always applies when strict).
    #[serde(default)]
    pub arguments_schema: Option<Value>,
    /// The input of a custom tool.
    #[serde(default)]
    pub input: Option<Matcher>,
}

/// A condition on one value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Matcher {
    /// Equal as JSON.
    Equals(Value),
    /// A regular expression found anywhere in the text.
    Matches(String),
    /// This text found anywhere in it.
    Contains(String),
    /// Valid by this JSON Schema; text is parsed as JSON first.
    Schema(Value),
}

/// Why a turn ended, as written in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopWord {
    End,
    ToolCalls,
    Length,
    ContentFilter,
    Guardrail,
}

/// Token counts, each as an inclusive range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UsageExpectation {
    pub input: Option<Range>,
    pub output: Option<Range>,
    pub cached: Option<Range>,
    pub reasoning: Option<Range>,
}

/// An inclusive range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    pub min: Option<u64>,
    pub max: Option<u64>,
}

fn yes() -> bool {
    true
}

/// The longest duration that anybody can mean.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `500ms`, `30s` or `2m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a duration: write `500ms`, `30s` or `2m`"))?;
    let span = match unit.trim() {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => {
            return Err(format!(
                "`{text}` is not a duration: write `500ms`, `30s` or `2m`"
            ));
        }
    };
    if span.is_zero() || span > LONGEST {
        return Err(format!(
            "`{text}` must be more than nothing and at most a day"
        ));
    }
    Ok(span)
}

fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    text.map(|text| parse_duration(&text).map_err(serde::de::Error::custom))
        .transpose()
}
