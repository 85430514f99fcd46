//! Sources on a real broker: records of other topics become touchpoints, each exactly once, with the customer as key.

use std::collections::BTreeMap;
use std::time::Duration;

use lifecycle_processor::kafka::partitioner::partition_of;
use serde_json::Value;

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::exactly_once::deployment::{Deployment, wait_for_records};
use crate::exactly_once::{
    END, EVENT_TIME_CLOCK, PARTITIONS, assert_same, by_customer, count, end_history, header, marker_transitions,
    replay, touchpoints,
};

fn json(record: &ConsumedRecord) -> Value {
    serde_json::from_str(&record.text()).expect("a touchpoint is JSON")
}

/// Returns the touchpoints of the data set, keyed by something else than the customer, in the partition in which the
/// customer's touchpoints are expected: so the touchpoints of a partition stay in the order of time.
fn foreign_records() -> Vec<NewRecord> {
    let foreign = |(index, record): (usize, NewRecord)| {
        let partition = partition_of(record.key.as_deref().expect("a key"), PARTITIONS);
        NewRecord { partition: Some(partition), key: Some(format!("row-{index}").into_bytes()), ..record }
    };
    touchpoints().into_iter().enumerate().map(foreign).collect()
}

#[test]
fn ten_kills_of_the_ingest_process_neither_lose_nor_repeat_a_record() {
    let source = broker::topic("foreign", PARTITIONS);
    let settings = format!("{EVENT_TIME_CLOCK}\nsources: [{{name: shop, topics: [{source}]}}]");
    let deployment = Deployment::new(PARTITIONS, &settings);
    let records = foreign_records();
    let mut expected = BTreeMap::<String, Vec<String>>::new();
    for record in touchpoints() {
        let key = String::from_utf8(record.key.expect("a key")).expect("text");
        expected.entry(key).or_default().push(String::from_utf8(record.value.expect("a value")).expect("text"));
    }
    let mut rest = records.clone();
    let slice = rest.len() / 11 + 1;
    let mut bad = 0;
    for _ in 0..10 {
        let mut some = rest.drain(..slice.min(rest.len())).collect::<Vec<_>>();
        some.insert(some.len() / 2, NewRecord::to(0, "not a touchpoint"));
        bad += 1;
        let ingest = deployment.start_command("i", &["ingest"]);
        broker::produce(&source, &some);
        std::thread::sleep(Duration::from_millis(fastrand::u64(300..1500)));
        ingest.kill();
    }
    broker::produce(&source, &rest);
    let mut ingest = deployment.start_command("i", &["ingest"]);
    let seen = wait_for_records(&[&deployment.touchpoints], records.len(), &mut [&mut ingest]);
    assert_eq!(seen.len(), records.len());

    // Each once, in order, with the customer as key, where Java's default partitioner puts it.
    let mut written = BTreeMap::<String, Vec<String>>::new();
    for record in &seen {
        let customer = json(record)["customer_id"].as_str().expect("a customer").to_owned();
        assert_eq!(record.key.as_deref(), Some(customer.as_bytes()));
        assert_eq!(record.partition, partition_of(customer.as_bytes(), PARTITIONS));
        assert_eq!(header(record, "lifecycle_source").as_deref(), Some("shop"));
        assert_eq!(header(record, "lifecycle_source_topic").as_deref(), Some(source.as_str()));
        assert!(header(record, "lifecycle_source_key").is_some_and(|key| key.starts_with("row-")));
        written.entry(customer).or_default().push(record.text());
    }
    assert!(written == expected, "the touchpoints of every customer, in order");
    let dead = wait_for_records(&[&deployment.dead_letters], bad, &mut [&mut ingest]);
    assert_eq!(dead.len(), bad);
    assert!(dead.iter().all(|it| header(it, "lifecycle_topic").as_deref() == Some(source.as_str())));

    end_history(&deployment);
    let expected = replay(END);
    let mut instance = deployment.start_command("a", &["run", "--no-ingest"]);
    let seen = wait_for_records(
        &[&deployment.replay],
        count(&expected) + marker_transitions(),
        &mut [&mut instance, &mut ingest],
    );
    instance.stop();
    ingest.stop();
    assert_same(&by_customer(seen.iter().map(ConsumedRecord::text)), &expected);
}

#[test]
fn sources_of_a_running_service_are_read_by_name_and_by_pattern() {
    let (first, base) = (broker::topic("shop.a", 1), broker::unique("web"));
    let second = broker::topic(&format!("{base}-events"), 2);
    let pattern = format!("{base}-*");
    let settings =
        format!("{EVENT_TIME_CLOCK}\nsources: [{{name: shop, topics: {first}}}, {{name: web, topics: ['{pattern}']}}]");
    let deployment = Deployment::new(2, &settings);
    let touchpoint = |id: &str, customer: &str| {
        format!(
            r#"{{"event_id":"{id}","customer_id":"{customer}","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z"}}"#
        )
    };
    broker::produce(&first, &[NewRecord::keyed("k", &touchpoint("e1", "anna"))]);
    broker::produce(&second, &[NewRecord::keyed("k", &touchpoint("e2", "bert"))]);
    let mut instance = deployment.start("a");
    let seen = wait_for_records(&[&deployment.replay], 2, &mut [&mut instance]);
    let customers: Vec<_> = seen.iter().map(|it| json(it)["customer_id"].as_str().map(str::to_owned)).collect();
    assert!(customers.contains(&Some("anna".to_owned())) && customers.contains(&Some("bert".to_owned())));
    let metrics = broker::until("counters of both sources", || {
        let metrics = instance.scrape()?;
        metrics.contains(r#"lifecycle_ingest_touchpoints_total{source="web"} 1"#).then_some(metrics)
    });
    assert!(metrics.contains(r#"lifecycle_ingest_records_total{source="shop"} 1"#), "{metrics}");
    assert!(metrics.contains("lifecycle_ready 1"), "{metrics}");
    instance.stop();
}

#[test]
fn a_deleted_topic_of_a_pattern_ends_its_worker_and_nothing_else() {
    let base = broker::unique("web");
    let [kept, deleted] = ["a", "b"].map(|name| broker::topic(&format!("{base}-{name}"), 1));
    let settings = format!("{EVENT_TIME_CLOCK}\nsources: [{{name: web, topics: ['{base}-*']}}]");
    let deployment = Deployment::new(1, &settings);
    let touchpoint = |id: &str| {
        let value = format!(
            r#"{{"event_id":"{id}","customer_id":"{id}","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z"}}"#
        );
        NewRecord::keyed("k", &value)
    };
    broker::produce(&kept, &[touchpoint("e1")]);
    broker::produce(&deleted, &[touchpoint("e2")]);
    let mut instance = deployment.start("a");
    assert_eq!(wait_for_records(&[&deployment.touchpoints], 2, &mut [&mut instance]).len(), 2);
    broker::delete_topic(&deleted);
    broker::until("the worker of the deleted topic ends", || {
        instance.log().contains("source topic was deleted, its ingest worker ended").then_some(())
    });
    broker::produce(&kept, &[touchpoint("e3")]);
    assert_eq!(wait_for_records(&[&deployment.touchpoints], 3, &mut [&mut instance]).len(), 3);
    let metrics = broker::until("readiness", || {
        let metrics = instance.scrape()?;
        (metrics.contains("lifecycle_ready 1")
            && metrics.contains(r#"lifecycle_ingest_touchpoints_total{source="web"} 3"#))
        .then_some(metrics)
    });
    assert!(!metrics.contains(&format!(r#"topic="{deleted}""#)), "{metrics}");
    instance.stop();
}

#[test]
fn a_record_that_does_not_fit_into_the_touchpoint_topic_stops_nothing() {
    let source = broker::topic_with("large", 1, &[("max.message.bytes", "4000000")]);
    let deployment = Deployment::new(1, &format!("{EVENT_TIME_CLOCK}\nsources: [{{name: large, topics: {source}}}]"));
    // Random text, which compression makes no smaller.
    let record = |id: &str, bytes: usize, headers: Vec<(String, Vec<u8>)>| {
        let mut random = fastrand::Rng::with_seed(7);
        let note: String = (0..bytes).map(|_| random.alphanumeric()).collect();
        let value = format!(
            r#"{{"event_id":"{id}","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z","properties":{{"note":"{note}"}}}}"#
        );
        NewRecord { headers, ..NewRecord::keyed("k", &value) }
    };
    let trace = ("trace".to_owned(), (0..60_000).map(|_| fastrand::u8(..)).collect::<Vec<_>>());
    broker::produce(&source, &[record("e1", 1_045_000, vec![trace.clone()]), record("e2", 995_000, vec![trace])]);
    broker::produce(&source, &[record("e3", 10, Vec::new())]);
    let mut ingest = deployment.start_command("i", &["ingest"]);
    let seen = wait_for_records(&[&deployment.touchpoints], 2, &mut [&mut ingest]);
    assert_eq!(seen.iter().map(|it| json(it)["event_id"].clone()).collect::<Vec<_>>(), ["e2", "e3"]);
    assert!(seen[0].headers.iter().all(|(name, _)| name != "trace"), "the copied header would not fit");
    let dead = wait_for_records(&[&deployment.dead_letters], 1, &mut [&mut ingest]);
    assert_eq!(header(&dead[0], "lifecycle_reason").as_deref(), Some("too_large"));
    ingest.stop();
}

#[test]
fn a_call_of_a_batch_that_is_invalid_is_redriven_without_the_others() {
    let source = broker::topic("calls", 1);
    let settings = |of_source: &str| {
        format!("{EVENT_TIME_CLOCK}\nsources: [{{name: web, topics: {source}, mapping: segment{of_source}}}]")
    };
    let deployment = Deployment::new(2, &settings(""));
    let order = |id: &str, properties: &str| {
        format!(
            r#"{{"type":"track","event":"Order Completed","messageId":"{id}","userId":"anna","timestamp":"2026-01-01T08:00:00Z","properties":{{{properties}}}}}"#
        )
    };
    let calls = [
        order("e1", r#""order_id":"o1""#),
        order("e2", r#""order_id":"o2","total":5"#),
        order("e3", r#""order_id":"o3""#),
        r#"{"type":"alias","userId":"anna"}"#.to_owned(),
    ];
    let batch = format!(r#"{{"context":{{"campaign":{{"name":"spring"}}}},"batch":[{}]}}"#, calls.join(","));
    let trace = vec![("trace".to_owned(), b"t1".to_vec())];
    broker::produce(&source, &[NewRecord { headers: trace, ..NewRecord::keyed("k", &batch) }]);
    broker::produce(&source, &[NewRecord::keyed("k", &format!("[{}]", order("e4", r#""order_id":"o4""#)))]);
    let mut ingest = deployment.start_command("i", &["ingest"]);
    let seen = wait_for_records(&[&deployment.touchpoints], 3, &mut [&mut ingest]);
    let ids = |seen: &[ConsumedRecord]| seen.iter().map(|it| json(it)["event_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&seen), ["e1", "e3", "e4"]);
    assert!(seen[..2].iter().all(|it| json(it)["properties"]["campaign"] == "spring"), "the shared context");
    let dead = wait_for_records(&[&deployment.dead_letters], 1, &mut [&mut ingest]);
    let detail = header(&dead[0], "lifecycle_detail").expect("a detail");
    assert!(detail.starts_with("item 1 of record.batch: currency: record.properties.currency: missing"), "{detail}");
    assert_eq!(json(&dead[0])["messageId"], "e2");
    let metrics = broker::until("the counters", || {
        let metrics = ingest.scrape()?;
        metrics.contains(r#"lifecycle_ingest_records_total{source="web"} 2"#).then_some(metrics)
    });
    assert!(metrics.contains(r#"lifecycle_ingest_dropped_total{source="web",rule="identity"} 1"#), "{metrics}");
    ingest.stop();

    // The setting that was missing is added, and the call is written to the source again.
    let deployment = deployment.with_settings(&settings(", settings: {currency: EUR}"));
    let redriven = deployment.run("i", &["dlq", "redrive", "--execute"]);
    assert_eq!(redriven.code, 0, "{}{}", redriven.output, redriven.errors);
    let mut ingest = deployment.start_command("i", &["ingest"]);
    let seen = wait_for_records(&[&deployment.touchpoints], 4, &mut [&mut ingest]);
    assert_eq!(ids(&seen), ["e1", "e3", "e4", "e2"]);
    assert_eq!(json(&seen[3])["properties"]["campaign"], "spring");
    assert_eq!(header(&seen[3], "trace").as_deref(), Some("t1"));
    ingest.stop();
}

/// Returns the preset of Segment whose alias calls merge customers, as `docs/presets.md` describes.
fn segment_with_merges() -> String {
    let (_, lines) = include_str!("../../docs/presets.md").split_once("```yaml alias\n").expect("a block");
    let (lines, _) = lines.split_once("```").expect("a block ends");
    let preset = include_str!("../../presets/sources/segment.yaml");
    let (others, _) = preset.split_once("  - when: record.type == \"alias\"\n").expect("a last rule");
    format!("{others}{lines}")
}

#[test]
fn visitors_and_customers_of_a_source_become_one_customer() {
    let source = broker::topic("segment", 1);
    let directory = tempfile::tempdir().expect("a folder");
    let mapping = directory.path().join("segment.yaml");
    std::fs::write(&mapping, segment_with_merges()).expect("the mapping is written");
    let settings = format!(
        "{EVENT_TIME_CLOCK}\nidentity: {{enabled: true}}\n\
         sources: [{{name: web, topics: [{source}], mapping: \"{}\"}}]",
        mapping.display()
    );
    let mut deployment = Deployment::new(2, &settings);
    let size = [("max.message.bytes", "8388608")];
    deployment.hand_overs = Some(broker::topic_with("hand-overs", 2, &size));
    let call = |id: &str, rest: &str| {
        let value = format!(r#"{{"messageId":"{id}","timestamp":"2026-01-01T08:00:00Z",{rest}}}"#);
        NewRecord::keyed("any", &value)
    };
    let calls = [
        call("e1", r#""type":"track","event":"Product Viewed","anonymousId":"device-7","properties":{"name":"Cup"}"#),
        call("e2", r#""type":"identify","anonymousId":"device-7","userId":"anna""#),
        call(
            "e3",
            r#""type":"track","event":"Order Completed","userId":"anna","properties":{"order_id":"o","total":1,"currency":"EUR"}"#,
        ),
        call("e4", r#""type":"page","userId":"anna-at-work""#),
        call("e5", r#""type":"alias","userId":"anna","previousId":"anna-at-work""#),
        call("e6", r#""type":"alias","userId":"anna""#),
    ];
    broker::produce(&source, &calls);
    let mut instance = deployment.start("a");
    let written = wait_for_records(&[&deployment.touchpoints], calls.len() - 1, &mut [&mut instance]);
    let mut keys: Vec<_> =
        written.iter().map(|it| String::from_utf8_lossy(it.key.as_deref().unwrap_or(b"")).into_owned()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["anna", "anna", "anna", "anna-at-work", "device-7"]);
    // Until the facts have arrived, the customer does not have the alias.
    broker::until("the visitor is the customer", || {
        let answer = instance.get("/v1/customers/device-7")?;
        (answer.contains("\"customer_id\":\"anna\"") && answer.contains("device-7")).then_some(())
    });
    broker::until("the other customer is the customer", || {
        instance.get("/v1/customers/anna-at-work")?.contains("\"customer_id\":\"anna\"").then_some(())
    });
    let dead = wait_for_records(&[&deployment.dead_letters], 1, &mut [&mut instance]);
    let detail = header(&dead[0], "lifecycle_detail").expect("a detail");
    assert_eq!(detail, "customer_merged: expected customer_id and merged_id, found at most one of them");
    broker::until("the customer has both ids", || {
        let customer: Value = serde_json::from_str(&instance.get("/v1/customers/anna")?).expect("JSON");
        let mut aliases: Vec<_> = customer["aliases"].as_array()?.iter().filter_map(Value::as_str).collect();
        aliases.sort_unstable();
        (aliases == ["anna-at-work", "device-7"]).then_some(())
    });
    instance.stop();
}
