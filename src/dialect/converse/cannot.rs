//! What a scenario may ask that Converse has no words for.
//!
//! Not a judgement of any provider: only what the request body has no field for. Each reason names
//! the field. Source: the service model `bedrock-runtime` of botocore 1.44.5, read 2026-11-21.

use crate::scenario::model::{Scenario, ToolChoice};

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
    ];
    missing
        .iter()
        .find(|(asked, _)| *asked)
        .map(|(_, what)| format!("Converse cannot express {what}"))
}

/// The values of `serviceTier.type`.
const TIERS: [&str; 4] = ["default", "flex", "priority", "reserved"];
