//! Tells Cargo which data is embedded, so that a new file of `mocks/` or `scenarios/` is built in too.

fn main() {
    // A folder here stands for every file below it. Changed texts would be noticed without this; added and
    // removed ones would not.
    for path in ["mocks", "scenarios", "src/catalog/data", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
}
