//! How many files and connections this process may have open.
//!
//! It must never fail a command: with fewer, less fits, and whoever opens one too many says so.

/// Raises the limit as far as the system allows without rights: each connection is a file. What it is then;
/// `None` where there is none, or none that is known.
pub fn raise() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        let _ = setrlimit(Resource::Nofile, raised);
        // As it is now, whether that was let or not.
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    {
        None
    }
}
