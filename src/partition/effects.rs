//! Everything that a partition asks of the world, collected until the batch is committed.

use std::ops::{AddAssign, Sub};

use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;

use super::input::Rejected;

/// What a batch of inputs leads to. Cleared by whoever commits it, or dropped with the batch.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be published, in this order.
    pub transitions: Vec<Transition>,
    /// To be set aside, in this order.
    pub dead_letters: Vec<DeadLetter>,
    /// When the wake-ups that were worked off had been due.
    pub woken: Vec<Timestamp>,
    /// What to count once the batch is committed.
    pub tally: Tally,
}

/// A record to be set aside. The runtime keeps the record itself.
pub type DeadLetter = Rejected;

/// Counts of a batch: `consumed = applied + duplicates + dead letters`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Touchpoints and rejected records.
    pub consumed: u64,
    /// Touchpoints folded into facts.
    pub applied: u64,
    /// Touchpoints that the customer had already.
    pub duplicates: u64,
    /// Applied touchpoints older than their customer's clock.
    pub late: u64,
    /// Applied touchpoints of a type that nobody named.
    pub unknown_types: u64,
    /// Wake-ups worked off.
    pub wake_ups: u64,
    /// Customers removed because they asked for it.
    pub erased: u64,
    /// Customers removed because they never ordered and were silent for too long.
    pub forgotten: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.consumed += other.consumed;
        self.applied += other.applied;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.unknown_types += other.unknown_types;
        self.wake_ups += other.wake_ups;
        self.erased += other.erased;
        self.forgotten += other.forgotten;
    }
}

/// What was counted since `earlier`.
impl Sub for Tally {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            consumed: self.consumed - earlier.consumed,
            applied: self.applied - earlier.applied,
            duplicates: self.duplicates - earlier.duplicates,
            late: self.late - earlier.late,
            unknown_types: self.unknown_types - earlier.unknown_types,
            wake_ups: self.wake_ups - earlier.wake_ups,
            erased: self.erased - earlier.erased,
            forgotten: self.forgotten - earlier.forgotten,
        }
    }
}
