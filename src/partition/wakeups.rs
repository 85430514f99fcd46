//! When customers want to be woken: calendar buckets of a minute, re-armed lazily.
//!
//! A customer stands in at most one bucket that counts; it moves only when it is woken or when its instant comes earlier.
//! Entries left behind are recognised and skipped. Within a bucket customers are woken by instant, then by id.

use std::collections::BTreeMap;
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
    /// The customers of buckets that have begun to be drained, the latest first.
    due: Vec<(Timestamp, Arc<str>, Place)>,
    pending: usize,
}

impl WakeUps {
    /// Notes that the customer at `place` wants to be woken at `instant` (never, if `None`).
    pub(crate) fn arm(&mut self, place: Place, id: &Arc<str>, instant: Option<Timestamp>) {
        let index = place as usize;
        if self.armed.len() <= index {
            self.armed.resize(index + 1, UNARMED);
        }
        let Some(instant) = instant else { return };
        let bucket = instant.as_millis().div_euclid(BUCKET_MS);
        let armed = self.armed[index];
        if armed == DUE {
            // Its entry in the due list is looked at anyway; an earlier instant needs one of its own.
            self.insert_due(instant, Arc::clone(id), place);
        } else if bucket < armed {
            self.pending += usize::from(armed == UNARMED);
            self.armed[index] = bucket;
            self.buckets.entry(bucket).or_default().push(place);
        }
    }

    /// The next customer to look at, if its bucket has begun by `until`. `wake_up` tells when a customer wants to be woken.
    pub(crate) fn next_due(
        &mut self,
        until: Timestamp,
        mut wake_up: impl FnMut(Place) -> Option<(Timestamp, Arc<str>)>,
    ) -> Option<Place> {
        let bucket_until = until.as_millis().div_euclid(BUCKET_MS);
        loop {
            let due_bucket = self.due.last().map(|(instant, ..)| instant.as_millis().div_euclid(BUCKET_MS));
            let next_bucket = self.buckets.first_key_value().map(|(&bucket, _)| bucket);
            // A bucket goes to the due list before anything of its own minute or later is taken from there.
            if let Some(bucket) =
                next_bucket.filter(|&next| next <= bucket_until && due_bucket.is_none_or(|due| next <= due))
            {
                let places = self.buckets.remove(&bucket).unwrap_or_default();
                for place in places {
                    if self.armed[place as usize] != bucket {
                        continue;
                    }
                    match wake_up(place) {
                        Some((instant, id)) if instant.as_millis().div_euclid(BUCKET_MS) <= bucket => {
                            self.armed[place as usize] = DUE;
                            self.due.push((instant, id, place));
                        }
                        other => {
                            self.unarm(place);
                            if let Some((instant, id)) = other {
                                self.arm(place, &id, Some(instant));
                            }
                        }
                    }
                }
                self.due.sort_unstable_by(|left, right| (right.0, &right.1).cmp(&(left.0, &left.1)));
                continue;
            }
            let (instant, ..) = self.due.last()?;
            if *instant > until {
                return None;
            }
            let (instant, id, place) = self.due.pop()?;
            if self.armed[place as usize] == DUE {
                match wake_up(place) {
                    Some((wanted, _)) if wanted <= instant => {
                        self.unarm(place);
                        return Some(place);
                    }
                    wanted => {
                        self.unarm(place);
                        self.arm(place, &id, wanted.map(|(wanted, _)| wanted));
                    }
                }
            }
        }
    }

    /// Nobody is due before this instant.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        let of_bucket =
            self.buckets.first_key_value().map(|(&bucket, _)| Timestamp::from_millis(bucket.saturating_mul(BUCKET_MS)));
        let of_due = self.due.last().map(|&(instant, ..)| instant);
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

    fn insert_due(&mut self, instant: Timestamp, id: Arc<str>, place: Place) {
        let at = self.due.partition_point(|other| (other.0, &other.1) > (instant, &id));
        self.due.insert(at, (instant, id, place));
    }
}
