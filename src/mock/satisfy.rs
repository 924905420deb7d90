//! A value that satisfies a JSON Schema: the arguments of the mocked model's calls.
//!
//! Pure. A real agent executes what comes out, so a text that the schema does not prescribe is never
//! anything but [`HARMLESS`].

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Number, Value, json};

use crate::json_schema::Schema;
use crate::mock::pattern;

/// The text where any text will do: as a shell command it prints a word.
pub const HARMLESS: &str = "echo sameturn";

/// Depth from which optional things are left out, and depth at which we give up.
const SHALLOW: usize = 8;
const DEEPEST: usize = 24;

/// Most steps for one value: a schema that contains itself many times over must not keep us busy.
const MOST_STEPS: u32 = 20_000;

/// Most work for checking values on the way, counted in parts of the schema, and what a check costs
/// besides its parts. Later branches are taken as they come.
const MOST_CHECKING: usize = 40_000;
const CHECK: usize = 100;

/// How often in a row a value may come again before there are no others.
const MOST_REPEATS: usize = 16;

/// A value of this schema: as close as we get where none can be found.
pub fn satisfy(schema: &Value) -> Value {
    let parts = size_of(schema);
    let with_hints = Writer {
        root: schema,
        hints: true,
        steps: Cell::new(0),
        parts,
        checking: Cell::new(0),
    };
    let hinted = with_hints.value(schema, 0, 0);
    if with_hints.holds(schema, &hinted) {
        return hinted;
    }
    // An example or default that breaks its own schema happens in the wild.
    let without_hints = Writer {
        root: schema,
        hints: false,
        steps: Cell::new(0),
        parts,
        checking: Cell::new(0),
    };
    let plain = without_hints.value(schema, 0, 0);
    if without_hints.holds(schema, &plain) {
        plain
    } else {
        hinted
    }
}

struct Writer<'a> {
    root: &'a Value,
    hints: bool,
    steps: Cell<u32>,
    /// How many values the schema has in it, as a measure of what a check costs.
    parts: usize,
    checking: Cell<usize>,
}

impl Writer<'_> {
    /// Takes a step; whether there were too many.
    fn tired(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.steps.get() > MOST_STEPS
    }

    /// Like [`Writer::holds`], and true where too much was checked already.
    fn seems_to_hold(&self, schema: &Value, value: &Value) -> bool {
        let spent = self.checking.get() + CHECK + self.parts;
        self.checking.set(spent);
        spent > MOST_CHECKING || self.holds(schema, value)
    }

    /// Whether the value is of this (sub)schema; true where the schema itself cannot be read.
    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let mut document = match self.root {
            Value::Object(root) => root.clone(),
            _ => Map::new(),
        };
        document.insert("x-sameturn-part".to_owned(), schema.clone());
        let part = Schema::compile_part(&Value::Object(document), "/x-sameturn-part");
        !part.is_ok_and(|part| part.check(value).is_err())
    }

    /// `nth` asks for a value other than those before it, where there is a choice.
    fn value(&self, schema: &Value, depth: usize, nth: usize) -> Value {
        if depth > DEEPEST || self.tired() {
            return Value::Null;
        }
        let Some(schema) = self.whole(schema, depth) else {
            return json!(HARMLESS);
        };
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(Value::Array(values)) = schema.get("enum")
            && !values.is_empty()
        {
            let fits = |value: &&Value| kind_of_value_fits(&schema, value);
            let fitting: Vec<&Value> = values.iter().filter(fits).collect();
            let choice = if fitting.is_empty() {
                values.iter().collect()
            } else {
                fitting
            };
            return choice[nth % choice.len()].clone();
        }
        if self.hints && nth == 0 {
            let examples = schema.get("examples").and_then(Value::as_array);
            let hints = [
                examples.and_then(|list| list.first()),
                schema.get("example"),
                schema.get("default"),
            ];
            // An empty hint (`null`, `""`) says less than what we would write.
            if let Some(hint) = hints.into_iter().flatten().find(|hint| !is_empty(hint)) {
                return hint.clone();
            }
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(branches)) = schema.get(key)
                && !branches.is_empty()
            {
                return self.branch(&schema, key, branches, depth, nth);
            }
        }
        match kind(&schema) {
            "object" => self.object(&schema, depth),
            "array" => self.array(&schema, depth),
            "integer" => number(&schema, true, nth),
            "number" => number(&schema, false, nth),
            "boolean" => Value::Bool(nth % 2 == 1),
            "null" => Value::Null,
            _ => text(&schema, nth),
        }
    }

    fn branch(
        &self,
        schema: &Map<String, Value>,
        key: &str,
        branches: &[Value],
        depth: usize,
        nth: usize,
    ) -> Value {
        let mut base = schema.clone();
        base.remove(key);
        let is_null = |value: &&Value| value.get("type") == Some(&json!("null"));
        let null_last = branches.iter().filter(|one| !is_null(one));
        let mut ordered: Vec<&Value> = null_last.chain(branches.iter().filter(is_null)).collect();
        if depth > SHALLOW {
            // A way out of a schema that contains itself.
            ordered.reverse();
        }
        let mut first = None;
        for branch in ordered {
            let mut merged = base.clone();
            if let Some(whole) = self.whole(branch, depth + 1) {
                merge(&mut merged, &whole);
            }
            let value = self.value(&Value::Object(merged), depth + 1, nth);
            if self.seems_to_hold(&Value::Object(schema.clone()), &value) {
                return value;
            }
            first.get_or_insert(value);
        }
        first.unwrap_or(Value::Null)
    }

    /// The schema with its references and `allOf` put in. `None` for `true`, `false` and what is no schema.
    fn whole(&self, schema: &Value, depth: usize) -> Option<Map<String, Value>> {
        let mut whole = schema.as_object()?.clone();
        if depth > DEEPEST || self.tired() {
            return Some(whole);
        }
        if let Some(Value::String(place)) = whole.shift_remove("$ref")
            && let Some(found) = place
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))
            && let Some(target) = self.whole(found, depth + 1)
        {
            merge(&mut whole, &target);
        }
        if let Some(Value::Array(parts)) = whole.shift_remove("allOf") {
            for part in parts {
                if let Some(part) = self.whole(&part, depth + 1) {
                    merge(&mut whole, &part);
                }
            }
        }
        Some(whole)
    }

    fn object(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let empty = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let mut wanted: BTreeSet<&str> = strings(schema.get("required")).collect();
        if let Some(Value::Object(rules)) = schema.get("dependentRequired") {
            // As many rounds as rules: one may call for the next.
            for _ in rules {
                for (name, more) in rules {
                    if wanted.contains(name.as_str()) {
                        wanted.extend(strings(Some(more)));
                    }
                }
            }
        }
        let least = size(schema, "minProperties").unwrap_or(0);
        for name in properties.keys() {
            if wanted.len() >= least {
                break;
            }
            wanted.insert(name);
        }
        let mut out = Map::new();
        let in_order = properties
            .keys()
            .map(String::as_str)
            .filter(|name| wanted.contains(name));
        let others = wanted
            .iter()
            .copied()
            .filter(|name| !properties.contains_key(*name));
        for name in in_order.chain(others) {
            let any = Value::Object(Map::new());
            let part = properties
                .get(name)
                .unwrap_or_else(|| other_property(schema, name).unwrap_or(&any));
            out.insert(name.to_owned(), self.value(part, depth + 1, 0));
        }
        for number in 0.. {
            if out.len() >= least || number > 1000 {
                break;
            }
            let name = format!("sameturn_{number}");
            let any = Value::Object(Map::new());
            let part = other_property(schema, &name).unwrap_or(&any);
            out.entry(name).or_insert(self.value(part, depth + 1, 0));
        }
        Value::Object(out)
    }

    fn array(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let any = Value::Object(Map::new());
        let fixed: Vec<&Value> = match (schema.get("prefixItems"), schema.get("items")) {
            (Some(Value::Array(parts)), _) | (None, Some(Value::Array(parts))) => {
                parts.iter().collect()
            }
            _ => Vec::new(),
        };
        let least = size(schema, "minItems").unwrap_or(0);
        // One element shows more than none, where it costs nothing.
        let liked = if depth > SHALLOW {
            0
        } else {
            fixed.len().max(1)
        };
        let most = size(schema, "maxItems").unwrap_or(usize::MAX);
        let closed = schema.get("items") == Some(&Value::Bool(false));
        let most = if closed { most.min(fixed.len()) } else { most };
        let count = liked.max(least).min(most).min(10_000);
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let rest = match schema.get("items") {
            Some(Value::Array(_)) | None => schema.get("contains").unwrap_or(&any),
            Some(items) => items,
        };
        let mut out: Vec<Value> = Vec::new();
        let mut seen = HashSet::new();
        let mut nth = 0;
        for index in 0..count {
            let part = fixed.get(index).copied().unwrap_or(rest);
            let part = match schema.get("contains") {
                Some(contains) if index == 0 && fixed.is_empty() => contains,
                _ => part,
            };
            if !unique || index <= fixed.len().max(1) {
                nth = 0;
            }
            let mut repeats = 0;
            let value = loop {
                let value = self.value(part, depth + 1, nth);
                nth += 1;
                if !unique || seen.insert(value.to_string()) {
                    break value;
                }
                repeats += 1;
                if repeats > MOST_REPEATS {
                    return Value::Array(out);
                }
            };
            out.push(value);
        }
        Value::Array(out)
    }
}

/// How many values there are in a value, itself included.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(size_of).sum::<usize>(),
        Value::Object(object) => 1 + object.values().map(size_of).sum::<usize>(),
        _ => 1,
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn size(schema: &Map<String, Value>, key: &str) -> Option<usize> {
    let number = schema.get(key)?.as_f64()?;
    (number >= 0.0).then_some(number as usize)
}

/// The schema of a property that `properties` does not name.
fn other_property<'a>(schema: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let matching = patterns.into_iter().flatten().find(|(pattern, _)| {
        regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name))
    });
    matching
        .map(|(_, part)| part)
        .or_else(|| schema.get("additionalProperties"))
}

/// Both must hold: the second is laid over the first, and bounds get tighter.
fn merge(into: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (key, value) in other {
        let Some(old) = into.get_mut(key) else {
            into.insert(key.clone(), value.clone());
            continue;
        };
        match (key.as_str(), &mut *old, value) {
            (
                "properties" | "$defs" | "definitions" | "patternProperties",
                Value::Object(old),
                Value::Object(new),
            ) => {
                for (name, part) in new {
                    match old.get_mut(name) {
                        Some(Value::Object(old)) => {
                            if let Value::Object(part) = part {
                                merge(old, part);
                            }
                        }
                        _ => {
                            old.insert(name.clone(), part.clone());
                        }
                    }
                }
            }
            ("required", Value::Array(old), Value::Array(new)) => {
                let more: Vec<Value> = new
                    .iter()
                    .filter(|name| !old.contains(name))
                    .cloned()
                    .collect();
                old.extend(more);
            }
            ("enum", Value::Array(old), Value::Array(new)) => {
                old.retain(|value| new.contains(value))
            }
            (
                "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties",
                old,
                new,
            ) => {
                if new.as_f64() > old.as_f64() {
                    *old = new.clone();
                }
            }
            (
                "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties",
                old,
                new,
            ) => {
                if new.as_f64() < old.as_f64() {
                    *old = new.clone();
                }
            }
            ("type", old, new) => {
                let shared: Vec<Value> = types(old)
                    .into_iter()
                    .filter(|kind| {
                        let new = types(new);
                        new.contains(kind)
                            || (*kind == "integer" && new.contains(&"number"))
                            || (*kind == "number" && new.contains(&"integer"))
                    })
                    .map(Value::from)
                    .collect();
                if shared == [json!("number")] && types(new).contains(&"integer") {
                    *old = json!("integer");
                } else if !shared.is_empty() {
                    *old = Value::Array(shared);
                }
            }
            // What describes the nearer schema is the better hint.
            ("description" | "title" | "default" | "examples" | "example", ..) => {}
            (_, old, new) => *old = new.clone(),
        }
    }
}

fn types(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The type to write: the first that is not null, else what the other keywords speak of.
fn kind(schema: &Map<String, Value>) -> &str {
    if let Some(told) = schema.get("type") {
        let told = types(told);
        if let Some(kind) = told.iter().find(|kind| **kind != "null").or(told.first()) {
            return kind;
        }
    }
    let speaks_of: [(&str, &[&str]); 4] = [
        (
            "object",
            &[
                "properties",
                "required",
                "additionalProperties",
                "minProperties",
                "patternProperties",
            ],
        ),
        ("array", &["items", "prefixItems", "minItems", "contains"]),
        (
            "number",
            &[
                "minimum",
                "maximum",
                "exclusiveMinimum",
                "exclusiveMaximum",
                "multipleOf",
            ],
        ),
        ("string", &["pattern", "format", "minLength", "maxLength"]),
    ];
    let found = speaks_of
        .iter()
        .find(|(_, keys)| keys.iter().any(|key| schema.contains_key(*key)));
    found.map_or("string", |(kind, _)| kind)
}

fn kind_of_value_fits(schema: &Map<String, Value>, value: &Value) -> bool {
    let Some(told) = schema.get("type") else {
        return true;
    };
    types(told).into_iter().any(|kind| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => value.is_number(),
    })
}

fn number(schema: &Map<String, Value>, whole: bool, nth: usize) -> Value {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let grain = step.unwrap_or(if whole { 1.0 } else { 0.5 });
    let grain = if whole && grain.fract() != 0.0 {
        1.0
    } else {
        grain
    };
    let low = [
        bound("minimum"),
        bound("exclusiveMinimum").map(|bound| bound + grain * 1e-3),
    ];
    let high = [
        bound("maximum"),
        bound("exclusiveMaximum").map(|bound| bound - grain * 1e-3),
    ];
    let low = low.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
    let high = high.into_iter().flatten().fold(f64::INFINITY, f64::min);
    // The grain next to 1 that is within the bounds.
    let mut value = (1.0 / grain).ceil() * grain;
    if value < low {
        value = (low / grain).ceil() * grain;
    }
    if value > high {
        value = (high / grain).floor() * grain;
    }
    if value < low && !whole && step.is_none() {
        value = (low + high) / 2.0;
    }
    let shifted = value + grain * nth as f64;
    let value = if shifted <= high {
        shifted
    } else {
        value - grain * nth as f64
    };
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::from(0), Value::Number)
}

fn text(schema: &Map<String, Value>, nth: usize) -> Value {
    let min = size(schema, "minLength").unwrap_or(0);
    let max = size(schema, "maxLength").unwrap_or(usize::MAX);
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let harmless = fitted(min, max, nth);
        if regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(&harmless)) {
            return Value::from(harmless);
        }
        let longer = min.saturating_add(nth).min(max);
        if let Some(text) = pattern::matching(pattern, longer, max) {
            return Value::from(text);
        }
    }
    let known = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-11-21T08:00:00Z",
        Some("date") => "2026-11-21",
        Some("time") => "08:00:00Z",
        Some("duration") => "PT1S",
        Some("email" | "idn-email") => "sameturn@example.com",
        Some("hostname" | "idn-hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uri" | "url" | "iri" | "uri-reference" | "iri-reference") => {
            "https://example.com/sameturn"
        }
        Some("uri-template") => "https://example.com/{sameturn}",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("json-pointer") => "/sameturn",
        Some("relative-json-pointer") => "0/sameturn",
        Some("regex") => "sameturn",
        Some("byte") => "c2FtZXR1cm4=",
        _ => return Value::from(fitted(min, max, nth)),
    };
    Value::from(known)
}

/// The harmless text, cut or continued to fit.
fn fitted(min: usize, max: usize, nth: usize) -> String {
    let mut text = HARMLESS.to_owned();
    if nth > 0 {
        text.push_str(&format!(" {nth}"));
    }
    while text.len() < min.min(1_000_000) {
        text.push_str(" sameturn");
    }
    // A cut in the middle of a word leaves another command: `ec`. From the end it is a word of ours.
    let most = max.max(min);
    if HARMLESS.len() > max {
        text = "sameturn".repeat(max / 8 + 1);
    }
    text.truncate(most.min(text.len()));
    text
}

#[cfg(test)]
mod tests;
