//! Keys in a header of their own.

use crate::auth::home::*;

use sameturn::auth::authorize::authorize;
use sameturn::auth::aws_chain::LIMITS;
use sameturn::auth::credentials::{Credentials, SignedIn};
use sameturn::auth::sign_in::sign_in;
use sameturn::auth::staged::{self, stage};
use sameturn::auth::{SignInFailure, Wanted};
use sameturn::catalog::provider::KeyEnv;
use sameturn::scenario::model::CredentialState;
use sameturn::target::model::Auth;

const KEYED: &str = "
id: keyed
about: takes a key in a header of its own, or a token
dialects: { responses: /responses }
auth: [{ key_env: { header: Api-Key, env: KEYED_KEY } }, { bearer_env: KEYED_TOKEN }]
source: here
date: 2026-11-21
";

#[track_caller]
fn headers(signed: &SignedIn) -> Vec<(String, String)> {
    let mut headers = vec![("api-key".to_string(), "older".to_string())];
    authorize(
        &signed.credentials,
        "POST",
        "https://x",
        &mut headers,
        b"",
        hence(0),
    )
    .unwrap();
    headers
}

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_string(), value.to_string())]
}

#[tokio::test]
async fn a_key_goes_where_the_row_says() {
    let home = Home::new("").with("KEYED_KEY", " marker-key ");
    let signed = home.sign_in_at(KEYED, None, &LIMITS).await.unwrap();
    assert_eq!(headers(&signed), pair("api-key", "marker-key"));
    assert_eq!(signed.how, "key from KEYED_KEY in the header api-key");
    let secrets: Vec<String> = signed
        .credentials
        .secrets()
        .iter()
        .map(|secret| secret.expose().to_owned())
        .collect();
    assert_eq!(secrets, ["marker-key"]);
    // The key is preferred; without it the token is used.
    let both = home.with("KEYED_TOKEN", "marker-token");
    let signed = both.sign_in_at(KEYED, None, &LIMITS).await.unwrap();
    assert_eq!(headers(&signed), pair("api-key", "marker-key"));
    let token = Home::new("").with("KEYED_TOKEN", "marker-token");
    let signed = token.sign_in_at(KEYED, None, &LIMITS).await.unwrap();
    assert_eq!(bearer(&signed), "marker-token");
    failed(
        Home::new("").sign_in_at(KEYED, None, &LIMITS).await,
        "no_credentials",
        &["KEYED_KEY or KEYED_TOKEN is not set", "export KEYED_KEY="],
    );
}

#[tokio::test]
async fn a_target_may_name_variable_and_header() {
    let home = Home::new("")
        .with("OTHER", "marker-other")
        .with("DIRECT_KEY", "marker-of-the-row");
    let own = Auth::ApiKeyEnv("OTHER".to_string());
    let signed = home
        .sign_in_at(KEYED, Some(own.clone()), &LIMITS)
        .await
        .unwrap();
    assert_eq!(headers(&signed), pair("api-key", "marker-other"));
    // Where keys are bearers, it is one.
    let signed = home.sign_in_at(DIRECT, Some(own), &LIMITS).await.unwrap();
    assert_eq!(bearer(&signed), "marker-other");
    let named = |env: &str| {
        Some(Auth::KeyEnv(KeyEnv {
            header: "X-Gateway-Key".to_string(),
            env: env.to_string(),
        }))
    };
    let signed = home
        .sign_in_at(DIRECT, named("OTHER"), &LIMITS)
        .await
        .unwrap();
    let sent = headers(&signed);
    assert!(
        sent.contains(&pair("x-gateway-key", "marker-other")[0]),
        "{sent:?}"
    );
    failed(
        home.sign_in_at(DIRECT, named("ABSENT"), &LIMITS).await,
        "no_credentials",
        &["ABSENT is not set"],
    );
    let broken = Home::new("").with("OTHER", "marker\nother");
    failed(
        broken.sign_in_at(DIRECT, named("OTHER"), &LIMITS).await,
        "invalid_credentials",
        &["OTHER", "no HTTP header may carry"],
    );
}

async fn staged_sign_in(staged: &staged::Staged) -> Result<SignedIn, SignInFailure> {
    let provider = provider(KEYED);
    let wanted = Wanted {
        provider: &provider,
        auth: staged.auth.as_ref(),
        region: None,
    };
    sign_in(&wanted, &staged.environment).await
}

#[tokio::test]
async fn staged_states_use_the_header_too() {
    let row = provider(KEYED);
    let base = Home::new("")
        .with("KEYED_KEY", "marker-key")
        .with("KEYED_TOKEN", "marker-token")
        .environment;
    let staged = stage(CredentialState::Invalid, &row, &base, None)
        .unwrap()
        .unwrap();
    let signed = staged_sign_in(&staged).await.unwrap();
    assert_eq!(headers(&signed), pair("api-key", staged::NOBODYS_KEY));
    let staged = stage(CredentialState::None, &row, &base, None)
        .unwrap()
        .unwrap();
    failed(
        staged_sign_in(&staged).await,
        "no_credentials",
        &["KEYED_KEY or KEYED_TOKEN is not set"],
    );
    let staged = staged::with_key(&row, "marker-k").unwrap().unwrap();
    let signed = staged_sign_in(&staged).await.unwrap();
    assert!(matches!(signed.credentials, Credentials::Key { .. }));
    let staged = staged::with_bearer(&row, "marker-b").unwrap().unwrap();
    assert_eq!(bearer(&staged_sign_in(&staged).await.unwrap()), "marker-b");
}
