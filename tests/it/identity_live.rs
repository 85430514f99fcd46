//! Identity resolution in `lifecycle run` on a real broker: visitors and customers in different partitions, processes
//! that are killed in between, and the same end as `lifecycle replay`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::partitioner::partition_of;
use serde_json::{Value, json};

use crate::broker::{self, NewRecord, until};
use crate::exactly_once::deployment::{Deployment, Instance};

pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const PERSONS: usize = 60;
/// The lifetime of stubs exceeds the time until the fillers.
pub(crate) const SETTINGS: &str =
    "clock: {source: touchpoints}\nworkers: 2\nidentity: {enabled: true, stub_lifetime: 36500d}";
const FILLER: &str = "filler";

pub(crate) fn deployment() -> Deployment {
    let mut deployment = Deployment::new(PARTITIONS, SETTINGS);
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/retention.yaml").clone_into(&mut deployment.model);
    // At least that of the touchpoint topic.
    let size = [("max.message.bytes", "8388608")];
    deployment.hand_overs = Some(broker::topic_with("hand-overs", PARTITIONS, &size));
    deployment
}

/// A touchpoint; an empty id is absent. The key is the customer id, or else the anonymous id.
fn touchpoint(event_id: &str, customer: &str, visitor: &str, kind: &str, minute: i64) -> NewRecord {
    let at = jiff::Timestamp::from_second(1_600_000_000 + minute * 60).expect("a time");
    let mut record = json!({
        "event_id": event_id, "type": kind, "occurred_at": at.to_string(), "order_id": event_id, "amount": 10,
    });
    for (name, id) in [("customer_id", customer), ("anonymous_id", visitor)] {
        if !id.is_empty() {
            record[name] = json!(id);
        }
    }
    NewRecord::keyed(if customer.is_empty() { visitor } else { customer }, &record.to_string())
}

pub(crate) fn text(record: &NewRecord) -> String {
    String::from_utf8(record.value.clone().expect("a value")).expect("text")
}

/// The command that merges a person with an odd number into the one before.
fn merge(event_id: &str, number: usize, minute: i64) -> NewRecord {
    let into = format!("person-{}", number / 2 * 2);
    let record = touchpoint(event_id, &into, "", "customer_merged", minute);
    let mut merge: Value = serde_json::from_str(&text(&record)).expect("JSON");
    merge["merged_id"] = json!(format!("person-{}", number / 2 * 2 + 1));
    NewRecord::keyed(&into, &merge.to_string())
}

/// Returns touchpoints of persons with two visitors each in order of time, and links and merges in between.
pub(crate) fn history() -> Vec<NewRecord> {
    let mut random = fastrand::Rng::with_seed(18);
    (0..1_200)
        .map(|number: i64| {
            let person_number = random.usize(..PERSONS);
            let person = format!("person-{person_number}");
            let visitor = format!("{person}-{}", random.u8(..2));
            let minute = number * 60;
            let kind = if random.u8(..3) == 0 { "order_completed" } else { "product_viewed" };
            let event_id = format!("e-{number}");
            match random.u8(..9) {
                8 => merge(&event_id, person_number, minute),
                0 => touchpoint(&event_id, &person, &visitor, "customer_identified", minute),
                1..4 => touchpoint(&event_id, &person, "", kind, minute),
                _ => touchpoint(&event_id, "", &visitor, kind, minute),
            }
        })
        .collect()
}

/// Returns a touchpoint for each of the partitions, so late that all wake-ups of the others are due.
pub(crate) fn fillers(partitions: i32) -> Vec<NewRecord> {
    let filler = |partition| {
        let names = (0..).map(|number| format!("{FILLER}-{partition}-{number}"));
        let name = names.into_iter().find(|name| partition_of(name.as_bytes(), partitions) == partition);
        let name = name.expect("one of the names");
        touchpoint(&name, &name, "", "product_viewed", 1_000 * 24 * 60)
    };
    (0..partitions).map(filler).collect()
}

/// Returns the last stage of each id, and checks that no transition is missing or repeated.
fn stages(transitions: impl Iterator<Item = String>) -> BTreeMap<String, Option<String>> {
    let mut ids = BTreeSet::new();
    let mut customers: BTreeMap<String, BTreeMap<u64, Option<Option<String>>>> = BTreeMap::new();
    for line in transitions {
        let transition: Value = serde_json::from_str(&line).expect("JSON");
        assert!(ids.insert(transition["transition_id"].to_string()), "published twice: {line}");
        let customer = transition["customer_id"].as_str().expect("a customer").to_owned();
        let sequence = transition["sequence"].as_u64().expect("a sequence number");
        if !customer.starts_with(FILLER) {
            let to = (transition["kind"] == "stage").then(|| transition["to"].as_str().map(str::to_owned));
            assert_eq!(customers.entry(customer).or_default().insert(sequence, to), None, "{line}");
        }
    }
    let last = |(customer, stages): (String, BTreeMap<u64, Option<Option<String>>>)| {
        let sequences: Vec<u64> = stages.keys().copied().collect();
        assert!(sequences.iter().copied().eq(1..=sequences.len() as u64), "{customer}: {stages:?}");
        (customer, stages.into_values().flatten().last().flatten())
    };
    customers.into_iter().map(last).collect()
}

/// Waits until the instance has committed `count` touchpoints.
pub(crate) fn wait_until_read(instance: &mut Instance, count: u64) {
    let deadline = Instant::now() + Duration::from_mins(3);
    while instance.metric("lifecycle_touchpoints_consumed_total").is_none_or(|read| read < count) {
        instance.assert_runs();
        assert!(Instant::now() < deadline, "the touchpoints are not read: {}", instance.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the customers are in the stages in which a replay of `records` leaves them. Returns the last stage of
/// each id, of which a visitor or merged customer has none.
pub(crate) fn wait_until_as_replayed(
    deployment: &Deployment,
    instance: &Instance,
    records: &[NewRecord],
) -> BTreeMap<String, Option<String>> {
    let lines: Vec<String> = records.iter().map(text).collect();
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("touchpoints.ndjson"), lines.join("\n")).expect("the file is written");
    let replay = ["replay", "--identity", "--model", &deployment.model, "touchpoints.ndjson"];
    let replay = crate::cli::lifecycle(directory.path(), &replay, b"");
    assert_eq!(replay.code, 0, "{}", replay.errors);
    // What a visitor publishes before it becomes a customer depends on the order of reading.
    let customers = |all: &BTreeMap<String, Option<String>>| -> BTreeMap<String, String> {
        all.iter().filter_map(|(id, stage)| Some((id.clone(), stage.clone()?))).collect()
    };
    let expected = customers(&stages(replay.output.lines().map(str::to_owned)));
    assert!(expected.len() > PERSONS / 3, "{expected:?}");
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        let topics = [&deployment.replay, &deployment.transitions];
        let published = topics.into_iter().flat_map(|topic| broker::read_committed(topic));
        let found = stages(published.map(|record| record.text()));
        if customers(&found) == expected {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:?}\nexpected {expected:?}\n{}", instance.log());
    }
}

/// Erases a customer by the id of a visitor, one of a customer that was merged into it, and waits until all these ids
/// are erased. `stages` are the last ones of each id.
pub(crate) fn erase_by_alias(deployment: &Deployment, instance: &Instance, stages: &BTreeMap<String, Option<String>>) {
    let number = |id: &str| id.split('-').nth(1).and_then(|number| number.parse::<usize>().ok()).expect("a number");
    let is_merged = |id: &str, parts: usize| {
        stages.get(id).is_some_and(Option::is_none) && id.split('-').count() == parts && number(id) % 2 == 1
    };
    let visitor = stages.keys().find(|id| is_merged(id, 3) && is_merged(id.rsplit_once('-').expect("a number").0, 2));
    let visitor = visitor.expect("a visitor of a merged customer").clone();
    let merged = visitor.rsplit_once('-').expect("a number").0.to_owned();
    let person = format!("person-{}", number(&visitor) - 1);
    let answer = |id: &str| instance.get(&format!("/v1/customers/{id}"));
    // The ids of the visitor and of the merged customer are answered as the customer.
    for id in [&visitor, &merged] {
        let alias = answer(id).expect("an answer");
        assert!(alias.contains(&format!("\"customer_id\":\"{person}\"")), "{alias}");
    }
    assert!(answer(&person).is_some_and(|answer| answer.contains("\"partition\"")), "{person}");
    let erasure = touchpoint("erasure", "", &visitor, "customer_erased", 1_001 * 24 * 60);
    broker::produce(&deployment.touchpoints, &[erasure]);
    for id in [&person, &merged, &visitor] {
        until("the id is erased", || answer(id).filter(|answer| answer.contains("\"status\":404")));
    }
}

#[test]
fn links_across_partitions_and_kills_end_as_a_replay_does() {
    let deployment = deployment();
    let history = history();
    for (number, part) in history.chunks(300).enumerate() {
        broker::produce(&deployment.touchpoints, part);
        let mut instance = deployment.start("a");
        wait_until_read(&mut instance, if number < 3 { 100 } else { 300 });
        instance.kill();
    }
    broker::produce(&deployment.touchpoints, &fillers(PARTITIONS));
    let instance = deployment.start("a");
    let stages = wait_until_as_replayed(&deployment, &instance, &[history, fillers(PARTITIONS)].concat());
    erase_by_alias(&deployment, &instance, &stages);
    let log = instance.stop();
    assert!(!log.contains("ERROR"), "{log}");

    // Another group with an empty changelog would apply the hand-overs again.
    let again = deployment.with_group(broker::unique("again")).with_changelog(broker::changelog_topic(PARTITIONS));
    let (code, log) = again.start("b").wait_for_exit();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("name another topic in topics.hand_overs"), "{log}");
}

#[test]
fn refused_links_are_counted_by_reason_and_listed() {
    let mut deployment = Deployment::new(2, "clock: {source: touchpoints}\nworkers: 2\nidentity: {enabled: true}");
    deployment.hand_overs = Some(broker::topic_with("hand-overs", 2, &[("max.message.bytes", "8388608")]));
    let mut instance = deployment.start("a");
    let list = || {
        let page: Value = serde_json::from_str(&instance.get("/v1/links/refused")?).expect("JSON");
        Some(page["links"].as_array().expect("a list").clone())
    };
    assert_eq!(until("the service answers", list), [Value::Null; 0]);
    broker::produce(&deployment.touchpoints, &[touchpoint("e-1", "anna", "tablet", "customer_identified", 0)]);
    until("the visitor is the customer", || {
        instance.get("/v1/customers/tablet")?.contains("\"customer_id\":\"anna\"").then_some(())
    });
    let mut blocked = touchpoint("e-3", "ben", "", "customer_merged", 2);
    blocked.value = Some(text(&blocked).replace('}', r#","merged_id":"guest"}"#).into_bytes());
    broker::produce(&deployment.touchpoints, &[touchpoint("e-2", "ben", "tablet", "customer_identified", 1), blocked]);
    let mut links = until("both links are refused", || list().filter(|links| links.len() == 2));
    links.sort_by_key(|link| link["event_id"].to_string());
    let link = |reason: &str, other: &str, event: &str, kind: &str, minute: i64| {
        let at = jiff::Timestamp::from_second(1_600_000_000 + minute * 60).expect("a time").to_string();
        json!({
            "reason": reason, "customer_id": "ben", "other_id": other, "event_id": event, "type": kind, "occurred_at": at,
        })
    };
    let expected = [
        link("shared_id", "tablet", "e-2", "customer_identified", 1),
        link("blocked_id", "guest", "e-3", "customer_merged", 2),
    ];
    assert_eq!(links, expected);
    for (reason, count) in [("shared_id", 1), ("blocked_id", 1), ("customer_id", 0)] {
        let series = format!("lifecycle_links_refused_total{{reason=\"{reason}\"}}");
        until(&series, || instance.metric(&series).filter(|found| *found == count));
    }
    assert_eq!(instance.metric("lifecycle_links_total{result=\"refused\"}"), Some(2));

    let url = instance.url();
    let listed = |more: &[&str]| {
        let arguments = [&["customers", "--refused-links", "--url", &url], more].concat();
        let run = crate::cli::lifecycle(std::path::Path::new("."), &arguments, b"");
        assert_eq!(run.code, 0, "{}", run.errors);
        run.output
    };
    let mut printed: Vec<Value> = listed(&[]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    printed.sort_by_key(|link| link["event_id"].to_string());
    assert_eq!(printed, expected);
    let csv = listed(&["--format", "csv", "--limit", "1"]);
    assert!(csv.starts_with("reason,customer_id,other_id,event_id,type,occurred_at\n"), "{csv}");
    assert_eq!(csv.lines().count(), 2, "{csv}");
    instance.assert_runs();
    instance.stop();
}
