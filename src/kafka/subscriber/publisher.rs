//! A producer that writes a few records and waits until they are acknowledged.

use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka::context::Context;
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::member::ProducerRecord;
use crate::kafka::settings::Cluster;

/// An idempotent producer whose records are acknowledged before a call returns.
pub struct Publisher {
    producer: BaseProducer<Context>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl Publisher {
    /// Creates a producer. It connects in the background.
    ///
    /// # Errors
    /// `Fatal` when a setting is invalid.
    pub fn connect(cluster: &Cluster, client_id: &str) -> Result<Self, Error> {
        let mut config = cluster.for_queries();
        config
            .set("client.id", client_id)
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "20000")
            .set_log_level(RDKafkaLogLevel::Warning);
        let producer =
            config.create_with_context(Context::default()).map_err(|error| Error::of_creation("publisher", &error))?;
        Ok(Self { producer })
    }

    /// Writes `records`, and returns when all are acknowledged.
    ///
    /// # Errors
    /// `Retry` if one was not acknowledged within `timeout`; some may have been written.
    pub fn publish(&self, records: &[ProducerRecord], timeout: Duration) -> Result<(), Error> {
        let not_delivered = |what: String| Error::new(Reaction::Retry, "publish", ErrorCode::NotDelivered, what);
        let first = self.producer.context().expect_reports(records.len());
        for (index, record) in records.iter().enumerate() {
            let number = first.wrapping_add(index);
            let mut to_send = BaseRecord::with_opaque_to(&record.topic, number).timestamp(record.timestamp_ms);
            if let Some(key) = &record.key {
                to_send = to_send.key(key.as_slice());
            }
            if let Some(value) = &record.value {
                to_send = to_send.payload(value.as_slice());
            }
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, it| {
                headers.insert(Header { key: &it.name, value: it.value.as_deref() })
            });
            to_send = to_send.headers(headers);
            self.send(to_send).map_err(|error| Error::of_query("publish", &error))?;
        }
        self.producer.flush(timeout).map_err(|error| Error::of_query("publish", &error))?;
        for outcome in self.producer.context().take_reports() {
            match outcome {
                Some(Ok(_)) => {}
                Some(Err(code)) => return Err(not_delivered(format!("a record was not written: {code}"))),
                None => return Err(not_delivered("a record was not acknowledged in time".to_owned())),
            }
        }
        Ok(())
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), KafkaError> {
        let mut record = record;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    record = returned;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}
