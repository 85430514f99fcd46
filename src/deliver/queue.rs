//! The deliveries of a destination that are not done: which are ready, which wait, and in which order.
//!
//! With [`Order::PerCustomer`] at most one delivery of a customer is ready, in flight or waiting for a retry; later
//! ones are behind it. Other customers go on. Pure: time is a parameter.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// The order in which a destination receives deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Order {
    /// The deliveries of one customer in the order of their transitions, one at a time.
    #[default]
    PerCustomer,
    /// Any order.
    None,
}

/// Number of a delivery, in the order of admission.
pub type Ticket = u64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// An earlier delivery of the customer is not done.
    Behind,
    Ready,
    Waiting(Instant),
    InFlight,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    customer: Arc<[u8]>,
    bytes: usize,
    state: State,
    admitted: Instant,
}

/// The deliveries that are not done.
#[derive(Debug)]
pub struct Queue<T> {
    order: Order,
    entries: BTreeMap<Ticket, Entry<T>>,
    ready: BTreeSet<Ticket>,
    waiting: BTreeSet<(Instant, Ticket)>,
    /// The deliveries of each customer, in order; only with [`Order::PerCustomer`].
    lanes: HashMap<Arc<[u8]>, VecDeque<Ticket>>,
    next_ticket: Ticket,
    bytes: usize,
    in_flight: usize,
}

impl<T> Queue<T> {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(order: Order) -> Self {
        Self {
            order,
            entries: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            lanes: HashMap::new(),
            next_ticket: 0,
            bytes: 0,
            in_flight: 0,
        }
    }

    /// Adds a delivery of `customer`, whose record has `bytes` bytes.
    pub fn push(&mut self, customer: &[u8], bytes: usize, item: T, now: Instant) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let mut state = State::Ready;
        let customer: Arc<[u8]> = match self.order {
            Order::None => Arc::from(customer),
            Order::PerCustomer => {
                let customer = match self.lanes.get_key_value(customer) {
                    Some((known, _)) => Arc::clone(known),
                    None => Arc::from(customer),
                };
                let lane = self.lanes.entry(Arc::clone(&customer)).or_default();
                if !lane.is_empty() {
                    state = State::Behind;
                }
                lane.push_back(ticket);
                customer
            }
        };
        if state == State::Ready {
            self.ready.insert(ticket);
        }
        self.bytes += bytes;
        self.entries.insert(ticket, Entry { item, customer, bytes, state, admitted: now });
        ticket
    }

    /// Makes the deliveries ready whose wait is over.
    pub fn wake(&mut self, now: Instant) {
        while let Some(&(at, ticket)) = self.waiting.first()
            && at <= now
        {
            self.waiting.pop_first();
            self.set(ticket, State::Ready);
        }
    }

    /// Removes up to `count` ready deliveries, oldest first, and counts them as in flight.
    pub fn take(&mut self, count: usize) -> Vec<Ticket> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some(ticket) = self.ready.pop_first()
        {
            self.set(ticket, State::InFlight);
            taken.push(ticket);
        }
        taken
    }

    /// Returns a delivery in flight to those that are ready: it was not attempted.
    pub fn put_back(&mut self, ticket: Ticket) {
        self.set(ticket, State::Ready);
    }

    /// Makes a delivery in flight wait until `at`.
    pub fn retry(&mut self, ticket: Ticket, at: Instant) {
        self.set(ticket, State::Waiting(at));
    }

    /// Removes a delivery, and makes the next one of its customer ready.
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let entry = self.entries.remove(&ticket)?;
        self.bytes -= entry.bytes;
        match entry.state {
            State::Behind => {}
            State::Ready => _ = self.ready.remove(&ticket),
            State::Waiting(at) => _ = self.waiting.remove(&(at, ticket)),
            State::InFlight => self.in_flight -= 1,
        }
        if self.order == Order::PerCustomer
            && let Some(lane) = self.lanes.get_mut(&entry.customer)
        {
            lane.retain(|it| *it != ticket);
            match lane.front().copied() {
                None => _ = self.lanes.remove(&entry.customer),
                Some(first) if self.entries.get(&first).is_some_and(|it| it.state == State::Behind) => {
                    self.set(first, State::Ready);
                }
                Some(_) => {}
            }
        }
        Some(entry.item)
    }

    /// Removes the deliveries for which `is_removed` holds, except those in flight.
    pub fn remove_where(&mut self, is_removed: impl Fn(&T) -> bool) {
        let tickets: Vec<Ticket> = (self.entries.iter())
            .filter(|(_, entry)| entry.state != State::InFlight && is_removed(&entry.item))
            .map(|(ticket, _)| *ticket)
            .collect();
        // Newest first, so that no removal makes a delivery ready that is removed next.
        for ticket in tickets.into_iter().rev() {
            self.remove(ticket);
        }
    }

    fn set(&mut self, ticket: Ticket, state: State) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        let before = std::mem::replace(&mut entry.state, state);
        if before == State::InFlight {
            self.in_flight -= 1;
        }
        match state {
            State::Behind => {}
            State::Ready => _ = self.ready.insert(ticket),
            State::Waiting(at) => _ = self.waiting.insert((at, ticket)),
            State::InFlight => self.in_flight += 1,
        }
    }

    /// Returns a delivery.
    #[must_use]
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        self.entries.get(&ticket).map(|entry| &entry.item)
    }

    /// Returns a delivery, to change it.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.entries.get_mut(&ticket).map(|entry| &mut entry.item)
    }

    /// Returns when the oldest delivery that is not done was admitted.
    #[must_use]
    pub fn oldest(&self) -> Option<(&T, Instant)> {
        self.entries.first_key_value().map(|(_, entry)| (&entry.item, entry.admitted))
    }

    /// Returns when the oldest ready delivery was admitted.
    #[must_use]
    pub fn oldest_ready(&self) -> Option<Instant> {
        self.ready.first().and_then(|ticket| self.entries.get(ticket)).map(|entry| entry.admitted)
    }

    /// Returns the number of ready deliveries.
    #[must_use]
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Returns the number of deliveries in flight.
    #[must_use]
    pub const fn in_flight_count(&self) -> usize {
        self.in_flight
    }

    /// Returns whether a delivery for which `predicate` holds is in flight.
    #[must_use]
    pub fn has_in_flight(&self, predicate: impl Fn(&T) -> bool) -> bool {
        self.entries.values().any(|entry| entry.state == State::InFlight && predicate(&entry.item))
    }

    /// Returns the number of deliveries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no deliveries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the size of the records of all deliveries, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns when the next wait is over.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_waiting_delivery_holds_up_its_customer_only() {
        let start = Instant::now();
        let mut queue = Queue::new(Order::PerCustomer);
        let first = queue.push(b"a", 1, "a1", start);
        queue.push(b"a", 1, "a2", start);
        let other = queue.push(b"b", 1, "b1", start);
        assert_eq!(queue.take(10), [first, other]);
        queue.retry(first, start + Duration::from_secs(5));
        queue.remove(other);
        assert!(queue.take(10).is_empty());
        queue.wake(start + Duration::from_secs(4));
        assert!(queue.take(10).is_empty());
        queue.wake(start + Duration::from_secs(5));
        assert_eq!(queue.take(10), [first]);
        queue.remove(first);
        let second = queue.take(10);
        assert_eq!(second.iter().filter_map(|it| queue.get(*it)).collect::<Vec<_>>(), [&"a2"]);
    }

    #[test]
    fn without_order_a_customer_may_have_several_in_flight() {
        let start = Instant::now();
        let mut queue = Queue::new(Order::None);
        queue.push(b"a", 3, 1, start);
        queue.push(b"a", 4, 2, start);
        assert_eq!((queue.take(10).len(), queue.bytes(), queue.in_flight_count()), (2, 7, 2));
    }

    #[test]
    fn removing_a_partition_keeps_what_is_in_flight() {
        let start = Instant::now();
        let mut queue = Queue::new(Order::PerCustomer);
        let first = queue.push(b"a", 1, 1, start);
        queue.push(b"a", 1, 1, start);
        queue.push(b"b", 1, 2, start);
        queue.take(1);
        queue.remove_where(|partition| *partition == 1);
        assert_eq!((queue.len(), queue.has_in_flight(|it| *it == 1)), (2, true));
        queue.remove(first);
        assert_eq!((queue.len(), queue.ready_count(), queue.in_flight_count()), (1, 1, 0));
    }

    proptest! {
        /// Whatever happens, the deliveries of a customer are done in the order of admission, one in flight at a time,
        /// and all are done in the end.
        #[test]
        fn the_order_of_each_customer_is_kept(
            steps in proptest::collection::vec((0_u8..6, 0_u8..5, any::<prop::sample::Index>()), 1..300),
        ) {
            let mut now = Instant::now();
            let mut queue = Queue::new(Order::PerCustomer);
            let (mut in_flight, mut pushed) = (Vec::new(), 0_u32);
            let mut done: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut finish = |queue: &mut Queue<(u8, u32)>, ticket| {
                let (customer, number) = queue.remove(ticket).expect("a delivery in flight");
                done.entry(customer).or_default().push(number);
            };
            for (action, customer, choice) in steps {
                match action {
                    0 | 1 => {
                        queue.push(&[customer], 1, (customer, pushed), now);
                        pushed += 1;
                    }
                    2 => in_flight.extend(queue.take(1 + choice.index(3))),
                    3 if !in_flight.is_empty() => {
                        finish(&mut queue, in_flight.swap_remove(choice.index(in_flight.len())));
                    }
                    4 if !in_flight.is_empty() => {
                        let ticket = in_flight.swap_remove(choice.index(in_flight.len()));
                        queue.retry(ticket, now + Duration::from_secs(u64::from(customer)));
                    }
                    _ => {
                        now += Duration::from_secs(1);
                        queue.wake(now);
                    }
                }
                let customers: BTreeSet<u8> = in_flight.iter().filter_map(|it| Some(queue.get(*it)?.0)).collect();
                prop_assert_eq!(customers.len(), in_flight.len(), "a customer has two deliveries in flight");
                prop_assert_eq!(queue.in_flight_count(), in_flight.len());
            }
            for ticket in in_flight {
                finish(&mut queue, ticket);
            }
            queue.wake(now + Duration::from_mins(1));
            while let [ticket] = queue.take(1)[..] {
                finish(&mut queue, ticket);
            }
            prop_assert!(queue.is_empty() && queue.bytes() == 0);
            prop_assert_eq!(done.values().map(Vec::len).sum::<usize>(), pushed as usize);
            for numbers in done.values() {
                prop_assert!(numbers.is_sorted(), "{numbers:?}");
            }
        }
    }
}
