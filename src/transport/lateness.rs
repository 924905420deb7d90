//! How late a worker reads what is there: by a timer of the kernel that is polled among its sockets.
//!
//! It is due at known times, whatever this process does, and nothing joins or forgets them. What bytes themselves tell is
//! less than the truth: after a pause, those that are joined have the time of the last.
//!
//! Linux only. Does not poll: whoever does says when the timer is due.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::transport::stamped::Tick;

/// How often the timer is due at most: no part of the 10 or 20 ms that servers like to pace by.
const TICK: Duration = Duration::from_micros(7_300);

/// It is due once in about so many reads, else a process that sleeps most of the time would be woken by little else: with
/// one stream of 45 events a second, 137 ticks took more processor time than the stream.
const READS: u32 = 24;

/// But at least once in so many times [`TICK`]: nearly half a second.
const SELDOM: u32 = 64;

/// The timer is set within so much time, or set again.
const SET_WITHIN: Duration = Duration::from_micros(200);
const TRIES: u32 = 10;

/// Ticks that are kept for whoever asks: a minute's.
const TICKS: usize = 8192;

/// The timer, and what it has told.
#[derive(Debug)]
pub(super) struct Lateness {
    timer: OwnedFd,
    /// When the timer is due next, and how long after that again.
    due: Instant,
    period: Duration,
    /// When it was read last, and reads of sockets since then.
    ticked: Instant,
    reads: u32,
    ticks: Vec<Tick>,
}

impl Lateness {
    /// A timer that is set. Errors: no file is left.
    pub(super) fn start() -> io::Result<Lateness> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let due = set(&timer, TICK)?;
        Ok(Lateness {
            timer,
            due,
            period: TICK,
            ticked: Instant::now(),
            reads: 0,
            ticks: Vec::new(),
        })
    }

    /// A socket was read.
    pub(super) fn note_read(&mut self) {
        self.reads = self.reads.saturating_add(1);
    }

    /// What was noted since this was asked last, the oldest first.
    pub(super) fn take(&mut self) -> Vec<Tick> {
        std::mem::take(&mut self.ticks)
    }

    /// Notes how late the timer is read.
    pub(super) fn tick(&mut self) -> io::Result<()> {
        let mut count = [0; 8];
        match rustix::io::read(&self.timer, &mut count) {
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        let first = self.due;
        let count = u32::try_from(u64::from_ne_bytes(count)).unwrap_or(u32::MAX);
        self.due = first + self.period * count;
        let room = TICKS - self.ticks.len();
        self.ticks
            .extend(ticks(first, self.period, count, now).take(room));
        // Whoever was away has read less than came: that is no reason to ask less often.
        let time = (now - std::mem::replace(&mut self.ticked, now)).min(self.period);
        let period = period(std::mem::take(&mut self.reads), time);
        if period != self.period {
            self.due = set(&self.timer, period)?;
            self.period = period;
        }
        Ok(())
    }
}

/// The timer, to be polled for reading.
impl AsFd for Lateness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// How often the timer is to be due, after so many reads in a time.
fn period(reads: u32, time: Duration) -> Duration {
    let wanted = time * READS / reads.max(1);
    let mut period = TICK;
    while period * 2 <= wanted && period < TICK * SELDOM {
        period *= 2;
    }
    period
}

/// Sets the timer; when it is due first.
fn set(timer: &OwnedFd, period: Duration) -> io::Result<Instant> {
    let every = Timespec::try_from(period).expect("some milliseconds are few");
    let ticking = Itimerspec {
        it_interval: every,
        it_value: every,
    };
    let mut tries = 0;
    loop {
        let before = Instant::now();
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &ticking)?;
        tries += 1;
        // Interrupted in between it would seem late for good. Where each call takes so long, it is.
        if before.elapsed() < SET_WITHIN || tries == TRIES {
            return Ok(before + period);
        }
    }
}

/// So many ticks that are read together, each late by its own time.
fn ticks(first: Instant, period: Duration, count: u32, now: Instant) -> impl Iterator<Item = Tick> {
    (0..count).map(move |nth| {
        let due = first + period * nth;
        Tick {
            due,
            late: now.saturating_duration_since(due),
            after: period,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use crate::transport::lateness::*;

    #[test]
    fn ticks_that_were_missed_together_are_late_by_less_and_less() {
        let first = Instant::now();
        let now = first + TICK * 2 + Duration::from_millis(1);
        let late: Vec<Duration> = ticks(first, TICK, 3, now).map(|tick| tick.late).collect();
        let ms = Duration::from_millis(1);
        assert_eq!(late, [TICK * 2 + ms, TICK + ms, ms]);
        assert_eq!(ticks(first, TICK, 0, now).count(), 0);
    }

    #[test]
    fn a_worker_that_was_away_knows_for_how_long() {
        let mut lateness = Lateness::start().unwrap();
        for much in [false, true] {
            let until = Instant::now() + Duration::from_secs(20);
            while (lateness.period > TICK) == much {
                assert!(Instant::now() < until, "asked as often as ever");
                if much {
                    (0..READS).for_each(|_| lateness.note_read());
                }
                sleep(TICK);
                lateness.tick().unwrap();
            }
            lateness.take();
            let period = lateness.period;
            let away = Duration::from_millis(500);
            sleep(away);
            lateness.tick().unwrap();
            let ticks = lateness.take();
            // The first that was due after it went.
            let longest = ticks.iter().map(|tick| tick.late).max().unwrap();
            assert!(longest + period >= away, "{much}: {longest:?}");
            let mut two = ticks.windows(2);
            assert!(
                two.all(|two| two[1].due == two[0].due + period),
                "{much}: {ticks:?}"
            );
            assert!(
                ticks.len() as u128 >= away.as_nanos() / period.as_nanos(),
                "{much}"
            );
        }
    }

    #[test]
    fn few_reads_are_asked_for_seldom() {
        let second = Duration::from_secs(1);
        let ticks = |reads| period(reads, second).div_duration_f64(TICK);
        let periods = [0, 1, 45, 90, 200, 500, 800, 1600, 100_000].map(ticks);
        assert_eq!(periods, [64.0, 64.0, 64.0, 32.0, 16.0, 4.0, 4.0, 2.0, 1.0]);
    }
}
