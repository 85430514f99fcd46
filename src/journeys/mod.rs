//! Generated customers whose touchpoints look like those of a shop: for the demo, for benchmarks and tests.
//!
//! The same seed gives the same touchpoints, in order of time. Needs nothing but the rules' notion of time.

mod customer;
mod touchpoint;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::lifecycle::time::{Duration, Timestamp};

use customer::Customer;
pub use touchpoint::GeneratedTouchpoint;

/// What kind of shop it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct JourneyOptions {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// When the first customer appears.
    pub start: Timestamp,
    /// How many customers appear in a day of 24 hours.
    pub customers_per_day: f64,
}

/// Touchpoints of all customers, in order of time, without end.
#[derive(Debug)]
pub struct Journeys {
    rng: Rng,
    options: JourneyOptions,
    customers: Vec<Customer>,
    next_arrival: Timestamp,
    /// When each customer does something next, by index.
    agenda: BinaryHeap<Reverse<(Timestamp, usize)>>,
    touchpoints: u64,
}

impl Journeys {
    /// Nobody has appeared yet.
    #[must_use]
    pub fn new(options: JourneyOptions) -> Self {
        Self {
            rng: Rng::with_seed(options.seed),
            options,
            customers: Vec::new(),
            next_arrival: options.start,
            agenda: BinaryHeap::new(),
            touchpoints: 0,
        }
    }

    /// The next touchpoint if it happens by `until`.
    pub fn next_by(&mut self, until: Timestamp) -> Option<GeneratedTouchpoint> {
        loop {
            let planned = self.agenda.peek().map(|Reverse((time, _))| *time);
            if planned.is_none_or(|planned| self.next_arrival <= planned) {
                if self.next_arrival > until {
                    return None;
                }
                self.arrive();
                continue;
            }
            let time = planned.filter(|&planned| planned <= until)?;
            let Reverse((_, index)) = self.agenda.pop()?;
            let customer = &mut self.customers[index];
            let step = customer.step(&mut self.rng);
            if let Some(pause) = step.pause {
                self.agenda.push(Reverse((time + pause, index)));
            }
            self.touchpoints += 1;
            return Some(GeneratedTouchpoint {
                event_id: format!("t{:08}", self.touchpoints),
                customer_id: customer.id.clone(),
                occurred_at: time,
                act: step.act,
            });
        }
    }

    fn arrive(&mut self) {
        let index = self.customers.len();
        self.customers.push(Customer::new(index, &mut self.rng));
        self.agenda.push(Reverse((self.next_arrival, index)));
        // Arrivals are independent of one another: the time between two is exponential.
        let days = -(1.0 - self.rng.f64()).ln() / self.options.customers_per_day.max(f64::MIN_POSITIVE);
        self.next_arrival = self.next_arrival + days_of(days.min(3_650.0));
    }
}

/// A length of `days` days, to the millisecond.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the callers to thousands of days")]
fn days_of(days: f64) -> Duration {
    Duration::from_millis((days * 86_400_000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn first(seed: u64, count: usize) -> Vec<GeneratedTouchpoint> {
        first_of(seed, 50.0, count)
    }

    fn first_of(seed: u64, customers_per_day: f64, count: usize) -> Vec<GeneratedTouchpoint> {
        let start = Timestamp::from_millis(1_700_000_000_000);
        let mut journeys = Journeys::new(JourneyOptions { seed, start, customers_per_day });
        let until = start + Duration::from_days(1_000);
        std::iter::from_fn(|| journeys.next_by(until)).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_touchpoints_and_another_seed_others() {
        assert_eq!(first(1, 5_000), first(1, 5_000));
        assert_ne!(first(1, 50), first(2, 50));
    }

    #[test]
    fn touchpoints_come_in_order_of_time_and_bear_their_own_ids() {
        let touchpoints = first(3, 20_000);
        assert!(touchpoints.windows(2).all(|pair| pair[0].occurred_at <= pair[1].occurred_at));
        let ids: HashSet<_> = touchpoints.iter().map(|touchpoint| &touchpoint.event_id).collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn nothing_happens_past_the_instant_asked_for() {
        let start = Timestamp::from_millis(0);
        let mut journeys = Journeys::new(JourneyOptions { seed: 1, start, customers_per_day: 10.0 });
        let until = start + Duration::from_days(2);
        while let Some(touchpoint) = journeys.next_by(until) {
            assert!(touchpoint.occurred_at <= until);
        }
        assert_eq!(journeys.next_by(until), None);
        assert!(journeys.next_by(until + Duration::from_days(30)).is_some());
    }

    #[test]
    fn some_customers_order_again_after_three_months_of_silence() {
        let touchpoints = first_of(5, 2.0, 30_000);
        let mut last = std::collections::HashMap::new();
        let mut came_back = 0;
        for touchpoint in touchpoints.iter().filter(|touchpoint| touchpoint.act.type_name == "order_completed") {
            let before = last.insert(&touchpoint.customer_id, touchpoint.occurred_at);
            if before.is_some_and(|before| touchpoint.occurred_at - before > Duration::from_days(90)) {
                came_back += 1;
            }
        }
        assert!(came_back > 20, "{came_back}");
    }
}
