//! An event read by how it differs from one that was read before.
//!
//! The deltas of a stream repeat each other but for their text, a number that counts them, and what pads them. What
//! is byte for byte the same around those says the same, so that of a hundred deltas one or two are parsed. Where
//! anything else differs, it knows nothing, and the event is read as any other.
//!
//! It must never say of an event what reading it would not: only values that nobody looks at are free to differ, and
//! only to values of the same type, without escapes, that are JSON. It knows no dialect.

/// The longest event that is remembered, in bytes: thousands of streams remember one each.
const LONGEST: usize = 2 * 1024;

/// As many events are remembered for nothing before it gives up: a server that changes an id with each event would
/// have each of its events copied.
const TRIES: u8 = 8;

/// The longest number that may differ, in digits: all of these are in the range of 64 bits.
const DIGITS: usize = 19;

/// An event that those after it are compared with, and what it meant besides its text.
#[derive(Debug)]
pub(crate) struct Template<M> {
    learnt: Option<Learnt<M>>,
    /// How many were learnt since an event was like one.
    tries: u8,
}

#[derive(Debug)]
struct Learnt<M> {
    event: Box<str>,
    /// In the order in which they stand in the event.
    holes: Box<[Hole]>,
    meaning: M,
}

/// Where an event may differ: between the quotes of a string, or the digits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    start: usize,
    end: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The text that is wanted.
    Text,
    String,
    Number,
}

impl<M> Default for Template<M> {
    fn default() -> Self {
        Template {
            learnt: None,
            tries: 0,
        }
    }
}

impl<M> Template<M> {
    /// The text of an event that is like the one remembered, and what else that one meant; `None` where it is not.
    pub(crate) fn read<'t, 'e>(&'t mut self, event: &'e str) -> Option<(&'t M, &'e str)> {
        let learnt = self.learnt.as_ref()?;
        let text = learnt.text_of(event)?;
        self.tries = 0;
        Some((&learnt.meaning, text))
    }

    /// Remembers an event, which must be valid JSON, instead of the one before. `text` is a part of it, the whole of a
    /// string without escapes; else nothing changes. Of its direct fields those called `free` mean nothing.
    pub(crate) fn learn(
        &mut self,
        event: &str,
        text: &str,
        free: &[&str],
        meaning: impl FnOnce() -> M,
    ) {
        if self.tries == TRIES {
            self.learnt = None;
            return;
        }
        if event.len() > LONGEST {
            return;
        }
        let Some(holes) = holes(event, text, free) else {
            return;
        };
        self.tries += 1;
        self.learnt = Some(Learnt {
            event: event.into(),
            holes: holes.into(),
            meaning: meaning(),
        });
    }

    /// What the event meant is no longer what one like it would mean.
    pub(crate) fn forget(&mut self) {
        self.learnt = None;
    }
}

impl<M> Learnt<M> {
    fn text_of<'e>(&self, event: &'e str) -> Option<&'e str> {
        let (mut text, mut rest, mut from) = (None, event, 0);
        for hole in &self.holes {
            rest = rest.strip_prefix(&self.event[from..hole.start])?;
            let (value, after) = rest.split_at(hole.kind.length(rest)?);
            if hole.kind == Kind::Text {
                text = Some(value);
            }
            rest = after;
            from = hole.end;
        }
        text.filter(|_| rest == &self.event[from..])
    }
}

impl Kind {
    /// How long the value is that `rest` begins with; `None` where it is none. What ends it is compared by the caller:
    /// the quote of a string, or what stands behind a number.
    fn length(self, rest: &str) -> Option<usize> {
        match self {
            Kind::Text | Kind::String => rest
                .bytes()
                .position(|byte| matches!(byte, b'"' | b'\\') || byte.is_ascii_control()),
            Kind::Number => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let whole = digits == 1 || !rest.starts_with('0');
                (whole && (1..=DIGITS).contains(&digits)).then_some(digits)
            }
        }
    }
}

/// Where an event may differ; `None` where `text` is no part of it.
fn holes(event: &str, text: &str, free: &[&str]) -> Option<Vec<Hole>> {
    let start = text.as_ptr().addr().checked_sub(event.as_ptr().addr())?;
    let end = start + text.len();
    let quoted = start > 0
        && event.as_bytes().get(start - 1) == Some(&b'"')
        && event.as_bytes().get(end) == Some(&b'"');
    if !quoted {
        return None;
    }
    let mut holes = vec![Hole {
        start,
        end,
        kind: Kind::Text,
    }];
    holes.extend(free_values(event, free));
    holes.sort_by_key(|hole| hole.start);
    Some(holes)
}

/// The values of direct fields of these names, as far as they are strings without escapes or plain numbers.
fn free_values(event: &str, free: &[&str]) -> Vec<Hole> {
    let mut values = Vec::new();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = event.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let string = &event[at + 1..];
                let len = string_length(string);
                at += len + 1;
                let after = event.get(at + 1..).unwrap_or_default().trim_start();
                if let Some(value) = after.strip_prefix(':').map(str::trim_start)
                    && depth == 1
                    && free.contains(&&string[..len])
                {
                    values.extend(hole(event, value));
                }
            }
            _ => {}
        }
        at += 1;
    }
    values
}

/// The length of a string that begins behind its quote, escapes and all.
fn string_length(string: &str) -> usize {
    let mut escaped = false;
    let end = string.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    });
    end.unwrap_or(string.len())
}

/// The hole that the value is which `rest`, the end of an event, begins with.
fn hole(event: &str, rest: &str) -> Option<Hole> {
    let (kind, rest) = match rest.strip_prefix('"') {
        Some(rest) => (Kind::String, rest),
        None => (Kind::Number, rest),
    };
    let len = kind.length(rest)?;
    let start = event.len() - rest.len();
    let ended = match rest.as_bytes().get(len)? {
        b'"' => kind == Kind::String,
        b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n' => kind == Kind::Number,
        _ => false,
    };
    ended.then_some(Hole {
        start,
        end: start + len,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use crate::dialect::template::*;

    const FREE: [&str; 2] = ["n", "pad"];

    /// What a template made of the first event says of another.
    fn text<'e>(first: &str, text: &str, other: &'e str) -> Option<&'e str> {
        let start = first.find(text).expect("the text");
        let mut template = Template::default();
        template.learn(first, &first[start..start + text.len()], &FREE, || ());
        template.read(other).map(|((), text)| text)
    }

    #[test]
    fn what_is_free_may_differ_and_nothing_else() {
        let first = r#"{"n":5,"id":"a","delta":{"n":1,"t":"one "},"pad":"xy","end":null}"#;
        for (event, expected) in [
            (
                r#"{"n":6,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null}"#,
                "two ",
            ),
            (
                r#"{"n":0,"id":"a","delta":{"n":1,"t":""},"pad":"abc","end":null}"#,
                "",
            ),
            (
                r#"{"n":1234567890123456789,"id":"a","delta":{"n":1,"t":"é"},"pad":"缀","end":null}"#,
                "é",
            ),
        ] {
            assert_eq!(text(first, "one ", event), Some(expected), "{event}");
        }
        for event in [
            r#"{"n":6,"id":"b","delta":{"n":1,"t":"two "},"pad":"","end":null}"#,
            r#"{"n":6,"id":"a","delta":{"n":2,"t":"two "},"pad":"","end":null}"#,
            r#"{"n":6,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":1}"#,
            r#"{"n":6,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null} "#,
            r#"{"n":6,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null"#,
            r#"{"n":6,"id":"a","delta":{"n":1,"t":"two\n"},"pad":"","end":null}"#,
            r#"{"n":6,"id":"a","delta":{"n":1,"t":"two"},"pad":"\"","end":null}"#,
            "{\"n\":6,\"id\":\"a\",\"delta\":{\"n\":1,\"t\":\"tab\t\"},\"pad\":\"\",\"end\":null}",
            r#"{"n":06,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null}"#,
            r#"{"n":,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null}"#,
            r#"{"n":-6,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null}"#,
            r#"{"n":6.5,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null}"#,
            r#"{"n":12345678901234567890,"id":"a","delta":{"n":1,"t":"two "},"pad":"","end":null}"#,
            r#"{"n":6,"id":"a","delta":{"n":1,"t":"two ","t":"three"},"pad":"","end":null}"#,
            "",
        ] {
            assert_eq!(text(first, "one ", event), None, "{event}");
        }
    }

    #[test]
    fn names_are_free_only_where_they_name_a_direct_field() {
        for (first, other) in [
            (r#"{"a":{"n":1},"t":"x"}"#, r#"{"a":{"n":2},"t":"x"}"#),
            (r#"{"a":["n",1],"t":"x"}"#, r#"{"a":["n",2],"t":"x"}"#),
            (r#"{"a":"\"n\":1","t":"x"}"#, r#"{"a":"\"n\":2","t":"x"}"#),
            (
                r#"{"a":"\\","n":{"b":1},"t":"x"}"#,
                r#"{"a":"\\","n":{"b":2},"t":"x"}"#,
            ),
            (r#"{"pad":"\"","t":"x"}"#, r#"{"pad":"b","t":"x"}"#),
            (r#"{"n":1.5,"t":"x"}"#, r#"{"n":2.5,"t":"x"}"#),
            (r#"{"b":"n","t":"x"}"#, r#"{"b":"m","t":"x"}"#),
        ] {
            assert_eq!(text(first, "x", first), Some("x"), "{first}");
            assert_eq!(text(first, "x", other), None, "{other}");
        }
        let spaced = r#"{ "n" : 1 , "t" : "x" }"#;
        assert_eq!(text(spaced, "x", r#"{ "n" : 22 , "t" : "y" }"#), Some("y"));
    }

    #[test]
    fn a_text_that_is_no_string_of_the_event_is_not_learnt() {
        let event = r#"{"t":"one two"}"#;
        let elsewhere = String::from("one two");
        for text in [elsewhere.as_str(), "", &event[6..9], &event[0..4]] {
            let mut template = Template::default();
            template.learn(event, text, &FREE, || ());
            assert!(template.read(event).is_none(), "{text}");
        }
    }

    #[test]
    fn a_server_that_never_repeats_itself_is_soon_left_alone() {
        let event = |id: u32| format!(r#"{{"id":{id},"t":"x"}}"#);
        let learn = |template: &mut Template<u32>, id: u32| {
            let event = event(id);
            let start = event.find("\"x").expect("the text") + 1;
            template.learn(&event, &event[start..=start], &FREE, || id);
        };
        let mut template = Template::default();
        let tries = u32::from(TRIES);
        (1..=tries).for_each(|id| learn(&mut template, id));
        assert_eq!(template.read(&event(tries)).map(|(id, _)| *id), Some(tries));
        // It was of use: there are as many tries again.
        (101..=100 + tries).for_each(|id| learn(&mut template, id));
        learn(&mut template, 200);
        for id in [tries, 100 + tries, 200] {
            assert!(template.read(&event(id)).is_none(), "{id}");
        }
        learn(&mut template, 300);
        assert!(template.read(&event(300)).is_none());
    }

    #[test]
    fn long_events_are_not_kept() {
        let event = format!(r#"{{"t":"x","end":"{}"}}"#, "y".repeat(LONGEST));
        assert_eq!(text(&event, "x", &event), None);
    }

    proptest! {
        /// What a template says of an event, a whole reading says too, wherever the event was changed.
        #[test]
        fn it_says_what_a_whole_reading_says(
            place: prop::sample::Index,
            cut in 0_usize..3,
            with in r#"[0-9"\\,:{}nt. é-]{0,3}"#,
        ) {
            let first = r#"{"n":5,"id":"a","d":{"t":"one","n":1},"pad":"xyz","u":[1]}"#;
            let start = place.index(first.len());
            let end = (start + cut).min(first.len());
            let event = format!("{}{with}{}", &first[..start], &first[end..]);
            if let Some(text) = text(first, "one", &event) {
                let value: Value = serde_json::from_str(&event).expect("JSON");
                let mut expected: Value = serde_json::from_str(first).expect("JSON");
                expected["d"]["t"] = text.into();
                for name in FREE {
                    prop_assert_eq!(value[name].is_number(), expected[name].is_number());
                    expected[name] = value[name].clone();
                }
                prop_assert_eq!(value, expected);
            }
        }
    }
}
