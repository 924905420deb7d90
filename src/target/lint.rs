//! Cross-checks of a target file against itself and the catalog.
//!
//! Core. Facts age: a model that the catalog does not know in a region is a warning, because the
//! provider may serve it by now; what can never work is an error. A secret in the file is refused.

use crate::catalog::Catalog;
use crate::catalog::provider::{KeyEnv, Provider};
use crate::diagnostic::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Place};
use crate::dialect::Dialect;
use crate::dialect::agentcore::mapping::{Mapping, is_pointer};
use crate::document::Document;
use crate::document::nearest::{list, nearest};
use crate::document::tree::Cursor;
use crate::target::model::{Auth, Target, TargetFile};

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
        if let Some(agent) = &target.agent {
            self.agent(agent, target, at.key("agent"));
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
                match provider.endpoint_is_origin {
                    true => {
                        "add `endpoint:` with the address of your resource, such as `https://HOST`"
                    }
                    false => "add `endpoint: http://HOST:PORT/v1`",
                },
            );
        }
        if let Some(version) = &target.api_version {
            self.api_version(version, target, provider, at);
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
        if name.is_empty() || !name.chars().all(is_header_char) {
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
            Some(Auth::KeyEnv(key)) => return self.key_env(key, at.key("key_env")),
            Some(Auth::BearerCommand(command)) => {
                if command
                    .cwd
                    .as_ref()
                    .is_some_and(|cwd| cwd.trim().is_empty())
                {
                    self.error(
                        at.key("bearer_command").key("cwd").place(),
                        "`cwd` is empty",
                        "name a folder, or leave it out",
                    );
                }
                return;
            }
            Some(Auth::None | Auth::AwsChain) | None => return,
        };
        self.variable(key, name, at.key(key));
    }

    fn key_env(&mut self, key: &KeyEnv, at: Cursor<'_>) {
        let lower = key.header.to_ascii_lowercase();
        if key.header.is_empty() || !key.header.chars().all(is_header_char) {
            self.error_unshown(
                at.key("header").place(),
                "`header` is not a header name",
                "write letters, digits and hyphens, such as `api-key`",
            );
        } else if ["authorization", "proxy-authorization"].contains(&lower.as_str()) {
            self.error(
                at.key("header").place(),
                format!(
                    "`{}` takes a token with its scheme, not a bare key",
                    key.header
                ),
                "write `auth: { bearer_env: NAME }`",
            );
        } else if TRANSPORT_HEADERS.contains(&lower.as_str()) {
            self.error(
                at.key("header").place(),
                format!("`{}` is set by the client itself", key.header),
                "name the header that the server takes its key in, such as `api-key`",
            );
        }
        self.variable("env", &key.env, at.key("env"));
    }

    fn variable(&mut self, key: &str, name: &str, at: Cursor<'_>) {
        let variable = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !variable {
            self.error_unshown(
                at.place(),
                format!("`{key}` is not the name of an environment variable"),
                "put the secret into a variable and write its name here",
            );
        }
    }

    /// The contract of a managed agent: pointers that can be read, at a provider that has agents.
    fn agent(&mut self, agent: &Mapping, target: &Target, at: Cursor<'_>) {
        let has_agents =
            |provider: &Provider| provider.dialects.contains_key(Dialect::Agentcore.word());
        let provider = self.catalog.provider(&target.provider);
        if provider.is_some_and(|provider| !has_agents(provider)) {
            self.error(
                at.key_place(),
                format!("`{}` has no managed agents", target.provider),
                "remove `agent`",
            );
        }
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if agent.qualifier.is_empty() || !agent.qualifier.chars().all(name) {
            self.error(
                at.key("qualifier").place(),
                "the qualifier is not the name of an endpoint",
                "write letters, digits and `_`, such as `DEFAULT`",
            );
        }
        for (key, pointer) in agent.pointers() {
            if !is_pointer(pointer) {
                self.error(
                    at.key(key).place(),
                    format!("`{pointer}` is not a JSON pointer"),
                    "begin with `/` and write `~1` for a `/` in a key, such as `/event/text`",
                );
            }
        }
    }

    /// The date of the API.
    fn api_version(&mut self, version: &str, target: &Target, provider: &Provider, at: Cursor<'_>) {
        let id = &provider.id;
        let place = at.key("api_version").place();
        let Some(dated) = &provider.dated else {
            return self.error(
                place,
                format!("`{id}` has no dated API"),
                "remove `api_version`",
            );
        };
        if !is_api_date(version) {
            self.error(
                place,
                format!("`{version}` is not the date of an API"),
                "write one such as `2024-10-21` or `2025-04-01-preview`, or leave it out for the API without dates",
            );
        }
        if let Some(dialect) = &target.dialect
            && provider.dialects.contains_key(dialect)
            && !dated.dialects.contains_key(dialect)
        {
            let all = list(dated.dialects.keys().map(String::as_str));
            self.error(
                place,
                format!("the dated API of `{id}` has no dialect `{dialect}`"),
                format!("it has {all}; remove `api_version` or choose another"),
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

/// A character of a header name (RFC 9110, section 5.6.2).
fn is_header_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// `2024-10-21`, or the same with `-preview`.
fn is_api_date(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    let shape = |at: usize, c: char| match at {
        4 | 7 => c == '-',
        _ => c.is_ascii_digit(),
    };
    date.len() == 10 && date.chars().enumerate().all(|(at, c)| shape(at, c))
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
