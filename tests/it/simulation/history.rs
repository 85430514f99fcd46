//! Generates the input records of a run and their arrival times: either plausible touchpoints of a few customers, or
//! the unusual ones of the oracle's generator.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;

use super::run_config::RunConfig;
use crate::oracle::generator;
use crate::oracle::touchpoint::Touchpoint;

/// 2025-01-01T00:00:00Z.
pub(crate) const BEGIN: i64 = 1_735_689_600_000;
const SECOND: i64 = 1000;
pub(crate) const DAY: i64 = 86_400 * SECOND;
/// Maximum size of a record, in bytes.
pub(crate) const BYTES_MAX: usize = 4096;
/// Maximum time from the event until the record arrives: the lateness minus the maximum clock skew.
pub(crate) const DELAY_MAX: i64 = 50 * SECOND;
/// Wall time that passes after the last record: ten years, so that every wake-up becomes due.
pub(crate) const WALL_AFTER: i64 = 3653 * DAY;
/// Approximate number of customers per partition.
const CUSTOMERS: u32 = 8;

/// The models of all runs: four of the shipped ones.
pub(crate) const MODEL_NAMES: [&str; 4] = ["retention", "classic_seven", "engagement_cycle", "loyalty_ladder"];

pub(crate) static MODELS: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let sources: Vec<ModelSource> =
        MODEL_NAMES.iter().map(|name| model_file::shipped(name).expect("a shipped model")).collect();
    let (models, _) =
        model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models have no errors");
    Arc::new(models)
});

/// Returns the fact options. Customers are forgotten only after more time than a duplicate record can take to arrive.
pub(crate) fn facts(forgets_customers: bool) -> FactOptions {
    FactOptions { forget_after: forgets_customers.then(|| Duration::from_days(30)), ..FactOptions::default() }
}

/// A record of the input topic.
#[derive(Clone)]
pub(crate) struct InputRecord {
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
    /// Arrival time by the correct wall clock.
    pub(crate) arrives_at: i64,
    /// Whether the record is a touchpoint that must be applied; others must become dead letters.
    pub(crate) is_valid: bool,
}

/// Records by partition, in arrival order.
pub(crate) type History = Vec<VecDeque<InputRecord>>;

/// Returns the arrival time of the last record.
pub(crate) fn end_of(history: &History) -> i64 {
    history.iter().flatten().map(|record| record.arrives_at).max().unwrap_or(BEGIN)
}

/// Generates touchpoints and some invalid records. No touchpoint arrives later than the lateness allows.
pub(crate) fn history(random: &mut fastrand::Rng, config: &RunConfig) -> History {
    let partitions = usize::try_from(config.partitions).expect("no negative partitions");
    let mut history: History = vec![VecDeque::new(); partitions];
    if config.uses_oracle_generator {
        fill_from_generator(random, &mut history, config.records);
    } else {
        fill(random, &mut history, config);
    }
    add_last(random, &mut history);
    if config.uses_wall_clock() {
        add_future(random, &mut history);
    }
    history
}

/// Adds a last touchpoint to each partition that is not empty.
pub(crate) fn add_last(random: &mut fastrand::Rng, history: &mut History) {
    let partitions = history.len();
    // A last touchpoint, more than a year later, makes the pending wake-ups of the other customers due. Empty
    // partitions stay empty for the whole run.
    for (partition, records) in history.iter_mut().enumerate() {
        let Some(last) = records.back().map(|record| record.arrives_at) else { continue };
        let customer_id = customer_name(partition, partitions, "last");
        let value = touchpoint(random, &format!("last-{partition}"), &customer_id, last + 500 * DAY);
        records.push_back(InputRecord {
            key: customer_id,
            value: Some(value),
            arrives_at: last + 500 * DAY,
            is_valid: true,
        });
    }
}

/// Returns the name of a customer whose touchpoints belong to `partition`.
fn customer_name(partition: usize, partitions: usize, number: &str) -> String {
    let partitions = i32::try_from(partitions).expect("few partitions");
    let mut name = format!("customer-{partition}-{number}");
    while usize::try_from(partition_of(name.as_bytes(), partitions)) != Ok(partition) {
        name.push('x');
    }
    name
}

fn fill(random: &mut fastrand::Rng, history: &mut History, config: &RunConfig) {
    let mut clocks = vec![BEGIN; history.len()];
    // A topic is either busy or quiet.
    let gap_max = [DAY / 24, DAY, 4 * DAY][random.usize(..3)];
    for number in 0..config.records {
        let partition = random.usize(..history.len());
        clocks[partition] += random.i64(0..gap_max);
        let arrives_at = clocks[partition];
        let mut key = customer_name(partition, history.len(), &random.u32(..CUSTOMERS).to_string());
        let occurred_at = arrives_at - random.i64(0..DELAY_MAX);
        let (value, is_valid) = match random.u32(..40) {
            0 => (invalid_value(random), false),
            1 | 2 if !history[partition].is_empty() => {
                let latest = history[partition].len().saturating_sub(5);
                let repeated = &history[partition][random.usize(latest..history[partition].len())];
                key.clone_from(&repeated.key);
                (repeated.value.clone(), repeated.is_valid)
            }
            3 if config.forgets_customers => (Some(erasure(&format!("e{number}"), &key, occurred_at)), true),
            _ => (Some(touchpoint(random, &format!("e{number}"), &key, occurred_at)), true),
        };
        history[partition].push_back(InputRecord { key, value, arrives_at, is_valid });
    }
}

/// Uses the touchpoints of the oracle's generator, without late arrivals.
fn fill_from_generator(random: &mut fastrand::Rng, history: &mut History, records: usize) {
    let mut partitions = BTreeMap::new();
    let mut arrivals = Vec::new();
    // A customer has about fifteen touchpoints.
    for line in generator::histories(random.u64(..), (records / 15).max(1)) {
        let touchpoint = Touchpoint::parse(&line);
        let partition =
            *partitions.entry(touchpoint.customer_id.clone()).or_insert_with(|| random.usize(..history.len()));
        let arrives_at = touchpoint.at + random.i64(0..DELAY_MAX);
        let (key, value) = (touchpoint.customer_id, Some(line.into_bytes()));
        arrivals.push((partition, InputRecord { key, value, arrives_at, is_valid: true }));
        if random.u32(..40) == 0 {
            let bad =
                InputRecord { key: "unknown".to_owned(), value: invalid_value(random), arrives_at, is_valid: false };
            arrivals.push((random.usize(..history.len()), bad));
        }
    }
    arrivals.sort_by_key(|(_, record)| record.arrives_at);
    for (partition, record) in arrivals {
        history[partition].push_back(record);
    }
}

/// Adds touchpoints with an event time after the end of the run, which become dead letters.
fn add_future(random: &mut fastrand::Rng, history: &mut History) {
    let end = end_of(history) + WALL_AFTER;
    for records in history.iter_mut().filter(|records| !records.is_empty()) {
        for number in 0..random.usize(..3) {
            let partition = random.usize(..records.len());
            let arrives_at = records[partition].arrives_at;
            let key = "customer-of-the-future".to_owned();
            let occurred_at = end + random.i64(16 * 60 * SECOND..DAY);
            let value = Some(touchpoint(random, &format!("future-{number}"), &key, occurred_at));
            records.insert(partition, InputRecord { key, value, arrives_at, is_valid: false });
        }
    }
}

pub(crate) fn touchpoint(random: &mut fastrand::Rng, event_id: &str, customer_id: &str, occurred_at: i64) -> Vec<u8> {
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
        _ => r#""type":"product_viewed""#.to_owned(),
    };
    format!(r#"{{"event_id":"{event_id}","customer_id":"{customer_id}","occurred_at":"{occurred_at}",{rest}}}"#)
        .into_bytes()
}

fn erasure(event_id: &str, customer_id: &str, occurred_at: i64) -> Vec<u8> {
    let occurred_at = format_timestamp(Timestamp::from_millis(occurred_at));
    format!(
        r#"{{"event_id":"{event_id}","customer_id":"{customer_id}","occurred_at":"{occurred_at}","type":"customer_erased"}}"#
    )
    .into_bytes()
}

pub(crate) fn invalid_value(random: &mut fastrand::Rng) -> Option<Vec<u8>> {
    match random.u32(..5) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(b"{\"event_id\":".to_vec()),
        3 => Some(vec![0xff, 0xfe]),
        _ => Some(vec![b' '; BYTES_MAX + 1]),
    }
}
