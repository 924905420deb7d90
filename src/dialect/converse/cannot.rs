//! What a scenario may ask that Converse has no words for.
//!
//! Not a judgement of any provider: only what the request body has no field for. Each reason names
//! the field. Source: the service model `bedrock-runtime` of botocore 1.44.5, read 2026-11-21.

use crate::scenario::model::{Conversation, Scenario, ToolChoice};

/// Why the scenario cannot be asked; `None` where it can.
pub fn cannot(scenario: &Scenario) -> Option<String> {
    let settings = &scenario.settings;
    let missing = [
        (
            !scenario.wire_tools.is_empty(),
            "tools in another wire API's own form (wire_tools)",
        ),
        (
            scenario.tools.values().any(|tool| tool.custom),
            "custom tools: input is always JSON",
        ),
        (scenario.format.is_some(), "a JSON schema for text (format)"),
        (
            settings.tool_choice == Some(ToolChoice::None),
            "tool_choice none: there are auto, any and tool",
        ),
        (
            settings.parallel_tool_calls == Some(false),
            "parallel_tool_calls false",
        ),
        (settings.max_tool_calls.is_some(), "max_tool_calls"),
        (
            settings
                .service_tier
                .as_deref()
                .is_some_and(|tier| !TIERS.contains(&tier)),
            "this service_tier: there are default, flex, priority and reserved",
        ),
        (settings.verbosity.is_some(), "verbosity"),
        (settings.store == Some(true), "stored responses (store)"),
        (
            scenario.conversation == Conversation::Stored,
            "a conversation that the provider keeps (previous_response_id)",
        ),
        (settings.background == Some(true), "background mode"),
    ];
    missing
        .iter()
        .find(|(asked, _)| *asked)
        .map(|(_, what)| format!("Converse cannot express {what}"))
}

/// The values of `serviceTier.type`.
const TIERS: [&str; 4] = ["default", "flex", "priority", "reserved"];

#[cfg(test)]
mod tests {
    use crate::dialect::Dialect;
    use crate::scenario::read::read;

    #[track_caller]
    fn check(lines: &str, expected: Option<&str>) {
        let tools = "tools: { f: { description: d, parameters: { type: object } } }";
        let tools = if lines.contains("tools:") { "" } else { tools };
        let text = format!("name: a/b\nabout: x\n{tools}\n{lines}\nturns: [ {{ user: hi }} ]\n");
        let scenario = read("f", &text).unwrap_or_else(|found| panic!("{found}"));
        assert_eq!(Dialect::Responses.cannot(&scenario), None);
        let told = Dialect::Converse.cannot(&scenario);
        match expected {
            None => assert_eq!(told, None, "{lines}"),
            Some(word) => assert!(told.is_some_and(|told| told.contains(word)), "{lines}"),
        }
    }

    #[test]
    fn what_has_no_field_is_named() {
        check("", None);
        for (setting, expected) in [
            ("tool_choice: required", None),
            ("tool_choice: auto", None),
            ("tool_choice: { tool: f }", None),
            ("tool_choice: none", Some("tool_choice none")),
            ("parallel_tool_calls: true", None),
            ("parallel_tool_calls: false", Some("parallel_tool_calls")),
            ("max_tool_calls: 1", Some("max_tool_calls")),
            ("service_tier: flex", None),
            ("service_tier: auto", Some("service_tier")),
            ("verbosity: low", Some("verbosity")),
            ("store: true", Some("store")),
            ("store: false", None),
            ("reasoning_effort: low", None),
            ("max_output_tokens: 20", None),
        ] {
            check(&format!("settings: {{ {setting} }}"), expected);
        }
        check(
            "tools: { f: { description: d, custom: true } }",
            Some("custom tools"),
        );
        check("wire_tools: [ { type: web_search } ]", Some("wire_tools"));
        check(
            "format: { json_schema: { name: n, schema: { type: object } } }",
            Some("format"),
        );
    }
}
