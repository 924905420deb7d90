//! Circumstances that scenarios ask for.

use crate::auth::home::*;

use sameturn::auth::credentials::SignedIn;
use sameturn::auth::environment::Environment;
use sameturn::auth::sign_in::sign_in;
use sameturn::auth::staged::{self, stage};
use sameturn::auth::{SignInFailure, Wanted};
use sameturn::scenario::model::CredentialState;
use wiremock::MockServer;

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
        let staged = stage(state, &mantle, &base, None).unwrap().unwrap();
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
        let staged = stage(CredentialState::Invalid, &provider(row), &base, None)
            .unwrap()
            .unwrap();
        let signed = with_stage(&staged, row, Some("eu-west-1")).await.unwrap();
        assert_eq!(signed.how, format!("bearer from {variable}"));
        assert_ne!(bearer(&signed), "marker-key");
    }
    let staged = stage(CredentialState::None, &provider(DIRECT), &base, None)
        .unwrap()
        .unwrap();
    failed(
        with_stage(&staged, DIRECT, None).await,
        "no_credentials",
        &["DIRECT_KEY"],
    );
    for state in [CredentialState::Denied, CredentialState::Expired] {
        assert!(stage(state, &mantle, &base, None).unwrap().is_none());
    }
    for state in [
        CredentialState::ExpiredSso,
        CredentialState::ExpiredSsoLegacy,
    ] {
        assert!(
            stage(state, &provider(DIRECT), &base, None)
                .unwrap()
                .is_none()
        );
    }
}

/// What is staged as expired also is for the SDK alone, in the form that it checks itself.
#[tokio::test]
async fn a_staged_session_is_really_expired() {
    let base = rich();
    let staged = stage(CredentialState::ExpiredSso, &provider(MANTLE), &base, None)
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
