//! A broker inside this process, for the demo: real clients speak to it over the loopback device.
//!
//! It is the client library's own stand-in: topics, groups and transactions work, but nothing is aborted, no position is
//! kept, and nothing outlives the process. Nothing about exactly-once is shown by it.

use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::Error;

/// A broker inside this process. It is gone with this value.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// Writes records, without transactions.
pub struct Feed {
    producer: BaseProducer,
}

/// Reads a topic from its beginning, every partition of it, outside of any group.
pub struct Tail {
    consumer: BaseConsumer,
}

impl MockBroker {
    /// A broker that has `topics`, each with its number of partitions.
    ///
    /// # Errors
    /// As of the client.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, Error> {
        let cluster = MockCluster::new(1).map_err(|error| Error::of_creation("mock_broker", &error))?;
        for &(topic, partitions) in topics {
            cluster.create_topic(topic, partitions, 1).map_err(|error| Error::of_question("create_topic", &error))?;
        }
        Ok(Self { cluster })
    }

    /// Where clients find it.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

impl Feed {
    /// A feed to the broker at `bootstrap_servers`.
    ///
    /// # Errors
    /// As of the client.
    pub fn connect(bootstrap_servers: &str) -> Result<Self, Error> {
        let producer = client(bootstrap_servers)
            .set("partitioner", "murmur2_random")
            // The broker searches its batches one by one, so a few large ones are quicker to read.
            .set("linger.ms", "20")
            .create()
            .map_err(|error| Error::of_creation("feed", &error))?;
        Ok(Self { producer })
    }

    /// Writes a record; waits while the queue is full.
    ///
    /// # Errors
    /// As of the client.
    pub fn send(&self, topic: &str, key: &str, value: &str) -> Result<(), Error> {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(Error::of_question("send", &error)),
            }
        }
    }

    /// Lets the client work; to be called now and then.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until everything is written, `patience` at most.
    ///
    /// # Errors
    /// As of the client.
    pub fn finish(&self, patience: Duration) -> Result<(), Error> {
        self.producer.flush(patience).map_err(|error| Error::of_question("flush", &error))
    }
}

impl Tail {
    /// A reader of `topic`, which has `partitions`.
    ///
    /// # Errors
    /// As of the client.
    pub fn connect(bootstrap_servers: &str, topic: &str, partitions: i32) -> Result<Self, Error> {
        let consumer: BaseConsumer = client(bootstrap_servers)
            .set("group.id", "tail")
            .set("enable.auto.commit", "false")
            .create()
            .map_err(|error| Error::of_creation("tail", &error))?;
        let mut positions = TopicPartitionList::new();
        for partition in 0..partitions {
            positions
                .add_partition_offset(topic, partition, Offset::Beginning)
                .map_err(|error| Error::of_assignment("assign", &error))?;
        }
        consumer.assign(&positions).map_err(|error| Error::of_assignment("assign", &error))?;
        Ok(Self { consumer })
    }

    /// The values at hand, `records_max` at most; waits up to `patience` for the first.
    ///
    /// # Errors
    /// As of the client.
    pub fn read(&self, records_max: usize, patience: Duration) -> Result<Vec<Vec<u8>>, Error> {
        let mut values = Vec::new();
        let mut patience = patience;
        while values.len() < records_max {
            match self.consumer.poll(patience) {
                Some(Ok(record)) => values.extend(record.payload().map(<[u8]>::to_vec)),
                Some(Err(error)) => return Err(Error::of_question("read", &error)),
                None => break,
            }
            patience = Duration::ZERO;
        }
        Ok(values)
    }
}

fn client(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set_log_level(RDKafkaLogLevel::Emerg);
    config
}

impl std::fmt::Debug for MockBroker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MockBroker").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tail").finish_non_exhaustive()
    }
}
