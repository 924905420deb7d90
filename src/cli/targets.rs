//! Targets of a file, expanded to the columns of a run: one per region, each with its identities.

use anyhow::{Context, anyhow, bail};

use crate::auth::Wanted;
use crate::auth::credentials::Secret;
use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::auth::sign_in::region_for;
use crate::auth::staged;
use crate::catalog::Catalog;
use crate::catalog::provider::{Model, Provider, ProviderAuth};
use crate::cli::endpoint::{self, Chosen};
use crate::conduct::identity::{Identities, Identity};
use crate::dialect::Dialect;
use crate::mock::data::Principal;
use crate::mock::route::Selection;
use crate::mock::server::MockServer;
use crate::plan::{self, PlannedTarget};
use crate::report::escape;
use crate::target;
use crate::target::model::{Target, TargetFile};

/// A column and who asks there.
#[derive(Debug)]
pub struct Column {
    pub target: PlannedTarget,
    pub identities: Identities,
}

/// Expands the targets. With a mock, it serves them all, and its principals ask.
pub async fn expand(
    file: &TargetFile,
    catalog: &Catalog,
    environment: &Environment,
    mock: Option<&MockServer>,
) -> anyhow::Result<Vec<Column>> {
    let mut columns = Vec::new();
    for (name, target) in &file.targets {
        let provider = catalog
            .provider(&target.provider)
            .ok_or_else(|| anyhow!("target `{name}`: no provider `{}`", target.provider))?;
        for region in regions(target, provider, environment, mock.is_some()).await {
            columns.push(
                column(name, target, provider, region, catalog, environment, mock)
                    .await
                    .with_context(|| format!("target `{name}`"))?,
            );
        }
    }
    Ok(columns)
}

/// Where requests go when that is not what the target file says, and what is foreseen: a line each.
pub fn remarks(columns: &[Column]) -> String {
    let mut out = String::new();
    for Column { target, .. } in columns {
        let name = match &target.region {
            Some(region) => format!("{} {region}", target.name),
            None => target.name.clone(),
        };
        if let Some(from) = &target.endpoint_from {
            out.push_str(&format!(
                "  {}: {} (from {})\n",
                escape::line(&name),
                escape::line(&target.route.base_url()),
                escape::line(from)
            ));
        }
        for warning in &target.warnings {
            out.push_str(&format!(
                "warning: {}: {}\n",
                escape::line(&name),
                escape::line(warning)
            ));
        }
    }
    out
}

/// Tells whoever redacts the secrets that headers carry.
pub fn teach(columns: &[Column], seen: &Seen) {
    for column in columns {
        let headers = column.identities.headers.iter();
        seen.learn_secrets(headers.map(|(_, value)| value.clone()));
    }
}

/// The regions of a target: its own, else the environment's or the profile's, else none. A provider without
/// regions has them where the target's endpoint does.
async fn regions(
    target: &Target,
    provider: &Provider,
    environment: &Environment,
    mocked: bool,
) -> Vec<Option<String>> {
    let endpoint = target.endpoint.as_deref().filter(|_| !mocked);
    let placed = endpoint.is_some_and(|endpoint| endpoint.contains("{region}"));
    if provider.regions.is_empty() && (!placed || target.regions.is_empty()) {
        return vec![None];
    }
    if target.regions.is_empty() {
        let wanted = Wanted {
            provider,
            auth: target.auth.as_ref(),
            region: None,
        };
        return vec![region_for(&wanted, environment).await];
    }
    target.regions.iter().cloned().map(Some).collect()
}

async fn column(
    name: &str,
    target: &Target,
    provider: &Provider,
    region: Option<String>,
    catalog: &Catalog,
    environment: &Environment,
    mock: Option<&MockServer>,
) -> anyhow::Result<Column> {
    let model = catalog.model(&provider.id, &target.model);
    // The provider's first that serves the model, where the catalog says which do.
    let serves = |word: &&String| {
        model.is_none_or(|row| row.dialects.is_empty() || row.dialects.contains(word))
    };
    let first = provider.dialects.keys().find(serves);
    let word = target
        .dialect
        .as_ref()
        .or(first)
        .or_else(|| provider.dialects.keys().next())
        .cloned()
        .unwrap_or_default();
    let dialect: Dialect = word.parse()?;
    if let Some(mock) = mock
        && !mock.serves(&provider.id, region.as_deref())
    {
        let place = match &region {
            Some(region) => format!("`{}` in {region}", provider.id),
            None if provider.regions.is_empty() => format!("`{}`", provider.id),
            None => format!("`{}` without a region", provider.id),
        };
        bail!("there is no mock of {place}; leave the target out with --target");
    }
    let chosen = match mock {
        // The mock takes the place of the origin, also of a provider that has none of its own; a base path that
        // the target names stays.
        Some(_) => Chosen {
            url: target.endpoint.clone().or_else(|| {
                let nowhere = || "http://mock".to_owned();
                provider.origin.is_none().then(nowhere)
            }),
            from: None,
        },
        None => endpoint::choose(target, provider, model, region.as_deref(), environment).await?,
    };
    let mut route = plan::route(
        provider,
        model,
        dialect.word(),
        region.as_deref(),
        chosen.url.as_deref(),
    )
    .map_err(anyhow::Error::msg)?;
    if let Some(version) = &target.api_version {
        route = plan::dated::dated(route, provider, dialect.word(), version)
            .map_err(anyhow::Error::msg)?;
    }
    let agent = target.agent.clone().unwrap_or_default();
    route = route.with_qualifier(&agent.qualifier);
    let query = |(name, value)| (String::as_str(name), String::as_str(value));
    let added = plan::query(target.query.iter().map(query));
    route.query = match (route.query.as_str(), added.as_str()) {
        ("", _) => added,
        (_, "") => route.query,
        (own, added) => format!("{own}&{added}"),
    };
    let warnings = foreseen(target, provider, model, region.as_deref(), &chosen);
    let secret_headers = secret_headers(target, environment)?;
    // The mocks are nobody's project: what the environment says is not about them.
    let owners = mock.is_none().then_some(environment);
    let identities = match mock {
        Some(mock) => {
            route.origin = mock.base_url(&provider.id, region.as_deref(), &Selection::default());
            Identities {
                headers: secret_headers,
                ..mocked_identities(provider, mock)?
            }
        }
        None => Identities {
            own: Identity::own(environment.clone(), target.auth.clone()),
            denied: None,
            expired: None,
            headers: secret_headers,
        },
    };
    Ok(Column {
        target: PlannedTarget {
            name: name.to_owned(),
            provider: Provider {
                signing_name: target
                    .signing_name
                    .clone()
                    .or(provider.signing_name.clone()),
                ..provider.clone()
            },
            dialect,
            model: target.model.clone(),
            region,
            route,
            auth: target.auth.clone(),
            agent,
            headers: headers(target, provider, dialect, owners),
            endpoint_from: chosen.from,
            warnings,
            guardrail: target.guardrail.clone(),
            mocked: mock.is_some(),
            unknown_faults: mock.map_or_else(Vec::new, |mock| mock.lacks(&provider.id)),
        },
        identities,
    })
}

/// The headers that a target asks for, and those that say on whose behalf it asks.
fn headers(
    target: &Target,
    provider: &Provider,
    dialect: Dialect,
    environment: Option<&Environment>,
) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = target
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect();
    for (said, owner) in [
        (&target.organization, &provider.organization),
        (&target.project, &provider.project),
    ] {
        let Some(owner) = owner.as_ref().filter(|owner| owner.is_for(dialect.word())) else {
            continue;
        };
        let by_variable = || environment?.get(owner.env.as_deref()?);
        let value = said.as_deref().or_else(by_variable);
        if let Some(value) = value
            && !headers.iter().any(|(name, _)| *name == owner.header)
        {
            headers.push((owner.header.clone(), value.to_owned()));
        }
    }
    headers
}

/// The headers whose values are in the environment. One that is not set is bad input, unlike a key
/// that is not set: a gateway would refuse every request, and what it says then is not about the provider.
fn secret_headers(
    target: &Target,
    environment: &Environment,
) -> anyhow::Result<Vec<(String, Secret)>> {
    let mut headers = Vec::new();
    for (name, variable) in &target.headers_env {
        let value = environment.get(variable).ok_or_else(|| {
            anyhow!(
                "the header `{name}` is to hold {variable}, which is not set\n  \
                 help: `export {variable}=…`, or remove the header from `headers_env`"
            )
        })?;
        if !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            bail!("{variable} holds characters that no HTTP header may carry");
        }
        headers.push((name.to_lowercase(), Secret::new(value)));
    }
    Ok(headers)
}

/// What is known to be odd before anything is sent, where the target file alone does not show it.
fn foreseen(
    target: &Target,
    provider: &Provider,
    model: Option<&Model>,
    region: Option<&str>,
    chosen: &Chosen,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(region) = region.filter(|_| !provider.regions.is_empty()) else {
        return warnings;
    };
    // Of regions in the file, lint has said it.
    if let Some(model) = model
        && target.regions.is_empty()
        && !model.regions.is_empty()
        && !model.regions.iter().any(|one| one == region)
    {
        warnings.push(format!(
            "`{}` was not served in {region} on {}, but in {}",
            target.model,
            model.date,
            model.regions.join(", ")
        ));
    }
    if target.regions.is_empty()
        && let Some(other) = target::endpoint::region_in_arn(&target.model)
        && other != region
    {
        // Not the ARN itself: it holds an account id.
        warnings.push(format!(
            "the ARN of the model is in {other}, but {region} is asked for it"
        ));
    }
    let from_file = target.endpoint.is_some() && !target.regions.is_empty();
    if !from_file
        && let Some(url) = &chosen.url
        && let Some(other) = target::endpoint::region_in_host(url)
        && other != region
    {
        warnings.push(format!(
            "the endpoint is in {other}, but requests are signed for {region}"
        ));
    }
    warnings
}

/// The mock's principals as identities: signed with AWS keys where the provider takes them, else by key.
fn mocked_identities(provider: &Provider, mock: &MockServer) -> anyhow::Result<Identities> {
    let principal = |name: &str| {
        mock.principals()
            .iter()
            .find(|one| one.name == name)
            .ok_or_else(|| anyhow!("the mocks have no principal `{name}`"))
    };
    let signed = provider.auth.contains(&ProviderAuth::AwsChain);
    let keyed = provider
        .auth
        .iter()
        .any(|way| matches!(way, ProviderAuth::BearerEnv(_)));
    let identity = |principal: &Principal, signed: bool| -> anyhow::Result<Identity> {
        let staged = if signed {
            staged::with_static_keys(
                &principal.access_key_id,
                &principal.secret_access_key,
                principal.session_token.as_deref(),
                None,
            )
            .map(Some)
        } else if principal.expired {
            // Keys in a header of their own have no end: it is a token that expires.
            staged::with_bearer(provider, &principal.bearer)
        } else {
            staged::with_key(provider, &principal.bearer)
        };
        let staged = staged.context("could not make a temporary AWS home")?;
        let staged = staged.ok_or_else(|| anyhow!(
                "the mocks cannot sign in: `auth` of provider `{}` has neither a key's variable nor aws_chain",
                provider.id
            ))?;
        Ok(staged.into())
    };
    Ok(Identities {
        own: identity(principal("default")?, signed)?,
        denied: Some(identity(principal("denied")?, signed)?),
        // The expired key is a bearer key where there are such: an expired session is what the SSO scenarios
        // are for.
        expired: (signed || keyed)
            .then(|| identity(principal("expired")?, signed && !keyed))
            .transpose()?,
        headers: Vec::new(),
    })
}
