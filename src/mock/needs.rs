//! What the files of a mocked provider must hold for what its `provider.yaml` and `models.yaml` promise.
//!
//! Pure. Without it a missing row would show late, as an answer that nobody understands.

use crate::mock::data::{Provider, ToolChoices};

/// Error bodies that each mock sends.
const ALWAYS: [&str; 4] = ["missing-auth", "invalid-bearer", "denied", "unknown-model"];
/// Those of the OpenAI wire APIs.
const OF_BASE_PATHS: [&str; 6] = [
    "bad-json",
    "missing-model",
    "missing-input",
    "unknown-tool-type",
    "context-overflow",
    "previous-not-found",
];
/// Those of a check of a signature.
const OF_SIGNING: [&str; 5] = [
    "unknown-key",
    "signature-mismatch",
    "wrong-scope",
    "wrong-service",
    "malformed-auth",
];

/// The first thing that is missing: file, row and what asks for it.
pub(crate) fn missing(provider: &Provider) -> Result<(), String> {
    let manner = &provider.manner;
    let auto_only = |choice| choice == ToolChoices::AutoOnly;
    let needs: [(bool, &[&str], &str); 11] = [
        (true, &ALWAYS, "each mock sends"),
        (
            !manner.base_paths.is_empty(),
            &OF_BASE_PATHS,
            "`base_paths` asks for",
        ),
        (
            !manner.signing_names.is_empty(),
            &OF_SIGNING,
            "`signing_names` asks for",
        ),
        (
            manner.key_header.is_some(),
            &["invalid-key"],
            "`key_header` asks for",
        ),
        (
            !manner.guardrails.is_empty(),
            &["guardrail"],
            "`guardrails` asks for",
        ),
        (
            !manner.profile_only.is_empty(),
            &["on-demand"],
            "`profile_only` asks for",
        ),
        (
            !manner.application_profiles.is_empty(),
            &["application-profile"],
            "`application_profiles` asks for",
        ),
        (
            !manner.reserved_namespaces.is_empty(),
            &["reserved-namespace"],
            "`reserved_namespaces` asks for",
        ),
        (
            manner.agents.is_some(),
            &["no-prompt", "session-length", "unknown-qualifier"],
            "`agents` asks for",
        ),
        (
            manner.web_socket_status.is_some(),
            &["web-socket"],
            "`web_socket_status` asks for",
        ),
        (
            provider
                .models
                .iter()
                .any(|one| auto_only(one.kind.tool_choice)),
            &["tool-choice-unsupported"],
            "`tool_choice: auto_only` of a kind asks for",
        ),
    ];
    for (wanted, ids, because) in needs {
        let absent = ids.iter().find(|id| !provider.errors.contains_key(**id));
        if let (true, Some(id)) = (wanted, absent) {
            return Err(format!(
                "{}/errors.yaml: there is no row `{id}`, which {because}",
                manner.name
            ));
        }
    }
    for model in &provider.models {
        if model.kind.invoke && model.kind.chat.is_none() {
            return Err(format!(
                "{}/models.yaml: the kind of `{}` has `invoke` and no `chat`: InvokeModel takes the bodies of \
                 Chat Completions, and `chat` says what they may hold",
                manner.name, model.id
            ));
        }
    }
    Ok(())
}
