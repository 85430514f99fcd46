//! What a worker has done: plain numbers, counted once they are committed.

use std::collections::BTreeMap;

use crate::lifecycle::id::ModelIndex;
use crate::partition::{Reason, Tally};
use crate::wire::transition::Mode;

/// What a worker has done since it started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Touchpoints and wake-ups.
    pub tally: Tally,
    /// Dead letters, by reason.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// Transitions published, by model, kind and mode.
    pub transitions: BTreeMap<(u8, &'static str, Mode), u64>,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that came to nothing.
    pub aborts: u64,
    /// Transactions whose outcome had to be looked up.
    pub renewals: u64,
    /// Partitions gained.
    pub gained: u64,
    /// Partitions revoked.
    pub revoked: u64,
    /// Partitions lost.
    pub lost: u64,
    /// Customers restored.
    pub restored: u64,
    /// Sweeps begun.
    pub sweeps: u64,
    /// Changelogs truncated.
    pub truncations: u64,
    /// Truncations that failed.
    pub truncations_failed: u64,
}

impl Report {
    pub(super) fn add(&mut self, tally: &Tally) {
        self.tally.consumed += tally.consumed;
        self.tally.applied += tally.applied;
        self.tally.duplicates += tally.duplicates;
        self.tally.late += tally.late;
        self.tally.unknown_types += tally.unknown_types;
        self.tally.wake_ups += tally.wake_ups;
    }

    pub(super) fn published(&mut self, model: ModelIndex, kind: &'static str, mode: Mode) {
        *self.transitions.entry((model.0, kind, mode)).or_default() += 1;
    }
}
