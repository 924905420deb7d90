//! What runs now, on stderr while it is a terminal: a line per target and region.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::fleet::Lane;
use crate::load::measure::Measure;
use crate::load::tally::Tally;
use crate::report::escape::line;

/// Lanes that get a line of their own; a terminal has few lines.
const LINES: usize = 20;

/// A wait that a provider asked for and that is longer than this is told, also where stderr is no terminal.
const LONG_WAIT: Duration = Duration::from_secs(5);

/// The progress of a run; where stderr is no terminal only long waits are told.
pub struct LoadProgress {
    shown: Option<Shown>,
    /// By lane: its name, and until when it waits, as was told last.
    waits: Vec<(String, Instant)>,
}

struct Shown {
    bars: MultiProgress,
    head: ProgressBar,
    lanes: Vec<ProgressBar>,
    begun: Instant,
    latest: Vec<(Instant, u64)>,
    /// Whether what it costs is known.
    priced: Vec<bool>,
}

impl LoadProgress {
    /// `length` is how long it will take, where that is known.
    pub fn new(lanes: &[Lane], length: Option<Duration>) -> LoadProgress {
        let waits = lanes
            .iter()
            .map(|lane| (line(&lane.label()), Instant::now()))
            .collect();
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !io::stderr().is_terminal() || dumb {
            return LoadProgress { shown: None, waits };
        }
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let style =
            |template| ProgressStyle::with_template(template).expect("the template is well formed");
        let head = match length {
            Some(length) => {
                let bar = bars.add(ProgressBar::new(length.as_secs().max(1)));
                bar.set_style(style("{bar:30} {elapsed} of {len} s  {wide_msg}"));
                bar
            }
            None => {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(style("{spinner} {elapsed}  {wide_msg}"));
                bar
            }
        };
        head.enable_steady_tick(Duration::from_millis(250));
        let bars_of_lanes = lanes
            .iter()
            .take(LINES)
            .map(|lane| {
                let one = bars.add(ProgressBar::new_spinner());
                one.set_style(style("  {prefix:24!} {wide_msg}"));
                one.set_prefix(line(&lane.label()));
                one
            })
            .collect();
        let now = Instant::now();
        LoadProgress {
            waits,
            shown: Some(Shown {
                bars,
                head,
                lanes: bars_of_lanes,
                begun: now,
                latest: vec![(now, 0); lanes.len()],
                priced: lanes.iter().map(|lane| lane.price.is_some()).collect(),
            }),
        }
    }

    /// What stands over the lanes.
    pub fn say(&self, words: &str) {
        if let Some(shown) = &self.shown {
            shown.head.set_message(line(words));
        }
    }

    /// The state of a lane so far.
    pub fn lane(&mut self, index: usize, tally: &Tally, under_way: u64) {
        let Some(shown) = &mut self.shown else {
            return;
        };
        shown.head.set_position(shown.begun.elapsed().as_secs());
        let (Some(bar), Some(latest)) = (shown.lanes.get(index), shown.latest.get_mut(index))
        else {
            return;
        };
        let now = Instant::now();
        let seconds = now.duration_since(latest.0).as_secs_f64();
        if seconds >= 0.5 {
            let ended = tally.counts.live_requests;
            let rate = ended.saturating_sub(latest.1) as f64 / seconds;
            *latest = (now, ended);
            let priced = shown.priced.get(index).is_some_and(|priced| *priced);
            let cost = priced.then(|| tally.counts.micro_dollars as f64 / 1e6);
            bar.set_message(words(tally, under_way, rate, cost));
        }
    }

    /// Whether there is a terminal to show it.
    pub fn is_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// A lane sends nothing for so long, because its provider asked for it. Told once for each wait that is long.
    pub fn waits(&mut self, index: usize, wait: Duration) {
        let Some((name, told)) = self.waits.get_mut(index) else {
            return;
        };
        let until = Instant::now() + wait.min(Duration::from_secs(86_400));
        if wait < LONG_WAIT || until < *told + LONG_WAIT {
            return;
        }
        *told = until;
        let words = format!(
            "  {name}: nothing is sent for {:.0} s, because the provider refuses requests as too many (--no-back-off goes on)",
            wait.as_secs_f64()
        );
        // Where it cannot be told there is nobody to tell.
        let _ = match &self.shown {
            Some(shown) => shown.bars.println(words),
            None => writeln!(io::stderr(), "{words}"),
        };
    }

    /// Takes it off the terminal.
    pub fn clear(&mut self) {
        if let Some(shown) = self.shown.take() {
            // Nothing can be done about a terminal that cannot be cleared.
            let _ = shown.bars.clear();
        }
    }
}

impl Drop for LoadProgress {
    /// A run that ends by an error leaves no half-drawn line behind.
    fn drop(&mut self) {
        self.clear();
    }
}

/// `12.0/s  8 in flight  TTFT p50 210 p95 480 ms  0 errors  $0.12`
fn words(tally: &Tally, under_way: u64, rate: f64, cost: Option<f64>) -> String {
    let ttft = tally.recorded(Measure::Ttft);
    let ttft = ttft.and_then(|ttft| ttft.quantiles([0.5, 0.95]));
    let ttft = ttft.map(|micros| {
        let [half, most] = micros.map(|micros| micros as f64 / 1000.0);
        format!("  TTFT p50 {half:.0} p95 {most:.0} ms")
    });
    let cost = cost.map(|cost| format!("  ${cost:.2}"));
    format!(
        "{rate:.1}/s  {under_way} in flight{}  {} errors{}",
        ttft.unwrap_or_default(),
        tally.counts.live_errors,
        cost.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use crate::cli::load::progress::*;

    #[test]
    fn a_line_says_what_happens_now() {
        let mut tally = Tally::default();
        assert_eq!(words(&tally, 3, 0.0, None), "0.0/s  3 in flight  0 errors");
        tally.measure(Measure::Ttft, Duration::from_millis(200));
        tally.counts.live_errors = 2;
        assert_eq!(
            words(&tally, 3, 1.5, Some(0.125)),
            "1.5/s  3 in flight  TTFT p50 200 p95 200 ms  2 errors  $0.12"
        );
    }
}
