//! What a turn sends, before it is authorised: its URL, body and headers.
//!
//! Pure. `check` and `load` ask for the same turn here, so that they send the same bytes. It must never
//! see a secret.

use serde_json::Value;

use crate::catalog::Catalog;
use crate::dialect::{self, guardrail};
use crate::plan::{self, PlannedTarget};
use crate::scenario;
use crate::scenario::model::Scenario;
use crate::turn::dialogue::{self, Entry, Stuck, TurnRequest};
use crate::turn::trace::TurnTrace;

/// The part of a conversation that a request carries, and the response that holds the rest.
#[derive(Debug, Clone, Copy)]
pub struct Conversation<'a> {
    pub entries: &'a [Entry],
    pub previous: Option<&'a str>,
}

/// A POST about to be authorised.
#[derive(Debug, Clone, PartialEq)]
pub struct Composed {
    pub url: String,
    pub body: Value,
    /// Headers that go with the body.
    pub added: Vec<(String, String)>,
}

/// What turn `index` carries of the conversation; `last` is the answer before it.
pub fn continued<'a>(
    scenario: &Scenario,
    index: usize,
    entries: &'a [Entry],
    last: Option<&'a TurnTrace>,
) -> Result<Conversation<'a>, Stuck> {
    if index == 0 || scenario.conversation == scenario::model::Conversation::Replayed {
        return Ok(Conversation {
            entries,
            previous: None,
        });
    }
    let previous = last.and_then(|trace| trace.response_id.as_deref());
    Ok(Conversation {
        entries: dialogue::since_last_answer(entries),
        previous: Some(previous.ok_or(Stuck::NoResponseId)?),
    })
}

/// The request of a turn in the target's dialect.
pub fn turn(
    catalog: &Catalog,
    target: &PlannedTarget,
    scenario: &Scenario,
    conversation: Conversation<'_>,
) -> Composed {
    let model = plan::model(scenario, target);
    let row = catalog.model(&target.provider.id, model);
    let mut body = dialect::encode_mapped(
        target.dialect,
        &target.agent,
        &TurnRequest {
            model,
            stream: scenario.stream,
            system: scenario.system.as_deref(),
            tools: &scenario.tools,
            wire_tools: &scenario.wire_tools,
            settings: &scenario.settings,
            effort_field: row.and_then(|row| row.effort_field.as_deref()),
            format: scenario.format.as_ref(),
            stored: scenario.conversation == scenario::model::Conversation::Stored,
            previous: conversation.previous,
            entries: conversation.entries,
        },
    );
    if let Some(fields) = body.as_object_mut() {
        fields.extend(scenario.wire_fields.clone());
    }
    let guarded = target.guardrail.as_ref().and_then(|guardrail| {
        let place = target.provider.guardrails.get(target.dialect.word())?;
        Some(guardrail::apply(
            guardrail,
            place,
            scenario.stream,
            &mut body,
        ))
    });
    Composed {
        url: plan::scenario_route(scenario, target).url(model, scenario.stream),
        body,
        added: guarded.unwrap_or_default(),
    }
}

/// The headers of a request, but those that authorisation adds and those whose values are secret.
pub fn headers(
    target: &PlannedTarget,
    scenario: &Scenario,
    session: &str,
    added: &[(String, String)],
) -> Vec<(String, String)> {
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        (
            "accept".to_owned(),
            target.dialect.accept(scenario.stream).to_owned(),
        ),
        (
            "user-agent".to_owned(),
            concat!("sameturn/", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
    ];
    let session_header = target.provider.session_header.as_deref();
    headers.extend(session_header.map(|name| (name.to_owned(), session.to_owned())));
    headers.extend(added.iter().cloned());
    headers.extend(target.headers.iter().cloned());
    headers.extend(
        scenario
            .wire_headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.clone())),
    );
    headers
}
