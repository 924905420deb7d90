//! What the harness itself adds: its figures beside the truth of a mock that knows when it sent what.
//!
//! Core: lines of the mock's truth and samples go in. Requests are matched by the id that the answer's head
//! carries; what cannot be matched is counted, never guessed.

use std::collections::HashMap;
use std::time::Duration;

use crate::load::sample::Sample;

/// One stream as the mock sent it. Microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// When the last byte of the request was read, by the wall clock.
    pub read: u64,
    /// When the first output event was with the kernel, by the wall clock.
    pub first_output: u64,
    /// Between output events.
    pub gaps: Vec<u64>,
}

/// The differences, reported minus true.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    /// Requests that were compared.
    pub compared: usize,
    /// Whole answers that the mock's truth does not have.
    pub unmatched: usize,
    /// Microseconds, sorted. TTFT by the kernel's times: the true one is from our sending of the request's last byte
    /// to the mock's handing of the first output event to the kernel, both by the one wall clock of this machine.
    pub ttft: Vec<i64>,
    /// The same by the times of the reads.
    pub ttft_read: Vec<i64>,
    /// From our sending of the request's last byte to the mock's reading of it: part of the TTFT, and the share of
    /// the mock and the machine in it.
    pub until_read: Vec<i64>,
    /// Gap by gap.
    pub itl: Vec<i64>,
    /// Answers whose gaps are fewer or more than the mock's, and so were not compared.
    pub other_gaps: usize,
}

/// Reads the mock's truth: CSV with the columns `request_id`, `read_us`, `first_output_us` and `gaps_us`. A line that
/// cannot be read is an error with its number.
pub fn read(text: &str) -> Result<HashMap<String, Truth>, String> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        head.iter()
            .position(|one| *one == name)
            .ok_or_else(|| format!("the truth has no column `{name}`"))
    };
    let (id, read) = (column("request_id")?, column("read_us")?);
    let (first, gaps) = (column("first_output_us")?, column("gaps_us")?);
    let mut truths = HashMap::new();
    for (number, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
        // A stream that never said anything has no first output.
        let (Ok(read), Ok(first)) = (cell(read).parse::<u64>(), cell(first).parse::<u64>()) else {
            continue;
        };
        let gaps: Result<Vec<u64>, _> = cell(gaps)
            .split(';')
            .filter(|gap| !gap.is_empty())
            .map(str::parse)
            .collect();
        let gaps = gaps.map_err(|error| format!("line {} of the truth: {error}", number + 2))?;
        let truth = Truth {
            read,
            first_output: first,
            gaps,
        };
        truths.insert(cell(id).to_owned(), truth);
    }
    Ok(truths)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Compares. `origin` is the start of the round in microseconds of the wall clock.
pub fn compare(truths: &HashMap<String, Truth>, samples: &[Sample], origin: u64) -> Calibration {
    let wall = |truth: u64| i64::try_from(truth.saturating_sub(origin)).unwrap_or(i64::MAX);
    let mut all = Calibration::default();
    for sample in samples.iter().filter(|sample| sample.failure.is_none()) {
        let truth = sample.request_id.as_ref().and_then(|id| truths.get(id));
        let (Some(truth), Some(first), Some(sent)) = (truth, sample.first_output, sample.sent)
        else {
            all.unmatched += 1;
            continue;
        };
        all.compared += 1;
        let true_first = wall(truth.first_output);
        all.ttft.push(micros(sample.begun + first) - true_first);
        if let Some(read) = sample.first_output_read {
            all.ttft_read.push(micros(sample.begun + read) - true_first);
        }
        all.until_read
            .push(wall(truth.read) - micros(sample.begun + sent));
        if sample.gaps.len() == truth.gaps.len() {
            let pairs = sample.gaps.iter().zip(&truth.gaps);
            all.itl
                .extend(pairs.map(|(own, truth)| i64::from(*own) - *truth as i64));
        } else {
            all.other_gaps += 1;
        }
    }
    for differences in [
        &mut all.ttft,
        &mut all.ttft_read,
        &mut all.until_read,
        &mut all.itl,
    ] {
        differences.sort_unstable();
    }
    all
}

/// The value of a quantile among sorted differences, in milliseconds.
pub fn quantile(sorted: &[i64], quantile: f64) -> Option<f64> {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    let value = sorted.get(rank.clamp(1, sorted.len().max(1)) - 1)?;
    Some(*value as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use crate::load::calibration::*;
    use crate::load::sample::Phase;

    fn sample(id: &str, first_ms: u64, gaps: &[u32]) -> Sample {
        let ms = |ms| Some(Duration::from_millis(ms));
        Sample {
            lane: 0,
            arrival: 0,
            turn: 0,
            scenario: 0,
            phase: Phase::Measured,
            intended: Duration::ZERO,
            held: Duration::ZERO,
            begun: Duration::ZERO,
            connecting: None,
            queued: Duration::ZERO,
            sent: ms(1),
            headers: ms(2),
            first_output: ms(first_ms),
            first_output_read: ms(first_ms + 7),
            first_reasoning: None,
            first_text: None,
            first_call_output: None,
            first_call: None,
            last_output: None,
            ended: Duration::from_millis(500),
            output_events: 0,
            output_reads: 0,
            first_read_events: 0,
            input_tokens: None,
            output_tokens: None,
            streamed_tokens: None,
            cached_tokens: None,
            reasoning_tokens: None,
            bytes_out: 0,
            bytes_in: 0,
            reads: 0,
            stampless_reads: 0,
            redialled: false,
            streams: 1,
            status: Some(200),
            failure: None,
            retry_after: None,
            request_id: Some(id.to_owned()),
            gaps: gaps.into(),
        }
    }

    #[test]
    fn differences_are_reported_minus_true() {
        let text = "request_id,read_us,first_output_us,gaps_us\n\
                    a,9001500,9201000,20000;20000\n\
                    b,9001000,9201000,20000\n\
                    c,,,\n";
        let truths = read(text).unwrap();
        let samples = [
            sample("a", 202, &[20_500, 19_000]),
            sample("b", 201, &[10_000, 10_000]),
            sample("d", 201, &[]),
        ];
        let found = compare(&truths, &samples, 9_000_000);
        assert_eq!(
            (found.compared, found.unmatched, found.other_gaps),
            (2, 1, 1)
        );
        assert_eq!(found.ttft, [0, 1000]);
        assert_eq!(found.ttft_read, [7000, 8000]);
        assert_eq!(found.until_read, [0, 500]);
        assert_eq!(found.itl, [-1000, 500]);
        assert_eq!(quantile(&found.itl, 0.99), Some(0.5));
        assert_eq!(quantile(&[], 0.5), None);
        assert!(read("a,b\n").unwrap_err().contains("request_id"));
        let broken = "request_id,read_us,first_output_us,gaps_us\na,1,2,x\n";
        assert!(read(broken).unwrap_err().contains("line 2"));
    }
}
