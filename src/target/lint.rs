//! Cross-checks of a target file against itself and the catalog.
//!
//! Core. Facts age: a model that the catalog does not know in a region is a warning, because the
//! provider may serve it by now; what can never work is an error. A secret in the file is refused.

use crate::catalog::Catalog;
use crate::catalog::provider::Provider;
use crate::diagnostic::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Place};
use crate::document::Document;
use crate::document::nearest::{list, nearest};
use crate::document::tree::Cursor;
use crate::target::model::{Auth, Guardrail, Target, TargetFile};

/// Headers that carry credentials, or that only the transport may set; names in lower case.
const CREDENTIAL_HEADERS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "cookie",
    "x-amz-security-token",
    "x-amz-date",
    "x-amz-content-sha256",
];
const TRANSPORT_HEADERS: [&str; 6] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "accept",
];

/// Cross-checks a target file.
pub fn lint(document: &Document<'_>, file: &TargetFile, catalog: &Catalog) -> Diagnostics {
    let mut lint = Lint {
        document,
        catalog,
        found: Vec::new(),
    };
    let root = document.cursor();
    if file.targets.is_empty() {
        lint.error(
            root.key("targets").place(),
            "the file has no targets",
            "add one: `targets: { openai: { provider: openai, model: gpt-5.5 } }`",
        );
    }
    if let Some(reference) = &file.reference {
        let names = file.targets.keys().map(String::as_str);
        lint.known(
            "there is no target",
            reference,
            names,
            root.key("reference").place(),
        );
    }
    for (name, target) in &file.targets {
        let at = root.key("targets").key(name);
        if !is_name(name) {
            lint.error(
                at.key_place(),
                format!("`{name}` is not a target name"),
                "write 1 to 64 letters, digits, `-`, `_` and `.`",
            );
        }
        lint.target(target, at);
    }
    Diagnostics(lint.found)
}

struct Lint<'a> {
    document: &'a Document<'a>,
    catalog: &'a Catalog,
    found: Vec<Diagnostic>,
}

impl Lint<'_> {
    fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        if self.found.len() >= MAX_DIAGNOSTICS {
            return;
        }
        let one = self.document.error(place, message).help(help);
        self.found.push(one);
    }

    /// An error whose line may hold a secret: it is neither repeated nor shown.
    fn error_unshown(&mut self, place: Place, message: impl Into<String>, help: &str) {
        let mut one = self.document.error(place, message).help(help);
        one.snippet = None;
        self.found.push(one);
    }

    fn target(&mut self, target: &Target, at: Cursor<'_>) {
        if target.model.trim().is_empty() {
            self.error(
                at.key("model").place(),
                "`model` is empty",
                "name a model id",
            );
        }
        if let Some(endpoint) = &target.endpoint
            && let Err(reason) = check_endpoint(endpoint)
        {
            self.error_unshown(
                at.key("endpoint").place(),
                format!("the endpoint {reason}"),
                "write the base URL, such as `https://example.com/v1`",
            );
        }
        for name in target.headers.keys() {
            self.header(name, &target.headers[name], at.key("headers").key(name));
        }
        self.auth(target.auth.as_ref(), at.key("auth"));
        if let Some(guardrail) = &target.guardrail {
            self.guardrail(guardrail, at.key("guardrail"));
        }
        let provider_at = at.key("provider").place();
        let catalog = self.catalog;
        self.known(
            "unknown provider",
            &target.provider,
            catalog.provider_ids(),
            provider_at,
        );
        if let Some(provider) = catalog.provider(&target.provider) {
            self.served(target, provider, at);
        }
    }

    /// What the catalog says of this provider.
    fn served(&mut self, target: &Target, provider: &Provider, at: Cursor<'_>) {
        let id = &provider.id;
        if let Some(dialect) = &target.dialect {
            let all = provider.dialects.keys().map(String::as_str);
            let what = format!("`{id}` has no dialect");
            self.known(&what, dialect, all, at.key("dialect").place());
        }
        if provider.origin.is_none() && target.endpoint.is_none() {
            self.error(
                at.place(),
                format!("a target of `{id}` needs an `endpoint`"),
                "add `endpoint: http://HOST:PORT/v1`",
            );
        }
        for (index, region) in target.regions.iter().enumerate() {
            let place = at.key("regions").item(index).place();
            if target.regions[..index].contains(region) {
                self.error(
                    place,
                    format!("the region `{region}` is given twice"),
                    "remove one of the two",
                );
            } else if provider.regions.is_empty() {
                // A server of one's own may stand anywhere: its regions are only names.
                if target.endpoint.is_none() {
                    self.error(place, format!("`{id}` has no regions"), "remove `regions`");
                }
            } else {
                let all = provider.regions.iter().map(String::as_str);
                self.known(&format!("`{id}` has no region"), region, all, place);
            }
        }
        self.model(target, provider, at);
        self.guarded(target, provider, at);
    }

    /// A guardrail that the wire API does not carry guards nothing.
    fn guarded(&mut self, target: &Target, provider: &Provider, at: Cursor<'_>) {
        let dialect = match &target.dialect {
            Some(dialect) if target.guardrail.is_some() => dialect,
            _ => return,
        };
        let known = provider.dialects.contains_key(dialect);
        if !known || provider.guardrails.contains_key(dialect) {
            return;
        }
        let all = list(provider.guardrails.keys().map(String::as_str));
        let one = self.document.warning(
            at.key("guardrail").key_place(),
            format!(
                "the dialect `{dialect}` of `{}` does not apply guardrails, so no scenario runs at this target",
                provider.id
            ),
        );
        self.found.push(match all.is_empty() {
            true => one.help("remove it"),
            false => one.help(format!("dialects that do: {all}")),
        });
    }

    /// Patterns of the service model bedrock-runtime of botocore 1.44.5 (read 2026-11-21).
    fn guardrail(&mut self, guardrail: &Guardrail, at: Cursor<'_>) {
        let own = |text: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            !text.is_empty() && text.chars().all(plain)
        };
        let id = match guardrail.id.strip_prefix("arn:") {
            Some(arn) => arn.split_once(":guardrail/").map_or("", |(_, id)| id),
            None => &guardrail.id,
        };
        if !own(id) {
            self.error(
                at.key("id").place(),
                format!("`{}` is not a guardrail's id or ARN", guardrail.id),
                "write its small letters and digits, or its whole ARN",
            );
        }
        let number = !guardrail.version.starts_with('0')
            && (1..=8).contains(&guardrail.version.len())
            && guardrail.version.chars().all(|c| c.is_ascii_digit());
        if !number && guardrail.version != "DRAFT" {
            self.error(
                at.key("version").place(),
                format!("`{}` is not a guardrail's version", guardrail.version),
                "write its number in quotes, such as `\"1\"`, or `DRAFT`",
            );
        }
    }

    fn model(&mut self, target: &Target, provider: &Provider, at: Cursor<'_>) {
        let catalog = self.catalog;
        let id = &provider.id;
        let known: Vec<&str> = catalog
            .models
            .iter()
            .filter(|model| model.provider == *id)
            .map(|model| model.id.as_str())
            .collect();
        let Some(row) = catalog.model(id, &target.model) else {
            // A provider without model rows serves whatever it serves.
            if !known.is_empty() && target.endpoint.is_none() {
                let near = nearest(&target.model, known.iter().copied());
                let one = self.document.warning(
                    at.key("model").place(),
                    format!("the catalog knows no model `{}` at `{id}`", target.model),
                );
                self.found.push(match near {
                    Some(near) => one.help(format!("did you mean `{near}`?")),
                    None => one.help(format!("known: {}", list(known))),
                });
            }
            return;
        };
        for (index, region) in target.regions.iter().enumerate() {
            let exists = provider.regions.is_empty() || provider.regions.contains(region);
            if exists && !row.regions.is_empty() && !row.regions.contains(region) {
                let one = self.document.warning(
                    at.key("regions").item(index).place(),
                    format!(
                        "`{}` was not served in {region} on {}",
                        target.model, row.date
                    ),
                );
                let all = list(row.regions.iter().map(String::as_str));
                self.found
                    .push(one.help(format!("it was served in {all} ({})", row.source)));
            }
        }
        if let Some(dialect) = &target.dialect
            && !row.dialects.is_empty()
            && !row.dialects.contains(dialect)
        {
            let one = self.document.warning(
                at.key("dialect").place(),
                format!(
                    "`{}` was not served as `{dialect}` on {}",
                    target.model, row.date
                ),
            );
            let all = list(row.dialects.iter().map(String::as_str));
            self.found
                .push(one.help(format!("it was served as {all} ({})", row.source)));
        }
    }

    fn header(&mut self, name: &str, value: &str, at: Cursor<'_>) {
        let lower = name.to_ascii_lowercase();
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            self.error(
                at.key_place(),
                format!("`{name}` is not a header name"),
                "write letters, digits and hyphens",
            );
        } else if CREDENTIAL_HEADERS.contains(&lower.as_str()) {
            self.error_unshown(
                at.key_place(),
                format!("`{name}` carries credentials, which never stand in this file"),
                "use `auth:`, such as `auth: { bearer_env: MY_KEY }`",
            );
        } else if TRANSPORT_HEADERS.contains(&lower.as_str()) {
            self.error(
                at.key_place(),
                format!("`{name}` is set by the client itself"),
                "remove it",
            );
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            self.error(
                at.place(),
                format!("the value of `{name}` has control characters"),
                "write it on one line",
            );
        }
    }

    fn auth(&mut self, auth: Option<&Auth>, at: Cursor<'_>) {
        let (key, name) = match auth {
            Some(Auth::BearerEnv(name)) => ("bearer_env", name),
            Some(Auth::ApiKeyEnv(name)) => ("api_key_env", name),
            Some(Auth::AwsProfile(name)) => {
                if name.trim().is_empty() {
                    self.error(
                        at.key("aws_profile").place(),
                        "the profile has no name",
                        "name one",
                    );
                }
                return;
            }
            Some(Auth::None | Auth::AwsChain) | None => return,
        };
        let variable = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !variable {
            self.error_unshown(
                at.key(key).place(),
                format!("`{key}` is not the name of an environment variable"),
                "put the secret into a variable and write its name here",
            );
        }
    }

    fn known<'w>(
        &mut self,
        what: &str,
        word: &str,
        words: impl Iterator<Item = &'w str>,
        place: Place,
    ) {
        let words: Vec<&str> = words.collect();
        if words.contains(&word) {
            return;
        }
        let help = match nearest(word, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", list(words)),
        };
        self.error(place, format!("{what} `{word}`"), help);
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// An absolute http(s) URL with a host and without user, query and fragment.
fn check_endpoint(text: &str) -> Result<(), &'static str> {
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err("must begin with `http://` or `https://`");
    }
    let uri: http::Uri = text.parse().map_err(|_| "is not a URL")?;
    let authority = uri.authority().ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("must not carry a user or password");
    }
    if authority.host().is_empty() {
        return Err("has no host");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("must not have a query or fragment");
    }
    Ok(())
}
