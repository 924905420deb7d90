//! Rows of a list of models, and the projects that requests name.
//!
//! Pure. What it says of a model stands in the data files, but for the shape of a row.

use serde_json::{Value, json};

use crate::mock::data::Model;
use crate::mock::refusal::Refusal;
use crate::mock::route::{Operation, Route};
use crate::mock::sigv4::Arrived;

/// A model as a list shows it.
pub fn row(route: &Route<'_>, model: &Model) -> Value {
    let mut row =
        json!({"id": model.id, "object": "model", "created": 1_780_000_000, "owned_by": "openai"});
    if route.provider.manner.model_status {
        row["status"] = match &model.unavailable {
            Some(_) => json!("unavailable"),
            None => json!("available"),
        };
        if let Some(reason) = &model.unavailable {
            row["status_reason"] = json!(reason);
        }
    }
    row
}

/// A model asked for by its id, which shows more
/// (github.com/aws-samples/sample-per-model-bedrock 00-foundations, 2026-08-22).
pub fn one(route: &Route<'_>, model: &Model) -> Value {
    let mut row = row(route, model);
    if route.provider.manner.model_status {
        row["data_retention"] = json!({
            "allowed_modes": ["default", "provider_data_share"],
            "mode": "default",
            "source": "model_default",
        });
    }
    row
}

/// What a policy for Mantle calls the operation (the same notebooks).
pub fn action(operation: Operation<'_>) -> &'static str {
    match operation {
        Operation::ListModels => "ListModels",
        Operation::OneModel(_) => "GetModel",
        _ => "CreateInference",
    }
}

/// Whether the project that a request names is there. Only the OpenAI APIs look at it.
pub fn check_project(route: &Route<'_>, arrived: &Arrived<'_>) -> Result<(), Refusal> {
    let Some(projects) = &route.provider.manner.projects else {
        return Ok(());
    };
    if matches!(route.operation, Operation::Converse(..)) {
        return Ok(());
    }
    let region = route.region.region.as_deref().unwrap_or_default();
    let named = arrived
        .headers
        .iter()
        .filter(|(name, _)| *name == projects.header);
    for (_, value) in named {
        let there = |one: &String| one.replace("{region}", region) == *value;
        if !projects.there_are.iter().any(there) {
            return Err(Refusal::new("unknown-project").with("value", value));
        }
    }
    Ok(())
}
