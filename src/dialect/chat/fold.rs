//! The fold of Chat Completions chunks into a trace.
//!
//! A turn is the first choice; what other choices say is for the rules, which read the chunks. It
//! judges nothing, and reads on after the finish reason, because the usage comes later.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::dialect::answer::{Fold, Over};
use crate::dialect::chat::chunk::{Choice, ChunkView, Meta, some_text, text_of};
use crate::dialect::chat::strand::{Field, Fragments, Kind, Strand};
use crate::dialect::failure::Envelope;
use crate::dialect::shallow::view;
use crate::dialect::stream::{OutputKind, Outputs};
use crate::dialect::template::Template;
use crate::dialect::wire::{Payload, WireEvent};
use crate::turn::trace::{Stop, Timing, TurnTrace, Usage};

/// The fold, fed one chunk after the other.
#[derive(Debug, Default)]
pub struct ChatFold {
    response_id: Option<String>,
    model: Option<String>,
    service_tier: Option<String>,
    /// Parts of the first choice in the order of their arrival.
    strands: Vec<Strand>,
    /// Which strand each text is, by its place in [`Field::ALL`], and the one call of the old form.
    texts: [Option<usize>; 4],
    old_call: Option<usize>,
    /// Which strand the calls of an index add to.
    by_index: HashMap<u64, usize>,
    /// The choice that is the turn: the one that came first.
    own: Option<u64>,
    /// The choices seen, and why each ended.
    finished: BTreeMap<u64, Option<String>>,
    usage: Option<Usage>,
    error: Option<Envelope>,
    /// A guardrail of the endpoint said that it stepped in.
    intervened: bool,
    /// `[DONE]` came.
    done: bool,
    timing: Timing,
    template: Template<Place>,
}

/// Where the only text of a chunk belongs.
#[derive(Debug, Clone, Copy)]
struct Place {
    choice: Option<u64>,
    /// In [`Field::ALL`].
    field: usize,
}

/// What differs from chunk to chunk and is not looked at.
const FREE: [&str; 2] = ["created", "obfuscation"];

impl Fold for ChatFold {
    const NAME: &'static str = "the Chat Completions API";
    const END: &'static str = "a finish_reason";
    const NOT_AN_ANSWER: &'static str = "chat/not-a-completion";

    fn is_answer(body: &Value) -> bool {
        body["object"] == "chat.completion"
            || body["choices"]
                .as_array()
                .is_some_and(|choices| choices.iter().any(|one| one["message"].is_object()))
    }

    fn is_event(event: &WireEvent) -> bool {
        event.json().is_some_and(|chunk| {
            chunk["object"] == "chat.completion.chunk"
                || chunk["choices"].is_array()
                || error(event).is_some()
        })
    }

    fn flaw(event: &WireEvent) -> Option<(&'static str, &'static str)> {
        let has_choices = event
            .json()
            .is_some_and(|chunk| chunk["choices"].is_array());
        match has_choices || error(event).is_some() {
            true => None,
            false => Some(("chat/not-a-chunk", "no choices")),
        }
    }

    /// What comes after `[DONE]` is not part of the turn any more, because clients stop reading there.
    fn take(&mut self, event: &WireEvent) -> Outputs {
        let mut outputs = Outputs::default();
        if self.done {
            return outputs;
        }
        if event.payload == Payload::Done {
            self.done = true;
            return outputs;
        }
        self.timing.first_event.get_or_insert(event.at);
        let Some(chunk) = event.json() else {
            return outputs;
        };
        if let Some(error) = error(event) {
            self.error.get_or_insert_with(|| Envelope::of_json(error));
        }
        self.take_meta(&Meta::of(chunk));
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let delta = Choice::of(choice, &choice["delta"]);
            outputs.add_all(self.take_choice(&delta, event.at, false));
        }
        outputs
    }

    fn take_data(&mut self, name: Option<&str>, data: &str, at: Duration) -> Option<Outputs> {
        if self.done || name == Some("error") {
            return None;
        }
        if let Some((place, text)) = self.template.read(data) {
            let choice = place.choice_of(text);
            return Some(self.take_choice(&choice, at, false));
        }
        let view: ChunkView<'_> = view(data)?;
        let choice = view.choice()?;
        self.timing.first_event.get_or_insert(at);
        self.take_meta(&view.meta());
        if let Some((place, text)) = Place::of(&choice) {
            self.template.learn(data, text, &FREE, || place);
        }
        Some(self.take_choice(&choice, at, false))
    }

    fn take_whole(&mut self, event: &WireEvent) -> Outputs {
        let mut outputs = Outputs::default();
        self.timing.first_event.get_or_insert(event.at);
        let Some(answer) = event.json() else {
            return outputs;
        };
        self.take_meta(&Meta::of(answer));
        for choice in answer["choices"].as_array().into_iter().flatten() {
            let message = Choice::of(choice, &choice["message"]);
            outputs.add_all(self.take_choice(&message, event.at, true));
        }
        // It is as whole as it will be, whether it says why it ended or not.
        for reason in self.finished.values_mut() {
            reason.get_or_insert_default();
        }
        outputs
    }

    fn closed(&self) -> bool {
        self.done
    }

    fn over(&self) -> Option<Over> {
        if self.error.is_some() {
            return Some(Over::Failed);
        }
        let whole = !self.finished.is_empty() && self.finished.values().all(Option::is_some);
        whole.then_some(Over::Whole)
    }

    fn is_next(&self, event: &WireEvent) -> bool {
        let id = event.json().and_then(|chunk| some_text(chunk, "id"));
        self.done || id.is_some() && id != self.response_id && self.over().is_some()
    }

    fn error(&self) -> Option<Envelope> {
        self.error.clone()
    }

    fn finish(mut self) -> TurnTrace {
        let own = self.own.and_then(|own| self.finished.remove(&own));
        let reason = own.flatten();
        // Texts in the order of their arrival, then the calls in the order of their indexes.
        let mut strands: Vec<(usize, Strand)> = self.strands.into_iter().enumerate().collect();
        strands.sort_by_key(|(arrival, strand)| match &strand.kind {
            Kind::Text { .. } => (false, 0, *arrival),
            Kind::Call(call) => (true, call.index.unwrap_or(u64::MAX), *arrival),
            Kind::OldCall { .. } => (true, u64::MAX, *arrival),
        });
        let calls = strands
            .iter()
            .any(|(_, strand)| matches!(strand.kind, Kind::Call(_)));
        TurnTrace {
            response_id: self.response_id,
            model: self.model,
            service_tier: self.service_tier,
            pending: false,
            stop: match self.intervened {
                true => reason.map(|_| Stop::Guardrail),
                false => reason.as_deref().and_then(|reason| stop(reason, calls)),
            },
            items: strands.into_iter().map(|(_, one)| one.item()).collect(),
            usage: self.usage,
            failure: None,
            irregularities: Vec::new(),
            timing: self.timing,
        }
    }
}

impl ChatFold {
    fn take_meta(&mut self, meta: &Meta<'_>) {
        let first = |old: &mut Option<String>, text: &str| {
            if old.is_none() && !text.is_empty() {
                *old = Some(text.to_owned());
            }
        };
        first(&mut self.response_id, meta.id);
        first(&mut self.model, meta.model);
        // The tier that was used is known at the end.
        if !meta.tier.is_empty() && self.service_tier.as_deref() != Some(meta.tier) {
            self.service_tier = Some(meta.tier.to_owned());
            // A chunk that is like one of before would change it again.
            self.template.forget();
        }
        if meta.usage.is_some() {
            self.usage = meta.usage;
        }
        self.intervened |= meta.intervened;
    }

    /// Says what output the choice brought.
    fn take_choice(&mut self, choice: &Choice<'_>, at: Duration, whole: bool) -> Outputs {
        let index = choice.index.unwrap_or(0);
        let state = self.finished.entry(index).or_default();
        let after = state.is_some();
        let reason = choice.reason;
        if state.is_none() && !reason.is_empty() {
            *state = Some(reason.to_owned());
        }
        // What comes after the end of a choice does not count: clients have acted on it already.
        if after || *self.own.get_or_insert(index) != index {
            return Outputs::default();
        }
        let mut outputs = self.take_texts(&choice.texts, at);
        let delta = choice.rest;
        let calls = delta["tool_calls"].as_array();
        for (place, fragment) in calls.into_iter().flatten().enumerate() {
            // In a whole message the place is the index.
            let index = match whole {
                true => Some(place as u64),
                false => fragment["index"].as_u64(),
            };
            self.take_fragment(index, fragment, at);
            outputs.add(OutputKind::Call);
        }
        if delta["function_call"].is_object() {
            self.take_old_call(&delta["function_call"], at);
            outputs.add(OutputKind::Call);
        }
        if !reason.is_empty() || whole {
            self.end_strands(at, 0);
        }
        outputs
    }

    fn take_texts(&mut self, texts: &[&str; 4], at: Duration) -> Outputs {
        let mut outputs = Outputs::default();
        for (text_place, field) in Field::ALL.into_iter().enumerate() {
            let more = texts[text_place];
            // Gateways send the same reasoning under both names.
            if more.is_empty() || field == Field::Reasoning && !texts[0].is_empty() {
                continue;
            }
            outputs.add(field.output());
            let known = self.texts[text_place].and_then(|place| self.strands.get_mut(place));
            match known {
                Some(Strand {
                    kind: Kind::Text { text, .. },
                    ended,
                    ..
                }) => {
                    text.push_str(more);
                    *ended = None;
                }
                _ => {
                    self.texts[text_place] = Some(self.strands.len());
                    let text = more.to_owned();
                    self.strand(Kind::Text { field, text }, at);
                }
            }
        }
        outputs
    }

    fn take_fragment(&mut self, index: Option<u64>, fragment: &Value, at: Duration) {
        let latest = self.strands.iter().rposition(is_call);
        let known = match index {
            Some(index) => self.by_index.get(&index).copied(),
            None => latest,
        };
        if let Some(place) = known
            && let Kind::Call(call) = &mut self.strands[place].kind
            && !call.is_other(fragment)
        {
            call.add(fragment);
            return;
        }
        // Another call begins, so the one before it is complete.
        if latest.is_some() {
            self.end_strands(at, latest.unwrap_or(0));
        }
        let mut call = Fragments {
            index,
            ..Fragments::default()
        };
        call.add(fragment);
        if let Some(index) = index {
            self.by_index.insert(index, self.strands.len());
        }
        self.strand(Kind::Call(call), at);
    }

    fn take_old_call(&mut self, fragment: &Value, at: Duration) {
        let (more_name, more) = (text_of(fragment, "name"), text_of(fragment, "arguments"));
        let known = self.old_call.and_then(|place| self.strands.get_mut(place));
        match known.map(|strand| &mut strand.kind) {
            Some(Kind::OldCall { name, arguments }) => {
                name.push_str(more_name);
                arguments.push_str(more);
            }
            _ => {
                self.old_call = Some(self.strands.len());
                let (name, arguments) = (more_name.to_owned(), more.to_owned());
                self.strand(Kind::OldCall { name, arguments }, at);
            }
        }
    }

    fn strand(&mut self, kind: Kind, at: Duration) {
        if self.strands.is_empty() {
            // Most answers have one; left to itself, the first makes room for four.
            self.strands.reserve_exact(1);
        }
        self.strands.push(Strand {
            kind,
            started: at,
            ended: None,
        });
    }

    /// Everything from this place on is complete.
    fn end_strands(&mut self, at: Duration, from: usize) {
        for strand in &mut self.strands[from..] {
            strand.ended.get_or_insert(at);
            if is_call(strand) {
                self.timing.first_call.get_or_insert(at);
            }
        }
    }
}

impl Place {
    /// The place of the only text of a choice, and the text; `None` where there are several or none.
    fn of<'a>(choice: &Choice<'a>) -> Option<(Place, &'a str)> {
        let mut texts = (0..).zip(choice.texts).filter(|(_, text)| !text.is_empty());
        let (field, text) = texts.next()?;
        let choice = choice.index;
        texts
            .next()
            .is_none()
            .then_some((Place { choice, field }, text))
    }

    /// The choice that brings this text here and nothing else.
    fn choice_of(self, text: &str) -> Choice<'_> {
        let mut texts = [""; 4];
        texts[self.field] = text;
        Choice {
            index: self.choice,
            reason: "",
            texts,
            rest: &Value::Null,
        }
    }
}

fn is_call(strand: &Strand) -> bool {
    matches!(strand.kind, Kind::Call(_))
}

/// The error that an event tells: under `error`, or as the event itself.
fn error(event: &WireEvent) -> Option<&Value> {
    let chunk = event.json()?;
    let told = chunk.get("error").is_some_and(|error| !error.is_null())
        || event.name.as_deref() == Some("error")
        || chunk["object"] == "error";
    told.then_some(chunk)
}

/// Why the turn ended.
fn stop(reason: &str, calls: bool) -> Option<Stop> {
    match reason {
        // A call that tool_choice forces ends with `stop`; the model waits for its result all the same.
        "stop" if calls => Some(Stop::ToolCalls),
        "stop" => Some(Stop::End),
        "tool_calls" | "function_call" => Some(Stop::ToolCalls),
        "length" => Some(Stop::Length),
        "content_filter" => Some(Stop::ContentFilter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::chat::fold::*;

    fn chunk(tier: &str, delta: &str, pad: &str) -> String {
        format!(
            r#"{{"id":"c","created":1,"service_tier":"{tier}","choices":[{{"index":0,"delta":{{{delta}}}}}],"obfuscation":"{pad}"}}"#
        )
    }

    /// Or the figures for speed say nothing.
    #[test]
    fn chunks_that_repeat_each_other_are_not_parsed() {
        let mut fold = ChatFold::default();
        let mut take = |chunk: &str| fold.take_data(None, chunk, Duration::ZERO);
        assert!(take(&chunk("default", r#""content":"one""#, "x")).is_some());
        let like = chunk("default", r#""content":"two""#, "yz");
        assert!(fold.template.read(&like).is_some());
    }

    #[test]
    fn of_several_texts_none_is_the_only_one() {
        let mut fold = ChatFold::default();
        let both = chunk("default", r#""reasoning":"one","content":"one""#, "x");
        assert!(fold.take_data(None, &both, Duration::ZERO).is_some());
        assert!(fold.template.read(&both).is_none());
    }

    /// The second has an escape, so that it is no template itself.
    #[test]
    fn a_tier_that_changes_back_changes_back() {
        let mut fold = ChatFold::default();
        for (tier, text) in [("default", "one"), ("flex", r"\n"), ("default", "two")] {
            let chunk = chunk(tier, &format!(r#""content":"{text}""#), "");
            assert!(fold.take_data(None, &chunk, Duration::ZERO).is_some());
            assert_eq!(fold.service_tier.as_deref(), Some(tier));
        }
    }
}
