//! Checks the result of a run: the records that a read-committed consumer receives, the answers of the workers to
//! queries, and the customers that the next owner of each partition restores.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;

use lifecycle_processor::kafka::{PartitionId, Record};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::partition::Partition;
use lifecycle_processor::runtime::{CustomerAnswer, Options, Query, Worker, is_forwarded};
use lifecycle_processor::wire::changelog::ChangelogDecoder;
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;
use serde_json::Value;

use super::expectation::Expected;
use super::history::MODELS;
use super::log::{CHANGELOG, DEAD_LETTERS, Log, REPLAY, TOUCHPOINTS, TRANSITIONS};
use super::simulated_run::SimulatedRun;
use crate::oracle::process::Publication;
use crate::oracle::touchpoint::micros;

/// Panics unless the run has the expected result.
pub(crate) fn check(run: &Rc<SimulatedRun>, expected: &Expected) {
    {
        let log = run.log.borrow();
        check_transitions(&log, expected);
        check_dead_letters(&log, expected);
        check_forwarded_erasures(&log);
        for (partition, customers) in (0..).zip(&expected.customers) {
            let machine = restore(&log, partition, &run.options, &MODELS);
            let restored: Vec<_> = machine.customers().collect();
            assert_eq!(&restored, customers, "partition {partition} restored from its changelog");
            let stage_counts = machine.stage_counts().to_vec();
            let assigned: Vec<_> =
                run.workers(Worker::status).into_iter().flat_map(|status| status.partitions).collect();
            let known: Vec<_> = assigned.iter().filter(|assigned| assigned.partition == partition).collect();
            assert_eq!(known.len(), 1, "partition {partition} has one owner");
            assert_eq!(known[0].stage_counts, stage_counts, "partition {partition}");
        }
    }
    check_queries(run, expected);
}

/// Checks that no record was counted twice. The last counts of a worker that died may be missing.
pub(crate) fn check_counts(run: &SimulatedRun, expected: &Expected) {
    let forwarded = run.log.borrow().read_all(TOUCHPOINTS).iter().filter(|record| is_forwarded(record)).count() as u64;
    let (consumed, records) = (run.consumed.get(), expected.records + forwarded + run.set_back.get());
    assert!(consumed <= records, "{consumed} of {records} records are counted");
}

/// Checks that each erasure was forwarded once to each other partition, and forwarded ones were not forwarded again.
fn check_forwarded_erasures(log: &Log) {
    let records = log.read_all(TOUCHPOINTS);
    let is_erasure = |record: &&Record| {
        record.value.as_deref().is_some_and(|value| String::from_utf8_lossy(value).contains("\"customer_erased\""))
    };
    let partitions: BTreeSet<_> = records.iter().map(|record| record.partition).collect();
    let mut expected = BTreeSet::new();
    for erasure in records.iter().filter(is_erasure).filter(|record| !is_forwarded(record)) {
        let others = partitions.iter().filter(|&&partition| partition != erasure.partition);
        expected.extend(others.map(|&to| (format!("{}/{}", erasure.partition, erasure.offset), to)));
    }
    let copies = records.iter().filter(|record| is_forwarded(record));
    let found: Vec<_> = copies.map(|record| (from(record), record.partition)).collect();
    assert_eq!(found.len(), expected.len(), "each erasure is forwarded once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// Returns the partition and offset of the original of a forwarded record.
fn from(record: &Record) -> String {
    let header = record.headers.iter().find(|header| header.name == "lifecycle_forwarded_from").expect("a header");
    String::from_utf8(header.value.clone().expect("a value")).expect("text")
}

fn check_transitions(log: &Log, expected: &Expected) {
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut publications: BTreeMap<String, Vec<Publication>> = BTreeMap::new();
    for record in log.read_all(TRANSITIONS) {
        let json: Value = serde_json::from_slice(&record.value.expect("a transition has a value")).expect("it is JSON");
        let customer = text(&json, "customer_id").expect("a customer id");
        assert_eq!(record.key.as_deref(), Some(customer.as_bytes()));
        ids.entry(customer.clone()).or_default().push(text(&json, "transition_id").expect("an id"));
        publications.entry(customer).or_default().push(publication(&json));
    }
    for (customer, expected) in expected.publications.iter().flatten() {
        let found = publications.get(customer).map(Vec::as_slice).unwrap_or_default();
        let common = expected.iter().zip(found).take_while(|(one, other)| one == other).count();
        assert!(
            common == expected.len() && common == found.len(),
            "{customer}: of {} transitions expected and {} found, the first {common} are equal\nexpected {:#?}\nfound {:#?}",
            expected.len(),
            found.len(),
            expected.get(common),
            found.get(common),
        );
    }
    if let Some(expected) = &expected.publications {
        assert_eq!(publications.len(), expected.len(), "customers with publications");
    }
    assert_eq!(ids, expected.ids);
    assert!(log.read_all(REPLAY).is_empty());
}

fn publication(json: &Value) -> Publication {
    let stage = json["kind"] == "stage";
    let touchpoint = json["cause"].get("event_id").is_some();
    Publication {
        model: text(json, "model").expect("a model"),
        kind: ["stage", "milestone", "counter"]
            .into_iter()
            .find(|kind| json["kind"] == *kind)
            .expect("no model of the simulation has signals"),
        name: text(json, "name").expect("a name"),
        from: text(json, "from"),
        to: text(json, "to"),
        skipped: json["skipped"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| it.as_str().expect("a stage").to_owned())
            .collect(),
        direction: ["forward", "backward", "exit", "reentry"]
            .into_iter()
            .find(|word| json["direction"] == **word)
            .filter(|_| stage),
        count: json["count"].as_i64(),
        occurred_at: instant(&json["occurred_at"]).expect("an instant"),
        cause: touchpoint
            .then(|| (text(&json["cause"], "event_id").expect("an id"), text(&json["cause"], "type").expect("a type"))),
        late: json["late"].as_bool().expect("a flag"),
        sequence: json["sequence"].as_u64().expect("a number"),
        previous_since: instant(&json["previous"]["since"]),
        orders: (
            json["orders"]["count"].as_u64().expect("a number"),
            micros(json["orders"]["revenue"].as_str().expect("a decimal")),
            instant(&json["orders"]["last"]),
        ),
    }
}

pub(crate) fn text(json: &Value, field: &str) -> Option<String> {
    json.get(field)?.as_str().map(str::to_owned)
}

fn instant(json: &Value) -> Option<i64> {
    let instant: jiff::Timestamp = json.as_str()?.parse().expect("RFC 3339");
    Some(instant.as_millisecond())
}

pub(crate) fn check_dead_letters(log: &Log, expected: &Expected) {
    let mut found = vec![Vec::new(); expected.dead_letters.len()];
    for record in log.read_all(DEAD_LETTERS) {
        let header =
            record.headers.iter().find(|header| header.name == "lifecycle_partition").expect("the source partition");
        let text = header.value.as_deref().and_then(|value| str::from_utf8(value).ok()).expect("a number");
        let key = String::from_utf8(record.key.expect("a key")).expect("text");
        found[text.parse::<usize>().expect("a number")].push((key, record.value));
    }
    for (partition, (found, expected)) in found.iter().zip(&expected.dead_letters).enumerate() {
        let common = found.iter().zip(expected).take_while(|(one, other)| one == other).count();
        let show = |letters: &[(String, Option<Vec<u8>>)]| {
            letters.get(common).map(|(key, value)| {
                (
                    key.clone(),
                    value.as_deref().map(|value| String::from_utf8_lossy(&value[..value.len().min(400)]).into_owned()),
                )
            })
        };
        assert!(
            common == expected.len() && common == found.len(),
            "partition {partition}: of {} dead letters expected and {} found, the first {common} are equal\nexpected {:?}\nfound {:?}",
            expected.len(),
            found.len(),
            show(expected),
            show(found),
        );
    }
}

/// Queries all workers for each customer: exactly one worker must return it, in the expected state.
fn check_queries(run: &Rc<SimulatedRun>, expected: &Expected) {
    for (partition, customers) in (0..).zip(&expected.customers) {
        for customer in customers {
            let (answer, answers) = channel();
            for slot in run.slots() {
                let customer_id = customer.customer_id.clone();
                let slot = slot.borrow();
                let query_sender = slot.query_sender.as_ref().expect("the worker is alive");
                let answer = answer.clone();
                let answer = Box::new(move |of_worker| answer.send(of_worker).expect("the receiver is alive"));
                query_sender.send(Query::Customer { customer_id, answer }).expect("the worker is alive");
            }
            for slot in 0..run.slots().len() {
                run.step(slot);
            }
            let mut found = Vec::new();
            for answer in answers.try_iter() {
                match answer {
                    CustomerAnswer::Found { partition, customer } => found.push((partition, customer.view())),
                    CustomerAnswer::Unknown | CustomerAnswer::MergedInto(_) => {}
                    CustomerAnswer::Restoring => panic!("the run is idle"),
                }
            }
            assert_eq!(found, [(partition, customer.clone())]);
        }
    }
}

/// Restores the partition from its changelog.
pub(crate) fn restore(log: &Log, partition: PartitionId, options: &Options, models: &Arc<ModelSet>) -> Partition {
    let (_, text) = &log.committed[&partition];
    let metadata = OffsetMetadata::decode(text).expect("valid metadata").expect("metadata of this service");
    let mut machine = Partition::new(Arc::clone(models), options.facts.clone());
    let mut decoder = ChangelogDecoder::default();
    for record in log.read(CHANGELOG, partition, metadata.changelog_start, usize::MAX).0 {
        let value = record.value.expect("a batch has a value");
        let batch = decoder.decode(&value).expect("a valid record");
        machine.restore(&batch.layout, &batch.customers).expect("valid customers");
    }
    machine.end_restore(metadata.clock, Timestamp::MIN);
    machine
}
