//! Runs with links and merges: each person has customers and visitors, whose touchpoints are in several partitions.
//!
//! Each visitor has one customer. So at the end there must be one customer for each set of ids that links and merges
//! connect, with the facts of all its touchpoints, whatever the order in which the partitions were read and the
//! hand-overs applied. Which of the customers of a set it is, is determined unless they are merged in a circle, or one
//! of them into several others. If links contradict each other, each touchpoint must count once, and an erasure of all
//! ids leaves nothing; so it must if customers are split, forgotten, or erased in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use lifecycle_processor::kafka::PartitionId;
use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::lifecycle::identity::Identity;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::value::OwnedValue;
use lifecycle_processor::partition::{CustomerView, Partition};
use lifecycle_processor::runtime::Worker;
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;
use serde_json::{Value, json};

use super::expectation::LATENESS;
use super::history::{
    BEGIN, DAY, DELAY_MAX, History, InputRecord, MODEL_NAMES, add_last, end_of, invalid_value, touchpoint,
};
use super::log::{HAND_OVERS, TRANSITIONS};
use super::result_check::{restore, text};
use super::run_config::{Merges, RunConfig};
use super::simulated_run::SimulatedRun;
use crate::oracle::models::MODELS as ORACLE_MODELS;
use crate::oracle::process::Customer;
use crate::oracle::touchpoint::Touchpoint;

/// The models of the other runs, and one that counts all touchpoints.
pub(crate) static MODELS: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let text = "model: counting\nversion: 1\njourney: [known]\nfacts:\n  seen: count(any)\n\
                stages:\n  - stage: known\n    when: seen >= 1\n\
                milestones:\n  - milestone: third\n    when: seen >= 3\n";
    let counting = ModelSource { name: "counting.yaml".to_owned(), text: text.to_owned() };
    let shipped = MODEL_NAMES.iter().map(|name| model_file::shipped(name).expect("a shipped model"));
    let sources: Vec<ModelSource> = shipped.chain([counting]).collect();
    let (models, _) =
        model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("the models have no errors");
    Arc::new(models)
});

/// Approximate number of persons per partition.
const PERSONS: usize = 4;

/// The number of persons whose customers [`Merges::Any`] merges with each other. Their orders stay within the number
/// that a customer keeps individually.
const GROUP: usize = 3;

/// Generates the touchpoints of persons, links, merges, splits and erasures of their ids, repetitions, records in the
/// partition of another id, and invalid records.
pub(crate) fn history(random: &mut fastrand::Rng, config: &RunConfig) -> History {
    let partitions = usize::try_from(config.partitions).expect("no negative partitions");
    let mut history: History = vec![VecDeque::new(); partitions];
    let mut clocks = vec![BEGIN; partitions];
    let gap_max = [DAY / 24, DAY, 4 * DAY][random.usize(..3)];
    // A removal is remembered for 90 days. Facts that arrive later would publish the same transitions again.
    let gap_max = if config.forgets_customers { gap_max.min(DAY) } else { gap_max };
    for number in 0..config.records {
        let index = random.usize(..PERSONS * partitions);
        let person = format!("person-{index}");
        let own = [person.clone(), format!("{person}-b"), format!("{person}-c")];
        let visitor_number = random.usize(..3);
        let visitor = format!("{person}-visitor-{visitor_number}");
        let with_merges = config.merges != Merges::None;
        let customer = &own[if with_merges { random.usize(..own.len()) } else { 0 }];
        // Each visitor has one customer.
        let claimant = &own[if with_merges { visitor_number } else { 0 }];
        let other = format!("person-{}", index / GROUP * GROUP + random.usize(..GROUP));
        let (from, into) = match config.merges {
            Merges::Any if random.bool() => (&person, &other),
            _ => [(&own[1], &own[0]), (&own[2], &own[1])][random.usize(..2)],
        };
        let is_merge = with_merges && random.u32(..8) == 0;
        // Which customer an id belongs to after a split depends on the order in which the partitions are read.
        let is_split = is_merge && config.has_conflicts && random.u32(..3) == 0;
        let is_link = !is_merge && random.u32(..6) == 0;
        // Which touchpoints an erasure removes depends on that order as well, so at the end all must be erased.
        let is_erasure = config.erases_all && !is_merge && !is_link && random.u32(..16) == 0;
        let key = match () {
            () if is_split => from,
            () if is_merge => into,
            () if is_link => claimant,
            () if random.bool() => customer,
            () => &visitor,
        };
        let home = partition_of(key.as_bytes(), config.partitions);
        let home = usize::try_from(home).expect("no negative partitions");
        // With conflicts, a repetition could reach its partition long after the original, when the stub has ended.
        let is_misplaced = !config.has_conflicts && random.u32(..16) == 0;
        let partition = if is_misplaced { random.usize(..partitions) } else { home };
        clocks[partition] += random.i64(0..gap_max);
        let arrives_at = clocks[partition];
        let occurred_at = arrives_at - random.i64(0..DELAY_MAX);
        let value = touchpoint(random, &format!("e{number}"), &person, occurred_at);
        let mut value: Value = serde_json::from_slice(&value).expect("JSON");
        value["customer_id"] = key.as_str().into();
        if is_split {
            value["type"] = "customer_split".into();
        } else if is_merge {
            value["type"] = "customer_merged".into();
            value["merged_id"] = from.as_str().into();
        } else if is_link {
            value["type"] = "customer_identified".into();
            let is_contradictory = config.has_conflicts && random.u32(..4) == 0;
            let other = format!("person-{}-visitor-{}", random.usize(..PERSONS * partitions), random.u32(..3));
            value["anonymous_id"] = if is_contradictory { other } else { visitor.clone() }.into();
        } else if is_erasure {
            value["type"] = "customer_erased".into();
        }
        if *key == visitor {
            value["anonymous_id"] = value["customer_id"].take();
        }
        let value = value.to_string();
        let record = InputRecord { key: key.clone(), value: Some(value.into_bytes()), arrives_at, is_valid: true };
        let records = &mut history[partition];
        let record = match random.u32(..30) {
            0 => InputRecord { value: invalid_value(random), is_valid: false, ..record },
            1 | 2 if !records.is_empty() => {
                let latest = records.len().saturating_sub(5);
                InputRecord { arrives_at, ..records[random.usize(latest..records.len())].clone() }
            }
            _ => record,
        };
        records.push_back(record);
    }
    if config.erases_all {
        add_erasures(&mut history);
    } else {
        add_last(random, &mut history);
    }
    history
}

/// Returns all ids, each with the name of its field.
fn all_ids(partitions: usize) -> impl Iterator<Item = (&'static str, String)> {
    // Those of the last group as well.
    (0..(PERSONS * partitions).next_multiple_of(GROUP)).flat_map(|person| {
        let visitors = (0..3).map(move |visitor| ("anonymous_id", format!("person-{person}-visitor-{visitor}")));
        let customers = ["", "-b", "-c"].map(|suffix| ("customer_id", format!("person-{person}{suffix}")));
        visitors.chain(customers)
    })
}

/// Erases all ids, later than all other touchpoints.
fn add_erasures(history: &mut History) {
    let (partitions, end) = (history.len(), end_of(history) + 1);
    for (number, (field, id)) in all_ids(partitions).enumerate() {
        let occurred_at = format_timestamp(Timestamp::from_millis(end));
        let mut erasure =
            json!({"event_id": format!("erasure-{number}"), "type": "customer_erased", "occurred_at": occurred_at});
        erasure[field] = id.as_str().into();
        let count = PartitionId::try_from(partitions).expect("few partitions");
        let home = usize::try_from(partition_of(id.as_bytes(), count)).expect("no negative partitions");
        let value = Some(erasure.to_string().into_bytes());
        history[home].push_back(InputRecord { key: id, value, arrives_at: end, is_valid: true });
    }
}

/// The sets of ids that links and merges connect.
struct Connected {
    /// The name of the set of each id.
    set_of: BTreeMap<String, String>,
    /// The customers into which each customer is merged.
    merges: BTreeMap<String, BTreeSet<String>>,
    /// The touchpoints with facts, by set.
    touchpoints: BTreeMap<String, Vec<Touchpoint>>,
}

impl Connected {
    fn of(history: &History) -> Self {
        let lines = history.iter().flatten().filter(|record| record.is_valid);
        let lines: Vec<Value> = lines
            .map(|record| serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON"))
            .collect();
        let ids = |line: &Value| ["customer_id", "anonymous_id", "merged_id"].map(|name| text(line, name));
        let (mut set_of, mut merges) = (BTreeMap::new(), BTreeMap::<String, BTreeSet<String>>::new());
        for line in &lines {
            let named: Vec<String> = ids(line).into_iter().flatten().collect();
            for id in &named {
                set_of.entry(id.clone()).or_insert_with(|| id.clone());
            }
            if let [one, other] = &named[..] {
                let (one, other) = (set_of[one].clone(), set_of[other].clone());
                set_of.values_mut().filter(|set| **set == other).for_each(|set| set.clone_from(&one));
            }
            if let [Some(into), _, Some(from)] = ids(line)
                && into != from
            {
                merges.entry(from).or_default().insert(into);
            }
        }
        let mut touchpoints: BTreeMap<String, Vec<Touchpoint>> = BTreeMap::new();
        let has_facts = |line: &Value| line["type"] != "customer_merged" && line["type"] != "customer_split";
        for mut line in lines.into_iter().filter(has_facts) {
            let id = ids(&line).into_iter().flatten().next().expect("an id");
            let set = &set_of[&id];
            line["customer_id"] = set.as_str().into();
            touchpoints.entry(set.clone()).or_default().push(Touchpoint::parse(&line.to_string()));
        }
        Self { set_of, merges, touchpoints }
    }

    /// Returns the customers that a set may end as: the one that is not merged into another, if each is merged at most
    /// once and not in a circle.
    fn may_end_as(&self, set: &str) -> Vec<&String> {
        let ids = self.set_of.iter().filter(|(_, of)| *of == set).map(|(id, _)| id);
        let customers: Vec<&String> = ids.filter(|id| !id.contains("visitor")).collect();
        let sinks: Vec<&String> = customers.iter().copied().filter(|id| !self.merges.contains_key(*id)).collect();
        let is_forest = customers.iter().all(|id| self.merges.get(*id).is_none_or(|into| into.len() == 1));
        match customers.len() {
            0 => self.set_of.keys().filter(|id| self.set_of[*id] == set).collect(),
            _ if is_forest && sinks.len() == 1 => sinks,
            _ => customers,
        }
    }
}

/// Panics unless there is one customer for each set of connected ids, with the union of the facts of its ids.
pub(crate) fn check(run: &Rc<SimulatedRun>, config: &RunConfig, history: &History, until: Option<i64>) {
    let connected = Connected::of(history);
    let mut found: BTreeMap<String, (CustomerView, i64)> = BTreeMap::new();
    for partition in 0..config.partitions {
        let machine = restore(&run.log.borrow(), partition, &config.options(), &MODELS);
        let watermark = until.or(machine.clock().stream_time().map(Timestamp::as_millis)).map(|end| end - LATENESS);
        check_owner(run, partition, machine.stage_counts());
        for view in machine.customers() {
            let now = watermark.unwrap_or(i64::MIN).max(view.clock.as_millis());
            let id = view.customer_id.to_string();
            assert_eq!(partition_of(id.as_bytes(), config.partitions), partition, "{id} is in its partition");
            assert!(found.insert(id.clone(), (view, now)).is_none(), "{id} is in one partition");
        }
    }
    assert_eq!(found.len(), connected.touchpoints.len(), "{:?}", found.keys());
    for (set, touchpoints) in &connected.touchpoints {
        let may_end_as = connected.may_end_as(set);
        let id = may_end_as.iter().find(|id| found.contains_key(**id));
        let id = *id.unwrap_or_else(|| panic!("none of {may_end_as:?} is known: {:?}", found.keys()));
        let (view, now) = &found[id];
        let mut customer = Customer::new();
        for touchpoint in touchpoints {
            customer.receive(touchpoint, &[]);
        }
        let events: BTreeSet<&String> = touchpoints.iter().map(|touchpoint| &touchpoint.event_id).collect();
        let expected = customer.stages_at(*now);
        for (model, view) in MODELS.models.iter().zip(&view.models) {
            let stage = view.stage.map(|stage| &*model.stage(stage).name);
            if let Some(index) = ORACLE_MODELS.iter().position(|it| it.name == &*model.name) {
                assert_eq!(stage, expected[index], "{id} in {} at {now}", model.name);
            }
        }
        let orders = (view.orders.count, view.orders.revenue.as_micros(), view.orders.last.map(Timestamp::as_millis));
        assert_eq!(orders, customer.orders(), "orders of {id}");
        assert_eq!(usize::try_from(seen(view)), Ok(events.len()), "touchpoints of {id}");
    }
    check_publications(run, &found, config.merges == Merges::Any);
}

/// Panics unless each touchpoint counts once, or all customers and all that refers to them are erased.
pub(crate) fn check_conflicts(run: &Rc<SimulatedRun>, config: &RunConfig, history: &History) {
    let machines: Vec<Partition> = (0..config.partitions)
        .map(|partition| {
            let machine = restore(&run.log.borrow(), partition, &config.options(), &MODELS);
            check_owner(run, partition, machine.stage_counts());
            machine
        })
        .collect();
    let identity = |id: &str| {
        let home = usize::try_from(partition_of(id.as_bytes(), config.partitions)).expect("no negative partitions");
        machines[home].identity(id).unwrap_or_default()
    };
    let ids = all_ids(machines.len()).map(|(_, id)| id);
    let customers: Vec<CustomerView> = machines.iter().flat_map(Partition::customers).collect();
    if config.erases_all {
        assert!(customers.is_empty(), "{customers:#?}");
        for id in ids {
            let Identity { stub, former, aliases, .. } = identity(&id);
            // A former stub of an erased customer ends soon.
            let has_former = former.as_ref().is_some_and(|former| former.ends_at.is_none());
            assert!(stub.is_none() && !has_former && aliases.is_empty(), "{id}: {stub:?} {former:?} {aliases:?}");
        }
    } else {
        let touchpoints = Connected::of(history).touchpoints.into_values().flatten();
        let events: BTreeSet<String> = touchpoints.map(|touchpoint| touchpoint.event_id).collect();
        let total: i64 = customers.iter().map(seen).sum();
        assert_eq!(usize::try_from(total), Ok(events.len()), "{customers:#?}");
        for id in ids {
            if let Some(stub) = identity(&id).stub {
                let aliases = identity(&stub.into).aliases;
                let is_known = aliases.iter().any(|alias| *alias.id == *id && alias.drain == stub.drain);
                assert!(is_known, "{id} is a stub of {}, which has {aliases:?}", stub.into);
            }
        }
    }
    let mut published = BTreeSet::new();
    for record in run.log.borrow().read_all(TRANSITIONS) {
        let json: Value = serde_json::from_slice(&record.value.expect("a transition has a value")).expect("it is JSON");
        assert!(published.insert(text(&json, "transition_id")), "{json}");
    }
}

/// Returns the number of touchpoints of the customer.
fn seen(view: &CustomerView) -> i64 {
    let seen = view.facts.iter().find(|fact| &*fact.name == "count(any)").expect("a fact of the model");
    if let Some(OwnedValue::Int(count)) = seen.value { count } else { 0 }
}

/// Checks that the partition has one owner, with these stage counts.
fn check_owner(run: &Rc<SimulatedRun>, partition: PartitionId, stage_counts: &[Vec<u64>]) {
    let assigned: Vec<_> = run.workers(Worker::status).into_iter().flat_map(|status| status.partitions).collect();
    let known: Vec<_> = assigned.iter().filter(|assigned| assigned.partition == partition).collect();
    assert_eq!(known.len(), 1, "partition {partition} has one owner");
    assert_eq!(known[0].stage_counts, stage_counts, "partition {partition}");
}

/// Checks that every transition was published once, that sequence numbers follow one another, that no milestone is
/// repeated, also not by the customer that another one was merged into, and that the last published stage is that of
/// the customer.
fn check_publications(
    run: &Rc<SimulatedRun>,
    customers: &BTreeMap<String, (CustomerView, i64)>,
    is_circle_possible: bool,
) {
    let mut ids = BTreeSet::new();
    let mut milestones = BTreeSet::new();
    // The milestones that a customer published with a merge, by the id that was merged.
    let mut taken_in = Vec::new();
    let mut latest: BTreeMap<(String, String), (u64, Option<String>)> = BTreeMap::new();
    for record in run.log.borrow().read_all(TRANSITIONS) {
        let json: Value = serde_json::from_slice(&record.value.expect("a transition has a value")).expect("it is JSON");
        assert!(ids.insert(text(&json, "transition_id")), "{json}");
        let key = (text(&json, "customer_id").expect("an id"), text(&json, "model").expect("a model"));
        let (sequence, stage) = latest.entry(key.clone()).or_default();
        // A customer that comes back out of a circle of merges starts again.
        if json["sequence"] == 1 && is_circle_possible {
            *sequence = 0;
        }
        assert_eq!(json["sequence"].as_u64(), Some(*sequence + 1), "{json}");
        *sequence += 1;
        match json["kind"].as_str() {
            Some("stage") => *stage = text(&json, "to"),
            Some("milestone") => {
                if let Some(from) = text(&json, "merged_from") {
                    taken_in.push(((from, key.1.clone()), text(&json, "name")));
                }
                assert!(milestones.insert((key, text(&json, "name"))), "{json}");
            }
            _ => {}
        }
    }
    for milestone in taken_in {
        assert!(!milestones.contains(&milestone), "published by both: {milestone:?}");
    }
    for ((id, model), (_, stage)) in latest {
        let view = customers.get(&id).map(|(view, _)| {
            let index = MODELS.models.iter().position(|it| *it.name == *model).expect("a known model");
            view.models[index].stage.map(|stage| MODELS.models[index].stage(stage).name.to_string())
        });
        // An id whose facts moved is in no stage.
        assert_eq!(stage, view.flatten(), "{id} in {model}");
    }
}

/// Returns whether all hand-overs have been applied and committed.
pub(crate) fn are_handed_over(run: &SimulatedRun, partitions: PartitionId) -> bool {
    let log = run.log.borrow();
    (0..partitions).all(|partition| {
        let committed = log.committed.get(&partition).map(|(_, text)| text.as_str()).unwrap_or_default();
        let end = log.high_watermark(HAND_OVERS, partition);
        log.has_no_open_transactions(HAND_OVERS, partition)
            && (end == 0 || committed.contains(&format!(" hand_overs={end} ")))
    })
}
