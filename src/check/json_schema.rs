//! JSON Schema: the only place that knows the validator.
//!
//! It must never load anything: a schema with a reference outside itself cannot be used.

use boon::{Compiler, Draft, Schemas, SchemeUrlLoader, ValidationError};
use serde_json::Value;

/// Where the schema pretends to live, so that its own references resolve.
const PLACE: &str = "http://schema.invalid/schema.json";
/// How many violations are told.
const TOLD: usize = 3;

/// What keeps a value from being valid, at most a few sentences; empty when it is valid. An error
/// when the schema itself cannot be used. Draft 2020-12 where the schema names none.
pub fn violations(schema: &Value, value: &Value) -> Result<Vec<String>, String> {
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(SchemeUrlLoader::new()));
    compiler.set_default_draft(Draft::V2020_12);
    compiler
        .add_resource(PLACE, schema.clone())
        .map_err(|error| error.to_string())?;
    let mut schemas = Schemas::new();
    let index = compiler
        .compile(PLACE, &mut schemas)
        .map_err(|error| error.to_string())?;
    let mut told = Vec::new();
    if let Err(error) = schemas.validate(value, index) {
        tell(&error, &mut told);
    }
    Ok(told)
}

fn tell(error: &ValidationError<'_, '_>, told: &mut Vec<String>) {
    if told.len() >= TOLD {
        return;
    }
    if error.causes.is_empty() {
        let place = error.instance_location.to_string();
        told.push(if place.is_empty() {
            error.kind.to_string()
        } else {
            format!("{place}: {}", error.kind)
        });
    }
    for cause in &error.causes {
        tell(cause, told);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::json_schema::violations;

    #[test]
    fn valid_and_invalid_values() {
        let schema = json!({
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}},
            "required": ["city"],
            "additionalProperties": false,
            "$defs": {"city": {"type": "string"}}
        });
        assert_eq!(violations(&schema, &json!({"city": "Dublin"})), Ok(vec![]));
        let told = violations(&schema, &json!({"city": 1})).unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("/city"), "{told:?}");
        assert_eq!(violations(&schema, &json!({})).unwrap().len(), 1);
        assert_eq!(
            violations(&schema, &json!({"city": "a", "x": 1}))
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_an_error() {
        assert!(violations(&json!({"type": 5}), &json!(1)).is_err());
        assert!(violations(&json!({"$ref": "file:///etc/hostname"}), &json!(1)).is_err());
        assert!(violations(&json!({"$ref": "http://example.com/x"}), &json!(1)).is_err());
    }
}
