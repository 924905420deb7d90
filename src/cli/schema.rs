//! `sameturn schema scenario|targets`: the JSON Schema that editors complete and check with.

use crate::cli::args::{SchemaArgs, SchemaOf};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;
use crate::{scenario, target};

/// Prints the schema.
pub fn run(args: &SchemaArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let schema = match args.file {
        SchemaOf::Scenario => scenario::schema::schema(),
        SchemaOf::Targets => target::schema::schema(),
    };
    ui.out(&format!("{schema:#}\n"))?;
    Ok(Exit::Ok)
}
