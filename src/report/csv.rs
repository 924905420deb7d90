//! `series.csv` and `requests.csv`: a row per second and lane, a row per request.
//!
//! Pure. Text cells are what others said: they are made harmless for terminals and for spreadsheets, which
//! take a cell that begins with `=`, `+`, `-` or `@` for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
//! Absent is an empty cell, never a zero.

use std::fmt::Write;
use std::time::Duration;

use crate::load::measure::Measure;
use crate::load::sample::{Phase, Sample};
use crate::report::escape;
use crate::report::load_fold::{LaneSecond, Second};

/// How a lane is called in rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneName {
    pub target: String,
    pub region: Option<String>,
}

/// A cell of text: one line, harmless, quoted where it must be.
pub fn text(value: &str) -> String {
    let mut shown = escape::line(value);
    // A space before it does not keep a spreadsheet from seeing a formula.
    if shown.trim_start().starts_with(['=', '+', '-', '@']) {
        shown.insert(0, '\'');
    }
    match shown.contains([',', '"', '\n', '\r']) || shown != shown.trim() {
        true => format!("\"{}\"", shown.replace('"', "\"\"")),
        false => shown,
    }
}

/// The first line of `series.csv`.
pub const SERIES: &str = "round,second,time,length_s,target,region,started,finished,errors,output_tokens,\
     input_tokens,in_flight,throttled,held_back,measured,ttft_n,ttft_p50_ms,ttft_p95_ms,ttft_max_ms,\
     itl_p50_ms,itl_p95_ms,e2e_p50_ms,e2e_p95_ms\n";

/// The rows of a second: one per lane. `time` is its beginning by the wall clock.
pub fn series(
    round: u32,
    second: &Second,
    time: &str,
    lanes: &[LaneName],
    redact: &dyn Fn(&str) -> String,
) -> String {
    let mut out = String::new();
    for (lane, part) in lanes.iter().zip(&second.lanes) {
        let counts = &part.tally.counts;
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{round},{},{time},{:.3},{},{},{},{},{},{},{},{},{},{},{}",
            second.second,
            second.length.as_secs_f64(),
            text(&redact(&lane.target)),
            text(&redact(lane.region.as_deref().unwrap_or_default())),
            part.started,
            counts.live_requests,
            counts.live_errors,
            counts.live_tokens,
            counts.live_input_tokens,
            part.under_way,
            counts.throttled,
            counts.held_back,
            counts.requests,
        );
        out.push_str(&quantiles(part));
        out.push('\n');
    }
    out
}

fn quantiles(part: &LaneSecond) -> String {
    fn of<const N: usize>(part: &LaneSecond, measure: Measure, shares: [f64; N]) -> String {
        let recorded = part.tally.recorded(measure);
        let found = recorded.and_then(|recorded| recorded.quantiles(shares));
        let micros = found.map_or([None; N], |found| found.map(Some));
        micros
            .map(|micros| format!(",{}", ms(micros.map(Duration::from_micros))))
            .concat()
    }
    let ttft = part.tally.recorded(Measure::Ttft);
    let count = ttft.map_or(0, |recorded| recorded.len());
    [
        format!(",{count}"),
        of(part, Measure::Ttft, [0.5, 0.95, 1.0]),
        of(part, Measure::Itl, [0.5, 0.95]),
        of(part, Measure::E2e, [0.5, 0.95]),
    ]
    .concat()
}

/// Milliseconds to a microsecond; empty where there is none.
fn ms(time: Option<Duration>) -> String {
    time.map_or(String::new(), |time| {
        format!("{:.3}", time.as_secs_f64() * 1000.0)
    })
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// The first line of `requests.csv`.
pub const REQUESTS: &str = "round,target,region,arrival,turn,scenario,phase,intended_ms,begun_ms,new_connection,\
     dns_ms,tcp_ms,tls_ms,queued_ms,sent_ms,headers_ms,first_output_ms,first_reasoning_ms,first_text_ms,\
     first_call_output_ms,first_call_ms,last_output_ms,ended_ms,ttft_ms,tpot_ms,output_events,output_reads,\
     first_read_events,input_tokens,output_tokens,cached_tokens,reasoning_tokens,bytes_out,bytes_in,reads,\
     stampless_reads,redialled,status,failure,retry_after_ms,\
     first_output_read_ms,request_id\n";

/// A request's row.
pub fn request(
    round: u32,
    sample: &Sample,
    lanes: &[LaneName],
    scenarios: &[String],
    redact: &dyn Fn(&str) -> String,
) -> String {
    let lane = lanes.get(sample.lane);
    let connecting = sample.connecting;
    let cells = [
        round.to_string(),
        text(&redact(lane.map_or("", |lane| &lane.target))),
        text(&redact(
            lane.and_then(|lane| lane.region.as_deref())
                .unwrap_or_default(),
        )),
        sample.arrival.to_string(),
        sample.turn.to_string(),
        text(&redact(
            scenarios.get(sample.scenario).map_or("", String::as_str),
        )),
        match sample.phase {
            Phase::WarmUp => "warm_up",
            Phase::Measured => "measured",
            Phase::CoolDown => "cool_down",
        }
        .to_owned(),
        ms(Some(sample.intended)),
        ms(Some(sample.begun)),
        connecting.is_some().to_string(),
        ms(connecting.and_then(|connecting| connecting.dns)),
        ms(connecting.map(|connecting| connecting.tcp)),
        ms(connecting.and_then(|connecting| connecting.tls)),
        ms(Some(sample.queued)),
        ms(sample.sent),
        ms(sample.headers),
        ms(sample.first_output),
        ms(sample.first_reasoning),
        ms(sample.first_text),
        ms(sample.first_call_output),
        ms(sample.first_call),
        ms(sample.last_output),
        ms(Some(sample.ended)),
        ms(sample.ttft()),
        ms(sample.tpot()),
        sample.output_events.to_string(),
        sample.output_reads.to_string(),
        sample.first_read_events.to_string(),
        number(sample.input_tokens),
        number(sample.output_tokens),
        number(sample.cached_tokens),
        number(sample.reasoning_tokens),
        sample.bytes_out.to_string(),
        sample.bytes_in.to_string(),
        sample.reads.to_string(),
        sample.stampless_reads.to_string(),
        sample.redialled.to_string(),
        number(sample.status),
        text(&redact(sample.failure.as_deref().unwrap_or_default())),
        ms(sample.retry_after),
        ms(sample.first_output_read),
        text(&redact(sample.request_id.as_deref().unwrap_or_default())),
    ];
    let mut row = cells.join(",");
    row.push('\n');
    row
}

#[cfg(test)]
mod tests {
    use crate::load::sample::Connecting;
    use crate::load::tally::Tally;
    use crate::report::csv::*;

    fn as_is(text: &str) -> String {
        text.replace("s3cret", "(redacted)")
    }

    #[test]
    fn no_cell_is_a_formula_or_a_second_line() {
        for (value, expected) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2", "'-2"),
            (" +cmd|' /C calc'!A0", "' +cmd|' /C calc'!A0"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("\t=x\r\n1", "\\t=x\\r\\n1"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    fn lanes() -> Vec<LaneName> {
        vec![LaneName {
            target: "=s3cret".to_owned(),
            region: None,
        }]
    }

    #[test]
    fn a_second_has_a_cell_for_each_column() {
        let mut tally = Tally::default();
        tally.counts.live_requests = 4;
        tally.counts.live_errors = 1;
        for millis in [10, 20, 30] {
            tally.measure(Measure::Ttft, Duration::from_millis(millis));
        }
        let second = Second {
            second: 7,
            length: Duration::from_secs(1),
            lanes: vec![LaneSecond {
                tally,
                started: 5,
                under_way: 2,
            }],
        };
        let rows = series(0, &second, "2026-11-21T08:15:07.000Z", &lanes(), &as_is);
        assert_eq!(
            rows,
            "0,7,2026-11-21T08:15:07.000Z,1.000,'=(redacted),,5,4,1,0,0,2,0,0,0,3,20.000,30.000,30.000,,,,\n"
        );
        let columns = |line: &str| line.trim_end().split(',').count();
        assert_eq!(columns(&rows), columns(SERIES));
    }

    #[test]
    fn a_request_has_a_cell_for_each_column() {
        let ms = Duration::from_millis;
        let sample = Sample {
            lane: 0,
            arrival: 3,
            turn: 1,
            scenario: 0,
            phase: Phase::Measured,
            intended: ms(100),
            held: Duration::ZERO,
            begun: ms(101),
            connecting: Some(Connecting {
                dns: None,
                tcp: ms(1),
                proxy: None,
                tls: None,
            }),
            queued: ms(0),
            sent: Some(ms(2)),
            headers: Some(ms(5)),
            first_output_read: None,
            request_id: None,
            gaps: Box::default(),
            first_output: Some(ms(12)),
            first_reasoning: None,
            first_text: Some(ms(12)),
            first_call_output: None,
            first_call: None,
            last_output: Some(ms(32)),
            ended: ms(33),
            output_events: 3,
            output_reads: 3,
            first_read_events: 1,
            input_tokens: Some(9),
            output_tokens: Some(31),
            streamed_tokens: Some(11),
            cached_tokens: None,
            reasoning_tokens: None,
            bytes_out: 100,
            bytes_in: 900,
            reads: 4,
            stampless_reads: 0,
            redialled: false,
            streams: 1,
            status: Some(200),
            failure: None,
            retry_after: None,
        };
        let row = request(0, &sample, &lanes(), &["text/hello".to_owned()], &as_is);
        let names: Vec<&str> = REQUESTS.trim_end().split(',').collect();
        let cells: Vec<&str> = row.trim_end_matches('\n').split(',').collect();
        assert_eq!(names.len(), cells.len());
        let cell = |name: &str| {
            let at = names.iter().position(|one| *one == name);
            cells[at.expect(name)]
        };
        for (name, expected) in [
            ("target", "'=(redacted)"),
            ("region", ""),
            ("arrival", "3"),
            ("turn", "1"),
            ("scenario", "text/hello"),
            ("phase", "measured"),
            ("begun_ms", "101.000"),
            ("new_connection", "true"),
            ("dns_ms", ""),
            ("tcp_ms", "1.000"),
            ("ttft_ms", "10.000"),
            ("tpot_ms", "2.000"),
            ("first_call_ms", ""),
            ("cached_tokens", ""),
            ("status", "200"),
            ("failure", ""),
            ("retry_after_ms", ""),
        ] {
            assert_eq!(cell(name), expected, "{name}");
        }
        // As the books have it: 11 tokens in 3 events.
        let mut tally = Tally::default();
        tally.record(&sample, &[5_500, 5_500], true);
        let per_token = tally.measured(Measure::ItlToken).map(|one| one.max());
        assert_eq!(per_token, Some(1500));
    }
}
