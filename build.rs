//! Prepares the data that is embedded: rows that people write as YAML become JSON, which a program that starts
//! reads in less time. The YAML stays the only source, and one that is broken stops the build.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of rows, and what each is called below `OUT_DIR`.
const ROWS: [(&str, &str); 2] = [("src/catalog/data", "catalog"), ("mocks", "mocks")];

fn main() -> Result<(), Box<dyn Error>> {
    // A folder here stands for every file below it: new and removed files are noticed too.
    for path in ["mocks", "scenarios", "src/catalog/data", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for (from, name) in ROWS {
        let to = out.join(name);
        if to.exists() {
            // A file that is gone must not stay in the binary.
            fs::remove_dir_all(&to)?;
        }
        translate(Path::new(from), &to)?;
    }
    Ok(())
}

/// Writes each `NAME.yaml` below a folder as `NAME.json` below another.
fn translate(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().ok_or("a file without a name")?;
        if path.is_dir() {
            translate(&path, &to.join(name))?;
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let value: serde_json::Value = serde_yaml::from_str_with_options(
                &fs::read_to_string(&path)?,
                // `no` and `on` are words here, as wherever these files are read.
                serde_yaml::options! { strict_booleans: true },
            )
            .map_err(|error| format!("{}: {error}", path.display()))?;
            let json = to.join(name).with_extension("json");
            fs::write(json, serde_json::to_vec(&value)?)?;
        }
    }
    Ok(())
}
