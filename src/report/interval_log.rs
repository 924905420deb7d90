//! `intervals.hlog`: a histogram per second, lane and measure, as HdrHistogram's own tools read it.
//!
//! Pure. The values are nanoseconds although we keep microseconds: `HistogramLogProcessor` divides what it
//! shows by 1,000,000 unless told otherwise, and HistogramLogAnalyzer and the viewers on the web do the same,
//! since the convention of the format is nanoseconds shown as milliseconds
//! (https://github.com/HdrHistogram/HdrHistogram, HistogramLogProcessor.java, `-outputValueUnitRatio`). With
//! microseconds they would all show times a thousand times too short.

use std::fmt::Write;
use std::io;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, FlushCompress, Status};
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::load::measure::Measure;
use crate::metric::recorded::Recorded;
use crate::report::csv::LaneName;
use crate::report::load_fold::Second;

/// Nanoseconds in a millisecond: the column of the longest value is in milliseconds, as Java writes it.
const MAX_IN: f64 = 1e6;

/// Nanoseconds in a day: nothing measured is longer. All intervals have the same range, since readers that add one
/// to another (Python's `HdrHistogram.add`) refuse a wider one; the encoding leaves out what is empty.
const DAY: u64 = 86_400_000_000_000;

/// The cookies of a histogram and of one that is compressed (`V2EncodingCookieBase` and
/// `V2CompressedEncodingCookieBase`, with 0x10, AbstractHistogram.java).
const ENCODED: u32 = 0x1c84_9313;
const COMPRESSED: u32 = 0x1c84_9314;

/// What is no longer than this is stored as it is. That makes the lines of a second a tenth longer or a quarter, while to
/// begin a compression fills a third of a megabyte with zeros: of a load with one stream, twenty of these a second were
/// half of all that was done in user space, and what the caches held was gone.
const STORED: usize = 1024;

/// Three significant digits take 2,048 counts to begin with, and half as many for each time that the values double.
const DIGITS: u32 = 3;
const HALF: u32 = 10;

/// Writes the lines of a log. Keeps its memory from one second to the next, and writes what was recorded and nothing of
/// what is empty: by way of a histogram of this range (300 kB) and the crate's encoder, a second of one stream took more
/// processor time than any part of the measuring.
pub struct IntervalLog {
    counts: Vec<(u64, u64)>,
    encoded: Vec<u8>,
    compress: Compress,
    packed: Vec<u8>,
}

impl Default for IntervalLog {
    fn default() -> IntervalLog {
        IntervalLog {
            counts: Vec::new(),
            encoded: Vec::new(),
            compress: Compress::new(Compression::fast(), true),
            packed: Vec::new(),
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
        let _ = builder.begin_log_with(&mut out, &mut V2Serializer::new());
        out.extend_from_slice(
            b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        );
        out
    }

    /// The lines of a second that began at `since` after the base of the log.
    pub fn lines(&mut self, second: &Second, since: Duration, lanes: &[LaneName]) -> Vec<u8> {
        let mut out = String::new();
        for (lane, part) in lanes.iter().zip(&second.lanes) {
            for measure in Measure::ALL {
                let Some(recorded) = part.tally.recorded(measure) else {
                    continue;
                };
                let (tag, longest) = (tag(lane, measure), self.count(recorded));
                // In memory: nothing of it can fail.
                if self.pack().is_ok() {
                    let _ = write!(
                        out,
                        "Tag={tag},{:.3},{:.3},{:.3},",
                        since.as_secs_f64(),
                        second.length.as_secs_f64(),
                        longest as f64 / MAX_IN,
                    );
                    STANDARD.encode_string(&self.packed, &mut out);
                    out.push('\n');
                }
            }
        }
        out.into_bytes()
    }

    /// Counts the same durations in nanoseconds; the longest. Exact where few were recorded, and below 2,048 µs, where a
    /// bucket is one microsecond wide; else a bucket's middle, so that the rounding of both histograms stays below a
    /// thousandth each.
    fn count(&mut self, micros: &Recorded) -> u64 {
        self.counts.clear();
        let mut longest = 0;
        for (low, high, count) in micros.ranges() {
            let middle = low.saturating_mul(1000).midpoint(high.saturating_mul(1000));
            let nanos = middle.min(DAY);
            longest = nanos.max(longest);
            self.counts.push((index(nanos), count));
        }
        self.counts.sort_unstable();
        longest
    }

    /// Encodes what was counted and compresses what is long: the format's second version
    /// (https://github.com/HdrHistogram/HdrHistogram, AbstractHistogram.java, `encodeIntoByteBuffer`).
    fn pack(&mut self) -> io::Result<()> {
        let encoded = &mut self.encoded;
        encoded.clear();
        encoded.extend_from_slice(&ENCODED.to_be_bytes());
        // How long the counts are: not known yet. And the offset of the first, which is none.
        encoded.extend_from_slice(&[0; 8]);
        encoded.extend_from_slice(&DIGITS.to_be_bytes());
        encoded.extend_from_slice(&1u64.to_be_bytes());
        encoded.extend_from_slice(&DAY.to_be_bytes());
        // What to multiply values with.
        encoded.extend_from_slice(&1f64.to_be_bytes());
        let head = encoded.len();
        let mut next = 0;
        for same in self.counts.chunk_by(|one, other| one.0 == other.0) {
            let at = same[0].0;
            match at - next {
                0 => {}
                // One that is empty is written as it is, several by how many they are.
                1 => number(0, encoded),
                empty => number(-(empty as i64), encoded),
            }
            let count: u64 = same.iter().map(|(_, count)| count).sum();
            number(i64::try_from(count).map_err(io::Error::other)?, encoded);
            next = at + 1;
        }
        let length = u32::try_from(encoded.len() - head).map_err(io::Error::other)?;
        encoded[4..8].copy_from_slice(&length.to_be_bytes());
        let packed = &mut self.packed;
        packed.clear();
        packed.extend_from_slice(&COMPRESSED.to_be_bytes());
        packed.extend_from_slice(&[0; 4]);
        if encoded.len() <= STORED {
            store(encoded, packed);
        } else {
            // What cannot be compressed grows by a few bytes for each 16 kB or more.
            packed.reserve(encoded.len() + encoded.len() / 1024 + 64);
            self.compress.reset();
            let done = self
                .compress
                .compress_vec(encoded, packed, FlushCompress::Finish)?;
            if done != Status::StreamEnd {
                return Err(io::Error::other("the compressed histogram did not fit"));
            }
        }
        let length = u32::try_from(packed.len() - 8).map_err(io::Error::other)?;
        packed[4..8].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// A zlib stream of one block that is not compressed (RFC 1950, section 2.2; RFC 1951, section 3.2.4). At most [`STORED`]
/// bytes.
fn store(bytes: &[u8], out: &mut Vec<u8>) {
    let length = bytes.len() as u16;
    // Deflate with a window of 32 kB, fastest; and the last block, stored.
    out.extend_from_slice(&[0x78, 0x01, 0x01]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(&adler2::adler32_slice(bytes).to_be_bytes());
}

/// Where a histogram of three digits from 1 keeps a value (AbstractHistogram.java, `countsArrayIndex`).
fn index(value: u64) -> u64 {
    let doubled = u64::BITS - (value >> (HALF + 1)).leading_zeros();
    (u64::from(doubled) << HALF) + (value >> doubled)
}

/// A signed number, small ones in few bytes (ZigZagEncoding.java).
fn number(number: i64, out: &mut Vec<u8>) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    for _ in 0..8 {
        if left < 0x80 {
            break;
        }
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
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

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use hdrhistogram::serialization::{Deserializer, Serializer};

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
            let bytes = STANDARD
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

    #[test]
    fn the_encoding_is_the_crates_own() {
        let day = u64::try_from(Duration::from_secs(86_400).as_micros()).unwrap();
        let one_by_one = [0, 1, 2, 2, 3, 2047, 2048, 2049, 100_000, 100_001, day, day];
        let many = (0..5000).map(|n: u64| n * n * 1999 % day);
        let mut log = IntervalLog::default();
        let (mut stored, mut compressed) = (0, 0);
        for (values, times) in [
            (one_by_one.to_vec(), 1),
            (one_by_one.to_vec(), 100),
            (many.collect(), 1),
            (vec![7, 9], 1 << 55),
            (vec![0], 1),
        ] {
            let mut recorded = Recorded::default();
            for value in values {
                recorded.record(value, times);
            }
            let mut nanos = Histogram::<u64>::new_with_bounds(1, DAY, 3).unwrap();
            for (low, high, count) in recorded.ranges() {
                let middle = (low * 1000).midpoint(high * 1000);
                nanos.record_n(middle.min(DAY), count).unwrap();
            }
            let mut expected = Vec::new();
            V2Serializer::new()
                .serialize(&nanos, &mut expected)
                .unwrap();
            let longest = log.count(&recorded);
            log.pack().unwrap();
            assert_eq!(log.encoded, expected, "{times}");
            assert!(nanos.equivalent(longest, nanos.max()));
            let unpacked: Histogram<u64> = Deserializer::new()
                .deserialize(&mut log.packed.as_slice())
                .unwrap();
            assert_eq!(unpacked, nanos);
            match log.packed.len() < log.encoded.len() {
                true => compressed += 1,
                false => stored += 1,
            }
        }
        assert_eq!((stored, compressed), (4, 1));
    }
}
