//! Sources in several formats on a real broker and a real schema registry.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::wire::time::format_timestamp;
use serde_json::{Value, json};

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::cli::lifecycle;
use crate::exactly_once::deployment::{Deployment, wait_for_records};
use crate::exactly_once::{PARTITIONS, assert_same, by_customer, count, header};
use crate::registry::{Order, RunningRegistry};

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;
const HOUR_MS: i64 = 3_600_000;
const MAPPING: &str = "mapping: orders\ntouchpoints:\n  - touchpoint: order_completed\n    event_id: ${record.id}\n    \
                       customer_id: ${record.buyer}\n    occurred_at: ${record.placed_at}\n    order_id: ${record.id}\n    \
                       amount: ${record.total}\n    currency: USD\n";

/// Returns three orders of each of 30 customers of a source, in the order of time, within four weeks.
fn orders(source: &str) -> Vec<Order> {
    let order = |index: i64| {
        let (round, customer) = (index / 30, index % 30);
        Order {
            id: format!("{source}-{index}"),
            buyer: format!("{source}-customer-{customer}"),
            placed_at_ms: BEGIN_MS + (round * 9 * 24 + customer * 3) * HOUR_MS,
            // No zero at the end, which an amount does not keep.
            total: format!("{}.{}5", 10 + index, index % 10),
        }
    };
    (0..90).map(order).collect()
}

fn time(order: &Order) -> String {
    format_timestamp(Timestamp::from_millis(order.placed_at_ms))
}

fn touchpoint(order: &Order, event_id: &str, order_id: &str) -> Value {
    json!({
        "event_id": event_id, "customer_id": order.buyer, "type": "order_completed", "occurred_at": time(order),
        "order_id": order_id, "amount": order.total, "currency": "USD",
    })
}

fn segment(order: &Order) -> NewRecord {
    let call = json!({
        "type": "track", "event": "Order Completed", "messageId": format!("m-{}", order.id), "userId": order.buyer,
        "timestamp": time(order), "properties": {"order_id": order.id, "total": order.total, "currency": "USD"},
    });
    NewRecord::keyed(&format!("message-{}", order.id), &call.to_string())
}

fn shopify(index: usize, order: &Order) -> NewRecord {
    let body = json!({
        "id": 5_000_000_000_u64 + index as u64, "customer": {"id": order.buyer}, "processed_at": time(order),
        "total_price": order.total, "currency": "USD", "financial_status": "paid", "line_items": [],
    });
    let headers = [("X-Shopify-Topic", "orders/paid".to_owned()), ("X-Shopify-Event-Id", format!("event-{index}"))];
    NewRecord {
        headers: headers.map(|(name, value)| (name.to_owned(), value.into_bytes())).to_vec(),
        ..NewRecord::keyed(&format!("webhook-{index}"), &body.to_string())
    }
}

fn json_of(record: &ConsumedRecord) -> Value {
    serde_json::from_str(&record.text()).expect("a touchpoint is JSON")
}

#[test]
fn records_of_confluents_serialisers_become_touchpoints() {
    let registry = RunningRegistry::start();
    let directory = tempfile::tempdir().expect("a folder");
    let mapping = directory.path().join("orders.yaml");
    std::fs::write(&mapping, MAPPING).expect("the mapping is written");
    let formats = [("avro", "avro"), ("protobuf", "protobuf"), ("json", "json-schema")];
    let mut settings = format!("registry: {{url: \"{}\"}}\nsources:\n", registry.url);
    let mut expected = BTreeMap::new();
    let mut topics = Vec::new();
    for (format, name) in formats {
        let topic = broker::topic(name, 2);
        let mapping = mapping.display();
        _ = writeln!(
            settings,
            "  - {{name: {name}, topics: [{topic}], format: {format}, framing: confluent, mapping: \"{mapping}\"}}"
        );
        let orders = &orders(name)[..5];
        for order in orders {
            expected.insert(order.id.clone(), touchpoint(order, &order.id, &order.id));
        }
        let values = registry.serialise(if format == "json" { "json_schema" } else { format }, orders);
        let mut records: Vec<_> =
            values.iter().map(|value| NewRecord { value: Some(value.clone()), ..NewRecord::default() }).collect();
        // An unknown schema, and bytes that do not match their schema.
        if format == "avro" {
            let unknown = [&[0, 0, 0x0f, 0xff, 0xff], &values[0][5..]].concat();
            records.push(NewRecord { value: Some(unknown), ..NewRecord::default() });
            records.push(NewRecord { value: Some(values[0][..9].to_vec()), ..NewRecord::default() });
            records.push(NewRecord::to(0, "{}"));
        }
        broker::produce(&topic, &records);
        topics.push(topic);
    }
    let deployment = Deployment::new(2, &settings);
    let mut ingest = deployment.start_command("i", &["ingest"]);
    let seen = wait_for_records(&[&deployment.touchpoints], expected.len(), &mut [&mut ingest]);
    let seen: BTreeMap<_, _> = seen
        .iter()
        .map(|record| (json_of(record)["event_id"].as_str().expect("an id").to_owned(), json_of(record)))
        .collect();
    for (id, expected) in &expected {
        let found = seen.get(id).unwrap_or_else(|| panic!("{id} is missing"));
        for (field, value) in expected.as_object().expect("an object") {
            assert_eq!(&found[field], value, "{id}: {field}");
        }
    }
    let dead = wait_for_records(&[&deployment.dead_letters], 3, &mut [&mut ingest]);
    let reasons: Vec<_> =
        dead.iter().map(|it| (header(it, "lifecycle_reason"), header(it, "lifecycle_detail"))).collect();
    let has = |reason: &str, detail: &str| {
        reasons
            .iter()
            .any(|(it, why)| it.as_deref() == Some(reason) && why.as_ref().is_some_and(|it| it.contains(detail)))
    };
    assert!(has("unknown_schema", "does not know the schema 1048575"), "{reasons:?}");
    assert!(has("bad_encoding", "does not match its Avro schema"), "{reasons:?}");
    assert!(has("bad_encoding", "magic byte"), "{reasons:?}");
    ingest.stop();

    // Before a start, `map` and `replay` read the topics as the configuration says.
    for (topic, (format, name)) in topics.iter().zip(formats) {
        let mapped = deployment.run("map", &["map", "--from-topic", topic, "--count", "0", "--output", "touchpoints"]);
        for order in &orders(name)[..5] {
            assert!(mapped.output.contains(&format!("\"event_id\":\"{}\"", order.id)), "{name}: {}", mapped.output);
        }
        assert_eq!((mapped.output.lines().count(), mapped.code), (5, i32::from(format == "avro")), "{}", mapped.errors);
        let replayed = deployment.run("replay", &["replay", "--topic", topic, "--output", "standings"]);
        let buyers: std::collections::BTreeSet<_> = orders(name)[..5].iter().map(|it| it.buyer.clone()).collect();
        assert_eq!(replayed.output.lines().count(), buyers.len(), "{name}: {} {}", replayed.output, replayed.errors);
    }
}

#[test]
fn three_sources_publish_the_transitions_of_the_native_stream_despite_kills_and_a_registry_that_is_away() {
    let registry = RunningRegistry::start();
    let directory = tempfile::tempdir().expect("a folder");
    let mapping = directory.path().join("orders.yaml");
    std::fs::write(&mapping, MAPPING).expect("the mapping is written");
    let [web, avro, shop] = ["web", "orders", "webhooks"].map(|name| broker::topic(name, 3));
    let settings = format!(
        "clock: {{source: touchpoints, lateness: 30d}}\nworkers: 1\nregistry: {{url: \"{}\"}}\nsources:\n  \
         - {{name: web, topics: [{web}], mapping: segment}}\n  \
         - {{name: orders, topics: [{avro}], format: avro, framing: confluent, mapping: \"{}\"}}\n  \
         - {{name: shop, topics: [{shop}], mapping: shopify}}\n",
        registry.url,
        mapping.display()
    );
    let deployment = Deployment::new(PARTITIONS, &settings);

    // The native stream, and the same orders as the three systems report them.
    let mut native = Vec::new();
    let mut records: Vec<(&str, NewRecord)> = Vec::new();
    let (of_web, of_avro, of_shop) = (orders("web"), orders("avro"), orders("shop"));
    let serialised = registry.serialise("avro", &of_avro);
    for (index, ((a, b), c)) in of_web.iter().zip(&of_avro).zip(&of_shop).enumerate() {
        native.push(touchpoint(a, &format!("m-{}", a.id), &a.id));
        native.push(touchpoint(b, &b.id, &b.id));
        native.push(touchpoint(c, &format!("event-{index}:orders/paid"), &(5_000_000_000 + index).to_string()));
        // The orders of a customer are in one partition, although their keys differ: otherwise they have no order.
        let partition = Some(i32::try_from(index % 3).expect("a small number"));
        let key = Some(format!("order-{}", b.id).into_bytes());
        let order = NewRecord { key, value: Some(serialised[index].clone()), ..NewRecord::default() };
        records.push((&web, NewRecord { partition, ..segment(a) }));
        records.push((&avro, NewRecord { partition, ..order }));
        records.push((&shop, NewRecord { partition, ..shopify(index, c) }));
    }
    native.sort_by_key(|it| it["occurred_at"].as_str().map(str::to_owned));
    let native = native.iter().fold(String::new(), |lines, it| lines + &it.to_string() + "\n");
    let file = directory.path().join("native.ndjson");
    std::fs::write(&file, &native).expect("the touchpoints are written");
    let end = "2026-04-15T00:00:00Z";
    let file = file.to_str().expect("a path of text");
    let run = lifecycle(directory.path(), &["replay", "--model", &deployment.model, "--until", end, file], b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    let expected = by_customer(run.output.lines().map(str::to_owned));
    assert!(count(&expected) >= 90 * 3, "a first purchase, a repeat and a silence of each customer");

    let mut rest = records.clone();
    let slice = rest.len() / 11 + 1;
    for round in 0..10 {
        if round == 3 {
            registry.freeze();
        }
        let ingest = deployment.start_command("i", &["ingest"]);
        for (topic, record) in rest.drain(..slice.min(rest.len())) {
            broker::produce(topic, &[record]);
        }
        if round == 5 {
            broker::until("a partition waits for the registry", || {
                let scrape = ingest.scrape()?;
                let waits =
                    scrape.lines().any(|line| line.starts_with("lifecycle_ingest_waiting") && line.ends_with(" 1"));
                (waits && scrape.contains("lifecycle_ready 0")).then_some(())
            });
        }
        if round == 7 {
            registry.resume();
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(300..1500)));
        ingest.kill();
    }
    for (topic, record) in rest {
        broker::produce(topic, &[record]);
    }
    let mut ingest = deployment.start_command("i", &["ingest"]);
    let seen = wait_for_records(&[&deployment.touchpoints], records.len(), &mut [&mut ingest]);
    assert_eq!(seen.len(), records.len());
    for record in &seen {
        let customer = json_of(record)["customer_id"].as_str().expect("a customer").to_owned();
        assert_eq!(record.key.as_deref(), Some(customer.as_bytes()));
        assert_eq!(record.partition, partition_of(customer.as_bytes(), PARTITIONS), "as Java's partitioner");
    }
    assert!(broker::read_committed(&deployment.dead_letters).is_empty());

    // Moves the watermark of each partition to the end.
    let marker = |partition: i32| {
        let touchpoint = format!(
            r#"{{"event_id":"m","customer_id":"marker-{partition}","type":"product_viewed","occurred_at":"2026-05-15T00:00:00Z"}}"#
        );
        NewRecord { key: Some(b"marker".to_vec()), ..NewRecord::to(partition, &touchpoint) }
    };
    broker::produce(&deployment.touchpoints, &(0..PARTITIONS).map(marker).collect::<Vec<_>>());
    let mut instance = deployment.start_command("a", &["run", "--no-ingest"]);
    let seen = wait_for_records(&[&deployment.replay], count(&expected), &mut [&mut instance, &mut ingest]);
    instance.stop();
    ingest.stop();
    assert_same(&by_customer(seen.iter().map(ConsumedRecord::text)), &expected);
}
