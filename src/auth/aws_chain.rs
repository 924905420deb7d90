//! AWS credentials through the SDK's own chain, inside the environment given.
//!
//! The chain sees our environment alone, so a cell can be given another one; it reads the user's
//! files but never writes them, never waits for an instance's metadata service, and ends within
//! [`Limits`]. A `credential_process` alone runs with the environment of this process, and goes on
//! running when it is given up: the SDK starts it.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as Tls, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::region::Region;

use crate::auth::aws_profile::{AwsProfile, Root, sdk_variables};
use crate::auth::credentials::Credentials;
use crate::auth::environment::Environment;
use crate::auth::explain::explain;
use crate::auth::{SignInFailure, aws_profile, sso_cache, timestamp};
use crate::transport::trust;

/// How long signing in may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a `credential_process`; the SDK itself would wait for ever.
    pub process: Duration,
    /// For everything else, retries included.
    pub overall: Duration,
}

/// What a run uses.
pub const LIMITS: Limits = Limits {
    process: Duration::from_secs(10),
    overall: Duration::from_secs(30),
};

/// What stands ready before the chain is asked.
#[derive(Debug)]
pub struct Sources {
    /// Keys in the environment, which the SDK prefers to any profile.
    pub keys: bool,
    /// A web identity token or container credentials, named by the environment.
    pub others: bool,
    pub profile: AwsProfile,
}

impl Sources {
    /// Whether anything is there at all.
    pub fn any(&self) -> bool {
        self.keys || self.others || (self.profile.exists && self.profile.root != Root::Other)
    }

    /// Where credentials come from, for people.
    pub fn describe(&self) -> String {
        if self.keys {
            return "keys from AWS_ACCESS_KEY_ID".to_string();
        }
        if self.profile.exists && (self.profile.root != Root::Other || !self.others) {
            return format!("profile `{}`", self.profile.name);
        }
        "AWS credential chain".to_string()
    }
}

/// Variables that win over a profile in the SDK's chain, or stand behind it; a profile asked for by
/// name must not be passed over for them.
const BESIDE_PROFILES: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_PROFILE",
];

/// The environment that counts when a profile is asked for by name.
pub fn only_profile(environment: &Environment) -> Environment {
    environment
        .clone()
        .without(|name| BESIDE_PROFILES.contains(&name))
}

/// Reads what stands ready. A broken or missing profile is a failure, unless keys in the
/// environment come before it.
pub async fn sources(
    named: Option<&str>,
    environment: &Environment,
) -> Result<Sources, SignInFailure> {
    let set = |name: &str| environment.get(name).is_some();
    let keys = set("AWS_ACCESS_KEY_ID") && set("AWS_SECRET_ACCESS_KEY");
    let others = set("AWS_WEB_IDENTITY_TOKEN_FILE")
        || set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        || set("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let profile = match aws_profile::read(named, environment).await {
        Ok(profile) => profile,
        Err(_) if keys => AwsProfile {
            name: aws_profile::selected(named, environment).to_string(),
            source: String::new(),
            exists: false,
            root: Root::Other,
            region: None,
        },
        Err(failure) => return Err(failure),
    };
    if named.is_some() && profile.root == Root::FromEnvironment {
        return Err(SignInFailure {
            class: "no_credentials",
            message: format!(
                "the AWS profile `{}` takes its credentials from environment variables, which a \
                 profile asked for by name does not use",
                profile.name
            ),
            fix: Some(
                "use `auth: aws_chain` with the variables, or a profile with its own source"
                    .to_string(),
            ),
        });
    }
    Ok(Sources {
        keys,
        others,
        profile,
    })
}

/// What is never asked through a proxy, in the form of NO_PROXY.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// The proxy for the SDK's requests. Only of TLS: plain HTTP goes to this machine or to the metadata
/// services of an instance or container, which no proxy can reach.
fn proxy(environment: &Environment) -> Result<ProxyConfig, SignInFailure> {
    let get = |names: [&str; 2]| names.into_iter().find_map(|name| environment.get(name));
    let Some(url) = get(["HTTPS_PROXY", "https_proxy"]).or_else(|| get(["ALL_PROXY", "all_proxy"]))
    else {
        return Ok(ProxyConfig::disabled());
    };
    let direct = match get(["NO_PROXY", "no_proxy"]) {
        Some(hosts) => format!("{hosts},{LOOPBACK}"),
        None => LOOPBACK.to_string(),
    };
    ProxyConfig::https(url)
        .map(|proxy| proxy.no_proxy(direct))
        .map_err(|_| SignInFailure {
            // The URL may hold a password.
            class: "unreachable",
            message: "HTTPS_PROXY or ALL_PROXY is not the URL of a proxy".to_string(),
            fix: Some("write `http://HOST:PORT`".to_string()),
        })
}

/// The SDK's HTTP client, with the proxy of the environment and the same certificates as the requests
/// to providers.
fn http_client(environment: &Environment) -> Result<SharedHttpClient, SignInFailure> {
    let bundles = trust::bundles(&|name| environment.raw(name)).map_err(|error| SignInFailure {
        class: "unreachable",
        message: error.to_string(),
        fix: None,
    })?;
    let mut trusted = TrustStore::default();
    for bundle in bundles.into_iter().filter(|bundle| bundle.added) {
        trusted.add_pem_certificate(bundle.pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| SignInFailure {
            class: "unreachable",
            message: format!("the AWS SDK cannot use the certificates: {error}"),
            fix: None,
        })?;
    let proxy = proxy(environment)?;
    Ok(
        aws_smithy_http_client::Builder::new().build_with_connector_fn(
            move |settings, components| {
                let mut builder = aws_smithy_http_client::Connector::builder()
                    .proxy_config(proxy.clone())
                    .tls_provider(Tls::Rustls(CryptoMode::Ring))
                    .tls_context(context.clone());
                builder.set_connector_settings(settings.cloned());
                builder.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
                builder.build()
            },
        ),
    )
}

/// Asks the SDK's chain.
pub async fn load(
    sources: &Sources,
    named: Option<&str>,
    region: &str,
    service: &str,
    environment: &Environment,
    limits: &Limits,
) -> Result<Credentials, SignInFailure> {
    let profile = &sources.profile;
    let mut variables = sdk_variables(environment);
    let mut files = Fs::real();
    if !sources.keys {
        let now = SystemTime::now();
        sso_cache::require(profile, environment, now)?;
        if let Some((copy, redirected)) = sso_cache::in_memory(profile, environment, now) {
            files = copy;
            for (name, value) in redirected {
                variables.insert(name.to_string(), value);
            }
        }
    }
    if profile.root != Root::FromInstance {
        // Outside EC2 the metadata address answers late, wrongly or not at all. Whoever wants it
        // says so, in the profile or by setting this to `false`.
        variables
            .entry("AWS_EC2_METADATA_DISABLED".to_string())
            .or_insert_with(|| "true".to_string());
    }

    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .env(Env::from(variables))
        .fs(files)
        .region(Region::new(region.to_string()))
        .http_client(http_client(environment)?);
    if let Some(name) = named {
        loader = loader.profile_name(name);
    }
    let runs_process = !sources.keys && profile.root == Root::Process;
    let limit = if runs_process {
        limits.process
    } else {
        limits.overall
    };
    let answer = tokio::time::timeout(limit, async {
        let config = loader.load().await;
        match config.credentials_provider() {
            Some(provider) => Some(provider.provide_credentials().await),
            None => None,
        }
    })
    .await;
    let keys = match answer {
        Ok(Some(Ok(keys))) => keys,
        Ok(Some(Err(error))) => return Err(explain(&error, sources)),
        Ok(None) => {
            return Err(SignInFailure {
                class: "no_credentials",
                message: "the AWS SDK offers no credential chain".to_string(),
                fix: None,
            });
        }
        Err(_) if runs_process => {
            return Err(SignInFailure {
                class: "no_credentials",
                message: format!(
                    "the credential_process of the AWS profile `{}` gave no answer within {limit:?}",
                    profile.name
                ),
                fix: Some("run that command by hand; it may be waiting for input".to_string()),
            });
        }
        Err(_) => {
            return Err(SignInFailure {
                class: "unreachable",
                message: format!("AWS gave no credentials within {limit:?}"),
                fix: Some(
                    "check the network, proxies and AWS_ENDPOINT_URL_* variables".to_string(),
                ),
            });
        }
    };
    let expires = keys.expiry();
    // The SDK takes what a credential_process says even when it is over (measured, 1.13).
    if let Some(at) = expires.filter(|at| *at <= SystemTime::now()) {
        return Err(SignInFailure {
            class: "credentials_expired",
            message: format!(
                "the AWS credentials from {} expired {}",
                sources.describe(),
                timestamp::write(at)
            ),
            fix: Some(match profile.root {
                Root::SsoSession { .. } | Root::SsoLegacy { .. } => sso_cache::log_in(profile),
                Root::Process => {
                    "renew what the profile's credential_process hands out".to_string()
                }
                _ => "sign in to AWS again".to_string(),
            }),
        });
    }
    Ok(Credentials::Aws {
        identity: keys.into(),
        region: region.to_string(),
        service: service.to_string(),
        expires,
    })
}
