//! JSON Schema checks behind one small door, so that the crate that does them can be exchanged.
//!
//! Core. A schema is what the user wrote and nothing else: references to files and URLs are refused.

use boon::{CompileError, Compiler, Draft, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

/// A compiled schema.
pub struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

/// Why a schema does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSchema {
    /// The part that is wrong, as a JSON pointer; empty for the whole.
    pub pointer: String,
    /// One line.
    pub message: String,
}

/// Refuses whatever is not in the schema itself.
struct Refuse;

impl UrlLoader for Refuse {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("{url}: references outside the schema are not followed").into())
    }
}

const PLACE: &str = "schema:/";

impl Schema {
    /// Compiles a schema (draft 2020-12 unless it says otherwise).
    pub fn compile(schema: &Value) -> Result<Schema, BadSchema> {
        Schema::compile_part(schema, "")
    }

    /// Compiles the part of a document that a JSON pointer names; its references are the document's.
    pub fn compile_part(schema: &Value, pointer: &str) -> Result<Schema, BadSchema> {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.use_loader(Box::new(Refuse));
        compiler
            .add_resource(PLACE, schema.clone())
            .map_err(|error| bad_schema(&error))?;
        let index = compiler
            .compile(&format!("{PLACE}#{pointer}"), &mut schemas)
            .map_err(|error| bad_schema(&error))?;
        Ok(Schema { schemas, index })
    }

    /// Whether a value is valid; the error says what is not, in one line.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        self.schemas
            .validate(value, self.index)
            .map_err(|error| one_line(&error.to_string()))
    }
}

fn bad_schema(error: &CompileError) -> BadSchema {
    match error {
        CompileError::ValidationError { src, .. } => {
            let deepest = deepest(src);
            BadSchema {
                pointer: deepest.instance_location.to_string(),
                message: one_line(&deepest.kind.to_string()),
            }
        }
        other => BadSchema {
            pointer: String::new(),
            message: one_line(&format!("{other:#}")),
        },
    }
}

/// The cause that says most: the one deepest in the value, the first of them.
fn deepest<'e>(
    error: &'e ValidationError<'static, 'static>,
) -> &'e ValidationError<'static, 'static> {
    let depth =
        |error: &ValidationError<'_, '_>| error.instance_location.to_string().matches('/').count();
    let mut best = error;
    for cause in &error.causes {
        let cause = deepest(cause);
        if best.causes.is_empty() {
            if depth(cause) > depth(best) {
                best = cause;
            }
        } else {
            best = cause;
        }
    }
    best
}

/// The causes without the heading that only names our made-up place.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("jsonschema validation failed with"))
        .collect();
    lines.join("; ").replace("schema:/", "the schema ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn valid_and_invalid_values_are_told_apart() {
        let schema = Schema::compile(&json!({
            "type": "object",
            "properties": { "city": { "type": "string" } },
            "required": ["city"],
        }))
        .unwrap();
        assert_eq!(schema.check(&json!({ "city": "Dublin" })), Ok(()));
        let error = schema.check(&json!({ "city": 1 })).unwrap_err();
        assert!(error.contains("/city") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_broken_schema_does_not_compile_and_nothing_is_fetched() {
        for (schema, pointer, word) in [
            (
                json!({ "properties": { "a": { "type": "text" } } }),
                "/properties/a/type",
                "value must be one of",
            ),
            (
                json!({ "$ref": "file:///etc/hostname" }),
                "",
                "not followed",
            ),
            (json!({ "$ref": "#/$defs/absent" }), "", "absent"),
            (
                json!({ "type": "string", "pattern": "(" }),
                "/pattern",
                "regex",
            ),
        ] {
            let error = Schema::compile(&schema).map(|_| ()).unwrap_err();
            assert_eq!(error.pointer, pointer);
            assert!(error.message.contains(word), "{}", error.message);
        }
    }
}
