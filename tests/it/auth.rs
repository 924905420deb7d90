//! Signing in: every way to succeed and to fail, through the AWS SDK's own chain in temporary homes.
//!
//! Local servers stand in for the SSO portal, OIDC, STS and the metadata services. Secrets in these
//! tests begin with `marker`, so that one that shows is found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use sameturn::auth::authorize::authorize;
use sameturn::auth::aws_chain::{LIMITS, Limits};
use sameturn::auth::credentials::{Credentials, SignedIn};
use sameturn::auth::environment::Environment;
use sameturn::auth::sign_in::{region, sign_in, sign_in_within};
use sameturn::auth::staged::{self, stage};
use sameturn::auth::{SignInFailure, Wanted, sso_cache, timestamp};
use sameturn::catalog::provider::Provider;
use sameturn::scenario::model::CredentialState;
use sameturn::target::model::Auth;
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

const MANTLE: &str = "
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

const DIRECT: &str = "
id: direct
about: takes a key
origin: https://direct.example
dialects: { responses: /responses }
auth: [{ bearer_env: DIRECT_KEY }]
source: here
date: 2026-11-21
";

fn provider(text: &str) -> Provider {
    serde_yaml::from_str(text).unwrap()
}

/// A home with AWS files and an environment that names nothing but it.
struct Home {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Home {
    fn new(config: &str) -> Home {
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

    fn with(mut self, name: &str, value: impl Into<String>) -> Home {
        self.environment = self.environment.with(name, value);
        self
    }

    /// Points every AWS service that takes part in signing in to one server.
    fn against(self, server: &MockServer) -> Home {
        let at = |part: &str| format!("{}/{part}", server.uri());
        self.with("AWS_ENDPOINT_URL_SSO", at("sso"))
            .with("AWS_ENDPOINT_URL_SSO_OIDC", at("oidc"))
            .with("AWS_ENDPOINT_URL_STS", at("sts"))
            .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", at("imds"))
    }

    fn cache(self, key: &str, token: Value) -> Home {
        let file = sso_cache::file(&self.folder.path().display().to_string(), key);
        std::fs::write(file, token.to_string()).unwrap();
        self
    }

    fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
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
    async fn sign_in(&self, auth: Option<Auth>) -> Result<SignedIn, SignInFailure> {
        self.sign_in_at(MANTLE, auth, &LIMITS).await
    }

    async fn sign_in_at(
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

fn profile(name: &str) -> Option<Auth> {
    Some(Auth::AwsProfile(name.to_string()))
}

#[track_caller]
fn failed(result: Result<SignedIn, SignInFailure>, class: &str, words: &[&str]) -> SignInFailure {
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
fn keys(signed: &SignedIn) -> String {
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
fn bearer(signed: &SignedIn) -> String {
    match &signed.credentials {
        Credentials::Bearer(token) => token.expose().to_string(),
        other => panic!("no bearer: {other:?}"),
    }
}

fn hence(seconds: i64) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::now() - span
    } else {
        SystemTime::now() + span
    }
}

async fn silent(server: &MockServer) {
    let requests = server.received_requests().await.unwrap();
    let lines: Vec<String> = requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.url))
        .collect();
    assert!(lines.is_empty(), "requests left: {lines:?}");
}

// Signatures and bearers

#[test]
fn signatures_equal_those_of_botocore() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/sigv4.json")).unwrap();
    assert_eq!(cases.len(), 5);
    for case in &cases {
        let text = |name: &str| case[name].as_str().unwrap().to_string();
        let keys = aws_credential_types::Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            case["token"].as_str().map(str::to_string),
            None,
            "test",
        );
        let credentials = Credentials::Aws {
            identity: keys.into(),
            region: text("region"),
            service: text("service"),
            expires: None,
        };
        let mut headers = vec![
            ("content-type".to_string(), "application/json".to_string()),
            // Not to be covered by the signature.
            ("accept".to_string(), "text/event-stream".to_string()),
            ("session_id".to_string(), "1".to_string()),
            ("authorization".to_string(), "Bearer left over".to_string()),
        ];
        for (name, value) in case["headers"].as_object().unwrap() {
            headers.push((name.clone(), value.as_str().unwrap().to_string()));
        }
        let at = timestamp::read_basic(&text("at")).unwrap();
        let body = text("body");
        authorize(
            &credentials,
            "POST",
            &text("url"),
            &mut headers,
            body.as_bytes(),
            at,
        )
        .unwrap();
        let all = |name: &str| -> Vec<&str> {
            headers
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .collect()
        };
        assert_eq!(
            all("authorization"),
            [text("authorization")],
            "{}",
            text("name")
        );
        assert_eq!(all("x-amz-date"), [text("at")]);
        assert_eq!(all("x-amz-content-sha256").len(), 1);
        assert_eq!(all("accept"), ["text/event-stream"]);
        assert_eq!(
            all("x-amz-security-token"),
            case["token"].as_str().into_iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn credentials_that_ended_sign_nothing() {
    let now = SystemTime::now();
    let keys = aws_credential_types::Credentials::new("AKIDEXAMPLE", "marker", None, None, "test");
    let credentials = Credentials::Aws {
        identity: keys.into(),
        region: "us-east-1".to_string(),
        service: "s".to_string(),
        expires: Some(now),
    };
    let mut headers = Vec::new();
    let failure = authorize(
        &credentials,
        "POST",
        "https://x.example/",
        &mut headers,
        b"",
        now,
    )
    .unwrap_err();
    assert_eq!(failure.class, "credentials_expired");
    assert!(headers.is_empty());
}

#[tokio::test]
async fn a_bearer_is_taken_from_the_variable_of_the_row() {
    let home = Home::new("").with("DIRECT_KEY", "  marker-key\n");
    let signed = home.sign_in_at(DIRECT, None, &LIMITS).await.unwrap();
    assert_eq!(bearer(&signed), "marker-key");
    assert_eq!(signed.how, "bearer from DIRECT_KEY");
    let mut headers = vec![("accept".to_string(), "*/*".to_string())];
    authorize(
        &signed.credentials,
        "POST",
        "https://x",
        &mut headers,
        b"",
        hence(0),
    )
    .unwrap();
    assert_eq!(
        headers[1],
        ("authorization".to_string(), "Bearer marker-key".to_string())
    );
}

#[tokio::test]
async fn an_absent_or_empty_variable_is_named() {
    let home = Home::new("").with("DIRECT_KEY", "  ");
    failed(
        home.sign_in_at(DIRECT, None, &LIMITS).await,
        "no_credentials",
        &["DIRECT_KEY is not set", "export DIRECT_KEY="],
    );
    for auth in [
        Auth::BearerEnv("OTHER_KEY".to_string()),
        Auth::ApiKeyEnv("OTHER_KEY".to_string()),
    ] {
        let home = Home::new("").with("DIRECT_KEY", "marker-of-the-row");
        failed(
            home.sign_in_at(DIRECT, Some(auth.clone()), &LIMITS).await,
            "no_credentials",
            &["OTHER_KEY is not set"],
        );
        let home = home.with("OTHER_KEY", "marker-other");
        let signed = home.sign_in_at(DIRECT, Some(auth), &LIMITS).await.unwrap();
        assert_eq!(bearer(&signed), "marker-other", "the target's own way wins");
    }
}

#[tokio::test]
async fn no_credentials_may_be_wanted() {
    let home = Home::new("").with("DIRECT_KEY", "marker-key");
    let signed = home
        .sign_in_at(DIRECT, Some(Auth::None), &LIMITS)
        .await
        .unwrap();
    assert!(matches!(signed.credentials, Credentials::None));
    let mut headers = Vec::new();
    authorize(
        &signed.credentials,
        "POST",
        "https://x",
        &mut headers,
        b"",
        hence(0),
    )
    .unwrap();
    assert!(headers.is_empty());
}

#[tokio::test]
async fn a_key_that_no_header_carries_is_refused() {
    let home = Home::new("").with("DIRECT_KEY", "marker\nkey");
    failed(
        home.sign_in_at(DIRECT, None, &LIMITS).await,
        "invalid_credentials",
        &["DIRECT_KEY"],
    );
}

#[tokio::test]
async fn a_bearer_that_hides_aws_credentials_is_warned_of() {
    let config =
        "[profile dev]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = marker-s\n";
    let home = Home::new(config)
        .with("MANTLE_KEY", "marker-key")
        .with("AWS_PROFILE", "dev");
    let signed = home.sign_in(None).await.unwrap();
    assert_eq!(bearer(&signed), "marker-key");
    assert!(
        signed
            .warnings
            .iter()
            .any(|warning| warning.contains("MANTLE_KEY")
                && warning.contains("hides")
                && warning.contains("`dev`")),
        "{:?}",
        signed.warnings
    );
    // The target may say otherwise.
    let signed = home.sign_in(Some(Auth::AwsChain)).await.unwrap();
    assert_eq!(keys(&signed), "AKIDEXAMPLE/marker-s/-");
    // Nothing to hide, nothing to say.
    let signed = Home::new("")
        .with("MANTLE_KEY", "marker-key")
        .sign_in(None)
        .await
        .unwrap();
    assert_eq!(signed.warnings, Vec::<String>::new());
}

// Short-term Bedrock keys

fn short_term_key(region: &str, from: SystemTime, seconds: u64) -> String {
    let date = timestamp::write(from).replace(['-', ':'], "");
    let url = format!(
        "bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20260101%2F{region}%2Fbedrock%2Faws4_request\
         &X-Amz-Date={date}&X-Amz-Expires={seconds}&X-Amz-Security-Token=marker\
         &X-Amz-Signature=marker&X-Amz-SignedHeaders=host&Version=1"
    );
    let encoded = base64::engine::general_purpose::STANDARD.encode(url);
    format!("bedrock-api-key-{encoded}")
}

#[tokio::test]
async fn an_expired_short_term_key_is_known_offline() {
    let key = short_term_key("us-east-1", hence(-7200), 3600);
    let home = Home::new("").with("MANTLE_KEY", key.clone());
    let failure = failed(
        home.sign_in(None).await,
        "credentials_expired",
        &[
            "MANTLE_KEY",
            "expired",
            &timestamp::write(hence(-3600))[..13],
        ],
    );
    assert!(!format!("{failure:?}").contains(&key));
    let home = home
        .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "marker");
    failed(
        home.sign_in(None).await,
        "credentials_expired",
        &["unset it", "AWS_ACCESS_KEY_ID"],
    );
}

#[tokio::test]
async fn a_short_term_key_is_for_one_region() {
    let key = short_term_key("eu-west-1", hence(-60), 3600);
    let home = Home::new("").with("MANTLE_KEY", key.clone());
    let signed = home.sign_in(None).await.unwrap();
    assert_eq!(signed.region.as_deref(), Some("us-east-1"));
    assert!(signed.warnings[0].contains("eu-west-1") && signed.warnings[0].contains("us-east-1"));

    let mut home = home;
    home.environment = home.environment.without(|name| name == "AWS_REGION");
    let signed = home.sign_in(None).await.unwrap();
    assert_eq!(signed.region.as_deref(), Some("eu-west-1"));
    assert_eq!(signed.warnings, Vec::<String>::new());
}

// Regions

#[tokio::test]
async fn regions_come_from_environment_then_profile() {
    let home = Home::new("[default]\nregion = ap-south-1\n[profile p]\nregion = eu-west-2\n")
        .with("AWS_DEFAULT_REGION", "us-west-2");
    let named = profile("p");
    let environment = home.environment.clone();
    assert_eq!(
        region(None, &environment).await.as_deref(),
        Some("us-east-1")
    );
    let environment = environment.without(|name| name == "AWS_REGION");
    assert_eq!(
        region(None, &environment).await.as_deref(),
        Some("us-west-2")
    );
    let environment = environment.without(|name| name == "AWS_DEFAULT_REGION");
    assert_eq!(
        region(None, &environment).await.as_deref(),
        Some("ap-south-1")
    );
    assert_eq!(
        region(named.as_ref(), &environment).await.as_deref(),
        Some("eu-west-2")
    );
    let environment = environment.with("AWS_PROFILE", "p");
    assert_eq!(
        region(None, &environment).await.as_deref(),
        Some("eu-west-2")
    );
    assert_eq!(region(profile("nobody").as_ref(), &environment).await, None);
    assert_eq!(region(None, &Environment::default()).await, None);
}

#[tokio::test]
async fn no_region_is_said_before_anything_leaves() {
    let server = MockServer::start().await;
    let mut home = Home::new("")
        .against(&server)
        .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "marker");
    home.environment = home.environment.without(|name| name == "AWS_REGION");
    let words = ["regions: [us-east-1]", "AWS_REGION"];
    failed(home.sign_in(None).await, "no_region", &words);
    let home = home.with("MANTLE_KEY", "marker-key");
    failed(home.sign_in(None).await, "no_region", &words);
    let signed = home
        .sign_in_at(
            DIRECT,
            Some(Auth::BearerEnv("MANTLE_KEY".to_string())),
            &LIMITS,
        )
        .await
        .unwrap();
    assert_eq!(signed.region, None, "a provider without regions needs none");
    silent(&server).await;
}

// Keys and profiles

#[tokio::test]
async fn keys_come_from_environment_or_profile() {
    let config = "[profile dev]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = marker-p\n\
                  aws_session_token = marker-t\nregion = eu-west-1\n";
    let home = Home::new(config)
        .with("AWS_ACCESS_KEY_ID", "AKIDENV")
        .with("AWS_SECRET_ACCESS_KEY", "marker-e")
        .with("AWS_SESSION_TOKEN", "marker-st")
        .with("AWS_PROFILE", "dev");
    let signed = home.sign_in(None).await.unwrap();
    assert_eq!(keys(&signed), "AKIDENV/marker-e/marker-st");
    assert_eq!(signed.how, "SigV4, keys from AWS_ACCESS_KEY_ID");
    let Credentials::Aws {
        service, region, ..
    } = &signed.credentials
    else {
        panic!("{signed:?}");
    };
    assert_eq!(
        (service.as_str(), region.as_str()),
        ("mantle-service", "us-east-1")
    );

    // A profile asked for by name is not passed over for the environment's keys.
    let signed = home.sign_in(profile("dev")).await.unwrap();
    assert_eq!(keys(&signed), "AKIDPROFILE/marker-p/marker-t");
    assert_eq!(signed.how, "SigV4, profile `dev`");

    // The shared credentials file, found by its variable.
    let elsewhere = home.folder.path().join("creds");
    std::fs::write(
        &elsewhere,
        "[ci]\naws_access_key_id = AKIDCI\naws_secret_access_key = marker-ci\n",
    )
    .unwrap();
    let home = home.with(
        "AWS_SHARED_CREDENTIALS_FILE",
        elsewhere.display().to_string(),
    );
    let signed = home.sign_in(profile("ci")).await.unwrap();
    assert_eq!(keys(&signed), "AKIDCI/marker-ci/-");
}

#[tokio::test]
async fn a_provider_without_signatures_says_so() {
    let home = Home::new("");
    failed(
        home.sign_in_at(DIRECT, Some(Auth::AwsChain), &LIMITS).await,
        "no_credentials",
        &["`direct` takes no AWS signatures"],
    );
}

#[tokio::test]
async fn a_missing_profile_is_answered_with_those_that_exist() {
    let config =
        "[default]\nregion = x\n[profile production]\nregion = x\n[profile dev-eu]\nregion = x\n";
    let server = MockServer::start().await;
    let home = Home::new(config).against(&server);
    let failure = failed(
        home.sign_in(profile("dev-us")).await,
        "no_credentials",
        &["`dev-us` does not exist", "name `dev-eu`"],
    );
    let at = |name: &str| failure.message.find(name).unwrap();
    assert!(at("`dev-eu`") < at("`default`") && at("`dev-eu`") < at("`production`"));
    let home = home.with("AWS_PROFILE", "gone");
    failed(home.sign_in(None).await, "no_credentials", &["`gone`"]);
    failed(
        Home::new("").sign_in(profile("p")).await,
        "no_credentials",
        &["there are no profiles"],
    );
    silent(&server).await;
}

#[tokio::test]
async fn a_broken_configuration_names_its_file() {
    let home = Home::new("[profile dev\nregion = marker\n");
    failed(
        home.sign_in(profile("dev")).await,
        "no_credentials",
        &[".aws/config", "line 1"],
    );
}

#[tokio::test]
async fn a_missing_source_profile_is_named() {
    let config =
        "[profile dev]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = base\n";
    failed(
        Home::new(config).sign_in(profile("dev")).await,
        "no_credentials",
        &["base"],
    );
}

#[tokio::test]
async fn nothing_at_all_is_said_at_once_and_no_metadata_service_is_asked() {
    let server = MockServer::start().await;
    let home = Home::new("").against(&server);
    let begun = Instant::now();
    failed(
        home.sign_in(None).await,
        "no_credentials",
        &["MANTLE_KEY is not set", "no AWS credentials", "AWS_PROFILE"],
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    silent(&server).await;
    // The same without a region: that is not what to mend first.
    let mut home = home;
    home.environment = home.environment.without(|name| name == "AWS_REGION");
    failed(home.sign_in(None).await, "no_credentials", &[]);
    silent(&server).await;
}

/// Runs the test above in a process whose own environment is full of credentials.
#[test]
fn the_environment_of_the_process_is_not_seen() {
    let hostile = Home::new("[default]\naws_access_key_id = A\naws_secret_access_key = b\n");
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "auth::nothing_at_all_is_said_at_once_and_no_metadata_service_is_asked",
        ])
        .env("HOME", hostile.folder.path())
        .env("AWS_ACCESS_KEY_ID", "AKIDHOSTILE")
        .env("AWS_SECRET_ACCESS_KEY", "marker")
        .env("AWS_PROFILE", "default")
        .env("AWS_REGION", "us-west-2")
        .env("MANTLE_KEY", "marker")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn container_credentials_are_used_where_the_environment_names_them() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/container"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "AccessKeyId": "AKIDBOX", "SecretAccessKey": "marker-c", "Token": "marker-t",
            "Expiration": timestamp::write(hence(3600)),
        })))
        .mount(&server)
        .await;
    let home = Home::new("").against(&server).with(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        format!("{}/container", server.uri()),
    );
    let signed = home.sign_in(None).await.unwrap();
    assert_eq!(keys(&signed), "AKIDBOX/marker-c/marker-t");
}

// SSO

const SSO: &str = "
[profile session]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Developer
[sso-session corp]
sso_start_url = https://corp.example/start
sso_region = us-east-1
[profile legacy]
sso_start_url = https://corp.example/start
sso_region = us-east-1
sso_account_id = 111122223333
sso_role_name = Developer
";
const FORMS: [(&str, &str); 2] = [
    ("session", "corp"),
    ("legacy", "https://corp.example/start"),
];

fn token(seconds: i64) -> Value {
    json!({
        "startUrl": "https://corp.example/start",
        "region": "us-east-1",
        "accessToken": "marker-access",
        "expiresAt": timestamp::write(hence(seconds)),
    })
}

fn renewable(seconds: i64) -> Value {
    let mut token = token(seconds);
    token["refreshToken"] = json!("marker-refresh");
    token["clientId"] = json!("client");
    token["clientSecret"] = json!("marker-client");
    token["registrationExpiresAt"] = json!(timestamp::write(hence(86400)));
    token
}

/// A portal that gives keys to whoever shows this token, and refuses everyone else.
async fn portal(accepted: &str) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/sso/federation/credentials"))
        .and(header("x-amz-sso_bearer_token", accepted))
        .and(query_param("role_name", "Developer"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "roleCredentials": {
            "accessKeyId": "ASIDSSO", "secretAccessKey": "marker-sso", "sessionToken": "marker-st",
            "expiration": hence(3600).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64,
        }})))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(path("/sso/federation/credentials"))
        .respond_with(
            ResponseTemplate::new(401)
                .insert_header("x-amzn-ErrorType", "UnauthorizedException")
                .set_body_json(json!({ "message": "Session token not found or invalid" })),
        )
        .with_priority(9)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn an_expired_session_is_known_offline_in_both_forms() {
    for (name, key) in FORMS {
        let server = MockServer::start().await;
        let home = Home::new(SSO).against(&server).cache(key, token(-5400));
        failed(
            home.sign_in(profile(name)).await,
            "credentials_expired",
            &[
                &format!("`{name}` expired {}", &timestamp::write(hence(-5400))[..13]),
                &format!("aws sso login --profile {name}"),
            ],
        );
        silent(&server).await;
    }
    // Refresh material that is over itself does not help; neither does any in the older form.
    let server = MockServer::start().await;
    let mut stale = renewable(-60);
    stale["registrationExpiresAt"] = json!(timestamp::write(hence(-60)));
    let home = Home::new(SSO)
        .against(&server)
        .cache("corp", stale)
        .cache("https://corp.example/start", renewable(-60));
    for (name, _) in FORMS {
        failed(
            home.sign_in(profile(name)).await,
            "credentials_expired",
            &[],
        );
    }
    silent(&server).await;
}

#[tokio::test]
async fn a_session_behind_a_role_is_checked_too() {
    let config = format!(
        "{SSO}\n[profile role]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = session\n"
    );
    let server = MockServer::start().await;
    let home = Home::new(&config)
        .against(&server)
        .cache("corp", token(-60));
    failed(
        home.sign_in(profile("role")).await,
        "credentials_expired",
        &["`role`", "aws sso login --profile session"],
    );
    silent(&server).await;
}

#[tokio::test]
async fn a_session_that_is_absent_or_unreadable_is_not_expired() {
    for (name, key) in FORMS {
        let server = MockServer::start().await;
        let home = Home::new(SSO).against(&server);
        let fix = format!("aws sso login --profile {name}");
        failed(home.sign_in(profile(name)).await, "no_credentials", &[&fix]);
        for broken in [json!("marker"), json!({}), json!({"accessToken": "marker"})] {
            let home = Home::new(SSO).against(&server).cache(key, broken);
            failed(
                home.sign_in(profile(name)).await,
                "no_credentials",
                &["cannot be read", ".json", &fix],
            );
        }
        silent(&server).await;
    }
}

#[tokio::test]
async fn a_live_session_gives_keys() {
    for (name, key) in FORMS {
        let server = portal("marker-access").await;
        let home = Home::new(SSO).against(&server).cache(key, token(3600));
        let signed = home.sign_in(profile(name)).await.unwrap();
        assert_eq!(keys(&signed), "ASIDSSO/marker-sso/marker-st");
        let Credentials::Aws { expires, .. } = signed.credentials else {
            panic!("no AWS credentials");
        };
        assert!(expires.unwrap() > SystemTime::now());
    }
}

#[tokio::test]
async fn a_session_is_renewed_without_writing_the_users_cache() {
    let server = portal("marker-renewed").await;
    Mock::given(method("POST"))
        .and(path("/oidc/token"))
        .and(body_string_contains("marker-refresh"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "accessToken": "marker-renewed", "expiresIn": 3600, "refreshToken": "marker-next",
            "tokenType": "Bearer",
        })))
        .expect(1)
        .mount(&server)
        .await;
    // `Home::sign_in` compares the tree. The config is elsewhere, as the variable says.
    let home = Home::new("").against(&server).cache("corp", renewable(-60));
    let elsewhere = home.folder.path().join("elsewhere");
    std::fs::write(&elsewhere, SSO).unwrap();
    let home = home.with("AWS_CONFIG_FILE", "~/elsewhere");
    let signed = home.sign_in(profile("session")).await.unwrap();
    assert_eq!(keys(&signed), "ASIDSSO/marker-sso/marker-st");
}

#[tokio::test]
async fn a_session_that_cannot_be_renewed_has_expired() {
    let server = portal("marker-renewed").await;
    Mock::given(method("POST"))
        .and(path("/oidc/token"))
        .respond_with(ResponseTemplate::new(400).set_body_json(json!({
            "error": "invalid_grant", "error_description": "Invalid refresh token provided",
        })))
        .mount(&server)
        .await;
    let home = Home::new(SSO)
        .against(&server)
        .cache("corp", renewable(-60));
    failed(
        home.sign_in(profile("session")).await,
        "credentials_expired",
        &["no longer accepts", "aws sso login --profile session"],
    );
}

#[tokio::test]
async fn a_role_that_is_not_assigned_is_denied() {
    for (name, key) in FORMS {
        let server = MockServer::start().await;
        Mock::given(path("/sso/federation/credentials"))
            .respond_with(
                ResponseTemplate::new(403)
                    .insert_header("x-amzn-ErrorType", "ForbiddenException")
                    .set_body_json(json!({ "message": "No access" })),
            )
            .mount(&server)
            .await;
        let home = Home::new(SSO).against(&server).cache(key, token(3600));
        failed(
            home.sign_in(profile(name)).await,
            "access_denied",
            &["No access", "sso_role_name"],
        );
    }
}

// Roles

const ROLE: &str = "
[profile base]
aws_access_key_id = AKIDBASE
aws_secret_access_key = marker-base
[profile role]
role_arn = arn:aws:iam::111122223333:role/r
source_profile = base
[profile web]
role_arn = arn:aws:iam::111122223333:role/w
web_identity_token_file = TOKEN
";

fn sts_error(code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(403).set_body_string(format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
         <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    ))
}

fn sts_keys(action: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <Credentials><AccessKeyId>ASIDROLE</AccessKeyId><SecretAccessKey>marker-role</SecretAccessKey>\
         <SessionToken>marker-st</SessionToken><Expiration>{}</Expiration></Credentials>\
         </{action}Result></{action}Response>",
        timestamp::write(hence(3600))
    ))
}

async fn sts(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/sts/"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_role_is_assumed() {
    let server = sts(sts_keys("AssumeRole")).await;
    let home = Home::new(ROLE).against(&server);
    let signed = home.sign_in(profile("role")).await.unwrap();
    assert_eq!(keys(&signed), "ASIDROLE/marker-role/marker-st");
}

#[tokio::test]
async fn what_sts_says_decides_the_class() {
    for (code, class) in [
        ("AccessDenied", "access_denied"),
        ("ExpiredToken", "credentials_expired"),
        ("ExpiredTokenException", "credentials_expired"),
        ("InvalidClientTokenId", "invalid_credentials"),
        ("ValidationError", "no_credentials"),
    ] {
        let server = sts(sts_error(code, "because AKIAIOSFODNN7EXAMPLE said so")).await;
        let home = Home::new(ROLE).against(&server);
        let failure = failed(
            home.sign_in(profile("role")).await,
            class,
            &[code, "said so"],
        );
        assert!(!failure.message.contains("IOSFODNN"), "{failure:?}");
    }
}

#[tokio::test]
async fn sts_that_cannot_be_reached_is_unreachable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let home = Home::new(ROLE).with("AWS_ENDPOINT_URL_STS", format!("http://127.0.0.1:{port}"));
    failed(
        home.sign_in(profile("role")).await,
        "unreachable",
        &["network"],
    );
}

#[tokio::test]
async fn a_service_that_never_answers_is_cut() {
    let server = sts(sts_keys("AssumeRole").set_delay(Duration::from_secs(60))).await;
    let home = Home::new(ROLE).against(&server);
    let limits = Limits {
        overall: Duration::from_millis(500),
        ..LIMITS
    };
    let begun = Instant::now();
    failed(
        home.sign_in_at(MANTLE, profile("role"), &limits).await,
        "unreachable",
        &["500ms"],
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_web_identity_is_exchanged() {
    let server = sts(sts_keys("AssumeRoleWithWebIdentity")).await;
    let home = Home::new("").against(&server);
    let token = home.folder.path().join("jwt");
    let config = ROLE.replace("TOKEN", &token.display().to_string());
    std::fs::write(home.folder.path().join(".aws/config"), config).unwrap();
    failed(
        home.sign_in(profile("web")).await,
        "no_credentials",
        &[&token.display().to_string(), "web_identity_token_file"],
    );
    std::fs::write(&token, "marker-jwt").unwrap();
    let signed = home.sign_in(profile("web")).await.unwrap();
    assert_eq!(keys(&signed), "ASIDROLE/marker-role/marker-st");

    let server = sts(sts_error("ExpiredTokenException", "Token expired")).await;
    let home = home.against(&server);
    failed(
        home.sign_in(profile("web")).await,
        "credentials_expired",
        &[],
    );
}

// credential_process

fn process(command: &str) -> Home {
    Home::new(&format!("[profile p]\ncredential_process = {command}\n"))
}

fn answer(expiration: SystemTime) -> Home {
    let home = Home::new("");
    let file = home.folder.path().join("answer.json");
    let text = json!({
        "Version": 1, "AccessKeyId": "AKIDPROC", "SecretAccessKey": "marker-proc",
        "Expiration": timestamp::write(expiration),
    });
    std::fs::write(&file, text.to_string()).unwrap();
    let config = format!("[profile p]\ncredential_process = cat {}\n", file.display());
    std::fs::write(home.folder.path().join(".aws/config"), config).unwrap();
    home
}

#[tokio::test]
async fn a_process_gives_keys() {
    let signed = answer(hence(3600)).sign_in(profile("p")).await.unwrap();
    assert_eq!(keys(&signed), "AKIDPROC/marker-proc/-");
}

#[tokio::test]
async fn keys_of_a_process_that_are_over_are_expired() {
    failed(
        answer(hence(-60)).sign_in(profile("p")).await,
        "credentials_expired",
        &["profile `p`", "credential_process"],
    );
}

#[tokio::test]
async fn a_process_that_fails_is_quoted_without_secrets() {
    let home = process("echo please log in, AWS_SESSION_TOKEN=marker-t >&2; exit 3");
    failed(
        home.sign_in(profile("p")).await,
        "no_credentials",
        &["credential_process", "`p`", "please log in", "3"],
    );
    failed(
        process("/no/such/program").sign_in(profile("p")).await,
        "no_credentials",
        &["credential_process"],
    );
    failed(
        process("echo marker").sign_in(profile("p")).await,
        "no_credentials",
        &["credential_process", "could not parse"],
    );
}

#[tokio::test]
async fn a_process_that_hangs_is_cut() {
    let limits = Limits {
        process: Duration::from_secs(1),
        ..LIMITS
    };
    let begun = Instant::now();
    failed(
        process("sleep 20")
            .sign_in_at(MANTLE, profile("p"), &limits)
            .await,
        "no_credentials",
        &["within 1s", "`p`"],
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
}

// Staged circumstances

async fn with_stage(
    staged: &staged::Staged,
    row: &str,
    region: Option<&str>,
) -> Result<SignedIn, SignInFailure> {
    let provider = provider(row);
    let wanted = Wanted {
        provider: &provider,
        auth: staged.auth.as_ref(),
        region,
    };
    let result = sign_in(&wanted, &staged.environment).await;
    assert!(!format!("{result:?}{staged:?}").contains("marker"));
    result
}

fn rich() -> Environment {
    Environment::default()
        .with("PATH", "/bin")
        .with("HOME", "/nowhere")
        .with("MANTLE_KEY", "marker-key")
        .with("DIRECT_KEY", "marker-key")
        .with("AWS_ACCESS_KEY_ID", "AKIDBASE")
        .with("AWS_SECRET_ACCESS_KEY", "marker")
        .with("AWS_REGION", "eu-west-1")
}

#[tokio::test]
async fn staged_states_are_what_they_say() {
    let base = rich();
    let mantle = provider(MANTLE);
    for (state, class) in [
        (CredentialState::None, "no_credentials"),
        (CredentialState::ExpiredSso, "credentials_expired"),
        (CredentialState::ExpiredSsoLegacy, "credentials_expired"),
    ] {
        let staged = stage(state, &mantle, &base).unwrap().unwrap();
        assert_eq!(staged.environment.get("PATH"), Some("/bin"));
        failed(
            with_stage(&staged, MANTLE, Some("eu-west-1")).await,
            class,
            &[],
        );
        let home = staged.home().to_path_buf();
        assert!(home.exists());
        drop(staged);
        assert!(!home.exists(), "the home ends with the value");
    }
    for (row, variable) in [(MANTLE, "MANTLE_KEY"), (DIRECT, "DIRECT_KEY")] {
        let staged = stage(CredentialState::Invalid, &provider(row), &base)
            .unwrap()
            .unwrap();
        let signed = with_stage(&staged, row, Some("eu-west-1")).await.unwrap();
        assert_eq!(signed.how, format!("bearer from {variable}"));
        assert_ne!(bearer(&signed), "marker-key");
    }
    let staged = stage(CredentialState::None, &provider(DIRECT), &base)
        .unwrap()
        .unwrap();
    failed(
        with_stage(&staged, DIRECT, None).await,
        "no_credentials",
        &["DIRECT_KEY"],
    );
    for state in [CredentialState::Denied, CredentialState::Expired] {
        assert!(stage(state, &mantle, &base).unwrap().is_none());
    }
    for state in [
        CredentialState::ExpiredSso,
        CredentialState::ExpiredSsoLegacy,
    ] {
        assert!(stage(state, &provider(DIRECT), &base).unwrap().is_none());
    }
}

/// What is staged as expired also is for the SDK alone, in the form that it checks itself.
#[tokio::test]
async fn a_staged_session_is_really_expired() {
    let base = rich();
    let staged = stage(CredentialState::ExpiredSso, &provider(MANTLE), &base)
        .unwrap()
        .unwrap();
    let server = MockServer::start().await;
    let variables: std::collections::HashMap<String, String> = staged
        .environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .chain([("AWS_ENDPOINT_URL_SSO".to_string(), server.uri())])
        .collect();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .env(variables.into())
        .profile_name("sameturn")
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    use aws_credential_types::provider::ProvideCredentials;
    let error = config
        .credentials_provider()
        .unwrap()
        .provide_credentials()
        .await
        .unwrap_err();
    let mut texts = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    assert!(
        texts
            .iter()
            .any(|text| text.contains("SSO token has expired")),
        "{texts:?}"
    );
    silent(&server).await;
}

#[tokio::test]
async fn mocks_get_keys_and_bearers() {
    let staged =
        staged::with_static_keys("AKIDMOCK", "marker-m", Some("marker-t"), Some("us-west-2"))
            .unwrap();
    let signed = with_stage(&staged, MANTLE, None).await.unwrap();
    assert_eq!(keys(&signed), "AKIDMOCK/marker-m/marker-t");
    assert_eq!(signed.region.as_deref(), Some("us-west-2"));
    let staged = staged::with_static_keys("AKIDMOCK", "marker-m", None, None).unwrap();
    failed(with_stage(&staged, MANTLE, None).await, "no_region", &[]);

    let staged = staged::with_bearer(&provider(DIRECT), "marker-b")
        .unwrap()
        .unwrap();
    let signed = with_stage(&staged, DIRECT, None).await.unwrap();
    assert_eq!(bearer(&signed), "marker-b");
}
