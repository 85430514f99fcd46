//! What leaves the service, on a real broker: routes, formats, and the topic of current stages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use lifecycle_processor::wire::current_stages::CurrentStagesRecord;
use lifecycle_processor::wire::proto::lifecycle::v1;
use prost::Message as _;
use serde_json::Value;

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::cli::lifecycle;
use crate::exactly_once::deployment::{Deployment, now, wait_for_records};
use crate::registry::RunningRegistry;

const END: &str = "1998-07-01T00:00:00Z";
const PARTITIONS: i32 = 2;
const TOUCHPOINTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cdnow_sample_touchpoints.ndjson.gz");
/// Two models, as they are written into a configuration with one model in quotes.
const MODELS: &str = r#"retention", "loyalty_ladder"#;

fn touchpoint(id: &str, customer: &str, type_name: &str, at: &str) -> String {
    format!(r#"{{"event_id":"{id}","customer_id":"{customer}","type":"{type_name}","occurred_at":"{at}","amount":10}}"#)
}

fn history() -> Vec<String> {
    let file = File::open(TOUCHPOINTS).expect("the data is there");
    BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("a line of text")).collect()
}

fn keyed(line: &str) -> NewRecord {
    let json: Value = serde_json::from_str(line).expect("a touchpoint");
    NewRecord::keyed(json["customer_id"].as_str().expect("a customer"), line)
}

fn replay(arguments: &[&str], touchpoints: &[u8]) -> Vec<Value> {
    let models = ["replay", "--model", "retention", "--model", "loyalty_ladder"];
    let run = lifecycle(Path::new("."), &[&models, arguments, &["-"]].concat(), touchpoints);
    assert_eq!(run.code, 0, "{}", run.errors);
    run.output.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

/// Returns the latest record of each key of the topic.
fn latest(topic: &str) -> BTreeMap<String, Option<String>> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let records = broker::read_committed(topic).into_iter();
    records.map(|record| (text(record.key.expect("a key")), record.value.map(text))).collect()
}

#[test]
fn current_stages_are_the_standings_of_replay_despite_kills_and_end_with_the_customer() {
    let mut deployment = Deployment::new(PARTITIONS, "clock: {source: touchpoints}\nworkers: 1");
    MODELS.clone_into(&mut deployment.model);
    let topic = broker::topic_with("current-stages", PARTITIONS, &[("cleanup.policy", "compact")]);
    deployment.current_stages = Some(topic.clone());
    let history = history();
    let text = history.join("\n");
    let expected = replay(&["--until", END], text.as_bytes());
    let mut records: Vec<NewRecord> = history.iter().map(|line| keyed(line)).collect();
    // A later touchpoint of another customer moves the watermark of each partition to the end.
    records.extend((0..PARTITIONS).map(|partition| {
        let marker = touchpoint("m", &format!("marker-{partition}"), "order_completed", "1998-07-01T00:01:00Z");
        NewRecord { key: Some(b"marker".to_vec()), ..NewRecord::to(partition, &marker) }
    }));
    let slice = records.len() / 3 + 1;
    for part in records.chunks(slice).take(2) {
        let instance = deployment.start("a");
        broker::produce(&deployment.touchpoints, part);
        std::thread::sleep(Duration::from_millis(fastrand::u64(500..1500)));
        instance.kill();
    }
    broker::produce(&deployment.touchpoints, records.chunks(slice).nth(2).expect("the rest"));
    let mut instance = deployment.start("a");
    let is_of_history = |record: &ConsumedRecord| !record.text().contains(r#""customer_id":"marker-"#);
    broker::until("all transitions are published", || {
        let published = broker::read_committed(&deployment.replay);
        (published.iter().filter(|record| is_of_history(record)).count() >= expected.len()).then_some(())
    });
    let standings = replay(&["--until", END, "--output", "standings"], text.as_bytes());
    let current = latest(&topic);
    for standing in &standings {
        let (customer, model) = (standing["customer_id"].as_str().unwrap_or_default(), &standing["model"]);
        let record = current.get(customer).cloned().flatten().unwrap_or_else(|| panic!("{customer} has no record"));
        let record: CurrentStagesRecord = serde_json::from_str(&record).expect("a record");
        assert_eq!(record.customer_id, customer);
        let in_model = &record.models[model.as_str().unwrap_or_default()];
        assert_eq!((&in_model.stage, &in_model.since), (&text_of(&standing["stage"]), &text_of(&standing["since"])));
        let published: Vec<&Value> =
            expected.iter().filter(|it| it["customer_id"] == customer && it["model"] == *model).collect();
        assert_eq!(in_model.sequence, published.len() as u64, "{customer} {model}");
        // Orders that change no stage write no record, so the record may be older than the latest order.
        let counted = published.last().map_or(&Value::Null, |it| &it["orders"]["count"]);
        assert!(record.orders.count >= counted.as_u64().unwrap_or_default(), "{customer}");
        assert!(record.orders.count <= standing["orders"].as_u64().unwrap_or_default(), "{customer}");
    }
    assert_eq!(current.len(), standings.len() / 2 + usize::try_from(PARTITIONS).expect("few partitions"));

    let erased: Vec<&str> = standings.iter().step_by(200).filter_map(|it| it["customer_id"].as_str()).collect();
    let erasures: Vec<NewRecord> = erased
        .iter()
        .map(|customer| {
            keyed(&touchpoint(&format!("erase-{customer}"), customer, "customer_erased", "1998-07-02T00:00:00Z"))
        })
        .collect();
    broker::produce(&deployment.touchpoints, &erasures);
    let remaining = broker::until("the erased customers have tombstones", || {
        let current = latest(&topic);
        erased.iter().all(|customer| current[*customer].is_none()).then_some(current)
    });
    instance.assert_runs();
    instance.stop();
    let removed = remaining.values().filter(|value| value.is_none()).count();
    assert_eq!(removed, erased.iter().collect::<BTreeSet<_>>().len(), "only erased customers have tombstones");
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[test]
fn live_transitions_take_their_routes_and_others_the_usual_topics() {
    let (first_buyers, milestones) = (broker::unique("first-buyers"), broker::unique("milestones"));
    let settings = format!(
        "workers: 1\npublish:\n  format: protobuf\n  because: condition\n  cloudevents: minimal\n  routes:\n  \
         - {{topic: {first_buyers}, model: loyalty_ladder, stage: [new_customer, regular_customer]}}\n  \
         - {{topic: {milestones}, kind: milestone}}\n"
    );
    let mut deployment = Deployment::new(1, &settings);
    MODELS.clone_into(&mut deployment.model);
    deployment.current_stages = Some(broker::unique("current-stages"));
    let created = deployment.run("a", &["topics", "--create", "--partitions", "1"]);
    assert_eq!(created.code, 0, "{}{}", created.output, created.errors);
    for topic in [&first_buyers, &milestones, deployment.current_stages.as_ref().expect("a topic")] {
        assert!(created.output.contains(&format!("{topic}: created")), "{}", created.output);
    }
    let at = now().to_string();
    let lines: Vec<String> = (0..5)
        .map(|number| touchpoint(&format!("e{number}"), &format!("c{number}"), "order_completed", &at))
        .chain([touchpoint("old", "c9", "order_completed", "2020-01-01T00:00:00Z")])
        .collect();
    let expected = replay(&[], lines.join("\n").as_bytes());
    broker::produce(&deployment.touchpoints, &lines.iter().map(|line| keyed(line)).collect::<Vec<_>>());
    let mut instance = deployment.start("a");
    let all = [&first_buyers, &milestones, &deployment.transitions, &deployment.replay];
    wait_for_records(&all, expected.len(), &mut [&mut instance]);
    instance.stop();

    let mut topics: BTreeMap<&str, BTreeSet<String>> =
        all.iter().map(|topic| (topic.as_str(), BTreeSet::new())).collect();
    for transition in expected.iter().filter(|transition| transition["customer_id"] != "c9") {
        let topic = if transition["model"] == "loyalty_ladder" && transition["to"] == "new_customer" {
            &first_buyers
        } else if transition["kind"] == "milestone" {
            &milestones
        } else {
            &deployment.transitions
        };
        let id = transition["transition_id"].as_str().expect("an id").to_owned();
        topics.get_mut(topic.as_str()).expect("a topic").insert(id);
    }
    assert!(!topics[first_buyers.as_str()].is_empty(), "the routes must match something");
    for (topic, expected) in &topics {
        let records = broker::read_committed(topic);
        let ids: BTreeSet<String> = records
            .iter()
            .map(|record| {
                let message = v1::Transition::decode(record.value.as_deref().expect("a value")).expect("a message");
                assert!(message.because.is_some_and(|because| because.values.is_none()));
                assert_eq!(message.mode == "replay", *topic == deployment.replay, "{topic}");
                let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(names, ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type"]);
                assert_eq!(record.headers[0].1, b"application/protobuf");
                message.transition_id
            })
            .collect();
        if *topic == deployment.replay {
            assert!(!ids.is_empty(), "the old order is replayed");
        } else {
            assert_eq!(&ids, expected, "{topic}");
        }
    }
    let current = broker::read_committed(deployment.current_stages.as_ref().expect("a topic"));
    let stages = current.iter().map(|record| {
        let message = v1::CurrentStages::decode(record.value.as_deref().expect("a value")).expect("a message");
        (message.customer_id, message.models["loyalty_ladder"].stage.clone())
    });
    let stages: BTreeMap<String, Option<String>> = stages.collect();
    assert_eq!(stages.len(), 6);
    assert!(stages.values().all(|stage| stage.as_deref() == Some("new_customer")), "{stages:?}");
}

#[test]
fn routes_that_name_unknown_models_and_stages_are_rejected_with_their_place() {
    let settings = "publish:\n  routes:\n  - {topic: a, model: retension}\n  - {topic: b, stage: at_rissk}\n";
    let mut deployment = Deployment::new(1, settings);
    MODELS.clone_into(&mut deployment.model);
    let checked = deployment.run("a", &["config", "check"]);
    assert_eq!(checked.code, 2);
    for problem in [
        "publish.routes: route 1 (topic a): unknown model `retension`: did you mean `retention`?",
        "publish.routes: route 2 (topic b): unknown stage `at_rissk`: did you mean `at_risk`?",
    ] {
        assert!(checked.errors.contains(problem), "{problem} is missing in {}", checked.errors);
    }
    let touchpoints = deployment.touchpoints.clone();
    let deployment = deployment.with_settings(&format!(
        "publish:\n  routes:\n  - {{topic: {touchpoints}, kind: stage}}\n  - {{topic: c}}\n  - {{topic: d, kinds: stage}}\n"
    ));
    let checked = deployment.run("a", &["config", "check"]);
    for problem in [
        "already used by topics.touchpoints",
        "write at least one of model, kind, name, direction and stage",
        "unknown key `kinds`: did you mean `kind`?",
    ] {
        assert!(checked.errors.contains(problem), "{problem} is missing in {}", checked.errors);
    }
}

#[test]
fn records_in_the_wire_format_of_confluent_are_read_by_its_client_with_the_registered_schema() {
    let registry = RunningRegistry::start();
    for format in ["protobuf", "json"] {
        read_with_registered_schemas(&registry, format);
    }
}

fn read_with_registered_schemas(registry: &RunningRegistry, format: &str) {
    let settings = format!(
        "workers: 1\nclock: {{source: touchpoints}}\nregistry: {{url: \"{}\"}}\n\
         publish: {{format: {format}, framing: confluent, attributes: {{orders: orders.count}}}}\n",
        registry.url
    );
    let mut deployment = Deployment::new(1, &settings);
    MODELS.clone_into(&mut deployment.model);
    let current_stages = broker::topic_with("current-stages", 1, &[("cleanup.policy", "compact")]);
    deployment.current_stages = Some(current_stages.clone());
    let lines: Vec<String> = (0..3)
        .map(|number| {
            touchpoint(&format!("e{number}"), &format!("c{number}"), "order_completed", "2026-01-01T00:00:00Z")
        })
        .collect();
    let expected = replay(&[], lines.join("\n").as_bytes());
    broker::produce(&deployment.touchpoints, &lines.iter().map(|line| keyed(line)).collect::<Vec<_>>());
    // A restart finds the schemas that the first start registered.
    for restart in 0..2 {
        let mut instance = deployment.start("a");
        wait_for_records(&[&deployment.replay], expected.len(), &mut [&mut instance]);
        assert_eq!(instance.stop().matches("schema registered").count(), 3 * (restart + 1));
    }
    let read = |topic: &str, message: &str, file: &str, count: usize| {
        registry.read(topic, (format == "protobuf").then_some((message, file)), count)
    };
    let transitions =
        read(&deployment.replay, "lifecycle.v1.Transition", "lifecycle/v1/transition.proto", expected.len());
    let ids = |records: Vec<&Value>| -> BTreeSet<String> { records.into_iter().filter_map(text_of).collect() };
    assert_eq!(
        ids(transitions.iter().map(|it| &it["fields"]["transition_id"]).collect()),
        ids(expected.iter().map(|it| &it["transition_id"]).collect())
    );
    for transition in &transitions {
        assert_eq!(transition["fields"]["attributes"]["orders"].as_f64(), Some(1.0));
        let described = (transition["schema_type"].as_str(), transition["has_message"].as_bool());
        assert_eq!(described, (Some(&*format.to_uppercase()), Some(true)));
    }
    let subjects = [&deployment.transitions, &deployment.replay, &current_stages].map(|topic| format!("{topic}-value"));
    let registered = transitions[0]["subjects"].as_array().expect("a list");
    assert!(subjects.iter().all(|subject| registered.contains(&subject.as_str().into())), "{registered:?}");
    let current = read(&current_stages, "lifecycle.v1.CurrentStages", "lifecycle/v1/current_stages.proto", 3);
    assert!(current.iter().all(|it| it["has_message"] == true && it["fields"]["models"]["retention"].is_object()));
}

#[test]
fn a_schema_that_consumers_could_not_read_prevents_the_start() {
    let registry = RunningRegistry::start();
    let protobuf = "syntax = \"proto3\"; package lifecycle.v1; message Transition { int32 transition_id = 1; }";
    let json = r#"{"type":"object","properties":{"transition_id":{"type":"integer"}}}"#;
    for (format, known) in [("protobuf", protobuf), ("json", json)] {
        let settings = format!(
            "workers: 1\nregistry: {{url: \"{}\"}}\npublish: {{format: {format}, framing: confluent}}\n",
            registry.url
        );
        let deployment = Deployment::new(1, &settings);
        let subject = format!("{}-value", deployment.transitions);
        registry.register(&subject, &format.to_uppercase(), known);
        let run = deployment.run("a", &["run"]);
        assert_eq!(run.code, 3, "{}{}", run.output, run.errors);
        let problem = format!("refuses the schema of {subject}: it is not compatible");
        assert!(run.errors.contains(&problem), "{}", run.errors);
    }
}

#[test]
fn every_transition_carries_the_attributes_and_an_erasure_resets_them() {
    let settings = "workers: 1\nclock: {source: touchpoints}\npublish:\n  attributes:\n    \
                    program: latest(loyalty_enrolled, \"program\")\n    orders: orders.count\n";
    let mut deployment = Deployment::new(1, settings);
    MODELS.clone_into(&mut deployment.model);
    let order = |id: &str, at: &str| touchpoint(id, "anna", "order_completed", at);
    let enrolled = r#"{"event_id":"e1","customer_id":"anna","type":"loyalty_enrolled","occurred_at":"2024-01-01T00:00:00Z","properties":{"program":"gold"}}"#;
    let lines = [
        order("e0", "2023-12-31T00:00:00Z"),
        enrolled.to_owned(),
        order("e2", "2024-01-02T00:00:00Z"),
        touchpoint("e5", "bert", "order_completed", "2024-12-30T00:00:00Z"),
        // Silence becomes due before the erasure, and is published with it.
        touchpoint("e3", "anna", "customer_erased", "2024-12-31T00:00:00Z"),
        order("e4", "2025-01-01T00:00:00Z"),
    ];
    let records: Vec<_> = lines.iter().map(|line| keyed(line)).collect();
    let mut instance = deployment.start("a");
    broker::produce(&deployment.touchpoints, &records);
    let published = || -> Vec<Value> {
        let records = broker::read_committed(&deployment.replay);
        records.iter().map(|record| serde_json::from_str(&record.text()).expect("a transition")).collect()
    };
    let caused_by = |records: &[Value], id: &str| -> Vec<Value> {
        records.iter().filter(|it| it["cause"]["event_id"] == id).map(|it| it["attributes"].clone()).collect()
    };
    let all = broker::until("the order after the erasure", || {
        let all = published();
        (!caused_by(&all, "e4").is_empty()).then_some(all)
    });
    instance.assert_runs();
    instance.stop();
    let expect = |id: &str, attributes: &Value| {
        let found = caused_by(&all, id);
        assert!(!found.is_empty() && found.iter().all(|it| it == attributes), "{id}: {found:?}");
    };
    expect("e0", &serde_json::json!({"program": null, "orders": 1}));
    expect("e2", &serde_json::json!({"program": "gold", "orders": 2}));
    expect("e4", &serde_json::json!({"program": null, "orders": 1}));
    // In a replay, time passes before the erasure; here, the instance has read all of it at once.
    let replay = deployment.run("a", &["replay", "--topic", &deployment.touchpoints]);
    let replayed = replay.output.lines().map(|line| serde_json::from_str::<Value>(line).expect("a transition"));
    let by_id = |it: &Value| (it["transition_id"].to_string(), it["attributes"].clone());
    let replayed: BTreeMap<_, _> = replayed.map(|it| by_id(&it)).collect();
    assert_eq!(replayed, all.iter().map(by_id).collect(), "{}", replay.errors);
    let silent: Vec<&Value> = all.iter().filter(|it| it["cause"]["time"] == true).collect();
    let attributes = serde_json::json!({"program": "gold", "orders": 2});
    assert!(!silent.is_empty() && silent.iter().all(|it| it["attributes"] == attributes), "{silent:?}");
}
