//! Touchpoints that arrive again on a real broker: the offsets of the group are set back, or the topic is sent again.

use serde_json::Value;

use crate::broker::{self, NewRecord, until};
use crate::cluster_faults;
use crate::exactly_once::deployment::{Deployment, Instance};

/// More than the event ids that are kept per customer.
const ORDERS: usize = 1_300;
const SETTINGS: &str = "clock: {source: touchpoints}\nworkers: 1";

fn orders(numbers: std::ops::Range<usize>) -> Vec<NewRecord> {
    let line = |number: usize| {
        let (day, hour) = (1 + number / 24 % 28, number % 24);
        format!(
            r#"{{"event_id":"e-{number}","customer_id":"anna","type":"order_completed","occurred_at":"2026-{:02}-{day:02}T{hour:02}:00:00Z","order_id":"o-{number}","amount":1}}"#,
            1 + number / 672,
        )
    };
    numbers.map(|number| NewRecord { partition: Some(0), ..NewRecord::keyed("anna", &line(number)) }).collect()
}

/// Waits until the topic is consumed, and returns the orders, duplicates and dead letters.
fn counts(instance: &mut Instance, consumed: usize) -> (u64, u64, u64) {
    let number = |instance: &Instance, series: &str| instance.metric(series).unwrap_or_default();
    until("all touchpoints are consumed", || {
        instance.assert_runs();
        (number(instance, "lifecycle_touchpoints_consumed_total") >= consumed as u64).then_some(())
    });
    let duplicates = number(instance, "lifecycle_touchpoints_duplicate_total");
    let customer: Value = serde_json::from_str(&instance.get("/v1/customers/anna").expect("an answer")).expect("JSON");
    let orders =
        customer["facts"]["count(order_completed)"].as_u64().unwrap_or_else(|| panic!("no orders: {customer:#}"));
    (orders, duplicates, number(instance, "lifecycle_dead_letters_total{reason=\"not_json\"}"))
}

#[test]
fn touchpoints_before_an_offset_that_was_set_back_are_duplicates() {
    let deployment = Deployment::new(1, SETTINGS);
    broker::produce(&deployment.touchpoints, &orders(0..ORDERS));
    broker::produce(&deployment.touchpoints, &[NewRecord::to(0, "not JSON")]);
    let mut instance = deployment.start("a");
    assert_eq!(counts(&mut instance, ORDERS + 1), (ORDERS as u64, 0, 1));
    instance.stop();

    // `kafka-consumer-groups --reset-offsets --to-earliest` commits the offset without metadata.
    cluster_faults::commit(&deployment.group, &deployment.touchpoints, 0, 0, "");
    broker::produce(&deployment.touchpoints, &orders(ORDERS..ORDERS + 5));
    let mut instance = deployment.start("a");
    let (orders, duplicates, dead_letters) = counts(&mut instance, ORDERS + 6);
    assert_eq!((orders, duplicates), (ORDERS as u64 + 5, ORDERS as u64 + 1), "the dead letter is a duplicate as well");
    assert_eq!(dead_letters, 0);
    assert_eq!(broker::read_committed(&deployment.dead_letters).len(), 1);
    let log = instance.stop();
    let line = log.lines().find(|line| line.contains("committed offset was set back")).expect("it is logged");
    assert!(line.contains("committed") && line.contains("applied_to"), "{line}");
}

#[test]
fn touchpoints_skipped_by_an_offset_that_was_set_forward_are_applied_when_it_is_set_back() {
    let deployment = Deployment::new(1, SETTINGS);
    broker::produce(&deployment.touchpoints, &orders(0..10));
    let mut instance = deployment.start("a");
    assert_eq!(counts(&mut instance, 10), (10, 0, 0));
    instance.stop();

    broker::produce(&deployment.touchpoints, &orders(10..30));
    cluster_faults::commit(&deployment.group, &deployment.touchpoints, 0, 20, "");
    let mut instance = deployment.start("a");
    assert_eq!(counts(&mut instance, 10), (20, 0, 0));
    let log = instance.stop();
    let line = log.lines().find(|line| line.contains("committed offset was set forward")).expect("it is logged");
    assert!(line.contains("first_skipped=10") && line.contains("last_skipped=19"), "{line}");

    // A restart in between must not forget what was skipped.
    let restarted = deployment.start("a");
    until("ready", || restarted.metric("lifecycle_ready").filter(|&ready| ready == 1));
    restarted.stop();
    cluster_faults::commit(&deployment.group, &deployment.touchpoints, 0, 5, "");
    let mut instance = deployment.start("a");
    assert_eq!(counts(&mut instance, 25), (30, 15, 0), "five before, ten skipped ones, ten after");
    let log = instance.stop();
    assert!(log.contains("never_applied=10"), "{log}");

    cluster_faults::commit(&deployment.group, &deployment.touchpoints, 0, 0, "");
    let mut instance = deployment.start("a");
    assert_eq!(counts(&mut instance, 30), (30, 30, 0), "nothing is skipped any more");
    instance.stop();
}

#[test]
fn a_changelog_that_is_ahead_of_the_touchpoints_stops_the_service() {
    let deployment = Deployment::new(1, SETTINGS);
    broker::produce(&deployment.touchpoints, &orders(0..10));
    let mut instance = deployment.start("a");
    assert_eq!(counts(&mut instance, 10).0, 10);
    instance.stop();
    // A recreated topic, after the offsets of the group were reset.
    let recreated = deployment.with_touchpoints(broker::topic("touchpoints", 1));
    cluster_faults::commit(&recreated.group, &recreated.touchpoints, 0, 0, "");
    broker::produce(&recreated.touchpoints, &orders(10..13));
    let (code, log) = recreated.start("a").wait_for_exit();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("touchpoints before offset 10 were applied, but the partition ends at 3"), "{log}");
}

#[test]
fn a_topic_that_is_sent_again_counts_once() {
    const SENT_AGAIN: usize = 1_000;
    let deployment = Deployment::new(1, SETTINGS);
    broker::produce(&deployment.touchpoints, &orders(0..SENT_AGAIN));
    broker::produce(&deployment.touchpoints, &orders(0..SENT_AGAIN));
    let mut instance = deployment.start("a");
    assert_eq!(counts(&mut instance, 2 * SENT_AGAIN), (SENT_AGAIN as u64, SENT_AGAIN as u64, 0));
    instance.stop();
}
