//! Managed agents of a mocked provider: an invocation finds its session, and the session remembers it.
//!
//! Shell like `server`, whose street this is. It must never decide what an answer says.

use std::sync::PoisonError;

use crate::mock::agent;
use crate::mock::answer::Answer;
use crate::mock::chosen::Chosen;
use crate::mock::namer::Namer;
use crate::mock::pace::Pace;
use crate::mock::plain_model;
use crate::mock::refusal::Refusal;
use crate::mock::route::Route;
use crate::mock::sending::{self, Reply};
use crate::mock::server::{Incoming, Street, model_asked};
use crate::mock::sessions::Session;

impl Street {
    /// An invocation of a managed agent, which remembers its session.
    pub(in crate::mock) fn invoke_agent(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        who: &str,
    ) -> Result<Reply, Refusal> {
        if let Some(early) = self.instead(request, route, chosen) {
            return early;
        }
        let mut namer = Namer::of(self.seed, request.number | 1 << 63);
        let id = model_asked(route, request.arrived.body);
        let ask = agent::read(route, &id, &request.arrived, &mut namer)?;
        let place = Session {
            provider: route.provider.manner.name.clone(),
            region: route.region.region.clone(),
            agent: id,
            who: who.to_owned(),
            id: ask.session.clone(),
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let said = sessions.of(place);
        let answer = match chosen.no_items {
            true => Answer::default(),
            false => chosen.said(plain_model::answer(
                &agent::question(&ask, said),
                chosen.script,
                self.words,
            )),
        };
        let outgoing = agent::build(&ask, said, &answer);
        agent::remember(&ask, &answer, said);
        let pace = Pace::of(self.seed, request.number, route.region);
        Ok(sending::good(
            ask.stream,
            outgoing,
            chosen.wire.as_ref(),
            pace,
        ))
    }
}
