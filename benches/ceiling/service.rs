//! Runs the service as shipped until it has committed the end of every partition, and reads what it wrote.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{Measured, Options, ServiceOutput, broker, cpu};

/// Interval of the checks whether the run has ended; at most about one per cent of its duration.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum duration of a run.
const RUN_TIMEOUT: Duration = Duration::from_mins(15);

/// What a topic contains, and how the service reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// Touchpoints in JSON.
    Native,
    /// Segment calls, which ingest workers of the service write to a topic of touchpoints first.
    Rekeyed,
    /// Segment calls, which the workers read.
    Direct,
    /// Touchpoints in JSON, with identity resolution.
    Identified,
}

/// Runs the service over `topic`, with its own topics and group.
pub(crate) fn run(topic: &str, input: Input, options: &Options) -> (Measured, ServiceOutput) {
    let is_rekeyed = input == Input::Rekeyed;
    let touchpoints = if is_rekeyed { broker::topic("ceiling-rekeyed", options.partitions) } else { topic.to_owned() };
    let group = broker::unique("ceiling");
    let transitions = broker::topic("ceiling-transitions", options.partitions);
    let changelog = broker::changelog_topic(options.partitions);
    let dead_letters = broker::topic("ceiling-dead-letters", 1);
    let hand_overs = broker::topic("ceiling-hand-overs", options.partitions);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("lifecycle.yaml");
    let mut text = String::new();
    write!(
        text,
        "kafka: {{bootstrap_servers: \"{}\", group_id: {group}}}\n\
         topics: {{touchpoints: {touchpoints}, transitions: {transitions}, replay: {transitions}, changelog: {changelog}, \
         dead_letters: {dead_letters}, hand_overs: {hand_overs}}}\n\
         clock: {{source: touchpoints}}\n\
         workers: {}\n\
         http: {{listen: \"127.0.0.1:0\"}}\n\
         log: {{level: warn}}\n",
        broker::bootstrap(),
        options.workers
    )
    .expect("text can be written");
    if !options.models.is_empty() {
        writeln!(text, "models: [{}]", options.models).expect("text can be written");
    }
    if input == Input::Identified {
        writeln!(text, "identity: {{enabled: true, link_on: any}}").expect("text can be written");
    }
    if matches!(input, Input::Rekeyed | Input::Direct) {
        // A mapping without batches can be read directly.
        let preset = include_str!("../../presets/sources/segment.yaml").lines();
        let mapping =
            preset.filter(|line| !line.starts_with("batch:")).fold(String::new(), |all, line| all + line + "\n");
        std::fs::write(folder.path().join("calls.yaml"), mapping).expect("a file can be written");
        let source = "name: web, mapping: ./calls.yaml, settings: {currency: USD}";
        writeln!(text, "sources: [{{{source}, topics: [{topic}]}}]").expect("text can be written");
    }
    std::fs::write(&config, text).expect("a file can be written");

    let consumer = |group: &str| -> BaseConsumer {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", broker::bootstrap()).set("group.id", group).create().expect("a consumer")
    };
    let (ingest, consumer) = (consumer(&format!("{group}-ingest")), consumer(&group));
    let begin = Instant::now();
    let mut service = ServiceProcess(
        Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .expect("the service starts"),
    );
    let id = service.0.id().to_string();
    let mut wait_until_committed = |consumer: &BaseConsumer, topic: &str| {
        let ends = ends(consumer, topic, options.partitions);
        while !has_committed(consumer, topic, &ends) {
            assert!(service.0.try_wait().expect("a child").is_none(), "the service exited");
            assert!(begin.elapsed() < RUN_TIMEOUT, "the service has not finished after {RUN_TIMEOUT:?}");
            std::thread::sleep(POLL_INTERVAL);
        }
    };
    if is_rekeyed {
        wait_until_committed(&ingest, topic);
    }
    wait_until_committed(&consumer, &touchpoints);
    let measured = Measured { cpu_seconds: cpu::seconds(&id), wall_seconds: begin.elapsed().as_secs_f64() };
    drop(service);

    assert_eq!(broker::read_committed(&dead_letters).len(), 0, "generated touchpoints are valid");
    let values = |topic: &str| broker::read_committed(topic).into_iter().filter_map(|record| record.value);
    let service_output = ServiceOutput {
        transitions: values(&transitions).collect(),
        changelog: values(&changelog).flatten().collect(),
    };
    (measured, service_output)
}

/// The service; killed when dropped.
struct ServiceProcess(Child);

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        // An error means that it has already exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the end offset of each partition.
pub(crate) fn ends(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Vec<i64> {
    (0..partitions)
        .map(|partition| consumer.fetch_watermarks(topic, partition, broker::TIMEOUT).expect("the broker answers").1)
        .collect()
}

fn has_committed(consumer: &BaseConsumer, topic: &str, ends: &[i64]) -> bool {
    let mut requested = TopicPartitionList::new();
    for (partition, _) in (0..).zip(ends) {
        requested.add_partition(topic, partition);
    }
    // Offsets are returned only while no transaction is open, so the request fails most of the time.
    let Ok(committed) = consumer.committed_offsets(requested, Duration::from_secs(5)) else { return false };
    (0..).zip(ends).all(|(partition, &end)| {
        let element = committed.find_partition(topic, partition);
        element.and_then(|element| element.offset().to_raw()).is_some_and(|offset| offset >= end) || end == 0
    })
}
