//! The plan of a run: scenarios × targets × regions × repeats, in a stable order, and which of them
//! apply.
//!
//! Core. Knows providers as rows of the catalog only.

pub mod dated;
pub mod shard;

use crate::catalog::provider::{Model, Provider, ProviderAuth, glob};
use crate::dialect::Dialect;
use crate::dialect::agentcore::mapping::Mapping;
use crate::scenario::model::{CredentialState, ModelState, RegionState, RouteState, Scenario};
use crate::target::model::{Auth, Guardrail};

/// A scenario that will run.
#[derive(Debug, Clone)]
pub struct PlannedScenario {
    pub scenario: Scenario,
    /// SHA-256 of its meaning, hexadecimal.
    pub digest: String,
    /// `built in`, or the file.
    pub origin: String,
}

/// A target in one region: a column of the matrix.
#[derive(Debug, Clone)]
pub struct PlannedTarget {
    pub name: String,
    pub provider: Provider,
    pub dialect: Dialect,
    pub model: String,
    /// `None` where the provider has no regions, or where nothing names one.
    pub region: Option<String>,
    pub route: Route,
    pub auth: Option<Auth>,
    pub headers: Vec<(String, String)>,
    /// The contract of a managed agent; its default for everything else.
    pub agent: Mapping,
    /// Which variable or profile named the endpoint, where one did.
    pub endpoint_from: Option<String>,
    /// What is known before anything is sent, and probably is not meant.
    pub warnings: Vec<String>,
    pub guardrail: Option<Guardrail>,
    /// Whether a built-in mock serves it, which can be told to misbehave.
    pub mocked: bool,
    /// Faults that its mock has no words for.
    pub unknown_faults: Vec<String>,
}

/// Where requests go, in the parts that a scenario may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Scheme, host and whatever comes before the base path; no slash at the end.
    pub origin: String,
    /// `/v1`; empty where it is not known.
    pub base_path: String,
    /// The other base path of the provider, which does not serve this model.
    pub wrong_base_path: Option<String>,
    /// `/responses`; may hold `{model}` and parts such as `{-stream}`, as the provider's row says.
    pub path: String,
    /// What stands after the `?`, encoded; empty where nothing does.
    pub query: String,
}

impl Route {
    /// The URL of a request for this model.
    pub fn url(&self, model: &str, stream: bool) -> String {
        let mut path = String::with_capacity(self.path.len() + model.len());
        let mut rest = self.path.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            path.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            match name {
                "model" => path.push_str(&percent_encoded(model)),
                // `-stream` and the like.
                streamed if stream => path.push_str(streamed),
                _ => {}
            }
            rest = after;
        }
        path.push_str(rest);
        let url = format!("{}{}{path}", self.origin, self.base_path);
        // A provider's own path may have a query already.
        match (self.query.as_str(), url.contains('?')) {
            ("", _) => url,
            (query, true) => format!("{url}&{query}"),
            (query, false) => format!("{url}?{query}"),
        }
    }

    /// The route of one thing below this one: a stored response by its id.
    pub fn below(&self, id: &str) -> Route {
        Route {
            path: format!("{}/{}", self.path, percent_encoded(id)),
            ..self.clone()
        }
    }

    /// The URL of another path of the provider, written as in its row's `dialects`.
    pub fn url_of(&self, path: &str, model: &str) -> String {
        let (base_path, path) = match path.strip_prefix("{origin}") {
            Some(path) => (String::new(), path),
            None => (self.base_path.clone(), path),
        };
        Route {
            base_path,
            path: path.to_owned(),
            ..self.clone()
        }
        .url(model, false)
    }

    /// The base URL, as SDKs take it.
    pub fn base_url(&self) -> String {
        format!("{}{}", self.origin, self.base_path)
    }

    /// The same route to this endpoint of a managed agent.
    pub fn with_qualifier(&self, qualifier: &str) -> Route {
        Route {
            path: self
                .path
                .replace("{qualifier}", &percent_encoded(qualifier)),
            ..self.clone()
        }
    }

    /// The same route with a path prefix after the host, before everything else.
    pub fn with_prefix(&self, prefix: &str) -> Route {
        let host_end = self
            .origin
            .find("://")
            .map(|at| at + 3)
            .and_then(|from| self.origin[from..].find('/').map(|at| from + at))
            .unwrap_or(self.origin.len());
        let (host, rest) = self.origin.split_at(host_end);
        Route {
            origin: format!("{host}{prefix}{rest}"),
            ..self.clone()
        }
    }

    /// The same route at an address of this machine where nobody listens: port 1 (tcpmux), which is in
    /// nobody's use and not among the ports that a program is given.
    pub fn nowhere(&self) -> Route {
        Route {
            origin: "http://127.0.0.1:1".to_owned(),
            ..self.clone()
        }
    }

    /// The same route over the base path that does not serve the model.
    pub fn wrong(&self) -> Option<Route> {
        Some(Route {
            base_path: self.wrong_base_path.clone()?,
            ..self.clone()
        })
    }
}

/// A text as one segment of a path: everything but unreserved characters is encoded (RFC 3986,
/// section 2.3), as AWS SDKs write a model id.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Works out where a target's requests go.
///
/// `endpoint` replaces the provider's origin and base path; a base path of the provider at its end
/// is recognised, so that the other one can still be asked. Errors say what is missing.
pub fn route(
    provider: &Provider,
    model: Option<&Model>,
    dialect_word: &str,
    region: Option<&str>,
    endpoint: Option<&str>,
) -> Result<Route, String> {
    let path = provider
        .dialects
        .get(dialect_word)
        .ok_or_else(|| format!("provider `{}` has no dialect `{dialect_word}`", provider.id))?
        .clone();
    let own = model
        .and_then(|model| model.base_path.clone())
        .or_else(|| provider.base_paths.first().cloned())
        .unwrap_or_default();
    let fill = |text: &str| text.replace("{region}", region.unwrap_or("no-region"));
    let (origin, base_path) = match (endpoint, provider.origin_in(region)) {
        (Some(endpoint), _) => {
            let endpoint = fill(endpoint.trim_end_matches('/'));
            let known = provider
                .base_paths
                .iter()
                .filter(|base| endpoint.ends_with(base.as_str()))
                .max_by_key(|base| base.len());
            match known {
                Some(base) => (
                    endpoint[..endpoint.len() - base.len()].to_owned(),
                    base.clone(),
                ),
                // An origin and nothing else: what the provider's own would be followed by.
                None if provider.endpoint_is_origin || !has_path(&endpoint) => (endpoint, own),
                None => (endpoint, String::new()),
            }
        }
        (None, Some(origin)) => (fill(origin), own),
        (None, None) => {
            return Err(format!(
                "provider `{}` has no address of its own: name an `endpoint`",
                provider.id
            ));
        }
    };
    let wrong_base_path = if base_path.is_empty() {
        None
    } else {
        provider
            .base_paths
            .iter()
            .find(|other| **other != base_path)
            .or(provider.wrong_base_path.as_ref())
            .cloned()
    };
    if let Some(path) = path.strip_prefix("{origin}") {
        return Ok(Route {
            origin,
            base_path: String::new(),
            wrong_base_path: provider.wrong_base_path.clone(),
            path: path.to_owned(),
            query: String::new(),
        });
    }
    Ok(Route {
        origin,
        base_path,
        wrong_base_path,
        path,
        query: String::new(),
    })
}

/// An endpoint that is everything before the base path, as the base URL that [`route`] takes.
pub fn endpoint_of_origin(provider: &Provider, model: Option<&Model>, origin: &str) -> String {
    let origin = origin.trim_end_matches('/');
    if provider
        .base_paths
        .iter()
        .any(|base| origin.ends_with(base.as_str()))
    {
        return origin.to_owned();
    }
    let own = model
        .and_then(|model| model.base_path.as_deref())
        .or(provider.base_paths.first().map(String::as_str))
        .unwrap_or_default();
    format!("{origin}{own}")
}

/// Query parameters as they stand in a URL: encoded, in this order.
pub fn query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    pairs.join("&")
}

/// Whether something stands after the host.
fn has_path(url: &str) -> bool {
    url.split_once("://")
        .is_some_and(|(_, rest)| rest.contains('/'))
}

/// Whether a scenario applies to a target; the reason where it does not.
pub fn applies(scenario: &Scenario, target: &PlannedTarget) -> Result<(), String> {
    let only = &scenario.only;
    let provider = &target.provider;
    if !only.providers.is_empty() && !only.providers.contains(&provider.id) {
        return Err(format!("only for {}", only.providers.join(", ")));
    }
    if only.not_providers.contains(&provider.id) {
        return Err(format!("not for {}", only.not_providers.join(", ")));
    }
    let dialect = target.dialect.word();
    if !only.dialects.is_empty() && !only.dialects.iter().any(|one| one == dialect) {
        return Err(format!("only for the dialect {}", only.dialects.join(", ")));
    }
    if let Some(reason) = target.dialect.cannot(scenario) {
        return Err(reason);
    }
    if target.guardrail.is_some() && !provider.guardrails.contains_key(dialect) {
        return Err(format!(
            "the target names a guardrail, and the dialect {dialect} of {} does not apply any",
            provider.id
        ));
    }
    if only.guardrail && target.guardrail.is_none() {
        return Err("only for targets that name a guardrail".to_owned());
    }
    if !only.models.is_empty() && !only.models.iter().any(|one| glob(one, &target.model)) {
        return Err(format!("only for the models {}", only.models.join(", ")));
    }

    let given = &scenario.given;
    if let Some(fault) = &given.fault
        && !target.mocked
    {
        return Err(format!(
            "needs an endpoint that misbehaves on request (fault `{fault}`): mocks only"
        ));
    }
    if let Some(fault) = &given.fault
        && target.unknown_faults.contains(fault)
    {
        return Err(format!(
            "the mock of {} has no words for the fault `{fault}`",
            provider.id
        ));
    }
    let signs = signs(target);
    let has_key = has_key(target);
    let has_token = provider
        .auth
        .iter()
        .any(|way| matches!(way, ProviderAuth::BearerEnv(_)));
    match given.credentials {
        Some(CredentialState::Denied | CredentialState::Expired) if !target.mocked => {
            return Err("needs a principal that only the mocks have".to_owned());
        }
        Some(state) if state.needs_mock() && !target.mocked => {
            return Err(
                "needs an SSO portal or STS that refuses on request: mocks only".to_owned(),
            );
        }
        Some(state) if state.is_aws() && !signs => {
            return Err("this target does not sign in with AWS credentials".to_owned());
        }
        Some(CredentialState::Expired) if !signs && !has_token => {
            return Err("a key in a header of its own has no end".to_owned());
        }
        Some(_) if !signs && !has_key => {
            return Err("this target takes no credentials".to_owned());
        }
        _ => {}
    }
    if given.clock.is_some() && !signs {
        return Err("this target signs no requests".to_owned());
    }
    if given.region == Some(RegionState::None) && provider.regions.is_empty() {
        return Err("this provider has no regions".to_owned());
    }
    if given.region == Some(RegionState::None) && !signs {
        return Err("this target signs no requests, so it needs no region to sign for".to_owned());
    }
    if given.route == Some(RouteState::Wrong) && target.route.wrong_base_path.is_none() {
        return Err("this target has only one route".to_owned());
    }
    match given.model {
        Some(ModelState::Absent) if provider.absent_model.is_none() => {
            Err("no model is known to be absent at this provider".to_owned())
        }
        Some(ModelState::RuntimeId) if provider.runtime_id.is_none() => {
            Err("this provider has no other surface with ids of its own".to_owned())
        }
        _ => Ok(()),
    }
}

fn signs(target: &PlannedTarget) -> bool {
    match &target.auth {
        Some(Auth::AwsChain | Auth::AwsProfile(_)) => true,
        Some(_) => target.provider.signing_name.is_some(),
        None => target.provider.auth.contains(&ProviderAuth::AwsChain),
    }
}

fn has_key(target: &PlannedTarget) -> bool {
    match &target.auth {
        Some(
            Auth::BearerEnv(_) | Auth::ApiKeyEnv(_) | Auth::KeyEnv(_) | Auth::BearerCommand(_),
        ) => true,
        Some(Auth::None) => false,
        _ => target
            .provider
            .auth
            .iter()
            .any(|one| one.variable().is_some()),
    }
}

/// The model id that a scenario asks a target for.
pub fn model<'a>(scenario: &Scenario, target: &'a PlannedTarget) -> &'a str {
    let other = match scenario.given.model {
        Some(ModelState::Absent) => target.provider.absent_model.as_deref(),
        Some(ModelState::RuntimeId) => target.provider.runtime_id.as_deref(),
        None => None,
    };
    other.unwrap_or(&target.model)
}

/// The route that a scenario asks. A mock is told by path prefixes what to answer and how to misbehave.
pub fn scenario_route(scenario: &Scenario, target: &PlannedTarget) -> Route {
    let given = &scenario.given;
    let mut route = match given.route {
        Some(RouteState::Wrong) => target.route.wrong().unwrap_or_else(|| target.route.clone()),
        Some(RouteState::Nowhere) => return target.route.nowhere(),
        None => target.route.clone(),
    };
    if target.mocked {
        if let Some(script) = &given.script {
            route = route.with_prefix(&format!("/script/{script}"));
        }
        if let Some(fault) = &given.fault {
            route = route.with_prefix(&format!("/fault/{fault}"));
        }
    }
    route
}

/// All cells, repeat by repeat, scenario by scenario, with the targets side by side, so that the time
/// of day favours none of them. Pairs are indexes of a scenario and a target; the repeat counts from 1.
pub fn cells(scenarios: usize, targets: usize, repeat: u32) -> Vec<(usize, usize, u32)> {
    let mut cells = Vec::with_capacity(scenarios * targets * repeat as usize);
    for round in 1..=repeat {
        for scenario in 0..scenarios {
            for target in 0..targets {
                cells.push((scenario, target, round));
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use crate::catalog::shipped;
    use crate::plan::{cells, endpoint_of_origin, query, route};

    fn mantle(model: &str, endpoint: Option<&str>) -> crate::plan::Route {
        let catalog = shipped();
        let provider = catalog.provider("bedrock-mantle").expect("in the catalog");
        route(
            provider,
            catalog.model("bedrock-mantle", model),
            "responses",
            Some("us-east-1"),
            endpoint,
        )
        .expect("a route")
    }

    #[test]
    fn the_family_of_the_model_chooses_the_base_path() {
        assert_eq!(
            mantle("openai.gpt-5.5", None).url("m", true),
            "https://bedrock-mantle.us-east-1.api.aws/openai/v1/responses"
        );
        assert_eq!(
            mantle("openai.gpt-oss-120b", None).url("m", true),
            "https://bedrock-mantle.us-east-1.api.aws/v1/responses"
        );
        assert_eq!(
            mantle("openai.gpt-5.5", None)
                .wrong()
                .expect("another")
                .url("m", true),
            "https://bedrock-mantle.us-east-1.api.aws/v1/responses"
        );
    }

    #[test]
    fn an_endpoint_keeps_its_base_path() {
        let own = mantle(
            "openai.gpt-5.5",
            Some("http://127.0.0.1:1/x/{region}/openai/v1/"),
        );
        assert_eq!(
            own.url("m", true),
            "http://127.0.0.1:1/x/us-east-1/openai/v1/responses"
        );
        assert_eq!(own.wrong_base_path.as_deref(), Some("/v1"));
        assert_eq!(
            own.with_prefix("/fault/stall").url("m", true),
            "http://127.0.0.1:1/fault/stall/x/us-east-1/openai/v1/responses"
        );
        let odd = mantle("openai.gpt-5.5", Some("http://127.0.0.1:1/gateway"));
        assert_eq!(odd.url("m", true), "http://127.0.0.1:1/gateway/responses");
        assert_eq!(odd.wrong_base_path, None);
        let bare = mantle("openai.gpt-5.5", Some("https://vpce-1.example/"));
        assert_eq!(
            bare.url("m", true),
            "https://vpce-1.example/openai/v1/responses"
        );
    }

    #[test]
    fn another_path_keeps_origin_and_query() {
        let mut own = mantle("openai.gpt-5.5", None);
        own.query = query([("api version", "a&b=c"), ("x", "")]);
        assert_eq!(
            own.url_of("{origin}/v1/models/{model}", "a/b"),
            "https://bedrock-mantle.us-east-1.api.aws/v1/models/a%2Fb?api%20version=a%26b%3Dc&x="
        );
        assert_eq!(
            own.url_of("/models", "m"),
            "https://bedrock-mantle.us-east-1.api.aws/openai/v1/models?api%20version=a%26b%3Dc&x="
        );
    }

    #[test]
    fn a_query_is_added_to_one_that_is_there() {
        let mut own = mantle("openai.gpt-5.5", None);
        own.path = "/responses?api-version=1".to_owned();
        own.query = query([("x", "y")]);
        assert!(own.url("m", true).ends_with("/responses?api-version=1&x=y"));
    }

    #[test]
    fn an_origin_gets_the_base_path_of_the_model() {
        let catalog = shipped();
        let provider = catalog.provider("bedrock-mantle").expect("in the catalog");
        let model = catalog.model("bedrock-mantle", "openai.gpt-oss-20b");
        for (origin, base_url) in [
            ("http://h/x/", "http://h/x/v1"),
            ("http://h/x/openai/v1", "http://h/x/openai/v1"),
        ] {
            assert_eq!(endpoint_of_origin(provider, model, origin), base_url);
        }
        let runtime = catalog.provider("bedrock-runtime").expect("in the catalog");
        let china = route(runtime, None, "converse", Some("cn-north-1"), None).expect("a route");
        assert_eq!(
            china.origin,
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn a_template_is_filled_with_the_model_and_the_way_it_answers() {
        let catalog = shipped();
        let provider = catalog.provider("bedrock-runtime").expect("in the catalog");
        let own = |endpoint: Option<&str>| {
            route(provider, None, "converse", Some("us-east-2"), endpoint).expect("a route")
        };
        assert_eq!(
            own(None).url("us.openai.gpt-5.6-sol", false),
            "https://bedrock-runtime.us-east-2.amazonaws.com/model/us.openai.gpt-5.6-sol/converse"
        );
        assert_eq!(
            own(Some("https://vpce-1.example/openai/v1"))
                .url("arn:aws:bedrock:x:1:inference-profile/y", true),
            "https://vpce-1.example/model/arn%3Aaws%3Abedrock%3Ax%3A1%3Ainference-profile%2Fy/converse-stream"
        );
        assert_eq!(
            own(None).wrong().expect("another").url("m", true),
            "https://bedrock-runtime.us-east-2.amazonaws.com/v1/model/m/converse-stream"
        );
    }

    #[test]
    fn each_part_of_a_template_is_filled() {
        let catalog = shipped();
        let provider = catalog.provider("bedrock-runtime").expect("in the catalog");
        let invoke = route(provider, None, "invoke", Some("us-gov-west-1"), None).expect("a route");
        let start = "https://bedrock-runtime.us-gov-west-1.amazonaws.com/model";
        assert_eq!(
            invoke.url("openai.gpt-oss-20b-1:0", false),
            format!("{start}/openai.gpt-oss-20b-1%3A0/invoke")
        );
        assert_eq!(
            invoke.url("us-gov.openai.gpt-5.6-sol", true),
            format!("{start}/us-gov.openai.gpt-5.6-sol/invoke-with-response-stream")
        );
    }

    #[test]
    fn targets_stand_side_by_side() {
        assert_eq!(cells(2, 2, 1), [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)]);
        assert_eq!(cells(1, 1, 3).len(), 3);
    }
}
