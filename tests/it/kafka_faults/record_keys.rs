//! Records whose key is not the customer id, and erasures that therefore arrive in the wrong partition.

use std::time::Duration;

use super::{keyed_order, order, wait_until_consumed};
use crate::broker::{self, ConsumedRecord, NewRecord, read_committed, until};
use crate::exactly_once::deployment::{Deployment, Instance};

const PARTITIONS: i32 = 4;

fn erasure(customer: &str) -> String {
    let touchpoint = order(&format!("erasure-of-{customer}"), customer, jiff::SignedDuration::from_secs(1));
    touchpoint.replace("order_completed", "customer_erased")
}

/// The partition of the record with this key.
fn partition_of(records: &[ConsumedRecord], customer: &str) -> i32 {
    records.iter().find(|it| it.key.as_deref() == Some(customer.as_bytes())).expect("it was written").partition
}

#[test]
fn an_erasure_with_a_wrong_or_missing_key_erases_the_customer_once() {
    let deployment = Deployment::new(PARTITIONS, "workers: 2");
    let customers: Vec<String> = (0..8).map(|number| format!("customer-{number}")).collect();
    let orders: Vec<NewRecord> = customers.iter().map(|customer| keyed_order(customer, customer)).collect();
    broker::produce(&deployment.touchpoints, &orders);
    let written = read_committed(&deployment.touchpoints);
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 8);
    for (number, customer) in customers.iter().enumerate() {
        // Never the partition of the customer.
        let wrong = (partition_of(&written, customer) + 1) % PARTITIONS;
        let key = (number % 2 == 0).then(|| b"wrong".to_vec());
        let record = NewRecord { key, ..NewRecord::to(wrong, &erasure(customer)) };
        broker::produce(&deployment.touchpoints, &[record]);
    }
    until("every customer is erased", || {
        std::thread::sleep(Duration::from_millis(200));
        instance.metric(r#"lifecycle_customers_removed_total{reason="erasure"}"#).filter(|&erased| erased == 8)
    });
    // 8 orders, and 8 erasures in 4 partitions.
    wait_until_consumed(&mut instance, 40);
    assert_eq!(instance.metric(r#"lifecycle_erasures_total{result="forwarded"}"#), Some(8));
    assert_eq!(instance.metric(r#"lifecycle_erasures_total{result="removed"}"#), Some(8));
    assert_eq!(instance.metric(r#"lifecycle_erasures_total{result="not_found"}"#), Some(0));
    assert_eq!(instance.metric(r#"lifecycle_records_written_total{topic_kind="touchpoints"}"#), Some(24));
    instance.stop();
    // Each was forwarded once to each other partition.
    let all = read_committed(&deployment.touchpoints);
    assert_eq!(all.len(), 40);
    for customer in &customers {
        let id = format!("\"erasure-of-{customer}\"");
        let forwarded: Vec<_> = all.iter().filter(|it| it.text().contains(&id)).collect();
        let erases = |text: &str| text.contains("\"customer_erased\"") && text.contains(&format!("\"{customer}\""));
        assert!(forwarded.iter().all(|it| erases(&it.text())), "{forwarded:?}");
        let mut partitions: Vec<_> = forwarded.iter().map(|it| it.partition).collect();
        partitions.sort_unstable();
        assert_eq!(partitions, [0, 1, 2, 3], "the original and the forwarded ones");
    }
}

#[test]
fn an_erasure_removes_every_part_of_a_customer_whom_wrong_keys_have_split() {
    let deployment = Deployment::new(PARTITIONS, "workers: 1");
    // The instances have two partitions each.
    let mut instances = [deployment.start("a"), deployment.start("b")];
    let sum = |instances: &[Instance; 2], series: &str| -> u64 {
        instances.iter().map(|instance| instance.metric(series).unwrap_or_default()).sum()
    };
    let wait_for = |instances: &mut [Instance; 2], series: &str, expected: u64| {
        until(series, || {
            std::thread::sleep(Duration::from_millis(200));
            instances.iter_mut().for_each(Instance::assert_runs);
            (sum(instances, series) >= expected).then_some(())
        });
        assert_eq!(sum(instances, series), expected, "{series}");
    };
    let part = |partition: i32| {
        let text = order(&format!("order-{partition}"), "anna", jiff::SignedDuration::from_secs(30));
        NewRecord { key: Some(b"wrong".to_vec()), ..NewRecord::to(partition, &text) }
    };
    broker::produce(&deployment.touchpoints, &(0..PARTITIONS).map(part).collect::<Vec<_>>());
    wait_for(&mut instances, "lifecycle_touchpoints_consumed_total", 4);
    broker::produce(&deployment.touchpoints, &[NewRecord::keyed("anna", &erasure("anna"))]);
    wait_for(&mut instances, "lifecycle_touchpoints_consumed_total", 8);
    assert_eq!(sum(&instances, r#"lifecycle_customers_removed_total{reason="erasure"}"#), 4);
    // Each partition had a part. Erasing again finds no part, which is reported once and not by each partition.
    broker::produce(&deployment.touchpoints, &[NewRecord::keyed("anna", &erasure("anna"))]);
    wait_for(&mut instances, "lifecycle_touchpoints_consumed_total", 12);
    assert_eq!(sum(&instances, r#"lifecycle_erasures_total{result="not_found"}"#), 1);
    for instance in instances {
        instance.stop();
    }
}

#[test]
fn wrong_keys_and_erasures_of_nobody_are_reported() {
    let deployment = Deployment::new(1, "workers: 1");
    broker::produce(&deployment.touchpoints, &[keyed_order("right", "anna")]);
    let wrong = order("wrong", "anna", jiff::SignedDuration::from_secs(30));
    broker::produce(&deployment.touchpoints, &[NewRecord::keyed("session-17", &wrong)]);
    broker::produce(&deployment.touchpoints, &[NewRecord { key: None, ..NewRecord::to(0, &erasure("nobody")) }]);
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 3);
    assert_eq!(instance.metric("lifecycle_touchpoints_wrong_key_total"), Some(2));
    assert_eq!(instance.metric(r#"lifecycle_erasures_total{result="not_found"}"#), Some(1));
    let report = deployment.doctor("a");
    assert!(report.contains("not its customer id"), "{report}");
    let log = instance.stop();
    assert_eq!(log.matches("the record key is not the customer id").count(), 1, "{log}");
    assert_eq!(log.matches("an erasure found no customer").count(), 1, "{log}");
    assert!(!log.contains("session-17") && !log.contains("anna") && !log.contains("nobody"), "{log}");
}
