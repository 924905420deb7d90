//! The Codex CLI against the mocks: every way it signs in finishes a tool loop, and it names failures.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{command, finished, installed};
use crate::mock_client::start;

/// A home, a configuration and an environment of its own.
struct Run {
    name: &'static str,
    config: String,
    variables: Vec<(&'static str, &'static str)>,
}

/// What `codex exec --json` said.
struct Said {
    code: Option<i32>,
    events: Vec<Value>,
    /// For messages of failed tests.
    all: String,
}

impl Said {
    /// Completed items of a type.
    fn items(&self, kind: &str) -> Vec<&Value> {
        self.events
            .iter()
            .filter(|event| event["type"] == "item.completed")
            .map(|event| &event["item"])
            .filter(|item| item["type"] == kind)
            .collect()
    }

    fn failure(&self) -> &str {
        self.events
            .iter()
            .find(|event| event["type"] == "turn.failed")
            .and_then(|event| event["error"]["message"].as_str())
            .unwrap_or_default()
    }
}

/// The native program: the script around it only costs time.
fn codex() -> Option<PathBuf> {
    let triple = match std::env::consts::ARCH {
        "aarch64" => ("arm64", "aarch64-unknown-linux-musl"),
        _ => ("x64", "x86_64-unknown-linux-musl"),
    };
    installed(&format!(
        "node_modules/@openai/codex-linux-{}/vendor/{}/bin/codex",
        triple.0, triple.1
    ))
}

async fn exec(codex: &Path, run: &Run) -> Said {
    let home = TempDir::new().expect("a folder");
    let own = home.path().join(".codex");
    let work = home.path().join("work");
    for folder in [&own, &work] {
        std::fs::create_dir(folder).expect("a folder");
    }
    std::fs::write(own.join("config.toml"), &run.config).expect("a file");
    let mut command = command(codex);
    command
        .args(["exec", "--json", "--ephemeral", "--skip-git-repo-check"])
        // What is run is `echo sameturn`; a sandbox may not exist where the tests run.
        .args(["--sandbox", "danger-full-access", "Say hello."])
        .current_dir(&work)
        .env("HOME", home.path())
        .env("CODEX_HOME", &own)
        .envs(run.variables.iter().copied());
    let output = finished(command).await;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let events = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    Said {
        code: output.status.code(),
        events,
        all: format!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// A provider of one's own: the key comes from a variable, or from a command.
fn custom(model: &str, base: &str, sign_in: &str) -> String {
    format!(
        "model = \"{model}\"\nmodel_provider = \"mine\"\n[model_providers.mine]\nname = \"mine\"\n\
         base_url = \"{base}\"\nwire_api = \"responses\"\n{sign_in}\n"
    )
}

/// A provider that Codex knows, pointed at the mock.
fn bedrock(provider: &str, model: &str, base: &str) -> String {
    format!(
        "model = \"{model}\"\nmodel_provider = \"{provider}\"\n[model_providers.{provider}]\n\
         base_url = \"{base}\"\n[model_providers.{provider}.aws]\nregion = \"us-east-1\"\n"
    )
}

const BEARER: (&str, &str) = ("AWS_BEARER_TOKEN_BEDROCK", "sameturn-mock-bearer-default");
const OWN_KEY: (&str, &str) = ("MY_KEY", "sameturn-mock-bearer-default");
const ENV_KEY: &str = "env_key = \"MY_KEY\"";

fn keys() -> Vec<(&'static str, &'static str)> {
    vec![
        ("AWS_ACCESS_KEY_ID", "AKIDSAMETURNMOCKDEFAULT"),
        (
            "AWS_SECRET_ACCESS_KEY",
            "sameturn-mock-secret-of-default-not-a-real-key",
        ),
    ]
}

fn session() -> Vec<(&'static str, &'static str)> {
    vec![
        ("AWS_ACCESS_KEY_ID", "ASIASAMETURNMOCKTEMPORARY"),
        (
            "AWS_SECRET_ACCESS_KEY",
            "sameturn-mock-secret-of-temporary-not-a-real-key",
        ),
        (
            "AWS_SESSION_TOKEN",
            "sameturn-mock-session-token-of-temporary",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_finishes_a_tool_loop_however_it_signs_in() {
    let Some(codex) = codex() else {
        return;
    };
    let server = start().await;
    let origin = format!("http://{}", server.address());
    let openai = format!("{origin}/openai/v1");
    let mantle = format!("{origin}/bedrock-mantle/us-east-1/openai/v1");
    let runtime = format!("{origin}/bedrock-runtime/us-east-1/openai/v1");
    let on_mantle = || bedrock("amazon-bedrock", "openai.gpt-5.5", &mantle);
    let on_runtime = || bedrock("amazon-bedrock-runtime", "us.openai.gpt-5.6-sol", &runtime);
    let command_auth = "[model_providers.mine.auth]\ncommand = \"/bin/echo\"\n\
                        args = [\"sameturn-mock-bearer-default\"]";
    let run = |name, config, variables| Run {
        name,
        config,
        variables,
    };
    let runs = [
        run(
            "own provider, key in a variable",
            custom("gpt-5.5", &openai, ENV_KEY),
            vec![OWN_KEY],
        ),
        run(
            "own provider, key from a command",
            custom("gpt-5.5", &openai, command_auth),
            vec![],
        ),
        // The tools come in an item of the input, and are called from a program.
        run(
            "code mode",
            custom("gpt-6.1-sol", &openai, ENV_KEY),
            vec![OWN_KEY],
        ),
        // Asks for a WebSocket first.
        run(
            "openai",
            format!("model = \"gpt-5.5\"\nopenai_base_url = \"{openai}\"\n"),
            vec![("CODEX_API_KEY", "sameturn-mock-bearer-default")],
        ),
        run("mantle, bearer", on_mantle(), vec![BEARER]),
        run("mantle, static keys", on_mantle(), keys()),
        run("mantle, session token", on_mantle(), session()),
        run("runtime, static keys", on_runtime(), keys()),
        run("runtime, bearer", on_runtime(), vec![BEARER]),
    ];
    for run in &runs {
        let said = exec(&codex, run).await;
        let name = run.name;
        assert_eq!(said.code, Some(0), "{name}: {}", said.all);
        let commands = said.items("command_execution");
        assert_eq!(commands.len(), 1, "{name}: {}", said.all);
        assert_eq!(commands[0]["exit_code"], 0, "{name}");
        assert_eq!(commands[0]["aggregated_output"], "sameturn\n", "{name}");
        let messages = said.items("agent_message");
        let last = messages.last().map(|item| item["text"].to_string());
        let last = last.unwrap_or_default();
        assert!(last.contains("The tool answered"), "{name}: {}", said.all);
        assert!(last.contains("sameturn"), "{name}: {}", said.all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_names_the_failures_of_the_mock() {
    let Some(codex) = codex() else {
        return;
    };
    let server = start().await;
    let origin = format!("http://{}", server.address());
    let runs = [
        (
            Run {
                name: "expired key",
                config: bedrock(
                    "amazon-bedrock",
                    "openai.gpt-5.5",
                    &format!("{origin}/bedrock-mantle/us-east-1/openai/v1"),
                ),
                variables: vec![("AWS_BEARER_TOKEN_BEDROCK", "sameturn-mock-bearer-expired")],
            },
            "Amazon Bedrock rejected the request because its AWS signature has expired.",
        ),
        (
            Run {
                name: "context overflow at OpenAI",
                config: custom(
                    "gpt-5.5",
                    &format!("{origin}/fault/context-overflow/openai/v1"),
                    ENV_KEY,
                ),
                variables: vec![OWN_KEY],
            },
            "Codex ran out of room in the model's context window.",
        ),
        (
            // Mantle's error has another code, so Codex shows what came.
            Run {
                name: "context overflow at Mantle",
                config: bedrock(
                    "amazon-bedrock",
                    "openai.gpt-5.5",
                    &format!("{origin}/fault/context-overflow/bedrock-mantle/us-east-1/openai/v1"),
                ),
                variables: vec![BEARER],
            },
            "exceed model maximum",
        ),
    ];
    for (run, text) in &runs {
        let said = exec(&codex, run).await;
        assert_eq!(said.code, Some(1), "{}: {}", run.name, said.all);
        assert!(said.failure().contains(text), "{}: {}", run.name, said.all);
    }
}
