//! `sameturn inspect`: the wire rules over captured answers, without a network.

use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, bail};

use crate::catalog;
use crate::catalog::gap::Place;
use crate::check::finding::Finding;
use crate::check::rules::{self, Subject};
use crate::cli::args::{Format, InspectArgs};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;
use crate::dialect::{self, Decoded, Dialect};
use crate::report::event::{Judged, KnownGap};
use crate::report::inspection::{self, Inspection};

/// The largest capture that is read.
const CAPTURE_BYTES: u64 = 256 * 1024 * 1024;

/// Inspects each file; findings decide the exit code.
pub fn run(args: &InspectArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let dialect = Dialect::from_str(&args.dialect)?;
    // Captures may come from providers that have known gaps here but cannot be targets.
    let known = |catalog: &catalog::Catalog| {
        catalog.provider(&args.provider).is_some()
            || catalog
                .gaps
                .iter()
                .any(|gap| gap.row.providers.contains(&args.provider))
    };
    let catalog = catalog::shipped();
    if !known(catalog) {
        bail!(
            "--provider: `{}` is not in the catalog; there is {}",
            args.provider,
            providers(catalog).join(", ")
        );
    }
    let mut inspections = Vec::new();
    for file in &args.files {
        let bytes = read(file)?;
        let answers = dialect::decode_captures(dialect, &bytes);
        let mut events = Vec::new();
        let mut findings = Vec::new();
        for decoded in answers {
            findings.extend(judged(
                catalog,
                dialect,
                &args.provider,
                &decoded,
                events.len(),
            ));
            events.extend(decoded.events);
        }
        // Frames that break before the first event are a finding, not a wrong file.
        let frames = |one: &Judged| one.finding.rule.starts_with("event-stream/");
        if events.is_empty() && !findings.iter().any(frames) {
            bail!(
                "{}: no event was found in it; a capture is raw SSE (of Converse and InvokeModel: raw frames), one JSON event per line, or one JSON response",
                file.display()
            );
        }
        inspections.push(Inspection {
            file: file.display().to_string(),
            dialect: dialect.word().to_owned(),
            provider: args.provider.clone(),
            events,
            findings,
        });
    }
    match args.format {
        Format::Json => ui.out(&format!("{}\n", inspection::json(&inspections)))?,
        Format::Text => {
            let texts: Vec<String> = inspections.iter().map(inspection::text).collect();
            ui.out(&texts.join("\n"))?;
        }
    }
    Ok(if inspections.iter().any(|one| one.weighing() > 0) {
        Exit::Findings
    } else {
        Exit::Ok
    })
}

/// The findings of one answer of a file, whose first event is number `first` of the file.
fn judged(
    catalog: &catalog::Catalog,
    dialect: Dialect,
    provider: &str,
    decoded: &Decoded,
    first: usize,
) -> Vec<Judged> {
    let findings = rules::check(
        dialect.word(),
        &Subject {
            events: &decoded.events,
            trace: &decoded.trace,
            streamed: decoded.streamed,
            framed: decoded.framed,
            head: None,
            end: None,
            request: None,
        },
    );
    let place = Place {
        provider,
        dialect: dialect.word(),
        model: decoded.trace.model.as_deref().unwrap_or_default(),
        scenario: "",
    };
    findings
        .into_iter()
        .map(|mut finding| {
            let gap = catalog
                .gaps
                .iter()
                .find(|gap| gap.explains(&place, &finding.rule, &finding.message))
                .map(|gap| KnownGap::of(&gap.row));
            finding.evidence.event = finding.evidence.event.map(|event| event + first);
            if gap.is_none() {
                finding.fix = elsewhere(catalog, &finding);
            }
            Judged { finding, gap }
        })
        .collect()
}

/// Who is known to do this, where the provider of the capture was not named.
fn elsewhere(catalog: &catalog::Catalog, finding: &Finding) -> Option<String> {
    let row = catalog
        .gaps
        .iter()
        .map(|gap| &gap.row)
        .find(|row| row.rule == finding.rule)?;
    let provider = row.providers.first()?;
    Some(format!(
        "{provider} is known to do this ({}): if it is the provider, say --provider {provider}",
        row.id
    ))
}

fn providers(catalog: &catalog::Catalog) -> Vec<String> {
    let mut all: Vec<String> = catalog.provider_ids().map(str::to_owned).collect();
    for gap in &catalog.gaps {
        for provider in &gap.row.providers {
            if !all.contains(provider) {
                all.push(provider.clone());
            }
        }
    }
    all
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(CAPTURE_BYTES + 1)
            .read_to_end(&mut bytes)
            .context("stdin could not be read")?;
    } else {
        std::fs::File::open(file)
            .and_then(|open| open.take(CAPTURE_BYTES + 1).read_to_end(&mut bytes))
            .with_context(|| format!("{}: could not be read", file.display()))?;
    }
    if bytes.len() as u64 > CAPTURE_BYTES {
        bail!("{}: larger than {CAPTURE_BYTES} bytes", file.display());
    }
    Ok(bytes)
}
