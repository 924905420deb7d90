//! A target's guardrail on the wire: in the body, or in headers beside it.
//!
//! Core. Which of the two a wire API takes, and what the headers are called, is told by the provider's
//! row; it must never be sent where the row has nothing, because it would be ignored without a word.
//! Field names: service model of botocore 1.44.5 (read 2026-11-21).

use serde_json::{Map, Value};

use crate::catalog::provider::GuardrailPlace;
use crate::target::model::{Guardrail, GuardrailMode, GuardrailTrace};

/// Puts the guardrail into the body, or returns the headers that name it.
pub fn apply(
    guardrail: &Guardrail,
    place: &GuardrailPlace,
    stream: bool,
    body: &mut Value,
) -> Vec<(String, String)> {
    match place {
        GuardrailPlace::Body => {
            if let Value::Object(fields) = body {
                fields.insert("guardrailConfig".to_owned(), config(guardrail, stream));
            }
            Vec::new()
        }
        GuardrailPlace::Headers { id, version, trace } => {
            let mut headers = vec![
                (id.clone(), guardrail.id.clone()),
                (version.clone(), guardrail.version.clone()),
            ];
            headers.extend(
                guardrail
                    .trace
                    .map(|word| (trace.clone(), trace_word(word).to_ascii_uppercase())),
            );
            headers
        }
    }
}

fn config(guardrail: &Guardrail, stream: bool) -> Value {
    let mut config = Map::new();
    let mut put = |key: &str, value: &str| config.insert(key.to_owned(), value.into());
    put("guardrailIdentifier", &guardrail.id);
    put("guardrailVersion", &guardrail.version);
    if let Some(trace) = guardrail.trace {
        put("trace", trace_word(trace));
    }
    // Only the streaming operation has it.
    if let Some(mode) = guardrail.stream_mode.filter(|_| stream) {
        put(
            "streamProcessingMode",
            match mode {
                GuardrailMode::Sync => "sync",
                GuardrailMode::Async => "async",
            },
        );
    }
    Value::Object(config)
}

fn trace_word(trace: GuardrailTrace) -> &'static str {
    match trace {
        GuardrailTrace::Enabled => "enabled",
        GuardrailTrace::Disabled => "disabled",
        GuardrailTrace::EnabledFull => "enabled_full",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::dialect::guardrail::*;

    fn guardrail() -> Guardrail {
        Guardrail {
            id: "gr1".to_owned(),
            version: "DRAFT".to_owned(),
            trace: Some(GuardrailTrace::EnabledFull),
            stream_mode: Some(GuardrailMode::Async),
        }
    }

    #[test]
    fn a_body_says_how_a_stream_is_guarded_only_where_there_is_one() {
        for (stream, mode) in [(true, json!("async")), (false, Value::Null)] {
            let mut body = json!({"messages": []});
            let headers = apply(&guardrail(), &GuardrailPlace::Body, stream, &mut body);
            assert_eq!(headers, []);
            let config = &body["guardrailConfig"];
            assert_eq!(config["guardrailIdentifier"], "gr1");
            assert_eq!(config["guardrailVersion"], "DRAFT");
            assert_eq!(config["trace"], "enabled_full");
            assert_eq!(config["streamProcessingMode"], mode);
        }
    }

    #[test]
    fn headers_leave_the_body_alone() {
        let place = GuardrailPlace::Headers {
            id: "x-id".to_owned(),
            version: "x-version".to_owned(),
            trace: "x-trace".to_owned(),
        };
        let mut body = json!({"messages": []});
        let headers = apply(&guardrail(), &place, true, &mut body);
        let expected = [
            ("x-id", "gr1"),
            ("x-version", "DRAFT"),
            ("x-trace", "ENABLED_FULL"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers, expected);
        assert_eq!(body, json!({"messages": []}));
    }
}
