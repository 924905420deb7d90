//! JSON Schema checks behind one small door, so that the crate that does them can be exchanged.
//!
//! Core. A schema is what the user wrote and nothing else: references to files and URLs are refused.

use std::fmt::Write;

use boon::{CompileError, Compiler, Draft, SchemaIndex, Schemas, UrlLoader, ValidationError};
use regex::RegexBuilder;
use regex_syntax::ast::parse::Parser;
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
        patterns_are_usable(schema)?;
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

/// Most patterns of one schema, and the most memory one may take, in bytes. The crate below allows twice
/// as much and takes a larger one for a bug of its own.
const MOST_PATTERNS: usize = 1_000;
const PATTERN_SIZE: usize = 5 * 1024 * 1024;

/// Compiles all patterns: those that the crate below would stumble over are refused.
fn patterns_are_usable(schema: &Value) -> Result<(), BadSchema> {
    let mut found = Vec::new();
    patterns(schema, "", &mut found);
    if let Some((pointer, _)) = found.get(MOST_PATTERNS) {
        return Err(BadSchema {
            pointer: pointer.clone(),
            message: format!("more than {MOST_PATTERNS} patterns"),
        });
    }
    for (pointer, pattern) in found {
        let pattern = as_compiled(pattern);
        // What is no pattern at all is refused with a better message.
        if Parser::new().parse(&pattern).is_err() {
            continue;
        }
        let compiled = RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE).build();
        if let Err(error) = compiled {
            let text = error.to_string();
            let message = match text.lines().last() {
                Some(last) => last.trim_start_matches("error: "),
                None => "it cannot be used",
            };
            return Err(BadSchema {
                pointer,
                message: format!("not a usable regex: {message}"),
            });
        }
    }
    Ok(())
}

/// The patterns of a schema, each with its pointer. What stands in plain data is none.
fn patterns<'s>(value: &'s Value, here: &str, out: &mut Vec<(String, &'s str)>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let there = format!("{here}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (key.as_str(), inner) {
                    ("const" | "enum" | "default" | "example" | "examples", _) => {}
                    ("pattern", Value::String(pattern)) => out.push((there, pattern)),
                    ("patternProperties", Value::Object(parts)) => {
                        patterns(inner, &there, out);
                        for pattern in parts.keys() {
                            let key = pattern.replace('~', "~0").replace('/', "~1");
                            out.push((format!("{there}/{key}"), pattern));
                        }
                    }
                    _ => patterns(inner, &there, out),
                }
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                patterns(inner, &format!("{here}/{index}"), out);
            }
        }
        _ => {}
    }
}

/// A pattern of ECMA 262 as it is compiled: its classes are of ASCII, so much smaller than those of
/// Unicode, and `\cA` is a control character.
fn as_compiled(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern.chars().peekable();
    while let Some(char) = rest.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match rest.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[A-Za-z0-9_]"),
            Some('W') => out.push_str("[^A-Za-z0-9_]"),
            Some('c') if rest.peek().is_some_and(char::is_ascii_alphabetic) => {
                let letter = rest.next().unwrap_or_default();
                // Cannot fail: it writes to a text.
                let _ = write!(out, "\\x{:02x}", letter as u32 % 32);
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
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
            (
                json!({ "properties": { "a": { "pattern": "^(a{1000}){1000}$" } } }),
                "/properties/a/pattern",
                "size limit",
            ),
            (
                json!({ "patternProperties": { "/(a{1000}){1000}": {} } }),
                "/patternProperties/~1(a{1000}){1000}",
                "size limit",
            ),
            (
                json!({ "items": [{ "pattern": "\\p{Nonsense}" }] }),
                "/items/0/pattern",
                "Unicode property not found",
            ),
        ] {
            let error = Schema::compile(&schema).map(|_| ()).unwrap_err();
            assert_eq!(error.pointer, pointer);
            assert!(error.message.contains(word), "{}", error.message);
        }
    }
    #[test]
    fn patterns_that_work_are_not_refused() {
        for (pattern, text) in [
            ("^\\w{1,1000}$", "abc"),
            ("^[\\w-]{1,255}@\\S+\\.\\D+$", "a-b@example.com"),
            ("^\\cA[\\cB\\d]$", "\u{1}\u{2}"),
            ("^\\p{L}{1,64}$", "Dún"),
            ("\\\\d", "\\d"),
        ] {
            let schema = Schema::compile(&json!({ "pattern": pattern })).unwrap();
            assert_eq!(schema.check(&json!(text)), Ok(()), "{pattern}");
        }
        let many: Vec<Value> = (0..1_001).map(|_| json!({ "pattern": "a" })).collect();
        assert!(Schema::compile(&json!({ "anyOf": many })).is_err());
        // A value that is called a pattern is none.
        let data = json!({ "const": { "pattern": "(a{1000}){1000}" } });
        assert!(Schema::compile(&data).is_ok());
    }
}
