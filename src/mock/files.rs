//! The files that mocked providers are made of: texts by their path below `mocks/`, and how to read them.
//!
//! Core. Must never know what is in them.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use serde::de::DeserializeOwned;

/// The files that ship, as the build has written them: JSON.
static SHIPPED: Dir<'_> = include_dir!("$OUT_DIR/mocks");

/// Files, called by the names that people know: `faults/http.yaml`.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    texts: BTreeMap<String, &'a str>,
    form: Form,
}

/// How the texts are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
}

impl<'a> Files<'a> {
    /// Files as people write them.
    pub(crate) fn written(files: &'a BTreeMap<String, String>) -> Files<'a> {
        let text = |(path, text): (&String, &'a String)| (path.clone(), text.as_str());
        Files {
            texts: files.iter().map(text).collect(),
            form: Form::Yaml,
        }
    }

    /// The files that ship with the tool.
    pub(crate) fn shipped() -> Files<'static> {
        let mut texts = BTreeMap::new();
        collect(&SHIPPED, &mut texts);
        Files {
            texts,
            form: Form::Json,
        }
    }

    /// The paths of all files, in their order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// What a file says, as a type. The error names the file and, where a person wrote it, line and column.
    pub(crate) fn parse<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let text = *self
            .texts
            .get(path)
            .ok_or_else(|| format!("{path}: no such file"))?;
        match self.form {
            // `no` and `on` are words here, as in the other files that people write.
            Form::Yaml => serde_yaml::from_str_with_options(
                text,
                serde_yaml::options! { strict_booleans: true },
            )
            .map_err(|error| format!("{path}: {error}")),
            Form::Json => serde_json::from_str(text)
                .map_err(|error| format!("{path}, as the build wrote it: {error}")),
        }
    }
}

fn collect(dir: &'static Dir<'static>, texts: &mut BTreeMap<String, &'static str>) {
    for file in dir.files() {
        let path = file.path().to_string_lossy().replace('\\', "/");
        if let (Some(stem), Some(text)) = (path.strip_suffix(".json"), file.contents_utf8()) {
            texts.insert(format!("{stem}.yaml"), text);
        }
    }
    for dir in dir.dirs() {
        collect(dir, texts);
    }
}
