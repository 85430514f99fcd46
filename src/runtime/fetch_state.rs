//! Flow control: pauses, seeks and resumes the assigned partitions in the client.
//!
//! A partition is paused while it is restored, during a recovery, and while state exceeds its limit. A failed call
//! leaves the fetch state unknown and is retried in the next step.

use std::collections::BTreeMap;

use crate::kafka::{Member, PartitionId, PartitionOffset};

use super::assigned_partition::AssignedPartition;
use super::fatal::Fatal;
use super::worker::{Worker, unless_fatal};

/// Whether the client returns records of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FetchState {
    Paused,
    Resumed,
    /// A pause or resume call failed; it may have taken effect nevertheless.
    Unknown,
}

impl<M: Member> Worker<M> {
    /// Makes the calls that bring the client's fetch state in line with the partitions' phases.
    pub(super) fn apply_fetch_state(&mut self) -> Result<(), Fatal> {
        let may_fetch = !self.recovery.is_pending() && !self.is_over_limit;
        let select = |assigned: &BTreeMap<PartitionId, AssignedPartition>,
                      wanted: fn(&AssignedPartition, bool) -> bool|
         -> Vec<PartitionId> {
            assigned
                .iter()
                .filter(|(_, assigned)| wanted(assigned, may_fetch))
                .map(|(&partition, _)| partition)
                .collect()
        };
        let to_pause = select(&self.partitions, |assigned, may_fetch| {
            assigned.fetch_state != FetchState::Paused && !(may_fetch && assigned.is_running())
        });
        if !to_pause.is_empty() {
            let has_succeeded = unless_fatal(self.member.pause(&to_pause))?.is_some();
            self.update_all(&to_pause, |assigned| {
                assigned.fetch_state = if has_succeeded { FetchState::Paused } else { FetchState::Unknown }
            });
        }
        let to_seek =
            select(&self.partitions, |assigned, may_fetch| assigned.needs_seek && may_fetch && assigned.is_running());
        if !to_seek.is_empty() {
            let positions: Vec<_> = to_seek.iter().map(|partition| self.position_of(*partition)).collect();
            if unless_fatal(self.member.seek(&positions))?.is_none() {
                return Ok(());
            }
            self.update_all(&to_seek, |assigned| assigned.needs_seek = false);
        }
        let to_resume = select(&self.partitions, |assigned, may_fetch| {
            assigned.fetch_state != FetchState::Resumed && may_fetch && assigned.is_running()
        });
        if !to_resume.is_empty() {
            let has_succeeded = unless_fatal(self.member.resume(&to_resume))?.is_some();
            self.update_all(&to_resume, |assigned| {
                assigned.fetch_state = if has_succeeded { FetchState::Resumed } else { FetchState::Unknown }
            });
        }
        Ok(())
    }

    fn position_of(&self, partition: PartitionId) -> PartitionOffset {
        PartitionOffset { partition, offset: self.partitions[&partition].position }
    }

    fn update_all(&mut self, partitions: &[PartitionId], update: impl Fn(&mut AssignedPartition)) {
        for partition in partitions {
            if let Some(assigned) = self.partitions.get_mut(partition) {
                update(assigned);
            }
        }
    }
}
