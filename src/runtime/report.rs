//! What a worker has done: plain numbers, counted once they are committed.

use std::collections::BTreeMap;

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::transition::{Cause, Change, Transition};
use crate::partition::{Reason, Tally};
use crate::telemetry::distribution::Measured;
use crate::telemetry::metrics::{TOPIC_KINDS, Volume};
use crate::wire::transition::Mode;

/// What a worker has done since it started.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Touchpoints and wake-ups.
    pub tally: Tally,
    /// Dead letters, by reason.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// Transitions published, by what they have in common and then by name.
    pub transitions: BTreeMap<Sort, BTreeMap<Box<str>, u64>>,
    /// Those of kind stage, by model and by the stages left and entered; `None` is no stage.
    pub moves: BTreeMap<(u8, Option<StageIndex>, Option<StageIndex>), u64>,
    /// Bytes of the records consumed.
    pub touchpoint_bytes: u64,
    /// Records and bytes written, in the order of [`TOPIC_KINDS`].
    pub written: [Volume; TOPIC_KINDS.len()],
    /// Latencies, durations, sizes.
    pub measured: Measured,
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

/// What transitions that are counted together have in common, beside the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sort {
    /// Which model's, by index.
    pub model: u8,
    /// As published: `stage`.
    pub kind: &'static str,
    /// What caused them: `touchpoint` or `time`.
    pub cause: &'static str,
    /// On which occasion they were published.
    pub mode: Mode,
}

impl Report {
    pub(super) fn published(&mut self, transition: &Transition, mode: Mode) {
        let cause = match transition.cause {
            Cause::Time => "time",
            Cause::Touchpoint { .. } => "touchpoint",
        };
        let sort = Sort { model: transition.model.0, kind: transition.change.kind(), cause, mode };
        let names = self.transitions.entry(sort).or_default();
        match names.get_mut(&transition.name) {
            Some(count) => *count += 1,
            None => _ = names.insert(transition.name.clone(), 1),
        }
        if let Change::Stage { from, to, .. } = transition.change {
            *self.moves.entry((transition.model.0, from, to)).or_default() += 1;
        }
    }
}
