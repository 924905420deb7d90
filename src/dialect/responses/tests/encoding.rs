//! Neutral turns in, request bodies out.

use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::responses::tests::{call, message, stream, text_and_call};
use crate::dialect::{Dialect, encode};
use crate::scenario::model::{Format, SchemaFormat, Settings, Tool, ToolChoice};
use crate::turn::dialogue::{Entry, TurnRequest};
use crate::turn::trace::CallForm;

/// A request with everything that can be set.
fn full_request() -> (
    IndexMap<String, Tool>,
    Vec<Value>,
    Settings,
    Format,
    Vec<Entry>,
) {
    let tool = |custom: bool, parameters: Option<Value>| Tool {
        description: "d".to_owned(),
        parameters,
        strict: !custom,
        custom,
    };
    let tools = IndexMap::from([
        ("f".to_owned(), tool(false, Some(json!({"type": "object"})))),
        ("none".to_owned(), tool(false, None)),
        ("c".to_owned(), tool(true, None)),
    ]);
    let settings = Settings {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.9),
        tool_choice: Some(ToolChoice::Tool("c".to_owned())),
        parallel_tool_calls: Some(false),
        max_tool_calls: Some(3),
        reasoning_effort: Some("low".to_owned()),
        service_tier: Some("flex".to_owned()),
        store: None,
        background: None,
        verbosity: Some("low".to_owned()),
    };
    let format = Format::JsonSchema(SchemaFormat {
        name: "s".to_owned(),
        schema: json!({"type": "object"}),
        strict: true,
    });
    let answer = stream(&text_and_call()).trace.items;
    let result = |form| Entry::Result {
        call_id: "call_1".to_owned(),
        name: "f".to_owned(),
        form,
        output: "11".to_owned(),
    };
    let entries = vec![
        Entry::User {
            text: "hi".to_owned(),
        },
        Entry::Answer { items: answer },
        result(CallForm::Function),
        result(CallForm::Custom),
    ];
    (
        tools,
        vec![json!({"type": "web_search"})],
        settings,
        format,
        entries,
    )
}

#[test]
fn encodes_a_request_as_an_agent_would() {
    let (tools, wire_tools, settings, format, entries) = full_request();
    let mut request = TurnRequest {
        model: "m",
        stream: true,
        system: Some("be brief"),
        tools: &tools,
        wire_tools: &wire_tools,
        settings: &settings,
        effort_field: None,
        stored: false,
        previous: None,
        format: Some(&format),
        entries: &entries,
    };
    let body = encode(Dialect::Responses, &request);
    let keys: Vec<&str> = body
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys.join(" "),
        "model instructions input tools tool_choice parallel_tool_calls reasoning max_output_tokens \
         max_tool_calls temperature top_p text service_tier store include stream"
    );
    assert_eq!(
        body["input"],
        json!([
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            message("Hello"),
            call("fc_1", "{\"city\":\"Dublin\"}"),
            {"type": "function_call_output", "call_id": "call_1", "output": "11"},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "11"},
        ])
    );
    assert_eq!(
        body["tools"],
        json!([
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true},
            {"type": "function", "name": "none", "description": "d", "strict": true,
             "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": false}},
            {"type": "custom", "name": "c", "description": "d"},
            {"type": "web_search"},
        ])
    );
    assert_eq!(body["tool_choice"], json!({"type": "custom", "name": "c"}));
    assert_eq!(body["reasoning"], json!({"effort": "low"}));
    assert_eq!(
        body["text"],
        json!({"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": true},
            "verbosity": "low"})
    );
    assert_eq!(body["store"], json!(false));
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));

    let kept = Settings {
        store: Some(true),
        ..Settings::default()
    };
    let (no_tools, no_wire) = (IndexMap::new(), Vec::new());
    request.tools = &no_tools;
    request.wire_tools = &no_wire;
    request.settings = &kept;
    request.system = None;
    request.format = None;
    request.stream = false;
    let body = encode(Dialect::Responses, &request);
    let keys: Vec<&str> = body
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, ["model", "input", "store", "stream"]);
    assert_eq!(
        (&body["store"], &body["stream"]),
        (&json!(true), &json!(false))
    );
}

proptest! {
    #[test]
    fn two_models_get_bodies_that_differ_in_the_model_alone(
        one in "[a-z0-9./-]{1,20}", two in "[a-z0-9./-]{1,20}", stream: bool,
    ) {
        let (tools, wire_tools, settings, format, entries) = full_request();
        let body = |model: &str| encode(Dialect::Responses, &TurnRequest {
            model, stream, system: Some("s"), tools: &tools, wire_tools: &wire_tools,
            settings: &settings, effort_field: None, stored: false, previous: None, format: Some(&format), entries: &entries,
        });
        let (mut first, second) = (body(&one), body(&two));
        prop_assert_eq!(&first["model"], &json!(one));
        first["model"] = json!(two);
        prop_assert_eq!(first.to_string(), second.to_string());
    }
}
