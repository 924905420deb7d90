//! The JSON Schema of target files, for editors and `sameturn schema targets`.
//!
//! Made from the same types that read the files, so it cannot say anything else.

use serde_json::Value;

use crate::target::model::TargetFile;

/// The schema.
pub fn schema() -> Value {
    schemars::schema_for!(TargetFile).to_value()
}
