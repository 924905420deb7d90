//! The JSON Schema of scenario files, for editors and `sameturn schema scenario`.
//!
//! Made from the same types that read the files, so it cannot say anything else.

use serde_json::Value;

use crate::scenario::model::Scenario;

/// The schema.
pub fn schema() -> Value {
    schemars::schema_for!(Scenario).to_value()
}
