//! Targets of a file, expanded to the columns of a run: one per region, each with its identities.

use anyhow::{Context, anyhow};

use crate::auth::Wanted;
use crate::auth::environment::Environment;
use crate::auth::sign_in::region_for;
use crate::auth::staged;
use crate::catalog::Catalog;
use crate::catalog::provider::{Provider, ProviderAuth};
use crate::conduct::identity::{Identities, Identity};
use crate::dialect::Dialect;
use crate::mock::data::Principal;
use crate::mock::route::Selection;
use crate::mock::server::MockServer;
use crate::plan::{self, PlannedTarget};
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
        for region in regions(target, provider, environment).await {
            columns.push(
                column(name, target, provider, region, catalog, environment, mock)
                    .with_context(|| format!("target `{name}`"))?,
            );
        }
    }
    Ok(columns)
}

/// The regions of a target: its own, else the environment's or the profile's, else none.
async fn regions(
    target: &Target,
    provider: &Provider,
    environment: &Environment,
) -> Vec<Option<String>> {
    if provider.regions.is_empty() {
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

fn column(
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
    let mut route = plan::route(
        provider,
        model,
        dialect.word(),
        region.as_deref(),
        target.endpoint.as_deref(),
    )
    .map_err(anyhow::Error::msg)?;
    let identities = match mock {
        Some(mock) => {
            route.origin = mock.base_url(&provider.id, region.as_deref(), &Selection::default());
            mocked_identities(provider, mock)?
        }
        None => Identities {
            own: Identity::own(environment.clone(), target.auth.clone()),
            denied: None,
            expired: None,
        },
    };
    Ok(Column {
        target: PlannedTarget {
            name: name.to_owned(),
            provider: provider.clone(),
            dialect,
            model: target.model.clone(),
            region,
            route,
            auth: target.auth.clone(),
            guardrail: target.guardrail.clone(),
            headers: target
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect(),
            mocked: mock.is_some(),
        },
        identities,
    })
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
    let identity = |principal: &Principal, signed: bool| -> anyhow::Result<Identity> {
        let staged = if signed {
            staged::with_static_keys(
                &principal.access_key_id,
                &principal.secret_access_key,
                principal.session_token.as_deref(),
                None,
            )
            .map(Some)
        } else {
            staged::with_bearer(provider, &principal.bearer)
        };
        let staged = staged.context("could not make a temporary AWS home")?;
        let staged = staged.ok_or_else(|| anyhow!("provider `{}` takes no key", provider.id))?;
        Ok(staged.into())
    };
    Ok(Identities {
        own: identity(principal("default")?, signed)?,
        denied: Some(identity(principal("denied")?, signed)?),
        // The expired key is a bearer key: an expired session is what the SSO scenarios are for.
        expired: Some(identity(principal("expired")?, false)?),
    })
}
