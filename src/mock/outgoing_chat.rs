//! An answer on the wire of Chat Completions: the completion and the sequence of its chunks.
//!
//! Pure. It writes the API from its public description and from what providers were seen to send,
//! and must never use the client's decoder to do so.

use serde_json::{Map, Value, json};

use crate::mock::answer::{Answer, Call, CallContent, EarlyEnd, Said, pieces, tokens_of_json};
use crate::mock::ask_chat::ChatAsk;
use crate::mock::data::{ChatKind, Letters, Model, Provider};
use crate::mock::namer::Namer;
use crate::mock::outgoing::{OutEvent, OutStream, Outgoing};
use crate::mock::run::{self, Run};

/// Fewest and most letters that hide the length of a chunk, as seen in recorded streams.
const PADDING: (usize, usize) = (8, 16);

/// Writes an answer down. `now` is in Unix seconds.
pub fn build(
    provider: &Provider,
    model: &Model,
    kind: &ChatKind,
    ask: &ChatAsk,
    answer: &Answer,
    namer: &mut Namer,
    now: i64,
) -> Outgoing {
    let shown: Vec<&Said> = answer
        .items
        .iter()
        .filter(|said| kind.shows_reasoning || !matches!(said, Said::Reasoning(_)))
        .collect();
    let ids: Vec<String> = shown.iter().map(|_| call_id(namer)).collect();
    let finish = finish(answer);
    let usage = usage(provider, kind, ask, answer);
    let id = namer.id(&provider.manner.chat.id);
    let frame = |object: &str| {
        let mut frame = Map::new();
        frame.insert("id".to_owned(), json!(id));
        frame.insert("object".to_owned(), json!(object));
        frame.insert("created".to_owned(), json!(now));
        frame.insert("model".to_owned(), json!(model.told));
        if provider.manner.chat.service_tier {
            frame.insert("service_tier".to_owned(), tier(ask));
        }
        frame.insert("system_fingerprint".to_owned(), Value::Null);
        frame
    };

    let mut whole = frame("chat.completion");
    let mut choice = json!({
        "index": 0,
        "message": message(&shown, &ids),
        "logprobs": null,
        "finish_reason": finish,
    });
    if let Some(filter) = &provider.manner.content_filter {
        choice["content_filter_results"] = match finish {
            "content_filter" => filter.blocked.clone(),
            _ => filter.passed.clone(),
        };
        whole.insert("prompt_filter_results".to_owned(), filter.prompt.clone());
    }
    whole.insert("choices".to_owned(), json!([choice]));
    whole.insert("usage".to_owned(), usage.clone());

    let mut writer = Writer {
        provider,
        ask,
        frame: frame("chat.completion.chunk"),
        namer,
        chunks: Vec::new(),
    };
    writer.prompt_filter();
    writer.say(&shown, &ids);
    writer.finish(finish);
    if ask.include_usage {
        writer.chunk(json!([]), usage);
    }
    let mut stream = OutStream::of(writer.chunks);
    stream.done_markers = 1;
    Outgoing {
        stream,
        whole: Value::Object(whole),
    }
}

/// Ids of calls never start again here, also where they do on the Responses API:
/// github.com/pydantic/pydantic-ai/pull/6538.
fn call_id(namer: &mut Namer) -> String {
    namer.letters("call_", Letters::Alphanumeric, 24)
}

fn tier(ask: &ChatAsk) -> Value {
    match ask.body.get("service_tier") {
        Some(Value::String(tier)) if tier != "auto" => json!(tier),
        _ => json!("default"),
    }
}

fn finish(answer: &Answer) -> &'static str {
    let calls = answer
        .items
        .iter()
        .any(|said| matches!(said, Said::Call(_)));
    match answer.early_end {
        Some(EarlyEnd::MaxOutputTokens) => "length",
        Some(EarlyEnd::ContentFilter | EarlyEnd::Guardrail) => "content_filter",
        None if calls => "tool_calls",
        None => "stop",
    }
}

/// Input tokens of a request, by our estimate.
pub fn input_tokens(ask: &ChatAsk) -> u64 {
    let tools = ask.body.get("tools").map_or(0, tokens_of_json);
    let messages: u64 = ask.messages.iter().map(tokens_of_json).sum();
    (messages + tools).max(1)
}

fn usage(provider: &Provider, kind: &ChatKind, ask: &ChatAsk, answer: &Answer) -> Value {
    let input = input_tokens(ask);
    let output: u64 = answer.items.iter().map(Said::tokens).sum();
    let reasoning: u64 = answer
        .items
        .iter()
        .filter(|said| matches!(said, Said::Reasoning(_)))
        .map(Said::tokens)
        .sum();
    let mut prompt = json!({"cached_tokens": 0, "audio_tokens": 0});
    if provider.manner.usage_cache_write {
        prompt["cache_write_tokens"] = json!(0);
    }
    let details = match kind.shows_reasoning {
        true => Value::Null,
        false => json!({
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }),
    };
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input + output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": details,
    })
}

/// What all items of a kind say, as one text; `None` where there is none of them.
fn joined(shown: &[&Said], text: impl Fn(&Said) -> Option<&str>) -> Option<String> {
    let texts: Vec<&str> = shown.iter().filter_map(|said| text(said)).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

fn message(shown: &[&Said], ids: &[String]) -> Value {
    let content = joined(shown, |said| match said {
        Said::Text(text) | Said::Words(text) => Some(text),
        _ => None,
    });
    let refusal = joined(shown, |said| match said {
        Said::Refusal(text) => Some(text),
        _ => None,
    });
    let mut message = json!({
        "role": "assistant",
        "content": content,
        "refusal": refusal,
        "annotations": [],
    });
    let reasoning = joined(shown, |said| match said {
        Said::Reasoning(text) => Some(text),
        _ => None,
    });
    if let Some(reasoning) = reasoning {
        message["reasoning"] = json!(reasoning);
    }
    let calls: Vec<Value> = shown
        .iter()
        .zip(ids)
        .filter_map(|(said, id)| match said {
            Said::Call(call) => Some(whole_call(call, id)),
            _ => None,
        })
        .collect();
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    message
}

/// The type of a call, and the name of its text.
fn spelling(call: &Call) -> (&'static str, &'static str) {
    match call.content {
        CallContent::Arguments(_) => ("function", "arguments"),
        CallContent::Input(_) => ("custom", "input"),
    }
}

fn whole_call(call: &Call, id: &str) -> Value {
    let (kind, key) = spelling(call);
    json!({"id": id, "type": kind, kind: {"name": call.name, key: call.content.text()}})
}

struct Writer<'a> {
    provider: &'a Provider,
    ask: &'a ChatAsk,
    /// What all chunks have in common.
    frame: Map<String, Value>,
    namer: &'a mut Namer,
    chunks: Vec<OutEvent>,
}

impl Writer<'_> {
    fn chunk(&mut self, choices: Value, usage: Value) {
        let mut chunk = self.frame.clone();
        chunk.insert("choices".to_owned(), choices);
        if self.ask.include_usage {
            chunk.insert("usage".to_owned(), usage);
        }
        if self.provider.manner.chat.obfuscation && self.ask.obfuscation {
            let padding = self.namer.padding(PADDING.0, PADDING.1);
            chunk.insert("obfuscation".to_owned(), json!(padding));
        }
        self.chunks.push(OutEvent::of(Value::Object(chunk)));
    }

    /// The chunk before all others, which has no id and no choice.
    fn prompt_filter(&mut self) {
        if let Some(filter) = &self.provider.manner.content_filter {
            self.chunks.push(OutEvent::of(json!({
                "choices": [],
                "created": 0,
                "id": "",
                "model": "",
                "object": "",
                "prompt_filter_results": filter.prompt,
            })));
        }
    }

    fn choice(&mut self, delta: Value, finish: Option<&str>) {
        let mut choice = json!({
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish,
        });
        if let Some(filter) = &self.provider.manner.content_filter {
            choice["content_filter_results"] = match finish {
                Some("content_filter") => filter.blocked.clone(),
                None if delta.get("role").is_none() => filter.passed.clone(),
                _ => json!({}),
            };
        }
        self.chunk(json!([choice]), Value::Null);
    }

    fn say(&mut self, shown: &[&Said], ids: &[String]) {
        let only_calls = !shown.is_empty() && shown.iter().all(|s| matches!(s, Said::Call(_)));
        let content = match only_calls {
            true => Value::Null,
            false => json!(""),
        };
        self.choice(
            json!({"role": "assistant", "content": content, "refusal": null}),
            None,
        );
        let mut number = 0;
        for (said, id) in shown.iter().zip(ids) {
            match said {
                Said::Reasoning(_) => self.pieces("reasoning", said),
                Said::Text(_) | Said::Words(_) => self.pieces("content", said),
                Said::Refusal(_) => self.pieces("refusal", said),
                Said::Call(call) => {
                    self.call(call, number, id);
                    number += 1;
                }
            }
        }
    }

    fn pieces(&mut self, key: &str, said: &Said) {
        if matches!(said, Said::Words(_)) {
            return self.run(key, said);
        }
        for piece in said.pieces() {
            self.choice(json!({key: piece}), None);
        }
    }

    /// All pieces at once, as they differ in nothing else.
    fn run(&mut self, key: &str, said: &Said) {
        self.choice(json!({key: run::PIECE}), None);
        let Some(event) = self.chunks.last_mut() else {
            return;
        };
        let mut run = Run::of(said.pieces());
        if event.data.get("obfuscation").is_some() {
            event.data["obfuscation"] = json!(run::PADDING);
            let paddings = run.pieces.iter();
            let namer = &mut self.namer;
            let paddings = paddings.map(|_| namer.padding(PADDING.0, PADDING.1));
            run.paddings = paddings.collect();
        }
        event.run = Some(Box::new(run));
    }

    fn call(&mut self, call: &Call, number: usize, id: &str) {
        let (kind, key) = spelling(call);
        let begun =
            json!({"index": number, "id": id, "type": kind, kind: {"name": call.name, key: ""}});
        self.choice(json!({"tool_calls": [begun]}), None);
        for piece in pieces(call.content.text()) {
            let more = json!({"index": number, kind: {key: piece}});
            self.choice(json!({"tool_calls": [more]}), None);
        }
    }

    fn finish(&mut self, finish: &str) {
        self.choice(json!({}), Some(finish));
    }
}
