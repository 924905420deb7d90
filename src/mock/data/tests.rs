//! The data that ships is whole.

use crate::mock::data::*;

#[test]
fn the_shipped_data_is_whole() {
    let data = MockData::shipped().expect("the shipped data");
    for fault in &data.http_faults {
        // A provider without the row cannot show the fault; one that can must be there.
        let shown = |id| data.providers.iter().any(|one| one.errors.contains_key(id));
        assert!(
            fault.needs().is_none_or(shown),
            "nobody shows {}",
            fault.name
        );
    }
    for provider in &data.providers {
        for error in provider.errors.values() {
            let (_, body) = Refusal::new(&error.id)
                .body(provider, Api::Responses)
                .expect("there is one");
            if !error.headers.contains_key("content-type") {
                let read = serde_json::from_str::<Value>(&body);
                assert!(read.is_ok(), "{}: {body}", error.id);
            }
        }
    }
    for api in [
        Api::Responses,
        Api::Chat,
        Api::Converse,
        Api::Invoke,
        Api::Agentcore,
    ] {
        let mut names = data.fault_names(api);
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a fault name is there twice");
    }
}

#[test]
fn the_key_order_of_the_envelope_is_the_providers() {
    let data = MockData::shipped().expect("the shipped data");
    let keys = |provider: &str| -> Vec<String> {
        let body = &data.provider(provider).expect("there is one").errors["server-error"].body;
        let value: Value = serde_json::from_str(body).expect("JSON");
        value["error"]
            .as_object()
            .expect("there is one")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(keys("openai"), ["message", "type", "param", "code"]);
    assert_eq!(
        keys("bedrock-runtime"),
        ["message", "type", "param", "code"]
    );
    assert_eq!(keys("bedrock-mantle"), ["code", "message", "param", "type"]);
}
