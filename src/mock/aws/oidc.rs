//! SSO-OIDC: `POST /token`, for refresh tokens and device codes.

use serde_json::{Value, json};

use crate::mock::aws::{Answered, AwsSignIn, Call};
use crate::mock::refusal::Refusal;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl AwsSignIn {
    pub(super) fn oidc(&self, call: &Call<'_>) -> Result<Answered, Refusal> {
        if call.arrived.method != "POST" || call.path != "/token" {
            return Err(Refusal::new("oidc-invalid").with("value", "that operation"));
        }
        let body: Value = serde_json::from_slice(call.arrived.body)
            .map_err(|_| Refusal::new("oidc-invalid").with("value", "a JSON body"))?;
        let told = |name: &'static str| {
            body[name]
                .as_str()
                .ok_or_else(|| Refusal::new("oidc-invalid").with("value", name))
        };
        let client = &self.issued.client;
        if told("clientId")? != client.id || told("clientSecret")? != client.secret {
            return Err(Refusal::new("invalid-client"));
        }
        let (access, refresh) = match told("grantType")? {
            "refresh_token" => {
                let token = told("refreshToken")?;
                let known = self
                    .issued
                    .refresh_tokens
                    .iter()
                    .find(|one| one.token == token)
                    .ok_or_else(|| Refusal::new("invalid-grant"))?;
                (&known.gives, Some(token))
            }
            DEVICE => {
                let code = told("deviceCode")?;
                let known = self
                    .issued
                    .device_codes
                    .iter()
                    .find(|one| one.code == code)
                    .ok_or_else(|| Refusal::new("invalid-grant"))?;
                match (&known.gives, &known.error) {
                    (Some(access), _) => (access, None),
                    (None, Some(error)) => return Err(Refusal::new(error)),
                    (None, None) => return Err(Refusal::new("invalid-grant")),
                }
            }
            other => return Err(Refusal::new("grant-unsupported").with("value", other)),
        };
        let mut answer = json!({
            "accessToken": access,
            "expiresIn": self.issued.session_life_seconds,
            "tokenType": "Bearer",
        });
        if let Some(refresh) = refresh {
            answer["refreshToken"] = json!(refresh);
        }
        Ok(Answered {
            content_type: "application/json",
            body: answer.to_string(),
            who: None,
        })
    }
}
