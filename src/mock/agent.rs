//! A managed agent as the mock plays it: reads an invocation, and writes what a Strands agent would stream.
//!
//! Pure. It must never use the client's encoder, decoder or mapping. Sources, read 2026-11-21: service
//! model bedrock-agentcore 2024-02-28 of botocore 1.44.5 (path, headers, limits), the HTTP contract of
//! AgentCore runtimes (whole answers) and `docs/STREAMING.md` of
//! https://github.com/awslabs/fullstack-solution-template-for-agentcore (events of Strands agents).

use serde_json::{Map, Value, json};

use crate::mock::answer::{Answer, EarlyEnd, Said, pieces, tokens};
use crate::mock::data::Letters;
use crate::mock::namer::Namer;
use crate::mock::outgoing::{OutEvent, OutStream, Outgoing};
use crate::mock::question::{Choice, Format, Question};
use crate::mock::refusal::Refusal;
use crate::mock::route::Route;
use crate::mock::sessions::Turns;
use crate::mock::sigv4::Arrived;

/// An invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Whether the answer is to be streamed.
    pub stream: bool,
    pub prompt: String,
    /// The session's id, made up where the request names none.
    pub session: String,
    pub session_header: String,
}

/// Reads and checks an invocation of the agent that the path names.
pub fn read(
    route: &Route<'_>,
    id: &str,
    arrived: &Arrived<'_>,
    namer: &mut Namer,
) -> Result<Invocation, Refusal> {
    let told = |name: &str| {
        let mut found = arrived.headers.iter().filter(|(one, _)| one == name);
        found.next().map(|(_, value)| value.as_str())
    };
    let manner = route.provider.manner.agents.as_ref();
    let manner = manner.ok_or_else(|| Refusal::new("unknown-path"))?;
    let model = route.provider.find(id, route.region.region.as_deref())?;
    if !model.kind.agent {
        return Err(Refusal::new("unknown-model").with("model", id));
    }
    let asked = arrived
        .query
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == "qualifier").then_some(value)
        });
    let known = |name: &str| manner.qualifiers.iter().any(|one| one == name);
    if let Some(name) = asked.filter(|name| !known(name)) {
        return Err(Refusal::new("unknown-qualifier")
            .with("value", name)
            .with("model", id));
    }
    let (least, most) = manner.session_length;
    let session = match told(&manner.session_header) {
        Some(session) if !(least..=most).contains(&session.chars().count()) => {
            return Err(Refusal::new("session-length")
                .with("minimum", least)
                .with("maximum", most));
        }
        Some(session) => session.to_owned(),
        None => namer.letters("", Letters::Hex, 36),
    };
    // What is wrong with the payload is found by the agent, not by the service before it.
    let body: Map<String, Value> = serde_json::from_slice(arrived.body)
        .map_err(|error| Refusal::new("bad-json").with("value", error))?;
    let prompt = body.get(&manner.prompt).and_then(Value::as_str);
    let prompt = prompt.ok_or_else(|| Refusal::new("no-prompt").with("value", &manner.prompt))?;
    Ok(Invocation {
        stream: told("accept").is_some_and(|accept| accept.contains("text/event-stream")),
        prompt: prompt.to_owned(),
        session,
        session_header: manner.session_header.clone(),
    })
}

/// What the agent's model is asked. It has no tools of the client, and knows its session.
pub fn question(ask: &Invocation, so_far: &Turns) -> Question {
    Question {
        tools: Vec::new(),
        choice: Choice::Auto,
        most_calls: usize::MAX,
        output_limit: None,
        format: Format::Text,
        answers_so_far: so_far.len(),
        last_result: None,
        last_words: ask.prompt.clone(),
        thought: None,
        stops: Vec::new(),
    }
}

/// All visible text of an answer. An agent runs its tools by itself, so a script's calls do not show.
fn text(answer: &Answer) -> String {
    let texts: Vec<&str> = answer
        .items
        .iter()
        .filter_map(|said| match said {
            Said::Text(text) | Said::Words(text) | Said::Refusal(text) => Some(text.as_str()),
            Said::Reasoning(_) | Said::Call(_) => None,
        })
        .collect();
    texts.join("\n")
}

/// Keeps a turn in its session.
pub fn remember(ask: &Invocation, answer: &Answer, session: &mut Turns) {
    session.add(ask.prompt.clone(), text(answer));
}

/// Writes an answer down: the events of its model, or one object without a stream.
pub fn build(ask: &Invocation, so_far: &Turns, answer: &Answer) -> Outgoing {
    let text = text(answer);
    let event = |event: Value| json!({ "event": event });
    let mut events = vec![
        json!({"init_event_loop": true}),
        event(json!({"messageStart": {"role": "assistant"}})),
    ];
    let mut block = 0;
    for said in &answer.items {
        if let Said::Reasoning(thought) = said {
            for piece in pieces(thought) {
                events.push(event(
                    json!({"contentBlockDelta": {"contentBlockIndex": block,
                    "delta": {"reasoningContent": {"text": piece}}}}),
                ));
            }
            events.push(event(
                json!({"contentBlockStop": {"contentBlockIndex": block}}),
            ));
            block += 1;
        }
    }
    let counted = answer
        .items
        .iter()
        .find(|said| matches!(said, Said::Words(_)));
    for piece in counted.map_or_else(|| pieces(&text), Said::pieces) {
        events.push(event(
            json!({"contentBlockDelta": {"contentBlockIndex": block, "delta": {"text": piece}}}),
        ));
    }
    let reason = match answer.early_end {
        Some(EarlyEnd::MaxOutputTokens) => "max_tokens",
        Some(EarlyEnd::ContentFilter) => "content_filtered",
        Some(EarlyEnd::Guardrail) => "guardrail_intervened",
        None => "end_turn",
    };
    let input = tokens(&ask.prompt) + so_far.texts().map(tokens).sum::<u64>();
    let output = answer.items.iter().map(Said::tokens).sum::<u64>();
    events.extend([
        event(json!({"contentBlockStop": {"contentBlockIndex": block}})),
        event(json!({"messageStop": {"stopReason": reason}})),
        event(
            json!({"metadata": {"usage": {"inputTokens": input, "outputTokens": output,
            "totalTokens": input + output}}}),
        ),
    ]);
    let mut stream = OutStream::of(events.into_iter().map(OutEvent::of).collect());
    stream.headers = vec![(ask.session_header.clone(), ask.session.clone())];
    Outgoing {
        stream,
        whole: json!({"response": text, "status": "success"}),
    }
}
