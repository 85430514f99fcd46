//! What a reader of committed records saw, against what `replay` prints for the same topic.

use std::collections::BTreeMap;
use std::path::Path;

use lifecycle_processor::lifecycle::time::Duration;
use lifecycle_processor::wire::time::parse_timestamp;
use serde_json::Value;

use super::load::is_unpunctual;
use crate::broker::Seen;
use crate::cli::lifecycle;

/// Transitions by customer, in order.
pub(super) type Published = BTreeMap<String, Vec<Value>>;

/// The transitions that `replay` computes from the records of one partition.
pub(super) fn replayed(records: &[&Seen], directory: &Path, models: &[&str], lateness: &str, until: &str) -> Published {
    let lines: String = records.iter().map(|record| record.text() + "\n").collect();
    let mut words = vec!["replay", "--lateness", lateness, "--until", until, "--dead-letters", "bad.ndjson"];
    words.extend(models.iter().flat_map(|model| ["--model", model]));
    words.push("-");
    let run = lifecycle(directory, &words, lines.as_bytes());
    assert_eq!(run.code, 0, "{}", run.errors);
    by_customer(run.output.lines().map(str::to_owned))
}

/// The promise is for touchpoints no later than `lateness`; a run with others would prove nothing.
pub(super) fn assert_in_time(records: &[&Seen], lateness: Duration) {
    let mut reached = None;
    for record in records {
        let Ok(json) = serde_json::from_str::<Value>(&record.text()) else { continue };
        if is_unpunctual(json["customer_id"].as_str().expect("a customer")) {
            continue;
        }
        let at = parse_timestamp(json["occurred_at"].as_str().expect("an instant")).expect("an instant");
        assert!(reached.is_none_or(|reached| at + lateness >= reached), "{} comes too late", record.text());
        reached = reached.max(Some(at));
    }
}

/// Transitions by customer; those of the markers are left out.
pub(super) fn by_customer(transitions: impl Iterator<Item = String>) -> Published {
    let mut published = Published::new();
    for text in transitions {
        let mut json: Value = serde_json::from_str(&text).expect("a transition");
        let customer = json["customer_id"].as_str().expect("a customer").to_owned();
        // When and on which occasion it was published is not part of the promise.
        for field in ["detected_at", "mode"] {
            json.as_object_mut().expect("an object").remove(field);
        }
        if !customer.starts_with("marker-") {
            published.entry(customer).or_default().push(json);
        }
    }
    published
}

/// Every divergence, as a sentence each; the first few of them whole.
pub(super) fn divergences(published: &Published, expected: &Published) -> Vec<String> {
    let mut found = Vec::new();
    let ids = |of: &[Value]| of.iter().map(|it| it["transition_id"].to_string()).collect::<Vec<_>>();
    for (customer, expected) in expected.iter().filter(|(customer, _)| !is_unpunctual(customer)) {
        let published = published.get(customer).map(Vec::as_slice).unwrap_or_default();
        if published == expected {
            continue;
        }
        let (seen, wanted) = (ids(published), ids(expected));
        let lost = wanted.iter().filter(|id| !seen.contains(id)).count();
        let foreign = seen.iter().filter(|id| !wanted.contains(id)).count();
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        let doubled = seen.len() - once.len();
        let first = published.iter().zip(expected).find(|(published, expected)| published != expected);
        found.push(format!(
            "{customer}: {} published, {} expected, {lost} lost, {foreign} foreign, {doubled} doubled; first difference: {first:?}",
            seen.len(),
            wanted.len()
        ));
    }
    let strangers = published.keys().filter(|customer| !expected.contains_key(*customer));
    found.extend(strangers.map(|customer| format!("{customer}: published, and not expected at all")));
    found
}

/// In which stage of each model a customer stands after `transitions`.
pub(super) fn stages(transitions: &[Value]) -> BTreeMap<String, Value> {
    let moves = transitions.iter().filter(|it| it["kind"] == "stage");
    moves.map(|it| (it["model"].as_str().expect("a model").to_owned(), it["to"].clone())).collect()
}

/// Ids that are there more than once, of all customers.
pub(super) fn doubled(published: &Published) -> Vec<String> {
    let mut seen = BTreeMap::<String, u32>::new();
    for transition in published.values().flatten() {
        *seen.entry(transition["transition_id"].to_string()).or_default() += 1;
    }
    seen.into_iter().filter(|(_, times)| *times > 1).map(|(id, _)| id).collect()
}

/// Customers and models whose sequence numbers have a gap or a repetition.
pub(super) fn broken_sequences(published: &Published) -> Vec<String> {
    let mut numbers: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for transition in published.values().flatten() {
        let text = |field: &str| transition[field].as_str().expect("a text");
        let of = numbers.entry((text("customer_id"), text("model"))).or_default();
        of.push(transition["sequence"].as_u64().expect("a number"));
    }
    let is_broken = |numbers: &[u64]| (1..).zip(numbers).any(|(expected, &number)| number != expected);
    let broken = numbers.into_iter().filter(|(_, numbers)| is_broken(numbers));
    broken.map(|((customer, model), numbers)| format!("{customer}, {model}: {numbers:?}")).collect()
}

/// Whether `replay` would set the record aside; no other bad records are in the load.
pub(super) fn is_bad(touchpoint: &Seen) -> bool {
    serde_json::from_str::<Value>(&touchpoint.text()).is_err()
}

/// The partition and the offset from which a dead letter comes.
pub(super) fn origin(letter: &Seen) -> (i32, i64) {
    let header = |name: &str| {
        let (_, value) = letter.headers.iter().find(|(header, _)| header == name).expect("a header");
        String::from_utf8_lossy(value).into_owned()
    };
    (
        header("lifecycle_partition").parse().expect("a partition"),
        header("lifecycle_offset").parse().expect("an offset"),
    )
}
