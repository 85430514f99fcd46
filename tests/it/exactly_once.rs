//! The service on a real broker, with a public data set: whatever befalls it, each transition is published once.
//!
//! What is expected comes from two sources: ids and order from `replay` over the same file, names and instants from a table computed
//! apart from this program.

pub(crate) mod running;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::broker::{self, Seen, ToWrite};
use crate::cli::lifecycle;
use running::{Deployment, read};

const END: &str = "1998-07-01T00:00:00Z";
const PARTITIONS: i32 = 4;
const TOUCHPOINTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cdnow_sample_touchpoints.ndjson.gz");
const TRANSITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cdnow_sample_transitions_45d.csv.gz");
const BY_TOUCHPOINTS: &str = "clock: {source: touchpoints}\nworkers: 1";

/// Transitions by customer, in order.
type Published = BTreeMap<String, Vec<Value>>;

#[test]
fn a_service_publishes_what_the_table_says_and_what_replay_computes() {
    let deployment = Deployment::new(PARTITIONS, "workers: 2");
    broker::produce(&deployment.touchpoints, &touchpoints());
    // By wall time all who ordered last in 1998 have long been silent.
    let expected = replay("2000-01-01T00:00:00Z");
    let mut instance = deployment.start("a");
    let seen = read(&[&deployment.replay], count(&expected), &mut [&mut instance]);
    instance.stop();
    let published = by_customer(seen.iter().map(Seen::text));
    assert_same(&published, &expected);
    assert_table(&published);
    assert!(broker::read_committed(&deployment.transitions).is_empty(), "what happened in 1997 is no news");
    assert!(broker::read_committed(&deployment.dead_letters).is_empty());
}

#[test]
fn ten_kills_change_nothing() {
    let deployment = Deployment::new(PARTITIONS, BY_TOUCHPOINTS);
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
    let seen = read(&[&deployment.replay], count(&expected) + markers(), &mut [&mut instance]);
    instance.stop();
    let published = by_customer(seen.iter().map(Seen::text));
    assert_same(&published, &expected);
    assert_table(&published);
}

#[test]
fn two_instances_that_come_and_go_change_nothing() {
    let deployment = Deployment::new(PARTITIONS, BY_TOUCHPOINTS);
    let mut rest = touchpoints();
    let slice = rest.len() / 8 + 1;
    let expected = replay(END);
    let mut feed = || {
        let some = rest.drain(..slice.min(rest.len())).collect::<Vec<_>>();
        broker::produce(&deployment.touchpoints, &some);
        std::thread::sleep(Duration::from_millis(1500));
    };
    let mut a = deployment.start("a");
    feed();
    let b = deployment.start("b");
    (0..2).for_each(|_| feed());
    b.stop();
    feed();
    let b = deployment.start("b");
    (0..2).for_each(|_| feed());
    b.kill();
    (0..2).for_each(|_| feed());
    end_history(&deployment);
    let seen = read(&[&deployment.replay], count(&expected) + markers(), &mut [&mut a]);
    a.stop();
    let published = by_customer(seen.iter().map(Seen::text));
    assert_same(&published, &expected);
    assert_table(&published);
}

#[test]
fn an_instance_that_was_frozen_and_goes_on_changes_nothing() {
    let deployment = Deployment::new(PARTITIONS, BY_TOUCHPOINTS);
    let mut rest = touchpoints();
    let slice = rest.len() / 3;
    let expected = replay(END);
    let (mut a, mut b) = (deployment.start("a"), deployment.start("b"));
    for instance in [&a, &b] {
        let gained = r#"lifecycle_partitions_rebalanced_total{event="gained"}"#;
        broker::until("both have partitions", || instance.metric(gained).filter(|&gained| gained > 0));
    }
    broker::produce(&deployment.touchpoints, &rest.drain(..slice).collect::<Vec<_>>());
    broker::until("the first has committed", || {
        a.metric("lifecycle_touchpoints_consumed_total").filter(|&consumed| consumed > 0)
    });
    let later = rest.split_off(slice);
    broker::produce(&deployment.touchpoints, &rest);
    // Longer than the group waits for a member, and the broker for a transaction.
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..300)));
    a.freeze();
    broker::produce(&deployment.touchpoints, &later);
    std::thread::sleep(Duration::from_secs(10));
    a.thaw();
    end_history(&deployment);
    let seen = read(&[&deployment.replay], count(&expected) + markers(), &mut [&mut a, &mut b]);
    a.stop();
    b.stop();
    let published = by_customer(seen.iter().map(Seen::text));
    assert_same(&published, &expected);
    assert_table(&published);
}

#[test]
fn every_bad_record_is_set_aside_with_its_reason_and_nothing_is_lost() {
    let deployment = Deployment::new(1, "workers: 1");
    let touchpoint = |number: u32, occurred_at: &str, customer: &str| {
        format!(
            r#"{{"event_id":"e{number}","customer_id":"{customer}","type":"order_completed","occurred_at":"{occurred_at}"}}"#
        )
    };
    let raw = |value: Option<Vec<u8>>| ToWrite { key: Some(b"k".to_vec()), value, ..ToWrite::default() };
    let good = touchpoint(1, "2020-01-01T00:00:00Z", "c1");
    let cases: Vec<(ToWrite, Option<&str>)> = vec![
        (ToWrite::keyed("c1", &good), None),
        (ToWrite::keyed("c1", "{\"event_id\":"), Some("not_json")),
        (ToWrite::keyed("c1", &touchpoint(2, "2020-01-01T00:00:00Z", "")), Some("no_customer")),
        (ToWrite::keyed("c1", &touchpoint(3, "yesterday", "c1")), Some("bad_field")),
        (ToWrite::keyed("c1", &touchpoint(4, "9000-01-01T00:00:00Z", "c1")), Some("in_future")),
        (raw(Some(Vec::new())), Some("empty")),
        (raw(None), Some("empty")),
        (raw(Some(vec![b'x'; 5 << 20])), Some("too_large")),
        (raw(Some(vec![0xff, 0xfe, 0xfd])), Some("not_utf8")),
        (
            ToWrite::keyed("c1", r#"{"customer_id":"c1","type":"x","occurred_at":"2020-01-01T00:00:00Z"}"#),
            Some("missing_field"),
        ),
        // The same again is a duplicate; a key that is not the customer is the sender's affair.
        (ToWrite::keyed("c1", &good), None),
        (ToWrite::keyed("somebody-else", &touchpoint(5, "2020-01-02T00:00:00Z", "c2")), None),
    ];
    for (record, _) in &cases {
        // One by one, so that each gets its offset and the large one goes alone.
        broker::produce(&deployment.touchpoints, std::slice::from_ref(record));
    }
    let bad: Vec<_> =
        (0_usize..).zip(&cases).filter_map(|(offset, (record, why))| Some((offset, record, (*why)?))).collect();
    let mut instance = deployment.start("a");
    let letters = read(&[&deployment.dead_letters], bad.len(), &mut [&mut instance]);
    // Two customers, each with a first purchase and a long silence.
    let transitions = read(&[&deployment.replay], 4, &mut [&mut instance]);
    let counted =
        |metric: &str| instance.metric(&format!("lifecycle_touchpoints_{metric}_total")).expect("it is counted");
    let (consumed, applied, duplicates) = (counted("consumed"), counted("applied"), counted("duplicate"));
    instance.stop();
    assert_eq!((letters.len(), transitions.len()), (bad.len(), 4));
    assert_eq!((consumed, applied, duplicates), (cases.len() as u64, 2, 1));
    assert_eq!(consumed, applied + duplicates + letters.len() as u64);
    for (letter, (offset, record, reason)) in letters.iter().zip(&bad) {
        assert_eq!(header(letter, "lifecycle_reason").as_deref(), Some(*reason));
        assert_eq!(header(letter, "lifecycle_offset"), Some(offset.to_string()));
        assert_eq!(header(letter, "lifecycle_topic").as_ref(), Some(&deployment.touchpoints));
        assert_eq!(letter.key, record.key);
        if *reason == "too_large" {
            assert_eq!(header(letter, "lifecycle_cut").as_deref(), Some("key 1, value 5242880, headers 0"));
            let (kept, all) = (letter.value.as_ref().expect("a value"), record.value.as_ref().expect("a value"));
            assert!(all.starts_with(kept) && kept.len() > 900_000);
        } else {
            assert_eq!(letter.value, record.value, "{reason}");
        }
    }
}

fn header(seen: &Seen, name: &str) -> Option<String> {
    let (_, value) = seen.headers.iter().find(|(header, _)| header == name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn lines(path: &str) -> Vec<String> {
    let file = File::open(path).expect("the data is there");
    BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("a line of text")).collect()
}

fn touchpoints() -> Vec<ToWrite> {
    let record = |line: String| {
        let json: Value = serde_json::from_str(&line).expect("a touchpoint");
        ToWrite::keyed(json["customer_id"].as_str().expect("a customer"), &line)
    };
    lines(TOUCHPOINTS).into_iter().map(record).collect()
}

/// Has the clock of each partition reach the end of the history: a touchpoint of somebody else, past it by the allowed lateness.
fn end_history(deployment: &Deployment) {
    let marker = |partition| ToWrite {
        partition: Some(partition),
        key: Some(b"marker".to_vec()),
        ..ToWrite::to(
            partition,
            &format!(
                r#"{{"event_id":"m","customer_id":"marker-{partition}","type":"order_completed","occurred_at":"1998-07-01T00:01:00Z"}}"#
            ),
        )
    };
    broker::produce(&deployment.touchpoints, &(0..PARTITIONS).map(marker).collect::<Vec<_>>());
}

/// How many transitions of those touchpoints there are: each is somebody's first purchase.
fn markers() -> usize {
    usize::try_from(PARTITIONS).expect("few partitions")
}

fn replay(until: &str) -> Published {
    let run = lifecycle(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        &["replay", "--model", "examples/orders_45d.yaml", "--until", until, TOUCHPOINTS],
        b"",
    );
    assert_eq!(run.code, 0, "{}", run.errors);
    by_customer(run.output.lines().map(str::to_owned))
}

fn by_customer(transitions: impl Iterator<Item = String>) -> Published {
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

fn count(published: &Published) -> usize {
    published.values().map(Vec::len).sum()
}

/// The same transitions in the same order; only when and on which occasion they were published may differ.
fn assert_same(published: &Published, expected: &Published) {
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

/// What happened until the end of the data is what the table says.
fn assert_table(published: &Published) {
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
            // Instants of one form and zone are in order as texts are.
            let rows = transitions.iter().map(row).filter(|[_, at, _]| at.as_str() <= END).collect();
            (customer.clone(), rows)
        })
        .collect();
    assert_eq!(seen.len(), table.len());
    for (customer, expected) in &table {
        assert_eq!(seen.get(customer), Some(expected), "{customer}");
    }
}
