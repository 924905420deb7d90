//! The AWS services behind a sign-in, mocked: the SSO portal, SSO-OIDC and STS, under `/aws/SERVICE`.
//!
//! Core: a request and the time in, an answer out. The keys they lend belong to principals that the
//! mocked providers let in. It must never use the client's credential code or signer.

mod oidc;
mod portal;
mod sts;

use indexmap::IndexMap;
use serde::Deserialize;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Duration, OffsetDateTime};

use crate::mock::data::{ErrorBody, Principal};
use crate::mock::files::Files;
use crate::mock::issued;
use crate::mock::refusal::Refusal;
use crate::mock::route::Nowhere;
use crate::mock::sending::{Reply, ReplyBody};
use crate::mock::sigv4::Arrived;

/// Where the services are found below the origin.
pub const ROOT: &str = "/aws/";

/// What the services know, from `mocks/aws-sign-in/`.
#[derive(Debug, Clone)]
pub struct AwsSignIn {
    pub services: Vec<Service>,
    pub issued: Issued,
    pub faults: Vec<Fault>,
    /// By id.
    pub errors: IndexMap<String, ErrorBody>,
}

/// A service and how clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name in the path: `sts`.
    pub name: String,
    pub about: String,
    /// The environment variable that sends AWS SDKs here.
    pub variable: String,
    pub request_id_header: String,
    pub source: String,
}

/// What has been handed out to whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// How long the keys of a role live.
    pub role_life_seconds: u32,
    /// How long a renewed session lives.
    pub session_life_seconds: u32,
    pub client: Client,
    pub access_tokens: Vec<Token>,
    pub refresh_tokens: Vec<Exchange>,
    pub device_codes: Vec<DeviceCode>,
    pub assignments: Vec<Assignment>,
    pub roles: Vec<Role>,
    pub web_identities: Vec<Token>,
}

/// The one registered SSO client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub token: String,
    /// Whether its time is over.
    pub ended: bool,
}

/// A token and the access token it is changed for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub token: String,
    pub gives: String,
}

/// A device code, and its access token or the row of errors that answers it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceCode {
    pub code: String,
    pub gives: Option<String>,
    pub error: Option<String>,
}

/// A role of an account in the portal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    pub account: String,
    pub role: String,
    /// Whose keys it gives.
    pub principal: String,
}

/// A role of STS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub arn: String,
    /// Principals that may assume it.
    pub trusts: Vec<String>,
    /// Whether web identities may.
    pub web_identities: bool,
    /// Whose keys it lends.
    pub principal: String,
}

/// A misbehaviour by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub name: String,
    pub service: String,
    pub about: String,
    pub does: Does,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// This row of the errors, whatever is asked.
    Error(String),
    /// The service's clock is this far ahead.
    SkewSeconds(i64),
    /// The same, and the date of the answer does not show it.
    HiddenSkewSeconds(i64),
    /// No answer, and the connection stays open.
    Silence,
}

/// A request to one of the services.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub arrived: &'a Arrived<'a>,
    /// The path after [`ROOT`].
    pub path: &'a str,
    pub fault: Option<&'a str>,
    pub now: OffsetDateTime,
    pub request_id: &'a str,
    pub principals: &'a [Principal],
}

impl<'a> Call<'a> {
    fn header(&self, name: &str) -> Option<&'a str> {
        let mut found = self.arrived.headers.iter().filter(|(one, _)| one == name);
        found.next().map(|(_, value)| value.as_str())
    }

    fn principal(&self, name: &str) -> Option<&'a Principal> {
        self.principals.iter().find(|one| one.name == name)
    }
}

/// An answer that is no refusal, and whose request it was.
struct Answered {
    content_type: &'static str,
    body: String,
    who: Option<String>,
}

/// Keys on loan.
struct Lent<'a> {
    who: &'a Principal,
    token: String,
    until: OffsetDateTime,
}

impl AwsSignIn {
    /// Reads the folder `aws-sign-in` of the mock's files. The error names the file.
    pub(crate) fn read(files: &Files<'_>) -> Result<AwsSignIn, String> {
        let rows: Vec<ErrorBody> = files.parse("aws-sign-in/errors.yaml")?;
        Ok(AwsSignIn {
            services: files.parse("aws-sign-in/services.yaml")?,
            issued: files.parse("aws-sign-in/sessions.yaml")?,
            faults: files.parse("aws-sign-in/faults.yaml")?,
            errors: rows.into_iter().map(|row| (row.id.clone(), row)).collect(),
        })
    }

    /// Answers a request. The error is a name in the address that the mock does not know.
    pub fn answer(&self, call: &Call<'_>) -> Result<Reply, Nowhere> {
        let end = call.path.find('/').unwrap_or(call.path.len());
        let (name, path) = call.path.split_at(end);
        let service = self
            .services
            .iter()
            .find(|one| one.name == name)
            .ok_or_else(|| Nowhere {
                what: "AWS service",
                name: name.to_owned(),
                there_are: self.services.iter().map(|one| one.name.clone()).collect(),
            })?;
        let does = self.fault(call, service)?;
        let mut now = call.now;
        if let Some(Does::SkewSeconds(ahead) | Does::HiddenSkewSeconds(ahead)) = does {
            now += Duration::seconds(*ahead);
        }
        let call = Call { now, path, ..*call };
        let mut who = None;
        let result = match does {
            Some(Does::Error(id)) => Err(Refusal::new(id)),
            Some(Does::Silence) => {
                return Ok(Reply {
                    body: ReplyBody::Never,
                    ..Reply::json(200, &serde_json::Value::Null)
                });
            }
            Some(Does::SkewSeconds(_) | Does::HiddenSkewSeconds(_)) | None => {
                match service.name.as_str() {
                    "sso" => self.portal(&call),
                    "sso-oidc" => self.oidc(&call),
                    "sts" => self.sts(&call, &mut who),
                    other => Err(Refusal::new(other)),
                }
            }
        };
        let mut reply = match result {
            Ok(answered) => {
                who = answered.who.or(who);
                Reply {
                    status: 200,
                    headers: vec![("content-type".to_owned(), answered.content_type.to_owned())],
                    body: ReplyBody::Whole(answered.body),
                    principal: None,
                }
            }
            Err(refusal) => self.refuse(&call, &refusal),
        };
        reply.principal = who;
        reply.headers.push((
            service.request_id_header.clone(),
            call.request_id.to_owned(),
        ));
        if !matches!(does, Some(Does::HiddenSkewSeconds(_))) {
            reply.headers.push(("date".to_owned(), http_date(now)));
        }
        Ok(reply)
    }

    fn fault(&self, call: &Call<'_>, service: &Service) -> Result<Option<&Does>, Nowhere> {
        let Some(name) = call.fault else {
            return Ok(None);
        };
        let mut here = self.faults.iter().filter(|one| one.service == service.name);
        match here.clone().find(|one| one.name == name) {
            Some(fault) => Ok(Some(&fault.does)),
            None => Err(Nowhere {
                what: "fault",
                name: name.to_owned(),
                there_are: here.by_ref().map(|one| one.name.clone()).collect(),
            }),
        }
    }

    fn refuse(&self, call: &Call<'_>, refusal: &Refusal) -> Reply {
        let Some(row) = self.errors.get(&refusal.id) else {
            let text = format!("the mock has no body for `{}`", refusal.id);
            return Reply::json(500, &serde_json::json!({ "sameturn_mock": text }));
        };
        let refusal = refusal.clone().with("request_id", call.request_id);
        let mut headers: Vec<(String, String)> = row
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let xml = row.headers.contains_key("content-type");
        if !xml {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let body = match xml {
            true => refusal.fill(&row.body, escape_xml),
            false => refusal.fill(&row.body, crate::mock::refusal::escape_json),
        };
        Reply {
            status: row.status,
            headers,
            body: ReplyBody::Whole(body),
            principal: None,
        }
    }

    /// Lends the keys of a principal for at most `most` seconds.
    fn lend<'a>(
        &self,
        call: &Call<'a>,
        name: &str,
        most: Option<u32>,
    ) -> Result<Lent<'a>, Refusal> {
        let who = call
            .principal(name)
            .ok_or_else(|| Refusal::new(&format!("no principal {name}")))?;
        let own = self.issued.role_life_seconds;
        let until = call.now + Duration::seconds(i64::from(most.unwrap_or(own).min(own)));
        Ok(Lent {
            who,
            token: issued::token(who, until),
            until,
        })
    }
}

/// A time as STS writes it, to the second.
fn rfc3339(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

/// A time as HTTP writes it: `Sat, 21 Nov 2026 14:00:00 GMT`.
pub(crate) fn http_date(at: OffsetDateTime) -> String {
    at.format(&Rfc2822)
        .unwrap_or_default()
        .replace("+0000", "GMT")
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use crate::mock::aws::Does;
    use crate::mock::data::MockData;

    #[test]
    fn what_is_named_is_there() {
        let data = MockData::shipped().expect("the shipped data");
        let aws = &data.aws;
        let principal = |name: &String| data.principals().iter().any(|one| one.name == *name);
        for fault in &aws.faults {
            assert!(aws.services.iter().any(|one| one.name == fault.service));
            if let Does::Error(id) = &fault.does {
                assert!(aws.errors.contains_key(id), "{id}");
            }
        }
        for row in &aws.issued.assignments {
            assert!(principal(&row.principal), "{}", row.principal);
        }
        for role in &aws.issued.roles {
            assert!(role.trusts.iter().chain([&role.principal]).all(principal));
        }
        for code in &aws.issued.device_codes {
            assert!(
                code.gives.is_some() != code.error.is_some(),
                "{}",
                code.code
            );
        }
    }
}
