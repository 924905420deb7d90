//! An AWS home in memory, for the SDK to read and to write to.
//!
//! Holds copies of the files that a profile needs, and what is added to them; what the SDK writes
//! stays in it. No copy of a token or key reaches a disk.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aws_types::os_shim_internal::Fs;

use crate::auth::environment::Environment;
use crate::auth::sso_cache;

const HOME: &str = "/sameturn/home";
const CONFIG: &str = "/sameturn/config";
const CREDENTIALS: &str = "/sameturn/credentials";

/// What stands in it beside the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contents<'a> {
    /// The session name or start URL whose cached token is copied.
    pub session: Option<&'a str>,
    /// Text after the shared credentials file, which wins over all before it.
    pub credentials: &'a str,
}

/// The file system, and the variables that point there.
pub fn make(
    environment: &Environment,
    contents: &Contents<'_>,
) -> Option<(Fs, Vec<(&'static str, String)>)> {
    let home = environment.get("HOME")?;
    let named = |variable: &str, usual: &str| match environment.get(variable) {
        // The SDK takes `~` for HOME.
        Some(path) => match path.strip_prefix("~/") {
            Some(rest) => Path::new(home).join(rest),
            None => PathBuf::from(path),
        },
        None => Path::new(home).join(usual),
    };
    let mut files: HashMap<OsString, Vec<u8>> = HashMap::new();
    if let Ok(bytes) = std::fs::read(named("AWS_CONFIG_FILE", ".aws/config")) {
        files.insert(CONFIG.into(), bytes);
    }
    let shared = named("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
    let mut credentials = std::fs::read(shared).unwrap_or_default();
    credentials.extend_from_slice(contents.credentials.as_bytes());
    files.insert(CREDENTIALS.into(), credentials);
    if let Some(key) = contents.session
        && let Ok(bytes) = std::fs::read(sso_cache::file(home, key))
    {
        files.insert(sso_cache::file(HOME, key).into_os_string(), bytes);
    }
    let variables = vec![
        ("HOME", HOME.to_string()),
        ("AWS_CONFIG_FILE", CONFIG.to_string()),
        ("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS.to_string()),
    ];
    Some((Fs::from_raw_map(files), variables))
}
