//! A load of generated touchpoints of several years, for `clock.source: touchpoints`.
//!
//! It contains duplicates, touchpoints out of order within and beyond the allowed lateness, and malformed records. Only
//! event time advances the service's clock.

use std::collections::BTreeSet;

use fastrand::Rng;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::workload::{Workload, WorkloadOptions};

use super::PARTITIONS;
use super::cluster::Acknowledged;
use super::load::{Load, RATE};
use super::verification::customer_of;
use crate::broker::{ConsumedRecord, NewRecord};

/// The allowed lateness.
const LATENESS: Duration = Duration::from_millis(6 * 3_600_000);
/// The time of the first touchpoint; all touchpoints are in the past.
const START: Timestamp = Timestamp::from_millis(1_640_995_200_000);
/// New customers per day of event time. The rate is low, so that the touchpoints of a run span years and customers have
/// the inactive periods that fire wake-ups.
const CUSTOMERS_PER_DAY: f64 = 3.0;
/// How late the touchpoints of a late customer may be.
const LATE_BY_MAX: Duration = Duration::from_days(20);

/// The generated records in the order of writing, and the event time of the last touchpoint.
pub(super) struct HistoricalLoad {
    records: Vec<NewRecord>,
    duration: std::time::Duration,
    written: usize,
    end: Timestamp,
}

/// Returns whether a customer's touchpoints may be later than allowed; one customer in twenty is chosen.
fn may_be_late(customer_id: &str) -> bool {
    customer_id.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 20 == 0
}

impl HistoricalLoad {
    /// Generates the records for `seconds` of writing.
    pub(super) fn generate(seed: u64, seconds: u64) -> Self {
        let count = RATE * usize::try_from(seconds).expect("a short run");
        let mut rng = Rng::with_seed(seed);
        let mut workload = Workload::new(WorkloadOptions { seed, start: START, customers_per_day: CUSTOMERS_PER_DAY });
        let mut arrivals = Vec::new();
        let mut end = START;
        while let Some(touchpoint) = workload.next_until(START + Duration::from_days(1_400)) {
            if arrivals.len() >= count {
                break;
            }
            let at = touchpoint.occurred_at.as_millis();
            end = end.max(touchpoint.occurred_at);
            let record = NewRecord::keyed(&touchpoint.customer_id, &touchpoint.to_json());
            if rng.u8(..20) == 0 {
                arrivals.push((at + rng.i64(0..LATENESS.as_millis()), record.clone()));
            }
            if rng.u8(..100) == 0 {
                let malformed = format!("{{\"event_id\":\"{}\",", touchpoint.event_id);
                arrivals.push((at, NewRecord::keyed(&touchpoint.customer_id, &malformed)));
            }
            // Half of the touchpoints arrive in order.
            let delay_max = if may_be_late(&touchpoint.customer_id) { LATE_BY_MAX } else { LATENESS };
            let delay = if rng.bool() { 0 } else { rng.i64(0..delay_max.as_millis()) };
            arrivals.push((at + delay, record));
        }
        arrivals.sort_by_key(|(arrives_at, _)| *arrives_at);
        let records = arrivals.into_iter().map(|(_, record)| record).collect();
        Self { records, duration: std::time::Duration::from_secs(seconds), written: 0, end }
    }

    fn take_up_to(&mut self, count: usize) -> Vec<NewRecord> {
        let begin = std::mem::replace(&mut self.written, count);
        self.records[begin..count].to_vec()
    }

    /// Returns the record that advances the clock of `partition` to the end: a touchpoint of a marker customer, later
    /// than the end by the lateness.
    fn marker(&self, partition: i32) -> NewRecord {
        let at = format_timestamp(self.end + LATENESS);
        NewRecord::to(
            partition,
            &format!(
                r#"{{"event_id":"m","customer_id":"marker-{partition}","type":"page_viewed","occurred_at":"{at}"}}"#
            ),
        )
    }
}

impl Load for HistoricalLoad {
    fn clock_source(&self) -> &'static str {
        "touchpoints"
    }

    fn lateness(&self) -> Duration {
        LATENESS
    }

    fn models(&self) -> Vec<String> {
        ["loyalty_ladder", "retention", "engagement_cycle"].map(str::to_owned).to_vec()
    }

    fn due(&mut self, elapsed: std::time::Duration) -> Vec<NewRecord> {
        let all = self.records.len();
        let due = all as u128 * elapsed.as_millis() / self.duration.as_millis();
        self.take_up_to(usize::try_from(due).map_or(all, |due| due.min(all)))
    }

    fn rest(&mut self) -> Vec<NewRecord> {
        let mut rest = self.take_up_to(self.records.len());
        rest.extend((0..PARTITIONS).map(|partition| self.marker(partition)));
        rest
    }

    fn end(&self) -> Timestamp {
        self.end
    }

    fn time_until_last_wake_up(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn late_customers(&self, records: &[ConsumedRecord], _acknowledged: &Acknowledged) -> BTreeSet<String> {
        records.iter().filter_map(customer_of).filter(|customer| may_be_late(customer)).collect()
    }
}
