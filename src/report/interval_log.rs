//! `intervals.hlog`: a histogram per second, lane and measure, as HdrHistogram's own tools read it.
//!
//! Pure. The values are nanoseconds although we keep microseconds: `HistogramLogProcessor` divides what it
//! shows by 1,000,000 unless told otherwise, and HistogramLogAnalyzer and the viewers on the web do the same,
//! since the convention of the format is nanoseconds shown as milliseconds
//! (https://github.com/HdrHistogram/HdrHistogram, HistogramLogProcessor.java, `-outputValueUnitRatio`). With
//! microseconds they would all show times a thousand times too short.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use flate2::{Compress, Compression, FlushCompress, Status};
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Serializer, V2Serializer};
use hdrhistogram::{Counter, Histogram};

use crate::load::measure::Measure;
use crate::metric::recorded::Recorded;
use crate::report::csv::LaneName;
use crate::report::load_fold::Second;

/// Nanoseconds in a millisecond: the column of the longest value is in milliseconds, as Java writes it.
const MAX_IN: f64 = 1e6;

/// Nanoseconds in a day: nothing measured is longer. All intervals have the same range, since readers that add one
/// to another (Python's `HdrHistogram.add`) refuse a wider one; the encoding leaves out what is empty.
const DAY: u64 = 86_400_000_000_000;

/// The cookie of a histogram that is compressed (`V2CompressedEncodingCookieBase | 0x10`,
/// AbstractHistogram.java).
const COMPRESSED: u32 = 0x1c84_9314;

/// Writes the lines of a log. Keeps its memory from one second to the next: made anew for each histogram, the
/// buffers and the compressor's tables cost more than all else that `load` does in a second of few streams.
pub struct IntervalLog {
    serializer: Compressed,
    nanos: Histogram<u64>,
}

impl Default for IntervalLog {
    fn default() -> IntervalLog {
        IntervalLog {
            serializer: Compressed::default(),
            nanos: Histogram::new_with_bounds(1, DAY, 3)
                .expect("three digits from 1 are in its range"),
        }
    }
}

impl IntervalLog {
    /// The head of a log whose times are from `base`.
    pub fn head(&mut self, base: SystemTime, run: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder
            .add_comment(&format!("[Logged with sameturn {}, run {run}]", env!("CARGO_PKG_VERSION")))
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("[values are nanoseconds, tagged target@region:measure; the longest is in milliseconds]")
            .with_start_time(base)
            .with_base_time(base)
            .with_max_value_divisor(MAX_IN);
        // Writing to memory cannot fail.
        let _ = builder.begin_log_with(&mut out, &mut self.serializer);
        out.extend_from_slice(
            b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        );
        out
    }

    /// The lines of a second that began at `since` after the base of the log.
    pub fn lines(&mut self, second: &Second, since: Duration, lanes: &[LaneName]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(MAX_IN);
        let Ok(mut writer) = builder.begin_log_with(&mut out, &mut self.serializer) else {
            return Vec::new();
        };
        for (lane, part) in lanes.iter().zip(&second.lanes) {
            for measure in Measure::ALL {
                let Some(recorded) = part.tally.recorded(measure) else {
                    continue;
                };
                fill(&mut self.nanos, recorded);
                let name = tag(lane, measure);
                // In memory, and within the range of the histogram: neither can fail.
                let _ = writer.write_histogram(&self.nanos, since, second.length, Tag::new(&name));
            }
        }
        drop(writer);
        // The head has said it.
        let repeated = out
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        out.drain(..repeated);
        out
    }
}

/// The crate's encoding, compressed as the crate's own serializer does it, but quickly and with tables that are
/// kept: that one fills a third of a megabyte with zeros for each histogram.
struct Compressed {
    plain: V2Serializer,
    encoded: Vec<u8>,
    compress: Compress,
    packed: Vec<u8>,
}

impl Default for Compressed {
    fn default() -> Compressed {
        Compressed {
            plain: V2Serializer::new(),
            encoded: Vec::new(),
            compress: Compress::new(Compression::fast(), true),
            packed: Vec::new(),
        }
    }
}

impl Serializer for Compressed {
    type SerializeError = io::Error;

    fn serialize<T: Counter, W: Write>(
        &mut self,
        histogram: &Histogram<T>,
        writer: &mut W,
    ) -> Result<usize, io::Error> {
        self.encoded.clear();
        self.plain
            .serialize(histogram, &mut self.encoded)
            .map_err(io::Error::other)?;
        self.packed.clear();
        // What cannot be compressed grows by a few bytes for each 16 kB or more.
        self.packed
            .reserve(self.encoded.len() + self.encoded.len() / 1024 + 64);
        self.compress.reset();
        let done =
            self.compress
                .compress_vec(&self.encoded, &mut self.packed, FlushCompress::Finish)?;
        if done != Status::StreamEnd {
            return Err(io::Error::other("the compressed histogram did not fit"));
        }
        let length = u32::try_from(self.packed.len()).map_err(io::Error::other)?;
        writer.write_all(&COMPRESSED.to_be_bytes())?;
        writer.write_all(&length.to_be_bytes())?;
        writer.write_all(&self.packed)?;
        Ok(self.packed.len() + 8)
    }
}

/// `target@region:measure`, without what a tag must not hold. Two lanes stay two.
fn tag(lane: &LaneName, measure: Measure) -> String {
    let mut name = String::new();
    let parts = match &lane.region {
        Some(region) => format!("{}@{region}", lane.target),
        None => lane.target.clone(),
    };
    for c in parts.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || "-_./@".contains(c) => name.push(c),
            c => name.push_str(&format!("%{:x}%", c as u32)),
        }
    }
    format!("{name}:{}", measure.id())
}

/// The same durations in nanoseconds. Exact where few were recorded, and below 2,048 µs, where a bucket is one microsecond
/// wide; else a bucket's middle, so that the rounding of both histograms stays below a thousandth each.
fn fill(nanos: &mut Histogram<u64>, micros: &Recorded) {
    nanos.reset();
    for (low, high, count) in micros.ranges() {
        let middle = low.saturating_mul(1000).midpoint(high.saturating_mul(1000));
        nanos.saturating_record_n(middle, count);
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use crate::load::tally::Tally;
    use crate::report::interval_log::*;
    use crate::report::load_fold::LaneSecond;

    #[test]
    fn the_crate_reads_back_what_was_measured() {
        let lanes = [
            LaneName {
                target: "open ai,x".to_owned(),
                region: Some("us-east-1".to_owned()),
            },
            LaneName {
                target: "mantle".to_owned(),
                region: None,
            },
        ];
        let mut tally = Tally::default();
        for micros in [700, 1500, 250_000] {
            tally.measure(Measure::Ttft, Duration::from_micros(micros));
        }
        let mut other = Tally::default();
        other.measure(Measure::Itl, Duration::from_millis(20));
        let lane = |tally| LaneSecond {
            tally,
            started: 0,
            under_way: 0,
        };
        let second = Second {
            second: 3,
            length: Duration::from_millis(1000),
            lanes: vec![lane(tally), lane(other)],
        };
        let base = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_248_900_250);
        let mut writer = IntervalLog::default();
        let mut log = writer.head(base, "20261121T081500Z-4f2a");
        log.extend(writer.lines(&second, Duration::from_millis(3500), &lanes));
        log.extend(writer.lines(&second, Duration::from_millis(4500), &lanes));
        let text = String::from_utf8(log.clone()).expect("text");
        assert_eq!(text.matches("MaxValueDivisor").count(), 1, "{text}");
        let mut tags = Vec::new();
        let mut bases = 0;
        for entry in IntervalLogIterator::new(&log) {
            let interval = match entry.expect("an entry") {
                LogEntry::BaseTime(at) | LogEntry::StartTime(at) => {
                    bases += 1;
                    assert_eq!(at, Duration::from_millis(1_795_248_900_250));
                    continue;
                }
                LogEntry::Interval(interval) => interval,
            };
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .expect("base64");
            let histogram: Histogram<u64> = Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .expect("a histogram");
            tags.push((
                interval.tag().map(|tag| tag.as_str().to_owned()),
                interval.start_timestamp().as_millis(),
            ));
            if histogram.len() == 3 {
                assert_eq!(interval.max().round(), 250.0, "milliseconds");
                for (quantile, nanos) in [(0.1, 700_000.0), (0.5, 1_500_000.0), (1.0, 250e6)] {
                    let got = histogram.value_at_quantile(quantile) as f64;
                    assert!((got / nanos - 1.0).abs() < 0.002, "{quantile}: {got}");
                }
            }
        }
        assert_eq!(bases, 2);
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(
            tags,
            [
                (name("open%20%ai%2c%x@us-east-1:ttft"), 3500),
                (name("mantle:itl"), 3500),
                (name("open%20%ai%2c%x@us-east-1:ttft"), 4500),
                (name("mantle:itl"), 4500),
            ]
        );
    }
}
