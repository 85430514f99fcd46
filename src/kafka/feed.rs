//! Writes records without transactions, for those who generate touchpoints.
//!
//! Keys fall on the partitions that Java clients choose. Records of a partition keep their order, whatever has to be sent
//! again. A record that the cluster did not take is told at the next call.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::error::{Error, Reaction};
use super::settings::Cluster;

/// How long a call waits for room in the queue before it asks again.
const ROOM_PATIENCE: Duration = Duration::from_millis(10);

/// Writes records, without transactions.
pub struct Feed {
    producer: BaseProducer<Deliveries>,
}

/// What became of the records.
#[derive(Debug, Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    /// Why the first of them was not taken.
    failure: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {
    // What matters comes as a failed record.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Deliveries {
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

impl Feed {
    /// A feed to `cluster`.
    ///
    /// # Errors
    /// As of the client.
    pub fn connect(cluster: &Cluster) -> Result<Self, Error> {
        let mut config = cluster.for_questions();
        config
            .set("client.id", "lifecycle-generate")
            .set("partitioner", "murmur2_random")
            // Else a record that is sent again may pass the next one of its customer.
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("message.timeout.ms", "30000")
            .set_log_level(RDKafkaLogLevel::Emerg);
        let producer =
            config.create_with_context(Deliveries::default()).map_err(|error| Error::of_creation("feed", &error))?;
        Ok(Self { producer })
    }

    /// Writes a record; waits while the queue is full.
    ///
    /// # Errors
    /// As of the client; also when an earlier record was not taken.
    pub fn send(&self, topic: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => return self.first_failure(),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    self.poll(ROOM_PATIENCE)?;
                }
                Err((error, _)) => return Err(Error::of_question("send", &error)),
            }
        }
    }

    /// Lets the client work for `patience`; to be called now and then.
    ///
    /// # Errors
    /// When a record was not taken.
    pub fn poll(&self, patience: Duration) -> Result<(), Error> {
        self.producer.poll(patience);
        self.first_failure()
    }

    /// Waits until everything is written, `patience` at most, and returns how many records the cluster took.
    ///
    /// # Errors
    /// As of the client; also when a record was not taken.
    pub fn finish(&self, patience: Duration) -> Result<u64, Error> {
        self.producer.flush(patience).map_err(|error| Error::of_question("flush", &error))?;
        self.first_failure()?;
        Ok(self.producer.context().delivered.load(Ordering::Relaxed))
    }

    fn first_failure(&self) -> Result<(), Error> {
        let deliveries = self.producer.context();
        let failed = deliveries.failed.load(Ordering::Relaxed);
        if failed == 0 {
            return Ok(());
        }
        let why = deliveries.failure.lock().ok().and_then(|failure| failure.as_ref().map(ToString::to_string));
        let what = format!("{failed} records were not taken by the cluster: {}", why.unwrap_or_default());
        Err(Error::new(Reaction::Fatal, "send", "not_taken", what))
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Feed").finish_non_exhaustive()
    }
}
