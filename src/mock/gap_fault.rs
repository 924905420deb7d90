//! Faults that take more than a broken stream: a server that does not hear a part of the request, refuses
//! it in somebody's words, answers something else, or numbers its calls. Each is a difference seen in the wild.
//!
//! Pure: the rows of `mocks/faults/gaps.yaml` and what they do to a request and an answer. It must never
//! repair an answer because the result would be wrong.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::mock::answer::{Answer, Said};
use crate::mock::data::{Api, CallIds, Model};
use crate::mock::mutate::{Op, WireFault};
use crate::mock::pointer::{child, each_place, set, unset};

/// A named difference. Without `when` it shows in every answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapFault {
    /// Stable, kebab-case: `named-tool-choice-ignored`.
    pub name: String,
    /// One sentence: what the client sees.
    pub about: String,
    /// Where it was seen.
    pub source: String,
    /// What must be in the request for it to show; all of it.
    #[serde(default)]
    pub when: Vec<When>,
    /// The request is refused.
    #[serde(default)]
    pub refuses: Option<Refused>,
    /// No answer at all, and the connection stays open.
    #[serde(default)]
    pub silence: bool,
    /// Changes to the request before the model hears it; answers echo what was sent.
    #[serde(default)]
    pub hears: Vec<Edit>,
    /// Changes to what the model says.
    #[serde(default)]
    pub says: Vec<Change>,
    /// How calls are numbered instead.
    #[serde(default)]
    pub call_ids: Option<CallIds>,
    /// Changes to a stream of Responses.
    #[serde(default)]
    pub stream: Vec<Op>,
    /// Changes to a stream of Chat Completions.
    #[serde(default)]
    pub chat: Vec<Op>,
    /// Changes to a stream of Converse.
    #[serde(default)]
    pub converse: Vec<Op>,
}

/// A place of the request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// A JSON pointer; `*` stands for any element.
    pub at: String,
    /// What must be there; anything but null where absent.
    #[serde(default)]
    pub is: Option<Value>,
    /// A text it must begin with.
    #[serde(default)]
    pub begins: Option<String>,
}

/// A refusal as it was seen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    pub status: u16,
    /// On top of the provider's headers; JSON is the content type unless one is here.
    #[serde(default)]
    pub headers: indexmap::IndexMap<String, String>,
    /// With `{{model}}` for the model that was asked for.
    pub body: String,
}

/// A change of the request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// This place is not read.
    Unset(String),
    /// Something else is read there.
    Set(Other),
}

/// See [`Edit::Set`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    pub pointer: String,
    pub value: Value,
}

/// A change of what is said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The last text goes on with this.
    AppendText(String),
    /// Calls are lost.
    DropCalls,
    /// Calls are written as this text instead.
    CallsAsText(String),
    /// The answer is cut at this many output tokens.
    Limit(u64),
    /// The text is this.
    Text(String),
}

impl GapFault {
    /// Whether it does anything to an answer of this API.
    pub fn concerns(&self, api: Api) -> bool {
        self.refuses.is_some()
            || self.silence
            || !self.hears.is_empty()
            || !self.says.is_empty()
            || self.call_ids.is_some()
            || !self.ops(api).is_empty()
    }

    fn ops(&self, api: Api) -> &[Op] {
        match api {
            Api::Responses => &self.stream,
            // InvokeModel carries the chunks of Chat Completions.
            Api::Chat | Api::Invoke => &self.chat,
            Api::Converse => &self.converse,
            Api::Agentcore => &[],
        }
    }

    /// Whether it shows in the answer to this request.
    pub fn shows(&self, body: &[u8]) -> bool {
        if self.when.is_empty() {
            return true;
        }
        let mut request: Value = serde_json::from_slice(body).unwrap_or_default();
        self.when.iter().all(|when| when.holds(&mut request))
    }

    /// The changes to the stream, where there are any.
    pub fn as_wire(&self, api: Api) -> Option<WireFault> {
        let ops = self.ops(api);
        (!ops.is_empty()).then(|| WireFault {
            name: self.name.clone(),
            about: self.about.clone(),
            trips: Vec::new(),
            source: self.source.clone(),
            stream: ops.to_vec(),
            renumber: None,
        })
    }

    /// The request as the model hears it.
    pub fn heard<'b>(&self, body: &'b [u8]) -> Cow<'b, [u8]> {
        let Ok(mut request) = serde_json::from_slice::<Value>(body) else {
            return Cow::Borrowed(body);
        };
        if self.hears.is_empty() {
            return Cow::Borrowed(body);
        }
        for edit in &self.hears {
            match edit {
                Edit::Unset(pointer) => {
                    each_place(&mut request, pointer, &mut |parent, key, _| {
                        unset(parent, key);
                    });
                }
                Edit::Set(other) => {
                    each_place(&mut request, &other.pointer, &mut |parent, key, many| {
                        set(parent, key, &other.value, many);
                    });
                }
            }
        }
        Cow::Owned(request.to_string().into_bytes())
    }

    /// The answer with its changes.
    pub fn said(&self, mut answer: Answer) -> Answer {
        for change in &self.says {
            answer = change.of(answer);
        }
        answer
    }

    /// The model, with its calls numbered otherwise.
    pub fn model<'m>(&self, model: &'m Model) -> Cow<'m, Model> {
        match self.call_ids {
            Some(call_ids) => {
                let mut other = model.clone();
                other.kind.call_ids = call_ids;
                Cow::Owned(other)
            }
            None => Cow::Borrowed(model),
        }
    }
}

impl When {
    fn holds(&self, request: &mut Value) -> bool {
        let mut holds = false;
        each_place(request, &self.at, &mut |parent, key, _| {
            let Some(value) = child(parent, key) else {
                return;
            };
            let fits = self.is.as_ref().is_none_or(|is| is == value)
                && self.begins.as_ref().is_none_or(|begins| {
                    value.as_str().is_some_and(|text| text.starts_with(begins))
                });
            holds |= fits && !value.is_null();
        });
        holds
    }
}

impl Change {
    fn of(&self, mut answer: Answer) -> Answer {
        let is_call = |item: &Said| matches!(item, Said::Call(_));
        match self {
            Change::AppendText(more) => {
                let last = answer.items.iter_mut().rev().find_map(|item| match item {
                    Said::Text(text) | Said::Words(text) => Some(text),
                    _ => None,
                });
                if let Some(text) = last {
                    text.push_str(more);
                }
            }
            Change::DropCalls => answer.items.retain(|item| !is_call(item)),
            Change::CallsAsText(text) => {
                let any = answer.items.iter().any(is_call);
                answer.items.retain(|item| !is_call(item));
                if any {
                    answer.items.push(Said::Text(text.clone()));
                }
            }
            Change::Limit(limit) => return answer.limited(Some(*limit)),
            Change::Text(other) => {
                for item in &mut answer.items {
                    if let Said::Text(text) | Said::Words(text) = item {
                        text.clone_from(other);
                    }
                }
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::mock::answer::{Call, CallContent};
    use crate::mock::gap_fault::*;

    fn fault(yaml: &str) -> GapFault {
        serde_yaml::from_str(&format!("name: x\nabout: x\nsource: x\n{yaml}")).expect("it reads")
    }

    #[test]
    fn a_fault_shows_where_its_conditions_hold() {
        let row = fault("when: [ { at: '/tools/*/type', is: custom }, { at: /stream } ]");
        let body = |value: Value| value.to_string().into_bytes();
        assert!(row.shows(&body(
            json!({"stream": true, "tools": [{"type": "function"}, {"type": "custom"}]})
        )));
        assert!(!row.shows(&body(
            json!({"stream": true, "tools": [{"type": "function"}]})
        )));
        assert!(!row.shows(&body(
            json!({"stream": null, "tools": [{"type": "custom"}]})
        )));
        let row = fault("when: [ { at: '/input/*/encrypted_content', begins: rsn } ]");
        assert!(row.shows(&body(json!({"input": [{"encrypted_content": "rsn_1"}]}))));
        assert!(!row.shows(&body(json!({"input": [{"encrypted_content": "gAAA"}]}))));
        assert!(fault("").shows(b"not json"));
    }

    #[test]
    fn the_model_hears_what_is_left() {
        let row = fault("hears: [ { unset: /tool_choice }, { set: { pointer: /n, value: 2 } } ]");
        let body = json!({"tool_choice": "none", "n": 1, "k": 3}).to_string();
        let heard: Value = serde_json::from_slice(&row.heard(body.as_bytes())).expect("JSON");
        assert_eq!(heard, json!({"n": 2, "k": 3}));
        assert_eq!(fault("").heard(b"x"), Cow::Borrowed(&b"x"[..]));
    }

    #[test]
    fn what_is_said_changes() {
        let call = Said::Call(Call {
            name: "f".to_owned(),
            namespace: None,
            content: CallContent::Arguments("{}".to_owned()),
        });
        let answer = |items: Vec<Said>| Answer {
            items,
            early_end: None,
        };
        let text = |text: &str| Said::Text(text.to_owned());
        let both = answer(vec![text("a"), call]);
        for (yaml, expected) in [
            ("says: [ { append_text: b } ]", None),
            ("says: [ drop_calls ]", Some(vec![text("a")])),
            (
                "says: [ { calls_as_text: c } ]",
                Some(vec![text("a"), text("c")]),
            ),
            ("says: [ drop_calls, { text: d } ]", Some(vec![text("d")])),
        ] {
            let said = fault(yaml).said(both.clone());
            match expected {
                Some(items) => assert_eq!(said.items, items, "{yaml}"),
                None => assert_eq!(said.items[0], text("ab"), "{yaml}"),
            }
        }
    }

    #[test]
    fn a_fault_of_one_api_is_none_of_another() {
        let row = fault("chat: [ { done_markers: 2 } ]");
        assert!(row.concerns(Api::Chat) && !row.concerns(Api::Responses));
        assert!(row.as_wire(Api::Converse).is_none());
        assert!(fault("silence: true").concerns(Api::Converse));
    }
}
