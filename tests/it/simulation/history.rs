//! Made-up touchpoints of a few customers, and what a run in which nothing goes wrong makes of them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use lifecycle_processor::kafka::PartitionId;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{CustomerView, Effects, Input, Partition, Position, Rejected};
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

/// 2025-01-01T00:00:00Z.
pub(crate) const BEGIN: i64 = 1_735_689_600_000;
const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;
/// The largest record that is read.
pub(crate) const BYTES_MAX: usize = 4096;

/// Four shipped models of different kinds.
pub(crate) static MODELS: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let names = ["retention", "classic_seven", "engagement_cycle", "loyalty_ladder"];
    let sources: Vec<ModelSource> =
        names.iter().map(|name| model_file::shipped(name).expect("a shipped model")).collect();
    let (models, _) =
        model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models have no errors");
    Arc::new(models)
});

/// How facts are counted: customers who never ordered are forgotten, after a longer silence than a repeated record is old.
pub(crate) fn facts() -> FactOptions {
    FactOptions { forget_after: Some(Duration::from_days(30)), ..FactOptions::default() }
}

/// A record of the input topic: whose, and what.
pub(crate) type InputRecord = (String, Option<Vec<u8>>);

/// Records by partition.
pub(crate) type History = Vec<Vec<InputRecord>>;

/// What is to come of a history.
pub(crate) struct Expected {
    /// The ids published, in order, by customer.
    pub(crate) published: BTreeMap<String, Vec<String>>,
    /// How many records are set aside.
    pub(crate) dead_letters: usize,
    /// The customers of each partition.
    pub(crate) customers: Vec<Vec<CustomerView>>,
}

/// A history of `records` touchpoints and some that are none. Times in a partition go back by less than the allowed lateness.
pub(crate) fn history(random: &mut fastrand::Rng, partitions: PartitionId, records: usize) -> History {
    let many = usize::try_from(partitions).expect("no negative partitions");
    let mut history: History = vec![Vec::new(); many];
    let mut clocks = vec![BEGIN; many];
    for number in 0..records {
        let place = random.usize(..many);
        clocks[place] += random.i64(0..4 * DAY);
        let customer_id = format!("customer-{place}-{}", random.u32(..8));
        let occurred_at = clocks[place] - random.i64(0..50 * SECOND);
        let record = match random.u32(..40) {
            0 => broken(random),
            1 | 2 if !history[place].is_empty() => {
                let latest = history[place].len().saturating_sub(5);
                history[place][random.usize(latest..history[place].len())].1.clone()
            }
            _ => Some(touchpoint(random, number, &customer_id, occurred_at)),
        };
        history[place].push((customer_id, record));
    }
    // What is still to come for the others comes when somebody is seen again more than a year later.
    for (place, records) in history.iter_mut().enumerate() {
        let customer_id = format!("customer-{place}-last");
        let last = touchpoint(random, place, &customer_id, clocks[place] + 500 * DAY);
        records.push((customer_id, Some(last)));
    }
    history
}

/// What a single machine makes of each partition, told the time after each record, and in the end that it is `until`.
pub(crate) fn expected(history: &History, until: Option<Timestamp>) -> Expected {
    let mut expected = Expected { published: BTreeMap::new(), dead_letters: 0, customers: Vec::new() };
    let decoder = TouchpointDecoder::new(&MODELS.vocabulary, TouchpointOptions { bytes_max: BYTES_MAX });
    for records in history {
        let facts = facts();
        let lateness = facts.lateness;
        let mut machine = Partition::new(Arc::clone(&MODELS), facts);
        let mut effects = Effects::default();
        for (offset, (_, value)) in (0..).zip(records) {
            let mut scratch = Scratch::default();
            match decoder.decode(value.as_deref().unwrap_or_default(), &mut scratch) {
                Ok(touchpoint) => machine.apply(Input::Touchpoint(&touchpoint), &mut effects),
                Err(malformed) => {
                    let rejected = Rejected { position: Position(offset), reason: malformed.reason };
                    machine.apply(Input::Rejected(rejected), &mut effects)
                }
            };
            if let Some(until) = machine.clock().less(lateness) {
                pass(&mut machine, until, &mut effects);
            }
        }
        if let Some(until) = until {
            pass(&mut machine, until, &mut effects);
        }
        machine.write_batches(0);
        machine.commit();
        for transition in effects.transitions {
            expected.published.entry(transition.customer_id.to_string()).or_default().push(transition.id.to_string());
        }
        expected.dead_letters += effects.dead_letters.len();
        expected.customers.push(machine.customers().collect());
    }
    expected
}

fn pass(machine: &mut Partition, until: Timestamp, effects: &mut Effects) {
    while machine.apply(Input::TimePassed { until, wake_ups_max: 100 }, effects) {}
}

fn touchpoint(random: &mut fastrand::Rng, number: usize, customer_id: &str, occurred_at: i64) -> Vec<u8> {
    let occurred_at = format_timestamp(Timestamp::from_millis(occurred_at));
    let order = random.u32(..6);
    let rest = match random.u32(..12) {
        0..=3 => format!(r#""type":"order_completed","order_id":"{customer_id}-{order}","amount":10,"currency":"USD""#),
        4 => format!(r#""type":"order_refunded","order_id":"{customer_id}-{order}""#),
        5 => format!(r#""type":"feedback_given","score":{},"scale":"nps""#, random.u32(..=10)),
        6 => r#""type":"checkout_started""#.to_owned(),
        7 => r#""type":"referral_shared""#.to_owned(),
        8 => r#""type":"product_used""#.to_owned(),
        9 => r#""type":"account_deleted""#.to_owned(),
        10 => r#""type":"never_heard_of""#.to_owned(),
        11 if random.u32(..4) == 0 => r#""type":"customer_erased""#.to_owned(),
        _ => r#""type":"product_viewed""#.to_owned(),
    };
    format!(r#"{{"event_id":"e{number}","customer_id":"{customer_id}","occurred_at":"{occurred_at}",{rest}}}"#)
        .into_bytes()
}

fn broken(random: &mut fastrand::Rng) -> Option<Vec<u8>> {
    match random.u32(..5) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(b"{\"event_id\":".to_vec()),
        3 => Some(vec![0xff, 0xfe]),
        _ => Some(vec![b' '; BYTES_MAX + 1]),
    }
}
