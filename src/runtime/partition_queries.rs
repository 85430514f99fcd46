//! What a worker answers about an assigned partition: its committed customers, and its status.

use std::sync::Arc;

use crate::partition::{Snapshot, StagePage};
use crate::telemetry::snapshot::PartitionStatus;

use super::assigned_partition::AssignedPartition;
use super::query::StageRequest;

impl AssignedPartition {
    /// Returns the memory used by the customers, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.machine().bytes()
    }

    /// Returns a customer's committed state.
    pub(super) fn snapshot(&self, customer_id: &str) -> Option<Snapshot> {
        self.machine().snapshot(customer_id)
    }

    /// Returns the customer that the visitor `id` became, if it did.
    pub(super) fn merged_into(&self, id: &str) -> Option<Arc<str>> {
        Some(self.machine().identity(id)?.stub?.into)
    }

    /// Returns customers of a stage; `None` if the cursor is from before a restore.
    pub(super) fn stage_page(&self, request: &StageRequest) -> Option<StagePage> {
        self.machine().stage_page(request.model, request.stage, request.cursor, request.customers_max)
    }

    /// Returns the status, without the lag and the progress of the restore.
    pub(super) fn status(&self) -> PartitionStatus {
        let clock = self.clock();
        PartitionStatus {
            partition: self.committed().partition,
            is_running: self.is_running(),
            restore: None,
            position: self.position().offset,
            committed_offset: self.committed().offset,
            lag_records: None,
            last_stable_offset: None,
            high_watermark: None,
            customers: self.machine().len(),
            stubs: self.machine().stubs(),
            oldest_hand_over: self.hand_overs().oldest_written_at(),
            bytes: self.machine().bytes(),
            wake_ups: self.machine().wake_ups_pending(),
            stream_time: clock.stream_time(),
            committed_stream_time: self.machine().committed_clock().stream_time(),
            watermark: self.watermark().current(clock),
            current_time: self.watermark().source_time(clock).filter(|_| self.is_running()),
            next_wake_up: self.machine().next_wake_up(),
            stage_counts: self.machine().stage_counts().to_vec(),
        }
    }
}
