//! Builds the Kafka records of a batch: transitions, current stages, dead letters, forwarded erasures and changelog
//! batches.
//!
//! Encoding of the values is in `wire`; the transaction is in `commit`.

use std::sync::Arc;

use crate::kafka::partitioner::partition_of;
use crate::kafka::{PartitionId, ProducerRecord, Record, RecordBatch, RecordHeader};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;
use crate::partition::{DeadLetterReason, PublishedStanding};
use crate::wire::current_stages::CurrentStages;
use crate::wire::dead_letter::{self, Origin};
use crate::wire::hand_over::HandOverRecord;
use crate::wire::header::Header;
use crate::wire::transition::{Mode, Publication, RecordFormat};
use crate::wire::{transition_json, transition_protobuf};

use super::options::{Options, PublishOptions};
use super::publication_mode::publication_mode;
use super::tracer::TracedTouchpoint;

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

/// The input record of a dead letter, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DeadLetterRecord {
    pub(super) record: Record,
    pub(super) reason: DeadLetterReason,
    /// The invalid field; never its content.
    pub(super) detail: std::borrow::Cow<'static, str>,
}

/// An erasure that must reach the other partitions, too: records with a wrong key may have created parts of its
/// customer in any of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ForwardedErasure {
    /// Partition and offset of the record that was read.
    pub(super) partition: PartitionId,
    pub(super) offset: i64,
    pub(super) customer_id: Box<str>,
    /// The erasure in JSON.
    pub(super) value: Vec<u8>,
}

/// Header of a forwarded erasure: the partition and offset of the original record.
const FORWARDED_FROM: &str = "lifecycle_forwarded_from";

/// Returns whether the service has written `record` to the touchpoints topic, to forward an erasure. It is never
/// forwarded again.
#[must_use]
pub fn is_forwarded(record: &Record) -> bool {
    record.headers.iter().any(|header| header.name == FORWARDED_FROM)
}

impl RecordBuilder {
    pub(super) fn new(models: Arc<ModelSet>, options: Arc<Options>) -> Self {
        Self { models, options }
    }

    /// Returns the mode in which `transition` is published at `wall`.
    pub(super) fn publication_mode(&self, transition: &Transition, wall: Timestamp) -> Mode {
        publication_mode(transition, wall, self.options.fresh_for)
    }

    /// Appends the record of a transition published at `wall`, with the trace context of the touchpoint that caused it.
    /// Returns the size of its key and value.
    pub(super) fn write_transition(
        &self,
        transition: &Transition,
        mode: Mode,
        wall: Timestamp,
        cause: Option<&mut TracedTouchpoint>,
        records: &mut RecordBatch,
    ) -> usize {
        let publication = Publication {
            transition,
            models: &self.models,
            detected_at: wall,
            mode,
            currency: self.options.facts.currency,
            because: self.options.publish.because,
        };
        let PublishOptions { routes, format, schemas, .. } = &self.options.publish;
        let topic = match mode {
            Mode::Live => routes.topic(transition).unwrap_or(&self.options.topics.transitions),
            Mode::Replay | Mode::Reconcile => &self.options.topics.replay,
        };
        let mut record = records.add(topic, None, wall.as_millis());
        record.key(transition.customer_id.as_bytes());
        let prefix = schemas.of(topic);
        record.value(|out| {
            out.extend_from_slice(prefix);
            match format {
                RecordFormat::Json => transition_json::write_json(&publication, out),
                RecordFormat::Protobuf => transition_protobuf::write_protobuf(&publication, out),
            }
        });
        self.options.cloud_events.write_headers(&publication, format.content_type(), |name, value| {
            record.header(name, Some(value.as_bytes()));
        });
        if let Some(cause) = cause {
            cause.write_headers(topic, |name, value| record.header(name, Some(value)));
        }
        record.bytes()
    }

    /// Returns the topic of current stages; `None` if it is not written.
    pub(super) fn current_stages_topic(&self) -> Option<&Arc<str>> {
        self.options.publish.current_stages.as_ref()
    }

    /// Appends the record for `topic` with the current stages of a customer; without a standing, a tombstone. Returns
    /// the size of its key and value.
    pub(super) fn write_current_stages(
        &self,
        topic: &Arc<str>,
        customer_id: &str,
        standing: Option<&PublishedStanding>,
        wall: Timestamp,
        records: &mut RecordBatch,
    ) -> usize {
        let mut record = records.add(topic, None, wall.as_millis());
        record.key(customer_id.as_bytes());
        if let Some(standing) = standing {
            let current =
                CurrentStages { customer_id, standing, models: &self.models, currency: self.options.facts.currency };
            let PublishOptions { format, schemas, .. } = &self.options.publish;
            let prefix = schemas.of(topic);
            record.value(|out| {
                out.extend_from_slice(prefix);
                match format {
                    RecordFormat::Json => current.write_json(out),
                    RecordFormat::Protobuf => current.write_protobuf(out),
                }
            });
        }
        record.bytes()
    }

    /// Returns the records that forward an erasure to each other partition, with the customer id as key.
    pub(super) fn forwarded_erasure(
        &self,
        erasure: ForwardedErasure,
        wall: Timestamp,
    ) -> impl Iterator<Item = ProducerRecord> {
        let ForwardedErasure { partition: origin, offset, customer_id, value } = erasure;
        let from =
            RecordHeader { name: FORWARDED_FROM.to_owned(), value: Some(format!("{origin}/{offset}").into_bytes()) };
        let partitions = self.options.partitions.unwrap_or_default();
        (0..partitions).filter(move |&to| to != origin).map(move |to| ProducerRecord {
            topic: Arc::clone(&self.options.topics.touchpoints),
            partition: Some(to),
            key: Some(customer_id.as_bytes().to_vec()),
            value: Some(value.clone()),
            headers: vec![from.clone()],
            timestamp_ms: wall.as_millis(),
        })
    }

    /// Returns the record of a dead letter published at `wall`.
    pub(super) fn dead_letter(&self, dead_letter: DeadLetterRecord, wall: Timestamp) -> ProducerRecord {
        let DeadLetterRecord { record, reason, detail } = dead_letter;
        let topics = &self.options.topics;
        dead_letter_record(record, &topics.touchpoints, reason, &detail, &topics.dead_letters, wall)
    }

    /// Appends the record of a hand-over, in the partition of its id. Returns the size of its key and value.
    pub(super) fn write_hand_over(
        &self,
        hand_over: &HandOverRecord,
        wall: Timestamp,
        records: &mut RecordBatch,
    ) -> usize {
        let identity = self.options.identity.as_ref().expect("only identity resolution causes hand-overs");
        let partition = partition_of(hand_over.to.as_bytes(), self.options.partitions.unwrap_or(1));
        let mut record = records.add(&identity.hand_overs, Some(partition), wall.as_millis());
        record.key(hand_over.to.as_bytes());
        record.value(|out| out.extend_from_slice(&hand_over.encode()));
        record.bytes()
    }

    /// Appends the record of a changelog batch.
    pub(super) fn write_changelog(
        &self,
        partition: PartitionId,
        value: &[u8],
        wall: Timestamp,
        records: &mut RecordBatch,
    ) {
        let mut record = records.add(&self.options.topics.changelog, Some(partition), wall.as_millis());
        record.value(|out| out.extend_from_slice(value));
    }
}

/// Returns the record of a dead letter of `topic`, published to `dead_letters` at `wall`.
#[must_use]
pub fn dead_letter_record(
    mut record: Record,
    topic: &str,
    reason: DeadLetterReason,
    detail: &str,
    dead_letters: &Arc<str>,
    wall: Timestamp,
) -> ProducerRecord {
    let origin =
        Origin { topic, partition: record.partition, offset: record.offset, timestamp_ms: record.timestamp_ms };
    let mut original: Vec<_> =
        record.headers.into_iter().map(|RecordHeader { name, value }| Header { name, value }).collect();
    let cut = dead_letter::truncate(&mut record.key, &mut record.value, &mut original);
    let mut headers = dead_letter::headers(original, origin, reason, detail);
    headers.extend(cut);
    ProducerRecord {
        topic: Arc::clone(dead_letters),
        partition: None,
        key: record.key,
        value: record.value,
        headers: kafka_headers(headers),
        timestamp_ms: wall.as_millis(),
    }
}

fn kafka_headers(headers: Vec<Header>) -> Vec<RecordHeader> {
    headers.into_iter().map(|Header { name, value }| RecordHeader { name, value }).collect()
}
