//! When customers want to be woken: a calendar of days, of which those that have begun are divided into minutes, re-armed lazily.
//!
//! A customer stands in at most one bucket that counts; it moves only when it is woken or when its instant comes earlier.
//! Entries left behind are recognised and skipped. Within a minute customers are woken by instant, then by id; so nobody of a
//! bucket is woken before all of it has been looked at, which takes several rounds where it is large.
//!
//! Days, because most wake-ups lie months ahead and never come to pass: a year of minutes is half a million lists of one or two
//! customers each, and to find the right one costs a restore more than all else that it does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::lifecycle::time::Timestamp;

/// A customer's place in the partition's table.
pub(crate) type Place = u32;

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 1_440;
/// Bytes that a bucket takes in the calendar, beside its places.
const BUCKET_BYTES: usize = 8 + size_of::<Bucket>() + 16;

/// Not in any bucket.
const UNARMED: i64 = i64::MAX;

/// Moved from a bucket into the list of those that are due.
const DUE: i64 = i64::MIN;

/// The wake-ups of a partition.
#[derive(Debug)]
pub(crate) struct WakeUps {
    /// By first minute: minutes before `days_from`, days from there on.
    buckets: BTreeMap<i64, Bucket>,
    /// The first minute of the first day that is not divided into minutes.
    days_from: i64,
    /// What is left of the day that is being divided, the one before `days_from`.
    dividing: Bucket,
    /// By place: the first minute of the bucket that counts, [`UNARMED`] or [`DUE`].
    armed: Vec<i64>,
    /// The customers of buckets that have begun to be drained, the earliest on top.
    due: BinaryHeap<Reverse<(Timestamp, Arc<str>, Place)>>,
    pending: usize,
}

/// The customers of a minute or a day.
#[derive(Debug, Default)]
struct Bucket {
    places: Vec<Place>,
    /// The first minute that one of them wanted; somebody who moved on may have been the one.
    earliest: i64,
}

/// Who is to be woken next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NextDue {
    /// The customer at this place.
    Customer(Place),
    /// Nobody.
    Nobody,
    /// Not known yet: as many entries have been looked at as may be.
    Unknown,
}

impl Default for WakeUps {
    fn default() -> Self {
        Self {
            buckets: BTreeMap::new(),
            days_from: i64::MIN,
            dividing: Bucket::default(),
            armed: Vec::new(),
            due: BinaryHeap::new(),
            pending: 0,
        }
    }
}

impl WakeUps {
    /// Notes that the customer at `place` wants to be woken at `instant` (never, if `None`).
    pub(crate) fn arm(&mut self, place: Place, id: &str, instant: Option<Timestamp>) {
        let index = place as usize;
        if self.armed.len() <= index {
            self.armed.resize(index + 1, UNARMED);
        }
        let Some(instant) = instant else { return };
        let minute = minute_of(instant);
        let bucket = if minute < self.days_from { minute } else { day_of(minute) };
        let armed = self.armed[index];
        if armed == DUE {
            // Its entry in the due list is looked at anyway; an earlier instant needs one of its own.
            self.due.push(Reverse((instant, id.into(), place)));
        } else if bucket <= armed {
            let found = self.buckets.entry(bucket).or_insert(Bucket { places: Vec::new(), earliest: minute });
            found.earliest = found.earliest.min(minute);
            if bucket < armed {
                found.places.push(place);
                self.pending += usize::from(armed == UNARMED);
                self.armed[index] = bucket;
            }
        }
    }

    /// Who is to be woken next by `until`. `wake_up` tells when a customer wants to be woken; each question takes one off `looks`.
    pub(crate) fn next_due(
        &mut self,
        until: Timestamp,
        looks: &mut usize,
        mut wake_up: impl FnMut(Place) -> Option<(Timestamp, Arc<str>)>,
    ) -> NextDue {
        let minute_until = minute_of(until);
        loop {
            if !self.divide(looks, &mut wake_up) {
                return NextDue::Unknown;
            }
            let due_minute = self.due.peek().map(|Reverse((instant, ..))| minute_of(*instant));
            let next = self.buckets.first_entry().filter(|next| next.get().earliest <= minute_until);
            // A bucket goes to the due list before anything of its own minute or later is taken from there.
            if let Some(mut next) = next.filter(|next| due_minute.is_none_or(|due| next.get().earliest <= due)) {
                let bucket = *next.key();
                if bucket >= self.days_from {
                    self.dividing = next.remove();
                    self.days_from = bucket + DAY_MINUTES;
                    continue;
                }
                let Some(place) = next.get_mut().places.pop() else {
                    next.remove();
                    continue;
                };
                if self.armed[place as usize] == bucket {
                    let Some(left) = looks.checked_sub(1) else {
                        next.get_mut().places.push(place);
                        return NextDue::Unknown;
                    };
                    *looks = left;
                    self.look_at(place, bucket, wake_up(place));
                }
                continue;
            }
            let Some(Reverse((instant, ..))) = self.due.peek() else { return NextDue::Nobody };
            if *instant > until {
                return NextDue::Nobody;
            }
            let Some(left) = looks.checked_sub(1) else { return NextDue::Unknown };
            *looks = left;
            let Some(Reverse((instant, id, place))) = self.due.pop() else { return NextDue::Nobody };
            if self.armed[place as usize] == DUE {
                let wanted = wake_up(place).map(|(wanted, _)| wanted);
                self.unarm(place);
                if wanted.is_some_and(|wanted| wanted <= instant) {
                    return NextDue::Customer(place);
                }
                self.arm(place, &id, wanted);
            }
        }
    }

    /// Goes on dividing a day that has begun. Returns whether nothing of it is left.
    fn divide(&mut self, looks: &mut usize, mut wake_up: impl FnMut(Place) -> Option<(Timestamp, Arc<str>)>) -> bool {
        while let Some(place) = self.dividing.places.pop() {
            if self.armed[place as usize] == self.days_from - DAY_MINUTES {
                let Some(left) = looks.checked_sub(1) else {
                    self.dividing.places.push(place);
                    return false;
                };
                *looks = left;
                self.move_to(place, wake_up(place));
            }
        }
        // The room of a crowd is not kept until the next day.
        self.dividing = Bucket::default();
        true
    }

    /// Takes the customer at `place` out of its `minute`, to be woken in turn or to wait for the instant it wants by now.
    fn look_at(&mut self, place: Place, minute: i64, wanted: Option<(Timestamp, Arc<str>)>) {
        match wanted {
            Some((instant, id)) if minute_of(instant) <= minute => {
                self.armed[place as usize] = DUE;
                self.due.push(Reverse((instant, id, place)));
            }
            other => self.move_to(place, other),
        }
    }

    /// Has the customer at `place` wait for the instant it wants by now.
    fn move_to(&mut self, place: Place, wanted: Option<(Timestamp, Arc<str>)>) {
        self.unarm(place);
        if let Some((instant, id)) = wanted {
            self.arm(place, &id, Some(instant));
        }
    }

    /// Nobody is due before this instant.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        let dividing = (!self.dividing.places.is_empty()).then_some(&self.dividing);
        let buckets = self.buckets.first_key_value().map(|(_, bucket)| bucket).into_iter().chain(dividing);
        let of_buckets = buckets.map(|bucket| Timestamp::from_millis(bucket.earliest.saturating_mul(MINUTE_MS)));
        let of_due = self.due.peek().map(|Reverse((instant, ..))| *instant);
        of_buckets.chain(of_due).min()
    }

    /// How many customers are waiting.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let buckets = self.buckets.values().chain([&self.dividing]);
        let entries: usize = buckets.map(|bucket| bucket.places.capacity() * size_of::<Place>() + BUCKET_BYTES).sum();
        entries
            + self.armed.capacity() * size_of::<i64>()
            + self.due.capacity() * size_of::<(Timestamp, Arc<str>, Place)>()
    }

    /// Forgets the customer at `place`, which is about to be somebody else's.
    pub(crate) fn forget(&mut self, place: Place) {
        if let Some(&armed) = self.armed.get(place as usize)
            && armed != UNARMED
        {
            self.unarm(place);
        }
    }

    fn unarm(&mut self, place: Place) {
        self.pending -= 1;
        self.armed[place as usize] = UNARMED;
    }
}

fn minute_of(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(MINUTE_MS)
}

/// The first minute of the day of `minute`.
fn day_of(minute: i64) -> i64 {
    minute - minute.rem_euclid(DAY_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 1_000 * MINUTE_MS;

    /// Customers who all want to be woken within one minute, at the instants of the table; their ids are their places.
    struct Crowd(Vec<Option<Timestamp>>);

    impl Crowd {
        fn of(count: u32) -> Self {
            let mut random = fastrand::Rng::with_seed(3);
            Self((0..count).map(|_| Some(Timestamp::from_millis(MINUTE + random.i64(0..50)))).collect())
        }

        fn armed(&self) -> WakeUps {
            let mut wake_ups = WakeUps::default();
            for (place, &instant) in (0..).zip(&self.0) {
                wake_ups.arm(place, &id(place), instant);
            }
            wake_ups
        }

        fn wanted(&self, place: Place) -> Option<(Timestamp, Arc<str>)> {
            self.0[place as usize].map(|instant| (instant, id(place).into()))
        }

        fn in_order(&self) -> Vec<Place> {
            let mut places: Vec<Place> =
                (0..).take(self.0.len()).filter(|&place| self.wanted(place).is_some()).collect();
            places.sort_by_key(|&place| self.wanted(place));
            places
        }
    }

    fn id(place: Place) -> String {
        format!("c-{place}")
    }

    #[test]
    fn a_crowded_minute_is_looked_at_in_slices_and_then_woken_in_order() {
        let crowd = Crowd::of(10_000);
        let mut wake_ups = crowd.armed();
        let until = Timestamp::from_millis(MINUTE + 100);
        let (mut woken, mut rounds) = (Vec::new(), 0);
        loop {
            let (mut looks, mut questions) = (300, 0);
            let next = loop {
                let next = wake_ups.next_due(until, &mut looks, |place| {
                    questions += 1;
                    crowd.wanted(place)
                });
                let NextDue::Customer(place) = next else { break next };
                woken.push(place);
            };
            assert!(questions <= 300, "{questions} customers looked at in one round");
            rounds += 1;
            if next == NextDue::Nobody {
                break;
            }
            assert!(rounds > 10_000 / 300 || woken.is_empty(), "one was woken before all were looked at");
        }
        assert_eq!(woken, crowd.in_order());
        assert_eq!((wake_ups.pending(), wake_ups.earliest()), (0, None));
    }

    #[test]
    fn what_changes_while_a_crowd_is_being_looked_at_counts() {
        // In the middle of the day's division, at its end, in the middle of the minute.
        for looks in [500, 1_000, 1_500] {
            change_after(looks);
        }
    }

    fn change_after(mut looks: usize) {
        let mut crowd = Crowd::of(1_000);
        let mut wake_ups = crowd.armed();
        let until = Timestamp::from_millis(MINUTE + 100);
        let next = wake_ups.next_due(until, &mut looks, |place| crowd.wanted(place));
        assert_eq!((next, looks), (NextDue::Unknown, 0));
        // Of those looked at and of those not yet: one wants it earlier, one later, one not any more, one is gone.
        for places in [[0, 1, 2, 3], [996, 997, 998, 999]] {
            let [earlier, later, never, gone] = places;
            crowd.0[earlier as usize] = Some(Timestamp::from_millis(MINUTE - 5 * MINUTE_MS));
            crowd.0[later as usize] = Some(Timestamp::from_millis(MINUTE + 5 * MINUTE_MS));
            crowd.0[never as usize] = None;
            crowd.0[gone as usize] = None;
            for place in places {
                wake_ups.arm(place, &id(place), crowd.0[place as usize]);
            }
            wake_ups.forget(gone);
        }
        let mut woken = Vec::new();
        while let NextDue::Customer(place) =
            wake_ups.next_due(until, &mut usize::MAX.clone(), |place| crowd.wanted(place))
        {
            woken.push(place);
        }
        let expected: Vec<_> = crowd.in_order().into_iter().filter(|place| ![1, 997].contains(place)).collect();
        assert_eq!(woken, expected);
        assert_eq!(wake_ups.pending(), 2);
    }

    #[test]
    fn whatever_is_armed_and_when_time_passes_customers_are_woken_in_order() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let mut wake_ups = WakeUps::default();
            let mut wanted: Vec<Option<i64>> = vec![None; 40];
            let mut now: i64 = 0;
            for _ in 0..60 {
                // Within minutes of each other, within days, on the edge of a day.
                let step = [90_000, 30 * 3_600_000, 24 * 3_600_000][random.usize(0..3)];
                for _ in 0..random.usize(0..8) {
                    let place = random.u32(0..40);
                    let instant = match random.u8(0..8) {
                        0 => None,
                        1 => Some(now - now.rem_euclid(86_400_000) + 86_400_000),
                        _ => Some(now + random.i64(1..2 * step)),
                    };
                    wanted[place as usize] = instant;
                    wake_ups.arm(place, &id(place), instant.map(Timestamp::from_millis));
                }
                now += random.i64(1..step);
                let of = |place: Place, wanted: &[Option<i64>]| {
                    wanted[place as usize].map(|instant| (Timestamp::from_millis(instant), Arc::from(id(place))))
                };
                let mut expected: Vec<_> =
                    (0..40).filter_map(|place| of(place, &wanted).map(|due| (due, place))).collect();
                expected.retain(|((instant, _), _)| instant.as_millis() <= now);
                expected.sort();
                if let Some(((first, _), _)) = expected.first() {
                    assert!(wake_ups.earliest().is_some_and(|earliest| earliest <= *first));
                }
                let mut woken = Vec::new();
                loop {
                    let mut looks = random.usize(1..9);
                    match wake_ups.next_due(Timestamp::from_millis(now), &mut looks, |place| of(place, &wanted)) {
                        NextDue::Customer(place) => {
                            woken.push((of(place, &wanted).expect("only who wants it is woken"), place));
                            wanted[place as usize] = None;
                        }
                        NextDue::Unknown => {}
                        NextDue::Nobody => break,
                    }
                }
                assert_eq!(woken, expected);
                // One that has no wake-up left may still stand in a bucket, to be looked at in vain.
                assert!(wake_ups.pending() >= wanted.iter().flatten().count());
            }
        }
    }
}
