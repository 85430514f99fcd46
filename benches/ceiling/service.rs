//! One run of the service as it is shipped: from its start until it has committed the end of every partition.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{Measured, Options, Written, broker, cpu};

/// How often it is asked whether the service is through; a hundredth of the shortest run that tells anything.
const LOOK: Duration = Duration::from_millis(50);
/// Longer than any run takes.
const PATIENCE: Duration = Duration::from_mins(15);

/// Runs the service over `topic`, with topics and a group of its own.
pub(crate) fn run(topic: &str, options: Options) -> (Measured, Written) {
    let group = broker::unique("ceiling");
    let transitions = broker::topic("ceiling-transitions", options.partitions);
    let changelog = broker::changelog_topic(options.partitions);
    let dead_letters = broker::topic("ceiling-dead-letters", 1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("lifecycle.yaml");
    let mut text = String::new();
    write!(
        text,
        "kafka: {{bootstrap_servers: \"{}\", group_id: {group}}}\n\
         topics: {{touchpoints: {topic}, transitions: {transitions}, replay: {transitions}, changelog: {changelog}, \
         dead_letters: {dead_letters}}}\n\
         clock: {{source: touchpoints}}\n\
         workers: {}\n\
         http: {{listen: \"127.0.0.1:0\"}}\n\
         log: {{level: warn}}\n",
        broker::bootstrap(),
        options.workers
    )
    .expect("text can be written");
    std::fs::write(&config, text).expect("a file can be written");

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker::bootstrap())
        .set("group.id", &group)
        .create()
        .expect("a consumer");
    let ends = ends(&consumer, topic, options.partitions);
    let begin = Instant::now();
    let mut service = Running(
        Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .expect("the service starts"),
    );
    let id = service.0.id().to_string();
    while !is_through(&consumer, topic, &ends) {
        assert!(service.0.try_wait().expect("a child").is_none(), "the service ended by itself");
        assert!(begin.elapsed() < PATIENCE, "the service is not through after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
    let measured = Measured { cpu_seconds: cpu::seconds(&id), wall_seconds: begin.elapsed().as_secs_f64() };
    drop(service);

    assert_eq!(broker::read_committed(&dead_letters).len(), 0, "generated touchpoints are sound");
    let values = |topic: &str| broker::read_committed(topic).into_iter().filter_map(|record| record.value);
    let written =
        Written { transitions: values(&transitions).collect(), changelog: values(&changelog).flatten().collect() };
    (measured, written)
}

/// The service; killed when the measurement ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Killed already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The end of each partition.
pub(crate) fn ends(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Vec<i64> {
    (0..partitions)
        .map(|partition| consumer.fetch_watermarks(topic, partition, broker::PATIENCE).expect("the broker answers").1)
        .collect()
}

fn is_through(consumer: &BaseConsumer, topic: &str, ends: &[i64]) -> bool {
    let mut asked = TopicPartitionList::new();
    for (partition, _) in (0..).zip(ends) {
        asked.add_partition(topic, partition);
    }
    // A transaction is open most of the time, and then the broker answers only after it.
    let Ok(committed) = consumer.committed_offsets(asked, Duration::from_secs(5)) else { return false };
    (0..).zip(ends).all(|(partition, &end)| {
        let element = committed.find_partition(topic, partition);
        element.and_then(|element| element.offset().to_raw()).is_some_and(|offset| offset >= end) || end == 0
    })
}
