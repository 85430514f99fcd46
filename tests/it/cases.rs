//! Inputs that users really have, and that were wrong or confusing once: one test for each kind.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::cli::{Run, lifecycle};

/// A folder with files, in which commands run.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("the file is written");
        }
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        lifecycle(self.path(), arguments, b"")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Returns touchpoints of the customer `c`, one a day, with the given further fields.
fn touchpoints(kind: &str, count: usize, fields: impl Fn(usize) -> String) -> String {
    let line = |number: usize| {
        let (month, day) = (1 + number / 28 % 12, 1 + number % 28);
        format!(
            r#"{{"event_id":"e{number}","customer_id":"c","type":"{kind}","occurred_at":"20{:02}-{month:02}-{day:02}T00:00:00Z"{}}}"#,
            20 + number / 336,
            fields(number),
        )
    };
    (0..count).map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn lines(run: &Run) -> Vec<Value> {
    run.output.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Replays one record and returns the message for it, if it is invalid.
fn problem_of(record: &[u8]) -> Option<String> {
    let folder = Folder::new(&[("in.ndjson", record)]);
    let run = folder.run(&["replay", "--model", "retention", "in.ndjson"]);
    assert!(matches!(run.code, 0 | 1), "{}", run.errors);
    (run.code == 1).then(|| run.errors.lines().next().expect("a message").to_owned())
}

fn record(fields: &str) -> Vec<u8> {
    format!(r#"{{"event_id":"e1","customer_id":"c1","type":"order_completed","occurred_at":"2026-01-01T00:00:00Z"{fields}}}"#)
        .into_bytes()
}

const SPEND: &[u8] = b"model: spend
version: 1
title: {en: Spend}
journey: [small, big]
facts: {orders: orders()}
stages:
  - {stage: big, when: orders.revenue >= 5000000000000.0}
  - {stage: small, when: orders.count >= 1}
";

#[test]
fn revenue_and_refunds_are_exact_beyond_64_bits() {
    // 60 orders, of which 32 are kept individually, so that the totals of folded orders exceed 64 bits as well.
    let orders = touchpoints("order_completed", 60, |number| {
        format!(r#","order_id":"o{number}","amount":"900000000000.000001","currency":"IDR""#)
    });
    let folder = Folder::new(&[("spend.yaml", SPEND), ("orders.ndjson", orders.as_bytes())]);
    let arguments = ["--currency", "IDR", "--model", "./spend.yaml", "orders.ndjson"];
    let standings = lines(&folder.run(&[&["replay", "--output", "standings"][..], &arguments].concat()));
    assert_eq!((&standings[0]["revenue"], &standings[0]["stage"]), (&"54000000000000.00006".into(), &"big".into()));
    let transitions = lines(&folder.run(&[&["replay"][..], &arguments].concat()));
    let stages: Vec<_> = transitions.iter().map(|line| line["to"].as_str().unwrap_or_default()).collect();
    assert_eq!(stages, ["small", "big"], "no stage moves backward");

    // Twelve refunds of 9 * 10^11 exceed 64 bits, and one more than that restores nothing.
    let order = touchpoints("order_completed", 1, |_| r#","order_id":"o","amount":"1000000000000""#.into());
    let refunds = touchpoints("order_refunded", 40, |_| r#","order_id":"o","amount":"900000000000""#.into());
    let refunds = refunds.replace("\"event_id\":\"e", "\"event_id\":\"r");
    for refunded in [1, 2, 11, 12, 21, 40] {
        let some: Vec<_> = refunds.lines().take(refunded).map(str::to_owned).collect();
        let input = format!("{order}{}\n", some.join("\n"));
        let folder = Folder::new(&[("spend.yaml", SPEND), ("in.ndjson", input.as_bytes())]);
        let run = folder.run(&["replay", "--output", "standings", "--model", "./spend.yaml", "in.ndjson"]);
        let expected = if refunded == 1 { "100000000000" } else { "0" };
        assert_eq!(lines(&run)[0]["revenue"], expected, "{refunded} refunds: {}", run.errors);
    }
}

#[test]
fn sums_of_int_and_double_are_exact_beyond_64_bits() {
    for (value_type, suffix) in [("int", ""), ("double", ".5")] {
        let model = format!(
            "model: usage\nversion: 1\ntitle: {{en: Usage}}\njourney: [light, heavy, huge]\n\
             types:\n  metered: {{description: bytes, properties: {{bytes: {value_type}}}}}\n\
             facts:\n  bytes: sum(metered, \"bytes\")\n\
             stages:\n  - {{stage: huge, when: bytes >= 19000000000000.0}}\n  - {{stage: heavy, when: bytes >= 5000000000000.0}}\n  - {{stage: light, when: bytes > 0.0}}\n"
        );
        let input = touchpoints("metered", 10, |_| format!(r#","properties":{{"bytes":2000000000000{suffix}}}"#));
        let folder = Folder::new(&[("usage.yaml", model.as_bytes()), ("in.ndjson", input.as_bytes())]);
        let transitions = lines(&folder.run(&["replay", "--model", "./usage.yaml", "in.ndjson"]));
        let moves: Vec<_> = transitions
            .iter()
            .map(|line| {
                (line["to"].as_str().unwrap_or_default(), line["cause"]["event_id"].as_str().unwrap_or_default())
            })
            .collect();
        assert_eq!(moves, [("light", "e0"), ("heavy", "e2"), ("huge", "e9")], "{value_type}");
    }
    // A value of a double far beyond any other does not make the sum depend on the order.
    let input = touchpoints("metered", 3, |number| {
        format!(r#","properties":{{"bytes":{}}}"#, ["1e300", "-1e300", "5"][number])
    });
    let model = "model: usage\nversion: 1\ntitle: {en: Usage}\njourney: [exact]\n\
        types:\n  metered: {description: bytes, properties: {bytes: double}}\n\
        facts:\n  bytes: sum(metered, \"bytes\")\nstages:\n  - {stage: exact, when: bytes == 5.0}\n";
    let mut reversed: Vec<_> = input.lines().collect();
    reversed.reverse();
    for input in [input.clone(), reversed.join("\n")] {
        let folder = Folder::new(&[("usage.yaml", model.as_bytes()), ("in.ndjson", input.as_bytes())]);
        let run = folder.run(&["replay", "--output", "standings", "--model", "./usage.yaml", "in.ndjson"]);
        assert_eq!(lines(&run)[0]["stage"], "exact");
    }
}

#[test]
fn a_threshold_that_a_window_cannot_reach_is_refused() {
    let model = |condition: &str| {
        format!(
            "model: power\nversion: 1\ntitle: {{en: Power}}\njourney: [user, power_user]\nparameters: {{many: 300}}\n\
             facts:\n  views: count_within(page_viewed, days(7))\n  clicks: count_within(ad_clicked, days(7))\n\
             stages:\n  - {{stage: power_user, when: '{condition}'}}\n  - {{stage: user, when: views >= 1 && clicks != 5 && many > 0}}\n"
        )
    };
    let check = |condition: &str| {
        let folder = Folder::new(&[("power.yaml", model(condition).as_bytes())]);
        folder.run(&["check", "power.yaml"])
    };
    for condition in [
        "views >= 300",
        "views > 256",
        "views == 257",
        "views >= many",
        "300 <= views",
        "views + clicks > 600",
        "views * 2 >= 600",
        "double(views) >= 256.5",
        "has(views) && views < 300",
        "views - clicks < 300",
        "views in [1, 300]",
        "max(views, clicks) > 300",
        "min(views, 1000) == 300",
        "views / 2 > 128",
        "views % 400 > 256",
        "-views < -256",
        "-views > -300",
        "(clicks > 3 ? views : 100) > 256",
    ] {
        let run = check(condition);
        assert_eq!(run.code, 1, "{condition}: {}{}", run.output, run.errors);
        let report = format!("{}{}", run.output, run.errors);
        assert!(report.contains("256") && report.contains("power.yaml:10:"), "{condition}: {report}");
    }
    for condition in [
        "views >= 256",
        "views > 255",
        "views < 256",
        "views + clicks >= 512",
        "views - clicks < 200",
        "views in [1, 256]",
        "max(views, 200) > 200",
        "min(views, 1000) == 256",
        "views / 2 == 128",
        "views % 2 == 1",
        "-views <= -256",
        "clicks / views > 300",
    ] {
        let run = check(condition);
        let report = format!("{}{}", run.output, run.errors);
        assert_eq!(run.code, 0, "{condition}: {report}");
    }
}

#[test]
fn a_time_since_a_touchpoint_that_is_never_negative_is_not_compared_with_zero_or_less() {
    let run = |condition: &str, set: &[&str]| {
        let model = format!(
            "model: visits\nversion: 1\ntitle: {{en: V}}\njourney: [b]\nparameters: {{soon: days(3)}}\n\
             facts: {{last: last(page_viewed), first: first(page_viewed), due: 'latest(due_set, \"at\")', orders: orders()}}\n\
             types:\n  due_set: {{description: D, properties: {{at: timestamp}}}}\n\
             signals:\n  - {{signal: a, when: '{condition}'}}\nstages:\n  - {{stage: b, when: now >= last + soon && first < due}}\n"
        );
        let folder = Folder::new(&[("visits.yaml", model.as_bytes()), ("in.ndjson", b"")]);
        let checked = folder.run(&[&["replay", "--model", "./visits.yaml", "in.ndjson"], set].concat());
        (checked.code, format!("{}{}", checked.output, checked.errors))
    };
    for condition in [
        "now < last + days(0)",
        "now - last < days(0)",
        "now < last - hours(1)",
        "now <= last + duration(\"-1ms\")",
        "last > now",
        "last + days(-2) == now",
        "orders.last - minutes(5) >= now",
        "now < orders.streak_start(days(30)) + seconds(0)",
    ] {
        let (code, report) = run(condition, &[]);
        assert_eq!(code, 2, "{condition}: {report}");
        assert!(report.contains("never holds") && report.contains("greater than zero"), "{condition}: {report}");
    }
    for condition in [
        "now < last + days(1)",
        "now <= last",
        "now >= last + days(0)",
        "now - last != days(0)",
        "now < due + days(0)",
        "last < first + days(0)",
        "now > timestamp(\"2026-01-01T00:00:00Z\")",
    ] {
        let (code, report) = run(condition, &[]);
        assert_eq!(code, 0, "{condition}: {report}");
    }
    // The value of a parameter counts, not only that of the model.
    let (code, report) = run("now < last + soon", &["--set", "visits.soon=days(0)"]);
    assert!(code == 2 && report.contains("never holds"), "{report}");
    for count in ["count_within(page_viewed, days(0)) > 1", "orders.streak(hours(-1)) > 1"] {
        let (code, report) = run(count, &[]);
        assert!(code == 2 && report.contains("expected a duration greater than zero"), "{report}");
    }
}

#[test]
fn an_unknown_model_or_parameter_of_an_override_is_named_with_what_exists() {
    let config = "kafka: {bootstrap_servers: a, instance_id: a}\nmodels: [retention]\nparameters: ";
    for (overrides, set, expected) in [
        ("{retension: {risk_after: days(3)}}", "retension.risk_after=days(3)", "did you mean `retention`?"),
        ("{shop: {risk_after: days(3)}}", "shop.risk_after=days(3)", "the models are retention"),
        ("{retention: {risk_aftr: days(3)}}", "retention.risk_aftr=days(3)", "did you mean `risk_after`?"),
        ("{retention: {grace: days(3)}}", "retention.grace=days(3)", "its parameters are risk_after, "),
        ("{retention: {risk_after: 3d}}", "retention.risk_after=3d", "write `days(3)`"),
    ] {
        let config = format!("{config}{overrides}\n");
        let folder = Folder::new(&[("lifecycle.yaml", config.as_bytes()), ("in.ndjson", b"{}\n")]);
        for arguments in [
            &["config", "check", "--config", "lifecycle.yaml"][..],
            &["replay", "--config", "lifecycle.yaml", "in.ndjson"],
            &["replay", "--model", "retention", "--set", set, "in.ndjson"],
            &["explain", "--customer", "c", "--model", "retention", "--set", set, "in.ndjson"],
        ] {
            let run = folder.run(arguments);
            assert!(run.code == 2 && run.errors.contains(expected), "{arguments:?}: {}", run.errors);
            assert_eq!(run.errors.matches("error[").count(), 1, "{}", run.errors);
        }
    }
}

#[test]
fn an_empty_file_a_folder_and_text_after_a_gzip_file_are_named() {
    let touchpoint = record(r#","amount":10"#);
    let gzip = gzip_of(&[&touchpoint[..], b"\n"].concat());
    let with_text = [&gzip[..], b"\nappended by hand\n"].concat();
    let cut = &gzip[..gzip.len() - 9];
    let folder = Folder::new(&[
        ("empty.ndjson", b""),
        ("blank.ndjson", b"\n \n\n"),
        ("empty.gz", &gzip_of(b"")),
        ("text.gz", &with_text),
        ("cut.gz", cut),
    ]);
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    for file in ["empty.ndjson", "blank.ndjson", "empty.gz"] {
        let run = folder.run(&["replay", "--model", "retention", file]);
        assert_eq!((run.code, run.output.as_str()), (0, ""), "{file}: {}", run.errors);
        assert!(run.errors.contains("no touchpoints") && run.errors.contains(file), "{file}: {:?}", run.errors);
    }
    for (file, problem) in [
        ("text.gz", "other data follows the gzip data"),
        ("cut.gz", "the gzip data is cut off"),
        ("folder", "this is a folder"),
    ] {
        for command in [&["replay", "--model", "retention"][..], &["explain", "--customer", "c1"]] {
            let run = folder.run(&[command, &[file]].concat());
            assert_eq!(run.code, 2, "{file}: {}", run.errors);
            assert!(run.errors.contains(problem) && run.errors.contains(file), "{file}: {}", run.errors);
        }
    }
}

fn gzip_of(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn a_counter_that_cannot_reach_its_first_value_is_refused() {
    let check = |from: u32| {
        let model = format!(
            "model: visits\nversion: 1\ntitle: {{en: V}}\ncounters:\n  - {{counter: views, of: 'count_within(page_viewed, days(7))', from: {from}}}\n"
        );
        let folder = Folder::new(&[("visits.yaml", model.as_bytes())]);
        let run = folder.run(&["check", "visits.yaml"]);
        (run.code, format!("{}{}", run.output, run.errors))
    };
    let (code, report) = check(257);
    assert!(code == 1 && report.contains("cannot reach 257") && report.contains("visits.yaml:5:"), "{report}");
    assert_eq!(check(256).0, 0, "{}", check(256).1);
}

#[test]
fn a_comparison_that_is_the_same_for_every_customer_is_refused() {
    let check = |condition: &str| {
        let model = format!(
            "model: visits\nversion: 1\ntitle: {{en: V}}\njourney: [a]\n\
             facts: {{n: count(page_viewed), orders: orders(), first: first(page_viewed)}}\n\
             stages:\n  - {{stage: a, when: '{condition}'}}\n"
        );
        let folder = Folder::new(&[("visits.yaml", model.as_bytes())]);
        let run = folder.run(&["check", "visits.yaml"]);
        (run.code, format!("{}{}", run.output, run.errors))
    };
    for (condition, outcome) in [
        ("n < 0", "never holds"),
        ("n >= 0", "always holds"),
        ("n != -1", "always holds"),
        ("0 <= n", "always holds"),
        ("count(page_viewed) > -1", "always holds"),
        ("orders.count < 0", "never holds"),
        ("orders.streak(days(30)) >= 0", "always holds"),
        ("n in [-1, 2]", "never holds"),
        ("-n > 0", "never holds"),
        ("n % 2 == 2", "never holds"),
        ("max(n, 3) < 3", "never holds"),
        ("n + orders.count < 0", "never holds"),
    ] {
        let (code, report) = check(condition);
        assert_eq!(code, 1, "{condition}: {report}");
        assert!(report.contains(outcome) && report.contains("visits.yaml:7:"), "{condition}: {report}");
    }
    for condition in
        ["n > 0", "n == 0", "n - 1 < 0", "n - orders.count < 0", "n % 2 == 1", "n in [0, 2]", "max(n, 3) > 3"]
    {
        let (code, report) = check(condition);
        assert_eq!(code, 0, "{condition}: {report}");
    }
}

#[test]
fn a_file_that_is_replayed_twice_counts_once() {
    const COUNT: &[u8] =
        b"model: visits\nversion: 1\ntitle: {en: V}\njourney: [a, b]\nfacts: {n: count(page_viewed)}\n\
        stages:\n  - {stage: b, when: n >= 1100}\n  - {stage: a, when: n >= 1}\n";
    for count in [64, 65, 300, 1024] {
        let input = touchpoints("page_viewed", count, |_| String::new());
        let folder = Folder::new(&[("count.yaml", COUNT), ("in.ndjson", input.as_bytes())]);
        let run = folder.run(&["replay", "--summary", "--model", "./count.yaml", "in.ndjson", "in.ndjson"]);
        let expected =
            format!("{} touchpoints: {count} applied (0 late, 0 of unknown type), {count} duplicates", 2 * count);
        assert!(run.errors.contains(&expected), "{}", run.errors);
        assert_eq!(lines(&run).len(), 1, "only the stage a");
    }
}

#[test]
fn a_refund_of_an_order_that_is_no_longer_kept_is_counted() {
    let orders = touchpoints("order_completed", 40, |number| format!(r#","order_id":"o{number}","amount":10"#));
    let refund = |order: usize| {
        format!(
            r#"{{"event_id":"r{order}","customer_id":"c","type":"order_refunded","occurred_at":"2021-01-01T00:00:00Z","order_id":"o{order}"}}"#
        )
    };
    let revenue = |order: usize| {
        let folder = Folder::new(&[("in.ndjson", format!("{orders}{}\n", refund(order)).as_bytes())]);
        let arguments = ["replay", "--summary", "--output", "standings", "--model", "retention", "in.ndjson"];
        let run = folder.run(&arguments);
        let is_counted = run.errors.contains("1 cancellation or refund without effect");
        (lines(&run)[0]["revenue"].as_str().expect("a decimal").to_owned(), is_counted)
    };
    assert_eq!(revenue(39), ("390".to_owned(), false));
    assert_eq!(revenue(0), ("400".to_owned(), true));
    // An order that may still arrive.
    assert_eq!(revenue(99), ("400".to_owned(), false));
}

#[test]
fn a_touchpoint_far_in_the_future_is_named_in_the_summary_and_can_be_refused() {
    let orders = touchpoints("order_completed", 20, |number| format!(r#","order_id":"o{number}","amount":10"#));
    let future = r#"{"event_id":"dev","customer_id":"d","type":"page_viewed","occurred_at":"2199-01-01T00:00:00Z"}"#;
    let (before, after) = orders.split_at(orders.match_indices('\n').nth(9).expect("ten lines").0 + 1);
    let folder = Folder::new(&[("in.ndjson", format!("{before}{future}\n{after}").as_bytes())]);
    let run = folder.run(&["replay", "--summary", "--model", "retention", "in.ndjson"]);
    let jump = run
        .errors
        .lines()
        .find(|line| line.contains("the clock jumped by"))
        .unwrap_or_else(|| panic!("{}", run.errors));
    assert!(
        jump.contains("after the others: 1, the latest") && jump.contains("in.ndjson:11 (2199-01-01T00:00:00Z)"),
        "{jump}"
    );
    assert!(run.output.contains("at_risk_of_churn") || run.output.contains("churned"), "{}", run.output);

    let run = folder.run(&["replay", "--summary", "--max-ahead", "15m", "--model", "retention", "in.ndjson"]);
    assert_eq!(run.code, 1, "{}", run.errors);
    assert!(run.errors.contains("in.ndjson:11: in_future"), "{}", run.errors);
    assert!(!run.errors.contains("the clock jumped") && !run.output.contains("churn"), "{}", run.errors);
}

#[test]
fn an_empty_array_or_text_means_that_an_optional_field_is_not_given() {
    for fields in [
        r#","amount":10,"properties":[]"#,
        r#","amount":10,"properties":[ ]"#,
        r#","amount":10,"properties":"""#,
        r#","amount":10,"currency":"""#,
        r#","amount":10,"currency":[]"#,
        r#","amount":"""#,
        r#","amount":[ ]"#,
        r#","amount":10,"order_id":"""#,
        r#","amount":10,"order_id":[]"#,
    ] {
        assert_eq!(problem_of(&record(fields)), None, "{fields}");
    }
    let folder = Folder::new(&[("in.ndjson", &record(r#","amount":10,"currency":"","properties":[]"#))]);
    let run = folder.run(&["replay", "--output", "standings", "--model", "retention", "in.ndjson"]);
    assert_eq!(lines(&run)[0]["revenue"], "10");
    assert!(
        problem_of(&record(r#","properties":[1]"#))
            .expect("a dead letter")
            .contains("expected an object, found an array")
    );
    let empty = r#"{"event_id":"e1","customer_id":"c1","type":"t","occurred_at":""}"#;
    assert!(problem_of(empty.as_bytes()).expect("a dead letter").contains("occurred_at is missing or empty"));
}

#[test]
fn a_byte_order_mark_before_a_record_is_skipped() {
    let line = record("");
    let marked = [b"\xef\xbb\xbf", &line[..]].concat();
    assert_eq!(problem_of(&[&line[..], b"\n", &marked, b"\n"].concat()), None);
}

#[test]
fn zeros_after_a_gzip_file_are_ignored() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(touchpoints("page_viewed", 3, |_| String::new()).as_bytes()).expect("it is compressed");
    let mut file = encoder.finish().expect("it is compressed");
    file.resize(10_240, 0);
    let folder = Folder::new(&[("in.ndjson.gz", &file)]);
    let run = folder.run(&["replay", "--summary", "--model", "retention", "in.ndjson.gz"]);
    assert_eq!(run.code, 0, "{}", run.errors);
    assert!(run.errors.contains("3 touchpoints"), "{}", run.errors);
}

#[test]
fn a_file_of_another_format_is_named_in_one_line() {
    let array = b"[\n  {\n    \"event_id\": \"a1\"\n  }\n]\n";
    for (name, content, what) in [
        ("array.json", &array[..], "JSON array"),
        ("compact.json", b"[{\"event_id\":\"a1\"}]", "JSON array"),
        ("one.json", b"{\n  \"event_id\": \"a1\"\n}\n", "indented JSON"),
        ("t.csv", b"event_id,customer_id,type,occurred_at\na1,anna,signed_up,2026-01-03T09:12:00Z\n", "CSV"),
        ("t.tsv", b"event_id\tcustomer_id\ntype\toccurred_at\n", "CSV"),
        ("t.parquet", b"PAR1\x15\x04\x15\x10", "Parquet"),
        ("t.zst", &[0x28, 0xb5, 0x2f, 0xfd, 4, 0], "zstd"),
    ] {
        let folder = Folder::new(&[(name, content)]);
        for command in
            [&["replay"][..], &["explain", "--customer", "anna"], &["replay", "--compare", "retention", "retention"]]
        {
            let run = folder.run(&[command, &[name]].concat());
            assert_eq!((run.code, run.errors.lines().count()), (2, 1), "{command:?} {name}: {}", run.errors);
            assert!(run.errors.contains(what) && run.errors.contains("expected"), "{name}: {}", run.errors);
        }
    }
}

#[test]
fn a_text_is_unaltered_on_its_way_to_standard_output() {
    let text = "a\u{7f}b\u{1b}[1mc\u{9b}d\u{feff}e";
    let folder = Folder::new(&[]);
    let facts = serde_json::json!({ "text": text }).to_string();
    let run = folder.run(&["eval", "text", "--facts", &facts]);
    assert_eq!(serde_json::from_str::<Value>(&run.output).expect("JSON"), Value::from(text));
    assert_eq!(folder.run(&["eval", "'a\\x7fb'"]).output, "\"a\u{7f}b\"\n");
}

#[test]
fn a_dead_letter_says_what_was_expected_and_recognizes_shapes_of_other_systems() {
    let times =
        |time: &str| format!(r#"{{"event_id":"e","customer_id":"c","type":"t","occurred_at":{time}}}"#).into_bytes();
    let segment = br#"{"type":"track","event":"Order Completed","userId":"u-7","messageId":"m","timestamp":"2026-01-01T00:00:00Z"}"#;
    let cloud_event =
        br#"{"specversion":"1.0","id":"7","source":"/shop","type":"t","time":"2026-01-01T00:00:00Z","data":{}}"#;
    for (record, expected) in [
        (
            times("1767225600"),
            "occurred_at: expected a time in RFC 3339, such as \"2026-01-31T09:00:00Z\", found a number; it looks like seconds since 1970",
        ),
        (times("1767225600000"), "milliseconds since 1970"),
        (times("1767225600.123"), "seconds since 1970"),
        (times("\"1767225600000\""), "milliseconds since 1970"),
        (times("true"), "found true or false"),
        (
            record(r#","customer_id":17850.0"#),
            "customer_id: expected a text or a whole number, found a number; it looks like an id that a spreadsheet",
        ),
        (record(r#","order_id":{"id":7}"#), "order_id: expected a text or a whole number, found an object"),
        (record(r#","type":7"#), "type: expected a text, found a number"),
        (record(r#","currency":978"#), "currency: expected three letters, such as \"EUR\", found a number"),
        (segment.to_vec(), "this is a Segment call: read it as a source with the mapping `segment` (docs/sources.md)"),
        (cloud_event.to_vec(), "this is a CloudEvent in structured mode"),
        (br#"{"schema":{},"payload":{}}"#.to_vec(), "envelope of Kafka Connect"),
        (br#"{"before":null,"after":{},"op":"c"}"#.to_vec(), "change event of Debezium"),
        (br#"{"event_id":"e"},"#.to_vec(), "column 17; a comma follows the object: remove it"),
        (
            b"{\"event_id\":\"e\"}\r{\"event_id\":\"f\"}".to_vec(),
            "another object follows: write one touchpoint per record",
        ),
        (b"{'event_id': 'e'}".to_vec(), "this looks like a dictionary of Python"),
        (record(r#","amount":"10,50""#), "amount: expected a number or a text such as 39.90"),
        (br#"{"eventId":"e","customerId":"c"}"#.to_vec(), "the record has customerId: rename it to customer_id"),
        (br#""{\"event_id\":1}""#.to_vec(), "encoded twice"),
        (b"\0\0\0\0\x07{\"event_id\":\"e\"}".to_vec(), "magic byte and the id of a schema registry"),
        (b"\0\0\0\x01\x07\x02\xff\xfe".to_vec(), "magic byte and the id of a schema registry"),
    ] {
        let problem = problem_of(&record).unwrap_or_else(|| panic!("no dead letter: {expected}"));
        assert!(problem.contains(expected), "{problem}\nexpected: {expected}");
        assert!(!problem.contains("17850") && !problem.contains("1767") && !problem.contains("u-7"), "{problem}");
    }
}

/// The first instant that a touchpoint may have is also the default time of some languages.
#[test]
fn an_order_at_the_first_instant_moves_no_customer_to_the_stage_it_is_in() {
    let order = |event: &str, at: &str| {
        format!(
            r#"{{"event_id":"{event}","customer_id":"c","type":"order_completed","occurred_at":"{at}","order_id":"{event}","amount":5}}"#
        )
    };
    let input = [order("e1", "0001-01-01T00:00:00Z"), order("e2", "2026-11-02T00:00:00Z")].join("\n") + "\n";
    let folder = Folder::new(&[("in.ndjson", input.as_bytes())]);
    let run = folder.run(&["replay", "in.ndjson"]);
    assert_eq!(run.code, 0, "{}", run.errors);
    let transitions = lines(&run);
    let moves: Vec<_> = transitions.iter().filter(|it| it["kind"] == "stage").collect();
    assert!(moves.len() > 6, "{moves:#?}");
    assert!(moves.iter().all(|it| it["from"] != it["to"]), "{moves:#?}");
}

#[test]
fn names_in_files_arguments_and_the_environment_cannot_control_the_terminal() {
    let is_clean = |text: &str| {
        !text.chars().any(|letter| {
            (letter.is_control() && !matches!(letter, '\n' | '\t'))
                || ('\u{2028}'..='\u{202e}').contains(&letter)
                || ('\u{2066}'..='\u{2069}').contains(&letter)
        })
    };
    let config: &[u8] = b"kafka: {bootstrap_servers: a, instance_id: a, client: {\"\\e[2Jx\": 1}}\n\"\\e]0;title\\a\": 1\ncurrency: \"\\u202eRUE\"\n";
    let model = String::from_utf8(SPEND.to_vec()).expect("text");
    let titled = model.replace("{en: Spend}", r#"{en: "\e]0;title\a\u202eevil\e[8m"}"#);
    let broken = model.replace("orders.count >= 1", "orders.count\u{202e} >= oops");
    let files: &[(&str, &[u8])] = &[
        ("lifecycle.yaml", config),
        ("titled.yaml", titled.as_bytes()),
        ("\u{1b}[2J\u{202e}.yaml", broken.as_bytes()),
        ("\u{1b}[2J.ndjson", b"\x1b[2J\n"),
    ];
    let folder = Folder::new(files);
    for (arguments, code) in [
        (&["config", "check", "--config", "lifecycle.yaml"][..], 2),
        (&["config", "show", "--config", "\u{1b}[2Jmissing.yaml"], 2),
        (&["graph", "./titled.yaml"], 0),
        (&["graph", "--format", "dot", "./titled.yaml"], 0),
        (&["graph", "--format", "svg", "./titled.yaml"], 0),
        (&["check", "./titled.yaml"], 0),
        (&["check", "./\u{1b}[2J\u{202e}.yaml"], 1),
        (&["check", "\u{1b}[2Jmodel"], 2),
        (&["replay", "--model", "./titled.yaml", "\u{1b}[2J.ndjson"], 1),
        (&["explain", "--model", "./titled.yaml", "--customer", "\u{1b}[2J", "\u{1b}[2J.ndjson"], 1),
        (&["test", "\u{1b}[2Jmissing.scenario"], 2),
        (&["\u{9b}2J\u{202e}"], 2),
        (&["replay", "--\u{9d}0;title\u{9c}\u{2067}"], 2),
        (&["replay", "--set", "\u{1b}]8;;http://evil\u{7}a\u{9b}1m\u{202e}", "titled.yaml"], 2),
        (&["replay", "--currency", "\u{8}\u{85}\u{2028}", "titled.yaml"], 2),
    ] {
        let run = folder.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.output, run.errors);
        assert!(is_clean(&run.output) && is_clean(&run.errors), "{arguments:?}: {:?} {:?}", run.output, run.errors);
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .args(["config", "check"])
        .env_clear()
        .env("LIFECYCLE_\u{1b}[2J", "1")
        .output()
        .expect("the command runs");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert!(errors.contains("unknown environment variable") && is_clean(&errors), "{errors:?}");
}
