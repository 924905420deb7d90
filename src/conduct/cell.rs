//! One cell: a scenario at a target, turn by turn.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;

use crate::auth::credentials::{Credentials, SignedIn};
use crate::auth::seen::Seen;
use crate::auth::shared::SignIns;
use crate::auth::sign_in::sign_in_shared;
use crate::auth::{SignInFailure, Wanted};
use crate::catalog::Catalog;
use crate::check::expect;
use crate::check::finding::Finding;
use crate::conduct::compose;
use crate::conduct::identity::{self, Identities};
use crate::conduct::judge::{explain, judge, name_gap, stuck_finding, verdict};
use crate::conduct::renewal::{self, Renewals};
use crate::conduct::told::outline;
use crate::conduct::turn::TurnPlace;
use crate::plan::{self, PlannedScenario, PlannedTarget};
use crate::report::event::{CellResult, Judged, RunEvent, Verdict};
use crate::scenario::model::{CredentialState, RegionState, Scenario};
use crate::transport::{Limits, Transport};
use crate::turn::dialogue;
use crate::turn::trace::{Failure, Item, Layer, TurnTrace};

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
    /// AWS credentials that lanes share.
    pub sign_ins: SignIns,
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
    /// What became of tokens that the server refused.
    renewals: Renewals,
}

/// A finished cell with what it is compared by.
#[derive(Debug)]
pub struct CellOutcome {
    pub result: CellResult,
    pub traces: Vec<TurnTrace>,
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
            renewals: Renewals::default(),
        }
    }

    /// Runs one cell to its end.
    pub async fn run(&mut self, cell: usize, planned: &PlannedScenario) -> CellOutcome {
        let scenario = &planned.scenario;
        if let Err(reason) = plan::applies(scenario, self.target) {
            return without_turns(cell, Verdict::NotApplicable, reason);
        }
        let mut signed = match self.sign_in(scenario).await {
            Ok(signed) => signed,
            Err(reason) => return without_turns(cell, Verdict::Undetermined, reason),
        };
        if let (Some(_), Ok(signed)) = (scenario.given.clock, &signed)
            && !matches!(signed.credentials, Credentials::Aws { .. })
        {
            let reason = format!("signs in by {}, which has no clock", signed.how);
            return without_turns(cell, Verdict::NotApplicable, reason);
        }

        let mut traces: Vec<TurnTrace> = Vec::new();
        let mut findings: Vec<Judged> = Vec::new();
        let mut totals = Vec::new();
        let mut retries = Vec::new();
        let mut undetermined = None;
        let mut untold = false;
        let session = session_id(SystemTime::now(), self.index, cell);
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
            let conversation = match compose::continued(scenario, index, &entries, traces.last()) {
                Ok(conversation) => conversation,
                Err(stuck) => {
                    findings.push(self.judge(scenario, stuck_finding(index, &stuck)));
                    break;
                }
            };
            let place = TurnPlace {
                cell,
                scenario,
                index,
                session: &session,
            };
            let (mut outcome, first) = self
                .attempts(place, conversation, &mut signed, &mut retries)
                .await;
            let failure = outcome.trace.failure.clone();
            let expected = turn.expect.failure.as_ref();
            if let Some(failure) = &failure
                && !expected.is_some_and(|classes| classes.has(&failure.class))
                && self.says_nothing(scenario, failure)
            {
                undetermined = Some(self.reason(failure, signed.as_ref().err()));
                traces.push(outcome.trace);
                break;
            }
            let mut unmet = expect::check(turn, scenario, &outcome.trace, outcome.sent, &call_ids);
            let first = first.as_ref().unwrap_or(&outcome.trace);
            unmet.extend(expect::check_first(turn, first));
            // A rule of the wire says the same of the same arguments, with the event.
            let said = |rule: &str| outcome.findings.iter().any(|one| one.rule.ends_with(rule));
            if said("/strict-arguments") {
                unmet.retain(|one| one.rule != "expect/arguments");
            }
            if self.target.dialect.usage_is_optional()
                && failure.is_none()
                && outcome.trace.usage.is_none()
            {
                let before = unmet.len();
                unmet.retain(|one| one.rule != "expect/usage");
                untold |= unmet.len() < before;
            }
            if let Some(failure) = &failure
                && unmet.is_empty()
            {
                outcome
                    .findings
                    .retain(|one| !expect::says_the_same(failure, &one.rule));
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
            (_, None) if untold => (
                Verdict::NotApplicable,
                "this agent reports no usage, which the scenario asks about; all else was as expected"
                    .to_owned(),
            ),
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
            retries,
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
    pub(in crate::conduct) async fn sign_in(
        &mut self,
        scenario: &Scenario,
    ) -> Result<Result<SignedIn, SignInFailure>, String> {
        let given = &scenario.given;
        let key = given.credentials;
        if given.region.is_none()
            && let Some(known) = self.signed.get(&key)
            && !known.as_ref().is_ok_and(SignedIn::is_due)
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
        let lasting = matches!(
            key,
            None | Some(CredentialState::Denied | CredentialState::Expired)
        );
        let own = SignIns::default();
        let shared = match lasting && given.region.is_none() {
            true => &self.conductor.sign_ins,
            false => &own,
        };
        let environment = &identity.environment;
        let signed = sign_in_shared(&wanted, environment, &identity.limits, shared).await;
        if let Ok(signed) = &signed {
            self.conductor.seen.learn(&signed.credentials);
        }
        if given.region.is_none() && lasting {
            // A failure is remembered too: a hanging credential process would hang in every cell.
            let first = self.signed.insert(key, signed.clone()).is_none();
            if let (true, None, Ok(signed)) = (first, key, &signed) {
                self.tell_signed_in(signed);
            }
        }
        Ok(signed)
    }

    /// New credentials in place of ones that the server refused with 401; `None` where the command gave
    /// the same again, which need not be tried. Later cells use what came of it.
    pub(in crate::conduct) async fn renew(
        &mut self,
        old: &SignedIn,
    ) -> Result<Option<SignedIn>, SignInFailure> {
        let wanted = Wanted {
            provider: &self.target.provider,
            auth: self.identities.own.auth.as_ref(),
            region: self.target.region.as_deref(),
        };
        let own = &self.identities.own;
        let shared = &self.conductor.sign_ins;
        let signed = sign_in_shared(&wanted, &own.environment, &own.limits, shared).await;
        let signed = signed.map_err(renewal::failed);
        self.signed.insert(None, signed.clone());
        let signed = signed?;
        self.conductor.seen.learn(&signed.credentials);
        let new = !signed.credentials.same_secrets(&old.credentials);
        self.renewals.count(new);
        self.tell_signed_in(&signed);
        Ok(new.then_some(signed))
    }

    fn tell_signed_in(&self, signed: &SignedIn) {
        let mut warnings = signed.warnings.clone();
        warnings.extend(self.renewals.words());
        self.tell(RunEvent::SignedIn {
            target: self.index,
            how: signed.how.clone(),
            warnings,
        });
    }

    pub(in crate::conduct) fn tell(&self, event: RunEvent) {
        // Nobody listens any more only when the run is being torn down.
        let _ = self.events.send(event);
    }

    pub(in crate::conduct) fn limits(&self, scenario: &Scenario) -> Limits {
        let mut limits = self.conductor.limits;
        limits.idle = scenario.limits.idle.unwrap_or(limits.idle);
        limits.total = scenario.limits.total.unwrap_or(limits.total);
        limits
    }

    /// Whether a failure tells nothing about the provider: it was never asked, or cannot be reached.
    /// Where the scenario itself chose the credentials or region, not asking tells something.
    fn says_nothing(&self, scenario: &Scenario, failure: &Failure) -> bool {
        let given = &scenario.given;
        let staged = given.credentials.is_some() || given.region.is_some() || given.clock.is_some();
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
        let cause = local.map_or(String::new(), |failure| format!("/{}", failure.cause));
        format!(
            "{}{cause}: {}. {fix}",
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
            retries: Vec::new(),
            ttft: Vec::new(),
            total: Vec::new(),
            findings: Vec::new(),
            outline: Vec::new(),
        },
        traces: Vec::new(),
    }
}

/// The id of a cell's session: the same in all its turns, and nobody else's. 33 characters are the least
/// that is taken (service model bedrock-agentcore of botocore 1.44.5). It is no secret.
fn session_id(now: SystemTime, target: usize, cell: usize) -> String {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "sameturn-{:032x}-{:08x}-{target:x}-{cell:x}",
        since.as_nanos(),
        std::process::id()
    )
}
