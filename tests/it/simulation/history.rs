//! The touchpoints of a run, and when each comes: believable ones of a few customers, or those of the oracle's generator.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;

use super::setting::Setting;
use crate::oracle::generator;
use crate::oracle::touchpoint::Touchpoint;

/// 2025-01-01T00:00:00Z.
pub(crate) const BEGIN: i64 = 1_735_689_600_000;
const SECOND: i64 = 1000;
pub(crate) const DAY: i64 = 86_400 * SECOND;
/// The largest record that is read.
pub(crate) const BYTES_MAX: usize = 4096;
/// How long a touchpoint may be on its way to the topic; the lateness that is allowed less what clocks may differ by.
const DELAY_MAX: i64 = 50 * SECOND;
/// How much wall time passes after the last record: ten years, in which every wake-up falls due.
pub(crate) const WALL_AFTER: i64 = 3653 * DAY;
/// How many customers a partition has, about.
const CUSTOMERS: u32 = 8;

/// The names of the models: four shipped ones of different kinds.
pub(crate) const MODEL_NAMES: [&str; 4] = ["retention", "classic_seven", "engagement_cycle", "loyalty_ladder"];

pub(crate) static MODELS: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let sources: Vec<ModelSource> =
        MODEL_NAMES.iter().map(|name| model_file::shipped(name).expect("a shipped model")).collect();
    let (models, _) =
        model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models have no errors");
    Arc::new(models)
});

/// How facts are counted; where customers are forgotten, after a longer silence than a repeated record is old.
pub(crate) fn facts(forgets: bool) -> FactOptions {
    FactOptions { forget_after: forgets.then(|| Duration::from_days(30)), ..FactOptions::default() }
}

/// A record of the input topic.
#[derive(Clone)]
pub(crate) struct InputRecord {
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
    /// When it comes, by the true wall clock.
    pub(crate) arrives_at: i64,
    /// Whether it is a touchpoint, and to be applied.
    pub(crate) is_good: bool,
}

/// Records by partition, in the order in which they come.
pub(crate) type History = Vec<VecDeque<InputRecord>>;

/// When the last record has come.
pub(crate) fn end_of(history: &History) -> i64 {
    history.iter().flatten().map(|record| record.arrives_at).max().unwrap_or(BEGIN)
}

/// Touchpoints, and some records that are none. None comes later than the lateness allows.
pub(crate) fn history(random: &mut fastrand::Rng, setting: &Setting) -> History {
    let many = usize::try_from(setting.partitions).expect("no negative partitions");
    let mut history: History = vec![VecDeque::new(); many];
    if setting.is_adversarial {
        fill_from_generator(random, &mut history, setting.records);
    } else {
        fill(random, &mut history, setting);
    }
    // What is still to come for the others comes when somebody is seen again more than a year later. A topic may also
    // have a partition in which nothing ever was.
    for (place, records) in history.iter_mut().enumerate() {
        let Some(last) = records.back().map(|record| record.arrives_at) else { continue };
        let customer_id = format!("customer-{place}-last");
        let value = touchpoint(random, &format!("last-{place}"), &customer_id, last + 500 * DAY);
        records.push_back(InputRecord {
            key: customer_id,
            value: Some(value),
            arrives_at: last + 500 * DAY,
            is_good: true,
        });
    }
    if setting.is_by_wall() {
        add_future(random, &mut history);
    }
    history
}

fn fill(random: &mut fastrand::Rng, history: &mut History, setting: &Setting) {
    let mut clocks = vec![BEGIN; history.len()];
    // Some topics are busy and some are not.
    let gap_max = [DAY / 24, DAY, 4 * DAY][random.usize(..3)];
    for number in 0..setting.records {
        let place = random.usize(..history.len());
        clocks[place] += random.i64(0..gap_max);
        let arrives_at = clocks[place];
        let mut key = format!("customer-{place}-{}", random.u32(..CUSTOMERS));
        let occurred_at = arrives_at - random.i64(0..DELAY_MAX);
        let (value, is_good) = match random.u32(..40) {
            0 => (broken(random), false),
            1 | 2 if !history[place].is_empty() => {
                let latest = history[place].len().saturating_sub(5);
                let repeated = &history[place][random.usize(latest..history[place].len())];
                key.clone_from(&repeated.key);
                (repeated.value.clone(), repeated.is_good)
            }
            3 if setting.forgets => (Some(erasure(&format!("e{number}"), &key, occurred_at)), true),
            _ => (Some(touchpoint(random, &format!("e{number}"), &key, occurred_at)), true),
        };
        history[place].push_back(InputRecord { key, value, arrives_at, is_good });
    }
}

/// The generator's touchpoints with all their oddities, but in time.
fn fill_from_generator(random: &mut fastrand::Rng, history: &mut History, records: usize) {
    let mut places = BTreeMap::new();
    let mut arrivals = Vec::new();
    // A customer has fifteen touchpoints, about.
    for line in generator::histories(random.u64(..), (records / 15).max(1)) {
        let touchpoint = Touchpoint::parse(&line);
        let place = *places.entry(touchpoint.customer_id.clone()).or_insert_with(|| random.usize(..history.len()));
        let arrives_at = touchpoint.at + random.i64(0..DELAY_MAX);
        let (key, value) = (touchpoint.customer_id, Some(line.into_bytes()));
        arrivals.push((place, InputRecord { key, value, arrives_at, is_good: true }));
        if random.u32(..40) == 0 {
            let bad = InputRecord { key: "nobody".to_owned(), value: broken(random), arrives_at, is_good: false };
            arrivals.push((random.usize(..history.len()), bad));
        }
    }
    arrivals.sort_by_key(|(_, record)| record.arrives_at);
    for (place, record) in arrivals {
        history[place].push_back(record);
    }
}

/// Adds touchpoints of a time that has not come yet when the run ends: what lies ahead is judged when it is read.
fn add_future(random: &mut fastrand::Rng, history: &mut History) {
    let end = end_of(history) + WALL_AFTER;
    for records in history.iter_mut().filter(|records| !records.is_empty()) {
        for number in 0..random.usize(..3) {
            let place = random.usize(..records.len());
            let arrives_at = records[place].arrives_at;
            let key = "customer-of-the-future".to_owned();
            let occurred_at = end + random.i64(16 * 60 * SECOND..DAY);
            let value = Some(touchpoint(random, &format!("future-{number}"), &key, occurred_at));
            records.insert(place, InputRecord { key, value, arrives_at, is_good: false });
        }
    }
}

fn touchpoint(random: &mut fastrand::Rng, event_id: &str, customer_id: &str, occurred_at: i64) -> Vec<u8> {
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

fn broken(random: &mut fastrand::Rng) -> Option<Vec<u8>> {
    match random.u32(..5) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(b"{\"event_id\":".to_vec()),
        3 => Some(vec![0xff, 0xfe]),
        _ => Some(vec![b' '; BYTES_MAX + 1]),
    }
}
