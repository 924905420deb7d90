//! One cell: a scenario at a target, turn by turn.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::auth::authorize::authorize;
use crate::auth::credentials::SignedIn;
use crate::auth::seen::Seen;
use crate::auth::sign_in::sign_in;
use crate::auth::{SignInFailure, Wanted};
use crate::catalog::Catalog;
use crate::catalog::failure::UNKNOWN;
use crate::check::expect;
use crate::check::finding::Finding;
use crate::check::rules::{self, Subject};
use crate::conduct::identity::{self, Identities};
use crate::conduct::judge::{explain, judge, name_gap, stuck_finding, verdict};
use crate::conduct::told::{Told, outline, redacted};
use crate::dialect::{self, Decoded, Dialect};
use crate::plan::{self, PlannedScenario, PlannedTarget};
use crate::report::event::{CellResult, Judged, RunEvent, Verdict};
use crate::scenario::model::{CredentialState, RegionState, Scenario};
use crate::transport::{Limits, Outgoing, Transport};
use crate::turn::dialogue::{self, TurnRequest};
use crate::turn::exchange::{End, Exchange};
use crate::turn::trace::{Failure, Item, Layer, TurnTrace};

/// A new sign-in is made this long before the old one expires.
const REFRESH_BEFORE: Duration = Duration::from_secs(300);

/// What all cells of a run share.
#[derive(Debug)]
pub struct Conductor<T> {
    pub transport: T,
    pub catalog: &'static Catalog,
    pub limits: Limits,
    /// Whether each response body goes into the record.
    pub keep_streams: bool,
    /// Told every secret that is used, so that reports can remove it.
    pub seen: Arc<Seen>,
}

/// A target's own thread of work: its cells run one after another, so that they do not disturb each
/// other's times.
pub struct Lane<'a, T> {
    pub conductor: &'a Conductor<T>,
    /// Which target of the run this is.
    pub index: usize,
    pub target: &'a PlannedTarget,
    pub identities: &'a Identities,
    pub events: UnboundedSender<RunEvent>,
    /// Sign-ins of the target's lasting identities; those staged for one cell are not kept.
    signed: HashMap<Option<CredentialState>, Result<SignedIn, SignInFailure>>,
}

/// A finished cell with what it is compared by.
#[derive(Debug)]
pub struct CellOutcome {
    pub result: CellResult,
    pub traces: Vec<TurnTrace>,
}

/// What one turn came to.
struct TurnOutcome {
    trace: TurnTrace,
    findings: Vec<Finding>,
    sent: bool,
    total: Option<Duration>,
}

impl<'a, T: Transport> Lane<'a, T> {
    /// A lane that has signed in nowhere yet.
    pub fn new(
        conductor: &'a Conductor<T>,
        index: usize,
        target: &'a PlannedTarget,
        identities: &'a Identities,
        events: UnboundedSender<RunEvent>,
    ) -> Lane<'a, T> {
        Lane {
            conductor,
            index,
            target,
            identities,
            events,
            signed: HashMap::new(),
        }
    }

    /// Runs one cell to its end.
    pub async fn run(&mut self, cell: usize, planned: &PlannedScenario) -> CellOutcome {
        let scenario = &planned.scenario;
        if let Err(reason) = plan::applies(scenario, self.target) {
            return without_turns(cell, Verdict::NotApplicable, reason);
        }
        let signed = match self.sign_in(scenario).await {
            Ok(Ok(signed)) => Ok(signed),
            Ok(Err(failure)) => Err(failure),
            Err(reason) => return without_turns(cell, Verdict::Undetermined, reason),
        };

        let mut traces: Vec<TurnTrace> = Vec::new();
        let mut findings: Vec<Judged> = Vec::new();
        let mut totals = Vec::new();
        let mut undetermined = None;
        let mut entries = Vec::new();
        let mut call_ids = BTreeSet::new();
        for index in 0..scenario.turns.len() {
            let answer: &[Item] = traces.last().map_or(&[], |trace| &trace.items);
            if let Err(stuck) = dialogue::advance(scenario, index, answer, &mut entries) {
                // Where the cell fails already, this only follows from it.
                if verdict(&findings) != Verdict::Fail {
                    findings.push(self.judge(scenario, stuck_finding(index, &stuck)));
                }
                break;
            }
            let turn = &scenario.turns[index];
            let mut outcome = match &signed {
                Ok(signed) => self.turn(cell, scenario, index, &entries, signed).await,
                Err(failure) => not_sent(failure),
            };
            let failure = outcome.trace.failure.clone();
            let expected = turn.expect.failure.as_deref();
            if let Some(failure) = &failure
                && expected != Some(failure.class.as_str())
                && self.says_nothing(scenario, failure)
            {
                undetermined = Some(self.reason(failure, signed.as_ref().err()));
                traces.push(outcome.trace);
                break;
            }
            let mut unmet = expect::check(turn, scenario, &outcome.trace, outcome.sent, &call_ids);
            // A rule of the wire says the same of the same arguments, with the event.
            let said = |rule: &str| outcome.findings.iter().any(|one| one.rule.ends_with(rule));
            if said("/strict-arguments") {
                unmet.retain(|one| one.rule != "expect/arguments");
            }
            outcome.findings.extend(unmet);
            for finding in &mut outcome.findings {
                finding.evidence.turn = Some(index + 1);
                name_gap(scenario, self.target.dialect, finding);
                let improvised = self.target.mocked && scenario.given.script.is_none();
                explain(
                    self.conductor.catalog,
                    improvised,
                    finding,
                    failure.as_ref(),
                );
            }
            call_ids.extend(outcome.trace.calls().map(|call| call.call_id.clone()));
            totals.extend(outcome.total);
            for finding in outcome.findings {
                findings.push(self.judge(scenario, finding));
            }
            traces.push(outcome.trace);
            if failure.is_some() {
                break;
            }
        }

        let (verdict, reason) = match (verdict(&findings), undetermined) {
            // What was found before the rest became unknown stays found.
            (Verdict::Fail, _) => (Verdict::Fail, String::new()),
            (_, Some(reason)) => (Verdict::Undetermined, reason),
            (verdict, None) => (verdict, String::new()),
        };
        let result = CellResult {
            cell,
            verdict,
            reason,
            failure: traces
                .last()
                .and_then(|trace| trace.failure.as_ref())
                .map(|failure| failure.class.clone()),
            // Without a stream the first output comes with the last, which is no time to first token.
            ttft: traces
                .iter()
                .filter(|_| scenario.stream)
                .filter_map(|trace| trace.timing.first_output)
                .collect(),
            total: totals,
            findings,
            outline: traces.iter().map(outline).collect(),
        };
        CellOutcome { result, traces }
    }

    /// Signs in as the scenario wants. The outer error is a reason why that cannot even be tried.
    async fn sign_in(
        &mut self,
        scenario: &Scenario,
    ) -> Result<Result<SignedIn, SignInFailure>, String> {
        let given = &scenario.given;
        let key = given.credentials;
        if given.region.is_none()
            && let Some(known) = self.signed.get(&key)
            && !known
                .as_ref()
                .is_ok_and(|signed| signed.expires_within(REFRESH_BEFORE, SystemTime::now()))
        {
            return Ok(known.clone());
        }
        let mut made = None;
        let identity = identity::choose(given, self.target, self.identities, &mut made)
            .map_err(|error| format!("could not make a temporary AWS home: {error}"))?
            .ok_or("this target has no such principal")?;
        let region = match given.region {
            Some(RegionState::None) => None,
            None => self.target.region.as_deref(),
        };
        let wanted = Wanted {
            provider: &self.target.provider,
            auth: identity.auth.as_ref(),
            region,
        };
        let signed = sign_in(&wanted, &identity.environment).await;
        if let Ok(signed) = &signed {
            self.conductor.seen.learn(&signed.credentials);
        }
        let lasting = matches!(
            key,
            None | Some(CredentialState::Denied | CredentialState::Expired)
        );
        if given.region.is_none() && lasting {
            // A failure is remembered too: a hanging credential process would hang in every cell.
            let first = self.signed.insert(key, signed.clone()).is_none();
            if let (true, None, Ok(signed)) = (first, key, &signed) {
                self.tell(RunEvent::SignedIn {
                    target: self.index,
                    how: signed.how.clone(),
                    warnings: signed.warnings.clone(),
                });
            }
        }
        Ok(signed)
    }

    /// One exchange: encode, authorise, send, decode, check the wire.
    async fn turn(
        &self,
        cell: usize,
        scenario: &Scenario,
        index: usize,
        entries: &[dialogue::Entry],
        signed: &SignedIn,
    ) -> TurnOutcome {
        let target = self.target;
        let model = plan::model(scenario, target);
        let row = self.conductor.catalog.model(&target.provider.id, model);
        let mut body = dialect::encode(
            target.dialect,
            &TurnRequest {
                model,
                stream: scenario.stream,
                system: scenario.system.as_deref(),
                tools: &scenario.tools,
                wire_tools: &scenario.wire_tools,
                settings: &scenario.settings,
                effort_field: row.and_then(|row| row.effort_field.as_deref()),
                format: scenario.format.as_ref(),
                entries,
            },
        );
        if let Some(fields) = body.as_object_mut() {
            fields.extend(scenario.wire_fields.clone());
        }
        let bytes = Bytes::from(body.to_string());
        let url = plan::scenario_route(scenario, target).url(model, scenario.stream);
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            (
                "accept".to_owned(),
                target.dialect.accept(scenario.stream).to_owned(),
            ),
            (
                "user-agent".to_owned(),
                concat!("sameturn/", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
        ];
        headers.extend(target.headers.iter().cloned());
        headers.extend(
            scenario
                .wire_headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone())),
        );
        let shown = headers.clone();
        if let Err(failure) = authorize(
            &signed.credentials,
            "POST",
            &url,
            &mut headers,
            &bytes,
            SystemTime::now(),
        ) {
            return not_sent(&failure);
        }
        let exchange = self
            .conductor
            .transport
            .send(
                Outgoing {
                    method: "POST",
                    url: url.clone(),
                    headers: headers.clone(),
                    body: bytes,
                },
                self.limits(scenario),
            )
            .await;
        let read = read(Answer {
            dialect: target.dialect,
            provider: target.provider.id.clone(),
            catalog: self.conductor.catalog,
            streamed: scenario.stream,
            body,
            exchange,
        });
        let Read {
            answer: Answer { body, exchange, .. },
            decoded,
            findings,
        } = match read.await {
            Ok(read) => read,
            Err(reason) => return unreadable(reason),
        };
        let told = Told {
            cell,
            index,
            scenario,
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
            body: &body,
            exchange: &exchange,
            decoded: &decoded,
        };
        let record = told.record(self.conductor.keep_streams);
        self.tell(RunEvent::Exchange(Box::new(record)));
        TurnOutcome {
            sent: !matches!(exchange.end, End::Unreachable { .. }),
            total: matches!(exchange.end, End::Complete).then_some(exchange.total),
            trace: decoded.trace,
            findings,
        }
    }

    fn tell(&self, event: RunEvent) {
        // Nobody listens any more only when the run is being torn down.
        let _ = self.events.send(event);
    }

    fn limits(&self, scenario: &Scenario) -> Limits {
        let mut limits = self.conductor.limits;
        limits.idle = scenario.limits.idle.unwrap_or(limits.idle);
        limits.total = scenario.limits.total.unwrap_or(limits.total);
        limits
    }

    /// Whether a failure tells nothing about the provider: it was never asked, or cannot be reached.
    /// Where the scenario itself chose the credentials or region, not asking tells something.
    fn says_nothing(&self, scenario: &Scenario, failure: &Failure) -> bool {
        let staged = scenario.given.credentials.is_some() || scenario.given.region.is_some();
        let class = self.conductor.catalog.failures.class(&failure.class);
        match failure.layer {
            Layer::Local => !staged,
            Layer::Connection => class.is_some_and(|class| class.undetermined),
            // The key that was given is refused: what was asked was never looked at.
            Layer::Response => !staged && class.is_some_and(|class| class.undetermined),
            Layer::Stream => false,
        }
    }

    fn reason(&self, failure: &Failure, local: Option<&SignInFailure>) -> String {
        let fix = local
            .and_then(|failure| failure.fix.clone())
            .or_else(|| {
                let class = self.conductor.catalog.failures.class(&failure.class)?;
                Some(class.fix.clone())
            })
            .unwrap_or_default();
        format!(
            "{}: {}. {fix}",
            failure.class,
            failure.message.trim_end_matches('.')
        )
        .trim_end()
        .to_owned()
    }

    fn judge(&self, scenario: &Scenario, finding: Finding) -> Judged {
        judge(self.conductor.catalog, self.target, &scenario.name, finding)
    }
}

fn without_turns(cell: usize, verdict: Verdict, reason: String) -> CellOutcome {
    CellOutcome {
        result: CellResult {
            cell,
            verdict,
            reason,
            failure: None,
            ttft: Vec::new(),
            total: Vec::new(),
            findings: Vec::new(),
            outline: Vec::new(),
        },
        traces: Vec::new(),
    }
}

/// An answer to be read, with all that reading needs.
struct Answer {
    dialect: Dialect,
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
        let decoded = dialect::decode(
            answer.dialect,
            &answer.provider,
            &answer.catalog.failures,
            &answer.exchange,
            answer.streamed,
        );
        let findings = rules::check(
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
        total: None,
    }
}

/// A turn that ended before its request left.
fn not_sent(failure: &SignInFailure) -> TurnOutcome {
    TurnOutcome {
        trace: TurnTrace {
            failure: Some(Failure {
                class: failure.class.to_owned(),
                layer: Layer::Local,
                status: None,
                code: None,
                kind: None,
                param: None,
                message: failure.message.clone(),
                retry_after: None,
            }),
            ..TurnTrace::default()
        },
        findings: Vec::new(),
        sent: false,
        total: None,
    }
}
