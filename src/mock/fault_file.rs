//! The files of wire faults and legal variants: YAML in, values out.
//!
//! Core: text in. The shipped files are embedded and read by a test, so they cannot fail a user.

use std::sync::LazyLock;

use crate::mock::mutate::WireFault;

const WIRE: &str = include_str!("../../mocks/faults/wire.yaml");
const CONVERSE: &str = include_str!("../../mocks/faults/converse.yaml");
const CONVERSE_VARIANTS: &str = include_str!("../../mocks/faults/converse-variants.yaml");
const AGENTCORE: &str = include_str!("../../mocks/faults/agentcore.yaml");
const AGENTCORE_VARIANTS: &str = include_str!("../../mocks/faults/agentcore-variants.yaml");
const INVOKE: &str = include_str!("../../mocks/faults/invoke.yaml");
const INVOKE_VARIANTS: &str = include_str!("../../mocks/faults/invoke-variants.yaml");
const VARIANTS: &str = include_str!("../../mocks/faults/variants.yaml");
const CHAT: &str = include_str!("../../mocks/faults/chat.yaml");
const CHAT_VARIANTS: &str = include_str!("../../mocks/faults/chat-variants.yaml");

/// Reads a list of faults or variants. The error names line and column, and a name given twice.
pub fn read(text: &str) -> Result<Vec<WireFault>, String> {
    // `no` and `on` are words here, as in the other files that people write.
    let rows: Vec<WireFault> =
        serde_yaml::from_str_with_options(text, serde_yaml::options! { strict_booleans: true })
            .map_err(|error| error.to_string())?;
    named_once(rows)
}

/// The rows, if no name is there twice.
pub(crate) fn named_once(rows: Vec<WireFault>) -> Result<Vec<WireFault>, String> {
    for (index, row) in rows.iter().enumerate() {
        if rows[..index].iter().any(|earlier| earlier.name == row.name) {
            return Err(format!("`{}` is there twice", row.name));
        }
    }
    Ok(rows)
}

/// The faults of Responses streams that ship: each a good stream with one thing wrong.
pub fn shipped_faults() -> &'static [WireFault] {
    static FAULTS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(WIRE).unwrap_or_else(|error| panic!("mocks/faults/wire.yaml is broken: {error}"))
    });
    &FAULTS
}

/// The faults of Chat Completions streams that ship.
pub fn chat_faults() -> &'static [WireFault] {
    static FAULTS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(CHAT).unwrap_or_else(|error| panic!("mocks/faults/chat.yaml is broken: {error}"))
    });
    &FAULTS
}

/// The legal variants of Chat Completions streams that ship.
pub fn chat_variants() -> &'static [WireFault] {
    static VARIANT_ROWS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(CHAT_VARIANTS)
            .unwrap_or_else(|error| panic!("mocks/faults/chat-variants.yaml is broken: {error}"))
    });
    &VARIANT_ROWS
}

/// The faults of Converse streams that ship.
pub fn converse_faults() -> &'static [WireFault] {
    static FAULTS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(CONVERSE)
            .unwrap_or_else(|error| panic!("mocks/faults/converse.yaml is broken: {error}"))
    });
    &FAULTS
}

/// The legal variants of Converse streams that ship.
pub fn converse_variants() -> &'static [WireFault] {
    static VARIANT_ROWS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(CONVERSE_VARIANTS).unwrap_or_else(|error| {
            panic!("mocks/faults/converse-variants.yaml is broken: {error}")
        })
    });
    &VARIANT_ROWS
}

/// The faults of a managed agent's streams that ship.
pub fn agentcore_faults() -> &'static [WireFault] {
    static FAULTS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(AGENTCORE)
            .unwrap_or_else(|error| panic!("mocks/faults/agentcore.yaml is broken: {error}"))
    });
    &FAULTS
}

/// The faults of InvokeModel streams that ship.
pub fn invoke_faults() -> &'static [WireFault] {
    static FAULTS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(INVOKE).unwrap_or_else(|error| panic!("mocks/faults/invoke.yaml is broken: {error}"))
    });
    &FAULTS
}

/// The legal variants of a managed agent's streams that ship.
pub fn agentcore_variants() -> &'static [WireFault] {
    static VARIANT_ROWS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(AGENTCORE_VARIANTS).unwrap_or_else(|error| {
            panic!("mocks/faults/agentcore-variants.yaml is broken: {error}")
        })
    });
    &VARIANT_ROWS
}

/// The legal variants of InvokeModel streams that ship.
pub fn invoke_variants() -> &'static [WireFault] {
    static VARIANT_ROWS: LazyLock<Vec<WireFault>> = LazyLock::new(|| {
        read(INVOKE_VARIANTS)
            .unwrap_or_else(|error| panic!("mocks/faults/invoke-variants.yaml is broken: {error}"))
    });
    &VARIANT_ROWS
}

/// The legal variants of Responses streams that ship: unusual, and no finding.
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
        for (faults, variants) in [
            (shipped_faults(), shipped_variants()),
            (chat_faults(), chat_variants()),
            (converse_faults(), converse_variants()),
            (invoke_faults(), invoke_variants()),
        ] {
            assert!(!faults.is_empty());
            assert!(!variants.is_empty());
            assert!(variants.iter().all(|row| row.trips.is_empty()));
            assert!(faults.iter().all(|row| !row.stream.is_empty()));
        }
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
