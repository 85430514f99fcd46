//! Runs the service as shipped and measures it from the first tenth of the input to the end.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{Options, broker, cpu};

/// Interval of the progress checks.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum duration of a run.
const RUN_TIMEOUT: Duration = Duration::from_mins(15);

/// A running service with its own topics and group.
pub(crate) struct Service {
    child: Child,
    address: String,
    touchpoints: String,
    transitions: String,
    group: String,
    partitions: i32,
    /// Contains the configuration.
    _folder: tempfile::TempDir,
}

/// Result of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    touchpoints: f64,
    wall_seconds: f64,
    cpu_seconds: f64,
}

impl Measured {
    /// Touchpoints per second of wall time.
    pub(crate) fn per_second(&self) -> f64 {
        self.touchpoints / self.wall_seconds
    }

    /// Microseconds of CPU time per touchpoint.
    pub(crate) fn cpu_micros(&self) -> f64 {
        1e6 * self.cpu_seconds / self.touchpoints
    }
}

impl Service {
    pub(crate) fn start(touchpoints: &str, options: &Options) -> Self {
        let group = broker::unique("readers");
        let transitions = broker::topic("readers-transitions", options.partitions);
        let changelog = broker::changelog_topic(options.partitions);
        let dead_letters = broker::topic("readers-dead-letters", 1);
        let hand_overs = broker::topic("readers-hand-overs", options.partitions);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("lifecycle.yaml");
        // The listener is dropped before the service starts; another process is unlikely to take the port in between.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let address = free.to_string();
        let mut text = String::new();
        write!(
            text,
            "kafka: {{bootstrap_servers: \"{}\", group_id: {group}, instance_id: a}}\n\
             topics: {{touchpoints: {touchpoints}, transitions: {transitions}, replay: {transitions}, changelog: {changelog}, \
             dead_letters: {dead_letters}, hand_overs: {hand_overs}}}\n\
             workers: {}\n\
             http: {{listen: \"{address}\"}}\n\
             log: {{level: warn}}\n\
             {}",
            broker::bootstrap(),
            options.workers,
            options.config
        )
        .expect("text can be written");
        std::fs::write(&config, text).expect("a file can be written");
        let child = Command::new(&options.service)
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .expect("the service starts");
        let (touchpoints, partitions) = (touchpoints.to_owned(), options.partitions);
        Self { child, address, touchpoints, transitions, group, partitions, _folder: folder }
    }

    /// Returns the HTTP address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the topic of live and replayed transitions.
    pub(crate) fn transitions(&self) -> &str {
        &self.transitions
    }

    /// Waits until the whole input is committed. Measures from the first tenth on, which excludes joining the group.
    pub(crate) fn measure(&self) -> Measured {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker::bootstrap())
            .set("group.id", &self.group)
            .create()
            .expect("a consumer");
        let end: i64 = (0..self.partitions)
            .map(|partition| {
                consumer.fetch_watermarks(&self.touchpoints, partition, broker::TIMEOUT).expect("the broker answers").1
            })
            .sum();
        let id = self.child.id().to_string();
        let begin = Instant::now();
        let mut first: Option<(i64, Instant, f64)> = None;
        loop {
            assert!(begin.elapsed() < RUN_TIMEOUT, "the service has not finished after {RUN_TIMEOUT:?}");
            let committed = self.committed_touchpoints(&consumer);
            let now = Instant::now();
            match first {
                None if committed >= end / 10 => first = Some((committed, now, cpu::seconds(&id))),
                Some((from, since, before)) if committed >= end => {
                    return Measured {
                        touchpoints: f64::from(i32::try_from(end - from).expect("millions")),
                        wall_seconds: (now - since).as_secs_f64(),
                        cpu_seconds: cpu::seconds(&id) - before,
                    };
                }
                _ => std::thread::sleep(POLL_INTERVAL),
            }
        }
    }

    /// Returns the number of committed touchpoints.
    fn committed_touchpoints(&self, consumer: &BaseConsumer) -> i64 {
        let mut requested = TopicPartitionList::new();
        for partition in 0..self.partitions {
            requested.add_partition(&self.touchpoints, partition);
        }
        // Offsets are returned only while no transaction is open, so the request fails most of the time.
        let Ok(committed) = consumer.committed_offsets(requested, Duration::from_secs(5)) else { return 0 };
        committed.elements().iter().filter_map(|element| element.offset().to_raw()).map(|offset| offset.max(0)).sum()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // An error means that it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
