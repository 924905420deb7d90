//! Lets a worker that is flooded sleep on for a moment, so that one wake serves the sockets of several.
//!
//! A thread with a thousand streams is woken ten thousand times a second by one or two of them each, and a wake costs as
//! much as some reads. Network cards hold their interrupts back for that reason; here it is the thread that does, before
//! it waits for its sockets. The times of arrival are the kernel's and stay as they are, but that events of one socket
//! within [`REST`] are joined and have the time of the last.
//!
//! The beginning of an answer ends a rest: TTFT is what people look at, and the first event is not to have the time of
//! the second (see [`Awaited`]). And it rests only where nothing is in a hurry: not after a look that found few sockets,
//! or so many of all that each speaks every other moment; nor after something was written, while something connects or
//! waits for room to write, nor where its user has starts to make on time. Knows nothing of what is read.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::transport::awaited::Awaited;

/// How long after a look a flooded worker looks again. At half of it a thousand streams save half the wakes and a
/// twentieth of the time, at twice of it no more than at once.
pub(super) const REST: Duration = Duration::from_millis(1);

/// A look that found less than so many sockets is followed by no rest. One stream of tokens each 20 ms comes to 0.05 in
/// [`REST`].
pub(super) const MANY: usize = 6;

/// Nor is one that found more than this part of all: their events are as close to each other as a few rests.
pub(super) const SELDOM: usize = 5;

/// A rest that is shorter is not worth its call.
const SHORTEST: Duration = Duration::from_micros(50);

/// When a worker may rest. Its thread alone uses it, so the lock is always free.
#[derive(Debug, Default)]
pub struct Moderation {
    state: Mutex<State>,
    /// What ends a rest.
    awaited: OnceLock<Arc<Awaited>>,
}

#[derive(Debug, Default)]
struct State {
    allowed: bool,
    /// The last look, where it found many and nothing was written since.
    flooded: Option<Instant>,
    /// How much is under way that must not wait.
    pressing: usize,
}

impl Moderation {
    /// To be called whenever the thread has nothing left to do: sleeps until [`REST`] after the last look, where that
    /// is of use and hurts nobody.
    pub fn rest(&self) {
        if let Some(left) = self.left(Instant::now()) {
            match self.awaited.get() {
                Some(awaited) => {
                    awaited.doze(left);
                }
                None => std::thread::sleep(left),
            }
        }
    }

    /// Whose bytes end a rest. Of several the first counts: a worker has one reader.
    pub(super) fn wake_for(&self, awaited: Arc<Awaited>) {
        let _ = self.awaited.set(awaited);
    }

    /// For how long it may rest now.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        if !state.allowed || state.pressing > 0 {
            return None;
        }
        let left = (state.flooded? + REST).saturating_duration_since(now);
        (left >= SHORTEST).then_some(left)
    }

    /// Whether its user can bear to be late by [`REST`]. At first it cannot.
    pub(super) fn allow(&self, allowed: bool) {
        self.state().allowed = allowed;
    }

    /// A look at so many sockets found so many of them with something to read.
    pub(super) fn looked(&self, at: Instant, found: usize, all: usize) {
        let flooded = found >= MANY && found * SELDOM <= all;
        self.state().flooded = flooded.then_some(at);
    }

    /// Something was written: its answer may be there at once.
    pub(super) fn wrote(&self) {
        self.state().flooded = None;
    }

    /// There is no rest until the answer is dropped.
    pub(super) fn press(self: &Arc<Moderation>) -> Pressing {
        self.state().pressing += 1;
        Pressing(Arc::clone(self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that must not wait, as long as it lives.
#[derive(Debug)]
pub(super) struct Pressing(Arc<Moderation>);

impl Drop for Pressing {
    fn drop(&mut self) {
        self.0.state().pressing -= 1;
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::moderation::*;

    #[test]
    fn who_found_many_of_more_rests_until_the_next_look_is_due() {
        let (moderation, now) = (Moderation::default(), Instant::now());
        moderation.allow(true);
        assert_eq!(moderation.left(now), None, "nothing was looked at");
        moderation.looked(now, MANY, MANY * SELDOM);
        assert_eq!(moderation.left(now), Some(REST));
        let later = now + REST - SHORTEST;
        assert_eq!(moderation.left(later), Some(SHORTEST));
        for late in [Duration::from_nanos(1), SHORTEST, REST] {
            assert_eq!(moderation.left(later + late), None, "{late:?}");
        }
        for (found, all) in [(MANY - 1, 1000), (MANY, MANY * SELDOM - 1), (1000, 1000)] {
            moderation.looked(now, MANY, MANY * SELDOM);
            moderation.looked(now, found, all);
            assert_eq!(moderation.left(now), None, "{found} of {all}");
        }
    }

    #[test]
    fn what_is_in_a_hurry_lets_nobody_rest() {
        let (moderation, now) = (Arc::new(Moderation::default()), Instant::now());
        moderation.looked(now, MANY, 1000);
        assert_eq!(moderation.left(now), None, "nobody has allowed it");
        moderation.allow(true);
        let (one, two) = (moderation.press(), moderation.press());
        assert_eq!(moderation.left(now), None);
        drop(one);
        assert_eq!(moderation.left(now), None);
        drop(two);
        assert!(moderation.left(now).is_some());
        moderation.wrote();
        assert_eq!(moderation.left(now), None);
        moderation.looked(now, MANY, 1000);
        assert!(moderation.left(now).is_some());
        moderation.allow(false);
        assert_eq!(moderation.left(now), None);
    }
}
