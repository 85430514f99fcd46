//! Faults that other programs and operators cause on a real broker: open transactions, retention behind control
//! records, topics created again, batches that cannot be read, wrong record keys, foreign members of the group.
//!
//! Each test runs the program as a process and does to the cluster what the other program or the operator would do.

mod foreign_member;
mod open_transaction;
mod record_keys;
mod recreated_topics;
mod retention;
mod unreadable_batch;

use crate::broker::{ConsumedRecord, NewRecord, TIMEOUT, config, read_committed, until};
use crate::exactly_once::deployment::{Deployment, Instance, now};
use rdkafka::producer::{BaseProducer, Producer};

/// A completed order of `customer`, `age` before now.
fn order(event_id: &str, customer: &str, age: jiff::SignedDuration) -> String {
    let at = now() - age;
    format!(
        r#"{{"event_id":"{event_id}","customer_id":"{customer}","type":"order_completed","occurred_at":"{at}","order_id":"{event_id}","amount":10}}"#
    )
}

fn keyed_order(event_id: &str, customer: &str) -> NewRecord {
    NewRecord::keyed(customer, &order(event_id, customer, jiff::SignedDuration::from_secs(60)))
}

/// Names of the published transitions of `customer`, in order, from both output topics.
fn transitions_of(deployment: &Deployment, customer: &str) -> Vec<String> {
    let records: Vec<ConsumedRecord> =
        [&deployment.replay, &deployment.transitions].iter().flat_map(|topic| read_committed(topic)).collect();
    let of_customer = records.iter().map(ConsumedRecord::text).filter_map(|text| {
        let json: serde_json::Value = serde_json::from_str(&text).expect("a transition is JSON");
        (json["customer_id"] == customer).then(|| json["name"].as_str().expect("a name").to_owned())
    });
    of_customer.collect()
}

/// Waits until the instance has consumed and committed `count` records.
fn wait_until_consumed(instance: &mut Instance, count: u64) {
    until("the records are consumed", || {
        instance.assert_runs();
        std::thread::sleep(std::time::Duration::from_millis(100));
        instance.metric("lifecycle_touchpoints_consumed_total").filter(|&consumed| consumed >= count)
    });
}

/// A transactional producer of another program, whose transactions stay open for up to two minutes.
fn other_producer() -> BaseProducer {
    let producer: BaseProducer = config()
        .set("transactional.id", crate::broker::unique("other"))
        .set("transaction.timeout.ms", "120000")
        .create()
        .expect("a producer");
    producer.init_transactions(TIMEOUT).expect("transactions start");
    producer
}
