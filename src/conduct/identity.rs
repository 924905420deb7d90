//! Who asks: the target's own identity, and the others that a scenario may call for.
//!
//! Each is an environment and a way to sign in; temporary AWS homes live as long as the identity.

use std::io;

use crate::auth::aws_chain::{LIMITS, Limits};
use crate::auth::credentials::Secret;
use crate::auth::environment::Environment;
use crate::auth::staged::{self, Staged};
use crate::plan::PlannedTarget;
use crate::scenario::model::{CredentialState, Given, RegionState};
use crate::target::model::Auth;

/// An environment, and how to sign in with it.
#[derive(Debug)]
pub struct Identity {
    pub environment: Environment,
    /// The target's way to sign in; the provider's usual ways where absent.
    pub auth: Option<Auth>,
    /// How long signing in may take.
    pub limits: Limits,
    /// Holds a temporary AWS home for as long as it is used.
    _staged: Option<Staged>,
}

impl Identity {
    /// The process's own environment, and the target's way to sign in.
    pub fn own(environment: Environment, auth: Option<Auth>) -> Identity {
        Identity {
            environment,
            auth,
            limits: LIMITS,
            _staged: None,
        }
    }
}

impl From<Staged> for Identity {
    fn from(staged: Staged) -> Identity {
        Identity {
            environment: staged.environment.clone(),
            auth: staged.auth.clone(),
            limits: staged.limits,
            _staged: Some(staged),
        }
    }
}

/// The identities of a target.
#[derive(Debug)]
pub struct Identities {
    pub own: Identity,
    /// One that is known and not allowed; only mocks have it.
    pub denied: Option<Identity>,
    /// One that was valid once; only mocks have it.
    pub expired: Option<Identity>,
    /// Headers whose values are secret, names in lower case; they go with whoever asks.
    pub headers: Vec<(String, Secret)>,
}

impl Identities {
    /// The headers whose values are secret, for a request about to be sent.
    pub fn secret_headers(&self) -> impl Iterator<Item = (String, String)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
    }
}

/// A target's own way to sign in as one that reads a variable, and that variable; `None` where it has
/// nothing to do with keys. A command is not run to be wrong: a variable stands for it.
fn from_variable(own: &Auth) -> Option<(Auth, &str)> {
    match own {
        Auth::BearerEnv(name) | Auth::ApiKeyEnv(name) => Some((own.clone(), name)),
        Auth::KeyEnv(key) => Some((own.clone(), &key.env)),
        Auth::BearerCommand(_) => Some((
            Auth::BearerEnv(staged::TOKEN_VARIABLE.to_owned()),
            staged::TOKEN_VARIABLE,
        )),
        Auth::None | Auth::AwsChain | Auth::AwsProfile(_) => None,
    }
}

/// The identity that a scenario calls for, made if need be. `None` where this target has no such one.
pub fn choose<'a>(
    given: &Given,
    target: &PlannedTarget,
    identities: &'a Identities,
    made: &'a mut Option<Identity>,
) -> io::Result<Option<&'a Identity>> {
    if let Some((auth, variable)) = identities.own.auth.as_ref().and_then(from_variable)
        && let Some(state @ (CredentialState::Invalid | CredentialState::None)) = given.credentials
    {
        // The target names its own source: that is the one to be wrong or absent.
        let own = identities.own.environment.clone();
        let environment = match state {
            CredentialState::Invalid => own.with(variable, staged::NOBODYS_KEY),
            _ => own.without(|name| name == variable),
        };
        *made = Some(Identity::own(environment, Some(auth)));
        return Ok(made.as_ref());
    }
    let staged = if given.region == Some(RegionState::None) {
        // Keys that nobody issued will do: without a region no request leaves.
        Some(staged::with_static_keys(
            "AKIDSAMETURNNOREGION",
            "no-region",
            None,
            None,
        )?)
    } else {
        match given.credentials {
            None => return Ok(Some(&identities.own)),
            Some(CredentialState::Denied) => return Ok(identities.denied.as_ref()),
            Some(CredentialState::Expired) => return Ok(identities.expired.as_ref()),
            Some(state) => {
                let own = &identities.own.environment;
                let mock = target.mocked.then(|| origin(&target.route.origin));
                staged::stage(state, &target.provider, own, mock)?
            }
        }
    };
    *made = staged.map(Identity::from);
    Ok(made.as_ref())
}

/// `http://host:port` of a URL.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url[start..].find('/') {
        Some(end) => &url[..start + end],
        None => url,
    }
}
