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
fn what_is_embedded_is_what_the_files_say() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("mocks");
    let mut files = BTreeMap::new();
    texts(&folder, &folder, &mut files);
    let shipped = Files::shipped();
    assert!(shipped.paths().eq(files.keys().map(String::as_str)));
    let written = Files::written(&files);
    for path in files.keys() {
        let value = |files: &Files<'_>| files.parse::<Value>(path).expect("it reads").to_string();
        assert_eq!(value(&shipped), value(&written), "{path}");
    }
    // As types too: YAML gives a number where text is wanted, and JSON does not.
    let read = MockData::read(&files).expect("the files read");
    let embedded = MockData::shipped().expect("the shipped data");
    assert_eq!(format!("{embedded:?}"), format!("{read:?}"));
}

/// The texts of all YAML files of a folder and those below it, by their paths from the first.
fn texts(root: &std::path::Path, folder: &std::path::Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            texts(root, &path, files);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let name = path.strip_prefix(root).expect("it is below");
            let text = std::fs::read_to_string(&path).expect("a text");
            files.insert(name.to_string_lossy().replace('\\', "/"), text);
        }
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
