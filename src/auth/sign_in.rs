//! Finding credentials for a target: the ways its provider knows, in order, or the one way that the
//! target names.
//!
//! Decides offline whatever can be decided offline, so that no request is spent on credentials that
//! are known to be useless. Never shows a value, only where it came from.

use std::time::{Instant, SystemTime};

use crate::auth::aws_chain::{LIMITS, Limits, Sources};
use crate::auth::credentials::{Credentials, Renewal, Secret, SignedIn};
use crate::auth::environment::Environment;
use crate::auth::shared::{Asked, SignIns};
use crate::auth::{SignInFailure, Wanted, aws_chain, aws_profile, bedrock_key, command, timestamp};
use crate::catalog::provider::{KeyEnv, ProviderAuth};
use crate::target::bearer_command::BearerCommand;
use crate::target::model::Auth;

/// One way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way<'a> {
    None,
    Bearer(&'a str),
    Key { header: &'a str, variable: &'a str },
    Command(&'a BearerCommand),
    Aws { profile: Option<&'a str> },
}

/// Signs in within the usual limits.
pub async fn sign_in(
    wanted: &Wanted<'_>,
    environment: &Environment,
) -> Result<SignedIn, SignInFailure> {
    sign_in_within(wanted, environment, &LIMITS).await
}

/// Signs in. A token that a command prints is asked for each time.
pub async fn sign_in_within(
    wanted: &Wanted<'_>,
    environment: &Environment,
    limits: &Limits,
) -> Result<SignedIn, SignInFailure> {
    sign_in_shared(wanted, environment, limits, &SignIns::default()).await
}

/// Signs in with the AWS credentials of a run, which are resolved once and made anew before they end.
pub async fn sign_in_shared(
    wanted: &Wanted<'_>,
    environment: &Environment,
    limits: &Limits,
    run: &SignIns,
) -> Result<SignedIn, SignInFailure> {
    let ways: Vec<Way<'_>> = match wanted.auth {
        Some(Auth::None) => vec![Way::None],
        Some(Auth::AwsChain) => vec![Way::Aws { profile: None }],
        Some(Auth::AwsProfile(name)) => vec![Way::Aws {
            profile: Some(name),
        }],
        Some(Auth::BearerEnv(name)) => vec![Way::Bearer(name)],
        Some(Auth::ApiKeyEnv(name)) => vec![match wanted.provider.key_header() {
            Some(header) => Way::Key {
                header,
                variable: name,
            },
            None => Way::Bearer(name),
        }],
        Some(Auth::KeyEnv(key)) => vec![key_way(key)],
        Some(Auth::BearerCommand(command)) => vec![Way::Command(command)],
        None => wanted
            .provider
            .auth
            .iter()
            .map(|way| match way {
                ProviderAuth::None => Way::None,
                ProviderAuth::BearerEnv(name) => Way::Bearer(name),
                ProviderAuth::KeyEnv(key) => key_way(key),
                ProviderAuth::AwsChain => Way::Aws { profile: None },
            })
            .collect(),
    };
    let mut absent: Vec<&str> = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        match way {
            Way::None => {
                return Ok(SignedIn {
                    credentials: Credentials::None,
                    region: place(wanted, environment).await,
                    how: "no credentials".to_string(),
                    warnings: Vec::new(),
                    renewal: None,
                    renew_at: None,
                });
            }
            Way::Command(command) => {
                let token = command::token(command, environment).await?;
                let renewal = Renewal {
                    due: command
                        .refresh
                        .and_then(|span| Instant::now().checked_add(span)),
                };
                let source = Source::Command(command.program());
                let signed = bearer(source, token.expose(), None, wanted, environment).await?;
                return Ok(SignedIn {
                    renewal: Some(renewal),
                    ..signed
                });
            }
            Way::Key { header, variable } => match environment.get(variable) {
                Some(key) => return self::key(header, variable, key, wanted, environment).await,
                None => absent.push(variable),
            },
            Way::Bearer(name) => match environment.get(name) {
                Some(token) => {
                    let hidden = match ways[at + 1..].contains(&Way::Aws { profile: None }) {
                        true => aws_chain::sources(None, environment)
                            .await
                            .ok()
                            .filter(Sources::any),
                        false => None,
                    };
                    let source = Source::Variable(name);
                    return bearer(source, token, hidden, wanted, environment).await;
                }
                None => absent.push(name),
            },
            Way::Aws { profile } => {
                return aws(*profile, wanted, environment, limits, run)
                    .await
                    .map_err(|failure| also_absent(failure, &absent));
            }
        }
    }
    Err(match absent.first() {
        None => SignInFailure::of(
            "no_way_to_sign_in",
            format!("`{}` knows no way to sign in", wanted.provider.id),
            None,
        ),
        Some(first) => SignInFailure::of(
            "key_not_set",
            format!("{} is not set", absent.join(" or ")),
            format!("put the key into the environment: `export {first}=…`"),
        ),
    })
}

/// The region that environment and profile say: `AWS_REGION`, then `AWS_DEFAULT_REGION`, then the
/// profile's `region`.
pub async fn region(auth: Option<&Auth>, environment: &Environment) -> Option<String> {
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(region) = environment.get(name) {
            return Some(region.to_string());
        }
    }
    let named = match auth {
        Some(Auth::AwsProfile(name)) => Some(name.as_str()),
        _ => None,
    };
    aws_profile::read(named, environment).await.ok()?.region
}

/// The region to ask where the target names none: what environment and profile say, else the region
/// that the key in use was made for.
pub async fn region_for(wanted: &Wanted<'_>, environment: &Environment) -> Option<String> {
    if let Some(region) = place(wanted, environment).await {
        return Some(region);
    }
    let names: Vec<&str> = match wanted.auth {
        Some(Auth::BearerEnv(name) | Auth::ApiKeyEnv(name)) => vec![name],
        Some(_) => Vec::new(),
        None => wanted
            .provider
            .auth
            .iter()
            .filter_map(|way| match way {
                ProviderAuth::BearerEnv(name) => Some(name.as_str()),
                _ => None,
            })
            .collect(),
    };
    let token = names.into_iter().find_map(|name| environment.get(name))?;
    Some(bedrock_key::read(token)?.region)
}

/// The region that was asked for, else what the environment says.
async fn place(wanted: &Wanted<'_>, environment: &Environment) -> Option<String> {
    match wanted.region {
        Some(region) => Some(region.to_string()),
        None => region(wanted.auth, environment).await,
    }
}

fn key_way(key: &KeyEnv) -> Way<'_> {
    Way::Key {
        header: &key.header,
        variable: &key.env,
    }
}

/// Where a token came from.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Variable(&'a str),
    /// The program of a command.
    Command(&'a str),
}

impl std::fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Variable(name) => f.write_str(name),
            Source::Command(name) => write!(f, "the command `{name}`"),
        }
    }
}

/// A value that no header may carry.
fn no_header(variable: &str) -> SignInFailure {
    SignInFailure::of(
        "key_malformed",
        format!("{variable} holds characters that no HTTP header may carry"),
        format!("set {variable} again, without spaces or line breaks"),
    )
}

/// A key in a header of its own.
async fn key(
    header: &str,
    variable: &str,
    key: &str,
    wanted: &Wanted<'_>,
    environment: &Environment,
) -> Result<SignedIn, SignInFailure> {
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(no_header(variable));
    }
    let header = header.to_ascii_lowercase();
    Ok(SignedIn {
        how: format!("key from {variable} in the header {header}"),
        credentials: Credentials::Key {
            header,
            key: Secret::new(key),
        },
        region: place(wanted, environment).await,
        warnings: Vec::new(),
        renewal: None,
        renew_at: None,
    })
}

async fn bearer(
    source: Source<'_>,
    token: &str,
    hidden: Option<Sources>,
    wanted: &Wanted<'_>,
    environment: &Environment,
) -> Result<SignedIn, SignInFailure> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(no_header(&source.to_string()));
    }
    let mut warnings = Vec::new();
    let key = bedrock_key::read(token);
    if let Some(at) = key.as_ref().and_then(|key| key.expires)
        && at <= SystemTime::now()
    {
        let instead = hidden.as_ref().map_or(String::new(), |sources| {
            format!(", or unset it to sign with AWS ({})", sources.describe())
        });
        return Err(SignInFailure::of(
            "key_expired",
            format!(
                "the Bedrock API key from {source} expired {}",
                timestamp::write(at)
            ),
            match source {
                Source::Variable(name) => format!("put a new key into {name}{instead}"),
                Source::Command(_) => "run the command by hand: it gives old keys".to_string(),
            },
        ));
    }
    if let Some(sources) = &hidden {
        warnings.push(format!(
            "{source} is set and hides the AWS credentials that are there too ({}); unset it, or \
             say `auth: aws_chain`, to sign requests",
            sources.describe()
        ));
    }
    let mut region = place(wanted, environment).await;
    if let Some(key) = key {
        match &region {
            None => region = Some(key.region),
            Some(asked) if *asked != key.region => warnings.push(format!(
                "the Bedrock API key from {source} is for {}, but {asked} is asked",
                key.region
            )),
            Some(_) => {}
        }
    }
    let placed = wanted
        .provider
        .origin
        .as_deref()
        .is_some_and(|origin| origin.contains("{region}"));
    if placed && region.is_none() {
        return Err(no_region(wanted));
    }
    Ok(SignedIn {
        credentials: Credentials::Bearer(Secret::new(token)),
        region,
        how: format!("bearer from {source}"),
        warnings,
        renewal: None,
        renew_at: None,
    })
}

async fn aws(
    named: Option<&str>,
    wanted: &Wanted<'_>,
    environment: &Environment,
    limits: &Limits,
    run: &SignIns,
) -> Result<SignedIn, SignInFailure> {
    let Some(service) = &wanted.provider.signing_name else {
        return Err(SignInFailure::of(
            "signing_unsupported",
            format!("`{}` takes no AWS signatures", wanted.provider.id),
            "use `auth: bearer_env` in the target".to_string(),
        ));
    };
    let region = place(wanted, environment).await;
    let narrowed;
    let environment = match named {
        Some(_) => {
            narrowed = aws_chain::only_profile(environment);
            &narrowed
        }
        None => environment,
    };
    let sources = aws_chain::sources(named, environment).await?;
    // Without any credentials, those are what to mend first. The SDK wants some region even then.
    if region.is_none() && sources.any() {
        return Err(no_region(wanted));
    }
    let asked = Asked {
        environment: environment.clone(),
        profile: named.map(str::to_string),
        region: region.clone().unwrap_or_else(|| "us-east-1".to_string()),
    };
    let load = aws_chain::load(&sources, named, &asked.region, environment, limits);
    let keys = run.get(&asked, load).await?;
    let region = region.ok_or_else(|| no_region(wanted))?;
    Ok(SignedIn {
        credentials: Credentials::Aws {
            identity: keys.identity,
            region: region.clone(),
            service: service.clone(),
            expires: keys.expires,
        },
        region: Some(region),
        how: format!("SigV4, {}", sources.describe()),
        warnings: Vec::new(),
        renewal: None,
        renew_at: keys.renew_at,
    })
}

fn no_region(wanted: &Wanted<'_>) -> SignInFailure {
    SignInFailure::of(
        "region_unknown",
        format!(
            "`{}` needs a region, and neither target nor environment nor profile names one",
            wanted.provider.id
        ),
        match wanted.provider.regions.first() {
            Some(example) => {
                format!("`regions: [{example}]` in the target, or `export AWS_REGION={example}`")
            }
            None => "`regions:` in the target, or AWS_REGION".to_string(),
        },
    )
}

/// Where there are no AWS credentials either, a key would do as well.
fn also_absent(mut failure: SignInFailure, absent: &[&str]) -> SignInFailure {
    if failure.class == "no_credentials" && !absent.is_empty() {
        let names = absent.join(" and ");
        failure.message = format!("{names} is not set, and {}", failure.message);
        failure.fix = Some(match failure.fix {
            Some(fix) => format!("{fix}; or set {}", absent[0]),
            None => format!("set {}", absent[0]),
        });
    }
    failure
}
