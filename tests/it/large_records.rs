//! Records of almost `touchpoints.bytes_max` that their producer compresses better than the service does: a copy of
//! them must fit into topics with the default limit, or they must not be copied.

use lifecycle_processor::kafka::partitioner::partition_of;
use rdkafka::producer::BaseProducer;
use serde_json::{Value, json};

use crate::broker::{self, NewRecord, until};
use crate::exactly_once::deployment::Deployment;

const PARTITIONS: i32 = 4;
/// The default of `touchpoints.bytes_max`.
const BYTES_MAX: usize = 1 << 20;

/// A service whose topics have the default limits of the broker.
fn deployment(settings: &str) -> Deployment {
    let mut deployment =
        Deployment::new(PARTITIONS, settings).with_touchpoints(broker::topic("touchpoints", PARTITIONS));
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/retention.yaml").clone_into(&mut deployment.model);
    deployment
}

fn touchpoint(event_id: &str, kind: &str, ids: &Value, minute: i64) -> Value {
    let at = jiff::Timestamp::from_second(1_600_000_000 + minute * 60).expect("a time");
    let mut record = json!({"event_id": event_id, "type": kind, "occurred_at": at.to_string()});
    record.as_object_mut().expect("an object").extend(ids.as_object().expect("ids").clone());
    record
}

/// Returns `record` with a text of 64 letters that fills it up to `bytes`. The codec of the service cannot compress it.
fn filled(mut record: Value, bytes: usize) -> Value {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = fastrand::Rng::with_seed(12);
    record["note"] = json!("");
    let missing = bytes - record.to_string().len();
    record["note"] = (0..missing).map(|_| char::from(LETTERS[random.usize(..64)])).collect::<String>().into();
    assert_eq!(record.to_string().len(), bytes);
    record
}

/// Writes records that are keyed by their customer or visitor, compressed with zstd.
fn produce(topic: &str, records: &[Value]) {
    let mut config = broker::config();
    config.set("compression.type", "zstd").set("message.max.bytes", "16777216").set("partitioner", "murmur2_random");
    let producer: BaseProducer = config.create().expect("a producer");
    let keyed = |record: &Value| {
        let key = record["customer_id"].as_str().or(record["anonymous_id"].as_str()).expect("an id");
        NewRecord::keyed(key, &record.to_string())
    };
    for record in records {
        broker::write(&producer, topic, &[keyed(record)]);
    }
}

/// Returns a name whose partition is `partition`.
fn name_in(partition: i32) -> String {
    let mut names = (0..).map(|number| format!("person-{number}"));
    names.find(|name| partition_of(name.as_bytes(), PARTITIONS) == partition).expect("a name")
}

#[test]
fn an_erasure_that_fills_its_record_reaches_all_partitions() {
    let deployment = deployment("");
    let anna = json!({"customer_id": name_in(1)});
    let mut instance = deployment.start("a");
    let erasure = filled(touchpoint("erasure", "customer_erased", &anna, 5), BYTES_MAX);
    produce(&deployment.touchpoints, &[touchpoint("e-1", "order_completed", &anna, 0), erasure]);
    let count = r#"lifecycle_erasures_total{result="forwarded"}"#;
    until("the erasure is forwarded", || {
        instance.assert_runs();
        instance.metric(count).filter(|&count| count == 1)
    });
    let log = instance.stop();
    assert!(!log.contains("ERROR"), "{log}");
    let copies: Vec<_> = broker::read_committed(&deployment.touchpoints)
        .into_iter()
        .filter(|record| record.headers.iter().any(|(name, _)| name == "lifecycle_forwarded_from"))
        .collect();
    assert_eq!(copies.len(), 3);
    assert!(copies.iter().all(|copy| copy.text().len() < 200 && copy.text().contains("erasure")), "{copies:?}");
    assert!(broker::read_committed(&deployment.dead_letters).is_empty());
}

#[test]
fn a_large_touchpoint_of_a_merged_visitor_is_a_dead_letter_and_its_erasure_is_not() {
    let mut deployment = deployment("clock: {source: touchpoints}\nidentity: {enabled: true, stub_lifetime: 36500d}");
    deployment.hand_overs = Some(broker::topic("hand-overs", PARTITIONS));
    let (customer, visitor) = (name_in(1), name_in(2));
    let (of_visitor, both) =
        (json!({"anonymous_id": visitor}), json!({"anonymous_id": visitor, "customer_id": customer}));
    let mut instance = deployment.start("a");
    produce(
        &deployment.touchpoints,
        &[touchpoint("e-1", "product_viewed", &of_visitor, 0), touchpoint("e-2", "customer_identified", &both, 1)],
    );
    until("the visitor is merged", || {
        instance
            .get(&format!("/v1/customers/{visitor}"))
            .filter(|answer| answer.contains(&format!("\"customer_id\":\"{customer}\"")))
    });
    // The limit leaves a 64th for what a copy adds.
    let allowed = BYTES_MAX - BYTES_MAX / 64;
    let large = |id, bytes| filled(touchpoint(id, "product_viewed", &of_visitor, 2), bytes);
    produce(&deployment.touchpoints, &[large("e-3", BYTES_MAX), large("e-4", allowed)]);
    let forwarded = "lifecycle_touchpoints_forwarded_total";
    until("the smaller touchpoint is forwarded", || {
        instance.assert_runs();
        instance.metric(forwarded).filter(|&count| count == 1)
    });
    let letters = broker::read_committed(&deployment.dead_letters);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].headers.iter().any(|(_, value)| value == b"too_large"), "{:?}", letters[0].headers);

    let erasure = filled(touchpoint("erasure", "customer_erased", &of_visitor, 3), BYTES_MAX);
    produce(&deployment.touchpoints, &[erasure]);
    for id in [&customer, &visitor] {
        until("the id is erased", || {
            instance.assert_runs();
            instance.get(&format!("/v1/customers/{id}")).filter(|answer| answer.contains("\"status\":404"))
        });
    }
    let log = instance.stop();
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(broker::read_committed(&deployment.dead_letters).len(), 1);
}
