//! A real broker for the tests: one Kafka node for the whole test process, and short ways to write to it and read from it.
//!
//! `LIFECYCLE_TEST_BROKER` names a node that runs already; else `scripts/kafka` starts one, which stops when this
//! process ends, however it ends. Tests share the node, so each takes topics, groups and ids of its own from [`unique`].
//! Every wait has a deadline and fails the test when it passes.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
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

/// How long a test waits for anything before it fails; far more than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A record as a downstream reader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Seen {
    /// The value as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// The address of the broker, started at the first call.
pub(crate) fn bootstrap() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    // The script stops the node when this end of its standard input closes, which the death of this process does too.
    static HOLD: Mutex<Option<Child>> = Mutex::new(None);
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
        *HOLD.lock().expect("nobody panics while holding it") = Some(child);
        BufReader::new(stdout).read_line(&mut line).expect("scripts/kafka writes a line");
        assert!(line.contains(':'), "scripts/kafka did not start a broker; its words are above");
        line.trim().to_owned()
    })
}

/// A name that no other test of this or of another run uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}-{:04x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed), fastrand::u16(..))
}

/// Waits until `condition` gives something, looking again after each of its own short waits.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
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
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// Creates a topic of a unique name with these settings, and returns the name.
pub(crate) fn topic_with(name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let name = unique(name);
    let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    for result in block_on(admin().create_topics([&topic], &admin_options())).expect("the broker answers") {
        result.expect("the topic is created");
    }
    name
}

/// Creates a topic of a unique name, and returns the name.
pub(crate) fn topic(name: &str, partitions: i32) -> String {
    topic_with(name, partitions, &[])
}

/// Creates a changelog topic as the service wants it: neither retention nor compaction.
pub(crate) fn changelog_topic(partitions: i32) -> String {
    topic_with(
        "changelog",
        partitions,
        &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")],
    )
}

/// Deletes the records of a partition before `offset`, as retention would.
pub(crate) fn cut(topic: &str, partition: i32, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a valid offset");
    let result = block_on(admin().delete_records(&list, &admin_options())).expect("the broker answers");
    for element in result.elements() {
        element.error().expect("the records are deleted");
    }
}

/// One record for [`produce`].
#[derive(Clone, Default, Debug)]
pub(crate) struct ToWrite {
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) timestamp_ms: Option<i64>,
}

impl ToWrite {
    /// A record for `partition` with a text as its value.
    pub(crate) fn to(partition: i32, value: &str) -> Self {
        Self { partition: Some(partition), value: Some(value.into()), ..Self::default() }
    }

    /// A record with a key, for the partition of the key.
    pub(crate) fn keyed(key: &str, value: &str) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }
}

/// Another program's producer, with transactions when it has an id.
pub(crate) fn producer(transactional_id: Option<&str>) -> BaseProducer {
    let mut config = config();
    config.set("partitioner", "murmur2_random").set("linger.ms", "0").set("message.max.bytes", "16777216");
    if let Some(id) = transactional_id {
        config.set("transactional.id", id).set("transaction.timeout.ms", "20000").set("message.timeout.ms", "15000");
    }
    let producer: BaseProducer = config.create().expect("a producer");
    if transactional_id.is_some() {
        producer.init_transactions(PATIENCE).expect("transactions start");
    }
    producer
}

/// Writes `records` with `producer` and waits until the broker has them.
pub(crate) fn write(producer: &BaseProducer, topic: &str, records: &[ToWrite]) {
    enqueue(producer, topic, records);
    flush(producer);
}

/// Waits until the broker has everything that `producer` was given.
pub(crate) fn flush(producer: &BaseProducer<impl ProducerContext>) {
    producer.flush(PATIENCE).expect("the broker takes the records");
}

/// Gives `records` to `producer`, which sends them in its own time.
pub(crate) fn enqueue(
    producer: &BaseProducer<impl ProducerContext<DeliveryOpaque = ()>>,
    topic: &str,
    records: &[ToWrite],
) {
    for record in records {
        until("the producer takes the record", || {
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
                Err((error, _)) => panic!("the record is refused: {error}"),
            }
        });
    }
    producer.poll(Duration::ZERO);
}

/// Writes `records` outside any transaction.
pub(crate) fn produce(topic: &str, records: &[ToWrite]) {
    write(&producer(None), topic, records);
}

/// The same on another cluster.
pub(crate) fn produce_at(bootstrap: &str, topic: &str, records: &[ToWrite]) {
    let producer: BaseProducer = config_of(bootstrap).set("linger.ms", "0").create().expect("a producer");
    write(&producer, topic, records);
}

/// The first offset of a partition and its end.
pub(crate) fn range_at(bootstrap: &str, topic: &str, partition: i32) -> (i64, i64) {
    let consumer: BaseConsumer = config_of(bootstrap).create().expect("a consumer");
    consumer.fetch_watermarks(topic, partition, PATIENCE).expect("the broker answers")
}

/// Writes `records` in one committed transaction: the partition ends with a control record.
pub(crate) fn produce_committed(topic: &str, records: &[ToWrite]) {
    let producer = producer(Some(&unique("writer")));
    producer.begin_transaction().expect("a transaction begins");
    write(&producer, topic, records);
    producer.commit_transaction(PATIENCE).expect("the transaction commits");
}

/// Writes `records` in one transaction that is aborted: readers must never see them.
pub(crate) fn produce_aborted(topic: &str, records: &[ToWrite]) {
    let producer = producer(Some(&unique("writer")));
    producer.begin_transaction().expect("a transaction begins");
    write(&producer, topic, records);
    producer.abort_transaction(PATIENCE).expect("the transaction aborts");
}

/// A reader of committed records of all partitions of `topic`, from their beginning, as they come.
pub(crate) fn reader(topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = config()
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "20")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&list).expect("an assignment");
    consumer
}

/// Reads everything in `topic` that is committed as of now, as a downstream team would; by partition, in order of offset.
pub(crate) fn read_committed(topic: &str) -> Vec<Seen> {
    read_committed_at(bootstrap(), topic)
}

/// The same on another cluster.
pub(crate) fn read_committed_at(bootstrap: &str, topic: &str) -> Vec<Seen> {
    read_at(bootstrap, topic, "read_committed", PATIENCE)
}

/// Reads everything in `topic` as a reader of that isolation level would, within `patience`.
pub(crate) fn read_at(bootstrap: &str, topic: &str, isolation_level: &str, patience: Duration) -> Vec<Seen> {
    let consumer: BaseConsumer = config_of(bootstrap)
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation_level)
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
    let partitions = metadata.topics()[0].partitions().len();
    assert!(partitions > 0, "there is no topic {topic}");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let partition = i32::try_from(partition).expect("few partitions");
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&list).expect("an assignment");
    let mut seen = Vec::new();
    let mut ended = BTreeSet::new();
    let deadline = Instant::now() + patience;
    while ended.len() < partitions {
        assert!(Instant::now() < deadline, "the reader does not reach the end of {topic} within {patience:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => seen.push(Seen {
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
    seen.sort_by_key(|it| (it.partition, it.offset));
    seen
}

#[test]
fn the_broker_keeps_what_is_committed_and_hides_what_is_aborted() {
    let topic = topic("broker", 2);
    produce(&topic, &[ToWrite::to(0, "plain")]);
    produce_aborted(&topic, &[ToWrite::to(0, "aborted")]);
    produce_committed(&topic, &[ToWrite::to(1, "committed")]);
    let texts: Vec<String> = read_committed(&topic).iter().map(Seen::text).collect();
    assert_eq!(texts, ["plain", "committed"]);
}
