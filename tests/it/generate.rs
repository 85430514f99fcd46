//! Tests of `lifecycle generate`: the same options give the same bytes, faults lose no touchpoint, and the workload
//! reaches every stage of the shipped models.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{Run, lifecycle};

fn generate(arguments: &[&str]) -> Run {
    lifecycle(Path::new("."), &[&["generate"], arguments].concat(), b"")
}

fn generate_ok(arguments: &[&str]) -> String {
    let run = generate(arguments);
    assert_eq!(run.code, 0, "{}", run.errors);
    run.output
}

fn replay(touchpoints: &str, arguments: &[&str]) -> Run {
    lifecycle(Path::new("."), &[&["replay"], arguments, &["-"]].concat(), touchpoints.as_bytes())
}

fn count_by(text: &str, field: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        *counts.entry(value[field].as_str().unwrap_or("-").to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn the_same_options_give_the_same_bytes_to_a_file_and_to_standard_output() {
    let options = ["--customers", "40", "--days", "90", "--late", "0.1", "--bad", "0.02", "--duplicates", "0.1"];
    let first = generate_ok(&options[..6]);
    assert_eq!(first, generate_ok(&options[..6]));
    assert_ne!(first, generate_ok(&[&options[..6], &["--seed", "2"]].concat()));
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let path = directory.path().join(name);
        let written = generate(&[&options[..], &["--output", path.to_str().unwrap()]].concat());
        assert_eq!((written.code, written.output.as_str()), (0, ""), "{}", written.errors);
        assert!(written.errors.contains(" touchpoints of 40 customers, "), "{}", written.errors);
    }
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    assert!(read("one") == read("two") && read("one").len() > 10_000);
}

#[test]
fn loads_with_prefixes_of_their_own_share_no_customer_order_or_touchpoint() {
    let ids = |prefix: &str| -> BTreeSet<String> {
        let text = generate_ok(&["--customers", "20", "--days", "200", "--id-prefix", prefix]);
        let ids = text.lines().flat_map(|line| {
            let value: Value = serde_json::from_str(line).expect("JSON");
            ["event_id", "customer_id", "order_id"].map(|field| value[field].as_str().map(str::to_owned))
        });
        ids.flatten().collect()
    };
    let (north, south) = (ids("north-"), ids("south-"));
    assert!(north.len() > 60 && north.is_disjoint(&south), "{north:?}");
    assert!(north.iter().all(|id| id.starts_with("north-")), "{north:?}");
    let refused = generate(&["--customers", "1", "--id-prefix", "a\"b"]);
    assert!(refused.code == 2 && refused.errors.contains("letters, digits"), "{}", refused.errors);
}

/// Users may depend on the bytes of a seed; a failure shows that they changed.
#[test]
fn the_first_touchpoint_of_seed_1_is_stable() {
    assert_eq!(
        generate_ok(&["--touchpoints", "1"]),
        "{\"event_id\":\"t00000001\",\"customer_id\":\"customer-00001\",\"type\":\"ad_impression\",\
         \"occurred_at\":\"2025-01-01T06:03:47.001Z\",\"properties\":{\"campaign\":\"new in store\"}}\n"
    );
}

#[test]
fn limits_are_respected() {
    let text = generate_ok(&["--touchpoints", "1234"]);
    assert_eq!(text.lines().count(), 1_234);
    let text = generate_ok(&["--customers", "25", "--days", "30"]);
    assert_eq!(count_by(&text, "customer_id").len(), 25);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(last["occurred_at"].as_str().unwrap() < "2025-01-31", "{last}");
    let text = generate_ok(&["--customers", "25", "--customers-per-day", "100"]);
    assert_eq!(count_by(&text, "customer_id").len(), 25, "without a time limit every customer is generated to the end");
    let text = generate_ok(&["--touchpoints", "50", "--start", "2031-05-01T00:00:00Z", "--currency", "EUR"]);
    assert!(text.lines().all(|line| line.contains("\"occurred_at\":\"2031-05-")), "{text}");
    assert!(!generate_ok(&["--touchpoints", "2000", "--currency", "EUR"]).contains("USD"));
}

#[test]
fn duplicates_and_invalid_records_do_not_change_what_is_published() {
    let options = ["--customers", "60", "--days", "120", "--output"];
    let directory = tempfile::tempdir().unwrap();
    let files = ["clean.ndjson", "faulty.ndjson"].map(|name| directory.path().join(name).display().to_string());
    assert_eq!(generate(&[&options[..], &[&files[0]]].concat()).code, 0);
    let faults = ["--duplicates", "0.1", "--bad", "0.05"];
    assert_eq!(generate(&[&options[..], &[&files[1]], &faults].concat()).code, 0);
    let replay = |file: &str| {
        let dead_letters = directory.path().join("dead.ndjson").display().to_string();
        let arguments =
            ["replay", "--summary", "--until", "2026-06-01T00:00:00Z", "--dead-letters", &dead_letters, file];
        let run = lifecycle(Path::new("."), &arguments, b"");
        assert_eq!(run.code, 0, "{}", run.errors);
        (run.output, run.errors, std::fs::read_to_string(dead_letters).unwrap())
    };
    let (clean, defective) = (replay(&files[0]), replay(&files[1]));
    assert_eq!(clean.0, defective.0);
    assert!(clean.1.contains(", 0 duplicates"), "{}", clean.1);
    assert!(!defective.1.contains(", 0 duplicates"), "{}", defective.1);
    assert_eq!(clean.2, "");
    let reasons: BTreeSet<String> = count_by(&defective.2, "reason").into_keys().collect();
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        ["bad_field", "missing_field", "no_customer", "not_json", "not_utf8"]
    );
}

#[test]
fn late_touchpoints_are_out_of_order_and_complete() {
    let options = ["--customers", "60", "--days", "60"];
    let clean = generate_ok(&options);
    let late = generate_ok(&[&options[..], &["--late", "0.3", "--late-by", "2h"]].concat());
    assert_ne!(clean, late);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(lines(&clean), lines(&late));
    let run = replay(&late, &["--summary", "--lateness", "2h"]);
    assert!(run.code == 0 && !run.errors.contains("(0 late"), "{}", run.errors);
}

#[test]
fn the_workload_enters_every_stage_of_every_shipped_model() {
    let touchpoints = generate_ok(&["--customers", "1500", "--days", "1000"]);
    let run = replay(&touchpoints, &["--summary"]);
    assert!(run.code == 0 && run.errors.contains(" 0 of unknown type"), "{}", run.errors);
    let mut entered: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in run.output.lines() {
        let transition: Value = serde_json::from_str(line).unwrap();
        if let (Some(model), Some(to)) = (transition["model"].as_str(), transition["to"].as_str()) {
            entered.entry(model.to_owned()).or_default().insert(to.to_owned());
        }
    }
    let names = [
        "awareness_to_loyalty",
        "classic_seven",
        "engagement_cycle",
        "loyalty_ladder",
        "reach_to_advocacy",
        "retention",
    ];
    assert_eq!(entered.keys().map(String::as_str).collect::<Vec<_>>(), names);
    for (name, entered) in entered {
        let model = std::fs::read_to_string(format!("models/{name}.yaml")).unwrap();
        let stages: BTreeSet<String> = model
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- stage: "))
            .map(|stage| stage.split_whitespace().next().unwrap_or_default().to_owned())
            .collect();
        assert!(stages.len() >= 3, "{name}: {stages:?}");
        assert_eq!(entered, stages, "{name}");
    }
}

#[test]
fn a_model_with_its_own_types_gets_touchpoints_for_every_stage() {
    let run = generate(&["--model", "examples/subscription.yaml", "--customers", "300"]);
    assert_eq!(run.code, 0, "{}", run.errors);
    let types = "payment_failed, payment_succeeded, subscription_ended, subscription_started, trial_started";
    assert!(run.errors.contains("does not know these types and sends them at random: "), "{}", run.errors);
    assert!(types.split(", ").all(|name| run.errors.contains(name)), "{}", run.errors);
    let published = replay(&run.output, &["--model", "examples/subscription.yaml"]).output;
    let stages = count_by(&published, "to");
    for stage in ["trial", "active", "past_due", "cancelled", "won_back"] {
        assert!(stages.get(stage) > Some(&20), "{stages:?}");
    }
    assert_eq!(generate(&["--model", "examples/nothing.yaml"]).code, 2);
}

#[test]
fn the_rate_is_respected_and_live_touchpoints_have_the_time_of_sending() {
    let begin = Instant::now();
    let text = generate_ok(&["--rate", "50", "--live", "--touchpoints", "60"]);
    assert!(begin.elapsed() >= Duration::from_secs(1), "60 touchpoints at 50 per second");
    assert_eq!(text.lines().count(), 60);
    let year = |line: &str| {
        let touchpoint: Value = serde_json::from_str(line).unwrap();
        touchpoint["occurred_at"].as_str().unwrap()[..4].parse::<u32>().unwrap()
    };
    assert!(text.lines().all(|line| year(line) > 2025), "{text}");
    // Ids have a prefix, so a second run is not deduplicated against the first.
    assert!(!text.contains("\"event_id\":\"t00000001\"") && text.contains("-t00000001\""), "{text}");
}

#[test]
fn the_speed_sets_how_much_event_time_passes_per_second() {
    let text = generate_ok(&["--speed", "10d", "--seconds", "2"]);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let last = last["occurred_at"].as_str().unwrap();
    assert!(("2025-01-10".."2025-01-31").contains(&last), "{last}");
}

#[test]
fn instants_outside_the_supported_years_are_rejected() {
    let expected = "touchpoints must be in the years 1 to 9999: change --start, --days";
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("touchpoints.ndjson").display().to_string();
    for days in [&["--days", "31"][..], &[]] {
        let run = generate(&[&["--start", "9999-12-02T00:00:00Z", "--output", &output], days].concat());
        assert!(run.code == 2 && run.errors.contains(expected), "{}", run.errors);
        assert!(!Path::new(&output).exists(), "rejected before anything is written");
    }
    let run = generate(&["--start", "1000000d"]);
    assert!(run.code == 2 && run.errors.contains(expected), "{}", run.errors);
    // Without a time limit, generation fails when it reaches the end of the supported years.
    let endless = generate(&["--start", "9999-12-30T00:00:00Z", "--touchpoints", "1000000"]);
    assert!(endless.code == 2 && endless.errors.contains(expected), "{}", endless.errors);
    let text = generate_ok(&["--start", "9999-12-02T00:00:00Z", "--days", "29"]);
    assert!(text.lines().count() > 10 && !text.contains("\"occurred_at\":\"9999-12-31T23:59:59.999Z\""), "{text}");
}

#[test]
fn conflicting_or_invalid_options_are_rejected() {
    for (arguments, expected) in [
        (&["--rate", "5", "--speed", "1d"][..], "cannot be used with"),
        (&["--live"], "--rate"),
        (&["--bad", "2"], "write a fraction from 0 to 1"),
        (&["--start", "yesterday"], "write an instant such as"),
        (&["--speed", "0s"], "write a duration from 1ms to 365d"),
        (&["--start=-5d"], "write an instant such as"),
        (&["--late-by=-1m"], "expected a duration, such as 90d"),
        (&["--days", "-5"], "invalid value '-5' for '--days <N>': write a whole number from 1 to 100000"),
        (&["--touchpoints", "0"], "write a whole number from 1 to 1000000000000"),
        (&["--seed", "-1"], "write a whole number from 0 to"),
        (&["--rate", "-1"], "write a number from 0.001"),
        (&["--bad", "-0.5"], "write a fraction from 0 to 1"),
        (&["--topic", "touchpoints"], "--topic needs --bootstrap-servers or --config"),
        (&["--output", "/nowhere/at/all"], "/nowhere/at/all cannot be written"),
    ] {
        let run = generate(arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(run.errors.contains(expected), "{arguments:?}: {}", run.errors);
    }
}
