//! An idempotent producer without transactions, for generated touchpoints.
//!
//! It partitions keys as the Java client does. Retries keep the order of records within a partition. If a record was
//! not delivered, the next call returns the error.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::settings::Cluster;

/// How long `send` polls before it tries again while the client's queue is full.
const QUEUE_FULL_BACKOFF: Duration = Duration::from_millis(10);

/// Writes records without transactions.
pub struct PlainProducer {
    producer: BaseProducer<DeliveryCounts>,
}

/// A client context that counts delivery reports.
#[derive(Debug, Default)]
struct DeliveryCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
    /// The error of the first record that was not delivered.
    failure: Mutex<Option<KafkaError>>,
}

impl ClientContext for DeliveryCounts {
    // Errors that matter arrive as failed delivery reports.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for DeliveryCounts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.delivered.fetch_add(1, Ordering::Relaxed),
            Err((error, _)) => {
                if let Ok(mut failure) = self.failure.lock() {
                    failure.get_or_insert_with(|| error.clone());
                }
                self.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

impl PlainProducer {
    /// Creates a producer for `cluster`. It connects in the background.
    ///
    /// # Errors
    /// `Fatal` when a setting is invalid.
    pub fn connect(cluster: &Cluster) -> Result<Self, Error> {
        let mut config = cluster.for_queries();
        config
            .set("client.id", "lifecycle-generate")
            .set("partitioner", "murmur2_random")
            // Without idempotence a retried record could be written after the customer's next one.
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("message.timeout.ms", "30000")
            .set_log_level(RDKafkaLogLevel::Emerg);
        let producer = config
            .create_with_context(DeliveryCounts::default())
            .map_err(|error| Error::of_creation("plain_producer", &error))?;
        Ok(Self { producer })
    }

    /// Queues a record for sending; waits while the queue is full.
    ///
    /// # Errors
    /// `Fatal` when an earlier record was not delivered; `Retry` or `Fatal` when the client rejects this record.
    pub fn send(&self, topic: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => return self.first_failure(),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    record = returned;
                    self.poll(QUEUE_FULL_BACKOFF)?;
                }
                Err((error, _)) => return Err(Error::of_query("send", &error)),
            }
        }
    }

    /// Serves delivery reports for `timeout`. Call it regularly.
    ///
    /// # Errors
    /// `Fatal` when a record was not delivered.
    pub fn poll(&self, timeout: Duration) -> Result<(), Error> {
        self.producer.poll(timeout);
        self.first_failure()
    }

    /// Waits up to `timeout` until all queued records are delivered, and returns the number of records delivered so
    /// far.
    ///
    /// # Errors
    /// `Retry` when records are still queued after `timeout`; `Fatal` when a record was not delivered.
    pub fn finish(&self, timeout: Duration) -> Result<u64, Error> {
        self.producer.flush(timeout).map_err(|error| Error::of_query("flush", &error))?;
        self.first_failure()?;
        Ok(self.producer.context().delivered.load(Ordering::Relaxed))
    }

    fn first_failure(&self) -> Result<(), Error> {
        let deliveries = self.producer.context();
        let failed = deliveries.failed.load(Ordering::Relaxed);
        if failed == 0 {
            return Ok(());
        }
        let cause = deliveries.failure.lock().ok().and_then(|failure| failure.as_ref().map(ToString::to_string));
        let message = format!("{failed} records were not delivered: {}", cause.unwrap_or_default());
        Err(Error::new(Reaction::Fatal, "send", ErrorCode::NotDelivered, message))
    }
}

impl std::fmt::Debug for PlainProducer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PlainProducer").finish_non_exhaustive()
    }
}
