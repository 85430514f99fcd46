//! What a run in which nothing goes wrong would lead to: as the naive oracle has it, and as a partition alone has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{CustomerView, Effects, Input, Partition, Position, Reason, Rejected};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use super::history::{BYTES_MAX, History, InputRecord, MODEL_NAMES, MODELS, facts};
use crate::oracle::process::{Publication, World};
use crate::oracle::touchpoint::Touchpoint;

/// The default of `clock.lateness`.
const LATENESS: i64 = 60_000;

/// What a history is to lead to.
pub(crate) struct Expected {
    /// What the oracle publishes, in order, by customer; nothing where it cannot be asked.
    pub(crate) publications: Option<BTreeMap<String, Vec<Publication>>>,
    /// The ids published, in order, by customer.
    pub(crate) ids: BTreeMap<String, Vec<String>>,
    /// Key and value of what is set aside, in order, by partition.
    pub(crate) dead_letters: Vec<Vec<(String, Option<Vec<u8>>)>>,
    /// The customers of each partition.
    pub(crate) customers: Vec<Vec<CustomerView>>,
    /// How many records there are.
    pub(crate) records: u64,
    /// Whether customers are forgotten.
    pub(crate) forgets: bool,
}

/// What is to come of a history, if in the end it is `until`.
pub(crate) fn expected(history: &History, forgets: bool, until: Option<i64>) -> Expected {
    let mut expected = Expected {
        publications: (!forgets).then(BTreeMap::new),
        ids: BTreeMap::new(),
        dead_letters: Vec::new(),
        customers: Vec::new(),
        forgets,
        records: history.iter().map(|records| records.len() as u64).sum(),
    };
    for records in history {
        let bad = records.iter().filter(|record| !record.is_good);
        expected.dead_letters.push(bad.map(|record| (record.key.clone(), record.value.clone())).collect());
        if let Some(publications) = &mut expected.publications {
            ask_oracle(records, until, publications);
        }
        run_alone(records, facts(forgets), until, &mut expected);
    }
    expected
}

fn ask_oracle<'r>(
    records: impl IntoIterator<Item = &'r InputRecord>,
    until: Option<i64>,
    publications: &mut BTreeMap<String, Vec<Publication>>,
) {
    let mut world = World::new(MODEL_NAMES);
    for record in records.into_iter().filter(|record| record.is_good) {
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

/// One partition that nothing disturbs, told the time after each record.
fn run_alone<'r>(
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
            Ok(touchpoint) if record.is_good => machine.apply(Input::Touchpoint(&touchpoint), &mut effects),
            Ok(_) | Err(_) => {
                assert!(!record.is_good, "a good line is refused: {:?}", record.value);
                let rejected = Rejected { position: Position(offset), reason: Reason::InFuture };
                machine.apply(Input::Rejected(rejected), &mut effects)
            }
        };
        if let Some(until) = machine.clock().less(lateness) {
            pass(&mut machine, until, &mut effects);
        }
    }
    if let Some(until) = until {
        pass(&mut machine, Timestamp::from_millis(until), &mut effects);
    }
    machine.write_batches(0);
    machine.commit();
    for transition in effects.transitions {
        expected.ids.entry(transition.customer_id.to_string()).or_default().push(transition.id.to_string());
    }
    expected.customers.push(machine.customers().collect());
}

fn pass(machine: &mut Partition, until: Timestamp, effects: &mut Effects) {
    while machine.apply(Input::TimePassed { until, wake_ups_max: 100 }, effects) {}
}
