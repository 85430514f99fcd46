//! The minimal exactly-once processor, as the upper bound of throughput: consume, decode, produce, commit.
//!
//! It has no state and evaluates no models. The client settings are those of the service.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use super::{Measured, Options, ServiceOutput, broker, cpu, service};

/// The service's default.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// The service's default.
const TOUCHPOINT_BYTES_MAX: usize = 1024 * 1024;
/// Approximate maximum size of the service's changelog records.
const CHANGELOG_BYTES_MAX: usize = 512 * 1024;

/// The output topics of a run, and the output volume per touchpoint.
struct Outputs<'a> {
    transitions: String,
    changelog: String,
    group: String,
    service_output: &'a ServiceOutput,
    transitions_per_touchpoint: f64,
    changelog_bytes_per_touchpoint: f64,
}

/// Runs the loop over `topic` and writes as much as the service has `written`.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn run(topic: &str, options: &Options, service_output: &ServiceOutput) -> Measured {
    let touchpoints = options.touchpoints as f64;
    let outputs = Outputs {
        transitions: broker::topic("ceiling-bare-transitions", options.partitions),
        changelog: broker::changelog_topic(options.partitions),
        group: broker::unique("ceiling-bare"),
        service_output,
        transitions_per_touchpoint: service_output.transitions.len() as f64 / touchpoints,
        changelog_bytes_per_touchpoint: service_output.changelog.len() as f64 / touchpoints,
    };
    let (begin, cpu_before) = (Instant::now(), cpu::seconds("self"));
    let read: usize = std::thread::scope(|scope| {
        let outputs = &outputs;
        let workers: Vec<_> =
            (0..options.workers).map(|worker| scope.spawn(move || work(worker, topic, options, outputs))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).sum()
    });
    assert_eq!(read, options.touchpoints, "every touchpoint is read once");
    Measured { cpu_seconds: cpu::seconds("self") - cpu_before, wall_seconds: begin.elapsed().as_secs_f64() }
}

/// Reads this worker's partitions to their ends; returns the number of touchpoints.
fn work(worker: usize, topic: &str, options: &Options, outputs: &Outputs<'_>) -> usize {
    let consumer = consumer(&outputs.group);
    let producer = producer(&outputs.group, worker);
    let workers = i32::try_from(options.workers).expect("few workers");
    let worker = i32::try_from(worker).expect("few workers");
    let ends = service::ends(&consumer, topic, options.partitions);
    let mut left: BTreeMap<i32, i64> =
        (0..).zip(ends).filter(|&(partition, end)| partition % workers == worker && end > 0).collect();
    let mut assignment = TopicPartitionList::new();
    for &partition in left.keys() {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&assignment).expect("an assignment");

    let models = ModelChoice::default().load(false).expect("the shipped models are valid");
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: TOUCHPOINT_BYTES_MAX });
    let (mut read, mut transitions_due) = (0, 0.0);
    let mut transitions = outputs.service_output.transitions.iter().cycle();
    let mut changelog = outputs.service_output.changelog.chunks(CHANGELOG_BYTES_MAX).cycle();
    while !left.is_empty() {
        producer.begin_transaction().expect("a transaction begins");
        // By partition: number of touchpoints, and the offset after the last one.
        let mut batch: BTreeMap<i32, (usize, i64)> = BTreeMap::new();
        let begin = Instant::now();
        while begin.elapsed() < COMMIT_INTERVAL && !left.is_empty() {
            let Some(message) = consumer.poll(Duration::from_millis(10)) else { continue };
            let message = message.expect("a record");
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(message.payload().unwrap_or_default(), &mut scratch).expect("a touchpoint");
            transitions_due += outputs.transitions_per_touchpoint;
            while transitions_due >= 1.0 {
                transitions_due -= 1.0;
                let value = transitions.next().expect("the service published something");
                let record = BaseRecord::to(&outputs.transitions).key(touchpoint.customer_id).payload(value.as_slice());
                send(&producer, record);
            }
            let entry = batch.entry(message.partition()).or_default();
            *entry = (entry.0 + 1, message.offset() + 1);
            if left.get(&message.partition()).is_some_and(|&end| message.offset() + 1 >= end) {
                left.remove(&message.partition());
            }
        }
        read += batch.values().map(|(count, _)| count).sum::<usize>();
        commit(&consumer, &producer, topic, &batch, outputs, &mut changelog);
    }
    read
}

fn commit<'w>(
    consumer: &BaseConsumer,
    producer: &BaseProducer,
    topic: &str,
    batch: &BTreeMap<i32, (usize, i64)>,
    outputs: &Outputs<'_>,
    changelog: &mut impl Iterator<Item = &'w [u8]>,
) {
    let mut positions = TopicPartitionList::new();
    for (&partition, &(count, position)) in batch {
        positions.add_partition_offset(topic, partition, Offset::Offset(position)).expect("a valid offset");
        let mut bytes = bytes_of(count, outputs.changelog_bytes_per_touchpoint);
        while bytes > 0 {
            let record = changelog.next().expect("the service wrote something");
            let record = &record[..bytes.min(record.len())];
            bytes -= record.len();
            send(producer, BaseRecord::<(), _>::to(&outputs.changelog).partition(partition).payload(record));
        }
    }
    // The client library's flush polls only every 100 ms.
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
    let group = consumer.group_metadata().expect("the consumer has a group");
    producer.send_offsets_to_transaction(&positions, &group, broker::TIMEOUT).expect("offsets are sent");
    producer.commit_transaction(broker::TIMEOUT).expect("the transaction commits");
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small and positive"
)]
fn bytes_of(count: usize, bytes_per_touchpoint: f64) -> usize {
    (count as f64 * bytes_per_touchpoint) as usize
}

fn send<K: rdkafka::message::ToBytes + ?Sized>(producer: &BaseProducer, record: BaseRecord<'_, K, [u8]>) {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                producer.poll(Duration::from_millis(1));
                record = returned;
            }
            Err((error, _)) => panic!("the record is rejected: {error}"),
        }
    }
}

fn consumer(group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", broker::bootstrap())
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "32768")
        .create()
        .expect("a consumer")
}

fn producer(group: &str, worker: usize) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker::bootstrap())
        .set("transactional.id", format!("{group}-{worker}"))
        .set("transaction.timeout.ms", "60000")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("message.max.bytes", "16777216")
        .create()
        .expect("a producer");
    producer.init_transactions(broker::TIMEOUT).expect("transactions start");
    producer
}
