//! Values of schemas, and schemas that have none.

use crate::mock::satisfy::*;

fn check(schema: Value) -> Value {
    let value = satisfy(&schema);
    let mut compiler = boon::Compiler::new();
    compiler.enable_format_assertions();
    compiler
        .add_resource("mem:///t.json", schema.clone())
        .expect("there is one");
    let mut schemas = boon::Schemas::new();
    let index = compiler
        .compile("mem:///t.json", &mut schemas)
        .expect("there is one");
    if let Err(error) = schemas.validate(&value, index) {
        panic!("{value} is not of {schema}: {error}");
    }
    value
}

#[test]
fn values_hold_for_their_schema() {
    for schema in [
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer", "minimum": 7, "multipleOf": 5}}, "required": ["a", "b"], "additionalProperties": false}),
        json!({"type": ["null", "number"], "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        json!({"type": "integer", "exclusiveMinimum": -5, "maximum": -2}),
        json!({"type": "number", "minimum": 0.2, "maximum": 0.3}),
        json!({"type": "array", "items": {"type": "string"}, "minItems": 4, "uniqueItems": true}),
        json!({"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": true}),
        json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false}),
        json!({"type": "array", "maxItems": 0}),
        json!({"anyOf": [{"type": "null"}, {"type": "object", "properties": {"k": {"const": 3}}, "required": ["k"]}]}),
        json!({"oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "string", "format": "uuid"}]}),
        json!({"allOf": [{"type": "object", "properties": {"a": {"type": "integer", "minimum": 2}}}, {"properties": {"a": {"minimum": 9}, "b": {"type": "boolean"}}, "required": ["a", "b"]}]}),
        json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"value": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"]}}}),
        json!({"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}, "required": ["kids"]}),
        json!({"type": "string", "pattern": "^[A-Z]{2}[0-9]{3,5}$", "minLength": 6}),
        json!({"type": "string", "minLength": 40, "maxLength": 41}),
        json!({"type": "string", "maxLength": 3}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "ipv6"}),
        json!({"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}}),
        json!({"type": "object", "properties": {"unit": {"type": "string", "default": "kelvin", "enum": ["celsius", "fahrenheit"]}}, "required": ["unit"]}),
        json!({"type": "integer", "default": "many"}),
        json!({"enum": [null, "x"], "type": ["string", "null"]}),
        json!({"properties": {"a": {}}, "required": ["a", "other"], "dependentRequired": {"a": ["third"]}}),
        json!({"type": "array", "contains": {"const": 4}, "minItems": 2}),
        json!({}),
        json!(true),
    ] {
        check(schema);
    }
}

#[test]
fn hints_come_first_and_texts_are_harmless() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string", "examples": ["Dublin"]}, "cmd": {"type": "string"}, "unused": {"type": "string"}}, "required": ["city", "cmd"]});
    assert_eq!(
        check(schema),
        json!({"city": "Dublin", "cmd": "echo sameturn"})
    );
}

#[test]
fn a_schema_without_an_end_is_given_up() {
    let names: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
    let properties: Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), json!({"$ref": "#"})))
        .collect();
    satisfy(&json!({"properties": properties, "required": names}));
    satisfy(&json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]}));
    let array = |items: Value| json!({"type": "array", "minItems": 9999, "items": items});
    satisfy(&array(array(array(json!({"type": "integer"})))));
    satisfy(&json!({"$ref": "file:///etc/hostname"}));
}

#[test]
fn a_schema_without_a_value_does_not_keep_us_busy() {
    let choice = json!({"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]});
    let node = |key: &str| json!({"type": "object", "required": [key, "never"], "properties": {key: choice, "never": {"type": "string", "enum": [1]}}});
    let endless = json!({"$ref": "#/$defs/a", "$defs": {"a": node("x"), "b": node("y")}});
    let unique = |items: Value| json!({"type": "array", "uniqueItems": true, "minItems": 10_000, "items": items});
    for schema in [
        endless,
        unique(json!({"type": "boolean"})),
        unique(json!({"type": "object"})),
        unique(json!({"type": "integer"})),
        unique(unique(json!({"type": "boolean"}))),
    ] {
        let before = std::time::Instant::now();
        satisfy(&schema);
        let took = before.elapsed();
        assert!(took.as_secs() < 20, "{took:?} for {schema}");
    }
}

fn any_schema() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        (-50i64..50, 0i64..50).prop_map(
            |(low, width)| json!({"type": "integer", "minimum": low, "maximum": low + width})
        ),
        (0usize..30, 0usize..30).prop_map(
            |(min, more)| json!({"type": "string", "minLength": min, "maxLength": min + more})
        ),
        Just(json!({"type": "boolean"})),
        Just(json!({"enum": ["red", 4, null]})),
        Just(json!({"type": "string", "pattern": "^[a-f0-9]{8}$"})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0usize..4).prop_map(|(items, min)| json!({"type": "array", "items": items, "minItems": min})),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|parts| {
                let names: Vec<String> = (0..parts.len()).map(|n| format!("p{n}")).collect();
                let properties: Map<String, Value> = names.iter().cloned().zip(parts).collect();
                json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
            }),
            proptest::collection::vec(inner, 1..3).prop_map(|parts| json!({"anyOf": parts})),
        ]
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_schema_is_satisfied(schema in any_schema()) {
        check(schema);
    }
}
