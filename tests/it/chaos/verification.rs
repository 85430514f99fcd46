//! Compares the committed records of a chaos run with the output of `replay` for the same topic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::wire::time::parse_timestamp;
use serde_json::Value;

use super::load::FUTURE_PREFIX;
use crate::broker::ConsumedRecord;
use crate::cli::lifecycle;

/// The transitions of each customer in order.
pub(super) type TransitionsByCustomer = BTreeMap<String, Vec<Value>>;

/// Returns the transitions that `replay` prints for the records of one partition.
pub(super) fn run_replay(
    records: &[&ConsumedRecord],
    directory: &Path,
    models: &[String],
    lateness: &str,
    until: &str,
) -> TransitionsByCustomer {
    let lines: String = records.iter().map(|record| record.text() + "\n").collect();
    let mut arguments = vec!["replay", "--lateness", lateness, "--until", until, "--dead-letters", "bad.ndjson"];
    arguments.extend(models.iter().flat_map(|model| ["--model", model.as_str()]));
    arguments.push("-");
    let run = lifecycle(directory, &arguments, lines.as_bytes());
    assert_eq!(run.code, 0, "{}", run.errors);
    by_customer(run.output.lines().map(str::to_owned))
}

/// Asserts that no touchpoint is later than `lateness`, except those of `late_customers`: otherwise the output of
/// `replay` is not a valid reference for the other customers.
pub(super) fn assert_within_lateness(
    records: &[&ConsumedRecord],
    lateness: Duration,
    late_customers: &BTreeSet<String>,
) {
    let mut stream_time = None;
    for record in records {
        let Some(at) = occurred_at(record) else { continue };
        if customer_of(record).is_some_and(|customer| late_customers.contains(&customer)) {
            continue;
        }
        assert!(
            stream_time.is_none_or(|stream_time| at + lateness >= stream_time),
            "{} is later than {lateness:?}",
            record.text()
        );
        stream_time = stream_time.max(Some(at));
    }
}

/// Groups transitions by customer, without those of the marker customers.
pub(super) fn by_customer(transitions: impl Iterator<Item = String>) -> TransitionsByCustomer {
    let mut published = TransitionsByCustomer::new();
    for text in transitions {
        let mut json: Value = serde_json::from_str(&text).expect("a transition");
        let customer = json["customer_id"].as_str().expect("a customer").to_owned();
        // These fields say when and in which mode a transition was published, which may differ from `replay`.
        for field in ["detected_at", "mode"] {
            json.as_object_mut().expect("an object").remove(field);
        }
        if !customer.starts_with("marker-") {
            published.entry(customer).or_default().push(json);
        }
    }
    published
}

/// Returns a description of every difference, except for `late_customers`.
pub(super) fn divergences(
    published: &TransitionsByCustomer,
    expected: &TransitionsByCustomer,
    late_customers: &BTreeSet<String>,
) -> Vec<String> {
    let mut found = Vec::new();
    let ids = |of: &[Value]| of.iter().map(|it| it["transition_id"].to_string()).collect::<Vec<_>>();
    for (customer, expected) in expected.iter().filter(|(customer, _)| !late_customers.contains(*customer)) {
        let published = published.get(customer).map(Vec::as_slice).unwrap_or_default();
        if published == expected {
            continue;
        }
        let (published_ids, expected_ids) = (ids(published), ids(expected));
        let lost = expected_ids.iter().filter(|id| !published_ids.contains(id)).count();
        let unexpected = published_ids.iter().filter(|id| !expected_ids.contains(id)).count();
        let mut once = published_ids.clone();
        once.sort();
        once.dedup();
        let duplicated = published_ids.len() - once.len();
        let first = published.iter().zip(expected).find(|(published, expected)| published != expected);
        found.push(format!(
            "{customer}: {} published, {} expected, {lost} lost, {unexpected} unexpected, {duplicated} duplicated; first difference: {first:?}",
            published_ids.len(),
            expected_ids.len()
        ));
    }
    let extra_customers = published.keys().filter(|customer| !expected.contains_key(*customer));
    found.extend(extra_customers.map(|customer| format!("{customer}: published but not expected")));
    found
}

/// Returns the customer's stage in each model after `transitions`.
pub(super) fn stages(transitions: &[Value]) -> BTreeMap<String, Value> {
    let moves = transitions.iter().filter(|it| it["kind"] == "stage");
    moves.map(|it| (it["model"].as_str().expect("a model").to_owned(), it["to"].clone())).collect()
}

/// Asserts that no transition was published twice, and that the sequence numbers have no gap.
pub(super) fn assert_exactly_once(published: &TransitionsByCustomer) {
    let broken = broken_sequences(published);
    assert!(broken.is_empty(), "sequence numbers have gaps or duplicates: {broken:#?}");
    let duplicated = duplicate_ids(published);
    assert!(duplicated.is_empty(), "published more than once: {duplicated:#?}");
}

/// Returns the transition ids that occur more than once.
fn duplicate_ids(published: &TransitionsByCustomer) -> Vec<String> {
    let mut seen = BTreeMap::<String, u32>::new();
    for transition in published.values().flatten() {
        *seen.entry(transition["transition_id"].to_string()).or_default() += 1;
    }
    seen.into_iter().filter(|(_, times)| *times > 1).map(|(id, _)| id).collect()
}

/// Returns the customers and models whose sequence numbers have a gap or a duplicate. Those of an id that was merged
/// may start again at 1.
fn broken_sequences(published: &TransitionsByCustomer) -> Vec<String> {
    let (mut last, mut merged) = (BTreeMap::<(&str, &str), u64>::new(), BTreeSet::new());
    let mut broken = Vec::new();
    for transition in published.values().flatten() {
        let text = |field: &str| transition[field].as_str().expect("a text");
        let customer = text("customer_id");
        let number = transition["sequence"].as_u64().expect("a number");
        let before = last.insert((customer, text("model")), number).unwrap_or_default();
        if number != before + 1 && !(number == 1 && merged.contains(customer)) {
            broken.push(format!("{customer}, {}: {number} after {before}", text("model")));
        }
        if transition["merged_into"].is_string() {
            merged.insert(customer);
        }
    }
    broken
}

/// Returns the reason with which the service must write the record to the dead-letter topic; `None` for a valid record.
/// It recognizes only the kinds of bad records that the loads contain.
pub(super) fn dead_letter_reason(touchpoint: &ConsumedRecord) -> Option<&'static str> {
    match serde_json::from_str::<Value>(&touchpoint.text()) {
        Err(_) => Some("not_json"),
        Ok(json) => json["event_id"].as_str().is_some_and(|id| id.starts_with(FUTURE_PREFIX)).then_some("in_future"),
    }
}

/// Returns the customer id of a record; `None` for malformed JSON.
pub(super) fn customer_of(touchpoint: &ConsumedRecord) -> Option<String> {
    field(touchpoint, "customer_id")
}

/// Returns the event time of a record; `None` for malformed JSON.
pub(super) fn occurred_at(touchpoint: &ConsumedRecord) -> Option<Timestamp> {
    field(touchpoint, "occurred_at").map(|text| parse_timestamp(&text).expect("an instant"))
}

fn field(touchpoint: &ConsumedRecord, name: &str) -> Option<String> {
    let json: Value = serde_json::from_str(&touchpoint.text()).ok()?;
    Some(json[name].as_str().expect("a text").to_owned())
}

/// Returns the time from due to published of each transition that a wake-up caused, if it was published before `end`.
pub(super) fn delays(transitions: &[ConsumedRecord], end: Timestamp) -> Vec<Duration> {
    let delay = |transition: &ConsumedRecord| {
        let json: Value = serde_json::from_str(&transition.text()).expect("a transition");
        let at = parse_timestamp(json["occurred_at"].as_str().expect("an instant")).expect("an instant");
        let published = Timestamp::from_millis(transition.timestamp_ms.expect("a time"));
        (json["cause"]["time"] == true && published < end).then(|| published - at)
    };
    transitions.iter().filter_map(delay).collect()
}

/// Returns the partition and offset of the bad record that a dead letter contains, and the reason.
pub(super) fn dead_letter_source(dead_letter: &ConsumedRecord) -> (i32, i64, String) {
    let header = |name: &str| {
        let (_, value) = dead_letter.headers.iter().find(|(header, _)| header == name).expect("a header");
        String::from_utf8_lossy(value).into_owned()
    };
    (
        header("lifecycle_partition").parse().expect("a partition"),
        header("lifecycle_offset").parse().expect("an offset"),
        header("lifecycle_reason"),
    )
}
