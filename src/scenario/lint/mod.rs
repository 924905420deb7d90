//! Cross-checks of a scenario: what types alone cannot say.
//!
//! Core. Every complaint stands at the offending value. A scenario that passes here can be run:
//! each name it uses exists, each schema and pattern compiles, and its expectations can be met.

mod expectation;
mod probe;

use serde_json::Value;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Place};
use crate::document::Document;
use crate::document::nearest::{list, nearest};
use crate::document::tree::Cursor;
use crate::json_schema::Schema;
use crate::scenario::model::{Format, Scenario, Tool, ToolChoice, Turn};

/// Cross-checks one scenario against itself and the catalog.
pub fn lint(document: &Document<'_>, scenario: &Scenario, catalog: &Catalog) -> Diagnostics {
    let mut lint = Lint {
        document,
        scenario,
        catalog,
        found: Vec::new(),
    };
    lint.head();
    lint.tools();
    lint.settings();
    lint.retries();
    lint.turns();
    lint.probe();
    Diagnostics(lint.found)
}

/// A scenario and where it came from, for checks across files.
#[derive(Debug, Clone, Copy)]
pub struct Sourced<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub scenario: &'a Scenario,
}

/// Checks across files: no two scenarios have the same name.
pub fn check_set(set: &[Sourced<'_>]) -> Diagnostics {
    let mut found = Vec::new();
    for (index, one) in set.iter().enumerate() {
        let first = set[..index]
            .iter()
            .find(|other| other.scenario.name == one.scenario.name);
        if let Some(first) = first {
            let place = Document::parse(one.file, one.text, "a scenario")
                .map_or(Place::START, |document| {
                    document.cursor().key("name").place()
                });
            let name = &one.scenario.name;
            found.push(
                Diagnostic::error(
                    one.file,
                    one.text,
                    place,
                    format!("the name `{name}` is taken by {}", first.file),
                )
                .help("give each scenario its own name"),
            );
        }
    }
    Diagnostics(found)
}

/// More attempts than any client makes on its own.
const MOST_RETRIES: u32 = 10;

struct Lint<'a> {
    document: &'a Document<'a>,
    scenario: &'a Scenario,
    catalog: &'a Catalog,
    found: Vec<Diagnostic>,
}

impl<'a> Lint<'a> {
    fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        if self.found.len() >= MAX_DIAGNOSTICS {
            return;
        }
        let one = self.document.error(place, message).help(help);
        self.found.push(one);
    }

    fn head(&mut self) {
        let root = self.document.cursor();
        if !is_name(&self.scenario.name) {
            self.error(
                root.key("name").place(),
                format!("`{}` is not a scenario name", self.scenario.name),
                "write small letters, digits and hyphens, with `/` between the parts: `tools/weather`",
            );
        }
        if self.scenario.about.trim().is_empty() {
            self.error(
                root.key("about").place(),
                "`about` is empty",
                "say in one sentence what the scenario proves",
            );
        }
        let only = root.key("only");
        for (key, ids) in [
            ("providers", &self.scenario.only.providers),
            ("not_providers", &self.scenario.only.not_providers),
        ] {
            for (index, provider) in ids.iter().enumerate() {
                let place = only.key(key).item(index).place();
                self.known("provider", provider, self.catalog.provider_ids(), place);
            }
        }
        for (index, dialect) in self.scenario.only.dialects.iter().enumerate() {
            let place = only.key("dialects").item(index).place();
            let all = self
                .catalog
                .providers
                .iter()
                .flat_map(|provider| provider.dialects.keys());
            self.known("dialect", dialect, all.map(String::as_str), place);
        }
        if let Some(Format::JsonSchema(format)) = &self.scenario.format {
            let at = root.key("format").key("json_schema").key("schema");
            self.schema(&format.schema, at);
            if format.strict {
                self.strict(&format.schema, at);
            }
        }
    }

    fn tools(&mut self) {
        let root = self.document.cursor();
        for (name, tool) in &self.scenario.tools {
            let at = root.key("tools").key(name);
            if !is_tool_name(name) {
                self.error(
                    at.key_place(),
                    format!("`{name}` is not a tool name"),
                    "write 1 to 64 letters, digits, `_` and `-`",
                );
            }
            self.tool(name, tool, at);
        }
        for (index, tool) in self.scenario.wire_tools.iter().enumerate() {
            if !tool.is_object() {
                self.error(
                    root.key("wire_tools").item(index).place(),
                    "a wire tool must be a mapping",
                    "write it as the dialect sends it: `{ type: function, name: … }`",
                );
            }
        }
    }

    fn tool(&mut self, name: &str, tool: &Tool, at: Cursor<'_>) {
        match (&tool.parameters, tool.custom) {
            (None, false) => self.error(
                at.key_place(),
                format!("the tool `{name}` has no `parameters`"),
                "add `parameters: { type: object, properties: {}, additionalProperties: false }`, or `custom: true` for free text",
            ),
            (Some(_), true) => self.error(
                at.key("parameters").key_place(),
                format!("the custom tool `{name}` takes free text and cannot have `parameters`"),
                "remove `parameters` or `custom`",
            ),
            (Some(schema), false) => {
                let at = at.key("parameters");
                self.schema(schema, at);
                if schema.get("type").and_then(Value::as_str) != Some("object") {
                    self.error(
                        at.place(),
                        format!("the parameters of `{name}` are not an object"),
                        "add `type: object`",
                    );
                } else if tool.strict {
                    self.strict(schema, at);
                }
            }
            (None, true) => {}
        }
        if tool.custom && tool.strict {
            self.error(
                at.key("strict").key_place(),
                format!("the custom tool `{name}` has no schema to be strict about"),
                "remove `strict`",
            );
        }
    }

    fn settings(&mut self) {
        let at = self.document.cursor().key("settings");
        let settings = &self.scenario.settings;
        if settings.background == Some(true) && self.scenario.stream {
            self.error(
                at.key("background").place(),
                "`background` is for answers that are not streamed",
                "add `stream: false`",
            );
        }
        let choice = at.key("tool_choice");
        match &settings.tool_choice {
            Some(ToolChoice::Tool(name)) => self.declared(name, choice.key("tool").place()),
            Some(ToolChoice::Required) if !self.offers_tools() => self.error(
                choice.place(),
                "`tool_choice: required` without tools",
                "declare one under `tools`",
            ),
            _ => {}
        }
        for (key, value, most) in [
            ("temperature", settings.temperature, 2.0),
            ("top_p", settings.top_p, 1.0),
        ] {
            if value.is_some_and(|value| !(0.0..=most).contains(&value)) {
                self.error(
                    at.key(key).place(),
                    format!("`{key}` is out of range"),
                    format!("write a number from 0 to {most}"),
                );
            }
        }
        for (key, value) in [
            ("max_output_tokens", settings.max_output_tokens),
            ("max_tool_calls", settings.max_tool_calls),
        ] {
            if value == Some(0) {
                self.error(
                    at.key(key).place(),
                    format!("`{key}` is 0"),
                    "write 1 or more, or leave it out",
                );
            }
        }
    }

    fn retries(&mut self) {
        let Some(retries) = &self.scenario.retries else {
            return;
        };
        let at = self.document.cursor().key("retries");
        if !(1..=MOST_RETRIES).contains(&retries.most) {
            self.error(
                at.key("most").place(),
                format!("`most` is {}", retries.most),
                format!("write a number from 1 to {MOST_RETRIES}"),
            );
        }
        self.classes(&retries.on, at.key("on"));
    }

    fn turns(&mut self) {
        let at = self.document.cursor().key("turns");
        let scenario = self.scenario;
        if scenario.turns.is_empty() {
            self.error(
                at.place(),
                "the scenario has no turns",
                "add one: `turns: [ { user: ping } ]`",
            );
        }
        for (index, turn) in scenario.turns.iter().enumerate() {
            self.turn(index, turn, at.item(index));
        }
    }

    fn turn(&mut self, index: usize, turn: &'a Turn, at: Cursor<'_>) {
        match (&turn.user, turn.results.is_empty()) {
            (Some(_), false) => self.error(
                at.key("results").key_place(),
                "a turn has either `user` or `results`, not both",
                "answer the calls first, and put what the user says into a turn of its own",
            ),
            (None, true) => self.error(
                at.place(),
                "a turn needs `user` or `results`",
                "add `user: …`, or `results: { tool_name: … }` to answer calls",
            ),
            (None, false) if index == 0 => self.error(
                at.key("results").key_place(),
                "the first turn cannot be results: there is no call yet",
                "begin with `user: …`",
            ),
            _ => {}
        }
        if turn.filler_words > 0 && turn.user.is_none() {
            self.error(
                at.key("filler_words").key_place(),
                "`filler_words` needs a `user` text to stand before",
                "move it to a turn with `user`",
            );
        }
        for name in turn.results.keys() {
            self.declared(name, at.key("results").key(name).key_place());
        }
        let previous = index
            .checked_sub(1)
            .map(|index| &self.scenario.turns[index]);
        if let Some(calls) = previous.and_then(|turn| turn.expect.calls.as_ref()) {
            let mut names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
            names.dedup();
            for name in names {
                if turn.user.is_none()
                    && !turn.results.is_empty()
                    && !turn.results.contains_key(name)
                {
                    self.error(
                        at.key("results").key_place(),
                        format!("the call of `{name}` expected before has no result here"),
                        format!("add `{name}: …` to the results"),
                    );
                }
            }
        }
        if let Some(previous) = previous
            && previous.expect.failure.is_some()
        {
            self.error(
                at.place(),
                "the turn before is expected to fail: this one can never run",
                "make the failing turn the last one",
            );
        }
        self.expect(&turn.expect, at.key("expect"));
    }

    fn schema(&mut self, schema: &Value, at: Cursor<'_>) {
        if let Err(error) = Schema::compile(schema) {
            self.error(
                at.pointer(&error.pointer).place(),
                format!("this is not a JSON Schema: {}", error.message),
                "write it as draft 2020-12 says (json-schema.org)",
            );
        }
    }

    /// Strict schemas close every object and require every property, as the Responses API demands.
    fn strict(&mut self, schema: &Value, at: Cursor<'_>) {
        let Some(object) = schema.as_object() else {
            return;
        };
        let properties = object.get("properties").and_then(Value::as_object);
        if properties.is_some() || object.get("type").and_then(Value::as_str) == Some("object") {
            if object.get("additionalProperties") != Some(&Value::Bool(false)) {
                self.error(
                    at.key("additionalProperties").place(),
                    "a strict schema must close every object",
                    "add `additionalProperties: false`",
                );
            }
            let required: Vec<&str> = object
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for name in properties.into_iter().flat_map(|all| all.keys()) {
                if !required.contains(&name.as_str()) {
                    self.error(
                        at.key("properties").key(name).key_place(),
                        format!("a strict schema must require every property, and `{name}` is not"),
                        format!("add `{name}` to `required`; an optional one has `type: [string, \"null\"]`"),
                    );
                }
            }
        }
        for (name, property) in properties.into_iter().flatten() {
            self.strict(property, at.key("properties").key(name));
        }
        if let Some(items) = object.get("items") {
            self.strict(items, at.key("items"));
        }
        for key in ["$defs", "definitions"] {
            let named = object.get(key).and_then(Value::as_object);
            for (name, one) in named.into_iter().flatten() {
                self.strict(one, at.key(key).key(name));
            }
        }
        let branches = object.get("anyOf").and_then(Value::as_array);
        for (index, one) in branches.into_iter().flatten().enumerate() {
            self.strict(one, at.key("anyOf").item(index));
        }
    }

    fn offers_tools(&self) -> bool {
        !self.scenario.tools.is_empty() || !self.scenario.wire_tools.is_empty()
    }

    /// A tool that is used must be declared, here or in wire form.
    fn declared(&mut self, name: &str, place: Place) {
        let scenario = self.scenario;
        let inner = |tool: &'a Value| tool.get("tools").and_then(Value::as_array);
        let in_namespaces = scenario.wire_tools.iter().filter_map(inner).flatten();
        let wire = scenario
            .wire_tools
            .iter()
            .chain(in_namespaces)
            .filter_map(|tool| tool.get("name").and_then(Value::as_str));
        let names: Vec<&str> = scenario
            .tools
            .keys()
            .map(String::as_str)
            .chain(wire)
            .collect();
        if names.contains(&name) {
            return;
        }
        let help = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "declare it under `tools`".to_string(),
            None => format!("declared tools: {}", list(names)),
        };
        self.error(place, format!("the tool `{name}` is not declared"), help);
    }

    fn known<'w>(
        &mut self,
        what: &str,
        word: &str,
        words: impl Iterator<Item = &'w str>,
        place: Place,
    ) {
        let mut words: Vec<&str> = words.collect();
        words.sort_unstable();
        words.dedup();
        if words.contains(&word) {
            return;
        }
        let help = match nearest(word, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? Known: {}", list(words)),
            None => format!("known: {}", list(words)),
        };
        self.error(place, format!("unknown {what} `{word}`"), help);
    }
}

/// `[a-z0-9-]+(/[a-z0-9-]+)*`
fn is_name(name: &str) -> bool {
    name.split('/').all(|part| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    })
}

fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
