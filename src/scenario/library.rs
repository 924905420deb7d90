//! The scenarios that ship, embedded in the binary.
//!
//! Core: text only; reading and checking them is the same work as for a user's file.

use include_dir::{Dir, include_dir};

static LIBRARY: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// Path below `scenarios/` and text of each, in the order of their paths.
pub fn scenarios() -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    collect(&LIBRARY, &mut found);
    found.sort_unstable();
    found
}

fn collect(dir: &'static Dir<'static>, found: &mut Vec<(&'static str, &'static str)>) {
    for file in dir.files() {
        let path = file.path().to_str();
        if let (Some(path), Some(text)) = (path, file.contents_utf8())
            && path.ends_with(".yaml")
        {
            found.push((path, text));
        }
    }
    for dir in dir.dirs() {
        collect(dir, found);
    }
}
