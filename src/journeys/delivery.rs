//! The way from the shop to the topic, with its faults: what comes twice, late or broken.
//!
//! Faults are added to what there is, nothing is taken away: without its repetitions and broken records, a delivery
//! holds each touchpoint once, late by no more than allowed. The same seed gives the same faults.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::GeneratedTouchpoint;
use crate::lifecycle::time::{Duration, Timestamp};

/// What goes wrong, each as a share from 0 to 1 of the touchpoints.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Faults {
    /// Decides which.
    pub seed: u64,
    /// How many come once more.
    pub duplicates: f64,
    /// How many come late.
    pub late: f64,
    /// How late, and how long after the first a repetition comes, at most.
    pub late_by: Duration,
    /// For how many a broken record comes beside them.
    pub bad: f64,
}

/// A record for the topic.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivered {
    /// The customer's id, which is the record's key.
    pub customer_id: String,
    /// When it is sent.
    pub sent_at: Timestamp,
    /// The record's value.
    pub value: Vec<u8>,
}

/// Touchpoints under way.
#[derive(Debug)]
pub struct Delivery {
    rng: Rng,
    faults: Faults,
    currency: String,
    taken: u64,
    under_way: BinaryHeap<Reverse<UnderWay>>,
}

/// In order of sending, then of taking.
#[derive(PartialEq, Debug)]
struct UnderWay {
    number: u64,
    record: Delivered,
}

impl Eq for UnderWay {}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.record.sent_at, self.number).cmp(&(other.record.sent_at, other.number))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Delivery {
    /// Nothing is under way yet. Amounts are in `currency`.
    #[must_use]
    pub fn new(faults: Faults, currency: &str) -> Self {
        Self {
            // Not the seed of the journeys itself: the same chances would go wrong together.
            rng: Rng::with_seed(faults.seed ^ 0x5eed_de11_7e27_u64),
            faults,
            currency: currency.to_owned(),
            taken: 0,
            under_way: BinaryHeap::new(),
        }
    }

    /// Takes a touchpoint on its way. They are to be taken in order of time.
    pub fn take(&mut self, touchpoint: &GeneratedTouchpoint) {
        let value = touchpoint.to_json_in(&self.currency).into_bytes();
        let now = touchpoint.occurred_at;
        let sent_at = if self.happens(self.faults.late) { now + self.delay() } else { now };
        if self.happens(self.faults.bad) {
            let broken = self.broken(touchpoint);
            self.send(touchpoint, now, broken);
        }
        if self.happens(self.faults.duplicates) {
            let again = sent_at + self.delay();
            self.send(touchpoint, again, value.clone());
        }
        self.send(touchpoint, sent_at, value);
    }

    /// The next record that is sent by `until`.
    pub fn due(&mut self, until: Timestamp) -> Option<Delivered> {
        self.under_way.peek().filter(|Reverse(next)| next.record.sent_at <= until)?;
        self.under_way.pop().map(|Reverse(next)| next.record)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(self.rng.i64(0..=self.faults.late_by.as_millis().max(0)))
    }

    fn send(&mut self, touchpoint: &GeneratedTouchpoint, sent_at: Timestamp, value: Vec<u8>) {
        self.taken += 1;
        let record = Delivered { customer_id: touchpoint.customer_id.clone(), sent_at, value };
        self.under_way.push(Reverse(UnderWay { number: self.taken, record }));
    }

    /// Something that is no touchpoint, as broken senders make it.
    fn broken(&mut self, touchpoint: &GeneratedTouchpoint) -> Vec<u8> {
        let mut other = touchpoint.clone();
        other.event_id.push_str("-broken");
        let whole = other.to_json_in(&self.currency);
        match self.rng.u32(0..5) {
            // Cut off: no JSON.
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
    use crate::journeys::{JourneyOptions, Journeys};

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const FAULTLESS: Faults =
        Faults { seed: 1, duplicates: 0.0, late: 0.0, late_by: Duration::from_millis(60_000), bad: 0.0 };

    fn touchpoints() -> Vec<GeneratedTouchpoint> {
        let mut journeys = Journeys::new(JourneyOptions { seed: 1, start: START, customers_per_day: 500.0 });
        std::iter::from_fn(|| journeys.next_by(START + Duration::from_days(10))).collect()
    }

    fn delivered(touchpoints: &[GeneratedTouchpoint], faults: Faults) -> Vec<Delivered> {
        let mut delivery = Delivery::new(faults, "USD");
        let mut records = Vec::new();
        for touchpoint in touchpoints {
            delivery.take(touchpoint);
            records.extend(std::iter::from_fn(|| delivery.due(touchpoint.occurred_at)));
        }
        let end = START + Duration::from_days(100);
        records.extend(std::iter::from_fn(|| delivery.due(end)));
        records
    }

    #[test]
    fn without_faults_everything_comes_once_in_order() {
        let touchpoints = touchpoints();
        let values: Vec<_> = touchpoints.iter().map(|touchpoint| touchpoint.to_json().into_bytes()).collect();
        let records: Vec<_> = delivered(&touchpoints, FAULTLESS).into_iter().map(|record| record.value).collect();
        assert_eq!(records, values);
    }

    #[test]
    fn shares_are_kept_and_lateness_is_bounded() {
        let touchpoints = touchpoints();
        let faults = Faults { duplicates: 0.1, late: 0.2, bad: 0.05, ..FAULTLESS };
        let records = delivered(&touchpoints, faults);
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
        assert_eq!(whole.len(), count, "nothing is lost");
        assert_eq!(delivered(&touchpoints, faults), records, "the same seed, the same faults");
    }
}
