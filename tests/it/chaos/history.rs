//! Touchpoints of years, with every unpleasantness: repetitions, disorder within the lateness and beyond it, records that are
//! none. Time passes by them alone.

use std::collections::BTreeSet;

use fastrand::Rng;
use lifecycle_processor::journeys::{JourneyOptions, Journeys};
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::wire::time::format_timestamp;

use super::PARTITIONS;
use super::cluster::Acknowledged;
use super::load::{Load, RATE};
use super::verdict::customer_of;
use crate::broker::{Seen, ToWrite};

/// How late a touchpoint may be.
const LATENESS: Duration = Duration::from_millis(6 * 3_600_000);
/// The first touchpoint; all of them lie in the past.
const START: Timestamp = Timestamp::from_millis(1_640_995_200_000);
/// Few enough that the touchpoints of a run span the silences that matter.
const CUSTOMERS_PER_DAY: f64 = 3.0;
/// How late the touchpoints of an unpunctual customer may be.
const UNPUNCTUAL: Duration = Duration::from_days(20);

/// What is to be written, in order, and the instant at which it ends.
pub(super) struct History {
    records: Vec<ToWrite>,
    length: std::time::Duration,
    written: usize,
    end: Timestamp,
}

/// Whether a customer's touchpoints may come later than is allowed: those of one in twenty may.
fn is_unpunctual(customer_id: &str) -> bool {
    customer_id.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 20 == 0
}

impl History {
    /// As many records as are to be written in so many seconds.
    pub(super) fn generate(seed: u64, seconds: u64) -> Self {
        let count = RATE * usize::try_from(seconds).expect("a short run");
        let mut rng = Rng::with_seed(seed);
        let mut journeys = Journeys::new(JourneyOptions { seed, start: START, customers_per_day: CUSTOMERS_PER_DAY });
        let mut arrivals = Vec::new();
        let mut end = START;
        while let Some(touchpoint) = journeys.next_by(START + Duration::from_days(1_400)) {
            if arrivals.len() >= count {
                break;
            }
            let at = touchpoint.occurred_at.as_millis();
            end = end.max(touchpoint.occurred_at);
            let record = ToWrite::keyed(&touchpoint.customer_id, &touchpoint.to_json());
            if rng.u8(..20) == 0 {
                arrivals.push((at + rng.i64(0..LATENESS.as_millis()), record.clone()));
            }
            if rng.u8(..100) == 0 {
                let broken = format!("{{\"event_id\":\"{}\",", touchpoint.event_id);
                arrivals.push((at, ToWrite::keyed(&touchpoint.customer_id, &broken)));
            }
            // Half of them come in order.
            let most = if is_unpunctual(&touchpoint.customer_id) { UNPUNCTUAL } else { LATENESS };
            let delay = if rng.bool() { 0 } else { rng.i64(0..most.as_millis()) };
            arrivals.push((at + delay, record));
        }
        arrivals.sort_by_key(|(arrives_at, _)| *arrives_at);
        let records = arrivals.into_iter().map(|(_, record)| record).collect();
        Self { records, length: std::time::Duration::from_secs(seconds), written: 0, end }
    }

    fn up_to(&mut self, count: usize) -> Vec<ToWrite> {
        let begin = std::mem::replace(&mut self.written, count);
        self.records[begin..count].to_vec()
    }

    /// The record that has the clock of `partition` reach the end: a touchpoint of somebody else, past it by the lateness.
    fn marker(&self, partition: i32) -> ToWrite {
        let at = format_timestamp(self.end + LATENESS);
        ToWrite::to(
            partition,
            &format!(
                r#"{{"event_id":"m","customer_id":"marker-{partition}","type":"page_viewed","occurred_at":"{at}"}}"#
            ),
        )
    }
}

impl Load for History {
    fn clock_source(&self) -> &'static str {
        "touchpoints"
    }

    fn lateness(&self) -> Duration {
        LATENESS
    }

    fn models(&self) -> Vec<String> {
        ["loyalty_ladder", "retention", "engagement_cycle"].map(str::to_owned).to_vec()
    }

    fn due(&mut self, elapsed: std::time::Duration) -> Vec<ToWrite> {
        let all = self.records.len();
        let due = all as u128 * elapsed.as_millis() / self.length.as_millis();
        self.up_to(usize::try_from(due).map_or(all, |due| due.min(all)))
    }

    fn rest(&mut self) -> Vec<ToWrite> {
        let mut rest = self.up_to(self.records.len());
        rest.extend((0..PARTITIONS).map(|partition| self.marker(partition)));
        rest
    }

    fn end(&self) -> Timestamp {
        self.end
    }

    fn wait(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn unpunctual(&self, records: &[Seen], _acknowledged: &Acknowledged) -> BTreeSet<String> {
        records.iter().filter_map(customer_of).filter(|customer| is_unpunctual(customer)).collect()
    }
}
