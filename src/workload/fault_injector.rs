//! Fault injection between generated touchpoints and the topic: duplicates, late and invalid records.
//!
//! No touchpoint is lost: without the duplicates and invalid records, the output contains each touchpoint once, with a
//! bounded delay. The same seed gives the same faults.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::GeneratedTouchpoint;
use crate::lifecycle::time::{Duration, Timestamp};

/// Rates of the injected faults, each as a fraction of the touchpoints from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Faults {
    /// Seed of the random choice.
    pub seed: u64,
    /// Fraction sent twice.
    pub duplicates: f64,
    /// Fraction sent late, and so out of order.
    pub late: f64,
    /// Maximum delay of a late record, and of a duplicate after the first record.
    pub late_by: Duration,
    /// Fraction accompanied by an additional invalid record.
    pub bad: f64,
}

/// A record to be produced.
#[derive(Clone, PartialEq, Debug)]
pub struct GeneratedRecord {
    /// Id of the customer, used as the record key.
    pub customer_id: String,
    /// When to produce the record.
    pub sent_at: Timestamp,
    /// Value of the record: JSON, or an invalid value.
    pub value: Vec<u8>,
}

/// Delays, duplicates and corrupts records; keeps those that are not due yet.
#[derive(Debug)]
pub struct FaultInjector {
    rng: Rng,
    faults: Faults,
    currency: String,
    added: u64,
    pending: BinaryHeap<Reverse<PendingRecord>>,
}

/// A record that is not due yet, ordered by `sent_at`, then by `number`.
#[derive(PartialEq, Debug)]
struct PendingRecord {
    number: u64,
    record: GeneratedRecord,
}

impl Eq for PendingRecord {}

impl Ord for PendingRecord {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.record.sent_at, self.number).cmp(&(other.record.sent_at, other.number))
    }
}

impl PartialOrd for PendingRecord {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FaultInjector {
    /// Creates an injector without pending records. Amounts are encoded in `currency`.
    #[must_use]
    pub fn new(faults: Faults, currency: &str) -> Self {
        Self {
            // Differs from the seed of the workload, so that faults do not correlate with its random choices.
            rng: Rng::with_seed(faults.seed ^ 0x5eed_de11_7e27_u64),
            faults,
            currency: currency.to_owned(),
            added: 0,
            pending: BinaryHeap::new(),
        }
    }

    /// Adds a touchpoint and its faults. Touchpoints must be added in order of event time.
    pub fn add(&mut self, touchpoint: &GeneratedTouchpoint) {
        let value = touchpoint.to_json_in(&self.currency).into_bytes();
        let now = touchpoint.occurred_at;
        let sent_at = if self.is_chosen(self.faults.late) { now + self.delay() } else { now };
        if self.is_chosen(self.faults.bad) {
            let invalid = self.invalid_value(touchpoint);
            self.enqueue(touchpoint, now, invalid);
        }
        if self.is_chosen(self.faults.duplicates) {
            let repeated_at = sent_at + self.delay();
            self.enqueue(touchpoint, repeated_at, value.clone());
        }
        self.enqueue(touchpoint, sent_at, value);
    }

    /// Returns the next record with `sent_at` up to `until`.
    pub fn next_until(&mut self, until: Timestamp) -> Option<GeneratedRecord> {
        self.pending.peek().filter(|Reverse(next)| next.record.sent_at <= until)?;
        self.pending.pop().map(|Reverse(next)| next.record)
    }

    fn is_chosen(&mut self, fraction: f64) -> bool {
        fraction > 0.0 && self.rng.f64() < fraction
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(self.rng.i64(0..=self.faults.late_by.as_millis().max(0)))
    }

    fn enqueue(&mut self, touchpoint: &GeneratedTouchpoint, sent_at: Timestamp, value: Vec<u8>) {
        self.added += 1;
        let record = GeneratedRecord { customer_id: touchpoint.customer_id.clone(), sent_at, value };
        self.pending.push(Reverse(PendingRecord { number: self.added, record }));
    }

    /// Returns a value that decoding rejects, as a faulty client might send it.
    fn invalid_value(&mut self, touchpoint: &GeneratedTouchpoint) -> Vec<u8> {
        let mut other = touchpoint.clone();
        other.event_id.push_str("-broken");
        let whole = other.to_json_in(&self.currency);
        match self.rng.u32(0..5) {
            // Truncated JSON.
            0 => whole.as_bytes()[..whole.len() / 2].to_vec(),
            1 => whole.replacen(r#""customer_id""#, r#""customer""#, 1).into_bytes(),
            2 => whole.replacen(r#""event_id""#, r#""id""#, 1).into_bytes(),
            3 => whole.replacen(r#""occurred_at":"2"#, r#""occurred_at":"yesterday 2"#, 1).into_bytes(),
            // Not UTF-8.
            _ => whole
                .replacen("customer-", "zo\u{0}-", 1)
                .bytes()
                .map(|byte| if byte == 0 { 0xeb } else { byte })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Workload, WorkloadOptions};

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const NO_FAULTS: Faults =
        Faults { seed: 1, duplicates: 0.0, late: 0.0, late_by: Duration::from_millis(60_000), bad: 0.0 };

    fn touchpoints() -> Vec<GeneratedTouchpoint> {
        let mut workload = Workload::new(WorkloadOptions { seed: 1, start: START, customers_per_day: 500.0 });
        std::iter::from_fn(|| workload.next_until(START + Duration::from_days(10))).collect()
    }

    fn inject(touchpoints: &[GeneratedTouchpoint], faults: Faults) -> Vec<GeneratedRecord> {
        let mut injector = FaultInjector::new(faults, "USD");
        let mut records = Vec::new();
        for touchpoint in touchpoints {
            injector.add(touchpoint);
            records.extend(std::iter::from_fn(|| injector.next_until(touchpoint.occurred_at)));
        }
        let end = START + Duration::from_days(100);
        records.extend(std::iter::from_fn(|| injector.next_until(end)));
        records
    }

    #[test]
    fn without_faults_each_touchpoint_is_sent_once_in_order() {
        let touchpoints = touchpoints();
        let values: Vec<_> = touchpoints.iter().map(|touchpoint| touchpoint.to_json().into_bytes()).collect();
        let records: Vec<_> = inject(&touchpoints, NO_FAULTS).into_iter().map(|record| record.value).collect();
        assert_eq!(records, values);
    }

    #[test]
    fn fault_rates_match_the_options_and_delays_are_bounded() {
        let touchpoints = touchpoints();
        let faults = Faults { duplicates: 0.1, late: 0.2, bad: 0.05, ..NO_FAULTS };
        let records = inject(&touchpoints, faults);
        assert!(records.windows(2).all(|pair| pair[0].sent_at <= pair[1].sent_at));
        let count = touchpoints.len();
        let added = records.len() - count;
        assert!((count * 13 / 100..count * 17 / 100).contains(&added), "{added} of {count}");
        let times: std::collections::HashMap<_, _> =
            touchpoints.iter().map(|touchpoint| (touchpoint.to_json().into_bytes(), touchpoint.occurred_at)).collect();
        let late: Vec<_> = records
            .iter()
            .filter_map(|record| Some(record.sent_at - *times.get(&record.value)?))
            .filter(|&late| late > Duration::ZERO)
            .collect();
        assert!(late.len() > count / 5, "{} of {count}", late.len());
        assert!(late.iter().all(|&late| late.as_millis() <= 2 * faults.late_by.as_millis()));
        let whole: std::collections::HashSet<_> =
            records.iter().filter(|record| times.contains_key(&record.value)).map(|record| &record.value).collect();
        assert_eq!(whole.len(), count, "no touchpoint is lost");
        assert_eq!(inject(&touchpoints, faults), records, "the same seed gives the same faults");
    }
}
