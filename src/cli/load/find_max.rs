//! `--find-max`: rounds at the rates that a search per lane asks for, all lanes in the same round.

use std::time::Duration;

use crate::cli::load::out::Collected;
use crate::cli::load::progress::LoadProgress;
use crate::cli::load::schedule::start;
use crate::cli::load::settings::{Load, LoadSettings};
use crate::cli::load::{RoundPlan, Running, State};
use crate::cli::ui::Ui;
use crate::load::arrival::{Arrivals, Merged};
use crate::load::find::{Search, Step};
use crate::load::fleet::Lane;
use crate::load::judge;
use crate::load::profile::Profile;
use crate::load::round::Arriving;
use crate::load::slo;
use crate::load::step::{self, Shown, Tried};
use crate::load::window::Window;
use crate::report::escape;

/// A step at a low rate takes longer, to have enough requests: as many times its length at most, or this long.
const LONGEST: u32 = 10;
const LONG: Duration = Duration::from_secs(300);
/// The highest rate that a search begins with where nobody says one: it must not be a shock.
const FIRST: f64 = 10.0;
/// Requests more than the least that decides, so that a few slow ones do not leave it undecided.
const MARGIN: f64 = 1.5;

/// Searches each lane's highest rate.
pub async fn run(
    running: &Running,
    settings: &LoadSettings,
    seed: u64,
    mut state: State,
    ui: &mut Ui,
) -> anyhow::Result<State> {
    let (
        Load::FindMax {
            start: first,
            search: search_settings,
            spacing,
            step: step_length,
        },
        Some(objective),
    ) = (&settings.load, &settings.objective)
    else {
        anyhow::bail!("--find-max needs --slo");
    };
    let lanes = running.fleet.lanes.len();
    let needed = judge::needed(objective) as f64 * MARGIN;
    // A rate at which a step has enough requests, unless one was named.
    let enough = (needed / step_length.as_secs_f64()).ceil();
    let first = first.unwrap_or_else(|| enough.min(FIRST).min(search_settings.ceiling));
    let mut searches: Vec<Search> = (0..lanes)
        .map(|_| Search::new(first, *search_settings))
        .collect();
    let labels: Vec<String> = running.fleet.lanes.iter().map(Lane::label).collect();
    let mut cut = false;
    for number in 0.. {
        let rates: Vec<Option<f64>> = searches
            .iter()
            .map(|search| match search.next() {
                Step::Try { rate, .. } => Some(rate),
                Step::Done(_) => None,
            })
            .collect();
        let Some(slowest) = rates.iter().flatten().copied().reduce(f64::min) else {
            break;
        };
        let wanted = rates.iter().enumerate().filter(|(_, rate)| rate.is_some());
        let gates = wanted.map(|(lane, _)| running.fleet.held(lane));
        if let Some(wait) = step::rest(gates, cut, *step_length) {
            ui.tell(&format!(
                "  nothing is sent for {:.1} s: {}\n",
                wait.as_secs_f64(),
                match cut {
                    true => "what was cut may still be answered, or a provider refuses requests as too many",
                    false => "a provider refuses requests as too many",
                }
            ));
            running.rest(wait).await;
        }
        if running.is_stopped() {
            break;
        }
        let long_enough = Duration::from_secs_f64((needed / slowest).min(86_400.0));
        let measured = long_enough.clamp(*step_length, (*step_length * LONGEST).max(LONG));
        let window = Window {
            measured: Some(measured),
            ..settings.window
        };
        let length = window.ends().unwrap_or(measured);
        let arrivals = rates.iter().enumerate().map(|(lane, rate)| {
            let profile = Profile::constant(rate.unwrap_or(0.0), Some(length));
            Arrivals::new(
                &profile,
                *spacing,
                seed.wrapping_add(number.into()),
                lane,
                lanes,
            )
        });
        let merged = Merged::of(arrivals.collect());
        let progress = LoadProgress::new(&running.fleet.lanes, window.ends());
        progress.say(&format!("step {}", number + 1));
        let plan = RoundPlan {
            number,
            window,
            drain: *step_length,
            arriving: Arriving::Open,
            schedule: Some(Box::new(merged.map(|one| start(&one)))),
        };
        let (after, one) = running.round(plan, progress, state).await?;
        state = after;
        let loaded = one.measured.iter().zip(&rates);
        let of_lanes: Vec<Duration> = loaded
            .map(|(time, rate)| rate.map_or(Duration::ZERO, |_| *time))
            .collect();
        state.result.measured_more(&of_lanes);
        if running.is_stopped() {
            // A step that was cut short tells nothing.
            break;
        }
        cut = one.collected.tallies.iter().any(|one| one.counts.cut > 0);
        let Collected { tallies, busy } = &one.collected;
        for (lane, (search, rate)) in searches.iter_mut().zip(&rates).enumerate() {
            let Some(rate) = *rate else { continue };
            let client_bound = step::client_bound(tallies, lane, busy);
            let tried = Tried {
                objective,
                rate,
                measured,
                precision: search_settings.precision,
                client_bound,
            };
            let Shown { outcome, why } = step::shown(&tried, &tallies[lane]);
            let held = outcome.held;
            let word = match held {
                slo::Outcome::Held => "kept",
                slo::Outcome::Broken => "broken",
                slo::Outcome::Undecided => "undecided",
            };
            let why = match why.is_empty() {
                true => String::new(),
                false => format!(" {}", why.join(", ")),
            };
            let hint = match held {
                slo::Outcome::Undecided => {
                    " (too close, or too few requests to tell: a longer --step has more)"
                }
                _ => "",
            };
            ui.tell(&format!(
                "  step {:>2}  {:24}  {rate:>9.2}/s offered, {:>9.2}/s good: {word}{why}{hint}{}\n",
                number + 1,
                escape::line(&labels[lane]),
                outcome.goodput,
                if outcome.client_bound {
                    " (this machine was the bottleneck)"
                } else {
                    ""
                }
            ));
            search.told(outcome);
        }
    }
    state.result.searches = searches.iter().map(Search::so_far).collect();
    Ok(state)
}
