//! Asking a target for its list of models: the same sign-in, signature, transport and redaction as for
//! a turn, and nothing else.

use std::time::SystemTime;

use bytes::Bytes;

use crate::auth::authorize::authorize;
use crate::auth::credentials::SignedIn;
use crate::auth::seen::Seen;
use crate::auth::sign_in::sign_in;
use crate::auth::{SignInFailure, Wanted};
use crate::catalog::Catalog;
use crate::conduct::identity::Identities;
use crate::dialect::failure::{Judge, broken};
use crate::dialect::model_list::{self, ListedModel, ModelList};
use crate::plan::PlannedTarget;
use crate::transport::{Limits, Outgoing, Transport};

/// What came of asking.
#[derive(Debug, Clone)]
pub struct Asked {
    pub listing: Listing,
    /// How it signed in, where it could.
    pub sign_in: Option<String>,
    /// What works about that and probably is not meant.
    pub warnings: Vec<String>,
}

/// A list, or why there is none.
#[derive(Debug, Clone)]
pub enum Listing {
    /// The provider has none; what it says about that.
    Absent(String),
    /// It could not be had: the class of the failure and what was said.
    Failed { class: String, message: String },
    /// What the list says, and what the target's model says of itself where it can be asked.
    Models {
        list: ModelList,
        own: Option<ListedModel>,
    },
}

/// Who asks, and by what.
#[derive(Debug)]
pub struct Asking<'a, T> {
    pub transport: &'a T,
    pub catalog: &'a Catalog,
    pub limits: Limits,
    pub seen: &'a Seen,
}

impl<T: Transport> Asking<'_, T> {
    /// Asks one target in its region.
    pub async fn list(&self, target: &PlannedTarget, identities: &Identities) -> Asked {
        let provider = &target.provider;
        let Some(path) = &provider.models_path else {
            let note = provider
                .models_note
                .clone()
                .unwrap_or_else(|| format!("`{}` has no list of models", provider.id));
            return Asked {
                listing: Listing::Absent(note),
                sign_in: None,
                warnings: Vec::new(),
            };
        };
        let own = &identities.own;
        let wanted = Wanted {
            provider,
            auth: own.auth.as_ref(),
            region: target.region.as_deref(),
        };
        let signed = match sign_in(&wanted, &own.environment).await {
            Ok(signed) => signed,
            Err(failure) => {
                return Asked {
                    listing: not_sent(&failure),
                    sign_in: None,
                    warnings: Vec::new(),
                };
            }
        };
        self.seen.learn(&signed.credentials);
        let listing = match self.get(path, target, identities, &signed).await {
            Err(failed) => failed,
            Ok(body) => match model_list::read(&body) {
                None => Listing::Failed {
                    class: "bad_response".to_owned(),
                    message: "the answer is not a list of models".to_owned(),
                },
                Some(list) => {
                    let own = self.own(&list, target, identities, &signed).await;
                    Listing::Models { list, own }
                }
            },
        };
        Asked {
            listing,
            sign_in: Some(signed.how),
            warnings: signed.warnings,
        }
    }

    /// What the provider says of the target's model alone. A failure is no news: the list has it.
    async fn own(
        &self,
        list: &ModelList,
        target: &PlannedTarget,
        identities: &Identities,
        signed: &SignedIn,
    ) -> Option<ListedModel> {
        let path = target.provider.model_path.as_ref()?;
        list.models.iter().find(|one| one.id == target.model)?;
        let body = self.get(path, target, identities, signed).await.ok()?;
        model_list::read_one(&body)
    }

    async fn get(
        &self,
        path: &str,
        target: &PlannedTarget,
        identities: &Identities,
        signed: &SignedIn,
    ) -> Result<Bytes, Listing> {
        let url = target.route.url_of(path, &target.model);
        let mut headers = vec![
            ("accept".to_owned(), "application/json".to_owned()),
            (
                "user-agent".to_owned(),
                concat!("sameturn/", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
        ];
        headers.extend(target.headers.iter().cloned());
        headers.extend(identities.secret_headers());
        let now = SystemTime::now();
        authorize(&signed.credentials, "GET", &url, &mut headers, b"", now)
            .map_err(|failure| not_sent(&failure))?;
        let request = Outgoing {
            method: "GET",
            url,
            headers,
            body: Bytes::new(),
        };
        let exchange = self.transport.send(request, self.limits).await;
        let judge = Judge {
            provider: &target.provider.id,
            failures: &self.catalog.failures,
        };
        let failure = match &exchange.head {
            Some(head) if !(200..300).contains(&head.status) => {
                Some(judge.status(head, &exchange.body))
            }
            head => broken(&exchange.end, head.as_ref()),
        };
        match failure {
            Some(failure) => Err(Listing::Failed {
                class: failure.class,
                message: failure.message,
            }),
            None => Ok(exchange.body),
        }
    }
}

fn not_sent(failure: &SignInFailure) -> Listing {
    let fix = failure.fix.as_deref().map(|fix| format!("; {fix}"));
    Listing::Failed {
        class: failure.class.to_owned(),
        message: format!("{}{}", failure.message, fix.unwrap_or_default()),
    }
}
