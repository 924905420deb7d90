//! Reading of recorded arrivals, as public traces write them and as they must not be written.

use std::time::Duration;

use proptest::prelude::*;

use crate::load::replay::{Recorded, read};

fn rows(text: &str) -> Vec<(f64, Option<u32>, Option<u32>)> {
    read("arrivals", text, 1.0)
        .unwrap_or_else(|error| panic!("{error}"))
        .into_iter()
        .map(|one| (one.at.as_secs_f64(), one.prompt_tokens, one.output_tokens))
        .collect()
}

#[test]
fn the_azure_form_is_read_to_its_last_decimal() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n\
        2023-11-16 18:17:04.0319600,3180,8\r\n2023-11-17 00:00:00,110,27\r\n";
    assert_eq!(
        rows(text),
        [
            (0.0, Some(4808), Some(10)),
            (0.052, Some(3180), Some(8)),
            (20_576.020_04, Some(110), Some(27)),
        ]
    );
}

#[test]
fn the_mooncake_form_is_in_milliseconds() {
    let text = r#"{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46]}
"#;
    assert_eq!(
        rows(text),
        [(0.0, Some(6955), Some(52)), (3.053, Some(6472), Some(26))]
    );
    // The same word elsewhere is in seconds.
    assert_eq!(
        rows("{\"timestamp\": 1}\n{\"timestamp\": 3.5}"),
        [(0.0, None, None), (2.5, None, None)]
    );
}

#[test]
fn other_words_for_the_same_are_known_whatever_their_case() {
    for header in ["at", "Timestamp", "ARRIVAL", "arrived_at"] {
        assert_eq!(
            rows(&format!("x,{header}\n\"a,\"\"b\",1.5\n,1.75\n")),
            [(0.0, None, None), (0.25, None, None)]
        );
    }
    assert_eq!(
        rows("input_tokens,at,output_tokens\n,0,\n7,1,0\n"),
        [(0.0, None, None), (1.0, Some(7), Some(0))]
    );
    assert_eq!(
        rows(
            "\u{feff}{\"At\": \"2024-05-10T00:00:00.5+02:00\", \"Prompt_Tokens\": null}\n\n{\"at\": \"2024-05-09T22:00:02Z\", \"prompt_tokens\": 5}"
        ),
        [(0.0, None, None), (1.5, Some(5), None)]
    );
    // As the Azure traces of 2024 write it.
    assert_eq!(
        rows("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01.009930+00:00,1,1").len(),
        2
    );
}

#[test]
fn rows_are_sorted_and_equal_times_stay_in_their_order() {
    let text = "at,prompt_tokens\n5,1\n-1,2\n5,3\n2,4\n";
    let sizes: Vec<Option<u32>> = rows(text).into_iter().map(|row| row.1).collect();
    assert_eq!(sizes, [Some(2), Some(4), Some(1), Some(3)]);
    assert_eq!(rows(text)[1].0, 3.0);
}

#[test]
fn a_speed_shortens_the_whole() {
    let at = |speed| read("f", "at\n0\n10\n", speed).expect("arrivals")[1].at;
    assert_eq!(at(2.0), Duration::from_secs(5));
    assert_eq!(at(0.5), Duration::from_secs(20));
}

#[test]
fn messages_name_the_line_and_quote_it() {
    for (text, line, message, help) in [
        (
            "",
            1,
            "there are no arrivals here",
            "begin with a header such as",
        ),
        (
            "at,prompt_tokens\n",
            1,
            "a header and no arrivals",
            "0.25,512,128",
        ),
        (
            "time,size\n1,2\n",
            1,
            "no column holds the time of arrival",
            "`at`, `timestamp`",
        ),
        (
            "1,2\n",
            1,
            "no column holds the time of arrival",
            "must be a header",
        ),
        (
            "at,arrival\n1,2\n",
            1,
            "`at` and `arrival` mean the same",
            "leave one of them out",
        ),
        ("at,input_tokens,prompt_tokens\n", 1, "mean the same", ""),
        (
            "at,x\n1,2\n\n3\n",
            4,
            "the line has 1 fields, and the header has 2",
            "expected `at` and `x`",
        ),
        (
            "at\n1\nsoon\n",
            3,
            "`soon` is not a time",
            "write seconds such as `0.25`",
        ),
        (
            "at\n2023-13-16 18:17:03\n",
            2,
            "`2023-13-16 18:17:03` is not a time",
            "",
        ),
        ("at\nnan\n", 2, "is not a time", ""),
        ("at\n1e300\n", 2, "is not a time", ""),
        (
            "at,output_length\n1,many\n",
            2,
            "`many` is not a number of tokens",
            "`output_length` must be a whole number",
        ),
        (
            "at,output_length\n1,-2\n",
            2,
            "`-2` is not a number of tokens",
            "",
        ),
        (
            "at\n1\n2023-11-16 18:17:03\n",
            3,
            "the time is a date-time, and since line 2 it was seconds",
            "in one way",
        ),
        ("at\n\"1\n", 2, "a quote is opened", "close it"),
        (
            "{\"at\": 1}\n{\"at\": 1\n",
            2,
            "this line is not a JSON object: EOF",
            "one object per line",
        ),
        (
            "{\"x\": 1}\n",
            1,
            "no field holds the time",
            "add one of `at`",
        ),
        ("{\"at\": []}\n", 1, "`[]` is not a time", ""),
        (
            "{\"at\": 1, \"output_tokens\": 1.5}\n",
            1,
            "`1.5` is not a number of tokens",
            "",
        ),
        (
            "{\"timestamp\": 1, \"input_length\": 1}\n{\"timestamp\": 1}\n",
            2,
            "the time is seconds, and since line 1 it was milliseconds",
            "",
        ),
    ] {
        let error = read("file.csv", text, 1.0).expect_err(text);
        let one = &error.0[0];
        assert_eq!(one.line, line, "{text:?}: {error}");
        assert!(one.message.contains(message), "{text:?}: {error}");
        assert!(
            one.help.as_deref().unwrap_or_default().contains(help),
            "{text:?}: {error}"
        );
        let quoted = text.lines().nth(line - 1).unwrap_or_default();
        assert!(error.to_string().contains(quoted), "{text:?}: {error}");
    }
    let error = read("f", "at\n1", 0.0).expect_err("no speed");
    assert!(error.to_string().contains("the speed 0 is not possible"));
}

#[test]
fn hostile_lines_are_shown_escaped_and_cut_and_not_all() {
    let text = format!(
        "at\n{}",
        format!("\u{1b}[2J{}\n", "x".repeat(5000)).repeat(80)
    );
    let error = read("f", &text, 1.0).expect_err("no times");
    assert_eq!(error.0.len(), 50);
    let shown = error.to_string();
    assert!(!shown.contains('\u{1b}'));
    assert!(
        shown.lines().all(|line| line.chars().count() < 400),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z{}\":,0-9.\\n TZ+-]{0,200}") {
        if let Ok(rows) = read("f", &text, 1.0) {
            prop_assert_eq!(rows[0].at, Duration::ZERO);
            prop_assert!(rows.is_sorted_by_key(|row| row.at));
        }
    }

    #[test]
    fn csv_and_json_lines_say_the_same(rows in prop::collection::vec((0u32..100_000, 0u32..5000, prop::option::of(0u32..5000)), 1..40)) {
        let mut csv = String::from("at,prompt_tokens,output_tokens\n");
        let mut json = String::new();
        for (millis, prompt, output) in &rows {
            let at = f64::from(*millis) / 1000.0;
            csv += &format!("{at},{prompt},{}\n", output.map_or(String::new(), |one| one.to_string()));
            json += &serde_json::json!({"at": at, "prompt_tokens": prompt, "output_tokens": output}).to_string();
            json.push('\n');
        }
        let first = rows.iter().map(|row| row.0).min().unwrap_or_default();
        let mut expected: Vec<Recorded> = rows.iter().map(|row| Recorded {
            at: Duration::from_millis(u64::from(row.0 - first)),
            prompt_tokens: Some(row.1),
            output_tokens: row.2,
        }).collect();
        expected.sort_by_key(|row| row.at);
        prop_assert_eq!(read("f", &csv, 1.0), Ok(expected.clone()));
        prop_assert_eq!(read("f", &json, 1.0), Ok(expected));
    }
}
