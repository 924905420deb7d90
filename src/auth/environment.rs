//! A snapshot of environment variables, so that a cell can be given another one without touching
//! the process's own.

use std::collections::BTreeMap;

/// Variables by name. `Debug` shows names only: values may be secrets.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The variables of this process that are valid UTF-8.
    pub fn of_process() -> Environment {
        Environment(
            std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// The value of a variable; an empty or blank value counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The value of a variable as it is, blank or not.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same with one variable set.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Environment {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The same without the variables that `drop` picks by name.
    pub fn without(mut self, drop: impl Fn(&str) -> bool) -> Environment {
        self.0.retain(|name, _| !drop(name));
        self
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
