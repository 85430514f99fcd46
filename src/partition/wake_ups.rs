//! The timer queue of a partition: a calendar queue with a bucket per day, split into minutes once the day begins.
//!
//! Each customer has at most one valid entry. Arming an earlier instant moves the entry; arming a later one does not.
//! Instead, the customer's current instant is looked up when the entry is due, and the entry is moved then. Invalid
//! entries are skipped.
//!
//! Within a minute, wake-ups fire in order of instant, then id. All customers of a bucket are therefore looked up
//! before the first of them fires, which takes several calls if the bucket is large.
//!
//! Buckets are days because most wake-ups are months ahead and are rescheduled before they fire. With a bucket per
//! minute, a year would have half a million buckets of one or two customers each, and finding the bucket would dominate
//! the cost of a restore.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::lifecycle::time::Timestamp;

/// The index of a customer in the slab of the partition.
pub(crate) type CustomerSlot = u32;

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 1_440;
/// The overhead of a bucket in the calendar, in bytes, without its slots.
const BUCKET_BYTES: usize = 8 + size_of::<Bucket>() + 16;

/// A value of [`WakeUps::armed`]: not in any bucket.
const UNARMED: i64 = i64::MAX;

/// A value of [`WakeUps::armed`]: moved from its bucket to the due heap.
const DUE: i64 = i64::MIN;

/// The scheduled wake-ups of a partition.
#[derive(Debug)]
pub(crate) struct WakeUps {
    /// Buckets by first minute: one per minute before `day_buckets_from`, one per day from there on.
    buckets: BTreeMap<i64, Bucket>,
    /// The first minute of the first day that is not split into minutes.
    day_buckets_from: i64,
    /// The rest of the day that ends at `day_buckets_from`: customers not yet moved to the bucket of their minute.
    day_being_split: Bucket,
    /// By slot: the first minute of the bucket with the valid entry, [`UNARMED`] or [`DUE`].
    armed: Vec<i64>,
    /// The due heap: customers taken from buckets of due minutes, the earliest on top.
    due: BinaryHeap<Reverse<(Timestamp, Arc<str>, CustomerSlot)>>,
    /// The number of customers with a valid entry.
    pending: usize,
}

/// The customers of a minute or a day.
#[derive(Debug, Default)]
struct Bucket {
    slots: Vec<CustomerSlot>,
    /// A lower bound of the minutes for which the customers are scheduled.
    earliest: i64,
}

/// The result of [`WakeUps::next_due`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NextDue {
    /// The customer at this slot.
    Customer(CustomerSlot),
    /// No wake-up is due.
    NoneDue,
    /// The lookup budget is used up, but more wake-ups may be due. The caller must call again.
    BudgetExhausted,
}

impl Default for WakeUps {
    fn default() -> Self {
        Self {
            buckets: BTreeMap::new(),
            day_buckets_from: i64::MIN,
            day_being_split: Bucket::default(),
            armed: Vec::new(),
            due: BinaryHeap::new(),
            pending: 0,
        }
    }
}

impl WakeUps {
    /// Schedules the customer at `slot` for `instant`. `None` leaves the old entry in place; it is discarded when it is
    /// due.
    pub(crate) fn arm(&mut self, slot: CustomerSlot, id: &str, instant: Option<Timestamp>) {
        let index = slot as usize;
        while self.armed.len() <= index {
            reserve_slot(&mut self.armed);
            self.armed.push(UNARMED);
        }
        let Some(instant) = instant else { return };
        let minute = minute_of(instant);
        let bucket = if minute < self.day_buckets_from { minute } else { day_of(minute) };
        let armed = self.armed[index];
        if armed == DUE {
            // Its entry in the due heap is verified before it fires, but an earlier instant needs an entry of its own.
            self.due.push(Reverse((instant, id.into(), slot)));
        } else if bucket <= armed {
            let found = self.buckets.entry(bucket).or_insert(Bucket { slots: Vec::new(), earliest: minute });
            found.earliest = found.earliest.min(minute);
            if bucket < armed {
                found.slots.push(slot);
                self.pending += usize::from(armed == UNARMED);
                self.armed[index] = bucket;
            }
        }
    }

    /// Returns the next customer that is due by `until`. `look_up` returns the scheduled instant and the id of a
    /// customer; each call takes one from `budget`.
    pub(crate) fn next_due(
        &mut self,
        until: Timestamp,
        budget: &mut usize,
        mut look_up: impl FnMut(CustomerSlot) -> Option<(Timestamp, Arc<str>)>,
    ) -> NextDue {
        let minute_until = minute_of(until);
        loop {
            if !self.split_day(budget, &mut look_up) {
                return NextDue::BudgetExhausted;
            }
            let due_minute = self.due.peek().map(|Reverse((instant, ..))| minute_of(*instant));
            let next = self.buckets.first_entry().filter(|next| next.get().earliest <= minute_until);
            // All entries of a minute must be in the due heap before the first of them is taken from it.
            if let Some(mut next) = next.filter(|next| due_minute.is_none_or(|due| next.get().earliest <= due)) {
                let bucket = *next.key();
                if bucket >= self.day_buckets_from {
                    self.day_being_split = next.remove();
                    self.day_buckets_from = bucket + DAY_MINUTES;
                    continue;
                }
                let Some(slot) = next.get_mut().slots.pop() else {
                    next.remove();
                    continue;
                };
                if self.armed[slot as usize] == bucket {
                    let Some(left) = budget.checked_sub(1) else {
                        next.get_mut().slots.push(slot);
                        return NextDue::BudgetExhausted;
                    };
                    *budget = left;
                    self.take_from_minute(slot, bucket, look_up(slot));
                }
                continue;
            }
            let Some(Reverse((instant, ..))) = self.due.peek() else { return NextDue::NoneDue };
            if *instant > until {
                return NextDue::NoneDue;
            }
            let Some(left) = budget.checked_sub(1) else { return NextDue::BudgetExhausted };
            *budget = left;
            let Some(Reverse((instant, id, slot))) = self.due.pop() else { return NextDue::NoneDue };
            if self.armed[slot as usize] == DUE {
                let scheduled = look_up(slot).map(|(scheduled, _)| scheduled);
                self.invalidate(slot);
                if scheduled.is_some_and(|scheduled| scheduled <= instant) {
                    return NextDue::Customer(slot);
                }
                self.arm(slot, &id, scheduled);
            }
        }
    }

    /// Continues to move the customers of a day into buckets of minutes. Returns whether all of them are moved.
    fn split_day(
        &mut self,
        budget: &mut usize,
        mut look_up: impl FnMut(CustomerSlot) -> Option<(Timestamp, Arc<str>)>,
    ) -> bool {
        while let Some(slot) = self.day_being_split.slots.pop() {
            if self.armed[slot as usize] == self.day_buckets_from - DAY_MINUTES {
                let Some(left) = budget.checked_sub(1) else {
                    self.day_being_split.slots.push(slot);
                    return false;
                };
                *budget = left;
                self.rearm(slot, look_up(slot));
            }
        }
        // Frees the memory of a large bucket.
        self.day_being_split = Bucket::default();
        true
    }

    /// Moves the customer at `slot` from the bucket `minute` to the due heap, or re-arms it if it is now scheduled for
    /// later.
    fn take_from_minute(&mut self, slot: CustomerSlot, minute: i64, scheduled: Option<(Timestamp, Arc<str>)>) {
        match scheduled {
            Some((instant, id)) if minute_of(instant) <= minute => {
                self.armed[slot as usize] = DUE;
                self.due.push(Reverse((instant, id, slot)));
            }
            other => self.rearm(slot, other),
        }
    }

    /// Replaces the entry of the customer at `slot` by one at its current instant.
    fn rearm(&mut self, slot: CustomerSlot, scheduled: Option<(Timestamp, Arc<str>)>) {
        self.invalidate(slot);
        if let Some((instant, id)) = scheduled {
            self.arm(slot, &id, Some(instant));
        }
    }

    /// Returns a lower bound of the next due instant.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        let day_being_split = (!self.day_being_split.slots.is_empty()).then_some(&self.day_being_split);
        let buckets = self.buckets.first_key_value().map(|(_, bucket)| bucket).into_iter().chain(day_being_split);
        let of_buckets = buckets.map(|bucket| Timestamp::from_millis(bucket.earliest.saturating_mul(MINUTE_MS)));
        let of_due = self.due.peek().map(|Reverse((instant, ..))| *instant);
        of_buckets.chain(of_due).min()
    }

    /// Returns the number of customers with a valid entry.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Returns the memory used, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let buckets = self.buckets.values().chain([&self.day_being_split]);
        let entries: usize =
            buckets.map(|bucket| bucket.slots.capacity() * size_of::<CustomerSlot>() + BUCKET_BYTES).sum();
        entries
            + self.armed.capacity() * size_of::<i64>()
            + self.due.capacity() * size_of::<(Timestamp, Arc<str>, CustomerSlot)>()
    }

    /// Removes the entry of the customer at `slot`, so that the slot can be reused.
    pub(crate) fn disarm(&mut self, slot: CustomerSlot) {
        if let Some(&armed) = self.armed.get(slot as usize)
            && armed != UNARMED
        {
            self.invalidate(slot);
        }
    }

    fn invalidate(&mut self, slot: CustomerSlot) {
        self.pending -= 1;
        self.armed[slot as usize] = UNARMED;
    }
}

/// Makes room for one more element in a list by slot. The list grows by an eighth; if it doubled, as usual, a third of
/// its memory would be unused on average.
pub(super) fn reserve_slot<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(4));
    }
}

fn minute_of(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(MINUTE_MS)
}

/// Returns the first minute of the day of `minute`.
fn day_of(minute: i64) -> i64 {
    minute - minute.rem_euclid(DAY_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 1_000 * MINUTE_MS;

    /// Many customers scheduled within one minute, at the instants in the vector, by slot.
    struct CrowdedMinute(Vec<Option<Timestamp>>);

    impl CrowdedMinute {
        fn of(count: u32) -> Self {
            let mut random = fastrand::Rng::with_seed(3);
            Self((0..count).map(|_| Some(Timestamp::from_millis(MINUTE + random.i64(0..50)))).collect())
        }

        fn armed(&self) -> WakeUps {
            let mut wake_ups = WakeUps::default();
            for (slot, &instant) in (0..).zip(&self.0) {
                wake_ups.arm(slot, &id(slot), instant);
            }
            wake_ups
        }

        fn scheduled(&self, slot: CustomerSlot) -> Option<(Timestamp, Arc<str>)> {
            self.0[slot as usize].map(|instant| (instant, id(slot).into()))
        }

        fn in_order(&self) -> Vec<CustomerSlot> {
            let mut slots: Vec<CustomerSlot> =
                (0..).take(self.0.len()).filter(|&slot| self.scheduled(slot).is_some()).collect();
            slots.sort_by_key(|&slot| self.scheduled(slot));
            slots
        }
    }

    fn id(slot: CustomerSlot) -> String {
        format!("c-{slot}")
    }

    #[test]
    fn all_customers_of_a_minute_are_looked_up_in_several_calls_before_they_fire_in_order() {
        let minute = CrowdedMinute::of(10_000);
        let mut wake_ups = minute.armed();
        let until = Timestamp::from_millis(MINUTE + 100);
        let (mut woken, mut rounds) = (Vec::new(), 0);
        loop {
            let (mut budget, mut lookups) = (300, 0);
            let next = loop {
                let next = wake_ups.next_due(until, &mut budget, |slot| {
                    lookups += 1;
                    minute.scheduled(slot)
                });
                let NextDue::Customer(slot) = next else { break next };
                woken.push(slot);
            };
            assert!(lookups <= 300, "{lookups} lookups in one round");
            rounds += 1;
            if next == NextDue::NoneDue {
                break;
            }
            assert!(rounds > 10_000 / 300 || woken.is_empty(), "a wake-up fired before all customers were looked up");
        }
        assert_eq!(woken, minute.in_order());
        assert_eq!((wake_ups.pending(), wake_ups.earliest()), (0, None));
    }

    #[test]
    fn changes_during_the_lookups_of_a_minute_take_effect() {
        // While the day is split into minutes, at the end of the split, and while the minute is looked up.
        for budget in [500, 1_000, 1_500] {
            change_after(budget);
        }
    }

    fn change_after(mut budget: usize) {
        let mut minute = CrowdedMinute::of(1_000);
        let mut wake_ups = minute.armed();
        let until = Timestamp::from_millis(MINUTE + 100);
        let next = wake_ups.next_due(until, &mut budget, |slot| minute.scheduled(slot));
        assert_eq!((next, budget), (NextDue::BudgetExhausted, 0));
        // Four customers already looked up and four not yet: rescheduled earlier, later, cancelled, and removed.
        for slots in [[0, 1, 2, 3], [996, 997, 998, 999]] {
            let [earlier, later, never, gone] = slots;
            minute.0[earlier as usize] = Some(Timestamp::from_millis(MINUTE - 5 * MINUTE_MS));
            minute.0[later as usize] = Some(Timestamp::from_millis(MINUTE + 5 * MINUTE_MS));
            minute.0[never as usize] = None;
            minute.0[gone as usize] = None;
            for slot in slots {
                wake_ups.arm(slot, &id(slot), minute.0[slot as usize]);
            }
            wake_ups.disarm(gone);
        }
        let mut woken = Vec::new();
        while let NextDue::Customer(slot) =
            wake_ups.next_due(until, &mut usize::MAX.clone(), |slot| minute.scheduled(slot))
        {
            woken.push(slot);
        }
        let expected: Vec<_> = minute.in_order().into_iter().filter(|slot| ![1, 997].contains(slot)).collect();
        assert_eq!(woken, expected);
        assert_eq!(wake_ups.pending(), 2);
    }

    #[test]
    fn wake_ups_fire_in_order_for_random_schedules_and_times() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let mut wake_ups = WakeUps::default();
            let mut scheduled: Vec<Option<i64>> = vec![None; 40];
            let mut now: i64 = 0;
            for _ in 0..60 {
                // Steps of minutes, hours and days.
                let step = [90_000, 30 * 3_600_000, 24 * 3_600_000][random.usize(0..3)];
                for _ in 0..random.usize(0..8) {
                    let slot = random.u32(0..40);
                    let instant = match random.u8(0..8) {
                        0 => None,
                        1 => Some(now - now.rem_euclid(86_400_000) + 86_400_000),
                        _ => Some(now + random.i64(1..2 * step)),
                    };
                    scheduled[slot as usize] = instant;
                    wake_ups.arm(slot, &id(slot), instant.map(Timestamp::from_millis));
                }
                now += random.i64(1..step);
                let of = |slot: CustomerSlot, scheduled: &[Option<i64>]| {
                    scheduled[slot as usize].map(|instant| (Timestamp::from_millis(instant), Arc::from(id(slot))))
                };
                let mut expected: Vec<_> =
                    (0..40).filter_map(|slot| of(slot, &scheduled).map(|due| (due, slot))).collect();
                expected.retain(|((instant, _), _)| instant.as_millis() <= now);
                expected.sort();
                if let Some(((first, _), _)) = expected.first() {
                    assert!(wake_ups.earliest().is_some_and(|earliest| earliest <= *first));
                }
                let mut woken = Vec::new();
                loop {
                    let mut budget = random.usize(1..9);
                    match wake_ups.next_due(Timestamp::from_millis(now), &mut budget, |slot| of(slot, &scheduled)) {
                        NextDue::Customer(slot) => {
                            woken.push((of(slot, &scheduled).expect("only scheduled customers are returned"), slot));
                            scheduled[slot as usize] = None;
                        }
                        NextDue::BudgetExhausted => {}
                        NextDue::NoneDue => break,
                    }
                }
                assert_eq!(woken, expected);
                // A cancelled wake-up may still have an entry in a bucket.
                assert!(wake_ups.pending() >= scheduled.iter().flatten().count());
            }
        }
    }
}
