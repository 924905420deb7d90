//! The path of a request: which provider and region, which operation, and which script or fault.
//!
//! Pure. It must never look at a body.

use crate::mock::data::{Api, MockData, Provider, Region};

/// A script and a fault, each by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub script: Option<String>,
    pub fault: Option<String>,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    pub provider: &'a Provider,
    pub region: &'a Region,
    pub base_path: Option<&'a str>,
    pub operation: Operation<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    Respond,
    /// A chat completion.
    Chat,
    /// A chat completion of the deployment named in the address.
    ChatOf(&'a str),
    /// A stored response.
    Stored(&'a str),
    /// Stops the work on a response.
    Cancel(&'a str),
    /// Converse: the model id as it stands in the path, and whether the answer is streamed.
    Converse(&'a str, bool),
    /// An invocation of the managed agent whose id stands in the path.
    InvokeAgent(&'a str),
    /// InvokeModel, likewise.
    Invoke(&'a str, bool),
    ListModels,
    OneModel(&'a str),
    Unknown,
}

impl Operation<'_> {
    /// The wire API whose faults and words an answer has.
    pub fn api(self) -> Api {
        match self {
            Operation::Chat | Operation::ChatOf(_) => Api::Chat,
            Operation::Converse(..) => Api::Converse,
            Operation::InvokeAgent(_) => Api::Agentcore,
            Operation::Invoke(..) => Api::Invoke,
            _ => Api::Responses,
        }
    }
}

/// The mock does not have what the address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nowhere {
    pub what: &'static str,
    pub name: String,
    pub there_are: Vec<String>,
}

/// Takes `/fault/NAME` and `/script/NAME` off the front of a path.
pub fn take_prefixes(path: &str) -> (Selection, &str) {
    let mut selection = Selection::default();
    let mut rest = path;
    loop {
        let (place, after) = if let Some(after) = rest.strip_prefix("/fault/") {
            (&mut selection.fault, after)
        } else if let Some(after) = rest.strip_prefix("/script/") {
            (&mut selection.script, after)
        } else {
            return (selection, rest);
        };
        let end = after.find('/').unwrap_or(after.len());
        *place = Some(after[..end].to_owned());
        rest = &after[end..];
    }
}

/// The address of a provider below the origin: `/bedrock-mantle/us-east-1`.
pub fn address(provider: &str, region: Option<&str>, selection: &Selection) -> String {
    let mut path = String::new();
    let parts = [
        ("/fault/", &selection.fault),
        ("/script/", &selection.script),
    ];
    for (prefix, name) in parts {
        if let Some(name) = name {
            path.push_str(prefix);
            path.push_str(name);
        }
    }
    path.push('/');
    path.push_str(provider);
    if let Some(region) = region {
        path.push('/');
        path.push_str(region);
    }
    path
}

/// Finds the way of a path without prefixes.
pub fn find<'a>(
    data: &'a MockData,
    path: &'a str,
    query: Option<&str>,
) -> Result<Route<'a>, Nowhere> {
    let (name, rest) = first(path);
    let Some(provider) = data.provider(name) else {
        return Err(Nowhere {
            what: "provider",
            name: name.to_owned(),
            there_are: data
                .providers
                .iter()
                .map(|one| one.manner.name.clone())
                .collect(),
        });
    };
    let (region, rest) = match provider.region(None) {
        Some(region) => (region, rest),
        None => {
            let (name, rest) = first(rest);
            let region = provider.region(Some(name)).ok_or_else(|| Nowhere {
                what: "region",
                name: name.to_owned(),
                there_are: provider
                    .regions
                    .iter()
                    .filter_map(|one| one.region.clone())
                    .collect(),
            })?;
            (region, rest)
        }
    };
    if let Some(operation) = native(rest).filter(|_| provider.manner.converse) {
        return Ok(Route {
            provider,
            region,
            base_path: None,
            operation,
        });
    }
    if let Some(id) = invoked(rest).filter(|_| provider.manner.agents.is_some()) {
        return Ok(Route {
            provider,
            region,
            base_path: None,
            operation: Operation::InvokeAgent(id),
        });
    }
    let found = provider.manner.base_paths.iter().find_map(|base| {
        let after = rest.strip_prefix(base.as_str())?;
        (after.is_empty() || after.starts_with('/')).then_some((base.as_str(), after))
    });
    let unknown = Route {
        provider,
        region,
        base_path: None,
        operation: Operation::Unknown,
    };
    let Some((base, after)) = found else {
        return Ok(match dated(provider, rest, query) {
            Some(operation) => Route {
                base_path: provider.manner.base_paths.first().map(String::as_str),
                operation,
                ..unknown
            },
            None => unknown,
        });
    };
    let listed = provider
        .manner
        .models_listed_on
        .iter()
        .any(|one| one == base);
    let after = after.strip_suffix('/').unwrap_or(after);
    let operation = if after == "/responses" {
        Operation::Respond
    } else if after == "/chat/completions" {
        Operation::Chat
    } else if after == "/models" && listed {
        Operation::ListModels
    } else if let Some(operation) = after.strip_prefix("/responses/").and_then(stored) {
        operation
    } else if let Some(id) = after.strip_prefix("/models/").filter(|_| listed) {
        Operation::OneModel(id)
    } else {
        Operation::Unknown
    };
    Ok(Route {
        provider,
        region,
        base_path: Some(base),
        operation,
    })
}

/// `{id}` and `{id}/cancel`.
fn stored(path: &str) -> Option<Operation<'_>> {
    match path.split_once('/') {
        None => Some(Operation::Stored(path)),
        Some((id, "cancel")) => Some(Operation::Cancel(id)),
        Some(_) => None,
    }
}

/// `/model/{id}/converse`, `/model/{id}/invoke` and their streams.
fn native(path: &str) -> Option<Operation<'_>> {
    let (id, action) = path.strip_prefix("/model/")?.split_once('/')?;
    let operation = match action {
        "converse" => Operation::Converse(id, false),
        "converse-stream" => Operation::Converse(id, true),
        "invoke" => Operation::Invoke(id, false),
        "invoke-with-response-stream" => Operation::Invoke(id, true),
        _ => return None,
    };
    (!id.is_empty()).then_some(operation)
}

/// `/runtimes/{id}/invocations`.
fn invoked(path: &str) -> Option<&str> {
    let (id, action) = path.strip_prefix("/runtimes/")?.split_once('/')?;
    (!id.is_empty() && action == "invocations").then_some(id)
}

/// The operation of a path whose query tells the date of the API.
fn dated<'a>(provider: &Provider, path: &'a str, query: Option<&str>) -> Option<Operation<'a>> {
    let dated = provider.manner.dated.as_ref()?;
    let mut pairs = query.unwrap_or_default().split('&');
    pairs.find(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key == dated.parameter && !value.is_empty()
    })?;
    let after = path.strip_prefix(dated.base_path.as_str())?;
    if let Some(deployed) = after.strip_prefix("/deployments/") {
        let (name, after) = deployed.split_once('/')?;
        return (after == "chat/completions").then_some(Operation::ChatOf(name));
    }
    match after.strip_prefix("/responses")? {
        "" => Some(Operation::Respond),
        id => stored(id.strip_prefix('/')?),
    }
}

fn first(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    let end = path.find('/').unwrap_or(path.len());
    path.split_at(end)
}

#[cfg(test)]
mod tests {
    use crate::mock::route::*;

    #[test]
    fn prefixes_come_off_in_any_order() {
        let (selection, rest) = take_prefixes("/script/weather/fault/stall/openai/v1/responses");
        assert_eq!(selection.script.as_deref(), Some("weather"));
        assert_eq!(selection.fault.as_deref(), Some("stall"));
        assert_eq!(rest, "/openai/v1/responses");
        let there = address("openai", None, &selection);
        assert_eq!(take_prefixes(&there), (selection, "/openai"));
    }

    #[test]
    fn paths_lead_where_the_provider_says() {
        let data = MockData::shipped().expect("the shipped data");
        let operation = |path: &'static str| find(&data, path, None).map(|route| route.operation);
        assert_eq!(operation("/openai/v1/responses"), Ok(Operation::Respond));
        let mantle = "/bedrock-mantle/us-east-1/openai/v1/models";
        assert_eq!(operation(mantle), Ok(Operation::Unknown));
        let listed = "/bedrock-mantle/us-east-1/v1/models";
        assert_eq!(operation(listed), Ok(Operation::ListModels));
        let native = "/bedrock-runtime/us-east-1/model/a%3A0/converse-stream";
        assert_eq!(operation(native), Ok(Operation::Converse("a%3A0", true)));
        for (action, stream) in [("invoke", false), ("invoke-with-response-stream", true)] {
            let path = format!("/bedrock-runtime/us-east-1/model/a%3A0/{action}").leak();
            assert_eq!(operation(path), Ok(Operation::Invoke("a%3A0", stream)));
        }
        let elsewhere = "/bedrock-mantle/us-east-1/model/a/converse";
        assert_eq!(operation(elsewhere), Ok(Operation::Unknown));
        let stored = "/bedrock-mantle/eu-west-1/v1/responses/resp_1";
        assert_eq!(operation(stored), Ok(Operation::Stored("resp_1")));
        assert_eq!(operation("/openai/v2/responses"), Ok(Operation::Unknown));
        let mantle = data.provider("bedrock-mantle").expect("there is one");
        let nowhere = operation("/bedrock-mantle/no-region-1/v1").unwrap_err();
        assert_eq!(nowhere.there_are.len(), mantle.regions.len());
        assert_eq!(operation("/").unwrap_err().what, "provider");
        let chat = "/bedrock-mantle/us-east-1/v1/chat/completions";
        assert_eq!(operation(chat), Ok(Operation::Chat));
    }

    #[test]
    fn a_dated_path_needs_its_date() {
        let data = MockData::shipped().expect("the shipped data");
        let operation =
            |path: &'static str, query| find(&data, path, query).map(|route| route.operation);
        let chat = "/azure-openai/openai/deployments/d-1/chat/completions";
        let date = Some("a=b&api-version=2024-10-21");
        assert_eq!(operation(chat, date), Ok(Operation::ChatOf("d-1")));
        for wrong in [None, Some("api-version="), Some("version=1")] {
            assert_eq!(operation(chat, wrong), Ok(Operation::Unknown), "{wrong:?}");
        }
        let responses = "/azure-openai/openai/responses";
        assert_eq!(operation(responses, date), Ok(Operation::Respond));
        assert_eq!(operation(responses, None), Ok(Operation::Unknown));
        let newer = "/azure-openai/openai/v1/responses";
        assert_eq!(operation(newer, None), Ok(Operation::Respond));
        let elsewhere = "/openai/openai/deployments/d-1/chat/completions";
        assert_eq!(operation(elsewhere, date), Ok(Operation::Unknown));
    }
}
