//! A cluster of three real brokers that can be killed, stopped and restarted, and the queries that a chaos run needs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_executor::block_on;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::runtime::WallClock;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use crate::broker::TIMEOUT;

/// The topics of the run.
pub(crate) const TOPICS: [&str; 6] =
    ["touchpoints", "transitions", "transitions-replay", "dead-letters", "changelog", "hand-overs"];
/// The number of nodes.
pub(crate) const NODES: usize = 3;
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");

/// The time of each record's acknowledgement, by partition and offset.
pub(crate) type Acknowledged = BTreeMap<(i32, i64), Timestamp>;

/// A producer context that stores when each record was acknowledged, which is when consumers can see it.
#[derive(Clone)]
pub(crate) struct Deliveries {
    clock: WallClock,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        // A failed record needs no time: it is not in the topic, or its missing acknowledgement makes it count as late.
        let Ok(record) = result else { return };
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledged.insert((record.partition(), record.offset()), self.clock.now().wall);
    }
}

impl Deliveries {
    pub(crate) fn new() -> Self {
        Self { clock: WallClock::start(), acknowledged: Arc::default() }
    }

    pub(crate) fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running cluster. It stops when this value is dropped, or when this process ends.
pub(crate) struct Cluster {
    directory: PathBuf,
    /// The process of `scripts/kafka-cluster hold`; closing its standard input stops the nodes.
    script: Child,
    /// The bootstrap servers.
    pub(crate) bootstrap: String,
    /// For each node, the port advertised to clients behind the proxy and the port that the proxy forwards to.
    pub(crate) proxied: Vec<(u16, u16)>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let directory =
            tempfile::Builder::new().prefix("lifecycle-chaos-").tempdir().expect("a temporary folder").keep();
        let mut script = Command::new(format!("{SCRIPTS}/kafka-cluster"))
            .arg("hold")
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/kafka-cluster can be run");
        let mut lines = BufReader::new(script.stdout.take().expect("standard output is piped")).lines();
        let mut line = || lines.next().expect("the cluster starts").expect("a line of text");
        let (bootstrap, ports) = (line(), line());
        let port = |text: &str| text.parse().expect("a port");
        let pair = |pair: &str| pair.split_once('=').map(|(advertised, real)| (port(advertised), port(real)));
        let proxied = ports.split(' ').map(|it| pair(it).expect("a pair of ports")).collect();
        Self { directory, script, bootstrap, proxied }
    }

    /// Returns whether all replicas of all partitions are in sync; `false` also while the cluster does not answer.
    pub(crate) fn is_in_sync(&self) -> bool {
        let consumer: BaseConsumer = self.config().create().expect("a consumer");
        let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_secs(2)) else { return false };
        let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        partitions.all(|partition| partition.error().is_none() && partition.isr().len() == NODES)
    }

    /// Starts `scripts/kafka COMMAND` for a node, without waiting for it.
    pub(crate) fn node(&self, command: &str, node: usize) -> Child {
        Command::new(format!("{SCRIPTS}/kafka"))
            .arg(command)
            .arg(self.directory.join((node + 1).to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/kafka can be run")
    }

    /// Starts moving the leader of every partition to another broker, without waiting: reassigns the replicas in
    /// another order, then runs a preferred leader election.
    pub(crate) fn move_leaders(&self, node: usize, shift: usize) -> Child {
        let replicas = |partition: i32| -> Vec<usize> {
            let first = usize::try_from(partition).expect("a partition") + shift;
            (0..NODES).map(|it| (first + it) % NODES + 1).collect()
        };
        let partitions: Vec<_> = TOPICS
            .iter()
            .flat_map(|topic| (0..super::PARTITIONS).map(move |partition| (topic, partition)))
            .map(|(topic, partition)| json!({"topic": topic, "partition": partition, "replicas": replicas(partition)}))
            .collect();
        let plan = self.directory.join("leaders.json");
        fs::write(&plan, json!({"version": 1, "partitions": partitions}).to_string()).expect("the plan is written");
        let (script, dir, plan) = (format!("{SCRIPTS}/kafka"), self.directory.join((node + 1).to_string()), plan);
        let tool = format!("{script} tool {}", dir.display());
        Command::new("sh")
            .arg("-c")
            .arg(format!(
                "{tool} reassign.ReassignPartitionsCommand --reassignment-json-file {} --execute && \
                 {tool} LeaderElectionCommand --election-type preferred --all-topic-partitions",
                plan.display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tools run")
    }

    /// Returns the command for a Kafka tool that connects to `node`.
    pub(crate) fn tool(&self, node: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(format!("{SCRIPTS}/kafka"));
        command.arg("tool").arg(self.directory.join((node + 1).to_string())).args(arguments).stdin(Stdio::null());
        command
    }

    /// Copies the data and logs of the nodes to `directory`.
    pub(crate) fn copy_data(&self, directory: &Path) {
        drop(Command::new("cp").arg("-r").arg(&self.directory).arg(directory.join("nodes")).status());
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Creates a topic with three replicas.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(3)).set("retention.ms", "-1");
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
        for result in block_on(admin.create_topics([&topic], &options)).expect("the cluster answers") {
            result.expect("the topic is created");
        }
    }

    /// Creates an idempotent producer whose timeout exceeds any broker outage of a run.
    pub(crate) fn producer(&self, deliveries: &Deliveries) -> BaseProducer<Deliveries> {
        self.config()
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "300000")
            .create_with_context(deliveries.clone())
            .expect("a producer")
    }

    /// Returns the committed offset of `group` and the end of each partition; `None` while the cluster does not answer.
    pub(crate) fn committed_and_end_offsets(
        &self,
        group: &str,
        topic: &str,
        partitions: i32,
    ) -> Option<Vec<(Option<i64>, i64)>> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let committed = consumer.committed_offsets(list, TIMEOUT).ok()?;
        committed
            .elements()
            .iter()
            .map(|it| {
                let committed = match it.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                let (_, end) = consumer.fetch_watermarks(topic, it.partition(), TIMEOUT).ok()?;
                Some((committed, end))
            })
            .collect()
    }

    /// Returns the sum of the partitions' log start offsets: the number of offsets deleted so far.
    pub(crate) fn deleted_offsets(&self, topic: &str, partitions: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().expect("a consumer");
        let start = |partition| consumer.fetch_watermarks(topic, partition, TIMEOUT).expect("the cluster answers").0;
        (0..partitions).map(start).sum()
    }

    /// Returns the transactions that are not complete, as listed by the brokers.
    pub(crate) fn open_transactions(&self) -> Vec<String> {
        let listed = self.tool(0, &["TransactionsCommand", "list"]).output().expect("the tool runs");
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let is_complete =
            |line: &str| ["Empty", "CompleteCommit", "CompleteAbort"].iter().any(|state| line.contains(state));
        let lines = String::from_utf8_lossy(&listed.stdout).into_owned();
        let (_, transactions) = lines.split_once('\n').expect("a heading");
        transactions.lines().filter(|line| !line.trim().is_empty() && !is_complete(line)).map(str::to_owned).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}
