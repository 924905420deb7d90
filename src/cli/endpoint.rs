//! Which endpoint a target in a region is asked at, and who said so.
//!
//! The target's own `endpoint`, else what the environment or the AWS configuration names, else the
//! FIPS host where one is asked for, else the provider's. Never used for the built-in mocks.

use anyhow::bail;

use crate::auth::aws_endpoint;
use crate::auth::environment::Environment;
use crate::catalog::provider::{EndpointKind, Model, Provider};
use crate::plan;
use crate::target::endpoint;
use crate::target::model::{Auth, Target};

/// An endpoint, as [`plan::route`] takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The base URL; the provider's own where absent.
    pub url: Option<String>,
    /// The variable or profile that named it.
    pub from: Option<String>,
}

/// Chooses. An error is bad input.
pub async fn choose(
    target: &Target,
    provider: &Provider,
    model: Option<&Model>,
    region: Option<&str>,
    environment: &Environment,
) -> anyhow::Result<Chosen> {
    let named = match &target.endpoint {
        Some(url) => Some(Chosen {
            url: Some(url.clone()),
            from: None,
        }),
        None => configured(target, provider, model, environment).await?,
    };
    let variable = provider.fips_env.as_deref();
    let by_variable = variable.filter(|name| {
        environment
            .get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    });
    let asked = match (target.fips, by_variable) {
        (Some(false), _) | (None, None) => return Ok(named.unwrap_or_default()),
        (Some(true), _) => "`fips: true`",
        (None, Some(name)) => name,
    };
    // As in the AWS SDKs, where the two together are a mistake: nobody knows what the other host is.
    if let Some(other) = named {
        let other = other.from.unwrap_or_else(|| "`endpoint`".to_owned());
        bail!(
            "{asked} asks for a FIPS host, and {other} names another endpoint\n  \
             help: if that one is right, say `fips: false` in the target"
        );
    }
    let unusual = region
        .and_then(|region| provider.partition(region))
        .is_some();
    match &provider.fips_origin {
        Some(origin) if !unusual => Ok(Chosen {
            url: Some(plan::endpoint_of_origin(provider, model, origin)),
            from: by_variable
                .filter(|_| target.fips.is_none())
                .map(str::to_owned),
        }),
        _ => bail!(
            "{asked} asks for a FIPS host, and none of `{}`{} is known\n  \
             help: say `fips: false` in the target to ask the usual host, or name one as `endpoint`",
            provider.id,
            region
                .filter(|_| unusual)
                .map_or(String::new(), |region| format!(" in {region}"))
        ),
    }
}

/// What the environment or the AWS configuration names.
async fn configured(
    target: &Target,
    provider: &Provider,
    model: Option<&Model>,
    environment: &Environment,
) -> anyhow::Result<Option<Chosen>> {
    let by_variable = provider
        .endpoint_env
        .iter()
        .find_map(|row| Some((row, environment.get(&row.variable)?.to_owned())));
    let (url, from, kind) = match (&provider.endpoint_service, by_variable) {
        (Some(service), by_variable) => {
            let profile = match &target.auth {
                Some(Auth::AwsProfile(name)) => Some(name.as_str()),
                _ => None,
            };
            let Some(named) = aws_endpoint::endpoint(service, profile, environment).await else {
                return Ok(None);
            };
            // The SDK prefers any variable to any profile.
            let from = match by_variable {
                Some((row, _)) => row.variable.clone(),
                None => format!("the AWS profile `{}`", named.profile),
            };
            (named.url, from, EndpointKind::Origin)
        }
        (None, Some((row, url))) => (url, row.variable.clone(), row.names),
        (None, None) => return Ok(None),
    };
    if let Err(reason) = endpoint::check(&url) {
        bail!("{from}: the endpoint {reason}\n  help: write a URL such as `https://example.com`");
    }
    Ok(Some(Chosen {
        url: Some(match kind {
            EndpointKind::Origin => plan::endpoint_of_origin(provider, model, &url),
            EndpointKind::BaseUrl => url,
        }),
        from: Some(from),
    }))
}
