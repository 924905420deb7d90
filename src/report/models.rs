//! What providers say of their models: a table of targets and regions, or of all models.
//!
//! Pure. The JSON form is documented; every string from outside is escaped in the table.

use serde::Serialize;

use crate::report::escape::line;
use crate::report::layout::{hanging, pad, width, wrap};

/// The version of the JSON form.
const VERSION: u32 = 1;

/// What the list never says.
pub const FOOTER: &str = "A listed model is not always one that can be called: route, wire API, IAM and the account's \
     settings decide too, and no list tells. `sameturn check` calls it.";

/// The answer of all targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelsReport {
    pub format: u32,
    pub sameturn: &'static str,
    pub mode: String,
    pub verdict: &'static str,
    pub targets: Vec<TargetModels>,
    pub note: &'static str,
}

/// The answer of a target in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetModels {
    pub name: String,
    pub provider: String,
    pub region: Option<String>,
    pub endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_from: Option<String>,
    pub sign_in: Option<String>,
    /// The target's model.
    pub model: String,
    pub answer: Answer,
    /// The provider's word for the model's state, where it has one.
    pub status: Option<String>,
    pub status_reason: Option<String>,
    /// The mode of data retention.
    pub retention: Option<String>,
    /// What the catalog says of the model in this region.
    pub catalog: Option<CatalogSays>,
    /// Listed models with ids like the one that is not.
    pub near: Vec<String>,
    /// Why there is no list.
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    /// All that is listed, as the provider orders it.
    pub listed: Vec<Listed>,
}

/// Whether the target's model is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Listed,
    /// Listed with a status other than available.
    Unavailable,
    NotListed,
    /// The provider has no list.
    NoList,
    /// The list could not be had, or not the whole of it.
    Undetermined,
}

impl Answer {
    fn word(self) -> &'static str {
        match self {
            Answer::Listed => "yes",
            Answer::Unavailable => "UNAVAILABLE",
            Answer::NotListed => "NO",
            Answer::NoList => "no list",
            Answer::Undetermined => "?",
        }
    }
}

/// A dated fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogSays {
    pub served: bool,
    /// Where it was served; everywhere where empty.
    pub regions: Vec<String>,
    pub date: String,
    pub source: String,
}

/// A listed model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
}

/// Whether a provider's word means that a model cannot be called.
pub fn is_unavailable(status: Option<&str>) -> bool {
    status.is_some_and(|status| !status.eq_ignore_ascii_case("available"))
}

impl ModelsReport {
    /// Of all targets.
    pub fn new(mode: String, targets: Vec<TargetModels>) -> ModelsReport {
        let any = |answers: &[Answer]| targets.iter().any(|one| answers.contains(&one.answer));
        let verdict = if any(&[Answer::NotListed, Answer::Unavailable]) {
            "findings"
        } else if any(&[Answer::Undetermined]) {
            "undetermined"
        } else {
            "pass"
        };
        ModelsReport {
            format: VERSION,
            sameturn: env!("CARGO_PKG_VERSION"),
            mode,
            verdict,
            targets,
            note: FOOTER,
        }
    }

    /// The same with each text passed through.
    pub fn redacted(mut self, redact: &dyn Fn(&str) -> String) -> ModelsReport {
        for one in &mut self.targets {
            let texts = [&mut one.name, &mut one.model, &mut one.endpoint];
            let optional = [
                &mut one.region,
                &mut one.endpoint_from,
                &mut one.sign_in,
                &mut one.status,
                &mut one.status_reason,
                &mut one.retention,
                &mut one.reason,
            ];
            let listed = one.listed.iter_mut().flat_map(|model| {
                [
                    Some(&mut model.id),
                    model.status.as_mut(),
                    model.status_reason.as_mut(),
                ]
            });
            for text in texts
                .into_iter()
                .chain(optional.into_iter().flatten())
                .chain(&mut one.near)
                .chain(&mut one.warnings)
                .chain(listed.flatten())
            {
                *text = redact(text);
            }
        }
        self
    }

    /// One JSON document, ending in a newline.
    pub fn to_json(&self) -> String {
        match serde_json::to_string_pretty(self) {
            Ok(text) => format!("{text}\n"),
            // Plain strings and numbers are always JSON.
            Err(error) => format!("{}\n", serde_json::json!({ "error": error.to_string() })),
        }
    }

    /// For people; with `all`, every listed model too.
    pub fn render(&self, screen: usize, all: bool) -> String {
        let mut out = hanging(
            "",
            &format!("sameturn models: {}", line(&self.mode)),
            screen,
        );
        out.push('\n');
        out.push_str(&self.table());
        for one in &self.targets {
            out.push_str(&notes(one, screen));
        }
        if all {
            out.push('\n');
            out.push_str(&self.matrix());
        }
        out.push('\n');
        for text in wrap(FOOTER, screen) {
            out.push_str(&format!("{text}\n"));
        }
        out
    }

    fn table(&self) -> String {
        let head = [
            "target",
            "region",
            "model",
            "listed",
            "status",
            "retention",
            "catalog",
        ];
        let dash = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), line);
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for one in &self.targets {
            rows.push(vec![
                line(&one.name),
                dash(&one.region),
                line(&one.model),
                one.answer.word().to_owned(),
                dash(&one.status),
                dash(&one.retention),
                match &one.catalog {
                    Some(says) if says.served => format!("served ({})", says.date),
                    Some(says) => format!("not served ({})", says.date),
                    None => "-".to_owned(),
                },
            ]);
        }
        columns(&rows)
    }

    /// Models × targets that have a list.
    fn matrix(&self) -> String {
        let lists: Vec<&TargetModels> = self
            .targets
            .iter()
            .filter(|one| !one.listed.is_empty())
            .collect();
        let mut ids: Vec<&str> = lists
            .iter()
            .flat_map(|one| one.listed.iter().map(|model| model.id.as_str()))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut rows = vec![Vec::from(["model".to_owned()]), Vec::from([String::new()])];
        for one in &lists {
            rows[0].push(line(&one.name));
            rows[1].push(one.region.as_deref().map(line).unwrap_or_default());
        }
        for id in ids {
            let mut row = vec![line(id)];
            for one in &lists {
                let listed = one.listed.iter().find(|model| model.id == id);
                row.push(
                    match listed {
                        None => "-",
                        Some(model) if is_unavailable(model.status.as_deref()) => "unavailable",
                        Some(_) => "yes",
                    }
                    .to_owned(),
                );
            }
            rows.push(row);
        }
        columns(&rows)
    }
}

/// What does not fit into the table.
fn notes(one: &TargetModels, screen: usize) -> String {
    let name = match &one.region {
        Some(region) => format!("{} {region}", line(&one.name)),
        None => line(&one.name),
    };
    let mut notes = Vec::new();
    if let Some(from) = &one.endpoint_from {
        notes.push(format!(
            "asked at {} (from {})",
            line(&one.endpoint),
            line(from)
        ));
    }
    if let Some(reason) = &one.reason {
        notes.push(line(reason));
    }
    if let Some(reason) = &one.status_reason {
        notes.push(line(reason));
    }
    if one.answer == Answer::NotListed {
        let near: Vec<String> = one
            .near
            .iter()
            .map(|id| format!("`{}`", line(id)))
            .collect();
        notes.push(match near.as_slice() {
            [] => format!(
                "`{}` is not among the {} listed models",
                line(&one.model),
                one.listed.len()
            ),
            near => format!("did you mean {}?", near.join(" or ")),
        });
    }
    if let Some(says) = &one.catalog
        && !says.served
    {
        notes.push(format!(
            "the catalog knows it in {} ({})",
            says.regions.join(", "),
            says.source
        ));
    }
    notes.extend(
        one.warnings
            .iter()
            .map(|text| format!("warning: {}", line(text))),
    );
    notes
        .iter()
        .map(|note| hanging("  ", &format!("{name}: {note}"), screen))
        .collect()
}

/// Rows with their columns under each other.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest: Vec<usize> = (0..count)
        .map(|n| {
            let cells = rows.iter().filter_map(|row| row.get(n));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widest)
            .map(|(cell, widest)| pad(cell, *widest))
            .collect();
        out.push_str(&format!("{}\n", cells.join("  ").trim_end()));
    }
    out
}
