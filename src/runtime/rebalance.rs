//! Rebalance callbacks: partitions assigned, revoked, lost.
//!
//! A rebalance blocks until the member answers, so a new partition is accepted at once, paused at a placeholder offset.
//! Its committed offset and its state are loaded afterwards, interleaved with live processing.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{Member, PartitionId, PartitionOffset};

use super::assigned_partition::AssignedPartition;
use super::fatal::Fatal;
use super::wall_clock::Moment;
use super::worker::Worker;

impl<M: Member> Worker<M> {
    /// Accepts newly assigned partitions.
    pub(super) fn on_assigned(&mut self, partitions: &[PartitionId], now: Moment) -> Result<(), Fatal> {
        let positions: Vec<_> = partitions.iter().map(|&partition| PartitionOffset { partition, offset: 0 }).collect();
        self.member.assign(&positions).map_err(Fatal::Client)?;
        for &partition in partitions {
            let assigned = self.new_partition(partition, now);
            self.partitions.insert(partition, assigned);
        }
        self.report.assigned += partitions.len() as u64;
        tracing::info!(partitions = ?in_order(partitions), "partitions assigned, restoring state");
        Ok(())
    }

    /// Commits the pending changes, then releases the partitions. The transaction must end before the release: the
    /// broker checks the group generation of an offset commit, but not whether the member still owns the partition.
    pub(super) fn on_revoked(&mut self, partitions: &[PartitionId], now: Moment) -> Result<(), Fatal> {
        if !self.recovery.is_pending() {
            self.commit(now)?;
        }
        // If the commit failed, the batch is dropped together with the partitions, and the next owner processes the
        // records again. An unknown outcome is safe too: the next owner cannot fetch the committed offsets before the
        // transaction has ended.
        self.drop_partitions(partitions)?;
        self.report.revoked += partitions.len() as u64;
        tracing::info!(partitions = ?in_order(partitions), "partitions revoked");
        Ok(())
    }

    /// Drops partitions that another member may already own.
    pub(super) fn on_lost(&mut self, partitions: &[PartitionId]) -> Result<(), Fatal> {
        self.drop_partitions(partitions)?;
        self.report.lost += partitions.len() as u64;
        tracing::info!(partitions = ?in_order(partitions), "partitions lost, dropped pending changes");
        Ok(())
    }

    /// Returns a partition that is assigned but not yet restored.
    pub(super) fn new_partition(&self, partition: PartitionId, now: Moment) -> AssignedPartition {
        AssignedPartition::new(partition, Arc::clone(&self.models), self.options.facts.clone(), now.elapsed)
    }

    fn drop_partitions(&mut self, partitions: &[PartitionId]) -> Result<(), Fatal> {
        for partition in partitions {
            self.partitions.remove(partition);
            self.stop_restoring(*partition)?;
        }
        // Update the memory budget in this step: another worker of this process may be assigned the partitions, and
        // their state would count twice.
        self.next_memory_check = Duration::ZERO;
        self.member.unassign(partitions).map_err(Fatal::Client)
    }
}

/// Sorts partitions for the log.
fn in_order(partitions: &[PartitionId]) -> Vec<PartitionId> {
    let mut partitions = partitions.to_vec();
    partitions.sort_unstable();
    partitions
}
