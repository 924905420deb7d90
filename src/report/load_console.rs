//! The final table of a run of load, for people.
//!
//! Pure. Text that came from outside is escaped here.

use crate::report::escape;
use crate::report::layout::{hanging, pad, pad_left, width};
use crate::report::load_record::{LoadRecord, Spread, TargetRecord};

/// How it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub width: usize,
    /// What else is to be said, in whole lines; empty where there is nothing.
    pub more: String,
    /// Where the files are; `None` where none were written.
    pub results: Option<String>,
    pub exit_code: u8,
}

/// The table and what must be known to read it.
pub fn render(run: &LoadRecord, settings: &Settings) -> String {
    let mut out = format!(
        "sameturn load: {}{}\n{}; {:.1} s measured\n\n",
        partial(run),
        escape::line(&run.mode),
        escape::line(&run.load),
        run.measured_s
    );
    out.push_str(&table(run));
    for target in &run.targets {
        out.push_str(&remarks(target, settings.width));
    }
    for target in &run.targets {
        out.push_str(&objective(target, settings.width));
    }
    out.push('\n');
    out.push_str(&trust(run, settings.width));
    if !run.shards.is_empty() {
        out.push_str(&shards(run, settings.width));
    }
    if run.ended != "planned" {
        out.push_str(&format!("\nended early: {}\n", run.ended));
    }
    if !settings.more.is_empty() {
        out.push_str(&format!("\n{}", settings.more));
    }
    out.push_str(&format!("\nexit code {}", settings.exit_code));
    if let Some(results) = &settings.results {
        out.push_str(&format!("; results in {}", escape::line(results)));
    }
    out.push('\n');
    out
}

/// What the title says of a run that is not whole.
fn partial(run: &LoadRecord) -> String {
    if let Some(shard) = &run.shard {
        return format!("shard {shard}: ");
    }
    match &run.partial {
        None => String::new(),
        Some(partial) => format!(
            "PARTIAL, shard{} {} of {} missing: ",
            if partial.missing.len() == 1 { "" } else { "s" },
            partial
                .missing
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            partial.of
        ),
    }
}

/// How the shards of a merged run went.
fn shards(run: &LoadRecord, width: usize) -> String {
    let mut out = String::new();
    for shard in &run.shards {
        let late = shard
            .late_s
            .map_or("no start was agreed".to_owned(), |late| {
                format!("{late:.3} s after the agreed start")
            });
        let clock = shard
            .clock_offset_ms
            .map_or("clock offset not known".to_owned(), |offset| {
                format!("clock off by {offset:.1} ms")
            });
        let text = format!(
            "shard {}: {} requests, began {} ({late}; {clock}), ended {}",
            shard.shard,
            shard.requests,
            escape::line(&shard.began_at),
            escape::line(&shard.ended)
        );
        out.push_str(&hanging("  ", &text, width));
    }
    out
}

fn label(target: &TargetRecord) -> String {
    let name = escape::line(&target.target);
    if !target.sum_of_regions.is_empty() {
        return format!("{name} ({} regions)", target.sum_of_regions.len());
    }
    match &target.region {
        Some(region) => format!("{name} {}", escape::line(region)),
        None => name,
    }
}

/// A percentile in milliseconds; `-` where the run is too short for it.
fn ms(spread: Option<&Spread>, percentile: impl Fn(&Spread) -> Option<f64>) -> String {
    match spread.and_then(percentile) {
        None => "-".to_owned(),
        Some(value) if value < 1000.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn table(run: &LoadRecord) -> String {
    const HEAD: [&str; 14] = [
        "", "requests", "errors", "req/s", "tok/s", "TTFT p50", "p95", "p99", "ITL p50", "p99",
        "TPOT p50", "E2E p50", "p95", "p99",
    ];
    let mut rows: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    for target in &run.targets {
        let errors: u64 = target.errors.values().sum();
        let (ttft, itl) = (target.ttft_ms.as_ref(), target.itl_ms.as_ref());
        let (tpot, e2e) = (target.tpot_ms.as_ref(), target.e2e_ms.as_ref());
        rows.push(vec![
            label(target),
            target.requests.to_string(),
            errors.to_string(),
            format!("{:.1}", target.requests_per_s),
            target
                .output_tokens_per_s
                .map_or("-".to_owned(), |tokens| format!("{tokens:.0}")),
            ms(ttft, |one| one.p50),
            ms(ttft, |one| one.p95),
            ms(ttft, |one| one.p99),
            ms(itl, |one| one.p50),
            ms(itl, |one| one.p99),
            ms(tpot, |one| one.p50),
            ms(e2e, |one| one.p50),
            ms(e2e, |one| one.p95),
            ms(e2e, |one| one.p99),
        ]);
    }
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            rows.iter()
                .map(|row| width(&row[column]))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (column, cell) in row.iter().enumerate() {
            match column {
                0 => line.push_str(&pad(cell, widths[0])),
                _ => line.push_str(&format!("  {}", pad_left(cell, widths[column]))),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push_str("  times in ms; - where the run is too short for the percentile\n");
    for target in &run.targets {
        out.push_str(&waited(target));
    }
    if run.targets.iter().any(|target| target.search.is_some()) {
        out.push_str("  over all steps of the search, those included that were too much\n");
    }
    out
}

/// Response times beside service times where the two are not the same: what requests waited before they were
/// sent is the users' wait as well.
fn waited(target: &TargetRecord) -> String {
    let (response, e2e) = (target.measures_ms.get("response"), target.e2e_ms.as_ref());
    let (Some(response), Some(e2e)) = (response, e2e) else {
        return String::new();
    };
    // Lags of the scheduler of a millisecond are no wait.
    if response.mean - e2e.mean < (e2e.mean / 100.0).max(1.0) {
        return String::new();
    }
    format!(
        "  {}: from the moment each was to start (response time): p50 {}, p95 {}, p99 {}, most {:.0} ms; the columns are \
         from the moment it was sent\n",
        label(target),
        ms(Some(response), |one| one.p50),
        ms(Some(response), |one| one.p95),
        ms(Some(response), |one| one.p99),
        response.max,
    )
}

fn remarks(target: &TargetRecord, width: usize) -> String {
    let mut out = String::new();
    let count = |name: &str| target.counts.get(name).copied().unwrap_or(0);
    for (class, number) in &target.errors {
        let said = target
            .examples
            .get(class)
            .map(|example| {
                let status = example
                    .status
                    .map(|status| format!("{status} "))
                    .unwrap_or_default();
                format!(", e.g. {status}{}", escape::line(&example.message))
            })
            .unwrap_or_default();
        out.push_str(&hanging(
            "  ",
            &format!(
                "{}: {number} x {}{said}",
                label(target),
                escape::line(class)
            ),
            width,
        ));
    }
    if let (Some(price), Some(cost)) = (&target.price, target.cost_usd) {
        let digits = if cost < 1.0 { 4 } else { 2 };
        let text = format!(
            "{}: ${cost:.digits$} for all requests ({})",
            label(target),
            escape::line(&price.said_by)
        );
        out.push_str(&hanging("  ", &text, width));
    }
    let mut told = |count: u64, words: &str| {
        if count > 0 {
            out.push_str(&hanging(
                "  ",
                &format!("{}: {count} {words}", label(target)),
                width,
            ));
        }
    };
    told(
        count("without_usage"),
        "answers without a count of output tokens: TPOT and tokens per second leave them out",
    );
    told(
        count("first_read_several"),
        "answers whose first read held several output events: something on the way batches, or this client was late (see Harness)",
    );
    told(
        count("redialled"),
        "requests sent again, because a kept connection was closed before any answer (the server may have worked on them) or the server said that it had not worked on them",
    );
    told(
        count("held_back"),
        "arrivals not sent while the provider asked to wait",
    );
    told(
        count("stuck"),
        "conversations that did not get to their end",
    );
    told(count("cut"), "requests cut when the run ended");
    told(
        count("waited"),
        "conversations waited for a place under --max-in-flight: they were not sent when they were due",
    );
    out
}

/// How the objective was kept, or the highest rate that keeps it.
fn objective(target: &TargetRecord, width: usize) -> String {
    let name = label(target);
    if let Some(search) = &target.search {
        return format!("\n{name}: {}\n{}", search.words(), search.knee(width));
    }
    let mut out = String::new();
    for term in &target.objective {
        let value = match (term.value, term.interval) {
            (Some(value), Some([low, high])) if term.term.starts_with("errors") => format!(
                "{:.2} % ({:.2} to {:.2})",
                value * 100.0,
                low * 100.0,
                high * 100.0
            ),
            (Some(value), Some([low, high])) => {
                format!("{value:.1} ms ({low:.1} to {high:.1})")
            }
            _ => "too few requests to tell".to_owned(),
        };
        out.push_str(&hanging(
            "  ",
            &format!("{name}: {} {}: {value}", term.term, term.outcome),
            width,
        ));
    }
    out
}

fn trust(run: &LoadRecord, width: usize) -> String {
    let harness = &run.harness;
    let spread = |spread: &Option<Spread>| match spread {
        None => "-".to_owned(),
        Some(one) => format!(
            "p50 {}, p99 {}, most {:.1}",
            ms(Some(one), |one| one.p50),
            ms(Some(one), |one| one.p99),
            one.max
        ),
    };
    let mut out = format!(
        "Harness: requests started late by (ms) {}; what had arrived waited to be read (ms) {}; {:.2} s of processor time on {} workers; {}; times of arrival by the {}\n",
        spread(&harness.scheduler_lag_ms),
        spread(&harness.read_lag_ms),
        harness.cpu_s,
        harness.workers,
        harness
            .peak_rss_mb
            .map_or("memory not known".to_owned(), |mb| format!(
                "{mb:.0} MB at most"
            )),
        match run.clock.as_str() {
            "kernel" => "kernel",
            _ => "read (the kernel's were not to be had, or not wanted)",
        },
    );
    for missing in &harness.missing {
        out.push_str(&hanging("  ", &format!("missing: {missing}"), width));
    }
    for reason in &harness.client_bottleneck {
        out.push_str(&hanging(
            "  ",
            &format!("the client was the bottleneck: {reason}"),
            width,
        ));
    }
    out
}
