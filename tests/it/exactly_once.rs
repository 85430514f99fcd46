//! The service on a real broker with a public data set: each transition is published exactly once, despite kills,
//! freezes and rebalances.
//!
//! The expected result has two sources: ids and order come from `replay` of the same file, and names and instants from
//! a table that was computed without this program.

pub(crate) mod deployment;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::cli::lifecycle;
use deployment::{Deployment, wait_for_records};

pub(crate) const END: &str = "1998-07-01T00:00:00Z";
pub(crate) const PARTITIONS: i32 = 4;
const TOUCHPOINTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cdnow_sample_touchpoints.ndjson.gz");
const TRANSITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cdnow_sample_transitions_45d.csv.gz");
pub(crate) const EVENT_TIME_CLOCK: &str = "clock: {source: touchpoints}\nworkers: 1";

/// Transitions by customer, in order.
pub(crate) type Published = BTreeMap<String, Vec<Value>>;

#[test]
fn the_service_publishes_the_transitions_of_replay_and_of_the_table() {
    let deployment = Deployment::new(PARTITIONS, "workers: 2");
    broker::produce(&deployment.touchpoints, &touchpoints());
    // By wall time, every customer whose last order was in 1998 has long been silent.
    let expected = replay("2000-01-01T00:00:00Z");
    let mut instance = deployment.start("a");
    let seen = wait_for_records(&[&deployment.replay], count(&expected), &mut [&mut instance]);
    instance.stop();
    let published = by_customer(seen.iter().map(ConsumedRecord::text));
    assert_same(&published, &expected);
    assert_matches_table(&published);
    assert!(broker::read_committed(&deployment.transitions).is_empty(), "transitions of 1997 are not live");
    assert!(broker::read_committed(&deployment.dead_letters).is_empty());
}

#[test]
fn ten_kills_do_not_change_the_transitions() {
    let deployment = Deployment::new(PARTITIONS, EVENT_TIME_CLOCK);
    let mut rest = touchpoints();
    let slice = rest.len() / 11 + 1;
    let expected = replay(END);
    for _ in 0..10 {
        let some = rest.drain(..slice.min(rest.len())).collect::<Vec<_>>();
        let instance = deployment.start("a");
        broker::produce(&deployment.touchpoints, &some);
        std::thread::sleep(Duration::from_millis(fastrand::u64(300..1500)));
        instance.kill();
    }
    broker::produce(&deployment.touchpoints, &rest);
    end_history(&deployment);
    let mut instance = deployment.start("a");
    let seen = wait_for_records(&[&deployment.replay], count(&expected) + marker_transitions(), &mut [&mut instance]);
    instance.stop();
    let published = by_customer(seen.iter().map(ConsumedRecord::text));
    assert_same(&published, &expected);
    assert_matches_table(&published);
}

#[test]
fn rebalances_between_two_instances_do_not_change_the_transitions() {
    let deployment = Deployment::new(PARTITIONS, EVENT_TIME_CLOCK);
    let mut rest = touchpoints();
    let slice = rest.len() / 8 + 1;
    let expected = replay(END);
    let mut produce_slice = || {
        let some = rest.drain(..slice.min(rest.len())).collect::<Vec<_>>();
        broker::produce(&deployment.touchpoints, &some);
        std::thread::sleep(Duration::from_millis(1500));
    };
    let mut a = deployment.start("a");
    produce_slice();
    let b = deployment.start("b");
    (0..2).for_each(|_| produce_slice());
    b.stop();
    produce_slice();
    let b = deployment.start("b");
    (0..2).for_each(|_| produce_slice());
    b.kill();
    (0..2).for_each(|_| produce_slice());
    end_history(&deployment);
    let seen = wait_for_records(&[&deployment.replay], count(&expected) + marker_transitions(), &mut [&mut a]);
    a.stop();
    let published = by_customer(seen.iter().map(ConsumedRecord::text));
    assert_same(&published, &expected);
    assert_matches_table(&published);
}

#[test]
fn an_instance_that_resumes_after_a_freeze_does_not_change_the_transitions() {
    let deployment = Deployment::new(PARTITIONS, EVENT_TIME_CLOCK);
    let mut rest = touchpoints();
    let slice = rest.len() / 3;
    let expected = replay(END);
    let (mut a, mut b) = (deployment.start("a"), deployment.start("b"));
    for instance in [&a, &b] {
        let assigned = r#"lifecycle_partitions_rebalanced_total{event="gained"}"#;
        broker::until("both have partitions", || instance.metric(assigned).filter(|&assigned| assigned > 0));
    }
    broker::produce(&deployment.touchpoints, &rest.drain(..slice).collect::<Vec<_>>());
    broker::until("the first has committed", || {
        a.metric("lifecycle_touchpoints_consumed_total").filter(|&consumed| consumed > 0)
    });
    let later = rest.split_off(slice);
    broker::produce(&deployment.touchpoints, &rest);
    // Freeze for longer than the session timeout and the transaction timeout.
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..300)));
    a.freeze();
    broker::produce(&deployment.touchpoints, &later);
    std::thread::sleep(Duration::from_secs(10));
    a.resume();
    end_history(&deployment);
    let seen = wait_for_records(&[&deployment.replay], count(&expected) + marker_transitions(), &mut [&mut a, &mut b]);
    a.stop();
    b.stop();
    let published = by_customer(seen.iter().map(ConsumedRecord::text));
    assert_same(&published, &expected);
    assert_matches_table(&published);
}

#[test]
fn every_invalid_record_becomes_a_dead_letter_with_its_reason() {
    let deployment = Deployment::new(1, "workers: 1");
    let touchpoint = |number: u32, occurred_at: &str, customer: &str| {
        format!(
            r#"{{"event_id":"e{number}","customer_id":"{customer}","type":"order_completed","occurred_at":"{occurred_at}"}}"#
        )
    };
    let raw = |value: Option<Vec<u8>>| NewRecord { key: Some(b"k".to_vec()), value, ..NewRecord::default() };
    let good = touchpoint(1, "2020-01-01T00:00:00Z", "c1");
    let cases: Vec<(NewRecord, Option<&str>)> = vec![
        (NewRecord::keyed("c1", &good), None),
        (NewRecord::keyed("c1", "{\"event_id\":"), Some("not_json")),
        (NewRecord::keyed("c1", &touchpoint(2, "2020-01-01T00:00:00Z", "")), Some("no_customer")),
        (NewRecord::keyed("c1", &touchpoint(3, "yesterday", "c1")), Some("bad_field")),
        (NewRecord::keyed("c1", &touchpoint(4, "9000-01-01T00:00:00Z", "c1")), Some("in_future")),
        (raw(Some(Vec::new())), Some("empty")),
        (raw(None), Some("empty")),
        (raw(Some(vec![b'x'; 5 << 20])), Some("too_large")),
        (raw(Some(vec![0xff, 0xfe, 0xfd])), Some("not_utf8")),
        (
            NewRecord::keyed("c1", r#"{"customer_id":"c1","type":"x","occurred_at":"2020-01-01T00:00:00Z"}"#),
            Some("missing_field"),
        ),
        // An identical record is a duplicate; a record key that differs from the customer id is allowed.
        (NewRecord::keyed("c1", &good), None),
        (NewRecord::keyed("another-key", &touchpoint(5, "2020-01-02T00:00:00Z", "c2")), None),
    ];
    for (record, _) in &cases {
        // Each in its own request, so that the offsets are known and the large one is not batched with others.
        broker::produce(&deployment.touchpoints, std::slice::from_ref(record));
    }
    let invalid: Vec<_> =
        (0_usize..).zip(&cases).filter_map(|(offset, (record, reason))| Some((offset, record, (*reason)?))).collect();
    let mut instance = deployment.start("a");
    let dead_letters = wait_for_records(&[&deployment.dead_letters], invalid.len(), &mut [&mut instance]);
    // Two customers, each with a first purchase and a long silence.
    let transitions = wait_for_records(&[&deployment.replay], 4, &mut [&mut instance]);
    let counted =
        |metric: &str| instance.metric(&format!("lifecycle_touchpoints_{metric}_total")).expect("it is counted");
    let (consumed, applied, duplicates) = (counted("consumed"), counted("applied"), counted("duplicate"));
    instance.stop();
    assert_eq!((dead_letters.len(), transitions.len()), (invalid.len(), 4));
    assert_eq!((consumed, applied, duplicates), (cases.len() as u64, 2, 1));
    assert_eq!(consumed, applied + duplicates + dead_letters.len() as u64);
    for (dead_letter, (offset, record, reason)) in dead_letters.iter().zip(&invalid) {
        assert_eq!(header(dead_letter, "lifecycle_reason").as_deref(), Some(*reason));
        assert_eq!(header(dead_letter, "lifecycle_offset"), Some(offset.to_string()));
        assert_eq!(header(dead_letter, "lifecycle_topic").as_ref(), Some(&deployment.touchpoints));
        assert_eq!(dead_letter.key, record.key);
        if *reason == "too_large" {
            assert_eq!(header(dead_letter, "lifecycle_cut").as_deref(), Some("key 1, value 5242880, headers 0"));
            let (kept, all) = (dead_letter.value.as_ref().expect("a value"), record.value.as_ref().expect("a value"));
            assert!(all.starts_with(kept) && kept.len() > 900_000);
        } else {
            assert_eq!(dead_letter.value, record.value, "{reason}");
        }
    }
}

pub(crate) fn header(seen: &ConsumedRecord, name: &str) -> Option<String> {
    let (_, value) = seen.headers.iter().find(|(header, _)| header == name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn lines(path: &str) -> Vec<String> {
    let file = File::open(path).expect("the data is there");
    BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("a line of text")).collect()
}

pub(crate) fn touchpoints() -> Vec<NewRecord> {
    let record = |line: String| {
        let json: Value = serde_json::from_str(&line).expect("a touchpoint");
        NewRecord::keyed(json["customer_id"].as_str().expect("a customer"), &line)
    };
    lines(TOUCHPOINTS).into_iter().map(record).collect()
}

/// Advances the watermark of each partition to the end of the history, with a touchpoint of another customer that is
/// later by the lateness.
pub(crate) fn end_history(deployment: &Deployment) {
    let marker = |partition| NewRecord {
        partition: Some(partition),
        key: Some(b"marker".to_vec()),
        ..NewRecord::to(
            partition,
            &format!(
                r#"{{"event_id":"m","customer_id":"marker-{partition}","type":"order_completed","occurred_at":"1998-07-01T00:01:00Z"}}"#
            ),
        )
    };
    broker::produce(&deployment.touchpoints, &(0..PARTITIONS).map(marker).collect::<Vec<_>>());
}

/// Number of transitions caused by the touchpoints of `end_history`: one first purchase each.
pub(crate) fn marker_transitions() -> usize {
    usize::try_from(PARTITIONS).expect("few partitions")
}

pub(crate) fn replay(until: &str) -> Published {
    let run = lifecycle(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        &["replay", "--model", "examples/orders_45d.yaml", "--until", until, TOUCHPOINTS],
        b"",
    );
    assert_eq!(run.code, 0, "{}", run.errors);
    by_customer(run.output.lines().map(str::to_owned))
}

pub(crate) fn by_customer(transitions: impl Iterator<Item = String>) -> Published {
    let mut published = Published::new();
    for text in transitions {
        let json: Value = serde_json::from_str(&text).expect("a transition");
        let customer = json["customer_id"].as_str().expect("a customer");
        if !customer.starts_with("marker-") {
            published.entry(customer.to_owned()).or_default().push(json);
        }
    }
    published
}

pub(crate) fn count(published: &Published) -> usize {
    published.values().map(Vec::len).sum()
}

/// Asserts the same transitions in the same order; publication time and mode may differ.
pub(crate) fn assert_same(published: &Published, expected: &Published) {
    for (customer, expected) in expected {
        let ids = |transitions: &[Value]| transitions.iter().map(|it| it["transition_id"].clone()).collect::<Vec<_>>();
        let published = published.get(customer).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(ids(published), ids(expected), "{customer}");
        for (published, expected) in published.iter().zip(expected) {
            for field in ["name", "occurred_at", "cause", "sequence", "from", "to", "orders"] {
                assert_eq!(published[field], expected[field], "{customer}: {field}");
            }
        }
    }
    assert_eq!(count(published), count(expected));
}

/// Asserts that all transitions up to the end of the data match the table.
fn assert_matches_table(published: &Published) {
    let mut table: BTreeMap<String, Vec<[String; 3]>> = BTreeMap::new();
    for line in lines(TRANSITIONS).iter().skip(1) {
        let [customer, _, name, at, cause, _] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        table.entry(customer.to_owned()).or_default().push([name.to_owned(), at.to_owned(), cause.to_owned()]);
    }
    let text = |json: &Value| json.as_str().unwrap_or_default().to_owned();
    let seen: BTreeMap<String, Vec<[String; 3]>> = published
        .iter()
        .map(|(customer, transitions)| {
            let row = |it: &Value| [text(&it["name"]), text(&it["occurred_at"]), text(&it["cause"]["event_id"])];
            // All instants have the same format and zone, so they can be compared as text.
            let rows = transitions.iter().map(row).filter(|[_, at, _]| at.as_str() <= END).collect();
            (customer.clone(), rows)
        })
        .collect();
    assert_eq!(seen.len(), table.len());
    for (customer, expected) in &table {
        assert_eq!(seen.get(customer), Some(expected), "{customer}");
    }
}
