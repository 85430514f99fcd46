//! A load of live touchpoints, for `clock.source: wall`.
//!
//! Its customers become active and inactive within seconds. Some touchpoints are late, some are in the future, and some
//! records are malformed or duplicated.

use std::collections::BTreeSet;

use fastrand::Rng;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::runtime::WallClock;
use lifecycle_processor::wire::time::format_timestamp;

use super::cluster::Acknowledged;
use super::load::{CLOCK_AHEAD_PREFIX, FUTURE_PREFIX, Load, RATE};
use super::verification;
use crate::broker::{ConsumedRecord, NewRecord};

/// The allowed lateness, from the event time to the acknowledgement. Longer than a broker failover takes.
const LATENESS: Duration = Duration::from_millis(10_000);
/// The maximum delay between a touchpoint's event time and its write.
const DELAY_MS: i64 = 3_000;
/// The maximum delay between a record and its duplicate.
const DUPLICATE_DELAY_MS: i64 = 3_000;
/// The maximum by which the device clocks of some customers are ahead. It is less than `clock.max_ahead`, and about as
/// long as the group takes to remove a killed instance.
const AHEAD_MS: i64 = 10_000;
/// Every n-th customer has a device clock that is ahead.
const AHEAD_EVERY: usize = 50;
/// How far in the future the touchpoints are that must become dead letters: beyond `clock.max_ahead`, even if they are
/// read late.
const FAR_AHEAD: Duration = Duration::from_millis(3_600_000);
/// The number of active customers. Each has a touchpoint every five seconds on average.
const ACTIVE_CUSTOMERS: usize = 5 * RATE;
/// The mean number of touchpoints of a customer before a new customer replaces it. So customers that a long fault has
/// made late are soon replaced.
const TOUCHPOINTS_PER_CUSTOMER: u8 = 10;
/// The length of a period. Touchpoints are written only in its first part, so that in the rest only wall time advances
/// the clock.
const PERIOD_MS: u128 = 16_000;
/// The length of the first part of each period.
const WRITTEN_MS: u128 = 12_000;
/// The event time after the last touchpoint in which wake-ups still fire. It is longer than any window of the model
/// `presence`, and shorter than those of the other model.
const IDLE_AFTER_END: Duration = Duration::from_millis(16_000);
const TYPES: [&str; 6] = [
    "page_viewed",
    "product_viewed",
    "checkout_started",
    "order_completed",
    "newsletter_subscribed",
    "positive_review_published",
];

/// The active customers and the progress of the load.
pub(super) struct LiveLoad {
    rng: Rng,
    clock: WallClock,
    active: Vec<usize>,
    customers: usize,
    touchpoints: usize,
    /// Duplicates to write, with their times.
    duplicates: Vec<(Timestamp, NewRecord)>,
    end: Timestamp,
}

impl LiveLoad {
    /// Creates a load with the first active customers.
    pub(super) fn new(seed: u64) -> Self {
        let clock = WallClock::start();
        Self {
            rng: Rng::with_seed(seed),
            clock,
            active: (0..ACTIVE_CUSTOMERS).collect(),
            customers: ACTIVE_CUSTOMERS,
            touchpoints: 0,
            duplicates: Vec::new(),
            end: clock.now().wall,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// Adds a touchpoint of a random customer, and possibly a bad record or a duplicate. The touchpoint occurs at
    /// `now`, shortly before it, or after it if the customer's clock is ahead.
    fn touchpoint(&mut self, now: Timestamp, records: &mut Vec<NewRecord>) {
        let rng = &mut self.rng;
        let index = rng.usize(..ACTIVE_CUSTOMERS);
        let is_ahead = self.active[index].is_multiple_of(AHEAD_EVERY);
        let customer = format!("{}{}", if is_ahead { CLOCK_AHEAD_PREFIX } else { "c-" }, self.active[index]);
        if rng.u8(..TOUCHPOINTS_PER_CUSTOMER) == 0 {
            self.active[index] = self.customers;
            self.customers += 1;
        }
        let number = self.touchpoints;
        self.touchpoints += 1;
        let kind = TYPES[rng.usize(..TYPES.len())];
        let record_at = |occurred_at: Timestamp, prefix: &str| {
            let (id, at) = (format!("{prefix}{number}"), format_timestamp(occurred_at));
            let json = format!(
                r#"{{"event_id":"{id}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}","amount":10}}"#
            );
            NewRecord::keyed(&customer, &json)
        };
        match rng.u8(..100) {
            0 => records.push(NewRecord::keyed(&customer, "{\"event_id\":")),
            1..3 => records.push(record_at(now + FAR_AHEAD, FUTURE_PREFIX)),
            _ => {}
        }
        // Half of the touchpoints are written immediately.
        let delay = if rng.bool() { 0 } else { rng.i64(0..DELAY_MS) };
        let occurred_at = now - Duration::from_millis(if is_ahead { -rng.i64(0..AHEAD_MS) } else { delay });
        let record = record_at(occurred_at, "e-");
        if rng.u8(..20) == 0 {
            self.duplicates.push((now + Duration::from_millis(rng.i64(0..DUPLICATE_DELAY_MS)), record.clone()));
        }
        records.push(record);
        self.end = self.end.max(occurred_at);
    }
}

impl Load for LiveLoad {
    fn clock_source(&self) -> &'static str {
        "wall"
    }

    fn lateness(&self) -> Duration {
        LATENESS
    }

    fn models(&self) -> Vec<String> {
        let presence = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/chaos/presence.yaml");
        vec![presence.to_owned(), "engagement_cycle".to_owned()]
    }

    fn due(&mut self, elapsed: std::time::Duration) -> Vec<NewRecord> {
        let now = self.now();
        let mut records: Vec<_> =
            self.duplicates.extract_if(.., |(at, _)| *at <= now).map(|(_, record)| record).collect();
        let elapsed = elapsed.as_millis();
        let written_for = elapsed / PERIOD_MS * WRITTEN_MS + (elapsed % PERIOD_MS).min(WRITTEN_MS);
        while self.touchpoints as u128 * 1000 < RATE as u128 * written_for {
            self.touchpoint(now, &mut records);
        }
        records
    }

    fn clock_ahead_lateness(&self) -> Duration {
        Duration::from_millis(LATENESS.as_millis() + AHEAD_MS)
    }

    fn rest(&mut self) -> Vec<NewRecord> {
        Vec::new()
    }

    fn end(&self) -> Timestamp {
        self.end + IDLE_AFTER_END
    }

    fn time_until_last_wake_up(&self) -> std::time::Duration {
        let left = self.end() + LATENESS - self.now();
        std::time::Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or_default())
    }

    /// Counts a record as late if it was acknowledged more than the lateness after its event time. The time of the
    /// acknowledgement counts rather than the record's timestamp, because a record is not visible to consumers before
    /// enough replicas have it.
    fn late_customers(&self, records: &[ConsumedRecord], acknowledged: &Acknowledged) -> BTreeSet<String> {
        let is_late = |record: &&ConsumedRecord| {
            let at = acknowledged.get(&(record.partition, record.offset));
            verification::dead_letter_reason(record).is_none()
                && at.is_none_or(|&at| at - verification::occurred_at(record).expect("an instant") > LATENESS)
        };
        records.iter().filter(is_late).filter_map(verification::customer_of).collect()
    }
}
