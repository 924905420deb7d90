//! Target files: text to checked values, or complaints with their places.
//!
//! Core: whoever opens the file checks its size first (`document::MAX_BYTES`) and hands over what it read.

use crate::catalog::Catalog;
use crate::diagnostic::Diagnostics;
use crate::document::{Document, decode};
use crate::target::lint::lint;
use crate::target::model::TargetFile;

const WHAT: &str = "a target file";

/// Reads a target file without cross-checks: syntax, keys, types and words only.
pub fn read(file: &str, text: &str) -> Result<TargetFile, Diagnostics> {
    Document::parse(file, text, WHAT)?.typed(WHAT)
}

/// Reads a target file and cross-checks it. The diagnostics beside the targets are warnings.
pub fn read_checked(
    file: &str,
    bytes: &[u8],
    catalog: &Catalog,
) -> Result<(TargetFile, Diagnostics), Diagnostics> {
    let document = Document::parse(file, decode(file, bytes)?, WHAT)?;
    let targets: TargetFile = document.typed(WHAT)?;
    let found = lint(&document, &targets, catalog);
    if found.has_errors() {
        Err(found)
    } else {
        Ok((targets, found))
    }
}
