//! A response that the provider works on in the background: asked for until it is finished.
//!
//! Sends through the lane; decides nothing about what an answer means. Source of the procedure: OpenAI's guide to
//! background mode (https://developers.openai.com/docs/guides/background, 2026-09): keep asking while the status
//! is `queued` or `in_progress`.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::conduct::cell::Lane;
use crate::conduct::turn::{Asked, TurnAt, TurnOutcome};
use crate::plan::Route;
use crate::transport::Transport;
use crate::turn::trace::{Failure, Layer};

/// The first wait before asking again; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

impl<T: Transport> Lane<'_, T> {
    /// The answer that `first` promised. Each question is an exchange of the record; the findings are those of
    /// the last answer, which `asked` (the body of the first request) is held against. No
    /// question begins later than one exchange may take; the last may then take as long again.
    pub(in crate::conduct) async fn when_finished(
        &self,
        turn: &TurnAt<'_>,
        route: &Route,
        asked: &Value,
        first: TurnOutcome,
    ) -> TurnOutcome {
        let started = Instant::now();
        let before = first.total.unwrap_or_default();
        let limit = self.limits(turn.place.scenario).total;
        let mut answer = first;
        let mut wait = FIRST_WAIT;
        while answer.trace.pending && answer.trace.failure.is_none() {
            let Some(id) = answer.trace.response_id.clone() else {
                return failed(
                    answer,
                    "bad_response",
                    "the response is not finished and has no id to ask for it by",
                );
            };
            if before + started.elapsed() + wait > limit {
                return failed(
                    answer,
                    "timed_out",
                    &format!("the response was not finished within {limit:?}"),
                );
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            let again = Asked {
                method: "GET",
                url: route.below(&id).url("", false),
                body: asked,
                added: &[],
            };
            answer = self.exchange(turn, again).await;
            // Asking as somebody else would mean to begin again with a second response.
            answer.refused = false;
        }
        answer.total = answer.total.map(|_| before + started.elapsed());
        answer
    }
}

fn failed(mut answer: TurnOutcome, class: &str, message: &str) -> TurnOutcome {
    answer.trace.failure = Some(Failure {
        class: class.to_owned(),
        layer: Layer::Response,
        status: None,
        code: None,
        kind: None,
        param: None,
        message: message.to_owned(),
        retry_after: None,
    });
    answer
}
