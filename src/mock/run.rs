//! A run of events that differ in one piece of text each, held and written as one.
//!
//! Pure. A stream is mostly such a run: what its events have in common is made once. It must never change what
//! is sent: unrolled and written at once give the same bytes.

use serde_json::{Value, json};

use crate::mock::outgoing::OutEvent;

/// Stands for the piece of text in the data of a run.
pub const PIECE: &str = "\u{e000}piece\u{e000}";
/// Stands for the number of an event.
pub const NUMBER: &str = "\u{e000}number\u{e000}";
/// Stands for the letters that hide how long a piece is.
pub const PADDING: &str = "\u{e000}padding\u{e000}";

/// What the events of a run do not have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    pub pieces: Vec<String>,
    /// The number of the first event.
    pub first: u64,
    /// As many as there are pieces, or none.
    pub paddings: Vec<String>,
}

impl Run {
    pub fn of(pieces: Vec<String>) -> Run {
        Run {
            pieces,
            ..Run::default()
        }
    }

    fn padding(&self, place: usize) -> &str {
        self.paddings.get(place).map_or("", String::as_str)
    }
}

/// How many events this one stands for.
pub fn length(event: &OutEvent) -> usize {
    event.run.as_ref().map_or(1, |run| run.pieces.len())
}

/// The events of a run one by one; another event as it is.
pub fn unrolled(event: OutEvent) -> Vec<OutEvent> {
    let Some(run) = event.run else {
        return vec![event];
    };
    let one = |place: usize| {
        let mut data = event.data.clone();
        fill(&mut data, &run, place);
        OutEvent {
            name: event.name.clone(),
            ..OutEvent::of(data)
        }
    };
    (0..run.pieces.len()).map(one).collect()
}

fn fill(value: &mut Value, run: &Run, place: usize) {
    match value {
        Value::String(text) => match text.as_str() {
            PIECE => text.clone_from(&run.pieces[place]),
            PADDING => run.padding(place).clone_into(text),
            NUMBER => *value = json!(run.first + place as u64),
            _ => {}
        },
        Value::Array(list) => list.iter_mut().for_each(|one| fill(one, run, place)),
        Value::Object(fields) => fields.values_mut().for_each(|one| fill(one, run, place)),
        _ => {}
    }
}

/// Gives `each` the place and the JSON of every event of a run, in order.
pub fn each_text(data: &Value, run: &Run, mut each: impl FnMut(usize, &str)) {
    let whole = data.to_string();
    let mut parts = Vec::new();
    let mut rest = whole.as_str();
    // Each stands for a whole string, quotes included.
    let marks = [PIECE, NUMBER, PADDING].map(|mark| (mark, format!("\"{mark}\"")));
    loop {
        let found = marks
            .iter()
            .filter_map(|(mark, quoted)| Some((rest.find(quoted.as_str())?, *mark, quoted.len())))
            .min();
        let Some((start, mark, length)) = found else {
            break;
        };
        parts.push((&rest[..start], mark));
        rest = &rest[start + length..];
    }
    let mut text = String::with_capacity(whole.len() + 64);
    for place in 0..run.pieces.len() {
        text.clear();
        for (before, mark) in &parts {
            text.push_str(before);
            match *mark {
                NUMBER => text.push_str(&(run.first + place as u64).to_string()),
                PIECE => quote(&run.pieces[place], &mut text),
                _ => quote(run.padding(place), &mut text),
            }
        }
        text.push_str(rest);
        each(place, &text);
    }
}

fn quote(text: &str, out: &mut String) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&json!(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use crate::mock::outgoing::{Form, OutStream, write};
    use crate::mock::run::*;

    #[test]
    fn a_run_is_written_as_its_events_would_be() {
        let run = Run {
            pieces: ["one ", "say \"two\"\n", "\u{1}é"]
                .map(str::to_owned)
                .into(),
            first: 9,
            paddings: ["aaa", "b", ""].map(str::to_owned).into(),
        };
        let data = json!({"type": "x.delta", "n": NUMBER, "delta": {"text": PIECE}, "p": [PADDING], "z": 1});
        let untyped = json!({"p": PADDING, "choices": [{"delta": {"content": PIECE}}]});
        for (data, form) in [
            (data.clone(), Form::Sse),
            (data, Form::Frames),
            (untyped.clone(), Form::Sse),
            (untyped, Form::Chunks),
        ] {
            let mut event = OutEvent::of(data);
            event.run = Some(Box::new(run.clone()));
            let mut rolled = OutStream::of(vec![OutEvent::of(json!({"type": "a"})), event]);
            rolled.form = form;
            let plain = rolled.clone().unrolled();
            assert_eq!(plain.events.len(), 4);
            assert!(plain.events.iter().all(|event| event.run.is_none()));
            assert_eq!(write(&rolled), write(&plain), "{form:?}");
            let dues: Vec<_> = write(&rolled).iter().map(|chunk| chunk.due).collect();
            assert_eq!(dues, [Some(0), Some(1), Some(2), Some(3)]);
            rolled.framing.ids = true;
            let mut numbered = plain;
            numbered.framing.ids = true;
            assert_eq!(write(&rolled), write(&numbered));
        }
    }
}
