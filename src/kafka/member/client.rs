//! Implements [`Member`] with librdkafka: a group consumer, a transactional producer, and readers of the changelog and
//! the hand-overs.
//!
//! This file connects the four, reports their errors to `on_error`, and rejoins the group when a static member may
//! have lost its membership. What a rebalance or a failed transaction means for the state is left to the worker.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::gap_detection::GapDetection;
use super::group_consumer::GroupConsumer;
use super::log_reader::LogReader;
use super::producer::TransactionalProducer;
use super::zombie_fencing::ZombieFencing;
use super::{CommittedOffset, EndOffsets, Event, Member, PartitionId, PartitionOffset, Record};
use crate::kafka::RecordBatch;
use crate::kafka::cluster::admin;
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::settings::Options;

/// The maximum time to leave the group when a client is dropped without a call of `leave`.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a static member that rejoins waits until it has left the group.
const REJOIN_LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A static member rejoins at most once in this time. If it is fenced again sooner, another process uses its
/// `group.instance.id`, and the member fails.
const REJOIN_INTERVAL: Duration = Duration::from_mins(5);

/// How long partitions must have had no owner before a member rejoins again because of them. The first time it is the
/// session timeout, after which the partitions of a lost member are reassigned as well.
const GAP_REPEAT_INTERVAL: Duration = Duration::from_mins(1);

/// A connected member of the consumer group.
pub struct Client {
    options: Options,
    /// `None` once the member has left.
    connected: Option<Connected>,
    /// The latest fencing of previous owners, started at each assignment.
    fencing: Option<ZombieFencing>,
    /// Whether the last request for committed offsets failed.
    committed_failed: bool,
    /// When the member last rejoined because the group had fenced its `group.instance.id`.
    rejoined_at: Option<Instant>,
    /// Watches the group of a static member.
    gap_detection: Option<GapDetection>,
    /// The number of the settings in effect, of `Options::updates`.
    settings_number: u64,
}

struct Connected {
    consumer: GroupConsumer,
    producer: TransactionalProducer,
    /// `None` for a member without a changelog.
    changelog: Option<LogReader>,
    /// `None` for a member without hand-overs.
    hand_overs: Option<LogReader>,
}

impl Client {
    /// Joins the group, and aborts the transaction that an earlier producer of the same transactional id left open.
    ///
    /// # Errors
    /// `Fatal` when an option is invalid or a permission is missing; `Retry` while the brokers do not answer.
    pub fn connect(mut options: Options) -> Result<Self, Error> {
        let settings_number = match options.updates.newer_than(0) {
            Some((number, settings)) => {
                options.settings = settings;
                number
            }
            None => 0,
        };
        options.check()?;
        // The producer comes first: it may wait for its brokers, and a joined member must not delay rebalances.
        let producer = TransactionalProducer::start(&options)?;
        let (changelog, hand_overs) = (LogReader::of_changelog(&options)?, LogReader::of_hand_overs(&options)?);
        let consumer = GroupConsumer::join(&options)?;
        let mut client = Self {
            options,
            connected: Some(Connected { consumer, producer, changelog, hand_overs }),
            fencing: None,
            committed_failed: false,
            rejoined_at: None,
            gap_detection: None,
            settings_number,
        };
        client.watch_group(client.options.session_timeout);
        Ok(client)
    }

    /// Starts to look for partitions without an owner. Only static members leave such gaps.
    fn watch_group(&mut self, patience: Duration) {
        let is_static = self.options.group_instance_id.is_some();
        self.gap_detection = is_static.then(|| GapDetection::start(&self.options, patience)).flatten();
    }

    /// Returns whether a fenced static member should rejoin instead of failing.
    ///
    /// Another process with the same `group.instance.id` fences a static member, but so can the member itself: when the
    /// client retries a join request whose response was lost, the coordinator treats the retry as a new member. Only a
    /// second fencing soon after the first proves that another process uses the id.
    fn may_rejoin(&self) -> bool {
        self.rejoined_at.is_none_or(|at| at.elapsed() >= REJOIN_INTERVAL)
    }

    /// Replaces the consumer with a new one. The partitions of the old one are reported as lost.
    fn rejoin(&mut self, why: &str) -> Result<Vec<Event>, Error> {
        tracing::warn!(target: "kafka", member = self.options.member, why, "member rejoins the group");
        let lost = self.connected().consumer.owned_partitions();
        if self.options.group_instance_id.is_some() {
            // The coordinator gives a static member that comes back its last assignment, without a rebalance. In the
            // middle of a rebalance, partitions would then stay unassigned, so the old member leaves first.
            self.connected().consumer.leave(REJOIN_LEAVE_TIMEOUT);
        }
        let consumer = GroupConsumer::join(&self.options)?;
        let mut old = std::mem::replace(&mut self.connected().consumer, consumer);
        // Closing waits for the brokers, so it runs on its own thread.
        thread::spawn(move || {
            old.begin_closing();
            drop(old);
        });
        self.watch_group(self.options.session_timeout);
        Ok(if lost.is_empty() { Vec::new() } else { vec![Event::Lost(lost)] })
    }

    /// Replaces all clients by new ones with the current settings, because a client reads passwords and certificates
    /// only when it is created. The partitions are reported as lost, and the worker restores them.
    fn reconnect(&mut self) -> Result<Vec<Event>, Error> {
        let (changelog, hand_overs) =
            (LogReader::of_changelog(&self.options)?, LogReader::of_hand_overs(&self.options)?);
        let events = self.rejoin("the client settings have changed")?;
        let connected = self.connected();
        connected.producer.require_reset();
        let old = (
            std::mem::replace(&mut connected.changelog, changelog),
            std::mem::replace(&mut connected.hand_overs, hand_overs),
        );
        // Closing waits for the brokers, so it runs on its own thread.
        thread::spawn(move || drop(old));
        Ok(events)
    }

    fn connected(&mut self) -> &mut Connected {
        self.connected.as_mut().expect("a member that has left is not used again")
    }

    fn changelog(&mut self) -> &mut LogReader {
        self.connected().changelog.as_mut().expect("a worker without state makes no call about a changelog")
    }

    fn hand_overs(&mut self) -> &mut LogReader {
        self.connected().hand_overs.as_mut().expect("a worker without identity resolution reads no hand-overs")
    }

    /// Calls `on_error` if `result` is an error, and returns `result`.
    fn report<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| (self.options.on_error)(error))
    }

    /// Reports errors from which the client recovers automatically.
    fn report_transient(&self, errors: &[Error]) {
        for error in errors {
            (self.options.on_error)(error);
        }
    }
}

impl Member for Client {
    fn name(&self) -> &str {
        &self.options.member
    }

    fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Event>, Error> {
        if let Some((number, settings)) = self.options.updates.newer_than(self.settings_number) {
            (self.settings_number, self.options.settings) = (number, settings);
            return self.reconnect();
        }
        if let Some(partitions) = self.gap_detection.as_ref().and_then(GapDetection::take) {
            let events = self.rejoin(&format!(
                "no member owns the partitions {partitions:?} although the group is stable; a member that leaves and \
                 rejoins makes the group assign them"
            ))?;
            self.watch_group(GAP_REPEAT_INTERVAL);
            return Ok(events);
        }
        if self.connected().consumer.may_have_lost_membership() {
            return self.rejoin("the membership was not confirmed for most of the session timeout");
        }
        let polled = self.connected().consumer.poll(records_max, timeout);
        let transient = self.connected().consumer.take_transient_errors();
        self.report_transient(&transient);
        let events = match polled {
            Err(error) if error.is_fenced_membership() && self.may_rejoin() => {
                self.rejoined_at = Some(Instant::now());
                return self.rejoin(
                    "the group fenced its group.instance.id; the member fails if this happens again soon, because then two \
                     instances share kafka.group_id and kafka.instance_id",
                );
            }
            polled => self.report(polled)?,
        };
        for event in &events {
            if let Event::Assigned(partitions) = event {
                self.fencing = Some(ZombieFencing::start(&self.options, partitions.clone()));
            }
        }
        Ok(events)
    }

    fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        let result = self.connected().consumer.assign(positions);
        self.report(result)
    }

    fn unassign(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let result = self.connected().consumer.unassign(partitions);
        self.report(result)
    }

    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let result = self.connected().consumer.pause(partitions);
        self.report(result)
    }

    fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let result = self.connected().consumer.resume(partitions);
        self.report(result)
    }

    fn seek(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        let result = self.connected().consumer.seek(positions);
        self.report(result)
    }

    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error> {
        if self.committed_failed && self.fencing.as_ref().is_some_and(|it| !it.is_done()) {
            // The request would block until the fencing is done, and delay the worker's other partitions.
            let message = "a previous owner's transaction is being aborted";
            return Err(Error::new(Reaction::Retry, "committed", ErrorCode::UnstableOffsetCommit, message));
        }
        let committed = self.connected().consumer.committed(partitions);
        self.committed_failed = committed.is_err();
        self.report(committed)
    }

    fn input_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        let result = self.connected().consumer.range(partition);
        self.report(result)
    }

    fn input_partitions(&mut self) -> Option<usize> {
        self.connected().consumer.cached_partition_count()
    }

    fn idle_time(&mut self) -> Duration {
        self.connected().consumer.idle_time()
    }

    fn input_record(&mut self, partition: PartitionId, offset: i64) -> Result<Option<Record>, Error> {
        let result = self.connected().consumer.record_at(partition, offset);
        self.report(result)
    }

    fn cached_ends(&mut self, partition: PartitionId) -> Option<EndOffsets> {
        self.connected().consumer.cached_ends(partition)
    }

    fn read_position(&mut self, partition: PartitionId) -> Option<i64> {
        self.connected().consumer.read_position(partition)
    }

    fn changelog_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        let result = self.changelog().range(partition);
        self.report(result)
    }

    fn open_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        let result = self.changelog().open(partition, offset);
        self.report(result)
    }

    fn read_changelog(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let result = self.changelog().read(records_max, timeout).map_err(Error::reclassify_for_changelog);
        let transient = self.changelog().take_transient_errors();
        self.report_transient(&transient);
        self.report(result)
    }

    fn has_read_changelog_to(&mut self, partition: PartitionId, end: i64) -> bool {
        self.changelog().has_read_to(partition, end)
    }

    fn close_changelog(&mut self, partition: PartitionId) -> Result<(), Error> {
        let result = self.changelog().close(partition);
        self.report(result)
    }

    fn truncate_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        let changelog = self.options.changelog_topic.as_deref().expect("the member has a changelog");
        self.report(admin::delete_records(&self.options.cluster(), changelog, partition, offset))
    }

    fn hand_over_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        let result = self.hand_overs().range(partition);
        self.report(result)
    }

    fn open_hand_overs(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        let result = self.hand_overs().open(partition, offset);
        self.report(result)
    }

    fn read_hand_overs(&mut self, records_max: usize) -> Result<Vec<Record>, Error> {
        let result = self.hand_overs().read(records_max, Duration::ZERO).map_err(Error::reclassify_for_hand_overs);
        let transient = self.hand_overs().take_transient_errors();
        self.report_transient(&transient);
        self.report(result)
    }

    fn hand_over_position(&mut self, partition: PartitionId) -> Option<i64> {
        self.hand_overs().read_position(partition)
    }

    fn close_hand_overs(&mut self, partition: PartitionId) -> Result<(), Error> {
        let result = self.hand_overs().close(partition);
        self.report(result)
    }

    fn begin(&mut self) -> Result<(), Error> {
        let connected = self.connected.as_mut().expect("a member that has left is not used again");
        let reset = connected.producer.reset_if_required(&self.options);
        let result = reset.and_then(|()| connected.producer.begin());
        self.report(result)
    }

    fn send_batch(&mut self, records: &RecordBatch) -> Result<Vec<i64>, Error> {
        let result = self.connected().producer.send_batch(records);
        self.report(result)
    }

    fn send_offsets(&mut self, offsets: &[(PartitionOffset, String)]) -> Result<(), Error> {
        let topic = self.options.input_topic.clone();
        let connected = self.connected();
        // Read for each transaction: the broker rejects the metadata of an earlier generation.
        let group_metadata = connected.consumer.group_metadata(offsets.iter().map(|(it, _)| it.partition));
        let result = group_metadata.and_then(|it| connected.producer.send_offsets(&topic, offsets, &it));
        self.report(result)
    }

    fn commit(&mut self) -> Result<(), Error> {
        let result = self.connected().producer.commit();
        self.report(result)
    }

    fn abort(&mut self) -> Result<(), Error> {
        let result = self.connected().producer.abort();
        self.report(result)
    }

    fn reset_producer(&mut self) -> Result<(), Error> {
        let connected = self.connected.as_mut().expect("a member that has left is not used again");
        let result = connected.producer.reset(&self.options);
        self.report(result)
    }

    fn leave(&mut self, timeout: Duration) {
        let Some(mut connected) = self.connected.take() else { return };
        // Closing a client waits for its brokers, possibly indefinitely, so it runs on its own thread.
        let (left, has_left) = mpsc::channel();
        thread::spawn(move || {
            connected.consumer.leave(timeout);
            drop(connected.consumer);
            // The coordinator has processed the leave request. Other members do not wait for the other clients.
            let _receiver_timed_out = left.send(());
            drop(connected.producer);
            drop(connected.changelog);
            drop(connected.hand_overs);
        });
        if has_left.recv_timeout(timeout).is_err() {
            tracing::warn!(target: "kafka", ?timeout, "group coordinator did not confirm the leave request in time");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.leave(LEAVE_TIMEOUT);
    }
}
