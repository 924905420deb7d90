//! What a fault answers before a request is even read: a refusal, silence, or a broken connection.
//!
//! Shell like `server`, whose street this is: it counts requests. It must never decide what a model says.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;

use crate::mock::chosen::Chosen;
use crate::mock::data::Api;
use crate::mock::refusal::Refusal;
use crate::mock::route::Route;
use crate::mock::sending::{Reply, ReplyBody};
use crate::mock::server::{Incoming, Street, model_asked};
use crate::mock::sigv4::{Arrived, stamp};

/// How fast the clock of a client with a wrong clock goes.
const FAST: Duration = Duration::from_secs(1800);

impl Street {
    /// The answer of the fault that was chosen, if it does not wait for the request to be read.
    pub(in crate::mock) fn instead(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
    ) -> Option<Result<Reply, Refusal>> {
        let without = |body| {
            Some(Ok(Reply {
                body,
                ..Reply::json(200, &Value::Null)
            }))
        };
        if chosen.silence {
            return without(ReplyBody::Never);
        }
        if chosen.closed {
            return without(ReplyBody::Closed);
        }
        let named = model_asked(route, request.arrived.body);
        if let Some(refused) = chosen.gap.and_then(|gap| gap.refuses.as_ref()) {
            let headers = refused.headers.iter();
            return Some(Ok(Reply {
                status: refused.status,
                headers: headers
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
                body: ReplyBody::Whole(refused.body.replace("{{model}}", &named)),
                principal: None,
            }));
        }
        let id = match (chosen.error, chosen.first) {
            (Some(id), _) => id,
            (None, Some((id, times))) => {
                let Arrived { path, body, .. } = request.arrived;
                // A signature changes with each request, the key it names does not.
                let key = principal_named(&request.arrived);
                let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
                first.refuses(path, key, body, times).then_some(id)?
            }
            (None, None) => return None,
        };
        // As if the clock of the client went half an hour fast.
        let stamps = [
            ("signed_at", request.now + FAST),
            ("now", request.now),
            ("limit", request.now),
        ];
        let maximum = route
            .provider
            .model(&named)
            .map_or(0, |model| model.kind.context);
        let path = match route.operation.api() {
            Api::Responses => "/v1/responses",
            Api::Chat => "/v1/chat/completions",
            Api::Converse => "/model/{modelId}/converse",
            Api::Agentcore => "/runtimes/{agentRuntimeArn}/invocations",
            Api::Invoke => "/model/{modelId}/invoke",
        };
        let refusal = stamps
            .into_iter()
            .fold(Refusal::new(id), |refusal, (gap, time)| {
                refusal.with(gap, stamp(time))
            });
        Some(Err(refusal
            .with("id", "resp_unknown")
            .with("type", "top_p")
            .with("model", named)
            .with("path", path)
            .with("tokens", maximum + 1)
            .with("maximum", maximum)))
    }
}

/// The part of `Authorization` that stays the same from request to request.
fn principal_named<'a>(arrived: &Arrived<'a>) -> &'a str {
    let said = arrived
        .headers
        .iter()
        .find(|(name, _)| name == "authorization" || name == "api-key")
        .map_or("", |(_, value)| value.as_str());
    match said.split_once("Credential=") {
        Some((_, scope)) => scope.split('/').next().unwrap_or(scope),
        None => said,
    }
}
