//! A command that prints a bearer token, as a target file or a flag says it.
//!
//! Plain data; `auth` runs it. What it means, and its defaults, are those of Codex's
//! `[model_providers.ID.auth]` (https://github.com/openai/codex/pull/16288, 2026-03-31): a program and its
//! arguments, no shell, so that what works there works here.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::cut_to;
use crate::scenario::model::parse_duration;

/// How long the command may take where nothing is said: `timeout_ms` of Codex.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How old a token may become where nothing is said: `refresh_interval_ms` of Codex.
pub const REFRESH: Duration = Duration::from_secs(300);

/// A command whose standard output is a bearer token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerCommand {
    /// The program and its arguments; at least the program. No shell reads them.
    pub command: Vec<String>,
    /// It is killed, with what it started, when it takes longer.
    pub timeout: Duration,
    /// A token older than this is replaced before the next turn; `None`: only after a 401.
    pub refresh: Option<Duration>,
    /// Where it runs; the working directory of this process where absent.
    pub cwd: Option<String>,
}

impl BearerCommand {
    /// The command with these words and the usual limits. Words that cannot be run are an error.
    fn of(command: Vec<String>) -> Result<BearerCommand, String> {
        if command.first().is_none_or(|program| program.is_empty()) {
            return Err("the command names no program: write `[az, account, …]`".to_owned());
        }
        if command.iter().any(|word| word.contains('\0')) {
            return Err("a command has no NUL characters".to_owned());
        }
        Ok(BearerCommand {
            command,
            timeout: TIMEOUT,
            refresh: Some(REFRESH),
            cwd: None,
        })
    }

    /// Splits one line into words as a POSIX shell would. What only a shell can do is refused, because
    /// it would reach the program as words.
    pub fn of_line(line: &str) -> Result<BearerCommand, String> {
        let words = shlex::split(line).ok_or("the command has a quote that is not closed")?;
        let shell = |word: &String| {
            let operator = !word.is_empty() && word.chars().all(|c| "|&;<>".contains(c));
            operator || word.contains("$(") || word.contains('`')
        };
        if let Some(word) = words.iter().find(|word| shell(word) || variable(word)) {
            let word = cut_to(word, 40);
            return Err(format!(
                "`{word}` is for a shell, and none reads this: write `[sh, -c, \"…\"]`, or the words as a list"
            ));
        }
        BearerCommand::of(words)
    }

    /// The program without its folder and arguments, which may be secret: safe to print.
    pub fn program(&self) -> &str {
        let program = self.command.first().map_or("", String::as_str);
        program.rsplit('/').next().unwrap_or(program)
    }
}

/// Whether a shell would put a variable in: `$NAME` or `${NAME}`.
fn variable(word: &str) -> bool {
    word.split('$')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '{'))
}

/// The long form.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// The program and its arguments; one text is split into words as a shell would.
    command: Words,
    /// How long it may take; 5s where absent.
    #[serde(default, deserialize_with = "timeout")]
    #[schemars(with = "Option<String>")]
    timeout: Option<Duration>,
    /// How old a token may become; 5m where absent. `never`: only after a 401.
    #[serde(default, deserialize_with = "refresh")]
    #[schemars(with = "Option<String>")]
    refresh: Option<Refresh>,
    /// Where it runs; the working directory of sameturn where absent.
    #[serde(default)]
    cwd: Option<String>,
}

/// `refresh:` as written.
enum Refresh {
    After(Duration),
    Never,
}

fn timeout<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    text.map(|text| parse_duration(&text).map_err(Error::custom))
        .transpose()
}

fn refresh<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Refresh>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    text.map(|text| match text.trim() {
        "never" => Ok(Refresh::Never),
        text => parse_duration(text)
            .map(Refresh::After)
            .map_err(|error| Error::custom(format!("{error}, or `never`"))),
    })
    .transpose()
}

/// A command alone: a list of words, or a line of them.
struct Words(BearerCommand);

impl JsonSchema for Words {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                { "type": "string", "minLength": 1 },
            ]
        })
    }
}

impl JsonSchema for BearerCommand {
    fn schema_name() -> Cow<'static, str> {
        "BearerCommand".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = Words::json_schema(generator);
        let long = generator.subschema_for::<Long>();
        json_schema!({
            "description": "A command that prints a bearer token: its words, or a mapping with limits.",
            "anyOf": [words, long],
        })
    }
}

/// Reads one of the forms; `long` tells whether a mapping is one of them.
struct Forms {
    long: bool,
}

impl<'de> Visitor<'de> for Forms {
    type Value = BearerCommand;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.long {
            true => "a command: a list of words, one text, or a mapping with `command`",
            false => "a command: a list of words, or one text",
        })
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<BearerCommand, E> {
        BearerCommand::of_line(line).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<BearerCommand, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = items.next_element::<String>()? {
            words.push(word);
        }
        BearerCommand::of(words).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BearerCommand, A::Error> {
        if !self.long {
            return Err(A::Error::custom(
                "expected a command: a list of words, or one text; found a mapping",
            ));
        }
        let long = Long::deserialize(MapAccessDeserializer::new(map))?;
        Ok(BearerCommand {
            timeout: long.timeout.unwrap_or(TIMEOUT),
            refresh: match long.refresh {
                None => Some(REFRESH),
                Some(Refresh::After(span)) => Some(span),
                Some(Refresh::Never) => None,
            },
            cwd: long.cwd,
            ..long.command.0
        })
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Words, D::Error> {
        input.deserialize_any(Forms { long: false }).map(Words)
    }
}

impl<'de> Deserialize<'de> for BearerCommand {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<BearerCommand, D::Error> {
        input.deserialize_any(Forms { long: true })
    }
}

#[cfg(test)]
mod tests {
    use crate::target::bearer_command::*;

    fn read(text: &str) -> Result<BearerCommand, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn three_forms_say_the_same() {
        let list = read("[az, account, 'get token']").expect("a list");
        assert_eq!(list.command, ["az", "account", "get token"]);
        assert_eq!(
            (list.timeout, list.refresh, list.cwd.as_deref()),
            (TIMEOUT, Some(REFRESH), None)
        );
        assert_eq!(read("az account 'get token'"), Ok(list.clone()));
        assert_eq!(
            read("{ command: [az, account, get token] }"),
            Ok(list.clone())
        );
        assert_eq!(read("{ command: az account 'get token' }"), Ok(list));
        let long = read("{ command: [/opt/x/az], timeout: 10s, refresh: never, cwd: /tmp }");
        let long = long.expect("a mapping");
        assert_eq!(long.timeout, Duration::from_secs(10));
        assert_eq!((long.refresh, long.cwd.as_deref()), (None, Some("/tmp")));
        assert_eq!(long.program(), "az");
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (text, word) in [
            ("[]", "no program"),
            ("''", "no program"),
            ("['']", "no program"),
            ("\"az 'account\"", "not closed"),
            ("cat token | tr -d x", "`|` is for a shell"),
            ("a && b", "`&&` is for a shell"),
            ("get $TOKEN", "`$TOKEN` is for a shell"),
            ("get ${TOKEN}", "for a shell"),
            ("get $(pass x)", "for a shell"),
            ("{ command: [a], timeout: never }", "not a duration"),
            ("{ command: [a], refresh: 0s }", "`never`"),
            ("{ command: { a: b } }", "found a mapping"),
            ("{ cmd: [a] }", "cmd"),
            ("{ timeout: 1s }", "command"),
            ("7", "a command"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(word), "{text}: {said}");
        }
        // In a list every word is meant as it stands; a lone `$` is no variable.
        assert!(read("[tr, '|', '$HOME']").is_ok());
        assert!(read("pay 5$ now").is_ok());
    }
}
