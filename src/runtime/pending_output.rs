//! The output of a partition's uncommitted inputs. It is published and counted when the batch is committed, or dropped.

use std::sync::Arc;

use crate::kafka::{PartitionId, Record, RecordBatch};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::transition::Cause;
use crate::partition::{DeadLetter, Effects, Forwarding, HandOver, Input, Message, Partition, Position, Tally};
use crate::telemetry::ingest::IngestReport;
use crate::telemetry::report::Report;
use crate::wire::hand_over::{Content, HandOverRecord};
use crate::wire::touchpoint_json::{DeadLetterCause, erasure_copy};

use super::partition_commit::ChangelogWrite;
use super::pending_counts::{PendingCounts, TopicKind};
use super::record_builder::{DeadLetterRecord, ForwardedErasure, RecordBuilder, estimated_record_bytes};
use super::tracer::TracedTouchpoint;

/// Typical maximum size of a hand-over in bytes, without the visitor or touchpoint that it contains.
const HAND_OVER_BYTES: usize = 300;

/// The output of a partition's uncommitted inputs.
#[derive(Debug)]
pub(super) struct PendingOutput {
    effects: Effects,
    /// Wall time of publication, as written into the transitions.
    published_at: Timestamp,
    /// The input records of `effects.dead_letters`, in the same order.
    dead_letter_records: Vec<DeadLetterRecord>,
    /// Erasures to forward to the other partitions.
    forwarded_erasures: Vec<ForwardedErasure>,
    /// Messages to other partitions because of links, in order.
    hand_overs: Vec<HandOverRecord>,
    /// The touchpoints with a trace context, in input order.
    traced: Vec<TracedTouchpoint>,
    counts: PendingCounts,
}

/// What one input added to the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Applied {
    /// Whether the machine has more to do, as returned by [`Partition::apply`].
    pub(super) has_more: bool,
    /// Number of wake-ups that fired.
    pub(super) wake_ups: usize,
    /// Estimated size of the records, in bytes.
    pub(super) bytes: usize,
}

impl Default for PendingOutput {
    fn default() -> Self {
        Self {
            effects: Effects::default(),
            published_at: Timestamp::MIN,
            dead_letter_records: Vec::new(),
            forwarded_erasures: Vec::new(),
            hand_overs: Vec::new(),
            traced: Vec::new(),
            counts: PendingCounts::default(),
        }
    }
}

impl PendingOutput {
    /// Whether no input has been applied since the last commit.
    pub(super) fn is_empty(&self) -> bool {
        self.effects.tally == Tally::default()
    }

    pub(super) fn has_dead_letters(&self) -> bool {
        !self.effects.dead_letters.is_empty()
    }

    /// Counts a consumed record.
    pub(super) fn count_consumed(&mut self, bytes: usize, record_timestamp_ms: Option<i64>) {
        self.counts.count_consumed(bytes, record_timestamp_ms);
    }

    /// Returns the counters of the source that is read directly.
    pub(super) fn direct_mut(&mut self) -> &mut IngestReport {
        &mut self.counts.direct
    }

    /// Applies `input` to `machine` and keeps the output.
    pub(super) fn apply(&mut self, input: Input<'_>, machine: &mut Partition) -> Applied {
        let (wake_ups_before, transitions_before) = (self.effects.tally.wake_ups, self.effects.transitions.len());
        let has_more = machine.apply(input, &mut self.effects);
        let mut bytes = estimated_record_bytes(&self.effects.transitions[transitions_before..]);
        for hand_over in self.effects.hand_overs.drain(..) {
            let record = hand_over_record(hand_over, machine);
            bytes += HAND_OVER_BYTES + record.customer_bytes();
            self.hand_overs.push(record);
        }
        let wake_ups = usize::try_from(self.effects.tally.wake_ups - wake_ups_before).unwrap_or(usize::MAX);
        Applied { has_more, wake_ups, bytes }
    }

    /// Applies a record that cannot be decoded or is not valid.
    pub(super) fn apply_dead_letter(&mut self, record: Record, cause: DeadLetterCause, machine: &mut Partition) {
        let DeadLetterCause { reason, detail } = cause;
        self.apply(Input::DeadLetter(DeadLetter { position: Position(record.offset), reason }), machine);
        self.dead_letter_records.push(DeadLetterRecord { record, reason, detail });
    }

    /// Returns the number of transitions in the batch.
    pub(super) fn transitions(&self) -> usize {
        self.effects.transitions.len()
    }

    /// Traces the touchpoint that was just applied. Its transitions follow the first `transitions_before`.
    pub(super) fn trace(&mut self, mut traced: TracedTouchpoint, transitions_before: usize) {
        traced.transitions = transitions_before..self.transitions();
        self.traced.push(traced);
    }

    /// Removes and returns the touchpoints with a trace context.
    pub(super) fn take_traced(&mut self) -> Vec<TracedTouchpoint> {
        std::mem::take(&mut self.traced)
    }

    /// Counts a touchpoint whose record key is not its customer id.
    pub(super) fn count_wrong_key(&mut self) {
        self.effects.tally.wrong_keys += 1;
    }

    /// Returns the number of erasures in the batch that found no customer.
    pub(super) fn erasures_not_found(&self) -> u64 {
        self.effects.tally.erasures_not_found
    }

    /// Forwards the touchpoint that was just applied, if it belongs to another id. Returns the estimated size of the
    /// record.
    pub(super) fn forward_touchpoint(&mut self, touchpoint: &Touchpoint<'_>, value: &[u8]) -> usize {
        let Some(Forwarding { to, life, path, needs, rounds }) = self.effects.forwarding.take() else { return 0 };
        let value = if touchpoint.is_erasure() { erasure_copy(touchpoint) } else { value.to_vec() };
        let bytes = HAND_OVER_BYTES + value.len();
        let (to, path, content) = (to.to_string(), texts(&path), Content::Touchpoint { value, needs });
        self.hand_overs.push(HandOverRecord { to, life, at: touchpoint.occurred_at, path, rounds, content });
        bytes
    }

    /// Forwards an erasure to the other partitions, in addition to applying it here.
    pub(super) fn forward(&mut self, erasure: ForwardedErasure) {
        self.effects.tally.erasures_forwarded += 1;
        self.forwarded_erasures.push(erasure);
    }

    /// Does not count that the latest erasure found no customer. In another partition than that of its customer, this
    /// is expected.
    pub(super) fn expect_not_found(&mut self) {
        self.effects.tally.erasures_not_found -= 1;
    }

    /// Appends the transitions, dead letters, forwarded erasures and hand-overs to `records`, with `wall` as the time
    /// of publication.
    pub(super) fn append_output(&mut self, builder: &RecordBuilder, wall: Timestamp, records: &mut RecordBatch) {
        self.published_at = wall;
        self.counts.begin_writing();
        let mut traced = self.traced.iter_mut().peekable();
        for (index, transition) in self.effects.transitions.iter().enumerate() {
            while traced.next_if(|it| it.transitions.end <= index).is_some() {}
            // A touchpoint also fires the wake-ups of its customer that were due before it; it has not caused them.
            let is_caused = transition.cause != Cause::Time;
            let cause = traced.peek_mut().filter(|it| is_caused && it.transitions.contains(&index));
            let mode = builder.publication_mode(transition, wall);
            let bytes = builder.write_transition(transition, mode, wall, cause.map(|it| &mut **it), records);
            self.counts.count_written(TopicKind::of(mode), bytes);
        }
        assert_eq!(
            self.effects.dead_letters.len(),
            self.dead_letter_records.len(),
            "every dead letter has an input record"
        );
        for dead_letter in self.dead_letter_records.drain(..) {
            let record = builder.dead_letter(dead_letter, wall);
            self.counts.count_written(TopicKind::DeadLetters, record.bytes());
            records.push(&record);
        }
        for erasure in self.forwarded_erasures.drain(..) {
            for record in builder.forwarded_erasure(erasure, wall) {
                self.counts.count_written(TopicKind::Touchpoints, record.bytes());
                records.push(&record);
            }
        }
        for hand_over in self.hand_overs.drain(..) {
            let bytes = builder.write_hand_over(&hand_over, wall, records);
            self.counts.count_hand_over(&hand_over.content, bytes);
        }
    }

    /// Appends the current stages of the customers whose published standing the batch changes, if they have a topic.
    /// Must be called after `append_output`, and after the changelog batches were encoded.
    pub(super) fn append_current_stages(
        &mut self,
        builder: &RecordBuilder,
        machine: &Partition,
        wall: Timestamp,
        records: &mut RecordBatch,
    ) {
        let Some(topic) = builder.current_stages_topic() else { return };
        for (customer_id, standing) in machine.published_standings(&self.effects) {
            let bytes = builder.write_current_stages(topic, &customer_id, standing.as_ref(), wall, records);
            self.counts.count_written(TopicKind::CurrentStages, bytes);
        }
    }

    /// Appends changelog records with `values` to `records`. Must be called after `append_output`.
    pub(super) fn append_changelog(
        &mut self,
        builder: &RecordBuilder,
        partition: PartitionId,
        values: impl Iterator<Item = Vec<u8>>,
        wall: Timestamp,
        records: &mut RecordBatch,
    ) -> ChangelogWrite {
        let mut written = ChangelogWrite::default();
        for value in values {
            written.bytes += u64::try_from(value.len()).unwrap_or(u64::MAX);
            written.first_record.get_or_insert(records.len());
            written.last_record = Some(records.len());
            builder.write_changelog(partition, &value, wall, records);
            self.counts.count_written(TopicKind::Changelog, value.len());
        }
        written
    }

    /// Takes the output of a batch committed at `committed_at` and adds its counters to `report`. Returns the effects,
    /// and the publication time written into their records.
    pub(super) fn take_committed(&mut self, committed_at: Timestamp, report: &mut Report) -> (Effects, Timestamp) {
        self.dead_letter_records.clear();
        self.counts.add_to(committed_at, report);
        (std::mem::take(&mut self.effects), self.published_at)
    }

    /// Drops the output of an aborted batch.
    pub(super) fn clear(&mut self) {
        self.effects = Effects::default();
        self.dead_letter_records.clear();
        self.forwarded_erasures.clear();
        self.hand_overs.clear();
        self.traced.clear();
        self.counts.clear();
    }
}

/// Encodes a hand-over for its topic.
fn hand_over_record(hand_over: HandOver, machine: &Partition) -> HandOverRecord {
    let at = hand_over.at();
    let HandOver { to, life, path, rounds, message } = hand_over;
    let content = match message {
        Message::Claim { by, life, link, names, joined_at } => {
            Content::Claim { by: by.to_string(), life, link, names: texts(&names), joined_at }
        }
        Message::Facts { of, drain, link, joined_at, customer, aliases } => {
            let encoded = |customer| Box::new((machine.layout().clone(), machine.encode_customer(customer)));
            let customer = customer.as_deref().map(encoded);
            Content::Facts { of: of.to_string(), drain, link, joined_at, customer, aliases }
        }
        Message::Erase { drain, is_erasure, .. } => Content::Erase { drain, is_erasure },
        Message::EraseClaimed { by, life, .. } => Content::EraseClaimed { by: by.to_string(), life },
        Message::EraseCustomer { joined_at, .. } => Content::EraseCustomer { joined_at },
        Message::Redirect { drain, into, life } => Content::Redirect { drain, into: into.to_string(), life },
    };
    HandOverRecord { to: to.to_string(), life, at, path: texts(&path), rounds, content }
}

fn texts(ids: &[Arc<str>]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
