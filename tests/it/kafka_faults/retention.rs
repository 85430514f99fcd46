//! A partition that ends in control records is read completely, and retention may delete all of it.

use std::time::Duration;

use super::{keyed_order, transitions_of, wait_until_consumed};
use crate::broker::{self, NewRecord, until};
use crate::cluster_faults::committed;
use crate::exactly_once::deployment::Deployment;

#[test]
fn retention_behind_control_records_deletes_nothing_unread() {
    let deployment = Deployment::new(1, "workers: 1");
    let orders: Vec<NewRecord> = (0..5).map(|number| keyed_order(&format!("e{number}"), "anna")).collect();
    broker::produce_committed(&deployment.touchpoints, &orders);
    broker::produce_aborted(&deployment.touchpoints, &[keyed_order("aborted", "bert")]);
    let end = broker::range_at(broker::bootstrap(), &deployment.touchpoints, 0).1;
    assert_eq!(end, 8, "five records, a commit marker, an aborted record, an abort marker");
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 5);
    // Other tools compute the lag from the committed offset, so it must reach the end.
    until("the end is committed", || {
        std::thread::sleep(Duration::from_millis(200));
        committed(&deployment.group, &deployment.touchpoints, 0).filter(|&offset| offset == end)
    });
    // Nothing is committed over and over while nothing arrives.
    let commits = r#"lifecycle_commits_total{result="committed"}"#;
    std::thread::sleep(Duration::from_secs(2));
    let before = instance.metric(commits);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(instance.metric(commits), before);
    instance.stop();

    broker::delete_records(&deployment.touchpoints, 0, end);
    let mut instance = deployment.start("a");
    broker::produce(&deployment.touchpoints, &[keyed_order("last", "clara")]);
    wait_until_consumed(&mut instance, 1);
    instance.stop();
    assert_eq!(transitions_of(&deployment, "anna"), ["first_purchase", "repeat"]);
    assert_eq!(transitions_of(&deployment, "clara"), ["first_purchase"]);
}
