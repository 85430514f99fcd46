//! `lifecycle dlq` on a real broker: what it lists and shows, and that it redrives each dead letter exactly once.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::producer::Producer as _;
use serde_json::Value;

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::exactly_once::deployment::{Deployment, wait_for_records};

/// Returns a record that the service could have written to the dead-letter topic.
fn dead_letter(topic: &str, (partition, offset): (i32, i64), reason: &str, key: &str, value: &str) -> NewRecord {
    let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
    let headers = vec![
        header("trace", format!("t{offset}")),
        header("lifecycle_reason", reason.to_owned()),
        header("lifecycle_detail", "amount: expected a decimal".to_owned()),
        header("lifecycle_topic", topic.to_owned()),
        header("lifecycle_partition", partition.to_string()),
        header("lifecycle_offset", offset.to_string()),
        header("lifecycle_timestamp", (1_700_000_000_000 + offset).to_string()),
    ];
    NewRecord { headers, ..NewRecord::keyed(key, value) }
}

fn values(topic: &str) -> Vec<String> {
    broker::read_committed(topic).iter().map(ConsumedRecord::text).collect()
}

#[test]
fn dead_letters_are_listed_and_counted_by_reason_source_and_time() {
    let deployment = Deployment::new(2, "");
    let source = deployment.touchpoints.as_str();
    let at = |millis, record| NewRecord { timestamp_ms: Some(millis), ..record };
    broker::produce(
        &deployment.dead_letters,
        &[
            at(1_700_000_000_000, dead_letter(source, (0, 5), "bad_field", "a", "{}")),
            at(1_700_000_001_000, dead_letter("other", (1, 6), "not_json", "b", "\u{1b}[2J")),
            at(1_700_000_002_000, dead_letter(source, (1, 7), "bad_field", "c", "{}")),
            NewRecord::keyed("d", "of another program"),
        ],
    );
    let all = deployment.run("a", &["dlq", "list"]);
    assert_eq!(all.code, 0, "{}", all.errors);
    let first = format!("0:0          2023-11-14T22:13:20Z  bad_field      {source}/0:5  amount: expected a decimal\n");
    assert!(all.output.starts_with(&first), "{}", all.output);
    let counts = "4 dead letters, 0 others redriven, 4 listed\nby reason: bad_field 2, none 1, not_json 1\n";
    assert!(all.output.contains(counts), "{}", all.output);
    assert!(!all.output.contains("2J") && !all.output.contains("another program"), "a list contains no payload");

    let offsets = |selection: &[&str]| {
        let run = deployment.run("a", &[&["dlq", "list", "--format", "json"], selection].concat());
        let report: Value = serde_json::from_str(&run.output).unwrap_or_else(|_| panic!("{}", run.errors));
        let letters = report["dead_letters"].as_array().unwrap();
        assert_eq!(report["count"], letters.len());
        letters.iter().map(|letter| letter["offset"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&[]), [0, 1, 2, 3]);
    assert_eq!(offsets(&["--reason", "bad_field"]), [0, 2]);
    assert_eq!(offsets(&["--reason", "bad_field", "--partition", "1"]), [2]);
    assert_eq!(offsets(&["--topic", "other", "--topic", source]), [0, 1, 2]);
    let (from, to) = ("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z");
    assert_eq!(offsets(&["--from", from, "--to", to]), [1]);
}

#[test]
fn one_dead_letter_is_shown_escaped_or_raw() {
    let deployment = Deployment::new(1, "");
    let value = "{\"amount\": \"\u{1b}]0;x\u{7}é\"}\n";
    broker::produce(&deployment.dead_letters, &[dead_letter("shop", (3, 5), "bad_field", "c-1", value)]);
    let shown = deployment.run("a", &["dlq", "show", "0:0"]);
    assert_eq!(shown.code, 0, "{}", shown.errors);
    for line in [
        "reason       bad_field",
        "source       shop/3:5",
        "timestamp    2023-11-14T22:13:20.005Z",
        "header       trace = t5",
        "key          c-1",
        r#"value        {"amount": "\u{1b}]0;x\u{7}é"}\n"#,
    ] {
        assert!(shown.output.lines().any(|shown| shown == line), "{line} is missing in {}", shown.output);
    }
    assert_eq!(deployment.run("a", &["dlq", "show", "0:0", "--raw"]).output, value);
    let missing = deployment.run("a", &["dlq", "show", "0:7"]);
    assert_eq!((missing.code, missing.output.as_str()), (1, ""));
    assert!(missing.errors.contains("no dead letter at 0:7"), "{}", missing.errors);
}

#[test]
fn a_redrive_keeps_key_value_headers_timestamp_and_partition_and_happens_once() {
    let deployment = Deployment::new(2, "");
    let source = deployment.touchpoints.as_str();
    let mut truncated = dead_letter(source, (0, 4), "too_large", "a", "xxx");
    truncated.headers.push(("lifecycle_cut".to_owned(), b"key 1, value 5242880, headers 0".to_vec()));
    let tombstone = NewRecord { key: None, value: None, ..dead_letter(source, (1, 9), "empty", "", "") };
    broker::produce(
        &deployment.dead_letters,
        &[
            dead_letter(source, (1, 5), "in_future", "a", "first"),
            dead_letter(source, (0, 6), "in_future", "a", "second"),
            dead_letter(source, (0, 7), "bad_field", "b", "third"),
            dead_letter("payroll", (0, 8), "in_future", "a", "forged"),
            dead_letter(&deployment.changelog, (0, 8), "in_future", "a", "forged"),
            truncated,
            tombstone,
        ],
    );
    let plan = deployment.run("a", &["dlq", "redrive", "--reason", "in_future"]);
    assert_eq!(plan.code, 1, "{}", plan.errors);
    for line in [
        format!("2 dead letters would be redriven to {source} (reason in_future)"),
        format!("1 cannot be redriven: only the service itself writes to {}", deployment.changelog),
        "1 were not selected: the configuration does not read payroll; select it with --topic payroll".to_owned(),
        "nothing was written: run the command with --execute to write the records".to_owned(),
    ] {
        assert!(plan.output.lines().any(|shown| shown == line), "{line} is missing in {}", plan.output);
    }
    assert_eq!(values(source), [""; 0]);

    deployment.run("a", &["dlq", "redrive", "--reason", "in_future", "--execute", "--limit", "1"]);
    assert_eq!(values(source), ["first"]);
    let redriven = deployment.run("a", &["dlq", "redrive", "--reason", "in_future", "--execute"]);
    assert!(redriven.output.contains("1 were redriven before"), "{}", redriven.output);
    let records = broker::read_committed(source);
    let of = |record: &ConsumedRecord| (record.partition, record.key.clone(), record.text(), record.timestamp_ms);
    let key = Some(b"a".to_vec());
    assert_eq!(
        records.iter().map(of).collect::<Vec<_>>(),
        [
            (0, key.clone(), "second".to_owned(), Some(1_700_000_000_006)),
            (1, key, "first".to_owned(), Some(1_700_000_000_005))
        ]
    );
    assert_eq!(records[0].headers, [("trace".to_owned(), b"t6".to_vec())]);

    let rest = deployment.run("a", &["dlq", "redrive", "--topic", source, "--execute"]);
    assert_eq!(rest.code, 1, "{}", rest.output);
    assert!(rest.output.contains("1 cannot be redriven: they were truncated"), "{}", rest.output);
    assert!(rest.output.contains("2 were redriven before"), "{}", rest.output);
    let records = broker::read_committed(source);
    assert_eq!(records.len(), 4);
    assert!(records.iter().any(|record| record.key.is_none() && record.value.is_none() && record.partition == 1));
    let listed = deployment.run("a", &["dlq", "list"]).output;
    assert!(listed.contains("3 dead letters, 4 others redriven, 3 listed"), "{listed}");
}

#[test]
fn a_redrive_that_is_killed_continues_without_writing_a_record_twice() {
    let deployment = Deployment::new(3, "");
    let source = deployment.touchpoints.as_str();
    let letters: Vec<_> = (0..6_000)
        .map(|number| {
            let partition = (number % 3).try_into().unwrap();
            dead_letter(source, (partition, number), "bad_field", &format!("c{}", number % 50), &number.to_string())
        })
        .collect();
    broker::produce(&deployment.dead_letters, &letters);
    let configuration = deployment.configuration("a", "127.0.0.1:0");
    let written = |partition| broker::range_at(broker::bootstrap(), source, partition).1;
    let all_written = || (0..3).map(written).sum::<i64>();
    let mut kills = 0;
    for threshold in [1, 1_500, 3_000, 4_500] {
        let mut redrive = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["dlq", "redrive", "--execute", "--config", configuration.to_str().unwrap()])
            .env_clear()
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        broker::until("the redrive has written records or has ended", || {
            let ended = redrive.try_wait().unwrap().is_some();
            (ended || all_written() >= threshold).then_some(())
        });
        kills += u32::from(redrive.try_wait().unwrap().is_none());
        drop(redrive.kill());
        redrive.wait().unwrap();
    }
    assert!(kills > 0, "every redrive ended before it was killed");
    let last = deployment.run("a", &["dlq", "redrive", "--execute"]);
    assert_eq!(last.code, 0, "{}{}", last.output, last.errors);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for record in broker::read_committed(source) {
        *counts.entry(record.text()).or_default() += 1;
    }
    assert_eq!(counts.len(), 6_000);
    assert!(counts.values().all(|count| *count == 1), "no record is written twice");
}

#[test]
fn a_redrive_waits_for_a_transaction_that_may_hide_what_was_redriven() {
    let deployment = Deployment::new(1, "");
    let (source, dead_letters) = (deployment.touchpoints.as_str(), deployment.dead_letters.as_str());
    broker::produce(dead_letters, &[dead_letter(source, (0, 5), "bad_field", "a", "first")]);
    let service = broker::producer(Some(&broker::unique("service")));
    service.begin_transaction().unwrap();
    broker::write(&service, dead_letters, &[dead_letter(source, (0, 6), "bad_field", "a", "second")]);
    // The marker of an earlier redrive, behind the record of the open transaction.
    let marker = NewRecord { headers: vec![("lifecycle_redriven".to_owned(), b"0".to_vec())], ..NewRecord::default() };
    broker::produce_committed(dead_letters, &[NewRecord { partition: Some(0), ..marker }]);
    let redriven = std::thread::scope(|scope| {
        let redrive = scope.spawn(|| deployment.run("a", &["dlq", "redrive", "--execute"]));
        std::thread::sleep(Duration::from_secs(2));
        assert!(!redrive.is_finished(), "it must wait for the open transaction");
        service.commit_transaction(broker::TIMEOUT).unwrap();
        redrive.join().unwrap()
    });
    assert_eq!(redriven.code, 0, "{}", redriven.errors);
    assert!(redriven.output.contains("1 were redriven before"), "{}", redriven.output);
    assert_eq!(values(source), ["second"]);
}

#[test]
fn a_record_that_was_too_large_is_applied_after_the_limit_was_raised() {
    let deployment = Deployment::new(1, "touchpoints: {bytes_max: 1KiB}\nworkers: 1");
    let touchpoint = format!(
        r#"{{"event_id":"e1","customer_id":"c1","type":"order_completed","occurred_at":"2020-01-01T00:00:00Z","note":"{}"}}"#,
        "x".repeat(2_000)
    );
    broker::produce(&deployment.touchpoints, &[NewRecord::keyed("c1", &touchpoint)]);
    let mut instance = deployment.start("a");
    wait_for_records(&[&deployment.dead_letters], 1, &mut [&mut instance]);
    instance.stop();
    let deployment = deployment.with_settings("touchpoints: {bytes_max: 4KiB}\nworkers: 1");
    let mut instance = deployment.start("a");
    let redriven = deployment.run("b", &["dlq", "redrive", "--reason", "too_large", "--execute"]);
    assert_eq!(redriven.code, 0, "{}{}", redriven.output, redriven.errors);
    let transitions = wait_for_records(&[&deployment.replay], 2, &mut [&mut instance]);
    instance.stop();
    assert!(transitions[0].text().contains("\"event_id\":\"e1\""), "{}", transitions[0].text());
}
