//! A second table, written without a look at the patterns and the first table: how far the patterns carry.

use serde::Deserialize;

use super::bodies::{Row, all_right};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldOut {
    failures: Vec<Row>,
    bystanders: Vec<Row>,
    later: Vec<Row>,
}

fn table() -> HeldOut {
    serde_yaml::from_str(include_str!("held_out.yaml")).unwrap()
}

#[test]
fn failures_nobody_tuned_for_have_the_right_class() {
    let rows = table().failures;
    assert!(rows.len() >= 150, "only {} rows", rows.len());
    all_right(&rows);
}

#[test]
fn bystanders_nobody_tuned_for_are_left_alone() {
    let rows = table().bystanders;
    assert!(rows.len() >= 50, "only {} rows", rows.len());
    all_right(&rows);
}

#[test]
fn what_was_written_after_the_tuning_has_the_right_class() {
    let rows = table().later;
    assert!(rows.len() >= 50, "only {} rows", rows.len());
    all_right(&rows);
}
