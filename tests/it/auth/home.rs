//! A temporary home, and what every test asks of a sign-in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sameturn::auth::aws_chain::{LIMITS, Limits};
use sameturn::auth::credentials::{Credentials, SignedIn};
use sameturn::auth::environment::Environment;
use sameturn::auth::sign_in::sign_in_within;
use sameturn::auth::{SignInFailure, Wanted, sso_cache};
use sameturn::catalog::provider::Provider;
use sameturn::target::model::Auth;
use serde_json::Value;
use wiremock::MockServer;

pub(crate) const MANTLE: &str = "
id: mantle
about: signs, has regions, prefers a bearer
origin: https://mantle.{region}.example
dialects: { responses: /responses }
regions: [us-east-1, eu-west-1]
auth: [{ bearer_env: MANTLE_KEY }, aws_chain]
signing_name: mantle-service
source: here
date: 2026-11-21
";

pub(crate) const DIRECT: &str = "
id: direct
about: takes a key
origin: https://direct.example
dialects: { responses: /responses }
auth: [{ bearer_env: DIRECT_KEY }]
source: here
date: 2026-11-21
";

pub(crate) fn provider(text: &str) -> Provider {
    serde_yaml::from_str(text).unwrap()
}

/// A home with AWS files and an environment that names nothing but it.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) environment: Environment,
}

impl Home {
    pub(crate) fn new(config: &str) -> Home {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".aws/sso/cache")).unwrap();
        if !config.is_empty() {
            std::fs::write(folder.path().join(".aws/config"), config).unwrap();
        }
        let environment = Environment::default()
            .with("HOME", folder.path().display().to_string())
            .with("AWS_REGION", "us-east-1");
        Home {
            folder,
            environment,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Home {
        self.environment = self.environment.with(name, value);
        self
    }

    /// Points every AWS service that takes part in signing in to one server.
    pub(crate) fn against(self, server: &MockServer) -> Home {
        let at = |part: &str| format!("{}/{part}", server.uri());
        self.with("AWS_ENDPOINT_URL_SSO", at("sso"))
            .with("AWS_ENDPOINT_URL_SSO_OIDC", at("oidc"))
            .with("AWS_ENDPOINT_URL_STS", at("sts"))
            .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", at("imds"))
    }

    pub(crate) fn cache(self, key: &str, token: Value) -> Home {
        let file = sso_cache::file(&self.folder.path().display().to_string(), key);
        std::fs::write(file, token.to_string()).unwrap();
        self
    }

    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    found.insert(path.clone(), Vec::new());
                    walk(&path, found);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    found.insert(path, bytes);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.folder.path(), &mut found);
        found
    }

    /// Signs in at Mantle; asserts that nothing was written and no secret shows.
    pub(crate) async fn sign_in(&self, auth: Option<Auth>) -> Result<SignedIn, SignInFailure> {
        self.sign_in_at(MANTLE, auth, &LIMITS).await
    }

    pub(crate) async fn sign_in_at(
        &self,
        row: &str,
        auth: Option<Auth>,
        limits: &Limits,
    ) -> Result<SignedIn, SignInFailure> {
        let provider = provider(row);
        let wanted = Wanted {
            provider: &provider,
            auth: auth.as_ref(),
            region: None,
        };
        let before = self.tree();
        let result = sign_in_within(&wanted, &self.environment, limits).await;
        assert_eq!(before, self.tree(), "the home was written to");
        let shown = match &result {
            Ok(signed) => format!("{signed:?} {signed:#?}"),
            Err(failure) => format!("{failure:?} {failure}"),
        };
        assert!(!shown.contains("marker"), "a secret shows: {shown}");
        result
    }
}

pub(crate) fn profile(name: &str) -> Option<Auth> {
    Some(Auth::AwsProfile(name.to_string()))
}

#[track_caller]
pub(crate) fn failed(
    result: Result<SignedIn, SignInFailure>,
    class: &str,
    words: &[&str],
) -> SignInFailure {
    let failure = result.expect_err("signed in");
    assert_eq!(failure.class, class, "{failure:?}");
    let text = format!(
        "{} | {}",
        failure.message,
        failure.fix.as_deref().unwrap_or("")
    );
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    failure
}

/// The keys that were found, as `id/secret/token`.
#[track_caller]
pub(crate) fn keys(signed: &SignedIn) -> String {
    let Credentials::Aws { identity, .. } = &signed.credentials else {
        panic!("no AWS credentials: {signed:?}");
    };
    let keys = identity
        .data::<aws_credential_types::Credentials>()
        .unwrap();
    format!(
        "{}/{}/{}",
        keys.access_key_id(),
        keys.secret_access_key(),
        keys.session_token().unwrap_or("-")
    )
}

#[track_caller]
pub(crate) fn bearer(signed: &SignedIn) -> String {
    match &signed.credentials {
        Credentials::Bearer(token) => token.expose().to_string(),
        other => panic!("no bearer: {other:?}"),
    }
}

pub(crate) fn hence(seconds: i64) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::now() - span
    } else {
        SystemTime::now() + span
    }
}

pub(crate) async fn silent(server: &MockServer) {
    let requests = server.received_requests().await.unwrap();
    let lines: Vec<String> = requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.url))
        .collect();
    assert!(lines.is_empty(), "requests left: {lines:?}");
}
