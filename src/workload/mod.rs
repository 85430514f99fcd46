//! A synthetic workload: generated customers of an online shop, for the demo, load tests, benchmarks and tests.
//!
//! The same seed gives the same touchpoints, in order of event time. [`FaultInjector`] adds duplicate, late and invalid
//! records. Memory grows only with the number of customers that have planned activities.

mod customer;
mod fault_injector;
mod own_types;
mod touchpoint;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::lifecycle::time::{Duration, Timestamp};

use customer::Customer;
pub use fault_injector::{FaultInjector, Faults, GeneratedRecord};
pub use own_types::OwnTypes;
pub use touchpoint::GeneratedTouchpoint;

const DAY_MS: i64 = 86_400_000;
/// End of the night (UTC), in milliseconds since midnight; few touchpoints occur before it.
const NIGHT_END_MS: i64 = 6 * 3_600_000;
/// One in this many activities at night is not postponed to the day.
const NIGHT_ACTIVITY_ONE_IN: u32 = 8;

/// Parameters of the workload.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WorkloadOptions {
    /// Seed of the random number generator.
    pub seed: u64,
    /// Arrival of the first customer.
    pub start: Timestamp,
    /// Average number of customers that arrive per 24 hours.
    pub customers_per_day: f64,
}

/// Generator of the touchpoints of all customers, in order of event time.
///
/// Endless, unless the number of customers is [limited](Workload::with_customer_limit).
#[derive(Debug)]
pub struct Workload {
    rng: Rng,
    options: WorkloadOptions,
    customers_max: u64,
    /// Customers that have arrived so far.
    arrived: u64,
    next_arrival: Timestamp,
    /// Slab of the customers with planned activities.
    customers: Vec<Option<Customer>>,
    free_slots: Vec<usize>,
    /// The next activity of each customer: time, number of the customer, slot in `customers`.
    schedule: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    touchpoints: u64,
    /// Prefix of event ids and order ids.
    id_prefix: String,
    customer_prefix: String,
    own_types: OwnTypes,
}

impl Workload {
    /// Creates a workload without customers.
    #[must_use]
    pub fn new(options: WorkloadOptions) -> Self {
        Self {
            rng: Rng::with_seed(options.seed),
            options,
            customers_max: u64::MAX,
            arrived: 0,
            next_arrival: options.start,
            customers: Vec::new(),
            free_slots: Vec::new(),
            schedule: BinaryHeap::new(),
            touchpoints: 0,
            id_prefix: String::new(),
            customer_prefix: "customer-".to_owned(),
            own_types: OwnTypes::default(),
        }
    }

    /// Stops arrivals after `customers_max` customers.
    #[must_use]
    pub fn with_customer_limit(self, customers_max: u64) -> Self {
        Self { customers_max, ..self }
    }

    /// Starts event ids and order ids with `id_prefix`, so that the ids of different runs differ.
    #[must_use]
    pub fn with_id_prefix(self, id_prefix: String) -> Self {
        Self { id_prefix, ..self }
    }

    /// Starts customer ids with `customer_prefix`, so that the customers of different runs differ.
    #[must_use]
    pub fn with_customer_prefix(self, customer_prefix: String) -> Self {
        Self { customer_prefix, ..self }
    }

    /// Adds touchpoints of `own_types` between the activities of the shop.
    #[must_use]
    pub fn with_own_types(self, own_types: OwnTypes) -> Self {
        Self { own_types, ..self }
    }

    /// Returns how many customers have arrived.
    #[must_use]
    pub fn customers(&self) -> u64 {
        self.arrived
    }

    /// Returns the time of the next arrival or activity; `None` if the workload has ended.
    #[must_use]
    pub fn next_time(&self) -> Option<Timestamp> {
        let planned = self.schedule.peek().map(|Reverse((time, ..))| *time);
        let arrival = (self.arrived < self.customers_max).then_some(self.next_arrival);
        planned.into_iter().chain(arrival).min()
    }

    /// Returns the next touchpoint if it occurs by `until`.
    pub fn next_until(&mut self, until: Timestamp) -> Option<GeneratedTouchpoint> {
        loop {
            let planned = self.schedule.peek().map(|Reverse((time, ..))| *time);
            if self.arrived < self.customers_max && planned.is_none_or(|planned| self.next_arrival <= planned) {
                if self.next_arrival > until {
                    return None;
                }
                self.arrive();
                continue;
            }
            let time = planned.filter(|&planned| planned <= until)?;
            let Reverse((_, number, slot)) = self.schedule.pop()?;
            let customer = self.customers[slot].as_mut()?;
            let step = customer.step(time, &mut self.rng, &self.own_types);
            let customer_id = customer.id.clone();
            if let Some(days) = step.pause_days {
                let next = self.postpone_night(time + days_of(days.max(0.000_1)));
                self.schedule.push(Reverse((next, number, slot)));
            } else {
                self.customers[slot] = None;
                self.free_slots.push(slot);
            }
            self.touchpoints += 1;
            let mut activity = step.activity;
            activity.order_id = activity.order_id.map(|order_id| format!("{}{order_id}", self.id_prefix));
            return Some(GeneratedTouchpoint {
                event_id: format!("{}t{:08}", self.id_prefix, self.touchpoints),
                customer_id,
                occurred_at: time,
                activity,
            });
        }
    }

    fn arrive(&mut self) {
        let id = format!("{}{:05}", self.customer_prefix, self.arrived);
        let customer = Customer::new(id, &mut self.rng);
        let slot = self.free_slots.pop().unwrap_or(self.customers.len());
        if slot == self.customers.len() {
            self.customers.push(Some(customer));
        } else {
            self.customers[slot] = Some(customer);
        }
        let time = self.postpone_night(self.next_arrival);
        self.schedule.push(Reverse((time, self.arrived, slot)));
        self.arrived += 1;
        // The interval has a uniform, not an exponential distribution, because the last digits of a logarithm differ
        // between platforms.
        let days = 2.0 * self.rng.f64() / self.options.customers_per_day.max(f64::MIN_POSITIVE);
        self.next_arrival = self.next_arrival + days_of(days.min(3_650.0));
    }

    /// Moves most instants of the night to the following morning.
    fn postpone_night(&mut self, time: Timestamp) -> Timestamp {
        let since_midnight = time.as_millis().rem_euclid(DAY_MS);
        if since_midnight >= NIGHT_END_MS || self.rng.u32(0..NIGHT_ACTIVITY_ONE_IN) == 0 {
            return time;
        }
        time + Duration::from_millis(NIGHT_END_MS - since_midnight + self.rng.i64(0..3 * 3_600_000))
    }
}

/// Converts days to a duration, to the millisecond.
#[expect(clippy::cast_possible_truncation, reason = "callers limit days to thousands")]
fn days_of(days: f64) -> Duration {
    Duration::from_millis((days * 86_400_000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn workload(seed: u64, customers_per_day: f64) -> Workload {
        Workload::new(WorkloadOptions { seed, start: START, customers_per_day })
    }

    fn first(seed: u64, count: usize) -> Vec<GeneratedTouchpoint> {
        first_of(seed, 50.0, count)
    }

    fn first_of(seed: u64, customers_per_day: f64, count: usize) -> Vec<GeneratedTouchpoint> {
        let mut workload = workload(seed, customers_per_day);
        let until = START + Duration::from_days(1_000);
        std::iter::from_fn(|| workload.next_until(until)).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_touchpoints_and_another_seed_others() {
        assert_eq!(first(1, 5_000), first(1, 5_000));
        assert_ne!(first(1, 50), first(2, 50));
    }

    #[test]
    fn touchpoints_are_in_order_of_time_and_have_unique_ids() {
        let touchpoints = first(3, 20_000);
        assert!(touchpoints.windows(2).all(|pair| pair[0].occurred_at <= pair[1].occurred_at));
        let ids: HashSet<_> = touchpoints.iter().map(|touchpoint| &touchpoint.event_id).collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn no_touchpoint_is_later_than_requested() {
        let mut workload = workload(1, 10.0);
        let until = START + Duration::from_days(2);
        while let Some(touchpoint) = workload.next_until(until) {
            assert!(touchpoint.occurred_at <= until);
        }
        assert_eq!(workload.next_until(until), None);
        assert!(workload.next_until(until + Duration::from_days(30)).is_some());
    }

    #[test]
    fn a_limited_workload_ends_and_keeps_no_customers() {
        let mut workload = workload(1, 100.0).with_customer_limit(200);
        let mut seen = HashSet::new();
        while let Some(touchpoint) = workload.next_until(START + Duration::from_days(100_000)) {
            seen.insert(touchpoint.customer_id);
        }
        assert_eq!((seen.len(), workload.customers(), workload.next_time()), (200, 200, None));
        assert!(workload.customers.iter().all(Option::is_none));
    }

    #[test]
    fn some_customers_order_again_after_three_inactive_months() {
        let touchpoints = first_of(5, 2.0, 30_000);
        let mut last = std::collections::HashMap::new();
        let mut returned = 0;
        for touchpoint in touchpoints.iter().filter(|touchpoint| touchpoint.activity.type_name == "order_completed") {
            let before = last.insert(&touchpoint.customer_id, touchpoint.occurred_at);
            if before.is_some_and(|before| touchpoint.occurred_at - before > Duration::from_days(90)) {
                returned += 1;
            }
        }
        assert!(returned > 20, "{returned}");
    }

    #[test]
    fn few_touchpoints_occur_at_night() {
        let touchpoints = first(7, 10_000);
        let is_night =
            |touchpoint: &&GeneratedTouchpoint| touchpoint.occurred_at.as_millis().rem_euclid(DAY_MS) < NIGHT_END_MS;
        let nights = touchpoints.iter().filter(is_night).count();
        assert!((100..1_500).contains(&nights), "{nights} of 10,000 touchpoints in a quarter of the day");
    }
}
