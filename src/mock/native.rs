//! The native API of a mocked provider: Converse and InvokeModel, each plain and streamed.
//!
//! Shell like `server`, whose street this is. It must never decide what an answer says.

use serde_json::Value;

use crate::mock::answer::Answer;
use crate::mock::chosen::Chosen;
use crate::mock::guard::Guard;
use crate::mock::namer::Namer;
use crate::mock::outgoing_response::input_tokens;
use crate::mock::pace::Pace;
use crate::mock::refusal::Refusal;
use crate::mock::route::Route;
use crate::mock::sending::{self, Reply};
use crate::mock::server::{Incoming, Street, model_asked};
use crate::mock::{ask_chat, ask_converse, items, outgoing_converse, outgoing_invoke, plain_model};

impl Street {
    pub(in crate::mock) fn converse(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        stream: bool,
    ) -> Result<Reply, Refusal> {
        if let Some(early) = self.instead(request, route, chosen) {
            return early;
        }
        let bytes = request.arrived.body;
        let region = route.region.region.as_deref();
        let id = model_asked(route, bytes);
        let (ask, model) = ask_converse::read(route.provider, region, &id, stream, bytes)?;
        if input_tokens(&ask, &ask.items) > model.kind.context {
            return Err(Refusal::new("context-overflow"));
        }
        let sent: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let mut guard = Guard::of_body(route.provider, &sent)?;
        let mut answer = if chosen.no_items {
            Answer::default()
        } else {
            let heard = chosen.heard(bytes);
            let (heard, _) = ask_converse::read(route.provider, region, &id, stream, &heard)?;
            let question = items::question(route.provider, model, &heard, &ask.items);
            chosen.said(plain_model::answer(&question, chosen.script, self.words))
        };
        if let Some(guard) = &mut guard {
            answer = guard.judge(&sent["messages"], answer);
        }
        let mut namer = Namer::of(self.seed, request.number | 1 << 63);
        let pace = Pace::of(self.seed, request.number, route.region);
        let mut outgoing =
            outgoing_converse::build(route.provider, model, &ask, &answer, &mut namer, pace.now());
        if let Some(guard) = &guard {
            guard.mark_converse(&mut outgoing);
        }
        Ok(sending::good(stream, outgoing, chosen.wire.as_ref(), pace))
    }

    pub(in crate::mock) fn invoke(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        stream: bool,
    ) -> Result<Reply, Refusal> {
        if let Some(early) = self.instead(request, route, chosen) {
            return early;
        }
        let bytes = request.arrived.body;
        let region = route.region.region.as_deref();
        let id = model_asked(route, bytes);
        let (ask, model, kind) = ask_chat::read_invoke(route.provider, region, &id, stream, bytes)?;
        let completion = self.completion(request, route, chosen, &ask, model, kind)?;
        let pace = Pace::of(self.seed, request.number, route.region);
        let outgoing = outgoing_invoke::of_completion(completion, pace.now());
        let headers = outgoing_invoke::headers(&outgoing.whole, stream, pace.now());
        let mut reply = sending::good(stream, outgoing, chosen.wire.as_ref(), pace);
        reply.headers.extend(headers);
        Ok(reply)
    }
}
