//! Tools whose input is JavaScript that calls the client's other tools: the "code mode" of coding agents.
//!
//! Pure: a tool's description in, a program out. What such a tool takes is told by its description
//! alone, which declares each nested tool as
//!
//! ```ts
//! declare const tools: { exec_command(args: {
//!   cmd: string;
//!   login?: boolean;
//! }): Promise<…>; };
//! ```
//!
//! and names `text(…)` as the way to answer (Codex CLI 0.169.0, as captured 2026-11-21). A real agent runs
//! the program, so it does nothing but run a harmless command, or print it where no tool runs commands.

use serde_json::json;

use crate::mock::satisfy::HARMLESS;

/// What a description of such a tool must say.
const DECLARED: &str = "declare const tools: { ";
const SAYS: &str = "`text(";

/// What a required argument is called that takes a shell command.
const COMMANDS: [&str; 2] = ["cmd", "command"];

/// The program for a tool of this description. `None` where it describes no such tool.
pub fn program(description: &str) -> Option<String> {
    if !description.contains("JavaScript") || !description.contains(SAYS) {
        return None;
    }
    let mut declared = description.split(DECLARED).skip(1).peekable();
    declared.peek()?;
    let said = json!(HARMLESS);
    let run = declared.find_map(|declaration| {
        let (name, rest) = declaration.split_once("(args: {")?;
        let (fields, _) = rest.split_once("}): Promise<")?;
        let command = only_required(fields).filter(|field| COMMANDS.contains(field))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        name.chars()
            .all(is_name)
            .then(|| format!("text(await tools.{name}({{{command}: {said}}}));"))
    });
    Some(run.unwrap_or_else(|| format!("text({said});")))
}

/// The one field that must be given, where there is one, and it is a string.
fn only_required(fields: &str) -> Option<&str> {
    let mut required = fields
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .flat_map(|line| line.split(';'))
        .filter_map(|field| field.trim().split_once(": "))
        .filter(|(name, _)| !name.ends_with('?'));
    let (name, kind) = required.next()?;
    (kind == "string" && required.next().is_none()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::program;

    const HEAD: &str = "Runs JavaScript.\n- `text(value: string)`: Appends a text item.\n";

    fn declared(tools: &[&str]) -> String {
        let mut description = HEAD.to_owned();
        for tool in tools {
            description.push_str(&format!(
                "```ts\ndeclare const tools: {{ {tool}; }};\n```\n"
            ));
        }
        description
    }

    #[test]
    fn the_first_tool_that_needs_a_command_and_nothing_else_runs_it() {
        let description = declared(&[
            "patch(input: string): Promise<unknown>",
            "goal(args: {\n  // What to do: a text.\n  objective: string;\n}): Promise<unknown>",
            "remote(args: {\n  cmd: string;\n  host: string;\n}): Promise<unknown>",
            "run(args: {\n  // Shell command; see below: it is run.\n  cmd: string;\n  tty?: boolean;\n}): Promise<{\n  output: string;\n}>",
            "other(args: { command: string }): Promise<unknown>",
        ]);
        assert_eq!(
            program(&description).as_deref(),
            Some(r#"text(await tools.run({cmd: "echo sameturn"}));"#)
        );
    }

    #[test]
    fn without_a_tool_for_commands_it_only_speaks() {
        let description = declared(&["look(args: {\n  path: string;\n}): Promise<unknown>"]);
        assert_eq!(
            program(&description).as_deref(),
            Some(r#"text("echo sameturn");"#)
        );
    }

    #[test]
    fn other_descriptions_are_not_taken_for_it() {
        assert_eq!(program("Runs JavaScript and prints `text(1)`."), None);
        assert_eq!(program("declare const tools: { a(args: {"), None);
        assert_eq!(program(""), None);
        let hostile = declared(&["x(1);evil(args: {\n  cmd: string;\n}): Promise<unknown>"]);
        assert_eq!(
            program(&hostile).as_deref(),
            Some(r#"text("echo sameturn");"#)
        );
    }
}
