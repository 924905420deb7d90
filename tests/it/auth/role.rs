//! Roles, assumed by keys or by a web identity.

use crate::auth::home::*;
use std::time::Duration;

use sameturn::auth::aws_chain::{LIMITS, Limits};
use sameturn::auth::timestamp;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

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
    failed(
        home.sign_in_at(MANTLE, profile("role"), &limits).await,
        "unreachable",
        &["500ms"],
    );
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
