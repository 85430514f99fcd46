//! Topics that are deleted and created again under the same name, while the service runs and while it is stopped.

use super::{keyed_order, transitions_of, wait_until_consumed};
use crate::broker::{self, NewRecord, until};
use crate::cluster_faults::{committed, recreate_topic};
use crate::exactly_once::deployment::Deployment;

const CHANGELOG: &[(&str, &str)] = &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

fn orders(name: &str, count: usize) -> Vec<NewRecord> {
    (0..count).map(|number| keyed_order(&format!("{name}-{number}"), &format!("{name}-{number}"))).collect()
}

#[test]
fn a_changelog_that_is_created_again_stops_the_service_and_nothing_is_published_twice() {
    let deployment = Deployment::new(1, "workers: 1");
    broker::produce(&deployment.touchpoints, &[keyed_order("first", "anna")]);
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 1);
    broker::produce(&deployment.touchpoints, &orders("more", 3));
    wait_until_consumed(&mut instance, 4);
    recreate_topic(&deployment.changelog, 1, CHANGELOG);
    broker::produce(&deployment.touchpoints, &orders("later", 1));
    let (code, log) = instance.wait_for_exit();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("the changelog") && log.contains("deleted and created again"), "{log}");

    // A supervisor starts it again: it refuses, and publishes nothing.
    let (code, log) = deployment.start("a").wait_for_exit();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("records were lost"), "{log}");
    assert_eq!(transitions_of(&deployment, "anna"), ["first_purchase"]);
    assert_eq!(transitions_of(&deployment, "later-0"), [""; 0], "the transaction was aborted");
}

#[test]
fn a_touchpoint_topic_that_is_created_again_and_filled_at_once_stops_the_service() {
    let deployment = Deployment::new(1, "workers: 1");
    broker::produce(&deployment.touchpoints, &orders("old", 20));
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 20);
    // The service does not notice the moment in which the topic is missing or short.
    instance.freeze();
    recreate_topic(&deployment.touchpoints, 1, &[]);
    broker::produce(&deployment.touchpoints, &orders("new", 40));
    instance.resume();
    let (code, log) = instance.wait_for_exit();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("the touchpoints") && log.contains("deleted and created again"), "{log}");
}

#[test]
fn a_touchpoint_topic_that_is_created_again_while_the_service_is_stopped_is_detected_at_the_start() {
    let deployment = Deployment::new(1, "workers: 1");
    broker::produce(&deployment.touchpoints, &orders("old", 20));
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 20);
    instance.stop();
    let position = until("the offset is committed", || committed(&deployment.group, &deployment.touchpoints, 0));
    recreate_topic(&deployment.touchpoints, 1, &[]);
    broker::produce(&deployment.touchpoints, &orders("new", 40));
    assert_eq!(position, 20);
    let (code, log) = deployment.start("a").wait_for_exit();
    // Kafka deletes the offsets of a deleted topic.
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("has no committed offset"), "{log}");
    assert_eq!(transitions_of(&deployment, "new-25"), [""; 0]);
}
