//! `lifecycle replay` and `lifecycle explain` with identity resolution.

use serde_json::{Value, json};

use crate::cli::{Run, lifecycle};
use crate::oracle::summary::{DAY, HOUR};

use super::{START, line, merge, split};

/// Runs the program in a new directory with the file `touchpoints.ndjson`.
fn run_with(lines: &[String], arguments: &[&str]) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("touchpoints.ndjson"), lines.join("\n")).expect("the file is written");
    lifecycle(directory.path(), arguments, b"")
}

#[test]
fn a_replay_lists_refused_links() {
    let lines = [
        line("1", "k", "tablet", "customer_identified", START),
        line("2", "l", "tablet", "customer_identified", START + DAY),
        merge("3", "l", "guest", START + DAY),
    ];
    let list = ["replay", "--identity", "--output", "refused-links", "touchpoints.ndjson"];
    let run = run_with(&lines, &list);
    assert_eq!(run.code, 0, "{}", run.errors);
    let expected = r#"{"reason":"shared_id","customer_id":"l","other_id":"tablet","event_id":"2","type":"customer_identified","occurred_at":"2025-01-02T00:00:00Z"}
{"reason":"blocked_id","customer_id":"l","other_id":"guest","event_id":"3","type":"customer_merged","occurred_at":"2025-01-02T00:00:00Z"}
"#;
    assert_eq!(run.output, expected);
    let without = run_with(&lines, &["replay", "--output", "refused-links", "touchpoints.ndjson"]);
    assert_eq!(without.code, 2);
    assert!(without.errors.contains("add --identity"), "{}", without.errors);
}

#[test]
fn the_explain_command_shows_refused_links_and_whose_touchpoints_they_are() {
    let lines = [
        line("1", "", "tablet", "order_completed", START),
        line("2", "anna", "tablet", "customer_identified", START + 60_000),
        line("3", "", "tablet", "product_viewed", START + 120_000),
        line("4", "ben", "tablet", "customer_identified", START + DAY),
        line("5", "", "tablet", "product_viewed", START + 3 * DAY),
        merge("6", "anna", "guest", START + 3 * DAY),
    ];
    let explained = |id: &str| {
        let arguments = ["explain", "--identity", "--customer", id, "--model", "retention", "touchpoints.ndjson"];
        let run = run_with(&lines, &arguments);
        assert_eq!((run.code, run.errors.as_str()), (0, ""));
        let (timeline, _) = run.output.split_once("\n\nAs of").expect("the end of the timeline");
        let entries = timeline.lines().filter(|line| !line.starts_with("          ")).map(str::trim_start);
        entries.skip_while(|line| !line.starts_with('2')).map(str::to_owned).collect::<Vec<_>>()
    };
    let anna = [
        "2025-01-01 00:00  order_completed (as tablet)",
        "retention: became_active (no stage to active, forward)",
        "2025-01-01 00:01  customer_identified (anonymous_id=tablet)",
        "retention: merged (active to no stage, backward) (as tablet, into anna)",
        "retention: became_active (no stage to active, forward) (from tablet)",
        "2025-01-01 00:02  product_viewed (as tablet)",
        "2025-01-04 00:00  customer_merged (link to guest refused: blocked_id)",
    ];
    assert_eq!(explained("anna"), anna);
    assert_eq!(explained("ben"), ["2025-01-02 00:00  customer_identified (link to tablet refused: shared_id)"]);
    let tablet = [
        "2025-01-01 00:00  order_completed",
        "retention: became_active (no stage to active, forward)",
        "2025-01-01 00:01  customer_identified (as anna) (anonymous_id=tablet)",
        "retention: merged (active to no stage, backward) (as tablet, into anna)",
        "2025-01-01 00:02  product_viewed (counts for anna)",
        "2025-01-04 00:00  product_viewed",
    ];
    assert_eq!(explained("tablet"), tablet);
    let arguments = ["explain", "--identity", "--customer", "ben", "--format", "json", "touchpoints.ndjson"];
    let json: Value = serde_json::from_str(&run_with(&lines, &arguments).output).expect("JSON");
    assert_eq!(json["timeline"][0]["touchpoint"]["link_refused"], "shared_id");
}

#[test]
fn a_touchpoint_from_before_an_erasure_is_shown_and_counted() {
    let lines = [
        line("1", "anna", "", "page_viewed", START),
        line("2", "anna", "", "customer_erased", START + 2 * DAY),
        line("3", "anna", "", "order_completed", START + DAY),
        line("4", "anna", "", "page_viewed", START + 3 * DAY),
    ];
    let arguments = ["replay", "--identity", "--summary", "--model", "retention", "touchpoints.ndjson"];
    let run = run_with(&lines, &arguments);
    assert_eq!((run.code, run.output.as_str()), (0, ""));
    let counted =
        "4 touchpoints: 3 applied (0 late, 0 of unknown type), 0 duplicates, 1 from before an erasure, not counted";
    assert!(run.errors.contains(counted), "{}", run.errors);
    let run = run_with(&lines, &["explain", "--identity", "--customer", "anna", "touchpoints.ndjson"]);
    let shown = "2025-01-02 00:00  order_completed (from before the erasure, not counted)";
    assert!(run.output.contains(shown), "{}", run.output);
}

#[test]
fn a_touchpoint_of_a_visitor_without_identity_resolution_is_a_dead_letter_that_names_it() {
    let run = run_with(&order_of_a_visitor(), &["replay", "touchpoints.ndjson"]);
    let expected = "touchpoints.ndjson:1: no_customer: customer_id is missing; the anonymous_id counts only with identity resolution \
                    (identity.enabled, --identity)\n";
    assert!(run.errors.starts_with(expected), "{}", run.errors);
}

fn order_of_a_visitor() -> Vec<String> {
    let order = line("1", "", "visitor-7", "order_completed", START);
    vec![order, line("2", "anna", "visitor-7", "customer_identified", START + DAY)]
}

#[test]
fn the_replay_command_publishes_the_merge_in_both_directions() {
    let run = run_with(&order_of_a_visitor(), &["replay", "--identity", "--model", "retention", "touchpoints.ndjson"]);
    assert_eq!((run.code, run.errors.as_str()), (0, ""));
    let records: Vec<Value> = run.output.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    let fields = |record: &Value| {
        ["customer_id", "name", "from", "to", "merged_into", "merged_from"].map(|name| record[name].clone())
    };
    let found: Vec<_> = records.iter().map(fields).collect();
    let expected = [
        [json!("visitor-7"), json!("became_active"), Value::Null, json!("active"), Value::Null, Value::Null],
        [json!("visitor-7"), json!("merged"), json!("active"), Value::Null, json!("anna"), Value::Null],
        [json!("anna"), json!("became_active"), Value::Null, json!("active"), Value::Null, json!("visitor-7")],
    ];
    assert_eq!(found, expected);
    assert_eq!(records[2]["cause"], json!({"event_id": "2", "type": "customer_identified"}));
}

#[test]
fn a_merged_id_that_was_in_no_stage_publishes_one_record() {
    let lines = [
        line("1", "", "visitor-7", "page_viewed", START),
        line("2", "anna", "visitor-7", "customer_identified", START + DAY),
        merge("3", "anna", "unknown-id", START + 2 * DAY),
    ];
    let run = run_with(&lines, &["replay", "--identity", "--model", "retention", "touchpoints.ndjson"]);
    assert_eq!((run.code, run.output.lines().count()), (0, 1), "{}", run.output);
    let record: Value = serde_json::from_str(&run.output).expect("JSON");
    let found =
        ["customer_id", "kind", "name", "from", "to", "merged_into", "sequence"].map(|name| record[name].clone());
    let expected =
        [json!("visitor-7"), json!("stage"), json!("merged"), json!(null), json!(null), json!("anna"), json!(1)];
    assert_eq!((found, &record["cause"]["event_id"]), (expected, &json!("2")), "{record:#}");
}

#[test]
fn the_explain_command_does_not_show_a_customer_that_was_erased_under_another_id() {
    let lines = [
        line("1", "", "a", "page_viewed", START),
        line("2", "k", "a", "customer_identified", START + DAY),
        line("3", "", "a", "customer_erased", START + 2 * DAY),
    ];
    for id in ["k", "a"] {
        let run = run_with(&lines, &["explain", "--identity", "--customer", id, "touchpoints.ndjson"]);
        assert_eq!(run.code, 1);
        let problem =
            format!("the customer {id} has no state: it was erased or forgotten, or no touchpoint counts for it");
        assert!(run.errors.contains(&problem), "{}", run.errors);
    }
}

#[test]
fn the_explain_command_shows_a_split_for_both_customers() {
    let lines = [
        line("1", "b", "", "order_completed", START),
        merge("2", "k", "b", START + DAY),
        split("3", "b", START + 10 * DAY),
        line("4", "b", "", "order_completed", START + 20 * DAY),
        line("5", "b", "", "order_completed", START + 5 * DAY),
        line("6", "k", "", "order_completed", START + 21 * DAY),
    ];
    let expected = [("k", vec!["1", "2", "3", "5", "6"], 3), ("b", vec!["1", "2", "3", "4", "5"], 1)];
    for (id, events, orders) in expected {
        let explain = ["explain", "--identity", "--customer", id, "--model", "retention", "--format", "json"];
        let run = run_with(&lines, &[&explain[..], &["touchpoints.ndjson"]].concat());
        assert_eq!((run.code, run.errors.as_str()), (0, ""));
        let found: Value = serde_json::from_str(&run.output).expect("JSON");
        assert_eq!((&found["customer_id"], &found["orders"]["count"]), (&json!(id), &json!(orders)), "{found:#}");
        assert_eq!(found["aliases"], json!([]), "{found:#}");
        let timeline = found["timeline"].as_array().expect("a timeline").iter();
        let shown: Vec<&str> = timeline.filter_map(|entry| entry["touchpoint"]["event_id"].as_str()).collect();
        assert_eq!(shown, events, "{id}: {found:#}");
    }
}

/// A touchpoint of another customer decides from which day on the split id is independent.
#[test]
fn the_explain_command_counts_for_a_split_id_what_a_replay_does() {
    let lines = [
        line("1", "b", "", "order_completed", START),
        merge("2", "k", "b", START + DAY),
        line("3", "other", "", "page_viewed", START + 3 * DAY),
        line("4", "b", "", "page_viewed", START + 2 * DAY),
        split("5", "b", START + 3 * DAY + HOUR),
        line("6", "b", "", "order_completed", START + 3 * DAY + 2 * HOUR),
        // It is refused, because the id is no longer merged, and merged again.
        split("7", "b", START + 5 * DAY),
        merge("8", "k", "b", START + 6 * DAY),
    ];
    let run = run_with(&lines, &["explain", "--identity", "--customer", "k", "touchpoints.ndjson"]);
    assert!(run.output.contains("\n  2 valid orders"), "{}", run.output);
    assert!(run.output.contains("customer_split (as b) (split refused: not_merged)"), "{}", run.output);
}

#[test]
fn the_explain_command_shows_an_erasure_that_another_id_has_caused() {
    let before = [line("1", "", "a", "page_viewed", START), line("2", "k", "a", "customer_identified", START + DAY)];
    let erasure = line("3", "", "a", "customer_erased", START + 2 * DAY);
    let after = line("4", "k", "", "page_viewed", START + 3 * DAY);
    let [visit, link] = before;
    let explain = ["explain", "--identity", "--customer", "k", "touchpoints.ndjson"];
    let run = run_with(&[visit.clone(), link.clone(), erasure.clone(), after.clone()], &explain);
    assert!(run.output.contains("2025-01-03 00:00  customer_erased (as a)\n"), "{}", run.output);
    let shop = line("0", "k", "", "page_viewed", START);
    let run = run_with(&[visit, shop, erasure, link, after], &explain);
    let shown = "customer_identified (anonymous_id=a) (erased, because the other id was erased later)\n";
    assert!(run.output.contains(shown), "{}", run.output);
}

#[test]
fn the_explain_command_shows_the_merge_for_either_id() {
    for id in ["anna", "visitor-7"] {
        let arguments = ["explain", "--identity", "--customer", id, "--model", "retention", "touchpoints.ndjson"];
        let run = run_with(&order_of_a_visitor(), &arguments);
        assert_eq!((run.code, run.errors.as_str()), (0, ""));
        for part in [
            "Timeline of anna (all times in UTC)\n  also known as visitor-7\n",
            "order_completed (as visitor-7)\n",
            "customer_identified (anonymous_id=visitor-7)\n      retention: merged (active to no stage, backward) \
             (as visitor-7, into anna)\n          because the facts moved to anna\n      retention: became_active (no stage to active, forward) (from visitor-7)\n",
            "  retention  active since 2025-01-02 00:00\n",
        ] {
            assert!(run.output.contains(part), "{part}\n{}", run.output);
        }
    }
}
