//! Touchpoints behind another producer's open transaction are acknowledged but cannot be read yet.

use std::time::Duration;

use jiff::SignedDuration;
use rdkafka::producer::Producer;

use super::{keyed_order, order, other_producer, transitions_of, wait_until_consumed};
use crate::broker::{self, NewRecord, TIMEOUT, until};
use crate::exactly_once::deployment::Deployment;

#[test]
fn a_wake_up_waits_for_touchpoints_behind_an_open_transaction() {
    const SILENCE: SignedDuration = SignedDuration::from_hours(45 * 24);
    let deployment = Deployment::new(1, "clock: {lateness: 1s}\nworkers: 1");
    // Her wake-up is due in twelve seconds, by the silence of 45 days.
    let first = order("first", "anna", SILENCE - SignedDuration::from_secs(12));
    broker::produce(&deployment.touchpoints, &[NewRecord::keyed("anna", &first)]);
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 1);
    let other = other_producer();
    other.begin_transaction().expect("a transaction begins");
    broker::write(&other, &deployment.touchpoints, &[keyed_order("other", "bert")]);
    // Acknowledged well before her wake-up is due, but read_committed consumers do not get it yet.
    broker::produce(&deployment.touchpoints, &[keyed_order("second", "anna")]);

    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(transitions_of(&deployment, "anna"), ["first_purchase"], "{}", instance.log());
    assert_eq!(instance.metric(r#"lifecycle_lag_records{partition="0"}"#), Some(2));
    assert_eq!(instance.metric(r#"lifecycle_partition_last_stable_offset{partition="0"}"#), Some(1));
    assert_eq!(instance.metric(r#"lifecycle_partition_high_watermark{partition="0"}"#), Some(3));
    let status = instance.get("/v1/partitions").expect("a response");
    assert!(status.contains(r#""lag_records":2"#), "{status}");
    let report = deployment.doctor("a");
    assert!(report.contains("lag: 2 offsets, 2 of them behind an open transaction"), "{report}");

    other.commit_transaction(TIMEOUT).expect("the transaction commits");
    wait_until_consumed(&mut instance, 3);
    until("there is no lag", || {
        std::thread::sleep(Duration::from_millis(200));
        instance.metric(r#"lifecycle_lag_records{partition="0"}"#).filter(|&lag| lag == 0)
    });
    instance.stop();
    assert_eq!(transitions_of(&deployment, "anna"), ["first_purchase", "repeat"]);
    assert_eq!(transitions_of(&deployment, "bert"), ["first_purchase"]);
}
