//! Regions, keys and profiles; and that nothing outside the given environment counts.

use crate::auth::home::*;

use sameturn::auth::aws_chain::LIMITS;
use sameturn::auth::credentials::Credentials;
use sameturn::auth::environment::Environment;
use sameturn::auth::sign_in::region;
use sameturn::auth::timestamp;
use sameturn::target::model::Auth;
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

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
    failed(
        home.sign_in(None).await,
        "no_credentials",
        &["MANTLE_KEY is not set", "no AWS credentials", "AWS_PROFILE"],
    );
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
            "auth::keys::nothing_at_all_is_said_at_once_and_no_metadata_service_is_asked",
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
