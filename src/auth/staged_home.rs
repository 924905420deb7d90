//! AWS homes that fail in one way each: what a scenario's `given: { credentials: … }` writes down.
//!
//! Files as the AWS CLI writes them, read by the same code as the user's own.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::auth::environment::Environment;
use crate::auth::staged::{PROFILE, SESSION, START_URL};
use crate::auth::{sso_cache, timestamp};
use crate::scenario::model::CredentialState;

/// A token that the mocked portal takes (`mocks/aws-sign-in/sessions.yaml`).
const LIVE_TOKEN: &str = "sameturn-mock-sso-token";

/// Where a home is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) home: &'a Path,
    /// The origin of the mocks; empty without them.
    pub(super) mock: &'a str,
    /// The home of the identity that is otherwise used.
    pub(super) own: Option<&'a str>,
}

/// Writes the files of a state, and returns the environment that goes with them.
pub(super) fn furnish(
    state: CredentialState,
    place: &Place<'_>,
    environment: Environment,
) -> std::io::Result<Environment> {
    let Place { home, mock, own } = place;
    let hour = Duration::from_secs(3600);
    let sso = |role: &str| {
        format!(
            "[profile {PROFILE}]\nsso_session = {SESSION}\nsso_account_id = 123456789012\n\
             sso_role_name = {role}\n\n[sso-session {SESSION}]\nsso_start_url = {START_URL}\n\
             sso_region = us-east-1\n"
        )
    };
    let process = |command: &str| format!("[profile {PROFILE}]\ncredential_process = {command}\n");
    let role = |arn: &str, from: &str| {
        format!("[profile {PROFILE}]\nrole_arn = arn:aws:iam::123456789012:role/{arn}\n{from}\n")
    };
    let config = match state {
        CredentialState::SsoNeverLoggedIn => sso("Developer"),
        CredentialState::SsoRoleNotAssigned => sso("NotAssigned"),
        CredentialState::CredentialProcessFails => {
            process("echo 'sameturn: this program fails on purpose' >&2; exit 3")
        }
        // Two processes, so that ending only the first would leave one.
        CredentialState::CredentialProcessHangs => process("sleep 60; true"),
        CredentialState::CredentialProcessExpired => {
            process(&format!("cat '{}'", home.join("expired.json").display()))
        }
        CredentialState::ProfileMissing => format!("[profile {PROFILE}s]\nregion = us-east-1\n"),
        CredentialState::SourceProfileMissing => role("Any", "source_profile = nobody"),
        CredentialState::AssumeRoleDenied => role("SameturnMockClosed", "source_profile = caller"),
        CredentialState::WebIdentityMissing => role(
            "Any",
            &format!(
                "web_identity_token_file = {}",
                home.join("no-such-token").display()
            ),
        ),
        CredentialState::BrokenConfig => format!("[profile {PROFILE}\nregion = us-east-1\n"),
        CredentialState::LoginSession => format!(
            "[profile {PROFILE}]\nlogin_session = arn:aws:iam::123456789012:user/developer\n"
        ),
        // These need no files of this kind.
        CredentialState::Denied
        | CredentialState::Invalid
        | CredentialState::Expired
        | CredentialState::ExpiredSso
        | CredentialState::ExpiredSsoLegacy
        | CredentialState::None => String::new(),
    };
    std::fs::create_dir_all(home.join(".aws/sso/cache"))?;
    std::fs::write(home.join(".aws/config"), config)?;
    match state {
        CredentialState::SsoRoleNotAssigned => {
            let token = serde_json::json!({
                "startUrl": START_URL,
                "region": "us-east-1",
                "accessToken": LIVE_TOKEN,
                "expiresAt": timestamp::write(SystemTime::now() + hour),
            });
            let file = sso_cache::file(&home.display().to_string(), SESSION);
            std::fs::write(file, token.to_string())?;
        }
        CredentialState::CredentialProcessExpired => {
            let printed = serde_json::json!({
                "Version": 1,
                "AccessKeyId": "AKIDSAMETURNEXPIRED",
                "SecretAccessKey": "expired",
                "Expiration": timestamp::write(SystemTime::now() - hour),
            });
            std::fs::write(home.join("expired.json"), printed.to_string())?;
        }
        CredentialState::AssumeRoleDenied => {
            // The mock's own caller, known and trusted by other roles.
            let keys = match own {
                Some(own) => std::fs::read_to_string(Path::new(own).join(".aws/credentials"))?,
                None => String::new(),
            };
            let keys = keys.replace(&format!("[{PROFILE}]"), "[caller]");
            std::fs::write(home.join(".aws/credentials"), keys)?;
        }
        _ => {}
    }
    Ok(match state.needs_mock() {
        true => environment
            .with("AWS_ENDPOINT_URL_SSO", format!("{mock}/aws/sso"))
            .with("AWS_ENDPOINT_URL_STS", format!("{mock}/aws/sts")),
        false => environment,
    })
}
