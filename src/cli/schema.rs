//! `sameturn schema scenario|targets|load`: the JSON Schemas of files that are written and read.

use crate::cli::args::{SchemaArgs, SchemaOf};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;
use crate::report::load_record;
use crate::{scenario, target};

/// Prints the schema.
pub fn run(args: &SchemaArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let schema = match args.file {
        SchemaOf::Scenario => scenario::schema::schema(),
        SchemaOf::Targets => target::schema::schema(),
        SchemaOf::Load => load_record::schema(),
    };
    ui.out(&format!("{schema:#}\n"))?;
    Ok(Exit::Ok)
}
