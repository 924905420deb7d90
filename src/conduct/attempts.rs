//! The attempts of a turn: once, and again only where the scenario asks for it or a token had to be replaced.
//!
//! Waits and sends through the lane; when to try again is decided by `retry` and `renewal`.

use crate::auth::SignInFailure;
use crate::auth::credentials::SignedIn;
use crate::conduct::cell::Lane;
use crate::conduct::compose::Conversation;
use crate::conduct::renewal;
use crate::conduct::retry::{self, Next};
use crate::conduct::turn::{TurnOutcome, TurnPlace, not_sent};
use crate::report::event::Retry;
use crate::transport::Transport;
use crate::turn::trace::TurnTrace;

impl<T: Transport> Lane<'_, T> {
    /// A turn with as many attempts as the scenario wants: the last of them with what the wire rules say
    /// of all, and the trace of the first where there were several. `signed` may be replaced on the way.
    pub(in crate::conduct) async fn attempts(
        &mut self,
        place: TurnPlace<'_>,
        conversation: Conversation<'_>,
        signed: &mut Result<SignedIn, SignInFailure>,
        retries: &mut Vec<Retry>,
    ) -> (TurnOutcome, Option<TurnTrace>) {
        let TurnPlace {
            cell,
            scenario,
            index,
            ..
        } = place;
        let salt = format!("{cell} {index} {}", self.target.name);
        let (mut first, mut findings) = (None, Vec::new());
        // Sent requests, and those of them that the scenario's own wish for retries counts.
        let (mut sent, mut tried) = (0, 0);
        let mut renewed = false;
        loop {
            // Between turns, and between attempts with long waits, credentials may come to their end.
            if signed.as_ref().is_ok_and(SignedIn::is_due)
                && let Ok(anew) = self.sign_in(scenario).await
            {
                *signed = anew;
            }
            let used = match &*signed {
                Ok(signed) => signed.clone(),
                Err(failure) => return (not_sent(failure), first),
            };
            sent += 1;
            let mut outcome = self.turn(&place.asked(sent, &used), conversation).await;
            // A token that the server refuses is replaced once; the turn is sent again as it was.
            if outcome.refused && !renewed && renewal::allowed(scenario, &used) {
                renewed = true;
                match self.renew(&used).await {
                    Ok(Some(new)) => {
                        *signed = Ok(new);
                        continue;
                    }
                    Ok(None) => {}
                    Err(failure) => {
                        outcome = TurnOutcome {
                            sent: true,
                            ..not_sent(&failure)
                        };
                        *signed = Err(failure);
                    }
                }
            }
            tried += 1;
            findings.append(&mut outcome.findings);
            let failure = outcome.trace.failure.as_ref();
            let next = retry::next(scenario.retries.as_ref(), tried, failure, &salt);
            let told = |waited, gave_up| Retry {
                turn: index + 1,
                attempt: sent,
                failure: failure.map_or(String::new(), |failure| failure.class.clone()),
                waited,
                gave_up,
            };
            match next {
                Next::Wait(wait) => {
                    retries.push(told(Some(wait), None));
                    first.get_or_insert(outcome.trace);
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Next::GiveUp(why) => retries.push(told(None, Some(why))),
                Next::Stands => {}
            }
            outcome.findings = findings;
            return (outcome, first);
        }
    }
}
