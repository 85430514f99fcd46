//! `lifecycle replay --compare`: what an edit of a model does to the customers of a file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::cli::{Run, lifecycle};

/// Anna orders once, ben twice, carl only looks.
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

/// Visitors have a stage, regulars need three orders, a milestone is new.
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
fn a_comparison_tells_who_stands_elsewhere_and_what_is_published_at_once() {
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
    // Visits have not been counted so far: carl has no stage at once, but would have had one.
    assert_eq!(found["at_once"], json!({"stage became_buyer": 1, "milestone second": 1}));
    assert_eq!(found["elsewhere"], 1);
    let kinds: Vec<&str> =
        found["consequences"].as_array().unwrap().iter().filter_map(|found| found["kind"].as_str()).collect();
    assert!(kinds.contains(&"fact-starts-empty"), "{kinds:?}");
}

#[test]
fn the_text_has_a_matrix_of_the_stages() {
    let run = compare(OLD, NEW, &[]);
    let expected = "\
buyers version 1 -> buyers version 2: 4 touchpoints of 3 customers, up to 2026-01-04 08:00

old, down; new, across   visitor     buyer
no stage                       1         -
buyer                          -         1
regular                        -         1
2 of 3 customers stand in another stage

milestone second: 1 customers have reached it who had not

put in the place of the old model now, with what that one knew of its customers:
  silently, unless `publish.reconciled` is set:
    milestone second: 1
    stage became_buyer: 1
  1 customers stand elsewhere than if it had run from the beginning
";
    assert!(run.output.starts_with(expected), "{}", run.output);
}

#[test]
fn a_model_compared_with_itself_changes_nothing() {
    let run = compare(OLD, OLD, &[]);
    assert_eq!(run.code, 0);
    for line in ["0 of 3 customers stand in another stage", "nothing changes at once", "0 customers stand elsewhere"] {
        assert!(run.output.contains(line), "{line}: {}", run.output);
    }
    let until = compare(OLD, OLD, &["--format", "json", "--until", "2026-01-02T00:00:00Z"]);
    let found: Value = serde_json::from_str(&until.output).unwrap();
    assert_eq!((&found["customers"], &found["until"]), (&json!(1), &json!("2026-01-02T00:00:00Z")));
}

#[test]
fn a_comparison_has_no_transitions_to_choose_from() {
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
