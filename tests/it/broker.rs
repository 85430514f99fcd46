//! A real Kafka broker for the tests: one node for the whole test process, with helpers that produce and consume.
//!
//! `LIFECYCLE_TEST_BROKER` is the address of a running node. Without it, `scripts/kafka` starts one, which stops when
//! this process ends, even if it is killed. Tests share the node, so each uses its own topics, groups and ids from
//! [`unique`]. Every wait has a deadline, and the test fails when it passes.
#![allow(dead_code, reason = "each test binary uses a part of the helpers")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

/// The maximum time a test waits for one condition before it fails; far longer than any operation takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A record as a downstream consumer reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConsumedRecord {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl ConsumedRecord {
    /// Returns the value as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// Returns the address of the broker. The first call starts it.
pub(crate) fn bootstrap() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    // The script stops the node when its standard input closes, which also happens when this process dies.
    static SCRIPT: Mutex<Option<Child>> = Mutex::new(None);
    ADDRESS.get_or_init(|| {
        if let Ok(address) = std::env::var("LIFECYCLE_TEST_BROKER") {
            return address;
        }
        let dir = tempfile::Builder::new().prefix("lifecycle-kafka-").tempdir().expect("a temporary folder").keep();
        let mut child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka"))
            .arg("hold")
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/kafka can be run");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        *SCRIPT.lock().expect("no other thread panicked while holding the lock") = Some(child);
        BufReader::new(stdout).read_line(&mut line).expect("scripts/kafka writes a line");
        assert!(line.contains(':'), "scripts/kafka did not start a broker; see its output above");
        line.trim().to_owned()
    })
}

/// Returns a name that no other test uses, in this or any other run.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}-{:04x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed), fastrand::u16(..))
}

/// The pause between two calls in [`until`].
const UNTIL_PAUSE: Duration = Duration::from_millis(20);

/// Calls `condition` until it returns a value.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out after {TIMEOUT:?} waiting until {what}");
        // A service answers at once, also while it starts, and needs the time of the processor itself.
        thread::sleep(UNTIL_PAUSE);
    }
}

pub(crate) fn config() -> ClientConfig {
    config_of(bootstrap())
}

fn config_of(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    config().create().expect("an admin client")
}

pub(crate) fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

/// Creates a topic with a unique name and the given topic configs, and returns the name.
pub(crate) fn topic_with(name: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
    let name = unique(name);
    let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let admin = admin();
    for result in block_on(admin.create_topics([&topic], &admin_options())).expect("the broker answers") {
        result.expect("the topic is created");
    }
    // The controller confirms a topic before the broker knows it.
    until("the broker describes the topic", || {
        let metadata = admin.inner().fetch_metadata(Some(&name), TIMEOUT).ok()?;
        metadata.topics().iter().all(|it| it.error().is_none()).then_some(())
    });
    name
}

/// Deletes a topic.
pub(crate) fn delete_topic(name: &str) {
    for result in block_on(admin().delete_topics(&[name], &admin_options())).expect("the broker answers") {
        result.expect("the topic is deleted");
    }
}

/// Creates a topic with a unique name, and returns the name.
pub(crate) fn topic(name: &str, partitions: i32) -> String {
    topic_with(name, partitions, &[])
}

/// Creates a changelog topic as the service requires it: without retention and compaction.
pub(crate) fn changelog_topic(partitions: i32) -> String {
    topic_with(
        "changelog",
        partitions,
        &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")],
    )
}

/// Deletes the records of a partition before `offset`, as retention does.
pub(crate) fn delete_records(topic: &str, partition: i32, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a valid offset");
    let result = block_on(admin().delete_records(&list, &admin_options())).expect("the broker answers");
    for element in result.elements() {
        element.error().expect("the records are deleted");
    }
}

/// One record for [`produce`].
#[derive(Clone, Default, Debug)]
pub(crate) struct NewRecord {
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) timestamp_ms: Option<i64>,
}

impl NewRecord {
    /// Returns a record for `partition` with a text value.
    pub(crate) fn to(partition: i32, value: &str) -> Self {
        Self { partition: Some(partition), value: Some(value.into()), ..Self::default() }
    }

    /// Returns a record with a key; the partitioner chooses the partition.
    pub(crate) fn keyed(key: &str, value: &str) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }
}

/// Creates a producer that does not use the code under test; with a transactional id, it is transactional.
pub(crate) fn producer(transactional_id: Option<&str>) -> BaseProducer {
    let mut config = config();
    config.set("partitioner", "murmur2_random").set("linger.ms", "0").set("message.max.bytes", "16777216");
    if let Some(id) = transactional_id {
        config.set("transactional.id", id).set("transaction.timeout.ms", "20000").set("message.timeout.ms", "15000");
    }
    let producer: BaseProducer = config.create().expect("a producer");
    if transactional_id.is_some() {
        producer.init_transactions(TIMEOUT).expect("transactions start");
    }
    producer
}

/// Writes `records` with `producer` and waits for their acknowledgements.
pub(crate) fn write(producer: &BaseProducer, topic: &str, records: &[NewRecord]) {
    enqueue(producer, topic, records);
    flush(producer);
}

/// Waits until the broker has acknowledged all records of `producer`.
pub(crate) fn flush(producer: &BaseProducer<impl ProducerContext>) {
    producer.flush(TIMEOUT).expect("the broker acknowledges the records");
}

/// Queues `records` in `producer`, which sends them in the background.
pub(crate) fn enqueue(
    producer: &BaseProducer<impl ProducerContext<DeliveryOpaque = ()>>,
    topic: &str,
    records: &[NewRecord],
) {
    for record in records {
        until("the producer accepts the record", || {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut base = BaseRecord::<[u8], [u8]>::to(topic);
            base.partition = record.partition;
            base.key = record.key.as_deref();
            base.payload = record.value.as_deref();
            base.timestamp = record.timestamp_ms;
            base.headers = Some(headers);
            match producer.send(base) {
                Ok(()) => Some(()),
                Err((KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(20));
                    None
                }
                Err((error, _)) => panic!("the record is rejected: {error}"),
            }
        });
    }
    producer.poll(Duration::ZERO);
}

/// Writes `records` without a transaction.
pub(crate) fn produce(topic: &str, records: &[NewRecord]) {
    write(&producer(None), topic, records);
}

/// Creates a producer for another cluster, without transactions.
pub(crate) fn producer_at(bootstrap: &str) -> BaseProducer {
    config_of(bootstrap).set("partitioner", "murmur2_random").set("linger.ms", "0").create().expect("a producer")
}

/// Writes `records` without a transaction to another cluster.
pub(crate) fn produce_at(bootstrap: &str, topic: &str, records: &[NewRecord]) {
    write(&producer_at(bootstrap), topic, records);
}

/// Returns the log start offset and the high watermark of a partition on another cluster.
pub(crate) fn range_at(bootstrap: &str, topic: &str, partition: i32) -> (i64, i64) {
    let consumer: BaseConsumer = config_of(bootstrap).create().expect("a consumer");
    consumer.fetch_watermarks(topic, partition, TIMEOUT).expect("the broker answers")
}

/// Writes `records` in one committed transaction, so the partition ends with a control record.
pub(crate) fn produce_committed(topic: &str, records: &[NewRecord]) {
    let producer = producer(Some(&unique("writer")));
    producer.begin_transaction().expect("a transaction begins");
    write(&producer, topic, records);
    producer.commit_transaction(TIMEOUT).expect("the transaction commits");
}

/// Writes `records` in one aborted transaction: consumers with `read_committed` must never see them.
pub(crate) fn produce_aborted(topic: &str, records: &[NewRecord]) {
    let producer = producer(Some(&unique("writer")));
    producer.begin_transaction().expect("a transaction begins");
    write(&producer, topic, records);
    producer.abort_transaction(TIMEOUT).expect("the transaction aborts");
}

/// Creates a `read_committed` consumer of all partitions of `topic`, from their beginning.
pub(crate) fn reader(topic: &str) -> BaseConsumer {
    reader_at(bootstrap(), topic)
}

/// Creates a `read_committed` consumer of all partitions of a topic of another cluster, from their beginning.
pub(crate) fn reader_at(bootstrap: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = config_of(bootstrap)
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "20")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("the broker answers");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&list).expect("an assignment");
    consumer
}

/// Returns all records of `topic` committed so far, ordered by partition and offset.
pub(crate) fn read_committed(topic: &str) -> Vec<ConsumedRecord> {
    read_committed_at(bootstrap(), topic)
}

/// Returns all committed records of a topic of another cluster.
pub(crate) fn read_committed_at(bootstrap: &str, topic: &str) -> Vec<ConsumedRecord> {
    read_at(bootstrap, topic, "read_committed", TIMEOUT)
}

/// Returns all records of `topic` visible at an isolation level. Fails when reading takes longer than `timeout`.
pub(crate) fn read_at(bootstrap: &str, topic: &str, isolation_level: &str, timeout: Duration) -> Vec<ConsumedRecord> {
    let consumer: BaseConsumer = config_of(bootstrap)
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation_level)
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("the broker answers");
    let partitions = metadata.topics()[0].partitions().len();
    assert!(partitions > 0, "there is no topic {topic}");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let partition = i32::try_from(partition).expect("few partitions");
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&list).expect("an assignment");
    let mut records = Vec::new();
    let mut ended = BTreeSet::new();
    let deadline = Instant::now() + timeout;
    while ended.len() < partitions {
        assert!(Instant::now() < deadline, "the consumer does not reach the end of {topic} within {timeout:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => records.push(ConsumedRecord {
                partition: message.partition(),
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    headers.iter().map(|it| (it.key.to_owned(), it.value.unwrap_or_default().to_vec())).collect()
                }),
            }),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(Err(error)) => panic!("cannot read {topic}: {error}"),
            None => {}
        }
    }
    records.sort_by_key(|it| (it.partition, it.offset));
    records
}

#[test]
fn the_broker_returns_committed_and_hides_aborted_records() {
    let topic = topic("broker", 2);
    produce(&topic, &[NewRecord::to(0, "plain")]);
    produce_aborted(&topic, &[NewRecord::to(0, "aborted")]);
    produce_committed(&topic, &[NewRecord::to(1, "committed")]);
    let texts: Vec<String> = read_committed(&topic).iter().map(ConsumedRecord::text).collect();
    assert_eq!(texts, ["plain", "committed"]);
}
