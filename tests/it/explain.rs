//! Tests of `lifecycle explain`: the timeline of one customer, the reasons of transitions, and the forecast.

use std::path::Path;

use serde_json::Value;

use super::cli::{Run, lifecycle};

const TOUCHPOINTS: &str = r#"{"event_id":"e1","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z","order_id":"o1","amount":39.90,"currency":"USD"}
{"event_id":"e2","customer_id":"ben","type":"order_completed","occurred_at":"2026-04-20T08:00:00Z","order_id":"o2","amount":10}
{"event_id":"e3","customer_id":"anna","type":"order_completed","occurred_at":"2026-03-01T08:00:00Z","order_id":"o3","amount":5}
{"event_id":"e3","customer_id":"anna","type":"order_completed","occurred_at":"2026-03-01T08:00:00Z","order_id":"o3","amount":5}
{"event_id":"e4","customer_id":"ben","type":"order_completed","occurred_at":"2026-06-10T08:00:00Z","order_id":"o4","amount":10}
"#;

fn explain(arguments: &[&str]) -> Run {
    lifecycle(Path::new("."), &[&["explain"], arguments, &["-"]].concat(), TOUCHPOINTS.as_bytes())
}

#[test]
fn a_customer_is_explained_as_text() {
    let run = explain(&["--customer", "anna", "--model", "retention"]);
    assert_eq!((run.code, run.errors.as_str()), (0, ""));
    let expected = "\
Timeline of anna (all times in UTC)
  2026-01-01 08:00  order_completed order_id=o1 amount=39.9 USD
      retention: became_active (no stage to active, forward)
          because orders.count >= 1
          with orders.count = 1
  2026-04-01 08:00  time passed
      retention: at_risk_of_churn (active to at_risk, forward)
          because orders.count >= 1 && (now >= orders.last + risk_after || unhappy)
          with orders.count = 1, orders.last = 2026-01-01 08:00 (90 days before), complained_at = none
          with scored_at = none
  2026-03-01 08:00  order_completed order_id=o3 amount=5 (arrived late)
      retention: risk_cleared (at_risk to active, backward, late)
          because orders.count >= 1
          with orders.count = 2
  2026-03-01 08:00  order_completed order_id=o3 amount=5 (duplicate, not counted again)
  2026-05-30 08:00  time passed
      retention: at_risk_of_churn (active to at_risk, forward)
          because orders.count >= 1 && (now >= orders.last + risk_after || unhappy)
          with orders.count = 2, orders.last = 2026-03-01 08:00 (90 days before), complained_at = none
          with scored_at = none

As of 2026-06-10 08:00
  retention  at_risk since 2026-05-30 08:00
  2 valid orders, revenue 44.9 USD, last order at 2026-03-01 08:00
  next wake-up at 2026-08-28 08:00, in 79 days

Forecast for anna without further touchpoints
  2026-08-28 08:00  time passed
      retention: churned (at_risk to churned, exit)
          because churned
          with orders.count = 2, orders.last = 2026-03-01 08:00 (180 days before), complained_at = none
          with scored_at = none, left_at = none
  no further transitions
";
    assert_eq!(run.output, expected);
}

#[test]
fn the_transitions_are_those_of_a_replay_of_all_customers() {
    for until in ["2026-03-31T00:00:00Z", "2026-04-10T00:00:00Z", "2026-06-10T08:00:00Z", "2027-01-01T00:00:00Z"] {
        let run = explain(&["--customer", "anna", "--format", "json", "--until", until]);
        assert_eq!(run.code, 0, "{}", run.errors);
        let explanation: Value = serde_json::from_str(&run.output).expect("an object");
        let timeline = explanation["timeline"].as_array().expect("a list");
        let explained: Vec<&Value> =
            timeline.iter().flat_map(|entry| entry["transitions"].as_array().expect("a list")).collect();
        let replay = lifecycle(Path::new("."), &["replay", "--until", until, "-"], TOUCHPOINTS.as_bytes());
        let all: Vec<Value> = replay.output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let published: Vec<&Value> = all.iter().filter(|transition| transition["customer_id"] == "anna").collect();
        let ids = |transitions: &[&Value]| -> Vec<String> {
            transitions.iter().map(|transition| transition["transition_id"].to_string()).collect()
        };
        assert_eq!(ids(&explained), ids(&published), "{until}");
        assert!(!explained.is_empty());
    }
}

#[test]
fn a_later_replay_publishes_the_forecast() {
    let ids = |entries: &Value| -> Vec<String> {
        let entries = entries.as_array().expect("a list").iter();
        let transitions = entries.flat_map(|entry| entry["transitions"].as_array().expect("a list").clone());
        transitions.map(|transition| transition["transition_id"].to_string()).collect()
    };
    let explanation = |until| -> Value {
        serde_json::from_str(&explain(&["--customer", "ben", "--format", "json", "--until", until]).output).unwrap()
    };
    let now = explanation("2026-06-11T00:00:00Z");
    let later = explanation("2036-06-11T00:00:00Z");
    assert_eq!(now["forecast_is_cut"], false);
    assert!(ids(&now["forecast"]).len() > 2);
    assert_eq!([ids(&now["timeline"]), ids(&now["forecast"])].concat(), ids(&later["timeline"]));
    assert_eq!(later["forecast"], serde_json::json!([]));
    assert_eq!(later["next_wake_up"], Value::Null);
}

#[test]
fn an_unknown_customer_and_an_invalid_line_exit_with_1_and_a_missing_file_with_2() {
    let run = explain(&["--customer", "carl"]);
    assert_eq!(run.code, 1);
    assert!(run.errors.contains("no touchpoint of the customer carl"), "{}", run.errors);
    let bad = lifecycle(Path::new("."), &["explain", "--customer", "a", "-"], b"{\"customer_id\":\"a\"}\n");
    assert_eq!(bad.code, 1);
    assert!(bad.errors.contains("-:1: "), "{}", bad.errors);
    let run = lifecycle(Path::new("."), &["explain", "--customer", "a", "nowhere.ndjson"], b"");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("nowhere.ndjson: cannot be read"), "{}", run.errors);
}

#[test]
fn a_pipe_that_would_be_read_twice_and_an_end_before_the_first_touchpoint_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let run = explain(&["--customer", "anna", "--until", "1999-01-01T00:00:00Z"]);
    assert!(run.code == 1 && run.errors.contains("customer anna found before --until"), "{}", run.errors);
    let run = lifecycle(directory.path(), &["explain", "--identity", "--customer", "anna", "fifo"], b"");
    assert!(run.code == 2 && run.errors.contains("name a regular file instead of fifo"), "{}", run.errors);
    let run = lifecycle(directory.path(), &["replay", "--topic", "touchpoints"], b"");
    assert!(run.code == 2 && run.errors.contains("--topic needs --bootstrap-servers or --config"), "{}", run.errors);
}

#[test]
fn control_characters_of_customers_are_escaped_in_text_and_unchanged_in_json() {
    let touchpoints = concat!(
        r#"{"event_id":"e1","customer_id":"c\u001b[31m1","type":"order_completed","occurred_at":"2026-01-01T00:00:00Z","order_id":"o-1","amount":5}"#,
        "\n",
        r#"{"event_id":"e2","customer_id":"c\u001b[31m1","type":"viewed\u001b[2J\u009b8m\u202e\u0007\u200b\ufeff","occurred_at":"2026-01-02T00:00:00Z"}"#,
        "\n",
        r#"{"event_id":"e3","customer_id":"c\u001b[31m1","type":"order_completed","occurred_at":"2026-01-03T00:00:00Z","order_id":"o-2\r\n  forged \u007f","amount":5}"#,
        "\n",
        r#"{"event_id":"e4","customer_id":"c\u001b[31m1","type":"order_completed","occurred_at":"\u001b[2J"}"#,
        "\n",
    );
    let arguments = ["explain", "--customer", "c\u{1b}[31m1", "--model", "retention"];
    let run = lifecycle(Path::new("."), &[&arguments[..], &["-"]].concat(), touchpoints.as_bytes());
    assert_eq!(run.code, 1, "the last line is invalid: {}", run.errors);
    for text in [&run.output, &run.errors] {
        assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control() && letter != '\u{202e}'), "{text:?}");
    }
    for expected in [
        "Timeline of c\\u{1b}[31m1 (all times in UTC)\n",
        "viewed\\u{1b}[2J\\u{9b}8m\\u{202e}\\u{7}\\u{200b}\\u{feff}\n",
        "order_id=o-2\\r\\n  forged \\u{7f} amount=5\n",
    ] {
        assert!(run.output.contains(expected), "{expected} in {}", run.output);
    }
    let run = lifecycle(Path::new("."), &[&arguments[..], &["--format", "json", "-"]].concat(), touchpoints.as_bytes());
    let json: Value = serde_json::from_str(&run.output).expect("one JSON object");
    assert_eq!(json["customer_id"], "c\u{1b}[31m1");
    assert_eq!(json["timeline"][1]["touchpoint"]["type"], "viewed\u{1b}[2J\u{9b}8m\u{202e}\u{7}\u{200b}\u{feff}");
    assert_eq!(json["timeline"][2]["touchpoint"]["order_id"], "o-2\r\n  forged \u{7f}");
}

#[test]
fn a_split_is_shown_with_the_customer_that_it_ends_the_merge_with() {
    let touchpoints = r#"{"event_id":"1","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z","order_id":"o1","amount":39.9}
{"event_id":"2","customer_id":"guest-17","type":"product_viewed","occurred_at":"2026-01-01T09:00:00Z"}
{"event_id":"3","customer_id":"anna","merged_id":"guest-17","type":"customer_merged","occurred_at":"2026-01-02T08:00:00Z"}
{"event_id":"4","customer_id":"guest-17","type":"customer_split","occurred_at":"2026-01-04T08:00:00Z"}
{"event_id":"5","customer_id":"guest-17","type":"product_viewed","occurred_at":"2026-01-05T08:00:00Z"}
{"event_id":"6","customer_id":"anna","type":"customer_split","occurred_at":"2026-01-06T08:00:00Z"}
"#;
    let directory = tempfile::tempdir().expect("a folder");
    std::fs::write(directory.path().join("touchpoints.ndjson"), touchpoints).expect("the touchpoints");
    let explain = |arguments: &[&str]| {
        let arguments =
            [&["explain", "--identity", "--model", "retention"], arguments, &["touchpoints.ndjson"]].concat();
        let run = lifecycle(directory.path(), &arguments, b"");
        assert_eq!((run.code, run.errors.as_str()), (0, ""));
        run.output
    };
    let guest = explain(&["--customer", "guest-17"]);
    assert!(guest.contains("2026-01-04 08:00  customer_split (split from anna)\n"), "{guest}");
    let anna = explain(&["--customer", "anna"]);
    assert!(anna.contains("2026-01-06 08:00  customer_split (split refused: not_merged)\n"), "{anna}");
    let json: Value = serde_json::from_str(&explain(&["--customer", "guest-17", "--format", "json"])).expect("JSON");
    let timeline = json["timeline"].as_array().expect("entries");
    let split = timeline.iter().find(|it| it["touchpoint"]["type"] == "customer_split").expect("the split");
    assert_eq!(
        (&split["touchpoint"]["split_from"], &split["touchpoint"]["counts_for"]),
        (&"anna".into(), &Value::Null)
    );
}
