//! A load with visitors who become customers and with customers that are merged and split, and its verification.
//!
//! A third of the customers of another load have up to four customer ids, merged in chains and trees, and a part of
//! their touchpoints as visitors on two devices of each id, before and after the links and merges, which are repeated.
//! The ids are in different partitions. What is published of a visitor depends on the order of reading, so only the end
//! is compared: the last stages with those of `replay`, and the number of touchpoints of each person with the records.
//! The ids of one person in four are also split. Whose a touchpoint is then depends on the order of reading as well, so
//! only their total is compared.

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
use super::{Report, Run, STATES_MAX, TIMEOUT, save, verify_at_once};
use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::cli::lifecycle;

/// One customer in this many has visitors.
const LINKED_EVERY: i32 = 3;
/// The ids of one person in this many with several ids are split.
const SPLIT_EVERY: i32 = 4;
/// A run fails with fewer visitors that became customers, or fewer customers that were merged.
const MERGED_MIN: usize = 50;
/// The maximum number of persons with splits whose ids are queried over HTTP.
const SPLIT_PERSONS_MAX: usize = 60;
/// The maximum number of customer ids of a person.
const CUSTOMER_IDS: i32 = 4;
/// What follows the customer id of a person in its other customer ids, and in the ids of its visitors.
const OTHER_ID: &str = "-id-";
const DEVICE: &str = "-device-";

/// A load, a part of whose touchpoints are those of visitors and of other customer ids of a person.
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

/// Returns a number below `below` that depends on the text only.
fn number(text: &str, below: i32) -> i32 {
    partition_of(text.as_bytes(), below)
}

/// Returns the first customer id of the person whose customer or visitor has the id.
fn person_of(id: &str) -> &str {
    let without_device = id.split_once(DEVICE).map_or(id, |(customer, _)| customer);
    without_device.split_once(OTHER_ID).map_or(without_device, |(person, _)| person)
}

/// Returns whether the ids of the person are split.
fn has_splits(person: &str) -> bool {
    number(&format!("{person}%"), SPLIT_EVERY) == 0
}

/// Returns the customer id of a person with the index.
fn customer_id(person: &str, index: i32) -> String {
    if index == 0 { person.to_owned() } else { format!("{person}{OTHER_ID}{index}") }
}

/// Returns the index of the customer id into which the one with `index` is merged: 1 into 0, 2 into 1, 3 into either.
fn merged_into(person: &str, index: i32) -> i32 {
    match index {
        2 => 1,
        3 => number(&format!("{person}+"), 2),
        _ => 0,
    }
}

/// Returns the record, as one of another id of its person if it belongs to one, and links, merges and splits before it.
/// A repeated record has the same result.
fn linked(record: NewRecord) -> Vec<NewRecord> {
    let Ok(mut touchpoint) = serde_json::from_slice::<Value>(record.value.as_deref().unwrap_or_default()) else {
        return vec![record];
    };
    let text = |name: &str| touchpoint[name].as_str().expect("a text").to_owned();
    let (person, event_id, at) = (text("customer_id"), text("event_id"), text("occurred_at"));
    let is_other = record.partition.is_some() || event_id.starts_with(FUTURE_PREFIX);
    if is_other || person.starts_with(CLOCK_AHEAD_PREFIX) || number(&format!("{person}?"), LINKED_EVERY) > 0 {
        return vec![record];
    }
    let command = |kind: &str, customer: &str, other: Option<(&str, &str)>| {
        let mut command = json!({
            "event_id": format!("{kind}-{customer}-{event_id}"), "type": kind, "occurred_at": at,
            "customer_id": customer,
        });
        if let Some((name, id)) = other {
            command[name] = id.into();
        }
        NewRecord::keyed(customer, &command.to_string())
    };
    // Half of the records are those of the first id.
    let index = [0, 0, 0, 0, 1, 1, 2, 3][usize::try_from(number(&format!("{event_id}#"), 8)).expect("an index")];
    let (customer, mut records) = (customer_id(&person, index), Vec::new());
    let merge = |index: i32| {
        let (merged, into) = (customer_id(&person, index), customer_id(&person, merged_into(&person, index)));
        command("customer_merged", &into, Some(("merged_id", &merged)))
    };
    match number(&format!("{event_id}+"), 8) {
        0..2 if index > 0 => records.push(merge(index)),
        2..4 if index > 0 => records.extend([merge(1), merge(index)]),
        4 if index > 0 && has_splits(&person) => records.push(command("customer_split", &customer, None)),
        _ => {}
    }
    let visitor = format!("{customer}{DEVICE}{}", number(&format!("{event_id}?"), 2));
    touchpoint["customer_id"] = customer.as_str().into();
    match number(&format!("{event_id}!"), 8) {
        0..4 => {
            let members = touchpoint.as_object_mut().expect("an object");
            members.remove("customer_id");
            members.insert("anonymous_id".to_owned(), visitor.as_str().into());
            records.push(NewRecord::keyed(&visitor, &touchpoint.to_string()));
        }
        4 => {
            records.push(command("customer_identified", &customer, Some(("anonymous_id", &visitor))));
            records.push(NewRecord::keyed(&customer, &touchpoint.to_string()));
        }
        _ => records.push(NewRecord::keyed(&customer, &touchpoint.to_string())),
    }
    records
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
        let (persons, split_persons) = Person::all(&valid);
        let is_split = |id: &str| split_persons.contains_key(person_of(id));
        let standings = self.replay_persons(load, &valid);
        let expected: BTreeMap<_, _> = standings
            .iter()
            .map(|(key, (stage, _))| (key.clone(), stage.clone()))
            .filter(|((id, _), stage)| !stage.is_null() && !is_split(id))
            .collect();

        // A hand-over takes three commits after everything is read.
        let is_wall_clock = load.clock_source() == "wall";
        let topic = if is_wall_clock { &self.settings.output } else { &self.settings.replay };
        let began = Instant::now();
        let published = loop {
            let published = verification::by_customer(read(topic).iter().map(ConsumedRecord::text));
            let mut found = last_stages(&published);
            found.retain(|(id, _), _| !is_split(id));
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
        let (visitors, customers): (Vec<_>, Vec<_>) = merged.iter().partition(|id| id.contains(DEVICE));
        assert!(
            visitors.len().min(customers.len()) >= MERGED_MIN,
            "only {} visitors became customers, and {} customers were merged",
            visitors.len(),
            customers.len()
        );
        let mut dead_letters: Vec<_> =
            read(&self.settings.dead_letters).iter().map(verification::dead_letter_source).collect();
        dead_letters.sort_unstable();
        let reason = |it: &ConsumedRecord| verification::dead_letter_reason(it).map(str::to_owned);
        let bad: Vec<_> = bad.iter().filter_map(|it| Some((it.partition, it.offset, reason(it)?))).collect();
        assert_eq!(dead_letters, bad, "the dead letters differ from the bad records");
        report.add("touchpoints written, duplicates included", touchpoints.len());
        report.add("transitions, each published once", published.values().map(Vec::len).sum::<usize>());
        report.add("visitors that became customers", visitors.len());
        report.add("customers that were merged into another one", customers.len());
        let starts = |it: &&Value| it["model"] == "counting" && it["sequence"] == 1;
        let again = published.values().filter(|it| it.iter().filter(starts).count() > 1).count();
        report.add("ids that were a customer of their own again after a split", again);
        report.add("last stages of customers in a model, each that of `replay`", expected.len());
        self.verify_persons(fleet, &persons, &standings, report);
        let queried: Vec<_> = split_persons.values().take(SPLIT_PERSONS_MAX).collect();
        verify_at_once(&queried, |person| self.wait_until_counted(fleet, &person.ids, person.events.len()));
        report.add("persons with splits, whose ids have all touchpoints together, none twice", queried.len());
    }

    /// Waits until the customers that the ids are, queried over HTTP, have the number of touchpoints together.
    fn wait_until_counted(&self, fleet: &Fleet, ids: &BTreeSet<String>, expected: usize) {
        let began = Instant::now();
        loop {
            let customers = ids.iter().filter_map(|id| fleet.customer(id));
            let counts = customers.map(|it| (it["customer_id"].to_string(), it["facts"]["count(any)"].clone()));
            let found: BTreeMap<String, Value> = counts.collect();
            if found.values().filter_map(Value::as_u64).sum::<u64>() == expected as u64 {
                return;
            }
            assert!(began.elapsed() < TIMEOUT, "{expected} touchpoints, seed {}, found: {found:?}", self.seed);
        }
    }

    /// Compares persons, queried over HTTP, with `replay`, and the number of their touchpoints with the records.
    fn verify_persons(
        &self,
        fleet: &Fleet,
        persons: &BTreeMap<String, Person>,
        standings: &Standings,
        report: &mut Report,
    ) {
        let (linked, others): (Vec<_>, Vec<_>) = persons.iter().partition(|(_, person)| person.ids.len() > 1);
        let queried: Vec<_> = linked.iter().take(STATES_MAX / 4).chain(others.iter().take(STATES_MAX / 10)).collect();
        verify_at_once(&queried, |(id, person)| {
            // A touchpoint that is forwarded may not change a stage.
            self.wait_until_counted(fleet, &BTreeSet::from([(*id).clone()]), person.events.len());
            let shown = broker::until("an instance returns the customer", || fleet.customer(id));
            for standing in shown["models"].as_array().expect("models") {
                let key = ((*id).clone(), standing["model"].as_str().expect("a model").to_owned());
                let orders = json!([shown["orders"]["count"], shown["orders"]["revenue"]]);
                let found = (standing["stage"].clone(), orders);
                assert_eq!(Some(&found), standings.get(&key), "{id}, seed {}: {shown}", self.seed);
            }
        });
        report.add("persons queried over HTTP, each with all its touchpoints, none twice", queried.len());
        report.add("of those, persons with several ids", linked.len().min(STATES_MAX / 4));
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

/// The ids of a person, and its touchpoints with facts.
#[derive(Default)]
struct Person {
    ids: BTreeSet<String>,
    events: BTreeSet<String>,
}

impl Person {
    /// Returns the persons by the customer that their ids end as, and apart from them those with splits.
    fn all(valid: &[&ConsumedRecord]) -> (BTreeMap<String, Self>, BTreeMap<String, Self>) {
        let records: Vec<Value> = valid.iter().map(|it| serde_json::from_str(&it.text()).expect("JSON")).collect();
        let text = |record: &Value, name: &str| record[name].as_str().map(str::to_owned);
        let mut becomes = BTreeMap::new();
        for record in &records {
            for name in ["anonymous_id", "merged_id"] {
                if let (Some(other), Some(customer)) = (text(record, name), text(record, "customer_id")) {
                    becomes.insert(other, customer);
                }
            }
        }
        let split_ids =
            records.iter().filter(|it| it["type"] == "customer_split").filter_map(|it| text(it, "customer_id"));
        let split: BTreeSet<String> = split_ids.map(|id| person_of(&id).to_owned()).collect();
        let (mut persons, mut split_persons) = (BTreeMap::<String, Self>::new(), BTreeMap::<String, Self>::new());
        for record in &records {
            let id = text(record, "customer_id").or_else(|| text(record, "anonymous_id")).expect("an id");
            let is_command = record["type"] == "customer_merged" || record["type"] == "customer_split";
            if is_command || id.starts_with("marker-") {
                continue;
            }
            let person = if split.contains(person_of(&id)) {
                let person = split_persons.entry(person_of(&id).to_owned()).or_default();
                // An instance without the customer does not answer for its aliases.
                person.ids.extend((0..CUSTOMER_IDS).map(|index| customer_id(person_of(&id), index)));
                person
            } else {
                let last = std::iter::successors(Some(&id), |id| becomes.get(*id)).last();
                persons.entry(last.expect("the first").clone()).or_default()
            };
            person.ids.insert(id);
            person.events.insert(text(record, "event_id").expect("an id"));
        }
        (persons, split_persons)
    }
}
