//! The OpenAI-compatible APIs of a mocked provider: Responses and Chat Completions.
//!
//! Shell like `server`, whose street this is: it keeps stored responses. It must never decide what a model
//! says.

use std::time::Duration;

use serde_json::Value;

use crate::mock::answer::Answer;
use crate::mock::ask::{self, Ask};
use crate::mock::ask_chat::{self, ChatAsk};
use crate::mock::chosen::Chosen;
use crate::mock::data::{ChatKind, Model};
use crate::mock::guard::Guard;
use crate::mock::items;
use crate::mock::memory::{Place, Stored, unfinished};
use crate::mock::namer::Namer;
use crate::mock::outgoing::Outgoing;
use crate::mock::outgoing_chat;
use crate::mock::outgoing_response::{build, input_tokens};
use crate::mock::pace::Pace;
use crate::mock::plain_model;
use crate::mock::refusal::Refusal;
use crate::mock::route::Route;
use crate::mock::sending::{self, Reply};
use crate::mock::server::{Incoming, Street};

/// How long a response is worked on in the background.
const BACKGROUND: Duration = Duration::from_millis(400);

impl Street {
    pub(in crate::mock) fn respond(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        place: impl Fn(&str) -> Place,
    ) -> Result<Reply, Refusal> {
        if let Some(early) = self.instead(request, route, chosen) {
            return early;
        }
        let bytes = request.arrived.body;
        let region = route.region.region.as_deref();
        let base_path = route.base_path.unwrap_or_default();
        let (ask, model) = ask::read(route.provider, region, base_path, bytes)?;
        let (heard, _) = ask::read(route.provider, region, base_path, &chosen.heard(bytes))?;
        let model = &*chosen.model(model);
        let conversation = self.conversation(&ask, model, &place)?;
        items::check_pairs(&conversation)?;
        let tokens = input_tokens(&ask, &conversation);
        if tokens > model.kind.context {
            return Err(Refusal::new("context-overflow")
                .with("tokens", tokens)
                .with("maximum", model.kind.context)
                .with("model", &ask.model));
        }
        let answer = if chosen.no_items {
            Answer::default()
        } else {
            let question = items::question(route.provider, model, &heard, &conversation);
            chosen.said(plain_model::answer(&question, chosen.script, self.words))
        };
        let mut namer = Namer::of(self.seed, request.number | 1 << 63);
        let now = request.now.unix_timestamp();
        let outgoing = build(
            route.provider,
            model,
            &ask,
            &conversation,
            &answer,
            &mut namer,
            now,
        );
        let background = match &route.provider.manner.background_status {
            Some(status) if ask.flag("background", false) && !ask.stream => {
                Some((request.now + BACKGROUND, status.clone()))
            }
            _ => None,
        };
        if ask.flag("store", true) || background.is_some() {
            let id = outgoing.whole["id"].as_str().unwrap_or_default();
            let mut conversation = conversation;
            conversation.extend(
                outgoing.whole["output"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            );
            let size = bytes.len()
                + conversation
                    .iter()
                    .map(|item| item.to_string().len())
                    .sum::<usize>();
            let stored = Stored {
                response: outgoing.whole.clone(),
                pending: background.clone(),
                conversation,
                size,
            };
            self.memory().keep(place(id), stored);
        }
        if let Some((_, status)) = background {
            return Ok(Reply::json(200, &unfinished(&outgoing.whole, &status)));
        }
        let pace = Pace::of(self.seed, request.number, route.region);
        Ok(sending::good(
            ask.stream,
            outgoing,
            chosen.wire.as_ref(),
            pace,
        ))
    }

    /// A chat completion. `deployment` is the model that the address names, if it does.
    pub(in crate::mock) fn complete(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        deployment: Option<&str>,
    ) -> Result<Reply, Refusal> {
        if let Some(early) = self.instead(request, route, chosen) {
            return early;
        }
        let read = |body| {
            let region = route.region.region.as_deref();
            let base_path = route.base_path.unwrap_or_default();
            ask_chat::read(route.provider, region, base_path, deployment, body)
        };
        let (mut ask, model, kind) = read(request.arrived.body)?;
        ask.question = read(&chosen.heard(request.arrived.body))?.0.question;
        let outgoing = self.completion(request, route, chosen, &ask, model, kind)?;
        let pace = Pace::of(self.seed, request.number, route.region);
        Ok(sending::good(
            ask.stream,
            outgoing,
            chosen.wire.as_ref(),
            pace,
        ))
    }

    /// What a model of Chat Completions says, guarded as the request wants it.
    pub(in crate::mock) fn completion(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        ask: &ChatAsk,
        model: &Model,
        kind: &ChatKind,
    ) -> Result<Outgoing, Refusal> {
        let tokens = outgoing_chat::input_tokens(ask);
        if tokens > model.kind.context {
            return Err(Refusal::new("context-overflow")
                .with("tokens", tokens)
                .with("maximum", model.kind.context)
                .with("model", &model.id));
        }
        let mut guard = Guard::of_headers(route.provider, request.arrived.headers)?;
        let mut answer = match chosen.no_items {
            true => Answer::default(),
            false => chosen.said(plain_model::answer(
                &ask.question,
                chosen.script,
                self.words,
            )),
        };
        if let Some(guard) = &mut guard {
            answer = guard.judge(&ask.body["messages"], answer);
        }
        let mut namer = Namer::of(self.seed, request.number | 1 << 63);
        let now = request.now.unix_timestamp();
        let mut outgoing =
            outgoing_chat::build(route.provider, model, kind, ask, &answer, &mut namer, now);
        if let Some(guard) = &guard {
            guard.mark_completion(&mut outgoing);
        }
        Ok(outgoing)
    }

    /// All that the model is told: what was stored, then the items of this request.
    fn conversation(
        &self,
        ask: &Ask,
        model: &Model,
        place: &impl Fn(&str) -> Place,
    ) -> Result<Vec<Value>, Refusal> {
        let Some(id) = ask.body.get("previous_response_id").and_then(Value::as_str) else {
            return Ok(ask.items.clone());
        };
        let memory = self.memory();
        let Some(stored) = memory.get(&place(id)) else {
            let row = if model.kind.stored_id_in_message {
                "previous-not-found-named"
            } else {
                "previous-not-found"
            };
            return Err(Refusal::new(row).with("id", id));
        };
        let mut all = stored.conversation.clone();
        all.extend(ask.items.iter().cloned());
        Ok(all)
    }
}
