//! What the group gives and takes: partitions gained, revoked, lost.
//!
//! The group waits for the answer, so a gained partition is accepted at once, paused and at no position that matters; what was
//! committed, and the customers, are seen to afterwards beside the live work.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{Member, PartitionId, PartitionOffset};

use super::fatal::Fatal;
use super::held::Held;
use super::wall_clock::Moment;
use super::worker::Worker;

impl<M: Member> Worker<M> {
    /// Accepts partitions.
    pub(super) fn gain(&mut self, partitions: &[PartitionId], now: Moment) -> Result<(), Fatal> {
        let positions: Vec<_> = partitions.iter().map(|&partition| PartitionOffset { partition, offset: 0 }).collect();
        self.member.assign(&positions).map_err(Fatal::Client)?;
        for &partition in partitions {
            let held = self.fresh(partition, now);
            self.held.insert(partition, held);
        }
        self.report.gained += partitions.len() as u64;
        tracing::info!(partitions = ?sorted(partitions), "partitions gained; their customers are restored");
        Ok(())
    }

    /// Gives partitions to another member, after what is pending has been committed. The transaction must have ended before the
    /// group moves on: the broker checks the generation of a commit, not who owns the partition.
    pub(super) fn give_up(&mut self, partitions: &[PartitionId], now: Moment) -> Result<(), Fatal> {
        if !self.recovery.is_pending() {
            self.commit(now)?;
        }
        // If the commit failed, the batch is dropped with the partitions, and the next owner does it again. An outcome still
        // unknown is no danger: the next owner cannot read the committed offsets before the transaction has ended.
        self.drop_partitions(partitions)?;
        self.report.revoked += partitions.len() as u64;
        tracing::info!(partitions = ?sorted(partitions), "partitions revoked; other members take them over");
        Ok(())
    }

    /// Drops partitions that another member may already have.
    pub(super) fn lose(&mut self, partitions: &[PartitionId]) -> Result<(), Fatal> {
        self.drop_partitions(partitions)?;
        self.report.lost += partitions.len() as u64;
        tracing::info!(partitions = ?sorted(partitions), "partitions lost; others may have them already, so what was pending is dropped");
        Ok(())
    }

    /// A partition as it is before anything is known of it.
    pub(super) fn fresh(&self, partition: PartitionId, now: Moment) -> Held {
        Held::gained(partition, Arc::clone(&self.models), self.options.facts.clone(), now.elapsed)
    }

    fn drop_partitions(&mut self, partitions: &[PartitionId]) -> Result<(), Fatal> {
        for partition in partitions {
            self.held.remove(partition);
            self.stop_restoring(*partition)?;
        }
        // Another worker of this process may have them in a moment: they are not to weigh twice.
        self.weigh_at = Duration::ZERO;
        self.member.release(partitions).map_err(Fatal::Client)
    }
}

/// As people read them.
fn sorted(partitions: &[PartitionId]) -> Vec<PartitionId> {
    let mut partitions = partitions.to_vec();
    partitions.sort_unstable();
    partitions
}
