//! `sameturn models`: which models the targets say they have, and whether theirs is among them.

use anyhow::Context;
use futures_util::future::join_all;

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::catalog::{self, Catalog};
use crate::cli::args::{Format, ModelsArgs};
use crate::cli::exit::Exit;
use crate::cli::settings::{self, Mode, Whom};
use crate::cli::signals;
use crate::cli::targets::{self, Column};
use crate::cli::ui::Ui;
use crate::cli::{check, lint};
use crate::conduct::models::{Asked, Asking, Listing};
use crate::document::nearest::nearest;
use crate::mock::pace::PaceChoice;
use crate::report::models::{
    Answer, CatalogSays, Listed, ModelsReport, TargetModels, is_unavailable,
};
use crate::transport::live::Live;
use crate::transport::{Limits, trust};

/// Ids that are suggested for one that is not listed.
const NEAR: usize = 3;

/// Runs the command. An error is bad input: nothing was sent.
pub fn run(args: &ModelsArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(models(args, ui))
}

async fn models(args: &ModelsArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let catalog = catalog::shipped();
    let whom = Whom {
        server: &args.server,
        targets: args.targets.as_deref(),
        mocks: args.mocks,
        gaps: false,
    };
    let (mode, file) = settings::mode(&whom, catalog)?;
    lint::warn(ui, &file.warnings)?;
    let file = settings::choose_targets(file.value, &args.target)?;
    let environment = Environment::of_process();
    let bundles = trust::bundles(&|name| environment.raw(name))?;
    let mock = match mode {
        Mode::TargetFile(_) | Mode::Server(_) => None,
        _ => Some(check::start_mock(1, &PaceChoice::default()).await?),
    };
    let columns = targets::expand(&file, catalog, &environment, mock.as_ref()).await?;
    let seen = Seen::new(args.redact_accounts);
    targets::teach(&columns, &seen);
    let transport =
        Live::new(Limits::CHECK.connect, &bundles).context("the HTTP client did not start")?;
    let asking = Asking {
        transport: &transport,
        catalog,
        limits: Limits {
            total: args.timeout,
            ..Limits::CHECK
        },
        seen: &seen,
    };
    let lists = join_all(
        columns
            .iter()
            .map(|column| asking.list(&column.target, &column.identities)),
    );
    // What is dropped here takes the commands that it started with it.
    let asked = tokio::select! {
        asked = lists => Some(asked),
        stopped = signals::told_to_stop() => {
            stopped.context("Ctrl-C cannot be waited for")?;
            None
        }
    };
    if let Some(mock) = mock {
        mock.stop().await;
    }
    let Some(asked) = asked else {
        ui.err("interrupted: not all lists came\n")?;
        return Ok(Exit::Interrupted);
    };
    let answers = columns
        .iter()
        .zip(asked)
        .map(|(column, asked)| answer(column, asked, catalog))
        .collect();
    let report = ModelsReport::new(mode.words(), answers).redacted(&|text| seen.redact(text));
    match args.format {
        Format::Json => ui.out(&report.to_json())?,
        Format::Text => ui.out(&report.render(ui.width, args.all))?,
    }
    Ok(match report.verdict {
        "pass" => Exit::Ok,
        "findings" => Exit::Findings,
        _ => Exit::Undetermined,
    })
}

/// What asking one target came to.
fn answer(column: &Column, asked: Asked, catalog: &Catalog) -> TargetModels {
    let target = &column.target;
    let mut warnings = target.warnings.clone();
    warnings.extend(asked.warnings);
    let mut one = TargetModels {
        name: target.name.clone(),
        provider: target.provider.id.clone(),
        region: target.region.clone(),
        endpoint: target.route.base_url(),
        endpoint_from: target.endpoint_from.clone(),
        sign_in: asked.sign_in,
        model: target.model.clone(),
        answer: Answer::Undetermined,
        status: None,
        status_reason: None,
        retention: None,
        catalog: catalog_says(column, catalog),
        near: Vec::new(),
        reason: None,
        warnings,
        listed: Vec::new(),
    };
    match asked.listing {
        Listing::Absent(note) => {
            one.answer = Answer::NoList;
            one.reason = Some(note);
        }
        Listing::Failed { class, message } => one.reason = Some(format!("{class}: {message}")),
        Listing::Models { list, own } => {
            let row = list.models.iter().find(|model| model.id == target.model);
            // What the model says of itself is newer and more than what the list says.
            let known = |field: fn(&crate::dialect::model_list::ListedModel) -> &Option<String>| {
                let own = own.as_ref().and_then(|own| field(own).clone());
                own.or_else(|| row.and_then(|row| field(row).clone()))
            };
            one.status = known(|model| &model.status);
            one.status_reason = known(|model| &model.status_reason);
            one.retention = known(|model| &model.retention);
            one.answer = match row {
                Some(_) if is_unavailable(one.status.as_deref()) => Answer::Unavailable,
                Some(_) => Answer::Listed,
                None if list.more => Answer::Undetermined,
                None => Answer::NotListed,
            };
            if one.answer == Answer::Undetermined {
                one.reason = Some("the list goes on, and only its beginning was read".to_owned());
            }
            one.listed = list
                .models
                .into_iter()
                .map(|model| Listed {
                    id: model.id,
                    status: model.status,
                    status_reason: model.status_reason,
                })
                .collect();
            if one.answer == Answer::NotListed {
                one.near = near(&target.model, &one.listed);
            }
        }
    }
    one
}

/// What the catalog's row of the model says of the region.
fn catalog_says(column: &Column, catalog: &Catalog) -> Option<CatalogSays> {
    let target = &column.target;
    let row = catalog.model(&target.provider.id, &target.model)?;
    let region = target.region.as_ref()?;
    Some(CatalogSays {
        served: row.regions.is_empty() || row.regions.contains(region),
        regions: row.regions.clone(),
        date: row.date.clone(),
        source: row.source.clone(),
    })
}

/// Listed ids that somebody may have meant: one that holds the other, then those a few letters away.
fn near(model: &str, listed: &[Listed]) -> Vec<String> {
    let mut left: Vec<&str> = listed.iter().map(|model| model.id.as_str()).collect();
    let mut near = Vec::new();
    left.retain(|id| {
        let holds = id.contains(model) || (id.len() >= 3 && model.contains(id));
        if holds {
            near.push((*id).to_owned());
        }
        !holds
    });
    while near.len() < NEAR
        && let Some(id) = nearest(model, left.iter().copied())
    {
        near.push(id.to_owned());
        left.retain(|other| *other != id);
    }
    near.truncate(NEAR);
    near
}
