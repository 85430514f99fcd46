//! The worker of a destination: reads transitions, hands batches to its senders, and commits what is done.
//!
//! One thread owns queue, windows and gate. Senders, one thread for each connection, get batches through channels and
//! return what became of them; they share nothing with the worker but the destination.

mod outcome;
mod report;
mod senders;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::dead_letter;
use super::destination::Destination;
use super::gate::{Gate, GateState};
use super::partitions::Partitions;
use super::queue::{Queue, Ticket};
use super::sender::{Problem, Sender, TaskItem};
use super::status::{DestinationHandle, OperatorRequest};
use super::suppression::{Intervals, Suppression};
use super::transition::Transition;
use super::window::Admission;
use crate::kafka::subscriber::{Publisher, Subscriber, SubscriberEvent, SubscriberOptions, TopicPartition};
use crate::kafka::{self, Reaction, Record};
use crate::runtime::WallClock;
use crate::telemetry::deliveries::DeliverySnapshot;

use senders::Senders;

/// Maximum number of deliveries in memory; reading pauses at it.
const DELIVERIES_MAX: usize = 10_000;
/// Maximum size of the records of all deliveries in memory, in bytes.
const BYTES_MAX: usize = 64 << 20;
/// Maximum number of records read at once.
const RECORDS_MAX: usize = 500;
/// How long a poll waits if nothing is in flight.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// How long the worker waits for a result before it looks for new records.
const RESULT_WAIT: Duration = Duration::from_millis(5);
/// Interval between commits; what was delivered since may be delivered again after a crash.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);
/// Back-off after a request to Kafka has failed.
const KAFKA_BACKOFF: Duration = Duration::from_secs(1);
/// Time beyond the timeout of a request for which a revoked partition waits for its deliveries.
const REVOKE_GRACE: Duration = Duration::from_secs(5);
/// Maximum time to leave the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The options of a worker.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The destination.
    pub destination: Arc<Destination>,
    /// Group and topics.
    pub subscriber: SubscriberOptions,
    /// The dead-letter topic of deliveries.
    pub dead_letters: Arc<str>,
    /// Whether the topics contain dead letters, of which those of the destination are delivered again; the worker ends
    /// when all that exist at the start are done.
    pub is_redrive: bool,
    /// The clock.
    pub clock: WallClock,
    /// Set to end the worker.
    pub stop: Arc<AtomicBool>,
    /// What the worker shares with the HTTP server.
    pub handle: Arc<DestinationHandle>,
}

/// A delivery that is not done.
#[derive(Debug)]
struct Delivery {
    partition: TopicPartition,
    epoch: u64,
    transition: Arc<Transition>,
    step: usize,
    attempts: u32,
}

/// A record to write to the dead-letter topic.
#[derive(Debug)]
struct Rejected {
    partition: TopicPartition,
    epoch: u64,
    record: Record,
    problem: Problem,
    attempts: u32,
    /// `None` for a record that never became a delivery.
    ticket: Option<Ticket>,
}

/// Delivers transitions to one destination.
pub struct Worker {
    options: WorkerOptions,
    destination: Arc<Destination>,
    subscriber: Subscriber,
    publisher: Publisher,
    senders: Senders,
    queue: Queue<Delivery>,
    partitions: Partitions,
    gate: Gate,
    intervals: Option<Intervals>,
    rejected: Vec<Rejected>,
    /// The kinds of problems of dead letters that the log has named.
    logged_kinds: BTreeSet<String>,
    /// Partitions whose assignment is not answered yet.
    unanswered: Vec<TopicPartition>,
    kafka_backoff_until: Option<Instant>,
    is_paused: bool,
    is_reading_paused: bool,
    was_assigned: bool,
    snapshot: DeliverySnapshot,
    committed_at: Instant,
    status_at: Instant,
    lag_at: Instant,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Worker").field("destination", &self.destination.name).finish_non_exhaustive()
    }
}

impl Worker {
    /// Joins the group of the destination and starts its senders.
    ///
    /// # Errors
    /// A setting of Kafka or a TLS file is invalid, or no thread can be started.
    pub fn start(options: WorkerOptions) -> Result<Self, kafka::Error> {
        let destination = Arc::clone(&options.destination);
        let sender =
            Sender::new(Arc::clone(&destination), options.clock, Arc::clone(&options.stop)).map_err(|error| {
                let what = format!("destination {}: {error}", destination.name);
                kafka::Error::new(Reaction::Fatal, "start", kafka::ErrorCode::InvalidConfig, what)
            })?;
        let publisher = Publisher::connect(&options.subscriber.cluster, &options.subscriber.client_id)?;
        let senders = Senders::start(&destination.name, destination.concurrency, move |task| sender.send(task))?;
        let subscriber = Subscriber::join(&options.subscriber)?;
        let now = Instant::now();
        Ok(Self {
            queue: Queue::new(destination.order),
            intervals: destination.interval_min.map(Intervals::new),
            is_paused: destination.is_paused,
            snapshot: options.handle.snapshot(),
            options,
            destination,
            subscriber,
            publisher,
            senders,
            partitions: Partitions::default(),
            gate: Gate::default(),
            rejected: Vec::new(),
            logged_kinds: BTreeSet::new(),
            unanswered: Vec::new(),
            kafka_backoff_until: None,
            is_reading_paused: false,
            was_assigned: false,
            committed_at: now,
            status_at: now,
            lag_at: now,
        })
    }

    /// Delivers until the worker is stopped, or until a redrive is done. Returns the last snapshot.
    ///
    /// # Errors
    /// An operator must act: a topic or a permission is missing, or a sender has panicked.
    pub fn run(mut self) -> Result<DeliverySnapshot, kafka::Error> {
        while !self.options.stop.load(Ordering::Relaxed) {
            self.step()?;
            if self.options.is_redrive && self.is_done() {
                break;
            }
        }
        let all = self.partitions.names();
        self.finish(&all, self.destination.http.timeout + REVOKE_GRACE)?;
        self.subscriber.leave(LEAVE_TIMEOUT);
        self.publish_status(true);
        Ok(self.snapshot)
    }

    fn is_done(&self) -> bool {
        self.was_assigned
            && self.unanswered.is_empty()
            && self.partitions.has_reached_ends()
            && self.queue.is_empty()
            && self.rejected.is_empty()
    }

    fn step(&mut self) -> Result<(), kafka::Error> {
        match self.options.handle.take_request() {
            Some(OperatorRequest::Pause) => self.is_paused = true,
            Some(OperatorRequest::Resume) => {
                self.is_paused = false;
                self.gate.reset();
            }
            None => {}
        }
        let wait = if self.queue.in_flight_count() > 0 {
            self.receive(RESULT_WAIT)?;
            Duration::ZERO
        } else {
            self.idle_wait()
        };
        for event in self.subscriber.poll(RECORDS_MAX, wait)? {
            match event {
                SubscriberEvent::Record(partition, record) => self.admit(partition, record),
                SubscriberEvent::Assigned(partitions) => {
                    // An empty assignment must be answered as well.
                    if partitions.is_empty() {
                        self.subscriber.assign(&[])?;
                    }
                    self.was_assigned = true;
                    self.unanswered.extend(partitions);
                }
                SubscriberEvent::Revoked(partitions) => {
                    self.finish(&partitions, self.destination.http.timeout + REVOKE_GRACE)?;
                    self.release(&partitions)?;
                }
                SubscriberEvent::Lost(partitions) => {
                    for partition in &partitions {
                        self.partitions.on_lost(partition);
                    }
                    self.release(&partitions)?;
                }
            }
        }
        self.answer_assignment()?;
        self.receive(Duration::ZERO)?;
        self.dispatch();
        self.publish_rejected();
        self.commit();
        self.limit_reading()?;
        self.publish_status(false);
        Ok(())
    }

    /// Returns how long a poll may wait while nothing is in flight.
    fn idle_wait(&self) -> Duration {
        if self.queue.ready_count() > 0 && self.gate.state() == GateState::Active {
            return RESULT_WAIT;
        }
        let until = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(Instant::now()));
        until(self.queue.next_wake()).unwrap_or(IDLE_WAIT).min(IDLE_WAIT)
    }

    /// Accepts assigned partitions at their committed progress.
    fn answer_assignment(&mut self) -> Result<(), kafka::Error> {
        let is_waiting = self.kafka_backoff_until.is_some_and(|until| Instant::now() < until);
        if self.unanswered.is_empty() || is_waiting {
            return Ok(());
        }
        let committed = match self.subscriber.committed(&self.unanswered) {
            Ok(committed) => committed,
            Err(error) if error.reaction == Reaction::Retry => {
                tracing::warn!(destination = self.destination.name, %error, "cannot read committed offsets, will retry");
                self.kafka_backoff_until = Some(Instant::now() + KAFKA_BACKOFF);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.unanswered.clear();
        let mut positions = Vec::new();
        for committed in committed {
            let partition = committed.partition.clone();
            let offset = self.partitions.add(committed, self.destination.start, &self.destination.name);
            positions.push((partition, offset));
        }
        self.subscriber.assign(&positions)?;
        if self.is_reading_paused {
            let partitions: Vec<TopicPartition> = positions.into_iter().map(|(partition, _)| partition).collect();
            self.subscriber.pause(&partitions)?;
        }
        Ok(())
    }

    /// Finishes what is in flight for `partitions`, drops the rest, and commits.
    fn finish(&mut self, partitions: &[TopicPartition], timeout: Duration) -> Result<(), kafka::Error> {
        let deadline = Instant::now() + timeout;
        self.partitions.close(partitions);
        self.queue.remove_where(|it| partitions.contains(&it.partition));
        let mut received = Ok(());
        while received.is_ok()
            && self.queue.has_in_flight(|it| partitions.contains(&it.partition))
            && Instant::now() < deadline
        {
            received = self.receive(IDLE_WAIT);
            self.publish_rejected();
        }
        self.publish_rejected();
        let offsets = self.partitions.take_changed(|it| partitions.contains(it));
        if let Err(error) = self.subscriber.commit(&offsets, true) {
            let destination = &self.destination.name;
            tracing::warn!(destination, %error, "offsets were not committed, deliveries may be repeated");
        }
        received
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), kafka::Error> {
        self.queue.remove_where(|it| partitions.contains(&it.partition));
        self.rejected.retain(|it| !partitions.contains(&it.partition));
        self.unanswered.retain(|it| !partitions.contains(it));
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.subscriber.unassign(partitions)
    }

    fn admit(&mut self, partition: TopicPartition, record: Record) {
        let offset = record.offset;
        let Some((epoch, admission)) = self.partitions.admit(&partition, offset) else { return };
        if admission != Admission::New {
            return;
        }
        let is_other = self.options.is_redrive
            && (dead_letter::destination_of(&record) != Some(&self.destination.name)
                || offset >= self.partitions.end(&partition));
        // A record without a value is a tombstone of a compacted topic.
        if is_other || record.value.is_none() {
            self.partitions.complete(&partition, offset, epoch);
            return;
        }
        let bytes = record.value.as_ref().map_or(0, Vec::len);
        let transition = match Transition::read(record) {
            Ok(transition) => transition,
            Err(unreadable) => {
                let (record, what) = *unreadable;
                self.reject(partition, epoch, record, Problem::of_record(what), 0, None);
                return;
            }
        };
        match self.suppression(&transition) {
            Ok(None) => {}
            Ok(Some(suppression)) => {
                self.count_suppressed(suppression);
                self.partitions.complete(&partition, offset, epoch);
                return;
            }
            Err(what) => {
                self.reject(partition, epoch, transition.record, Problem::of_record(what), 0, None);
                return;
            }
        }
        let customer = transition.customer_id.clone();
        let transition = Arc::new(transition);
        let delivery = Delivery { partition, epoch, transition, step: 0, attempts: 0 };
        self.queue.push(customer.as_bytes(), bytes, delivery, Instant::now());
    }

    /// Returns why a transition is not delivered; an error if its filter cannot be evaluated.
    fn suppression(&mut self, transition: &Transition) -> Result<Option<Suppression>, String> {
        if let Some(filter) = &self.destination.filter {
            let roots = [&transition.value, &self.destination.settings];
            if !filter.is_true(&roots).map_err(|error| format!("filter: {error}"))? {
                return Ok(Some(Suppression::Filter));
            }
        }
        let quiet = self.destination.quiet_hours.as_ref();
        if quiet.is_some_and(|it| it.is_suppressing && it.covers(transition.published_at)) {
            return Ok(Some(Suppression::QuietHours));
        }
        let (customer, at) = (transition.customer_id.as_bytes(), transition.published_at);
        let intervals = self.intervals.as_mut();
        Ok(intervals.is_some_and(|it| it.is_too_soon(customer, &transition.name, at)).then_some(Suppression::Interval))
    }

    fn count_suppressed(&mut self, suppression: Suppression) {
        *self.snapshot.suppressed.entry(suppression.as_str()).or_default() += 1;
    }

    /// Hands ready deliveries to idle senders.
    fn dispatch(&mut self) {
        let now = Instant::now();
        self.queue.wake(now);
        if self.is_paused || self.is_quiet() {
            return;
        }
        let batch_max = self.destination.batch_max();
        loop {
            if self.gate.permits(now, self.senders.busy_count(), self.destination.concurrency) == 0 {
                return;
            }
            let Some(oldest) = self.queue.oldest_ready() else { return };
            if self.queue.ready_count() < batch_max && now < oldest + self.destination.linger {
                return;
            }
            // A probe contains a single delivery.
            let count = if self.gate.state() == GateState::Active { batch_max } else { 1 };
            let mut task = Vec::new();
            for ticket in self.queue.take(count) {
                let Some(delivery) = self.queue.get_mut(ticket) else { continue };
                delivery.attempts += 1;
                self.snapshot.retried += u64::from(delivery.attempts > 1);
                task.push(TaskItem { ticket, transition: Arc::clone(&delivery.transition), step: delivery.step });
            }
            self.gate.sent();
            self.senders.hand_over(task);
        }
    }

    fn is_quiet(&self) -> bool {
        let quiet = self.destination.quiet_hours.as_ref();
        quiet.is_some_and(|it| !it.is_suppressing && it.covers(self.options.clock.now().wall))
    }

    fn commit(&mut self) {
        let now = Instant::now();
        if now < self.committed_at + COMMIT_INTERVAL {
            return;
        }
        self.committed_at = now;
        if self.subscriber.take_failed_commit() {
            self.partitions.set_changed();
        }
        let offsets = self.partitions.take_changed(|_| true);
        if let Err(error) = self.subscriber.commit(&offsets, false) {
            tracing::debug!(destination = self.destination.name, %error, "offsets were not committed, will retry");
            self.partitions.set_changed();
        }
    }

    /// Pauses reading while memory is full, and resumes at half.
    fn limit_reading(&mut self) -> Result<(), kafka::Error> {
        let rejected: usize = self.rejected.iter().filter_map(|it| it.record.value.as_ref()).map(Vec::len).sum();
        let (count, bytes) = (self.queue.len() + self.rejected.len(), self.queue.bytes() + rejected);
        if !self.is_reading_paused && (count >= DELIVERIES_MAX || bytes >= BYTES_MAX) {
            self.subscriber.pause(&self.partitions.names())?;
            self.is_reading_paused = true;
        } else if self.is_reading_paused && count <= DELIVERIES_MAX / 2 && bytes <= BYTES_MAX / 2 {
            self.subscriber.resume(&self.partitions.names())?;
            self.is_reading_paused = false;
        }
        Ok(())
    }
}
