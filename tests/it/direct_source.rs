//! A source that the workers read directly, on a real broker: its topic is the touchpoint topic.

use std::collections::BTreeMap;
use std::time::Duration;

use lifecycle_processor::kafka::partitioner::partition_of;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::exactly_once::deployment::{Deployment, wait_for_records};
use crate::exactly_once::{
    END, EVENT_TIME_CLOCK, PARTITIONS, assert_same, by_customer, count, header, marker_transitions, replay, touchpoints,
};
use crate::registry::{Order, RunningRegistry};

/// Maps the records of [`foreign`]. A review is two touchpoints.
const MAPPING: &str = r#"mapping: shop
drop:
  - {when: 'record.kind == "ping"', reason: ping}
defaults:
  event_id: ${record.id}
  customer_id: ${record.buyer}
  occurred_at: ${record.at}
touchpoints:
  - touchpoint: ${record.kind}
    amount: ${decimal(record.total)}
    currency: ${record.money}
  - when: record.kind == "feedback_given"
    touchpoint: product_viewed
    event_id: ${record.id}:view
"#;

/// Returns a touchpoint in another shape, with the same key.
fn foreign(record: NewRecord) -> NewRecord {
    let value = record.value.as_deref().expect("a value");
    let json: Value = serde_json::from_slice(value).expect("a touchpoint is JSON");
    let foreign = json!({
        "id": json["event_id"], "buyer": json["customer_id"], "kind": json["type"], "at": json["occurred_at"],
        "total": json["amount"], "money": json["currency"],
    });
    NewRecord { value: Some(foreign.to_string().into_bytes()), ..record }
}

fn order(id: &str, kind: &str, customer: &str) -> NewRecord {
    let json = json!({"event_id": id, "customer_id": customer, "type": kind, "occurred_at": "2026-01-01T08:00:00Z"});
    foreign(NewRecord::keyed(customer, &json.to_string()))
}

/// Returns a deployment whose touchpoint topic has a source with these keys, and the folder of its mapping.
fn deployment(partitions: i32, keys: &str, settings: &str) -> (Deployment, TempDir) {
    let directory = tempfile::tempdir().expect("a folder");
    let mapping = directory.path().join("shop.yaml");
    std::fs::write(&mapping, MAPPING).expect("the mapping is written");
    let keys = keys.replace("MAPPING", &mapping.display().to_string());
    let deployment = Deployment::new(partitions, "");
    let source = format!("sources: [{{name: shop, topics: [{}], {keys}}}]", deployment.touchpoints);
    (deployment.with_settings(&format!("{settings}\n{source}")), directory)
}

fn of_customer(record: &ConsumedRecord) -> Option<String> {
    Some(serde_json::from_str::<Value>(&record.text()).ok()?["customer_id"].as_str()?.to_owned())
}

#[test]
fn a_mapped_topic_publishes_the_transitions_of_the_native_stream_despite_kills() {
    let (deployment, _directory) = deployment(PARTITIONS, "mapping: MAPPING", EVENT_TIME_CLOCK);
    let expected = replay(END);
    let mut rest: Vec<_> = touchpoints().into_iter().map(foreign).collect();
    let slice = rest.len() / 5 + 1;
    let bad = NewRecord::keyed("any", r#"{"kind":"order_completed","id":"bad","buyer":"any","at":"yesterday"}"#);
    for _ in 0..4 {
        let mut some = rest.drain(..slice.min(rest.len())).collect::<Vec<_>>();
        some.insert(some.len() / 2, order("ping", "ping", "any"));
        some.push(bad.clone());
        let instance = deployment.start("a");
        broker::produce(&deployment.touchpoints, &some);
        std::thread::sleep(Duration::from_millis(fastrand::u64(300..1500)));
        instance.kill();
    }
    broker::produce(&deployment.touchpoints, &rest);
    let marker = |partition| {
        let value = json!({
            "id": "m", "buyer": format!("marker-{partition}"), "kind": "order_completed", "at": "1998-07-01T00:01:00Z",
        });
        NewRecord { key: Some(b"marker".to_vec()), ..NewRecord::to(partition, &value.to_string()) }
    };
    broker::produce(&deployment.touchpoints, &(0..PARTITIONS).map(marker).collect::<Vec<_>>());
    let mut instance = deployment.start("a");
    let seen = wait_for_records(&[&deployment.replay], count(&expected) + marker_transitions(), &mut [&mut instance]);
    assert_same(&by_customer(seen.iter().map(ConsumedRecord::text)), &expected);
    let letters = wait_for_records(&[&deployment.dead_letters], 4, &mut [&mut instance]);
    assert_eq!(letters.len(), 4, "each bad record once");
    for letter in &letters {
        assert_eq!(header(letter, "lifecycle_topic").as_ref(), Some(&deployment.touchpoints));
        assert_eq!(header(letter, "lifecycle_reason").as_deref(), Some("bad_field"));
        assert_eq!(letter.value, bad.value, "as received");
    }
    let metrics = broker::until("the keys of the markers", || {
        let metrics = instance.scrape()?;
        metrics.contains("lifecycle_touchpoints_wrong_key_total 4").then_some(metrics)
    });
    assert!(metrics.contains("lifecycle_ready 1"), "{metrics}");
    broker::produce(&deployment.touchpoints, &[order("ping", "ping", "any")]);
    broker::until("the drop", || {
        instance.metric(r#"lifecycle_ingest_dropped_total{source="shop",rule="ping"}"#).filter(|&it| it >= 1)
    });
    instance.stop();

    // Other commands read the topic as the workers do.
    let replayed = deployment.run("a", &["replay", "--topic", &deployment.touchpoints, "--until", END]);
    assert_same(&by_customer(replayed.output.lines().map(str::to_owned)), &expected);
    assert!(replayed.errors.contains("records dropped by the mapping shop: 5 ping"), "{}", replayed.errors);
    let report = deployment.doctor("a");
    assert!(report.contains("the workers read it directly"), "{report}");
    assert!(report.contains("the record key of the latest touchpoint is not its customer id"), "{report}");
    // A record that is redriven is in the format of the source, and still invalid.
    let redriven = deployment.run("a", &["dlq", "redrive", "--execute", "--limit", "1"]);
    assert_eq!(redriven.code, 0, "{}{}", redriven.output, redriven.errors);
    let mut instance = deployment.start("a");
    let letters = wait_for_records(&[&deployment.dead_letters], 4 + 1 + 1, &mut [&mut instance]);
    assert_eq!(letters.iter().filter(|letter| letter.value == bad.value).count(), 5, "and one marker");
    instance.stop();
}

#[test]
fn records_of_the_service_itself_are_touchpoints_in_json() {
    let other = broker::topic("other", 1);
    let keys = format!("mapping: MAPPING}}, {{name: other, topics: [{other}]");
    let (deployment, _directory) = deployment(2, &keys, "workers: 1");
    let mut instance = deployment.start("a");
    // Two touchpoints of one record, then an erasure, which is forwarded to the other partition.
    let headers = vec![("__value_schema_id".to_owned(), b"7".to_vec())];
    let erasure = NewRecord { headers, ..order("e2", "customer_erased", "anna") };
    let records = [order("e1", "feedback_given", "anna"), erasure];
    broker::produce(&deployment.touchpoints, &records);
    let native =
        r#"{"event_id":"e3","customer_id":"bert","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z"}"#;
    broker::produce(&other, &[NewRecord::keyed("k", native)]);
    let written = wait_for_records(&[&deployment.touchpoints], records.len() + 2, &mut [&mut instance]);
    let home = partition_of(b"anna", 2);
    let forwarded = written.iter().find(|it| header(it, "lifecycle_forwarded_from").is_some()).expect("one");
    assert_eq!((forwarded.partition, of_customer(forwarded).as_deref()), (1 - home, Some("anna")));
    assert_eq!(forwarded.headers.len(), 1, "none that describes the value of the original: {:?}", forwarded.headers);
    let rekeyed = written.iter().find(|it| header(it, "lifecycle_source").as_deref() == Some("other")).expect("one");
    assert_eq!((of_customer(rekeyed).as_deref(), rekeyed.text().as_str()), (Some("bert"), native));
    let metrics =
        broker::until("two touchpoints of a record, an erasure and its copy, and one of the other source", || {
            let metrics = instance.scrape()?;
            metrics.contains("lifecycle_touchpoints_consumed_total 5").then_some(metrics)
        });
    for series in [
        r#"lifecycle_ingest_records_total{source="shop"} 2"#,
        r#"lifecycle_ingest_touchpoints_total{source="shop"} 3"#,
        r#"lifecycle_ingest_touchpoints_total{source="other"} 1"#,
    ] {
        assert!(metrics.contains(series), "{series} in {metrics}");
    }
    assert!(!instance.get("/v1/customers/anna").expect("an answer").contains("\"partition\""));
    assert!(instance.get("/v1/customers/bert").expect("an answer").contains("\"partition\""));
    assert!(broker::read_committed(&deployment.dead_letters).is_empty());
    instance.stop();
    let report = deployment.doctor("a");
    assert!(report.contains("the keys of the latest records are their customer ids"), "{report}");
    let mapped = deployment.run("a", &["map", "--from-topic", &deployment.touchpoints]);
    assert!(mapped.code == 0 && !mapped.output.contains("bert"), "{}{}", mapped.output, mapped.errors);
}

#[test]
fn a_source_that_is_read_directly_from_now_on_redrives_its_dead_letters() {
    let directory = tempfile::tempdir().expect("a folder");
    let mapping = directory.path().join("shop.yaml");
    std::fs::write(&mapping, MAPPING).expect("the mapping is written");
    let shop = broker::topic("shop", 2);
    let sources = format!("sources: [{{name: shop, topics: [{shop}], mapping: {}}}]", mapping.display());
    let rekeyed = Deployment::new(2, &sources);
    let late = r#"{"id":"late","buyer":"anna","kind":"order_completed","seconds":1767254400}"#;
    broker::produce(&shop, &[order("e1", "order_completed", "anna"), NewRecord::keyed("anna", late)]);
    let mut instance = rekeyed.start("a");
    wait_for_records(&[&rekeyed.dead_letters], 1, &mut [&mut instance]);
    wait_for_records(&[&rekeyed.replay], 1, &mut [&mut instance]);
    instance.stop();
    let shown = rekeyed.run("a", &["dlq", "show", "0:0"]);
    assert!(shown.output.contains("header       lifecycle_source = shop"), "{}", shown.output);

    let at = "'${record.at == null ? epoch_seconds(record.seconds) : record.at}'";
    std::fs::write(&mapping, MAPPING.replace("${record.at}", at)).expect("the mapping is written");
    let group = broker::unique("lifecycle");
    let direct = rekeyed.with_touchpoints(shop).with_group(group).with_changelog(broker::changelog_topic(2));
    let redriven = direct.run("a", &["dlq", "redrive", "--execute"]);
    assert_eq!(redriven.code, 0, "{}{}", redriven.output, redriven.errors);
    let mut instance = direct.start("a");
    // The topic is read again from its first record: both orders, and the one that was redriven.
    broker::until("three touchpoints", || {
        instance.metric(r#"lifecycle_ingest_touchpoints_total{source="shop"}"#).filter(|&it| it >= 3)
    });
    wait_for_records(&[&direct.replay], 1 + 2, &mut [&mut instance]);
    instance.stop();
    assert_eq!(broker::read_committed(&direct.dead_letters).len(), 1 + 1, "the dead letter and its marker");
}

#[test]
fn the_customers_of_a_direct_source_move_to_other_partitions() {
    let (deployment, directory) = deployment(2, "mapping: MAPPING", EVENT_TIME_CLOCK);
    let orders = |id: &str| -> Vec<_> {
        (0..9).map(|at| order(&format!("{id}{at}"), "order_completed", &format!("c-{at}"))).collect()
    };
    broker::produce(&deployment.touchpoints, &orders("first-"));
    let mut instance = deployment.start("a");
    wait_for_records(&[&deployment.replay], 9, &mut [&mut instance]);
    instance.stop();
    let (touchpoints, changelog) = (broker::topic("moved", 3), broker::changelog_topic(3));
    let to = ["--to", "3", "--touchpoints", &touchpoints, "--changelog", &changelog];
    let moved = deployment.run("a", &[&["repartition"], &to[..]].concat());
    assert!(moved.output.contains("9 customers are now in 3 partitions"), "{}{}", moved.output, moved.errors);
    assert!(moved.output.contains("topics.touchpoints and the topic of the source `shop` to"), "{}", moved.output);

    let mapping = directory.path().join("shop.yaml");
    let source = format!(
        "{EVENT_TIME_CLOCK}\nsources: [{{name: shop, topics: [{touchpoints}], mapping: {}}}]",
        mapping.display()
    );
    let deployment = deployment.with_touchpoints(touchpoints).with_changelog(changelog).with_settings(&source);
    broker::produce(&deployment.touchpoints, &orders("second-"));
    let mut instance = deployment.start("a");
    let seen = wait_for_records(&[&deployment.replay], 2 * 9, &mut [&mut instance]);
    let repeats = seen.iter().filter(|record| record.text().contains(r#""name":"repeat""#)).count();
    assert_eq!((seen.len(), repeats), (2 * 9, 9), "the second order of each");
    instance.stop();
}

#[test]
fn a_registry_that_does_not_answer_pauses_the_partition() {
    let registry = RunningRegistry::start();
    let settings = format!("clock: {{source: touchpoints}}\nregistry: {{url: \"{}\"}}", registry.url);
    let (deployment, directory) = deployment(2, "format: protobuf, framing: confluent, mapping: MAPPING", &settings);
    let mapping = MAPPING.replace("${record.at}", "${record.placed_at}").replace("${record.kind}", "order_completed");
    std::fs::write(directory.path().join("shop.yaml"), mapping).expect("the mapping is written");
    let orders: Vec<_> = (0..6)
        .map(|index| Order {
            id: format!("o-{index}"),
            buyer: format!("buyer-{index}"),
            placed_at_ms: 1_767_225_600_000,
            total: "1.5".to_owned(),
        })
        .collect();
    let values = registry.serialise("protobuf", &orders);
    let records = orders
        .iter()
        .zip(values)
        .map(|(order, value)| NewRecord { value: Some(value), ..NewRecord::keyed(&order.buyer, "") });
    registry.freeze();
    broker::produce(&deployment.touchpoints, &records.collect::<Vec<_>>());
    let mut instance = deployment.start("a");
    broker::until("a partition waits for the registry", || {
        let scrape = instance.scrape()?;
        let waits = scrape.lines().any(|line| line.starts_with("lifecycle_ingest_waiting") && line.ends_with(" 1"));
        (waits && scrape.contains("lifecycle_ready 0")).then_some(())
    });
    assert!(broker::read_committed(&deployment.replay).is_empty());
    registry.resume();
    let seen = wait_for_records(&[&deployment.replay], orders.len(), &mut [&mut instance]);
    let by_buyer: BTreeMap<_, _> = seen.iter().filter_map(|it| Some((of_customer(it)?, it.text()))).collect();
    assert_eq!(by_buyer.len(), orders.len(), "a first purchase of each");
    broker::until("readiness", || instance.scrape()?.contains("lifecycle_ready 1").then_some(()));
    assert!(broker::read_committed(&deployment.dead_letters).is_empty());
    instance.stop();
}

#[test]
fn what_cannot_be_read_directly_is_refused_before_the_start() {
    let check = |sources: &str| {
        let directory = tempfile::tempdir().expect("a folder");
        let text = format!(
            "kafka: {{bootstrap_servers: \"localhost:9092\"}}\ntopics: {{touchpoints: shop.events}}\nsources: [{sources}]\n"
        );
        std::fs::write(directory.path().join("lifecycle.yaml"), text).expect("the configuration is written");
        let run = crate::cli::lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
        (run.code, run.errors)
    };
    let refused = [
        ("{name: a, topics: [shop.events]}", "that needs no source, remove it"),
        ("{name: a, topics: [shop.events, b], mapping: stripe}", "give it a source of its own"),
        ("{name: a, topics: [shop.events], mapping: segment}", "its mapping reads batches"),
        ("{name: a, topics: [shop.events], format: avro}", "Avro needs a schema"),
    ];
    for (sources, problem) in refused {
        let (code, errors) = check(sources);
        assert!(code == 2 && errors.contains(problem), "{sources}: {code} {errors}");
    }
    for sources in
        ["{name: a, topics: [shop.events], mapping: stripe}", "{name: a, topics: [shop.events], format: protobuf}"]
    {
        assert_eq!(check(sources), (0, String::new()), "{sources}");
    }

    // The partitions of the source are those of the changelog.
    let (deployment, _directory) = deployment(2, "mapping: MAPPING", "workers: 1");
    let deployment = deployment.with_changelog(broker::changelog_topic(3));
    let (code, log) = deployment.start("a").wait_for_exit();
    assert!(code == Some(3) && log.contains("partitions"), "{code:?} {log}");
    let nothing = deployment.run("i", &["ingest"]);
    assert!(nothing.errors.contains("read the only source directly"), "{}", nothing.errors);
}
