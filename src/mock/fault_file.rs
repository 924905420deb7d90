//! The files of wire faults and legal variants: YAML in, values out.
//!
//! Core: text in. The shipped files are embedded and read by a test, so they cannot fail a user.

use std::sync::LazyLock;

use crate::mock::mutate::WireFault;

const WIRE: &str = include_str!("../../mocks/faults/wire.yaml");
const CONVERSE: &str = include_str!("../../mocks/faults/converse.yaml");
const CONVERSE_VARIANTS: &str = include_str!("../../mocks/faults/converse-variants.yaml");
const VARIANTS: &str = include_str!("../../mocks/faults/variants.yaml");

/// Reads a list of faults or variants. The error names line and column, and a name given twice.
pub fn read(text: &str) -> Result<Vec<WireFault>, String> {
    // `no` and `on` are words here, as in the other files that people write.
    let rows: Vec<WireFault> =
        serde_yaml::from_str_with_options(text, serde_yaml::options! { strict_booleans: true })
            .map_err(|error| error.to_string())?;
    for (index, row) in rows.iter().enumerate() {
        if rows[..index].iter().any(|earlier| earlier.name == row.name) {
            return Err(format!("`{}` is there twice", row.name));
        }
    }
    Ok(rows)
}

/// The faults that ship: each a good stream with one thing wrong.
pub fn shipped_faults() -> &'static [WireFault] {
    static FAULTS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(WIRE).unwrap_or_else(|error| panic!("mocks/faults/wire.yaml is broken: {error}"))
    });
    &FAULTS
}

/// The same for streams of Converse.
pub fn shipped_converse_faults() -> &'static [WireFault] {
    static CONVERSE_FAULTS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(CONVERSE)
            .unwrap_or_else(|error| panic!("mocks/faults/converse.yaml is broken: {error}"))
    });
    &CONVERSE_FAULTS
}

/// The legal variants of a stream of Converse that ship.
pub fn shipped_converse_variants() -> &'static [WireFault] {
    static CONVERSE_VARIANT_ROWS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(CONVERSE_VARIANTS).unwrap_or_else(|error| {
            panic!("mocks/faults/converse-variants.yaml is broken: {error}")
        })
    });
    &CONVERSE_VARIANT_ROWS
}

/// The legal variants that ship: unusual, and no finding.
pub fn shipped_variants() -> &'static [WireFault] {
    static VARIANT_ROWS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(VARIANTS)
            .unwrap_or_else(|error| panic!("mocks/faults/variants.yaml is broken: {error}"))
    });
    &VARIANT_ROWS
}

#[cfg(test)]
mod tests {
    use crate::mock::fault_file::*;

    #[test]
    fn the_shipped_files_can_be_read() {
        assert!(!shipped_faults().is_empty());
        assert!(!shipped_variants().is_empty());
        assert!(shipped_variants().iter().all(|row| row.trips.is_empty()));
        assert!(shipped_faults().iter().all(|row| !row.stream.is_empty()));
    }

    #[test]
    fn a_mistake_is_refused() {
        let row = "- {name: a, about: b, source: c, stream: [{done_markers: 1}]}\n";
        assert!(read(row).is_ok());
        assert!(read(&format!("{row}{row}")).is_err());
        assert!(read("- {name: a, about: b, source: c, strem: []}").is_err());
        assert!(read("- {name: a, about: b, source: c, stream: [{vanish: 1}]}").is_err());
    }
}
