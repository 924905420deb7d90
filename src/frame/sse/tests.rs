//! The decoder against a table of cases, against itself at any split, and against another decoder.

use std::time::Duration;

use proptest::prelude::*;
use sseer::event_stream::EventStream;

use crate::frame::sse::{Irregular, SseDecoder, SseItem};

/// What one decoding came to, without times: items, then what was left at the end.
fn decode<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<SseItem>, Vec<Irregular>) {
    let mut decoder = SseDecoder::new();
    let mut items = Vec::new();
    for (index, read) in reads.into_iter().enumerate() {
        decoder.push(Duration::from_millis(index as u64), read);
        while let Some(item) = decoder.next() {
            items.push(item);
        }
    }
    (items, decoder.finish())
}

/// The same in short: events as `name|id|data`, comments as `:text`, irregularities as `!id`.
fn short((items, left): (Vec<SseItem>, Vec<Irregular>)) -> Vec<String> {
    items
        .into_iter()
        .map(|item| match item {
            SseItem::Event(event) => format!(
                "{}|{}|{}",
                event.name.as_deref().unwrap_or("-"),
                event.id.as_deref().unwrap_or("-"),
                event.data
            ),
            SseItem::Comment { text, .. } => format!(":{text}"),
            SseItem::Irregular(irregular) => format!("!{}", irregular.id),
        })
        .chain(left.into_iter().map(|one| format!("end!{}", one.id)))
        .collect()
}

/// Each read is one place in time; the offsets must not depend on it.
fn without_times(items: Vec<SseItem>) -> Vec<SseItem> {
    items
        .into_iter()
        .map(|mut item| {
            let place = match &mut item {
                SseItem::Event(event) => &mut event.place,
                SseItem::Comment { place, .. } => place,
                SseItem::Irregular(irregular) => &mut irregular.place,
            };
            place.at = Duration::ZERO;
            place.read = 0;
            item
        })
        .collect()
}

#[test]
fn decodes_what_the_standard_says() {
    let cases: &[(&[u8], &[&str])] = &[
        (b"data: a\n\n", &["-|-|a"]),
        (b"data:a\r\n\r\n", &["-|-|a"]),
        (b"data: a\r\rdata: b\r\r", &["-|-|a", "-|-|b"]),
        (b"data: a\r\n\rdata: b\n\r\n", &["-|-|a", "-|-|b"]),
        (b"\xEF\xBB\xBFdata: a\n\n", &["-|-|a"]),
        // only one mark is dropped, and only at the start
        (
            b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n",
            &["!sse/unknown-field"],
        ),
        (b"data: \xEF\xBB\xBFa\n\n", &["-|-|\u{feff}a"]),
        (
            b"\xEF\xBBdata: a\n\n",
            &["!sse/invalid-utf8", "!sse/unknown-field"],
        ),
        (b"data:  a\n\n", &["-|-| a"]),
        (b"data:\ta\n\n", &["-|-|\ta"]),
        (b"data: a\ndata: b\ndata:\n\n", &["-|-|a\nb\n"]),
        // the standard's own example: two events, of no data and of one line feed
        (
            b"data\n\ndata\ndata\n\ndata:",
            &["-|-|", "-|-|\n", "end!sse/unterminated-event"],
        ),
        (b": ping\n\n:\ndata: a\n\n", &[": ping", ":", "-|-|a"]),
        (b"event: x\ndata: a\n\ndata: b\n\n", &["x|-|a", "-|-|b"]),
        (b"event: x\nevent: y\ndata: a\n\n", &["y|-|a"]),
        (
            b"event: x\n\ndata: a\n\n",
            &["!sse/event-without-data", "-|-|a"],
        ),
        (b"event:\n\ndata: a\n\n", &["-|-|a"]),
        (b"data: a:b: c\n\n", &["-|-|a:b: c"]),
        (
            b"foo: 1\nDATA: 2\n data: 3\ndata: a\n\n",
            &[
                "!sse/unknown-field",
                "!sse/unknown-field",
                "!sse/unknown-field",
                "-|-|a",
            ],
        ),
        (
            b"id: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: c\n\n",
            &["!sse/id-field", "-|1|a", "-|2|b", "-|-|c"],
        ),
        (b"id: 1\0\ndata: a\n\n", &["!sse/id-field", "-|-|a"]),
        (b"retry: 10\ndata: a\n\n", &["-|-|a"]),
        (b"retry: 1s\ndata: a\n\n", &["!sse/unknown-field", "-|-|a"]),
        (b"\n\n\n", &[]),
        (b"", &[]),
        (b"data: a\n", &["end!sse/unterminated-event"]),
        (b"data: a", &["end!sse/unterminated-event"]),
        (b"event: a\n", &["end!sse/unterminated-event"]),
        (
            b"data: a\n\ndata: [DONE]",
            &["-|-|a", "end!sse/unterminated-event"],
        ),
        (b"data: a\n\n: half a comment", &["-|-|a"]),
        (b"{\"error\":1}", &["end!sse/unknown-field"]),
        (b"data: \xC3\xA9\n\n", &["-|-|\u{e9}"]),
        (b"data: \xC3\n\n", &["!sse/invalid-utf8", "-|-|\u{fffd}"]),
        (
            b"data: a\xF0\x9F\x98b\xFF\n\n",
            &["!sse/invalid-utf8", "-|-|a\u{fffd}b\u{fffd}"],
        ),
        (b": \xFF\n", &["!sse/invalid-utf8", ": \u{fffd}"]),
    ];
    for (input, expect) in cases {
        let shown = String::from_utf8_lossy(input);
        assert_eq!(short(decode([*input])), *expect, "whole: {shown:?}");
        assert_eq!(short(decode(input.chunks(1))), *expect, "bytes: {shown:?}");
    }
}

#[test]
fn a_lone_cr_dispatches_without_waiting_and_swallows_the_lf_of_the_next_read() {
    let mut decoder = SseDecoder::new();
    decoder.push(Duration::from_millis(1), b"data: a\r\n\r");
    let Some(SseItem::Event(event)) = decoder.next() else {
        panic!("the CR alone ends the line");
    };
    assert_eq!((event.place.read, event.place.end), (0, 10));
    assert_eq!(event.place.at, Duration::from_millis(1));
    decoder.push(Duration::from_millis(2), b"\n");
    decoder.push(Duration::from_millis(3), b"data: b\n\n");
    let Some(SseItem::Event(event)) = decoder.next() else {
        panic!("the second event follows");
    };
    assert_eq!((event.data.as_str(), event.place.read), ("b", 2));
    assert_eq!(event.place.end, 20);
    assert!(decoder.finish().is_empty());
}

#[test]
fn a_byte_order_mark_may_come_alone_or_split() {
    let splits: [&[&[u8]]; 3] = [
        &[b"\xEF\xBB\xBF", b"data: a\n\n"],
        &[b"\xEF", b"\xBB", b"\xBFdata: a\n\n"],
        &[b"", b"\xEF\xBB", b"", b"\xBF", b"data: a\n\n"],
    ];
    for reads in splits {
        assert_eq!(short(decode(reads.iter().copied())), ["-|-|a"]);
    }
}

#[test]
fn a_long_line_in_single_bytes_takes_linear_time() {
    let mut input = b"data: ".to_vec();
    input.resize(input.len() + 4 * 1024 * 1024, b'x');
    input.extend_from_slice(b"\n\n");
    let (items, left) = decode(input.chunks(1));
    assert_eq!((items.len(), left.len()), (1, 0));
    // Four million pushes take a second or so; a decoder that scans again would never come here.
}

#[test]
fn lines_of_sixteen_mebibytes_pass_and_longer_than_the_limit_stop() {
    let mut input = b"data: ".to_vec();
    input.resize(input.len() + 16 * 1024 * 1024, b'x');
    input.extend_from_slice(b"\n\n");
    let (items, _) = decode(input.chunks(65_536));
    assert!(matches!(&items[..], [SseItem::Event(event)] if event.data.len() == 16 * 1024 * 1024));

    let long: [&[u8]; 3] = [
        b"data: 0123456789abcdef\n\ndata: x\n\n",
        b"data: 0123\ndata: 4567\ndata: 89ab\n\ndata: x\n\n",
        b"data: 0123456789abcdef without an end",
    ];
    for input in long {
        for size in [1, 7, input.len()] {
            let mut decoder = SseDecoder::with_limit(12);
            for read in input.chunks(size) {
                decoder.push(Duration::ZERO, read);
            }
            let item = decoder.next();
            assert!(
                matches!(&item, Some(SseItem::Irregular(one)) if one.id == "sse/line-too-long"),
                "{item:?}"
            );
            assert_eq!(decoder.next(), None, "nothing follows");
            assert!(decoder.finish().is_empty());
        }
    }
}

/// Bytes that look like a stream often enough to be worth decoding.
fn streamish() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"data",
        b"data:",
        b"data: ",
        b"event: ",
        b"id: ",
        b"retry: ",
        b":",
        b" ",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"x",
        b"{\"a\":1}",
        b"[DONE]",
        b"0",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xBB",
        b"\xC3\xA9",
        b"\xF0\x9F\x98\x80",
        b"\xFF",
        b"\xE2\x82",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..60).prop_map(|pieces| pieces.concat())
}

fn split(input: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    cuts.push(0);
    cuts.push(input.len());
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| input[pair[0]..pair[1]].to_vec())
        .collect()
}

/// What the other decoder sees: name, data and last event id of each event.
fn oracle(input: &[u8]) -> Vec<(String, String, String)> {
    use futures_util::{FutureExt, StreamExt};
    let bytes = bytes::Bytes::copy_from_slice(input);
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    EventStream::new(stream)
        .map(|event| {
            let event = event.expect("valid UTF-8 and no failing reads");
            (
                event.event.to_string(),
                event.data.to_string(),
                event.id.to_string(),
            )
        })
        .collect()
        .now_or_never()
        .expect("a ready stream")
}

proptest! {
    #[test]
    fn splits_change_nothing(input in streamish(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let (whole, whole_left) = decode([&input[..]]);
        let reads = split(&input, &cuts);
        let (parts, parts_left) = decode(reads.iter().map(Vec::as_slice));
        prop_assert_eq!(without_times(whole), without_times(parts));
        let ids = |left: Vec<Irregular>| left.into_iter().map(|one| (one.id, one.detail)).collect::<Vec<_>>();
        prop_assert_eq!(ids(whole_left), ids(parts_left));
    }

    #[test]
    fn any_bytes_are_survived(input in prop::collection::vec(any::<u8>(), 0..400)) {
        let (whole, _) = decode([&input[..]]);
        let (parts, _) = decode(input.chunks(1));
        prop_assert_eq!(without_times(whole), without_times(parts));
    }

    #[test]
    fn agrees_with_another_decoder(input in streamish()) {
        // The other one ends the stream at invalid UTF-8, so both are given the repaired text.
        let input = String::from_utf8_lossy(&input).into_owned();
        let (items, _) = decode([input.as_bytes()]);
        // Names and data are compared. Its `id` also counts those of events without data, which ours
        // does not keep, because a browser would and a stream of one answer has no use for them.
        let ours: Vec<(String, String)> = items
            .into_iter()
            .filter_map(|item| match item {
                SseItem::Event(event) => Some((event.name.unwrap_or_else(|| "message".to_owned()), event.data)),
                _ => None,
            })
            .collect();
        let theirs: Vec<(String, String)> = oracle(input.as_bytes())
            .into_iter()
            .map(|(name, data, _)| (name, data))
            .collect();
        prop_assert_eq!(ours, theirs);
    }
}
