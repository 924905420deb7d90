//! Where there is no epoll, and nobody looks at many sockets: nothing ends a rest. The same face as `awaited`, as far as
//! somebody uses it.

use std::time::Duration;

/// Nothing.
#[derive(Debug)]
pub(super) struct Awaited;

impl Awaited {
    /// Does nothing for so long. Whether something came: never.
    pub(super) fn doze(&self, left: Duration) -> bool {
        std::thread::sleep(left);
        false
    }
}
