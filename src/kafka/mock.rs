//! A broker inside this process, for the demo: real clients speak to it over the loopback device.
//!
//! It is the client library's own stand-in: topics, groups and transactions work, but nothing is aborted, no position is
//! kept, and nothing outlives the process. Nothing about exactly-once is shown by it.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::Error;
use super::settings::Cluster;

/// For how long the broker may oversleep an order.
const OVERSLEPT_MAX: Duration = Duration::from_millis(10);

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
        kept_awake(&cluster.bootstrap_servers(), || {
            topics.iter().try_for_each(|&(topic, partitions)| cluster.create_topic(topic, partitions, 1))
        })
        .map_err(|error| Error::of_question("create_topic", &error))?;
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

/// Gives orders to the broker at `address`.
///
/// The library's broker looks at its orders and then throws away what called it, so that of two that come close together the second
/// often waits for a second, until it looks again. A connection calls it, too.
fn kept_awake<T>(address: &str, give_orders: impl FnOnce() -> T) -> T {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also where the orders panic: the scope waits for its thread.
        let _done = Done(&is_done);
        scope.spawn(|| {
            thread::sleep(OVERSLEPT_MAX);
            while !is_done.load(Ordering::Relaxed) {
                // That it came about is all there is to it.
                drop(TcpStream::connect(address));
                thread::sleep(OVERSLEPT_MAX);
            }
        });
        give_orders()
    })
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
