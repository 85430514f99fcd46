//! Decodes consumed records and applies them to their partitions. A record that cannot be decoded is applied as a dead
//! letter, so every consumed record is counted.

use std::sync::Arc;

use crate::kafka::partitioner::partition_of;
use crate::kafka::{PartitionId, Record};
use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::partition::{DeadLetterReason, Forwarding, HandOver, Input, Message, StoredLayout};
use crate::wire::hand_over::{Content, HandOverRecord};
use crate::wire::touchpoint_json::{DeadLetterCause, Scratch, TouchpointDecoder, TouchpointOptions, erasure_copy};

use super::assigned_partition::AssignedPartition;
use super::assignment::Assignment;
use super::direct_source::DirectSource;
use super::log_interval::LogInterval;
use super::open_batch::OpenBatch;
use super::options::Options;
use super::record_builder::{ForwardedErasure, is_forwarded};
use super::tracer::Tracer;
use super::translator::{KeyedTouchpoint, Translation};
use super::wall_clock::Moment;

/// Decodes and applies records.
#[derive(Debug)]
pub(super) struct RecordApplier {
    decoder: TouchpointDecoder,
    /// Decode touchpoints that were forwarded, which were checked where they were read. The latter knows no blocked
    /// ids; it decodes those whose only id was blocked since.
    forwarded: [TouchpointDecoder; 2],
    has_identity: bool,
    /// A touchpoint whose event time is further ahead of wall time than this becomes a dead letter.
    max_ahead: time::Duration,
    /// Partition count of the touchpoint topic.
    partitions: Option<PartitionId>,
    /// The source that the touchpoint topic contains; `None` if it contains touchpoints in JSON only.
    direct: Option<DirectSource>,
    wrong_keys: LogInterval,
    erasures_not_found: LogInterval,
    waiting: LogInterval,
    /// `None` when touchpoints are not traced.
    tracer: Option<Arc<Tracer>>,
}

impl RecordApplier {
    pub(super) fn new(models: &ModelSet, options: &Options) -> Self {
        let blocked = options.identity.as_ref().map(|identity| identity.blocked_ids.clone());
        let decoder = |bytes_max, blocked| {
            TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max }).with_identity(blocked)
        };
        let forwarded = [blocked.clone(), blocked.as_ref().map(|_| BlockedIds::default())];
        Self {
            decoder: decoder(options.touchpoint_bytes_max, blocked),
            forwarded: forwarded.map(|blocked| decoder(usize::MAX, blocked)),
            has_identity: options.identity.is_some(),
            max_ahead: options.max_ahead,
            partitions: options.partitions,
            direct: options.direct.clone(),
            wrong_keys: LogInterval::default(),
            erasures_not_found: LogInterval::default(),
            waiting: LogInterval::default(),
            tracer: None,
        }
    }

    /// Traces touchpoints with `tracer`.
    pub(super) fn trace_with(&mut self, tracer: Arc<Tracer>) {
        self.tracer = Some(tracer);
    }

    /// Returns the source that is read directly.
    pub(super) fn direct(&self) -> Option<&DirectSource> {
        self.direct.as_ref()
    }

    /// Applies a record to its partition, unless the partition does not expect it.
    pub(super) fn apply(&mut self, record: Record, assignment: &mut Assignment, batch: &mut OpenBatch, now: Moment) {
        let Some(assigned) = assignment.get_mut(record.partition).filter(|assigned| assigned.expects(record.offset))
        else {
            return;
        };
        let is_duplicate = assigned.contains(record.offset);
        let direct = self.direct.as_mut().filter(|_| !is_duplicate);
        let translation = direct.and_then(|source| source.translate(&record));
        if let Some(Translation::Unavailable(problem)) = translation {
            return self.wait_for_registry(&record, &problem, assigned, now);
        }
        let bytes = record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
        batch.add(1, bytes, now.elapsed);
        assigned.consume(record.offset, bytes, record.timestamp_ms);
        if is_duplicate {
            assigned.count_duplicate();
            return;
        }
        let Some(translation) = translation else {
            let value = record.value.as_deref().unwrap_or_default();
            if let Err(cause) = self.apply_value(value, &record, assigned, batch, now) {
                assigned.apply_dead_letter(record, cause);
            }
            return;
        };
        assigned.pending_mut().direct_mut().consumed += 1;
        let outcome = match translation {
            Translation::Touchpoints(touchpoints) => {
                self.apply_touchpoints(&touchpoints, &record, assigned, batch, now).map(|()| touchpoints.len() as u64)
            }
            Translation::DeadLetter(cause) => Err(cause),
            Translation::Dropped(rule) => {
                *assigned.pending_mut().direct_mut().dropped.entry(rule).or_default() += 1;
                Ok(0)
            }
            Translation::Batch(_) | Translation::ItemDeadLetter(..) | Translation::Unavailable(_) => {
                unreachable!("a source that is read directly has no batches, and the record is available")
            }
        };
        match outcome {
            Ok(touchpoints) => assigned.pending_mut().direct_mut().touchpoints += touchpoints,
            Err(cause) => {
                *assigned.pending_mut().direct_mut().dead_letters.entry(cause.reason).or_default() += 1;
                assigned.apply_dead_letter(record, cause);
            }
        }
    }

    fn wait_for_registry(&mut self, record: &Record, problem: &str, assigned: &mut AssignedPartition, now: Moment) {
        assigned.wait_for_registry(now.elapsed);
        if let Some(attempts) = self.waiting.count(now.elapsed) {
            let partition = record.partition;
            tracing::warn!(partition, problem, attempts, "schema registry is unavailable, source partition paused");
        }
    }

    /// Applies the touchpoints of a record: all of them, or none if one is not valid. A transaction contains all
    /// effects of a record, so the offset of the record says whether they were applied.
    fn apply_touchpoints(
        &mut self,
        touchpoints: &[KeyedTouchpoint],
        record: &Record,
        assigned: &mut AssignedPartition,
        batch: &mut OpenBatch,
        now: Moment,
    ) -> Result<(), DeadLetterCause> {
        if touchpoints.len() > 1 {
            for touchpoint in touchpoints {
                self.decode(&touchpoint.value, &mut Scratch::default(), now)?;
            }
        }
        for touchpoint in touchpoints {
            self.apply_value(&touchpoint.value, record, assigned, batch, now)?;
        }
        Ok(())
    }

    fn decode<'a>(
        &self,
        value: &'a [u8],
        scratch: &'a mut Scratch<'a>,
        now: Moment,
    ) -> Result<Touchpoint<'a>, DeadLetterCause> {
        let touchpoint = self.decoder.decode(value, scratch)?;
        if touchpoint.occurred_at - now.wall > self.max_ahead {
            let detail = "occurred_at is later than wall time by more than clock.max_ahead";
            return Err(DeadLetterCause { reason: DeadLetterReason::InFuture, detail: detail.into() });
        }
        Ok(touchpoint)
    }

    /// Decodes and applies `value`, a touchpoint of `record`.
    fn apply_value(
        &mut self,
        value: &[u8],
        record: &Record,
        assigned: &mut AssignedPartition,
        batch: &mut OpenBatch,
        now: Moment,
    ) -> Result<(), DeadLetterCause> {
        let mut scratch = Scratch::default();
        let touchpoint = self.decode(value, &mut scratch, now)?;
        let (partition, offset) = (record.partition, record.offset);
        if record.key.as_deref() != Some(touchpoint.customer_id.as_bytes()) {
            assigned.pending_mut().count_wrong_key();
            if let Some(records) = self.wrong_keys.count(now.elapsed) {
                tracing::warn!(partition, offset, records, "the record key is not the customer id");
            }
        }
        if touchpoint.is_erasure() && !self.has_identity {
            self.erase(&touchpoint, record, assigned, batch, now);
            return Ok(());
        }
        let traced = self.tracer.as_ref().and_then(|tracer| tracer.begin(record, now.wall));
        let transitions_before = assigned.pending_mut().transitions();
        let bytes = assigned.apply_touchpoint(self.input(&touchpoint, record), &touchpoint, value);
        batch.add(0, bytes, now.elapsed);
        if let Some(traced) = traced {
            assigned.pending_mut().trace(traced, transitions_before);
        }
        Ok(())
    }

    /// Returns the input for a touchpoint. With identity resolution, every id has one partition, because others send
    /// hand-overs there.
    fn input<'t>(&self, touchpoint: &'t Touchpoint<'t>, record: &Record) -> Input<'t> {
        let home = || partition_of(touchpoint.customer_id.as_bytes(), self.partitions.unwrap_or(1));
        if !self.has_identity {
            Input::Touchpoint(touchpoint)
        } else if touchpoint.is_erasure() && is_forwarded(record) {
            // An erasure that was forwarded before identity resolution was on.
            Input::ForwardedErasure(touchpoint)
        } else if home() != record.partition {
            Input::Misplaced(touchpoint)
        } else {
            Input::Touchpoint(touchpoint)
        }
    }

    /// Applies a hand-over to its partition. Returns the estimated size of the records that it causes.
    ///
    /// # Errors
    /// When its content cannot be decoded.
    pub(super) fn apply_hand_over(
        &self,
        record: &HandOverRecord,
        assigned: &mut AssignedPartition,
    ) -> Result<usize, String> {
        let to: Arc<str> = record.to.as_str().into();
        let path = ids(&record.path);
        let message = match &record.content {
            Content::Touchpoint { value, needs } => {
                let mut scratches = [Scratch::default(), Scratch::default()];
                let touchpoint = self.decode_forwarded(&record.to, value, &mut scratches)?;
                let forwarding =
                    Forwarding { to, life: record.life, path, needs: needs.clone(), rounds: record.rounds };
                let input = Input::Forwarded { forwarding: &forwarding, touchpoint: &touchpoint };
                return Ok(assigned.apply_touchpoint(input, &touchpoint, value));
            }
            Content::Claim { by, life, link, names, joined_at } => Message::Claim {
                by: by.as_str().into(),
                life: *life,
                link: link.clone(),
                names: ids(names),
                joined_at: *joined_at,
            },
            Content::Facts { of, drain, link, joined_at, customer, aliases } => {
                let decode = |(layout, record): &(StoredLayout, Vec<u8>)| {
                    assigned.machine().decode_customer(layout, record).map(Box::new).map_err(|error| error.to_string())
                };
                let customer = customer.as_deref().map(decode).transpose()?;
                let (of, aliases) = (of.as_str().into(), aliases.clone());
                let (drain, link, joined_at) = (*drain, link.clone(), *joined_at);
                Message::Facts { of, drain, link, joined_at, customer, aliases }
            }
            Content::Erase { drain, is_erasure } => {
                Message::Erase { drain: *drain, at: record.at, is_erasure: *is_erasure }
            }
            Content::EraseClaimed { by, life } => {
                Message::EraseClaimed { by: by.as_str().into(), life: *life, at: record.at }
            }
            Content::EraseCustomer { joined_at } => Message::EraseCustomer { at: record.at, joined_at: *joined_at },
            Content::Redirect { drain, into, life } => {
                Message::Redirect { drain: *drain, into: into.as_str().into(), life: *life }
            }
        };
        let (life, rounds) = (record.life, record.rounds);
        Ok(assigned.apply(Input::HandOver(&HandOver { to, life, path, rounds, message })))
    }

    /// Decodes a touchpoint that was forwarded to the id `to`. The limit of its size and the blocked ids may have
    /// changed since it was read.
    fn decode_forwarded<'a>(
        &self,
        to: &'a str,
        value: &'a [u8],
        [first, second]: &'a mut [Scratch<'a>; 2],
    ) -> Result<Touchpoint<'a>, String> {
        let [current, lenient] = &self.forwarded;
        let decoded = current.decode(value, first).or_else(|_| lenient.decode(value, second));
        let touchpoint = decoded.map_err(|cause| format!("its touchpoint is invalid: {}", cause.detail))?;
        Ok(if touchpoint.anonymous_id == Some(to) {
            // Its customer id was blocked when it was read.
            Touchpoint { customer_id: to, anonymous_id: None, is_visitor: true, ..touchpoint }
        } else {
            touchpoint
        })
    }

    /// Removes the customer from this partition, and forwards the erasure to all others: records with a wrong key may
    /// have created parts of the customer there.
    fn erase(
        &mut self,
        touchpoint: &Touchpoint<'_>,
        record: &Record,
        assigned: &mut AssignedPartition,
        batch: &mut OpenBatch,
        now: Moment,
    ) {
        let (partition, offset) = (record.partition, record.offset);
        let is_copy = is_forwarded(record);
        let input = if is_copy { Input::ForwardedErasure(touchpoint) } else { Input::Touchpoint(touchpoint) };
        let not_found_before = assigned.pending_mut().erasures_not_found();
        batch.add(0, assigned.apply(input), now.elapsed);
        if assigned.pending_mut().erasures_not_found() > not_found_before {
            let home = self.partitions.map(|count| partition_of(touchpoint.customer_id.as_bytes(), count));
            if home.is_some_and(|home| home != partition) {
                assigned.pending_mut().expect_not_found();
            } else if let Some(erasures) = self.erasures_not_found.count(now.elapsed) {
                tracing::warn!(partition, offset, erasures, "an erasure found no customer");
            }
        }
        let copies = usize::try_from(self.partitions.unwrap_or(1) - 1).unwrap_or_default();
        if copies > 0 && !is_copy {
            let (customer_id, value) = (touchpoint.customer_id.into(), erasure_copy(touchpoint));
            let bytes = touchpoint.customer_id.len() + value.len();
            assigned.pending_mut().forward(ForwardedErasure { partition, offset, customer_id, value });
            batch.add(0, copies.saturating_mul(bytes), now.elapsed);
        }
    }
}

fn ids(texts: &[String]) -> Vec<Arc<str>> {
    texts.iter().map(|id| id.as_str().into()).collect()
}
