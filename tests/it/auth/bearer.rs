//! Bearers from variables, and Bedrock API keys among them.

use crate::auth::home::*;
use std::time::SystemTime;

use base64::Engine;
use sameturn::auth::authorize::authorize;
use sameturn::auth::aws_chain::LIMITS;
use sameturn::auth::credentials::Credentials;
use sameturn::auth::timestamp;
use sameturn::target::model::Auth;

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
