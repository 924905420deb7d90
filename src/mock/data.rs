//! The mocked providers as data: what they serve, where, for whom, and in which words they refuse.
//!
//! Core: file texts in, values out. A provider is a few files of `mocks/`; this room's code must
//! never name one.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::mock::aws::AwsSignIn;
use crate::mock::fault_file;
use crate::mock::files::Files;
use crate::mock::gap_fault::GapFault;
use crate::mock::http_fault::HttpFault;
use crate::mock::mutate::WireFault;
use crate::mock::needs;
use crate::mock::refusal::Refusal;
use crate::mock::script::Script;

/// Everything a mock server knows.
#[derive(Debug, Clone)]
pub struct MockData {
    pub providers: Vec<Provider>,
    pub principals: Vec<Principal>,
    pub scripts: IndexMap<String, Script>,
    pub http_faults: Vec<HttpFault>,
    /// Differences seen in the wild.
    pub gap_faults: Vec<GapFault>,
    /// Faults and legal variants of a Responses stream.
    pub wire_faults: Vec<WireFault>,
    /// The same of a Chat Completions stream.
    pub chat_faults: Vec<WireFault>,
    /// The same of a Converse stream.
    pub converse_faults: Vec<WireFault>,
    /// The same of a managed agent's stream.
    pub agentcore_faults: Vec<WireFault>,
    /// The same of an InvokeModel stream.
    pub invoke_faults: Vec<WireFault>,
    /// The AWS services behind a sign-in.
    pub aws: AwsSignIn,
}

/// A wire API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Responses,
    Chat,
    Converse,
    /// Invocations of a managed agent.
    Agentcore,
    /// InvokeModel with the bodies of Chat Completions.
    Invoke,
}

/// One mocked provider.
#[derive(Debug, Clone)]
pub struct Provider {
    pub manner: Manner,
    pub regions: Vec<Region>,
    pub models: Vec<Model>,
    /// By id.
    pub errors: IndexMap<String, ErrorBody>,
}

/// Somebody who may call, or not. All secrets are made up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    pub name: String,
    /// What an AccessDenied message calls them.
    pub arn: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Temporary credentials have one, and it must come with the request.
    #[serde(default)]
    pub session_token: Option<String>,
    pub bearer: String,
    /// Whether the provider's policy lets them call a model.
    pub allowed: bool,
    /// Whether the bearer key and the session are past their end.
    #[serde(default)]
    pub expired: bool,
}

/// How a provider behaves where providers differ (`provider.yaml`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// Also the first part of its address on the mock.
    pub name: String,
    /// Where the API starts; the first one is what a client is told.
    pub base_paths: Vec<String>,
    /// Base paths with a list of models.
    pub models_listed_on: Vec<String>,
    /// Names a signature may be scoped to. None: only bearer keys.
    pub signing_names: Vec<String>,
    /// Headers that are lost before the signature is checked.
    pub headers_lost: Vec<String>,
    pub ids: Ids,
    pub request_id_header: String,
    /// Headers of every answer.
    pub headers: IndexMap<String, String>,
    pub error_source: String,
    pub max_tool_calls: Obedience,
    /// Keys that a response object has here and not elsewhere.
    pub response_extras: Map<String, Value>,
    pub chat: ChatManner,
    /// A header that takes a key in place of `Authorization`.
    #[serde(default)]
    pub key_header: Option<String>,
    /// The older surface, where each request tells the date of the API it means.
    #[serde(default)]
    pub dated: Option<Dated>,
    /// What a content filter says on each answer.
    #[serde(default)]
    pub content_filter: Option<ContentFilter>,
    /// Whether usage tells `cache_write_tokens`.
    pub usage_cache_write: bool,
    /// Whether a listed model tells its `status`.
    pub model_status: bool,
    /// Namespaces that a request must not define.
    pub reserved_namespaces: Vec<String>,
    /// Answer to a WebSocket upgrade; where absent it is a wrong method.
    pub web_socket_status: Option<u16>,
    /// Whether `/model/{id}/converse`, `/invoke` and their streams are served, beside the base paths.
    #[serde(default)]
    pub converse: bool,
    /// How managed agents are invoked, where there are such.
    #[serde(default)]
    pub agents: Option<AgentManner>,
    /// Application inference profiles: the last part of their ARN, and the model behind it.
    #[serde(default)]
    pub application_profiles: IndexMap<String, String>,
    /// Guardrails that requests can name. Where there are none, nothing looks for one.
    #[serde(default)]
    pub guardrails: Vec<Guardrail>,
    /// Models that are there, but only under the id of an inference profile.
    #[serde(default)]
    pub profile_only: Vec<String>,
    /// The status that a request with `background: true` is answered with; where absent it is refused.
    #[serde(default)]
    pub background_status: Option<String>,
    /// Which projects a request may be for; any, or none that matters, where absent.
    #[serde(default)]
    pub projects: Option<Projects>,
    /// Types of input item it takes.
    pub input_items: Vec<String>,
    pub source: String,
}

/// How managed agents are invoked: `/runtimes/{id}/invocations`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentManner {
    /// The header with the id of the session, in lower case.
    pub session_header: String,
    /// The fewest and the most characters of such an id.
    pub session_length: (usize, usize),
    /// The key of the payload that holds the user's words.
    pub prompt: String,
    /// Endpoints that each runtime has; the first where a request names none.
    pub qualifiers: Vec<String>,
    pub source: String,
}

/// The projects that are there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projects {
    /// The header that names one, in lower case.
    pub header: String,
    /// The names it may hold, with `{region}`.
    pub there_are: Vec<String>,
    pub source: String,
}

/// A guardrail with one policy: a word that must not be said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    pub id: String,
    pub versions: Vec<String>,
    /// The word.
    pub blocks: String,
    /// What is said in place of a prompt's answer, and of an answer.
    pub instead_of_input: String,
    pub instead_of_output: String,
    pub source: String,
}

/// What is a provider's own in Chat Completions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatManner {
    pub id: IdShape,
    /// Whether chunks carry random letters that hide how long their text is, unless the request
    /// turns that off.
    pub obfuscation: bool,
    /// Whether answers tell the service tier.
    pub service_tier: bool,
    pub source: String,
}

/// Paths with a date in the query: `BASE/responses?api-version=2025-04-01-preview`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dated {
    /// Where they start; a model can also be named by `/deployments/NAME` after it.
    pub base_path: String,
    /// The query parameter that holds the date.
    pub parameter: String,
    pub source: String,
}

/// JSON that a content filter adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentFilter {
    /// About the prompt.
    pub prompt: Value,
    /// About a piece of the answer.
    pub passed: Value,
    /// About the piece at which an answer was cut off.
    pub blocked: Value,
    pub source: String,
}

/// How ids look.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    pub response: IdShape,
    pub request: IdShape,
    /// Letters after the prefix of an item's id.
    pub item_length: usize,
    /// How encrypted reasoning begins.
    pub encrypted_prefix: String,
    pub source: String,
}

/// A prefix and random letters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdShape {
    pub prefix: String,
    pub letters: Letters,
    pub length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Letters {
    Hex,
    Base32,
    Alphanumeric,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obedience {
    Honoured,
    Ignored,
}

/// A region and how quick it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Absent for a provider whose address has none.
    pub region: Option<String>,
    pub ttft_ms: Spread,
    pub between_ms: Spread,
    pub source: String,
}

/// A log-normal distribution, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    pub median: f64,
    pub p95: f64,
}

/// A model with all that its kind says.
#[derive(Debug, Clone)]
pub struct Model {
    /// What a request calls it; the name of a deployment, where a provider has those.
    pub id: String,
    /// What an answer of Chat Completions calls it.
    pub told: String,
    /// Where it may be called; all regions where empty.
    pub regions: Vec<String>,
    /// Why it is listed and cannot be called, where that is so.
    pub unavailable: Option<String>,
    pub kind: ModelKind,
}

/// What models of a kind have in common.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelKind {
    /// The only base path that serves it; empty where there is only Converse.
    pub base_path: String,
    /// Whether it is served by Converse.
    #[serde(default)]
    pub converse: bool,
    /// Whether it is a managed agent and no model.
    #[serde(default)]
    pub agent: bool,
    /// Whether it is served by InvokeModel.
    #[serde(default)]
    pub invoke: bool,
    /// Where Converse takes its reasoning effort: keys joined by a dot, two at most.
    #[serde(default)]
    pub effort_field: Option<String>,
    /// Whether Converse shows its reasoning as text instead of sealed.
    #[serde(default)]
    pub readable_reasoning: bool,
    pub reasoning: bool,
    /// Most input tokens.
    pub context: u64,
    /// Types of tool it takes, in the order its refusal names them.
    pub tools: Vec<String>,
    pub service_tiers: Vec<String>,
    pub tool_choice: ToolChoices,
    pub sampling: Sampling,
    pub call_ids: CallIds,
    /// Whether it answers on the Responses API.
    #[serde(default = "yes")]
    pub responses: bool,
    /// How it answers on Chat Completions, if it does.
    #[serde(default)]
    pub chat: Option<ChatKind>,
    /// Whether the refusal of an unknown `previous_response_id` names it.
    #[serde(default)]
    pub stored_id_in_message: bool,
    pub source: String,
}

fn yes() -> bool {
    true
}

/// What models of a kind have in common on Chat Completions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatKind {
    /// Types of tool it takes.
    pub tools: Vec<String>,
    /// The older name of `max_completion_tokens`.
    pub max_tokens: Taken,
    /// Function tools together with a `reasoning_effort` other than `none`.
    pub tools_with_reasoning: Taken,
    /// Whether its reasoning is sent, as `reasoning`. The usage then has no details of the output.
    pub shows_reasoning: bool,
    pub source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    Taken,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoices {
    Any,
    /// Anything but `auto` is refused, and a named tool is ignored.
    AutoOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// `temperature` and `top_p` only with their default of 1.
    Fixed,
    Free,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallIds {
    Random,
    /// `call_1`, `call_2`, … starting again in each response.
    Counter,
}

/// A refusal, word for word.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    pub id: String,
    pub status: u16,
    /// On top of the provider's headers; JSON is the content type unless one is here.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// With `{{word}}` for what is filled in when it is sent.
    pub body: String,
    pub evidence: Evidence,
    pub source: String,
}

/// How sure we are of a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Somebody recorded it.
    Observed,
    /// Part of it was recorded; the source says what was not.
    Partly,
    /// The vendor writes it.
    Documented,
    /// A stand-in: no copy was found.
    Assumed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsFile {
    kinds: IndexMap<String, ModelKind>,
    models: Vec<ModelRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRow {
    id: String,
    kind: String,
    /// The model behind a deployment.
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    unavailable: Option<String>,
    #[serde(rename = "source")]
    _source: String,
}

impl MockData {
    /// The data that ships with the tool, read from what the build made of its files.
    pub fn shipped() -> Result<MockData, String> {
        MockData::of(&Files::shipped())
    }

    /// Data from files by their path below `mocks/`, with `/` between the parts. Each folder with a
    /// `provider.yaml` is a provider. The error names the file.
    pub fn read(files: &BTreeMap<String, String>) -> Result<MockData, String> {
        MockData::of(&Files::written(files))
    }

    fn of(files: &Files<'_>) -> Result<MockData, String> {
        let mut providers = Vec::new();
        // The reference of most comparisons comes first, so that lists read in that order.
        let mut names: Vec<&str> = files
            .paths()
            .filter_map(|path| path.strip_suffix("/provider.yaml"))
            .collect();
        names.sort_by_key(|name| std::cmp::Reverse(*name));
        for name in names {
            providers.push(read_provider(files, name)?);
        }
        let mut scripts = IndexMap::new();
        for path in files.paths().filter(|path| path.starts_with("scripts/")) {
            let script: Script = files.parse(path)?;
            let name = script.name.clone();
            if scripts.insert(name.clone(), script).is_some() {
                return Err(format!("{path}: a second script named `{name}`"));
            }
        }
        let wire = |path: &str| {
            fault_file::named_once(files.parse(path)?).map_err(|error| format!("{path}: {error}"))
        };
        let mut wire_faults = wire("faults/wire.yaml")?;
        wire_faults.extend(wire("faults/variants.yaml")?);
        let mut chat_faults = wire("faults/chat.yaml")?;
        chat_faults.extend(wire("faults/chat-variants.yaml")?);
        let mut converse_faults = wire("faults/converse.yaml")?;
        converse_faults.extend(wire("faults/converse-variants.yaml")?);
        let mut agentcore_faults = wire("faults/agentcore.yaml")?;
        agentcore_faults.extend(wire("faults/agentcore-variants.yaml")?);
        let mut invoke_faults = wire("faults/invoke.yaml")?;
        invoke_faults.extend(wire("faults/invoke-variants.yaml")?);
        Ok(MockData {
            providers,
            principals: files.parse("principals.yaml")?,
            scripts,
            http_faults: files.parse("faults/http.yaml")?,
            gap_faults: files.parse("faults/gaps.yaml")?,
            wire_faults,
            chat_faults,
            converse_faults,
            agentcore_faults,
            invoke_faults,
            aws: AwsSignIn::read(files)?,
        })
    }

    pub fn principals(&self) -> &[Principal] {
        &self.principals
    }

    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|one| one.manner.name == name)
    }

    /// The names of all scripts.
    pub fn script_names(&self) -> Vec<&str> {
        self.scripts.keys().map(String::as_str).collect()
    }

    /// The faults and legal variants of a stream of this API.
    pub fn stream_faults(&self, api: Api) -> &[WireFault] {
        match api {
            Api::Responses => &self.wire_faults,
            Api::Chat => &self.chat_faults,
            Api::Converse => &self.converse_faults,
            Api::Agentcore => &self.agentcore_faults,
            Api::Invoke => &self.invoke_faults,
        }
    }

    /// The names of all faults and legal variants that an answer of this API can have.
    pub fn fault_names(&self, api: Api) -> Vec<&str> {
        let http = self.http_faults.iter().map(|fault| fault.name.as_str());
        let gaps = self.gap_faults.iter().filter(|fault| fault.concerns(api));
        let wire = self.stream_faults(api).iter();
        http.chain(gaps.map(|fault| fault.name.as_str()))
            .chain(wire.map(|fault| fault.name.as_str()))
            .collect()
    }
}

impl Provider {
    pub fn region(&self, name: Option<&str>) -> Option<&Region> {
        self.regions
            .iter()
            .find(|one| one.region.as_deref() == name)
    }

    /// A model by its id, or by the ARN of the model, of an inference profile or of one of the
    /// account's own.
    pub fn model(&self, id: &str) -> Option<&Model> {
        let named = id.strip_prefix("arn:").and_then(|arn| arn.rsplit_once('/'));
        let id = match named {
            Some((kind, own)) if kind.ends_with(":application-inference-profile") => {
                self.manner.application_profiles.get(own)?
            }
            Some((kind, id))
                if kind.ends_with(":inference-profile") || kind.ends_with(":foundation-model") =>
            {
                id
            }
            _ => id,
        };
        self.models.iter().find(|model| model.id == id)
    }

    /// A model that this region serves under this id, or why not.
    pub fn find(&self, id: &str, region: Option<&str>) -> Result<&Model, Refusal> {
        let bare = id
            .rsplit_once(":foundation-model/")
            .map_or(id, |(_, id)| id);
        if self.manner.profile_only.iter().any(|one| one == bare) {
            return Err(Refusal::new("on-demand").with("model", id));
        }
        self.model(id)
            .filter(|model| model.is_in(region) && model.unavailable.is_none())
            .ok_or_else(|| Refusal::new("unknown-model").with("model", id))
    }
}

impl Model {
    pub fn is_in(&self, region: Option<&str>) -> bool {
        self.regions.is_empty()
            || region.is_some_and(|region| self.regions.iter().any(|one| one == region))
    }
}

fn read_provider(files: &Files<'_>, name: &str) -> Result<Provider, String> {
    let manner: Manner = files.parse(&format!("{name}/provider.yaml"))?;
    let regions: Vec<Region> = files.parse(&format!("{name}/regions.yaml"))?;
    let path = format!("{name}/models.yaml");
    let ModelsFile { kinds, models } = files.parse(&path)?;
    let mut whole = Vec::new();
    for row in models {
        let kind = kinds
            .get(&row.kind)
            .ok_or_else(|| format!("{path}: `{}` is of no known kind `{}`", row.id, row.kind))?;
        let beside = kind.converse && manner.converse || kind.agent && manner.agents.is_some();
        let nowhere = kind.base_path.is_empty() && beside;
        if !manner.base_paths.contains(&kind.base_path) && !nowhere {
            return Err(format!("{path}: kind `{}` is on no base path", row.kind));
        }
        let known = |name: &String| regions.iter().any(|one| one.region.as_ref() == Some(name));
        if let Some(strange) = row.regions.iter().find(|name| !known(name)) {
            return Err(format!(
                "{path}: `{}` is in no known region `{strange}`",
                row.id
            ));
        }
        whole.push(Model {
            told: row.model.unwrap_or_else(|| row.id.clone()),
            id: row.id,
            regions: row.regions,
            unavailable: row.unavailable,
            kind: kind.clone(),
        });
    }
    let rows: Vec<ErrorBody> = files.parse(&format!("{name}/errors.yaml"))?;
    let provider = Provider {
        manner,
        regions,
        models: whole,
        errors: rows.into_iter().map(|row| (row.id.clone(), row)).collect(),
    };
    needs::missing(&provider)?;
    Ok(provider)
}

#[cfg(test)]
mod tests;
