//! What the decoder could not use, as findings, and the framing an answer should have.
//!
//! Works for every dialect: it must never look into the JSON of an event.

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, cut};
use crate::check::rules::{Subject, info, must, should};
use crate::turn::exchange::End;

const WHATWG: &str = "WHATWG HTML, server-sent events (read 2026-11-21)";

static INVALID_UTF8: Rule = should(
    "sse/invalid-utf8",
    "Every byte of an event stream is valid UTF-8.",
    WHATWG,
);
static UNTERMINATED: Rule = must(
    "sse/unterminated-event",
    "The last event is closed by a blank line; without it readers discard the event.",
    WHATWG,
);
static WITHOUT_DATA: Rule = info(
    "sse/event-without-data",
    "An event that has a name also has data; readers drop one that has none, and openai-python 3.52 breaks on it.",
    WHATWG,
);
static UNKNOWN_FIELD: Rule = info(
    "sse/unknown-field",
    "Lines use the fields event, data, id and retry; others are ignored.",
    WHATWG,
);
static ID_FIELD: Rule = info(
    "sse/id-field",
    "Events carry no id field: these streams cannot be resumed by it.",
    "OpenResponses specification 2026-04-24, streaming HTTP responses",
);
static LINE_TOO_LONG: Rule = must(
    "sse/line-too-long",
    "A line is short enough for a reader to keep.",
    "limit of this program's decoder",
);
static EVENTS_WITHIN_LIMIT: Rule = must(
    "sse/events-within-limit",
    "An answer has at most 500000 events; one with more is not checked any further.",
    "limit of this program's decoder",
);
static MALFORMED: Rule = must(
    "sse/malformed-json",
    "The data of every event is one JSON text, or [DONE].",
    "OpenAI API reference, streaming (2026-08-21)",
);
static NOT_A_RESPONSE: Rule = must(
    "responses/not-a-response",
    "The body is a response object, or a stream of response events.",
    "OpenAI API reference, Responses (2026-08-21)",
);
static WITHOUT_TYPE: Rule = must(
    "responses/event-without-type",
    "Every event says its type in its data.",
    "OpenAI API reference, Responses streaming events (2026-08-21)",
);
static NOT_A_COMPLETION: Rule = must(
    "chat/not-a-completion",
    "The body is a chat completion, or a stream of its chunks.",
    "OpenAI API reference, Chat Completions (2026-08-21)",
);
static NOT_A_CHUNK: Rule = must(
    "chat/not-a-chunk",
    "Every event is a chunk with choices, or an error.",
    "OpenAI API reference, Chat Completions streaming (2026-08-21)",
);
const EVENT_STREAM: &str = "AWS event stream encoding, https://smithy.io/2.0/aws/amazon-eventstream.html (read 2026-11-21)";

static FRAME_CRC: Rule = must(
    "event-stream/crc",
    "The checksums of every frame, of its prelude and of the whole, fit its bytes.",
    EVENT_STREAM,
);
static FRAME_TRUNCATED: Rule = must(
    "event-stream/truncated",
    "The stream ends between two frames.",
    EVENT_STREAM,
);
static FRAME_LENGTH: Rule = must(
    "event-stream/bad-length",
    "The lengths of a frame fit each other, and it has 16 MiB at most.",
    EVENT_STREAM,
);
static FRAME_HEADER: Rule = must(
    "event-stream/bad-header",
    "Headers can be read, and :message-type and the type it asks for are among them.",
    EVENT_STREAM,
);
static FRAMES_WITHIN_LIMIT: Rule = must(
    "event-stream/events-within-limit",
    "An answer has at most 500000 events; one with more is not checked any further.",
    "limit of this program's decoder",
);
static INVOKE_CHUNK: Rule = must(
    "invoke/malformed-chunk",
    "The bytes of every chunk are base64 of one JSON text.",
    "service model bedrock-runtime of botocore 1.44.5 (read 2026-11-21)",
);
static INVOKE_KNOWN: Rule = must(
    "invoke/known-event-types",
    "Every message is a chunk or an exception.",
    "service model bedrock-runtime of botocore 1.44.5 (read 2026-11-21)",
);
static CONVERSE_JSON: Rule = must(
    "converse/malformed-json",
    "The payload of every message is one JSON text.",
    "service model bedrock-runtime of botocore 1.44.5 (read 2026-11-21)",
);
static NOT_AN_ANSWER: Rule = must(
    "converse/not-an-answer",
    "The body is an answer with a message, or a stream of frames.",
    "service model bedrock-runtime of botocore 1.44.5 (read 2026-11-21)",
);
static NO_AGENT_ANSWER: Rule = must(
    "agentcore/not-an-answer",
    "The body is JSON, or a stream of server-sent events.",
    "https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/runtime-http-protocol-contract.html (read 2026-11-21)",
);
static INCREMENTAL: Rule = info(
    "http/arrives-incrementally",
    "Output arrives over several reads: the stream is not held back and sent at once.",
    "gateways that buffer a stream, seen in the wild (2026-11-21)",
);
static BODY_ENDS: Rule = should(
    "http/body-ends",
    "After its terminal event the body ends as HTTP says it should.",
    "RFC 9112, sections 7.1 and 8; a reader that waits for the end hangs or reports a broken stream",
);
static OTHER: Rule = should(
    "sse/irregular",
    "The decoder can make sense of everything that comes.",
    "this program's decoder",
);

/// What the decoder notes of a body that is no answer, or too large a one: no further rule is about it.
pub const IS_SOMETHING_ELSE: [&str; 6] = [
    "agentcore/not-an-answer",
    "responses/not-a-response",
    "chat/not-a-completion",
    "converse/not-an-answer",
    "sse/events-within-limit",
    "event-stream/events-within-limit",
];

pub static RULES: &[&Rule] = &[
    &INVALID_UTF8,
    &UNTERMINATED,
    &WITHOUT_DATA,
    &UNKNOWN_FIELD,
    &ID_FIELD,
    &LINE_TOO_LONG,
    &EVENTS_WITHIN_LIMIT,
    &MALFORMED,
    &NOT_A_RESPONSE,
    &WITHOUT_TYPE,
    &NOT_A_COMPLETION,
    &NOT_A_CHUNK,
    &FRAME_CRC,
    &FRAME_TRUNCATED,
    &FRAME_LENGTH,
    &FRAME_HEADER,
    &FRAMES_WITHIN_LIMIT,
    &INVOKE_CHUNK,
    &INVOKE_KNOWN,
    &CONVERSE_JSON,
    &NOT_AN_ANSWER,
    &NO_AGENT_ANSWER,
    &INCREMENTAL,
    &BODY_ENDS,
    &OTHER,
];

/// How many output events make it worth asking whether they came one by one.
const ENOUGH_EVENTS: u32 = 5;

pub fn check(subject: &Subject<'_>, out: &mut Collector<'_>) {
    for irregularity in &subject.trace.irregularities {
        // A connection that broke inside an event leaves half of it; that failure has its own name.
        let half = [UNTERMINATED.id, FRAME_TRUNCATED.id].contains(&irregularity.id);
        if half && subject.was_cut() {
            continue;
        }
        let rule = RULES
            .iter()
            .find(|rule| rule.id == irregularity.id)
            .copied()
            .unwrap_or(&OTHER);
        let message = match irregularity.id {
            id if id == INVALID_UTF8.id => "a part of the stream is not valid UTF-8".to_owned(),
            id if id == UNTERMINATED.id => {
                "the stream ends inside an event: its blank line is missing, so readers drop it"
                    .to_owned()
            }
            id if id == WITHOUT_DATA.id => "an event has no data".to_owned(),
            id if id == UNKNOWN_FIELD.id => "a line has an unknown field".to_owned(),
            id if id == ID_FIELD.id => "events carry an id field".to_owned(),
            id if id == LINE_TOO_LONG.id => "a line is too long to keep".to_owned(),
            id if id == INVOKE_CHUNK.id => "the bytes of a chunk are not JSON".to_owned(),
            id if id == INVOKE_KNOWN.id => "a message is neither chunk nor exception".to_owned(),
            id if id == EVENTS_WITHIN_LIMIT.id || id == FRAMES_WITHIN_LIMIT.id => {
                "the answer has too many events".to_owned()
            }
            id if id == MALFORMED.id => "the data of an event is not JSON".to_owned(),
            id if id == NOT_A_RESPONSE.id => "the body is not a response".to_owned(),
            id if id == FRAME_CRC.id => "a checksum does not fit: bytes were changed".to_owned(),
            id if id == FRAME_TRUNCATED.id => "the stream ends inside a frame".to_owned(),
            id if id == FRAME_LENGTH.id => "a frame has impossible lengths".to_owned(),
            id if id == FRAME_HEADER.id => "a frame does not say what it is".to_owned(),
            id if id == CONVERSE_JSON.id => "the payload of a message is not JSON".to_owned(),
            id if id == NOT_AN_ANSWER.id || id == NO_AGENT_ANSWER.id => {
                "the body is not an answer".to_owned()
            }
            id if id == WITHOUT_TYPE.id => "an event does not say its type".to_owned(),
            id if id == NOT_A_COMPLETION.id => "the body is not a chat completion".to_owned(),
            id if id == NOT_A_CHUNK.id => "an event is no chunk of a chat completion".to_owned(),
            id => format!("the decoder reports {id}"),
        };
        out.add(
            rule,
            irregularity.event,
            message,
            "",
            cut(&irregularity.detail, 160),
        );
    }
    arrives_incrementally(subject, out);
    body_ends(subject, out);
}

/// A break before the terminal event is the failure of the turn and has a name of its own; one after it
/// fails nothing that was decoded, and still breaks readers.
fn body_ends(subject: &Subject<'_>, out: &mut Collector<'_>) {
    let Some(end) = subject.end else { return };
    if subject.trace.failure.is_some() || *end == End::Complete {
        return;
    }
    let got = match end {
        End::Stalled { after } => format!("silence for {after:?} on an open connection"),
        End::TooLong { after } => format!("no end within {after:?}"),
        End::Dropped { reason } => format!("a broken connection: {}", cut(reason, 160)),
        other => format!("{other:?}"),
    };
    out.add(
        &BODY_ENDS,
        None,
        "the answer is whole, but its body does not end",
        "the end of the body",
        got,
    );
}

fn arrives_incrementally(subject: &Subject<'_>, out: &mut Collector<'_>) {
    // A captured file has no reads to speak of.
    if !subject.streamed || subject.head.is_none() {
        return;
    }
    let timing = &subject.trace.timing;
    let events = timing.output_events;
    if events >= ENOUGH_EVENTS && timing.output_reads == 1 {
        out.add(
            &INCREMENTAL,
            None,
            "all output came in one read: the stream is buffered somewhere",
            "several reads",
            format!("{events} output events in one read"),
        );
    }
}
