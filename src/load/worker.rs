//! A worker: one thread with its own runtime, connections and books.
//!
//! Shell. Workers share counters, never books, so that they do not wait for each other.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use crate::load::conversation::hold;
use crate::load::fleet::Fleet;
use crate::load::round::{Arriving, Heard, Round, Start, Stop};
use crate::load::sample::{Phase, Sample};
use crate::load::tally::Tally;
use crate::load::trust::{Busy, LATE_START};
use crate::load::window::Window;
use crate::transport::moderation::Moderation;
use crate::transport::wire::{Tick, Wire, WireSettings};

/// What a worker has measured it tells by the second.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// But where it has little to do, and nobody looks on, so many seconds together: to wake who writes them down took a
/// twentieth of the processor time of one stream.
pub const TOLD_LATE: Duration = Duration::from_secs(5);
/// As many requests, begun in a second or under way at its end, are little to do.
const LITTLE: u32 = 8;
/// As many conversations wait for a place at most; each takes some dozens of bytes, and what is behind them would begin
/// too late to say anything.
const MOST_WAITING: usize = 100_000;
/// Samples that are told together at most.
const SAMPLES: usize = 1024;

/// A worker's books.
#[derive(Debug)]
pub struct Books {
    /// One per lane, as all of these.
    pub tallies: Vec<Tally>,
    /// Requests that were handed to a connection and have not been told.
    pub under_way: Vec<u32>,
    /// The same, when that was told last.
    pub were_under_way: Vec<u32>,
    /// Requests that were handed to a connection since that was told last.
    pub started: Vec<u32>,
    /// The measured requests that have not been told.
    pub running: Vec<u32>,
    /// Measured conversations that have begun and not ended, also while they think.
    pub talking: Vec<u32>,
    pub samples: Vec<Sample>,
}

impl Books {
    /// Counts what runs as cut.
    fn cut(&mut self) {
        let open = self.running.iter_mut().zip(&mut self.talking);
        for (tally, (running, talking)) in self.tallies.iter_mut().zip(open) {
            let talking = u64::from(std::mem::take(talking));
            tally.counts.cut += u64::from(std::mem::take(running));
            tally.counts.conversations += talking;
            tally.counts.stuck += talking;
        }
        self.under_way.fill(0);
    }

    /// Books how late the worker was for each lane that had requests on their way.
    fn lag(&mut self, ticks: &[Tick], origin: Instant, window: &Window) {
        for tick in ticks {
            // What was due before the round is none of its own.
            let at = tick.due.checked_duration_since(origin);
            if at.is_none_or(|at| window.phase(at) != Phase::Measured) {
                continue;
            }
            for (lane, tally) in self.tallies.iter_mut().enumerate() {
                if self.were_under_way[lane] > 0 || self.started[lane] > 0 {
                    tally.measure_read(tick.late, tick.after);
                }
            }
        }
    }

    /// Counts a conversation as cut that got no place.
    fn turn_away(&mut self, start: &Start, window: &Window) {
        let measured = window.phase(start.intended) == Phase::Measured;
        self.tallies[start.lane].counts.cut += u64::from(measured);
    }
}

/// Where the books lie. One thread writes in them, so the lock is always free: it is there because tasks that the
/// runtime itself polls must be free to move. Those of a `LocalSet`, which need not, cost more on each wake.
#[derive(Debug)]
pub struct Desk(Mutex<Books>);

impl Desk {
    /// The books; to be let go before anything is waited for.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A round as a worker gets it.
pub struct Order {
    pub round: Arc<Round>,
    pub starts: UnboundedReceiver<Start>,
    pub tell: Sender<Heard>,
}

/// Starts worker `index` of `count`. It ends when the sender of orders is dropped.
pub fn start(
    index: usize,
    count: usize,
    fleet: Arc<Fleet>,
    settings: Arc<WireSettings>,
    mut orders: UnboundedReceiver<Order>,
) -> std::io::Result<JoinHandle<()>> {
    let moderation = Arc::new(Moderation::default());
    let resting = Arc::clone(&moderation);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || resting.rest())
        .build()?;
    let wire = {
        let _context = runtime.enter();
        Arc::new(Wire::new(settings, moderation)?)
    };
    std::thread::Builder::new()
        .name(format!("load-{index}"))
        .spawn(move || {
            runtime.block_on(async move {
                let desk = Arc::new(Desk(Mutex::new(Books {
                    tallies: fleet.lanes.iter().map(|_| Tally::default()).collect(),
                    under_way: vec![0; fleet.lanes.len()],
                    were_under_way: vec![0; fleet.lanes.len()],
                    started: vec![0; fleet.lanes.len()],
                    running: vec![0; fleet.lanes.len()],
                    talking: vec![0; fleet.lanes.len()],
                    samples: Vec::new(),
                })));
                while let Some(order) = orders.recv().await {
                    let worker = Worker {
                        index,
                        count,
                        fleet: Arc::clone(&fleet),
                        wire: Arc::clone(&wire),
                        desk: Arc::clone(&desk),
                        round: order.round,
                        tell: order.tell,
                    };
                    worker.run(order.starts).await;
                }
            });
        })
}

struct Worker {
    index: usize,
    count: usize,
    fleet: Arc<Fleet>,
    wire: Arc<Wire>,
    desk: Arc<Desk>,
    round: Arc<Round>,
    tell: Sender<Heard>,
}

impl Worker {
    async fn run(&self, mut starts: UnboundedReceiver<Start>) {
        // Those of the time between two rounds say nothing.
        self.wire.ticks();
        let (cpu, begun) = (thread_cpu(), self.round.now());
        let mut panicked = 0;
        let mut stop = self.round.settings.stop.clone();
        let mut tasks: JoinSet<()> = JoinSet::new();
        // Starts with the time at which they came here.
        let mut waiting: VecDeque<(Start, Duration)> = VecDeque::new();
        let mut open = matches!(self.round.settings.arriving, Arriving::Open);
        // Starts of a schedule are to be on time.
        self.wire.moderate(!open);
        if let Arriving::Closed { most, .. } = self.round.settings.arriving {
            self.open_slots(most, &mut tasks);
        }
        // At whole seconds of the round, so that what the workers tell can be put side by side.
        let mut told = Told::default();
        let first = self.round.settings.origin + TOLD_EVERY * (whole_seconds(self.round.now()) + 1);
        let mut seconds = interval_at(first.into(), TOLD_EVERY);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let total = self.round.settings.most_under_way;
        let places = total / self.count + usize::from(self.index < total % self.count);
        let ends = self.round.settings.window.ends();
        // What it did until the window ended: draining is no work.
        let mut busy: Option<Busy> = None;
        let so_far = || Busy {
            cpu: thread_cpu().saturating_sub(cpu),
            time: self.round.now().saturating_sub(begun),
        };
        let over = |now| {
            ends.is_some_and(|ends| now >= ends) || *self.round.settings.stop.borrow() != Stop::No
        };
        // Never, where that is later than the clock goes.
        let cut_at = ends.and_then(|ends| {
            let after = ends.checked_add(self.round.settings.drain)?;
            self.round.settings.origin.checked_add(after)
        });
        while open || !tasks.is_empty() || !waiting.is_empty() {
            while tasks.len() < places
                && let Some((start, since)) = waiting.pop_front()
            {
                let held = self.round.now().saturating_sub(since);
                self.begin(Start { held, ..start }, &mut tasks);
            }
            if !(open || !tasks.is_empty() || !waiting.is_empty()) {
                break;
            }
            tokio::select! {
                biased;
                stopped = stop.wait_for(|stop| *stop == Stop::Now) => {
                    drop(stopped);
                    panicked += self.cut(&mut tasks, &waiting).await;
                    break;
                }
                () = until(cut_at) => {
                    panicked += self.cut(&mut tasks, &waiting).await;
                    break;
                }
                start = starts.recv(), if open => match start {
                    None => open = false,
                    Some(start) => {
                        if !may_wait(&mut waiting, start, self.round.now()) {
                            self.desk.books().turn_away(&start, &self.round.settings.window);
                        }
                    }
                },
                Some(ended) = tasks.join_next() => panicked += u64::from(is_panic(&ended)),
                _ = seconds.tick() => {
                    self.tell_interval(&mut told);
                    if busy.is_none() && over(told.until) {
                        busy = Some(so_far());
                    }
                }
            }
        }
        // What still seems to run has been cut, or a panic has left it behind.
        self.desk.books().cut();
        self.tell_interval(&mut told);
        told.all(&self.tell);
        // Nobody listens only when the program ends.
        let _ = self.tell.send(Heard::Ended {
            worker: self.index,
            cpu: thread_cpu().saturating_sub(cpu),
            panicked,
            busy: busy.unwrap_or_else(so_far),
        });
    }

    /// Starts a conversation of the schedule, unless its lane backs off.
    fn begin(&self, start: Start, tasks: &mut JoinSet<()>) {
        if *self.round.settings.stop.borrow() != Stop::No {
            let window = &self.round.settings.window;
            self.desk.books().turn_away(&start, window);
            return;
        }
        if self.fleet.held(start.lane).is_some() {
            if self.round.settings.window.phase(start.intended) == Phase::Measured {
                self.desk.books().tallies[start.lane].counts.held_back += 1;
            }
            return;
        }
        let (fleet, round) = (Arc::clone(&self.fleet), Arc::clone(&self.round));
        let (wire, desk) = (Arc::clone(&self.wire), Arc::clone(&self.desk));
        tasks.spawn(async move {
            hold(&fleet, &round, &wire, &desk, start).await;
        });
    }

    /// The virtual clients of this worker: client `s` of each lane belongs to worker `s` mod the number of them.
    fn open_slots(&self, most: u32, tasks: &mut JoinSet<()>) {
        for slot in 0..most {
            for lane in 0..self.fleet.lanes.len() {
                // Another lane begins with another worker, so that few clients do not all sit on the first.
                if (slot as usize + lane) % self.count != self.index {
                    continue;
                }
                let (fleet, round) = (Arc::clone(&self.fleet), Arc::clone(&self.round));
                let (wire, desk) = (Arc::clone(&self.wire), Arc::clone(&self.desk));
                tasks.spawn(async move {
                    virtual_client(&fleet, &round, &wire, &desk, lane, slot).await;
                });
            }
        }
    }

    /// Ends everything that runs, counts what waits, and says how much of it had panicked.
    async fn cut(&self, tasks: &mut JoinSet<()>, waiting: &VecDeque<(Start, Duration)>) -> u64 {
        tasks.abort_all();
        let mut panicked = 0;
        while let Some(ended) = tasks.join_next().await {
            panicked += u64::from(is_panic(&ended));
        }
        let books = &mut *self.desk.books();
        for (start, since) in waiting {
            books.turn_away(start, &self.round.settings.window);
            let measured = self.round.settings.window.phase(start.intended) == Phase::Measured;
            books.tallies[start.lane].counts.waited +=
                u64::from(measured && self.round.now().saturating_sub(*since) > LATE_START);
        }
        panicked
    }

    fn tell_interval(&self, told: &mut Told) {
        let until = self.round.now();
        let from = std::mem::replace(&mut told.until, until);
        let mut books = self.desk.books();
        let settings = &self.round.settings;
        books.lag(&self.wire.ticks(), settings.origin, &settings.window);
        let tallies = books
            .tallies
            .iter_mut()
            .map(|tally| std::mem::replace(tally, self.round.shelf.take()))
            .collect();
        let under_way = books.under_way.clone();
        books.were_under_way.clone_from(&under_way);
        let started = books.started.clone();
        books.started.fill(0);
        let samples = std::mem::take(&mut books.samples);
        drop(books);
        let requests = under_way.iter().chain(&started).sum();
        told.kept.push(Heard::Interval {
            worker: self.index,
            from,
            until,
            tallies,
            under_way,
            started,
        });
        let mut samples = samples.into_iter().peekable();
        while samples.peek().is_some() {
            let some: Vec<Sample> = samples.by_ref().take(SAMPLES).collect();
            told.kept.push(Heard::Samples(some));
        }
        // A wait that a provider asked for is said while it lasts.
        let waits = (0..self.fleet.lanes.len()).any(|lane| self.fleet.held(lane).is_some());
        if told.is_due(requests, settings.watched || waits) {
            told.all(&self.tell);
        }
    }
}

/// What a worker has told, or is about to.
#[derive(Debug, Default)]
struct Told {
    /// What it covers, from the start of the round.
    until: Duration,
    /// In order; not told yet.
    kept: Vec<Heard>,
    /// Up to when all was told.
    told: Duration,
}

impl Told {
    /// Whether to tell what is kept, after a second with so many requests; `at_once` where somebody is to see it.
    fn is_due(&self, requests: u32, at_once: bool) -> bool {
        // By whole seconds: a tick that comes a little earlier after its second than the last one must not miss its turn.
        let seconds = self.until.as_secs().saturating_sub(self.told.as_secs());
        at_once || requests > LITTLE || seconds >= TOLD_LATE.as_secs()
    }

    fn all(&mut self, tell: &Sender<Heard>) {
        for heard in self.kept.drain(..) {
            // Nobody listens only when the program ends.
            let _ = tell.send(heard);
        }
        self.told = self.until;
    }
}

/// Lets a conversation wait for a place; false where too many do.
fn may_wait(waiting: &mut VecDeque<(Start, Duration)>, start: Start, now: Duration) -> bool {
    let room = waiting.len() < MOST_WAITING;
    if room {
        waiting.push_back((start, now));
    }
    room
}

fn is_panic(ended: &Result<(), JoinError>) -> bool {
    ended.as_ref().is_err_and(JoinError::is_panic)
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1)
}

/// A virtual client: one conversation after the other, until the round is over.
async fn virtual_client(
    fleet: &Fleet,
    round: &Round,
    wire: &Wire,
    desk: &Desk,
    lane: usize,
    slot: u32,
) {
    let Arriving::Closed { allowed, .. } = &round.settings.arriving else {
        return;
    };
    let mut stop = round.settings.stop.clone();
    // Who is refused at the door comes again in no time, thousands of times a second, at the expense of the others.
    let (mut unanswered, mut paused_for) = (0, 0);
    loop {
        let now = round.now();
        if *stop.borrow() != Stop::No || round.settings.window.ends().is_some_and(|end| now >= end)
        {
            return;
        }
        let pause = match fleet.held(lane) {
            // Nothing is left to wait for.
            Some(_) if round.all_begun(lane) => return,
            Some(left) => Some(left),
            // Looked at often enough for a ramp to be smooth.
            None if slot >= allowed(now) => Some(Duration::from_millis(20)),
            None => unanswered_pause(std::mem::take(&mut paused_for)),
        };
        if let Some(pause) = pause {
            let ends = round.settings.window.ends();
            let pause = ends.map_or(pause, |ends| pause.min(ends.saturating_sub(now)));
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop != Stop::No) => {}
            }
            continue;
        }
        let Some(arrival) = round.next(lane, now) else {
            return;
        };
        let start = Start {
            lane,
            arrival,
            intended: now,
            held: Duration::ZERO,
        };
        unanswered = match hold(fleet, round, wire, desk, start).await {
            true => 0,
            false => unanswered + 1,
        };
        paused_for = unanswered;
        if fleet.ceiling.reached() {
            return;
        }
    }
}

/// How long a virtual client waits after so many conversations in a row that nobody answered: 10 ms, twice as long each
/// time, a second at most.
fn unanswered_pause(in_a_row: u32) -> Option<Duration> {
    let doubled = Duration::from_millis(5) * (1 << in_a_row.min(8));
    (in_a_row > 0).then(|| doubled.min(Duration::from_secs(1)))
}

/// Waits until a time; for ever where there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Processor time of this thread so far.
#[cfg(target_os = "linux")]
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
fn thread_cpu() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use crate::load::measure::Measure;
    use crate::load::worker::*;

    #[test]
    fn what_a_panic_leaves_behind_is_counted_as_cut() {
        let mut books = Books {
            tallies: vec![Tally::default(); 2],
            under_way: vec![1, 3],
            were_under_way: vec![0; 2],
            started: vec![0; 2],
            running: vec![0, 2],
            talking: vec![1, 2],
            samples: Vec::new(),
        };
        books.cut();
        books.cut();
        let counts = books.tallies.iter().map(|tally| &tally.counts);
        let counts: Vec<_> = counts
            .map(|counts| (counts.cut, counts.conversations, counts.stuck))
            .collect();
        assert_eq!(counts, [(0, 1, 1), (2, 2, 2)]);
        assert_eq!(books.under_way, [0, 0]);
    }

    #[test]
    fn how_late_it_was_is_booked_where_requests_were_on_their_way() {
        let second = Duration::from_secs(1);
        let origin = Instant::now();
        let early = origin.checked_sub(second).unwrap();
        let window = Window {
            warm_up: second,
            measured: Some(second),
            cool_down: second,
            most: None,
        };
        // Before the round, in its warm-up, twice in the window, after it.
        let at = [
            early,
            origin,
            origin + second,
            origin + 3 * second / 2,
            origin + 2 * second,
        ];
        let late = Duration::from_millis(1);
        let ticks = at.map(|due| Tick {
            due,
            late,
            after: late,
        });
        let mut books = Books {
            tallies: vec![Tally::default(); 4],
            // Begun before and over now; begun since; nothing; begun since, and just told.
            were_under_way: vec![2, 0, 0, 0],
            under_way: vec![0, 0, 0, 1],
            started: vec![0, 1, 0, 1],
            running: vec![0; 4],
            talking: vec![0; 4],
            samples: Vec::new(),
        };
        books.lag(&ticks, origin, &window);
        let booked = |tally: &Tally| {
            tally
                .measured(Measure::ReadLag)
                .map(|all| (all.len(), all.max()))
        };
        let booked: Vec<_> = books.tallies.iter().map(booked).collect();
        assert_eq!(
            booked,
            [Some((2, 1000)), Some((2, 1000)), None, Some((2, 1000))]
        );
    }

    #[test]
    fn who_finds_too_many_waiting_is_cut() {
        let second = Duration::from_secs(1);
        let start = Start {
            lane: 0,
            arrival: 0,
            intended: second,
            held: Duration::ZERO,
        };
        let mut waiting = VecDeque::new();
        let waits = (0..MOST_WAITING + 2).filter(|_| may_wait(&mut waiting, start, second));
        assert_eq!(waits.count(), MOST_WAITING);
        assert_eq!(waiting.len(), MOST_WAITING);
        let mut books = Books {
            tallies: vec![Tally::default()],
            under_way: vec![0],
            were_under_way: vec![0],
            started: vec![0],
            running: vec![0],
            talking: vec![0],
            samples: Vec::new(),
        };
        let window = Window {
            warm_up: second,
            measured: None,
            cool_down: Duration::ZERO,
            most: None,
        };
        books.turn_away(&start, &window);
        let early = Start {
            intended: Duration::ZERO,
            ..start
        };
        books.turn_away(&early, &window);
        assert_eq!(books.tallies[0].counts.cut, 1);
    }

    #[test]
    fn what_few_requests_came_to_is_told_late_and_whole() {
        let second = Duration::from_secs(1);
        let (tell, heard) = std::sync::mpsc::channel();
        let mut told = Told::default();
        let mut all = Vec::new();
        for (at, requests, at_once) in [
            (1, 1, false),
            (2, LITTLE, false),
            (3, 0, false),
            (4, 1, false),
            (5, 1, false),
            (6, LITTLE + 1, false),
            (7, 1, false),
            (8, 0, true),
            (9, 1, false),
        ] {
            // Each a little earlier than the one before.
            told.until = second * at + Duration::from_millis(10 - u64::from(at));
            told.kept.push(Heard::Samples(Vec::new()));
            if told.is_due(requests, at_once) {
                told.all(&tell);
            }
            all.push(heard.try_iter().count());
        }
        assert_eq!(all, [0, 0, 0, 0, 5, 1, 0, 2, 0]);
        told.all(&tell);
        assert_eq!(heard.try_iter().count(), 1);
    }

    #[tokio::test]
    async fn a_panic_is_told_from_an_end_and_from_a_cut() {
        let mut tasks: JoinSet<()> = JoinSet::new();
        tasks.spawn(async {});
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("of this test") });
        let mut panicked = 0;
        for _ in 0..2 {
            panicked += u64::from(is_panic(&tasks.join_next().await.unwrap()));
        }
        tasks.abort_all();
        panicked += u64::from(is_panic(&tasks.join_next().await.unwrap()));
        assert_eq!(panicked, 1);
    }
}
