//! How many files and connections this process may have open.
//!
//! It must never fail a command: with fewer, less fits, and whoever opens one too many says so.

/// Raises the limit as far as the system allows without rights: each connection is a file.
pub fn raise() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
}
