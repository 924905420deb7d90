//! STS: `AssumeRole`, `AssumeRoleWithWebIdentity` and `GetCallerIdentity`, as forms and XML.

use std::collections::BTreeMap;

use time::Duration;

use crate::mock::aws::{Answered, AwsSignIn, Call, Lent, Role, escape_xml, rfc3339};
use crate::mock::data::Principal;
use crate::mock::issued::{Standing, standing};
use crate::mock::refusal::Refusal;
use crate::mock::sigv4::{self, matches, read_claim, signed_at, stamp};

/// How far a caller's clock may be off, both ways (github.com/aws/aws-cli/issues/6676).
const WINDOW: Duration = Duration::minutes(15);
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

impl AwsSignIn {
    pub(super) fn sts(
        &self,
        call: &Call<'_>,
        who: &mut Option<String>,
    ) -> Result<Answered, Refusal> {
        if call.arrived.method != "POST" || !matches!(call.path, "" | "/") {
            return Err(Refusal::new("action-unknown").with("value", "of that path"));
        }
        let form = form(call.arrived.body);
        let asked = |name: &'static str| {
            form.get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| Refusal::new("sts-invalid").with("value", name))
        };
        match form.get("Action").map_or("", String::as_str) {
            "GetCallerIdentity" => {
                let caller = signer(call, who)?;
                let account = caller.arn.split(':').nth(4).unwrap_or_default();
                Ok(self.done(
                    call,
                    "GetCallerIdentity",
                    caller,
                    format!(
                        "<Arn>{}</Arn><UserId>AROASAMETURNMOCK:{}</UserId><Account>{account}</Account>",
                        caller.arn, caller.name
                    ),
                ))
            }
            action @ "AssumeRole" => {
                let caller = signer(call, who)?;
                let (arn, session) = (asked("RoleArn")?, asked("RoleSessionName")?);
                let denied = || {
                    Refusal::new("assume-denied")
                        .with("arn", &caller.arn)
                        .with("action", action)
                        .with("role", arn)
                };
                let role = self.role(arn).ok_or_else(denied)?;
                if !role.trusts.contains(&caller.name) {
                    return Err(denied());
                }
                self.assumed(call, action, role, session, &form)
            }
            action @ "AssumeRoleWithWebIdentity" => {
                let (arn, session) = (asked("RoleArn")?, asked("RoleSessionName")?);
                let token = asked("WebIdentityToken")?;
                let mut known = self.issued.web_identities.iter();
                let known = known
                    .find(|one| one.token == token)
                    .ok_or_else(|| Refusal::new("web-unknown"))?;
                if known.ended {
                    return Err(Refusal::new("web-expired")
                        .with("now", call.now.unix_timestamp())
                        .with("limit", (call.now - Duration::hours(1)).unix_timestamp()));
                }
                let role = self
                    .role(arn)
                    .filter(|role| role.web_identities)
                    .ok_or_else(|| Refusal::new("web-denied"))?;
                self.assumed(call, action, role, session, &form)
            }
            other => Err(Refusal::new("action-unknown").with("value", other)),
        }
    }

    fn role(&self, arn: &str) -> Option<&Role> {
        self.issued.roles.iter().find(|role| role.arn == arn)
    }

    fn assumed(
        &self,
        call: &Call<'_>,
        action: &str,
        role: &Role,
        session: &str,
        form: &BTreeMap<String, String>,
    ) -> Result<Answered, Refusal> {
        let most = form
            .get("DurationSeconds")
            .and_then(|seconds| seconds.parse().ok());
        let lent = self.lend(call, &role.principal, most)?;
        let Lent { who, token, until } = &lent;
        let session = escape_xml(session);
        let inner = format!(
            "<AssumedRoleUser><AssumedRoleId>AROASAMETURNMOCK:{session}</AssumedRoleId><Arn>{}</Arn>\
             </AssumedRoleUser><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}\
             </SecretAccessKey><SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials>",
            escape_xml(&who.arn),
            who.access_key_id,
            who.secret_access_key,
            rfc3339(*until),
        );
        Ok(self.done(call, action, who, inner))
    }

    fn done(&self, call: &Call<'_>, action: &str, who: &Principal, inner: String) -> Answered {
        Answered {
            content_type: "text/xml",
            body: format!(
                "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{inner}</{action}Result>\
                 <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{action}Response>",
                call.request_id
            ),
            who: Some(who.name.clone()),
        }
    }
}

/// Who signed the request, if the signature is theirs and of now.
fn signer<'a>(call: &Call<'a>, who: &mut Option<String>) -> Result<&'a Principal, Refusal> {
    let authorization = call
        .header("authorization")
        .ok_or_else(|| Refusal::new("unsigned"))?;
    let claim = read_claim(authorization).map_err(|_| Refusal::new("unsigned"))?;
    let mut principals = call.principals.iter();
    let caller = principals
        .find(|one| one.access_key_id == claim.access_key_id)
        .ok_or_else(|| Refusal::new("key-unknown"))?;
    *who = Some(caller.name.clone());
    let standing = standing(caller, call.header("x-amz-security-token"), call.now);
    if standing == Standing::Unknown {
        return Err(Refusal::new("key-unknown"));
    }
    let signed = signed_at(call.arrived).ok_or_else(|| Refusal::new("signature-mismatch"))?;
    let skewed = |id: &str, limit| {
        Err(Refusal::new(id)
            .with("signed_at", stamp(signed))
            .with("limit", stamp(limit))
            .with("now", stamp(call.now)))
    };
    if signed < call.now - WINDOW {
        return skewed("clock-behind", call.now - WINDOW);
    }
    if signed > call.now + WINDOW {
        return skewed("clock-ahead", call.now + WINDOW);
    }
    if claim.service != "sts" || !matches(&claim, &caller.secret_access_key, call.arrived) {
        return Err(Refusal::new("signature-mismatch"));
    }
    if caller.expired || standing == Standing::Ended {
        return Err(Refusal::new("token-expired"));
    }
    Ok(caller)
}

/// `a=b&c=d`, decoded; `+` is a space.
fn form(body: &[u8]) -> BTreeMap<String, String> {
    let plain = |text: &str| {
        let bytes = sigv4::decode(&text.replace('+', " "));
        String::from_utf8_lossy(&bytes).into_owned()
    };
    String::from_utf8_lossy(body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}
