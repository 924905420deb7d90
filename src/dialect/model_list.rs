//! A list of models, as the OpenAI APIs answer it: bytes in, rows out.
//!
//! Providers add fields of their own; those that tell whether a model can be used are kept.

use serde_json::Value;

/// What a list says of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    pub id: String,
    /// `available`, or another word of the provider.
    pub status: Option<String>,
    /// Why the status is what it is.
    pub status_reason: Option<String>,
    /// The mode of data retention that calls of it have.
    pub retention: Option<String>,
}

/// A list, or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelList {
    pub models: Vec<ListedModel>,
    /// Whether the provider says that there are more.
    pub more: bool,
}

/// Reads `{"object": "list", "data": [{"id": …}, …]}`, or the bare array that some servers send.
/// `None` where it is neither.
pub fn read(body: &[u8]) -> Option<ModelList> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let rows = value.as_array().or_else(|| value["data"].as_array())?;
    let models = rows.iter().map(row).collect::<Option<Vec<_>>>()?;
    Some(ModelList {
        models,
        more: value["has_more"] == true,
    })
}

/// Reads one model, as it is asked for by its id.
pub fn read_one(body: &[u8]) -> Option<ListedModel> {
    row(&serde_json::from_slice(body).ok()?)
}

fn row(value: &Value) -> Option<ListedModel> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(ListedModel {
        id: text(&value["id"])?,
        status: text(&value["status"]),
        status_reason: text(&value["status_reason"]),
        retention: text(&value["data_retention"]["mode"]),
    })
}

#[cfg(test)]
mod tests {
    use crate::dialect::model_list::{read, read_one};

    #[test]
    fn lists_of_all_kinds_are_read() {
        let list = read(br#"{"object":"list","data":[{"id":"a"},{"id":"b","status":"unavailable","status_reason":"why"}]}"#)
            .expect("a list");
        assert_eq!(list.models[0].id, "a");
        assert_eq!(list.models[1].status_reason.as_deref(), Some("why"));
        assert!(!list.more);
        assert_eq!(
            read(br#"[{"id":"a"}]"#).map(|list| list.models.len()),
            Some(1)
        );
        assert!(read(br#"{"data":[],"has_more":true}"#).is_some_and(|list| list.more));
        for other in ["", "<html>", "{}", r#"{"data":[{"name":"a"}]}"#, "[1]"] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
        let one =
            read_one(br#"{"id":"a","data_retention":{"mode":"default"}}"#).expect("one model");
        assert_eq!(one.retention.as_deref(), Some("default"));
    }
}
