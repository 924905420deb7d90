//! Rules of tool calls: they can be told apart, name a tool that exists, and carry usable arguments.
//!
//! These are what an agent executes without asking; it must never excuse one because the text of
//! the answer is fine.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::json_text::duplicate_key;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::{Ledger, text};
use crate::check::rules::{must, should};

const EVENTS: &str = "OpenAI API reference, Responses streaming events (2026-08-21)";
const CODEX: &str = "Codex 0.169.0 executes such a call silently (2026-11-21)";

static CALL_ID: Rule = must(
    "responses/call-id-present",
    "Every call has a call_id that its result can name.",
    CODEX,
);
static CALL_ID_UNIQUE: Rule = must(
    "responses/call-id-unique",
    "No two calls of an answer have the same call_id.",
    CODEX,
);
static NAME: Rule = must(
    "responses/tool-name-present",
    "Every call names its tool.",
    CODEX,
);
static DECLARED: Rule = must(
    "responses/tool-is-declared",
    "A call names a tool that the request declared.",
    "OpenRouter's verification of tool calls counts unknown names as failures (2026-11-21)",
);
static NAMESPACE: Rule = must(
    "responses/call-names-namespace",
    "A call of a tool that only a namespace declares says which namespace.",
    "github.com/BerriAI/litellm/pull/34488: Codex cannot dispatch a call without it (read 2026-11-21)",
);
static OBJECT: Rule = must(
    "responses/arguments-are-an-object",
    "The arguments of a finished function call are a JSON object.",
    CODEX,
);
static DUPLICATE_KEYS: Rule = must(
    "responses/arguments-keys-unique",
    "No key stands twice in the arguments: parsers keep the first or the last as they like.",
    "RFC 8259, section 4",
);
static START_EMPTY: Rule = must(
    "responses/arguments-start-empty",
    "A call is announced with empty arguments; they come in deltas.",
    EVENTS,
);
static DONE_NAME: Rule = should(
    "responses/arguments-done-names-tool",
    "Where the done event of the arguments has a name, it is that of the call.",
    "openai-openapi f85dbe2 requires the name (2026-08-21); 13 recordings have none",
);

pub static RULES: &[&Rule] = &[
    &CALL_ID,
    &CALL_ID_UNIQUE,
    &NAME,
    &DECLARED,
    &NAMESPACE,
    &OBJECT,
    &DUPLICATE_KEYS,
    &START_EMPTY,
    &DONE_NAME,
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let declared = ledger.subject.request.map(declared_tools);
    let mut seen = BTreeSet::new();
    for (event, item) in ledger.finished_items() {
        let kind = text(item, "type").unwrap_or_default();
        if !matches!(kind, "function_call" | "custom_tool_call") {
            continue;
        }
        call_id(event, item, &mut seen, out);
        name(ledger, event, item, declared.as_ref(), out);
        namespace(ledger, event, item, out);
        if kind == "function_call" {
            arguments(ledger, event, item, out);
        }
    }
    for log in &ledger.items {
        let Some((event, item)) = log.added.first() else {
            continue;
        };
        for key in ["arguments", "input"] {
            let first = text(item, key).unwrap_or_default();
            if is_call(item) && !first.is_empty() {
                out.add(
                    &START_EMPTY,
                    Some(*event),
                    format!("call {} is announced with its {key}", log.output_index),
                    "\"\"",
                    show(item.get(key)),
                );
            }
        }
        for event in &log.events {
            let named = text(event.data, "name");
            if event.kind == "response.function_call_arguments.done"
                && named.is_some()
                && named != text(item, "name")
            {
                out.add(
                    &DONE_NAME,
                    Some(event.index),
                    format!(
                        "the arguments of call {} are closed under another name",
                        log.output_index
                    ),
                    show(item.get("name")),
                    show(event.data.get("name")),
                );
            }
        }
    }
}

/// Whether an item asks the client to run one of its own tools.
pub fn is_call(item: &Value) -> bool {
    matches!(
        text(item, "type"),
        Some("function_call" | "custom_tool_call")
    )
}

fn call_id<'a>(
    event: usize,
    item: &'a Value,
    seen: &mut BTreeSet<&'a str>,
    out: &mut Collector<'_>,
) {
    match text(item, "call_id").filter(|id| !id.is_empty()) {
        None => out.add(
            &CALL_ID,
            Some(event),
            "a call has no call_id",
            "a non-empty call_id",
            show(item.get("call_id")),
        ),
        Some(id) if !seen.insert(id) => out.add(
            &CALL_ID_UNIQUE,
            Some(event),
            "two calls of the answer have the same call_id",
            "a call_id of its own",
            id,
        ),
        Some(_) => {}
    }
}

fn name(
    ledger: &Ledger<'_>,
    event: usize,
    item: &Value,
    declared: Option<&BTreeSet<&str>>,
    out: &mut Collector<'_>,
) {
    let Some(name) = text(item, "name").filter(|name| !name.is_empty()) else {
        out.add(
            &NAME,
            Some(event),
            "a call does not name its tool",
            "a non-empty name",
            show(item.get("name")),
        );
        return;
    };
    let shape = if text(item, "type") == Some("custom_tool_call") {
        "custom"
    } else {
        "function"
    };
    if let Some(kind) = kind_of_tool(ledger, name)
        && kind != shape
    {
        out.add(
            &DECLARED,
            Some(event),
            "a tool is called in another form than it was declared in",
            format!("a {kind} call of {name}"),
            format!("a {shape} call"),
        );
    }
    if let Some(declared) = declared
        && !declared.contains(name)
    {
        let known: Vec<&str> = declared.iter().copied().collect();
        out.add(
            &DECLARED,
            Some(event),
            "a call names a tool that was not declared",
            if known.is_empty() {
                "no call: no tool was declared".to_owned()
            } else {
                known.join(", ")
            },
            name,
        );
    }
}

/// Whether a tool at the top of the request is a function or takes free text.
fn kind_of_tool<'a>(ledger: &Ledger<'a>, name: &str) -> Option<&'a str> {
    let tools = ledger.subject.request?.get("tools")?.as_array()?;
    let mut named = tools.iter().filter(|tool| text(tool, "name") == Some(name));
    let kind = text(named.next()?, "type")?;
    // Of two tools with one name it cannot be known which is meant.
    (named.next().is_none() && matches!(kind, "function" | "custom")).then_some(kind)
}

fn arguments(ledger: &Ledger<'_>, event: usize, item: &Value, out: &mut Collector<'_>) {
    let raw = item.get("arguments");
    // A call that was cut short has the arguments it has; but it has some.
    let cut_short =
        text(item, "status") == Some("incomplete") || ledger.status() == Some("incomplete");
    let parsed = raw
        .and_then(Value::as_str)
        .map(serde_json::from_str::<Value>);
    match parsed {
        Some(_) if cut_short => return,
        Some(Ok(Value::Object(_))) => {}
        Some(Ok(_)) => out.add(
            &OBJECT,
            Some(event),
            "the arguments of a call are JSON but no object",
            "a JSON object",
            show(raw),
        ),
        Some(Err(error)) => out.add(
            &OBJECT,
            Some(event),
            format!("the arguments of a call are not JSON: {error}"),
            "a JSON object",
            show(raw),
        ),
        None => out.add(
            &OBJECT,
            Some(event),
            "the arguments of a call are no text",
            "a JSON object as text",
            show(raw),
        ),
    }
    if let Some(key) = raw.and_then(Value::as_str).and_then(duplicate_key) {
        out.add(
            &DUPLICATE_KEYS,
            Some(event),
            format!("the arguments of a call have the key {key:?} twice"),
            "each key once",
            show(raw),
        );
    }
}

/// Where the same name stands outside of namespaces too, or in no namespace, nothing is demanded.
fn namespace(ledger: &Ledger<'_>, event: usize, item: &Value, out: &mut Collector<'_>) {
    let (Some(request), Some(name)) = (ledger.subject.request, text(item, "name")) else {
        return;
    };
    let lists = |value: &'_ Value| value.get("tools").and_then(Value::as_array).cloned();
    let input = request.get("input").and_then(Value::as_array);
    let more = input.into_iter().flatten().filter_map(lists);
    let tools: Vec<Value> = lists(request).into_iter().chain(more).flatten().collect();
    let named = |tool: &Value| text(tool, "name") == Some(name);
    let (spaces, plain): (Vec<&Value>, Vec<&Value>) = tools
        .iter()
        .partition(|tool| text(tool, "type") == Some("namespace"));
    let holds = |space: &&&Value| lists(space).into_iter().flatten().any(|tool| named(&tool));
    let spaces: Vec<&str> = spaces
        .iter()
        .filter(holds)
        .filter_map(|space| text(space, "name"))
        .collect();
    if spaces.is_empty() || plain.into_iter().any(named) {
        return;
    }
    if !text(item, "namespace").is_some_and(|one| spaces.contains(&one)) {
        out.add(
            &NAMESPACE,
            Some(event),
            "a call of a tool in a namespace does not name the namespace",
            spaces.join(" or "),
            show(item.get("namespace")),
        );
    }
}

/// The names of all tools a request declares: at the top, in namespaces, and in the input items
/// that bring more of them.
fn declared_tools(request: &Value) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    add_tools(request.get("tools"), &mut names);
    for item in request
        .get("input")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        add_tools(item.get("tools"), &mut names);
    }
    names
}

fn add_tools<'v>(tools: Option<&'v Value>, names: &mut BTreeSet<&'v str>) {
    for tool in tools.and_then(Value::as_array).into_iter().flatten() {
        if text(tool, "type") != Some("namespace") {
            // The Chat Completions form, which some servers accept here too, nests the function.
            let name = text(tool, "name").or_else(|| text(tool.get("function")?, "name"));
            names.extend(name);
        }
        add_tools(tool.get("tools"), names);
    }
}
