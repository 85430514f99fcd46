//! Batches that are small on the wire and large when decompressed, and batches that the client cannot read at all.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer};

use super::{keyed_order, transitions_of, wait_until_consumed};
use crate::broker::{self, NewRecord, TIMEOUT};
use crate::exactly_once::deployment::Deployment;

/// Writes one zstd batch with `records` touchpoints of about a mebibyte each.
fn produce_compressed(topic: &str, records: usize) {
    let producer: BaseProducer = broker::config()
        .set("compression.type", "zstd")
        .set("linger.ms", "5000")
        .set("batch.size", "1000000000")
        .set("batch.num.messages", "10000")
        .set("message.max.bytes", "1000000000")
        .set("queue.buffering.max.kbytes", "2000000")
        .create()
        .expect("a producer");
    let padding = "x".repeat(1_000_000);
    let records: Vec<NewRecord> = (0..records)
        .map(|number| {
            let order = super::order(&format!("e{number}"), "anna", jiff::SignedDuration::from_secs(60));
            let order = order.replace(r#""amount":10"#, &format!(r#""amount":10,"note":"{padding}""#));
            NewRecord::keyed("anna", &order)
        })
        .collect();
    broker::enqueue(&producer, topic, &records);
    producer.flush(TIMEOUT).expect("the broker acknowledges the batch");
}

#[test]
fn a_zstd_batch_that_unpacks_to_150_megabytes_is_read() {
    let deployment = Deployment::new(1, "workers: 1");
    produce_compressed(&deployment.touchpoints, 150);
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 150);
    broker::produce(&deployment.touchpoints, &[keyed_order("after", "bert")]);
    wait_until_consumed(&mut instance, 151);
    instance.stop();
    assert_eq!(transitions_of(&deployment, "anna"), ["first_purchase", "repeat"]);
}

#[test]
fn a_batch_that_cannot_be_read_stops_the_service_with_the_reason() {
    let mut deployment = Deployment::new(1, "workers: 1");
    // The smallest limits that the client accepts for the response make a batch of 20 MB unreadable.
    deployment.timeouts = "session_timeout: 6s, transaction_timeout: 6s, client: {fetch.max.bytes: 1000000, \
                           message.max.bytes: 1000000, receive.message.max.bytes: 1000512}";
    broker::produce(&deployment.touchpoints, &[keyed_order("before", "bert")]);
    let mut instance = deployment.start("a");
    wait_until_consumed(&mut instance, 1);
    produce_compressed(&deployment.touchpoints, 20);
    std::thread::sleep(Duration::from_secs(5));
    instance.assert_runs();
    let errors = instance.scrape().expect("metrics are served");
    let counted = |line: &str| line.starts_with("lifecycle_kafka_errors_total") && line.contains("BadCompression");
    assert!(errors.lines().any(|line| counted(line) && !line.ends_with(" 0")), "{errors}");
    let (code, log) = instance.wait_for_exit();
    assert_eq!(code, Some(4), "{log}");
    for part in ["partition 0", "offset 1", "BadCompression", "receive.message.max.bytes"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let report = deployment.doctor("a");
    assert!(report.contains("the records from offset 1 on cannot be read"), "{report}");
}
