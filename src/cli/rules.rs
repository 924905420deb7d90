//! `sameturn rules`: what is checked on the wire, and why.

use anyhow::bail;
use serde_json::json;

use crate::check::finding::Rule;
use crate::check::{expect, rules};
use crate::cli::args::{Format, RulesArgs};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;

/// Lists the rules whose id begins as asked; a single one is explained.
pub fn run(args: &RulesArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let start = args.id.as_deref().unwrap_or_default();
    let chosen: Vec<&Rule> = rules::all()
        .chain(expect::RULES.iter().copied())
        .filter(|rule| rule.id.starts_with(start))
        .collect();
    if chosen.is_empty() {
        bail!("no rule begins with `{start}`: `sameturn rules` lists them");
    }
    match (args.format, chosen.as_slice()) {
        (Format::Json, all) => {
            let list: Vec<_> = all
                .iter()
                .map(|rule| {
                    json!({
                        "rule": rule.id,
                        "severity": rule.severity.word(),
                        "about": rule.about,
                        "source": rule.source,
                    })
                })
                .collect();
            ui.out(&format!("{}\n", json!({ "schema": 1, "rules": list })))?;
        }
        (Format::Text, [rule]) => ui.out(&format!(
            "{} ({})\n\n{}\n\nSource: {}\n",
            rule.id,
            rule.severity.word(),
            rule.about,
            rule.source
        ))?,
        (Format::Text, all) => {
            let width = all
                .iter()
                .map(|rule| rule.id.len())
                .max()
                .unwrap_or_default();
            for rule in all {
                ui.out(&format!(
                    "{:6}  {:width$}  {}\n",
                    rule.severity.word(),
                    rule.id,
                    rule.about
                ))?;
            }
        }
    }
    Ok(Exit::Ok)
}
