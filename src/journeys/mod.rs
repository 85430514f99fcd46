//! Generated customers whose touchpoints look like those of a shop: for the demo, for load, benchmarks and tests.
//!
//! The same seed gives the same touchpoints, in order of time; [`Delivery`] then sends them with the faults of a real
//! network. Needs nothing but the rules' notion of time. What is kept is bounded by the customers who still have plans.

mod customer;
mod delivery;
mod touchpoint;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::lifecycle::time::{Duration, Timestamp};

use customer::Customer;
pub use delivery::{Delivered, Delivery, Faults};
pub use touchpoint::GeneratedTouchpoint;

const DAY_MS: i64 = 86_400_000;
/// Before this hour of the day (UTC) people sleep, mostly.
const WAKING_MS: i64 = 6 * 3_600_000;
/// One in so many is up all the same.
const AWAKE_AT_NIGHT: u32 = 8;

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

/// Touchpoints of all customers, in order of time, without end unless customers are [limited](Journeys::limited_to).
#[derive(Debug)]
pub struct Journeys {
    rng: Rng,
    options: JourneyOptions,
    customers_max: u64,
    /// How many have appeared.
    arrived: u64,
    next_arrival: Timestamp,
    /// Those who still have plans; a place that is free is taken again.
    customers: Vec<Option<Customer>>,
    free: Vec<usize>,
    /// When each customer does something next: time, the customer's number, place in `customers`.
    agenda: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    touchpoints: u64,
    /// Begins event and order ids.
    tag: String,
}

impl Journeys {
    /// Nobody has appeared yet.
    #[must_use]
    pub fn new(options: JourneyOptions) -> Self {
        Self {
            rng: Rng::with_seed(options.seed),
            options,
            customers_max: u64::MAX,
            arrived: 0,
            next_arrival: options.start,
            customers: Vec::new(),
            free: Vec::new(),
            agenda: BinaryHeap::new(),
            touchpoints: 0,
            tag: String::new(),
        }
    }

    /// After so many customers nobody new appears.
    #[must_use]
    pub fn limited_to(self, customers_max: u64) -> Self {
        Self { customers_max, ..self }
    }

    /// Begins event and order ids with `tag`, so that those of one run are none of another's.
    #[must_use]
    pub fn tagged(self, tag: String) -> Self {
        Self { tag, ..self }
    }

    /// How many customers have appeared.
    #[must_use]
    pub fn customers(&self) -> u64 {
        self.arrived
    }

    /// When somebody appears or does something next; `None` when nobody will.
    #[must_use]
    pub fn next_time(&self) -> Option<Timestamp> {
        let planned = self.agenda.peek().map(|Reverse((time, ..))| *time);
        let arrival = (self.arrived < self.customers_max).then_some(self.next_arrival);
        planned.into_iter().chain(arrival).min()
    }

    /// The next touchpoint if it happens by `until`.
    pub fn next_by(&mut self, until: Timestamp) -> Option<GeneratedTouchpoint> {
        loop {
            let planned = self.agenda.peek().map(|Reverse((time, ..))| *time);
            if self.arrived < self.customers_max && planned.is_none_or(|planned| self.next_arrival <= planned) {
                if self.next_arrival > until {
                    return None;
                }
                self.arrive();
                continue;
            }
            let time = planned.filter(|&planned| planned <= until)?;
            let Reverse((_, number, place)) = self.agenda.pop()?;
            let customer = self.customers[place].as_mut()?;
            let step = customer.step(&mut self.rng);
            let customer_id = customer.id.clone();
            if let Some(days) = step.pause_days {
                let next = self.waking(time + days_of(days.max(0.000_1)));
                self.agenda.push(Reverse((next, number, place)));
            } else {
                self.customers[place] = None;
                self.free.push(place);
            }
            self.touchpoints += 1;
            let mut act = step.act;
            act.order_id = act.order_id.map(|order_id| format!("{}{order_id}", self.tag));
            return Some(GeneratedTouchpoint {
                event_id: format!("{}t{:08}", self.tag, self.touchpoints),
                customer_id,
                occurred_at: time,
                act,
            });
        }
    }

    fn arrive(&mut self) {
        let customer = Customer::new(self.arrived, &mut self.rng);
        let place = self.free.pop().unwrap_or(self.customers.len());
        if place == self.customers.len() {
            self.customers.push(Some(customer));
        } else {
            self.customers[place] = Some(customer);
        }
        let time = self.waking(self.next_arrival);
        self.agenda.push(Reverse((time, self.arrived, place)));
        self.arrived += 1;
        // Even chances need no logarithm, whose last digits differ between machines.
        let days = 2.0 * self.rng.f64() / self.options.customers_per_day.max(f64::MIN_POSITIVE);
        self.next_arrival = self.next_arrival + days_of(days.min(3_650.0));
    }

    /// The time of day at which somebody does what they could do from `time` on.
    fn waking(&mut self, time: Timestamp) -> Timestamp {
        let since_midnight = time.as_millis().rem_euclid(DAY_MS);
        if since_midnight >= WAKING_MS || self.rng.u32(0..AWAKE_AT_NIGHT) == 0 {
            return time;
        }
        time + Duration::from_millis(WAKING_MS - since_midnight + self.rng.i64(0..3 * 3_600_000))
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

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn journeys(seed: u64, customers_per_day: f64) -> Journeys {
        Journeys::new(JourneyOptions { seed, start: START, customers_per_day })
    }

    fn first(seed: u64, count: usize) -> Vec<GeneratedTouchpoint> {
        first_of(seed, 50.0, count)
    }

    fn first_of(seed: u64, customers_per_day: f64, count: usize) -> Vec<GeneratedTouchpoint> {
        let mut journeys = journeys(seed, customers_per_day);
        let until = START + Duration::from_days(1_000);
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
        let mut journeys = journeys(1, 10.0);
        let until = START + Duration::from_days(2);
        while let Some(touchpoint) = journeys.next_by(until) {
            assert!(touchpoint.occurred_at <= until);
        }
        assert_eq!(journeys.next_by(until), None);
        assert!(journeys.next_by(until + Duration::from_days(30)).is_some());
    }

    #[test]
    fn the_journeys_of_so_many_customers_end_and_nothing_of_them_is_kept() {
        let mut journeys = journeys(1, 100.0).limited_to(200);
        let mut seen = HashSet::new();
        while let Some(touchpoint) = journeys.next_by(START + Duration::from_days(100_000)) {
            seen.insert(touchpoint.customer_id);
        }
        assert_eq!((seen.len(), journeys.customers(), journeys.next_time()), (200, 200, None));
        assert!(journeys.customers.iter().all(Option::is_none));
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

    #[test]
    fn nights_are_quiet() {
        let touchpoints = first(7, 10_000);
        let is_night =
            |touchpoint: &&GeneratedTouchpoint| touchpoint.occurred_at.as_millis().rem_euclid(DAY_MS) < WAKING_MS;
        let nights = touchpoints.iter().filter(is_night).count();
        assert!((100..1_500).contains(&nights), "a quarter of the day has {nights} of 10,000");
    }
}
