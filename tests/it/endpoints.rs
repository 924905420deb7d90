//! Where requests go and what goes with them: endpoints, headers, query parameters and projects.

use std::net::SocketAddr;

use sameturn::auth::aws_endpoint::endpoint;
use sameturn::auth::environment::Environment;
use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;

use crate::check::{PONG, pong_events, sse};
use crate::program::Project;
use crate::stub_server::Stub;

/// A scenario that a mock answers without a script.
const PLAIN: &str = "\
name: mine/plain
about: Anything at all.
turns:
  - user: Say something.
    expect: { stop: end }
";

async fn mock() -> MockServer {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    MockServer::start(any, MockData::shipped().unwrap(), 1)
        .await
        .unwrap()
}

/// A project that may ask the mocks, with its target file.
fn project(targets: &str) -> Project {
    Project::new()
        .file("sameturn.yaml", targets)
        .file("plain.yaml", PLAIN)
        .variable("AWS_ACCESS_KEY_ID", "AKIDSAMETURNMOCKDEFAULT")
        .variable(
            "AWS_SECRET_ACCESS_KEY",
            "sameturn-mock-secret-of-default-not-a-real-key",
        )
}

const CHECK: [&str; 4] = ["check", "plain.yaml", "--format", "json"];

const RUNTIME: &str = "\
targets:
  runtime:
    provider: bedrock-runtime
    dialect: converse
    model: us.openai.gpt-5.6-sol
    regions: [us-east-1]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_names_the_endpoint_and_the_signature_fits_it() {
    let mock = mock().await;
    let url = format!("http://{}/bedrock-runtime/us-east-1", mock.address());
    let project = project(RUNTIME)
        .variable("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .variable("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &url);
    let said = project.run(&CHECK).exits(0);
    let run = said.json();
    assert_eq!(run["targets"][0]["endpoint"], url.as_str());
    assert_eq!(
        run["targets"][0]["endpoint_from"],
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
    );
    assert!(
        said.stderr.contains("runtime us-east-1: http://127.0.0.1:")
            && said
                .stderr
                .contains("(from AWS_ENDPOINT_URL_BEDROCK_RUNTIME)"),
        "{}",
        said.stderr
    );
    assert_eq!(mock.requests(), 1);

    // The same mock of another region refuses the signature: region and service are the target's.
    let wrong = url.replace("us-east-1", "us-east-2");
    let project = project.variable("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &wrong);
    let said = project.run(&CHECK).exits(3);
    assert!(said.stdout.contains("us-east-2"), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_mocks_are_asked_whatever_the_environment_says() {
    let project = Project::new()
        .file("plain.yaml", PLAIN)
        .variable("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .variable("AWS_BEDROCK_BASE_URL", "nonsense")
        .variable("AWS_USE_FIPS_ENDPOINT", "true")
        .variable("OPENAI_PROJECT_ID", "proj_of_nobody")
        .variable("HTTP_PROXY", "http://127.0.0.1:9");
    let run = project.run(&CHECK).exits(0).json();
    assert!(run["targets"][0].get("endpoint_from").is_none());
}

#[tokio::test]
async fn the_rules_of_the_aws_sdk_decide() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(
        &config,
        "[default]\nendpoint_url = http://profile\nservices = mine\n\
         [profile general]\nendpoint_url = http://general\n\
         [profile deaf]\nendpoint_url = http://deaf\nignore_configured_endpoint_urls = true\n\
         [services mine]\nbedrock_runtime =\n  endpoint_url = http://section\n",
    )
    .unwrap();
    let home = Environment::default()
        .with("HOME", folder.path().display().to_string())
        .with("AWS_CONFIG_FILE", config.display().to_string());
    let both = home
        .clone()
        .with("AWS_ENDPOINT_URL", "http://all")
        .with("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://one");
    let all = home.clone().with("AWS_ENDPOINT_URL", "http://all");
    let ignored = both
        .clone()
        .with("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    for (environment, profile, expected) in [
        (&both, None, Some("http://one")),
        (&all, None, Some("http://all")),
        (&home, None, Some("http://section")),
        (&home, Some("general"), Some("http://general")),
        (&home, Some("deaf"), None),
        (&all, Some("deaf"), None),
        (&ignored, None, None),
    ] {
        let named = endpoint("Bedrock Runtime", profile, environment).await;
        let url = named.map(|named| named.url);
        assert_eq!(url.as_deref(), expected, "{environment:?} {profile:?}");
    }
}

#[test]
fn an_endpoint_that_is_none_and_fips_where_there_is_none_are_bad_input() {
    let mantle = RUNTIME
        .replace("bedrock-runtime", "bedrock-mantle")
        .replace("    dialect: converse\n", "")
        .replace("us.openai", "openai");
    for (targets, variable, value, expected) in [
        (
            RUNTIME.to_owned(),
            "AWS_ENDPOINT_URL",
            "vpce-1.example",
            "AWS_ENDPOINT_URL: the endpoint must begin with",
        ),
        (
            RUNTIME.to_owned(),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            "https://me:marker-secret@example.com",
            "must not carry a user or password",
        ),
        (
            mantle.clone(),
            "AWS_USE_FIPS_ENDPOINT",
            "true",
            "asks for a FIPS host, and none of `bedrock-mantle` is known",
        ),
        (
            RUNTIME.replace("us-east-1", "cn-north-1"),
            "AWS_USE_FIPS_ENDPOINT",
            "TRUE",
            "none of `bedrock-runtime` in cn-north-1 is known",
        ),
        (
            format!("{mantle}    endpoint: http://127.0.0.1:9/v1\n"),
            "AWS_USE_FIPS_ENDPOINT",
            "true",
            "`endpoint` names another endpoint",
        ),
    ] {
        let said = project(&targets)
            .variable(variable, value)
            .run(&CHECK)
            .exits(2);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
        assert!(!said.stderr.contains("marker-secret"), "{}", said.stderr);
    }
}

#[test]
fn what_is_foreseen_is_said_before_anything_is_sent() {
    let stub = Stub::json("500 Oops", "", "{}");
    let address = stub.base_url.trim_end_matches("/v1").to_owned();
    // The region comes from the environment, so that lint cannot know it.
    let targets = "\
targets:
  mantle:
    provider: bedrock-mantle
    model: openai.gpt-5.5
    auth: { bearer_env: A_KEY }
";
    let said = project(targets)
        .variable("A_KEY", "a-key-for-tests")
        .variable("AWS_REGION", "eu-west-1")
        .variable("AWS_BEDROCK_BASE_URL", &format!("{address}/openai/v1"))
        .run(&CHECK)
        .exits(1);
    assert!(
        said.stderr
            .contains("`openai.gpt-5.5` was not served in eu-west-1 on"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("(from AWS_BEDROCK_BASE_URL)"));
    assert!(stub.requests()[0].starts_with("POST /openai/v1/responses "));
    let warnings = said.json()["targets"][0]["warnings"].to_string();
    assert!(warnings.contains("was not served in eu-west-1"));
}

#[test]
fn an_arn_of_another_region_than_the_environments_is_foreseen() {
    let stub = Stub::json("500 Oops", "", "{}");
    let targets = "\
targets:
  runtime:
    provider: bedrock-runtime
    model: arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.openai.gpt-5.6-sol
    dialect: chat
    auth: { bearer_env: A_KEY }
";
    let address = stub.base_url.trim_end_matches("/v1").to_owned();
    for (region, foreseen) in [("us-east-1", true), ("us-west-2", false)] {
        let said = project(targets)
            .variable("A_KEY", "a-key-for-tests")
            .variable("AWS_REGION", region)
            .variable("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &address)
            .run(&CHECK)
            .exits(1);
        let warned = said
            .stderr
            .contains("is in us-west-2, but us-east-1 is asked for it");
        assert_eq!(warned, foreseen, "{}", said.stderr);
        assert!(!said.stderr.contains("123456789012"), "{}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_parameters_are_signed_over_and_secrets_stay_out() {
    let mock = mock().await;
    let targets = format!(
        "{RUNTIME}    endpoint: http://{}/bedrock-runtime/us-east-1\n    \
         headers: {{ X-Team: search, X-Amz-Custom: signed }}\n    \
         headers_env: {{ X-Api-Key: GATEWAY_KEY, X-Pin: PIN }}\n    \
         query: {{ 'a b': 'c&d=e', z: '', A: 'ü/~' }}\n",
        mock.address()
    );
    let project = project(&targets)
        .variable("GATEWAY_KEY", "marker-of-the-gateway")
        .variable("PIN", "1234");
    project.run(&CHECK).exits(0);
    for (path, bytes) in project.files() {
        if path.ends_with("sameturn.yaml") {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("marker-of"), "{}", path.display());
    }
    let turns = std::fs::read_to_string(project.run_folder().join("turns.jsonl")).unwrap();
    assert!(
        turns.contains("?a%20b=c%26d%3De&z=&A=%C3%BC%2F~"),
        "{turns}"
    );
    assert!(turns.contains("x-team") && turns.contains("x-pin"));
    assert!(!turns.contains("\"1234\""), "{turns}");

    let unset = project.variable("GATEWAY_KEY", " ").run(&CHECK).exits(2);
    assert!(
        unset
            .stderr
            .contains("the header `X-Api-Key` is to hold GATEWAY_KEY, which is not set"),
        "{}",
        unset.stderr
    );
}

#[test]
fn flags_add_headers_and_parameters() {
    let stub = Stub::events(&sse(&pong_events()));
    let project = Project::new().file("pong.yaml", PONG);
    let ask = |more: &[&str]| {
        let mut arguments = vec!["check", "pong.yaml", "--base-url", &stub.base_url];
        arguments.extend(["--model", "m"]);
        arguments.extend(more);
        project.run(&arguments)
    };
    let said = ask(&["--header", "X-Team: search", "--query", "api-version=1 2"]);
    let said = said.exits(0);
    assert!(!said.stdout.is_empty());
    let request = stub.requests().remove(0).to_lowercase();
    assert!(
        request.starts_with("post /v1/responses?api-version=1%202 ")
            && request.contains("x-team: search"),
        "{request}"
    );
    for (more, expected) in [
        (["--header", "X-Team"], "there is no `:`"),
        (["--header", "Authorization: marker"], "carries credentials"),
        (
            ["--header", "Connection: close"],
            "set by the client itself",
        ),
        (["--header", "X-Amz-Date: 1"], "a part of the signature"),
        (["--query", "api_key=marker"], "carries credentials"),
        (
            ["--query", "X-Amz-Signature=marker"],
            "a part of a signature",
        ),
    ] {
        let said = ask(&more).exits(2);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
        assert!(!said.stderr.contains("marker"), "{}", said.stderr);
    }
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_named_where_the_provider_takes_one() {
    let mock = mock().await;
    let targets = |id: &str, model: &str, path: &str, project: &str| {
        format!(
            "targets:\n  it:\n    provider: {id}\n    model: {model}\n    regions: [us-east-1]\n    \
             dialect: responses\n    endpoint: http://{}/{id}/us-east-1{path}\n    project: {project}\n",
            mock.address()
        )
    };
    let mantle = |project: &str| targets("bedrock-mantle", "openai.gpt-5.5", "/openai/v1", project);
    let runtime = |project: &str| {
        targets(
            "bedrock-runtime",
            "us.openai.gpt-5.6-sol",
            "/openai/v1",
            project,
        )
    };
    for (targets, code) in [
        (mantle("default"), 0),
        (mantle("proj_sameturnmock"), 0),
        (mantle("proj_other"), 1),
        (runtime("default"), 0),
        (
            runtime("arn:aws:bedrock:us-east-1:123456789012:project/default"),
            0,
        ),
        (runtime("proj_sameturnmock"), 1),
    ] {
        let said = project(&targets).run(&CHECK).exits(code);
        let warned = said.stderr.contains("is not known to take this project");
        assert_eq!(warned, targets.contains("bedrock-runtime") && code == 1);
    }
    // Converse has no such header, so that the mock cannot refuse it.
    let converse = runtime("proj_x").replace("responses", "converse");
    project(&converse).run(&CHECK).exits(0);
}

#[test]
fn organisation_and_project_come_from_the_environment_too() {
    let stub = Stub::json(
        "200 OK",
        "",
        r#"{"object":"list","data":[{"id":"gpt-5.5"}]}"#,
    );
    let targets = "targets: { it: { provider: openai, model: gpt-5.5, organization: org-mine } }\n";
    project(targets)
        .variable("OPENAI_API_KEY", "sk-test-key-0001")
        .variable("OPENAI_BASE_URL", &stub.base_url)
        .variable("OPENAI_ORG_ID", "org-other")
        .variable("OPENAI_PROJECT_ID", "proj_1")
        .run(&["models"])
        .exits(0);
    let request = stub.requests().remove(0);
    assert!(request.starts_with("GET /v1/models "), "{request}");
    assert!(
        request.contains("openai-organization: org-mine"),
        "{request}"
    );
    assert!(request.contains("openai-project: proj_1"), "{request}");
}

#[test]
fn a_target_may_sign_under_the_other_name_that_its_provider_takes() {
    let stub = Stub::events(&sse(&pong_events()));
    let file = |more: &str| {
        format!(
            "targets:\n  mantle:\n    provider: bedrock-mantle\n    model: openai.gpt-5.5\n    \
             regions: [us-east-1]\n    endpoint: {}\n{more}",
            stub.base_url
        )
    };
    for (more, service) in [
        ("", "bedrock-mantle"),
        ("    signing_name: bedrock\n", "bedrock"),
    ] {
        project(&file(more))
            .file("pong.yaml", PONG)
            .run(&["check", "pong.yaml"]);
        let request = stub.requests().pop().expect("a request");
        let scope = format!("/us-east-1/{service}/aws4_request");
        assert!(request.contains(&scope), "{request}");
    }
    let said = project(&file("    signing_name: bedrok\n"))
        .run(&["check", "plain.yaml"])
        .exits(2);
    assert!(
        said.stderr.contains("did you mean `bedrock`?"),
        "{}",
        said.stderr
    );
    assert_eq!(stub.requests().len(), 2);
}
