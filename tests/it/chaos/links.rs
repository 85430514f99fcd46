//! A load with visitors who become customers, and its verification.
//!
//! A third of the customers of another load have a part of their touchpoints as visitors on two devices, before and
//! after the links, which are repeated. Ids and partitions of visitors and customers are independent. What is published
//! of a visitor depends on the order of reading, so only the end is compared: the last stages with those of `replay`,
//! and the number of touchpoints of each person with the records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::wire::time::{format_duration, format_timestamp};
use serde_json::{Value, json};

use super::cluster::Acknowledged;
use super::fleet::Fleet;
use super::load::{CLOCK_AHEAD_PREFIX, FUTURE_PREFIX, Load};
use super::verification::{self, TransitionsByCustomer};
use super::{Report, Run, STATES_MAX, TIMEOUT, save};
use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::cli::lifecycle;

/// One customer in this many has visitors.
const LINKED_EVERY: i32 = 3;
/// A run fails with fewer visitors that became customers.
const MERGED_MIN: usize = 50;

/// A load, a part of whose touchpoints are those of visitors.
pub(super) struct LinkedLoad(pub(super) Box<dyn Load>);

impl Load for LinkedLoad {
    fn clock_source(&self) -> &'static str {
        self.0.clock_source()
    }

    fn lateness(&self) -> Duration {
        self.0.lateness()
    }

    fn models(&self) -> Vec<String> {
        let counting = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/chaos/counting.yaml").to_owned();
        self.0.models().into_iter().chain([counting]).collect()
    }

    fn due(&mut self, elapsed: std::time::Duration) -> Vec<NewRecord> {
        self.0.due(elapsed).into_iter().flat_map(linked).collect()
    }

    fn rest(&mut self) -> Vec<NewRecord> {
        self.0.rest().into_iter().flat_map(linked).collect()
    }

    fn end(&self) -> Timestamp {
        self.0.end()
    }

    fn time_until_last_wake_up(&self) -> std::time::Duration {
        self.0.time_until_last_wake_up()
    }

    fn late_customers(&self, records: &[ConsumedRecord], acknowledged: &Acknowledged) -> BTreeSet<String> {
        self.0.late_customers(records, acknowledged)
    }
}

/// Returns the record, as one of a visitor if it belongs to one, and a link before it. A repeated record has the same
/// result.
fn linked(record: NewRecord) -> Vec<NewRecord> {
    let Ok(mut touchpoint) = serde_json::from_slice::<Value>(record.value.as_deref().unwrap_or_default()) else {
        return vec![record];
    };
    let text = |name: &str| touchpoint[name].as_str().expect("a text").to_owned();
    let (customer, event_id, at) = (text("customer_id"), text("event_id"), text("occurred_at"));
    let is_other = record.partition.is_some() || event_id.starts_with(FUTURE_PREFIX);
    let number = |text: &str, below: i32| partition_of(text.as_bytes(), below);
    if is_other || customer.starts_with(CLOCK_AHEAD_PREFIX) || number(&format!("{customer}?"), LINKED_EVERY) > 0 {
        return vec![record];
    }
    let visitor = format!("{customer}-device-{}", number(&format!("{event_id}?"), 2));
    match number(&format!("{event_id}!"), 8) {
        0..4 => {
            let members = touchpoint.as_object_mut().expect("an object");
            members.remove("customer_id");
            members.insert("anonymous_id".to_owned(), visitor.as_str().into());
            vec![NewRecord::keyed(&visitor, &touchpoint.to_string())]
        }
        4 => {
            let link = json!({
                "event_id": format!("link-{event_id}"), "type": "customer_identified", "occurred_at": at,
                "customer_id": customer, "anonymous_id": visitor,
            });
            vec![NewRecord::keyed(&customer, &link.to_string()), record]
        }
        _ => vec![record],
    }
}

/// The stage in each model and the orders of a person, and the number of its touchpoints.
type Standings = BTreeMap<(String, String), (Value, Value)>;

impl Run {
    /// Compares the end of a run with links with `replay` and with the records.
    pub(super) fn verify_links(&self, load: &dyn Load, fleet: &Fleet, report: &mut Report) {
        let read = |topic: &str| broker::read_at(&self.cluster.bootstrap, topic, "read_committed", TIMEOUT);
        let touchpoints = read(&self.settings.input);
        let (bad, valid): (Vec<_>, Vec<_>) =
            touchpoints.iter().partition(|it| verification::dead_letter_reason(it).is_some());
        let standings = self.replay_persons(load, &valid);
        let expected: BTreeMap<_, _> = standings
            .iter()
            .map(|(key, (stage, _))| (key.clone(), stage.clone()))
            .filter(|(_, it)| !it.is_null())
            .collect();

        // A hand-over takes three commits after everything is read.
        let is_wall_clock = load.clock_source() == "wall";
        let topic = if is_wall_clock { &self.settings.output } else { &self.settings.replay };
        let began = Instant::now();
        let published = loop {
            let published = verification::by_customer(read(topic).iter().map(ConsumedRecord::text));
            let found = last_stages(&published);
            if found == expected {
                break published;
            }
            let differing = |it: &&(String, String)| found.get(*it) != expected.get(*it);
            let keys: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
            let first: Vec<_> =
                keys.into_iter().filter(differing).take(5).map(|it| (it, found.get(it), expected.get(it))).collect();
            assert!(began.elapsed() < TIMEOUT, "stages differ, found and expected: {first:#?}");
        };
        save(&self.logs.path().join("transitions.ndjson"), published.values().flatten().map(Value::to_string));
        verification::assert_exactly_once(&published);
        let merged: BTreeSet<_> = published
            .values()
            .flatten()
            .filter(|it| it["merged_into"].is_string())
            .map(|it| it["customer_id"].to_string())
            .collect();
        assert!(merged.len() >= MERGED_MIN, "only {} visitors became customers", merged.len());
        let mut dead_letters: Vec<_> =
            read(&self.settings.dead_letters).iter().map(verification::dead_letter_source).collect();
        dead_letters.sort_unstable();
        let reason = |it: &ConsumedRecord| verification::dead_letter_reason(it).map(str::to_owned);
        let bad: Vec<_> = bad.iter().filter_map(|it| Some((it.partition, it.offset, reason(it)?))).collect();
        assert_eq!(dead_letters, bad, "the dead letters differ from the bad records");
        report.add("touchpoints written, duplicates included", touchpoints.len());
        report.add("transitions, each published once", published.values().map(Vec::len).sum::<usize>());
        report.add("visitors that became customers", merged.len());
        report.add("customers whose last stages are those of `replay`", expected.len());
        self.verify_persons(fleet, &valid, &standings, report);
    }

    /// Compares persons, queried over HTTP, with `replay`, and the number of their touchpoints with the records.
    fn verify_persons(&self, fleet: &Fleet, valid: &[&ConsumedRecord], standings: &Standings, report: &mut Report) {
        let persons = touchpoints_of_persons(valid);
        let (linked, others): (Vec<_>, Vec<_>) = persons.iter().partition(|(_, person)| person.has_visitor);
        let queried: Vec<_> = linked.iter().take(STATES_MAX / 4).chain(others.iter().take(STATES_MAX / 10)).collect();
        for (id, person) in &queried {
            let shown = broker::until("an instance returns the customer", || fleet.customer(id));
            assert_eq!(shown["facts"]["count(any)"], person.events.len(), "{id}, seed {}: {shown}", self.seed);
            for standing in shown["models"].as_array().expect("models") {
                let key = ((*id).clone(), standing["model"].as_str().expect("a model").to_owned());
                let orders = json!([shown["orders"]["count"], shown["orders"]["revenue"]]);
                let found = (standing["stage"].clone(), orders);
                assert_eq!(Some(&found), standings.get(&key), "{id}, seed {}: {shown}", self.seed);
            }
        }
        report.add("persons queried over HTTP, each with all its touchpoints, none twice", queried.len());
        report.add("of those, persons with visitors", linked.len().min(STATES_MAX / 4));
    }

    /// Returns the standings at the end in `replay`, which reads all records in order of time.
    fn replay_persons(&self, load: &dyn Load, valid: &[&ConsumedRecord]) -> Standings {
        let directory = self.logs.path();
        let mut records: Vec<_> =
            valid.iter().map(|it| (verification::occurred_at(it).expect("a time"), it.text())).collect();
        records.sort();
        save(&directory.join("touchpoints.ndjson"), records.into_iter().map(|(_, text)| text));
        let models = self.settings.models.join(", ");
        // The configuration requires the address, though nothing is read from Kafka.
        let brokers = &self.cluster.bootstrap;
        let text = format!("kafka: {{bootstrap_servers: \"{brokers}\"}}\n{IDENTITY}models: [{models}]\n");
        std::fs::write(directory.join("replay.yaml"), text).expect("the configuration is written");
        let (lateness, end) = (format_duration(load.lateness()), format_timestamp(load.end()));
        let arguments = ["replay", "--config", "replay.yaml", "--lateness", &lateness, "--until", &end];
        let arguments = [&arguments[..], &["--output", "standings", "touchpoints.ndjson"]].concat();
        let run = lifecycle(directory, &arguments, b"");
        assert_eq!(run.code, 0, "{}", run.errors);
        let standing = |line: &str| {
            let it: Value = serde_json::from_str(line).expect("JSON");
            let text = |name: &str| it[name].as_str().expect("a text").to_owned();
            let orders = json!([it["orders"], it["revenue"]]);
            ((text("customer_id"), text("model")), (it["stage"].clone(), orders))
        };
        run.output.lines().map(standing).filter(|((id, _), _)| !id.starts_with("marker-")).collect()
    }
}

/// The settings of identity resolution: stubs last longer than the years of a load.
pub(super) const IDENTITY: &str = "identity: {enabled: true, stub_lifetime: 36500d}\n";

/// Returns the last stage of each customer in each model; those in no stage are left out.
fn last_stages(published: &TransitionsByCustomer) -> BTreeMap<(String, String), Value> {
    let of_customer = |(id, transitions): (&String, &Vec<Value>)| {
        let id = id.clone();
        verification::stages(transitions).into_iter().map(move |(model, stage)| ((id.clone(), model), stage))
    };
    published.iter().flat_map(of_customer).filter(|(_, stage)| !stage.is_null()).collect()
}

/// The touchpoints of a person.
#[derive(Default)]
struct Person {
    events: BTreeSet<String>,
    has_visitor: bool,
}

/// Returns the touchpoints of each customer and its visitors, and of each visitor without a link.
fn touchpoints_of_persons(valid: &[&ConsumedRecord]) -> BTreeMap<String, Person> {
    let records: Vec<Value> = valid.iter().map(|it| serde_json::from_str(&it.text()).expect("JSON")).collect();
    let text = |record: &Value, name: &str| record[name].as_str().map(str::to_owned);
    let customers: BTreeMap<String, String> = records
        .iter()
        .filter_map(|record| Some((text(record, "anonymous_id")?, text(record, "customer_id")?)))
        .collect();
    let mut persons = BTreeMap::<String, Person>::new();
    for record in &records {
        let visitor = text(record, "anonymous_id");
        let id = text(record, "customer_id").or(visitor.clone()).expect("an id");
        let owner = customers.get(&id).unwrap_or(&id);
        if owner.starts_with("marker-") {
            continue;
        }
        let person = persons.entry(owner.clone()).or_default();
        person.has_visitor |= visitor.is_some_and(|visitor| visitor != *owner);
        person.events.insert(text(record, "event_id").expect("an id"));
    }
    persons
}
