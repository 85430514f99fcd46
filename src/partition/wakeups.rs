//! When customers want to be woken: calendar buckets of a minute, re-armed lazily.
//!
//! A customer stands in at most one bucket that counts; it moves only when it is woken or when its instant comes earlier.
//! Entries left behind are recognised and skipped. Within a bucket customers are woken by instant, then by id; so nobody of a
//! bucket is woken before all of it has been looked at, which takes several rounds where it is large.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::lifecycle::time::Timestamp;

/// A customer's place in the partition's table.
pub(crate) type Place = u32;

const BUCKET_MS: i64 = 60_000;

/// Not in any bucket.
const UNARMED: i64 = i64::MAX;

/// Moved from a bucket into the list of those that are due.
const DUE: i64 = i64::MIN;

/// The wake-ups of a partition.
#[derive(Debug, Default)]
pub(crate) struct WakeUps {
    buckets: BTreeMap<i64, Vec<Place>>,
    /// By place: the bucket that counts, [`UNARMED`] or [`DUE`].
    armed: Vec<i64>,
    /// The customers of buckets that have begun to be drained, the earliest on top.
    due: BinaryHeap<Reverse<(Timestamp, Arc<str>, Place)>>,
    pending: usize,
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

impl WakeUps {
    /// Notes that the customer at `place` wants to be woken at `instant` (never, if `None`).
    pub(crate) fn arm(&mut self, place: Place, id: &str, instant: Option<Timestamp>) {
        let index = place as usize;
        if self.armed.len() <= index {
            self.armed.resize(index + 1, UNARMED);
        }
        let Some(instant) = instant else { return };
        let bucket = bucket_of(instant);
        let armed = self.armed[index];
        if armed == DUE {
            // Its entry in the due list is looked at anyway; an earlier instant needs one of its own.
            self.due.push(Reverse((instant, id.into(), place)));
        } else if bucket < armed {
            self.pending += usize::from(armed == UNARMED);
            self.armed[index] = bucket;
            self.buckets.entry(bucket).or_default().push(place);
        }
    }

    /// Who is to be woken next by `until`. `wake_up` tells when a customer wants to be woken; each question takes one off `looks`.
    pub(crate) fn next_due(
        &mut self,
        until: Timestamp,
        looks: &mut usize,
        mut wake_up: impl FnMut(Place) -> Option<(Timestamp, Arc<str>)>,
    ) -> NextDue {
        let bucket_until = bucket_of(until);
        loop {
            let due_bucket = self.due.peek().map(|Reverse((instant, ..))| bucket_of(*instant));
            let next = self.buckets.first_entry().filter(|next| *next.key() <= bucket_until);
            // A bucket goes to the due list before anything of its own minute or later is taken from there.
            if let Some(mut next) = next.filter(|next| due_bucket.is_none_or(|due| *next.key() <= due)) {
                let bucket = *next.key();
                let Some(place) = next.get_mut().pop() else {
                    next.remove();
                    continue;
                };
                if self.armed[place as usize] == bucket {
                    let Some(left) = looks.checked_sub(1) else {
                        next.get_mut().push(place);
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

    /// Takes the customer at `place` out of its `bucket`, to be woken in turn or to wait for the instant it wants by now.
    fn look_at(&mut self, place: Place, bucket: i64, wanted: Option<(Timestamp, Arc<str>)>) {
        match wanted {
            Some((instant, id)) if bucket_of(instant) <= bucket => {
                self.armed[place as usize] = DUE;
                self.due.push(Reverse((instant, id, place)));
            }
            other => {
                self.unarm(place);
                if let Some((instant, id)) = other {
                    self.arm(place, &id, Some(instant));
                }
            }
        }
    }

    /// Nobody is due before this instant.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        let of_bucket =
            self.buckets.first_key_value().map(|(&bucket, _)| Timestamp::from_millis(bucket.saturating_mul(BUCKET_MS)));
        let of_due = self.due.peek().map(|Reverse((instant, ..))| *instant);
        of_bucket.into_iter().chain(of_due).min()
    }

    /// How many customers are waiting.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let entries: usize = self.buckets.values().map(|places| places.capacity() * size_of::<Place>() + 48).sum();
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

fn bucket_of(instant: Timestamp) -> i64 {
    instant.as_millis().div_euclid(BUCKET_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 1_000 * BUCKET_MS;

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
        let mut crowd = Crowd::of(1_000);
        let mut wake_ups = crowd.armed();
        let until = Timestamp::from_millis(MINUTE + 100);
        let next = wake_ups.next_due(until, &mut 500, |place| crowd.wanted(place));
        assert_eq!(next, NextDue::Unknown);
        // Of those looked at and of those not yet: one wants it earlier, one later, one not any more, one is gone.
        for places in [[0, 1, 2, 3], [996, 997, 998, 999]] {
            let [earlier, later, never, gone] = places;
            crowd.0[earlier as usize] = Some(Timestamp::from_millis(MINUTE - 5 * BUCKET_MS));
            crowd.0[later as usize] = Some(Timestamp::from_millis(MINUTE + 5 * BUCKET_MS));
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
}
