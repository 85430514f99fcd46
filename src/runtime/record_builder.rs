//! Builds the Kafka records of a batch: transitions, dead letters and changelog batches.
//!
//! Encoding of the values is in `wire`; the transaction is in `commit`.

use std::sync::Arc;

use crate::kafka::{PartitionId, ProducerRecord, RecordHeader};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;
use crate::partition::{ChangelogBatch, DeadLetter};
use crate::wire::dead_letter::{self, Origin};
use crate::wire::header::Header;
use crate::wire::transition::{Mode, Publication};
use crate::wire::{changelog, transition_json};

use super::assigned_partition::{AssignedPartition, DeadLetterRecord};
use super::options::Options;
use super::pending_counts::TopicKind;
use super::recent_transitions;

/// Typical maximum size of a transition record in bytes, without the ids and values that it contains.
const TRANSITION_BYTES: usize = 700;

/// Estimates the size of the records of `transitions`, so that a transaction can be limited before they are built.
pub(super) fn estimated_record_bytes(transitions: &[Transition]) -> usize {
    transitions.iter().map(|transition| TRANSITION_BYTES + 2 * transition.customer_id.len()).sum()
}

/// Builds Kafka records. Their record timestamp is wall time, because the broker's retention would delete replayed
/// transitions at once if it were event time.
#[derive(Debug)]
pub(super) struct RecordBuilder {
    models: Arc<ModelSet>,
    options: Arc<Options>,
}

/// What a partition writes to the changelog in a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChangelogWrite {
    /// Index of the last changelog record among the records of the transaction.
    pub(super) last_changelog_record: Option<usize>,
    pub(super) changelog_bytes: u64,
}

impl RecordBuilder {
    pub(super) fn new(models: Arc<ModelSet>, options: Arc<Options>) -> Self {
        Self { models, options }
    }

    /// Appends the pending records of `assigned` to `records`, with `wall` as the time of publication.
    pub(super) fn append_records(
        &self,
        assigned: &mut AssignedPartition,
        wall: Timestamp,
        records: &mut Vec<ProducerRecord>,
    ) -> ChangelogWrite {
        assigned.published_at = wall;
        assigned.pending_counts.begin_writing();
        for transition in &assigned.effects.transitions {
            let mode = self.publication_mode(transition, wall);
            let record = self.transition(transition, mode, wall);
            assigned.pending_counts.count_written(TopicKind::of(mode), &record);
            records.push(record);
        }
        assert_eq!(
            assigned.effects.dead_letters.len(),
            assigned.dead_letter_records.len(),
            "every dead letter has an input record"
        );
        for (dead_letter, dead_letter_record) in
            assigned.effects.dead_letters.iter().zip(assigned.dead_letter_records.drain(..))
        {
            let record = self.dead_letter(*dead_letter, dead_letter_record, wall);
            assigned.pending_counts.count_written(TopicKind::DeadLetters, &record);
            records.push(record);
        }
        let mut written = ChangelogWrite { last_changelog_record: None, changelog_bytes: 0 };
        let mut batches = assigned.machine.write_batches(self.options.sweep.step_bytes_min);
        if batches.is_empty() && !assigned.effects.dead_letters.is_empty() {
            // Records that the dead letters are applied, in case the group's offsets are set back.
            batches.push(ChangelogBatch { customers: Vec::new(), count: 0 });
        }
        for batch in batches {
            let value = changelog::encode(assigned.machine.layout(), &batch, assigned.progress());
            written.changelog_bytes += u64::try_from(value.len()).unwrap_or(u64::MAX);
            written.last_changelog_record = Some(records.len());
            let record = self.changelog(assigned.committed.partition, value, wall);
            assigned.pending_counts.count_written(TopicKind::Changelog, &record);
            records.push(record);
        }
        written
    }

    /// Returns the mode in which `transition` is published at `wall`.
    pub(super) fn publication_mode(&self, transition: &Transition, wall: Timestamp) -> Mode {
        recent_transitions::publication_mode(transition, wall, self.options.fresh_for)
    }

    fn transition(&self, transition: &Transition, mode: Mode, wall: Timestamp) -> ProducerRecord {
        let publication = Publication {
            transition,
            models: &self.models,
            detected_at: wall,
            mode,
            currency: self.options.facts.currency,
        };
        let mut value = Vec::new();
        transition_json::write_json(&publication, &mut value);
        let topic = match mode {
            Mode::Live => &self.options.topics.transitions,
            Mode::Replay | Mode::Reconcile => &self.options.topics.replay,
        };
        ProducerRecord {
            topic: Arc::clone(topic),
            partition: None,
            key: Some(transition.customer_id.as_bytes().to_vec()),
            value: Some(value),
            headers: kafka_headers(self.options.cloud_events.headers(&publication, "application/json")),
            timestamp_ms: wall.as_millis(),
        }
    }

    fn dead_letter(
        &self,
        dead_letter: DeadLetter,
        dead_letter_record: DeadLetterRecord,
        wall: Timestamp,
    ) -> ProducerRecord {
        let DeadLetterRecord { mut record, detail } = dead_letter_record;
        let origin = Origin {
            topic: &self.options.topics.touchpoints,
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        };
        let mut original: Vec<_> =
            record.headers.into_iter().map(|RecordHeader { name, value }| Header { name, value }).collect();
        let cut = dead_letter::truncate(&mut record.key, &mut record.value, &mut original);
        let mut headers = dead_letter::headers(original, origin, dead_letter.reason, &detail);
        headers.extend(cut);
        ProducerRecord {
            topic: Arc::clone(&self.options.topics.dead_letters),
            partition: None,
            key: record.key,
            value: record.value,
            headers: kafka_headers(headers),
            timestamp_ms: wall.as_millis(),
        }
    }

    fn changelog(&self, partition: PartitionId, value: Vec<u8>, wall: Timestamp) -> ProducerRecord {
        ProducerRecord {
            topic: Arc::clone(&self.options.topics.changelog),
            partition: Some(partition),
            key: None,
            value: Some(value),
            headers: Vec::new(),
            timestamp_ms: wall.as_millis(),
        }
    }
}

fn kafka_headers(headers: Vec<Header>) -> Vec<RecordHeader> {
    headers.into_iter().map(|Header { name, value }| RecordHeader { name, value }).collect()
}
