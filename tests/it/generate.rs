//! Generated touchpoints: the same options give the same bytes, faults add and take nothing away, journeys are believable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{Run, lifecycle};

fn generate(arguments: &[&str]) -> Run {
    lifecycle(Path::new("."), &[&["generate"], arguments].concat(), b"")
}

fn generated(arguments: &[&str]) -> String {
    let run = generate(arguments);
    assert_eq!(run.code, 0, "{}", run.errors);
    run.output
}

fn replayed(touchpoints: &str, arguments: &[&str]) -> Run {
    lifecycle(Path::new("."), &[&["replay"], arguments, &["-"]].concat(), touchpoints.as_bytes())
}

fn fields(text: &str, field: &str) -> BTreeMap<String, usize> {
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
    let first = generated(&options[..6]);
    assert_eq!(first, generated(&options[..6]));
    assert_ne!(first, generated(&[&options[..6], &["--seed", "2"]].concat()));
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

/// Whoever depends on the bytes of a seed is told here when they change.
#[test]
fn the_first_touchpoint_of_seed_1_is_known() {
    assert_eq!(
        generated(&["--touchpoints", "1"]),
        "{\"event_id\":\"t00000001\",\"customer_id\":\"customer-00001\",\"type\":\"ad_impression\",\
         \"occurred_at\":\"2025-01-01T06:03:47.001Z\",\"properties\":{\"campaign\":\"new in store\"}}\n"
    );
}

#[test]
fn ends_are_kept() {
    let text = generated(&["--touchpoints", "1234"]);
    assert_eq!(text.lines().count(), 1_234);
    let text = generated(&["--customers", "25", "--days", "30"]);
    assert_eq!(fields(&text, "customer_id").len(), 25);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(last["occurred_at"].as_str().unwrap() < "2025-01-31", "{last}");
    let text = generated(&["--customers", "25", "--customers-per-day", "100"]);
    assert_eq!(fields(&text, "customer_id").len(), 25, "without an end of the time all journeys are made whole");
    let text = generated(&["--touchpoints", "50", "--start", "2031-05-01T00:00:00Z", "--currency", "EUR"]);
    assert!(text.lines().all(|line| line.contains("\"occurred_at\":\"2031-05-")), "{text}");
    assert!(!generated(&["--touchpoints", "2000", "--currency", "EUR"]).contains("USD"));
}

#[test]
fn what_comes_twice_or_broken_changes_nothing_that_is_published() {
    let options = ["--customers", "60", "--days", "120", "--output"];
    let directory = tempfile::tempdir().unwrap();
    let files = ["clean.ndjson", "faulty.ndjson"].map(|name| directory.path().join(name).display().to_string());
    assert_eq!(generate(&[&options[..], &[&files[0]]].concat()).code, 0);
    let added = ["--duplicates", "0.1", "--bad", "0.05"];
    assert_eq!(generate(&[&options[..], &[&files[1]], &added].concat()).code, 0);
    let replay = |file: &str| {
        let dead_letters = directory.path().join("dead.ndjson").display().to_string();
        let arguments =
            ["replay", "--summary", "--until", "2026-06-01T00:00:00Z", "--dead-letters", &dead_letters, file];
        let run = lifecycle(Path::new("."), &arguments, b"");
        assert_eq!(run.code, 0, "{}", run.errors);
        (run.output, run.errors, std::fs::read_to_string(dead_letters).unwrap())
    };
    let (clean, faulty) = (replay(&files[0]), replay(&files[1]));
    assert_eq!(clean.0, faulty.0);
    assert!(clean.1.contains(", 0 duplicates"), "{}", clean.1);
    assert!(!faulty.1.contains(", 0 duplicates"), "{}", faulty.1);
    assert_eq!(clean.2, "");
    let reasons: BTreeSet<String> = fields(&faulty.2, "reason").into_keys().collect();
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        ["bad_field", "missing_field", "no_customer", "not_json", "not_utf8"]
    );
}

#[test]
fn what_comes_late_is_out_of_order_and_whole() {
    let options = ["--customers", "60", "--days", "60"];
    let clean = generated(&options);
    let late = generated(&[&options[..], &["--late", "0.3", "--late-by", "2h"]].concat());
    assert_ne!(clean, late);
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&clean), sorted(&late));
    let run = replayed(&late, &["--summary", "--lateness", "2h"]);
    assert!(run.code == 0 && !run.errors.contains("(0 late"), "{}", run.errors);
}

#[test]
fn journeys_pass_through_every_stage_of_every_shipped_model() {
    let touchpoints = generated(&["--customers", "1500", "--days", "1000"]);
    let run = replayed(&touchpoints, &["--summary"]);
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
fn a_rate_is_kept_and_live_touchpoints_bear_the_time_at_which_they_are_sent() {
    let begin = Instant::now();
    let text = generated(&["--rate", "50", "--live", "--touchpoints", "60"]);
    assert!(begin.elapsed() >= Duration::from_secs(1), "60 at 50 a second");
    assert_eq!(text.lines().count(), 60);
    let year = |line: &str| {
        let touchpoint: Value = serde_json::from_str(line).unwrap();
        touchpoint["occurred_at"].as_str().unwrap()[..4].parse::<u32>().unwrap()
    };
    assert!(text.lines().all(|line| year(line) > 2025), "{text}");
    // A load that is started again is not taken for a repetition.
    assert!(!text.contains("\"event_id\":\"t00000001\"") && text.contains("-t00000001\""), "{text}");
}

#[test]
fn a_speed_lets_so_much_time_pass() {
    let text = generated(&["--speed", "10d", "--seconds", "2"]);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let last = last["occurred_at"].as_str().unwrap();
    assert!(("2025-01-10".."2025-01-31").contains(&last), "{last}");
}

#[test]
fn what_no_touchpoint_can_bear_is_not_generated() {
    let told = "touchpoints can bear the years 1 to 9999: let --start and --days";
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("touchpoints.ndjson").display().to_string();
    for days in [&["--days", "31"][..], &[]] {
        let run = generate(&[&["--start", "9999-12-02T00:00:00Z", "--output", &output], days].concat());
        assert!(run.code == 2 && run.errors.contains(told), "{}", run.errors);
        assert!(!Path::new(&output).exists(), "refused before anything is written");
    }
    let run = generate(&["--start", "1000000d"]);
    assert!(run.code == 2 && run.errors.contains(told), "{}", run.errors);
    // Where nothing says when it ends, it is refused when it comes there.
    let endless = generate(&["--start", "9999-12-30T00:00:00Z", "--touchpoints", "1000000"]);
    assert!(endless.code == 2 && endless.errors.contains(told), "{}", endless.errors);
    let text = generated(&["--start", "9999-12-02T00:00:00Z", "--days", "29"]);
    assert!(text.lines().count() > 10 && !text.contains("\"occurred_at\":\"9999-12-31T23:59:59.999Z\""), "{text}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (arguments, told) in [
        (&["--rate", "5", "--speed", "1d"][..], "cannot be used with"),
        (&["--live"], "--rate"),
        (&["--bad", "2"], "write a share from 0 to 1"),
        (&["--start", "yesterday"], "write an instant such as"),
        (&["--speed", "0s"], "write a length from 1ms to 365d"),
        (&["--start=-5d"], "write an instant such as"),
        (&["--late-by=-1m"], "expected a length of time, such as 90d"),
        (&["--days", "-5"], "invalid value '-5' for '--days <N>': write a whole number from 1 to 100000"),
        (&["--touchpoints", "0"], "write a whole number from 1 to 1000000000000"),
        (&["--seed", "-1"], "write a whole number from 0 to"),
        (&["--rate", "-1"], "write a number from 0.001"),
        (&["--bad", "-0.5"], "write a share from 0 to 1"),
        (&["--topic", "touchpoints"], "--topic needs --bootstrap-servers or --config"),
        (&["--output", "/nowhere/at/all"], "/nowhere/at/all cannot be written"),
    ] {
        let run = generate(arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(run.errors.contains(told), "{arguments:?}: {}", run.errors);
    }
}
