//! The topic of hand-overs is deleted and created again on a real broker: what was under way is lost, so the service
//! stops, even if the new topic soon ends past the position.

use std::time::Duration;

use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::wire::hand_over::{Content, HandOverRecord};
use rdkafka::admin::{NewTopic, TopicReplication};
use serde_json::json;

use crate::broker::{self, NewRecord, until};
use crate::exactly_once::deployment::{Deployment, Instance};

const PARTITIONS: i32 = 2;
const SETTINGS: &str = "clock: {source: touchpoints}\nworkers: 1\nidentity: {enabled: true, stub_lifetime: 36500d}";

/// Returns the deployment and an instance that has merged a visitor of each partition.
fn deployment() -> (Deployment, Instance) {
    let mut deployment = Deployment::new(PARTITIONS, SETTINGS);
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/retention.yaml").clone_into(&mut deployment.model);
    deployment.hand_overs = Some(broker::topic_with("hand-overs", PARTITIONS, &[("max.message.bytes", "8388608")]));
    let instance = deployment.start("a");
    for number in 0..20 {
        let (customer, visitor) = (format!("customer-{number}"), format!("visitor-{number}"));
        let seen = json!({"event_id": format!("seen-{number}"), "type": "product_viewed", "anonymous_id": visitor,
            "occurred_at": "2026-01-01T08:00:00Z"});
        let link = json!({"event_id": format!("link-{number}"), "type": "customer_identified", "anonymous_id": visitor,
            "customer_id": customer, "occurred_at": "2026-01-01T08:01:00Z"});
        let records = [NewRecord::keyed(&visitor, &seen.to_string()), NewRecord::keyed(&customer, &link.to_string())];
        broker::produce(&deployment.touchpoints, &records);
    }
    // Each partition has then applied claims.
    until("every visitor is merged", || {
        (0..20)
            .all(|number| {
                let answer = instance.get(&format!("/v1/customers/visitor-{number}"));
                answer.is_some_and(|answer| answer.contains(&format!("\"customer-{number}\"")))
            })
            .then_some(())
    });
    (deployment, instance)
}

/// Deletes the topic of hand-overs and creates it again, with more hand-overs than before.
fn recreate(deployment: &Deployment) {
    let topic = deployment.hand_overs.as_ref().expect("a topic");
    broker::delete_topic(topic);
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)).set("max.message.bytes", "8388608");
    until("the topic is created again", || {
        let created = futures_executor::block_on(broker::admin().create_topics([&new], &broker::admin_options()));
        created.ok()?.into_iter().all(|result| result.is_ok()).then_some(())
    });
    let record = |partition| {
        let ids = (0..).map(|number| format!("id-{number}"));
        let to = ids.into_iter().find(|id| partition_of(id.as_bytes(), PARTITIONS) == partition).expect("an id");
        let at = Timestamp::from_millis(1_767_254_400_000);
        let value = HandOverRecord {
            to,
            life: None,
            at,
            path: Vec::new(),
            rounds: 0,
            content: Content::Erase { drain: 1, is_erasure: false },
        }
        .encode();
        NewRecord { partition: Some(partition), value: Some(value), ..NewRecord::default() }
    };
    let records: Vec<_> = (0..PARTITIONS).flat_map(|partition| vec![record(partition); 200]).collect();
    broker::produce(topic, &records);
}

const FOUND: &str = "is not the hand-over that was read before: the topic was deleted and created again";

#[test]
fn a_topic_of_hand_overs_created_again_while_the_service_is_stopped_prevents_its_start() {
    let (deployment, instance) = deployment();
    instance.stop();
    assert!(deployment.doctor("a").contains(" 0 problems"), "{}", deployment.doctor("a"));
    recreate(&deployment);
    let report = deployment.doctor("a");
    assert!(report.contains(FOUND), "{report}");
    let (code, log) = deployment.start("a").wait_for_exit();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains(FOUND) && log.contains("start from the beginning"), "{log}");
}

#[test]
fn a_topic_of_hand_overs_created_again_stops_a_running_service() {
    let (deployment, mut instance) = deployment();
    recreate(&deployment);
    // The client may notice first that the topic does not exist for a moment; then the next start finds the reason.
    let mut codes = Vec::new();
    let log = loop {
        let (code, log) = instance.wait_for_exit();
        codes.push(code);
        if code == Some(3) || codes.len() == 3 {
            break log;
        }
        std::thread::sleep(Duration::from_millis(100));
        instance = deployment.start("a");
    };
    assert_eq!(codes.last(), Some(&Some(3)), "{codes:?}: {log}");
    assert!(log.contains("start from the beginning"), "{log}");
}
