//! Flags of `sameturn load` that cannot be meant: refused before anything is sent, with what to do about it.

use crate::load::{at, keyed};
use crate::stub_server::Stub;

#[test]
fn bad_flags_are_told_before_anything_is_sent() {
    let stub = Stub::events("");
    let project = keyed().file("sized.csv", "at,prompt_tokens\n0.0,10\n0.1,20\n");
    for (flags, words) in [
        (&["--rate", "fast"][..], "not a number"),
        (&["--rate", "5..50"], "5..50"),
        (
            &["--concurrency", "4", "--rate", "4"],
            "cannot be used with",
        ),
        (&["--slo", "ttft:p95<fast"], "ttft:p95<fast"),
        (&["--find-max"], "--slo"),
        (&["--prompt-tokens", "many"], "256"),
        (&["--prefix", "shared"], "shared:N"),
        (&["--prefix", "shared:256"], "no room"),
        (
            // Said by the first of three as by the last.
            &["--concurrency", "2", "--shard", "1/3", "--run", "r"],
            "one conversation for each of 3",
        ),
        (&["--mix", "no/such=1"], "no scenario"),
        (&["--arrivals", "absent.csv"], "absent.csv"),
        (&["--max-cost=-1"], "--max-cost"),
        (&["--max-cost", "1"], "price"),
        (&["--max-tokens", "0"], "--max-tokens"),
        (
            &["--cool-down", "1s", "--requests", "5"],
            "help: leave it away, or say by --duration",
        ),
        (&["--max-in-flight", "5"], "--concurrency says"),
        (
            &["--spacing", "constant", "--concurrency", "2"],
            "a conversation begins when another has ended",
        ),
        (
            &["--spacing", "constant", "--arrivals", "sized.csv"],
            "arrivals come as recorded",
        ),
        (
            &["--prompt-tokens", "10", "--arrivals", "sized.csv"],
            "--prompt-tokens: --arrivals says the size",
        ),
        (
            &["--speed", "0", "--arrivals", "sized.csv"],
            "--speed: 0 must be more",
        ),
        (&["--rate", "5/2s,9/2s", "--duration", "8s"], "than the 4 s"),
        (&["--concurrency", "900000000"], "help:"),
        (
            &["--concurrency", "5/1s,0", "--requests", "90"],
            "never be reached",
        ),
        (
            &[
                "--concurrency",
                "5/1s,1",
                "--requests",
                "90",
                "--shard",
                "2/2",
                "--run",
                "r",
            ],
            "in this shard",
        ),
    ] {
        let said = project.run(&at(&stub.base_url, flags)).exits(2);
        assert!(said.stderr.contains(words), "{flags:?}: {}", said.stderr);
    }
    assert!(stub.requests().is_empty());
}

#[test]
fn recorded_arrivals_with_mistakes_are_told_by_line() {
    let project = keyed().file("trace.csv", "at,prompt_tokens\n0.0,10\nsoon,20\n");
    let said = project.run(&["load", "--arrivals", "trace.csv"]).exits(2);
    assert!(said.stderr.contains("trace.csv:3"), "{}", said.stderr);
}

#[test]
fn what_can_be_combined_is() {
    let stub = Stub::events("");
    let project = keyed().file("half.csv", "at,prompt_tokens\n0.0,10\n0.1,\n");
    for flags in [
        &[
            "--cool-down",
            "100ms",
            "--requests",
            "2",
            "--duration",
            "300ms",
        ][..],
        &["--max-in-flight", "5", "--rate", "9", "--duration", "200ms"],
        // One of the recorded has no size of its own.
        &["--prompt-tokens", "10", "--arrivals", "half.csv"],
        &["--output-tokens", "10", "--arrivals", "half.csv"],
    ] {
        let said = project.run(&at(&stub.base_url, flags));
        assert_ne!(said.code, Some(2), "{flags:?}: {}", said.stderr);
    }
}

#[test]
fn a_run_is_never_written_over_another() {
    let stub = Stub::events("");
    let project = keyed();
    let flags = ["--run", "twice", "--requests", "1"];
    project.run(&at(&stub.base_url, &flags));
    let said = project.run(&at(&stub.base_url, &flags)).exits(2);
    assert!(
        said.stderr.contains("another name by `--run`"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("File exists"), "{}", said.stderr);
}
