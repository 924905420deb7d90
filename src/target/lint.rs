//! Cross-checks of a target file against itself and the catalog.
//!
//! Core. Facts age: a model that the catalog does not know in a region is a warning, because the
//! provider may serve it by now; what can never work is an error. A secret in the file is refused.

use time::Date;
use time::format_description::well_known::Iso8601;

use crate::catalog::Catalog;
use crate::catalog::provider::{KeyEnv, Owner, Provider, glob};
use crate::diagnostic::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Place};
use crate::dialect::Dialect;
use crate::dialect::agentcore::mapping::{Mapping, is_pointer};
use crate::document::Document;
use crate::document::nearest::{list, nearest};
use crate::document::tree::Cursor;
use crate::target::additions::{self, Refused};
use crate::target::endpoint;
use crate::target::model::{Auth, Guardrail, Target, TargetFile};

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
            && let Err(reason) = endpoint::check(endpoint)
        {
            self.error_unshown(
                at.key("endpoint").place(),
                format!("the endpoint {reason}"),
                "write the base URL, such as `https://example.com/v1`",
            );
        }
        self.additions(target, at);
        self.auth(target.auth.as_ref(), at.key("auth"));
        if let Some(agent) = &target.agent {
            self.agent(agent, target, at.key("agent"));
        }
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
                match provider.endpoint_is_origin {
                    true => {
                        "add `endpoint:` with the address of your resource, such as `https://HOST`"
                    }
                    false => "add `endpoint: http://HOST:PORT/v1`",
                },
            );
        }
        if let Some(name) = &target.signing_name {
            let place = at.key("signing_name").place();
            match &provider.signing_name {
                None => self.error(
                    place,
                    format!("`{id}` takes no AWS signatures"),
                    "remove `signing_name`",
                ),
                Some(usual) => {
                    let others = provider.other_signing_names.iter().map(String::as_str);
                    let names = others.chain([usual.as_str()]);
                    self.known("there is no signing name", name, names, place);
                }
            }
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
                self.region(region, provider, place);
            }
        }
        let of = |owner| Lookup {
            provider,
            owner,
            at,
        };
        let organization = of(provider.organization.as_ref());
        self.owner(
            "organization",
            target.organization.as_deref(),
            &organization,
        );
        let project = of(provider.project.as_ref());
        self.owner("project", target.project.as_deref(), &project);
        self.hosts(target, provider, at);
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

    fn region(&mut self, region: &str, provider: &Provider, place: Place) {
        let id = &provider.id;
        if let Some(partition) = provider.partition(region) {
            let one = self.document.warning(
                place,
                format!("nobody is known to have used `{id}` in {region}"),
            );
            self.found.push(one.help(format!(
                "{} is asked ({})",
                partition.origin, partition.source
            )));
            return;
        }
        let all = provider.regions.iter().map(String::as_str);
        self.known(&format!("`{id}` has no region"), region, all, place);
    }

    fn model(&mut self, target: &Target, provider: &Provider, at: Cursor<'_>) {
        let catalog = self.catalog;
        let id = &provider.id;
        if let Some(named) = endpoint::region_in_arn(&target.model)
            && !provider.regions.is_empty()
            && let Some(other) = target.regions.iter().find(|region| **region != named)
        {
            let one = self.document.warning(
                at.key("model").place(),
                format!("the ARN of the model is in {named}, but {other} is asked for it"),
            );
            let help = format!("write `regions: [{named}]`, or make a target per region");
            self.found.push(one.help(help));
        }
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

    /// Headers and query parameters.
    fn additions(&mut self, target: &Target, at: Cursor<'_>) {
        for (name, value) in &target.headers {
            let place = at.key("headers").key(name);
            self.unless(additions::header_name(name, false), place.key_place());
            self.unless(additions::header_value(name, value), place.place());
        }
        for (name, variable) in &target.headers_env {
            let place = at.key("headers_env").key(name);
            self.unless(additions::header_name(name, true), place.key_place());
            let twice = |other: &String| other.eq_ignore_ascii_case(name);
            if target.headers.keys().any(twice) {
                self.error(
                    place.key_place(),
                    format!("`{name}` stands in `headers` too"),
                    "remove one of the two",
                );
            }
            if !additions::is_variable(variable) {
                self.error_unshown(
                    place.place(),
                    format!("what `{name}` names is not an environment variable"),
                    "put the value into a variable and write its name here",
                );
            }
        }
        for name in target.query.keys() {
            let place = at.key("query").key(name).key_place();
            self.unless(additions::parameter(name), place);
        }
    }

    fn unless(&mut self, checked: Result<(), Refused>, place: Place) {
        if let Err(refused) = checked {
            if refused.secret {
                self.error_unshown(place, refused.message, refused.help);
            } else {
                self.error(place, refused.message, refused.help);
            }
        }
    }

    /// Whose requests these are, and whether the provider takes that.
    fn owner(&mut self, key: &str, value: Option<&str>, of: &Lookup<'_>) {
        let Some(value) = value else { return };
        let place = of.at.key(key).place();
        let Some(owner) = of.owner else {
            let id = &of.provider.id;
            self.error(place, format!("`{id}` takes no `{key}`"), "remove it");
            return;
        };
        let header = |c: char| c.is_ascii_graphic();
        if value.is_empty() || !value.chars().all(header) {
            self.error(
                place,
                format!("`{key}` is not the id of one"),
                "write it without spaces",
            );
            return;
        }
        if !owner.accepts.is_empty() && !owner.accepts.iter().any(|one| glob(one, value)) {
            let one = self.document.warning(
                place,
                format!("`{}` is not known to take this {key}", of.provider.id),
            );
            let all = list(owner.accepts.iter().map(String::as_str));
            self.found
                .push(one.help(format!("it takes {all} ({})", owner.source)));
        }
    }

    /// FIPS, and an endpoint in another region than the target's.
    fn hosts(&mut self, target: &Target, provider: &Provider, at: Cursor<'_>) {
        let id = &provider.id;
        if target.fips == Some(true) {
            let place = at.key("fips").place();
            if target.endpoint.is_some() {
                self.error(
                    place,
                    "an endpoint is asked as it is, and `fips` would change nothing",
                    "name the FIPS host in `endpoint`, or remove one of the two",
                );
            } else if provider.fips_origin.is_none() {
                self.error(
                    place,
                    format!("no FIPS host of `{id}` is known"),
                    "remove it, or name the host as `endpoint`",
                );
            }
        }
        if provider.regions.is_empty() {
            return;
        }
        if let Some(named) = target
            .endpoint
            .as_deref()
            .and_then(endpoint::region_in_host)
            && let Some(other) = target.regions.iter().find(|region| **region != named)
        {
            let one = self.document.warning(
                at.key("endpoint").place(),
                format!("the endpoint is in {named}, but requests are signed for {other}"),
            );
            self.found.push(one.help(
                "write `{region}` in its place, or make a target per region (OpenAI's SDKs refuse this)",
            ));
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
        let place = at.key("header").place();
        if !additions::is_header_name(&key.header) {
            self.error_unshown(
                place,
                "`header` is not a header name",
                "write letters, digits and hyphens, such as `api-key`",
            );
        } else if ["authorization", "proxy-authorization"].contains(&lower.as_str()) {
            self.error(
                place,
                format!(
                    "`{}` takes a token with its scheme, not a bare key",
                    key.header
                ),
                "write `auth: { bearer_env: NAME }`",
            );
        } else if let Err(refused) = additions::header_name(&key.header, true) {
            self.error(
                place,
                refused.message,
                "name the header that the server takes its key in, such as `api-key`",
            );
        }
        self.variable("env", &key.env, at.key("env"));
    }

    fn variable(&mut self, key: &str, name: &str, at: Cursor<'_>) {
        if !additions::is_variable(name) {
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

/// `2024-10-21`, or the same with `-preview`.
fn is_api_date(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    let shape = |at: usize, c: char| match at {
        4 | 7 => c == '-',
        _ => c.is_ascii_digit(),
    };
    date.len() == 10
        && date.chars().enumerate().all(|(at, c)| shape(at, c))
        && Date::parse(date, &Iso8601::DATE).is_ok()
}

/// Where a key about an owner stands, and what the provider says of it.
struct Lookup<'a> {
    provider: &'a Provider,
    owner: Option<&'a Owner>,
    at: Cursor<'a>,
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
