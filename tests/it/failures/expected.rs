//! Scenarios that accept any of several failures, and mistakes in writing that.

use crate::program::Project;

fn scenario(expect: &str) -> String {
    format!(
        "name: mine/any\nabout: Any of several.\ngiven: {{ fault: throttled }}\nturns:\n  - user: ping\n    expect: {{ {expect} }}\n"
    )
}

fn check(expect: &str, code: i32) -> String {
    let project = Project::new().file("any.yaml", &scenario(expect));
    let said = project
        .run(&["check", "any.yaml", "--target", "openai"])
        .exits(code);
    format!("{}{}", said.stdout, said.stderr)
}

#[test]
fn any_of_several_failures_will_do() {
    check(
        "failure: [overloaded, throttled], code: [slow_down, rate_limit_exceeded]",
        0,
    );
    let wrong = check("failure: [model_not_found, wrong_route]", 1);
    let told = wrong.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("instead of model_not_found or wrong_route"),
        "{wrong}"
    );
    assert!(told.contains("got throttled (HTTP 429"), "{wrong}");
    let code = check("failure: throttled, code: [a, b, c]", 1);
    assert!(code.contains("instead of a, b or c"), "{code}");
}

#[test]
fn mistakes_in_lists_are_shown_where_they_stand() {
    for (expect, told) in [
        (
            "failure: [throttled, overladed]",
            "did you mean `overloaded`?",
        ),
        ("failure: []", "the list names no failure class"),
        (
            "failure: [throttled, throttled]",
            "`throttled` is there twice",
        ),
        ("failure: throttled, code: []", "the list names no code"),
        ("failure: 7", "a word or a list of words"),
        ("first: { failure: throttled }", "no other is allowed"),
    ] {
        let said = check(expect, 2);
        assert!(said.contains(told), "{expect}: {said}");
        assert!(said.contains("any.yaml:6:"), "{expect}: {said}");
    }
    let project = Project::new().file(
        "any.yaml",
        &scenario("stop: end").replace("turns:", "retries: { most: 11, on: [throtled] }\nturns:"),
    );
    let said = project.run(&["lint", "any.yaml"]).exits(2);
    let said = format!("{}{}", said.stdout, said.stderr);
    assert!(
        said.contains("1 to 10") && said.contains("did you mean `throttled`?"),
        "{said}"
    );
}
