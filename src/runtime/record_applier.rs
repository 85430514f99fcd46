//! Decodes consumed records and applies them to their partitions. A record that cannot be decoded is applied as a dead
//! letter, so every consumed record is counted.

use crate::kafka::Record;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time;
use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::{DeadLetterCause, Scratch, TouchpointDecoder, TouchpointOptions};

use super::assignment::Assignment;
use super::open_batch::OpenBatch;
use super::options::Options;
use super::wall_clock::Moment;

/// Decodes and applies records.
#[derive(Debug)]
pub(super) struct RecordApplier {
    decoder: TouchpointDecoder,
    /// A touchpoint whose event time is further ahead of wall time than this becomes a dead letter.
    max_ahead: time::Duration,
}

impl RecordApplier {
    pub(super) fn new(models: &ModelSet, options: &Options) -> Self {
        let touchpoints = TouchpointOptions { bytes_max: options.touchpoint_bytes_max };
        Self { decoder: TouchpointDecoder::new(&models.vocabulary, touchpoints), max_ahead: options.max_ahead }
    }

    /// Applies a record to its partition, unless the partition does not expect it.
    pub(super) fn apply(&self, record: Record, assignment: &mut Assignment, batch: &mut OpenBatch, now: Moment) {
        let Some(assigned) = assignment.get_mut(record.partition).filter(|assigned| assigned.expects(record.offset))
        else {
            return;
        };
        let bytes = record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
        batch.add(1, bytes, now.elapsed);
        assigned.consume(record.offset, bytes, record.timestamp_ms);
        if assigned.contains(record.offset) {
            assigned.apply_again();
            return;
        }
        let mut scratch = Scratch::default();
        let cause = match self.decoder.decode(record.value.as_deref().unwrap_or_default(), &mut scratch) {
            Ok(touchpoint) if touchpoint.occurred_at - now.wall > self.max_ahead => DeadLetterCause {
                reason: DeadLetterReason::InFuture,
                detail: "occurred_at is later than wall time".into(),
            },
            Ok(touchpoint) => {
                batch.add(0, assigned.apply(&touchpoint), now.elapsed);
                return;
            }
            Err(cause) => cause,
        };
        assigned.apply_dead_letter(record, cause);
    }
}
