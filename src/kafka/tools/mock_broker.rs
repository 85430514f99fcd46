//! A mock broker inside this process, for the demo: real clients connect to it over the loopback interface.
//!
//! It is librdkafka's mock cluster. Topics, groups and transactions work, but it neither aborts transactions nor stores
//! committed offsets, and all data is lost when the process ends. It cannot test exactly-once processing.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::kafka::error::Error;
use crate::kafka::settings::Cluster;

/// The time between two connections that wake the mock broker while it executes commands.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// A mock broker. It stops when this value is dropped.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockBroker {
    /// Starts a broker with `topics`, each given with its number of partitions.
    ///
    /// # Errors
    /// `Fatal` when the client cannot be created; `Retry` when a topic cannot be created.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, Error> {
        let cluster = MockCluster::new(1).map_err(|error| Error::of_creation("mock_broker", &error))?;
        while_connecting(&cluster.bootstrap_servers(), || {
            topics.iter().try_for_each(|&(topic, partitions)| cluster.create_topic(topic, partitions, 1))
        })
        .map_err(|error| Error::of_query("create_topic", &error))?;
        Ok(Self { cluster })
    }

    /// Returns the cluster for clients to connect to.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster { bootstrap_servers: self.cluster.bootstrap_servers(), settings: Vec::new() }
    }
}

/// Runs `commands`, and repeatedly connects to the broker at `address` in the meantime.
///
/// The mock broker reads its command queue before it clears the event that wakes it. So when two commands are sent in
/// quick succession, the later one often waits up to 1 s for the next event. A new connection wakes the broker sooner.
fn while_connecting<T>(address: &str, commands: impl FnOnce() -> T) -> T {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        // A guard, because the scope waits for its thread also when the commands panic.
        let _done = Done(&is_done);
        scope.spawn(|| {
            thread::sleep(CONNECT_INTERVAL);
            while !is_done.load(Ordering::Relaxed) {
                drop(TcpStream::connect(address));
                thread::sleep(CONNECT_INTERVAL);
            }
        });
        commands()
    })
}

impl std::fmt::Debug for MockBroker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MockBroker").finish_non_exhaustive()
    }
}
