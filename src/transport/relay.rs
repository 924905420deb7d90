//! A waker between a connection and the task that drives it.
//!
//! hyper's connection and its body wake each other whenever one of them has moved. Where one task polls
//! both in turn until neither moves, each such wake would only make the runtime poll it once more for
//! nothing. Must never lose a wake that comes from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

const IDLE: u8 = 0;
const POLLING: u8 = 1;
const NOTIFIED: u8 = 2;

/// Forwards wakes to the task, except while the task is polling anyway.
#[derive(Debug)]
pub(super) struct Relay {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Relay {
    pub(super) fn new() -> Arc<Relay> {
        Arc::new(Relay {
            state: AtomicU8::new(IDLE),
            task: AtomicWaker::new(),
        })
    }

    /// Wakes go to this task from now on.
    pub(super) fn serve(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Wakes go to nobody: the connection lies in the pool.
    pub(super) fn rest(&self) {
        drop(self.task.take());
    }

    /// A round of polling begins: everything is looked at after this.
    pub(super) fn enter(&self) {
        self.state.store(POLLING, Ordering::SeqCst);
    }

    /// The last round is over; a wake that came in it goes to the task now.
    pub(super) fn leave(&self) {
        let left = self
            .state
            .compare_exchange(POLLING, IDLE, Ordering::SeqCst, Ordering::SeqCst);
        if left.is_err() {
            self.state.store(IDLE, Ordering::SeqCst);
            self.task.wake();
        }
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Relay>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Relay>) {
        if self.state.swap(NOTIFIED, Ordering::SeqCst) == IDLE {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use crate::transport::relay::Relay;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Counted>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wake_while_polling_is_kept_until_the_last_round_is_over() {
        let task = Arc::new(Counted::default());
        let relay = Relay::new();
        let inner = Waker::from(Arc::clone(&relay));
        let woken = || task.0.load(Ordering::SeqCst);

        relay.serve(&Waker::from(Arc::clone(&task)));
        inner.wake_by_ref();
        assert_eq!(woken(), 1, "a wake from elsewhere goes through");

        relay.serve(&Waker::from(Arc::clone(&task)));
        relay.enter();
        inner.wake_by_ref();
        assert_eq!(woken(), 1);
        relay.enter();
        relay.leave();
        assert_eq!(woken(), 1, "the next round has seen it");

        relay.enter();
        inner.wake_by_ref();
        relay.leave();
        assert_eq!(woken(), 2, "no round has seen it");

        relay.serve(&Waker::from(Arc::clone(&task)));
        relay.enter();
        relay.leave();
        relay.rest();
        inner.wake_by_ref();
        assert_eq!(woken(), 2, "nobody drives it");
    }
}
