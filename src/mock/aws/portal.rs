//! The SSO portal: `GET /federation/credentials`.

use serde_json::json;

use crate::mock::aws::{Answered, AwsSignIn, Call};
use crate::mock::refusal::Refusal;
use crate::mock::sigv4;

impl AwsSignIn {
    pub(super) fn portal(&self, call: &Call<'_>) -> Result<Answered, Refusal> {
        if call.arrived.method != "GET" || call.path != "/federation/credentials" {
            return Err(Refusal::new("portal-invalid").with("value", "that operation"));
        }
        let token = call
            .header("x-amz-sso_bearer_token")
            .ok_or_else(|| Refusal::new("session-unknown"))?;
        let known = |one: &&crate::mock::aws::Token| one.token == token && !one.ended;
        if !self.issued.access_tokens.iter().any(|one| known(&one)) {
            return Err(Refusal::new("session-unknown"));
        }
        let asked = |name: &'static str| {
            query(call.arrived.query, name)
                .ok_or_else(|| Refusal::new("portal-invalid").with("value", name))
        };
        let (account, role) = (asked("account_id")?, asked("role_name")?);
        let assigned = self
            .issued
            .assignments
            .iter()
            .find(|one| one.account == account && one.role == role)
            .ok_or_else(|| Refusal::new("not-assigned"))?;
        let lent = self.lend(call, &assigned.principal, None)?;
        Ok(Answered {
            content_type: "application/json",
            body: json!({ "roleCredentials": {
                "accessKeyId": lent.who.access_key_id,
                "secretAccessKey": lent.who.secret_access_key,
                "sessionToken": lent.token,
                "expiration": lent.until.unix_timestamp() * 1000,
            }})
            .to_string(),
            who: Some(lent.who.name.clone()),
        })
    }
}

fn query(text: Option<&str>, name: &str) -> Option<String> {
    text?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| String::from_utf8_lossy(&sigv4::decode(value)).into_owned())
}
