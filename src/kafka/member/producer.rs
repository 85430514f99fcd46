//! The member's transactional producer.
//!
//! Every call of the transaction API runs under the watchdog. A call whose outcome is unknown, such as one that timed
//! out, returns `ResetProducer`: the epoch of a new producer fences the old producer's pending requests.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use super::watchdog::Watchdog;
use super::{PartitionOffset, ProducerRecord};
use crate::kafka::context::Context;
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::settings::Options;
use crate::kafka::{RecordBatch, RecordRef};

/// The maximum size of offset metadata in bytes; the broker's default limit (`offset.metadata.max.bytes`) is 4,096.
const METADATA_BYTES_MAX: usize = 4_000;

/// How long one poll for delivery reports takes. `poll` does not return early, so this bounds the precision of the
/// commit interval. In its last millisecond it polls in a loop without waiting, so a shorter one costs CPU time: with a
/// millisecond it was a quarter of that of the process (decision 0069). Sleeping between polls that do not wait costs
/// more: librdkafka's threads then use several times the CPU time (decision 0026).
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The maximum number of queued client events read while looking for the cause of an error.
const EVENTS_MAX: usize = 1_000;

/// If a call takes this long, the client may have sent its request more than once: it retries internally when a
/// connection closes or a request times out, and does not report the retry.
const RETRY_POSSIBLE_AFTER: Duration = Duration::from_secs(1);

/// The producer side of a member.
pub(in crate::kafka) struct TransactionalProducer {
    client: BaseProducer<Context>,
    /// Why the next transaction must start with a new client, if it must: a duplicate of an earlier transaction's
    /// request may still be in flight, which the broker would apply to the next one, or the settings have changed.
    must_reset: Option<&'static str>,
    watchdog: Watchdog,
    transaction_timeout: Duration,
}

impl TransactionalProducer {
    /// Creates a producer, which aborts the transaction that an earlier one of the same transactional id left open.
    pub(in crate::kafka) fn start(options: &Options) -> Result<Self, Error> {
        let watchdog = Watchdog::start(options.on_stuck).map_err(|error| {
            Error::new(Reaction::Fatal, "producer", ErrorCode::Thread, format!("cannot start a thread: {error}"))
        })?;
        let client = create_client(options)?;
        let mut producer =
            Self { client, must_reset: None, watchdog, transaction_timeout: options.transaction_timeout };
        producer.init()?;
        Ok(producer)
    }

    /// Replaces the client with a new one of the same transactional id.
    pub(in crate::kafka) fn reset(&mut self, options: &Options) -> Result<(), Error> {
        let old = std::mem::replace(&mut self.client, create_client(options)?);
        // Dropping it may wait for its connections, so it happens on its own thread.
        thread::spawn(move || drop(old));
        self.init()
    }

    /// Makes the next transaction start with a new client, which reads the current settings.
    pub(in crate::kafka) fn require_reset(&mut self) {
        self.must_reset = Some("the client settings have changed");
    }

    /// Resets the producer if the next transaction must start with a new client: its new epoch fences requests of the
    /// old one.
    pub(in crate::kafka) fn reset_if_required(&mut self, options: &Options) -> Result<(), Error> {
        let Some(why) = self.must_reset else { return Ok(()) };
        tracing::info!(target: "kafka", why, "resetting the producer");
        // If the reset fails, the caller repeats it until it succeeds.
        self.reset(options).map_err(|error| match error.reaction {
            Reaction::Fatal => error,
            Reaction::Retry | Reaction::Abort | Reaction::ResetProducer => {
                Error { reaction: Reaction::ResetProducer, ..error }
            }
        })
    }

    fn init(&mut self) -> Result<(), Error> {
        let timeout = self.transaction_timeout;
        self.call("init_transactions", |client| client.init_transactions(timeout)).map_err(|error| {
            match error.reaction {
                Reaction::Fatal => error,
                // Each reset starts with a new client, so retrying is always safe.
                Reaction::Retry | Reaction::Abort | Reaction::ResetProducer => {
                    Error { reaction: Reaction::Retry, ..error }
                }
            }
        })?;
        // A late retry of this call would only fence this producer, which is handled like any fencing.
        self.must_reset = None;
        Ok(())
    }

    pub(in crate::kafka) fn begin(&mut self) -> Result<(), Error> {
        // Client events accumulate while the producer is idle.
        self.serve_events();
        self.call("begin_transaction", Producer::begin_transaction)
    }

    /// Like [`send_batch`](Self::send_batch), for records that are not in a batch.
    pub(in crate::kafka) fn send(&mut self, records: &[ProducerRecord]) -> Result<Vec<i64>, Error> {
        let mut batch = RecordBatch::default();
        for record in records {
            batch.push(record);
        }
        self.send_batch(&batch)
    }

    /// Writes `records` and waits for their delivery reports. Returns their offsets, in the same order.
    pub(in crate::kafka) fn send_batch(&mut self, records: &RecordBatch) -> Result<Vec<i64>, Error> {
        let deadline = Instant::now() + self.transaction_timeout;
        let first = self.client.context().expect_reports(records.len());
        for (index, record) in records.iter().enumerate() {
            self.enqueue(record, first.wrapping_add(index), deadline)?;
        }
        self.wait_for_deliveries(deadline)?;
        let outcomes = self.client.context().take_reports();
        if outcomes.contains(&Some(Err(RDKafkaErrorCode::PurgeQueue))) {
            return Err(self.failure_cause());
        }
        let outcomes = outcomes.into_iter().zip(records.iter());
        outcomes
            .map(|(outcome, record)| match outcome {
                Some(Ok(offset)) => Ok(offset),
                Some(Err(code)) => Err(self.delivery_error(code, record.topic())),
                None => Err(Error::new(
                    Reaction::ResetProducer,
                    "send",
                    ErrorCode::NoReport,
                    "a record has no delivery report",
                )),
            })
            .collect()
    }

    fn delivery_error(&self, code: RDKafkaErrorCode, topic: &str) -> Error {
        let fatal = self.client.client().fatal_error().map(|(code, why)| (code.into(), why));
        Error::of_delivery(code.into(), topic, fatal)
    }

    /// Returns why the transaction failed. The client purges its queue on failure, and reports the cause only when the
    /// next call of the transaction API fails.
    fn failure_cause(&mut self) -> Error {
        let call = "commit_transaction";
        let committed = self.call(call, |client| client.commit_transaction(Timeout::Never));
        committed.err().unwrap_or_else(|| {
            Error::new(Reaction::ResetProducer, call, ErrorCode::NoCause, "the client purged records without a cause")
        })
    }

    /// Passes `record` to the client. `report` identifies its delivery report.
    fn enqueue(&self, record: RecordRef<'_>, report: usize, deadline: Instant) -> Result<(), Error> {
        let mut next = BaseRecord::<[u8], [u8], usize>::with_opaque_to(record.topic(), report);
        let headers = record.headers();
        if headers.len() > 0 {
            let owned = OwnedHeaders::new_with_capacity(headers.len());
            next.headers = Some(headers.fold(owned, |owned, (key, value)| owned.insert(Header { key, value })));
        }
        next.timestamp = Some(record.timestamp_ms());
        next.partition = record.partition();
        next.key = record.key();
        next.payload = record.value();
        loop {
            match self.client.send(next) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned))
                    if Instant::now() < deadline =>
                {
                    next = returned;
                    self.client.poll(POLL_INTERVAL);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => return Err(timed_out("send")),
                Err((error, _)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    return Err(self.delivery_error(code, record.topic()));
                }
            }
        }
    }

    /// Waits until every record in flight has its delivery report.
    ///
    /// rdkafka's own flush polls for 100 ms at a time regardless of new reports, which would delay every commit.
    fn wait_for_deliveries(&self, deadline: Instant) -> Result<(), Error> {
        // Makes the client send queued records without lingering. The returned timeout error only means that the queue
        // is not empty yet.
        let _timed_out = self.client.flush(Duration::ZERO);
        while self.client.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(timed_out("send"));
            }
            self.client.poll(POLL_INTERVAL);
        }
        Ok(())
    }

    pub(in crate::kafka) fn send_offsets(
        &mut self,
        topic: &str,
        offsets: &[(PartitionOffset, String)],
        group_metadata: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        let call = "send_offsets_to_transaction";
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (it, metadata) in offsets {
            if metadata.len() > METADATA_BYTES_MAX {
                let message =
                    format!("the offset metadata has {} bytes, more than {METADATA_BYTES_MAX}", metadata.len());
                return Err(Error::new(Reaction::Fatal, call, ErrorCode::OffsetMetadataTooLarge, message));
            }
            let mut element = list.add_partition(topic, it.partition);
            element.set_offset(Offset::Offset(it.offset)).map_err(|error| Error::of_assignment(call, &error))?;
            element.set_metadata(metadata);
        }
        let timeout = self.transaction_timeout;
        self.call(call, |client| client.send_offsets_to_transaction(&list, group_metadata, timeout))
    }

    pub(in crate::kafka) fn commit(&mut self) -> Result<(), Error> {
        self.wait_for_deliveries(Instant::now() + self.transaction_timeout)?;
        // Without a timeout librdkafka uses the remaining transaction timeout, as its documentation recommends.
        self.call("commit_transaction", |client| client.commit_transaction(Timeout::Never))
    }

    pub(in crate::kafka) fn abort(&mut self) -> Result<(), Error> {
        // librdkafka waits for the delivery reports of all records in flight, and only our polls serve them.
        self.client.purge(PurgeConfig::default().queue().inflight());
        self.wait_for_deliveries(Instant::now() + self.transaction_timeout)?;
        self.call("abort_transaction", |client| client.abort_transaction(Timeout::Never))
    }

    fn call(
        &mut self,
        name: &'static str,
        request: impl FnOnce(&BaseProducer<Context>) -> KafkaResult<()>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let outcome = self.watchdog.watch(name, self.transaction_timeout * 2, || request(&self.client));
        if started.elapsed() >= RETRY_POSSIBLE_AFTER {
            self.must_reset = Some("a slow transaction call may have been retried");
        }
        outcome.map_err(|error| {
            self.serve_events();
            let error = Error::of_transaction(name, &error);
            if error.fenced { error } else { error.with_reported(self.client.context().take_error()) }
        })
    }
}

impl TransactionalProducer {
    /// Serves the queued client events; each poll serves one.
    fn serve_events(&self) {
        for _ in 0..EVENTS_MAX {
            let before = self.client.context().event_count();
            self.client.poll(Duration::ZERO);
            if self.client.context().event_count() == before {
                break;
            }
        }
    }
}

fn create_client(options: &Options) -> Result<BaseProducer<Context>, Error> {
    options
        .for_producer()
        .create_with_context(Context::default())
        .map_err(|error| Error::of_creation("producer", &error))
}

fn timed_out(call: &'static str) -> Error {
    Error::new(
        Reaction::ResetProducer,
        call,
        ErrorCode::OperationTimedOut,
        "the broker did not answer within the transaction timeout",
    )
}
