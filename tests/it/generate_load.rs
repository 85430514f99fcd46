//! Tests of `lifecycle generate` on a real broker: records are keyed by customer, and in order per customer.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::cli::lifecycle;

fn customer(record: &ConsumedRecord) -> String {
    let touchpoint: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
    touchpoint["customer_id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_topic_has_the_same_records_as_a_file_in_the_partitions_of_the_default_partitioner() {
    let options = ["--customers", "80", "--days", "30", "--duplicates", "0.05"];
    let topic = broker::topic("generated", 4);
    let to_topic = ["--bootstrap-servers", broker::bootstrap(), "--topic", &topic];
    let run = lifecycle(Path::new("."), &[&["generate"], &options[..], &to_topic].concat(), b"");
    assert_eq!((run.code, run.output.as_str()), (0, ""), "{}", run.errors);
    let file = lifecycle(Path::new("."), &[&["generate"], &options[..]].concat(), b"").output;
    assert!(run.errors.contains(&format!(", {} records, ", file.lines().count())), "{}", run.errors);

    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in file.lines() {
        let touchpoint: Value = serde_json::from_str(line).unwrap();
        expected.entry(touchpoint["customer_id"].as_str().unwrap().to_owned()).or_default().push(line.to_owned());
    }
    let records = broker::read_committed(&topic);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in &records {
        let customer = customer(record);
        assert_eq!(record.key.as_deref(), Some(customer.as_bytes()));
        found.entry(customer).or_default().push(record.text());
    }
    assert_eq!(found, expected, "the records of each customer, in order");

    let other = broker::topic("chosen", 4);
    let keys: Vec<NewRecord> = expected.keys().map(|customer| NewRecord::keyed(customer, "")).collect();
    broker::produce(&other, &keys);
    let partitions: BTreeMap<_, _> =
        broker::read_committed(&other).into_iter().map(|it| (it.key, it.partition)).collect();
    assert!(records.iter().all(|record| partitions[&record.key] == record.partition));
}

#[test]
fn broker_and_topic_come_from_the_service_configuration() {
    let topic = broker::topic("generated", 1);
    let directory = tempfile::tempdir().unwrap();
    let configuration =
        format!("kafka: {{bootstrap_servers: \"{}\"}}\ntopics: {{touchpoints: {topic}}}\n", broker::bootstrap());
    std::fs::write(directory.path().join("lifecycle.yaml"), configuration).unwrap();
    let arguments = ["generate", "--config", "lifecycle.yaml", "--rate", "100", "--live", "--touchpoints", "30"];
    let run = lifecycle(directory.path(), &arguments, b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    assert_eq!(broker::read_committed(&topic).len(), 30);
}

#[test]
fn a_missing_topic_exits_with_3() {
    let servers = broker::bootstrap();
    let run =
        lifecycle(Path::new("."), &["generate", "--bootstrap-servers", servers, "--topic", "nowhere-at-all"], b"");
    assert_eq!(run.code, 3, "{}", run.errors);
    assert!(run.errors.contains("the topic nowhere-at-all does not exist"), "{}", run.errors);
}
