//! The JSON Schema of scenario files, for editors and `sameturn schema scenario`.
//!
//! Made from the same types that read the files, so it cannot say anything else.

use serde_json::Value;

use crate::catalog;
use crate::scenario::model::Scenario;

/// The schema.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    // The words are data, which a type cannot know.
    if let Some(failure) = schema.pointer_mut("/$defs/Expect/properties/failure") {
        let classes = catalog::shipped().failures.classes.iter();
        failure["enum"] = classes
            .map(|class| Value::from(class.id.as_str()))
            .chain([Value::Null])
            .collect();
    }
    schema
}
