//! One turn of a cell: encode, authorise, send, decode, check the wire.
//!
//! Shell. Whether a turn is sent again is decided in `attempts`; what its answer means, in `check`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::Value;

use crate::auth::SignInFailure;
use crate::auth::authorize::authorize;
use crate::auth::credentials::SignedIn;
use crate::catalog::Catalog;
use crate::catalog::failure::UNKNOWN;
use crate::check::finding::Finding;
use crate::check::rules::{self, Subject};
use crate::conduct::cell::Lane;
use crate::conduct::circumstance;
use crate::conduct::compose::{self, Conversation};
use crate::conduct::told::{Told, redacted};
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::{self, Decoded, Dialect};
use crate::plan;
use crate::report::event::RunEvent;
use crate::scenario::model::{ClockState, Scenario};
use crate::transport::{Outgoing, Transport};
use crate::turn::exchange::{End, Exchange};
use crate::turn::trace::{Failure, Layer, TurnTrace};

/// How wrong a clock is that a scenario asks for. AWS takes signatures for 5 minutes.
const WRONG_BY: Duration = Duration::from_secs(20 * 60);

/// What one turn came to.
pub(in crate::conduct) struct TurnOutcome {
    pub trace: TurnTrace,
    pub findings: Vec<Finding>,
    pub sent: bool,
    /// Whether the server answered 401.
    pub refused: bool,
    pub total: Option<Duration>,
}

/// A request of a turn.
pub(in crate::conduct) struct Asked<'a> {
    pub method: &'static str,
    pub url: String,
    /// What the answer is held against; only a POST carries it.
    pub body: &'a Value,
    /// Headers that go with the body.
    pub added: &'a [(String, String)],
}

/// Which turn of which cell.
#[derive(Clone, Copy)]
pub(in crate::conduct) struct TurnPlace<'a> {
    pub cell: usize,
    pub scenario: &'a Scenario,
    pub index: usize,
    /// The id of the cell's session.
    pub session: &'a str,
}

/// A turn that is asked, and as whom.
pub(in crate::conduct) struct TurnAt<'a> {
    pub place: TurnPlace<'a>,
    /// How often this turn is sent, counting from 1.
    pub attempt: usize,
    pub signed: &'a SignedIn,
}

impl<'a> TurnPlace<'a> {
    pub(in crate::conduct) fn asked(self, attempt: usize, signed: &'a SignedIn) -> TurnAt<'a> {
        TurnAt {
            place: self,
            attempt,
            signed,
        }
    }
}

impl<T: Transport> Lane<'_, T> {
    /// One turn: its request is encoded, sent and, where it is worked on in the background, asked for until it
    /// is finished.
    pub(in crate::conduct) async fn turn(
        &self,
        turn: &TurnAt<'_>,
        conversation: Conversation<'_>,
    ) -> TurnOutcome {
        let scenario = turn.place.scenario;
        let target = self.target;
        let composed = compose::turn(self.conductor.catalog, target, scenario, conversation);
        let asked = Asked {
            method: "POST",
            url: composed.url,
            body: &composed.body,
            added: &composed.added,
        };
        let mut answer = self.exchange(turn, asked).await;
        if scenario.settings.background == Some(true) {
            let route = plan::scenario_route(scenario, target);
            answer = self
                .when_finished(turn, &route, &composed.body, answer)
                .await;
        }
        answer
    }

    /// One exchange: authorise, send, decode, check the wire.
    pub(in crate::conduct) async fn exchange(
        &self,
        turn: &TurnAt<'_>,
        asked: Asked<'_>,
    ) -> TurnOutcome {
        let Asked {
            method, url, body, ..
        } = asked;
        let target = self.target;
        let scenario = turn.place.scenario;
        let bytes = match method {
            "POST" => Bytes::from(body.to_string()),
            _ => Bytes::new(),
        };
        let session_header = target.provider.session_header.as_deref();
        let mut headers = compose::headers(target, scenario, turn.place.session, asked.added);
        let shown = headers.clone();
        // Added after what is shown, so that they are blanked like what authorisation adds.
        headers.extend(self.identities.secret_headers());
        let signed_at = match scenario.given.clock {
            None => SystemTime::now(),
            Some(ClockState::Behind) => SystemTime::now() - WRONG_BY,
            Some(ClockState::Ahead) => SystemTime::now() + WRONG_BY,
        };
        if let Err(failure) = authorize(
            &turn.signed.credentials,
            method,
            &url,
            &mut headers,
            &bytes,
            signed_at,
        ) {
            return not_sent(&failure);
        }
        let exchange = self
            .conductor
            .transport
            .send(
                Outgoing {
                    method,
                    url: url.clone(),
                    headers: headers.clone(),
                    body: bytes,
                },
                self.limits(scenario),
            )
            .await;
        let read = read(Answer {
            dialect: target.dialect,
            mapping: target.agent.clone(),
            session: session_header.map(|name| (name.to_owned(), turn.place.session.to_owned())),
            provider: target.provider.id.clone(),
            catalog: self.conductor.catalog,
            streamed: scenario.stream,
            body: body.clone(),
            exchange,
        });
        let Read {
            answer: Answer { exchange, .. },
            mut decoded,
            findings,
        } = match read.await {
            Ok(read) => read,
            Err(reason) => return unreadable(reason),
        };
        if let Some(failure) = &mut decoded.trace.failure {
            let credentials = &turn.signed.credentials;
            circumstance::reconsider(failure, &exchange, credentials, target, signed_at);
        }
        let told = Told {
            cell: turn.place.cell,
            index: turn.place.index,
            attempt: turn.attempt,
            scenario,
            method,
            url,
            request_headers: self
                .conductor
                .seen
                .redact_headers(&redacted(shown, &headers)),
            response_headers: exchange
                .head
                .as_ref()
                .map(|head| self.conductor.seen.redact_headers(&head.headers))
                .unwrap_or_default(),
            body: if method == "POST" { body } else { &Value::Null },
            exchange: &exchange,
            decoded: &decoded,
        };
        let record = told.record(self.conductor.keep_streams);
        self.tell(RunEvent::Exchange(Box::new(record)));
        TurnOutcome {
            sent: !matches!(exchange.end, End::Unreachable { .. }),
            refused: exchange
                .head
                .as_ref()
                .is_some_and(|head| head.status == 401),
            total: matches!(exchange.end, End::Complete).then_some(exchange.total),
            trace: decoded.trace,
            findings,
        }
    }
}

/// An answer to be read, with all that reading needs.
struct Answer {
    dialect: Dialect,
    mapping: Mapping,
    /// The header and the id of the session, where the provider keeps one.
    session: Option<(String, String)>,
    provider: String,
    catalog: &'static Catalog,
    streamed: bool,
    body: Value,
    exchange: Exchange,
}

/// An answer that was read.
struct Read {
    answer: Answer,
    decoded: Decoded,
    findings: Vec<Finding>,
}

/// Decodes and checks an answer on a thread of its own: a long one must not delay the clocks of the
/// other lanes. The error is a mistake of ours.
async fn read(answer: Answer) -> Result<Read, String> {
    tokio::task::spawn_blocking(move || {
        let decoded = dialect::decode_mapped(
            answer.dialect,
            &answer.mapping,
            &answer.provider,
            &answer.catalog.failures,
            &answer.exchange,
            answer.streamed,
        );
        let mut findings = rules::check(
            answer.dialect.word(),
            &Subject {
                events: &decoded.events,
                trace: &decoded.trace,
                streamed: answer.streamed,
                framed: decoded.framed,
                head: answer.exchange.head.as_ref(),
                end: Some(&answer.exchange.end),
                request: Some(&answer.body),
            },
        );
        if let (Some((name, sent)), Some(head)) = (&answer.session, &answer.exchange.head) {
            findings.extend(rules::agentcore::session(head, name, sent));
        }
        Read {
            answer,
            decoded,
            findings,
        }
    })
    .await
    .map_err(|error| error.to_string())
}

/// An answer that this program broke on: nothing is known of it, and the cell must not pass.
fn unreadable(reason: String) -> TurnOutcome {
    TurnOutcome {
        trace: TurnTrace {
            failure: Some(Failure {
                class: UNKNOWN.to_owned(),
                layer: Layer::Response,
                status: None,
                code: None,
                kind: None,
                param: None,
                message: format!("this answer broke sameturn itself, please report it: {reason}"),
                retry_after: None,
            }),
            ..TurnTrace::default()
        },
        findings: Vec::new(),
        sent: true,
        refused: false,
        total: None,
    }
}

/// A turn that ended before its request left.
pub(in crate::conduct) fn not_sent(failure: &SignInFailure) -> TurnOutcome {
    TurnOutcome {
        trace: TurnTrace {
            failure: Some(Failure {
                class: failure.class.to_owned(),
                layer: Layer::Local,
                status: None,
                code: Some(failure.cause.to_owned()),
                kind: None,
                param: None,
                message: failure.message.clone(),
                retry_after: None,
            }),
            ..TurnTrace::default()
        },
        findings: Vec::new(),
        sent: false,
        refused: false,
        total: None,
    }
}
