//! Scenario files: text to a checked value, or complaints with their places.
//!
//! Core: whoever opens the file checks its size first (`document::MAX_BYTES`) and hands over what it read.

use crate::catalog::Catalog;
use crate::diagnostic::Diagnostics;
use crate::document::{Document, decode};
use crate::scenario::lint::lint;
use crate::scenario::model::Scenario;

const WHAT: &str = "a scenario";

/// Reads a scenario without cross-checks: syntax, keys, types and words only.
pub fn read(file: &str, text: &str) -> Result<Scenario, Diagnostics> {
    Document::parse(file, text, WHAT)?.typed(WHAT)
}

/// The same from bytes that may not be UTF-8.
pub fn read_bytes(file: &str, bytes: &[u8]) -> Result<Scenario, Diagnostics> {
    read(file, decode(file, bytes)?)
}

/// Reads a scenario and cross-checks it. The diagnostics beside a scenario are warnings.
pub fn read_checked(
    file: &str,
    bytes: &[u8],
    catalog: &Catalog,
) -> Result<(Scenario, Diagnostics), Diagnostics> {
    let document = Document::parse(file, decode(file, bytes)?, WHAT)?;
    let scenario: Scenario = document.typed(WHAT)?;
    let found = lint(&document, &scenario, catalog);
    if found.has_errors() {
        Err(found)
    } else {
        Ok((scenario, found))
    }
}
