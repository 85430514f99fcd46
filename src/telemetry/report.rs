//! Counters of a worker since its start: plain numbers with one owner. A batch is counted only after its commit.

use std::collections::BTreeMap;

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Cause, Change, Transition};
use crate::partition::{DeadLetterReason, RefusalReason, Tally};

use super::histogram::Measurements;
use super::ingest::IngestReport;

/// Values of the `topic_kind` label.
pub const TOPIC_KINDS: [&str; 7] =
    ["transitions", "replay", "changelog", "dead_letters", "touchpoints", "current_stages", "hand_overs"];

/// Values of the `kind` label of hand-overs: a customer claims a visitor, the facts of a visitor move, a customer was
/// removed, a touchpoint is forwarded, facts have arrived.
pub const HAND_OVER_KINDS: [&str; 5] = ["claim", "facts", "erase", "touchpoint", "redirect"];

/// Counters of a worker since its start.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Touchpoints and wake-ups.
    pub tally: Tally,
    /// Dead letters, by reason.
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
    /// Published transitions, by group and then by name.
    pub transitions: BTreeMap<TransitionGroup, BTreeMap<Box<str>, u64>>,
    /// Published stage transitions, by model and by previous and new stage; `None` means no stage.
    pub moves: BTreeMap<StageMove, u64>,
    /// Bytes of the consumed records.
    pub touchpoint_bytes: u64,
    /// Records and bytes written, in the order of [`TOPIC_KINDS`].
    pub written: [Volume; TOPIC_KINDS.len()],
    /// Hand-overs written, in the order of [`HAND_OVER_KINDS`].
    pub hand_overs: [u64; HAND_OVER_KINDS.len()],
    /// Refused links, in the order of [`RefusalReason::ALL`].
    pub links_refused: [u64; RefusalReason::ALL.len()],
    /// Latencies, durations and sizes.
    pub measured: Measurements,
    /// Transactions committed.
    pub commits: u64,
    /// Wall time of the last commit; `None` before the first one.
    pub last_commit_at: Option<Timestamp>,
    /// Transactions aborted.
    pub aborts: u64,
    /// Transactions with an unknown outcome, each followed by a producer reset.
    pub producer_resets: u64,
    /// Partitions assigned.
    pub assigned: u64,
    /// Partitions revoked.
    pub revoked: u64,
    /// Partitions lost.
    pub lost: u64,
    /// Customers restored.
    pub restored: u64,
    /// Changelog sweeps begun.
    pub sweeps: u64,
    /// Changelogs truncated.
    pub truncations: u64,
    /// Failed truncations.
    pub truncations_failed: u64,
    /// Records of the source that is read directly.
    pub direct: IngestReport,
}

/// A model, and the previous and new stage of a move; `None` means no stage.
pub type StageMove = (u8, Option<StageIndex>, Option<StageIndex>);

/// Labels of a group of transitions, without the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TransitionGroup {
    /// Index of the model.
    pub model: u8,
    /// Kind as published, for example `stage`.
    pub kind: &'static str,
    /// `touchpoint` or `time`.
    pub cause: &'static str,
    /// Publication mode, for example `live`.
    pub mode: &'static str,
}

/// Number and size of written records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Volume {
    /// Number of records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Report {
    /// Counts a transition published in `mode`.
    pub fn count_transition(&mut self, transition: &Transition, mode: &'static str) {
        let cause = match transition.cause {
            Cause::Time => "time",
            Cause::Touchpoint { .. } => "touchpoint",
        };
        let group = TransitionGroup { model: transition.model.0, kind: transition.change.kind(), cause, mode };
        let names = self.transitions.entry(group).or_default();
        match names.get_mut(&*transition.name) {
            Some(count) => *count += 1,
            None => _ = names.insert((&*transition.name).into(), 1),
        }
        if let Change::Stage { from, to, .. } = transition.change {
            *self.moves.entry((transition.model.0, from, to)).or_default() += 1;
        }
    }
}
