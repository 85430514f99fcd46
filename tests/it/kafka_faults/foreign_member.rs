//! Another program joins the consumer group of the service by mistake and consumes some of its touchpoints.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use super::{order, wait_until_consumed};
use crate::broker::{self, NewRecord, config, until};
use crate::exactly_once::deployment::Deployment;

#[test]
fn records_that_another_member_skipped_are_named() {
    let deployment = Deployment::new(2, "workers: 1");
    let to_both = |name: &str, count: usize| {
        for partition in [0, 1] {
            let records: Vec<_> = (0..count)
                .map(|number| {
                    order(&format!("{name}-{number}"), &format!("c{partition}"), jiff::SignedDuration::from_secs(60))
                })
                .map(|order| NewRecord::to(partition, &order))
                .collect();
            broker::produce(&deployment.touchpoints, &records);
        }
    };
    to_both("first", 10);
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 20);

    let other: BaseConsumer = config()
        .set("group.id", &deployment.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    other.subscribe(&[&deployment.touchpoints]).expect("a subscription");
    until("it is assigned a partition", || {
        drop(other.poll(Duration::from_millis(50)));
        other.assignment().is_ok_and(|it| it.count() > 0).then_some(())
    });
    to_both("second", 10);
    let mut seen = 0;
    until("it has consumed ten records", || {
        seen += usize::from(matches!(other.poll(Duration::from_millis(100)), Some(Ok(_))));
        (seen == 10).then_some(())
    });
    other.commit_consumer_state(CommitMode::Sync).expect("the offsets are committed");
    drop(other);
    let log = until("the partition is assigned to the service again", || {
        std::thread::sleep(Duration::from_millis(200));
        instance.assert_runs();
        Some(instance.log()).filter(|log| log.matches("partition restored").count() >= 3)
    });
    assert!(log.contains("another member of the group skipped touchpoints"), "{log}");
    assert!(log.contains("first_skipped=10") && log.contains("last_skipped=19"), "{log}");
    assert!(!log.contains("set manually"), "{log}");
    instance.stop();
}
