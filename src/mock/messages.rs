//! A conversation as the messages of Chat Completions: what must hold in it, and what the model
//! learns from it.
//!
//! Pure. It must never change a message.

use serde_json::Value;

use crate::mock::ask::{list, quoted};
use crate::mock::question::text_of;
use crate::mock::refusal::Refusal;

/// Roles, in the order in which a refusal names them.
const ROLES: [&str; 6] = [
    "system",
    "assistant",
    "user",
    "function",
    "tool",
    "developer",
];

/// Whether each message is whole, and each call is answered right after it was made.
pub fn check(messages: &[Value]) -> Result<(), Refusal> {
    if messages.is_empty() {
        return Err(Refusal::new("no-messages"));
    }
    // Calls of the last assistant message that no tool message has answered yet.
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !ROLES.contains(&role) {
            return Err(Refusal::new("bad-role")
                .with("index", index)
                .with("value", role)
                .with("expected", quoted(&ROLES.map(str::to_owned), '\'', "and")));
        }
        let calls: Vec<&Value> = list(message.get("tool_calls")).collect();
        let content = &message["content"];
        let said = content.is_string() || content.is_array();
        let enough = match role {
            "assistant" => said || !calls.is_empty() || message["refusal"].is_string(),
            _ => said,
        };
        if !enough {
            return Err(Refusal::new("bad-content").with("index", index));
        }
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(place) = open.iter().position(|one| *one == id) else {
                return Err(Refusal::new("orphan-output")
                    .with("index", index)
                    .with("id", id));
            };
            open.remove(place);
            continue;
        }
        unanswered(&open)?;
        open = calls
            .into_iter()
            .map(|call| call["id"].as_str().unwrap_or_default())
            .collect();
    }
    unanswered(&open)
}

fn unanswered(open: &[&str]) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    Err(Refusal::new("missing-output").with("id", open.join(", ")))
}

/// How many answers of the model a conversation holds.
pub fn answers_in(messages: &[Value]) -> usize {
    let of_model = |message: &&Value| message["role"] == "assistant";
    messages.iter().filter(of_model).count()
}

/// What the last tool said, where the conversation ends with that.
pub fn last_result(messages: &[Value]) -> Option<String> {
    let last = messages.last()?;
    (last["role"] == "tool").then(|| text_of(&last["content"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::mock::messages::*;

    fn check_id(messages: Value, expected: Option<&str>) {
        let list = messages.as_array().expect("a list");
        let refused = check(list).err().map(|refusal| refusal.id);
        assert_eq!(refused.as_deref(), expected, "{messages}");
    }

    #[test]
    fn calls_are_answered_right_after_they_were_made() {
        let user = json!({"role": "user", "content": "hi"});
        let calls =
            json!({"role": "assistant", "content": null, "tool_calls": [{"id": "a"}, {"id": "b"}]});
        let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "ok"});
        check_id(json!([user, calls, result("b"), result("a"), user]), None);
        check_id(json!([user, calls, result("a")]), Some("missing-output"));
        check_id(
            json!([user, calls, result("a"), user, result("b")]),
            Some("missing-output"),
        );
        check_id(
            json!([user, calls, result("a"), result("a")]),
            Some("orphan-output"),
        );
        check_id(json!([user, result("a")]), Some("orphan-output"));
        check_id(json!([]), Some("no-messages"));
        check_id(json!([{"role": "robot", "content": ""}]), Some("bad-role"));
        check_id(
            json!([{"role": "assistant", "content": null}]),
            Some("bad-content"),
        );
    }
}
