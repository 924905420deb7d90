//! Recorded arrivals: when requests came somewhere else, and how big they were, to be sent again.
//!
//! CSV with a header, or JSON lines. Known by their columns: the Azure LLM inference traces
//! (`TIMESTAMP,ContextTokens,GeneratedTokens` with date-times of seven decimals; schema in
//! github.com/Azure/AzurePublicDataset, AzureLLMInferenceDataset2023.md) and the Mooncake traces
//! (`{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}` with
//! milliseconds; github.com/kvcache-ai/Mooncake, FAST25-release/traces). Must never open a file, and
//! never leave out a line in silence.

use std::time::Duration;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::diagnostic::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Place, cut_to};
use crate::document::nearest::list;

/// One recorded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// From the first one.
    pub at: Duration,
    pub prompt_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
}

/// Names of columns, in lower case.
const TIME: [&str; 4] = ["at", "timestamp", "arrival", "arrived_at"];
const PROMPT: [&str; 4] = [
    "prompt_tokens",
    "contexttokens",
    "input_length",
    "input_tokens",
];
const OUTPUT: [&str; 3] = ["output_tokens", "generatedtokens", "output_length"];

/// What a time of a file is written in; one file has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Seconds,
    /// `timestamp` beside `input_length` or `hash_ids`: the Mooncake form.
    Milliseconds,
    DateTime,
}

impl Form {
    fn words(self) -> &'static str {
        match self {
            Form::Seconds => "seconds",
            Form::Milliseconds => "milliseconds",
            Form::DateTime => "a date-time",
        }
    }
}

/// A message and what would be right.
type Wrong = (String, String);

/// Reads recorded arrivals, `speed` times as fast as they came. Errors have the line that is wrong; at
/// most [`MAX_DIAGNOSTICS`] of them.
pub fn read(file: &str, text: &str, speed: f64) -> Result<Vec<Recorded>, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let complain = |line: usize, (message, help): Wrong| {
        let shown = text.lines().nth(line - 1).unwrap_or_default();
        let place = Place {
            line,
            column: 1,
            len: shown.chars().count().clamp(1, 100),
        };
        Diagnostic::error(file, text, place, message).help(help)
    };
    if !(speed.is_finite() && speed > 0.0) {
        let wrong = (
            format!("the speed {speed} is not possible"),
            "write a number above 0, such as `2` for twice as fast".to_owned(),
        );
        return Err(complain(1, wrong).into());
    }
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
        .peekable();
    let Some(&(first, line)) = lines.peek() else {
        let wrong = ("there are no arrivals here".to_owned(), example());
        return Err(complain(1, wrong).into());
    };
    let columns = if line.trim_start().starts_with('{') {
        None
    } else {
        lines.next();
        Some(Columns::of(line).map_err(|wrong| complain(first, wrong))?)
    };

    let mut rows: Vec<(i128, Option<u32>, Option<u32>)> = Vec::new();
    let mut form: Option<(Form, usize)> = None;
    let mut wrong = Vec::new();
    for (number, line) in lines {
        let row = match &columns {
            Some(columns) => columns.row(line),
            None => json_row(line),
        };
        let row = row.and_then(|row| match form {
            Some((other, since)) if other != row.form => Err((
                format!(
                    "the time is {}, and since line {since} it was {}",
                    row.form.words(),
                    other.words()
                ),
                "write all times of a file in one way".to_owned(),
            )),
            _ => Ok(row),
        });
        match row {
            Ok(row) => {
                form = form.or(Some((row.form, number)));
                rows.push((row.nanos, row.prompt_tokens, row.output_tokens));
            }
            Err(error) => wrong.push(complain(number, error)),
        }
        if wrong.len() == MAX_DIAGNOSTICS {
            break;
        }
    }
    if !wrong.is_empty() {
        return Err(Diagnostics(wrong));
    }
    // Stable: what came at once stays in the order of the file.
    rows.sort_by_key(|(nanos, _, _)| *nanos);
    let Some(start) = rows.first().map(|(nanos, _, _)| *nanos) else {
        let wrong = ("there is a header and no arrivals".to_owned(), example());
        return Err(complain(first, wrong).into());
    };
    Ok(rows
        .into_iter()
        .map(|(nanos, prompt_tokens, output_tokens)| Recorded {
            at: faster(nanos - start, speed),
            prompt_tokens,
            output_tokens,
        })
        .collect())
}

fn example() -> String {
    "begin with a header such as `at,prompt_tokens,output_tokens`, then lines such as `0.25,512,128`; \
     or write lines such as {\"at\": 0.25, \"prompt_tokens\": 512, \"output_tokens\": 128}"
        .to_owned()
}

fn faster(nanos: i128, speed: f64) -> Duration {
    // 584 years of nanoseconds fit; the range of a time is checked before.
    let at = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    if speed == 1.0 {
        at
    } else {
        Duration::try_from_secs_f64(at.as_secs_f64() / speed).unwrap_or(Duration::MAX)
    }
}

struct Row {
    form: Form,
    nanos: i128,
    prompt_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

/// Which column of a CSV file is what.
struct Columns {
    names: Vec<String>,
    time: usize,
    prompt: Option<usize>,
    output: Option<usize>,
    millis: bool,
}

impl Columns {
    fn of(header: &str) -> Result<Columns, Wrong> {
        let names: Vec<String> = fields(header)?
            .into_iter()
            .map(|name| name.trim().to_owned())
            .collect();
        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let time = one_of(&lower, &TIME)?.ok_or_else(|| {
            (
                "no column holds the time of arrival".to_owned(),
                format!(
                    "the first line must be a header that has {}; sizes are {} and {}",
                    list(TIME),
                    list(PROMPT),
                    list(OUTPUT)
                ),
            )
        })?;
        Ok(Columns {
            millis: is_mooncake(&lower, &lower[time]),
            prompt: one_of(&lower, &PROMPT)?,
            output: one_of(&lower, &OUTPUT)?,
            time,
            names,
        })
    }

    fn row(&self, line: &str) -> Result<Row, Wrong> {
        let fields = fields(line)?;
        if fields.len() != self.names.len() {
            return Err((
                format!(
                    "the line has {} fields, and the header has {}",
                    fields.len(),
                    self.names.len()
                ),
                format!("expected {}", list(self.names.iter().map(String::as_str))),
            ));
        }
        let time = fields[self.time].trim();
        let (form, nanos) = match time.parse::<f64>() {
            Ok(number) => number_time(number, self.millis)?,
            Err(_) => (Form::DateTime, date_time(time)?),
        };
        let size = |column: Option<usize>| -> Result<Option<u32>, Wrong> {
            let Some(column) = column else {
                return Ok(None);
            };
            match fields[column].trim() {
                "" => Ok(None),
                text => text
                    .parse()
                    .map(Some)
                    .map_err(|_| not_a_size(&self.names[column], text)),
            }
        };
        Ok(Row {
            form,
            nanos,
            prompt_tokens: size(self.prompt)?,
            output_tokens: size(self.output)?,
        })
    }
}

/// The place of the one column that has one of the names.
fn one_of(columns: &[String], names: &[&str]) -> Result<Option<usize>, Wrong> {
    let mut found = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| names.contains(&column.as_str()));
    match (found.next(), found.next()) {
        (Some((_, one)), Some((_, other))) => Err((
            format!("`{one}` and `{other}` mean the same"),
            "leave one of them out, or give it another name".to_owned(),
        )),
        (first, _) => Ok(first.map(|(index, _)| index)),
    }
}

fn is_mooncake(columns: &[String], time: &str) -> bool {
    let has = |name: &str| columns.iter().any(|column| column == name);
    time == "timestamp" && (has("input_length") || has("hash_ids"))
}

/// The fields of a line; a field in double quotes may hold commas, and quotes doubled (RFC 4180).
fn fields(line: &str) -> Result<Vec<String>, Wrong> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else {
            break;
        };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted {
        return Err((
            "a quote is opened and not closed in this line".to_owned(),
            "close it with `\"`; write a quote inside a field twice".to_owned(),
        ));
    }
    Ok(fields)
}

fn json_row(line: &str) -> Result<Row, Wrong> {
    let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
        (
            format!("this line is not a JSON object: {error}"),
            "one object per line, such as {\"at\": 0.25, \"prompt_tokens\": 512}".to_owned(),
        )
    })?;
    let (names, values): (Vec<String>, Vec<&Value>) = object
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .unzip();
    let time = one_of(&names, &TIME)?.ok_or_else(|| {
        (
            "no field holds the time of arrival".to_owned(),
            format!("add one of {}", list(TIME)),
        )
    })?;
    let (form, nanos) = match values[time] {
        Value::String(text) => (Form::DateTime, date_time(text)?),
        value => match value.as_f64() {
            Some(number) => number_time(number, is_mooncake(&names, &names[time]))?,
            None => return Err(not_a_time(&value.to_string())),
        },
    };
    let size = |names_of: &[&str]| -> Result<Option<u32>, Wrong> {
        let Some(index) = one_of(&names, names_of)? else {
            return Ok(None);
        };
        match values[index] {
            Value::Null => Ok(None),
            value => value
                .as_u64()
                .and_then(|size| u32::try_from(size).ok())
                .map(Some)
                .ok_or_else(|| not_a_size(&names[index], &value.to_string())),
        }
    };
    Ok(Row {
        form,
        nanos,
        prompt_tokens: size(&PROMPT)?,
        output_tokens: size(&OUTPUT)?,
    })
}

fn number_time(number: f64, millis: bool) -> Result<(Form, i128), Wrong> {
    let (form, nanos) = if millis {
        (Form::Milliseconds, number * 1e6)
    } else {
        (Form::Seconds, number * 1e9)
    };
    // Three hundred years either way, so that differences fit.
    if nanos.is_nan() || nanos.abs() > 9.2e18 {
        return Err(not_a_time(&number.to_string()));
    }
    Ok((form, nanos.round() as i128))
}

/// RFC 3339, also with a space instead of the `T`; without an offset it is taken as UTC.
fn date_time(text: &str) -> Result<i128, Wrong> {
    let wrong = || not_a_time(text);
    let (date, clock) = text.split_once(['T', 't', ' ']).ok_or_else(wrong)?;
    let clock = clock.trim();
    let offset = if clock.contains(['Z', 'z', '+', '-']) {
        ""
    } else {
        "Z"
    };
    OffsetDateTime::parse(&format!("{date}T{clock}{offset}"), &Rfc3339)
        .map(|time| time.unix_timestamp_nanos())
        .map_err(|_| wrong())
}

fn not_a_time(text: &str) -> Wrong {
    (
        format!("`{}` is not a time", cut_to(text, 60)),
        "write seconds such as `0.25`, or a date-time such as `2023-11-16 18:17:03.9799600`"
            .to_owned(),
    )
}

fn not_a_size(column: &str, text: &str) -> Wrong {
    (
        format!("`{}` is not a number of tokens", cut_to(text, 60)),
        format!(
            "`{}` must be a whole number up to {}, or empty",
            cut_to(column, 60),
            u32::MAX
        ),
    )
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod replay_tests;
