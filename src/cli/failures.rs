//! `sameturn failures`: each class of failure, what providers send for it, and what to do.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use crate::catalog::codex::{self, CodexRow};
use crate::catalog::failure::Class;
use crate::catalog::{self, Catalog};
use crate::cli::args::{FailuresArgs, FailuresFormat};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;
use crate::dialect::failure::Judge;
use crate::document::nearest::nearest;
use crate::mock::data::{ErrorBody, Evidence, MockData};
use crate::report::escape::{code_span, line};
use crate::turn::exchange::Head;

/// The most rows per provider and class; the data files have them all.
const MOST_LOOKS: usize = 3;
/// The most of a message, in characters.
const MESSAGE: usize = 140;

/// A class with everything that is known of it.
#[derive(Debug, Serialize)]
struct Known {
    class: String,
    about: String,
    cause: String,
    fix: String,
    /// Whether it says nothing about the provider.
    undetermined: bool,
    looks: Vec<Look>,
    codex: Vec<CodexRow>,
}

/// What one provider sends.
#[derive(Debug, Serialize)]
struct Look {
    provider: String,
    status: u16,
    code: Option<String>,
    /// How it begins.
    message: String,
    /// How sure that is: observed, partly, documented or assumed.
    evidence: &'static str,
    source: String,
}

/// Lists the classes; a single one is explained.
pub fn run(args: &FailuresArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let catalog = catalog::shipped();
    let mocks = MockData::shipped().map_err(anyhow::Error::msg)?;
    let ids = || {
        catalog
            .failures
            .classes
            .iter()
            .map(|class| class.id.as_str())
    };
    if let Some(class) = &args.class
        && catalog.failures.class(class).is_none()
    {
        match nearest(class, ids()) {
            Some(near) => bail!("no failure class `{class}`: did you mean `{near}`?"),
            None => bail!("no failure class `{class}`: `sameturn failures` lists them"),
        }
    }
    if let Some(provider) = &args.provider
        && mocks.provider(provider).is_none()
    {
        let names: Vec<&str> = mocks
            .providers
            .iter()
            .map(|one| one.manner.name.as_str())
            .collect();
        bail!(
            "nothing is known of the failures of `{provider}`: known are {}",
            names.join(", ")
        );
    }
    let known: Vec<Known> = catalog
        .failures
        .classes
        .iter()
        .filter(|class| args.class.as_ref().is_none_or(|id| *id == class.id))
        .map(|class| know(class, catalog, &mocks, args.provider.as_deref()))
        .collect();
    let text = match (args.format, known.as_slice()) {
        (FailuresFormat::Json, all) => format!(
            "{}\n",
            serde_json::json!({ "schema": 1, "codex_source": codex::SOURCE, "failures": all })
        ),
        (FailuresFormat::Markdown, all) => document(all),
        (FailuresFormat::Text, all) if args.class.is_none() && args.provider.is_none() => {
            let width = ids().map(str::len).max().unwrap_or_default();
            all.iter()
                .map(|one| format!("{:width$}  {}\n", one.class, one.about))
                .collect()
        }
        (FailuresFormat::Text, all) => {
            let texts: Vec<String> = all
                .iter()
                .filter(|one| args.class.is_some() || !one.looks.is_empty())
                .map(plain)
                .collect();
            texts.join("\n")
        }
    };
    ui.out(&text)?;
    Ok(Exit::Ok)
}

fn know(class: &Class, catalog: &Catalog, mocks: &MockData, provider: Option<&str>) -> Known {
    let mut looks = Vec::new();
    for mocked in &mocks.providers {
        let name = mocked.manner.name.as_str();
        if provider.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let rows = mocked.errors.values().filter_map(|row| {
            let (got, look) = look(name, row, catalog);
            (got == class.id).then_some(look)
        });
        let mut own: Vec<Look> = Vec::new();
        for look in rows {
            let same = |one: &Look| {
                (one.status, &one.code, &one.message) == (look.status, &look.code, &look.message)
            };
            if own.len() < MOST_LOOKS && !own.iter().any(same) {
                own.push(look);
            }
        }
        looks.append(&mut own);
    }
    let codex = codex::shipped().iter();
    Known {
        class: class.id.clone(),
        about: class.about.clone(),
        cause: class.cause.clone(),
        fix: class.fix.clone(),
        undetermined: class.undetermined,
        looks,
        codex: codex.filter(|row| row.class == class.id).cloned().collect(),
    }
}

/// A body of the mocks as the client reads it: its class, and what it looks like.
fn look(provider: &str, row: &ErrorBody, catalog: &Catalog) -> (String, Look) {
    let judge = Judge {
        provider,
        failures: &catalog.failures,
    };
    let head = Head {
        status: row.status,
        headers: row.headers.clone().into_iter().collect(),
        at: Duration::ZERO,
    };
    let body = without_gaps(&row.body);
    let failure = match row.status {
        200..300 => judge.not_an_answer(Some(&head), body.as_bytes()),
        _ => judge.status(&head, body.as_bytes()),
    };
    let mut message: String = failure.message.chars().take(MESSAGE).collect();
    if message.len() < failure.message.len() {
        message.push('…');
    }
    let look = Look {
        provider: provider.to_owned(),
        status: row.status,
        code: failure.code.or(failure.kind),
        message,
        evidence: match row.evidence {
            Evidence::Observed => "observed",
            Evidence::Partly => "partly observed",
            Evidence::Documented => "documented",
            Evidence::Assumed => "assumed",
        },
        source: row.source.clone(),
    };
    (failure.class, look)
}

/// A body with its gaps shown as `…`.
fn without_gaps(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        out.push('…');
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

fn plain(known: &Known) -> String {
    let mut out = format!(
        "{}\n\n{}\ncause: {}\nfix: {}\n",
        known.class, known.about, known.cause, known.fix
    );
    for look in &known.looks {
        out.push_str(&format!(
            "\n{} {} {}\n  {}\n  {}: {}\n",
            look.provider,
            look.status,
            line(look.code.as_deref().unwrap_or("-")),
            line(&look.message),
            look.evidence,
            look.source
        ));
    }
    for row in &known.codex {
        out.push_str(&format!(
            "\nCodex, {}: {} requests, {} s, then: {}\n",
            row.when, row.requests, row.seconds, row.says
        ));
    }
    if !known.codex.is_empty() {
        out.push_str(&format!("  {}\n", codex::SOURCE));
    }
    out
}

fn document(all: &[Known]) -> String {
    let mut out = String::from(
        "# Failures\n\n\
         What each class means, what providers send for it, and what to try. Made from the data that ships by\n\
         `sameturn failures --format markdown`; do not edit it by hand.\n\n\
         *How sure*: `observed` bodies were recorded by somebody, of `partly observed` ones the source says what was\n\
         not, `documented` is the vendor's word, `assumed` is a stand-in. `…` stands for what differs.\n",
    );
    out.push_str(&format!("What Codex does was {}.\n", codex::SOURCE));
    for known in all {
        out.push_str(&format!(
            "\n## {}\n\n{}\n\n- Cause: {}\n- Fix: {}\n",
            code_span(&known.class),
            known.about,
            known.cause,
            known.fix
        ));
        if !known.looks.is_empty() {
            out.push_str(
                "\n| provider | status | code | message | how sure |\n| --- | --- | --- | --- | --- |\n",
            );
        }
        for look in &known.looks {
            let code = look.code.as_deref().map_or("-".to_owned(), code_span);
            out.push_str(&format!(
                "| {} | {} | {code} | {} | {} |\n",
                look.provider,
                look.status,
                code_span(&look.message),
                look.evidence
            ));
        }
        if !known.codex.is_empty() {
            out.push_str(
                "\n| what Codex gets | requests it sends | seconds | what its user sees last |\n| --- | --- | --- | --- |\n",
            );
        }
        for row in &known.codex {
            out.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                row.when.replace('|', "\\|"),
                row.requests,
                row.seconds,
                code_span(&row.says)
            ));
        }
    }
    out
}
