//! The expected result of a run, from two sources: the transitions that the naive oracle computes, and the ids and
//! customers of a partition that processes the same records without faults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{CustomerView, DeadLetter, DeadLetterReason, Effects, Input, Partition, Position};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use super::history::{BYTES_MAX, History, InputRecord, MODEL_NAMES, MODELS, facts};
use crate::oracle::process::{Publication, World};
use crate::oracle::touchpoint::Touchpoint;

/// The default of `clock.lateness`.
pub(crate) const LATENESS: i64 = 60_000;

/// The expected result of a history.
pub(crate) struct Expected {
    /// Publications computed by the oracle, by customer, in order; `None` if the oracle does not support the run.
    pub(crate) publications: Option<BTreeMap<String, Vec<Publication>>>,
    /// Ids of the published transitions, by customer, in order.
    pub(crate) ids: BTreeMap<String, Vec<String>>,
    /// Key and value of the dead letters, by partition, in order.
    pub(crate) dead_letters: Vec<Vec<(String, Option<Vec<u8>>)>>,
    /// The customers of each partition.
    pub(crate) customers: Vec<Vec<CustomerView>>,
    /// Number of input records.
    pub(crate) records: u64,
}

/// Returns the expected result of `history`, with time advancing to `until` at the end.
pub(crate) fn expected(history: &History, forgets_customers: bool, until: Option<i64>) -> Expected {
    let mut expected = Expected { publications: (!forgets_customers).then(BTreeMap::new), ..dead_letters(history) };
    for records in history {
        if let Some(publications) = &mut expected.publications {
            run_oracle(records, until, publications);
        }
        run_undisturbed(records, facts(forgets_customers), until, &mut expected);
    }
    expected
}

/// Returns only the dead letters of `history`, and the number of its records.
pub(crate) fn dead_letters(history: &History) -> Expected {
    let invalid = |records: &VecDeque<InputRecord>| {
        let invalid = records.iter().filter(|record| !record.is_valid);
        invalid.map(|record| (record.key.clone(), record.value.clone())).collect()
    };
    Expected {
        publications: None,
        ids: BTreeMap::new(),
        dead_letters: history.iter().map(invalid).collect(),
        customers: Vec::new(),
        records: history.iter().map(|records| records.len() as u64).sum(),
    }
}

fn run_oracle<'r>(
    records: impl IntoIterator<Item = &'r InputRecord>,
    until: Option<i64>,
    publications: &mut BTreeMap<String, Vec<Publication>>,
) {
    let mut world = World::new(MODEL_NAMES);
    for record in records.into_iter().filter(|record| record.is_valid) {
        let line = record.value.as_deref().and_then(|value| str::from_utf8(value).ok()).expect("a line of JSON");
        world.receive(&Touchpoint::parse(line));
        world.catch_up(LATENESS);
    }
    if let Some(until) = until {
        world.pass_time(until);
    }
    for (id, customer) in world.customers {
        if !customer.publications.is_empty() {
            publications.insert(id, customer.publications);
        }
    }
}

/// Runs one partition without faults; its wake-ups fire after each record.
fn run_undisturbed<'r>(
    records: impl IntoIterator<Item = &'r InputRecord>,
    facts: FactOptions,
    until: Option<i64>,
    expected: &mut Expected,
) {
    let decoder = TouchpointDecoder::new(&MODELS.vocabulary, TouchpointOptions { bytes_max: BYTES_MAX });
    let lateness = facts.lateness;
    let mut machine = Partition::new(Arc::clone(&MODELS), facts);
    let mut effects = Effects::default();
    for (offset, record) in (0..).zip(records) {
        let mut scratch = Scratch::default();
        match decoder.decode(record.value.as_deref().unwrap_or_default(), &mut scratch) {
            Ok(touchpoint) if record.is_valid => machine.apply(Input::Touchpoint(&touchpoint), &mut effects),
            Ok(_) | Err(_) => {
                assert!(!record.is_valid, "a valid record was rejected: {:?}", record.value);
                let dead_letter = DeadLetter { position: Position(offset), reason: DeadLetterReason::InFuture };
                machine.apply(Input::DeadLetter(dead_letter), &mut effects)
            }
        };
        if let Some(until) = machine.clock().watermark(lateness) {
            fire_wake_ups(&mut machine, until, &mut effects);
        }
    }
    if let Some(until) = until {
        fire_wake_ups(&mut machine, Timestamp::from_millis(until), &mut effects);
    }
    machine.write_batches(0);
    machine.commit();
    for transition in effects.transitions {
        expected.ids.entry(transition.customer_id.to_string()).or_default().push(transition.id.to_string());
    }
    expected.customers.push(machine.customers().collect());
}

fn fire_wake_ups(machine: &mut Partition, until: Timestamp, effects: &mut Effects) {
    while machine.apply(Input::TimePassed { until, wake_ups_max: 100 }, effects) {}
}
