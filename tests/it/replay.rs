//! Tests `lifecycle replay`: input from files, gzip and standard input, invalid lines, and the output.

use std::io::Write;
use std::path::Path;

use super::cli::{Run, lifecycle};

const TOUCHPOINTS: &str = r#"{"event_id":"e1","customer_id":"anna","type":"ad_clicked","occurred_at":"2026-01-01T08:00:00Z"}
{"event_id":"e2","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-02T08:00:00Z","order_id":"o1","amount":39.90,"currency":"USD"}
{"event_id":"e3","customer_id":"ben","type":"order_completed","occurred_at":"2026-01-03T08:00:00Z","order_id":"o2","amount":10,"currency":"USD"}
{"event_id":"e4","customer_id":"anna","type":"order_completed","occurred_at":"2026-02-01T08:00:00Z","order_id":"o3","amount":0.10,"currency":"USD"}
"#;

fn replay(arguments: &[&str], input: &str) -> Run {
    replay_in(Path::new("."), arguments, input.as_bytes())
}

fn replay_in(directory: &Path, arguments: &[&str], input: &[u8]) -> Run {
    lifecycle(directory, &[&["replay"], arguments].concat(), input)
}

fn lines(output: &str) -> Vec<serde_json::Value> {
    output.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Returns customer, name and time of each transition.
fn transitions(output: &str) -> Vec<(String, String, String)> {
    let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    lines(output)
        .iter()
        .map(|line| (text(line, "customer_id"), text(line, "name"), text(line, "occurred_at")))
        .collect()
}

fn owned(expected: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    expected.iter().map(|&(customer, name, time)| (customer.into(), name.into(), time.into())).collect()
}

#[test]
fn transitions_are_written_in_the_order_of_publication() {
    let run = replay(&["--model", "retention", "--until", "2026-05-02T07:59:59.999Z", "-"], TOUCHPOINTS);
    assert_eq!(run.code, 0, "{}", run.errors);
    let expected = [
        ("anna", "became_active", "2026-01-02T08:00:00Z"),
        ("ben", "became_active", "2026-01-03T08:00:00Z"),
        ("ben", "at_risk_of_churn", "2026-04-03T08:00:00Z"),
    ];
    assert_eq!(transitions(&run.output), owned(&expected));
    assert!(lines(&run.output).iter().all(|line| line["mode"] == "replay"), "{}", run.output);
    let run = replay(&["--model", "retention", "--until", "2026-05-02T08:00:00Z", "-"], TOUCHPOINTS);
    assert_eq!(transitions(&run.output)[3], owned(&[("anna", "at_risk_of_churn", "2026-05-02T08:00:00Z")])[0]);
}

#[test]
fn types_that_the_catalogue_lacks_are_named() {
    let line = |id: u32, name: &str| {
        format!(r#"{{"event_id":"{id}","customer_id":"a","type":"{name}","occurred_at":"2026-01-01T00:00:00Z"}}"#)
            + "\n"
    };
    let input = line(1, "OrderCompleted") + &line(2, "OrderCompleted") + &line(3, "wibble") + &line(4, "page_viewed");
    let run = replay(&["--model", "retention", "-"], &input);
    let expected = "touchpoints of types that the catalogue lacks: 2 OrderCompleted (did you mean `order_completed`?), 1 \
                    wibble\n";
    assert_eq!((run.code, &*run.errors), (0, expected));
    assert_eq!(replay(&["--model", "retention", "-"], &line(1, "customer_identified")).errors, "");
}

#[test]
fn files_gzip_and_standard_input_produce_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = TOUCHPOINTS.split_at(TOUCHPOINTS.match_indices('\n').nth(1).unwrap().0 + 1);
    std::fs::write(directory.path().join("first.ndjson"), first).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(second.as_bytes()).unwrap();
    let second = gzip.finish().unwrap();
    // Compression is detected by magic bytes, not by the file name.
    std::fs::write(directory.path().join("second.ndjson"), &second).unwrap();

    let whole = replay(&["-"], TOUCHPOINTS);
    assert!(!whole.output.is_empty());
    for (arguments, input) in [(["first.ndjson", "second.ndjson"], &b""[..]), (["first.ndjson", "-"], &second)] {
        let run = replay_in(directory.path(), &arguments, input);
        assert_eq!((run.code, &run.output), (0, &whole.output), "{}", run.errors);
    }
}

#[test]
fn touchpoints_later_than_until_are_skipped_and_counted() {
    let arguments = ["--model", "retention", "--until", "2026-01-02T12:00:00Z", "--summary", "-"];
    let run = replay(&arguments, TOUCHPOINTS);
    assert_eq!(transitions(&run.output), owned(&[("anna", "became_active", "2026-01-02T08:00:00Z")]));
    assert!(run.errors.contains("4 touchpoints: 2 applied"), "{}", run.errors);
    assert!(run.errors.contains("2 later than --until"), "{}", run.errors);
}

#[test]
fn standings_are_sorted_by_customer_and_model() {
    let arguments = ["--model", "retention", "--model", "loyalty_ladder", "--output", "standings", "-"];
    let run = replay(&arguments, TOUCHPOINTS);
    let expected = r#"{"customer_id":"anna","model":"retention","stage":"active","since":"2026-01-02T08:00:00Z","orders":2,"revenue":"40","next_wake_up":"2026-05-02T08:00:00Z"}
{"customer_id":"anna","model":"loyalty_ladder","stage":"regular_customer","since":"2026-02-01T08:00:00Z","orders":2,"revenue":"40","next_wake_up":"2026-05-02T08:00:00Z"}
{"customer_id":"ben","model":"retention","stage":"active","since":"2026-01-03T08:00:00Z","orders":1,"revenue":"10","next_wake_up":"2026-04-03T08:00:00Z"}
{"customer_id":"ben","model":"loyalty_ladder","stage":"new_customer","since":"2026-01-03T08:00:00Z","orders":1,"revenue":"10","next_wake_up":"2026-04-03T08:00:00Z"}
"#;
    assert_eq!(run.output, expected);
}

#[test]
fn invalid_lines_are_reported_and_counted_and_the_exit_code_is_1() {
    let mut input = String::from("\n{\"customer_id\":\"anna\"}\nnot json\n");
    input.push_str(TOUCHPOINTS);
    input.push_str(&"[]\n".repeat(30));
    let run = replay(&["--model", "retention", "--summary", "-"], &input);
    assert_eq!(run.code, 1);
    assert_eq!(transitions(&run.output).len(), 2, "valid lines are still applied");
    let errors: Vec<&str> = run.errors.lines().collect();
    assert!(errors[0].starts_with("-:2: missing_field: "), "{}", run.errors);
    assert!(errors[1].starts_with("-:3: not_json: "), "{}", run.errors);
    assert_eq!(errors[20], "and 12 more invalid lines; --dead-letters FILE writes all of them to a file");
    assert!(errors[21].ends_with("32 invalid lines, 1 blank line skipped"), "{}", run.errors);
}

#[test]
fn dead_letters_contain_the_original_lines() {
    let directory = tempfile::tempdir().unwrap();
    let mut input = b"{\"a\":1}\n\xff\xfe{\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', 3 << 20));
    input.extend(format!("\n{TOUCHPOINTS}").as_bytes());
    let run = replay_in(directory.path(), &["--model", "retention", "--dead-letters", "bad.ndjson", "-"], &input);
    assert_eq!(run.code, 0, "{}", run.errors);
    assert_eq!(transitions(&run.output).len(), 2);
    let letters = lines(&std::fs::read_to_string(directory.path().join("bad.ndjson")).unwrap());
    assert_eq!(letters.len(), 3);
    assert_eq!((&letters[0]["line"], &letters[0]["original"]), (&1.into(), &r#"{"a":1}"#.into()));
    assert_eq!((&letters[1]["reason"], &letters[1]["original_hex"]), (&"not_utf8".into(), &"fffe7b".into()));
    assert_eq!((&letters[2]["reason"], &letters[2]["original_bytes"]), (&"too_large".into(), &(3 << 20).into()));
    assert_eq!(letters[2]["original_begins"].as_str().unwrap().len(), 1024);
}

#[test]
fn dead_letters_never_overwrite_the_input_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("touchpoints.ndjson"), TOUCHPOINTS).unwrap();
    for path in ["touchpoints.ndjson", "./touchpoints.ndjson"] {
        let run = replay_in(directory.path(), &["--dead-letters", path, "touchpoints.ndjson"], b"");
        assert_eq!(run.code, 2);
        assert!(run.errors.contains("it is the input file"), "{}", run.errors);
    }
    assert_eq!(std::fs::read_to_string(directory.path().join("touchpoints.ndjson")).unwrap(), TOUCHPOINTS);
}

#[test]
fn dead_letters_are_never_mixed_with_the_transitions() {
    let directory = tempfile::tempdir().unwrap();
    let run =
        replay_in(directory.path(), &["--dead-letters", "-", "-"], format!("no touchpoint\n{TOUCHPOINTS}").as_bytes());
    assert_eq!((run.code, run.output.as_str()), (2, ""));
    assert!(
        run.errors.contains("--dead-letters -: standard output is used for transitions: name a file"),
        "{}",
        run.errors
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no file named `-` was created");
}

#[test]
fn a_missing_file_an_unknown_model_and_a_bad_instant_are_usage_errors() {
    let run = replay(&["nowhere.ndjson"], "");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("nowhere.ndjson: cannot be read"), "{}", run.errors);
    let run = replay(&["--model", "retentoin", "-"], "");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("no shipped model is called `retentoin`: did you mean `retention`?"), "{}", run.errors);
    let run = replay(&["--until", "tomorrow", "-"], "");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("write an instant such as 2026-01-31T00:00:00Z"), "{}", run.errors);
}
