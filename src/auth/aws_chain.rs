//! AWS credentials through the SDK's own chain, inside the environment given.
//!
//! The chain sees our environment alone, so a cell can be given another one; it reads the user's
//! files but never writes them, never waits for an instance's metadata service, and ends within
//! [`Limits`]. A `credential_process` is run by [`process`], not by the SDK.

use std::collections::HashMap;
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
use crate::auth::environment::Environment;
use crate::auth::explain::explain;
use crate::auth::memory_home::Contents;
use crate::auth::shared::Keys;
use crate::auth::{SignInFailure, aws_profile, memory_home, process, sso_cache, timestamp};
use crate::transport::trust;

/// How long signing in may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a `credential_process`.
    pub process: Duration,
    /// For the metadata service of an instance or container, where that is asked at all.
    pub metadata: Duration,
    /// For everything else, retries included.
    pub overall: Duration,
}

/// What a run uses.
pub const LIMITS: Limits = Limits {
    process: Duration::from_secs(10),
    metadata: Duration::from_secs(5),
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
            assumes_role: false,
            region: None,
            broken: None,
        },
        Err(failure) => return Err(failure),
    };
    // A role by web identity, in variables, comes after the profile in the SDK's chain.
    if let Some(failure) = profile.broken.clone().filter(|_| !keys) {
        return Err(failure);
    }
    if profile.root == Root::LoginSession && !keys {
        let name = &profile.source;
        return Err(SignInFailure::of(
            "login_session",
            format!(
                "the AWS profile `{name}` signs in by `aws login`, which this program cannot read by \
                 itself"
            ),
            format!(
                "make a profile with `credential_process = aws configure export-credentials --profile \
                 {name}`, or `eval \"$(aws configure export-credentials --profile {name} --format env)\"`"
            ),
        ));
    }
    if named.is_some() && profile.root == Root::FromEnvironment {
        return Err(SignInFailure::of(
            "profile_takes_environment",
            format!(
                "the AWS profile `{}` takes its credentials from environment variables, which a \
                 profile asked for by name does not use",
                profile.name
            ),
            "use `auth: aws_chain` with the variables, or a profile with its own source"
                .to_string(),
        ));
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
        .map_err(|_| {
            // The URL may hold a password.
            SignInFailure::of(
                "proxy_malformed",
                "HTTPS_PROXY or ALL_PROXY is not the URL of a proxy".to_string(),
                "write `http://HOST:PORT`".to_string(),
            )
        })
}

/// The SDK's HTTP client, with the proxy of the environment and the same certificates as the requests
/// to providers.
fn http_client(environment: &Environment) -> Result<SharedHttpClient, SignInFailure> {
    let bundles = trust::bundles(&|name| environment.raw(name))
        .map_err(|error| SignInFailure::of("certificates_unusable", error.to_string(), None))?;
    let mut trusted = TrustStore::default();
    for bundle in bundles.into_iter().filter(|bundle| bundle.added) {
        trusted.add_pem_certificate(bundle.pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| {
            SignInFailure::of(
                "certificates_unusable",
                format!("the AWS SDK cannot use the certificates: {error}"),
                None,
            )
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

/// Asks the SDK's chain, or the program that the profile names.
pub async fn load(
    sources: &Sources,
    named: Option<&str>,
    region: &str,
    environment: &Environment,
    limits: &Limits,
) -> Result<Keys, SignInFailure> {
    let profile = &sources.profile;
    let now = SystemTime::now();
    let mut variables = sdk_variables(environment);
    let mut files = Fs::real();
    let mut copied = Contents::default();
    let mut added = String::new();
    if !sources.keys {
        sso_cache::require(profile, environment, now)?;
        copied.session = sso_cache::renewable(profile, environment, now);
        if let Root::Process { command } = &profile.root {
            let keys = process::run(command, profile, environment, limits.process).await?;
            if !profile.assumes_role {
                return Ok(Keys::new(keys, now));
            }
            added = as_source(profile, &keys);
        }
    }
    copied.credentials = &added;
    if (copied.session.is_some() || !added.is_empty())
        && let Some((copy, redirected)) = memory_home::make(environment, &copied)
    {
        files = copy;
        for (name, value) in redirected {
            variables.insert(name.to_string(), value);
        }
    }
    if profile.root != Root::FromInstance {
        // Outside EC2 the metadata address answers late, wrongly or not at all. Whoever wants it
        // says so, in the profile or by setting this to `false`.
        variables
            .entry("AWS_EC2_METADATA_DISABLED".to_string())
            .or_insert_with(|| "true".to_string());
    }
    let metadata = asks_metadata(sources, &variables);

    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .env(Env::from(variables))
        .fs(files)
        .region(Region::new(region.to_string()))
        .http_client(http_client(environment)?);
    if let Some(name) = named {
        loader = loader.profile_name(name);
    }
    let limit = match metadata {
        true => limits.metadata,
        false => limits.overall,
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
        Ok(Some(Err(error))) => return Err(explain(&error, sources, metadata)),
        Ok(None) => {
            return Err(SignInFailure::of(
                "other",
                "the AWS SDK offers no credential chain".to_string(),
                None,
            ));
        }
        Err(_) if metadata => {
            return Err(SignInFailure::of(
                "metadata_unreachable",
                format!(
                    "the metadata service of the instance or container gave no credentials within \
                     {limit:?}"
                ),
                METADATA_FIX.to_string(),
            ));
        }
        Err(_) => {
            return Err(SignInFailure::of(
                "aws_silent",
                format!(
                    "AWS gave no credentials within {limit:?} ({})",
                    sources.describe()
                ),
                "check the network, proxies and AWS_ENDPOINT_URL_* variables".to_string(),
            ));
        }
    };
    if let Some(at) = keys.expiry().filter(|at| *at <= SystemTime::now()) {
        return Err(SignInFailure::of(
            "expired",
            format!(
                "the AWS credentials from {} expired {}",
                sources.describe(),
                timestamp::write(at)
            ),
            match profile.root {
                Root::SsoSession { .. } | Root::SsoLegacy { .. } => sso_cache::log_in(profile),
                _ => "sign in to AWS again".to_string(),
            },
        ));
    }
    Ok(Keys::new(keys, now))
}

/// What mends a metadata service that gives nothing.
pub(super) const METADATA_FIX: &str = "off AWS machines use another source; on them check that a role \
     is attached and, in a container, the hop limit (`aws ec2 modify-instance-metadata-options \
     --http-put-response-hop-limit 2`)";

/// Whether it is a metadata service that will be asked.
fn asks_metadata(sources: &Sources, variables: &HashMap<String, String>) -> bool {
    let instance = variables
        .get("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|value| !value.eq_ignore_ascii_case("true"));
    let container = ["RELATIVE", "FULL"]
        .iter()
        .any(|form| variables.contains_key(&format!("AWS_CONTAINER_CREDENTIALS_{form}_URI")));
    let web = variables.contains_key("AWS_WEB_IDENTITY_TOKEN_FILE");
    match sources.profile.root {
        _ if sources.keys => false,
        Root::FromInstance | Root::FromContainer => true,
        Root::Other => !web && (instance || container),
        _ => false,
    }
}

/// The printed keys as the source of the profile's role, in the words of the shared credentials file,
/// which win over all that the files say before.
fn as_source(profile: &AwsProfile, keys: &aws_credential_types::Credentials) -> String {
    /// Where a role is its own source, its `credential_process` would still be run; so it gets another.
    const APART: &str = "sameturn-credential-process";
    let source = &profile.source;
    let mut text = String::from("\n");
    let mut section = source.as_str();
    if *source == profile.name {
        text.push_str(&format!("[{source}]\nsource_profile = {APART}\n"));
        section = APART;
    }
    text.push_str(&format!(
        "[{section}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        keys.access_key_id(),
        keys.secret_access_key()
    ));
    if let Some(token) = keys.session_token() {
        text.push_str(&format!("aws_session_token = {token}\n"));
    }
    text
}
