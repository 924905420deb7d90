//! `sameturn merge`: the shards of a run of load → one run.

use std::path::Path;

use anyhow::{Context, bail};

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::cli::args::{Format, MergeArgs};
use crate::cli::exit::Exit;
use crate::cli::load::out;
use crate::cli::ui::Ui;
use crate::load::result::Verdict;
use crate::report::load_console;
use crate::report::merge::{self, Merged, Options};
use crate::report::shard_record::ShardRecord;
use crate::report::shard_store::{Created, Place};

/// The file that holds what the shards come to.
const MERGED: &str = "load.json";

/// Runs the command. An error is bad input.
pub fn run(args: &MergeArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(merge(args, ui))
}

async fn merge(args: &MergeArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let (results, run) = place(args)?;
    let environment = Environment::of_process();
    let place = Place::open(&results, &environment, &Seen::new(false)).await?;
    let files = place.shards(&run).await?;
    let shown = format!("{}/{run}", results.trim_end_matches('/'));
    if files.is_empty() {
        bail!("{shown}: no shard is there (files such as shard-00000-of-00003.json)");
    }
    let shards = files
        .iter()
        .map(|(name, bytes)| ShardRecord::read(name, bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let options = Options {
        any_time: args.any_time,
        sum_regions: args.sum_regions,
    };
    let Merged { record, verdict } = merge::merge(&shards, options)?;
    let text = record.to_json();
    // What could not be kept can still be read.
    let kept = keep(&place, &run, &shown, text.as_bytes(), args.force).await;
    let exit = match (&kept, &record.partial, verdict) {
        (Err(_), ..) => Exit::BadInput,
        // It is not known what the missing ones would have said.
        (_, Some(_), _) | (_, None, Verdict::Undetermined) => Exit::Undetermined,
        (_, None, Verdict::Broken) => Exit::Findings,
        (_, None, Verdict::Kept) => Exit::Ok,
    };
    match args.format {
        Format::Json => ui.out(&text)?,
        Format::Text => {
            let settings = load_console::Settings {
                width: ui.width,
                more: String::new(),
                results: kept.is_ok().then_some(shown),
                exit_code: exit.code(),
            };
            ui.out(&load_console::render(&record, &settings))?;
        }
    }
    kept.map(|()| exit)
}

/// Writes what the shards come to, beside them.
async fn keep(
    place: &Place,
    run: &str,
    shown: &str,
    text: &[u8],
    force: bool,
) -> anyhow::Result<()> {
    if let Created::Already(there) = place.create(run, MERGED, text).await?
        && there != text
    {
        if !force {
            bail!(
                "{shown}/{MERGED} is there and says something else, perhaps of fewer shards: `--force` replaces it"
            );
        }
        place.replace(run, MERGED, text).await?;
    }
    Ok(())
}

/// The place and the name of the run: as flags say them, or one path or URL that ends in the name.
fn place(args: &MergeArgs) -> anyhow::Result<(String, String)> {
    let run = args.run.trim_end_matches('/');
    if let Some(results) = &args.results {
        out::check_run(run)?;
        return Ok((results.clone(), run.to_owned()));
    }
    if let Some((results, run)) = run.rsplit_once('/').filter(|_| run.contains("://")) {
        out::check_run(run)?;
        return Ok((results.to_owned(), run.to_owned()));
    }
    let folder = Path::new(run);
    if !folder.is_dir() {
        out::check_run(run)?;
        return Ok(("results".to_owned(), run.to_owned()));
    }
    // `.` and `..` have names too.
    let whole = folder
        .canonicalize()
        .with_context(|| format!("{run}: could not be read"))?;
    match (whole.parent(), whole.file_name()) {
        (Some(results), Some(name)) => Ok((
            results.display().to_string(),
            name.to_string_lossy().into_owned(),
        )),
        _ => bail!("{run} is no folder of a run"),
    }
}
