//! A neutral turn as the JSON body of InvokeModel: the chat body without its model.
//!
//! `stream` must fit the operation that the path names (AWS user guide, model-parameters-openai,
//! read 2026-11-21), and it does, because both come from the scenario.

use serde_json::Value;

use crate::dialect::chat;
use crate::turn::dialogue::TurnRequest;

/// The body of a request.
pub fn body(request: &TurnRequest<'_>) -> Value {
    let mut body = chat::encode::body(request);
    if let Value::Object(fields) = &mut body {
        fields.shift_remove("model");
    }
    body
}
