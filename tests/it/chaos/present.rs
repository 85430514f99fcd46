//! Touchpoints of this very moment, of customers who come and go within seconds, with some from the future. Time passes by the
//! wall.

use std::collections::BTreeSet;

use fastrand::Rng;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::runtime::WallClock;
use lifecycle_processor::wire::time::format_timestamp;

use super::cluster::Acknowledged;
use super::load::{AHEAD, FUTURE, Load, RATE};
use super::verdict;
use crate::broker::{Seen, ToWrite};

/// How long after it occurred a touchpoint may be written and acknowledged. Longer than a broker's failover takes.
const LATENESS: Duration = Duration::from_millis(10_000);
/// How long after it occurred a touchpoint is written, at most.
const DELAY_MS: i64 = 3_000;
/// How long after it was written it is repeated, at most.
const REPETITION_MS: i64 = 3_000;
/// How far the clocks of some customers' devices are ahead, at most: less than `clock.max_ahead`, and about as long as an instance
/// that was killed is missed.
const AHEAD_MS: i64 = 10_000;
/// The clock of one customer in so many is ahead.
const AHEAD_EVERY: usize = 50;
/// How far in the future those lie that must be set aside: further than `clock.max_ahead`, and they stay so until they are read.
const FAR_AHEAD: Duration = Duration::from_millis(3_600_000);
/// How many customers there are at a time. Each is heard of every five seconds, on average.
const PRESENT: usize = 5 * RATE;
/// After how many touchpoints a customer leaves for good, on average. So whom a long fault has made unpunctual is soon gone.
const STAY: u8 = 10;
/// Nothing is written in the last part of each period, so that nothing but the wall tells the time.
const PERIOD_MS: u128 = 16_000;
const WRITTEN_MS: u128 = 12_000;
/// Longer than any window of the model `presence`, and shorter than those of the other.
const SILENCE: Duration = Duration::from_millis(16_000);
const KINDS: [&str; 6] = [
    "page_viewed",
    "product_viewed",
    "checkout_started",
    "order_completed",
    "newsletter_subscribed",
    "positive_review_published",
];

/// Who is there, and what has been written.
pub(super) struct Present {
    rng: Rng,
    clock: WallClock,
    here: Vec<usize>,
    customers: usize,
    touchpoints: usize,
    /// What is to be repeated, and when.
    repetitions: Vec<(Timestamp, ToWrite)>,
    end: Timestamp,
}

impl Present {
    /// The first customers are there.
    pub(super) fn begin(seed: u64) -> Self {
        let clock = WallClock::start();
        Self {
            rng: Rng::with_seed(seed),
            clock,
            here: (0..PRESENT).collect(),
            customers: PRESENT,
            touchpoints: 0,
            repetitions: Vec::new(),
            end: clock.now().wall,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// What a customer does at `now`, or has done a moment before, with what goes wrong about it.
    fn touchpoint(&mut self, now: Timestamp, records: &mut Vec<ToWrite>) {
        let rng = &mut self.rng;
        let place = rng.usize(..PRESENT);
        let is_ahead = self.here[place].is_multiple_of(AHEAD_EVERY);
        let customer = format!("{}{}", if is_ahead { AHEAD } else { "c-" }, self.here[place]);
        if rng.u8(..STAY) == 0 {
            self.here[place] = self.customers;
            self.customers += 1;
        }
        let number = self.touchpoints;
        self.touchpoints += 1;
        let kind = KINDS[rng.usize(..KINDS.len())];
        let at = |at: Timestamp, prefix: &str| {
            let (id, at) = (format!("{prefix}{number}"), format_timestamp(at));
            let json = format!(
                r#"{{"event_id":"{id}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}","amount":10}}"#
            );
            ToWrite::keyed(&customer, &json)
        };
        match rng.u8(..100) {
            0 => records.push(ToWrite::keyed(&customer, "{\"event_id\":")),
            1..3 => records.push(at(now + FAR_AHEAD, FUTURE)),
            _ => {}
        }
        // Half of them come at once.
        let delay = if rng.bool() { 0 } else { rng.i64(0..DELAY_MS) };
        let occurred_at = now - Duration::from_millis(if is_ahead { -rng.i64(0..AHEAD_MS) } else { delay });
        let record = at(occurred_at, "e-");
        if rng.u8(..20) == 0 {
            self.repetitions.push((now + Duration::from_millis(rng.i64(0..REPETITION_MS)), record.clone()));
        }
        records.push(record);
        self.end = self.end.max(occurred_at);
    }
}

impl Load for Present {
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

    fn due(&mut self, elapsed: std::time::Duration) -> Vec<ToWrite> {
        let now = self.now();
        let mut records: Vec<_> =
            self.repetitions.extract_if(.., |(at, _)| *at <= now).map(|(_, record)| record).collect();
        let elapsed = elapsed.as_millis();
        let written_for = elapsed / PERIOD_MS * WRITTEN_MS + (elapsed % PERIOD_MS).min(WRITTEN_MS);
        while self.touchpoints as u128 * 1000 < RATE as u128 * written_for {
            self.touchpoint(now, &mut records);
        }
        records
    }

    fn lateness_of_ahead(&self) -> Duration {
        Duration::from_millis(LATENESS.as_millis() + AHEAD_MS)
    }

    fn rest(&mut self) -> Vec<ToWrite> {
        Vec::new()
    }

    fn end(&self) -> Timestamp {
        self.end + SILENCE
    }

    fn wait(&self) -> std::time::Duration {
        let left = self.end() + LATENESS - self.now();
        std::time::Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or_default())
    }

    /// Nobody could read a record before it was acknowledged; by then the clock must not have passed it. The acknowledgement
    /// counts, and not the time that the topic tells: records are not there for readers before enough replicas have them.
    fn unpunctual(&self, records: &[Seen], acknowledged: &Acknowledged) -> BTreeSet<String> {
        let came_late = |record: &&Seen| {
            let at = acknowledged.get(&(record.partition, record.offset));
            verdict::reason_to_set_aside(record).is_none()
                && at.is_none_or(|&at| at - verdict::occurred_at(record).expect("an instant") > LATENESS)
        };
        records.iter().filter(came_late).filter_map(verdict::customer_of).collect()
    }
}
