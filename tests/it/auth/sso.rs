//! SSO sessions in both forms.

use crate::auth::home::*;
use std::time::SystemTime;

use sameturn::auth::credentials::Credentials;
use sameturn::auth::timestamp;
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

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

#[tokio::test]
async fn a_portal_that_cannot_be_reached_is_unreachable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (name, key) in FORMS {
        let home = Home::new(SSO)
            .with("AWS_ENDPOINT_URL_SSO", format!("http://127.0.0.1:{port}"))
            .cache(key, token(3600));
        failed(
            home.sign_in(profile(name)).await,
            "unreachable",
            &[&format!("`{name}`"), "network"],
        );
    }
}
