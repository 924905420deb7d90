//! An answer on the wire: the Response object and the whole sequence of its events.
//!
//! Pure. It writes the Responses API from its public description and must never use the client's
//! decoder to do so. The echo of the request keeps what was sent, with documented defaults.

use serde_json::{Map, Value, json};

use crate::mock::answer::{Answer, Call, CallContent, Said, pieces, tokens_of_json};
use crate::mock::ask::Ask;
use crate::mock::data::{CallIds, Model, Provider};
use crate::mock::namer::Namer;
use crate::mock::outgoing::{OutEvent, OutStream, Outgoing};
use crate::mock::run::{self, Run};

/// Writes an answer down. `conversation` is all that the model was told; `now` is in Unix seconds.
pub fn build(
    provider: &Provider,
    model: &Model,
    ask: &Ask,
    conversation: &[Value],
    answer: &Answer,
    namer: &mut Namer,
    now: i64,
) -> Outgoing {
    let id = namer.id(&provider.manner.ids.response);
    let mut response = frame(provider, ask, &id, now);
    let mut events = vec![
        json!({"type": "response.created", "response": response}),
        json!({"type": "response.in_progress", "response": response}),
    ];
    let mut writer = Writer {
        provider,
        model,
        ask,
        namer,
        calls: 0,
    };
    let mut output = Vec::new();
    for (index, said) in answer.items.iter().enumerate() {
        let cut = answer.early_end.is_some() && index + 1 == answer.items.len();
        output.push(writer.item(said, index, cut, &mut events));
    }
    let status = match answer.early_end {
        Some(_) => "incomplete",
        None => "completed",
    };
    response["status"] = json!(status);
    if let Some(end) = answer.early_end {
        response["incomplete_details"] = json!({"reason": end.reason()});
    } else {
        response["completed_at"] = json!(now);
    }
    response["output"] = Value::Array(output);
    response["usage"] = usage(provider, ask, conversation, answer);
    if response["service_tier"] == "auto" {
        response["service_tier"] = json!("default");
    }
    events.push(json!({"type": format!("response.{status}"), "response": response}));
    let mut words = answer.items.iter();
    let words = words.find(|said| matches!(said, Said::Words(_)));
    let mut number = 0;
    let events = events
        .into_iter()
        .map(|data| {
            let run = words.filter(|_| data["delta"] == run::PIECE);
            let run = run.map(|said| Run {
                first: number,
                ..Run::of(said.pieces())
            });
            let told = match &run {
                Some(_) => json!(run::NUMBER),
                None => json!(number),
            };
            number += run.as_ref().map_or(1, |run| run.pieces.len() as u64);
            OutEvent {
                run: run.map(Box::new),
                ..OutEvent::of(numbered(data, told))
            }
        })
        .collect();
    Outgoing {
        stream: OutStream::of(events),
        whole: response,
    }
}

/// `sequence_number` stands right after `type`.
fn numbered(data: Value, number: Value) -> Value {
    let Value::Object(fields) = data else {
        return data;
    };
    let mut out = Map::new();
    for (key, value) in fields {
        let first = key == "type";
        out.insert(key, value);
        if first {
            out.insert("sequence_number".to_owned(), number.clone());
        }
    }
    Value::Object(out)
}

/// Input tokens of a request, by our estimate.
pub fn input_tokens(ask: &Ask, conversation: &[Value]) -> u64 {
    let mut all: u64 = conversation.iter().map(tokens_of_json).sum();
    for key in ["instructions", "tools"] {
        all += ask.body.get(key).map_or(0, tokens_of_json);
    }
    all.max(1)
}

fn usage(provider: &Provider, ask: &Ask, conversation: &[Value], answer: &Answer) -> Value {
    let input = input_tokens(ask, conversation);
    let output: u64 = answer.items.iter().map(Said::tokens).sum();
    let is_reasoning = |item: &&Said| matches!(item, Said::Reasoning(_));
    let reasoning: u64 = answer
        .items
        .iter()
        .filter(is_reasoning)
        .map(Said::tokens)
        .sum();
    let mut details = json!({"cached_tokens": 0});
    if provider.manner.usage_cache_write {
        details["cache_write_tokens"] = json!(0);
    }
    json!({
        "input_tokens": input,
        "input_tokens_details": details,
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input + output,
    })
}

/// The Response object before anything was said.
fn frame(provider: &Provider, ask: &Ask, id: &str, now: i64) -> Value {
    let or = |key: &str, default: Value| match ask.body.get(key) {
        Some(value) if !value.is_null() => value.clone(),
        _ => default,
    };
    let mut text = or("text", json!({}));
    if let Some(text) = text.as_object_mut() {
        text.entry("format").or_insert(json!({"type": "text"}));
        text.entry("verbosity").or_insert(json!("medium"));
    }
    let mut reasoning = or("reasoning", json!({}));
    if let Some(reasoning) = reasoning.as_object_mut() {
        reasoning.entry("effort").or_insert(json!("medium"));
        reasoning.entry("summary").or_insert(Value::Null);
    }
    let mut response = json!({
        "id": id,
        "object": "response",
        "created_at": now,
        "status": "in_progress",
        "background": or("background", json!(false)),
        "completed_at": null,
        "error": null,
        "frequency_penalty": 0.0,
        "incomplete_details": null,
        "instructions": or("instructions", Value::Null),
        "max_output_tokens": or("max_output_tokens", Value::Null),
        "max_tool_calls": or("max_tool_calls", Value::Null),
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": or("parallel_tool_calls", json!(true)),
        "presence_penalty": 0.0,
        "previous_response_id": or("previous_response_id", Value::Null),
        "prompt_cache_key": or("prompt_cache_key", Value::Null),
        "reasoning": reasoning,
        "safety_identifier": or("safety_identifier", Value::Null),
        "service_tier": or("service_tier", json!("auto")),
        "store": or("store", json!(true)),
        "temperature": or("temperature", json!(1.0)),
        "text": text,
        "tool_choice": or("tool_choice", json!("auto")),
        "tools": or("tools", json!([])),
        "top_logprobs": or("top_logprobs", json!(0)),
        "top_p": or("top_p", json!(1.0)),
        "truncation": or("truncation", json!("disabled")),
        "usage": null,
        "user": or("user", Value::Null),
        "metadata": or("metadata", json!({})),
    });
    for (key, value) in &provider.manner.response_extras {
        response[key.as_str()] = value.clone();
    }
    response
}

struct Writer<'a> {
    provider: &'a Provider,
    model: &'a Model,
    ask: &'a Ask,
    namer: &'a mut Namer,
    calls: usize,
}

impl Writer<'_> {
    fn item_id(&mut self, prefix: &str) -> String {
        let ids = &self.provider.manner.ids;
        self.namer
            .letters(prefix, ids.response.letters, ids.item_length)
    }

    fn call_id(&mut self) -> String {
        self.calls += 1;
        match self.model.kind.call_ids {
            CallIds::Counter => format!("call_{}", self.calls),
            CallIds::Random => {
                let letters = self.provider.manner.ids.response.letters;
                self.namer.letters("call_", letters, 24)
            }
        }
    }

    /// Sends one item and returns it as it is at the end.
    fn item(&mut self, said: &Said, index: usize, cut: bool, events: &mut Vec<Value>) -> Value {
        let end = if cut { "incomplete" } else { "completed" };
        match said {
            Said::Reasoning(text) => self.reasoning(text, index, events),
            Said::Text(_) | Said::Words(_) => self.message("output_text", said, index, end, events),
            Said::Refusal(_) => self.message("refusal", said, index, end, events),
            Said::Call(call) => self.call(call, index, end, events),
        }
    }

    fn reasoning(&mut self, text: &str, index: usize, events: &mut Vec<Value>) -> Value {
        let id = self.item_id("rs_");
        let mut item = json!({"id": id, "type": "reasoning", "summary": []});
        let mut begun = item.clone();
        if self.ask.wants_encrypted_reasoning() {
            // As seen on OpenAI, the item begins with less than it ends with.
            let prefix = &self.provider.manner.ids.encrypted_prefix;
            begun["encrypted_content"] = json!(self.namer.encrypted(prefix, 48));
            item["encrypted_content"] = json!(self.namer.encrypted(prefix, 96));
        }
        added(index, begun, events);
        let asked = self
            .ask
            .body
            .get("reasoning")
            .and_then(|one| one.get("summary"));
        if asked.is_some_and(Value::is_string) && !text.is_empty() {
            let at = json!({"item_id": id, "output_index": index, "summary_index": 0});
            let part = |text: &str| json!({"type": "summary_text", "text": text});
            push(
                "response.reasoning_summary_part.added",
                &at,
                "part",
                part(""),
                events,
            );
            for delta in pieces(text) {
                push(
                    "response.reasoning_summary_text.delta",
                    &at,
                    "delta",
                    json!(delta),
                    events,
                );
            }
            push(
                "response.reasoning_summary_text.done",
                &at,
                "text",
                json!(text),
                events,
            );
            push(
                "response.reasoning_summary_part.done",
                &at,
                "part",
                part(text),
                events,
            );
            item["summary"] = json!([part(text)]);
        }
        done(index, item, events)
    }

    fn message(
        &mut self,
        kind: &str,
        said: &Said,
        index: usize,
        end: &str,
        events: &mut Vec<Value>,
    ) -> Value {
        let text = said.text();
        let id = self.item_id("msg_");
        let item = |status: &str, content: Value| json!({"id": id, "type": "message", "status": status, "content": content, "role": "assistant"});
        let is_text = kind == "output_text";
        let part = |text: &str| {
            if is_text {
                json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
            } else {
                json!({"type": "refusal", "refusal": text})
            }
        };
        added(index, item("in_progress", json!([])), events);
        let at = json!({"item_id": id, "output_index": index, "content_index": 0});
        push("response.content_part.added", &at, "part", part(""), events);
        let name = |end: &str| format!("response.{kind}.{end}");
        let deltas = match said {
            Said::Words(_) => vec![run::PIECE.to_owned()],
            _ => said.pieces(),
        };
        for delta in deltas {
            push(&name("delta"), &at, "delta", json!(delta), events);
            if is_text {
                with_logprobs(events);
            }
        }
        let key = if is_text { "text" } else { "refusal" };
        push(&name("done"), &at, key, json!(text), events);
        if is_text {
            with_logprobs(events);
        }
        push(
            "response.content_part.done",
            &at,
            "part",
            part(text),
            events,
        );
        done(index, item(end, json!([part(text)])), events)
    }

    fn call(&mut self, call: &Call, index: usize, end: &str, events: &mut Vec<Value>) -> Value {
        let (kind, key, prefix, event) = match call.content {
            CallContent::Arguments(_) => (
                "function_call",
                "arguments",
                "fc_",
                "response.function_call_arguments",
            ),
            CallContent::Input(_) => (
                "custom_tool_call",
                "input",
                "ctc_",
                "response.custom_tool_call_input",
            ),
        };
        let text = call.content.text();
        let (id, call_id) = (self.item_id(prefix), self.call_id());
        let item = |status: &str, text: &str| {
            let mut item = json!({"id": id, "type": kind, "status": status, key: text, "call_id": call_id, "name": call.name});
            if let Some(namespace) = &call.namespace {
                item["namespace"] = json!(namespace);
            }
            item
        };
        added(index, item("in_progress", ""), events);
        let at = json!({"item_id": id, "output_index": index});
        for delta in pieces(text) {
            push(
                &format!("{event}.delta"),
                &at,
                "delta",
                json!(delta),
                events,
            );
        }
        push(&format!("{event}.done"), &at, key, json!(text), events);
        if key == "arguments"
            && let Some(last) = events.last_mut()
        {
            last["name"] = json!(call.name);
        }
        done(index, item(end, text), events)
    }
}

fn added(index: usize, item: Value, events: &mut Vec<Value>) {
    events.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
}

fn done(index: usize, item: Value, events: &mut Vec<Value>) -> Value {
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    item
}

/// An event at a place of an item, with one value.
fn push(kind: &str, at: &Value, key: &str, value: Value, events: &mut Vec<Value>) {
    let mut event = json!({"type": kind});
    if let (Some(event), Some(at)) = (event.as_object_mut(), at.as_object()) {
        event.extend(at.clone());
        event.insert(key.to_owned(), value);
    }
    events.push(event);
}

fn with_logprobs(events: &mut [Value]) {
    if let Some(last) = events.last_mut() {
        last["logprobs"] = json!([]);
    }
}
