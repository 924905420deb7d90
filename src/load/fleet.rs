//! What all workers share: the lanes (a target in a region, and who asks there), what is asked, and limits.
//!
//! Holds credentials, never shows them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::auth::SignInFailure;
use crate::auth::Wanted;
use crate::auth::credentials::SignedIn;
use crate::auth::seen::Seen;
use crate::auth::shared::SignIns;
use crate::auth::sign_in::sign_in_shared;
use crate::catalog::Catalog;
use crate::conduct::identity::Identities;
use crate::load::ceiling::Ceiling;
use crate::load::gate::Gate;
use crate::load::price::Price;
use crate::load::workload::Workload;
use crate::plan::PlannedTarget;
use crate::transport::Limits;

/// A target in a region.
#[derive(Debug)]
pub struct Lane {
    /// The target's name without what must not be shown.
    pub name: String,
    pub target: PlannedTarget,
    pub identities: Identities,
    pub price: Option<Price>,
    signed: RwLock<Option<Arc<SignedIn>>>,
}

impl Lane {
    /// A lane that has not signed in yet.
    pub fn new(
        target: PlannedTarget,
        identities: Identities,
        price: Option<Price>,
        seen: &Seen,
    ) -> Lane {
        Lane {
            name: seen.redact(&target.name),
            target,
            identities,
            price,
            signed: RwLock::new(None),
        }
    }

    /// `name region`, for people.
    pub fn label(&self) -> String {
        match &self.target.region {
            Some(region) => format!("{} {region}", self.name),
            None => self.name.clone(),
        }
    }

    /// The credentials of now; `None` before the first sign-in.
    pub fn signed(&self) -> Option<Arc<SignedIn>> {
        self.signed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Signs in, and again where the credentials are due. What was there stays where that fails.
    pub async fn sign_in(&self, shared: &SignIns, seen: &Seen) -> Result<(), SignInFailure> {
        if self.signed().is_some_and(|signed| !signed.is_due()) {
            return Ok(());
        }
        let own = &self.identities.own;
        let wanted = Wanted {
            provider: &self.target.provider,
            auth: own.auth.as_ref(),
            region: self.target.region.as_deref(),
        };
        let signed = sign_in_shared(&wanted, &own.environment, &own.limits, shared).await?;
        seen.learn(&signed.credentials);
        *self.signed.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(signed));
        Ok(())
    }
}

/// What all workers share.
#[derive(Debug)]
pub struct Fleet {
    pub lanes: Vec<Lane>,
    pub catalog: &'static Catalog,
    pub workload: Workload,
    pub limits: Limits,
    pub ceiling: Ceiling,
    /// Removes secrets from the messages of failures.
    pub seen: Arc<Seen>,
    /// One per lane. They outlive a round: what a provider asks for holds for the next one too.
    pub gates: Vec<Gate>,
    /// What the gates' times are from.
    pub begun: Instant,
    /// Whether a lane that is refused as too many waits.
    pub back_off: bool,
    /// Set when the expressions are compiled that failures are told apart by.
    pub patterns: OnceCell<()>,
    /// Names this run in the sessions of managed agents; no secret.
    pub run_id: String,
}

impl Fleet {
    /// How much longer a lane has to wait, where it backs off.
    pub fn held(&self, lane: usize) -> Option<Duration> {
        if !self.back_off {
            return None;
        }
        let now = self.begun.elapsed();
        Some(self.gates[lane].closed_until(now)? - now)
    }

    /// A lane was refused as too many, and may have been told how long to wait.
    pub fn refused(&self, lane: usize, wait: Option<Duration>) {
        if self.back_off {
            self.gates[lane].refused(self.begun.elapsed(), wait);
        }
    }

    /// Compiles, on another thread, what failures are told apart by. That takes longer than thousands of reads, so
    /// the first failure must not do it on a worker's thread.
    pub async fn know_failures(&self) {
        let (catalog, lanes) = (self.catalog, &self.lanes);
        let compile = || async move {
            let providers: Vec<String> = lanes
                .iter()
                .map(|lane| lane.target.provider.id.clone())
                .collect();
            let compiled = tokio::task::spawn_blocking(move || {
                for provider in providers {
                    catalog.failures.compile(&provider);
                }
            });
            // One that breaks here breaks again, and louder, where it is used.
            let _ = compiled.await;
        };
        self.patterns.get_or_init(compile).await;
    }
}
