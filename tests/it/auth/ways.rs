//! Every way to sign in with AWS credentials and every way to fail, one row each, against the mocked
//! SSO portal, SSO-OIDC and STS.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::auth::home::*;

use sameturn::auth::aws_chain::{LIMITS, Limits};
use sameturn::auth::timestamp;
use sameturn::catalog;
use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;
use serde_json::{Value, json};
use tokio::sync::broadcast;

const START: &str = "https://sameturn.invalid/start";
const CONFIG: &str = r#"
[profile keys]
aws_access_key_id = AKIDSAMETURNMOCKDEFAULT
aws_secret_access_key = sameturn-mock-secret-of-default-not-a-real-key
[profile ended-keys]
aws_access_key_id = ASIASAMETURNMOCKEXPIRED
aws_secret_access_key = sameturn-mock-secret-of-expired-not-a-real-key
aws_session_token = sameturn-mock-session-token-of-expired
[profile unknown-keys]
aws_access_key_id = AKIDNOBODY
aws_secret_access_key = nobody
[profile wrong-secret]
aws_access_key_id = AKIDSAMETURNMOCKDEFAULT
aws_secret_access_key = wrong
[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Developer
[profile sso-other-role]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Nobody
[profile sso-half]
sso_session = corp
sso_account_id = 123456789012
[profile sso-no-section]
sso_session = korp
sso_account_id = 123456789012
sso_role_name = Developer
[sso-session corp]
sso_start_url = https://sameturn.invalid/start
sso_region = us-east-1
[profile legacy]
sso_start_url = https://sameturn.invalid/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = Developer
[profile role]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = keys
[profile role-by-sso]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = sso
[profile role-by-process]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = process
[profile role-by-own-process]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = role-by-own-process
credential_process = cat HOME/default.json
[profile role-by-environment]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
credential_source = Environment
[profile role-closed]
role_arn = arn:aws:iam::123456789012:role/SameturnMockClosed
source_profile = keys
[profile role-by-ended]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = ended-keys
[profile role-by-unknown]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = unknown-keys
[profile role-by-wrong]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = wrong-secret
[profile role-by-nobody]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = keyz
[profile role-alone]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
[profile loop-a]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = loop-b
[profile loop-b]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = loop-a
[profile web]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
web_identity_token_file = HOME/jwt
[profile web-ended]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
web_identity_token_file = HOME/jwt-ended
[profile web-rubbish]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
web_identity_token_file = HOME/jwt-rubbish
[profile web-closed]
role_arn = arn:aws:iam::123456789012:role/SameturnMockClosed
web_identity_token_file = HOME/jwt
[profile web-missing]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
web_identity_token_file = HOME/no-jwt
[profile process]
credential_process = cat HOME/default.json
[profile process-fails]
credential_process = echo "log in first, aws_session_token=marker-token" >&2; exit 3
[profile process-missing]
credential_process = /no/such/program --flag
[profile process-rubbish]
credential_process = echo marker-rubbish
[profile process-silent]
credential_process = true
[profile process-ended]
credential_process = cat HOME/ended.json
[profile process-hangs]
credential_process = sleep 30 & echo $! > HOME-pid; wait
[profile login]
login_session = arn:aws:iam::123456789012:user/developer
[profile empty]
region = us-east-1
[profile instance]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
credential_source = Ec2InstanceMetadata
"#;

/// What comes of a row: the start of the access key, or cause and words; then how many requests the
/// services may see at most.
enum Comes {
    Keys(&'static str),
    Fails(&'static str, &'static [&'static str]),
}
use Comes::{Fails, Keys};

struct Row {
    profile: &'static str,
    /// The cached token of both forms.
    token: Option<Value>,
    /// `service=fault`
    fault: &'static str,
    comes: Comes,
    /// Whether the services are asked.
    asked: bool,
}

fn row(profile: &'static str, comes: Comes, asked: bool) -> Row {
    Row {
        profile,
        token: None,
        fault: "",
        comes,
        asked,
    }
}

fn token(seconds: i64, access: &str, refresh: Option<&str>) -> Option<Value> {
    let mut token = json!({
        "startUrl": START, "region": "us-east-1", "accessToken": access,
        "expiresAt": timestamp::write(hence(seconds)),
    });
    if let Some(refresh) = refresh {
        token["refreshToken"] = json!(refresh);
        token["clientId"] = json!("sameturn-mock-sso-client");
        token["clientSecret"] = json!("sameturn-mock-sso-client-secret");
        token["registrationExpiresAt"] = json!(timestamp::write(hence(86400)));
    }
    Some(token)
}

fn live() -> Option<Value> {
    token(7200, "sameturn-mock-sso-token", None)
}

const MINE: &str = "AKIDSAMETURNMOCKDEFAULT";
const LENT: &str = "ASIASAMETURNMOCKTEMPORARY";

fn rows() -> Vec<Row> {
    let refresh = |token: &str| self::token(-60, "old", Some(token));
    let with = |profile, token, comes, asked| Row {
        token,
        ..row(profile, comes, asked)
    };
    let fault = |profile, token, fault: &'static str, comes| Row {
        token,
        fault,
        ..row(profile, comes, !fault.ends_with("=nowhere"))
    };
    vec![
        // The ways.
        row("keys", Keys(MINE), false),
        with("sso", live(), Keys(LENT), true),
        with("legacy", live(), Keys(LENT), true),
        with(
            "sso",
            refresh("sameturn-mock-sso-refresh"),
            Keys(LENT),
            true,
        ),
        row("role", Keys(LENT), true),
        with("role-by-sso", live(), Keys(LENT), true),
        row("role-by-process", Keys(LENT), true),
        row("role-by-own-process", Keys(LENT), true),
        row("web", Keys(LENT), true),
        row("process", Keys(MINE), false),
        // Profiles and files.
        row(
            "keyz",
            Fails("profile_missing", &["`keyz`", "name `keys`"]),
            false,
        ),
        row(
            "empty",
            Fails("nothing_found", &["`empty`", "AWS_PROFILE"]),
            false,
        ),
        row(
            "sso-half",
            Fails("profile_incomplete", &["sso_role_name"]),
            false,
        ),
        row(
            "sso-no-section",
            Fails(
                "profile_incomplete",
                &["`korp`", "`corp`", "aws configure sso-session"],
            ),
            false,
        ),
        row(
            "login",
            Fails(
                "login_session",
                &["aws configure export-credentials --profile login"],
            ),
            false,
        ),
        row(
            "role-alone",
            Fails(
                "profile_incomplete",
                &["source_profile", "credential_source"],
            ),
            false,
        ),
        row(
            "role-by-nobody",
            Fails(
                "source_profile_missing",
                &["`keyz`", "source_profile keys --profile role-by-nobody"],
            ),
            false,
        ),
        row(
            "loop-a",
            Fails("source_profile_loop", &["`loop-a`", "`loop-b`"]),
            false,
        ),
        row(
            "role-by-environment",
            Fails("profile_takes_environment", &["auth: aws_chain"]),
            false,
        ),
        row(
            "web-missing",
            Fails("web_identity_missing", &["no-jwt"]),
            false,
        ),
        // SSO.
        row(
            "sso",
            Fails(
                "sso_not_logged_in",
                &["aws sso login --profile sso", "--sso-session corp"],
            ),
            false,
        ),
        row(
            "legacy",
            Fails("sso_not_logged_in", &["aws sso login --profile legacy"]),
            false,
        ),
        with(
            "sso",
            Some(json!({"accessToken": 1})),
            Fails("sso_cache_unreadable", &[".json"]),
            false,
        ),
        with(
            "sso",
            token(-60, "old", None),
            Fails("sso_session_expired", &["aws sso login --profile sso"]),
            false,
        ),
        with(
            "legacy",
            token(-60, "old", None),
            Fails("sso_session_expired", &["--profile legacy"]),
            false,
        ),
        with(
            "role-by-sso",
            token(-60, "old", None),
            Fails("sso_session_expired", &["--profile sso"]),
            false,
        ),
        with(
            "sso",
            token(7200, "sameturn-mock-sso-token-ended", None),
            Fails(
                "sso_session_refused",
                &[
                    "Session token not found or invalid",
                    "aws sso login --profile sso",
                ],
            ),
            true,
        ),
        with(
            "sso",
            refresh("used-up"),
            Fails("sso_session_refused", &["not renewed", "--profile sso"]),
            true,
        ),
        fault(
            "sso",
            refresh("sameturn-mock-sso-refresh"),
            "sso-oidc=invalid-grant",
            Fails("sso_session_refused", &["not renewed"]),
        ),
        fault(
            "legacy",
            live(),
            "sso=expired",
            Fails("sso_session_refused", &["--profile legacy"]),
        ),
        with(
            "sso-other-role",
            live(),
            Fails("sso_role_not_assigned", &["No access", "sso_role_name"]),
            true,
        ),
        fault(
            "sso",
            live(),
            "sso=server-error",
            Fails("sso_portal_failed", &["HTTP 500", "later"]),
        ),
        fault(
            "sso",
            live(),
            "sso=throttled",
            Fails("sso_portal_failed", &["HTTP 429", "later"]),
        ),
        fault(
            "sso",
            live(),
            "sso=silence",
            Fails("aws_silent", &["within 1.5s", "network"]),
        ),
        fault(
            "sso",
            live(),
            "sso=nowhere",
            Fails("sso_unreachable", &["AWS_ENDPOINT_URL_SSO"]),
        ),
        // STS.
        row(
            "role-closed",
            Fails(
                "role_denied",
                &["not authorized to perform: sts:AssumeRole", "trust policy"],
            ),
            true,
        ),
        row(
            "web-closed",
            Fails("role_denied", &["AssumeRoleWithWebIdentity"]),
            true,
        ),
        row(
            "role-by-ended",
            Fails("role_source_expired", &["ExpiredToken", "`ended-keys`"]),
            true,
        ),
        row(
            "role-by-unknown",
            Fails(
                "role_source_unknown",
                &["InvalidClientTokenId", "`unknown-keys`"],
            ),
            true,
        ),
        row(
            "role-by-wrong",
            Fails("role_source_unknown", &["SignatureDoesNotMatch"]),
            true,
        ),
        row(
            "web-ended",
            Fails("role_source_expired", &["ExpiredTokenException"]),
            true,
        ),
        row(
            "web-rubbish",
            Fails("role_source_unknown", &["InvalidIdentityToken"]),
            true,
        ),
        fault(
            "role",
            None,
            "sts=server-error",
            Fails("sts_failed", &["HTTP 500", "later"]),
        ),
        fault(
            "role",
            None,
            "sts=throttled",
            Fails("sts_failed", &["Rate exceeded", "later"]),
        ),
        fault(
            "role",
            None,
            "sts=nowhere",
            Fails("sts_unreachable", &["AWS_ENDPOINT_URL_STS"]),
        ),
        // The SDK corrects its clock by the date of the answer, where that shows it.
        fault("role", None, "sts=clock-skew", Keys(LENT)),
        fault(
            "role",
            None,
            "sts=hidden-clock-skew",
            Fails(
                "clock_wrong",
                &["does not take the time", "Signature expired", "chronyc"],
            ),
        ),
        // Programs.
        row(
            "process-fails",
            Fails(
                "process_failed",
                &[
                    "exit status: 3",
                    "log in first",
                    "aws configure get credential_process",
                ],
            ),
            false,
        ),
        row(
            "process-missing",
            Fails("process_missing", &["/no/such/program", "install"]),
            false,
        ),
        row(
            "process-rubbish",
            Fails("process_rubbish", &["not a JSON object", "Version"]),
            false,
        ),
        row(
            "process-silent",
            Fails("process_rubbish", &["nothing was printed"]),
            false,
        ),
        row(
            "process-ended",
            Fails("process_expired", &["expired 2", "renew"]),
            false,
        ),
        row(
            "process-hangs",
            Fails("process_hung", &["within 1.5s", "ended"]),
            false,
        ),
        // The metadata address is asked only for a profile that says so, and not for long.
        fault(
            "instance",
            None,
            "imds=silence",
            Fails("metadata_unreachable", &["metadata service"]),
        ),
    ]
}

fn home(row: &Row, server: &MockServer) -> Home {
    let home = Home::new("");
    let folder = home.folder.path().display().to_string();
    let write = |name: &str, text: String| {
        std::fs::write(home.folder.path().join(name), text).unwrap();
    };
    write(
        ".aws/config",
        CONFIG
            .replace("HOME-pid", &format!("{folder}.pid"))
            .replace("HOME", &folder),
    );
    write("jwt", "sameturn-mock-web-identity".to_owned());
    write("jwt-ended", "sameturn-mock-web-identity-ended".to_owned());
    write("jwt-rubbish", "rubbish".to_owned());
    let keys = |seconds| {
        json!({
            "Version": 1, "AccessKeyId": MINE,
            "SecretAccessKey": "sameturn-mock-secret-of-default-not-a-real-key",
            "Expiration": timestamp::write(hence(seconds)),
        })
        .to_string()
    };
    write("default.json", keys(3600));
    write("ended.json", keys(-3600));
    let mut home = home;
    for key in ["corp", START] {
        if let Some(token) = &row.token {
            home = home.cache(key, token.clone());
        }
    }
    let (faulty, fault) = row.fault.split_once('=').unwrap_or_default();
    for (service, url) in server.sign_in_variables() {
        let url = match fault {
            _ if faulty != service.name => url,
            "nowhere" => "http://127.0.0.1:1".to_owned(),
            _ => url.replace("/aws/", &format!("/fault/{fault}/aws/")),
        };
        home = home.with(&service.variable, url);
    }
    if faulty == "imds" {
        let silence = format!("http://{}/fault/silence/aws/sts", server.address());
        home = home.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", silence);
    }
    home
}

const QUICK: Limits = Limits {
    process: Duration::from_millis(1500),
    metadata: Duration::from_millis(1500),
    overall: Duration::from_millis(1500),
};

#[tokio::test(flavor = "multi_thread")]
async fn every_way_works_or_is_told_by_its_cause() {
    let server = start().await;
    let mut shown = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in rows() {
        let name = format!("{} {}", row.profile, row.fault);
        let mut requests = server.watch();
        let home = home(&row, &server);
        let begun = Instant::now();
        let waits = ["silence", "nowhere"]
            .iter()
            .any(|word| row.fault.ends_with(word));
        let patient = row.profile != "process-hangs" && !waits || row.fault.ends_with("nowhere");
        let limits = if patient { LIMITS } else { QUICK };
        // Compares the home before and after, and looks for `marker` in what shows.
        let result = home.sign_in_at(MANTLE, profile(row.profile), &limits).await;
        let text = format!("{result:?}");
        for secret in [
            "sameturn-mock-s",
            "sameturn-mock-web",
            "sameturn-mock-refresh",
        ] {
            assert!(!text.contains(secret), "{name} shows a secret");
        }
        let mut say = |what: String| wrong.push(format!("{name}: {what}\n  {text}"));
        match (&row.comes, &result) {
            (Keys(start), Ok(signed)) if keys(signed).starts_with(start) => {}
            (Keys(_), _) => say("no such keys".to_owned()),
            (Fails(cause, _), Ok(_)) => say(format!("signed in instead of {cause}")),
            (Fails(cause, words), Err(failure)) => {
                let row = catalog::credential_causes()
                    .iter()
                    .find(|row| row.id == *cause)
                    .expect("a row");
                if (failure.cause, failure.class) != (*cause, row.class.as_str()) {
                    say(format!("not {}/{cause}", row.class));
                }
                let fix = failure.fix.as_deref().unwrap_or_default();
                if fix.is_empty() {
                    say("no fix".to_owned());
                }
                let all = format!("{} | {fix}", failure.message);
                for word in *words {
                    if !all.contains(word) {
                        say(format!("`{word}` is not said"));
                    }
                }
                shown.insert(*cause);
            }
        }
        let asked = seen(&mut requests);
        if asked.is_empty() == row.asked {
            say(format!("the services saw {asked:?}"));
        }
        if begun.elapsed() > Duration::from_secs(20) {
            say(format!("took {:?}", begun.elapsed()));
        }
        if row.profile == "process-hangs" {
            let file = format!("{}.pid", home.folder.path().display());
            let pid = std::fs::read_to_string(&file).expect("it was started");
            std::fs::remove_file(file).unwrap();
            ended(pid.trim()).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(shown.len() >= 28, "{} causes: {shown:?}", shown.len());
    server.stop().await;
}

/// A process that was a grandchild is gone, or only waits to be collected.
async fn ended(pid: &str) {
    for _ in 0..50 {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => return,
            Ok(stat) if stat.contains(") Z ") => return,
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("{pid} lives on");
}

fn seen(requests: &mut broadcast::Receiver<sameturn::mock::server::Seen>) -> Vec<String> {
    let mut paths = Vec::new();
    while let Ok(request) = requests.try_recv() {
        paths.push(request.path);
    }
    paths
}

async fn start() -> MockServer {
    let data = MockData::shipped().expect("the shipped data");
    MockServer::start(([127, 0, 0, 1], 0).into(), data, 1)
        .await
        .expect("it listens")
}

/// The words in the sources and the rows of data are the same.
#[test]
fn every_cause_is_used_and_has_a_class() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for entry in std::fs::read_dir(root.join("src/auth")).unwrap() {
        code.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let docs = std::fs::read_to_string(root.join("docs/aws-credentials.md")).unwrap();
    let causes = catalog::credential_causes();
    let mut ids = BTreeSet::new();
    for row in causes {
        assert!(ids.insert(&row.id), "{} is there twice", row.id);
        assert!(
            code.contains(&format!("\"{}\"", row.id)),
            "nothing says {}",
            row.id
        );
        let class = catalog::shipped().failures.class(&row.class);
        assert!(class.is_some(), "{}: no class {}", row.id, row.class);
        let named = format!("| `{}` | `{}` |", row.id, row.class);
        assert!(
            docs.contains(&named),
            "docs/aws-credentials.md has no row {named}"
        );
        let boto3 = format!("| {} |", row.boto3);
        let line = docs.lines().find(|line| line.starts_with(&named)).unwrap();
        assert!(line.ends_with(&boto3), "{line}: boto3 says {}", row.boto3);
    }
    let said = regex::Regex::new(r#"SignInFailure::of\(\s*"([a-z_]+)""#).unwrap();
    for found in said.captures_iter(&code) {
        assert!(
            ids.contains(&found[1].to_owned()),
            "no row for {}",
            &found[1]
        );
    }
}

/// boto3 signs in through the same services, and its own names for their failures are those of the docs.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn boto3_signs_in_and_fails_here_as_at_aws() {
    use std::process::Command;
    let python = std::env::var("SAMETURN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import boto3"]).output();
    if !there.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: `{python} -c 'import boto3'` fails (set SAMETURN_PYTHON)");
        return;
    }
    let server = start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/judges/sign_in.py");
    let origin = format!("http://{}", server.address());
    let run =
        tokio::task::spawn_blocking(move || Command::new(python).args([script, &origin]).output())
            .await
            .expect("it ends")
            .expect("it runs");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    server.stop().await;
}
