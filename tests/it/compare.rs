//! Tests of `lifecycle replay --compare`: the effects of a change to a model on the customers of a file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::cli::{Run, lifecycle};

/// Anna orders once, ben orders twice, carl only views a page.
const TOUCHPOINTS: &str = r#"{"event_id":"e1","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z","amount":10}
{"event_id":"e2","customer_id":"ben","type":"order_completed","occurred_at":"2026-01-02T08:00:00Z","amount":10}
{"event_id":"e3","customer_id":"ben","type":"order_completed","occurred_at":"2026-01-03T08:00:00Z","amount":10}
{"event_id":"e4","customer_id":"carl","type":"page_viewed","occurred_at":"2026-01-04T08:00:00Z"}
"#;

const OLD: &str = "
model: buyers
version: 1
journey: [buyer, regular]
facts: {orders: orders()}
stages:
  - {stage: regular, when: orders.count >= 2}
  - {stage: buyer, when: orders.count >= 1}
transitions:
  - {name: became_regular, to: regular}
  - {name: became_buyer, to: buyer}
milestones:
  - {milestone: first, when: orders.count >= 1}
";

/// Adds a stage for visitors and a milestone, and requires three orders for the stage `regular`.
const NEW: &str = "
model: buyers
version: 2
journey: [visitor, buyer, regular]
facts: {orders: orders(), visits: count(page_viewed)}
stages:
  - {stage: regular, when: orders.count >= 3}
  - {stage: buyer, when: orders.count >= 1}
  - {stage: visitor, when: visits >= 1}
transitions:
  - {name: became_regular, to: regular}
  - {name: became_buyer, to: buyer}
  - {name: became_visitor, to: visitor}
milestones:
  - {milestone: first, when: orders.count >= 1}
  - {milestone: second, when: orders.count >= 2}
";

fn compare(old: &str, new: &str, arguments: &[&str]) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("old.yaml"), old).expect("writable");
    fs::write(directory.path().join("new.yaml"), new).expect("writable");
    let command = ["replay", "--compare", "old.yaml", "new.yaml"];
    lifecycle(directory.path(), &[&command, arguments, &["-"]].concat(), TOUCHPOINTS.as_bytes())
}

#[test]
fn a_comparison_reports_moved_customers_and_the_transitions_at_deployment() {
    let run = compare(OLD, NEW, &["--format", "json"]);
    assert_eq!((run.code, run.errors.as_str()), (0, ""));
    let found: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(
        found["stages"],
        json!([
            {"old": "buyer", "new": "buyer", "customers": 1},
            {"old": null, "new": "visitor", "customers": 1},
            {"old": "regular", "new": "buyer", "customers": 1},
        ])
    );
    assert_eq!((&found["customers"], &found["touchpoints"], &found["moved"]), (&json!(3), &json!(4), &json!(2)));
    assert_eq!(found["milestones"], json!({"second": 1}));
    // The old model does not count visits, so carl has no stage after the migration, but has one after a full replay.
    assert_eq!(found["at_once"], json!({"stage became_buyer": 1, "milestone second": 1}));
    assert_eq!(found["elsewhere"], 1);
    let kinds: Vec<&str> =
        found["consequences"].as_array().unwrap().iter().filter_map(|found| found["kind"].as_str()).collect();
    assert!(kinds.contains(&"fact-starts-empty"), "{kinds:?}");
}

#[test]
fn a_set_parameter_applies_to_the_new_model_only() {
    let model = "model: buyers\nversion: 1\njourney: [buyer, regular]\nparameters: {orders_min: 2}\nfacts: {orders: orders()}\nstages:\n  \
                 - {stage: regular, when: orders.count >= orders_min}\n  - {stage: buyer, when: orders.count >= 1}\n";
    let run = compare(model, model, &["--set", "buyers.orders_min=9", "--format", "json"]);
    assert_eq!(run.code, 0, "{}", run.errors);
    let found: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(found["moved"], 1, "{found}");
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("model.yaml"), model).expect("writable");
    let arguments = ["check", "--against", "model.yaml", "--set", "buyers.orders_min=9", "model.yaml"];
    let run = lifecycle(directory.path(), &arguments, b"");
    assert!(run.output.contains("parameter `orders_min` changes from 2 to 9"), "{}{}", run.output, run.errors);
    fs::create_dir(directory.path().join("retention")).expect("a folder");
    let run = lifecycle(directory.path(), &["check", "retention"], b"");
    assert_eq!(run.code, 0, "a folder with the name of a model: {}", run.errors);
}

#[test]
fn the_text_has_a_matrix_of_the_stages() {
    let run = compare(OLD, NEW, &[]);
    let expected = "\
buyers version 1 -> buyers version 2: 4 touchpoints of 3 customers, up to 2026-01-04 08:00

rows: old, columns: new   visitor     buyer
no stage                        1         -
buyer                           -         1
regular                         -         1
2 of 3 customers are in a different stage

milestone second: newly reached by 1 customer

if the new model replaced the old one now and started from its state:
  transitions at deployment, published to the replay topic with mode `reconcile`:
    milestone second: 1
    stage became_buyer: 1
  1 customer is in a different stage than if the new model had run from the beginning
";
    assert!(run.output.starts_with(expected), "{}", run.output);
}

#[test]
fn a_model_compared_with_itself_changes_nothing() {
    let run = compare(OLD, OLD, &[]);
    assert_eq!(run.code, 0);
    for line in [
        "0 of 3 customers are in a different stage",
        "no transitions at deployment",
        "0 customers are in a different stage",
    ] {
        assert!(run.output.contains(line), "{line}: {}", run.output);
    }
    let until = compare(OLD, OLD, &["--format", "json", "--until", "2026-01-02T00:00:00Z"]);
    let found: Value = serde_json::from_str(&until.output).unwrap();
    assert_eq!((&found["customers"], &found["until"]), (&json!(1), &json!("2026-01-02T00:00:00Z")));
}

#[test]
fn a_comparison_cannot_be_combined_with_options_of_a_replay() {
    let arguments = ["replay", "--compare", "retention", "retention", "--model", "retention", "-"];
    assert_eq!(lifecycle(Path::new("."), &arguments, b"").code, 2);
    assert_eq!(lifecycle(Path::new("."), &["replay", "--format", "json", "-"], b"").code, 2);
    let run = lifecycle(Path::new("."), &["replay", "--compare", "retention", "retentoin", "-"], b"");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("did you mean `retention`?"), "{}", run.errors);
    let empty = lifecycle(Path::new("."), &["replay", "--compare", "retention", "retention", "-"], b"");
    assert_eq!(empty.code, 0, "{}", empty.errors);
    assert!(empty.output.contains("0 touchpoints of 0 customers"), "{}", empty.output);
}
