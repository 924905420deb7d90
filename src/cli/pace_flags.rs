//! The pace of the mocks as typed on the command line: `200ms`, `lognormal(200ms,400ms)`, `1s@5s`.
//!
//! Texts in, values out. It must never accept what it would have to guess about.

use std::time::Duration;

use crate::mock::data::Spread;
use crate::mock::pace::Stall;
use crate::scenario::model::parse_duration;

fn exact(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A duration, exact or drawn.
pub fn spread(text: &str) -> Result<Spread, String> {
    let text = text.trim();
    let Some(inside) = text.strip_prefix("lognormal(") else {
        let time = parse_duration(text).map_err(|error| {
            format!("{error}, or `lognormal(200ms,400ms)` for a median and a 95th percentile")
        })?;
        let ms = exact(time);
        return Ok(Spread {
            median: ms,
            p95: ms,
        });
    };
    let pair = inside
        .strip_suffix(')')
        .and_then(|pair| pair.split_once(','));
    let (median, p95) = pair.ok_or_else(|| {
        format!("`{text}` is not a distribution: write `lognormal(200ms,400ms)`, the median and the 95th percentile")
    })?;
    let (median, p95) = (parse_duration(median)?, parse_duration(p95)?);
    if p95 < median {
        return Err(format!(
            "in `{text}` the 95th percentile is below the median: write the median first"
        ));
    }
    Ok(Spread {
        median: exact(median),
        p95: exact(p95),
    })
}

/// `us-east-1=300ms`.
pub fn region_ttft(text: &str) -> Result<(String, Spread), String> {
    match text.split_once('=') {
        Some((region, time)) if !region.trim().is_empty() => {
            Ok((region.trim().to_owned(), spread(time)?))
        }
        _ => Err(format!("`{text}` names no region: write `us-east-1=300ms`")),
    }
}

/// `1s@5s`: for a second, five seconds after the start.
pub fn stall(text: &str) -> Result<Stall, String> {
    let (length, from) = text.split_once('@').ok_or_else(|| {
        format!(
            "`{text}` does not say when: write `1s@5s` for one second, five seconds after the start"
        )
    })?;
    Ok(Stall {
        length: parse_duration(length)?,
        from: parse_duration(from)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::pace_flags::*;

    #[test]
    fn durations_and_distributions() {
        let is = |median, p95| Ok(Spread { median, p95 });
        assert_eq!(spread("200ms"), is(200.0, 200.0));
        assert_eq!(spread("lognormal(200ms, 1s)"), is(200.0, 1000.0));
        assert_eq!(spread("lognormal(20ms,20ms)"), is(20.0, 20.0));
        assert_eq!(
            region_ttft("us-east-1=300ms").map(|(region, _)| region),
            Ok("us-east-1".to_owned())
        );
        let expected = Stall {
            from: Duration::from_secs(5),
            length: Duration::from_secs(1),
        };
        assert_eq!(stall("1s@5s"), Ok(expected));
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write() {
        for (said, expected) in [
            (spread("20").err(), "lognormal(200ms,400ms)"),
            (spread("normal(1ms,2ms)").err(), "lognormal(200ms,400ms)"),
            (
                spread("lognormal(20ms)").err(),
                "the median and the 95th percentile",
            ),
            (spread("lognormal(20ms,2ms").err(), "is not a distribution"),
            (
                spread("lognormal(20ms,10ms)").err(),
                "write the median first",
            ),
            (spread("lognormal(20,30)").err(), "write `500ms`"),
            (spread("0ms").err(), "more than nothing"),
            (region_ttft("300ms").err(), "us-east-1=300ms"),
            (region_ttft("=300ms").err(), "names no region"),
            (region_ttft("us-east-1=soon").err(), "is not a duration"),
            (stall("1s").err(), "1s@5s"),
            (stall("1s@later").err(), "is not a duration"),
        ] {
            let said = said.unwrap_or_default();
            assert!(said.contains(expected), "{said:?} lacks {expected:?}");
        }
    }
}
