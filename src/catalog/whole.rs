//! Whether the rows of the catalog fit each other: what one file names is there in another.

use std::collections::HashSet;

use crate::catalog::Catalog;

/// The first row that does not fit: file, row, what it names and what there is.
pub(crate) fn check(catalog: &Catalog) -> Result<(), String> {
    let ids: Vec<&str> = catalog.provider_ids().collect();
    let mut seen = HashSet::new();
    for provider in &catalog.providers {
        if !seen.insert(&provider.id) {
            return Err(format!("providers.yaml: a second row `{}`", provider.id));
        }
        let regional = provider
            .origin
            .as_deref()
            .is_some_and(|origin| origin.contains("{region}"));
        if regional && provider.regions.is_empty() {
            return Err(format!(
                "providers.yaml: the origin of `{}` has {{region}}, and the row has no `regions`",
                provider.id
            ));
        }
        if let Some(word) = provider
            .guardrails
            .keys()
            .find(|word| !provider.dialects.contains_key(*word))
        {
            return Err(format!(
                "providers.yaml: `guardrails` of `{}` names the dialect `{word}`, which its `dialects` do not have",
                provider.id
            ));
        }
    }
    for model in &catalog.models {
        let row = format!(
            "models.yaml: the row `{}` of `{}`",
            model.id, model.provider
        );
        let Some(provider) = catalog.provider(&model.provider) else {
            return Err(format!(
                "{row}: there is no such provider; providers.yaml has {}",
                ids.join(", ")
            ));
        };
        if let Some(base) = model
            .base_path
            .as_ref()
            .filter(|base| !provider.base_paths.contains(base))
        {
            return Err(format!(
                "{row}: the base path `{base}` is none of the provider's: {}",
                provider.base_paths.join(", ")
            ));
        }
        if let Some(word) = model
            .dialects
            .iter()
            .find(|word| !provider.dialects.contains_key(*word))
        {
            let there: Vec<&str> = provider.dialects.keys().map(String::as_str).collect();
            return Err(format!(
                "{row}: the dialect `{word}` is none of the provider's: {}",
                there.join(", ")
            ));
        }
        if let Some(region) = model
            .regions
            .iter()
            .find(|region| !provider.regions.contains(region))
        {
            return Err(format!(
                "{row}: the region `{region}` is none of the provider's: {}",
                provider.regions.join(", ")
            ));
        }
    }
    Ok(())
}
