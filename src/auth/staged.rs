//! Temporary circumstances: what a scenario needs when it says whose credentials are in use.
//!
//! Everything is real but the place: a home folder that lasts as long as the value, with files as
//! the AWS CLI writes them, read by the same code as the user's own. Never touches the user's home
//! or this process's environment.

use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::auth::aws_chain::{LIMITS, Limits};
use crate::auth::environment::Environment;
use crate::auth::{sso_cache, staged_home, timestamp};
use crate::catalog::provider::{Provider, ProviderAuth};
use crate::scenario::model::CredentialState;
use crate::target::model::Auth;

/// The profile in a staged AWS home.
pub(super) const PROFILE: &str = "sameturn";
pub(super) const SESSION: &str = "sameturn";
/// `.invalid` never resolves (RFC 2606).
pub(super) const START_URL: &str = "https://sameturn.invalid/start";
/// A key that nobody issued, in no provider's form.
pub const NOBODYS_KEY: &str = "sk-sameturn-nobody-issued-this-key";
/// The variable that takes the place of a command, where a scenario wants a wrong token or none.
pub const TOKEN_VARIABLE: &str = "SAMETURN_STAGED_TOKEN";

/// Circumstances that end with this value.
#[derive(Debug)]
pub struct Staged {
    pub environment: Environment,
    /// Takes the place of the target's own `auth`; where absent, the provider's usual ways apply.
    pub auth: Option<Auth>,
    pub limits: Limits,
    /// Held so that the folder lives as long as the environment that names it.
    home: TempDir,
}

impl Staged {
    /// The temporary home.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }
}

/// Makes the circumstances a scenario asks for; `None` where only a mocked provider can
/// (`denied`, `expired`), or where the provider has no such way to sign in. `mock` is the origin of the
/// mocks, where they serve the target.
pub fn stage(
    state: CredentialState,
    provider: &Provider,
    base: &Environment,
    mock: Option<&str>,
) -> std::io::Result<Option<Staged>> {
    let home = TempDir::with_prefix("sameturn-")?;
    let environment = bare(provider, base, &home);
    let signs = provider.auth.contains(&ProviderAuth::AwsChain);
    match state {
        CredentialState::Denied | CredentialState::Expired => Ok(None),
        CredentialState::None => Ok(Some(Staged {
            environment,
            auth: None,
            limits: LIMITS,
            home,
        })),
        // Where there are no keys of the provider's own, AWS keys that nobody issued.
        CredentialState::Invalid if signs && key_way(provider).is_none() => {
            let region = base.get("AWS_REGION");
            with_static_keys("AKIDSAMETURNNOBODY", NOBODYS_KEY, None, region).map(Some)
        }
        CredentialState::Invalid => Ok(key_way(provider).map(|(auth, name)| Staged {
            environment: environment.with(name, NOBODYS_KEY),
            auth: Some(auth),
            limits: LIMITS,
            home,
        })),
        state if !signs || (state.needs_mock() && mock.is_none()) => Ok(None),
        CredentialState::ExpiredSso | CredentialState::ExpiredSsoLegacy => {
            let legacy = state == CredentialState::ExpiredSsoLegacy;
            let region = base
                .get("AWS_REGION")
                .or(provider.regions.first().map(String::as_str))
                .unwrap_or("us-east-1");
            expired_session(legacy, region, &home)?;
            Ok(Some(Staged {
                environment,
                auth: Some(Auth::AwsProfile(PROFILE.to_string())),
                limits: LIMITS,
                home,
            }))
        }
        state => {
            let place = staged_home::Place {
                home: home.path(),
                mock: mock.unwrap_or_default(),
                own: base.get("HOME"),
            };
            let environment = staged_home::furnish(state, &place, environment)?;
            let mut limits = LIMITS;
            if state == CredentialState::CredentialProcessHangs {
                // Nothing is learnt by waiting longer.
                limits.process = Duration::from_millis(500);
            }
            Ok(Some(Staged {
                environment,
                auth: Some(Auth::AwsProfile(PROFILE.to_string())),
                limits,
                home,
            }))
        }
    }
}

/// An AWS home with one profile of keys, for a mocked provider. The environment holds nothing else.
pub fn with_static_keys(
    access_key_id: &str,
    secret: &str,
    session_token: Option<&str>,
    region: Option<&str>,
) -> std::io::Result<Staged> {
    let home = TempDir::with_prefix("sameturn-")?;
    let mut keys = format!(
        "[{PROFILE}]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret}\n"
    );
    if let Some(token) = session_token {
        keys.push_str(&format!("aws_session_token = {token}\n"));
    }
    let mut config = format!("[profile {PROFILE}]\n");
    if let Some(region) = region {
        config.push_str(&format!("region = {region}\n"));
    }
    std::fs::create_dir(home.path().join(".aws"))?;
    std::fs::write(home.path().join(".aws/credentials"), keys)?;
    std::fs::write(home.path().join(".aws/config"), config)?;
    Ok(Staged {
        environment: at_home(Environment::default(), &home),
        auth: Some(Auth::AwsProfile(PROFILE.to_string())),
        limits: LIMITS,
        home,
    })
}

/// A key or token in the provider's own variable, sent as the provider's first way to take one has it,
/// for a mocked provider; `None` where it takes none. The environment holds nothing else.
pub fn with_key(provider: &Provider, key: &str) -> std::io::Result<Option<Staged>> {
    holding(key_way(provider), key)
}

/// The same with a bearer, where the provider takes one, although it may prefer keys in another header.
pub fn with_bearer(provider: &Provider, token: &str) -> std::io::Result<Option<Staged>> {
    let bearer = provider.auth.iter().find_map(|way| match way {
        ProviderAuth::BearerEnv(name) => Some((Auth::BearerEnv(name.clone()), name.as_str())),
        _ => None,
    });
    holding(bearer, token)
}

fn holding(way: Option<(Auth, &str)>, value: &str) -> std::io::Result<Option<Staged>> {
    let home = TempDir::with_prefix("sameturn-")?;
    Ok(way.map(|(auth, name)| Staged {
        environment: at_home(Environment::default(), &home).with(name, value),
        auth: Some(auth),
        limits: LIMITS,
        home,
    }))
}

/// The provider's first way to take a key from a variable, and the variable.
fn key_way(provider: &Provider) -> Option<(Auth, &str)> {
    provider.auth.iter().find_map(|way| match way {
        ProviderAuth::BearerEnv(name) => Some((Auth::BearerEnv(name.clone()), name.as_str())),
        ProviderAuth::KeyEnv(key) => Some((Auth::KeyEnv(key.clone()), key.env.as_str())),
        ProviderAuth::None | ProviderAuth::AwsChain => None,
    })
}

/// The environment without anything to sign in with.
fn bare(provider: &Provider, base: &Environment, home: &TempDir) -> Environment {
    let environment = base.clone().without(|name| {
        name.starts_with("AWS_") || provider.auth.iter().any(|way| way.variable() == Some(name))
    });
    at_home(environment, home)
}

fn at_home(environment: Environment, home: &TempDir) -> Environment {
    environment
        .with("HOME", home.path().display().to_string())
        .with("AWS_EC2_METADATA_DISABLED", "true")
}

/// Writes the configuration and the token cache of a session that ended an hour ago.
fn expired_session(legacy: bool, region: &str, home: &TempDir) -> std::io::Result<()> {
    let role = "sso_account_id = 111122223333\nsso_role_name = Developer\n";
    let (config, key) = if legacy {
        (
            format!(
                "[profile {PROFILE}]\nregion = {region}\nsso_start_url = {START_URL}\n\
                 sso_region = {region}\n{role}"
            ),
            START_URL,
        )
    } else {
        (
            format!(
                "[profile {PROFILE}]\nregion = {region}\nsso_session = {SESSION}\n{role}\
                 \n[sso-session {SESSION}]\nsso_start_url = {START_URL}\nsso_region = {region}\n\
                 sso_registration_scopes = sso:account:access\n"
            ),
            SESSION,
        )
    };
    let ended = SystemTime::now() - Duration::from_secs(3600);
    let token = serde_json::json!({
        "startUrl": START_URL,
        "region": region,
        "accessToken": "a-session-that-is-over",
        "expiresAt": timestamp::write(ended),
    });
    let home_text = home.path().display().to_string();
    let cache = sso_cache::file(&home_text, key);
    std::fs::create_dir_all(home.path().join(".aws/sso/cache"))?;
    std::fs::write(home.path().join(".aws/config"), config)?;
    std::fs::write(cache, token.to_string())
}
