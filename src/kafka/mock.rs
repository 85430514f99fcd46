//! A broker inside this process, for the demo: real clients speak to it over the loopback device.
//!
//! It is the client library's own stand-in: topics, groups and transactions work, but nothing is aborted, no position is
//! kept, and nothing outlives the process. Nothing about exactly-once is shown by it.

use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::Error;
use super::settings::Cluster;

/// A broker inside this process. It is gone with this value.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
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
    pub fn cluster(&self) -> Cluster {
        Cluster { bootstrap_servers: self.cluster.bootstrap_servers(), settings: Vec::new() }
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

impl std::fmt::Debug for Tail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tail").finish_non_exhaustive()
    }
}
