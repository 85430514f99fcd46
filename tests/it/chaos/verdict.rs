//! What a reader of committed records saw, against what `replay` prints for the same topic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::wire::time::parse_timestamp;
use serde_json::Value;

use super::load::FUTURE;
use crate::broker::Seen;
use crate::cli::lifecycle;

/// Transitions by customer, in order.
pub(super) type Published = BTreeMap<String, Vec<Value>>;

/// The transitions that `replay` computes from the records of one partition.
pub(super) fn replayed(
    records: &[&Seen],
    directory: &Path,
    models: &[String],
    lateness: &str,
    until: &str,
) -> Published {
    let lines: String = records.iter().map(|record| record.text() + "\n").collect();
    let mut words = vec!["replay", "--lateness", lateness, "--until", until, "--dead-letters", "bad.ndjson"];
    words.extend(models.iter().flat_map(|model| ["--model", model.as_str()]));
    words.push("-");
    let run = lifecycle(directory, &words, lines.as_bytes());
    assert_eq!(run.code, 0, "{}", run.errors);
    by_customer(run.output.lines().map(str::to_owned))
}

/// The promise is for touchpoints no later than `lateness`; a run with others would prove nothing.
pub(super) fn assert_in_time(records: &[&Seen], lateness: Duration, unpunctual: &BTreeSet<String>) {
    let mut reached = None;
    for record in records {
        let Some(at) = occurred_at(record) else { continue };
        if customer_of(record).is_some_and(|customer| unpunctual.contains(&customer)) {
            continue;
        }
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

/// Every divergence of others than the unpunctual, as a sentence each; the first few of them whole.
pub(super) fn divergences(published: &Published, expected: &Published, unpunctual: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let ids = |of: &[Value]| of.iter().map(|it| it["transition_id"].to_string()).collect::<Vec<_>>();
    for (customer, expected) in expected.iter().filter(|(customer, _)| !unpunctual.contains(*customer)) {
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

/// Why the service must set the record aside, if it must; no other bad records are in a load.
pub(super) fn reason_to_set_aside(touchpoint: &Seen) -> Option<&'static str> {
    match serde_json::from_str::<Value>(&touchpoint.text()) {
        Err(_) => Some("not_json"),
        Ok(json) => json["event_id"].as_str().is_some_and(|id| id.starts_with(FUTURE)).then_some("in_future"),
    }
}

/// Whose record it is; `None` of a bad one.
pub(super) fn customer_of(touchpoint: &Seen) -> Option<String> {
    field(touchpoint, "customer_id")
}

/// When it occurred; `None` of a bad one.
pub(super) fn occurred_at(touchpoint: &Seen) -> Option<Timestamp> {
    field(touchpoint, "occurred_at").map(|text| parse_timestamp(&text).expect("an instant"))
}

fn field(touchpoint: &Seen, name: &str) -> Option<String> {
    let json: Value = serde_json::from_str(&touchpoint.text()).ok()?;
    Some(json[name].as_str().expect("a text").to_owned())
}

/// How long after its instant each transition that time alone has brought about was published, of those that were before `end`.
pub(super) fn delays(transitions: &[Seen], end: Timestamp) -> Vec<Duration> {
    let delay = |transition: &Seen| {
        let json: Value = serde_json::from_str(&transition.text()).expect("a transition");
        let at = parse_timestamp(json["occurred_at"].as_str().expect("an instant")).expect("an instant");
        let published = Timestamp::from_millis(transition.timestamp_ms.expect("a time"));
        (json["cause"]["time"] == true && published < end).then(|| published - at)
    };
    transitions.iter().filter_map(delay).collect()
}

/// The partition and the offset from which a dead letter comes, and why it was set aside.
pub(super) fn origin(letter: &Seen) -> (i32, i64, String) {
    let header = |name: &str| {
        let (_, value) = letter.headers.iter().find(|(header, _)| header == name).expect("a header");
        String::from_utf8_lossy(value).into_owned()
    };
    (
        header("lifecycle_partition").parse().expect("a partition"),
        header("lifecycle_offset").parse().expect("an offset"),
        header("lifecycle_reason"),
    )
}
