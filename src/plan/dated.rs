//! The route of a target that asks for an API by its date.
//!
//! Core. Which paths those are is data of the provider's row.

use crate::catalog::provider::Provider;
use crate::plan::{Route, query};

/// The same origin over the dated path of the dialect. Errors say what the provider does not have.
pub fn dated(
    route: Route,
    provider: &Provider,
    dialect_word: &str,
    version: &str,
) -> Result<Route, String> {
    let dated = provider
        .dated
        .as_ref()
        .ok_or_else(|| format!("provider `{}` has no dated API", provider.id))?;
    let path = dated.dialects.get(dialect_word).ok_or_else(|| {
        format!(
            "the dated API of `{}` has no dialect `{dialect_word}`",
            provider.id
        )
    })?;
    Ok(Route {
        origin: route.origin,
        base_path: String::new(),
        wrong_base_path: None,
        path: path.clone(),
        query: query([(dated.parameter.as_str(), version)]),
    })
}

#[cfg(test)]
mod tests {
    use crate::catalog::shipped;
    use crate::plan::dated::dated;
    use crate::plan::{Route, route};

    fn azure(dialect: &str, endpoint: &str) -> Route {
        let provider = shipped().provider("azure-openai").expect("in the catalog");
        route(provider, None, dialect, None, Some(endpoint)).expect("a route")
    }

    #[test]
    fn the_endpoint_of_a_resource_gets_its_base_path() {
        for endpoint in [
            "https://r.openai.azure.com",
            "https://r.openai.azure.com/",
            "https://r.openai.azure.com/openai/v1/",
        ] {
            assert_eq!(
                azure("responses", endpoint).url("my deployment", true),
                "https://r.openai.azure.com/openai/v1/responses"
            );
        }
    }

    #[test]
    fn a_date_chooses_the_older_path() {
        let provider = shipped().provider("azure-openai").expect("in the catalog");
        for endpoint in [
            "https://r.openai.azure.com",
            "https://r.openai.azure.com/openai/v1",
        ] {
            let chat = dated(azure("chat", endpoint), provider, "chat", "2024-10-21");
            assert_eq!(
                chat.expect("a route").url("team/agents", true),
                "https://r.openai.azure.com/openai/deployments/team%2Fagents/chat/completions?api-version=2024-10-21"
            );
        }
        let route = azure("responses", "https://r.example");
        let responses = dated(route.clone(), provider, "responses", "2025-04-01-preview");
        assert_eq!(
            responses.expect("a route").url("m", false),
            "https://r.example/openai/responses?api-version=2025-04-01-preview"
        );
        let openai = shipped().provider("openai").expect("in the catalog");
        assert!(dated(route, openai, "chat", "2024-10-21").is_err());
    }
}
