//! The invariants of ARCHITECTURE.md, kept by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file without comments and without its tests.
struct Source {
    /// Relative to `src/`.
    path: String,
    whole: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(
        files.len() > 20,
        "the sources were not found under {root:?}"
    );
    files
        .into_iter()
        .map(|file| {
            let whole = fs::read_to_string(&file).expect("a source is text");
            let code = whole
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            let path = file
                .strip_prefix(&root)
                .expect("it was found there")
                .to_string_lossy()
                .replace('\\', "/");
            Source { path, whole, code }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

fn refuse(room: impl Fn(&str) -> bool, words: &[&str]) {
    let mut breaches = Vec::new();
    for source in sources() {
        if !room(&source.path) || is_test(&source.path) {
            continue;
        }
        for word in words {
            if source.code.contains(word) {
                breaches.push(format!("src/{} names `{word}`", source.path));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

const CORE: &[&str] = &[
    "diagnostic",
    "document/",
    "frame/",
    "catalog/",
    "metric/",
    "scenario/",
    "target/",
    "turn/",
    "dialect/",
    "plan/",
    "check/",
    "parity/",
    "report/",
    "load/arrival",
    "load/draw",
    "load/find",
    "load/mix",
    "load/profile",
    "load/prompt",
    "load/replay",
    "load/size",
    "load/slo",
    "load/step",
];

/// The reports that touch files.
const STORES: &[&str] = &[
    "report/store.rs",
    "report/load_store.rs",
    "report/shard_store.rs",
];

#[test]
fn the_core_knows_no_socket_file_environment_or_clock() {
    refuse(
        |path| CORE.iter().any(|room| path.starts_with(room)) && !STORES.contains(&path),
        &[
            "tokio",
            "reqwest",
            "axum",
            "aws_config",
            "std::fs",
            "std::env",
            "std::net",
            "SystemTime::now",
            "Instant::now",
        ],
    );
}

#[test]
fn only_cli_knows_the_command_line_and_prints() {
    refuse(
        |path| !path.starts_with("cli/") && path != "main.rs",
        &[
            "clap",
            "anyhow",
            "println!",
            "eprintln!",
            "print!(",
            "process::exit",
        ],
    );
}

#[test]
fn a_dialect_knows_no_provider() {
    refuse(
        |path| path.starts_with("dialect/"),
        &["mantle", "bedrock", "azure", "\"openai"],
    );
}

#[test]
fn checks_and_parity_parse_no_dialect_themselves() {
    refuse(|path| path.starts_with("parity/"), &["crate::dialect"]);
    refuse(
        |path| path.starts_with("check/"),
        &["crate::dialect::responses", "crate::frame"],
    );
}

#[test]
fn the_mock_writes_its_wire_form_on_its_own() {
    refuse(
        |path| path.starts_with("mock/"),
        &[
            "crate::dialect",
            "crate::turn",
            "crate::check",
            "crate::auth",
            "crate::transport",
            "aws_sigv4",
        ],
    );
}

#[test]
fn only_three_rooms_read_yaml() {
    refuse(
        |path| {
            !["catalog/", "scenario/", "target/", "mock/", "document/"]
                .iter()
                .any(|room| path.starts_with(room))
        },
        &["serde_yaml"],
    );
}

#[test]
fn every_module_says_what_it_is_for() {
    for source in sources() {
        assert!(
            source.whole.starts_with("//!"),
            "src/{} does not begin with //!",
            source.path
        );
    }
}

#[test]
fn files_have_one_reason_to_exist() {
    for source in sources() {
        let lines = source.whole.lines().count();
        assert!(lines <= 700, "src/{} has {lines} lines", source.path);
        let name = source.path.rsplit('/').next().unwrap_or_default();
        for word in ["util", "helper", "common", "misc", "manager"] {
            assert!(!name.contains(word), "src/{} says nothing", source.path);
        }
    }
}

#[test]
fn main_is_short() {
    let main = sources()
        .into_iter()
        .find(|source| source.path == "main.rs")
        .expect("there is a main.rs");
    assert!(main.whole.lines().count() <= 40);
}
